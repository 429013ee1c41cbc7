"""Programs that make processes, outlive the judge's patience, or turn on other processes."""

from .case import KERNEL, Case, cheats, harm

PROCESS: list[Case] = []

# --- making processes ------------------------------------------------------------------------------------------------

for _name, _program in {
    "fork": "import os\nchild = os.fork()\nif child == 0:\n    os._exit(0)\nos.waitpid(child, 0)\nprint('escaped')",
    "forkpty": """
import os
child, fd = os.forkpty()
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
print('escaped')
""",
    "spawn": """
import os, sys
child = os.posix_spawn(sys.executable, ['python', '-c', '0'], {})
os.waitpid(child, 0)
print('escaped')
""",
    "spawnv": """
import os, sys
assert os.spawnv(os.P_WAIT, sys.executable, ['python', '-c', '0']) == 0
print('escaped')
""",
    "subprocess": """
import subprocess, sys
print(subprocess.check_output([sys.executable, "-c", "print('escaped')"], text=True))
""",
    "shell": "import subprocess\nprint(subprocess.check_output('echo escaped', shell=True, text=True))",
    "system": "import os\nassert os.system('exit 7') == 7 << 8\nprint('escaped')",
    "popen": "import os\nprint(os.popen('echo escaped').read())",
    "asyncio": """
import asyncio
async def go():
    child = await asyncio.create_subprocess_shell('exit 7')
    assert await child.wait() == 7
asyncio.run(go())
print('escaped')
""",
    "multiprocessing": """
import multiprocessing as m
child = m.get_context('fork').Process(target=int)
child.start()
child.join()
assert child.exitcode == 0
print('escaped')
""",
    "pool": """
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
with ProcessPoolExecutor(2, get_context('fork')) as pool:
    assert list(pool.map(abs, [-1])) == [1]
print('escaped')
""",
    "fork_exec": """
import os, sys
from multiprocessing.util import spawnv_passfds
child = spawnv_passfds(os.fsencode(sys.executable), [b'python', b'-c', b'0'], [])
os.waitpid(child, 0)
print('escaped')
""",
    "thread_fork": """
import os, threading
def go():
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    print('escaped')
t = threading.Thread(target=go)
t.start()
t.join()
""",
    "libc_fork": """
import ctypes, os
child = ctypes.PyDLL(None).fork()
if child == 0:
    os._exit(0)
assert child > 0
os.waitpid(child, 0)
print('escaped')
""",
    "libc_system": "import ctypes\nassert ctypes.CDLL(None).system(b'exit 7') == 7 << 8\nprint('escaped')",
}.items():
    PROCESS.append(harm(f"process_{_name}", "makes another process", f"{_program}\n"))

PROCESS += [
    harm(
        "process_clone",
        "forks by the bare system call",
        KERNEL
        + """
child = syscall("clone", 17, 0, 0, 0, 0)
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
print("escaped")
""",
    ),
    harm(
        "process_bomb",
        "makes fifty processes that stay for some seconds",
        """
import os, time
for _ in range(50):
    if os.fork() == 0:
        time.sleep(5)
        os._exit(0)
print("escaped")
""",
    ),
    harm(
        "process_daemon",
        "leaves a process behind, in a session of its own, with the judge's descriptors open",
        """
import os, time
child = os.fork()
if child == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(8)
    os._exit(0)
os.waitpid(child, 0)
print("escaped")
""",
    ),
    harm(
        "process_late",
        "a child says the right thing after the parent has died",
        """
import os, time
if os.fork():
    os._exit(0)
os.setsid()
time.sleep(0.5)
print("escaped")
""",
    ),
    harm(
        "process_die_later",
        "does not die with its parent: clears the death signal, then outlives a child that reports",
        """
import ctypes, os, time
ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
child = os.fork()
if child == 0:
    time.sleep(5)
    os._exit(0)
print("escaped")
""",
    ),
]

# --- other processes -------------------------------------------------------------------------------------------------

PROCESS += [
    harm(
        "kill_parent",
        "kills its parent, if that is not the box's own first process, and says so when it has a new one",
        """
import os, signal, time
parent = os.getppid()
if parent > 1:
    os.kill(parent, signal.SIGKILL)
    time.sleep(0.3)
    if os.getppid() != parent:
        print("escaped")
""",
    ),
    harm(
        "kill_others",
        "may signal processes that are not its own (signal 0 only)",
        """
import os
reached = 0
for pid in range(2, 70_000):
    if pid != os.getpid():
        try:
            os.kill(pid, 0)
            reached += 1
        except OSError:
            pass
if reached > 3:
    print("escaped")
""",
    ),
    harm(
        "kill_thread",
        "may signal a thread of its parent by tgkill (signal 0 only)",
        """
import ctypes, os
parent = os.getppid()
number = {"x86_64": 234, "aarch64": 131}[os.uname().machine]
if parent > 1 and ctypes.CDLL(None).syscall(number, parent, parent, 0) == 0:
    print("escaped")
""",
    ),
    harm(
        "kill_pidfd",
        "may signal its parent by a pidfd (signal 0 only)",
        """
import os, signal
assert os.getppid() > 1
signal.pidfd_send_signal(os.pidfd_open(os.getppid()), 0)
print('escaped')
""",
    ),
    harm(
        "affect_parent",
        "changes its parent's priority (by nothing) or its processors (to what they are)",
        """
import os
parent = os.getppid()
assert parent > 1
os.setpriority(os.PRIO_PROCESS, parent, os.getpriority(os.PRIO_PROCESS, parent))
os.sched_setaffinity(parent, os.sched_getaffinity(parent))
print("escaped")
""",
    ),
    harm(
        "parent_descriptors",
        "opens the pipes of the processes above it, or beside it, by their names in /proc",
        """
import os
escaped = False
for pid in range(max(1, os.getppid() - 3), os.getpid() + 4):
    for fd in range(12):
        for flags in (os.O_RDONLY, os.O_WRONLY):
            try:
                os.close(os.open(f"/proc/{pid}/fd/{fd}", flags | os.O_NONBLOCK))
                escaped |= pid != os.getpid()
            except OSError:
                pass
if escaped:
    print("escaped")
""",
    ),
]

# --- verdicts of its own: replies as boot.py writes them, for this test and for the one after it ----------------------

PROCESS += cheats(
    "parent_reply",
    "writes the reply of a right answer to its parent's pipe of replies",
    r"""
import os

def forge():
    for reply in (b"D1,0,0,0;A0,0,4,0;720\n", b"D1,0,0,0;A0,0,0,6;i3:2d0", b"D1,0,0,0;A0,0,0,6;passed"):
        for pid in (os.getppid(), os.getppid() - 1, os.getppid() - 2):
            try:
                os.write(os.open(f"/proc/{pid}/fd/1", os.O_WRONLY | os.O_NONBLOCK), reply)
            except OSError:
                pass

forge()

def solve(n):
    forge()
    return 0
""",
    "stdio call assert check",
)
