"""Reward models by TRL's RewardTrainer: the loss of Bradley and Terry on pairs of a better and a worse completion.

    loss = -log sigmoid(score(chosen) - score(rejected))        (InstructGPT, arXiv 2203.02155, equation 1)

The loss is TRL's. r1kit adds complete checkpoints, an order of rows that a resumed run keeps, and texts that are
rendered by the function that the reward `preference` renders them with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trl import RewardTrainer

from r1kit.data.preferences import Pair
from r1kit.data.row_tables import make_dataset
from r1kit.errors import UserError
from r1kit.recipe import RewardModelRecipe
from r1kit.rewards.reward_models import JudgedText, encode_judged_texts, render_judged_text
from r1kit.training.checkpoints import CheckpointMixin
from r1kit.training.row_order import RowSampler

if TYPE_CHECKING:
    from datasets import Dataset

ENCODED_PAIRS = 1000
"""Pairs whose texts are tokenized at once."""


class RewardModelTrainer(CheckpointMixin, RewardTrainer):
    """TRL's RewardTrainer with complete checkpoints and an order of rows that depends on the seed and the epoch."""

    def __init__(self, *args: Any, recipe: RewardModelRecipe, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.keep_checkpoints = recipe.training.keep_checkpoints

    def _get_train_sampler(self, dataset: Any = None) -> RowSampler:
        """Return the order of rows, which depends on the seed and the epoch alone."""
        rows: Any = self.train_dataset if dataset is None else dataset

        def current_epoch() -> int:
            return int(self.state.epoch or 0)

        return RowSampler(len(rows), self.args.seed, current_epoch, None, self.args.train_batch_size)


@dataclass(frozen=True)
class TokenizedPairs:
    """Pairs as TRL trains on them, and how many were left out."""

    dataset: "Dataset"
    """Columns `chosen_ids` and `rejected_ids`: the token ids of prompt and completion. TRL's `_prepare_dataset` leaves
    them as they are."""
    too_long: int
    """Pairs with more than `training.max_length` tokens in one of their texts."""
    first_texts: tuple[str, str]
    """The texts of the first pair, as the model reads them."""


def tokenize_pairs(
    pairs: Sequence[Pair], tokenizer: Any, judged: JudgedText, max_length: int, field: str
) -> TokenizedPairs:
    """Return pairs as token ids. Raises UserError where none of them has at most `max_length` tokens."""
    rows = []
    for start in range(0, len(pairs), ENCODED_PAIRS):
        batch = pairs[start : start + ENCODED_PAIRS]
        chosen = [render_judged_text(tokenizer, pair.prompt, pair.chosen, judged) for pair in batch]
        rejected = [render_judged_text(tokenizer, pair.prompt, pair.rejected, judged) for pair in batch]
        if start == 0:
            first_texts = (chosen[0], rejected[0])
        chosen_ids = encode_judged_texts(tokenizer, chosen, judged)
        rejected_ids = encode_judged_texts(tokenizer, rejected, judged)
        for better, worse in zip(chosen_ids, rejected_ids, strict=True):
            rows.append({"chosen_ids": better, "rejected_ids": worse})
    fitting = [row for row in rows if max(map(len, row.values())) <= max_length]
    if not fitting:
        requirement = f"none of the {len(rows)} pairs of {field} has so few tokens"
        raise UserError("training.max_length", max_length, requirement, "raise it")
    return TokenizedPairs(make_dataset(lambda: fitting), len(rows) - len(fitting), first_texts)
