"""Budget forcing (Muennighoff et al. 2025, s1, arXiv 2501.19393): think for at most N tokens, or for longer.

It starts from the samples of a run. A chain of thought that is longer than the budget is cut at that token and closed,
and the answer is sampled again; a shorter one stays as it is. To make a model think on, the end of its thinking is
replaced by `Wait`, once or several times. The tokens that close a chain or make it continue count as completion tokens;
what was cut off does not, since a model that is stopped does not write it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from r1kit.completions import CompletionGroups, Prompt, SampledCompletion
from r1kit.data.questions import render_prompt
from r1kit.errors import UserError
from r1kit.models.templates import THINK_END, THINK_START, apply_template, template_prefix
from r1kit.prompts import CHAT_TEMPLATE
from r1kit.recipe import EvalRecipe, ModelConfig, PromptConfig
from r1kit.rewards.registry import RewardFunction
from r1kit.rows import Row
from r1kit.runs.run import Run
from r1kit.sampling.loop import SamplingJob, sample_missing_shards
from r1kit.sampling.scoring import NewCompletion, bind_rewards, rescore_rows
from r1kit.sampling.shards import Shards

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

# A shard's prompts and its rows are made one after the other, so its starts are worth keeping for a while.
CACHED_SHARDS = 4


@dataclass(frozen=True)
class ForcedStart:
    """What the model continues: the ids of prompt and completion so far, and the completion's text and tokens."""

    ids: tuple[int, ...]
    text: str
    tokens: int


@dataclass(frozen=True)
class TokenizedRow:
    """A prompt with its completion as text and as token ids.

    `char_spans` holds the first character of each token and the one after its last. `completion_start` is the character
    at which the completion begins, and `sampled_start` that at which its sampled part does (a template may have written
    what comes before). `thinking_start` and `thinking_end` are token indices; they are equal without thinking.
    """

    ids: list[int]
    char_spans: list[tuple[int, int]]
    text: str
    completion_start: int
    sampled_start: int
    thinking_start: int
    thinking_end: int


class BudgetForcer:
    """Make of a sampled row what the model continues."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", prompt_config: PromptConfig, closing: str, wait: str):
        """`closing` ends a chain of thought that has spent its budget; `wait` replaces the end of the thinking."""
        self.tokenizer = tokenizer
        self.prompt_config = prompt_config
        self.closing = closing
        self.wait = wait

    def cut_thinking(self, row: Row, budget: int) -> ForcedStart | None:
        """Return the row with its thinking closed after `budget` tokens, or None if it has no more tokens than that."""
        tokenized = self.tokenize(row)
        thinking_tokens = tokenized.thinking_end - tokenized.thinking_start
        if thinking_tokens <= budget:
            return None
        return self._cut(tokenized, tokenized.thinking_start + budget, self.closing)

    def extend_thinking(self, row: Row) -> ForcedStart | None:
        """Return the row up to the end of its thinking, which continues; None if the thinking did not end."""
        tokenized = self.tokenize(row)
        if tokenized.thinking_start < tokenized.thinking_end < len(tokenized.ids):
            return self._cut(tokenized, tokenized.thinking_end, self.wait)
        return None

    def tokenize(self, row: Row) -> TokenizedRow:
        """Return a row as token ids, with the positions of its thinking."""
        prompt = render_prompt(row["prompt"], self.prompt_config)
        prompt_text = apply_template(self.tokenizer, prompt, self.prompt_config)
        prefix = template_prefix(prompt_text, self.prompt_config.prefill)
        completion_start = len(prompt_text.removesuffix(prefix))
        text = prompt_text[:completion_start] + row["completion"]
        encoding = self.tokenizer(
            text,
            return_offsets_mapping=True,
            # A chat template writes the special tokens itself.
            add_special_tokens=self.prompt_config.template != CHAT_TEMPLATE,
        )
        ids = list(encoding["input_ids"])
        char_spans = list(encoding["offset_mapping"])
        thinking_start, thinking_end = _find_thinking(text, completion_start, char_spans)
        sampled_start = completion_start + len(prefix)
        return TokenizedRow(ids, char_spans, text, completion_start, sampled_start, thinking_start, thinking_end)

    def _cut(self, tokenized: TokenizedRow, end: int, addition: str) -> ForcedStart:
        """Return the tokens before index `end`, followed by `addition`."""
        first_sampled = next(
            (i for i, (start, _) in enumerate(tokenized.char_spans) if start >= tokenized.sampled_start),
            len(tokenized.ids),
        )
        added_ids = self.tokenizer(addition, add_special_tokens=False).input_ids
        end_char = tokenized.char_spans[end - 1][1]
        text = tokenized.text[tokenized.completion_start : end_char] + addition
        return ForcedStart((*tokenized.ids[:end], *added_ids), text, end - first_sampled + len(added_ids))


def _find_thinking(text: str, completion_start: int, char_spans: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return the index of the first token of the thinking and of the one after its last.

    Both are the number of tokens if the completion does not think; the second is if its thinking does not end.
    """
    token_count = len(char_spans)
    tag_start = text.find(THINK_START, completion_start)
    if tag_start < 0:
        return token_count, token_count
    content_start = tag_start + len(THINK_START)
    first = next((i for i, (start, _) in enumerate(char_spans) if start >= content_start), token_count)
    content_end = text.find(THINK_END, tag_start)
    if content_end < 0:
        return first, token_count
    # A token that holds the end of the thinking and the beginning of the tag counts as a part of the tag.
    last = next((i for i, (_, end) in enumerate(char_spans) if end > content_end), token_count)
    return first, max(first, last)


