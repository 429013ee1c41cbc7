"""The commands that a user may type after a stage, with the paths of the run that has just ended.

    next_commands(run, recipe)
    ["r1kit chat runs/zero", "r1kit report runs/zero", "r1kit generate --model runs/zero --dataset p.jsonl ..."]

The stage that follows is the one of DeepSeek-R1's pipeline. A word in capitals, such as DATA, stands for what r1kit
cannot know.
"""

import shlex
from pathlib import Path
from typing import Any

import yaml

from r1kit.prompts import AUTO_TEMPLATE, PLAIN_TEMPLATES
from r1kit.recipe import (
    DataRecipe,
    EvalRecipe,
    GenerateRecipe,
    PromptConfig,
    Recipe,
    RewardModelRecipe,
    SFTRecipe,
    SourceConfig,
    VerifierRecipe,
)
from r1kit.runs.reading import read_json_object, read_parents, read_run_info
from r1kit.runs.run import Run

MAX_ANCESTORS = 12
"""Generations of runs that are followed back to the model that a pipeline started from."""


def next_commands(run: Run, recipe: Recipe | None) -> list[str]:
    """Return the commands that suit a finished run, the simplest first; none where its recipe cannot be read."""
    if recipe is None:
        return []
    path = str(run.path)
    report = _join("report", path)
    if isinstance(recipe, EvalRecipe):
        model = _best_model(run, recipe)
        if model is None or recipe.sampling.engine == "openai":
            return [report]
        return [_join("chat", model), report]
    if isinstance(recipe, VerifierRecipe):
        evaluate = _stage_command("eval", recipe.model.path, recipe.data.eval or recipe.data.train, "eval", run)
        return [report, f"{evaluate} {shlex.quote(f'scaling.verifier={path}')}{_length_of(recipe)}"]
    if isinstance(recipe, RewardModelRecipe):
        return [report]
    if isinstance(recipe, GenerateRecipe | DataRecipe):
        return [_join("data", "inspect", path), report, _command_after_data(run, recipe)]
    return [_join("chat", path), report, _command_after_training(run, recipe)]


def _command_after_training(run: Run, recipe: Recipe) -> str:
    """Return the stage after a training: R1-Zero makes data, a fine-tuned model has RL, all others are measured."""
    stage = read_run_info(run.path).get("stage")
    path = str(run.path)
    if stage == "rl-zero":
        return _stage_command("generate", path, recipe.data.train, "data", run) + _length_of(recipe)
    if stage == "sft" and recipe.model.new is None:
        problems = _problems_behind(recipe.data.train)
        command = _stage_command("rl", path, problems, "rl", run) + f" prompt.template={AUTO_TEMPLATE}"
        return command + _length_behind(recipe.data.train)
    if isinstance(recipe, SFTRecipe) and recipe.trains_on_rows:  # rows with completions are no problems to measure on
        held_out = [_as_test_split(source) for source in _problems_behind(recipe.data.train)]
    else:
        held_out = recipe.data.eval or [_as_test_split(source) for source in recipe.data.train]
    length = _length_of(recipe) or _length_behind(recipe.data.train)
    return _stage_command("eval", path, held_out, "eval", run) + length


def _length_of(recipe: Any) -> str:
    """Return the setting of the longest completion, where the recipe samples and sets it."""
    sampling = getattr(recipe, "sampling", None)
    if sampling is None or sampling.max_tokens == type(sampling).model_fields["max_tokens"].default:
        return ""
    return f" sampling.max_tokens={sampling.max_tokens}"


def _length_behind(sources: list[SourceConfig]) -> str:
    """Return the setting of the longest completion with which the rows of a source were sampled, if that is known."""
    for source in sources:
        try:
            values = yaml.safe_load((Path(source.path) / "recipe.yaml").read_text())
            return f" sampling.max_tokens={int(values['sampling']['max_tokens'])}"
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
            continue
    return ""


