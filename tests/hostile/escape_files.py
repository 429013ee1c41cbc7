"""Programs that read what is outside the box: a canary, secrets, the project, the tests, other processes."""

from .case import CANARY_TEXT, Case, case, harm, stdio

FILES: list[Case] = []

# --- the canary file, by every way to open a file --------------------------------------------------------------------

for _name, _program in {
    "open": "print(open('@CANARY_FILE@').read())",
    "os_open": "import os\nprint(os.read(os.open('@CANARY_FILE@', os.O_RDONLY), 99).decode())",
    "write_mode": "print(open('@CANARY_FILE@', 'r+').read())",
    "relative": "print(open('../' * 12 + '@CANARY_FILE@'[1:]).read())",
    "listdir": "import os\nprint([open('/tmp/' + n).read() for n in os.listdir('/tmp') if n == 'r1kit-canary'][0])",
    "symlink": "import os\nos.symlink('@CANARY_FILE@', 'link')\nprint(open('link').read())",
    "symlink_folder": "import os\nos.symlink('/', 'link')\nprint(open('link/@CANARY_FILE@').read())",
    "hard_link": "import os\nos.link('@CANARY_FILE@', 'link')\nprint(open('link').read())",
    "copy": "import shutil\nshutil.copy('@CANARY_FILE@', 'copy')\nprint(open('copy').read())",
    "loader": """
from importlib.machinery import SourceFileLoader
print(SourceFileLoader("a", "@CANARY_FILE@").get_data("@CANARY_FILE@").decode())
""",
    "linecache": "import linecache\nprint(linecache.getline('@CANARY_FILE@', 1) or 1 / 0)",
    "libc": """
import ctypes
libc = ctypes.CDLL(None)
fd = libc.open(b'@CANARY_FILE@', 0)
text = ctypes.create_string_buffer(99)
libc.read(fd, text, 99)
print(text.value.decode())
""",
    "exec_cat": "import os\nos.execv('/bin/cat', ['cat', '@CANARY_FILE@'])",
    "exec_python": """
import os, sys
os.execv(sys.executable, ["python", "-c", "print(open('@CANARY_FILE@').read())"])
""",
    "url": "import urllib.request\nprint(urllib.request.urlopen('file://@CANARY_FILE@').read().decode())",
    "thread": """
import threading
t = threading.Thread(target=lambda: print(open('@CANARY_FILE@').read()))
t.start()
t.join()
""",
    "proc_root": "print(open('/proc/self/root@CANARY_FILE@').read())",
    "proc_init_root": "print(open('/proc/1/root@CANARY_FILE@').read())",
    "proc_parent_root": "import os\nprint(open(f'/proc/{os.getppid()}/root@CANARY_FILE@').read())",
    "proc_parent_cwd": "import os\nprint(open(f'/proc/{os.getppid()}/cwd/' + '../' * 12 + '@CANARY_FILE@').read())",
    "chroot": """
import os
os.mkdir('r1kit-escape-root')
here = os.open('.', 0)
os.chroot('r1kit-escape-root')
os.fchdir(here)
for _ in range(40):
    os.chdir('..')
os.chroot('.')
print(open('@CANARY_FILE@').read())
""",
    "folder_fds": """
import os
for fd in range(3, 1024):
    try:
        print(os.read(os.open('../' * 12 + '@CANARY_FILE@'[1:], 0, dir_fd=fd), 99).decode())
        break
    except OSError:
        pass
""",
    "fds": """
import os
for fd in range(3, 1024):
    try:
        text = os.pread(fd, 4096, 0).decode()
    except (OSError, ValueError):
        continue
    if 'canary-' in text:
        print(text)
        break
""",
}.items():
    FILES.append(
        case(f"canary_{_name}", "reads a file outside the box", f"{_program}\n", stdio(CANARY_TEXT)),
    )

