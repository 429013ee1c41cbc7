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

from r1kit.answers.extract import parse_completion
from r1kit.data.filters import EVERY_PASS_RATE, RowFilter, build_filters
from r1kit.data.hygiene.normalise import ngram_words
from r1kit.data.journey import JourneyPair, find_journey_pairs, stitch_journey
from r1kit.data.questions import question_text, render_prompt
from r1kit.languages.detect import LANGUAGE_NAMES
from r1kit.ranks import is_main_rank
from r1kit.recipe import (
    SERVER_CONNECTION_FIELDS,
    FiltersConfig,
    GenerateRecipe,
    JourneyConfig,
    RefineConfig,
    TeacherConfig,
)
from r1kit.rewards.registry import RewardFunction
from r1kit.rows import USAGE_COLUMNS, Row
from r1kit.runs.run import Run
from r1kit.sampling.engine import CompletionGroups, SampledCompletion
from r1kit.sampling.loop import SamplingJob, sample_missing_shards
from r1kit.sampling.scoring import bind_rewards, compute_rewards, row_verdict
from r1kit.sampling.shards import Shards, text_fingerprint

OWN_LANGUAGE = 0.9  # least share of the question's language in a chain that was rewritten

Problems = Callable[[int], dict[str, dict[str, Any]]]


@dataclass(frozen=True)
class RewriteTask:
    """A row, what a teacher is asked about it, and how a reply becomes its new completion (None: it does not)."""

    row: Row
    ask: str
    reply: Callable[[str], str | None]


def refine_tasks(rows: Sequence[Row], refine: RefineConfig) -> list[RewriteTask]:
    """Return a task for each row that has a chain of thought."""
    found = []
    for row in rows:
        said = parse_completion(row["completion"])
        if not row["thinking"] or not said.thinks:
            continue
        slots = {
            "prompt": question_text(row["prompt"]),
            "thinking": (said.thinking or "").strip(),
            "answer": (said.answer or "").strip(),
        }
        ask = _fill(refine.template, row, **slots)
        found.append(RewriteTask(row, ask, partial(format_reply, row=row, summary=refine.summary)))
    return found


def journey_tasks(rows: Sequence[Row], journey: JourneyConfig) -> list[RewriteTask]:
    """Return a task for each pair of a wrong and a right completion."""
    found = []
    for pair in journey_pairs(rows, journey):
        right, wrong = pair.right["completion"], pair.wrong["completion"]
        ask = _fill(journey.template, pair.right, prompt=question_text(pair.right["prompt"]), wrong=wrong, right=right)
        found.append(RewriteTask(pair.right, ask, partial(format_reply, row=pair.right, summary=False)))
    return found


