"""Answers as text: normalise them, refuse monsters, compare what needs no algebra. Standard library only.

An integral, sum, product or limit is no answer, unless the gold has one: it might just repeat the question.
"""

import re
import unicodedata
from functools import lru_cache

# Normalising

_SIGNS = {
    sign: new + " " * new.startswith("\\")
    for signs, new in (
        pair.split()
        for pair in r"""
    −–—‒ -; ’‘′ '; ÷⁄∕ /; ٪ %; ٫ .; ٬، ,; º °; √ sqrt; × \times; ·⋅∙ \cdot; ± \pm; π \pi; θ \theta; ∞ \infty; ≈ \approx
    ≤ \le; ≥ \ge; ≠ \ne; ∪ \cup; ∩ \cap; ∈ \in; ∅ \emptyset; ∖ \setminus; ℝ \mathbb{R}
    """.strip()
        .replace("\n", ";")
        .split(";")
    )
    for sign in signs
}
_WRAPPER = re.compile(
    r"\\(?:boxed|fbox|mbox|hbox|text(?:bf|it|rm|sf|tt|normal)?|math(?:rm|bf|it|sf|tt)|bm|operatorname)\s*\{"
)
_PREFIX = re.compile(
    r"(?:(?:so|thus|hence|therefore)\b,?\s*)?(?:(?:the|my)\s+)?(?:(?:final|correct|right)\s+)?(?:answer|result|"
    r"solution|value)(?:\s+of\s+[^=:.]{1,40}?)?\s*(?:\bis\b|=|:|\bequals\b)\s*:?\s*"
    r"|(?:approximately|about|roughly|\\approx)\s+|=\s*",
    re.IGNORECASE,
)
_COMMANDS = {
    old: new
    for names, new in (
        ("dfrac tfrac cfrac", r"\frac"),
        ("left right big Big bigl bigr Bigl Bigr bigg Bigg middle", ""),
        ("displaystyle textstyle limits rm bf it quad qquad", " "),
        ("leq leqslant", r"\le "),
        ("geq geqslant", r"\ge "),
        ("neq", r"\ne "),
        ("lt", "<"),
        ("gt", ">"),
        ("simeq", r"\approx "),
        ("varnothing empty", r"\emptyset "),
        ("backslash smallsetminus", r"\setminus "),
        ("lbrace", r"\{"),
        ("rbrace", r"\}"),
        ("degree textdegree", "°"),
        ("langle", "("),
        ("rangle", ")"),
        ("dots ldots cdots", "..."),
    )
    for old in names.split()
}
_RULES = [
    (re.compile(pattern), new)
    for pattern, new in (
        (r"(?<!\\)\\[()\[\]]", " "),
        (r"(?<![\w)])\*\*(.+?)\*\*", r"\1"),
        (r"\*\*", "^"),
        (r"\\(?:left|right)\.|\\!|\{\}", ""),
        (r"\\([a-zA-Z]+)", lambda m: _COMMANDS.get(m[1], m[0])),
        (r"(?<!\\)\\[,;:> ]|~|\\[hv]space\{[^}]*\}", " "),
        (r"\{,\}", ","),
        (r"<=|&lt;=", r"\\le "),
        (r">=|&gt;=", r"\\ge "),
        (r"!=|\\not\s*=", r"\\ne "),
        (r"\s*\^\s*(?:\\circ(?![a-zA-Z])|\{\s*\\circ\s*\})", "°"),
        (r"° (?=[CF]\b)", "°"),
        (r"\\%|\b[Pp]er\s?cent\b|\b[Pp]ercentage\b", "%"),
        (r"(?i)\+?(?<![\\a-z])(?:infinity|inf)(?![a-z])|\+\\infty(?![a-z])", r"\\infty "),
        (r"(?i)\ball real(?: numbers?|s)\b", r"\\mathbb{R}"),
        (r"(?<![\\a-zA-Z])pi(?![a-zA-Z])", r"\\pi "),
        (r"(?<![\\a-zA-Z])((?:arc)?(?:sin|cos|tan|cot|sec|csc)h?|log|ln|exp)(?=[\s\d(^_]|[a-z]\b)", r"\\\1 "),
        (r"(?<=[\]})])\s*U\s*(?=[\[(\\{])", r"\\cup "),
        (r"\{([^{}]*)\\choose(?![a-zA-Z])([^{}]*)\}", r"\\binom{\1}{\2}"),
        (r"\^\s*([+-]?\d+)", r"^{\1}"),
        (r"(?<![\\a-zA-Z])sqrt\s*(\d+(?:\.\d+)?|[a-z]\b)", r"\\sqrt{\1}"),
        (r"\\sqrt\s*(\w)", r"\\sqrt{\1}"),
        (r"\\frac\s*(\w)\s*(\w)", r"\\frac{\1}{\2}"),
        (r"\\frac\s*(\w)\s*\{", r"\\frac{\1}{"),
        (r"\\frac\s*(\{[^{}]*\})\s*(\w)", r"\\frac\1{\2}"),
    )
]
_NUMERAL = re.compile(r"[+-]?\d(?:[\d.,/]*\d)?", re.ASCII)
_BRACED = re.compile(r"(?:\\?(?<![a-zA-Z])(sqrt)|\^)\s*\(")
_EMPTY = re.compile(r"(?i)(?:there (?:is|are) )?no (?:real )?solutions?|(?:the )?empty set|\\\{\s*\\\}")
_LETTER_UNITS = {"m": "metre", "g": "gram", "s": "second", "h": "hour", "L": "litre"}


