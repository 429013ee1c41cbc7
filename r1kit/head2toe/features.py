"""Extract features for Head2Toe: what all layers of a frozen model hold about its own completions.

The hidden states of each layer, the embeddings included, are averaged over five spans of a completion (the paper
averages an image's positions down to a target size; `pool_layers` does that). Each vector of a layer and a span is
scaled to unit length, so that no layer counts more because its numbers are greater. The logits are a layer too: too
many to be features themselves, they give six statistics of the tokens that were chosen.

    features = extract_features(model, tokenizer, ["Q: 2 + 2?\\nA:"], ["<answer> 4</answer>"])     (1, F)

A departure from the paper, which takes single activations: a unit (one dimension of one layer) is chosen or not
chosen at all spans together, so that its values at the spans stand next to each other.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from r1kit.errors import UserError
from r1kit.models.cache import cache_argument, extra_state
from r1kit.models.shared_prefix import SharedPrompts

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# The spans of a completion and the statistics of the logits, in the order of the features. A saved verifier names them.
SPANS = ("completion", "thinking", "answer", "before the answer", "last")
OUTPUT_FEATURES = (
    "mean log-probability",
    "least log-probability",
    "least probability",
    "share of tokens not the likeliest",
    "mean entropy",
    "greatest entropy",
)
BATCH_TOKENS = 8192  # of one forward pass, padding included: its hidden states of all layers are held at once
LOGITS_AT_ONCE = 5 * 10**7  # 200 MB in float32; the logits of a whole batch would not fit into memory
MIN_SHARED_TOKENS = 8  # for a shorter common beginning, a forward pass of its own saves no time

Bounds = tuple[int, int]  # of a span: from, and up to but without, in characters or in tokens


@dataclass(frozen=True)
class EncodedRow:
    """The token ids of a prompt with its completion, and the bounds of each of SPANS in them; no span is empty."""

    ids: list[int]
    spans: list[Bounds]

    @property
    def first_span_start(self) -> int:
        """The index of the first token that a feature needs."""
        return min(start for start, _ in self.spans)


def pool_layers(states: Sequence[Tensor], target_size: int) -> Tensor:
    """Return the features (B, F) of a backbone's hidden states, those of each layer scaled to unit length.

    Each layer is averaged down to at most `target_size` features: (B, C, H, W) of an image model over a square grid,
    (B, T, C) of a text model over stretches of tokens.
    """
    features = []
    for state in states:
        if state.dim() == 4:
            channels, height, width = state.shape[1:]
            side = max(1, min(height, width, int((target_size / channels) ** 0.5)))
            pooled = functional.adaptive_avg_pool2d(state, side)
        else:
            tokens, channels = state.shape[1:]
            stretches = max(1, min(tokens, target_size // channels))
            pooled = functional.adaptive_avg_pool1d(state.transpose(1, 2), stretches)
        features.append(functional.normalize(pooled.flatten(1).float(), dim=1))
    return torch.cat(features, dim=1)


def find_spans(completion: str) -> list[Bounds]:
    """Return the bounds of SPANS in a completion, in characters.

    Without thinking or an answer in tags, the whole completion stands for it. Of "before the answer" and "last" only
    the last token counts, so that a single character is enough.

        find_spans("<think>a</think><answer>7</answer>")[2]      the bounds of "7"
    """
    length = len(completion)
    whole = (0, length)
    last = (max(0, length - 1), length)
    thinking, answer, before_answer = whole, whole, last
    think_end = completion.find("</think>")
    if think_end > 0:
        thinking = (0, think_end)
    answer_tag = completion.rfind("<answer>")
    if answer_tag >= 0:
        answer_start = answer_tag + len("<answer>")
        answer_end = completion.find("</answer>", answer_start)
        answer = (answer_start, answer_end if answer_end > answer_start else length)
    if answer_tag > 0:
        before_answer = (answer_tag - 1, answer_tag)
    return [whole, thinking, answer, before_answer, last]


def encode_with_spans(
    tokenizer: "PreTrainedTokenizerBase", prompt: str, completion: str, add_special_tokens: bool
) -> EncodedRow:
    """Return the tokens of a prompt with its completion, and those of each span; an empty span gets the last token."""
    encoding = tokenizer(prompt + completion, return_offsets_mapping=True, add_special_tokens=add_special_tokens)
    ids = encoding["input_ids"]
    spans = []
    for start, end in find_spans(completion):
        start += len(prompt)
        end += len(prompt)
        tokens = []
        for index, (token_start, token_end) in enumerate(encoding["offset_mapping"]):
            is_empty = token_end <= token_start  # a special token has no characters
            if not is_empty and token_end > start and token_start < end:
                tokens.append(index)
        spans.append((tokens[0], tokens[-1] + 1) if tokens else (len(ids) - 1, len(ids)))
    return EncodedRow(ids, spans)


def shared_prefix_lengths(rows: Sequence[EncodedRow]) -> list[int]:
    """Return how many tokens each row shares with its neighbours, all before any span; 0 if too few.

    Neighbouring rows with the same length form a group, whose beginning needs one forward pass only. Completions of one
    problem are neighbours, and share its prompt.
    """
    lengths = [0] * len(rows)
    start = 0
    while start < len(rows):
        first_row = rows[start]
        shared = first_row.first_span_start - 1
        end = start + 1
        while end < len(rows):
            common = min(shared, _count_common(first_row.ids, rows[end].ids), rows[end].first_span_start - 1)
            # A row that would shorten the group's beginning by half is worth less than it costs.
            if common < max(MIN_SHARED_TOKENS, shared // 2):
                break
            shared = common
            end += 1
        if end - start > 1:
            lengths[start:end] = [shared] * (end - start)
        start = end
    return lengths


def _count_common(ids: list[int], other_ids: list[int]) -> int:
    """Return how many ids two rows begin with in common."""
    for index, (id_, other_id) in enumerate(zip(ids, other_ids, strict=False)):
        if id_ != other_id:
            return index
    return min(len(ids), len(other_ids))


def batch_rows(lengths: Sequence[tuple[int, int]], max_tokens: int) -> Iterator[list[int]]:
    """Yield batches of row indices: rows of the same shared length and similar total length.

    `lengths`: of each row (tokens of the shared beginning, all tokens). A batch has at most `max_tokens` tokens,
    unless it is a single row.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        shared_length, length = lengths[index]
        # Rows come in order of their length, so that a batch is as wide as its newest row.
        if batch and (shared_length != lengths[batch[0]][0] or length * (len(batch) + 1) > max_tokens):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


