"""TRL's SFTTrainer with whole checkpoints and an order of rows that resume keeps."""

from typing import Any

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

    def _get_train_sampler(self, dataset: Any = None) -> RowSampler:
        rows = self.train_dataset if dataset is None else dataset
        training = self.recipe.training
        lengths = None
        if training.group_by_length and not training.packing:
            lengths = [len(ids) for ids in rows["input_ids"]]
        return RowSampler(len(rows), self.args.seed, lambda: int(self.state.epoch or 0), lengths, training.batch_size)
