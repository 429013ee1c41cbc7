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
from r1kit.sampling.sampler import OPEN

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from r1kit.verifier.head2toe import Head


def verified(completions: Sequence[Any], prompts: Sequence[Any], *, path: str = "", **columns: Any) -> list[float]:
    """Return the chance, from 0 to 1, that each completion is right, by the verifier in the run directory `path`.

    Raises UserError where there is none, or its model is gone.
    """
    from r1kit.verifier.features import features

    head, model, tokenizer = load(path)
    asked = [render_chat(tokenizer, prompt, Prompt(template="chat")) for prompt in prompts]
    said = [completion_text(completion) for completion in completions]
    asked = [_without(prompt, completion) for prompt, completion in zip(asked, said, strict=True)]
    plain = isinstance(prompts[0], str) if len(prompts) else True
    return head.probabilities(features(model, tokenizer, asked, said, special=plain)).tolist()


def _without(prompt: str, completion: str) -> str:
    """Return a prompt without what its completion begins with that it was made to begin with."""
    for start in (OPEN, "<answer>"):
        if completion.startswith(start) and prompt.rstrip().endswith(start):
            return prompt.rstrip().removesuffix(start)
    return prompt


@lru_cache(maxsize=2)
def load(path: str) -> tuple["Head", "PreTrainedModel", "PreTrainedTokenizerBase"]:
    """Return a verifier's head, and the model that it reads with its tokenizer. Raises UserError."""
    from r1kit.training.policy import load_model, load_tokenizer
    from r1kit.verifier import verifier

    field = "rewards.verified.path"
    if not path:
        raise UserError(field, "none", "a verifier is needed", "give the run of `r1kit verifier`")
    head, told = verifier.load(Path(path), field)
    block = Model(path=told["model"])
    return head, load_model(block, training=False).eval(), load_tokenizer(block)
