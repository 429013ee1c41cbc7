"""The figures of benchmarks: computed from samples, shown beside published ones.

with_protocol(recipe, recipe.suite["aime24"])        the recipe that samples one benchmark
figures_of("aime24", "my-model", rows)               pass@1 and cons@k of its samples, with their intervals
format_figures(figures)                              the table that `r1kit eval --suite` prints
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from r1kit.answers.extract import final_reply
from r1kit.recipe import EvalRecipe
from r1kit.recipe.rewards import Answers
from r1kit.recipe.suite import SAMPLING_FIELDS, BenchmarkConfig
from r1kit.rewards.instructions import BrokenInstructionError, follow_all, read_instructions
from r1kit.rows import Row
from r1kit.sampling.statistics import interval_half_width, mean_or_none, vote_accuracies
from r1kit.suites import BENCHMARKS, Benchmark
from r1kit.tables import format_table

SHOWN_FIRST = ("DeepSeek-R1", "DeepSeek-R1-Zero", "DeepSeek-R1-Distill-Qwen-1.5B")
"""Models whose published figures the table shows before those of others."""
SHOWN_PUBLISHED = 3
"""Published figures of one line of the table; `eval.json` has all."""


@dataclass(frozen=True)
class Figure:
    """One figure of a model on a benchmark. Scores are fractions between 0 and 1, published ones percents."""

    model: str
    benchmark: str
    metric: str
    score: float | None
    interval: float | None
    """Half the width of the 95% interval over questions; None where it is not known."""
    questions: int | None
    samples: int | None
    """Completions of each question; None where it is not known."""
    program: str = "r1kit"
    """What measured it, such as `lm-eval 0.4.13`."""
    published: dict[str, float] = field(default_factory=dict)
    """Percent by model, as reports have it for this metric."""
    sources: list[str] = field(default_factory=list)
    """Where the published figures stand."""

    def as_json(self) -> dict[str, Any]:
        """Return the figure as `eval.json` has it."""
        return asdict(self)


def with_protocol(recipe: EvalRecipe, config: BenchmarkConfig) -> EvalRecipe:
    """Return a recipe of `eval` with the sampling and the answer forms of one benchmark."""
    changes = {name: getattr(config, name) for name in SAMPLING_FIELDS}
    sampling = recipe.sampling.model_copy(update=changes)
    return recipe.model_copy(update={"sampling": sampling, "answers": config.answers})


def figures_of(name: str, model: str, rows: Sequence[Row], answers: Answers = "any") -> list[Figure]:
    """Return the figures of a benchmark from the samples of a model; samples without a verdict do not count."""
    benchmark = BENCHMARKS[name]
    figures = []
    questions = len({row["id"] for row in rows})
    samples = max((row["sample"] + 1 for row in rows), default=0)
    for metric in benchmark.metrics:
        scores = _scores_by_question(metric, rows, answers)
        # The paper of IFEval counts instructions, of which a prompt may have several.
        is_by_question = not metric.startswith("instruction")
        if is_by_question:
            values = [sum(group) / len(group) for group in scores]
        else:
            values = list(chain.from_iterable(scores))
        interval = interval_half_width(values) if is_by_question else None
        published, sources = published_figures(benchmark, metric)
        figure = Figure(
            model,
            name,
            metric,
            mean_or_none(values),
            interval,
            questions,
            samples,
            published=published,
            sources=sources,
        )
        figures.append(figure)
    return figures


def published_figures(benchmark: Benchmark, metric: str) -> tuple[dict[str, float], list[str]]:
    """Return the published percents of a benchmark's metric by model, and their sources."""
    reports = [report for report in benchmark.published if report.metric == metric]
    scores: dict[str, float] = {}
    for report in reports:
        scores |= report.scores
    return scores, list(dict.fromkeys(report.source for report in reports))


