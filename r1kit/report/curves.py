"""The curves of a run, for the page of `r1kit report`: its metrics by step, thinned where a run is long."""

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r1kit.report.result_files import FiniteNumber
from r1kit.runs.reading import Count, is_valid, read_json_lines

MAX_CURVE_POINTS = 1500  # more than the pixels of a chart's width
# A metric logged at most this often, such as a held-out loss, keeps all its points when a long run is thinned.
RARE_METRIC_POINTS = MAX_CURVE_POINTS // 4


def read_curves(file: Path) -> dict[str, list[Any]]:
    """Return the metrics of metrics.jsonl by their names, and `step`; None where a step has no value.

    A run of more than `MAX_CURVE_POINTS` steps is thinned; metrics that are seldom logged keep all their points.
    """
    values_by_step: dict[int, dict[str, Any]] = {}
    for line in read_json_lines(file):
        if is_valid(line.get("step"), Count):
            values_by_step.setdefault(line["step"], {}).update(line)
    steps = thin_steps(values_by_step)
    metrics: dict[str, None] = {}  # a set that keeps the order of the log
    for step in steps:
        metrics.update(dict.fromkeys(values_by_step[step]))
    curves: dict[str, list[Any]] = {"step": steps}
    for metric in metrics:
        values = [finite_number(values_by_step[step].get(metric)) for step in steps]
        if metric != "step" and any(value is not None for value in values):
            curves[metric] = values
    return curves if steps else {}


def thin_steps(values_by_step: Mapping[int, Mapping[str, Any]]) -> list[int]:
    """Return the steps to show: all of a short run, about `MAX_CURVE_POINTS` of a long one."""
    steps = sorted(values_by_step)
    interval = math.ceil(len(steps) / MAX_CURVE_POINTS)
    if interval <= 1:
        return steps
    logged_steps = Counter[str]()
    for values in values_by_step.values():
        logged_steps.update(values.keys())
    rare_metrics = {metric for metric, count in logged_steps.items() if count <= RARE_METRIC_POINTS}
    thinned = []
    for i, step in enumerate(steps):
        if i % interval == 0 or step == steps[-1] or rare_metrics & values_by_step[step].keys():
            thinned.append(step)
    return thinned


def finite_number(value: Any) -> float | None:
    """Return a number as it is; None for anything else, infinities and NaN included."""
    return value if is_valid(value, FiniteNumber) else None
