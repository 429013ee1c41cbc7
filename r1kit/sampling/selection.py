"""Choose, of sampled and rewritten shards, the rows that `generate` writes, and count the rows that it drops.

Three ways lead from samples to rows: filters alone, filters and then a teacher that rewrites what they kept
(`refine:`), or journeys made of a wrong and a right completion of a prompt (`journey:`).
"""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from r1kit.data.filters import EVERY_PASS_RATE, RowFilter, ids_within_pass_rate, pass_rates
from r1kit.data.questions import render_prompt
from r1kit.data.writing.parquet import order_columns
from r1kit.recipe import GenerateRecipe, JourneyConfig, RefineConfig
from r1kit.rows import USAGE_COLUMNS, Row
from r1kit.runs.run import Run
from r1kit.sampling.budget import token_cost
from r1kit.sampling.loop import prompts_per_batch
from r1kit.sampling.rewrite import (
    ProblemsOfShard,
    RewriteTask,
    journey_tasks,
    refine_tasks,
    rewrite_shards,
    stitch_rows,
    ungrouped_filter,
)
from r1kit.sampling.scoring import bind_rewards
from r1kit.sampling.shards import Shards

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset


def make_problem_lookup(recipe: GenerateRecipe, problems: "Dataset") -> ProblemsOfShard:
    """Return a function from a shard's number to its problems by id, with their prompts as the model sees them."""
    batch_prompts = prompts_per_batch(recipe.sampling)

    def problems_of(index: int) -> dict[str, dict[str, Any]]:
        start = index * batch_prompts
        block = problems.select(range(start, min(len(problems), start + batch_prompts))).to_list()
        return {row["id"]: {**row, "prompt": render_prompt(row["prompt"], recipe.prompt)} for row in block}

    return problems_of


def rewrite_with_teacher(
    recipe: GenerateRecipe, shards: Shards, problems_of: ProblemsOfShard, run: Run
) -> Shards | None:
    """Have a teacher rewrite the samples and return its shards, or None if the recipe asks for no teacher."""
    if recipe.refine:
        refine = recipe.refine

        def refine_tasks_of(rows: list[Row]) -> list[RewriteTask]:
            return refine_tasks(RowFilter(recipe.keep, recipe.answers).filter(rows), refine)

        return rewrite_shards(recipe, refine, "refine", refine_tasks_of, shards, problems_of, run)
    if recipe.journey and recipe.journey.method == "teacher":
        journey_tasks_of = partial(_journey_tasks_of, recipe, recipe.journey)
        return rewrite_shards(recipe, recipe.journey, "journey", journey_tasks_of, shards, problems_of, run)
    return None


def _journey_tasks_of(recipe: GenerateRecipe, journey: JourneyConfig, rows: list[Row]) -> list[RewriteTask]:
    within, _ = _split_by_pass_rate(recipe, rows)
    return journey_tasks(within, journey)


