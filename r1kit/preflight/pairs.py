"""The pairs of a recipe of `reward-model`: how many, and the first as the model reads it, without fetching anything."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from r1kit.data.preferences import Pair, load_pairs, pair_source
from r1kit.errors import UserError
from r1kit.heavy_imports import heavy_imports
from r1kit.preflight.rows import load_local_tokenizer, shorten
from r1kit.preflight.sources import ROWS_TRIED, SourcesView, look_at_sources
from r1kit.recipe import RewardModelRecipe
from r1kit.rewards.reward_models import describe_judged_text, encode_judged_texts, render_judged_text

if TYPE_CHECKING:
    from r1kit.recipe import SourceConfig


def look_at_pairs(recipe: RewardModelRecipe) -> list[str]:
    """Return lines on the sources of pairs: rows and columns of each, how many pairs, the first one and the longest.

    Raises UserError for rows of which the stage can make no pairs, and for pairs beyond the model's context.
    """
    train = _look_at_rows(recipe.data.train, "data.train")
    held_out = _look_at_rows(recipe.data.eval, "data.eval")
    lines = train.lines + held_out.lines
    if not train.readable:
        return lines
    is_complete = train.is_complete and held_out.is_complete
    data = recipe.data.model_copy(update={"train": train.readable, "eval": held_out.readable if is_complete else []})
    small = recipe.model_copy(update={"data": data})
    if not is_complete:
        small.pairs = recipe.pairs.model_copy(update={"held_out": 0.0})  # a few rows may have too few prompts for it
    try:
        train_pairs, held_out_pairs = load_pairs(small)
    except UserError as error:
        if is_complete:
            raise
        return [*lines, f"first pair: not shown, because the rows that were drawn make none ({error})"]
    if is_complete:
        lines.append(f"pairs: {len(train_pairs):,} to train on, and {len(held_out_pairs):,} held out")
    return lines + _look_at_texts(recipe, train_pairs)


def _look_at_rows(sources: "Sequence[SourceConfig]", role: str) -> SourcesView:
    return look_at_sources([pair_source(source) for source in sources], role)


def _look_at_texts(recipe: RewardModelRecipe, pairs: Sequence[Pair]) -> list[str]:
    """Return lines on the first pair as the model reads it, and on the longest text of the first ones."""
    tokenizer = load_local_tokenizer(recipe.model)
    if tokenizer is None:
        reason = f"the tokenizer of {recipe.model.path} is not on this machine"
        first = [f"first pair, {name}: {shorten(text)}" for name, text in _sides(pairs[0])]
        return [*first, f"pairs: not measured, because {reason}"]
    with heavy_imports():
        from r1kit.models.chat_templates import check_template_settings
        from r1kit.models.templates import check_chat_template
    check_chat_template(tokenizer, recipe.prompt.template)
    check_template_settings(tokenizer, recipe.prompt.template_settings)
    judged = describe_judged_text(recipe)
    texts: list[str] = []
    for pair in pairs[:ROWS_TRIED]:
        texts += [render_judged_text(tokenizer, pair.prompt, text, judged) for _, text in _sides(pair)]
    first = [f"first pair, {name}: {shorten(text)}" for (name, _), text in zip(_sides(pairs[0]), texts, strict=False)]
    token_counts = [len(ids) for ids in encode_judged_texts(tokenizer, texts, judged)]
    return [*first, _describe_lengths(recipe, token_counts)]


def _sides(pair: Pair) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("better", pair.chosen), ("worse", pair.rejected)


def _describe_lengths(recipe: RewardModelRecipe, token_counts: Sequence[int]) -> str:
    """Return the line on the longest text. Raises UserError where one that is trained is beyond the model's context."""
    from r1kit.models.size import UnknownSizeError, load_config

    limit = recipe.training.max_length
    line = (
        f"pairs: the longest text of the first {len(token_counts) // 2:,} pairs has {max(token_counts):,} tokens, and "
        f"training.max_length = {limit:,} leaves out pairs with a longer one"
    )
    try:
        config = load_config(recipe.model)
    except UnknownSizeError:
        return line
    check_pair_length(recipe, config, max((count for count in token_counts if count <= limit), default=0))
    return line


def check_pair_length(recipe: RewardModelRecipe, config: Any, tokens: int) -> None:
    """Raise UserError where a text of `tokens` tokens does not fit into the context of the model with `config`."""
    context = getattr(config.get_text_config(), "max_position_embeddings", None)
    if context is not None and tokens > context:
        requirement = f"a pair has {tokens} tokens, and the model's context has {context}"
        raise UserError("training.max_length", recipe.training.max_length, requirement, f"use at most {context}")
