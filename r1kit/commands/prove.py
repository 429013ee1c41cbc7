"""`r1kit prove RECIPE`: show in a minute or two that a training does what it says, before days are spent on it.

    r1kit prove recipes/tiny/rl_zero.yaml
    r1kit prove rl runs/r1                  the recipe of a run

Everything is done on a small random model of the recipe's architecture, in OUTPUT.prove: r1kit/prove/__init__.py says
how. A second proof replaces the first.
"""

import importlib
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from r1kit.errors import UNSET, UserError
from r1kit.heavy_imports import heavy_imports
from r1kit.launch import prepare_process, print_notes
from r1kit.messages import is_quiet, set_verbosity, stdout_to_stderr
from r1kit.models.prompt_choice import choose_prompts
from r1kit.plan.lookup import find_recipe
from r1kit.plan.stage_choice import stage_in_scripts
from r1kit.prompts import AUTO_TEMPLATE
from r1kit.recipe import PromptConfig, Recipe, command_module, load_recipe
from r1kit.runs.run import Run, installed_versions
from r1kit.stage_words import StageOptions, read_stage_recipe
from r1kit.stages import STAGES, Stage

OUTPUT_SUFFIX = ".prove"
LONGEST_CHAIN = 10
"""Most recipes that are followed from a run to the model that it is made of."""
_TRAINING_STAGES = ("sft", "distill", "rl-zero", "rl")
_PROVED_STAGES = (*_TRAINING_STAGES, "generate", "eval", "verifier", "data")
"""Stages that are proved; in this order a recipe's own is looked for."""


def prove_recipe(words: Sequence[str], output: str | None, device: str | None, verbose: bool) -> int:
    """Prove a recipe, print the table of findings, write prove.json, and return the exit code.

    `words` are an optional stage, the recipe's file or a run, and `key=value`. `device` is cpu, cuda or None for what
    there is. Raises UserError for a wrong recipe and for a folder that is no proof.
    """
    stage, words = _read_words(words)
    recipe, notes = read_stage_recipe(stage, words, StageOptions(), load_models=False)
    folder = Path(output or f"{recipe.output}{OUTPUT_SUFFIX}")
    _choose_device(device)
    prepare_process(stage.name)
    if not verbose:
        set_verbosity(quiet=True)
    _empty_folder(folder)
    started = time.time()
    recipe, model_notes = _find_models(recipe, Path(words[0]).parent)
    notes = [*notes, *model_notes]
    with stdout_to_stderr():
        findings, notes, facts = _prove(stage.name, recipe, folder, notes)
    from r1kit.prove.table import exit_code, format_findings, write_proof

    versions = installed_versions()
    write_proof(
        findings,
        folder,
        stage=stage.name,
        **facts,
        notes=notes,
        seconds=round(time.time() - started),
        versions=versions,
    )
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print(format_findings(findings, width))
    print(f"{_summarise(findings)}; {folder / 'prove.json'}")
    return exit_code(findings)


def _prove(stage: str, recipe: Recipe, folder: Path, notes: list[str]) -> tuple[list[Any], list[str], dict[str, Any]]:
    """Return the findings, notes on what was replaced, and facts about the model."""
    with heavy_imports():
        import torch
        from transformers.utils import logging

        from r1kit.prove.asking import prove_asking
        from r1kit.prove.checks import prove_training
        from r1kit.prove.subject import make_asking_subject, make_subject

    logging.disable_progress_bar()
    trains = stage in _TRAINING_STAGES
    subject = make_subject(recipe, folder) if trains else make_asking_subject(recipe, folder)  # type: ignore[arg-type]
    subject.recipe, prompt_notes = choose_prompts(subject.recipe)
    notes = [*notes, *subject.notes, *prompt_notes]
    quiet = is_quiet()
    set_verbosity()
    print_notes(notes)
    set_verbosity(quiet=quiet)
    if trains:
        module = importlib.import_module(command_module(stage, subject.recipe))
        findings = prove_training(stage, subject, folder, module.plan_training)
    else:
        findings = prove_asking(subject)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return findings, notes, {"recipe": recipe.output, "model": recipe.model.path, "device": device}


