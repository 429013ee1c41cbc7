r"""Normalise answers to mathematics problems: one plain LaTeX spelling for the many that models and data sets use.

Uses the standard library only.

>>> clean_answer(r"The final answer is $\dfrac12$.")
'\\frac{1}{2}'
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache

from r1kit.answers.boxes import boxed_answer


def _invert(variants_by_spelling: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Return a table that leads from each variant to its spelling. The variants of a string are its characters."""
    spelling_by_variant = {}
    for spelling, variants in variants_by_spelling.items():
        for variant in variants:
            spelling_by_variant[variant] = spelling
    return spelling_by_variant


def _compile(rules: Mapping[str, str]) -> list[tuple[re.Pattern[str], str]]:
    """Return rules, a pattern and what replaces it, with compiled patterns."""
    return [(re.compile(pattern), replacement) for pattern, replacement in rules.items()]


# Characters, by what replaces each of them. A space after a LaTeX command keeps it apart from a letter that follows.
_CHARACTERS = _invert(
    {
        "-": "−–—‒",
        "'": "’‘′",
        "/": "÷⁄∕",
        "%": "٪",
        ".": "٫",
        ",": "٬،",
        "°": "º",
        "sqrt": "√",
        r"\times ": "×",
        r"\cdot ": "·⋅∙",
        r"\pm ": "±",
        r"\pi ": "π",
        r"\theta ": "θ",
        r"\infty ": "∞",
        r"\approx ": "≈",
        r"\le ": "≤",
        r"\ge ": "≥",
        r"\ne ": "≠",
        r"\cup ": "∪",
        r"\cap ": "∩",
        r"\in ": "∈",
        r"\emptyset ": "∅",
        r"\setminus ": "∖",
        r"\mathbb{R} ": "ℝ",
    }
)
# LaTeX commands, by what replaces each of them.
_COMMANDS = _invert(
    {
        r"\frac": ["dfrac", "tfrac", "cfrac"],
        "": ["left", "right", "big", "Big", "bigl", "bigr", "Bigl", "Bigr", "bigg", "Bigg", "middle"],
        " ": ["displaystyle", "textstyle", "limits", "rm", "bf", "it", "quad", "qquad"],
        r"\le ": ["leq", "leqslant"],
        r"\ge ": ["geq", "geqslant"],
        r"\ne ": ["neq"],
        "<": ["lt"],
        ">": ["gt"],
        r"\approx ": ["simeq"],
        r"\emptyset ": ["varnothing", "empty"],
        r"\setminus ": ["backslash", "smallsetminus"],
        r"\{": ["lbrace"],
        r"\}": ["rbrace"],
        "°": ["degree", "textdegree"],
        "(": ["langle"],
        ")": ["rangle"],
        "...": ["dots", "ldots", "cdots"],
    }
)


def _replace_command(match: re.Match[str]) -> str:
    return _COMMANDS.get(match[1], match[0])


