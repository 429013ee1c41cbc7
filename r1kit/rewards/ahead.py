"""Judge completions while others are still sampled.

Rows end one after the other, and judging them needs the processor, which sampling leaves idle in part, or wholly where
a GPU samples. What is not begun when all rows are there is judged together with the rest. Each row is judged once.
"""

import json
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from r1kit.prompts import completion_text
from r1kit.sandbox.judge import cores

READ = ("prompts", "question", "answer", "verifier", "tests", "metadata")  # columns that a verdict depends on


class Ahead:
    """A reward that scores each row by itself, and may be asked about single rows before it is asked about all."""

    def __init__(self, reward: Any):
        self.reward, self.__name__ = reward, reward.__name__
        self._begun: dict[str, Future] = {}
        self._useless = False
        self._pools: dict[int, ThreadPoolExecutor] = {}

    def begin(self, completion: Any, trainer_state: Any = None, **columns: Any) -> None:
        """Begin to score one row; `columns` are those of the row, not lists."""
        key = _key(completion, columns)
        if self._useless or key in self._begun:
            return
        pool = self._pools.setdefault(os.getpid(), ThreadPoolExecutor(max(1, cores() - 1), "ahead"))
        given = {name: [value] for name, value in columns.items()}
        self._begun[key] = pool.submit(self.reward, [completion], trainer_state=trainer_state, **given)

    def __call__(self, completions: Sequence[Any], **columns: Any) -> list[float | None]:
        """Score all rows."""
        count, begun, self._begun = len(completions), self._begun, {}
        lists = {name: values for name, values in columns.items() if isinstance(values, list) and len(values) == count}
        keys = [_key(c, {name: values[i] for name, values in lists.items()}) for i, c in enumerate(completions)]
        early = {key: future for key, future in begun.items() if not future.cancel()}
        if begun and not begun.keys() & set(keys):
            self._useless = True  # TRL reads completions otherwise (a model's own way to parse answers)
        left = [i for i in range(count) if keys[i] not in early]
        scores: list[float | None] = [None] * count
        if left:
            given = {name: [values[i] for i in left] for name, values in lists.items()}
            found = self.reward([completions[i] for i in left], **{**columns, **given})
            for i, score in zip(left, found, strict=True):
                scores[i] = score
        for i in range(count):
            if keys[i] in early:
                [scores[i]] = early[keys[i]].result()
        return scores


def _key(completion: Any, columns: dict[str, Any]) -> str:
    return json.dumps([completion_text(completion), *(columns.get(name) for name in READ)], default=str)
