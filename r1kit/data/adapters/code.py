"""Sets of programming problems: HumanEval, MBPP, APPS, TACO, CodeContests, Codeforces, LeetCode, verifiable-coding.

Their tests become r1kit's `stdio`, `call` and `assert` tests, such as
`{"kind": "call", "function": "add", "args": [1, 2], "expected": 3}`. Problems that comparing outputs cannot judge are
dropped: those with a checker of their own, with files for input, or with interaction.
"""

import ast
import json
from typing import Any

from r1kit.rows import Row

Test = dict[str, Any]

MAX_TESTS = 64
"""Tests of one problem that are kept: TACO has 200 on average, and each costs a process."""

_COMPLETE_FUNCTION = "Complete this Python function. Reply with the whole function.\n\n```python\n{}\n```"
_STDIO_INSTRUCTION = "\n\nWrite a Python program that reads from standard input and prints to standard output."
_STARTER_CODE = "\n\nUse this starter code:\n\n```python\n{}\n```"


def _code_row(prompt: str, tests: list[Test], **columns: Any) -> Row | None:
    """Return a programming problem with the further `columns`; None without tests."""
    if not tests or not prompt.strip():
        return None
    return {
        "prompt": prompt.strip(),
        "tests": json.dumps(_select_tests(tests), ensure_ascii=False),
        "checker": "code",
        "domain": "code",
        **columns,
    }


