r"""Compare two answers by algebra: are they the same mathematics? This runs in worker processes (workers.py).

Two formulas are equal where they are so exactly, as rational numbers, or else to 30 digits. Formulas with variables are
compared at points of several sizes and signs, as far as both are real there. What that does not decide, math-verify's
own `verify` does. Nothing here has a time limit: the pool of workers kills what takes too long.

>>> judge_answers(r"\frac{x^2-1}{x-1}", "x+1")
<AnswerVerdict.RIGHT: 'right'>

Where mathematics alone does not say what counts as the same:

- `x = 5` and `5` are the same. `x = 5` and `2x = 10` are not, since that might repeat the question; for the same reason
  an interval is not the same as an inequality that is still to be solved.
- A bare list may be in any order, a tuple only in its own; for named unknowns see unknowns.py.
- "Quantity = value" and the value are the same (names.py); conditions at the end of an answer say nothing
  (conditions.py), and letters for any integer or any constant may be any letters (families.py).
- `\log` is natural where e, exp or ln is about and the answers differ otherwise.
- Odd roots of negative numbers are real.
- `a:b` is a ratio where a and b have no common divisor, else a time (`10:30`).
- Letters are the same in upper and lower case; e and i are constants.
"""

import math
import random
import re
from fractions import Fraction
from typing import Any

import sympy
from math_verify import verify as math_verify_equal

from r1kit.answers.conditions import split_conditions
from r1kit.answers.families import same_family, share_integer_letter
from r1kit.answers.formulas import ParsedAnswer, parse_answer, parse_formula, to_sympy_set
from r1kit.answers.labels import split_label
from r1kit.answers.logic import same_logic
from r1kit.answers.names import SYMBOL_NAMES, has_no_letters, is_quantity, plain_name
from r1kit.answers.normalise import clean_answer
from r1kit.answers.quantities import Quantity, same_quantity
from r1kit.answers.unknowns import same_solutions
from r1kit.answers.verdict import AnswerVerdict

# Digits to which values are computed, so that 30 of them are right after sums in which some cancel.
COMPUTED_DIGITS = 40
# Relative difference up to which two values count as equal.
TOLERANCE = 1e-30
# A sum that cancels leaves a value below this, with fewer bits than this that mean anything.
ZERO_SIZE = 1e-60
ZERO_BITS = 20

_NOT_FINITE = {sympy.oo, -sympy.oo, sympy.zoo, sympy.nan}


def judge_answers(gold: str, answer: str) -> AnswerVerdict:
    """Return the verdict on an answer; BROKEN_GOLD where the gold answer is neither mathematics nor words."""
    gold = split_label(clean_answer(gold))[1]
    answer = split_label(clean_answer(answer))[1]
    verdict = _judge_clean_answers(gold, answer)
    if verdict is AnswerVerdict.WRONG and _log_may_be_natural(gold, answer):
        return _judge_clean_answers(_with_natural_log(gold), _with_natural_log(answer))
    return verdict


def _judge_clean_answers(gold: str, answer: str) -> AnswerVerdict:
    gold_conditions = split_conditions(gold)
    answer_conditions = split_conditions(answer)
    if bool(gold_conditions.bounds) == bool(answer_conditions.bounds):
        gold, answer = share_integer_letter(gold_conditions, answer_conditions)
    try:
        gold_parsed = parse_answer(gold)
    except Exception:  # sympy and math-verify raise almost anything
        return AnswerVerdict.BROKEN_GOLD
    try:
        is_right = same_value(gold_parsed, parse_answer(answer))
        if is_right and gold_conditions.bounds and answer_conditions.bounds:
            is_right = same_value(parse_answer(gold_conditions.bounds), parse_answer(answer_conditions.bounds))
    except Exception:
        return AnswerVerdict.WRONG
    return AnswerVerdict.RIGHT if is_right else AnswerVerdict.WRONG


