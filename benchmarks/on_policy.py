"""On-policy distillation beside SFT on the teacher's rows, at equal tokens and at equal seconds, over several seeds.

    bash recipes/tiny/run.sh runs/tiny               (the teacher R1 and the rows of Distill; about 11 minutes)
    python benchmarks/on_policy.py --runs runs/tiny --seeds 0 1 2        (about 8 minutes a seed on one core)

Of the scale model's student there are four runs a seed, each with a checkpoint every 10 steps:

- *Distill*: SFT on the rows, as recipes/tiny/distill.yaml has it;
- *then on-policy*: Distill, then recipes/tiny/on_policy.yaml;
- *then SFT*: Distill, then SFT on the same rows again, at the learning rate at which Distill ended;
- *on-policy alone*: recipes/tiny/on_policy.yaml from the untrained student, longer and at a higher learning rate.

The second and third are compared at the tokens and at the seconds of the whole on-policy run; the fourth with Distill
at Distill's. Seconds are those of the training steps, without the imports. A run that is there already is not made
again. The teacher and the rows are those of one chain: seeds are of the student's training alone.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from ladder import figure, processor

ROOT = Path(__file__).parent.parent
FILE = ROOT / "recipes/tiny/README.md"
BEGIN, END = "<!-- on-policy -->", "<!-- /on-policy -->"
STEPS_BETWEEN_CHECKPOINTS = 10
ALONE_STEPS = 115  # enough to reach the tokens and the seconds of Distill
ALONE_LEARNING_RATE = 1e-3  # of a student that has to learn all of it, as Distill's 2e-3
SFT_AGAIN_EPOCHS = 9.0  # enough to reach the seconds of the on-policy run
DOMAINS = ("arithmetic", "facts", "code")


def r1kit(stage: str, recipe: str, output: Path, *overrides: str) -> Path:
    """Run a stage and return its run directory."""
    command = [sys.executable, "-m", "r1kit.cli", "-q", stage, str(ROOT / "recipes/tiny" / f"{recipe}.yaml")]
    subprocess.run([*command, f"output={output}", *overrides], check=True, stdout=subprocess.DEVNULL)
    return output


def train(runs: Path, out: Path, seed: int) -> dict[str, Path]:
    """Make the runs of one seed; return their directories by name."""
    rows = f"data.train=[{runs}/reasoning_data, {runs}/facts_data]"
    checkpoints = [f"training.save_steps={STEPS_BETWEEN_CHECKPOINTS}", "training.keep_checkpoints=1000", f"seed={seed}"]
    distill = r1kit("distill", "distill", out / "distill", rows, *checkpoints)
    on_policy = [f"teacher.path={runs}/r1", *checkpoints]
    last_rate = yaml.safe_load((ROOT / "recipes/tiny/distill.yaml").read_text())["training"]["min_learning_rate"]
    sft_again = [f"model.path={distill}", rows, "training.schedule=constant", f"training.learning_rate={last_rate}"]
    sft_again += ["training.min_learning_rate=0", "training.warmup_steps=0", f"training.epochs={SFT_AGAIN_EPOCHS}"]
    return {
        "Distill": distill,
        "then on-policy": r1kit("distill", "on_policy", out / "then_on_policy", f"model.path={distill}", *on_policy),
        "then SFT": r1kit("distill", "distill", out / "then_sft", *sft_again, *checkpoints),
        "on-policy alone": r1kit(
            "distill",
            "on_policy",
            out / "alone",
            "model.path=tiny:student",
            f"training.steps={ALONE_STEPS}",
            f"training.learning_rate={ALONE_LEARNING_RATE}",
            *on_policy,
        ),
    }


def progress(run: Path) -> list[tuple[int, float, int]]:
    """Return (step, seconds, tokens) of each logged step; seconds count from the first step's end, plus one step."""
    entries = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [entry for entry in entries if "loss" in entry]
    start = steps[0]["time"] - (steps[1]["time"] - steps[0]["time"])
    tokens = {}
    for entry in steps:
        tokens[entry["step"]] = int(entry.get("num_tokens") or entry["num_input_tokens_seen"])
    return [(entry["step"], entry["time"] - start, tokens[entry["step"]]) for entry in steps]


