"""Describe in a few words what came of a run: its steps, loss and reward, its rows, or the accuracy that it measured.

    describe_result(Run(Path("runs/tiny/r1_zero")))     "60 steps, reward 1.97, accuracy 0.98"
    describe_result(Run(Path("runs/tiny/facts_data")))  "302 rows of 328 samples"

`r1kit runs` and the report show these words; what a stage prints at its end is in r1kit.runs.ending.
"""

import os
from pathlib import Path
from typing import Any

from r1kit.runs.reading import describe_damage, parse_json_lines, read_json_object, read_run_info, warn_of_damage
from r1kit.runs.run import Run

# Enough for the last lines of metrics.jsonl, each of which has one to three thousand bytes.
_TAIL_BYTES = 64 * 1024

# Benchmarks of which each has its figure in the words on a run.
_DESCRIBED_BENCHMARKS = 4

WRONG_VALUES = (TypeError, ValueError, KeyError, AttributeError, OverflowError)
"""What code raises on values of other types than r1kit writes."""


def describe_result(run: Run) -> str:
    """Return what came of a run so far in a few words, or "" if nothing has or its files are damaged."""
    try:
        return _describe_result(run)
    except WRONG_VALUES as error:
        warn_of_damage(run.path, f"its result cannot be read: {describe_damage(error)}")
        return ""


def _describe_result(run: Run) -> str:
    info = read_run_info(run.path)
    if (run.path / "eval.json").exists():
        return _describe_evaluation(run.path / "eval.json")
    if (run.path / "verifier.json").exists():
        return _describe_verifier(run.path / "verifier.json")
    if (run.path / "reward_model.json").exists():
        return _describe_reward_model(run.path / "reward_model.json")
    if "rows" in info:
        samples = f" of {info['samples']:,} samples" if info.get("samples") else ""
        return f"{info['rows']:,} rows{samples}"
    return _describe_training(last_metrics(run.metrics_file))


def _describe_training(metrics: dict[str, Any]) -> str:
    """Return the length of a training and its last loss or reward."""
    words = []
    # A reward is null where no completion of the step had a verdict.
    if "reward" in metrics and metrics["reward"] is None:
        words.append(f"{metrics['step']} steps, no verdict in the last")
    elif "reward" in metrics:
        words.append(f"{metrics['step']} steps, reward {metrics['reward']:.2f}")
        if metrics.get("rewards/accuracy/mean") is not None:
            words.append(f"accuracy {metrics['rewards/accuracy/mean']:.2f}")
    elif "loss" in metrics:
        epochs = f"{metrics.get('epoch', 0):.3g}"
        unit = "epoch" if epochs == "1" else "epochs"
        words.append(f"{metrics['step']} steps, {epochs} {unit}, loss {metrics['loss']:.3g}")
    if "eval_loss" in metrics:
        words.append(f"held-out loss {metrics['eval_loss']:.3g}")
    return ", ".join(words)


def last_metrics(file: Path) -> dict[str, Any]:
    """Return the newest value of each metric that stands in the last lines of a metrics.jsonl; {} without a file."""
    try:
        with open(file, "rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - _TAIL_BYTES))
            text = stream.read().decode(errors="replace")
    except OSError:
        return {}
    metrics: dict[str, Any] = {}
    for values in parse_json_lines(text, file, is_tail=True):
        metrics |= values
    return metrics


def _describe_evaluation(file: Path) -> str:
    """Return the pass@1 of the model of an eval.json, or of the best of its models."""
    content = read_json_object(file)
    if content.get("suite"):
        return describe_suite(content["suite"])
    models = content.get("models")
    if not isinstance(models, list):
        return ""
    scored = [(row["statistics"]["pass@1"], str(row.get("model"))) for row in models if _has_pass_rate(row)]
    if not scored:
        return ""
    best_rate, best_model = max(scored)
    if len(models) == 1:
        return f"pass@1 {best_rate:.3f}"
    return f"{len(models)} models, best {best_model}: pass@1 {best_rate:.3f}"


def describe_suite(figures: list[dict[str, Any]]) -> str:
    """Return the first figure of each benchmark in percent, or of many benchmarks how many they are."""
    models = {f"{figure['model']} {figure['program']}" for figure in figures}
    headlines: dict[str, str] = {}
    for figure in figures:
        if figure["score"] is not None:
            headlines.setdefault(str(figure["benchmark"]), f"{figure['benchmark']} {100 * figure['score']:.1f}")
    if len(models) > 1 or len(headlines) > _DESCRIBED_BENCHMARKS:
        benchmarks = "1 benchmark" if len(headlines) == 1 else f"{len(headlines)} benchmarks"
        return f"{benchmarks}, {len(models)} models" if len(models) > 1 else benchmarks
    return ", ".join(headlines.values())


def _has_pass_rate(row: Any) -> bool:
    statistics = row.get("statistics") if isinstance(row, dict) else None
    return isinstance(statistics, dict) and isinstance(statistics.get("pass@1"), int | float)


def _describe_reward_model(file: Path) -> str:
    """Return how many held-out pairs the reward model of a reward_model.json orders rightly."""
    measures = read_json_object(file)
    accuracy = measures.get("accuracy")
    if accuracy is not None:
        return f"{accuracy:.1%} of {measures['held_out_pairs']:,} held-out pairs ordered rightly"
    return f"{measures.get('trained_pairs', 0):,} pairs"


def _describe_verifier(file: Path) -> str:
    """Return how well the verifier of a verifier.json tells right from wrong completions."""
    metadata = read_json_object(file)
    auroc = metadata.get("measures", {}).get("head2toe", {}).get("auroc")
    if auroc is not None:
        return f"held-out AUROC {auroc:.3f}"
    return f"{metadata.get('samples', 0):,} samples"
