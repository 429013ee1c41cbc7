"""Reward functions for reinforcement learning, with the signature that TRL's trainers expect.

A reward is a plain function `f(completions, **columns) -> list[float | None]`. It works in r1kit's recipes and in any
script of your own that uses TRL:

    from trl import GRPOTrainer
    from r1kit.rewards import accuracy, for_trl, format
    trainer = GRPOTrainer(model="Qwen/Qwen3-0.6B", reward_funcs=[for_trl(accuracy), format], train_dataset=dataset, ...)

`columns` are lists with one value for each completion: the columns of the data set (`answer`, `checker`, `tests`,
...) and what TRL adds (`prompts`, `completion_ids`, ...). The parameters after a bare `*` in a signature are settings
of the reward; fix them with `functools.partial(brevity, max_tokens=20)`. For each completion a reward returns

- a float, the reward;
- `None`, where the reward does not apply to the row (for example `accuracy` on a row without a gold answer);
- `FAULT`, where no verdict could be had (a dead sandbox, a gold answer that does not parse). r1kit leaves such a row
  out of its group's advantages and out of the loss. TRL would take it for a number, an infinite one: in a script of
  your own write `for_trl(accuracy)`, which returns `None` in its place.

Importing this package imports neither torch nor transformers.
"""

from r1kit.answers.fault import FAULT
from r1kit.rewards.accuracy import accuracy
from r1kit.rewards.for_trl import for_trl
from r1kit.rewards.form import brevity, fenced, format, tags
from r1kit.rewards.judge import judge
from r1kit.rewards.language import language
from r1kit.rewards.preference import preference
from r1kit.rewards.registry import REWARDS, RewardFunction
from r1kit.rewards.shaping import cosine, length, overlong, repetition, steps

__all__ = [
    "FAULT",
    "REWARDS",
    "RewardFunction",
    "accuracy",
    "brevity",
    "cosine",
    "fenced",
    "for_trl",
    "format",
    "judge",
    "language",
    "length",
    "overlong",
    "preference",
    "repetition",
    "steps",
    "tags",
]
