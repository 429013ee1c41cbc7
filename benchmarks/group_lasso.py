"""Compare the group lasso with skglm: the same problem, the same objective, and the time of each, in turn.

    pip install skglm
    python benchmarks/group_lasso.py [--rows 2000 --features 20000] [--size 4] [--rounds 3]
    python benchmarks/group_lasso.py --record      (the objectives that tests/test_head2toe.py holds)
    python benchmarks/group_lasso.py --large       (10,000 x 100,000 in float32: r1kit alone, time and peak memory)

Data: normal features of unequal scale, of which 40 matter, and the targets made of them with noise. skglm has its first
call before the clock runs, since it is compiled then. An objective is computed in float64 from each side's weights.
"""

import argparse
import json
import resource
import statistics
import time

import numpy as np
import torch

from r1kit.head2toe.group_lasso import largest_penalty, mean_loss, solve_group_lasso

PENALTY_FRACTIONS = (0.5, 0.1, 0.02)  # of the penalty under which all weights are zero


def make_data(rows: int, features: int, useful_count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features (B, F), numbers (B, 3) and their signs (B,) as 0 and 1."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, features)) * rng.uniform(0.5, 2, features) + rng.standard_normal(features)
    weight = np.zeros((features, 3))
    weight[:useful_count] = rng.standard_normal((useful_count, 3))
    numbers = (x - x.mean(0)) @ weight + rng.standard_normal((rows, 3))
    return x, numbers, (numbers[:, 0] > 0).astype(float)


def compute_objective(
    loss: str, x: np.ndarray, y: np.ndarray, weight: np.ndarray, bias: np.ndarray, penalty: float, size: int
):
    """By the definition, in float64. weight: (F, C)."""
    outputs = torch.tensor(x.astype(np.float64) @ weight + bias)
    value = mean_loss(loss, outputs, torch.tensor(y.reshape(len(y), -1).astype(np.float64)))
    return float(value) + penalty * np.linalg.norm(weight.reshape(-1, size * weight.shape[1]), axis=1).sum()


def solve_by_skglm(loss: str, x: np.ndarray, y: np.ndarray, penalty: float, size: int, tolerance: float):
    """Return weight (F, C) and bias (C,)."""
    if loss == "squared":
        from skglm.datafits import QuadraticMultiTask
        from skglm.penalties import L2_1
        from skglm.solvers import MultiTaskBCD

        solver = MultiTaskBCD(tol=tolerance, fit_intercept=True)
        coefficients, *_ = solver.solve(np.asfortranarray(x), y, QuadraticMultiTask(), L2_1(penalty))
        return coefficients[:-1], coefficients[-1]
    from skglm.datafits import LogisticGroup
    from skglm.penalties import WeightedGroupL2
    from skglm.solvers import GroupProxNewton
    from skglm.utils.data import grp_converter

    indices, pointers = grp_converter(size, x.shape[1])
    weights = np.ones(x.shape[1] // size)
    group = WeightedGroupL2(alpha=penalty, weights=weights, grp_ptr=pointers, grp_indices=indices)
    solver = GroupProxNewton(tol=tolerance, fit_intercept=True)
    coefficients, *_ = solver.solve(np.asfortranarray(x), 2 * y - 1, LogisticGroup(pointers, indices), group)
    return coefficients[:-1, None], coefficients[-1:]


def print_objectives() -> None:
    """Print the objectives that skglm reaches on the tests' problems."""
    x, numbers, binary = make_data(120, 400, 8)
    objectives = {}
    for loss, y, size in (("squared", numbers, 1), ("logistic", binary, 1), ("logistic", binary, 4)):
        largest = largest_penalty(torch.tensor(x), torch.tensor(y), loss, size, standardize=False)
        for fraction in PENALTY_FRACTIONS:
            weight, bias = solve_by_skglm(loss, x, y, fraction * largest, size, 1e-10)
            objectives[f"{loss} {size} {fraction}"] = compute_objective(
                loss, x, y, weight, bias, fraction * largest, size
            )
    print(json.dumps(objectives, indent=4))


def fit_large_problem() -> None:
    """Fit the largest problem that fits into memory, by r1kit alone."""
    x = torch.randn(10_000, 100_000)
    y = (x[:, :40].sum(1) + 5 * torch.randn(10_000) > 0).float()
    started = time.perf_counter()
    [solution] = solve_group_lasso(x, y, [0.3], "logistic", 4, relative=True)
    seconds = time.perf_counter() - started
    kept = int((solution.group_norms(4) > 0).sum())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"10,000 x 100,000: {seconds:.0f} s, {kept} of 25,000 groups, "
        f"optimality violated by {solution.violation:.1e} of the penalty, "
        f"peak {peak:.1f} GiB of which the features are {x.nbytes / 2**30:.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--features", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--large", action="store_true")
    options = parser.parse_args()
    if options.record:
        return print_objectives()
    if options.large:
        return fit_large_problem()
    x, numbers, binary = make_data(options.rows, options.features, 40)
    single = torch.tensor(x, dtype=torch.float32)
    print("| loss | group | penalty | skglm | r1kit, float32 | difference | skglm s | r1kit s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for loss, y, size in (("squared", numbers, 1), ("logistic", binary, 1), ("logistic", binary, options.size)):
        largest = largest_penalty(single, torch.tensor(y), loss, size, standardize=False)
        solve_by_skglm(loss, x[:50, : 40 * size], y[:50], largest / 2, size, 1e-3)
        for fraction in PENALTY_FRACTIONS:
            times, values = {"skglm": [], "r1kit": []}, {}
            for turn in range(options.rounds):
                for side in ("skglm", "r1kit")[:: -1 if turn % 2 else 1]:
                    started = time.perf_counter()
                    if side == "skglm":
                        weight, bias = solve_by_skglm(loss, x, y, fraction * largest, size, 1e-5)
                    else:
                        [solution] = solve_group_lasso(
                            single, torch.tensor(y), [fraction * largest], loss, size, standardize=False
                        )
                        weight, bias = solution.weight.double().numpy(), solution.bias.double().numpy()
                    times[side].append(time.perf_counter() - started)
                    values[side] = compute_objective(loss, x, y, weight, bias, fraction * largest, size)
            difference = (values["r1kit"] - values["skglm"]) / values["skglm"]
            seconds_cells = [f"{statistics.median(t):.1f} ({min(t):.1f}-{max(t):.1f})" for t in times.values()]
            cells = [f"{values['skglm']:.6f}", f"{values['r1kit']:.6f}", f"{difference:+.1e}", *seconds_cells]
            print(f"| {loss} | {size} | {fraction} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