def closing_bracket(text: str, start: int) -> int:
    """Return where the bracket at `start` closes (any bracket closes any: `[1, 2)` is one); -1 if it does not."""
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] in "([{") - (text[i] in ")]}")
        if depth == 0:
            return i
    return -1


@lru_cache(maxsize=4096)
def clean_answer(text: str) -> str:
    """Return an answer in plain LaTeX, without what wraps it, what says that it is the answer, and odd spaces."""
    if _NUMERAL.fullmatch(text):
        return text
    text = re.sub("[`\u200b-\u200d\ufeff]", "", text)
    text = re.sub("[⁰¹²³⁴-⁹⁻]+", lambda m: f"^{{{unicodedata.normalize('NFKC', m[0])}}}", text)
    text = re.sub(r"[^\x00-\x7f]", lambda m: _ascii(m[0]), text).replace("\\$", "¤")
    text = text.replace("$", "¤" if text.count("$") == 1 else " ")
    while found := _WRAPPER.search(text):
        end = closing_bracket(text, found.end() - 1)
        inner = text[found.end() : end if end > 0 else len(text)]
        inner = _LETTER_UNITS.get(inner.strip(), inner)
        text = f"{text[: found.start()]} {inner} {text[end + 1 :] if end > 0 else ''}"
    for pattern, new in _RULES:
        text = pattern.sub(new, text)
    while (found := _BRACED.search(text)) and (end := closing_bracket(text, found.end() - 1)) > 0:
        name = "\\sqrt" if found[1] else "^"
        text = f"{text[: found.start()]}{name}{{{text[found.end() : end]}}}{text[end + 1 :]}"
    text = " ".join(text.split())
    while (shorter := _outer(text)) != text:
        text = shorter
    return r"\emptyset" if _EMPTY.fullmatch(text) else text


def _ascii(char: str) -> str:
    if char in _SIGNS:
        return _SIGNS[char]
    if unicodedata.decimal(char, None) is not None:
        return str(unicodedata.decimal(char))
    plain = unicodedata.normalize("NFKC", char)
    return f"\\frac{{{plain[0]}}}{{{plain[2:]}}}" if plain[1:2] == "⁄" else plain


def _outer(text: str) -> str:
    """Take off one layer: "the answer is", a full stop, brackets around one thing."""
    text = _PREFIX.sub("", text, count=1) if _PREFIX.match(text) else text
    text = text.strip(" ,;:") if text.endswith("..") else text.strip(" ,;:").rstrip(" .,;:")
    if (
        text[:1] in ("{", "(")
        and closing_bracket(text, 0) == len(text) - 1
        and text[-1] == {"{": "}", "(": ")"}[text[0]]
    ):
        return text if text[0] == "(" and re.search(r"[,;]|\b(?:and|or)\b", text) else text[1:-1].strip()
    return text


def is_word_answer(text: str) -> bool:
    """Whether a clean text is a word or name, not a list of them and no algebra ("ab" is a product)."""
    if not re.fullmatch(r"[^\W\d_](?:[^\W\d_]|[\s'.-])*", text) or re.search(r"\b(?:and|or)\b", text):
        return False
    return bool(re.search(r"[^\W\d_]{4}|[^\x00-\x7f]", text)) or text.casefold() in ("yes", "no", "odd", "all")


def has_prose(text: str) -> bool:
    """Whether words stand in a clean text: it is no formula."""
    return bool(re.search(r"(?<![a-zA-Z\\])[A-Za-z][a-z]{3}|[^\x00-\x7f°¤¢€£¥₹]", text))


# Verdicts without a worker


# Exact text and choices
