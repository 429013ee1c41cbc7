"""Head2Toe (Evci et al. 2022, arXiv 2201.03529): a linear head on features chosen from all layers of a frozen network.

A linear model under a group lasso scores the features: a feature's score is the norm of its group's weights. The top
fraction is kept, and a fresh head is trained on those. Penalty and fraction are chosen by cross-validation, whose
outputs on rows that a head did not see also calibrate it (Platt's scaling: a factor, and a shift of each output).

Departures from the paper: a proximal method (group_lasso.py) solves the lasso in place of some epochs of Adam, the head
is a ridge regression solved likewise, and a group may hold one unit at several places (`size`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from r1kit.head2toe.group_lasso import group_norms, prepare, solve_group_lasso

PENALTIES = (0.5, 0.2, 0.1, 0.05, 0.02)  # shares of the penalty that makes all weights zero
FRACTIONS = (0.002, 0.01, 0.05, 0.2, 1.0)
RIDGES = (1e-3, 1e-2, 1e-1)


@dataclass
class LinearHead:
    """A linear head on some of the features: outputs are `temperature` times (x[:, kept] W + b), and `shift` (C,)."""

    kept: Tensor  # (K,) of the features
    weight: Tensor  # (K, C)
    bias: Tensor  # (C,)
    binary: bool
    temperature: float = 1.0
    shift: Tensor = field(default_factory=lambda: torch.zeros(1))
    chosen: dict[str, Any] = field(default_factory=dict)

    def outputs(self, x: Tensor) -> Tensor:
        """Return calibrated outputs (B, C) for all features (B, F): log-odds where binary, else logits of classes."""
        return self.temperature * (x[:, self.kept] @ self.weight + self.bias) + self.shift

    def probabilities(self, x: Tensor) -> Tensor:
        """Return the probability of true (B,) where binary, else those of the classes (B, C)."""
        found = self.outputs(x)
        return torch.sigmoid(found).squeeze(1) if self.binary else torch.softmax(found, 1)


def ridge(x: Tensor, targets: Tensor, strength: float, loss: str, classes: int | None = None) -> tuple[Tensor, Tensor]:
    """Return weight (F, C) and bias (C,) of a linear model with mean loss + strength / 2 * |W|^2, by L-BFGS.

    The strength is that of standardised features; the weights are those of the features as given.
    """
    targets, outputs = prepare(loss, targets.to(x.device), classes, x.dtype)
    centre, deviation = x.mean(0), x.std(0, correction=0)
    scale = torch.where(deviation > 1e-7, 1 / deviation.clamp(min=1e-7), 0.0)
    seen = (x - centre) * scale
    weight = torch.zeros(x.shape[1], outputs, dtype=x.dtype, device=x.device, requires_grad=True)
    bias = torch.zeros(outputs, dtype=x.dtype, device=x.device, requires_grad=True)
    search = torch.optim.LBFGS([weight, bias], max_iter=200, tolerance_grad=1e-6, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        value = _loss(seen @ weight + bias, targets, loss) + strength / 2 * weight.square().sum()
        value.backward()
        return value

    search.step(closure)
    plain = weight.detach() * scale.unsqueeze(1)
    return plain, bias.detach() - centre @ plain


def _loss(outputs: Tensor, targets: Tensor, loss: str) -> Tensor:
    if loss == "softmax":
        return functional.cross_entropy(outputs, targets)
    return functional.binary_cross_entropy_with_logits(outputs, targets)


def folds(count: int, groups: Sequence[Any] | None, number: int, seed: int = 0) -> Tensor:
    """Return each row's fold (count,), rows of one group in the same; groups are dealt out by size, at random."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    names = list(range(count)) if groups is None else list(groups)
    sizes: dict[Any, int] = {}
    for i in order:
        sizes[names[i]] = sizes.get(names[i], 0) + 1
    filled, place = [0] * number, dict[Any, int]()
    for name in sorted(sizes, key=lambda n: -sizes[n]):
        place[name] = min(range(number), key=filled.__getitem__)
        filled[place[name]] += sizes[name]
    return torch.tensor([place[name] for name in names])


def top(scores: Tensor, fraction: float, size: int) -> Tensor:
    """Return the features (K,), ascending, of the share of groups with the greatest scores (G,)."""
    count = max(1, round(fraction * len(scores)))
    groups = scores.topk(min(count, len(scores))).indices.sort().values
    return (groups.unsqueeze(1) * size + torch.arange(size, device=groups.device)).flatten()


