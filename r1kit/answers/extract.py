r"""Find the chain of thought and the answer in a completion.

`parse_completion` reads R1's own form, `<think>...</think><answer>...</answer>`, which the reward `format` pays for.
`read_answer` is the one reader for everything that judges an answer. It knows the forms that models write instead:

    thinking.py   where the thinking ends and the reply begins, of each family of models
    boxes.py      an answer in a box, or in several
    programs.py   a program in a block of its language, or bare
    reply.py      "The answer is ...", a heading, "####", a bare last line

>>> parsed = parse_completion("<think>2 + 2 is 4.</think><answer>4</answer>")
>>> parsed.thinking, parsed.answer, parsed.well_formed()
('2 + 2 is 4.', '4', True)
>>> read_answer("<think>2 + 2 is 4.</think>The answer is **4**.", "math")
ReadAnswer(text='4', form='phrase')
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from r1kit.answers.boxes import boxed_answer
from r1kit.answers.choices import chosen_letters
from r1kit.answers.last_line import last_paragraph
from r1kit.answers.phrases import find_json_answers
from r1kit.answers.programs import find_fenced_program, find_program
from r1kit.answers.reply import clean_reply, read_block, read_statement
from r1kit.answers.thinking import completion_text, split_thinking
from r1kit.prompts import ALL_TAGS, ANSWER_TAGS

__all__ = [
    "AnswerForms",
    "ParsedCompletion",
    "ReadAnswer",
    "completion_text",
    "extract_program",
    "final_reply",
    "judged_part",
    "last_boxed",
    "parse_completion",
    "read_answer",
    "strip_box",
]

AnswerForms = Literal["tags", "boxed", "any"]
"""Which forms of an answer are read: see read_answer."""
ANSWER_FORMS = ("tags", "boxed", "any")
NO_ANSWER = "none"
"""The form of a completion without an answer that could be read."""
FORMS = ("tags", "box", "program", "phrase", "last line", NO_ANSWER)
"""By what an answer was read, in the order in which tables show it."""

_THINK_BLOCK = re.compile(r"<think>(.*?)</think>", re.DOTALL)
_ANSWER_BLOCK = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_BARE_BOX = re.compile(r"\\boxed\s{0,3}([-+]?\d[\w.]{0,30})")
_TAG = re.compile(r"</?(?:think|answer)>")
# The quantifier is bounded, so that the search stays linear on a text of a million backslashes or spaces.
_BOX_OR_BRACE = re.compile(r"\\boxed\s{0,9}\{|[{}]")


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
    split = split_thinking(completion)
    answers = _find_blocks(_ANSWER_BLOCK, "</answer>", split.reply)
    answer = answers[-1] if answers else boxed_answer(split.reply)
    outside = _remove_blocks(_THINK_BLOCK, "</think>", completion)
    outside = _remove_blocks(_ANSWER_BLOCK, "</answer>", outside)
    return ParsedCompletion(split.thinking, answer, tuple(_TAG.findall(completion)), outside)


@dataclass(frozen=True)
class ReadAnswer:
    """The answer of a completion, and by what it was read."""

    text: str | None
    """The answer, for `code` the program; None where none could be read."""

    form: str
    """One of FORMS."""

    whole: str = field(default="", repr=False, compare=False)
    """All of the text that the answer was taken from, for gold answers that look like a sentence or like markup.

    Where no answer could be read (with `answers="any"`): the text that was searched for one.
    """


@lru_cache(maxsize=4096)
def read_answer(
    completion: str, checker: str = "math", answers: AnswerForms = "any", is_cut: bool = False
) -> ReadAnswer:
    r"""Return the answer of a completion for a checker, and the form by which it was read.

    `answers` says how strictly:

        tags    R1's own form: the last `<answer>` block. A box and a fenced program count without tags as well.
        boxed   boxes, and for `code` a fenced program; within an `<answer>` block too, but not the block itself.
        any     also what models state in words, such as "The answer is 7", and a bare last line.

    What stands in the thinking is no answer, and neither is what stands before it. `is_cut`: the completion ended at
    its limit of tokens, so that its last line may be anything; it is no answer then, nor is an answer block that does
    not end.

    >>> read_answer("<think>so</think>The answer is (B).", "choice").text
    'B'
    >>> read_answer("<think>so</think>The answer is (B).", "choice", "tags")
    ReadAnswer(text=None, form='none')
    """
    if answers not in ANSWER_FORMS:
        raise ValueError(f"answers must be {', '.join(ANSWER_FORMS)}, not {answers!r}")
    reply = _write_boxes_plainly(split_thinking(completion).reply)
    if not reply.strip():
        return ReadAnswer(None, NO_ANSWER)
    blocks = _find_blocks(_ANSWER_BLOCK, "</answer>", reply)
    block = blocks[-1] if blocks else None
    if checker == "code":
        return _read_program(reply, block, answers)
    region = clean_reply(reply) if block is None else block.strip()
    if answers == "boxed" or (answers == "tags" and block is None):
        text, form = boxed_answer(region) or boxed_answer(reply) or "", "box"
    elif block is not None:
        text, form = _read_answer_block(region, checker, lenient=answers == "any"), "tags"
    else:
        text, form = _read_reply(region, checker)
        is_unfinished = is_cut or "<answer>" in reply[_last_end("</answer>", reply) :]
        if form == "last line" and is_unfinished:
            text = ""
    if not text or not text.strip():
        return ReadAnswer(None, NO_ANSWER, region if answers == "any" else "")
    return ReadAnswer(text.strip(), form, region)


def _write_boxes_plainly(reply: str) -> str:
    r"""Return a reply whose boxes all have braces: GLM's have tokens of their own, and `\boxed 5` has none."""
    if "_of_box|>" in reply:
        reply = reply.replace("<|begin_of_box|>", "\\boxed{").replace("<|end_of_box|>", "}")
    if "\\boxed" in reply:
        reply = _BARE_BOX.sub(r"\\boxed{\1}", reply)
    return reply


