"""Read the problems of a benchmark by name, and write them as its protocol asks them.

    load_benchmark("math500", recipe.suite["math500"])     500 problems with the prompt of the R1 report's protocol

The adapters (r1kit/data/adapters) read the columns. Their own instruction, such as "Answer with the letter of the
correct choice.", is taken off a prompt again, and the benchmark's stands in its place.
"""

from typing import TYPE_CHECKING, Any

from r1kit.data.adapters.choices import INSTRUCTION
from r1kit.data.adapters.code import COMPLETE_FUNCTION, STARTER_CODE, STDIO_INSTRUCTION
from r1kit.data.problems import fill_problem_columns
from r1kit.data.row_tables import compute_columns
from r1kit.data.sources import read_source
from r1kit.data.sources.column_types import align_chat_columns
from r1kit.data.sources.unify import concatenate_sources
from r1kit.errors import UserError
from r1kit.messages import logger
from r1kit.recipe import SourceConfig
from r1kit.recipe.suite import BenchmarkConfig
from r1kit.rows import Row
from r1kit.suites import BENCHMARKS

if TYPE_CHECKING:
    from datasets import Dataset

DATE_COLUMN = "contest_date"


def load_benchmark(name: str, config: BenchmarkConfig) -> "Dataset":
    """Return the problems of a benchmark with the columns that rewards need; `domain` is the benchmark's name.

    Every row of the set is a problem, also one that repeats another, since published figures count it. Raises UserError
    if the set cannot be read, if its rows are of another kind than the benchmark's, or if none is left.
    """
    field = f"suite.{name}"
    dataset = _read_rows(config, field)
    checkers = set(dataset.unique("checker")) if "checker" in dataset.column_names else {None}
    expected = BENCHMARKS[name].checker
    if checkers != {expected}:
        others = ", ".join(sorted(str(checker or "unknown") for checker in checkers - {expected}))
        requirement = f"needs rows that are judged by {expected}, and it has rows of another kind ({others})"
        action = f"use rows in the columns of {BENCHMARKS[name].path}"
        raise UserError(f"{field}.path", config.path, requirement, action)
    if config.dates is not None:
        dataset = _between_dates(dataset, config.dates, config.path, field)

    def ask(rows: list[Row], start: int) -> list[Row | None]:
        problems: list[Row | None] = []
        for offset, row in enumerate(rows):
            prompt = ask_by_protocol(str(row["prompt"]), config)
            problems.append({"id": f"{name}/{start + offset}", "prompt": prompt, "domain": name})
        return problems

    return fill_problem_columns(compute_columns(dataset, ask), None, field)


def _read_rows(config: BenchmarkConfig, field: str) -> "Dataset":
    """Return the rows of all configurations of the set, or as many of them as the recipe asks for."""
    parts = []
    config_names: list[str | None] = [*config.names] or [None]
    for config_name in config_names:
        values: dict[str, Any] = {"path": config.path, "name": config_name, "seed": config.seed}
        if config.split is not None:
            values["split"] = config.split
        parts.append(read_source(SourceConfig(**values, where=dict(config.where)), field))
    dataset = parts[0] if len(parts) == 1 else align_chat_columns(concatenate_sources(parts))
    if config.rows and config.rows < len(dataset):
        dataset = dataset.shuffle(seed=config.seed).select(range(config.rows))
    return dataset


def ask_by_protocol(prompt: str, config: BenchmarkConfig) -> str:
    """Return what a benchmark asks the model, from a prompt as an adapter writes it."""
    question, starter_code = split_prompt(prompt)
    if starter_code and config.function_prompt:
        return config.function_prompt.replace("{starter_code}", starter_code).replace("{question}", question)
    if starter_code:
        question += STARTER_CODE.format(starter_code)
    return config.prompt.replace("{question}", question)


def split_prompt(prompt: str) -> tuple[str, str]:
    """Return the question of an adapter's prompt without the adapter's instruction, and its starter code or "".

    split_prompt("2 + 2?\\n\\nA. 3\\nB. 4\\n\\nAnswer with the letter of the correct choice.")
    ("2 + 2?\\n\\nA. 3\\nB. 4", "")
    """
    for instruction in (INSTRUCTION, STDIO_INSTRUCTION.strip()):
        if prompt.endswith(instruction):
            return prompt.removesuffix(instruction).rstrip(), ""
    before, _, after = COMPLETE_FUNCTION.partition("{}")
    if prompt.startswith(before) and prompt.endswith(after):
        return prompt.removeprefix(before).removesuffix(after), ""
    before, _, after = STARTER_CODE.partition("{}")
    question, separator, code = prompt.rpartition(before)
    if separator and code.endswith(after):
        return question, code.removesuffix(after)
    return prompt, ""


def _between_dates(dataset: "Dataset", dates: list[str], path: str, field: str) -> "Dataset":
    """Return the problems of contests between two days, both included."""
    if DATE_COLUMN not in dataset.column_names:
        requirement = f"needs the column {DATE_COLUMN}, which {path} does not have"
        raise UserError(f"{field}.dates", dates, requirement, f"set {field}.dates=null")
    first, last = dates
    days = [str(day)[:10] for day in dataset[DATE_COLUMN]]
    chosen = [index for index, day in enumerate(days) if first <= day <= last]
    if not chosen:
        requirement = f"no problem of {path} is of these days; they go from {min(days)} to {max(days)}"
        raise UserError(f"{field}.dates", dates, requirement, "change the days")
    logger.info(f"{field}: {len(chosen)} of {len(days)} problems are of contests from {first} to {last}")
    return dataset.select(chosen)
