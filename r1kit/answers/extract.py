r"""Find the chain of thought and the answer in a completion.

A completion should read `<think>...</think><answer>...</answer>`. This module also reads the forms that models write
instead: an answer in `\boxed{...}`, a think block that the prompt has opened, a completion that was cut off.

>>> parsed = parse_completion("<think>2 + 2 is 4.</think><answer>4</answer>")
>>> parsed.thinking, parsed.answer, parsed.well_formed()
('2 + 2 is 4.', '4', True)
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from r1kit.answers.boxes import boxed_answer
from r1kit.prompts import ALL_TAGS, ANSWER_TAGS

_THINK_BLOCK = re.compile(r"<think>(.*?)</think>", re.DOTALL)
_ANSWER_BLOCK = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_TAG = re.compile(r"</?(?:think|answer)>")
# The quantifier is bounded, so that the search stays linear on a text of a million backslashes or spaces.
_BOX_OR_BRACE = re.compile(r"\\boxed\s{0,9}\{|[{}]")
_CODE_FENCE = re.compile(r"```[^\n`]*\n(.*?)```", re.DOTALL)


def completion_text(completion: str | Sequence[Mapping[str, Any]]) -> str:
    """Return the text of a completion, which is a string or a list of chat messages."""
    if isinstance(completion, str):
        return completion
    return "".join(message["content"] for message in completion)


@dataclass(frozen=True)
class ParsedCompletion:
    """The parts of a completion."""

    thinking: str | None
    """The chain of thought; None where the completion has no think block, or one that never ends."""

    answer: str | None
    """The answer as the model wrote it; None where there is none."""

    tags: tuple[str, ...]
    """All think and answer tags in their order."""

    outside: str
    """The text that stands neither in a think block nor in an answer block."""

    @property
    def thinks(self) -> bool:
        """Whether there is a think block that is not empty."""
        return bool(self.thinking and self.thinking.strip())

    def well_formed(self, thinking: bool = True) -> bool:
        """Return whether the completion is one think block and one answer block, neither empty, and nothing else.

        With `thinking=False` it must be one answer block alone.
        """
        expected_tags = ALL_TAGS if thinking else ANSWER_TAGS
        has_answer = bool(self.answer and self.answer.strip())
        has_thinking = self.thinks or not thinking
        return self.tags == expected_tags and has_answer and has_thinking and not self.outside.strip()


@lru_cache(maxsize=4096)
def parse_completion(completion: str) -> ParsedCompletion:
    r"""Return the chain of thought, the answer and the tags of a completion.

    The answer is the content of the last `<answer>` block after `</think>`, else of the last `\boxed{}` there, or of
    several boxes that are one answer (boxes.py). A think block that does not end has no answer yet: a guess within it
    does not count. Where the prompt has opened `<think>` itself, everything before the first `</think>` is the chain
    of thought.
    """
    before, thinking_end, after = completion.partition("</think>")
    thinking_start = before.find("<think>")
    thinking = None
    answer_text = completion
    if thinking_end:
        thinking = before[thinking_start + len("<think>") :] if thinking_start >= 0 else before
        answer_text = after
    elif thinking_start >= 0:
        answer_text = ""  # the completion was cut off while the model was thinking
    answers = _find_blocks(_ANSWER_BLOCK, "</answer>", answer_text)
    answer = answers[-1] if answers else boxed_answer(answer_text)
    outside = _remove_blocks(_THINK_BLOCK, "</think>", completion)
    outside = _remove_blocks(_ANSWER_BLOCK, "</answer>", outside)
    return ParsedCompletion(thinking, answer, tuple(_TAG.findall(completion)), outside)


def _find_blocks(pattern: re.Pattern[str], end_tag: str, text: str) -> list[str]:
    """Return the contents of the blocks in `text`.

    Only the text up to the last end tag is searched: behind it no block can close, and a search for blocks that never
    close takes quadratic time.
    """
    return pattern.findall(text, 0, _last_end(end_tag, text))


def _remove_blocks(pattern: re.Pattern[str], end_tag: str, text: str) -> str:
    """Return `text` without its blocks; see _find_blocks for what is searched."""
    end = _last_end(end_tag, text)
    return pattern.sub("", text[:end]) + text[end:]


def _last_end(end_tag: str, text: str) -> int:
    """Return the index after the last `end_tag`, 0 where there is none."""
    start = text.rfind(end_tag)
    return start + len(end_tag) if start >= 0 else 0


def last_boxed(text: str) -> str | None:
    r"""Return the content of the last `\boxed{...}` whose braces are balanced, or None.

    >>> last_boxed(r"It is not \boxed{3} but \boxed{\frac{1}{2}}.")
    '\\frac{1}{2}'
    """
    content = None
    content_start = -1
    # For each open brace: where its content starts if it is a box, else None.
    open_braces: list[int | None] = []
    for match in _BOX_OR_BRACE.finditer(text):
        if match.group() != "}":
            is_box = len(match.group()) > 1
            open_braces.append(match.end() if is_box else None)
            continue
        box_start = open_braces.pop() if open_braces else None
        # Of nested boxes the inner one closes first and starts last; the outer one must not replace it.
        if box_start is not None and box_start > content_start:
            content_start = box_start
            content = text[box_start : match.start()]
    return content


def strip_box(answer: str) -> str:
    r"""Return an answer without white space around it and, if the whole answer is one `\boxed{}`, without the box."""
    stripped = answer.strip()
    box = re.fullmatch(r"\$*\s*\\boxed\s{0,9}\{(.*)\}\s*\$*", stripped, re.DOTALL)
    if box and box[1] == last_boxed(stripped):
        return box[1].strip()
    return stripped


def final_reply(completion: str) -> str:
    r"""Return what a completion tells the user: its last answer block, else all text after its thinking.

    Empty where the thinking never ends. Unlike `parse_completion`, this takes no `\boxed{}` out of its sentence: a
    reward model is to judge whole sentences.
    """
    before, thinking_end, reply = completion.partition("</think>")
    if not thinking_end:
        if "<think>" in before:
            return ""
        reply = before
    answers = _ANSWER_BLOCK.findall(reply)
    if answers:
        return answers[-1].strip()
    return re.sub("</?answer>", "", reply).strip()


def extract_program(answer: str | None) -> str:
    """Return the program in an answer: its last fenced code block, else the whole answer.

    >>> extract_program("Here it is:\\n```python\\nprint(1)\\n```")
    'print(1)'
    """
    if answer is None:
        return ""
    fenced = _CODE_FENCE.findall(answer)
    return (fenced[-1] if fenced else answer).strip()
