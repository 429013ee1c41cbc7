"""What a stage says on stderr at its end: what came of it, where it is, and what to type next.

    done: rl-zero, 60 steps in 74 s: reward 0.66 to 1.97, accuracy 0.46 to 0.98, length 12 to 27 tokens, 211,200 tokens
    model: runs/tiny/r1_zero/model
    next: r1kit chat runs/tiny/r1_zero, or r1kit report runs/tiny/r1_zero, or r1kit generate --model ...

An interrupted stage says how far it came, and that the same command goes on. Nothing here may end a stage that has done
its work: a file that cannot be read leaves its words out.
"""

import contextlib
import json
import math
from pathlib import Path
from typing import Any

import yaml

from r1kit.errors import UserError
from r1kit.messages import logger, print_progress
from r1kit.recipe import EvalRecipe, GenerateRecipe, Recipe, VerifierRecipe, parse_recipe
from r1kit.runs.next_commands import next_commands
from r1kit.runs.paths import RUN_PRODUCTS
from r1kit.runs.reading import parse_json_lines, read_json_object, read_run_info
from r1kit.runs.results import WRONG_VALUES, describe_result, describe_suite, last_metrics
from r1kit.runs.run import Run
from r1kit.tables import format_duration

# Enough for the first lines of metrics.jsonl, each of which has one to three thousand bytes.
_HEAD_BYTES = 64 * 1024
# The metrics of a training whose first and last values are shown, each with the word for it and its digits.
_TRAINING_METRICS = (
    ("reward", "reward", 2),
    ("rewards/accuracy/mean", "accuracy", 2),
    ("completions/mean_length", "length", 0),
)


def print_finished(run: Run, earlier: bool = False) -> None:
    """Print the three lines that end a stage on stderr: what came of it, where it is, and what to type next.

    `earlier` says that the run had been finished before, so that nothing was done now.
    """
    info = read_run_info(run.path)
    verb = "done already" if earlier else "done"
    stage = info.get("stage") or "run"
    facts = [fact for fact in (_count_work(run), f"in {format_duration(info.get('seconds') or 0)}") if fact]
    outcome = describe_outcome(run)
    print_progress(f"{verb}: {stage}, {' '.join(facts)}{': ' if outcome else ''}{outcome}")
    product = find_product(run)
    label = Path(product).stem or "run"
    print_progress(f"{label}: {run.path / product}")
    if info.get("smoke"):
        print_progress("next: the same command without --smoke, which makes the run itself")
        return
    commands: list[str] = []
    with contextlib.suppress(*WRONG_VALUES):
        commands = next_commands(run, _read_recipe(run))
    if commands:
        print_progress(f"next: {', or '.join(commands)}")


def print_interrupted(run: Run) -> None:
    """Print on stderr how far an interrupted stage came, and that the same command goes on."""
    info = read_run_info(run.path)
    stage = info.get("stage") or "run"
    ending = f"{stage} was interrupted {describe_progress(run)}"
    if info.get("smoke"):
        logger.info(f"{ending}; a smoke run begins anew each time")
    else:
        logger.info(f"{ending}; {run.path} is saved, and the same command goes on from there")


def find_product(run: Run) -> str:
    """Return the name of the file or folder in which a run has its result, "" for a run without one."""
    return next((name for name in RUN_PRODUCTS if (run.path / name).exists()), "")


def _read_recipe(run: Run) -> Recipe | None:
    """Return the recipe of a run, None where it cannot be read."""
    try:
        values = yaml.safe_load((run.path / "recipe.yaml").read_text())
        return parse_recipe(read_run_info(run.path)["stage"], values)
    except (OSError, ValueError, KeyError, RecursionError, yaml.YAMLError, UserError):
        return None


def _count_work(run: Run) -> str:
    """Return how much a stage has done: its steps, rows or samples."""
    info = read_run_info(run.path)
    if isinstance(info.get("rows"), int):
        samples = f" of {info['samples']:,} samples" if isinstance(info.get("samples"), int) else ""
        return f"{info['rows']:,} rows{samples}"
    steps = info.get("steps") or last_metrics(run.metrics_file).get("step")
    return f"{steps:,} steps" if isinstance(steps, int) else ""


