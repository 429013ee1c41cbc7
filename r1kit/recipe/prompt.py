"""The block `prompt`: how a question is put to the model."""

from typing import Any

from pydantic import field_validator

from r1kit.prompts import CHAT_TEMPLATE, PLAIN_TEMPLATES
from r1kit.recipe.block import Block


class PromptConfig(Block):
    """How a question becomes the text that the model reads."""

    template: str = "r1-zero"
    """Template around the question: `r1-zero` (the paper's), `tiny`, `chat` (the model's own chat template), or a text
    with {prompt} in it, such as "Q: {prompt} A:"."""
    system: str | None = None
    """System message at the start of the conversation; only for the template `chat`."""
    prefill: str = ""
    """Text with which every completion begins, such as <think> or <answer>; only for sampling."""
    template_settings: dict[str, Any] = {}
    """Arguments of the model's chat template, such as {enable_thinking: false}; only for sampling."""

    @field_validator("template")
    @classmethod
    def _check_template(cls, template: str) -> str:
        if template not in (*PLAIN_TEMPLATES, CHAT_TEMPLATE) and "{prompt}" not in template:
            raise ValueError("must be r1-zero, tiny, chat or a text with {prompt} in it")
        return template
