"""Programs that take more than they may have, or more time than the judge has.

All are bounded for the day that the sandbox fails: 1.4 GiB of memory, 300 MiB of disk in files that are removed again,
1 GiB of output.
"""

from .case import FACTORIAL, KERNEL, Case, case, harm, stdio

RESOURCES: list[Case] = []

# --- memory: "escaped" after 1.4 GiB ---------------------------------------------------------------------------------

for _name, _why, _program in (
    ("bytes", "one block", "x = b'x' * (1400 << 20)"),
    ("bytearray", "a growing block", "x = bytearray()\nfor _ in range(44):\n    x += b'x' * (32 << 20)"),
    ("lists", "many small objects", "import gc\ngc.disable()\nx = [[n] for n in range(13_000_000)]"),
    ("text", "a doubling text", "x = 'x' * (175 << 20)\nwhile len(x) < 1400 << 20:\n    x += x"),
    (
        "mmap",
        "anonymous maps",
        """
import mmap
x = []
block = b'x' * (1 << 20)
for _ in range(22):
    x.append(mmap.mmap(-1, 64 << 20))
    for _ in range(64):
        x[-1].write(block)
""",
    ),
    (
        "libc",
        "malloc and memset",
        """
import ctypes
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
for _ in range(22):
    block = libc.malloc(ctypes.c_size_t(64 << 20))
    assert block
    libc.memset(ctypes.c_void_p(block), 1, ctypes.c_size_t(64 << 20))
""",
    ),
    (
        "threads",
        "a share for each of 24 threads",
        """
import threading
x = []
def grow():
    x.append(b'x' * (60 << 20))
t = [threading.Thread(target=grow) for _ in range(24)]
[one.start() for one in t]
[one.join() for one in t]
assert len(x) == 24
""",
    ),
    (
        "memfd",
        "files in memory, which the limit on address space does not count",
        """
import os
block = b'x' * (16 << 20)
for _ in range(88):
    fd = os.memfd_create('x')
    assert os.write(fd, block) == len(block)
""",
    ),
    (
        "rlimit",
        "after its limits were raised",
        """
import resource as r
for kind in (r.RLIMIT_AS, r.RLIMIT_DATA):
    try:
        r.setrlimit(kind, (r.RLIM_INFINITY, r.RLIM_INFINITY))
    except (ValueError, OSError):
        most = r.getrlimit(kind)[1]
        r.setrlimit(kind, (most, most))
x = b'x' * (1400 << 20)
""",
    ),
):
    RESOURCES.append(harm(f"memory_{_name}", f"takes too much memory: {_why}", f"{_program}\nprint('escaped')\n"))

# --- memory that the limit on address space does not count: one call that succeeds is enough --------------------------

for _name, _why, _program in (
    (
        "vmsplice",
        "gives pages to a pipe, which keeps the whole huge page of each when the memory is given back",
        """
read_end, write_end = os.pipe()
page = ctypes.create_string_buffer(4096)
vector = (ctypes.c_size_t * 2)(ctypes.addressof(page), 4096)
syscall("vmsplice", write_end, ctypes.byref(vector), 1, 0)
""",
    ),
    (
        "splice",
        "moves pages of a file to a pipe",
        """
read_end, write_end = os.pipe()
with open("pages", "wb+") as file:
    file.write(b"x" * 4096)
    file.flush()
    os.unlink("pages")
    file.seek(0)
    assert os.splice(file.fileno(), write_end, 4096) > 0
""",
    ),
    (
        "sendfile",
        "has a file's pages sent to a pipe",
        """
read_end, write_end = os.pipe()
assert os.sendfile(write_end, os.open(os.__file__, os.O_RDONLY), 0, 4096) > 0
""",
    ),
    (
        "tee",
        "doubles what is in a pipe",
        """
pipes = [os.pipe(), os.pipe()]
os.write(pipes[0][1], b"x" * 4096)
assert syscall("tee", pipes[0][0], pipes[1][1], 4096, 0) > 0
""",
    ),
    ("pipe_size", "makes a pipe hold a megabyte", "import fcntl\nfcntl.fcntl(os.pipe()[1], 1031, 1 << 20)\n"),
    (
        "sent_files",
        "sends files away on a socket, which keeps them open beyond the limit on open files",
        """
import array, socket
one, other = socket.socketpair()
rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [os.open("/dev/null", os.O_RDONLY)]))]
one.sendmsg([b"x"], rights)
""",
    ),
    (
        "socket_buffer",
        "has a socket keep as much as the machine's settings allow",
        "import socket\nsocket.socketpair()[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 26)\n",
    ),
    (
        "sync",
        "waits for all that the machine writes to its disks, which no signal interrupts",
        "syscall({'x86_64': 306, 'aarch64': 267}[os.uname().machine], 1)  # syncfs\n",
    ),
    (
        "rules",
        "makes a ruleset of Landlock, which may have four thousand million rules",
        "syscall('landlock_create_ruleset', (ctypes.c_uint64 * 2)(1, 1), 16, 0)\n",
    ),
    (
        "aio",
        "takes the machine's contexts of asynchronous reading",
        "syscall('io_setup', 64, (ctypes.c_uint64 * 1)())\n",
    ),
):
    RESOURCES.append(harm(f"pinned_{_name}", _why, f"{KERNEL}\n{_program}\nprint('escaped')\n"))

