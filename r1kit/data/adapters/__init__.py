"""Well-known data sets, brought to r1kit's rows (DESIGN: rows); ADAPTERS is the one table of them.

An adapter is found by the columns of a data set, unless the recipe names one (`adapter:`), names columns itself
(`columns:`), or the data has r1kit's columns already. Rows that it cannot use, such as problems whose answer no
checker can check, are left out and counted.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from r1kit.data.adapters import chat, code, mathematics
from r1kit.errors import UserError, suggest
from r1kit.recipe import SourceConfig
from r1kit.rows import ADAPTED_COLUMNS, COLUMNS_KEPT_BY_ADAPTERS, Row

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Adapter:
    """How one data set, or several of one shape, are read."""

    columns: frozenset[str]  # by which it is known: all of them must be there
    row: Callable[[Row], Row | None]  # a row as r1kit has it, or None where it is of no use
    fits: Callable[[Row], bool] = lambda row: True  # asked of the first row, where columns alone do not tell
    general: bool = False  # whether many sets have this shape, so that a row's own columns count


def _known(
    names: str,
    row: Callable[[Row], Row | None],
    fits: Callable[[Row], bool] = lambda row: True,
    general: bool = False,
) -> Adapter:
    return Adapter(frozenset(names.split()), row, fits, general)


# Of adapters that fit, the one with the most columns is taken.
ADAPTERS: dict[str, Adapter] = {
    "gsm8k": _known("question answer", mathematics.gsm8k, lambda row: "####" in str(row["answer"]), general=True),
    "math": _known("problem solution level type", mathematics.boxed),
    "math-500": _known("problem solution answer subject level unique_id", mathematics.answered),
    "problem-answer": _known("problem answer", mathematics.answered, general=True),
    "aime": _known("problem answer url year", mathematics.year),
    "aime-2024": _known("ID Problem Answer", mathematics.capitals),
    "aime-1983-2024": _known("ID Question Answer", mathematics.capitals),
    "aime-2025": _known(
        "question answer",
        mathematics.answered,
        lambda row: set(row) == {"question", "answer"} and str(row["answer"]).strip().isdigit(),
    ),
    "numina-math": _known("problem solution source messages", mathematics.boxed),
    "numina-math-1.5": _known("problem solution answer problem_type question_type", mathematics.numina),
    "openr1-math": _known("problem solution answer problem_type question_type generations", mathematics.numina),
    "dapo-math": _known("prompt reward_model data_source", mathematics.dapo),
    "dapo-math-processed": _known("prompt solution source_prompt reward_model", mathematics.dapo_processed),
    "deepscaler": _known("problem answer solution", mathematics.answered),
    "big-math": _known("problem answer source domain", mathematics.answered),
    "humaneval": _known("task_id prompt canonical_solution test entry_point", code.humaneval),
    "mbpp": _known("task_id text code test_list", code.mbpp),
    "mbpp-sanitized": _known("task_id prompt code test_list test_imports", code.mbpp),
    "apps": _known("question solutions input_output starter_code", code.apps),
    "taco": _known("question solutions input_output starter_code skill_types", code.apps),
    "code-contests": _known("description public_tests private_tests generated_tests", code.code_contests),
    "codeforces": _known("description input_format output_format examples official_tests", code.codeforces),
    "leetcode": _known("task_id problem_description entry_point test", code.leetcode),
    "verifiable-coding": _known("verification_info in_source_id", code.verifiable),
    "sky-t1": _known("system conversations", chat.thoughts),
    "openthoughts": _known("problem deepseek_reasoning deepseek_solution", chat.openthoughts),
    "openthoughts3": _known("conversations", chat.thoughts),
    "s1k": _known("question solution thinking_trajectories attempt cot_type", chat.s1k),
    "s1k-1.1": _known("question deepseek_thinking_trajectory deepseek_attempt", chat.s1k_1_1),
    "mixture-of-thoughts": _known("messages num_tokens source", chat.messages),
    "o1-journey": _known("question answer longCOT", chat.o1_journey),
}


def adapt_columns(dataset: "Dataset", source: SourceConfig, field: str) -> "Dataset":
    """Return the data set in r1kit's columns, if it is a known one. Raises UserError for an unknown adapter."""
    name = source.adapter or _find(dataset, source)
    if name is None or name == "none":
        return dataset
    if name not in ADAPTERS:
        raise UserError(f"{field}.adapter", name, "no such adapter", suggest(name, ADAPTERS))
    adapter = ADAPTERS[name]
    lacking = sorted(adapter.columns - set(dataset.column_names))
    if lacking:
        must = f"reads {', '.join(lacking)}, which the data does not have"
        raise UserError(f"{field}.adapter", name, must, f"it has {', '.join(dataset.column_names)}")
    return _mapped(dataset, name, adapter, field)


def _find(dataset: "Dataset", source: SourceConfig) -> str | None:
    """Return the name of the adapter that fits best, None where none is needed or fits."""
    names = set(dataset.column_names)
    if source.columns or len(dataset) == 0:
        return None
    ours = "prompt" in names and names & {"answer", "tests", "completion"}
    first = dataset[0]
    fitting = [n for n, a in ADAPTERS.items() if a.columns <= names and a.fits(first)]
    if ours:  # with columns like r1kit's, only what could be nothing else
        fitting = [n for n in fitting if not ADAPTERS[n].columns & {"problem", "question"}]
    elif "messages" in names:  # which SFT reads as they are
        fitting = [n for n in fitting if len(ADAPTERS[n].columns) > 2]
    return max(fitting, key=lambda n: len(ADAPTERS[n].columns), default=None)


def _mapped(dataset: "Dataset", name: str, adapter: Adapter, field: str) -> "Dataset":
    import datasets

    def change(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        rows = [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
        changed = [new for row in rows if (new := _row(adapter, row))]
        return {c: [_text(new.get(c)) for new in changed] for c in names}

    names = list(ADAPTED_COLUMNS)
    if adapter.general:
        names += [name for name in COLUMNS_KEPT_BY_ADAPTERS if name not in names]
    features = datasets.Features(dict.fromkeys(names, datasets.Value("string")))
    adapted = dataset.map(
        change,
        batched=True,
        batch_size=100,
        remove_columns=dataset.column_names,
        features=features,
        load_from_cache_file=False,
    )
    lost = len(dataset) - len(adapted)
    print(f"note: {field} is read as {name}" + (f"; {lost} of {len(dataset)} rows are of no use" if lost else ""),
          file=sys.stderr)  # fmt: skip
    if len(adapted) == 0:
        must = f"as {name} no row of it can be used"
        raise UserError(f"{field}.path", "the data", must, f"set {field}.adapter=none and name its columns")
    table = adapted.data.table
    empty = [c for c in names if table.column(c).null_count == len(adapted)]
    return adapted.remove_columns(empty)


def _row(adapter: Adapter, row: Row) -> Row | None:
    """Return a row as the adapter has it; one whose nested values are not as they should be is of no use."""
    try:
        new = adapter.row(row)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, SyntaxError, RecursionError):
        return None
    if new and adapter.general:
        own = {c: row[c] for c in COLUMNS_KEPT_BY_ADAPTERS if row.get(c) not in (None, "", [])}
        new |= ({"checker": "code", "domain": "code"} if "tests" in own else {}) | own
    return new if new and new.get("prompt") else None


def _text(value: Any) -> str | None:
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return None if value is None else str(value)
