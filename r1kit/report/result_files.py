"""What evaluations have measured, from eval.json and scaling.json, for the page of `r1kit report`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict  # pydantic needs this one below Python 3.12

from r1kit.runs.reading import Count, is_valid, read_json_object, warn_of_damage
from r1kit.scaling.methods import method_colour

FiniteNumber = Annotated[float, Field(allow_inf_nan=False)]


# The parts of eval.json and scaling.json that the page is made of. Keys such as `pass@1` are no names in Python.
_Accuracy = TypedDict(
    "_Accuracy", {"pass@1": FiniteNumber | None, "interval": NotRequired[FiniteNumber | None]}, total=False
)
_Statistics = TypedDict(
    "_Statistics",
    {
        "pass@1": FiniteNumber | None,
        "interval": NotRequired[FiniteNumber | None],
        "questions": NotRequired[Count | None],
        "unanswered": NotRequired[Count | None],
        "truncated": NotRequired[FiniteNumber | None],
        "domains": NotRequired[dict[str, _Accuracy] | None],
    },
)


class _LadderRow(TypedDict):
    model: str
    path: str
    faults: NotRequired[Count | None]
    statistics: _Statistics


class BenchmarkFigure(TypedDict):
    model: str
    benchmark: str
    metric: str
    program: str
    score: FiniteNumber | None
    interval: FiniteNumber | None
    questions: Count | None
    samples: Count | None
    published: dict[str, FiniteNumber]
    sources: list[str]


class _ScalingPoint(TypedDict):
    method: str
    score: str | None


class _Difference(TypedDict):
    difference: FiniteNumber
    low: FiniteNumber
    high: FiniteNumber


class _RecommendedMethod(TypedDict):
    method: str
    name: str
    tokens: FiniteNumber
    accuracy: FiniteNumber
    low: FiniteNumber
    high: FiniteNumber
    over_greedy: _Difference | None


class _ScalingModel(TypedDict):
    points: list[_ScalingPoint]
    recommended: NotRequired[list[_RecommendedMethod]]


def describe_ladder(file: Path, parents: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]] | None:
    """Return the evaluated models of eval.json, each with the name of the run that trained it; None without any."""
    run_names = {parent["path"]: parent["run"] for parent in parents}
    rows = []
    for row in read_entries(file, "models", _LadderRow):
        rows.append({**row, "run": run_names.get(row["path"])})
    return rows or None


def describe_scaling(file: Path) -> list[dict[str, Any]] | None:
    """Return the curves of scaling.json, each point with the colour of its method in the pictures of `r1kit eval`."""
    models = []
    for model in read_entries(file, "models", _ScalingModel):
        points = [{**point, "colour": method_colour(point["method"], point["score"])} for point in model["points"]]
        models.append({**model, "points": points})
    return models or None


def read_entries(file: Path, name: str, schema: type) -> list[dict[str, Any]]:
    """Return the entries of a list in a JSON file that have the types of `schema`; a warning names the file of others.

    [] where the file or the list is missing.
    """
    entries = read_json_object(file).get(name)
    if not isinstance(entries, list):
        return []
    valid_entries = [entry for entry in entries if is_valid(entry, schema)]
    if len(valid_entries) < len(entries):
        warn_of_damage(file, f"{len(entries) - len(valid_entries)} of its {name} are not as r1kit writes them")
    return valid_entries


def describe_benchmarks(file: Path) -> list[dict[str, Any]] | None:
    """Return the figures of benchmarks in eval.json; None without any."""
    return read_entries(file, "suite", BenchmarkFigure) or None
