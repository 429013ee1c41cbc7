"""The worker process that scores answers to reasoning_gym's problems.

What it defends against: an answer that affects the scores of other pairs. Most scorers only compare texts, which is
done in the worker itself. Some evaluate an answer; what they take is limited to data and formulas (plain_formulas.py).
An answer that gets past that limit is in a process that scores this one pair alone: forked from the worker, which
evaluates nothing, and confined (r1kit/sandbox/confinement.py). That process sees no other pair, no file but Python's
own and those of the packages that the scorers use, no environment and no pipe but that of its score; it can start no
process and reach no other one. It is killed at its time limit.

What it does NOT defend against: an answer that declares itself right in that process, past plain_formulas.py.
"""

import gc
import json
import math
import os
import re
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NoReturn

from r1kit.answers.verdict import AnswerVerdict
from r1kit.answers.workers import read_message, take_verdict_pipe, write_message
from r1kit.rewards.plain_formulas import allow_names_of, refuse_evaluation, replace_eval
from r1kit.sandbox.confinement import EXIT_NO_SECCOMP, EXIT_NOT_RESTRICTED, apply_seccomp_filter, restrict_with_landlock
from r1kit.sandbox.finder import ModuleFinder
from r1kit.sandbox.python_files import find_python_files
from r1kit.sandbox.seccomp import build_seccomp_filter

# The scorers of these tasks compare the answer with a tuple of tuples, which became lists in JSON.
TUPLE_TASKS = ("rearc", "arc_agi")
# Exit codes of a process that could not be confined (confinement.py).
_NOT_CONFINED = range(EXIT_NO_SECCOMP, EXIT_NOT_RESTRICTED + 1)
_SCORE_FD = 3
_MAX_REPLY_BYTES = 64  # of a score or the name of a verdict, as JSON
_NO_ANSWER = "no-answer"  # right for no problem: some scorers of reasoning_gym accept any text, and so this one
_ACCEPTS_ANYTHING = json.dumps(AnswerVerdict.BROKEN_GOLD.value).encode()  # what a child sends then
_NAN = re.compile("(?<![a-z])nan(?![a-hk-z])")  # as a number, also before the imaginary unit
_evaluating_tasks: set[str] = set()
"""Tasks whose scorer has tried to evaluate an answer: each further pair of theirs goes to a child at once."""
_TRIES = 2  # for a pair whose process dies: the machine may have run out of memory


def serve_gym_worker() -> None:
    """Be a worker process: score the pairs that come on stdin, with their time limits, until it ends."""
    verdict_file = take_verdict_pipe()
    import reasoning_gym  # noqa: F401

    replace_eval("reasoning_gym")
    _prepare()
    os.environ.clear()  # it may hold keys, which the processes that evaluate answers have no use for
    sys.meta_path.append(ModuleFinder(find_python_files().modules))  # for what is imported in the children
    rules = {"read": _readable_paths(), "write": ["/dev/null"]}
    seccomp_filter = build_seccomp_filter()
    gc.collect()
    gc.freeze()  # else the garbage collector of each child would copy the memory that they share
    write_message(verdict_file, "ready")
    while (message := read_message()) is not None:
        entry, answer, seconds = message
        write_message(verdict_file, _score_pair(entry, answer, seconds, rules, seccomp_filter))


def _prepare() -> None:
    """Parse and compare formulas of our own, so that the children need not load what sympy loads at its first use."""
    import sympy

    x = sympy.Symbol("x")
    formula = sympy.parse_expr("x**2/2 + sqrt(x)*sin(x)", local_dict={"x": x})
    sympy.simplify(sympy.diff(formula, x) - formula)


def _readable_paths() -> list[str]:
    """Return the paths of the standard library, without its site-packages, and of all loaded packages but r1kit."""
    paths = set(find_python_files().paths)
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if "." not in name and name != "r1kit" and file and "-packages" in file:
            paths.add(str(Path(file).parent if Path(file).name.startswith("__init__.") else file))
    return sorted(path for path in paths if Path(path).exists())


@lru_cache
def _find_scorer(task: str) -> Callable[..., float]:
    """Return a task's scorer. It is found before the forks, since some tasks load data for it."""
    import reasoning_gym

    return reasoning_gym.get_score_answer_fn(task)


