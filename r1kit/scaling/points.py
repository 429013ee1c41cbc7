"""Accuracy against tokens for every method of inference-time scaling, from the sampled rows of one model.

Example:

    problems = gather_problems(rows)
    measured = measure_methods(problems, ScalingConfig())
    [method.point for method in measured]
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from r1kit.data.filters import NO_ANSWER_FILTER
from r1kit.recipe import ScalingConfig
from r1kit.recipe.rewards import Answers
from r1kit.rows import Row
from r1kit.sampling.statistics import cluster_groups, complete_groups
from r1kit.scaling.estimators import (
    MethodEstimate,
    SampledProblem,
    bootstrap_interval,
    estimate_method,
    paired_difference,
    thinking_when_unsure,
)
from r1kit.scaling.methods import SEARCH_NAMES, ScalingPoint, method_name


@dataclass(frozen=True)
class MethodSamples:
    """The problems again, sampled in another way: `method` with its setting `at` (see ScalingPoint)."""

    method: str
    at: int | None
    problems: Sequence[SampledProblem]


@dataclass(frozen=True)
class MeasuredMethod:
    """A point, and what it is the mean of: the accuracy and the tokens of each problem, by the problem's id."""

    point: ScalingPoint
    accuracy: Mapping[str, float]
    tokens: Mapping[str, float]


def gather_problems(
    rows: Iterable[Row], row_scores: Mapping[str, Sequence[float]] | None = None, answers: Answers = "any"
) -> list[SampledProblem]:
    """Return the problems that sampled rows belong to, with the scores by which their samples can be chosen.

    Scores from 0 to 1: `shortness`, one over the number of tokens; `logprob`, the geometric mean of the tokens'
    probabilities, if all rows have it; and those in `row_scores`, such as `verifier`, one value for each row. Samples
    without a verdict on their correctness are left out, and so are problems that have fewer samples than others then.
    """
    row_scores = row_scores or {}
    rows = list(rows)
    # Estimates need the same number of samples of every problem.
    indices_by_id = complete_groups(rows)
    if not indices_by_id:
        return []
    groups: dict[str, list[Row]] = {}
    for problem_id, indices in indices_by_id.items():
        groups[problem_id] = [rows[index] for index in indices]
    clusters_by_problem = cluster_groups(list(groups.values()), answers)
    has_logprobs = _has_logprobs(groups.values())

    problems = []
    for (problem_id, group), clusters in zip(groups.items(), clusters_by_problem, strict=True):
        tokens = np.array([row["tokens"] for row in group], float)
        scores = {"shortness": 1 / np.maximum(tokens, 1)}
        if has_logprobs:
            # A row without a completion has no log-probability, and gets the probability 0.
            logprobs = [-np.inf if row["logprob"] is None else row["logprob"] for row in group]
            scores["logprob"] = np.exp(logprobs)
        for score_name, values in row_scores.items():
            scores[score_name] = np.array([values[index] for index in indices_by_id[problem_id]])
        correct = np.array([float(row["correct"]) for row in group])
        problems.append(SampledProblem(correct, np.array(clusters), tokens, scores, problem_id))
    return problems


def _has_logprobs(groups: Iterable[Sequence[Row]]) -> bool:
    """Return whether all rows with a completion have its log-probability."""
    has_completion = False
    for group in groups:
        for row in group:
            if row.get("finish_reason") in NO_ANSWER_FILTER:
                continue
            has_completion = True
            if row.get("logprob") is None:
                return False
    return has_completion


def measure_methods(
    problems: Sequence[SampledProblem],
    settings: ScalingConfig,
    seed: int = 0,
    changed: Sequence[MethodSamples] = (),
) -> list[MeasuredMethod]:
    """Return each method and setting, measured: its accuracy with a 95% interval, and its tokens a problem.

    `changed` are the problems sampled in other ways: greedily, answered without thinking (direct), with their thinking
    cut (budget) or continued (wait), or searched (beam, dvts).
    """
    measured = _measure_samples(problems, settings, seed)
    for method_samples in changed:
        if method_samples.method == "direct":
            measured += _measure_direct(problems, method_samples, settings.sure, seed)
        else:
            measured += _measure_changed(problems, method_samples, seed)
    return measured


