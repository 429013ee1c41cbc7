"""What to use: which method of inference-time scaling at which budget of tokens.

The methods are chosen on one half of the questions and reported on the other. A method that is the best of many on the
questions that it was chosen on is partly the luckiest; on the other half it has no luck.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np

from r1kit.scaling.estimators import bootstrap_interval, paired_difference
from r1kit.scaling.methods import ScalingPoint, describe_point
from r1kit.scaling.points import MeasuredMethod
from r1kit.tables import format_table

MIN_IMPROVEMENT = 0.005
"""Of accuracy: a method that is better by less is not worth more tokens."""
SAME_COST_FACTOR = 1.05
"""Two methods cost the same if the tokens of one are at most this many times those of the other."""


class Recommendation(TypedDict):
    """A method to use, an entry of `recommended` in `scaling.json`. All figures are of the half that reports."""

    method: str
    """The method with its settings, as `r1kit answer --method` takes it."""
    name: str
    """The method with its settings in words."""
    tokens: float
    """Completion tokens that a question costs on average."""
    accuracy: float
    low: float
    high: float
    over_greedy: dict[str, float] | None
    """The difference from the greedy answer on the same questions, with its interval; None without greedy answers."""
    questions: int


def recommend_methods(measured: Sequence[MeasuredMethod], seed: int = 0) -> list[Recommendation]:
    """Return which method to use at which budget, in the order of the tokens that they cost.

    On the half of the questions that chooses, each is better than the one before by at least half a point, and the 95%
    interval of the difference excludes 0. The list is empty if there are fewer than two questions. pass@N is never
    recommended: without the gold answer nobody knows which sample is correct.
    """
    all_ids: set[str] = set()
    for method in measured:
        all_ids |= method.accuracy.keys()
    choosing_ids, reporting_ids = split_questions(all_ids, seed)
    candidates = []
    for method in measured:
        is_in_both = not choosing_ids.isdisjoint(method.accuracy) and not reporting_ids.isdisjoint(method.accuracy)
        if method.point["method"] != "pass" and is_in_both:
            candidates.append(method)
    chosen = _choose(candidates, choosing_ids, seed)
    greedy = next((method for method in candidates if method.point["method"] == "greedy"), None)
    return [_report(method, greedy, reporting_ids, seed) for method in chosen]


def split_questions(ids: set[str], seed: int) -> tuple[set[str], set[str]]:
    """Return the half of the questions on which methods are chosen, and the half on which they are reported."""
    ordered = sorted(ids, key=lambda question_id: hashlib.sha256(f"{seed} {question_id}".encode()).digest())
    middle = len(ordered) // 2
    return set(ordered[:middle]), set(ordered[middle:])


def _choose(candidates: Sequence[MeasuredMethod], ids: set[str], seed: int) -> list[MeasuredMethod]:
    """Return the methods that are worth their tokens on the questions `ids`, from cheap to expensive."""
    tokens = {id(method): _mean(method.tokens, ids) for method in candidates}
    by_cost = sorted(candidates, key=lambda method: (tokens[id(method)], -_mean(method.accuracy, ids)))
    chosen: list[MeasuredMethod] = []
    for method in by_cost:
        if not chosen:
            chosen.append(method)
        elif _is_better(method, chosen[-1], ids, seed):
            if tokens[id(method)] <= SAME_COST_FACTOR * tokens[id(chosen[-1])]:
                chosen.pop()
            chosen.append(method)
    return chosen


def _is_better(method: MeasuredMethod, other: MeasuredMethod, ids: set[str], seed: int) -> bool:
    """Return whether a method is better than a cheaper one by more than chance, on the questions that both have."""
    gain = _difference(method, other, ids, seed)
    return gain is not None and gain["difference"] >= MIN_IMPROVEMENT and gain["low"] > 0


def _difference(method: MeasuredMethod, other: MeasuredMethod, ids: set[str], seed: int) -> dict[str, float] | None:
    shared_ids = sorted(ids & method.accuracy.keys() & other.accuracy.keys())
    if not shared_ids:
        return None
    return paired_difference(_values(method.accuracy, shared_ids), _values(other.accuracy, shared_ids), seed=seed)


def _report(method: MeasuredMethod, greedy: MeasuredMethod | None, ids: set[str], seed: int) -> Recommendation:
    """Return a method with its figures on the questions `ids`."""
    measured_ids = sorted(ids & method.accuracy.keys())
    accuracy = _values(method.accuracy, measured_ids)
    low, high = bootstrap_interval(accuracy, seed=seed)
    return {
        "method": method_option(method.point),
        "name": describe_point(method.point),
        "tokens": _mean(method.tokens, ids),
        "accuracy": float(accuracy.mean()),
        "low": low,
        "high": high,
        "over_greedy": None if greedy is None else _difference(method, greedy, ids, seed),
        "questions": len(measured_ids),
    }


def _values(value_by_id: Mapping[str, float], ids: Sequence[str]) -> np.ndarray:
    return np.array([value_by_id[question_id] for question_id in ids])


def _mean(value_by_id: Mapping[str, float], ids: set[str]) -> float:
    return float(_values(value_by_id, sorted(ids & value_by_id.keys())).mean())


def method_option(point: ScalingPoint) -> str:
    """Return a method with its settings as `r1kit answer --method` takes it, such as `stop@16,by=verifier,sure=0.9`."""
    method = point["method"]
    if method == "greedy":
        return "greedy"
    if method in ("pass", "vote") and point["samples"] == 1:
        return "sample"
    count = point["at"] if point["at"] is not None else point["samples"]
    option = f"{method}@{count}"
    if point["score"] and method in ("vote", "best", "stop"):
        option += f",by={point['score']}"
    if point["sure"]:
        option += f",sure={point['sure']:g}"
    return option


def format_recommendations(recommended: Sequence[Recommendation]) -> str:
    """Return the table of what to use, for the terminal."""
    if not recommended:
        return "What to use: too few questions have a verdict to choose on one half and to report on the other."
    questions = max(row["questions"] for row in recommended)
    rows = []
    for row in recommended:
        gain = row["over_greedy"]
        over_greedy = "-"
        if gain is not None and row["method"] != "greedy":
            over_greedy = f"{100 * gain['difference']:+.1f} ({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f})"
        interval = f"{100 * row['low']:.1f} to {100 * row['high']:.1f}"
        cells = [f"{row['tokens']:.0f}", f"{100 * row['accuracy']:.1f}", interval, over_greedy, row["method"]]
        rows.append([*cells, row["name"]])
    title = (
        "What to use, by the tokens that a question may cost (chosen on one half of the questions, reported on the "
        f"other {questions}):"
    )
    headers = ["tokens", "accuracy, %", "95% interval", "over greedy", "--method", "in words"]
    return f"{title}\n{format_table(headers, rows)}"
