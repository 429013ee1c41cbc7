"""Supervised fine-tuning by TRL's SFTTrainer, without running its padding, and with an order of rows that resume keeps.

A micro-batch has the rows that stock TRL would give it, and the same loss and gradient, but its padding is not run:

- its rows are packed into bins that are as wide as the longest row (savings/packing.py); or
- where attention over whole bins costs more than packing saves, they are run in chunks of rows of like length, each
  padded to its own longest row (savings/chunks.py).

On a CPU with a small vocabulary, TRL's fused head is not used either (savings/full_logits.py): it trades time for
memory, of which there is enough.

Departure from TRL: where rows of like length are batched together (`training.group_by_length`), the mean over a batch's
own tokens would give a token in a batch of short rows more weight than one in a batch of long rows. Long chains of
thought would then be learned too little: on the scale model's text, 20% of such rows came back as 7%. So the loss of
such a batch is divided by the tokens that a batch has on average, and each token of the data weighs the same.
"""

from itertools import pairwise
from typing import Any

import torch
from trl import SFTTrainer

from r1kit.messages import logger
from r1kit.recipe import SFTRecipe
from r1kit.training.checkpoints import CheckpointMixin
from r1kit.training.row_order import RowSampler
from r1kit.training.savings.architecture import (
    has_dropout,
    has_only_full_attention,
    has_virtual_tokens,
    needs_single_pass,
    positions_depend_on_width,
)
from r1kit.training.savings.chunks import attention_cost_per_token, chunk_ends, longest_on_any_rank, pass_cost_in_tokens
from r1kit.training.savings.full_logits import fits_full_logits, with_full_logits
from r1kit.training.savings.packing import pack_into_bins, supports_packed_bins, with_packed_rows

HEAD_OUTPUTS = ("entropy", "is_top1")
"""What TRL's SFT asks its fused head for, beside log-probabilities."""
TOKEN_MEAN_METRICS = ("entropy", "mean_token_accuracy")
"""Metrics of TRL's SFT that are means over the tokens of one call of `compute_loss`."""


