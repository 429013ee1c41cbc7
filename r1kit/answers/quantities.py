r"""Read numbers with units from text, and compare them. Uses the standard library only.

>>> same_quantity(parse_quantity("1/2"), parse_quantity("0.5"))
True
>>> parse_quantity("5 cm^2").unit
'centimetre2'

Where mathematics alone does not say what counts as the same number:

- Percent: 9\% is 9/100. For a gold answer 9\% a plain 9 is right too (the question asked for a percentage); for a gold
  answer 9 the answer 9\% is wrong.
- Decimals: exact values must be equal. Where the *gold* answer is a decimal numeral of three or more significant
  digits, a value that rounds to it at its own decimals is right (3.14 for \pi, 0.333 for 1/3), and so is a decimal of
  four or more digits, two or more of them decimals, to which the gold answer rounds (3.1416 for 3.14159).
- Units: either side may leave them out. Two units that are known must be the same; nothing is converted, since "2
  hours" for "120 minutes" might just repeat the question. Other words after a number ("5 people") do not matter.
- Bases: an answer without a base is read in the gold answer's base. Two bases must be the same; nothing is converted,
  for the same reason.
"""

import re
import unicodedata
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache


@dataclass(frozen=True)
class Quantity:
    """A number as it is written in an answer."""

    value: Fraction
    half: Fraction | None = None
    """Half a unit of a decimal's last place (0.005 for 3.14); None where the number is exact."""

    digits: int = 0
    """Significant digits of a decimal."""

    places: int = 0
    """Digits after the decimal point."""

    unit: str = ""
    percent: bool = False
    base: int | None = None
    text: str = ""
    letter: str = ""
    """A unit of one letter as it is written, which may be a variable: h in "5 h"."""


# Units with their other spellings; the first of each is the name that `parse_unit` returns.
_UNIT_SPELLINGS = """
millimetre mm millimeter; centimetre cm centimeter; metre m meter; kilometre km kilometer; inch in inche; yard yd
foot ft feet; mile mi; milligram mg; gram g gm; kilogram kg kilo; ounce oz; pound lb £; ton tonne; second s sec
minute min; hour h hr; day; week wk; month; year yr; millilitre ml milliliter; litre l liter; gallon gal
dollar ¤ usd buck; cent ¢; euro € eur; rupee ₹ rs inr; yen ¥ jpy; zloty zł pln; koruna kč czk; krona kr sek nok dkk
lira ₺ tl; franc chf; real r¤ brl; rupiah rp idr; rouble ₽ rub; won ₩ krw; dong ₫ vnd; hryvnia ₴; shekel ₪; baht ฿
naira ₦; degree ° deg; celsius °c; fahrenheit °f; am a.m; pm p.m
"""


def _read_units(spellings: str) -> dict[str, str]:
    """Return a table from each spelling of a unit to its name."""
    name_by_spelling = {}
    for unit in spellings.strip().replace("\n", ";").split(";"):
        names = unit.split()
        for name in names:
            name_by_spelling[name] = names[0]
    return name_by_spelling


