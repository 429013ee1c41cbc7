"""The first row of a recipe as the model gets it, and the tokens of the longest prompt, without fetching anything."""

import contextlib
import sys
from typing import TYPE_CHECKING, Any

from r1kit.data.examples import load_examples
from r1kit.data.problems import load_problems
from r1kit.data.questions import render_prompt
from r1kit.errors import UserError
from r1kit.heavy_imports import heavy_imports
from r1kit.messages import logger
from r1kit.preflight.sources import ROWS_TRIED, SourcesView
from r1kit.prompts import AUTO_TEMPLATE, is_plain_template
from r1kit.recipe import (
    DistillRecipe,
    EvalRecipe,
    GenerateRecipe,
    ModelConfig,
    RLRecipe,
    SFTRecipe,
    VerifierRecipe,
)
from r1kit.recipe.trl_checks import longest_completion
from r1kit.rewards.checks import check_reward_data
from r1kit.training.policy_prompts import check_problem_count, check_room, longest_prompt_tokens

if TYPE_CHECKING:
    from datasets import Dataset

PolicyRecipe = RLRecipe | DistillRecipe
ProblemRecipe = PolicyRecipe | GenerateRecipe | EvalRecipe | VerifierRecipe
SHOWN_PROMPT_CHARACTERS = 1000
"""The most characters of the first prompt that a dry run shows."""


def look_at_problems(recipe: ProblemRecipe, role: str, view: SourcesView) -> list[str]:
    """Return lines on the problems of the sources in `view`: how many, the first prompt, and the longest one.

    Raises UserError for problems that the stage would refuse: without what a reward needs, fewer than a rollout takes,
    refused by the chat template, or too long for the model's context.
    """
    if not view.readable:
        return []
    # Shares are those of all sources, and cannot be drawn from some of them.
    sources = view.readable if view.is_complete else [_without_share(source) for source in view.readable]
    problems = load_problems(sources, None, role, recipe.data if view.is_complete and role == "data.train" else None)
    if not isinstance(recipe, DistillRecipe):
        check_reward_data(recipe.rewards, problems, sources[0].path)
    lines = []
    if view.is_complete:
        lines.append(f"{role}: {len(problems):,} problems")
        if isinstance(recipe, PolicyRecipe) and role == "data.train":
            check_problem_count(recipe, problems)
            lines[-1] += f", of which {_describe_need(recipe)}"
    return lines + _look_at_prompts(recipe, role, problems)


def _describe_need(recipe: PolicyRecipe) -> str:
    if isinstance(recipe, RLRecipe):
        return f"a rollout takes {recipe.prompts_per_rollout:,}"
    return f"a step takes {recipe.training.batch_size:,}"


def _without_share(source: Any) -> Any:
    return source.model_copy(update={"share": None})


def _look_at_prompts(recipe: ProblemRecipe, role: str, problems: "Dataset") -> list[str]:
    """Return lines on the first prompt as the model gets it, and on the longest one beside the model's context."""
    question = problems[0]["prompt"]
    engine = "transformers" if isinstance(recipe, PolicyRecipe) else recipe.sampling.engine
    has_models = isinstance(recipe, EvalRecipe) and bool(recipe.models)
    if engine != "openai":
        for path in _model_paths(recipe):
            _check_completions(recipe, path)
    if has_models or recipe.prompt.template == AUTO_TEMPLATE:
        return [f"first question: {shorten(question)}"]
    first = render_prompt(question, recipe.prompt)
    if engine == "openai":
        return [f"first prompt: {shorten(first)}"]
    tokenizer = load_local_tokenizer(recipe.model)
    if tokenizer is None:
        prompt_text = shorten(first) if is_plain_template(recipe.prompt.template) else shorten(question)
        reason = f"the tokenizer of {recipe.model.path} is not on this machine"
        return [f"first prompt: {prompt_text}", f"prompts: not measured, because {reason}"]
    with heavy_imports():
        from r1kit.models.chat_templates import check_template_settings
        from r1kit.models.templates import apply_template, check_chat_template, check_prompts_render
    check_chat_template(tokenizer, recipe.prompt.template)
    check_template_settings(tokenizer, recipe.prompt.template_settings)
    prompts = [render_prompt(value, recipe.prompt) for value in problems["prompt"]]
    check_prompts_render(tokenizer, prompts, recipe.prompt, role)
    text = apply_template(tokenizer, first, recipe.prompt)
    tokens = longest_prompt_tokens(tokenizer, prompts, recipe.prompt)
    return [f"first prompt: {shorten(text)}", _describe_room(recipe, tokens)]


