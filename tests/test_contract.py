"""What r1kit relies on in TRL and transformers beyond their documented interfaces: each name with its reason.

tests/contract.yaml lists every method that is overridden and every private or undocumented name that is used. A library
that changes one of them fails here with a line that says what to look at. When the change has been looked at:

    python tests/test_contract.py --update      accepts the sources of the installed versions
"""

import ast
import hashlib
import importlib
import inspect
import sys
import textwrap
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
import transformers
import trl
import yaml

ROOT = Path(__file__).parent.parent
FILE = Path(__file__).with_name("contract.yaml")
LIBRARIES = ("trl", "transformers", "torch")
# Documented modules whose names need no entry; what is imported from deeper ones does.
PUBLIC_MODULES = ("trl", "transformers", "transformers.utils")


def entries() -> list[dict]:
    return yaml.safe_load(FILE.read_text())


def resolve(name: str) -> tuple[object, object]:
    """Return what a dotted name means, and what it is an attribute of. Raises AttributeError if there is none."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            value: object = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        owner: object = None
        for part in parts[length:]:
            owner, value = value, getattr(value, part)
        return value, owner
    raise AttributeError(name)


def source_of(name: str) -> str:
    """Return the source of a function, class or property; of an attribute, the statements that assign it."""
    owner_name, _, attribute = name.rpartition(".")
    try:
        value, _ = resolve(name)
    except AttributeError:
        value = None
    if isinstance(value, property):
        value = value.fget
    if inspect.isclass(value) or callable(value):
        return textwrap.dedent(inspect.getsource(inspect.unwrap(value)))
    owner, _ = resolve(owner_name)
    assignments = []
    for base in getattr(owner, "__mro__", [owner]):
        if not isinstance(base, ModuleType) and base.__module__.partition(".")[0] not in LIBRARIES:
            continue
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(base)))):
            if isinstance(node, ast.Assign | ast.AnnAssign) and attribute in _targets(node):
                assignments.append(ast.unparse(node))
    if not assignments:
        raise AttributeError(f"{name} is assigned nowhere")
    return "\n".join(assignments)


def _targets(node: ast.Assign | ast.AnnAssign) -> set[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    names = set()
    for target in targets:
        for part in ast.walk(target):
            if isinstance(part, ast.Attribute):
                names.add(part.attr)
            elif isinstance(part, ast.Name):
                names.add(part.id)
    return names


def fingerprint(source: str) -> str:
    """Return 16 hex digits that change with the code and its signature, not with comments, docstrings or layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:16]


def installed() -> str:
    return ", ".join(f"{library} {metadata.version(library)}" for library in LIBRARIES)


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry["name"])
def test_a_library_is_as_r1kit_relies_on_it(entry):
    name, where = entry["name"], entry["where"]
    try:
        current = fingerprint(source_of(name))
    except (AttributeError, TypeError, OSError) as error:
        pytest.fail(f"{name} is gone ({installed()}): {where} relies on it: {entry['reason']} ({error})")
    if current not in entry["sources"]:
        known = ", ".join(entry["sources"].values())
        pytest.fail(
            f"{name} has changed ({installed()}; known: {known}): read what is new in it, look at {where}, which "
            f"relies on it ({entry['reason']}), then run `python tests/test_contract.py --update`"
        )


def r1kit_trees() -> dict[str, ast.Module]:
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in (ROOT / "r1kit").rglob("*.py")}


def overridden_methods() -> set[str]:
    """The methods of r1kit's classes that stand in a class of a library too, callbacks' public events left out."""
    names = set()
    for path, tree in r1kit_trees().items():
        module_name = path.removesuffix(".py").replace("/", ".")
        for node in tree.body:
            if not isinstance(node, ast.ClassDef) or not path.startswith(("r1kit/training", "r1kit/models")):
                continue
            own = getattr(importlib.import_module(module_name), node.name)
            bases = [base for base in own.__mro__ if base.__module__.partition(".")[0] in ("trl", "transformers")]
            if node.name.endswith("Mixin"):  # stands before a trainer of TRL among the bases of another class
                bases = list(trl.GRPOTrainer.__mro__[:-1])
            if any(base.__name__ == "TrainerCallback" for base in bases):
                continue
            for method in (child.name for child in node.body if isinstance(child, ast.FunctionDef)):
                if method != "__init__" and any(method in vars(base) for base in bases):
                    names.add(method)
    return names


def private_names_used() -> dict[str, str]:
    """Private names that are read in r1kit and defined nowhere in it, so those of libraries; with where."""
    trees = r1kit_trees()
    trainer_source = "".join(
        inspect.getsource(kind) for kind in (trl.GRPOTrainer, trl.SFTTrainer, transformers.Trainer)
    )
    defined = set()
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
                defined.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                defined.add(node.attr)
    defined -= {name for name in defined if f"self.{name} = " in trainer_source}
    used = {}
    for path, tree in trees.items():
        if not path.startswith(("r1kit/training", "r1kit/models", "r1kit/commands", "r1kit/launch")):
            continue
        for node in ast.walk(tree):
            name = node.attr if isinstance(node, ast.Attribute) else None
            if name and name.startswith("_") and not name.startswith("__") and name not in defined:
                used[name] = f"{path}:{node.lineno}"
    return used


def undocumented_imports() -> dict[str, str]:
    """What r1kit imports from below the libraries' documented modules, with where."""
    found = {}
    for path, tree in r1kit_trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in ("trl", "transformers"):
                if node.module in PUBLIC_MODULES:
                    continue
                for alias in node.names:
                    found[f"{node.module}.{alias.name}"] = f"{path}:{node.lineno}"
    return found


def test_all_that_is_relied_on_is_listed():
    listed = [entry["name"] for entry in entries()]
    last_parts = {name.rpartition(".")[2] for name in listed}
    missing = [f"{name}: overridden" for name in overridden_methods() if name not in last_parts]
    missing += [f"{where} uses {name}" for name, where in private_names_used().items() if name not in last_parts]
    missing += [f"{where} imports {name}" for name, where in undocumented_imports().items() if name not in listed]
    assert sorted(missing) == []


def test_each_entry_says_where_and_why():
    for entry in entries():
        assert len(entry["reason"].split()) > 3, entry["name"]
        path = entry["where"]
        assert entry["name"].rpartition(".")[2] in (ROOT / path).read_text(), f"{path} no longer uses {entry['name']}"


def update() -> None:
    """Accept the sources of the installed versions."""
    listed = entries()
    for entry in listed:
        source = fingerprint(source_of(entry["name"]))
        library = entry["name"].partition(".")[0]
        entry.setdefault("sources", {}).setdefault(source, f"{library} {metadata.version(library)}")
    FILE.write_text(yaml.safe_dump(listed, sort_keys=False, allow_unicode=True, width=120))


if __name__ == "__main__" and "--update" in sys.argv:
    update()
