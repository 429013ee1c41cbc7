"""Is the model on the disk the one that was trained, does it stop by itself, and is its adapter merged rightly?

The model is loaded once as its users do, by transformers or peft alone, and once by r1kit, which merges an adapter.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList

from r1kit.models.load import load_model
from r1kit.prove.table import Finding, judge
from r1kit.recipe import ModelConfig
from r1kit.runs.paths import resolve_model_path

TOLERANCE = 1e-3
"""Greatest difference of a logit, as a fraction of their standard deviation, that float32 explains."""
TOKENS_BEFORE_END = 3
LONGEST_PROBE = 128
"""Tokens of a row whose logits are compared."""


@torch.no_grad()
def read_logits(model: Any, ids: Sequence[int]) -> torch.Tensor:
    """Return the logits (T, V) of a model at each of `ids`."""
    token_ids = torch.tensor([list(ids[:LONGEST_PROBE])], device=model.device)
    return model(input_ids=token_ids, use_cache=False).logits[0].double().cpu()


def check_saved(trainer: Any, run_dir: Path, ids: Sequence[int], stop_ids: Sequence[int]) -> list[Finding]:
    """Return the findings on the model of a run: its logits, where it stops, and its adapter.

    `ids` are those of a trained row, `stop_ids` the tokens that end what was trained.
    """
    was_training = trainer.model.training
    trainer.model.eval()
    trained_logits = read_logits(trainer.model, ids)
    trainer.model.train(was_training)
    plain = load_as_users_do(run_dir)
    difference = compare_logits(read_logits(plain, ids), trained_logits)
    figure = f"loaded by {type(plain).__name__}: logits differ by {difference:.1e} of their deviation"
    findings = [judge("saved model", difference <= TOLERANCE, figure), _judge_stops(plain, trainer, ids, stop_ids)]
    if hasattr(trainer.model, "peft_config"):
        block = ModelConfig(path=str(run_dir), dtype="float32")
        merged = load_model(block, training=False, device="cpu").eval()
        difference = compare_logits(read_logits(merged, ids), trained_logits)
        moved = _adapter_effect(trainer, ids, trained_logits)
        figure = f"merged, logits differ by {difference:.1e} of their deviation; the adapter moves them by {moved:.1e}"
        findings.append(judge("adapter", difference <= TOLERANCE and moved > 10 * TOLERANCE, figure))
    return findings


def load_as_users_do(run_dir: Path) -> Any:
    """Return the model of a run, loaded by transformers or, as an adapter on its base, by peft."""
    path = resolve_model_path(str(run_dir))
    if (Path(path) / "adapter_config.json").exists():
        from peft import AutoPeftModelForCausalLM

        return AutoPeftModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()


def compare_logits(logits: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the greatest difference of two sets of logits over the standard deviation of the second."""
    if logits.shape != expected.shape:
        return float("inf")
    return float((logits - expected).abs().max() / expected.std())


def _adapter_effect(trainer: Any, ids: Sequence[int], trained_logits: torch.Tensor) -> float:
    """Return by how much the trained adapter changes the logits of its base."""
    with trainer.model.disable_adapter():
        return compare_logits(read_logits(trainer.model, ids), trained_logits)


def _judge_stops(model: Any, trainer: Any, ids: Sequence[int], stop_ids: Sequence[int]) -> Finding:
    """Return whether a plain `generate` of the saved model stops at each token that ends what was trained."""
    tokenizer = trainer.processing_class
    stopped = []
    special_ids = {*tokenizer.all_special_ids, *stop_ids}
    other_token = next((token for token in ids if token not in special_ids), 0)
    for stop_id in stop_ids:
        prompt = torch.tensor([list(ids[:8])], device=model.device)
        forced = _ForcedEnd(prompt.shape[1] + TOKENS_BEFORE_END, stop_id, other_token)
        output = model.generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=False,
            max_new_tokens=4 * TOKENS_BEFORE_END,
            logits_processor=LogitsProcessorList([forced]),
            pad_token_id=tokenizer.pad_token_id,
        )
        if output.shape[1] == prompt.shape[1] + TOKENS_BEFORE_END + 1:
            stopped.append(stop_id)
    names = [repr(tokenizer.decode([token])) for token in stop_ids]
    figure = f"generate stops by itself at {len(stopped)} of {len(names)} tokens that end a completion: "
    figure += ", ".join(names) or "none is trained"
    return judge("saved stop", bool(stop_ids) and len(stopped) == len(stop_ids), figure)


class _ForcedEnd(LogitsProcessor):
    """Makes a generation write `other_token`, and `end_token` at one place."""

    def __init__(self, position: int, end_token: int, other_token: int):
        self.position, self.end_token, self.other_token = position, end_token, other_token

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        forced = torch.full_like(scores, -float("inf"))
        forced[:, self.end_token if input_ids.shape[1] == self.position else self.other_token] = 0.0
        return forced