def journey_pairs(rows: Sequence[Row], journey: JourneyConfig) -> list[JourneyPair]:
    """Return the pairs of a shard's rows, prompt by prompt."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["id"], []).append(row)
    return [pair for group in groups.values() for pair in find_journey_pairs(group, journey.per_prompt)]


def _fill(template: str, row: Row, **slots: str) -> str:
    """Put values into a template in one pass, so that braces within them stay as they are."""
    code = row.get("target_language") or "en"
    values = {**slots, "language": LANGUAGE_NAMES.get(code, code)}
    return re.sub(r"\{(\w+)\}", lambda m: values.get(m.group(1), m.group(0)), template)


def format_reply(text: str, row: Row, summary: bool) -> str | None:
    """Return the completion that a teacher's reply makes, in R1's format; None where the reply lacks a part."""
    thinking, answer, short = _last("think", text), _last("answer", text), _last("summary", text)
    if not thinking or not answer or (summary and not short):
        return None
    kind = row.get("checker") or ("code" if row.get("tests") else "math")
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


def rewrite_shards(
    recipe: GenerateRecipe, teacher: TeacherConfig, field: str, tasks: Callable[[list[Row]], list[RewriteTask]],
    shards: Shards, problems: Problems, run: Run,
) -> Shards:  # fmt: skip
    """Return shards of rewritten rows, one for each of `shards`; `held` tells those that hold.

    `tasks` makes the tasks of a shard's rows; `problems` gives a shard's problems by id, for the rewards. Shards that
    are not there yet, since a budget is spent, wait. Raises UserError where rows stand there that were rewritten from
    other filters' or by another teacher.
    """
    functions = bind_rewards(recipe.rewards)
    second = Shards(run.path / field, shards.count, shards.scores)
    prompt = teacher.prompt
    model = teacher.model or recipe.model

    def prompts(index: int) -> list[Any]:
        return [render_prompt(task.ask, prompt) for task in tasks(shards.read(index))]

    def rows(index: int, groups: CompletionGroups) -> list[Row]:
        asked = tasks(shards.read(index))
        return choose_rewrites(asked, groups, problems(index), functions, recipe.keep, model.path or "")

    if is_main_rank():  # what is rewritten depends on the filters, and how, on the teacher
        means: dict[str, Any] = {
            "sampling": {"budget": True, "server": set(SERVER_CONNECTION_FIELDS)},
            "otherwise": True,
        }
        told = [recipe.keep.model_dump_json(), teacher.model_dump_json(exclude=means)]
        second.begin(
            fingerprint=json.loads(shards.manifest.read_text())["fingerprint"], settings=text_fingerprint(told)
        )
    work = SamplingJob(model, prompt, teacher.sampling, recipe.seed + 1, field, f"{field}.sampling")
    sample_missing_shards(second, prompts, rows, work, run, among=set(shards.done()))
    return second


def choose_rewrites(
    tasks: Sequence[RewriteTask],
    groups: CompletionGroups,
    problems: dict[str, dict[str, Any]],
    functions: Sequence[RewardFunction],
    keep: FiltersConfig,
    teacher: str,
) -> list[Row]:
    """Return a row for each task: with the first reply that holds, else the old one; `held` tells which."""
    tried = [
        (i, sample, completion)
        for i, (task, group) in enumerate(zip(tasks, groups, strict=True))
        for sample in group
        if sample.finish_reason == "stop" and (completion := task.reply(sample.text[sample.parted :]))
    ]
    candidates = rescore_rows([(tasks[i].row, sample, text) for i, sample, text in tried], problems, functions)
    strict = keep.model_copy(
        update={"correct": True, "language": max(keep.language, OWN_LANGUAGE), "min_tokens": None, "max_tokens": None}
    )
    tests = build_filters(strict).values()
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
            USAGE_COLUMNS[0]: sum(sample.prompt_tokens for sample in group),
            USAGE_COLUMNS[1]: sum(sample.tokens for sample in group),
        }
        for i, (task, group) in enumerate(zip(tasks, groups, strict=True))
    ]


def rescore_rows(
    changed: Sequence[tuple[Row, SampledCompletion | None, str]],
    problems: dict[str, dict[str, Any]],
    functions: Sequence[RewardFunction],
) -> list[Row]:
    """Return rows with new completions, scored again; a length that no sample tells is counted in words."""
    if not changed:
        return []
    texts = [text for _, _, text in changed]
    given = [problems[row["id"]] for row, _, _ in changed]
    columns = {name: [problem[name] for problem in given] for name in given[0]}
    lengths = [sample.tokens if sample else len(ngram_words(text)) for _, sample, text in changed]
    scores = compute_rewards(texts, [range(n) for n in lengths], columns, functions)
    return [
        {
            **row,
            "completion": text,
            **row_verdict({name: values[i] for name, values in scores.items()}),
            "thinks": parse_completion(text).thinks,
            "tokens": lengths[i],
            "finish_reason": "stop",
            "logprob": None,
        }
        for i, (row, _, text) in enumerate(changed)
    ]


def stitch_rows(
    rows: list[Row], journey: JourneyConfig, problems: dict[str, dict[str, Any]], functions: Sequence[RewardFunction]
) -> list[Row]:
    """Return the journeys of a shard's rows, scored; `original` is the right completion that each is made of."""
    found = journey_pairs(rows, journey)
    joined = [(pair.right, None, stitch_journey(pair, journey.max_wrong_steps)) for pair in found]
    again = rescore_rows(joined, problems, functions)
    return [{**row, "original": pair.right["completion"]} for row, pair in zip(again, found, strict=True)]


def ungrouped_filter(keep: FiltersConfig) -> RowFilter:
    """Return a filter for rows that are no longer whole groups."""
    return RowFilter(keep.model_copy(update={"pass_rate": EVERY_PASS_RATE, "per_prompt": None}))
