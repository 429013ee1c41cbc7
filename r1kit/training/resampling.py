"""Dynamic sampling (DAPO, arXiv 2503.14476, 3.2): groups whose rewards are all equal teach nothing, and are replaced.

DAPO samples until the batch is full of groups with a signal. Here a group without one gives its place to another
problem of the training data, at most `resample` times a step, so that the cost is bounded and the batch keeps its size.
Which problems these are depends on the seed and the step alone, so that a resumed run takes the same.
"""

import random
from typing import Any

import torch
from accelerate.utils import gather

REWARD_GRAIN = (
    65536  # sums of multiples of 1/65536 are exact in float32, so that equal rewards make advantages of exactly 0
)


class ResamplingMixin:
    """Over TRL's GRPOTrainer. Overrides `_generate_and_score_completions`, `_generate` and `_calculate_rewards`."""

    resample = 0

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self._rows, self._known, self._asked = inputs, None, inputs
        return super()._generate_and_score_completions(inputs)

    def _generate(self, prompts: list[Any]) -> tuple:
        output = super()._generate(prompts)
        if not self.resample or not self.model.training:
            return output
        prompt_ids, ids, tool_mask, completions, logprobs, *rest = output
        lists = [prompt_ids, ids, completions, *([] if logprobs is None else [logprobs])]
        group, replaced = self.num_generations, 0
        rewards = self._own_rewards(self._rows, prompts, completions, ids)
        counted = {name: len(values) for name, values in self._metrics["train"].items()}
        for attempt in range(self.resample):
            dull = self._dull(rewards)
            most = self._most(len(dull))
            if most == 0:
                break
            draw = random.Random(f"{self.args.seed}/{self._step}/{self.accelerator.process_index}/{attempt}")
            drawn = [self.train_dataset[draw.randrange(len(self.train_dataset))] for _ in range(most)]
            rows = [row for row in drawn for _ in range(group)]
            asked, self._asked = [row["prompt"] for row in rows], rows
            new_ids, new_said, _, new_completions, new_logprobs, *_ = super()._generate(asked)
            new = [new_ids, new_said, new_completions, *([] if logprobs is None else [new_logprobs])]
            found = self._own_rewards(rows, asked, new_completions, new_said)
            for place, number in enumerate(dull):  # where other ranks have more of them, the rest is left
                here, there = (slice(n * group, (n + 1) * group) for n in (number, place))
                self._rows[here], prompts[here], rewards[here] = rows[there], asked[there], found[there]
                for old, fresh in zip(lists, new, strict=True):
                    old[here] = fresh[there]
            replaced += len(dull)
        for name, values in self._metrics["train"].items():  # of lengths, the first draw's
            if name != "num_tokens":
                del values[counted.get(name, 0) :]
        share = torch.tensor([replaced / (len(prompts) / group)], device=self.accelerator.device)
        self._metrics["train"]["resampled"].append(self.accelerator.gather(share).mean().item())
        if self._most(
            int(bool(self._pending_extra_logs or self._pending_metrics))
        ):  # a reward logs of its own: it is to do so once
            self._pending_extra_logs.clear()
            self._pending_metrics.clear()
        else:
            self._known = gather(rewards)
        return (prompt_ids, ids, tool_mask, completions, logprobs, *rest)

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> torch.Tensor:
        if self._known is not None:
            return self._known
        return super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)

    def _own_rewards(self, rows: list[Any], prompts: list[Any], completions: list[Any], ids: list[Any]) -> torch.Tensor:
        """Return (rows of this rank, rewards)."""
        rewards = super()._calculate_rewards(rows, prompts, completions, ids)
        first = self.accelerator.process_index * len(prompts)
        return rewards[first : first + len(prompts)].clone()

    def _dull(self, rewards: torch.Tensor) -> list[int]:
        """Return the groups whose rewards are all equal; a row with a fault counts for nothing."""
        exact = (rewards * REWARD_GRAIN).round() / REWARD_GRAIN
        sums = (exact * self.reward_weights.to(exact.device)).nansum(dim=1)
        sums[torch.isinf(rewards).any(dim=1) | torch.isnan(rewards).all(dim=1)] = torch.nan
        sums = sums.view(-1, self.num_generations)
        low, high = sums.nan_to_num(nan=torch.inf).amin(dim=1), sums.nan_to_num(nan=-torch.inf).amax(dim=1)
        return (low >= high).nonzero().squeeze(1).tolist()

    def _most(self, count: int) -> int:
        """Return the greatest count of all ranks, which must all sample as often."""
        if self.accelerator.num_processes == 1:
            return count
        counts = torch.tensor([count], device=self.accelerator.device)
        return int(self.accelerator.gather(counts).max())
