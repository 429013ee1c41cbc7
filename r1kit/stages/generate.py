"""`r1kit generate`: SFT data by rejection sampling.

    r1kit generate recipes/tiny/cold_start.yaml model.path=runs/tiny/r1_zero

Samples several completions a prompt, scores them, keeps what the recipe asks for (`keep:`), and writes
`data/` (Parquet: prompt, completion and all that is known of them) and `drops.json`.
"""

import json
import shutil
import sys

from r1kit.data.filters import select
from r1kit.data.load import problems
from r1kit.errors import UserError
from r1kit.recipe import GenerateRecipe
from r1kit.rewards import check_data
from r1kit.run import Run, is_main, replace_folder, write_file
from r1kit.sampling.score import sample_rows
from r1kit.training.rollouts import write_table


def main(recipe: GenerateRecipe, run: Run) -> None:
    """Sample, score, keep and write."""
    rows = problems(recipe.data.train, recipe.prompt)
    judged = check_data(recipe.rewards, rows, recipe.data.train[0].path)
    if judged and is_main():
        run.update(**judged)
    sampled = sample_rows(recipe, recipe.model, rows, run, run.path / "samples", "generate")
    if not is_main():
        return
    kept, report = select(sampled, recipe.keep)
    write_file(run.path / "drops.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    for name in ("sampled", "kept"):
        print(f"{name:>16} {report[name]:7d}", file=sys.stderr)
    for name, count in report["dropped"].items():
        print(f"{name:>16} {-count:7d}", file=sys.stderr)
    if not kept:
        worst = max(report["dropped"], key=report["dropped"].get)
        raise UserError("keep", worst, f"dropped all of {len(sampled)} samples; see {run.path}/drops.json", "loosen it")
    new = run.path / ".data.tmp"
    shutil.rmtree(new, ignore_errors=True)
    write_table(kept, new / "train-00000.parquet")
    replace_folder(new, run.path / "data")
    run.update(rows=len(kept), tokens=sum(r["tokens"] for r in sampled))
