"""The block `keep` of `generate` and `data`: which rows are kept."""

from r1kit.recipe.block import Block, Fraction, PositiveInt

PREFERENCES = ("first", "shortest", "diverse")


class FiltersConfig(Block):
    """Which completions are kept, and how many of each prompt. The filters are applied in this order."""

    finished: bool = True
    """Keep only completions that the model ended by itself, before the limit of tokens."""
    correct: bool = True
    """Keep only completions whose answer is correct; needs the reward accuracy."""
    format: bool = True
    """Keep only completions in exactly the form <think>...</think> <answer>...</answer>; unless `answers` is `tags`,
    also those of a thinking and a reply without tags, as R1, QwQ and Qwen3 write them."""
    language: Fraction = 0.0
    """Smallest fraction of the thinking's words that are in the language of the question."""
    max_repetition: Fraction = 1.0
    """Largest fraction of the completion's sequences of 4 words that are repetitions."""
    max_paragraph: PositiveInt | None = None
    """Longest paragraph of the thinking, in characters; default: no limit."""
    code_blocks: bool = True
    """Whether the thinking may have code blocks in it."""
    min_tokens: PositiveInt | None = None
    """Shortest completion, in tokens; default: no limit."""
    max_tokens: PositiveInt | None = None
    """Longest completion, in tokens; default: no limit."""
    max_thinking: PositiveInt | None = None
    """Longest thinking, in words; default: no limit."""
    pass_rate: tuple[Fraction, Fraction] = (0.0, 1.0)
    """Lowest and highest fraction of correct completions of a prompt, such as [0.2, 0.8] for problems that are neither
    too hard nor too easy. It counts all completions, before the other filters."""
    pass_rate_by: str | None = None
    """Reward whose mean over a prompt's completions is used as its pass rate, such as a verifier's; default: the
    fraction of correct completions."""
    per_prompt: PositiveInt | None = None
    """Largest number of different completions of each prompt; default: all."""
    prefer: str = "first"
    """Which completions `per_prompt` keeps: `first`, `shortest`, `diverse` (those with the fewest sequences of 3 words
    in common), or the name of a reward, for those with the highest."""
