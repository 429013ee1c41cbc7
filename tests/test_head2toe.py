"""The group lasso beside skglm, and Head2Toe on data whose useful features are known."""

import numpy as np
import pytest
import torch

from r1kit.head2toe import linear_head
from r1kit.head2toe.group_lasso import largest_penalty, mean_loss, shrink_groups, solve_group_lasso

ROWS, FEATURES, USEFUL = 120, 400, 8


@pytest.fixture(scope="module")
def data():
    """Features, of which the first ones matter, and targets of each kind."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((ROWS, FEATURES)) * rng.uniform(0.5, 2, FEATURES) + rng.standard_normal(FEATURES)
    weight = np.zeros((FEATURES, 3))
    weight[:USEFUL] = rng.standard_normal((USEFUL, 3))
    outputs = (x - x.mean(0)) @ weight + rng.standard_normal((ROWS, 3))
    binary = (outputs[:, 0] > 0).astype(float)
    return {name: torch.tensor(v) for name, v in {"x": x, "numbers": outputs, "binary": binary}.items()} | {
        "classes": torch.tensor(outputs.argmax(1))
    }


# What skglm 0.5 reaches on this data, by `python benchmarks/group_lasso.py --record`: loss, size of a group, penalty.
SKGLM = {
    ("squared", 1, 0.5): 7.916755970801764,
    ("squared", 1, 0.1): 4.158518872262517,
    ("squared", 1, 0.02): 1.2520668324931017,
    ("logistic", 1, 0.5): 0.6511196939775491,
    ("logistic", 1, 0.1): 0.36084921051467733,
    ("logistic", 1, 0.02): 0.12201506588401055,
    ("logistic", 4, 0.5): 0.6424370549479069,
    ("logistic", 4, 0.1): 0.3126664217614062,
    ("logistic", 4, 0.02): 0.09956565652802783,
}


@pytest.mark.parametrize(("case", "theirs"), SKGLM.items())
def test_the_objective_is_skglm_s(data, case, theirs):
    loss, size, share = case
    x, y = data["x"], data["numbers" if loss == "squared" else "binary"]
    penalty = share * largest_penalty(x, y, loss, size, standardize=False)
    [mine] = solve_group_lasso(x, y, [penalty], loss, size, standardize=False, tolerance=1e-4)
    assert mine.objective == pytest.approx(theirs, rel=1e-6)
    value = mean_loss(loss, mine(x), y.reshape(ROWS, -1))
    assert float(value + penalty * mine.group_norms(size).sum()) == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize("loss", ["squared", "logistic", "softmax"])
def test_the_optimality_conditions_hold_by_automatic_differentiation(data, loss):
    x = data["x"]
    y = {"squared": data["numbers"], "logistic": data["binary"], "softmax": data["classes"]}[loss]
    [solution] = solve_group_lasso(x, y, [0.1], loss, 4, relative=True, standardize=False, tolerance=1e-4)
    penalty = 0.1 * largest_penalty(x, y, loss, 4, standardize=False)
    weight, bias = solution.weight.clone().requires_grad_(), solution.bias.clone().requires_grad_()
    mean_loss(loss, x @ weight + bias, y.unsqueeze(1) if loss == "logistic" else y).backward()
    shape = (-1, 4 * weight.shape[1])
    gradient, value = weight.grad.reshape(shape), solution.weight.reshape(shape)
    norms = value.norm(dim=1)
    assert 0 < (norms > 0).sum() < len(norms) / 2
    on, off = norms > 0, norms == 0
    outward = value[on] / norms[on].unsqueeze(1)
    assert (gradient[on] + penalty * outward).norm(dim=1).max() < 2e-4 * penalty
    assert gradient[off].norm(dim=1).max() < (1 + 2e-4) * penalty
    assert bias.grad.abs().max() < 2e-4 * penalty
    assert torch.allclose(solution.relative_gradients, gradient.norm(dim=1) / penalty, atol=1e-3)


def test_above_the_largest_penalty_all_is_zero_and_just_below_it_is_not(data):
    most = largest_penalty(data["x"], data["binary"])
    above, below = solve_group_lasso(data["x"], data["binary"], [1.001 * most, 0.99 * most], tolerance=1e-4)
    assert above.weight.count_nonzero() == 0
    assert below.weight.count_nonzero() > 0
    assert torch.sigmoid(above.bias).item() == pytest.approx(data["binary"].mean().item(), abs=1e-6)


def test_standardising_without_a_copy_is_standardising(data):
    x = data["x"]
    scaled = (x - x.mean(0)) / x.std(0, correction=0)
    [mine] = solve_group_lasso(x, data["classes"], [0.2], "softmax", relative=True, tolerance=1e-5)
    [theirs] = solve_group_lasso(
        scaled, data["classes"], [0.2], "softmax", relative=True, standardize=False, tolerance=1e-5
    )
    assert mine.objective == pytest.approx(theirs.objective, rel=1e-6)
    assert torch.allclose(mine(x), theirs(scaled), atol=1e-3)


def test_a_shrunken_group_is_shorter_or_zero():
    weight = torch.tensor([[3.0, 0.0], [0.0, 4.0], [0.1, 0.1], [0.1, 0.0]])
    found = shrink_groups(weight, 2.5, features_per_group=2)
    assert torch.allclose(found[:2], weight[:2] / 2)
    assert found[2:].count_nonzero() == 0


@pytest.mark.parametrize("arguments", [{"loss": "hinge"}, {"features_per_group": 7}])
def test_an_unknown_loss_and_groups_that_do_not_divide_the_features_are_refused(data, arguments):
    with pytest.raises(ValueError, match=r"hinge|features_per_group = 7"):
        solve_group_lasso(data["x"], data["binary"], [0.1], **arguments)


def test_folds_keep_groups_together_and_have_similar_sizes():
    names = [n // 4 for n in range(101)]
    fold_of_row = linear_head.assign_folds(101, names, 5)
    assert all(len({fold_of_row[i].item() for i in range(101) if names[i] == name}) == 1 for name in set(names))
    sizes = torch.bincount(fold_of_row, minlength=5)
    assert sizes.max() - sizes.min() <= 4
    assert torch.equal(fold_of_row, linear_head.assign_folds(101, names, 5))
    assert not torch.equal(fold_of_row, linear_head.assign_folds(101, names, 5, seed=1))


@pytest.mark.parametrize(
    ("loss", "classes", "output_count"), [("logistic", 2, 1), ("softmax", 2, 2), ("softmax", 3, 3), ("softmax", 3, 5)]
)
def test_a_logistic_regression_is_optimal_by_automatic_differentiation(data, loss, classes, output_count):
    """The gradient of the objective as the docstring defines it, by torch, is zero; a class without rows aside."""
    x = data["x"][:, :20]
    targets = data["binary"].long() if classes == 2 else data["classes"]
    weight, bias = linear_head.fit_logistic_regression(x, targets, 0.05, loss, output_count)
    assert weight.shape == (20, output_count)
    scaled = (weight * x.std(0, correction=0).unsqueeze(1)).requires_grad_()
    shift = (bias + x.mean(0) @ weight).requires_grad_()
    outputs = (x - x.mean(0)) / x.std(0, correction=0) @ scaled + shift
    goal = targets.double().unsqueeze(1) if loss == "logistic" else targets
    (mean_loss(loss, outputs, goal) + 0.05 / 2 * scaled.square().sum()).backward()
    assert scaled.grad.abs().max() < 1e-5
    assert shift.grad.abs().max() < 1e-5
    if output_count > classes:
        assert torch.softmax(x @ weight + bias, 1)[:, classes:].max() < 1e-8


def test_a_calibration_is_optimal_by_automatic_differentiation(data):
    outputs = 3 * (data["numbers"] + torch.tensor([0.5, 0.0, -1.0]))
    temperature, shift = linear_head.fit_calibration(outputs, data["classes"], "softmax")
    factor, added = torch.tensor(temperature, requires_grad=True), shift.clone().requires_grad_()
    mean_loss("softmax", factor * outputs + added, data["classes"]).backward()
    assert factor.grad.abs() < 1e-3
    assert added.grad.abs().max() < 1e-3


def test_the_best_features_are_whole_groups_in_order():
    scores = torch.tensor([0.1, 3.0, -0.5, 2.0])
    assert linear_head.best_features(scores, 0.5, 3).tolist() == [3, 4, 5, 9, 10, 11]
    assert linear_head.best_features(scores, 0.01, 3).tolist() == [3, 4, 5]  # one group at least


@pytest.mark.parametrize("kind", ["binary", "classes"])
def test_head2toe_finds_the_useful_features_and_is_calibrated(kind):
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(1200, 300, generator=rng)
    weight = torch.zeros(300, 3)
    weight[40:52] = 1.5 * torch.randn(12, 3, generator=rng)
    outputs = x @ weight + 2 * torch.randn(1200, 3, generator=rng)
    y = (outputs[:, 0] > 0).long() if kind == "binary" else outputs.argmax(1)
    fitted = linear_head.fit_linear_head(
        x[:600], y[:600], features_per_group=4, fractions=(0.04, 0.2, 1.0), penalties=(0.3, 0.1), fold_count=3
    )
    assert fitted.chosen["fraction"] == 0.04
    assert fitted.kept_features.tolist() == list(range(40, 52))
    chance = fitted.probabilities(x[600:])
    all_features = linear_head.fit_linear_head(
        x[:600], y[:600], features_per_group=4, fractions=(1.0,), penalties=(0.3,), fold_count=3
    )
    if kind == "binary":
        right, sure = (chance > 0.5) == y[600:].bool(), chance
        assert abs(float((sure - y[600:].double()).mean())) < 0.06
        worse = ((all_features.probabilities(x[600:]) > 0.5) == y[600:].bool()).float().mean()
    else:
        right = chance.argmax(1) == y[600:]
        assert abs(float(chance.max(1).values.mean() - right.float().mean())) < 0.06
        worse = (all_features.probabilities(x[600:]).argmax(1) == y[600:]).float().mean()
    assert right.float().mean() > worse + 0.03


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda x, y, groups: y.fill_(1), "two classes"),
        (lambda x, y, groups: y.fill_(0)[:2].fill_(1), "all rows of one class are of the same fold"),
        (lambda x, y, groups: x[3].fill_(torch.inf), "not finite"),
        (lambda x, y, groups: x.fill_(1.0), "no feature tells the targets apart"),
        (lambda x, y, groups: groups.__setitem__(slice(None), ["a"] * 30), "1 groups are fewer than 3 folds"),
    ],
)
def test_rows_of_which_nothing_can_be_learnt_are_refused(change, line):
    x, y, groups = torch.randn(30, 4), torch.arange(30) % 2, [i // 2 for i in range(30)]
    change(x, y, groups)
    with pytest.raises(ValueError, match=line):
        linear_head.fit_linear_head(x, y, groups, fold_count=3)


# The recipe on images


def test_blocks_of_a_backbone_by_hand():
    from r1kit.head2toe.features import pool_layers

    plane = torch.arange(2 * 3 * 4 * 4, dtype=torch.float32).reshape(2, 3, 4, 4)
    tokens = torch.arange(2 * 6 * 5, dtype=torch.float32).reshape(2, 6, 5)
    found = pool_layers([plane, tokens], target_size=13)  # 3 units at 2 x 2 places, 5 units at 2 places
    assert found.shape == (2, 12 + 10)
    quarter = torch.stack([plane[0, 0, :2, :2].mean(), plane[0, 0, :2, 2:].mean()])
    whole = torch.stack([plane[0, c, i : i + 2, j : j + 2].mean() for c in range(3) for i in (0, 2) for j in (0, 2)])
    assert torch.allclose(found[0, :2], quarter / whole.norm())
    halves = torch.stack([tokens[0, i : i + 3, c].mean() for c in range(5) for i in (0, 3)])
    assert torch.allclose(found[0, 12:], halves / halves.norm())
    assert torch.allclose(found[:, :12].norm(dim=1), torch.ones(2))


@pytest.fixture
def image_recipe(monkeypatch):
    """The module recipes/head2toe/run.py."""
    import importlib
    from pathlib import Path

    import r1kit

    monkeypatch.syspath_prepend(str(Path(r1kit.__file__).parents[1] / "recipes" / "head2toe"))
    return importlib.import_module("run")


def test_the_tasks_are_drawn_alike_and_balanced(image_recipe):
    for task, (class_count, _) in image_recipe.TASKS.items():
        x, y = image_recipe.draw_task(task, 3 * class_count, 5)
        same_seed, _ = image_recipe.draw_task(task, 3 * class_count, 5)
        next_seed, _ = image_recipe.draw_task(task, 3 * class_count, 6)
        assert torch.equal(x, same_seed)
        assert not torch.equal(x, next_seed)
        assert x.shape == (3 * class_count, 3, 32, 32)
        assert -1 <= x.min() < x.max() <= 1
        assert torch.bincount(y).tolist() == [3] * class_count


@pytest.mark.slow
def test_every_method_is_measured_on_a_task(image_recipe, monkeypatch, tmp_path):
    small = {"TRAIN_ROWS": 60, "TEST_ROWS": 40, "SOURCE_ROWS": 120, "EPOCHS": 2, "LEARNING_RATES": (1e-3,)}
    for name, value in {**small, "FRACTIONS": (0.02,), "PENALTIES": (0.3,)}.items():
        monkeypatch.setattr(image_recipe, name, value)
    backbone_path = image_recipe.pretrain_backbone(tmp_path, 0)
    results = [image_recipe.measure_task("hue", 0, backbone_path)]
    methods = results[0]["methods"]
    assert tuple(methods) == ("linear", "head2toe", "scratch", "fine-tuning", "head2toe + fine-tuning")
    assert methods["head2toe"]["parameters"] < 0.02 * methods["fine-tuning"]["parameters"]
    assert methods["linear"]["parameters"] == 8 * (128 + 1)
    assert "| hue |" in image_recipe.format_results(results)
    image_recipe.draw_figure(results, tmp_path / "f.png")
    assert (tmp_path / "f.png").read_bytes()[:4] == b"\x89PNG"
