"""Judge completions while others are still sampled.

Rows end one after the other, and judging them needs the processor, which sampling leaves idle in part, or wholly where
a GPU samples. What is not begun when all rows are there is judged together with the rest. Each row is judged once; but
what took too long, on a machine that was busy, is judged again with the rest.
"""

import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from r1kit.answers.extract import completion_text
from r1kit.rewards.accuracy import EAGER_THREADS
from r1kit.sandbox.judge import parallel_programs

BESIDE = ("completion", "completion_ids", "environments")  # columns that are no row's own, or no part of a verdict


class EagerJudge:
    """Accuracy that may be asked about single rows before it is asked about all.

    `reward` is `accuracy`, bound; `seconds` its limit.
    """

    def __init__(self, reward: Any, seconds: float = 3.0):
        self.reward, self.seconds, self.__name__ = reward, seconds, reward.__name__
        self._begun: dict[str, Future] = {}
        self._pools: dict[int, ThreadPoolExecutor] = {}
        self._useful: bool | None = None  # not before the first call, which alone may say that a reward is broken

    def begin(self, completion: Any, trainer_state: Any = None, **columns: Any) -> None:
        """Begin to score one row; `columns` are those of the row, not lists."""
        key = _key(completion, columns)
        if not self._useful or key in self._begun:
            return
        if os.getpid() not in self._pools:
            self._pools[os.getpid()] = ThreadPoolExecutor(max(1, parallel_programs() - 1), "ahead", _is_early)
        given = {name: [value] for name, value in columns.items()}
        pool = self._pools[os.getpid()]
        self._begun[key] = pool.submit(self._timed, [completion], trainer_state=trainer_state, **given)

    def forget(self) -> None:
        """Drop what was begun."""
        for future in self._begun.values():
            future.cancel()
        self._begun = {}

    def _timed(self, completions: Sequence[Any], **columns: Any) -> tuple[float | None, float]:
        started = time.monotonic()
        [score] = self.reward(completions, **columns)
        return score, time.monotonic() - started

    def __call__(self, completions: Sequence[Any], **columns: Any) -> list[float | None]:
        """Score all rows."""
        count, begun, self._begun = len(completions), self._begun, {}
        lists = {name: values for name, values in columns.items() if isinstance(values, list) and len(values) == count}
        keys = [_key(c, {name: values[i] for name, values in lists.items()}) for i, c in enumerate(completions)]
        early = {key: future for key, future in begun.items() if not future.cancel()}
        scores: dict[int, float | None] = {}

        def judge(rows: list[int]) -> None:
            if rows:
                given = {name: [values[i] for i in rows] for name, values in lists.items()}
                found = self.reward([completions[i] for i in rows], **{**columns, **given})
                scores.update(zip(rows, found, strict=True))

        judge([i for i in range(count) if keys[i] not in early])
        found = {key: future.result() for key, future in early.items()}
        judge([i for i in range(count) if keys[i] in found and found[keys[i]][1] >= self.seconds])
        if begun:  # where none is found again, TRL reads completions otherwise: by a model's own way to parse answers
            self._useful = bool(begun.keys() & set(keys))
        elif self._useful is None:
            self._useful = True
        return [scores[i] if i in scores else found[keys[i]][0] for i in range(count)]


def _is_early() -> None:
    EAGER_THREADS.active = True


def _key(completion: Any, columns: dict[str, Any]) -> str:
    own = sorted((name, value) for name, value in columns.items() if name not in BESIDE)
    return json.dumps([completion_text(completion), own], default=str)
