r"""Clean an answer: take off the markup, emoji, quotes, reason and full stop, which belong to its sentence.

>>> clean_value("✅ **86** (since 80 + 6 = 86).", "math")
'86'
"""

import re
import unicodedata

from r1kit.answers.wording import COPULA, EXPLANATION_LINE, REASON

# All quantifiers in this file are bounded or possessive, so that each search is linear on whatever a model writes.

LONGEST_LINE = 300  # characters of a line that may be an answer by itself
_MOST_WORDS = 12  # of an answer that is a text
_MAX_LAYERS = 4  # of markup within markup that are taken off: "**`86`**" has two

# A full stop that ends a sentence: not that of a number, nor of "St." or "U.S.".
_SENTENCE_END = re.compile(r"(?<![A-Z][a-z])(?<!\b[A-Z])[.!](?=\s+[\"“(*]?[A-ZÀ-ÞА-Я])|[。！।]\s*|(?<=\w)\.(?=\s*\n)")
# Brackets after the answer, which may hold an explanation.
_LAST_BRACKETS = re.compile(r"(?<=[^\s(（])\s{0,3}[(（]([^()（）\n]{1,400})[)）][.\s]*\Z")
# What shows that brackets hold an explanation: a word, an equation, "or", "i.e.".
_EXPLAINS = re.compile(r"[^\W\d_]{3}|=|≈|\bor\b|i\.e")
# What a line begins with in Markdown: ">", "##", "-", "1.", and arrows.
LINE_MARKER = re.compile(
    r"\s*(?:>{1,6}(?=[\s*])\s*|#{1,6}\s*|[-*•+–—→]\s+|=>\s*|[⇒⟹∴]\s*|\d{1,2}[.)]\s+(?=[*$\\]|[a-zA-Z]\s?=))*"
)
HTML_TAG = re.compile(r"</?(?:b|strong|i|em|u|p|br|span|code|mark|center)\s{0,3}/?>", re.IGNORECASE)
_QUOTES = ('""', "''", "“”", "‘’", "„“", "„”", "«»", "「」", "『』", "``", "《》", "〈〉", "【】")
_MATH_MARKS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"))
FENCE_LINE = re.compile(r"\s*(?:`{3,}|~{3,})[^`\n]{0,40}")
# One number with its unit, of two or three as in "3 hours and 20 minutes".
_TIME_OR_LENGTH = r"\d{1,9} (?:days?|hours?|hrs?|minutes?|mins?|seconds?|years?|months?|weeks?|feet|foot|inch(?:es)?)"
# A number with its unit, a time, a quantity in two units, or a formula between dollars.
NUMBER = re.compile(
    # Scripts without spaces between their words may write on directly before and behind a number.
    r"(?<![0-9A-Za-z_\u00c0-\u06ff.,:/^√])"
    r"(?:\d{1,2}:\d\d(?::\d\d)?(?:\s?[ap]\.?m(?![a-z]))?"
    rf"|{_TIME_OR_LENGTH}(?:,? and |,? ){_TIME_OR_LENGTH}(?:,? and {_TIME_OR_LENGTH})?"
    r"|[-−+]?[$€£]?(?:\d{1,3}(?:[ \u00a0\u202f]\d{3}){1,9}+(?!\d)(?:,\d++)?|\d[\d,]*+)(?:\.(?=\d)\d++)?+"
    r"(?:[eE][-+]?\d++)?+(?:/\d++)?+(?: out of \d++| in \d++(?= chance))?+"
    r"(?:\s?(?:%|\\%))?+(?:[kcm]?m|[km]?g|m?[lL]|mph)?+)"
    r"(?![0-9A-Za-z_\u00c0-\u06ff])|\$[^$\n]{1,100}\$"
)
_WORD = re.compile(r"(?:[^\W\d_]|[\u0900-\u0dff]){3,}")  # with the vowels of Indian scripts, which are no letters
_LATEX_WORD = re.compile(r"\\[A-Za-z]+|\\(?:text|mathrm|mbox|textbf|operatorname)\s?\{[^{}\n]{0,80}\}")
# A sentence without spaces that has a number in it: no answer by itself.
_UNSPACED_SENTENCE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af][^\n]*[\d$]")

