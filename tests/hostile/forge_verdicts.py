"""Programs that fail in a way by which a test might be passed: by dying, by doing nothing, by objects of their own."""

from .case import Case, asserts, call, case

VERDICTS: list[Case] = []

# --- a program that dies, or breaks the pipes, where the test expects an exception ----------------------------------

_EXPECTS = {
    "runtime": "import pytest\nwith pytest.raises(RuntimeError):\n    solve(-1)\n",
    "any": "import pytest\nwith pytest.raises(Exception):\n    solve(-1)\n",
    "os": "try:\n    solve(-1)\n    assert False\nexcept OSError:\n    pass\n",
    "value": "try:\n    solve(-1)\nexcept ValueError:\n    pass\nelse:\n    assert False\n",
    "base": "try:\n    solve(-1)\nexcept BaseException:\n    pass\nelse:\n    assert False\n",
    "unittest": (
        "import unittest\nclass TestSolve(unittest.TestCase):\n    def test_it(self):\n"
        "        with self.assertRaises(Exception):\n            solve(-1)\n"
    ),
}
_DEATHS = {
    "exit": "import os\ndef solve(n):\n    os._exit(0)\n",
    "kill": "import os\ndef solve(n):\n    os.kill(os.getpid(), 9)\n",
    "crash": "import ctypes\ndef solve(n):\n    ctypes.string_at(0)\n",
    "close": "import os\ndef solve(n):\n    os.close(3)\n",
    "garbage": "import os\ndef solve(n):\n    os.write(3, b'         5hello')\n    os._exit(0)\n",
    "long": "import os\ndef solve(n):\n    os.write(3, b'9999999999')\n    os._exit(0)\n",
    "value": "import os\ndef solve(n):\n    os.write(3, b'         3i1:')\n    os._exit(0)\n",
}
for _death, _program in _DEATHS.items():
    for _expected in ("any", "base") if _death != "exit" else tuple(_EXPECTS):
        VERDICTS.append(
            case(
                f"verdict_{_death}_for_{_expected}",
                "ends or breaks its pipes where an exception is expected",
                _program,
                asserts(_EXPECTS[_expected]),
            )
        )

# --- objects of the program's own -----------------------------------------------------------------------------------

