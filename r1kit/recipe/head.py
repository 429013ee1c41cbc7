"""The block `head` of `r1kit verifier`: how Head2Toe chooses features and fits its linear head."""

from typing import Annotated

from pydantic import Field

from r1kit.recipe.block import Block, PositiveFloat, PositiveFraction


class HeadConfig(Block):
    """Candidate settings of Head2Toe (arXiv 2201.03529); the best combination is chosen by cross-validation."""

    penalties: Annotated[list[Annotated[float, Field(gt=0, lt=1)]], Field(min_length=1)] = [0.5, 0.2, 0.1]
    """Candidate strengths of the group lasso, as fractions of the strength at which no feature is left."""
    fractions: Annotated[list[PositiveFraction], Field(min_length=1)] = [0.01, 0.05, 0.2]
    """Candidate fractions of the model's hidden units that are kept as features."""
    ridges: Annotated[list[PositiveFloat], Field(min_length=1)] = [0.001, 0.01, 0.1]
    """Candidate strengths of the penalty on the squared weights of the linear head."""
    folds: Annotated[int, Field(ge=2)] = 5
    """Number of folds of the cross-validation; all completions of a problem are in the same fold."""
