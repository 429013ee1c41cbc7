"""Train a tokenizer on plain text, for a base model that is made from a config.

tokenizer = train_tokenizer(["Q: What is 3 + 4?\\nA:<think>3 plus 4 is 7.</think>"], vocab_size=1024)
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

THINK_AND_ANSWER_TAGS = ("<think>", "</think>", "<answer>", "</answer>")
END_TOKEN, PAD_TOKEN = "<|end|>", "<|pad|>"

# Pieces that no token crosses: a word, a whole number or a run of signs, each with the space before it; or white space.
_PIECE_PATTERN = r" ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+"


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> "PreTrainedTokenizerFast":
    """Return a byte-level BPE tokenizer of `vocab_size` ids, in which each think and answer tag is one id.

    It can encode any text, whatever it was trained on, since every byte has an id. It ends a text with `<|end|>` and
    pads with `<|pad|>`.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECE_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(THINK_AND_ANSWER_TAGS),
        special_tokens=[END_TOKEN, PAD_TOKEN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_pieces_between_tags(texts), trainer)
    # Not special, so that they stay in the text when a completion is decoded without its special tokens.
    tokenizer.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in THINK_AND_ANSWER_TAGS])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END_TOKEN, pad_token=PAD_TOKEN)


def _pieces_between_tags(texts: Iterable[str]) -> Iterator[str]:
    """Yield the texts without their tags, whose letters would otherwise be counted as text and merged."""
    for text in texts:
        for tag in THINK_AND_ANSWER_TAGS:
            text = text.replace(tag, "\0")
        yield from text.split("\0")
