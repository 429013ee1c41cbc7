"""What R1-Zero learns in the countdown world, beside every control that could explain it away.

    python benchmarks/countdown.py --seeds 0 1 2 3 4        (about 15 minutes a seed on 2 cores)

Rows of the table, each with the temperature, and with the prefill `<think>` or without it, that is best on the split
`dev`; accuracies are those on `test`:

    base                    no training; as it is, and made to think
    more steps of SFT       the base after as many steps of SFT on its own right answers (rejection sampling)
    RL on a coin            R1-Zero's recipe, but a coin pays in the place of the accuracy
    R1-Zero                 recipes/countdown/rl_zero.yaml

The second table has the means of R1-Zero's training over its steps. Both go between the marks in
recipes/countdown/README.md. Runs that are there already are not made again.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RECIPES = ROOT / "recipes/countdown"
FILE = RECIPES / "README.md"
TEMPERATURES = (0.0, 0.3, 0.6, 1.0, 1.2)
THINK = "<think>"
DOMAINS = {"countdown": "3 or 4 numbers", "countdown_long": "5 numbers"}
STEPS_IN_ROW = 25  # of the table of curves
RESAMPLES = 2000  # of the bootstrap

# 3 - 9 = -6 + 20 = 15 wait 14: the first number, and steps with their results, some of them corrected.
_TRY = re.compile(r"((?:- )?\d+)((?: [-+] \d+ = -?\d+(?: (?:wait|صبر) -?\d+)?)+)")
_STEP = re.compile(r" ([-+]) (\d+) = (-?\d+)(?: (?:wait|صبر) (-?\d+))?")
_WORDS = {"en": re.compile(r"[a-z]+"), "fa": re.compile(r"[\u0600-\u06ff]+")}

_coin = random.Random(0)


def coin(completions: Sequence[Any], **columns: Any) -> list[float]:
    """Pay 1.0 or 0.0, whatever the completion: the reward of the control."""
    return [float(_coin.random() < 0.5) for _ in completions]


def r1kit(stage: str, recipe: str, output: Path, *overrides: str) -> Path:
    """Run a stage and return its run directory."""
    command = [sys.executable, "-m", "r1kit.cli", "-q", stage, str(RECIPES / f"{recipe}.yaml"), f"output={output}"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    subprocess.run([*command, *overrides], check=True, stdout=subprocess.DEVNULL, env=environment)
    return output


def train(base: str, out: Path, seed: int, steps: int) -> dict[str, Path]:
    """Train R1-Zero and its trained controls of one seed; return their run directories."""
    common = [f"model.path={base}", f"seed={seed}", f"training.steps={steps}"]
    coin_rewards = "rewards=[{name: countdown.coin}, {name: format}]"
    own_rows = r1kit("generate", "own_rows", out / "own_rows", f"model.path={base}", f"seed={seed}")
    return {
        "R1-Zero": r1kit("rl-zero", "rl_zero", out / "r1_zero", *common),
        "RL on a coin": r1kit("rl-zero", "rl_zero", out / "coin", *common, coin_rewards),
        "more steps of SFT": r1kit("sft", "own_sft", out / "own_sft", *common, f"data.train={own_rows}"),
    }


# Evaluation


def sample(models: dict[str, tuple[str, str]], out: Path, split: str, temperature: float) -> dict[str, list[dict]]:
    """Return the sampled rows of each model, by its name; a model is its path and its prefill."""
    import pyarrow.parquet as pq

    blocks = []
    for name, (path, prefill) in models.items():
        blocks.append(f'"{name}": {{path: "{path}", prompt: {{template: tiny, prefill: "{prefill}"}}}}')
    run = out / f"{split}-{temperature:g}"
    splits = [f"data.eval.{index}.split={split}" for index in range(len(DOMAINS))]
    settings = [f"models={{{', '.join(blocks)}}}", f"sampling.temperature={temperature}", "seed=0"]
    r1kit("eval", "eval", run, *splits, *settings)
    rows = {}
    for name in models:
        folder = run / "samples" / re.sub(r"[^\w.-]", "_", name)
        files = sorted(folder.rglob("*.parquet"))
        rows[name] = [row for file in files for row in pq.read_table(file).to_pylist()]
    return rows


def accuracy_of(rows: Sequence[dict], domain: str) -> float:
    """Return the share of right answers to the questions of a domain."""
    verdicts = [bool(row["correct"]) for row in rows if row["domain"] == domain]
    return sum(verdicts) / len(verdicts)


def describe_searches(rows: Sequence[dict]) -> dict[str, float]:
    """Return the means over chains of thought: tries, repeated tries, slips, words of the question's language."""
    from r1kit.answers.extract import parse_completion
    from r1kit.languages.reflection import count_reflection_words

    tries = repeats = steps = slips = noticed = own_words = words = 0
    for row in rows:
        chain = parse_completion(row["completion"]).thinking or ""
        expressions = []
        for first_number, rest in _TRY.findall(chain):
            expression, result = first_number, int(first_number.replace(" ", ""))
            for sign, number, written_result, correction in _STEP.findall(rest):
                expression += sign + number
                right_result = result + int(sign + number)
                result = int(correction or written_result)
                steps += 1
                slips += int(written_result) != right_result
                noticed += int(written_result) != right_result == result
            expressions.append(expression)
        tries += len(expressions)
        repeats += len(expressions) - len(set(expressions))
        counts = {language: len(pattern.findall(chain)) for language, pattern in _WORDS.items()}
        own_words += counts[row["target_language"]]
        words += sum(counts.values())
    reflection = sum(count_reflection_words(row["completion"]) for row in rows)
    return {
        "tokens": sum(row["tokens"] for row in rows) / len(rows),
        "tries": tries / len(rows),
        "repeated": repeats / max(1, tries),
        "slips": slips / max(1, steps),
        "noticed": noticed / max(1, slips),
        "own language": own_words / max(1, words),
        "reflection": reflection / len(rows),
        "format": sum(row["format"] for row in rows) / len(rows),
    }


