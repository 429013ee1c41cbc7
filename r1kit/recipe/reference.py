"""Document the fields of all recipes from their pydantic classes: for the website, the terminal and editors.

recipe_reference()                               a Markdown page of every field, by stage and block
describe_field("rl", "training.clip")            the text of `r1kit fields training.clip`
json_schema("sft")                               a JSON schema, for completion and checks in an editor
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from r1kit.errors import UserError, suggest
from r1kit.recipe.block import find_block_class, find_resume_rule
from r1kit.recipe.stages import recipe_class
from r1kit.stages import STAGES

LONGEST_DEFAULT = 60  # characters of a default value that tables show; templates of prompts are longer

_PLAIN_TYPES = {
    int: ("integer", "integers"),
    float: ("number", "numbers"),
    bool: ("true or false", "true or false"),
    str: ("text", "texts"),
    Any: ("any value", "any values"),
}
_BOUNDS = {  # how a constraint of pydantic reads, and the attribute that has its number
    annotated_types.Gt: ("above", "gt"),
    annotated_types.Ge: ("at least", "ge"),
    annotated_types.Lt: ("below", "lt"),
    annotated_types.Le: ("at most", "le"),
}


@dataclass(frozen=True)
class FieldEntry:
    """What is documented of one field of one stage's recipe."""

    key: str
    """The dotted key; N stands for a position in a list, as in `data.train.N.path`."""
    type_text: str
    """The type in words, such as `integer above 0`."""
    default: str
    """The default value as YAML; empty for a block, whose fields have their own."""
    description: str
    """The description, on one line."""
    resume: str
    """Whether the field may change when a run is resumed; empty if it must stay."""
    block: type[BaseModel] | None
    """The class of the block, if the field is one."""
    class_name: str
    """The name of the class that has the field."""


# Fields


def list_fields(stage: str) -> list[FieldEntry]:
    """Return every field of a stage's recipe, outer blocks before their fields."""
    schema = recipe_class(stage)
    return list(_walk_fields(schema, schema, schema.model_validate({}), prefix=""))


def _walk_fields(
    recipe: type[BaseModel], block: type[BaseModel], defaults: BaseModel | None, prefix: str
) -> Iterator[FieldEntry]:
    """Yield the fields below `block`; `defaults` is the block that the recipe has by default, if it has one."""
    for name, field in block.model_fields.items():
        key = f"{prefix}{name}"
        nested = find_block_class(field.annotation)
        default = field.get_default() if defaults is None else getattr(defaults, name)
        is_default_block = isinstance(default, BaseModel)
        rule = find_resume_rule(recipe, key)
        yield FieldEntry(
            key=key,
            type_text=_describe_type(field.annotation, field.metadata),
            default="" if is_default_block else _describe_default(field, default),
            description=" ".join((field.description or "").split()),
            resume="" if rule is None else rule.value,
            block=nested,
            class_name=block.__name__,
        )
        if nested is not None:
            is_list = get_origin(field.annotation) is list
            nested_prefix = f"{key}.N." if is_list else f"{key}."
            yield from _walk_fields(recipe, nested, default if is_default_block else None, nested_prefix)


def _describe_default(field: FieldInfo, default: Any) -> str:
    """Return a default value as YAML, shortened; `required` or `not set` where there is none."""
    if field.is_required():
        return "required"
    if default is None:
        return "not set"
    text = _to_yaml(default)
    return text if len(text) <= LONGEST_DEFAULT else f"{text[: LONGEST_DEFAULT - 3]}..."


def _to_yaml(value: Any) -> str:
    """Return a value as YAML on one line."""
    if isinstance(value, BaseModel):
        return _to_yaml(value.model_dump(exclude_defaults=True))
    if isinstance(value, list | tuple):
        return f"[{', '.join(_to_yaml(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_to_yaml(item)}' for key, item in value.items())}}}"
    if isinstance(value, str):
        is_plain = value and not any(character in value for character in "\n{}[],:#&*!|>'\"%@` ")
        return value if is_plain else json.dumps(value, ensure_ascii=False)
    return json.dumps(value)


