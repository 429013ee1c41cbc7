"""`r1kit rl-zero` and `r1kit rl`: GRPO with verifiable rewards.

    r1kit rl-zero recipes/tiny/rl_zero.yaml
    r1kit rl recipes/tiny/dev2.yaml model.path=runs/tiny/dev1 --num-processes 8

How a training step goes, from a problem to a gradient, stands in r1kit/training/grpo.py.

Departures from the paper: the policy's ratio is clipped at 0.2 by default, where the paper has 10; and
the loss is TRL's default (DAPO's mean over tokens) unless the recipe sets `trl.loss_type`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from r1kit.answers import workers
from r1kit.data.problems import load_problems
from r1kit.errors import UserError
from r1kit.heavy_imports import heavy_imports
from r1kit.models.load import is_adapter, load_model_to_train, load_tokenizer, save_start_model
from r1kit.ranks import is_main_rank
from r1kit.recipe import RLRecipe
from r1kit.rewards.binding import bind_reward, run_in_thread
from r1kit.rewards.checks import check_reward_data, preload_reward_models
from r1kit.rewards.eager import EagerJudge
from r1kit.runs.paths import ADAPTER_BASE_FOLDER, START_MODEL_FOLDER
from r1kit.runs.run import Run
from r1kit.sandbox.isolation import require_isolation
from r1kit.tools import resolve_environment, resolve_tools
from r1kit.training.arguments import build_grpo_config
from r1kit.training.policy_prompts import (
    check_policy_prompts,
    check_problem_count,
    check_room,
    longest_prompt_tokens,
    stop_at_end_of_turn,
)

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import TrainerCallback

    from r1kit.training.core import TrainingPlan
    from r1kit.training.grpo import RLTrainer


@dataclass(frozen=True)
class OwnCode:
    """The functions and classes that a recipe names by their dotted paths, or r1kit's where it names none."""

    tools: list[Callable[..., Any]]
    environment: Callable[[], Any] | None
    trainer_class: "type[RLTrainer]"
    callbacks: "list[TrainerCallback]"


def main(recipe: RLRecipe, run: Run) -> None:
    """Train the policy and save it."""
    plan = plan_training(recipe, run)
    from r1kit.training.core import run_plan

    run_plan(plan, recipe, run)


def plan_training(recipe: RLRecipe, run: Run) -> "TrainingPlan":
    """Read the problems of a recipe, and return how its trainer is built."""
    # Data comes first, so that a fault in it is reported before torch is imported.
    tools = resolve_tools(recipe.tools)
    environment = resolve_environment(recipe.environment) if recipe.environment else None
    problems, held_out = _load_data(recipe, run)
    if "python" in recipe.tools and is_main_rank():
        run.update(isolation=require_isolation("auto"))
    if _judges_mathematics(recipe, problems):
        workers.start_worker()  # it starts while torch is imported

    with heavy_imports():
        from r1kit.training.core import TrainingPlan
        from r1kit.training.grpo import RLTrainer
        from r1kit.training.own_code import resolve_callbacks, resolve_trainer

    # Before the model is loaded, so that a mistake in them is reported soon.
    trainer_class = resolve_trainer(recipe.trainer, RLTrainer)
    own_code = OwnCode(tools, environment, trainer_class, resolve_callbacks(recipe.callbacks))

    def build_trainer() -> RLTrainer:
        return _build_trainer(recipe, run, problems, held_out, own_code)

    return TrainingPlan(build_trainer, recipe.steps_per_rollout)


def _load_data(recipe: RLRecipe, run: Run) -> tuple["Dataset", "Dataset | None"]:
    """Return the training problems and the held-out ones (None if the recipe has none), checked for the rewards."""
    source = recipe.data.train[0].path
    problems = load_problems(recipe.data.train, recipe.prompt, data=recipe.data)
    info = check_reward_data(recipe.rewards, problems, source)
    check_problem_count(recipe, problems)
    held_out = None
    if recipe.data.eval:
        held_out = load_problems(recipe.data.eval, recipe.prompt, "data.eval")
        info |= check_reward_data(recipe.rewards, held_out, recipe.data.eval[0].path)
    if info and is_main_rank():
        run.update(**info)
    return problems, held_out


