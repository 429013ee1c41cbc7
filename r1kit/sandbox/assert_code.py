"""Work out what test code (kind `assert`) needs: its compiled form, and which of its names come from where.

What it defends against: a program that brings its own `math` or `Counter` and with it decides the comparison. The
names that test code uses without defining them are taken from Python where Python has them, and from the program
otherwise. What it does NOT defend against: test code that itself is wrong or hostile; tests are trusted.
"""

import builtins
import marshal
import symtable
from functools import lru_cache
from typing import Any

# What test code may use without an import, because the data sets' solutions import it in their own first lines.
_FREE_MODULES = (
    *("bisect", "collections", "copy", "functools", "heapq", "itertools"),
    *("math", "operator", "random", "re", "string", "sys"),
)
_MODULE_OF_NAME = {
    **dict.fromkeys(_FREE_MODULES),
    **dict.fromkeys(("Counter", "OrderedDict", "defaultdict", "deque"), "collections"),
    **dict.fromkeys(("Any", "Dict", "List", "Optional", "Set", "Tuple", "Union"), "typing"),
}
_KEPT_TESTS = 1024  # compiled test codes: a group of completions is judged by the same tests


@lru_cache(maxsize=_KEPT_TESTS)
def prepare_test_code(text: str, function_name: str | None) -> dict[str, Any] | None:
    """Return what a tester needs (remote.py): {"code": ..., "names": [...], "imports": {...}}, or None if it is no
    Python.

    "names" are those that the program gives: `function_name` only, if there is one, else all that the test code uses
    and does not define. Names of Python's builtins are among them only if there is no other name (MBPP asks for a
    function `sum`): else a program could bring an `all` of its own.
    """
    try:
        code = compile(text, "test", "exec", dont_inherit=True)
        undefined = _undefined_names(symtable.symtable(text, "test", "exec"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    imports = {name: _MODULE_OF_NAME[name] or name for name in undefined if name in _MODULE_OF_NAME}
    if function_name:
        names = [function_name]
    else:
        not_imported = [name for name in undefined if name not in imports]
        names = [name for name in not_imported if not hasattr(builtins, name)] or not_imported
    return {"code": marshal.dumps(code), "names": names, "imports": imports}


def _undefined_names(module_table: symtable.SymbolTable) -> list[str]:
    """Return the global names that code uses and does not bind, in alphabetical order."""
    bound, used = set(), set()
    for symbol in module_table.get_symbols():
        if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace():
            bound.add(symbol.get_name())
        if symbol.is_referenced():
            used.add(symbol.get_name())
    inner_tables = list(module_table.get_children())
    while inner_tables:
        table = inner_tables.pop()
        for symbol in table.get_symbols():
            if symbol.is_global() and symbol.is_referenced():
                used.add(symbol.get_name())
        inner_tables += table.get_children()
    return sorted(used - bound)
