"""Read the files of a run, which a kill, a full disk or an editor may have damaged.

A command that shows runs names a damaged file in a warning and goes on with the rest; a stage that needs the file
refuses it with an error.

    read_json_object(run.path / "eval.json")            {} if it is missing, {} and a warning if it is damaged
    read_state(run.path / "samples/manifest.json")      UserError if it is missing or damaged
"""

import json
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypedDict, get_type_hints

from pydantic import Field, TypeAdapter, ValidationError

from r1kit.errors import UserError
from r1kit.messages import logger
from r1kit.nesting import check_depth

Count = Annotated[int, Field(ge=0, le=2**53)]
Seconds = Annotated[float, Field(ge=0, le=2**53, allow_inf_nan=False)]


class Parent(TypedDict, total=False):
    """An entry of `parents` in run.json: a run or a file that the run was made from."""

    role: str
    path: str
    stage: str | None
    status: str | None
    started: str | None
    content: str | None


class RunInfo(TypedDict, total=False):
    """The fields of run.json that commands show."""

    stage: str | None
    status: str | None
    started: str | None
    finished: str | None
    session_started: Seconds | None
    seconds: Seconds | None
    steps: Count | None
    tokens: Count | None
    rows: Count | None
    samples: Count | None
    seed: Count | None
    sessions: Count | None
    host: str | None
    versions: dict[str, str] | None
    parents: list[Any] | None


@cache
def warn_of_damage(file: Path, reason: str) -> None:
    """Warn once per process that a file of a run is damaged; `reason` names the damage."""
    logger.warning(f"{file} is damaged, and what cannot be read of it is left out: {' '.join(reason.split())}")


def describe_damage(error: Exception) -> str:
    """Return in a few words why a file could not be read or does not hold what r1kit writes."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        return f"it is no JSON: {error.msg} in line {error.lineno}, column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return "it is no text in UTF-8"
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    return str(error).partition("\n")[0] or type(error).__name__


def parse_json(text: str) -> Any:
    """Parse JSON. Raises ValueError for what is not JSON, and RecursionError for what is nested too deeply."""
    value = json.loads(text)
    check_depth(value, text)
    return value


def read_json_object(file: Path) -> dict[str, Any]:
    """Return the object in a JSON file; {} if it is missing, and with a warning if it is damaged."""
    try:
        values = parse_json(file.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, RecursionError) as error:
        warn_of_damage(file, describe_damage(error))
        return {}
    if not isinstance(values, dict):
        warn_of_damage(file, "it holds no JSON object")
        return {}
    return values


def read_run_info(run_dir: Path) -> dict[str, Any]:
    """Return the content of run.json; a warning names fields of wrong types, which are left out."""
    file = run_dir / "run.json"
    return keep_valid_fields(read_json_object(file), RunInfo, file)


def read_parents(info: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the parents in a run.json, without those that lack a role or a path."""
    parents = info.get("parents")
    if not isinstance(parents, list):
        return []
    parents = [keep_valid_fields(parent, Parent) for parent in parents if isinstance(parent, dict)]
    return [parent for parent in parents if {"role", "path"} <= parent.keys()]


def keep_valid_fields(values: dict[str, Any], schema: type, file: Path | None = None) -> dict[str, Any]:
    """Return an object of JSON without the fields whose values have other types than in `schema`, a TypedDict.

    With the `file` that it comes from, the user is warned of them.
    """
    valid_fields = dict(values)
    for name, field_type in get_type_hints(schema, include_extras=True).items():
        if name in valid_fields and not is_valid(valid_fields[name], field_type):
            del valid_fields[name]
            if file is not None:
                warn_of_damage(file, f"its {name} is no value that r1kit writes")
    return valid_fields


def is_valid(value: Any, field_type: Any) -> bool:
    """Return whether a value of JSON has a type, without any conversion: the text "5" is no number."""
    try:
        _type_adapter(field_type).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


@cache
def _type_adapter(field_type: Any) -> TypeAdapter:
    return TypeAdapter(field_type)


def read_json_lines(file: Path) -> list[dict[str, Any]]:
    """Return the objects in a file of JSON lines; [] if it is missing.

    A warning names the first line that is no object. The last line may be cut short without a warning: a kill may have
    ended it, or it is still being written.
    """
    try:
        text = file.read_text(errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        warn_of_damage(file, describe_damage(error))
        return []
    return parse_json_lines(text, file)


def parse_json_lines(text: str, file: Path, is_tail: bool = False) -> list[dict[str, Any]]:
    """Return the objects in lines of JSON from a file; `is_tail`: the text begins in the middle of a line."""
    values = []
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        try:
            value = parse_json(line) if line.strip() else {}
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            if value:
                values.append(value)
        elif number < len(lines) and not (is_tail and number == 1):
            line_name = "a line" if is_tail else f"line {number}"
            warn_of_damage(file, f"{line_name} of it is no JSON object")
    return values


def read_state(file: Path) -> dict[str, Any]:
    """Return the object in a JSON file that a stage goes on from. Raises UserError if it is missing or damaged."""
    try:
        values = parse_json(file.read_text())
        if not isinstance(values, dict):
            raise ValueError("it holds no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        action = "restore it, set output to another directory, or pass --overwrite"
        raise UserError("output", file, f"is damaged: {describe_damage(error)}", action) from None
    return values
