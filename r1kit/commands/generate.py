"""`r1kit generate`: SFT data by rejection sampling.

    r1kit generate recipes/tiny/cold_start.yaml model.path=runs/tiny/r1_zero

Samples several completions a prompt, scores them, keeps what the recipe asks for (`keep:`), has them rewritten
(`refine:`) or makes journeys of them (`journey:`), and writes `data/` (Parquet: prompt, completion and all that is
known of them, and a data card) and `drops.json`.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from r1kit.data.filters import EVERY_PASS_RATE, RowFilter, format_drop_report, ids_within_pass_rate
from r1kit.data.hygiene import HygieneReport, clean_problems, find_clean_rows
from r1kit.data.problems import load_problems
from r1kit.data.questions import render_prompt
from r1kit.data.writing.output import DataOutput
from r1kit.data.writing.parquet import order_columns
from r1kit.errors import UserError
from r1kit.ranks import barrier, is_main_rank
from r1kit.recipe import GenerateRecipe, HygieneConfig, RefineConfig
from r1kit.rewards.checks import check_reward_data
from r1kit.rows import USAGE_COLUMNS, Row
from r1kit.runs.files import write_file
from r1kit.runs.run import Run
from r1kit.sampling.loop import sample_problems, without_thinking
from r1kit.sampling.rewrite import (
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


def main(recipe: GenerateRecipe, run: Run) -> None:
    """Sample, score, keep, rewrite and write."""
    asked = _without_thinking(recipe) if recipe.thinking == "none" else recipe
    rows = load_problems(asked.data.train, None, data=asked.data)
    rows, hygiene = _cleaned(rows.shuffle(seed=recipe.seed).flatten_indices(), asked.hygiene, run)
    if len(rows) == 0:
        raise UserError("hygiene", "set", "it dropped all problems", "loosen it")
    judged = check_reward_data(asked.rewards, rows, asked.data.train[0].path)
    if judged and is_main_rank():
        run.update(**judged)
    shards = sample_problems(asked, asked.model, rows, run, run.path / "samples", "generate")
    second = _second(asked, shards, rows, run)
    if is_main_rank():
        _write(asked, shards, second, rows, hygiene, run)


def _cleaned(rows: "Dataset", wanted: HygieneConfig, run: Run) -> tuple["Dataset", HygieneReport]:
    """Clean the problems; of several processes one does it for all."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or not wanted.is_enabled:
        return clean_problems(rows, wanted)
    file = run.path / "hygiene.json"
    report: HygieneReport = {}
    barrier()
    if is_main_rank():
        kept, report = find_clean_rows(rows, wanted)
        write_file(file, json.dumps(kept))
    barrier()
    return rows.select(json.loads(file.read_text())), report


def _without_thinking(recipe: GenerateRecipe) -> GenerateRecipe:
    """Return the recipe for rows that are answered straight away."""
    prompt, data = without_thinking(recipe.prompt, recipe.sampling.engine), recipe.data
    train = [s.model_copy(update={"values": {**s.values, "thinking": False}}) for s in data.train]
    return recipe.model_copy(update={"prompt": prompt, "data": data.model_copy(update={"train": train})})