def _scores_by_question(metric: str, rows: Sequence[Row], answers: Answers) -> list[list[float]]:
    """Return the scores of a metric, in a list for each question: of its samples, of its vote, or of instructions."""
    if metric == "cons@k":  # the published name of vote@k
        return [[accuracy] for accuracy in vote_accuracies(rows, answers).values()]
    groups: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row["correct"] is not None:
            groups[row["id"]] += _sample_scores(metric, row)
    return [scores for scores in groups.values() if scores]


def _sample_scores(metric: str, row: Row) -> list[float]:
    """Return the scores of one sample: one, or one for each of its instructions."""
    if metric == "pass@1":
        return [float(row["correct"])]
    try:
        instructions = read_instructions(row["metadata"])
        followed = follow_all(instructions, final_reply(row["completion"]), loose=metric.endswith("loose"))
    except BrokenInstructionError:  # such a row has no verdict either
        return []
    return [float(all(followed))] if metric.startswith("prompt") else list(map(float, followed))


def format_figures(figures: Iterable[Figure], width: int | None = None) -> str:
    """Return figures as a table: a line for each benchmark and metric, a column for each model and program.

    Scores are percents with half their 95% interval. The last column has some of the published figures, those of the
    measured models first; the lines under the table say where they stand, and where r1kit's scoring is another.
    """
    figures = list(figures)
    by_line: dict[tuple[str, str], dict[str, Figure]] = defaultdict(dict)
    for figure in figures:
        column = figure.model if figure.program == "r1kit" else f"{figure.model} by {figure.program}"
        by_line[figure.benchmark, figure.metric][column] = figure
    all_columns: dict[str, None] = {}  # a set that keeps its order
    for line in by_line.values():
        all_columns |= dict.fromkeys(line)
    columns = list(all_columns)
    headers = ["benchmark", "metric", "questions", "k", *columns, "published"]
    table, sources = [], []
    for (benchmark, metric), line in by_line.items():
        first = next(iter(line.values()))
        cells = [benchmark, metric, _count(first.questions), _count(first.samples)]
        cells += [_format_score(line.get(column)) for column in columns]
        published = next((figure.published for figure in line.values() if figure.published), {})
        cells.append(_format_published(published, [figure.model for figure in line.values()]))
        table.append(cells)
        for figure in line.values():
            sources += [f"{benchmark}: {source}" for source in figure.sources]
    text = format_table(headers, table, right=[*headers[2:4], *columns], width=width, wrap=("published",))
    notes = _group_sources(sources)
    for benchmark in dict.fromkeys(figure.benchmark for figure in figures if figure.program == "r1kit"):
        departures = BENCHMARKS[benchmark].departures if benchmark in BENCHMARKS else ""
        if departures:
            notes.append(f"{benchmark} departs from its protocol: {departures}")
    return "\n".join([text, *notes])


def _count(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"


def _format_score(figure: Figure | None) -> str:
    if figure is None or figure.score is None:
        return "-"
    text = f"{100 * figure.score:.1f}"
    return text if figure.interval is None else f"{text} ±{100 * figure.interval:.1f}"


def _format_published(published: dict[str, float], models: Sequence[str]) -> str:
    """Return some published figures: of the measured models, then of those in SHOWN_FIRST, then of others."""
    model_names = {Path(model).name for model in models}
    own = [name for name in published if name in model_names]
    order = dict.fromkeys([*own, *(name for name in SHOWN_FIRST if name in published), *published])
    return ", ".join(f"{name} {published[name]:.1f}" for name in list(order)[:SHOWN_PUBLISHED])


def _group_sources(entries: Sequence[str]) -> list[str]:
    """Return a line for each source of published figures, with the benchmarks that it has figures of."""
    benchmarks: dict[str, dict[str, None]] = defaultdict(dict)
    for entry in entries:
        benchmark, _, source = entry.partition(": ")
        benchmarks[source][benchmark] = None
    return [f"published in {source}: {', '.join(names)}" for source, names in benchmarks.items()]
