"""Programs that leave something behind for the next test: each passes only if its second run sees its first."""

from .case import KERNEL, Case, asserts, call, case, harm, stdio

PERSIST: list[Case] = []

_FIRST_THEN_AGAIN = (stdio("first\n"), stdio("again\n"))

# --- files: written by the first run, found and removed by the second -------------------------------------------------

_LEAVE = """
import glob, os, site, sys, sysconfig, tempfile
again = False
for folder in {{os.path.realpath(os.path.expanduser(folder)) for folder in {folders}}}:
    path = os.path.join(folder, "r1kit-escape-{name}{ending}")
    try:
        if os.path.exists(path):
            os.unlink(path)
            again = True
        else:
            with open(path, "w") as file:
                file.write("#\\n")
    except OSError:
        pass
print("again" if again else "first")
"""

for _name, _why, _ending, _folders in (
    ("cwd", "in the working folder", "", "['.', os.getcwd(), os.path.dirname(os.path.abspath(sys.argv[0] or '.'))]"),
    ("tmp", "in /tmp", "", "['/tmp', tempfile.gettempdir(), os.environ.get('TMPDIR', '/tmp')]"),
    ("shm", "in shared memory", "", "['/dev/shm', '/run/shm', '/run', '/run/lock', '/dev/mqueue', '/dev']"),
    (
        "var",
        "in other folders that all may write",
        "",
        "['/var/tmp', '/var/lock', '/var', '/opt', '/srv', '/mnt', '/']",
    ),
    ("home", "in home folders", "", "['~', '/root', '/home', *glob.glob('/home/*')]"),
    ("rc", "where shells would read it", ".sh", "['/etc/profile.d', '/etc', '/etc/bash_completion.d', '~/.config']"),
    (
        "cron",
        "where cron would read it",
        "",
        "['/etc/cron.d', '/etc/cron.daily', '/var/spool/cron/crontabs', '/var/spool/cron']",
    ),
    ("usr", "in the system", "", "['/usr', '/usr/bin', '/usr/local/bin', '/usr/lib', '/usr/share', '/bin', '/lib']"),
    ("path", "on sys.path", ".py", "[folder for folder in sys.path if os.path.isdir(folder or '.')]"),
    ("pth", "where site would run it", ".pth", "[*site.getsitepackages(), site.getusersitepackages(), sys.prefix]"),
    (
        "pyc",
        "among compiled modules",
        ".pyc",
        "[os.path.join(f, '__pycache__') for f in (*sys.path, *sysconfig.get_paths().values())]",
    ),
    ("project", "in the project", "", "['@PROJECT@', '@PROJECT@/tests', '@PROJECT@/r1kit', '/work']"),
):
    PERSIST.append(
        case(
            f"leave_{_name}",
            f"leaves a file {_why}",
            _LEAVE.format(folders=_folders, name=_name, ending=_ending),
            *_FIRST_THEN_AGAIN,
        )
    )

