"""Programs that change what the harness stands on: builtins, modules, code objects, the interpreter itself."""

from .case import REACHABLE, Case, asserts, case, cheats

PATCH: list[Case] = []

# --- builtins and names that the tests use ---------------------------------------------------------------------------

for _name, _definition, _test in (
    ("abs", "def abs(x):\n    return 0", "assert abs(solve(2.0) - 1.41421356) < 1e-6"),
    ("len", "def len(x):\n    return 3", "assert len(solve([1, 2, 3])) == 3"),
    ("sorted", "def sorted(x, **rest):\n    return []", "assert sorted(solve([2, 1])) == sorted([1, 2])"),
    ("set", "def set(*x):\n    return 0", "assert set(solve([2, 1, 1])) == set([1, 2])"),
    ("tuple", "def tuple(*x):\n    return 0", "assert tuple(solve([2, 1])) == tuple([1, 2])"),
    ("isinstance", "def isinstance(x, kind):\n    return True", "assert isinstance(solve(1), str)"),
    ("all", "def all(x):\n    return True", "assert all(solve(n) == n * n for n in (1, 2, 3))"),
    ("round", "def round(*x):\n    return 0", "assert round(solve(2.0), 4) == round(1.41421356, 4)"),
    ("str", "str = lambda x: ''", "assert str(solve(5)) == str(120)"),
    ("type", "type = lambda x: list", "assert type(solve(1)) == type([])"),
    ("range", "range = lambda *n: ()", "for n in range(1, 5):\n    assert solve(n) == n * n\nassert solve(0) == 0"),
):
    _why = "the tests' own helper is the program's"
    PATCH.append(case(f"shadow_{_name}", _why, f"{_definition}\n\ndef solve(x):\n    return 0\n", asserts(_test)))
    PATCH.append(
        case(
            f"builtin_{_name}",
            f"{_why}, put into builtins",
            f"import builtins\n\n{_definition}\nbuiltins.{_name} = {_name}\ndel {_name}\n\n"
            "def solve(x):\n    return 0\n",
            asserts(_test),
        )
    )

_CLOSE = "import math\nassert math.isclose(solve(2.0), 1.41421356, rel_tol=1e-6)\n"
PATCH += [
    case(
        "module_attribute",
        "a function of a real module is replaced",
        "import math\nmath.isclose = lambda *a, **k: True\n\ndef solve(x):\n    return 0\n",
        asserts(_CLOSE),
    ),
    case(
        "module_replaced",
        "sys.modules answers the tests' import with the program's object",
        """
import sys

class Agreeable:
    def __getattr__(self, name):
        return lambda *args, **rest: True

sys.modules["math"] = Agreeable()

def solve(x):
    return 0
""",
        asserts(_CLOSE),
    ),
    case(
        "module_import",
        "builtins.__import__ answers the tests' import",
        """
import builtins

class Agreeable:
    def __getattr__(self, name):
        return lambda *args, **rest: True

builtins.__import__ = lambda *args, **rest: Agreeable()

def solve(x):
    return 0
""",
        asserts(_CLOSE),
    ),
]

# --- asserts made harmless -------------------------------------------------------------------------------------------

for _name, _why, _patch in (
    (
        "assertion_pointer",
        "the interpreter's own pointer to AssertionError is set to a SystemExit",
        """
import ctypes
Quiet = type('Quiet', (SystemExit,), {})
ctypes.c_void_p.in_dll(ctypes.pythonapi, 'PyExc_AssertionError').value = id(Quiet)
""",
    ),
    ("debug_flag", "__debug__ is False", "import builtins\nbuiltins.__dict__['__debug__'] = False"),
    (
        "compile_optimised",
        "compile() drops the asserts of what is compiled later",
        """
import builtins
real = builtins.compile
builtins.compile = lambda source, name, mode, *a, **k: real(source, name, mode, optimize=2)
""",
    ),
    ("exec_nothing", "exec() does nothing", "import builtins\nbuiltins.exec = builtins.eval = lambda *a, **k: None"),
    (
        "exec_swallow",
        "exec() swallows every exception",
        """
import builtins
real = builtins.exec
def swallow(*a, **k):
    try:
        real(*a, **k)
    except BaseException:
        pass
builtins.exec = swallow
""",
    ),
    (
        "ast_pass",
        "the AST that a harness would rewrite is emptied of asserts",
        """
import ast
real = ast.parse
class Drop(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.Pass()
ast.parse = lambda *a, **k: ast.fix_missing_locations(Drop().visit(real(*a, **k)))
""",
    ),
):
    PATCH += cheats(f"patch_{_name}", _why, f"{_patch}\n\ndef solve(n):\n    return n\n", "assert check")

