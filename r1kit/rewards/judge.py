"""Judge: a language model that grades completions by a rubric, for prompts whose answers no rule can check.

It runs on one or several servers with OpenAI's interface, which are asked by r1kit's own client: retries, several
servers, a limit of requests at once. A request without a verdict is a FAULT.

    rewards:
      - name: judge
        model: Qwen/Qwen3-8B
        server: {urls: http://localhost:8000/v1}
        rubric: A good answer is true, polite and at most three sentences long.
        last_steps: 400
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from r1kit.answers.extract import judged_part
from r1kit.answers.fault import FAULT
from r1kit.rewards.judge_prompts import (
    TIE,
    Quoted,
    ScoreRange,
    groupwise_prompt,
    pairwise_prompt,
    pointwise_prompt,
    read_better,
    read_score,
    read_scores,
)
from r1kit.rewards.judge_server import JudgeServer, JudgeSettings, connect_judge
from r1kit.rewards.settings import SettingError, require_count, require_lists, require_number
from r1kit.user_paths import expand_home

if TYPE_CHECKING:
    from r1kit.recipe import RewardConfig

MODES = ("pointwise", "pairwise", "groupwise")
PARTS = ("answer", "all")
LOWEST_REWARD = 0.0
MAX_TEMPERATURE = 2.0


def judge(
    completions: Sequence[Any],
    prompts: Sequence[Any],
    question: Sequence[str | None] | None = None,
    answer: Sequence[str | None] | None = None,
    *,
    model: str = "",
    rubric: str = "",
    mode: str = "pointwise",
    part: str = "answer",
    lowest: float = 1,
    highest: float = 10,
    opponents: int = 2,
    show_answer: bool = False,
    temperature: float = 0.0,
    max_tokens: int = 1024,
    server: dict[str, Any] | None = None,
    budget: dict[str, Any] | None = None,
    cache: str | None = None,
    **columns: Any,
) -> list[float | None]:
    """Pay from 0 to 1 what a language model on a server gives to a completion by a rubric.

    `None` in the modes that compare, where the prompt has one completion alone. An empty completion gets 0 and is not
    shown to the judge. FAULT: the request failed or was refused, or its reply has no verdict in the form asked for.

    Columns: `question`, the problem without the prompt template; `answer`, the right answer, for `show_answer`.

    Settings:
        model: the judge's name on its server.
        rubric: what a good answer is, in words for the judge.
        mode: `pointwise` (each completion is graded alone), `pairwise` (pairs of a prompt's completions are compared,
            each in both orders) or `groupwise` (all completions of a prompt are graded in one request).
        part: what is judged: `answer` (the final answer) or `all` (the completion with its chain of thought).
        lowest: the score that becomes 0.
        highest: the score that becomes 1.
        opponents: with how many others a completion is compared, in the mode `pairwise`.
        show_answer: whether the judge is shown the row's right answer.
        temperature: of the judge's replies.
        max_tokens: longest reply of the judge, its thinking included.
        server: block of addresses, key, concurrency, timeout, retries and further fields, as `sampling.server`.
        budget: block of tokens or cost that the judge may spend, as `sampling.budget`; needs `cache`.
        cache: file that keeps verdicts and what they cost, for resumed runs.

    Raises ValueError for a wrong setting, UserError where no server answers or the budget is spent.

    Source: r1kit's own, after LLM-as-a-judge (arXiv 2306.05685).

    An empty completion is not shown to the judge:

    >>> judge([""], prompts=["Write a poem."], model="judge", rubric="It rhymes.")
    [0.0]
    """
    require_lists("judge", completions, prompts=prompts, question=question, answer=answer)
    settings = _check_settings(
        model, rubric, mode, part, lowest, highest, opponents, temperature, max_tokens, server, budget, cache
    )
    texts = [judged_part(completion, part) for completion in completions]
    rewards: list[float | None] = [LOWEST_REWARD] * len(texts)
    groups = _group_rows(prompts, texts)
    if not groups:
        return rewards
    connection = connect_judge(settings)
    rows = _collect_rows(prompts, texts, question, answer if show_answer else None)
    scores = ScoreRange(lowest, highest)
    if mode == "pointwise":
        values = _judge_each(connection, rubric, scores, rows, groups)
    elif mode == "pairwise":
        values = _judge_pairs(connection, rubric, opponents, rows, groups)
    else:
        values = _judge_groups(connection, rubric, scores, rows, groups)
    for i, value in values.items():
        rewards[i] = value
    return rewards


@dataclass(frozen=True)
class _JudgedRow:
    """A row as the judge is shown it."""

    question: str
    text: str
    """The part of the completion that is judged."""
    right_answer: str | None


def _collect_rows(
    prompts: Sequence[Any],
    texts: Sequence[str],
    questions: Sequence[str | None] | None,
    answers: Sequence[str | None] | None,
) -> list[_JudgedRow]:
    """Return the columns as rows; the text of a prompt stands for a question that is missing."""
    missing = [None] * len(texts)
    questions = questions or missing
    answers = missing if answers is None else answers
    rows = []
    for i, prompt in enumerate(prompts):
        right_answer = None if answers[i] is None else str(answers[i])
        rows.append(_JudgedRow(questions[i] or _prompt_text(prompt), texts[i], right_answer))
    return rows


Group = dict[str, list[int]]
"""The different texts of one prompt, each with the numbers of the rows that have it."""


def _group_rows(prompts: Sequence[Any], texts: Sequence[str]) -> list[Group]:
    """Return the group of each prompt; rows without text are left out."""
    groups: dict[str, Group] = {}
    for i, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
        if text:
            group = groups.setdefault(json.dumps(prompt, sort_keys=True, default=str), {})
            group.setdefault(text, []).append(i)
    return list(groups.values())


def _prompt_text(prompt: Any) -> str:
    """Return a prompt as the judge reads it: text, or messages with their roles."""
    if isinstance(prompt, str):
        return prompt
    if len(prompt) == 1:
        return str(prompt[0]["content"])
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in prompt)


def _judge_each(
    connection: JudgeServer,
    rubric: str,
    scores: ScoreRange,
    rows: Sequence[_JudgedRow],
    groups: Sequence[Group],
) -> dict[int, float | None]:
    """Return the reward of each row of the mode `pointwise`."""
    equal_rows = [numbers for group in groups for numbers in group.values()]
    requests = [pointwise_prompt(rubric, scores, _quote(rows, [numbers])) for numbers in equal_rows]
    verdicts = connection.ask(requests, lambda reply: read_score(reply, scores))
    rewards: dict[int, float | None] = {}
    for numbers, verdict in zip(equal_rows, verdicts, strict=True):
        reward = FAULT if verdict is None else scores.to_reward(verdict)
        rewards |= dict.fromkeys(numbers, reward)
    return rewards


def _quote(rows: Sequence[_JudgedRow], equal_rows: Sequence[Sequence[int]]) -> Quoted:
    """Return what the judge is shown of completions of one prompt; each is that of several rows with the same text."""
    first = rows[equal_rows[0][0]]
    texts = tuple(rows[numbers[0]].text for numbers in equal_rows)
    return Quoted(first.question, texts, first.right_answer)


def _judge_pairs(
    connection: JudgeServer,
    rubric: str,
    opponents: int,
    rows: Sequence[_JudgedRow],
    groups: Sequence[Group],
) -> dict[int, float | None]:
    """Return the fraction of comparisons that each row's completion wins; a tie is half a win.

    Each pair is compared in both orders, since judges prefer the first or the second place. A pair of which one order
    has no verdict counts for nothing, or its other order would pay the place and not the completion.
    """
    rewards: dict[int, float | None] = {}
    compared: list[tuple[list[int], list[int]]] = []  # the rows of the first and of the second completion
    for group in groups:
        equal_rows = list(group.values())
        if len(equal_rows) == 1:
            numbers = equal_rows[0]
            rewards |= dict.fromkeys(numbers, 0.5 if len(numbers) > 1 else None)  # equal completions tie
            continue
        for first, second in _choose_pairs(len(equal_rows), opponents):
            compared.append((equal_rows[first], equal_rows[second]))
            compared.append((equal_rows[second], equal_rows[first]))
    requests = [pairwise_prompt(rubric, _quote(rows, both)) for both in compared]
    outcomes: dict[int, list[float]] = {}  # of each different text, by the number of its first row
    verdicts = connection.ask(requests, read_better)
    for i, (both, better) in enumerate(zip(compared, verdicts, strict=True)):
        other_order = verdicts[i ^ 1]  # the two orders of a pair stand side by side
        if better is None or other_order is None:
            continue
        for position, numbers in enumerate(both, start=1):
            outcome = 0.5 if better == TIE else float(better == position)
            outcomes.setdefault(numbers[0], []).append(outcome)
    for both in compared:
        for numbers in both:
            row_outcomes = outcomes.get(numbers[0])
            rewards |= dict.fromkeys(numbers, sum(row_outcomes) / len(row_outcomes) if row_outcomes else FAULT)
    return rewards


def _choose_pairs(count: int, opponents: int) -> list[tuple[int, int]]:
    """Return which of `count` completions are compared: each with its next ones on a ring, in all with `opponents`."""
    pairs = []
    for distance in range(1, min((opponents + 1) // 2, count // 2) + 1):
        for first in range(count):
            second = (first + distance) % count
            if (second, first) not in pairs:
                pairs.append((first, second))
    return pairs


def _judge_groups(
    connection: JudgeServer,
    rubric: str,
    scores: ScoreRange,
    rows: Sequence[_JudgedRow],
    groups: Sequence[Group],
) -> dict[int, float | None]:
    """Return the reward of each row of the mode `groupwise`."""
    rewards: dict[int, float | None] = {}
    compared = []
    for group in groups:
        equal_rows = list(group.values())
        if len(equal_rows) == 1 and len(equal_rows[0]) == 1:
            rewards[equal_rows[0][0]] = None
        else:
            compared.append(equal_rows)
    # The form of a verdict depends on the size of the group.
    for count in sorted({len(equal_rows) for equal_rows in compared}):
        same_size = [equal_rows for equal_rows in compared if len(equal_rows) == count]
        requests = [groupwise_prompt(rubric, scores, _quote(rows, equal_rows)) for equal_rows in same_size]

        def read(reply: str, count: int = count) -> list[float]:
            return read_scores(reply, scores, count)

        for equal_rows, verdict in zip(same_size, connection.ask(requests, read), strict=True):
            for position, numbers in enumerate(equal_rows):
                reward = FAULT if verdict is None else scores.to_reward(verdict[position])
                rewards |= dict.fromkeys(numbers, reward)
    return rewards


# Settings


def judge_settings(entry: "RewardConfig") -> JudgeSettings:
    """Return how the judge of a recipe's reward entry is asked; the entry was checked before."""
    settings = entry.settings
    return _server_settings(
        settings["model"],
        settings.get("temperature", 0.0),
        settings.get("max_tokens", 1024),
        settings.get("server"),
        settings.get("budget"),
        settings.get("cache"),
    )


