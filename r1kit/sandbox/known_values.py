"""Classes and values of the standard library that both processes of an `assert` test have, and numbers of numpy.

What it defends against: a program that names a class or a function by which the test's process would do its work. Only
what is listed here is ever made from a name: data, abstract classes and exceptions. This file runs inside the box
(boot.py), in both processes.
"""

import builtins
import sys

_VALUE_CLASS_NAMES = """
    fractions.Fraction decimal.Decimal collections.Counter collections.OrderedDict collections.defaultdict
    collections.deque datetime.date datetime.datetime datetime.time datetime.timedelta datetime.timezone
    zoneinfo.ZoneInfo uuid.UUID pathlib.PosixPath pathlib.PurePosixPath pathlib.PureWindowsPath array.array
    types.SimpleNamespace re.Pattern ipaddress.IPv4Address ipaddress.IPv6Address ipaddress.IPv4Network
    ipaddress.IPv6Network
"""
_ABSTRACT_CLASS_NAMES = """
    abc.ABC enum.Enum enum.IntEnum enum.Flag enum.IntFlag numbers.Number numbers.Complex numbers.Real
    numbers.Rational numbers.Integral
    collections.abc.Callable collections.abc.Collection collections.abc.Container collections.abc.Coroutine
    collections.abc.Generator collections.abc.Hashable collections.abc.Iterable collections.abc.Iterator
    collections.abc.Mapping collections.abc.MutableMapping collections.abc.MutableSequence collections.abc.MutableSet
    collections.abc.Reversible collections.abc.Sequence collections.abc.Set collections.abc.Sized
    contextlib.AbstractContextManager contextlib.AbstractAsyncContextManager
"""
_ERROR_CLASS_NAMES = """
    decimal.InvalidOperation decimal.DivisionByZero decimal.Inexact json.decoder.JSONDecodeError
    asyncio.exceptions.CancelledError asyncio.exceptions.InvalidStateError queue.Full _queue.Empty struct.error
    zlib.error binascii.Error re.error dataclasses.FrozenInstanceError subprocess.CalledProcessError copy.Error
    statistics.StatisticsError zoneinfo.ZoneInfoNotFoundError ipaddress.AddressValueError
"""
_ABSTRACT_CLASSES = frozenset(_ABSTRACT_CLASS_NAMES.split())
_KNOWN_CLASSES = _ABSTRACT_CLASSES | frozenset((_VALUE_CLASS_NAMES + _ERROR_CLASS_NAMES).split())
# Functions of Python's builtins that go over by their names: they only compute, and reach nothing else of a process.
_PLAIN_FUNCTION_NAMES = """
    abs all any ascii bin callable chr divmod hash hex len max min oct ord pow repr round sorted sum
"""
_PLAIN_FUNCTIONS = frozenset(_PLAIN_FUNCTION_NAMES.split())
_VIEWS = {type({}.keys()): "keys", type({}.values()): "values", type({}.items()): "items"}
PLAIN_DTYPE_KINDS = "biufcSUmM"  # of numpy: numbers, text and times, but no objects


def _text(value):
    return (str(value),)


# By the name of a class whose values never change: the arguments by which the other process makes an equal value.
_ARGUMENTS = {
    "builtins.range": lambda value: (value.start, value.stop, value.step),
    "builtins.slice": lambda value: (value.start, value.stop, value.step),
    "builtins.memoryview": lambda value: (value.tobytes(),),
    "fractions.Fraction": lambda value: (value.numerator, value.denominator),
    "decimal.Decimal": _text,
    "datetime.timedelta": lambda value: (value.days, value.seconds, value.microseconds),
    "datetime.date": lambda value: (value.year, value.month, value.day),
    "datetime.time": lambda value: (value.hour, value.minute, value.second, value.microsecond, value.tzinfo),
    "datetime.datetime": lambda value: (*value.timetuple()[:6], value.microsecond, value.tzinfo),
    "datetime.timezone": lambda value: (value.utcoffset(None),),
    "zoneinfo.ZoneInfo": _text,
    "uuid.UUID": _text,
    "pathlib.PosixPath": _text,
    "pathlib.PurePosixPath": _text,
    "pathlib.PureWindowsPath": _text,
    "ipaddress.IPv4Address": _text,
    "ipaddress.IPv6Address": _text,
    "ipaddress.IPv4Network": _text,
    "ipaddress.IPv6Network": _text,
    "re.Pattern": lambda value: (value.pattern, value.flags),
}


