"""Programs that try for rights: capabilities, namespaces, mounts, tracing, and kernel interfaces made for attack."""

from .case import KERNEL, Case, harm

PRIVILEGE: list[Case] = []

_ESCAPED = "\nprint('escaped')\n"

# --- users, limits and capabilities ----------------------------------------------------------------------------------

for _name, _why, _program in (
    ("setuid", "becomes another user", "import os\nos.setuid(65534 if os.getuid() == 0 else 0)"),
    ("setgid", "becomes another group", "import os\nos.setgid(65534 if os.getgid() == 0 else 0)"),
    ("setgroups", "takes other groups", "import os\nos.setgroups([0, 42])"),
    ("chroot", "changes its root", "import os\nos.chroot('.')"),
    ("nice", "takes the processor before others", "import os\nos.nice(-5)"),
    (
        "realtime",
        "takes real-time scheduling (and gives it back)",
        """
import os
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
""",
    ),
    (
        "rlimit_memory",
        "raises its memory limit",
        """
import resource as r
_, most = r.getrlimit(r.RLIMIT_AS)
assert most != r.RLIM_INFINITY
r.setrlimit(r.RLIMIT_AS, (r.RLIM_INFINITY, r.RLIM_INFINITY))
""",
    ),
    (
        "rlimit_file",
        "raises its limit on the size of files",
        """
import resource as r
_, most = r.getrlimit(r.RLIMIT_FSIZE)
assert most != r.RLIM_INFINITY
r.setrlimit(r.RLIMIT_FSIZE, (r.RLIM_INFINITY, r.RLIM_INFINITY))
""",
    ),
    (
        "rlimit_parent",
        "reads and sets the limits of its parent (to what they are)",
        """
import os, resource as r
assert os.getppid() > 1
old = r.prlimit(os.getppid(), r.RLIMIT_CORE)
r.prlimit(os.getppid(), r.RLIMIT_CORE, old)
""",
    ),
    (
        "mknod",
        "makes a block device and opens it",
        """
import os, stat
for major, minor in ((8, 0), (254, 0), (259, 0), (1, 1)):
    os.mknod('r1kit-escape-disk', stat.S_IFBLK | 0o600, os.makedev(major, minor))
    try:
        os.open('r1kit-escape-disk', os.O_RDONLY)
        break
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno != 6:
            raise
    finally:
        os.unlink('r1kit-escape-disk')
else:
    raise OSError
""",
    ),
    (
        "setuid_file",
        "makes a program that runs as root for whoever finds it in a folder outside",
        """
import os
for folder in ('/usr/bin', '/usr/local/bin', '/bin'):
    name = folder + '/r1kit-escape-suid'
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        os.unlink(name)
        break
    except OSError:
        pass
else:
    raise OSError
""",
    ),
):
    PRIVILEGE.append(harm(f"right_{_name}", _why, _program + _ESCAPED))

# --- the kernel past Python ------------------------------------------------------------------------------------------

