"""The tokenizer of an SFT run: that of the model, or one trained on the rows for a new model.

tokenizer = make_tokenizer(recipe, rows)
"""

from typing import TYPE_CHECKING

from r1kit.errors import UserError
from r1kit.models.chat_templates import check_template_settings, set_chat_template
from r1kit.models.load import load_tokenizer
from r1kit.models.templates import check_chat_template
from r1kit.recipe import SFTRecipe

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase


def make_tokenizer(recipe: SFTRecipe, rows: "Dataset", local_files_only: bool = False) -> "PreTrainedTokenizerBase":
    """Return the tokenizer of a recipe's model, or one that is trained on the text of `rows` for a new model.

    With `local_files_only` nothing is fetched from the hub. Raises UserError where the recipe asks of it what it does
    not have: a chat template, a setting of one, a token.
    """
    if recipe.model.new is None:
        tokenizer = load_tokenizer(recipe.model, local_files_only)
    else:
        tokenizer = _train_tokenizer(recipe, rows)
    if "text" not in rows.column_names:
        check_chat_template(tokenizer, recipe.prompt.template)
        check_template_settings(tokenizer, recipe.prompt.template_settings)
    for name, meaning in (("eos_token", "end"), ("pad_token", "padding")):
        token = recipe.trl.get(name)
        if token is None:
            continue
        if not isinstance(token, str) or token not in tokenizer.get_vocab():
            requirement = "must be a token of the model's tokenizer"
            action = f"remove it; the {meaning} token is {getattr(tokenizer, name)}"
            raise UserError(f"trl.{name}", token, requirement, action)
        setattr(tokenizer, name, token)
    return tokenizer


def _train_tokenizer(recipe: SFTRecipe, rows: "Dataset") -> "PreTrainedTokenizerBase":
    from r1kit.models.tokenizer import train_tokenizer

    assert recipe.model.new is not None
    texts: list[str] = []
    for name in rows.column_names:
        for value in rows[name]:
            # Of chat messages the tokenizer is trained on their contents.
            texts += [value] if isinstance(value, str) else [str(message.get("content")) for message in value or []]
    if rows.column_names == ["prompt", "completion"] and isinstance(rows[0]["prompt"], str):
        texts = [prompt + completion for prompt, completion in zip(rows["prompt"], rows["completion"], strict=True)]
    tokenizer = train_tokenizer(texts, recipe.model.new.vocab_size)
    if recipe.model.chat_template:
        set_chat_template(tokenizer, recipe.model.chat_template)
    return tokenizer
