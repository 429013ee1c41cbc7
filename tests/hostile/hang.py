"""Programs that crash the interpreter, and programs that never answer.

Each of HANGS costs the whole wall time of a test, and must cost no more.
"""

import textwrap

from .case import FACTORIAL, Case, asserts, call, case, cheats, stdio

CRASHES: list[Case] = []

# --- crashes in C ----------------------------------------------------------------------------------------------------

for _name, _why, _body in (
    ("recursion", "endless recursion", "sys.setrecursionlimit(1_000_000)\nreturn solve(n)"),
    ("json", "deeply nested JSON", "import json\nsys.setrecursionlimit(2**31 - 1)\nreturn json.loads('[' * 10**6)"),
    ("source", "deeply nested source", "return eval('-' * 10**6 + '1')"),
    (
        "repr",
        "a deep structure's text",
        """
sys.setrecursionlimit(2**31 - 1)
a = []
for _ in range(200_000):
    a = [a]
return repr(a)
""",
    ),
    (
        "compare",
        "a deep comparison",
        """
sys.setrecursionlimit(2**31 - 1)
a, b = [], []
for _ in range(200_000):
    a, b = [a], [b]
return a == b
""",
    ),
    ("null", "a null pointer", "import ctypes\nreturn ctypes.string_at(0)"),
    (
        "code",
        "broken bytecode",
        "solve.__code__ = solve.__code__.replace(co_code=b'\\x64\\xff' * 8, co_stacksize=1)\nreturn solve(n)",
    ),
    (
        "reference",
        "an object freed too often",
        """
import ctypes
for _ in range(10**6):
    ctypes.pythonapi.Py_DecRef(ctypes.py_object(None))
    ctypes.pythonapi.Py_DecRef(ctypes.py_object(()))
return n
""",
    ),
):
    _program = "import sys\n\ndef solve(n):\n" + textwrap.indent(_body, "    ") + "\n"
    CRASHES += cheats(f"crash_{_name}", f"dies by a signal, or might: {_why}", _program, "call assert")

# --- time: the answer never comes ------------------------------------------------------------------------------------

HANGS: list[Case] = []

for _name, _why, _program in (
    ("loop", "an endless loop", "while True:\n    pass"),
    ("sleep", "sleeps, then answers", "import time\ntime.sleep(60)\nprint(720)"),
    ("power", "a huge power", "print(7 ** 10 ** 9 % 10)"),
    ("regex", "a catastrophic expression", "import re\nprint(re.match(r'(a+)+$', 'a' * 60 + 'b'))"),
    (
        "interpreter_lock",
        "a loop in C that never gives up the interpreter's lock",
        "import collections, itertools\ncollections.deque(itertools.repeat(0), maxlen=0)",
    ),
    ("stdin", "reads what never comes", "import os\nos.read(os.pipe()[0], 1)"),
    ("join", "waits for itself", "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()"),
    (
        "signals",
        "ignores every signal that can be ignored",
        """
import signal
for number in signal.valid_signals():
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
while True:
    pass
""",
    ),
    (
        "processor_time",
        "ignores the signal of its processor time, and sleeps so as to use none",
        "import signal, time\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True:\n    time.sleep(0.001)",
    ),
    (
        "swallow",
        "swallows every exception that a timer could raise",
        "while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        continue",
    ),
    (
        "stopped",
        "stops itself, so that it neither runs nor ends",
        "import os, signal\nprint(720, flush=True)\nos.kill(os.getpid(), signal.SIGSTOP)",
    ),
    (
        "closed",
        "closes every descriptor and goes on",
        "import os, time\nprint(720, flush=True)\nos.closerange(0, 4096)\nwhile True:\n    time.sleep(1)",
    ),
    (
        "threads",
        "a thousand threads that never end",
        """
import threading
threading.stack_size(64 << 10)
stay = threading.Event()
print(720, flush=True)
try:
    for _ in range(1000):
        threading.Thread(target=stay.wait).start()
except RuntimeError:
    stay.wait()
""",
    ),
    (
        "busy_threads",
        "sixteen threads that hash without the interpreter's lock",
        """
import hashlib, threading
data = bytes(1 << 26)
def go():
    while True:
        hashlib.sha256(data).digest()
for _ in range(16):
    threading.Thread(target=go).start()
""",
    ),
    (
        "drip",
        "writes a little now and then, so that the judge always has something to read",
        "import time\nwhile True:\n    print(end=' ', flush=True)\n    time.sleep(0.01)",
    ),
):
    HANGS.append(case(f"hang_{_name}", f"never answers: {_why}", f"{_program}\n", stdio("720\n", "6\n")))

HANGS += [
    case(
        "hang_call",
        "the function never returns, and swallows what a timer raises",
        """
def solve(n):
    while True:
        try:
            while True:
                n += 1
        except BaseException:
            pass
""",
        call("solve", [6], 720),
    ),
    case(
        "hang_assert",
        "nor does it under test code",
        "import time\n\ndef solve(n):\n    time.sleep(60)\n    return 6\n",
        FACTORIAL["assert"],
    ),
    case(
        "hang_clock",
        "the clocks that a harness in the process would read stand still",
        """
import time
time.time = time.monotonic = time.perf_counter = time.process_time = lambda: 0.0

def solve(n):
    while True:
        pass
""",
        call("solve", [6], 720),
    ),
    case(
        "hang_timer",
        "the harness's alarm is switched off",
        """
import signal
signal.alarm(0)
signal.setitimer(signal.ITIMER_REAL, 0)
signal.signal(signal.SIGALRM, signal.SIG_IGN)

def solve(n):
    while True:
        pass
""",
        call("solve", [6], 720),
    ),
    case(
        "hang_compare",
        "its value's comparison, text and hash never return",
        """
class Slow(int):
    def __eq__(self, other):
        while True:
            pass
    __repr__ = __str__ = __hash__ = __len__ = __iter__ = __index__ = lambda self: self == 0

def solve(n):
    return Slow(1)
""",
        call("solve", [6], 720),
    ),
    case(
        "hang_generator",
        "its value is an iterator without end, of which every item is new",
        "import itertools\n\ndef solve(n):\n    return itertools.count()\n",
        asserts("assert list(solve(6)) == [720]\n"),
    ),
    case(
        "hang_shutdown",
        "returns well, but a thread, an exit hook and a destructor never end",
        """
import atexit, threading, time
atexit.register(time.sleep, 60)
print(720, flush=True)
threading.Thread(target=time.sleep, args=(60,)).start()
""",
        stdio("720\n", "6\n"),
    ),
]