# "- 5" is a number, and no item of a list.
_NEGATIVE = re.compile(r"[-−] ?\d[\d.,]*\s*\Z")
# Bold type; between two operands ** is a power.
_BOLD_START = re.compile(r"(?<![\w)\]}])\*\*(.+?)\*\*", re.DOTALL)
# An integer with another one instead of it: "3 or 4".
_ALTERNATIVE_INTEGER = re.compile(r"(?<![\d.,/])(\d{1,9}) or (?:[a-z] = )?[-−]?(?!\1(?!\d))\d{1,9}(?![\d.,/%^])")
# "5!", "n/n!", "(n-1)!": no exclamation.
_FACTORIAL = re.compile(r"(?:(?<![A-Za-z])[A-Za-z]|\d|[)}])!+\s*\Z")


def clean_value(text: str, checker: str) -> str:
    r"""Return an answer without what belongs to its sentence: markup, emoji, quotes, a reason, a full stop.

    >>> clean_value("✅ **86** (since 80 + 6 = 86).", "math")
    '86'
    """
    text = HTML_TAG.sub("", text[: 20 * LONGEST_LINE]).strip()
    if "```" in text or "~~~" in text:
        text = "\n".join(line for line in text.split("\n") if not FENCE_LINE.fullmatch(line)).strip()
    if checker in ("math", "exact", "choice"):
        text = first_sentence(text)
        reason = REASON.search(text)
        if reason and reason.start() > 0:
            text = text[: reason.start()]
    for _ in range(_MAX_LAYERS):
        before = text
        if not (checker == "math" and _NEGATIVE.match(text)):
            text = LINE_MARKER.sub("", text, count=1)
        text = strip_symbols(text)
        text = COPULA.sub("", text)
        text = _BOLD_START.sub(r"\1", text)
        text = re.sub(r"^\*{1,3}(?=\S)|(?<=\S)\*{1,3}$|^_{1,2}(?=[^_\s{])|(?<=[^_\s}])_{1,2}$", "", text).strip()
        if checker == "math" and _FACTORIAL.search(text):
            text = _strip_quotes(text)
            text = _strip_math(text)
            break
        text = text.rstrip(".。।!！,，;；:：\\ \n").strip() if not text.endswith(("\\,", "\\!")) else text[:-2]
        text = COPULA.sub("", text)
        text = _strip_quotes(text)
        text = _drop_last_brackets(text)
        text = _strip_math(text)
        if text == before:
            break
    return text


def first_sentence(text: str) -> str:
    """Return a text up to the end of its first sentence."""
    end = _SENTENCE_END.search(text)
    return text[: end.start()] if end and end.start() > 0 else text


def _drop_last_brackets(text: str) -> str:
    """Return a text without an explanation in brackets at its end; brackets of a formula stay."""
    brackets = _LAST_BRACKETS.search(text)
    if not brackets or brackets.start() == 0 or text[: brackets.start()].endswith(("\\left", "\\big", "\\Big")):
        return text
    if re.match(r"\s*\\?p?mod", brackets[1]):
        return text
    if _ALTERNATIVE_INTEGER.search(text[: brackets.start()] + " " + brackets[1]):  # "3 (or 4)" does not decide
        return text
    explains = _EXPLAINS.search(_LATEX_WORD.sub(" ", brackets[1]))
    # "11 apples (5 + 6)": a computation behind a word is no factor; "arcsin(x)" is one formula.
    is_computation = re.search(r"\d\s[-+*/×÷·]\s\d", brackets[1]) and brackets[0][0].isspace()
    return text[: brackets.start()] if explains or (is_computation and text[brackets.start() - 1].isalpha()) else text


