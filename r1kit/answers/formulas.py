r"""Parse an answer to a mathematics problem: its structure here, the formulas in it by math-verify and sympy.

math-verify confuses what stands around formulas (a tuple with an open interval, a list with a set, an inequality with
its last number). So this module reads the structure itself: lists, sets, tuples, intervals, inequalities, equations,
ratios, matrices, words.

It imports sympy, so only worker processes import it.

>>> parse_answer("x = 5").kind
'equation'
>>> [item.expr for item in parse_answer("(1, 2)").items]
[1, 2]
"""

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sympy
from latex2sympy2_extended import NormalizationConfig
from math_verify import parse
from math_verify.parser import LatexExtractionConfig

from r1kit.answers.logic import is_logic, parse_logic
from r1kit.answers.names import NAME, SYMBOL_NAMES, is_quantity
from r1kit.answers.normalise import has_prose
from r1kit.answers.quantities import Quantity, parse_quantity, parse_unit
from r1kit.answers.tex import closing_bracket

_LATEX_CONFIG = NormalizationConfig(basic_latex=True, malformed_operators=True, boxed="none")
_RELATION = re.compile(r"\\(?:le|ge|ne)(?![a-zA-Z])|[<>]")
_SET_COMMAND = re.compile(r"\\(?:cup|cap|setminus|emptyset|mathbb)(?![a-zA-Z])")
# x \in S, and {x | S}.
_MEMBERSHIP = re.compile(
    rf"{NAME}\s*\\in(?![a-z])(.*)"
    rf"|\\\{{\s*{NAME}\s*(?:\\in\s*(?:\\mathbb\s*\{{?R\}}?|R)\s*)?(?:\||:|\\mid\b)(.*)\\\}}"
)
# A matrix in any environment, perhaps in brackets of its own, perhaps transposed.
_MATRIX = re.compile(
    r"([\[(|]|\\\{)?\s*\\begin\{([bpB]?(?:small)?matrix|array|cases)\}\s*(?:\{[lcr|@: ]*\})?(.*)\\end\{\2\}\s*([\])|])?"
    r"(?:\^\s*\{?\s*(?:T|\\top|\\mathsf\{T\})\s*\}?)?",
    re.DOTALL,
)
# Environments of matrices within a formula, which the parser knows by another name.
_MATRIX_ENVIRONMENT = re.compile(r"\\(begin|end)\{(?:array|Bmatrix|smallmatrix|psmallmatrix)\}(?:\{[lcr|@: ]*\})?")
_ROW_END = re.compile(r"\\\\(?:\[[^\]]*\])?|\\cr(?![a-z])|\\hline")
_TRANSPOSED = re.compile(r"([(\[].*[)\]])\^\s*\{?\s*(?:T|\\top)\s*\}?")
_CASE_WORD = re.compile(r"^(?:,|if|for|when|where|otherwise|else|\s)+", re.IGNORECASE)
# 3:4:5 or "3 to 4", with a unit behind it.
_RATIO = re.compile(r"(\d+(?:\s*(?::|\bto\b)\s*\d+)+)(.*)")
_THOUSANDS = re.compile(r"(?<![\d,.])[1-9]\d{0,2}(?:,\d{3})+(?!\d|,\d)")
# What separates the members of a list.
_SEPARATOR = r"[,;](?:\s*(?:and|or)\s)?|\s(?:and|or)\s|\\(?:lor|vee)(?![a-zA-Z])"
_SET_BY_LETTER = {"R": sympy.Reals, "Z": sympy.Integers, "N": sympy.Naturals, "Q": sympy.Rationals}
# \mathbb{R}^{+}, \mathbb{Z}_{\ge 0}: a set of numbers, and which of them.
_NUMBER_SET = re.compile(r"\\mathbb\s*\{?([RZNQ])\}?\s*(?:[\^_]\s*\{?\s*([-+*]|\\cdot|(?:[<>]|\\[lgn]e)\s*0)\s*\}?)?")
_NUMBERS_BY_SIGN = {
    "": sympy.Reals,
    "+": sympy.Interval.open(0, sympy.oo),
    ">0": sympy.Interval.open(0, sympy.oo),
    "-": sympy.Interval.open(-sympy.oo, 0),
    "<0": sympy.Interval.open(-sympy.oo, 0),
    r"\ge0": sympy.Interval(0, sympy.oo),
    r"\le0": sympy.Interval(-sympy.oo, 0),
}
_CONSTANTS = {"i": sympy.I, "e": sympy.E}