FILES += [
    harm(
        "canary_chmod",
        "changes the mode of a file outside (to what it is): Landlock alone does not govern chmod",
        "import os\nos.chmod('@CANARY_FILE@', 0o644)\nprint('escaped')\n",
    ),
    harm(
        "canary_times",
        "changes the times of a file outside: Landlock alone does not govern utime",
        "import os\nos.utime('@CANARY_FILE@')\nprint('escaped')\n",
    ),
    harm(
        "canary_owner",
        "changes the owner of a file outside (to what it is)",
        "import os\nos.chown('@CANARY_FILE@', -1, os.getgid())\nprint('escaped')\n",
    ),
    harm(
        "canary_xattr",
        "puts an attribute on a file outside",
        "import os\nos.setxattr('@CANARY_FILE@', 'user.r1kit', b'1')\nprint('escaped')\n",
    ),
    harm(
        "canary_append",
        "opens a file outside for writing (and writes nothing)",
        "import os\nos.open('@CANARY_FILE@', os.O_WRONLY | os.O_APPEND)\nprint('escaped')\n",
    ),
    harm(
        "canary_truncate",
        "truncates a file outside (to the length it has)",
        "import os\nos.truncate('@CANARY_FILE@', os.stat('@CANARY_FILE@').st_size)\nprint('escaped')\n",
    ),
]

# --- the environment -------------------------------------------------------------------------------------------------

for _name, _program in {
    "environ": "import os\nprint(os.environ['R1KIT_CANARY'])",
    "posix": "import posix\nprint(posix.environ[b'R1KIT_CANARY'].decode())",
    "getenv": """
import ctypes
libc = ctypes.CDLL(None)
libc.getenv.restype = ctypes.c_char_p
print(libc.getenv(b'R1KIT_CANARY').decode())
""",
    "proc_self": "print(open('/proc/self/environ').read().split('R1KIT_CANARY=')[1].split('\\0')[0])",
    "proc_init": "print(open('/proc/1/environ').read().split('R1KIT_CANARY=')[1].split('\\0')[0])",
    "proc_parent": "import os\n"
    "print(open(f'/proc/{os.getppid()}/environ').read().split('R1KIT_CANARY=')[1].split('\\0')[0])",
    "proc_all": r"""
import glob
for name in glob.glob('/proc/[0-9]*/environ'):
    try:
        text = open(name).read()
    except OSError:
        continue
    if 'R1KIT_CANARY=' in text:
        print(text.split('R1KIT_CANARY=')[1].split('\0')[0])
        break
""",
    "stack": """
import ctypes
start = ctypes.c_void_p.in_dll(ctypes.CDLL(None), 'program_invocation_name').value
for _ in range(4096):
    word = ctypes.string_at(start)
    if word.startswith(b'R1KIT_CANARY='):
        print(word.split(b'=')[1].decode(), flush=True)
        break
    start += len(word) + 1
""",
}.items():
    FILES.append(case(f"environment_{_name}", "reads the judge's environment", f"{_program}\n", stdio(CANARY_TEXT)))

# --- secrets and other people's files --------------------------------------------------------------------------------

for _name, _why, _paths in (
    ("shadow", "password hashes", ["/etc/shadow", "/etc/gshadow", "/etc/sudoers"]),
    ("passwd", "the host's accounts", ["/etc/passwd", "/etc/group"]),
    ("machine", "the host's identity", ["/etc/machine-id", "/etc/hostname", "/var/lib/dbus/machine-id"]),
    ("home", "the user's files", ["~/.bashrc", "~/.profile", "~/.bash_history", "/root/.bashrc", "/root/.profile"]),
    (
        "project",
        "the project that trains",
        ["@PROJECT@/pyproject.toml", "@PROJECT@/tests/conftest.py", "@PROJECT@/.git/HEAD"],
    ),
    ("logs", "the host's logs", ["/var/log/dpkg.log", "/var/log/syslog", "/var/log/lastlog", "/dev/kmsg"]),
    ("memory", "physical memory", ["/dev/mem", "/dev/kmem", "/dev/port", "/proc/kcore"]),
    ("disks", "block devices", ["/dev/sda", "/dev/vda", "/dev/nvme0n1", "/dev/xvda", "/dev/dm-0", "/dev/loop0"]),
    (
        "devices",
        "devices with a history of holes",
        ["/dev/kvm", "/dev/fuse", "/dev/net/tun", "/dev/vhost-vsock", "/dev/nvidiactl"],
    ),
    ("terminal", "the judge's terminal", ["/dev/tty", "/dev/console", "/dev/tty0"]),
):
    FILES.append(
        harm(
            f"secret_{_name}",
            f"opens {_why}",
            f"import os\n\nfor path in {_paths!r}:\n"
            + """    try:
        fd = os.open(os.path.expanduser(path), os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        continue
    print("escaped")
    break
""",
        )
    )

