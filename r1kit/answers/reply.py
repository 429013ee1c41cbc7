r"""Read the answer that a reply states in words: "The answer is 7", "**Final answer**", "#### 7", a bare last line.

Three steps: find where the answer stands (the last phrase that introduces one, else the last line), see whether the
text after it corrects it ("Wait, no: it is 8."), and take off what belongs to the sentence of the answer.

    wording.py      the words by which models introduce, deny, correct and explain answers, in many languages
    plain_value.py  what is taken off an answer: bold type, emoji, quotation marks, a reason
    sentences.py    the number that a sentence states
    phrases.py      phrases that introduce an answer
    last_line.py    the last line

>>> read_statement("### Final Answer: **86**", "math")
('86', 'phrase')
>>> read_statement("So we have 80 + 6.\n86", "math")
('86', 'last line')
>>> read_statement("The answer is 85. Wait, that is wrong: it should be 86.", "math")
('86', 'phrase')
"""

import re

from r1kit.answers.boxes import boxed_answer, find_boxes
from r1kit.answers.last_line import read_last_line
from r1kit.answers.phrases import read_correction, read_phrases
from r1kit.answers.plain_value import clean_value, drop_explanation_lines, is_bare, join_assignments
from r1kit.answers.sentences import read_sentence, write_signs
from r1kit.answers.wording import ANSWER_WORD, NEXT_EXAMPLE, NEXT_TURN, OFFER

# All quantifiers in this file are bounded, so that each search is linear on whatever a model writes.

_END_TOKENS = re.compile(r"<\|[\w▁]{1,30}\|>|<｜[\w▁]{1,30}｜>|</s>|<eos>|<end_of_turn>")
# Tags in which some models write their reply; R1's own answer tags are read before (extract.py).
_CONTAINER = re.compile(
    r"<\|begin_of_solution\|>|<\|start_response\|>|\[begin final response\]|<(?:final_answer|finalanswer|final|"
    r"solution|response|output|answer|boxed)>",
    re.IGNORECASE,
)
_CONTAINER_END = re.compile(
    r"<\|end_of_solution\|>|<\|end_response\|>|\[end final response\]|</(?:final_answer|finalanswer|final|solution|"
    r"response|output|answer|boxed)>",
    re.IGNORECASE,
)
_MAX_CHARS = 20_000  # at the end of a reply, where its answer stands; those before are not searched
_MAX_OFFERS = 3  # paragraphs at the end that may offer more help


def clean_reply(reply: str) -> str:
    """Return what a reply says: without special tokens, tags around all of it, a next turn, and offers of more help."""
    text = _drop_next_turn(reply)
    text = _END_TOKENS.sub("", text) if "<" in text else text
    start = 0
    for match in _CONTAINER.finditer(text):
        start = match.end()
    if start and text[start:].strip():
        end = _CONTAINER_END.search(text, start)
        text = text[start : end.start() if end else len(text)]
    return _drop_offers(text.strip())


def _drop_next_turn(reply: str) -> str:
    """Return a reply up to where the model goes on with the user's next turn, or with a next example."""
    text = reply.lstrip()
    next_turn = NEXT_TURN.search(text, 1)
    if next_turn:
        text = text[: next_turn.start()]
    next_example = NEXT_EXAMPLE.search(text, 1)
    if next_example:
        # Before a question that the reply only repeats there is no answer yet.
        before = text[: next_example.start()]
        if "\\boxed" in before or "####" in before or ANSWER_WORD.search(before):
            return before
    return text


def _drop_offers(text: str) -> str:
    """Return a reply without the paragraphs at its end that offer more help: "Let me know if you have questions!"."""
    for _ in range(_MAX_OFFERS):
        before, separator, last = text.rpartition("\n\n")
        if not separator or not before.strip() or not OFFER.match(last.lstrip()):
            break
        text = before.rstrip()
    return text


def read_block(block: str, checker: str, lenient: bool = False) -> str:
    """Return the answer in an answer block: what the block states, else all of it without markup and explanations.

    `lenient`: the number in a sentence counts as well ("She makes $18 a day.").
    """
    stated = read_statement(block, checker, in_block=True)
    if stated is not None:
        return stated[0]
    text = drop_explanation_lines(join_assignments(block))
    value = clean_value(text, checker)
    if lenient and checker == "math" and not is_bare(value, checker):
        return read_sentence(text) or value
    return value


def read_statement(reply: str, checker: str, in_block: bool = False) -> tuple[str, str] | None:
    """Return the answer that a reply states, and its form: "box", "phrase" or "last line". None where it states none.

    ("", "none"): the reply takes back what it has stated, and states nothing else. `in_block`: the reply is the content
    of an answer block, whose last line is not read as the answer by itself.
    """
    if checker == "math":
        reply = write_signs(reply)
    if len(reply) > _MAX_CHARS:
        box = boxed_answer(reply)
        reply = reply[-_MAX_CHARS:]
        if box and not find_boxes(reply):
            return box.strip(), "box"
    boxes = find_boxes(reply)
    if boxes:
        corrected = read_correction(reply[boxes[-1].end :], checker)
        if corrected is not None:
            return (corrected, "phrase") if corrected else ("", "none")
        box = boxed_answer(reply)
        if box is not None and box.strip():
            return (box.strip() if checker == "math" else clean_value(box, checker) or box.strip()), "box"
    stated = read_phrases(reply, checker)
    if stated is not None:
        return (stated, "phrase") if stated else ("", "none")
    line = "" if in_block else read_last_line(reply, checker)
    return (line, "last line") if line else None
