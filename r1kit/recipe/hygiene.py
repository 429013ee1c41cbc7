"""The block `hygiene` of `generate` and `data`: duplicates and benchmark problems that are removed."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from r1kit.recipe.block import Block
from r1kit.recipe.data import Sources, normalise_sources


class HygieneConfig(Block):
    """Problems that are removed before anything is sampled, and rows that `data` removes.

    Rows of `data` with completions count as duplicates when both prompt and completion are.
    """

    exact: bool = False
    """Remove problems that differ from an earlier one in case, white space, dollar signs, quotes and a final dot
    alone."""
    near: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Remove problems that resemble an earlier one: the smallest Jaccard similarity of their sequences of 5 letters
    that counts, such as 0.7. Their numbers must be the same, and their gold answers where both have one."""
    decontaminate: Sources = []
    """Benchmarks whose problems must not be in the data: a row that shares a sequence of `ngram` words with one is
    removed."""
    ngram: Annotated[int, Field(ge=3)] = 10
    """Number of words in a row that make a row contaminated; a shorter benchmark problem is compared as a whole."""

    @model_validator(mode="before")
    @classmethod
    def _accept_short_sources(cls, values: Any) -> Any:
        return normalise_sources(values, ("decontaminate",))

    @property
    def is_enabled(self) -> bool:
        """Return whether any of the three is switched on."""
        return bool(self.exact or self.near or self.decontaminate)
