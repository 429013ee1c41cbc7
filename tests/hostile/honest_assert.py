"""Programs that solve their assert tests, in HumanEval's and MBPP's forms."""

from .case import Case, asserts, case

ASSERT: list[Case] = []

# --- HumanEval's and MBPP's forms ------------------------------------------------------------------------------------

_CHECK = """
METADATA = {{"author": "x", "dataset": "test"}}


def check(candidate):
{body}

check(solve)
"""

for _name, _why, _program, _code in (
    (
        "humaneval",
        "HumanEval's form",
        "def solve(n):\n    return n * n\n",
        _CHECK.format(
            body="    assert candidate(3) == 9\n    assert candidate(0) == 0, 'zero'\n    assert True, 'easy'\n"
        ),
    ),
    ("mbpp", "MBPP's form", "def solve(n):\n    return n * n\n", "assert solve(3) == 9\nassert solve(-2) == 4\n"),
    (
        "mbpp_line",
        "one line without a newline",
        "def solve(n):\n    return n * n\n",
        "assert solve(3) == 9",
    ),
    (
        "set",
        "sets",
        "def solve(x):\n    return set(x)\n",
        "assert solve([1, 2, 1]) == {1, 2}\nassert set(solve('ab')) == set(['b', 'a'])\n",
    ),
    (
        "tuple",
        "tuples",
        "def solve(x):\n    return (min(x), max(x))\n",
        "assert solve([3, 1, 2]) == (1, 3)\nassert tuple(solve((5,))) == (5, 5)\n",
    ),
    (
        "float",
        "a difference",
        "def solve(x):\n    return x ** 0.5\n",
        _CHECK.format(body="    assert abs(candidate(2.0) - 1.41421356) < 1e-6\n"),
    ),
    (
        "math",
        "the test imports math",
        "def solve(x):\n    return x ** 0.5\n",
        "import math\nassert math.isclose(solve(2), math.sqrt(2), rel_tol=1e-9)\nassert math.floor(solve(10)) == 3\n",
    ),
    (
        "helper",
        "the test calls another function of the program's",
        "def encode(text):\n    return text[::-1]\n\ndef solve(text):\n    return text[::-1]\n",
        _CHECK.format(body="    for word in ['abc', '', 'ß']:\n        assert candidate(encode(word)) == word\n"),
    ),
    (
        "exception",
        "an exception is expected",
        "def solve(n):\n    if n < 0:\n        raise ValueError('negative')\n    return n\n",
        "try:\n    solve(-1)\n    assert False\nexcept ValueError:\n    pass\nassert solve(4) == 4\n",
    ),
    (
        "keyword",
        "keyword arguments",
        "def solve(items, reverse=False, *, key=None):\n    return sorted(items, reverse=reverse, key=key)\n",
        "assert solve([2, 1], reverse=True) == [2, 1]\nassert solve(items=[2, 1]) == [1, 2]\n",
    ),
    (
        "arguments_kept",
        "the function leaves its arguments alone",
        "def solve(items):\n    return sorted(items)\n",
        "a = [3, 1, 2]\nassert solve(a) == [1, 2, 3]\nassert a == [3, 1, 2]\n",
    ),
    (
        "state",
        "calls in one test share the program's globals",
        "count = 0\n\ndef solve():\n    global count\n    count += 1\n    return count\n",
        "assert solve() == 1\nassert solve() == 2\nassert solve() + solve() == 7\n",
    ),
    (
        "generator",
        "a generator that the test makes a list of",
        "def solve(n):\n    for k in range(n):\n        yield k * k\n",
        "assert list(solve(4)) == [0, 1, 4, 9]\nassert sum(solve(3)) == 5\n",
    ),
    (
        "loop",
        "a loop with a reference of the test's own",
        "def solve(n):\n    return sum(range(n + 1))\n",
        """
import random
random.seed(1)
def reference(n):
    return n * (n + 1) // 2
for _ in range(50):
    n = random.randint(0, 1000)
    assert solve(n) == reference(n), n
""",
    ),
    (
        "builtins",
        "builtins over the result",
        "def solve(n):\n    return [n, n + 1, n + 2]\n",
        """
r = solve(1)
assert len(r) == 3 and sorted(r) == r and all(isinstance(x, int) for x in r)
assert r[0] == 1 and r[-1] == 3 and 2 in r and r[1:] == [2, 3]
assert not any(x > 3 for x in r)
""",
    ),
    (
        "inequality",
        "comparisons other than ==",
        "def solve(n):\n    return n + 0.5\n",
        """
assert solve(1) > 1
assert 1 < solve(1) < 2
assert solve(1) != solve(2)
assert round(solve(1.234), 1) == 1.7
""",
    ),
    (
        "bool",
        "truth, None and identity",
        "def solve(n):\n    return None if n == 0 else n % 2 == 0\n",
        """
assert solve(4)
assert not solve(3)
assert solve(0) is None
assert solve(2) is True and solve(1) == False
""",
    ),
    (
        "prints",
        "debug prints, before and after",
        """
print('loading')

def solve(n):
    print('n =', n)
    return n * n

print('assert failed: AssertionError')
""",
        "print('testing')\nassert solve(3) == 9\nprint('tested', end='')\n",
    ),
    (
        "exit_guard",
        "a main part that would fail the test, were it run",
        "def solve(n):\n    return n * n\n\ndef main():\n    return 0\n\nif __name__ == '__main__':\n    main()\n",
        "assert solve(3) == 9\n",
    ),
    (
        "recursion",
        "deep recursion under test code",
        "import sys\nsys.setrecursionlimit(100_000)\n\ndef solve(n):\n    return 0 if n == 0 else 1 + solve(n - 1)\n",
        "assert solve(50000) == 50000\n",
    ),
    (
        "text",
        "text of several lines, with quotes and backslashes",
        "def solve(x):\n    return x\n",
        "assert solve('a\\\\n\\'\"') == 'a\\\\n\\'\"'\nassert solve('''ß\n世''') == 'ß\\n世'\n",
    ),
    (
        "nested",
        "nested and mixed values, and keys that are no text",
        "def solve(x):\n    return {1: (x, [x]), 'k': {x}, (1, 2): None, 2.5: b'b'}\n",
        "assert solve(3) == {1: (3, [3]), 'k': {3}, (1, 2): None, 2.5: b'b'}\nassert solve(4)[(1, 2)] is None\n",
    ),
    (
        "several",
        "several functions",
        "def a(n):\n    return n + 1\n\ndef b(n):\n    return a(n) * 2\n\nLIMIT = 10\n",
        "assert a(1) == 2\nassert b(a(1)) == 6\nassert LIMIT == 10\n",
    ),
):
    ASSERT.append(case(f"assert_{_name}", f"test code: {_why}", _program, asserts(_code)))
