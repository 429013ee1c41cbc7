"""Programs that solve their stdio tests, each in a way that a clumsy box breaks."""

from .case import Case, case, stdio

STDIO: list[Case] = []

_SUM = (stdio("6\n", "1\n2\n3\n"), stdio("0\n", ""), stdio("7\n", "7"))

# --- ways to read ----------------------------------------------------------------------------------------------------

for _name, _program in {
    "read": "import sys\nprint(sum(map(int, sys.stdin.read().split())))",
    "readlines": "import sys\nprint(sum(int(line) for line in sys.stdin.readlines()))",
    "iterate": "import sys\nprint(sum(int(line) for line in sys.stdin))",
    "readline": """
import sys
input = sys.stdin.readline
total = 0
while line := input():
    total += int(line)
print(total)
""",
    "buffer": "import sys\nprint(sum(map(int, sys.stdin.buffer.read().split())))",
    "input": """
total = 0
while True:
    try:
        total += int(input())
    except EOFError:
        break
print(total)
""",
    "open": "print(sum(map(int, open(0).read().split())))",
    "os_read": "import os\nprint(sum(map(int, os.read(0, 1 << 20).split())))",
    "fileinput": "import fileinput\nprint(sum(map(int, fileinput.input())))",
    "fdopen": "import os\nwith os.fdopen(0) as file:\n    print(sum(map(int, file)))",
    "file_size": "import os\nprint(sum(map(int, os.read(0, os.fstat(0).st_size).split())))",
    "memory_map": """
import mmap, os
data = b""
if os.fstat(0).st_size:
    data = mmap.mmap(0, 0, access=mmap.ACCESS_READ)[:]
print(sum(map(int, data.split())))
""",
    "seek": """
import sys
count = len(sys.stdin.read())
sys.stdin.seek(0)
text = sys.stdin.read()
assert len(text) == count and sys.stdin.seekable()
print(sum(map(int, text.split())))
""",
    "pread": "import os\nprint(sum(map(int, os.pread(0, 100, 0).split())))",
    "by_name": "print(sum(map(int, open('/dev/stdin').read().split())))",
    "by_path": "from pathlib import Path\nprint(sum(map(int, Path('/dev/stdin').read_text().split())))",
    "by_number": "import os\nprint(sum(map(int, os.read(os.open('/dev/fd/0', os.O_RDONLY), 100).split())))",
    "by_proc": "with open('/proc/self/fd/0', 'rb') as file:\n    print(sum(map(int, file)))",
    "by_fileinput": "import fileinput\nprint(sum(map(int, fileinput.input('/dev/stdin'))))",
    "by_exists": """
import os, sys
sys.stdin = open('/dev/stdin') if os.path.exists('/dev/stdin') else None
print(sum(map(int, sys.stdin.read().split())))
""",
    "string_io": """
import io, os, sys
sys.stdin = io.BytesIO(os.read(0, os.fstat(0).st_size or 4096))
print(sum(map(int, sys.stdin.read().split())))
""",
    "thread": """
import sys, threading
t = threading.Thread(target=lambda: print(sum(map(int, sys.stdin.read().split()))))
t.start()
t.join()
""",
}.items():
    STDIO.append(case(f"read_{_name}", "one of the usual ways to read stdin", f"{_program}\n", *_SUM))

STDIO += [
    case(
        "read_large",
        "a large input, read whole",
        "import sys\nnumbers = list(map(int, sys.stdin.buffer.read().split()))\nprint(len(numbers), sum(numbers))\n",
        stdio("150000 11249925000\n", "\n".join(map(str, range(150_000))) + "\n"),
    ),
    case(
        "read_nothing",
        "a large input that is never read: the judge's pipe breaks",
        "print('done')\n",
        stdio("done\n", "0123456789 " * 100_000),
        stdio("done\n", ""),
    ),
    case(
        "read_one_line",
        "only the first line of a large input is read",
        "print(int(input()) + 1)\n",
        stdio("42\n", "41\n" + "x" * 1_000_000),
    ),
    case(
        "read_unicode",
        "text beyond ASCII comes in and goes out",
        "text = input()\nprint(text[::-1], len(text), text.upper())\n",
        stdio("界世 ñäß 6 SSÄÑ 世界\n", "ßäñ 世界\n"),
        stdio("😀é 2 É😀\n", "é😀\n"),
    ),
    case(
        "read_windows",
        "input with Windows line ends",
        "a, b = [int(line) for line in open(0).read().split()]\nprint(a * b)\n",
        stdio("42\n", "6\r\n7\r\n"),
    ),
    case(
        "read_prompt",
        "input() with a prompt, which is output",
        "n = int(input('n: '))\nprint(n)\n",
        stdio("n: 5\n", "5\n"),
    ),
]

