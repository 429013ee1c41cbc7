"""Programs that use what programs use: threads, memory, files, clocks and the standard library."""

from .case import Case, asserts, case, stdio

USE: list[Case] = []

# --- what programs use -----------------------------------------------------------------------------------------------

USE += [
    case(
        "use_threads",
        "eight threads",
        """
import threading
from concurrent.futures import ThreadPoolExecutor
lock, total = threading.Lock(), 0

def add(start):
    global total
    for n in range(start, start + 1000):
        with lock:
            total += n

threads = [threading.Thread(target=add, args=(1000 * n,)) for n in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
with ThreadPoolExecutor(8) as pool:
    print(total, sum(pool.map(lambda n: n * n, range(10))))
""",
        stdio("31996000 285\n"),
    ),
    case(
        "use_queue",
        "threads that hand on work",
        """
import queue, threading
jobs, results = queue.Queue(), queue.Queue()

def work():
    while (n := jobs.get()) is not None:
        results.put(n * n)

workers = [threading.Thread(target=work) for _ in range(4)]
[worker.start() for worker in workers]
[jobs.put(n) for n in [*range(100), None, None, None, None]]
[worker.join() for worker in workers]
print(sum(results.get() for _ in range(100)))
""",
        stdio("328350\n"),
    ),
    case(
        "use_recursion",
        "recursion 50,000 deep",
        """
import sys
sys.setrecursionlimit(10**6)

def depth(n):
    return 0 if n == 0 else 1 + depth(n - 1)

print(depth(50_000))
""",
        stdio("50000\n"),
    ),
    case(
        "use_thread_stack",
        "deep recursion in a thread with a stack of 128 MiB",
        """
import sys, threading
sys.setrecursionlimit(10**7)
threading.stack_size(128 << 20)

def depth(n):
    return 0 if n == 0 else 1 + depth(n - 1)

def main():
    print(depth(100_000))

thread = threading.Thread(target=main)
thread.start()
thread.join()
""",
        stdio("100000\n"),
    ),
    case(
        "use_memory",
        "200 MiB of memory, written",
        """
block = bytearray(200 << 20)
for at in range(0, len(block), 4096):
    block[at] = 1
print(sum(block[::4096]))
""",
        stdio("51200\n"),
    ),
    case(
        "use_list_memory",
        "a list of a million numbers, and a sieve",
        r"""
n = 1_000_000
sieve = bytearray([1]) * (n + 1)
sieve[:2] = b'\0\0'
for p in range(2, 1001):
    if sieve[p]:
        sieve[p * p :: p] = bytes(len(range(p * p, n + 1, p)))
print(sum(sieve))
""",
        stdio("78498\n"),
    ),
    case(
        "use_files",
        "files in the working folder and in tempfile's",
        """
import os, tempfile
with open("x.txt", "w") as file:
    file.write("a\\nb\\n")
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "y.txt")
    with open(path, "w") as file:
        file.write("c")
    found = os.listdir(folder)
with tempfile.NamedTemporaryFile("w+") as file, tempfile.TemporaryFile() as other:
    file.write("d")
    other.write(b"e")
    other.seek(0)
    last = other.read().decode()
print(open("x.txt").read().split(), found, last, os.path.exists("x.txt"))
os.remove("x.txt")
""",
        stdio("['a', 'b'] ['y.txt'] e True\n"),
    ),
    case(
        "use_disk",
        "16 MiB in a file",
        """
import os
with open('big', 'wb') as file:
    file.write(bytes(16 << 20))
print(os.path.getsize('big'))
os.remove('big')
""",
        stdio("16777216\n"),
    ),
    case(
        "use_sleep",
        "a short sleep",
        "import time\nstart = time.time()\ntime.sleep(0.2)\nprint(time.time() - start >= 0.19)\n",
        stdio("True\n"),
    ),
    case(
        "use_seed",
        "a seeded generator, and real randomness",
        """
import random, secrets, uuid
random.seed(7)
print([random.randint(1, 100) for _ in range(5)], len(secrets.token_hex(8)),
      uuid.uuid4() != uuid.uuid4(), 0 <= random.SystemRandom().random() < 1)
""",
        stdio("[42, 20, 51, 84, 7] 16 True True\n"),
    ),
    case(
        "use_clock",
        "clocks and dates",
        """
import datetime, time
start = time.perf_counter()
day = datetime.date(2024, 2, 28) + datetime.timedelta(days=2)
assert datetime.datetime.now().year > 2000 and time.localtime().tm_year > 2000
print(day, time.perf_counter() >= start)
""",
        stdio("2024-03-01 True\n"),
    ),
    case(
        "use_library",
        "the modules that most programs import",
        """
import array, base64, bisect, cmath, collections, copy, csv, ctypes, dataclasses, decimal, enum, fractions, functools
import glob, gzip, hashlib, heapq, io, itertools, json, math, operator, os, pathlib, pickle, pprint, random, re, shutil
import signal, socket, statistics, string, struct, subprocess, sys, textwrap, threading, time, typing, unittest, zlib
heap = [5, 1, 4]
heapq.heapify(heap)
print(heapq.heappop(heap), bisect.bisect([1, 2, 3], 2), collections.Counter("abca").most_common(1), math.comb(10, 3))
print(list(itertools.accumulate([1, 2, 3])), re.findall(r"\\d+", "a1b22"), string.ascii_lowercase[:3])
print(decimal.Decimal("0.1") + decimal.Decimal("0.2"), fractions.Fraction(1, 3) + fractions.Fraction(1, 6))
print(hashlib.sha256(b"a").hexdigest()[:8], hashlib.md5(b"a").hexdigest()[:8])
print(zlib.crc32(b"a"), statistics.median([3, 1, 2]))
""",
        stdio("1 2 [('a', 2)] 120\n[1, 3, 6] ['1', '22'] abc\n0.3 1/2\nca978112 0cc175b9\n3904355907 2\n"),
    ),
    case(
        "use_pickle",
        "pickles, copies and prints objects of its own classes",
        """
from __future__ import annotations
import copy, dataclasses, enum, pickle, typing

class Colour(enum.Enum):
    RED = 1

@dataclasses.dataclass(order=True)
class Point:
    x: int
    y: list[int] = dataclasses.field(default_factory=list)

class Pair(typing.NamedTuple):
    a: int
    b: str = "b"

print(pickle.loads(pickle.dumps((Point(1, [2]), Colour.RED))), copy.deepcopy(Pair(1)))
print(typing.get_type_hints(Point)["x"])
""",
        stdio("(Point(x=1, y=[2]), <Colour.RED: 1>) Pair(a=1, b='b')\n<class 'int'>\n"),
    ),
]