def _read_answer_block(block: str, checker: str, lenient: bool) -> str:
    """Return the answer in an answer block; `lenient`: the number in a sentence counts as well."""
    if checker == "reasoning_gym":
        return block  # the library's scorers take answers of many lines, and texts of all kinds
    if checker == "choice":
        letters = chosen_letters(block)
        if letters is not None:
            return ", ".join(letters)
        value = read_block(block, checker, lenient)
        # A letter that the block only mentions is not chosen.
        return block if chosen_letters(value) is not None else value
    return read_block(block, checker, lenient)


def _read_reply(reply: str, checker: str) -> tuple[str, str]:
    """Return the answer that a reply without an answer block states, and by which form; empty where it states none."""
    text, form = read_statement(reply, checker) or ("", NO_ANSWER)
    if checker == "choice" and form != "box":
        in_json = find_json_answers(reply)
        letters = chosen_letters(in_json[-1].answer if in_json else reply)
        if letters is not None:
            return ", ".join(letters), "phrase" if form == NO_ANSWER else form
        if chosen_letters(text) is not None:  # a letter that the reply only mentions is not chosen
            return "", NO_ANSWER
    if checker == "reasoning_gym" and form in ("last line", NO_ANSWER):
        return last_paragraph(reply), "last line"
    return text, form


def _read_program(reply: str, block: str | None, answers: AnswerForms) -> ReadAnswer:
    """Return the program of a reply, whose last answer block is `block`."""
    in_block = find_fenced_program(block) if block is not None else None
    if in_block:
        return ReadAnswer(in_block, "program" if answers == "boxed" else "tags")
    fenced = find_fenced_program(reply)
    if block is not None and answers != "boxed":
        # The block may hold the bare program, or only speak of the one before it.
        bare = find_program(block) or _program_in_box(block)
        if bare or not fenced:
            text = bare or block.strip()
            return ReadAnswer(text, "tags") if text else ReadAnswer(None, NO_ANSWER)
    if fenced:
        return ReadAnswer(fenced, "program")
    if answers == "tags":
        return ReadAnswer(None, NO_ANSWER)
    reply = clean_reply(reply)
    boxed = _program_in_box(reply)
    if boxed:
        return ReadAnswer(boxed, "box")
    if answers == "boxed":
        return ReadAnswer(None, NO_ANSWER)
    program = find_program(reply)
    if program:
        return ReadAnswer(program, "last line")
    stated = read_statement(reply, "code")
    program = find_program(stated[0]) if stated and stated[1] == "phrase" else None
    return ReadAnswer(program, "phrase") if program else ReadAnswer(None, NO_ANSWER)


def _program_in_box(text: str) -> str | None:
    """Return the program in the boxes of a text, or None."""
    box = boxed_answer(text)
    return find_program(box) if box else None


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
    reply = split_thinking(completion).reply
    answers = _find_blocks(_ANSWER_BLOCK, "</answer>", reply)
    if answers:
        return answers[-1].strip()
    return re.sub("</?answer>", "", reply).strip()


def judged_part(completion: Any, part: str) -> str:
    """Return what a reward model or a judge reads of a completion, which is text or chat messages.

    That is `final_reply` for the part `answer`, and the whole text for `all`.
    """
    text = completion_text(completion)
    return text.strip() if part == "all" else final_reply(text)


def extract_program(answer: str | None) -> str:
    """Return the program in an answer: its last fenced code block, else the whole answer.

    >>> extract_program("Here it is:\\n```python\\nprint(1)\\n```")
    'print(1)'
    """
    if answer is None:
        return ""
    return find_fenced_program(answer) or answer.strip()
