"""Wrong values that a loose comparison takes for the right ones, and values that break the comparison."""

from .case import Case, asserts, call, case, stdio

VALUES: list[Case] = []

# --- near misses: an expression, and the JSON value it is not --------------------------------------------------------

for _name, _expression, _expected in (
    ("true_for_one", "True", 1),
    ("one_for_true", "1", True),
    ("false_for_zero", "False", 0),
    ("zero_for_false", "0", False),
    ("float_for_int", "1.0", 1),
    ("big_float_for_int", "1e16", 10**16),
    ("text_for_int", "'1'", 1),
    ("int_for_text", "1", "1"),
    ("complex_for_int", "1 + 0j", 1),
    ("decimal_for_int", "__import__('decimal').Decimal(1)", 1),
    ("fraction_for_int", "__import__('fractions').Fraction(1)", 1),
    ("bytes_for_text", "b'abc'", "abc"),
    ("none_for_zero", "None", 0),
    ("none_for_list", "None", []),
    ("none_for_false", "None", False),
    ("none_for_text", "None", "None"),
    ("text_for_none", "'null'", None),
    ("empty_text_for_none", "''", None),
    ("zero_for_none", "0", None),
    ("dict_for_list", "{}", []),
    ("list_for_dict", "[]", {}),
    ("pairs_for_dict", "[['a', 1]]", {"a": 1}),
    ("text_for_list", "'[1, 2, 3]'", [1, 2, 3]),
    ("letters_for_text", "['a', 'b']", "ab"),
    ("text_for_letters", "'ab'", ["a", "b"]),
    ("set_for_list", "{1, 2, 3}", [1, 2, 3]),
    ("range_for_list", "range(3)", [0, 1, 2]),
    ("map_for_list", "map(int, '123')", [1, 2, 3]),
    ("generator_for_list", "(n for n in (1, 2, 3))", [1, 2, 3]),
    ("keys_for_list", "{1: 0, 2: 0}.keys()", [1, 2]),
    ("nested_true", "[1, [True, 3]]", [1, [1, 3]]),
    ("nested_float", "{'a': [1.0]}", {"a": [1]}),
    ("nested_text", "[[1, '2']]", [[1, 2]]),
    ("list_longer", "[1, 2, 3, 4]", [1, 2, 3]),
    ("list_shorter", "[1, 2]", [1, 2, 3]),
    ("list_empty", "[]", [1, 2, 3]),
    ("list_order", "[3, 2, 1]", [1, 2, 3]),
    ("list_deeper", "[[1, 2, 3]]", [1, 2, 3]),
    ("list_flatter", "[1, 2, 3]", [[1, 2], [3]]),
    ("inner_empty", "[[]]", []),
    ("dict_extra", "{'a': 1, 'b': 2}", {"a": 1}),
    ("dict_missing", "{'a': 1}", {"a": 1, "b": 2}),
    ("dict_none", "{'a': 1, 'b': None}", {"a": 1}),
    ("wrapped", "[720]", 720),
    ("text_space", "'abc '", "abc"),
    ("text_case", "'Yes'", "yes"),
    ("text_decomposed", "'e\\u0301'", "é"),
    ("text_quoted", "'\"abc\"'", "abc"),
    ("text_surrogate", "'\\ud800'", "?"),
    ("text_surrogate_mark", "'\\ud800'", "\ufffd"),
    ("text_nul", "'abc\\0'", "abc"),
    ("nan", "float('nan')", 1.5),
    ("nan_for_none", "float('nan')", None),
    ("nan_in_list", "[float('nan'), 2]", [1.5, 2]),
    ("infinity", "float('inf')", 1e308),
    ("off_by_one", "2 ** 53", 2**53 + 1),
    ("exception_object", "ValueError(720)", 720),
    ("not_implemented", "NotImplemented", True),
    ("ellipsis", "...", None),
    ("itself", "solve", 720),
    ("class_of_it", "int", 720),
):
    VALUES.append(
        case(
            f"value_{_name}",
            "nearly the right value",
            f"def solve():\n    return {_expression}\n",
            call("solve", [], _expected),
        )
    )
VALUES.append(
    case(
        "value_coroutine",
        "the coroutine that would give the value is not the value",
        "async def solve():\n    return 720\n",
        call("solve", [], 720),
    )
)
VALUES.append(
    case(
        "value_unreturned",
        "the value is printed, not returned",
        "def solve():\n    print(720)\n",
        call("solve", [], 720),
    )
)

# --- objects that agree with everything ------------------------------------------------------------------------------