@torch.no_grad()
def extract_features(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[str],
    completions: Sequence[str],
    add_special_tokens: bool = True,
) -> Tensor:
    """Return the features (B, ((L + 1) * H + len(OUTPUT_FEATURES)) * P) of completions, in float32 on the CPU.

    L layers of hidden size H; P = len(SPANS) neighbouring features are one unit of one layer at all spans. Set
    `add_special_tokens` for prompts that are plain text; a chat template has written them already. Raises UserError
    for a tokenizer that cannot tell the characters of a token.
    """
    if not tokenizer.is_fast:
        requirement = f"has a slow tokenizer ({type(tokenizer).__name__}), which cannot tell the characters of a token"
        raise UserError("model.path", tokenizer.name_or_path, requirement, "use a model with a fast tokenizer")
    rows = []
    for prompt, completion in zip(prompts, completions, strict=True):
        rows.append(encode_with_spans(tokenizer, prompt, completion, add_special_tokens))
    # A model that keeps more than keys and values (a state-space model, say) cannot continue from a shared beginning.
    shared_lengths = [0] * len(rows) if extra_state(model) else shared_prefix_lengths(rows)
    lengths = [(shared_lengths[index], len(row.ids)) for index, row in enumerate(rows)]
    features: Tensor | None = None
    for batch in batch_rows(lengths, BATCH_TOKENS):
        batch_features = _batch_features(model, [rows[index] for index in batch], shared_lengths[batch[0]]).cpu()
        if features is None:
            features = torch.empty(len(rows), batch_features.shape[1])
        features[batch] = batch_features
    return torch.empty(0, 0) if features is None else features


