"""Read the number that a sentence states: 18 in "She makes $18 a day.", and none in "She makes less than $18.".

>>> read_sentence("Natalia sold 72 clips."), read_sentence("She sold more than 72.")
('72', '')
>>> drop_denied("12, not 13"), drop_denied("not 13 but 12")
('12', '12')
"""

import re
from dataclasses import replace
from fractions import Fraction

from r1kit.answers.normalise import clean_answer
from r1kit.answers.plain_value import LONGEST_LINE, NUMBER, clean_value, first_sentence, is_bare
from r1kit.answers.quantities import SCALES, Quantity, parse_quantity, same_quantity, scales_number
from r1kit.answers.wording import (
    BEFORE_SIGN_WORD,
    BOUNDS,
    COMPARISON_BEHIND,
    COMPARISON_WORDS,
    COUNT_OF_BOUNDED,
    DENIAL_BEHIND,
    DENIAL_WORDS,
    DOUBT,
    RESTATEMENT,
    SIGN_WORD,
    VALUE_LINK,
)

# All quantifiers in this file are bounded or possessive, so that each search is linear on whatever a model writes.

# "not 42", "less than $42", "at least a total of 42"; "42 or more".
_DENIED_NUMBER = re.compile(
    rf"(?:{DENIAL_WORDS}|{COMPARISON_WORDS})\s{{0,3}}(?:(?:an?|the|total of|eine?|une?) ){{0,2}}"
    rf"[$€£*\\({{]{{0,6}}[-−]?\d|\d[\s*$]{{0,4}}{COMPARISON_BEHIND}",
    re.IGNORECASE,
)
# What a text denies behind what it says, "12, not 13", and before it, "not 13 but 12".
_DENIED_BEHIND = re.compile(
    rf"(?<=\S)(?:\s{{0,3}}[,;(（，]|\s(?:and|und|et|y|e|и|а)(?=\s)|而)\s{{0,3}}(?:{DENIAL_WORDS})\s{{0,3}}"
    r"[^,;()（）\n]{1,40}?[)）]?(?=[\s.!。*]{0,9}\Z)",
    re.IGNORECASE,
)
DENIED_BEFORE = re.compile(
    r"[^\s,，]{1,20}[가이] 아니라\s{1,3}|"
    r"\bneither\s[^\s,]{1,40}\snor\s[^\s,]{1,40}\s{0,3},?\sbut\s|"
    r"(?:\b(?:not|nicht|pas|no|non|não|не)\s|不是)\s{0,3}[^\s,，]{1,40}\s{0,3}[,，]?\s{0,3}"
    r"(?:(?:but|rather|sondern|mais|sino|ma|mas|а)(?:\s(?:rather|instead))?\s|而?是)\s{0,3}",
    re.IGNORECASE,
)
# A bound with its number at the end of a text: "at least 5 apples".
_BOUND_WORDS = "|".join(sorted(BOUNDS, key=len, reverse=True))
_BOUND = re.compile(
    rf"\b({_BOUND_WORDS})\s{{1,3}}(-?\d[\d.,/]{{0,20}})([^\d]{{0,30}})\Z",
    re.IGNORECASE,
)
_LONGEST_UNIT = 20  # characters between a number and its restatement
_BOLD = re.compile(r"\*\*([^*\n]{1,200})\*\*|__([^_\n]{1,200})__")
# A computation with its result: "1500 - 1423 = 77", "5 eggs * 3 = ".
COMPUTATION = re.compile(r"[-−+*/×÷·x%]\s?[$€£(]?\d[\d.,]*+[^=\n]{0,40}=\s*[$€£\\-]{0,3}\d")
# "x = 2 and y = 3" states two numbers.
_SEVERAL_EQUATIONS = re.compile(r"=[^=\n]{0,60}(?:\b(?:and|or)\b|[,;])\s[^=\n]{0,60}=")
# The result behind an equals sign: "= $64 for the glasses".
_NUMBER_FIRST = re.compile(r"\s*(?:\$\s*)?([-−]?[$€£]?\d[\d,]*+(?:\.\d++)?(?:/\d++)?(?:\s?(?:%|\\%))?)(?![\w^*/+])")
# "3 and a half": the number is another one.
_HALF = re.compile(r"\s(?:and|und|et|y|e) (?:an?|one|half|demi|media|mezz|meia)\b", re.IGNORECASE)
# A word that is a part of the number before it: "3 million", "3 percent".
_SCALE = re.compile(rf"\s(?:{'|'.join(SCALES)})(?=s?\b)|(?P<percent>\sper\s?cent\b)")


def drop_denied(text: str) -> str:
    """Return a text without what it denies beside what it says: "12, not 13" is "12"."""
    text = text[: 20 * LONGEST_LINE]
    return _DENIED_BEHIND.sub("", DENIED_BEFORE.sub("", text, count=1), count=1)


def write_signs(text: str) -> str:
    """Return a text with a minus for the word: "It is minus 12 degrees." is "It is -12 degrees."."""

    def write_sign(match: re.Match[str]) -> str:
        is_sign = BEFORE_SIGN_WORD.search(text, max(0, match.start() - 10), match.start())
        return "-" if is_sign else match[0]

    return SIGN_WORD.sub(write_sign, text)


