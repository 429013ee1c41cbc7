"""Sets of programming problems: HumanEval, MBPP, APPS, TACO, CodeContests, Codeforces, LeetCode, verifiable-coding.

Their tests become `stdio`, `call` and `assert` tests. Problems that exact comparison cannot judge (a checker of their
own, files for input, interaction) are of no use here.
"""

import ast
import json
from typing import Any

from r1kit.rows import Row

Test = dict[str, Any]

_COMPLETE = "Complete this Python function. Reply with the whole function.\n\n```python\n{}\n```"
_STDIO = "\n\nWrite a Python program that reads from standard input and prints to standard output."
_STARTER = "\n\nUse this starter code:\n\n```python\n{}\n```"
MAX_TESTS = 64  # of one problem: TACO has 200 on average, and each costs a process


def _problem(prompt: str, tests: list[Test], **more: Any) -> Row | None:
    """Return a code problem, None without tests."""
    if not tests or not prompt.strip():
        return None
    return {
        "prompt": prompt.strip(),
        "tests": json.dumps(_spread(tests), ensure_ascii=False),
        "checker": "code",
        "domain": "code",
        **more,
    }


def _spread(tests: list[Test]) -> list[Test]:
    """Return at most MAX_TESTS tests, evenly taken."""
    if len(tests) <= MAX_TESTS:
        return tests
    return [tests[i * len(tests) // MAX_TESTS] for i in range(MAX_TESTS)]


def humaneval(row: Row) -> Row | None:
    """openai/openai_humaneval. Helpers that the prompt gives belong to the test, which may call them."""
    entry = row["entry_point"]
    given = ast.parse(row["prompt"] + "    pass")
    given.body = [node for node in given.body if getattr(node, "name", "") != entry]
    code = f"{ast.unparse(given)}\n{row['test']}\ncheck({entry})"
    return _problem(
        _COMPLETE.format(row["prompt"].strip()),
        [{"kind": "assert", "code": code, "function": entry}],
        answer=row["prompt"] + row["canonical_solution"],
        id=row["task_id"],
    )


def mbpp(row: Row) -> Row | None:
    """google-research-datasets/mbpp, full and sanitized. The first test stands in the prompt: it names the function."""
    given = row.get("test_imports") or ([row["test_setup_code"]] if row.get("test_setup_code") else [])
    before = "".join(line + "\n" for line in given)
    tests = [*row["test_list"], *(row.get("challenge_test_list") or [])]
    asked = row["text"] if row.get("text") else row["prompt"]
    prompt = f"{asked}\n\nYour code must pass this test:\n\n```python\n{row['test_list'][0]}\n```"
    return _problem(
        prompt,
        [{"kind": "assert", "code": before + test} for test in tests],
        answer=row["code"].replace("\r\n", "\n"),
        id=f"mbpp/{row['task_id']}",
    )


def apps(row: Row) -> Row | None:
    """codeparrot/apps and BAAI/TACO: tests as JSON; with `fn_name` they are calls, else standard input and output."""
    given = json.loads(row["input_output"])
    starter = (row.get("starter_code") or "").strip()
    source = {"source": row.get("source") or row.get("url"), "level": row.get("difficulty")}
    if name := given.get("fn_name"):
        prompt = row["question"] + (_STARTER.format(starter) if starter else f"\n\nCall the function {name}.")
        return _problem(prompt, _calls(name, given["inputs"], given["outputs"]), **source)
    return _problem(row["question"] + _STDIO, _stdio(given["inputs"], given["outputs"]), **source)


def _stdio(inputs: list[Any], outputs: list[Any]) -> list[Test]:
    """Inputs and outputs are text, or lists of lines."""
    return [
        {"kind": "stdio", "input": _lines(i), "output": _lines(o)}
        for i, o in zip(inputs, outputs, strict=True)
        if len(_lines(o)) > 0
    ]


def _lines(value: Any) -> str:
    text = "\n".join(map(str, value)) if isinstance(value, list) else str(value)
    return text.replace("\r\n", "\n")


def _calls(name: str, inputs: list[Any], outputs: list[Any]) -> list[Test]:
    """Calls by position. Where every output is a list of one, that list wraps it: their own checkers take both."""
    wrapped = bool(outputs) and all(isinstance(o, list) and len(o) == 1 for o in outputs)
    return [
        {"kind": "call", "function": name, "args": list(i), "expected": o[0] if wrapped else o}
        for i, o in zip(inputs, outputs, strict=True)
        if isinstance(i, list)
    ]


def code_contests(row: Row) -> Row | None:
    """deepmind/code_contests: public, private and generated tests; problems that read files are left out."""
    if row.get("input_file") or row.get("output_file"):
        return None
    parts = [row[f"{name}_tests"] or {"input": [], "output": []} for name in ("public", "private", "generated")]
    inputs = [i for part in parts for i in part["input"]]
    outputs = [o for part in parts for o in part["output"]]
    return _problem(row["description"] + _STDIO, _stdio(inputs, outputs), id=row.get("name"))


def codeforces(row: Row) -> Row | None:
    """open-r1/codeforces. Only what exact comparison judges: complete tests, standard input, no checker."""
    if row.get("generated_checker") or row.get("interaction_format") or row.get("input_mode") == "file":
        return None
    if row.get("language") not in (None, "python") or row.get("official_tests_complete") is False:
        return None
    tests = row["official_tests"] or []
    parts = (
        row["title"],
        row["description"],
        "Input\n" + row["input_format"] if row["input_format"] else None,
        "Output\n" + row["output_format"] if row["output_format"] else None,
        *(f"Example input\n{e['input']}\n\nExample output\n{e['output']}" for e in row["examples"] or []),
        row.get("note"),
    )
    prompt = "\n\n".join(part.replace("\r\n", "\n").strip() for part in parts if part)
    found = _stdio([t["input"] for t in tests], [t["output"] for t in tests])
    return _problem(prompt + _STDIO, found, id=row.get("id"), level=row.get("rating"))


def leetcode(row: Row) -> Row | None:
    """newfacade/LeetCodeDataset: calls of a method of `class Solution` with plain values, not with trees."""
    method = row["entry_point"].rpartition(".")[2]
    tests = []
    for pair in row.get("input_output") or []:
        call = ast.parse(f"f({pair['input']})", mode="eval").body
        assert isinstance(call, ast.Call)
        try:
            args = [ast.literal_eval(k.value) for k in call.keywords] + [ast.literal_eval(a) for a in call.args]
            expected = ast.literal_eval(pair["output"])
        except ValueError:
            continue  # a tree, a linked list, or a solution that failed
        tests.append({"kind": "call", "function": method, "args": args, "expected": expected})
    prompt = row["problem_description"]
    if row.get("starter_code"):
        prompt += _STARTER.format(row["starter_code"].rstrip())
    return _problem(prompt, tests, answer=row.get("completion"), id=row["task_id"], level=row.get("difficulty"))


def verifiable(row: Row) -> Row | None:
    """open-r1/verifiable-coding-problems-python and PrimeIntellect/verifiable-coding-problems."""
    info = _nested(row["verification_info"])
    if info.get("language", "python") != "python":
        return None
    cases = info["test_cases"]
    if isinstance(cases, str):
        cases = _nested(cases)
    tests: list[Test] = []
    calls = [c for c in cases if c.get("fn_name") and c.get("type") != "stdin_stdout"]
    if calls:
        name = calls[0]["fn_name"]
        tests = _calls(name, [_nested(c["input"]) for c in calls], [_nested(c["output"]) for c in calls])
    else:
        tests = _stdio([c["input"] for c in cases], [c["output"] for c in cases])
    prompt = row["problem_statement"] if row.get("problem_statement") else row["prompt"]
    return _problem(prompt, tests, answer=row.get("gold_standard_solution"), id=row.get("problem_id"),
                    source=row.get("source"))  # fmt: skip


def _nested(value: Any) -> Any:
    """Return a value that may be written as JSON or as a Python literal."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return ast.literal_eval(value)