RESOURCES += [
    harm(
        "pinned_unlinked",
        "writes files without a name through memory maps, which no counter of written bytes sees",
        """
import mmap, os
files = []
for number in range(12):
    file = os.open("x", os.O_RDWR | os.O_CREAT)
    os.unlink("x")
    os.ftruncate(file, 32 << 20)
    with mmap.mmap(file, 32 << 20) as pages:
        for page in range(0, 32 << 20, 4096):
            pages[page] = 1
    files.append(file)
print("escaped")
""",
    ),
    harm(
        "pinned_mapped",
        "writes files that have neither a name nor a descriptor, but a page that is mapped",
        """
import ctypes, os
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
for number in range(12):
    file = os.open("x", os.O_RDWR | os.O_CREAT)
    os.unlink("x")
    os.ftruncate(file, 32 << 20)
    libc.mmap(None, 4096, 3, 1, file, 0)
    pages = libc.mmap(None, 32 << 20, 3, 1, file, 0)
    os.close(file)
    ctypes.memset(pages, 1, 32 << 20)
    libc.munmap(pages, 32 << 20)
print("escaped")
""",
    ),
    harm(
        "pinned_descriptors",
        "keeps full sockets open in threads that have tables of descriptors of their own",
        """
import ctypes, os, socket
libc = ctypes.CDLL(None)
libc.clone.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
block, stacks = b"x" * (1 << 20), []
for number in range(4):
    pairs = [socket.socketpair() for _ in range(100)]
    for end in (end for pair in pairs for end in pair):
        end.setblocking(False)
        try:
            while True:
                end.send(block)
        except BlockingIOError:
            pass
    stacks.append(ctypes.create_string_buffer(1 << 16))
    top = (ctypes.addressof(stacks[-1]) + (1 << 16) - 64) & ~15
    flags = 0x100 | 0x800 | 0x10000  # CLONE_VM, CLONE_SIGHAND, CLONE_THREAD
    assert libc.clone(ctypes.cast(libc.pause, ctypes.c_void_p), top, flags, None) > 0
    del pairs, end
print("escaped", flush=True)
os._exit(0)
""",
    ),
    harm(
        "empty_files",
        "makes a hundred thousand files that are empty",
        """
import os
for number in range(100_000):
    os.close(os.open(f"r1kit-escape-{number}", os.O_CREAT))
print("escaped")
""",
    ),
    harm(
        "hidden_folder",
        "fills the disk in a folder that nobody may list",
        """
import os
os.mkdir("hidden", 0o300)
for number in range(20):
    with open(f"hidden/{number}", "wb") as file:
        for _ in range(15):
            file.write(b"x" * (1 << 20))
    if number % 3 == 2:
        os.rename(f"hidden/{number}", "seen")
        os.unlink("seen")
print("escaped")
""",
    ),
]

# --- disk: "escaped" after 300 MiB -----------------------------------------------------------------------------------

