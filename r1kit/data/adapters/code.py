"""Sets of programming problems: HumanEval, MBPP, APPS, TACO, CodeContests, Codeforces, LeetCode and others.

Their tests become r1kit's `stdio`, `call` and `assert` tests, such as
`{"kind": "call", "function": "add", "args": [1, 2], "expected": 3}`. Problems that comparing outputs cannot judge are
dropped: those with files for input, with interaction, or with a checker that is no Python.
"""

import ast
import base64
import io
import json
import pickle
import re
import zlib
from typing import Any

from r1kit.rows import Row

Test = dict[str, Any]

MAX_TESTS = 64
"""Tests of one problem that are kept: TACO has 200 on average, and each costs a process."""

_COMPLETE_FUNCTION = "Complete this Python function. Reply with the whole function.\n\n```python\n{}\n```"
_STDIO_INSTRUCTION = "\n\nWrite a Python program that reads from standard input and prints to standard output."
_STARTER_CODE = "\n\nUse this starter code:\n\n```python\n{}\n```"

_IMPORT_OF_SOLUTION = re.compile(r"^from solution import .*$|^import solution$", re.MULTILINE)


def _code_row(prompt: str, tests: list[Test], **columns: Any) -> Row | None:
    """Return a programming problem with the further `columns`; None without tests."""
    if not tests or not prompt.strip():
        return None
    return {
        "prompt": prompt.strip(),
        "tests": tests_as_json(tests),
        "checker": "code",
        "domain": "code",
        **columns,
    }


def tests_as_json(tests: list[Test]) -> str:
    """Return tests as the text that the column `tests` holds."""
    return json.dumps(_select_tests(tests), ensure_ascii=False)


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


def parse_tests(value: Any) -> list[Test]:
    """Return the tests that a value holds in any of the usual forms; an empty list for what is no tests.

    {"inputs": ["1"], "outputs": ["2"]}                    APPS, TACO, Eurus-2; with `fn_name`, calls of that function
    [{"input": "1", "output": "2", "testtype": "stdin"}]   LiveCodeBench, DeepCoder
    {"functional": "def check(candidate): ..."}            LeetCode in verl's rows
    ["assert add(1, 2) == 3"]                              MBPP, AceCode
    """
    if isinstance(value, dict):
        inputs, outputs = value.get("inputs", value.get("input")), value.get("outputs", value.get("output"))
        if isinstance(inputs, list) and isinstance(outputs, list):
            function = value.get("fn_name") or value.get("func_name")
            if function:
                return _call_tests(function, _parsed_members(inputs), _parsed_members(outputs))
            return _stdio_tests(inputs, outputs)
        if isinstance(value.get("functional"), str) and value["functional"].strip():
            return [{"kind": "assert", "code": value["functional"]}]
        return []
    if not isinstance(value, list) or not value:
        return []
    if all(isinstance(test, str) and test.lstrip().startswith(("assert ", "assert(")) for test in value):
        return [{"kind": "assert", "code": test} for test in value]
    if all(isinstance(test, dict) and "input" in test and "output" in test for test in value):
        return _tests_of_cases(value, None)
    return []


def _parsed_members(values: list[Any]) -> list[Any]:
    """Return arguments or results, each of which may be written as JSON or as a Python literal."""
    members = []
    for value in values:
        try:
            members.append(_parse_nested(value))
        except (ValueError, SyntaxError):
            members.append(value)
    return members


def _tests_of_cases(cases: list[Row], function: str | None) -> list[Test]:
    """Return the tests of LiveCodeBench's form; `function` is the one that functional tests call."""
    tests: list[Test] = []
    for case in cases:
        name = case.get("fn_name") or function
        if case.get("testtype", case.get("type")) in ("functional", "function_call") and name:
            # The arguments stand as JSON, one on each line.
            lines = case["input"].splitlines() if isinstance(case["input"], str) else case["input"]
            arguments = [_parse_nested(line) for line in lines]
            expected = _parse_nested(case["output"])
            tests.append({"kind": "call", "function": name, "args": arguments, "expected": expected})
        else:
            tests += _stdio_tests([case["input"]], [case["output"]])
    return tests


