"""Tell a completion's thinking from its reply, in the forms in which the families of reasoning models write it.

    <think>...</think>REPLY                                   DeepSeek-R1, QwQ, Qwen3, GLM, Phi-4, MiniMax and others
    ...</think>REPLY                                          the same where the prompt has opened the thinking
    [THINK]...[/THINK]REPLY                                   Magistral
    <|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>REPLY      gpt-oss
    <thought>, <reasoning>, <|begin_of_thought|>, ...         others; see _PAIRS
    {"reasoning_content": ..., "content": REPLY}              chat messages of a server or of a response template

A thinking that does not end has no reply: what was thought in it is no answer.

>>> split_thinking("[THINK]2 + 2 is 4.[/THINK]It is 4.")
SplitCompletion(thinking='2 + 2 is 4.', reply='It is 4.')
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

# Opening and closing marks of a thinking. They are found in upper and lower case.
MARK_PAIRS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),  # EXAONE Deep, Marco-o1
    ("<thoughts>", "</thoughts>"),
    ("<reasoning>", "</reasoning>"),
    ("<reason>", "</reason>"),
    ("<scratchpad>", "</scratchpad>"),
    ("<seed:think>", "</seed:think>"),  # Seed-OSS
    ("<longcat_think>", "</longcat_think>"),
    ("[think]", "[/think]"),  # Magistral
    ("◁think▷", "◁/think▷"),  # Kimi
    ("<|begin_of_thought|>", "<|end_of_thought|>"),  # Sky-T1, OpenThinker
    ("<|start_thinking|>", "<|end_thinking|>"),  # Command A Reasoning
    ("<unused94>thought", "<unused95>"),  # MedGemma
    ("<|channel>thought", "<channel|>"),  # Gemma 4
)
_MARK_PATTERN = "|".join(re.escape(mark) for pair in MARK_PAIRS for mark in pair)
_MARK = re.compile(_MARK_PATTERN, re.IGNORECASE)
# For each mark: the number of its pair, and whether it closes.
_MARKS = {mark: (number, mark == pair[1]) for number, pair in enumerate(MARK_PAIRS) for mark in pair}

# gpt-oss ("harmony"): a message in a channel. The quantifier is bounded, so that the search stays linear.
_CHANNEL = re.compile(r"<\|channel\|>\s{0,9}(\w{1,20})[^<]{0,200}(?:<\|constrain\|>[^<]{0,50})?<\|message\|>")
_CHANNEL_END = re.compile(r"<\|(?:end|return|call|start|channel)\|>")
# The same, where decoding has left out the special tokens.
_BARE_ANALYSIS = re.compile(r"\s*analysis(?=[A-Z0-9\"'(*\\$])")
_BARE_FINAL = "assistantfinal"

# Granite 3.2 says in words where its thinking begins and ends.
_GRANITE_THINKING = re.compile(r"\s*Here(?:'s| is) my thought process:")
_GRANITE_REPLY = re.compile(r"Here(?:'s| is) my response:")

# What a chat message calls its thinking: vLLM and DeepSeek, TRL and Anthropic, OpenRouter and newer vLLM.
_REASONING_KEYS = ("reasoning_content", "thinking", "reasoning")
# Messages with these roles hold what a tool returned, which the model did not write.
_TOOL_ROLES = ("tool", "function", "ipython", "observation", "environment")


@dataclass(frozen=True)
class SplitCompletion:
    """A completion's thinking and its reply."""

    thinking: str | None
    """The chain of thought; None where the completion has none, or one that never ends."""

    reply: str
    """What the model says to the user; empty where the thinking never ends."""


def completion_text(completion: str | Sequence[Mapping[str, Any]]) -> str:
    """Return the text of a completion, which is a string or a list of chat messages.

    A message that carries its thinking apart, in `reasoning_content`, `thinking` or `reasoning`, has it before its
    content, in think tags. What tools returned is left out: the model did not write it.

    >>> completion_text([{"role": "assistant", "reasoning_content": "2 + 2 is 4.", "content": "It is 4."}])
    '<think>\\n2 + 2 is 4.\\n</think>\\n\\nIt is 4.'
    """
    if isinstance(completion, str):
        return completion
    texts = []
    for message in completion:
        if message.get("role") not in _TOOL_ROLES:
            texts.append(_message_text(message))
    return "".join(texts)


