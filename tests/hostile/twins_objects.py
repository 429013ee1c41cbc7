"""Pairs of a right and a wrong program under test code that uses objects, state and aliases of the program."""

from .case import Twin, asserts, twin

OBJECT_TWINS: list[Twin] = [
    twin(
        "in_place_sort",
        "a list that is sorted in place",
        """
def f(a):
    a.sort()
""",
        """
def f(a):
    a = sorted(a)
""",
        asserts(
            """
a = [3, 1, 2]
assert f(a) is None
assert a == [1, 2, 3]
"""
        ),
    ),
    twin(
        "in_place_row",
        "a row of a grid that is changed in place",
        """
def f(grid):
    for row in grid:
        row.reverse()
    grid.reverse()
""",
        """
def f(grid):
    grid.reverse()
""",
        asserts(
            """
g = [[1, 2], [3, 4]]
row = g[0]
f(g)
assert g == [[4, 3], [2, 1]] and row == [2, 1] and g[1] is row
"""
        ),
    ),
    twin(
        "keyword_in_place",
        "an argument by keyword that is changed in place",
        """
def f(*, items, extra):
    items.extend(extra)
""",
        """
def f(*, items, extra):
    items = items + extra
""",
        asserts(
            """
a = [1]
f(items=a, extra=[2])
assert a == [1, 2]
"""
        ),
    ),
    twin(
        "in_place_deque",
        "a deque that is rotated in place",
        """
def f(q):
    q.rotate(1)
    q.append(9)
""",
        """
def f(q):
    q = q.copy()
    q.rotate(1)
""",
        asserts(
            """
from collections import deque
q = deque([1, 2, 3])
f(q)
assert q == deque([3, 1, 2, 9])
"""
        ),
    ),
    twin(
        "in_place_counter",
        "a Counter that is changed in place",
        """
def f(c):
    c.update('ab')
    del c['z']
""",
        """
def f(c):
    c = c + c
""",
        asserts(
            """
from collections import Counter
c = Counter('az')
f(c)
assert c == Counter({'a': 2, 'b': 1})
"""
        ),
    ),
    twin(
        "in_place_bytes",
        "a bytearray that is changed in place",
        """
def f(data):
    data[0] = 65
    data.extend(b'!')
""",
        """
def f(data):
    return b'A' + bytes(data[1:]) + b'!'
""",
        asserts(
            """
d = bytearray(b'abc')
f(d)
assert d == b'Abc!' and isinstance(d, bytearray)
"""
        ),
    ),
    twin(
        "same_object",
        "the argument itself is returned",
        """
def f(a):
    a.append(1)
    return a
""",
        """
def f(a):
    return a + [1]
""",
        asserts(
            """
a = []
assert f(a) is a and a == [1]
"""
        ),
    ),
    twin(
        "no_alias",
        "a copy is returned and not the argument",
        """
def f(a):
    return [row[:] for row in a]
""",
        """
def f(a):
    return a[:]
""",
        asserts(
            """
a = [[1]]
b = f(a)
assert b == a and b is not a and b[0] is not a[0]
b[0].append(2)
assert a == [[1]]
"""
        ),
    ),
    twin(
        "rows_of_a_result",
        "the rows of a result are not one list",
        """
def f(n):
    return [[0] * n for _ in range(n)]
""",
        """
def f(n):
    return [[0] * n] * n
""",
        asserts(
            """
g = f(2)
g[0][0] = 1
assert g == [[1, 0], [0, 0]]
"""
        ),
    ),
    twin(
        "same_twice",
        "one list given twice",
        """
def f(a, b):
    return a is b
""",
        """
def f(a, b):
    return a is not b
""",
        asserts(
            """
a = [1]
assert f(a, a) and not f(a, [1])
"""
        ),
    ),
    twin(
        "kept_argument",
        "a class keeps the list that it is given",
        """
class Window:
    def __init__(self, data):
        self.data = data
    def total(self):
        return sum(self.data)
""",
        """
class Window:
    def __init__(self, data):
        self.data = list(data)
    def total(self):
        return sum(self.data)
""",
        asserts(
            """
d = [1, 2]
w = Window(d)
d.append(3)
assert w.total() == 6 and w.data is d
"""
        ),
    ),
    twin(
        "copied_argument",
        "a class copies the list that it is given",
        """
class Stack:
    def __init__(self, data):
        self.data = list(data)
    def push(self, x):
        self.data.append(x)
""",
        """
class Stack:
    def __init__(self, data):
        self.data = data
    def push(self, x):
        self.data.append(x)
""",
        asserts(
            """
d = [1, 2]
s = Stack(d)
s.push(3)
assert d == [1, 2] and s.data == [1, 2, 3]
"""
        ),
    ),
    twin(
        "default_argument",
        "a mutable default is not shared by the calls",
        """
def f(x, seen=None):
    seen = [] if seen is None else seen
    seen.append(x)
    return seen
""",
        """
def f(x, seen=[]):
    seen.append(x)
    return seen
""",
        asserts(
            """
a = f(1)
b = f(2)
assert a == [1] and b == [2] and f(3, a) is a and a == [1, 3]
"""
        ),
    ),
    twin(
        "nested_in_tuple",
        "a list within a tuple and a dict",
        """
def f(pair, table):
    pair[1].append(2)
    table['k']['n'] = 3
""",
        """
def f(pair, table):
    pair = (0, pair[1] + [2])
    table['k'] = {'n': 3}
""",
        asserts(
            """
inner = {'n': 0}
p, t = (1, [1]), {'k': inner}
f(p, t)
assert p == (1, [1, 2]) and inner == {'n': 3}
"""
        ),
    ),
    twin(
        "own_nodes",
        "a cyclic list made by the test",
        """
def f(a):
    return len(a) == 1 and a[0] is a
""",
        """
def f(a):
    return len(a) == 2
""",
        asserts(
            """
a = []
a.append(a)
assert f(a)
assert not f([1])
"""
        ),
    ),
    twin(
        "global_list",
        "a global list that grows",
        """
log = []
def record(x):
    log.append(x)
""",
        """
log = []
def record(x):
    pass
""",
        asserts(
            """
record(1)
assert log == [1]
record(2)
assert log == [1, 2]
log.clear()
record(3)
assert log == [3]
"""
        ),
    ),
    twin(
        "global_counter",
        "a global number that is bound anew",
        """
count = 0
def hit():
    global count
    count += 1
""",
        """
count = 0
def hit():
    count = 1
""",
        asserts(
            """
assert count == 0
hit()
hit()
assert count == 2
def test_more():
    hit()
    assert count == 3
test_more()
"""
        ),
    ),
    twin(
        "module_counter",
        "a number of the program's module",
        """
count = 0
log = []
def hit():
    global count, log
    count += 1
    log = log + [count]
""",
        """
count = 0
log = []
def hit():
    log.append(1)
""",
        asserts(
            """
import solution
def test_it():
    solution.hit()
    solution.hit()
    assert solution.count == 2 and solution.log == [1, 2]
    solution.count = 7
    solution.hit()
    assert solution.count == 8
"""
        ),
    ),
    twin(
        "global_dict",
        "a cache that a test looks into",
        """
cache = {}
def fib(n):
    if n not in cache:
        cache[n] = n if n < 2 else fib(n - 1) + fib(n - 2)
    return cache[n]
""",
        """
cache = {}
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
""",
        asserts("assert fib(10) == 55 and cache[10] == 55 and len(cache) == 11\n"),
    ),
    twin(
        "class_attribute",
        "a counter of a class",
        """
class Car:
    made = 0
    def __init__(self):
        Car.made += 1
    @staticmethod
    def wheels():
        return 4
""",
        """
class Car:
    made = 0
    def __init__(self):
        self.made += 1
    @staticmethod
    def wheels():
        return 4
""",
        asserts(
            """
Car()
Car()
assert Car.made == 2 and Car.wheels() == 4 == Car().wheels()
Car.made = 0
Car()
assert Car.made == 1
"""
        ),
    ),
    twin(
        "closure",
        "a counter in a closure",
        """
def make():
    n = 0
    def count(step=1):
        nonlocal n
        n += step
        return n
    return count
""",
        """
def make():
    def count(step=1):
        return step
    return count
""",
        asserts(
            """
a, b = make(), make()
assert a() == 1 and a(step=2) == 3 and b() == 1 and callable(a)
"""
        ),
    ),
    twin(
        "closures_in_a_list",
        "functions in a list and in a dict",
        """
def f(n):
    return [lambda x, k=k: x * k for k in range(n)], {'neg': lambda x: -x}
""",
        """
def f(n):
    return [lambda x: x * k for k in range(n)], {'neg': lambda x: -x}
""",
        asserts(
            """
fs, table = f(3)
assert [g(10) for g in fs] == [0, 10, 20] and table['neg'](3) == -3
"""
        ),
    ),
    twin(
        "partial",
        "functools.partial as a result and as an argument",
        """
import functools
def f(g, x):
    return functools.partial(g, x)
""",
        """
import functools
def f(g, x):
    return functools.partial(g, x, 1)
""",
        asserts(
            """
from functools import partial
assert f(pow, 2)(5) == 32 and f(partial(max, 3), 9)(4) == 9
"""
        ),
    ),
    twin(
        "generator_type",
        "a generator is one",
        """
def f(n):
    for i in range(n):
        yield [i]
""",
        """
def f(n):
    return [[i] for i in range(n)]
""",
        asserts(
            """
import types
from collections.abc import Iterator
from inspect import isgenerator
g = f(2)
assert isinstance(g, types.GeneratorType) and isinstance(g, Iterator) and isgenerator(g)
assert iter(g) is g and next(g) == [0] and list(g) == [[1]] and next(g, None) is None
"""
        ),
    ),
    twin(
        "generator_lazy",
        "a generator does nothing before it is asked",
        """
log = []
def f():
    log.append('start')
    yield 1
    log.append('end')
""",
        """
log = []
def f():
    log.append('start')
    log.append('end')
    return iter([1])
""",
        asserts(
            """
g = f()
assert log == []
assert next(g) == 1 and log == ['start']
assert list(g) == [] and log == ['start', 'end']
"""
        ),
    ),
    twin(
        "generator_of_argument",
        "a generator over a list that the test goes on changing",
        """
def f(a):
    for x in a:
        yield x * 2
""",
        """
def f(a):
    a = list(a)
    for x in a:
        yield x * 2
""",
        asserts(
            """
a = [1]
g = f(a)
assert next(g) == 2
a.append(5)
assert next(g) == 10
"""
        ),
    ),
    twin(
        "generator_return",
        "what a generator returns, and StopIteration",
        """
def f():
    yield 1
    return 'done'
""",
        """
def f():
    yield 1
""",
        asserts(
            """
g = f()
next(g)
try:
    next(g)
    assert False
except StopIteration as e:
    assert e.value == 'done'
"""
        ),
    ),
    twin(
        "own_iterator",
        "a class that is an iterator",
        """
class Count:
    def __init__(self, n):
        self.n = n
    def __iter__(self):
        return self
    def __next__(self):
        if self.n == 0:
            raise StopIteration
        self.n -= 1
        return self.n
""",
        """
class Count:
    def __init__(self, n):
        self.n = n
    def __iter__(self):
        return self
    def __next__(self):
        if self.n == 0:
            return None
        self.n -= 1
        return self.n
""",
        asserts(
            """
import pytest
from collections.abc import Iterable, Iterator
c = Count(2)
assert isinstance(c, Iterable) and isinstance(c, Iterator)
assert next(c) == 1 and next(c) == 0
with pytest.raises(StopIteration):
    next(c)
assert [x for x, _ in zip(Count(5), 'ab')] == [4, 3]
"""
        ),
    ),
    twin(
        "raises_stop_iteration",
        "a function that raises StopIteration",
        """
class Reader:
    def __init__(self, items):
        self.items = list(items)
    def read(self):
        if not self.items:
            raise StopIteration('no more')
        return self.items.pop(0)
""",
        """
class Reader:
    def __init__(self, items):
        self.items = list(items)
    def read(self):
        return self.items.pop(0)
""",
        asserts(
            """
r = Reader([1])
assert r.read() == 1
try:
    r.read()
except StopIteration as e:
    assert str(e) == 'no more'
else:
    assert False
"""
        ),
    ),
    twin(
        "zip_and_map",
        "lazy objects of Python as results",
        """
def f(a, b):
    return zip(a, b), map(str, a), enumerate(b), reversed(a), filter(None, b)
""",
        """
def f(a, b):
    return zip(b, a), map(str, a), enumerate(b), reversed(a), filter(None, b)
""",
        asserts(
            """
z, m, e, r, t = f([1, 2], [0, 5])
assert list(z) == [(1, 0), (2, 5)] and list(m) == ['1', '2']
assert dict(e) == {0: 0, 1: 5} and list(r) == [2, 1] and list(t) == [5]
"""
        ),
    ),
    twin(
        "decimal",
        "Decimal with its digits, context and special values",
        """
from decimal import Decimal, ROUND_HALF_UP
def f(x):
    return Decimal(x).quantize(Decimal('0.01'), rounding=ROUND_HALF_UP)
""",
        """
from decimal import Decimal
def f(x):
    return round(float(x), 2)
""",
        asserts(
            """
from decimal import Decimal, InvalidOperation
import pytest
assert f('2.675') == Decimal('2.68') and str(f('1')) == '1.00'
assert isinstance(f('3'), Decimal) and f(Decimal('1.005')) + 1 == Decimal('2.01')
with pytest.raises(InvalidOperation):
    f('x')
"""
        ),
    ),
    twin(
        "dates",
        "dates, times and zones",
        """
from datetime import datetime, date, time, timedelta, timezone
def f(day, n):
    return day + timedelta(days=n)
def g():
    return datetime(2024, 1, 5, 12, tzinfo=timezone.utc), time(1, 2), date(2024, 2, 29), timezone(timedelta(hours=2))
""",
        """
from datetime import datetime, date, time, timedelta, timezone
def f(day, n):
    return day + timedelta(days=n)
def g():
    return datetime(2024, 1, 5, 12), time(1, 2), date(2024, 2, 29), timezone(timedelta(hours=2))
""",
        asserts(
            """
from datetime import datetime, date, time, timedelta, timezone
assert f(date(2024, 2, 28), 2) == date(2024, 3, 1)
a, b, c, d = g()
assert a == datetime(2024, 1, 5, 12, tzinfo=timezone.utc) and a.tzinfo is timezone.utc
assert b == time(1, 2) and c.isoformat() == '2024-02-29' and type(c) is date
assert d.utcoffset(None) == timedelta(hours=2)
"""
        ),
    ),
    twin(
        "zone",
        "a time in a named zone",
        """
from datetime import datetime
from zoneinfo import ZoneInfo
def f():
    return datetime(2024, 7, 1, 12, tzinfo=ZoneInfo('UTC'))
""",
        """
from datetime import datetime
from zoneinfo import ZoneInfo
def f():
    return datetime(2024, 7, 1, 13, tzinfo=ZoneInfo('UTC'))
""",
        asserts(
            """
from datetime import datetime, timezone
d = f()
assert d == datetime(2024, 7, 1, 12, tzinfo=timezone.utc) and str(d.tzinfo) == 'UTC'
"""
        ),
    ),
    twin(
        "range_and_slice",
        "ranges and slices go both ways",
        """
def f(n):
    return range(0, n, 2), slice(1, n)
def g(r):
    return len(r), r[-1]
""",
        """
def f(n):
    return list(range(0, n, 2)), slice(1, n)
def g(r):
    return len(r), r[-1]
""",
        asserts(
            """
r, s = f(6)
assert r == range(0, 6, 2) and isinstance(r, range) and 'abcdefgh'[s] == 'bcdef' and g(range(3)) == (3, 2)
"""
        ),
    ),
    twin(
        "collections",
        "the classes of collections",
        """
from collections import deque, Counter, OrderedDict, defaultdict, ChainMap
def f():
    d = defaultdict(lambda: 7, a=1)
    o = OrderedDict(b=1, a=2)
    o.move_to_end('b')
    return deque([1, 2], maxlen=2), Counter('aab'), o, d, ChainMap({'a': 1}, {'b': 2})
""",
        """
from collections import deque, Counter, OrderedDict, defaultdict, ChainMap
def f():
    d = defaultdict(lambda: 7, a=1)
    o = OrderedDict(b=1, a=2)
    return deque([1, 2], maxlen=2), Counter('aab'), o, d, ChainMap({'a': 1}, {'b': 2})
""",
        asserts(
            """
from collections import deque, Counter, OrderedDict, defaultdict
q, c, o, d, m = f()
q.append(3)
assert q == deque([2, 3]) and q.maxlen == 2 and c.most_common() == [('a', 2), ('b', 1)] and c['z'] == 0
assert o == OrderedDict([('a', 2), ('b', 1)]) and list(o) == ['a', 'b'] and isinstance(d, defaultdict)
assert d['a'] == 1 and d['q'] == 7 and dict(d) == {'a': 1, 'q': 7} and m['b'] == 2 and dict(m) == {'b': 2, 'a': 1}
"""
        ),
    ),
    twin(
        "more_values",
        "arrays, complex numbers, paths, patterns, addresses, templates",
        """
import array, pathlib, re, ipaddress, uuid, types
def f():
    return array.array('i', [1, 2]), 1 + 2j, pathlib.PurePosixPath('a/b'), re.compile('a+', re.I)
def g():
    address = ipaddress.ip_address('10.0.0.1')
    return address, uuid.UUID(int=5), types.SimpleNamespace(a=1), frozenset([1]), memoryview(b'ab')
""",
        """
import array, pathlib, re, ipaddress, uuid, types
def f():
    return array.array('i', [1, 3]), 1 + 2j, pathlib.PurePosixPath('a/b'), re.compile('a+', re.I)
def g():
    address = ipaddress.ip_address('10.0.0.1')
    return address, uuid.UUID(int=5), types.SimpleNamespace(a=1), frozenset([1]), memoryview(b'ab')
""",
        asserts(
            """
import array, pathlib, re, ipaddress, uuid, types
a, c, p, r = f()
assert a == array.array('i', [1, 2]) and c == 1 + 2j and p == pathlib.PurePosixPath('a/b') and r.match('AA')
assert r.pattern == 'a+'
i, u, n, s, m = g()
assert i == ipaddress.ip_address('10.0.0.1') and u.int == 5 and n.a == 1 and s == {1} and bytes(m) == b'ab'
assert n == types.SimpleNamespace(a=1)
"""
        ),
    ),
    twin(
        "dict_views",
        "views of a dict",
        """
def f(d):
    return d.keys(), d.values(), d.items()
""",
        """
def f(d):
    return d.values(), d.keys(), d.items()
""",
        asserts(
            """
k, v, i = f({'a': 1})
assert k == {'a'} and list(v) == [1] and list(i) == [('a', 1)] and 'a' in k and sorted(k) == ['a']
"""
        ),
    ),
    twin(
        "error_hierarchy",
        "own exceptions and their bases",
        """
class AppError(Exception):
    pass
class NotFound(AppError, KeyError):
    def __init__(self, name):
        super().__init__(f'no {name}')
        self.name = name
def f(name):
    raise NotFound(name)
""",
        """
class AppError(Exception):
    pass
class NotFound(AppError):
    def __init__(self, name):
        super().__init__(f'no {name}')
        self.name = name
def f(name):
    raise NotFound(name)
""",
        asserts(
            """
import pytest
with pytest.raises(AppError) as info:
    f('x')
assert info.value.name == 'x' and info.type is NotFound and 'no x' in str(info.value)
try:
    f('y')
except KeyError as e:
    assert e.args == ('no y',) and isinstance(e, NotFound)
"""
        ),
    ),
    twin(
        "error_cause",
        "an exception's cause and context",
        """
class Bad(Exception):
    pass
def f(x):
    try:
        return int(x)
    except ValueError as error:
        raise Bad('bad') from error
""",
        """
class Bad(Exception):
    pass
def f(x):
    try:
        return int(x)
    except ValueError as error:
        raise Bad('bad') from None
""",
        asserts(
            """
try:
    f('x')
except Bad as e:
    assert isinstance(e.__cause__, ValueError) and 'invalid literal' in str(e.__cause__)
    assert e.__context__ is e.__cause__
else:
    assert False
"""
        ),
    ),
    twin(
        "error_as_value",
        "an exception as a result, made by the test, and caught by the program",
        """
class Bad(ValueError):
    pass
def f(g):
    try:
        g()
    except Bad as error:
        return error
    except ZeroDivisionError:
        return 'zero'
""",
        """
class Bad(ValueError):
    pass
def f(g):
    try:
        g()
    except Bad as error:
        return ValueError(*error.args)
    except ZeroDivisionError:
        return 'zero'
""",
        asserts(
            """
def fails():
    raise Bad('no', 3)
e = f(fails)
assert isinstance(e, Bad) and e.args == ('no', 3)
assert f(lambda: 1 / 0) == 'zero'
try:
    raise Bad('mine')
except Bad as e:
    assert str(e) == 'mine'
"""
        ),
    ),
    twin(
        "error_builtin_details",
        "the details of Python's own exceptions",
        """
def f(d, k):
    return d[k]
def g(n):
    assert n > 0, 'must be positive'
    return n
def h():
    return open('/nowhere/file')
""",
        """
def f(d, k):
    return d.get(k)
def g(n):
    assert n > 0, 'must be positive'
    return n
def h():
    return open('/nowhere/file')
""",
        asserts(
            """
import errno
import pytest
with pytest.raises(KeyError, match='q'):
    f({}, 'q')
with pytest.raises(AssertionError, match='positive'):
    g(0)
with pytest.raises(FileNotFoundError) as info:
    h()
assert info.value.errno == errno.ENOENT and info.value.filename == '/nowhere/file'
"""
        ),
    ),
    twin(
        "error_group",
        "an exception group",
        """
def f():
    raise ExceptionGroup('many', [ValueError('a'), TypeError('b')])
""",
        """
def f():
    raise ExceptionGroup('many', [ValueError('a')])
""",
        asserts(
            """
try:
    f()
except ExceptionGroup as e:
    assert [type(x) for x in e.exceptions] == [ValueError, TypeError] and e.message == 'many'
else:
    assert False
"""
        ),
    ),
    twin(
        "error_notes",
        "notes and attributes of an exception",
        """
def f():
    error = ValueError('x')
    error.add_note('while parsing')
    error.line = 3
    raise error
""",
        """
def f():
    error = ValueError('x')
    error.line = 3
    raise error
""",
        asserts(
            """
try:
    f()
except ValueError as e:
    assert e.line == 3 and e.__notes__ == ['while parsing']
else:
    assert False
"""
        ),
    ),
    twin(
        "warning",
        "a warning that the test records",
        """
import warnings
def f():
    warnings.warn('old', DeprecationWarning)
    return 1
""",
        """
import warnings
def f():
    return 1
""",
        asserts(
            """
import warnings
with warnings.catch_warnings(record=True) as w:
    warnings.simplefilter('always')
    assert f() == 1
assert len(w) == 1 and issubclass(w[0].category, DeprecationWarning) and 'old' in str(w[0].message)
"""
        ),
    ),
    twin(
        "warning_pytest",
        "a warning that pytest and unittest expect, of an own class",
        """
import warnings
class Old(UserWarning):
    pass
def f(x):
    if x < 0:
        warnings.warn('negative', Old)
    return x
""",
        """
import warnings
class Old(UserWarning):
    pass
def f(x):
    if x < 0:
        warnings.warn('negative', RuntimeWarning)
    return x
""",
        asserts(
            """
import pytest, unittest
def test_it():
    with pytest.warns(Old, match='neg'):
        assert f(-1) == -1
class TestF(unittest.TestCase):
    def test_f(self):
        with self.assertWarns(Old):
            f(-1)
"""
        ),
    ),
    twin(
        "own_dict",
        "a class of dicts",
        """
class Lower(dict):
    def __setitem__(self, k, v):
        super().__setitem__(k.lower(), v)
    def __missing__(self, k):
        return 'none'
    def top(self):
        return max(self, key=self.get)
""",
        """
class Lower(dict):
    def __missing__(self, k):
        return 'none'
    def top(self):
        return max(self, key=self.get)
""",
        asserts(
            """
import json
d = Lower()
d['A'] = 1
d['b'] = 2
assert isinstance(d, dict) and isinstance(d, Lower) and d == {'a': 1, 'b': 2}
assert d['a'] == 1 and d['q'] == 'none' and d.top() == 'b' and json.dumps(d) == '{"a": 1, "b": 2}'
d.update(c=3)
assert len(d) == 3 and d.top() == 'c' and {**d} == {'a': 1, 'b': 2, 'c': 3} and list(d.items())[0] == ('a', 1)
del d['c']
assert 'c' not in d and d.top() == 'b' and d != {}
"""
        ),
    ),
    twin(
        "own_list",
        "a class of lists",
        """
class Bag(list):
    limit = 3
    def append(self, x):
        if len(self) < self.limit:
            super().append(x)
    def total(self):
        return sum(self)
def f():
    return Bag([1, 2])
""",
        """
class Bag(list):
    limit = 3
    def total(self):
        return sum(self)
def f():
    return Bag([1, 2])
""",
        asserts(
            """
b = f()
b.append(3)
b.append(4)
assert isinstance(b, list) and b == [1, 2, 3] and [0] + b == [0, 1, 2, 3] and b.total() == 6
b[0] = 5
assert b.total() == 10 and sorted(b) == [2, 3, 5] and b[-1] == 3 and b[:2] == [5, 2]
b.sort()
assert b == [2, 3, 5] and b.total() == 10
"""
        ),
    ),
    twin(
        "own_set",
        "classes of sets, deques and counters",
        """
from collections import Counter, deque
class Tags(set):
    def joined(self):
        return ','.join(sorted(self))
class Ring(deque):
    def turn(self):
        self.rotate(1)
class Votes(Counter):
    def winner(self):
        return self.most_common(1)[0][0]
""",
        """
from collections import Counter, deque
class Tags(set):
    def joined(self):
        return ','.join(sorted(self))
class Ring(deque):
    def turn(self):
        self.rotate(2)
class Votes(Counter):
    def winner(self):
        return self.most_common(1)[0][0]
""",
        asserts(
            """
from collections import Counter, deque
t = Tags('ba')
t.add('c')
assert t.joined() == 'a,b,c' and t == {'a', 'b', 'c'} and isinstance(t, set) and len(t & {'a'}) == 1
r = Ring([1, 2, 3])
r.turn()
assert list(r) == [3, 1, 2] and isinstance(r, deque) and r == deque([3, 1, 2])
v = Votes('aab')
v['b'] += 5
assert v.winner() == 'b' and v == Counter({'b': 6, 'a': 2}) and isinstance(v, Counter)
"""
        ),
    ),
    twin(
        "abstract",
        "an abstract class cannot be made",
        """
from abc import ABC, abstractmethod
class Shape(ABC):
    @abstractmethod
    def area(self): ...
class Square(Shape):
    def __init__(self, a):
        self.a = a
    def area(self):
        return self.a ** 2
""",
        """
class Shape:
    def area(self): ...
class Square(Shape):
    def __init__(self, a):
        self.a = a
    def area(self):
        return self.a ** 2
""",
        asserts(
            """
import pytest
from abc import ABC
with pytest.raises(TypeError):
    Shape()
s = Square(3)
assert s.area() == 9 and isinstance(s, Shape) and issubclass(Square, Shape) and issubclass(Shape, ABC)
"""
        ),
    ),
    twin(
        "properties",
        "properties with checks, slots and private names",
        """
class Celsius:
    __slots__ = ('_t',)
    def __init__(self, t=0):
        self.t = t
    @property
    def t(self):
        return self._t
    @t.setter
    def t(self, value):
        if value < -273.15:
            raise ValueError('too cold')
        self._t = value
""",
        """
class Celsius:
    def __init__(self, t=0):
        self.t = t
""",
        asserts(
            """
import pytest
c = Celsius(5)
c.t = 7
assert c.t == 7 and c._t == 7
with pytest.raises(ValueError, match='cold'):
    c.t = -300
with pytest.raises(AttributeError):
    c.other = 1
assert getattr(c, 'zzz', 9) == 9
"""
        ),
    ),
    twin(
        "operators",
        "operators of an own class with data and with each other",
        """
import functools
@functools.total_ordering
class Money:
    def __init__(self, n):
        self.n = n
    def __eq__(self, o):
        return self.n == (o.n if isinstance(o, Money) else o)
    def __lt__(self, o):
        return self.n < (o.n if isinstance(o, Money) else o)
    def __add__(self, o):
        return Money(self.n + (o.n if isinstance(o, Money) else o))
    __radd__ = __add__
    def __hash__(self):
        return hash(self.n)
    def __neg__(self):
        return Money(-self.n)
    def __float__(self):
        return float(self.n)
    def __iadd__(self, o):
        self.n += o
        return self
    def __repr__(self):
        return f'Money({self.n})'
""",
        """
import functools
@functools.total_ordering
class Money:
    def __init__(self, n):
        self.n = n
    def __eq__(self, o):
        return self.n == (o.n if isinstance(o, Money) else o)
    def __lt__(self, o):
        return self.n < (o.n if isinstance(o, Money) else o)
    def __add__(self, o):
        return Money(self.n + (o.n if isinstance(o, Money) else o))
    def __hash__(self):
        return hash(self.n)
    def __neg__(self):
        return Money(-self.n)
    def __float__(self):
        return float(self.n)
    def __iadd__(self, o):
        self.n += o
        return self
    def __repr__(self):
        return f'Money({self.n})'
""",
        asserts(
            """
a, b = Money(3), Money(4)
assert a + b == Money(7) == a + 4 and sum([a, b]) == Money(7) and a < b and b >= a and max(a, b) is b
assert a == 3 and a != 4 and a + b == 7 and -a == -3 and float(a) == 3.0 and {a: 1}[Money(3)] == 1 and a in [Money(3)]
c = a
c += 2
assert a is c and a == 5 and repr(a) == 'Money(5)' and sorted([b, a])[0] is b and a > 4
"""
        ),
    ),
    twin(
        "vectors",
        "operators of a class that the test does not name",
        """
class Vec:
    def __init__(self, *x):
        self.x = x
    def __mul__(self, k):
        return Vec(*(a * k for a in self.x))
    __rmul__ = __mul__
    def __matmul__(self, o):
        return sum(a * b for a, b in zip(self.x, o.x))
    def __eq__(self, o):
        return isinstance(o, Vec) and self.x == o.x
    def __getitem__(self, i):
        return self.x[i]
    def __len__(self):
        return len(self.x)
def vec(*x):
    return Vec(*x)
""",
        """
class Vec:
    def __init__(self, *x):
        self.x = x
    def __mul__(self, k):
        return Vec(*(a + k for a in self.x))
    __rmul__ = __mul__
    def __matmul__(self, o):
        return sum(a * b for a, b in zip(self.x, o.x))
    def __eq__(self, o):
        return isinstance(o, Vec) and self.x == o.x
    def __getitem__(self, i):
        return self.x[i]
    def __len__(self):
        return len(self.x)
def vec(*x):
    return Vec(*x)
""",
        asserts(
            """
v = vec(1, 2)
assert v * 3 == vec(3, 6) and 2 * v == vec(2, 4) and v @ v == 5 and v[1] == 2 and len(v) == 2
assert list(v) == [1, 2] and v != vec(1, 3)
"""
        ),
    ),
    twin(
        "enums",
        "enums, flags and their members",
        """
from enum import Enum, Flag, auto
class Color(Enum):
    RED = 'r'
    BLUE = 'b'
class Right(Flag):
    READ = auto()
    WRITE = auto()
def f(c):
    return Color.BLUE if c is Color.RED else Color.RED
def g():
    return Right.READ | Right.WRITE
""",
        """
from enum import Enum, Flag, auto
class Color(Enum):
    RED = 'r'
    BLUE = 'b'
class Right(Flag):
    READ = auto()
    WRITE = auto()
def f(c):
    return 'b' if c is Color.RED else 'r'
def g():
    return Right.READ | Right.WRITE
""",
        asserts(
            """
assert f(Color.RED) is Color.BLUE and f(Color.BLUE) == Color.RED != Color.BLUE and Color('r') is Color.RED
assert len(Color) == 2
assert [c.value for c in Color] == ['r', 'b'] and Right.READ in g() and isinstance(f(Color.RED), Color)
assert {Color.RED: 1}[Color('r')] == 1
"""
        ),
    ),
    twin(
        "dataclass",
        "dataclasses with orders and factories",
        """
from dataclasses import dataclass, field
@dataclass(order=True)
class Item:
    price: float
    name: str = field(compare=False)
    tags: list = field(default_factory=list, compare=False)
def cheapest(items):
    return min(items)
""",
        """
from dataclasses import dataclass, field
@dataclass(order=True)
class Item:
    price: float
    name: str = field(compare=False)
    tags: list = field(default_factory=list, compare=False)
def cheapest(items):
    return max(items)
""",
        asserts(
            """
from dataclasses import asdict, is_dataclass
a, b = Item(2.0, 'a'), Item(1.0, 'b')
a.tags.append('x')
assert cheapest([a, b]) is b and b.tags == [] and a.tags == ['x'] and a > b and is_dataclass(a)
assert asdict(b) == {'price': 1.0, 'name': 'b', 'tags': []} and Item(1.0, 'c') == b
"""
        ),
    ),
    twin(
        "linked_list",
        "a linked list of an own class, walked by the test",
        """
class Node:
    def __init__(self, val, next=None):
        self.val, self.next = val, next
class LinkedList:
    def __init__(self):
        self.head = None
    def push(self, v):
        self.head = Node(v, self.head)
    def reverse(self):
        before, node = None, self.head
        while node:
            node.next, before, node = before, node, node.next
        self.head = before
""",
        """
class Node:
    def __init__(self, val, next=None):
        self.val, self.next = val, next
class LinkedList:
    def __init__(self):
        self.head = None
    def push(self, v):
        self.head = Node(v, self.head)
    def reverse(self):
        pass
""",
        asserts(
            """
def values(l):
    out, node = [], l.head
    while node is not None:
        out.append(node.val)
        node = node.next
    return out
l = LinkedList()
assert l.head is None
for i in range(4):
    l.push(i)
assert values(l) == [3, 2, 1, 0] and l.head != None
l.reverse()
assert values(l) == [0, 1, 2, 3]
l.head.val = 9
assert values(l)[0] == 9
"""
        ),
    ),
    twin(
        "callbacks",
        "functions and objects of the test that the program calls and changes",
        """
class Bus:
    def __init__(self):
        self.subs = []
    def on(self, f):
        self.subs.append(f)
        return f
    def emit(self, *a, **k):
        return [f(*a, **k) for f in self.subs]
def fill(obj):
    obj.items.append(5)
    obj.count += 1
""",
        """
class Bus:
    def __init__(self):
        self.subs = []
    def on(self, f):
        self.subs.append(f)
        return f
    def emit(self, *a, **k):
        return [f(*a, **k) for f in self.subs[:1]]
def fill(obj):
    obj.items.append(5)
    obj.count += 1
""",
        asserts(
            """
seen = []
bus = Bus()
@bus.on
def one(x, y=0):
    seen.append(x)
    return x + y
bus.on(seen.append)
assert bus.emit(3, **{}) == [3, None] and seen == [3, 3]
class Box:
    def __init__(self):
        self.items = []
        self.count = 0
b = Box()
fill(b)
assert b.items == [5] and b.count == 1
"""
        ),
    ),
    twin(
        "context_manager",
        "context managers: own, by contextlib, nested",
        """
import contextlib
log = []
class Guard:
    def __init__(self, n):
        self.n = n
    def __enter__(self):
        log.append(('in', self.n))
        return self
    def __exit__(self, t, e, tb):
        log.append(('out', self.n, t is not None))
        return False
@contextlib.contextmanager
def tag(name):
    log.append(name)
    yield name.upper()
    log.append('/' + name)
""",
        """
import contextlib
log = []
class Guard:
    def __init__(self, n):
        self.n = n
    def __enter__(self):
        log.append(('in', self.n))
        return self
    def __exit__(self, t, e, tb):
        return False
@contextlib.contextmanager
def tag(name):
    log.append(name)
    yield name.upper()
    log.append('/' + name)
""",
        asserts(
            """
with Guard(1) as g, tag('b') as t:
    assert g.n == 1 and t == 'B'
assert log == [('in', 1), 'b', '/b', ('out', 1, False)]
log.clear()
try:
    with Guard(2):
        raise KeyError('x')
except KeyError:
    pass
assert log == [('in', 2), ('out', 2, True)]
"""
        ),
    ),
    twin(
        "decorators",
        "decorators of the program on functions of the test",
        """
import functools
def retry(times):
    def deco(f):
        @functools.wraps(f)
        def run(*a, **k):
            for i in range(times):
                try:
                    return f(*a, **k)
                except ValueError:
                    if i == times - 1:
                        raise
        run.times = times
        return run
    return deco
""",
        """
import functools
def retry(times):
    def deco(f):
        @functools.wraps(f)
        def run(*a, **k):
            return f(*a, **k)
        run.times = times
        return run
    return deco
""",
        asserts(
            """
calls = []
@retry(3)
def work(x):
    calls.append(x)
    if len(calls) < 3:
        raise ValueError('again')
    return 'ok'
assert work(1) == 'ok' and calls == [1, 1, 1] and work.__name__ == 'work' and work.times == 3
"""
        ),
    ),
    twin(
        "isinstance_abc",
        "abstract classes of collections",
        """
from collections.abc import Mapping
class Env(Mapping):
    def __init__(self, d):
        self.d = d
    def __getitem__(self, k):
        return self.d[k]
    def __iter__(self):
        return iter(self.d)
    def __len__(self):
        return len(self.d)
""",
        """
class Env:
    def __init__(self, d):
        self.d = d
    def __getitem__(self, k):
        return self.d[k]
    def __iter__(self):
        return iter(self.d)
    def __len__(self):
        return len(self.d)
""",
        asserts(
            """
from collections.abc import Mapping, Sized, Iterable, Callable, Hashable
e = Env({'a': 1})
assert isinstance(e, Mapping) and isinstance(e, Sized) and isinstance(e, Iterable) and not isinstance(e, Callable)
assert e['a'] == 1 and 'a' in e and e.get('z', 5) == 5 and list(e.items()) == [('a', 1)]
assert dict(e) == {'a': 1} and e == {'a': 1}
"""
        ),
    ),
    twin(
        "singleton",
        "one object however often it is made",
        """
class One:
    _it = None
    def __new__(cls):
        if cls._it is None:
            cls._it = super().__new__(cls)
        return cls._it
""",
        """
class One:
    pass
""",
        asserts(
            """
a, b = One(), One()
a.x = 3
assert a is b and b.x == 3 and id(a) == id(b)
"""
        ),
    ),
    twin(
        "default_object_identity",
        "objects without == are equal to themselves alone",
        """
class T:
    pass
t = T()
def f(fresh):
    return T() if fresh else t
""",
        """
class T:
    pass
t = T()
def f(fresh):
    return T()
""",
        asserts(
            """
assert f(False) is f(False) and f(True) != f(True) and f(False) == f(False) and f(False) in [f(False)]
assert len({f(False), f(False), f(True)}) == 2
"""
        ),
    ),
    twin(
        "async_state",
        "async functions, queues and locks",
        """
import asyncio
class Bank:
    def __init__(self):
        self.n = 0
        self.lock = asyncio.Lock()
    async def add(self, k):
        async with self.lock:
            n = self.n
            await asyncio.sleep(0)
            self.n = n + k
        return self.n
""",
        """
import asyncio
class Bank:
    def __init__(self):
        self.n = 0
        self.lock = asyncio.Lock()
    async def add(self, k):
        n = self.n
        await asyncio.sleep(0)
        self.n = n + k
        return self.n
""",
        asserts(
            """
import asyncio
async def run():
    b = Bank()
    await asyncio.gather(*(b.add(1) for _ in range(5)))
    return b.n
assert asyncio.run(run()) == 5
"""
        ),
    ),
    twin(
        "random_seed",
        "a generator of random numbers that the test hands over",
        """
def f(rng, n):
    return [rng.randint(1, 6) for _ in range(n)]
""",
        """
def f(rng, n):
    return [rng.randint(1, 7) for _ in range(n)]
""",
        asserts(
            """
import random
assert f(random.Random(3), 5) == [random.Random(3).randint(1, 6) for _ in range(1)] + f(random.Random(3), 5)[1:]
assert all(1 <= x <= 6 for x in f(random.Random(1), 200))
"""
        ),
    ),
    twin(
        "printed",
        "what a function prints, with its return value",
        """
def f(n):
    for i in range(n):
        print(i, end=' ')
    print()
    return n
""",
        """
def f(n):
    print(*range(n), end='')
    return n
""",
        asserts(
            r"""
import io
from contextlib import redirect_stdout
buf = io.StringIO()
with redirect_stdout(buf):
    assert f(3) == 3
assert buf.getvalue() == '0 1 2 \n'
"""
        ),
    ),
    twin(
        "streams",
        "text streams of the test and of the program",
        """
import io
def f(src, dst):
    for line in src:
        dst.write(line.upper())
    return io.StringIO('made')
""",
        """
import io
def f(src, dst):
    for line in src:
        dst.write(line)
    return io.StringIO('made')
""",
        asserts(
            r"""
import io
a, b = io.StringIO('x\ny\n'), io.StringIO()
r = f(a, b)
assert b.getvalue() == 'X\nY\n' and r.read() == 'made'
"""
        ),
    ),
    twin(
        "nan_and_inf",
        "special floats",
        """
def f():
    return float('nan'), float('inf'), -0.0
""",
        """
def f():
    return float('nan'), float('-inf'), -0.0
""",
        asserts(
            """
import math
a, b, c = f()
assert math.isnan(a) and b == math.inf and math.copysign(1, c) == -1
"""
        ),
    ),
    twin(
        "deep_values",
        "a value of many levels",
        """
def f(n):
    value = None
    for i in range(n):
        value = (i, value)
    return value
""",
        """
def f(n):
    value = None
    for i in range(n):
        value = (0, value)
    return value
""",
        asserts(
            """
v, n = f(150), 0
while v is not None:
    n, v = n + v[0], v[1]
assert n == 11175
"""
        ),
    ),
]
