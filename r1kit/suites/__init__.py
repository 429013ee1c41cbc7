"""Benchmarks by name: the one table of what `r1kit eval --suite` can measure, and by which protocol.

    r1kit eval MODEL --suite math500,gpqa-diamond      two benchmarks
    r1kit eval MODEL --suite r1                        those of the R1 report that rules can judge
    r1kit eval MODEL --suite math500=rows.jsonl        a local file or folder in the place of the set on the hub

This package holds descriptions alone, since recipes are checked before anything heavy is loaded.
r1kit/data/benchmarks.py reads the problems.
"""

from r1kit.errors import UserError
from r1kit.suites.benchmark import Benchmark
from r1kit.suites.code import CODE
from r1kit.suites.instructions import INSTRUCTIONS
from r1kit.suites.knowledge import KNOWLEDGE
from r1kit.suites.mathematics import MATHEMATICS

BENCHMARKS: dict[str, Benchmark] = MATHEMATICS | KNOWLEDGE | CODE | INSTRUCTIONS
"""Every benchmark by its name."""

SUITES: dict[str, tuple[str, ...]] = {
    "r1": (
        "mmlu",
        "mmlu-redux",
        "mmlu-pro",
        "ifeval",
        "gpqa-diamond",
        "livecodebench",
        "aime24",
        "math500",
        "ceval",
    ),
    "mathematics": tuple(MATHEMATICS),
}
"""Names that stand for several benchmarks; `r1` is the table of the R1 report (arXiv 2501.12948)."""

LEFT_OUT_OF_R1 = {
    "DROP": "its figure is by three examples in the prompt, which the report shortens",
    "SimpleQA, FRAMES, C-SimpleQA": "a model judges their answers",
    "AlpacaEval 2.0, ArenaHard": "a model compares two replies",
    "Codeforces": "contests rate a model against people",
    "SWE-bench Verified, Aider-Polyglot": "a model works in repositories, with tools",
    "CNMO 2024": "the report names no data set of its problems",
    "CLUEWSC": "the report says that it asks without examples, and shows a prompt with five",
}
"""Sets of the R1 report's table that the suite `r1` does not have, and why."""


def expand_suite(names: str | list[str]) -> dict[str, dict[str, str]]:
    """Return the benchmarks of a suite by name, each with the `path` that stands in for its set, if any.

    expand_suite("aime24,math500=rows.jsonl")     {"aime24": {}, "math500": {"path": "rows.jsonl"}}

    Raises UserError for one path in the place of several sets.
    """
    entries = names.split(",") if isinstance(names, str) else names
    benchmarks: dict[str, dict[str, str]] = {}
    for entry in entries:
        name, equals_sign, path = str(entry).strip().partition("=")
        if equals_sign and not path:
            raise UserError("suite", entry, "names no path after =", f"write {name}=FILE, or {name} alone")
        if path and name in SUITES:
            requirement = f"{name} is several benchmarks, which one path cannot all stand in for"
            raise UserError("suite", entry, requirement, "name each benchmark with its own path")
        for member in SUITES.get(name, (name,)):
            benchmarks.setdefault(member, {})
        if path:
            benchmarks[name] = {"path": path}
    return benchmarks


def suite_name(benchmarks: list[str]) -> str:
    """Return a short name of some benchmarks: of a suite, of one or two, or of the first with the number of others."""
    for name, members in SUITES.items():
        if sorted(members) == sorted(benchmarks):
            return name
    if len(benchmarks) <= 2:
        return "-".join(benchmarks)
    return f"{benchmarks[0]}-and-{len(benchmarks) - 1}-more"
