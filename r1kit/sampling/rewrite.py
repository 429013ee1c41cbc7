"""Have a teacher rewrite completions and check what comes back: cold-start data, and journeys.

R1's cold start (arXiv 2501.12948, section B.3.2) takes the correct and readable chains of thought of R1-Zero, has a
model rewrite them in the question's language and add a summary, and keeps what is still correct. Here a teacher
rewrites, or the model itself. Each reply is put into R1's format, scored by the same rewards, and must pass the same
filters as the completion that it came from.

A journey (O1-Journey, arXiv 2410.18982) is written by a teacher in the same way, or joined from a wrong and a right
completion without one (`stitch_rows`).
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from r1kit.answers.extract import final_reply, parse_completion
from r1kit.completions import CompletionGroups, Prompt
from r1kit.data.filters import EVERY_PASS_RATE, RowFilter, build_filters
from r1kit.data.hygiene.normalise import ngram_words
from r1kit.data.journey import JourneyPair, find_journey_pairs, stitch_journey
from r1kit.data.questions import question_text, render_prompt
from r1kit.languages.detect import LANGUAGE_NAMES, UNKNOWN_LANGUAGE
from r1kit.ranks import is_main_rank
from r1kit.recipe import (
    SERVER_CONNECTION_FIELDS,
    FiltersConfig,
    GenerateRecipe,
    JourneyConfig,
    RefineConfig,
    TeacherConfig,
)
from r1kit.recipe.rewards import Answers
from r1kit.rewards.registry import RewardFunction
from r1kit.rows import Row
from r1kit.runs.reading import read_state
from r1kit.runs.run import Run
from r1kit.safe_text import mask_secrets
from r1kit.sampling.loop import SamplingJob, sample_missing_shards
from r1kit.sampling.scoring import NewCompletion, bind_rewards, rescore_rows
from r1kit.sampling.shards import Shards, text_fingerprint

# A rewritten chain of thought must be at least to this fraction in the question's language, whatever `keep` asks for.
MIN_LANGUAGE_FRACTION = 0.9

# The problems of a shard by their ids, from the shard's number.
ProblemsOfShard = Callable[[int], dict[str, dict[str, Any]]]


@dataclass(frozen=True)
class RewriteTask:
    """A row, the question to the teacher about it, and how a reply becomes the row's new completion.

    `parse_reply` returns None for a reply in the wrong form.
    """

    row: Row
    question: str
    parse_reply: Callable[[str], str | None]


def refine_tasks(rows: Sequence[Row], refine: RefineConfig) -> list[RewriteTask]:
    """Return a task for each row that has a chain of thought."""
    tasks = []
    for row in rows:
        parsed = parse_completion(row["completion"])
        # A row that answers at once has nothing to rewrite.
        if not row["thinking"] or not parsed.thinks:
            continue
        question = _fill_slots(
            refine.template,
            row,
            prompt=question_text(row["prompt"]),
            thinking=(parsed.thinking or "").strip(),
            # A model that writes no tags and no box has its answer in its reply.
            answer=(parsed.answer or final_reply(row["completion"])).strip(),
        )
        tasks.append(RewriteTask(row, question, partial(format_reply, row=row, summary=refine.summary)))
    return tasks


def journey_tasks(rows: Sequence[Row], journey: JourneyConfig) -> list[RewriteTask]:
    """Return a task for each pair of a wrong and a right completion of a prompt."""
    tasks = []
    for pair in journey_pairs(rows, journey):
        question = _fill_slots(
            journey.template,
            pair.right,
            prompt=question_text(pair.right["prompt"]),
            wrong=pair.wrong["completion"],
            right=pair.right["completion"],
        )
        tasks.append(RewriteTask(pair.right, question, partial(format_reply, row=pair.right, summary=False)))
    return tasks


def journey_pairs(rows: Sequence[Row], journey: JourneyConfig) -> list[JourneyPair]:
    """Return the pairs of a wrong and a right completion among the rows of a shard, prompt by prompt."""
    rows_by_prompt: dict[str, list[Row]] = {}
    for row in rows:
        rows_by_prompt.setdefault(row["id"], []).append(row)
    pairs = []
    for group in rows_by_prompt.values():
        pairs += find_journey_pairs(group, journey.per_prompt)
    return pairs


def _fill_slots(template: str, row: Row, **slots: str) -> str:
    """Fill `{prompt}`, `{language}` and so on in one pass, so that braces within the values stay as they are."""
    code = row.get("target_language") or "en"
    values = {**slots, "language": _language_name(code)}
    return re.sub(r"\{(\w+)\}", lambda match: values.get(match.group(1), match.group(0)), template)


def _language_name(code: str) -> str:
    """Return what a request to the teacher calls a language: "French" for "fr"."""
    if code == UNKNOWN_LANGUAGE:
        return "the language of the problem"
    return LANGUAGE_NAMES.get(code, code)


def format_reply(text: str, row: Row, summary: bool) -> str | None:
    """Return the completion in R1's format that a teacher's reply makes, or None if a block is missing.

    With `summary`, the answer block holds the summary with the final answer in a box (mathematics) or in a code block.

        <think>...</think><summary>It is 8.</summary><answer>8</answer>
        becomes  <think>...</think><answer>It is 8.  \\boxed{8}</answer>
    """
    thinking = _find_last_block("think", text)
    answer = _find_last_block("answer", text)
    summary_text = _find_last_block("summary", text)
    if not thinking or not answer or (summary and not summary_text):
        return None
    checker = row.get("checker") or ("code" if row.get("tests") else "math")
    if checker == "code":
        if "```" not in answer:
            answer = f"```python\n{answer}\n```"
        if summary:
            answer = f"{summary_text}\n\n{answer}"
    elif checker == "math" and summary:
        if "\\boxed" not in answer:
            answer = f"\\boxed{{{answer}}}"
        answer = f"{summary_text}\n\n{answer}"
    return f"<think>\n{thinking}\n</think>\n<answer>\n{answer}\n</answer>"


def _find_last_block(tag: str, text: str) -> str | None:
    """Return the content of the last block of a tag: what a teacher thinks aloud comes before."""
    blocks = re.findall(rf"<{tag}>(?:(?!<{tag}>).)*?</{tag}>", text, re.DOTALL)
    if not blocks:
        return None
    return blocks[-1].removeprefix(f"<{tag}>").removesuffix(f"</{tag}>").strip()


def rewrite_shards(
    recipe: GenerateRecipe,
    teacher: TeacherConfig,
    field: str,
    tasks_of: Callable[[list[Row]], list[RewriteTask]],
    shards: Shards,
    problems_of: ProblemsOfShard,
    run: Run,
) -> Shards:
    """Return shards of rewritten rows, one for each shard in `shards`.

    `field` is the teacher's block in the recipe (`refine` or `journey`) and the name of the folder. The column `held`
    says whether a reply passed all checks. Shards that are not sampled yet, because a budget is spent, are left out.
    Raises UserError if the folder holds rows that were rewritten with other filters or by another teacher.
    """
    functions = bind_rewards(recipe.rewards, recipe.answers)
    rewritten = Shards(run.path / field, shards.count, shards.reward_names)
    model_config = teacher.model or recipe.model

    def prompts_of(index: int) -> list[Prompt]:
        tasks = tasks_of(shards.read_shard(index))
        return [render_prompt(task.question, teacher.prompt) for task in tasks]

    def rows_of(index: int, groups: CompletionGroups) -> list[Row]:
        tasks = tasks_of(shards.read_shard(index))
        return choose_rewrites(tasks, groups, problems_of(index), functions, recipe.keep, model_config.path or "")

    if is_main_rank():
        fingerprint = read_state(shards.manifest_path).get("fingerprint")
        rewritten.check_manifest(fingerprint=fingerprint, settings=_fingerprint_settings(recipe.keep, teacher))
    job = SamplingJob(
        model_config, teacher.prompt, teacher.sampling, recipe.seed + 1, label=field, field=f"{field}.sampling"
    )
    sample_missing_shards(rewritten, prompts_of, rows_of, job, run, only=set(shards.finished()))
    return rewritten


def _fingerprint_settings(keep: FiltersConfig, teacher: TeacherConfig) -> str:
    """Return the fingerprint of the settings that decide what is rewritten (the filters) and how (the teacher)."""
    # These may change between two sessions: they change where and how much is sampled, not what a reply says.
    changeable: dict[str, Any] = {
        "sampling": {"budget": True, "server": set(SERVER_CONNECTION_FIELDS)},
        "otherwise": True,
    }
    teacher_values = mask_secrets(teacher.model_dump(mode="json", exclude=changeable))
    return text_fingerprint([keep.model_dump_json(), json.dumps(teacher_values)])


def choose_rewrites(
    tasks: Sequence[RewriteTask],
    groups: CompletionGroups,
    problems: dict[str, dict[str, Any]],
    functions: Sequence[RewardFunction],
    keep: FiltersConfig,
    teacher_name: str,
) -> list[Row]:
    """Return a row for each task, with the first reply that passes all checks, or unchanged if none does.

    `groups` are the teacher's replies to each task. The column `held` says which of the two a row is.
    """
    # 1. The replies in the right form, as completions; a task may have several, in the order of its tries.
    task_of_candidate = []
    candidates = []
    for task_index, (task, group) in enumerate(zip(tasks, groups, strict=True)):
        for sample in group:
            if sample.finish_reason != "stop":
                continue
            # Reasoning that the server returned apart is the teacher's own thinking, not part of the reply.
            completion = task.parse_reply(sample.text[sample.separate_reasoning_chars :])
            if completion:
                task_of_candidate.append(task_index)
                candidates.append(NewCompletion(task.row, completion, sample.tokens, finish_reason="stop"))

    # 2. Of each task, the first that is correct and passes the filters.
    passes_filters = build_filters(_filters_for_rewrites(keep)).values()
    chosen: dict[int, Row] = {}
    rescored = rescore_rows(candidates, problems, functions)
    for task_index, row in zip(task_of_candidate, rescored, strict=True):
        if task_index not in chosen and not row["fault"] and all(passes(row) for passes in passes_filters):
            chosen[task_index] = row

    # 3. A row for every task, so that a resumed run does not ask the teacher again.
    rows = []
    for task_index, (task, group) in enumerate(zip(tasks, groups, strict=True)):
        is_held = task_index in chosen
        row = {
            **chosen.get(task_index, task.row),
            "held": is_held,
            "teacher": teacher_name,
            "original": task.row["completion"] if is_held else None,
            "teacher_prompt_tokens": sum(sample.prompt_tokens for sample in group),
            "teacher_tokens": sum(sample.tokens for sample in group),
        }
        rows.append(row)
    return rows


def _filters_for_rewrites(keep: FiltersConfig) -> FiltersConfig:
    """Return the filters that a rewritten row must pass: correct, in the question's language, of any length."""
    changes = {
        "correct": True,
        "language": max(keep.language, MIN_LANGUAGE_FRACTION),
        "min_tokens": None,
        "max_tokens": None,
    }
    return keep.model_copy(update=changes)


def stitch_rows(
    rows: list[Row], journey: JourneyConfig, problems: dict[str, dict[str, Any]], functions: Sequence[RewardFunction]
) -> list[Row]:
    """Return the journeys that are joined from the rows of a shard, scored.

    The column `original` holds the right completion that a journey ends with.
    """
    pairs = journey_pairs(rows, journey)
    joined = []
    for pair in pairs:
        completion = stitch_journey(pair, journey.max_wrong_steps)
        # No model sampled the journey as a whole, so its words stand for its tokens.
        joined.append(NewCompletion(pair.right, completion, len(ngram_words(completion)), finish_reason="stop"))
    journeys = []
    for row, pair in zip(rescore_rows(joined, problems, functions), pairs, strict=True):
        journeys.append({**row, "original": pair.right["completion"]})
    return journeys


def ungrouped_filter(keep: FiltersConfig, answers: Answers) -> RowFilter:
    """Return a filter for rows that are no longer all samples of a prompt: without the filters on whole groups."""
    return RowFilter(keep.model_copy(update={"pass_rate": EVERY_PASS_RATE, "per_prompt": None}), answers)
