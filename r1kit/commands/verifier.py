"""`r1kit verifier`: learn from the layers of a model which of its own samples are right (Head2Toe).

    r1kit verifier recipes/tiny/verifier.yaml model.path=runs/tiny/distill
    r1kit eval recipes/tiny/scaling.yaml model.path=runs/tiny/distill scaling.verifier=runs/tiny/verifier

Samples the problems of `data.train`, trains on them, and measures itself on the problems of `data.eval`. Writes
`verifier/` (head.safetensors, verifier.json) and `verifier.json`, and prints a table to stderr.
"""

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from r1kit.data.filters import NO_ANSWER_FILTER
from r1kit.data.problems import load_problems
from r1kit.errors import UserError
from r1kit.ranks import is_main_rank
from r1kit.recipe import VerifierRecipe
from r1kit.rewards.checks import check_reward_data
from r1kit.runs.files import write_file
from r1kit.runs.run import Run
from r1kit.sampling.loop import sample_problems

if TYPE_CHECKING:
    from datasets import Dataset


def main(recipe: VerifierRecipe, run: Run) -> None:
    """Sample, train and measure."""
    parts: dict[str, Dataset] = {}
    judged: dict[str, Any] = {}
    for name, sources in (("train", recipe.data.train), ("eval", recipe.data.eval)):
        if sources:
            parts[name] = load_problems(sources, None, f"data.{name}", recipe.data if name == "train" else None)
            judged |= check_reward_data(recipe.rewards, parts[name], sources[0].path)
    if judged and is_main_rank():
        run.update(**judged)
    rows = {}
    for name, part in parts.items():
        shards = sample_problems(recipe, recipe.model, part, run, run.path / "samples" / name, f"verifier {name}")
        answered = (row for shard in shards for row in shard if row["finish_reason"] not in NO_ANSWER_FILTER)
        rows[name] = [row for row in answered if row["correct"] is not None]
    if is_main_rank():
        _train(recipe, run, rows)


def _train(recipe: VerifierRecipe, run: Run, rows: dict[str, list[dict[str, Any]]]) -> None:
    import torch

    from r1kit.head2toe.features import SPANS
    from r1kit.head2toe.head import fit_head
    from r1kit.head2toe.verifier import VERIFIER_DIR, FeatureReader, save_verifier, verifier_metrics

    share = sum(row["correct"] for row in rows["train"]) / max(1, len(rows["train"]))
    if not 0 < share < 1:
        must = f"its samples are {'all' if share else 'never'} right, and a verifier learns from both"
        raise UserError("data.train", recipe.data.train[0].path, must, "give harder or easier problems, or more")
    reader = FeatureReader(recipe.model, recipe.prompt)
    started = time.time()
    x = reader(rows["train"])
    read = time.time() - started
    right = torch.tensor([row["correct"] for row in rows["train"]])
    names = [row["id"] for row in rows["train"]]
    settings = recipe.head
    try:
        head = fit_head(x, right.long(), names, len(SPANS), penalties=settings.penalties, fractions=settings.fractions,
                   ridges=settings.ridges, number=settings.folds, seed=recipe.seed)  # fmt: skip
    except ValueError as error:
        raise UserError("data.train", recipe.data.train[0].path, str(error), "give more problems") from None
    seconds = time.time() - started - read
    told = {
        "model": recipe.model.model_dump(),
        "prompt": recipe.prompt.model_dump(),
        "features": x.shape[1],
        "samples": len(right),
        "right": share,
        "seconds": seconds,
        "microseconds_an_answer": 1e6 * read / len(right),
    }
    found = {}
    if "eval" in rows and not rows["eval"]:
        print("note: no answer to data.eval has a verdict: nothing is measured", file=sys.stderr)
    if rows.get("eval"):
        held = rows["eval"]
        truth, groups = torch.tensor([row["correct"] for row in held]), [row["id"] for row in held]
        scores = {
            "head2toe": head.probabilities(reader(held)),
            "shortness": 1 / torch.tensor([float(max(1, row["tokens"])) for row in held]),
        }
        if all(row["logprob"] is not None for row in held):
            scores["mean log-probability"] = torch.tensor([row["logprob"] for row in held]).exp()
        found = {name: verifier_metrics(values, truth, groups) for name, values in scores.items()}
    save_verifier(head, run.path / VERIFIER_DIR, **told, measures=found)
    write_file(run.path / "verifier.json", json.dumps({**told, "chosen": head.chosen, "measures": found}, indent=2))
    print(_table(told, head.chosen, found), file=sys.stderr)


def _table(told: dict[str, Any], chosen: dict[str, Any], found: dict[str, dict[str, float | None]]) -> str:
    lines = [
        f"kept {chosen['features']} of {told['features']} features, by {told['samples']} samples, "
        f"{100 * told['right']:.1f}% right, in {told['seconds']:.0f} s; "
        f"{told['microseconds_an_answer']:.0f} microseconds to read an answer's layers"
    ]
    if found:
        lines.append(f"{'':22}{'AUROC':>8}{'within':>8}{'Brier':>8}{'ECE':>8}   (held-out problems)")
    for name, values in found.items():
        cells = [values["auroc"], values["within"]]
        cells += [values["brier"], values["ece"]] if name == "head2toe" else [None, None]
        lines.append(f"{name:22}" + "".join(f"{'-' if v is None else f'{v:.3f}':>8}" for v in cells))
    return "\n".join(lines)
