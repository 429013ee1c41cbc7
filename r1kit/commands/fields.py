"""`r1kit fields [STAGE] [KEY]` and `r1kit schema STAGE`: describe the recipe of a stage to people and to editors.

r1kit fields                              the stages
r1kit fields sft                          the keys of the recipe of sft
r1kit fields sft training.steps           one field: what it means, its type and its default
r1kit fields group_size                   the same in every stage that has it
r1kit schema sft > sft.json               for an editor: `# yaml-language-server: $schema=sft.json`
"""

import json
import textwrap

from r1kit.errors import UserError, suggest
from r1kit.recipe.reference import describe_field, json_schema, list_fields
from r1kit.stages import STAGES
from r1kit.tables import Cell, format_table


def print_fields(stage_or_key: str | None, key: str | None, width: int | None = None) -> None:
    """Print the stages, the keys of a stage's recipe, or one field; lines are wrapped to `width`.

    Raises UserError for an unknown stage and for a key that no recipe has.
    """
    if stage_or_key is None:
        rows = [[stage.name, stage.summary] for stage in STAGES.values()]
        print(format_table(["stage", "what it does"], rows, width=width, wrap=["what it does"]))
        print("\nr1kit fields STAGE lists the keys of its recipe.")
        return
    if key is None and stage_or_key in STAGES:
        print(_list_keys(stage_or_key, width))
        return
    if key is None:
        print(_wrap_lines(_describe_in_all_stages(stage_or_key), width))
        return
    _check_stage(stage_or_key)
    print(_wrap_lines(describe_field(stage_or_key, key), width))


def print_schema(stage: str) -> None:
    """Print the JSON schema of a stage's recipe. Raises UserError for an unknown stage."""
    _check_stage(stage)
    print(json.dumps(json_schema(stage), indent=2, ensure_ascii=False))


def _check_stage(stage: str) -> None:
    if stage not in STAGES:
        raise UserError("STAGE", stage, "no such stage", suggest(stage, STAGES))


def _list_keys(stage: str, width: int | None) -> str:
    """Return a table of the outermost keys of a stage's recipe."""
    rows: list[list[Cell]] = []
    for entry in list_fields(stage):
        if "." not in entry.key:
            rows.append([entry.key, entry.type_text, entry.default or None, entry.description])
    wrapped_columns = ("type", "default", "description")
    table = format_table(["key", "type", "default", "description"], rows, width=width, wrap=wrapped_columns)
    return f"{table}\n\nr1kit fields {stage} KEY describes one of them, and lists the fields of a block."


def _describe_in_all_stages(key: str) -> str:
    """Return the description of a field in every stage that has it, or the way to a stage of a similar name."""
    try:
        return describe_field(None, key)
    except UserError:
        action = suggest(key, STAGES)
        if action.startswith("did you mean"):
            raise UserError("STAGE", key, "no such stage or key", action) from None
        raise


def _wrap_lines(text: str, width: int | None) -> str:
    """Return `text` with each line wrapped to `width` columns below its own indentation."""
    if width is None:
        return text
    lines = []
    for line in text.splitlines():
        indent = " " * (len(line) - len(line.lstrip()))
        lines += textwrap.wrap(line, width, subsequent_indent=f"{indent}  ", break_on_hyphens=False) or [""]
    return "\n".join(lines)