_UNITS = _read_units(_UNIT_SPELLINGS)
# Words after a number that belong to the mathematics: "two thirds", "5 more than x".
_MATHEMATICAL_WORD = re.compile(
    r"(?:and|or|not|no|to|of|plus|minus|times|over|squared|cubed|hal(?:f|ves)|(?:third|quarter|fourth|fifth|sixth|"
    r"seventh|eighth|ninth|tenth|eleventh|twelfth)s?|less|more|than|least|most|except|choose|mod|remainder|factorial|"
    r"negative|infinity|if|when|where|is|are|hundred|thousand|million|sin|cos|tan|log|exp|sqrt|frac)"
)
# Words of other languages that scale the number before them, without their accents: whole words ...
_SCALE_WORDS = re.compile(
    r"hundert|cien|cento|centos|cem|sto|tausend|mil|mila|mille|milles|mii|mie|ezer|elfu|bin|yuz|juta|ribu|ratus|puluh|"
    r"ty|tys|tis|mln|mld|mio|mrd|mia|bn|lakhs?|crores?|nghin|ngan|trieu|chuc|muoi|thousands|hundreds|dozens|"
    r"tiers|tercios?|terz[oi]|halb|halber?|mezzo|meio|demi"
)
# ... and beginnings of words.
_SCALE_STEMS = re.compile(
    r"(?:millia?[oe]|milliar|milj|milio|milia?r|millon|milho|milyon|milyar|bili[oa]|billon|bilho|bilj|billiar|trilion|"
    r"trilj|trilho|tusen|duizend|tisic|tysi[ac]|tuhat|tukst|honderd|hundra|szaz|dutzend|douzain|docen|dozzin|duzia|"
    r"tucet|dizain|decin|prozent|procent|pourcent|percent(?!ile)|porcent|ciento|poloviz|polovin|viertel|drittel|cuart)"
)
_ACCENTED_LETTER = re.compile("[\u00e0-\u024f\u1ea0-\u1eff]")
_LETTERS_WITH_STROKES = str.maketrans("łøđı", "lodi")  # letters that Unicode does not decompose
_ACCENT = re.compile("[\u0300-\u036f]")
# Words of other scripts after a number say what is counted, as in "42個" and "42 рубля" ...
_FOREIGN_LETTER = r"[\u0400-\u04ff\u0590-\u06ff\u0900-\u09ff\u0e00-\u0e7f\u3005-\u30ff\u4e00-\u9fff\uac00-\ud7a3]"
_FOREIGN_UNIT = re.compile(rf"{_FOREIGN_LETTER}{{1,20}}(?: {_FOREIGN_LETTER}{{1,20}})?")
# ... unless they scale it, as in "42万" and "42 миллиона", or deny or weaken it.
_FOREIGN_SCALE = re.compile(
    r"[十百千万萬億亿兆割倍半成以余多未不非]|分之|パーセント|ダース|ない|[십백천만억조배반할]|퍼센트|아니|"
    r"тыс|тися|хиляд|хиљад|м[иі]л|млн|млрд|трил|трлн|сот|сто|дес|дюж|пол|трет|четв|проц|відс|\bне|"
    r"ألف|الف|آلاف|ملي|ميل|میلی|ملین|مئة|مائة|صد|مئ|هزار|ہزار|لاکھ|کروڑ|نصف|نیم|ربع|ثلث|بالم|ليس|"
    r"אלף|אלפ|מילי|מאה|מאות|חצי|אחוז|רבע|שליש|לא|"
    r"हज|लाख|करोड|अरब|सौ|आध|प्रति|दर्ज|नह|হাজার|লাখ|লক্ষ|কোটি|শত|অর্ধ|ডজন|না|ร้อย|พัน|หมื่น|แสน|ล้าน|ครึ่ง|ไม่|โหล|"
    r"เปอร์"
)
# English words that multiply the number before them.
SCALES = {"dozen": 12, "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_TO_TWENTY = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen twenty"""
_NUMBER_WORDS = _TO_TWENTY.split()  # the index of each is its value
# 1234, 1,234 or 1 234.
_INTEGER = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d{1,3}(?:[ ]\d{3})+(?![\d/])|\d+)"
_DECIMAL = rf"(?:{_INTEGER}(?:\.\d*)?|\.\d+)"
# What stands before an amount of money.
_MONEY = r"(?:[A-Z]{0,2}¤|[€£¥₹₺₽₩₫₴₪฿₦]|Rs\.?|Rp\.?|CHF|USD|EUR|GBP|INR|PLN|IDR)"
# In this order: a repeating decimal, a fraction in LaTeX, a fraction with a slash, a decimal with a power of ten.
_NUMBER = re.compile(
    rf"""(?P<sign>[+-]?)\s*(?P<money>{_MONEY})?\s*(?P<sign2>[+-]?)\s*(?:
    (?P<fixed>\d*\.\d*)(?:\\(?:overline|bar)\s*\{{?(?P<cycle>\d+)\}}?|\((?P<cycle2>\d+)\))
    |(?P<integer>\d+)?\s*\\frac\s*
        \{{\s*(?P<numerator>[+-]?{_DECIMAL})\s*\}}\s*\{{\s*(?P<denominator>[+-]?{_DECIMAL})\s*\}}
    |(?:(?P<integer2>\d+)\s+)?(?P<numerator2>{_DECIMAL})\s*/\s*(?P<denominator2>{_DECIMAL})
    |(?P<decimal>{_DECIMAL})(?:\s*(?:[eE]|(?:\\times|\\cdot|\*|x)\s*10\s*\^)\s*\{{?(?P<power>[+-]?\d{{1,4}})\}}?)?
    )(?:\s+(?P<scale>{"|".join(SCALES)})s?\b)?(?P<suffix>.*)""",
    re.VERBOSE | re.DOTALL,
)
# 1011_2, or FF in base sixteen.
_BASED_NUMBER = re.compile(
    r"\(?([\dA-F ]*\d[\dA-F ]*|[A-F]{2,})\)?\s*(?:_\s*\{?\s*|(?:in )?base[ -]?)(\d+|[a-z]+)\s*\}?"
)