class FineTuningTrainer(CheckpointMixin, SFTTrainer):
    """TRL's SFTTrainer with complete checkpoints, and with the savings that the top of this file describes."""

    model: Any  # transformers declares that it may be None, which it never is here

    def __init__(self, *args: Any, recipe: SFTRecipe, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.recipe = recipe
        self.keep_checkpoints = recipe.training.keep_checkpoints
        self.groups_by_length = recipe.training.group_by_length and not recipe.training.packing
        self.trims = "trim" in recipe.training.savings and self._rows_are_independent()
        if self.trims and has_virtual_tokens(self.model):
            self.trims = False
            if self.accelerator.is_main_process:
                logger.info("training.savings: trim switched off, because virtual tokens stand before each row")
        self._mean_row_tokens: float | None = None  # computed when it is first needed
        self._pass_cost = pass_cost_in_tokens(self.model)
        # Bins were measured on a CPU alone, where SDPA computes attention over a whole bin.
        self._may_use_bins = self.model.device.type == "cpu" and has_only_full_attention(self.model)
        self._attention_cost = attention_cost_per_token(self.model) if self._may_use_bins else 0.0
        self._supports_bins: bool | None = None  # tried out when bins are first cheaper

    def _rows_are_independent(self) -> bool:
        """Return whether a row's loss and gradient are the same whatever other rows it is run with."""
        draws_random_numbers = has_dropout(self.model) or bool(self.args.neftune_noise_alpha)
        if draws_random_numbers or self.aux_loss_enabled:
            return False
        return not positions_depend_on_width(self.model) and not needs_single_pass(self)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the loss of a micro-batch as TRL does, by running it without its padding where that is possible."""
        has_only_text = inputs.keys() <= {"input_ids", "attention_mask", "labels"} and "attention_mask" in inputs
        is_training_step = self.model.training and num_items_in_batch is not None and not return_outputs
        if not self.trims or not has_only_text or not is_training_step:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        lengths, order = inputs["attention_mask"].sum(dim=1).sort(descending=True, stable=True)
        agreed_lengths = longest_on_any_rank(lengths, self.accelerator.num_processes).tolist()
        ends = chunk_ends(agreed_lengths, 0, len(agreed_lengths), self._pass_cost)
        if self._uses_fused_head() and self._bins_are_cheaper(model, agreed_lengths, ends):
            packed_model = with_packed_rows(self._with_cheapest_head(model, inputs), width=agreed_lengths[0])
            return super().compute_loss(packed_model, inputs, num_items_in_batch=num_items_in_batch)
        return self._loss_in_chunks(model, inputs, order, ends, num_items_in_batch)

    def _loss_in_chunks(
        self, model: Any, inputs: dict[str, Any], order: torch.Tensor, ends: list[int], num_items_in_batch: Any
    ) -> torch.Tensor:
        """Return the sum of the losses of chunks of rows, each cut to the columns in which it has tokens.

        `order` are the rows by falling length, and `ends` the places in it at which the chunks end.
        """
        metrics = self._metrics["train"]
        values_before = {name: len(metrics[name]) for name in TOKEN_MEAN_METRICS}
        token_counts: list[torch.Tensor] = []
        loss: Any = 0.0
        for start, end in pairwise([0, *ends]):
            chunk = _cut_rows(inputs, order[start:end])
            chunk_model = self._with_cheapest_head(model, chunk)
            loss = loss + super().compute_loss(chunk_model, chunk, num_items_in_batch=num_items_in_batch)
            token_counts.append((chunk["labels"][:, 1:] != -100).sum())
        all_counts = self.accelerator.gather(torch.stack(token_counts).unsqueeze(0)).sum(dim=0).tolist()
        for name, count_before in values_before.items():
            # TRL has logged one mean for each chunk; it is to be one for the micro-batch.
            metrics[name][count_before:] = [_weighted_mean(metrics[name][count_before:], all_counts)]
        return loss

    def _uses_fused_head(self) -> bool:
        """Return whether TRL computes the loss by its fused head; label smoothing and others need the logits."""
        return self.label_smoother is None and self.compute_loss_func is None

    def _with_cheapest_head(self, model: Any, inputs: dict[str, Any]) -> Any:
        """Return `model`, or, where all logits of these inputs are few, a function that computes them at once."""
        if self._uses_fused_head() and fits_full_logits(self.model, inputs["input_ids"].numel()):
            return with_full_logits(model, outputs=HEAD_OUTPUTS)
        return model

    def _bins_are_cheaper(self, model: Any, lengths: list[int], ends: list[int]) -> bool:
        """Return whether rows of these falling lengths cost less in bins than in chunks, and the model supports bins.

        All processes have the same `lengths`, and so come to the same answer.
        """
        if not self._may_use_bins:
            return False
        chunks_cost = 0.0
        for start, end in pairwise([0, *ends]):
            chunks_cost += (end - start) * self._row_cost(lengths[start]) + self._pass_cost
        width = lengths[0]
        bins, _ = pack_into_bins(lengths, width)
        bins_cost = (max(bins) + 1) * self._row_cost(width) + self._pass_cost
        if bins_cost >= chunks_cost:
            return False
        if self._supports_bins is None:
            self._supports_bins = supports_packed_bins(model, self.model.config.get_text_config().vocab_size)
        return self._supports_bins

    def _row_cost(self, width: int) -> float:
        """Return what a row of so many tokens costs, in tokens of a short row, whose attention costs nothing."""
        return width * (1 + self._attention_cost * width)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list, Any]:
        """Return the micro-batches of a step, and by how many tokens TRL divides their loss.

        With `group_by_length` those are the tokens of an average batch. An evaluation does not come here.
        """
        batch_samples, token_count = super().get_batch_samples(epoch_iterator, num_batches, device)
        if not self.groups_by_length or token_count is None:
            return batch_samples, token_count
        row_count = sum(len(batch["labels"]) for batch in batch_samples) * self.accelerator.num_processes
        if self._mean_row_tokens is None:
            self._mean_row_tokens = _mean_scored_tokens(self.train_dataset)
        return batch_samples, torch.tensor(row_count * self._mean_row_tokens, device=device)

    def _get_train_sampler(self, dataset: Any = None) -> RowSampler:
        """Return the order of rows, which depends on the seed and the epoch alone."""
        rows: Any = self.train_dataset if dataset is None else dataset
        lengths = None
        if self.groups_by_length:
            lengths = [len(ids) for ids in rows["input_ids"]]

        def current_epoch() -> int:
            return int(self.state.epoch or 0)

        return RowSampler(len(rows), self.args.seed, current_epoch, lengths, self.recipe.training.batch_size)


def _cut_rows(inputs: dict[str, Any], rows: torch.Tensor) -> dict[str, Any]:
    """Return some rows of a micro-batch, without the columns that are padding in all of them."""
    columns = inputs["attention_mask"][rows].any(dim=0).nonzero()
    first_column, last_column = int(columns[0]), int(columns[-1])
    chunk = {}
    for name, values in inputs.items():
        chunk[name] = values[rows, first_column : last_column + 1]
    return chunk


def _weighted_mean(values: list[float], counts: list[int]) -> float:
    total = sum(value * count for value, count in zip(values, counts, strict=True))
    return total / max(1, sum(counts))


def _mean_scored_tokens(rows: Any) -> float:
    """Return how many tokens of a row the loss counts, on average over a tokenized data set."""
    column = "labels" if "labels" in rows.column_names else "input_ids"
    counts = []
    for ids in rows[column]:
        counts.append(sum(token != -100 for token in ids[1:]))  # a row's first token is not predicted
    return sum(counts) / len(counts)
