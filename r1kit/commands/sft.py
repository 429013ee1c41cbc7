"""`r1kit sft` and `r1kit distill`: supervised fine-tuning of a model, or training of a new one on plain text.

    r1kit sft recipes/tiny/dev1.yaml
    r1kit distill recipes/tiny/distill.yaml data.train=runs/tiny/sft_data

`distill` is the paper's distillation (DeepSeek-R1, section 2.4): SFT of a small model on rows that a large one sampled,
without RL.
"""

from typing import TYPE_CHECKING, Any

from r1kit.data.examples import load_examples
from r1kit.heavy_imports import heavy_imports
from r1kit.models.load import build_lora_config, create_model, load_model, load_tokenizer
from r1kit.models.templates import check_chat_template
from r1kit.recipe import SFTRecipe
from r1kit.runs.run import Run
from r1kit.training.arguments import build_sft_config

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def main(recipe: SFTRecipe, run: Run) -> None:
    """Train the model of a recipe and save it in the run directory."""
    # The data comes first: a mistake in it is then reported before torch is imported.
    train_rows = load_examples(recipe.data.train, recipe.prompt, data=recipe.data)
    eval_rows = load_examples(recipe.data.eval, recipe.prompt, "data.eval") if recipe.data.eval else None

    with heavy_imports():
        from r1kit.training.core import run_training
        from r1kit.training.sft import FineTuningTrainer

    def build_trainer() -> FineTuningTrainer:
        arguments = build_sft_config(recipe, run)
        model, tokenizer = _load_or_create(recipe, train_rows)
        return FineTuningTrainer(
            model=model,
            args=arguments,
            train_dataset=train_rows,
            eval_dataset=eval_rows,
            processing_class=tokenizer,
            peft_config=build_lora_config(recipe.model),
            recipe=recipe,
        )

    run_training(build_trainer, recipe, run)


def _load_or_create(recipe: SFTRecipe, rows: Any) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """Return the recipe's model and its tokenizer, loaded, or new ones made for the text of `rows`."""
    is_plain_text = "text" in rows.column_names
    if recipe.model.new is None:
        tokenizer = load_tokenizer(recipe.model)
        if not is_plain_text:
            check_chat_template(tokenizer, recipe.prompt.template)
        return load_model(recipe.model), tokenizer

    from transformers import set_seed

    from r1kit.models.tokenizer import train_tokenizer

    if is_plain_text:
        texts = rows["text"]
    else:
        texts = [prompt + completion for prompt, completion in zip(*rows[:].values(), strict=True)]
    new_tokenizer = train_tokenizer(texts, recipe.model.new.vocab_size)
    set_seed(recipe.seed)
    return create_model(recipe.model.new, new_tokenizer), new_tokenizer
