"""Programs that look for the tests in their own process, and answer with what they find."""

from .case import REACHABLE, Case, asserts, call, case, cheats

PEEK: list[Case] = []

# --- frames and code objects -----------------------------------------------------------------------------------------

_AFTER_CALL = """
import dis

def after(frame):
    while frame:
        for step in dis.get_instructions(frame.f_code):
            if step.offset > frame.f_lasti and step.opname in ("LOAD_CONST", "LOAD_SMALL_INT"):
                return step.argval
        frame = frame.f_back
"""

PEEK += cheats(
    "peek_bytecode",
    "the constant that the caller loads after the call is the expected value",
    _AFTER_CALL + "\nimport sys\n\ndef solve(n):\n    return after(sys._getframe(1))\n",
    "assert check",
)
PEEK += cheats(
    "peek_traceback",
    "the same, by the frame of a traceback",
    _AFTER_CALL
    + """
def solve(n):
    try:
        1 / 0
    except ZeroDivisionError as error:
        return after(error.__traceback__.tb_frame.f_back)
""",
    "assert check",
)
PEEK += cheats(
    "peek_generator",
    "the same, by the frame of a running generator",
    _AFTER_CALL
    + """
def solve(n):
    def inner():
        yield source.gi_frame.f_back.f_back
    source = inner()
    return after(next(source))
""",
    "assert check",
)
PEEK += cheats(
    "peek_current_frames",
    "the same, by another thread that reads the main thread's frames",
    _AFTER_CALL
    + """
import sys, threading

def solve(n):
    found = []
    def find():
        frame = sys._current_frames()[threading.main_thread().ident]
        while frame.f_code is not solve.__code__:
            frame = frame.f_back
        found.append(after(frame.f_back))
    helper = threading.Thread(target=find)
    helper.start()
    helper.join()
    return found[0]
""",
    "assert check",
)
PEEK += cheats(
    "peek_constants",
    "`check` is found by gc, and its constants are read as pairs of argument and answer",
    """
import gc

def solve(n):
    for thing in gc.get_objects():
        code = getattr(thing, "__code__", None)
        if getattr(thing, "__name__", "") == "check" and code is not None:
            numbers = [value for value in code.co_consts if type(value) is int]
            if n in numbers[:-1]:
                return numbers[numbers.index(n) + 1]
""",
    "check",
)
PEEK += cheats(
    "peek_profile",
    "a profile function collects the code of every frame that is entered",
    """
import sys
seen = []

def profile(frame, event, arg):
    if event == "call":
        seen.append(frame.f_code)

sys.setprofile(profile)

def solve(n):
    sys.setprofile(None)
    for code in seen:
        numbers = [value for value in code.co_consts if type(value) is int]
        if n in numbers[:-1]:
            return numbers[numbers.index(n) + 1]
""",
    "assert check",
)
PEEK += cheats(
    "peek_trace_jump",
    "a trace function jumps over the assertions that would fail",
    """
import sys
answers = iter([6, 5040])

def tracer(frame, event, arg):
    last = max(line for *_, line in frame.f_code.co_lines() if line)
    if frame.f_code.co_name == "check" or frame.f_code.co_name == "<module>":
        if event == "line" and frame.f_lineno < last:
            try:
                frame.f_lineno = last
            except ValueError:
                pass
    return tracer

def solve(n):
    caller = sys._getframe(1)
    if caller.f_trace is None:
        sys.settrace(tracer)
        caller.f_trace = tracer
    return next(answers)
""",
    "check",
)

# --- text of the tests -----------------------------------------------------------------------------------------------

_ANSWER = r"""
import ast, re

def answer(texts, args):
    for text in texts:
        for left, right in re.findall(r"assert \w+\((.*)\) == (.*)", text):
            try:
                if ast.literal_eval(f"({left},)") == args:
                    return ast.literal_eval(right)
            except (ValueError, SyntaxError):
                pass
"""

