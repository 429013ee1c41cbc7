"""Stand-ins: what one process of an `assert` test holds for an object of the other (objects.py).

A class of the other process becomes a class here, of the same name and with the same bases, so that `isinstance`,
`except` and `type(x) is C` hold; its special methods (`__len__`, `__iter__`, `__enter__`, ...) and all attributes are
requests. Functions become callables; generators and coroutines become real ones that fetch their items. An instance of
a subclass of `int`, `str` or `tuple` becomes such a value here, with the methods of its class by request; one of a
subclass of `list`, `dict` or `set` stays an object, whose content is fetched for a comparison.

What it defends against: a program whose objects agree with everything. The program's own `==`, `<`, `+`, `in` decide
only between two of its objects, and for classes that the test code itself names with a capital letter (`Money(3) == 3`
asks `Money`). Otherwise an object is never equal to data, and its members are looked for one by one. An `__exit__` of
the program swallows neither a failed assertion nor what the program itself has raised. What it does NOT defend
against: a class whose comparison is itself what is tested.

This file runs inside the box (boot.py), in both processes; only the tester's distrusts the other.
"""

from r1kit.sandbox.objects import (
    CALL,
    COPY,
    DEEP_COPY,
    DELETE,
    DESCRIBE,
    GET,
    NEXT,
    PLAIN,
    SEND,
    SET,
    START,
    STEP,
    THROW,
)

