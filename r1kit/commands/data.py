"""`r1kit data`: sources, mixing, filters and hygiene, without sampling.

    r1kit data recipes/sky-t1/problems.yaml
    r1kit data inspect runs/tiny/cold_start

Writes `data/` (Parquet and a data card) and `drops.json`, like `generate`.
"""

import json
import sys
from typing import TYPE_CHECKING, Any

from r1kit.answers.extract import completion_text
from r1kit.data.batches import READ_BATCH_ROWS
from r1kit.data.filters import RowFilter, format_drop_report
from r1kit.data.hygiene import clean_problems
from r1kit.data.hygiene.normalise import ngram_words
from r1kit.data.mixing import read_sources
from r1kit.data.problems import first_rows_by_id
from r1kit.data.questions import check_prompt, question_text, row_language, stable_row_id
from r1kit.data.writing.output import DataOutput
from r1kit.data.writing.parquet import order_columns
from r1kit.errors import UserError
from r1kit.ranks import is_main_rank
from r1kit.recipe import DataRecipe
from r1kit.rewards.checks import check_reward_data
from r1kit.runs.files import write_file
from r1kit.runs.run import Run
from r1kit.sampling.scoring import bind_rewards, compute_rewards, row_verdict

if TYPE_CHECKING:
    from datasets import Dataset

# What filters read, beside what the rows have themselves.
HELPERS = ("question", "completion_text", "_finish", "_thinking", "_language", "_tokens")


def main(recipe: DataRecipe, run: Run) -> None:
    """Read, clean, score, filter and write, in one process however many there are."""
    if not is_main_rank():
        return
    rows = _prepared(read_sources(recipe.data.train, "data.train", recipe.data.rows), recipe)
    if len(rows) == 0:
        raise UserError("data.train", recipe.data.train[0].path, "has no rows", "give a source with at least one")
    rows, hygiene = clean_problems(rows, recipe.hygiene)
    answered = "completion_text" in rows.column_names
    if recipe.rewards:
        if not answered:
            must = "rewards score completions, and the rows have none"
            raise UserError("rewards", recipe.rewards[0].name, must, "remove them, or use generate")
        judged = check_reward_data(recipe.rewards, rows, recipe.data.train[0].path)
        run.update(**judged)
        rows = _scored(rows, recipe)
    row_filter = RowFilter(recipe.keep)
    if row_filter.report["dropped"] and not answered:
        must = "filters look at completions, and the rows have none"
        raise UserError("keep", next(iter(row_filter.report["dropped"])), must, "remove it, or use generate")
    kept = _sifted(rows, row_filter, recipe) if answered else list(range(len(rows)))
    report = row_filter.report if answered else hygiene
    drops = report | ({"hygiene": hygiene} if answered and recipe.hygiene.is_enabled else {})
    write_file(run.path / "drops.json", json.dumps(drops, indent=2, ensure_ascii=False) + "\n")
    if recipe.hygiene.is_enabled or not answered:
        print(format_drop_report(hygiene, "rows"), file=sys.stderr)
    if answered:
        print(format_drop_report(report), file=sys.stderr)
    if not kept:
        raise UserError(
            "keep", "all filters", f"no row is left of {len(rows)}; see {run.path}/drops.json", "loosen them"
        )
    chosen = rows.select(kept)
    chosen = chosen.shuffle(seed=recipe.seed) if recipe.shuffle else chosen
    unwanted = [*HELPERS, *(["messages"] if {"prompt", "completion"} <= set(chosen.column_names) else [])]
    chosen = chosen.remove_columns([c for c in unwanted if c in chosen.column_names])
    output = DataOutput(run, recipe, order_columns(chosen.features.arrow_schema))
    for start in range(0, len(chosen), READ_BATCH_ROWS):
        output.add(chosen.select(range(start, min(len(chosen), start + READ_BATCH_ROWS))).to_list())
    output.finish({"Problems": hygiene} | ({"Rows": report} if answered else {}), {})
    run.update(rows=output.row_count)