def _log_may_be_natural(gold: str, answer: str) -> bool:
    r"""Return whether `\log` may stand for the natural logarithm: where e, exp or ln is about as well."""
    texts = gold + " " + answer
    has_log = re.search(r"log(?!\s*_)", texts)
    return bool(has_log and re.search(r"\\ln|\bln\b|exp|(?<![a-zA-Z])e(?![a-zA-Z])", texts))


def _with_natural_log(text: str) -> str:
    return re.sub(r"\\log(?![a-zA-Z]|\s*_)", r"\\ln ", text)


def same_value(gold: ParsedAnswer, answer: ParsedAnswer) -> bool:
    """Return whether two parsed answers are the same mathematics."""
    named = same_solutions(gold, answer, same_value)
    if named is not None:
        return named
    kinds = {gold.kind, answer.kind}
    if kinds == {"equation"}:
        return _same_equation(gold, answer)
    if answer.kind == "equation":
        return same_value(gold, answer.items[-1]) and _is_consistent(answer)
    if gold.kind == "equation":
        names_its_value = is_quantity(gold.sign) or (has_no_letters(gold.sign) and _is_consistent(gold))
        return names_its_value and same_value(gold.items[-1], answer)
    if "region" in kinds:
        return _same_region(gold, answer)
    if "group" in kinds:
        return _same_group(gold, answer)
    if "ratio" in kinds:
        return _same_ratio(gold, answer)
    if kinds == {"relation"}:
        return _same_relation(gold, answer)
    if kinds == {"formula"}:
        return _same_formula(gold, answer)
    if kinds == {"logic"}:
        return same_logic(gold.expr, answer.expr)
    return kinds == {"words"} and gold.text == answer.text


def _same_group(gold: ParsedAnswer, answer: ParsedAnswer) -> bool:
    """Compare lists, sets and tuples, or a set of one member with that member."""
    if gold.kind != answer.kind:
        gold_vector = _as_vector(gold)
        answer_vector = _as_vector(answer)
        if gold_vector and answer_vector:
            return _same_vector(gold_vector, answer_vector)
        gold_member = _only_member(gold)
        answer_member = _only_member(answer)
        if gold_member is None and answer_member is None:
            return False
        return same_value(gold_member or gold, answer_member or answer)
    if len(gold.items) != len(answer.items):
        return False
    brackets = {gold.sign, answer.sign} - {""}
    if len(brackets) > 1 and ("{}" in brackets or len(gold.items) == 2):  # (1, 2) and [1, 2] are intervals
        return False
    named_values = {item.sign for item in gold.items if item.kind == "equation"}
    answer_names_none = not any(item.kind == "equation" for item in answer.items)
    is_ordered = bool(brackets - {"{}"}) or (len(named_values) > 1 and answer_names_none)
    if is_ordered:
        return all(map(same_value, gold.items, answer.items))
    remaining = list(answer.items)
    for gold_item in gold.items:
        equal_item = next((item for item in remaining if same_value(gold_item, item)), None)
        if equal_item is None:
            return False
        remaining.remove(equal_item)
    return True


def _only_member(group: ParsedAnswer) -> ParsedAnswer | None:
    """Return the member of a set such as {5}, or the one value that a list writes in several ways ("3 1/2 or 7/2").

    None where there are several values.
    """
    if group.kind != "group" or not group.items:
        return None
    first = group.items[0]
    if len(group.items) == 1:
        return first if group.sign == "{}" else None
    texts = {item.text for item in group.items}
    is_one_value = not group.sign and len(texts) == len(group.items) and all(item.number for item in group.items)
    return first if is_one_value and all(same_value(first, item) for item in group.items) else None


def _as_vector(value: ParsedAnswer) -> list[Any] | None:
    """Return the components of (1, 2, 3) and of i + 2j + 3k; None where the value is no vector."""
    if value.kind == "group":
        is_vector = value.sign in ("()", "[]") and all(item.kind == "formula" for item in value.items)
        return [item.expr for item in value.items] if is_vector else None
    if value.kind != "formula" or not {"j", "k"} & {symbol.name for symbol in value.expr.free_symbols}:
        return None
    units = [sympy.Symbol(name, real=True) for name in "ijk"]
    expression = sympy.expand(value.expr.xreplace({sympy.I: units[0]}))
    components = [expression.coeff(unit) for unit in units]
    is_linear = expression == sum(component * unit for component, unit in zip(components, units, strict=True))
    has_units_only = not any(component.free_symbols & set(units) for component in components)
    return components if is_linear and has_units_only else None


