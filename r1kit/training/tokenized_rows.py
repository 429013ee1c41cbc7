"""The rows of SFT as they are trained: token ids, and labels that are -100 outside the loss.

    rows = tokenize_examples(examples, tokenizer, recipe, "data.train", stop_tokens)
    rows.dataset            columns input_ids and labels, which TRL's SFTTrainer takes as they are
    rows.renderer           how conversations were rendered; data.eval is rendered in the same way

In the loss are a completion, or the assistant's messages of a conversation, each with the token that ends it; of plain
text everything. Rows that are longer than `training.max_length` are dropped, cut or refused, as `training.too_long`
says, and counted.
"""

import json
import re
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.data.adapters.chat import THINKING_KEYS
from r1kit.data.examples import read_conversation
from r1kit.errors import UNSET, UserError
from r1kit.messages import logger
from r1kit.models.conversations import Conversation, RowError
from r1kit.models.pieces import IGNORED_LABEL, Piece, encode_pieces, to_labels
from r1kit.models.renderer_choice import choose_renderer
from r1kit.models.templates import structural_tokens
from r1kit.models.training_rows import ChatRenderer
from r1kit.prompts import CHAT_TEMPLATE
from r1kit.ranks import barrier, is_main_rank, world_size
from r1kit.recipe import SFTRecipe
from r1kit.rows import Row
from r1kit.runs.files import write_file

if TYPE_CHECKING:
    from datasets import Dataset

# Strategies of packing that put the end of a long row into another sequence, so that no text is lost.
LOSSLESS_PACKING = ("bfd_split", "wrapped")
STATE_FILE = "state.json"
"""File of a folder of shared rows that says that they are complete."""
POLL_SECONDS = 0.5
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
    are_conversations = recipe.prompt.template == CHAT_TEMPLATE and "text" not in examples.column_names
    try:
        if not are_conversations:
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
        raise UserError(f"{field}: row {error.row + 1}", UNSET, error.requirement, error.action) from None
    if renderer is not None:
        _check_special_tokens(examples, tokenizer, recipe, field, renderer)
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


# Several ranks


def tokenize_once(tokenize: Callable[[], list[TokenizedRows]], tokenizer: Any, folder: Path) -> list[TokenizedRows]:
    """Return what `tokenize` returns, which rank 0 alone calls: the other ranks read its rows from `folder`.

    They get the chat template that rank 0 has chosen too, but no renderer. `folder`, which all ranks must see, is
    written anew; without other ranks nothing is written. Raises on all ranks what `tokenize` raises.
    """
    if world_size() == 1:
        return tokenize()
    if is_main_rank():
        shutil.rmtree(folder, ignore_errors=True)
    barrier()  # from here on the folder holds nothing of an earlier launch
    if not is_main_rank():
        return _wait_for_rows(tokenizer, folder)
    state: dict[str, Any] = {"error": "rank 0 could not tokenize the rows"}
    try:
        folder.mkdir(parents=True)
        tokenized = tokenize()
        for number, rows in enumerate(tokenized):
            rows.dataset.save_to_disk(folder / str(number))
        state = {"chat_template": tokenizer.chat_template, "too_long": [rows.too_long for rows in tokenized]}
    except UserError as error:
        state = {"user_error": str(error)}
        raise
    finally:
        write_file(folder / STATE_FILE, json.dumps(state))
    return tokenized


def _wait_for_rows(tokenizer: Any, folder: Path) -> list[TokenizedRows]:
    """Return the rows that rank 0 writes into a folder.

    This polls in place of a barrier, which would time out where tokenizing takes longer than half an hour.
    """
    from datasets import load_from_disk

    while not (folder / STATE_FILE).exists():
        time.sleep(POLL_SECONDS)
    state = json.loads((folder / STATE_FILE).read_text())
    if "user_error" in state:
        raise UserError.from_line(state["user_error"])
    if "error" in state:
        raise RuntimeError(state["error"])
    tokenizer.chat_template = state["chat_template"]
    shared_rows = []
    for number, too_long in enumerate(state["too_long"]):
        shared_rows.append(TokenizedRows(load_from_disk(folder / str(number)), None, too_long))
    return shared_rows


# Special tokens in a row's own text


def _check_special_tokens(
    examples: "Dataset", tokenizer: Any, recipe: SFTRecipe, field: str, renderer: ChatRenderer
) -> None:
    """Refuse rows whose text has a token that ends a turn, and warn of other special tokens in it.

    The model reads them as the marks of a chat template, and would learn to end its turn in the middle of a text.
    Often such a row has been through a chat template already.
    """
    if not is_main_rank():
        return
    ends = {*renderer.stop_tokens, renderer.last_turn_end, tokenizer.eos_token} - {None, ""}
    pattern = re.compile("|".join(map(re.escape, {*structural_tokens(tokenizer), *ends})) or r"(?!)")
    rows_with_end: dict[int, str] = {}
    other_rows: list[int] = []
    other_tokens: set[str] = set()
    for number, row in enumerate(examples):
        tokens = _tokens_in_text(row, recipe, pattern)
        if not ends.isdisjoint(tokens):
            rows_with_end[number] = min(ends & tokens)
        elif tokens:
            other_rows.append(number)
            other_tokens |= tokens
    as_text = "set prompt.template={prompt} if the rows have been through a chat template already"
    if rows_with_end:
        number, token = next(iter(rows_with_end.items()))
        requirement = (
            f"its text has {token} in it, which ends a turn of the model; {len(rows_with_end):,} of the "
            f"{len(examples):,} rows have such a token in their text"
        )
        raise UserError(f"{field}: row {number + 1}", UNSET, requirement, f"remove them, or {as_text}")
    if other_rows:
        logger.warning(
            f"{field}: the text of {len(other_rows):,} of {len(examples):,} rows has special tokens of the model in it "
            f"({', '.join(sorted(other_tokens)[:SHOWN_TOKENS])}; the first is row {other_rows[0] + 1}), which are "
            f"trained as such: remove them, or {as_text}"
        )


def _tokens_in_text(row: Row, recipe: SFTRecipe, pattern: re.Pattern[str]) -> set[str]:
    """Return the tokens that `pattern` matches in the contents and the thinking of a row's messages."""
    messages, _, _ = read_conversation(row, recipe.prompt)
    tokens: set[str] = set()
    for message in messages:
        for key in ("content", *THINKING_KEYS):
            tokens.update(pattern.findall(str(message.get(key) or "")))
    return tokens


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
        fitting = dataset.select([i for i, length in enumerate(lengths) if length <= limit])
        done = "and are dropped"
    else:
        fitting = _truncate(dataset, limit)
        lost = len(dataset) - len(fitting)
        done = "and lose their end"
        if lost:
            done += f"; {lost:,} of them are dropped, whose prompt alone is longer"
    if len(fitting) == 0:
        nothing = "is left" if choice == "drop" else "has more than a prompt within it"
        requirement = f"{counted}, so that no row {nothing}"
        raise UserError("training.max_length", limit, requirement, "raise it, or use shorter rows")
    if is_main_rank():
        action = "raise it to train on them" if choice == "truncate" else "raise it, or set training.too_long=truncate"
        logger.warning(f"training.max_length = {limit}; {counted}, {done}; {action}")
    return fitting, long_count


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
