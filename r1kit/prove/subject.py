"""The recipe as it is proved: of any size it becomes small, and what decides what is learnt stays as it is.

    subject = make_subject(recipe, Path("runs/zero.prove"))
    subject.recipe      a few rows, steps and tokens; a random model of the recipe's architecture
    subject.left_out    checks that cannot be made here, each with the reason

Kept are the template, the prompt, the mask, accumulation, packing, savings, the loss and its settings, the adapter, the
optimizer and what is saved. Changed are sizes, the learning rate (so that each step moves the weights far beyond
rounding), and what is random or would hide an error: dropout is off, and gradients are not clipped.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r1kit.errors import UserError
from r1kit.models.small_copy import CannotShrinkError, write_small_copy
from r1kit.models.stop_tokens import end_token_ids
from r1kit.preflight.stand_ins import (
    STAND_IN_EXAMPLES,
    STAND_IN_MODEL,
    STAND_IN_PROBLEMS,
    find_smoke_run,
    find_tokenizer,
    read_config,
    replace_rewards,
    replace_source,
    replace_tokens,
    replace_vllm,
    with_chat_template,
    without_gpu_settings,
)
from r1kit.prove.loud_weights import randomise_weights
from r1kit.prove.table import Finding, leave_out
from r1kit.recipe import (
    DataRecipe,
    DistillRecipe,
    EvalRecipe,
    ModelConfig,
    RLRecipe,
    SFTRecipe,
    SourceConfig,
    check_recipe,
)
from r1kit.recipe.smoke import SMOKE_TOKENS, shrink_recipe
from r1kit.runs.trained_prompt import read_trained_prompt, write_trained_prompt

SFT_STEPS, SFT_SAVE_STEPS = 5, 2
SFT_BATCHES = 3
"""Batches of an epoch, so that the steps go on into the second epoch."""
PACKED_ROWS = 64
"""Rows where several are packed into one sequence."""
RL_ROLLOUTS, ROLLOUTS_PER_EPOCH = 3, 2
PROOF_RATE = 1e-3
"""Learning rate of the small model."""
UNCLIPPED_NORM = 1e9
LONGEST_PROOF_ROW = 512
"""Tokens of a row that the small model is trained on; what is in the loss is checked on rows of the recipe's length."""
ASKED_PROBLEMS = 8
"""Problems that a stage without training samples."""
SERVED_REWARDS = ("judge",)
"""Rewards that ask a server."""


@dataclass
class Subject:
    """A recipe made small, and what could not be kept."""

    recipe: Any
    """An SFTRecipe or RLRecipe."""
    notes: list[str] = field(default_factory=list)
    left_out: list[Finding] = field(default_factory=list)
    sources: list[SourceConfig] = field(default_factory=list)
    """The problems that it reads, or those in their place."""
    has_model: bool = True
    has_own_tokenizer: bool = True
    has_own_data: bool = True


def make_subject(recipe: SFTRecipe | RLRecipe, folder: Path) -> Subject:
    """Return the recipe to prove, with its run in `folder`/run and its model in `folder`/models.

    Raises UserError where the changed recipe contradicts itself.
    """
    if isinstance(recipe, DistillRecipe) and (recipe.distill.method == "gold" or recipe.teacher.server is not None):
        requirement = "prove has no checks of GOLD's loss and of a teacher behind a server"
        raise UserError("distill.method", recipe.distill.method, requirement, "try the recipe with --smoke")
    subject = Subject(shrink_recipe(recipe).model_copy(update={"output": str(folder / "run")}))
    trl = replace_vllm(_without_randomness(subject.recipe.trl, subject.notes), subject.notes)
    if recipe.trl.get("use_vllm") and not trl.get("use_vllm"):
        reason = "the recipe samples with vLLM, which is not installed; r1kit's own sampler took its place"
        subject.left_out.append(leave_out("sampler", reason))
    subject.recipe = subject.recipe.model_copy(update={"trl": trl})
    _set_sizes(subject, recipe)
    _set_model(subject, folder / "models")
    _set_sources(subject)
    if isinstance(recipe, RLRecipe):
        _set_rewards(subject)
    check_recipe(subject.recipe)
    return subject


