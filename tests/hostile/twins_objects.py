"""Pairs of a right and a wrong program under test code that uses objects, state and aliases of the program."""

from .case import Twin, asserts, twin

OBJECT_TWINS: list[Twin] = [
    # --- arguments that are changed, and names for the same thing --------------------------------------------------
    twin(
        "in_place_sort",
        "a list that is sorted in place",
        "def f(a):\n    a.sort()\n",
        "def f(a):\n    a = sorted(a)\n",
        asserts("a = [3, 1, 2]\nassert f(a) is None\nassert a == [1, 2, 3]\n"),
    ),
    twin(
        "in_place_row",
        "a row of a grid that is changed in place",
        "def f(grid):\n    for row in grid:\n        row.reverse()\n    grid.reverse()\n",
        "def f(grid):\n    grid.reverse()\n",
        asserts(
            "g = [[1, 2], [3, 4]]\nrow = g[0]\nf(g)\nassert g == [[4, 3], [2, 1]] and row == [2, 1] and g[1] is row\n"
        ),
    ),
    twin(
        "keyword_in_place",
        "an argument by keyword that is changed in place",
        "def f(*, items, extra):\n    items.extend(extra)\n",
        "def f(*, items, extra):\n    items = items + extra\n",
        asserts("a = [1]\nf(items=a, extra=[2])\nassert a == [1, 2]\n"),
    ),
    twin(
        "in_place_deque",
        "a deque that is rotated in place",
        "def f(q):\n    q.rotate(1)\n    q.append(9)\n",
        "def f(q):\n    q = q.copy()\n    q.rotate(1)\n",
        asserts("from collections import deque\nq = deque([1, 2, 3])\nf(q)\nassert q == deque([3, 1, 2, 9])\n"),
    ),
    twin(
        "in_place_counter",
        "a Counter that is changed in place",
        "def f(c):\n    c.update('ab')\n    del c['z']\n",
        "def f(c):\n    c = c + c\n",
        asserts("from collections import Counter\nc = Counter('az')\nf(c)\nassert c == Counter({'a': 2, 'b': 1})\n"),
    ),
    twin(
        "in_place_bytes",
        "a bytearray that is changed in place",
        "def f(data):\n    data[0] = 65\n    data.extend(b'!')\n",
        "def f(data):\n    return b'A' + bytes(data[1:]) + b'!'\n",
        asserts("d = bytearray(b'abc')\nf(d)\nassert d == b'Abc!' and isinstance(d, bytearray)\n"),
    ),
    twin(
        "same_object",
        "the argument itself is returned",
        "def f(a):\n    a.append(1)\n    return a\n",
        "def f(a):\n    return a + [1]\n",
        asserts("a = []\nassert f(a) is a and a == [1]\n"),
    ),
    twin(
        "no_alias",
        "a copy is returned and not the argument",
        "def f(a):\n    return [row[:] for row in a]\n",
        "def f(a):\n    return a[:]\n",
        asserts(
            "a = [[1]]\nb = f(a)\nassert b == a and b is not a and b[0] is not a[0]\nb[0].append(2)\nassert a == [[1]]\n"
        ),
    ),
    twin(
        "rows_of_a_result",
        "the rows of a result are not one list",
        "def f(n):\n    return [[0] * n for _ in range(n)]\n",
        "def f(n):\n    return [[0] * n] * n\n",
        asserts("g = f(2)\ng[0][0] = 1\nassert g == [[1, 0], [0, 0]]\n"),
    ),
    twin(
        "same_twice",
        "one list given twice",
        "def f(a, b):\n    return a is b\n",
        "def f(a, b):\n    return a is not b\n",
        asserts("a = [1]\nassert f(a, a) and not f(a, [1])\n"),
    ),
    twin(
        "kept_argument",
        "a class keeps the list that it is given",
        "class Window:\n    def __init__(self, data):\n        self.data = data\n"
        "    def total(self):\n        return sum(self.data)\n",
        "class Window:\n    def __init__(self, data):\n        self.data = list(data)\n"
        "    def total(self):\n        return sum(self.data)\n",
        asserts("d = [1, 2]\nw = Window(d)\nd.append(3)\nassert w.total() == 6 and w.data is d\n"),
    ),
    twin(
        "copied_argument",
        "a class copies the list that it is given",
        "class Stack:\n    def __init__(self, data):\n        self.data = list(data)\n"
        "    def push(self, x):\n        self.data.append(x)\n",
        "class Stack:\n    def __init__(self, data):\n        self.data = data\n"
        "    def push(self, x):\n        self.data.append(x)\n",
        asserts("d = [1, 2]\ns = Stack(d)\ns.push(3)\nassert d == [1, 2] and s.data == [1, 2, 3]\n"),
    ),
    twin(
        "default_argument",
        "a mutable default is not shared by the calls",
        "def f(x, seen=None):\n    seen = [] if seen is None else seen\n    seen.append(x)\n    return seen\n",
        "def f(x, seen=[]):\n    seen.append(x)\n    return seen\n",
        asserts("a = f(1)\nb = f(2)\nassert a == [1] and b == [2] and f(3, a) is a and a == [1, 3]\n"),
    ),
    twin(
        "nested_in_tuple",
        "a list within a tuple and a dict",
        "def f(pair, table):\n    pair[1].append(2)\n    table['k']['n'] = 3\n",
        "def f(pair, table):\n    pair = (0, pair[1] + [2])\n    table['k'] = {'n': 3}\n",
        asserts(
            "inner = {'n': 0}\np, t = (1, [1]), {'k': inner}\nf(p, t)\nassert p == (1, [1, 2]) and inner == {'n': 3}\n"
        ),
    ),
    twin(
        "own_nodes",
        "a cyclic list made by the test",
        "def f(a):\n    return len(a) == 1 and a[0] is a\n",
        "def f(a):\n    return len(a) == 2\n",
        asserts("a = []\na.append(a)\nassert f(a)\nassert not f([1])\n"),
    ),
    # --- state of the program -------------------------------------------------------------------------------------
    twin(
        "global_list",
        "a global list that grows",
        "log = []\ndef record(x):\n    log.append(x)\n",
        "log = []\ndef record(x):\n    pass\n",
        asserts(
            "record(1)\nassert log == [1]\nrecord(2)\nassert log == [1, 2]\nlog.clear()\nrecord(3)\nassert log == [3]\n"
        ),
    ),
    twin(
        "global_counter",
        "a global number that is bound anew",
        "count = 0\ndef hit():\n    global count\n    count += 1\n",
        "count = 0\ndef hit():\n    count = 1\n",
        asserts(
            "assert count == 0\nhit()\nhit()\nassert count == 2\ndef test_more():\n    hit()\n    assert count == 3\ntest_more()\n"
        ),
    ),
    twin(
        "module_counter",
        "a number of the program's module",
        "count = 0\nlog = []\ndef hit():\n    global count, log\n    count += 1\n    log = log + [count]\n",
        "count = 0\nlog = []\ndef hit():\n    log.append(1)\n",
        asserts(
            "import solution\ndef test_it():\n    solution.hit()\n    solution.hit()\n"
            "    assert solution.count == 2 and solution.log == [1, 2]\n"
            "    solution.count = 7\n    solution.hit()\n    assert solution.count == 8\n"
        ),
    ),
    twin(
        "global_dict",
        "a cache that a test looks into",
        "cache = {}\ndef fib(n):\n    if n not in cache:\n        cache[n] = n if n < 2 else fib(n - 1) + fib(n - 2)\n    return cache[n]\n",
        "cache = {}\ndef fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\n",
        asserts("assert fib(10) == 55 and cache[10] == 55 and len(cache) == 11\n"),
    ),
    twin(
        "class_attribute",
        "a counter of a class",
        "class Car:\n    made = 0\n    def __init__(self):\n        Car.made += 1\n    @staticmethod\n    def wheels():\n        return 4\n",
        "class Car:\n    made = 0\n    def __init__(self):\n        self.made += 1\n    @staticmethod\n    def wheels():\n        return 4\n",
        asserts(
            "Car()\nCar()\nassert Car.made == 2 and Car.wheels() == 4 == Car().wheels()\nCar.made = 0\nCar()\nassert Car.made == 1\n"
        ),
    ),
    twin(
        "closure",
        "a counter in a closure",
        "def make():\n    n = 0\n    def count(step=1):\n        nonlocal n\n        n += step\n        return n\n    return count\n",
        "def make():\n    def count(step=1):\n        return step\n    return count\n",
        asserts("a, b = make(), make()\nassert a() == 1 and a(step=2) == 3 and b() == 1 and callable(a)\n"),
    ),
    twin(
        "closures_in_a_list",
        "functions in a list and in a dict",
        "def f(n):\n    return [lambda x, k=k: x * k for k in range(n)], {'neg': lambda x: -x}\n",
        "def f(n):\n    return [lambda x: x * k for k in range(n)], {'neg': lambda x: -x}\n",
        asserts("fs, table = f(3)\nassert [g(10) for g in fs] == [0, 10, 20] and table['neg'](3) == -3\n"),
    ),
    twin(
        "partial",
        "functools.partial as a result and as an argument",
        "import functools\ndef f(g, x):\n    return functools.partial(g, x)\n",
        "import functools\ndef f(g, x):\n    return functools.partial(g, x, 1)\n",
        asserts("from functools import partial\nassert f(pow, 2)(5) == 32 and f(partial(max, 3), 9)(4) == 9\n"),
    ),
    # --- generators and iterators ---------------------------------------------------------------------------------
    twin(
        "generator_type",
        "a generator is one",
        "def f(n):\n    for i in range(n):\n        yield [i]\n",
        "def f(n):\n    return [[i] for i in range(n)]\n",
        asserts(
            "import types\nfrom collections.abc import Iterator\nfrom inspect import isgenerator\ng = f(2)\n"
            "assert isinstance(g, types.GeneratorType) and isinstance(g, Iterator) and isgenerator(g)\n"
            "assert iter(g) is g and next(g) == [0] and list(g) == [[1]] and next(g, None) is None\n"
        ),
    ),
    twin(
        "generator_lazy",
        "a generator does nothing before it is asked",
        "log = []\ndef f():\n    log.append('start')\n    yield 1\n    log.append('end')\n",
        "log = []\ndef f():\n    log.append('start')\n    log.append('end')\n    return iter([1])\n",
        asserts(
            "g = f()\nassert log == []\nassert next(g) == 1 and log == ['start']\nassert list(g) == [] and log == ['start', 'end']\n"
        ),
    ),
    twin(
        "generator_of_argument",
        "a generator over a list that the test goes on changing",
        "def f(a):\n    for x in a:\n        yield x * 2\n",
        "def f(a):\n    a = list(a)\n    for x in a:\n        yield x * 2\n",
        asserts("a = [1]\ng = f(a)\nassert next(g) == 2\na.append(5)\nassert next(g) == 10\n"),
    ),
    twin(
        "generator_return",
        "what a generator returns, and StopIteration",
        "def f():\n    yield 1\n    return 'done'\n",
        "def f():\n    yield 1\n",
        asserts(
            "g = f()\nnext(g)\ntry:\n    next(g)\n    assert False\nexcept StopIteration as e:\n    assert e.value == 'done'\n"
        ),
    ),
    twin(
        "own_iterator",
        "a class that is an iterator",
        "class Count:\n    def __init__(self, n):\n        self.n = n\n    def __iter__(self):\n        return self\n"
        "    def __next__(self):\n        if self.n == 0:\n            raise StopIteration\n        self.n -= 1\n        return self.n\n",
        "class Count:\n    def __init__(self, n):\n        self.n = n\n    def __iter__(self):\n        return self\n"
        "    def __next__(self):\n        if self.n == 0:\n            return None\n        self.n -= 1\n        return self.n\n",
        asserts(
            "import pytest\nfrom collections.abc import Iterable, Iterator\nc = Count(2)\nassert isinstance(c, Iterable) and isinstance(c, Iterator)\n"
            "assert next(c) == 1 and next(c) == 0\nwith pytest.raises(StopIteration):\n    next(c)\nassert [x for x, _ in zip(Count(5), 'ab')] == [4, 3]\n"
        ),
    ),
    twin(
        "raises_stop_iteration",
        "a function that raises StopIteration",
        "class Reader:\n    def __init__(self, items):\n        self.items = list(items)\n    def read(self):\n        if not self.items:\n"
        "            raise StopIteration('no more')\n        return self.items.pop(0)\n",
        "class Reader:\n    def __init__(self, items):\n        self.items = list(items)\n    def read(self):\n        return self.items.pop(0)\n",
        asserts(
            "r = Reader([1])\nassert r.read() == 1\ntry:\n    r.read()\nexcept StopIteration as e:\n    assert str(e) == 'no more'\nelse:\n    assert False\n"
        ),
    ),
    twin(
        "zip_and_map",
        "lazy objects of Python as results",
        "def f(a, b):\n    return zip(a, b), map(str, a), enumerate(b), reversed(a), filter(None, b)\n",
        "def f(a, b):\n    return zip(b, a), map(str, a), enumerate(b), reversed(a), filter(None, b)\n",
        asserts(
            "z, m, e, r, t = f([1, 2], [0, 5])\nassert list(z) == [(1, 0), (2, 5)] and list(m) == ['1', '2']\n"
            "assert dict(e) == {0: 0, 1: 5} and list(r) == [2, 1] and list(t) == [5]\n"
        ),
    ),
    # --- values of the standard library ------------------------------------------------------------------------------
    twin(
        "decimal",
        "Decimal with its digits, context and special values",
        "from decimal import Decimal, ROUND_HALF_UP\ndef f(x):\n    return Decimal(x).quantize(Decimal('0.01'), rounding=ROUND_HALF_UP)\n",
        "from decimal import Decimal\ndef f(x):\n    return round(float(x), 2)\n",
        asserts(
            "from decimal import Decimal, InvalidOperation\nimport pytest\nassert f('2.675') == Decimal('2.68') and str(f('1')) == '1.00'\n"
            "assert isinstance(f('3'), Decimal) and f(Decimal('1.005')) + 1 == Decimal('2.01')\n"
            "with pytest.raises(InvalidOperation):\n    f('x')\n"
        ),
    ),
    twin(
        "dates",
        "dates, times and zones",
        "from datetime import datetime, date, time, timedelta, timezone\n"
        "def f(day, n):\n    return day + timedelta(days=n)\n"
        "def g():\n    return datetime(2024, 1, 5, 12, tzinfo=timezone.utc), time(1, 2), date(2024, 2, 29), timezone(timedelta(hours=2))\n",
        "from datetime import datetime, date, time, timedelta, timezone\n"
        "def f(day, n):\n    return day + timedelta(days=n)\n"
        "def g():\n    return datetime(2024, 1, 5, 12), time(1, 2), date(2024, 2, 29), timezone(timedelta(hours=2))\n",
        asserts(
            "from datetime import datetime, date, time, timedelta, timezone\nassert f(date(2024, 2, 28), 2) == date(2024, 3, 1)\n"
            "a, b, c, d = g()\nassert a == datetime(2024, 1, 5, 12, tzinfo=timezone.utc) and a.tzinfo is timezone.utc\n"
            "assert b == time(1, 2) and c.isoformat() == '2024-02-29' and type(c) is date and d.utcoffset(None) == timedelta(hours=2)\n"
        ),
    ),
    twin(
        "zone",
        "a time in a named zone",
        "from datetime import datetime\nfrom zoneinfo import ZoneInfo\ndef f():\n    return datetime(2024, 7, 1, 12, tzinfo=ZoneInfo('UTC'))\n",
        "from datetime import datetime\nfrom zoneinfo import ZoneInfo\ndef f():\n    return datetime(2024, 7, 1, 13, tzinfo=ZoneInfo('UTC'))\n",
        asserts(
            "from datetime import datetime, timezone\nd = f()\nassert d == datetime(2024, 7, 1, 12, tzinfo=timezone.utc) and str(d.tzinfo) == 'UTC'\n"
        ),
    ),
    twin(
        "range_and_slice",
        "ranges and slices go both ways",
        "def f(n):\n    return range(0, n, 2), slice(1, n)\ndef g(r):\n    return len(r), r[-1]\n",
        "def f(n):\n    return list(range(0, n, 2)), slice(1, n)\ndef g(r):\n    return len(r), r[-1]\n",
        asserts(
            "r, s = f(6)\nassert r == range(0, 6, 2) and isinstance(r, range) and 'abcdefgh'[s] == 'bcdef' and g(range(3)) == (3, 2)\n"
        ),
    ),
    twin(
        "collections",
        "the classes of collections",
        "from collections import deque, Counter, OrderedDict, defaultdict, ChainMap\n"
        "def f():\n    d = defaultdict(lambda: 7, a=1)\n    o = OrderedDict(b=1, a=2)\n    o.move_to_end('b')\n"
        "    return deque([1, 2], maxlen=2), Counter('aab'), o, d, ChainMap({'a': 1}, {'b': 2})\n",
        "from collections import deque, Counter, OrderedDict, defaultdict, ChainMap\n"
        "def f():\n    d = defaultdict(lambda: 7, a=1)\n    o = OrderedDict(b=1, a=2)\n"
        "    return deque([1, 2], maxlen=2), Counter('aab'), o, d, ChainMap({'a': 1}, {'b': 2})\n",
        asserts(
            "from collections import deque, Counter, OrderedDict, defaultdict\nq, c, o, d, m = f()\nq.append(3)\n"
            "assert q == deque([2, 3]) and q.maxlen == 2 and c.most_common() == [('a', 2), ('b', 1)] and c['z'] == 0\n"
            "assert o == OrderedDict([('a', 2), ('b', 1)]) and list(o) == ['a', 'b'] and isinstance(d, defaultdict)\n"
            "assert d['a'] == 1 and d['q'] == 7 and dict(d) == {'a': 1, 'q': 7} and m['b'] == 2 and dict(m) == {'b': 2, 'a': 1}\n"
        ),
    ),
    twin(
        "more_values",
        "arrays, complex numbers, paths, patterns, addresses, templates",
        "import array, pathlib, re, ipaddress, uuid, types\n"
        "def f():\n    return array.array('i', [1, 2]), 1 + 2j, pathlib.PurePosixPath('a/b'), re.compile('a+', re.I)\n"
        "def g():\n    return ipaddress.ip_address('10.0.0.1'), uuid.UUID(int=5), types.SimpleNamespace(a=1), frozenset([1]), memoryview(b'ab')\n",
        "import array, pathlib, re, ipaddress, uuid, types\n"
        "def f():\n    return array.array('i', [1, 3]), 1 + 2j, pathlib.PurePosixPath('a/b'), re.compile('a+', re.I)\n"
        "def g():\n    return ipaddress.ip_address('10.0.0.1'), uuid.UUID(int=5), types.SimpleNamespace(a=1), frozenset([1]), memoryview(b'ab')\n",
        asserts(
            "import array, pathlib, re, ipaddress, uuid, types\na, c, p, r = f()\n"
            "assert a == array.array('i', [1, 2]) and c == 1 + 2j and p == pathlib.PurePosixPath('a/b') and r.match('AA') and r.pattern == 'a+'\n"
            "i, u, n, s, m = g()\nassert i == ipaddress.ip_address('10.0.0.1') and u.int == 5 and n.a == 1 and s == {1} and bytes(m) == b'ab'\n"
            "assert n == types.SimpleNamespace(a=1)\n"
        ),
    ),
    twin(
        "dict_views",
        "views of a dict",
        "def f(d):\n    return d.keys(), d.values(), d.items()\n",
        "def f(d):\n    return d.values(), d.keys(), d.items()\n",
        asserts(
            "k, v, i = f({'a': 1})\nassert k == {'a'} and list(v) == [1] and list(i) == [('a', 1)] and 'a' in k and sorted(k) == ['a']\n"
        ),
    ),
    # --- exceptions -----------------------------------------------------------------------------------------------
    twin(
        "error_hierarchy",
        "own exceptions and their bases",
        "class AppError(Exception):\n    pass\nclass NotFound(AppError, KeyError):\n    def __init__(self, name):\n        super().__init__(f'no {name}')\n        self.name = name\n"
        "def f(name):\n    raise NotFound(name)\n",
        "class AppError(Exception):\n    pass\nclass NotFound(AppError):\n    def __init__(self, name):\n        super().__init__(f'no {name}')\n        self.name = name\n"
        "def f(name):\n    raise NotFound(name)\n",
        asserts(
            "import pytest\nwith pytest.raises(AppError) as info:\n    f('x')\nassert info.value.name == 'x' and info.type is NotFound and 'no x' in str(info.value)\n"
            "try:\n    f('y')\nexcept KeyError as e:\n    assert e.args == ('no y',) and isinstance(e, NotFound)\n"
        ),
    ),
    twin(
        "error_cause",
        "an exception's cause and context",
        "class Bad(Exception):\n    pass\ndef f(x):\n    try:\n        return int(x)\n    except ValueError as error:\n        raise Bad('bad') from error\n",
        "class Bad(Exception):\n    pass\ndef f(x):\n    try:\n        return int(x)\n    except ValueError as error:\n        raise Bad('bad') from None\n",
        asserts(
            "try:\n    f('x')\nexcept Bad as e:\n    assert isinstance(e.__cause__, ValueError) and 'invalid literal' in str(e.__cause__)\n"
            "    assert e.__context__ is e.__cause__\nelse:\n    assert False\n"
        ),
    ),
    twin(
        "error_as_value",
        "an exception as a result, made by the test, and caught by the program",
        "class Bad(ValueError):\n    pass\ndef f(g):\n    try:\n        g()\n    except Bad as error:\n        return error\n    except ZeroDivisionError:\n        return 'zero'\n",
        "class Bad(ValueError):\n    pass\ndef f(g):\n    try:\n        g()\n    except Bad as error:\n        return ValueError(*error.args)\n    except ZeroDivisionError:\n        return 'zero'\n",
        asserts(
            "def fails():\n    raise Bad('no', 3)\ne = f(fails)\nassert isinstance(e, Bad) and e.args == ('no', 3)\n"
            "assert f(lambda: 1 / 0) == 'zero'\ntry:\n    raise Bad('mine')\nexcept Bad as e:\n    assert str(e) == 'mine'\n"
        ),
    ),
    twin(
        "error_builtin_details",
        "the details of Python's own exceptions",
        "def f(d, k):\n    return d[k]\ndef g(n):\n    assert n > 0, 'must be positive'\n    return n\ndef h():\n    return open('/nowhere/file')\n",
        "def f(d, k):\n    return d.get(k)\ndef g(n):\n    assert n > 0, 'must be positive'\n    return n\ndef h():\n    return open('/nowhere/file')\n",
        asserts(
            "import errno\nimport pytest\nwith pytest.raises(KeyError, match='q'):\n    f({}, 'q')\nwith pytest.raises(AssertionError, match='positive'):\n    g(0)\n"
            "with pytest.raises(FileNotFoundError) as info:\n    h()\nassert info.value.errno == errno.ENOENT and info.value.filename == '/nowhere/file'\n"
        ),
    ),
    twin(
        "error_group",
        "an exception group",
        "def f():\n    raise ExceptionGroup('many', [ValueError('a'), TypeError('b')])\n",
        "def f():\n    raise ExceptionGroup('many', [ValueError('a')])\n",
        asserts(
            "try:\n    f()\nexcept ExceptionGroup as e:\n    assert [type(x) for x in e.exceptions] == [ValueError, TypeError] and e.message == 'many'\n"
            "else:\n    assert False\n"
        ),
    ),
    twin(
        "error_notes",
        "notes and attributes of an exception",
        "def f():\n    error = ValueError('x')\n    error.add_note('while parsing')\n    error.line = 3\n    raise error\n",
        "def f():\n    error = ValueError('x')\n    error.line = 3\n    raise error\n",
        asserts(
            "try:\n    f()\nexcept ValueError as e:\n    assert e.line == 3 and e.__notes__ == ['while parsing']\nelse:\n    assert False\n"
        ),
    ),
    twin(
        "warning",
        "a warning that the test records",
        "import warnings\ndef f():\n    warnings.warn('old', DeprecationWarning)\n    return 1\n",
        "import warnings\ndef f():\n    return 1\n",
        asserts(
            "import warnings\nwith warnings.catch_warnings(record=True) as w:\n    warnings.simplefilter('always')\n    assert f() == 1\n"
            "assert len(w) == 1 and issubclass(w[0].category, DeprecationWarning) and 'old' in str(w[0].message)\n"
        ),
    ),
    twin(
        "warning_pytest",
        "a warning that pytest and unittest expect, of an own class",
        "import warnings\nclass Old(UserWarning):\n    pass\ndef f(x):\n    if x < 0:\n        warnings.warn('negative', Old)\n    return x\n",
        "import warnings\nclass Old(UserWarning):\n    pass\ndef f(x):\n    if x < 0:\n        warnings.warn('negative', RuntimeWarning)\n    return x\n",
        asserts(
            "import pytest, unittest\ndef test_it():\n    with pytest.warns(Old, match='neg'):\n        assert f(-1) == -1\n"
            "class TestF(unittest.TestCase):\n    def test_f(self):\n        with self.assertWarns(Old):\n            f(-1)\n"
        ),
    ),
    # --- classes --------------------------------------------------------------------------------------------------
    twin(
        "own_dict",
        "a class of dicts",
        "class Lower(dict):\n    def __setitem__(self, k, v):\n        super().__setitem__(k.lower(), v)\n    def __missing__(self, k):\n        return 'none'\n    def top(self):\n        return max(self, key=self.get)\n",
        "class Lower(dict):\n    def __missing__(self, k):\n        return 'none'\n    def top(self):\n        return max(self, key=self.get)\n",
        asserts(
            "import json\nd = Lower()\nd['A'] = 1\nd['b'] = 2\nassert isinstance(d, dict) and isinstance(d, Lower) and d == {'a': 1, 'b': 2}\n"
            "assert d['a'] == 1 and d['q'] == 'none' and d.top() == 'b' and json.dumps(d) == '{\"a\": 1, \"b\": 2}'\n"
            "d.update(c=3)\nassert len(d) == 3 and d.top() == 'c' and {**d} == {'a': 1, 'b': 2, 'c': 3} and list(d.items())[0] == ('a', 1)\n"
            "del d['c']\nassert 'c' not in d and d.top() == 'b' and d != {}\n"
        ),
    ),
    twin(
        "own_list",
        "a class of lists",
        "class Bag(list):\n    limit = 3\n    def append(self, x):\n        if len(self) < self.limit:\n            super().append(x)\n    def total(self):\n        return sum(self)\ndef f():\n    return Bag([1, 2])\n",
        "class Bag(list):\n    limit = 3\n    def total(self):\n        return sum(self)\ndef f():\n    return Bag([1, 2])\n",
        asserts(
            "b = f()\nb.append(3)\nb.append(4)\nassert isinstance(b, list) and b == [1, 2, 3] and [0] + b == [0, 1, 2, 3] and b.total() == 6\n"
            "b[0] = 5\nassert b.total() == 10 and sorted(b) == [2, 3, 5] and b[-1] == 3 and b[:2] == [5, 2]\nb.sort()\nassert b == [2, 3, 5] and b.total() == 10\n"
        ),
    ),
    twin(
        "own_set",
        "classes of sets, deques and counters",
        "from collections import Counter, deque\nclass Tags(set):\n    def joined(self):\n        return ','.join(sorted(self))\nclass Ring(deque):\n    def turn(self):\n        self.rotate(1)\n"
        "class Votes(Counter):\n    def winner(self):\n        return self.most_common(1)[0][0]\n",
        "from collections import Counter, deque\nclass Tags(set):\n    def joined(self):\n        return ','.join(sorted(self))\nclass Ring(deque):\n    def turn(self):\n        self.rotate(2)\n"
        "class Votes(Counter):\n    def winner(self):\n        return self.most_common(1)[0][0]\n",
        asserts(
            "from collections import Counter, deque\nt = Tags('ba')\nt.add('c')\nassert t.joined() == 'a,b,c' and t == {'a', 'b', 'c'} and isinstance(t, set) and len(t & {'a'}) == 1\n"
            "r = Ring([1, 2, 3])\nr.turn()\nassert list(r) == [3, 1, 2] and isinstance(r, deque) and r == deque([3, 1, 2])\n"
            "v = Votes('aab')\nv['b'] += 5\nassert v.winner() == 'b' and v == Counter({'b': 6, 'a': 2}) and isinstance(v, Counter)\n"
        ),
    ),
    twin(
        "abstract",
        "an abstract class cannot be made",
        "from abc import ABC, abstractmethod\nclass Shape(ABC):\n    @abstractmethod\n    def area(self): ...\nclass Square(Shape):\n    def __init__(self, a):\n        self.a = a\n    def area(self):\n        return self.a ** 2\n",
        "class Shape:\n    def area(self): ...\nclass Square(Shape):\n    def __init__(self, a):\n        self.a = a\n    def area(self):\n        return self.a ** 2\n",
        asserts(
            "import pytest\nfrom abc import ABC\nwith pytest.raises(TypeError):\n    Shape()\ns = Square(3)\nassert s.area() == 9 and isinstance(s, Shape) and issubclass(Square, Shape) and issubclass(Shape, ABC)\n"
        ),
    ),
    twin(
        "properties",
        "properties with checks, slots and private names",
        "class Celsius:\n    __slots__ = ('_t',)\n    def __init__(self, t=0):\n        self.t = t\n    @property\n    def t(self):\n        return self._t\n    @t.setter\n    def t(self, value):\n"
        "        if value < -273.15:\n            raise ValueError('too cold')\n        self._t = value\n",
        "class Celsius:\n    def __init__(self, t=0):\n        self.t = t\n",
        asserts(
            "import pytest\nc = Celsius(5)\nc.t = 7\nassert c.t == 7 and c._t == 7\nwith pytest.raises(ValueError, match='cold'):\n    c.t = -300\n"
            "with pytest.raises(AttributeError):\n    c.other = 1\nassert getattr(c, 'zzz', 9) == 9\n"
        ),
    ),
    twin(
        "operators",
        "operators of an own class with data and with each other",
        "import functools\n@functools.total_ordering\nclass Money:\n    def __init__(self, n):\n        self.n = n\n    def __eq__(self, o):\n        return self.n == (o.n if isinstance(o, Money) else o)\n"
        "    def __lt__(self, o):\n        return self.n < (o.n if isinstance(o, Money) else o)\n    def __add__(self, o):\n        return Money(self.n + (o.n if isinstance(o, Money) else o))\n    __radd__ = __add__\n"
        "    def __hash__(self):\n        return hash(self.n)\n    def __neg__(self):\n        return Money(-self.n)\n    def __float__(self):\n        return float(self.n)\n    def __iadd__(self, o):\n        self.n += o\n        return self\n    def __repr__(self):\n        return f'Money({self.n})'\n",
        "import functools\n@functools.total_ordering\nclass Money:\n    def __init__(self, n):\n        self.n = n\n    def __eq__(self, o):\n        return self.n == (o.n if isinstance(o, Money) else o)\n"
        "    def __lt__(self, o):\n        return self.n < (o.n if isinstance(o, Money) else o)\n    def __add__(self, o):\n        return Money(self.n + (o.n if isinstance(o, Money) else o))\n"
        "    def __hash__(self):\n        return hash(self.n)\n    def __neg__(self):\n        return Money(-self.n)\n    def __float__(self):\n        return float(self.n)\n    def __iadd__(self, o):\n        self.n += o\n        return self\n    def __repr__(self):\n        return f'Money({self.n})'\n",
        asserts(
            "a, b = Money(3), Money(4)\nassert a + b == Money(7) == a + 4 and sum([a, b]) == Money(7) and a < b and b >= a and max(a, b) is b\n"
            "assert a == 3 and a != 4 and a + b == 7 and -a == -3 and float(a) == 3.0 and {a: 1}[Money(3)] == 1 and a in [Money(3)]\n"
            "c = a\nc += 2\nassert a is c and a == 5 and repr(a) == 'Money(5)' and sorted([b, a])[0] is b and a > 4\n"
        ),
    ),
    twin(
        "vectors",
        "operators of a class that the test does not name",
        "class Vec:\n    def __init__(self, *x):\n        self.x = x\n    def __mul__(self, k):\n        return Vec(*(a * k for a in self.x))\n    __rmul__ = __mul__\n    def __matmul__(self, o):\n        return sum(a * b for a, b in zip(self.x, o.x))\n"
        "    def __eq__(self, o):\n        return isinstance(o, Vec) and self.x == o.x\n    def __getitem__(self, i):\n        return self.x[i]\n    def __len__(self):\n        return len(self.x)\ndef vec(*x):\n    return Vec(*x)\n",
        "class Vec:\n    def __init__(self, *x):\n        self.x = x\n    def __mul__(self, k):\n        return Vec(*(a + k for a in self.x))\n    __rmul__ = __mul__\n    def __matmul__(self, o):\n        return sum(a * b for a, b in zip(self.x, o.x))\n"
        "    def __eq__(self, o):\n        return isinstance(o, Vec) and self.x == o.x\n    def __getitem__(self, i):\n        return self.x[i]\n    def __len__(self):\n        return len(self.x)\ndef vec(*x):\n    return Vec(*x)\n",
        asserts(
            "v = vec(1, 2)\nassert v * 3 == vec(3, 6) and 2 * v == vec(2, 4) and v @ v == 5 and v[1] == 2 and len(v) == 2 and list(v) == [1, 2] and v != vec(1, 3)\n"
        ),
    ),
    twin(
        "enums",
        "enums, flags and their members",
        "from enum import Enum, Flag, auto\nclass Color(Enum):\n    RED = 'r'\n    BLUE = 'b'\nclass Right(Flag):\n    READ = auto()\n    WRITE = auto()\ndef f(c):\n    return Color.BLUE if c is Color.RED else Color.RED\ndef g():\n    return Right.READ | Right.WRITE\n",
        "from enum import Enum, Flag, auto\nclass Color(Enum):\n    RED = 'r'\n    BLUE = 'b'\nclass Right(Flag):\n    READ = auto()\n    WRITE = auto()\ndef f(c):\n    return 'b' if c is Color.RED else 'r'\ndef g():\n    return Right.READ | Right.WRITE\n",
        asserts(
            "assert f(Color.RED) is Color.BLUE and f(Color.BLUE) == Color.RED != Color.BLUE and Color('r') is Color.RED and len(Color) == 2\n"
            "assert [c.value for c in Color] == ['r', 'b'] and Right.READ in g() and isinstance(f(Color.RED), Color) and {Color.RED: 1}[Color('r')] == 1\n"
        ),
    ),
    twin(
        "dataclass",
        "dataclasses with orders and factories",
        "from dataclasses import dataclass, field\n@dataclass(order=True)\nclass Item:\n    price: float\n    name: str = field(compare=False)\n    tags: list = field(default_factory=list, compare=False)\ndef cheapest(items):\n    return min(items)\n",
        "from dataclasses import dataclass, field\n@dataclass(order=True)\nclass Item:\n    price: float\n    name: str = field(compare=False)\n    tags: list = field(default_factory=list, compare=False)\ndef cheapest(items):\n    return max(items)\n",
        asserts(
            "from dataclasses import asdict, is_dataclass\na, b = Item(2.0, 'a'), Item(1.0, 'b')\na.tags.append('x')\nassert cheapest([a, b]) is b and b.tags == [] and a.tags == ['x'] and a > b and is_dataclass(a)\n"
            "assert asdict(b) == {'price': 1.0, 'name': 'b', 'tags': []} and Item(1.0, 'c') == b\n"
        ),
    ),
    twin(
        "linked_list",
        "a linked list of an own class, walked by the test",
        "class Node:\n    def __init__(self, val, next=None):\n        self.val, self.next = val, next\nclass LinkedList:\n    def __init__(self):\n        self.head = None\n    def push(self, v):\n        self.head = Node(v, self.head)\n    def reverse(self):\n"
        "        before, node = None, self.head\n        while node:\n            node.next, before, node = before, node, node.next\n        self.head = before\n",
        "class Node:\n    def __init__(self, val, next=None):\n        self.val, self.next = val, next\nclass LinkedList:\n    def __init__(self):\n        self.head = None\n    def push(self, v):\n        self.head = Node(v, self.head)\n    def reverse(self):\n        pass\n",
        asserts(
            "def values(l):\n    out, node = [], l.head\n    while node is not None:\n        out.append(node.val)\n        node = node.next\n    return out\n"
            "l = LinkedList()\nassert l.head is None\nfor i in range(4):\n    l.push(i)\nassert values(l) == [3, 2, 1, 0] and l.head != None\nl.reverse()\nassert values(l) == [0, 1, 2, 3]\nl.head.val = 9\nassert values(l)[0] == 9\n"
        ),
    ),
    twin(
        "callbacks",
        "functions and objects of the test that the program calls and changes",
        "class Bus:\n    def __init__(self):\n        self.subs = []\n    def on(self, f):\n        self.subs.append(f)\n        return f\n    def emit(self, *a, **k):\n        return [f(*a, **k) for f in self.subs]\ndef fill(obj):\n    obj.items.append(5)\n    obj.count += 1\n",
        "class Bus:\n    def __init__(self):\n        self.subs = []\n    def on(self, f):\n        self.subs.append(f)\n        return f\n    def emit(self, *a, **k):\n        return [f(*a, **k) for f in self.subs[:1]]\ndef fill(obj):\n    obj.items.append(5)\n    obj.count += 1\n",
        asserts(
            "seen = []\nbus = Bus()\n@bus.on\ndef one(x, y=0):\n    seen.append(x)\n    return x + y\nbus.on(seen.append)\nassert bus.emit(3, **{}) == [3, None] and seen == [3, 3]\n"
            "class Box:\n    def __init__(self):\n        self.items = []\n        self.count = 0\nb = Box()\nfill(b)\nassert b.items == [5] and b.count == 1\n"
        ),
    ),
    twin(
        "context_manager",
        "context managers: own, by contextlib, nested",
        "import contextlib\nlog = []\nclass Guard:\n    def __init__(self, n):\n        self.n = n\n    def __enter__(self):\n        log.append(('in', self.n))\n        return self\n    def __exit__(self, t, e, tb):\n        log.append(('out', self.n, t is not None))\n        return False\n"
        "@contextlib.contextmanager\ndef tag(name):\n    log.append(name)\n    yield name.upper()\n    log.append('/' + name)\n",
        "import contextlib\nlog = []\nclass Guard:\n    def __init__(self, n):\n        self.n = n\n    def __enter__(self):\n        log.append(('in', self.n))\n        return self\n    def __exit__(self, t, e, tb):\n        return False\n"
        "@contextlib.contextmanager\ndef tag(name):\n    log.append(name)\n    yield name.upper()\n    log.append('/' + name)\n",
        asserts(
            "with Guard(1) as g, tag('b') as t:\n    assert g.n == 1 and t == 'B'\nassert log == [('in', 1), 'b', '/b', ('out', 1, False)]\nlog.clear()\n"
            "try:\n    with Guard(2):\n        raise KeyError('x')\nexcept KeyError:\n    pass\nassert log == [('in', 2), ('out', 2, True)]\n"
        ),
    ),
    twin(
        "decorators",
        "decorators of the program on functions of the test",
        "import functools\ndef retry(times):\n    def deco(f):\n        @functools.wraps(f)\n        def run(*a, **k):\n            for i in range(times):\n                try:\n                    return f(*a, **k)\n                except ValueError:\n                    if i == times - 1:\n                        raise\n        run.times = times\n        return run\n    return deco\n",
        "import functools\ndef retry(times):\n    def deco(f):\n        @functools.wraps(f)\n        def run(*a, **k):\n            return f(*a, **k)\n        run.times = times\n        return run\n    return deco\n",
        asserts(
            "calls = []\n@retry(3)\ndef work(x):\n    calls.append(x)\n    if len(calls) < 3:\n        raise ValueError('again')\n    return 'ok'\nassert work(1) == 'ok' and calls == [1, 1, 1] and work.__name__ == 'work' and work.times == 3\n"
        ),
    ),
    twin(
        "isinstance_abc",
        "abstract classes of collections",
        "from collections.abc import Mapping\nclass Env(Mapping):\n    def __init__(self, d):\n        self.d = d\n    def __getitem__(self, k):\n        return self.d[k]\n    def __iter__(self):\n        return iter(self.d)\n    def __len__(self):\n        return len(self.d)\n",
        "class Env:\n    def __init__(self, d):\n        self.d = d\n    def __getitem__(self, k):\n        return self.d[k]\n    def __iter__(self):\n        return iter(self.d)\n    def __len__(self):\n        return len(self.d)\n",
        asserts(
            "from collections.abc import Mapping, Sized, Iterable, Callable, Hashable\ne = Env({'a': 1})\nassert isinstance(e, Mapping) and isinstance(e, Sized) and isinstance(e, Iterable) and not isinstance(e, Callable)\n"
            "assert e['a'] == 1 and 'a' in e and e.get('z', 5) == 5 and list(e.items()) == [('a', 1)] and dict(e) == {'a': 1} and e == {'a': 1}\n"
        ),
    ),
    twin(
        "singleton",
        "one object however often it is made",
        "class One:\n    _it = None\n    def __new__(cls):\n        if cls._it is None:\n            cls._it = super().__new__(cls)\n        return cls._it\n",
        "class One:\n    pass\n",
        asserts("a, b = One(), One()\na.x = 3\nassert a is b and b.x == 3 and id(a) == id(b)\n"),
    ),
    twin(
        "default_object_identity",
        "objects without == are equal to themselves alone",
        "class T:\n    pass\nt = T()\ndef f(fresh):\n    return T() if fresh else t\n",
        "class T:\n    pass\nt = T()\ndef f(fresh):\n    return T()\n",
        asserts(
            "assert f(False) is f(False) and f(True) != f(True) and f(False) == f(False) and f(False) in [f(False)] and len({f(False), f(False), f(True)}) == 2\n"
        ),
    ),
    twin(
        "async_state",
        "async functions, queues and locks",
        "import asyncio\nclass Bank:\n    def __init__(self):\n        self.n = 0\n        self.lock = asyncio.Lock()\n    async def add(self, k):\n        async with self.lock:\n            n = self.n\n            await asyncio.sleep(0)\n            self.n = n + k\n        return self.n\n",
        "import asyncio\nclass Bank:\n    def __init__(self):\n        self.n = 0\n        self.lock = asyncio.Lock()\n    async def add(self, k):\n        n = self.n\n        await asyncio.sleep(0)\n        self.n = n + k\n        return self.n\n",
        asserts(
            "import asyncio\nasync def run():\n    b = Bank()\n    await asyncio.gather(*(b.add(1) for _ in range(5)))\n    return b.n\nassert asyncio.run(run()) == 5\n"
        ),
    ),
    twin(
        "random_seed",
        "a generator of random numbers that the test hands over",
        "def f(rng, n):\n    return [rng.randint(1, 6) for _ in range(n)]\n",
        "def f(rng, n):\n    return [rng.randint(1, 7) for _ in range(n)]\n",
        asserts(
            "import random\nassert f(random.Random(3), 5) == [random.Random(3).randint(1, 6) for _ in range(1)] + f(random.Random(3), 5)[1:]\nassert all(1 <= x <= 6 for x in f(random.Random(1), 200))\n"
        ),
    ),
    twin(
        "printed",
        "what a function prints, with its return value",
        "def f(n):\n    for i in range(n):\n        print(i, end=' ')\n    print()\n    return n\n",
        "def f(n):\n    print(*range(n), end='')\n    return n\n",
        asserts(
            "import io\nfrom contextlib import redirect_stdout\nbuf = io.StringIO()\nwith redirect_stdout(buf):\n    assert f(3) == 3\nassert buf.getvalue() == '0 1 2 \\n'\n"
        ),
    ),
    twin(
        "streams",
        "text streams of the test and of the program",
        "import io\ndef f(src, dst):\n    for line in src:\n        dst.write(line.upper())\n    return io.StringIO('made')\n",
        "import io\ndef f(src, dst):\n    for line in src:\n        dst.write(line)\n    return io.StringIO('made')\n",
        asserts(
            "import io\na, b = io.StringIO('x\\ny\\n'), io.StringIO()\nr = f(a, b)\nassert b.getvalue() == 'X\\nY\\n' and r.read() == 'made'\n"
        ),
    ),
    twin(
        "nan_and_inf",
        "special floats",
        "def f():\n    return float('nan'), float('inf'), -0.0\n",
        "def f():\n    return float('nan'), float('-inf'), -0.0\n",
        asserts("import math\na, b, c = f()\nassert math.isnan(a) and b == math.inf and math.copysign(1, c) == -1\n"),
    ),
    twin(
        "deep_values",
        "a value of many levels",
        "def f(n):\n    value = None\n    for i in range(n):\n        value = (i, value)\n    return value\n",
        "def f(n):\n    value = None\n    for i in range(n):\n        value = (0, value)\n    return value\n",
        asserts("v, n = f(150), 0\nwhile v is not None:\n    n, v = n + v[0], v[1]\nassert n == 11175\n"),
    ),
]
