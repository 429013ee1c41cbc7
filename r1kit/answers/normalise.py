r"""Normalise answers to mathematics problems: one plain LaTeX spelling for the many that models and data sets use.

Uses the standard library only.

>>> clean_answer(r"The final answer is $\dfrac12$.")
'\\frac{1}{2}'
"""

import re
from collections.abc import Mapping
from functools import lru_cache

from r1kit.answers.boxes import boxed_answer
from r1kit.answers.characters import invert_table, replace_characters
from r1kit.answers.quantities import parse_unit
from r1kit.answers.tex import brace_arguments, closing_bracket, strip_layout, unescape_commands


def _compile(rules: Mapping[str, str | tuple[str, str]]) -> list[tuple[str, re.Pattern[str], str]]:
    """Return rules with compiled patterns, each with what a text must contain for the rule to apply.

    A rule is a pattern and what replaces it, or the pair of what the text must contain and what replaces it: to look
    for one character is faster than to search for a pattern.
    """
    compiled = []
    for pattern, rule in rules.items():
        needed, replacement = ("", rule) if isinstance(rule, str) else rule
        compiled.append((needed, re.compile(pattern), replacement))
    return compiled


def _apply(rules: list[tuple[str, re.Pattern[str], str]], text: str) -> str:
    for needed, pattern, replacement in rules:
        if needed in text:
            text = pattern.sub(replacement, text)
    return text


# Sizes of brackets: \big, \Bigl, \biggr and so on.
_BRACKET_SIZES = [size + side for size in ("big", "Big", "bigg", "Bigg") for side in ("", "l", "r", "m")]
# LaTeX commands, by what replaces each of them.
_COMMANDS = invert_table(
    {
        r"\frac": ["dfrac", "tfrac", "cfrac"],
        r"\binom": ["dbinom", "tbinom"],
        "": ["left", "right", "middle", "nolimits", "limits", *_BRACKET_SIZES],
        " ": ["displaystyle", "textstyle", "scriptstyle", "rm", "bf", "it", "therefore"],
        ", ": ["quad", "qquad"],  # a wide space separates two answers, if anything
        r"\le ": ["leq", "leqslant", "leqq"],
        r"\ge ": ["geq", "geqslant", "geqq"],
        r"\ne ": ["neq"],
        "<": ["lt"],
        ">": ["gt"],
        r"\approx ": ["simeq", "thickapprox", "approxeq"],
        r"\emptyset ": ["varnothing", "empty"],
        r"\setminus ": ["backslash", "smallsetminus"],
        r"\{": ["lbrace"],
        r"\}": ["rbrace"],
        "°": ["degree", "textdegree"],
        "(": ["langle", "lparen"],
        ")": ["rangle", "rparen"],
        "[": ["lbrack"],
        "]": ["rbrack"],
        "|": ["lvert", "rvert", "vert"],
        "...": ["dots", "ldots", "cdots", "dotsb", "dotsc"],
        r"\cdot ": ["ast", "centerdot"],
        ":": ["colon", "ratio"],
        r"\phi ": ["varphi"],
        r"\epsilon ": ["varepsilon"],
        r"\theta ": ["vartheta"],
        r"\rho ": ["varrho"],
        r"\to ": ["rightarrow", "longrightarrow"],
        r"\tan ": ["tg"],
        r"\cot ": ["ctg", "cotg"],
        r"\arctan ": ["arctg"],
        r"\log_{10} ": ["lg"],
    }
)


def _replace_command(match: re.Match[str]) -> str:
    return _COMMANDS.get(match[1], match[0])


