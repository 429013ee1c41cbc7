"""Which files of this machine Python itself needs: all that a box may see beside the packages that are allowed.

Python's prefix may hold anything: other people's packages, solutions of benchmarks, caches with tokens, the whole
system. A box gets the interpreter, the modules of the standard library by their names, the shared libraries that these
load, and what the C library reads for time zones and locales.

    find_python_files().modules["heapq"]      "/usr/lib/python3.11/heapq.py"
    find_python_files().libraries             ("/lib/x86_64-linux-gnu/libc.so.6", ...)
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# The interpreter of the box: that of the base installation, because a virtual environment is not visible there.
PYTHON = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
_STANDARD_LIBRARY = os.path.realpath(os.path.dirname(os.__file__))
_EXTENSIONS_NAME = "lib-dynload"  # of the directory with the compiled modules of the standard library
_ALLOWED_NAMES = sys.stdlib_module_names | {"__pycache__", _EXTENSIONS_NAME}
_ALLOWED_PREFIX = "_sysconfigdata"  # what the module sysconfig reads
# The loader's list of shared libraries, and what the C library reads for time zones and locales.
_SYSTEM_DATA = ("/etc/ld.so.cache", "/usr/share/zoneinfo", "/usr/lib/locale")
# Compiled modules that no program can use in a box; they need dozens of libraries.
_USELESS_EXTENSIONS = ("_tkinter.", "nis.")
_LOADED_ON_DEMAND = "libgcc_s.so.1"  # which the C library loads when a thread ends
_LIBRARY_DIRECTORIES = ("/lib", "/usr/lib", "/usr/local/lib")  # where the loader does not print what it loads
_MAX_VARIABLE_BYTES = 100_000  # of one environment variable, of which Linux takes 128 KiB


@dataclass(frozen=True)
class PythonFiles:
    """The files and directories of this machine that Python needs."""

    directory: str
    """The directory of the standard library."""

    names: tuple[str, ...]
    """The paths by which Python may look for that directory: two where a link leads to it."""

    paths: tuple[str, ...]
    """What a box may see of the standard library: paths in its directory, and the directory of its compiled modules."""

    hidden: tuple[str, ...]
    """What else lies in the directory, such as site-packages, and must not be seen."""

    modules: dict[str, str]
    """The file of each top-level module, by the module's name."""

    libraries: tuple[str, ...]
    """The shared libraries, by the paths that the dynamic loader uses."""

    data: tuple[str, ...]
    """Other files and directories: time zones, locales, and the loader's cache."""

    @property
    def readable_paths(self) -> tuple[str, ...]:
        """All files and directories that a box may read."""
        return (PYTHON, *self.paths, *self.libraries, *self.data)


@cache
def find_python_files(package_paths: tuple[str, ...] = ()) -> PythonFiles:
    """Return what Python needs, with the shared libraries that the packages at `package_paths` need."""
    paths: list[str] = []
    hidden: list[str] = []
    modules: dict[str, str] = {}
    for entry in sorted(os.scandir(_STANDARD_LIBRARY), key=lambda entry: entry.name):
        stem = entry.name.partition(".")[0]
        if stem not in _ALLOWED_NAMES and not stem.startswith(_ALLOWED_PREFIX):
            if not entry.is_symlink():  # what a link names lies elsewhere
                hidden.append(entry.path)
            continue
        paths.append(entry.path)
        module_file = os.path.join(entry.path, "__init__.py") if entry.is_dir() else entry.path
        if module_file.endswith(".py") and os.path.exists(module_file):
            modules[stem] = module_file
    extension_directories = [path for path in sys.path if os.path.basename(path) == _EXTENSIONS_NAME]
    paths += [path for path in map(os.path.realpath, extension_directories) if path not in paths]
    compiled_files = [*_compiled_files(paths), *_compiled_files(package_paths)]
    data = tuple(path for path in _SYSTEM_DATA if os.path.exists(path))
    libraries = tuple(_find_libraries(compiled_files))
    names = tuple(dict.fromkeys((_STANDARD_LIBRARY, os.path.dirname(os.__file__))))
    return PythonFiles(_STANDARD_LIBRARY, names, tuple(paths), tuple(hidden), modules, libraries, data)


def read_all(paths: Iterable[str]) -> None:
    """Read a little of all files and directories, so that the times of their last access are of today.

    Linux changes the time of access of a file once a day (unless the file system was mounted otherwise). After this, a
    program that reads a file changes nothing that another program could see.
    """
    waiting_paths = list(paths)
    while waiting_paths:
        path = waiting_paths.pop()
        with contextlib.suppress(OSError):
            if os.path.isdir(path):
                waiting_paths += [entry.path for entry in os.scandir(path) if not entry.is_symlink()]
            else:
                with open(path, "rb", buffering=0) as file:
                    file.read(1)


def _compiled_files(paths: Iterable[str]) -> Iterator[str]:
    """Yield the shared objects among files and below directories."""
    for path in paths:
        candidates = Path(path).rglob("*.so*") if os.path.isdir(path) else [Path(path)]
        for candidate in candidates:
            if ".so" in candidate.suffixes and not candidate.name.startswith(_USELESS_EXTENSIONS):
                yield str(candidate)


def _find_libraries(compiled_files: list[str]) -> list[str]:
    """Return the shared libraries that Python and compiled modules load, as the dynamic loader finds them.

    In this mode, which the command `ldd` uses too, the loader runs no program: it prints what it would load.
    """
    libraries: dict[str, None] = {}
    waiting_files = [_LOADED_ON_DEMAND, *compiled_files]
    while waiting_files:
        preloaded = [waiting_files.pop()]
        while waiting_files and len(":".join([*preloaded, waiting_files[-1]])) < _MAX_VARIABLE_BYTES:
            preloaded.append(waiting_files.pop())
        environment = {"LD_TRACE_LOADED_OBJECTS": "1", "LD_PRELOAD": ":".join(preloaded)}
        command = [PYTHON, "-I", "-S", "-c", "pass"]
        printed = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace").stdout
        for line in printed.splitlines():
            # "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x...)", or "/lib64/ld-linux-x86-64.so.2 (0x...)"
            path = line.split("=>")[-1].partition(" (")[0].strip()
            if path.startswith("/") and path not in compiled_files:
                libraries[os.path.normpath(path)] = None
    if not libraries:
        for directory in _LIBRARY_DIRECTORIES:
            libraries.update((str(path), None) for path in Path(directory).glob("*.so*"))
    return list(libraries)
