"""`r1kit data`: read, mix, clean, score and filter data, without sampling.

    r1kit data recipes/sky-t1/problems.yaml
    r1kit data inspect runs/tiny/cold_start

Writes `data/` (Parquet and a data card) and `drops.json`, as `generate` does. Rows are problems (a prompt) or examples
(a prompt and a completion, or messages); only examples can be scored and filtered.
"""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from r1kit.answers.extract import completion_text
from r1kit.data.adapters.chat import ConversationError, Message, normalise_messages
from r1kit.data.batches import READ_BATCH_ROWS, batch_rows, iterate_rows
from r1kit.data.filters import EVERY_PASS_RATE, DropReport, RowFilter, format_drop_report
from r1kit.data.hygiene import HygieneReport, clean_problems, find_clean_rows
from r1kit.data.hygiene.normalise import ngram_words
from r1kit.data.mixing import read_sources
from r1kit.data.problems import first_rows_by_id
from r1kit.data.questions import Question, check_prompt, question_text, row_language, stable_row_id
from r1kit.data.row_tables import compute_columns
from r1kit.data.writing.output import DataOutput
from r1kit.data.writing.parquet import written_schema
from r1kit.errors import UNSET, UserError
from r1kit.messages import print_progress
from r1kit.ranks import is_main_rank
from r1kit.recipe import DataRecipe, HygieneConfig
from r1kit.rewards.checks import check_reward_data
from r1kit.rows import Row, columns_of_rows
from r1kit.runs.files import write_file
from r1kit.runs.run import Run
from r1kit.sampling.scoring import bind_rewards, compute_rewards, row_verdict

if TYPE_CHECKING:
    from datasets import Dataset

# Columns that this stage adds for hygiene, rewards and filters, and removes before it writes.
HELPER_COLUMNS = ("_question", "_completion", "_finish_reason", "_thinking", "_language", "_tokens")
# Columns that may hold a row's prompt; the first that is there is taken.
PROMPT_COLUMNS = ("prompt", "messages", "text")
SCORING_BATCH_ROWS = 256


def main(recipe: DataRecipe, run: Run) -> None:
    """Run the stage, in one process however many there are."""
    if is_main_rank():
        _make_data(recipe, run)


def _make_data(recipe: DataRecipe, run: Run) -> None:
    rows = _add_helper_columns(read_sources(recipe.data.train, "data.train", recipe.data.rows), recipe)
    if len(rows) == 0:
        raise UserError("data.train", recipe.data.train[0].path, "has no rows", "give a source with at least one")
    rows, hygiene_report = _clean_rows(rows, recipe.hygiene)
    row_filter = RowFilter(recipe.keep, recipe.answers, total="rows")
    if "_completion" in rows.column_names:
        if recipe.rewards:
            run.update(**check_reward_data(recipe.rewards, rows, recipe.data.train[0].path))
            rows = _score_rows(rows, recipe)
        kept_numbers = _filter_rows(rows, row_filter, recipe)
        filter_report: DropReport | None = row_filter.report
    else:
        _refuse_rewards_and_filters(recipe, row_filter)
        kept_numbers = list(range(len(rows)))
        filter_report = None
    _report_drops(hygiene_report, filter_report, recipe, run)
    if not kept_numbers:
        raise _nothing_left(hygiene_report, filter_report, run)
    chosen = rows.select(kept_numbers)
    if recipe.shuffle:
        chosen = chosen.shuffle(seed=recipe.seed)
    reports: dict[str, DropReport] = {}
    if recipe.hygiene.is_enabled:
        reports["Problems"] = hygiene_report
    if filter_report is not None and filter_report["dropped"]:
        reports["Rows"] = filter_report
    _write_rows(chosen, reports, recipe, run)


def _nothing_left(hygiene_report: HygieneReport, filter_report: DropReport | None, run: Run) -> UserError:
    """Return the error for rows all of which were dropped, with what dropped how many."""
    dropped = {**hygiene_report["dropped"], **(filter_report["dropped"] if filter_report else {})}
    counts = ", ".join(f"{count} {name}" for name, count in dropped.items() if count)
    requirement = f"no row is left of {hygiene_report['rows']}: {counts}; see {run.path}/drops.json"
    if not hygiene_report["kept"]:
        action = "give other data, or change hygiene"
        return UserError("hygiene", UNSET, requirement, action)
    return UserError("keep", "all filters", requirement, "loosen the filters")