def _same_vector(gold: list[Any], answer: list[Any]) -> bool:
    """Compare the components of two vectors. One of two components equals one of three whose last is 0."""
    if {len(gold), len(answer)} == {2, 3}:
        gold = gold + [sympy.S.Zero] * (3 - len(gold))
        answer = answer + [sympy.S.Zero] * (3 - len(answer))
    return len(gold) == len(answer) and all(map(equal_expressions, gold, answer))


def _same_region(gold: ParsedAnswer, answer: ParsedAnswer) -> bool:
    """Compare sets of numbers, of which one may be a group such as {1, 2} or (0, 1)."""
    variables = set()
    regions = []
    for side in (gold, answer):
        if side.kind == "region":
            variables.add(side.sign)
            regions.append(side.expr)
        else:
            regions.append(to_sympy_set(side))
    return len(variables - {""}) < 2 and _same_set(*regions)


def _same_set(gold: Any, answer: Any) -> bool:
    """Compare two sympy sets; intervals by their ends, which sympy itself may be unable to compare."""
    gold_pieces = _set_pieces(gold)
    answer_pieces = _set_pieces(answer)
    are_intervals = all(piece.is_Interval for piece in gold_pieces + answer_pieces)
    if gold == answer:
        return True
    if not are_intervals or len(gold_pieces) != len(answer_pieces):
        return bool(gold.symmetric_difference(answer).is_empty)
    return all(map(_same_interval, gold_pieces, answer_pieces))


def _set_pieces(region: Any) -> list[Any]:
    """Return the parts of a union, from the lowest to the highest."""
    if not region.is_Union:
        return [region]
    return sorted(region.args, key=lambda piece: float(piece.inf))


def _same_interval(gold: Any, answer: Any) -> bool:
    if (gold.left_open, gold.right_open) != (answer.left_open, answer.right_open):
        return False
    return equal_expressions(gold.start, answer.start) and equal_expressions(gold.end, answer.end)


def _same_equation(gold: ParsedAnswer, answer: ParsedAnswer) -> bool:
    """Compare equations: solutions such as x = 5 by their values, others by whether they are proportional."""
    gold_name = plain_name(gold.sign)
    answer_name = plain_name(answer.sign)
    gold_value = gold.items[-1]
    gold_has_variables = gold_value.kind == "formula" and gold_value.expr.free_symbols
    gold_is_named = bool(SYMBOL_NAMES.fullmatch(gold.sign))
    # y = 2x + 1 and f(x) = 2x + 1 are the same function.
    are_functions = gold_is_named and SYMBOL_NAMES.fullmatch(answer.sign) and gold_has_variables
    if (gold_name == answer_name or are_functions) and same_value(gold_value, answer.items[-1]):
        return _is_consistent(answer)
    if gold_is_named and not gold_has_variables:
        return False
    gold_difference = parse_formula(gold.sign) - gold_value.expr
    answer_difference = parse_formula(answer.sign) - answer.items[-1].expr
    return _constant_ratio(gold_difference, answer_difference) is not None


def _is_consistent(equation: ParsedAnswer) -> bool:
    """Return whether the numbers in a chain a = b = c are all the same, as far as they are numbers."""
    has_letters = re.search("[a-zA-Z]", re.sub(r"\\[a-zA-Z]+", "", equation.sign))
    sides = list(equation.items)
    if not has_letters:
        sides.insert(0, parse_answer(equation.sign))
    for side in sides[:-1]:
        is_number = side.kind == "formula" and not side.expr.free_symbols
        if is_number and not same_value(sides[-1], side):
            return False
    return True


