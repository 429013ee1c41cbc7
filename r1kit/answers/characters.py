r"""Replace the characters of mathematics beyond ASCII by the LaTeX commands that mean the same.

Uses the standard library only.

>>> replace_characters("√12·α ≤ ½")
'\\sqrt{12}\\cdot \\alpha  \\le  \\frac{1}{2}'
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping


def invert_table(variants_by_spelling: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Return a table that leads from each variant to its spelling. The variants of a string are its characters."""
    spelling_by_variant = {}
    for spelling, variants in variants_by_spelling.items():
        for variant in variants:
            spelling_by_variant[variant] = spelling
    return spelling_by_variant


# Characters, by what replaces each of them. A space after a LaTeX command keeps it apart from a letter that follows.
_CHARACTERS = invert_table(
    {
        "-": "−–—‒‐‑",
        "'": "’‘′ʹ",
        "''": "″",
        "/": "÷⁄∕",
        "%": "٪",
        ".": "٫。",
        ",": "٬،、",
        "°": "º˚",
        "*": "∗",
        "|": "∣",
        "(": "⟨〈",
        ")": "⟩〉",
        " or ": "或",
        " and ": "和",
        r"\times ": "×",
        r"\cdot ": "·⋅∙•",
        r"\pm ": "±",
        r"\mp ": "∓",
        r"\infty ": "∞",
        r"\approx ": "≈≃≅",
        r"\le ": "≤≦⩽",
        r"\ge ": "≥≧⩾",
        r"\ne ": "≠",
        r"\cup ": "∪",
        r"\cap ": "∩",
        r"\in ": "∈",
        r"\notin ": "∉",
        r"\subset ": "⊂",
        r"\subseteq ": "⊆",
        r"\emptyset ": "∅",
        r"\setminus ": "∖",
        r"\mathbb{R} ": "ℝ",
        r"\mathbb{Z} ": "ℤ",
        r"\mathbb{N} ": "ℕ",
        r"\mathbb{Q} ": "ℚ",
        r"\mathbb{C} ": "ℂ",
        r"\sum ": "∑",
        r"\prod ": "∏",
        r"\int ": "∫",
        r"\partial ": "∂",
        r"\nabla ": "∇",
        r"\Delta ": "∆",
        r"\Omega ": "Ω",
        r"\angle ": "∠∡",
        r"\triangle ": "△",
        r"\perp ": "⊥",
        r"\parallel ": "∥",
        r"\wedge ": "∧",
        r"\vee ": "∨",
        r"\neg ": "¬",
        r"\equiv ": "≡",
        r"\sim ": "∼",
        r"\to ": "→⟶",
        r"\Rightarrow ": "⇒",
        r"\circ ": "∘",
        r"\lfloor ": "⌊",
        r"\rfloor ": "⌋",
        r"\lceil ": "⌈",
        r"\rceil ": "⌉",
        "...": "⋯…",
        "": "∴",
    }
)
_GREEK_LETTER = re.compile(r"GREEK (SMALL|CAPITAL) LETTER (FINAL )?([A-Z]+)")
# Longest run of Greek letters that is read as variables; a longer one is a word.
MAX_GREEK_VARIABLES = 2
# Greek letters that LaTeX has no command for, since they look like Latin ones.
_GREEK_LOOKALIKES = {"OMICRON": "o"}
_CAPITALS_WITH_COMMAND = ("GAMMA", "DELTA", "THETA", "LAMBDA", "XI", "PI", "SIGMA", "UPSILON", "PHI", "PSI", "OMEGA")
_GREEK_CAPITAL_LOOKALIKES = {
    "ALPHA": "A",
    "BETA": "B",
    "EPSILON": "E",
    "ZETA": "Z",
    "ETA": "H",
    "IOTA": "I",
    "KAPPA": "K",
    "MU": "M",
    "NU": "N",
    "OMICRON": "O",
    "RHO": "P",
    "TAU": "T",
    "CHI": "X",
}
_SUPERSCRIPTS = re.compile("[⁰¹²³⁴-⁹⁺⁻⁼⁽⁾ⁿⁱˣʸᵃᵇᶜᵈᵉᵏᵐᵗᵀ]+")
_SUBSCRIPTS = re.compile("[₀-₎ₐₑₒₓₕₖₗₘₙₚₛₜᵢⱼᵣᵤᵥ]+")
# Characters without width, variation selectors of emoji, and code quotes.
_INVISIBLE = re.compile("[`\u200b-\u200d\u2060-\u2064\ufeff\ufe00-\ufe0f\u200e\u200f]")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
# A root sign with the number or the letter that it covers, if no bracket follows.
_ROOT = re.compile(r"([√∛∜])\s*(\d+(?:\.\d+)?|[^\W\d_])?")
_ROOT_COMMANDS = {"√": r"\sqrt", "∛": r"\sqrt[3]", "∜": r"\sqrt[4]"}
_GREEK_RUN = re.compile("[\u0370-\u03ff]+")


def replace_characters(text: str) -> str:
    """Return a text in ASCII as far as possible, with LaTeX commands for the symbols of mathematics."""
    text = _INVISIBLE.sub("", text)
    if text.isascii():
        return text
    text = _ROOT.sub(_replace_root, text)
    text = _SUPERSCRIPTS.sub(lambda match: f"^{{{unicodedata.normalize('NFKC', match[0])}}}", text)
    text = _SUBSCRIPTS.sub(lambda match: f"_{{{unicodedata.normalize('NFKC', match[0])}}}", text)
    text = _NOT_ASCII.sub(lambda match: _replace_character(match[0]), text)
    return _GREEK_RUN.sub(lambda match: _replace_greek_letters(match[0]), text)


def _replace_root(match: re.Match[str]) -> str:
    covered = f"{{{match[2]}}}" if match[2] else ""
    return _ROOT_COMMANDS[match[1]] + covered


def _replace_character(char: str) -> str:
    if char in _CHARACTERS:
        return _CHARACTERS[char]
    digit = unicodedata.decimal(char, None)  # Persian digits, say
    if digit is not None:
        return str(digit)
    plain = unicodedata.normalize("NFKC", char)
    if plain[1:2] == "⁄":  # ½ is 1⁄2
        return f"\\frac{{{plain[0]}}}{{{plain[2:]}}}"
    if plain == char and char not in "°¤¢€£¥₹" and unicodedata.category(char) in ("So", "Sk"):  # emoji, check marks
        return " "
    return _CHARACTERS.get(plain, plain)


def _replace_greek_letters(letters: str) -> str:
    """Return Greek letters as LaTeX commands, or as they are where they form a word."""
    if len(letters) > MAX_GREEK_VARIABLES:
        return letters
    commands = []
    for letter in letters:
        match = _GREEK_LETTER.fullmatch(unicodedata.name(letter, ""))
        if match is None:  # an accented letter, so that this is a word
            return letters
        size, _, name = match.groups()
        name = name.replace("LAMDA", "LAMBDA")
        if size == "SMALL":
            commands.append(_GREEK_LOOKALIKES.get(name) or f"\\{name.lower()} ")
        elif name in _CAPITALS_WITH_COMMAND:
            commands.append(f"\\{name.capitalize()} ")
        else:
            commands.append(_GREEK_CAPITAL_LOOKALIKES.get(name, letter))
    return "".join(commands)
