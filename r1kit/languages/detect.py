"""Which language a text is in, and what fraction of its words are in a given language.

What counts as a word is said in r1kit.languages.words. Its script decides first: Persian against Latin letters, Chinese
against Russian. Languages that share a script are told apart:

- In Latin letters by py3langid (byte n-grams, naive Bayes; Lui and Baldwin, ACL 2012), which says of each word how much
  it speaks for each language, and a hidden Markov model over the words, as in King and Abney (NAACL 2013): a change of
  language costs most within a clause, less at a comma, least between sentences, and more where it leaves the target
  language. So sentences, clauses and most longer phrases in another language are found, and a single odd word (a name,
  a term) changes nothing. benchmarks/languages.py compares detectors.
- Persian, Arabic and Urdu, and Russian and Ukrainian, clause by clause by the letters that only one of them has.
  Japanese has kana: a sentence of many Han letters and no kana is Chinese.

Where the target language has another script, Latin words are simply not in it, and no detector is called.
"""

import re
from functools import lru_cache
from typing import Any

from r1kit.languages.words import find_words, strip_non_words

# English first: it is the one that an unclear text is taken for.
LATIN_LANGUAGES = (
    "en",
    "de",
    "fr",
    "es",
    "it",
    "pt",
    "nl",
    "pl",
    "cs",
    "ro",
    "hu",
    "sv",
    "da",
    "no",
    "fi",
    "tr",
    "vi",
    "id",
)


