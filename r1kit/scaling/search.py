"""Search under a verifier (Beeching et al. 2024, search-and-learn): beam search, and diverse verifier tree search.

N paths of a question are continued by some tokens at a time. After each step a verifier scores what they say so far.

    beam    the N / width best of all paths are continued, by `width` paths each
    dvts    N / width trees of their own: the best path of each tree is continued, by `width` paths again

A path that has ended when it is chosen is finished; N / width paths remain in the end, and the answer is their vote,
weighted by the verifier. Departure: a step is a number of tokens and not a line, so that it means the same for every
model. All sampled tokens count, those of dropped paths included.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from r1kit.completions import CompletionGroups, Prompt, SampledCompletion
from r1kit.errors import UserError
from r1kit.models.templates import apply_template, encode_prompts, template_prefix
from r1kit.prompts import CHAT_TEMPLATE
from r1kit.recipe import EvalRecipe, ModelConfig, ScalingConfig
from r1kit.rows import group_like
from r1kit.runs.run import Run
from r1kit.sampling.engine import InProcessSampler
from r1kit.sampling.local import TransformersSampler
from r1kit.sampling.loop import SamplingJob, sample_problems
from r1kit.sampling.shards import Shards

if TYPE_CHECKING:
    from datasets import Dataset

# (prompt texts, completions so far) -> how good each is, from 0 to 1.
ScoreFunction = Callable[[list[str], list[str]], list[float]]

VERIFIER_HASH_DIGITS = 16


@dataclass(frozen=True)
class SearchPath:
    """A completion so far: its token ids, whether it has ended, and the tree that it belongs to."""

    ids: tuple[int, ...]
    has_ended: bool
    tree: int


def choose_paths(paths: Sequence[SearchPath], scores: Sequence[float], method: str, width: int) -> list[SearchPath]:
    """Return the paths to continue: the best len(paths) / width (beam), or the best of each tree (dvts).

    Of paths with equal scores the first is taken.
    """
    best_first = sorted(range(len(paths)), key=lambda i: -scores[i])
    if method == "beam":
        return [paths[i] for i in best_first[: len(paths) // width]]
    best_of_tree: dict[int, SearchPath] = {}
    for i in best_first:
        best_of_tree.setdefault(paths[i].tree, paths[i])
    return [best_of_tree[tree] for tree in sorted(best_of_tree)]


class SearchSampler(InProcessSampler):
    """Sample by search: the samples of a prompt are the N / width paths that remain.

    Their tokens add up to all tokens that the search has sampled.
    """

    def __init__(
        self,
        step_sampler: TransformersSampler,
        score: ScoreFunction,
        method: str,
        scaling: ScalingConfig,
        max_tokens: int,
    ):
        """`step_sampler` samples `scaling.step_tokens` tokens at a time; a path has at most `max_tokens`."""
        self.step_sampler = step_sampler
        self.score = score
        self.method = method
        self.width = scaling.width
        self.step_tokens = scaling.step_tokens
        self.max_tokens = max_tokens

    def sample(self, prompts: Sequence[Prompt], group_size: int, seed: int) -> CompletionGroups:
        """Return the `group_size` paths of each prompt that remain of `group_size * width`."""
        tokenizer, prompt_config = self.step_sampler.tokenizer, self.step_sampler.prompt_config
        texts: list[str] = []
        prefixes: list[str] = []
        bare_texts: list[str] = []  # the verifier reads the prefix as a part of the completion
        for prompt in prompts:
            text = apply_template(tokenizer, prompt, prompt_config)
            prefix = template_prefix(text, prompt_config.prefill)
            texts.append(text)
            prefixes.append(prefix)
            bare_texts.append(text.removesuffix(prefix))
        prompt_ids = encode_prompts(tokenizer, prompts, texts)

        # For each prompt: the paths that are continued, the finished ones, and the tokens sampled so far.
        path_count = group_size * self.width
        new_paths = [SearchPath((), False, i // self.width) for i in range(path_count)]
        open_paths = [list(new_paths) for _ in prompts]
        finished_paths: list[list[SearchPath]] = [[] for _ in prompts]
        tokens_spent = [0] * len(prompts)
        length = 0
        while length < self.max_tokens and any(open_paths):
            # Continue all paths of all prompts at once, score them in one call, and choose for each prompt.
            grown_paths = self._grow(open_paths, prompt_ids, tokens_spent, seed + length)
            length += self.step_tokens
            is_last_step = length >= self.max_tokens
            scores = self._score_paths(grown_paths, bare_texts, prefixes)
            for i, paths in enumerate(grown_paths):
                open_paths[i] = []
                for path in choose_paths(paths, scores[i], self.method, self.width):
                    if path.has_ended or is_last_step:
                        finished_paths[i].append(path)
                    else:
                        # The next step samples each of the copies differently.
                        open_paths[i] += [path] * self.width
        return [self._make_completions(prefixes[i], finished_paths[i], tokens_spent[i]) for i in range(len(prompts))]

    def _grow(
        self,
        open_paths: list[list[SearchPath]],
        prompt_ids: list[list[int]],
        tokens_spent: list[int],
        seed: int,
    ) -> list[list[SearchPath]]:
        """Return each prompt's paths one step longer, and add the sampled tokens to `tokens_spent`."""
        prompt_of_path = []
        paths = []
        for i, paths_of_prompt in enumerate(open_paths):
            prompt_of_path += [i] * len(paths_of_prompt)
            paths += paths_of_prompt
        # A path's prompt is the question and what the path says so far, as ids.
        starts = [(*prompt_ids[i], *path.ids) for i, path in zip(prompt_of_path, paths, strict=True)]
        groups = self.step_sampler.sample(starts, 1, seed)
        grown_paths: list[list[SearchPath]] = [[] for _ in open_paths]
        for i, path, [sample] in zip(prompt_of_path, paths, groups, strict=True):
            tokens_spent[i] += sample.tokens
            # A path that fills the model's context (reason `context`) cannot go on either.
            has_ended = sample.finish_reason != "length"
            grown_paths[i].append(replace(path, ids=path.ids + sample.ids, has_ended=has_ended))
        return grown_paths

    def _score_paths(
        self, grown_paths: list[list[SearchPath]], bare_texts: list[str], prefixes: list[str]
    ) -> list[list[float]]:
        """Return the verifier's score of each path of each prompt, from one call for all."""
        prompt_texts = []
        completions = []
        for i, paths in enumerate(grown_paths):
            prompt_texts += [bare_texts[i]] * len(paths)
            completions += [prefixes[i] + self.step_sampler.decode_ids(path.ids) for path in paths]
        return group_like(grown_paths, self.score(prompt_texts, completions))

    def _make_completions(self, prefix: str, paths: list[SearchPath], tokens_spent: int) -> list[SampledCompletion]:
        """Return the paths as completions that share all tokens of the search evenly."""
        share, remainder = divmod(tokens_spent, len(paths))
        completions = []
        for number, path in enumerate(paths):
            completion = SampledCompletion(
                prefix + self.step_sampler.decode_ids(path.ids),
                tokens=share + (number < remainder),
                finish_reason="stop" if path.has_ended else "length",
                ids=path.ids,
            )
            completions.append(completion)
        return completions


