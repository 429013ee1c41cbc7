"""Work out what test code (kind `assert`) needs: its compiled form, and which of its names come from where.

What it defends against: a program that brings its own `math` or `Counter` and with it decides the comparison. The
names that test code uses without defining them are taken from Python where Python has them, and from the program
otherwise. What it does NOT defend against: test code that itself is wrong or hostile; tests are trusted. Compiling may
take long and much memory, so this runs in a worker process (test_compiler.py).
"""

import ast
import builtins
import marshal
import re
import symtable
import sys
from typing import Any

from r1kit.sandbox.errors import LOOP_END_NAMES

# What test code may use without an import, because the data sets' solutions import it in their own first lines.
_FREE_MODULES = (
    *("bisect", "collections", "copy", "functools", "heapq", "itertools"),
    *("math", "operator", "random", "re", "string", "sys"),
)
_MODULE_OF_NAME = {
    **dict.fromkeys(_FREE_MODULES),
    **dict.fromkeys(("Counter", "OrderedDict", "defaultdict", "deque"), "collections"),
    **dict.fromkeys(("Any", "Dict", "List", "Optional", "Set", "Tuple", "Union"), "typing"),
    **dict.fromkeys(("pytest", "unittest")),
    **dict.fromkeys(("approx", "raises"), "pytest"),
}
# Modules by which test code names the program that it tests, as in `from solution import f`.
PROGRAM_MODULES = frozenset(
    ("solution", "submission", "program", "candidate", "your_module", "my_module", "main", "answer", "source")
)
# What a test may replace by unittest.mock in its own process with the same effect on the program.
_MOCK_MODULES = ("unittest.mock", "mock")
_PATCHABLE = ("builtins.input", "sys.stdin", "sys.stdout", "sys.stderr")
# What a test cannot use, because it concerns its own process only: assertions on logs, and the state of a process.
_LOG_ASSERTIONS = ("assertLogs", "assertNoLogs")
_UNSEEN_STATE = ("sys.argv", "os.environ", "os.chdir", "os.putenv")
# What a test may use of these modules: the rest is not in the box, or looks into functions of the other process.
_USABLE = {
    "pytest": frozenset(("approx", "deprecated_call", "fail", "main", "mark", "raises", "skip", "warns")),
    "doctest": frozenset(),  # finds no docstrings here, and so no failures
    "inspect": frozenset(("isasyncgen", "isawaitable", "isclass", "iscoroutine", "isgenerator")),
}


class UnjudgeableTest(Exception):
    """Test code that asks for what cannot be had with the program in another process; the text says what."""


def prepare_test_code(text: str, function_name: str | None, preamble: tuple[str, ...] = ()) -> dict[str, Any] | None:
    """Return what a tester needs (remote.py), or None if the text is no Python. Raises UnjudgeableTest.

    `preamble`: statements of the prompt, of which the test code gets those that define what it uses and does not define
    itself. The result:

    - "code": the test code, compiled and marshalled
    - "names": those that the program gives: `function_name` only, if there is one, else all that the test code uses and
      does not define. Names of Python's builtins are among them only if there is no other name (MBPP asks for a
      function `sum`): else a program could bring an `all` of its own
    - "modules": names of modules by which it imports the program; "module_names": what it uses of them
    - "imports": {name: module of the standard library} that it uses without an import
    - "classes": which of the names it uses as names of classes
    - "loop_ends": which of the exceptions that end loops (errors.LOOP_END_NAMES) it names
    - "calls_check": the expression to call its `check` with, or None
    - "runs_tests": whether to run its functions and classes of tests; "uses_unittest": whether some are unittest's
    - "seeds_random": whether it sets the state of the module random
    """
    text = _with_definitions(text, preamble)
    try:
        tree = ast.parse(text)
        code = compile(text, "test", "exec", dont_inherit=True)
        undefined = _undefined_names(symtable.symtable(text, "test", "exec"))
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return None
    _refuse_patches(tree)
    _refuse_missing_tools(tree)
    modules, module_names = _names_of_program_modules(tree)
    imports = {name: _MODULE_OF_NAME[name] or name for name in undefined if name in _MODULE_OF_NAME}
    if function_name:
        names = re.findall(r"^\w+", function_name)  # the first name of an expression such as Solution().name
    else:
        not_imported = [name for name in undefined if name not in imports]
        names = [name for name in not_imported if not hasattr(builtins, name)] or not_imported
    calls_check, runs_tests = _uncalled_tests(tree, function_name)
    return {
        "code": marshal.dumps(code),
        "names": names,
        "module_names": module_names,
        "imports": imports,
        "classes": _names_used_as_classes(tree, {name for name in (*names, *module_names) if name[:1].isupper()}),
        "modules": modules,
        "loop_ends": [name for name in LOOP_END_NAMES if name in text],
        "calls_check": calls_check,
        "runs_tests": runs_tests,
        "seeds_random": "random.seed(" in text,
        "uses_unittest": runs_tests and "unittest" in text,
    }


