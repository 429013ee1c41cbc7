"""The checks of the block `trl`: its keys, the values that TRL checks late, and vLLM's context."""

from r1kit.errors import UserError, suggest
from r1kit.recipe.stages import DistillRecipe, RLRecipe, TrainingRecipe
from r1kit.recipe.trl import FIXED_BY_R1KIT, OWNED_TRL_FIELDS, REPLACED_TRL_FIELDS, TRL_CHOICES, trl_fields
from r1kit.synonyms import KEY_ACTIONS, KEYS, words_meaning

_FIELDS_OF_LAUNCHERS = ("deepspeed", "fsdp", "fsdp_config")


def check_trl_fields(recipe: TrainingRecipe) -> None:
    """Check the keys of the block `trl`: TRL must have them, and r1kit must not set them itself."""
    config = recipe.trl_config
    recipe_fields = OWNED_TRL_FIELDS[config] | REPLACED_TRL_FIELDS[config]
    for key, value in recipe.trl.items():
        if key in recipe_fields:
            owner = recipe_fields[key]
            if owner == FIXED_BY_R1KIT:
                raise UserError(f"trl.{key}", value, "r1kit sets it itself", "remove it")
            raise UserError(f"trl.{key}", value, f"r1kit sets it from {owner}", f"set {owner} instead")
        known_fields = trl_fields(config)
        if known_fields and key not in known_fields:
            if key in type(recipe.training).model_fields:
                raise UserError(f"trl.{key}", value, "it is a field of r1kit's", f"set training.{key} instead")
            similar_keys = words_meaning(KEYS, key)
            action = f"did you mean {similar_keys[0]}?" if similar_keys else suggest(key, known_fields)
            raise UserError(f"trl.{key}", value, f"TRL's {config} has no such field", action)
        if key in _FIELDS_OF_LAUNCHERS and value:
            action = words_meaning(KEY_ACTIONS, key)[0]
            raise UserError(f"trl.{key}", value, "is decided where the processes are launched", action)
        if key == "report_to":
            _check_tracker_names(value)
        _check_trl_choice(key, value, TRL_CHOICES.get(config, {}).get(key, ()))


def _check_tracker_names(value: object) -> None:
    """Raise UserError for a mapping in trl.report_to, which holds a name or a list of names."""
    names = value if isinstance(value, list) else [value]
    if any(isinstance(name, dict) for name in names):
        action = "write trl.report_to=wandb, and set WANDB_PROJECT before the command to name a project"
        raise UserError("trl.report_to", value, "must be the name of a tracker, or a list of names", action)


def _check_trl_choice(key: str, value: object, choices: tuple[object, ...]) -> None:
    """Check a field of the block `trl` that TRL would check only after hours, such as `loss_type`."""
    if not choices or any(value is choice or (isinstance(value, str) and value == choice) for choice in choices):
        return
    names = [choice for choice in choices if isinstance(choice, str)]
    action = suggest(str(value), names)
    raise UserError(f"trl.{key}", value, f"must be {', '.join(names[:-1])} or {names[-1]}", action)


def longest_completion(recipe: RLRecipe | DistillRecipe) -> int:
    """Return the most tokens that a completion of the run may have, those of a later part of the schedule included."""
    schedule = recipe.sampling.schedule if isinstance(recipe, RLRecipe) else []
    return max([recipe.sampling.max_tokens, *(step.max_tokens for step in schedule)])


def check_vllm_length(recipe: RLRecipe | DistillRecipe) -> None:
    """Check that vLLM's context leaves room for a prompt beside the longest completion."""
    length = recipe.trl.get("vllm_max_model_length")
    if isinstance(length, int) and longest_completion(recipe) >= length:
        requirement = f"must be above sampling.max_tokens = {longest_completion(recipe)}, to hold a prompt too"
        action = "raise it by the tokens of the longest prompt"
        raise UserError("trl.vllm_max_model_length", length, requirement, action)
