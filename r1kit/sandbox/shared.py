"""Keep lists, dicts and other containers the same in both processes of an `assert` test.

In one process a test and a program may hold the same list: what one of them appends, the other one sees. In two
processes each has a copy. `SharedValues` gives both copies one number; and as only one process runs at a time, it is
enough that each message (objects.py) first brings what has changed in the copies since the last one. A container is
shared as long as both processes hold it.

    test:      a = [3, 1]; s = Stack(a); a.append(2)
    program:   a Stack that holds the copy of `a`, which is [3, 1, 2] when the test next asks for something

What it defends against: nothing; a program may change what a test has given it, as in one process, and no more than
that. This file runs inside the box (boot.py), in both processes.
"""

import sys
from _operator import is_

from r1kit.sandbox.known_values import PLAIN_DTYPE_KINDS

_LONE_REFERENCES = 2  # as sys.getrefcount counts them, of a value that nothing holds but its entry in SharedValues
_LONE_STAND_IN_REFERENCES = 3  # the same of a stand-in, which Peer.stand_ins holds as well


class Kind:
    """How the content of one type of container is read and replaced, past the methods of subclasses.

    `letter`: its name in a message. `has_items`: whether the content is a tuple of items, which are compared by
    identity; otherwise it is bytes. `has_detail`: whether the other process needs more than the content.
    """

    letter = ""
    base = object
    has_items = True
    has_detail = False

    def make(self, detail, container_class=None):
        """Return an empty container; `detail` is that of `detail_of`. `container_class`: a subclass of the type."""
        container = self.base.__new__(container_class or self.base)
        self.prepare(container, detail)
        return container

    def prepare(self, container, detail):
        """Give a new container what its type keeps beside the content."""

    def detail_of(self, value):
        """Return what the other process needs beside the content, as plain data or objects of it."""
        return None

    def content(self, value):
        """Return the items of a container."""
        return tuple(self.base.__iter__(value))

    def fill(self, value, content):
        """Replace the content of a container."""
        raise NotImplementedError


class _ListKind(Kind):
    letter, base = "l", list

    def fill(self, value, content):
        list.__setitem__(value, slice(None), content)


class _SetKind(Kind):
    letter, base = "e", set

    def fill(self, value, content):
        set.clear(value)
        set.update(value, content)


class _DictKind(Kind):
    """Keys first, then values."""

    letter, base = "d", dict

    def content(self, value):
        return (*self.base.keys(value), *dict.values(value))

    def fill(self, value, content):
        half = len(content) // 2
        self.base.clear(value)
        for key, item in zip(content[:half], content[half:], strict=True):
            self.base.__setitem__(value, key, item)


class _ByteArrayKind(Kind):
    letter, base, has_items = "a", bytearray, False

    def content(self, value):
        return bytes(value)

    def fill(self, value, content):
        bytearray.__setitem__(value, slice(None), content)


class _OrderedDictKind(_DictKind):
    letter = "o"

    def __init__(self, module):
        self.base = module.OrderedDict

    def content(self, value):
        items = tuple(self.base.items(value))
        return (*[key for key, _ in items], *[item for _, item in items])


class _CounterKind(_DictKind):
    letter = "c"

    def __init__(self, module):
        self.base = module.Counter


class _DefaultDictKind(_DictKind):
    letter, has_detail = "f", True

    def __init__(self, module):
        self.base = module.defaultdict

    def prepare(self, container, detail):
        self.base.__init__(container, detail if callable(detail) else None)

    def detail_of(self, value):
        return value.default_factory


class _DequeKind(Kind):
    letter, has_detail = "q", True

    def __init__(self, module):
        self.base = module.deque

    def prepare(self, container, detail):
        self.base.__init__(container, (), detail)

    def detail_of(self, value):
        return value.maxlen

    def fill(self, value, content):
        self.base.clear(value)
        self.base.extend(value, content)


class _NamespaceKind(Kind):
    letter = "s"

    def __init__(self, module):
        self.base = module.SimpleNamespace

    def content(self, value):
        return (*vars(value), *vars(value).values())

    def fill(self, value, content):
        half = len(content) // 2
        vars(value).clear()
        vars(value).update(zip(content[:half], content[half:], strict=True))


class _ArrayKind(Kind):
    letter, has_items, has_detail = "m", False, True

    def __init__(self, module):
        self.base = module.array

    def make(self, detail, container_class=None):
        return self.base.__new__(container_class or self.base, detail)

    def detail_of(self, value):
        return value.typecode

    def content(self, value):
        return value.tobytes()

    def fill(self, value, content):
        value[:] = self.base(value.typecode, content)


class _NumpyKind(Kind):
    """Arrays of numbers, text and times; their bytes are the content."""

    letter, has_items, has_detail = "n", False, True

    def __init__(self, module):
        self.numpy = module
        self.base = module.ndarray

    def make(self, detail, container_class=None):
        type_text, shape = detail
        dtype = self.numpy.dtype(type_text)
        if dtype.kind not in PLAIN_DTYPE_KINDS:
            raise ValueError("no value")
        return self.numpy.zeros(shape, dtype)

    def detail_of(self, value):
        return value.dtype.str, value.shape

    def content(self, value):
        return value.tobytes()

    def fill(self, value, content):
        value[...] = self.numpy.frombuffer(content, dtype=value.dtype).reshape(value.shape)


LIST, SET, DICT, BYTE_ARRAY = _ListKind(), _SetKind(), _DictKind(), _ByteArrayKind()
_PLAIN_KINDS = {list: LIST, set: SET, dict: DICT, bytearray: BYTE_ARRAY}
# Kinds of types that a program may import: module, name of the type, its kind.
_LIBRARY_KINDS = (
    ("collections", "deque", _DequeKind),
    ("collections", "OrderedDict", _OrderedDictKind),
    ("collections", "Counter", _CounterKind),
    ("collections", "defaultdict", _DefaultDictKind),
    ("array", "array", _ArrayKind),
    ("types", "SimpleNamespace", _NamespaceKind),
    ("numpy", "ndarray", _NumpyKind),
)


