"""The judge of programs on what data sets and models bring: outputs, objects, packages, prompts, LeetCode, checkers."""

import itertools
import json
from decimal import Decimal

import pytest

from r1kit.answers.fault import FAULT
from r1kit.rewards import program_tests
from r1kit.rewards.accuracy import accuracy
from r1kit.sandbox import outputs
from r1kit.sandbox.judge import judge_program
from r1kit.sandbox.outputs import is_same_output, is_same_token, is_same_value
from r1kit.sandbox.prompt_code import complete_program


def judge_asserts(program, code, **settings):
    """Judge a program by test code: True, False, or the reason of a fault."""
    verdict = judge_program(program, [{"kind": "assert", "code": code}], **settings)
    return verdict.reason if verdict.fault else verdict.ok


def judge_output(program, output, **settings):
    """Judge a program by what it prints."""
    return judge_program(program, [{"kind": "stdio", "input": "", "output": output}], **settings).ok


def score(answer, tests, prompt="Write it.", **settings):
    """Return the accuracy of a fenced program."""
    completion = f"<think>\nplan\n</think>\n<answer>\n```python\n{answer}\n```\n</answer>"
    return accuracy([completion], checker=["code"], tests=[tests], question=[prompt], **settings)[0]


# What a program prints


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("2.5", "2.50"),
        ("0.3333333333333333", "0.33333333"),
        ("4", "4.0"),
        ("1e-08", "0.00000001"),
        ("42.0", "42"),
        ("-0.0", "0"),
        ("Case #1: 0.50000001 yes", "Case #1: 0.5 yes"),
        ("1 2\n3\n", "1 2 3"),
        ("a\r\nb \r\n", "a\nb"),
        ("\n\n1\n\n\n2", "1\n2"),
        ("1000000000000000000.0", "1000000000000000000"),
        ("1.5e300", "1500000000000000000e282"),
        ("nan", "nan"),
        ("", ""),
        ("  \n", ""),
    ],
)
def test_output_is_compared_by_tokens_and_numbers_by_value(printed, expected):
    assert is_same_output(printed, expected)


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("0.34", "0.333333333"),
        ("1000000000000000001", "1000000000000000000"),
        ("1000000000000000001.0", "1000000000000000000"),
        ("41.9999999", "42"),
        ("007", "7"),
        ("0101", "101"),
        ("4_2", "42"),
        ("٤٢", "42"),
        ("yes", "YES"),
        ("1 2", "1 2 3"),
        ("1 2 3", "1 2"),
        ("12", "1 2"),
        ("3 1 2", "1 2 3"),
        ("", "0"),
        ("inf", "1e308"),
        ("1e999999999", "1e300"),
        ("1.000002", "1.0"),
    ],
)
def test_another_number_or_word_is_wrong(printed, expected):
    assert not is_same_output(printed, expected)


def test_lines_may_stand_as_lists():
    program = "print(int(input()) + int(input()))"
    assert judge_program(program, [{"kind": "stdio", "input": ["1", "2"], "output": ["3"]}]).ok
    assert judge_program(program, [{"kind": "stdio", "input": [1, 2], "output": 3}]).ok
    assert not judge_program(program, [{"kind": "stdio", "input": ["1", "2"], "output": ["4"]}]).ok


def test_lines_come_in_any_order_where_the_test_says_so():
    in_any_order = {"kind": "stdio", "input": "", "output": "b 2\na 1", "order": "any"}
    assert judge_program("print('a 1.0')\nprint('b 2')", [in_any_order]).ok
    assert not judge_program("print('a 1')\nprint('a 1')", [in_any_order]).ok
    assert not judge_program("print('1 a')\nprint('b 2')", [in_any_order]).ok
    assert not judge_output("print('a 1')\nprint('b 2')", "b 2\na 1")


def test_members_come_in_any_order_where_the_test_says_so():
    assert is_same_value([3, 1, 2], [1, 2, 3], "any")
    assert is_same_value([(2, 1), (3,)], [[3], [2, 1]], "any")
    assert not is_same_value([[1, 2], [3]], [[3], [2, 1]], "any")
    assert is_same_value([[1, 2], [3]], [[3], [2, 1]], "any_nested")
    assert is_same_value([0.1 + 0.2, 1], [1, 0.3], "any")
    assert not is_same_value([1, 1, 2], [1, 2, 2], "any")
    assert not is_same_value([3, 1, 2], [1, 2, 3])
    test = {"kind": "call", "function": "f", "args": [], "expected": ["a", "b"], "order": "any"}
    assert judge_program("def f(): return ['b', 'a']", [test]).ok


def test_numbers_in_any_order_are_compared_a_few_times_each(monkeypatch):
    """A right program that prints long numbers in another order would hold the judge for minutes."""
    compared = []
    monkeypatch.setattr(outputs, "is_same_token", lambda *pair: compared.append(pair) or is_same_token(*pair))
    expected = "\n".join(f"{number % 50}.5 {number}.5" for number in range(600))
    lines = [f"{number % 50}.5000004 {number}.50" for number in reversed(range(600))]
    assert is_same_output("\n".join(lines), expected, "any")
    assert not is_same_output("\n".join([*lines[1:], "7.5 7.5"]), expected, "any")
    assert len(compared) < 10 * 600
    permutations = [list(items) for items in itertools.permutations([1.5, 2.5, 3.5, 4.5, 5.5, 6.5])]
    noisy = [[item + 1e-9 * index for item in items] for index, items in enumerate(reversed(permutations))]
    assert is_same_value(noisy, permutations, "any")
    assert not is_same_value(noisy, [*permutations[:-1], permutations[0]], "any")
    assert is_same_value([list(reversed(items)) for items in noisy], permutations, "any_nested")


# Limits are those of what is expected


def test_numbers_have_as_many_digits_as_it_takes():
    digits = "7" * 6000
    assert judge_program(
        "print(int(input()) - 1)", [{"kind": "stdio", "input": digits, "output": digits[:-1] + "6"}]
    ).ok
    assert not judge_program(
        "print(int(input()))", [{"kind": "stdio", "input": digits, "output": digits[:-1] + "6"}]
    ).ok
    assert judge_output("print(10**5000)", "1" + "0" * 5000)
    call = {"kind": "call", "function": "f", "args": [10**5000], "expected": 10**5001}
    assert judge_program("def f(n): return n * 10", [call]).ok
    assert not judge_program("def f(n): return n * 10 + 1", [call]).ok
    text = '[{"kind": "call", "function": "f", "args": [], "expected": 1%s}]' % ("0" * 5000)
    assert score("def f(): return 10**5000", text) == 1.0
    assert (
        score("def f(n): return n * 10", [{**call, "args": [Decimal(10**5000)], "expected": Decimal(10**5001)}]) == 1.0
    )


def test_a_program_may_print_as_much_as_is_expected():
    line = "0123456789 " * 10
    assert judge_output(f"for _ in range(60000): print({line!r})", f"{line}\n" * 60000)
    assert not judge_output(f"for _ in range(60000): print({line!r})", line)


def test_values_of_many_megabytes_pass_between_program_and_test():
    assert judge_asserts("def f(n): return 'ab' * n", "assert f(5 * 10**6) == 'ab' * (5 * 10**6)") is True