def describe_outcome(run: Run) -> str:
    """Return what came of a run as figures of its stage; "" if there are none or its files are damaged."""
    try:
        if (run.path / "eval.json").exists():
            figures = _figures_of_evaluation(run.path / "eval.json")
        elif (run.path / "verifier.json").exists():
            figures = _figures_of_verifier(run.path / "verifier.json")
        elif (run.path / "reward_model.json").exists():
            figures = [describe_result(run), *_figures_of_training(run)]
        elif "rows" in run.info:
            figures = _figures_of_data(run)
        else:
            figures = _figures_of_training(run)
    except WRONG_VALUES:  # r1kit.runs.results warns of it where the run is listed
        return ""
    return ", ".join(figures)


def _figures_of_training(run: Run) -> list[str]:
    """Return the first and the last reward, accuracy and length, or loss, of a training, and its tokens."""
    first, last = _first_metrics(run.metrics_file), last_metrics(run.metrics_file)
    figures = []
    if "reward" in last:
        for metric, name, decimals in _TRAINING_METRICS:
            change = _describe_change(first.get(metric), last.get(metric), f".{decimals}f")
            if change:
                figures.append(f"{name} {change}" + (" tokens" if name == "length" else ""))
        if not figures:
            figures.append("no completion of the last step had a verdict")
    elif "loss" in last:
        figures.append(f"loss {_describe_change(first.get('loss'), last['loss'], '.3g')}")
    if _is_number(last.get("eval_loss")):
        figures.append(f"held-out loss {_describe_change(first.get('eval_loss'), last['eval_loss'], '.3g')}")
    if _is_number(last.get("eval_reward")):
        figures.append(f"held-out reward {_describe_change(first.get('eval_reward'), last['eval_reward'], '.2f')}")
    tokens: Any = run.info.get("tokens") or last.get("num_tokens")
    if _is_number(tokens):
        figures.append(f"{int(tokens):,} tokens")
    return figures


def _describe_change(first: Any, last: Any, digits: str) -> str:
    """Return `0.66 to 1.97`, or one number where both are the same or there is only one; "" without a number."""
    texts = [format(value, digits) for value in (first, last) if _is_number(value)]
    return " to ".join(dict.fromkeys(texts))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _first_metrics(file: Path) -> dict[str, Any]:
    """Return the oldest value of each metric in the first lines of a metrics.jsonl; {} without a file."""
    try:
        with open(file, "rb") as stream:
            text = stream.read(_HEAD_BYTES).decode(errors="replace")
    except OSError:
        return {}
    metrics: dict[str, Any] = {}
    for values in parse_json_lines(text, file):
        for name, value in values.items():
            if _is_number(value):
                metrics.setdefault(name, value)
    return metrics


def _figures_of_data(run: Run) -> list[str]:
    """Return what a set of rows cost, and which filter dropped most of what was sampled."""
    info = run.info
    figures = []
    dropped = read_json_object(run.path / "drops.json").get("dropped")
    if isinstance(dropped, dict) and any(dropped.values()):
        strictest = max(dropped, key=lambda name: dropped[name])
        figures.append(f"most were dropped by {strictest} ({dropped[strictest]:,})")
    if info.get("tokens"):
        figures.append(f"{info['tokens']:,} tokens")
    if info.get("cost"):
        figures.append(f"{info['cost']:.2f} paid")
    return figures


def _figures_of_evaluation(file: Path) -> list[str]:
    """Return pass@1 and length of the model of an eval.json, or of the best of its models."""
    content = read_json_object(file)
    if content.get("suite"):
        return [describe_suite(content["suite"])]
    models = [model for model in content["models"] if _is_number(model["statistics"].get("pass@1"))]
    if not models:
        return ["no sample has a verdict"]
    best = max(models, key=lambda model: model["statistics"]["pass@1"])
    statistics = best["statistics"]
    name = "" if len(models) == 1 else f"{best['model']} is the best of {len(models)} models, "
    if len(models) > 1 and len({model["statistics"]["pass@1"] for model in models}) == 1:
        name = f"none of {len(models)} models differs, "
    rate = f"{name}pass@1 {100 * statistics['pass@1']:.1f}%"
    if _is_number(statistics.get("interval")):
        rate += f" +- {100 * statistics['interval']:.1f}"
    figures = [rate]
    if statistics["samples"] > statistics["questions"] and _is_number(statistics.get("maj@k")):
        figures.append(f"majority vote {100 * statistics['maj@k']:.1f}%")
    figures.append(f"{statistics['samples']:,} samples of {statistics['questions']:,} questions")
    if _is_number(statistics.get("tokens")):
        figures.append(f"length {statistics['tokens']:.0f} tokens")
    return figures


