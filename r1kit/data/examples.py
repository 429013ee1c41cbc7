"""Load SFT examples in one of TRL's formats: `text`, `messages`, or `prompt` and `completion`; each row is checked.

rows = load_examples(recipe.data.train, recipe.prompt)
messages, first_scored, tools = read_conversation(rows[0], recipe.prompt)
"""

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from r1kit.answers.extract import completion_text
from r1kit.data.adapters.chat import THINKING_KEYS, Message, is_trained, normalise_messages
from r1kit.data.batches import iterate_rows
from r1kit.data.column_guess import guess_columns
from r1kit.data.mixing import read_sources
from r1kit.data.questions import render_prompt
from r1kit.data.row_tables import compute_columns
from r1kit.data.sources import read_source
from r1kit.data.sources.generated import is_generated_source
from r1kit.data.sources.stored import read_stored
from r1kit.errors import UserError
from r1kit.prompts import CHAT_TEMPLATE, THINKING_TAGS
from r1kit.recipe import DataConfig, PromptConfig, SourceConfig
from r1kit.rows import Row

if TYPE_CHECKING:
    from datasets import Dataset

TOOLS = "tools"
"""Column of the tools that a conversation may call, as JSON schemas: a list, or its JSON text."""
SYSTEM = "system"
"""Column of the system's message of a prompt that is text."""
THINKING_COLUMNS = ("reasoning_content", "reasoning")
"""Columns of the thinking of a completion that is text. `thinking` is none of them: it says whether a row thinks."""


def load_examples(
    sources: Sequence[SourceConfig], prompt: PromptConfig, field: str = "data.train", data: DataConfig | None = None
) -> "Dataset":
    """Return the SFT examples of `sources`: with the columns `text`, `messages`, or `prompt` and `completion`.

    A prompt is rendered as `prompt` says, since the model must learn the prompt that it will be given. Conversations
    keep their `tools`, and become prompts and completions where the template is no chat template.

    Raises UserError if the rows are of several formats, or of none, and for a row without text to train on.
    """
    dataset = read_sources(sources, field, data.rows if data else None)
    if len(sources) > 1:
        _refuse_problems(dataset, sources, field)
    dataset = _with_pairs_as_messages(dataset)
    names = dataset.column_names
    example_format = _find_format(dataset, sources, field)
    columns = [example_format] if example_format != "completion" else ["prompt", "completion"]
    if prompt.template == CHAT_TEMPLATE and TOOLS in names and example_format != "text":
        columns.append(TOOLS)

    if example_format == "text":
        _for_each_row(dataset, field, "text", _check_text)
        return dataset.select_columns(columns)
    if prompt.template == CHAT_TEMPLATE:
        if example_format == "completion":
            dataset = _map_rows(dataset, field, "completion", lambda row: _as_chat(row, prompt), columns)
        # The check normalises the messages; they are stored as they are, since Arrow wants all rows in one shape.
        _for_each_row(dataset, field, example_format, lambda row: read_conversation(row, prompt))
        return dataset.select_columns(columns)
    return _map_rows(dataset, field, example_format, lambda row: _as_text(row, prompt), ["prompt", "completion"])


def _with_pairs_as_messages(dataset: "Dataset") -> "Dataset":
    """Return a mixture of conversations and of prompts with completions, such as generated rows, as conversations.

    A data set in which all rows are of one format stays as it is.
    """
    names = set(dataset.column_names)
    if not {"messages", "prompt", "completion"} <= names or None not in dataset["completion"]:
        return dataset

    def compute(rows: list[Row], _: int) -> list[Row | None]:
        return [{"messages": row["messages"] or _pair_as_messages(row)} for row in rows]

    return compute_columns(dataset, compute, remove=["prompt", "completion"])


def _pair_as_messages(row: Row) -> list[Message] | None:
    """Return a prompt with its completion as a conversation; None for a row without a completion.

    A prompt with messages of the assistant gives None too: in a conversation they would be trained.
    """
    question, completion = row["prompt"], row["completion"]
    if not question or not completion:
        return None
    turns = [{"role": "user", "content": question}] if isinstance(question, str) else normalise_messages(question)
    if any(turn["role"] == "assistant" for turn in turns):
        return None
    if isinstance(completion, str):
        return [*turns, {"role": "assistant", "content": completion}]
    return [*turns, *normalise_messages(completion)]


