"""Packages that programs may import: which files of this machine a box gets for them.

A box sees Python and its standard library. Of the environment that r1kit runs in it sees only the packages that are
allowed (the setting `packages` of the reward `accuracy`), the packages that those need, and no file beside them.

    find_package_files(("numpy",)).modules     {"numpy": ".../site-packages/numpy/__init__.py"}
    find_package_files(("numpy",)).paths       (".../site-packages/numpy", ".../site-packages/numpy.libs")
"""

import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

DEFAULT_PACKAGES = ("numpy", "sortedcontainers")
"""What LeetCode offers, and what most solutions import that import a package at all. They need not be installed."""

# Import names of packages that test code and solutions of public data sets use. A program that imports one of them gets
# no verdict where it is missing; any other unknown import is the program's own mistake.
_WELL_KNOWN = frozenset(
    (
        *("bs4", "cv2", "faker", "flask", "geopandas", "gmpy2", "lxml", "matplotlib", "more_itertools", "networkx"),
        *("nltk", "numba", "numpy", "openpyxl", "pandas", "PIL", "psutil", "pytest", "pytz", "regex", "requests"),
        *("scipy", "seaborn", "shapely", "six", "skimage", "sklearn", "sortedcontainers", "statsmodels", "sympy"),
        *("tensorflow", "torch", "xarray", "yaml"),
    )
)
BOX_DIRECTORY = "/packages"  # where a box of bubblewrap has them
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9._-]+)")


@dataclass(frozen=True)
class PackageFiles:
    """`modules`: the file of each top-level module; `paths`: what a box must be able to read, beside Python itself."""

    modules: dict[str, str]
    paths: tuple[str, ...]

    def in_box(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return `paths` with where a box has them, and the `modules` there.

        The environment may lie below a directory that a box has a new one of, such as /tmp. Directories that are
        siblings stay so, because the libraries of a package find one another by relative paths.
        """
        places: dict[str, str] = {}
        parents: dict[str, str] = {}
        for path in self.paths:
            parent = str(Path(path).parent)
            parents.setdefault(parent, f"{BOX_DIRECTORY}/{len(parents)}")
            places[path] = f"{parents[parent]}/{Path(path).name}"
        modules = {}
        for name, file in self.modules.items():
            path = next(path for path in self.paths if file == path or file.startswith(path + "/"))
            modules[name] = places[path] + file.removeprefix(path)
        return places, modules


@cache
def find_package_files(names: tuple[str, ...]) -> PackageFiles:
    """Return the files of those packages that are installed, and of what they need."""
    modules: dict[str, str] = {}
    paths: dict[str, None] = {}
    for name in names:
        if name in sys.stdlib_module_names or _module_file(name) is None:
            continue
        distribution_names = _distributions_of(name)
        for top_level, path in _top_level_paths(distribution_names, name).items():
            paths[path] = None
            module_name = top_level.partition(".")[0]
            file = _module_file(module_name)
            if file is not None and (file == path or file.startswith(path + "/")):
                modules[module_name] = file
    return PackageFiles(modules, tuple(paths))


def _module_file(name: str) -> str | None:
    """Return the file of a top-level module, or None if it is not installed."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.origin or not Path(spec.origin).exists():
        return None
    return spec.origin


def _distributions_of(module_name: str) -> list[str]:
    """Return the names of the distributions of a module and of all that they need, without extras."""
    try:
        first_names = [importlib.metadata.distribution(module_name).metadata["Name"]]
    except importlib.metadata.PackageNotFoundError:
        first_names = list(importlib.metadata.packages_distributions().get(module_name, []))
    names: dict[str, None] = {}
    waiting_names = first_names
    while waiting_names:
        name = waiting_names.pop()
        if name in names:
            continue
        names[name] = None
        try:
            requirements = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for requirement in requirements:
            match = _REQUIREMENT.match(requirement)
            if match and "extra ==" not in requirement:
                waiting_names.append(match[1])
    return list(names)


def _top_level_paths(distribution_names: Sequence[str], module_name: str) -> dict[str, str]:
    """Return the files and directories of distributions directly below site-packages, by their names."""
    paths = {}
    for name in distribution_names:
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        for file in distribution.files or []:
            top_level = file.parts[0]
            if top_level in ("..", "__pycache__") or top_level.endswith((".dist-info", ".egg-info", ".pth")):
                continue
            path = Path(str(distribution.locate_file(top_level)))
            if top_level not in paths and path.exists():
                paths[top_level] = str(path)
    if not paths:  # no list of files: a package that stands alone
        module_file = _module_file(module_name)
        if module_file is not None:
            is_package = Path(module_file).name.startswith("__init__")
            paths[module_name] = str(Path(module_file).parent) if is_package else module_file
    return paths


def missing_package_reason(module_name: str, packages: Sequence[str]) -> str | None:
    """Return why a module that a program imports is not in its box, or None if there is no such package at all."""
    if module_name in packages:
        return f"{module_name} is not installed here, so that programs that import it cannot be judged; install it"
    if _module_file(module_name) is not None:
        return f"programs may not import {module_name}; add it to the setting packages of the reward accuracy"
    if module_name in _WELL_KNOWN:
        return (
            f"{module_name} is not installed here, so that programs that import it cannot be judged; install it and "
            "add it to the setting packages of the reward accuracy"
        )
    return None