def _same_relation(gold: ParsedAnswer, answer: ParsedAnswer) -> bool:
    """Compare inequalities that are not solved: side by side, or by whether one is a positive multiple of the other."""
    if gold.sign != answer.sign:
        return False
    if all(map(same_value, gold.items, answer.items)):
        return True
    if len(gold.items) > 2:
        return False
    gold_difference = gold.items[0].expr - gold.items[1].expr
    answer_difference = answer.items[0].expr - answer.items[1].expr
    ratio = _constant_ratio(gold_difference, answer_difference)
    return ratio is not None and bool(ratio.is_positive)


def _constant_ratio(gold: Any, answer: Any) -> Any:
    """Return the ratio of two formulas, None where it depends on a variable, is 0 or is not finite."""
    ratio = sympy.simplify(gold / answer)
    return ratio if not ratio.free_symbols and ratio.is_finite and ratio != 0 else None


def _same_ratio(gold: ParsedAnswer, answer: ParsedAnswer) -> bool:
    """Compare two ratios such as 2:3, or a ratio of two numbers with a fraction."""
    if gold.unit and answer.unit and gold.unit != answer.unit:
        return False
    gold_numbers = [item.expr for item in gold.items]
    answer_numbers = [item.expr for item in answer.items]
    is_time = gold.kind == "ratio" and (math.gcd(*map(int, gold_numbers)) > 1 or ":0" in gold.text)
    if gold.kind == answer.kind:
        return gold_numbers == answer_numbers or (not is_time and _are_proportional(gold_numbers, answer_numbers))
    if len(gold_numbers or answer_numbers) != 2 or is_time:
        return False
    return _same_formula(_as_fraction(gold), _as_fraction(answer))


def _are_proportional(gold_numbers: list[Any], answer_numbers: list[Any]) -> bool:
    if len(gold_numbers) != len(answer_numbers):
        return False
    for gold_number, answer_number in zip(gold_numbers, answer_numbers, strict=True):
        if gold_number * answer_numbers[0] != answer_number * gold_numbers[0]:
            return False
    return True


def _as_fraction(value: ParsedAnswer) -> ParsedAnswer:
    """Return a ratio of two numbers as a formula, and a formula as it is."""
    if value.kind == "formula":
        return value
    return ParsedAnswer("formula", expr=value.items[0].expr / value.items[1].expr)


def _same_formula(gold: ParsedAnswer, answer: ParsedAnswer) -> bool:
    """Compare two formulas: as numbers, with the rounding that quantities.py allows, or else as expressions."""
    if gold.unit and answer.unit and gold.unit != answer.unit:
        return False
    if gold.letter or answer.letter:
        with_letters = _multiply_letters(gold, answer)
        if with_letters:
            return equal_expressions(*with_letters)
    if gold.number:
        answer_number = answer.number or _to_quantity(answer.expr, gold.number)
        if answer_number:
            return same_quantity(gold.number, answer_number)
    return equal_expressions(gold.expr, answer.expr)


def _multiply_letters(gold: ParsedAnswer, answer: ParsedAnswer) -> tuple[Any, Any] | None:
    """Return the expressions of "5 h" and "10h/2", with h as a variable; None where no side has it as one."""
    expressions = []
    has_variable = False
    for side, opposite in ((gold, answer), (answer, gold)):
        letter = sympy.Symbol(side.letter, real=True)
        expressions.append(side.expr * letter if side.letter else side.expr)
        has_variable |= bool(side.letter) and letter in opposite.expr.free_symbols
    return (expressions[0], expressions[1]) if has_variable else None


def _to_quantity(expression: Any, gold: Quantity) -> Quantity | None:
    """Return the value of an expression without variables where it is rational, or where the gold number is rounded."""
    if expression.free_symbols:
        return None
    if expression.is_Rational:
        return Quantity(Fraction(int(expression.p), int(expression.q)))
    if not gold.half:
        return None
    value = _evaluate(expression, {})
    if value is None or value[1] != 0:
        return None
    return Quantity(Fraction(str(value[0])))