def strip_symbols(text: str) -> str:
    """Return a text without emoji, check marks and white space at its ends."""
    start, end = 0, len(text)
    while start < end and _is_decoration(text[start]):
        start += 1
    while end > start and _is_decoration(text[end - 1]):
        end -= 1
    return text[start:end]


def _is_decoration(character: str) -> bool:
    """Return whether a character is white space or an emoji, and no part of an answer such as a degree sign."""
    if character < "\u2190":
        return character.isspace() or character == "\u200b"
    # Arrows and mathematical symbols are of other categories, but for a few that are written before answers.
    return unicodedata.category(character) in ("So", "Mn", "Cf") or character in "→⇒►▶➡"


def _strip_quotes(text: str) -> str:
    """Return a text without the quotation marks around all of it."""
    for quotes in _QUOTES:
        if len(text) > 2 and text[0] == quotes[0] and text[-1] == quotes[1] and text.count(quotes[0], 1, -1) == 0:
            return text[1:-1].strip()
    return text


def _strip_math(text: str) -> str:
    r"""Return a text without the dollars, and the \text{}, around all of it."""
    for opening, closing in _MATH_MARKS:
        inner = text[len(opening) : -len(closing)]
        if (
            len(text) > len(opening) * 2
            and text.startswith(opening)
            and text.endswith(closing)
            and opening not in inner
        ):
            return inner.strip()
    match = re.fullmatch(r"\\(?:text|textbf|textit|mathrm|mathbf|mbox|operatorname|boxed|fbox)\s?\{([^{}]*)\}", text)
    return match[1].strip() if match else text


def drop_explanation_lines(text: str) -> str:
    """Return a text up to its first line that only explains the answer before it."""
    lines = text.strip().split("\n")
    answer_lines = [lines[0]]
    for line in lines[1:]:
        if EXPLANATION_LINE.match(line):
            break
        answer_lines.append(line)
    return "\n".join(answer_lines).strip()


def join_assignments(text: str) -> str:
    """Return lines such as "x = 7" and "y = 8" as one list; any other text as it is."""
    lines = [LINE_MARKER.sub("", line, count=1).strip().rstrip(",;.") for line in text.strip().split("\n")]
    lines = [line for line in lines if line]
    if not 2 <= len(lines) <= 10:
        return text
    if all(re.fullmatch(r"\$?\\?[A-Za-z]\w{0,8}\s*=[^=\n]{1,60}", line) for line in lines):
        return ", ".join(lines)
    return text


def is_bare(value: str, checker: str) -> bool:
    """Return whether a text is an answer by itself and no sentence."""
    if not value or len(value) > LONGEST_LINE or "\n" in value.strip():
        return False
    if checker != "math":
        return len(value.split()) <= _MOST_WORDS
    if _UNSPACED_SENTENCE.search(value):
        return False
    if re.search(r"(?<![^\s)}$])(?:is|are)\s", value):  # "20% of 100 is 20"
        return False
    words = _WORD.findall(_LATEX_WORD.sub(" ", value))
    if not words:
        return bool(re.search(r"\w", value))
    if len(NUMBER.findall(value)) > 1:
        return False
    starts_with_number = re.match(r"[-−+$€£\\(]{0,3}[\dA-Za-z]{0,3}\d", value)
    return len(words) <= 2 if starts_with_number else len(value.split()) <= 2


def is_list_of_values(text: str) -> bool:
    """Return whether a text is several numbers or formulas and no sentence: "$x = 2$ and $x = 3$"."""
    values = re.split(r",\s(?:and\s)?|\s(?:and|und|et|y|e|и)\s", text)
    return 1 < len(values) <= 10 and all(
        is_bare(value, "math") and not _WORD.search(_LATEX_WORD.sub(" ", value)) for value in values
    )