def _describe_type(annotation: Any, metadata: list[Any], plural: bool = False) -> str:
    """Return a type in words: `integer above 0`, `list of texts`, `one of: a, b`."""
    origin, inner_types = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _describe_type(inner_types[0], [*inner_types[1:], *metadata], plural)
    if origin in (Union, UnionType):
        choices = [_describe_type(inner, metadata, plural) for inner in inner_types if inner is not NoneType]
        return " or ".join(choices)
    if origin is Literal:
        return f"one of: {', '.join(inner_types)}" if len(inner_types) > 1 else str(inner_types[0])
    if origin is list:
        items = _describe_type(inner_types[0], [], plural=True)
        return f"{'lists' if plural else 'list'} of {items}"
    if origin is tuple:
        return f"list of {len(inner_types)} {_describe_type(inner_types[0], [], plural=True)}"
    if origin is dict:
        return f"mapping to {_describe_type(inner_types[1], [], plural=True)}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "blocks" if plural else "block"
    singular_and_plural = _PLAIN_TYPES[annotation]
    return " ".join([singular_and_plural[plural], *_describe_bounds(metadata)])


def _describe_bounds(metadata: list[Any]) -> list[str]:
    """Return constraints in words, joined by `and`: [`at least 0 and at most 1`]."""
    bounds = []
    for marker in metadata:
        for constraint in marker.metadata if isinstance(marker, FieldInfo) else [marker]:
            if type(constraint) in _BOUNDS:
                words, attribute = _BOUNDS[type(constraint)]
                bounds.append(f"{words} {getattr(constraint, attribute)}")
    return [" and ".join(bounds)] if bounds else []


# The terminal


def describe_field(stage: str | None, key: str) -> str:
    """Return the documentation of a field as text, in one stage or in all that have it.

    `key` is a dotted key such as `sampling.group_size`; its last names suffice (`group_size`), and positions in lists
    may be left out. For a block, its fields are listed. Raises UserError for a key that no recipe has.
    """
    stages_of_entry: dict[FieldEntry, list[str]] = {}
    for name in [stage] if stage else STAGES:
        for entry in list_fields(name):
            stages_of_entry.setdefault(entry, []).append(name)
    matches = _find_entries(list(stages_of_entry), _without_positions(key))
    if not matches:
        requirement = f"the recipe of {stage} has no such key" if stage else "no recipe has such a key"
        known_keys = {_without_positions(entry.key) for entry in stages_of_entry}
        raise UserError("KEY", key, requirement, suggest(_without_positions(key), known_keys))
    return "\n\n".join(_format_entry(entry, stages_of_entry[entry]) for entry in matches)


def _find_entries(entries: list[FieldEntry], key: str) -> list[FieldEntry]:
    """Return the entries with exactly this key, or else those whose last names it is."""
    exact = [entry for entry in entries if _without_positions(entry.key) == key]
    return exact or [entry for entry in entries if _without_positions(entry.key).endswith(f".{key}")]


def _without_positions(key: str) -> str:
    """Return a dotted key without its positions in lists: `data.train.0.path` becomes `data.train.path`."""
    return ".".join(name for name in key.split(".") if not name.isdigit() and name != "N")


def _format_entry(entry: FieldEntry, stages: list[str]) -> str:
    lines = [f"{entry.key}  ({', '.join(stages)})", f"  {entry.description}", f"  type: {entry.type_text}"]
    if entry.default:
        lines.append(f"  default: {entry.default}")
    if entry.resume:
        lines.append(f"  resume: {entry.resume}")
    if entry.block is not None:
        lines.append("  fields:")
        for name, field in entry.block.model_fields.items():
            lines.append(f"    {name}: {_first_sentence(field.description or '')}")
    return "\n".join(lines)


def _first_sentence(text: str) -> str:
    """Return the first sentence or clause of a description, on one line."""
    line = " ".join(text.split())
    for end in ("; ", ". ", ": "):
        line = line.partition(end)[0]
    return line.rstrip(".") + "."


