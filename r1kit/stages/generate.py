"""`r1kit generate`: SFT data by rejection sampling.

    r1kit generate recipes/tiny/cold_start.yaml model.path=runs/tiny/r1_zero

Samples several completions a prompt, scores them, keeps what the recipe asks for (`keep:`), has them rewritten
(`refine:`) or makes journeys of them (`journey:`), and writes `data/` (Parquet: prompt, completion and all that is
known of them, and a data card) and `drops.json`.
"""

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from r1kit.data.filters import Sieve, table
from r1kit.data.hygiene import clean
from r1kit.data.load import problems, shown
from r1kit.data.output import Output
from r1kit.errors import UserError
from r1kit.prompts import CHAT
from r1kit.recipe import GenerateRecipe
from r1kit.rewards import check_data
from r1kit.run import Run, is_main, write_file
from r1kit.sampling.rewrite import journey_tasks, plain_sieve, refine_tasks, rewrite, stitched
from r1kit.sampling.score import bound, sample_rows
from r1kit.sampling.shards import Row, Shards

if TYPE_CHECKING:
    from datasets import Dataset


def main(recipe: GenerateRecipe, run: Run) -> None:
    """Sample, score, keep, rewrite and write."""
    asked = _without_thinking(recipe) if recipe.thinking == "none" else recipe
    rows = problems(asked.data.train, None, data=asked.data)
    rows, hygiene = clean(rows, asked.hygiene)
    if len(rows) == 0:
        raise UserError("hygiene", "set", f"it dropped all of {hygiene['rows']} problems", "loosen it")
    judged = check_data(asked.rewards, rows, asked.data.train[0].path)
    if judged and is_main():
        run.update(**judged)
    shards = sample_rows(asked, asked.model, rows, run, run.path / "samples", "generate")
    second = _second(asked, shards, rows, run)
    if is_main():
        _write(asked, shards, second, rows, hygiene, run)


def _without_thinking(recipe: GenerateRecipe) -> GenerateRecipe:
    """Return the recipe for rows that are answered straight away."""
    prompt, data = recipe.prompt, recipe.data
    if prompt.template == CHAT:
        settings = {"enable_thinking": False, **prompt.template_settings} if recipe.sampling.engine != "openai" else {}
        prompt = prompt.model_copy(update={"template_settings": settings or prompt.template_settings})
    elif not prompt.prefill:
        prompt = prompt.model_copy(update={"prefill": "<answer>"})
    train = [s.model_copy(update={"values": {**s.values, "thinking": False}}) for s in data.train]
    return recipe.model_copy(update={"prompt": prompt, "data": data.model_copy(update={"train": train})})


def _unit(recipe: GenerateRecipe, rows: "Dataset", index: int) -> dict[str, dict[str, Any]]:
    """Return the problems of a shard by id."""
    size = max(1, recipe.sampling.batch_size // recipe.sampling.samples)
    part = rows.select(range(index * size, min(len(rows), (index + 1) * size))).to_list()
    return {row["id"]: {**row, "prompt": shown(row["prompt"], recipe.prompt)} for row in part}


def _second(recipe: GenerateRecipe, shards: Shards, rows: "Dataset", run: Run) -> Shards | None:
    """Have a teacher rewrite, where the recipe wants one."""

    def of(index: int) -> dict[str, dict[str, Any]]:
        return _unit(recipe, rows, index)

    if refine := recipe.refine:
        return rewrite(recipe, refine, "refine", lambda r: refine_tasks(Sieve(recipe.keep)(r), refine), shards, of, run)
    if (journey := recipe.journey) and journey.method == "teacher":
        return rewrite(recipe, journey, "journey", lambda r: journey_tasks(r, journey), shards, of, run)
    return None


def _kept(
    recipe: GenerateRecipe, shards: Shards, second: Shards | None, rows: "Dataset", sieve: Sieve
) -> Iterator[list[Row]]:
    """Yield the rows to keep, shard by shard; the sieve counts the others."""
    functions = bound(recipe.rewards)
    rewritten = set(second.done()) if second else set()
    for index in shards.done():
        sampled = shards.read(index)
        if recipe.journey and not second:
            yield sieve(stitched(sampled, recipe.journey, _unit(recipe, rows, index), functions))
        elif second is None:
            yield sieve(sampled)
        elif index in rewritten:
            tried = second.read(index)
            held = [_without(row, "held") for row in tried if row["held"]]
            if recipe.journey:
                yield sieve(held)
                continue
            kept = sieve(sampled)
            lost = [_without(row, "held") for row in tried if not row["held"]]
            plain = {(r["id"], r["sample"]) for r in tried}
            if recipe.refine and recipe.refine.otherwise == "drop":
                sieve.drop("not_refined", lost)
                lost = []
            yield [*held, *lost, *(row for row in kept if (row["id"], row["sample"]) not in plain)]


def _without(row: Row, column: str) -> Row:
    return {k: v for k, v in row.items() if k != column}


def _write(
    recipe: GenerateRecipe, shards: Shards, second: Shards | None, rows: "Dataset", hygiene: dict[str, Any], run: Run
) -> None:
    sieve = plain_sieve(recipe.keep) if recipe.journey else Sieve(recipe.keep)
    output = Output(run, recipe, shards.scores)
    spent = {"tokens": 0, "prompt_tokens": 0, "samples": 0}
    for kept in _kept(recipe, shards, second, rows, sieve):
        output.add(kept)
    for part in [shards, *([second] if second else [])]:
        for index in part.done():
            columns = part.read(index, ["tokens", "prompt_tokens"])
            spent["samples"] += len(columns)
            spent["tokens"] += sum(row["tokens"] for row in columns)
            spent["prompt_tokens"] += sum(row["prompt_tokens"] or 0 for row in columns)
    report = sieve.report
    reports = {"Problems": hygiene, "Samples": report} if recipe.hygiene.wanted else {"Samples": report}
    drops = report | ({"hygiene": hygiene} if recipe.hygiene.wanted else {})
    write_file(run.path / "drops.json", json.dumps(drops, indent=2, ensure_ascii=False) + "\n")
    if recipe.hygiene.wanted:
        print(table(hygiene, "rows"), file=sys.stderr)
    print(table(report), file=sys.stderr)
    left = shards.count - len(shards.done())
    if not output.rows:
        if not report["dropped"] or not report["sampled"]:
            must = "made no rows" if not left else "is spent before the first batch was sampled"
            field = "journey" if recipe.journey and not left else "sampling.budget"
            raise UserError(field, "set", must, f"see {run.path}/samples")
        worst = max(report["dropped"], key=report["dropped"].get)
        must = f"dropped all of {report['sampled']} samples; see {run.path}/drops.json"
        raise UserError("keep", worst, must, "loosen it")
    b = recipe.sampling.budget
    cost = (spent["prompt_tokens"] * b.input_price + spent["tokens"] * b.output_price) / 1e6
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
    run.update(rows=output.rows, cost=round(cost, 6), batches_left=left, **spent)
