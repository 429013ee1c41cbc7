"""What is checked and set of a model that is trained on its own completions, before its training begins.

check_problem_count(recipe, problems)
prompt_tokens = check_policy_prompts(recipe, tokenizer, problems, held_out)
check_room(recipe, model.config, prompt_tokens)
"""

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from r1kit.errors import UserError
from r1kit.models.chat_templates import check_template_settings
from r1kit.models.size import UnknownSizeError, check_context, load_config
from r1kit.models.stop_tokens import end_token_ids
from r1kit.models.templates import apply_template, check_chat_template, check_prompts_render, encode_prompts
from r1kit.recipe import DistillRecipe, PromptConfig, RLRecipe
from r1kit.recipe.trl_checks import longest_completion

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig

PROMPTS_MEASURED = 200
"""The number of the longest prompts, in characters, whose tokens are counted."""


def check_problem_count(recipe: RLRecipe | DistillRecipe, problems: "Dataset") -> None:
    """Raise UserError where there are fewer problems than one rollout, or one step of `distill`, takes."""
    if isinstance(recipe, RLRecipe):
        unit, needed = "rollout", recipe.prompts_per_rollout
        largest = len(problems) * recipe.sampling.group_size // recipe.training.updates_per_rollout
        is_possible = largest >= recipe.sampling.group_size
    else:
        unit, needed = "step", recipe.training.batch_size
        largest, is_possible = len(problems), True
    if len(problems) >= needed:
        return
    action = f"add problems, or use a training.batch_size of at most {largest}"
    if not is_possible:
        action = "add problems, or use a smaller sampling.group_size and training.batch_size"
    requirement = f"has {len(problems)} problems, but one {unit} needs {needed}"
    raise UserError("data.train", recipe.data.train[0].path, requirement, action)


def check_policy_prompts(
    recipe: RLRecipe | DistillRecipe, tokenizer: Any, problems: "Dataset", held_out: "Dataset | None"
) -> int:
    """Return the tokens of the longest prompt.

    Raises UserError for a prompt that the chat template refuses, and for one that leaves no room for a completion in
    the context, as far as the model's config is on this machine.
    """
    prompt = recipe.prompt
    check_chat_template(tokenizer, prompt.template)
    check_template_settings(tokenizer, prompt.template_settings)
    check_prompts_render(tokenizer, problems["prompt"], prompt, "data.train")
    if held_out is not None:
        check_prompts_render(tokenizer, held_out["prompt"], prompt, "data.eval")
    prompt_tokens = longest_prompt_tokens(tokenizer, problems["prompt"], prompt)
    with contextlib.suppress(UnknownSizeError):
        check_room(recipe, load_config(recipe.model), prompt_tokens)
    return prompt_tokens


def longest_prompt_tokens(tokenizer: Any, prompts: Sequence[Any], settings: PromptConfig) -> int:
    """Return the tokens of the longest of the prompts, which are rendered as the recipe says.

    The longest texts are measured alone, since reading all prompts of a large set as tokens would take minutes.
    """
    longest = sorted(prompts, key=_count_chars, reverse=True)[:PROMPTS_MEASURED]
    texts = [apply_template(tokenizer, prompt, settings) for prompt in longest]
    return max(len(ids) for ids in encode_prompts(tokenizer, longest, texts))


def _count_chars(prompt: Any) -> int:
    return len(prompt) if isinstance(prompt, str) else sum(len(message["content"] or "") for message in prompt)


def check_room(recipe: RLRecipe | DistillRecipe, config: "PretrainedConfig", prompt_tokens: int) -> None:
    """Raise UserError where the longest prompt with the longest completion exceeds the context of model or vLLM."""
    completion_tokens = longest_completion(recipe)
    tokens = prompt_tokens + completion_tokens
    check_context(config, tokens, "sampling.max_tokens", completion_tokens)
    length = recipe.trl.get("vllm_max_model_length")
    if isinstance(length, int) and tokens > length:
        requirement = f"the longest prompt has {prompt_tokens} tokens, and with its completion up to {tokens}"
        raise UserError("trl.vllm_max_model_length", length, requirement, f"use at least {tokens}")


def stop_at_end_of_turn(model: Any, tokenizer: Any, arguments: Any, template: str) -> None:
    """Let completions end at the tokens at which sampling ends them; the model is saved with those."""
    ids = end_token_ids(tokenizer, model.generation_config.eos_token_id, template)
    model.generation_config.eos_token_id = ids
    if arguments.use_vllm:
        arguments.generation_kwargs = {"stop_token_ids": ids, **(arguments.generation_kwargs or {})}
