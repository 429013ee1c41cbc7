"""The demo's R1-Zero run against stock TRL, as whole commands in turn: wall-clock, and time to 75% accuracy.

    python benchmarks/rl_zero.py [--seeds 0 1 2] [--processes 1] [--folder runs/benchmark]

Stock is `training.savings=[]`: r1kit's command around TRL's GRPOTrainer and transformers' `generate`, which the suite
holds equal to TRL's own to the last bit. The clock starts with the command, imports counted. The accuracy is that of
the training problems, a mean over five steps of 128 completions. For one seed both sides train the same problems.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

SIDES = {"stock": ["training.savings=[]"], "r1kit": []}
RECIPE = "recipes/tiny/rl_zero.yaml"
WINDOW = 5


def run(side: str, seed: int, processes: int, folder: Path, bar: float) -> dict[str, Any]:
    """Train once; return the seconds in all, those to the bar, and those of a step."""
    output = folder / f"{side}-{seed}"
    shutil.rmtree(output, ignore_errors=True)
    command = [
        Path(sys.executable).with_name("r1kit"),
        "rl-zero",
        RECIPE,
        f"output={output}",
        f"seed={seed}",
        *SIDES[side],
        *(["--num-processes", str(processes)] if processes > 1 else []),
    ]
    started = time.time()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    whole = time.time() - started
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "rewards/accuracy/mean" in line]
    right = [line["rewards/accuracy/mean"] for line in steps]
    reached = [n for n in range(WINDOW, len(right) + 1) if statistics.mean(right[n - WINDOW : n]) >= bar]
    return {
        "side": side,
        "seed": seed,
        "whole": whole,
        "to bar": steps[reached[0] - 1]["time"] - started if reached else None,
        "steps to bar": reached[0] if reached else None,
        "step": statistics.median(b["time"] - a["time"] for a, b in pairwise(steps)),
        "accuracy at the end": statistics.mean(right[-WINDOW:]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark"))
    parser.add_argument("--bar", type=float, default=0.75)
    parser.add_argument("--json")
    options = parser.parse_args()
    found: list[dict[str, Any]] = []
    names = ["whole", "to bar", "steps to bar", "step", "accuracy at the end"]
    print("| side | seed | " + " | ".join(names) + " |\n|" + " --- |" * (len(names) + 2), flush=True)
    for i, seed in enumerate(options.seeds):
        for side in list(SIDES)[:: -1 if i % 2 else 1]:  # each goes first in turn
            one = run(side, seed, options.processes, options.folder, options.bar)
            found.append(one)
            cells = [f"{one[n]:.3g}" if one[n] is not None else "not reached" for n in names]
            print(f"| {side} | {seed} | " + " | ".join(cells) + " |", flush=True)
    for name in ("whole", "to bar", "step"):
        pairs = [{one["side"]: one[name] for one in found if one["seed"] == seed} for seed in options.seeds]
        shares = [p["r1kit"] / p["stock"] for p in pairs if None not in p.values()]
        if shares:
            print(
                f"{name}: r1kit takes {statistics.mean(shares):.2f} of stock's time "
                f"({min(shares):.2f}-{max(shares):.2f}), {1 / statistics.mean(shares):.2f} times as fast"
            )
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
