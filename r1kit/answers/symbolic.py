r"""What runs in a worker: are two answers the same mathematics?

Formulas are equal where they are so exactly, as rationals, or else to 30 digits, at points of several sizes
and signs where they have variables, as far as both are real there. math-verify's own `verify` decides the
rest. Nothing here has a limit of time: the pool kills.

Where mathematics alone does not say: `x = 5` and `5` are the same, `x = 5` and `2x = 10` are not (that
might repeat the question), nor are an interval and an inequality still to be solved. A bare list takes any
order, but of a tuple only its own. Odd roots of negative numbers are real. `a:b` is a ratio where its parts
have no common divisor, else a time. Letters are the same in both cases; e and i are constants.
"""

import math
import random
import re
from fractions import Fraction
from typing import Any

import sympy
from math_verify import verify as verified

from r1kit.answers.formulas import SYMBOL_NAMES, ParsedAnswer, parse_answer, parse_formula, to_sympy_set
from r1kit.answers.normalise import clean_answer
from r1kit.answers.quantities import Quantity, same_quantity
from r1kit.answers.verdict import AnswerVerdict

_INFINITE = {sympy.oo, -sympy.oo, sympy.zoo, sympy.nan}


def judge_answers(gold: str, answer: str) -> AnswerVerdict:
    """Compare two answers. A gold one that is neither mathematics nor words is broken."""
    try:
        wanted = parse_answer(clean_answer(gold))
    except Exception:
        return AnswerVerdict.BROKEN_GOLD
    try:
        return AnswerVerdict.RIGHT if same_value(wanted, parse_answer(clean_answer(answer))) else AnswerVerdict.WRONG
    except Exception:
        return AnswerVerdict.WRONG


def same_value(gold: ParsedAnswer, answer: ParsedAnswer) -> bool:
    """Whether two values say the same. What the gold one says decides in how much detail."""
    kinds = {gold.kind, answer.kind}
    if kinds == {"equation"}:
        return _same_equation(gold, answer)
    if answer.kind == "equation":
        return same_value(gold, answer.items[-1]) and _consistent(answer)
    if gold.kind == "equation":
        return bool(SYMBOL_NAMES.fullmatch(gold.sign)) and same_value(gold.items[-1], answer)
    if "region" in kinds:
        names = {v.sign for v in (gold, answer) if v.kind == "region" and v.sign}
        return len(names) < 2 and _same_set(
            *(v.expr if v.kind == "region" else to_sympy_set(v) for v in (gold, answer))
        )
    if "group" in kinds:
        return _same_group(gold, answer)
    if "ratio" in kinds:
        return _same_ratio(gold, answer)
    if kinds == {"relation"}:
        return _same_relation(gold, answer)
    if kinds == {"formula"}:
        return _same_formula(gold, answer)
    return kinds == {"words"} and gold.text == answer.text


def _same_group(gold: ParsedAnswer, answer: ParsedAnswer) -> bool:
    if gold.kind != answer.kind:  # a set of one is that one
        one = [v.items[0] if v.sign == "{}" and len(v.items) == 1 else v for v in (gold, answer)]
        return one != [gold, answer] and same_value(*one)
    if len(gold.items) != len(answer.items):
        return False
    signs = {gold.sign, answer.sign} - {""}
    if len(signs) > 1 and ("{}" in signs or len(gold.items) == 2):
        return False
    names = {item.sign for item in gold.items if item.kind == "equation"}
    if signs - {"{}"} or (len(names) > 1 and not any(item.kind == "equation" for item in answer.items)):
        return all(map(same_value, gold.items, answer.items))
    left = list(answer.items)
    for item in gold.items:
        found = next((other for other in left if same_value(item, other)), None)
        if found is None:
            return False
        left.remove(found)
    return True


def _same_set(gold: Any, answer: Any) -> bool:
    parts = [sorted(s.args, key=lambda p: float(p.inf)) if s.is_Union else [s] for s in (gold, answer)]
    if gold != answer and all(p.is_Interval for part in parts for p in part) and len(parts[0]) == len(parts[1]):
        return all(
            (g.left_open, g.right_open) == (a.left_open, a.right_open)
            and equal_expressions(g.start, a.start)
            and equal_expressions(g.end, a.end)
            for g, a in zip(*parts, strict=True)
        )
    return bool(gold == answer or gold.symmetric_difference(answer).is_empty)


def _same_equation(gold: ParsedAnswer, answer: ParsedAnswer) -> bool:
    one, two = (v.sign.replace(" ", "").casefold() for v in (gold, answer))
    right, said = gold.items[-1], answer.items[-1]
    free = right.kind == "formula" and right.expr.free_symbols
    named = all(SYMBOL_NAMES.fullmatch(v.sign) for v in (gold, answer))
    if (one == two or (named and free)) and same_value(right, said):
        return _consistent(answer)
    if SYMBOL_NAMES.fullmatch(gold.sign) and not free:
        return False
    return _proportional(*(parse_formula(v.sign) - v.items[-1].expr for v in (gold, answer))) is not None


