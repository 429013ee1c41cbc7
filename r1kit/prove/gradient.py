"""Is the gradient of a step the one of its definition?

Of some steps, the gradient that the optimizer is about to use is compared with that of definition.py: computed in
float64, row by row, from the rows of the step and the weights of that moment. A loss that is divided once more by the
accumulation is off by a factor, which the figure names.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from r1kit.models.pieces import IGNORED_LABEL
from r1kit.prove.definition import (
    PolicyLoss,
    PolicyRow,
    Row,
    TrainedRow,
    add_distillation_gradient,
    add_fine_tuning_gradient,
    add_policy_gradient,
    completion_logprobs,
    compute_advantages,
    copy_in_float64,
)
from r1kit.prove.observe import Generation, Step
from r1kit.prove.table import Finding, judge, leave_out

FLOAT32_TOLERANCE, BFLOAT16_TOLERANCE = 1e-4, 5e-2
"""Greatest distance from the definition, as a fraction of the gradient's norm."""
STEPS_COMPARED = 2
"""Steps of fine-tuning, and rollouts of RL, whose gradients are compared."""
KNOWN_SFT_LOSSES = ("nll", "dft")
KNOWN_RL_LOSSES = ("grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo")


@dataclass(frozen=True)
class Comparison:
    """The gradient of one step beside its definition."""

    step: int
    distance: float  # norm of the difference over the norm of the definition
    factor: float  # the multiple of the definition that is nearest to the gradient
    norm: float


class GradientCheck:
    """Compares gradients while the trainer trains. `on_gradients` and `on_generation` are for an Observer."""

    def __init__(self, truth: Mapping[tuple[int, ...], tuple[int, ...]]):
        """`truth` are the labels of the rows of fine-tuning by their ids, as they were before any batch was made."""
        self.truth = truth
        self.trainer: Any = None
        self.comparisons: list[Comparison] = []
        self.obstacle = ""
        self._old_logprobs: dict[Row, torch.Tensor] = {}
        self._reference_logprobs: dict[Row, torch.Tensor] = {}
        self._advantages: dict[Row, float] = {}
        self._rollout_tokens = 0
        self._rollouts = 0
        self.advantage_difference = 0.0

    def start(self, trainer: Any) -> None:
        """Prepare for the trainer whose gradients come next."""
        self.trainer = trainer
        self.obstacle = find_obstacle(trainer)

    def on_generation(self, generation: Generation) -> None:
        """Keep what the old policy and the reference say about a rollout, and its advantages, by definition."""
        self._rollouts += 1
        if self.obstacle or self._rollouts > STEPS_COMPARED or generation.rewards is None:
            return
        assert generation.advantages is not None
        trainer = self.trainer
        policy = copy_in_float64(trainer.model)
        reference = self._copy_reference() if trainer.beta else None
        advantages = compute_advantages(
            generation.rewards, trainer.reward_weights, trainer.num_generations, trainer.scale_rewards
        )
        difference = (advantages - generation.advantages.double()).abs().max()
        self.advantage_difference = max(self.advantage_difference, float(difference))
        self._rollout_tokens = 0
        with torch.no_grad():
            for row, advantage in zip(generation.rows, advantages.tolist(), strict=True):
                self._old_logprobs[row] = completion_logprobs(policy, row, trainer.temperature)
                if reference is not None:
                    self._reference_logprobs[row] = completion_logprobs(reference, row, trainer.temperature)
                self._advantages[row] = advantage
                self._rollout_tokens += len(row[1]) * self._is_counted(row)

    def _is_counted(self, row: Row) -> bool:
        """Return whether a completion is in the loss: one that was cut may be left out."""
        is_cut = row[1][-1] not in self.trainer.eos_token_ids
        return not (self.trainer.mask_truncated_completions and is_cut)

    def _copy_reference(self) -> Any:
        if self.trainer.ref_model is not None:
            return copy_in_float64(self.trainer.ref_model)
        copy = copy_in_float64(self.trainer.model)
        if "ref" in copy.peft_config:
            copy.set_adapter("ref")
            return copy
        return copy.unload()

    def on_gradients(self, step: Step) -> None:
        """Compare the gradients of the trainer's model with those of the definition."""
        is_policy = "completion_ids" in step.micro_batches[0]
        is_due = self._rollouts <= STEPS_COMPARED if is_policy else len(self.comparisons) < STEPS_COMPARED
        if self.obstacle or not is_due:
            return
        definition = copy_in_float64(self.trainer.model)
        if hasattr(self.trainer, "teacher_model"):
            teacher = copy_in_float64(self.trainer.teacher_model)
            completions = [row for row, _ in step.policy_rows]
            add_distillation_gradient(definition, teacher, completions, self.trainer.beta, self.trainer.temperature)
        elif is_policy:
            self._add_policy_gradient(definition, step)
        else:
            rows = [TrainedRow(row.ids, self.truth.get(row.ids, row.labels)) for row in step.trained_rows]
            add_fine_tuning_gradient(definition, rows, self._token_count(rows), self.trainer.args.loss_type)
        self.comparisons.append(compare_gradients(step.number, self.trainer.model, definition))

    def _token_count(self, rows: list[TrainedRow]) -> float:
        """Return by how many tokens the sum over a batch is divided: its own, or with group_by_length an average one's.

        See the top of r1kit/training/sft.py for the second.
        """
        if not getattr(self.trainer, "groups_by_length", False):
            return sum(row.scored_count for row in rows)
        dataset = self.trainer.train_dataset
        counts = [sum(label != IGNORED_LABEL for label in labels[1:]) for labels in dataset["labels"]]
        return len(rows) * sum(counts) / len(counts)

    def _add_policy_gradient(self, definition: Any, step: Step) -> None:
        trainer = self.trainer
        rows = []
        for row, micro_batch in step.policy_rows:
            is_known = row in self._old_logprobs
            rows.append(
                PolicyRow(
                    row,
                    self._advantages.get(row, 0.0),
                    self._old_logprobs.get(row, torch.zeros(0)),
                    self._reference_logprobs.get(row),
                    is_known and self._is_counted(row),
                    micro_batch,
                )
            )
        steps_per_rollout = trainer.args.steps_per_generation / trainer.args.gradient_accumulation_steps
        add_policy_gradient(definition, rows, max(1, self._rollout_tokens) / steps_per_rollout, read_loss(trainer))

    def findings(self) -> list[Finding]:
        """Return the finding of all steps that were compared."""
        if self.obstacle:
            return [leave_out("gradient", self.obstacle)]
        if not self.comparisons:
            return [judge("gradient", False, "no step was trained")]
        worst = max(self.comparisons, key=lambda comparison: comparison.distance)
        tolerance = FLOAT32_TOLERANCE
        if self.trainer.accelerator.mixed_precision != "no" or self.trainer.model.dtype != torch.float32:
            tolerance = BFLOAT16_TOLERANCE
        has_gradient = any(comparison.norm > 0 for comparison in self.comparisons)
        holds = has_gradient and worst.distance <= tolerance and self.advantage_difference <= 1e-4
        figure = (
            f"{worst.distance:.1e} of its norm from the definition in float64, at most, in {len(self.comparisons)} "
            f"steps of {self._describe_batch()}"
        )
        if not has_gradient:
            figure = "no step has a gradient"
        elif worst.distance > tolerance:
            figure += f"; step {worst.step} is {worst.factor:.3g} times the definition"
        if self.advantage_difference > 1e-4:
            figure += f"; advantages differ by {self.advantage_difference:.1e}"
        return [judge("gradient", holds, figure)]

    def _describe_batch(self) -> str:
        arguments = self.trainer.args
        parts = [f"{arguments.gradient_accumulation_steps} x {arguments.per_device_train_batch_size} rows"]
        if hasattr(arguments, "loss_type"):
            parts.append(f"loss {arguments.loss_type}")
        savings = getattr(self.trainer, "savings", None)
        if savings is None and getattr(self.trainer, "trims", False):
            savings = ["trim"]
        parts += sorted(savings or ())
        if getattr(arguments, "packing", False):
            parts.append(f"packed {arguments.packing_strategy}")
        return ", ".join(parts)