def checkpoint_at(run: Path, column: int, amount: float) -> tuple[Path, tuple[int, float, int]]:
    """Return the checkpoint whose seconds (column 1) or tokens (column 2) are nearest to `amount`, and its progress."""
    by_step = {entry[0]: entry for entry in progress(run)}
    steps = sorted(int(path.name.rpartition("-")[2]) for path in (run / "checkpoints").glob("checkpoint-*"))
    nearest = min(steps, key=lambda step: abs(by_step[step][column] - amount))
    if nearest == steps[-1] and by_step[nearest][column] < 0.9 * amount:
        sys.exit(f"{run} is too short: {by_step[nearest][column]:.0f} of {amount:.0f}")
    return run / "checkpoints" / f"checkpoint-{nearest}", by_step[nearest]


def compare(runs: Path, out: Path, seed: int) -> list[dict[str, Any]]:
    """Return the rows of one seed's table: name, steps, seconds, tokens and the ladder's entry."""
    trained = train(runs, out, seed)
    _, distill_seconds, distill_tokens = progress(trained["Distill"])[-1]
    _, after_seconds, after_tokens = progress(trained["then on-policy"])[-1]
    chosen = {
        "Distill": (trained["Distill"], progress(trained["Distill"])[-1]),
        "on-policy alone, equal tokens": checkpoint_at(trained["on-policy alone"], 2, distill_tokens),
        "on-policy alone, equal seconds": checkpoint_at(trained["on-policy alone"], 1, distill_seconds),
        "Distill, then on-policy": (trained["then on-policy"], progress(trained["then on-policy"])[-1]),
        "Distill, then SFT, equal tokens": checkpoint_at(trained["then SFT"], 2, after_tokens),
        "Distill, then SFT, equal seconds": checkpoint_at(trained["then SFT"], 1, after_seconds),
    }
    models = "{" + ", ".join(f'"{name}": "{path}"' for name, (path, _) in chosen.items()) + "}"
    ladder = r1kit("eval", "ladder", out / "ladder", f"models={models}", "prompt.template=tiny", "seed=0")
    evaluated = {entry["model"]: entry for entry in json.loads((ladder / "eval.json").read_text())["models"]}
    rows = []
    for name, (_, (step, seconds, tokens)) in chosen.items():
        if name.startswith("Distill, "):
            seconds, tokens = seconds + distill_seconds, tokens + distill_tokens
        # The ladder's entry has tokens and seconds too: those of an answer, and of a stage.
        rows.append({**evaluated[name], "name": name, "step": step, "seconds": seconds, "tokens": tokens})
    return rows


def markdown(seeds: list[list[dict[str, Any]]]) -> str:
    """Return the table over the seeds."""
    lines = ["| model | arithmetic | facts | code | thousand tokens | seconds |", "|" + " --- |" * 6]
    for rows in zip(*seeds, strict=True):
        cells = [rows[0]["name"]]
        cells += [figure([row["accuracy"][domain] for row in rows]) for domain in DOMAINS]
        cells.append(figure([row["tokens"] / 1000 for row in rows], percent=False))
        cells.append(figure([row["seconds"] for row in rows], percent=False))
        lines.append("| " + " | ".join(cells) + " |")
    note = (
        f"{len(seeds)} seed(s) of the student's training, one teacher and one set of rows: mean (least-greatest), "
        f"right answers in percent, T 0.6. Tokens and seconds are those of all trainings of a row together. On one "
        f"core of {processor()}, no GPU. Made by `python benchmarks/on_policy.py`."
    )
    return "\n".join([*lines, "", note])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/tiny"), help="what recipes/tiny/run.sh has made")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", type=Path, default=Path("runs/on_policy"))
    options = parser.parse_args()
    table = markdown([compare(options.runs, options.output / str(seed), seed) for seed in options.seeds])
    print(table)
    text = FILE.read_text()
    head, _, rest = text.partition(BEGIN)
    FILE.write_text(f"{head}{BEGIN}\n\n{table}\n\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