# Each language's scripts; of several languages of a script, the first is the one that an unclear text is taken for.
LANGUAGES = dict.fromkeys(LATIN_LANGUAGES, ("latin",)) | {
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


# What people call them.
LANGUAGE_NAMES = {
    "en": "English", "zh": "Chinese", "fa": "Persian", "fr": "French", "de": "German", "es": "Spanish",
    "ru": "Russian", "ar": "Arabic", "ja": "Japanese", "ko": "Korean", "it": "Italian", "pt": "Portuguese",
    "tr": "Turkish", "hi": "Hindi", "uk": "Ukrainian", "nl": "Dutch", "pl": "Polish", "vi": "Vietnamese",
    "cs": "Czech", "ro": "Romanian", "hu": "Hungarian", "sv": "Swedish", "da": "Danish", "no": "Norwegian",
    "fi": "Finnish", "id": "Indonesian", "ur": "Urdu", "he": "Hebrew", "el": "Greek", "th": "Thai",
}  # fmt: skip


_SAME = {"nb": "no", "nn": "no"}  # the two written forms of Norwegian


# Letters and how much they speak for a language against the others of its script.
_LETTERS = {
    "fa": {"پچژگ": 4, "کی": 1},
    "ar": {"ةىإيك": 1},
    "ur": {"پچژگ": 4, "کی": 1, "ٹڈڑےںہھ": 4},
    "ru": {"ыэъё": 1},
    "uk": {"іїєґ": 1},
}


_HAN_ALONE = 6  # Han letters without kana that are no longer Japanese


# In nats: what a change of language costs within a clause, at its end and at a sentence's end; what it costs on top of
# that to be in another language than the target's; and the least that one word can say for a language. So no word
# suffices alone.
SWITCH = (4.0, 2.5, 1.5)


ELSEWHERE = 3.5


FLOOR = -4.5


MARGIN = 7.0  # by which a prompt must speak for another language than English, in nats: two words at least


_LONGEST = 40  # letters of a word that are looked at


_SENTENCE = re.compile(r"[.!?…\n。！？؟]")


_CLAUSE = re.compile(r"[,;:()–—،؛、，；：.!?…\n。！？؟]")


def is_known_language(language: str) -> bool:
    """Whether `share` knows a language code, such as fa, zh-CN or pt_BR."""
    code = re.split("[-_]", language.lower())[0]
    return _SAME.get(code, code) in LANGUAGES


def language_code(name: str) -> str | None:
    """Return the code that a language goes by: a code as it is, English as en; None for what `share` does not know."""
    if is_known_language(name):
        return name
    return next((code for code, known in LANGUAGE_NAMES.items() if known.lower() == name.strip().lower()), None)


def _code(language: str) -> str:
    """Return the first part of a language code. Raises ValueError for an unknown one."""
    if not is_known_language(language):
        raise ValueError(f"unknown language {language!r}; known are {', '.join(sorted(LANGUAGES))}")
    code = re.split("[-_]", language.lower())[0]
    return _SAME.get(code, code)


def detect_language(text: str) -> str:
    """Return the language of most of `text`'s words; "en" where that is unclear."""
    text = strip_non_words(text)
    found = list(find_words(text))
    scripts = [match.lastgroup for match in found]
    if not scripts:
        return "en"
    most = max(dict.fromkeys(scripts), key=scripts.count)  # of equally frequent ones, the first
    if most == "latin":
        total = sum(_evidence(match.group()[:_LONGEST]) for match in found if match.lastgroup == "latin")
        best = int(total.argmax())
        return LATIN_LANGUAGES[best] if total[best] - total[0] > MARGIN else LATIN_LANGUAGES[0]
    if most == "han" and "kana" in scripts:
        return "ja"
    return next(code for code, own in LANGUAGES.items() if most in own and _is_own(text, code))


def language_fraction(text: str, language: str) -> float:
    """Return the share, 0 to 1, of the words of `text` that are in `language`; 1 where it has no words.

    Raises ValueError for an unknown language.
    """
    code, text = _code(language), strip_non_words(text)
    own = LANGUAGES[code]
    if own == ("latin",):
        found = list(find_words(text))
        mine, total = _in_latin(text, found, code), len(found)
    else:
        mine = total = 0
        for part in _parts(text, code):
            scripts = [match.lastgroup for match in find_words(part)]
            total += len(scripts)
            mine += sum(script in own for script in scripts) if scripts and _is_own(part, code) else 0
    return mine / total if total else 1.0


def _parts(text: str, code: str) -> list[str]:
    """Split `text` into what is looked at by itself for other languages of the same script."""
    if code == "ja":  # by sentences, since "、" also stands in lists of nouns without kana
        return _SENTENCE.split(text)
    return _CLAUSE.split(text) if code in _LETTERS else [text]


def _is_own(text: str, code: str) -> bool:
    """Whether no other language of the same script has more of its own letters in `text`."""
    if code == "ja":
        scripts = [match.lastgroup for match in find_words(text)]
        return "kana" in scripts or scripts.count("han") < _HAN_ALONE
    if code not in _LETTERS:
        return True
    weights = {
        other: sum(weight * text.count(letter) for letters, weight in table.items() for letter in letters)
        for other, table in _LETTERS.items()
        if LANGUAGES[other] == LANGUAGES[code]
    }
    return weights[code] == max(weights.values())


def _in_latin(text: str, found: list[re.Match[str]], target: str) -> int:
    """Return how many of the words `found` in `text` are in `target`, a language of Latin letters."""
    import numpy as np

    evidence: list[Any] = []
    costs: list[float] = []
    end = 0
    for match in found:
        if match.lastgroup == "latin":
            gap = text[end : match.start()] if evidence else "."
            end = match.end()
            evidence.append(_evidence(match.group()[:_LONGEST]))
            costs.append(SWITCH[0 if gap == " " else 2 if _SENTENCE.search(gap) else 1 if _CLAUSE.search(gap) else 0])
    if not evidence:
        return 0
    own = LATIN_LANGUAGES.index(target)
    entry = np.full(len(LATIN_LANGUAGES), ELSEWHERE)
    entry[own] = 0.0
    return _likeliest(evidence, costs, entry).count(own)


def _likeliest(evidence: list[Any], costs: list[float], entry: Any) -> list[int]:
    """Return the likeliest language of each of W words, after a start in the one of no `entry` (Viterbi's algorithm).

    `evidence` is of each word for each of L languages, W x (L,); `costs` of a change before each word; `entry` into
    each language, (L,).
    """
    import numpy as np

    score = evidence[0] - entry - np.where(entry > 0, costs[0], 0.0)
    best, stays = [0], [entry]  # of each word: the language that a change comes from, and which do not change
    for seen, cost in zip(evidence[1:], costs[1:], strict=True):
        best.append(int(score.argmax()))
        changed = (score[best[-1]] - cost) - entry
        stays.append(score >= changed)
        score = np.maximum(score, changed) + seen
    path = [int(score.argmax())]
    for word in range(len(evidence) - 1, 0, -1):
        path.append(path[-1] if stays[word][path[-1]] else best[word])
    return path[::-1]


@lru_cache(maxsize=1 << 15)
def _evidence(word: str) -> Any:
    """Return how much a word speaks for each language of LATIN, from 0 for the likeliest down to FLOOR.  # (L,)"""
    import numpy as np

    identifier = _identifier()
    ranks = dict(identifier.rank(f" {word} "))
    scores = np.array([ranks[code] - prior for code, prior in zip(LATIN_LANGUAGES, _priors(), strict=True)])
    return np.maximum(scores - scores.max(), FLOOR)


@lru_cache(maxsize=1)
def _priors() -> list[float]:
    identifier = _identifier()
    priors = dict(zip(identifier.nb_classes, identifier.nb_pc.tolist(), strict=True))
    return [priors[code] for code in LATIN_LANGUAGES]


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages(LATIN_LANGUAGES)
    return identifier
