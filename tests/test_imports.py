"""Imports run downward only, and the light modules stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import r1kit

ROOT = Path(r1kit.__file__).parent
LEVELS = (
    ("errors", "messages", "heavy_imports", "tables", "ranks", "rows", "stages"),
    ("prompts", "recipe"),
    ("runs",),
    ("languages", "answers", "sandbox"),
    ("data", "rewards"),
    ("models",),
    ("sampling", "training"),
    ("scaling", "head2toe"),
    ("report", "launch"),
    ("commands",),
    ("api", "cli", "__init__"),
)
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
HEAVY = {"torch", "transformers", "trl", "peft", "datasets", "accelerate"}
LIGHT = [name for name, level in LEVEL.items() if level <= LEVEL["rewards"]] + ["__init__", "api", "cli", "launch"]


def part(module: str) -> str:
    """r1kit.data.sources.stored -> data"""
    return [*module.split("."), "__init__"][1]


def modules() -> dict[str, ast.Module]:
    """Dotted name: syntax tree, of every module of the package."""
    found = {}
    for path in ROOT.rglob("*.py"):
        words = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(words).removesuffix(".__init__")] = ast.parse(path.read_text())
    return found


def imported(node: ast.AST) -> list[str]:
    """The modules that one import statement names; `from r1kit.a import b` names r1kit.a and r1kit.a.b."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative import"
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def own_imports(name: str, tree: ast.Module, known: set[str]) -> set[str]:
    """The modules of r1kit that `name` imports anywhere, in functions too."""
    return {m for node in ast.walk(tree) for m in imported(node) if m in known and m not in (name, "r1kit")}


def at_the_top(body: list[ast.stmt]) -> list[str]:
    """The modules imported when a file is, those under `if TYPE_CHECKING` left out."""
    names = []
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        names += imported(node)
        if not (isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")):
            names += at_the_top(getattr(node, "body", []))
        for other in ("orelse", "finalbody"):
            names += at_the_top(getattr(node, other, []))
        for handler in getattr(node, "handlers", []):
            names += at_the_top(handler.body)
    return names


def test_every_module_has_a_level():
    assert {part(m) for m in modules()} <= set(LEVEL)


def test_imports_run_downward_only():
    trees = modules()
    upward = [
        f"{name} imports {other}"
        for name, tree in trees.items()
        for other in own_imports(name, tree, set(trees))
        if LEVEL.get(part(other), 3) > LEVEL.get(part(name), 3)
    ]
    assert sorted(upward) == []


def test_stages_never_import_each_other():
    trees = modules()
    sideways = [
        f"{name} imports {other}"
        for name, tree in trees.items()
        for other in own_imports(name, tree, set(trees))
        if part(name) == "commands" and part(other) == "commands" and other != "r1kit.commands"
    ]
    assert sorted(sideways) == []


def test_light_modules_import_nothing_heavy_at_the_top():
    heavy = [
        f"{name} imports {other}"
        for name, tree in modules().items()
        if part(name) in LIGHT
        for other in at_the_top(tree.body)
        if other.split(".")[0] in HEAVY
    ]
    assert sorted(heavy) == []


MODELS_ONCE = """
from pathlib import Path
from r1kit.heavy_imports import heavy_imports
with heavy_imports():
    import transformers.utils.import_utils as utils
    import transformers.models
own = utils.define_import_structure.__closure__
[define] = [cell.cell_contents for cell in own if callable(cell.cell_contents)]
read = utils.create_import_structure_from_path.cache_info().misses
file = str(Path(utils.__file__).parents[1] / "models" / "__init__.py")
assert utils.define_import_structure(file) == define(file)
folders = sum(1 for f in Path(file).parent.rglob("*") if f.is_dir() and f.name != "__pycache__") + 1
print(read < 1.5 * folders, utils.create_import_structure_from_path.cache_info().misses > 1.5 * folders)
from transformers.models import LlamaForCausalLM, BertModel
"""


def test_the_models_of_transformers_are_read_once_and_are_the_same():
    done = subprocess.run([sys.executable, "-c", MODELS_ONCE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "True"]