# --- ways to write ---------------------------------------------------------------------------------------------------

for _name, _program in {
    "print": "print('a', 'b', sep='-', flush=True)\nprint('c')",
    "write": "import sys\nsys.stdout.write('a-b\\nc\\n')",
    "buffer": "import sys\nsys.stdout.buffer.write(b'a-b\\nc\\n')",
    "os_write": "import os\nos.write(1, b'a-b\\n')\nos.write(1, b'c\\n')",
    "open": "with open(1, 'w', closefd=False) as file:\n    file.write('a-b\\nc\\n')",
    "by_name": "with open('/dev/stdout', 'w') as file:\n    file.write('a-b\\n')\nprint('c')",
    "by_path": "import pathlib\npathlib.Path('/dev/stdout').write_text('a-b\\nc\\n')",
    "by_number": "import os\nos.write(os.open('/dev/fd/1', os.O_WRONLY), b'a-b\\nc\\n')",
    "stderr_by_name": "open('/dev/stderr', 'w').write('debug')\nprint('a-b\\nc')",
    "no_newline": "print('a-b\\nc', end='')",
    "trailing": "print('a-b\\nc')\nprint()\nprint('   ')\nprint(end=' \\n\\n')",
    "mixed": "import os, sys\nsys.stdout.write('a-')\nsys.stdout.flush()\nos.write(1, b'b')\nprint('\\nc')",
    "replaced": r"""
import io, sys
real, sys.stdout = sys.stdout, io.StringIO()
print('a-b\nc')
real.write(sys.stdout.getvalue())
""",
    "redirected": r"""
import contextlib, io
with contextlib.redirect_stdout(io.StringIO()) as text:
    print('a-b\nc')
print(text.getvalue(), end='')
""",
    "stderr": "import sys\nprint('debug', file=sys.stderr)\nprint('a-b\\nc')\nsys.stderr.write('more\\n' * 1000)",
    "logging": r"""
import logging, warnings
logging.basicConfig(level='DEBUG')
logging.debug('here')
warnings.warn('careful')
print('a-b\nc')
""",
    "caught": r"""
import traceback
try:
    1 / 0
except ZeroDivisionError:
    traceback.print_exc()
print('a-b\nc')
""",
    "exit_hook": "import atexit\natexit.register(print, 'c')\nprint('a-b')",
}.items():
    STDIO.append(case(f"write_{_name}", "one of the usual ways to write", f"{_program}\n", stdio("a-b\nc\n")))

STDIO += [
    case(
        "write_long",
        "200 KB of output",
        "for n in range(20_000):\n    print('%09d' % n)\n",
        stdio("".join(f"{n:09d}\n" for n in range(20_000))),
    ),
    case(
        "write_long_line",
        "200 KB in one line",
        "print('ab' * 100_000)\n",
        stdio("ab" * 100_000 + "\n"),
    ),
    case(
        "write_beyond_limit",
        "9 MiB of output, where as much is expected",
        "for _ in range(9):\n    print('x' * (1 << 20))\n",
        stdio("\n".join(["x" * (1 << 20)] * 9)),
    ),
    case(
        "write_what_was_read",
        "6 MiB in, and the same out",
        "import sys\nsys.stdout.write(sys.stdin.read())\n",
        stdio("\n".join(["y" * (1 << 20)] * 6), "\n".join(["y" * (1 << 20)] * 6)),
    ),
    case(
        "write_nothing",
        "no output is the right output",
        "n = int(input())\nif n > 5:\n    print(n)\n",
        stdio("", "3\n"),
    ),
    case("write_empty_line", "nor is an empty line any", "print()\n", stdio("")),
    case("write_big_int", "an integer of 3,000 digits", "print(3 ** 6287)\n", stdio(str(3**6287))),
    case(
        "write_floats",
        "floats by repr and by format",
        "print(0.1 + 0.2, 1e100, -0.0, float('inf'), f'{2 / 3:.6f}', round(2.675, 2))\n",
        stdio("0.30000000000000004 1e+100 -0.0 inf 0.666667 2.67\n"),
    ),
]

