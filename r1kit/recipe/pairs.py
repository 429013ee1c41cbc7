"""The block `pairs` of `reward-model`: how pairs of completions are made, and which of them are held out."""

from typing import Literal

from r1kit.recipe.block import Block, Fraction, NonNegativeFloat, PositiveInt

BY_CORRECTNESS = "correct"
"""The value of `pairs.by` for right against wrong completions."""


class PairsConfig(Block):
    """How pairs of a better and a worse completion of one prompt are made."""

    part: Literal["answer", "all"] = "answer"
    """What the reward model reads of a completion: the final `answer` alone, or `all` of it, the thinking included. The
    reward `preference` then gives it the same part."""
    by: str = BY_CORRECTNESS
    """Column that says which of two sampled completions of a prompt is better: `correct`, or the name of a reward, such
    as `judge`. Rows with `chosen` and `rejected` are pairs already."""
    min_gap: NonNegativeFloat = 0.0
    """Smallest difference between the values of `by` in a pair; equal values never make a pair."""
    per_prompt: PositiveInt = 4
    """Largest number of pairs that are made of the sampled completions of one prompt."""
    held_out: Fraction = 0.1
    """Fraction of the prompts whose pairs are held out, to measure how many of them the model orders rightly. Not used
    where `data.eval` is set."""
