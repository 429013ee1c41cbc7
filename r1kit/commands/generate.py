"""`r1kit generate`: make SFT data by rejection sampling (DeepSeek-R1, arXiv 2501.12948, sections 2.3.1 and 2.3.3).

    r1kit generate recipes/tiny/cold_start.yaml model.path=runs/tiny/r1_zero

Samples several completions of each prompt, scores them, keeps those that pass the filters (`keep:`), has them rewritten
by a teacher (`refine:`) or makes journeys of them (`journey:`). Writes `data/` (Parquet files of prompts, completions
and everything known about them), a data card, and `drops.json`, which counts the dropped rows by reason.
"""

import json
import shutil
from typing import TYPE_CHECKING, Any

from r1kit.answers.forms import describe_unread
from r1kit.data.filters import DropReport, RowFilter, format_drop_report
from r1kit.data.hygiene import HygieneReport, clean_problems, find_clean_rows
from r1kit.data.problems import load_problems
from r1kit.data.writing.output import DataOutput
from r1kit.errors import UNSET, UserError
from r1kit.messages import logger, print_progress
from r1kit.ranks import barrier, is_main_rank, world_size
from r1kit.recipe import GenerateRecipe, HygieneConfig
from r1kit.recipe.rewards import answers_of_accuracy
from r1kit.rewards.checks import check_reward_data
from r1kit.runs.files import write_file
from r1kit.runs.run import Run
from r1kit.sampling.loop import sample_problems, without_thinking
from r1kit.sampling.prompt_check import check_completion_room, check_problem_prompts
from r1kit.sampling.rewrite import ProblemsOfShard
from r1kit.sampling.selection import (
    make_problem_lookup,
    make_row_filter,
    output_schema,
    rewrite_with_teacher,
    select_rows,
    sum_usage,
)
from r1kit.sampling.shards import Shards

if TYPE_CHECKING:
    from datasets import Dataset


def main(recipe: GenerateRecipe, run: Run) -> None:
    """Load, sample, rewrite, filter and write."""
    prompt_config = recipe.prompt
    if recipe.thinking == "none":
        recipe = _recipe_without_thinking(recipe)
    problems = load_problems(recipe.data.train, None, data=recipe.data)
    check_problem_prompts(problems, recipe.model, prompt_config, recipe.sampling.engine, "data.train")
    check_completion_room(recipe.model, recipe.sampling)
    problems = problems.shuffle(seed=recipe.seed).flatten_indices()
    problems, hygiene = _clean_on_main_rank(problems, recipe.hygiene, run)
    if len(problems) == 0:
        raise UserError("hygiene", UNSET, "its rules drop all problems", "remove or relax one of them")
    reward_notes = check_reward_data(recipe.rewards, problems, recipe.data.train[0].path)
    if reward_notes and is_main_rank():
        run.update(**reward_notes)

    shards = sample_problems(recipe, recipe.model, problems, run, run.path / "samples", "generate")
    problems_of = make_problem_lookup(recipe, problems)
    rewritten = rewrite_with_teacher(recipe, shards, problems_of, run)
    if is_main_rank():
        _write_data(recipe, shards, rewritten, problems_of, hygiene, run)


def _recipe_without_thinking(recipe: GenerateRecipe) -> GenerateRecipe:
    """Return the recipe for rows that are answered without a chain of thought."""
    sources = []
    for source in recipe.data.train:
        values = {**source.values, "thinking": False}
        sources.append(source.model_copy(update={"values": values}))
    changes = {
        "prompt": without_thinking(recipe.prompt, recipe.sampling.engine),
        "data": recipe.data.model_copy(update={"train": sources}),
    }
    return recipe.model_copy(update=changes)


def _clean_on_main_rank(problems: "Dataset", config: HygieneConfig, run: Run) -> tuple["Dataset", HygieneReport]:
    """Return the problems that are left after `hygiene:`, and the report; one process works, the others wait."""
    if world_size() == 1 or not config.is_enabled:
        return clean_problems(problems, config)
    file = run.path / "hygiene.json"
    report: HygieneReport = {}
    barrier()
    if is_main_rank():
        kept_indices, report = find_clean_rows(problems, config)
        write_file(file, json.dumps(kept_indices))
    barrier()
    return problems.select(json.loads(file.read_text())), report