# Test code and program are in two processes

STACK = """
class Stack:
    def __init__(self, items=()):
        self.items = list(items)
    def push(self, item):
        self.items.append(item)
    def __len__(self):
        return len(self.items)
    def __iter__(self):
        return iter(self.items)
    def __getitem__(self, index):
        return self.items[index]
    def __contains__(self, item):
        return item in self.items
    def __bool__(self):
        return bool(self.items)
    def __repr__(self):
        return f"Stack({self.items})"
    def __eq__(self, other):
        return isinstance(other, Stack) and self.items == other.items
    def __add__(self, other):
        return Stack(self.items + other.items)
    def __enter__(self):
        return self
    def __exit__(self, *error):
        self.items.clear()
    @classmethod
    def of(cls, *items):
        return cls(items)
    @property
    def top(self):
        return self.items[-1]

class Named(Stack):
    name = "named"
"""
ERRORS = """
class Empty(LookupError):
    def __init__(self, what, code=0):
        super().__init__(what)
        self.code = code
    def __str__(self):
        return f"empty: {self.args[0]}"

def first(items):
    if not items:
        raise Empty("list", code=7)
    return items[0]
"""
POINTS = """
from collections import Counter, defaultdict, deque, namedtuple
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import NamedTuple

@dataclass(frozen=True)
class Point:
    x: int
    y: int = 0

class Pair(NamedTuple):
    a: int
    b: int

class Color(Enum):
    RED = 1
    BLUE = 2

class Level(IntEnum):
    LOW = 1

class Bag(list):
    def total(self):
        return sum(self)

def points():
    return [Point(1), Point(2, 3)]
def pair():
    return Pair(1, 2)
def color():
    return Color.RED
def level():
    return Level.LOW
def bag():
    return Bag([1, 2])
def count(text):
    return Counter(text)
def group(text):
    groups = defaultdict(list)
    for letter in text:
        groups[letter].append(1)
    return groups
def last(items):
    return deque(items, maxlen=2)
"""


