"""Score answers to problems of the library reasoning_gym by its own scorers, in worker processes.

Some of its scorers evaluate an answer as Python. In the workers (gym_worker.py) they take data and formulas only, and
each pair has a confined process of its own.
"""

import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

from r1kit.answers.fault import FAULT
from r1kit.answers.verdict import AnswerVerdict
from r1kit.answers.workers import WorkerPool, shared_pool
from r1kit.messages import logger

_WORKER_CODE = "from r1kit.rewards.gym_worker import serve_gym_worker; serve_gym_worker()"
WORKER_COMMAND = (sys.executable, "-P", "-c", _WORKER_CODE)
# A worker ends a pair's process at the time limit. A worker that has not replied this long after the limit is killed.
GRACE_SECONDS = 5.0


def score_gym_answers(pairs: Sequence[tuple[Any, str | None]], seconds: float = 3.0) -> list[float | None]:
    """Return the score, 0 to 1, of each (entry, answer) pair; None after a timeout, FAULT where no score could be had.

    An entry is reasoning_gym's: a dict with question, answer and metadata, or its JSON. `seconds` is the time limit
    of a pair.
    """
    text_pairs = []
    for entry, answer in pairs:
        entry_text = entry if isinstance(entry, str) else json.dumps(entry, sort_keys=True)
        text_pairs.append((entry_text, answer or ""))
    unique_pairs = list(dict.fromkeys(text_pairs))
    scores = _threads(os.getpid()).map(lambda pair: _score_in_worker(pair[0], pair[1], seconds), unique_pairs)
    score_by_pair = dict(zip(unique_pairs, scores, strict=True))
    return [score_by_pair[pair] for pair in text_pairs]


def _score_in_worker(entry: str, answer: str, seconds: float) -> float | None:
    reply = _pool().ask([entry, answer, seconds], seconds + GRACE_SECONDS)
    if reply in (AnswerVerdict.TIMEOUT, AnswerVerdict.TIMEOUT.value):
        return None
    if reply == AnswerVerdict.FAULT.value:
        _warn_of_missing_confinement()
    return reply if isinstance(reply, float) else FAULT


@lru_cache(maxsize=1)
def _warn_of_missing_confinement() -> None:
    logger.warning(
        "reasoning_gym: no answer can be scored here, since its scorers evaluate answers, and this machine's kernel "
        "has neither Landlock nor seccomp to confine them with: use Linux 6.2 or newer"
    )


@lru_cache(maxsize=1)
def _threads(_process: int) -> ThreadPoolExecutor:
    """Return this process's threads, one for each worker."""
    return ThreadPoolExecutor(_pool().size, thread_name_prefix="reasoning_gym")


@lru_cache(maxsize=1)
def _pool() -> WorkerPool:
    return shared_pool(WORKER_COMMAND)
