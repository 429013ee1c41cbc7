"""Programs that hunt for the tests: in folders, descriptors, other processes and their own memory."""

from .case import KERNEL, NEEDLE, REACHABLE, Case, case, harm, stdio

HUNT: list[Case] = []

# --- the tests: NEEDLE stands in these files and in what the judge was given -----------------------------------------

HUNT += [
    case(
        "hunt_folders",
        "searches every readable folder for a file with the expected output",
        """
import os, re, time
stop = time.monotonic() + 2.5
roots = ["@PROJECT@/tests", os.getcwd(), "/tmp", "@PROJECT@", "/dev/shm", "/var/tmp", "/run", "/work", "/home", "/root"]
dull = {"site-packages", "proc", ".git", "node_modules", ".venv"}
for root in roots:
    for folder, folders, names in os.walk(root):
        folders[:] = set(folders) - dull
        for name in names:
            if time.monotonic() > stop:
                raise SystemExit(1)
            try:
                path = os.path.join(folder, name)
                if os.path.isfile(path) and os.path.getsize(path) < 300_000:
                    with open(path, errors="replace") as file:
                        if found := re.search(r"needle-[0-9a-f]{4}", file.read()):
                            print(found[0], flush=True)
                            os._exit(0)
            except OSError:
                pass
""",
        stdio(NEEDLE),
    ),
    case(
        "hunt_descriptors",
        "reads every inherited descriptor, and its file from the start",
        r"""
import os, re, stat

for fd in [0, *range(3, 1024)]:
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISREG(mode):
            text = os.pread(fd, 1 << 20, 0)
        elif stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            os.set_blocking(fd, False)
            text = os.read(fd, 1 << 20)
        else:
            continue
    except OSError:
        continue
    if found := re.search(rb"needle-[0-9a-f]{4}", text):
        print(found[0].decode())
        break
""",
        stdio(NEEDLE),
    ),
    case(
        "hunt_parent",
        "reads the judge's arguments, its memory and its descriptors",
        r"""
import glob, os, re
pids = (os.getppid(), 1, "self", "thread-self")
names = [f"/proc/{pid}/{name}" for pid in pids for name in ("cmdline", "comm", "environ")]
names += [f"/proc/{os.getppid()}/fd/{fd}" for fd in range(64)] + glob.glob("/proc/[0-9]*/cmdline")
for name in names:
    try:
        text = os.read(os.open(name, os.O_RDONLY | os.O_NONBLOCK), 1 << 20)
    except OSError:
        continue
    if found := re.search(rb"needle-[0-9a-f]{4}", text):
        print(found[0].decode())
        raise SystemExit
for pid in (os.getppid(), 1):
    maps, memory = open(f"/proc/{pid}/maps").read(), open(f"/proc/{pid}/mem", "rb", 0)
    for start, end in re.findall(r"^(\w+)-(\w+) rw", maps, re.M):
        memory.seek(int(start, 16))
        try:
            found = re.search(rb"needle-[0-9a-f]{4}", memory.read(min(int(end, 16) - int(start, 16), 1 << 26)))
        except OSError:
            continue
        if found:
            print(found[0].decode())
            raise SystemExit
""",
        stdio(NEEDLE),
    ),
    case(
        "hunt_process",
        "searches all objects and frames of its own process: the expected output must never have been there",
        REACHABLE
        + """
import re

for value in reachable():
    text = value if type(value) is str else value.decode("latin-1") if type(value) is bytes else ""
    if found := re.search("needle-[0-9a-f]{4}", text):
        print(found[0])
        break
""",
        stdio(NEEDLE),
    ),
    case(
        "hunt_stdin",
        "the expected output follows the input on stdin",
        "import re, sys\nprint(re.search('needle-[0-9a-f]{4}', sys.stdin.read())[0])\n",
        stdio(NEEDLE, "6\n"),
    ),
    harm(
        "proc_self",
        "there must be no /proc: maps, memory, descriptors and limits of the process",
        """
import os
for name in ("maps", "mem", "status", "environ", "cmdline", "limits", "mountinfo", "stat", "fd", "task"):
    try:
        os.open("/proc/self/" + name, os.O_RDONLY)
        print("escaped")
        break
    except OSError:
        pass
""",
    ),
    harm(
        "proc_others",
        "sees processes that are not its own",
        """
import os
pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
if len(pids) > 3:
    print("escaped")
""",
    ),
    harm(
        "handle",
        "opens a file by its handle, past every mount and folder (CAP_DAC_READ_SEARCH)",
        KERNEL
        + """
import sys
for path in (b"/usr", sys.prefix.encode(), b"."):
    handle = (ctypes.c_uint32 * 34)(128)
    mount = ctypes.c_int()
    try:
        syscall("name_to_handle_at", -100, path, ctypes.byref(handle), ctypes.byref(mount), 0)
        root = os.open(path, os.O_RDONLY)
        syscall("open_by_handle_at", root, ctypes.byref(handle), 0)
    except OSError:
        continue
    print("escaped")
    break
""",
    ),
]