# Applied in this order.
_RULES = _compile(
    {
        r"(?<!\\)\\[()\[\]]": ("\\", " "),  # \( \) \[ \] around a formula
        r"(?<![\w)])\*\*(.+?)\*\*": ("**", r"\1"),  # Markdown's bold type
        r"^\s*(?:\*([^*]+)\*|__(.+)__)\s*$": r"\1\2",  # Markdown's italics
        r"\*\*": ("**", "^"),  # Python's power
        r"<(b|i|em|strong|u|p)>(.*?)</\1>": ("</", r"\2"),
        r"\\(?:left|right)\.|\{\}": "",
        r"\{([,:=])\}": ("{", r"\1"),
        r"\\!": ("\\", ""),
        r"(?i)^\s*(?:#{1,6}\s*)?(?:the\s+)?(?:final\s+|correct\s+)?answer\s*:?\s*\n": (
            "\n",
            "",
        ),  # a heading over the answer
        r"^\s*(?:#{1,6}|>)\s+": "",
        r"(?<=[a-z])(?:,? and|,)\s+(?=\d+\s+(?:hours?|minutes?|seconds?|months?|days?|inch(?:es)?|ounces?)\b)": " ",
        r"(?i)^\s*(?:minus|negative)\s+(?=[¤\d\\])": "-",
        r"(?i)^\s*(\d+)\s+(?:out of|in)\s+(?:every\s+)?(\d+)[\s.]*$": r"\1/\2",  # "1 in 4", a probability
    }
)
_RULES_AFTER_COMMANDS = _compile(
    {
        r"(?<!\\)\\[,;:> ]|~|\\[hv]space\{[^}]*\}": " ",  # spaces of LaTeX
        r"<=|&lt;=": ("=", r"\\le "),
        r">=|&gt;=": ("=", r"\\ge "),
        r"!=|\\not\s*=": ("=", r"\\ne "),
        r"\s*\^\s*(?:\\circ(?![a-zA-Z])|\{\s*\\circ\s*\})": ("\\", "°"),
        r"° (?=[CF]\b)": ("°", "°"),
        r"\\%|\b[Pp]er\s?cent\b|\b[Pp]ercentage\b": "%",
        r"(?i)\+?(?<![\\a-z])(?:infinity|inf)(?![a-z])|\+\\infty(?![a-z])": r"\\infty ",
        r"(?i)\ball real(?: numbers?|s)\b": r"\\mathbb{R}",
        r"(?i)^\W*all integers\W*$": r"\\mathbb{Z}",
        r"(\\mathbb\{R\}),?\s*(?:except|other than|but)\s+(?:for\s+)?(?:[a-z]\s*=\s*)?(-?[\d./]+)": (
            "mathbb",
            r"\1\\setminus\\{\2\\}",
        ),
        r"\\(?:mathbb\s*\{([EP])\}|mathcal\s*\{([A-Z])\})": ("\\", r"\1\2"),  # an expectation, a probability
        r"(?<![\\a-zA-Z])pi(?![a-zA-Z])": ("pi", r"\\pi "),
        r"(?:\^\{?\s*)?\\prime\s*\}?": ("\\", "'"),  # y^{\prime}
        r"\\(?:hat|vec|bar|overrightarrow)\s*\{?\s*\\?([ijk])(?:math)?\s*\}?(?![a-zA-Z])": (
            "\\",
            r" \1 ",
        ),  # unit vectors
        # functions without their backslash
        r"(?<![\\a-zA-Z])((?:arc)?(?:sin|cos|tan|cot|sec|csc)h?|log|ln|exp)(?=[\s\d(^_]|[a-z]\b)": r"\\\1 ",
        r"\\log\s*_\s*(?:\{\s*e\s*\}|e(?![a-zA-Z]))": ("\\", r"\\ln "),
        r"(?<=\d),?\s*(?:with\s+(?:a\s+)?)?remainder\s+(?:of\s+)?(?=\d)": ("remainder", " R "),
        r"(?<=[\]})])\s*U\s*(?=[\[(\\{])": ("U", r"\\cup "),  # [0,1] U [2,3]
        r"(?<![\\a-zA-Z])(arc)?tg(?=[\s(])": ("tg", r"\\\1tan "),
        # "2or3": a word between two answers without its spaces
        r"(?<=[\d)}\]])\s*(or|and)\s*(?=[\d(\\{\[-]|[a-zA-Z]\s*(?:=|<|>|\\[lgn]e(?![a-z])))": r" \1 ",
        r"[,;]?\s*\b(and|or)\b\s*[,;]": r" \1 ",
        r"([,;])(?:\s*,)+": (",", r"\1"),
        # unknowns whose values stand in words: "x: 1", "x is 1", "x = 1 y = 2"
        r"(?<![\w:{\\])([a-zA-Z])(?:\s*:\s+|\s+is\s+)(?=-?[\d\\(])": r"\1 = ",
        r"(=\s*[-+]?[\d./]+)\s+(?=[a-zA-Z](?:_\w)?\s*=)": ("=", r"\1, "),
        # arguments without braces: x^12, sqrt 2
        r"\^\s*([+-]?\d+)": ("^", r"^{\1}"),
        r"(?<![\\a-zA-Z])sqrt\s*(\d+(?:\.\d+)?|[a-z]\b)": ("sqrt", r"\\sqrt{\1}"),
    }
)
_COMMAND = re.compile(r"\\([a-zA-Z]+)")