def drop_restatement(text: str) -> str:
    """Return a text without what states its value once more, as a percentage or rounded: "1/2, or 50%" is "1/2"."""
    restatement = RESTATEMENT.search(text)
    if restatement is None:
        return text
    before, after = text[: restatement.start()], text[restatement.end() :]
    if before[-1:].isalpha():
        after = re.sub(r"^\s[^\W\d_]{1,12}", "", after)  # the unit, which stands before already
    if restatement["is_rounded"] and re.search(r"\\[a-z]+|√|π", before[-LONGEST_LINE:]):
        return before + after  # a formula and its value in decimals
    numbers = list(NUMBER.finditer(before))
    if not numbers or len(before) - numbers[-1].end() > _LONGEST_UNIT or numbers[-1][0] == restatement["value"]:
        return text
    first = parse_quantity(clean_answer(numbers[-1][0]))
    second = parse_quantity(clean_answer(restatement["value"]))
    if first is None or second is None:
        return text
    first, second = replace(first, unit=""), replace(second, unit="")
    is_same = same_quantity(first, second) or same_quantity(second, first) or _is_rounded(first.value, second)
    return before + after if is_same else text


def read_bound(text: str) -> str:
    """Return the inequality in the last line of a text, "x is at least 5." as "\\ge5"; empty where it states none."""
    lines = [line for line in text.strip().split("\n") if line.strip()]
    line = re.sub(r"[*_$]|\\[()]", "", lines[-1][-LONGEST_LINE:]).strip() if lines else ""
    bound = _BOUND.search(line)
    if bound is None:
        return ""
    before = line[: bound.start()]
    is_relative = re.search(r"\d|\b(?:twice|half|double|triple|times|any|much)\b", before)  # "twice more than 5"
    if is_relative or DOUBT.search(before) or DOUBT.search(bound[3]):
        return ""
    return f"{BOUNDS[' '.join(bound[1].lower().split())]}{bound[2].rstrip('.,')}"


def states_no_value(text: str) -> bool:
    """Return whether the first sentence of a text denies its number, or compares with it ("less than 20").

    A formula that was cut off in its middle is no value either.
    """
    sentence = first_sentence(text[: 20 * LONGEST_LINE])
    if text.count("{") > text.count("}") or DENIAL_BEHIND.search(sentence):
        return True
    if COUNT_OF_BOUNDED.match(re.sub(r"[*_$]", "", sentence).strip()):
        return False
    links = list(VALUE_LINK.finditer(sentence))  # "The number of primes less than 20 is 8."
    return bool(_DENIED_NUMBER.search(sentence, links[-1].start() if links else 0))


def read_sentence(sentence: str) -> str:
    """Return the number that a sentence states, if it states one only: "She makes $18 a day"; else an empty text."""
    if len(sentence) > 2 * LONGEST_LINE or "\n" in sentence.strip() or _SEVERAL_EQUATIONS.search(sentence):
        return ""
    before, equals, after = sentence.rpartition("=")
    result = _number_at_start(after) if equals else ""
    if result and COMPUTATION.search(sentence) and not DOUBT.search(before):
        return result
    sentence = drop_restatement(sentence)
    if DOUBT.search(sentence) or states_no_value(sentence):
        return ""
    count = COUNT_OF_BOUNDED.match(re.sub(r"[*_$]", "", sentence).strip())
    if count:
        return count["count"]
    bold = [match[1] or match[2] for match in _BOLD.finditer(sentence)]
    if len(bold) == 1 and re.search(r"[\d$\\]", bold[0]):
        value = clean_value(bold[0], "math")
        if is_bare(value, "math"):
            return value
    if result:
        return result
    formula = clean_value(after, "math") if equals else ""  # "θ = π/3 radians"
    if re.search(r"\d", formula) and is_bare(formula, "math"):
        return formula
    numbers = list(NUMBER.finditer(sentence))
    return _with_scale(numbers[0][0], sentence[numbers[0].end() :]) if len(numbers) == 1 else ""


def _is_rounded(value: Fraction, decimal: Quantity) -> bool:
    """Return whether a decimal is a value that was rounded: 33.3% is 1/3."""
    if decimal.percent:
        half = decimal.half or Fraction(1, 2)
        return abs(100 * value - decimal.value) <= half
    return decimal.half is not None and abs(value - decimal.value) <= decimal.half


def _number_at_start(text: str) -> str:
    """Return the number with which a text begins: "$64" of "$64 for the glasses"; empty where it begins with none."""
    match = _NUMBER_FIRST.match(text)
    return _with_scale(match[1], text[match.end() :]) if match else ""


def _with_scale(number: str, following: str) -> str:
    """Return a number with the word behind it that scales it; empty where another word changes it."""
    scale = _SCALE.match(following)
    if scale:
        return number + ("%" if scale["percent"] else scale[0])
    return "" if _HALF.match(following) or scales_number(following[:40].lstrip(" *$")) else number
