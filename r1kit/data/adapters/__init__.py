"""Well-known data sets, brought to the columns of `r1kit.rows`; ADAPTERS is the one table of them.

An adapter is chosen by the columns of a data set, unless the recipe names one (`adapter: gsm8k`), names the columns
itself (`columns:`), or the data has r1kit's columns already. Rows that an adapter cannot use are dropped and counted:
problems whose answer no checker can judge, such as proofs.
"""

import pickle
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from r1kit.data.adapters import code, finished, instructions, mathematics, verl
from r1kit.data.adapters.chat import ConversationError, is_conversation, normalise_messages
from r1kit.data.adapters.choices import ChoiceNumberError
from r1kit.data.adapters.example_forms import asks, find_judged_examples
from r1kit.data.adapters.forms import find_form
from r1kit.data.adapters.reading import Reading, has_choices
from r1kit.data.exact_json import dump_json
from r1kit.data.row_tables import compute_columns
from r1kit.errors import UserError, suggest
from r1kit.messages import logger
from r1kit.recipe import SourceConfig
from r1kit.rows import ADAPTED_COLUMNS, COLUMNS, COLUMNS_KEPT_BY_ADAPTERS, Row

if TYPE_CHECKING:
    from datasets import Dataset

# Columns of an adapted row that may hold chat messages.
CHAT_COLUMNS = ("prompt", "completion", "messages", "tools")
# Columns of an adapted row that are text, whatever the source has there.
TEXT_COLUMNS = tuple(
    name
    for name in dict.fromkeys([*ADAPTED_COLUMNS, *COLUMNS_KEPT_BY_ADAPTERS])
    if name not in CHAT_COLUMNS and (name not in COLUMNS or COLUMNS[name].type != "text or number")
)
# Columns by which some adapters recognise their data sets, but which they do not read: rows keep them.
UNREAD_COLUMNS = frozenset({"url", "year", "license", "problem_type", "question_type", "skill_types"})
ADAPT_BATCH_ROWS = 100
"""Rows that are adapted at once; few, since a problem of CodeContests has megabytes of tests."""
# What an adapter may raise on a row whose nested values are not as they should be.
MALFORMED_ROW_ERRORS = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    SyntaxError,
    RecursionError,
    EOFError,
    pickle.UnpicklingError,
    zlib.error,
)


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


def _has_id(row: Row) -> bool:
    return "id" in row


def _has_no_body(row: Row) -> bool:
    """Return whether a question stands alone, unlike SVAMP's, which ends a story in a column of its own."""
    return "Body" not in row


def _is_marked_conversation(row: Row) -> bool:
    """Return whether a conversation is one question and an answer with Sky-T1's marks, or OpenThoughts3's.

    Of other sets, an answer with think tags is one like any other: it stays as it is, and the next may have more turns.
    """
    if not is_conversation(row["conversations"]) or finished.adapt_conversation(row) is None:
        return False
    return "<|begin_of_thought|>" in str(row["conversations"]) or {"difficulty", "domain", "source"} <= row.keys()


def _are_marked_messages(row: Row) -> bool:
    return is_conversation(row["messages"]) and finished.adapt_messages(row) is not None


def _has_raw_tests(row: Row) -> bool:
    return (
        isinstance(row["tests"], str | list) and '"kind"' not in str(row["tests"]) and "'kind'" not in str(row["tests"])
    )


