"""`r1kit data inspect PATH`: say in words what any data source holds, and show some of its rows.

    r1kit data inspect openai/gsm8k name=main split=test
    r1kit data inspect runs/tiny/cold_start

Prints what the rows can be used for, a table of the columns, how often the values of some columns occur, the lengths of
the texts, the languages, the number of repeated prompts, and the first rows.
"""

import os
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from r1kit.data.batches import READ_BATCH_ROWS
from r1kit.data.hygiene.normalise import normalise_text
from r1kit.data.sources import read_source
from r1kit.errors import UNSET, UserError, suggest
from r1kit.languages.detect import detect_language
from r1kit.recipe import SourceConfig, parse_override
from r1kit.recipe.wrong_values import explain_validation
from r1kit.rows import COLUMNS, COLUMNS_BESIDE_REWARDS, Row
from r1kit.safe_text import escape_control_characters
from r1kit.tables import format_table

if TYPE_CHECKING:
    from datasets import Dataset

READ_ROWS = 5_000
"""Rows whose texts are read; a larger source is described by its first rows."""
SHOWN_ROWS = 3
SHOWN_CHARACTERS = 300
SHOWN_VALUES = 8
COUNTED_COLUMNS = ("domain", "checker", "source", "level", "finish_reason", "correct", "thinking")
TEXT_COLUMNS = ("prompt", "messages", "completion", "text")


def inspect_source(words: list[str]) -> None:
    """Print what a source holds. `words` are its path, then fields of a source such as `name=all` or `split=test`.

    Raises UserError for a source that cannot be read and for an unknown field.
    """
    usage = "run r1kit data inspect PATH [split=test]"
    if not words:
        raise UserError("PATH", UNSET, "a data source is needed", usage)
    if "=" in words[0]:
        raise UserError("PATH", " ".join(words), "must begin with the path of a data source", usage)
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    rows = read_source(_parse_source(words), "PATH")
    print(escape_control_characters("\n".join(describe_rows(rows))))


def _parse_source(words: list[str]) -> SourceConfig:
    """Return the source that the words of a command line describe. Raises UserError for what is no field of one."""
    values: dict[str, Any] = {"path": words[0]}
    for word, following in zip(words[1:], [*words[2:], ""], strict=False):
        if "=" not in word:
            raise UserError("argument", word, "must be field=value", f"write {word}={following or '...'}")
        key, value = parse_override(word)
        if key not in SourceConfig.model_fields:
            action = suggest(key, SourceConfig.model_fields)
            raise UserError(key, value, "no such field of a source", action)
        values[key] = value
    try:
        return SourceConfig(**values)
    except ValidationError as error:
        raise explain_validation(SourceConfig, error) from None


def describe_rows(rows: "Dataset") -> list[str]:
    """Return the lines that `r1kit data inspect` prints of a data set."""
    first_rows = rows.select(range(min(READ_ROWS, len(rows)))).to_list()
    texts = {name: _column_texts(first_rows, name) for name in TEXT_COLUMNS if name in rows.column_names}
    scope = "" if len(first_rows) == len(rows) else f" of the first {len(first_rows)} rows"
    lines = [f"{len(rows)} rows: {_describe_use(rows.column_names)}.", ""]
    lines += [_format_columns(rows), ""]
    value_lines = _describe_values(rows)
    if value_lines:
        lines += ["Values, the most frequent first:", *value_lines, ""]
    if any(texts.values()):
        lines += [f"Lengths{scope} in words:", _format_lengths(texts), ""]
    lines += _describe_questions(texts, scope)
    for number, row in enumerate(first_rows[:SHOWN_ROWS], start=1):
        lines += ["", f"Row {number}:", *_describe_row(row)]
    return lines


def _describe_use(names: Sequence[str]) -> str:
    """Return in words what rows with these columns can be used for in r1kit."""
    columns = set(names)
    if "messages" in columns:
        if "prompt" in columns and columns & {"answer", "tests"}:
            return "problems with answers or tests, for r1kit rl, generate and eval, and conversations for r1kit sft"
        return "conversations, which r1kit sft trains on"
    if {"prompt", "completion"} <= columns:
        if columns & {"correct", "sample"}:
            return "sampled completions with their verdicts, which r1kit sft trains on"
        return "prompts with completions, which r1kit sft trains on"
    if "text" in columns and "prompt" not in columns:
        return "documents, which r1kit sft trains on as they stand"
    if "prompt" not in columns:
        return "no column prompt, messages or text; rename one with columns={prompt: NAME}"
    if columns & {"answer", "tests"}:
        return "problems with answers or tests, for r1kit rl, generate and eval"
    return "prompts without answers or tests, so that no reward can tell whether a completion is right"


