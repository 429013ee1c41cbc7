"""`r1kit STAGE --smoke`: try any recipe in about two minutes on this machine, with its output aside.

    r1kit rl-zero recipes/qwen2.5-7b/rl_zero.yaml --smoke

The stage runs as it would, with few rows, few steps and short completions (r1kit.recipe.smoke), in OUTPUT.smoke. What
this machine cannot hold or reach is replaced, and each replacement is a note: a large model by a small one of the same
architecture with random weights, an earlier run by its own smoke run (or by a shipped model or generated rows), a data
set of the hub without a network by generated rows. The small models are in OUTPUT.smoke.models. A second smoke run
replaces the first.
"""

import importlib.util
import os
import socket
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from r1kit.data.sources.generated import is_generated_source
from r1kit.errors import UserError
from r1kit.heavy_imports import heavy_imports
from r1kit.launch import count_processes
from r1kit.models.prompt_choice import choose_prompts
from r1kit.preflight.sources import LARGEST_DATA_READ, local_size
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
from r1kit.recipe.smoke import OUTPUT_SUFFIX, SMOKE_PROBLEMS, SMOKE_ROWS, shrink_recipe, shrink_source
from r1kit.runs.paths import SHIPPED_MODELS
from r1kit.runs.trained_prompt import read_trained_prompt, write_trained_prompt

LARGEST_CPU_MODEL = 30_000_000
"""The most parameters of a model that a smoke run trains or samples on a CPU."""
GPU_MEMORY_FRACTION = 0.4
"""The fraction of a GPU's free memory that weights, gradients and optimizer may take in a smoke run."""
BYTES_PER_PARAMETER = 20
"""Weights, gradients, AdamW's moments and a reference model, in float32."""
HUB_SECONDS = 3.0
"""Seconds that the hub has to accept a connection."""
STAND_IN_MODEL = "tiny:student"
STAND_IN_TEMPLATE = "r1-distill"
"""The chat template of a stand-in for a model whose own is not on this machine."""
STAND_IN_PROBLEMS = SourceConfig(path="world:arithmetic")
STAND_IN_EXAMPLES = SourceConfig(path="self-cognition:R1-Smoke", settings={"maker": "r1kit"})
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
        changes["sampling"] = _replace_engine(small.sampling, notes)
    if isinstance(small, TrainingRecipe):
        changes["trl"] = _replace_vllm(small.trl, notes)
    changes |= _replace_data(small, notes)
    changes |= _replace_models(small, notes)
    if "trl" in changes and changes.get("model", small.model).path != small.model.path:
        changes["trl"] = _replace_tokens(changes["trl"], changes["model"], notes)
    if "rewards" in type(small).model_fields:
        changes["rewards"] = _replace_rewards(small, notes)
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
            _replace_source(source, f"data.{role}.{index}", stand_in, notes) for index, source in enumerate(sources)
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
            benchmarks.append(_replace_source(shrink_source(source), field, STAND_IN_BENCHMARK, notes))
        changes["hygiene"] = hygiene.model_copy(update={"decontaminate": benchmarks})
    return changes


def _keep_readable_benchmarks(recipe: EvalRecipe, notes: list[str]) -> dict[str, Any]:
    """Return the benchmarks of a suite that can be read: those on this machine, and all where the hub is reachable."""
    kept = {}
    for name, benchmark in recipe.suite.items():
        if Path(benchmark.path).exists() or is_hub_reachable():
            kept[name] = benchmark
        else:
            notes.append(f"suite.{name} = {benchmark.path} is left out, because the hub cannot be reached")
    return kept


