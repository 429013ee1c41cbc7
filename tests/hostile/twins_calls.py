"""Pairs of a right and a wrong program under calls and standard input."""

from .case import Twin, call, stdio, twin

_SORT_PROMPT = '''
Sort it.
```python
class Solution:
    def sortColors(self, nums: List[int]) -> None:
        """
        Do not return anything, modify nums in-place instead.
        """
```'''
_OLD_PROMPT = '''
Sort it.
```python
class Solution(object):
    def sortColors(self, nums):
        """
        :type nums: List[int]
        :rtype: None Do not return anything, modify nums in-place instead.
        """
```'''
_LIST_PROMPT = '''
Reverse it.
```python
# Definition for singly-linked list.
# class ListNode(object):
class Solution(object):
    def reverse(self, head):
        """
        :type head: ListNode
        :rtype: ListNode
        """
```'''

CALL_TWINS: list[Twin] = [
    twin(
        "call_in_place",
        "LeetCode's functions that return nothing",
        """
class Solution:
    def sortColors(self, nums: List[int]) -> None:
        nums.sort()
""",
        """
class Solution:
    def sortColors(self, nums: List[int]) -> None:
        pass
""",
        call("sortColors", [[2, 0, 1]], [0, 1, 2]),
    ),
    twin(
        "call_in_place_prompt",
        "the signature stands in the prompt alone",
        """
class Solution:
    def sortColors(self, nums):
        nums.sort()
""",
        """
class Solution:
    def sortColors(self, nums):
        return sorted(nums)
""",
        call("sortColors", [[2, 0, 1]], [0, 1, 2]),
        prompt=_SORT_PROMPT,
    ),
    twin(
        "call_in_place_old_prompt",
        "the docstring of LeetCode's older signatures",
        """
class Solution:
    def sortColors(self, nums):
        nums[:] = sorted(nums)
        return nums
""",
        """
class Solution:
    def sortColors(self, nums):
        nums = sorted(nums)
""",
        call("sortColors", [[2, 0, 1]], [0, 1, 2]),
        prompt=_OLD_PROMPT,
    ),
    twin(
        "call_args_after",
        "what the arguments must be after the call",
        """
def f(a, d):
    a.reverse()
    d['n'] = len(a)
    return None
""",
        """
def f(a, d):
    pass
""",
        {**call("f", [[1, 2], {}], None), "args_after": [[2, 1], {"n": 2}]},
    ),
    twin(
        "call_no_side_effect",
        "the arguments must stay as they are",
        """
def f(a):
    return sorted(a)
""",
        """
def f(a):
    a.sort()
    return a
""",
        {**call("f", [[2, 1]], [1, 2]), "args_after": [[2, 1]]},
    ),
    twin(
        "call_none_among_others",
        "None is right for some of the calls",
        """
def find(a, x):
    return a.index(x) if x in a else None
""",
        """
def find(a, x):
    return None
""",
        call("find", [[5, 6], 6], 1),
        call("find", [[5, 6], 7], None),
    ),
    twin(
        "call_must_return",
        "a function that must return and only changes its argument",
        """
def f(a):
    a.sort()
    return a
""",
        """
def f(a):
    a.sort()
""",
        call("f", [[2, 1]], [1, 2]),
    ),
    twin(
        "call_list_node",
        "a linked list by the docstring of the prompt",
        """
class Solution:
    def reverse(self, head):
        before = None
        while head:
            head.next, before, head = before, head, head.next
        return before
""",
        """
class Solution:
    def reverse(self, head):
        return head
""",
        call("reverse", [[1, 2, 3]], [3, 2, 1]),
        call("reverse", [[]], []),
        prompt=_LIST_PROMPT,
    ),
    twin(
        "call_list_node_outside",
        "a linked list, and names of typing, outside of a class",
        """
def reverse(head: Optional[ListNode]) -> Optional[ListNode]:
    before = None
    while head:
        head.next, before, head = before, head, head.next
    return before


def g(x: List[int]) -> Dict[str, int]:
    return {'n': len(x)}
""",
        """
def reverse(head: Optional[ListNode]) -> Optional[ListNode]:
    return head.next


def g(x: List[int]) -> Dict[str, int]:
    return {'n': len(x)}
""",
        call("reverse", [[1, 2, 3]], [3, 2, 1]),
        call("g", [[1]], {"n": 1}),
    ),
    twin(
        "call_list_node_in_place",
        "a linked list that is reordered in place",
        """
class Solution:
    def reorder(self, head: Optional[ListNode]) -> None:
        nodes = []
        while head:
            nodes.append(head)
            head = head.next
        order = []
        while nodes:
            order.append(nodes.pop(0))
            if nodes:
                order.append(nodes.pop())
        for a, b in zip(order, order[1:] + [None]):
            a.next = b
""",
        """
class Solution:
    def reorder(self, head: Optional[ListNode]) -> None:
        head.next = None
""",
        call("reorder", [[1, 2, 3, 4]], [1, 4, 2, 3]),
        call("reorder", [[7]], [7]),
    ),
    twin(
        "call_tree_node",
        "a tree by the program's own docstring and class",
        """
class TreeNode:
    def __init__(self, x):
        self.val, self.left, self.right = x, None, None


class Solution:
    def depth(self, root):
        '''
        :type root: TreeNode
        :rtype: int
        '''
        return 1 + max(self.depth(root.left), self.depth(root.right)) if root else 0
""",
        """
class Solution:
    def depth(self, root):
        '''
        :type root: TreeNode
        :rtype: int
        '''
        return 2
""",
        call("depth", [[1, 2, 3, 4]], 3),
        call("depth", [[]], 0),
    ),
    twin(
        "call_subclasses",
        "named tuples, enums of numbers, counters",
        """
from collections import Counter, namedtuple
from enum import IntEnum
P = namedtuple('P', 'x y')
class L(IntEnum):
    ONE = 1
def f(t):
    return P(1, 2), L.ONE, Counter(t)
""",
        """
from collections import Counter, namedtuple
from enum import IntEnum
P = namedtuple('P', 'x y')
class L(IntEnum):
    ONE = 2
def f(t):
    return P(1, 2), L.ONE, Counter(t)
""",
        call("f", ["aab"], [[1, 2], 1, {"a": 2, "b": 1}]),
    ),
    twin(
        "call_solution_path",
        "the function as LeetCodeDataset names it",
        """
class Solution:
    def twoSum(self, nums: List[int], target: int) -> List[int]:
        seen = {}
        for i, x in enumerate(nums):
            if target - x in seen:
                return [seen[target - x], i]
            seen[x] = i
""",
        """
class Solution:
    def twoSum(self, nums: List[int], target: int) -> List[int]:
        return [0, 1]
""",
        call("Solution().twoSum", [[3, 2, 4], 6], [1, 2]),
    ),
    twin(
        "call_stateful_class",
        "a class by its methods",
        """
class LRUCache:
    def __init__(self, n):
        self.n, self.d = n, {}
    def get(self, k):
        if k not in self.d:
            return -1
        self.d[k] = self.d.pop(k)
        return self.d[k]
    def put(self, k, v):
        self.d.pop(k, None)
        self.d[k] = v
        if len(self.d) > self.n:
            del self.d[next(iter(self.d))]
""",
        """
class LRUCache:
    def __init__(self, n):
        self.n, self.d = n, {}
    def get(self, k):
        return self.d.get(k, -1)
    def put(self, k, v):
        self.d[k] = v
        if len(self.d) > self.n:
            del self.d[next(iter(self.d))]
""",
        call(
            "LRUCache",
            [["LRUCache", "put", "put", "get", "put", "get", "get"], [[2], [1, 1], [2, 2], [1], [3, 3], [2], [1]]],
            [None, None, None, 1, None, -1, 1],
        ),
    ),
    twin(
        "call_recursion",
        "memoised recursion with a cache of methods",
        """
class Solution:
    @cache
    def ways(self, n: int) -> int:
        return 1 if n < 2 else self.ways(n - 1) + self.ways(n - 2)
""",
        """
class Solution:
    @cache
    def ways(self, n: int) -> int:
        return 1 if n < 2 else self.ways(n - 1) + 1
""",
        call("ways", [50], 20365011074),
    ),
    twin(
        "call_keywords",
        "defaults and any number of arguments",
        """
def f(a, *rest, scale=2):
    return (a + sum(rest)) * scale
""",
        """
def f(a, *rest, scale=2):
    return a + sum(rest) * scale
""",
        call("f", [1, 2, 3], 12),
    ),
    twin(
        "call_floats",
        "numbers that are close",
        """
def f(x):
    return [x / 3, x * 1.0]
""",
        """
def f(x):
    return [x // 3, x * 1.0]
""",
        call("f", [1], [0.333333333, 1.0]),
    ),
    twin(
        "stdio_fast_input",
        "input by sys.stdin.buffer and output by one write",
        r"""
import sys
def main():
    data = sys.stdin.buffer.read().split()
    n = int(data[0])
    out = [str(int(x) * 2) for x in data[1 : n + 1]]
    sys.stdout.write('\n'.join(out) + '\n')
main()
""",
        r"""
import sys
def main():
    data = sys.stdin.buffer.read().split()
    n = int(data[0])
    out = [str(int(x) * 2) for x in data[1:n]]
    sys.stdout.write('\n'.join(out) + '\n')
main()
""",
        stdio("2\n4\n6\n", "3\n1 2 3\n"),
    ),
    twin(
        "stdio_readline",
        "input = sys.stdin.readline",
        """
import sys
input = sys.stdin.readline
for _ in range(int(input())):
    a, b = map(int, input().split())
    print(a + b)
""",
        """
import sys
input = sys.stdin.readline
for _ in range(int(input()) - 1):
    a, b = map(int, input().split())
    print(a + b)
""",
        stdio("3\n7", "2\n1 2\n3 4"),
    ),
    twin(
        "stdio_until_end",
        "lines until the end of the input",
        """
total = 0
while True:
    try:
        total += int(input())
    except EOFError:
        break
print(total)
""",
        """
total = 0
for _ in range(2):
    total += int(input())
print(total)
""",
        stdio("6", "1\n2\n3"),
    ),
    twin(
        "stdio_thread",
        "a thread with a large stack",
        """
import sys, threading
def main():
    def depth(n):
        return 0 if n == 0 else 1 + depth(n - 1)
    print(depth(int(input())))
sys.setrecursionlimit(10**6)
threading.stack_size(1 << 26)
t = threading.Thread(target=main)
t.start()
t.join()
""",
        """
import sys, threading
def main():
    def depth(n):
        return 0 if n == 0 else 1 + depth(n - 1)
    print(depth(int(input())))
main()
""",
        stdio("20000", "20000"),
    ),
    twin(
        "stdio_solve",
        "a main part and a class",
        """
class Graph:
    def __init__(self, n):
        self.adj = [[] for _ in range(n)]
    def add(self, a, b):
        self.adj[a].append(b)
        self.adj[b].append(a)
def solve():
    n, m = map(int, input().split())
    g = Graph(n)
    for _ in range(m):
        a, b = map(int, input().split())
        g.add(a - 1, b - 1)
    seen = {0}
    stack = [0]
    while stack:
        for v in g.adj[stack.pop()]:
            if v not in seen:
                seen.add(v)
                stack.append(v)
    print('YES' if len(seen) == n else 'NO')
if __name__ == '__main__':
    solve()
""",
        """
def solve():
    n, m = map(int, input().split())
    print('YES' if m >= n - 1 else 'NO')
if __name__ == '__main__':
    solve()
""",
        stdio("YES\n", "3 2\n1 2\n2 3\n"),
        stdio("NO\n", "4 3\n1 2\n2 3\n1 3\n"),
    ),
    twin(
        "stdio_format",
        "formatted numbers and exit by sys.exit",
        """
import sys
x = float(input())
print('%.2f %s' % (x, f'{x:e}'))
sys.exit(0)
""",
        """
import sys
x = float(input())
print('%.2f %s' % (x, f'{x:e}'))
sys.exit(1)
""",
        stdio("3.50 3.500000e+00", "3.5"),
    ),
    twin(
        "stdio_heap",
        "names of the library by a star import",
        """
from heapq import *
from collections import *
n = int(input())
h = []
for x in input().split():
    heappush(h, int(x))
print(*[heappop(h) for _ in range(n)])
""",
        """
n = int(input())
print(*sorted(input().split())[:n])
""",
        stdio("2 9 10\n", "3\n10 9 2\n"),
    ),
    twin(
        "stdio_bytes",
        "output as bytes, beside prints",
        r"""
import sys
print('a', flush=True)
sys.stdout.buffer.write(b'b\n')
sys.stdout.buffer.flush()
""",
        r"""
import sys
print('a', flush=True)
sys.stdout.buffer.write(b'c\n')
sys.stdout.buffer.flush()
""",
        stdio("a\nb\n", ""),
    ),
    twin(
        "stdio_decimal",
        "exact sums",
        """
from decimal import Decimal, getcontext
getcontext().prec = 50
print(sum(Decimal(x) for x in input().split()))
""",
        "print(sum(int(float(x)) for x in input().split()))\n",
        stdio("0.30", "0.1 0.2"),
    ),
]
