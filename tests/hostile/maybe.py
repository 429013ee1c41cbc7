"""Cases on which good judges may differ: what a judge does with them is a decision, not a fault.

MAYBE_HONEST solve their tests, and it would be kind to let them pass. MAYBE_HOSTILE do not quite, or look further than
they need to, and it would be strict to fail them all.
"""

from .case import Case, asserts, call, case, harm, stdio

MAYBE_HONEST: list[Case] = [
    # asyncio makes a socketpair (AF_UNIX) for itself, and an epoll: a filter that forbids socketpair breaks it.
    case(
        "maybe_asyncio",
        "a simple coroutine",
        """
import asyncio

async def main():
    return sum(await asyncio.gather(*[asyncio.sleep(0.01, n) for n in range(5)]))

print(asyncio.run(main()))
""",
        stdio("10\n"),
    ),
    case(
        "maybe_asyncio_call",
        "the same in a function, with a thread",
        """
import asyncio

def solve(n):
    async def go():
        return await asyncio.to_thread(pow, n, 2)
    return asyncio.run(go())
""",
        call("solve", [7], 49),
    ),
    # Subclasses of JSON's types with the right content: strict by type, or by what JSON makes of them?
    case(
        "maybe_counter",
        "subclasses of dict",
        """
import collections

def solve(words):
    return collections.Counter(words)

def group(words):
    d = collections.defaultdict(list)
    for w in words:
        d[w[0]].append(w)
    return d
""",
        call("solve", [["a", "b", "a"]], {"a": 2, "b": 1}),
        call("group", [["ab", "ac"]], {"a": ["ab", "ac"]}),
    ),
    case(
        "maybe_named_tuple",
        "subclasses of tuple, int and str",
        """
import enum, typing

class P(typing.NamedTuple):
    x: int
    y: int

class E(enum.IntEnum):
    A = 1

def solve():
    return P(1, 2)

def one():
    return E.A
""",
        call("solve", [], [1, 2]),
        call("one", [], 1),
    ),
    case(
        "maybe_int_keys",
        "keys that JSON makes text of",
        "def solve():\n    return {1: 'a'}\n",
        call("solve", [], {"1": "a"}),
    ),
    case("maybe_close_float", "a float off by one bit", "def solve():\n    return 0.1 + 0.2\n", call("solve", [], 0.3)),
    case(
        "maybe_int_for_float",
        "an int where a float is expected",
        "def solve():\n    return 4 // 2\n",
        call("solve", [], 2.0),
    ),
    # Blanks at the end of each line are as invisible as those at the end of all.
    case(
        "maybe_line_blanks",
        "blanks at line ends",
        "for _ in range(2):\n    print(1, 2, end=' \\n')\n",
        stdio("1 2\n1 2\n"),
    ),
    case("maybe_windows_output", "Windows line ends in the output", "print('1\\r\\n2\\r')\n", stdio("1\n2\n")),
    # LeetCode's functions that change their argument, and test code that looks at it afterwards.
    case(
        "maybe_in_place",
        "an argument changed in place",
        "def solve(items):\n    items.sort()\n",
        asserts("a = [3, 1, 2]\nsolve(a)\nassert a == [1, 2, 3]\n"),
    ),
    # Test code that handles more than plain values: classes, callables, exceptions of the program's own.
    case(
        "maybe_class",
        "objects of the program's own class",
        """
class Stack:
    def __init__(self):
        self.items = []
    def push(self, x):
        self.items.append(x)
    def pop(self):
        return self.items.pop()
    def __len__(self):
        return len(self.items)
""",
        asserts("s = Stack()\ns.push(1)\ns.push(2)\nassert len(s) == 2 and s.pop() == 2 and s.items == [1]\n"),
    ),
    case(
        "maybe_callable",
        "functions go in and come out",
        "def solve(f, n):\n    return lambda x: f(x) + n\n",
        asserts("assert solve(lambda x: x * 2, 1)(5) == 11\nassert solve(abs, 0)(-3) == 3\n"),
    ),
    case(
        "maybe_own_exception",
        "an exception of the program's own class",
        """
class Empty(LookupError):
    pass

def solve(items):
    if not items:
        raise Empty('nothing')
    return items[0]
""",
        asserts(
            """
try:
    solve([])
    assert False
except Empty as error:
    assert str(error) == 'nothing'
assert solve([1]) == 1
"""
        ),
    ),
    case("maybe_no_assert", "test code that only calls", "def solve(n):\n    return n\n", asserts("solve(3)\n")),
    # In call mode nothing says what stdin is, or what __name__ is.
    case(
        "maybe_call_reads",
        "stdin is empty, not absent",
        """
import sys
rest = sys.stdin.read()

def solve(n):
    try:
        input()
    except EOFError:
        return n + len(rest)
""",
        call("solve", [1], 1),
    ),
    case(
        "maybe_call_main",
        "the main part of a solution would wait for input",
        "def solve(n):\n    return n * n\n\nif __name__ == '__main__':\n    print(solve(int(input())))\n",
        call("solve", [7], 49),
        asserts("assert solve(7) == 49\n"),
    ),
    case(
        "maybe_limits",
        "competition programs raise the limit of their stack",
        """
import resource, sys
resource.setrlimit(resource.RLIMIT_STACK, (resource.getrlimit(resource.RLIMIT_STACK)[1],) * 2)
sys.setrecursionlimit(10**6)
print(42)
""",
        stdio("42\n"),
    ),
    # Signals to itself need tgkill, which a filter may well forbid.
    case(
        "maybe_signal",
        "its own interrupt, caught",
        "import signal\ntry:\n    signal.raise_signal(signal.SIGINT)\nexcept KeyboardInterrupt:\n    print('caught')\n",
        stdio("caught\n"),
    ),
    case(
        "maybe_large_stack",
        "a thread with a stack of 512 MiB",
        """
import sys, threading
sys.setrecursionlimit(10**7)
threading.stack_size(512 << 20)
t = threading.Thread(target=lambda: print(42))
t.start()
t.join()
""",
        stdio("42\n"),
    ),
    case(
        "maybe_processes",
        "asks how many processors there are, and does without processes",
        """
import multiprocessing, os
assert (os.cpu_count() or 1) >= 1 and multiprocessing.cpu_count() >= 1
print(42)
""",
        stdio("42\n"),
    ),
    case(
        "maybe_database",
        "a database in memory, and a shelf in a file",
        """
import shelve, sqlite3
base = sqlite3.connect(':memory:')
base.execute('create table t (n int)')
base.executemany('insert into t values (?)', [(n,) for n in range(10)])
with shelve.open('shelf') as shelf:
    shelf['a'] = base.execute('select sum(n) from t').fetchone()[0]
with shelve.open('shelf') as shelf:
    print(shelf['a'])
""",
        stdio("45\n"),
    ),
    case(
        "maybe_stderr_flood",
        "the right answer with 1 MB of warnings on stderr",
        """
import sys
for n in range(20_000):
    print('warning: this is number', n, '.' * 24, file=sys.stderr)
print(42)
""",
        stdio("42\n"),
    ),
    case(
        "maybe_large_output",
        "1 MB of output",
        "print('ab' * 500_000)\n",
        stdio("ab" * 500_000 + "\n"),
    ),
]

