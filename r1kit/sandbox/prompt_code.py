"""What the code in a prompt gives a program: imports, helpers, and the signature that the program completes.

HumanEval's prompts are a function without its body, under its imports and sometimes helper functions; LeetCode's show
a `class Solution`. A model that answers with the function alone is right: what stands in the prompt belongs to its
program. `complete_program` returns a program with

- the imports of the test code
- the prompt's imports, constants, classes and functions, but for those that the tests call, which the program must have
- the prompt's signature before it, if the program is only the function's body
- the annotations of the prompt's signature, by which linked lists and trees are known (leetcode.py)

What it does NOT do: run anything. The prompt's code is parsed, and the program is searched for names only, because it
may be made to break a parser.
"""

import ast
import re
import textwrap
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from r1kit.sandbox.assert_code import PROGRAM_MODULES
from r1kit.sandbox.judge import Program

_FENCE = re.compile(r"```[ \t]*(?:python3?|py)?[ \t]*\n(.*?)```", re.DOTALL | re.IGNORECASE)
_TEST_MODULES = PROGRAM_MODULES | {"pytest", "unittest"}  # which a program has no use for
_INDENT = 4  # spaces of one level
_KEPT_PROMPTS = 1024  # a group of completions has one prompt
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_EMPTY_STATEMENTS = (ast.Expr, ast.Pass, ast.Raise, ast.Import, ast.ImportFrom)


def complete_program(text: str, prompt: str, tests: Sequence[dict[str, Any]]) -> Program:
    """Return a program with what the code in its prompt gives it."""
    tested_names = frozenset(_tested_names(tests))
    preamble, signatures, types = _read_prompt(prompt, tested_names)
    for test in tests:
        if test["kind"] == "assert":
            preamble += tuple(line for line in _imports_of_test(str(test["code"])) if line not in preamble)
    if any(line.endswith("import *") for line in preamble):
        preamble += ("from builtins import *",)  # `pow` is Python's own, whatever a module has of that name
    for name, signature in signatures.items():
        if _is_body(text, name):
            text = signature + textwrap.indent(_with_even_indent(text), "    ")
            break
    return Program(text, preamble, types)


@lru_cache(maxsize=_KEPT_PROMPTS)
def _imports_of_test(code: str) -> tuple[str, ...]:
    """Return the imports of test code, which data sets run in one namespace with the program (as MBPP's)."""
    imports = []
    for node in _parse_statements(code):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            if not _TEST_MODULES.intersection(name.partition(".")[0] for name in modules):
                imports.append(ast.unparse(node))
    return tuple(imports)


def _tested_names(tests: Sequence[dict[str, Any]]) -> list[str]:
    """Return the functions that the tests name; test code that names none is not searched."""
    names = {test["function"] for test in tests if test.get("function")}
    for test in tests:
        if test["kind"] == "assert" and not test.get("function"):
            names.update(re.findall(r"\b[A-Za-z_]\w*(?=\s*\()", str(test["code"])))
    return sorted(names)


@lru_cache(maxsize=_KEPT_PROMPTS)
def _read_prompt(
    prompt: str, tested_names: frozenset[str]
) -> tuple[tuple[str, ...], dict[str, str], dict[str, Any] | None]:
    """Return a prompt's preamble, the signatures of the functions that are to be written, and their annotations."""
    statements = [statement for code in _code_blocks(prompt) for statement in _parse_statements(code)]
    tested = [node for node in statements if isinstance(node, _FUNCTIONS) and node.name in tested_names]
    signatures = {node.name: _signature_text(node) for node in tested if _is_stub(node)}
    preamble: list[str] = []
    types = None
    for node in statements:
        if isinstance(node, ast.ClassDef) and (node.name == "Solution" or node.name in tested_names):
            for method in node.body:
                if isinstance(method, _FUNCTIONS) and method.name in tested_names:
                    types = types or _read_types(method, is_method=True)
        elif isinstance(node, _FUNCTIONS) and (node.name in signatures or (node in tested and not signatures)):
            # To be written by the program. Beside a signature, other functions that the tests call are helpers.
            types = types or _read_types(node, is_method=False)
        elif isinstance(node, (ast.Import, ast.ImportFrom, ast.ClassDef, ast.Assign, ast.AnnAssign, *_FUNCTIONS)):
            preamble.append(ast.unparse(node))
    return tuple(preamble), signatures, types