@lru_cache(maxsize=4096)
def parse_quantity(text: str) -> Quantity | None:
    """Return the number that a cleaned answer consists of, with its unit; None where the answer is anything else."""
    if text.casefold() in _NUMBER_WORDS:
        return Quantity(Fraction(_NUMBER_WORDS.index(text.casefold())))
    if based := _BASED_NUMBER.fullmatch(text):
        return _parse_based_number(based[1].replace(" ", ""), based[2])
    match = _NUMBER.fullmatch(_mark_repeating_digits(text).removesuffix("..."))
    if match is None:
        return None
    groups = match.groupdict()
    suffix = parse_unit(groups["suffix"])
    denominator = _to_fraction(groups["denominator"] or groups["denominator2"] or "1")
    if suffix is None or denominator == 0:
        return None
    letter = groups["suffix"].strip()
    has_letter = len(letter) == 1 and letter.isalpha()
    if has_letter and groups["numerator"]:
        return None  # a unit would be \text{h} in LaTeX: this is a product
    sign = -1 if (groups["sign"] == "-") != (groups["sign2"] == "-") else 1
    scale = Fraction(sign * SCALES.get(groups["scale"] or "", 1)) * Fraction(10) ** int(groups["power"] or 0)
    unit = _money_unit(groups["money"]) or suffix.strip("%")
    quantity = Quantity(Fraction(0), unit=unit, percent=suffix == "%", text=text)
    if has_letter:
        quantity = replace(quantity, letter=letter)
    if cycle := groups["cycle"] or groups["cycle2"]:
        return replace(quantity, value=scale * _repeating_decimal(groups["fixed"], cycle))
    if groups["decimal"] is None:
        fraction = _to_fraction(groups["numerator"] or groups["numerator2"]) / denominator
        integer = int(groups["integer"] or groups["integer2"] or 0)  # of a mixed number such as 1 1/2
        return replace(quantity, value=scale * (fraction + integer))
    decimal = re.sub("[, ]", "", groups["decimal"])
    places = len(decimal.partition(".")[2])
    half = abs(scale) / (2 * 10**places) if places else None
    digits = len(decimal.replace(".", "").lstrip("0"))
    return replace(quantity, value=scale * _to_fraction(decimal), half=half, digits=digits, places=places)


def _money_unit(mark: str | None) -> str:
    """Return the currency that a mark before a number names, as in "US$5" and "Rs. 5"; "" without one."""
    mark = (mark or "").rstrip(".").lower()
    return _UNITS.get(mark) or _UNITS.get(mark[-1:], "")


def parse_digits(text: str, gold: Quantity | None) -> Quantity | None:
    """Return an answer that consists of digits of the gold number's base, such as "2B" beside 2A in base 16.

    None where the gold number has no base above 10, or the answer is anything else. `same_quantity` reads the value
    from the text; that of the result means nothing.
    """
    is_number = gold is not None and gold.base is not None and gold.base > 10 and re.fullmatch("[0-9A-F]{1,100}", text)
    return Quantity(Fraction(-1), text=text) if is_number else None


def _mark_repeating_digits(text: str) -> str:
    r"""Return a text with \overline{} over the repeating digits of a decimal, which \dot{} or "0.333..." may show."""
    text = re.sub(r"\\dot\s*\{?(\d)\}?(?:(\d*)\\dot\s*\{?(\d)\}?)?", r"\\overline{\1\2\3}", text)
    return re.sub(r"(\.\d{0,9}?)(\d{1,9}?)\2\2+\.\.\.$", r"\1\\overline{\2}", text)


def _repeating_decimal(fixed: str, cycle: str) -> Fraction:
    """Return the value of a decimal such as 0.1666..., whose `fixed` digits are 0.1 and whose `cycle` is 6."""
    integer_digits, fixed_decimals = fixed.split(".")
    all_digits = int(integer_digits + fixed_decimals + cycle)
    fixed_digits = int(integer_digits + fixed_decimals or 0)
    return Fraction(all_digits - fixed_digits, 10 ** len(fixed_decimals) * (10 ** len(cycle) - 1))


def _to_fraction(numeral: str) -> Fraction:
    return Fraction(re.sub("[, ]", "", numeral).removesuffix("."))


def _parse_based_number(digits: str, base_name: str) -> Quantity | None:
    """Return a number in another base than 10; None where the base or a digit does not exist."""
    if base_name.isdigit():
        base = int(base_name)
    elif base_name in _NUMBER_WORDS:
        base = _NUMBER_WORDS.index(base_name)
    else:
        return None
    if base < 2:  # int() would read base 0 as that of a Python literal
        return None
    try:
        return Quantity(Fraction(int(digits, base)), base=base, text=digits)
    except ValueError:
        return None


