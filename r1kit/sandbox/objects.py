"""Send Python objects between the two processes of an `assert` test: what is no data stays where it was made.

A `Peer` is one end of the pipes between the tester's process and the program's (remote.py). How a value goes over:

- numbers, text, tuples and the like: as a copy (values.py); dates and decimals too (known_values.py)
- lists, dicts and other containers: as a copy that is kept the same in both processes (shared.py); one of a class of
  the program's has its content here and the methods of its class there
- other objects (an instance of a class, a function, a generator): they stay in their process. The other one gets a
  stand-in (stand_ins.py), and what is done with the stand-in (a call, an attribute, `len`) is a request.

Both processes have objects and stand-ins: a test may pass its functions to the program, which calls them while the
test waits. A message is an encoded tuple, of which `news` is what has changed since the last one (Peer.take_news).
Requests are answered in the order in which they are made, nested ones first:

    ("do", news, operation, object, arguments, keyword arguments)
    ("value", news, result)       the answer to a request
    ("raise", news, exception)    the request ended in an exception

What it defends against: see stand_ins.py, which decides what the program's objects may do in the tester's process. The
tester in turn lets the program use only what the test has handed over: it answers for no name that begins with an
underscore (but for a function's name and docstring), and for no frame, code object or traceback. A program that ends
or sends what is no message fails the test, whatever exception the test may expect. What it does NOT defend against: a
program that recognises the arguments of a test's calls and answers by them.

This file runs inside the box (boot.py).
"""

import os
import sys
from _thread import RLock

from r1kit.sandbox.errors import describe_error, rebuild_error
from r1kit.sandbox.known_values import (
    abstract_names_of,
    form_of_known_class,
    form_of_known_value,
    is_plain_function,
    known_class,
    make_known_value,
    plain_builtin,
)
from r1kit.sandbox.pipes import read_packet, write_packet
from r1kit.sandbox.shared import Kinds, SharedValues
from r1kit.sandbox.values import decode_value, encode_value

# Operations that are not the name of a special method; all others are called on the object's class.
CALL, GET, SET, DELETE, NEXT, SEND, THROW = "call", "get", "set", "delete", "next", "send", "throw"
START, STEP, COPY, DEEP_COPY = "start", "step", "copy", "deep copy"
DESCRIBE, INPUT, READ = "describe", "input", "read"
_SPECIAL_NAMES = """
    len iter next getitem setitem delitem missing contains reversed call enter exit bool str repr format hash bytes int
    float index complex abs neg pos invert round trunc floor ceil aenter aexit aiter anext await
    eq ne lt le gt ge add sub mul matmul truediv floordiv mod divmod pow lshift rshift and or xor
    radd rsub rmul rmatmul rtruediv rfloordiv rmod rdivmod rpow rlshift rrshift rand ror rxor
    iadd isub imul imatmul itruediv ifloordiv imod ipow ilshift irshift iand ior ixor
"""
SPECIAL_METHODS = frozenset(f"__{name}__" for name in _SPECIAL_NAMES.split())  # that a stand-in passes on
# Names of a frame, a code object, a traceback, a generator or a coroutine, through which a test could be read.
_PRIVATE_PREFIXES = ("_", "f_", "co_", "tb_", "gi_", "cr_", "ag_")
_NAMES_OF_FUNCTION = ("__name__", "__qualname__", "__doc__")  # which a decorator copies (functools.wraps)
MAX_PRINTED = 1 << 20  # characters that a program prints between two answers, and that a test can look at
STEP_SECONDS = 0.002  # that a coroutine runs before the other process may run another one
CODEC_RECURSION_LIMIT = 10_000  # frames while a message is written or read: values.MAX_DEPTH levels of nesting

IMMUTABLE_BASES = (int, float, complex, str, bytes, tuple, frozenset)
_GENERATOR = type(_ for _ in ())
_FUNCTION, _BUILTIN_FUNCTION, _MODULE = type(lambda: 0), type(len), type(sys)
_REFERENCE, _CONTAINER = b"#", b"="  # first byte of a shared container that the other process has, or has not


