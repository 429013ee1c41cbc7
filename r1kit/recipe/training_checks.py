"""The checks across the fields of stages that train: steps, rollouts, distillation, pairs."""

from r1kit.errors import UNSET, UserError
from r1kit.prompts import is_plain_template
from r1kit.recipe.block import value_with_origin
from r1kit.recipe.distill import DistillConfig, TeacherModelConfig
from r1kit.recipe.rewards import reward_names
from r1kit.recipe.sampling import PolicySamplingConfig
from r1kit.recipe.stages import DistillRecipe, RewardModelRecipe, RLRecipe, TrainingRecipe
from r1kit.recipe.training import SFTTrainingConfig, TrainingConfig
from r1kit.recipe.trl_checks import check_trl_fields, check_vllm_length

FIELDS_OF_ROWS = ("max_length", "too_long", "loss_on", "packing", "group_by_length")
"""Fields of `training` that only a training on finished rows has."""


def check_training(recipe: TrainingRecipe) -> None:
    """Raise UserError where the fields of a stage that trains contradict each other."""
    if recipe.prompt.prefill:
        requirement = "only generate, eval and verifier can begin a completion"
        raise UserError("prompt.prefill", recipe.prompt.prefill, requirement, "remove it")
    if recipe.model.quantize and not recipe.model.lora:
        raise UserError("model.quantize", recipe.model.quantize, "4-bit weights cannot be trained", "add model.lora")
    has_held_out_pairs = isinstance(recipe, RewardModelRecipe) and recipe.pairs.held_out > 0
    _check_steps(recipe.training, has_eval_data=bool(recipe.data.eval) or has_held_out_pairs)
    check_trl_fields(recipe)
    if isinstance(recipe, DistillRecipe):
        _check_distill(recipe)
    elif isinstance(recipe, RLRecipe):
        _check_rollouts(recipe)
    elif isinstance(recipe, RewardModelRecipe):
        _check_pairs(recipe)


def _check_steps(training: TrainingConfig, has_eval_data: bool) -> None:
    if training.steps is not None and training.epochs is not None:
        requirement = f"training.epochs = {training.epochs} is set too"
        raise UserError("training.steps", training.steps, requirement, "remove one of the two")
    if training.micro_batch_size and training.batch_size % training.micro_batch_size:
        requirement = f"must divide training.batch_size = {training.batch_size}"
        raise UserError("training.micro_batch_size", training.micro_batch_size, requirement, "use a divisor of it")
    if training.eval_steps and not has_eval_data:
        raise UserError("training.eval_steps", training.eval_steps, "there is no data to evaluate on", "set data.eval")
    # An evaluation judges the weights of its step, which can only be kept if they are saved then.
    if training.eval_steps and training.save_steps != training.eval_steps:
        requirement = f"must equal training.save_steps = {training.save_steps}, or the best checkpoint is not saved"
        raise UserError("training.eval_steps", training.eval_steps, requirement, "set both to the same number")


def _check_distill(recipe: DistillRecipe) -> None:
    """Check that each method of `distill` has what it needs, and nothing that it would not use."""
    method = recipe.distill.method
    if method == "rows":
        use_other = "set distill.method=on-policy, or remove it"
        requirement = "the method rows learns from finished rows and asks no teacher"
        if recipe.teacher != TeacherModelConfig():
            path = UNSET if recipe.teacher.path is None else recipe.teacher.path
            raise UserError("teacher.path", path, requirement, use_other)
        if recipe.distill.divergence != DistillConfig().divergence:
            raise UserError("distill.divergence", recipe.distill.divergence, requirement, use_other)
        if recipe.sampling != PolicySamplingConfig():
            raise UserError("sampling", UNSET, "the method rows samples nothing", use_other)
        return
    for name in ("trainer", "callbacks"):
        value = getattr(recipe, name)
        if value:
            requirement = f"works with distill.method = rows alone, and that is {method}"
            raise UserError(name, value, requirement, "remove it, or set distill.method=rows")
    if recipe.teacher.path is None:
        requirement = f"the method {method} learns from the probabilities of a teacher"
        raise UserError("teacher.path", UNSET, requirement, "set teacher.path, or distill.method=rows")
    if recipe.teacher.server is not None and method == "gold":
        requirement = "the method gold needs all of the teacher's probabilities, which a server does not give"
        raise UserError("teacher.server", recipe.teacher.server, requirement, "remove it; the teacher is then loaded")
    if recipe.teacher.server is not None and recipe.sampling.temperature != 1:
        requirement = "a teacher's server gives its log-probabilities at the temperature 1"
        raise UserError("sampling.temperature", recipe.sampling.temperature, requirement, "set it to 1")
    check_vllm_length(recipe)
    if recipe.model.new is not None:
        requirement = f"the method {method} trains a model that can answer, and a new one cannot"
        raise UserError("model.new", UNSET, requirement, "set model.path, or distill.method=rows")
    for name in FIELDS_OF_ROWS:
        value = getattr(recipe.training, name)
        if value != SFTTrainingConfig.model_fields[name].default:
            requirement = f"the method {method} trains no finished rows"
            action = "set sampling.max_tokens instead" if name in ("max_length", "too_long") else "remove it"
            raise UserError(f"training.{name}", value, requirement, action)


