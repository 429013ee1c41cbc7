"""Evaluate text that is data or a formula, and refuse any other Python code.

Some scorers of reasoning_gym pass a model's answer to `eval` or to sympy's parser, which runs it as Python:

    evaluate_plainly("[['A', 'B'], [1, 2]]")       a list, as `eval` returns it
    evaluate_plainly("__import__('os').getpid()")   ValueError

What it defends against: an answer that replaces the scorer, reads the gold answer, or has sympy do the exercise
(`integrate(x**2)`, `expand(...)`, `Integral(...)`). With `refuse_evaluation` a process finds out whether a scorer
evaluates an answer, without evaluating it. A formula may consist of numbers, symbols, operators and functions
of mathematics such as `sqrt` and `sin`. What it does NOT do: limit time and memory; `9**9**9` is a formula.
"""

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

# Numbers, texts, containers, operators and calls: no attributes, subscripts, comprehensions, lambdas or comparisons.
_DATA_NODES = (ast.Expression, ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Load)
_FORMULA_NODES = (ast.UnaryOp, ast.unaryop, ast.BinOp, ast.operator, ast.Name, ast.Call)
_PLAIN_NODES = _DATA_NODES + _FORMULA_NODES
# The module by which sympy turns text into formulas, which it does by `eval`.
_PARSER_MODULE = "sympy.parsing.sympy_parser"
_NAME = re.compile(r"[A-Za-z_]\w*")

_names_in_gold: set[str] = set()
# Texts that a scorer tried to evaluate within `refuse_evaluation`; None outside of it, where evaluation is allowed.
_refused_texts: list[Any] | None = None


class EvaluationRefused(BaseException):
    """Raised within `refuse_evaluation` where a text would be evaluated; no `except Exception` hides it."""


@contextmanager
def refuse_evaluation() -> Iterator[list[Any]]:
    """Leave this block at the first text that would be evaluated; yield the list that such a text is added to."""
    global _refused_texts
    _refused_texts = []
    try:
        with suppress(EvaluationRefused):
            yield _refused_texts
    finally:
        _refused_texts = None


def replace_eval(package: str) -> None:
    """Have all loaded modules of `package`, and sympy's parser, evaluate texts by `evaluate_plainly`."""
    import sympy.parsing.sympy_parser  # noqa: F401

    for name, module in list(sys.modules.items()):
        if name == _PARSER_MODULE or name.partition(".")[0] == package:
            module.__dict__["eval"] = evaluate_plainly


def allow_names_of(gold: str) -> None:
    """Allow expressions that sympy has not computed yet, such as an Integral, if the gold answer has their name."""
    _names_in_gold.clear()
    _names_in_gold.update(_NAME.findall(gold))


def evaluate_plainly(
    source: str, global_names: Mapping[str, Any] | None = None, local_names: Mapping[str, Any] | None = None
) -> Any:
    """Return the value of data or of a formula, as `eval` does; its names are looked up as by `eval`.

    Raises ValueError for any other code, and what `eval` raises.
    """
    if _refused_texts is not None:
        _refused_texts.append(source)
        raise EvaluationRefused
    if not isinstance(source, str):
        raise ValueError("compiled code")
    source = source.strip()
    names = {**(global_names or {}), **(local_names or {})}
    for node in ast.walk(ast.parse(source, mode="eval")):
        if not isinstance(node, _PLAIN_NODES):
            raise ValueError(f"neither data nor a formula: {type(node).__name__}")
        if isinstance(node, ast.Call) and (node.keywords or not isinstance(node.func, ast.Name)):
            raise ValueError("a call that is not of a function of mathematics")
        if isinstance(node, ast.Name) and not _is_mathematical(node.id, names.get(node.id)):
            raise ValueError(f"{node.id} is not a name of mathematics")
    return eval(source, {"__builtins__": {}}, names)


def _is_mathematical(name: str, value: Any) -> bool:
    """Return whether a name has the value of a symbol, a constant, or a function of mathematics."""
    import sympy
    from sympy.core.function import Application

    if isinstance(value, type):
        constructors = (sympy.Symbol, sympy.Number, sympy.Add, sympy.Mul, sympy.Pow, Application)
        return issubclass(value, constructors) or (name in _names_in_gold and issubclass(value, sympy.Expr))
    functions = (sympy.sqrt, sympy.cbrt, sympy.root, abs)
    return isinstance(value, sympy.Basic) or any(value is function for function in functions)