def _judges_mathematics(recipe: RLRecipe, problems: "Dataset") -> bool:
    """Return whether the accuracy reward will judge answers as mathematics, which the workers do."""
    if not any(entry.name == "accuracy" for entry in recipe.rewards):
        return False
    checkers = problems.unique("checker") if "checker" in problems.column_names else [None]
    return "math" in checkers or None in checkers


def _check_whole_groups(trainer: "RLTrainer", recipe: RLRecipe) -> None:
    """Raise UserError for a reward that compares the completions of a group, where a process has parts of groups."""
    batches = {"a rollout": trainer.args.per_device_train_batch_size * (trainer.args.steps_per_generation or 1)}
    if recipe.data.eval:
        batches["an evaluation"] = trainer.args.per_device_eval_batch_size
    for index, entry in enumerate(recipe.rewards):
        compares = entry.name == "length" or (
            entry.name == "judge" and entry.settings.get("mode", "pointwise") != "pointwise"
        )
        for name, rows in batches.items():
            if compares and trainer.accelerator.num_processes > 1 and rows % trainer.num_generations:
                raise UserError(
                    f"rewards.{index}",
                    entry.name,
                    f"compares the completions of a group, and in {name} each process has {rows} completions, which "
                    f"are no whole groups of {trainer.num_generations}",
                    "use fewer processes, or a larger batch_size and micro_batch_size",
                )


def _build_trainer(
    recipe: RLRecipe,
    run: Run,
    problems: "Dataset",
    held_out: "Dataset | None",
    own_code: "OwnCode",
) -> "RLTrainer":
    from r1kit.training import tool_calls
    from r1kit.training.callbacks import LengthScheduleCallback

    # All checks that need no weights come before these are loaded.
    arguments = build_grpo_config(recipe, run)
    tokenizer = load_tokenizer(recipe.model)
    prompt_tokens = check_policy_prompts(recipe, tokenizer, problems, held_out)
    if own_code.tools or own_code.environment:
        tool_calls.check_tool_template(tokenizer, recipe)
    model, lora_config = load_model_to_train(recipe.model, run.path / ADAPTER_BASE_FOLDER)
    check_room(recipe, model.config, prompt_tokens)
    if recipe.training.kl > 0 and recipe.model.lora is None and is_adapter(recipe.model):
        save_start_model(model, run.path / START_MODEL_FOLDER)
    stop_at_end_of_turn(model, tokenizer, arguments, recipe.prompt.template)
    preload_reward_models(recipe.rewards)

    reward_functions, eager_judges = [], []
    for index, entry in enumerate(recipe.rewards):
        reward = bind_reward(entry, index, recipe.answers)
        if entry.name == "accuracy":
            reward = EagerJudge(reward, entry.settings.get("seconds", 3.0))
            eager_judges.append(reward)
        reward_functions.append(run_in_thread(reward))

    trainer = own_code.trainer_class(
        model=model,
        args=arguments,
        reward_funcs=reward_functions,
        train_dataset=problems,
        eval_dataset=held_out,
        processing_class=tokenizer,
        peft_config=lora_config,
        tools=own_code.tools or None,
        environment_factory=own_code.environment,
        callbacks=own_code.callbacks,
        run=run,
        savings=recipe.training.savings,
        resample=recipe.sampling.resample,
        reference_reset_steps=recipe.training.reference_reset_steps,
        keep_checkpoints=recipe.training.keep_checkpoints,
        eager_judges=eager_judges,
    )
    _check_whole_groups(trainer, recipe)
    if recipe.sampling.schedule:
        trainer.add_callback(LengthScheduleCallback(recipe.sampling.schedule, trainer))
    if trainer.tools:
        tool_calls.check_tool_ranks(trainer, recipe)
        # The tools are described in the prompt, which is longer by them.
        settings = {**recipe.prompt.template_settings, "tools": trainer.tools}
        prompt = recipe.prompt.model_copy(update={"template_settings": settings})
        check_room(recipe, model.config, longest_prompt_tokens(tokenizer, problems["prompt"], prompt))
    return trainer
