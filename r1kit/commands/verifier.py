"""`r1kit verifier`: learn from a model's own layers which of its completions are right (Head2Toe, arXiv 2201.03529).

    r1kit verifier recipes/tiny/verifier.yaml model.path=runs/tiny/distill
    r1kit eval recipes/tiny/scaling.yaml model.path=runs/tiny/distill scaling.verifier=runs/tiny/verifier

The command samples the problems of `data.train` and trains a verifier on the completions, and measures it on those of
`data.eval`. It writes `verifier/` (head.safetensors, verifier.json) and `verifier.json`, and prints a table to stderr.
"""

import json
import time
from typing import TYPE_CHECKING, Any

from r1kit.answers.forms import count_answer_forms, describe_unread
from r1kit.data.filters import NO_ANSWER_FILTER
from r1kit.data.problems import load_problems
from r1kit.errors import UserError
from r1kit.messages import logger, print_progress
from r1kit.ranks import is_main_rank
from r1kit.recipe import VerifierRecipe
from r1kit.recipe.rewards import answers_of_accuracy
from r1kit.rewards.checks import check_reward_data
from r1kit.rows import Row
from r1kit.runs.files import write_file
from r1kit.runs.run import Run
from r1kit.safe_text import mask_secrets
from r1kit.sampling.loop import sample_problems
from r1kit.sampling.prompt_check import check_completion_room, check_problem_prompts
from r1kit.tables import format_table

if TYPE_CHECKING:
    from datasets import Dataset

    from r1kit.head2toe.linear_head import LinearHead
    from r1kit.head2toe.verifier import FeatureReader

Metrics = dict[str, float | None]  # see verifier_metrics
LAYERS_SCORE = "head2toe"  # the only score of the table that is a probability


def main(recipe: VerifierRecipe, run: Run) -> None:
    """Sample completions, train a verifier on them and measure it."""
    problems: dict[str, Dataset] = {}
    checked: dict[str, Any] = {}  # what the rewards need, such as the sandbox's isolation, for run.json
    for split, sources in (("train", recipe.data.train), ("eval", recipe.data.eval)):
        if sources:
            options = recipe.data if split == "train" else None
            problems[split] = load_problems(sources, None, f"data.{split}", options)
            check_problem_prompts(problems[split], recipe.model, recipe.prompt, recipe.sampling.engine, f"data.{split}")
            check_completion_room(recipe.model, recipe.sampling)
            checked |= check_reward_data(recipe.rewards, problems[split], sources[0].path)
    if checked and is_main_rank():
        run.update(**checked)
    judged_rows = {}
    answers = answers_of_accuracy(recipe.rewards, recipe.answers)
    for split, split_problems in problems.items():
        directory = run.path / "samples" / split
        shards = sample_problems(recipe, recipe.model, split_problems, run, directory, f"verifier {split}")
        unread = describe_unread(count_answer_forms(row for shard in shards for row in shard), answers)
        if unread and is_main_rank():
            logger.warning(f"data.{split}: {unread}")
        judged_rows[split] = [row for shard in shards for row in shard if _has_verdict(row)]
    if is_main_rank():
        _train_verifier(recipe, run, judged_rows)


def _has_verdict(row: Row) -> bool:
    """Return whether a completion has an answer that could be judged right or wrong."""
    return row["finish_reason"] not in NO_ANSWER_FILTER and row["correct"] is not None


