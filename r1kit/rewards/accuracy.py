"""Accuracy: is the answer of a completion right? By checker, one row at a time.

    math            the same mathematics (symbolic.py), in worker processes
    exact           the same text, but for case, white space and a dot at the end
    choice          the same letter
    code            the row's tests (sandbox/judge.py), in a box
    reasoning_gym   that library's own scorer, for rows made by it (tasks.py)

The answer is what stands in `<answer>`, else in the last `\\boxed{}` after `</think>`. Of an answer block with words
around a box, as R1 writes it, mathematics takes the last box.
"""

import json
import math
import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from r1kit.answers.extract import extract_program
from r1kit.answers.fault import FAULT
from r1kit.answers.normalise import AnswerVerdict, same_choice, same_text
from r1kit.prompts import completion_text, last_boxed, parse_completion, strip_box

CHECKER_COLUMNS = {"stdio": {"input", "output"}, "call": {"function", "args", "expected"}, "assert": {"code"}}
CHECKERS = ("math", "exact", "choice", "code", "reasoning_gym")
_timeouts: Counter = Counter()
EARLY = threading.local()  # `here` in threads whose timeouts do not count: what takes too long there is judged again


def accuracy(
    completions: Sequence[Any],
    answer: Sequence[Any] | None = None,
    checker: Sequence[str | None] | None = None,
    tests: Sequence[Any] | None = None,
    metadata: Sequence[Any] | None = None,
    *,
    partial: bool = False,
    seconds: float = 3.0,
    isolation: str = "auto",
    **columns: Any,
) -> list[float | None]:
    """1.0 where the answer is right, else 0.0, by each row's `checker`.

    Rows without a checker are code where they have tests, else math. With `partial`, code gets the share of
    the tests that it passed, and reasoning_gym its own score. A test of code, and an answer in mathematics, may
    take `seconds`; what takes longer is wrong. `None` where a row has neither answer nor tests; FAULT where no
    verdict could be had: a dead box or worker, broken tests, a gold answer that does not parse. `isolation`:
    auto, bubblewrap, landlock or none (sandbox/box.py). Raises ValueError for an unknown checker.
    """
    count = len(completions)
    if seconds <= 0:
        raise ValueError(f"seconds = {seconds} must be above 0")
    answers = answer or [None] * count
    jobs = [_tests(t) for t in (tests or [None] * count)]
    kinds = [v or ("code" if t or t is None else "math") for v, t in zip(checker or [None] * count, jobs, strict=True)]
    for unknown in set(kinds) - set(CHECKERS):
        raise ValueError(f"unknown checker {unknown!r}: use {', '.join(CHECKERS)}")
    said = [parse_completion(completion_text(c)).answer for c in completions]
    scores: list[float | None] = [None] * count

    def fill(kind: str, wanted: Sequence[Any], score: Callable[[list[int]], list[float]]) -> None:
        rows = [i for i in range(count) if kinds[i] == kind and wanted[i] is not None and wanted[i] != []]
        for i, value in zip(rows, score(rows) if rows else [], strict=True):
            scores[i] = value

    asked = [_question(q) for q in columns.get("question") or columns.get("prompts") or [""] * count]
    entries = [
        _entry(m, q, a) if k == "reasoning_gym" else None
        for k, m, q, a in zip(kinds, metadata or [None] * count, asked, answers, strict=True)
    ]
    fill("exact", answers, lambda rows: [_text(same_text, answers[i], said[i]) for i in rows])
    fill("choice", answers, lambda rows: [_text(same_choice, answers[i], said[i]) for i in rows])
    fill("math", answers, lambda rows: _math([(str(answers[i]), said[i], asked[i]) for i in rows], seconds))
    fill("code", jobs, lambda rows: _code([(said[i], jobs[i] or []) for i in rows], partial, seconds, isolation))
    fill("reasoning_gym", entries, lambda rows: _tasks([(entries[i], said[i]) for i in rows], partial, seconds))
    for i in range(count):
        if kinds[i] == "code" and jobs[i] is None:
            scores[i] = FAULT
    return scores


def _question(prompt: Any) -> str:
    """Return a prompt's text: its own, or its last message's."""
    return prompt if isinstance(prompt, str) else str(prompt[-1]["content"]) if prompt else ""


def _entry(metadata: Any, question: str, answer: Any) -> dict[str, Any] | None:
    """Return reasoning_gym's entry, put together of a row's columns; metadata may stand as JSON."""
    try:
        known = json.loads(metadata) if isinstance(metadata, str) else metadata
    except ValueError:
        known = {}  # which its scorer finds broken
    return None if known is None else {"question": question, "answer": answer, "metadata": known}


def _text(same: Callable[[str, str], bool], gold: Any, said: str | None) -> float:
    """Compare two texts; a gold one that says nothing is a fault."""
    return FAULT if not str(gold).strip() else float(said is not None and same(str(gold), strip_box(said)))


