"""Have kept completions rewritten, and verify what comes back: the cold-start refinery, and journeys by a teacher.

R1's cold start (arXiv 2501.12948, B.3.2) takes R1-Zero's right and readable chains, has them rewritten by a model, in
the question's language and with a summary, and keeps what is still right. Here a teacher does it, or the model itself;
each reply is put into R1's format, scored by the same rewards and held against the same filters as what it came from.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from r1kit.data.filters import EVERY, Sieve, chain
from r1kit.data.hygiene import words
from r1kit.data.journey import Pair, pairs, stitch
from r1kit.data.load import plain_text, shown
from r1kit.prompts import read
from r1kit.recipe import Filters, GenerateRecipe, Journey, Refine, Teacher
from r1kit.rewards import RewardFunction
from r1kit.rewards.language import NAMES
from r1kit.run import MEANS, Run, is_main
from r1kit.sampling.sampler import Groups, Sample
from r1kit.sampling.score import Work, bound, fill, rewards_of, verdict
from r1kit.sampling.shards import USAGE, Row, Shards, fingerprint

OWN_LANGUAGE = 0.9  # least share of the question's language in a chain that was rewritten

Problems = Callable[[int], dict[str, dict[str, Any]]]


@dataclass(frozen=True)
class Task:
    """A row, what a teacher is asked about it, and how a reply becomes its new completion (None: it does not)."""

    row: Row
    ask: str
    reply: Callable[[str], str | None]


def refine_tasks(rows: Sequence[Row], refine: Refine) -> list[Task]:
    """Return a task for each row that has a chain of thought."""
    found = []
    for row in rows:
        said = read(row["completion"])
        if not row["thinking"] or not said.thinks:
            continue
        slots = {
            "prompt": plain_text(row["prompt"]),
            "thinking": (said.thinking or "").strip(),
            "answer": (said.answer or "").strip(),
        }
        ask = _fill(refine.template, row, **slots)
        found.append(Task(row, ask, partial(refined, row=row, summary=refine.summary)))
    return found


def journey_tasks(rows: Sequence[Row], journey: Journey) -> list[Task]:
    """Return a task for each pair of a wrong and a right completion."""
    found = []
    for pair in journey_pairs(rows, journey):
        right, wrong = pair.right["completion"], pair.wrong["completion"]
        ask = _fill(journey.template, pair.right, prompt=plain_text(pair.right["prompt"]), wrong=wrong, right=right)
        found.append(Task(pair.right, ask, partial(refined, row=pair.right, summary=False)))
    return found


def journey_pairs(rows: Sequence[Row], journey: Journey) -> list[Pair]:
    """Return the pairs of a shard's rows, prompt by prompt."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["id"], []).append(row)
    return [pair for group in groups.values() for pair in pairs(group, journey.per_prompt)]


def _fill(template: str, row: Row, **slots: str) -> str:
    """Put values into a template in one pass, so that braces within them stay as they are."""
    code = row.get("target_language") or "en"
    values = {**slots, "language": NAMES.get(code, code)}
    return re.sub(r"\{(\w+)\}", lambda m: values.get(m.group(1), m.group(0)), template)


def refined(text: str, row: Row, summary: bool) -> str | None:
    """Return the completion that a teacher's reply makes, in R1's format; None where the reply lacks a part."""
    thinking, answer, short = _last("think", text), _last("answer", text), _last("summary", text)
    if not thinking or not answer or (summary and not short):
        return None
    kind = row.get("verifier") or ("code" if row.get("tests") else "math")
    if summary and kind in ("math", "reasoning_gym"):
        boxed = answer if "\\boxed" in answer else f"\\boxed{{{answer}}}"
        answer = f"{short}\n\n{boxed}" if kind == "math" else answer
    elif kind == "code":
        fenced = answer if "```" in answer else f"```python\n{answer}\n```"
        answer = f"{short}\n\n{fenced}" if summary else fenced
    return f"<think>\n{thinking}\n</think>\n<answer>\n{answer}\n</answer>"


def _last(tag: str, text: str) -> str | None:
    """Return what stands in the last block of a tag: a teacher that thinks aloud does so before."""
    found = re.findall(rf"<{tag}>(?:(?!<{tag}>).)*?</{tag}>", text, re.DOTALL)
    return found[-1][len(tag) + 2 : -len(tag) - 3].strip() if found else None


