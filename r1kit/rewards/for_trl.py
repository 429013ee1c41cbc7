"""Use a reward of r1kit in a plain TRL script: a FAULT becomes None, which TRL leaves out.

trainer = GRPOTrainer(..., reward_funcs=[for_trl(accuracy, answers="any"), format])
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from r1kit.answers.fault import FAULT


def for_trl(reward: Callable[..., Sequence[float | None]], **settings: Any) -> Callable[..., list[float | None]]:
    """Return a reward for TRL's trainers: as `reward` with these `settings`, but None in the place of FAULT.

    TRL sums the rewards that are not None. A row that had a fault in one of several rewards therefore still counts with
    the others; r1kit's own trainer leaves the whole row out. Raises TypeError for a setting that the reward has not.

    >>> from r1kit.rewards import accuracy
    >>> for_trl(accuracy)(["<answer>4</answer>", "<answer>4</answer>"], answer=["4", "\\\\frac{"])
    [1.0, None]
    """
    from r1kit.rewards.registry import setting_names

    unknown = sorted(set(settings) - set(setting_names(reward)))
    if unknown:
        raise TypeError(f"{reward.__name__} has no setting {unknown[0]}")

    @functools.wraps(reward)
    def reward_for_trl(completions: Sequence[Any], **columns: Any) -> list[float | None]:
        values = reward(completions, **settings, **columns)
        return [None if value == FAULT else value for value in values]

    return reward_for_trl
