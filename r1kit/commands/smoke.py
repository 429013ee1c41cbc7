"""`r1kit STAGE --smoke`: try any recipe in about two minutes on this machine, with its output aside.

    r1kit rl-zero recipes/qwen2.5-7b/rl_zero.yaml --smoke

The stage runs as it would, with few rows, few steps and short completions (r1kit.recipe.smoke), in OUTPUT.smoke. What
this machine cannot hold or reach is replaced, and each replacement is a note: a large model by a small one of the same
architecture with random weights, an earlier run by its own smoke run (or by a shipped model or generated rows), a data
set of the hub without a network by generated rows. The small models are in OUTPUT.smoke.models. A second smoke run
replaces the first.
"""

from pathlib import Path
from typing import Any, TypeVar

from r1kit.heavy_imports import heavy_imports
from r1kit.launchers import count_processes
from r1kit.models.prompt_choice import choose_prompts
from r1kit.preflight.stand_ins import (
    STAND_IN_EXAMPLES,
    STAND_IN_MODEL,
    STAND_IN_PROBLEMS,
    find_smoke_run,
    find_tokenizer,
    is_hub_reachable,
    read_config,
    replace_engine,
    replace_rewards,
    replace_source,
    replace_tokens,
    replace_vllm,
    with_chat_template,
    without_gpu_settings,
    without_left_out_rewards,
)
from r1kit.prompts import CHAT_TEMPLATE
from r1kit.recipe import (
    DistillRecipe,
    EvalRecipe,
    GenerateRecipe,
    ModelConfig,
    Recipe,
    SFTRecipe,
    SourceConfig,
    TrainingRecipe,
    VerifierRecipe,
    check_recipe,
)
from r1kit.recipe.smoke import OUTPUT_SUFFIX, SMOKE_PROBLEMS, shrink_recipe, shrink_source
from r1kit.runs.paths import SHIPPED_MODELS
from r1kit.runs.trained_prompt import read_trained_prompt, write_trained_prompt

LARGEST_CPU_MODEL = 30_000_000
"""The most parameters of a model that a smoke run trains or samples on a CPU."""
GPU_MEMORY_FRACTION = 0.4
"""The fraction of a GPU's free memory that weights, gradients and optimizer may take in a smoke run."""
BYTES_PER_PARAMETER = 20
"""Weights, gradients, AdamW's moments and a reference model, in float32."""
STAND_IN_BENCHMARK = SourceConfig(path="world:facts")

AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)


def prepare_smoke_run(
    recipe: AnyRecipe, processes: int | None, accelerate_config: str | None, load_models: bool
) -> tuple[AnyRecipe, list[str]]:
    """Return the recipe of a smoke run with its prompts chosen, and notes on what it leaves out or replaces.

    `processes` and `accelerate_config` are the options of the command. Without `load_models`, prompts that depend on a
    model's tokenizer are not chosen.
    """
    small, notes = make_smoke_recipe(recipe, count_processes(processes, accelerate_config))
    small, prompt_notes = choose_prompts(small, load_models)
    return small, notes + prompt_notes


def make_smoke_recipe(recipe: AnyRecipe, processes: int = 1) -> tuple[AnyRecipe, list[str]]:
    """Return the recipe of a smoke run, which `processes` processes share, and notes on what was replaced."""
    small = shrink_recipe(recipe, processes)
    notes = [f"a smoke run: few rows, few steps, short completions; {recipe.output} is not touched"]
    changes: dict[str, Any] = {}
    if getattr(recipe, "journey", None) is not None:
        notes.append("journey is left out: it needs right and wrong completions of the same problem")
    if isinstance(small, GenerateRecipe | EvalRecipe | VerifierRecipe):
        changes["sampling"] = replace_engine(small.sampling, notes)
    if isinstance(small, TrainingRecipe):
        changes["trl"] = replace_vllm(small.trl, notes)
    changes |= _replace_data(small, notes)
    changes |= _replace_models(small, notes)
    if "trl" in changes and changes.get("model", small.model).path != small.model.path:
        changes["trl"] = replace_tokens(changes["trl"], changes["model"], notes)
    if "rewards" in type(small).model_fields:
        rewards = replace_rewards(small, notes)
        small = small.model_copy(update=changes)
        changes = {"rewards": rewards, **without_left_out_rewards(small, rewards)}
    small = small.model_copy(update=changes)
    check_recipe(small)
    return small, notes