_LIAR = """
class Liar{base}:
    def __eq__(self, other):
        return True
    __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __bool__ = __instancecheck__ = __eq__
    def __bool__(self):
        return True
    def __ne__(self, other):
        return False
    def __sub__(self, other):
        return 0
    __rsub__ = __mod__ = __sub__
    def __abs__(self):
        return 0
    def __round__(self, digits=None):
        return self
    def __hash__(self):
        return 0
    def __getattr__(self, name):
        return self

def solve(*args):
    return Liar({value})
"""

for _base, _value, _expected in (
    ("", "", 720),
    ("(int)", "0", 720),
    ("(float)", "0.0", 7.5),
    ("(str)", "''", "right"),
    ("(list)", "", [7, 2, 0]),
    ("(tuple)", "", [7, 2, 0]),
    ("(dict)", "", {"a": 7}),
):
    _program = _LIAR.format(base=_base, value=_value)
    _name = _base.strip("()") or "object"
    VALUES.append(
        case(f"liar_{_name}", "its __eq__ is always True", _program, call("solve", [6], _expected)),
    )
    VALUES.append(
        case(
            f"liar_{_name}_assert",
            "its __eq__ is always True, and the test code compares it in the program's process",
            _program,
            asserts(f"assert solve(6) == {_expected!r}\nassert {_expected!r} == solve(6)\n"),
        )
    )

VALUES += [
    case(
        "liar_tolerance",
        "the difference to anything is 0",
        _LIAR.format(base="", value=""),
        asserts("assert abs(solve(2.0) - 1.41421356) < 1e-6\n"),
    ),
    case(
        "liar_any",
        "unittest.mock.ANY equals everything",
        "from unittest.mock import ANY\n\ndef solve(n):\n    return ANY\n",
        asserts("assert solve(6) == 720\nassert solve(7) == 5040\n"),
    ),
    case(
        "liar_any_list",
        "ANY within a list",
        "from unittest.mock import ANY\n\ndef solve(n):\n    return [ANY] * n\n",
        call("solve", [3], [7, 2, 0]),
    ),
    case(
        "liar_any_list_assert",
        "ANY within a list",
        "from unittest.mock import ANY\n\ndef solve(n):\n    return [ANY] * n\n",
        asserts("assert solve(3) == [7, 2, 0]\n"),
    ),
    case(
        "liar_class",
        "__class__ says int, and the metaclass agrees with everything",
        """
class Meta(type):
    def __eq__(cls, other):
        return True
    __hash__ = type.__hash__
    __instancecheck__ = __subclasscheck__ = __eq__

class Liar(metaclass=Meta):
    __class__ = property(lambda self: int)
    def __eq__(self, other):
        return True
    def __index__(self):
        return 0
    def __int__(self):
        return 0

def solve(n):
    return Liar()
""",
        call("solve", [6], 720),
    ),
    case(
        "liar_class_assert",
        "the same in an assertion of its type",
        """
class Liar:
    __class__ = property(lambda self: int)
    def __eq__(self, other):
        return True

def solve(n):
    return Liar()
""",
        asserts("assert isinstance(solve(6), int) and solve(6) == 720\n"),
    ),
    case(
        "liar_function",
        "the function is an object whose every attribute and call agrees",
        _LIAR.format(base="", value="") + "    \nLiar.__call__ = lambda self, *args: self\nsolve = Liar()\n",
        asserts("assert solve(6) == 720\n"),
    ),
    case(
        "liar_solution",
        "Solution answers any method with an object that agrees",
        _LIAR.format(base="", value="")
        + "\ndel solve\n\nclass Solution:\n    def __getattr__(self, name):\n        return lambda *args: Liar()\n",
        call("solve", [6], 720),
    ),
    case(
        "liar_items",
        "a dict that lies about its items, keys, length and representation",
        """
class Liar(dict):
    def __getitem__(self, key):
        return self
    def __contains__(self, key):
        return True
    def __eq__(self, other):
        return True
    def get(self, key, default=None):
        return self
    def __len__(self):
        return 1
    def __repr__(self):
        return "{'a': 7}"

def solve():
    return Liar(b=1)
""",
        call("solve", [], {"a": 7}),
    ),
]

# --- values that break whoever compares, copies or sends them --------------------------------------------------------

