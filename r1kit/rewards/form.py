"""Rewards for the form of a completion: R1's format, its tags one by one, fenced code, and brevity."""

from collections.abc import Sequence
from typing import Any

from r1kit.prompts import completion_text, parse_completion

ANSWER_TAGS = ("<answer>", "</answer>")
TAGS = ("<think>", "</think>", *ANSWER_TAGS)


def format(completions: Sequence[Any], thinking: Sequence[bool | None] | None = None, **columns: Any) -> list[float]:
    """1.0 for exactly one think block and one answer block, neither empty, and nothing else; else 0.0.

    Rows whose `thinking` is false want the answer block alone.
    """
    wanted = thinking or [True] * len(completions)
    return [
        float(parse_completion(completion_text(c)).well_formed(w is not False))
        for c, w in zip(completions, wanted, strict=True)
    ]


def tags(completions: Sequence[Any], thinking: Sequence[bool | None] | None = None, **columns: Any) -> list[float]:
    """The share, 0 to 1, of the wanted tags that stand exactly once, wherever that is.

    0.25 for each of the four; rows whose `thinking` is false want the two of the answer, 0.5 each. After
    open-r1's `tag_count_reward`, which also wants a newline on the inner side of each.
    """
    flags = thinking or [True] * len(completions)
    scores = []
    for completion, flag in zip(completions, flags, strict=True):
        found = parse_completion(completion_text(completion)).tags
        wanted = ANSWER_TAGS if flag is False else TAGS
        scores.append(sum(found.count(tag) == 1 for tag in wanted) / len(wanted))
    return scores


def fenced(completions: Sequence[Any], *, code_language: str = "python", **columns: Any) -> list[float]:
    """1.0 where the answer is one fenced block of `code_language`, not empty, and nothing else; else 0.0."""
    if not isinstance(code_language, str) or not code_language.strip():
        raise ValueError(f"fenced: code_language = {code_language}; must be the word after the fence, such as python")
    return [float(_is_fenced(parse_completion(completion_text(c)).answer or "", code_language)) for c in completions]


def _is_fenced(answer: str, code_language: str) -> bool:
    first, _, rest = answer.strip().partition("\n")
    opened = first.strip().casefold() == f"```{code_language.strip()}".casefold()
    body = rest.removesuffix("```")
    closed = body != rest and body.endswith("\n")
    return opened and closed and "```" not in body and bool(body.strip())


def brevity(
    completions: Sequence[Any], completion_ids: Sequence[Sequence[int]], *, max_tokens: int = 12, **columns: Any
) -> list[float]:
    """1.0 up to `max_tokens` tokens, falling to 0.0 at twice as many. The scale model's stand-in for a
    preference reward on general prompts."""
    if not isinstance(max_tokens, int) or max_tokens < 1:
        raise ValueError(f"brevity: max_tokens = {max_tokens}; must be a whole number of at least 1")
    return [min(1.0, max(0.0, 2.0 - len(ids) / max_tokens)) for ids in completion_ids]
