"""What a step should compute, by definition: in float64, one row at a time.

Nothing here pads, packs, shares, skips or accumulates. A row is run alone, as its own tokens and no others, and the
gradient of a batch is the sum of the gradients of its rows. Attention is the plain one (`eager`) where the model has
it. Sources of the losses: GRPO arXiv 2402.03300, DAPO 2503.14476, Dr. GRPO 2503.20783, CISPO 2506.13585, GSPO
2507.18071, SAPO 2511.20347, LUSPO 2602.05261, DFT 2508.05629.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from r1kit.models.pieces import IGNORED_LABEL

Row = tuple[tuple[int, ...], tuple[int, ...]]
"""A prompt's ids and those of its completion."""
ADVANTAGE_EPSILON = 1e-4
"""What TRL adds to the standard deviation of rewards."""


def copy_in_float64(model: Any) -> Any:
    """Return a model of the same class and weights in float64, with its adapters, built anew from its config.

    A copy of the object would keep what a trainer has put into it. The state of torch's random numbers is kept.
    """
    with torch.random.fork_rng():
        return _build_copy(model)


def _build_copy(model: Any) -> Any:
    is_adapted = hasattr(model, "peft_config")
    base = model.get_base_model() if is_adapted else model
    config = copy.deepcopy(base.config)
    if hasattr(config, "_experts_implementation"):
        config._experts_implementation = "eager"
    try:
        plain = type(base)._from_config(config, attn_implementation="eager")
    except (ValueError, ImportError):  # an architecture without plain attention
        plain = type(base)._from_config(config)
    plain = plain.double().to(base.device)
    if is_adapted:
        from peft import get_peft_model

        plain = get_peft_model(plain, copy.deepcopy(model.peft_config["default"]))
        for name in model.peft_config:
            if name != "default":
                plain.add_adapter(name, copy.deepcopy(model.peft_config[name]))
        plain.double()
    weights = {name: weight.detach().double() for name, weight in model.state_dict().items()}
    plain.load_state_dict(weights)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    for name, weight in plain.named_parameters():
        weight.requires_grad_(name in trained)
    return plain.eval()


def log_probabilities(model: Any, ids: Sequence[int], first: int, temperature: float = 1.0) -> torch.Tensor:
    """Return (T - first, V): the distributions from which the tokens `ids[first:]` come, `first` >= 1."""
    token_ids = torch.tensor([list(ids)], device=model.device)
    kept = len(ids) - first + 1
    logits = model(input_ids=token_ids, use_cache=False, logits_to_keep=kept).logits[0, -kept:-1]
    return torch.log_softmax(logits.double() / temperature, dim=-1)


def completion_logprobs(model: Any, row: Row, temperature: float) -> torch.Tensor:
    """Return (T,): the log-probability of each token of a completion."""
    prompt, completion = row
    distributions = log_probabilities(model, [*prompt, *completion], len(prompt), temperature)
    return distributions.gather(1, torch.tensor([list(completion)], device=model.device).T).squeeze(1)


# Fine-tuning


@dataclass(frozen=True)
class TrainedRow:
    """A row of fine-tuning; labels are -100 outside the loss."""

    ids: tuple[int, ...]
    labels: tuple[int, ...]

    @property
    def scored_count(self) -> int:
        """Return the number of tokens that the loss counts; the first token of a row follows nothing."""
        return sum(label != IGNORED_LABEL for label in self.labels[1:])


def add_fine_tuning_gradient(model: Any, rows: Sequence[TrainedRow], token_count: float, loss_type: str) -> None:
    """Add to the gradients of `model` those of the mean, over `token_count` tokens, of -log p of each scored token.

    The loss `dft` weights each token by its probability.
    """
    for row in rows:
        scored = [place for place, label in enumerate(row.labels) if label != IGNORED_LABEL and place > 0]
        if not scored:
            continue
        first = scored[0]
        distributions = log_probabilities(model, row.ids, first)
        places = torch.tensor([place - first for place in scored], device=model.device)
        labels = torch.tensor([row.labels[place] for place in scored], device=model.device)
        logprobs = distributions[places, labels]
        weights = logprobs.detach().exp() if loss_type == "dft" else torch.ones_like(logprobs)
        (-(weights * logprobs).sum() / token_count).backward()


