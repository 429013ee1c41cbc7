"""Start a box, with one of three isolations.

`bubblewrap`, the strongest: own namespaces for users, processes, network and IPC; the files that Python needs
(python_files.py), a small tmpfs to write to, no /proc, nothing of the environment. `landlock`, for machines where
bubblewrap is not installed or may not make namespaces: the kernel's Landlock allows the same files only, all
capabilities are dropped, and the directory to write to is watched (box.py). Both add a seccomp filter (seccomp.py) and
limits on time, memory, files and output. `none` has these limits only: for tests of trusted code.

What no isolation here covers: faults of the kernel, and timing seen through the processor. With `landlock` the users,
processes and network are those of the machine, and only the seccomp filter denies the calls that reach them.
isolation.py proves by a self-test that an isolation holds.
"""

import contextlib
import math
import os
import resource
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from r1kit.sandbox.box import DISK_BYTES, Box, BoxFault
from r1kit.sandbox.directories import temporary_directory
from r1kit.sandbox.packages import find_package_files
from r1kit.sandbox.python_files import PYTHON, PythonFiles, find_python_files, read_all
from r1kit.sandbox.seccomp import build_seccomp_filter

MEMORY_BYTES = 1024 * 2**20  # of address space, of each process
MAX_OPEN_FILES = 256  # of each process
MAX_FILES = 16384  # in the directory of a box; each takes memory of the kernel, even if it is empty
_REFRESH_SECONDS = 3600.0  # between two readings of all files that a box of Landlock may read
# The code that runs inside a box, in the order of their imports.
MODULES_IN_BOX = (
    *("values", "pipes", "finder", "confinement", "known_values", "shared", "errors", "objects", "stand_ins"),
    *("pytest_stand_in", "remote", "leetcode", "script", "boot"),
)

_RESOURCE_LIMITS = {
    resource.RLIMIT_AS: MEMORY_BYTES,
    resource.RLIMIT_FSIZE: DISK_BYTES,
    resource.RLIMIT_CORE: 0,
    resource.RLIMIT_NOFILE: MAX_OPEN_FILES,
}
_DIRECTORY_BESIDE_TMP = "/r1kit-box"  # in a box of bubblewrap
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
# A fixed hash seed gives a program the same verdict each time. Each malloc arena would reserve 64 MiB of MEMORY_BYTES.
_ENVIRONMENT = {
    **{"PYTHONHASHSEED": "0", "MALLOC_ARENA_MAX": "2"},
    # Threads of numpy's libraries would each reserve memory, and do not survive the fork of a test.
    **dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
}
# No user's or site's packages, no path of the working directory, UTF-8 whatever the locale.
_PYTHON_OPTIONS = ("-s", "-P", "-S", "-X", "utf8")
# The first frame carries the code of MODULES_IN_BOX: the box cannot read r1kit's files.
_START_CODE = """
import marshal, os, sys
def read_exactly(size):
    data = b""
    while len(data) < size:
        data += os.read(0, size - len(data)) or sys.exit(1)
    return data
modules, setup = marshal.loads(read_exactly(int(read_exactly(12))))
for name, code in modules:
    module = sys.modules[name] = type(sys)(name)
    exec(code, module.__dict__)
module.main(setup)
"""

_refreshed_at: dict[tuple[str, ...], float] = {}  # by paths, on the clock time.monotonic
_starters: dict[int, ThreadPoolExecutor] = {}  # by process id
_starters_lock = threading.Lock()


