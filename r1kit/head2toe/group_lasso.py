"""Fit linear models under a group lasso, by a proximal method in torch: groups that are not needed become exactly zero.

    minimise over W (F, C), b (C,):   mean over rows of loss(y, x W + b)   +   penalty * sum over groups of |W_g|

A group g is `features_per_group` neighbouring features with all their outputs, and |W_g| the Euclidean norm of its
weights. The method is FISTA (Beck and Teboulle 2009) with backtracking and a restart of its momentum (O'Donoghue and
Candes 2015), on a working set: the groups that are not zero and those that violate the optimality conditions most.
Features can be standardised without a copy of them.

    [solution] = solve_group_lasso(features, targets, [0.1], relative=True, features_per_group=5)

benchmarks/group_lasso.py compares it with skglm, which has the same objective and no softmax.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

LOSSES = ("squared", "logistic", "softmax")
# Greatest second derivative of each loss by an output, which bounds the step size.
_MAX_CURVATURE = {"squared": 1.0, "logistic": 0.25, "softmax": 0.5}
MIN_NEW_FEATURES = 256  # that join the working set at a time: fewer would need more gradients over all features
MAX_ROUNDS = 100  # changes of the working set
STEP_GROWTH = 1.1  # of the step size after each step: the loss may be flatter than its bound, which backtracking finds
SMALLEST_STEP_SIZE = 1e-12  # where backtracking ends, for the limits of float32
STEPS_PER_CHECK = 10  # steps between two checks of the optimality conditions
POWER_ITERATIONS = 20  # of the power method; backtracking makes up for a bound that is too small
LEAST_DEVIATION = 1e-7  # a feature with a smaller standard deviation is constant, and is not used
TINY = 1e-30  # in place of a norm of 0, by which nothing may be divided
COLUMNS_AT_ONCE = 4096  # whose standard deviations are computed at once: all together would need a copy of the features
# An inner problem need not be solved more exactly than this share of what is asked of, or still wrong with, the whole
# one.
INNER_TOLERANCE, INNER_PROGRESS = 0.3, 0.1
NEGLIGIBLE_PENALTY = 1e-9  # if no larger penalty makes all weights zero, the features hold nothing about the targets


@dataclass
class GroupLassoSolution:
    """A fitted model.

    `violation` is the greatest violation of the optimality conditions, as a fraction of the penalty.
    `relative_gradients` holds the norm of the loss's gradient by each group, as a fraction of the penalty: 1 for a
    group that is not zero, and for others the closer to 1 the sooner they would become more than zero under a smaller
    penalty.
    """

    weight: Tensor  # (F, C), of the features as they were passed
    bias: Tensor  # (C,)
    relative_gradients: Tensor  # (F / features_per_group,)
    objective: float
    violation: float
    steps: int

    def __call__(self, x: Tensor) -> Tensor:
        """Return the outputs (B, C) for features (B, F)."""
        return x @ self.weight + self.bias

    def group_norms(self, features_per_group: int = 1) -> Tensor:
        """Return the norm of each group's weights (F / features_per_group,)."""
        return group_norms(self.weight, features_per_group)


def group_norms(weight: Tensor, features_per_group: int) -> Tensor:
    """Return the Euclidean norms of groups of neighbouring rows of a weight (F, C)."""
    return weight.reshape(-1, features_per_group * weight.shape[1]).norm(dim=1)


def group_features(groups: Tensor, features_per_group: int) -> Tensor:
    """Return the indices of the features of groups, in order: groups [0, 2] of two features are [0, 1, 4, 5]."""
    return (groups.unsqueeze(1) * features_per_group + torch.arange(features_per_group, device=groups.device)).flatten()


def shrink_groups(weight: Tensor, amount: float, features_per_group: int) -> Tensor:
    """Return the proximal point of `amount` times the sum of group norms: each group is shorter by `amount`, or
    zero."""
    norms = group_norms(weight, features_per_group)
    factors = (1 - amount / norms.clamp(min=TINY)).clamp(min=0)
    return weight * factors.repeat_interleave(features_per_group).unsqueeze(1)