def _find_models(recipe: Any, folder: Path) -> tuple[Any, list[str]]:
    """Return the recipe with existing models in the place of runs that the recipes in `folder` have yet to make."""
    notes: list[str] = []
    changes: dict[str, Any] = {}
    for name in ("model", "teacher"):
        block = getattr(recipe, name, None)
        if block is None or not block.path:
            continue
        path, last_recipe = block.path, None
        for _ in range(LONGEST_CHAIN):
            values = None if (Path(path) / "model").exists() else find_recipe(path, folder)
            next_path = (values or {}).get("model", {}).get("path")
            if not next_path:
                break
            last_recipe = last_recipe or values
            path = str(next_path)
        if last_recipe is None:
            continue
        changes[name] = block.model_copy(update={"path": path})
        notes.append(f"{name}.path = {block.path} is not there yet; the recipes beside this one make it of {path}")
        if name == "model" and recipe.prompt.template == AUTO_TEMPLATE and last_recipe.get("prompt"):
            changes["prompt"] = PromptConfig(**last_recipe["prompt"])
    return recipe.model_copy(update=changes), notes


def _summarise(findings: Sequence[Any]) -> str:
    counts = dict.fromkeys(("holds", "fails", "left out"), 0)
    for finding in findings:
        counts[finding.verdict] += 1
    parts = [f"{counts['holds']} of {len(findings)} checks hold"]
    if counts["fails"]:
        parts.append(f"{counts['fails']} fail")
    if counts["left out"]:
        parts.append(f"{counts['left out']} could not be made here")
    return ", ".join(parts)


def _empty_folder(folder: Path) -> None:
    """Make the folder anew. Raises UserError where it holds something else than a proof."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "prove.json").exists():
        requirement = "is no proof of r1kit, and prove writes here"
        raise UserError("--output", folder, requirement, "move it, or use another folder")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
        (folder / "prove.json").write_text("{}\n")  # marks the folder of a proof that is not finished
    except OSError as error:
        requirement = f"must be a folder that can be written: {(error.strerror or str(error)).lower()}"
        raise UserError("--output", folder, requirement, "use another folder") from None


def _choose_device(device: str | None) -> None:
    """Hide GPUs for `cpu`; raise UserError for `cuda` where there is none."""
    if device not in (None, "cpu", "cuda"):
        raise UserError("--on", device, "must be cpu or cuda", "use one of the two")
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    elif device == "cuda":
        with heavy_imports():
            import torch
        if not torch.cuda.is_available():
            raise UserError("--on", device, "there is no GPU", "use --on cpu")


# Which stage a recipe is for


def _read_words(words: Sequence[str]) -> tuple[Stage, list[str]]:
    """Return the stage, and the recipe's file with the words after it."""
    rest = list(words)
    stage_name = rest.pop(0) if rest and rest[0] in STAGES else None
    if not rest:
        raise UserError("RECIPE", UNSET, "prove needs a recipe", "name its file: r1kit prove recipe.yaml")
    run_dir = Path(rest[0])
    if (run_dir / "run.json").exists():
        stage_name = stage_name or str(Run(run_dir).info.get("stage"))
        rest[0] = str(run_dir / "recipe.yaml")
    stage_name = stage_name or stage_in_scripts(Path(rest[0])) or find_stage(rest[0])
    if stage_name not in _PROVED_STAGES:
        action = f"use a recipe of {', '.join(_PROVED_STAGES)}"
        raise UserError("stage", stage_name, "trains no model on rows or by rewards, which prove checks", action)
    return STAGES[stage_name], rest


def find_stage(file: str) -> str:
    """Return the stage whose recipe a file is. Raises UserError where it is none's, or two's with other defaults."""
    matching: dict[str, Recipe] = {}
    first_error: UserError | None = None
    for name in _PROVED_STAGES:
        try:
            matching[name] = load_recipe(name, file, {})
        except UserError as error:
            first_error = first_error or error
    if not matching:
        assert first_error is not None
        raise first_error
    if "sft" in matching:
        return "sft"
    names = list(matching)
    recipes = list(matching.values())
    if len(names) > 1 and any(recipe.model_dump() != recipes[0].model_dump() for recipe in recipes):
        requirement = f"is a recipe of {' and of '.join(names)}, whose defaults differ"
        raise UserError("recipe", file, requirement, f"name the stage: r1kit prove {names[0]} {file}")
    return names[0]
