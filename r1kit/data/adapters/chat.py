"""Bring a conversation in any of the usual forms to chat messages as chat templates read them.

    normalise_messages([{"from": "human", "value": "3 + 4?"}, {"from": "gpt", "value": "7"}])
    [{"role": "user", "content": "3 + 4?"}, {"role": "assistant", "content": "7"}]

The forms are those of OpenAI, ShareGPT, Harmony (gpt-oss) and transformers: roles by other names, `from` and `value`
instead of `role` and `content`, content in parts, thinking in a part of its own, calls of tools without content.
"""

import json
from collections.abc import Mapping
from typing import Any

Message = dict[str, Any]
"""`role`, `content` (text), and what the message has besides: `reasoning_content`, `tool_calls`, `name`, ..."""


class ConversationError(ValueError):
    """A conversation that cannot be read; its text says what is wrong and what to do."""


ROLES = {
    "system": "system",
    # Harmony's and OpenAI's newer name of the instructions that come before the user's message.
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "tool": "tool",
    "function": "tool",
    "function_response": "tool",
    "function-response": "tool",
    "tool_response": "tool",
    "tool_result": "tool",
    "observation": "tool",
    "ipython": "tool",
}
"""A role as data sets write it, in lower case: the role that chat templates know."""
# Roles of a message whose content is a call of a tool, as JSON: ShareGPT's form, in which calls are turns of their own.
CALL_ROLES = ("function_call", "function-call", "tool_call", "tool-call")
ROLE_KEYS = ("role", "from", "speaker")
CONTENT_KEYS = ("content", "value", "text")
THINKING_KEYS = ("reasoning_content", "thinking", "reasoning")
"""Keys in which a message may have its chain of thought besides its content."""
# Types of a part of a message's content, and the key of the part that holds its text.
TEXT_PARTS = {"text": "text", "input_text": "text", "output_text": "text"}
THINKING_PARTS = {"thinking": "thinking", "reasoning": "reasoning"}


def normalise_role(role: Any) -> str:
    """Return a role by its usual name: `user` for `human`. Raises ConversationError for a role that is not known."""
    name = role.strip().lower() if isinstance(role, str) else role
    if name in CALL_ROLES:
        return "assistant"
    if not isinstance(name, str) or name not in ROLES:
        usual = "system, user, assistant or tool"
        raise ConversationError(
            f"the role {json.dumps(role, ensure_ascii=False, default=str)} is not known; use {usual}"
        )
    return ROLES[name]


def normalise_messages(messages: Any) -> list[Message]:
    """Return chat messages with the usual roles and with text as content; keys without a value are left out.

    Raises ConversationError, with what is wrong, for what is no conversation: no list, an unknown role, a message
    without content, a part that is no text.
    """
    if not isinstance(messages, list) or not messages:
        raise ConversationError("messages must be a list of at least one message")
    return [_normalise_message(message) for message in messages]


def is_conversation(value: Any) -> bool:
    """Return whether a value looks like chat messages: a list of mappings, each with a role under one of its names."""
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(message, Mapping) and _first_key(message, ROLE_KEYS) is not None for message in value)


def is_trained(message: Message) -> bool:
    """Return whether a message is the assistant's, and is not marked as one that is not to be trained.

    The marks are `"weight": 0` (OpenAI, axolotl), `"loss": false` (ms-swift) and `"train": false` (axolotl).
    """
    marks = (message.get("weight"), message.get("loss"), message.get("train"))
    return message["role"] == "assistant" and not any(mark is not None and not mark for mark in marks)


def _normalise_message(message: Any) -> Message:
    if not isinstance(message, Mapping):
        raise ConversationError("each message must have a role and a content")
    role_key = _first_key(message, ROLE_KEYS)
    if role_key is None:
        raise ConversationError("a message has no role")
    role = normalise_role(message[role_key])
    content_key = _first_key(message, CONTENT_KEYS)
    content = None if content_key is None else message[content_key]
    further = {key: value for key, value in message.items() if value is not None and value != []}
    for key in (role_key, content_key):
        further.pop(key, None)
    if str(message[role_key]).strip().lower() in CALL_ROLES:
        return {"role": role, "content": "", "tool_calls": _parse_calls(content), **further}
    text, thinking = _content_text(content, has_calls="tool_calls" in further)
    if thinking and not any(key in further for key in THINKING_KEYS):
        further = {"reasoning_content": thinking, **further}
    return {"role": role, "content": text, **further}


def _first_key(message: Mapping[str, Any], keys: tuple[str, ...]) -> str | None:
    """Return the first of `keys` that has a value in a message, None without one."""
    return next((key for key in keys if message.get(key) is not None), None)


def _content_text(content: Any, has_calls: bool) -> tuple[str, str]:
    """Return the text of a message's content, and the thinking that stands in parts of their own."""
    if isinstance(content, str):
        return content, ""
    if content is None:
        if has_calls:
            return "", ""
        raise ConversationError("a message has no content")
    if not isinstance(content, list):
        raise ConversationError(f"the content of a message must be text, not {json.dumps(content, default=str)}")
    texts: list[str] = []
    thoughts: list[str] = []
    for piece in content:
        if isinstance(piece, str):
            texts.append(piece)
            continue
        part_type = piece.get("type", "text") if isinstance(piece, Mapping) else type(piece).__name__
        if part_type in TEXT_PARTS and isinstance(piece.get(TEXT_PARTS[part_type]), str):
            texts.append(piece[TEXT_PARTS[part_type]])
        elif part_type in THINKING_PARTS:
            thoughts.append(_thinking_of_part(piece, part_type))
        else:
            raise ConversationError(f"a message has a part of the type {part_type}, and r1kit reads text alone")
    return "".join(texts), "".join(thoughts)


def _thinking_of_part(piece: Mapping[str, Any], part_type: str) -> str:
    """Return the text of a part that holds thinking; Mistral writes it as a list of parts with text."""
    value = piece.get(THINKING_PARTS[part_type], piece.get("text"))
    if isinstance(value, list):
        value = "".join(str(inner.get("text") or "") for inner in value if isinstance(inner, Mapping))
    return value if isinstance(value, str) else ""


def _parse_calls(content: Any) -> list[Message]:
    """Return the calls of tools that a ShareGPT turn holds as JSON. Raises ConversationError for anything else."""
    try:
        calls = json.loads(content) if isinstance(content, str) else content
    except (ValueError, RecursionError):
        raise ConversationError("a call of a tool must be JSON, such as {name: add, arguments: {a: 3}}") from None
    calls = calls if isinstance(calls, list) else [calls]
    if not all(isinstance(call, Mapping) and call.get("name") for call in calls):
        raise ConversationError("a call of a tool needs a name")
    return [{"type": "function", "function": dict(call)} for call in calls]
