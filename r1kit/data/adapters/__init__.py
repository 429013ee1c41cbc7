"""Well-known data sets, brought to the columns of `r1kit.rows`; ADAPTERS is the one table of them.

An adapter is chosen by the columns of a data set, unless the recipe names one (`adapter: gsm8k`), names the columns
itself (`columns:`), or the data has r1kit's columns already. Rows that an adapter cannot use are dropped and counted:
problems whose answer no checker can judge, such as proofs.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from r1kit.data.adapters import code, finished, mathematics
from r1kit.data.batches import batch_rows
from r1kit.errors import UserError, suggest
from r1kit.messages import logger
from r1kit.recipe import SourceConfig
from r1kit.rows import ADAPTED_COLUMNS, COLUMNS_KEPT_BY_ADAPTERS, Row

if TYPE_CHECKING:
    from datasets import Dataset

ADAPT_BATCH_ROWS = 100
"""Rows that are adapted at once; few, since a problem of CodeContests has megabytes of tests."""
# What an adapter may raise on a row whose nested values are not as they should be.
MALFORMED_ROW_ERRORS = (ValueError, KeyError, TypeError, AttributeError, IndexError, SyntaxError, RecursionError)


def _always_fits(row: Row) -> bool:
    return True


@dataclass(frozen=True)
class Adapter:
    """How one data set, or several of one shape, are read."""

    columns: frozenset[str]
    """The data set is recognised by these columns, all of which it must have."""
    adapt_row: Callable[[Row], Row | None]
    """Returns a row in r1kit's columns, or None if it is of no use."""
    fits: Callable[[Row], bool] = _always_fits
    """Whether the first row looks right, for data sets that the columns alone do not tell apart."""
    general: bool = False
    """Whether many data sets have this shape, so that a row's own `checker`, `domain`, ... are kept."""


def _adapter(
    columns: str,
    adapt_row: Callable[[Row], Row | None],
    fits: Callable[[Row], bool] = _always_fits,
    general: bool = False,
) -> Adapter:
    return Adapter(frozenset(columns.split()), adapt_row, fits, general)


def _is_gsm8k(row: Row) -> bool:
    return "####" in str(row["answer"])


def _is_aime_2025(row: Row) -> bool:
    return set(row) == {"question", "answer"} and str(row["answer"]).strip().isdigit()


# Of the adapters that fit a data set, the one with the most columns is chosen.
ADAPTERS: dict[str, Adapter] = {
    "gsm8k": _adapter("question answer", mathematics.adapt_gsm8k, _is_gsm8k, general=True),
    "math": _adapter("problem solution level type", mathematics.adapt_boxed_solution),
    "math-500": _adapter("problem solution answer subject level unique_id", mathematics.adapt_problem_and_answer),
    "problem-answer": _adapter("problem answer", mathematics.adapt_problem_and_answer, general=True),
    "aime": _adapter("problem answer url year", mathematics.adapt_aime),
    "aime-2024": _adapter("ID Problem Answer", mathematics.adapt_capitalised_aime),
    "aime-1983-2024": _adapter("ID Question Answer", mathematics.adapt_capitalised_aime),
    "aime-2025": _adapter("question answer", mathematics.adapt_problem_and_answer, _is_aime_2025),
    "numina-math": _adapter("problem solution source messages", mathematics.adapt_boxed_solution),
    "numina-math-1.5": _adapter("problem solution answer problem_type question_type", mathematics.adapt_numina),
    "openr1-math": _adapter("problem solution answer problem_type question_type generations", mathematics.adapt_numina),
    "dapo-math": _adapter("prompt reward_model data_source", mathematics.adapt_dapo),
    "dapo-math-processed": _adapter("prompt solution source_prompt reward_model", mathematics.adapt_processed_dapo),
    "deepscaler": _adapter("problem answer solution", mathematics.adapt_problem_and_answer),
    "big-math": _adapter("problem answer source domain", mathematics.adapt_problem_and_answer),
    "humaneval": _adapter("task_id prompt canonical_solution test entry_point", code.adapt_humaneval),
    "mbpp": _adapter("task_id text code test_list", code.adapt_mbpp),
    "mbpp-sanitized": _adapter("task_id prompt code test_list test_imports", code.adapt_mbpp),
    "apps": _adapter("question solutions input_output starter_code", code.adapt_apps),
    "taco": _adapter("question solutions input_output starter_code skill_types", code.adapt_apps),
    "code-contests": _adapter("description public_tests private_tests generated_tests", code.adapt_code_contests),
    "codeforces": _adapter("description input_format output_format examples official_tests", code.adapt_codeforces),
    "leetcode": _adapter("task_id problem_description entry_point test", code.adapt_leetcode),
    "verifiable-coding": _adapter("verification_info in_source_id", code.adapt_verifiable_coding),
    "sky-t1": _adapter("system conversations", finished.adapt_conversation),
    "openthoughts": _adapter("problem deepseek_reasoning deepseek_solution", finished.adapt_openthoughts),
    "openthoughts3": _adapter("conversations", finished.adapt_conversation),
    "s1k": _adapter("question solution thinking_trajectories attempt cot_type", finished.adapt_s1k),
    "s1k-1.1": _adapter("question deepseek_thinking_trajectory deepseek_attempt", finished.adapt_s1k_1_1),
    "mixture-of-thoughts": _adapter("messages num_tokens source", finished.adapt_messages),
    "o1-journey": _adapter("question answer longCOT", finished.adapt_o1_journey),
}


