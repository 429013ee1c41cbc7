"""Dynamic sampling (DAPO, arXiv 2503.14476, section 3.2): groups of equal rewards teach nothing and are replaced.

DAPO samples until the batch is full of groups with a signal. Here a group without one gives its place to another
problem of the training data, at most `resample` times in a step, so that the cost is bounded and the batch keeps its
size. Which problems are drawn depends on the seed and the step alone, so that a resumed run draws the same.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from r1kit.rows import Row

REWARD_GRAIN = 65536
"""Rewards are rounded to multiples of 1/65536: their sums are exact in float32, so that equal rewards get an advantage
of exactly 0 (eight times 1.7 would get one of 1e-3)."""


@dataclass
class SampledRows:
    """The completions of one process, one row each: `group_size` rows in a row belong to one prompt."""

    rows: list[Row]  # the problems, with the columns that rewards take
    prompts: list[Any]
    prompt_ids: list[list[int]]
    completion_ids: list[list[int]]
    completions: list[Any]
    logprobs: list[list[float]] | None
    rewards: torch.Tensor  # (rows, R), one column for each reward

    def replace_group(self, index: int, source: "SampledRows", source_index: int, group_size: int) -> None:
        """Put group `source_index` of `source` into the place of group `index`."""
        target_rows = slice(index * group_size, (index + 1) * group_size)
        source_rows = slice(source_index * group_size, (source_index + 1) * group_size)
        for name, values in vars(self).items():
            if values is not None:
                values[target_rows] = vars(source)[name][source_rows]


def round_rewards(rewards: torch.Tensor) -> torch.Tensor:
    """Return rewards as multiples of 1 / REWARD_GRAIN."""
    return (rewards * REWARD_GRAIN).round() / REWARD_GRAIN


def groups_without_signal(rewards: torch.Tensor, weights: torch.Tensor, group_size: int) -> list[int]:
    """Return the indices of the groups whose rewards are all equal; a row with a fault is left out of its group.

    `rewards`: (rows, R), NaN where a reward does not apply and infinite where it had a fault; `weights`: (R,).
    """
    totals = (round_rewards(rewards) * weights.to(rewards.device)).nansum(dim=1)
    has_no_reward = torch.isinf(rewards).any(dim=1) | torch.isnan(rewards).all(dim=1)
    totals = totals.masked_fill(has_no_reward, torch.nan).view(-1, group_size)
    least = totals.nan_to_num(nan=torch.inf).amin(dim=1)
    greatest = totals.nan_to_num(nan=-torch.inf).amax(dim=1)
    return (least >= greatest).nonzero().squeeze(1).tolist()


def replace_groups_without_signal(
    sampled: SampledRows,
    group_size: int,
    weights: torch.Tensor,
    attempts: int,
    draw_problems: Callable[[int, int], Sequence[Row]],
    sample: Callable[[list[Row]], SampledRows],
    greatest_on_any_rank: Callable[[int], int],
) -> int:
    """Replace groups without a signal in `sampled`, in place; return how many replacements were made.

    `draw_problems(attempt, count)` returns further problems, `sample(rows)` their completions with rewards. All ranks
    sample as often as the one that needs most, since sampling and scoring contain collective operations.
    """
    replaced = 0
    for attempt in range(attempts):
        without_signal = groups_without_signal(sampled.rewards, weights, group_size)
        problem_count = greatest_on_any_rank(len(without_signal))
        if problem_count == 0:
            break
        rows = []
        for problem in draw_problems(attempt, problem_count):
            rows += [problem] * group_size
        fresh = sample(rows)
        for fresh_index, index in enumerate(without_signal):
            sampled.replace_group(index, fresh, fresh_index, group_size)
        replaced += len(without_signal)
    return replaced


def draw_problem_indices(seed_text: str, dataset_size: int, count: int) -> list[int]:
    """Return `count` indices of problems, with repetition, the same for the same `seed_text`."""
    generator = random.Random(seed_text)
    return [generator.randrange(dataset_size) for _ in range(count)]