def find_obstacle(trainer: Any) -> str:
    """Return why no plain definition of the trainer's loss is written down here; "" where it is."""
    if getattr(trainer, "aux_loss_enabled", False):
        return "the router's auxiliary loss is a mean over whole micro-batches"
    if hasattr(trainer, "teacher_model"):
        return ""
    loss_type = trainer.args.loss_type
    if not hasattr(trainer, "rollout_sampler"):
        known = loss_type in KNOWN_SFT_LOSSES and trainer.label_smoother is None and trainer.compute_loss_func is None
        return "" if known else f"trl.loss_type = {loss_type}, or label smoothing, has no definition here"
    if loss_type not in KNOWN_RL_LOSSES:
        return f"trl.loss_type = {loss_type} has no definition here"
    if trainer._entropy_bonus_enabled or trainer.top_entropy_quantile < 1.0:
        return "entropy terms have no definition here"
    if trainer.off_policy_mask_threshold is not None or trainer.multi_objective_aggregation != "sum_then_normalize":
        return "trl.off_policy_mask_threshold and multi_objective_aggregation have no definition here"
    return "the sampler is vLLM, whose ratios have no definition here" if trainer.use_vllm else ""


def read_loss(trainer: Any) -> PolicyLoss:
    """Return the settings of a trainer's loss."""
    arguments = trainer.args
    return PolicyLoss(
        loss_type=trainer.loss_type,
        level=trainer.importance_sampling_level,
        beta=trainer.beta,
        epsilon_low=trainer.epsilon_low,
        epsilon_high=trainer.epsilon_high,
        delta=arguments.delta,
        temperature=trainer.temperature,
        max_completion_length=trainer.max_completion_length,
        corrects_kl=arguments.use_bias_correction_kl,
        sapo_temperatures=(arguments.sapo_temperature_pos, arguments.sapo_temperature_neg),
    )


def compare_gradients(step: int, model: Any, definition: Any) -> Comparison:
    """Return how far the gradients of `model` are from those of `definition`, over all weights that are trained."""
    expected = dict(definition.named_parameters())
    difference, product, norm = 0.0, 0.0, 0.0
    for name, weight in model.named_parameters():
        if not weight.requires_grad:
            continue
        gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
        true_gradient = expected[name].grad
        if true_gradient is None:
            true_gradient = torch.zeros_like(expected[name])
        gradient = gradient.double()
        difference += float((gradient - true_gradient).pow(2).sum())
        product += float((gradient * true_gradient).sum())
        norm += float(true_gradient.pow(2).sum())
    if norm == 0:
        return Comparison(step, 0.0 if difference == 0 else math.inf, 1.0, 0.0)
    return Comparison(step, math.sqrt(difference / norm), product / norm, math.sqrt(norm))