def _server_settings(
    model: str, temperature: float, max_tokens: int, server: Any, budget: Any, cache: str | None
) -> JudgeSettings:
    server_text = json.dumps({} if server is None else server, sort_keys=True)
    budget_text = json.dumps({} if budget is None else budget, sort_keys=True)
    return JudgeSettings(model, server_text, budget_text, cache and expand_home(cache), temperature, max_tokens)


def _check_settings(
    model: Any,
    rubric: Any,
    mode: Any,
    part: Any,
    lowest: Any,
    highest: Any,
    opponents: Any,
    temperature: Any,
    max_tokens: Any,
    server: Any,
    budget: Any,
    cache: Any,
) -> JudgeSettings:
    """Return how the judge is asked. Raises SettingError for a setting that `judge` cannot have."""
    if not isinstance(model, str) or not model:
        raise SettingError("judge", "model", model, "must be the name of the judge's model on its server")
    if not isinstance(rubric, str) or not rubric.strip():
        raise SettingError("judge", "rubric", rubric, "must say in words what a good answer is")
    if os.path.isfile(rubric):
        requirement = "is the name of a file, and a rubric is text: write it below rubric: | in the recipe"
        raise SettingError("judge", "rubric", rubric, requirement)
    if mode not in MODES:
        raise SettingError("judge", "mode", mode, f"must be {', '.join(MODES)}")
    if part not in PARTS:
        raise SettingError("judge", "part", part, "must be answer or all")
    require_number("judge", "lowest", lowest)
    require_number("judge", "highest", highest)
    if lowest >= highest:
        raise SettingError("judge", "highest", highest, f"must be above lowest = {lowest}")
    require_count("judge", "opponents", opponents)
    require_number("judge", "temperature", temperature)
    if not 0 <= temperature <= MAX_TEMPERATURE:
        raise SettingError("judge", "temperature", temperature, f"must be from 0 to {MAX_TEMPERATURE:g}")
    require_count("judge", "max_tokens", max_tokens)
    if cache is not None and (not isinstance(cache, str) or not cache):
        raise SettingError("judge", "cache", cache, "must be the path of a file")
    settings = _server_settings(model, temperature, max_tokens, server, budget, cache)
    settings.server_config()
    limits = settings.budget_config()
    if (limits.tokens or limits.cost) and cache is None:
        requirement = "needs cache, the file that keeps what earlier sessions have spent"
        raise SettingError("judge", "budget", budget, requirement)
    if limits.cost and not (limits.input_price or limits.output_price):
        requirement = "cannot be counted without input_price or output_price"
        raise SettingError("judge", "budget.cost", limits.cost, requirement)
    return settings