def _check_pairs(recipe: RewardModelRecipe) -> None:
    for role in ("train", "eval"):
        for index, source in enumerate(getattr(recipe.data, role)):
            if source.share is not None:
                requirement = "reward-model makes pairs of rows, and a share of the rows is no share of the pairs"
                raise UserError(f"data.{role}.{index}.share", source.share, requirement, "set rows instead")
    if recipe.data.eval and "held_out" in recipe.pairs.model_fields_set:
        requirement = "data.eval is set too, and has the held-out pairs"
        raise UserError("pairs.held_out", recipe.pairs.held_out, requirement, "remove one of the two")
    if recipe.pairs.held_out == 1:
        raise UserError("pairs.held_out", 1, "leaves no pair to train on", "use a smaller fraction, such as 0.1")


def _check_rollouts(recipe: RLRecipe) -> None:
    training, group_size = recipe.training, recipe.sampling.group_size
    # Advantages compare the completions of a group, so a rollout must not hold a part of one.
    if recipe.completions_per_rollout % group_size:
        requirement = f"batch_size x updates_per_rollout must be a multiple of sampling.group_size = {group_size}"
        nearest = max(1, training.batch_size // group_size) * group_size
        raise UserError("training.batch_size", value_with_origin(training, "batch_size"), requirement, f"use {nearest}")
    check_vllm_length(recipe)
    block = recipe.steps_per_rollout
    if training.steps and training.steps % block:
        requirement = f"must be a multiple of {block}, the steps on one rollout, since a run resumes between rollouts"
        raise UserError("training.steps", training.steps, requirement, f"use {-(-training.steps // block) * block}")
    if training.reference_reset_steps and training.kl == 0:
        requirement = "needs a reference model, and training.kl = 0 has none"
        action = "set training.kl above 0, or remove training.reference_reset_steps"
        raise UserError("training.reference_reset_steps", training.reference_reset_steps, requirement, action)
    if not recipe.rewards and recipe.environment is None:  # an environment may have a reward of its own
        raise UserError("rewards", recipe.rewards, "RL needs at least one reward", "add a reward, such as accuracy")
    # The name of a reward is its column in the rows and its curve in the metrics.
    names = reward_names(recipe.rewards)
    for name in names:
        if names.count(name) > 1:
            requirement = "each reward may be used once"
            raise UserError("rewards", name, requirement, "remove one of them, or give your own function another name")
    if recipe.tools or recipe.environment:
        _check_tools(recipe)


def _check_tools(recipe: RLRecipe) -> None:
    """Check what rollouts with tools or an environment need of the other fields."""
    field, value = ("tools", recipe.tools) if recipe.tools else ("environment", recipe.environment)
    if is_plain_template(recipe.prompt.template):
        requirement = (
            f"calls of tools are turns of a chat, and prompt.template = {recipe.prompt.template} is plain text"
        )
        raise UserError(field, value, requirement, "set prompt.template=chat")
    if recipe.sampling.resample:
        requirement = f"with {field}, no problem can be replaced by another one"
        raise UserError("sampling.resample", recipe.sampling.resample, requirement, "set it to 0")
