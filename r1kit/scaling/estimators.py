"""What N samples a problem are worth, by each way to choose among them, from one run of n >= N samples.

    pass@N         one of N is right: the unbiased estimator of Chen et al. 2021 (arXiv 2107.03374)
    vote           the answer that most of N give (Wang et al. 2022, arXiv 2203.11171)
    weighted vote  the answer with the greatest sum of its samples' weights
    best-of-N      the sample with the greatest score
    early stop     samples are taken one after the other until the leading answer is sure enough

Each is the mean over all choices of N from the n samples: pass@N and best-of-N in closed form, votes and stopping over
random choices. Where several answers or samples are equally good, each is taken equally often. A sample without an
answer has no vote; where nobody votes, the choice is wrong.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from r1kit.answers.equivalence import NO_CLUSTER


@dataclass(frozen=True)
class SampledProblem:
    """The n samples of one problem. `clusters`: which answers are equivalent, NONE for no answer."""

    correct: np.ndarray  # (n,) of 0.0 and 1.0
    clusters: np.ndarray  # (n,) of whole numbers
    tokens: np.ndarray  # (n,)
    scores: Mapping[str, np.ndarray] = field(default_factory=dict)  # each (n,)
    id: str = ""

    def __len__(self) -> int:
        return len(self.correct)


@dataclass(frozen=True)
class MethodEstimate:
    """A method at one N: the chance of being right and the tokens spent, by problem."""

    accuracy: np.ndarray  # (problems,)
    tokens: np.ndarray  # (problems,)


def pass_at_k(count: int, right: int, k: int) -> float:
    """Return the chance that one of k samples, of `count` of which `right` are right, is right."""
    return 1.0 - math.comb(count - right, k) / math.comb(count, k)


def best_of_n(scores: Sequence[float] | np.ndarray, correct: Sequence[float] | np.ndarray, k: int) -> float:
    """Return the chance that of k samples the one with the greatest score is right; equal scores share it."""
    values, n = np.asarray(scores, float), len(scores)
    before, chance = 0, 0.0
    for value in np.unique(values)[::-1]:
        block = values == value
        size = int(block.sum())
        share = (math.comb(n - before, k) - math.comb(n - before - size, k)) / math.comb(n, k)
        chance += share * float(np.mean(np.asarray(correct)[block]))
        before += size
    return chance


def draw_subsets(count: int, k: int, draws: int, seed: int = 0) -> np.ndarray:
    """Return (draws, k) random choices of k of `count` without repetition, the same for the same seed.

    Each once, where k is 1 or `count`.
    """
    if k in (1, count):
        return np.arange(count).reshape(-1, k)
    return np.random.default_rng([seed % 2**32, count, k]).random((draws, count)).argsort(1)[:, :k]


class VoteTally:
    """Votes as they come in: for each of some elections, the sums of weights, the right votes and all of an answer."""

    def __init__(self, problem: SampledProblem, elections: int, weights: np.ndarray | None):
        self.problem = problem
        self.weights = np.ones(len(problem)) if weights is None else weights
        shape = (elections, max(1, int(problem.clusters.max()) + 1))
        self.sums, self.right, self.votes = np.zeros(shape), np.zeros(shape), np.zeros(shape)

    def add(self, samples: np.ndarray) -> None:
        """Count one sample (elections,) in each."""
        places = self.problem.clusters[samples]
        rows = np.flatnonzero(places != NO_CLUSTER)
        places, samples = places[rows], samples[rows]
        self.sums[rows, places] += self.weights[samples]
        self.right[rows, places] += self.problem.correct[samples]
        self.votes[rows, places] += 1.0

    def chances(self) -> np.ndarray:
        """Return the chance (elections,) that the answer with the greatest sum is right; of equal ones, each."""
        sums = np.where(self.votes > 0, self.sums, -np.inf)
        winners = (self.votes > 0) & np.isclose(sums, sums.max(1, keepdims=True), rtol=1e-9, atol=1e-12)
        share = np.divide(self.right, self.votes, out=np.zeros_like(self.right), where=self.votes > 0)
        count = winners.sum(1)
        return np.divide((winners * share).sum(1), count, out=np.zeros(len(count)), where=count > 0)

    def sure(self, prior: float) -> np.ndarray:
        """Return the leading answer's share (elections,) of all weights, `prior` counted against it."""
        return self.sums.max(1) / (self.sums.sum(1) + prior)