def _unit(recipe: GenerateRecipe, rows: "Dataset", index: int) -> dict[str, dict[str, Any]]:
    """Return the problems of a shard by id."""
    size = max(1, recipe.sampling.batch_size // recipe.sampling.samples)
    part = rows.select(range(index * size, min(len(rows), (index + 1) * size))).to_list()
    return {row["id"]: {**row, "prompt": render_prompt(row["prompt"], recipe.prompt)} for row in part}


def _second(recipe: GenerateRecipe, shards: Shards, rows: "Dataset", run: Run) -> Shards | None:
    """Have a teacher rewrite, where the recipe wants one."""

    def of(index: int) -> dict[str, dict[str, Any]]:
        return _unit(recipe, rows, index)

    if refine := recipe.refine:
        return rewrite_shards(
            recipe, refine, "refine", lambda r: refine_tasks(RowFilter(recipe.keep).filter(r), refine), shards, of, run
        )
    if (journey := recipe.journey) and journey.method == "teacher":
        return rewrite_shards(recipe, journey, "journey", partial(_journey_tasks, recipe), shards, of, run)
    return None


def _journey_tasks(recipe: GenerateRecipe, sampled: list[Row]) -> list[RewriteTask]:
    assert recipe.journey
    taken = ids_within_pass_rate(sampled, recipe.keep.pass_rate, recipe.keep.pass_rate_by or "correct")
    return journey_tasks([row for row in sampled if row["id"] in taken], recipe.journey)


def _kept(
    recipe: GenerateRecipe, shards: Shards, second: Shards | None, rows: "Dataset", row_filter: RowFilter
) -> Iterator[list[Row]]:
    """Yield the rows to keep, shard by shard; `row_filter` counts the others."""
    rewritten = set(second.done()) if second else set()
    for index in shards.done():
        sampled = shards.read(index)
        tried = second.read(index) if second and index in rewritten else None
        if recipe.journey:
            yield row_filter.filter(_journeys(recipe, sampled, tried, _unit(recipe, rows, index), row_filter))
        elif recipe.refine:
            yield _refined(recipe.refine, row_filter.filter(sampled), tried, row_filter)
        else:
            yield row_filter.filter(sampled)


def _journeys(
    recipe: GenerateRecipe,
    sampled: list[Row],
    tried: list[Row] | None,
    problems: dict[str, dict[str, Any]],
    row_filter: RowFilter,
) -> list[Row]:
    """Return the journeys of a shard; `tried` are a teacher's, None where it was not asked."""
    assert recipe.journey
    taken = ids_within_pass_rate(sampled, recipe.keep.pass_rate, recipe.keep.pass_rate_by or "correct")
    if recipe.keep.pass_rate != EVERY_PASS_RATE:
        row_filter.record_drop("pass_rate", [row for row in sampled if row["id"] not in taken], after_filters=False)
    sampled = [row for row in sampled if row["id"] in taken]
    if recipe.journey.method == "stitch":
        return stitch_rows(sampled, recipe.journey, problems, bind_rewards(recipe.rewards))
    if tried is None:
        waiting = [task.row for task in journey_tasks(sampled, recipe.journey)]
        row_filter.record_drop("not_rewritten", waiting, after_filters=False)
        return []
    row_filter.record_drop("not_held", [row for row in tried if not row["held"]], after_filters=False)
    return [_plain(row) for row in tried if row["held"]]


def _refined(refine: RefineConfig, kept: list[Row], tried: list[Row] | None, row_filter: RowFilter) -> list[Row]:
    """Return a shard's rows after the teacher; `tried` is None where its budget was spent before them."""
    if tried is None:
        tried, lost = [], [task.row for task in refine_tasks(kept, refine)]
        why = "not_rewritten"
    else:
        lost, why = [_plain(row) for row in tried if not row["held"]], "not_held"
    asked = {(row["id"], row["sample"]) for row in [*tried, *lost]}
    if refine.otherwise == "drop":
        row_filter.record_drop(why, lost)
        lost = []
    held = [_plain(row) for row in tried if row["held"]]
    return [*held, *lost, *(row for row in kept if (row["id"], row["sample"]) not in asked)]


def _plain(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in ("held", *USAGE_COLUMNS)}


def _spent(recipe: GenerateRecipe, shards: Shards, second: Shards | None) -> dict[str, Any]:
    """Return the tokens of both passes, and what each cost at its own prices."""
    spent: dict[str, Any] = {"samples": 0, "tokens": 0, "prompt_tokens": 0, "cost": 0.0}
    teacher = recipe.refine or recipe.journey
    passes = [(shards, recipe.sampling.budget), *([(second, teacher.sampling.budget)] if second and teacher else [])]
    for part, budget in passes:
        for index in part.done():
            asked, said = part.usage(index)
            spent["tokens"] += said
            spent["prompt_tokens"] += asked
            spent["cost"] += (asked * budget.input_price + said * budget.output_price) / 1e6
    spent["samples"] = sum(len(shards.read(index, ["id"])) for index in shards.done())
    return spent | {"cost": round(spent["cost"], 6)}


def _columns(recipe: GenerateRecipe, shards: Shards, second: Shards | None) -> "pa.Schema":
    """Return the columns of the rows to write, whether any of them was rewritten or not."""
    import pyarrow as pa

    fields = {field.name: field for field in shards.schema()}
    if recipe.refine or recipe.journey:
        fields |= {name: pa.field(name, pa.string()) for name in ("original", *(["teacher"] if second else []))}
    return order_columns(pa.schema(fields.values()))


def _write(
    recipe: GenerateRecipe, shards: Shards, second: Shards | None, rows: "Dataset", hygiene: dict[str, Any], run: Run
) -> None:
    row_filter = ungrouped_filter(recipe.keep) if recipe.journey else RowFilter(recipe.keep)
    output = DataOutput(run, recipe, _columns(recipe, shards, second))
    for kept in _kept(recipe, shards, second, rows, row_filter):
        output.add(kept)
    report = row_filter.report
    reports = {"Problems": hygiene, "Samples": report} if recipe.hygiene.is_enabled else {"Samples": report}
    drops = report | ({"hygiene": hygiene} if recipe.hygiene.is_enabled else {})
    write_file(run.path / "drops.json", json.dumps(drops, indent=2, ensure_ascii=False) + "\n")
    if recipe.hygiene.is_enabled:
        print(format_drop_report(hygiene, "rows"), file=sys.stderr)
    print(format_drop_report(report), file=sys.stderr)
    left = shards.count - len(shards.done())
    if not output.rows:
        shutil.rmtree(run.path / "data", ignore_errors=True)  # of other filters; the samples can make it again
        if not report["dropped"] or not report["sampled"]:
            must = "made no rows" if not left else "is spent before the first batch was sampled"
            field = "journey" if recipe.journey and not left else "sampling.budget"
            raise UserError(field, "set", must, f"see {run.path}/samples")
        worst = max(report["dropped"], key=report["dropped"].get)
        must = f"dropped all of {report['sampled']} samples; see {run.path}/drops.json"
        raise UserError("keep", worst, must, "loosen it")
    about = {
        "model": recipe.model.path,
        "sampling": f"{recipe.sampling.samples} samples a prompt, temperature {recipe.sampling.temperature}, "
        f"top_p {recipe.sampling.top_p}, at most {recipe.sampling.max_tokens} tokens",
    }
    if (teacher := recipe.refine or recipe.journey) and second:
        about["teacher"] = (teacher.model or recipe.model).path
    output.finish(reports, about)
    if left:
        print(f"note: {left} of {shards.count} batches were not sampled, since the budget is spent; with a larger one "
              "the same command goes on", file=sys.stderr)  # fmt: skip
    if second and (waiting := len(shards.done()) - len(second.done())):
        print(f"note: {waiting} batches were not rewritten, since the teacher's budget is spent; with a larger one the "
              "same command goes on", file=sys.stderr)  # fmt: skip
    run.update(rows=output.rows, batches_left=left, **_spent(recipe, shards, second))