def _format_columns(rows: "Dataset") -> str:
    """Return the table of the columns: type, rows without a value, and what the column means to r1kit."""
    null_counts = _count_nulls(rows)
    lines: list[list[str | int]] = []
    for name, feature in rows.features.items():
        type_name = getattr(feature, "dtype", None) or str(feature)
        lines.append([name, type_name, null_counts[name], _describe_column(name, rows)])
    return format_table(["column", "type", "empty", "meaning"], lines, right=["empty"])


def _describe_column(name: str, rows: "Dataset") -> str:
    """Return what a column means to r1kit, an empty text for a column that it does not know."""
    is_scored = not {"correct", "fault"}.isdisjoint(rows.column_names)
    if is_scored and name not in COLUMNS_BESIDE_REWARDS and str(rows.features[name]) == "Value('float64')":
        return "A reward's score."
    return COLUMNS[name].description if name in COLUMNS else ""


def _count_nulls(rows: "Dataset") -> Counter[str]:
    """Return the number of rows without a value, by column."""
    arrow = rows.with_format("arrow")
    null_counts: Counter[str] = Counter()
    for start in range(0, len(rows), READ_BATCH_ROWS):
        batch = arrow[start : start + READ_BATCH_ROWS]
        null_counts.update({name: batch.column(name).null_count for name in rows.column_names})
    return null_counts


def _describe_values(rows: "Dataset") -> list[str]:
    """Return a line on the values of each of COUNTED_COLUMNS that the rows have."""
    lines = []
    for name in COUNTED_COLUMNS:
        if name not in rows.column_names:
            continue
        counts = Counter(str(value) for value in rows[name])
        frequent = ", ".join(f"{value or '-'} {count}" for value, count in counts.most_common(SHOWN_VALUES))
        others = len(counts) - SHOWN_VALUES
        lines.append(f"  {name}: {frequent}" + (f", and {others} other values" if others > 0 else ""))
    return lines


def _format_lengths(texts: dict[str, list[str]]) -> str:
    """Return the table of the lengths of the texts, in words."""
    lines: list[list[str | int]] = []
    for name, column_texts in texts.items():
        if column_texts:
            lengths = sorted(len(text.split()) for text in column_texts)
            percentile_95 = lengths[int(0.95 * (len(lengths) - 1))]
            lines.append([name, lengths[0], int(statistics.median(lengths)), percentile_95, lengths[-1]])
    return format_table(["column", "shortest", "median", "95%", "longest"], lines)


def _describe_questions(texts: dict[str, list[str]], scope: str) -> list[str]:
    """Return lines on the languages of the prompts, and on how many of them repeat an earlier one."""
    questions = texts.get("prompt") or texts.get("messages") or texts.get("text") or []
    if not questions:
        return []
    languages = Counter(detect_language(text) for text in questions)
    counted = ", ".join(f"{language} {count}" for language, count in languages.most_common())
    repeated = len(questions) - len({normalise_text(text) for text in questions})
    return [f"Languages{scope}: {counted}.", f"Prompts{scope} that repeat an earlier one: {repeated}."]


def _describe_row(row: Row) -> list[str]:
    lines = []
    for name, value in row.items():
        text = " ".join(str(_as_text(value)).split())
        ellipsis = "..." if len(text) > SHOWN_CHARACTERS else ""
        lines.append(f"  {name}: {text[:SHOWN_CHARACTERS]}{ellipsis}")
    return lines


def _column_texts(rows: Sequence[Row], name: str) -> list[str]:
    return [str(_as_text(row[name])) for row in rows if row.get(name)]


def _as_text(value: Any) -> Any:
    """Return chat messages as one text with their roles, any other value as it is."""
    is_chat = isinstance(value, list) and value and all(isinstance(m, dict) and "content" in m for m in value)
    if is_chat:
        return "\n".join(f"{message.get('role')}: {message['content']}" for message in value)
    return value
