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
from accelerate.utils import gather

from r1kit.errors import UserError
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


# Within RLTrainer


def check_whole_groups(trainer: Any) -> None:
    """Raise UserError where groups are to be replaced and a process of the trainer has parts of groups."""
    row_count = trainer.args.per_device_train_batch_size * (trainer.args.steps_per_generation or 1)
    if trainer.resample and row_count % trainer.num_generations:
        raise UserError(
            "sampling.resample",
            trainer.resample,
            f"a process samples {row_count} completions, which are no whole groups of {trainer.num_generations}",
            "use fewer processes, or a larger batch_size",
        )


def replace_groups(trainer: Any, prompts: list[Any], output: tuple) -> tuple[tuple, torch.Tensor | None]:
    """Return `output` of RLTrainer's `_generate` with its groups without a signal replaced, and the rewards.

    `prompts` and the rows of the trainer's generation are changed in place. The rewards are (B of all processes, R),
    or None if a reward function logs columns or metrics of its own, for which it has to run again.
    """
    prompt_ids, completion_ids, tool_mask, completions, logprobs, *others = output
    rows = trainer.generation.rows
    rewards = _rewards_of_this_rank(trainer, rows, prompts, completions, completion_ids)
    sampled = SampledRows(rows, prompts, prompt_ids, completion_ids, completions, logprobs, rewards)
    metrics = trainer._metrics["train"]
    counts_before = {name: len(values) for name, values in metrics.items()}

    def sample(new_rows: list[Row]) -> SampledRows:
        trainer.generation.rows_in_sampling = new_rows
        new_prompts = [row["prompt"] for row in new_rows]
        new_prompt_ids, new_ids, _, texts, new_logprobs, *_ = trainer.generate_turns(new_prompts)
        rewards = _rewards_of_this_rank(trainer, new_rows, new_prompts, texts, new_ids)
        return SampledRows(new_rows, new_prompts, new_prompt_ids, new_ids, texts, new_logprobs, rewards)

    def draw_problems(attempt: int, count: int) -> list[Row]:
        seed_text = f"{trainer.args.seed}/{trainer._step}/{trainer.accelerator.process_index}/{attempt}"
        indices = draw_problem_indices(seed_text, len(trainer.train_dataset), count)
        return [trainer.train_dataset[index] for index in indices]

    replaced = replace_groups_without_signal(
        sampled,
        trainer.num_generations,
        trainer.reward_weights,
        trainer.resample,
        draw_problems,
        sample,
        lambda count: _greatest_on_any_rank(trainer, count),
    )
    for name, values in metrics.items():  # lengths are those of the first draw; all tokens count
        if name != "num_tokens":
            del values[counts_before.get(name, 0) :]
    group_count = len(prompts) / trainer.num_generations
    fraction = torch.tensor([replaced / group_count], device=trainer.accelerator.device)
    metrics["resampled"].append(trainer.accelerator.gather(fraction).mean().item())
    new_output = (prompt_ids, completion_ids, tool_mask, completions, logprobs, *others)
    return new_output, _gather_final_rewards(trainer, sampled.rewards)


def _rewards_of_this_rank(
    trainer: Any, rows: list[Row], prompts: list[Any], completions: list[Any], completion_ids: list[Any]
) -> torch.Tensor:
    """Return (rows of this process, R)."""
    rewards = trainer.stock_rewards(rows, prompts, completions, completion_ids)
    first = trainer.accelerator.process_index * len(prompts)
    return rewards[first : first + len(prompts)].clone()


def _gather_final_rewards(trainer: Any, rewards: torch.Tensor) -> torch.Tensor | None:
    """Return the rewards of all processes; None if a reward function logs columns or metrics of its own.

    Those were logged for completions that have been replaced since; they are dropped, and logged anew with the rewards.
    """
    has_own_logs = bool(trainer._pending_extra_logs or trainer._pending_metrics)
    if _greatest_on_any_rank(trainer, int(has_own_logs)):
        trainer._pending_extra_logs.clear()
        trainer._pending_metrics.clear()
        return None
    return gather(rewards)


def _greatest_on_any_rank(trainer: Any, count: int) -> int:
    if trainer.accelerator.num_processes == 1:
        return count
    counts = torch.tensor([count], device=trainer.accelerator.device)
    return int(trainer.accelerator.gather(counts).max())
