"""Does a row see other rows of its batch, or of the sequence that it is packed into?

All rows but one are given other tokens. What the trainer computes of that one must not change.
"""

from collections.abc import Mapping
from typing import Any

import torch

from r1kit.models.pieces import IGNORED_LABEL
from r1kit.prove.observe import MicroBatch, Observer, find_packed_rows
from r1kit.prove.table import Finding, judge

TOLERANCE = 1e-3
"""Greatest change of a log-probability or a loss that rounding explains."""
CHANGE_SEED = 1

Span = tuple[int, int, int]
"""A row of a batch: its index in the batch, and the columns at which it begins and ends."""


def check_leak(observer: Observer) -> Finding:
    """Return how much a row's loss, or its log-probabilities, change with the other rows."""
    trainer = observer.trainer
    is_policy = "completion_ids" in observer.steps[-1].micro_batches[0]
    trainer.model.train()
    changes = []
    row_counts = []
    for batch in _largest_batches(observer):
        spans = [] if is_policy else find_spans(batch, observer.truth)
        count = len(batch["completion_ids"]) if is_policy else len(spans)
        if count < 2:
            continue
        row_counts.append(count)
        for target in {0, count - 1}:
            if is_policy:
                changes.append(_change_of_completion(trainer, batch, target))
            else:
                changes.append(_change_of_row(trainer, batch, spans, target))
    if not changes:
        return judge("leak", True, "each batch has a single row, which no other can reach")
    greatest = max(changes)
    figure = f"{greatest:.1e}: change of a row when the others of {max(row_counts)} have other tokens"
    if getattr(trainer.args, "packing", False) and trainer.args.packing_strategy == "wrapped":
        figure += "; within a sequence, rows see each other by trl.packing_strategy = wrapped"
    return judge("leak", greatest <= TOLERANCE, figure)


def _largest_batches(observer: Observer) -> list[MicroBatch]:
    """Return the micro-batches of the last step."""
    return observer.steps[-1].micro_batches[:2]


def find_spans(batch: MicroBatch, truth: Mapping[tuple[int, ...], Any]) -> list[Span]:
    """Return where each row of a micro-batch of fine-tuning stands, padded or packed."""
    spans = []
    for index, ids in enumerate(batch["input_ids"]):
        if "attention_mask" in batch:
            columns = batch["attention_mask"][index].nonzero().flatten()
            spans.append((index, int(columns[0]), int(columns[-1]) + 1))
            continue
        starts = find_packed_rows(ids.tolist(), truth)
        starts = starts or (batch["position_ids"][index] == 0).nonzero().flatten().tolist()
        ends = [*starts[1:], len(ids)]
        spans += [(index, start, end) for start, end in zip(starts, ends, strict=True)]
    return spans


def _change_of_row(trainer: Any, batch: MicroBatch, spans: list[Span], target: int) -> float:
    """Return by how much the loss of one row changes with the tokens of the others."""
    index, start, end = spans[target]
    labels = torch.full_like(batch["labels"], IGNORED_LABEL)
    labels[index, start + 1 : end] = batch["input_ids"][index, start + 1 : end]
    others = _random_ids(trainer, batch["input_ids"])
    others[index, start:end] = batch["input_ids"][index, start:end]
    token_count = torch.tensor(end - start - 1, device=labels.device)
    losses = []
    for ids in (batch["input_ids"], others):
        inputs = {**batch, "input_ids": ids.clone(), "labels": labels.clone()}
        with torch.no_grad():
            losses.append(float(trainer.compute_loss(trainer.model, inputs, num_items_in_batch=token_count)))
    return abs(losses[0] - losses[1])


def _change_of_completion(trainer: Any, batch: MicroBatch, target: int) -> float:
    """Return by how much the log-probabilities of one completion change with the tokens of the other rows."""
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
    others = _random_ids(trainer, ids)
    others[target] = ids[target]
    width = batch["completion_ids"].size(1)
    counted = batch["completion_mask"][target].bool()
    if not bool(counted.any()):  # a completion that was cut and is left out
        return 0.0
    logprobs = []
    for row_ids in (ids, others):
        with torch.no_grad():
            logprobs.append(_completion_logprobs(trainer, row_ids, mask, width)[target][counted])
    return float((logprobs[0] - logprobs[1]).abs().max())


def _completion_logprobs(trainer: Any, ids: torch.Tensor, mask: torch.Tensor, width: int) -> torch.Tensor:
    """Return (B, T), computed by the trainer where it has a method for that."""
    if hasattr(trainer, "_get_per_token_logps_and_entropies"):
        method = trainer._get_per_token_logps_and_entropies
        return method(trainer.model, ids, mask, width, batch_size=len(ids), compute_entropy=True)[0]
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    logits = trainer.model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False).logits
    logprobs = torch.log_softmax(logits[:, -width - 1 : -1].float(), dim=-1)
    return logprobs.gather(2, ids[:, -width:].unsqueeze(2)).squeeze(2)


def _random_ids(trainer: Any, ids: torch.Tensor) -> torch.Tensor:
    vocabulary_size = trainer.model.config.get_text_config().vocab_size
    generator = torch.Generator().manual_seed(CHANGE_SEED)
    return torch.randint(0, vocabulary_size, ids.shape, generator=generator).to(ids)