def _names_used_as_classes(tree: ast.Module, names: set[str]) -> list[str]:
    """Return those of `names` that test code uses as names of classes.

    A name whose results it only compares, as in `assert Diff(a, b) == c` (MBPP), is a function's, whatever its case.
    """
    function_like: set[ast.AST] = set()
    for node in ast.walk(tree):
        operands = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
        for operand in operands:
            while isinstance(operand, ast.Call) and isinstance(operand.func, ast.Name):
                function_like.add(operand.func)
                if operand.func.id in names or len(operand.args) != 1:
                    break
                operand = operand.args[0]  # as in set(f(x)) == set(y)
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node not in function_like]
    attributes = [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return sorted(names.intersection([node.id for node in uses] + attributes))


def _with_definitions(text: str, preamble: tuple[str, ...]) -> str:
    """Return test code after those statements of the prompt that define names which it uses, such as helpers."""
    if not preamble:
        return text
    try:
        undefined = set(_undefined_names(symtable.symtable(text, "test", "exec")))
        names_of = [_bound_names(statement) for statement in preamble]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return text
    if not undefined & set().union(*names_of):
        return text
    return "\n".join((*preamble, text))


def _bound_names(statement: str) -> set[str]:
    table = symtable.symtable(statement, "prompt", "exec")
    return {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned() or symbol.is_imported()}


_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import\b|import[ \t]+([\w., \t]+))", re.MULTILINE)


def imported_modules(text: str) -> list[str]:
    """Return the top-level modules that code imports, but for those of the standard library.

    The code is searched and not parsed: it may be a program that is made to break a parser.
    """
    names: set[str] = set()
    for from_module, import_list in _IMPORT.findall(text):
        for item in (from_module, *import_list.split(",")):
            names.add(item.strip().split(" ")[0].partition(".")[0])
    return sorted(names - sys.stdlib_module_names - {""})


def _names_of_program_modules(tree: ast.Module) -> tuple[list[str], list[str]]:
    """Return the modules by which test code imports the program, and the program's names that it uses by them."""
    modules: dict[str, None] = {}
    names: dict[str, None] = {}
    aliases = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in PROGRAM_MODULES:
            modules[node.module] = None
            names.update(dict.fromkeys(alias.name for alias in node.names if alias.name != "*"))
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in PROGRAM_MODULES:
                    modules[alias.name] = None
                    aliases.add(alias.asname or alias.name)
    if modules:
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
                names[node.attr] = None
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):  # what `patch` may replace
                module, _, name = node.value.partition(".")
                if module in modules and name.isidentifier():
                    names[name] = None
    return list(modules), list(names)