def parse_unit(text: str) -> str | None:
    r"""Return the unit that the text after a number names, such as "metre2" for "square meters".

    "" for no text, and for words that do not change the number ("people"). None where the text is no unit, so that the
    number is only a part of a formula or a sentence.
    """
    suffix = re.sub(r"(?<=[a-z]{3})\s+of\s+[a-z -]+$", "", text.strip(" .").lower())  # "inches of snow"
    suffix = re.sub(r"^sq\b\.? ", "square ", suffix)
    suffix = re.sub(r"^cu\b\.? ", "cubic ", suffix)
    if suffix in ("", "%"):
        return suffix
    follows_directly = not text[0].isspace()  # "5m", which may be a product
    unit_names = []
    for factor in re.split(r"\s*/\s*|\s+per\s+", suffix.replace("mph", "mile/h").replace("kph", "km/h")):
        is_variable = follows_directly and len(factor) == 1 and factor.isascii()
        unit_names.append("" if is_variable else _unit_name(factor))
    if all(unit_names):
        return "/".join(unit_names)
    if _FOREIGN_UNIT.fullmatch(suffix) and not _FOREIGN_SCALE.search(suffix):
        return ""
    if _ACCENTED_LETTER.search(suffix):
        suffix = _without_accents(suffix)
    words = re.findall("[a-z]+", suffix)
    if any(_SCALE_WORDS.fullmatch(word) or _SCALE_STEMS.match(word) for word in words):
        return None
    are_plain_words = re.fullmatch(r"[a-z][a-z/ '-]{2,}(?:\^\{[23]\})?", suffix)
    if follows_directly or not are_plain_words or any(_MATHEMATICAL_WORD.fullmatch(word) for word in words):
        return None
    is_word = len(words[0]) >= 3 and re.search("[aeiouy]", words[0])  # "xyz" is a product of variables
    return "" if is_word else None


def scales_number(text: str) -> bool:
    """Return whether the text behind a number begins with a word of any language that multiplies or weakens it.

    >>> scales_number("million people"), scales_number("万人"), scales_number("people")
    (True, True, False)
    """
    if _FOREIGN_SCALE.match(text):
        return True
    word = re.match(r"[^\W\d_]{2,20}", text.lower())
    if word is None:
        return False
    plain_word = _without_accents(word[0])
    is_english = plain_word.removesuffix("s") in SCALES
    return is_english or bool(_SCALE_WORDS.fullmatch(plain_word) or _SCALE_STEMS.match(plain_word))


def _without_accents(text: str) -> str:
    """Return a text in plain Latin letters, but for the Vietnamese hundred, which would be an English tram."""
    text = unicodedata.normalize("NFC", text).replace("trăm", "hundreds").translate(_LETTERS_WITH_STROKES)
    return _ACCENT.sub("", unicodedata.normalize("NFKD", text))


def _unit_name(factor: str) -> str:
    """Return the name of a unit with its power, "" where the unit is not known."""
    match = re.fullmatch(r"(square |cubic )?(.+?)(?:\s*\^?\{?([23])\}?| (squared|cubed))?", factor)
    prefix, spelling, power, suffix = match.groups("") if match else ("", factor, "", "")
    name = _UNITS.get(spelling) or _UNITS.get(spelling.removesuffix("s"), "")
    if not name or power:
        return name and name + power
    if "sq" in prefix + suffix:
        return f"{name}2"
    return f"{name}3" if prefix + suffix else name


def same_quantity(gold: Quantity, answer: Quantity) -> bool:
    """Return whether two numbers count as the same, by the rules in this module's docstring."""
    if gold.unit and answer.unit and gold.unit != answer.unit:
        return False
    if gold.base and not answer.base:
        answer_in_base = _parse_based_number(answer.text, str(gold.base))
        return answer_in_base is not None and gold.value == answer_in_base.value
    if gold.base != answer.base and (gold.base or answer.base != 10):
        return False
    if gold.percent and not answer.percent and is_within_rounding(gold, answer.value, answer):
        return True
    answer = _without_percent(answer)
    return is_within_rounding(_without_percent(gold), answer.value, answer)


def _without_percent(quantity: Quantity) -> Quantity:
    """Return a percentage as a number: 9.5% as 0.095."""
    if not quantity.percent:
        return quantity
    half = quantity.half and quantity.half / 100
    return replace(quantity, value=quantity.value / 100, half=half, places=quantity.places + 2)


def is_within_rounding(gold: Quantity, value: Fraction, answer: Quantity | None = None) -> bool:
    """Return whether a value is the gold number, or is as near to it as the rounding of decimals explains.

    `answer` is the number as the model wrote it, where the value was written as one.
    """
    difference = abs(gold.value - value)
    if difference == 0:
        return True
    if gold.half is None:
        return False
    rounds_to_gold = gold.digits >= 3 and difference <= gold.half
    is_floating_point_noise = difference <= abs(gold.value) / 10**12
    if rounds_to_gold or is_floating_point_noise:
        return True
    if answer is None or not answer.half:
        return False
    return answer.digits >= 4 and answer.places >= 2 and difference <= answer.half
