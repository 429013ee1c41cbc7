"""Rewards for the form of a completion: the R1 format, single tags, a fenced code block, brevity.

R1's format reward (arXiv 2501.12948, section 2.2) wants the chain of thought in think tags; `format` wants the answer
in answer tags as well, as R1-Zero's prompt template asks for.
"""

from collections.abc import Sequence
from typing import Any

from r1kit.answers.extract import completion_text, parse_completion
from r1kit.prompts import ALL_TAGS, ANSWER_TAGS
from r1kit.rewards.settings import SettingError, require_count, require_lists


def format(completions: Sequence[Any], thinking: Sequence[bool | None] | None = None, **columns: Any) -> list[float]:
    """Pay 1.0 for exactly one think block and one answer block, neither empty, with nothing else around them; else 0.0.

    Never `None`. A row whose column `thinking` is false must have one answer block alone.

    Source: the format reward of R1 (arXiv 2501.12948, section 2.2).

    >>> format(["<think>2 + 2</think><answer>4</answer>", "<think>2 + 2</think>4"])
    [1.0, 0.0]
    >>> format(["<answer>Paris</answer>"], thinking=[False])
    [1.0]
    """
    require_lists("format", completions, thinking=thinking)
    rewards = []
    for completion, wants_thinking in zip(completions, thinking or [True] * len(completions), strict=True):
        parsed = parse_completion(completion_text(completion))
        rewards.append(float(parsed.well_formed(thinking=wants_thinking is not False)))
    return rewards


def tags(completions: Sequence[Any], thinking: Sequence[bool | None] | None = None, **columns: Any) -> list[float]:
    """Pay the fraction, 0 to 1, of the expected tags that occur exactly once, in whatever order.

    Each of the four tags is worth 0.25. A row whose column `thinking` is false should have the two answer tags, worth
    0.5 each. Never `None`. A gentler slope than `format` for a model that does not know the format yet.

    Source: open-r1's `tag_count_reward`, which also expects a line break on the inner side of each tag.

    >>> tags(["<think>2 + 2</think><answer>4", "4"])
    [0.75, 0.0]
    """
    require_lists("tags", completions, thinking=thinking)
    rewards = []
    for completion, wants_thinking in zip(completions, thinking or [True] * len(completions), strict=True):
        completion_tags = parse_completion(completion_text(completion)).tags
        expected_tags = ANSWER_TAGS if wants_thinking is False else ALL_TAGS
        single_tags = [tag for tag in expected_tags if completion_tags.count(tag) == 1]
        rewards.append(len(single_tags) / len(expected_tags))
    return rewards


def fenced(completions: Sequence[Any], *, code_language: str = "python", **columns: Any) -> list[float]:
    r"""Pay 1.0 where the answer is one fenced code block that is not empty, and nothing else; else 0.0.

    Never `None`.

    Settings:
        code_language: the word that must follow the opening fence, in upper or lower case.

    Source: the code format reward of open-r1 (`get_code_format_reward`), here for the answer block alone.

    >>> fenced(["<answer>```python\nprint(1)\n```</answer>", "<answer>print(1)</answer>"])
    [1.0, 0.0]
    """
    require_lists("fenced", completions)
    if not isinstance(code_language, str) or not code_language.strip():
        requirement = "must be the word after the fence, such as python"
        raise SettingError("fenced", "code_language", code_language, requirement)
    rewards = []
    for completion in completions:
        answer = parse_completion(completion_text(completion)).answer or ""
        rewards.append(float(_is_fenced_block(answer, code_language)))
    return rewards


def _is_fenced_block(answer: str, code_language: str) -> bool:
    """Return whether an answer is one fenced block of a language, not empty."""
    first_line, _, following_lines = answer.strip().partition("\n")
    opens = first_line.strip().casefold() == f"```{code_language.strip()}".casefold()
    body = following_lines.removesuffix("```")
    closes = body != following_lines and body.endswith("\n")
    return opens and closes and "```" not in body and bool(body.strip())


def brevity(
    completions: Sequence[Any], completion_ids: Sequence[Sequence[int]], *, max_tokens: int = 12, **columns: Any
) -> list[float]:
    """Pay 1.0 for a completion of up to `max_tokens` tokens, falling to 0.0 at twice as many.

    Never `None`. The scale model uses it in the place of a reward model on general prompts.

    Settings:
        max_tokens: tokens of the completion up to which the reward is 1.0.

    Source: r1kit's own.

    >>> brevity(["", "", ""], completion_ids=[[5] * 10, [5] * 15, [5] * 20], max_tokens=10)
    [1.0, 0.5, 0.0]
    """
    require_lists("brevity", completions, completion_ids=completion_ids)
    require_count("brevity", "max_tokens", max_tokens)
    return [min(1.0, max(0.0, 2.0 - len(token_ids) / max_tokens)) for token_ids in completion_ids]