def _replace_source(source: SourceConfig, field: str, stand_in: SourceConfig, notes: list[str]) -> SourceConfig:
    """Return a source that can be read here within seconds."""
    if is_generated_source(source.path):
        return source
    path = _find_run(source.path, "data", f"{field}.path", notes)
    if path is not None:
        source = source.model_copy(update={"path": path})
        size = local_size(path)
        if size is not None:
            is_large = size > LARGEST_DATA_READ
            return source.model_copy(update={"stream": True}) if is_large else source
        if is_hub_reachable():
            return source.model_copy(update={"stream": True})
    reason = "the hub cannot be reached" if path else f"neither this run nor {source.path}{OUTPUT_SUFFIX} is there yet"
    notes.append(f"{field} = {source.path}: rows of {stand_in.path} take its place, because {reason}")
    kept = {"rows": source.rows or SMOKE_ROWS, "share": source.share, "seed": source.seed}
    return stand_in.model_copy(update=kept)


def _find_run(path: str, product: str, field: str, notes: list[str]) -> str | None:
    """Return a path, or the smoke run in place of a run that is missing or unfinished; None if there is neither."""
    run_dir = Path(path)
    is_run = (run_dir / "run.json").exists() or (path.startswith("runs/") and not run_dir.exists())
    if not is_run or (run_dir / product).exists():
        return path
    smoke_dir = Path(f"{path}{OUTPUT_SUFFIX}")
    if not (smoke_dir / product).exists():
        return None
    notes.append(f"{field} = {path} is not there yet: its smoke run {smoke_dir} takes its place")
    return str(smoke_dir)


@cache
def is_hub_reachable() -> bool:
    """Return whether the hub may be asked for models and data, and accepts a connection; behind a proxy it counts."""
    if any(
        os.environ.get(name, "").lower() in ("1", "true", "yes", "on")
        for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
    ):
        return False
    if os.environ.get("https_proxy") or os.environ.get("HTTPS_PROXY"):
        return True
    address = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        socket.create_connection((address.hostname or "", port), timeout=HUB_SECONDS).close()
    except OSError:
        return False
    return True


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
            sampling = _replace_engine(teacher.sampling, notes)
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
        block = block.model_copy(update=_without_gpu_settings(block, notes))
    path = _find_run(block.path or "", "model", field, notes)
    if path is None:
        reason = f"neither this run nor {block.path}{OUTPUT_SUFFIX} is there yet"
        return _stand_in(block, field, template, reason, notes)
    block = block.model_copy(update={"path": path})
    if path in SHIPPED_MODELS or path.startswith("tiny:"):
        return block
    from r1kit.models.size import UnknownSizeError, count_parameters

    try:
        config = _read_config(block)
        size = count_parameters(config).total
    except UnknownSizeError as error:
        return _stand_in(block, field, template, str(error), notes)
    is_here = Path(path).exists() or is_hub_reachable()
    if size <= _largest_model() and is_here:
        return block
    return _write_small_model(block, config, size, field, folder, template, notes)


def _read_config(block: ModelConfig) -> Any:
    """Return a model's config: from this machine, else from the hub. Raises UnknownSizeError."""
    from r1kit.models.size import UnknownSizeError, load_config

    try:
        return load_config(block)
    except UnknownSizeError:
        if Path(block.path or "").exists() or not is_hub_reachable():
            raise
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(block.path or "", revision=block.revision, trust_remote_code=False)
    except Exception as error:  # of the hub or of a config's class
        raise UnknownSizeError(str(error).splitlines()[0] if str(error) else type(error).__name__) from None


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
    tokenizer, is_own = _find_tokenizer(block)
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
    return _with_chat_template(block, str(small_dir), tokenizer, template)


def _find_tokenizer(block: ModelConfig) -> tuple[Any, bool]:
    """Return the tokenizer of a model, or a stand-in where it cannot be had; and whether it is its own."""
    from r1kit.models.load import load_tokenizer

    try:
        return load_tokenizer(block, local_files_only=not is_hub_reachable()), True
    except UserError:
        return load_tokenizer(ModelConfig(path=STAND_IN_MODEL)), False


