"""The judge: from a program and its tests to a verdict. Expected values of calls stay outside the box.

Three kinds of tests (DESIGN: rows): `stdio` (input and output), `call` (a function, its arguments, the
value expected) and `assert` (code that raises). The calls of a program run in one process; its answers
come back as JSON after a line that the program cannot know, and are compared by type and value.
An exit code alone is never a pass.
"""

import json
import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from r1kit.sandbox import box


@dataclass(frozen=True)
class Verdict:
    """How many tests a program passed, of how many, and whether its time ran out."""

    passed: int
    total: int
    timed_out: bool = False

    @property
    def ok(self) -> bool:
        return self.total > 0 and self.passed == self.total


_CALLS = """
def _r1kit_main():
    import json, os, sys
    mark, source, calls, code, name = json.loads(sys.stdin.readline())
    out, write, dumps = os.dup(1), os.write, json.dumps
    os.dup2(2, 1)
    names = {"__name__": name}
    answers = []
    exec(compile(source, "program", "exec"), names)
    for name, args in calls:
        try:
            target = names[name] if name in names else getattr(names["Solution"](), name)
            answers.append(dumps([target(*args)]))
        except BaseException as error:
            answers.append(None)
    exec(compile(code, "tests", "exec"), names)
    write(out, (mark + dumps(answers)).encode())
_r1kit_main()
"""


def judge(program: str, tests: Sequence[dict[str, Any]], seconds: float = 3.0) -> Verdict:
    """Run `program` against `tests`. Raises ValueError for a test of no known kind."""
    return _judge(program, json.dumps(list(tests), sort_keys=True), seconds)


def judge_all(jobs: Sequence[tuple[str, Sequence[dict[str, Any]]]], seconds: float = 3.0) -> list[Verdict]:
    """Judge several programs at once, on all cores."""
    if len(jobs) < 2:
        return [judge(p, t, seconds) for p, t in jobs]
    unique = {(p, json.dumps(list(t), sort_keys=True)) for p, t in jobs}
    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(lambda job: _judge(*job, seconds), unique))
    return [judge(p, t, seconds) for p, t in jobs]


@lru_cache(maxsize=65536)
def _judge(program: str, tests: str, seconds: float) -> Verdict:
    parsed = json.loads(tests)
    calls = [t for t in parsed if t["kind"] == "call"]
    results = [_calls(program, calls, seconds)] if calls else []
    for test in parsed:
        if test["kind"] == "stdio":
            results.append(_stdio(program, test, seconds))
        elif test["kind"] == "assert":
            results.append(_assert(program, test, seconds))
        elif test["kind"] != "call":
            raise ValueError(f"a test of kind {test['kind']!r}: use stdio, call or assert")
    return Verdict(sum(r.passed for r in results), len(parsed), any(r.timed_out for r in results))


def _calls(program: str, tests: list[dict[str, Any]], seconds: float) -> Verdict:
    outcome, text = _called(program, [[t["function"], t["args"]] for t in tests], "", seconds)
    try:
        answers = [None if a is None else json.loads(a) for a in json.loads(text or "[]")]
    except (ValueError, TypeError, RecursionError):
        answers = []
    if len(answers) != len(tests):
        return Verdict(0, len(tests), outcome.timed_out)
    passed = sum(
        isinstance(a, list) and len(a) == 1 and _same(a[0], t["expected"]) for a, t in zip(answers, tests, strict=True)
    )
    return Verdict(passed, len(tests), outcome.timed_out)


def _stdio(program: str, test: dict[str, Any], seconds: float) -> Verdict:
    outcome = box.run(program, test["input"], seconds)
    lines = [line.rstrip() for line in outcome.stdout.rstrip().splitlines()]
    expected = [line.rstrip() for line in str(test["output"]).rstrip().splitlines()]
    return Verdict(int(lines == expected and outcome.code == 0), 1, outcome.timed_out)


def _assert(program: str, test: dict[str, Any], seconds: float) -> Verdict:
    outcome, text = _called(program, [], test["code"], seconds)
    return Verdict(int(text is not None and outcome.code == 0), 1, outcome.timed_out)


def _called(program: str, calls: list[Any], code: str, seconds: float) -> tuple[box.Outcome, str | None]:
    """Run `program`, its `calls`, then `code`; return the calls' answers, None where it did not get to the end."""
    mark = secrets.token_hex(16)
    outcome = box.run(
        _CALLS, json.dumps([mark, program, calls, code, "program" if calls else "__main__"]) + "\n", seconds
    )
    _, found, text = outcome.stdout.partition(mark)
    return outcome, text if found else None


def _same(answer: Any, expected: Any) -> bool:
    """Whether two JSON values are equal in type and value; floats to 1e-6."""
    if isinstance(expected, float) and isinstance(answer, int | float) and not isinstance(answer, bool):
        return abs(answer - expected) <= 1e-6 * max(1.0, abs(expected))
    if type(answer) is not type(expected):
        return False
    if isinstance(expected, list):
        return len(answer) == len(expected) and all(map(_same, answer, expected))
    if isinstance(expected, dict):
        return answer.keys() == expected.keys() and all(_same(answer[k], expected[k]) for k in expected)
    return answer == expected