# Data


def _replace_data(recipe: Recipe, notes: list[str]) -> dict[str, Any]:
    """Return the changes to the blocks that name data sets."""
    needs_examples = isinstance(recipe, SFTRecipe) and recipe.trains_on_rows
    stand_in = STAND_IN_EXAMPLES if needs_examples else STAND_IN_PROBLEMS
    data = {}
    for role in ("train", "eval"):
        sources = getattr(recipe.data, role)
        data[role] = [
            replace_source(source, f"data.{role}.{index}", stand_in, notes) for index, source in enumerate(sources)
        ]
    if isinstance(recipe, EvalRecipe) and recipe.suite:
        suite = _keep_readable_benchmarks(recipe, notes)
        if not suite:
            data["eval"] = [stand_in.model_copy(update={"rows": SMOKE_PROBLEMS})]
            notes.append(f"rows of {stand_in.path} take the place of the benchmarks")
        return {"data": recipe.data.model_copy(update=data), "suite": suite}
    changes: dict[str, Any] = {"data": recipe.data.model_copy(update=data)}
    hygiene = getattr(recipe, "hygiene", None)
    if hygiene is not None and hygiene.decontaminate:
        benchmarks = []
        for index, source in enumerate(hygiene.decontaminate):
            field = f"hygiene.decontaminate.{index}"
            benchmarks.append(replace_source(shrink_source(source), field, STAND_IN_BENCHMARK, notes))
        changes["hygiene"] = hygiene.model_copy(update={"decontaminate": benchmarks})
    return changes


def _keep_readable_benchmarks(recipe: EvalRecipe, notes: list[str]) -> dict[str, Any]:
    """Return the benchmarks of a suite that can be read: those on this machine, and all where the hub is reachable."""
    readable_benchmarks = {}
    for name, benchmark in recipe.suite.items():
        if Path(benchmark.path).exists() or is_hub_reachable():
            readable_benchmarks[name] = benchmark
        else:
            notes.append(f"suite.{name} = {benchmark.path} is left out, because the hub cannot be reached")
    return readable_benchmarks


# Models


def _replace_models(recipe: Recipe, notes: list[str]) -> dict[str, Any]:
    """Return the changes to the blocks that name models."""
    is_served = getattr(getattr(recipe, "sampling", None), "engine", None) == "openai"
    folder = Path(f"{recipe.output}.models")
    changes: dict[str, Any] = {}
    replaced_paths = set()
    if is_served:
        notes.append(f"the servers of sampling.server.urls are asked: {', '.join(recipe.sampling.server.urls)}")  # type: ignore[attr-defined]
    elif isinstance(recipe, EvalRecipe) and recipe.models:
        models = {}
        for name, evaluated in recipe.models.items():
            block = recipe.model.model_copy(update={"path": evaluated.path})
            path = replace_model(block, f"models.{name}", folder, CHAT_TEMPLATE, notes).path or ""
            replaced_paths |= {path} - {evaluated.path}
            models[name] = evaluated.model_copy(update={"path": path})
        changes["models"] = models
    elif recipe.model.path is not None:
        changes["model"] = replace_model(recipe.model, "model.path", folder, recipe.prompt.template, notes)
        replaced_paths |= {changes["model"].path} - {recipe.model.path}
    for name in ("refine", "journey"):
        teacher = getattr(recipe, name, None)
        if teacher is not None and teacher.model is not None and teacher.sampling.engine != "openai":
            model = replace_model(teacher.model, f"{name}.model.path", folder, teacher.prompt.template, notes)
            sampling = replace_engine(teacher.sampling, notes)
            changes[name] = teacher.model_copy(update={"model": model, "sampling": sampling})
    if isinstance(recipe, DistillRecipe) and recipe.teacher.path is not None:
        block = recipe.teacher.to_model_config()
        teacher = replace_model(block, "teacher.path", folder, recipe.prompt.template, notes)
        own_fields = {name: getattr(teacher, name) for name in ("path", "revision", "dtype", "attention")}
        changes["teacher"] = recipe.teacher.model_copy(update=own_fields)
    if isinstance(recipe, EvalRecipe) and recipe.scaling is not None and recipe.scaling.verifier:
        changes["scaling"] = _replace_verifier(recipe, bool(replaced_paths), notes)
    return changes


