"""Find the words of a text, and the script of each.

- A word is a run of at least two letters of one script; in Hangul of at least one syllable. In scripts that are written
  without spaces (Han, kana, Thai) each letter counts as a word.
- No words are: single letters (variables), numbers and what is attached to them (2nd, x2, 5cm), LaTeX, code (fenced,
  inline, names with an underscore), web addresses and tags.
- Quotations of at most four words are no words either, since they are mostly names, which have no language. But where
  they are more than a quarter of a text, their words do count, or a policy could hide its language in quotation
  marks.
- Words in code and LaTeX count where their letters are neither Latin nor Greek, for the same reason.

>>> word_scripts("The number x2 is 两个")
['latin', 'latin', 'latin', 'han', 'han']
"""

import re
from collections.abc import Iterator

from r1kit.languages.normal_forms import normalize_text

SCRIPTS = {
    "latin": "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff",
    "arabic": "\u0620-\u065f\u066e-\u06d3\u06d5-\u06ef\u06fa-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufefc",
    "cyrillic": "\u0400-\u052f",
    "han": "\u4e00-\u9fff\u3400-\u4dbf",
    "kana": "\u3041-\u3096\u30a1-\u30fa\u30fc",
    "hangul": "\uac00-\ud7af",
    "devanagari": "\u0900-\u0963\u0971-\u097f",
    "hebrew": "\u0591-\u05f2",
    "greek": "\u0370-\u03ff\u1f00-\u1fff",
    "thai": "\u0e01-\u0e3a\u0e40-\u0e4e",
    # The letters of all other scripts, whose languages r1kit does not know: Armenian, Syriac, Bengali, Tamil, Lao,
    # Georgian, Amharic, Khmer, Cherokee, Mongolian and more. Mathematical letters (U+1D400 and above) are none.
    "other": "\u0531-\u0556\u0561-\u0587\u0700-\u074f\u0780-\u085f\u0980-\u0dff\u0e80-\u0fff\u1000-\u10ff"
    "\u1200-\u135f\u1380-\u139f\u13a0-\u167f\u1681-\u169a\u16a0-\u17d3\u1820-\u1cff\u2d00-\u2dff\ua000-\ua6ff"
    "\ua800-\ua95f\ua980-\uabff\U00010280-\U0001cfff\U0001e900-\U0001e95f",
}
# How many letters make a word, as a quantifier of a regular expression.
_WORD_LENGTH = {"han": "", "kana": "", "thai": "", "hangul": "+"}
_DEFAULT_WORD_LENGTH = "{2,}"

# A quotation of at most this many words is a name.
MAX_NAME_WORDS = 4
# Words in quotations that are not counted in any text, be they more than a quarter of it or not.
MAX_FREE_NAME_WORDS = 8

# What holds no words. All quantifiers are bounded or possessive, so that the time stays linear on what a collapsed
# policy writes (a million "a" or "\(").
_NON_WORDS = re.compile(
    r"```.*?(?:```|\Z)"  # fenced code, also one that is cut short
    r"|`[^`\n]*`"
    r"|\[asy\].*?(?:\[/asy\]|\Z)"  # a drawing in Asymptote, as in MATH
    r"|\$\$.{0,500}?\$\$|\$[^$\n]*\$(?!\d)"  # but no prices, as in "$5 and $7"
    r"|\\\(.{0,500}?\\\)|\\\[.{0,500}?\\\]"
    r"|\\begin\{(\w{1,20}\*?)\}.*?(?:\\end\{\1\}|\Z)"
    r"|\\[A-Za-z]++\*?(?:\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*+\})*+\})*+\})*+"  # a command with its {arguments}
    r"|(?:https?://|www\.)[!-~]+"
    r"|</?\w++/?>"
    r"|(?<![A-Za-z0-9])[A-Za-z0-9]*+_[A-Za-z0-9_]*+"
    r"|(?<![A-Za-z0-9])[A-Za-z]*+\d[A-Za-z\d]*+",
    re.DOTALL,
)
_QUOTES = (('"', '"'), ("“", "”"), ("„", "“"), ("„", "”"), ("«", "»"), ("《", "》"), ("「", "」"), ("『", "』"))
_QUOTATION = re.compile(
    "|".join(rf"{opening}[^{opening}{closing}\n]{{0,200}}{closing}" for opening, closing in _QUOTES)
)


def _word_pattern() -> re.Pattern[str]:
    """Return the pattern of a word, with one group for each script."""
    alternatives = []
    for script, letters in SCRIPTS.items():
        length = _WORD_LENGTH.get(script, _DEFAULT_WORD_LENGTH)
        alternatives.append(f"(?P<{script}>[{letters}]{length})")
    return re.compile("|".join(alternatives))


_WORD = _word_pattern()


def strip_non_words(text: str) -> str:
    """Return a text without what holds no words: code, LaTeX, numbers, web addresses, tags and quoted names."""
    text = _NON_WORDS.sub(_keep_foreign_words, normalize_text("NFC", text))
    quotation_sizes = [_count_words(quotation.group()) for quotation in _QUOTATION.finditer(text)]
    name_words = sum(size for size in quotation_sizes if size <= MAX_NAME_WORDS)
    if name_words > max(MAX_FREE_NAME_WORDS, _count_words(text) / 4):
        return text
    return _QUOTATION.sub(_drop_name, text)


def _count_words(text: str) -> int:
    return len(_WORD.findall(text))


def _drop_name(quotation: re.Match[str]) -> str:
    """Return a space in the place of a quoted name, and a longer quotation as it is."""
    return " " if _count_words(quotation.group()) <= MAX_NAME_WORDS else quotation.group()


def _keep_foreign_words(match: re.Match[str]) -> str:
    """Return the words of code or LaTeX in neither Latin nor Greek letters: they are language, not notation."""
    words = [word.group() for word in _WORD.finditer(match.group()) if word.lastgroup not in ("latin", "greek")]
    return " ".join(["", *words, ""])


def find_words(text: str) -> Iterator[re.Match[str]]:
    """Return the words of a text that strip_non_words has cleaned; the `lastgroup` of each match is its script."""
    return _WORD.finditer(text)


def word_scripts(text: str) -> list[str]:
    """Return the script of each word of a text."""
    return [word.lastgroup or "" for word in find_words(strip_non_words(text))]
