"""Start a box, with one of three isolations.

`bubblewrap`, the strongest: own namespaces for users, processes, network and IPC; /usr and Python read-only, a small
tmpfs to write to, no /proc, nothing of /etc, /home or the environment. `landlock`, for machines where bubblewrap is
not installed or may not make namespaces: the kernel's Landlock allows the same files only, all capabilities are
dropped, and the directory to write to is watched (box.py). Both add a seccomp filter (seccomp.py) and limits on time,
memory, files and output. `none` has these limits only: for tests of trusted code.

What no isolation here covers: faults of the kernel, and timing seen through the processor. With `landlock` the users,
processes and network are those of the machine, and only the seccomp filter denies the calls that reach them.
isolation.py proves by a self-test that an isolation holds.
"""

import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from r1kit.sandbox.box import DISK_BYTES, Box, BoxFault
from r1kit.sandbox.packages import find_package_files
from r1kit.sandbox.seccomp import build_seccomp_filter

MEMORY_BYTES = 1024 * 2**20  # of address space, of each process
MAX_OPEN_FILES = 256  # of each process
# The code that runs inside a box, in the order of their imports.
MODULES_IN_BOX = (
    *("values", "pipes", "confinement", "objects", "stand_ins", "pytest_stand_in", "remote", "leetcode", "boot"),
)

_RESOURCE_LIMITS = {
    resource.RLIMIT_AS: MEMORY_BYTES,
    resource.RLIMIT_FSIZE: DISK_BYTES,
    resource.RLIMIT_CORE: 0,
    resource.RLIMIT_NOFILE: MAX_OPEN_FILES,
}
_READABLE_CANDIDATES = ("/usr", "/lib", "/lib64", "/bin", sys.base_prefix)
_READABLE_PATHS = tuple(path for path in dict.fromkeys(_READABLE_CANDIDATES) if Path(path).exists())
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
# A fixed hash seed gives a program the same verdict each time. Each malloc arena would reserve 64 MiB of MEMORY_BYTES.
_ENVIRONMENT = {
    **{"PYTHONHASHSEED": "0", "MALLOC_ARENA_MAX": "2"},
    # Threads of numpy's libraries would each reserve memory, and do not survive the fork of a test.
    **dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
}
_PYTHON = os.path.realpath(sys.executable)
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

_starters: dict[int, ThreadPoolExecutor] = {}  # by process id
_starters_lock = threading.Lock()


def start_box(isolation: str, packages: tuple[str, ...] = ()) -> Box:
    """Start a box without a program, which holds `packages` (packages.py). Raises BoxFault if it does not start."""
    package_files = find_package_files(packages)
    places_in_box, modules_in_box = package_files.in_box()
    is_bubblewrap = isolation == "bubblewrap"
    with contextlib.ExitStack() as resources:
        # bubblewrap gives the box a /tmp of its own; otherwise it gets a directory of the machine's.
        directory = "/tmp" if is_bubblewrap else resources.enter_context(_temporary_directory())
        command = [_PYTHON, *_PYTHON_OPTIONS, "-c", _START_CODE]
        if is_bubblewrap:
            command = [*_bubblewrap_command(places_in_box), *command]
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
        "packages": modules_in_box if is_bubblewrap else package_files.modules,
    }
    if isolation == "landlock":
        setup["landlock"] = {"read": (*_READABLE_PATHS, *package_files.paths), "write": (directory, *_DEVICES)}
    try:
        box.wait_until_started(_compile_modules(), setup)
    except BaseException:
        box.end()
        raise
    return box


def _start_process(command: list[str], directory: str | None) -> subprocess.Popen:
    started = _starter_thread().submit(
        subprocess.Popen,
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
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


def _bubblewrap_command(package_places: dict[str, str]) -> list[str]:
    command = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    command += ["--clearenv", "--hostname", "box"]
    for name, value in _ENVIRONMENT.items():
        command += ["--setenv", name, value]
    for path in _READABLE_PATHS:
        command += ["--symlink", os.readlink(path), path] if os.path.islink(path) else ["--ro-bind", path, path]
    for path, place in package_places.items():
        command += ["--ro-bind", path, place]
    command += ["--tmpfs", "/dev"]
    for device in _DEVICES:
        command += ["--dev-bind", device, device]
    command += ["--size", str(DISK_BYTES), "--tmpfs", "/tmp"]
    return [*command, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"]


@cache
def _compile_modules() -> tuple[tuple[str, Any], ...]:
    """Return the names and the compiled code of the modules that run inside a box."""
    modules = []
    for name in MODULES_IN_BOX:
        source = Path(__file__).with_name(f"{name}.py").read_text()
        modules.append((f"r1kit.sandbox.{name}", compile(source, f"{name}.py", "exec")))
    return tuple(modules)


@contextlib.contextmanager
def _temporary_directory() -> Iterator[str]:
    """Make a directory that a program may write to, and remove it, whatever the program has made of it."""
    directory = tempfile.mkdtemp(prefix="r1kit-box-")
    try:
        yield directory
    finally:
        try:
            os.rmdir(directory)
        except OSError:  # it is not empty: its directories may be unreadable, or nested too deeply for Python
            subprocess.run(["chmod", "-R", "u+rwx", directory], stderr=subprocess.DEVNULL)
            subprocess.run(["rm", "-rf", "--", directory], stderr=subprocess.DEVNULL)
