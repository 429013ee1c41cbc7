"""The order of rows, which depends on the seed and the epoch alone, so that a resumed run keeps it."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices
from trl.trainer.utils import RepeatSampler


class RowSampler(Sampler[int]):
    """Shuffled rows, those of like length in one batch where `lengths` are given."""

    def __init__(self, count: int, seed: int, epoch: Callable[[], int], lengths: Sequence[int] | None, batch: int):
        self.count, self.seed, self.epoch, self.lengths, self.batch = count, seed, epoch, lengths, batch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + 1000003 * self.epoch())
        if self.lengths is None:
            return iter(torch.randperm(self.count, generator=generator).tolist())
        return iter(get_length_grouped_indices(list(self.lengths), self.batch, generator=generator))


class GroupSampler(RepeatSampler):
    """TRL's sampler of groups, with an order for each epoch that does not depend on earlier ones."""

    def __init__(self, *args, epoch: Callable[[], int], **kwargs):
        super().__init__(*args, **kwargs)
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        if self.shuffle:
            self.generator.manual_seed((self.seed or 0) + 1000003 * self.epoch())
        return super().__iter__()