def _score_pair(
    entry_text: str, answer: str, seconds: float, rules: dict[str, list[str]], seccomp_filter: bytes | None
) -> str | float:
    """Return the score of one pair, or the name of a verdict. Answers that a scorer evaluates are scored in a child."""
    try:
        entry = json.loads(entry_text)
        task = entry["metadata"]["source_dataset"]
        score = partial(_score, _find_scorer(task), entry, answer)
        if task in TUPLE_TASKS:
            entry["metadata"]["output"] = tuple(map(tuple, entry["metadata"]["output"]))
    except Exception:
        return AnswerVerdict.BROKEN_GOLD.value
    if task not in _evaluating_tasks:
        with refuse_evaluation() as refused_texts:
            verdict = score()
        if not refused_texts:
            return verdict if isinstance(verdict, str) else _limit_score(verdict)
        _evaluating_tasks.add(task)
    return _score_in_child(score, seconds, rules, seccomp_filter)


def _score_in_child(
    score: Callable[[], float | str], seconds: float, rules: dict[str, list[str]], seccomp_filter: bytes | None
) -> str | float:
    """Return what `score` returns in a confined child; 0 if every try ends with the death of the child."""
    deadline = time.monotonic() + seconds
    for _ in range(_TRIES):
        read_end, write_end = os.pipe()
        pid = os.fork()
        if not pid:
            _run_child(score, write_end, rules, seccomp_filter)
        os.close(write_end)
        reply = _read_reply(read_end, deadline)
        os.close(read_end)
        os.kill(pid, signal.SIGKILL)
        exit_code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if reply is None:
            return AnswerVerdict.TIMEOUT.value
        if exit_code in _NOT_CONFINED:
            return AnswerVerdict.FAULT.value
        if reply == _ACCEPTS_ANYTHING:
            return AnswerVerdict.BROKEN_GOLD.value
        with suppress(ValueError):
            return _read_score(reply)
    return 0.0  # a fault would be a way to escape a wrong answer


def _read_score(reply: bytes) -> float:
    """Return the score that a child has sent. Raises ValueError for anything else."""
    score = json.loads(reply)
    if not isinstance(score, float) or not math.isfinite(score):
        raise ValueError("no score")
    return _limit_score(score)


def _limit_score(score: float) -> float:
    return min(1.0, max(0.0, score)) if math.isfinite(score) else 0.0


def _read_reply(pipe: int, deadline: float) -> bytes | None:
    """Return what a child writes, b"" where it dies; None after the deadline."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    reply = b""
    while len(reply) <= _MAX_REPLY_BYTES:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            return None
        chunk = os.read(pipe, _MAX_REPLY_BYTES)
        if not chunk:
            break
        reply += chunk
    return reply


def _run_child(
    score: Callable[[], float | str], pipe: int, rules: dict[str, list[str]], seccomp_filter: bytes | None
) -> NoReturn:
    """Score one pair, write the score to `pipe`, and end the process."""
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(nowhere, fd)
        os.dup2(pipe, _SCORE_FD)
        os.closerange(_SCORE_FD + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        # A Landlock domain of its own: else the child could open the pipes of the worker by /proc.
        restrict_with_landlock(rules)
        if seccomp_filter is not None:
            apply_seccomp_filter(seccomp_filter)
        os.write(_SCORE_FD, json.dumps(score()).encode())
    finally:
        os._exit(0)


def _score(scorer: Callable[..., float], entry: dict[str, Any], answer: str) -> float | str:
    """Return the score of an answer, or the name of a verdict where the scorer accepts any text at all."""
    gold = str(entry["answer"])
    allow_names_of(gold)
    if _NAN.search(_without_spaces(answer)) and not _NAN.search(_without_spaces(gold)):
        return 0.0  # no number is further from NaN than another, so that some scorers take it for right
    if _call_scorer(scorer, entry, _NO_ANSWER) == 1.0:
        return AnswerVerdict.BROKEN_GOLD.value
    return _call_scorer(scorer, entry, answer)


def _call_scorer(scorer: Callable[..., float], entry: dict[str, Any], answer: str) -> float:
    try:
        return float(scorer(answer=answer, entry=entry))
    except Exception:  # not every scorer is ready for any text
        return 0.0


def _without_spaces(text: str) -> str:
    return "".join(text.lower().split())
