"""The column `tests` of a programming problem: read it, and say why a program could not be judged."""

import json
import keyword
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from r1kit.messages import logger
from r1kit.rewards.settings import SettingError

# The fields that each kind of test of a program must have.
TEST_FIELDS = {
    "stdio": ({"input", "output"},),
    "call": ({"function", "args", "expected"},),
    "assert": ({"code"},),
    "checker": ({"code", "input"}, {"code", "function", "args"}),  # one of the two
}
ORDERS = (None, "any", "any_nested")
_LONGEST_NUMBER = 4300  # digits that Python's int reads; Decimal reads any number

_reasons_said: set[str] = set()


def parse_tests(value: Any) -> list[dict[str, Any]] | None:
    """Return a row's tests, which are a list or its JSON; [] where it has none, None where they are broken.

    Tests as data sets have them, such as `["assert add(1, 2) == 3"]` or `{"inputs": ["1"], "outputs": ["2"]}`, are read
    as the adapters read them.
    """
    try:
        if isinstance(value, str) and value:
            value = json.loads(value, parse_int=_read_whole_number)
        if value and not _have_kinds(value):
            from r1kit.data.adapters.code_tests import parse_tests as parse_usual_form

            value = parse_usual_form(value) or None
            if value is None:
                return None
        elif value is not None:
            value = _with_plain_numbers(value)
        tests = [_without_empty_fields(test) for test in value] if value is not None else []
        for test in tests:
            if not _has_fields(test):
                return None
            if not isinstance(test.get("code", ""), str):
                return None
        return tests
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, MemoryError):
        return None


def _with_plain_numbers(value: Any) -> Any:
    """Return tests with the Decimals by which tables hold long numbers as Python's whole numbers, or as floats."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {name: _with_plain_numbers(item) for name, item in value.items()}
    if isinstance(value, list | tuple) or type(value).__name__ == "ndarray":
        return [_with_plain_numbers(item) for item in value]
    return value


def _have_kinds(tests: Any) -> bool:
    return isinstance(tests, list) and any(isinstance(test, dict) and "kind" in test for test in tests)


def _without_empty_fields(test: dict[str, Any]) -> dict[str, Any]:
    """Return a test without the fields that are None, which other tests of its table have; a call may expect None."""
    may_expect_none = test["kind"] == "call"
    return {
        name: value for name, value in test.items() if value is not None or (name == "expected" and may_expect_none)
    }


def _has_fields(test: dict[str, Any]) -> bool:
    """Return whether a test has what its kind needs."""
    has_fields = any(needed <= test.keys() for needed in TEST_FIELDS[test["kind"]])
    are_lists = all(isinstance(test.get(field, []), list) for field in ("args", "args_after"))
    return has_fields and are_lists and test.get("order") in ORDERS


def _read_whole_number(text: str) -> int:
    return int(text) if len(text) <= _LONGEST_NUMBER else int(Decimal(text))


def require_packages(packages: Any) -> None:
    """Raise SettingError unless `packages` is a list of names that can be imported."""
    is_list = isinstance(packages, Sequence) and not isinstance(packages, str)
    if not (is_list and all(map(_is_module_name, packages))):
        requirement = "must be a list of names as they are imported, such as [numpy]"
        raise SettingError("accuracy", "packages", packages, requirement)


def _is_module_name(name: Any) -> bool:
    return isinstance(name, str) and name.isidentifier() and not keyword.iskeyword(name)


def warn_of_fault(reason: str | None) -> None:
    """Say once why programs get no verdict."""
    if reason is None or reason in _reasons_said:
        return
    _reasons_said.add(reason)
    logger.warning("Programs could not be judged (FAULT): %s.", reason)