def _model_paths(recipe: ProblemRecipe) -> list[str]:
    if isinstance(recipe, EvalRecipe) and recipe.models:
        return [evaluated.path for evaluated in recipe.models.values()]
    return [recipe.model.path or ""]


def _check_completions(recipe: ProblemRecipe, path: str) -> None:
    """Raise UserError where `max_tokens` alone exceeds the context of a model whose config is on this machine."""
    from r1kit.models.size import UnknownSizeError, check_context, load_config

    max_tokens = _largest_limit(recipe)
    with contextlib.suppress(UnknownSizeError):
        check_context(load_config(recipe.model, path), max_tokens, "sampling.max_tokens", max_tokens)


def _largest_limit(recipe: ProblemRecipe) -> int:
    """Return the most tokens of a completion."""
    return longest_completion(recipe) if isinstance(recipe, PolicyRecipe) else recipe.sampling.max_tokens


def _describe_room(recipe: ProblemRecipe, prompt_tokens: int) -> str:
    """Return the line on the longest prompt. Raises UserError where the stage would for want of room."""
    from r1kit.models.size import UnknownSizeError, context_length, load_config

    max_tokens = _largest_limit(recipe)
    total = prompt_tokens + max_tokens
    line = (
        f"prompts: the longest has {prompt_tokens:,} tokens, and sampling.max_tokens = {max_tokens:,} makes {total:,}"
    )
    try:
        config = load_config(recipe.model)
    except UnknownSizeError:
        return line
    if isinstance(recipe, PolicyRecipe):
        check_room(recipe, config, prompt_tokens)
    context = context_length(config)
    if context is None:
        return line
    shortened = "; completions of long prompts end earlier" if total > context else ""
    return f"{line} of the model's context of {context:,}{shortened}"


def load_local_tokenizer(model: ModelConfig) -> Any | None:
    """Return the tokenizer of a model, None where it is not on this machine."""
    with heavy_imports():
        import transformers  # noqa: F401
    from r1kit.models.load import load_tokenizer

    try:
        return load_tokenizer(model, local_files_only=True)
    except UserError as error:
        if str(error).startswith("model.path"):
            return None
        raise


def shorten(prompt: Any) -> str:
    """Return a prompt as one text, without the middle of a long one."""
    text = prompt if isinstance(prompt, str) else "\n".join(f"{turn['role']}: {turn['content']}" for turn in prompt)
    if len(text) <= SHOWN_PROMPT_CHARACTERS:
        return text
    half = SHOWN_PROMPT_CHARACTERS // 2
    return f"{text[:half]} ... {len(text) - 2 * half:,} characters ... {text[-half:]}"


def look_at_examples(recipe: SFTRecipe, view: SourcesView) -> list[str]:
    """Return lines on the rows of SFT: how many, and the first as it is trained, or why it is not shown.

    Raises UserError for rows that cannot be trained, as the stage would.
    """
    if recipe.model.new is not None:
        return ["first row: not shown, because the tokenizer of a new model is trained on all rows"]
    if not view.readable:
        return [f"first row: not shown, because {recipe.data.train[0].path} is not on this machine"]
    lines = []
    if view.is_complete:
        rows = load_examples(view.readable, recipe.prompt, data=recipe.data)
        lines.append(f"data.train: {len(rows):,} rows, of which a step takes {recipe.training.batch_size:,}")
    else:
        rows = load_examples([_without_share(view.readable[0])], recipe.prompt)
    return [*lines, _describe_first_row(recipe, rows)]


def _describe_first_row(recipe: SFTRecipe, rows: "Dataset") -> str:
    with heavy_imports():
        from r1kit.models.stop_tokens import read_end_token_ids
        from r1kit.training.sft_tokenizer import make_tokenizer
        from r1kit.training.tokenized_rows import describe_first_row, tokenize_examples
    try:
        tokenizer = make_tokenizer(recipe, rows, local_files_only=True)
    except UserError as error:
        if str(error).startswith("model.path"):
            return f"first row: not shown, because the tokenizer of {recipe.model.path} is not on this machine"
        raise
    stops: set[str] = set(tokenizer.convert_ids_to_tokens(sorted(read_end_token_ids(recipe.model, tokenizer))))
    # How many rows are too long can be told from all of them alone.
    training = recipe.training.model_copy(update={"max_length": sys.maxsize})
    unlimited = recipe.model_copy(update={"training": training})
    # How rows are rendered depends on all of them: whether any of them thinks, for one.
    first_rows = rows.select(range(min(len(rows), ROWS_TRIED)))
    tokenized = tokenize_examples(first_rows, tokenizer, unlimited, "data.train", stops)
    if tokenized.renderer is not None and tokenized.renderer.note:
        logger.info(tokenized.renderer.note)
    return describe_first_row(tokenizer, tokenized.dataset[0])
