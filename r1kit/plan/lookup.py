"""What a recipe names as its model or its data, as far as it is known before anything has run.

A model is a shipped config, a local folder, a run, a config in the hub's cache, or the output of another stage: one
that has been planned before (a chain), or one whose recipe is in the same folder. So is a data set. Nothing is fetched.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r1kit.data.sources.generated import DEFAULT_ROWS, is_generated_source
from r1kit.errors import UserError
from r1kit.heavy_imports import heavy_imports
from r1kit.plan.assumptions import CHARACTERS_PER_TOKEN, UNKNOWN_ROWS, passing_rows, sampled_row_tokens
from r1kit.plan.shape import ModelShape, shape_by_transformers, shape_from_dict, shape_of_config
from r1kit.recipe import ModelConfig, SourceConfig
from r1kit.recipe.data import normalise_sources
from r1kit.recipe.yaml_values import read_yaml
from r1kit.runs.paths import PACKAGE_DIR, SHIPPED_MODELS

MAX_STAGES_BACK = 12
"""Recipes that are followed back from a model to the one that its pipeline starts from."""
LARGEST_FILE_READ = 2**28
# Rows of data sets on the hub that shipped recipes and suites name, by path and configuration, as their pages say.
HUB_ROWS = {
    "open-r1/DAPO-Math-17k-Processed": 14_116,
    "HuggingFaceH4/MATH-500": 500,
    "HuggingFaceH4/aime_2024": 30,
    "opencompass/AIME2025": 15,
    "math-ai/aime25": 30,
    "math-ai/amc23": 40,
    "openai/gsm8k": 1_319,  # the test set
    "Idavidrein/gpqa": 198,
    "cais/mmlu": 14_042,
    "edinburgh-dawg/mmlu-redux-2.0": 5_700,
    "TIGER-Lab/MMLU-Pro": 12_032,
    "google/IFEval": 541,
    "openai/openai_humaneval": 164,
    "google-research-datasets/mbpp": 500,
    "ceval/ceval-exam": 1_346,
    "allenai/ai2_arc": 1_172,
}


@dataclass(frozen=True)
class PlannedOutput:
    """What a planned stage will have made: a model or rows."""

    shape: ModelShape | None = None
    rows: int | None = None
    mean_tokens: float | None = None
    """Tokens of a row, prompt and completion."""


@dataclass
class Lookup:
    """Where models and data are looked for beside this machine's files, and what was assumed on the way."""

    folder: Path | None = None
    """Folder of the recipe, whose other recipes may make what this one reads."""
    outputs: Mapping[str, PlannedOutput] = field(default_factory=dict)
    """Planned runs by their paths."""
    likes: Mapping[str, str] = field(default_factory=dict)
    """Models to take for others, as the option --like names them."""
    notes: list[str] = field(default_factory=list)
    depth: int = 0
    """Recipes that have been followed back at the moment."""

    def note(self, text: str) -> None:
        """Add a note once."""
        if text not in self.notes:
            self.notes.append(text)


def find_shape(block: ModelConfig, path: str | None, lookup: Lookup, field_name: str = "model.path") -> ModelShape:
    """Return the shape of the model at `path`, or of the recipe's own.

    Raises UserError, which names `field_name`, for a model of which nothing is known here.
    """
    name = path or block.path or ""
    for _ in range(MAX_STAGES_BACK):
        name = lookup.likes.get(name, name)
        planned = lookup.outputs.get(name)
        if planned is not None and planned.shape is not None:
            return planned.shape
        if block.new is not None or Path(name).exists() or name in SHIPPED_MODELS:
            break
        earlier = find_recipe(name, lookup.folder)
        if earlier is None:
            break
        model = earlier.get("model") or {}
        model = {"path": model} if isinstance(model, str) else model
        if model.get("new"):
            block = ModelConfig(new=model["new"])
            break
        name = str(model.get("path") or "")
    shape = _shape_without_transformers(block, name)
    return shape or _shape_by_transformers(block, name, field_name)


def find_recipe(output: str, folder: Path | None) -> dict[str, Any] | None:
    """Return the recipe in `folder` whose output is the run `output`; None where there is none."""
    if folder is None or not output:
        return None
    for file in sorted(folder.glob("*.yaml")):
        try:
            values = read_yaml(file.read_text())
        except Exception:  # a file that is no recipe, or one that is being written
            continue
        if isinstance(values, dict) and values.get("output") == output:
            return values
    return None


def _shape_without_transformers(block: ModelConfig, name: str) -> ModelShape | None:
    config = _read_config(block, name)
    return None if config is None else shape_of_config(config)


def _read_config(block: ModelConfig, name: str) -> dict[str, Any] | None:
    """Return the config.json of a model that is on this machine; None where it takes transformers to find one."""
    if block.new is not None:
        return {"model_type": block.new.type, "vocab_size": block.new.vocab_size, **block.new.settings}
    folder = SHIPPED_MODELS.get(name, Path(name))
    candidates = (
        PACKAGE_DIR / "configs" / f"{name.replace('/', '--')}.json",
        folder / "config.json",
        folder / "model" / "config.json",
    )
    for file in candidates:
        if file.is_file():
            try:
                config = json.loads(file.read_text())
            except ValueError:
                return None
            return config if isinstance(config, dict) else None
    return None