FILES += [
    harm(
        "secret_homes",
        "lists home folders; only the way to the interpreter itself may be seen there",
        """
import os, sys
own = [sys.prefix, sys.base_prefix, sys.executable, os.path.realpath(sys.executable), *sys.path]
seen = False
for home in ("/root", *["/home/" + name for name in (os.listdir("/home") if os.access("/home", os.R_OK) else [])]):
    try:
        names = os.listdir(home)
    except OSError:
        continue
    seen |= any(not any(path.startswith(f"{home}/{name}") for path in own) for name in names)
if seen:
    print("escaped")
""",
    ),
    harm(
        "secret_ssh",
        "lists the keys of the user",
        """
import glob, os

for folder in ['~/.ssh', '/root/.ssh', *glob.glob('/home/*/.ssh')]:
    try:
        os.listdir(os.path.expanduser(folder))
        print('escaped')
        break
    except OSError:
        pass
""",
    ),
    harm(
        "secret_work",
        "lists folders of the project and of the host; only the way to the interpreter may be seen there",
        """
import os, sys
own = [os.getcwd(), sys.prefix, sys.base_prefix, sys.executable, os.path.realpath(sys.executable), *sys.path]
folders = ["@PROJECT@", "@PROJECT@/tests", "/work", "/mnt", "/srv", "/boot", "/var/lib", "/sys/class/net", "/run/user"]
for folder in folders:
    try:
        names = [name for name in os.listdir(folder) if name != "lo"]
    except OSError:
        continue
    if any(not any(path.startswith(f"{folder}/{name}") for path in own) for name in names):
        print("escaped")
        break
""",
    ),
    harm(
        "secret_modules",
        "the project's tests or rewards can be imported",
        """
import importlib.util, sys
sys.path[:0] = ["@PROJECT@", "@PROJECT@/tests"]
for name in ("hostile", "helpers", "r1kit.rewards"):
    try:
        found = importlib.util.find_spec(name)
    except ImportError:
        continue
    if found:
        print("escaped")
        break
""",
    ),
]

# --- commands to files and sockets -----------------------------------------------------------------------------------

for _name, _why, _program in (
    (
        "attributes",
        "changes the attributes of a file that it may only read (to what they are)",
        """
flags = bytearray(8)
fcntl.ioctl(os.open(os.__file__, os.O_RDONLY), 0x80086601, flags)
fcntl.ioctl(os.open(os.__file__, os.O_RDONLY), 0x40086602, flags)
""",
    ),
    (
        "extended",
        "reads the extended attributes that another command changes",
        "fcntl.ioctl(os.open(os.__file__, os.O_RDONLY), 0x801C581F, bytearray(28))",
    ),
    (
        "interfaces",
        "lists the machine's network interfaces",
        """
import array, socket, struct
room = array.array("B", bytes(4096))
asked = struct.pack("iL", 4096, room.buffer_info()[0])
size, _ = struct.unpack("iL", fcntl.ioctl(socket.socketpair()[0].fileno(), 0x8912, asked))
""",
    ),
    ("version", "asks a file system for its number", "fcntl.ioctl(os.open('.', 0), 0x80087601, bytearray(8))"),
    ("clone", "makes one file share its blocks with another", "fcntl.ioctl(1, 0x40049409, 0)"),
):
    FILES.append(harm(f"command_{_name}", _why, f"import fcntl, os\n{_program}\nprint('escaped')\n"))
