"""Run a row's own checker: code that judges what a program printed or returned, where several answers are right.

A test of kind `checker` has the checker's `code`, and what the program gets: `input` (standard input), or `function`
and `args` (a call). The checker is one of two things:

- code with a function `check(input, output)`, or `check(input, output, expected)` with the test's `expected`: it
  returns whether the answer is right. Of a call it gets the arguments and the result.
- a script, as open-r1/codeforces has them: it is run with the names of three files, with the input, the expected
  output and the program's output, and prints 1 or 0 (or says it by its exit code, if it prints nothing).

What this defends against: a program that influences its checker; the checker runs afterwards, in another process, and
gets the output as text. A checker that fails on an output (a ValueError, say, where a number should be) judges it
wrong. What it does NOT defend against: a checker that is itself wrong; its code is trusted.
"""

import json
from typing import Any

CHECKER_PROGRAM = """
import contextlib, io, json, os, sys
case = json.loads(sys.stdin.read())
texts = {"input": case["input"], "expected": case["expected"], "output": case["output"]}
is_script = "def check" not in case["code"]
if is_script:
    for name, text in texts.items():
        with open(name + ".txt", "w") as file:
            file.write(text if isinstance(text, str) else json.dumps(text))
    sys.argv = ["checker.py", "input.txt", "expected.txt", "output.txt"]
    sys.stdin = io.StringIO(case["output"] if isinstance(case["output"], str) else json.dumps(case["output"]))
printed, report = io.StringIO(), {}
with contextlib.redirect_stdout(printed):
    try:
        names = {"__name__": "__main__"}
        exec(compile(case["code"], "checker.py", "exec"), names)
        if not is_script:
            arguments = [case["input"], case["output"], case["expected"]]
            report["verdict"] = bool(names["check"](*arguments[: names["check"].__code__.co_argcount]))
    except SystemExit as end:
        report["exit_code"] = end.code if isinstance(end.code, int) else int(end.code is not None)
    except (SyntaxError, NameError, ImportError, MemoryError) as error:
        report["fault"] = f"{type(error).__name__}: {error}"
    except BaseException:
        report["verdict"] = False
report["printed"] = printed.getvalue()[-1000:]
print(json.dumps(report))
"""
_RIGHT_WORDS = frozenset(("1", "1.0", "100", "100.0", "true", "yes", "ok", "ac", "accepted", "correct"))


class CheckerFault(Exception):
    """A checker that gave no verdict; the text says why."""


def checker_input(test: dict[str, Any], output: Any) -> bytes:
    """Return what CHECKER_PROGRAM reads."""
    from r1kit.sandbox.outputs import join_lines

    case = {
        "code": test["code"],
        "input": test["args"] if "function" in test else join_lines(test["input"]),
        "expected": test.get("expected", test.get("output", "")),
        "output": output,
    }
    return json.dumps(case).encode()


def read_checker_output(state: str, printed: bytes) -> bool:
    """Return the verdict in what CHECKER_PROGRAM printed. Raises CheckerFault."""
    if state != "ended":
        raise CheckerFault("a row's checker took too long or printed too much")
    try:
        report = json.loads(printed.decode().splitlines()[-1])
    except (ValueError, IndexError):
        raise CheckerFault("a row's checker ended without a verdict") from None
    if "fault" in report:
        raise CheckerFault(f"a row's checker failed: {report['fault']}")
    if "verdict" in report:
        return report["verdict"]
    words = report["printed"].split()
    if not words and "exit_code" not in report:
        raise CheckerFault("a row's checker printed nothing")
    if not words:
        return report["exit_code"] == 0
    return words[-1].lower().strip(".") in _RIGHT_WORDS
