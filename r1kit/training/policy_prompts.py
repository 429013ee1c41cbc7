"""What is checked and set of a model that is trained on its own completions, before its training begins."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from r1kit.models.chat_templates import check_template_settings
from r1kit.models.load import check_context
from r1kit.models.stop_tokens import end_token_ids
from r1kit.models.templates import apply_template, check_chat_template, check_prompts_render, encode_prompts
from r1kit.recipe import PromptConfig

if TYPE_CHECKING:
    from datasets import Dataset

PROMPTS_MEASURED = 200
"""Longest prompts that are measured before the training: do they fit into the model's context with a completion?"""


def check_policy_prompts(
    models: Sequence[Any],
    tokenizer: Any,
    prompt: PromptConfig,
    max_tokens: int,
    problems: "Dataset",
    held_out: "Dataset | None",
) -> None:
    """Raise UserError for a prompt that the chat template refuses, or that leaves no room for a completion.

    `models` read the prompts: the policy, and a teacher that has its tokens. `max_tokens` is the longest completion
    that the training samples.
    """
    check_chat_template(tokenizer, prompt.template)
    check_template_settings(tokenizer, prompt.template_settings)
    check_prompts_render(tokenizer, problems["prompt"], prompt, "data.train")
    if held_out is not None:
        check_prompts_render(tokenizer, held_out["prompt"], prompt, "data.eval")
    # The longest texts, since reading all prompts of a large set as tokens would take minutes.
    longest = sorted(problems["prompt"], key=_count_chars, reverse=True)[:PROMPTS_MEASURED]
    texts = [apply_template(tokenizer, question, prompt) for question in longest]
    prompt_tokens = max(len(ids) for ids in encode_prompts(tokenizer, longest, texts))
    for model in models:
        check_context(model, prompt_tokens + max_tokens, "sampling.max_tokens", max_tokens)


def _count_chars(prompt: Any) -> int:
    return len(prompt) if isinstance(prompt, str) else sum(len(message["content"] or "") for message in prompt)


def stop_at_end_of_turn(model: Any, tokenizer: Any, arguments: Any, template: str) -> None:
    """Let completions end at the tokens at which sampling ends them; the model is saved with those."""
    ids = end_token_ids(tokenizer, model.generation_config.eos_token_id, template)
    model.generation_config.eos_token_id = ids
    if arguments.use_vllm:
        arguments.generation_kwargs = {"stop_token_ids": ids, **(arguments.generation_kwargs or {})}
