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
from r1kit.recipe.key_words import find_meaning
from r1kit.recipe.stages import recipe_class
from r1kit.stages import STAGES
from r1kit.synonyms import KEY_ACTIONS, KEYS, words_meaning

# Characters for which a text needs quotes in YAML, at some place in it.
_SPECIAL_IN_YAML = frozenset("\n{}[],:#&*!|>'\"%@` ")
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
        default = getattr(defaults, name, field.get_default())
        default_block = default if isinstance(default, BaseModel) else None
        nested_block = find_block_class(field.annotation)
        rule = find_resume_rule(recipe, key)
        yield FieldEntry(
            key=key,
            type_text=_describe_type(field.annotation, field.metadata),
            default=_describe_default(field, default),
            description=_on_one_line(field.description),
            resume=rule.value if rule else "",
            block=nested_block,
            class_name=block.__name__,
        )
        if nested_block is not None:
            position = ".N" if get_origin(field.annotation) is list else ""
            yield from _walk_fields(recipe, nested_block, default_block, f"{key}{position}.")


def _describe_default(field: FieldInfo, default: Any) -> str:
    """Return a default value as YAML, shortened; empty for a block; `required` or `not set` where there is none."""
    if isinstance(default, BaseModel):
        return ""
    if field.is_required():
        return "required"
    if default is None:
        return "not set"
    text = _to_yaml(default)
    if len(text) > LONGEST_DEFAULT:
        text = f"{text[: LONGEST_DEFAULT - 3]}..."
    return text


def _to_yaml(value: Any) -> str:
    """Return a value as YAML on one line."""
    if isinstance(value, BaseModel):
        return _to_yaml(value.model_dump(exclude_defaults=True))
    if isinstance(value, list | tuple):
        return f"[{', '.join(_to_yaml(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_to_yaml(item)}' for key, item in value.items())}}}"
    if isinstance(value, str) and value and not _SPECIAL_IN_YAML.intersection(value):
        return value
    return json.dumps(value, ensure_ascii=False)  # JSON is YAML too


def _describe_type(annotation: Any, metadata: list[Any], plural: bool = False) -> str:
    """Return a type in words: `integer above 0`, `list of texts`, `one of: a, b`."""
    origin, inner_types = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _describe_type(inner_types[0], [*inner_types[1:], *metadata], plural)
    if origin in (Union, UnionType):
        choices = [_describe_type(inner, metadata, plural) for inner in inner_types if inner is not NoneType]
        return " or ".join(choices)
    if origin is Literal:
        return f"one of: {', '.join(inner_types)}"
    if origin is list and get_origin(inner_types[0]) is Literal:
        return f"list of any of: {', '.join(get_args(inner_types[0]))}"
    if origin is list:
        items = _describe_type(inner_types[0], [], plural=True)
        return f"lists of {items}" if plural else f"list of {items}"
    if origin is tuple:
        return f"list of {len(inner_types)} {_describe_type(inner_types[0], [], plural=True)}"
    if origin is dict:
        return f"mapping to {_describe_type(inner_types[1], [], plural=True)}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "blocks" if plural else "block"
    singular, plural_form = _PLAIN_TYPES[annotation]
    name = plural_form if plural else singular
    return f"{name} {_describe_bounds(metadata)}".rstrip()


def _describe_bounds(metadata: list[Any]) -> str:
    """Return constraints in words: `at least 0 and at most 1`; empty if there are none."""
    bounds = []
    for marker in metadata:
        # Within a union (`PositiveInt | None`), pydantic leaves the constraints in a Field of their own.
        for constraint in getattr(marker, "metadata", [marker]):
            if type(constraint) in _BOUNDS:
                words, attribute = _BOUNDS[type(constraint)]
                bounds.append(f"{words} {getattr(constraint, attribute)}")
    return " and ".join(bounds)


# The terminal


def describe_field(stage: str | None, key: str) -> str:
    """Return the documentation of a field as text, in one stage or in all that have it.

    `key` is a dotted key such as `sampling.group_size`; its last names suffice (`group_size`), and positions in lists
    may be left out. For a block, its fields are listed. Raises UserError for a key that no recipe has.
    """
    stages_of_entry: dict[FieldEntry, list[str]] = {}
    for name in [stage] if stage else list(STAGES):
        for entry in list_fields(name):
            stages_of_entry.setdefault(entry, []).append(name)
    matches = _find_entries(list(stages_of_entry), _without_positions(key))
    if not matches:
        recipes = f"the recipe of {stage}" if stage else "any recipe"
        requirement = f"must be a key of {recipes}"
        known_keys = {_without_positions(entry.key) for entry in stages_of_entry}
        similar_keys = words_meaning(KEYS, key, known_keys)
        if similar_keys:
            raise UserError("KEY", key, requirement, f"did you mean {similar_keys[0]}?")
        for name in [stage] if stage else list(STAGES):
            actions = words_meaning(KEY_ACTIONS, key)
            meaning, _ = find_meaning(recipe_class(name), key)
            if actions or meaning:
                raise UserError("KEY", key, requirement, actions[0] if actions else f"did you mean {meaning}?")
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


def _on_one_line(text: str | None) -> str:
    """Return a docstring as one line; empty for None."""
    return " ".join((text or "").split())


def _first_sentence(text: str) -> str:
    """Return the first sentence or clause of a description, on one line."""
    line = _on_one_line(text)
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
        rows.append([_key_cell(entry), entry.type_text, _default_cell(entry, entries), _description_cell(entry)])
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
        default = f"`{entry.default}`" if entry.default else ""
        rows.append([_key_cell(entry), entry.type_text, default, _description_cell(entry)])
    documentation = _on_one_line(block_entry.block.__doc__)
    return "\n".join([f"### {block_entry.block.__name__}", "", documentation, "", *_markdown_table(rows)])


def _description_cell(entry: FieldEntry) -> str:
    """Return the description of a field, and whether it may change when a run is resumed."""
    return f"{entry.description} It {entry.resume}." if entry.resume else entry.description


def _key_cell(entry: FieldEntry) -> str:
    """Return the last name of a key; of a block, as a link to the block's section."""
    name = entry.key.rpartition(".")[2]
    if entry.block is None:
        return f"`{name}`"
    return f"[{name}](#{entry.block.__name__.lower()})"  # headings have their text in small letters as anchor


def _markdown_table(rows: list[list[str]]) -> list[str]:
    lines = ["| key | type | default | description |", "| --- | --- | --- | --- |"]
    for cells in rows:
        lines.append(f"| {' | '.join(_escape_cell(cell) for cell in cells)} |")
    return lines


def _escape_cell(text: str) -> str:
    """Escape bars, which end a cell, and tags such as <think>, which are HTML unless they are in backquotes."""
    pieces = text.replace("|", "\\|").split("`")
    # Every second piece is within backquotes, where nothing is read as HTML.
    pieces[::2] = [piece.replace("<", "&lt;") for piece in pieces[::2]]
    return "`".join(pieces)