_AGREES = """
    def __eq__(self, other):
        return True
    def __ne__(self, other):
        return False
    __hash__ = None
"""
_PLAIN_OBJECT = "class Thing:\n    pass\ndef solve(n):\n    return Thing()\n"
for _name, _why, _program, _code in (
    (
        "named_class",
        "returns an object of the class that the test names",
        f"class Solution:\n    def solve(self, n):\n        return Solution()\n{_AGREES}",
        "assert Solution().solve(3) == 9\n",
    ),
    (
        "self",
        "returns the object that the test has made",
        f"class Solution:\n    def solve(self, n):\n        return self\n{_AGREES}",
        "s = Solution()\nassert s.solve(3) == 9\n",
    ),
    (
        "self_later",
        "returns the object that the test has made, in a list",
        f"class Solution:\n    def solve(self, n):\n        return [self]\n{_AGREES}",
        "s = Solution()\nassert s.solve(3)[0] == 9\n",
    ),
    (
        "static",
        "returns an object of its class from a static method",
        f"class Solution:\n    @staticmethod\n    def solve(n):\n        return Solution()\n{_AGREES}",
        "assert Solution.solve(3) == 9\n",
    ),
    (
        "attribute",
        "has such an object as an attribute",
        f"class Solution:\n    def __init__(self):\n        self.answer = self\n{_AGREES}",
        "assert Solution().answer == 9\n",
    ),
    (
        "named_int",
        "returns an int of a class that the test names",
        f"class Number(int):\n    def solve(self):\n        return Number(3)\n{_AGREES}",
        "assert Number(3).solve() == 9\n",
    ),
    (
        "named_list",
        "returns a list of a class that the test names",
        f"class Items(list):\n    def solve(self):\n        return self\n{_AGREES}",
        "assert Items().solve() == [9]\n",
    ),
    ("not_equal", "an object differs from everything", _PLAIN_OBJECT, "assert solve(3) != 5\n"),
    ("not_equal_text", "an object differs from every text", _PLAIN_OBJECT, "assert 'a' != solve(3)\n"),
    (
        "not_equal_own",
        "decides that it does not differ",
        f"class Thing:\n{_AGREES}def solve(n):\n    return Thing()\n",
        "if solve(3) != 9:\n    raise AssertionError\n",
    ),
    (
        "not_equal_unittest",
        "an object differs from everything, for unittest",
        _PLAIN_OBJECT,
        "import unittest\nclass TestSolve(unittest.TestCase):\n"
        "    def test_it(self):\n        self.assertNotEqual(solve(3), 5)\n",
    ),
    (
        "operator",
        "an operator makes a number",
        "class Thing:\n    def __sub__(self, other):\n        return 0\n    __rsub__ = __sub__\n"
        "def solve(n):\n    return Thing()\n",
        "assert abs(9 - solve(3)) < 1e-6\n",
    ),
    (
        "operator_object",
        "an operator makes an object, which is small",
        "class Thing:\n    def __sub__(self, other):\n        return self\n    __rsub__ = __sub__\n"
        "    def __abs__(self):\n        return 0\ndef solve(n):\n    return Thing()\n",
        "assert abs(9 - solve(3)) < 1e-6\n",
    ),
    (
        "operator_float",
        "an operator makes a number of its own class",
        "class Thing(float):\n    def __sub__(self, other):\n        return Thing(0)\n    __rsub__ = __sub__\n"
        "def solve(n):\n    return Thing(1)\n",
        "assert abs(solve(3) - 9) < 1e-6\n",
    ),
    (
        "operator_almost_equal",
        "a difference that unittest takes for small",
        "class Thing:\n    def __sub__(self, other):\n        return Thing()\n"
        "    def __abs__(self):\n        return 0.0\n"
        "    def __round__(self, n=0):\n        return 0\ndef solve(n):\n    return Thing()\n",
        "import unittest\nclass TestSolve(unittest.TestCase):\n"
        "    def test_it(self):\n        self.assertAlmostEqual(solve(3), 9.0)\n",
    ),
    (
        "operator_set",
        "a difference of sets that is empty",
        "class Items(set):\n    def __sub__(self, other):\n        return Items()\n    __rsub__ = __sub__\n"
        "def solve(n):\n    return Items([1])\n",
        "assert {9} - solve(3) == set() == solve(3) - {9}\n",
    ),
    (
        "array_function",
        "decides what numpy's functions return",
        "class Thing:\n    def __array_function__(self, *args):\n        return True\n"
        "    def __array_ufunc__(self, *args):\n        return True\n"
        "    def __array__(self, *args):\n        return self\n"
        "def solve(n):\n    return Thing()\n",
        "import numpy as np\nassert np.allclose(solve(3), [9]) or np.isclose(solve(3), 9).all()\n",
    ),
    (
        "text_method",
        "a text whose method says what the test wants",
        "class Text(str):\n    def startswith(self, *args):\n        return True\n    def find(self, *args):\n"
        "        return 0\ndef solve(n):\n    return Text('a')\n",
        "assert solve(3).startswith('nine') or solve(3).find('nine') == 0\n",
    ),
    (
        "described_method",
        "gives its class methods that only numpy would call",
        "import sys\nobjects = sys.modules['r1kit.sandbox.objects']\n"
        "objects.SPECIAL_METHODS = objects.SPECIAL_METHODS | {'__array_function__', '__array_ufunc__'}\n"
        "class Thing:\n    def __array_function__(self, *args):\n        return True\n"
        "    __array_ufunc__ = __array_function__\ndef solve(n):\n    return Thing()\n",
        "import numpy as np\nassert np.allclose(solve(3), [9]) or np.isclose(solve(3), 9).all()\n",
    ),
    (
        "class_for_function",
        "a class where a function is asked for",
        f"class Solve:\n    def __init__(self, *args):\n        pass\n{_AGREES}",
        "assert Solve(3) == 9\nassert set(Solve(3)) == {9} or Solve(4) != 7\n",
    ),
    (
        "operator_list",
        "a list whose operator makes another list",
        "class Items(list):\n    def __add__(self, other):\n        return other\ndef solve(n):\n    return Items()\n",
        "assert solve(3) + [1] == [9, 1]\n",
    ),
    (
        "length_of_list",
        "a list whose iterator knows nothing",
        "class Items(list):\n    def __eq__(self, other):\n        return True\n"
        "    def __len__(self):\n        return 1\ndef solve(n):\n    return Items([1])\n",
        "assert solve(3) == [9]\nassert sorted(solve(3)) == [9]\n",
    ),
    (
        "virtual_any",
        "derives from mock's ANY",
        "from unittest import mock\nclass Thing(mock.ANY.__class__):\n    pass\ndef solve(n):\n    return Thing()\n",
        "assert solve(3) == 9\n",
    ),
    (
        "mock_any",
        "returns mock's ANY",
        "from unittest.mock import ANY\ndef solve(n):\n    return ANY\n",
        "assert solve(3) == 9\n",
    ),
):
    VERDICTS.append(case(f"verdict_{_name}", _why, _program, asserts(_code)))

