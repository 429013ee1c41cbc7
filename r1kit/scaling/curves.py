"""Accuracy against tokens spent: each method's curve for one model, as data, a table and a picture."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from r1kit.answers.equivalence import cluster_answers, row_checker, voted_answer
from r1kit.data.filters import NO_ANSWER_FILTER
from r1kit.recipe import ScalingConfig
from r1kit.rows import Row
from r1kit.runs.files import atomic_file
from r1kit.scaling.estimators import (
    MethodEstimate,
    SampledProblem,
    bootstrap_interval,
    estimate_method,
    paired_difference,
    thinking_when_unsure,
)

Point = dict[str, Any]
NAMES = {
    "logprob": "mean log-probability",
    "length": "shortness",
    "verifier": "verifier",
    "preference": "reward model",
}
SEARCH = {"beam": "beam search under the verifier", "dvts": "tree search under the verifier (DVTS)"}


def gather_problems(rows: Iterable[Row], given: Mapping[str, Sequence[float]] | None = None) -> list[SampledProblem]:
    """Return the problems that sample rows are of, with what their samples can be chosen by.

    Scores, from 0 to 1: `length`, one over the tokens; `logprob`, the geometric mean of the tokens' probabilities,
    where all rows have it; and those `given` by their names, such as `verifier`, in the order of the rows. Samples
    without a verdict on their correctness are left out, and problems with fewer samples than others then.
    """
    given = given or {}
    groups: dict[str, list[tuple[Row, int]]] = defaultdict(list)
    for place, row in enumerate(rows):
        if row["correct"] is not None:
            groups[row["id"]].append((row, place))
    if not groups:
        return []
    most = max(map(len, groups.values()))
    whole = {name: group for name, group in groups.items() if len(group) == most}
    answers = [[voted_answer(row) for row, _ in group] for group in whole.values()]
    kinds = [row_checker(group[0][0]) for group in whole.values()]
    same = cluster_answers(answers, kinds)
    sampled = [row for group in whole.values() for row, _ in group if row.get("finish_reason") not in NO_ANSWER_FILTER]
    likely = bool(sampled) and all(row.get("logprob") is not None for row in sampled)
    found = []
    for (name, group), clustered in zip(whole.items(), same, strict=True):
        tokens = np.array([row["tokens"] for row, _ in group], float)
        scores = {"length": 1 / np.maximum(tokens, 1)}
        if likely:
            scores["logprob"] = np.exp([-np.inf if row["logprob"] is None else row["logprob"] for row, _ in group])
        scores |= {judge: np.array([values[place] for _, place in group]) for judge, values in given.items()}
        right = np.array([float(row["correct"]) for row, _ in group])
        found.append(SampledProblem(right, np.array(clustered), tokens, scores, name))
    return found


def scaling_points(
    problems: Sequence[SampledProblem], settings: ScalingConfig, seed: int = 0,
    forced: Sequence[tuple[tuple[str, int], Sequence[SampledProblem]]] = (),
) -> list[Point]:  # fmt: skip
    """Return a point for each method and number of samples: accuracy with its interval, and tokens a problem.

    `more` compares its accuracy with one sample's on the same problems. `forced` are the problems again with their
    thinking cut at a number of tokens (budget), made to go on a number of times (wait), answered straight away by a
    number of samples (direct), or searched along a number of paths (beam, dvts), which is `at` of the point.
    """
    count = len(problems[0])
    numbers = sorted({1, *(n for n in settings.samples or _powers(count) if n <= count)})
    scores = list(problems[0].scores)
    single = estimate_method(problems, "pass", 1)
    found: list[Point] = []

    def add(method: str, k: int, score: str | None = None, sure: float | None = None) -> None:
        one = estimate_method(problems, method, k, score, settings.draws, seed, sure or 1.0)
        keep(one, single, {"method": method, "score": score, "samples": k, "sure": sure, "at": None})

    def keep(one: MethodEstimate, against: MethodEstimate, what: dict[str, Any]) -> None:
        low, high = bootstrap_interval(one.accuracy, seed=seed)
        found.append(
            {
                **what,
                "accuracy": float(one.accuracy.mean()),
                "low": low,
                "high": high,
                "tokens": float(one.tokens.mean()),
                "more": paired_difference(one.accuracy, against.accuracy, seed=seed),
            }
        )

    for k in numbers:
        add("pass", k)
        add("vote", k)
        for score in scores if k > 1 else ():
            add("vote", k, score)
            add("best", k, score)
    weigh = "verifier" if "verifier" in scores else None
    for sure in settings.sure:
        add("stop", numbers[-1], weigh, sure)
    for (method, at), changed in forced:
        if method == "direct":
            names = {p.id for p in changed} & {p.id for p in problems}
            quick, slow = (
                sorted((p for p in part if p.id in names), key=lambda p: p.id) for part in (changed, problems)
            )
            plain = estimate_method(slow, "pass", 1)
            by = "logprob" if "logprob" in quick[0].scores else None
            for sure in settings.sure:
                one = thinking_when_unsure(quick, slow, sure, by)
                keep(one, plain, {"method": method, "score": by, "samples": 1, "sure": sure, "at": at})
            continue
        both = {p.id for p in problems} & {p.id for p in changed}
        before, after = ([p for p in part if p.id in both] for part in (problems, changed))
        if method in SEARCH:  # a vote of the paths that are left over
            one = estimate_method(after, "vote", len(after[0]), "verifier")
            what = {"score": "verifier", "samples": at}
        else:
            one, what = estimate_method(after, "pass", 1), {"score": None, "samples": 1}
        keep(one, estimate_method(before, "pass", 1), {"method": method, "sure": None, "at": at, **what})
    return found


def _powers(count: int) -> list[int]:
    """Return 1, 2, 4 and so on up to `count`, and `count`."""
    return sorted({2**i for i in range(count.bit_length()) if 2**i <= count} | {count})


def method_label(point: Point) -> str:
    """Return what people call a method."""
    if point["method"] == "vote" and point["samples"] == 1:
        return "one sample"
    by = NAMES.get(point["score"], point["score"])
    return {
        "pass": "one of N is right (pass@N)",
        "vote": f"vote weighted by {by}" if by else "vote",
        "best": f"best of N by {by}",
        "stop": f"vote, stopped when sure{f' (weighted by {by})' if by else ''}",
        "direct": "thinking only when unsure",
        "budget": "one sample, thinking cut at a budget",
        "wait": "one sample, made to think on",
        **SEARCH,
    }[point["method"]]


def _whole(point: Point) -> str:
    """Return a method with its settings."""
    number = f", N {point['samples']}" if point["samples"] > 1 else ""
    sure = f", sure {point['sure']:g}" if point["sure"] else ""
    times = {
        "direct": f", {point['at']} direct answers first",
        "budget": f" of {point['at']} tokens",
        "wait": f", {point['at']} times",
    }.get(point["method"], "")
    return method_label(point) + number + sure + times


def recommend_methods(found: Sequence[Point]) -> list[Point]:
    """Return what to use at which budget: from one sample on, each further method that is better by half a point.

    In the order of what they spend. pass@N is none, since nobody knows which sample is right.
    """
    lines: list[Point] = []
    for point in sorted(found, key=lambda p: (p["tokens"], -p["accuracy"])):
        better = bool(lines) and point["accuracy"] >= lines[-1]["accuracy"] + 0.005
        if method_label(point) == "one sample" or (better and point["method"] != "pass"):
            lines.append(point)
    return lines


def format_points(name: str, found: Sequence[Point]) -> str:
    """Return the points as text, a line a method, a column a number of samples; and what to use at which budget."""
    numbers = sorted({p["samples"] for p in found if p["method"] in ("pass", "vote", "best")})
    methods = dict.fromkeys(method_label(p) for p in found if p["method"] in ("pass", "vote", "best"))
    lines = [[f"{name}: accuracy by N", *map(str, numbers)]]
    for method in methods:
        cells = {p["samples"]: f"{100 * p['accuracy']:.1f}" for p in found if method_label(p) == method}
        lines.append([method, *(cells.get(n, "") for n in numbers)])
    tokens = {p["samples"]: f"{p['tokens']:.0f}" for p in found if p["method"] == "pass"}
    lines.append(["tokens a question", *(tokens[n] for n in numbers)])
    widths = [max(len(row[i]) for row in lines) for i in range(len(lines[0]))]
    text = [
        "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in lines
    ]
    for point in (p for p in found if p["method"] in ("stop", "direct", "budget", "wait", *SEARCH)):
        text.append(f"{_whole(point)}: {100 * point['accuracy']:.1f} for {point['tokens']:.0f} tokens")
    text.append("What to use, by the tokens that a question may cost:")
    for point in recommend_methods(found):
        spread = f"{100 * point['low']:.1f} to {100 * point['high']:.1f}"
        text.append(f"{point['tokens']:>6.0f}  {100 * point['accuracy']:.1f} ({spread})  {_whole(point)}")
    return "\n".join(text)


COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999"]  # Okabe and Ito's


def draw_curves(name: str, found: Sequence[Point], file: Path) -> None:
    """Draw accuracy against tokens a question, a curve a method with its 95% band, as PNG and SVG beside each other."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    curves: dict[str, list[Point]] = defaultdict(list)
    for point in found:
        if method_label(point) != "one sample":
            curves[method_label(point)].append(point)
    figure, axes = pyplot.subplots(figsize=(8.5, 5.2), layout="constrained")
    colours = iter(COLOURS)
    first = [p for p in found if method_label(p) == "one sample"]  # every curve begins with one sample
    for method, line in sorted(curves.items(), key=lambda item: -item[1][-1]["accuracy"]):
        line = sorted([*(p for p in first if p not in line), *line], key=lambda p: p["tokens"])
        oracle = line[-1]["method"] == "pass"
        colour = "#aaaaaa" if oracle else next(colours, "#444444")
        x, y = [p["tokens"] for p in line], [100 * p["accuracy"] for p in line]
        style: dict[str, Any] = {"linestyle": ":", "marker": None} if oracle else {"marker": "o", "markersize": 4}
        if line[-1]["method"] == "stop":
            style["linestyle"] = "--"
        if method == "vote":  # what others often fall on
            style["zorder"] = 5
        axes.plot(x, y, label=method, color=colour, **style)
        if not oracle:
            low, high = [100 * p["low"] for p in line], [100 * p["high"] for p in line]
            axes.fill_between(x, low, high, color=colour, alpha=0.1, linewidth=0)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set(xlabel="tokens a question", ylabel="right, %", title=name)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for kind in ("png", "svg"):
        with atomic_file(file.with_suffix(f".{kind}")) as temporary:
            figure.savefig(temporary, format=kind, dpi=150)
    pyplot.close(figure)
