"""Programs that solve their call tests, each in a way that a clumsy box breaks."""

from .case import Case, call, case

CALL: list[Case] = []

# --- values that come back -------------------------------------------------------------------------------------------

for _name, _expression, _expected in (
    ("int", "42", 42),
    ("negative", "-7", -7),
    ("bool", "3 > 2", True),
    ("none", "None", None),
    ("float", "2 / 3", 2 / 3),
    ("whole_float", "4 / 2", 2.0),
    ("big_int", "3 ** 6287", 3**6287),
    ("text", "'ab' * 3", "ababab"),
    ("unicode", "'ß世界😀\\n\\t\\0\"\\\\'", 'ß世界😀\n\t\0"\\'),
    ("blanks", "'  a \\n'", "  a \n"),
    ("tuple_for_list", "(1, 2, 3)", [1, 2, 3]),
    ("nested_tuples", "[(1, 'a'), (2, ('b', ()))]", [[1, "a"], [2, ["b", []]]]),
    ("dict", "{'a': 1, 'b': [True, None, 1.5]}", {"b": [True, None, 1.5], "a": 1}),
    ("empty_list", "[]", []),
    ("empty_dict", "{}", {}),
    ("deep", "[[[[[[[[[[1]]]]]]]]]]", [[[[[[[[[[1]]]]]]]]]]),
    ("shared", "[[0] * 3] * 3", [[0, 0, 0], [0, 0, 0], [0, 0, 0]]),
    ("long", "list(range(20_000))", list(range(20_000))),
    ("long_text", "'ab' * 50_000", "ab" * 50_000),
):
    CALL.append(
        case(
            f"return_{_name}",
            "a value of JSON's, or a tuple for a list",
            f"def solve():\n    return {_expression}\n",
            call("solve", [], _expected),
        )
    )

# --- ways to be called -----------------------------------------------------------------------------------------------

_TWO_SUM = (call("twoSum", [[2, 7, 11, 15], 9], [0, 1]), call("twoSum", [[3, 3], 6], [0, 1]))

