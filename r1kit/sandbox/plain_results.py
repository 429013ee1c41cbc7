"""Turn what a function of a `call` test returns into what JSON can hold, which is how the expected value is written.

An iterator, a range, a deque or a view of a dict becomes a list; a Decimal or a Fraction a number; a date its text;
numbers and arrays of numpy Python's own. Everything else stays as it is. This file runs inside the box (boot.py).
"""

import sys

_LIST_LIKE = frozenset(
    ("range", "deque", "dict_keys", "dict_values", "dict_items", "odict_keys", "odict_values", "odict_items", "array")
)
_NUMBERS = frozenset((("decimal", "Decimal"), ("fractions", "Fraction")))
_TIMES = frozenset(("date", "datetime", "time"))
_SAME = frozenset((type(None), bool, int, float, str))


def as_plain_data(value):
    """Return a result, with what it holds, as lists, dicts, numbers and texts as far as it can be written so."""
    value_type = type(value)
    if value_type in _SAME:
        return value
    if issubclass(value_type, list | tuple):
        return [as_plain_data(item) for item in value]
    if issubclass(value_type, dict):
        return {as_plain_data(key): as_plain_data(item) for key, item in value.items()}
    if hasattr(value_type, "__next__") or value_type.__name__ in _LIST_LIKE:
        return [as_plain_data(item) for item in value]
    module_name, type_name = value_type.__module__, value_type.__name__
    if (module_name, type_name) in _NUMBERS:
        return int(value) if value == value // 1 else float(value)
    if module_name == "datetime" and type_name in _TIMES:
        return str(value)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic):
        return value.tolist()
    return value
