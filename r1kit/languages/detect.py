"""Detect the language of a text, and the fraction of its words that are in a given language.

>>> detect_language("What is the sum of two and three?")
'en'
>>> detect_language("Tá cúig úll fágtha ag Máire, mar sin is é an freagra ná cúig úll.")  # Irish, an unknown language
'und'
>>> language_fraction("First we add 两个数", "en")
0.5

r1kit/languages/words.py defines what counts as a word. The script of a word decides first: Persian is told from
English and Chinese from Russian by their letters. Languages that share a script are told apart as follows.

- Latin letters: py3langid (naive Bayes on byte n-grams; Lui and Baldwin, ACL 2012) gives each word a score in each
  language, and a hidden Markov model over the words finds the likeliest sequence of languages, as in King and Abney
  (NAACL 2013). A change of language costs most within a clause, less at a comma, least between sentences, and more
  where it leaves the target language. So sentences, clauses and most longer phrases in another language are found,
  while a single odd word (a name, a term) changes nothing. benchmarks/languages.py compares detectors.
- A language in Latin letters that r1kit does not know (Irish, Zulu, Hindi in Latin letters) must not pass for one that
  it knows. So the model has the other languages of py3langid too, and one more state for words that no single language
  explains. Since names and terms look like such words, it takes several words in a row to get there.
- Persian, Arabic and Urdu, and Russian and Ukrainian: clause by clause, by the letters that only one of them has
  (r1kit/languages/letters.py).
- Japanese and Chinese: a sentence of many Han letters without kana is Chinese.

Where the target language has another script than Latin, Latin words are not in it, and py3langid is not loaded.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from r1kit.languages.letters import DISTINCT_LETTERS, has_letters_of, has_unknown_letters
from r1kit.languages.words import find_words, strip_non_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

# English comes first: a text whose language is unclear counts as English.
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

# The languages in Latin letters that py3langid knows and r1kit does not. They are here so that a text in one of them
# does not pass for a language that r1kit knows. Left out are nn (Norwegian, as `no` is), ms (hardly to be told from
# Indonesian) and pcm (Nigerian Pidgin, most words of which are English).
UNKNOWN_LATIN_LANGUAGES = (
    *("af", "an", "az", "bcl", "br", "bs", "ca", "crh", "cy", "eo", "et", "eu", "fo", "fuv", "fy", "ga", "gcf", "gcr"),
    *("gd", "gl", "gug", "guw", "ha", "hr", "ht", "ig", "is", "jv", "kab", "kik", "ku", "la", "lb", "lg", "lij", "ln"),
    *("lt", "ltg", "lv", "mg", "mt", "nso", "oc", "om", "qu", "rw", "se", "sk", "sl", "sn", "so", "sq", "sr", "st"),
    *("sw", "tk", "tl", "tt", "uz", "vec", "vo", "wa", "xh", "yo", "zu"),
)

# What `detect_language` returns for a language that r1kit does not know: "undetermined" in ISO 639.
UNKNOWN_LANGUAGE = "und"

# The scripts of each language. Of several languages in a script, a text whose language is unclear counts as the first.
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

LANGUAGE_NAMES = {
    "en": "English",
    "zh": "Chinese",
    "fa": "Persian",
    "fr": "French",
    "de": "German",
    "es": "Spanish",
    "ru": "Russian",
    "ar": "Arabic",
    "ja": "Japanese",
    "ko": "Korean",
    "it": "Italian",
    "pt": "Portuguese",
    "tr": "Turkish",
    "hi": "Hindi",
    "uk": "Ukrainian",
    "nl": "Dutch",
    "pl": "Polish",
    "vi": "Vietnamese",
    "cs": "Czech",
    "ro": "Romanian",
    "hu": "Hungarian",
    "sv": "Swedish",
    "da": "Danish",
    "no": "Norwegian",
    "fi": "Finnish",
    "id": "Indonesian",
    "ur": "Urdu",
    "he": "Hebrew",
    "el": "Greek",
    "th": "Thai",
}

# Codes with the same meaning as another: the two written forms of Norwegian.
_CODE_ALIASES = {"nb": "no", "nn": "no"}

# A sentence with this many Han letters and no kana is Chinese, not Japanese.
MIN_CHINESE_LETTERS = 6

# The constants of the hidden Markov model, in nats (natural logarithms of probabilities). They were chosen on one
# half of tests/data/chains.jsonl, and benchmarks/languages.py measures them on the other. No single word can pay for
# a change.
SWITCH_WITHIN_CLAUSE = 4.0
SWITCH_AT_CLAUSE = 2.5
SWITCH_AT_SENTENCE = 1.5
LEAVE_TARGET_LANGUAGE = 3.5  # on top of the switch
ENTER_UNKNOWN_LANGUAGE = 10.0  # instead of that: a change into a language that r1kit does not know
UNKNOWN_LANGUAGE_PENALTY = 0.5  # of each word in one of UNKNOWN_LATIN_LANGUAGES
MAX_UNKNOWN_LANGUAGE_SCORE = 4.0  # of a word in one of them, relative to its likeliest known language
UNEXPLAINED_WORD_SCORE = -2.5  # of each word in the state for words that no single language explains
MIN_WORD_SCORE = -4.5  # the lowest score that a word can have, relative to its likeliest language

# How much more likely than English another language must be for detect_language, in nats: two words at least.
MIN_MARGIN_OVER_ENGLISH = 7.0

# Letters of a word that its score depends on; a longer word costs time and says no more.
MAX_WORD_LETTERS = 40

# Words whose scores are remembered.
MAX_CACHED_WORDS = 1 << 15

_SENTENCE_END = re.compile(r"[.!?…\n。！？؟]")
_CLAUSE_END = re.compile(r"[,;:()–—،؛、，；：.!?…\n。！？؟]")


def is_known_language(language: str) -> bool:
    """Return whether `language_fraction` knows a language code, such as fa, zh-CN or pt_BR."""
    return _main_code(language) in LANGUAGES


def language_code(name: str) -> str | None:
    """Return the code of a language: a known code as it is, "en" for "English", None for an unknown language."""
    if is_known_language(name):
        return name
    for code, language_name in LANGUAGE_NAMES.items():
        if language_name.lower() == name.strip().lower():
            return code
    return None


def _main_code(language: str) -> str:
    """Return the code without its region: "pt" for "pt_BR"."""
    code = re.split("[-_]", language.lower())[0]
    return _CODE_ALIASES.get(code, code)


def _known_code(language: str) -> str:
    """Return the code without its region. Raises ValueError for an unknown language."""
    code = _main_code(language)
    if code not in LANGUAGES:
        raise ValueError(f"unknown language {language!r}; known are {', '.join(sorted(LANGUAGES))}")
    return code


def detect_language(text: str) -> str:
    """Return the code of the language that most words of a text are in; "en" where that is unclear.

    A language that r1kit does not know is "und", the code of ISO 639 for an undetermined language.
    """
    text = strip_non_words(text)
    words = list(find_words(text))
    scripts = [word.lastgroup or "" for word in words]
    if not scripts:
        return "en"
    main_script = max(dict.fromkeys(scripts), key=scripts.count)  # of equally frequent scripts the first
    if main_script == "other":
        return UNKNOWN_LANGUAGE
    if main_script == "latin":
        return _detect_latin_language([word.group() for word in words if word.lastgroup == "latin"])
    if main_script == "han" and "kana" in scripts:
        return "ja"
    if has_unknown_letters(text, main_script):
        return UNKNOWN_LANGUAGE
    for code, language_scripts in LANGUAGES.items():
        if main_script in language_scripts and _has_own_letters(text, code):
            return code
    raise AssertionError(f"no language of the script {main_script}")


def _detect_latin_language(words: Sequence[str]) -> str:
    """Return the likeliest language of words in Latin letters, English unless another one is much likelier."""
    total: Any = sum(_word_scores(word[:MAX_WORD_LETTERS]) for word in words)
    known_total, unknown_total = total[: len(LATIN_LANGUAGES)], total[len(LATIN_LANGUAGES) :]
    best = int(known_total.argmax())
    if known_total[best] - known_total[0] <= MIN_MARGIN_OVER_ENGLISH:
        best = 0
    if unknown_total.max() - known_total[best] > ENTER_UNKNOWN_LANGUAGE:
        return UNKNOWN_LANGUAGE
    return LATIN_LANGUAGES[best]


def language_fraction(text: str, language: str) -> float:
    """Return the fraction, 0 to 1, of the words of a text that are in a language; 1 for a text without words.

    Raises ValueError for an unknown language.
    """
    code = _known_code(language)
    text = strip_non_words(text)
    scripts = LANGUAGES[code]
    if scripts == ("latin",):
        words = list(find_words(text))
        return _count_latin_words(text, words, code) / len(words) if words else 1.0
    word_count = words_in_language = 0
    for piece in _split_text(text, code):
        piece_scripts = [word.lastgroup for word in find_words(piece)]
        word_count += len(piece_scripts)
        if piece_scripts and _has_own_letters(piece, code) and not has_unknown_letters(piece, scripts[0], text):
            words_in_language += sum(script in scripts for script in piece_scripts)
    return words_in_language / word_count if word_count else 1.0


def _split_text(text: str, code: str) -> list[str]:
    """Return the pieces of a text that are searched one by one for another language of the same script."""
    if code == "ja":  # by sentences: clauses of a Japanese list may have no kana
        return _SENTENCE_END.split(text)
    return _CLAUSE_END.split(text) if LANGUAGES[code][0] in DISTINCT_LETTERS else [text]


def _has_own_letters(text: str, code: str) -> bool:
    """Return whether no other language of the same script has more letters of its own in a text."""
    if code == "ja":
        scripts = [word.lastgroup for word in find_words(text)]
        return "kana" in scripts or scripts.count("han") < MIN_CHINESE_LETTERS
    return has_letters_of(text, code, LANGUAGES[code][0])


def _count_latin_words(text: str, words: Sequence[re.Match[str]], target: str) -> int:
    """Return how many of the words of a text are in `target`, a language in Latin letters."""
    import numpy as np

    word_scores: list[NDArray[Any]] = []
    switch_costs: list[float] = []
    previous_end = 0
    for word in words:
        if word.lastgroup != "latin":
            continue
        gap = text[previous_end : word.start()] if word_scores else "."  # the first word begins a sentence
        previous_end = word.end()
        word_scores.append(_word_scores(word.group()[:MAX_WORD_LETTERS]))
        switch_costs.append(_switch_cost(gap))
    if not word_scores:
        return 0
    target_index = LATIN_LANGUAGES.index(target)
    entry_costs = np.full(len(word_scores[0]), ENTER_UNKNOWN_LANGUAGE)
    entry_costs[: len(LATIN_LANGUAGES)] = LEAVE_TARGET_LANGUAGE
    entry_costs[target_index] = 0.0
    return _likeliest_languages(word_scores, switch_costs, entry_costs).count(target_index)


def _switch_cost(gap: str) -> float:
    """Return what a change of language costs between two words, by the text between them."""
    if gap == " ":  # the most frequent gap, which needs no search
        return SWITCH_WITHIN_CLAUSE
    if _SENTENCE_END.search(gap):
        return SWITCH_AT_SENTENCE
    return SWITCH_AT_CLAUSE if _CLAUSE_END.search(gap) else SWITCH_WITHIN_CLAUSE


def _likeliest_languages(
    word_scores: Sequence["NDArray[Any]"], switch_costs: Sequence[float], entry_costs: "NDArray[Any]"
) -> list[int]:
    """Return the index of the likeliest language of each of W words, by Viterbi's algorithm.

    `word_scores`: a score in each of L languages for each word, W arrays (L,). `switch_costs`: of a change before
    each word. `entry_costs`: of a change into each language, (L,); the target language, whose cost is 0, is the one
    in which a text is expected to begin.
    """
    import numpy as np

    first_switch = np.where(entry_costs > 0, switch_costs[0], 0.0)
    scores = word_scores[0] - entry_costs - first_switch  # (L,), of the best path that ends in each language
    best_previous = [0]  # for each word: the language from which a change comes
    stays = [entry_costs]  # for each word: whether staying in a language is better than a change into it, (L,)
    for current_scores, switch_cost in zip(word_scores[1:], switch_costs[1:], strict=True):
        best_language = int(scores.argmax())
        best_previous.append(best_language)
        changed_scores = (scores[best_language] - switch_cost) - entry_costs
        stays.append(scores >= changed_scores)
        scores = np.maximum(scores, changed_scores) + current_scores
    path = [int(scores.argmax())]
    for word_index in range(len(word_scores) - 1, 0, -1):
        language = path[-1]
        path.append(language if stays[word_index][language] else best_previous[word_index])
    return path[::-1]


@lru_cache(maxsize=MAX_CACHED_WORDS)
def _word_scores(word: str) -> "NDArray[Any]":
    """Return a word's score in each of LATIN_LANGUAGES, from 0 for the likeliest down to MIN_WORD_SCORE.

    After them stand its scores in each of UNKNOWN_LATIN_LANGUAGES, and in the state for unexplained words.  # (L,)
    """
    import numpy as np

    log_probabilities = dict(_identifier().rank(f" {word} "))
    codes, log_priors = _scored_languages()
    scores = np.array([log_probabilities[code] for code in codes]) - log_priors
    count = len(LATIN_LANGUAGES)
    scores = scores - scores[:count].max()
    latin_scores = scores[:count]
    further_scores = np.minimum(scores[count:], MAX_UNKNOWN_LANGUAGE_SCORE) - UNKNOWN_LANGUAGE_PENALTY
    unexplained_score = max(further_scores.max(), 0.0) + UNEXPLAINED_WORD_SCORE
    return np.maximum(np.concatenate([latin_scores, further_scores, [unexplained_score]]), MIN_WORD_SCORE)


@lru_cache(maxsize=1)
def _scored_languages() -> tuple[tuple[str, ...], "NDArray[Any]"]:
    """Return the languages in Latin letters, known ones first, and py3langid's priors, which its scores include."""
    import numpy as np

    identifier = _identifier()
    codes = LATIN_LANGUAGES + UNKNOWN_LATIN_LANGUAGES
    log_priors = dict(zip(identifier.nb_classes, identifier.nb_pc.tolist(), strict=True))
    return codes, np.array([log_priors[code] for code in codes])


@lru_cache(maxsize=1)
def _identifier() -> Any:
    """Return py3langid's model, limited to languages in Latin letters."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages(LATIN_LANGUAGES + UNKNOWN_LATIN_LANGUAGES)
    return identifier