def _count(timeouts: int) -> None:
    if not getattr(EARLY, "here", False):
        _timeouts["timeouts"] += timeouts


def take_timeout_count() -> int:
    """Return how many answers took too long in this process since this was last asked."""
    taken = _timeouts["timeouts"]
    _timeouts["timeouts"] -= taken
    return taken


def _math(rows: list[tuple[str, str | None, str]], seconds: float) -> list[float]:
    """Score rows of (gold, answer, question). An answer that only copies a part of the question says nothing."""
    from r1kit.answers.workers import verify_answers

    given = [(gold, said and (last_boxed(said) or said), asked) for gold, said, asked in rows]
    pairs = [
        (gold, said if said and (same_text(gold, said) or not _copied(said, asked)) else "")
        for gold, said, asked in given
    ]
    verdicts = verify_answers(pairs, seconds)
    # Asked for percent, a number without the sign and one with it are the same.
    again = [i for i, (gold, said, asked) in enumerate(given)
             if verdicts[i] is AnswerVerdict.WRONG and "%" not in gold and said and _PERCENT.search(asked)
             and said.rstrip(" $").endswith("%")]  # fmt: skip
    bare = [(pairs[i][0], re.sub(r"\\?%[ $]*$", "", pairs[i][1])) for i in again]
    for i, verdict in zip(again, verify_answers(bare, seconds) if again else [], strict=True):
        verdicts[i] = verdict
    _count(verdicts.count(AnswerVerdict.TIMEOUT))
    return [
        FAULT if v in (AnswerVerdict.BROKEN_GOLD, AnswerVerdict.FAULT) else float(v is AnswerVerdict.RIGHT)
        for v in verdicts
    ]


_PERCENT = re.compile(r"\bwhat (?:\w+ ){0,3}percent|\bpercentage\b", re.IGNORECASE)


def _copied(said: str, question: str) -> bool:
    """Whether an answer is a computation that stands in the question as it is."""
    bare = re.sub(r"[\s$]|\\(?:left|right)\b", "", said)
    if _finished(bare):
        return False
    return bool(re.search(r"\w\W*[-+*/^!×÷·\\]", bare)) and bare in re.sub(r"[\s$]", "", question)


# A fraction, or numbers in parentheses: nothing in them is left to be reckoned.
_FRACTION = r"-?(?:\\[dt]?frac\{\d+\}\{\d+\}|\d+/\d+|\d+(?:\.\d+)?)"
_FINISHED = re.compile(rf"{_FRACTION}|[(\[]{_FRACTION}(?:,{_FRACTION})+[)\]]")


def _finished(bare: str) -> bool:
    """Whether an answer without white space is one number, or a point, whose fractions are in lowest terms."""
    fractions = (tuple(map(int, re.findall(r"\d+", f))) for f in re.findall(r"frac\{\d+\}\{\d+\}|\d+/\d+", bare))
    return bool(_FINISHED.fullmatch(bare)) and all(math.gcd(*pair) == 1 and pair[1] > 1 for pair in fractions)


def _tasks(pairs: list[tuple[Any, str | None]], partial: bool, seconds: float) -> list[float]:
    from r1kit.rewards.gym import score_gym_answers

    scores = score_gym_answers(
        [(entry, said and strip_box(said)) for entry, said in pairs], seconds
    )  # scorers compare letters
    _count(scores.count(None))
    return [0.0 if s is None else s if partial or s == FAULT else float(s == 1.0) for s in scores]


def _tests(value: Any) -> list[dict[str, Any]] | None:
    """Return a row's tests, which stand as a list or as JSON; None where they are broken."""
    try:
        tests = (json.loads(value) if isinstance(value, str) and value else value) or []
        for test in tests:
            if not CHECKER_COLUMNS[test["kind"]] <= test.keys() or not isinstance(test.get("args", []), list):
                return None
            if test["kind"] == "assert":
                _compiled(test["code"])
        return tests
    except (ValueError, KeyError, TypeError, AttributeError, SyntaxError):
        return None


@lru_cache(maxsize=4096)
def _compiled(code: str) -> None:
    compile(code, "test", "exec", dont_inherit=True)


def _code(
    jobs: list[tuple[str | None, list[dict[str, Any]]]], partial: bool, seconds: float, isolation: str
) -> list[float]:
    from r1kit.sandbox.judge import judge_programs

    programs = [(extract_program(said), tests) for said, tests in jobs]
    wanted = [job for job in programs if job[0]]
    verdicts = iter(judge_programs(wanted, seconds, count_all=partial, isolation=isolation))
    scores = []
    for text, _ in programs:
        verdict = next(verdicts) if text else None
        if verdict is None:
            scores.append(0.0)
        elif verdict.fault:
            scores.append(FAULT)
        else:
            _count(verdict.timed_out)
            scores.append(verdict.passed / verdict.total if partial else float(verdict.ok))
    return scores
