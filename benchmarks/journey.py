"""Journey rows against shortcut rows over several seeds: runs recipes/journey/run.sh for each.

    python benchmarks/journey.py [--seeds 0 1 2]        (two to three minutes a seed on 2 cores)

Prints a table with a line for each kind of rows: the accuracy and the tokens an answer of a student trained on them, on
held-out arithmetic (mean over the seeds, smallest and greatest value), and how many rows and tokens it was trained on.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "benchmarks"))
from helpers import read_data, read_metrics  # noqa: E402
from ladder import figure, with_r1kit  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", default="runs/journey-seeds")
    options = parser.parse_args()
    models_of: dict[str, list[dict]] = {"journeys": [], "shortcuts": []}
    for seed in options.seeds:
        out = Path(options.output) / str(seed)
        subprocess.run(
            ["bash", str(ROOT / "recipes/journey/run.sh"), str(out), str(seed)], check=True, env=with_r1kit()
        )
        rows = len(read_data(out / "journeys/data"))
        for model in json.loads((out / "eval/eval.json").read_text())["models"]:
            training_metrics = read_metrics(out / f"on_{model['model']}")
            tokens_seen = max(line.get("num_tokens", 0) for line in training_metrics)
            steps = max(line.get("step", 0) for line in training_metrics)
            models_of[model["model"]].append({**model, "rows": rows, "seen": tokens_seen, "steps": steps})
    print("\n| trained on | rows | steps | tokens trained on | accuracy | tokens an answer |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, runs in models_of.items():
        accuracy = figure([run["accuracy"]["arithmetic"] for run in runs])
        tokens = figure([run["tokens"] for run in runs], percent=False)
        counts = [f"{sum(run[key] for run in runs) / len(runs):.0f}" for key in ("rows", "steps", "seen")]
        print(f"| {name} | {' | '.join(counts)} | {accuracy} | {tokens} |")


if __name__ == "__main__":
    main()
