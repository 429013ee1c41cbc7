"""Check before anything is sampled that the model's chat template takes the prompts of all problems.

A template may refuse a system message, or two messages of the user in a row. Found here, that costs seconds; found when
the row's turn comes, it would cost the hours of sampling before it.
"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from r1kit.data.questions import render_prompt
from r1kit.messages import logger
from r1kit.prompts import is_plain_template
from r1kit.ranks import is_main_rank
from r1kit.recipe import ModelConfig, PromptConfig, SamplingConfig

if TYPE_CHECKING:
    from datasets import Dataset

_ROWS_AT_ONCE = 10_000  # problems that are read at once


def check_problem_prompts(
    problems: "Dataset", model_config: ModelConfig, prompt_config: PromptConfig, engine: str, field: str
) -> None:
    """Raise UserError for the first problem whose prompt the model's chat template refuses; `field` names the data.

    A server renders its own template, so that nothing is checked for the engine `openai`.
    """
    if is_plain_template(prompt_config.template):
        _note_system_messages(problems, prompt_config, field)
        return
    if engine == "openai":
        return
    from r1kit.models.chat_templates import check_template_settings
    from r1kit.models.load import load_tokenizer
    from r1kit.models.templates import check_chat_template, check_prompts_render

    tokenizer = load_tokenizer(model_config)
    check_chat_template(tokenizer, prompt_config.template)
    check_template_settings(tokenizer, prompt_config.template_settings)
    prompts = (render_prompt(question, prompt_config) for question in _questions(problems))
    check_prompts_render(tokenizer, prompts, prompt_config, field)


def check_completion_room(model_config: ModelConfig, sampling_config: SamplingConfig, field: str = "sampling") -> None:
    """Raise UserError where `max_tokens` alone exceeds the model's context, before the model is loaded.

    Nothing is checked of a server's model, and of a model whose config is not on this machine; `field` is the key of
    the sampling settings.
    """
    if sampling_config.engine == "openai":
        return
    from r1kit.models.size import UnknownSizeError, check_context, load_config

    with contextlib.suppress(UnknownSizeError):
        max_tokens = sampling_config.max_tokens
        check_context(load_config(model_config), max_tokens, f"{field}.max_tokens", max_tokens)


def _questions(problems: "Dataset") -> Iterator[Any]:
    """Yield the questions of the problems; of plain texts the first alone, since all of them are rendered alike."""
    column = problems.select_columns(["prompt"])
    for start in range(0, len(column), _ROWS_AT_ONCE):
        for question in column[start : start + _ROWS_AT_ONCE]["prompt"]:
            yield question
            if isinstance(question, str):
                return


def _note_system_messages(problems: "Dataset", prompt_config: PromptConfig, field: str) -> None:
    """Say how many problems have a system message, which a plain template leaves out."""
    count = 0
    for question in _questions(problems):
        count += isinstance(question, list) and question[0]["role"] == "system"
    if count and is_main_rank():
        logger.info(
            f"{field}: {count} of {len(problems)} prompts begin with a system message, which the plain template "
            f"{prompt_config.template!r} leaves out; prompt.template=chat keeps it"
        )
