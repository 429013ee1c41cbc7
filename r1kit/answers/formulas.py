r"""Read an answer into a value: what r1kit takes apart itself, and the formulas in it, which math-verify parses.

math-verify mixes up what stands around formulas (a tuple and an open interval, a list and a set, an inequality
and its last number), so r1kit reads that: lists, sets, tuples, intervals, inequalities, equations, ratios,
matrices, words. It imports sympy: for a worker only.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sympy
from latex2sympy2_extended import NormalizationConfig
from math_verify import parse
from math_verify.parser import LatexExtractionConfig

from r1kit.answers.normalise import closing_bracket, has_prose
from r1kit.answers.quantities import Quantity, parse_quantity, parse_unit

_LATEX = NormalizationConfig(basic_latex=True, malformed_operators=True, boxed="none")
_RELATION = re.compile(r"\\(?:le|ge|ne)(?![a-zA-Z])|[<>]")
_SET = re.compile(r"\\(?:cup|cap|setminus|emptyset|mathbb)(?![a-zA-Z])")
_NAME = (
    r"(?:m\s*)?(?:\\(?:angle|triangle|overline|vec|bar|hat)\s*\{?)?\\?[a-zA-Z]+\}?'?(?:_\{?\w+\}?)?(?:\^\{-1\})?"
    r"(?:\([a-zA-Z](?:, ?[a-zA-Z])*\))?"
)
SYMBOL_NAMES = re.compile(rf"{_NAME}|\({_NAME}(?:, ?{_NAME})*\)")
_MATRIX = re.compile(r"\\begin\{([bp]?matrix|array)\}(?:\{[lcr| ]*\})?(.*)\\end\{\1\}")
_THOUSANDS = re.compile(r"(?<![\d,.])[1-9]\d{0,2}(?:,\d{3})+(?!\d|,\d)")
_LITERALS = {
    r"\emptyset": sympy.EmptySet,
    r"\mathbb{R}": sympy.Reals,
    r"\mathbb{Z}": sympy.Integers,
    r"\mathbb{N}": sympy.Naturals,
    r"\mathbb{Q}": sympy.Rationals,
}


@dataclass(frozen=True)
class ParsedAnswer:
    """What an answer says: words, a formula, a group in brackets, a region, an equation, a relation, a ratio."""

    kind: str
    items: tuple["ParsedAnswer", ...] = ()
    sign: str = ""  # a group's brackets; an equation's first side; a relation's operators; a region's variable
    text: str = ""
    unit: str = ""
    number: Quantity | None = None
    expr: Any = None


def split_outside_brackets(text: str, pattern: str = r"[,;](?:\s*(?:and|or)\s)?|\s(?:and|or)\s") -> list[str]:
    """Split at a pattern outside of brackets, but not at the commas of thousands."""
    parts, depth, start, i = [], 0, 0, 0
    thousands = {k for m in _THOUSANDS.finditer(text) for k in range(m.start(), m.end())}
    compiled = re.compile(pattern)
    while i < len(text):
        found = compiled.match(text, i) if depth == 0 and i not in thousands else None
        if found:
            parts.append(text[start:i])
            start = i = found.end()
        else:
            depth += (text[i] in "([{") - (text[i] in ")]}")
            i += 1
    return [part.strip() for part in (*parts, text[start:]) if part.strip()]


@lru_cache(maxsize=1024)
def parse_answer(text: str) -> ParsedAnswer:
    """Read a clean text. Raises ValueError where it is neither mathematics nor words."""
    if found := _MATRIX.fullmatch(text):
        rows = [_group([cell.strip() for cell in row.split("&")], "[]") for row in found[2].split(r"\\") if row.strip()]
        column = all(len(row.items) == 1 for row in rows)
        return ParsedAnswer(
            "group", tuple(row.items[0] for row in rows) if column else tuple(rows), "()" if column else "[]"
        )
    if found := re.fullmatch(rf"{_NAME}\s*\\in(?![a-z])(.*)|\\\{{\s*{_NAME}\s*(?:\||:|\\mid\b)(.*)\\\}}", text):
        return parse_answer((found[1] or found[2]).strip())
    if _RELATION.search(text) or _SET.search(text):
        return _related(text)
    if len(parts := split_outside_brackets(text)) > 1:
        return _group(parts, "")
    if (group := _bracketed(text)) is not None:
        return group
    if len(sides := split_outside_brackets(text, r"\\approx(?![a-z])")) > 1:
        return parse_answer(sides[-1] if SYMBOL_NAMES.fullmatch(sides[0]) else sides[0])
    if len(sides := split_outside_brackets(text, "=")) > 1:
        if SYMBOL_NAMES.fullmatch(sides[-1]) and not SYMBOL_NAMES.fullmatch(sides[0]):
            sides.reverse()
        return ParsedAnswer("equation", tuple(map(parse_answer, sides[1:])), sides[0])
    if found := re.fullmatch(r"(\d+(?:\s*(?::|\bto\b)\s*\d+)+)(.*)", text):
        return ParsedAnswer(
            "ratio",
            tuple(map(parse_answer, re.findall(r"\d+", found[1]))),
            text=found[1],
            unit=parse_unit(found[2]) or "",
        )
    if r"\pm" in text:
        return _group([text.replace(r"\pm", sign).removeprefix("+").strip() for sign in "+-"], "")
    return _formula(text)


def _group(parts: list[str], sign: str) -> ParsedAnswer:
    r"""Read the parts of a group; "2 \pm 1" is two of them."""
    items: list[ParsedAnswer] = []
    for value in map(parse_answer, parts):
        items += value.items if value.kind == "group" and not value.sign else [value]
    return ParsedAnswer("group", tuple(items), sign)


def _bracketed(text: str) -> ParsedAnswer | None:
    r"""Read what stands in brackets of its own: (1, 2), [1, 2), \{1, 2\}, ]1, 2[."""
    text = text.replace(r"\{", "{").replace(r"\}", "}")
    if outward := re.fullmatch(r"([\[\]])([^][]*)([\[\]])", text):
        text = f"{'[' if outward[1] == '[' else '('}{outward[2]}{']' if outward[3] == ']' else ')'}"
    if text[:1] not in ("(", "[", "{") or closing_bracket(text, 0) != len(text) - 1:
        return None
    parts = split_outside_brackets(text[1:-1] if re.search(r",\s", text) else text[1:-1].replace(",", ", "))
    return parse_answer(parts[0]) if len(parts) == 1 and text[0] == "(" else _group(parts, text[0] + text[-1])


def _related(text: str) -> ParsedAnswer:
    """Read sets of numbers, and inequalities solved for one variable; other inequalities are relations."""
    try:
        name, region = _region(text)
        return ParsedAnswer("region", sign=name, expr=region)
    except (ValueError, TypeError, NotImplementedError):
        if len(parts := split_outside_brackets(text)) > 1:
            return _group(parts, "")
    sides, signs = _sides(text)
    if set(signs) & {">", r"\ge"}:
        sides, signs = sides[::-1], [{">": "<", r"\ge": r"\le"}.get(sign, sign) for sign in signs[::-1]]
    return ParsedAnswer("relation", tuple(map(parse_answer, sides)), " ".join(signs))


def _sides(text: str) -> tuple[list[str], list[str]]:
    sides, signs = split_outside_brackets(text, _RELATION.pattern), _RELATION.findall(text)
    if len(sides) != len(signs) + 1 or not signs:
        raise ValueError("no relation")
    return sides, signs


def _region(text: str) -> tuple[str, Any]:
    """Return the variable, if one is named, and the set that a text allows it. Raises ValueError."""
    for pattern, join in (
        (r"\s(?:or|\\lor|\\vee)\s|\\cup(?![a-z])", sympy.Union),
        (r"\s(?:and|\\land|\\wedge)\s|\\cap(?![a-z])", sympy.Intersection),
        (r"[,;]", _either),
        (r"\\setminus(?![a-z])", sympy.Complement),
    ):
        if len(parts := split_outside_brackets(text, pattern)) > 1:
            found = [_region(part) for part in parts]
            if len({name for name, _ in found} - {""}) > 1:
                raise ValueError("several variables")
            return max(name for name, _ in found), join(*(region for _, region in found))
    if text in _LITERALS:
        return "", _LITERALS[text]
    if not _RELATION.search(text):
        return "", to_sympy_set(_bracketed(text))
    sides, signs = _sides(text)
    names = [side for side in sides if SYMBOL_NAMES.fullmatch(side) and side not in ("e", r"\pi", r"\infty")]
    if len(names) != 1 or len(sides) > 3:
        raise ValueError("not one variable")
    allowed = sympy.Reals
    for left, sign, right in zip(sides, signs, sides[1:], strict=False):
        bound = parse_answer(right if left == names[0] else left).expr
        if bound.free_symbols:
            raise ValueError("not one variable")
        below = (sign in ("<", r"\le")) == (left == names[0])
        part = sympy.Interval(-sympy.oo, bound) if below else sympy.Interval(bound, sympy.oo)
        allowed &= sympy.Reals - {bound} if sign == r"\ne" else part if "e" in sign else part.interior
    return names[0], allowed


def _either(*sets: Any) -> Any:
    """Return what a comma between inequalities means: both, or, where nothing is both, one of them."""
    both = sympy.Intersection(*sets)
    return sympy.Union(*sets) if both.is_empty else both


def to_sympy_set(value: ParsedAnswer | None) -> Any:
    """Return a group of numbers as a set of sympy. Raises ValueError where it is none."""
    if value is None or value.kind != "group" or not all(item.kind == "formula" for item in value.items):
        raise ValueError("no set")
    numbers = [item.expr for item in value.items]
    if value.sign in ("{}", ""):
        return sympy.FiniteSet(*numbers)
    if len(numbers) != 2:
        raise ValueError("no interval")
    return sympy.Interval(*numbers, left_open=value.sign[0] == "(", right_open=value.sign[1] == ")")


def _formula(text: str) -> ParsedAnswer:
    """Read what has no structure of r1kit's own: a number, words, or a formula for math-verify."""
    if (found := parse_quantity(text)) is not None:
        exact = found.value / (100 if found.percent else 1)
        return ParsedAnswer("formula", text=text, unit=found.unit, number=found, expr=sympy.Rational(exact))
    tail = re.fullmatch(r"(.*?[\d\\].*?)(\s+[a-zA-Z]{2}[a-zA-Z /.-]*(?:\^\{[23]\})?|\s*[°¤¢€£¥₹])", text)
    angle = re.search(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z]).*°$", text)
    name = parse_unit(tail[2]) if tail and not angle else None
    body = tail[1] if tail and name is not None else text.removeprefix("¤")
    if has_prose(body):
        return ParsedAnswer("words", text=text.casefold())
    return ParsedAnswer("formula", text=body, unit=name or "", expr=parse_formula(body))


