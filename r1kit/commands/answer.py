"""`r1kit answer MODEL QUESTIONS`: answer new questions by the method that `r1kit eval` recommends for the model.

    r1kit answer runs/tiny/distill questions.jsonl --budget 50 -o answers.jsonl
    echo "What is 3 + 4?" | r1kit answer runs/tiny/distill -

Each question becomes a row: its own columns, the completion, the answer that was read in it (`parsed_answer`), and what
it cost. No gold answer is needed. With `-o FILE` the samples stay in `FILE.samples/`, from which the same command goes
on when it was interrupted.
"""

import contextlib
import json
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.data.exact_json import dump_json
from r1kit.errors import UserError
from r1kit.launch import prepare_process
from r1kit.messages import logger, print_progress, stdout_to_stderr
from r1kit.models.prompt_choice import choose_prompts
from r1kit.recipe import EvalRecipe, ScalingConfig, load_recipe, parse_override
from r1kit.rows import Row
from r1kit.runs.files import is_stdout, open_output, write_file
from r1kit.runs.paths import resolve_model_path
from r1kit.runs.run import Run
from r1kit.safe_text import escape_control_characters, mask_secrets, print_result
from r1kit.scaling.choice import (
    MeasuredModel,
    MethodChoice,
    check_choice,
    explain_missing_scaling,
    find_measured_model,
    parse_method,
    require_affordable,
)

if TYPE_CHECKING:
    from datasets import Dataset

QUESTIONS_FIELD = "QUESTIONS"
QUESTION_SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".txt")
# Blocks of a recipe that `key=value` may change: how the model is asked and sampled, and how its answers are read.
ANSWER_BLOCKS = ("model", "prompt", "sampling", "answers", "seed")
ANSWER_COLUMNS = ("completion", "parsed_answer", "method", "samples", "tokens", "agreement", "confidence")
_WORK_DIFFERENCES = {
    "method": "of another method",
    "questions": "of other questions",
    "weights": "of a model with other weights",
    "recipe": "that were made with other settings",
}
WORK_FILE = "answer.json"
"""In the folder of samples: what they are samples of, and whether all of them are there."""


def answer_questions(
    model: str,
    questions: str,
    budget: float | None,
    method: str | None,
    scaling_run: str | None,
    verifier: str | None,
    output: str | None,
    overrides: Sequence[str],
) -> None:
    """Answer the rows of the file `questions` (`-`: stdin), and write a row for each to `output` or stdout.

    Raises UserError for a method, a budget, a model or questions that cannot be used.
    """
    if budget is not None and method is not None:
        raise UserError(
            "--budget", budget, f"--method {method} sets already how each question is answered", "use one of the two"
        )
    changes = _parse_overrides(overrides)
    _check_questions_word(model, questions)
    choice = parse_method(method) if method else None
    measured = find_measured_model(model, scaling_run)
    if choice is None:
        choice = _choose_method(model, budget, measured)
    recipe = _make_recipe(model, measured, verifier, changes)
    check_choice(choice, recipe, [reward.short_name for reward in recipe.rewards])
    if choice.needs_verifier and recipe.scaling:
        from r1kit.head2toe.verifier import read_metadata

        read_metadata(Path(recipe.scaling.verifier or ""), "--verifier")
    if recipe.sampling.engine != "openai":  # a server has names of its own for its models
        resolve_model_path(model, "MODEL")
    _announce(choice, measured)
    with _questions_file(questions) as path, _work_run(output) as run:
        is_finished = output is not None and Path(output).is_file() and _is_finished(run, recipe, choice, path)
        if not is_finished:
            prepare_process("eval")
            with stdout_to_stderr():
                rows = _answer_file(path, recipe, choice, run)
            _write_rows(rows, questions, output)
            _describe_answers(rows, choice, measured)
            if output is not None:
                _record_work(run, recipe, choice, path, is_finished=True)
    if output is not None and not is_stdout(output):
        print_result(output)


def _check_questions_word(model: str, questions: str) -> None:
    """Raise UserError for a question in the place of a file of questions, and for a file that is not there."""
    if Path(questions).exists():
        return
    if " " in questions.strip():
        action = f"pipe it: echo {shlex.quote(questions)} | r1kit answer {shlex.quote(model)} -"
        raise UserError(QUESTIONS_FIELD, questions, "must be a file of questions, or - for stdin", action)
    if Path(questions).suffix in QUESTION_SUFFIXES and "://" not in questions:
        raise UserError(QUESTIONS_FIELD, questions, "no such file", "check the path, or pipe questions to -")


def _parse_overrides(words: Sequence[str]) -> dict[str, Any]:
    """Return `key=value` words as keys with their values. Raises UserError for a key that says nothing of sampling."""
    changes = {}
    for word in words:
        key, value = parse_override(word)
        if key.split(".")[0] not in ANSWER_BLOCKS:
            requirement = f"only {', '.join(ANSWER_BLOCKS)} can be set here"
            raise UserError(key, value, requirement, "remove it, or use an option; see r1kit answer --help")
        changes[key] = value
    return changes