class Kinds:
    """The kinds of containers, with those of the modules that this process has imported."""

    def __init__(self):
        self.by_type = dict(_PLAIN_KINDS)
        self.by_letter = {kind.letter: kind for kind in _PLAIN_KINDS.values()}

    def of(self, value, value_type):
        """Return the kind of a value whose type is exactly `value_type`, or None if it is no container."""
        kind = self.by_type.get(value_type)
        if kind is None:
            for module_name, type_name, kind_class in _LIBRARY_KINDS:
                if value_type.__name__ == type_name and value_type is self._type_of(module_name, type_name):
                    kind = self._add(module_name, type_name, kind_class)
        if kind is not None and kind.letter == "n" and value.dtype.kind not in PLAIN_DTYPE_KINDS:
            return None
        return kind

    def of_subclass(self, value_type):
        """Return the kind of which a class is a subclass, or None."""
        for base in value_type.__mro__[1:]:
            kind = self.of(None, base) if base.__name__ != "ndarray" else None
            if kind is not None:
                return kind
        return None

    def named(self, letter):
        """Return the kind of that letter; it may be that of a module which is not imported yet."""
        if letter not in self.by_letter:
            for module_name, type_name, kind_class in _LIBRARY_KINDS:
                if kind_class.letter == letter:
                    __import__(module_name)
                    self._add(module_name, type_name, kind_class)
        return self.by_letter[letter]

    def _type_of(self, module_name, type_name):
        return getattr(sys.modules.get(module_name), type_name, None)

    def _add(self, module_name, type_name, kind_class):
        kind = kind_class(sys.modules[module_name])
        self.by_type[self._type_of(module_name, type_name)] = self.by_letter[kind.letter] = kind
        return kind


def _count_same(items, old_items):
    """Return how many items, from the first one on, are the same objects in both."""
    if all(map(is_, items, old_items)):
        return min(len(items), len(old_items))
    return next(i for i, (item, old_item) in enumerate(zip(items, old_items, strict=False)) if item is not old_item)


class _Entry:
    """A shared container; `content` is what the other process has of it, None while it is being read."""

    __slots__ = ("content", "kind", "object_number", "value")

    def __init__(self, value, kind, object_number):
        self.value = value
        self.kind = kind
        self.object_number = object_number  # of a stand-in
        self.content = None


class SharedValues:
    """The containers that both processes hold, by number: positive for those that this process was the first to send.

    A number changes its sign on its way to the other process.
    """

    def __init__(self, stand_ins):
        self.stand_ins = stand_ins  # those of the peer, of which some are containers
        self.entries = {}
        self.numbers = {}  # by id of the container, which its entry keeps alive
        self.last_number = 0

    def number_of(self, value):
        """Return the number of a shared container, or None."""
        return self.numbers.get(id(value))

    def add_own(self, value, kind):
        """Share a container of this process; return its number and its content, which the message must bring."""
        self.last_number += 1
        entry = self._add(self.last_number, value, kind)
        entry.content = kind.content(value)
        return self.last_number, entry.content

    def add_received(self, number, value, kind, object_number=None):
        """Share a container that the other process has sent; `set_content` must follow."""
        self._add(-number, value, kind, object_number)

    def set_content(self, number, content):
        """Fill a container with what the other process has in it, if it is still shared."""
        entry = self.entries.get(-number)
        if entry is not None:
            entry.kind.fill(entry.value, content)
            entry.content = entry.kind.content(entry.value)

    def value_of(self, number):
        """Return the shared container that the other process means by a number."""
        return self.entries[-number].value

    def _add(self, number, value, kind, object_number=None):
        entry = self.entries[number] = _Entry(value, kind, object_number)
        self.numbers[id(value)] = number
        return entry

    def take_changes(self):
        """Return what of the containers the other process does not have: ((number, items it has, content after them),).

        A list that has grown is sent from where it has grown.
        """
        changes = []
        for number, entry in self.entries.items():
            if entry.content is None:
                continue
            content, old_content = entry.kind.content(entry.value), entry.content
            if not entry.kind.has_items:
                same_count = 0
                is_same = content == old_content
            else:
                same_count = _count_same(content, old_content)
                is_same = same_count == len(content) == len(old_content)
            if not is_same:
                entry.content = content
                changes.append((number, same_count, content[same_count:]))
        return tuple(changes)

    def apply_change(self, number, same_count, content):
        """Give a container the content of the other process's."""
        entry = self.entries.get(-number)
        if entry is not None and entry.content is not None:
            self.set_content(number, entry.content[:same_count] + content)

    def drop_unused(self):
        """Stop sharing containers that nothing else in this process holds; return their numbers."""
        dropped = []
        for number, entry in list(self.entries.items()):
            is_stand_in = entry.object_number is not None
            lone_references = _LONE_STAND_IN_REFERENCES if is_stand_in else _LONE_REFERENCES
            if entry.content is not None and sys.getrefcount(entry.value) <= lone_references:
                dropped.append(number)
                self.forget(number)
                if is_stand_in:
                    del self.stand_ins[entry.object_number]
        return tuple(dropped)

    def forget(self, number):
        """Stop sharing a container."""
        entry = self.entries.pop(number, None)
        if entry is not None:
            del self.numbers[id(entry.value)]

    def forget_all(self, dropped):
        """Stop sharing what the other process has dropped, and empty the list of its numbers."""
        while dropped:
            self.forget(-dropped.pop())
