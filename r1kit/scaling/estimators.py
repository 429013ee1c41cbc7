"""Estimate what a method makes of N samples of each problem, from one run with n >= N samples of each.

    pass@N         one of N is correct: the unbiased estimator of Chen et al. 2021 (arXiv 2107.03374)
    vote           the most frequent answer of N (Wang et al. 2022, arXiv 2203.11171)
    weighted vote  the answer whose samples have the greatest sum of weights
    best of N      the sample with the greatest score
    early stop     samples are taken one after the other until the leading answer is sure enough

Each is the mean over all subsets of N of the n samples: pass@N and best of N in closed form, votes and early stopping
over random subsets. If several answers or samples are equally good, each is taken equally often. A sample without an
answer has no vote; if nobody votes, the result is wrong.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from r1kit.answers.vote_clusters import NO_CLUSTER

SEED_MODULUS = 2**32  # numpy takes no negative seeds
# Sums of weights that differ by less are equal: the order of addition changes the last digits.
RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 1e-9, 1e-12


@dataclass(frozen=True)
class SampledProblem:
    """The n samples of one problem."""

    correct: np.ndarray  # (n,) 0.0 or 1.0
    clusters: np.ndarray  # (n,) the same integer for equivalent answers, NO_CLUSTER for no answer
    tokens: np.ndarray  # (n,) tokens of each completion
    scores: Mapping[str, np.ndarray] = field(default_factory=dict)  # each (n,) from 0 to 1
    id: str = ""

    def __len__(self) -> int:
        return len(self.correct)


@dataclass(frozen=True)
class MethodEstimate:
    """The expected accuracy and tokens of a method at one N, for each problem."""

    accuracy: np.ndarray  # (problems,)
    tokens: np.ndarray  # (problems,)


def pass_at_k(count: int, correct_count: int, k: int) -> float:
    """Return the probability that at least one of k samples is correct, drawn from `count` samples."""
    return 1.0 - math.comb(count - correct_count, k) / math.comb(count, k)


def best_of_n(scores: Sequence[float] | np.ndarray, correct: Sequence[float] | np.ndarray, k: int) -> float:
    """Return the probability that the best of k samples is correct; samples with equal scores share it.

    A sample is the best of a subset if the subset holds it and none with a greater score. So the scores are visited
    from the greatest on, and each level gets the fraction of subsets that it decides.
    """
    values = np.asarray(scores, float)
    is_correct = np.asarray(correct)
    count = len(values)
    accuracy = 0.0
    better_count = 0  # samples with a greater score
    for value in np.unique(values)[::-1]:
        is_tied = values == value
        tied_count = int(is_tied.sum())
        without_better = math.comb(count - better_count, k)
        without_tied = math.comb(count - better_count - tied_count, k)
        decided_fraction = (without_better - without_tied) / math.comb(count, k)
        accuracy += decided_fraction * float(np.mean(is_correct[is_tied]))
        better_count += tied_count
    return accuracy


def draw_subsets(count: int, k: int, draws: int, seed: int = 0) -> np.ndarray:
    """Return (draws, k) random subsets of k of `count` indices, the same for the same seed.

    If k is 1 or `count`, each possible subset is returned once instead.
    """
    if k in (1, count):
        return np.arange(count).reshape(-1, k)
    rng = np.random.default_rng([seed % SEED_MODULUS, count, k])
    return rng.random((draws, count)).argsort(1)[:, :k]


class VoteTally:
    """The state of several votes on one problem, to which samples are added one after the other.

    All arrays are (votes, clusters): the sum of weights, the number of correct samples and of all samples that each
    answer has in each vote.
    """

    def __init__(self, problem: SampledProblem, vote_count: int, weights: np.ndarray | None):
        """`weights` (n,) is how much each sample counts; None counts each as 1."""
        self.problem = problem
        self.weights = np.ones(len(problem)) if weights is None else weights
        cluster_count = max(1, int(problem.clusters.max()) + 1)
        shape = (vote_count, cluster_count)
        self.weight_sums = np.zeros(shape)
        self.correct_counts = np.zeros(shape)
        self.sample_counts = np.zeros(shape)

    def add(self, samples: np.ndarray) -> None:
        """Add one sample (votes,), by its index, to each vote."""
        clusters = self.problem.clusters[samples]
        votes = np.flatnonzero(clusters != NO_CLUSTER)
        clusters, samples = clusters[votes], samples[votes]
        self.weight_sums[votes, clusters] += self.weights[samples]
        self.correct_counts[votes, clusters] += self.problem.correct[samples]
        self.sample_counts[votes, clusters] += 1.0

    def accuracy(self) -> np.ndarray:
        """Return (votes,) the probability that the winning answer is correct; tied answers win equally often."""
        has_samples = self.sample_counts > 0
        weight_sums = np.where(has_samples, self.weight_sums, -np.inf)
        greatest = weight_sums.max(1, keepdims=True)
        is_winner = has_samples & np.isclose(weight_sums, greatest, rtol=RELATIVE_TOLERANCE, atol=ABSOLUTE_TOLERANCE)
        correct_fraction = np.divide(
            self.correct_counts, self.sample_counts, out=np.zeros_like(self.correct_counts), where=has_samples
        )
        winner_count = is_winner.sum(1)
        return np.divide(
            (is_winner * correct_fraction).sum(1), winner_count, out=np.zeros(len(winner_count)), where=winner_count > 0
        )

    def certainty(self, prior: float) -> np.ndarray:
        """Return (votes,) the leading answer's fraction of all weights, with the weight `prior` counted against it."""
        return self.weight_sums.max(1) / (self.weight_sums.sum(1) + prior)


