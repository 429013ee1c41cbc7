"""Pairs of a right and a wrong program under test code as data sets have it: HumanEval, MBPP, LeetCode, pytest."""

from .case import Twin, asserts, twin

_EVALPLUS = """
import numpy as np

def is_floats(x) -> bool:
    if isinstance(x, float):
        return True
    if isinstance(x, (list, tuple)):
        return all(isinstance(i, float) for i in x)
    if isinstance(x, np.ndarray):
        return x.dtype == np.float64 or x.dtype == np.float32
    return False

def assertion(out, exp, atol):
    exact_match = out == exp
    if atol == 0 and is_floats(exp):
        atol = 1e-6
    if not exact_match and atol != 0:
        assert type(out) == type(exp), f"out: {out}, exp: {exp}"
        if isinstance(exp, (list, tuple)):
            assert len(out) == len(exp)
        assert np.allclose(out, exp, rtol=1e-07, atol=atol)
    else:
        assert exact_match, f"out: {out}, exp: {exp}"
"""
_LEETCODE_PROMPT = """
```python
from typing import *
import collections

class ListNode:
    def __init__(self, val=0, next=None):
        self.val = val
        self.next = next

def list_node(values: list):
    if not values:
        return None
    head = ListNode(values[0])
    p = head
    for val in values[1:]:
        node = ListNode(val)
        p.next = node
        p = node
    return head

def is_same_list(p1, p2):
    if p1 is None and p2 is None:
        return True
    if not p1 or not p2:
        return False
    return p1.val == p2.val and is_same_list(p1.next, p2.next)
```
"""

