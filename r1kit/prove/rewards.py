"""Do the rewards pay right answers, and nothing else?

`accuracy` judges completions that are planted on the recipe's own problems: the gold answer itself in the form that the
recipe reads, other answers, and none. A gold answer that does not parse must never be paid: such a row teaches that
every answer is right.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from r1kit.answers.extract import ANSWER_FORMS
from r1kit.answers.fault import FAULT
from r1kit.data.problems import load_problems
from r1kit.prove.table import Finding, judge
from r1kit.recipe import RewardConfig, SourceConfig
from r1kit.recipe.rewards import answers_of_accuracy
from r1kit.rewards.binding import bind_reward
from r1kit.rows import Row

MOST_PROBLEMS = 200
"""Problems of the recipe's data whose gold answers are judged."""
UNPARSEABLE_GOLDS = ("\\frac{", "\\sqrt[", "(", "\\begin{cases}")
"""Gold answers of mathematics that stand for nothing."""
WRONG_ANSWER = "-987654321.25"
SHOWN_ROWS = 3
CHECKERS_WITHOUT_GOLD = ("code", "instructions")
"""Checkers of rows whose right completion cannot be made of the row alone."""

Reward = Callable[..., Sequence[float | None]]


@dataclass(frozen=True)
class Planted:
    """A completion whose verdict is known."""

    row: Row
    text: str
    is_right: bool


def check_rewards(recipe: Any, sources: Sequence[SourceConfig], has_own_data: bool) -> list[Finding]:
    """Return the findings on the rewards of a recipe and on the gold answers of its data, `sources`."""
    more = [source.model_copy(update={"rows": MOST_PROBLEMS}) for source in sources]
    problems = [dict(row) for row in load_problems(more, recipe.prompt)]
    findings = []
    for index, entry in enumerate(recipe.rewards):
        reward = bind_reward(entry.model_copy(update={"from_step": 0, "last_steps": None}), index, recipe.answers)
        if entry.name == "accuracy":
            forms = answers_of_accuracy(recipe.rewards, recipe.answers)
            findings.append(check_accuracy(reward, problems, forms))
            if has_own_data:
                findings.append(check_golds(reward, problems, forms, entry))
        elif entry.name == "format":
            findings.append(check_format(reward, problems))
        else:
            findings.append(check_values(entry.name, reward, problems))
    has_golds = any(gold_of(row) is not None for row in problems)
    if has_own_data and has_golds and not any(entry.name == "accuracy" for entry in recipe.rewards):
        entry = RewardConfig(name="accuracy")
        findings.append(check_golds(bind_reward(entry, 0, recipe.answers), problems, recipe.answers, entry))
    return findings


def write_completion(answer: str, forms: str, thinks: bool) -> str:
    """Return a completion with an answer in the form that `answers` names: in tags, or in a box."""
    text = f"The answer is \\boxed{{{answer}}}" if forms == "boxed" else f"<answer>{answer}</answer>"
    return f"<think>\nLet me see.\n</think>\n{text}" if thinks else text


def call_reward(reward: Reward, planted: Sequence[Planted]) -> list[float | None]:
    """Return what a reward gives to planted completions of its rows."""
    if not planted:
        return []
    names = sorted({name for entry in planted for name in entry.row if name != "prompt"})
    columns = {name: [entry.row.get(name) for entry in planted] for name in names}
    completions = []
    for entry in planted:
        is_text = isinstance(entry.row["prompt"], str)
        completions.append(entry.text if is_text else [{"role": "assistant", "content": entry.text}])
    prompts = [entry.row["prompt"] for entry in planted]
    return list(reward(completions=completions, prompts=prompts, **columns))


def _is_paid(value: float | None) -> bool:
    return value is not None and value != FAULT and value > 0


def gold_of(row: Row) -> str | None:
    """Return a row's gold answer as a completion would write it; None where the row alone does not say it."""
    if row.get("checker") in CHECKERS_WITHOUT_GOLD or row.get("tests"):
        return None
    answer = row.get("answer")
    if isinstance(answer, list):
        answer = answer[0] if answer else None
    return None if answer is None else str(answer)