# Editors


def json_schema(stage: str) -> dict[str, Any]:
    """Return the JSON schema of a stage's recipe, which editors use for completion and checks.

    In a recipe: `# yaml-language-server: $schema=sft.json` as the first line.
    """
    schema = recipe_class(stage).model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = f"Recipe of r1kit {stage}"
    schema["description"] = STAGES[stage].summary
    return schema


# The website


def recipe_reference() -> str:
    """Return the reference of every field of every recipe as a Markdown page.

    Each stage lists its own keys with their defaults. A block that several stages share is described once.
    """
    stage_sections: list[str] = []
    block_sections: dict[str, str] = {}
    for stage in STAGES.values():
        entries = list_fields(stage.name)
        stage_sections.append(_stage_section(stage.name, entries))
        for entry in entries:
            if entry.block is not None and entry.block.__name__ not in block_sections:
                block_sections[entry.block.__name__] = _block_section(entry, entries)
    header = (
        "# Recipe reference\n\n"
        "Every field of every recipe, made from the code. `r1kit fields KEY` shows the same in the terminal. "
        "A key such as `training.steps` is a field of a block; on the command line it is set by "
        "`training.steps=50`. N stands for a position in a list, from 0."
    )
    return "\n\n".join([header, "## Stages", *stage_sections, "## Blocks", *block_sections.values()]) + "\n"


def _stage_section(stage: str, entries: list[FieldEntry]) -> str:
    """Return the section of a stage: its outermost keys, and what its blocks have by default."""
    rows = []
    for entry in entries:
        if "." in entry.key:
            continue
        link = f"[{entry.key}](#{_anchor(entry.block)})" if entry.block is not None else f"`{entry.key}`"
        rows.append([link, entry.type_text, _default_cell(entry, entries), entry.description])
    lines = [f"### {stage}", "", STAGES[stage].summary, "", *_markdown_table(rows)]
    return "\n".join(lines)


def _default_cell(entry: FieldEntry, entries: list[FieldEntry]) -> str:
    """Return the default of an outermost key; of a block, those of its fields that differ from the block's own."""
    if entry.default:
        return f"`{entry.default}`"
    assert entry.block is not None
    own_defaults = {}
    for other in _walk_fields(entry.block, entry.block, None, prefix=f"{entry.key}."):
        own_defaults[other.key] = other.default
    different = []
    for other in entries:
        if other.key in own_defaults and other.default and other.default != own_defaults[other.key]:
            different.append(f"`{other.key.partition('.')[2]}: {other.default}`")
    return ", ".join(different)


def _block_section(block_entry: FieldEntry, entries: list[FieldEntry]) -> str:
    """Return the section of a block: its fields with their types, defaults and descriptions."""
    assert block_entry.block is not None
    rows = []
    for entry in _walk_fields(block_entry.block, block_entry.block, None, prefix=""):
        if "." in entry.key:
            continue
        link = f"[{entry.key}](#{_anchor(entry.block)})" if entry.block is not None else f"`{entry.key}`"
        default = f"`{entry.default}`" if entry.default else ""
        rows.append([link, entry.type_text, default, _with_resume(entry)])
    documentation = " ".join((block_entry.block.__doc__ or "").split())
    return "\n".join([f"### {block_entry.block.__name__}", "", documentation, "", *_markdown_table(rows)])


def _with_resume(entry: FieldEntry) -> str:
    """Return a description with the rule of resuming as a last sentence."""
    return f"{entry.description} It {entry.resume}." if entry.resume else entry.description


def _anchor(block: type[BaseModel]) -> str:
    """Return the anchor of a block's heading."""
    return block.__name__.lower()


def _markdown_table(rows: list[list[str]]) -> list[str]:
    lines = ["| key | type | default | description |", "| --- | --- | --- | --- |"]
    for cells in rows:
        escaped = [cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells]
        lines.append(f"| {' | '.join(escaped)} |")
    return lines