# Tuples that (\pm 1, \pm 2, ...) may stand for.
MAX_CHOICES = 64


@dataclass(frozen=True)
class ParsedAnswer:
    """An answer, or a part of one, by its structure."""

    kind: str
    """words, formula, group (a list, set, tuple or matrix), region (a set of numbers), equation, relation, ratio or
    logic (sets or statements in letters)."""

    items: tuple["ParsedAnswer", ...] = ()
    """The members of a group, the sides of a relation, the numbers of a ratio, an equation's sides after the first."""

    sign: str = ""
    """A group's brackets, an equation's first side, a relation's operators, or a region's variable."""

    text: str = ""
    unit: str = ""
    letter: str = ""
    """The unit of a number as it is written, where it is one letter, which may be a variable."""

    number: Quantity | None = None
    expr: Any = None
    """The sympy expression of a formula, the sympy set of a region, the sympy Boolean of logic."""


def split_outside_brackets(text: str, pattern: str = _SEPARATOR) -> list[str]:
    """Split a text at a pattern, but neither within brackets nor at the commas of thousands."""
    thousands_indices: set[int] = set()
    for match in _THOUSANDS.finditer(text):
        thousands_indices.update(range(match.start(), match.end()))
    separator_pattern = re.compile(pattern)
    pieces = []
    depth = piece_start = i = 0
    while i < len(text):
        may_split = depth == 0 and i not in thousands_indices
        separator = separator_pattern.match(text, i) if may_split else None
        if separator:
            pieces.append(text[piece_start:i])
            piece_start = i = separator.end()
        else:
            depth += (text[i] in "([{") - (text[i] in ")]}")
            i += 1
    pieces.append(text[piece_start:])
    return [piece.strip() for piece in pieces if piece.strip()]


@lru_cache(maxsize=1024)
def parse_answer(text: str) -> ParsedAnswer:
    """Return the structure of a cleaned answer. Raises ValueError where it is neither mathematics nor words."""
    matrix = _MATRIX.fullmatch(text)
    if matrix and matrix[3].count("\\begin") == 0 and matrix[1] != "|":
        return _parse_rows(matrix[3], is_system=matrix[2] == "cases" or matrix[1] == "\\{")
    if transposed := _TRANSPOSED.fullmatch(text):
        return parse_answer(transposed[1])
    left, equals, right = text.partition("=")
    has_set = _SET_COMMAND.search(left) or _RELATION.search(left)
    if has_set and equals and is_quantity(left.strip()) and split_outside_brackets(text, "=")[0] == left.strip():
        return ParsedAnswer("equation", (parse_answer(right.strip()),), left.strip())  # P(A \cap B) = 1/6
    if is_logic(text):
        return ParsedAnswer("logic", text=text, expr=parse_logic(text))
    if membership := _MEMBERSHIP.fullmatch(text):
        return parse_answer((membership[1] or membership[2]).strip())
    if _RELATION.search(text) or _SET_COMMAND.search(text):
        return _parse_relation(text)
    members = split_outside_brackets(text)
    if len(members) > 1:
        return _parse_group(members, "")
    if r"\mp" in text:  # belongs to the sign of \pm
        both = [text.replace(r"\pm", sign).replace(r"\mp", opposite) for sign, opposite in ("+-", "-+")]
        return _parse_group(both, "")
    group = _parse_bracketed(text)
    if group is not None:
        return group
    approximations = split_outside_brackets(text, r"\\approx(?![a-z])")
    if len(approximations) > 1:  # of "\pi \approx 3.14" the exact value counts, of "x \approx 3.14" the number
        has_name = is_quantity(approximations[0])
        return parse_answer(approximations[-1] if has_name else approximations[0])
    sides = split_outside_brackets(text, "=")
    if len(sides) > 1:
        if SYMBOL_NAMES.fullmatch(sides[-1]) and not SYMBOL_NAMES.fullmatch(sides[0]):  # 5 = x
            sides.reverse()
        return ParsedAnswer("equation", _parse_all(sides[1:]), sides[0])
    if ratio := _RATIO.fullmatch(text):
        numbers = _parse_all(re.findall(r"\d+", ratio[1]))
        return ParsedAnswer("ratio", numbers, text=ratio[1], unit=parse_unit(ratio[2]) or "")
    if r"\pm" in text:
        plus_and_minus = [text.replace(r"\pm", sign).removeprefix("+").strip() for sign in "+-"]
        return _parse_group(plus_and_minus, "")
    return _parse_single(text)


