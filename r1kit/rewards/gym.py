"""Problems of the library reasoning_gym, scored by its own scorers, in worker processes of their own.

Some of these scorers hand an answer to sympy's parser, which runs what it reads as Python. The workers are
therefore shut in (sandbox/boot.py): they read Python's own files alone, write none, and start and reach nothing.
A hostile answer could still say of itself, within its worker, that it is right.
"""

import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

from r1kit.answers.fault import FAULT
from r1kit.answers.normalise import AnswerVerdict
from r1kit.answers.workers import WorkerPool

BOARDS = ("rearc", "arc_agi")  # whose scorers compare with tuples of tuples, which JSON does not know
COMMAND = (sys.executable, "-P", "-c", "from r1kit.rewards.gym import serve_gym_worker; serve_gym_worker()")


def score_gym_answers(pairs: Sequence[tuple[Any, str | None]], seconds: float = 3.0) -> list[float | None]:
    """Return the scores, 0 to 1, of (entry, answer) pairs; None for a timeout, FAULT where there is none to be had.

    An entry is reasoning_gym's: question, answer and metadata, as a dict or its JSON.
    """
    texts = [(e if isinstance(e, str) else json.dumps(e, sort_keys=True), a or "") for e, a in pairs]
    unique = list(dict.fromkeys(texts))
    verdicts = _threads(os.getpid()).map(lambda pair: _score(pair[0], pair[1], seconds), unique)
    found = dict(zip(unique, verdicts, strict=True))
    return [found[text] for text in texts]


def _score(entry: str, answer: str, seconds: float) -> float | None:
    verdict = _pool().ask(entry, answer, seconds)
    if verdict is AnswerVerdict.TIMEOUT:
        return None
    return verdict if isinstance(verdict, float) else FAULT


@lru_cache(maxsize=1)
def _threads(_process: int) -> ThreadPoolExecutor:
    """Return this process's threads, which stay: a shut-in worker dies with the thread that began it."""
    return ThreadPoolExecutor(_pool().size, thread_name_prefix="tasks")


@lru_cache(maxsize=1)
def _pool() -> WorkerPool:
    return WorkerPool(COMMAND)


def score_gym_answer(entry: str, answer: str) -> float | str:
    """In a worker: score one answer."""
    import reasoning_gym

    try:
        given = json.loads(entry)
        task = given["metadata"]["source_dataset"]
        scorer = reasoning_gym.get_score_answer_fn(task)
        if task in BOARDS:
            given["metadata"]["output"] = tuple(map(tuple, given["metadata"]["output"]))
    except Exception:
        return AnswerVerdict.BROKEN_GOLD.value
    try:
        return float(scorer(answer=answer, entry=given))
    except Exception:  # scorers are not all ready for any text
        return 0.0


def serve_gym_worker() -> None:
    """Be a worker of the pool."""
    from r1kit.answers import workers

    workers.serve_worker(score_gym_answer, _prepare)


def _prepare() -> None:
    """Load what is needed, then give up all else."""
    import reasoning_gym  # noqa: F401

    from r1kit.sandbox.confinement import apply_seccomp_filter, restrict_with_landlock
    from r1kit.sandbox.seccomp import build_seccomp_filter

    read = {sys.prefix, sys.base_prefix, str(Path(__file__).parents[2]), "/usr", "/lib", "/lib64"}
    restrict_with_landlock({"read": [path for path in read if Path(path).exists()], "write": ["/dev/null"]})
    seccomp_filter = build_seccomp_filter()
    if seccomp_filter is not None:
        apply_seccomp_filter(seccomp_filter)
