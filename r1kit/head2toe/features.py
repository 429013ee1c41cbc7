"""What a frozen model's layers say of its own completions: features for Head2Toe.

Of each layer, the embeddings among them, hidden states are pooled to a few places of the completion (the paper pools an
image's positions to a target size), and each block of layer and place is scaled to unit length, so that no layer
counts more because its numbers are greater. The logits are a layer too: of their many units, those that tell of the
tokens that were chosen.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from r1kit.errors import UserError
from r1kit.models.cache import cache_argument, extra_state
from r1kit.models.shared_prefix import SharedPrompts

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SPANS = ("completion", "thinking", "answer", "before the answer", "last")
OUTPUT_FEATURES = (
    "mean log-probability",
    "least log-probability",
    "least probability",
    "share of tokens not the likeliest",
    "mean entropy",
    "greatest entropy",
)
TOKENS = 8192  # of a batch, padding counted
LOGITS = 5 * 10**7  # at once
SHARED = 8  # ids that rows must begin with together for those to be run once


def layer_features(states: Sequence[Tensor], target: int) -> Tensor:
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


def span_bounds(completion: str) -> list[tuple[int, int]]:
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
    for start, end in span_bounds(completion):
        start, end = start + len(prompt), end + len(prompt)
        inside = [i for i, (a, b) in enumerate(coded["offset_mapping"]) if b > a and b > start and a < end]
        places.append((inside[0], inside[-1] + 1) if inside else (len(coded["input_ids"]) - 1, len(coded["input_ids"])))
    return coded["input_ids"], places


def beginnings(coded: Sequence[tuple[list[int], list[tuple[int, int]]]]) -> list[int]:
    """Return how many ids at the start of each row stand in a neighbour, too, all before what is looked at; else 0."""

    def shared(one: list[int], other: list[int]) -> int:
        return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))

    found = [0] * len(coded)
    start = 0
    while start < len(coded):
        ids, places = coded[start]
        most, end = min(first for first, _ in places) - 1, start + 1
        while end < len(coded):
            common = min(most, shared(ids, coded[end][0]), min(first for first, _ in coded[end][1]) - 1)
            if common < max(SHARED, most // 2):
                break
            most, end = common, end + 1
        if end - start > 1:
            found[start:end] = [most] * (end - start)
        start = end
    return found


def batches(lengths: Sequence[tuple[int, int]], most: int) -> Iterator[list[int]]:
    """Yield batches of rows that begin alike in length and are of like length, none of more than `most` tokens unless
    it is one row. `lengths`: of the beginning that is run once, and of all."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (lengths[i][0] != lengths[batch[0]][0] or lengths[i][1] * (len(batch) + 1) > most):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


@torch.no_grad()
def extract_features(
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
    begun = beginnings(coded) if not extra_state(model) else [0] * len(coded)
    found: Tensor | None = None
    for rows in batches([(begun[i], len(ids)) for i, (ids, _) in enumerate(coded)], TOKENS):
        longest, first = max(len(coded[i][0]) for i in rows), begun[rows[0]]
        ids = torch.tensor([coded[i][0] + [0] * (longest - len(coded[i][0])) for i in rows])
        mask = torch.tensor([[1] * len(coded[i][0]) + [0] * (longest - len(coded[i][0])) for i in rows])
        ids, mask = ids.to(model.device), mask.to(model.device)
        run: Callable[..., Any] = model
        if first:  # what several rows begin with is run once
            before = SharedPrompts(ids[:, : first + 1], mask[:, : first + 1], cache_argument(type(model)))  # type: ignore[arg-type]
            before.compute_states(model)
            run = before.model_after_prompts(model, 0, len(rows))
        states = run(
            input_ids=ids[:, first:], attention_mask=mask[:, first:], output_hidden_states=True, logits_to_keep=1
        ).hidden_states
        ids = ids[:, first:]
        inside = torch.zeros(len(rows), len(SPANS), longest - first, dtype=torch.bool)
        for row, i in enumerate(rows):
            for place, (start, end) in enumerate(coded[i][1]):
                inside[row, place, start - first : end - first] = True
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