def make_asking_subject(recipe: Any, folder: Path) -> Subject:
    """Return the subject of a recipe that trains nothing: its model small, its problems readable.

    Of several models that `eval` measures, it is the first.
    """
    subject = Subject(recipe.model_copy(update={"output": str(folder / "run")}))
    if isinstance(recipe, EvalRecipe) and recipe.models:
        name, subject.recipe = next(iter(subject.recipe.recipes_by_model().items()))
        subject.notes.append(f"of {len(recipe.models)} models, {name} is proved")
    role = "eval" if isinstance(recipe, EvalRecipe) else "train"
    sources = getattr(recipe.data, role)
    subject.sources = _read_here(subject, sources, f"data.{role}", STAND_IN_PROBLEMS, ASKED_PROBLEMS)
    if not sources or not subject.has_own_data:
        reason = "the recipe's own data cannot be read here" if sources else "benchmarks of a suite are not read here"
        subject.left_out.append(leave_out("gold answers", reason))
    subject.sources = subject.sources or [STAND_IN_PROBLEMS.model_copy(update={"rows": ASKED_PROBLEMS})]
    if not isinstance(recipe, DataRecipe):
        _set_sampling(subject, folder / "models")
    _set_rewards(subject)
    return subject


def _set_sampling(subject: Subject, folder: Path) -> None:
    """Sample few short completions with transformers, from a small model."""
    recipe = subject.recipe
    changes: dict[str, Any] = {"max_tokens": SMOKE_TOKENS}
    if recipe.sampling.engine != "transformers":
        reason = f"sampling.engine = {recipe.sampling.engine}; r1kit's own sampler took its place"
        subject.left_out.append(leave_out("sampler", reason))
        changes |= {"engine": "transformers", "vllm": {}}
    subject.recipe = recipe.model_copy(update={"sampling": recipe.sampling.model_copy(update=changes)})
    if recipe.model.path is None:  # it is known to the servers alone
        subject.has_model = False
        subject.left_out += [leave_out(check, "the servers' model is not here") for check in ("prompt", "end of turn")]
        return
    _set_model(subject, folder)


