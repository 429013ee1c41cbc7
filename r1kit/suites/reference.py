"""Describe all benchmarks as a page in Markdown, for the documents."""

from r1kit.suites import BENCHMARKS, LEFT_OUT_OF_R1, SUITES
from r1kit.suites.benchmark import Benchmark


def benchmark_reference() -> str:
    """Return a page with the protocol, the sources and the published figures of each benchmark."""
    lines = [
        "# Benchmarks",
        "",
        "What `r1kit eval --suite NAME` measures ([how to](../how-to/benchmarks.md)). A suite stands for several:",
        "",
        "| suite | benchmarks |",
        "| --- | --- |",
        *[f"| `{name}` | `{'`, `'.join(members)}` |" for name, members in SUITES.items()],
        "",
        "`r1` is the table of the R1 report (arXiv 2501.12948), as far as rules can judge its sets. It leaves out:",
        "",
        "| left out | reason |",
        "| --- | --- |",
        *[f"| {names} | {reason} |" for names, reason in LEFT_OUT_OF_R1.items()],
    ]
    for name, benchmark in BENCHMARKS.items():
        lines += ["", *_section(name, benchmark)]
    return "\n".join(lines) + "\n"


def _section(name: str, benchmark: Benchmark) -> list[str]:
    """Return the lines on one benchmark."""
    lines = [
        f"## `{name}`",
        "",
        f"{benchmark.title}. {benchmark.citation}.",
        "",
        "| | |",
        "| --- | --- |",
        f"| set | `{benchmark.path}`{_configs(benchmark)}, split `{benchmark.split}` |",
    ]
    if benchmark.where:
        conditions = [f"{column} = {_shortened(values)}" for column, values in benchmark.where]
        lines.append(f"| rows | {'; '.join(conditions)} |")
    if benchmark.dates:
        lines.append(f"| rows | contests from {benchmark.dates[0]} to {benchmark.dates[1]} |")
    lines += [
        f"| sampling | k = {benchmark.samples}, temperature {benchmark.temperature:g}, top_p {benchmark.top_p:g}, "
        f"at most {benchmark.max_tokens:,} tokens |",
        f"| metrics | {', '.join(benchmark.metrics)} |",
        f"| scoring | {benchmark.scoring} |",
        f"| protocol | {benchmark.protocol}. |",
        *([f"| departures | {benchmark.departures}. |"] if benchmark.departures else []),
        "",
        "```text",
        benchmark.prompt,
        "```",
    ]
    if benchmark.function_prompt:
        lines += ["", "With starter code:", "", "```text", benchmark.function_prompt, "```"]
    if benchmark.published:
        lines += ["", "| published, percent | source |", "| --- | --- |"]
    for report in benchmark.published:
        scores = ", ".join(f"{model} {score:g}" for model, score in report.scores.items())
        lines.append(f"| {report.metric}: {scores} | {report.source} |")
    return lines


def _configs(benchmark: Benchmark) -> str:
    return f" ({_shortened(benchmark.configs)})" if benchmark.configs else ""


def _shortened(names: tuple[str, ...]) -> str:
    """Return up to three names, or the first with the number of the others."""
    if len(names) <= 3:
        return ", ".join(names)
    return f"{names[0]} and {len(names) - 1} more"
