"""The block `scaling` of `eval`: inference-time scaling, which spends more samples on each problem."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from r1kit.recipe.block import (
    MAX_DRAWS,
    Block,
    DrawCount,
    NonNegativeDrawCount,
    NonNegativeInt,
    PositiveFraction,
    PositiveInt,
    expand_path,
)


class ScalingConfig(Block):
    """How accuracy grows with N samples of each problem, for each method of choosing one answer from them."""

    samples: list[DrawCount] = []
    """Numbers N of samples to report; default: 1, 2, 4 and so on up to `sampling.samples`."""
    verifier: str | None = None
    """Run directory of `r1kit verifier` for this model; its scores then weigh votes, choose the best of N and stop
    sampling early."""
    by: list[str] = []
    """Rewards of this recipe, with values from 0 to 1, that weigh votes and choose the best of N, such as
    [preference]."""
    search: list[Literal["beam", "dvts"]] = []
    """Tree searches guided by the verifier: beam search, and diverse verifier tree search; needs the engine
    transformers."""
    paths: list[DrawCount] = [16]
    """Numbers of paths that a search follows at once; each must be a multiple of `width`."""
    width: Annotated[int, Field(ge=2, le=MAX_DRAWS)] = 4
    """Number of paths that continue from each path that a search keeps."""
    step_tokens: PositiveInt = 8
    """Number of tokens of each step of a search, after which the verifier scores the paths."""
    sure: list[PositiveFraction] = [0.5, 0.7, 0.8, 0.9, 0.95]
    """Probabilities that the leading answer will win the vote, at which sampling stops before the last of N."""
    direct: NonNegativeDrawCount = 0
    """Number of samples that first answer without thinking; only problems where their vote is not `sure` are then
    thought about. 0 switches it off."""
    budgets: list[PositiveInt] = []
    """Budget forcing: numbers of tokens after which the thinking is closed and the answer sampled; needs the engine
    transformers or vllm."""
    waits: NonNegativeInt = 0
    """Budget forcing: how many times the end of the thinking is replaced by `wait`, so that the model thinks on."""
    closing: str = "</think>\n<answer>"
    """Budget forcing: text that closes the thinking."""
    wait: str = " Wait,"
    """Budget forcing: text that replaces the end of the thinking."""
    answer_tokens: PositiveInt = 64
    """Budget forcing: longest answer after the thinking is closed, in tokens."""
    draws: DrawCount = 256
    """Number of random choices of N samples over which a method is averaged where no formula gives the mean."""

    _expand_path = field_validator("verifier")(expand_path)