def force_budget(
    recipe: EvalRecipe,
    model_config: ModelConfig,
    problems: "Dataset",
    base: Shards,
    run: Run,
    name: str,
    budget: int | None,
    seed: int,
) -> Shards:
    """Return shards of the rows of `base` with their thinking cut at `budget` tokens or, if None, made to continue.

    `name` is that of the shards' folder and of the progress bar, such as `budget-512`. It works shard by shard and
    resumes as all sampling does. Raises UserError if the tokenizer cannot locate its tokens in a text.
    """
    from r1kit.models.load import load_tokenizer

    assert recipe.scaling
    functions = bind_rewards(recipe.rewards, recipe.answers)
    # A cut between two tokens needs their positions in the text, which only fast tokenizers know.
    tokenizer = load_tokenizer(model_config)
    if not tokenizer.is_fast:
        requirement = f"its tokenizer ({type(tokenizer).__name__}) does not tell where its tokens stand in a text"
        raise UserError("model.path", model_config.path, requirement, "remove scaling.budgets and scaling.waits")
    forcer = BudgetForcer(tokenizer, recipe.prompt, recipe.scaling.closing, recipe.scaling.wait)
    max_tokens = recipe.scaling.answer_tokens if budget is not None else recipe.sampling.max_tokens
    settings: dict[str, Any] = {"budget": budget, "closing": forcer.closing}
    if budget is None:
        settings = {"wait": forcer.wait}
    shards = Shards(base.folder.with_name(f"{base.folder.name}-{name}"), base.count, base.reward_names)
    shards.check_manifest(settings={**settings, "of": base.folder.name, "max_tokens": max_tokens})
    # The rewards need the problems again, with the prompts as the model saw them.
    problems_by_id = {}
    for problem in problems:
        problems_by_id[problem["id"]] = {**problem, "prompt": render_prompt(problem["prompt"], recipe.prompt)}

    @lru_cache(maxsize=CACHED_SHARDS)
    def starts_of(index: int) -> list[tuple[Row, ForcedStart | None]]:
        starts = []
        for row in base.read_shard(index):
            start = forcer.extend_thinking(row) if budget is None else forcer.cut_thinking(row, budget)
            starts.append((row, start))
        return starts

    def prompts_of(index: int) -> list[Prompt]:
        return [start.ids for _, start in starts_of(index) if start is not None]

    def rows_of(index: int, groups: CompletionGroups) -> list[Row]:
        samples = [group[0] for group in groups]
        return join_forced_rows(starts_of(index), samples, problems_by_id, functions)

    sampling_config = recipe.sampling.model_copy(update={"samples": 1, "max_tokens": max_tokens})
    job = SamplingJob(model_config, recipe.prompt, sampling_config, seed, f"eval {name}")
    # `base` may have missing shards, if its budget was spent.
    sample_missing_shards(shards, prompts_of, rows_of, job, run, only=set(base.finished()))
    return shards


def join_forced_rows(
    starts: Sequence[tuple[Row, ForcedStart | None]],
    samples: Iterable[SampledCompletion],
    problems: dict[str, dict[str, Any]],
    functions: Sequence[RewardFunction],
) -> list[Row]:
    """Return the rows of a shard; those that were continued get their new completions and are scored again.

    `samples` continue the rows that have a start, in their order. No row keeps its `logprob`, since that of a continued
    completion is not known.
    """
    remaining_samples = iter(samples)
    continued = []
    for row, start in starts:
        if start is not None:
            sample = next(remaining_samples)
            text, tokens = start.text + sample.text, start.tokens + sample.tokens
            continued.append(NewCompletion(row, text, tokens, sample.finish_reason))
    rescored = iter(rescore_rows(continued, problems, functions))
    return [next(rescored) if start is not None else {**row, "logprob": None} for row, start in starts]