def _measure_samples(problems: Sequence[SampledProblem], settings: ScalingConfig, seed: int) -> list[MeasuredMethod]:
    """Return the methods that choose among the samples of a run."""
    measured: list[MeasuredMethod] = []
    one_sample = estimate_method(problems, "pass", 1)

    def add_point(method: str, k: int, score: str | None = None, sure: float | None = None) -> None:
        estimate = estimate_method(problems, method, k, score, settings.draws, seed, sure or 1.0)
        measured.append(_measure(problems, estimate, one_sample, seed, method, score=score, samples=k, sure=sure))

    sample_count = len(problems[0])
    score_names = list(problems[0].scores)
    # N = 1 is what all others are compared with.
    measured_counts = sorted({1, *(n for n in settings.samples or _powers_of_two(sample_count) if n <= sample_count)})
    for k in measured_counts:
        add_point("pass", k)
        add_point("vote", k)
        for score in score_names:
            if k > 1:  # choosing one of one is one sample, by whatever score
                add_point("vote", k, score)
                add_point("best", k, score)
    # Early stopping spends as many of the samples as it needs, so it has one N: all of them.
    for sure in settings.sure:
        add_point("stop", measured_counts[-1], "verifier" if "verifier" in score_names else None, sure)
    return measured


def _powers_of_two(count: int) -> list[int]:
    """Return 1, 2, 4 and so on up to `count`, and `count` itself."""
    powers = [2**exponent for exponent in range(count.bit_length()) if 2**exponent <= count]
    return sorted({*powers, count})


def _measure_direct(
    problems: Sequence[SampledProblem], samples: MethodSamples, certainties: Iterable[float], seed: int
) -> list[MeasuredMethod]:
    """Return thinking only if the direct answers are unsure, one method for each degree of certainty."""
    thinking, direct = _shared_problems(problems, samples.problems)
    if not direct:
        return []
    one_sample = estimate_method(thinking, "pass", 1)
    score = "logprob" if "logprob" in direct[0].scores else None
    measured = []
    for sure in certainties:
        estimate = thinking_when_unsure(direct, thinking, sure, score)
        method = _measure(
            thinking, estimate, one_sample, seed, "direct", score=score, samples=1, sure=sure, at=samples.at
        )
        measured.append(method)
    return measured


def _measure_changed(problems: Sequence[SampledProblem], samples: MethodSamples, seed: int) -> list[MeasuredMethod]:
    """Return greedy answers, a search or budget forcing, compared with one plain sample of the same problems."""
    unchanged, changed = _shared_problems(problems, samples.problems)
    if not changed:
        return []
    # Not all problems may be in both, if a budget was spent; so the comparison has its own baseline.
    one_sample = estimate_method(unchanged, "pass", 1)
    method = samples.method
    if method in SEARCH_NAMES:
        # The paths that remain vote, weighted by the verifier.
        estimate = estimate_method(changed, "vote", len(changed[0]), "verifier")
        samples_taken = samples.at or 1
        return [
            _measure(
                changed, estimate, one_sample, seed, method, score="verifier", samples=samples_taken, at=samples.at
            )
        ]
    estimate = estimate_method(changed, "pass", 1)
    return [_measure(changed, estimate, one_sample, seed, method, samples=1, at=samples.at)]


def _shared_problems(
    first: Sequence[SampledProblem], second: Sequence[SampledProblem]
) -> tuple[list[SampledProblem], list[SampledProblem]]:
    """Return the problems of both sequences that are in the other one too, both in the order of their ids.

    Methods are compared problem by problem, and shards may come in different orders.
    """
    shared_ids = {problem.id for problem in first} & {problem.id for problem in second}
    shared = []
    for problems in (first, second):
        in_both = (problem for problem in problems if problem.id in shared_ids)
        shared.append(sorted(in_both, key=lambda problem: problem.id))
    return shared[0], shared[1]


def _measure(
    problems: Sequence[SampledProblem],
    estimate: MethodEstimate,
    one_sample: MethodEstimate,
    seed: int,
    method: str,
    samples: int,
    score: str | None = None,
    sure: float | None = None,
    at: int | None = None,
) -> MeasuredMethod:
    """Return a method with its `estimate` on `problems`, compared with one sample of each."""
    low, high = bootstrap_interval(estimate.accuracy, seed=seed)
    point: ScalingPoint = {
        "name": method_name(method, score, samples),
        "method": method,
        "score": score,
        "samples": samples,
        "sure": sure,
        "at": at,
        "accuracy": float(estimate.accuracy.mean()),
        "low": low,
        "high": high,
        "tokens": float(estimate.tokens.mean()),
        "more": paired_difference(estimate.accuracy, one_sample.accuracy, seed=seed),
    }
    ids = [problem.id for problem in problems]
    return MeasuredMethod(
        point,
        dict(zip(ids, estimate.accuracy.tolist(), strict=True)),
        dict(zip(ids, estimate.tokens.tolist(), strict=True)),
    )
