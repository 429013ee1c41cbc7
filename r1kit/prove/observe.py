"""Record what a trainer of r1kit does while it trains, without changing it.

observer = Observer()
trainer = observer.watch(trainer)       the methods below are called as before, and what goes through them is kept
trainer.train()
observer.steps[0].rows                  the rows of the first optimizer step, without their padding
"""

import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from transformers import TrainerCallback

from r1kit.models.pieces import IGNORED_LABEL
from r1kit.prove.definition import Row, TrainedRow

MicroBatch = dict[str, Any]


@dataclass
class Step:
    """One optimizer step."""

    number: int
    micro_batches: list[MicroBatch]

    truth: Mapping[tuple[int, ...], Any] = field(default_factory=dict)

    @property
    def trained_rows(self) -> list[TrainedRow]:
        """Return the rows of fine-tuning."""
        rows = []
        for batch in self.micro_batches:
            rows += unpack_rows(batch, self.truth)
        return rows

    @property
    def policy_rows(self) -> list[tuple[Row, int]]:
        """Return the prompts and completions of RL, each with the number of its micro-batch."""
        rows = []
        for number, batch in enumerate(self.micro_batches):
            rows += [(row, number) for row in completion_rows(batch)]
        return rows

    @property
    def keys(self) -> list[Any]:
        """Return what tells the rows of the step apart, in any order."""
        if "completion_ids" in self.micro_batches[0]:
            return [row for row, _ in self.policy_rows]
        return [row.ids for row in self.trained_rows]


@dataclass
class Sampling:
    """One call of the sampler."""

    rows: list[Row]
    logprobs: list[list[float]]  # as the sampler gives them; empty if it gives none
    weight_difference: float  # greatest difference of the sampler's weights from the trainer's


@dataclass
class Generation:
    """One rollout, in the order in which it was sampled."""

    step: int  # the first optimizer step that trains on it
    rows: list[Row]
    rewards: torch.Tensor | None  # (B, R); None where nothing is rewarded
    advantages: torch.Tensor | None  # (B,)
    old_logprobs: torch.Tensor | None  # (B, T), as the trainer gives them to its loss
    samplings: list[Sampling] = field(default_factory=list)


