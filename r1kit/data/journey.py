"""Journey rows (O1-Journey, arXiv 2410.18982): one completion that tries, notices, goes back and succeeds.

Made of a wrong and a right completion of one prompt. Their chains of thought are cut into steps; where the two have
steps in common at their beginning, the journey goes that far, takes the wrong path, says that it is wrong, goes back to
the last common step and ends as the right one does. The pair that goes furthest together is taken, so that the mistake
is one step and not another problem. The final answer is the right completion's, and is verified again by the caller.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from r1kit.answers.extract import completion_text, parse_completion
from r1kit.rows import Row

# What is said at the turn, by language: on noticing, and on going back to a step (or to the beginning).
TURNS: dict[str, tuple[str, str, str]] = {
    "en": ("Wait, that is not right.", "Let me go back to: {step}", "Let me start again."),
    "zh": ("等等，这不对。", "让我回到这一步：{step}", "让我重新开始。"),
    "fa": ("صبر کن، این درست نیست.", "برمی‌گردم به: {step}", "از نو شروع می‌کنم."),
    "fr": ("Attends, ce n'est pas juste.", "Revenons à : {step}", "Recommençons."),
    "de": ("Moment, das stimmt nicht.", "Ich gehe zurück zu: {step}", "Ich fange noch einmal an."),
    "es": ("Espera, esto no es correcto.", "Volvamos a: {step}", "Empecemos de nuevo."),
    "ru": ("Стоп, это неверно.", "Вернёмся к шагу: {step}", "Начнём сначала."),
}
_END = re.compile(r"(?<=[.!?؟])\s+|(?<=[。！？])|\n+")


@dataclass(frozen=True)
class JourneyPair:
    """A wrong and a right completion of one prompt, and how many steps they share at their beginning."""

    wrong: Row
    right: Row
    common: int


def split_steps(thinking: str) -> list[str]:
    """Return the steps of a chain of thought: its sentences, or its lines."""
    return [step.strip() for step in _END.split(thinking) if step.strip()]


def find_journey_pairs(group: Sequence[Row], count: int) -> list[JourneyPair]:
    """Return up to `count` pairs of the samples of one prompt, those that go furthest together first.

    Each has a right completion of its own. Only samples that ended by themselves, and thought, are taken.
    """
    usable = [r for r in group if r["finish_reason"] == "stop" and parse_completion(r["completion"]).thinks]
    chains = {id(r): split_steps(parse_completion(r["completion"]).thinking or "") for r in usable}
    right = [r for r in usable if r["correct"]]
    wrong = [r for r in usable if r["correct"] is False]
    found = []
    for good in right:
        for bad in wrong:
            one, other = chains[id(good)], chains[id(bad)]
            common = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
            if common is None:  # one is the beginning of the other: there is no step that went wrong
                continue
            found.append(JourneyPair(bad, good, common))
    found.sort(key=lambda pair: -pair.common)
    chosen: dict[str, JourneyPair] = {}
    for pair in found:
        if len(chosen) < count:
            chosen.setdefault(pair.right["completion"], pair)
    return list(chosen.values())


def stitch_journey(pair: JourneyPair, max_wrong_steps: int | None = None) -> str:
    """Return the journey that two completions make."""
    good, bad = parse_completion(pair.right["completion"]), parse_completion(pair.wrong["completion"])
    right, wrong = split_steps(good.thinking or ""), split_steps(bad.thinking or "")
    language = pair.right.get("target_language") or "en"
    noticed, back, again = TURNS.get(language, TURNS["en"])
    lost = wrong[pair.common :][:max_wrong_steps]
    turn = back.format(step=right[pair.common - 1]) if pair.common else again
    path = [*right[: pair.common], *lost, noticed, turn, *right[pair.common :]]
    said = completion_text(pair.right["completion"])
    _, _, rest = said.partition("</think>")
    joint = "\n" if "\n" in (good.thinking or "").strip() else " "
    thinking = joint.join(path)
    before, after = ("\n", "\n") if (good.thinking or "").startswith("\n") else (" ", "")
    return f"<think>{before}{thinking}{after}</think>{rest}"
