"""Preference: a reward model as a reward, for prompts whose answers no rule can check.

R1's last stage (arXiv 2501.12948, section 3.1) judges helpfulness by the final answer alone (`part: answer`) and
harmlessness by the whole completion (`part: all`). It uses reward models in the last 400 of its 1,700 steps only,
since a policy learns to exploit a reward model; in a recipe that is `last_steps: 400`.

    rewards:
      - name: preference
        model: Skywork/Skywork-Reward-V2-Qwen3-0.6B
        last_steps: 400
"""

import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from r1kit.answers.extract import completion_text, final_reply
from r1kit.answers.fault import FAULT
from r1kit.errors import UserError
from r1kit.ranks import local_rank
from r1kit.rewards.settings import SettingError, require_count, require_positive_number

PARTS = ("answer", "all")
SCALES = ("sigmoid", "none")

# Reward models that stay in memory at once.
MAX_LOADED_MODELS = 4

_MODEL_FIELD = "rewards.preference.model"


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
    """Pay the score that a reward model gives to the completion, limited to -clamp..clamp and, by default, squashed.

    In [0, 1] with `scale="sigmoid"`, in [-clamp, clamp] with `scale="none"`. Never `None`. An empty completion gets the
    lowest value. FAULT: the completion is too long for the model, or its score is NaN.

    Columns: `question`, the problem without the prompt template, which the model reads in the place of a plain-text
    prompt.

    Settings:
        model: hub id, directory or run of a sequence classification model with one label.
        part: what is judged: `answer` (the final answer) or `all` (the completion with its chain of thought).
        scale: `sigmoid` or `none`.
        clamp: limit of the absolute score, above 0.
        batch_size: completions in a forward pass.
        revision: revision of a hub model.
        device: such as `cuda:1`; the accelerator of the local rank unless set.

    Raises ValueError for a wrong setting, UserError for a model that cannot be loaded or is no reward model.

    Source: R1 (arXiv 2501.12948, section 3.1).

    An empty completion is not given to the model:

    >>> preference([""], prompts=["Write a poem."], model="my/reward-model", scale="none", clamp=5.0)
    [-5.0]
    """
    _check_settings(model, part, scale, clamp, batch_size)
    texts = []
    for completion in completions:
        text = completion_text(completion)
        texts.append(text if part == "all" else final_reply(text))
    rewards: list[float | None] = [_scale_score(-clamp, clamp, scale)] * len(texts)
    judged_rows = [i for i, text in enumerate(texts) if text.strip()]
    if not judged_rows:
        return rewards
    reward_model = load_reward_model(model, revision, device)
    questions = question or [None] * len(texts)
    conversations = []
    for i in judged_rows:
        conversations.append(reward_model.render(_prompt_messages(prompts[i], questions[i]), texts[i]))
    scores = reward_model.score(conversations, batch_size)
    for i, score in zip(judged_rows, scores, strict=True):
        rewards[i] = FAULT if math.isnan(score) else _scale_score(score, clamp, scale)
    return rewards


def _prompt_messages(prompt: Any, question: str | None) -> list[dict[str, str]]:
    """Return the prompt as chat messages."""
    if isinstance(prompt, str):
        return [{"role": "user", "content": question or prompt}]
    return list(prompt)


def _scale_score(score: float, clamp: float, scale: str) -> float:
    clamped = max(-clamp, min(clamp, score))
    return 1 / (1 + math.exp(-clamped)) if scale == "sigmoid" else clamped