class Observer(TrainerCallback):
    """Keeps the steps, rollouts and samplings of a trainer.

    `truth` are the rows of fine-tuning as the data has them, before any batch is made; it is empty for RL.
    `on_gradients(step)` is called before each optimizer step with the weights and gradients in place,
    `on_generation(generation)` after each rollout, and `on_end_of_step(number)` after each step, before it is saved.
    """

    def __init__(
        self,
        truth: Sequence[TrainedRow] = (),
        on_gradients: Callable[[Step], None] | None = None,
        on_generation: Callable[[Generation], None] | None = None,
        on_end_of_step: Callable[[int], None] | None = None,
    ):
        self.truth = {row.ids: row.labels for row in truth}
        self.truth_counts = Counter(row.ids for row in truth)
        self.on_gradients, self.on_generation, self.on_end_of_step = on_gradients, on_generation, on_end_of_step
        self.trainer: Any = None
        self.steps: list[Step] = []
        self.generations: list[Generation] = []
        self._micro_batches: list[MicroBatch] = []
        self._samplings: list[Sampling] = []
        self._rewards: list[torch.Tensor] = []

    def watch(self, trainer: Any) -> Any:
        """Record what `trainer` does from here on, and return it."""
        self.trainer = trainer
        _wrap(trainer, "compute_loss", self._keep_micro_batch)
        if hasattr(trainer, "rollout_sampler"):
            if hasattr(trainer, "_calculate_rewards"):
                _wrap(trainer, "_calculate_rewards", self._keep_rewards)
            _wrap(trainer, "_generate_and_score_completions", self._keep_generation)
            if "rollouts" in getattr(trainer, "savings", ()):
                _wrap(trainer.rollout_sampler, "sample_on_this_rank", self._keep_sampling)
            else:
                _wrap(trainer, "_generate_single_turn", self._keep_turn)
        trainer.add_callback(self)
        return trainer

    # What goes through the trainer's methods

    def _keep_micro_batch(self, call: Callable[[], Any], model: Any, inputs: MicroBatch, *_: Any, **__: Any) -> Any:
        if self.trainer.model.training:
            self._micro_batches.append({name: _copy(value) for name, value in inputs.items()})
        return call()

    def _keep_rewards(self, call: Callable[[], Any], *_: Any) -> Any:
        rewards = call()
        self._rewards = [rewards.detach().clone()]
        return rewards

    def _keep_sampling(
        self, call: Callable[[], Any], _trainer: Any, model: Any, prompt_ids: list[list[int]], *_: Any
    ) -> Any:
        difference = greatest_difference(dict(self.trainer.model.named_parameters()), dict(model.named_parameters()))
        completions, logprobs = call()
        self._add_sampling(prompt_ids, completions, logprobs, difference)
        return completions, logprobs

    def _keep_turn(self, call: Callable[[], Any], prompt_ids: list[list[int]], *_: Any, **__: Any) -> Any:
        output = call()
        # The trainers of distillation return the ids alone.
        completions, logprobs = (output[0], output[1] or []) if isinstance(output, tuple) else (output, [])
        self._add_sampling(prompt_ids, completions, logprobs, 0.0)
        return output

    def _add_sampling(self, prompts: Any, completions: Any, logprobs: Any, difference: float) -> None:
        rows = [(tuple(p), tuple(c)) for p, c in zip(prompts, completions, strict=True)]
        self._samplings.append(Sampling(rows, [list(values) for values in logprobs], difference))

    def _keep_generation(self, call: Callable[[], Any], *_: Any) -> Any:
        self._samplings = []
        output = call()
        if not self.trainer.model.training:
            return output
        prompts = unpad(output["prompt_ids"], output["prompt_mask"])
        is_rl = hasattr(self.trainer, "generation")
        completions = self.trainer.generation.completion_ids if is_rl else self.trainer.sampled_ids[1]
        rows = list(zip(prompts, [tuple(ids) for ids in completions], strict=True))
        generation = Generation(
            self.trainer.state.global_step + 1,
            rows,
            self._rewards[-1] if is_rl else None,
            _copy(output.get("advantages")),
            _copy(output.get("old_per_token_logps")),
            self._samplings,
        )
        self.generations.append(generation)
        if self.on_generation is not None:
            self.on_generation(generation)
        return output

    # Callbacks of transformers

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        step = Step(state.global_step + 1, self._micro_batches, self.truth)
        self._micro_batches = []
        self.steps.append(step)
        if self.on_gradients is not None:
            self.on_gradients(step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.on_end_of_step is not None:
            self.on_end_of_step(state.global_step)


def _wrap(owner: Any, name: str, keep: Callable[..., Any]) -> None:
    """Have a method of one object call `keep(call, ...)` with its arguments; `call()` is the method itself."""
    method = getattr(owner, name)

    @functools.wraps(method)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return keep(functools.partial(method, *args, **kwargs), *args, **kwargs)

    setattr(owner, name, wrapped)


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


# Rows without padding


def unpad(ids: torch.Tensor, mask: torch.Tensor) -> list[tuple[int, ...]]:
    """Return the ids of each row at which the mask is not 0."""
    return [tuple(row[kept.bool()].tolist()) for row, kept in zip(ids, mask, strict=True)]


def unpack_rows(batch: MicroBatch, truth: Mapping[tuple[int, ...], Any]) -> list[TrainedRow]:
    """Return the rows of a micro-batch of fine-tuning, which is padded or packed.

    Packed rows are told apart by the ids of the rows in `truth`, or where positions start anew if they are not those.
    """
    ids, labels = batch["input_ids"], batch["labels"]
    rows = []
    if "attention_mask" in batch:
        for row_ids, row_labels, mask in zip(ids, labels, batch["attention_mask"].bool(), strict=True):
            rows.append(TrainedRow(tuple(row_ids[mask].tolist()), tuple(row_labels[mask].tolist())))
        return rows
    for row_ids, row_labels, positions in zip(ids, labels, batch["position_ids"], strict=True):
        starts = find_packed_rows(row_ids.tolist(), truth) or (positions == 0).nonzero().flatten().tolist()
        for start, end in pairwise([*starts, len(row_ids)]):
            # Labels say nothing of a row's first token, which follows nothing.
            row_label_ids = [IGNORED_LABEL, *row_labels[start + 1 : end].tolist()]
            rows.append(TrainedRow(tuple(row_ids[start:end].tolist()), tuple(row_label_ids)))
    return rows


def find_packed_rows(ids: list[int], truth: Mapping[tuple[int, ...], Any]) -> list[int]:
    """Return where each row begins in a packed sequence of whole rows of `truth`; empty where it is none."""
    starts = []
    lengths = sorted({len(row) for row in truth}, reverse=True)
    position = 0
    while position < len(ids):
        starts.append(position)
        length = next((n for n in lengths if tuple(ids[position : position + n]) in truth), None)
        if length is None:
            return []
        position += length
    return starts


def completion_rows(batch: MicroBatch) -> list[Row]:
    """Return the prompts and completions of a micro-batch of RL; a completion ends at its last token in the loss."""
    prompts = unpad(batch["prompt_ids"], batch["prompt_mask"])
    return list(zip(prompts, unpad(batch["completion_ids"], batch["completion_mask"]), strict=True))


def greatest_difference(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
    """Return the greatest difference between tensors of the same name; infinite where names or shapes differ."""
    if first.keys() != second.keys():
        return float("inf")
    differences = [0.0]
    for name, tensor in first.items():
        if tensor.shape != second[name].shape:
            return float("inf")
        if tensor is not second[name] and tensor.numel():
            differences.append(float((tensor.detach().double() - second[name].detach().double()).abs().max()))
    return max(differences)