# Reinforcement learning


@dataclass(frozen=True)
class PolicyLoss:
    """The settings of GRPO's loss, as TRL's config names them."""

    loss_type: str
    level: str
    beta: float
    epsilon_low: float
    epsilon_high: float
    delta: float | None
    temperature: float
    max_completion_length: int
    corrects_kl: bool
    sapo_temperatures: tuple[float, float]


@dataclass(frozen=True)
class PolicyRow:
    """A completion of a batch with all that its loss needs."""

    row: Row
    advantage: float
    old_logprobs: torch.Tensor  # (T,)
    reference_logprobs: torch.Tensor | None  # (T,)
    is_counted: bool
    """False for a completion that was cut and is left out."""
    micro_batch: int


def compute_advantages(rewards: torch.Tensor, weights: torch.Tensor, group_size: int, scaling: str) -> torch.Tensor:
    """Return (B,): each reward minus its group's mean, over the deviation of its group, of the batch, or over 1.

    `rewards` is (B, R) with the completions of a group beside each other, `weights` (R,).
    """
    totals = (rewards.double() * weights.double()).sum(dim=1).view(-1, group_size)
    centred = totals - totals.mean(dim=1, keepdim=True)
    if scaling == "none":
        return centred.flatten()
    deviation = totals.std(dim=1, keepdim=True) if scaling == "group" else totals.std()
    return (centred / (deviation + ADVANTAGE_EPSILON)).flatten()


def add_policy_gradient(model: Any, rows: Sequence[PolicyRow], rollout_tokens: float, loss: PolicyLoss) -> None:
    """Add to the gradients of `model` those of GRPO's loss of one step's `rows`.

    `rollout_tokens` is the number of tokens that the loss counts in a whole rollout, over the steps that share it.
    """
    micro_batch_tokens: dict[int, int] = {}
    for entry in rows:
        counted = len(entry.row[1]) * entry.is_counted
        micro_batch_tokens[entry.micro_batch] = micro_batch_tokens.get(entry.micro_batch, 0) + counted
    for entry in rows:
        if not entry.is_counted:
            continue
        token_losses = _token_losses(model, entry, loss)
        length = len(token_losses)
        if loss.loss_type in ("grpo", "sapo"):
            divisor: float = len(rows) * length
        elif loss.loss_type == "bnpo":
            divisor = len(micro_batch_tokens) * micro_batch_tokens[entry.micro_batch]
        elif loss.loss_type == "dr_grpo":
            divisor = len(rows) * loss.max_completion_length
        elif loss.loss_type == "luspo":
            divisor = len(rows)
        else:
            divisor = rollout_tokens
        (token_losses.sum() / divisor).backward()


def _token_losses(model: Any, entry: PolicyRow, loss: PolicyLoss) -> torch.Tensor:
    """Return (T,): what each token of a completion adds to the loss, before any mean."""
    logprobs = completion_logprobs(model, entry.row, loss.temperature)
    log_ratio = logprobs - entry.old_logprobs
    if loss.level == "sequence":
        log_ratio = log_ratio.mean().expand_as(log_ratio)
    ratio, advantage = log_ratio.exp(), entry.advantage
    if loss.loss_type == "cispo":
        losses = -ratio.clamp(max=loss.epsilon_high).detach() * advantage * logprobs
    elif loss.loss_type == "sapo":
        positive, negative = loss.sapo_temperatures
        temperature = positive if advantage > 0 else negative
        losses = -torch.sigmoid(temperature * (ratio - 1)) * 4 / temperature * advantage
    else:
        clipped = ratio.clamp(1 - loss.epsilon_low, 1 + loss.epsilon_high)
        free = ratio if loss.delta is None else ratio.clamp(max=loss.delta)
        losses = -torch.minimum(free * advantage, clipped * advantage)
    if entry.reference_logprobs is not None and loss.beta:
        difference = entry.reference_logprobs - logprobs
        divergence = difference.exp() - difference - 1
        losses = losses + loss.beta * (divergence * ratio if loss.corrects_kl else divergence)
    return losses