@dataclass(frozen=True)
class _RewardModel:
    """A loaded reward model with its tokenizer."""

    model: Any
    tokenizer: Any
    pad_token_id: int | None  # None where the model's config names none
    max_tokens: float  # of prompt and completion together; infinite where the model names no limit

    def render(self, prompt_messages: list[dict[str, str]], reply: str) -> str:
        """Return prompt and reply in the model's chat template; without a template, each on a line of its own."""
        if self.tokenizer.chat_template is None:
            contents = [message["content"] for message in prompt_messages]
            return "\n".join([*contents, reply])
        messages = [*prompt_messages, {"role": "assistant", "content": reply}]
        return self.tokenizer.apply_chat_template(messages, tokenize=False)

    def score(self, texts: list[str], batch_size: int) -> list[float]:
        """Return one score for each text, NaN for a text that is too long."""
        # A chat template writes its special tokens itself.
        adds_special_tokens = self.tokenizer.chat_template is None
        token_rows = self.tokenizer(texts, add_special_tokens=adds_special_tokens).input_ids
        scores = [math.nan] * len(token_rows)
        # Batches are made of texts of similar length, which need little padding.
        order = [i for i, token_ids in enumerate(token_rows) if len(token_ids) <= self.max_tokens]
        order.sort(key=lambda i: len(token_rows[i]))
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            for i, score in zip(batch, self._forward([token_rows[i] for i in batch]), strict=True):
                scores[i] = score
        return scores

    def _forward(self, token_rows: list[list[int]]) -> Iterator[float]:
        import torch

        pad_token_id = self.pad_token_id
        if pad_token_id is None:
            # The model reads its score at the last token that is not padding. A model that names no pad token was
            # trained to read the last token of all, for which any token will do in which no row ends.
            last_tokens = {token_ids[-1] for token_ids in token_rows}
            pad_token_id = next(i for i in range(len(last_tokens) + 1) if i not in last_tokens)
        self.model.config.get_text_config().pad_token_id = pad_token_id
        width = max(map(len, token_rows))
        padded_rows = []
        mask_rows = []
        for token_ids in token_rows:
            padding = width - len(token_ids)
            padded_rows.append(token_ids + [pad_token_id] * padding)
            mask_rows.append([1] * len(token_ids) + [0] * padding)
        input_ids = torch.tensor(padded_rows, device=self.model.device)  # (B, T)
        attention_mask = torch.tensor(mask_rows, device=self.model.device)  # (B, T)
        with torch.inference_mode():
            logits = self.model(input_ids=input_ids, attention_mask=attention_mask).logits  # (B, 1)
        return iter(logits[:, 0].float().tolist())


# Rewards run in threads of their own, and two of them must not load the same model at once.
_loading_lock = threading.Lock()


def load_reward_model(model: str, revision: str | None = None, device: str | None = None) -> _RewardModel:
    """Return the reward model, which is loaded once in a process. Raises UserError."""
    with _loading_lock:
        return _load(model, revision, device or _accelerator())


@lru_cache(maxsize=MAX_LOADED_MODELS)
def _load(name: str, revision: str | None, device: str) -> _RewardModel:
    """Load a reward model and its tokenizer: in float32 on a CPU, elsewhere in the dtype in which it was saved."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from r1kit.runs.paths import resolve_model_path  # imports pydantic, which the other rewards do without

    path = resolve_model_path(name, _MODEL_FIELD)
    dtype: Any = torch.float32 if device == "cpu" else "auto"
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, revision=revision)
        model, report = AutoModelForSequenceClassification.from_pretrained(
            path, revision=revision, dtype=dtype, output_loading_info=True
        )
    except (OSError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        action = "check the path, the id and the network"
        raise UserError(_MODEL_FIELD, name, f"cannot be loaded: {reason}", action) from None
    # transformers would give a language model a random score layer, and return noise.
    missing_weights = sorted(report["missing_keys"])
    if model.config.num_labels != 1 or missing_weights:
        fault = f"it has {model.config.num_labels} labels"
        if missing_weights:
            fault = f"it lacks {missing_weights[0]}"
        requirement = f"must be a reward model with one label, but {fault}"
        raise UserError(_MODEL_FIELD, name, requirement, "use another model")
    config = model.config.get_text_config()
    pad_token_id = config.pad_token_id
    if pad_token_id is not None and pad_token_id < 0:
        pad_token_id = None
    max_tokens = min(tokenizer.model_max_length, getattr(config, "max_position_embeddings", None) or math.inf)
    return _RewardModel(model.eval().to(device), tokenizer, pad_token_id, max_tokens)


def _accelerator() -> str:
    """Return the device of this process: the local rank's accelerator, or the CPU where there is none."""
    import torch

    if not torch.accelerator.is_available():
        return "cpu"
    accelerator = torch.accelerator.current_accelerator()
    if accelerator is None:
        return "cpu"
    return f"{accelerator.type}:{local_rank() % torch.accelerator.device_count()}"


def _check_settings(model: Any, part: Any, scale: Any, clamp: Any, batch_size: Any) -> None:
    """Raise SettingError for a setting that `preference` cannot have."""
    if not isinstance(model, str) or not model:
        raise SettingError("preference", "model", model, "must be a reward model's hub id or directory")
    if part not in PARTS:
        raise SettingError("preference", "part", part, "must be answer or all")
    if scale not in SCALES:
        raise SettingError("preference", "scale", scale, "must be sigmoid or none")
    require_positive_number("preference", "clamp", clamp)
    require_count("preference", "batch_size", batch_size)
