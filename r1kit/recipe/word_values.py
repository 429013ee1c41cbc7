"""The value that belongs to a field, where a word in another form says it: for errors that say what to type.

write_value(RLRecipe, "model.quantize", "qlora", True)       "write model.quantize=4bit"
write_value(RLRecipe, "model.quantize", "qlora", False)      "leave it out, or write model.quantize=null"
write_value(RLRecipe, "rewards", "reward", "accuracy")       "write 'rewards=[accuracy]'"
"""

import shlex
from types import NoneType
from typing import get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from r1kit.errors import UNSET, format_value
from r1kit.recipe.block import all_types, fields_along, is_optional_block
from r1kit.recipe.data import SourceConfig
from r1kit.synonyms import OFF_VALUES, TRACKER_PROJECTS, VALUES, normalise_word, suggest_value, words_meaning

_ON_WORDS = frozenset({"true", "yes", "on"})
_OFF_WORDS = frozenset({"false", "no", "off", "none", "null"})
# Lists that are read from a text too, with commas in it.
_LISTS_OF_TEXT = ("urls", "models")


def write_setting(key: str, value_text: str) -> str:
    """Return `write KEY=VALUE`, in quotes where a shell would change the value, as it does with brackets."""
    return f"write {shlex.quote(f'{key}={value_text}')}"


def write_value(schema: type[BaseModel], key: str, word: str, value: object) -> str:
    """Return what to type for a word that means the field `key` of a recipe, and that was set to `value`.

    With the value UNSET, as of an option without one, `...` stands for it, unless the word says the value too, as
    `bf16` does. What is switched off is not switched on: the advice is to leave it out.
    """
    name = key.rpartition(".")[2]
    if value is UNSET or _is_switch(value, _ON_WORDS):
        value = suggest_value(key, normalise_word(word)) or value
    if name == "report_to" and isinstance(value, dict):  # wandb.project=mine
        value = next((project for key, project in value.items() if "project" in str(key)), UNSET)
        value = suggest_value(key, normalise_word(word)) or UNSET if value is UNSET else str(value)
    if name == "report_to" and isinstance(value, str):
        action = _name_project(word, value)
        if action:
            return action
    value = suggest_value(key, value) or value
    if value is UNSET:
        return write_setting(key, "...")
    if is_off(value):
        return _switch_off(schema, key)
    if _is_switch(value, _ON_WORDS) and not _takes_switch(schema, key):
        return write_setting(key, "...")
    if isinstance(value, str) and needs_list(schema, key):
        value = [suggest_value(key, entry.strip()) or entry.strip() for entry in value.strip("[]").split(",")]
    return write_setting(key, format_value(value))


def _name_project(word: str, value: str) -> str:
    """Return how to name the project of a tracker, as `wandb=my_project` means; "" for the name of a tracker."""
    trackers = words_meaning(VALUES["report_to"], word)
    if not trackers or trackers[0] not in TRACKER_PROJECTS or words_meaning(VALUES["report_to"], value):
        return ""
    project = TRACKER_PROJECTS[trackers[0]].format(value=shlex.quote(value))
    return f"write trl.report_to={trackers[0]}, and {project}"


def is_off(value: object) -> bool:
    """Return whether a value switches something off: false, null, or a word for them."""
    return value is None or _is_switch(value, _OFF_WORDS)


def _is_switch(value: object, words: frozenset[str]) -> bool:
    return isinstance(value, bool | str) and str(value).lower() in words


def suggest_off(schema: type[BaseModel], key: str) -> str:
    """Return how to switch off what a field means that is neither true nor false; "" for any other field."""
    return "" if _takes_switch(schema, key) else _switch_off(schema, key)


def _switch_off(schema: type[BaseModel], key: str) -> str:
    if _takes_switch(schema, key):
        return write_setting(key, "false")
    name = key.rpartition(".")[2]
    if name in OFF_VALUES:
        return f"leave it out, or {write_setting(key, OFF_VALUES[name])}"
    field = find_field(schema, key)
    if field is not None and NoneType in all_types(field.annotation):
        return f"leave it out, or {write_setting(key, 'null')}"
    return "leave it out"


def _takes_switch(schema: type[BaseModel], key: str) -> bool:
    """Return whether a field may be true or false; of the fields of the block `trl`, TRL knows."""
    if key.startswith("trl."):
        return key.rpartition(".")[2] not in OFF_VALUES
    field = find_field(schema, key)
    return field is not None and (bool in all_types(field.annotation) or is_optional_block(field))


def needs_list(schema: type[BaseModel], key: str) -> bool:
    """Return whether a field holds a list that cannot be written as a text, such as `rewards`."""
    field = find_field(schema, key)
    if field is None or get_origin(field.annotation) is not list:
        return False
    return get_args(field.annotation) != (SourceConfig,) and key.rpartition(".")[2] not in _LISTS_OF_TEXT


def find_field(schema: type[BaseModel], key: str) -> FieldInfo | None:
    """Return the field at a dotted key of a recipe, None where it has none, as below `trl`."""
    names = [name for name in key.split(".") if not name.isdigit()]
    fields = list(fields_along(schema, key))
    return fields[-1][1] if len(fields) == len(names) else None