TEST_TWINS: list[Twin] = [
    twin(
        "evalplus",
        "the harness of HumanEval+ and MBPP+",
        "def f(a):\n    return [x / 3 for x in a]\n",
        "def f(a):\n    return [x // 3 for x in a]\n",
        asserts(
            _EVALPLUS
            + """
inputs = [[[1, 2]], [[]], [[3.0]]]
results = [[1 / 3, 2 / 3], [], [1.0]]
for i, (inp, exp) in enumerate(zip(inputs, results)):
    assertion(f(*inp), exp, 0)
"""
        ),
    ),
    twin(
        "humaneval_candidate",
        "HumanEval's check, which the harness calls",
        """
def rounded_avg(n, m):
    if m < n:
        return -1
    return bin(round((n + m) / 2))
""",
        """
def rounded_avg(n, m):
    return bin(round((n + m) / 2))
""",
        {
            **asserts(
                """
METADATA = {}

def check(candidate):
    assert candidate(1, 5) == "0b11", "first"
    assert candidate(7, 5) == -1
    assert True
"""
            ),
            "function": "rounded_avg",
        },
    ),
    twin(
        "leetcode_dataset",
        "LeetCodeDataset's check with its helpers from the prompt",
        """
class Solution:
    def reverseList(self, head: Optional[ListNode]) -> Optional[ListNode]:
        before = None
        while head:
            head.next, before, head = before, head, head.next
        return before
""",
        """
class Solution:
    def reverseList(self, head: Optional[ListNode]) -> Optional[ListNode]:
        return head
""",
        {
            **asserts(
                """
def check(candidate):
    assert is_same_list(candidate(head = list_node([1, 2, 3])), list_node([3, 2, 1]))
    assert is_same_list(candidate(head = list_node([])), list_node([]))
"""
            ),
            "function": "Solution().reverseList",
        },
        prompt=_LEETCODE_PROMPT,
    ),
    twin(
        "leetcode_test_nodes",
        "nodes that the test makes, by a name that only LeetCode defines",
        """
def middle(head):
    slow = fast = head
    while fast and fast.next:
        slow, fast = slow.next, fast.next.next
    return slow
""",
        """
def middle(head):
    return head
""",
        asserts(
            """
head = ListNode(1, ListNode(2, ListNode(3)))
assert middle(head).val == 2
assert middle(head) is head.next
assert middle(None) is None
"""
        ),
    ),
    twin(
        "mbpp_sets",
        "MBPP's comparisons of sets",
        "def similar(a, b):\n    return tuple(set(a) & set(b))\n",
        "def similar(a, b):\n    return tuple(set(a) | set(b))\n",
        asserts("assert set(similar((3, 4, 5, 6), (5, 7, 4, 10))) == set((4, 5))"),
    ),
    twin(
        "mbpp_heap",
        "MBPP's functions that change a list by heapq",
        """
import heapq as hq
def raw_heap(rawheap):
    hq.heapify(rawheap)
    return rawheap
""",
        """
def raw_heap(rawheap):
    return sorted(rawheap, reverse=True)
""",
        asserts("assert raw_heap([25, 44, 68, 21, 39, 23, 89]) == [21, 25, 23, 44, 39, 68, 89]"),
    ),
    twin(
        "kodcode",
        "a file of pytest that imports the solution",
        """
class Inventory:
    def __init__(self):
        self.stock = {}

    def add(self, name, count):
        if count <= 0:
            raise ValueError("count must be positive")
        self.stock[name] = self.stock.get(name, 0) + count

    def remove(self, name, count):
        if self.stock.get(name, 0) < count:
            raise KeyError(name)
        self.stock[name] -= count
""",
        """
class Inventory:
    def __init__(self):
        self.stock = {}

    def add(self, name, count):
        self.stock[name] = self.stock.get(name, 0) + count

    def remove(self, name, count):
        self.stock[name] -= count
""",
        asserts(
            """
import pytest
from solution import Inventory

def test_add():
    inv = Inventory()
    inv.add("a", 2)
    inv.add("a", 3)
    assert inv.stock == {"a": 5}

def test_remove_too_many():
    inv = Inventory()
    inv.add("a", 1)
    with pytest.raises(KeyError):
        inv.remove("a", 2)
    assert inv.stock["a"] == 1

class TestErrors:
    @pytest.mark.parametrize("count", [0, -1])
    def test_count(self, count):
        with pytest.raises(ValueError, match="positive"):
            Inventory().add("x", count)
"""
        ),
    ),
    twin(
        "unittest_setup",
        "unittest with setUp, subTest and several assertions",
        """
class Matrix:
    def __init__(self, rows):
        self.rows = [list(row) for row in rows]

    def transpose(self):
        return Matrix(zip(*self.rows))

    def __eq__(self, other):
        return isinstance(other, Matrix) and self.rows == other.rows

    def __matmul__(self, other):
        columns = list(zip(*other.rows))
        return Matrix([[sum(a * b for a, b in zip(row, c)) for c in columns] for row in self.rows])
""",
        """
class Matrix:
    def __init__(self, rows):
        self.rows = [list(row) for row in rows]

    def transpose(self):
        return Matrix(self.rows)

    def __eq__(self, other):
        return isinstance(other, Matrix) and self.rows == other.rows

    def __matmul__(self, other):
        return Matrix(self.rows)
""",
        asserts(
            """
import unittest

class TestMatrix(unittest.TestCase):
    def setUp(self):
        self.m = Matrix([[1, 2], [3, 4]])

    def test_transpose(self):
        self.assertEqual(self.m.transpose(), Matrix([[1, 3], [2, 4]]))
        self.assertEqual(self.m.transpose().transpose(), self.m)
        self.assertIsNot(self.m.transpose(), self.m)

    def test_product(self):
        for k in (0, 1, 2):
            with self.subTest(k=k):
                product = self.m @ Matrix([[k, 0], [0, k]])
                self.assertListEqual(product.rows, [[k, 2 * k], [3 * k, 4 * k]])
                self.assertIsInstance(product, Matrix)

if __name__ == "__main__":
    unittest.main()
"""
        ),
    ),
    twin(
        "patched_module",
        "a test that replaces a function of the program's module",
        """
def fetch():
    return 1

def double():
    return fetch() * 2
""",
        """
def fetch():
    return 1

def double():
    return 2
""",
        asserts(
            """
import solution
assert solution.double() == 2
solution.fetch = lambda: 5
assert solution.double() == 10
"""
        ),
    ),
    twin(
        "patched_by_mock",
        "a test that replaces a function of the program's module by unittest.mock",
        """
def fetch(url):
    raise OSError("no network")

def titles(urls):
    return [fetch(url)["title"] for url in urls]
""",
        """
def fetch(url):
    raise OSError("no network")

def titles(urls):
    return [fetch("x")["title"] for url in urls]
""",
        asserts(
            """
from unittest.mock import patch
import solution
with patch("solution.fetch", return_value={"title": "T"}) as fetched:
    assert solution.titles(["a", "b"]) == ["T", "T"]
    assert fetched.call_count == 2
    fetched.assert_called_with("b")
try:
    solution.titles(["a"])
except OSError as error:
    assert str(error) == "no network"
else:
    assert False
"""
        ),
    ),
    twin(
        "bank",
        "stateful accounts with their own errors",
        """
class InsufficientFunds(Exception):
    def __init__(self, needed):
        super().__init__(f"need {needed} more")
        self.needed = needed

    def hint(self):
        return f"deposit {self.needed}"

class Account:
    def __init__(self, owner, balance=0):
        self.owner, self.balance, self.history = owner, balance, []

    def withdraw(self, n):
        if n > self.balance:
            raise InsufficientFunds(n - self.balance)
        self.balance -= n
        self.history.append(("withdraw", n))
        return self

    def __str__(self):
        return f"{self.owner}: {self.balance}"
""",
        """
class InsufficientFunds(Exception):
    def __init__(self, needed):
        super().__init__(f"need {needed} more")
        self.needed = needed

    def hint(self):
        return f"deposit {self.needed}"

class Account:
    def __init__(self, owner, balance=0):
        self.owner, self.balance, self.history = owner, balance, []

    def withdraw(self, n):
        self.balance -= n
        if self.balance < 0:
            raise InsufficientFunds(-self.balance)
        self.history.append(("withdraw", n))
        return self

    def __str__(self):
        return f"{self.owner}: {self.balance}"
""",
        asserts(
            """
a = Account("Ann", 10)
history = a.history
assert a.withdraw(3).withdraw(2) is a and a.balance == 5 and history == [("withdraw", 3), ("withdraw", 2)]
try:
    a.withdraw(50)
except InsufficientFunds as e:
    assert e.needed == 45 and str(e) == "need 45 more" and e.hint() == "deposit 45"
else:
    assert False, "no error"
assert str(a) == "Ann: 5" and f"{a}" == "Ann: 5" and a.balance == 5
"""
        ),
    ),
    twin(
        "graph",
        "an own graph with defaultdict and deque, walked by the test",
        """
from collections import defaultdict, deque

class Graph:
    def __init__(self):
        self.adj = defaultdict(list)

    def edge(self, a, b):
        self.adj[a].append(b)

    def bfs(self, start):
        seen, order, queue = {start}, [], deque([start])
        while queue:
            node = queue.popleft()
            order.append(node)
            for other in self.adj[node]:
                if other not in seen:
                    seen.add(other)
                    queue.append(other)
        return order
""",
        """
from collections import defaultdict

class Graph:
    def __init__(self):
        self.adj = defaultdict(list)

    def edge(self, a, b):
        self.adj[a].append(b)

    def bfs(self, start):
        order, stack = [], [start]
        while stack:
            node = stack.pop()
            if node not in order:
                order.append(node)
                stack.extend(self.adj[node])
        return order
""",
        asserts(
            """
g = Graph()
for a, b in [(1, 2), (1, 3), (2, 4), (3, 4)]:
    g.edge(a, b)
assert g.bfs(1) == [1, 2, 3, 4]
assert g.adj[1] == [2, 3] and 9 not in g.adj
g.adj[4].append(1)
assert g.bfs(4) == [4, 1, 2, 3]
"""
        ),
    ),
    twin(
        "trie",
        "a trie whose nodes hold dicts of nodes",
        """
class TrieNode:
    def __init__(self):
        self.children = {}
        self.end = False

class Trie:
    def __init__(self):
        self.root = TrieNode()

    def insert(self, word):
        node = self.root
        for c in word:
            node = node.children.setdefault(c, TrieNode())
        node.end = True

    def search(self, word):
        node = self.root
        for c in word:
            node = node.children.get(c)
            if node is None:
                return False
        return node.end
""",
        """
class TrieNode:
    def __init__(self):
        self.children = {}
        self.end = False

class Trie:
    def __init__(self):
        self.root = TrieNode()

    def insert(self, word):
        node = self.root
        for c in word:
            node = node.children.setdefault(c, TrieNode())

    def search(self, word):
        node = self.root
        for c in word:
            node = node.children.get(c)
            if node is None:
                return False
        return True
""",
        asserts(
            """
t = Trie()
for word in ("car", "cat"):
    t.insert(word)
assert t.search("car") and not t.search("ca") and not t.search("dog")
assert sorted(t.root.children["c"].children["a"].children) == ["r", "t"]
assert t.root.children["c"].children["a"].children["t"].end is True
"""
        ),
    ),
    twin(
        "observers_and_ids",
        "counters of ids, class methods, comparison by keys",
        """
import itertools

class Task:
    _ids = itertools.count(1)

    def __init__(self, title, priority=0):
        self.id = next(self._ids)
        self.title, self.priority = title, priority

    @classmethod
    def parse(cls, text):
        title, _, priority = text.partition("!")
        return cls(title, int(priority or 0))

    def __lt__(self, other):
        return (-self.priority, self.id) < (-other.priority, other.id)

    def __repr__(self):
        return f"Task({self.title!r})"
""",
        """
import itertools

class Task:
    _ids = itertools.count(1)

    def __init__(self, title, priority=0):
        self.id = next(self._ids)
        self.title, self.priority = title, priority

    @classmethod
    def parse(cls, text):
        title, _, priority = text.partition("!")
        return cls(title, int(priority or 0))

    def __lt__(self, other):
        return (self.priority, self.id) < (other.priority, other.id)

    def __repr__(self):
        return f"Task({self.title!r})"
""",
        asserts(
            """
import heapq
tasks = [Task("a"), Task("b", 2), Task.parse("c!5"), Task("d", 2)]
assert [t.id for t in tasks] == [1, 2, 3, 4] and isinstance(tasks[2], Task)
heapq.heapify(tasks)
assert [heapq.heappop(tasks).title for _ in range(4)] == ["c", "b", "d", "a"]
assert repr([Task("x")]) == "[Task('x')]"
"""
        ),
    ),
    twin(
        "numpy_in_place",
        "arrays that are changed in place",
        "import numpy as np\ndef normalise(a):\n    a -= a.mean()\n    return a\n",
        "import numpy as np\ndef normalise(a):\n    return a - a.mean()\n",
        asserts(
            """
import numpy as np
a = np.array([1.0, 3.0])
assert normalise(a) is a and a.tolist() == [-1.0, 1.0]
"""
        ),
    ),
    twin(
        "stdin_function",
        "a function that reads input and prints",
        """
def main():
    n = int(input())
    print(sum(int(x) for x in input().split()[:n]))
""",
        """
def main():
    n = int(input())
    print(sum(int(x) for x in input().split()))
""",
        asserts(
            """
import io, sys
def run(text):
    sys.stdin, old = io.StringIO(text), sys.stdout
    sys.stdout = io.StringIO()
    try:
        main()
        return sys.stdout.getvalue()
    finally:
        sys.stdout = old
assert run("2\\n1 2 5\\n") == "3\\n"
"""
        ),
    ),
]