def _parse_all(texts: Iterable[str]) -> tuple[ParsedAnswer, ...]:
    return tuple(parse_answer(text) for text in texts)


def _parse_rows(text: str, is_system: bool) -> ParsedAnswer:
    r"""Return a matrix, written as `a & b \\ c & d`, as a group of its rows; a column as a tuple.

    A system of equations is a list of them; a function by cases is a group of (value, condition).
    """
    rows = []
    for row in _ROW_END.split(text):
        cells = [cell.strip() for cell in row.split("&")]
        if any(cells):
            rows.append(cells)
    is_column = all(len(cells) == 1 for cells in rows)
    if is_system and (is_column or all("=" in "".join(cells) for cells in rows)):
        return _parse_group(["".join(cells).strip(" ,;") for cells in rows], "")
    if is_system:
        return ParsedAnswer("group", tuple(map(_parse_case, rows)), "cases")
    if is_column:
        return ParsedAnswer("group", tuple(parse_answer(cells[0]) for cells in rows), "()")
    return ParsedAnswer("group", tuple(_parse_group(cells, "[]") for cells in rows), "[]")


def _parse_case(cells: list[str]) -> ParsedAnswer:
    """Return a row of a function by cases as a pair of its value and its condition."""
    condition = _CASE_WORD.sub("", " ".join(cells[1:])).strip(" ,;.")
    value = parse_answer(cells[0].strip(" ,;"))
    return ParsedAnswer("group", (value, parse_answer(condition or "otherwise")), "()")


def _parse_group(members: list[str], brackets: str) -> ParsedAnswer:
    r"""Return a group with these brackets. A member that is itself a bare list ("2 \pm 1") gives way to its members."""
    items: list[ParsedAnswer] = []
    for member in _parse_all(members):
        if member.kind == "group" and not member.sign:
            items += member.items
        else:
            items.append(member)
    return ParsedAnswer("group", tuple(items), brackets)


def _parse_bracketed(text: str) -> ParsedAnswer | None:
    r"""Return what stands in brackets of its own, such as (1, 2), [1, 2), \{1, 2\} or ]1, 2[; None for other texts."""
    text = text.replace(r"\{", "{").replace(r"\}", "}")
    if outward := re.fullmatch(r"([\[\]])([^][]*)([\[\]])", text):  # ]1, 2[ is the French (1, 2)
        opening = "[" if outward[1] == "[" else "("
        closing = "]" if outward[3] == "]" else ")"
        text = f"{opening}{outward[2]}{closing}"
    if text[:1] not in ("(", "[", "{") or closing_bracket(text, 0) != len(text) - 1:
        return None
    content = text[1:-1]
    if not re.search(r",\s", content):  # in (1,234) the comma separates two numbers
        content = content.replace(",", ", ")
    members = split_outside_brackets(content)
    if len(members) == 1 and text[0] == "(":
        return parse_answer(members[0])
    if text[0] == "(" and r"\pm" in content:
        return _parse_tuple_of_choices(members)
    return _parse_group(members, text[0] + text[-1])


def _parse_tuple_of_choices(members: list[str]) -> ParsedAnswer:
    r"""Return the tuples that one with several values for a member stands for: (\pm 1, 2) is (1, 2) and (-1, 2)."""
    choices = []
    for member in _parse_all(members):
        is_list = member.kind == "group" and not member.sign
        choices.append(member.items if is_list else (member,))
    tuples = [ParsedAnswer("group", values, "()") for values in itertools.product(*choices)]
    return ParsedAnswer("group", tuple(tuples[:MAX_CHOICES]), "")


def _parse_relation(text: str) -> ParsedAnswer:
    """Return a set of numbers, or an inequality solved for one variable, as a region; other inequalities as relations.

    Raises ValueError where the text is neither.
    """
    try:
        variable, region = _parse_region(text)
        return ParsedAnswer("region", sign=variable, expr=region)
    except (ValueError, TypeError, NotImplementedError):
        members = split_outside_brackets(text)
        if len(members) > 1:
            return _parse_group(members, "")
    sides, operators = _split_relation(text)
    if ">" in operators or r"\ge" in operators:
        mirrored = {">": "<", r"\ge": r"\le"}
        sides.reverse()
        operators = [mirrored.get(operator, operator) for operator in reversed(operators)]
    return ParsedAnswer("relation", _parse_all(sides), " ".join(operators))