def settings_of(name: str, path: str) -> dict[str, tuple[str, str]]:
    """Return a model as it is, and made to think; R1-Zero thinks by itself."""
    settings = {name: (path, "")}
    if not name.startswith("R1-Zero"):
        settings[f"{name}, made to think"] = (path, THINK)
    return settings


def evaluate(models: dict[str, tuple[str, str]], out: Path) -> dict[str, dict[str, Any]]:
    """Return for each model its best temperature on dev, and its rows of test at that temperature and at 0."""
    on_dev = {temperature: sample(models, out, "dev", temperature) for temperature in TEMPERATURES}
    best = {}
    for name in models:
        accuracies = {t: accuracy_of(on_dev[t][name], "countdown") for t in TEMPERATURES}
        best[name] = max(accuracies, key=accuracies.__getitem__)
    on_test: dict[float, dict[str, list[dict]]] = {}
    for temperature in {0.0, *best.values()}:
        chosen = {name: block for name, block in models.items() if temperature in (0.0, best[name])}
        on_test[temperature] = sample(chosen, out, "test", temperature)
    results = {}
    for name in models:
        dev_accuracy = accuracy_of(on_dev[best[name]][name], "countdown")
        rows, greedy_rows = on_test[best[name]][name], on_test[0.0][name]
        results[name] = {"temperature": best[name], "dev": dev_accuracy, "rows": rows, "greedy": greedy_rows}
    return results


# Tables


def interval_of_difference(ours: Sequence[Sequence[dict]], control: Sequence[Sequence[dict]], domain: str) -> str:
    """Return the difference in accuracy, in points, with its 95% interval over seeds and problems (bootstrap).

    `ours` and `control` have the rows of each seed; a control without seeds has one.
    """
    import numpy as np

    def verdicts(seeds: Sequence[Sequence[dict]]) -> "np.ndarray":  # (seeds, problems)
        by_seed = []
        for rows in seeds:
            correct = {row["id"]: float(row["correct"]) for row in rows if row["domain"] == domain}
            by_seed.append([correct[key] for key in sorted(correct)])
        return np.array(by_seed)

    first, second = verdicts(ours), verdicts(control)
    generator = np.random.default_rng(0)
    differences = []
    for _ in range(RESAMPLES):
        problems = generator.integers(first.shape[1], size=first.shape[1])
        means = []
        for array in (first, second):
            seeds = generator.integers(len(array), size=len(array))
            means.append(array[np.ix_(seeds, problems)].mean())
        differences.append(100 * (means[0] - means[1]))
    low, high = np.percentile(differences, [2.5, 97.5])
    return f"{100 * (first.mean() - second.mean()):.1f} ({low:.1f} to {high:.1f})"


def figure(values: Sequence[float], scale: float = 100.0, digits: int = 1) -> str:
    """Return "mean (least-greatest)" of the seeds' values; of one seed, or of equal values, the value."""
    scaled = [scale * value for value in values]
    mean = f"{sum(scaled) / len(scaled):.{digits}f}"
    if max(scaled) - min(scaled) < 10**-digits / 2:
        return mean
    return f"{mean} ({min(scaled):.{digits}f}-{max(scaled):.{digits}f})"


