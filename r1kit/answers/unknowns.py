"""Compare solutions that name their unknowns: "y = 2, x = 1" is (x, y) = (1, 2), and "y = 1, x = 2" is not.

Works on parsed answers; see formulas.py.
"""

import itertools
import re
from collections.abc import Callable, Iterable

from r1kit.answers.formulas import ParsedAnswer
from r1kit.answers.names import SYMBOL_NAMES, plain_name

Solution = dict[str, ParsedAnswer]
"""The value of each unknown, by its name."""

# More solutions than this are no answer: (x, y) = (\pm 1, \pm 2) has 4.
MAX_SOLUTIONS = 64
_NAME_TUPLE = re.compile(r"\((.*,.*)\)")


def read_solutions(answer: ParsedAnswer) -> tuple[list[Solution], bool] | None:
    """Return the solutions in an answer that names two or more unknowns, and whether it names them as a tuple.

    None for any other answer: one that names one unknown, or a value without a name.
    """
    items = answer.items if answer.kind == "group" and answer.sign in ("", "{}", "()") else (answer,)
    solutions: list[Solution] = []
    open_solution: Solution = {}  # "x = 1, y = 2" comes one unknown at a time
    tuple_names: list[str] = []
    for item in items:
        if item.kind != "equation":
            if not tuple_names or open_solution:
                return None
            solutions += _tuple_solutions(tuple_names, [item])
            continue
        names = _tuple_of_names(item.sign)
        if names:
            tuple_names = names
            solutions += _tuple_solutions(names, [item.items[-1]])
            continue
        if not SYMBOL_NAMES.fullmatch(item.sign):
            return None
        for name in (item.sign, *_equal_names(item)):
            if plain_name(name) in open_solution:  # the unknowns begin again
                solutions += _expand(open_solution)
                open_solution = {}
            open_solution[plain_name(name)] = item.items[-1]
    if open_solution:
        solutions += _expand(open_solution)
    has_several_unknowns = solutions and all(len(solution) > 1 for solution in solutions)
    if not has_several_unknowns or len(solutions) > MAX_SOLUTIONS:
        return None
    return solutions, bool(tuple_names)


def _tuple_of_names(text: str) -> list[str]:
    """Return the names in a text such as "(x, y)", [] for any other text."""
    match = _NAME_TUPLE.fullmatch(text.strip())
    if match is None:
        return []
    names = [name.strip() for name in match[1].split(",")]
    return [plain_name(name) for name in names] if all(map(SYMBOL_NAMES.fullmatch, names)) else []


def _equal_names(equation: ParsedAnswer) -> list[str]:
    """Return the names between the first side of "x = y = 1" and its value."""
    middle = [side.text for side in equation.items[:-1]]
    return middle if all(map(SYMBOL_NAMES.fullmatch, middle)) else []


def _tuple_solutions(names: list[str], values: Iterable[ParsedAnswer]) -> list[Solution]:
    """Return the solutions that tuples of values, or a list of such tuples, give to the names."""
    solutions: list[Solution] = []
    for value in values:
        is_list = value.kind == "group" and value.items and all(item.kind == "group" for item in value.items)
        if is_list and value.sign in ("", "{}"):
            solutions += _tuple_solutions(names, value.items)
        elif value.kind == "group" and len(value.items) == len(names):
            solutions += _expand(dict(zip(names, value.items, strict=True)))
        else:
            return []
    return solutions


def _expand(solution: Solution) -> list[Solution]:
    r"""Return one solution for each choice among the values of an unknown such as x = \pm 1."""
    choices = []
    for value in solution.values():
        is_list = value.kind == "group" and not value.sign
        choices.append(value.items if is_list else (value,))
    combinations = itertools.islice(itertools.product(*choices), MAX_SOLUTIONS + 1)
    return [dict(zip(solution, values, strict=True)) for values in combinations]


def same_solutions(
    gold: ParsedAnswer, answer: ParsedAnswer, same_value: Callable[[ParsedAnswer, ParsedAnswer], bool]
) -> bool | None:
    """Return whether two answers give the same values to the same unknowns; None where neither names several.

    Values without names are in the order of the alphabet where the names are small letters, as in (x, y), else in the
    order in which the other side names them. A list without brackets may be in any order for names with an index,
    which are mostly the roots of one equation.
    """
    gold_reading = read_solutions(gold)
    answer_reading = read_solutions(answer)
    if gold_reading is None and answer_reading is None:
        return None
    if gold_reading and answer_reading:
        return _match_solutions(gold_reading[0], answer_reading[0], same_value)
    if gold_reading:
        names, is_ordered = _order_names(*gold_reading, answer)
        return same_value(_without_names(gold_reading[0], names, is_ordered), answer)
    assert answer_reading
    names, is_ordered = _order_names(answer_reading[0], False, gold)
    return same_value(gold, _without_names(answer_reading[0], names, is_ordered))


def _match_solutions(
    golds: list[Solution], answers: list[Solution], same_value: Callable[[ParsedAnswer, ParsedAnswer], bool]
) -> bool:
    """Return whether each gold solution equals one of the answer's, in any order."""
    if len(golds) != len(answers):
        return False
    remaining = list(answers)
    for gold in golds:
        for answer in remaining:
            if gold.keys() == answer.keys() and all(same_value(gold[name], answer[name]) for name in gold):
                remaining.remove(answer)
                break
        else:
            return False
    return True


def _order_names(solutions: list[Solution], is_tuple: bool, nameless: ParsedAnswer) -> tuple[list[str], bool]:
    """Return the names in the order in which values without names stand, and whether that order matters."""
    names = list(solutions[0])
    is_bare_list = nameless.kind == "group" and nameless.sign in ("", "{}")
    have_index = all(re.fullmatch(r"\\?[a-z]+_?\d", name) for name in names) and len({name[0] for name in names}) == 1
    if not is_tuple and all(len(name) == 1 for name in names):
        names.sort()
    return names, not (is_bare_list and have_index and not is_tuple)


def _without_names(solutions: list[Solution], names: list[str], is_ordered: bool) -> ParsedAnswer:
    """Return the values of the solutions: a tuple, or a list of tuples."""
    tuples = []
    for solution in solutions:
        values = tuple(solution[name] for name in names if name in solution)
        tuples.append(ParsedAnswer("group", values, "()" if is_ordered else ""))
    return tuples[0] if len(tuples) == 1 else ParsedAnswer("group", tuple(tuples), "")