def _command_after_data(run: Run, recipe: GenerateRecipe | DataRecipe) -> str:
    """Return the fine-tuning on the rows of a run: of the model that the pipeline started from."""
    model = _first_ancestor(recipe.model.path) if isinstance(recipe, GenerateRecipe) else None
    if isinstance(recipe, DataRecipe) and not recipe.rewards and not _has_completions(run):
        return _stage_command("rl-zero", None, [SourceConfig(path=str(run.path))], "rl", run)
    command = _stage_command("sft", model, [SourceConfig(path=str(run.path))], "sft", run)
    template = recipe.prompt.template
    if isinstance(recipe, DataRecipe) and template == PromptConfig.model_fields["template"].default:
        return command  # the stage `data` asks no model, so that this is not the template of its rows
    return f"{command} prompt.template={template}" if template in PLAIN_TEMPLATES else command


def _has_completions(run: Run) -> bool:
    """Return whether the rows of a run have something to train on besides a question."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = sorted((run.path / "data").glob("*.parquet"))
    try:
        names = set(pq.read_schema(files[0]).names) if files else set()
    except (OSError, pa.ArrowException):
        return False
    return bool(names & {"completion", "messages", "text"})


def _stage_command(stage: str, model: str | None, sources: list[SourceConfig], suffix: str, run: Run) -> str:
    """Return a stage's command for a model and sources; its output is the run's path with `_suffix`."""
    key = "data.eval" if stage == "eval" else "data.train"
    words = ["--model", model or "MODEL"]
    if not sources:
        words += ["--dataset", "DATA"]
    elif all(_is_plain(source) for source in sources):
        for source in sources:
            words += ["--dataset", source.path]
    else:
        words.append(f"{key}={_dump_sources(sources)}")
    return _join(stage, *words, "--output", f"{run.path}_{suffix}")


def _is_plain(source: SourceConfig) -> bool:
    """Return whether the path says all of a source; how many rows were drawn of it is another run's affair."""
    return set(source.model_dump(exclude_defaults=True)) <= {"path", "rows", "seed"}


def _dump_sources(sources: list[SourceConfig]) -> str:
    """Return sources as YAML in one line, without fields that have their defaults."""
    values: list[dict[str, Any]] = [source.model_dump(exclude_defaults=True) for source in sources]
    return yaml.safe_dump(values, default_flow_style=True, width=float("inf"), sort_keys=False).strip()


def _as_test_split(source: SourceConfig) -> SourceConfig:
    """Return the rows of a generated source that are kept for tests; of any other source, the source as it is."""
    if source.path.startswith(("world:", "reasoning_gym:")) and source.path != "world:text":
        return source.model_copy(update={"split": "test"})
    return source


def _problems_behind(sources: list[SourceConfig]) -> list[SourceConfig]:
    """Return the problems that the rows of sources were sampled from, as far as these are runs of `generate`."""
    problems: dict[str, SourceConfig] = {}
    for source in sources:
        for parent in read_parents(read_run_info(Path(source.path))) if Path(source.path).is_dir() else []:
            if parent["role"] == "data":
                problems.setdefault(parent["path"], SourceConfig(path=parent["path"]))
    return list(problems.values())


def _first_ancestor(model: str | None) -> str | None:
    """Return the model that a pipeline started from: that of a run's parents that is itself no run."""
    for _ in range(MAX_ANCESTORS):
        parents = read_parents(read_run_info(Path(model))) if model and Path(model).is_dir() else []
        models = [parent["path"] for parent in parents if parent["role"] == "model"]
        if not models:
            return model
        model = models[0]
    return model


def _best_model(run: Run, recipe: EvalRecipe) -> str | None:
    """Return the path of the model with the best pass@1 of an evaluation."""
    if not recipe.models:
        return recipe.model.path
    best, best_rate = None, -1.0
    models = read_json_object(run.path / "eval.json").get("models")
    for row in models if isinstance(models, list) else []:
        statistics = row.get("statistics") if isinstance(row, dict) else None
        rate = statistics.get("pass@1") if isinstance(statistics, dict) else None
        if isinstance(rate, int | float) and rate > best_rate:
            best, best_rate = row.get("path"), rate
    return best


def _join(*words: str) -> str:
    return shlex.join(["r1kit", *words])
