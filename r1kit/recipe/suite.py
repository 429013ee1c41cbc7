"""The block `suite`: benchmarks by name, each with its protocol, and what a recipe changes of it.

suite: r1                                          the benchmarks of the R1 report, by its protocol
suite: [aime24, math500=rows.jsonl]                two of them, one from a local file
suite: {aime24: {samples: 16}, math500: {}}        with a setting of one of them changed
"""

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator

from r1kit.errors import UserError, suggest
from r1kit.recipe.block import Block, DrawCount, PositiveFraction, PositiveInt, Seed, Temperature, expand_path
from r1kit.recipe.rewards import Answers
from r1kit.suites import BENCHMARKS, SUITES, expand_suite

SAMPLING_FIELDS = ("samples", "temperature", "top_p", "max_tokens")
"""Fields of a benchmark that the recipe's `sampling` sets for all benchmarks."""
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


class BenchmarkConfig(Block):
    """One benchmark of `suite`. What is not set is taken from its published protocol (r1kit/suites)."""

    path: str
    """Where the problems are read from: a hub id, or a local file or folder in the columns of the set on the hub."""
    names: list[str] = []
    """Configurations of the set on the hub, all of which are read; empty for its only one."""
    split: str | None = None
    """Split to read; null for a local file."""
    rows: PositiveInt | None = None
    """Number of problems to take, drawn at random with `seed`; default: all."""
    seed: Seed = 0
    """Seed of drawing `rows`, and of shuffling choices where the right one always comes first, as in GPQA."""
    where: dict[str, list[str]] = {}
    """Rows of the set that belong to the benchmark, as column: allowed values."""
    dates: Annotated[list[str], Field(min_length=2, max_length=2)] | None = None
    """First and last day, as [2024-08-01, 2025-01-31]: only problems whose `contest_date` lies between are asked."""
    prompt: str
    """What the model is asked: a text with {question} in it. The template of the recipe's `prompt` goes around it."""
    function_prompt: str = ""
    """What is asked in place of `prompt` for a programming problem that has starter code, with {question} and
    {starter_code} in it; empty: `prompt`, with the starter code after the question."""
    samples: DrawCount
    """Number of completions of each problem; a `sampling.samples` of the recipe sets it for all benchmarks."""
    temperature: Temperature
    """As `sampling.temperature`, which sets it for all benchmarks."""
    top_p: PositiveFraction
    """As `sampling.top_p`, which sets it for all benchmarks."""
    max_tokens: PositiveInt
    """As `sampling.max_tokens`, which sets it for all benchmarks."""
    answers: Answers = "any"
    """Which forms of an answer are read, as the recipe's `answers`, which sets it for all benchmarks."""

    _expand_path = field_validator("path")(expand_path)

    @field_validator("prompt")
    @classmethod
    def _check_prompt(cls, prompt: str) -> str:
        if "{question}" not in prompt:
            raise ValueError("must be a text with {question} in it")
        return prompt

    @field_validator("dates", mode="before")
    @classmethod
    def _check_dates(cls, dates: Any) -> Any:
        if not isinstance(dates, list | tuple):
            return dates
        texts = [str(day) for day in dates]  # YAML reads a bare 2024-08-01 as a date
        if not all(map(_DAY.fullmatch, texts)):
            raise ValueError("must be two days, such as [2024-08-01, 2025-01-31]")
        return texts


def normalise_suite(suite: Any) -> Any:
    """Return a recipe's `suite` as a mapping from each benchmark to its settings; other values as they are.

    "aime24,math500=rows.jsonl" becomes {"aime24": {}, "math500": {"path": "rows.jsonl"}}
    """
    if isinstance(suite, str | list):
        return expand_suite(suite)
    if not isinstance(suite, dict):
        return suite
    normalised: dict[Any, Any] = {}
    for name, settings in suite.items():
        if isinstance(settings, str) and name in SUITES:
            requirement = f"{name} is several benchmarks, which one path cannot all stand in for"
            raise UserError(f"suite.{name}", settings, requirement, "name each benchmark with its own path")
        if settings is not None and not isinstance(settings, str | dict):
            action = f"write for example suite.{name}.samples=4"
            raise UserError(f"suite.{name}", settings, "must be a path or a mapping of settings", action)
        own = {"path": settings} if isinstance(settings, str) else settings or {}
        for member in SUITES.get(name, (name,)):
            earlier = normalised.get(member, {})
            # What is set for one benchmark comes before what is set for a whole suite, in any order.
            normalised[member] = {**own, **earlier} if name in SUITES else {**earlier, **own}
    return normalised


def complete_suite(suite: Any, sampling: Any, answers: Any) -> Any:
    """Return a recipe's `suite` with every setting of each benchmark: its own, that of all, or that of its protocol.

    `sampling` and `answers` are the recipe's values as the user wrote them. Raises UserError for a benchmark that the
    table does not have.
    """
    normalised = normalise_suite(suite)
    if not isinstance(normalised, dict):
        requirement = "must be names of benchmarks, such as [aime24, math500]"
        raise UserError("suite", suite, requirement, "correct it")
    common = {name: sampling[name] for name in SAMPLING_FIELDS if isinstance(sampling, dict) and name in sampling}
    if answers is not None:
        common["answers"] = answers
    completed = {}
    for name, settings in normalised.items():
        if name not in BENCHMARKS:
            field, value = (f"suite.{name}", settings) if settings else ("suite", name)
            action = suggest(str(name), [*BENCHMARKS, *SUITES])
            file = settings.get("path") if isinstance(settings, dict) else None
            if file:
                action = f"to measure on a file of your own, use --dataset {file}"
            raise UserError(field, value, "no such benchmark or suite", action)
        own_settings = settings if isinstance(settings, dict) else {}
        completed[name] = {**_protocol_of(name, own_settings.get("path")), **common, **own_settings}
    return completed


def _protocol_of(name: str, path: Any) -> dict[str, Any]:
    """Return the settings of a benchmark by its protocol; `path` is what stands in for its set on the hub, if anything.

    A local file has no split, and neither a file nor another set has the configurations of the one on the hub. A set
    that stands in is taken whole: what belongs to the benchmark was chosen by who made it.
    """
    benchmark = BENCHMARKS[name]
    is_own_set = path in (None, benchmark.path)
    is_file = isinstance(path, str) and Path(path).is_file()
    return {
        "path": benchmark.path,
        "names": list(benchmark.configs) if is_own_set else [],
        "split": None if is_file else benchmark.split,
        "where": {column: list(values) for column, values in benchmark.where} if is_own_set else {},
        "dates": list(benchmark.dates) if benchmark.dates and is_own_set else None,
        "prompt": benchmark.prompt,
        "function_prompt": benchmark.function_prompt,
        "samples": benchmark.samples,
        "temperature": benchmark.temperature,
        "top_p": benchmark.top_p,
        "max_tokens": benchmark.max_tokens,
    }
