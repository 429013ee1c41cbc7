"""The verifier: how likely a completion is right, read off the layers of the model that wrote it.

A Head2Toe head on the features of its completions. It is trained on samples whose correctness is known, folds grouped
by problem, and saved beside the policy as two files: `head.safetensors` and `verifier.json`.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from r1kit.data.questions import render_prompt
from r1kit.errors import UserError
from r1kit.head2toe.features import OUTPUT_FEATURES, SPANS, extract_features
from r1kit.head2toe.head import LinearHead
from r1kit.models.templates import apply_template, template_prefix
from r1kit.prompts import CHAT_TEMPLATE
from r1kit.recipe import ModelConfig, PromptConfig
from r1kit.rows import Row
from r1kit.runs.files import replace_folder

VERIFIER_DIR = "verifier"
PART = 256  # rows read at once: their features take more room than what is kept of them
TENSORS = ("kept", "weight", "bias", "shift")


class FeatureReader:
    """A model and its tokenizer, and how it is asked: it reads the features of sample rows."""

    def __init__(self, model: ModelConfig, prompt: PromptConfig):
        from r1kit.models.load import load_model, load_tokenizer

        self.prompt, self.tokenizer = prompt, load_tokenizer(model)
        self.policy = load_model(model, training=False).eval()

    def __call__(self, rows: Sequence[Row]) -> Tensor:
        """Return the features (B, F) of sample rows."""
        texts = [apply_template(self.tokenizer, render_prompt(row["prompt"], self.prompt), self.prompt) for row in rows]
        # A row's completion begins with what it was made to begin with.
        asked = [text.removesuffix(template_prefix(text, self.prompt.prefill)) for text in texts]
        said = [row["completion"] for row in rows]
        return extract_features(self.policy, self.tokenizer, asked, said, special=self.prompt.template != CHAT_TEMPLATE)


def save_verifier(head: LinearHead, folder: Path, **told: Any) -> None:
    """Write a head whole or not at all, with what is told of it."""
    from safetensors.torch import save_file

    new = folder.with_name(f".{folder.name}.new")
    new.mkdir(parents=True, exist_ok=True)
    save_file({name: getattr(head, name) for name in TENSORS}, new / "head.safetensors")
    values = {"temperature": head.temperature, "binary": head.binary, "places": SPANS, "outputs": OUTPUT_FEATURES}
    values |= {"chosen": head.chosen, **told}
    (new / "verifier.json").write_text(json.dumps(values, indent=2) + "\n")
    replace_folder(new, folder)


def verifier_dir(run: Path) -> Path:
    """Return where a run of `r1kit verifier` has its verifier, or the folder itself."""
    return run / VERIFIER_DIR if (run / VERIFIER_DIR).exists() else run


def read_metadata(run: Path, field: str = "scaling.verifier") -> dict[str, Any]:
    """Return what is told of the verifier of a run. Raises UserError where there is none."""
    try:
        told = json.loads((verifier_dir(run) / "verifier.json").read_text())
    except (OSError, ValueError) as error:
        do = "give a run of `r1kit verifier`"
        raise UserError(field, run, f"there is no verifier: {str(error).splitlines()[0]}", do) from None
    if told.get("places") != list(SPANS) or told.get("outputs") != list(OUTPUT_FEATURES):
        raise UserError(field, run, "was made by another version of r1kit", "train it again")
    return told


def load_verifier(run: Path, field: str = "scaling.verifier") -> tuple[LinearHead, dict[str, Any]]:
    """Return the head of a run of `r1kit verifier`, and what is told of it. Raises UserError where there is none."""
    from safetensors.torch import load_file

    told = read_metadata(run, field)
    try:
        tensors = load_file(verifier_dir(run) / "head.safetensors")
    except (OSError, SafetensorError) as error:
        raise UserError(field, run, f"cannot be read: {error}", "train it again") from None
    return LinearHead(**tensors, binary=told["binary"], temperature=told["temperature"], chosen=told["chosen"]), told


def verifier_scores(
    run: Path, model: ModelConfig, prompt: PromptConfig, rows: Sequence[Row], field: str = "scaling.verifier"
) -> list[float]:
    """Return the chance that each sample row of a model is right, by the verifier of `run`. Raises UserError."""
    head, told = load_verifier(run, field)
    if told["model"]["path"] != model.path:
        print(f"note: {field} = {run} was trained on {told['model']['path']}, not on {model.path}", file=sys.stderr)
    reader, found = FeatureReader(model, prompt), list[float]()
    for start in range(0, len(rows), PART):
        x = reader(rows[start : start + PART])
        if x.shape[1] != told["features"]:
            must = f"reads {told['features']} features, and this model has {x.shape[1]}"
            raise UserError(field, run, must, "train a verifier on this model")
        found += head.probabilities(x).tolist()
    return found


def verifier_metrics(scores: Tensor, right: Tensor, groups: Sequence[Any]) -> dict[str, float | None]:
    """Return how well scores (B,), chances or not, tell right (B,) from wrong.

    auroc over all pairs of a right and a wrong row; `within`, over those of one problem, a mean over the problems that
    have both; brier and ece (ten bins of equal width, Guo et al. 2017) are those of chances.
    """
    from collections import defaultdict

    problems: dict[Any, list[int]] = defaultdict(list)
    for i, name in enumerate(groups):
        problems[name].append(i)
    inside = [v for rows in problems.values() if (v := auroc(scores[rows], right[rows])) is not None]
    chance = scores.double().clamp(0, 1)
    error = torch.tensor(0.0, dtype=torch.float64)
    bins = (chance * 10).floor().clamp(max=9)
    for number in range(10):
        part = bins == number
        if part.any():
            error += part.sum() * (chance[part].mean() - right[part].double().mean()).abs()
    return {
        "auroc": auroc(scores, right),
        "within": sum(inside) / len(inside) if inside else None,
        "brier": float((chance - right.double()).square().mean()),
        "ece": float(error / len(scores)),
    }


def auroc(scores: Tensor, right: Tensor) -> float | None:
    """Return the chance that a right row scores above a wrong one, ties half; None where there are not both."""
    good, bad = scores[right.bool()].double(), scores[~right.bool()].double()
    if not len(good) or not len(bad):
        return None
    ordered = bad.sort().values
    below = torch.searchsorted(ordered, good, right=False).double()
    upto = torch.searchsorted(ordered, good, right=True).double()
    return float(((below + upto) / 2).mean() / len(bad))
