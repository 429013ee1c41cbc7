"""Chat templates: from a prompt to its text and its ids, and what a template writes of the completion already.

text = apply_template(tokenizer, [{"role": "user", "content": "2 + 2?"}], PromptConfig(template="chat"))
[ids] = encode_prompts(tokenizer, [messages], [text])
template_prefix(text, prefill="")                       "<think>\\n" where the template opens the thinking itself
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from r1kit.errors import UserError
from r1kit.prompts import CHAT_TEMPLATE
from r1kit.recipe import PromptConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

THINK_START, THINK_END = "<think>", "</think>"


def encode_prompts(tokenizer: Any, prompts: Sequence[Any], texts: Sequence[str]) -> list[list[int]]:
    """Return the ids of `prompts`, which are all of one type.

    Prompts that are ids already are returned as they are. Of the others, `texts` are encoded: those of plain prompts
    with the tokenizer's special tokens (such as a token for the beginning), those of chat messages without, since a
    chat template writes its own.
    """
    if isinstance(prompts[0], tuple):
        return [list(ids) for ids in prompts]
    is_plain_text = isinstance(prompts[0], str)
    return tokenizer(list(texts), add_special_tokens=is_plain_text).input_ids


def apply_template(tokenizer: Any, prompt: Any, settings: PromptConfig) -> str:
    """Return the text of a prompt, which is a string, a tuple of ids or a list of chat messages.

    Chat messages are put through the tokenizer's chat template, with the recipe's prefill after it.
    """
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, tuple):
        return tokenizer.decode(prompt)
    text = tokenizer.apply_chat_template(
        prompt, tokenize=False, add_generation_prompt=True, **settings.template_settings
    )
    return text + settings.prefill


def template_prefix(rendered_prompt: str, prefill: str) -> str:
    """Return the beginning of the completion that the prompt already holds: the prefill, or a template's `<think>`.

    White space after the tag belongs to it: "Q: 2 + 2?\\nA: <think>\\n" gives "<think>\\n".
    """
    if prefill:
        return prefill
    stripped = rendered_prompt.rstrip()
    if not stripped.endswith(THINK_START):
        return ""
    return THINK_START + rendered_prompt[len(stripped) :]


def check_chat_template(tokenizer: "PreTrainedTokenizerBase", template: str) -> None:
    """Raise UserError where the recipe's template is `chat` and the model has no chat template."""
    if template == CHAT_TEMPLATE and tokenizer.chat_template is None:
        requirement = "this model has no chat template"
        raise UserError("prompt.template", CHAT_TEMPLATE, requirement, "use r1-zero, tiny or a text with {prompt}")
