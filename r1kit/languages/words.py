"""The words of a chain of thought: what counts as one, and in which script it is.

A word is a run of two letters or more in one script (of one syllable or more in Hangul). In scripts that are written
without spaces (Han, kana, Thai) each letter counts as one word. Not words: single letters (variables), numbers and what
is written onto them (2nd, x2, 5cm), LaTeX, code (fenced, inline, names with an underscore), addresses, tags, and names
in quotation marks, which is to say quoted spans of at most four words, whatever their language. But where these are
more than a quarter of a text they count as words, or a policy could hide its language in quotation marks; and so
do words of other than Latin and Greek letters in code and LaTeX.
"""

import re
import unicodedata
from collections.abc import Iterator

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
}
_LENGTH = {"han": "", "kana": "", "thai": "", "hangul": "+"}  # of a word; elsewhere two or more
_MAX_NAME = 4  # words of a quoted name
_FEW = 8  # words of names that any text may have

# Bounded or possessive throughout, so that it stays linear on what a collapsed policy writes (a million "a" or "\(").
_LEFT_OUT = re.compile(
    r"```.*?(?:```|\Z)"  # fenced code, also one that is cut short
    r"|`[^`\n]*`"
    r"|\$\$.{0,500}?\$\$|\$[^$\n]*\$(?!\d)"  # but not the prices in "$5 and $7"
    r"|\\\(.{0,500}?\\\)|\\\[.{0,500}?\\\]"
    r"|\\begin\{(\w{1,20}\*?)\}.*?(?:\\end\{\1\}|\Z)"
    r"|\\[A-Za-z]++\*?(?:\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*+\})*+\})*+\})*+"  # a command with its {arguments}
    r"|(?:https?://|www\.)[!-~]+"
    r"|</?\w++/?>"
    r"|(?<![A-Za-z0-9])[A-Za-z0-9]*+_[A-Za-z0-9_]*+"
    r"|(?<![A-Za-z0-9])[A-Za-z]*+\d[A-Za-z\d]*+",
    re.DOTALL,
)
_QUOTES = ('""', "“”", "„“", "„”", "«»", "《》", "「」", "『』")
_QUOTED = re.compile("|".join(f"{q[0]}[^{q}\n]{{0,200}}{q[1]}" for q in _QUOTES))
_WORD = re.compile("|".join(f"(?P<{s}>[{letters}]{_LENGTH.get(s, '{2,}')})" for s, letters in SCRIPTS.items()))


def strip_non_words(text: str) -> str:
    """Return `text` without what holds no words: code, LaTeX, numbers, addresses, tags and quoted names."""
    text = _LEFT_OUT.sub(_foreign, unicodedata.normalize("NFC", text))
    sizes = [len(_WORD.findall(match.group())) for match in _QUOTED.finditer(text)]
    names = sum(size for size in sizes if size <= _MAX_NAME)
    if names > max(_FEW, len(_WORD.findall(text)) / 4):
        return text
    return _QUOTED.sub(lambda m: " " if len(_WORD.findall(m.group())) <= _MAX_NAME else m.group(), text)


def _foreign(match: re.Match[str]) -> str:
    """Return what stands in code or LaTeX in other than Latin letters: that is language, not notation."""
    return " ".join(
        ["", *(w.group() for w in _WORD.finditer(match.group()) if w.lastgroup not in ("latin", "greek")), ""]
    )


def find_words(text: str) -> Iterator[re.Match[str]]:
    """Return the words of a clean text; the `lastgroup` of each is its script."""
    return _WORD.finditer(text)


def word_scripts(text: str) -> list[str]:
    """Return the script of each word of `text`."""
    return [match.lastgroup or "" for match in find_words(strip_non_words(text))]
