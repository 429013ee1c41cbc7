"""Messages that are trained: the forms in which chat templates take them, and checks of the rendered text.

    conversation = Conversation(messages, first_scored=1, tools=None)
    inline_message(message)                     {"content": "<think>\\n...\\n</think>\\n\\n7", ...}
    message_with_fields(message)                {"content": "7", "reasoning_content": "...", ...}

A check that fails raises a RowError, which says what the user can do.
"""

import json
from dataclasses import dataclass
from typing import Any

from r1kit.data.adapters.chat import THINKING_KEYS, is_trained
from r1kit.data.examples import tool_name
from r1kit.models.templates import THINK_END, THINK_START

Message = dict[str, Any]
OTHER_TEMPLATE = "set model.chat_template to another, such as r1-distill"


class RowError(Exception):
    """What is wrong with a row or with its rendering, and what the user can do about it."""

    def __init__(self, requirement: str, action: str):
        super().__init__(requirement, action)
        self.requirement = requirement
        self.action = action
        self.row = 0
        """Number of the row in its data set."""


@dataclass(frozen=True)
class Conversation:
    """A row's messages; those of the assistant are trained from `first_scored` on."""

    messages: list[Message]
    first_scored: int = 0
    tools: list[Any] | None = None

    def scored_turns(self) -> list[int]:
        """Return the positions of the messages that are trained."""
        positions = range(self.first_scored, len(self.messages))
        return [i for i in positions if is_trained(self.messages[i])]


def split_thinking(message: Message) -> tuple[str, str]:
    """Return the thinking and the answer of an assistant's message, without white space around them.

    The thinking stands in a key of its own, or before `</think>` at the beginning of the content.
    """
    content = message["content"]
    for key in THINKING_KEYS:
        if isinstance(message.get(key), str) and message[key].strip():
            return message[key].strip(), content.strip()
    before, end_tag, after = content.partition(THINK_END)
    thinking = before.strip().removeprefix(THINK_START)
    if not end_tag or THINK_START in thinking:  # the text speaks of the tags
        return "", content.strip()
    return thinking.strip(), after.strip()


def has_inline_thinking(message: Message) -> bool:
    """Return whether a message's thinking, if it has any, stands in its content already."""
    return THINK_END in message["content"] or not split_thinking(message)[0]


def inline_message(message: Message) -> Message:
    """Return an assistant's message with its thinking in the content, between think tags."""
    thinking, answer = split_thinking(message)
    return {**_without_thinking(message), "content": f"{THINK_START}\n{thinking}\n{THINK_END}\n\n{answer}"}


def with_inline_thinking(message: Message) -> Message:
    """Return an assistant's message with its thinking in the content; content that has it already is not changed."""
    return _without_thinking(message) if has_inline_thinking(message) else inline_message(message)


def message_with_marks(message: Message, marks: tuple[str, str]) -> Message:
    """Return an assistant's message with its thinking in the content, between the marks of a family."""
    thinking, answer = split_thinking(message)
    content = f"{marks[0]}{thinking}{marks[1]}{answer}" if thinking else answer
    return {**_without_thinking(message), "content": content}


def _without_thinking(message: Message) -> Message:
    return {key: value for key, value in message.items() if key not in THINKING_KEYS}


def message_with_fields(message: Message) -> Message:
    """Return an assistant's message with its thinking in keys of its own, by the names that templates read."""
    thinking, answer = split_thinking(message)
    others = _without_thinking(message)
    return {**others, "content": answer, "reasoning_content": thinking, "thinking": thinking} if thinking else others


def with_answer(message: Message, answer: str) -> Message:
    """Return an assistant's message with another answer and the same thinking, wherever that stands."""
    before, end_tag, after = message["content"].partition(THINK_END)
    if not end_tag:
        return {**message, "content": answer}
    space = after[: len(after) - len(after.lstrip())]
    return {**message, "content": f"{before}{end_tag}{space}{answer}"}


def with_arguments(messages: list[Message], as_text: bool) -> list[Message]:
    """Return messages whose calls of tools have their arguments as a mapping, or as JSON, as some templates want it."""
    changed = []
    for message in messages:
        calls = []
        for call in message.get("tool_calls") or []:
            function = dict(call.get("function", call))
            arguments = _parse_arguments(function.get("arguments"))
            function["arguments"] = json.dumps(arguments, ensure_ascii=False) if as_text else arguments
            calls.append({**call, "function": function} if "function" in call else function)
        changed.append({**message, "tool_calls": calls} if calls else message)
    return changed


def _parse_arguments(arguments: Any) -> Any:
    """Return the arguments of a call, which may be JSON text."""
    if isinstance(arguments, str):
        try:
            return json.loads(arguments)
        except (ValueError, RecursionError):
            return arguments
    return {} if arguments is None else arguments


def _call_values(call: Message) -> list[str]:
    """Return the name of a called tool and the texts and numbers among its arguments."""
    function = call.get("function", call)
    arguments = _parse_arguments(function.get("arguments"))
    values = [str(function.get("name"))]
    for value in arguments.values() if isinstance(arguments, dict) else []:
        if isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
            values.append(str(value))
    return values


def check_calls_rendered(text: str, message: Message) -> None:
    """Raise RowError where a text lacks a call of a tool that a message makes."""
    for call in message.get("tool_calls") or []:
        if any(value not in text and json.dumps(value)[1:-1] not in text for value in _call_values(call)):
            requirement = "the model's chat template does not write its calls of tools"
            raise RowError(requirement, "set model.chat_template to one that does, or drop the row")


def check_others_rendered(text: str, conversation: Conversation) -> None:
    """Raise RowError where the text lacks a message that is not trained, a call of a tool, or a tool."""
    for message in conversation.messages:
        check_calls_rendered(text, message)
        content = message["content"].strip()
        if message["role"] == "assistant" or content in text or json.dumps(content, ensure_ascii=False)[1:-1] in text:
            continue
        requirement = f"the model's chat template leaves out its message of the role {message['role']}"
        raise RowError(requirement, "drop that message, or set model.chat_template to another")
    for tool in conversation.tools or []:
        name = tool_name(tool)
        if name and name not in text:
            requirement = f"the model's chat template does not show it its tools, such as {name}"
            raise RowError(requirement, "drop the column tools, or set model.chat_template to one that does")
