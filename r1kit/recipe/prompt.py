"""The block `prompt`: how a question is put to the model."""

from typing import Any

from pydantic import field_validator

from r1kit.prompts import AUTO_TEMPLATE, CHAT_TEMPLATE, PLAIN_TEMPLATES
from r1kit.recipe.block import Block

# Arguments of `apply_chat_template` that are r1kit's own, and so cannot be settings of a template.
_RESERVED_SETTINGS = frozenset(
    {
        "add_generation_prompt",
        "chat_template",
        "continue_final_message",
        "conversation",
        "max_length",
        "padding",
        "return_assistant_tokens_mask",
        "return_dict",
        "return_tensors",
        "tokenize",
        "tokenizer_kwargs",
        "truncation",
    }
)


class PromptConfig(Block):
    """How a question becomes the text that the model reads."""

    template: str = "r1-zero"
    """Template around the question: `r1-zero` (the paper's), `tiny`, `chat` (the model's own chat template), a text
    with {prompt} in it, such as "Q: {prompt} A:", or `auto`. `auto` asks a run by the prompt it was trained with; of
    other models, it asks those that end a turn of their chat template by `chat`, and base models by `r1-zero`."""
    system: str | None = None
    """System message at the start of the conversation; only for the template `chat`."""
    prefill: str = ""
    """Text with which every completion begins, such as <think> or <answer>; only for sampling."""
    template_settings: dict[str, Any] = {}
    """Arguments of the model's chat template, such as {enable_thinking: false}: the same in training, sampling and
    evaluation."""

    @field_validator("template", mode="before")
    @classmethod
    def _read_bare_braces(cls, template: Any) -> Any:
        """Return the text `{prompt}` for what YAML reads of it without quotes: a mapping with one key and no value."""
        return "{prompt}" if template == {"prompt": None} else template

    @field_validator("template")
    @classmethod
    def _check_template(cls, template: str) -> str:
        if template not in (*PLAIN_TEMPLATES, CHAT_TEMPLATE, AUTO_TEMPLATE) and "{prompt}" not in template:
            raise ValueError("must be r1-zero, tiny, chat, auto or a text with {prompt} in it")
        return template

    @field_validator("template_settings")
    @classmethod
    def _check_template_settings(cls, settings: dict[str, Any]) -> dict[str, Any]:
        for name in settings:
            if name in _RESERVED_SETTINGS:
                raise ValueError(f"must be arguments of the chat template, and {name} is one that r1kit sets itself")
        return settings
