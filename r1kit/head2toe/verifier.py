"""The verifier: how likely a completion is right, by the layers of the model that wrote it.

It is a Head2Toe linear head (linear_head.py) on the features of completions (features.py), fitted on sampled
completions whose correctness is known, with all completions of a problem in the same fold. It is saved as a directory
with two files: `head.safetensors` and `verifier.json`.

    scores = verifier_scores(Path("runs/tiny/verifier"), model, prompt, rows)
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from r1kit.data.questions import render_prompt
from r1kit.errors import UserError
from r1kit.head2toe.features import OUTPUT_FEATURES, SPANS, extract_features
from r1kit.head2toe.linear_head import LinearHead
from r1kit.messages import logger
from r1kit.models.templates import apply_template, template_prefix
from r1kit.prompts import CHAT_TEMPLATE
from r1kit.recipe import ModelConfig, PromptConfig
from r1kit.rows import Row
from r1kit.runs.files import replace_folder

VERIFIER_DIR = "verifier"  # in the run directory of `r1kit verifier`
HEAD_FILE, METADATA_FILE = "head.safetensors", "verifier.json"
ROWS_AT_ONCE = 256  # read for their scores: all features of a row take far more memory than its score
CALIBRATION_BINS = 10


class FeatureReader:
    """A model, its tokenizer and its prompt template: it reads the features of sampled rows."""

    def __init__(self, model: ModelConfig, prompt: PromptConfig):
        """Load the model. Raises UserError if there is none."""
        from r1kit.models.load import load_model, load_tokenizer

        self.prompt = prompt
        self.tokenizer = load_tokenizer(model)
        self.model = load_model(model, training=False).eval()

    def read_features(self, rows: Sequence[Row]) -> Tensor:
        """Return the features (B, F) of sampled rows."""
        prompt_texts = []
        for row in rows:
            text = apply_template(self.tokenizer, render_prompt(row["prompt"], self.prompt), self.prompt)
            # A row's completion repeats the text that its prompt ends with to begin it (the prefill).
            prompt_texts.append(text.removesuffix(template_prefix(text, self.prompt.prefill)))
        completions = [row["completion"] for row in rows]
        return self.read_text_features(prompt_texts, completions, self.prompt.template != CHAT_TEMPLATE)

    def read_text_features(
        self, prompt_texts: Sequence[str], completions: Sequence[str], add_special_tokens: bool
    ) -> Tensor:
        """Return the features (B, F) of completions after prompts to which the template has been applied."""
        return extract_features(self.model, self.tokenizer, prompt_texts, completions, add_special_tokens)


def save_verifier(linear_head: LinearHead, directory: Path, metadata: dict[str, Any]) -> None:
    """Write a verifier and its metadata into `directory`, whole or not at all."""
    from safetensors.torch import save_file

    new_directory = directory.with_name(f".{directory.name}.new")
    new_directory.mkdir(parents=True, exist_ok=True)
    tensors = {
        "kept": linear_head.kept_features,
        "weight": linear_head.weight,
        "bias": linear_head.bias,
        "shift": linear_head.shift,
    }
    save_file(tensors, new_directory / HEAD_FILE)
    values = {
        "temperature": linear_head.temperature,
        "binary": linear_head.is_binary,
        "places": SPANS,
        "outputs": OUTPUT_FEATURES,
        "chosen": linear_head.chosen,
        **metadata,
    }
    (new_directory / METADATA_FILE).write_text(json.dumps(values, indent=2) + "\n")
    replace_folder(new_directory, directory)


def verifier_dir(run: Path) -> Path:
    """Return the verifier's directory in a run of `r1kit verifier`, or `run` itself if that is one."""
    return run / VERIFIER_DIR if (run / VERIFIER_DIR).exists() else run


