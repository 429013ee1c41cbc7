"""What a row is: the one description of every column that r1kit reads or writes by name.

A row is a plain dictionary, as `datasets` and TRL have it. It is one of four, and a column may stand in several:

- `PROBLEM`: a question and how its answer is checked; what RL, sampling and evaluation start from;
- `EXAMPLE`: a finished example for SFT, in one of TRL's formats;
- `SAMPLE`: a completion that r1kit sampled for a problem and scored; `data/` and `samples/` hold these;
- `ROLLOUT`: a completion of an RL training; `completions/` holds these.

Sampled rows and rollouts also have one number for each reward, named after the reward. Because those names are the
recipe's, a row cannot be a TypedDict. Everything that needs the columns reads `COLUMNS`: the adapters of known data
sets, the sampler, the Parquet schema, the report, and the documents (`column_reference`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

Row = dict[str, Any]
"""One row: the values of its columns by name."""

ColumnType = Literal["string", "bool", "int64", "float64", "messages", "text or number"]
"""An Arrow type by its name; chat messages: a list of `{"role": string, "content": string}`; or the type that the
values have, text or numbers."""

PROBLEM, EXAMPLE, SAMPLE, ROLLOUT = "problem", "SFT example", "sample", "rollout"


@dataclass(frozen=True)
class Column:
    """What one column holds, its type on disk, and which rows have it."""

    type: ColumnType
    rows: tuple[str, ...]
    description: str
    carried: bool = False
    """Whether sampling copies it from a problem to the problem's samples, as text if that is its type. `id`, `domain`
    and `thinking` are copied as they are."""
    adapted: bool = False
    """Whether an adapter of a known data set may fill it."""
    kept_by_adapters: bool = False
    """Whether a row that an adapter reads keeps its own value of it, where the adapter is one for many data sets."""


CHECKERS = ("math", "exact", "choice", "code", "instructions", "reasoning_gym")
"""The values of the column `checker`: how the answer of a row is judged (r1kit/rewards/accuracy.py)."""

# In the order in which `data/` and `samples/` have them on disk.
COLUMNS: dict[str, Column] = {
    "id": Column(
        "string",
        (PROBLEM, SAMPLE, ROLLOUT),
        "Name of the problem; without one, r1kit uses a hash of the question and its answer.",
        adapted=True,
        kept_by_adapters=True,
    ),
    "prompt": Column(
        "string", (PROBLEM, EXAMPLE, SAMPLE, ROLLOUT), "The question, as text or as chat messages.", adapted=True
    ),
    "completion": Column(
        "string", (EXAMPLE, SAMPLE, ROLLOUT), "The model's text after the prompt, or chat messages.", adapted=True
    ),
    "messages": Column("messages", (EXAMPLE,), "A conversation that ends with the assistant's turn."),
    "text": Column("string", (EXAMPLE,), "A document to train on as it stands."),
    "answer": Column("string", (PROBLEM, SAMPLE, ROLLOUT), "The gold answer.", carried=True, adapted=True),
    "tests": Column(
        "string",
        (PROBLEM, SAMPLE),
        "Tests of a programming problem, as JSON.",
        carried=True,
        adapted=True,
        kept_by_adapters=True,
    ),
    "checker": Column(
        "string",
        (PROBLEM, SAMPLE, ROLLOUT),
        "How the answer is judged: `math`, `exact`, `choice`, `code`, `instructions` or `reasoning_gym`; "
        "without one, `code` if the row has tests, else `math`.",
        carried=True,
        adapted=True,
        kept_by_adapters=True,
    ),
    "metadata": Column(
        "string",
        (PROBLEM, SAMPLE),
        "What the checkers `instructions` and `reasoning_gym` need to know of the problem, as JSON.",
        carried=True,
        adapted=True,
        kept_by_adapters=True,
    ),
    "fault": Column("bool", (SAMPLE,), "Whether a reward could not judge the completion, which is not a wrong answer."),
    "correct": Column("bool", (SAMPLE,), "Whether the answer is right; null without a verdict."),
    "pass_rate": Column(
        "float64",
        (SAMPLE,),
        "In `data/`: the fraction of the problem's samples that are correct, of those with a verdict.",
    ),
    "domain": Column(
        "string",
        (PROBLEM, SAMPLE, ROLLOUT),
        "Subject of the problem, such as `math`; rewards can be limited to one.",
        adapted=True,
        kept_by_adapters=True,
    ),
    "source": Column(
        "string",
        (PROBLEM, SAMPLE),
        "Where the problem comes from.",
        carried=True,
        adapted=True,
        kept_by_adapters=True,
    ),
    "level": Column(
        "text or number",
        (PROBLEM, SAMPLE),
        "How hard the problem is, in the words or numbers of its source.",
        carried=True,
        adapted=True,
        kept_by_adapters=True,
    ),
    "thinking": Column(
        "bool", (PROBLEM, SAMPLE), "Whether the completion must think before it answers.", kept_by_adapters=True
    ),
    "thinks": Column("bool", (SAMPLE,), "Whether the completion has a chain of thought."),
    "answer_form": Column(
        "string",
        (SAMPLE,),
        "By what the answer was read: `tags`, `box`, `program`, `phrase`, `last line`, or `none`.",
    ),
    "parsed_answer": Column(
        "string", (SAMPLE,), "The answer as it was read in the completion; null where none could be read."
    ),
    "target_language": Column(
        "string",
        (SAMPLE,),
        "Code of the language that the problem is asked in, such as `en` (`language` is a reward's score here).",
        kept_by_adapters=True,
    ),
    "tokens": Column("int64", (SAMPLE, ROLLOUT), "Length of the completion in tokens."),
    "prompt_tokens": Column("int64", (SAMPLE,), "Length of the prompt in tokens."),
    "finish_reason": Column(
        "string",
        (SAMPLE, ROLLOUT),
        "How the completion ended: `stop`, `length` (its limit), or no completion: `context`, `refused`, `failed`.",
    ),
    "logprob": Column(
        "float64", (SAMPLE,), "Mean logprob of the completion's tokens; null if the engine does not give it."
    ),
    "model": Column("string", (SAMPLE,), "The model that sampled the completion."),
    "teacher": Column("string", (SAMPLE,), "The model that rewrote the completion."),
    "original": Column("string", (SAMPLE,), "The completion that the rewritten one was made of."),
    "held": Column("bool", (SAMPLE,), "In `refine/` and `journey/`: whether the rewritten completion was accepted."),
    "teacher_prompt_tokens": Column(
        "int64", (SAMPLE,), "In `refine/` and `journey/`: tokens of the teacher's prompts for this row."
    ),
    "teacher_tokens": Column(
        "int64", (SAMPLE,), "In `refine/` and `journey/`: tokens of the teacher's completions for this row."
    ),
    "seed": Column("int64", (SAMPLE,), "Seed of the batch that the completion was sampled in."),
    "sample": Column("int64", (SAMPLE,), "Number of the completion among those of its problem, from 0."),
    "language": Column(
        "string",
        (PROBLEM,),
        "Code of the question's language; without one, it is detected from the question.",
        kept_by_adapters=True,
    ),
    "question": Column(
        "string", (PROBLEM, ROLLOUT), "The question as bare text, without a template; r1kit makes it of `prompt`."
    ),
    "turns": Column(
        "string",
        (ROLLOUT,),
        "The messages of a rollout with tools, as JSON: calls, results and answer; `completion` has the model's text.",
    ),
    "step": Column("int64", (ROLLOUT,), "The optimizer step that the completion was sampled for, from 1."),
    "group": Column("int64", (ROLLOUT,), "Number of the completion's group within its step, from 0."),
    "reward": Column("float64", (ROLLOUT,), "Weighted sum of the rewards; null if none applies."),
    "advantage": Column("float64", (ROLLOUT,), "The reward relative to those of its group."),
}

# Tokens of a teacher's prompts and completions for one row, all its tries together.
USAGE_COLUMNS = ("teacher_prompt_tokens", "teacher_tokens")

Value = TypeVar("Value")


def columns_of(*row_kinds: str) -> tuple[str, ...]:
    """Return the names of the columns that stand in any of `row_kinds`, in the order of COLUMNS.

    `columns_of(PROBLEM)` begins with `id`, `prompt`, `answer`.
    """
    return tuple(name for name, column in COLUMNS.items() if set(column.rows) & set(row_kinds))


# Columns of `data/` and `samples/`, in the order in which they stand on disk; columns of other names follow them.
STORED_COLUMNS = columns_of(EXAMPLE, SAMPLE)
CARRIED_COLUMNS = tuple(name for name, column in COLUMNS.items() if column.carried)
ADAPTED_COLUMNS = tuple(name for name, column in COLUMNS.items() if column.adapted)
COLUMNS_KEPT_BY_ADAPTERS = tuple(name for name, column in COLUMNS.items() if column.kept_by_adapters)
# Columns of a scored completion that are no reward. A problem's `language` is not among them: in a scored row a column
# of that name is the score of the reward `language`.
COLUMNS_BESIDE_REWARDS = frozenset(columns_of(SAMPLE, ROLLOUT))


def columns_of_rows(rows: Sequence[Row], names: Iterable[str]) -> dict[str, list[Any]]:
    """Return rows as columns, those of `names`; None where a row lacks one.

    columns_of_rows([{"prompt": "1+1", "answer": "2"}], ["answer"])   {"answer": ["2"]}
    """
    columns: dict[str, list[Any]] = {}
    for name in names:
        columns[name] = [row.get(name) for row in rows]
    return columns


def select_from_columns(columns: Mapping[str, Sequence[Any]], indices: Sequence[int]) -> dict[str, list[Any]]:
    """Return the rows at `indices` of columns, as columns; an index may stand there several times."""
    selected: dict[str, list[Any]] = {}
    for name, values in columns.items():
        selected[name] = [values[index] for index in indices]
    return selected


def group_like(groups: Iterable[Sequence[Any]], values: Iterable[Value]) -> list[list[Value]]:
    """Return values that stand in a row, one for each member of each group, as groups.

    group_like([["a", "b"], ["c"]], [1, 2, 3])   [[1, 2], [3]]
    """
    remaining = iter(values)
    grouped = []
    for group in groups:
        grouped.append([next(remaining) for _ in group])
    return grouped


def column_reference() -> str:
    """Return the table of all columns in Markdown, for the documents."""
    lines = ["| column | type | rows | holds |", "| --- | --- | --- | --- |"]
    for name, column in COLUMNS.items():
        lines.append(f"| `{name}` | {column.type} | {', '.join(column.rows)} | {column.description} |")
    return "\n".join(lines)