def parse_formula(text: str) -> Any:
    """Parse a formula into sympy by math-verify. Raises ValueError where that cannot be done."""
    if re.search(r"(?<![_\d])\d+\s+\d|\.\.\.", text):
        raise ValueError("numbers side by side")
    text = re.sub(r"(\d+(?:\.\d+)?)\s*°", r"{(\1\\cdot\\frac{\\pi}{180})}", text)
    text = re.sub(r"(?<![\w.}])(\d+\.?\d*)[eE]([+-]?\d{1,3})(?!\w)", r"\1\\cdot 10^{\2}", text)
    text = re.sub(r"\)\s*(?=[\d(]|\\frac)", r")\\cdot ", text)
    text = re.sub(r"(?<![\w.{])(\d+(?:\.\d+)?)\s*\(|(\\pi)\s*\(", r"\1\2\\cdot (", text)
    latex = LatexExtractionConfig(boxed_match_priority=-1, normalization_config=_LATEX)
    found = parse(f"${text}$", [latex], "no_fallback", "first_match", parsing_timeout=None)  # type: ignore[arg-type]
    if not found or not isinstance(found[0], sympy.Expr | sympy.MatrixBase):
        raise ValueError("no formula")
    constants = {"i": sympy.I, "e": sympy.E}
    symbols = {s: constants.get(s.name, sympy.Symbol(s.name, real=True)) for s in found[0].free_symbols}
    decimals = {f: sympy.Rational(str(f)) for f in found[0].atoms(sympy.Float)}
    settled = found[0].xreplace({**symbols, **decimals}).doit().replace(_odd_root, _real_root)
    if settled.has(sympy.nan, sympy.zoo):
        raise ValueError("undefined")
    return settled


def _odd_root(e: Any) -> bool:
    return bool(e.is_Pow and e.base.is_negative and e.exp.is_Rational and e.exp.q > 1 and e.exp.q % 2)


def _real_root(e: Any) -> Any:
    return (-1) ** e.exp.p * (-e.base) ** e.exp