def replace_model(block: ModelConfig, field: str, folder: Path, template: str, notes: list[str]) -> ModelConfig:
    """Return the block of a model that this machine can train within seconds: the same one, or a small one.

    Small models are written below `folder`. `template` is the recipe's prompt template: a model that is asked by its
    chat template needs one.
    """
    with heavy_imports():
        import torch
    if not torch.cuda.is_available():
        block = block.model_copy(update=without_gpu_settings(block, notes))
    path = find_smoke_run(block.path or "", "model", field, notes)
    if path is None:
        reason = f"neither this run nor {block.path}{OUTPUT_SUFFIX} is there yet"
        return _stand_in(block, field, template, reason, notes)
    block = block.model_copy(update={"path": path})
    if path in SHIPPED_MODELS or path.startswith("tiny:"):
        return block
    from r1kit.models.size import UnknownSizeError, count_parameters

    try:
        config = read_config(block)
        size = count_parameters(config).total
    except UnknownSizeError as error:
        return _stand_in(block, field, template, str(error), notes)
    is_here = Path(path).exists() or is_hub_reachable()
    if size <= _largest_model() and is_here:
        return block
    return _write_small_model(block, config, size, field, folder, template, notes)


def _largest_model() -> float:
    """Return the most parameters of a model that is taken as it is."""
    import torch

    if not torch.cuda.is_available():
        return LARGEST_CPU_MODEL
    free_bytes, _ = torch.cuda.mem_get_info()
    return GPU_MEMORY_FRACTION * free_bytes / BYTES_PER_PARAMETER


def _write_small_model(
    block: ModelConfig, config: Any, size: int, field: str, folder: Path, template: str, notes: list[str]
) -> ModelConfig:
    """Return the block of a small model of the same architecture, which is written below `folder`."""
    from r1kit.models.small_copy import CannotShrinkError, write_small_copy

    path = block.path or ""
    tokenizer, is_own = find_tokenizer(block)
    small_dir = folder / "".join(char if char.isalnum() or char in "-_." else "-" for char in path.strip("/"))
    try:
        write_small_copy(config, tokenizer, small_dir)
    except CannotShrinkError as error:
        return _stand_in(block, field, template, f"no small {config.model_type} can be built: {error}", notes)
    trained_prompt = read_trained_prompt(path)
    if trained_prompt is not None:
        write_trained_prompt(trained_prompt, small_dir)
    origin = "with its tokenizer" if is_own else f"with the tokenizer of {STAND_IN_MODEL}, since its own is not here"
    notes.append(
        f"{field} = {path} has {size / 1e6:,.0f}M parameters: in its place is a {config.model_type} model of two small "
        f"layers with random weights, {origin}"
    )
    return with_chat_template(block, str(small_dir), tokenizer, template)


def _stand_in(block: ModelConfig, field: str, template: str, reason: str, notes: list[str]) -> ModelConfig:
    """Return the block of the stand-in for a model of which nothing is known here."""
    from r1kit.models.load import load_tokenizer

    notes.append(f"{field} = {block.path}: {STAND_IN_MODEL} takes its place, because {reason}")
    tokenizer = load_tokenizer(ModelConfig(path=STAND_IN_MODEL))
    return with_chat_template(block, STAND_IN_MODEL, tokenizer, template)


def _replace_verifier(recipe: EvalRecipe, is_replaced: bool, notes: list[str]) -> Any:
    """Return the block `scaling` with a verifier that belongs to the model, or without one."""
    assert recipe.scaling is not None
    path = recipe.scaling.verifier or ""
    verifier = None if is_replaced else find_smoke_run(path, "verifier", "scaling.verifier", notes)
    if verifier is not None:
        return recipe.scaling.model_copy(update={"verifier": verifier})
    notes.append(f"scaling.verifier = {path} is left out: it is not there yet, or was trained for another model")
    return recipe.scaling.model_copy(update={"verifier": None, "search": []})
