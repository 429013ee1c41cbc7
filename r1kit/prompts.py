"""Prompt templates, think/answer tags, and reading a completion.

`r1-zero` follows table 1 of arXiv 2501.12948 in substance: plain text, a conversation between User
and Assistant. `chat` is the model's own chat template. `tiny` is the scale model's. Any other value
of a recipe's `prompt.template` that holds `{prompt}` is used as a template as it stands.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

R1_ZERO_TEMPLATE = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. "
    "The Assistant first thinks about the reasoning process in the mind and then provides the user with "
    "the answer. The reasoning process and answer are enclosed within <think> </think> and <answer> "
    "</answer> tags, respectively, i.e., <think> reasoning process here </think> <answer> answer here "
    "</answer>. User: {prompt}. Assistant:"
)

PLAIN_TEMPLATES = {"r1-zero": R1_ZERO_TEMPLATE, "tiny": "Q: {prompt}\nA:"}
CHAT_TEMPLATE = "chat"

_THINK = re.compile(r"<think>(.*?)</think>", re.DOTALL)
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_BRACE = re.compile(r"\\boxed\s{0,9}\{|[{}]")
_TAG = re.compile(r"</?(?:think|answer)>")


def template_text(name: str) -> str:
    """Return the text of the plain template `name`, which may be a template itself."""
    return PLAIN_TEMPLATES.get(name, name)


def fill_template(name: str, prompt: str) -> str:
    """Put `prompt` into the plain template `name`; other braces are left alone."""
    return template_text(name).replace("{prompt}", prompt)


@dataclass(frozen=True)
class ParsedCompletion:
    """What a completion says: its chain of thought, its answer, and whether its form is the exact one."""

    thinking: str | None
    answer: str | None
    tags: tuple[str, ...]
    outside: str

    @property
    def thinks(self) -> bool:
        """Whether there is a think block with something in it."""
        return bool(self.thinking and self.thinking.strip())

    def well_formed(self, thinking: bool = True) -> bool:
        """Whether it is one think block and one answer block, neither empty, and nothing else.

        With `thinking=False`: one answer block alone.
        """
        wanted = ("<think>", "</think>", "<answer>", "</answer>") if thinking else ("<answer>", "</answer>")
        filled = bool(self.answer and self.answer.strip()) and (self.thinks or not thinking)
        return self.tags == wanted and filled and not self.outside.strip()


@lru_cache(maxsize=4096)
def parse_completion(completion: str) -> ParsedCompletion:
    """Read a completion. The answer is the last `<answer>` block, else the last `\\boxed{}`, after `</think>`.

    Thinking that does not end has no answer yet. Where a chat template opens `<think>` itself, all before the
    first `</think>` is the thinking.
    """
    thinking, rest = None, completion
    before, closed, after = completion.partition("</think>")
    opened = before.find("<think>")
    if closed:
        thinking, rest = before[opened + len("<think>") :] if opened >= 0 else before, after
    elif opened >= 0:
        rest = ""
    answers = _blocks(_ANSWER, "</answer>", rest)
    answer = answers[-1] if answers else last_boxed(rest)
    outside = completion
    for pattern, end in ((_THINK, "</think>"), (_ANSWER, "</answer>")):
        last = outside.rfind(end) + len(end) if end in outside else 0
        outside = pattern.sub("", outside[:last]) + outside[last:]
    return ParsedCompletion(thinking, answer, tuple(_TAG.findall(completion)), outside)


def _blocks(pattern: re.Pattern[str], end: str, text: str) -> list[str]:
    """Return what stands in the blocks of `text`; nothing after the last `end` is searched, where none can close."""
    return pattern.findall(text, 0, text.rfind(end) + len(end)) if end in text else []


def last_boxed(text: str) -> str | None:
    """Return what stands in the last balanced `\\boxed{...}` of `text`, or None."""
    opened, closed = list[int | None](), None  # where the braces began; the boxes by their content's start
    last = -1
    for match in _BRACE.finditer(text):
        if match.group() == "}":
            start = opened.pop() if opened else None
            if start is not None and start > last:
                last, closed = start, text[start : match.start()]
        else:
            opened.append(match.end() if len(match.group()) > 1 else None)
    return closed


def strip_box(answer: str) -> str:
    """Return an answer without white space around it and, where all of it is one box, without that."""
    bare = answer.strip()
    whole = re.fullmatch(r"\$*\s*\\boxed\s{0,9}\{(.*)\}\s*\$*", bare, re.DOTALL)
    return whole[1].strip() if whole and whole[1] == last_boxed(bare) else bare


def completion_text(completion: str | list[dict]) -> str:
    """Return a completion's text, whether it is a string or chat messages."""
    return completion if isinstance(completion, str) else "".join(m["content"] for m in completion)