# Distillation


def add_distillation_gradient(
    student: Any, teacher: Any, rows: Sequence[Row], divergence: float, temperature: float
) -> None:
    """Add to the gradients of `student` those of its mean divergence from `teacher` over all tokens of completions.

    The divergence is the generalized Jensen-Shannon one of arXiv 2306.13649: 0 is the forward KL, 1 the reverse one.
    """
    token_count = sum(len(completion) for _, completion in rows)
    for prompt, completion in rows:
        if not completion:
            continue
        ids = [*prompt, *completion]
        own = log_probabilities(student, ids, len(prompt), temperature)
        with torch.no_grad():
            target = log_probabilities(teacher, ids, len(prompt), temperature)
        if divergence == 0:
            distance = _divergence(target, own)
        elif divergence == 1:
            distance = _divergence(own, target)
        else:
            mixture = torch.logaddexp(own + math.log(1 - divergence), target + math.log(divergence))
            distance = divergence * _divergence(target, mixture) + (1 - divergence) * _divergence(own, mixture)
        (distance / token_count).backward()


def _divergence(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return the KL divergence of `second` from `first`, both (T, V) log-probabilities, summed over tokens."""
    return (first.exp() * (first - second)).sum()


# Sampling


@dataclass(frozen=True)
class SamplingScore:
    """How well sampled tokens fit the distribution that they should come from."""

    logprobs: torch.Tensor  # (T,), of the whole distribution
    cut_mass: float  # probability that truncation removes, summed over tokens
    surprise: float  # sum of -log q minus its expectation, where q is the truncated distribution
    variance: float  # of `surprise`, if the tokens come from q


@torch.no_grad()
def score_sampling(model: Any, row: Row, temperature: float, top_p: float, top_k: int) -> SamplingScore:
    """Return the score of a completion under the policy, whose distributions are cut to `top_p` and `top_k`."""
    prompt, completion = row
    whole = log_probabilities(model, [*prompt, *completion], len(prompt), temperature)
    tokens = torch.tensor([list(completion)], device=whole.device).T
    kept = truncate(whole, top_p, top_k)
    probabilities = kept.exp()
    surprises = -kept.masked_fill(kept == -math.inf, 0.0)
    mean = (probabilities * surprises).sum(dim=1)
    variance = (probabilities * surprises**2).sum(dim=1) - mean**2
    observed = -kept.gather(1, tokens).squeeze(1)
    mass = (whole.exp() * (kept > -math.inf)).sum(dim=1)
    return SamplingScore(
        whole.gather(1, tokens).squeeze(1),
        float((1 - mass).sum()),
        float((observed - mean).sum()),
        float(variance.sum()),
    )


def truncate(logprobs: torch.Tensor, top_p: float, top_k: int) -> torch.Tensor:
    """Return the log-probabilities (T, V) of the `top_k` likeliest tokens, of those as many as make up `top_p`.

    What is cut has -inf; 1.0 and 0 cut nothing.
    """
    kept = logprobs
    if top_k:
        smallest = kept.topk(min(top_k, kept.shape[1]), dim=1).values[:, -1:]
        kept = torch.log_softmax(kept.masked_fill(kept < smallest, -math.inf), dim=1)
    if top_p < 1:
        ordered, order = kept.sort(dim=1, descending=True)
        before = ordered.exp().cumsum(dim=1) - ordered.exp()  # probability of all likelier tokens
        is_cut = torch.zeros_like(kept, dtype=torch.bool).scatter(1, order, before >= top_p)
        kept = torch.log_softmax(kept.masked_fill(is_cut, -math.inf), dim=1)
    return kept