def _select_tests(tests: list[Test]) -> list[Test]:
    """Return at most MAX_TESTS tests, evenly spread: sets often put the easy ones first."""
    if len(tests) <= MAX_TESTS:
        return tests
    return [tests[i * len(tests) // MAX_TESTS] for i in range(MAX_TESTS)]


def adapt_humaneval(row: Row) -> Row | None:
    """Read openai/openai_humaneval. The helper functions of a prompt become part of the test, which may call them."""
    function = row["entry_point"]
    helpers = ast.parse(row["prompt"] + "    pass")
    helpers.body = [node for node in helpers.body if getattr(node, "name", "") != function]
    test_code = f"{ast.unparse(helpers)}\n{row['test']}\ncheck({function})"
    return _code_row(
        _COMPLETE_FUNCTION.format(row["prompt"].strip()),
        [{"kind": "assert", "code": test_code, "function": function}],
        answer=row["prompt"] + row["canonical_solution"],
        id=row["task_id"],
    )


def adapt_mbpp(row: Row) -> Row | None:
    """Read google-research-datasets/mbpp, full and sanitized. The prompt has a test, which names the function."""
    setup_lines = list(row.get("test_imports") or [])
    if not setup_lines and row.get("test_setup_code"):
        setup_lines = [row["test_setup_code"]]
    setup = "".join(line + "\n" for line in setup_lines)
    tests = [*row["test_list"], *(row.get("challenge_test_list") or [])]
    task = row["text"] if row.get("text") else row["prompt"]
    prompt = f"{task}\n\nYour code must pass this test:\n\n```python\n{row['test_list'][0]}\n```"
    return _code_row(
        prompt,
        [{"kind": "assert", "code": setup + test} for test in tests],
        answer=row["code"].replace("\r\n", "\n"),
        id=f"mbpp/{row['task_id']}",
    )


def adapt_apps(row: Row) -> Row | None:
    """Read codeparrot/apps and BAAI/TACO: tests as JSON, which are calls if they name a function (`fn_name`)."""
    cases = json.loads(row["input_output"])
    inputs, outputs = cases["inputs"], cases["outputs"]
    columns = {"source": row.get("source") or row.get("url"), "level": row.get("difficulty")}
    function = cases.get("fn_name")
    if not function:
        return _code_row(row["question"] + _STDIO_INSTRUCTION, _stdio_tests(inputs, outputs), **columns)
    starter_code = (row.get("starter_code") or "").strip()
    if starter_code:
        instruction = _STARTER_CODE.format(starter_code)
    else:
        instruction = f"\n\nCall the function {function}."
    return _code_row(row["question"] + instruction, _call_tests(function, inputs, outputs), **columns)


def _stdio_tests(inputs: list[Any], outputs: list[Any]) -> list[Test]:
    """Return tests by standard input and output; each input and output is text, or a list of lines."""
    tests = []
    for test_input, test_output in zip(inputs, outputs, strict=True):
        expected_output = _join_lines(test_output)
        if expected_output:
            tests.append({"kind": "stdio", "input": _join_lines(test_input), "output": expected_output})
    return tests


def _column(rows: list[Row], name: str) -> list[Any]:
    return [row[name] for row in rows]


def _join_lines(value: Any) -> str:
    text = "\n".join(map(str, value)) if isinstance(value, list) else str(value)
    return text.replace("\r\n", "\n")


def _call_tests(function: str, inputs: list[Any], outputs: list[Any]) -> list[Test]:
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


def adapt_code_contests(row: Row) -> Row | None:
    """Read deepmind/code_contests: public, private and generated tests; problems that read files are dropped."""
    if row.get("input_file") or row.get("output_file"):
        return None
    inputs: list[Any] = []
    outputs: list[Any] = []
    for group in ("public", "private", "generated"):
        tests = row[f"{group}_tests"] or {"input": [], "output": []}
        inputs += tests["input"]
        outputs += tests["output"]
    return _code_row(row["description"] + _STDIO_INSTRUCTION, _stdio_tests(inputs, outputs), id=row.get("name"))


def adapt_codeforces(row: Row) -> Row | None:
    """Read open-r1/codeforces: only problems with complete tests on standard input and no checker of their own."""
    if row.get("generated_checker") or row.get("interaction_format") or row.get("input_mode") == "file":
        return None
    if row.get("language") not in (None, "python") or row.get("official_tests_complete") is False:
        return None
    sections = [row["title"], row["description"]]
    if row["input_format"]:
        sections.append("Input\n" + row["input_format"])
    if row["output_format"]:
        sections.append("Output\n" + row["output_format"])
    for example in row["examples"] or []:
        sections.append(f"Example input\n{example['input']}\n\nExample output\n{example['output']}")
    sections.append(row.get("note"))
    prompt = "\n\n".join(section.replace("\r\n", "\n").strip() for section in sections if section)
    official_tests = row["official_tests"] or []
    tests = _stdio_tests(_column(official_tests, "input"), _column(official_tests, "output"))
    return _code_row(prompt + _STDIO_INSTRUCTION, tests, id=row.get("id"), level=row.get("rating"))


def adapt_leetcode(row: Row) -> Row | None:
    """Read newfacade/LeetCodeDataset: calls of a method of `class Solution` with plain values, not with trees."""
    method = row["entry_point"].rpartition(".")[2]
    tests = []
    for case in row.get("input_output") or []:
        call = ast.parse(f"f({case['input']})", mode="eval").body
        assert isinstance(call, ast.Call)
        try:
            # The inputs are written as keyword arguments, in the order of the method's parameters.
            arguments = [ast.literal_eval(keyword.value) for keyword in call.keywords]
            arguments += [ast.literal_eval(argument) for argument in call.args]
            expected = ast.literal_eval(case["output"])
        except ValueError:
            continue  # a tree, a linked list, or the error message of a solution that failed
        tests.append({"kind": "call", "function": method, "args": arguments, "expected": expected})
    prompt = row["problem_description"]
    if row.get("starter_code"):
        prompt += _STARTER_CODE.format(row["starter_code"].rstrip())
    return _code_row(prompt, tests, answer=row.get("completion"), id=row["task_id"], level=row.get("difficulty"))


def adapt_verifiable_coding(row: Row) -> Row | None:
    """Read open-r1/verifiable-coding-problems-python and PrimeIntellect/verifiable-coding-problems."""
    info = _parse_nested(row["verification_info"])
    if info.get("language", "python") != "python":
        return None
    cases = _parse_nested(info["test_cases"])
    calls = [case for case in cases if case.get("fn_name") and case.get("type") != "stdin_stdout"]
    if calls:
        # Arguments and results are values, written as JSON or as Python.
        inputs = list(map(_parse_nested, _column(calls, "input")))
        outputs = list(map(_parse_nested, _column(calls, "output")))
        tests = _call_tests(calls[0]["fn_name"], inputs, outputs)
    else:
        tests = _stdio_tests(_column(cases, "input"), _column(cases, "output"))
    return _code_row(
        row["problem_statement"] if row.get("problem_statement") else row["prompt"],
        tests,
        answer=row.get("gold_standard_solution"),
        id=row.get("problem_id"),
        source=row.get("source"),
    )


def _parse_nested(value: Any) -> Any:
    """Return a value that may be written as JSON or as a Python literal."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return ast.literal_eval(value)