class Peer:
    """One end: `request` asks the other process, `answer_until_reply` serves it while this one waits.

    `build_stand_in(peer, form, number, *details)`: makes what stands for an object of the other process (stand_ins.py).
    `own_module`: the name of the module whose classes are this process's own, not Python's or a package's.
    """

    is_tester = False  # whether this is the process of the test code, which must not trust the other

    def __init__(self, read_fd, write_fd, build_stand_in, own_module):
        self.read_fd = read_fd
        self.write_fd = write_fd
        self.build_stand_in = build_stand_in
        self.own_module = own_module
        self.objects = []
        self.numbers = {}  # by id, of the objects above: each stays alive there, so that its id stays its own
        self.stand_ins = {}  # by number, of the other process's objects
        self.kinds = Kinds()
        self.shared = SharedValues(self.stand_ins)
        self.dropped = []  # shared containers that the other process has dropped while a message is being read
        self.messages_being_read = 0  # more than one where reading one takes a request
        self.loop = None
        self.lock = RLock()  # for one thread at a time

    # --- what the two processes do differently (remote.py) ------------------------------------------------------------

    def end(self):
        """End this process: the other one has ended, or sends what is no message."""
        os._exit(1)

    def report_fault(self, reason):
        """Report that something cannot be judged; the program's process cannot."""

    def take_own_news(self):
        """Return what the other process should know beside the containers."""
        return None

    def receive_news(self, news):
        """Take what `take_own_news` has returned in the other process."""

    def check_request(self, operation, target, args):
        """Raise TypeError or AttributeError for what the other process may not ask for."""

    # --- messages ---------------------------------------------------------------------------------------------------

    def request(self, operation, target, args=(), kwargs=None):
        """Ask the other process for an operation on one of its objects; return the result, or raise its exception."""
        with self.lock:
            self.write("do", operation, target, args, kwargs or None)  # an empty dict would be shared for nothing
            reply = self.answer_until_reply()
        if reply is None:
            self.end()
        kind, result = reply
        if kind == "raise":
            raise result
        return result

    def write(self, *message):
        """Send one message, with the news after its first part."""
        limit = _allow_deep_recursion()
        try:
            data = encode_value((message[0], self.take_news(), *message[1:]), self.pack)
            write_packet(self.write_fd, data)
        except OSError:  # the other process has ended
            self.end()
        except Exception as error:
            self.report_fault(f"a value cannot be passed between test and program: {error}")
            self.end()
        sys.setrecursionlimit(limit)

    def read(self):
        """Return the other process's next message without its news, or None where the pipe ends."""
        packet = read_packet(self.read_fd)
        if packet is None:
            return None
        self.messages_being_read += 1
        limit = _allow_deep_recursion()
        try:
            kind, news, *message = decode_value(packet, self.unpack)
            self.read_news(news)
        except Exception:
            self.end()
        sys.setrecursionlimit(limit)
        self.messages_being_read -= 1
        if not self.messages_being_read:
            self.shared.forget_all(self.dropped)
        return kind, *message

    def answer_until_reply(self):
        """Answer the other process's requests; return its next reply, or None where the pipe ends."""
        while (message := self.read()) is not None:
            if message[0] != "do":
                return message
            self.answer(*message[1:])
        return None

    def answer(self, operation, target, args, kwargs):
        """Carry out a request and send its result or its exception."""
        try:
            result = self.operate(operation, target, args, kwargs or {})
        except BaseException as error:
            self.write("raise", self.error_to_send(error))
        else:
            self.write("value", result)

    def error_to_send(self, error):
        """Return the exception by which the other process learns of `error`."""
        return error

    def take_news(self):
        """Return (shared containers that have changed, those that are dropped, further news); None for no news.

        All are tuples, since lists and dicts of a message are shared.
        """
        news = self.shared.take_changes(), self.shared.drop_unused(), self.take_own_news()
        return news if any(news) else None

    def read_news(self, news):
        """Take the other process's news."""
        if news is None:
            return
        changes, dropped, further_news = news
        for change in changes:
            self.shared.apply_change(*change)
        self.dropped += dropped
        if further_news is not None:
            self.receive_news(further_news)

    # --- operations on own objects ----------------------------------------------------------------------------------

    def operate(self, operation, target, args, kwargs):
        """Carry out one operation on an object of this process; return the result."""
        self.check_request(operation, target, args)
        if operation == CALL:
            if type(target) is tuple:  # an object and the name of a method
                target = getattr(*target)
            return target(*args, **kwargs)
        if operation in (GET, SET, DELETE):
            return _operate_on_attribute(operation, target, *args)
        if operation in SPECIAL_METHODS:
            method = getattr(type(target), operation, None)
            if method is None and operation == "__getitem__" and hasattr(target, "__class_getitem__"):
                return target[args[0]]  # a generic class
            if method is None:
                raise TypeError(f"{type(target).__name__} has no {operation}")
            return method(target, *args, **kwargs)
        if operation == NEXT:
            return _next_item(target)
        if operation in (SEND, THROW):
            return _resume_generator(target, operation, *args)
        if operation in (START, STEP):
            return self.run_coroutine(operation, target)
        if operation in (COPY, DEEP_COPY):
            import copy

            return copy.copy(target) if operation == COPY else copy.deepcopy(target)
        if operation == DESCRIBE:
            return _describe_class(target, self.kinds.of_subclass(target))
        raise TypeError(f"no such operation: {operation}")

    def check_name(self, target, name):
        """Raise AttributeError for what the program may not have of a test's object."""
        is_private = name.startswith(_PRIVATE_PREFIXES) and name not in _NAMES_OF_FUNCTION
        if self.is_tester and (is_private or isinstance(target, _MODULE)):
            raise AttributeError(name)

    def run_coroutine(self, operation, target):
        """Start a coroutine, or run it on for a moment; return (whether it has ended, its result)."""
        import asyncio

        if self.is_tester and type(target).__name__ == "coroutine":
            self.report_fault("the program awaits a coroutine of the test")
        if self.loop is None:
            self.loop = asyncio.new_event_loop()
        if operation == START:
            return self.loop.create_task(_as_coroutine(target))
        self.loop.run_until_complete(asyncio.wait({target}, timeout=STEP_SECONDS))
        return (True, target.result()) if target.done() else (False, None)

    # --- values that are sent ---------------------------------------------------------------------------------------

    def pack(self, value, depth):
        """Return the bytes that stand for a value that is no plain data, or None where it is sent as plain data."""
        number = self.shared.number_of(value)
        if number is not None:
            return b"%b%d" % (_REFERENCE, number)
        kind = self.kinds.of(value, type(value))
        if kind is not None:
            return self.pack_container(kind, value, depth)
        form = self.form_of(value)
        if form is None:
            return None
        if form[0] == "holder":
            return self.pack_container(form[1], value, depth)
        return encode_value(form, self.pack, depth + 1)

    def pack_container(self, kind, value, depth):
        """Share a container; return the bytes that bring it, with its number and its content."""
        number, content = self.shared.add_own(value, kind)
        is_holder = type(value) is not kind.base
        if is_holder:
            content = self.number_of(value), self.number_of(type(value)), kind.detail_of(value), content
        elif kind.has_detail:
            content = kind.detail_of(value), content
        letter = "h" if is_holder else kind.letter
        return b"%b%d;%b" % (_CONTAINER, number, letter.encode()) + encode_value(content, self.pack, depth + 1)

    def form_of(self, value):
        """Return the tuple by which a value is sent, as `unpack` reads it; None for what is sent as plain data."""
        value_type = type(value)
        stand_in_form = _form_of_stand_in(value) if getattr(value_type, "_r1kit_stands_in", False) is True else None
        if stand_in_form is not None:
            return stand_in_form
        if issubclass(value_type, type):
            return form_of_known_class(value) or ("class", self.number_of(value))
        if issubclass(value_type, BaseException):
            number = self.number_of(value) if value_type.__module__ == self.own_module else None
            return "error", value_type, number, *describe_error(value, not self.is_tester)
        if value_type is _MODULE:
            return "module", value.__name__
        if value_type is _BUILTIN_FUNCTION and is_plain_function(value):
            return "builtin", value.__name__
        if value_type is _FUNCTION or value_type is _BUILTIN_FUNCTION:
            return "function", self.number_of(value)
        if value_type is _GENERATOR:
            return "generator", self.number_of(value)
        if value_type.__name__ == "coroutine":
            return "coroutine", self.number_of(value)
        known_form = form_of_known_value(value, value_type)
        if known_form is not None:
            return known_form
        is_own_class = value_type.__module__ == self.own_module
        if issubclass(value_type, IMMUTABLE_BASES):
            if not is_own_class and not (issubclass(value_type, tuple) and hasattr(value_type, "_fields")):
                return None
            return "data", self.number_of(value), self.number_of(value_type), _plain_content(value)
        kind = self.kinds.of_subclass(value_type)
        if kind is not None:
            return ("holder", kind) if is_own_class else None
        if self.is_of_package(value_type):
            return "foreign", f"{value_type.__module__}.{value_type.__qualname__}"
        return "object", self.number_of(value), self.number_of(value_type)

    def is_of_package(self, value_type):
        """Return whether a class comes from a package: its instances are neither data nor of the standard library."""
        top_module = value_type.__module__.partition(".")[0]
        return top_module != self.own_module and top_module not in sys.stdlib_module_names

    def number_of(self, item):
        """Return the number of an own object."""
        if id(item) not in self.numbers:
            self.numbers[id(item)] = len(self.objects)
            self.objects.append(item)
        return self.numbers[id(item)]

    # --- values that are received -----------------------------------------------------------------------------------

    def unpack(self, content):
        """Return the value that `pack` has sent, whoever wrote it."""
        if content[:1] == _REFERENCE:
            return self.shared.value_of(int(content[1:]))
        if content[:1] == _CONTAINER:
            number, _, content = content[1:].partition(b";")
            return self.unpack_container(int(number), chr(content[0]), content[1:])
        form, detail, *rest = decode_value(content, self.unpack)
        if form == "yours":
            return self.objects[detail]
        if form == "method":
            self.check_name(detail, *rest)
            return getattr(detail, *rest)
        if form in ("object", "class", "function", "data", "generator", "coroutine"):
            return self.stand_in_of(form, detail, *rest)
        if form == "builtin":
            return plain_builtin(detail)
        if form == "known":
            return known_class(detail)
        if form == "module":
            if self.is_tester or detail.partition(".")[0] not in sys.stdlib_module_names:
                raise ValueError("no module of the standard library")
            __import__(detail)
            return sys.modules[detail]
        if form == "error":
            return rebuild_error(detail, *rest)
        if form == "foreign":
            self.report_fault(f"{detail} cannot be passed between test and program")
            raise TypeError(f"{detail} cannot be passed")
        return make_known_value(form, detail, *rest)

    def unpack_container(self, number, letter, content):
        """Return a container that the other process shares from now on."""
        if letter == "h":
            return self.unpack_holder(number, *decode_value(content, self.unpack))
        kind = self.kinds.named(letter)
        if kind.has_detail:
            detail, items = decode_value(content, self.unpack)
            container = kind.make(detail)
            self.shared.add_received(number, container, kind)
        else:
            container = kind.make(None)
            self.shared.add_received(number, container, kind)  # before its content, in which it may be itself
            items = decode_value(content, self.unpack)
        self.shared.set_content(number, items)
        return container

    def unpack_holder(self, number, object_number, class_number, detail, items):
        """Return a stand-in that holds the content of a container of the other process's class."""
        stand_in_class = self.stand_in_of("class", class_number)
        kind = self.kinds.of_subclass(stand_in_class)
        holder = self.stand_ins.get(object_number)
        if holder is None:
            holder = kind.make(detail, stand_in_class)
            object.__setattr__(holder, "_r1kit_number", object_number)
            self.stand_ins[object_number] = holder
        self.shared.add_received(number, holder, kind, object_number)
        self.shared.set_content(number, items)
        return holder

    def stand_in_of(self, form, number, *details):
        """Return the stand-in for an object of the other process; the same one each time, so that `is` holds."""
        if number not in self.stand_ins:
            self.stand_ins[number] = self.build_stand_in(self, form, number, *details)
        return self.stand_ins[number]


