"""Budget forcing (Muennighoff et al. 2025, s1, arXiv 2501.19393): think for at most, or for longer than, one would.

Of the samples of a run: a chain of thought that is longer than the budget is cut at that token, closed, and the answer
is sampled; one that is not stays as it is. To think on, the end of the thinking is taken away and `Wait` put in its
place, once or several times. What closes a chain or makes it go on counts as tokens, what was cut off does not: a model
that is stopped does not write it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from r1kit.answers.extract import parse_completion
from r1kit.data.questions import render_prompt
from r1kit.errors import UserError
from r1kit.models.templates import THINK_END, THINK_START, apply_template, template_prefix
from r1kit.prompts import CHAT_TEMPLATE
from r1kit.recipe import EvalRecipe, ModelConfig, PromptConfig
from r1kit.rewards.binding import bind_reward
from r1kit.rewards.registry import RewardFunction
from r1kit.rows import Row
from r1kit.runs.run import Run
from r1kit.sampling.engine import CompletionGroups, SampledCompletion
from r1kit.sampling.loop import SamplingJob, sample_missing_shards
from r1kit.sampling.scoring import compute_rewards, row_verdict
from r1kit.sampling.shards import Shards

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

Ids = tuple[int, ...]


@dataclass(frozen=True)
class ForcedStart:
    """What the model goes on from: ids, of which the completion so far has a text and a number of tokens."""

    ids: Ids
    text: str
    tokens: int


@dataclass(frozen=True)
class TokenizedRow:
    """A prompt with its completion: ids, from and to which character of the text each stands, and the text.

    The completion begins at the character `begun`, what was sampled of it at `given`. Its thinking is of the ids from
    `first` to `last`, none where it does not think.
    """

    ids: list[int]
    places: list[tuple[int, int]]
    text: str
    begun: int
    given: int
    first: int
    last: int


class BudgetForcer:
    """Makes of a sample row what the model is to go on from."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", prompt: PromptConfig, closing: str, wait: str):
        self.tokenizer, self.prompt, self.closing, self.wait = tokenizer, prompt, closing, wait

    def at(self, row: Row, budget: int) -> ForcedStart | None:
        """Return where the thinking has `budget` tokens and is closed, or None where it has no more of them."""
        coded = self.coded(row)
        return self._cut(coded, coded.first + budget, self.closing) if coded.last - coded.first > budget else None

    def on(self, row: Row) -> ForcedStart | None:
        """Return where the thinking ends and is made to go on, or None where it never ended."""
        coded = self.coded(row)
        return self._cut(coded, coded.last, self.wait) if coded.first < coded.last < len(coded.ids) else None

    def coded(self, row: Row) -> TokenizedRow:
        """Return a row as ids."""
        asked = apply_template(self.tokenizer, render_prompt(row["prompt"], self.prompt), self.prompt)
        start = template_prefix(asked, self.prompt.prefill)
        begun = len(asked.removesuffix(start))
        text = asked[:begun] + row["completion"]
        found = self.tokenizer(
            text, return_offsets_mapping=True, add_special_tokens=self.prompt.template != CHAT_TEMPLATE
        )
        ids, places = list(found["input_ids"]), list(found["offset_mapping"])
        first = last = len(ids)
        opened = text.find(THINK_START, begun)
        if opened >= 0:
            inside, closed = opened + len(THINK_START), text.find(THINK_END, opened)
            first = next((i for i, (a, _) in enumerate(places) if a >= inside), last)
            last = max(first, next((i for i, (_, b) in enumerate(places) if b > closed), last)) if closed >= 0 else last
        return TokenizedRow(ids, places, text, begun, begun + len(start), first, last)

    def _cut(self, coded: TokenizedRow, end: int, more: str) -> ForcedStart:
        sampled = next((i for i, (a, _) in enumerate(coded.places) if a >= coded.given), len(coded.ids))
        added = self.tokenizer(more, add_special_tokens=False).input_ids
        said = coded.text[coded.begun : coded.places[end - 1][1]] + more
        return ForcedStart((*coded.ids[:end], *added), said, end - sampled + len(added))


