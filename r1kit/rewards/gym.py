"""Score answers to problems of the library reasoning_gym by its own scorers, in worker processes.

Some of its scorers pass an answer to sympy's parser, which runs it as Python. The workers are therefore confined
(r1kit/sandbox/confinement.py): they can read Python's own files only, write none, start no process and reach no
network. A hostile answer could still declare itself right within its worker, so rewards for such problems can be
hacked by a policy that learns to attack the parser.
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
from r1kit.answers.verdict import AnswerVerdict
from r1kit.answers.workers import WorkerPool

# The scorers of these tasks compare the answer with a tuple of tuples, which became lists in JSON.
TUPLE_TASKS = ("rearc", "arc_agi")
WORKER_COMMAND = (sys.executable, "-P", "-c", "from r1kit.rewards.gym import serve_gym_worker; serve_gym_worker()")


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
    verdict = _pool().ask(entry, answer, seconds)
    if verdict is AnswerVerdict.TIMEOUT:
        return None
    return verdict if isinstance(verdict, float) else FAULT


@lru_cache(maxsize=1)
def _threads(_process: int) -> ThreadPoolExecutor:
    """Return this process's threads, which are kept: a confined worker dies with the thread that started it."""
    return ThreadPoolExecutor(_pool().size, thread_name_prefix="reasoning_gym")


@lru_cache(maxsize=1)
def _pool() -> WorkerPool:
    return WorkerPool(WORKER_COMMAND)


def score_gym_answer(entry_text: str, answer: str) -> float | str:
    """Score one answer, in a worker process. Returns the name of a verdict where the entry is broken."""
    import reasoning_gym

    try:
        entry = json.loads(entry_text)
        task = entry["metadata"]["source_dataset"]
        scorer = reasoning_gym.get_score_answer_fn(task)
        if task in TUPLE_TASKS:
            entry["metadata"]["output"] = tuple(map(tuple, entry["metadata"]["output"]))
    except Exception:
        return AnswerVerdict.BROKEN_GOLD.value
    try:
        return float(scorer(answer=answer, entry=entry))
    except Exception:  # not every scorer is ready for any text
        return 0.0


def serve_gym_worker() -> None:
    """Be a worker process: score the answers that come on stdin until it ends."""
    from r1kit.answers import workers

    workers.serve_worker(score_gym_answer, _load_and_confine)


def _load_and_confine() -> None:
    """Import what the scorers need, then give up access to everything else."""
    import reasoning_gym  # noqa: F401

    from r1kit.sandbox.confinement import apply_seccomp_filter, restrict_with_landlock
    from r1kit.sandbox.seccomp import build_seccomp_filter

    package_root = str(Path(__file__).parents[2])
    candidates = {sys.prefix, sys.base_prefix, package_root, "/usr", "/lib", "/lib64"}
    readable = [path for path in candidates if Path(path).exists()]
    restrict_with_landlock({"read": readable, "write": ["/dev/null"]})
    seccomp_filter = build_seccomp_filter()
    if seccomp_filter is not None:
        apply_seccomp_filter(seccomp_filter)
