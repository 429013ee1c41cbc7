"""Keep sampling within a budget of tokens or money (`sampling.budget` of a recipe)."""

from collections.abc import Sequence

from r1kit.completions import CompletionGroups
from r1kit.recipe import BudgetConfig
from r1kit.sampling.shards import Shards

TOKENS_PER_PRICE = 1e6  # prices are quoted for a million tokens


def token_cost(budget: BudgetConfig, prompt_tokens: int, completion_tokens: int) -> float:
    """Return what tokens cost at the prices of `budget`, in the currency of those prices."""
    return (prompt_tokens * budget.input_price + completion_tokens * budget.output_price) / TOKENS_PER_PRICE


class BudgetMeter:
    """Count what one process has spent, and decide whether it may start another batch.

    Each of `process_count` processes may spend an equal part of the budget. Batches of earlier sessions count too.
    """

    def __init__(self, budget: BudgetConfig, process_count: int = 1):
        self.budget = budget
        self.process_count = process_count
        self.tokens = 0
        self.cost = 0.0
        self.started_batches = 0
        self.finished_batches = 0

    @property
    def batches_in_flight(self) -> int:
        """The number of batches that were started and are not finished."""
        return self.started_batches - self.finished_batches

    def restore(self, shards: Shards, finished_shards: Sequence[int]) -> None:
        """Count what the shards of earlier sessions have cost."""
        # Reading every shard takes time, and without a limit nobody asks for the sum.
        if self.budget.tokens or self.budget.cost:
            for index in finished_shards:
                self._add_tokens(*shards.count_tokens(index))
            self.started_batches = self.finished_batches = len(finished_shards)

    def start_batch(self) -> None:
        self.started_batches += 1

    def finish_batch(self, groups: CompletionGroups) -> None:
        """Count the tokens of a finished batch."""
        self.finished_batches += 1
        for group in groups:
            for sample in group:
                self._add_tokens(sample.prompt_tokens, sample.tokens)

    def _add_tokens(self, prompt_tokens: int, completion_tokens: int) -> None:
        self.tokens += prompt_tokens + completion_tokens
        self.cost += token_cost(self.budget, prompt_tokens, completion_tokens)

    def can_start_batch(self) -> bool:
        """Return whether the budget covers the batches in flight and one more, at the mean cost of finished batches.

        Before the first batch is finished its cost is unknown; until then only one batch may be in flight.
        """
        limits = []
        for spent, limit in ((self.tokens, self.budget.tokens), (self.cost, self.budget.cost)):
            if limit:
                limits.append((spent, limit / self.process_count))
        if not self.finished_batches:
            return not limits or self.batches_in_flight == 0
        for spent, limit in limits:
            mean_spent = spent / self.finished_batches
            if spent + (self.batches_in_flight + 1) * mean_spent > limit:
                return False
        return True

    def __str__(self) -> str:
        """Return what was spent, such as `91234 tokens, 0.42 paid`."""
        return f"{self.tokens} tokens, {self.cost:.2f} paid" if self.cost else f"{self.tokens} tokens"
