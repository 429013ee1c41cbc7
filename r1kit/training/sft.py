"""TRL's SFTTrainer with whole checkpoints and an order of rows that resume keeps.

A micro-batch stays what it was drawn to be, and its padding is not run: the same loss and gradient. Its rows stand in
bins as wide as the longest (savings/packing.py) or, where attention over bins costs more than that saves, run in
chunks of like length, each as wide as its own longest row. On a CPU and with a small vocabulary TRL's head, which saves
memory there is enough of, is left out (savings/full_logits.py).

Departure: with rows of like length batched together, the mean over a batch's own tokens weighs a token of
a batch of short rows more than one of a batch of long rows, so that long chains of thought are learned
too little (on the scale model's text, 20% of them came back as 7%). The loss of such a batch is divided
by the tokens that a batch has on average: each token of the data weighs the same.
"""

from itertools import pairwise
from typing import Any

import torch
from trl import SFTTrainer

from r1kit.recipe import SFTRecipe
from r1kit.training.checkpoints import CheckpointMixin
from r1kit.training.row_order import RowSampler
from r1kit.training.savings.architecture import (
    has_dropout,
    has_only_full_attention,
    needs_single_pass,
    positions_depend_on_width,
)
from r1kit.training.savings.chunks import attention_cost_per_token, chunk_ends, longest_on_any_rank, pass_cost_in_tokens
from r1kit.training.savings.full_logits import fits_full_logits, with_full_logits
from r1kit.training.savings.packing import pack_into_bins, supports_packed_bins, with_packed_rows

OUTPUTS = ("entropy", "is_top1")  # that TRL's SFT asks its head for


class FineTuningTrainer(CheckpointMixin, SFTTrainer):
    """SFT as TRL does it."""

    def __init__(self, *args: Any, recipe: SFTRecipe, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.recipe = recipe
        self.keep_checkpoints = recipe.training.keep_checkpoints
        self.grouped = recipe.training.group_by_length and not recipe.training.packing
        self._row_tokens: float | None = None
        noisy = has_dropout(self.model) or bool(self.args.neftune_noise_alpha)
        whole = noisy or self.aux_loss_enabled or positions_depend_on_width(self.model) or needs_single_pass(self)
        self._call = pass_cost_in_tokens(self.model)
        self._full = self.model.device.type == "cpu" and has_only_full_attention(self.model)
        self._attention = attention_cost_per_token(self.model) if self._full else 0.0
        self._packs: bool | None = None  # not known before the first batch
        self.trims = "trim" in recipe.training.savings and not whole

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        plain = inputs.keys() <= {"input_ids", "attention_mask", "labels"} and "attention_mask" in inputs
        if not self.trims or not plain or return_outputs or num_items_in_batch is None or not self.model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        mask = inputs["attention_mask"]
        lengths, order = mask.sum(dim=1).sort(descending=True, stable=True)
        lengths = longest_on_any_rank(lengths, self.accelerator.num_processes).tolist()
        ends = chunk_ends(lengths, 0, len(mask), self._call)
        fused = self.label_smoother is None and self.compute_loss_func is None  # those ask the model for its logits
        if fused and self._in_bins(model, lengths, ends):
            run = with_full_logits(model, outputs=OUTPUTS) if fits_full_logits(self.model, mask.numel()) else model
            return super().compute_loss(
                with_packed_rows(run, lengths[0]), inputs, num_items_in_batch=num_items_in_batch
            )
        start, loss, counts, metrics = 0, 0.0, [], self._metrics["train"]
        before = {name: len(metrics[name]) for name in ("entropy", "mean_token_accuracy")}
        for end in ends:
            rows = order[start:end]
            there = mask[rows].any(dim=0).nonzero()
            cut = slice(int(there[0]), int(there[-1]) + 1)
            part = {name: values[rows, cut] for name, values in inputs.items()}
            few = fused and fits_full_logits(self.model, part["input_ids"].numel())
            run = with_full_logits(model, outputs=OUTPUTS) if few else model
            loss = loss + super().compute_loss(run, part, num_items_in_batch=num_items_in_batch)
            counts.append((part["labels"][:, 1:] != -100).sum())
            start = end
        total = self.accelerator.gather(torch.stack(counts).unsqueeze(0)).sum(dim=0).tolist()
        for name, first in before.items():  # as of one micro-batch: the mean over its tokens
            values = metrics[name][first:]
            mean = sum(v * n for v, n in zip(values, total, strict=True)) / max(1, sum(total))
            metrics[name][first:] = [mean]
        return loss

    def _in_bins(self, model: Any, lengths: list[int], ends: list[int]) -> bool:
        """Whether rows of these falling lengths cost less in bins than in chunks, and the model can have them so.

        On a CPU alone, where both were measured. All processes have the same `lengths`, and so the same answer.
        """
        if not self._full:
            return False
        width = lengths[0]
        apart = sum((end - start) * self._cost(lengths[start]) + self._call for start, end in pairwise([0, *ends]))
        together = (max(pack_into_bins(lengths, width)[0]) + 1) * self._cost(width) + self._call
        if together < apart and self._packs is None:
            self._packs = supports_packed_bins(model, self.model.config.get_text_config().vocab_size)
        return together < apart and bool(self._packs)

    def _cost(self, width: int) -> float:
        """Return what a row costs, in tokens of a short one."""
        return width * (1 + self._attention * width)

    def _get_num_items_in_batch(self, batch_samples: list, device: Any) -> Any:
        counted = super()._get_num_items_in_batch(batch_samples, device)
        if not self.grouped or counted is None or not self.model.training:
            return counted
        rows = sum(len(batch["labels"]) for batch in batch_samples) * self.accelerator.num_processes
        return torch.tensor(rows * self._mean_row_tokens(), device=device)

    def _mean_row_tokens(self) -> float:
        """Return the tokens that the loss counts in a row, on average over the data."""
        if self._row_tokens is None:
            rows = self.train_dataset
            column = "labels" if "labels" in rows.column_names else "input_ids"
            counts = [sum(token != -100 for token in ids[1:]) for ids in rows[column]]
            self._row_tokens = sum(counts) / len(counts)
        return self._row_tokens

    def _get_train_sampler(self, dataset: Any = None) -> RowSampler:
        rows = self.train_dataset if dataset is None else dataset
        lengths = [len(ids) for ids in rows["input_ids"]] if self.grouped else None
        batch = self.recipe.training.batch_size
        return RowSampler(len(rows), self.args.seed, lambda: int(self.state.epoch or 0), lengths, batch)