# Of the adapters that fit a data set, the one with the most columns is chosen.
ADAPTERS: dict[str, Adapter] = {
    "gsm8k": _adapter("question answer", mathematics.adapt_gsm8k, _is_gsm8k, general=True),
    "math": _adapter("problem solution level type", mathematics.adapt_boxed_solution),
    "math-500": _adapter("problem solution answer subject level unique_id", mathematics.adapt_problem_and_answer),
    "problem-answer": _adapter("problem answer", mathematics.adapt_problem_and_answer, general=True),
    "aime": _adapter("problem answer url year", mathematics.adapt_aime, _has_id),
    "aime-2024": _adapter("ID Problem Answer", mathematics.adapt_capitalised_aime),
    "aime-1983-2024": _adapter("ID Question Answer", mathematics.adapt_capitalised_aime, _has_no_body),
    "numina-math": _adapter("problem solution source messages", mathematics.adapt_boxed_solution),
    "numina-math-1.5": _adapter("problem solution answer problem_type question_type", mathematics.adapt_numina),
    "openr1-math": _adapter("problem solution answer problem_type question_type generations", mathematics.adapt_numina),
    "dapo-math": _adapter("prompt reward_model data_source", verl.adapt_verl),
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
    "livecodebench": _adapter("question_content public_test_cases private_test_cases", code.adapt_livecodebench),
    "deepcoder": _adapter("problem tests", code.adapt_problem_with_tests, _has_raw_tests),
    "kodcode": _adapter("question test test_info", code.adapt_kodcode),
    "verifiable-coding": _adapter("verification_info in_source_id", code.adapt_verifiable_coding),
    "ifeval": _adapter("key prompt instruction_id_list kwargs", instructions.adapt_ifeval),
    "sky-t1": _adapter("system conversations", finished.adapt_conversation, _is_marked_conversation),
    "openthoughts": _adapter("problem deepseek_reasoning deepseek_solution", finished.adapt_openthoughts),
    "openthoughts3": _adapter("conversations", finished.adapt_conversation, _is_marked_conversation),
    "s1k": _adapter("question solution thinking_trajectories attempt cot_type", finished.adapt_s1k),
    "s1k-1.1": _adapter("question deepseek_thinking_trajectory deepseek_attempt", finished.adapt_s1k_1_1),
    "mixture-of-thoughts": _adapter("messages num_tokens source", finished.adapt_messages, _are_marked_messages),
    "o1-journey": _adapter("question answer longCOT", finished.adapt_o1_journey),
}


def adapt_columns(dataset: "Dataset", source: SourceConfig, field: str) -> "Dataset":
    """Return `dataset` in r1kit's columns if it is a known one or of a usual form, else as it is.

    Columns that are not read stay as they are. Raises UserError for an adapter that does not exist or does not fit, for
    a conversation that cannot be read, and if no row can be used.
    """
    # "none" is the recipe's way to say that the columns stay as they are.
    if source.adapter == "none" or len(dataset) == 0:
        return dataset
    if source.adapter is None:
        reading = find_settled_reading(dataset, source, field)
        return dataset if reading is None else _adapt_rows(dataset, reading, source, field)
    name = source.adapter
    if name not in ADAPTERS:
        raise UserError(f"{field}.adapter", name, "no such adapter", suggest(name, ADAPTERS))
    adapter = ADAPTERS[name]
    missing = sorted(adapter.columns - set(dataset.column_names))
    if missing:
        requirement = f"reads {', '.join(missing)}, which the data does not have"
        action = f"use one that fits its columns: {', '.join(dataset.column_names)}"
        raise UserError(f"{field}.adapter", name, requirement, action)
    return _adapt_rows(dataset, _reading_of(name), source, field)


def find_reading(dataset: "Dataset", source: SourceConfig) -> Reading | None:
    """Return how the data set is read: as a known one, else as one of a usual form; None if neither fits or is needed.

    Of the adapters that fit, the one with the most columns is chosen.
    """
    names = set(dataset.column_names)
    if source.columns:
        return None
    first_row = dataset[0]
    judged = find_judged_examples(names, first_row)
    if judged is not None:
        return judged
    fitting = [name for name, adapter in ADAPTERS.items() if adapter.columns <= names and adapter.fits(first_row)]
    is_own = "prompt" in names and not names.isdisjoint({"answer", "tests", "completion"})
    if is_own:
        # The data may be in r1kit's columns already: `problem` and `question` do not show that it is not.
        fitting = [name for name in fitting if not ADAPTERS[name].columns & {"problem", "question"}]
    elif "messages" in names:
        # SFT reads messages as they are: two columns do not show that they need adapting.
        fitting = [name for name in fitting if len(ADAPTERS[name].columns) > 2]
    best = max(fitting, key=lambda name: len(ADAPTERS[name].columns), default=None)
    if best is not None and (not ADAPTERS[best].general or not has_choices(names)):
        return _reading_of(best)
    if is_own and (not has_choices(names) or "checker" in names):
        return None
    is_example = "messages" in names and not asks(first_row["messages"])
    form = None if is_example else find_form(dataset.column_names, first_row, source.seed)
    if form is not None:
        return form
    return _reading_of(best) if best is not None else None


def find_settled_reading(dataset: "Dataset", source: SourceConfig, field: str) -> Reading | None:
    """Return how all rows of the data set are read, None if they stay as they are; see find_reading."""
    reading = find_reading(dataset, source)
    return None if reading is None else _settle(reading, dataset, field)


