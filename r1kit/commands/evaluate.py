"""`r1kit eval`: measure one model, or several in one go: pass@1, majority vote, format, language and length.

    r1kit eval recipes/tiny/eval.yaml model.path=runs/tiny/r1
    r1kit eval recipes/tiny/ladder.yaml
    r1kit eval Qwen/Qwen2.5-0.5B-Instruct --suite math500,gpqa-diamond

Writes `eval.json` and prints a table to stderr. With `suite:` it measures benchmarks by their published protocols, and
the table has published figures beside the measured ones (r1kit/suites). `read:` shows results of other programs.
Several models (`models:`) make a ladder. With `scaling:` it also measures what N samples of a question are worth by
each method of choosing among them, and says which to use at which budget of tokens (`scaling.json`, and a picture for
each model).

pass@1 is the mean over samples at `sampling.temperature`; it is not the accuracy of the greedy answer. That is measured
by `sampling.temperature=0 sampling.samples=1`.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.answers.extract import FORMS, NO_ANSWER
from r1kit.answers.forms import describe_unread
from r1kit.data.benchmarks import load_benchmark
from r1kit.data.problems import load_problems
from r1kit.errors import UserError
from r1kit.messages import logger, print_progress
from r1kit.ranks import is_main_rank
from r1kit.recipe import EvalRecipe
from r1kit.recipe.rewards import Answers, answers_of_accuracy
from r1kit.rewards.checks import check_reward_data
from r1kit.rows import Row
from r1kit.runs.files import write_file
from r1kit.runs.paths import resolve_model_path
from r1kit.runs.reading import read_run_info
from r1kit.runs.run import Run
from r1kit.safe_text import mask_secrets
from r1kit.sampling.benchmarks import Figure, figures_of, format_figures, with_protocol
from r1kit.sampling.loop import sample_problems
from r1kit.sampling.other_programs import read_results
from r1kit.sampling.prompt_check import check_completion_room, check_problem_prompts
from r1kit.sampling.shards import Shards
from r1kit.sampling.statistics import summarise_samples
from r1kit.scaling.measure import measure_scaling, sample_other_methods
from r1kit.tables import format_table

if TYPE_CHECKING:
    from datasets import Dataset

LadderRow = dict[str, Any]


def main(recipe: EvalRecipe, run: Run) -> None:
    """Sample every model on the same questions, and write and print its statistics."""
    read_figures = []
    for file in recipe.read:
        read_figures += read_results(file)
    problem_sets = load_problem_sets(recipe)
    _check_rewards(recipe, problem_sets, run)
    recipes = recipe.recipes_by_model() if problem_sets else {}
    _check_models(recipe, recipes)
    for model_recipe in recipes.values():
        engine = model_recipe.sampling.engine
        for field, problems in problem_sets.items():
            check_problem_prompts(problems, model_recipe.model, model_recipe.prompt, engine, field or "data.eval")
        for name in problem_sets:
            benchmark_recipe = with_protocol(model_recipe, recipe.suite[name]) if name else model_recipe
            check_completion_room(model_recipe.model, benchmark_recipe.sampling)

    answers = answers_of_accuracy(recipe.rewards, recipe.answers)
    ladder: list[LadderRow] = []
    figures: list[Figure] = []
    scaling_by_model: list[dict[str, Any]] = []
    for name, model_recipe in recipes.items():
        rows: list[Row] = []
        with _errors_of_model(name, recipe):
            for benchmark, problems in problem_sets.items():
                if benchmark:
                    samples = _sample_benchmark(model_recipe, benchmark, problems, run, name)
                    benchmark_rows = list(_all_rows(samples))
                    answers_read = answers_of_accuracy(recipe.rewards, recipe.suite[benchmark].answers)
                    figures += figures_of(benchmark, name, benchmark_rows, answers_read)
                    rows += benchmark_rows
                else:
                    folder = run.path / "samples" / _file_name(name)
                    samples = sample_problems(model_recipe, model_recipe.model, problems, run, folder, f"eval {name}")
                    rows += _all_rows(samples)
        ladder.append(ladder_row(name, model_recipe.model.path or "", summarise_samples(rows, answers)))
        _write_results(run, ladder, [*figures, *read_figures])
        if recipe.scaling is not None:
            with _errors_of_model(name, recipe):
                changed = sample_other_methods(model_recipe, model_recipe.model, problems, samples, run)
            if is_main_rank():
                picture = run.path / f"scaling-{_file_name(name)}.png"
                scaling = measure_scaling(model_recipe, model_recipe.model, name, rows, changed, picture)
                entry = {"model": name, "path": model_recipe.model.path, "recommended": scaling.recommended}
                scaling_by_model.append({**entry, "points": scaling.points})
    if scaling_by_model:
        _write_json(run.path / "scaling.json", {"models": scaling_by_model})
    _write_results(run, ladder, [*figures, *read_figures])
    if is_main_rank():
        if ladder:
            print_progress(format_ladder(ladder, by_domain=not recipe.suite))
        if figures or read_figures:
            print_progress(format_figures([*figures, *read_figures]))
        _note_missing_verdicts(ladder)
        _warn_of_unread_answers(ladder, answers)


def load_problem_sets(recipe: EvalRecipe) -> "dict[str, Dataset]":
    """Return the problems of each benchmark of `suite` by its name, or those of `data.eval` by the name ""."""
    if recipe.suite:
        return {name: load_benchmark(name, benchmark) for name, benchmark in recipe.suite.items()}
    if not recipe.data.eval:  # only results of other programs are read
        return {}
    return {"": load_problems(recipe.data.eval, None, "data.eval", recipe.data)}


def _check_rewards(recipe: EvalRecipe, problem_sets: "dict[str, Dataset]", run: Run) -> None:
    """Check that the rewards can judge all problems, and record how programs are isolated."""
    for name, problems in problem_sets.items():
        source = recipe.suite[name].path if name else recipe.data.eval[0].path
        reward_notes = check_reward_data(recipe.rewards, problems, source)
        if reward_notes and is_main_rank():
            run.update(**reward_notes)


def _sample_benchmark(recipe: EvalRecipe, benchmark: str, problems: "Dataset", run: Run, model: str) -> Shards:
    """Sample one benchmark by its protocol, in a folder of its own."""
    folder = run.path / "samples" / _file_name(f"{model}-{benchmark}")
    benchmark_recipe = with_protocol(recipe, recipe.suite[benchmark])
    return sample_problems(benchmark_recipe, recipe.model, problems, run, folder, f"{benchmark} {model}")


def _all_rows(samples: Shards) -> Iterator[Row]:
    for shard_rows in samples:
        yield from shard_rows


def _write_results(run: Run, ladder: Sequence[LadderRow], figures: Sequence[Figure]) -> None:
    """Write `eval.json`: the models with their statistics, and the figures of benchmarks, if any."""
    results: dict[str, Any] = {"models": ladder}
    if figures:
        results["suite"] = [figure.as_json() for figure in figures]
    _write_json(run.path / "eval.json", results)


@contextmanager
def _errors_of_model(name: str, recipe: EvalRecipe) -> Iterator[None]:
    """Name in errors the field of a model's own servers, which the recipe as if it were the only one has elsewhere."""
    try:
        yield
    except UserError as error:
        line = str(error)
        has_own_server = name in recipe.models and recipe.models[name].server is not None
        if not (has_own_server and line.startswith("sampling.server.")):
            raise
        raise UserError.from_line(line.replace("sampling.", f"models.{name}.", 1)) from None


