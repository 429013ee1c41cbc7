"""What sampling may spend, in tokens and in money."""

from collections.abc import Sequence

from r1kit.recipe import BudgetConfig
from r1kit.sampling.engine import CompletionGroups
from r1kit.sampling.shards import Shards


class BudgetMeter:
    """What sampling has spent, on all processes an equal part of the budget."""

    def __init__(self, budget: BudgetConfig, world: int = 1):
        self.budget, self.world = budget, world
        self.tokens, self.cost = 0, 0.0
        self.begun = self.finished = 0  # units, those of earlier sessions among them

    def restore(self, shards: Shards, done: Sequence[int]) -> None:
        """Count what finished shards have spent."""
        if self.budget.tokens or self.budget.cost:
            for index in done:
                self._count(*shards.usage(index))
            self.begun = self.finished = len(done)

    def begin(self) -> None:
        self.begun += 1

    def add(self, groups: CompletionGroups) -> None:
        self.finished += 1
        for sample in (s for group in groups for s in group):
            self._count(sample.prompt_tokens, sample.tokens)

    def _count(self, asked: int, said: int) -> None:
        self.tokens += asked + said
        self.cost += (asked * self.budget.input_price + said * self.budget.output_price) / 1e6

    def allows(self) -> bool:
        """Whether the budget holds for those in flight and one more, at the mean of the finished ones.

        As long as none is finished, one at a time.
        """
        flying = self.begun - self.finished
        both = [(self.tokens, self.budget.tokens), (self.cost, self.budget.cost)]
        limits = [(used, limit / self.world) for used, limit in both if limit]
        if not self.finished:
            return not limits or flying == 0
        return all(used + (flying + 1) * used / self.finished <= limit for used, limit in limits)

    def __str__(self) -> str:
        return f"{self.tokens} tokens" + (f", {self.cost:.2f} paid" if self.cost else "")