def _split_by_pass_rate(recipe: GenerateRecipe, rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """Return the rows of the prompts whose pass rate lies in the range `keep.pass_rate`, and the other rows."""
    kept_ids = ids_within_pass_rate(rows, recipe.keep.pass_rate, recipe.keep.pass_rate_by or "correct")
    within: list[Row] = []
    outside: list[Row] = []
    for row in rows:
        (within if row["id"] in kept_ids else outside).append(row)
    return within, outside


def make_row_filter(recipe: GenerateRecipe) -> RowFilter:
    """Return the filter of the rows that are written. Journeys were chosen by pass rate and number already."""
    return ungrouped_filter(recipe.keep, recipe.answers) if recipe.journey else RowFilter(recipe.keep, recipe.answers)


def select_rows(
    recipe: GenerateRecipe,
    shards: Shards,
    rewritten: Shards | None,
    problems_of: ProblemsOfShard,
    row_filter: RowFilter,
) -> Iterator[list[Row]]:
    """Yield the rows to write, shard by shard, each with its problem's `pass_rate`.

    `row_filter` counts the rows that are dropped.
    """
    finished_rewrites = set(rewritten.finished()) if rewritten else set()
    for index in shards.finished():
        rows = shards.read_shard(index)
        teacher_rows = rewritten.read_shard(index) if rewritten and index in finished_rewrites else None
        if recipe.journey:
            journeys = _select_journeys(recipe, recipe.journey, rows, teacher_rows, problems_of(index), row_filter)
            selected_rows = row_filter.filter(journeys)
        elif recipe.refine:
            selected_rows = _select_refined(recipe.refine, row_filter.filter(rows), teacher_rows, row_filter)
        else:
            selected_rows = row_filter.filter(rows)
        rate_by_id = pass_rates(rows)
        yield [{**row, "pass_rate": rate_by_id.get(row["id"])} for row in selected_rows]


def _select_journeys(
    recipe: GenerateRecipe,
    journey: JourneyConfig,
    rows: list[Row],
    teacher_rows: list[Row] | None,
    problems: dict[str, dict[str, Any]],
    row_filter: RowFilter,
) -> list[Row]:
    """Return the journeys of a shard. `teacher_rows` is None if the teacher was not asked about this shard."""
    rows, outside_pass_rate = _split_by_pass_rate(recipe, rows)
    if recipe.keep.pass_rate != EVERY_PASS_RATE:
        row_filter.record_drop("pass_rate", outside_pass_rate, after_filters=False)
    if journey.method == "stitch":
        return stitch_rows(rows, journey, problems, bind_rewards(recipe.rewards, recipe.answers))
    if teacher_rows is None:
        # The teacher's budget was spent: count the rows that it would have been asked about.
        unasked_rows = [task.row for task in journey_tasks(rows, journey)]
        row_filter.record_drop("not_rewritten", unasked_rows, after_filters=False)
        return []
    held_rows, unchanged_rows = _split_held(teacher_rows)
    row_filter.record_drop("not_held", unchanged_rows, after_filters=False)
    return held_rows


def _select_refined(
    refine: RefineConfig, kept_rows: list[Row], teacher_rows: list[Row] | None, row_filter: RowFilter
) -> list[Row]:
    """Return the rows of a shard after the teacher: those that it rewrote, and those that need no rewriting.

    `teacher_rows` is None if the teacher's budget was spent before this shard.
    """
    if teacher_rows is None:
        held_rows: list[Row] = []
        unchanged_rows = [task.row for task in refine_tasks(kept_rows, refine)]
        drop_reason = "not_rewritten"
    else:
        held_rows, unchanged_rows = _split_held(teacher_rows)
        drop_reason = "not_held"
    # A row without a chain of thought has nothing to rewrite and is kept as it is.
    sent_to_teacher = {(row["id"], row["sample"]) for row in [*held_rows, *unchanged_rows]}
    not_sent_rows = [row for row in kept_rows if (row["id"], row["sample"]) not in sent_to_teacher]
    if refine.otherwise == "drop":
        row_filter.record_drop(drop_reason, unchanged_rows)
        unchanged_rows = []
    return held_rows + unchanged_rows + not_sent_rows


def _split_held(teacher_rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """Return the rewritten rows that passed all checks, and the others, which are as they were before."""
    held_rows: list[Row] = []
    unchanged_rows: list[Row] = []
    for teacher_row in teacher_rows:
        # These columns only serve resuming and counting; data sets do not have them.
        row = {name: value for name, value in teacher_row.items() if name not in ("held", *USAGE_COLUMNS)}
        (held_rows if teacher_row["held"] else unchanged_rows).append(row)
    return held_rows, unchanged_rows


def output_schema(recipe: GenerateRecipe, shards: Shards, rewritten: Shards | None) -> "pa.Schema":
    """Return the columns of the rows to write, the same whether or not the first row was rewritten."""
    import pyarrow as pa

    fields = {field.name: field for field in shards.schema()}
    fields["pass_rate"] = pa.field("pass_rate", pa.float64())
    if recipe.refine or recipe.journey:
        fields["original"] = pa.field("original", pa.string())
    if rewritten:
        fields["teacher"] = pa.field("teacher", pa.string())
    return order_columns(pa.schema(fields.values()))


def sum_usage(recipe: GenerateRecipe, shards: Shards, rewritten: Shards | None) -> dict[str, Any]:
    """Return the samples, the tokens of sampling and rewriting together, and what each cost at its own prices."""
    passes = [(shards, recipe.sampling.budget)]
    teacher = recipe.refine or recipe.journey
    if rewritten and teacher:
        passes.append((rewritten, teacher.sampling.budget))
    usage: dict[str, Any] = {"samples": 0, "tokens": 0, "prompt_tokens": 0, "cost": 0.0}
    for pass_shards, budget in passes:
        for index in pass_shards.finished():
            prompt_tokens, completion_tokens = pass_shards.count_tokens(index)
            usage["prompt_tokens"] += prompt_tokens
            usage["tokens"] += completion_tokens
            usage["cost"] += token_cost(budget, prompt_tokens, completion_tokens)
    # Rewriting makes no further samples.
    usage["samples"] = sum(len(shards.read_shard(index, ["id"])) for index in shards.finished())
    usage["cost"] = round(usage["cost"], 6)  # sums of floats end in noise, which no one paid
    return usage