def _add_helper_columns(rows: "Dataset", recipe: DataRecipe) -> "Dataset":
    """Return `rows` with an id and HELPER_COLUMNS; problems get only the question.

    Raises UserError if a row has no prompt or no valid completion, and if an id stands for two questions.
    """
    names, path = rows.column_names, recipe.data.train[0].path
    prompt_column = next((name for name in PROMPT_COLUMNS if name in names), None)
    if prompt_column is None:
        action = f"it has {', '.join(names)}; rename one with data.train.0.columns"
        raise UserError("data.train", path, "needs a column prompt, messages or text", action)
    has_completions = prompt_column == "messages" or "completion" in names

    def add_to_rows(rows: list[Row], start: int) -> list[Row | None]:
        added_columns: list[Row | None] = []
        for number, row in enumerate(rows, start):
            added: Row = {}
            completion = ""
            if prompt_column == "messages":
                conversation = _check_messages(row["messages"], number, path)
                question, completion = _split_conversation(conversation, number, path)
                added["messages"] = conversation
            else:
                question = check_prompt(row[prompt_column], number, "data.train")
                added[prompt_column] = question
            if has_completions and prompt_column != "messages":
                added["completion"] = _check_completion(row["completion"], number, path)
                completion = completion_text(added["completion"] or "")
            text = question_text(question)
            added |= {"_question": text, "id": row.get("id") or stable_row_id(question, row.get("answer"))}
            if has_completions:
                added |= _completion_columns(row, text, completion)
            added_columns.append(added)
        return added_columns

    prepared = compute_columns(rows, add_to_rows)
    # raises UserError if an id stands for two questions
    first_rows_by_id(prepared, path, "data.train", question_column="_question")
    return prepared


def _clean_rows(rows: "Dataset", hygiene: HygieneConfig) -> tuple["Dataset", HygieneReport]:
    """Return the rows that hygiene leaves, and its report."""
    names = [name for name in ("_question", "_completion", "answer", "tests") if name in rows.column_names]
    # Under the name that hygiene reads; a column `question` of the user's own stays as it is.
    view = rows.select_columns(names).rename_column("_question", "question")
    if not hygiene.is_enabled:
        return rows, clean_problems(view, hygiene)[1]
    clean_numbers, report = find_clean_rows(view, hygiene)
    return (rows if len(clean_numbers) == len(rows) else rows.select(clean_numbers)), report


def _completion_columns(row: Row, question: str, completion: str) -> Row:
    """Return what rewards and filters read of an example, filled in where the row does not say it."""
    tokens = row.get("tokens")
    if not isinstance(tokens, int | float) or not tokens:
        tokens = len(ngram_words(completion))  # no tokenizer is known here
    return {
        "_completion": completion,
        "_finish_reason": row.get("finish_reason") or "stop",
        "_thinking": row.get("thinking") is not False,
        "_language": row_language(row, question),
        "_tokens": int(tokens),
    }


def _check_messages(messages: Any, number: int, path: str) -> list[Message]:
    """Return a row's conversation with the usual roles. Raises UserError if it is none."""
    if not isinstance(messages, list):
        requirement = f"messages must end with the assistant's; those of row {number + 1} do not"
        raise UserError("data.train", path, requirement, "correct or drop the row")
    try:
        return normalise_messages(messages)
    except ConversationError as error:
        requirement = f"messages must be a conversation; those of row {number + 1} are not: {error}"
        raise UserError("data.train", path, requirement, "correct or drop the row") from None


def _split_conversation(messages: list[Message], number: int, path: str) -> tuple[Question, str]:
    """Return the messages before the last, and the text of the last, which must be the assistant's."""
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        requirement = f"messages must end with the assistant's; those of row {number + 1} do not"
        raise UserError("data.train", path, requirement, "correct or drop the row")
    return messages[:-1], completion_text(messages[-1:])


def _check_completion(completion: Any, number: int, path: str) -> Any:
    """Return a row's completion, messages with the usual roles. Raises UserError if it is neither text nor messages."""
    if completion is None or isinstance(completion, str):
        return completion
    try:
        return normalise_messages(completion)
    except ConversationError as error:
        requirement = f"each completion must be text or messages of text; that of row {number + 1} is not: {error}"
        raise UserError("data.train", path, requirement, "correct or drop the row, or rename the column") from None


def _refuse_rewards_and_filters(recipe: DataRecipe, row_filter: RowFilter) -> None:
    """Raise UserError if the recipe wants problems scored or filtered, which needs completions."""
    if recipe.rewards:
        requirement = "rewards score completions, and the rows have none"
        raise UserError("rewards", recipe.rewards[0].name, requirement, "remove rewards, or use r1kit generate")
    for name in row_filter.report["dropped"]:
        requirement = "filters look at completions, and the rows have none"
        raise UserError("keep", name, requirement, "remove the filter, or use r1kit generate")