def read_metadata(run: Path, field: str = "scaling.verifier") -> dict[str, Any]:
    """Return the metadata of the verifier of a run. Raises UserError, about the recipe's `field`, if there is none."""
    try:
        metadata = json.loads((verifier_dir(run) / METADATA_FILE).read_text())
        if not isinstance(metadata, dict):
            raise ValueError("it holds no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        reason = "it has no verifier.json" if isinstance(error, OSError) else "its verifier.json is no JSON object"
        raise UserError(field, run, f"has no verifier: {reason}", "use a run of `r1kit verifier`") from None
    if metadata.get("places") != list(SPANS) or metadata.get("outputs") != list(OUTPUT_FEATURES):
        raise UserError(field, run, "was trained by another version of r1kit, with other features", "train it again")
    return metadata


def load_verifier(run: Path, field: str = "scaling.verifier") -> tuple[LinearHead, dict[str, Any]]:
    """Return the linear head of a run of `r1kit verifier`, and its metadata. Raises UserError if there is none."""
    from safetensors.torch import load_file

    metadata = read_metadata(run, field)
    try:
        tensors = load_file(verifier_dir(run) / HEAD_FILE)
    except (OSError, SafetensorError) as error:
        raise UserError(field, run, f"cannot be read: {error}", "train it again") from None
    linear_head = LinearHead(
        kept_features=tensors["kept"],
        weight=tensors["weight"],
        bias=tensors["bias"],
        is_binary=metadata["binary"],
        temperature=metadata["temperature"],
        shift=tensors["shift"],
        chosen=metadata["chosen"],
    )
    return linear_head, metadata


class VerifierScorer:
    """The verifier of a run with the model whose layers it reads: it scores sampled rows."""

    def __init__(self, run: Path, model: ModelConfig, prompt: PromptConfig, field: str = "scaling.verifier"):
        """Load the verifier and the model. Raises UserError, about the recipe's `field`, if either cannot be loaded."""
        self.run, self.field = run, field
        self.linear_head, self.metadata = load_verifier(run, field)
        trained_on = self.metadata["model"]["path"]
        if trained_on != model.path:
            logger.info(f"{field} = {run} was trained on {trained_on}, and is used on {model.path}")
        trained_prompt = PromptConfig(**self.metadata["prompt"])
        if (trained_prompt.template, trained_prompt.system) != (prompt.template, prompt.system):
            logger.info(f"{field} = {run} was trained on completions of another prompt than that of this recipe")
        self.reader = FeatureReader(model, prompt)

    def score(self, rows: Sequence[Row]) -> list[float]:
        """Return the probability that each row is right. Raises UserError if the model has other layers."""
        scores: list[float] = []
        for start in range(0, len(rows), ROWS_AT_ONCE):
            x = self.reader.read_features(rows[start : start + ROWS_AT_ONCE])  # (B, F)
            if x.shape[1] != self.metadata["features"]:
                requirement = f"reads {self.metadata['features']} features, but this model has {x.shape[1]}"
                raise UserError(self.field, self.run, requirement, "train a verifier on this model")
            scores += self.linear_head.probabilities(x).tolist()
        return scores


def verifier_scores(
    run: Path, model: ModelConfig, prompt: PromptConfig, rows: Sequence[Row], field: str = "scaling.verifier"
) -> list[float]:
    """Return the probability that each sampled row of a model is right, by the verifier of `run`. Raises UserError."""
    return VerifierScorer(run, model, prompt, field).score(rows)


def verifier_metrics(scores: Tensor, is_right: Tensor, problem_ids: Sequence[Any]) -> dict[str, float | None]:
    """Return how well scores (B,), probabilities or not, tell right completions (B,) from wrong ones.

    "auroc" is over all pairs of a right and a wrong completion; "within" over those of the same problem, as a mean
    over the problems that have both, which is what best-of-N needs. "brier" and "ece" (the expected calibration
    error, in ten bins of equal width, Guo et al. 2017) take the scores as probabilities.
    """
    rows_of_problem: dict[Any, list[int]] = defaultdict(list)
    for index, problem_id in enumerate(problem_ids):
        rows_of_problem[problem_id].append(index)
    within = []
    for rows in rows_of_problem.values():
        problem_auroc = auroc(scores[rows], is_right[rows])
        if problem_auroc is not None:
            within.append(problem_auroc)
    probabilities = scores.double().clamp(0, 1)
    return {
        "auroc": auroc(scores, is_right),
        "within": sum(within) / len(within) if within else None,
        "brier": float((probabilities - is_right.double()).square().mean()),
        "ece": expected_calibration_error(probabilities, is_right),
    }


def auroc(scores: Tensor, is_right: Tensor) -> float | None:
    """Return the probability that a right completion scores above a wrong one, ties half; None without both.

    scikit-learn's roc_auc_score gives the same in thirty times the time, and this is called once for each problem.
    """
    right_scores, wrong_scores = scores[is_right.bool()].double(), scores[~is_right.bool()].double()
    if not len(right_scores) or not len(wrong_scores):
        return None
    sorted_wrong = wrong_scores.sort().values
    wrong_below = torch.searchsorted(sorted_wrong, right_scores, right=False).double()
    wrong_below_or_equal = torch.searchsorted(sorted_wrong, right_scores, right=True).double()
    return float(((wrong_below + wrong_below_or_equal) / 2).mean() / len(wrong_scores))


def expected_calibration_error(probabilities: Tensor, is_right: Tensor) -> float:
    """Return the mean gap between probability and accuracy over bins of probability, each weighted by its rows."""
    bin_of_row = (probabilities * CALIBRATION_BINS).floor().clamp(max=CALIBRATION_BINS - 1)
    total_gap = 0.0
    for number in range(CALIBRATION_BINS):
        is_in_bin = bin_of_row == number
        if is_in_bin.any():
            gap = (probabilities[is_in_bin].mean() - is_right[is_in_bin].double().mean()).abs()
            total_gap += float(is_in_bin.sum() * gap)
    return total_gap / len(probabilities)
