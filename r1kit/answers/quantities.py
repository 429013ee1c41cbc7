r"""Numbers with units as text: read one, compare two. Standard library only.

What counts as the same, where mathematics alone does not say:

- Percent: 9\% is 9/100. For a gold 9\% a plain 9 is right too (the question asked for a percentage);
  for a gold 9 the answer 9\% is wrong.
- Decimals: exact values must be equal. Where the *gold* is a decimal numeral of three or more significant
  digits, a value that rounds to it at its own decimals is right (3.14 for \pi, 0.333 for 1/3), and so is
  a decimal of four or more digits, two or more of them decimals, that it rounds to (3.1416 for 3.14159).
- Units: either side may leave them out; two known ones must be the same, nothing is converted ("2 hours" for
  "120 minutes" might just repeat the question). Other words after a number ("5 people") say nothing.
- Bases: an answer without a base is read in the gold's; two bases must be the same, for the same reason.
"""

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache


@dataclass(frozen=True)
class Quantity:
    """A numeral as written. `half` is half a unit of a decimal's last place, None where it is exact."""

    value: Fraction
    half: Fraction | None = None
    digits: int = 0
    places: int = 0
    unit: str = ""
    percent: bool = False
    base: int | None = None
    text: str = ""


_UNITS = {
    alias: line.split()[0]
    for line in """
    millimetre mm millimeter; centimetre cm centimeter; metre m meter; kilometre km kilometer; inch in inche; yard yd
    foot ft feet; mile mi; milligram mg; gram g gm; kilogram kg kilo; ounce oz; pound lb £; ton tonne; second s sec
    minute min; hour h hr; day; week wk; month; year yr; millilitre ml milliliter; litre l liter; gallon gal
    dollar ¤ usd buck; cent ¢; euro € eur; rupee ₹ rs; yen ¥; degree ° deg; celsius °c; fahrenheit °f; am a.m; pm p.m
    """.replace("\n", ";").split(";")
    for alias in line.split()
}
_NO_UNIT = re.compile(
    r"(?:and|or|not|no|to|of|plus|minus|times|over|squared|cubed|hal(?:f|ves)|(?:third|quarter|fourth|fifth|sixth|"
    r"seventh|eighth|ninth|tenth|eleventh|twelfth)s?|less|more|than|least|most|except|choose|mod|remainder|factorial|"
    r"negative|infinity|if|when|where|is|are|hundred|thousand|million|sin|cos|tan|log|exp|sqrt|frac)"
)
_SCALES = {"dozen": 12, "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_TO_TWENTY = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen twenty"""
_WORDS = _TO_TWENTY.split()
_WHOLE = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d{1,3}(?:[ ]\d{3})+(?![\d/])|\d+)"
_DECIMAL = rf"(?:{_WHOLE}(?:\.\d*)?|\.\d+)"
_NUMERAL = re.compile(
    rf"""(?P<sign>[+-]?)\s*(?P<money>[¤€£¥₹]?)\s*(?P<sign2>[+-]?)\s*(?:
    (?P<fixed>\d*\.\d*)(?:\\(?:overline|bar)\s*\{{?(?P<cycle>\d+)\}}?|\((?P<cycle2>\d+)\))
    |(?P<whole>\d+)?\s*\\frac\s*\{{\s*(?P<top>[+-]?{_DECIMAL})\s*\}}\s*\{{\s*(?P<bottom>[+-]?{_DECIMAL})\s*\}}
    |(?:(?P<whole2>\d+)\s+)?(?P<top2>{_DECIMAL})\s*/\s*(?P<bottom2>{_DECIMAL})
    |(?P<decimal>{_DECIMAL})(?:\s*(?:[eE]|(?:\\times|\\cdot|\*|x)\s*10\s*\^)\s*\{{?(?P<power>[+-]?\d{{1,4}})\}}?)?
    )(?:\s+(?P<scale>{"|".join(_SCALES)})s?\b)?(?P<rest>.*)""",
    re.VERBOSE | re.DOTALL,
)
_BASED = re.compile(r"\(?([\dA-F ]*\d[\dA-F ]*|[A-F]{2,})\)?\s*(?:_\s*\{?\s*|(?:in )?base[ -]?)(\d+|[a-z]+)\s*\}?")