def check_accuracy(reward: Reward, problems: Sequence[Row], forms: str) -> Finding:
    """Return whether planted right answers are paid, and wrong, missing and unparseable ones are not."""
    assert forms in ANSWER_FORMS
    planted = []
    for row in problems[:40]:
        thinks = row.get("thinking") is not False
        gold = gold_of(row)
        if gold is not None:
            planted.append(Planted(row, write_completion(gold, forms, thinks), True))
        planted.append(Planted(row, write_completion(WRONG_ANSWER, forms, thinks), False))
        planted.append(Planted(row, "", False))
        planted.append(Planted(row, "<think>\nLet me see.", False))
    template = problems[0]
    for gold in UNPARSEABLE_GOLDS:
        row = {**template, "answer": gold, "checker": "math", "tests": None}
        planted.append(Planted(row, write_completion("7", forms, True), False))
    values = call_reward(reward, planted)
    right = [value for entry, value in zip(planted, values, strict=True) if entry.is_right]
    wrong = [value for entry, value in zip(planted, values, strict=True) if not entry.is_right]
    # What becomes of single gold answers is the next check's; here most must be paid.
    paid_right, paid_wrong = sum(map(_is_paid, right)), sum(map(_is_paid, wrong))
    figure = f"accuracy: {paid_right} of {len(right)} right answers are paid, {paid_wrong} of {len(wrong)} others"
    if not right:
        figure += " (right programs cannot be planted)"
    return judge("rewards", not paid_wrong and (not right or paid_right > 0), figure)


def check_golds(reward: Reward, problems: Sequence[Row], forms: str, entry: RewardConfig) -> Finding:
    """Return whether the gold answers of the data can be paid at all: each is judged against itself."""
    planted, numbers = [], []
    for number, row in enumerate(problems):
        gold = gold_of(row)
        if gold is not None and all(row.get(name) in allowed for name, allowed in entry.where.items()):
            planted.append(Planted(row, write_completion(gold, forms, row.get("thinking") is not False), True))
            numbers.append(number)
    values = call_reward(reward, planted)
    broken = [number for number, value in zip(numbers, values, strict=True) if value is None or value == FAULT]
    unpaid = [number for number, value in zip(numbers, values, strict=True) if value is not None and value <= 0]
    figure = f"{len(planted) - len(broken) - len(unpaid)} of {len(planted)} gold answers are paid"
    if broken:
        figure += f"; {len(broken)} are broken and left out of training ({_name_rows(broken)})"
    if unpaid:
        figure += f"; {len(unpaid)} are never paid ({_name_rows(unpaid)})"
    without = len(problems) - len(planted)
    if without:
        figure += f"; {without} problems are judged by running their tests or rules"
    return judge("gold answers", not unpaid, figure)


def _name_rows(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:SHOWN_ROWS]))
    return f"row {shown}" + (", ..." if len(numbers) > SHOWN_ROWS else "")


def check_format(reward: Reward, problems: Sequence[Row]) -> Finding:
    """Return whether the format reward pays R1's form, and nothing that differs from it."""
    planted = []
    for row in problems[:8]:
        thinks = row.get("thinking") is not False
        planted.append(Planted(row, write_completion("7", "tags", thinks), True))
        planted.append(Planted(row, write_completion("7", "tags", not thinks), False))
        planted += [Planted(row, text, False) for text in ("7", "", "<answer>7")]
    values = call_reward(reward, planted)
    right = sum(_is_paid(value) for entry, value in zip(planted, values, strict=True) if entry.is_right)
    wrong = sum(_is_paid(value) for entry, value in zip(planted, values, strict=True) if not entry.is_right)
    count = sum(entry.is_right for entry in planted)
    figure = f"format: {right} of {count} right forms are paid, {wrong} of {len(planted) - count} others"
    return judge("rewards", right == count and not wrong, figure)


def check_values(name: str, reward: Reward, problems: Sequence[Row]) -> Finding:
    """Return whether a reward gives the same number twice, and a number or None, for completions of any form."""
    planted: list[Planted] = []
    texts: tuple[str, ...] = ()
    for row in problems[:8]:
        gold = gold_of(row) or "7"
        texts = (write_completion(gold, "tags", True), write_completion(gold, "tags", False), "", "7 " * 40)
        planted += [Planted(row, text, False) for text in texts]
    values = call_reward(reward, planted)
    # The completions of a problem stay beside each other, since some rewards compare those of a group.
    groups = [range(start, start + len(texts)) for start in range(0, len(planted), len(texts))]
    random.Random(0).shuffle(groups)
    order = [i for group in groups for i in group]
    shuffled = call_reward(reward, [planted[i] for i in order])
    moved = sum(values[i] != other for i, other in zip(order, shuffled, strict=True))
    numbers = [value for value in values if value is not None and value != FAULT]
    faults = sum(value == FAULT for value in values)
    span = f"from {min(numbers):.3g} to {max(numbers):.3g}" if numbers else "for no completion"
    figure = f"{name}: values {span} for {len(planted)} planted completions"
    if faults:
        figure += f", {faults} faults"
    if moved:
        figure += f"; {moved} depend on the order of the rows"
    return judge("rewards", not faults and not moved, figure)
