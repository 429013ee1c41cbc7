r"""Find the answer that a phrase of a reply introduces: "The answer is 7", "**Final answer**", "#### 7", JSON.

>>> read_phrases("### Final Answer: **86**", "math")
'86'
>>> read_phrases("The answer is 85. Wait, that is wrong: it should be 86.", "math")
'86'
"""

import json
import re
from typing import NamedTuple

from r1kit.answers.plain_value import (
    FENCE_LINE,
    HTML_TAG,
    LINE_MARKER,
    clean_value,
    is_bare,
    join_assignments,
    strip_symbols,
)
from r1kit.answers.sentences import drop_denied, drop_restatement, read_sentence, states_no_value
from r1kit.answers.wording import (
    ANSWER_WORD,
    BEFORE_NO_INTRODUCTION,
    CORRECTION,
    CORRECTION_WORDS,
    DENIAL,
    DOUBT,
    FINAL,
    HEADING,
    LINK,
    NAME_LINK,
    NEGATION,
    NO_INTRODUCTION,
    REVOCATION,
    WEAK_LINK,
    YES_OR_NO,
)

# All quantifiers in this file are bounded or possessive, so that each search is linear on whatever a model writes.

# A line without words: a rule, or the mark of a formula that stands by itself.
RULE_LINE = re.compile(r"\s*(?:[-*_=]{3,}|\$\$|\\\[|\\\]|\\begin\{\w{1,12}\*?\}|\\end\{\w{1,12}\*?\}|[{}])\s*")
LIST_ITEM = re.compile(r"\s*(?:[-*•]|\d{1,2}[.)])\s")
# The answer "no" to a question of yes or no.
_NO = re.compile(r"[\s*_]{0,9}(?:no|non|нет)(?:[\s*_.,!]|\Z)", re.IGNORECASE)
_JSON_ANSWER = re.compile(
    r"(?P<quote>[\"'])(?:final[ _]?)?(?:answer|choice|result|solution)(?P=quote)\s{0,9}:\s{0,9}"
    r'(?P<value>"(?:[^"\\\n]|\\.){0,300}+"|'
    r"'(?:[^'\\\n]|\\.){0,300}+'|"
    r"\[[^\]\[\n]{0,300}+\]|[^,}\[\n]{0,300}+)",
    re.I,
)
# A correction behind an answer in its own line.
_CORRECTED = re.compile(rf"(?<=[^\s,;.(–—-])\s{{0,3}}[,;.(–—…!?-]{{1,4}}\s{{0,3}}(?:{CORRECTION_WORDS})", re.IGNORECASE)
_MAX_TRIES = 12  # phrases that are tried, from the last one on


class Statement(NamedTuple):
    """An answer that a phrase of a reply introduces, with the place of both in the reply."""

    start: int
    """Where the phrase starts."""

    end: int
    """Where the answer ends."""

    answer: str


def read_correction(after: str, checker: str) -> str | None:
    """Return the answer that a text states instead of the one before it, "" where it only takes that one back.

    None where the one before it stands. `after`: the text behind an answer.
    """
    corrections = list(CORRECTION.finditer(after))
    if not corrections:
        later_answer = read_phrases(after, checker) if FINAL.search(after) else None
        return later_answer or None
    tail = after[corrections[-1].end() :]
    corrected = read_phrases(tail, checker)
    if corrected is not None:
        return corrected
    weak_links = list(WEAK_LINK.finditer(tail))
    for match in weak_links[: -_MAX_TRIES - 1 : -1]:
        value = clean_value(_value_at(tail, match.end()), checker)
        if value and not NEGATION.match(value) and is_bare(value, checker):
            return value
    bare = clean_value(tail.strip(" \n,:;-—–"), checker)
    if checker == "math":  # "Let me recheck. 6 + 7 = 13, so 13."
        conclusion = clean_value(re.split(r"[,;.]?\s(?:so|thus|hence|therefore),?\s", bare)[-1], checker)
        bare = conclusion if is_bare(conclusion, checker) else bare
    if checker == "exact" and not DOUBT.search(bare):  # "the closest planet to the Sun is Mercury"
        bare = bare[max((match.end() for match in NAME_LINK.finditer(bare)), default=0) :]
    if bare and is_bare(bare, checker) and len(bare) <= 60:
        return bare
    return "" if REVOCATION.search(after) else None


def read_phrases(reply: str, checker: str) -> str | None:
    """Return the answer after the last phrase that introduces one, "" where it is taken back.

    None where no phrase introduces an answer.
    """
    statements = _find_phrases(reply, checker)
    if not statements:
        return None
    start, end, value = statements[-1]
    corrected = read_correction(reply[end:], checker)
    if corrected is not None:
        return corrected
    # Two answers one after the other, without a word between them, are two answers.
    if len(statements) > 1:
        previous = statements[-2]
        between = reply[previous.end : start]
        is_same_phrase = reply[start : start + 4].lower() == reply[previous.start : previous.start + 4].lower()
        is_adjacent = len(between) < 30 and not re.search(r"[^\W\d_]{5}|\d", between)
        if is_same_phrase and is_adjacent and previous.answer != value:
            value = f"{previous.answer}, {value}"
    return value