def vote_accuracy(problem: SampledProblem, chosen: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the chance (draws,) that the answer with most votes is right, for each choice (draws, k) of samples."""
    tally = VoteTally(problem, len(chosen), weights)
    for samples in chosen.T:
        tally.add(samples)
    return tally.chances()


def early_stopping(
    problem: SampledProblem, orders: np.ndarray, weights: np.ndarray | None, sure: float, prior: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the chance of being right and the tokens spent, both (draws,), where sampling stops once it is sure.

    The samples come in the orders (draws, N). After each, the leading answer's share of all weights, `prior` counted
    against it, is how sure it is; where that is at least `sure`, or nothing is left, the vote so far decides.
    """
    right, spent = np.zeros(len(orders)), np.zeros(len(orders))
    open_, tokens = np.ones(len(orders), bool), problem.tokens[orders].cumsum(1)
    tally = VoteTally(problem, len(orders), weights)
    for k, samples in enumerate(orders.T, 1):
        tally.add(samples)
        now = open_ & ((tally.sure(prior) >= sure) | (k == orders.shape[1]))
        right[now], spent[now] = tally.chances()[now], tokens[now, k - 1]
        open_ &= ~now
        if not open_.any():
            break
    return right, spent


def estimate_method(
    problems: Sequence[SampledProblem], method: str, k: int, score: str | None = None, draws: int = 256, seed: int = 0,
    sure: float = 0.9,
) -> MethodEstimate:  # fmt: skip
    """Return what a method makes of k samples of each problem.

    `method`: pass, vote, best (by `score`), stop (up to k samples, sure to this degree). vote and stop weigh by
    `score` where it is given. Raises ValueError where a problem has fewer than k samples.
    """
    short = next((p for p in problems if len(p) < k), None)
    if short is not None:
        raise ValueError(f"problem {short.id} has {len(short)} samples, fewer than {k}")
    right, spent = [], []
    for problem in problems:
        weights = problem.scores[score] if score else None
        cost = k * float(problem.tokens.mean())
        if method == "pass":
            chance = pass_at_k(len(problem), int(problem.correct.sum()), k)
        elif method == "best":
            assert weights is not None
            chance = best_of_n(weights, problem.correct, k)
        elif method == "vote":
            chance = float(vote_accuracy(problem, draw_subsets(len(problem), k, draws, seed), weights).mean())
        else:
            rng = np.random.default_rng([seed % 2**32, len(problem), k])
            orders = rng.random((draws, len(problem))).argsort(1)[:, :k]
            chances, costs = early_stopping(problem, orders, weights, sure)
            chance, cost = float(chances.mean()), float(costs.mean())
        right.append(chance)
        spent.append(cost)
    return MethodEstimate(np.array(right), np.array(spent))


def thinking_when_unsure(
    direct: Sequence[SampledProblem], thought: Sequence[SampledProblem], sure: float, score: str | None = None
) -> MethodEstimate:
    """Return what comes of thinking only when it is needed: one sample of `thought` where those of `direct` are unsure.

    The same problems in both. All samples of `direct` are spent first; their vote is taken where the sum of its weights
    (from 0 to 1 each, 1 without a score) is at least `sure` of their number.
    """
    right, spent = [], []
    for quick, slow in zip(direct, thought, strict=True):
        assert quick.id == slow.id
        everyone = np.arange(len(quick))[None]
        tally = VoteTally(quick, 1, quick.scores[score] if score else None)
        for samples in everyone.T:
            tally.add(samples)
        taken = float(tally.sums.max()) >= sure * len(quick)
        right.append(float(tally.chances()[0]) if taken else float(slow.correct.mean()))
        spent.append(float(quick.tokens.sum()) + (0.0 if taken else float(slow.tokens.mean())))
    return MethodEstimate(np.array(right), np.array(spent))


def bootstrap_interval(
    values: np.ndarray, draws: int = 2000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Return the bootstrap interval of the mean over problems: of the same problems for the same seed."""
    chosen = np.random.default_rng([seed % 2**32, len(values)]).integers(0, len(values), (draws, len(values)))
    means = np.asarray(values, float)[chosen].mean(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_difference(one: np.ndarray, two: np.ndarray, draws: int = 2000, seed: int = 0) -> dict[str, float]:
    """Return how much better `one` is than `two` on the same problems, with a paired bootstrap interval."""
    difference = np.asarray(one, float) - np.asarray(two, float)
    low, high = bootstrap_interval(difference, draws, seed)
    return {"difference": float(difference.mean()), "low": low, "high": high}
