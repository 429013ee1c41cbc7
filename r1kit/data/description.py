"""Describe rows in words: what they can be used for, their columns and values, lengths, languages, and some of them.

print("\\n".join(describe_rows(rows, seed=1)))
"""

import math
import random
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from r1kit.data.batches import READ_BATCH_ROWS
from r1kit.data.hygiene.normalise import normalise_text
from r1kit.languages.detect import detect_language
from r1kit.rows import COLUMNS, COLUMNS_BESIDE_REWARDS, Row
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
HISTOGRAM_COLUMNS = 30
"""Characters of the longest bar of a histogram."""


def describe_rows(rows: "Dataset", seed: int = 0) -> list[str]:
    """Return the lines that `r1kit data inspect` prints of a data set; `seed` draws the rows that are shown."""
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
        for name, column_texts in texts.items():
            if len(column_texts) > 1:
                lines += [f"  {name}", *_draw_histogram([len(text.split()) for text in column_texts]), ""]
    lines += _describe_questions(texts, scope)
    return lines + _describe_drawn_rows(rows, seed)


def _describe_drawn_rows(rows: "Dataset", seed: int) -> list[str]:
    """Return a few rows, drawn with `seed` from all of them, with their numbers."""
    numbers = sorted(random.Random(seed).sample(range(len(rows)), min(SHOWN_ROWS, len(rows))))
    lines = []
    if len(rows) > SHOWN_ROWS:
        lines += ["", f"{SHOWN_ROWS} rows, drawn with seed {seed}; seed={seed + 1} shows others:"]
    for number in numbers:
        lines += ["", f"Row {number + 1}:", *_describe_row(rows[number])]
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
        return "no column prompt, messages or text, so that no stage can use them"
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
            percentile_95 = lengths[math.ceil(0.95 * len(lengths)) - 1]  # the nearest rank
            lines.append([name, lengths[0], int(statistics.median(lengths)), percentile_95, lengths[-1]])
    return format_table(["column", "shortest", "median", "95%", "longest"], lines)


def _draw_histogram(lengths: Sequence[int]) -> list[str]:
    """Return a line for each range of lengths, each range twice as wide as the one before: 0, 1, 2-3, 4-7, 8-15 ..."""
    counts = Counter(length.bit_length() for length in lengths)  # 4 to 7 have three bits
    most = max(counts.values())
    ranges: dict[int, str] = {}
    for bits in range(min(counts), max(counts) + 1):
        first, last = (1 << bits) >> 1, (1 << bits) - 1
        ranges[bits] = str(first) if first >= last else f"{first}-{last}"
    width, count_width = max(map(len, ranges.values())), len(str(most))
    lines = []
    for bits, label in ranges.items():
        bar = "#" * -(-counts[bits] * HISTOGRAM_COLUMNS // most)  # rounded up, so that one text can be seen
        lines.append(f"  {label.rjust(width)}  {str(counts[bits]).rjust(count_width)}  {bar}".rstrip())
    return lines


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
