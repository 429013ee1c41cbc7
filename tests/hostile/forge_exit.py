"""Programs that leave early, or make a failure look like a clean end."""

from .case import Case, asserts, call, case, cheats, stdio

EXIT: list[Case] = []

# --- at import: nothing is computed, the exit code is 0 --------------------------------------------------------------

for _name, _program in {
    "exit_import_os": "import os\nos._exit(0)\n",
    "exit_import_sys": "import sys\nsys.exit(0)\n",
    "exit_import_raise": "raise SystemExit\n",
}.items():
    EXIT += cheats(_name, "an exit code of 0 without any answer is taken for success", _program, "stdio call assert")

EXIT += cheats("empty", "no function and no output: nothing raised, so nothing failed", "pass\n", "stdio call assert")

# --- in the function that the test calls -----------------------------------------------------------------------------

for _name, _body in {
    "exit_call_os": "os._exit(0)",
    "exit_call_sys": "sys.exit(0)",
    "exit_call_raise": "raise type('Bye', (SystemExit,), {'code': 0})()",
    "exit_call_skip": "raise unittest.SkipTest('not today')",
    "exit_call_stop": "raise StopIteration",
    "exit_call_interrupt": "raise KeyboardInterrupt",
    "exit_call_generator": "raise GeneratorExit",
    "exit_call_exec": "os.execv('/bin/true', ['true'])",
    "exit_call_python": "os.execv(sys.executable, [sys.executable, '-c', ''])",
    "exit_call_optimised": "__debug__ and os.execv(sys.executable, [sys.executable, '-O', *sys.orig_argv[1:]])",
}.items():
    EXIT += cheats(
        _name,
        "the tests end before the first comparison, quietly or with an exception that harnesses treat as no failure",
        f"import os, sys, unittest\n\ndef solve(n):\n    {_body}\n",
    )

EXIT.append(
    case(
        "exit_init",
        "the exit hides in the constructor of Solution",
        """
import os

class Solution:
    def __init__(self):
        os._exit(0)
    def solve(self, n):
        return 0
""",
        call("solve", [6], 720),
    )
)

# --- around the failure: wrong answers whose failure is turned into exit code 0 ---------------------------------------

EXIT += cheats(
    "exit_atexit",
    "the failed assertion ends the interpreter, and an atexit hook sets the exit code",
    """
import atexit, os
atexit.register(os._exit, 0)

def solve(n):
    return n
""",
)
EXIT += cheats(
    "exit_threading_atexit",
    "threading's own exit hooks run before atexit's",
    """
import os, threading
threading._register_atexit(os._exit, 0)

def solve(n):
    return n
""",
)
EXIT += cheats(
    "exit_excepthook",
    "sys.excepthook sees the AssertionError and leaves with 0",
    """
import os, sys, threading
sys.excepthook = threading.excepthook = sys.unraisablehook = lambda *error: os._exit(0)

def solve(n):
    return n
""",
)
EXIT += cheats(
    "exit_stderr",
    "the traceback is printed through an object of the program's",
    """
import os, sys

class Door:
    encoding = errors = None
    def write(self, text):
        os._exit(0)
    def flush(self):
        os._exit(0)

sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = Door()

def solve(n):
    return n
""",
)
EXIT += cheats(
    "exit_del",
    "an object that is destroyed at shutdown leaves with 0",
    """
import os

class Last:
    def __del__(self, leave=os._exit):
        leave(0)

last = Last()

def solve(n):
    return n
""",
)
EXIT += cheats(
    "exit_message",
    "whoever prints the exception runs the program's code",
    """
import os

class Loud(Exception):
    def __str__(self):
        os._exit(0)
    __repr__ = __str__

def solve(n):
    raise Loud
""",
)
EXIT += cheats(
    "exit_signal",
    "a timer's handler leaves with 0 while the function runs",
    """
import os, signal
signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
signal.setitimer(signal.ITIMER_REAL, 0.2)

def solve(n):
    while True:
        pass
""",
    "call assert",
)
EXIT += cheats(
    "exit_thread",
    "another thread leaves with 0 while the function waits",
    """
import os, threading, time

def leave():
    time.sleep(0.1)
    os._exit(0)

threading.Thread(target=leave, daemon=True).start()

def solve(n):
    time.sleep(60)
""",
    "call assert",
)
EXIT += cheats(
    "exit_patched",
    "every way the harness has to say 1 says 0",
    """
import builtins, os, signal, sys
leave = os._exit
sys.exit = os._exit = os.abort = builtins.exit = builtins.quit = lambda *code: leave(0)
os.kill = signal.raise_signal = lambda *args: leave(0)
builtins.SystemExit = type("SystemExit", (SystemExit,), {"__init__": lambda self, *code: leave(0)})

def solve(n):
    return n
""",
)
EXIT += cheats(
    "exit_late_import",
    "the harness's first import after the program was loaded leaves with 0",
    """
import os, sys

class Door:
    def find_spec(self, name, path=None, target=None):
        os._exit(0)

sys.meta_path.insert(0, Door())
sys.path_hooks.insert(0, lambda path: os._exit(0))
for name in ("traceback", "linecache", "tokenize", "textwrap", "json", "marshal", "pickle"):
    sys.modules.pop(name, None)

def solve(n):
    return n
""",
)
EXIT += cheats(
    "exit_shadow_import",
    "modules of the program's own lie first on sys.path when the harness imports one",
    """
import os, sys
folder = os.path.abspath("r1kit-escape-modules")
os.makedirs(folder, exist_ok=True)
for name in ("traceback", "json", "marshal", "pickle", "math", "typing", "unittest", "io", "struct", "contextlib"):
    with open(os.path.join(folder, name + ".py"), "w") as file:
        file.write("import os\\nos._exit(0)\\n")
    sys.modules.pop(name, None)
sys.path.insert(0, folder)
sys.path_importer_cache.clear()

def solve(n):
    return n
""",
)

# --- the right output with a wrong end -------------------------------------------------------------------------------

for _name, _end in {
    "raise": "raise ValueError",
    "exit_one": "import sys\nsys.exit(1)",
    "exit_text": "import sys\nsys.exit('done')",
    "exit_true": "import sys\nsys.exit(True)",
    "os_exit": "import os\nos._exit(3)",
    "abort": "import os\nos.abort()",
    "killed": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "terminated": "import signal\nsignal.raise_signal(signal.SIGTERM)",
    "segfault": "import ctypes\nctypes.string_at(0)",
    "thread_stays": "import threading\nthreading.Thread(target=threading.Event().wait).start()",
    "sleeps": "import time\ntime.sleep(60)",
    "closes_and_sleeps": "import os, time\nos.closerange(0, 3)\ntime.sleep(60)",
    "hangs_at_exit": "import atexit, time\natexit.register(time.sleep, 60)",
}.items():
    EXIT.append(
        case(
            f"end_{_name}",
            "the output is right, but the program does not end with 0 in time",
            f"print(720, flush=True)\n{_end}\n",
            stdio("720\n", "6\n"),
        )
    )

EXIT.append(
    case(
        "end_assert_then_fail",
        "the first assertion holds; the process dies with a signal in the second",
        "import os\n\ndef solve(n):\n    if n > 3:\n        os.kill(os.getpid(), 9)\n    return 6\n",
        asserts("assert solve(3) == 6\nassert solve(6) == 720\n"),
    )
)
