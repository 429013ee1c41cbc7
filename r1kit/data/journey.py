"""Journey rows (O1-Journey, arXiv 2410.18982): one completion that goes wrong, notices it, goes back and succeeds.

A journey is stitched from a wrong and a right completion of one prompt. Their chains of thought are cut into steps.
The journey takes the steps that both have in common at the beginning, then the wrong steps, says that something is
wrong, goes back to the last common step and ends as the right completion does.

Departures from the paper: O1-Journey searches a tree of steps with a reward model; here the pairs come from samples
that were judged by their answers. The pair with the most common steps is preferred, so that the mistake is one step and
not another problem. The caller verifies the final answer again.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from r1kit.answers.extract import completion_text, parse_completion
from r1kit.answers.thinking import split_thinking
from r1kit.rows import Row


@dataclass(frozen=True)
class TurnPhrases:
    """What a journey says where it turns back, in one language."""

    notice: str
    go_back: str
    """With the slot {step}: the last step that was right."""
    start_again: str
    """Said if no step was right."""


PHRASES_BY_LANGUAGE: dict[str, TurnPhrases] = {
    "en": TurnPhrases("Wait, that is not right.", "Let me go back to: {step}", "Let me start again."),
    "zh": TurnPhrases("等等，这不对。", "让我回到这一步：{step}", "让我重新开始。"),
    "fa": TurnPhrases("صبر کن، این درست نیست.", "برمی‌گردم به: {step}", "از نو شروع می‌کنم."),
    "fr": TurnPhrases("Attends, ce n'est pas juste.", "Revenons à : {step}", "Recommençons."),
    "de": TurnPhrases("Moment, das stimmt nicht.", "Ich gehe zurück zu: {step}", "Ich fange noch einmal an."),
    "es": TurnPhrases("Espera, esto no es correcto.", "Volvamos a: {step}", "Empecemos de nuevo."),
    "ru": TurnPhrases("Стоп, это неверно.", "Вернёмся к шагу: {step}", "Начнём сначала."),
}
_STEP_END = re.compile(r"(?<=[.!?؟])\s+|(?<=[。！？])|\n+")


@dataclass(frozen=True)
class JourneyPair:
    """A wrong and a right completion of one prompt."""

    wrong: Row
    right: Row
    common_steps: int
    """The number of steps that both have in common at their beginning."""


def split_steps(thinking: str) -> list[str]:
    """Return the steps of a chain of thought: its sentences, or its lines."""
    return [step.strip() for step in _STEP_END.split(thinking) if step.strip()]


def find_journey_pairs(samples: Sequence[Row], count: int) -> list[JourneyPair]:
    """Return up to `count` pairs of the samples of one prompt, those with the most common steps first.

    Each pair has another right completion. Samples that were cut, or that have no chain of thought, are not used.
    """
    right: list[tuple[Row, list[str]]] = []
    wrong: list[tuple[Row, list[str]]] = []
    for row in samples:
        completion = parse_completion(row["completion"])
        if row["finish_reason"] != "stop" or not completion.thinks:
            continue
        steps = split_steps(completion.thinking or "")
        if row["correct"]:
            right.append((row, steps))
        elif row["correct"] is False:
            wrong.append((row, steps))
    pairs = []
    for right_row, right_steps in right:
        for wrong_row, wrong_steps in wrong:
            common_steps = _count_common_steps(right_steps, wrong_steps)
            # Where one chain is the beginning of the other, no step went wrong.
            if common_steps < min(len(right_steps), len(wrong_steps)):
                pairs.append(JourneyPair(wrong_row, right_row, common_steps))
    pairs.sort(key=lambda pair: -pair.common_steps)
    pair_by_completion: dict[str, JourneyPair] = {}
    for pair in pairs:
        if len(pair_by_completion) < count:
            pair_by_completion.setdefault(pair.right["completion"], pair)
    return list(pair_by_completion.values())


def _count_common_steps(first: list[str], second: list[str]) -> int:
    """Return the number of steps that two chains have in common at their beginning."""
    common_steps = 0
    for first_step, second_step in zip(first, second, strict=False):
        if first_step != second_step:
            break
        common_steps += 1
    return common_steps


def stitch_journey(pair: JourneyPair, max_wrong_steps: int | None = None) -> str:
    """Return the completion that a pair makes, with at most `max_wrong_steps` of the wrong steps."""
    right_thinking = parse_completion(pair.right["completion"]).thinking or ""
    wrong_thinking = parse_completion(pair.wrong["completion"]).thinking or ""
    right_steps, wrong_steps = split_steps(right_thinking), split_steps(wrong_thinking)
    phrases = PHRASES_BY_LANGUAGE.get(pair.right.get("target_language") or "en", PHRASES_BY_LANGUAGE["en"])
    turn = phrases.start_again
    if pair.common_steps:
        turn = phrases.go_back.format(step=right_steps[pair.common_steps - 1])
    steps = [
        *right_steps[: pair.common_steps],
        *wrong_steps[pair.common_steps :][:max_wrong_steps],
        phrases.notice,
        turn,
        *right_steps[pair.common_steps :],
    ]
    # The journey is laid out as the right completion is: in lines or in one paragraph, its tags on lines of their own.
    thinking = ("\n" if "\n" in right_thinking.strip() else " ").join(steps)
    opening, closing = ("\n", "\n") if right_thinking.startswith("\n") else (" ", "")
    reply = split_thinking(completion_text(pair.right["completion"])).reply
    return f"<think>{opening}{thinking}{closing}</think>{reply}"
