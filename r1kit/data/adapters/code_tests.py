"""Tests of programs in the forms in which data sets have them, brought to r1kit's `stdio`, `call` and `assert` tests.

    parse_tests({"inputs": ["1"], "outputs": ["2"]})      [{"kind": "stdio", "input": "1", "output": "2"}]
    parse_tests(["assert add(1, 2) == 3"])                [{"kind": "assert", "code": "assert add(1, 2) == 3"}]

docs/how-to/rewards.md describes the kinds of tests.
"""

import ast
import base64
import io
import json
import pickle
import zlib
from typing import Any

from r1kit.rows import Row

Test = dict[str, Any]

MAX_TESTS = 64
"""Tests of one problem that are kept: TACO has 200 on average, and each costs a process."""


def tests_as_json(tests: list[Test]) -> str:
    """Return tests as the text that the column `tests` holds."""
    return json.dumps(_select_tests(tests), ensure_ascii=False)


def _select_tests(tests: list[Test]) -> list[Test]:
    """Return at most MAX_TESTS tests, evenly spread: sets often put the easy ones first."""
    if len(tests) <= MAX_TESTS:
        return tests
    return [tests[i * len(tests) // MAX_TESTS] for i in range(MAX_TESTS)]


def stdio_tests(inputs: list[Any], outputs: list[Any]) -> list[Test]:
    """Return tests by standard input and output; each input and output is text, or a list of lines."""
    tests = []
    for test_input, test_output in zip(inputs, outputs, strict=True):
        expected_output = _join_lines(test_output)
        if expected_output:
            tests.append({"kind": "stdio", "input": _join_lines(test_input), "output": expected_output})
    return tests


def values_of(rows: list[Row], name: str) -> list[Any]:
    """Return the value of one key in each row."""
    return [row[name] for row in rows]


def _join_lines(value: Any) -> str:
    text = "\n".join(map(str, value)) if isinstance(value, list) else str(value)
    return text.replace("\r\n", "\n")


def call_tests(function: str, inputs: list[Any], outputs: list[Any]) -> list[Test]:
    """Return tests by calls with positional arguments.

    If every output is a list of one member, that list only wraps the expected value: the data sets' own checkers accept
    both.
    """
    are_wrapped = bool(outputs) and all(isinstance(output, list) and len(output) == 1 for output in outputs)
    tests = []
    for arguments, output in zip(inputs, outputs, strict=True):
        if isinstance(arguments, list):
            expected = output[0] if are_wrapped else output
            tests.append({"kind": "call", "function": function, "args": list(arguments), "expected": expected})
    return tests


def parse_tests(value: Any) -> list[Test]:
    """Return the tests that a value holds in any of the usual forms; an empty list for what is no tests.

    The usual forms, and sets that have them:

        {"inputs": ["1"], "outputs": ["2"]}                    APPS, TACO, Eurus-2; with `fn_name`, calls of it
        [{"input": "1", "output": "2", "testtype": "stdin"}]   LiveCodeBench, DeepCoder
        {"functional": "def check(candidate): ..."}            LeetCode in verl's rows
        ["assert add(1, 2) == 3"]                              MBPP, AceCode
    """
    if isinstance(value, dict):
        inputs, outputs = value.get("inputs", value.get("input")), value.get("outputs", value.get("output"))
        if isinstance(inputs, list) and isinstance(outputs, list):
            function = value.get("fn_name") or value.get("func_name")
            if function:
                return call_tests(function, _parsed_members(inputs), _parsed_members(outputs))
            return stdio_tests(inputs, outputs)
        if isinstance(value.get("functional"), str) and value["functional"].strip():
            return [{"kind": "assert", "code": value["functional"]}]
        return []
    if not isinstance(value, list) or not value:
        return []
    if all(isinstance(test, str) and test.lstrip().startswith(("assert ", "assert(")) for test in value):
        return [{"kind": "assert", "code": test} for test in value]
    if all(isinstance(test, dict) and "input" in test and "output" in test for test in value):
        return tests_of_cases(value, None)
    return []


def _parsed_members(values: list[Any]) -> list[Any]:
    """Return arguments or results, each of which may be written as JSON or as a Python literal."""
    members = []
    for value in values:
        try:
            members.append(parse_nested(value))
        except (ValueError, SyntaxError):
            members.append(value)
    return members


def tests_of_cases(cases: list[Row], function: str | None) -> list[Test]:
    """Return the tests of LiveCodeBench's form; `function` is the one that functional tests call."""
    tests: list[Test] = []
    for case in cases:
        name = case.get("fn_name") or function
        if case.get("testtype", case.get("type")) in ("functional", "function_call") and name:
            # The arguments stand as JSON, one on each line.
            lines = case["input"].splitlines() if isinstance(case["input"], str) else case["input"]
            arguments = [parse_nested(line) for line in lines]
            expected = parse_nested(case["output"])
            tests.append({"kind": "call", "function": name, "args": arguments, "expected": expected})
        else:
            tests += stdio_tests([case["input"]], [case["output"]])
    return tests


class _PlainUnpickler(pickle.Unpickler):
    """Reads pickled text and numbers alone: a pickle of anything else may run code."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"the tests hold an object of {module}.{name}")


def private_cases(value: Any) -> list[Row]:
    """Return LiveCodeBench's private test cases: a list, its JSON, or that JSON pickled, compressed and encoded."""
    if not isinstance(value, str):
        return value or []
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        data = zlib.decompress(base64.b64decode(value))
        text = _PlainUnpickler(io.BytesIO(data)).load()
        return json.loads(text)


def literal_value(node: ast.expr) -> Any:
    """Return the value of a literal; of `list_node([1, 2])` and `tree_node([1])` the list, as LeetCode writes it."""
    is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 1
    if is_call and node.func.id in ("list_node", "tree_node"):  # type: ignore[attr-defined]
        return ast.literal_eval(node.args[0])  # type: ignore[attr-defined]
    return ast.literal_eval(node)


def parse_nested(value: Any) -> Any:
    """Return a value that may be written as JSON or as a Python literal."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return ast.literal_eval(value)