def _write_data(
    recipe: GenerateRecipe,
    shards: Shards,
    rewritten: Shards | None,
    problems_of: ProblemsOfShard,
    hygiene: HygieneReport,
    run: Run,
) -> None:
    """Write `data/`, the data card and `drops.json`, and record in run.json what the data cost."""
    row_filter = make_row_filter(recipe)
    output = DataOutput(run, recipe, output_schema(recipe, shards, rewritten))
    for rows in select_rows(recipe, shards, rewritten, problems_of, row_filter):
        output.add(rows)
    reports = {"Problems": hygiene} if recipe.hygiene.is_enabled else {}
    reports["Samples"] = row_filter.report
    _write_drop_report(recipe, row_filter.report, hygiene, run)
    if not output.row_count:
        # `data/` holds the rows of an earlier session with other filters; the samples can make them again.
        shutil.rmtree(run.path / "data", ignore_errors=True)
        raise _explain_empty_data(recipe, shards, row_filter, run)
    output.finish(reports, _describe_sampling(recipe, rewritten))
    missing_batches = shards.count - len(shards.finished())
    _note_missing_batches(shards, rewritten)
    run.update(rows=output.row_count, batches_left=missing_batches, **sum_usage(recipe, shards, rewritten))


def _write_drop_report(recipe: GenerateRecipe, report: DropReport, hygiene: HygieneReport, run: Run) -> None:
    """Write `drops.json`, and print how many rows each filter dropped."""
    drops = {**report, "hygiene": hygiene} if recipe.hygiene.is_enabled else report
    write_file(run.path / "drops.json", json.dumps(drops, indent=2, ensure_ascii=False) + "\n")
    if recipe.hygiene.is_enabled:
        print_progress(format_drop_report(hygiene, "rows"))
    print_progress(format_drop_report(report))
    unread = describe_unread(report["answer_forms"], answers_of_accuracy(recipe.rewards, recipe.answers))
    if unread:
        logger.warning(unread)


def _explain_empty_data(recipe: GenerateRecipe, shards: Shards, row_filter: RowFilter, run: Run) -> UserError:
    """Return the error for a run that kept no row: its budget, its journeys or its filters are the reason."""
    report = row_filter.report
    if report["sampled"] and report["dropped"]:
        strictest = max(report["dropped"], key=report["dropped"].get)
        if strictest == "unanswered":
            urls = ", ".join(recipe.sampling.server.urls) or UNSET
            requirement = f"gave no completion for {report['dropped'][strictest]} of {report['sampled']} samples"
            action = f"repair the server, then run the same command again; {run.path}/warnings.jsonl has its answers"
            return UserError("sampling.server.urls", urls, requirement, action)
        requirement = f"the filters dropped all of {report['sampled']} samples, most of them {strictest!r}"
        return UserError("keep", UNSET, requirement, f"relax the filters; {run.path}/drops.json counts each one's rows")
    is_budget_spent = len(shards.finished()) < shards.count
    if is_budget_spent:
        requirement = "was spent before the first batch was sampled"
        return UserError("sampling.budget", UNSET, requirement, f"raise it; see {run.path}/samples")
    requirement = "no prompt has both a wrong and a right completion, so there are no journeys"
    return UserError("journey", UNSET, requirement, f"sample more completions a prompt; see {run.path}/samples")


def _describe_sampling(recipe: GenerateRecipe, rewritten: Shards | None) -> dict[str, Any]:
    """Return what the data card says about how the rows were made."""
    sampling = recipe.sampling
    description: dict[str, Any] = {
        "model": recipe.model.path,
        "sampling": f"{sampling.samples} samples a prompt, temperature {sampling.temperature}, "
        f"top_p {sampling.top_p}, at most {sampling.max_tokens} tokens",
    }
    teacher = recipe.refine or recipe.journey
    if teacher and rewritten:
        description["teacher"] = (teacher.model or recipe.model).path
    return description


def _note_missing_batches(shards: Shards, rewritten: Shards | None) -> None:
    """Tell the user which batches are missing because a budget is spent."""
    sampled_batches = len(shards.finished())
    if sampled_batches < shards.count:
        logger.info(
            f"{shards.count - sampled_batches} of {shards.count} batches were not sampled, since the budget is spent; "
            "raise the budget and run the same command again to continue"
        )
    if rewritten:
        waiting_batches = sampled_batches - len(rewritten.finished())
        if waiting_batches:
            logger.info(
                f"{waiting_batches} batches were not rewritten, since the teacher's budget is spent; "
                "raise the budget and run the same command again to continue"
            )
