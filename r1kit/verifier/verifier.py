"""The verifier: how likely a completion is right, read off the layers of the model that wrote it.

A Head2Toe head on the features of its completions. It is trained on samples whose correctness is known, folds grouped
by problem, and saved beside the policy as two files: `head.safetensors` and `verifier.json`.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from r1kit.data.load import shown
from r1kit.errors import UserError
from r1kit.prompts import CHAT
from r1kit.recipe import Model, Prompt
from r1kit.run import replace_folder
from r1kit.sampling.sampler import beginning
from r1kit.verifier.features import PLACES, features
from r1kit.verifier.head2toe import Head

Row = dict[str, Any]
FOLDER = "verifier"
TENSORS = ("kept", "weight", "bias", "shift")


def read_layers(model: Model, prompt: Prompt, rows: Sequence[Row]) -> Tensor:
    """Return the features (B, F) of sample rows by the model of a recipe, asked as `prompt` says."""
    from r1kit.sampling.local import render_chat
    from r1kit.training.policy import load_model, load_tokenizer

    tokenizer, policy = load_tokenizer(model), load_model(model, training=False).eval()
    texts = [render_chat(tokenizer, shown(row["prompt"], prompt), prompt) for row in rows]
    # A row's completion begins with what it was made to begin with.
    asked = [text.removesuffix(beginning(text, prompt.prefill)) for text in texts]
    return features(policy, tokenizer, asked, [row["completion"] for row in rows], special=prompt.template != CHAT)


def save(head: Head, folder: Path, **told: Any) -> None:
    """Write a head whole or not at all, with what is told of it."""
    from safetensors.torch import save_file

    new = folder.with_name(f".{folder.name}.new")
    new.mkdir(parents=True, exist_ok=True)
    save_file({name: getattr(head, name) for name in TENSORS}, new / "head.safetensors")
    values = {"temperature": head.temperature, "binary": head.binary, "places": PLACES, "chosen": head.chosen, **told}
    (new / "verifier.json").write_text(json.dumps(values, indent=2) + "\n")
    replace_folder(new, folder)


def load(run: Path, field: str = "scaling.verifier") -> tuple[Head, dict[str, Any]]:
    """Return the head of a run of `r1kit verifier`, and what is told of it. Raises UserError where there is none."""
    from safetensors.torch import load_file

    folder = run / FOLDER if (run / FOLDER).exists() else run
    try:
        told = json.loads((folder / "verifier.json").read_text())
        tensors = load_file(folder / "head.safetensors")
    except (OSError, ValueError) as error:
        do = "give a run of `r1kit verifier`"
        raise UserError(field, run, f"there is no verifier: {str(error).splitlines()[0]}", do) from None
    head = Head(**tensors, binary=told["binary"], temperature=told["temperature"], chosen=told["chosen"])
    if told["places"] != list(PLACES):
        raise UserError(field, run, "was made by another version of r1kit", "train it again")
    return head, told


def judge(run: Path, model: Model, prompt: Prompt, rows: Sequence[Row], field: str = "scaling.verifier") -> list[float]:
    """Return the chance that each sample row of a model is right, by the verifier of `run`. Raises UserError."""
    head, told = load(run, field)
    x = read_layers(model, prompt, rows)
    if x.shape[1] != told["features"]:
        must = f"reads {told['features']} features, and this model has {x.shape[1]}"
        raise UserError(field, run, must, "train a verifier on this model")
    return head.probabilities(x).tolist()


def measures(scores: Tensor, right: Tensor, groups: Sequence[Any]) -> dict[str, float | None]:
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
