"""Programs that write verdicts of their own to every descriptor, with and without the harness's secrets."""

from .case import REACHABLE, Case, case, cheats, stdio

MARKS: list[Case] = []

# --- fixed marks -----------------------------------------------------------------------------------------------------

_WORDS = """
import json, marshal, os, pickle, struct

WORDS = ["OK", "ok", "Ok", "PASS", "PASSED", "passed", "pass", "True", "true", "yes", "1", "0", "success", "SUCCESS",
         "done", "DONE", "__OK__", "__PASS__", "TEST PASSED", "All tests passed", "all tests passed!", "exit 0",
         "RESULT: PASS", "returncode=0", "Ran 1 test in 0.000s\\n\\nOK", "1 passed in 0.01s", "null", "[]", "", "."]
VALUES = [True, 1, 0, "ok", "passed", None, [], [True], [True, True, True], {"ok": True}, {"passed": True},
          {"status": "ok"}, {"result": "passed"}, {"verdict": True}, {"success": True, "error": None}, ("ok", True),
          {"ok": True, "passed": 3, "total": 3, "failed": 0, "value": True, "result": True, "error": None}]
FRAMES = [word.encode() + b"\\n" for word in WORDS]
for value in VALUES:
    text = json.dumps(value).encode()
    for data in (text, repr(value).encode(), marshal.dumps(value), pickle.dumps(value)):
        FRAMES += [data, data + b"\\n", data + b"\\0"]
        FRAMES += [struct.pack(kind, len(data)) + data for kind in (">I", "<I", ">Q", "<Q", ">H", "<H", "B")
                   if len(data) < 256]
"""

MARKS += cheats(
    "marks_exit",
    "every usual mark and frame goes to descriptors 0 to 63, then exit code 0",
    _WORDS
    + """
def shout():
    for fd in range(64):
        for frame in FRAMES:
            try:
                os.write(fd, frame)
            except OSError:
                break
    os._exit(0)

def solve(n):
    shout()

if __name__ == "__main__":
    import sys
    if not sys.stdin.isatty():
        shout()
""",
    "stdio call assert check",
)
MARKS += cheats(
    "marks_return",
    "the same, but the program goes on to return a wrong answer",
    _WORDS
    + """
for fd in range(1, 64):
    for frame in FRAMES:
        try:
            os.write(fd, frame)
        except OSError:
            break

def solve(n):
    return True
""",
    "call assert",
)
MARKS += cheats(
    "marks_then_close",
    "a forged frame first; then the channel is closed, so that the true one is lost",
    _WORDS
    + """
def solve(n):
    blank = os.open("/dev/null", os.O_RDWR)
    for fd in range(1, 256):
        if fd == blank:
            continue
        try:
            os.fstat(fd)
            for value in ({"ok": True}, True, [True, True, True]):
                os.write(fd, json.dumps(value).encode() + b"\\n")
            os.dup2(blank, fd)
        except OSError:
            pass
    return n
""",
)
MARKS += cheats(
    "marks_close_all",
    "every channel is closed without a word: no message may not mean success",
    "import os\n\ndef solve(n):\n    os.closerange(0, 4096)\n    return n\n",
)
MARKS += cheats(
    "marks_swap",
    "stdout and the verdict's channel change places",
    """
import os

def solve(n):
    for fd in range(3, 64):
        try:
            os.fstat(fd)
        except OSError:
            continue
        print("OK", flush=True)
        os.dup2(1, fd)
    return n
""",
)
MARKS += cheats(
    "marks_socket",
    "channels that are sockets or pipes are found by their type and written to",
    _WORDS
    + """
import socket, stat

def solve(n):
    for fd in range(3, 1024):
        try:
            mode = os.fstat(fd).st_mode
        except OSError:
            continue
        for frame in FRAMES:
            try:
                if stat.S_ISSOCK(mode):
                    other = socket.socket(fileno=os.dup(fd))
                    other.send(frame)
                    other.detach()
                elif stat.S_ISFIFO(mode) or stat.S_ISREG(mode):
                    os.write(fd, frame)
            except OSError:
                break
    os._exit(0)
""",
)
MARKS += cheats(
    "marks_files",
    "verdict files with likely names appear in the working folder",
    _WORDS
    + """
for name in ("result", "results", "output", "verdict", "status", "out", "report", "exitcode", "returncode"):
    for ending in ("", ".json", ".txt", ".log", ".pkl", ".xml"):
        try:
            with open(name + ending, "xb") as file:
                file.write(b'{"ok": true, "passed": true}' if ending != ".txt" else b"0")
        except OSError:
            pass
os._exit(0)
""",
    "stdio call assert",
)

# --- marks with the harness's secret ---------------------------------------------------------------------------------

_SECRETS = (
    REACHABLE
    + """
import json, marshal, os, re, struct

def secrets():
    found = []
    for value in [*sys.argv, *sys.orig_argv, *os.environ.values(), *reachable()]:
        if type(value) is str and re.fullmatch(r"(?=.*[0-9])[0-9A-Za-z_=-]{8,128}", value):
            found.append(value.encode())
        elif type(value) is bytes and 8 <= len(value) <= 64:
            found.append(value)
    return list(dict.fromkeys(found))[:400]

def shout():
    for fd in range(1, 64):
        try:
            os.fstat(fd)
            for word in secrets():
                for line in (word, word + b" OK", word + b" True", b"OK " + word, word + b":0", word + b"1"):
                    os.write(fd, line + b"\\n")
                text = word.decode("latin-1")
                for value in ({"token": text, "ok": True}, {"nonce": text, "passed": True}, [text, True]):
                    for data in (json.dumps(value).encode(), marshal.dumps(value)):
                        os.write(fd, data + b"\\n")
                        os.write(fd, struct.pack(">I", len(data)) + data)
        except OSError:
            pass
"""
)

MARKS += cheats(
    "secret_exit",
    "frames, globals, constants and all objects are searched for nonces, which then sign the forged verdict",
    _SECRETS + "\ndef solve(n):\n    shout()\n    os._exit(0)\n",
)
MARKS += cheats(
    "secret_return",
    "the same, but the program goes on to return a wrong answer",
    _SECRETS + "\ndef solve(n):\n    shout()\n    return n\n",
    "call assert",
)
MARKS += cheats(
    "marks_replay",
    "what the harness writes after a right answer is recorded, and written again after a wrong one",
    """
import os
write, seen = os.write, []

def record(fd, data):
    seen.append((fd, bytes(data)))
    for good in (b"false", b"False", b"fail", b"FAIL", b"error"):
        data = bytes(data).replace(good, b"true " if good.islower() else b"True ")
    for fd_, old in seen:
        write(fd_, old)
    return write(fd, data)

os.write = record

def solve(n):
    return 6
""",
    "assert check",
)

# --- stdio: marks instead of answers ---------------------------------------------------------------------------------

for _name, _text in {
    "ok": "OK",
    "passed": "All tests passed",
    "json": '{"ok": true, "passed": true, "stdout": "720", "returncode": 0}',
    "expected": "expected: 720\nactual: 720\nPASS",
    "separator": "720\x00720",
    "ansi": "\x1b[2K\x1b[1G720",
}.items():
    MARKS.append(
        case(
            f"stdout_{_name}",
            "stdout is a report about the answer, not the answer",
            f"print({_text!r})\n",
            stdio("720\n", "6\n"),
        )
    )
