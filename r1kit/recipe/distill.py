"""The blocks `distill` and `teacher` of the stage distill: what the student learns from its teacher, and how."""

from typing import Annotated, Any, Literal

from pydantic import field_validator

from r1kit.recipe.block import Block, Fraction, OnResume, expand_path
from r1kit.recipe.model import ModelConfig

KEY_OF_TEXT = {"distill": "method", "teacher": "path"}
"""The key of each block here that a text in the block's place sets: `distill: on-policy`, `teacher: runs/r1`."""


def expand_text(block_name: str, value: Any) -> Any:
    """Return the block that a text stands for, any other value as it is."""
    return {KEY_OF_TEXT[block_name]: value} if isinstance(value, str) else value


class DistillConfig(Block):
    """How the student learns."""

    method: Literal["rows", "on-policy", "gold"] = "rows"
    """`rows` is SFT on rows that a teacher sampled before (the paper's distillation). `on-policy` has the student
    answer the problems of `data`, and trains it towards the teacher's probabilities of each token of its answers
    (arXiv 2306.13649); it needs `teacher`. `gold` does so with a teacher that has another tokenizer (TRL's GOLD)."""
    divergence: Fraction = 1.0
    """Which distance from the teacher is made small: 1 is the reverse KL divergence, in which the student keeps to
    answers that the teacher finds likely; 0 is the forward one, in which it covers all of them; values between them are
    the generalized Jensen-Shannon divergence (TRL's `beta`). `gold` follows it with `trl.uld_use_hybrid_loss` alone."""


class TeacherModelConfig(Block):
    """The model whose probabilities the student learns."""

    path: str | None = None
    """Where the teacher is read from: a hub id, a local folder or a run directory. For `on-policy` it must have the
    student's tokenizer."""
    server: Annotated[str | None, OnResume.IGNORED] = None
    """Address of a vLLM server that serves the teacher, such as http://localhost:8000; only for `on-policy`. The
    tokenizer alone is then read from `path`. For each token the loss sees two of the teacher's probabilities: that of
    the student's token and that of the most likely one (TRL's ServerDistillationTrainer)."""
    revision: str | None = None
    """Branch, tag or commit of the teacher on the hub; default: its main branch."""
    trust_remote_code: bool = False
    """Whether to run Python code that comes with the teacher; set it only for authors you trust."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the teacher's weights, which are not trained: `auto` is bfloat16 on a GPU that has it, else
    float32."""
    attention: str | None = None
    """Implementation of attention, as transformers' `attn_implementation`, such as sdpa or flash_attention_2."""

    _expand_path = field_validator("path")(expand_path)

    @field_validator("server")
    @classmethod
    def _check_server(cls, server: str | None) -> str | None:
        if server is not None and not server.startswith(("http://", "https://")):
            raise ValueError("must be an address like http://localhost:8000")
        return server

    def to_model_config(self) -> ModelConfig:
        """Return the block as that of a model, from which the teacher and its tokenizer are loaded."""
        values: dict[str, Any] = self.model_dump(exclude={"server"})
        return ModelConfig(**values)
