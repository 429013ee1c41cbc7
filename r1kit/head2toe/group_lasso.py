"""Linear models under a group lasso, by a proximal method in torch: what is not needed is exactly zero.

    minimise over W (F, C), b (C,):   mean over rows of loss(y, x W + b)   +   penalty * sum over groups of |W_g|

A group is `size` neighbouring features with all their outputs, |W_g| the Euclidean norm over both. FISTA (Beck and
Teboulle 2009) with backtracking and a restart of its momentum, on a working set: the groups that are not zero and those
that break the optimality conditions most. Features may be scaled and centred without a copy of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

LOSSES = ("squared", "logistic", "softmax")
ADDED = 256  # features that join the working set at least at a time
ROUNDS = 100  # of the working set
GROWTH = 1.1  # of the step, after each


@dataclass
class GroupLassoSolution:
    """A fitted model. `residual` is the greatest breach of the optimality conditions, as a share of the penalty.

    `pull` is the norm of the loss's gradient by each group, as a share of the penalty: 1 where a group is not zero, and
    the closer to 1 the sooner it would enter were the penalty less.
    """

    weight: Tensor  # (F, C), of the features as they were given
    bias: Tensor  # (C,)
    pull: Tensor  # (F / size,)
    objective: float
    residual: float
    steps: int

    def __call__(self, x: Tensor) -> Tensor:
        """Return the outputs (B, C) for features (B, F)."""
        return x @ self.weight + self.bias

    def norms(self, size: int = 1) -> Tensor:
        """Return the norm of each group (F / size,)."""
        return group_norms(self.weight, size)


def group_norms(weight: Tensor, size: int) -> Tensor:
    """Return the Euclidean norms (F / size,) of groups of `size` rows of (F, C)."""
    return weight.reshape(-1, size * weight.shape[1]).norm(dim=1)


def shrink_groups(weight: Tensor, by: float, size: int) -> Tensor:
    """Return the proximal point of `by` times the sum of group norms: each group shortened by `by`, or zero."""
    norms = group_norms(weight, size)
    share = (1 - by / norms.clamp(min=1e-30)).clamp(min=0)
    return weight * share.repeat_interleave(size).unsqueeze(1)


def losses(kind: str, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean loss of outputs (B, C), as half the squared error, or as cross-entropy in nats."""
    if kind == "squared":
        return 0.5 * (outputs - targets).square().sum(1).mean()
    if kind == "logistic":
        return functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none").sum(1).mean()
    return functional.cross_entropy(outputs, targets)


