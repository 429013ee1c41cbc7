r"""Read the answer from the `\boxed{}`es of a text, which may be several.

A model that finds two solutions often puts each into a box of its own. Such boxes are one answer where only a short
phrase links them ("and", "or x =", "for part (a) and"), or where each stands in an item of a list. After a new
sentence, a conclusion or a correction ("wait", "so"), only the later boxes count.

Uses the standard library only.

>>> boxed_answer(r"The answer is $\boxed{7}$.")
'7'
>>> boxed_answer(r"$x = \boxed{7}$ or $x = \boxed{8}$")
'x = 7 or x = 8'
>>> boxed_answer(r"It is $\boxed{8}$ ... wait, it is $\boxed{7}$.")
'7'
"""

import re
from dataclasses import dataclass

# The quantifier is bounded, so that the search stays linear on a text of a million backslashes or spaces.
_BOX_OR_BRACE = re.compile(r"\\(?:boxed|fbox|framebox(?:\[[^\]\n]{0,20}\]){0,2})\s{0,9}\{|\x08oxed\s{0,9}\{|[{}]")
# Longest phrase, in characters, that may link two boxes: "for the smaller triangle in part (a), and".
LINK_CHARACTERS = 80
# Words that correct the box before them or draw a conclusion from it.
_CORRECTION_OR_CONCLUSION = re.compile(
    r"\b(?:wait|no|not|nope|actually|correction|corrected|rather|instead|sorry|oops|mistake|wrong|incorrect|error|hmm|"
    r"but|however|let|check|again|so|thus|hence|therefore|then|gives?|giving|implies|means|which|because|since|"
    r"final|finally|answer|result|total|sum|altogether|simplif\w+|equals?|reconsider\w*|recalculat\w*)\b|\.\.\.|…",
    re.IGNORECASE,
)
# LaTeX and Markdown around boxes that says nothing: $, \[, \quad, \text{, bold type.
_MARKUP = re.compile(r"\\(?:text|mathrm|textbf|mbox)(?![a-zA-Z])|\\(?:q?quad|[\[\]()!,;: ])|[$*{}~]")
# A link without words: "," or "and x =".
_PLAIN_LINK = re.compile(r"\s*[,;&]?\s*(?:and|or|und|oder|et|ou|y|o)?\s*", re.IGNORECASE)
# The name directly before a box: "x =", "f(2) =", "\theta =".
_NAME_BEFORE_BOX = re.compile(
    r"(\\?[a-zA-Z]+(?:_\{?\w{1,9}\}?)?'?(?:\(\w{1,9}\))?)\s*(=|\\in|\\approx)\s*(?:\\[(\[])?\s*$"
)
# A list's marker at the start of a line: "- ", "2. ", "(b) ".
_LIST_MARKER = re.compile(r"\n\s*(?:[-*•+]|\(?(?:\d{1,2}|[a-z]|[ivx]{1,4})[.):])\s", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?:](?:\s|$)|\n\s*\n")


@dataclass(frozen=True)
class Box:
    """The content of a box, and where the box starts and ends in its text."""

    content: str
    start: int
    end: int


def find_boxes(text: str) -> list[Box]:
    r"""Return the boxes of a text whose braces are balanced, in their order; of nested boxes the innermost ones."""
    boxes: list[Box] = []
    # For each open brace: where its box starts and where its content does; None where it is no box's.
    open_braces: list[tuple[int, int] | None] = []
    for match in _BOX_OR_BRACE.finditer(text):
        if match.group() != "}":
            is_box = len(match.group()) > 1
            open_braces.append((match.start(), match.end()) if is_box else None)
            continue
        opening = open_braces.pop() if open_braces else None
        if opening is None:
            continue
        box_start, content_start = opening
        if boxes and boxes[-1].start >= content_start:  # this box holds another one, which has closed already
            continue
        boxes.append(Box(text[content_start : match.start()], box_start, match.end()))
    return boxes


def boxed_answer(text: str) -> str | None:
    """Return the answer in the boxes of a text; None where it has no box whose braces are balanced."""
    boxes = find_boxes(text)
    if not boxes:
        return None
    first = len(boxes) - 1
    while first > 0 and _are_linked(text[boxes[first - 1].end : boxes[first].start]):
        first -= 1
    answer_boxes = boxes[first:]
    if len({box.content.strip() for box in answer_boxes}) == 1:
        return answer_boxes[-1].content
    return _join_boxes(text, answer_boxes)


def _are_linked(between: str) -> bool:
    """Return whether two boxes with this text between them are parts of one answer."""
    if len(between) > 4 * LINK_CHARACTERS:
        return False
    name = _NAME_BEFORE_BOX.search(between.rstrip("$ \n"))
    if name:
        between = between[: name.start()]
    words = _MARKUP.sub(" ", between)
    if _PLAIN_LINK.fullmatch(words):
        return True
    if _CORRECTION_OR_CONCLUSION.search(words) or "=" in words:
        return False
    if _LIST_MARKER.search(between):
        return len(words) <= 2 * LINK_CHARACTERS
    return len(words) <= LINK_CHARACTERS and not _SENTENCE_END.search(words)


def _join_boxes(text: str, boxes: list[Box]) -> str:
    """Return the contents of several boxes as one list, with their names and with the word that links them."""
    pieces = []
    previous_end = 0
    for i, box in enumerate(boxes):
        before = text[max(previous_end, box.start - 4 * LINK_CHARACTERS) : box.start].rstrip("$ \n")
        previous_end = box.end
        name = _NAME_BEFORE_BOX.search(before)
        content = box.content.strip()
        has_name = name is not None and "=" not in content
        if i > 0:
            link = re.search(r"\b(and|or)\b", _MARKUP.sub(" ", before))
            pieces.append(f" {link[1]} " if link else ", ")
        pieces.append(f"{name[1]} {name[2]} {content}" if name and has_name else content)
    return "".join(pieces)
