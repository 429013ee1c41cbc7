"""`r1kit sft` and `r1kit distill`: supervised fine-tuning of a model, or training of a new one on plain text.

    r1kit sft recipes/tiny/dev1.yaml
    r1kit distill recipes/tiny/distill.yaml data.train=runs/tiny/sft_data

`distill` is the paper's distillation (DeepSeek-R1, section 2.4): SFT of a small model on rows that a large one sampled,
without RL.

How a row becomes what is trained stands in r1kit/models/training_rows.py. The first row is shown as it is trained, and
is kept in the run as `first_row.txt`.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.data.examples import load_examples
from r1kit.errors import UserError
from r1kit.heavy_imports import heavy_imports
from r1kit.messages import logger, print_progress
from r1kit.models.load import create_model, load_model_to_train
from r1kit.models.stop_tokens import add_stop_tokens, configured_stops
from r1kit.ranks import is_main_rank
from r1kit.recipe import SFTRecipe
from r1kit.runs.files import write_file
from r1kit.runs.paths import ADAPTER_BASE_FOLDER
from r1kit.runs.run import Run
from r1kit.training.arguments import build_sft_config
from r1kit.training.sft_tokenizer import make_tokenizer

if TYPE_CHECKING:
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from r1kit.training.core import TrainingPlan
    from r1kit.training.tokenized_rows import TokenizedRows

FIRST_ROW_FILE = "first_row.txt"
TOKENIZED_FOLDER = ".tokenized"
"""Folder of a run in which the ranks share the tokenized rows while they train."""


def main(recipe: SFTRecipe, run: Run) -> None:
    """Train the model of a recipe and save it in the run directory."""
    plan = plan_training(recipe, run)
    from r1kit.training.core import run_plan

    run_plan(plan, recipe, run)
    if is_main_rank():
        shutil.rmtree(run.path / TOKENIZED_FOLDER, ignore_errors=True)


def plan_training(recipe: SFTRecipe, run: Run) -> "TrainingPlan":
    """Read the rows of a recipe, and return how its trainer is built."""
    # The data comes first: a mistake in it is then reported before torch is imported.
    train_rows = load_examples(recipe.data.train, recipe.prompt, data=recipe.data)
    eval_rows = load_examples(recipe.data.eval, recipe.prompt, "data.eval") if recipe.data.eval else None

    with heavy_imports():
        from r1kit.training.core import TrainingPlan
        from r1kit.training.own_code import resolve_callbacks, resolve_trainer
        from r1kit.training.sft import FineTuningTrainer

    trainer_class = resolve_trainer(recipe.trainer, FineTuningTrainer)
    callbacks = resolve_callbacks(recipe.callbacks)

    tokenizer = make_tokenizer(recipe, train_rows)
    tokenized: list[TokenizedRows] = []  # filled once; a trainer is built anew where memory runs out

    def build_trainer() -> FineTuningTrainer:
        arguments = build_sft_config(recipe, run)
        model, lora_config = _load_or_create(recipe, tokenizer, run.path / ADAPTER_BASE_FOLDER)
        if not tokenized:
            tokenized.extend(_tokenize(recipe, tokenizer, model, train_rows, eval_rows, run))
        train, *held_out = [rows.dataset for rows in tokenized]
        _check_vocabulary(recipe, model, tokenizer)
        if not recipe.training.packing:
            arguments.max_length = None  # long rows are dealt with already, and TRL would read all rows twice again
        arguments.eos_token = _stop_at_turn_ends(model, tokenizer, train, arguments.eos_token)
        return trainer_class(
            model=model,
            args=arguments,
            train_dataset=train,
            eval_dataset=held_out[0] if held_out else None,
            processing_class=tokenizer,
            peft_config=lora_config,
            callbacks=callbacks,
            recipe=recipe,
        )

    return TrainingPlan(build_trainer)


def _load_or_create(
    recipe: SFTRecipe, tokenizer: "PreTrainedTokenizerBase", base_dir: Path
) -> tuple["PreTrainedModel", "LoraConfig | None"]:
    """Return the recipe's model, loaded or new for the vocabulary of `tokenizer`, and the adapter to add to it.

    `base_dir` is where the base of a new adapter is saved, if it is a merged model.
    """
    if recipe.model.new is None:
        return load_model_to_train(recipe.model, base_dir)
    from transformers import set_seed

    set_seed(recipe.seed)
    return create_model(recipe.model.new, tokenizer), None


def _tokenize(
    recipe: SFTRecipe, tokenizer: Any, model: Any, train_rows: "Dataset", eval_rows: "Dataset | None", run: Run
) -> list["TokenizedRows"]:
    """Return the rows to train on, and the held-out ones if there are some; show the first row."""
    from r1kit.training.tokenized_rows import TokenizedRows, describe_first_row, tokenize_examples, tokenize_once

    def tokenize() -> list[TokenizedRows]:
        train = tokenize_examples(train_rows, tokenizer, recipe, "data.train", _stops(tokenizer, model))
        if eval_rows is None:
            return [train]
        return [train, tokenize_examples(eval_rows, tokenizer, recipe, "data.eval", renderer=train.renderer)]

    tokenized = tokenize_once(tokenize, tokenizer, run.path / TOKENIZED_FOLDER)
    train = tokenized[0]
    if is_main_rank():
        if train.renderer is not None and train.renderer.note:
            logger.info(train.renderer.note)
        first_row = describe_first_row(tokenizer, train.dataset[0])
        print_progress(first_row)
        write_file(run.path / FIRST_ROW_FILE, f"{first_row}\n")
        run.update(rows_trained=len(train.dataset), rows_too_long=train.too_long)
    return tokenized


def _stops(tokenizer: Any, model: Any) -> set[str]:
    """Return the tokens at which a generation of the model stops today."""
    return {*configured_stops(tokenizer, model), tokenizer.eos_token} - {None}


def _check_vocabulary(recipe: SFTRecipe, model: Any, tokenizer: Any) -> None:
    """Raise UserError where the tokenizer has tokens that the model has no embedding of."""
    size = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > size > 0:  # under ZeRO-3 a rank sees no weights, and the size is 0
        requirement = f"its tokenizer has {len(tokenizer):,} tokens, and the model has embeddings of {size:,}"
        raise UserError(
            "model.path", recipe.model.path, requirement, "use the tokenizer that the model was trained with"
        )


def _stop_at_turn_ends(model: Any, tokenizer: Any, rows: "Dataset", end_token: str | None) -> str | None:
    """Have the model stop at the tokens that end what is trained; return the token to make the tokenizer's end token.

    A base model may end a text with another token than the one that ends a turn in its chat template: Qwen2.5's ends
    turns with `<|im_end|>` and texts with `<|endoftext|>`. Without this, no completion of the trained model would ever
    stop.
    """
    from r1kit.training.tokenized_rows import scored_end_ids

    special_ids = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    counts = scored_end_ids(rows)
    ids = [number for number in sorted(counts, key=lambda number: -counts[number]) if number in special_ids]
    ends: list[str] = tokenizer.convert_ids_to_tokens(ids)
    missing = [token for token in ends if token not in configured_stops(tokenizer, model)]
    if not missing:
        return end_token
    if is_main_rank() and not set(missing) <= _stops(tokenizer, model):
        names = ", ".join(missing)
        logger.info(
            f"the rows end with {names}, at which the model did not stop: the saved tokenizer and generation_config "
            "stop there"
        )
    add_stop_tokens(model, tokenizer, missing)
    keeps_token = tokenizer.eos_token in ends
    return end_token or (tokenizer.eos_token if keeps_token else missing[0])
