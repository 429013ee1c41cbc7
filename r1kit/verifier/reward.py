"""The verifier as a reward: how likely a completion is right, where there is no gold answer to hold it against.

    rewards: [{name: r1kit.verifier.reward.verified, path: runs/tiny/verifier}]

The layers are those of the model that the verifier was trained on, frozen, not of the policy in training: a policy that
moves away from it is judged worse and worse, and may learn to please it. In `generate` the column `verified` ranks
completions (`keep.prefer: verified`) and tells how hard a prompt is (`keep.pass_rate_by: verified`).
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.errors import UserError
from r1kit.prompts import completion_text
from r1kit.recipe import Model, Prompt
from r1kit.sampling.local import render_chat
from r1kit.sampling.sampler import beginning

if TYPE_CHECKING:
    from r1kit.verifier.head2toe import Head
    from r1kit.verifier.verifier import Reader


def verified(completions: Sequence[Any], prompts: Sequence[Any], *, path: str = "", **columns: Any) -> list[float]:
    """Return the chance, from 0 to 1, that each completion is right, by the verifier in the run directory `path`.

    Raises UserError where there is none, or its model is gone.
    """
    from r1kit.verifier.features import features

    head, reader = load(path)
    texts = [render_chat(reader.tokenizer, prompt, reader.prompt) for prompt in prompts]
    said = [completion_text(completion) for completion in completions]
    asked = [without(text, completion, reader.prompt.prefill) for text, completion in zip(texts, said, strict=True)]
    plain = bool(prompts) and isinstance(prompts[0], str)
    return head.probabilities(features(reader.policy, reader.tokenizer, asked, said, special=plain)).tolist()


def without(prompt: str, completion: str, prefill: str) -> str:
    """Return a prompt without its end where the completion stands there again: what that was made to begin with."""
    start = beginning(prompt, prefill)
    return prompt.removesuffix(start) if start and completion.startswith(start) else prompt


@lru_cache(maxsize=2)
def load(path: str) -> tuple["Head", "Reader"]:
    """Return a verifier's head, and the model that it reads. Raises UserError."""
    from r1kit.verifier import verifier

    field = "rewards.verified.path"
    if not path:
        raise UserError(field, "none", "a verifier is needed", "give the run of `r1kit verifier`")
    head, told = verifier.load(Path(path), field)
    return head, verifier.Reader(Model(**told["model"]), Prompt(**told["prompt"]))