class _PlainUnpickler(pickle.Unpickler):
    """Reads pickled text and numbers alone: a pickle of anything else may run code."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"the tests hold an object of {module}.{name}")


def adapt_livecodebench(row: Row) -> Row | None:
    """Read livecodebench/code_generation_lite, whose private tests are JSON that is pickled, compressed and encoded."""
    cases = _parse_nested(row["public_test_cases"]) + _private_cases(row["private_test_cases"])
    metadata = _parse_nested(row.get("metadata") or "{}")
    starter_code = (row.get("starter_code") or "").strip()
    instruction = _STARTER_CODE.format(starter_code) if starter_code else _STDIO_INSTRUCTION
    tests = _tests_of_cases(cases, metadata.get("func_name"))
    columns = {"id": row.get("question_id"), "level": row.get("difficulty"), "source": row.get("platform")}
    return _code_row(row["question_content"] + instruction, tests, **columns)


def _private_cases(value: Any) -> list[Row]:
    if not isinstance(value, str):
        return value or []
    try:
        return json.loads(value)
    except ValueError:
        data = zlib.decompress(base64.b64decode(value))
        text = _PlainUnpickler(io.BytesIO(data)).load()
        return json.loads(text)


def adapt_problem_with_tests(row: Row) -> Row | None:
    """Read agentica-org/DeepCoder-Preview-Dataset and sets of its form: a problem, and tests in any usual form."""
    tests = parse_tests(_parse_nested(row["tests"]))
    metadata = row.get("metadata")
    function = metadata.get("func_name") if isinstance(metadata, dict) else None
    if not tests or (function and any(test["kind"] == "stdio" for test in tests)):
        return None
    starter_code = (row.get("starter_code") or "").strip()
    uses_stdio = tests[0]["kind"] == "stdio"
    instruction = _STARTER_CODE.format(starter_code) if starter_code else (_STDIO_INSTRUCTION if uses_stdio else "")
    return _code_row(row["problem"] + instruction, tests)


def adapt_kodcode(row: Row) -> Row | None:
    """Read KodCode/KodCode-V1: tests as functions of pytest, which import the solution by its module's name."""
    code = _IMPORT_OF_SOLUTION.sub("", row["test"])
    functions = [node.name for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)]
    names = [name for name in functions if name.startswith("test")]
    if "pytest" in code or "solution" in code:
        return None  # fixtures and expected exceptions need pytest, which the box does not have
    tests = [{"kind": "assert", "code": f"{code}\n{name}()"} for name in names]
    info = row.get("test_info") or []
    declarations = [entry["function_declaration"] for entry in info if entry.get("function_declaration")]
    instruction = _STARTER_CODE.format("\n".join(declarations)) if declarations else ""
    columns = {"answer": row.get("solution"), "id": row.get("question_id")}
    return _code_row(row["question"] + instruction, tests, **columns)


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
    """Read open-r1/codeforces: problems with complete tests on standard input, and with checkers that are Python."""
    checker = row.get("generated_checker")
    if row.get("interaction_format") or row.get("input_mode") == "file" or (checker and not _is_python(checker)):
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
    if checker:
        tests = [{**test, "kind": "checker", "code": checker} for test in tests]
    return _code_row(prompt + _STDIO_INSTRUCTION, tests, id=row.get("id"), level=row.get("rating"))


def _is_python(code: str) -> bool:
    try:
        ast.parse(code)
    except (SyntaxError, ValueError):
        return False
    return "print" in code or "def check" in code


def adapt_leetcode(row: Row) -> Row | None:
    """Read newfacade/LeetCodeDataset: calls of a method of `class Solution` with plain values, linked lists and trees.

    Problems with a `Node` (graphs, n-ary trees, random pointers) are left out.
    """
    if re.search(r"\bNode\b", row.get("starter_code") or ""):
        return None
    method = row["entry_point"].rpartition(".")[2]
    tests = []
    for case in row.get("input_output") or []:
        call = ast.parse(f"f({case['input']})", mode="eval").body
        assert isinstance(call, ast.Call)
        try:
            # The inputs are written as keyword arguments, in the order of the method's parameters.
            arguments = [_literal_value(keyword.value) for keyword in call.keywords]
            arguments += [_literal_value(argument) for argument in call.args]
            expected = _literal_value(ast.parse(case["output"], mode="eval").body)
        except (ValueError, SyntaxError):
            continue  # an object, or the error message of a solution that failed
        tests.append({"kind": "call", "function": method, "args": arguments, "expected": expected})
    prompt = row["problem_description"]
    if row.get("starter_code"):
        prompt += _STARTER_CODE.format(row["starter_code"].rstrip())
    return _code_row(prompt, tests, answer=row.get("completion"), id=row["task_id"], level=row.get("difficulty"))


def _literal_value(node: ast.expr) -> Any:
    """Return the value of a literal; of `list_node([1, 2])` and `tree_node([1])` the list, as LeetCode writes it."""
    is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 1
    if is_call and node.func.id in ("list_node", "tree_node"):  # type: ignore[attr-defined]
        return ast.literal_eval(node.args[0])  # type: ignore[attr-defined]
    return ast.literal_eval(node)


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
