"""Judge completions while others are still sampled.

Rows end one after the other, and judging them needs the processor, which sampling leaves idle in part, or wholly where
a GPU samples. Each row is judged once: a row that was not begun when all rows have ended is judged together with the
others. A verdict that took too long, on a machine that was busy with sampling, is made again at the end.
"""

import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from r1kit.answers.extract import completion_text
from r1kit.rewards.timeouts import EAGER_THREADS
from r1kit.rows import select_from_columns
from r1kit.sandbox.judge import parallel_programs

# Columns that a verdict does not depend on, or that belong to all rows.
_NOT_IN_KEY = ("completion", "completion_ids", "environments")

Score = float | None


class EagerJudge:
    """The accuracy reward, which can begin to score a single row before it is asked for the scores of all rows.

        judge = EagerJudge(accuracy)
        judge.begin("<answer>4</answer>", prompts="2 + 2?", answer="4")     # when this row has ended
        judge(["<answer>4</answer>", ...], prompts=[...], answer=[...])     # when all rows have: TRL's signature

    `reward` is the bound accuracy reward and `seconds` its time limit for one answer.
    """

    def __init__(self, reward: Any, seconds: float = 3.0):
        self.reward, self.seconds = reward, seconds
        self.__name__ = reward.__name__
        self._begun: dict[str, Future] = {}
        self._pools: dict[int, ThreadPoolExecutor] = {}  # by process: a fork cannot use its parent's threads
        # Whether rows are recognised again. None until the first call, which must be the one to report a broken reward.
        self._is_useful: bool | None = None

    def begin(self, completion: Any, trainer_state: Any = None, **columns: Any) -> None:
        """Begin to score one row; `columns` are the values of that row, not lists."""
        key = _row_key(completion, columns)
        if not self._is_useful or key in self._begun:
            return
        pool = self._pools.get(os.getpid())
        if pool is None:
            pool = ThreadPoolExecutor(max(1, parallel_programs() - 1), "eager-judge", _mark_thread_as_early)
            self._pools[os.getpid()] = pool
        lists = {name: [value] for name, value in columns.items()}
        self._begun[key] = pool.submit(self._score_row, completion, trainer_state=trainer_state, **lists)

    def forget(self) -> None:
        """Cancel the rows that were begun, when their generation has failed."""
        for future in self._begun.values():
            future.cancel()
        self._begun = {}

    def __call__(self, completions: Sequence[Any], **columns: Any) -> list[Score]:
        """Return the score of each completion."""
        begun, self._begun = self._begun, {}
        row_count = len(completions)
        row_columns = {}
        for name, values in columns.items():
            if isinstance(values, list) and len(values) == row_count:
                row_columns[name] = values
        keys = []
        for index, completion in enumerate(completions):
            keys.append(_row_key(completion, {name: values[index] for name, values in row_columns.items()}))
        running = {key: future for key, future in begun.items() if not future.cancel()}
        scores: list[Score] = [None] * row_count

        def score(indices: list[int]) -> None:
            if not indices:
                return
            selected = select_from_columns(row_columns, indices)
            new_scores = self.reward([completions[index] for index in indices], **{**columns, **selected})
            for index, value in zip(indices, new_scores, strict=True):
                scores[index] = value

        score([index for index in range(row_count) if keys[index] not in running])
        finished = {key: future.result() for key, future in running.items()}
        too_slow = []
        for index, key in enumerate(keys):
            if key in finished:
                scores[index], seconds = finished[key]
                if seconds >= self.seconds:
                    too_slow.append(index)
        score(too_slow)
        self._note_usefulness(begun, keys)
        return scores

    def _score_row(self, completion: Any, **columns: Any) -> tuple[Score, float]:
        """Return the score of one row, and the seconds that it took."""
        started = time.monotonic()
        [score] = self.reward([completion], **columns)
        return score, time.monotonic() - started

    def _note_usefulness(self, begun: dict[str, Future], keys: list[str]) -> None:
        """Stop judging early if no row is recognised again, since its text was changed after it was sampled."""
        if begun:
            self._is_useful = bool(begun.keys() & set(keys))
        elif self._is_useful is None:
            self._is_useful = True


def _mark_thread_as_early() -> None:
    """Mark a thread of the pool, so that its timeouts are not counted: they are judged again."""
    EAGER_THREADS.active = True


def _row_key(completion: Any, columns: dict[str, Any]) -> str:
    row = sorted((name, value) for name, value in columns.items() if name not in _NOT_IN_KEY)
    return json.dumps([completion_text(completion), row], default=str)
