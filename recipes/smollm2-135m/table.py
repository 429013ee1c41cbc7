"""The table of this folder's README, from a finished run.sh: before and after, with 95% intervals.

    python recipes/smollm2-135m/table.py runs/smollm2

Intervals are by bootstrap over problems; what a model gained is taken problem by problem. Minutes and tokens (prompts
and completions that were trained on) are those of a stage's own training, from its run.json.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from datasets import Dataset

from r1kit.scaling.estimators import bootstrap_interval, paired_difference

BEGIN, END = "<!-- ladder -->", "<!-- /ladder -->"
TRAINED, UNTRAINED = ("chain_sum", "basic_arithmetic"), ("gcd",)
TASKS = (("chain_sum",), ("basic_arithmetic",), TRAINED, UNTRAINED)
TITLES = (
    "| | sums | one step | both: trained mix | gained | gcd, not trained | gained | form | tokens | minutes "
    "| trained on |"
)


def shares(rows: list[dict], tasks: tuple[str, ...]) -> np.ndarray:
    """Return the share of right answers of each problem of these tasks, by id."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if row["domain"] in tasks:
            found.setdefault(row["id"], []).append(float(row["correct"]))
    return np.array([np.mean(found[name]) for name in sorted(found)])


def percent(middle: float, low: float, high: float, sign: str = "") -> str:
    return f"{100 * middle:{sign}.1f} ({100 * low:{sign}.1f} to {100 * high:{sign}.1f})"


def line(name: str, path: Path, rows: list[dict], base: list[dict]) -> str:
    """Return a model's line."""
    cells = [name]
    for tasks in TASKS:
        values = shares(rows, tasks)
        cells.append(percent(values.mean(), *bootstrap_interval(values)))
        if tasks in (TRAINED, UNTRAINED):
            gained = paired_difference(values, shares(base, tasks))
            cells.append("" if rows is base else percent(gained["difference"], gained["low"], gained["high"], "+"))
    cells.append(f"{100 * np.mean([row['format'] for row in rows]):.1f}")
    cells.append(f"{np.mean([row['tokens'] for row in rows]):.0f}")
    file = path / "run.json"
    told = json.loads(file.read_text()) if file.exists() else None
    cells += [f"{told['seconds'] / 60:.0f}", f"{told['tokens']:,}"] if told else ["", ""]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="what run.sh was given")
    folder = parser.parse_args().output / "ladder"
    models = json.loads((folder / "eval.json").read_text())["models"]
    rows = Dataset.from_parquet([str(file) for file in sorted(folder.glob("samples/*/*.parquet"))]).to_list()
    by_path = {model["path"]: [row for row in rows if row["model"] == model["path"]] for model in models}
    base = by_path[models[0]["path"]]
    lines = [TITLES, "|" + " --- |" * (TITLES.count("|") - 1)]
    lines += [line(model["model"], Path(model["path"]), by_path[model["path"]], base) for model in models]
    counts = ", ".join(f"{len(shares(base, tasks))} {'/'.join(tasks)}" for tasks in TASKS if tasks != TRAINED)
    note = f"Held-out problems: {counts}; {len(base) // len({row['id'] for row in base})} answers each, T 0.6."
    table = "\n".join([*lines, "", note])
    print(table)
    file = Path(__file__).parent / "README.md"
    head, _, rest = file.read_text().partition(BEGIN)
    file.write_text(f"{head}{BEGIN}\n\n{table}\n\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