_FILL = """
import os, tempfile
def fill(folder, count, size):
    names, done, block = [], 0, b"x" * min(size, 1 << 20)
    try:
        for number in range(count):
            name = os.path.join(folder, f"r1kit-escape-fill-{{number}}")
            file = open(name, "xb", 0)
            names.append(name)
            with file:
                for _ in range(size // len(block)):
                    done += file.write(block)
    except OSError:
        pass
    finally:
        for name in names:
            os.unlink(name)
    return done >= 300 << 20

if any(fill(folder, {count}, {size}) for folder in {folders}):
    print("escaped")
"""

for _name, _why, _count, _size, _folders in (
    ("one", "one file", 1, 300 << 20, "['.', tempfile.gettempdir()]"),
    ("many", "many files", 4800, 64 << 10, "['.', tempfile.gettempdir()]"),
    ("some", "files below the limit of one", 20, 15 << 20, "['.', '/tmp']"),
    ("shm", "in other file systems in memory", 20, 15 << 20, "['/dev/shm', '/dev', '/run', '/dev/mqueue']"),
    ("elsewhere", "elsewhere", 20, 15 << 20, "['/', '/var/tmp', '/home', '/root', '/var', '/etc', '/opt', '/mnt']"),
):
    RESOURCES.append(
        harm(f"disk_{_name}", f"fills the disk: {_why}", _FILL.format(count=_count, size=_size, folders=_folders))
    )
RESOURCES += [
    harm(
        "disk_deleted",
        "fills the disk with files that have no name",
        """
import tempfile
files = []
for _ in range(20):
    files.append(tempfile.TemporaryFile(buffering=0))
    assert files[-1].write(b'x' * (15 << 20)) == 15 << 20
print('escaped')
""",
    ),
    harm(
        "disk_allocate",
        "reserves disk without writing",
        """
import os, tempfile
file = tempfile.TemporaryFile()
os.posix_fallocate(file.fileno(), 0, 300 << 20)
print('escaped')
""",
    ),
    harm(
        "descriptors",
        "opens 16,384 files",
        """
import os, resource as r
try:
    most = r.getrlimit(r.RLIMIT_NOFILE)[1]
    r.setrlimit(r.RLIMIT_NOFILE, (most, most))
except (OSError, ValueError):
    pass
for _ in range(16_384):
    os.open('/dev/null', os.O_RDONLY)
print('escaped')
""",
    ),
]

# --- output: floods of 1 GiB -----------------------------------------------------------------------------------------

for _name, _why, _program in (
    (
        "after",
        "after the right answer",
        "sys.stdout.write('720\\n')\nfor _ in range(1024):\n    sys.stdout.write(block)",
    ),
    (
        "blank",
        "of blanks, which are ignored",
        "sys.stdout.write('720')\nblock = '\\n' * len(block)\nfor _ in range(1024):\n    sys.stdout.write(block)",
    ),
    (
        "wrong",
        "of the right answer, again and again",
        "for _ in range(1024):\n    sys.stdout.write('720\\n' * (1 << 18))",
    ),
    ("stderr", "on stderr, with no answer", "for _ in range(1024):\n    sys.stderr.write(block)"),
    (
        "both",
        "on both, by threads",
        """
def go(file):
    for _ in range(512):
        file.write(block)
for file in (sys.stdout, sys.stderr):
    threading.Thread(target=go, args=(file,)).start()
""",
    ),
    ("letters", "in single letters", "while True:\n    os.write(1, b'x')"),
    (
        "descriptors",
        "on every descriptor",
        """
data = block.encode()
for _ in range(64):
    for fd in range(1, 64):
        try:
            os.write(fd, data)
        except OSError:
            pass
""",
    ),
):
    RESOURCES.append(
        case(
            f"flood_{_name}",
            f"floods the judge {_why}",
            f"import os, sys, threading\nblock = 'x' * (1 << 20)\n{_program}\n",
            stdio("720\n", "6\n"),
        )
    )
RESOURCES += [
    case(
        "flood_call",
        "floods stdout and stderr from a function, then returns a wrong answer",
        """
import sys

def solve(n):
    for _ in range(512):
        print('720' * (1 << 18))
        print('720' * (1 << 18), file=sys.stderr)
    return n
""",
        FACTORIAL["call"],
    ),
    case(
        "flood_exception",
        "the message of its exception is 200 MiB long",
        "def solve(n):\n    raise ValueError('720' * (70 << 20))\n",
        FACTORIAL["call"],
    ),
]