def _split_relation(text: str) -> tuple[list[str], list[str]]:
    """Return the sides and the operators of a chain of inequalities. Raises ValueError where it is none."""
    sides = split_outside_brackets(text, _RELATION.pattern)
    operators = _RELATION.findall(text)
    if len(sides) != len(operators) + 1 or not operators:
        raise ValueError("no relation")
    return sides, operators


def _parse_region(text: str) -> tuple[str, Any]:
    """Return the variable, "" where none is named, and the sympy set of its values. Raises ValueError."""
    for pattern, join in (
        (r"\s(?:or|\\lor|\\vee)\s|\\cup(?![a-z])", sympy.Union),
        (r"\s(?:and|\\land|\\wedge)\s|\\cap(?![a-z])", sympy.Intersection),
        (r"[,;]", _join_by_comma),
        (r"\\setminus(?![a-z])", sympy.Complement),
    ):
        operands = split_outside_brackets(text, pattern)
        if len(operands) > 1:
            variables, regions = zip(*map(_parse_region, operands), strict=True)
            if len(set(variables) - {""}) > 1:
                raise ValueError("several variables")
            return max(variables), join(*regions)
    if text.strip() == r"\emptyset":
        return "", sympy.EmptySet
    if number_set := _NUMBER_SET.fullmatch(text):
        sign = (number_set[2] or "").replace(" ", "")
        without_zero = sympy.Complement(sympy.Reals, sympy.FiniteSet(0))
        return "", sympy.Intersection(_SET_BY_LETTER[number_set[1]], _NUMBERS_BY_SIGN.get(sign, without_zero))
    if _RELATION.match(text):  # "\le 5" names no variable
        return "", _parse_inequality(f"x {text}")[1]
    if not _RELATION.search(text):
        return "", to_sympy_set(_parse_bracketed(text))
    return _parse_inequality(text)


def _parse_inequality(text: str) -> tuple[str, Any]:
    """Return the variable of an inequality such as 1 < x \\le 2, and the set of its values. Raises ValueError."""
    sides, operators = _split_relation(text)
    numbers = ("e", r"\pi", r"\infty")
    variables = [side for side in sides if SYMBOL_NAMES.fullmatch(side) and side not in numbers]
    if len(variables) != 1 or len(sides) > 3:
        raise ValueError("not one variable")
    region = sympy.Reals
    for left, operator, right in zip(sides, operators, sides[1:], strict=False):
        variable_is_left = left == variables[0]
        bound = parse_answer(right if variable_is_left else left).expr
        if bound.free_symbols:
            raise ValueError("not one variable")
        is_upper_bound = (operator in ("<", r"\le")) == variable_is_left
        interval = sympy.Interval(-sympy.oo, bound) if is_upper_bound else sympy.Interval(bound, sympy.oo)
        if operator == r"\ne":
            region &= sympy.Reals - {bound}
        elif operator in (r"\le", r"\ge"):
            region &= interval
        else:
            region &= interval.interior
    return variables[0], region


def _join_by_comma(*regions: Any) -> Any:
    """Return what a comma between inequalities means: that all hold, or one of them where no number fulfils all."""
    intersection = sympy.Intersection(*regions)
    return sympy.Union(*regions) if intersection.is_empty else intersection


def to_sympy_set(group: ParsedAnswer | None) -> Any:
    """Return a group of numbers as a sympy set or interval. Raises ValueError where it is none."""
    if group is None or group.kind != "group" or not all(item.kind == "formula" for item in group.items):
        raise ValueError("no set")
    numbers = [item.expr for item in group.items]
    if group.sign in ("{}", ""):
        return sympy.FiniteSet(*numbers)
    if len(numbers) != 2:
        raise ValueError("no interval")
    return sympy.Interval(*numbers, left_open=group.sign[0] == "(", right_open=group.sign[1] == ")")