# Commands that only change how their argument looks.
_WRAPPER = re.compile(
    r"\\(?:boxed|fbox|mbox|hbox|text(?:bf|it|rm|sf|tt|normal)?|math(?:rm|bf|it|sf|tt|normal)|bm|boldsymbol|"
    r"operatorname\*?|underline|ensuremath|displaystyle|emph)\s*\{"
)
# "so the final answer is:", "the value of x =", "approximately", "=".
_INTRODUCTION = re.compile(
    r"(?:(?:so|thus|hence|therefore)\b,?\s*)?(?:(?:the|my)\s+)?(?:(?:final|correct|right)\s+)?(?:answer|ans\.?|result|"
    r"solution|value)s?(?:\s+of\s+[^=:.]{1,40}?)?\s*"
    r"(?:\b(?:is|are)\b(?:\s+(?:therefore|thus|hence|simply|just)\b)?|=|:|\bequals\b)\s*:?\s*"
    r"|(?:approximately|about|around|roughly|circa|both|etwa|ungefähr|environ|cerca de|aproximadamente|около|"
    r"примерно|\\approx|\\to|\\Rightarrow)\s+|(?:大约|约|大約|約|およそ|약)\s{0,3}(?=[-¤\d])|=\s*|a:\s+(?=[-\d\\¤€£¥₹₺₽₩₫₴₪฿₦])"
    r"|[a-z]{3,20}(?: [a-z]{1,20}){0,4}:\s+(?=[-\d\\¤€£¥₹₺₽₩₫₴₪฿₦(])(?![^:]*:\s)",
    re.IGNORECASE,
)
_NUMERAL = re.compile(r"[+-]?\d(?:[\d.,/]*\d)?", re.ASCII)
# sqrt(2) and x^(2), whose brackets become braces.
_BRACKETED_ARGUMENT = re.compile(r"(?:\\?(?<![a-zA-Z])(sqrt(?:\[[^\]]*\])?)|\^)\s*\(")
_EMPTY_SET = re.compile(r"(?i)(?:there (?:is|are) )?no (?:real )?solutions?|(?:the )?empty set|\\\{\s*\\\}")
# Units of one letter, which could otherwise be variables: \text{m}.
_LETTER_UNITS = {"m": "metre", "g": "gram", "s": "second", "h": "hour", "L": "litre"}


def is_numeral(text: str) -> bool:
    """Return whether a text is digits with at most a sign, points, commas and slashes."""
    return _NUMERAL.fullmatch(text) is not None


@lru_cache(maxsize=4096)
def clean_answer(text: str) -> str:
    """Return an answer in plain LaTeX, without what wraps or introduces it, and without superfluous spaces.

    A dollar sign becomes ¤ where it is money, so that it differs from LaTeX's.
    """
    if is_numeral(text):
        return text if text.isdigit() else _join_thousands(text)
    if "boxed" in text:
        text = boxed_answer(text) or text
    text = _replace_dollar_signs(replace_characters(text))
    text = _join_thousands(text)
    text = _unwrap(strip_layout(unescape_commands(text)))
    text = _apply(_RULES, text)
    text = _COMMAND.sub(_replace_command, text)
    text = _apply(_RULES_AFTER_COMMANDS, text)
    if "\\begin" not in text:
        text = text.replace("&", ",")
    text = _LABEL.sub(_replace_label, text)
    text = _replace_argument_brackets(brace_arguments(text))
    text = " ".join(text.split())
    while True:
        shorter = _strip_outer_layer(text)
        if shorter == text:
            break
        text = shorter
    return r"\emptyset" if _EMPTY_SET.fullmatch(text) else text


