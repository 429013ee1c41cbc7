"""Send exceptions between the two processes of an `assert` test: what a test can read of them arrives.

What it defends against: a program's exception that would end a loop of the test as if it had passed (StopIteration in
`map`, for one), unless the test code itself names that class. An exception of the test's own goes to the program
without what led to it, which may hold expected values. This file runs inside the box (boot.py), in both processes.
"""

_LOOP_ENDS = (StopIteration, StopAsyncIteration, GeneratorExit)
LOOP_END_NAMES = tuple(error_class.__name__ for error_class in _LOOP_ENDS)
MAX_CAUSES = 8  # exceptions that led to one another, which are sent with the last

named_loop_ends: set[str] = set()
"""Names of those of _LOOP_ENDS that the test code names, and may therefore be given (remote.py)."""


def is_hidden_loop_end(error_class):
    """Return whether an exception of this class would end a loop of the test, while the test code does not name it."""
    return any(issubclass(error_class, end) and end.__name__ not in named_loop_ends for end in _LOOP_ENDS)


def describe_error(error, with_causes):
    """Return an exception's arguments, text, attributes and causes."""
    try:
        text = str(error)
    except Exception:
        text = ""
    args = error.args
    if isinstance(error, OSError) and error.filename is not None:
        args = (error.errno, error.strerror, error.filename)
    attributes = dict(vars(error))
    if isinstance(error, ImportError):
        attributes["name"] = error.name
    causes = ()
    if with_causes and _count_causes(error) <= MAX_CAUSES:
        context = None if error.__context__ is error.__cause__ else error.__context__
        causes = error.__cause__, context, error.__suppress_context__
    return tuple(args), text, attributes, causes


def _count_causes(error):
    count = 0
    while error is not None and count <= MAX_CAUSES:
        error = error.__cause__ or error.__context__
        count += 1
    return count


def rebuild_error(error_class, number, error_args, text, attributes, causes):
    """Return an exception like that of the other process."""
    if not (isinstance(error_class, type) and issubclass(error_class, BaseException)):
        error_class = Exception
    is_async_end = issubclass(error_class, StopAsyncIteration)
    if is_hidden_loop_end(error_class):
        error_class = RuntimeError
    try:
        error = error_class.__new__(error_class, *error_args)
        if error_class.__module__ == "builtins":
            error.__init__(*error_args)
        else:
            error.args = tuple(error_args)
    except Exception:
        error = Exception(text)
    for name, value in attributes.items():
        if not name.startswith("__") or name == "__notes__":
            setattr(error, name, value)
    error.__dict__["_r1kit_text"] = text
    error.__dict__["_r1kit_ends_loop"] = is_async_end
    if number is not None:
        error.__dict__["_r1kit_number"] = number
    if causes:
        cause, context, is_context_hidden = causes
        error.__cause__ = cause
        error.__context__ = cause if context is None else context
        error.__suppress_context__ = is_context_hidden
    return error
