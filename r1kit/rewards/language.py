"""Language consistency: the fraction of words of the chain of thought that are in the target language.

R1's language consistency reward (arXiv 2501.12948, section 2.3.2). R1-Zero mixes languages in its chains of thought;
the reward costs a little accuracy and makes them readable.
"""

from collections.abc import Sequence
from typing import Any

from r1kit.answers.extract import completion_text, parse_completion
from r1kit.languages.detect import UNKNOWN_LANGUAGE, detect_language, language_fraction
from r1kit.languages.words import word_scripts
from r1kit.rewards.settings import require_lists


def language(
    completions: Sequence[Any],
    prompts: Sequence[Any],
    language: Sequence[str | None] | None = None,
    thinking: Sequence[bool | None] | None = None,
    **columns: Any,
) -> list[float | None]:
    """Pay the fraction, 0 to 1, of the words of the chain of thought that are in the row's language.

    The row's language is its column `language` (a code such as "en"), else the language of its prompt. A completion
    without a chain of thought, or with one that has no words, gets 0.0. `None`: the row's column `thinking` is false,
    or its language is one that r1kit does not know (`und`).
    See r1kit/languages/words.py for what counts as a word, and r1kit/languages/detect.py for how languages are told
    apart.

    Source: R1 (arXiv 2501.12948, section 2.3.2).

    >>> language(["<think>First we add 两个数</think><answer>4</answer>"], prompts=["What is 2 + 2?"])
    [0.5]
    >>> language(["<answer>4</answer>"], prompts=["What is 2 + 2?"], thinking=[False])
    [None]
    """
    require_lists("language", completions, prompts=prompts, language=language, thinking=thinking)
    missing = [None] * len(completions)
    rewards: list[float | None] = []
    for completion, prompt, target_language, wants_thinking in zip(
        completions, prompts, language or missing, thinking or missing, strict=True
    ):
        if wants_thinking is False:
            rewards.append(None)
            continue
        if not target_language:
            target_language = detect_language(prompt if isinstance(prompt, str) else prompt[-1]["content"])
        if target_language == UNKNOWN_LANGUAGE:
            rewards.append(None)
            continue
        chain_of_thought = parse_completion(completion_text(completion)).thinking or ""
        if not word_scripts(chain_of_thought):
            rewards.append(0.0)
            continue
        rewards.append(language_fraction(chain_of_thought, target_language))
    return rewards
