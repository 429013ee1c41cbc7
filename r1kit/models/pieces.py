"""From a row's text, in pieces that are trained or not, to its token ids and the mask of the loss.

    pieces = [Piece("Q: 2 + 2?\\nA:", False), Piece(" 4<|end|>", True)]
    ids, is_scored = encode_pieces(tokenizer, pieces, add_special_tokens=True)

The prompt is encoded by itself, as it is when the model is asked: where the tokenizer would join the last letters of
the prompt with the first of the completion, the model would be trained on tokens that it never meets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

IGNORED_LABEL = -100
"""The label of a token that is not in the loss, in PyTorch's cross entropy."""


@dataclass(frozen=True)
class Piece:
    """A part of a row's text, all of which is in the loss or none of it."""

    text: str
    is_scored: bool


def encode_pieces(
    tokenizer: Any, pieces: Sequence[Piece], add_special_tokens: bool = False
) -> tuple[list[int], list[bool]]:
    """Return the token ids of all pieces, and for each id whether it is in the loss.

    `add_special_tokens` is for plain text, which a tokenizer may begin with a token of its own; a chat template writes
    its own.
    """
    texts, flags = [piece.text for piece in pieces], [piece.is_scored for piece in pieces]
    if not _can_join_encodings(tokenizer):
        return _encode_at_once(tokenizer, texts, flags, add_special_tokens)
    ids: list[int] = []
    is_scored: list[bool] = []
    for text, flag in zip(texts, flags, strict=True):
        is_first = not ids
        piece_ids = tokenizer(text, add_special_tokens=add_special_tokens and is_first).input_ids if text else []
        if add_special_tokens and is_first:
            piece_ids = _without_added_end(tokenizer, without_doubled_start(tokenizer, piece_ids), text)
        ids += piece_ids
        is_scored += [flag] * len(piece_ids)
    return ids, is_scored


def without_doubled_start(tokenizer: Any, ids: list[int]) -> list[int]:
    """Return the ids of a text that begins with the token of the beginning, without the one that was added to it."""
    start = tokenizer.bos_token_id
    return ids[1:] if start is not None and ids[:2] == [start, start] else ids


def to_labels(ids: Sequence[int], is_scored: Sequence[bool]) -> list[int]:
    """Return the ids, with IGNORED_LABEL for those that are not in the loss."""
    return [token if scored else IGNORED_LABEL for token, scored in zip(ids, is_scored, strict=True)]


def _encode_at_once(
    tokenizer: Any, texts: Sequence[str], flags: Sequence[bool], add_special_tokens: bool
) -> tuple[list[int], list[bool]]:
    """Encode the whole text, and find each piece's end in it by the ids of the text up to there."""
    ids = without_doubled_start(tokenizer, tokenizer("".join(texts), add_special_tokens=add_special_tokens).input_ids)
    is_scored: list[bool] = []
    text = ""
    for piece_text, flag in zip(texts, flags, strict=True):
        text += piece_text
        prefix_ids = tokenizer(text, add_special_tokens=add_special_tokens).input_ids
        prefix_ids = without_doubled_start(tokenizer, prefix_ids)
        end = _common_length(ids, prefix_ids)
        is_scored += [flag] * (end - len(is_scored))
    return ids, is_scored + [flags[-1]] * (len(ids) - len(is_scored))


def _common_length(first: Sequence[int], second: Sequence[int]) -> int:
    length = 0
    while length < min(len(first), len(second)) and first[length] == second[length]:
        length += 1
    return length


@lru_cache(maxsize=8)
def _can_join_encodings(tokenizer: Any) -> bool:
    """Return whether the ids of two texts, one after the other, are ids of the joined text.

    Of SentencePiece's older models they are not: each text begins with a space that is not in it.
    """
    ids = [*tokenizer("a\n", add_special_tokens=False).input_ids, *tokenizer("b", add_special_tokens=False).input_ids]
    return tokenizer.decode(ids, clean_up_tokenization_spaces=False).endswith("a\nb")


def _without_added_end(tokenizer: Any, ids: list[int], text: str) -> list[int]:
    """Return the ids of a prompt without the end token that some tokenizers add to every text."""
    end_token = tokenizer.eos_token
    ends_by_itself = end_token is not None and text.endswith(end_token)
    if ids and ids[-1] == tokenizer.eos_token_id and not ends_by_itself and len(ids) > 1:
        return ids[:-1]
    return ids