def _train_verifier(recipe: VerifierRecipe, run: Run, rows: dict[str, list[Row]]) -> None:
    """Train on rows["train"], measure on rows["eval"] if there are any, and save the verifier."""
    from r1kit.head2toe.verifier import VERIFIER_DIR, FeatureReader, save_verifier

    train_rows = rows["train"]
    right_fraction = sum(row["correct"] for row in train_rows) / max(1, len(train_rows))
    if not 0 < right_fraction < 1:
        frequency = "always" if right_fraction else "never"
        requirement = f"its completions are {frequency} right, and a verifier learns from right and wrong ones"
        raise UserError("data.train", recipe.data.train[0].path, requirement, "use harder or easier problems, or more")
    reader = FeatureReader(recipe.model, recipe.prompt)
    reading_started = time.time()
    features = reader.read_features(train_rows)
    fitting_started = time.time()
    linear_head = _fit_on_rows(recipe, features, train_rows)
    metadata = {
        "model": mask_secrets(recipe.model.model_dump()),
        "prompt": mask_secrets(recipe.prompt.model_dump()),
        "features": features.shape[1],
        "samples": len(train_rows),
        "right": right_fraction,
        "seconds": time.time() - fitting_started,
        "microseconds_an_answer": 1e6 * (fitting_started - reading_started) / len(train_rows),
    }
    if "eval" in rows and not rows["eval"]:
        logger.info("no completion of data.eval has a verdict, so that the verifier is not measured")
    metrics = _measure(linear_head, reader, rows["eval"]) if rows.get("eval") else {}
    metadata["measures"] = metrics
    save_verifier(linear_head, run.path / VERIFIER_DIR, metadata)
    summary = {**metadata, "chosen": linear_head.chosen}
    write_file(run.path / "verifier.json", json.dumps(summary, indent=2))
    print_progress(format_summary(summary))


def _fit_on_rows(recipe: VerifierRecipe, features: Any, rows: list[Row]) -> "LinearHead":
    """Fit a linear head on features (B, F) of judged rows, with the settings of the recipe."""
    import torch

    from r1kit.head2toe.features import SPANS
    from r1kit.head2toe.linear_head import fit_linear_head

    try:
        return fit_linear_head(
            features,
            torch.tensor([row["correct"] for row in rows]).long(),
            groups=[row["id"] for row in rows],
            features_per_group=len(SPANS),
            penalties=recipe.head.penalties,
            fractions=recipe.head.fractions,
            ridges=recipe.head.ridges,
            fold_count=recipe.head.folds,
            seed=recipe.seed,
        )
    except ValueError as error:
        raise UserError("data.train", recipe.data.train[0].path, str(error), "use more problems") from None


def _measure(linear_head: "LinearHead", reader: "FeatureReader", rows: list[Row]) -> dict[str, Metrics]:
    """Return the metrics of the verifier on held-out rows, and those of two scores that need no training."""
    import torch

    from r1kit.head2toe.verifier import verifier_metrics

    is_right = torch.tensor([row["correct"] for row in rows])
    problem_ids = [row["id"] for row in rows]
    scores = {
        LAYERS_SCORE: linear_head.probabilities(reader.read_features(rows)),
        "shortness": 1 / torch.tensor([float(max(1, row["tokens"])) for row in rows]),
    }
    if all(row["logprob"] is not None for row in rows):
        scores["mean log-probability"] = torch.tensor([row["logprob"] for row in rows]).exp()
    return {name: verifier_metrics(values, is_right, problem_ids) for name, values in scores.items()}


def format_summary(summary: dict[str, Any]) -> str:
    """Return what is printed of a trained verifier: how it was trained, and a table of its metrics."""
    sentences = (
        f"kept {summary['chosen']['features']} of {summary['features']} features, by {summary['samples']} completions "
        f"({100 * summary['right']:.1f}% right), in {summary['seconds']:.0f} s; "
        f"{summary['microseconds_an_answer']:.0f} microseconds to read an answer's layers"
    )
    rows = []
    for name, metrics in summary["measures"].items():
        brier, ece = (metrics["brier"], metrics["ece"]) if name == LAYERS_SCORE else (None, None)
        rows.append([name, metrics["auroc"], metrics["within"], brier, ece])
    if not rows:
        return sentences
    headers = ["held-out problems", "AUROC", "AUROC within a problem", "Brier", "ECE"]
    return f"{sentences}\n{format_table(headers, rows)}"