def _find_phrases(reply: str, checker: str) -> list[Statement]:
    """Return the last answers that phrases of a reply introduce, in their order: three at most."""
    statements = find_json_answers(reply)
    if statements:
        return statements
    # From the end on. The last two are enough: read_phrases uses no more.
    for match in list(ANSWER_WORD.finditer(reply))[: -_MAX_TRIES - 1 : -1]:
        statement = _statement_of(reply, match, checker)
        # "The answer is: the final answer is 7": the inner phrase is nearer to the answer, and was found before.
        if statement is None or (statements and statement.end > statements[0].start):
            continue
        statements.insert(0, statement)
        if len(statements) == 2:
            break
    is_first_line = reply.startswith("####")
    line_start = reply.rfind("\n####") + 1  # 0 where only the first line may begin so
    if line_start or is_first_line:
        line = reply[line_start:].partition("\n")[0].lstrip("# ")
        value = clean_value(line, checker)
        is_last = not statements or line_start > statements[-1].end
        if value and is_last and not HEADING.fullmatch(value):
            statements.append(Statement(line_start, line_start + 4 + len(line), value))
    return statements


def find_json_answers(reply: str) -> list[Statement]:
    """Return the last two answers that stand in JSON objects, such as `{"answer": 7}`; empty ones are left out."""
    matches = list(_JSON_ANSWER.finditer(reply))[-2:]
    statements = [Statement(match.start(), match.end(), _json_value(match["value"])) for match in matches]
    return [statement for statement in statements if statement.answer]


def _statement_of(reply: str, match: re.Match[str], checker: str) -> Statement | None:
    """Return the answer that a word such as "answer" introduces; None where it introduces none."""
    start = _value_start(reply, match)
    if start is None:
        return None
    text = _value_at(reply, start)
    correction = _CORRECTED.search(text)
    if correction:  # "12 - wait, 13": read_correction reads the rest
        text = text[: correction.start()]
    kept_text = drop_denied(text)
    if checker == "math":
        kept_text = drop_restatement(kept_text)
    is_denied = NEGATION.match(kept_text) and not (checker != "math" and _NO.match(kept_text))
    if is_denied or (checker == "math" and states_no_value(kept_text)):
        return None
    value = clean_value(kept_text, checker)
    yes_or_no = YES_OR_NO.match(kept_text) if checker == "exact" else None
    if yes_or_no:  # "Yes, they are."
        value = yes_or_no[1]
    if checker == "math" and value and not is_bare(value, checker):
        value = read_sentence(kept_text) or value
    if not re.search(r"\w|[^\x00-\x7f]\Z", value):
        return None
    # Where the value was not changed, what follows it in its sentence may still correct it.
    index = reply.find(value, start, start + 3000) if kept_text == text else -1
    end = index + len(value) if index >= 0 else start + len(text)
    return Statement(match.start(), end, value)


def _json_value(text: str) -> str:
    """Return a value of a JSON object as an answer."""
    try:
        value = json.loads(text.strip())
    except (ValueError, RecursionError):
        return text.strip().strip("\"'")
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return str(value).strip() if value is not None else ""


def _value_start(reply: str, match: re.Match[str]) -> int | None:
    """Return where the answer starts that a word such as "answer" introduces; None where it introduces none."""
    word_end = match.end()
    if " " in match[0] and match[0].lower().startswith(("therefore", "thus", "hence", "so")):
        return word_end
    line_start = reply.rfind("\n", 0, match.start()) + 1
    line_end = reply.find("\n", word_end)
    if line_end < 0:
        line_end = len(reply)
    if line_end - line_start < 120:
        line = _plain_line(reply[line_start:line_end])
        if HEADING.fullmatch(line):
            return line_end if _is_introducing_heading(line) else None
    if NO_INTRODUCTION.match(reply, word_end):
        return None
    if BEFORE_NO_INTRODUCTION.search(reply[max(0, match.start() - 30) : match.start()]):
        return None
    link = LINK.match(reply, word_end)
    if link is None or DENIAL.search(link[0]):
        return None
    return link.end()


def _is_introducing_heading(line: str) -> bool:
    """Return whether a heading such as "Final answer" introduces the answer; "Answer the question" does not."""
    return not NO_INTRODUCTION.search(" " + line) and len(line.split()) <= 6


def _plain_line(line: str) -> str:
    """Return a line without its marker, bold type and emoji."""
    line = LINE_MARKER.sub("", line, count=1)
    return strip_symbols(re.sub(r"[*_`]", "", HTML_TAG.sub("", line)))


def _value_at(reply: str, start: int) -> str:
    """Return the text of the answer that starts at `start`: the rest of its line, else the next line with a text.

    The items of a list are one answer.
    """
    line_end = reply.find("\n", start)
    first = reply[start : line_end if line_end >= 0 else len(reply)]
    if strip_symbols(first.strip(" *_:：#$[\\`")).strip() or line_end < 0:
        return first
    following = reply[line_end + 1 : line_end + 1 + 2000]
    joined = join_assignments(following)
    if joined != following:
        return joined
    lines: list[str] = []
    for line in following.split("\n"):
        is_text = line.strip() and not RULE_LINE.fullmatch(line) and not FENCE_LINE.fullmatch(line)
        if lines and not (is_text and LIST_ITEM.match(line)):
            break
        if is_text:
            lines.append(line)
            if not LIST_ITEM.match(line):
                break
    if len(lines) < 2:
        return "".join(lines)
    return ", ".join(LIST_ITEM.sub("", line, count=1).strip() for line in lines)
