"""Compare what a program printed, or returned, with what a test expects.

Printed text is compared token by token, as programming contests do: white space separates tokens, and how much of it
there is and where lines break does not count. Words must be equal letter by letter. Numbers are compared by value, as
LiveCodeBench and NeMo-Gym do: where the expected number is whole, the printed one must be exactly that number; where
it is real, both may differ by a millionth, absolute or relative.

    is_same_output("Case 1: 2.5\\n", "Case 1: 2.50")     True
    is_same_output("1000000000000000001", "1000000000000000000")     False

What it defends against: output that is made to break or slow the comparison (endless digits, huge exponents, digits of
other scripts). What it does NOT do: accept another right answer where a problem has several; a test of kind `checker`
judges those (judge.py).
"""

import math
import re
from collections import Counter
from decimal import Decimal, InvalidOperation
from typing import Any

from r1kit.sandbox.values import encode_value

RELATIVE_TOLERANCE = ABSOLUTE_TOLERANCE = 1e-6  # of an expected real number
# ASCII digits only, and no underscores, both of which Python's own `float` would take.
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?")
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")
_PADDED_NUMBER = re.compile(r"[+-]?0[0-9]+")  # 007 and 0101 are texts of digits
_WHITE_SPACE = re.compile("[ \t\n\r\f\v]+")


def join_lines(value: Any) -> str:
    """Return a test's input or output as text: a list holds its lines, as in APPS and TACO."""
    if isinstance(value, list | tuple):
        return "\n".join(map(join_lines, value))
    return str(value)


def is_same_output(printed: str, expected: str, order: str | None = None) -> bool:
    """Return whether a program printed what is expected. With an `order` (ORDERS) its lines may come in any order."""
    if order:
        return _have_same_members(_token_lines(printed), _token_lines(expected), _are_same_tokens)
    return _are_same_tokens(_split_tokens(printed), _split_tokens(expected))


def _split_tokens(text: str) -> list[str]:
    return [token for token in _WHITE_SPACE.split(text) if token]


def _token_lines(text: str) -> list[list[str]]:
    """Return the tokens of each line that has any."""
    lines = map(_split_tokens, text.split("\n"))
    return [line for line in lines if line]


def _are_same_tokens(tokens: list[str], expected_tokens: list[str]) -> bool:
    return len(tokens) == len(expected_tokens) and all(map(is_same_token, tokens, expected_tokens))


def is_same_token(token: str, expected: str) -> bool:
    """Return whether a printed token is the expected word, or a number of the expected value."""
    if token == expected:
        return True
    if not (_NUMBER.fullmatch(token) and _NUMBER.fullmatch(expected)):
        return False
    if _PADDED_NUMBER.fullmatch(token) or _PADDED_NUMBER.fullmatch(expected):
        return False
    try:
        if Decimal(token) == Decimal(expected):
            return True
    except InvalidOperation:  # an exponent beyond what Decimal holds
        return False
    return not _WHOLE_NUMBER.fullmatch(expected) and _is_close(float(token), float(expected))


def _is_close(number: float, expected: float) -> bool:
    return math.isclose(number, expected, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE)


ORDERS = ("any", "any_nested")
"""Values of a test's `order`: the members of the outer list (or the lines) in any order, or of inner lists as well."""


def is_same_value(answer: Any, expected: Any, order: str | None = None) -> bool:
    """Return whether a decoded answer is the JSON value `expected`, in type, length and value.

    JSON has no tuples and no keys but strings: a tuple counts as a list, and other keys as json.dumps writes them
    (values.py). Where a float is expected an int is right too, and both may differ by a millionth.
    """
    if isinstance(expected, float) and type(answer) in (int, float):
        are_nan = answer != answer and expected != expected
        return answer == expected or are_nan or _is_close(answer, expected)
    if isinstance(expected, list):
        if type(answer) not in (list, tuple) or len(answer) != len(expected):
            return False
        inner_order = order if order == "any_nested" else None
        if order:
            return _have_same_members(answer, expected, lambda one, two: is_same_value(one, two, inner_order))
        return all(map(is_same_value, answer, expected))
    if isinstance(expected, dict):
        if type(answer) is not dict or answer.keys() != expected.keys():
            return False
        inner_order = order if order == "any_nested" else None
        return all(is_same_value(answer[key], expected[key], inner_order) for key in expected)
    return type(answer) is type(expected) and answer == expected


MAX_PAIRED_MEMBERS = 200
"""Members that are compared each with each, since their partner does not stand at the same place after sorting."""
_SORTED_DIGITS = 5  # of a number in a sorting key: numbers that count as equal differ by a millionth


def _have_same_members(members: Any, expected_members: Any, is_same: Any) -> bool:
    """Return whether each member has a partner of its own among the expected ones.

    Identical ones are paired first, then those that stand at the same place once both are sorted. The few that are
    left (numbers on both sides of a rounding) are compared each with each.
    """
    if len(members) != len(expected_members):
        return False
    left_over = Counter(map(encode_value, expected_members))
    unpaired = []
    for member in members:
        key = encode_value(member)
        if left_over[key] > 0:
            left_over[key] -= 1
        else:
            unpaired.append(member)
    unpaired_expected = []
    for expected in expected_members:
        key = encode_value(expected)
        if left_over[key] > 0:
            left_over[key] -= 1
            unpaired_expected.append(expected)
    pairs = zip(sorted(unpaired, key=_sorting_key), sorted(unpaired_expected, key=_sorting_key), strict=True)
    different_pairs = [pair for pair in pairs if not is_same(*pair)]
    if len(different_pairs) > MAX_PAIRED_MEMBERS:
        return False
    remaining = [expected for _, expected in different_pairs]
    for member, _ in different_pairs:
        partner = next((i for i, expected in enumerate(remaining) if is_same(member, expected)), None)
        if partner is None:
            return False
        del remaining[partner]
    return True


def _sorting_key(member: Any) -> Any:
    """Return a key by which members that count as the same are sorted to the same place.

    First by their rounded content in any order, so that this also holds where the order of their own members does not
    count; then by their rounded content, and by their content.
    """
    return _plain_key(member, _SORTED_DIGITS, True), _plain_key(member, _SORTED_DIGITS), _plain_key(member)


def _plain_key(value: Any, digits: int | None = None, is_sorted: bool = False) -> tuple[int, Any]:
    """Return a key of a value that can be compared with the key of any other value.

    `digits`: to how many digits numbers are rounded. `is_sorted`: whether the order of its members does not count.
    """
    if isinstance(value, list | tuple):
        keys = [_plain_key(item, digits, is_sorted) for item in value]
        return 2, sorted(keys) if is_sorted else keys
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        return 1, value
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:  # a whole number beyond what a float holds
            number = math.inf
        return 0, float(f"{number:.{digits}g}") if digits else number
    return 3, encode_value(value)