_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
_ARITHMETIC = ("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "divmod", "pow")
_BITWISE = ("lshift", "rshift", "and", "or", "xor")
_GUARDED_METHODS = frozenset(
    [f"__{name}__" for name in _COMPARISONS]
    + [f"__{prefix}{name}__" for name in (*_ARITHMETIC, *_BITWISE) for prefix in ("", "r", "i")]
)
_IMMUTABLE_DATA = (int, float, complex, str, bytes, tuple, frozenset)
_MUTABLE_DATA = (list, dict, set, bytearray)
_TEXT_METHODS = ("__str__", "__repr__", "__format__")
_FUNCTION_ATTRIBUTES = ("__name__", "__qualname__", "__wrapped__", "__defaults__", "__kwdefaults__", "__annotations__")
_TOO_WIDE = (BaseException, Exception, AssertionError)  # an `except` of these catches the test's own failures
_LOOP_ENDS = (StopIteration, StopAsyncIteration, GeneratorExit)  # would end a loop of the test as if it had passed


class NeverRaised(Exception):
    """What a test gets for a name by which a program offers a class of exceptions that would catch assertions."""


def guard_class(peer, value):
    """Return a value of the program, unless it is a class of exceptions that would hide that a test has failed."""
    return NeverRaised if peer.is_tester and any(value is wide for wide in _TOO_WIDE) else value


class StandInClass(type):
    """The class of stand-in classes: calls, attributes and special methods of a class itself, such as an Enum's."""

    _r1kit_stands_in = True

    def __new__(cls, name, bases, namespace, **options):
        """Make a class for one of the other process; a test that derives one of its own cannot be judged."""
        if "_r1kit_class" not in namespace:
            _refuse_subclass(bases)
        return super().__new__(cls, name, bases, namespace)

    def __init__(cls, name, bases, namespace, **options):
        super().__init__(name, bases, namespace)

    def __call__(cls, *args, **kwargs):
        return cls._r1kit_peer.request(CALL, cls, args, kwargs)

    def __getattr__(cls, name):
        return _get_attribute(cls._r1kit_peer, cls, name)

    def __setattr__(cls, name, value):
        cls._r1kit_peer.request(SET, cls, (name, value))

    def __delattr__(cls, name):
        cls._r1kit_peer.request(DELETE, cls, (name,))

    def __iter__(cls):
        return cls._r1kit_peer.request("__iter__", cls)

    def __len__(cls):
        return cls._r1kit_peer.request("__len__", cls)

    def __getitem__(cls, key):
        return cls._r1kit_peer.request("__getitem__", cls, (key,))

    def __contains__(cls, member):
        return any(item is member or item == member for item in cls)

    def __bool__(cls):
        return True


class StandInErrorClass(type):
    """The class of stand-ins for classes of exceptions: the other process makes the exceptions."""

    _r1kit_stands_in = True

    def __new__(cls, name, bases, namespace, **options):
        """Make a class for one of the other process; a test that derives one of its own cannot be judged."""
        if "_r1kit_class" not in namespace:
            _refuse_subclass(bases)
        return super().__new__(cls, name, bases, namespace)

    def __call__(cls, *args, **kwargs):
        return cls._r1kit_peer.request(CALL, cls, args, kwargs)

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _get_attribute(cls._r1kit_peer, cls, name)


def _refuse_subclass(bases):
    peer = next(base._r1kit_peer for base in bases if hasattr(base, "_r1kit_peer"))
    if peer.report_fault is not None:
        peer.report_fault("the test derives a class from one of the program's")
    raise TypeError("a class of the test can have no subclasses in the program")


class StandIn(metaclass=StandInClass):
    """The base of all stand-ins for objects that are no data."""

    __slots__ = ("_r1kit_number",)
    _r1kit_stands_in = True
    _r1kit_class = _r1kit_peer = None
    _r1kit_is_trusted = _r1kit_holds_data = False

    def __getattr__(self, name):
        return _get_attribute(self._r1kit_peer, self, name)

    def __setattr__(self, name, value):
        self._r1kit_peer.request(SET, self, (name, value))

    def __delattr__(self, name):
        self._r1kit_peer.request(DELETE, self, (name,))

    def __copy__(self):
        return self._r1kit_peer.request(COPY, self)

    def __deepcopy__(self, memo):
        return self._r1kit_peer.request(DEEP_COPY, self)

    def __str__(self):
        return self._r1kit_peer.request("__str__", self)

    def __repr__(self):
        return self._r1kit_peer.request("__repr__", self)


class RemoteFunction:
    """Calls a function of the other process, or a method: `target` is (object, name) then."""

    _r1kit_stands_in = True

    def __init__(self, peer, number, target=None):
        self.__dict__.update(_r1kit_peer=peer, _r1kit_number=number, _r1kit_target=target)

    def __call__(self, *args, **kwargs):
        return self._r1kit_peer.request(CALL, self._r1kit_target or self, args, kwargs)

    def __getattr__(self, name):
        if name.startswith("__") and name not in _FUNCTION_ATTRIBUTES:
            raise AttributeError(name)
        return _get_attribute(self._r1kit_peer, self, name)

    def __setattr__(self, name, value):
        self._r1kit_peer.request(SET, self, (name, value))


# Otherwise a function's docstring would be that of its stand-in.
RemoteFunction.__doc__ = property(lambda function: _get_attribute(function._r1kit_peer, function, "__doc__"))  # type: ignore


class Reference:
    """Names an object of the other process by its number, and stands in for nothing else of it."""

    _r1kit_stands_in = True

    def __init__(self, number):
        self._r1kit_number = number


def _get_attribute(peer, target, name):
    form, value = peer.request(GET, target, (name,))
    peer.borrow(target, name, value)
    return RemoteFunction(peer, None, (target, name)) if form == "method" else guard_class(peer, value)


def build_stand_in(peer, form, number, *details):
    """Return the stand-in for an object of the other process; `form` is that of Peer.form_of."""
    if form == "function":
        return RemoteFunction(peer, number)
    if form == "generator":
        return _remote_generator(peer, Reference(number))
    if form == "coroutine":
        return _remote_coroutine(peer, Reference(number))
    if form == "class":
        return _build_class(peer, number)
    stand_in_class = peer.stand_in_of("class", details[0])
    if form == "data":
        base = next(base for base in _IMMUTABLE_DATA if issubclass(stand_in_class, base))
        value = base.__new__(stand_in_class, details[1])
        value.__dict__["_r1kit_number"] = number
        return value
    instance = object.__new__(stand_in_class)
    object.__setattr__(instance, "_r1kit_number", number)
    return instance


def _remote_generator(peer, reference):
    """Yield what a generator of the other process yields, and pass on what is sent or thrown into it."""
    operation, value = SEND, None
    while True:
        has_item, item = peer.request(operation, reference, (value,))
        if not has_item:
            return item
        try:
            value = yield item
            operation = SEND
        except GeneratorExit:
            peer.request(THROW, reference, (None,))
            raise
        except Exception as error:
            operation, value = THROW, error


async def _remote_coroutine(peer, reference):
    """Await a coroutine of the other process, which runs whenever this process waits for it."""
    import asyncio

    task = peer.request(START, reference)
    while True:
        is_done, result = peer.request(STEP, task)
        if is_done:
            return result
        await asyncio.sleep(0)


# --- classes ----------------------------------------------------------------------------------------------------------


def _build_class(peer, number):
    """Return a class that stands for one of the other process."""
    name, docstring, bases, method_names, own_names, is_hashable = peer.request(DESCRIBE, Reference(number))
    is_trusted = not peer.is_tester or name in peer.trusted_classes
    namespace = {"_r1kit_class": number, "_r1kit_peer": peer, "_r1kit_is_trusted": is_trusted, "__doc__": docstring}
    if any(issubclass(base, BaseException) for base in bases):
        return _build_error_class(name, bases, namespace)
    data_base = next((base for base in bases if issubclass(base, _IMMUTABLE_DATA)), None)
    if data_base is not None:
        return _build_data_class(name, data_base, namespace, own_names)
    namespace["__slots__"] = ()
    namespace["_r1kit_holds_data"] = any(_holds_data(base) for base in bases)
    namespace.update((method, _forward(method)) for method in method_names)
    if namespace["_r1kit_holds_data"] and not (is_trusted and "__eq__" in own_names):
        namespace["__eq__"], namespace["__ne__"] = _is_equal_content, _is_other_content
    if not is_hashable:
        namespace["__hash__"] = None
    elif "__eq__" in namespace:
        namespace["__hash__"] = _forward("__hash__")
    stand_in_bases = tuple(base for base in bases if issubclass(base, StandIn)) or (StandIn,)
    try:
        return type.__call__(StandInClass, name, stand_in_bases, namespace)
    except TypeError:  # the bases do not go together here
        return type.__call__(StandInClass, name, (StandIn,), namespace)


def _holds_data(base):
    return issubclass(base, _MUTABLE_DATA) or (issubclass(base, StandIn) and base._r1kit_holds_data)


def _build_error_class(name, bases, namespace):
    """Return a class of exceptions, of which the other process has the attributes and the text."""
    error_bases = []
    for base in bases:
        if issubclass(base, BaseException):
            error_bases.append(RuntimeError if issubclass(base, _LOOP_ENDS) else base)
    namespace["__str__"] = _text_of_error
    return type.__new__(StandInErrorClass, name, tuple(error_bases), namespace)


def _text_of_error(error):
    return error.__dict__.get("_r1kit_text", "")


def _build_data_class(name, data_base, namespace, own_names):
    """Return a class of immutable data: its content is here, its methods are in the other process."""
    if not isinstance(data_base, StandInClass):
        data_base = next(base for base in _IMMUTABLE_DATA if issubclass(data_base, base))
    namespace["_r1kit_stands_in"] = True
    namespace["__getattr__"] = StandIn.__getattr__
    namespace.update((method, _forward(method)) for method in _TEXT_METHODS)
    if namespace["_r1kit_is_trusted"]:
        namespace.update((method, _forward(method)) for method in own_names if method in _GUARDED_METHODS)
        if "__eq__" in own_names:
            namespace["__hash__"] = data_base.__hash__
    return type.__call__(StandInClass, name, (data_base,), namespace)


def _is_equal_content(self, other):
    """Compare the content of a list, dict or set of the program's own class: the comparison is not the program's."""
    content = self._r1kit_peer.request(PLAIN, self)
    if isinstance(other, StandIn) and other._r1kit_holds_data:
        other = self._r1kit_peer.request(PLAIN, other)
    return content == other


def _is_other_content(self, other):
    return not _is_equal_content(self, other)


# --- special methods --------------------------------------------------------------------------------------------------


def _forward(name):
    """Return the method of a stand-in that passes a special method on."""
    if name in _GUARDED_METHODS:
        return _forward_guarded(name)
    if name in _METHODS:
        return _METHODS[name]

    def method(self, *args):
        return self._r1kit_peer.request(name, self, args)

    return method


def _forward_guarded(name):
    """Return a method that lets the program decide only about its own objects and its trusted classes."""

    def method(self, *others):
        is_own_matter = self._r1kit_is_trusted or isinstance(others[0], StandIn)
        return self._r1kit_peer.request(name, self, others) if is_own_matter else NotImplemented

    return method


def _next(self):
    has_item, item = self._r1kit_peer.request(NEXT, self)
    if not has_item:
        raise StopIteration(item)
    return item


def _contains(self, member):
    if self._r1kit_is_trusted or isinstance(member, StandIn):
        return self._r1kit_peer.request("__contains__", self, (member,))
    if not hasattr(type(self), "__iter__"):
        self._r1kit_peer.report_fault("the test asks an object of the program whether a value is in it")
    return any(item is member or item == member for item in self)


def _exit(self, error_class, error, traceback):
    """Leave a context of the other process. It swallows no failed assertion, and nothing of its own process."""
    peer = self._r1kit_peer
    is_assertion = isinstance(error, AssertionError)
    hidden_error = AssertionError() if is_assertion else error  # its text would name expected values
    is_swallowed = peer.request("__exit__", self, (error_class and type(hidden_error), hidden_error, None))
    if error is None or not is_swallowed or not peer.is_tester:
        return is_swallowed
    if is_assertion:
        return False
    if "_r1kit_text" in error.__dict__:
        peer.report_fault("a context manager of the program swallows an exception of the program")
    return True


def _await(self):
    return _remote_coroutine(self._r1kit_peer, self).__await__()


def _anext(self):
    return _next_of_async(self._r1kit_peer, self)


async def _next_of_async(peer, iterator):
    try:
        return await peer.request("__anext__", iterator)
    except RuntimeError as error:
        if error.__dict__.get("_r1kit_ends_loop"):
            raise StopAsyncIteration from None
        raise


_METHODS = {
    "__next__": _next,
    "__contains__": _contains,
    "__exit__": _exit,
    "__await__": _await,
    "__anext__": _anext,
}