for _name, _why, _body in (
    (
        "mount",
        "mounts a file system over its folder (and unmounts it)",
        """
os.makedirs('r1kit-escape-mount', exist_ok=True)
syscall('mount', b'tmpfs', b'r1kit-escape-mount', b'tmpfs', 0, b'size=4k')
syscall('umount2', b'r1kit-escape-mount', 2)
""",
    ),
    (
        "mount_proc",
        "mounts /proc over its folder (and unmounts it)",
        """
os.makedirs('r1kit-escape-proc', exist_ok=True)
syscall('mount', b'proc', b'r1kit-escape-proc', b'proc', 0, None)
try:
    open('r1kit-escape-proc/self/status').read()
finally:
    syscall('umount2', b'r1kit-escape-proc', 2)
""",
    ),
    ("mount_api", "opens a file system by the newer calls", "syscall('fsopen', b'tmpfs', 0)"),
    ("unshare_user", "makes a user namespace, where it is root", "syscall('unshare', 0x10000000)"),
    ("unshare_mount", "makes a mount namespace", "syscall('unshare', 0x00020000)"),
    ("unshare_net", "makes a network namespace", "syscall('unshare', 0x40000000)"),
    ("unshare_pid", "makes a process namespace", "syscall('unshare', 0x20000000)"),
    (
        "ptrace",
        "attaches to its parent",
        "assert os.getppid() > 0\nsyscall('ptrace', 0x4206, os.getppid(), 0, 0)",
    ),
    (
        "read_parent",
        "reads its parent's memory",
        """
for pid in {os.getppid(), 1} - {0}:
    here = ctypes.create_string_buffer(8)
    local = (ctypes.c_size_t * 2)(ctypes.addressof(here), 8)
    for address in (0x400000, id(os), ctypes.cast(libc.getpid, ctypes.c_void_p).value):
        remote = (ctypes.c_size_t * 2)(address, 8)
        try:
            syscall('process_vm_readv', pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
        except OSError as error:
            if error.errno != 14:
                raise
""",
    ),
    (
        "steal_descriptor",
        "takes its parent's descriptors",
        "assert os.getppid() > 0\nsyscall('pidfd_getfd', syscall('pidfd_open', os.getppid(), 0), 0, 0)",
    ),
    (
        "bpf",
        "makes a bpf map",
        "attributes = (ctypes.c_uint32 * 32)(2, 4, 8, 1)\nsyscall('bpf', 0, ctypes.byref(attributes), 128)",
    ),
    (
        "keyctl",
        "leaves a key in the kernel, outside any file system (for 20 s)",
        "key = syscall('add_key', b'user', b'r1kit-escape-key', b'1', 1, -4)\nsyscall('keyctl', 15, key, 20)",
    ),
    (
        "io_uring",
        "sets up io_uring, whose operations pass system call filters",
        "settings = (ctypes.c_uint32 * 64)()\nsyscall('io_uring_setup', 8, ctypes.byref(settings))",
    ),
    ("userfaultfd", "opens a userfaultfd", "syscall('userfaultfd', 1)"),
    (
        "perf",
        "opens a performance counter",
        """
event = (ctypes.c_uint32 * 32)(1, 128)
ctypes.c_uint64.from_buffer(event, 40).value = 0x61
syscall('perf_event_open', ctypes.byref(event), 0, -1, -1, 0)
""",
    ),
    (
        "kernel_log",
        "reads the kernel's log",
        "text = ctypes.create_string_buffer(4096)\nassert syscall('syslog', 3, text, 4096) > 0",
    ),
):
    PRIVILEGE.append(harm(f"kernel_{_name}", _why, KERNEL + _body + _ESCAPED))

# --- round the filter ------------------------------------------------------------------------------------------------

PRIVILEGE += [
    harm(
        "filter_int80",
        "forks by the 32-bit system call table, which a filter that does not look at the architecture lets pass",
        """
import ctypes, mmap, os
assert os.uname().machine == "x86_64"
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(b"\\xb8\\x02\\x00\\x00\\x00\\xcd\\x80\\xc3")  # mov eax, 2 (fork); int 0x80; ret
fork = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
child = fork()
if child == 0:
    os._exit(0)
assert child > 0
os.waitpid(child, 0)
print("escaped")
""",
    ),
    harm(
        "filter_x32",
        "forks by the x32 system call numbers",
        KERNEL
        + """
assert os.uname().machine == "x86_64"
child = syscall(0x40000000 | 57)
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
print("escaped")
""",
    ),
    harm(
        "filter_clone3",
        "forks by clone3, whose flags lie in memory that a filter cannot read",
        KERNEL
        + """
settings = (ctypes.c_uint64 * 8)(0, 0, 0, 0, 17)
child = syscall("clone3", ctypes.byref(settings), 64)
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
print("escaped")
""",
    ),
    harm(
        "filter_clone_vm",
        "makes a process that shares memory as a thread does, but is none",
        """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
stack = ctypes.create_string_buffer(1 << 16)
top = (ctypes.addressof(stack) + (1 << 16)) & ~15
flags = 0x100 | 0x200 | 0x400 | 0x800 | 0x4000 | 17  # memory, folders, files, handlers; the parent waits
libc.clone.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
child = libc.clone(ctypes.cast(libc._exit, ctypes.c_void_p), top, flags, None)
assert child > 0
os.waitpid(child, 0)
print("escaped")
""",
    ),
]
