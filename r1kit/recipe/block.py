"""What the blocks of a recipe are built from: their base class, common types, and the rules of resuming.

A block is a pydantic model that refuses unknown keys. Each field is described by the text under it, from which
r1kit.recipe.reference makes the reference page, `r1kit fields` and the JSON schema.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic.fields import FieldInfo

from r1kit.user_paths import expand_home

# The largest whole number that every library takes, and that a float holds exactly.
MAX_INT = 2**53
PositiveInt = Annotated[int, Field(gt=0)]
NonNegativeInt = Annotated[int, Field(ge=0)]
# The most samples of one prompt, or draws to average over: more would fill the memory before the first is drawn.
MAX_DRAWS = 1_000_000
DrawCount = Annotated[int, Field(gt=0, le=MAX_DRAWS)]
NonNegativeDrawCount = Annotated[int, Field(ge=0, le=MAX_DRAWS)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]  # NumPy takes no larger one, and some seeds are counted up from it
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
# Divided by less than this, logits become infinite in the number formats of models.
SMALLEST_TEMPERATURE = 0.001


def _check_temperature(value: float) -> float:
    if 0 < value < SMALLEST_TEMPERATURE:
        raise ValueError(f"must be 0 or at least {SMALLEST_TEMPERATURE}")
    return value


Temperature = Annotated[float, Field(ge=0, le=1000), AfterValidator(_check_temperature)]
PositiveTemperature = Annotated[float, Field(ge=SMALLEST_TEMPERATURE, le=1000)]
Fraction = Annotated[float, Field(ge=0, le=1)]
PositiveFraction = Annotated[float, Field(gt=0, le=1)]


class OnResume(Enum):
    """How a field may differ from the recipe of the run when the same command is given again.

    The rule stands in the field's type: `steps: Annotated[PositiveInt | None, OnResume.MAY_GROW]`. A field without a
    rule must stay as it was, since the run's samples or weights depend on it. Where blocks are nested, the innermost
    rule counts.
    """

    MAY_CHANGE = "may change when the run is resumed"
    MAY_GROW = "may grow when the run is resumed"
    MAY_GROW_OR_BE_REMOVED = "may grow or be removed when the run is resumed"
    IGNORED = "may change at any time, because a run's results do not depend on it"


@dataclass(frozen=True)
class KeysMayChange:
    """The keys of a field with free keys (`trl`, or the entries of `rewards`) that may change on resume."""

    keys: frozenset[str]


class NumbersAsWritten(BaseModel):
    """A model whose numbers must be finite: neither infinity nor NaN, nor beyond MAX_INT; and not `yes`, which is 1."""

    model_config = ConfigDict(allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _check_number(cls, value: Any, info: ValidationInfo) -> Any:
        types = all_types(cls.model_fields[info.field_name or ""].annotation)
        if types & {int, float}:
            _check_numbers(value, may_be_bool=bool(types & {bool, Any}))
        return value


def _check_numbers(value: Any, may_be_bool: bool) -> None:
    """Raise ValueError where a number, or a member of a list of numbers, is true, false or beyond MAX_INT."""
    if isinstance(value, list | tuple):
        for item in value:
            _check_numbers(item, may_be_bool)
    elif isinstance(value, bool):
        if not may_be_bool:
            raise ValueError("must be a number, not true or false")
    elif isinstance(value, int) and abs(value) > MAX_INT:
        raise ValueError(f"must be at most {MAX_INT}")


def all_types(annotation: Any) -> set[Any]:
    """Return the types that a field's type is made of: {int, NoneType} for `PositiveInt | None`."""
    inner_types = get_args(annotation)
    return set().union(*map(all_types, inner_types)) if inner_types else {annotation}


def expand_path(value: Any) -> Any:
    """Return the value of a field that holds a path, with the home folder in the place of `~`; it must not be empty."""
    if isinstance(value, str) and not value.strip():
        raise ValueError("must not be empty")
    return expand_home(value) if isinstance(value, str) else value


# What stands in the place of a block that a recipe may leave out: the block with its defaults, or none.
_SWITCHES = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class Block(NumbersAsWritten):
    """A block of a recipe. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _merge_with_default_blocks(cls, values: Any) -> Any:
        """Put a nested block over that block's default, so that setting one of its keys does not reset the others.

        For a block that a recipe may leave out, `true` is that block with its defaults, and `false` is none:
        `lora: true`.
        """
        if not isinstance(values, dict):
            return values
        merged = dict(values)
        for name, value in values.items():
            field = cls.model_fields.get(name)
            default = field.default if field else None
            if isinstance(default, Block) and isinstance(value, dict):
                merged[name] = {**default.model_dump(include=default.model_fields_set), **value}
            elif field and default is None and str(value).lower() in _SWITCHES and is_optional_block(field):
                merged[name] = {} if _SWITCHES[str(value).lower()] else None
        return merged


def is_optional_block(field: FieldInfo) -> bool:
    """Return whether a field is a block or nothing, as `lora: LoraConfig | None`, and the block needs no value."""
    block = find_block_class(field.annotation)
    if block is None or set(get_args(field.annotation)) != {block, NoneType}:
        return False
    return not any(inner.is_required() for inner in block.model_fields.values())


def find_block_class(annotation: Any) -> type[BaseModel] | None:
    """Return the block within a field's type, such as SourceConfig in `list[SourceConfig]`; None without one."""
    inner_types = get_args(annotation)
    if not inner_types:
        is_block = isinstance(annotation, type) and issubclass(annotation, BaseModel)
        return annotation if is_block else None
    for inner_type in inner_types:
        block = find_block_class(inner_type)
        if block is not None:
            return block
    return None


def fields_along(block: type[BaseModel], key: str) -> Iterator[tuple[str, FieldInfo]]:
    """Yield each name in a dotted key with its field, from the outermost block inwards.

    Positions in lists and names of blocks are stepped over: `data.train.0.rows` yields `data`, `train` and `rows`,
    `models.R1.server` yields `models` and `server`. It ends where a name is no field of a block, such as at a column's
    name within `where`.
    """
    current: type[BaseModel] | None = block
    has_named_blocks = False
    for name in key.split("."):
        is_name_of_block = has_named_blocks and current is not None and name not in current.model_fields
        has_named_blocks = False
        if name.isdigit() or is_name_of_block:
            continue
        if current is None or name not in current.model_fields:
            return
        field = current.model_fields[name]
        yield name, field
        current = find_block_class(field.annotation)
        has_named_blocks = get_origin(field.annotation) is dict


def find_resume_rule(block: type[BaseModel], key: str) -> OnResume | None:
    """Return the rule of the field at a dotted key of a recipe; None where the field must stay as it was.

    find_resume_rule(SFTRecipe, "training.steps")   OnResume.MAY_GROW
    """
    rule = None
    for name, field in fields_along(block, key):
        for marker in field.metadata:
            if isinstance(marker, OnResume):
                rule = marker
            elif isinstance(marker, KeysMayChange):
                inner_names = [inner for inner in key.partition(f"{name}.")[2].split(".") if not inner.isdigit()]
                if inner_names and inner_names[0] in marker.keys:
                    rule = OnResume.MAY_CHANGE
    return rule


def fields_with_rule(block: type[BaseModel], rule: OnResume) -> frozenset[str]:
    """Return the names of a block's own fields that have a rule."""
    return frozenset(name for name, field in block.model_fields.items() if rule in field.metadata)


def value_with_origin(block: Block, name: str) -> object:
    """Return the value of a field for an error, which says where the user did not set it but has the default."""
    value = getattr(block, name)
    return value if name in block.model_fields_set else f"{value} (the default)".lower()