def adapt_columns(dataset: "Dataset", source: SourceConfig, field: str) -> "Dataset":
    """Return `dataset` in r1kit's columns if it is a known one, else as it is.

    Raises UserError for an adapter that does not exist or does not fit, and if no row can be used.
    """
    # "none" is the recipe's way to say that the columns stay as they are.
    name = source.adapter or _find_adapter(dataset, source)
    if name is None or name == "none":
        return dataset
    if name not in ADAPTERS:
        raise UserError(f"{field}.adapter", name, "no such adapter", suggest(name, ADAPTERS))
    adapter = ADAPTERS[name]
    missing = sorted(adapter.columns - set(dataset.column_names))
    if missing:
        requirement = f"reads {', '.join(missing)}, which the data does not have"
        action = f"use one that fits its columns: {', '.join(dataset.column_names)}"
        raise UserError(f"{field}.adapter", name, requirement, action)
    return _adapt_rows(dataset, name, adapter, field)


def _find_adapter(dataset: "Dataset", source: SourceConfig) -> str | None:
    """Return the name of the adapter with the most columns among those that fit, None if none is needed or fits."""
    names = set(dataset.column_names)
    if source.columns or len(dataset) == 0:
        return None
    first_row = dataset[0]
    fitting = [name for name, adapter in ADAPTERS.items() if adapter.columns <= names and adapter.fits(first_row)]
    if "prompt" in names and names & {"answer", "tests", "completion"}:
        # The data may be in r1kit's columns already: `problem` and `question` do not show that it is not.
        fitting = [name for name in fitting if not ADAPTERS[name].columns & {"problem", "question"}]
    elif "messages" in names:
        # SFT reads messages as they are: two columns do not show that they need adapting.
        fitting = [name for name in fitting if len(ADAPTERS[name].columns) > 2]
    return max(fitting, key=lambda name: len(ADAPTERS[name].columns), default=None)


def _adapt_rows(dataset: "Dataset", name: str, adapter: Adapter, field: str) -> "Dataset":
    """Return the rows that the adapter can use, without columns that are empty in all of them."""
    import datasets

    columns = list(ADAPTED_COLUMNS)
    if adapter.general:
        columns += [column for column in COLUMNS_KEPT_BY_ADAPTERS if column not in columns]

    def adapt_batch(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        adapted_rows = []
        for row in batch_rows(batch):
            if adapted_row := _adapt_row(adapter, row):
                adapted_rows.append(adapted_row)
        return {column: [_as_text(row.get(column)) for row in adapted_rows] for column in columns}

    adapted = dataset.map(
        adapt_batch,
        batched=True,
        batch_size=ADAPT_BATCH_ROWS,
        remove_columns=dataset.column_names,
        features=datasets.Features(dict.fromkeys(columns, datasets.Value("string"))),
        load_from_cache_file=False,
    )
    dropped = len(dataset) - len(adapted)
    suffix = f"; {dropped} of {len(dataset)} rows cannot be used and are dropped" if dropped else ""
    logger.info(f"{field} is read as {name}{suffix}")
    if len(adapted) == 0:
        action = f"set {field}.adapter=none and name its columns"
        raise UserError(f"{field}.path", "the data", f"no row of it can be used as {name}", action)
    # Later steps take a column that is there for one that has values.
    table = adapted.data.table
    return adapted.remove_columns([name for name in columns if table.column(name).null_count == len(adapted)])


def _adapt_row(adapter: Adapter, row: Row) -> Row | None:
    """Return a row as the adapter reads it; None if the row is of no use, or malformed."""
    try:
        adapted = adapter.adapt_row(row)
    except MALFORMED_ROW_ERRORS:
        return None
    if adapted and adapter.general:
        kept = {column: row[column] for column in COLUMNS_KEPT_BY_ADAPTERS if row.get(column) not in (None, "", [])}
        if "tests" in kept:
            adapted |= {"checker": "code", "domain": "code"}
        adapted |= kept
    return adapted if adapted and adapted.get("prompt") else None


def _as_text(value: Any) -> str | None:
    """Return a list or a dictionary as JSON, any other value as text, and None as None."""
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return None if value is None else str(value)
