"""Accuracy against tokens for every method of inference-time scaling, from the sampled rows of one model.

Example:

    problems = gather_problems(rows)
    points = scaling_points(problems, ScalingConfig())
    recommend_methods(points)  # from cheap to expensive, each better than the one before
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from r1kit.answers.vote_clusters import cluster_answers, row_checker, voted_answer
from r1kit.data.filters import NO_ANSWER_FILTER
from r1kit.recipe import ScalingConfig
from r1kit.recipe.rewards import Answers
from r1kit.rows import Row
from r1kit.scaling.estimators import (
    MethodEstimate,
    SampledProblem,
    bootstrap_interval,
    estimate_method,
    paired_difference,
    thinking_when_unsure,
)
from r1kit.scaling.methods import ONE_SAMPLE, SEARCH_NAMES, ScalingPoint, method_name

MIN_IMPROVEMENT = 0.005  # of accuracy; a method that is better by less is not worth recommending


@dataclass(frozen=True)
class MethodSamples:
    """The problems again, sampled in another way: `method` with its setting `at` (see ScalingPoint)."""

    method: str
    at: int
    problems: Sequence[SampledProblem]


def gather_problems(
    rows: Iterable[Row], row_scores: Mapping[str, Sequence[float]] | None = None, answers: Answers = "any"
) -> list[SampledProblem]:
    """Return the problems that sampled rows belong to, with the scores by which their samples can be chosen.

    Scores from 0 to 1: `shortness`, one over the number of tokens; `logprob`, the geometric mean of the tokens'
    probabilities, if all rows have it; and those in `row_scores`, such as `verifier`, one value for each row. Samples
    without a verdict on their correctness are left out, and so are problems that have fewer samples than others then.
    """
    row_scores = row_scores or {}
    groups: dict[str, list[Row]] = defaultdict(list)
    row_indices: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        if row["correct"] is not None:
            groups[row["id"]].append(row)
            row_indices[row["id"]].append(index)
    if not groups:
        return []
    # Estimates need the same number of samples of every problem.
    group_size = max(map(len, groups.values()))
    groups = {problem_id: group for problem_id, group in groups.items() if len(group) == group_size}
    voted = []
    checkers = []
    for group in groups.values():
        voted.append([voted_answer(row, answers) for row in group])
        checkers.append(row_checker(group[0]))  # all rows of a problem have the same checker
    clusters_by_problem = cluster_answers(voted, checkers)
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
            scores[score_name] = np.array([values[index] for index in row_indices[problem_id]])
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


def scaling_points(
    problems: Sequence[SampledProblem],
    settings: ScalingConfig,
    seed: int = 0,
    changed: Sequence[MethodSamples] = (),
) -> list[ScalingPoint]:
    """Return a point for each method and setting: its accuracy with a 95% interval, and its tokens a problem.

    `changed` are the problems sampled in other ways: answered without thinking (direct), with their thinking cut
    (budget) or continued (wait), or searched (beam, dvts).
    """
    points = _points_from_samples(problems, settings, seed)
    for method_samples in changed:
        if method_samples.method == "direct":
            points += _points_from_direct(problems, method_samples, settings.sure, seed)
        else:
            points += _points_from_changed(problems, method_samples, seed)
    return points


def _points_from_samples(problems: Sequence[SampledProblem], settings: ScalingConfig, seed: int) -> list[ScalingPoint]:
    """Return the points of the methods that choose among the samples of a run."""
    points: list[ScalingPoint] = []
    one_sample = estimate_method(problems, "pass", 1)

    def add_point(method: str, k: int, score: str | None = None, sure: float | None = None) -> None:
        estimate = estimate_method(problems, method, k, score, settings.draws, seed, sure or 1.0)
        points.append(_make_point(estimate, one_sample, seed, method, score=score, samples=k, sure=sure))

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
    return points


def _powers_of_two(count: int) -> list[int]:
    """Return 1, 2, 4 and so on up to `count`, and `count` itself."""
    powers = [2**exponent for exponent in range(count.bit_length()) if 2**exponent <= count]
    return sorted({*powers, count})


def _points_from_direct(
    problems: Sequence[SampledProblem], samples: MethodSamples, certainties: Iterable[float], seed: int
) -> list[ScalingPoint]:
    """Return the points of thinking only if the direct answers are unsure, one for each degree of certainty."""
    thinking, direct = _shared_problems(problems, samples.problems)
    if not direct:
        return []
    # Both are paired problem by problem, and shards may come in different orders.
    thinking = sorted(thinking, key=lambda problem: problem.id)
    direct = sorted(direct, key=lambda problem: problem.id)
    one_sample = estimate_method(thinking, "pass", 1)
    score = "logprob" if "logprob" in direct[0].scores else None
    points = []
    for sure in certainties:
        estimate = thinking_when_unsure(direct, thinking, sure, score)
        point = _make_point(estimate, one_sample, seed, "direct", score=score, samples=1, sure=sure, at=samples.at)
        points.append(point)
    return points


def _points_from_changed(problems: Sequence[SampledProblem], samples: MethodSamples, seed: int) -> list[ScalingPoint]:
    """Return the point of a search or of budget forcing, compared with one unchanged sample of the same problems."""
    unchanged, changed = _shared_problems(problems, samples.problems)
    if not changed:
        return []
    # Not all problems may be in both, if a budget was spent; so the comparison has its own baseline.
    one_sample = estimate_method(unchanged, "pass", 1)
    if samples.method in SEARCH_NAMES:
        # The paths that remain vote, weighted by the verifier.
        estimate = estimate_method(changed, "vote", len(changed[0]), "verifier")
        score, sample_count = "verifier", samples.at
        return [
            _make_point(estimate, one_sample, seed, samples.method, score=score, samples=sample_count, at=samples.at)
        ]
    estimate = estimate_method(changed, "pass", 1)
    return [_make_point(estimate, one_sample, seed, samples.method, samples=1, at=samples.at)]


def _shared_problems(
    first: Sequence[SampledProblem], second: Sequence[SampledProblem]
) -> tuple[list[SampledProblem], list[SampledProblem]]:
    """Return the problems of both sequences that are in the other one too."""
    shared_ids = {problem.id for problem in first} & {problem.id for problem in second}
    return (
        [problem for problem in first if problem.id in shared_ids],
        [problem for problem in second if problem.id in shared_ids],
    )


def _make_point(
    estimate: MethodEstimate,
    one_sample: MethodEstimate,
    seed: int,
    method: str,
    samples: int,
    score: str | None = None,
    sure: float | None = None,
    at: int | None = None,
) -> ScalingPoint:
    low, high = bootstrap_interval(estimate.accuracy, seed=seed)
    return {
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


def recommend_methods(points: Sequence[ScalingPoint]) -> list[ScalingPoint]:
    """Return which method to use at which budget, in the order of the tokens they cost.

    The list starts with one sample; each further method is more accurate than the one before by at least half a
    percentage point. pass@N is never recommended: without the gold answer nobody knows which sample is correct.
    """
    recommended: list[ScalingPoint] = []
    for point in sorted(points, key=lambda point: (point["tokens"], -point["accuracy"])):
        if point["name"] == ONE_SAMPLE:
            recommended.append(point)
            continue
        is_better = bool(recommended) and point["accuracy"] >= recommended[-1]["accuracy"] + MIN_IMPROVEMENT
        if is_better and point["method"] != "pass":
            recommended.append(point)
    return recommended