@pytest.mark.parametrize(
    ("program", "code"),
    [
        (STACK, "s = Stack()\ns.push(1)\ns.push(2)\nassert len(s) == 2 and s[1] == 2 and 1 in s and 5 not in s"),
        (STACK, "assert list(Stack([1, 2])) == [1, 2] and sum(Stack([1, 2])) == 3 and not Stack() and Stack([1])"),
        (STACK, "assert str(Stack([1])) == 'Stack([1])' and f'{Stack()}' == 'Stack([])'"),
        (STACK, "assert Stack([1]) == Stack([1]) != Stack([2]) and Stack([1]) + Stack([2]) == Stack([1, 2])"),
        (STACK, "s = Stack([1])\nassert isinstance(s, Stack) and type(s) is Stack and type(s).__name__ == 'Stack'"),
        (
            STACK,
            (
                "n = Named.of(3)\n"
                "assert isinstance(n, Stack) and n.top == 3 and Named.name == 'named' and "
                "issubclass(Named, Stack)"
            ),
        ),
        (
            STACK,
            ("s = Stack()\ns.items.append(4)\nassert s.top == 4\ns.items = [5]\nassert s.top == 5 and s.items == [5]"),
        ),
        (STACK, "with Stack([1]) as s:\n    assert len(s) == 1\nassert len(s) == 0"),
        (STACK, "import copy\na = Stack([1])\nb = copy.deepcopy(a)\nb.push(2)\nassert len(a) == 1 and len(b) == 2"),
        (STACK, "assert hasattr(Stack(), 'push') and not hasattr(Stack(), 'pull') and vars(Stack()) == {'items': []}"),
        (
            ERRORS,
            (
                "try:\n"
                "    first([])\n"
                "    ok = False\n"
                "except Empty as e:\n"
                "    ok = e.code == 7 and str(e) == 'empty: list'\n"
                "assert ok"
            ),
        ),
        (
            ERRORS,
            (
                "import pytest\n"
                "with pytest.raises(Empty, match='list') as info:\n"
                "    first([])\n"
                "assert info.value.code == 7"
            ),
        ),
        (
            ERRORS,
            (
                "try:\n"
                "    first([])\n"
                "except LookupError as e:\n"
                "    assert type(e).__name__ == 'Empty'\n"
                "else:\n"
                "    assert False"
            ),
        ),
        (ERRORS, "with raises(TypeError):\n    first(3)\nraises(Empty, first, [])\nassert first([2]) == 2"),
        ("def f(n): return lambda x: x + n", "assert f(2)(3) == 5"),
        (
            "def f(g, items): return [g(i) for i in items]",
            "assert f(lambda x: x + 1, [1, 2]) == [2, 3] and f(str, [1]) == ['1']",
        ),
        (
            ("def log(g):\n    def wrapped(*a):\n        return 'called', g(*a)\n    return wrapped"),
            ("@log\ndef f(x):\n    return x * 2\nassert f(4) == ('called', 8)"),
        ),
        (
            "def f(items, key): return sorted(items, key=key)",
            "assert f(['bb', 'a'], len) == ['a', 'bb'] and f([1, -3], key=lambda x: -x) == [1, -3]",
        ),
        (
            ("def f():\n    n = 0\n    while True:\n        yield n\n        n += 1"),
            (
                "from itertools import islice\n"
                "assert list(islice(f(), 3)) == [0, 1, 2]\n"
                "g = f()\n"
                "assert next(g) == 0 == next(f()) and next(g) == 1"
            ),
        ),
        (
            ("def f():\n    total = 0\n    while True:\n        total += (yield total)"),
            ("g = f()\nnext(g)\nassert g.send(3) == 3 and g.send(4) == 7\ng.close()"),
        ),
        ("def f(n): return map(str, range(n))", "assert list(f(3)) == ['0', '1', '2']"),
        (
            "def f(items): return sum(items)",
            ("assert f(iter([1, 2])) == f(n for n in (1, 2)) == f({1: 0, 2: 0}.keys()) == f(range(3))"),
        ),
        (
            ("def f(node):\n    n = 0\n    while node:\n        n, node = n + node.value, node.next\n    return n"),
            (
                "class Node:\n"
                "    def __init__(self, value, next=None):\n"
                "        self.value, self.next = value, next\n"
                "assert f(Node(1, Node(2))) == 3"
            ),
        ),
        (
            "def f():\n    print('hello', 3)",
            (
                "import io, contextlib\n"
                "out = io.StringIO()\n"
                "with contextlib.redirect_stdout(out):\n"
                "    f()\n"
                "assert out.getvalue() == 'hello 3\\n'"
            ),
        ),
        (
            "def f(): return int(input('? ')) + 1",
            (
                "from unittest.mock import patch\n"
                "with patch('builtins.input', return_value='4'):\n"
                "    assert f() == 5\n"
                "import io, sys\n"
                "sys.stdin = io.StringIO('6\\n')\n"
                "assert f() == 7"
            ),
        ),
        (
            ("import asyncio\nasync def f(n):\n    await asyncio.sleep(0.01)\n    return n * 2"),
            (
                "import asyncio\n"
                "async def both():\n"
                "    return await asyncio.gather(f(1), f(2))\n"
                "assert asyncio.run(both()) == [2, 4]\n"
                "assert asyncio.run(f(3)) == 6"
            ),
        ),
        (
            (
                "async def f(n):\n"
                "    for i in range(n):\n"
                "        yield i\n"
                "class C:\n"
                "    async def __aenter__(self):\n"
                "        return 5\n"
                "    async def __aexit__(self, *error):\n"
                "        pass"
            ),
            (
                "import asyncio\n"
                "async def test():\n"
                "    async with C() as five:\n"
                "        return [i async for i in f(3)] + [five]\n"
                "assert asyncio.run(test()) == [0, 1, 2, 5]"
            ),
        ),
        (
            (
                "from contextlib import contextmanager\n"
                "log = []\n"
                "@contextmanager\n"
                "def opened():\n"
                "    log.append('in')\n"
                "    yield 5\n"
                "    log.append('out')\n"
                "def seen(): return log"
            ),
            ("with opened() as five:\n    assert five == 5 and seen() == ['in']\nassert seen() == ['in', 'out']"),
        ),
        (
            POINTS,
            (
                "assert points() == [Point(1), Point(2, 3)] and len(set(points())) == 2 and "
                "str(Point(1)) == 'Point(x=1, y=0)'"
            ),
        ),
        (
            POINTS,
            (
                "assert pair() == (1, 2) and pair().b == 2 and pair()._asdict() == {'a': 1, 'b': 2} "
                "and Pair(b=1, a=2) == (2, 1)"
            ),
        ),
        (
            POINTS,
            (
                "assert color() is Color.RED and color() != Color.BLUE and color().value == 1 and "
                "[c.name for c in Color] == ['RED', 'BLUE'] and Color['BLUE'] == Color(2)"
            ),
        ),
        (POINTS, "assert level() == 1 and level() == Level.LOW and level().name == 'LOW'"),
        (
            POINTS,
            (
                "assert bag() == [1, 2] and bag().total() == 3\n"
                "b = bag()\n"
                "b.append(3)\n"
                "assert b.total() == 6 and b == [1, 2, 3] and len(b) == 3"
            ),
        ),
        (
            POINTS,
            ("assert count('aab')['a'] == 2 and count('a')['z'] == 0 and count('aab').most_common(1) == [('a', 2)]"),
        ),
        (
            POINTS,
            (
                "assert group('aba') == {'a': [1, 1], 'b': [1]} and group('')['x'] == [] and "
                "list(last([1, 2, 3])) == [2, 3]"
            ),
        ),
        (
            (
                "from fractions import Fraction\n"
                "from decimal import Decimal\n"
                "import datetime\n"
                "def f(): return Fraction(1, 3), Decimal('1.10'), datetime.date(2024, 1, 5)\n"
                "def g(day): return day.year"
            ),
            (
                "from fractions import Fraction\n"
                "from decimal import Decimal\n"
                "import datetime\n"
                "assert f() == (Fraction(1, 3), Decimal('1.1'), datetime.date(2024, 1, 5)) and "
                "g(datetime.datetime(2020, 1, 1, 5)) == 2020"
            ),
        ),
        (
            ("import functools\n@functools.lru_cache\ndef f(n): return n if n < 2 else f(n - 1) + f(n - 2)"),
            "assert f(40) == 102334155 and f.cache_info().hits > 0 and f.__name__ == 'f'",
        ),
        (
            (
                "class V:\n"
                "    def __init__(self, x): self.x = x\n"
                "    def __eq__(self, other): return self.x == getattr(other, 'x', other)\n"
                "    def __mul__(self, k): return V(self.x * k)\n"
                "    __rmul__ = __mul__\n"
                "    def __lt__(self, other): return self.x < other.x\n"
                "    def __call__(self, y): return self.x + y"
            ),
            (
                "assert V(2) == 2 and V(2) * 3 == V(6) == 2 * V(3) and V(1)(4) == 5 and sorted([V(3), "
                "V(1)])[0].x == 1 and max(V(1), V(2)) == V(2)"
            ),
        ),
        (
            (
                "import functools\n"
                "def twice(f):\n"
                "    @functools.wraps(f)\n"
                "    def call(x): return f(f(x))\n"
                "    return call"
            ),
            (
                "@twice\n"
                "def half(x):\n"
                "    'Doc.'\n"
                "    return x / 2\n"
                "assert (half(8), half.__name__, half.__doc__) == (2, 'half', 'Doc.')"
            ),
        ),
        (
            ("def f(x: int) -> str:\n    'Doc.'\nclass C:\n    'A class.'"),
            (
                "import typing\n"
                "assert (f.__doc__, C.__doc__, C().__doc__) == ('Doc.', 'A class.', 'A class.')\n"
                "assert typing.get_type_hints(f) == f.__annotations__ == {'x': int, 'return': str}"
            ),
        ),
        (
            ("from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\n    y: int = 0"),
            (
                "from dataclasses import asdict, astuple, fields, replace\n"
                "assert asdict(P(3, 4)) == {'x': 3, 'y': 4} and astuple(P(1)) == (1, 0)\n"
                "assert [field.name for field in fields(P)] == ['x', 'y'] and replace(P(3, 4), x=5) == P(5, 4)"
            ),
        ),
        (
            ("import pathlib, uuid\ndef f(): return uuid.UUID(int=1)\ndef g(): return pathlib.Path('a') / 'b'"),
            ("import pathlib, uuid\nassert f() == uuid.UUID(int=1) and g() == pathlib.Path('a/b')"),
        ),
        (
            ("import sys\ndef f(): sys.exit(3)"),
            ("try:\n    f()\nexcept SystemExit as error:\n    assert error.code == 3\nelse:\n    assert False"),
        ),
        (
            ("def f(rows): rows[0].append(1)\ndef g(d): d['n'] = d.get('n', 0) + 1"),
            ("a = [[0]]\nf(a)\nassert a == [[0, 1]]\nd = {}\ng(d)\ng(d)\nassert d == {'n': 2}"),
        ),
        (
            (
                "import functools\n"
                "class A:\n"
                "    n=0\n"
                "    @functools.cached_property\n"
                "    def x(self):\n"
                "        A.n+=1\n"
                "        return [1]\n"
                ""
            ),
            ("a=A()\nassert a.x is a.x and A.n==1\na.x.append(2)\nassert a.x==[1,2]"),
        ),
        (
            (
                "from typing import NamedTuple\n"
                "class P(NamedTuple):\n"
                "    x:int\n"
                "    y:int=0\n"
                "    def norm(self): return self.x+self.y\n"
                "def f(): return P(1,2)"
            ),
            (
                "p=f()\n"
                "a,b=p\n"
                "assert (a,b)==(1,2) and p._replace(x=5)==(5,2) and p.norm()==3 and isinstance(p,tuple) and "
                "isinstance(p,P) and p._fields==('x','y') and P(3)==P(3,0) and p._asdict()=={'x':1,'y':2} and "
                "len(p)==2 and p<P(2)"
            ),
        ),
        (
            ("class O:\n    def __init__(s,x): s.x=x\ndef f(n): return [O(i) for i in n]"),
            (
                "a=f([3,1,2])\n"
                "a.sort(key=lambda o:o.x)\n"
                "assert [o.x for o in a]==[1,2,3]\n"
                "b=sorted(f([2,1]),key=lambda o:-o.x)\n"
                "assert b[0].x==2 and max(a,key=lambda o:o.x) is a[2]"
            ),
        ),
        (
            (
                "def f(items): return sorted(items)\n"
                "def g(items,cls): return [isinstance(i,cls) for i in items], callable(items[0].m)"
            ),
            (
                "class T:\n"
                "    def __init__(s,k): s.k=k\n"
                "    def __lt__(s,o): return s.k<o.k\n"
                "    def m(s): pass\n"
                "a,b=T(2),T(1)\n"
                "assert f([a,b])==[b,a] and f([a,b])[0] is b and g([a],T)==([True],True) and "
                "g([a],int)==([False],True)"
            ),
        ),
        (
            (
                "class M(type):\n"
                "    def __call__(cls,*a):\n"
                "        if not hasattr(cls,'_i'): cls._i=super().__call__(*a)\n"
                "        return cls._i\n"
                "class S(metaclass=M):\n"
                "    def __init__(s,v=0): s.v=v"
            ),
            ("assert S(1) is S(2) and S().v==1"),
        ),
        (
            (
                "class K:\n"
                "    def __init__(s,n): s.n=n\n"
                "    def __hash__(s): return hash(s.n)\n"
                "    def __eq__(s,o): return isinstance(o,K) and s.n==o.n\n"
                "def f(): return {K(1):'a',K(2):'b'}"
            ),
            (
                "d=f()\n"
                "assert d[K(1)]=='a' and K(2) in d and K(3) not in d and len({K(1),K(1)})==1 and {k.n for k in "
                "d}=={1,2}"
            ),
        ),
        (
            ("import re\ndef f(s): return re.match(r'(\\d+)-(\\w+)',s)"),
            (
                "m=f('12-ab')\n"
                "assert m and m.group(1)=='12' and m.groups()==('12','ab') and m.span()==(0,5) and f('x') is "
                "None and m[2]=='ab'"
            ),
        ),
        (
            (
                "class S(str):\n"
                "    def shout(self): return self.upper()+'!'\n"
                "    def upper(self): return 'U'+str.upper(self)\n"
                "def f(): return S('ab')"
            ),
            (
                "s=f()\n"
                "assert s=='ab' and s.shout()=='UAB!' and s.upper()=='UAB' and isinstance(s,str) and "
                "s+'c'=='abc' and {s:1}['ab']==1 and len(s)==2"
            ),
        ),
        (
            (
                "def f(it):\n"
                "    yield from it\n"
                "    yield 9\n"
                "def g(it): return next(it), list(it)\n"
                "import types\n"
                "def h(x): return isinstance(x, types.GeneratorType)"
            ),
            ("assert list(f(x for x in (1,2)))==[1,2,9] and g(iter('abc'))==('a',['b','c']) and h(x for x in ())"),
        ),
        (
            ("def f(n): return f(n+1)"),
            ("import pytest\nwith pytest.raises(RecursionError):\n    f(0)"),
        ),
        (
            (
                "class D(dict):\n"
                "    def __getattr__(s,k):\n"
                "        try: return s[k]\n"
                "        except KeyError: raise AttributeError(k)\n"
                "    def __setattr__(s,k,v): s[k]=v"
            ),
            (
                "d=D(a=1)\n"
                "assert d.a==1\n"
                "d.b=2\n"
                "assert d=={'a':1,'b':2} and d.b==2 and not hasattr(d,'zz')\n"
                "d['c']=3\n"
                "assert d.c==3"
            ),
        ),
        (
            (
                "class G:\n"
                "    def __getitem__(s,i):\n"
                "        if i>2: raise IndexError\n"
                "        return i*10\n"
                "    def __len__(s): return 3\n"
                "    def __reversed__(s): return iter([2,1])"
            ),
            ("g=G()\nassert list(g)==[0,10,20] and list(reversed(g))==[2,1] and 10 in g and len(g)==3"),
        ),
        (
            (
                "from collections import UserList, UserDict\n"
                "class L(UserList):\n"
                "    def total(s): return sum(s.data)\n"
                "class D(UserDict):\n"
                "    def __setitem__(s,k,v): super().__setitem__(k.lower(),v)"
            ),
            (
                "l=L([1,2])\n"
                "l.append(3)\n"
                "assert l.total()==6 and l==[1,2,3] and l[1]==2 and len(l)==3 and list(l)==[1,2,3]\n"
                "d=D()\n"
                "d['A']=1\n"
                "assert d['a']==1 and d=={'a':1} and 'a' in d"
            ),
        ),
        (
            (
                "from collections import OrderedDict\n"
                "class LRU:\n"
                "    def __init__(s,n): s.cache=OrderedDict(); s.n=n\n"
                "    def put(s,k,v):\n"
                "        s.cache[k]=v\n"
                "        s.cache.move_to_end(k)\n"
                "        if len(s.cache)>s.n: s.cache.popitem(last=False)\n"
                "    def get(s,k):\n"
                "        if k not in s.cache: return -1\n"
                "        s.cache.move_to_end(k)\n"
                "        return s.cache[k]"
            ),
            (
                "l=LRU(2)\n"
                "l.put(1,1); l.put(2,2)\n"
                "assert l.get(1)==1\n"
                "l.put(3,3)\n"
                "assert list(l.cache)==[1,3] and l.get(2)==-1\n"
                "l.cache.move_to_end(1)\n"
                "l.put(4,4)\n"
                "assert list(l.cache.items())==[(1,1),(4,4)]"
            ),
        ),
        (
            (
                "class E:\n"
                "    def __init__(s): s.h={}\n"
                "    def on(s,n,f): s.h.setdefault(n,[]).append(f)\n"
                "    def off(s,n,f): s.h[n].remove(f)\n"
                "    def emit(s,n,*a):\n"
                "        for f in list(s.h.get(n,[])): f(*a)"
            ),
            (
                "class R:\n"
                "    def __init__(s): s.got=[]\n"
                "    def rec(s,x): s.got.append(x)\n"
                "r=R()\n"
                "e=E()\n"
                "e.on('a',r.rec)\n"
                "e.emit('a',1)\n"
                "e.off('a',r.rec)\n"
                "e.emit('a',2)\n"
                "assert r.got==[1]"
            ),
        ),
        (
            ("def f(a,b): return a+b\ndef g(a): return -a, a*2, a[0], len(a), a==a, bool(a), str(a)"),
            (
                "class V:\n"
                "    def __init__(s,x): s.x=x\n"
                "    def __add__(s,o): return V(s.x+o.x)\n"
                "    def __neg__(s): return V(-s.x)\n"
                "    def __mul__(s,k): return V(s.x*k)\n"
                "    def __getitem__(s,i): return s.x\n"
                "    def __len__(s): return 4\n"
                "    def __str__(s): return 'V'\n"
                "    def __eq__(s,o): return s.x==o.x\n"
                "assert f(V(1),V(2)).x==3\n"
                "n,m,i,l,e,b,t=g(V(5))\n"
                "assert n.x==-5 and m.x==10 and (i,l,e,b,t)==(5,4,True,True,'V')"
            ),
        ),
        (
            ("class P:\n    def __init__(s): s.a=[1,2,3]\n    def __iter__(s): return iter(s.a)\ndef f(): return P()"),
            (
                "a,*b=f()\n"
                "assert a==1 and b==[2,3] and [*f(),4]==[1,2,3,4] and list(zip(f(),f()))[0]==(1,1) and "
                "next(iter(f()))==1 and max(f())==3"
            ),
        ),
        (
            ("from fractions import Fraction\ndef f(): return Fraction(1,3)"),
            (
                "from fractions import Fraction\n"
                "assert f()+Fraction(1,6)==Fraction(1,2) and f().numerator==1 and f()<1 and str(f())=='1/3' and "
                "f()*3==1"
            ),
        ),
        (
            (
                "from collections import defaultdict\n"
                "def tree(): return defaultdict(tree)\n"
                "def f():\n"
                "    t=tree()\n"
                "    t['a']['b']=1\n"
                "    return t"
            ),
            ("t=f()\nassert t['a']['b']==1\nt['x']['y']=2\nassert t['x']=={'y':2} and t=={'a':{'b':1},'x':{'y':2}}"),
        ),
        (
            ("def f(xs): return len(set(xs)), {x:1 for x in xs}"),
            ("class T: pass\na,b=T(),T()\nn,d=f([a,b,a])\nassert n==2 and d[a]==1 and list(d)==[a,b]"),
        ),
        (
            (
                "import threading\n"
                "class C:\n"
                "    def __init__(s): s.n=0; s.l=threading.Lock()\n"
                "    def inc(s):\n"
                "        with s.l: s.n+=1"
            ),
            (
                "import threading\n"
                "c=C()\n"
                "ts=[threading.Thread(target=lambda:[c.inc() for _ in range(20)]) for _ in range(4)]\n"
                "for t in ts: t.start()\n"
                "for t in ts: t.join()\n"
                "assert c.n==80"
            ),
        ),
        (
            ("def f(x): return x*x"),
            (
                "from concurrent.futures import ThreadPoolExecutor\n"
                "with ThreadPoolExecutor(4) as p:\n"
                "    assert list(p.map(f,range(50)))==[x*x for x in range(50)]"
            ),
        ),
        (
            (
                "from typing import Protocol, Generic, TypeVar\n"
                "T=TypeVar('T')\n"
                "class St(Generic[T]):\n"
                "    def __init__(s): s.i=[]\n"
                "    def push(s,x:T): s.i.append(x)\n"
                "    def pop(s)->T: return s.i.pop()"
            ),
            ("s=St()\ns.push(1)\nassert s.pop()==1\nt=St[int]()\nt.push(2)\nassert t.i==[2]"),
        ),
        (
            ("import sys\ndef f(): print('e',file=sys.stderr)"),
            (
                "import io,contextlib\n"
                "b=io.StringIO()\n"
                "with contextlib.redirect_stderr(b): f()\n"
                "assert b.getvalue()=='e\\n'"
            ),
        ),
        (
            ("import random\ndef f(): return random.random()"),
            ("import random\nrandom.seed(3)\na=f()\nrandom.seed(3)\nassert f()==a==random.Random(3).random()"),
        ),
        (
            ("import json\ndef f(fh): return json.load(fh)"),
            ("import io\nassert f(io.StringIO('{\"a\":[1]}'))=={'a':[1]}"),
        ),
        (
            (
                "class Q:\n"
                "    def __init__(s): s.q=[]\n"
                "    def put(s,x): s.q.append(x)\n"
                "    def __iter__(s):\n"
                "        while s.q: yield s.q.pop(0)"
            ),
            (
                "q=Q()\n"
                "q.put(1); q.put(2)\n"
                "out=[]\n"
                "for x in q:\n"
                "    out.append(x)\n"
                "    if x==1: q.put(3)\n"
                "assert out==[1,2,3]"
            ),
        ),
        (
            (
                "class N:\n"
                "    def __init__(s,v): s.v=v\n"
                "    def __repr__(s): return f'N({s.v})'\n"
                "    def __eq__(s,o): return s.v==o.v\n"
                "def f(): return [N(1),N(2)]"
            ),
            (
                "assert str(f())=='[N(1), N(2)]' and f()==[N(1),N(2)] and N(1) in f() and f().index(N(2))==1 "
                "and repr({'a':N(1)})==\"{'a': N(1)}\""
            ),
        ),
        (
            (
                "class M:\n"
                "    def __init__(s): s.d={}\n"
                "    def __setitem__(s,k,v): s.d[k]=v\n"
                "    def __delitem__(s,k): del s.d[k]\n"
                "    def __contains__(s,k): return k in s.d\n"
                "    def __len__(s): return len(s.d)"
            ),
            ("m=M()\nm['a']=1\ndel m['a']\nassert len(m)==0 and 'a' not in m"),
        ),
        (
            (
                "class T:\n"
                "    @classmethod\n"
                "    def of(cls,x): t=cls(); t.x=x; return t\n"
                "    @staticmethod\n"
                "    def add(a,b): return a+b\n"
                "    def __eq__(s,o): return s.x==o.x"
            ),
            ("assert T.of(3)==T.of(3) and T.add(1,2)==3 and T.of(4).x==4"),
        ),
        (
            (
                "class B:\n"
                "    def __init__(s,x): s.x=x\n"
                "    def __bool__(s): return s.x>0\n"
                "    def __int__(s): return s.x\n"
                "    def __index__(s): return s.x\n"
                "    def __complex__(s): return complex(s.x)\n"
                "    def __round__(s,n=0): return s.x\n"
                "    def __format__(s,f): return f+'!'\n"
                "    def __call__(s,*a,**k): return a,k\n"
                "    def __len__(s): return 5"
            ),
            (
                "assert not B(0) and B(1) and int(B(3))==3 and [1,2][B(1)]==2 and round(B(2))==2 and "
                "f'{B(1):z}'=='z!' and B(1)(1,k=2)==((1,),{'k':2}) and complex(B(2))==2 and len(B(0))==5"
            ),
        ),
    ],
)
def test_test_code_uses_the_objects_of_a_program(program, code):
    assert judge_asserts(program, code) is True
    assert judge_asserts(program, f"{code}\nassert False") is False


