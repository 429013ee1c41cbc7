"""Choose features from all layers of a frozen network and fit a linear head on them (Head2Toe, section 3 of the paper).

Evci et al. 2022, arXiv 2201.03529. A linear model under a group lasso scores the features: the score of a group of
features is the norm of its weights. The best fraction is kept, and a new linear head is fitted on those. Penalty,
fraction and the head's own regularisation are chosen by cross-validation; the outputs on rows that a head was not
fitted on also calibrate it (Platt scaling: one factor for all outputs, and a shift of each).

    linear_head = fit_linear_head(features, is_right.long(), problem_ids, features_per_group=5)
    linear_head.probabilities(other_features)

Departures from the paper: a proximal method (group_lasso.py) solves the lasso in place of some epochs of Adam; the
head is a logistic regression, solved by L-BFGS; and a group may hold one unit at several spans.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import torch
from torch import Tensor

from r1kit.head2toe.group_lasso import (
    LEAST_DEVIATION,
    GroupLassoSolution,
    group_features,
    group_norms,
    mean_loss,
    prepare_targets,
    solve_group_lasso,
)

PENALTIES = (0.5, 0.2, 0.1, 0.05, 0.02)  # fractions of the penalty under which all weights are zero
FRACTIONS = (0.002, 0.01, 0.05, 0.2, 1.0)  # of the groups, to keep
RIDGES = (1e-3, 1e-2, 1e-1)  # strengths of the head's penalty on squared weights
FOLD_COUNT = 5
SCORE_TOLERANCE = 0.05  # of the group lasso: the order of the scores needs no more exact solution
GRADIENT_TOLERANCE = 1e-6  # where a logistic regression ends
MAX_REGRESSION_STEPS = 200  # of L-BFGS; most need 10 to 40
MAX_CALIBRATION_STEPS = 100

Candidate = tuple[float, float, float]  # penalty, fraction, ridge


@dataclass
class LinearHead:
    """A linear head on some of the features: its outputs are `temperature` * (x[:, kept_features] W + b) + `shift`."""

    kept_features: Tensor  # (K,)
    weight: Tensor  # (K, C)
    bias: Tensor  # (C,)
    is_binary: bool
    temperature: float = 1.0
    shift: Tensor = field(default_factory=lambda: torch.zeros(1))  # (C,)
    chosen: dict[str, Any] = field(default_factory=dict)  # the settings that cross-validation chose, and their loss

    def outputs(self, x: Tensor) -> Tensor:
        """Return calibrated outputs (B, C) for all features (B, F): log-odds if binary, else logits of classes."""
        return self.temperature * (x[:, self.kept_features] @ self.weight + self.bias) + self.shift

    def probabilities(self, x: Tensor) -> Tensor:
        """Return the probability of class 1 (B,) if binary, else those of all classes (B, C)."""
        outputs = self.outputs(x)
        return torch.sigmoid(outputs).squeeze(1) if self.is_binary else torch.softmax(outputs, 1)


def fit_linear_head(
    x: Tensor,
    targets: Tensor,
    groups: Sequence[Any] | None = None,
    features_per_group: int = 1,
    class_count: int | None = None,
    penalties: Sequence[float] = PENALTIES,
    fractions: Sequence[float] = FRACTIONS,
    ridges: Sequence[float] = RIDGES,
    fold_count: int = FOLD_COUNT,
    seed: int = 0,
) -> LinearHead:
    """Choose features and settings by cross-validation, and fit a calibrated linear head.

    x: (B, F) floats. targets: (B,) classes from 0; with two of them and no `class_count`, the head is binary.
    `groups`: of each row its group (its problem, say): the rows of one group are never on both sides of a fold.
    `features_per_group` neighbouring features are kept or dropped together. Raises ValueError where nothing can be
    learnt: one class only, fewer groups than folds, a class in one fold only, or features that are not finite.
    """
    is_binary = class_count is None and int(targets.max()) < 2
    loss = "logistic" if is_binary else "softmax"
    if not is_binary and class_count is None:
        class_count = int(targets.max()) + 1
    _check_rows(x, targets, groups, fold_count)
    fold_of_row = assign_folds(len(x), groups, fold_count, seed).to(x.device)
    class_total = len(targets.unique())
    for fold in range(fold_count):
        if len(targets[fold_of_row != fold].unique()) < class_total:
            raise ValueError("all rows of one class are of the same fold")
    prepared_targets, output_count = prepare_targets(loss, targets.to(x.device), class_count, x.dtype)
    unseen_outputs: dict[Candidate, Tensor] = {}  # (B, C): of each row, by a head that was not fitted on it
    for candidate in product(penalties, fractions, ridges):
        unseen_outputs[candidate] = x.new_zeros(len(x), output_count)
    for fold in range(fold_count):
        train = (fold_of_row != fold).nonzero().squeeze(1)
        held_out = (fold_of_row == fold).nonzero().squeeze(1)
        scores_by_penalty = score_groups(x[train], targets[train], penalties, loss, features_per_group, class_count)
        for (penalty, scores), fraction in product(zip(penalties, scores_by_penalty, strict=True), fractions):
            features = best_features(scores, fraction, features_per_group)
            train_x, held_out_x = x[train.unsqueeze(1), features], x[held_out.unsqueeze(1), features]
            for ridge in ridges:
                weight, bias = fit_logistic_regression(train_x, targets[train], ridge, loss, output_count)
                unseen_outputs[penalty, fraction, ridge][held_out] = held_out_x @ weight + bias
    losses: dict[Candidate, float] = {}
    for candidate, outputs in unseen_outputs.items():
        temperature, shift = fit_calibration(outputs, prepared_targets, loss)
        losses[candidate] = float(mean_loss(loss, temperature * outputs + shift, prepared_targets))
    best = min(losses, key=losses.__getitem__)
    penalty, fraction, ridge = best
    [scores] = score_groups(x, targets, [penalty], loss, features_per_group, class_count)
    features = best_features(scores, fraction, features_per_group)
    weight, bias = fit_logistic_regression(x[:, features], targets, ridge, loss, output_count)
    temperature, shift = fit_calibration(unseen_outputs[best], prepared_targets, loss)
    chosen = {"penalty": penalty, "fraction": fraction, "ridge": ridge, "loss": losses[best], "features": len(features)}
    return LinearHead(features, weight, bias, is_binary, temperature, shift, chosen)


def _check_rows(x: Tensor, targets: Tensor, groups: Sequence[Any] | None, fold_count: int) -> None:
    """Raise ValueError for rows of which nothing can be learnt."""
    if len(targets.unique()) < 2:
        raise ValueError("the rows must be of at least two classes")
    if groups is not None and len(set(groups)) < fold_count:
        raise ValueError(f"{len(set(groups))} groups are fewer than {fold_count} folds")
    if not bool(x.isfinite().all()):
        raise ValueError("some features are not finite numbers")


def assign_folds(row_count: int, groups: Sequence[Any] | None, fold_count: int, seed: int = 0) -> Tensor:
    """Return the fold of each row (row_count,): random, of similar sizes, with the rows of one group in the same
    fold."""
    import numpy as np
    from sklearn.model_selection import GroupKFold

    names = list(range(row_count)) if groups is None else list(groups)
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    group_of_row = [numbers[name] for name in names]
    # GroupKFold deals out groups by size and then by number. Random numbers make the order within a size random.
    random_numbers = np.random.default_rng(seed).permutation(len(numbers))
    fold_of_row = torch.zeros(row_count, dtype=torch.long)
    splits = GroupKFold(fold_count).split(np.zeros(row_count), groups=random_numbers[group_of_row])
    for fold, (_, held_out) in enumerate(splits):
        fold_of_row[torch.from_numpy(held_out)] = fold
    return fold_of_row


def best_features(scores: Tensor, fraction: float, features_per_group: int) -> Tensor:
    """Return the features (K,), ascending, of the given fraction of groups with the greatest scores (G,)."""
    count = max(1, round(fraction * len(scores)))
    groups = scores.topk(min(count, len(scores))).indices.sort().values
    return group_features(groups, features_per_group)


def score_groups(
    x: Tensor,
    targets: Tensor,
    penalties: Sequence[float],
    loss: str,
    features_per_group: int,
    class_count: int | None,
) -> list[Tensor]:
    """Return the scores (G,) of all groups for each penalty: the norms of their weights, of standardised features.

    A group whose weights are zero has a score below 0, which is the lower the smaller the penalty would have to be
    for the group to be used.
    """
    solutions = solve_group_lasso(
        x,
        targets,
        penalties,
        loss,
        features_per_group,
        relative=True,
        class_count=class_count,
        tolerance=SCORE_TOLERANCE,
    )
    deviation = x.std(0, correction=0).unsqueeze(1)
    return [_group_scores(solution, deviation, features_per_group) for solution in solutions]


def _group_scores(solution: GroupLassoSolution, deviation: Tensor, features_per_group: int) -> Tensor:
    norms = group_norms(solution.weight * deviation, features_per_group)
    scores_at_zero = (solution.relative_gradients - 1).clamp(max=0)
    return torch.where(norms > 0, norms, scores_at_zero)


def fit_logistic_regression(
    x: Tensor, targets: Tensor, strength: float, loss: str, output_count: int
) -> tuple[Tensor, Tensor]:
    """Return weight (F, C) and bias (C,) of least mean loss + strength / 2 * |W|^2, by L-BFGS on the device of `x`.

    `strength` applies to the weights of standardised features; the weights returned are those of the features as
    passed. scikit-learn's LogisticRegression needs the features on the CPU, and took up to 1.7 times as long for two
    classes and 20,000 features.
    """
    centre = x.mean(0)
    deviation = x.std(0, correction=0)
    scale = torch.where(deviation > LEAST_DEVIATION, 1 / deviation.clamp(min=LEAST_DEVIATION), 0.0)
    standardized = (x - centre) * scale
    weight = torch.zeros(x.shape[1], output_count, dtype=x.dtype, device=x.device, requires_grad=True)
    bias = torch.zeros(output_count, dtype=x.dtype, device=x.device, requires_grad=True)
    prepared_targets, _ = prepare_targets(loss, targets.to(x.device), output_count, x.dtype)
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=MAX_REGRESSION_STEPS,
        tolerance_grad=GRADIENT_TOLERANCE,
        tolerance_change=0.0,  # only the gradient says that it is done
        line_search_fn="strong_wolfe",
    )

    def compute_loss() -> Tensor:
        optimizer.zero_grad()
        value = mean_loss(loss, standardized @ weight + bias, prepared_targets) + strength / 2 * weight.square().sum()
        value.backward()
        return value

    optimizer.step(compute_loss)
    unscaled_weight = weight.detach() * scale.unsqueeze(1)
    return unscaled_weight, bias.detach() - centre @ unscaled_weight


def fit_calibration(outputs: Tensor, targets: Tensor, loss: str) -> tuple[float, Tensor]:
    """Return the temperature (a factor of all outputs) and the shift (C,) of least loss of outputs (B, C).

    scikit-learn has only part of this: a sigmoid for one output, or a temperature without a shift for several.
    """
    log_temperature = torch.zeros((), dtype=outputs.dtype, device=outputs.device, requires_grad=True)
    shift = torch.zeros(outputs.shape[1], dtype=outputs.dtype, device=outputs.device, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [log_temperature, shift], max_iter=MAX_CALIBRATION_STEPS, line_search_fn="strong_wolfe"
    )

    def compute_loss() -> Tensor:
        optimizer.zero_grad()
        value = mean_loss(loss, log_temperature.exp() * outputs + shift, targets)
        value.backward()
        return value

    optimizer.step(compute_loss)
    return float(log_temperature.detach().exp()), shift.detach()