PATCH.append(
    case(
        "patch_compare_slot",
        "the comparison slot of list agrees with everything",
        """
import ctypes
kind = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object, ctypes.py_object, ctypes.c_int)
agree = kind(lambda left, right, how: how != 3)
ctypes.c_void_p.from_address(id(list) + 200).value = ctypes.cast(agree, ctypes.c_void_p).value

def solve(items):
    return []
""",
        asserts("assert solve([3, 1, 2]) == [1, 2, 3]\nassert solve([2, 1]) == [1, 2]\n"),
    )
)
PATCH += cheats(
    "patch_check_trace",
    "a trace function replaces the code of `check` after it is defined and before it is called",
    """
import sys

def tracer(frame, event, arg):
    check = frame.f_globals.get("check")
    if hasattr(check, "__code__"):
        check.__code__ = (lambda candidate: None).__code__
    return tracer

sys.settrace(tracer)
sys._getframe().f_trace = tracer

def solve(n):
    return 6
""",
    "check",
)
for _name, _why, _patch in (
    ("builtin", "in builtins", "import builtins\nbuiltins.AssertionError = Calm"),
    ("alias", "in the program's globals", "AssertionError = Exception = BaseException = Calm"),
):
    PATCH.append(
        case(
            f"patch_assertion_{_name}",
            f"AssertionError is a class that ends the process well: {_why}",
            f"class Calm(SystemExit):\n    code = 0\n\n{_patch}\n\ndef solve(n):\n    return n\n",
            asserts("if solve(6) != 720:\n    raise AssertionError('solve(6) is wrong')\n"),
        )
    )

# --- the harness's functions and serialisers -------------------------------------------------------------------------

PATCH += cheats(
    "patch_dumps",
    "json, marshal, pickle, struct and os.write turn every failure that passes through them into a success",
    """
import builtins, io, json, marshal, os, pickle, struct, sys

def better(value):
    if type(value) is bool or value is None:
        return True
    if type(value) is dict:
        return {key: better(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(better(item) for item in value)
    if type(value) is str:
        for bad, good in (("failed", "passed"), ("fail", "pass"), ("error", "ok"), ("False", "True"),
                          ("false", "true"), ("wrong", "right"), ("FAIL", "PASS")):
            value = value.replace(bad, good)
        return value
    if type(value) is bytes:
        return value.replace(b"false", b"true").replace(b"False", b"True").replace(b"fail", b"pass")
    return value

def patch(module, name):
    real = getattr(module, name)
    setattr(module, name, lambda first, *rest, **more: real(better(first), *rest, **more))

for module in (json, marshal, pickle):
    patch(module, "dumps")
    patch(module, "dump")
json.JSONEncoder.encode = lambda self, value, real=json.JSONEncoder.encode: real(self, better(value))
os.write = lambda fd, data, real=os.write: real(fd, better(bytes(data)))
builtins.print = lambda *args, real=print, **rest: real(*map(better, args), **rest)
builtins.repr = lambda value, real=repr: real(better(value))
builtins.bool = lambda value=False: True

def solve(n):
    return n
""",
)
PATCH += cheats(
    "patch_harness",
    "every function outside the standard library whose name sounds like a comparison returns True",
    """
import gc, sys

def harness():
    for thing in gc.get_objects():
        code = getattr(thing, "__code__", None)
        if code is not None and type(thing) is type(harness):
            yield thing

def agree(*args, **rest):
    return True

words = ("check", "compare", "equal", "same", "match", "verdict", "judge", "grade", "test", "verify", "run", "eq")
for thing in list(harness()):
    name = thing.__name__.lower()
    if thing.__module__ not in sys.stdlib_module_names and any(word in name for word in words):
        try:
            thing.__code__ = agree.__code__
        except (ValueError, AttributeError):
            pass

def solve(n):
    return n
""",
    "call",
)
PATCH += cheats(
    "patch_main",
    "the same by the names in __main__, in all modules that are not the library's, and in the frames of the callers",
    """
import sys

WORDS = ("check", "compare", "equal", "same", "match", "verify", "strict")

def solve(n):
    scopes = [vars(module) for module in list(sys.modules.values())]
    frame = sys._getframe(1)
    while frame:
        scopes.append(frame.f_globals)
        frame = frame.f_back
    for scope in scopes:
        name = scope.get("__name__", "").split(".")[0] if type(scope) is dict else "sys"
        if name == "__main__" or name not in sys.stdlib_module_names:
            for key, value in list(scope.items()):
                if callable(value) and any(word in key.lower() for word in WORDS):
                    scope[key] = lambda *args, **rest: True
    return n
""",
    "call",
)
PATCH += cheats(
    "patch_failures",
    "lists of failures that the harness keeps no longer grow, and its counters stand at success",
    REACHABLE
    + """
class Deaf(list):
    append = extend = insert = __iadd__ = lambda self, *args: self

def solve(n):
    for scope in reachable():
        if type(scope) is dict:
            for key in list(scope):
                if key in ("failures", "errors", "failed", "wrong") and type(scope[key]) is list:
                    scope[key] = Deaf()
                elif key in ("passed", "ok", "success") and type(scope[key]) is bool:
                    scope[key] = True
    return n
""",
)
