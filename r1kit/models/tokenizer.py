"""Train a tokenizer on plain text, for a base that is made from a config."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

THINK_AND_ANSWER_TAGS = ("<think>", "</think>", "<answer>", "</answer>")
# A word, a whole number or a run of signs, each with the space before it; or white space.
_SPLIT = r" ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+"


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> "PreTrainedTokenizerFast":
    """Return a byte-level BPE tokenizer of `vocab_size` ids, in which each think/answer tag is one id.

    Any text can be encoded, whatever it was trained on. It ends in `<|end|>` and pads with `<|pad|>`.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|end|>", "<|pad|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(THINK_AND_ANSWER_TAGS),
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bare = (piece for text in texts for piece in _without_tags(text))
    tokenizer.train_from_iterator(bare, trainer)
    tokenizer.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in THINK_AND_ANSWER_TAGS])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>")


def _without_tags(text: str) -> list[str]:
    for tag in THINK_AND_ANSWER_TAGS:
        text = text.replace(tag, "\0")
    return text.split("\0")