def _score_rows(rows: "Dataset", recipe: DataRecipe) -> "Dataset":
    """Return `rows` with a column for each reward, and `correct` and `fault`."""
    from datasets import Value

    functions = bind_rewards(recipe.rewards, recipe.answers)

    def score_batch(batch: list[Row], _: int) -> list[Row | None]:
        columns = columns_of_rows(batch, batch[0])
        completions, questions = columns.pop("_completion"), columns["_question"]
        columns.pop("completion", None)
        columns |= {"thinking": columns["_thinking"], "language": columns["_language"]}
        columns |= {"prompt": questions, "question": questions}
        completion_ids = [range(count) for count in columns["_tokens"]]  # of which rewards read the number alone
        scores = compute_rewards(completions, completion_ids, columns, functions)
        return [row_verdict(scores, i) for i in range(len(batch))]

    score_types = {function.__name__: Value("float64") for function in functions}
    score_types |= {"fault": Value("bool"), "correct": Value("bool")}
    # The types are named here, since rows without any verdict would make a column of nulls.
    return compute_columns(rows, score_batch, SCORING_BATCH_ROWS, types=score_types)


def _filter_rows(rows: "Dataset", row_filter: RowFilter, recipe: DataRecipe) -> list[int]:
    """Return the numbers of the rows to keep, in order."""
    kept_numbers: list[int] = []
    for group in _read_groups(rows, _filter_order(rows, recipe)):
        kept_numbers += [row["number"] for row in row_filter.filter(group)]
    return sorted(kept_numbers)


def _filter_order(rows: "Dataset", recipe: DataRecipe) -> list[int]:
    """Return the numbers of all rows; rows of one id follow each other if a filter compares them."""
    order = list(range(len(rows)))
    if recipe.keep.per_prompt or recipe.keep.pass_rate != EVERY_PASS_RATE:
        ids = rows["id"][:]
        first: dict[str, int] = {}
        for number, row_id in enumerate(ids):
            first.setdefault(row_id, number)
        order.sort(key=lambda number: first[ids[number]])
    return order


def _read_groups(rows: "Dataset", order: list[int]) -> Iterator[list[Row]]:
    """Yield the rows as filters read them, in `order`, in lists that never cut the rows of one id in two.

    A list is yielded each time READ_BATCH_ROWS rows wait and their last id has ended.
    """
    columns = ("id", *HELPER_COLUMNS, "correct", "fault", "answer", "checker")
    names = [name for name in columns if name in rows.column_names]
    waiting: list[Row] = []
    for number, row in zip(order, iterate_rows(rows.select_columns(names).select(order)), strict=True):
        if len(waiting) >= READ_BATCH_ROWS and row["id"] != waiting[-1]["id"]:
            yield waiting
            waiting = []
        waiting.append(_filter_view(row, number))
    yield waiting


def _filter_view(row: Row, number: int) -> Row:
    """Return a row under the names that filters read, with its number."""
    return {
        "number": number,
        "id": row["id"],
        "prompt": row["_question"],
        "completion": row["_completion"],
        "finish_reason": row["_finish_reason"],
        "thinking": row["_thinking"],
        "target_language": row["_language"],
        "tokens": row["_tokens"],
        "answer": row.get("answer"),
        "checker": row.get("checker"),
        "correct": row.get("correct"),
        "fault": row.get("fault"),
    }


def _report_drops(
    hygiene_report: HygieneReport, filter_report: DropReport | None, recipe: DataRecipe, run: Run
) -> None:
    """Write `drops.json`, and print what was dropped, where the recipe has anything that drops rows.

    `filter_report` is None for problems, which are not filtered.
    """
    drops = hygiene_report if filter_report is None else dict(filter_report)
    if filter_report is not None and recipe.hygiene.is_enabled:
        drops["hygiene"] = hygiene_report
    write_file(run.path / "drops.json", json.dumps(drops, indent=2, ensure_ascii=False) + "\n")
    if recipe.hygiene.is_enabled:
        print_progress(format_drop_report(hygiene_report, "rows"))
    if filter_report is not None and filter_report["dropped"]:
        print_progress(format_drop_report(filter_report, "rows"))


def _write_rows(rows: "Dataset", reports: dict[str, DropReport], recipe: DataRecipe, run: Run) -> None:
    """Write `data/` and its card."""
    unwanted = set(HELPER_COLUMNS)
    if {"prompt", "completion"} <= set(rows.column_names):
        unwanted.add("messages")  # which says the same in another format
    rows = rows.remove_columns([name for name in rows.column_names if name in unwanted])
    output = DataOutput(run, recipe, written_schema(rows))
    for start in range(0, len(rows), READ_BATCH_ROWS):
        output.add(batch_rows(rows[start : start + READ_BATCH_ROWS]))
    output.finish(reports, {})
    run.update(rows=output.row_count)