@dataclass(frozen=True)
class SearchJob(SamplingJob):
    """A job that samples by search."""

    method: str = "beam"
    scaling: ScalingConfig | None = None

    def make_sampler(self) -> SearchSampler:
        assert self.scaling
        step_config = self.sampling_config.model_copy(update={"samples": 1, "max_tokens": self.scaling.step_tokens})
        step_sampler = TransformersSampler(self.model_config, self.prompt_config, step_config, self.field)
        score = _make_verifier_score(step_sampler, Path(self.scaling.verifier or ""))
        return SearchSampler(step_sampler, score, self.method, self.scaling, self.sampling_config.max_tokens)


def _make_verifier_score(step_sampler: TransformersSampler, verifier_run: Path) -> ScoreFunction:
    """Return a function that scores completions by a Head2Toe verifier, on the sampler's own model."""
    from r1kit.head2toe.features import extract_features
    from r1kit.head2toe.verifier import load_verifier

    head, metadata = load_verifier(verifier_run)
    has_special_tokens = step_sampler.prompt_config.template != CHAT_TEMPLATE

    def score(prompt_texts: list[str], completions: list[str]) -> list[float]:
        features = extract_features(
            step_sampler.model, step_sampler.tokenizer, prompt_texts, completions, add_special_tokens=has_special_tokens
        )
        if features.shape[1] != metadata["features"]:
            requirement = f"reads {metadata['features']} features, and this model has {features.shape[1]}"
            raise UserError("scaling.verifier", verifier_run, requirement, "train a verifier on this model")
        return head.probabilities(features).tolist()

    return score


def search_problems(
    recipe: EvalRecipe,
    model_config: ModelConfig,
    problems: "Dataset",
    run: Run,
    folder: Path,
    method: str,
    path_count: int,
) -> Shards:
    """Search every problem along `path_count` paths; return shards of the path_count / width that remain."""
    from r1kit.head2toe.verifier import verifier_dir

    assert recipe.scaling
    width = recipe.scaling.width
    # `batch_size` counts the paths that are sampled at once, of which one in `width` remains.
    batch_size = max(1, recipe.sampling.batch_size // width)
    sampling_config = recipe.sampling.model_copy(update={"samples": path_count // width, "batch_size": batch_size})
    head_file = verifier_dir(Path(recipe.scaling.verifier or "")) / "head.safetensors"
    settings = {
        "width": width,
        "step_tokens": recipe.scaling.step_tokens,
        "verifier": hashlib.sha256(head_file.read_bytes()).hexdigest()[:VERIFIER_HASH_DIGITS],
    }
    job = SearchJob(
        model_config,
        recipe.prompt,
        sampling_config,
        recipe.seed,
        label=f"eval {method} {path_count}",
        method=method,
        scaling=recipe.scaling,
    )
    search_recipe = recipe.model_copy(update={"sampling": sampling_config})
    return sample_problems(search_recipe, model_config, problems, run, folder, job.label, job, settings=settings)