def form_of_known_class(value):
    """Return the form of a class that both processes have, or None."""
    if getattr(builtins, value.__name__, None) is value:
        return "builtin", value.__name__
    name = f"{value.__module__}.{value.__qualname__}"
    if name in _KNOWN_CLASSES and getattr(sys.modules.get(value.__module__), value.__qualname__, None) is value:
        return "known", name
    return None


def is_plain_function(value):
    """Return whether a function is one of Python's builtins that only compute, such as `len`."""
    return value.__name__ in _PLAIN_FUNCTIONS and getattr(builtins, value.__name__, None) is value


def plain_builtin(name):
    """Return a class of Python's builtins, or a function that only computes."""
    value = getattr(builtins, name)
    if not (isinstance(value, type) or name in _PLAIN_FUNCTIONS or value is Ellipsis or value is NotImplemented):
        raise ValueError("no plain function")
    return value


def known_class(name):
    """Return a listed class of the standard library."""
    if name not in _KNOWN_CLASSES:
        raise ValueError("no class that both processes have")
    module_name, _, class_name = name.rpartition(".")
    __import__(module_name)
    return getattr(sys.modules[module_name], class_name)


def abstract_names_of(described):
    """Return the names of the listed abstract classes from which a class is derived."""
    names = [f"{base.__module__}.{base.__qualname__}" for base in described.__mro__]
    return [name for name in names if name in _ABSTRACT_CLASSES]


def form_of_known_value(value, value_type):
    """Return the form of a value of a listed type that is made anew in the other process; None for other types."""
    if value is Ellipsis or value is NotImplemented:
        return "builtin", repr(value)
    if value_type in _VIEWS:
        content = dict(value.mapping) if _VIEWS[value_type] != "values" else list(value)
        return "view", _VIEWS[value_type], content
    name = f"{value_type.__module__}.{value_type.__qualname__}"
    if name in _ARGUMENTS:
        return "new", name, _ARGUMENTS[name](value)
    if name == "dataclasses.Field":
        return "field", value.name, value.init, value._field_type.name
    if value_type.__module__ == "numpy" and (numpy := sys.modules.get("numpy")) is not None:
        if isinstance(value, numpy.generic) and value.dtype.kind in PLAIN_DTYPE_KINDS:
            return "number", value.dtype.str, value.tobytes()
        if value_type is numpy.ndarray:
            return "objects", value.tolist()
    return None


def make_known_value(form, *details):
    """Return the value whose form `form_of_known_value` has returned in the other process."""
    if form == "new":
        return _make_new(*details)
    if form == "view":
        view_name, content = details
        return dict(enumerate(content)).values() if view_name == "values" else getattr(dict(content), view_name)()
    if form == "field":
        return _make_field(*details)
    if form == "number":
        return _make_number(*details)
    if form == "objects":
        import numpy

        return numpy.array(*details, dtype=object)
    raise ValueError("no value")


def _make_new(name, args):
    if name not in _ARGUMENTS:
        raise ValueError("no value")
    if name == "re.Pattern":
        import re

        return re.compile(*args)
    value_class = getattr(builtins, name.removeprefix("builtins."), None) or known_class(name)
    return value_class(*args)


def _make_field(name, init, kind):
    """Return a dataclass's field, as far as `dataclasses.asdict`, `fields` and `replace` read it."""
    import dataclasses

    field = dataclasses.field(init=init is True)
    field.name = str(name)
    kinds = (dataclasses._FIELD_INITVAR, dataclasses._FIELD_CLASSVAR)
    field._field_type = next((value for value in kinds if value.name == kind), dataclasses._FIELD)
    return field


def _make_number(type_text, content):
    import numpy

    dtype = numpy.dtype(type_text)
    if dtype.kind not in PLAIN_DTYPE_KINDS:
        raise ValueError("no value")
    return numpy.frombuffer(content, dtype=dtype)[0]
