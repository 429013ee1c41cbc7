"""`--dry-run`: the resolved recipe, the launch command and the sizes, without doing anything."""

import json
import shlex
from pathlib import Path
from typing import Any

from r1kit.launch import count_processes, launch_command
from r1kit.recipe import DataRecipe, Recipe, RLRecipe, SFTRecipe, dump_recipe
from r1kit.rewards import resolve_reward
from r1kit.runs.paths import PACKAGE_DIR, resolve_model_path

GIB = 2**30
# Bytes a trained parameter takes: float32 weight, gradient and two moments of AdamW.
TRAINED, FROZEN = 16, 2


def print_dry_run(stage: str, recipe: Recipe, processes: int | None, accelerate_config: str | None) -> None:
    """Print what the stage would do. Raises UserError for a reward or a setting of one that there is not."""
    for index, entry in enumerate(getattr(recipe, "rewards", [])):
        resolve_reward(entry, index)
    print(dump_recipe(recipe))
    command = None if isinstance(recipe, DataRecipe) else launch_command(processes, accelerate_config)
    words = [*command, "-m", "r1kit.launch", recipe.output or "RUN"] if command else ["(this process)"]
    print(f"launch: {shlex.join(words) if command else words[0]}")
    print(f"stage: {stage}")
    names = getattr(recipe, "models", {}) or ({} if isinstance(recipe, DataRecipe) else {"model": recipe.model.path})
    for name, path in names.items():
        print(f"{name}: {_describe(path, recipe)}")
    for line in [*_work(recipe, count_processes(processes, accelerate_config)), *machine_notes(recipe)]:
        print(line)


def _describe(path: str | None, recipe: Recipe) -> str:
    config = _config(path, recipe)
    if config is None:
        return f"{path} (its config is not here: sizes are known once it is loaded)"
    count = count_parameters(config)
    context = config.get("max_position_embeddings")
    line = f"{path or 'new'}, {count / 1e6:,.1f}M parameters, context {context}"
    if isinstance(recipe, SFTRecipe | RLRecipe):
        copies = FROZEN if recipe.model.lora else TRAINED
        reference = 4 if isinstance(recipe, RLRecipe) and recipe.training.kl > 0 and not recipe.model.lora else 0
        line += f", {count * (copies + reference) / GIB:,.2f} GiB for weights and optimizer"
    return line


def _config(path: str | None, recipe: Recipe) -> dict[str, Any] | None:
    """Return a model's config: its own, or the copy that comes with the shipped recipes."""
    if recipe.model.new:
        return {
            "model_type": recipe.model.new.type,
            "vocab_size": recipe.model.new.vocab_size,
            **recipe.model.new.settings,
        }
    shipped = PACKAGE_DIR / "configs" / f"{(path or '').replace('/', '--')}.json"
    if shipped.exists():
        return json.loads(shipped.read_text())
    if (path or "").startswith("runs/") and not Path(path or "").exists():
        return None  # an earlier stage of the same script makes it
    folder = Path(resolve_model_path(path or ""))
    file = folder / "config.json"
    return json.loads(file.read_text()) if file.exists() else None


def count_parameters(config: dict[str, Any]) -> int:
    """Count the parameters of a llama or Qwen config, to the norms."""
    hidden, layers = config["hidden_size"], config["num_hidden_layers"]
    heads = config["num_attention_heads"]
    key_heads = config.get("num_key_value_heads", heads)
    size = config.get("head_dim") or hidden // heads
    attention = hidden * size * (2 * heads + 2 * key_heads)
    if config.get("model_type") == "qwen2":
        attention += size * (heads + 2 * key_heads)  # biases of q, k, v
    mlp = 3 * hidden * config["intermediate_size"]
    embedding = config["vocab_size"] * hidden * (1 if config.get("tie_word_embeddings", False) else 2)
    return layers * (attention + mlp + 2 * hidden) + embedding + hidden


def _work(recipe: Recipe, processes: int) -> list[str]:
    if isinstance(recipe, SFTRecipe | RLRecipe):
        from r1kit.training.arguments import split_batch

        t = recipe.training
        micro, accumulation = split_batch(t, processes)
        length = f"{t.steps} steps" if t.steps else f"{t.epochs} epochs"
        lines = [
            f"work: {length} of {t.batch_size} = {processes} processes x {micro} rows x {accumulation} accumulated"
        ]
        if isinstance(recipe, RLRecipe):
            prompts = t.batch_size * recipe.training.updates_per_rollout // recipe.sampling.group_size
            lines.append(f"rollout: {prompts} prompts x {recipe.sampling.group_size} completions")
        return lines
    if isinstance(recipe, DataRecipe):
        return [f"work: {len(recipe.data.train)} sources, read, cleaned, filtered and written"]
    settings = recipe.sampling  # type: ignore[attr-defined]
    return [f"work: {settings.samples} samples a prompt, up to {settings.max_tokens} tokens"]


def machine_notes(recipe: Recipe) -> list[str]:
    """Return what this machine lacks for the recipe."""
    if isinstance(recipe, DataRecipe):
        return []
    if any(Path(device).exists() for device in ("/dev/nvidia0", "/dev/kfd", "/dev/dri/renderD128")):
        return []
    wants = recipe.model.quantize is not None or recipe.model.dtype in ("bfloat16", "float16")
    wants = wants or "vllm" in str(getattr(recipe, "trl", {}))
    return ["note: there is no GPU here" + (", and this recipe needs one" if wants else "; the CPU is used")]