def _find_format(dataset: "Dataset", sources: Sequence[SourceConfig], field: str) -> str:
    """Return the column that holds what is trained: `text`, `messages` or `completion`."""
    names = dataset.column_names
    formats = [name for name in ("text", "messages", "completion") if name in names]
    has_pairs = {"prompt", "completion"} <= set(names)
    if has_pairs and (len(formats) == 1 or None not in dataset["completion"]):
        return "completion"  # every row has it, so that columns of other formats only repeat it
    if len(formats) > 1:
        paths = ", ".join(source.path for source in sources)
        requirement = f"its sources mix rows with {' and '.join(formats)}"
        raise UserError(field, paths, requirement, "bring them to one format")
    if formats and formats[0] != "completion":
        return formats[0]
    requirement = "SFT needs a column text, or messages, or prompt and completion"
    action = f"it has {', '.join(names)}; rename with {field}.0.columns"
    if "prompt" in names:
        requirement = "SFT needs a column text, or messages, or prompt and completion; it holds problems alone"
        action = _name_columns(sources[0], field) or action
    raise UserError(field, sources[0].path, requirement, action)


def _name_columns(source: SourceConfig, field: str) -> str:
    """Return what to set so that a source's answers are its completions, in its own names; "" where that is not known.

    data.train.0.columns={prompt: question, completion: answer}
    """
    if is_generated_source(source.path) or source.columns:
        return ""
    guesses = guess_columns(read_stored(source, f"{field}.0").column_names)
    completion = guesses.get("completion") or guesses.get("answer")
    if "prompt" not in guesses or completion is None:
        return ""
    columns = f"{{prompt: {guesses['prompt']}, completion: {completion}}}"
    return f"sample some with r1kit generate, or to train on its answers set {field}.0.columns={columns}"


def _refuse_problems(dataset: "Dataset", sources: Sequence[SourceConfig], field: str) -> None:
    """Raise UserError, which names the source, where one of several holds problems beside others that hold examples."""
    columns = [name for name in ("text", "messages", "completion") if name in dataset.column_names]
    if not columns or not all(None in dataset[name] for name in columns):
        return
    if all(any(row.values()) for row in iterate_rows(dataset.select_columns(columns))):
        return
    for index, source in enumerate(sources):
        if set(columns).isdisjoint(read_source(source, f"{field}.{index}", draw=False).column_names):
            action = "remove it, or sample completions of its problems with r1kit generate"
            raise UserError(f"{field}.{index}", source.path, "holds problems without completions", action)


def read_conversation(row: Row, prompt: PromptConfig) -> tuple[list[Message], int, list[Any] | None]:
    """Return the messages of an example, the position from which those of the assistant are trained, and its tools.

    The recipe's system message comes first where the row has none. Raises ValueError for a row that cannot be trained.
    """
    if "messages" in row:
        messages, first_scored = _with_system(normalise_messages(_parse_json(row["messages"], "messages")), prompt), 0
    else:
        question = _with_system(normalise_messages(row["prompt"]), prompt)
        messages, first_scored = [*question, *normalise_messages(row["completion"])], len(question)
        if messages[first_scored]["role"] != "assistant":
            raise ValueError("a completion must begin with a message of the assistant")
    scored = [message for message in messages[first_scored:] if is_trained(message)]
    if not scored:
        raise ValueError("a conversation must have a message of the assistant, which is what is trained")
    if not all(_says_something(message) for message in scored):
        raise ValueError("a message of the assistant must not be empty")
    if messages[0]["role"] == "assistant" and first_scored == 0:
        raise ValueError("a conversation must have a message before the assistant's")
    for message in messages:
        _check_parts(message)
    return messages, first_scored, _read_tools(row.get(TOOLS))


def _with_system(messages: list[Message], prompt: PromptConfig) -> list[Message]:
    if not prompt.system or messages[0]["role"] == "system":
        return messages
    return [{"role": "system", "content": prompt.system}, *messages]


def _check_parts(message: Message) -> None:
    """Check what a message has besides its content: thinking and calls of tools, whose nulls are left out."""
    for key in THINKING_KEYS:
        if not isinstance(message.get(key, ""), str):
            raise ValueError(f"{key} of a message must be text")
    if "tool_calls" not in message:
        return
    calls = _without_nulls(_parse_json(message["tool_calls"], "tool_calls"))
    are_calls = isinstance(calls, list) and all(isinstance(call, dict) for call in calls)
    if not are_calls or not all(tool_name(call) for call in calls):
        raise ValueError("each call of a tool must be a mapping with the name of its function")
    message["tool_calls"] = calls


def tool_name(tool: Row) -> str:
    """Return the name of the function that a tool, or the call of one, has; "" without one."""
    function = tool.get("function", tool)
    return str(function.get("name") or "") if isinstance(function, dict) else ""


def _says_something(message: Message) -> bool:
    keys = ("tool_calls", *THINKING_KEYS)
    return bool(message["content"].strip()) or any(message.get(key) for key in keys)