def slopes(kind: str, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the gradient of the mean loss by the outputs (B, C)."""
    if kind == "squared":
        found = outputs - targets
    elif kind == "logistic":
        found = torch.sigmoid(outputs) - targets
    else:
        found = torch.softmax(outputs, 1)
        found[torch.arange(len(targets)), targets] -= 1
    return found / len(outputs)


def prepare(
    kind: str, targets: Tensor, classes: int | None = None, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, int]:
    """Return the targets as the loss takes them, and the number of outputs. Raises ValueError for an unknown loss."""
    if kind not in LOSSES:
        raise ValueError(f"loss = {kind!r} must be one of {', '.join(LOSSES)}")
    if kind == "softmax":
        return targets.long(), classes or int(targets.max()) + 1
    targets = targets.to(dtype)
    targets = targets.unsqueeze(1) if targets.ndim == 1 else targets
    return targets, targets.shape[1]


class GroupLassoProblem:
    """Features (B, F), seen centred and scaled, and targets."""

    def __init__(self, x: Tensor, targets: Tensor, loss: str, size: int, standardize: bool, classes: int | None = None):
        if x.shape[1] % size:
            raise ValueError(f"size = {size} must divide the {x.shape[1]} features")
        self.x, self.loss, self.size = x, loss, size
        self.targets, self.outputs = prepare(loss, targets.to(x.device), classes, x.dtype)
        # Centred in any case: the bias, which has no penalty, takes it up, and the problem is far better conditioned.
        self.centre, self.scale = x.mean(0), x.new_ones(x.shape[1])
        if standardize:
            deviation = _std(x)
            self.scale = torch.where(deviation > 1e-7, 1 / deviation.clamp(min=1e-7), 0.0)

    def start(self) -> tuple[Tensor, Tensor]:
        """Return zero weights and the bias that is best for them."""
        weight = self.x.new_zeros(self.x.shape[1], self.outputs)
        if self.loss == "squared":
            return weight, self.targets.mean(0)
        if self.loss == "logistic":
            return weight, torch.logit(self.targets.mean(0).clamp(1e-6, 1 - 1e-6))
        share = torch.bincount(self.targets, minlength=self.outputs).to(self.x.dtype) / len(self.targets)
        return weight, share.clamp(min=1e-6).log()

    def columns(self, features: Tensor) -> Tensor:
        """Return some features, centred and scaled."""
        return (self.x[:, features] - self.centre[features]) * self.scale[features]

    def gradient(self, slope: Tensor) -> Tensor:
        """Return the gradient (F, C) by all weights, of the gradient (B, C) by the outputs."""
        return (self.x.T @ slope - self.centre.unsqueeze(1) * slope.sum(0)) * self.scale.unsqueeze(1)

    def features(self, groups: Tensor) -> Tensor:
        """Return the features of groups, in order."""
        return (groups.unsqueeze(1) * self.size + torch.arange(self.size, device=groups.device)).flatten()


def _std(x: Tensor) -> Tensor:
    """Return the standard deviation of each column, without a copy of them all."""
    return torch.cat([part.std(0, correction=0) for part in x.split(4096, dim=1)])


def largest_penalty(
    x: Tensor, targets: Tensor, loss: str = "logistic", size: int = 1, standardize: bool = True,
    classes: int | None = None,
) -> float:  # fmt: skip
    """Return the least penalty for which all weights are zero."""
    problem = GroupLassoProblem(x, targets, loss, size, standardize, classes)
    return _largest(problem)


def _largest(problem: GroupLassoProblem) -> float:
    _, bias = problem.start()
    outputs = bias.expand(len(problem.x), -1)
    slope = slopes(problem.loss, outputs, problem.targets)
    return float(group_norms(problem.gradient(slope), problem.size).max())


def solve_group_lasso(
    x: Tensor, targets: Tensor, penalties: Sequence[float], loss: str = "logistic", size: int = 1,
    standardize: bool = True, relative: bool = False, tolerance: float = 1e-3, classes: int | None = None,
    most: int = 2000,
) -> list[GroupLassoSolution]:  # fmt: skip
    """Fit one model a penalty, each begun where the last one ended.

    x: (B, F) float. targets: (B,) or (B, C) of 0 and 1 (logistic) or numbers (squared), (B,) class numbers (softmax).
    `relative` penalties are shares of the least one that makes all weights zero. Ends where no optimality condition is
    broken by more than `tolerance` times the penalty, or after `most` steps on one working set. Raises ValueError for
    a loss that is unknown or a size that does not divide F.
    """
    problem = GroupLassoProblem(x, targets, loss, size, standardize, classes)
    unit = _largest(problem) if relative else 1.0
    if unit <= 1e-9:
        raise ValueError("no feature tells the targets apart")
    weight, bias = problem.start()
    found = []
    for penalty in penalties:
        weight, bias, pull, residual, steps = _fit(problem, penalty * unit, weight, bias, tolerance, most)
        value = _objective(problem, penalty * unit, weight, bias)
        plain = weight * problem.scale.unsqueeze(1)
        found.append(GroupLassoSolution(plain, bias - problem.centre @ plain, pull, value, residual, steps))
    return found


def _objective(problem: GroupLassoProblem, penalty: float, weight: Tensor, bias: Tensor) -> float:
    groups = group_norms(weight, problem.size).nonzero().squeeze(1)
    outputs = bias.expand(len(problem.x), -1)
    if len(groups):
        features = problem.features(groups)
        outputs = problem.columns(features) @ weight[features] + bias
    norms = group_norms(weight, problem.size).double().sum()
    return float(losses(problem.loss, outputs.double(), _double(problem.targets)) + penalty * norms)


def _double(targets: Tensor) -> Tensor:
    return targets.double() if targets.is_floating_point() else targets


def _fit(
    problem: GroupLassoProblem, penalty: float, weight: Tensor, bias: Tensor, tolerance: float, most: int
) -> tuple[Tensor, Tensor, Tensor, float, int]:
    """Return weight, bias, the gradient's norms and the greatest breach as shares of the penalty, and the steps."""
    weight, bias, taken, residual = weight.clone(), bias.clone(), 0, float("inf")
    for _ in range(ROUNDS):
        active = group_norms(weight, problem.size) > 0
        outputs = bias.expand(len(problem.x), -1)
        if active.any():
            features = problem.features(active.nonzero().squeeze(1))
            outputs = problem.columns(features) @ weight[features] + bias
        slope = slopes(problem.loss, outputs, problem.targets)
        gradient = problem.gradient(slope)
        breach = _breaches(gradient, weight, penalty, problem.size)
        residual = max(float(breach.max()) / penalty, float(slope.sum(0).abs().max()) / penalty)
        if residual <= tolerance:
            break
        room = max(2 * int(active.sum()), ADDED // problem.size, 1)
        wanted = torch.where(active, torch.inf, breach)
        groups = wanted.topk(min(room, len(wanted))).indices.sort().values
        features = problem.features(groups)
        part, bias, steps = _fista(
            problem.columns(features),
            problem,
            penalty,
            weight[features],
            bias,
            max(0.3 * tolerance, 0.1 * residual),
            most,
        )
        weight[features] = part
        taken += steps
    return weight, bias, group_norms(gradient, problem.size) / penalty, residual, taken


def _breaches(gradient: Tensor, weight: Tensor, penalty: float, size: int) -> Tensor:
    """Return how far each group is from optimal: the distance of zero from its subdifferential."""
    norms = group_norms(weight, size)
    outward = weight / norms.clamp(min=1e-30).repeat_interleave(size).unsqueeze(1)
    at_zero = (group_norms(gradient, size) - penalty).clamp(min=0)
    return torch.where(norms > 0, group_norms(gradient + penalty * outward, size), at_zero)


def _fista(
    x: Tensor, problem: GroupLassoProblem, penalty: float, weight: Tensor, bias: Tensor, tolerance: float, most: int
) -> tuple[Tensor, Tensor, int]:
    """Minimise over the features of `x` (B, f) alone; return their weights, the bias, and the steps taken.

    The bias is a feature without a penalty, as large as a row of `x` is long on the average, which keeps the problem
    well conditioned.
    """
    kind, targets, size = problem.loss, problem.targets, problem.size
    unit = float(x.square().sum(1).mean().sqrt().clamp(min=1.0))
    at, shift = weight.clone(), bias / unit
    ahead, ahead_shift, momentum = at, shift, 1.0
    step = 1.0 / _curvature(x, unit, kind)
    for count in range(1, most + 1):
        outputs = x @ ahead + unit * ahead_shift
        slope = slopes(kind, outputs, targets)
        down, down_shift = x.T @ slope, unit * slope.sum(0)
        value = losses(kind, outputs, targets)
        while True:
            new, new_shift = shrink_groups(ahead - step * down, step * penalty, size), ahead_shift - step * down_shift
            moved, moved_shift = new - ahead, new_shift - ahead_shift
            far = moved.square().sum() + moved_shift.square().sum()
            bound = value + (moved * down).sum() + (moved_shift * down_shift).sum() + far / (2 * step)
            if step < 1e-12 or losses(kind, x @ new + unit * new_shift, targets) <= bound + 1e-7 * value.abs():
                break
            step /= 2
        # The generalised gradient points against the way taken: the momentum is spent (O'Donoghue and Candes 2015).
        turned = (moved * (new - at)).sum() + (moved_shift * (new_shift - shift)).sum() < 0
        momentum = 1.0 if turned else momentum
        later = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        share = (momentum - 1) / later
        ahead, ahead_shift = new + share * (new - at), new_shift + share * (new_shift - shift)
        at, shift, momentum = new, new_shift, later
        if count % 10 == 0:
            slope = slopes(kind, x @ at + unit * shift, targets)
            worst = float(_breaches(x.T @ slope, at, penalty, size).max())
            if max(worst, float(slope.sum(0).abs().max())) <= tolerance * penalty:
                break
        step *= GROWTH  # where the loss is flatter than its bound, which backtracking finds
    return at, unit * shift, count


def _curvature(x: Tensor, unit: float, kind: str) -> float:
    """Return a bound on the loss's second derivative along features and bias, by the power method."""
    vector = torch.ones(x.shape[1] + 1, dtype=x.dtype, device=x.device)
    value = 1.0
    for _ in range(20):
        vector = vector / vector.norm()
        image = x @ vector[:-1] + unit * vector[-1]
        vector = torch.cat([x.T @ image, unit * image.sum().unsqueeze(0)])
        value = float(vector.norm())
    return value / len(x) * {"squared": 1.0, "logistic": 0.25, "softmax": 0.5}[kind]
