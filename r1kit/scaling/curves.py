"""Show the points of inference-time scaling: as a table on the terminal, and as a picture."""

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.runs.files import atomic_file
from r1kit.scaling.methods import ONE_SAMPLE, SEARCH_NAMES, ScalingPoint, describe_point, method_colour, short_setting
from r1kit.scaling.recommend import Recommendation, format_recommendations, method_option
from r1kit.tables import format_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Methods that are measured at several N of the same samples: the columns of the table.
METHODS_BY_N = ("pass", "vote", "best")
# Methods with a setting of their own: a line each under the table.
METHODS_BY_SETTING = ("greedy", "stop", "direct", "budget", "wait", *SEARCH_NAMES)
# The size of a label in the picture: doublings of the tokens, and accuracy. Closer points share one label.
LABEL_WIDTH, LABEL_HEIGHT = 0.35, 0.02


def format_points(model_name: str, points: Sequence[ScalingPoint], recommended: Sequence[Recommendation]) -> str:
    """Return the points as text: a table of accuracy (%) by N, the other methods, and what to use."""
    blocks = [_format_table_by_n(model_name, points)]
    for point in points:
        if point["method"] in METHODS_BY_SETTING:
            blocks.append(f"{describe_point(point)}: {_percent(point['accuracy'])} for {point['tokens']:.0f} tokens")
    blocks.append(format_recommendations(recommended))
    return "\n".join(blocks)


def _format_table_by_n(model_name: str, points: Sequence[ScalingPoint]) -> str:
    # Cells stay empty where a method was not measured, such as best of N at N = 1.
    points_by_n = [point for point in points if point["method"] in METHODS_BY_N]
    sample_counts = sorted({point["samples"] for point in points_by_n})
    headers = [f"{model_name}: accuracy by N", *map(str, sample_counts)]
    accuracy_by_method: dict[str, dict[int, str]] = defaultdict(dict)
    tokens_by_n: dict[int, str] = {}
    for point in points_by_n:
        accuracy_by_method[point["name"]][point["samples"]] = _percent(point["accuracy"])
        if point["method"] == "pass":
            tokens_by_n[point["samples"]] = f"{point['tokens']:.0f}"
    rows = []
    for method, accuracy_by_n in accuracy_by_method.items():
        rows.append([method, *(accuracy_by_n.get(count, "") for count in sample_counts)])
    rows.append(["tokens a question", *(tokens_by_n[count] for count in sample_counts)])
    return format_table(headers, rows, right=headers[1:])


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}"


def draw_curves(
    model_name: str, points: Sequence[ScalingPoint], recommended: Sequence[Recommendation], file: Path
) -> None:
    """Draw accuracy against tokens, a curve for each method, as `file` with the endings .png and .svg.

    Every method has the same colour in every picture. Each point is labelled with its N or its setting, and recommended
    ones have a ring. A curve connects measured points only; bands and bars are 95% intervals.
    """
    import matplotlib

    matplotlib.use("Agg")  # draws without a display
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(10, 6), layout="constrained")
    for curve in group_by_method(points):
        _draw_curve(axes, curve)
    _mark_recommended(axes, points, recommended)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("completion tokens spent on a question, on average (logarithmic)")
    axes.set_ylabel("questions answered correctly, in percent")
    axes.set_title(f"{model_name}: what more tokens at inference buy")
    axes.grid(alpha=0.25)
    _draw_legend(axes)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for suffix in ("png", "svg"):
        with atomic_file(file.with_suffix(f".{suffix}")) as temporary:
            figure.savefig(temporary, format=suffix, dpi=150)
    pyplot.close(figure)


def group_by_method(points: Sequence[ScalingPoint]) -> list[list[ScalingPoint]]:
    """Return the points of each method in the order of their tokens; the most accurate method comes first."""
    curves: dict[str, list[ScalingPoint]] = defaultdict(list)
    one_sample = [point for point in points if point["name"] == ONE_SAMPLE]
    for point in points:
        if point["name"] == ONE_SAMPLE:
            continue
        # Votes and best of N start at N = 1, where they are one sample. Other methods were not measured there.
        if point["method"] in ("vote", "best") and point["name"] not in curves:
            curves[point["name"]] += one_sample
        curves[point["name"]].append(point)
    # With N = 1 only, there is nothing but one sample.
    if not curves and one_sample:
        curves[ONE_SAMPLE] = one_sample
    # The legend is in this order too, so that names stand about where their curves end.
    ordered = [sorted(curve, key=lambda point: point["tokens"]) for curve in curves.values()]
    return sorted(ordered, key=lambda curve: -curve[-1]["accuracy"])


