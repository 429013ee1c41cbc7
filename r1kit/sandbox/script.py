"""Give a program what a script has that is run from a shell: its own file, its streams, modes of files and /tmp.

Most programs use none of it but modes, and pay nothing for it: the judge looks for SCRIPT_MARKS in their text
(judge.py).

- A program that asks for its own path or source finds the file SCRIPT_NAME in its working directory.
- Linux gives the names /dev/stdin, /dev/stdout, /dev/stderr and /dev/fd/0 in /proc, which a box does not have. So the
  functions `open`, `os.open` and `os.stat` know them here. Unlike Linux, they give the stream as it stands: what was
  read from it before is not read again.
- A program that names files in /tmp finds them in the directory of its box, also where the box cannot put one there
  (Landlock). Python's own functions know this; a library in C that opens a file by itself, such as sqlite3, does not.
- A program that sets the mode or the times of a file in its own directory, as shutil and shelve do, goes on without an
  error, and without an effect: the box denies these system calls for all files (seccomp.py).

This file runs inside the box (boot.py), and imports nothing of r1kit.
"""

import builtins
import functools
import io
import os

SCRIPT_NAME = "program.py"  # in the working directory; also sys.argv[0]
SOURCE_MARKS = frozenset(("__file__", "argv", "getsource", "linecache"))
STREAM_MARKS = frozenset(("/dev/std", "/dev/fd", "/proc/self/fd"))
TEMPORARY_DIRECTORY = "/tmp"
SCRIPT_MARKS = SOURCE_MARKS | STREAM_MARKS | {TEMPORARY_DIRECTORY}
"""Texts of programs that use what this module gives."""

_STREAM_NUMBERS = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_DESCRIPTOR_PREFIXES = ("/dev/fd/", "/proc/self/fd/")  # before a number
# Functions of the module os that take one path or two. Those of os.path, pathlib and shutil call them.
_FUNCTIONS_OF_PATHS = (
    *("access", "chdir", "chmod", "getxattr", "link", "listdir", "listxattr", "lstat", "mkdir", "open", "readlink"),
    *("remove", "rename", "replace", "rmdir", "scandir", "setxattr", "stat", "symlink", "truncate", "unlink", "utime"),
)


def name_streams():
    """Let this process open its streams by their names."""
    open_file = io.open
    # Copies of a descriptor, so that closing one does not close the stream.
    builtins.open = io.open = _by_stream_name(open_file, lambda fd, *args, **kw: open_file(os.dup(fd), *args, **kw))
    os.open = _by_stream_name(os.open, lambda fd, *args, **kw: os.dup(fd))
    os.stat = _by_stream_name(os.stat, lambda fd, *args, **kw: os.fstat(fd))


def lead_temporary_paths(directory):
    """Let paths in /tmp lead to `directory`, which may lie below /tmp itself."""

    def lead(path):
        if not isinstance(path, str | os.PathLike):
            return path
        text = os.fspath(path)
        is_in_directory = f"{text}/".startswith(f"{directory}/")
        is_temporary = isinstance(text, str) and f"{text}/".startswith(f"{TEMPORARY_DIRECTORY}/")
        return directory + text.removeprefix(TEMPORARY_DIRECTORY) if is_temporary and not is_in_directory else path

    def with_led_paths(function):
        @functools.wraps(function)
        def call(*args, **kwargs):
            return function(*map(lead, args[:2]), *args[2:], **{name: lead(value) for name, value in kwargs.items()})

        return call

    builtins.open = io.open = with_led_paths(io.open)
    for name in _FUNCTIONS_OF_PATHS:
        setattr(os, name, with_led_paths(getattr(os, name)))


def accept_modes(directory):
    """Let `os.chmod` and `os.utime` do nothing below `directory`, instead of fail."""
    os.chmod = _without_effect_below(directory, os.chmod)
    os.utime = _without_effect_below(directory, os.utime)


def _without_effect_below(directory, function):
    @functools.wraps(function)
    def change_file(path, *args, **kwargs):
        if isinstance(path, str | bytes | os.PathLike):
            real_path = os.path.realpath(os.fsdecode(path))
            if real_path.startswith(f"{directory}/") and os.path.exists(real_path):
                return
        function(path, *args, **kwargs)

    return change_file


def _by_stream_name(function, stream_function):
    """Return `function`, but `stream_function` with the descriptor where its first argument is a stream's name."""

    @functools.wraps(function)
    def with_stream_names(*args, **kwargs):
        fd = _find_stream(args[0]) if args else None
        return function(*args, **kwargs) if fd is None else stream_function(fd, *args[1:], **kwargs)

    return with_stream_names


def _find_stream(path):
    """Return the descriptor of a stream's name, or None for anything else."""
    if not isinstance(path, str | bytes | os.PathLike):
        return None
    path = os.fsdecode(path)
    for prefix in _DESCRIPTOR_PREFIXES:
        number = path.removeprefix(prefix)
        if number != path and number.isdecimal():
            return int(number)
    return _STREAM_NUMBERS.get(path)
