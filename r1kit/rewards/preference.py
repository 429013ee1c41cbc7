"""Preference: a reward model from the hub as a reward, for prompts that no rule can check.

R1's last stage (arXiv 2501.12948, section 3.1) judges helpfulness by the final answer alone and
harmlessness by the whole completion: `part: answer` and `part: all`. It uses them in the last 400 of
1,700 steps only, since a policy learns to please a reward model: `last_steps: 400` in the recipe.
"""

import math
import os
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from r1kit.answers.fault import FAULT
from r1kit.errors import UserError
from r1kit.prompts import completion_text
from r1kit.runs.paths import resolve_model_path

PARTS, SCALES = ("answer", "all"), ("sigmoid", "none")
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


def preference(
    completions: Sequence[Any],
    prompts: Sequence[Any],
    question: Sequence[str | None] | None = None,
    *,
    model: str = "",
    part: str = "answer",
    scale: str = "sigmoid",
    clamp: float = 10.0,
    batch_size: int = 16,
    revision: str | None = None,
    device: str | None = None,
    **columns: Any,
) -> list[float | None]:
    """What the reward model `model` gives the prompt with the completion, limited to -clamp..clamp.

    In [0, 1] with `scale: sigmoid`, else in [-clamp, clamp]. A completion that says nothing gets the lowest
    value; one too long for the model, or scored as NaN, is a FAULT. A text prompt is replaced by the row's
    bare `question`, where it has one: the reward model is not to judge the prompt template.

    Raises ValueError for a knob, UserError for a model that cannot be loaded or is no reward model.
    """
    _check_knobs(model, part, scale, clamp, batch_size)
    said = [completion_text(c) if part == "all" else final_answer(completion_text(c)) for c in completions]
    scores: list[float | None] = [_squash(-clamp, clamp, scale)] * len(said)
    spoken = [i for i, text in enumerate(said) if text.strip()]
    if not spoken:
        return scores
    judge = load_reward_model(model, revision, device)
    questions = question or [None] * len(said)
    texts = [judge.text(_messages(prompts[i], questions[i]), said[i]) for i in spoken]
    for i, logit in zip(spoken, judge.logits(texts, batch_size), strict=True):
        scores[i] = FAULT if math.isnan(logit) else _squash(logit, clamp, scale)
    return scores


def final_answer(completion: str) -> str:
    """Return what a completion says to the user: its last answer block, else what follows its thinking.

    Empty where the thinking never ends. Unlike `prompts.read`, no `\\boxed{}` is cut out of its sentence.
    """
    thinking, closed, rest = completion.partition("</think>")
    if not closed:
        rest = "" if "<think>" in thinking else thinking
    answers = _ANSWER.findall(rest)
    return (answers[-1] if answers else re.sub("</?answer>", "", rest)).strip()


def _messages(prompt: Any, question: str | None) -> list[dict[str, str]]:
    """Return what was asked as chat messages."""
    return [{"role": "user", "content": question or prompt}] if isinstance(prompt, str) else list(prompt)


def _squash(logit: float, clamp: float, scale: str) -> float:
    value = max(-clamp, min(clamp, logit))
    return 1 / (1 + math.exp(-value)) if scale == "sigmoid" else value


@dataclass(frozen=True)
class _Judge:
    """A loaded reward model: its pad token, where it names one, and the tokens that it can read."""

    model: Any
    tokenizer: Any
    pad: int | None
    limit: float

    def text(self, asked: list[dict[str, str]], said: str) -> str:
        """Put question and answer into the model's chat template; without one, a line each."""
        if self.tokenizer.chat_template is None:
            return "\n".join([*(m["content"] for m in asked), said])
        return self.tokenizer.apply_chat_template([*asked, {"role": "assistant", "content": said}], tokenize=False)

    def logits(self, texts: list[str], batch_size: int) -> list[float]:
        """Return one number a text, NaN for a text too long; batches are of like lengths."""
        plain = self.tokenizer.chat_template is None  # a template writes its special tokens itself
        rows = self.tokenizer(texts, add_special_tokens=plain).input_ids
        found = [math.nan] * len(rows)
        order = sorted((i for i, ids in enumerate(rows) if len(ids) <= self.limit), key=lambda i: len(rows[i]))
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            for i, logit in zip(batch, self._forward([rows[i] for i in batch]), strict=True):
                found[i] = logit
        return found

    def _forward(self, rows: list[list[int]]) -> Iterator[float]:
        import torch

        # The model reads its score at the last token that is not padding. One that names no pad token was
        # trained to read the last token of all: then any token will do that no row ends in.
        ends = {ids[-1] for ids in rows}
        pad = self.pad if self.pad is not None else next(i for i in range(len(ends) + 1) if i not in ends)
        self.model.config.get_text_config().pad_token_id = pad
        width = max(map(len, rows))
        ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows], device=self.model.device)  # (B, T)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=self.model.device)
        with torch.inference_mode():
            logits = self.model(input_ids=ids, attention_mask=mask).logits  # (B, 1)
        return iter(logits[:, 0].float().tolist())


_loading = threading.Lock()


def load_reward_model(model: str, revision: str | None = None, device: str | None = None) -> _Judge:
    """Return the reward model, loaded once a process. Raises UserError."""
    with _loading:
        return _load(model, revision, device or _accelerator())


@lru_cache(maxsize=4)
def _load(name: str, revision: str | None, device: str) -> _Judge:
    """Load a reward model and its tokenizer once a process: float32 on a CPU, else as it was saved."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    field, path = "rewards.preference.model", resolve_model_path(name, "rewards.preference.model")
    dtype: Any = torch.float32 if device == "cpu" else "auto"
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, revision=revision)
        model, report = AutoModelForSequenceClassification.from_pretrained(
            path, revision=revision, dtype=dtype, output_loading_info=True
        )
    except (OSError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(field, name, f"cannot be loaded: {reason}", "check the path, the id and the network") from None
    missing = sorted(report["missing_keys"])
    if model.config.num_labels != 1 or missing:
        lacks = f"it lacks {missing[0]}" if missing else f"it has {model.config.num_labels} labels"
        raise UserError(field, name, f"must be a reward model with one label, and {lacks}", "give another one")
    text = model.config.get_text_config()
    pad = text.pad_token_id if text.pad_token_id is not None and text.pad_token_id >= 0 else None
    limit = min(tokenizer.model_max_length, getattr(text, "max_position_embeddings", None) or math.inf)
    return _Judge(model.eval().to(device), tokenizer, pad, limit)


def _accelerator() -> str:
    """Return the local rank's accelerator, or the CPU where there is none."""
    import torch

    if not torch.accelerator.is_available():
        return "cpu"
    kind = torch.accelerator.current_accelerator()
    rank = int(os.environ.get("LOCAL_RANK", "0")) % torch.accelerator.device_count()
    return f"{kind.type}:{rank}" if kind else "cpu"


def _check_knobs(model: Any, part: Any, scale: Any, clamp: Any, batch_size: Any) -> None:
    if not isinstance(model, str) or not model:
        raise ValueError(f"preference: model = {model}; must be a reward model's hub id or folder")
    if part not in PARTS:
        raise ValueError(f"preference: part = {part}; use answer or all")
    if scale not in SCALES:
        raise ValueError(f"preference: scale = {scale}; use sigmoid or none")
    if not isinstance(clamp, int | float) or not 0 < clamp < math.inf:
        raise ValueError(f"preference: clamp = {clamp}; must be a number above 0")
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"preference: batch_size = {batch_size}; must be a whole number of at least 1")
