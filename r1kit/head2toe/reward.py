"""The verifier as a reward: how likely a completion is right, where there is no gold answer to hold it against.

    rewards: [{name: r1kit.head2toe.reward.verified, path: runs/tiny/verifier}]

The layers are those of the model that the verifier was trained on, frozen, not of the policy in training: a policy that
moves away from it is judged worse and worse, and may learn to please it. In `generate` the column `verified` ranks
completions (`keep.prefer: verified`) and tells how hard a prompt is (`keep.pass_rate_by: verified`).
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.answers.extract import completion_text
from r1kit.errors import UserError
from r1kit.models.templates import apply_template, template_prefix
from r1kit.recipe import ModelConfig, PromptConfig

if TYPE_CHECKING:
    from r1kit.head2toe.head import LinearHead
    from r1kit.head2toe.verifier import FeatureReader


def verified(completions: Sequence[Any], prompts: Sequence[Any], *, path: str = "", **columns: Any) -> list[float]:
    """Return the chance, from 0 to 1, that each completion is right, by the verifier in the run directory `path`.

    Raises UserError where there is none, or its model is gone.
    """
    from r1kit.head2toe.features import extract_features

    head, reader = load_verifier_model(path)
    texts = [apply_template(reader.tokenizer, prompt, reader.prompt) for prompt in prompts]
    said = [completion_text(completion) for completion in completions]
    asked = [without(text, completion, reader.prompt.prefill) for text, completion in zip(texts, said, strict=True)]
    plain = bool(prompts) and isinstance(prompts[0], str)
    return head.probabilities(extract_features(reader.policy, reader.tokenizer, asked, said, special=plain)).tolist()


def without(prompt: str, completion: str, prefill: str) -> str:
    """Return a prompt without its end where the completion stands there again: what that was made to begin with."""
    start = template_prefix(prompt, prefill)
    return prompt.removesuffix(start) if start and completion.startswith(start) else prompt


@lru_cache(maxsize=2)
def load_verifier_model(path: str) -> tuple["LinearHead", "FeatureReader"]:
    """Return a verifier's head, and the model that it reads. Raises UserError."""
    from r1kit.head2toe import verifier

    field = "rewards.verified.path"
    if not path:
        raise UserError(field, "none", "a verifier is needed", "give the run of `r1kit verifier`")
    head, told = verifier.load_verifier(Path(path), field)
    return head, verifier.FeatureReader(ModelConfig(**told["model"]), PromptConfig(**told["prompt"]))