def start_box(isolation: str, packages: tuple[str, ...] = ()) -> Box:
    """Start a box without a program, which holds `packages` (packages.py). Raises BoxFault if it does not start."""
    package_files = find_package_files(packages)
    python_files = find_python_files(package_files.paths)
    places_in_box, modules_in_box = package_files.in_box()
    is_bubblewrap = isolation == "bubblewrap"
    with contextlib.ExitStack() as resources:
        # bubblewrap gives the box a directory of its own; otherwise it gets one of the machine's.
        if is_bubblewrap:
            directory = _directory_of_bubblewrap(python_files)
        else:
            directory = resources.enter_context(temporary_directory())
        command = [PYTHON, *_PYTHON_OPTIONS, "-c", _START_CODE]
        if is_bubblewrap:
            command = [*_bubblewrap_command(directory, python_files, places_in_box), *command]
        try:
            process = _start_process(command, None if is_bubblewrap else directory)
        except OSError as error:
            raise BoxFault(f"the box did not start: {error}") from None
        box = Box(process, directory if isolation == "landlock" else None, resources.pop_all())
    setup: dict[str, Any] = {
        "folder": directory,
        "limits": _RESOURCE_LIMITS,
        "seccomp": None if isolation == "none" else build_seccomp_filter(),
        "landlock": None,
        # The modules of the standard library by name: with Landlock its directory cannot be listed.
        "packages": python_files.modules | (modules_in_box if is_bubblewrap else package_files.modules),
        "max_files": MAX_FILES if is_bubblewrap else None,
    }
    if isolation == "landlock":
        readable_paths = (*python_files.readable_paths, *package_files.paths)
        _refresh_access_times(readable_paths)
        setup["landlock"] = {
            "read": readable_paths,
            "write": (directory, *_DEVICES),
        }
    try:
        box.wait_until_started(_compile_modules(), setup)
    except BaseException:
        box.end()
        raise
    return box


def _refresh_access_times(paths: tuple[str, ...]) -> None:
    """Read all that a box may read, unless that was done less than an hour ago (see read_all)."""
    if time.monotonic() - _refreshed_at.get(paths, -math.inf) > _REFRESH_SECONDS:
        _refreshed_at[paths] = time.monotonic()
        threading.Thread(target=read_all, args=(paths,), daemon=True).start()  # large packages have many files


def _start_process(command: list[str], directory: str | None) -> subprocess.Popen:
    started = _starter_thread().submit(
        subprocess.Popen,
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        cwd=directory,
        env={**_ENVIRONMENT, "PATH": os.environ.get("PATH", os.defpath)},
        start_new_session=True,
    )
    return started.result()


def _starter_thread() -> ThreadPoolExecutor:
    """Return this process's thread that starts boxes: the kernel ends a box with the thread that started it."""
    with _starters_lock:
        if os.getpid() not in _starters:
            _starters.clear()  # a forked child has none of its parent's threads
            _starters[os.getpid()] = ThreadPoolExecutor(1, "box")
        return _starters[os.getpid()]


def _directory_of_bubblewrap(python_files: PythonFiles) -> str:
    """Return where a box of bubblewrap has its directory: /tmp, unless Python itself lies there."""
    is_in_tmp = any(path.startswith("/tmp/") for path in (*python_files.names, *python_files.readable_paths))
    return _DIRECTORY_BESIDE_TMP if is_in_tmp else "/tmp"


def _bubblewrap_command(directory: str, python_files: PythonFiles, package_places: dict[str, str]) -> list[str]:
    command = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    command += ["--clearenv", "--hostname", "box"]
    for name, value in _ENVIRONMENT.items():
        command += ["--setenv", name, value]
    readable_paths = [PYTHON, *python_files.libraries, *python_files.data]
    readable_paths += [path for path in python_files.paths if not path.startswith(f"{python_files.directory}/")]
    for path in readable_paths:
        command += ["--ro-bind", path, path]
    for name in python_files.names:
        command += ["--ro-bind", python_files.directory, name]
        # A mount for each path that is hidden: one for each that is not would take ten times longer.
        for path in python_files.hidden:
            hidden = name + path.removeprefix(python_files.directory)
            if os.path.isdir(path):
                command += ["--tmpfs", hidden, "--remount-ro", hidden]
            else:
                command += ["--ro-bind", "/dev/null", hidden]
    for path, path_in_box in package_places.items():
        command += ["--ro-bind", path, path_in_box]
    command += ["--tmpfs", "/dev"]
    for device in _DEVICES:
        command += ["--dev-bind", device, device]
    command += ["--size", str(DISK_BYTES), "--tmpfs", directory]
    return [*command, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", directory]


@cache
def _compile_modules() -> tuple[tuple[str, Any], ...]:
    """Return the names and the compiled code of the modules that run inside a box."""
    modules = []
    for name in MODULES_IN_BOX:
        source = Path(__file__).with_name(f"{name}.py").read_text()
        modules.append((f"r1kit.sandbox.{name}", compile(source, f"{name}.py", "exec")))
    return tuple(modules)