def _replace_dollar_signs(text: str) -> str:
    """Return a text without LaTeX's dollar signs, in which those that are money are ¤."""
    text = text.replace("\\$", "¤")
    # A single dollar sign is money; two of them enclose a formula.
    return text.replace("$", "¤" if text.count("$") == 1 else " ")


# "9 (apples)": words in brackets after a number.
_LABEL = re.compile(r"(?<=\d)\s+\(\s*([a-zA-Z][a-zA-Z .'/-]*)\)")


def _replace_label(match: re.Match[str]) -> str:
    """Return a known unit without its brackets, and nothing for other words: they only say what is counted."""
    label = re.sub(r"\s+of\s.*", "", match[1].strip())
    label = _LETTER_UNITS.get(label, label)
    if parse_unit(f" {label}"):
        return f" {label}"
    return "" if len(label) > 2 else match[0]  # 5 (x) is a product


# A comma of thousands with what TeX needs around it: 12,\! 345 and 1{,} 234 and 1\text{,}234.
_TEX_COMMA = re.compile(r"(?<=\d)\s*(?:\{,\}|,\s*\\!|\\(?:text|mathord|mathpunct)\s*\{,\})(?:\s|\\!)*(?=\d{3}(?!\d))")
# 1'234'567 and 1_234_567 and 1.234.567.
_OTHER_THOUSANDS = re.compile(r"(?<![\w.'])\d{1,3}(?:(?:'\d{3})+|(?:_\d{3})+|(?:\.\d{3}){2,9})(?![\w'.]|,\d)")
# A comma that can only be a decimal one: TeX's 3{,}5, and 1.234,50 with points between its thousands.
_TEX_DECIMAL_COMMA = re.compile(r"(?<=\d)\{,\}(?=\d)(?!\d{3}(?!\d))")
_DECIMAL_COMMA_AFTER_POINT = re.compile(r"(?<![\w.,])(\d{1,3}(?:\.\d{3})+),(\d{1,2})(?![\w,])")


def _join_thousands(text: str) -> str:
    """Return a text whose numbers have plain commas or nothing between their thousands, and a point before decimals."""
    text = _TEX_COMMA.sub(",", text)
    text = _TEX_DECIMAL_COMMA.sub(".", text)
    text = _DECIMAL_COMMA_AFTER_POINT.sub(lambda match: match[1].replace(".", "") + "." + match[2], text)
    return _OTHER_THOUSANDS.sub(lambda match: re.sub("['_.]", "", match[0]), text)


def _unwrap(text: str) -> str:
    r"""Return a text without commands such as \boxed{} and \text{}, but with their arguments."""
    while wrapper := _WRAPPER.search(text):
        closing = closing_bracket(text, wrapper.end() - 1)
        if closing < 0:  # the brace never closes
            closing = len(text)
        argument = text[wrapper.end() : closing]
        argument = _LETTER_UNITS.get(argument.strip(" ~"), argument)
        text = f"{text[: wrapper.start()]} {argument} {text[closing + 1 :]}"
    return text


def _replace_argument_brackets(text: str) -> str:
    r"""Return a text with \sqrt{2} for sqrt(2), and x^{2} for x^(2)."""
    while match := _BRACKETED_ARGUMENT.search(text):
        closing = closing_bracket(text, match.end() - 1)
        if closing < 0:
            break
        command = f"\\{match[1]}" if match[1] else "^"
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
    text = re.sub(r"\\(?:begin|end)\s*\{[a-zA-Z]+\}", "", text)
    return bool(re.search(r"(?<![a-zA-Z\\])[A-Za-z][a-z]{3}|[^\x00-\x7f°¤¢€£¥₹]", text))