# Applied in this order.
_RULES = _compile(
    {
        r"(?<!\\)\\[()\[\]]": " ",  # \( \) \[ \] around a formula
        r"(?<![\w)])\*\*(.+?)\*\*": r"\1",  # Markdown's bold type
        r"\*\*": "^",  # Python's power
        r"\\(?:left|right)\.|\\!|\{\}": "",
    }
)
_RULES_AFTER_COMMANDS = _compile(
    {
        r"(?<!\\)\\[,;:> ]|~|\\[hv]space\{[^}]*\}": " ",  # spaces of LaTeX
        r"\{,\}": ",",  # 1{,}000
        r"<=|&lt;=": r"\\le ",
        r">=|&gt;=": r"\\ge ",
        r"!=|\\not\s*=": r"\\ne ",
        r"\s*\^\s*(?:\\circ(?![a-zA-Z])|\{\s*\\circ\s*\})": "°",
        r"° (?=[CF]\b)": "°",
        r"\\%|\b[Pp]er\s?cent\b|\b[Pp]ercentage\b": "%",
        r"(?i)\+?(?<![\\a-z])(?:infinity|inf)(?![a-z])|\+\\infty(?![a-z])": r"\\infty ",
        r"(?i)\ball real(?: numbers?|s)\b": r"\\mathbb{R}",
        r"(?<![\\a-zA-Z])pi(?![a-zA-Z])": r"\\pi ",
        # functions without their backslash
        r"(?<![\\a-zA-Z])((?:arc)?(?:sin|cos|tan|cot|sec|csc)h?|log|ln|exp)(?=[\s\d(^_]|[a-z]\b)": r"\\\1 ",
        r"(?<=[\]})])\s*U\s*(?=[\[(\\{])": r"\\cup ",  # [0,1] U [2,3]
        r"\{([^{}]*)\\choose(?![a-zA-Z])([^{}]*)\}": r"\\binom{\1}{\2}",
        # arguments without braces: x^12, sqrt 2, \sqrt2, \frac12
        r"\^\s*([+-]?\d+)": r"^{\1}",
        r"(?<![\\a-zA-Z])sqrt\s*(\d+(?:\.\d+)?|[a-z]\b)": r"\\sqrt{\1}",
        r"\\sqrt\s*(\w)": r"\\sqrt{\1}",
        r"\\frac\s*(\w)\s*(\w)": r"\\frac{\1}{\2}",
        r"\\frac\s*(\w)\s*\{": r"\\frac{\1}{",
        r"\\frac\s*(\{[^{}]*\})\s*(\w)": r"\\frac\1{\2}",
    }
)
_COMMAND = re.compile(r"\\([a-zA-Z]+)")

# Commands that only change how their argument looks.
_WRAPPER = re.compile(
    r"\\(?:boxed|fbox|mbox|hbox|text(?:bf|it|rm|sf|tt|normal)?|math(?:rm|bf|it|sf|tt)|bm|operatorname)\s*\{"
)
# "so the final answer is:", "the value of x =", "approximately", "=".
_INTRODUCTION = re.compile(
    r"(?:(?:so|thus|hence|therefore)\b,?\s*)?(?:(?:the|my)\s+)?(?:(?:final|correct|right)\s+)?(?:answer|result|"
    r"solution|value)(?:\s+of\s+[^=:.]{1,40}?)?\s*(?:\bis\b|=|:|\bequals\b)\s*:?\s*"
    r"|(?:approximately|about|roughly|\\approx)\s+|=\s*",
    re.IGNORECASE,
)
_NUMERAL = re.compile(r"[+-]?\d(?:[\d.,/]*\d)?", re.ASCII)
# sqrt(2) and x^(2), whose brackets become braces.
_BRACKETED_ARGUMENT = re.compile(r"(?:\\?(?<![a-zA-Z])(sqrt)|\^)\s*\(")
_EMPTY_SET = re.compile(r"(?i)(?:there (?:is|are) )?no (?:real )?solutions?|(?:the )?empty set|\\\{\s*\\\}")
# Units of one letter, which could otherwise be variables: \text{m}.
_LETTER_UNITS = {"m": "metre", "g": "gram", "s": "second", "h": "hour", "L": "litre"}


def closing_bracket(text: str, start: int) -> int:
    """Return the index at which the bracket at `start` closes, -1 if it does not.

    Any bracket closes any other, since [1, 2) is an interval.
    """
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] in "([{") - (text[i] in ")]}")
        if depth == 0:
            return i
    return -1


def is_numeral(text: str) -> bool:
    """Return whether a text is digits with at most a sign, points, commas and slashes."""
    return _NUMERAL.fullmatch(text) is not None


@lru_cache(maxsize=4096)
def clean_answer(text: str) -> str:
    """Return an answer in plain LaTeX, without what wraps or introduces it, and without superfluous spaces.

    A dollar sign becomes ¤ where it is money, so that it differs from LaTeX's.
    """
    if is_numeral(text):
        return text
    if "boxed" in text:
        text = boxed_answer(text) or text
    text = _replace_characters(text)
    text = _unwrap(text)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    text = _COMMAND.sub(_replace_command, text)
    for pattern, replacement in _RULES_AFTER_COMMANDS:
        text = pattern.sub(replacement, text)
    text = _replace_argument_brackets(text)
    text = " ".join(text.split())
    while True:
        shorter = _strip_outer_layer(text)
        if shorter == text:
            break
        text = shorter
    return r"\emptyset" if _EMPTY_SET.fullmatch(text) else text