def table_of_models(results: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Return the lines of the first table; `results` has the seeds' results of each row."""
    titles = ["model", "T", *DOMAINS.values(), "at T 0", "tokens", "tries", "slips", "reflection words", "own language"]
    lines = [f"| {' | '.join(titles)} |", "|" + " --- |" * len(titles)]
    for name, seeds in results.items():
        searches = [describe_searches(seed["rows"]) for seed in seeds]
        cells = [name, ", ".join(sorted({f"{seed['temperature']:g}" for seed in seeds}))]
        cells += [figure([accuracy_of(seed["rows"], domain) for seed in seeds]) for domain in DOMAINS]
        cells.append(figure([accuracy_of(seed["greedy"], "countdown") for seed in seeds]))
        cells += [figure([search[key] for search in searches], scale=1) for key in ("tokens", "tries")]
        cells.append(figure([search["slips"] for search in searches]))
        cells.append(figure([search["reflection"] for search in searches], scale=1, digits=2))
        cells.append(figure([search["own language"] for search in searches]))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def table_of_curves(runs: Sequence[Path]) -> list[str]:
    """Return the lines of the second table: means over windows of steps, over the seeds."""
    columns = {
        "accuracy": ("rewards/accuracy/mean", 100, 1),
        "format": ("rewards/format/mean", 100, 1),
        "tokens": ("completions/mean_length", 1, 1),
        "cut off": ("completions/clipped_ratio", 100, 1),
        "reflection words": ("completions/reflection_words", 1, 2),
        "entropy": ("entropy", 1, 2),
    }
    windows: dict[int, dict[str, list[list[float]]]] = {}
    for index, run in enumerate(runs):
        for line in (run / "metrics.jsonl").read_text().splitlines():
            entry = json.loads(line)
            if "rewards/accuracy/mean" not in entry:
                continue
            window = windows.setdefault((entry["step"] - 1) // STEPS_IN_ROW, {})
            for title, (key, _, _) in columns.items():
                window.setdefault(title, [[] for _ in runs])[index].append(entry[key])
    lines = [f"| steps | {' | '.join(columns)} |", "|" + " --- |" * (1 + len(columns))]
    for number, window in sorted(windows.items()):
        cells = [f"{number * STEPS_IN_ROW + 1}-{(number + 1) * STEPS_IN_ROW}"]
        for title, (_, scale, digits) in columns.items():
            cells.append(figure([sum(values) / len(values) for values in window[title] if values], scale, digits))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def markdown(results: dict[str, list[dict[str, Any]]], runs: Sequence[Path], seeds: Sequence[int]) -> str:
    """Return both tables with their notes."""
    untrained = {name: rows for name, rows in results.items() if name.startswith("base")}
    best_control = max(untrained, key=lambda name: untrained[name][0]["dev"])
    differences = []
    for domain, title in DOMAINS.items():
        ours = [seed["rows"] for seed in results["R1-Zero"]]
        control = [seed["rows"] for seed in untrained[best_control]]
        differences.append(f"{title}: {interval_of_difference(ours, control, domain)}")
    counts = [sum(row["domain"] == domain for row in results["R1-Zero"][0]["rows"]) for domain in DOMAINS]
    note = (
        f"{len(seeds)} training seed(s) from one base: mean (least-greatest). Right answers in percent, to "
        f"{counts[0]} and {counts[1]} held-out problems; T was chosen on 500 others. Slips: of the steps. R1-Zero "
        f"above the best untrained control ({best_control}), in points, with 95% intervals over seeds and problems: "
        f"{'; '.join(differences)}. Made by `python benchmarks/countdown.py`."
    )
    curves = "R1-Zero's own samples of the training problems, at T 1:"
    return "\n".join([*table_of_models(results), "", note, "", curves, "", *table_of_curves(runs)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--base", default="runs/countdown/base", help="what recipes/countdown/base.yaml made")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--output", type=Path, default=Path("runs/countdown_controls"))
    options = parser.parse_args()
    runs = {seed: train(options.base, options.output / str(seed), seed, options.steps) for seed in options.seeds}
    results: dict[str, list[dict[str, Any]]] = {}
    untrained = evaluate(settings_of("base", options.base), options.output / "eval_base")
    results |= {name: [result] for name, result in untrained.items()}
    for seed in options.seeds:
        models: dict[str, tuple[str, str]] = {}
        for name, run in runs[seed].items():
            models |= settings_of(name, str(run))
        for name, result in evaluate(models, options.output / str(seed) / "eval").items():
            results.setdefault(name, []).append(result)
    zero_runs = [runs[seed]["R1-Zero"] for seed in options.seeds]
    table = markdown(results, zero_runs, options.seeds)
    print(table)
    text = FILE.read_text()
    head, _, rest = text.partition("<!-- controls -->")
    tail = rest.partition("<!-- /controls -->")[2]
    FILE.write_text(f"{head}<!-- controls -->\n\n{table}\n\n<!-- /controls -->{tail}")


if __name__ == "__main__":
    main()
