"""How RL asks the policy and reads what it says: exactly as `generate` and `eval` do.

TRL renders prompts and decodes completions itself, by its own options. Here both go through r1kit.models.templates, so
that a prompt has the same ids in training and in evaluation, and that a reward sees the same text as there: with the
`<think>` that a template has written into the prompt, with the marks of thinking that are special tokens, and not taken
apart into messages where a tokenizer has a `response_template`.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from r1kit.models.stop_tokens import neutral_generation_config
from r1kit.models.templates import apply_template, decode_completion, encode_prompts, prefix_of_ids
from r1kit.prompts import CHAT_TEMPLATE
from r1kit.recipe import PromptConfig
from r1kit.training.savings.obstacles import base_model


def needs_trl_rendering(trainer: Any) -> bool:
    """Return whether a trainer's prompts need TRL's rendering: pictures, tools or environments are in them."""
    environments = getattr(trainer, "environment_factories", None)  # TRL's trainers of distillation have none
    return bool(trainer._is_vlm or trainer.tools or environments is not None)


def prompt_ids_as_sampled(trainer: Any, prompts: Sequence[Any]) -> list[list[int]]:
    """Return the ids of prompts, which are texts or chat messages, as the engines of r1kit/sampling make them."""
    settings = PromptConfig(template=CHAT_TEMPLATE, template_settings=trainer.chat_template_kwargs)
    texts = [apply_template(trainer.processing_class, prompt, settings) for prompt in prompts]
    return encode_prompts(trainer.processing_class, prompts, texts)


def read_completion(trainer: Any, prompt: Any, prompt_ids: Sequence[int], completion_ids: Sequence[int]) -> Any:
    """Return a completion in the form of its prompt, a text or a chat message, with what the prompt holds of it."""
    tokenizer = trainer.processing_class
    has_ended = bool(completion_ids) and completion_ids[-1] in trainer.eos_token_ids
    text_ids = completion_ids[:-1] if has_ended else completion_ids
    text = prefix_of_ids(tokenizer, prompt_ids) + decode_completion(tokenizer, text_ids)
    return text if isinstance(prompt, str) else [{"role": "assistant", "content": text}]


@contextlib.contextmanager
def own_sampling_settings(trainer: Any) -> Iterator[None]:
    """Within the block, let nothing but the trainer's own settings say how is sampled and how completions are read.

    The model's generation_config, whose penalties `generate` would follow where TRL leaves a field open, and the
    tokenizer's `response_template`, by which calls of tools are read and nothing else, are as before after it: both are
    saved along with the model.
    """
    model = base_model(trainer.model)
    tokenizer = trainer.processing_class
    generation_config = model.generation_config
    reads_calls = needs_trl_rendering(trainer)
    response_template = None if reads_calls else getattr(tokenizer, "response_template", None)
    model.generation_config, _ = neutral_generation_config(model)
    if response_template is not None:
        tokenizer.response_template = None
    try:
        yield
    finally:
        model.generation_config = generation_config
        if response_template is not None:
            tokenizer.response_template = response_template