def _stand_in(block: ModelConfig, field: str, template: str, reason: str, notes: list[str]) -> ModelConfig:
    """Return the block of the stand-in for a model of which nothing is known here."""
    from r1kit.models.load import load_tokenizer

    notes.append(f"{field} = {block.path}: {STAND_IN_MODEL} takes its place, because {reason}")
    tokenizer = load_tokenizer(ModelConfig(path=STAND_IN_MODEL))
    return _with_chat_template(block, STAND_IN_MODEL, tokenizer, template)


def _with_chat_template(block: ModelConfig, path: str, tokenizer: Any, template: str) -> ModelConfig:
    """Return the block of a replacement, with a chat template where it needs one and its tokenizer has none."""
    changes: dict[str, Any] = {"path": path, "revision": None}
    if template == CHAT_TEMPLATE and block.chat_template is None and tokenizer.chat_template is None:
        changes["chat_template"] = STAND_IN_TEMPLATE
    return block.model_copy(update=changes)


def _without_gpu_settings(block: ModelConfig, notes: list[str]) -> dict[str, Any]:
    """Return the changes to a block `model` on a machine without a GPU."""
    changes: dict[str, Any] = {}
    for name, value in (("quantize", None), ("attention", None), ("dtype", "auto")):
        old = getattr(block, name)
        if old in (None, "auto", "float32", "eager", "sdpa"):
            continue
        changes[name] = value
        note = f"model.{name} = {old} is left out: it is for a GPU, and there is none"
        if note not in notes:
            notes.append(note)
    return changes


def _replace_verifier(recipe: EvalRecipe, is_replaced: bool, notes: list[str]) -> Any:
    """Return the block `scaling` with a verifier that belongs to the model, or without one."""
    assert recipe.scaling is not None
    path = recipe.scaling.verifier or ""
    verifier = None if is_replaced else _find_run(path, "verifier", "scaling.verifier", notes)
    if verifier is not None:
        return recipe.scaling.model_copy(update={"verifier": verifier})
    notes.append(f"scaling.verifier = {path} is left out: it is not there yet, or was trained for another model")
    return recipe.scaling.model_copy(update={"verifier": None, "search": []})


# Engines and rewards


def _replace_engine(sampling: Any, notes: list[str]) -> Any:
    """Return a block of sampling that samples with transformers where vLLM is not installed."""
    if sampling.engine != "vllm" or importlib.util.find_spec("vllm") is not None:
        return sampling
    notes.append("sampling.engine = vllm: transformers samples in its place, because vLLM is not installed")
    return sampling.model_copy(update={"engine": "transformers", "vllm": {}})


def _replace_vllm(trl: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """Return the block `trl` without vLLM where that is not installed."""
    if not trl.get("use_vllm") or importlib.util.find_spec("vllm") is not None:
        return trl
    notes.append("trl.use_vllm is left out, because vLLM is not installed")
    return {key: value for key, value in trl.items() if "vllm" not in key}


def _replace_tokens(trl: dict[str, Any], model: ModelConfig, notes: list[str]) -> dict[str, Any]:
    """Return the block `trl` without tokens that the tokenizer of a replacement does not have."""
    from r1kit.models.load import load_tokenizer

    vocabulary = load_tokenizer(model).get_vocab()
    kept = {}
    for key, value in trl.items():
        if key in ("eos_token", "pad_token") and value not in vocabulary:
            notes.append(f"trl.{key} = {value} is left out: the tokenizer that takes the place of the model's lacks it")
            continue
        kept[key] = value
    return kept


def _replace_rewards(recipe: Any, notes: list[str]) -> list[Any]:
    """Return the rewards without `preference` where its reward model is not on this machine."""
    kept = []
    for entry in recipe.rewards:
        model = entry.settings.get("model") if entry.name == "preference" else None
        if model is not None and not Path(str(model)).exists():
            notes.append(f"the reward preference is left out: its model {model} is not on this machine")
            continue
        kept.append(entry)
    return kept