def _draw_curve(axes: "Axes", curve: Sequence[ScalingPoint]) -> None:
    """Draw one method: its points, the line through them, its interval, and the setting of each point."""
    method = curve[-1]["method"]
    colour = method_colour(method, curve[-1]["score"])
    tokens, accuracy, low, high = _columns_of(curve)
    style: dict[str, Any] = {"color": colour, "marker": "o", "markersize": 4, "linewidth": 1.4}
    if method == "pass":
        style["linestyle"] = ":"  # a bound, and not something that one can do
    elif method in ("stop", "direct"):
        style["linestyle"] = "--"
    if curve[-1]["name"] == "vote":
        style["zorder"] = 5  # on top: the curves of other votes often cover it
    axes.plot(tokens, accuracy, label=curve[-1]["name"], **style)
    if len(curve) > 1:
        axes.fill_between(tokens, low, high, color=colour, alpha=0.1, linewidth=0)
    else:
        axes.vlines(tokens, low, high, color=colour, linewidth=1, alpha=0.6)
    labelled: ScalingPoint | None = None
    for point in curve:
        is_free = labelled is None or not _is_close(point, labelled)
        if point["name"] != ONE_SAMPLE and is_free:
            _annotate(axes, point, short_setting(point), colour)
            labelled = point


def _columns_of(
    points: Sequence[ScalingPoint],
) -> tuple[list[float], list[float], list[float], list[float]]:
    """Return the tokens, the accuracy in percent, and the ends of its interval of each point."""
    tokens, accuracy, low, high = [], [], [], []
    for point in points:
        tokens.append(point["tokens"])
        accuracy.append(100 * point["accuracy"])
        low.append(100 * point["low"])
        high.append(100 * point["high"])
    return tokens, accuracy, low, high


def _is_close(point: ScalingPoint, other: ScalingPoint) -> bool:
    """Return whether the labels of two points of a curve would overlap."""
    width = abs(math.log2(point["tokens"]) - math.log2(other["tokens"]))
    height = abs(point["accuracy"] - other["accuracy"])
    return width < LABEL_WIDTH and height < LABEL_HEIGHT


def _mark_recommended(axes: "Axes", points: Sequence[ScalingPoint], recommended: Sequence[Recommendation]) -> None:
    """Draw a ring around each recommended point, and name the one that all curves start from."""
    options = {row["method"] for row in recommended}
    ringed = [point for point in points if point["method"] != "pass" and method_option(point) in options]
    tokens, accuracy, _, _ = _columns_of(ringed)
    axes.scatter(
        tokens,
        accuracy,
        s=90,
        facecolors="none",
        edgecolors="#222222",
        linewidths=1.3,
        zorder=6,
        label="recommended at this budget",
    )
    for point in points:
        if point["name"] == ONE_SAMPLE:
            _annotate(axes, point, f"{ONE_SAMPLE}, N = 1", "#222222", offset=(-4, -14))


def _annotate(axes: "Axes", point: ScalingPoint, text: str, colour: str, offset: tuple[float, float] = (4, 4)) -> None:
    """Write `text` beside a point; `offset` is in points (1/72 inch)."""
    position = (point["tokens"], 100 * point["accuracy"])
    axes.annotate(text, position, xytext=offset, textcoords="offset points", fontsize=6.5, color=colour)


def _draw_legend(axes: "Axes") -> None:
    from matplotlib.patches import Patch

    handles, labels = axes.get_legend_handles_labels()
    handles.append(Patch(color="#888888", alpha=0.3))
    labels.append("band or bar: 95% interval over questions")
    handles.append(Patch(alpha=0))
    labels.append("number at a point: N, or the method's setting")
    axes.legend(handles, labels, fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
