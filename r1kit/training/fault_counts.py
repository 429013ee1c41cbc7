"""What of a generation has no verdict: it is counted in the metrics, and ends a run that has nothing to learn from."""

from typing import Any

import torch

from r1kit.errors import UserError
from r1kit.rewards.timeouts import take_timeout_count

MAX_GENERATIONS_WITHOUT_VERDICT = 10
"""Generations in a row without a single verdict after which a run ends: there is nothing to learn from."""


class FaultCounter:
    """Counts what has no verdict, over the generations of a training."""

    def __init__(self) -> None:
        self.generations_without_verdict = 0

    def log_faults(self, trainer: Any, rewards: torch.Tensor, has_fault: torch.Tensor) -> None:
        """Log what had no verdict; raise UserError where nothing has had one for a while.

        `rewards`: (B of all processes, R), NaN where a reward does not apply and infinite where it had a fault;
        `has_fault`: (B of all processes,), bool.
        """
        metrics = trainer._metrics["train" if trainer.model.training else "eval"]
        metrics["faults"].append(has_fault.sum().item())
        for name, values in zip(trainer.reward_func_names, rewards.unbind(dim=1), strict=True):
            metrics[f"rewards/{name}/none"].append(torch.isnan(values).sum().item())
            metrics[f"rewards/{name}/faults"].append(torch.isinf(values).sum().item())
        self.generations_without_verdict = self.generations_without_verdict + 1 if has_fault.all() else 0
        if self.generations_without_verdict == MAX_GENERATIONS_WITHOUT_VERDICT:
            count = MAX_GENERATIONS_WITHOUT_VERDICT
            raise UserError(
                "rewards",
                ", ".join(trainer.reward_func_names),
                f"no completion of {count} generations had a verdict: there is nothing to learn from",
                "repair what is broken (see stderr), then run the same command again",
            )
        timeouts = torch.tensor([take_timeout_count()], device=rewards.device)
        metrics["timeouts"].append(trainer.accelerator.gather(timeouts).sum().item())