def force_budget(
    recipe: EvalRecipe,
    model: ModelConfig,
    problems: "Dataset",
    base: Shards,
    run: Run,
    name: str,
    budget: int | None,
    seed: int,
) -> Shards:
    """Return shards of the rows of `base` with their thinking cut at `budget` tokens, or where None, made to go on.

    Shard by shard, so that it resumes as all sampling does; on several processes each does its share.
    """
    from r1kit.models.load import load_tokenizer

    assert recipe.scaling
    functions = [bind_reward(entry, i) for i, entry in enumerate(recipe.rewards)]
    tokenizer = load_tokenizer(model)
    if not tokenizer.is_fast:
        must = f"its tokenizer ({type(tokenizer).__name__}) does not say where in a text its tokens stand"
        raise UserError("model.path", model.path, must, "remove scaling.budgets and waits")
    cutter = BudgetForcer(tokenizer, recipe.prompt, recipe.scaling.closing, recipe.scaling.wait)
    most = recipe.scaling.answer_tokens if budget is not None else recipe.sampling.max_tokens
    settings = recipe.sampling.model_copy(update={"samples": 1, "max_tokens": most})
    shards = Shards(base.folder.with_name(f"{base.folder.name}-{name}"), base.count, base.scores)
    how = {"budget": budget, "closing": recipe.scaling.closing} if budget is not None else {"wait": recipe.scaling.wait}
    shards.begin(settings={**how, "of": base.folder.name, "max_tokens": most})
    by_id = {
        problem["id"]: {**problem, "prompt": render_prompt(problem["prompt"], recipe.prompt)} for problem in problems
    }

    @lru_cache(maxsize=4)
    def cut(index: int) -> list[tuple[Row, ForcedStart | None]]:
        return [(row, cutter.on(row) if budget is None else cutter.at(row, budget)) for row in base.read(index)]

    def prompts(index: int) -> list[Any]:
        return [found.ids for _, found in cut(index) if found is not None]

    def rows(index: int, groups: CompletionGroups) -> list[Row]:
        new = iter(groups)
        return join_forced_rows(
            [(row, found, next(new)[0] if found else None) for row, found in cut(index)], by_id, functions
        )

    done = set(base.done())  # all, unless a budget was spent
    sample_missing_shards(
        shards, prompts, rows, SamplingJob(model, recipe.prompt, settings, seed, f"eval {name}"), run, among=done
    )
    return shards


def join_forced_rows(
    rows: Sequence[tuple[Row, ForcedStart | None, SampledCompletion | None]],
    problems: dict[str, dict[str, Any]],
    functions: Sequence[RewardFunction],
) -> list[Row]:
    """Return the rows; those that went on with what was said then, scored again."""
    again = [(cut, sample, row) for row, cut, sample in rows if cut is not None and sample is not None]
    if not again:
        return [{**row, "logprob": None} for row, _, _ in rows]
    texts = [cut.text + sample.text for cut, sample, _ in again]
    tokens = [cut.tokens + sample.tokens for cut, sample, _ in again]
    given = [problems[row["id"]] for _, _, row in again]
    columns = {name: [problem[name] for problem in given] for name in given[0]}
    scores = compute_rewards(texts, [range(n) for n in tokens], columns, functions)
    new = iter(
        {
            "completion": texts[i],
            **row_verdict({name: values[i] for name, values in scores.items()}),
            "thinks": parse_completion(texts[i]).thinks,
            "tokens": tokens[i],
            "finish_reason": sample.finish_reason,
        }
        for i, (_, sample, _) in enumerate(again)
    )
    return [{**row, **(next(new) if cut is not None else {}), "logprob": None} for row, cut, _ in rows]