def _consistent(equation: ParsedAnswer) -> bool:
    """Whether the numbers in a = b = c are all the same, as far as they are numbers."""
    named = re.search("[a-zA-Z]", re.sub(r"\\[a-zA-Z]+", "", equation.sign))
    sides = [*([] if named else [parse_answer(equation.sign)]), *equation.items]
    return all(same_value(sides[-1], v) for v in sides[:-1] if v.kind == "formula" and not v.expr.free_symbols)


def _same_relation(gold: ParsedAnswer, answer: ParsedAnswer) -> bool:
    if gold.sign != answer.sign:
        return False
    if all(map(same_value, gold.items, answer.items)):
        return True
    if len(gold.items) > 2:
        return False
    ratio = _proportional(*(v.items[0].expr - v.items[1].expr for v in (gold, answer)))
    return ratio is not None and bool(ratio.is_positive)


def _proportional(gold: Any, answer: Any) -> Any:
    """Return the constant ratio of two formulas, None where it is none."""
    ratio = sympy.simplify(gold / answer)
    return ratio if not ratio.free_symbols and ratio.is_finite and ratio != 0 else None


def _same_ratio(gold: ParsedAnswer, answer: ParsedAnswer) -> bool:
    if gold.unit and answer.unit and gold.unit != answer.unit:
        return False
    one, two = ([item.expr for item in v.items] for v in (gold, answer))
    exact = gold.kind == "ratio" and (math.gcd(*map(int, one)) > 1 or ":0" in gold.text)
    if gold.kind == answer.kind:
        proportional = len(one) == len(two) and all(x * two[0] == y * one[0] for x, y in zip(one, two, strict=True))
        return one == two or (proportional and not exact)
    numbers = [
        v if v.kind == "formula" else ParsedAnswer("formula", expr=v.items[0].expr / v.items[1].expr)
        for v in (gold, answer)
    ]
    return len(one or two) == 2 and not exact and _same_formula(*numbers)


def _same_formula(gold: ParsedAnswer, answer: ParsedAnswer) -> bool:
    if gold.unit and answer.unit and gold.unit != answer.unit:
        return False
    said = answer.number
    if gold.number and said is None and not answer.expr.free_symbols:
        if answer.expr.is_Rational:
            said = Quantity(Fraction(int(answer.expr.p), int(answer.expr.q)))
        elif gold.number.half and (value := _at(answer.expr, {})) and value[1] == 0:
            said = Quantity(Fraction(str(value[0])))
    if gold.number and said:
        return same_quantity(gold.number, said)
    return equal_expressions(gold.expr, answer.expr)


def equal_expressions(gold: Any, answer: Any) -> bool:
    """Whether two expressions of sympy are the same, as the top of this file says."""
    if gold == answer:
        return True
    if _INFINITE & (gold.atoms() | answer.atoms()):
        return False
    if (away := gold - answer).is_Rational:
        return bool(away == 0)
    symbols = sorted(away.free_symbols, key=str)
    real, other = 0, []
    for point in _points(len(symbols)):
        one, two = (_at(e, dict(zip(symbols, point, strict=True))) for e in (gold, answer))
        if one is None or two is None:
            continue
        alike = all(abs(x - y) <= 1e-30 * max(map(abs, (*one, *two))) for x, y in zip(one, two, strict=True))
        if one[1] == two[1] == 0:
            real += 1
            if not alike:
                return False
        else:
            other.append(alike)
    if real >= min(3, 1 + 2 * len(symbols)) or other:
        return real > 2 or all(other)
    return bool(verified(gold, answer, float_rounding=30, timeout_seconds=None))


def _points(size: int) -> list[tuple[Any, ...]]:
    """Return points to try: small whole numbers, fractions, small ones and negative ones."""
    if not size:
        return [()]
    rng = random.Random(0)
    ranges = [(2, 9, 1)] * 3 + [(20, 90, 17)] * 3 + [(1, 16, 17)] * 2 + [(-90, -20, 17), (-16, -1, 17)]
    return [tuple(sympy.Rational(rng.randint(low, high), q) for _ in range(size)) for low, high, q in ranges]


def _at(expr: Any, point: dict[Any, Any]) -> tuple[Any, Any] | None:
    """Return an expression's real and imaginary part at a point, to 40 digits; None where it has no value."""
    value = sympy.N(expr.subs(point), 40)
    if not value.is_number or _INFINITE & value.atoms():
        return None
    real, imaginary = (sympy.N(part, 40) for part in value.as_real_imag())
    if not (real.is_number and imaginary.is_number):
        return None
    return _whole(real), _whole(imaginary)


def _whole(value: Any) -> Any:
    """Return 0 for what is left of a sum that cancels, the digits of which are gone."""
    return sympy.S.Zero if value == 0 or (value.is_Float and value._prec < 20 and abs(value) < 1e-60) else value


def _prepare() -> None:
    """Load now what is loaded at the first use."""
    judge_answers("x+1", "\\frac{1}{2}+\\sqrt{2}")


def serve() -> None:
    """Be a worker of the pool."""
    from r1kit.answers import workers

    workers.serve_worker(lambda *pair: judge_answers(*pair).value, _prepare)
