"""The sampling parameters that a recipe leaves off, sent to a server all the same.

A server takes what a request does not set from the model's generation_config.json: `top_k: 20` and a repetition
penalty of 1.05 for many models of the Qwen family, where r1kit's own engines sample from the whole distribution. So
each request says of every parameter that it is off. Servers differ in what they know: vLLM and SGLang know all of them,
`transformers serve` takes a whole generation config as text, and hosted models refuse fields that OpenAI does not have.
Which of these a server is, its first answers tell.
"""

import json
from collections.abc import Mapping
from typing import Any

from r1kit.recipe import SamplingConfig

Fields = Mapping[str, Any]

NEUTRAL_FIELDS: Fields = {
    "top_k": -1,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
"""The parameters that r1kit samples without, each with the value that switches it off on vLLM, SGLang and llama.cpp."""

REFUSAL_STATUSES = (400, 422)
"""The statuses with which servers refuse a field that they do not know."""

# How `transformers serve` begins its refusal of a field. It takes them in a generation config instead.
_TRANSFORMERS_REFUSAL = "Unexpected fields in the request"


class NeutralParameters:
    """The fields by which requests switch parameters off, as far as the server has accepted them."""

    def __init__(self, config: SamplingConfig, stop_token_ids: list[int], logprobs_field: Fields | None = None):
        """`stop_token_ids` end a completion in addition to those that the server knows; they may be empty.

        `logprobs_field` asks for log-probabilities, which a server may refuse as it may the parameters.
        """
        self.config = config
        fields: dict[str, Any] = {
            name: value for name, value in NEUTRAL_FIELDS.items() if name not in config.server.body
        }
        if config.top_k:
            fields["top_k"] = config.top_k
        if stop_token_ids:
            fields["stop_token_ids"] = stop_token_ids
        fields |= logprobs_field or {}
        self.fields: Fields = fields
        self.is_settled = False

    def settle(self, fields: Fields) -> list[str]:
        """Send these fields from now on, with which a request was answered; return the names that the server lacks.

        `logprobs` is not among them: its absence changes no sample, and is seen in the response.
        """
        self.is_settled = True
        lacking = [name for name in self.fields if name not in fields and name != "logprobs"]
        if "generation_config" in fields:
            lacking = []
        self.fields = fields
        return lacking

    def alternative(self, refused: Fields, message: str) -> Fields | None:
        """Return the fields to try after a server has refused others with a message; None if there are none to try.

        A parameter that the recipe sets is never left out.
        """
        if message.startswith(_TRANSFORMERS_REFUSAL) and "generation_config" not in refused:
            return {"generation_config": json.dumps(self._generation_config())}
        optional = [name for name in refused if not (name == "top_k" and self.config.top_k)]
        named = [name for name in optional if name in message]
        left_out = named or optional
        if not left_out:
            return None
        return {name: value for name, value in refused.items() if name not in left_out}

    def _generation_config(self) -> dict[str, Any]:
        """Return the fields of transformers' GenerationConfig that say how is sampled; requests set the others."""
        config = self.config
        return {
            "do_sample": config.temperature > 0,
            "max_new_tokens": config.max_tokens,
            "top_k": config.top_k,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "typical_p": 1.0,
        }


def describe_lacking(names: list[str]) -> str:
    """Return the note on parameters that a server does not know."""
    return (
        f"the server does not know {', '.join(names)}, which are off in a recipe: for these it samples by settings of "
        "its own"
    )