def _shape_by_transformers(block: ModelConfig, name: str, field_name: str) -> ModelShape:
    with heavy_imports():
        from r1kit.models.size import UnknownSizeError, count_parameters, load_config
    if not name and block.new is None:
        raise UserError(field_name, None, "a plan needs a model", "set it")
    try:
        config = load_config(block, name)
        return shape_by_transformers(config, count_parameters(config).total)
    except UnknownSizeError as error:
        action = "pass --like with a model whose config is here, such as --like " + f"{name}=Qwen/Qwen2.5-7B"
        raise UserError(field_name, name, f"is not known here: {error}", action) from None


def count_rows(sources: list[SourceConfig], lookup: Lookup, label: str, total: int | None = None) -> PlannedOutput:
    """Return how many rows the sources have together, and the mean tokens of those that are known.

    `total` is the recipe's `data.rows`. A source of which nothing is known has UNKNOWN_ROWS, which is noted.
    """
    rows, counted_rows, counted_tokens = 0, 0, 0.0
    for index, source in enumerate(sources):
        planned = _look_at_source(source, lookup)
        count = planned.rows
        if count is None:
            count = source.rows or UNKNOWN_ROWS
            if source.rows is None:
                hint = f"set {label}.{index}.rows for another number"
                lookup.note(f"{source.path} is taken to have {UNKNOWN_ROWS:,} rows, since it is not here; {hint}")
        count = min(count, source.rows) if source.rows else count
        rows += count
        if planned.mean_tokens is not None:
            counted_rows += count
            counted_tokens += count * planned.mean_tokens
    mean_tokens = counted_tokens / counted_rows if counted_rows else None
    return PlannedOutput(rows=total or rows, mean_tokens=mean_tokens)


def _look_at_source(source: SourceConfig, lookup: Lookup) -> PlannedOutput:
    path = source.path
    if path in lookup.outputs:
        return lookup.outputs[path]
    if is_generated_source(path):
        return PlannedOutput(rows=source.rows or DEFAULT_ROWS)
    local = Path(path)
    if (local / "data").is_dir():
        local = local / "data"
    if local.exists():
        return _count_local_rows(local)
    earlier = find_recipe(path, lookup.folder)
    if earlier is not None:
        return _rows_of_recipe(earlier, lookup)
    return PlannedOutput(rows=HUB_ROWS.get(path))


def _rows_of_recipe(values: dict[str, Any], lookup: Lookup) -> PlannedOutput:
    """Return the rows that the recipe of a stage `generate` or `data` will make."""
    data = normalise_sources(values.get("data"))
    if lookup.depth >= MAX_STAGES_BACK or not isinstance(data, dict):
        return PlannedOutput()
    sources = data.get("train") or []
    try:
        parsed = [SourceConfig(**source) for source in sources]
    except (TypeError, ValueError):
        return PlannedOutput()
    lookup.depth += 1
    rows = count_rows(parsed, lookup, "data.train", data.get("rows"))
    lookup.depth -= 1
    sampling = values.get("sampling")
    if not isinstance(sampling, dict):
        return rows
    keep = values.get("keep") or {}
    samples, max_tokens = int(sampling.get("samples", 4)), int(sampling.get("max_tokens", 1024))
    rows_left = passing_rows(rows.rows or 0, samples, keep.get("per_prompt"))
    lookup.note(f"half of the completions of {values['output']} are taken to pass the filters: {rows_left:,} rows")
    return PlannedOutput(rows=rows_left, mean_tokens=sampled_row_tokens(max_tokens))


def _count_local_rows(path: Path) -> PlannedOutput:
    """Return the rows of a file or folder of JSONL and Parquet, and their mean tokens by the size of their text."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    rows, text_bytes = 0, 0
    for file in files:
        if file.suffix == ".parquet":
            import pyarrow.parquet as pq

            metadata = pq.read_metadata(file)
            rows += metadata.num_rows
            text_bytes += sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
        elif file.suffix == ".jsonl" and file.stat().st_size <= LARGEST_FILE_READ:
            content = file.read_bytes()
            rows += len(re.findall(rb"\S[^\n]*", content))
            text_bytes += len(content)
    if not rows:
        return PlannedOutput()
    return PlannedOutput(rows=rows, mean_tokens=text_bytes / rows / CHARACTERS_PER_TOKEN)


def output_from_dict(values: dict[str, Any]) -> PlannedOutput:
    """Return the planned output that `output_to_dict` has written."""
    shape = values.get("shape")
    return PlannedOutput(shape_from_dict(shape) if shape else None, values.get("rows"), values.get("mean_tokens"))


def output_to_dict(output: PlannedOutput) -> dict[str, Any]:
    """Return a planned output as JSON holds it."""
    return {**output.__dict__, "shape": output.shape.to_dict() if output.shape else None}
