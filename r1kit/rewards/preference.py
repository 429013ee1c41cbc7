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
from collections.abc import Sequence
from typing import Any

from r1kit.answers.extract import judged_part
from r1kit.answers.fault import FAULT
from r1kit.errors import UserError
from r1kit.rewards.reward_models import PARTS, JudgedText, load_reward_model
from r1kit.rewards.settings import SettingError, require_count, require_lists, require_positive_number

SCALES = ("sigmoid", "none")


def preference(
    completions: Sequence[Any],
    prompts: Sequence[Any],
    question: Sequence[str | None] | None = None,
    *,
    model: str = "",
    part: str | None = None,
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
        part: what is judged: `answer` (the final answer) or `all` (the completion with its chain of thought). Unless
            set, it is the part that a model of `r1kit reward-model` was trained on, and `answer` for other models.
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
    require_lists("preference", completions, prompts=prompts, question=question)
    _check_settings(model, part, scale, clamp, batch_size)
    lowest = _scale_score(-clamp, clamp, scale)
    rewards: list[float | None] = [lowest] * len(completions)
    # Without text there is nothing to judge, and no model is needed.
    if not any(judged_part(completion, part or "all") for completion in completions):
        return rewards
    reward_model = load_reward_model(model, revision, device)
    part = _choose_part(part, reward_model.judged)
    texts = [judged_part(completion, part) for completion in completions]
    judged_rows = [i for i, text in enumerate(texts) if text]
    questions = question or [None] * len(texts)
    conversations = []
    for i in judged_rows:
        conversations.append(reward_model.render(_choose_question(prompts[i], questions[i]), texts[i]))
    scores = reward_model.score(conversations, batch_size)
    for i, score in zip(judged_rows, scores, strict=True):
        rewards[i] = FAULT if math.isnan(score) else _scale_score(score, clamp, scale)
    return rewards


def _choose_part(part: str | None, judged: JudgedText | None) -> str:
    """Return the part of a completion that is judged. Raises UserError if the model was trained on another one."""
    trained_part = judged.part if judged is not None else None
    if part is not None and trained_part not in (None, part):
        requirement = f"this reward model was trained on pairs.part = {trained_part}"
        raise UserError("rewards.preference.part", part, requirement, "remove it, or train another reward model")
    return part or trained_part or "answer"


def _choose_question(prompt: Any, question: str | None) -> Any:
    """Return what the reward model reads as the question: chat messages, or the bare question of a text prompt."""
    return question or prompt if isinstance(prompt, str) else list(prompt)


def _scale_score(score: float, clamp: float, scale: str) -> float:
    clamped = max(-clamp, min(clamp, score))
    return 1 / (1 + math.exp(-clamped)) if scale == "sigmoid" else clamped


def _check_settings(model: Any, part: Any, scale: Any, clamp: Any, batch_size: Any) -> None:
    """Raise SettingError for a setting that `preference` cannot have."""
    if not isinstance(model, str) or not model:
        raise SettingError("preference", "model", model, "must be a reward model's hub id or directory")
    if part is not None and part not in PARTS:
        raise SettingError("preference", "part", part, "must be answer or all")
    if scale not in SCALES:
        raise SettingError("preference", "scale", scale, "must be sigmoid or none")
    require_positive_number("preference", "clamp", clamp)
    require_count("preference", "batch_size", batch_size)