def _figures_of_verifier(file: Path) -> list[str]:
    """Return how well a verifier tells right from wrong completions, and of how many it learnt."""
    metadata = read_json_object(file)
    figures = [f"{metadata['samples']:,} completions, {100 * metadata['right']:.0f}% of them right"]
    auroc = metadata.get("measures", {}).get("head2toe", {}).get("auroc")
    if _is_number(auroc):
        figures.insert(0, f"held-out AUROC {auroc:.3f}")
    return figures


# Interrupted runs


def describe_progress(run: Run, recipe: Recipe | None = None) -> str:
    """Return how far an interrupted stage came: `at step 37 of 60`, `after 3 of 12 batches`, or `before its first`.

    Of several sets of samples, as of several models or benchmarks, it is `after 1 of 3 batches of set 2 of 9`. The
    steps and the sets of the whole run are those of `recipe`, by default the run's own.
    """
    batch_counts = _count_batches(run)
    if batch_counts:
        return _describe_batches(batch_counts, recipe or _read_recipe(run))
    steps = [_step_of(folder) for folder in (run.path / "checkpoints").glob("checkpoint-*")]
    if not steps:
        return "before anything was saved"
    recipe = recipe or _read_recipe(run)
    total_steps = getattr(getattr(recipe, "training", None), "steps", None) or _steps_of_trainer(run, max(steps))
    return f"at step {max(steps):,}" + (f" of {total_steps:,}" if total_steps else "")


def _step_of(checkpoint: Path) -> int:
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0


def _steps_of_trainer(run: Run, step: int) -> int | None:
    """Return the steps of a whole training with epochs, which transformers writes into its checkpoints."""
    state = read_json_object(run.path / "checkpoints" / f"checkpoint-{step}" / "trainer_state.json")
    steps = state.get("max_steps")
    return steps if isinstance(steps, int) and steps > 0 else None


def _count_batches(run: Run) -> list[tuple[int, int]]:
    """Return for each set of samples that a run has begun how many batches are written, and how many it has."""
    counts: list[tuple[int, int]] = []
    for folder in ("samples", "refine", "journey"):
        for manifest in (run.path / folder).rglob("manifest.json"):
            try:
                total = int(json.loads(manifest.read_text())["shards"])
            except (OSError, ValueError, KeyError, TypeError):
                continue
            counts.append((sum(1 for _ in manifest.parent.glob("shard-*.parquet")), total))
    return counts


def _describe_batches(batch_counts: list[tuple[int, int]], recipe: Recipe | None) -> str:
    """Return how many batches are written, and of which set; one set is sampled after the other."""
    sets = max(len(batch_counts), 1 if recipe is None else _count_sets(recipe))
    unfinished = [(written, total) for written, total in batch_counts if written < total]
    finished = len(batch_counts) - len(unfinished)
    if not unfinished and sets > 1:
        return f"after {finished} of {sets} sets of samples"
    written, total = unfinished[0] if unfinished else batch_counts[0]
    batches = f"after {written:,} of {total:,} batches"
    return f"{batches} of set {finished + 1} of {sets}" if sets > 1 else batches


def _count_sets(recipe: Recipe) -> int:
    """Return how many sets of samples a stage makes: of each model and benchmark, and of each way of `scaling`."""
    if isinstance(recipe, GenerateRecipe):
        return 1 + (recipe.refine is not None) + (recipe.journey is not None)
    if isinstance(recipe, VerifierRecipe):
        return 1 + bool(recipe.data.eval)
    if not isinstance(recipe, EvalRecipe):
        return 1
    sets = len(recipe.suite) or 1
    scaling = recipe.scaling
    if scaling is not None:
        sets += (recipe.sampling.temperature > 0) + (scaling.direct > 0)
        sets += len(scaling.search) * len(scaling.paths) + len(scaling.budgets) + scaling.waits
    return sets * (len(recipe.models) or 1)
