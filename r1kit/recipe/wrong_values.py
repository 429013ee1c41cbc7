"""What pydantic refuses in a recipe, as one line that names the field by its dotted key and says what to type."""

import difflib
import re

from pydantic import BaseModel, ValidationError

from r1kit.errors import UNSET, UserError, format_value
from r1kit.recipe.key_words import suggest_for_block, suggest_for_leaf, suggest_key
from r1kit.recipe.word_values import is_off, suggest_off, write_setting
from r1kit.synonyms import suggest_value

# What pydantic's types of errors mean to somebody who writes a recipe; the names in braces are pydantic's.
_REQUIREMENTS = {
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "list_type": "must be a list, such as [a, b]",
    "tuple_type": "must be a list, such as [a, b]",
    "too_long": "must have at most {max_length} entries",
    "too_short": "must have at least {min_length} entries",
    "dict_type": "must be a mapping, such as {{key: value}}",
    "model_type": "must be a block of keys, such as {{key: value}}",
    "literal_error": "must be {expected}",
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be below {lt:.16g}",
    "less_than_equal": "must be at most {le:.16g}",
}


def explain_validation(schema: type[BaseModel], error: ValidationError) -> UserError:
    """Turn pydantic's first error into one that names the field by its dotted key.

    Missing fields come last: often the field is there under a wrong name, and the error about that name says more.
    """
    errors = error.errors(include_url=False)
    first = next((entry for entry in errors if entry["type"] != "missing"), errors[0])
    location = [str(name) for name in first["loc"] if not str(name).startswith("function-")]
    key = ".".join(location) or "recipe"
    action = "change it in the recipe or on the command line"
    if first["type"] == "missing":
        return UserError(key, UNSET, "is required", "set it in the recipe or on the command line")
    value = first["input"]
    if first["type"] == "extra_forbidden":
        return UserError(key, value, "no such key", suggest_key(schema, location, value))
    if first["type"] == "value_error":
        return UserError(key, value, str(first["ctx"]["error"]), _suggest_other_value(key, value) or action)
    if first["type"] not in _REQUIREMENTS:
        return UserError(key, value, first["msg"].lower(), action)
    requirement = _REQUIREMENTS[first["type"]].format(**first.get("ctx", {}))
    requirement = requirement.replace("'", "")  # pydantic quotes the names of a literal
    if first["type"] == "model_type":
        action = suggest_for_block(schema, location, value)
    elif first["type"] == "list_type" and isinstance(value, str):
        action = write_setting(key, f"[{value}]")
    elif first["type"] == "list_type" and key == "rewards" and isinstance(value, dict):
        entries = [f"{{name: {name}, weight: {format_value(weight)}}}" for name, weight in value.items()]
        action = write_setting("rewards", f"[{', '.join(entries)}]")
    elif first["type"] == "dict_type" and isinstance(value, str):
        action = _suggest_mapping(key, value) or action
    elif first["type"] == "string_type" and isinstance(value, dict):  # trainer.logger=wandb, say
        action = suggest_for_leaf(schema, value) or action
    elif first["type"] == "literal_error":
        action = _suggest_other_value(key, value, first["ctx"]["expected"]) or action
    if is_off(value) and not action.startswith("did you mean"):
        action = suggest_off(schema, key) or action
    return UserError(key, value, requirement, action)


def _suggest_mapping(key: str, value: str) -> str:
    """Return how to write a mapping for a text in its place, such as trl=report_to=wandb; "" if that is not clear."""
    name, equals_sign, inner_value = value.partition("=")
    if equals_sign:
        return write_setting(f"{key}.{name}", inner_value)
    return write_setting(f"{key}.prompt", value) if key.endswith(".columns") else ""


def _suggest_other_value(key: str, value: object, expected: str = "") -> str:
    """Return `did you mean X?` for a value that a word means, or that is spelt like one of those expected; else ""."""
    other_value = suggest_value(key, value)
    names = re.findall("'([^']*)'", expected)
    if not other_value and names:
        other_value = next(iter(difflib.get_close_matches(str(value), names, n=1)), "")
    return f"did you mean {other_value}?" if other_value else ""