def fit_head(
    x: Tensor, targets: Tensor, groups: Sequence[Any] | None = None, size: int = 1, classes: int | None = None,
    penalties: Sequence[float] = PENALTIES, fractions: Sequence[float] = FRACTIONS, ridges: Sequence[float] = RIDGES,
    number: int = 5, seed: int = 0,
) -> LinearHead:  # fmt: skip
    """Choose features and train a head on them.

    x: (B, F) float. targets: (B,), classes 0 to C-1, or with `classes=None` and two of them, 0 and 1. `groups` names
    each row's group (its problem, say): rows of one are never on both sides of a fold. `size` neighbouring features are
    chosen together. Raises ValueError where there is one class alone, or fewer groups than folds.
    """
    binary = classes is None and int(targets.max()) < 2
    loss = "logistic" if binary else "softmax"
    classes = None if binary else classes or int(targets.max()) + 1
    if len(targets.unique()) < 2:
        raise ValueError("the rows must be of at least two classes")
    if groups is not None and len(set(groups)) < number:
        raise ValueError(f"{len(set(groups))} groups are fewer than {number} folds")
    if not bool(x.isfinite().all()):
        raise ValueError("some features are not finite numbers")
    place = folds(len(x), groups, number, seed).to(x.device)
    if any(len(targets[place != one].unique()) < len(targets.unique()) for one in range(number)):
        raise ValueError("all rows of one class are of the same fold")
    losses: dict[tuple[float, float, float], float] = {}
    held: dict[tuple[float, float, float], Tensor] = {}
    for one in range(number):
        inside, outside = (place != one).nonzero().squeeze(1), (place == one).nonzero().squeeze(1)
        scored = _scores(x[inside], targets[inside], penalties, loss, size, classes)
        for (penalty, scores), fraction in product(zip(penalties, scored, strict=True), fractions):
            kept = top(scores, fraction, size)
            for strength in ridges:
                weight, bias = ridge(x[inside.unsqueeze(1), kept], targets[inside], strength, loss, classes)
                outputs = x[outside.unsqueeze(1), kept] @ weight + bias
                key = (penalty, fraction, strength)
                held.setdefault(key, outputs.new_zeros(len(x), outputs.shape[1]))[outside] = outputs
    true, _ = prepare(loss, targets.to(x.device), classes, x.dtype)
    for key, outputs in held.items():
        factor, shift = calibration(outputs, true, loss)
        losses[key] = float(_loss(factor * outputs + shift, true, loss))
    best = min(losses, key=losses.__getitem__)
    penalty, fraction, strength = best
    [scores] = _scores(x, targets, [penalty], loss, size, classes)
    kept = top(scores, fraction, size)
    weight, bias = ridge(x[:, kept], targets, strength, loss, classes)
    chosen = {"penalty": penalty, "fraction": fraction, "ridge": strength, "loss": losses[best], "features": len(kept)}
    return LinearHead(kept, weight, bias, binary, *calibration(held[best], true, loss), chosen)


def _scores(
    x: Tensor, targets: Tensor, penalties: Sequence[float], loss: str, size: int, classes: int | None
) -> list[Tensor]:
    """Return the scores (G,) of the groups for each penalty: the norms of their weights, of standardised features.

    A group that is zero scores below 0, the less the later it would enter.
    """
    deviation = x.std(0, correction=0).unsqueeze(1)
    found = solve_group_lasso(x, targets, penalties, loss, size, relative=True, classes=classes, tolerance=0.05)
    norms = [group_norms(one.weight * deviation, size) for one in found]
    return [torch.where(n > 0, n, (one.pull - 1).clamp(max=0)) for n, one in zip(norms, found, strict=True)]


def calibration(outputs: Tensor, targets: Tensor, loss: str) -> tuple[float, Tensor]:
    """Return the factor of outputs (B, C) and what is added to them (C,) for which the loss is least."""
    power = torch.zeros((), dtype=outputs.dtype, device=outputs.device, requires_grad=True)
    shift = torch.zeros(outputs.shape[1], dtype=outputs.dtype, device=outputs.device, requires_grad=True)
    search = torch.optim.LBFGS([power, shift], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        value = _loss(power.exp() * outputs + shift, targets, loss)
        value.backward()
        return value

    search.step(closure)
    return float(power.detach().exp()), shift.detach()