def _allow_deep_recursion():
    """Let messages be nested as deeply as values.py allows; return the limit of recursion that has to be set again."""
    limit = sys.getrecursionlimit()
    if limit < CODEC_RECURSION_LIMIT:
        sys.setrecursionlimit(CODEC_RECURSION_LIMIT)
    return limit


def _operate_on_attribute(operation, target, name, *values):
    """Get, set or delete an attribute."""
    if operation == SET:
        return setattr(target, name, *values)
    if operation == DELETE:
        return delattr(target, name)
    value = getattr(target, name)
    return ("method", None) if callable(value) and not isinstance(value, type) else ("value", value)


def _form_of_stand_in(value):
    """Return the form that leads the other process back to its own object, class or method; None for an exception."""
    if isinstance(value, type):
        return "yours", type.__getattribute__(value, "_r1kit_class")
    if isinstance(value, BaseException):  # one that was made for a class of the other process has no number
        number = value.__dict__.get("_r1kit_number")
        return None if number is None else ("yours", number)
    target = vars(value)["_r1kit_target"] if type(value).__name__ == "RemoteFunction" else None
    return ("method", *target) if target is not None else ("yours", value._r1kit_number)


def _next_item(iterator):
    try:
        return True, next(iterator)
    except StopIteration as end:
        return False, end.value