@pytest.mark.parametrize(
    ("program", "code"),
    [
        (
            (
                "class Any:\n"
                "    def __eq__(self, o): return True\n"
                "    __lt__ = __contains__ = __eq__\n"
                "def f(): return Any()"
            ),
            "assert f() == 7",
        ),
        (
            (
                "class Any:\n"
                "    def __contains__(self, o): return True\n"
                "    def __iter__(self): return iter(())\n"
                "def f(): return Any()"
            ),
            "assert 7 in f()",
        ),
        ("class Any:\n    def __sub__(self, o): return 0\ndef f(): return Any()", "assert abs(f() - 0.5) < 1e-6"),
        ("class Any(list):\n    def __eq__(self, o): return True\ndef f(): return Any()", "assert f() == [7]"),
        (
            ("class Any(int):\n    def __eq__(self, o): return True\n    __hash__ = None\ndef f(): return Any(3)"),
            "assert f() == 7",
        ),
        (
            ("class C:\n    def __enter__(self): return self\n    def __exit__(self, *error): return True"),
            "with C():\n    assert False",
        ),
        ("E = Exception\ndef f(): pass", "try:\n    f()\n    assert False\nexcept E:\n    pass"),
        ("class N:\n    E = AssertionError\ndef f(): return N()", "try:\n    assert False\nexcept f().E:\n    pass"),
        ("class E(StopIteration): pass\ndef f(x): raise E", "assert all(f(x) == y for x, y in [(1, 2)])"),
        (
            ("def f(g):\n    try:\n        g(1)\n    except AssertionError:\n        pass"),
            ("def must_be_two(x):\n    assert x == 2\nf(must_be_two)"),
        ),
        ("def f(g): return g.__globals__['expected']", "expected = 720\nassert f(lambda: 0) == 720"),
        ("def f(g): return g.__code__.co_consts[1]", "assert f(lambda: 720) == 720"),
        ("def f(g): return next(g).gi_frame.f_locals", "assert f(iter([x for x in 'a'])) == 1"),
    ],
)
def test_no_object_of_a_program_decides_a_comparison_with_data(program, code):
    assert judge_asserts(program, code) is False


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("class Mine(Stack):\n    pass\nassert len(Mine()) == 0", "derives a class"),
        (
            ("from unittest.mock import patch\nwith patch('random.random'):\n    assert len(Stack()) == 0"),
            "patches random.random",
        ),
        ("def test_it(tmp_path):\n    assert len(Stack()) == 0", "fixtures of pytest"),
        ("def check(candidate):\n    assert candidate() == 1", "never calls it"),
        ("import pytest\n@pytest.fixture\ndef one():\n    return 1\ndef test_it(one):\n    pass", "pytest.fixture"),
        ("import inspect\nassert inspect.signature(Stack.push)", "inspect.signature"),
        ("from inspect import getsource\nassert getsource(Stack)", "inspect.getsource"),
        ("import doctest\nassert doctest.testmod().failed == 0", "doctest.testmod"),
        ("import pandas\nassert len(Stack()) == 0", "pandas"),
        ("import os\nos.environ['A'] = '1'\nassert len(Stack()) == 0", "os.environ['A']"),
        ("import sys\nsys.argv = ['a']\nassert len(Stack()) == 0", "sys.argv"),
        (
            "from unittest import mock\nimport time\n"
            "with mock.patch.object(time, 'time'):\n    assert len(Stack()) == 0",
            "patches time.time",
        ),
        (
            "from unittest.mock import patch\nwith patch.dict('os.environ', {}):\n    assert len(Stack()) == 0",
            "patches os.environ",
        ),
        (
            "import unittest\nclass T(unittest.TestCase):\n    def test_it(self):\n"
            "        with self.assertLogs():\n            Stack()",
            "assertLogs",
        ),
        ("import no_such_package\nassert len(Stack()) == 0", "a test imports no_such_package"),
        ("import os\ndel os.environ['HOME']\nassert len(Stack()) == 0", "os.environ['HOME']"),
        (
            "import unittest.mock as m, time\nwith m.patch('time.time'):\n    assert len(Stack()) == 0",
            "patches time.time",
        ),
    ],
)
def test_what_two_processes_cannot_have_is_a_fault(code, reason):
    assert reason in judge_asserts(STACK, code)


