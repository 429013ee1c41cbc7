"""Imports run downward only, no two files import each other, and the light modules stay light."""

import ast
import gc
import sys
from pathlib import Path

import pytest

import r1kit
from r1kit.heavy_imports import heavy_imports

PACKAGE_DIR = Path(r1kit.__file__).parent
# The packages and files of r1kit, the lowest first: each may import only itself and those before it.
ORDER = (
    "version",
    "safe_text",
    "nesting",
    "errors",
    "synonyms",
    "user_paths",
    "stages",
    "rows",
    "tables",
    "interrupts",
    "messages",
    "ranks",
    "heavy_imports",
    "prompts",
    "completions",
    "suites",
    "languages",
    "recipe",
    "runs",
    "supervisor",
    "answers",
    "sandbox",
    "data",
    "servers",
    "rewards",
    "tools",
    "models",
    "sampling",
    "training",
    "head2toe",
    "scaling",
    "preflight",
    "prove",
    "report",
    "torch_launcher",
    "launchers",
    "plan",
    "launch",
    "stage_words",
    "commands",
    "api",
    "__init__",
    "usage_errors",
    "command_line",
    "cli",
    "__main__",
)
LEVEL = {name: level for level, name in enumerate(ORDER)}
HEAVY_LIBRARIES = {"torch", "transformers", "trl", "peft", "datasets", "accelerate"}
# All up to the tools import no heavy library at the top of a file, and neither do these.
LIGHT_PACKAGES = {
    *ORDER[: LEVEL["tools"] + 1],
    "launchers",
    "plan",
    "launch",
    "stage_words",
    "api",
    "__init__",
    "usage_errors",
    "command_line",
    "cli",
    "__main__",
}

Graph = dict[str, set[str]]


def package_of(module: str) -> str:
    """Return the package, or the file, directly below r1kit that a module is in: r1kit.data.mixing -> data."""
    return [*module.split("."), "__init__"][1]


def parse_modules() -> dict[str, ast.Module]:
    """Return the syntax tree of every module of r1kit, by its dotted name."""
    trees = {}
    for path in PACKAGE_DIR.rglob("*.py"):
        names = path.relative_to(PACKAGE_DIR.parent).with_suffix("").parts
        trees[".".join(names).removesuffix(".__init__")] = ast.parse(path.read_text())
    return trees


def imported_modules(statement: ast.AST, known_modules: set[str]) -> list[str]:
    """Return the modules that an import statement names: r1kit.a.b for `from r1kit.a import b`, if b is a module."""
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    if not isinstance(statement, ast.ImportFrom):
        return []
    assert statement.level == 0, "imports are absolute"
    assert statement.module is not None
    modules = []
    for alias in statement.names:
        full_name = f"{statement.module}.{alias.name}"
        modules.append(full_name if full_name in known_modules else statement.module)
    return modules


def build_import_graph() -> Graph:
    """Return the modules of r1kit that each module imports anywhere in its file, in functions too."""
    trees = parse_modules()
    known_modules = set(trees)
    graph: Graph = {}
    for name, tree in trees.items():
        imports = {module for node in ast.walk(tree) for module in imported_modules(node, known_modules)}
        graph[name] = (imports & known_modules) - {name}
    return graph


def find_cycle(graph: Graph) -> list[str]:
    """Return the modules of one cycle of a graph, in order; empty if it has none."""
    finished: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in finished:
            return []
        for neighbour in sorted(graph[module]):
            cycle = visit(neighbour, [*path, module])
            if cycle:
                return cycle
        finished.add(module)
        return []

    for module in sorted(graph):
        cycle = visit(module, [])
        if cycle:
            return cycle
    return []


def imports_at_the_top(body: list[ast.stmt]) -> list[str]:
    """Return the modules that are imported together with a file: not those in functions or under TYPE_CHECKING."""
    modules = []
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        modules += imported_modules(node, set())
        is_for_types = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        if not is_for_types:
            modules += imports_at_the_top(getattr(node, "body", []))
        for field in ("orelse", "finalbody"):
            modules += imports_at_the_top(getattr(node, field, []))
        for handler in getattr(node, "handlers", []):
            modules += imports_at_the_top(handler.body)
    return modules


def test_every_package_has_a_place_in_the_order():
    assert {package_of(module) for module in parse_modules()} == set(ORDER)


def test_imports_run_downward_only():
    upward = []
    for module, imports in build_import_graph().items():
        for imported in imports:
            if LEVEL[package_of(imported)] > LEVEL[package_of(module)]:
                upward.append(f"{module} imports {imported}")
    assert sorted(upward) == []


def test_no_files_import_each_other_in_a_circle():
    assert find_cycle(build_import_graph()) == []


def test_find_cycle_finds_a_cycle():
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert find_cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_commands_never_import_each_other():
    sideways = []
    for module, imports in build_import_graph().items():
        for imported in imports:
            if package_of(module) == package_of(imported) == "commands" and imported != "r1kit.commands":
                sideways.append(f"{module} imports {imported}")
    assert sorted(sideways) == []


def test_light_modules_import_nothing_heavy_at_the_top():
    heavy = []
    for module, tree in parse_modules().items():
        if package_of(module) not in LIGHT_PACKAGES:
            continue
        for imported in imports_at_the_top(tree.body):
            if imported.split(".")[0] in HEAVY_LIBRARIES:
                heavy.append(f"{module} imports {imported}")
    assert sorted(heavy) == []


def test_heavy_imports_run_without_the_garbage_collector(monkeypatch):
    monkeypatch.delitem(sys.modules, "transformers", raising=False)
    gc.unfreeze()
    with heavy_imports():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    gc.unfreeze()


def test_the_garbage_collector_is_switched_on_again_after_a_failed_import(monkeypatch):
    monkeypatch.delitem(sys.modules, "transformers", raising=False)
    with pytest.raises(ModuleNotFoundError), heavy_imports():
        import no_such_module  # noqa: F401
    assert gc.isenabled()
    gc.unfreeze()


def test_heavy_imports_do_nothing_once_transformers_is_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", ast)
    with heavy_imports():
        assert gc.isenabled()