@lru_cache(maxsize=4096)
def parse_quantity(text: str) -> Quantity | None:
    """Read a clean text as one numeral, with its unit; None where it is anything else."""
    if text.casefold() in _WORDS:
        return Quantity(Fraction(_WORDS.index(text.casefold())))
    if found := _BASED.fullmatch(text):
        return _based(found[1].replace(" ", ""), found[2])
    text = re.sub(r"\\dot\s*\{?(\d)\}?(?:(\d*)\\dot\s*\{?(\d)\}?)?", r"\\overline{\1\2\3}", text)
    text = re.sub(r"(\.\d{0,9}?)(\d{1,9}?)\2\2+\.\.\.$", r"\1\\overline{\2}", text)
    found = _NUMERAL.fullmatch(text.removesuffix("..."))
    suffix = parse_unit(found["rest"]) if found else None
    if found is None or suffix is None:
        return None
    group = found.groupdict()
    bottom = _fraction(group["bottom"] or group["bottom2"] or "1")
    if bottom == 0:
        return None
    sign = -1 if (group["sign"] == "-") != (group["sign2"] == "-") else 1
    scale = Fraction(sign * _SCALES.get(group["scale"] or "", 1)) * Fraction(10) ** int(group["power"] or 0)
    known = Quantity(Fraction(0), unit=_UNITS.get(group["money"], suffix.strip("%")), percent=suffix == "%", text=text)
    if cycle := group["cycle"] or group["cycle2"]:
        head, tail = group["fixed"].split(".")
        value = Fraction(int(head + tail + cycle) - int(head + tail or 0), 10 ** len(tail) * (10 ** len(cycle) - 1))
        return replace(known, value=scale * value)
    if group["decimal"] is None:
        value = (_fraction(group["top"] or group["top2"])) / bottom
        return replace(known, value=scale * (value + int(group["whole"] or group["whole2"] or 0)))
    plain = re.sub("[, ]", "", group["decimal"])
    places = len(plain.partition(".")[2])
    half = abs(scale) / (2 * 10**places) if places else None
    digits = len(plain.replace(".", "").lstrip("0"))
    return replace(known, value=scale * _fraction(plain), half=half, digits=digits, places=places)


def _fraction(text: str) -> Fraction:
    return Fraction(re.sub("[, ]", "", text).removesuffix("."))


def _based(digits: str, name: str) -> Quantity | None:
    base = int(name) if name.isdigit() else _WORDS.index(name) if name in _WORDS else 0
    try:
        return Quantity(Fraction(int(digits, base if base > 1 else 99)), base=base, text=digits)
    except ValueError:
        return None


def parse_unit(text: str) -> str | None:
    r"""Return the unit that follows a number: "cm^2"; "" for none, or words that tell nothing; None for no unit."""
    plain = re.sub(r"^(?:sq|cu)\b\.? ", lambda m: {"s": "square ", "c": "cubic "}[m[0][0]], text.strip(" .").lower())
    if plain in ("", "%"):
        return plain
    glued, found = not text[0].isspace(), []
    for part in re.split(r"\s*/\s*|\s+per\s+", plain.replace("mph", "mile/h").replace("kph", "km/h")):
        match = re.fullmatch(r"(square |cubic )?(.+?)(?:\s*\^?\{?([23])\}?| (squared|cubed))?", part)
        prefix, name, power, suffix = match.groups("") if match else ("", part, "", "")
        name = _UNITS.get(name) or _UNITS.get(name.removesuffix("s"), "")
        high = power or ("2" if "sq" in prefix + suffix else "3" if prefix + suffix else "")
        found.append(name and not (glued and len(part) == 1 and part.isascii()) and name + high)
    if all(found):
        return "/".join(str(name) for name in found)
    each = re.findall("[a-z]+", plain)
    telling = (
        glued or not re.fullmatch(r"[a-z][a-z/ '-]{2,}(?:\^\{[23]\})?", plain) or any(map(_NO_UNIT.fullmatch, each))
    )
    return None if telling or len(each[0]) < 3 or not re.search("[aeiouy]", each[0]) else ""


def same_quantity(gold: Quantity, answer: Quantity) -> bool:
    """Whether two numerals say the same, by the rules at the top."""
    if gold.unit and answer.unit and gold.unit != answer.unit:
        return False
    if gold.base and not answer.base:
        return gold.value == getattr(_based(answer.text, str(gold.base)), "value", None)
    if gold.base != answer.base and (gold.base or answer.base != 10):
        return False
    if gold.percent and not answer.percent and is_within_rounding(gold, answer.value, answer):
        return True
    gold, answer = (
        replace(n, value=n.value / 100, half=n.half and n.half / 100, places=n.places + 2) if n.percent else n
        for n in (gold, answer)
    )
    return is_within_rounding(gold, answer.value, answer)


def is_within_rounding(gold: Quantity, value: Fraction, answer: Quantity | None = None) -> bool:
    """Whether a value is the gold numeral's, or is within what a decimal one leaves open."""
    away = abs(gold.value - value)
    if away == 0 or gold.half is None:
        return away == 0
    if (gold.digits >= 3 and away <= gold.half) or away <= abs(gold.value) / 10**12:
        return True
    return bool(answer and answer.half and answer.digits >= 4 and answer.places >= 2 and away <= answer.half)
