"""Accuracy: is the answer of a completion right? By verifier, one row at a time."""

import json
import math
import re
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

from r1kit.prompts import completion_text, read

FAULT = math.inf
FIELDS = {"stdio": {"input", "output"}, "call": {"function", "args", "expected"}, "assert": {"code"}}
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")
_CHOICE = re.compile(r"\(?([A-Za-z])\)?[.:)]?(?=\s|$)")


def accuracy(
    completions: Sequence[Any],
    answer: Sequence[Any] | None = None,
    verifier: Sequence[str | None] | None = None,
    tests: Sequence[Any] | None = None,
    *,
    partial: bool = False,
    **columns: Any,
) -> list[float | None]:
    """1.0 where the answer is right, else 0.0; by each row's `verifier`: math, exact, choice or code.

    Rows without a verifier are code where they have tests, else math. With `partial`, code gets the
    share of the tests that it passed. `None` where a row has neither answer nor tests.
    """
    count = len(completions)
    answers = answer or [None] * count
    jobs = [_tests(t) for t in (tests or [None] * count)]
    broken = [t is None for t in jobs]
    kinds = [v or ("code" if t else "math") for v, t in zip(verifier or [None] * count, jobs, strict=True)]
    said = [read(completion_text(c)).answer for c in completions]
    scores: list[float | None] = [None] * count
    code = [i for i in range(count) if kinds[i] == "code" and jobs[i]]
    for i, score in zip(code, _run([(said[i], jobs[i] or []) for i in code], partial), strict=True):
        scores[i] = score
    for i in range(count):
        if broken[i]:
            scores[i] = FAULT
        elif kinds[i] != "code" and answers[i] is not None:
            scores[i] = float(said[i] is not None and check(str(answers[i]), said[i] or "", kinds[i]))
    return scores


def check(gold: str, said: str, verifier: str) -> bool:
    """Whether `said` is the same answer as `gold`. Raises ValueError for an unknown verifier."""
    if verifier == "exact":
        return _plain(gold) == _plain(said)
    if verifier == "choice":
        found = _CHOICE.match(said.strip())
        return bool(found) and found.group(1).upper() == gold.strip().strip("()").upper()  # type: ignore[union-attr]
    if verifier == "math":
        return _same_math(gold.strip(), said.strip())
    raise ValueError(f"unknown verifier {verifier!r}: use math, exact, choice or code")


def _plain(text: str) -> str:
    return " ".join(text.split()).rstrip(".").casefold()


@lru_cache(maxsize=65536)
def _same_math(gold: str, said: str) -> bool:
    """Compare equal text and plain numbers as they are written, all else by math-verify's symbolic equivalence."""
    if _plain(gold) == _plain(said):
        return True
    if _NUMBER.fullmatch(gold) and _NUMBER.fullmatch(said):
        return Fraction(gold) == Fraction(said)
    if len(said) > 1000:
        return False
    from math_verify import parse, verify

    return bool(verify(parse(f"${_bare(gold)}$"), parse(f"${_bare(said)}$")))


def _bare(text: str) -> str:
    """Return an answer without the math signs around it."""
    return text.strip().strip("$").strip()


def _tests(value: Any) -> list[dict[str, Any]] | None:
    """Return a row's tests, which stand as a list or as JSON; None where they are broken."""
    try:
        tests = (json.loads(value) if isinstance(value, str) and value else value) or []
        return tests if all(FIELDS[t["kind"]] <= t.keys() for t in tests) else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


_FENCE = re.compile(r"```(?:python|py)?\s*\n(.*?)```", re.DOTALL)


def _run(jobs: list[tuple[str | None, list[dict[str, Any]]]], partial: bool) -> list[float]:
    from r1kit.sandbox.judge import judge_all

    programs = []
    for said, tests in jobs:
        fenced = _FENCE.findall(said or "")
        programs.append(((fenced[-1] if fenced else said or "").strip(), tests))
    wanted = [job for job in programs if job[0]]
    verdicts = iter(judge_all(wanted))
    scores = []
    for program, _ in programs:
        verdict = next(verdicts) if program else None
        scores.append(0.0 if verdict is None else verdict.passed / verdict.total if partial else float(verdict.ok))
    return scores
