"""The verifier as a reward: how likely a completion is right, for rows without a gold answer to compare it with.

    rewards: [{name: r1kit.head2toe.reward.verified, path: runs/tiny/verifier}]

It reads the layers of the model that the verifier was trained on, which stays frozen, and not those of the policy in
training. A policy that moves away from that model is judged less and less reliably, and may learn to please the
verifier. In `generate` the column `verified` ranks completions (`keep.prefer: verified`) and tells how hard a prompt
is (`keep.pass_rate_by: verified`).
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from r1kit.answers.extract import completion_text
from r1kit.errors import UNSET, UserError
from r1kit.models.templates import apply_template, template_prefix
from r1kit.recipe import ModelConfig, PromptConfig
from r1kit.user_paths import expand_home

if TYPE_CHECKING:
    from r1kit.head2toe.linear_head import LinearHead
    from r1kit.head2toe.verifier import FeatureReader


def verified(
    completions: Sequence[Any],
    prompts: Sequence[Any],
    *,
    path: str = "",
    trust_remote_code: bool = False,
    **columns: Any,
) -> list[float]:
    """Return the probability that each completion is right, by the verifier in the run directory `path`.

    `trust_remote_code` runs Python code that comes with the model that the verifier was trained on.

    Raises UserError if there is no verifier, or the model that it was trained on is gone.
    """
    linear_head, reader = load_verifier_model(path, trust_remote_code)
    prompt_texts, texts = [], []
    for prompt, completion in zip(prompts, completions, strict=True):
        text = completion_text(completion)
        prompt_text = apply_template(reader.tokenizer, prompt, reader.prompt)
        prompt_texts.append(drop_repeated_prefix(prompt_text, text, reader.prompt.prefill))
        texts.append(text)
    is_plain_text = bool(prompts) and isinstance(prompts[0], str)
    return linear_head.probabilities(reader.read_text_features(prompt_texts, texts, is_plain_text)).tolist()


def drop_repeated_prefix(prompt: str, completion: str, prefill: str) -> str:
    """Return a prompt without the text at its end with which the completion begins again.

    A prompt may end with text that the completion is made to begin with, and the completion may repeat that or not:

        drop_repeated_prefix("Q?\\nA: <think>\\n", "<think>\\n so</think>", "") == "Q?\\nA: "
    """
    prefix = template_prefix(prompt, prefill)
    return prompt.removesuffix(prefix) if prefix and completion.startswith(prefix) else prompt


@lru_cache(maxsize=2)
def load_verifier_model(path: str, trust_remote_code: bool = False) -> tuple["LinearHead", "FeatureReader"]:
    """Return a verifier's linear head, and a reader with the model that it was trained on. Raises UserError.

    Whether the model's own code runs is decided by the recipe of this run alone, since a verifier.json may come from
    anybody.
    """
    from r1kit.head2toe import verifier

    field = "rewards.verified.path"
    if not path:
        raise UserError(field, UNSET, "the reward needs a trained verifier", "set path to a run of `r1kit verifier`")
    linear_head, metadata = verifier.load_verifier(Path(expand_home(path)), field)
    try:
        model, prompt = ModelConfig(**metadata["model"]), PromptConfig(**metadata["prompt"])
    except (KeyError, TypeError, ValidationError):
        requirement = "has a verifier.json without the model and the prompt that it was trained on"
        raise UserError(field, path, requirement, "train it again") from None
    if model.trust_remote_code and not trust_remote_code:
        requirement = f"its verifier.json asks to run Python code that comes with the model {model.path}"
        action = "read that code, then set trust_remote_code: true beside path"
        raise UserError(field, path, requirement, action)
    model = model.model_copy(update={"trust_remote_code": trust_remote_code})
    return linear_head, verifier.FeatureReader(model, prompt)