def _choose_method(model: str, budget: float | None, measured: MeasuredModel | None) -> MethodChoice:
    if measured is not None:
        return measured.choose(budget)
    require_affordable(model, budget)
    situation, action = explain_missing_scaling(model)
    logger.info(f"{situation}, so each question gets the greedy answer; {action}")
    return MethodChoice("greedy")


def _make_recipe(
    model: str, measured: MeasuredModel | None, verifier: str | None, changes: dict[str, Any]
) -> EvalRecipe:
    """Return the recipe by which the model is sampled: the one that it was measured by, else the defaults of `eval`."""
    needed = {"data.eval": [{"path": "QUESTIONS"}], "output": "answers"}
    if measured is None:
        loaded = load_recipe("eval", None, {"model.path": model, **needed, **changes})
        recipe, notes = choose_prompts(loaded)
        for note in notes:
            logger.info(note)
    else:
        recipe = measured.recipe_with(changes)
    assert isinstance(recipe, EvalRecipe)
    scaling = recipe.scaling or ScalingConfig()
    if verifier is not None:
        scaling = scaling.model_copy(update={"verifier": verifier})
    return recipe.model_copy(update={"scaling": scaling})


def _announce(choice: MethodChoice, measured: MeasuredModel | None) -> None:
    """Say which method is used, and what was measured of it."""
    if measured is None:
        return
    expected = measured.expectation(choice)
    if expected is None:
        logger.info(f"method {choice.option}, sampled as {measured.run_dir} did")
        return
    interval = f"{100 * expected['low']:.1f} to {100 * expected['high']:.1f}"
    logger.info(
        f"method {choice.option}: {expected['tokens']:.1f} tokens a question, {100 * expected['accuracy']:.1f}% right "
        f"(95% interval {interval}) on the questions of {measured.run_dir}"
    )


@contextlib.contextmanager
def _questions_file(questions: str) -> Iterator[str]:
    """Yield the path of a file of questions; stdin and text files, of one question a line, become a JSONL file."""
    if questions != "-" and Path(questions).suffix != ".txt":
        yield questions
        return
    try:
        text = sys.stdin.read() if questions == "-" else Path(questions).read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror.lower() if isinstance(error, OSError) and error.strerror else "it is no text in UTF-8"
        raise UserError(QUESTIONS_FIELD, questions, f"must be text that can be read: {reason}", "check it") from None
    if not text.lstrip().startswith("{"):
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        text = "".join(f"{json.dumps({'prompt': line}, ensure_ascii=False)}\n" for line in lines)
    if not text.strip():
        raise UserError(QUESTIONS_FIELD, questions, "has no questions", "give at least one")
    with tempfile.TemporaryDirectory(prefix="r1kit-answer-") as folder:
        path = Path(folder) / "questions.jsonl"
        path.write_text(text)
        yield str(path)


@contextlib.contextmanager
def _work_run(output: str | None) -> Iterator[Run]:
    """Yield the run whose folder holds the samples: beside the file `output`, or a temporary one without it."""
    if output is None or is_stdout(output) or (Path(output).exists() and not Path(output).is_file()):
        with tempfile.TemporaryDirectory(prefix="r1kit-answer-") as folder:
            yield Run(Path(folder))
        return
    run = Run(Path(f"{output}.samples"))
    try:
        run.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        requirement = f"must be a file that can be written: {(error.strerror or str(error)).lower()}"
        raise UserError("--output", output, requirement, "use another path") from None
    run.lock()
    try:
        yield run
    finally:
        run.unlock()


def _work_settings(recipe: EvalRecipe, choice: MethodChoice, path: str) -> dict[str, Any]:
    """Return what a folder of samples belongs to: the method, the model and its sampling, and the questions."""
    import hashlib

    from r1kit.runs.lineage import content_hash

    source = Path(path)
    questions = hashlib.sha256(source.read_bytes()).hexdigest()[:16] if source.is_file() else path
    model = recipe.model.path or ""
    values = recipe.model_dump(mode="json", include={"model", "prompt", "sampling", "answers", "seed", "scaling"})
    for name in ("batch_size", "budget", "server"):  # where and how much is sampled, not what
        values["sampling"].pop(name, None)
    weights = content_hash(Path(model), "model") if Path(model).is_dir() else None
    return {"method": choice.option, "questions": questions, "weights": weights, "recipe": mask_secrets(values)}