def _uncalled_tests(tree: ast.Module, function_name: str | None) -> tuple[str | None, bool]:
    """Return the function to give to a `check` that nothing calls, and whether there are uncalled tests to run.

    HumanEval's rows define `check` and leave its call to the harness; the tests of KodCode are functions for pytest or
    classes for unittest. Code that calls none of its tests itself would pass with any program.
    """
    has_check = has_tests = False
    used = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            used.add(node.id)
        elif isinstance(node, ast.Attribute):
            used.add(node.attr)
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            is_check = isinstance(statement, ast.FunctionDef) and statement.name == "check"
            has_check = has_check or (is_check and statement.name not in used)
            has_tests = has_tests or (statement.name.lower().startswith("test") and statement.name not in used)
            # Its own calls, of unittest.main or of a runner, raise nothing where a test fails.
            has_tests = has_tests or _is_test_case(statement)
    if has_check and not function_name:
        raise UnjudgeableTest("the test code defines `check` and never calls it, and the test names no function")
    return function_name if has_check else None, has_tests


def _is_test_case(statement: ast.stmt) -> bool:
    """Return whether a statement is a class of unittest."""
    return isinstance(statement, ast.ClassDef) and any(
        ast.unparse(base).endswith("TestCase") for base in statement.bases
    )


def _refuse_patches(tree: ast.Module) -> None:
    """Raise UnjudgeableTest for a change that the program, in its own process, would not see."""
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules.update(alias.asname or alias.name for alias in node.names if alias.name not in PROGRAM_MODULES)
    patch_names = _names_of_patch(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            _refuse_patch(node, modules, patch_names)
        elif isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            changed = ast.unparse(node)
            if changed.startswith(_UNSEEN_STATE):
                raise UnjudgeableTest(f"the test changes {changed}, which the program has in a process of its own")


def _names_of_patch(tree: ast.Module) -> set[str]:
    """Return what test code calls the `patch` of unittest.mock: a function `patch` may also be one that it tests."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        from_module = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
        for alias in node.names:
            origin = from_module + alias.name
            name = alias.asname or alias.name
            if origin in _MOCK_MODULES:
                names.add(f"{name}.patch")
            elif origin == "unittest":
                names.add(f"{name}.mock.patch")
            elif origin in {f"{module}.patch" for module in _MOCK_MODULES}:
                names.add(name)
    return names


def _refuse_patch(call: ast.Call, modules: set[str], patch_names: set[str]) -> None:
    """Raise UnjudgeableTest for a `patch` of another module than the program's, and a call that changes its process.

    `modules`: the names of the modules that the test code imports, without the program's.
    """
    name = ast.unparse(call.func)
    if name.startswith(_UNSEEN_STATE) and not name.endswith((".get", ".copy", ".items", ".keys", ".values")):
        raise UnjudgeableTest(f"the test calls {name}, which changes its own process and not the program's")
    form = name[len(name.removesuffix(".object").removesuffix(".dict").removesuffix(".multiple")) :]
    if not call.args or name.removesuffix(form) not in patch_names:
        return
    target = call.args[0]
    if isinstance(target, ast.Constant):
        patched = str(target.value)
    else:
        patched = ast.unparse(target)
        if patched.partition(".")[0] not in modules:  # an object that the test itself has made
            return
        if form == ".object" and len(call.args) > 1 and isinstance(call.args[1], ast.Constant):
            patched += "." + str(call.args[1].value)
    is_of_program = patched.partition(".")[0] in PROGRAM_MODULES and patched.count(".") <= 1
    if not patched.startswith(_PATCHABLE) and not is_of_program:
        raise UnjudgeableTest(f"the test patches {patched}, which is in the program's process")


def _refuse_missing_tools(tree: ast.Module) -> None:
    """Raise UnjudgeableTest for what is not to be had of pytest, doctest and inspect: fixtures, signatures."""
    for node in ast.walk(tree):
        uses: list[tuple[str, str]] = []
        if isinstance(node, ast.ImportFrom) and node.module:
            uses = [(node.module, alias.name) for alias in node.names]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            uses = [(node.value.id, node.attr)]
        for module, name in uses:
            if name in _LOG_ASSERTIONS or (module in _USABLE and name not in _USABLE[module]):
                raise UnjudgeableTest(f"the test uses {module}.{name}, which it cannot do from another process")


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
