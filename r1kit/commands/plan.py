"""`r1kit plan RECIPE` and `r1kit plan bash SCRIPT`: say what a stage, or a whole chain, will take.

r1kit plan recipes/sky-t1/sft.yaml --gpus 8xH100-80GB --price 3
r1kit plan sft recipes/sky-t1/sft.yaml training.max_length=8192 --fit
r1kit plan bash recipes/qwen2.5-7b/run.sh --accelerate-config recipes/accelerate/fsdp2.yaml
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from r1kit.errors import EXIT_DONE, EXIT_USER, UNSET, UserError, suggest
from r1kit.messages import logger
from r1kit.plan import chain
from r1kit.plan.devices import parse_gpus
from r1kit.plan.estimate import plan_stage
from r1kit.plan.fit import find_changes, fit_plan
from r1kit.plan.lookup import Lookup
from r1kit.plan.result import PlanOptions, StagePlan
from r1kit.plan.stage_choice import choose_stage
from r1kit.plan.table import format_chain, format_plan
from r1kit.recipe import Recipe
from r1kit.safe_text import print_result
from r1kit.stage_words import StageOptions, read_stage_recipe
from r1kit.stages import STAGES

BASH = "bash"
"""The first word of a plan of a script."""


def read_plan_options(
    gpus: str | None,
    nodes: int,
    price: str | None,
    mean_tokens: int | None,
    processes: int | None,
    accelerate_config: str | None,
) -> PlanOptions:
    """Return the options of the command line. Raises UserError for one that means nothing."""
    if gpus is not None or nodes != 1:
        parse_gpus(gpus or "cpu", nodes)
    return PlanOptions(gpus, nodes, _read_price(price), processes, accelerate_config, mean_tokens)


def _read_price(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        price = float(text)
    except ValueError:
        price = -1.0
    if not 0 <= price < float("inf"):
        requirement = "must be the price of a GPU for an hour"
        raise UserError("--price", text, requirement, "write a number, such as 2.5")
    return price


def read_likes(words: Sequence[str]) -> dict[str, str]:
    """Return the models of --like by the paths for which they stand. Raises UserError for a word without both."""
    likes = {}
    for word in words:
        path, equals_sign, model = word.partition("=")
        if not (path and equals_sign and model):
            action = "write for example --like runs/base=Qwen/Qwen2.5-0.5B"
            raise UserError("--like", word, "must be PATH=MODEL", action)
        likes[path] = model
    return likes


def print_plan(words: Sequence[str], options: PlanOptions, likes: dict[str, str], fits: bool) -> int:
    """Print the plan of a recipe or a script on stdout, and return the exit code.

    Raises UserError for words that name neither, and for all that is wrong with a recipe.
    """
    if not words:
        requirement = "a plan needs a recipe or a script"
        raise UserError("RECIPE", UNSET, requirement, "write r1kit plan recipe.yaml, or r1kit plan bash run.sh")
    if words[0] == BASH:
        return _print_chain(words[1:], options, likes, fits)
    stage, recipe_words = _split_stage(words)
    recipe = _read_recipe(stage, recipe_words)
    lookup = _lookup_beside(recipe_words, likes)
    if fits:
        plan, changes = fit_plan(stage, recipe, options, lookup)
        _add_changes(plan, stage, recipe, options, lookup)
        print_result(format_plan(plan))
        if plan.fits:
            print_result(f"fit: {changes}" if changes else "fit: nothing to change")
        return EXIT_DONE
    plan = plan_stage(stage, recipe, options, lookup)
    _add_changes(plan, stage, recipe, options, lookup)
    print_result(format_plan(plan))
    return EXIT_DONE


def _split_stage(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return the stage and what follows its name; without a name, the stage of the recipe's file."""
    if words[0] in STAGES:
        return words[0], list(words[1:])
    first = words[0]
    if not Path(first).suffix and not Path(first).exists() and "=" not in first:
        raise UserError("STAGE", first, "no such stage or file", suggest(first, STAGES))
    return choose_stage(first), list(words)


def _read_recipe(stage: str, words: Sequence[str], options: StageOptions = StageOptions()) -> Recipe:
    level = logger.level
    logger.setLevel(logging.WARNING)  # notes on prompts are for a run
    try:
        return read_stage_recipe(STAGES[stage], words, options, load_models=False)[0]
    finally:
        logger.setLevel(level)


def _lookup_beside(words: Sequence[str], likes: dict[str, str]) -> Lookup:
    """Return a lookup that knows the recipes in the folder of the one that the words begin with."""
    folder = Path(words[0]).parent if words and "=" not in words[0] else None
    return Lookup(folder=folder, likes=likes)


def _add_changes(plan: StagePlan, stage: str, recipe: Recipe, options: PlanOptions, lookup: Lookup) -> None:
    """Add to a plan that does not fit what would make it fit."""
    if not plan.fits:
        notes = list(plan.notes)
        plan.changes = find_changes(stage, recipe, options, lookup)
        plan.notes = notes


def _print_chain(words: Sequence[str], options: PlanOptions, likes: dict[str, str], fits: bool) -> int:
    if not words:
        raise UserError("script", UNSET, "`plan bash` needs a script", "write r1kit plan bash recipes/tiny/run.sh")
    if fits:
        raise UserError("--fit", UNSET, "chooses the settings of one recipe", "plan the stages one by one")
    plans, code = chain.run_script(words, options, likes)
    if plans:
        print_result(format_chain(plans))
        for plan in plans:
            for change in plan.changes[:1]:
                print_result(f"{plan.stage} {plan.name} does not fit; the smallest change: {change}")
        notes = dict.fromkeys(note for plan in plans for note in plan.notes)
        for note in notes:
            print_result(f"note: {note}")
    if code:
        logger.error(f"the script ended with exit code {code} after {len(plans)} planned stages")
        return EXIT_USER
    if not plans:
        raise UserError("script", words[0], "runs no stage of r1kit", "name a script such as recipes/tiny/run.sh")
    return EXIT_DONE


def plan_in_script(
    stage: str, words: Sequence[str], options: StageOptions, processes: int | None, accelerate_config: str | None
) -> None:
    """Plan a stage of a script that is planned: leave the plan with the others, and print the path of the run."""
    folder = chain.plan_folder()
    assert folder is not None
    recipe = _read_recipe(stage, words, options)
    plan_options, likes = chain.read_options(folder)
    plan_options = PlanOptions(
        gpus=plan_options.gpus,
        nodes=plan_options.nodes,
        price=plan_options.price,
        processes=processes or plan_options.processes,
        accelerate_config=accelerate_config or plan_options.accelerate_config,
        mean_tokens=plan_options.mean_tokens,
    )
    lookup = _lookup_beside(words, likes)
    lookup.outputs = chain.planned_outputs(folder)
    plan = plan_stage(stage, recipe, plan_options, lookup)
    _add_changes(plan, stage, recipe, plan_options, lookup)
    chain.write_plan(folder, plan)
    print_result(recipe.output or stage)


def skip_in_script(words: Sequence[str]) -> None:
    """Print what a command that is no stage would have written, and do nothing: the path after -o or --output."""
    for position, word in enumerate(words):
        if word in ("-o", "--output") and position + 1 < len(words):
            print_result(words[position + 1])
        elif word.startswith("--output="):
            print_result(word.partition("=")[2])
