"""`r1kit data inspect PATH`: say in words what any data source holds, and show some of its rows.

    r1kit data inspect openai/gsm8k name=main split=test
    r1kit data inspect rows.csv seed=1

Prints which columns the source has and how r1kit reads them, or what to write so that it can; then what the rows can be
used for and by which command, a table of the columns, how often the values of some columns occur, the lengths of the
texts as histograms, the languages, the number of repeated prompts, and rows drawn at random.
"""

import json
import os
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from r1kit.data.adapters import find_reading
from r1kit.data.argument_errors import errors_of_argument
from r1kit.data.column_guess import find_origins, guess_columns, is_row_of_values
from r1kit.data.description import describe_rows
from r1kit.data.sources import adapt_stored, finish_rows, read_source
from r1kit.data.sources.generated import is_generated_source
from r1kit.data.sources.stored import read_stored
from r1kit.errors import UNSET, UserError, suggest
from r1kit.recipe import SourceConfig, parse_override
from r1kit.recipe.wrong_values import explain_validation
from r1kit.rows import COLUMNS
from r1kit.safe_text import escape_control_characters

if TYPE_CHECKING:
    from datasets import Dataset

ARGUMENT = "PATH"
"""The argument of the command, in its help and in its errors."""
COMPARED_ROWS = 100
"""Rows whose values are compared to say which column came from which."""


def inspect_source(words: list[str]) -> None:
    """Print what a source holds. `words` are its path, then fields of a source such as `name=all` or `split=test`.

    Raises UserError for a source that cannot be read and for an unknown field.
    """
    usage = "run r1kit data inspect PATH [split=test]"
    if not words:
        raise UserError(ARGUMENT, UNSET, "a data source is needed", usage)
    if "=" in words[0]:
        raise UserError(ARGUMENT, " ".join(words), "must begin with the path of a data source", usage)
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    source = _parse_source(words)
    lines: list[str] = []
    with errors_of_argument(ARGUMENT, takes_fields=True):
        if is_generated_source(source.path):
            rows = read_source(source, ARGUMENT)
        else:
            stored = read_stored(source, ARGUMENT)
            rows = finish_rows(adapt_stored(stored, source, ARGUMENT), source, ARGUMENT)
            lines += [*_describe_reading(stored, rows, source), ""]
    lines += _with_command(describe_rows(rows, source.seed), source, rows.column_names)
    print(escape_control_characters("\n".join(lines)))


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


def _describe_reading(stored: "Dataset", rows: "Dataset", source: SourceConfig) -> list[str]:
    """Return how the columns of a source are read, and what to write where r1kit does not know them."""
    names = stored.column_names
    lines = [f"{source.path} has the columns {', '.join(names)}."]
    reading = find_reading(stored, source) if source.adapter is None else None
    if source.columns:
        renamed = ", ".join(f"{new} is {old}" for new, old in source.columns.items())
        return [*lines, f"Read by columns={_to_yaml(source.columns)}: {renamed}."]
    if reading is not None:
        return [*lines, *_describe_origins(reading.name, reading.columns, stored, rows)]
    r1kit_columns = [name for name in rows.column_names if name in COLUMNS]
    if {"prompt", "messages", "text"} & set(r1kit_columns):
        unknown = [name for name in names if name not in COLUMNS]
        lines.append(f"r1kit knows these by their names: {', '.join(r1kit_columns)}.")
        return [*lines, f"Kept as they are: {', '.join(unknown)}."] if unknown else lines
    return [*lines, *_suggest_columns(names, source)]


def _describe_origins(name: str, read_columns: frozenset[str], stored: "Dataset", rows: "Dataset") -> list[str]:
    """Return which of r1kit's columns are made of which of the source's, and which of those are not read."""
    count = min(COMPARED_ROWS, len(stored), len(rows))
    stored_rows = stored.select(range(min(2 * COMPARED_ROWS, len(stored)))).to_list()
    origins = find_origins(rows.select(range(count)).to_list(), stored_rows, read_columns)
    sentences = [new if new == old else f"{new} is {old}" for new, old in origins.items()]
    mixed = sorted(read_columns & set(stored.column_names) - set(origins.values()))
    new_columns = set(rows.column_names) - set(origins)
    built_columns = [name for name in ("prompt", "completion", "messages", "answer", "tests") if name in new_columns]
    if built_columns and mixed:
        verb = "is" if len(built_columns) == 1 else "are"
        sentences.append(f"{' and '.join(built_columns)} {verb} made of {', '.join(mixed)}")
    lines = [f"Read as {name}: {'; '.join(sentences)}." if sentences else f"Read as {name}."]
    carried_columns = [old for old in stored.column_names if old not in read_columns and old in rows.column_names]
    used_columns = {*origins.values(), *(mixed if built_columns else [])}
    left_out = [old for old in stored.column_names if old not in used_columns and old not in rows.column_names]
    if "rejected" in read_columns:
        lines.append("SFT trains on the chosen answers alone; r1kit reward-model trains on both.")
    if carried_columns:
        lines.append(f"Kept as they are: {', '.join(carried_columns)}.")
    if left_out:
        lines.append(f"Left out: {', '.join(left_out)}.")
    return lines


def _suggest_columns(names: Sequence[str], source: SourceConfig) -> list[str]:
    """Return what to write for a source none of whose columns r1kit knows."""
    if is_row_of_values(names):
        return ["The first line of the file looks like a row: write the names above it, such as prompt,answer."]
    guesses = guess_columns(names)
    columns = guesses or {"prompt": "QUESTION", "answer": "ANSWER"}
    command = f"r1kit data inspect {shlex.quote(source.path)} {shlex.quote('columns=' + _to_yaml(columns))}"
    subject = "These columns may be meant:" if guesses else "Say which column is which, for example:"
    return [
        f"r1kit knows none of these names. {subject}",
        f"  {command}",
        f"In a recipe: data.train: [{{path: {source.path}, columns: {_to_yaml(columns)}}}]",
    ]


def _with_command(lines: list[str], source: SourceConfig, names: Sequence[str]) -> list[str]:
    """Return the description of rows with the command that uses them after its first line."""
    stage, result = _find_stage(set(names))
    if not stage:
        return lines
    written = source.model_dump(exclude_defaults=True, exclude={"seed"})
    data = f"--dataset {shlex.quote(source.path)}"
    if set(written) != {"path"}:
        data = shlex.quote(f"data.train=[{_to_yaml(written)}]")
    return [lines[0], f"  r1kit {stage} --model MODEL {data} --output runs/{result}", *lines[1:]]


def _find_stage(names: set[str]) -> tuple[str, str]:
    """Return the stage that uses rows of these columns, and a name for its run; ("", "") if none does."""
    if "messages" in names or {"prompt", "completion"} <= names or ("text" in names and "prompt" not in names):
        return "sft", "sft"
    if "prompt" in names and names & {"answer", "tests"}:
        return "rl-zero", "zero"
    return "", ""


def _to_yaml(value: Any) -> str:
    """Return a mapping as YAML on one line: {prompt: Question}."""
    entries = []
    for key, item in value.items():
        text = _to_yaml(item) if isinstance(item, dict) else json.dumps(item, ensure_ascii=False)
        plain = isinstance(item, str) and item.replace("_", "").replace("/", "").replace(".", "").isalnum()
        entries.append(f"{key}: {item if plain else text}")
    return "{" + ", ".join(entries) + "}"
