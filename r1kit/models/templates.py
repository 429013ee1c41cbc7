"""Chat templates: from a prompt to its text and ids, and what a template writes of the completion already."""

from typing import TYPE_CHECKING

from r1kit.errors import UserError
from r1kit.prompts import CHAT_TEMPLATE

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

from collections.abc import Sequence
from typing import Any

from r1kit.recipe import PromptConfig


def encode_prompts(tokenizer: Any, prompts: Sequence[Any], texts: Sequence[str]) -> list[list[int]]:
    """Return the ids of prompts, whose texts are given; plain text has the tokenizer's own tokens with it."""
    if isinstance(prompts[0], tuple):
        return [list(ids) for ids in prompts]
    return tokenizer(list(texts), add_special_tokens=isinstance(prompts[0], str)).input_ids


def apply_template(tokenizer: Any, prompt: Any, settings: PromptConfig) -> str:
    """Return a prompt's text: its own, that of its ids, or the chat template's with the prefill after it."""
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, tuple):
        return tokenizer.decode(prompt)
    text = tokenizer.apply_chat_template(
        prompt, tokenize=False, add_generation_prompt=True, **settings.template_settings
    )
    return text + settings.prefill


THINK_START, THINK_END = "<think>", "</think>"


def template_prefix(rendered: str, prefill: str) -> str:
    """Return what a completion begins with that the model was given: the prefill, or a template's own <think>."""
    if prefill:
        return prefill
    bare = rendered.rstrip()
    return THINK_START + rendered[len(bare) :] if bare.endswith(THINK_START) else ""


def check_chat_template(tokenizer: "PreTrainedTokenizerBase", template: str) -> None:
    """Raise UserError where the recipe wants a chat template and the model has none."""
    if template == CHAT_TEMPLATE and tokenizer.chat_template is None:
        must = "this model has no chat template"
        raise UserError("prompt.template", CHAT_TEMPLATE, must, "use r1-zero, tiny or a text with {prompt}")