CALL += [
    case(
        "call_solution",
        "a class Solution with names of typing that it does not import",
        """
class Solution:
    def twoSum(self, nums: List[int], target: int) -> Optional[List[int]]:
        seen: Dict[int, int] = {}
        for i, n in enumerate(nums):
            if target - n in seen:
                return [seen[target - n], i]
            seen[n] = i
        return None
""",
        *_TWO_SUM,
    ),
    case(
        "call_solution_imports",
        "a class Solution that imports what it uses, with helpers and an __init__",
        """
from typing import List
from collections import defaultdict

class Helper:
    factor = 1

class Solution:
    def __init__(self):
        self.seen = defaultdict(list)

    def helper(self, nums: List[int]) -> None:
        for i, n in enumerate(nums):
            self.seen[n * Helper.factor].append(i)

    def twoSum(self, nums: List[int], target: int) -> List[int]:
        self.helper(nums)
        for i, n in enumerate(nums):
            for j in self.seen[target - n]:
                if j > i:
                    return [i, j]
        return []
""",
        *_TWO_SUM,
    ),
    case(
        "call_static",
        "a static method, a class method and a method given by a lambda",
        """
class Solution:
    @staticmethod
    def a(n):
        return n + 1

    @classmethod
    def b(cls, n):
        return cls.a(n) * 2

    c = lambda self, n: self.b(n)
""",
        call("a", [1], 2),
        call("b", [1], 4),
        call("c", [2], 6),
    ),
    case(
        "call_guard",
        "a main part that the call must not need",
        "def solve(n):\n    return n * n\n\nif __name__ == '__main__':\n    print(solve(3))\n",
        call("solve", [7], 49),
    ),
    case(
        "call_prints",
        "debug prints at import, in the function, and to stderr",
        """
import os, sys
print("loading")
print('{"result": 1, "ok": false}')
sys.stderr.write("warning\\n")
os.write(1, b"bytes\\n")

def solve(n):
    print("called with", n, flush=True)
    sys.stdout.write("no newline")
    return n + 1

print("loaded", end="")
""",
        call("solve", [1], 2),
        call("solve", [41], 42),
    ),
    case(
        "call_recursion",
        "recursion 50,000 deep",
        "import sys\nsys.setrecursionlimit(200_000)\n\ndef solve(n):\n    return 0 if n == 0 else 1 + solve(n - 1)\n",
        call("solve", [50_000], 50_000),
    ),
    case(
        "call_cache",
        "functools' caches",
        """
from functools import cache, lru_cache

@lru_cache(maxsize=None)
def solve(n):
    return n if n < 2 else solve(n - 1) + solve(n - 2)

@cache
def other(a, b=2):
    return a ** b
""",
        call("solve", [90], 2880067194370816120),
        call("other", [3], 9),
    ),
    case(
        "call_threads",
        "threads in the function",
        """
from concurrent.futures import ThreadPoolExecutor

def solve(n):
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda k: k * k, range(n)))
""",
        call("solve", [5], [0, 1, 4, 9, 16]),
    ),
    case(
        "call_dataclass",
        "a dataclass with annotations as text needs its module in sys.modules",
        """
from __future__ import annotations
import pickle
from dataclasses import asdict, dataclass, field
from typing import ClassVar

@dataclass(slots=True)
class Node:
    value: int
    next: Node | None = None
    count: ClassVar[int] = 0

def solve(numbers):
    head = None
    for n in reversed(numbers):
        head = Node(n, head)
    head = pickle.loads(pickle.dumps(head))
    return asdict(head)
""",
        call("solve", [[1, 2]], {"value": 1, "next": {"value": 2, "next": None}}),
    ),
    case(
        "call_names",
        "names that a harness might use for itself",
        """
import json as result
args = data = tests = test = code = namespace = function = expected = channel = None
json = sys = os = io = marshal = pickle = main = run = call = None

def dumps(x):
    return "mine"

def solve(args):
    return {"args": args, "result": result.dumps(args)}
""",
        call("solve", [[1]], {"args": [1], "result": "[1]"}),
    ),
    case(
        "call_arguments",
        "arguments of every JSON type arrive as they are, and may be changed",
        """
def solve(a, b, c, d, e, f, g):
    e.append(c)
    f["new"] = e
    return [type(x).__name__ for x in (a, b, c, d, e, f, g)] + [f]
""",
        call(
            "solve",
            [1, 1.0, "ß\n", True, [], {"k": None}, None],
            ["int", "float", "str", "bool", "list", "dict", "NoneType", {"k": None, "new": ["ß\n"]}],
        ),
    ),
    case(
        "call_many_arguments",
        "a large argument",
        "def solve(numbers, words):\n    return sum(numbers) + len(words)\n",
        call("solve", [list(range(50_000)), ["x"] * 1000], 1249976000),
    ),
    case(
        "call_defaults",
        "defaults, and no arguments",
        "def solve(n=6, *rest, k=7):\n    return n * k\n",
        call("solve", [], 42),
    ),
    case(
        "call_state",
        "a global that the program's own calls count up",
        """
count = 0

def step():
    global count
    count += 1

def solve(n):
    for _ in range(n):
        step()
    return count
""",
        call("solve", [3], 3),
        call("solve", [5], 5),
    ),
    case(
        "call_exit_hook",
        "an exit hook and a destructor that print",
        """
import atexit
atexit.register(print, 'bye')

class Loud:
    def __del__(self):
        print('gone')

keep = Loud()

def solve():
    return [1]
""",
        call("solve", [], [1]),
    ),
    case(
        "call_windows",
        "a source with a byte order mark and Windows line ends",
        "\ufeffdef solve(n):\r\n    return n * 2\r\n",
        call("solve", [21], 42),
    ),
]