def _read_work(run: Run, recipe: EvalRecipe, choice: MethodChoice, path: str) -> dict[str, Any]:
    """Return what answer.json says, {} without it. Raises UserError if the samples are of something else."""
    from r1kit.runs.reading import read_json_object

    work = read_json_object(run.path / WORK_FILE)
    for name, value in _work_settings(recipe, choice, path).items():
        if work and work.get(name) != value:
            requirement = f"its folder {run.path} holds samples {_WORK_DIFFERENCES[name]}"
            raise UserError("--output", str(run.path).removesuffix(".samples"), requirement, "use another file")
    return work


def _is_finished(run: Run, recipe: EvalRecipe, choice: MethodChoice, path: str) -> bool:
    return bool(_read_work(run, recipe, choice, path).get("finished"))


def _record_work(run: Run, recipe: EvalRecipe, choice: MethodChoice, path: str, is_finished: bool) -> None:
    settings = {**_work_settings(recipe, choice, path), "finished": is_finished}
    write_file(run.path / WORK_FILE, json.dumps(settings, indent=2, ensure_ascii=False) + "\n")


def _answer_file(path: str, recipe: EvalRecipe, choice: MethodChoice, run: Run) -> list[Row]:
    """Return a row for each row of the file: its own columns and ANSWER_COLUMNS."""
    from r1kit.data.batches import iterate_rows
    from r1kit.data.problems import first_rows_by_id
    from r1kit.rewards.checks import check_reward_data
    from r1kit.sampling.prompt_check import check_problem_prompts
    from r1kit.scaling.answering import Answerer

    questions, own_names = _load_questions(path)
    if not _read_work(run, recipe, choice, path):
        _record_work(run, recipe, choice, path, is_finished=False)
    # A question that stands in several rows is answered once.
    problems = questions.select(first_rows_by_id(questions, path, QUESTIONS_FIELD))
    check_problem_prompts(problems, recipe.model, recipe.prompt, recipe.sampling.engine, QUESTIONS_FIELD)
    answerer = Answerer(recipe, choice, run)
    if answerer.recipe.rewards:
        check_reward_data(answerer.recipe.rewards, problems, path)
    answered = answerer.answer(problems)
    replaced = [name for name in own_names if name in ANSWER_COLUMNS]
    if replaced:
        logger.info(f"columns of the questions that the answers replace: {', '.join(replaced)}")
    rows = []
    for question in iterate_rows(questions):
        own_columns = {name: question[name] for name in own_names if name not in ANSWER_COLUMNS}
        answer = answered.get(question["id"], dict.fromkeys(ANSWER_COLUMNS))
        rows.append({**own_columns, "id": question["id"], **answer})
    return rows


def _load_questions(path: str) -> tuple["Dataset", list[str]]:
    """Return the rows of a file with what sampling needs, and the names of the columns that they came with."""
    from r1kit.data.argument_errors import errors_of_argument
    from r1kit.data.mixing import read_sources
    from r1kit.data.problems import fill_problem_columns
    from r1kit.recipe import SourceConfig

    with errors_of_argument(QUESTIONS_FIELD, source_name=f"{QUESTIONS_FIELD}.0"):
        dataset = read_sources([SourceConfig(path=path)], QUESTIONS_FIELD)
    if "prompt" not in dataset.column_names and "question" in dataset.column_names:
        dataset = dataset.rename_column("question", "prompt")
    if "prompt" not in dataset.column_names:
        requirement = f"needs a column prompt, and has {', '.join(dataset.column_names)}"
        raise UserError(QUESTIONS_FIELD, path, requirement, "rename one of them")
    return fill_problem_columns(dataset, None, QUESTIONS_FIELD), dataset.column_names


def _write_rows(rows: Sequence[Row], questions: str, output: str | None) -> None:
    if output is None and sys.stdout.isatty():
        for row in rows:
            print(escape_control_characters(dump_json(row)))
        return
    with open_output(output or "-", inputs=[] if questions == "-" else [questions]) as stream:
        for row in rows:
            stream.write(f"{dump_json(row)}\n".encode(errors="surrogatepass"))


def _describe_answers(rows: Sequence[Row], choice: MethodChoice, measured: MeasuredModel | None) -> None:
    """Print what the answers cost, beside what was measured, and how many questions have none."""
    answered = [row for row in rows if row["tokens"] is not None]
    if not answered:
        logger.warning("no question was answered")
        return
    tokens = sum(row["tokens"] for row in answered) / len(answered)
    sentence = f"{len(answered)} questions answered by {choice.option} for {tokens:.1f} tokens each"
    expected = None if measured is None else measured.expectation(choice)
    if expected is not None:
        sentence += f" ({expected['tokens']:.1f} when it was measured)"
    print_progress(sentence)
    unread = sum(row["parsed_answer"] is None for row in answered)
    if unread:
        logger.info(f"{unread} of them have no answer that can be read")
    if len(answered) < len(rows):
        logger.warning(f"{len(rows) - len(answered)} questions were not answered, since sampling.budget is spent")