USE += [
    case(
        "use_copies",
        "copies files with their modes and times, as shutil does by itself",
        """
import os, shutil
os.mkdir('one')
for name in 'abc':
    with open(f'one/{name}', 'w') as file:
        file.write(name * 1000)
shutil.copy('one/a', 'a')
shutil.copy2('one/b', 'b')
shutil.copytree('one', 'two')
shutil.move('two/c', 'c')
os.chmod('a', 0o644)
print(sum(os.path.getsize(name) for name in ('a', 'b', 'c')), sorted(os.listdir('two')))
""",
        stdio("3000 ['a', 'b']\n"),
    ),
    case(
        "use_temporary_names",
        "keeps files in /tmp by its name",
        """
import os, pathlib, shutil, tempfile
with open('/tmp/a.txt', 'w') as file:
    file.write('12')
os.makedirs('/tmp/one/two')
shutil.copy('/tmp/a.txt', '/tmp/one/two/b.txt')
shutil.copy2('/tmp/a.txt', '/tmp/one/c.txt')
path = pathlib.Path('/tmp') / 'one' / 'two' / 'b.txt'
path.write_text(path.read_text() + '3')
os.rename('/tmp/one/two/b.txt', '/tmp/d.txt')
with tempfile.NamedTemporaryFile('w', dir='/tmp', delete=False) as file:
    file.write('4')
print(open('/tmp/d.txt').read(), os.path.getsize(file.name), os.path.exists('/tmp/one/two/b.txt'))
print(sorted(os.listdir('/tmp/one')), [name for name in os.listdir('/tmp') if name.endswith('.txt')].__len__())
os.chmod('/tmp/a.txt', 0o600)
shutil.rmtree('/tmp/one')
os.remove('/tmp/a.txt')
print(os.path.exists('/tmp/one'), os.path.isfile('/tmp/a.txt'))
""",
        stdio("123 1 False\n['c.txt', 'two'] 2\nFalse False\n"),
    ),
    case(
        "use_temporary_names_of_a_test",
        "writes a file of which the test decides the place",
        """
def save(path, text):
    with open(path, 'w') as file:
        file.write(text)
""",
        asserts("save('/tmp/saved.txt', 'abc')\nwith open('/tmp/saved.txt') as f:\n    assert f.read() == 'abc'"),
    ),
    case(
        "use_shelf",
        "keeps objects in a file",
        """
import dbm.dumb, pathlib, shelve
with shelve.open('shelf') as shelf:
    shelf['a'] = [1, 2]
with shelve.open('shelf') as shelf:
    print(shelf['a'])
with dbm.dumb.open('dumb') as base:
    base['k'] = 'v'
print(dbm.dumb.open('dumb')['k'].decode())
pathlib.Path('shelf.touched').touch()
pathlib.Path('shelf.touched').touch()
""",
        stdio("[1, 2]\nv\n"),
    ),
    case(
        "use_moves",
        "moves and links files between folders",
        """
import os
os.makedirs('a/b')
os.mkdir('c')
open('a/b/x', 'w').write('5')
os.rename('a/b/x', 'c/x')
os.link('c/x', 'a/y')
os.replace('a/y', 'a/b/z')
print(open('a/b/z').read(), os.listdir('c'))
""",
        stdio("5 ['x']\n"),
    ),
    case(
        "use_database_file",
        "a database in a file, with its locks",
        """
import sqlite3
for _ in range(2):
    with sqlite3.connect('base.db') as base:
        base.execute('create table if not exists t (n int)')
        base.execute('insert into t values (21)')
print(sqlite3.connect('base.db').execute('select sum(n) from t').fetchone()[0])
""",
        stdio("42\n"),
    ),
    case(
        "use_libraries",
        "modules that load shared libraries, and data of the system",
        """
import bz2, ctypes, datetime, decimal, hashlib, lzma, sqlite3, ssl, uuid, zlib
hashes = [hashlib.new(name, b'x').hexdigest()[:4] for name in ('md5', 'sha256', 'blake2b', 'sha3_256')]
packed = [len(pack(b'x' * 1000)) < 100 for pack in (bz2.compress, lzma.compress, zlib.compress)]
ctypes.CDLL('libm.so.6')
print(hashes, packed, uuid.UUID(int=5).version, decimal.Decimal(2).sqrt().quantize(decimal.Decimal('0.01')))
""",
        stdio("['9dd4', '2d71', '0909', '741e'] [True, True, True] None 1.41\n"),
    ),
]
