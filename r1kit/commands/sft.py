"""`r1kit sft` and `r1kit distill`: supervised fine-tuning, of a model or from nothing.

    r1kit sft recipes/tiny/dev1.yaml
    r1kit distill recipes/tiny/distill.yaml data.train=runs/tiny/sft_data

`distill` is the paper's: SFT of a small model on the rows that a large one made, no RL.
"""

from r1kit.data.examples import load_examples
from r1kit.heavy_imports import heavy_imports
from r1kit.models.load import build_lora_config, create_model, load_model, load_tokenizer
from r1kit.models.templates import check_chat_template
from r1kit.recipe import SFTRecipe
from r1kit.runs.run import Run
from r1kit.training.arguments import build_sft_config


def main(recipe: SFTRecipe, run: Run) -> None:
    """Train the model and save it."""
    # The data first: a fault in it is then said before torch is imported.
    rows = load_examples(recipe.data.train, recipe.prompt, data=recipe.data)
    held_out = load_examples(recipe.data.eval, recipe.prompt, "data.eval") if recipe.data.eval else None

    with heavy_imports():
        from transformers import set_seed

        from r1kit.models.tokenizer import train_tokenizer
        from r1kit.training.core import run_training
        from r1kit.training.sft import FineTuningTrainer

    def build():
        arguments = build_sft_config(recipe, run)
        if recipe.model.new:
            texts = (
                rows["text"] if "text" in rows.column_names else [p + c for p, c in zip(*rows[:].values(), strict=True)]
            )
            tokenizer = train_tokenizer(texts, recipe.model.new.vocab_size)
            set_seed(recipe.seed)
            model = create_model(recipe.model.new, tokenizer)
        else:
            tokenizer = load_tokenizer(recipe.model)
            if "text" not in rows.column_names:
                check_chat_template(tokenizer, recipe.prompt.template)
            model = load_model(recipe.model)
        return FineTuningTrainer(
            model=model,
            args=arguments,
            train_dataset=rows,
            eval_dataset=held_out,
            processing_class=tokenizer,
            peft_config=build_lora_config(recipe.model),
            recipe=recipe,
        )

    run_training(build, recipe, run)