# --- ways to end -----------------------------------------------------------------------------------------------------

for _name, _end in {
    "exit": "exit()",
    "quit": "quit(0)",
    "sys_exit": "import sys\nsys.exit(0)",
    "sys_exit_none": "import sys\ndef main():\n    sys.exit()\nmain()",
    "raise": "raise SystemExit",
    "os_exit": "import os, sys\nsys.stdout.flush()\nos._exit(0)",
    "thread_ends": "import threading, time\nthreading.Thread(target=time.sleep, args=(0.2,)).start()",
    "daemon_stays": "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()",
    "close": "import sys\nsys.stdout.flush()\nsys.stderr.close()\nsys.stdin.close()",
    "caught_exit": "try:\n    raise SystemExit(3)\nexcept SystemExit:\n    pass",
}.items():
    STDIO.append(case(f"finish_{_name}", "one of the usual ways to end well", f"print(42)\n{_end}\n", stdio("42\n")))

# --- the source ------------------------------------------------------------------------------------------------------

for _name, _why, _program in (
    ("guard", "runs as __main__", "def main():\n    print(42)\n\nif __name__ == '__main__':\n    main()\n"),
    ("windows", "Windows line ends", "n = 42\r\nif n:\r\n    print(n)\r\n"),
    ("mark", "a byte order mark", "\ufeffprint(42)\n"),
    ("blanks", "blanks at the end, and no newline", "print(42)\n\n   \n\t\n\n    "),
    ("comment", "ends in a comment without a newline", "print(42)\n# done"),
    ("cookie", "says how it is encoded", "#!/usr/bin/env python3\n# -*- coding: utf-8 -*-\nprint(len('ß' * 42))\n"),
    (
        "future",
        "a docstring and a __future__ import first",
        '"""Text."""\nfrom __future__ import annotations\nprint(42)\n',
    ),
    (
        "quotes",
        "quotes and backslashes of all kinds",
        "a = '''\"\"\"'''\nb = \"\\\\n\\t{}%s{{}}\"\nprint(len(a) + len(b) + 28)\n",
    ),
    ("tabs", "indented by tabs", "def f():\n\tif True:\n\t\treturn 42\nprint(f())\n"),
    (
        "names",
        "takes the names that a harness might use",
        """
result = tests = args = data = code = namespace = 42
json = os = sys = io = main = run = check = None
print(result)
""",
    ),
    (
        "shadow",
        "hides builtins behind its own names",
        "list = [40, 2]\nsum_ = 0\nfor id in list:\n    sum_ += id\nprint(sum_)\n",
    ),
    (
        "file",
        "asks where it stands",
        """
import os
folder = os.path.dirname(os.path.abspath(__file__))
print(42 if folder == os.getcwd() and os.path.exists(__file__) else __file__)
""",
    ),
    (
        "reads_itself",
        "reads its own text, by three names",
        """
import inspect, sys
def answer():
    return 42
texts = [open(__file__).read(), open(sys.argv[0]).read()]
texts.append(inspect.getsource(answer))
print(42 if all('return 42' in text for text in texts) else texts)
""",
    ),
    ("long", "a long source", "x = 0\n" + "x += 1\n" * 5_000 + "print(x - 4958)\n"),
    (
        "main_module",
        "looks itself up",
        "import __main__, sys\nvalue = 42\nprint(__main__.value if sys.modules['__main__'] is __main__ else 0)\n",
    ),
):
    STDIO.append(case(f"source_{_name}", f"the source: {_why}", _program, stdio("42\n")))
