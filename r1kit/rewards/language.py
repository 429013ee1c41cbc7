"""Language consistency: the share of the chain of thought's words in the target language (R1, section 2.3.2).

Languages are told apart by script, which decides for Persian, Arabic, Chinese, Japanese, Korean,
Russian and their like against those in Latin letters. Numbers, LaTeX, code and single letters
(variables) do not count as words.
"""

import re
from collections.abc import Sequence
from typing import Any

from r1kit.prompts import completion_text, read

SCRIPTS = {
    "latin": "A-Za-z\u00c0-\u024f",
    "arabic": "\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufeff",
    "cyrillic": "\u0400-\u04ff",
    "han": "\u4e00-\u9fff\u3400-\u4dbf",
    "kana": "\u3040-\u30ff",
    "hangul": "\uac00-\ud7af",
    "devanagari": "\u0900-\u097f",
    "hebrew": "\u0590-\u05ff",
    "greek": "\u0370-\u03ff",
    "thai": "\u0e00-\u0e7f",
}
LANGUAGES = {
    "fa": ("arabic",),
    "ar": ("arabic",),
    "ur": ("arabic",),
    "ru": ("cyrillic",),
    "uk": ("cyrillic",),
    "zh": ("han",),
    "ja": ("kana", "han"),
    "ko": ("hangul",),
    "hi": ("devanagari",),
    "he": ("hebrew",),
    "el": ("greek",),
    "th": ("thai",),
}
_CODE = re.compile(
    r"```.*?(?:```|$)|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]*\$|\\\(.*?\\\)|\\\[.*?\\\]|\\[a-zA-Z]+|\d+|</?\w+>", re.DOTALL
)
_WORD = re.compile("|".join(f"(?P<{name}>[{letters}]+)" for name, letters in SCRIPTS.items()))
_SINGLE = ("han", "kana")  # a letter of these is a word


def words(text: str) -> list[str]:
    """Return the script of each word of `text`; code, LaTeX and single letters are left out."""
    found = []
    for match in _WORD.finditer(_CODE.sub(" ", text)):
        script, length = match.lastgroup or "", len(match.group())
        found += [script] * length if script in _SINGLE else [script] if length > 1 else []
    return found


def detect(text: str) -> str:
    """Return the language of most of `text`'s words by their script; "en" stands for Latin letters."""
    scripts = words(text)
    if not scripts:
        return "en"
    most = max(dict.fromkeys(scripts), key=scripts.count)  # of equally frequent ones, the first
    if most == "han" and "kana" in scripts:
        return "ja"
    return next((language for language, own in LANGUAGES.items() if most in own), "en")


def share(text: str, language: str) -> float:
    """Return the share, 0 to 1, of the words of `text` that are in `language`; 1 where it has no words."""
    scripts = words(text)
    own = LANGUAGES.get(language, ("latin",))
    return sum(s in own for s in scripts) / len(scripts) if scripts else 1.0


def language(
    completions: Sequence[Any],
    prompts: Sequence[Any],
    language: Sequence[str | None] | None = None,
    thinking: Sequence[bool | None] | None = None,
    **columns: Any,
) -> list[float | None]:
    """The share of the chain of thought's words in the row's `language`, else in the prompt's.

    0.0 without a chain of thought; `None` where the row wants none.
    """
    count = len(completions)
    targets, wanted = language or [None] * count, thinking or [True] * count
    scores: list[float | None] = []
    for completion, prompt, target, wants in zip(completions, prompts, targets, wanted, strict=True):
        chain = read(completion_text(completion))
        if wants is False:
            scores.append(None)
        else:
            text = prompt if isinstance(prompt, str) else prompt[-1]["content"]
            scores.append(share(chain.thinking or "", target or detect(text)) if chain.thinks else 0.0)
    return scores