def _code_blocks(prompt: str) -> list[str]:
    """Return a prompt's blocks of Python; the whole prompt if it is Python itself, as HumanEval's are."""
    blocks = _FENCE.findall(prompt)
    if not blocks and re.search(r"^(?:def|class|import|from|async def)\b.*$", prompt, re.MULTILINE):
        return [prompt]
    return blocks


def _parse_statements(code: str) -> list[ast.stmt]:
    """Return the statements of a block of Python; a signature at its end may lack its body. [] for other texts."""
    code = textwrap.dedent(code).rstrip()
    for ending in ("", "\n    pass", "\n        pass"):
        try:
            return ast.parse(code + ending).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return []


def _is_stub(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether a function has no body but a docstring, imports, `pass`, `...` or a `raise`."""
    return all(isinstance(statement, _EMPTY_STATEMENTS) for statement in node.body)


def _signature_text(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """Return a function's first line with its decorators and imports, as it stands before a body."""
    keyword = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    decorators = "".join(f"@{ast.unparse(decorator)}\n" for decorator in node.decorator_list)
    import_lines = [
        ast.unparse(statement) for statement in node.body if isinstance(statement, ast.Import | ast.ImportFrom)
    ]
    imports = "".join(f"    {line}\n" for line in import_lines)
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{decorators}{keyword} {node.name}({ast.unparse(node.args)}){returns}:\n{imports}"


# Types in a docstring: ":type head: ListNode" and ":rtype: ListNode"; and docstrings of functions that return nothing.
_DOCUMENTED_TYPE = re.compile(r"^[ \t]*:type[ \t]+(\w+)[ \t]*:[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)
_DOCUMENTED_RESULT = re.compile(r"^[ \t]*:rtype[ \t]*:[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)
_RETURNS_NOTHING = re.compile(r"(?:void|None)\b|.*\b[Dd]o(?:es)? not return anything\b", re.DOTALL)


def _read_types(node: ast.FunctionDef | ast.AsyncFunctionDef, is_method: bool) -> dict[str, Any] | None:
    """Return the types of a signature as texts, by its annotations or its docstring; None if it has none."""
    docstring = ast.get_docstring(node) or ""
    documented_types = dict(_DOCUMENTED_TYPE.findall(docstring))
    texts = []
    for parameter in node.args.args[1:] if is_method else node.args.args:
        annotation = ast.unparse(parameter.annotation) if parameter.annotation else ""
        texts.append(annotation or documented_types.get(parameter.arg, ""))
    documented_result = _DOCUMENTED_RESULT.search(docstring)
    result = documented_result.group(1) if documented_result else ""
    if node.returns:
        result = ast.unparse(node.returns)
    elif _RETURNS_NOTHING.match(result or docstring):
        result = "None"
    return {"args": texts, "returns": result} if result or any(texts) else None


def _is_body(text: str, name: str) -> bool:
    """Return whether a program is only the body of the function `name`: it defines nothing of that name."""
    defines = re.search(rf"^[ \t]*(?:async[ \t]+def|def|class)[ \t]+{re.escape(name)}\b", text, re.MULTILINE)
    assigns = re.search(rf"^{re.escape(name)}[ \t]*(?::[^=\n]*)?=|\bas[ \t]+{re.escape(name)}\b", text, re.MULTILINE)
    returns = re.search(r"^[ \t]*(?:return|yield|raise)\b", text, re.MULTILINE)
    return not defines and not assigns and bool(returns) and "class Solution" not in text


def _with_even_indent(text: str) -> str:
    """Return a body whose first line has lost its indent, as happens where a text is stripped, with an even one."""
    first, _, rest = text.partition("\n")
    if not rest.strip():
        return textwrap.dedent(text)
    indents = [len(line) - len(line.lstrip()) for line in rest.split("\n") if line.strip()]
    outer_indent = min(indents)
    if first != first.lstrip():
        lost_indent = 0
    elif not first.rstrip().endswith((":", "(", "[", "{", "\\", ",")) or indents[0] > outer_indent:
        lost_indent = outer_indent
    else:  # the block of the first line alone: by twice the usual indent
        lost_indent = outer_indent // 2 if outer_indent >= 2 * _INDENT else 0
    return textwrap.dedent(" " * lost_indent + text)
