"""TRL's SFTTrainer with whole checkpoints and an order of rows that resume keeps.

Departure: with rows of like length batched together, the mean over a batch's own tokens weighs a token of
a batch of short rows more than one of a batch of long rows, so that long chains of thought are learned
too little (on the scale model's text, 20% of them came back as 7%). The loss of such a batch is divided
by the tokens that a batch has on average: each token of the data weighs the same.
"""

from typing import Any

import torch
from trl import SFTTrainer

from r1kit.recipe import SFTRecipe
from r1kit.training.checkpoints import CheckpointMixin
from r1kit.training.order import RowSampler


class FineTuner(CheckpointMixin, SFTTrainer):
    """SFT as TRL does it."""

    def __init__(self, *args: Any, recipe: SFTRecipe, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.recipe = recipe
        self.keep_checkpoints = recipe.training.keep_checkpoints
        self.grouped = recipe.training.group_by_length and not recipe.training.packing
        self._row_tokens: float | None = None

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