@pytest.mark.parametrize("name", ["patch", "dispatch", "apply_patch"])
def test_a_function_whose_name_ends_in_patch_is_no_mock(name):
    program = f"def {name}(key, value=0):\n    return key * 2 + str(value)\n"
    assert judge_asserts(program, f"assert {name}('math', 2) == 'mathmath2'") is True
    method = f"class Table:\n    def {name}(self, key):\n        return key + '!'\n"
    assert judge_asserts(method, f"import json\nt = Table()\nassert t.{name}('json') == 'json!'") is True


@pytest.mark.parametrize(
    "code",
    [
        (
            "from solution import add\n"
            "def test_small():\n"
            "    assert add(1, 2) == 3\n"
            "def test_other():\n"
            "    assert add(1, 1) == 2"
        ),
        "import solution\ndef test_small():\n    assert solution.add(1, 2) == 3",
        (
            "import pytest\n"
            "@pytest.mark.parametrize('a, b, c', [(1, 2, 3), (0, 0, 0)])\n"
            "def test_all(a, b, c):\n"
            "    assert add(a, b) == c"
        ),
        (
            "import unittest\n"
            "class TestCases(unittest.TestCase):\n"
            "    def test_it(self):\n"
            "        self.assertEqual(add(1, 2), 3)"
        ),
        (
            "import unittest\n"
            "class TestAdd(unittest.TestCase):\n"
            "    def test_it(self):\n"
            "        self.assertEqual(add(1, 2), 3)\n"
            "if __name__ == '__main__':\n"
            "    unittest.main()"
        ),
        (
            "import pytest, sys\n"
            "def test_it():\n"
            "    assert add(1, 2) == 3\n"
            "if __name__ == '__main__':\n"
            "    sys.exit(pytest.main([__file__]))"
        ),
        (
            "from unittest import TestCase, main\n"
            "class Adding(TestCase):\n"
            "    def test_it(self):\n"
            "        self.assertEqual(add(1, 2), 3)\n"
            "main()"
        ),
        (
            "import unittest\n"
            "class TestAdd(unittest.TestCase):\n"
            "    def test_it(self):\n"
            "        self.assertEqual(add(1, 2), 3)\n"
            "suite = unittest.TestLoader().loadTestsFromTestCase(TestAdd)\n"
            "unittest.TextTestRunner().run(suite)"
        ),
        (
            "class TestAdd:\n"
            "    def setup_method(self):\n"
            "        self.one = 1\n"
            "    def test_it(self):\n"
            "        assert add(self.one, 2) == pytest.approx(3.0)"
        ),
    ],
)
def test_tests_that_nobody_calls_are_run(code):
    assert judge_asserts("def add(a, b): return a + b", code) is True
    assert judge_asserts("def add(a, b): return a - b", code) is False
    assert judge_asserts("def add(a, b): return a - b", code) is False