for _name, _why, _program in (
    (
        "folder",
        "a folder",
        """
import os
try:
    os.mkdir('/tmp/r1kit-escape-folder')
    print('first')
except FileExistsError:
    os.rmdir('/tmp/r1kit-escape-folder')
    print('again')
""",
    ),
    (
        "link",
        "a symbolic link",
        """
import os
try:
    os.symlink('/', 'r1kit-escape-link')
    print('first')
except FileExistsError:
    os.unlink('r1kit-escape-link')
    print('again')
""",
    ),
    (
        "times",
        "a number in a file's time, where the file itself is put back",
        """
import os
seen = False
for name in ('.', '/tmp', os.path.dirname(os.__file__), '/usr', os.__file__):
    try:
        old = os.stat(name)
        seen |= old.st_atime_ns == 1_234_567_890
        os.utime(name, ns=(old.st_mtime_ns if seen else 1_234_567_890, old.st_mtime_ns))
    except OSError:
        pass
print('again' if seen else 'first')
""",
    ),
    (
        "abstract_socket",
        "an abstract socket held by a child process (for some seconds)",
        r"""
import os, socket, time
s = socket.socket(socket.AF_UNIX)
try:
    s.connect('\0r1kit-escape-socket')
    print('again')
except ConnectionRefusedError:
    s.bind('\0r1kit-escape-socket')
    s.listen()
    if os.fork() == 0:
        os.setsid()
        os.closerange(0, 3)
        time.sleep(4)
        os._exit(0)
    print('first')
""",
    ),
    (
        "shared_memory",
        "a segment of multiprocessing's shared memory",
        """
from multiprocessing import resource_tracker, shared_memory
resource_tracker.register = lambda *a: None
resource_tracker.unregister = lambda *a: None
try:
    m = shared_memory.SharedMemory('r1kit-escape-memory', True, 64)
    print('first')
except FileExistsError:
    m = shared_memory.SharedMemory('r1kit-escape-memory')
    m.unlink()
    print('again')
""",
    ),
    (
        "sysv",
        "a System V memory segment",
        """
import ctypes
libc = ctypes.CDLL(None)
found = libc.shmget(0x72316B69, 4096, 0)
if found >= 0:
    libc.shmctl(found, 0, None)
    print('again')
else:
    print('first' if libc.shmget(0x72316B69, 4096, 0o1600) >= 0 else 'none')
""",
    ),
    (
        "queue",
        "a POSIX message queue",
        """
import ctypes
libc = ctypes.CDLL(None)
if libc.mq_open(b'/r1kit-escape-queue', 0) >= 0:
    libc.mq_unlink(b'/r1kit-escape-queue')
    print('again')
else:
    print('first' if libc.mq_open(b'/r1kit-escape-queue', 0o102, 0o600, None) >= 0 else 'none')
""",
    ),
    (
        "key",
        "a key in the user's keyring (for 20 s)",
        KERNEL
        + """
try:
    key = syscall('keyctl', 10, -4, b'user', b'r1kit-escape-kept', 0)
    syscall('keyctl', 9, key, -4)
    print('again')
except OSError:
    key = syscall('add_key', b'user', b'r1kit-escape-kept', b'1', 1, -4)
    syscall('keyctl', 15, key, 20)
    print('first')
""",
    ),
):
    PERSIST.append(case(f"keep_{_name}", f"leaves behind {_why}", _program, *_FIRST_THEN_AGAIN))

# --- state of the process: one fresh process a test ------------------------------------------------------------------

PERSIST += [
    case(
        "state_counter",
        "a counter must not survive from one test to the next",
        "count = 0\n\ndef solve():\n    global count\n    count += 1\n    return count\n",
        call("solve", [], 1),
        call("solve", [], 2),
    ),
    case(
        "state_builtins",
        "nor an attribute of a module",
        "import sys\n\ndef solve():\n    sys.count = getattr(sys, 'count', 0) + 1\n    return sys.count\n",
        call("solve", [], 1),
        call("solve", [], 2),
    ),
    case(
        "state_environ",
        "nor an environment variable",
        """
import os

def solve():
    os.environ['SEEN'] = os.environ.get('SEEN', '') + 'x'
    return os.environ['SEEN']
""",
        call("solve", [], "x"),
        call("solve", [], "xx"),
    ),
    case(
        "state_assert",
        "nor a cache of what the last test code held",
        "seen = []\n\ndef solve(n):\n    seen.append(n)\n    return len(seen)\n",
        asserts("assert solve(1) == 1\nassert solve(1) == 2\n"),
        asserts("assert solve(1) == 3\n"),
    ),
]

# --- writing where the interpreter reads -----------------------------------------------------------------------------

PERSIST.append(
    harm(
        "write_interpreter",
        "may write in a folder of the interpreter (and removes what it wrote)",
        """
import os, site, sys, sysconfig
folders = [os.path.dirname(os.__file__), sys.prefix, os.path.dirname(sys.executable), *site.getsitepackages(),
           *sysconfig.get_paths().values(), os.path.dirname(os.__file__) + "/__pycache__", "/usr", "/usr/lib"]
for folder in folders:
    path = os.path.join(folder, "r1kit-escape-write")
    try:
        open(path, "x").close()
    except OSError:
        continue
    os.unlink(path)
    print("escaped")
    break
""",
    )
)