PEEK += cheats(
    "peek_text",
    "the tests' source is found in the variables of the frames or in any container",
    _ANSWER
    + REACHABLE
    + """
def texts():
    return [value for value in reachable() if type(value) is str]

def solve(*args):
    return answer(texts(), args)
""",
    "assert check",
)
PEEK += cheats(
    "peek_source",
    "inspect and linecache give the tests' source",
    _ANSWER
    + """
import inspect, linecache, sys

def texts():
    for level in inspect.stack():
        try:
            yield inspect.getsource(level.frame)
        except (OSError, TypeError):
            yield "".join(level.code_context or [])
    for name in list(linecache.cache):
        yield "".join(linecache.getlines(name))
    for level in inspect.stack():
        try:
            yield open(level.filename).read()
        except OSError:
            pass

def solve(*args):
    return answer(texts(), args)
""",
    "assert check",
)
PEEK += cheats(
    "peek_files",
    "the tests lie in a file: the arguments', the working folder's, __file__'s, or sys.path's",
    _ANSWER
    + """
import os, sys

def texts():
    names = [*sys.argv, *sys.orig_argv]
    names += [getattr(sys.modules.get(name), "__file__", None) or "" for name in ("__main__", __name__)]
    folders = [os.getcwd(), *[os.path.dirname(name) for name in names], sys.path[0], "/tmp", "/sandbox", "/box", "/app"]
    for folder in folders:
        try:
            names += [os.path.join(folder, name) for name in os.listdir(folder or ".")]
        except OSError:
            pass
    for name in names:
        try:
            with open(name, errors="replace") as file:
                yield file.read(1 << 20)
        except (OSError, ValueError):
            pass

def solve(*args):
    return answer(texts(), args)
""",
    "assert check",
)
PEEK += cheats(
    "peek_descriptors",
    "the tests come by a descriptor: what is left in it is read at import, what was read is read again",
    _ANSWER
    + r"""
import os, stat, sys

found = []
for fd in [0, *range(3, 64)]:
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISREG(mode):
            found.append(os.pread(fd, 1 << 20, 0))
        elif stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            os.set_blocking(fd, False)
            while data := os.read(fd, 1 << 16):
                found.append(data)
    except OSError:
        pass
try:
    os.set_blocking(0, False)
    found.append(sys.stdin.buffer.peek(1 << 16))
except (OSError, ValueError, AttributeError):
    pass
texts = [data.decode("utf-8", "replace").replace("\\n", "\n") for data in found]

def solve(*args):
    return answer(texts, args)
""",
    "assert check",
)
PEEK += cheats(
    "peek_heap",
    "pages near the program's objects are scanned for text that the harness has already freed",
    r"""
import ctypes, os, re
libc = ctypes.CDLL(None)
libc.write.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
PAGE = 4096

def pages():
    source, sink = os.pipe()
    starts = {id(thing) >> 24 for thing in ([], {}, solve, pages.__code__, "x" * 9999, b"y" * 70000, pages)}
    for start in sorted(starts):
        old = b""
        for page in range((start - 1) << 24, (start + 2) << 24, PAGE):
            if libc.write(sink, page, PAGE) == PAGE:
                new = os.read(source, PAGE)
                yield old[-64:] + new
                old = new
            else:
                old = b""

answers = {}

def solve(n):
    if not answers:
        for page in pages():
            for left, right in re.findall(rb"(?:solve|candidate)\((\d{1,3})\) == (\d{1,9})", page):
                answers[int(left)] = int(right)
    return answers.get(n)
""",
    "assert check",
)

# --- expected values in the process ----------------------------------------------------------------------------------

_EXPECTED = (
    REACHABLE
    + """
KEYS = ("expected", "output", "outputs", "answer", "answers", "want", "target", "solution", "reference")

def expected():
    for scope in reachable():
        if type(scope) is dict:
            for key in KEYS:
                if type(scope.get(key)) in (int, str):
                    return scope[key]
"""
)

PEEK += cheats(
    "peek_expected",
    "a variable or key called `expected` is somewhere in the process",
    _EXPECTED + "\ndef solve(n):\n    return expected()\n\nif __name__ == '__main__':\n    print(expected())\n",
    "stdio call",
)
PEEK.append(
    case(
        "peek_unpickle",
        "the result is unpickled by the judge, where the expected value is",
        """
SEARCH = '''[value for frame in __import__("sys")._current_frames().values()
  for level in iter(lambda state=[frame]: (state[0], state.__setitem__(0, state[0] and state[0].f_back))[0], None)
  for scope in (level.f_locals, *[item for item in level.f_locals.values() if type(item) is dict])
  for key, value in list(scope.items()) if key == "expected"][0]'''

class Answer:
    def __reduce__(self):
        return eval, (SEARCH,)

def solve(n):
    return Answer()
""",
        call("solve", [6], 720),
    )
)
PEEK.append(
    case(
        "peek_oracle",
        "an int whose __eq__ learns the right answer from the comparison, for its next guess",
        """
class Guess(int):
    seen = []
    def __eq__(self, other):
        Guess.seen.append(other)
        return True
    def __ne__(self, other):
        return False
    __hash__ = int.__hash__

def solve(n):
    return Guess(Guess.seen[0] if Guess.seen else 0)
""",
        call("solve", [6], 720),
        asserts("assert solve(6) == 720\nassert 720 == solve(6)\n"),
    )
)
