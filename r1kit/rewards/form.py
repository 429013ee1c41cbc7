"""Rewards for the form of a completion: R1's format, and brevity."""

from collections.abc import Sequence
from typing import Any

from r1kit.prompts import completion_text, read


def format(completions: Sequence[Any], thinking: Sequence[bool | None] | None = None, **columns: Any) -> list[float]:
    """1.0 for exactly one think block and one answer block, neither empty, and nothing else; else 0.0.

    Rows whose `thinking` is false want the answer block alone.
    """
    wanted = thinking or [True] * len(completions)
    return [
        float(read(completion_text(c)).well_formed(w is not False)) for c, w in zip(completions, wanted, strict=True)
    ]


def brevity(
    completions: Sequence[Any], completion_ids: Sequence[Sequence[int]], *, max_tokens: int = 12, **columns: Any
) -> list[float]:
    """1.0 up to `max_tokens` tokens, falling to 0.0 at twice as many. The scale model's stand-in for a
    preference reward on general prompts."""
    return [min(1.0, max(0.0, 2.0 - len(ids) / max_tokens)) for ids in completion_ids]