def _check_models(recipe: EvalRecipe, recipes: dict[str, EvalRecipe]) -> None:
    """Raise UserError before hours of sampling if a model or the verifier is missing, or two names clash."""
    if recipe.scaling is not None and recipe.scaling.verifier:
        from r1kit.head2toe.verifier import read_metadata

        read_metadata(Path(recipe.scaling.verifier))
    model_paths = {name: model_recipe.model.path or "" for name, model_recipe in recipes.items()}
    for name, path in model_paths.items():
        if recipes[name].sampling.engine != "openai":  # a server has names of its own for its models
            resolve_model_path(path, f"models.{name}" if recipe.models else "model.path")
    file_name_counts = Counter(map(_file_name, model_paths))
    for name, path in model_paths.items():
        if file_name_counts[_file_name(name)] > 1:
            requirement = "the name differs from another one only in special characters"
            raise UserError(f"models.{name}", path, requirement, "rename one of the two")


def _file_name(name: str) -> str:
    """Return a model's name as part of a file name."""
    return "".join(char if char.isalnum() or char in "-_." else "_" for char in name)


def _write_json(file: Path, content: dict[str, Any]) -> None:
    if is_main_rank():
        write_file(file, json.dumps(mask_secrets(content), indent=2, ensure_ascii=False) + "\n")