def _prepared(rows: "Dataset", recipe: DataRecipe) -> "Dataset":
    """Add what hygiene and filters read: the question, the completion, an id. Raises UserError."""
    names, path = rows.column_names, recipe.data.train[0].path
    form = next((f for f in ("prompt", "messages", "text") if f in names), None)
    if form is None:
        must = "needs a column prompt, messages or text"
        do = f"it has {', '.join(names)}; rename one with data.train.0.columns"
        raise UserError("data.train", path, must, do)
    answered = form == "messages" or "completion" in names

    def prepare(row: dict[str, Any], number: int) -> dict[str, Any]:
        question = check_prompt(row[form], number, "data.train")
        if form == "messages":
            if isinstance(question, str) or len(question) < 2 or question[-1]["role"] != "assistant":
                must = f"messages must end with the assistant's; those of row {number} do not"
                raise UserError("data.train", path, must, "mend or drop the row")
            said, question = question[-1]["content"], question[:-1]
        elif answered:
            said = completion_text(_answer(row["completion"], number, path))
        plain = question_text(question)
        new: dict[str, Any] = {"question": plain, "id": row.get("id") or stable_row_id(question, row.get("answer"))}
        if answered:
            new["completion_text"] = said
            new["_finish"] = row.get("finish_reason") or "stop"
            new["_thinking"] = row.get("thinking") is not False
            new["_language"] = row_language(row, plain)
            counted = row.get("tokens")
            new["_tokens"] = int(counted) if isinstance(counted, int | float) and counted else len(ngram_words(said))
        return new

    prepared = rows.map(prepare, with_indices=True, load_from_cache_file=False)
    first_rows_by_id(prepared, path, "data.train")  # an id stands for one question
    return prepared


def _answer(completion: Any, number: int, path: str) -> Any:
    """Return a completion as it is. Raises UserError where it is neither text nor messages of text."""
    if isinstance(completion, list):
        fine = all(isinstance(m, dict) and isinstance(m.get("content"), str) for m in completion)
    else:
        fine = isinstance(completion, str | None)
    if not fine:
        must = f"each completion must be text or messages of text; that of row {number} is not"
        raise UserError("data.train", path, must, "mend or drop the row, or rename the column")
    return completion or ""


def _scored(rows: "Dataset", recipe: DataRecipe) -> "Dataset":
    """Add each reward's column, and `correct` and `fault`."""
    from datasets import Features, Value

    functions = bind_rewards(recipe.rewards)

    def score(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        columns = {**batch, "thinking": batch["_thinking"], "language": batch["_language"], "prompt": batch["question"]}
        ids = [range(n) for n in batch["_tokens"]]
        given = {k: v for k, v in columns.items() if k not in ("completion", "completion_text")}
        values = compute_rewards(batch["completion_text"], ids, given, functions)
        verdicts = [row_verdict({n: v[i] for n, v in values.items()}) for i in range(len(ids))]
        return {name: [v[name] for v in verdicts] for name in verdicts[0]}

    kinds = {f.__name__: Value("float64") for f in functions} | {"fault": Value("bool"), "correct": Value("bool")}
    rows = rows.remove_columns([c for c in kinds if c in rows.column_names])
    features = Features(rows.features | kinds)  # which a first batch without verdicts would not tell
    return rows.map(score, batched=True, batch_size=256, features=features, load_from_cache_file=False)


def _sifted(rows: "Dataset", row_filter: RowFilter, recipe: DataRecipe) -> list[int]:
    """Return the numbers of the rows to keep. Rows of one id are looked at together, wherever they stand."""
    order = list(range(len(rows)))
    if recipe.keep.per_prompt or recipe.keep.pass_rate != (0.0, 1.0):
        ids = rows["id"][:]
        first: dict[str, int] = {}
        for i, name in enumerate(ids):
            first.setdefault(name, i)
        order.sort(key=lambda i: first[ids[i]])
    read = [c for c in ("id", *HELPERS, "correct", "fault") if c in rows.column_names]
    looked = rows.select_columns(read).select(order)
    kept: list[int] = []
    waiting: list[dict[str, Any]] = []
    for start in range(0, len(looked), READ_BATCH_ROWS):
        for offset, row in enumerate(looked.select(range(start, min(len(looked), start + READ_BATCH_ROWS))).to_list()):
            waiting.append(_view(row, order[start + offset]))
        ends = [i for i in range(1, len(waiting)) if waiting[i]["id"] != waiting[i - 1]["id"]]
        if ends:
            kept += [row["number"] for row in row_filter.filter(waiting[: ends[-1]])]
            waiting = waiting[ends[-1] :]
    kept += [row["number"] for row in row_filter.filter(waiting)]
    return sorted(kept)


def _view(row: dict[str, Any], number: int) -> dict[str, Any]:
    """Return a row as filters read it."""
    return {
        "number": number,
        "id": row["id"],
        "prompt": row["question"],
        "completion": row["completion_text"],
        "finish_reason": row["_finish"],
        "thinking": row["_thinking"],
        "target_language": row["_language"],
        "tokens": row["_tokens"],
        "correct": row.get("correct"),
        "fault": row.get("fault"),
    }
