"""The block `data`: which data sets a stage reads, and how their columns become r1kit's."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from r1kit.recipe.block import Block, PositiveFraction, PositiveInt, Seed, expand_path


def accept_short_sources(schema: dict[str, Any]) -> None:
    """Change the JSON schema of a list of sources so that it accepts one source, or its path, instead of a list."""
    source = schema.pop("items")
    path = {"type": "string"}
    schema.pop("type", None)
    schema["anyOf"] = [path, source, {"type": "array", "items": {"anyOf": [path, source]}}]


class SourceConfig(Block):
    """A data set: a hub id, a local file or folder, a run directory, or rows that r1kit generates.

    Generated are `world:NAME` (the toy world of the tiny models), `reasoning_gym:TASK` and `self-cognition:NAME`.
    """

    path: str
    """Where the rows come from, such as org/dataset, rows.jsonl, runs/dev1 or world:arithmetic."""
    name: str | None = None
    """Configuration of a data set on the hub, such as `en`; default: its only one."""
    revision: str | None = None
    """Version of a data set on the hub: a commit, a tag or a branch; default: the newest."""
    split: str = "train"
    """Split of the data set to read, such as train or test."""
    rows: PositiveInt | None = None
    """Largest number of rows to take, drawn at random with `seed`; default: all."""
    share: PositiveFraction | None = None
    """Fraction of the mixed data set taken from this source. If one source sets it, all must, and they sum to 1."""
    seed: Seed = 0
    """Seed for drawing `rows` and for generated rows."""
    stream: bool = False
    """Read the data set row by row, for one larger than memory: `rows` are drawn from a moving window, and the rest of
    the data set is not read."""
    broken: Literal["stop", "skip"] = "stop"
    """What to do about a line of JSONL that cannot be parsed: `stop` ends the stage, `skip` leaves it out and reports
    how many were."""
    adapter: str | None = None
    """How the columns of a known data set are translated (a name in r1kit/data/adapters); default: chosen by the
    columns. `none` leaves the columns as they are."""
    settings: dict[str, Any] = {}
    """Settings of a generated source: those of the reasoning_gym task, or the names for self-cognition."""
    columns: dict[str, str] = {}
    """Columns to rename, as new: old; {prompt: problem} makes `prompt` from the column `problem`."""
    values: dict[str, Any] = {}
    """Columns that have the same value in all rows of this source, such as domain: math."""
    where: dict[str, list[Any]] = {}
    """Rows to take, as column: allowed values, such as {language: [en, zh]}; applied before rows are drawn."""

    _expand_path = field_validator("path")(expand_path)


Sources = Annotated[list[SourceConfig], Field(json_schema_extra=accept_short_sources)]


def normalise_sources(values: Any, keys: Sequence[str] = ("train", "eval")) -> Any:
    """Return a block in which each of `keys` is a list of mappings; a source may be given alone, or as its path.

    {"train": "rows.jsonl"} becomes {"train": [{"path": "rows.jsonl"}]}
    """
    if not isinstance(values, dict):
        return values
    values = dict(values)
    for key in keys:
        sources = values.get(key)
        if isinstance(sources, str | dict):
            sources = [sources]
        if isinstance(sources, list):
            values[key] = [{"path": source} if isinstance(source, str) else source for source in sources]
    return values


class DataConfig(Block):
    """The data sets that a stage trains on, samples for or evaluates on."""

    train: Sources = []
    """Data sets to train on, or whose problems are sampled; they are joined and shuffled with the recipe's seed."""
    eval: Sources = []
    """Held-out data sets: the problems of `eval`, or rows on which a training is evaluated now and then."""
    rows: PositiveInt | None = None
    """Number of rows of the mixed data set, where the sources of `train` set `share`; default: as many as the shares
    allow."""

    @model_validator(mode="before")
    @classmethod
    def _accept_short_sources(cls, values: Any) -> Any:
        return normalise_sources(values)