def _without_randomness(trl: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """Return the block `trl` without noise, and without processes that only large data is worth."""
    kept = dict(trl)
    kept.pop("dataset_num_proc", None)
    if kept.pop("neftune_noise_alpha", None):
        notes.append("trl.neftune_noise_alpha is left out, since noise has no definition to compare with")
    return kept


def _set_sizes(subject: Subject, recipe: SFTRecipe | RLRecipe) -> None:
    """Set steps, batches and the learning rate of the small recipe."""
    small = subject.recipe
    training = {
        "learning_rate": PROOF_RATE,
        "min_learning_rate": PROOF_RATE / 10 if small.training.schedule == "cosine" else 0.0,
        "warmup_steps": 0,
        "max_grad_norm": UNCLIPPED_NORM,
        "eval_steps": None,
    }
    if isinstance(recipe, RLRecipe):
        rollout_steps = small.steps_per_rollout
        training |= {"steps": RL_ROLLOUTS * rollout_steps, "save_steps": rollout_steps}
    else:
        training |= {"steps": SFT_STEPS, "save_steps": SFT_SAVE_STEPS}
        if is_trained_on_rows(recipe):
            training["max_length"] = min(recipe.training.max_length, LONGEST_PROOF_ROW)
    subject.recipe = small.model_copy(update={"training": small.training.model_copy(update=training)})


# Model


def _set_model(subject: Subject, folder: Path) -> None:
    """Put a random model of the recipe's architecture, or a stand-in, in the place of its model."""
    recipe, notes = subject.recipe, subject.notes
    block = recipe.model
    import torch

    if not torch.cuda.is_available():
        block = block.model_copy(update=without_gpu_settings(block, notes))
    if block.lora is not None and block.lora.dropout:
        notes.append("model.lora.dropout is 0, since what is drawn at random has no definition to compare with")
        block = block.model_copy(update={"lora": block.lora.model_copy(update={"dropout": 0.0})})
    if block.new is None:
        block = _write_model(subject, block, folder / "policy")
    subject.recipe = recipe.model_copy(update={"model": block})
    if isinstance(recipe, DistillRecipe) and recipe.teacher.path is not None:
        teacher = _write_model(subject, recipe.teacher.to_model_config(), folder / "teacher", "teacher.path", seed=1)
        changes = {"path": teacher.path, "revision": None}
        subject.recipe = subject.recipe.model_copy(update={"teacher": recipe.teacher.model_copy(update=changes)})
    if not subject.has_own_tokenizer and "trl" in type(recipe).model_fields:
        trl = replace_tokens(subject.recipe.trl, block, notes)
        subject.recipe = subject.recipe.model_copy(update={"trl": trl})


def _write_model(
    subject: Subject, block: ModelConfig, folder: Path, field_name: str = "model.path", seed: int = 0
) -> ModelConfig:
    """Return the block of a small random model that is written to `folder`; `field_name` names it in notes."""
    from r1kit.models.size import UnknownSizeError

    recipe, notes = subject.recipe, subject.notes
    original_path = block.path or ""
    path = find_smoke_run(original_path, "model", field_name, notes)
    reason = f"neither this run nor {original_path}.smoke is there yet"
    config: Any = None
    if path is not None:
        block = block.model_copy(update={"path": path})
        try:
            config = read_config(block)
        except UnknownSizeError as error:
            reason = str(error)
    if config is None:
        notes.append(f"{field_name} = {original_path}: a small copy of {STAND_IN_MODEL} takes its place: {reason}")
        for check in _model_checks(recipe):
            subject.left_out.append(leave_out(check, f"on the recipe's own architecture: {reason}"))
        block = block.model_copy(update={"path": STAND_IN_MODEL, "revision": None})
        config = read_config(block)
        subject.has_own_tokenizer = False
    tokenizer, is_own = find_tokenizer(block)
    if not is_own or not subject.has_own_tokenizer:
        subject.has_own_tokenizer = False
        reason = f"the tokenizer of {original_path} is not on this machine"
        checks = ["prompt", "end of turn"]
        if "training" in type(recipe).model_fields:
            checks += ["mask", "saved stop"]
        subject.left_out += [leave_out(check, reason) for check in checks]
    end_ids = end_token_ids(tokenizer, None, recipe.prompt.template)

    def randomise(model: Any) -> None:
        randomise_weights(model, end_ids, seed)

    try:
        write_small_copy(config, tokenizer, folder, randomise)
    except CannotShrinkError as error:
        notes.append(f"no small {config.model_type} can be built ({error}): {STAND_IN_MODEL} takes its place")
        for check in _model_checks(recipe):
            reason = f"no small {config.model_type} can be built: {error}"
            subject.left_out.append(leave_out(check, reason))
        stand_in = ModelConfig(path=STAND_IN_MODEL)
        write_small_copy(read_config(stand_in), tokenizer, folder, randomise)
    trained_prompt = read_trained_prompt(block.path or "")
    if trained_prompt is not None:
        write_trained_prompt(trained_prompt, folder)
    return with_chat_template(block, str(folder), tokenizer, recipe.prompt.template)


def _model_checks(recipe: Any) -> tuple[str, ...]:
    """Return the checks that say something of the recipe's own architecture alone."""
    return ("gradient", "leak") if "training" in type(recipe).model_fields else ("sampler",)


# Data and rewards


def _set_sources(subject: Subject) -> None:
    """Take as many rows as the steps need, of data that can be read here; leave data for evaluation out."""
    recipe = subject.recipe
    rows = recipe.training.batch_size * SFT_BATCHES
    if isinstance(recipe, RLRecipe):
        rows = recipe.prompts_per_rollout * ROLLOUTS_PER_EPOCH
    elif is_trained_on_rows(recipe) and recipe.training.packing:
        rows = PACKED_ROWS
    stand_in = STAND_IN_EXAMPLES if is_trained_on_rows(recipe) else STAND_IN_PROBLEMS
    subject.sources = _read_here(subject, recipe.data.train, "data.train", stand_in, rows)
    data = recipe.data.model_copy(update={"train": subject.sources, "eval": [], "rows": None})
    subject.recipe = recipe.model_copy(update={"data": data})
    if not subject.has_own_data:
        check = "mask" if is_trained_on_rows(recipe) else "prompt"
        if isinstance(recipe, RLRecipe):
            check = "gold answers"
        subject.left_out.append(leave_out(check, "the recipe's own data cannot be read here"))


def _read_here(
    subject: Subject, sources: Sequence[SourceConfig], field_name: str, stand_in: SourceConfig, rows: int
) -> list[SourceConfig]:
    """Return sources with so many rows together, each replaced by `stand_in` if it cannot be read here."""
    rows_per_source = math.ceil(rows / max(1, len(sources)))
    readable = []
    for index, source in enumerate(sources):
        source = source.model_copy(update={"rows": min(source.rows or rows_per_source, rows_per_source)})
        replaced = replace_source(source, f"{field_name}.{index}", stand_in, subject.notes)
        if replaced.path == stand_in.path and source.path != stand_in.path:
            subject.has_own_data = False
        readable.append(replaced)
    return readable


def _set_rewards(subject: Subject) -> None:
    """Leave out rewards whose models or servers are not at hand."""
    recipe = subject.recipe
    kept = replace_rewards(recipe, subject.notes)
    asked = [entry for entry in kept if entry.name not in SERVED_REWARDS]
    missing = {entry.name for entry in recipe.rewards} - {entry.name for entry in asked}
    for name in sorted(missing):
        subject.left_out.append(leave_out("rewards", f"{name}: its model or server is not asked here"))
    subject.recipe = recipe.model_copy(update={"rewards": asked})


def is_trained_on_rows(recipe: Any) -> bool:
    """Return whether a recipe trains on finished rows, as `sft` does."""
    return isinstance(recipe, SFTRecipe) and (not isinstance(recipe, DistillRecipe) or recipe.trains_on_rows)