def equal_expressions(gold: Any, answer: Any) -> bool:
    """Return whether two sympy expressions are equal, as this module's docstring describes."""
    if gold == answer:
        return True
    if same_family(gold, answer, _equal_at_points):
        return True
    return _equal_at_points(gold, answer)


def _equal_at_points(gold: Any, answer: Any) -> bool:
    """Return whether two sympy expressions have the same values."""
    if gold == answer:
        return True
    if _NOT_FINITE & (gold.atoms() | answer.atoms()):
        return False
    difference = gold - answer
    if difference.is_Rational:
        return bool(difference == 0)
    symbols = sorted(difference.free_symbols, key=str)
    real_points = 0
    equal_at_complex_points = []
    for point in _sample_points(len(symbols)):
        values = dict(zip(symbols, point, strict=True))
        gold_value = _evaluate(gold, values)
        answer_value = _evaluate(answer, values)
        if gold_value is None or answer_value is None:
            continue
        is_equal = _nearly_equal(gold_value, answer_value)
        if gold_value[1] == answer_value[1] == 0:
            real_points += 1
            if not is_equal:
                return False
        else:
            equal_at_complex_points.append(is_equal)
    # Three real points suffice, of a formula without variables the only one. Fewer of them leave it to the complex
    # ones, and where there are none of these either to math-verify.
    if real_points >= min(3, 1 + 2 * len(symbols)) or equal_at_complex_points:
        return real_points > 2 or all(equal_at_complex_points)
    return bool(math_verify_equal(gold, answer, float_rounding=30, timeout_seconds=None))


def _nearly_equal(gold_value: tuple[Any, Any], answer_value: tuple[Any, Any]) -> bool:
    """Compare two complex numbers, as pairs of real and imaginary part, relative to the largest of these."""
    largest = max(map(abs, (*gold_value, *answer_value)))
    for gold_part, answer_part in zip(gold_value, answer_value, strict=True):
        if abs(gold_part - answer_part) > TOLERANCE * largest:
            return False
    return True


def _sample_points(variable_count: int) -> list[tuple[Any, ...]]:
    """Return ten points to compare formulas at: small integers, and fractions of several sizes and both signs."""
    if not variable_count:
        return [()]
    generator = random.Random(0)  # the same points for the same formulas
    # Lowest and highest numerator, and the denominator, of each point's coordinates.
    ranges = [(2, 9, 1)] * 3 + [(20, 90, 17)] * 3 + [(1, 16, 17)] * 2 + [(-90, -20, 17), (-16, -1, 17)]
    points = []
    for lowest, highest, denominator in ranges:
        numerators = [generator.randint(lowest, highest) for _ in range(variable_count)]
        points.append(tuple(sympy.Rational(numerator, denominator) for numerator in numerators))
    return points


def _evaluate(expression: Any, values: dict[Any, Any]) -> tuple[Any, Any] | None:
    """Return an expression's real and imaginary part for these values of its variables; None where it has no value."""
    value = sympy.N(expression.subs(values), COMPUTED_DIGITS)
    if not value.is_number or _NOT_FINITE & value.atoms():
        return None
    real, imaginary = (sympy.N(component, COMPUTED_DIGITS) for component in value.as_real_imag())
    if not (real.is_number and imaginary.is_number):
        return None
    return _drop_noise(real), _drop_noise(imaginary)


def _drop_noise(value: Any) -> Any:
    """Return 0 for what a sum that cancels leaves, which has no digit that means anything."""
    is_noise = value.is_Float and value._prec < ZERO_BITS and abs(value) < ZERO_SIZE
    return sympy.S.Zero if value == 0 or is_noise else value


def _prepare() -> None:
    """Compare two formulas, at which sympy and the parser load what they load at their first use."""
    judge_answers("x+1", "\\frac{1}{2}+\\sqrt{2}")


def serve() -> None:
    """Be a worker process of the pool: compare the pairs that come on stdin until it ends."""
    from r1kit.answers import workers

    workers.serve_worker(lambda gold, answer: judge_answers(gold, answer).value, _prepare)