def message_thinking(message: Mapping[str, Any]) -> str:
    """Return the thinking that a chat message carries apart from its content; empty where it has none."""
    for key in _REASONING_KEYS:
        thinking = message.get(key)
        if isinstance(thinking, str) and thinking.strip():
            return thinking
    return ""


def _message_text(message: Mapping[str, Any]) -> str:
    """Return the text of one chat message, its thinking in think tags."""
    content = _content_text(message.get("content"))
    thinking = message_thinking(message).strip("\n")
    # Some servers return the thinking twice: apart, and within the content.
    if not thinking or "</think>" in content:
        return content
    return f"<think>\n{thinking}\n</think>\n\n{content}"


def _content_text(content: Any) -> str:
    """Return the content of a chat message as text: a string, nothing, or a list of parts such as text and thinking."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        return str(content)
    texts = []
    for piece in content:
        if isinstance(piece, str):
            texts.append(piece)
        elif isinstance(piece, Mapping):
            thinking = piece.get("thinking")
            if thinking:  # Mistral and Anthropic: {"type": "thinking", "thinking": a text or a list of parts}
                texts.append(f"<think>\n{_content_text(thinking)}\n</think>\n\n")
            elif piece.get("text"):
                texts.append(str(piece["text"]))
    return "".join(texts)


@lru_cache(maxsize=4096)
def split_thinking(completion: str) -> SplitCompletion:
    """Return the thinking and the reply of a completion.

    Where a thinking closes that nothing has opened, the prompt has opened it, and all text before is thinking. Text
    before the first thinking is no reply. A completion may think several times; its reply is all that stands after and
    between.
    """
    if "<|message|>" in completion:
        channels = _split_channels(completion)
        if channels is not None:
            return channels
    if _BARE_ANALYSIS.match(completion):
        return _split_at(completion, _BARE_ANALYSIS, completion.rfind(_BARE_FINAL), len(_BARE_FINAL))
    if _GRANITE_THINKING.match(completion):
        reply = _GRANITE_REPLY.search(completion)
        start = reply.start() if reply else -1
        return _split_at(completion, _GRANITE_THINKING, start, len(reply[0]) if reply else 0)
    return _split_marks(completion)


def _split_marks(completion: str) -> SplitCompletion:
    """Return the thinking and the reply of a completion whose thinking stands between marks."""
    thinking: list[str] = []
    reply: list[str] = []
    open_pair: int | None = None
    start = 0
    for match in _MARK.finditer(completion):
        pair, closes = _MARKS[match[0].lower()]
        if open_pair is None:
            reply.append(completion[start : match.start()])
            if closes and not thinking:
                thinking.append("".join(reply))
                reply = []
            elif not closes:
                open_pair = pair
            start = match.end()
        elif closes and pair == open_pair:
            if not thinking:
                reply = []
            thinking.append(completion[start : match.start()])
            open_pair = None
            start = match.end()
    is_open = open_pair is not None
    if not is_open:
        reply.append(completion[start:])
    return SplitCompletion("\n".join(thinking) if thinking else None, "" if is_open else "".join(reply))


def _split_channels(completion: str) -> SplitCompletion | None:
    """Return the thinking and the reply of a completion in gpt-oss's channels; None where it has no channel."""
    texts: dict[bool, list[str]] = {True: [], False: []}
    for match in _CHANNEL.finditer(completion):
        end = _CHANNEL_END.search(completion, match.end())
        content = completion[match.end() : end.start() if end else len(completion)]
        texts[match[1] == "final"].append(content)
    if not texts[True] and not texts[False]:
        return None
    thinking = "\n".join(texts[False])
    return SplitCompletion(thinking if texts[True] else None, texts[True][-1] if texts[True] else "")


def _split_at(completion: str, opening: re.Pattern[str], reply_start: int, mark_length: int) -> SplitCompletion:
    """Return a completion split at the mark at `reply_start`; -1 where the thinking never ends."""
    match = opening.match(completion)
    thinking_start = match.end() if match else 0
    if reply_start < 0:
        return SplitCompletion(None, "")
    return SplitCompletion(completion[thinking_start:reply_start], completion[reply_start + mark_length :])