def _note_missing_verdicts(ladder: Iterable[LadderRow]) -> None:
    """Tell the user which samples have no verdict or no answer."""
    for row in ladder:
        if row["faults"]:
            logger.info(f"{row['model']}: {row['faults']} samples have no verdict and are left out of the accuracy")
        unanswered = row["statistics"]["unanswered"]
        if unanswered:
            logger.info(
                f"{row['model']}: {unanswered} samples have no answer, since the question did not fit into the "
                "context; they count as wrong"
            )


def _warn_of_unread_answers(ladder: Iterable[LadderRow], answers: Answers) -> None:
    """Tell the user where most answers of a model could not be read."""
    for row in ladder:
        statistics = row["statistics"]
        counts = {form: round(share * statistics["samples"]) for form, share in row["answer_forms"].items()}
        sentence = describe_unread(counts, answers)
        if sentence:
            cut = f"; {100 * statistics['truncated']:.0f}% of all were cut off" if statistics["truncated"] else ""
            logger.warning(f"{row['model']}: {sentence}{cut}")


def ladder_row(name: str, path: str, statistics: dict[str, Any]) -> LadderRow:
    """Return a model's entry in `eval.json`: accuracy by domain, the other figures over all rows, all statistics."""
    return {
        "model": name,
        "path": path,
        "faults": statistics["faults"],
        "accuracy": {domain: figures["pass@1"] for domain, figures in statistics["domains"].items()},
        "thinking": statistics["thinking"],
        "format": statistics["format"],
        "language_consistency": statistics["language_consistency"],
        "tokens": statistics["tokens"],
        "reflection_words": statistics["reflection_words"],
        "answer_forms": statistics["answer_forms"],
        "seconds": read_run_info(Path(path)).get("seconds"),
        "statistics": statistics,
    }


def format_ladder(ladder: Sequence[LadderRow], by_domain: bool = True) -> str:
    """Return the ladder as a table with one line for each model; fractions are given in percent.

    Without `by_domain` it has no accuracy, since another table has that of each benchmark.
    `reflection` is the mean number of reflection words, if there are any (r1kit/languages/reflection.py).
    The last columns say what share of the answers was read by which form, as far as any was; an accuracy of 0 stands as
    "unread" where most answers could not be read.
    """
    all_domains: dict[str, None] = {}  # a set that keeps its order
    used_forms: set[str] = set()
    for row in ladder:
        all_domains |= dict.fromkeys(row["accuracy"])
        used_forms.update(form for form, share in row["answer_forms"].items() if share)
    domains = list(all_domains)
    figures = ["+-", "vote@k", "thinking", "format", "language", "tokens", "seconds"]
    forms = [form for form in FORMS if form in used_forms]
    form_headers = [f"by {form}" if form != NO_ANSWER else "unread" for form in forms]
    if not by_domain:
        domains, figures = [], [name for name in figures if name not in ("+-", "vote@k")]
    has_reflection = any(row.get("reflection_words") for row in ladder)
    if has_reflection:
        figures.append("reflection")
    headers = ["model", *(domain or "accuracy" for domain in domains), *figures, *form_headers]
    rows = []
    for row in ladder:
        statistics = row["statistics"]
        fractions = [row["accuracy"].get(domain) for domain in domains]
        if by_domain:
            fractions += [statistics["interval"], statistics["vote@k"]]
        fractions += [row["thinking"], row["format"], row["language_consistency"]]
        seconds = "-" if row["seconds"] is None else f"{row['seconds']:.0f}"
        cells = [row["model"], *map(_format_percent, fractions), f"{row['tokens']:.1f}", seconds]
        if has_reflection:
            cells.append(f"{row['reflection_words'] or 0:.2f}")
        for i, domain in enumerate(domains, start=1):
            if is_unread(statistics["domains"].get(domain)):
                cells[i] = "unread"
        cells += [_format_percent(row["answer_forms"].get(form, 0.0)) for form in forms]
        rows.append(cells)
    return format_table(headers, rows, right=headers[1:])


def is_unread(figures: dict[str, Any] | None) -> bool:
    """Return whether an accuracy of 0 says only that most answers could not be read."""
    return bool(figures and figures["pass@1"] == 0 and figures["answer_forms"].get(NO_ANSWER, 0) > 0.5)


def _format_percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{100 * fraction:.1f}"