def mean_loss(loss: str, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean loss of outputs (B, C): half the squared error, or the cross-entropy in nats."""
    if loss == "squared":
        return 0.5 * (outputs - targets).square().sum(1).mean()
    if loss == "logistic":
        return functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none").sum(1).mean()
    return functional.cross_entropy(outputs, targets)


def loss_gradient(loss: str, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the gradient (B, C) of the mean loss by the outputs (B, C)."""
    if loss == "squared":
        gradient = outputs - targets
    elif loss == "logistic":
        gradient = torch.sigmoid(outputs) - targets
    else:
        gradient = torch.softmax(outputs, 1)
        gradient[torch.arange(len(targets)), targets] -= 1
    return gradient / len(outputs)


def prepare_targets(
    loss: str, targets: Tensor, class_count: int | None = None, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, int]:
    """Return the targets as the loss takes them, and the number of outputs. Raises ValueError for an unknown loss."""
    if loss not in LOSSES:
        raise ValueError(f"loss = {loss!r} must be one of {', '.join(LOSSES)}")
    if loss == "softmax":
        return targets.long(), class_count or int(targets.max()) + 1
    targets = targets.to(dtype)
    if targets.ndim == 1:
        targets = targets.unsqueeze(1)
    return targets, targets.shape[1]


class GroupLassoProblem:
    """Features (B, F), seen centred and scaled, and their targets."""

    def __init__(
        self,
        x: Tensor,
        targets: Tensor,
        loss: str,
        features_per_group: int,
        standardize: bool,
        class_count: int | None = None,
    ):
        """Prepare the features; see `solve_group_lasso` for the arguments."""
        if x.shape[1] % features_per_group:
            raise ValueError(f"features_per_group = {features_per_group} must divide the {x.shape[1]} features")
        self.x = x
        self.loss = loss
        self.features_per_group = features_per_group
        self.targets, self.output_count = prepare_targets(loss, targets.to(x.device), class_count, x.dtype)
        # Features are always centred: the bias, which has no penalty, makes up for it, and FISTA needs far fewer steps.
        self.centre = x.mean(0)
        self.scale = x.new_ones(x.shape[1])
        if standardize:
            deviation = _standard_deviations(x)
            self.scale = torch.where(deviation > LEAST_DEVIATION, 1 / deviation.clamp(min=LEAST_DEVIATION), 0.0)

    def zero_model(self) -> tuple[Tensor, Tensor]:
        """Return zero weights (F, C) and the bias (C,) that is best for them."""
        weight = self.x.new_zeros(self.x.shape[1], self.output_count)
        if self.loss == "squared":
            return weight, self.targets.mean(0)
        if self.loss == "logistic":
            return weight, torch.logit(self.targets.mean(0).clamp(1e-6, 1 - 1e-6))
        class_fractions = torch.bincount(self.targets, minlength=self.output_count).to(self.x.dtype) / len(self.targets)
        return weight, class_fractions.clamp(min=1e-6).log()

    def columns(self, features: Tensor) -> Tensor:
        """Return some features (B, f), centred and scaled."""
        return (self.x[:, features] - self.centre[features]) * self.scale[features]

    def outputs(self, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the outputs (B, C) of a model; only features whose weights are not zero are read."""
        outputs = bias.expand(len(self.x), -1)
        nonzero_groups = group_norms(weight, self.features_per_group).nonzero().squeeze(1)
        if len(nonzero_groups):
            features = group_features(nonzero_groups, self.features_per_group)
            outputs = self.columns(features) @ weight[features] + bias
        return outputs

    def weight_gradient(self, output_gradient: Tensor) -> Tensor:
        """Return the gradient (F, C) by all weights, from the gradient (B, C) by the outputs."""
        uncentred = self.x.T @ output_gradient
        return (uncentred - self.centre.unsqueeze(1) * output_gradient.sum(0)) * self.scale.unsqueeze(1)

    def largest_penalty(self) -> float:
        """Return the least penalty under which all weights are zero."""
        _, bias = self.zero_model()
        output_gradient = loss_gradient(self.loss, bias.expand(len(self.x), -1), self.targets)
        return float(group_norms(self.weight_gradient(output_gradient), self.features_per_group).max())

    def objective(self, penalty: float, weight: Tensor, bias: Tensor) -> float:
        """Return the objective of a model, summed up in float64."""
        outputs = self.outputs(weight, bias).double()
        targets = self.targets.double() if self.targets.is_floating_point() else self.targets
        norms = group_norms(weight, self.features_per_group).double()
        return float(mean_loss(self.loss, outputs, targets) + penalty * norms.sum())


def _standard_deviations(x: Tensor) -> Tensor:
    """Return the standard deviation of each column, without a copy of all of them."""
    return torch.cat([columns.std(0, correction=0) for columns in x.split(COLUMNS_AT_ONCE, dim=1)])


def largest_penalty(
    x: Tensor,
    targets: Tensor,
    loss: str = "logistic",
    features_per_group: int = 1,
    standardize: bool = True,
    class_count: int | None = None,
) -> float:
    """Return the least penalty under which all weights are zero; see `solve_group_lasso` for the arguments."""
    return GroupLassoProblem(x, targets, loss, features_per_group, standardize, class_count).largest_penalty()


def solve_group_lasso(
    x: Tensor,
    targets: Tensor,
    penalties: Sequence[float],
    loss: str = "logistic",
    features_per_group: int = 1,
    standardize: bool = True,
    relative: bool = False,
    tolerance: float = 1e-3,
    class_count: int | None = None,
    max_steps: int = 2000,
) -> list[GroupLassoSolution]:
    """Fit one model for each penalty; each fit begins where the one before it ended, so give them in falling order.

    x: (B, F) floats. targets: (B,) or (B, C), of 0 and 1 (logistic) or numbers (squared); or (B,) classes from 0
    (softmax). `relative` penalties are fractions of `largest_penalty`. A fit ends where no optimality condition is
    violated by more than `tolerance` times the penalty, or after `max_steps` on one working set. Raises ValueError
    for an unknown loss, groups that do not divide the features, and features that hold nothing about the targets.
    """
    problem = GroupLassoProblem(x, targets, loss, features_per_group, standardize, class_count)
    unit = problem.largest_penalty() if relative else 1.0
    if unit <= NEGLIGIBLE_PENALTY:
        raise ValueError("no feature tells the targets apart")
    weight, bias = problem.zero_model()
    solutions = []
    for relative_penalty in penalties:
        penalty = relative_penalty * unit
        weight, bias, gradient_norms, violation, steps = _fit(problem, penalty, weight, bias, tolerance, max_steps)
        unscaled_weight = weight * problem.scale.unsqueeze(1)
        solutions.append(
            GroupLassoSolution(
                weight=unscaled_weight,
                bias=bias - problem.centre @ unscaled_weight,
                relative_gradients=gradient_norms / penalty,
                objective=problem.objective(penalty, weight, bias),
                violation=violation,
                steps=steps,
            )
        )
    return solutions


def _fit(
    problem: GroupLassoProblem, penalty: float, weight: Tensor, bias: Tensor, tolerance: float, max_steps: int
) -> tuple[Tensor, Tensor, Tensor, float, int]:
    """Return weight, bias, the norms of the gradient by each group, the greatest relative violation, and the steps."""
    features_per_group = problem.features_per_group
    weight = weight.clone()
    bias = bias.clone()
    total_steps = 0
    violation = float("inf")
    for _ in range(MAX_ROUNDS):
        output_gradient = loss_gradient(problem.loss, problem.outputs(weight, bias), problem.targets)
        gradient = problem.weight_gradient(output_gradient)
        group_violations = _violations(gradient, weight, penalty, features_per_group)
        violation = max(float(group_violations.max()), float(output_gradient.sum(0).abs().max())) / penalty
        if violation <= tolerance:
            break
        is_nonzero = group_norms(weight, features_per_group) > 0
        group_count = max(2 * int(is_nonzero.sum()), MIN_NEW_FEATURES // features_per_group, 1)
        priority = torch.where(is_nonzero, torch.inf, group_violations)
        groups = priority.topk(min(group_count, len(priority))).indices.sort().values
        features = group_features(groups, features_per_group)
        inner_tolerance = max(INNER_TOLERANCE * tolerance, INNER_PROGRESS * violation)
        inner = _Fista(problem, problem.columns(features), penalty, weight[features], bias)
        total_steps += inner.run(inner_tolerance, max_steps)
        weight[features] = inner.weight
        bias = inner.bias
    return weight, bias, group_norms(gradient, features_per_group), violation, total_steps


def _violations(gradient: Tensor, weight: Tensor, penalty: float, features_per_group: int) -> Tensor:
    """Return how far each group is from optimal: the distance of zero from its subdifferential."""
    norms = group_norms(weight, features_per_group)
    directions = weight / norms.clamp(min=TINY).repeat_interleave(features_per_group).unsqueeze(1)
    of_nonzero_groups = group_norms(gradient + penalty * directions, features_per_group)
    of_zero_groups = (group_norms(gradient, features_per_group) - penalty).clamp(min=0)
    return torch.where(norms > 0, of_nonzero_groups, of_zero_groups)


class _Fista:
    """FISTA over the features of the working set alone.

    The bias is treated as the weight of one more feature, without a penalty, which has the same value `bias_unit` in
    every row: the average length of a row, which keeps the problem well conditioned. `_shift` is that weight.
    """

    def __init__(self, problem: GroupLassoProblem, x: Tensor, penalty: float, weight: Tensor, bias: Tensor):
        """x: (B, f), the working set's features; `weight` (f, C) and `bias` (C,): where to begin."""
        self.problem = problem
        self.x = x
        self.penalty = penalty
        self.bias_unit = float(x.square().sum(1).mean().sqrt().clamp(min=1.0))
        self.weight = weight.clone()
        self._shift = bias / self.bias_unit
        # Each step starts from a point beyond the last one, along the momentum.
        self._ahead_weight = self.weight
        self._ahead_shift = self._shift
        self._momentum = 1.0
        self._step_size = 1.0 / _curvature_bound(x, self.bias_unit, problem.loss)

    @property
    def bias(self) -> Tensor:
        """The bias (C,) of the model."""
        return self.bias_unit * self._shift

    def run(self, tolerance: float, max_steps: int) -> int:
        """Take steps until no condition is violated by more than `tolerance` times the penalty; return their number."""
        for step in range(1, max_steps + 1):
            self._take_step()
            if step % STEPS_PER_CHECK == 0 and self._violation() <= tolerance * self.penalty:
                break
            self._step_size *= STEP_GROWTH
        return step

    def _outputs(self, weight: Tensor, shift: Tensor) -> Tensor:
        return self.x @ weight + self.bias_unit * shift

    def _gradients(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients by the weight and by the shift."""
        output_gradient = loss_gradient(self.problem.loss, outputs, self.problem.targets)
        return self.x.T @ output_gradient, self.bias_unit * output_gradient.sum(0)

    def _take_step(self) -> None:
        new_weight, new_shift = self._proximal_step()
        weight_change = new_weight - self.weight
        shift_change = new_shift - self._shift
        # If the generalised gradient points against the way taken, the momentum leads away from the optimum.
        weight_turn = ((new_weight - self._ahead_weight) * weight_change).sum()
        shift_turn = ((new_shift - self._ahead_shift) * shift_change).sum()
        momentum = 1.0 if weight_turn + shift_turn < 0 else self._momentum
        next_momentum = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        extrapolation = (momentum - 1) / next_momentum
        self._ahead_weight = new_weight + extrapolation * weight_change
        self._ahead_shift = new_shift + extrapolation * shift_change
        self.weight = new_weight
        self._shift = new_shift
        self._momentum = next_momentum

    def _proximal_step(self) -> tuple[Tensor, Tensor]:
        """Return the new weight and shift, with the step size halved until the loss is below its quadratic bound."""
        loss, targets = self.problem.loss, self.problem.targets
        outputs = self._outputs(self._ahead_weight, self._ahead_shift)
        weight_gradient, shift_gradient = self._gradients(outputs)
        value = mean_loss(loss, outputs, targets)
        while True:
            step_size = self._step_size
            new_weight = shrink_groups(
                self._ahead_weight - step_size * weight_gradient,
                step_size * self.penalty,
                self.problem.features_per_group,
            )
            new_shift = self._ahead_shift - step_size * shift_gradient
            weight_move = new_weight - self._ahead_weight
            shift_move = new_shift - self._ahead_shift
            squared_move = weight_move.square().sum() + shift_move.square().sum()
            bound = value + (weight_move * weight_gradient).sum() + (shift_move * shift_gradient).sum()
            bound = bound + squared_move / (2 * step_size)
            rounding = 1e-7 * value.abs()  # of float32
            if step_size < SMALLEST_STEP_SIZE:
                return new_weight, new_shift
            if mean_loss(loss, self._outputs(new_weight, new_shift), targets) <= bound + rounding:
                return new_weight, new_shift
            self._step_size /= 2

    def _violation(self) -> float:
        """Return the greatest violation of the optimality conditions of the working set."""
        outputs = self._outputs(self.weight, self._shift)
        output_gradient = loss_gradient(self.problem.loss, outputs, self.problem.targets)
        gradient = self.x.T @ output_gradient
        of_groups = _violations(gradient, self.weight, self.penalty, self.problem.features_per_group)
        return max(float(of_groups.max()), float(output_gradient.sum(0).abs().max()))


def _curvature_bound(x: Tensor, bias_unit: float, loss: str) -> float:
    """Return a bound on the loss's second derivative along the features and the bias, by the power method."""
    vector = torch.ones(x.shape[1] + 1, dtype=x.dtype, device=x.device)
    eigenvalue = 1.0
    for _ in range(POWER_ITERATIONS):
        vector = vector / vector.norm()
        image = x @ vector[:-1] + bias_unit * vector[-1]
        vector = torch.cat([x.T @ image, bias_unit * image.sum().unsqueeze(0)])
        eigenvalue = float(vector.norm())
    return eigenvalue / len(x) * _MAX_CURVATURE[loss]