def _replace_characters(text: str) -> str:
    """Return a text in ASCII as far as possible, with LaTeX commands for the symbols of mathematics."""
    text = re.sub("[`\u200b-\u200d\ufeff]", "", text)  # code quotes, and characters without width
    text = re.sub("[⁰¹²³⁴-⁹⁻]+", lambda match: f"^{{{unicodedata.normalize('NFKC', match[0])}}}", text)
    text = re.sub(r"[^\x00-\x7f]", lambda match: _replace_character(match[0]), text)
    text = text.replace("\\$", "¤")
    # A single dollar sign is money; two of them enclose a formula.
    return text.replace("$", "¤" if text.count("$") == 1 else " ")


def _replace_character(char: str) -> str:
    if char in _CHARACTERS:
        return _CHARACTERS[char]
    digit = unicodedata.decimal(char, None)  # Persian digits, say
    if digit is not None:
        return str(digit)
    plain = unicodedata.normalize("NFKC", char)
    if plain[1:2] == "⁄":  # ½ is 1⁄2
        return f"\\frac{{{plain[0]}}}{{{plain[2:]}}}"
    return plain


def _unwrap(text: str) -> str:
    r"""Return a text without commands such as \boxed{} and \text{}, but with their arguments."""
    while wrapper := _WRAPPER.search(text):
        closing = closing_bracket(text, wrapper.end() - 1)
        if closing < 0:  # the brace never closes
            closing = len(text)
        argument = text[wrapper.end() : closing]
        argument = _LETTER_UNITS.get(argument.strip(), argument)
        text = f"{text[: wrapper.start()]} {argument} {text[closing + 1 :]}"
    return text


def _replace_argument_brackets(text: str) -> str:
    r"""Return a text with \sqrt{2} for sqrt(2), and x^{2} for x^(2)."""
    while match := _BRACKETED_ARGUMENT.search(text):
        closing = closing_bracket(text, match.end() - 1)
        if closing < 0:
            break
        command = "\\sqrt" if match[1] else "^"
        text = f"{text[: match.start()]}{command}{{{text[match.end() : closing]}}}{text[closing + 1 :]}"
    return text


def _strip_outer_layer(text: str) -> str:
    """Return a text without one layer: "the answer is", a full stop, or brackets around a single thing."""
    introduction = _INTRODUCTION.match(text)
    if introduction:
        text = text[introduction.end() :]
    ends_in_ellipsis = text.endswith("..")
    text = text.strip(" ,;:")
    if not ends_in_ellipsis:
        text = text.rstrip(" .,;:")
    if text[:1] not in ("{", "(") or closing_bracket(text, 0) != len(text) - 1:
        return text
    closing = {"{": "}", "(": ")"}[text[0]]
    is_tuple = text[0] == "(" and re.search(r"[,;]|\b(?:and|or)\b", text)
    if text[-1] != closing or is_tuple:
        return text
    return text[1:-1].strip()


def is_word_answer(text: str) -> bool:
    """Return whether a cleaned answer is a word or a name: no list of them, and no algebra ("ab" is a product)."""
    if not re.fullmatch(r"[^\W\d_](?:[^\W\d_]|[\s'.-])*", text) or re.search(r"\b(?:and|or)\b", text):
        return False
    return bool(re.search(r"[^\W\d_]{4}|[^\x00-\x7f]", text)) or text.casefold() in ("yes", "no", "odd", "all")


def has_prose(text: str) -> bool:
    """Return whether a cleaned answer has words in it, so that it is no formula."""
    return bool(re.search(r"(?<![a-zA-Z\\])[A-Za-z][a-z]{3}|[^\x00-\x7f°¤¢€£¥₹]", text))
