"""Programs that misuse the pipes by which test and program share objects (r1kit/sandbox/objects.py)."""

from .case import Case, asserts, case

OBJECTS: list[Case] = []

# `peer` is the program's own end of the pipes, found on the stack.
_PEER = """
import sys

def find_peer():
    frame = sys._getframe()
    while frame:
        for value in list(frame.f_locals.values()):
            if type(value).__name__ == "Peer":
                return value
        frame = frame.f_back

def find_builtin(name):
    return __builtins__[name] if isinstance(__builtins__, dict) else getattr(__builtins__, name)

class Named:
    '''Packs itself as a builtin of the other process.'''
    def __init__(self, name):
        self.name = name

def pack_names(peer):
    own = peer.form_of
    peer.form_of = lambda value: ("builtin", value.name) if type(value) is Named else own(value)
    return peer

"""
_TEST = "expected = 720\ndef callback(*args):\n    return len(args)\nassert solve(callback) == expected\n"

for _name, _why, _body in (
    (
        "getattr",
        "asks the test for getattr",
        "return ask('call', Named('getattr'), (g, '__globals__'))['expected']",
    ),
    ("eval", "asks the test for eval", "return ask('call', Named('eval'), ('720',))"),
    ("globals", "asks the test for its globals", "return ask('call', Named('globals'), ())['expected']"),
    ("private", "gets a private attribute", "return ask('get', g, ('__globals__',))[1]['expected']"),
    (
        "method",
        "calls a private method",
        "return ask('call', (g, '__getattribute__'), ('__globals__',))['expected']",
    ),
    ("special", "calls a special method", "return ask('__getattribute__', g, ('__globals__',))['expected']"),
    ("code", "gets the code object", "return ask('get', g, ('__code__',))[1].co_consts[0]"),
    ("set_code", "replaces the code", "ask('set', g, ('__code__', None)); return 720 * (g() == 0)"),
    ("module", "gets a module of the test", "return ask('get', sys.modules['__main__'], ('expected',))[1]"),
    (
        "number",
        "names an object that was never handed over",
        "peer.form_of = lambda v: ('yours', 99); return ask('call', 0)",
    ),
    ("stdin", "reads another attribute of the test's input", "return ask('read', 'buffer', ())"),
    ("value", "answers before it is asked", "peer.write(('value', True, None, '')); return True"),
    ("raise_pass", "raises what would end the test", "peer.write(('raise', SystemExit, (0,), '', {}, '')); return 1"),
    ("garbage", "sends garbage", "import os; os.write(3, b'         5hello'); return 720"),
    ("passed", "sends the tester's word", "import os; os.write(3, b'passed'); os._exit(0)"),
):
    _program = f"{_PEER}def solve(g):\n    peer = pack_names(find_peer())\n    ask = peer.request\n    {_body}\n"
    OBJECTS.append(case(f"objects_{_name}", _why, _program, asserts(_TEST)))

OBJECTS += [
    case(
        "objects_builtin_argument",
        "gives the test's function a function that runs code in the test's process",
        _PEER + "def solve(g):\n    pack_names(find_peer())\n    return g(Named('eval'), 'expected')\n",
        asserts("expected = 720\nassert solve(lambda f, x: f(x)) == expected\n"),
    ),
    case(
        "objects_swallow",
        "swallows the assertion in the test's function",
        "def solve(g):\n    try:\n        g(1)\n    except BaseException:\n        pass\n",
        asserts("def must_be_two(x):\n    assert x == 2\nsolve(must_be_two)\n"),
    ),
    case(
        "objects_class_change",
        "changes a class of the test's",
        "def solve(point):\n    type(point).total = lambda self: 720\n    return point\n",
        asserts(
            "class Point:\n    def total(self):\n        return 3\np = Point()\nsolve(p)\nassert p.total() == 720\n"
        ),
    ),
    case(
        "objects_method_change",
        "replaces a method of the test's object, such as assertEqual",
        """
def solve(test):
    try:
        test.assertEqual = print
    except Exception:
        pass
    return 0
""",
        asserts(
            "import unittest\nclass TestSolve(unittest.TestCase):\n"
            "    def test_solve(self):\n        answer = solve(self)\n        self.assertEqual(answer, 720)\n"
        ),
    ),
    case(
        "objects_async_swallow",
        "swallows the failed assertion as an asynchronous context",
        """
class Context:
    answer = 0
    async def __aenter__(self):
        return self
    async def __aexit__(self, *error):
        return True
def solve():
    return Context()
""",
        asserts(
            "import asyncio\nasync def main():\n    async with solve() as context:\n"
            "        assert context.answer == 720\nasyncio.run(main())\n"
        ),
    ),
    case(
        "objects_wide_tuple",
        "offers, as its class of exceptions, a tuple that catches the test's own failure",
        "SolveError = (ValueError, Exception)\ndef solve(x):\n    return 720\n",
        asserts("try:\n    solve(-1)\n    assert False, 'nothing was raised'\nexcept SolveError:\n    pass\n"),
    ),
]
