"""What a frozen model's layers say of its own completions: features for Head2Toe.

Of each layer, the embeddings among them, hidden states are pooled to a few places of the completion (the paper pools an
image's positions to a target size), and each block of layer and place is scaled to unit length, so that no layer
counts more because its numbers are greater. The logits are a layer too: of their many units, those that tell of the
tokens that were chosen.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from r1kit.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PLACES = ("completion", "thinking", "answer", "before the answer", "last")
OUTPUTS = ("mean log-probability", "least log-probability", "least probability", "share of tokens not the likeliest",
           "mean entropy", "greatest entropy")  # fmt: skip
TOKENS = 8192  # of a batch, padding counted
LOGITS = 5 * 10**7  # at once


def blocks(states: Sequence[Tensor], target: int) -> Tensor:
    """Return the features (B, F) of a backbone's hidden states, each block of a layer of unit length.

    A layer is pooled to as many places as keep it within `target` features: (B, C, H, W) of an image model over its
    plane, (B, T, C) of an encoder over its tokens.
    """
    found = []
    for state in states:
        if state.dim() == 4:
            side = max(1, min(*state.shape[2:], int((target / state.shape[1]) ** 0.5)))
            pooled = torch.nn.functional.adaptive_avg_pool2d(state, side)
        else:
            places = max(1, min(state.shape[1], target // state.shape[2]))
            pooled = torch.nn.functional.adaptive_avg_pool1d(state.transpose(1, 2), places)
        found.append(torch.nn.functional.normalize(pooled.flatten(1).float(), dim=1))
    return torch.cat(found, dim=1)


def spans(completion: str) -> list[tuple[int, int]]:
    """Return where the places of a completion stand, from and to a character: means over these, or their last token.

    Without thinking or an answer in tags, the whole completion stands for it.
    """
    whole = (0, len(completion))
    thought, answered = completion.find("</think>"), completion.rfind("<answer>")
    thinking = (0, thought) if thought > 0 else whole
    answer = (answered + len("<answer>"), completion.find("</answer>", answered)) if answered >= 0 else whole
    answer = answer if answer[1] > answer[0] else (answer[0], len(completion)) if answered >= 0 else whole
    before = (max(0, answered - 1), max(1, answered)) if answered > 0 else (max(0, len(completion) - 1), whole[1])
    last = (max(0, len(completion) - 1), len(completion))
    return [whole, thinking, answer, before, last]


def encode(
    tokenizer: "PreTrainedTokenizerBase", prompt: str, completion: str, special: bool
) -> tuple[list[int], list[tuple[int, int]]]:
    """Return the ids of a prompt with its completion, and the ids (from, to) of each of its places, none empty."""
    coded = tokenizer(prompt + completion, return_offsets_mapping=True, add_special_tokens=special)
    places = []
    for start, end in spans(completion):
        start, end = start + len(prompt), end + len(prompt)
        inside = [i for i, (a, b) in enumerate(coded["offset_mapping"]) if b > a and b > start and a < end]
        places.append((inside[0], inside[-1] + 1) if inside else (len(coded["input_ids"]) - 1, len(coded["input_ids"])))
    return coded["input_ids"], places


def batches(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Yield batches of rows of like length, none with more than `most` tokens unless it is one row."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and lengths[i] * (len(batch) + 1) > most:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


@torch.no_grad()
def features(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", prompts: Sequence[str], completions: Sequence[str],
    special: bool = True,
) -> Tensor:  # fmt: skip
    """Return the features (B, (L * H + len(OUTPUTS)) * P) of completions, float32 on the CPU.

    L layers and the embeddings, hidden size H; P = len(PLACES) neighbours are one unit of one layer at all places.
    `special` adds the tokenizer's own tokens, as for prompts that are plain text. Raises UserError for a tokenizer that
    does not say where its tokens stand.
    """
    if not tokenizer.is_fast:
        must = f"its tokenizer ({type(tokenizer).__name__}) does not say where in a text its tokens stand"
        raise UserError("model.path", tokenizer.name_or_path, must, "give a model with a fast tokenizer")
    coded = [encode(tokenizer, p, c, special) for p, c in zip(prompts, completions, strict=True)]
    found: Tensor | None = None
    for rows in batches([len(ids) for ids, _ in coded], TOKENS):
        longest = max(len(coded[i][0]) for i in rows)
        ids = torch.tensor([coded[i][0] + [0] * (longest - len(coded[i][0])) for i in rows])
        mask = torch.tensor([[1] * len(coded[i][0]) + [0] * (longest - len(coded[i][0])) for i in rows])
        ids, mask = ids.to(model.device), mask.to(model.device)
        states = model.base_model(
            input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False
        ).hidden_states
        inside = torch.zeros(len(rows), len(PLACES), longest, dtype=torch.bool)
        for row, i in enumerate(rows):
            for place, (start, end) in enumerate(coded[i][1]):
                inside[row, place, start:end] = True
        inside = inside.to(model.device)
        weights = inside / inside.sum(-1, keepdim=True)
        pooled = torch.stack([(weights.to(h.dtype) @ h).float() for h in states], dim=1)  # (b, L, P, H)
        pooled = torch.nn.functional.normalize(pooled, dim=-1).transpose(2, 3).flatten(1)
        pooled = torch.cat([pooled, outputs(*choices(model, states[-1], ids, inside), inside).flatten(1)], dim=1).cpu()
        if found is None:
            found = torch.empty(len(coded), pooled.shape[1])
        found[rows] = pooled
    return torch.empty(0, 0) if found is None else found


def choices(model: "PreTrainedModel", last: Tensor, ids: Tensor, inside: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return of each id (b, T) of any place: its log-probability, whether another was likelier, and the entropy there.

    From the last hidden states (b, T, H), some positions at once: all logits of a long text would not fit into memory.
    """
    head, cap = model.get_output_embeddings(), getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    found = last.new_zeros(3, *ids.shape, dtype=torch.float32)
    wanted = inside.any(1)
    wanted[:, 0] = False  # nothing stands before the first
    rows, places = wanted.nonzero(as_tuple=True)
    step = max(1, LOGITS // head.weight.shape[0])
    for row, place in zip(rows.split(step), places.split(step), strict=True):
        logits = head(last[row, place - 1]).float()
        logits = cap * torch.tanh(logits / cap) if cap else logits
        chances = torch.log_softmax(logits, -1)
        token = chances.gather(-1, ids[row, place, None]).squeeze(-1)
        found[:, row, place] = torch.stack(
            [token, (token < chances.amax(-1)).float(), -(chances.exp() * chances).sum(-1)]
        )
    return found[0], found[1], found[2]


def outputs(token: Tensor, other: Tensor, entropy: Tensor, inside: Tensor) -> Tensor:
    """Return what the last layer, the logits, says at each place (b, len(OUTPUTS), P), of what `choices` returns.

    `inside` (b, P, T) tells which tokens are of which place.
    """
    token, other, entropy = (value.unsqueeze(1) for value in (token, other, entropy))
    weights = inside / inside.sum(-1, keepdim=True)
    least = token.masked_fill(~inside, 0).amin(-1)
    means = [(value * weights).sum(-1) for value in (token, other, entropy)]
    return torch.stack([means[0], least, least.exp(), means[1], means[2], entropy.masked_fill(~inside, 0).amax(-1)], 1)
