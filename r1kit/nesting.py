"""Limit how deeply values from files of others may be nested, so that no code runs into Python's recursion limit."""

from typing import Any

# Deeper than any data; reading, writing and comparing values takes up to three of Python's 1,000 frames a level.
MAX_JSON_DEPTH = 200


def check_depth(value: Any, text: str) -> None:
    """Raise RecursionError if lists and objects, parsed from a JSON `text`, are nested beyond MAX_JSON_DEPTH levels."""
    # Most texts have so few brackets that they cannot be nested too deeply.
    has_few_brackets = text.count("[") + text.count("{") <= MAX_JSON_DEPTH
    if has_few_brackets or not isinstance(value, dict | list):
        return
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        members: list[Any] = []
        for container in level:
            members += container.values() if isinstance(container, dict) else container
        level = [member for member in members if isinstance(member, dict | list)]
        if not level:
            return
    raise RecursionError(f"nested more than {MAX_JSON_DEPTH} levels deep")
