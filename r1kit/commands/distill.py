"""`r1kit distill` with `distill.method` = on-policy or gold: a student learns from a teacher on its own answers.

    r1kit distill recipes/tiny/on_policy.yaml model.path=runs/tiny/distill teacher.path=runs/tiny/r1

How a training step goes, from a problem to a gradient, stands in r1kit/training/distillation.py, and the loss for a
teacher with another tokenizer in r1kit/training/gold.py. The method rows, which
is the paper's distillation, is SFT: r1kit/commands/sft.py.
"""

from typing import TYPE_CHECKING, Any

from r1kit.data.problems import load_problems
from r1kit.errors import UserError
from r1kit.heavy_imports import heavy_imports
from r1kit.models.load import load_model_to_train, load_tokenizer
from r1kit.models.teacher import check_byte_level, check_served_teacher, load_any_teacher, load_teacher
from r1kit.prompts import CHAT_TEMPLATE
from r1kit.recipe import DistillRecipe
from r1kit.runs.paths import ADAPTER_BASE_FOLDER
from r1kit.runs.run import Run
from r1kit.training.arguments import build_distillation_config, build_uld_config
from r1kit.training.policy_prompts import (
    check_policy_prompts,
    check_problem_count,
    check_room,
    stop_at_end_of_turn,
)

if TYPE_CHECKING:
    from datasets import Dataset

    from r1kit.training.core import TrainingPlan
    from r1kit.training.distillation import OnPolicyTrainer


def main(recipe: DistillRecipe, run: Run) -> None:
    """Train the student and save it."""
    plan = plan_training(recipe, run)
    from r1kit.training.core import run_plan

    run_plan(plan, recipe, run)


def plan_training(recipe: DistillRecipe, run: Run) -> "TrainingPlan":
    """Read the problems of a recipe, and return how its trainer is built."""
    # Data comes first, so that a fault in it is reported before torch is imported.
    problems = load_problems(recipe.data.train, recipe.prompt, data=recipe.data)
    check_problem_count(recipe, problems)
    held_out = load_problems(recipe.data.eval, recipe.prompt, "data.eval") if recipe.data.eval else None

    with heavy_imports():
        import r1kit.training.distillation  # noqa: F401  # the slowest to import; `_build_trainer` takes it from here
        from r1kit.training.core import TrainingPlan

    return TrainingPlan(lambda: _build_trainer(recipe, run, problems, held_out))


def _build_trainer(
    recipe: DistillRecipe, run: Run, problems: "Dataset", held_out: "Dataset | None"
) -> "OnPolicyTrainer":
    # All checks that need no weights come before these are loaded.
    arguments = build_distillation_config(recipe, run)
    tokenizer: Any = load_tokenizer(recipe.model)
    prompt_tokens = check_policy_prompts(recipe, tokenizer, problems, held_out)
    model, lora_config = load_model_to_train(recipe.model, run.path / ADAPTER_BASE_FOLDER)
    trainer_class, teacher_arguments = _load_teacher(recipe, run, model, tokenizer)
    for reader in filter(None, (model, teacher_arguments.get("teacher_model"))):
        check_room(recipe, reader.config, prompt_tokens)
    stop_at_end_of_turn(model, tokenizer, arguments, recipe.prompt.template)
    return trainer_class(
        model=model,
        args=arguments,
        train_dataset=problems,
        eval_dataset=held_out,
        processing_class=tokenizer,
        peft_config=lora_config,
        run=run,
        savings=recipe.training.savings,
        keep_checkpoints=recipe.training.keep_checkpoints,
        **teacher_arguments,
    )


def _load_teacher(
    recipe: DistillRecipe, run: Run, student: Any, tokenizer: Any
) -> tuple[type["OnPolicyTrainer"], dict[str, Any]]:
    """Return the class of the trainer, and its arguments that have to do with the teacher."""
    from r1kit.training.distillation import OnPolicyTrainer

    if recipe.teacher.server is not None:
        from r1kit.training.served_teacher import ServedTeacherTrainer, check_server

        check_server(recipe.teacher.server)
        check_served_teacher(recipe.teacher, recipe.model, tokenizer)
        return ServedTeacherTrainer, {}
    if recipe.distill.method == "on-policy":
        return OnPolicyTrainer, {"teacher_model": load_teacher(recipe.teacher, recipe.model, student, tokenizer)}
    from r1kit.training.gold import GoldTrainer

    teacher, teacher_tokenizer = load_any_teacher(recipe.teacher)
    check_byte_level(tokenizer, "model.path", recipe.model.path)
    check_byte_level(teacher_tokenizer, "teacher.path", recipe.teacher.path)
    if recipe.prompt.template == CHAT_TEMPLATE and teacher_tokenizer.chat_template is None:
        requirement = "has no chat template, which prompt.template = chat needs"
        raise UserError("teacher.path", recipe.teacher.path, requirement, "use a template with {prompt} in it")
    return GoldTrainer, {
        "gold_teacher": teacher,
        "teacher_tokenizer": teacher_tokenizer,
        "prompt": recipe.prompt,
        "uld_config": build_uld_config(recipe, run),
    }