def test_humanevals_check_is_called_with_the_function_that_the_test_names():
    test = {"kind": "assert", "function": "f", "code": "def check(candidate):\n    assert candidate(2) == 4"}
    assert judge_program("def f(x): return 2 * x", [test]).ok
    assert not judge_program("def f(x): return x", [test]).ok


# Packages


def test_programs_and_tests_import_the_packages_that_are_allowed():
    pytest.importorskip("numpy")
    array_sum = "import numpy as np\nprint(np.array([3, 4]).sum())"
    for isolation in ("bubblewrap", "landlock"):
        verdict = judge_program(array_sum, [{"kind": "stdio", "input": "", "output": "7"}], isolation=isolation)
        assert verdict.ok
    doubled = "import numpy as np\ndef f(a): return np.array(a) * 2\ndef g(a): return np.mean(a)"
    code = (
        "import numpy as np\nassert np.allclose(f([1, 2]), [2, 4]) and f(np.ones(3)).shape == (3,) and g([1, 2]) == 1.5"
    )
    assert judge_asserts(doubled, code) is True
    assert (
        judge_asserts("def f(a): return [1.0000001]", ("import numpy as np\nassert np.isclose(f(0), [1]).all()"))
        is True
    )
    call = {"kind": "call", "function": "f", "args": [[1, 2]], "expected": [2, 4]}
    assert judge_program(doubled, [call]).ok
    assert not judge_program(doubled, [{**call, "expected": [2, 5]}]).ok