# --- what both processes share --------------------------------------------------------------------------------------

_FIND_PEER = """
import sys
def find_peer():
    frame = sys._getframe()
    while frame:
        for value in list(frame.f_locals.values()):
            if hasattr(value, "shared") and hasattr(value, "stand_ins"):
                return value
        frame = frame.f_back
"""
VERDICTS += [
    case(
        "verdict_shared_number",
        "changes containers by numbers that were never given to it",
        _FIND_PEER
        + "def solve(n):\n    peer = find_peer()\n"
        + "    peer.shared.take_changes = lambda: [(-k, ()) for k in range(1, 50)] + [(k, ()) for k in range(1, 50)]\n"
        + "    return 7\n",
        asserts("cases = [(3, 9), (4, 16)]\nfor n, wanted in cases:\n    assert solve(n) == wanted\n"),
    ),
    case(
        "verdict_shared_replaced",
        "sends a container under a number of the test's own",
        _FIND_PEER
        + "def solve(a):\n    peer = find_peer()\n"
        + "    peer.shared.number_of = lambda value: None\n    peer.shared.last_number = -4\n    return [9]\n",
        asserts("a = [3]\nassert solve(a) == [9] and solve(a) == [10]\n"),
    ),
    case(
        "verdict_global_name",
        "gives the test's own names other values",
        _FIND_PEER
        + "def solve(n):\n    find_peer().take_own_news = "
        + "lambda: ({'wanted': 7, 'solve': len, 'all': lambda x: True}, '', [])\n    return 7\n",
        asserts("wanted = 9\nassert solve(3) == wanted\n"),
    ),
    case(
        "verdict_unbound_name",
        "gives a value to a name of the test that is None",
        _FIND_PEER + "def solve(n):\n    find_peer().take_own_news = lambda: ({'answer': 9}, '', [])\n    return 7\n",
        asserts("answer = None\nsolve(3)\nsolve(3)\nassert answer == 9\n"),
    ),
    case(
        "verdict_star_import",
        "brings builtins by a star import",
        "import sys\nnames = type(sys._getframe(2).f_locals)\n"
        "def all(items):\n    return True\ndef solve(n):\n    return 7\n__all__ = ['all', 'solve']\n",
        asserts("from solution import *\nassert all(solve(n) == n * n for n in (3, 4))\n"),
    ),
    case(
        "verdict_builtin_name",
        "brings a builtin of its own",
        "def all(items):\n    return True\ndef isinstance(*args):\n    return True\ndef solve(n):\n    return 7\n",
        asserts("assert all(solve(n) == n * n for n in (3, 4)) and isinstance(solve(3), str)\n"),
    ),
    case(
        "verdict_stop_iteration",
        "ends a loop of the test that names StopIteration elsewhere only in its own class",
        "class Stop(StopIteration):\n    pass\ndef solve(n):\n    raise Stop\n",
        asserts("assert all(map(lambda n: solve(n) == n * n, (3, 4)))\n"),
    ),
    case(
        "verdict_warning",
        "gives what is no warning",
        _FIND_PEER + "def solve(n):\n    find_peer().warnings.append(9)\n    return 7\n",
        asserts("assert solve(3) == 9\n"),
    ),
    # --- None ----------------------------------------------------------------------------------------------------
    case(
        "verdict_in_place_pass",
        "does nothing where the argument should change",
        "class Solution:\n    def sort(self, a: list) -> None:\n        pass\n",
        call("sort", [[2, 1]], [1, 2]),
    ),
    case(
        "verdict_args_after_pass",
        "does nothing where the arguments are looked at",
        "def sort(a):\n    pass\n",
        {**call("sort", [[2, 1]], None), "args_after": [[1, 2]]},
    ),
]