def rewrite(
    recipe: GenerateRecipe, teacher: Teacher, field: str, tasks: Callable[[list[Row]], list[Task]],
    shards: Shards, problems: Problems, run: Run,
) -> Shards:  # fmt: skip
    """Return shards of rewritten rows, one for each of `shards`; `held` tells those that hold.

    `tasks` makes the tasks of a shard's rows; `problems` gives a shard's problems by id, for the rewards. Shards that
    are not there yet, since a budget is spent, wait. Raises UserError where rows stand there that were rewritten from
    other filters' or by another teacher.
    """
    functions = bound(recipe.rewards)
    second = Shards(run.path / field, shards.count, shards.scores)
    prompt = teacher.prompt
    model = teacher.model or recipe.model

    def prompts(index: int) -> list[Any]:
        return [shown(task.ask, prompt) for task in tasks(shards.read(index))]

    def rows(index: int, groups: Groups) -> list[Row]:
        asked = tasks(shards.read(index))
        return held_rows(asked, groups, problems(index), functions, recipe.keep, model.path or "")

    if is_main():  # what is rewritten depends on the filters, and how, on the teacher
        means: dict[str, Any] = {"sampling": {"budget": True, "server": set(MEANS)}, "otherwise": True}
        told = [recipe.keep.model_dump_json(), teacher.model_dump_json(exclude=means)]
        second.begin(fingerprint=json.loads(shards.manifest.read_text())["fingerprint"], settings=fingerprint(told))
    work = Work(model, prompt, teacher.sampling, recipe.seed + 1, field, f"{field}.sampling")
    fill(second, prompts, rows, work, run, among=set(shards.done()))
    return second


def held_rows(
    tasks: Sequence[Task], groups: Groups, problems: dict[str, dict[str, Any]], functions: Sequence[RewardFunction],
    keep: Filters, teacher: str,
) -> list[Row]:  # fmt: skip
    """Return a row for each task: with the first reply that holds, else the old one; `held` tells which."""
    tried = [
        (i, sample, completion)
        for i, (task, group) in enumerate(zip(tasks, groups, strict=True))
        for sample in group
        if sample.finish_reason == "stop" and (completion := task.reply(sample.text[sample.parted :]))
    ]
    candidates = rescored([(tasks[i].row, sample, text) for i, sample, text in tried], problems, functions)
    strict = keep.model_copy(
        update={"correct": True, "language": max(keep.language, OWN_LANGUAGE), "min_tokens": None, "max_tokens": None}
    )
    tests = chain(strict).values()
    chosen: dict[int, Row] = {}
    for (i, _, _), row in zip(tried, candidates, strict=True):
        if i not in chosen and not row["fault"] and all(test(row) for test in tests):
            chosen[i] = row
    return [
        {
            **chosen.get(i, task.row),
            "held": i in chosen,
            "teacher": teacher,
            "original": task.row["completion"] if i in chosen else None,
            USAGE[0]: sum(sample.prompt_tokens for sample in group),
            USAGE[1]: sum(sample.tokens for sample in group),
        }
        for i, (task, group) in enumerate(zip(tasks, groups, strict=True))
    ]


def rescored(
    changed: Sequence[tuple[Row, Sample | None, str]],
    problems: dict[str, dict[str, Any]],
    functions: Sequence[RewardFunction],
) -> list[Row]:
    """Return rows with new completions, scored again; a length that no sample tells is counted in words."""
    if not changed:
        return []
    texts = [text for _, _, text in changed]
    given = [problems[row["id"]] for row, _, _ in changed]
    columns = {name: [problem[name] for problem in given] for name in given[0]}
    lengths = [sample.tokens if sample else len(words(text)) for _, sample, text in changed]
    scores = rewards_of(texts, [range(n) for n in lengths], columns, functions)
    return [
        {
            **row,
            "completion": text,
            **verdict({name: values[i] for name, values in scores.items()}),
            "thinks": read(text).thinks,
            "tokens": lengths[i],
            "finish_reason": "stop",
            "logprob": None,
        }
        for i, (row, _, text) in enumerate(changed)
    ]


def stitched(
    rows: list[Row], journey: Journey, problems: dict[str, dict[str, Any]], functions: Sequence[RewardFunction]
) -> list[Row]:
    """Return the journeys of a shard's rows, scored; `original` is the right completion that each is made of."""
    found = journey_pairs(rows, journey)
    joined = [(pair.right, None, stitch(pair, journey.max_wrong_steps)) for pair in found]
    again = rescored(joined, problems, functions)
    return [{**row, "original": pair.right["completion"]} for row, pair in zip(again, found, strict=True)]


def plain_sieve(keep: Filters) -> Sieve:
    """Return a sieve for rows that are no longer whole groups."""
    return Sieve(keep.model_copy(update={"pass_rate": EVERY, "per_prompt": None}))