def test_a_package_that_is_missing_or_not_allowed_is_a_fault_that_is_said_once(monkeypatch, capsys):
    monkeypatch.setattr(program_tests, "_reasons_said", set())
    test = [{"kind": "stdio", "input": "", "output": "1"}]
    assert score("import numpy\nprint(1)", test, packages=[]) == FAULT
    assert score("import numpy, os\nprint(1)", test, packages=[]) == FAULT
    assert score("import statsmodels\nprint(1)", test) == FAULT
    assert score("import no_such_package\nprint(1)", test) == 0.0
    assert score("try:\n    import statsmodels\nexcept ImportError:\n    pass\nprint(1)", test) == 1.0
    stderr = capsys.readouterr().err
    assert stderr.count("programs may not import numpy; add it to the setting packages") == 1
    assert stderr.count("statsmodels is not installed here") == 1


def test_a_box_has_no_package_beside_those_that_are_allowed():
    program = "import pydantic\nprint(1)"
    verdict = judge_program(program, [{"kind": "stdio", "input": "", "output": "1"}])
    assert verdict.fault
    assert "programs may not import pydantic" in verdict.reason


@pytest.mark.parametrize("packages", ["numpy", [1], ["a b"], None, ["import"]])
def test_packages_must_be_names(packages):
    with pytest.raises(ValueError, match="packages"):
        accuracy([], packages=packages)


# What a prompt gives its program

PROMPT = '''Complete this function:

```python
import math
from typing import List

LIMIT = 10

def helper(x: float) -> float:
    return math.floor(x)

def total(numbers: List[float]) -> int:
    """Return the sum of the floors."""
```
'''
TOTAL_TESTS = [{"kind": "assert", "function": "total", "code": "assert total([1.5, 2.5]) == 3"}]


@pytest.mark.parametrize(
    "program",
    [
        "def total(numbers: List[float]) -> int:\n    return sum(math.floor(n) for n in numbers)",
        "def total(numbers):\n    return sum(map(helper, numbers))",
        "    return sum(map(helper, numbers))",
        "result = 0\n    for n in numbers:\n        result += helper(n)\n    return min(result, LIMIT)",
        "for n in numbers:\n        if n < 0:\n            return 0\n    return sum(map(helper, numbers))",
        "from math import floor as helper\ndef total(numbers): return sum(map(helper, numbers))",
        "total = lambda numbers: sum(map(helper, numbers))",
    ],
)
def test_the_code_of_a_prompt_belongs_to_the_program(program):
    assert judge_program(complete_program(program, PROMPT, TOTAL_TESTS), TOTAL_TESTS).ok


def test_the_imports_of_test_code_belong_to_the_program():
    test = [{"kind": "assert", "code": "from math import floor\nimport collections\nassert f(1.5) == 1"}]
    assert score("def f(x: collections.Counter):\n    return floor(x)", test) == 1.0
    assert score("def f(x):\n    return ceil(x)", test) == 0.0
    star = [{"kind": "assert", "code": "from math import *\nassert f(2) == 3"}]
    assert score("def f(x):\n    return pow(x, 3, 5) + floor(0.5)", star) == 1.0


@pytest.mark.parametrize("program", ["x = 1", "def other(): return 3", "    return 0", "print('total')"])
def test_a_prompt_does_not_solve_its_problem(program):
    solved = "Make this faster:\n```python\ndef total(numbers):\n    return 3\n```"
    for prompt in (PROMPT, solved):
        assert not judge_program(complete_program(program, prompt, TOTAL_TESTS), TOTAL_TESTS).ok


def test_names_of_typing_need_no_import():
    assert (
        score(
            ("def f(a: Optional[List[int]]) -> Dict[str, Any]:\n    return {}"),
            [{"kind": "call", "function": "f", "args": [None], "expected": {}}],
        )
        == 1.0
    )


# LeetCode

REVERSE = """
class Solution:
    def reverse(self, head{annotation}){result}:
        before = None
        while head:
            head.next, before, head = before, head, head.next
        return before
"""
REVERSE_TESTS = [
    {"kind": "call", "function": "reverse", "args": [[1, 2, 3]], "expected": [3, 2, 1]},
    {"kind": "call", "function": "reverse", "args": [[]], "expected": []},
]


def test_lists_and_trees_are_arguments_and_results():
    program = REVERSE.format(annotation=": Optional[ListNode]", result=" -> Optional[ListNode]")
    assert judge_program(program, REVERSE_TESTS).ok
    assert not judge_program(program, [{**REVERSE_TESTS[0], "expected": [3, 1, 2]}]).ok
    own_class = "class ListNode:\n    def __init__(self, x):\n        self.val, self.next = x, None\n" + program
    assert judge_program(own_class, REVERSE_TESTS).ok
    invert = """
class Solution:
    def invert(self, root: 'TreeNode') -> 'TreeNode | None':
        if root:
            root.left, root.right = self.invert(root.right), self.invert(root.left)
        return root
    def depths(self, trees: List[Optional[TreeNode]]) -> List[int]:
        depth = lambda node: 1 + max(depth(node.left), depth(node.right)) if node else 0
        return [depth(tree) for tree in trees]
"""
    tree = {"kind": "call", "function": "invert", "args": [[1, None, 2, 3]], "expected": [1, 2, None, None, 3]}
    depths = {"kind": "call", "function": "depths", "args": [[[1, 2, 3, 4], []]], "expected": [3, 0]}
    assert judge_program(invert, [tree, depths]).ok
    assert not judge_program(invert, [{**tree, "expected": [1, None, 2, None, 3]}]).ok


def test_a_node_of_a_tree_is_named_by_its_value():
    program = """
class Solution:
    def ancestor(self, root: TreeNode, p: TreeNode, q: TreeNode) -> TreeNode:
        while (root.val - p.val) * (root.val - q.val) > 0:
            root = root.left if p.val < root.val else root.right
        return root
"""
    test = {"kind": "call", "function": "ancestor", "args": [[6, 2, 8, 0, 4], 0, 4], "expected": 2}
    assert judge_program(program, [test]).ok
    assert not judge_program(program, [{**test, "expected": 6}]).ok


def test_the_prompts_signature_says_what_is_a_list_where_the_program_does_not():
    bare = REVERSE.format(annotation="", result="")
    starter = REVERSE.format(annotation=": Optional[ListNode]", result=" -> Optional[ListNode]").split(
        "        before"
    )[0]
    assert score(bare, REVERSE_TESTS, f"Reverse it.\n```python\n{starter}```") == 1.0
    assert complete_program(bare, f"```python\n{starter}```", REVERSE_TESTS).types == {
        "args": ["Optional[ListNode]"],
        "returns": "Optional[ListNode]",
    }


