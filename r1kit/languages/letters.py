"""Tell languages of one script apart by their letters: Persian, Arabic and Urdu; Russian and Ukrainian; and others.

Languages that r1kit does not know are written in these scripts too (Bulgarian, Kazakh, Pashto, Marathi, Yiddish). Signs
of them, such as letters that no known language has, keep their texts from passing for a known one.

>>> has_letters_of("پس نتیجه می‌گیریم", "fa", "arabic"), has_letters_of("إذن نستنتج", "fa", "arabic")
(True, False)
"""

import re

# Letters that only some languages of a script have, with the weight of each occurrence. Of several languages in a
# script, a text whose language is unclear counts as the first.
DISTINCT_LETTERS: dict[str, dict[str, dict[str, int]]] = {
    "arabic": {
        "fa": {"پچژگ": 4, "کی": 1},
        "ar": {"ةىإيك": 1},
        "ur": {"پچژگ": 4, "کی": 1, "ٹڈڑےںہھ": 4},
    },
    "cyrillic": {"ru": {"ыэъё": 1}, "uk": {"іїєґ": 1}},
    "devanagari": {"hi": {}},
    "hebrew": {"he": {}},
}

# Signs of languages that r1kit does not know, by script. A sign weighs more than most letters, since a known language
# has it in names alone.
_UNKNOWN_SIGNS = {
    # Kurdish, Pashto, Uyghur, Sindhi
    "arabic": re.compile("[ەێۆڕڵڤټډړږښڼېۍځڅۇۈڭۋۏڄڃٻڀڊڍڏڦڳڱڻ]"),
    # Serbian, Macedonian, Belarusian, the Turkic languages, Mongolian, Tajik; Bulgarian has ъ before consonants
    "cyrillic": re.compile("[ђјљњћџѓќѕѝўәғқңөұүһҳҷӣӯҗҙҡҫҥҹҝӑӗӳӧӱӝӟӵ]|дз[еёіюя]|ъ(?![еёюяїє])"),
    # Marathi, Nepali
    "devanagari": re.compile(
        r"ळ|(?<![\u0900-\u097f])(?:आहे|आहेत|आणि|नाही|होते|म्हणून|किती|आपण|तिच्या|त्याच्या|छ|छन्|र|हो|पनि|भने|यो|त्यसैले|हामी)"
        r"(?![\u0900-\u097f])"
    ),
    # Yiddish
    "hebrew": re.compile(
        "[װױײ]|פֿ|אַ|אָ|(?<![א-ת])(?:די|דער|דאס|און|איז|פון|צו|מיט|האט|זי|ער|עס|נישט|ניט|אויף|זיך|מיר|ביי|זענען|זיינען)(?![א-ת])"
    ),
}
_UNKNOWN_SIGN_WEIGHT = 4

# The most frequent words of Hindi: a text in Hindi has some in each clause, in Marathi and Nepali hardly any.
_HINDI_WORDS = re.compile(
    r"(?<![\u0900-\u097f])(?:है|हैं|के|का|की|में|से|और|को|पर|तो|था|थी|थे|यह|वह|नहीं|लिए|ने|हम|इस|उस|कि|अब|या|भी|गया|होता|होती)"
    r"(?![\u0900-\u097f])"
)


def has_letters_of(text: str, code: str, script: str) -> bool:
    """Return whether no other language of a script has more letters of its own in a text than `code` has."""
    if script not in DISTINCT_LETTERS:
        return True
    weights = {}
    for language, weight_by_letters in DISTINCT_LETTERS[script].items():
        weights[language] = _letter_weight(text, weight_by_letters)
    return weights[code] == max(weights.values())


def has_unknown_letters(text: str, script: str, whole_text: str = "") -> bool:
    """Return whether the letters of a text are those of a language that r1kit does not know.

    `whole_text` decides where a text, such as one clause of it, has no letters that tell.
    """
    if script not in _UNKNOWN_SIGNS:
        return False
    unknown_weight = _UNKNOWN_SIGN_WEIGHT * len(_UNKNOWN_SIGNS[script].findall(text))
    known_weight = max(_letter_weight(text, letters) for letters in DISTINCT_LETTERS[script].values())
    if script == "devanagari":
        known_weight = _UNKNOWN_SIGN_WEIGHT * len(_HINDI_WORDS.findall(text))
    if whole_text and not unknown_weight and not known_weight:
        return has_unknown_letters(whole_text, script)
    return unknown_weight > known_weight


def _letter_weight(text: str, weight_by_letters: dict[str, int]) -> int:
    weight_sum = 0
    for letters, weight in weight_by_letters.items():
        for letter in letters:
            weight_sum += weight * text.count(letter)
    return weight_sum