def _batch_features(model: "PreTrainedModel", rows: Sequence[EncodedRow], shared_length: int) -> Tensor:
    """Return the features (b, F) of rows whose first `shared_length` tokens are the same for many of them."""
    longest = max(len(row.ids) for row in rows)
    ids = torch.tensor([row.ids + [0] * (longest - len(row.ids)) for row in rows]).to(model.device)  # (b, T)
    mask = torch.tensor([[1] * len(row.ids) + [0] * (longest - len(row.ids)) for row in rows]).to(model.device)
    forward: Callable[..., Any] = model
    if shared_length:
        # SharedPrompts runs all but the last of the tokens that it is given.
        prefixes = SharedPrompts(
            ids[:, : shared_length + 1],
            mask[:, : shared_length + 1],
            cache_argument(type(model)),  # type: ignore[arg-type]
        )
        prefixes.compute_states(model)
        forward = prefixes.model_after_prompts(model, 0, len(rows))
        ids, mask = ids[:, shared_length:], mask[:, shared_length:]
    # Hidden states, (b, T, H) each, are all that is needed: logits of one position are the fewest that can be asked
    # for.
    states = forward(input_ids=ids, attention_mask=mask, output_hidden_states=True, logits_to_keep=1).hidden_states
    is_in_span = torch.zeros(len(rows), len(SPANS), longest - shared_length, dtype=torch.bool)  # (b, P, T)
    for row_index, row in enumerate(rows):
        for span_index, (start, end) in enumerate(row.spans):
            is_in_span[row_index, span_index, start - shared_length : end - shared_length] = True
    is_in_span = is_in_span.to(model.device)
    weights = is_in_span / is_in_span.sum(-1, keepdim=True)
    pooled = torch.stack([(weights.to(state.dtype) @ state).float() for state in states], dim=1)  # (b, L + 1, P, H)
    hidden_features = functional.normalize(pooled, dim=-1).transpose(2, 3).flatten(1)
    statistics = token_statistics(model, states[-1], ids, is_in_span)
    return torch.cat([hidden_features, output_features(*statistics, is_in_span).flatten(1)], dim=1)


def token_statistics(
    model: "PreTrainedModel", last_states: Tensor, ids: Tensor, is_in_span: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return three statistics (b, T) of each token in any span, 0 elsewhere.

    They are: its log-probability; 1.0 where another token was likelier; the entropy of the choice, in nats. The logits
    come from the last hidden states (b, T, H), those of some tokens at a time.
    """
    output_embeddings = model.get_output_embeddings()
    softcap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    statistics = last_states.new_zeros(3, *ids.shape, dtype=torch.float32)
    is_needed = is_in_span.any(1)
    is_needed[:, 0] = False  # nothing predicts the first token
    rows, positions = is_needed.nonzero(as_tuple=True)
    chunk = max(1, LOGITS_AT_ONCE // output_embeddings.weight.shape[0])
    for row, position in zip(rows.split(chunk), positions.split(chunk), strict=True):
        logits = output_embeddings(last_states[row, position - 1]).float()  # (chunk, V)
        if softcap:
            logits = softcap * torch.tanh(logits / softcap)
        logprobs = torch.log_softmax(logits, -1)
        token_logprobs = logprobs.gather(-1, ids[row, position, None]).squeeze(-1)
        is_not_likeliest = (token_logprobs < logprobs.amax(-1)).float()
        entropy = -(logprobs.exp() * logprobs).sum(-1)
        statistics[:, row, position] = torch.stack([token_logprobs, is_not_likeliest, entropy])
    return statistics[0], statistics[1], statistics[2]


def output_features(logprobs: Tensor, is_not_likeliest: Tensor, entropy: Tensor, is_in_span: Tensor) -> Tensor:
    """Return OUTPUT_FEATURES (b, len(OUTPUT_FEATURES), P) from the statistics (b, T) of `token_statistics`.

    `is_in_span` (b, P, T): which tokens belong to which span.
    """
    weights = is_in_span / is_in_span.sum(-1, keepdim=True)
    logprobs = logprobs.unsqueeze(1)  # (b, 1, T)
    entropy = entropy.unsqueeze(1)
    least_logprob = logprobs.masked_fill(~is_in_span, 0).amin(-1)  # no log-probability is above 0
    features = [
        (logprobs * weights).sum(-1),
        least_logprob,
        least_logprob.exp(),
        (is_not_likeliest.unsqueeze(1) * weights).sum(-1),
        (entropy * weights).sum(-1),
        entropy.masked_fill(~is_in_span, 0).amax(-1),  # no entropy is below 0
    ]
    return torch.stack(features, dim=1)