def vote_accuracy(problem: SampledProblem, subsets: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return (draws,) the probability that the vote of each subset (draws, k) is correct."""
    tally = VoteTally(problem, len(subsets), weights)
    for samples in subsets.T:
        tally.add(samples)
    return tally.accuracy()


def early_stopping(
    problem: SampledProblem, orders: np.ndarray, weights: np.ndarray | None, sure: float, prior: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return (draws,) the accuracy and (draws,) the tokens, if sampling stops once the vote is sure enough.

    The samples come in the orders (draws, N). After each sample, the certainty of a vote is the leading answer's
    fraction of all weights, with `prior` counted against it. Sampling stops if it is at least `sure`, or after the last
    sample.
    """
    draws, sample_count = orders.shape
    accuracy = np.zeros(draws)
    tokens_spent = np.zeros(draws)
    is_open = np.ones(draws, bool)
    tokens_so_far = problem.tokens[orders].cumsum(1)
    tally = VoteTally(problem, draws, weights)
    for index, samples in enumerate(orders.T):
        tally.add(samples)
        is_last = index == sample_count - 1
        stops_now = is_open & ((tally.certainty(prior) >= sure) | is_last)
        accuracy[stops_now] = tally.accuracy()[stops_now]
        tokens_spent[stops_now] = tokens_so_far[stops_now, index]
        is_open &= ~stops_now
        if not is_open.any():
            break
    return accuracy, tokens_spent


def estimate_method(
    problems: Sequence[SampledProblem],
    method: str,
    k: int,
    score: str | None = None,
    draws: int = 256,
    seed: int = 0,
    sure: float = 0.9,
) -> MethodEstimate:
    """Return what a method makes of k samples of each problem.

    `method` is `pass`, `vote`, `best` (of N by `score`) or `stop` (up to k samples, until the vote is `sure`). Votes
    are weighted by `score` if there is one. `draws` is the number of random subsets. Raises ValueError if a problem has
    fewer than k samples.
    """
    for problem in problems:
        if len(problem) < k:
            raise ValueError(f"problem {problem.id} has {len(problem)} samples, fewer than {k}")
    accuracies, token_counts = [], []
    for problem in problems:
        weights = problem.scores[score] if score else None
        tokens = k * float(problem.tokens.mean())
        if method == "pass":
            accuracy = pass_at_k(len(problem), int(problem.correct.sum()), k)
        elif method == "best":
            assert weights is not None
            accuracy = best_of_n(weights, problem.correct, k)
        elif method == "vote":
            subsets = draw_subsets(len(problem), k, draws, seed)
            accuracy = float(vote_accuracy(problem, subsets, weights).mean())
        else:
            # Not draw_subsets: the order of all samples matters here, even if k is 1 or all of them.
            rng = np.random.default_rng([seed % SEED_MODULUS, len(problem), k])
            orders = rng.random((draws, len(problem))).argsort(1)[:, :k]
            accuracy_of_draws, tokens_of_draws = early_stopping(problem, orders, weights, sure)
            accuracy, tokens = float(accuracy_of_draws.mean()), float(tokens_of_draws.mean())
        accuracies.append(accuracy)
        token_counts.append(tokens)
    return MethodEstimate(np.array(accuracies), np.array(token_counts))


def thinking_when_unsure(
    direct: Sequence[SampledProblem], thinking: Sequence[SampledProblem], sure: float, score: str | None = None
) -> MethodEstimate:
    """Return the result of thinking only if the direct answers disagree.

    `direct` and `thinking` are samples of the same problems in the same order. All direct samples are taken first. If
    the leading answer's sum of weights (each from 0 to 1; 1 without a score) is at least `sure` of their number, it is
    the answer; otherwise one thinking sample is taken.
    """
    accuracies, token_counts = [], []
    for direct_samples, thinking_samples in zip(direct, thinking, strict=True):
        assert direct_samples.id == thinking_samples.id
        tally = VoteTally(direct_samples, 1, direct_samples.scores[score] if score else None)
        for index in range(len(direct_samples)):
            tally.add(np.array([index]))
        accuracy = float(tally.accuracy()[0])
        tokens = float(direct_samples.tokens.sum())
        is_sure = float(tally.weight_sums.max()) >= sure * len(direct_samples)
        if not is_sure:
            accuracy = float(thinking_samples.correct.mean())
            tokens += float(thinking_samples.tokens.mean())
        accuracies.append(accuracy)
        token_counts.append(tokens)
    return MethodEstimate(np.array(accuracies), np.array(token_counts))


def bootstrap_interval(
    values: np.ndarray, draws: int = 2000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Return the bootstrap interval of the mean over problems; the same seed draws the same problems."""
    rng = np.random.default_rng([seed % SEED_MODULUS, len(values)])
    drawn_problems = rng.integers(0, len(values), (draws, len(values)))
    means = np.asarray(values, float)[drawn_problems].mean(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_difference(values: np.ndarray, baseline: np.ndarray, draws: int = 2000, seed: int = 0) -> dict[str, float]:
    """Return how much greater `values` are than `baseline` on the same problems, with a paired bootstrap interval."""
    difference = np.asarray(values, float) - np.asarray(baseline, float)
    low, high = bootstrap_interval(difference, draws, seed)
    return {"difference": float(difference.mean()), "low": low, "high": high}