MAYBE_HOSTILE: list[Case] = [
    # Landlock governs opening, not looking: the size, the target and the being of files outside stay visible.
    harm("maybe_stat", "sees that a file outside exists", "import os\nos.stat('@CANARY_FILE@')\nprint('escaped')\n"),
    harm("maybe_readlink", "reads a link outside", "import os\nos.readlink('/proc/self/exe')\nprint('escaped')\n"),
    harm("maybe_chdir", "goes to a folder outside", "import os\nos.chdir('@PROJECT@')\nprint('escaped')\n"),
    # Replacing itself by another program is no fork, and the box holds that program too.
    harm("maybe_exec", "lets a shell answer", "import os\nos.execv('/bin/sh', ['sh', '-c', 'echo escaped'])\n"),
    harm(
        "maybe_executable_memory",
        "runs machine code of its own",
        "import mmap\nmmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)\nprint('escaped')\n",
    ),
    harm("maybe_memfd", "makes a file in memory", "import os\nos.memfd_create('x')\nprint('escaped')\n"),
    harm(
        "maybe_unix_socket",
        "listens on a unix socket of its own",
        "import socket\ns = socket.socket(socket.AF_UNIX)\ns.bind('socket')\ns.listen()\nprint('escaped')\n",
    ),
    harm(
        "maybe_inet_socket",
        "makes an internet socket, and talks to itself by it",
        """
import socket
s = socket.create_server(('127.0.0.1', 0))
socket.create_connection(s.getsockname(), 1)
print('escaped')
""",
    ),
    harm(
        "maybe_host_name",
        "reads the host's name",
        "import os\nif os.uname().nodename not in ('', 'box', 'localhost'):\n    print('escaped')\n",
    ),
    # The test's own list, emptied by the function, equals its sorted self. By reference this is unavoidable.
    case(
        "maybe_empty_argument",
        "empties the list that the test compares with",
        "def solve(items):\n    items.clear()\n    return []\n",
        asserts("a = [3, 1, 2]\nassert solve(a) == sorted(a)\n"),
    ),
    # A byte that is no UTF-8 equals the mark that stands for one, to whoever decodes with errors='replace'.
    case(
        "maybe_replacement",
        "an undecodable byte for U+FFFD",
        "import os\nos.write(1, b'\\xff\\n')\n",
        stdio("\ufffd\n"),
    ),
    # Python strips more than blanks: form feeds, separators and the wide blanks of Unicode.
    case(
        "maybe_odd_blanks",
        "blanks that are no blanks at the end",
        "print('42\\x0c\\x1c\\u00a0\\u2028')\n",
        stdio("42\n"),
    ),
    case("maybe_minus_zero", "-0.0 for 0.0", "def solve():\n    return -0.0\n", call("solve", [], 0.0)),
    case(
        "maybe_exit_256",
        "an exit code that is 0 only modulo 256",
        "import os\nprint(42, flush=True)\nos._exit(256)\n",
        stdio("42\n"),
    ),
]
