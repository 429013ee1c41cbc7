"""What a recipe's `tools` and `environment` name: r1kit's own tools, and functions and classes by their dotted paths.

resolve_tools(["python", "my_tools.search"])        [python, search]
resolve_environment("my_environments.Shop")         the class Shop of my_environments.py
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, get_type_hints

from r1kit.errors import UserError, suggest
from r1kit.rewards.own_code import import_object
from r1kit.tools.python_box import python

TOOLS: dict[str, Callable[..., Any]] = {"python": python}


def resolve_tools(names: Sequence[str], field: str = "tools") -> list[Callable[..., Any]]:
    """Return the functions of a recipe's `tools`. Raises UserError for a name that is none, or is no usable tool."""
    tools: list[Callable[..., Any]] = []
    for index, name in enumerate(names):
        item_field = f"{field}.{index}"
        if name in TOOLS:
            tool = TOOLS[name]
        elif "." not in name:
            raise UserError(item_field, name, "no such tool", suggest(name, TOOLS))
        else:
            tool = import_object(name, item_field, "a function that Python can import")
            _check_tool(tool, name, item_field)
        if tool.__name__ in [other.__name__ for other in tools]:
            raise UserError(item_field, name, "another tool has the same name", "rename or remove one of them")
        tools.append(tool)
    return tools


def resolve_environment(name: str, field: str = "environment") -> Callable[[], Any]:
    """Return what makes an environment: a class or a function without arguments. Raises UserError."""
    factory = import_object(name, field, "a class that Python can import")
    if not callable(factory):
        raise UserError(field, name, "must be a class, or a function that returns an environment", "use its path")
    if isinstance(factory, type) and not callable(getattr(factory, "reset", None)):
        raise UserError(field, name, "an environment needs a method reset", "add `def reset(self, **row)`")
    return factory


def _check_tool(tool: Any, name: str, field: str) -> None:
    """Raise UserError where transformers could not describe a function to the model."""
    if not inspect.isfunction(tool):
        raise UserError(field, name, "a tool must be a function", "use the path of a function")
    documentation = inspect.getdoc(tool) or ""
    for parameter in inspect.signature(tool).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            requirement = f"the model calls a tool by the names of its parameters, and {parameter} has none"
            raise UserError(field, name, requirement, "name each parameter")
        if parameter.name not in _annotated_names(tool):
            raise UserError(field, name, f"its parameter {parameter.name} has no type", "annotate it, such as `: str`")
        if f"{parameter.name}:" not in documentation:
            action = f"add a line `{parameter.name}: ...` below `Args:`"
            raise UserError(field, name, f"its docstring does not describe {parameter.name} to the model", action)
    if not documentation:
        raise UserError(field, name, "has no docstring, by which the model knows it", "write one")


def _annotated_names(tool: Callable[..., Any]) -> set[str]:
    try:
        return set(get_type_hints(tool))
    except (NameError, TypeError):  # an annotation that cannot be read, of which transformers complains
        return set(tool.__annotations__)
