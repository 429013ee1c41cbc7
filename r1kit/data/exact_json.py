"""A column type for values of mixed shapes: each value is kept as JSON, and comes back exactly as it was.

`datasets` has such a type, `Json`, but its JSON library rounds numbers to ten digits, refuses whole numbers beyond 64
bits, and reads the text "7" back as the number 7. `ExactJson` is that type with Python's own JSON.
"""

import json
import math
import warnings
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

from r1kit.nesting import MAX_JSON_DEPTH, check_depth

if TYPE_CHECKING:
    from datasets import Features

# A float holds 17 significant digits; a number with more of them is kept as a Decimal, so that no digit is lost.
MAX_FLOAT_DIGITS = 17
# Python converts no longer whole number from text, since that takes quadratic time.
MAX_INT_DIGITS = 4300


def parse_json(text: str) -> Any:
    """Parse JSON without losing a digit: a number that no float holds becomes a Decimal.

    Raises ValueError for text that is not JSON, and RecursionError for JSON that is nested thousands of levels deep.
    """
    return _DECODER.decode(text)


def parse_json_line(line: str) -> Any:
    """Parse a line that is one JSON value without white space before it as `parse_strictly` does, only quicker.

    Raises ValueError for any other line, among them some that `parse_strictly` takes, and RecursionError as that does.
    """
    try:
        value, end = _QUICK_SCAN(line, 0)
    except StopIteration:
        raise ValueError("no JSON value at the beginning") from None
    if end != len(line) and line[end:].strip(" \t\r\n"):
        raise ValueError("text after the JSON value")
    check_depth(value, line)
    return value


def parse_strictly(text: str) -> Any:
    """Parse JSON of a user's file without losing a digit, and refuse what readers of JSON take in different ways.

    Raises ValueError for text that is not JSON, for NaN and infinities, and for a key that an object has twice; and
    RecursionError for JSON that is nested more than MAX_JSON_DEPTH levels deep.
    """
    value = _STRICT_DECODER.decode(text)
    check_depth(value, text)
    return value


def _build_object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members of a JSON object as a dict. Raises ValueError for a key that is there twice."""
    value = dict(members)
    if len(value) < len(members):
        names = [name for name, _ in members]
        repeated_name = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {json.dumps(repeated_name)} is there twice in one object")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON; where there is no value, it is null")


def explain_json_error(error: ValueError | RecursionError) -> str:
    """Return why `parse_strictly` refused a text, as the requirement of a UserError."""
    if isinstance(error, RecursionError):
        return f"must be JSON whose lists and objects are nested at most {MAX_JSON_DEPTH} levels deep"
    if isinstance(error, json.JSONDecodeError):
        return f"must be JSON: {error.msg} at column {error.colno}"
    return f"must be JSON: {error}"


def _parse_float(text: str) -> float | Decimal:
    # Counted with sign and point, as a first and quick test.
    if len(text) <= MAX_FLOAT_DIGITS:
        value = float(text)
        return Decimal(text) if math.isinf(value) else value  # such as 1e999
    mantissa = text.lower().partition("e")[0]
    digits = mantissa.lstrip("-0.").replace(".", "")
    return Decimal(text) if len(digits) > MAX_FLOAT_DIGITS or math.isinf(float(text)) else float(text)


def _parse_int(text: str) -> int | Decimal:
    return int(text) if len(text) < MAX_INT_DIGITS else Decimal(text)


_DECODER = json.JSONDecoder(parse_float=_parse_float, parse_int=_parse_int)
_STRICT_DECODER = json.JSONDecoder(
    object_pairs_hook=_build_object, parse_float=_parse_float, parse_int=_parse_int, parse_constant=_refuse_constant
)
# Without `parse_int`, which would make it slow: Python raises ValueError for whole numbers that are too long for it.
_QUICK_SCAN = json.JSONDecoder(
    object_pairs_hook=_build_object, parse_float=_parse_float, parse_constant=_refuse_constant
).scan_once  # type: ignore[attr-defined]


def dump_json(value: Any) -> str:
    """Return a value as JSON; a Decimal is written with all of its digits, a date or time as text."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except TypeError:
        return _dump_uncommon(value)


def _dump_uncommon(value: Any) -> str:
    """Return a value as JSON that holds what Python's writer does not know, such as a Decimal."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dict):
        members = [f"{json.dumps(str(key), ensure_ascii=False)}: {dump_json(member)}" for key, member in value.items()]
        return "{" + ", ".join(members) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(dump_json, value)) + "]"
    if isinstance(value, bytes):
        return json.dumps(value.decode("utf-8", errors="replace"), ensure_ascii=False)
    return json.dumps(str(value), ensure_ascii=False)


@cache
def exact_json_type() -> Any:
    """Return the class ExactJson, which is made when it is first needed: importing `datasets` takes a second."""
    from datasets import Json
    from datasets.features.features import register_feature

    @dataclass
    class ExactJson(Json):
        """A column of any values, stored as JSON."""

        # The name under which `datasets` finds the type again when it reads a file.
        _type: str = field(default="ExactJson", init=False, repr=False)

        # Found by its name in this module, so that `datasets` can pickle it for its fingerprints.
        __module__ = __name__
        __qualname__ = "ExactJson"

        def encode_example(self, example_data: Any) -> str | None:
            return None if example_data is None else dump_json(example_data)

        def decode_example(self, example_data: Any, token_per_repo_id: Any = None) -> Any:
            return None if example_data is None else parse_json(example_data)

        def cast_storage(self, storage: Any) -> Any:
            import pyarrow as pa

            if isinstance(storage, pa.JsonArray):
                return storage
            # Text is what `encode_example` has returned; an array of another type holds the values themselves.
            if pa.types.is_string(storage.type) or pa.types.is_large_string(storage.type):
                texts = storage.to_pylist()
            else:
                texts = [None if value is None else dump_json(value) for value in storage.to_pylist()]
            return pa.array(texts, pa.json_())

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `datasets` calls its registry of types experimental
        register_feature(ExactJson, "ExactJson")
    return ExactJson


def __getattr__(name: str) -> Any:
    """Return the class ExactJson by its name, as unpickling asks for it."""
    if name == "ExactJson":
        return exact_json_type()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def is_json_column(feature: Any) -> bool:
    """Return whether the values of a column are kept as JSON."""
    from datasets import Json

    return isinstance(feature, Json)


def with_exact_json(features: "Features") -> "Features":
    """Return features with ExactJson in place of each column of the type Json, which reads numbers wrongly."""
    from datasets import Features

    return Features({name: exact_json_type()() if is_json_column(f) else f for name, f in features.items()})