def _resume_generator(generator, operation, value):
    """Return (whether the generator has yielded, what it yields or returns)."""
    try:
        if operation == SEND:
            return True, next(generator) if value is None else generator.send(value)
        if isinstance(value, GeneratorExit) or value is None:
            return False, generator.close()
        return True, generator.throw(value)
    except StopIteration as end:
        return False, end.value


async def _as_coroutine(awaitable):
    return await awaitable


def _describe_class(described, kind):
    """Return what stand_ins.py must know of a class.

    That is its name, docstring and bases; the special methods that it or a base has, other than `object`'s; those of
    its own, and its methods that take the place of those of Python's data types; whether it can be hashed; and the
    abstract classes of which it is one.
    """
    names = set()
    is_hashable = True
    for base in reversed(described.__mro__[:-1]):
        names.update(SPECIAL_METHODS.intersection(vars(base)))
        if "__hash__" in vars(base):
            is_hashable = vars(base)["__hash__"] is not None
    if not is_hashable:
        names.discard("__hash__")
    own_names = [name for name in names if name in vars(described)]
    data_bases = [base for base in (*IMMUTABLE_BASES, kind and kind.base) if base and issubclass(described, base)]
    replaced_names = []
    if data_bases and described not in data_bases:
        replaced_names = [name for name in vars(described) if name[:2] != "__" and hasattr(data_bases[0], name)]
    docstring = described.__doc__ if isinstance(described.__doc__, str) else None
    return {
        "name": described.__name__,
        "docstring": docstring,
        "bases": tuple(described.__bases__),
        "special_names": tuple(names),
        "own_names": tuple(own_names),
        "replaced_names": tuple(replaced_names),
        "is_hashable": is_hashable,
        "abstract_names": tuple(abstract_names_of(described)),
    }


def _plain_content(value):
    """Return the content of an instance of a subclass of Python's immutable types as that type."""
    for base in IMMUTABLE_BASES:
        if isinstance(value, base):
            if base is int:
                return int.__index__(value)
            if base in (float, complex, str):
                return {float: float.__float__, complex: complex.__pos__, str: str.__str__}[base](value)
            return base(base.__iter__(value))
    raise TypeError("no data")
