"""What a plan takes for granted where nothing is known. Each is named in a note of the plan that uses it."""

MEAN_FRACTION = 0.3
"""Mean length of rows and completions, as a fraction of the longest that the recipe allows (--mean-tokens)."""
PROMPT_TOKENS = 200
"""Tokens of a prompt with its template; at most as many as a completion may have."""
PASS_FRACTION = 0.5
"""Fraction of completions that pass the filters of `generate`."""
UNKNOWN_ROWS = 10_000
"""Rows of a data set that is not on this machine."""
CHARACTERS_PER_TOKEN = 4
"""Characters of a token, for text whose tokenizer is not at hand."""


def passing_rows(prompts: float, samples: int, per_prompt: int | None) -> int:
    """Return the rows that `generate` keeps of so many prompts with `samples` completions each."""
    passing = samples * PASS_FRACTION
    return round(prompts * (min(passing, per_prompt) if per_prompt else passing))


def sampled_row_tokens(max_tokens: int, mean_tokens: int | None = None) -> float:
    """Return the mean tokens of a prompt and a sampled completion of at most `max_tokens`."""
    mean = min(float(mean_tokens or MEAN_FRACTION * max_tokens), max_tokens)
    return mean + min(PROMPT_TOKENS, max_tokens)
