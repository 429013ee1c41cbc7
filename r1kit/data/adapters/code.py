"""Sets of programming problems: HumanEval, MBPP, APPS, TACO, CodeContests, Codeforces, LeetCode and others.

Their tests become r1kit's (r1kit/data/adapters/code_tests.py). Problems that comparing outputs cannot judge are
dropped: those with files for input, with interaction, or with a checker that is no Python.
"""

import ast
import json
import re
from typing import Any

from r1kit.data.adapters.code_tests import (
    Test,
    call_tests,
    literal_value,
    parse_nested,
    parse_tests,
    private_cases,
    stdio_tests,
    tests_as_json,
    tests_of_cases,
    values_of,
)
from r1kit.rows import Row

COMPLETE_FUNCTION = "Complete this Python function. Reply with the whole function.\n\n```python\n{}\n```"
STDIO_INSTRUCTION = "\n\nWrite a Python program that reads from standard input and prints to standard output."
STARTER_CODE = "\n\nUse this starter code:\n\n```python\n{}\n```"

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


def adapt_humaneval(row: Row) -> Row | None:
    """Read openai/openai_humaneval. The helper functions of a prompt become part of the test, which may call them."""
    function = row["entry_point"]
    helpers = ast.parse(row["prompt"] + "    pass")
    helpers.body = [node for node in helpers.body if getattr(node, "name", "") != function]
    test_code = f"{ast.unparse(helpers)}\n{row['test']}\ncheck({function})"
    return _code_row(
        COMPLETE_FUNCTION.format(row["prompt"].strip()),
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
        return _code_row(row["question"] + STDIO_INSTRUCTION, stdio_tests(inputs, outputs), **columns)
    starter_code = (row.get("starter_code") or "").strip()
    if starter_code:
        instruction = STARTER_CODE.format(starter_code)
    else:
        instruction = f"\n\nCall the function {function}."
    return _code_row(row["question"] + instruction, call_tests(function, inputs, outputs), **columns)


def adapt_livecodebench(row: Row) -> Row | None:
    """Read livecodebench/code_generation_lite, whose private tests are JSON that is pickled, compressed and encoded."""
    cases = parse_nested(row["public_test_cases"]) + private_cases(row["private_test_cases"])
    metadata = parse_nested(row.get("metadata") or "{}")
    starter_code = (row.get("starter_code") or "").strip()
    instruction = STARTER_CODE.format(starter_code) if starter_code else STDIO_INSTRUCTION
    tests = tests_of_cases(cases, metadata.get("func_name"))
    columns = {"id": row.get("question_id"), "level": row.get("difficulty"), "source": row.get("platform")}
    return _code_row(row["question_content"] + instruction, tests, **columns)


def adapt_problem_with_tests(row: Row) -> Row | None:
    """Read agentica-org/DeepCoder-Preview-Dataset and sets of its form: a problem, and tests in any usual form."""
    tests = parse_tests(parse_nested(row["tests"]))
    metadata = row.get("metadata")
    function = metadata.get("func_name") if isinstance(metadata, dict) else None
    if not tests or (function and any(test["kind"] == "stdio" for test in tests)):
        return None
    starter_code = (row.get("starter_code") or "").strip()
    uses_stdio = tests[0]["kind"] == "stdio"
    instruction = STARTER_CODE.format(starter_code) if starter_code else (STDIO_INSTRUCTION if uses_stdio else "")
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
    instruction = STARTER_CODE.format("\n".join(declarations)) if declarations else ""
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
    return _code_row(row["description"] + STDIO_INSTRUCTION, stdio_tests(inputs, outputs), id=row.get("name"))


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
    tests = stdio_tests(values_of(official_tests, "input"), values_of(official_tests, "output"))
    if checker:
        tests = [{**test, "kind": "checker", "code": checker} for test in tests]
    return _code_row(prompt + STDIO_INSTRUCTION, tests, id=row.get("id"), level=row.get("rating"))


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
            arguments = [literal_value(keyword.value) for keyword in call.keywords]
            arguments += [literal_value(argument) for argument in call.args]
            expected = literal_value(ast.parse(case["output"], mode="eval").body)
        except (ValueError, SyntaxError):
            continue  # an object, or the error message of a solution that failed
        tests.append({"kind": "call", "function": method, "args": arguments, "expected": expected})
    prompt = row["problem_description"]
    if row.get("starter_code"):
        prompt += STARTER_CODE.format(row["starter_code"].rstrip())
    return _code_row(prompt, tests, answer=row.get("completion"), id=row["task_id"], level=row.get("difficulty"))


def adapt_verifiable_coding(row: Row) -> Row | None:
    """Read open-r1/verifiable-coding-problems-python and PrimeIntellect/verifiable-coding-problems."""
    info = parse_nested(row["verification_info"])
    if info.get("language", "python") != "python":
        return None
    cases = parse_nested(info["test_cases"])
    calls = [case for case in cases if case.get("fn_name") and case.get("type") != "stdin_stdout"]
    if calls:
        # Arguments and results are values, written as JSON or as Python.
        inputs = list(map(parse_nested, values_of(calls, "input")))
        outputs = list(map(parse_nested, values_of(calls, "output")))
        tests = call_tests(calls[0]["fn_name"], inputs, outputs)
    else:
        tests = stdio_tests(values_of(cases, "input"), values_of(cases, "output"))
    return _code_row(
        row["problem_statement"] if row.get("problem_statement") else row["prompt"],
        tests,
        answer=row.get("gold_standard_solution"),
        id=row.get("problem_id"),
        source=row.get("source"),
    )
