"""Language consistency: the share of the chain of thought's words in the target language (R1, section 2.3.2)."""

from collections.abc import Sequence
from typing import Any

from r1kit.languages.detect import detect_language, language_fraction
from r1kit.languages.words import word_scripts
from r1kit.prompts import completion_text, parse_completion


def language(
    completions: Sequence[Any],
    prompts: Sequence[Any],
    language: Sequence[str | None] | None = None,
    thinking: Sequence[bool | None] | None = None,
    **columns: Any,
) -> list[float | None]:
    """The share of the chain of thought's words in the row's `language`, else in the prompt's.

    0.0 without a chain of thought, or one without words; `None` where the row wants none.
    """
    count = len(completions)
    targets, wanted = language or [None] * count, thinking or [True] * count
    scores: list[float | None] = []
    for completion, prompt, target, wants in zip(completions, prompts, targets, wanted, strict=True):
        chain = parse_completion(completion_text(completion))
        if wants is False:
            scores.append(None)
        else:
            text = prompt if isinstance(prompt, str) else prompt[-1]["content"]
            said = chain.thinking or ""
            scores.append(language_fraction(said, target or detect_language(text)) if word_scripts(said) else 0.0)
    return scores