def test_leetcode_gives_its_names():
    pytest.importorskip("sortedcontainers")
    program = (
        "class Solution:\n"
        "    def f(self, a: List[int]):\n"
        "        h = list(a)\n"
        "        heapify(h)\n"
        "        return [SortedList(a)[0], heappop(h), gcd(4, 6), Counter(a)[1], inf > 1]"
    )
    assert judge_program(
        program, [{"kind": "call", "function": "f", "args": [[3, 1]], "expected": [1, 1, 2, 1, True]}]
    ).ok
    verdict = judge_program(program, [{"kind": "call", "function": "f", "args": [[3, 1]], "expected": 1}], packages=())
    assert verdict.fault
    assert "sortedcontainers" in verdict.reason


# A row's own checker

SUM_CHECKER = """
def check(input, output):
    a, b = map(int, output.split())
    return a + b == int(input) and a > 0 < b
"""
FILES_CHECKER = """
import sys
given, expected, printed = (open(name).read().split() for name in sys.argv[1:])
print(int(sorted(expected) == sorted(printed)))
"""


def test_a_checker_of_the_row_judges_an_output_or_a_result():
    test = {"kind": "checker", "input": "9", "code": SUM_CHECKER}
    assert judge_program("n = int(input())\nprint(1, n - 1)", [test]).ok
    for program in ("print(1, 2)", "print(0, 9)", "print('no number')", "print(1, 8)\n1 / 0"):
        assert not judge_program(program, [test]).ok
    files = {"kind": "checker", "input": "x", "output": "1 2", "code": FILES_CHECKER}
    assert judge_program("print(2, 1)", [files]).ok
    assert not judge_program("print(2, 2)", [files]).ok
    call = {
        "kind": "checker",
        "function": "f",
        "args": [4],
        "code": ("def check(args, result):\n    return sum(result) == args[0]"),
    }
    assert judge_program("def f(n): return [n - 1, 1]", [call]).ok
    assert not judge_program("def f(n): return [n]* 2", [call]).ok
    assert score("print(4, 5)", json.dumps([test])) == 1.0


def test_a_checker_that_is_broken_is_a_fault():
    verdict = judge_program(
        "print(1)", [{"kind": "checker", "input": "", "code": ("def check(a, b):\n    return nothing")}]
    )
    assert verdict.fault
    assert "nothing" in verdict.reason


def test_a_checker_without_a_verdict_is_a_fault():
    for code in ("import sys", "raise NameError('x')"):
        assert judge_program("print(1)", [{"kind": "checker", "input": "", "output": "", "code": code}]).fault
    by_exit_code = {"kind": "checker", "input": "", "code": "import sys\nsys.exit(int(sys.stdin.read()) - 1)"}
    assert judge_program("print(1)", [by_exit_code]).ok
    assert not judge_program("print(2)", [by_exit_code]).ok


def test_a_program_cannot_influence_its_checker():
    program = "import os\nopen('checker.py', 'w').write('print(1)')\nopen('expected.txt', 'w').write('5')\nprint(5)"
    assert not judge_program(program, [{"kind": "checker", "input": "", "output": "6", "code": FILES_CHECKER}]).ok


def test_fields_that_a_table_of_mixed_tests_leaves_empty_do_not_count():
    empty = {
        "code": None,
        "function": None,
        "args": None,
        "expected": None,
        "order": None,
        "input": None,
        "output": None,
    }
    assert score("print(1)", [{**empty, "kind": "stdio", "input": "", "output": "1"}]) == 1.0
    calls = [{**empty, "kind": "call", "function": "f", "args": [1]}, {**empty, "kind": "call", "function": "f"}]
    assert score("def f(x=0): return None if x else 2", [calls[0], {**calls[1], "args": [0], "expected": 2}]) == 1.0
    assert score("def f(): return 1", [{**empty, "kind": "assert", "code": "assert f() == 1"}]) == 1.0
    assert (
        score("print(1)", [{**empty, "kind": "checker", "code": "def check(i, o):\n    return o", "input": ""}]) == 1.0
    )


@pytest.mark.parametrize(
    "tests",
    [
        [{"kind": "stdio", "input": ""}],
        [{"kind": "checker", "code": "x = 1"}],
        [{"kind": "checker", "code": "def check(", "input": ""}],
        [{"kind": "call", "function": "f", "args": [], "expected": 1, "order": "random"}],
        [{"kind": "pytest"}],
        [3],
        "[{",
        7,
    ],
)
def test_broken_tests_are_a_fault(tests):
    assert score("print(1)", tests) == FAULT


@pytest.mark.parametrize(
    ("tests", "program"),
    [
        (["assert add(1, 2) == 3", "assert add(0, 0) == 0"], "def add(a, b): return a + b"),
        ({"inputs": ["1 2"], "outputs": ["3"]}, "print(sum(map(int, input().split())))"),
        ({"input": ["1 2"], "output": ["3"]}, "print(sum(map(int, input().split())))"),
        (
            {"fn_name": "add", "inputs": [[1, 2]], "outputs": [3]},
            "class Solution:\n    def add(self, a, b): return a + b",
        ),
        ([{"input": "1 2", "output": "3", "testtype": "stdin"}], "print(sum(map(int, input().split())))"),
        ({"functional": "assert add(1, 2) == 3"}, "def add(a, b): return a + b"),
    ],
)
def test_tests_may_be_as_data_sets_have_them(tests, program):
    for form in (tests, json.dumps(tests)):
        assert score(program, form) == 1.0
        assert score("def add(a, b): return 7\nprint(7)", form) == 0.0


def test_none_is_not_earned_by_doing_nothing(monkeypatch, capsys):
    monkeypatch.setattr(program_tests, "_reasons_said", set())
    test = {"kind": "call", "function": "f", "args": [[2, 1]], "expected": None}
    for program in ("def f(a): pass", "def f(a): a.sort()"):
        assert score(program, [test, test]) == FAULT
    after = {**test, "args_after": [[1, 2]]}
    assert score("def f(a): a.sort()", [after]) == 1.0
    assert score("def f(a): pass", [after]) == 0.0
    assert score("def f(a): pass", [{**after, "args_after": [1, 2]}, {**after, "args_after": "[1]"}]) == FAULT
    assert capsys.readouterr().err.count("a program that does nothing") == 1


def test_not_a_number_may_be_expected():
    [test] = json.loads('[{"kind": "call", "function": "f", "args": [], "expected": [NaN, 1.0]}]')
    assert judge_program("def f(): return [float('nan'), 1]", [test]).ok
    assert not judge_program("def f(): return [float('nan'), 2]", [test]).ok
    assert not judge_program("def f(): return [0.5, 1]", [test]).ok


def test_a_class_is_tested_by_a_list_of_its_methods():
    program = (
        "class Counter:\n"
        "    def __init__(self, start): self.count = start\n"
        "    def add(self, n): self.count += n\n"
        "    def total(self): return self.count"
    )
    calls = [["Counter", "add", "total"], [[1], [3], []]]
    test = {"kind": "call", "function": "Counter", "args": calls, "expected": [None, None, 4]}
    assert judge_program(program, [test]).ok
    assert not judge_program(program, [{**test, "expected": [None, None, 5]}]).ok
    assert not judge_program("def Counter(*args): return [None, None, 5]", [test]).ok


def test_a_program_that_exits_ends_no_test():
    code = "assert f(1) == 2\ndef test_it():\n    assert f(1) == 2"
    assert judge_asserts("import sys\ndef f(x): sys.exit(0)", code) is False
    assert judge_asserts("def f(x): return x + 1", code) is True