def _read_tools(value: Any) -> list[Any] | None:
    tools = _parse_json(value, TOOLS)
    if not tools:
        return None
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise ValueError("tools must be a list of JSON schemas")
    return [_without_nulls(tool) for tool in tools]


def _without_nulls(value: Any) -> Any:
    """Return a value without the nulls with which Arrow fills the keys that other rows have."""
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value


def _parse_json(value: Any, name: str) -> Any:
    """Return what the JSON text of a column means; a value that is no text is returned as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError(f"{name} must be a list, or its JSON") from None


def _check_text(row: Row) -> None:
    if not isinstance(row["text"], str) or not row["text"].strip():
        raise ValueError("each text must be text, and not empty")


def _as_chat(row: Row, prompt: PromptConfig) -> Row:
    """Return a prompt and its completion as chat messages; those that are messages already stay as they are."""
    question, completion = _read_pair(row)
    if isinstance(question, str):
        question = render_prompt(question, prompt)
    if isinstance(completion, str):
        completion = [{"role": "assistant", "content": completion}]
    return {**row, "prompt": question, "completion": completion}


def _read_pair(row: Row) -> tuple[Any, Any]:
    """Return a row's prompt and completion, with the system's message and the thinking of columns of their own."""
    question, completion = _check_question(row["prompt"]), _check_completion(row["completion"])
    system = row.get(SYSTEM)
    if isinstance(question, str) and isinstance(system, str) and system.strip():
        question = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    name = next((name for name in THINKING_COLUMNS if name in row), None)
    if name is not None and isinstance(completion, str) and THINKING_TAGS[1] not in completion:
        # Rows without thinking have the key too, since Arrow wants all rows in one shape.
        completion = [{"role": "assistant", "content": completion, "reasoning_content": row[name] or ""}]
    return question, completion


def _as_text(row: Row, prompt: PromptConfig) -> Row:
    """Return an example as a prompt in a plain template, and a completion."""
    if "messages" in row:
        messages, _, tools = read_conversation(row, prompt)
        if tools or any(message.get("tool_calls") for message in messages):
            raise ValueError("tools need a chat template, such as prompt.template=chat")
        last = max(i for i, message in enumerate(messages) if message["role"] == "assistant")
        question, completion = messages[:last], [messages[last]]
        if not question:
            raise ValueError("a conversation must have a message before the assistant's")
    else:
        question, completion = _read_pair(row)
        if not isinstance(question, str):
            question = normalise_messages(question)
        if not isinstance(completion, str):
            completion = normalise_messages(completion)
            if completion[0]["role"] != "assistant" or len(completion) > 1:
                raise ValueError("without a chat template, a completion must be one message of the assistant")
    return {"prompt": render_prompt(question, prompt), "completion": _check_completion(completion_text(completion))}


class _PromptError(ValueError):
    """What is wrong with the column `prompt` of a row."""


def _check_question(question: Any) -> Any:
    if isinstance(question, str) and question.strip():
        return question
    if isinstance(question, list) and question:
        return question
    raise _PromptError("each prompt must be text, or messages with text in them, and not empty")


def _check_completion(completion: Any) -> Any:
    if isinstance(completion, str) and completion.strip():
        return completion
    if isinstance(completion, list) and completion:
        return completion
    raise ValueError("each completion must be text, or messages of the assistant, and not empty")


def _for_each_row(dataset: "Dataset", field: str, column: str, check: Callable[[Row], Any]) -> None:
    for number, row in enumerate(dataset):
        _call_on_row(check, row, number, field, column)


def _map_rows(
    dataset: "Dataset", field: str, column: str, change: Callable[[Row], Row], columns: list[str]
) -> "Dataset":
    """Return the rows that `change` makes, with `columns` alone."""

    def change_rows(rows: list[Row], start: int) -> list[Row | None]:
        changed_rows: list[Row | None] = []
        for number, row in enumerate(rows, start):
            changed = _call_on_row(change, row, number, field, column)
            changed_rows.append({name: changed[name] for name in columns})
        return changed_rows

    return compute_columns(dataset, change_rows, remove=dataset.column_names).select_columns(columns)


def _call_on_row(function: Callable[[Row], Any], row: Row, number: int, field: str, column: str) -> Any:
    """Return what `function` makes of a row. Raises UserError with the row's number where it raises ValueError."""
    try:
        return function(row)
    except ValueError as error:
        name = "prompt" if isinstance(error, _PromptError) else column
        raise UserError(
            f"{field}: {name} of row {number + 1}", row[name], str(error), "correct or drop the row"
        ) from None
