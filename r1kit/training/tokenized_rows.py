"""The rows of SFT as they are trained: token ids, and labels that are -100 outside the loss.

    rows = tokenize_examples(examples, tokenizer, recipe, "data.train", stop_tokens)
    rows.dataset            columns input_ids and labels, which TRL's SFTTrainer takes as they are
    rows.renderer           how conversations were rendered; data.eval is rendered in the same way

In the loss are a completion, or the assistant's messages of a conversation, each with the token that ends it; of plain
text everything. Rows that are longer than `training.max_length` are dropped, cut or refused, as `training.too_long`
says, and counted.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from r1kit.data.examples import read_conversation
from r1kit.errors import UNSET, UserError
from r1kit.messages import logger
from r1kit.models.pieces import IGNORED_LABEL, Piece, encode_pieces, to_labels
from r1kit.models.templates import structural_tokens
from r1kit.models.training_rows import ChatRenderer, Conversation, RowError, choose_renderer
from r1kit.prompts import CHAT_TEMPLATE
from r1kit.ranks import is_main_rank
from r1kit.recipe import SFTRecipe
from r1kit.rows import Row

if TYPE_CHECKING:
    from datasets import Dataset

# Strategies of packing that put the end of a long row into another sequence, so that no text is lost.
LOSSLESS_PACKING = ("bfd_split", "wrapped")
SHOWN_TOKENS = 5
"""The most special tokens that a warning names."""
SHOWN_CHARACTERS = 600
"""The most characters of a part of a row that is shown; of a longer one, its beginning and its end."""
LOSS_START, LOSS_END = "⟦", "⟧"
"""Marks around the text that is in the loss, where a row is shown."""


@dataclass(frozen=True)
class TokenizedRows:
    """Rows ready for the trainer, and how they came to be."""

    dataset: "Dataset"
    renderer: ChatRenderer | None
    """None for rows that no chat template was needed for."""
    too_long: int = 0
    """Number of rows that were longer than `training.max_length`."""


def tokenize_examples(
    examples: "Dataset",
    tokenizer: Any,
    recipe: SFTRecipe,
    field: str,
    stop_tokens: Iterable[str] = (),
    renderer: ChatRenderer | None = None,
) -> TokenizedRows:
    """Return the token ids and labels of examples that `load_examples` has read.

    Conversations are rendered by `renderer`, or in the first way that is right for all rows. `stop_tokens` end a
    generation today. Raises UserError for a row that cannot be rendered as it is, and where no row is left.
    """
    rows_think_as_chat = recipe.prompt.template == CHAT_TEMPLATE and "text" not in examples.column_names
    try:
        if not rows_think_as_chat:
            dataset = _encode_rows(examples, recipe, tokenizer, None)
        elif renderer is not None:
            dataset = _encode_rows(examples, recipe, tokenizer, renderer)
        else:
            renderer, dataset = choose_renderer(
                tokenizer,
                recipe.prompt.template_settings,
                lambda candidate: _encode_rows(examples, recipe, tokenizer, candidate),
                tuple(stop_tokens),
            )
    except RowError as error:
        if recipe.prompt.system and "system" in error.requirement.lower():
            action = "remove it, or write it into the questions"
            raise UserError("prompt.system", recipe.prompt.system, error.requirement, action) from None
        raise UserError(f"{field}: row {error.row}", UNSET, error.requirement, error.action) from None
    if rows_think_as_chat:
        _warn_of_special_tokens(examples, tokenizer, recipe, field)
    dataset, too_long = _handle_long_rows(dataset, recipe, field, is_plain_text="text" in examples.column_names)
    return TokenizedRows(dataset, renderer, too_long)


def _encode_rows(examples: "Dataset", recipe: SFTRecipe, tokenizer: Any, renderer: ChatRenderer | None) -> "Dataset":
    """Return the columns input_ids and labels. Raises RowError for a row that is not rendered as it should be."""
    import datasets

    scores_everything = recipe.training.loss_on == "everything"

    def encode_batch(batch: dict[str, list], numbers: list[int]) -> dict[str, list]:
        columns: dict[str, list] = {"input_ids": [], "labels": []}
        for index, number in enumerate(numbers):
            row = {name: values[index] for name, values in batch.items()}
            try:
                sequences = _row_pieces(row, recipe, tokenizer, renderer)
            except RowError as error:
                error.row = number
                raise
            for pieces in sequences:
                ids, is_scored = encode_pieces(tokenizer, pieces, add_special_tokens=renderer is None)
                columns["input_ids"].append(ids)
                columns["labels"].append(ids if scores_everything else to_labels(ids, is_scored))
        return columns

    token_ids = datasets.Sequence(datasets.Value("int32"))
    return examples.map(
        encode_batch,
        batched=True,
        with_indices=True,
        remove_columns=examples.column_names,
        features=datasets.Features({"input_ids": token_ids, "labels": token_ids}),
        load_from_cache_file=False,
        num_proc=recipe.trl.get("dataset_num_proc"),
        desc="Tokenizing rows",
    )


def _row_pieces(row: Row, recipe: SFTRecipe, tokenizer: Any, renderer: ChatRenderer | None) -> list[list[Piece]]:
    """Return the sequences of a row, each in pieces that are in the loss or not."""
    if renderer is not None:
        messages, first_scored, tools = read_conversation(row, recipe.prompt)
        return renderer.examples(Conversation(messages, first_scored, tools))
    end_token = tokenizer.eos_token
    if end_token is None:
        raise RowError(
            "the tokenizer has no end token, with which a text ends", "set trl.eos_token to one of its tokens"
        )
    if "text" in row:
        return [[Piece(_with_end(row["text"], end_token), True)]]
    return [[Piece(row["prompt"], False), Piece(_with_end(row["completion"], end_token), True)]]


def _with_end(text: str, end_token: str) -> str:
    return text if text.endswith(end_token) else text + end_token


# Special tokens in a row's own text


def _warn_of_special_tokens(examples: "Dataset", tokenizer: Any, recipe: SFTRecipe, field: str) -> None:
    """Warn where messages have special tokens in their text, which the model reads as the marks of a chat template.

    Often such a row has been through a chat template already.
    """
    if not is_main_rank():
        return
    pattern = re.compile("|".join(re.escape(token) for token in structural_tokens(tokenizer)) or r"(?!)")
    numbers: list[int] = []
    tokens: set[str] = set()
    for number, row in enumerate(examples):
        messages, _, _ = read_conversation(row, recipe.prompt)
        matches = {match for message in messages for match in pattern.findall(message["content"])}
        if matches:
            numbers.append(number)
            tokens |= matches
    if numbers:
        logger.warning(
            f"{field}: the text of {len(numbers):,} of {len(examples):,} rows has special tokens of the model in it "
            f"({', '.join(sorted(tokens)[:SHOWN_TOKENS])}; the first is row {numbers[0]}), which are trained as such: "
            "remove them, or set prompt.template={prompt} if the rows have been through a chat template already"
        )


# Long rows


def _handle_long_rows(dataset: "Dataset", recipe: SFTRecipe, field: str, is_plain_text: bool) -> tuple["Dataset", int]:
    """Return the rows of at most `training.max_length` tokens, and how many were longer.

    Raises UserError where long rows are refused, and where none is left.
    """
    training = recipe.training
    limit = training.max_length
    lengths = _row_lengths(dataset)
    long_count = sum(length > limit for length in lengths)
    keeps_all_text = training.packing and recipe.trl.get("packing_strategy", "bfd") in LOSSLESS_PACKING
    if long_count == 0 or (keeps_all_text and is_plain_text):
        return dataset, 0
    choice = training.too_long or ("truncate" if is_plain_text else "drop")
    counted = (
        f"{long_count:,} of the {len(lengths):,} rows of {field} are longer, the longest has {max(lengths):,} tokens"
    )
    if choice == "refuse":
        action = "raise it, or set training.too_long to drop or truncate"
        raise UserError("training.max_length", limit, counted, action)
    if choice == "drop":
        kept = dataset.select([i for i, length in enumerate(lengths) if length <= limit])
        done = "and are dropped"
    else:
        kept = _truncate(dataset, limit)
        lost = len(dataset) - len(kept)
        done = "and lose their end"
        if lost:
            done += f"; {lost:,} of them are dropped, whose prompt alone is longer"
    if len(kept) == 0:
        nothing = "is left" if choice == "drop" else "has more than a prompt within it"
        requirement = f"{counted}, so that no row {nothing}"
        raise UserError("training.max_length", limit, requirement, "raise it, or use shorter rows")
    if is_main_rank():
        action = "raise it to train on them" if choice == "truncate" else "raise it, or set training.too_long=truncate"
        logger.warning(f"training.max_length = {limit}; {counted}, {done}; {action}")
    return kept, long_count


def _row_lengths(dataset: "Dataset") -> list[int]:
    import pyarrow.compute as pc

    lengths: list[int] = []
    for batch in dataset.with_format("arrow").iter(batch_size=1000):
        lengths += pc.list_value_length(batch["input_ids"]).to_pylist()
    return lengths


def _truncate(dataset: "Dataset", limit: int) -> "Dataset":
    """Return all rows cut to `limit` tokens, but those of which nothing in the loss is left."""

    def cut(row: Row) -> Row:
        return {"input_ids": row["input_ids"][:limit], "labels": row["labels"][:limit]}

    def is_trained(row: Row) -> bool:
        return any(label != IGNORED_LABEL for label in row["labels"])

    return dataset.map(cut, load_from_cache_file=False).filter(is_trained, load_from_cache_file=False)


# The ends of turns


def scored_end_ids(dataset: "Dataset") -> dict[int, int]:
    """Return the ids that end a stretch of text in the loss, each with how often it does."""
    import numpy as np

    counts: dict[int, int] = {}
    for batch in dataset.with_format("arrow").iter(batch_size=1000):
        lists = batch["labels"].combine_chunks()
        labels = lists.flatten().to_numpy()
        row_ends = np.cumsum(lists.value_lengths().to_numpy()) - 1
        is_scored = labels != IGNORED_LABEL
        is_followed = np.append(is_scored[1:], False)
        is_followed[row_ends[row_ends >= 0]] = False
        ids, numbers = np.unique(labels[is_scored & ~is_followed], return_counts=True)
        for token, number in zip(ids.tolist(), numbers.tolist(), strict=True):
            counts[token] = counts.get(token, 0) + number
    return counts


# Showing a row


def format_row(tokenizer: Any, row: Row) -> str:
    """Return the text of a tokenized row, with the part in the loss between `⟦` and `⟧`.

    `<|im_start|>assistant\\n⟦7<|im_end|>⟧`; of a long part the middle is left out.
    """
    parts: list[str] = []
    start = 0
    ids, labels = row["input_ids"], row["labels"]
    for end in range(1, len(ids) + 1):
        is_scored = labels[start] != IGNORED_LABEL
        if end < len(ids) and (labels[end] != IGNORED_LABEL) == is_scored:
            continue
        text = _without_middle(tokenizer.decode(ids[start:end], clean_up_tokenization_spaces=False))
        parts.append(f"{LOSS_START}{text}{LOSS_END}" if is_scored else text)
        start = end
    return "".join(parts)


def describe_first_row(tokenizer: Any, row: Row) -> str:
    """Return the first row as it is trained, below a line with its tokens."""
    scored = sum(label != IGNORED_LABEL for label in row["labels"])
    counts = f"{len(row['input_ids']):,} tokens, {scored:,} of them in the loss, between {LOSS_START} and {LOSS_END}"
    return f"first row as it is trained ({counts}):\n{format_row(tokenizer, row)}"


def _without_middle(text: str) -> str:
    if len(text) <= SHOWN_CHARACTERS:
        return text
    half = SHOWN_CHARACTERS // 2
    return f"{text[:half]} ... {len(text) - 2 * half:,} characters ... {text[-half:]}"