def _parse_single(text: str) -> ParsedAnswer:
    """Return a single number, words, or a formula, with its unit."""
    quantity = parse_quantity(text)
    if quantity is not None:
        value = quantity.value / (100 if quantity.percent else 1)
        return ParsedAnswer(
            "formula",
            text=text,
            unit=quantity.unit,
            letter=quantity.letter,
            number=quantity,
            expr=sympy.Rational(value),
        )
    formula_and_unit = re.fullmatch(r"(.*?[\d\\].*?)(\s+[a-zA-Z]{2}[a-zA-Z /.-]*(?:\^\{[23]\})?|\s*[°¤¢€£¥₹])", text)
    is_angle = re.search(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z]).*°$", text)  # the degrees belong to the function
    formula = text.removeprefix("¤")
    unit = None
    if formula_and_unit and not is_angle:
        unit = parse_unit(formula_and_unit[2])
        if unit is not None:
            formula = formula_and_unit[1]
    if has_prose(formula):
        return ParsedAnswer("words", text=text.casefold())
    expression = parse_formula(formula)
    if isinstance(expression, sympy.MatrixBase):
        return _matrix_group(expression)
    return ParsedAnswer("formula", text=formula, unit=unit or "", expr=expression)


def _matrix_group(matrix: sympy.MatrixBase) -> ParsedAnswer:
    """Return a computed matrix as `_parse_rows` returns a written one."""
    rows = []
    for i in range(matrix.rows):
        cells = [ParsedAnswer("formula", expr=matrix[i, k]) for k in range(matrix.cols)]
        rows.append(cells[0] if matrix.cols == 1 else ParsedAnswer("group", tuple(cells), "[]"))
    return ParsedAnswer("group", tuple(rows), "()" if matrix.cols == 1 else "[]")


def parse_formula(text: str) -> Any:
    """Return a formula as a sympy expression, parsed by math-verify. Raises ValueError where it cannot be parsed."""
    text = _THOUSANDS.sub(lambda match: match[0].replace(",", ""), text)
    text = _MATRIX_ENVIRONMENT.sub(r"\\\1{pmatrix}", text)
    text = re.sub(r"\+\s*\.\.\.(?=\s*[)\]}]*\s*$)", "+D_{77}", text)  # a series that goes on
    if re.search(r"(?<![_\d])\d+\s+\d|\.\.\.", text):
        raise ValueError("numbers side by side")
    latex_config = LatexExtractionConfig(boxed_match_priority=-1, normalization_config=_LATEX_CONFIG)
    expressions = parse(
        f"${_write_out_products(text)}$",
        [latex_config],
        "no_fallback",
        "first_match",
        parsing_timeout=None,  # type: ignore[arg-type]
    )
    if not expressions or not isinstance(expressions[0], sympy.Expr | sympy.MatrixBase):
        raise ValueError("no formula")
    expression = expressions[0]
    replacements: dict[Any, Any] = {}
    for symbol in expression.free_symbols:
        replacements[symbol] = _CONSTANTS.get(symbol.name, sympy.Symbol(symbol.name, real=True))
    for decimal in expression.atoms(sympy.Float):
        replacements[decimal] = sympy.Rational(str(decimal))  # 0.1 is exactly 1/10
    evaluated = expression.xreplace(replacements).doit().replace(_is_odd_root_of_negative, _real_root)
    if evaluated.has(sympy.nan, sympy.zoo):
        raise ValueError("undefined")
    return evaluated


def _write_out_products(text: str) -> str:
    """Return a formula with degrees, powers of ten and products of brackets as the parser can read them."""
    text = re.sub(r"(\d+(?:\.\d+)?)\s*°", r"{(\1\\cdot\\frac{\\pi}{180})}", text)
    text = re.sub(r"(?<![\w.}])(\d+\.?\d*)[eE]([+-]?\d{1,3})(?!\w)", r"\1\\cdot 10^{\2}", text)
    text = re.sub(r"\)\s*(?=[\d(]|\\frac)", r")\\cdot ", text)
    return re.sub(r"(?<![\w.{])(\d+(?:\.\d+)?)\s*\(|(\\pi)\s*\(", r"\1\2\\cdot (", text)


def _is_odd_root_of_negative(expression: Any) -> bool:
    if not (expression.is_Pow and expression.base.is_negative and expression.exp.is_Rational):
        return False
    return bool(expression.exp.q > 1 and expression.exp.q % 2)


def _real_root(power: Any) -> Any:
    """Return the real value of an odd root of a negative number, where sympy takes the complex one."""
    return (-1) ** power.exp.p * (-power.base) ** power.exp