for _name, _body, _expected in (
    ("self_list", "a = []\n    a.append(a)\n    return a", [[]]),
    ("self_dict", "a = {}\n    a['a'] = a\n    return a", {"a": {}}),
    ("laughs", "a = [1]\n    for _ in range(60):\n        a = [a, a]\n    return a", [[1], [1]]),
    ("deep_list", "a = []\n    for _ in range(200_000):\n        a = [a]\n    return a", [[]]),
    ("deep_tuple", "a = ()\n    for _ in range(200_000):\n        a = (a,)\n    return a", []),
    ("deep_dict", "a = {}\n    for _ in range(200_000):\n        a = {'a': a}\n    return a", {}),
    ("huge_int", "return 1 << 2_000_000", 1),
    ("digits", "return 10 ** 5_000", 1),
    ("huge_text", "return 'a' * (400 << 20)", "a"),
    ("huge_list", "return [0] * 30_000_000", [0]),
    ("endless", "return __import__('itertools').count()", [0]),
    ("surrogates", "return ['\\udcff' * 9, {'\\ud800': '\\udfff'}]", ["?"]),
    ("module", "return __import__('sys')", 1),
    ("frame", "return __import__('sys')._getframe()", 1),
    ("lock", "return __import__('threading').Lock()", 1),
    ("odd_keys", "return {None: 1, (1, 2): 3, 1.5: 2, True: 4}", {"null": 1}),
    ("same_keys", "return {1: 'a', '1': 'b'}", {"1": "b"}),
    ("raising_eq", "return type('E', (), {'__eq__': lambda s, o: 1 / 0})()", 1),
    ("raising_iter", "return type('E', (list,), {'__iter__': lambda s: 1 / 0})([2])", [1]),
    ("raising_repr", "return type('E', (int,), {'__repr__': lambda s: 1 / 0, '__str__': lambda s: 1 / 0})(2)", 1),
    ("endless_len", "return type('E', (list,), {'__iter__': lambda s: __import__('itertools').count()})([2])", [1]),
):
    VALUES.append(
        case(
            f"break_{_name}",
            "the judge must neither crash nor hang on it",
            f"def solve():\n    {_body}\n",
            call("solve", [], _expected),
        )
    )

# --- stdout that is nearly right -------------------------------------------------------------------------------------

for _name, _program, _output in (
    ("first_line", "print(1)", "1\n2\n3\n"),
    ("last_line", "print(3)", "1\n2\n3\n"),
    ("one_less", "print(1, 2)", "1\n2\n3\n"),
    ("other_order", "print('1\\n3\\n2')", "1 2 3\n"),
    ("glued", "print(123)", "1\n2\n3\n"),
    ("extra_line", "print('1\\n2\\n3\\n4')", "1\n2\n3\n"),
    ("split", "print('1\\n 2')", "12\n"),
    ("all_numbers", "print(*range(1000))", "42\n"),
    ("case", "print('yes')", "YES\n"),
    ("float", "print(42.5)", "42\n"),
    ("nearly_whole", "print(41.9999999)", "42\n"),
    ("rounded", "print(1e17)", "100000000000000001\n"),
    ("zeros", "print('042')", "42\n"),
    ("sign", "print('-42')", "42\n"),
    ("padded_bits", "print('101')", "0101\n"),
    ("underscore", "print('4_2')", "42\n"),
    ("exponent", "print('1e3')", "1001\n"),
    ("huge_exponent", "print('1e999999999')", "1.0\n"),
    ("wide_digits", "print('４２')", "42\n"),
    ("quotes", "print(repr('42'))", "42\n"),
    ("list_spaces", "print('[1,2]')", "[1, 2]\n"),
    ("close_float", "print(0.30001)", "0.3\n"),
    ("infinite", "print('inf')", "1e308\n"),
    ("not_a_number", "print('nan')", "0.5\n"),
    ("nul", "print('42\\0')", "42\n"),
    ("return", "print('41\\r42')", "42\n"),
    ("backspace", "print('41\\b2')", "42\n"),
    ("zero_width", "print('4\\u200b2')", "42\n"),
    ("mark", "print('\\ufeff42')", "42\n"),
    ("latin", "import os\nos.write(1, b'caf\\xe9\\n')", "café\n"),
    ("bad_bytes", "import os\nos.write(1, b'4\\xff2\\n')", "42\n"),
    ("utf16", "import os\nos.write(1, '42\\n'.encode('utf-16'))", "42\n"),
    ("stderr", "import sys\nprint(42, file=sys.stderr)", "42\n"),
    ("descriptor", "import os\nos.dup2(2, 1)\nprint(42)", "42\n"),
    ("to_stdin", "import os\nos.write(0, b'42\\n')", "42\n"),
    ("echo", "print(input())", "42\n"),
    ("returned", "def main():\n    return 42\nmain()", "42\n"),
    ("guard", "if __name__ != '__main__':\n    print(42)", "42\n"),
):
    VALUES.append(case(f"stdout_{_name}", "nearly the right output", f"{_program}\n", stdio(_output, "6\n")))

VALUES.append(
    case(
        "stdout_one_of_two",
        "one right test of two is not all",
        "print(int(input()) * 2)\n",
        stdio("4\n", "2\n"),
        stdio("9\n", "3\n"),
    )
)
VALUES.append(
    case(
        "value_one_of_three",
        "only the first tests are right",
        "def solve(n):\n    return [1, 1, 2, 3][n]\n",
        call("solve", [2], 2),
        call("solve", [3], 3),
        call("solve", [4], 5),
    )
)