def _settle(reading: Reading, dataset: "Dataset", field: str) -> Reading:
    """Return a reading that fits all rows, where the first row alone does not show how they are read."""
    if reading.settle is None:
        return reading
    columns = dataset.select_columns([name for name in dataset.column_names if name in reading.columns])
    try:
        return replace(reading, read_row=reading.settle(columns))
    except ChoiceNumberError as error:
        action = "write the letters of the choices in place of their numbers"
        raise UserError(f"{field}.path", "the data", str(error), action) from None


def _reading_of(name: str) -> Reading:
    adapter = ADAPTERS[name]
    return Reading(name, adapter.columns, adapter.adapt_row)


def _adapt_rows(dataset: "Dataset", reading: Reading, source: SourceConfig, field: str) -> "Dataset":
    """Return the rows that can be used, with r1kit's columns first, and the set's own columns that are not read."""
    from datasets import Value

    general = reading.name not in ADAPTERS or ADAPTERS[reading.name].general
    carried = _carried_columns(dataset, reading, general)

    def adapt_batch(rows: list[Row], start: int) -> list[Row | None]:
        return [
            _adapt_row(reading, general, row, f"{field}.path", f"row {start + offset + 1} of {source.path}")
            for offset, row in enumerate(rows)
        ]

    adapted = compute_columns(
        dataset,
        adapt_batch,
        ADAPT_BATCH_ROWS,
        types={name: Value("string") for name in TEXT_COLUMNS},
        remove=[name for name in dataset.column_names if name not in carried],
    )
    dropped = len(dataset) - len(adapted)
    reason = f": {reading.drop_reason}" if reading.drop_reason else ""
    suffix = f"; {dropped} of {len(dataset)} rows cannot be used and are dropped{reason}" if dropped else ""
    logger.info(f"{field} is read as {reading.name}{suffix}")
    if len(adapted) == 0:
        action = f"set {field}.adapter=none and name its columns"
        raise UserError(f"{field}.path", "the data", f"no row of it can be used as {reading.name}{reason}", action)
    # Later steps take a column that is there for one that has values.
    table = adapted.data.table
    empty = [
        n
        for n in adapted.column_names
        if n in (*ADAPTED_COLUMNS, "messages") and table.column(n).null_count == len(table)
    ]
    names = [name for name in COLUMNS if name in adapted.column_names and name not in empty]
    names += [name for name in adapted.column_names if name not in names and name not in empty]
    return adapted.select_columns(names)


def _carried_columns(dataset: "Dataset", reading: Reading, general: bool) -> list[str]:
    """Return the columns of a set that its rows keep: the user's own.

    Not those that are read, nor those that r1kit uses for something else. Of a known set, only columns of single
    values: its lists and structures are its solutions and the like, which may be larger than all the rest.
    """
    from datasets import Value

    read_columns = reading.columns - UNREAD_COLUMNS
    names = [name for name in dataset.column_names if name not in read_columns and name not in COLUMNS]
    if not general:
        names = [name for name in names if isinstance(dataset.features[name], Value)]
    return names


def _adapt_row(reading: Reading, general: bool, row: Row, field: str, row_name: str) -> Row | None:
    """Return a row as the reading has it; None if the row is of no use, or malformed.

    Raises UserError for a conversation with an unknown role or without text: it is not left out in silence, since that
    is often the whole set.
    """
    try:
        adapted = reading.read_row(row)
        if adapted and not adapted.keys() & {"completion", "messages"}:
            adapted |= _own_conversation(row)
    except ConversationError as error:
        raise UserError(field, row_name, str(error), "correct or drop the row") from None
    except MALFORMED_ROW_ERRORS:
        return None
    if adapted and general:
        own_values = {name: row[name] for name in COLUMNS_KEPT_BY_ADAPTERS if row.get(name) not in (None, "", [])}
        if "tests" in own_values:
            adapted |= {"checker": "code", "domain": "code"}
        adapted |= own_values
    if not adapted or not (adapted.get("prompt") or adapted.get("messages")):
        return None
    return {name: _as_text(value) if name in TEXT_COLUMNS else value for name, value in adapted.items()}


def _own_conversation(row: Row) -> Row:
    """Return the finished answer that a set of problems has in `messages`, as OpenR1-Math does: SFT trains on it."""
    if not is_conversation(row.get("messages")):
        return {}
    messages = normalise_messages(row["messages"])
    return {"messages": messages} if len(messages) > 1 and messages[-1]["role"] == "assistant" else {}


def _as_text(value: Any) -> str | None:
    """Return a list or a dictionary as JSON, any other value as text, and None as None."""
    if isinstance(value, list | dict):
        return dump_json(value)
    return None if value is None else str(value)
