"""Search under a verifier (Beeching et al. 2024, search-and-learn): beam search, and diverse verifier tree search.

N paths of a question are continued by some tokens at a time. Before each step a verifier scores what they say so far.

    beam    of all paths the N / width best are continued, by `width` paths each
    dvts    N / width trees for themselves: of each the best of its `width` paths is continued, by `width` again

A path that ends and is chosen is one of the N / width that are left over in the end; the answer is their vote, weighted
by the verifier. Steps are numbers of tokens, not lines, so that they are the same for every model. All tokens that were
sampled count, those of paths that were dropped among them.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.errors import UserError
from r1kit.models.templates import apply_template, encode_prompts, template_prefix
from r1kit.prompts import CHAT_TEMPLATE
from r1kit.recipe import EvalRecipe, ModelConfig, PromptConfig, SamplingConfig, ScalingConfig
from r1kit.runs.run import Run
from r1kit.sampling.engine import CompletionGroups, InProcessSampler, SampledCompletion
from r1kit.sampling.local import TransformersSampler
from r1kit.sampling.loop import SamplingJob, sample_problems
from r1kit.sampling.shards import Shards

if TYPE_CHECKING:
    from datasets import Dataset

Score = Callable[[list[str], list[str]], list[float]]  # prompts, what was said so far: how good each is


@dataclass(frozen=True)
class SearchPath:
    """What was said so far: its ids, whether it has ended, and which tree it is of."""

    ids: tuple[int, ...]
    ended: bool
    tree: int


def choose_paths(paths: Sequence[SearchPath], scores: Sequence[float], method: str, width: int) -> list[SearchPath]:
    """Return the paths to go on with: the best len(paths) / width, or the best of each tree; the earlier of equals."""
    order = sorted(range(len(paths)), key=lambda i: -scores[i])
    if method == "beam":
        return [paths[i] for i in order[: len(paths) // width]]
    best: dict[int, SearchPath] = {}
    for i in order:
        best.setdefault(paths[i].tree, paths[i])
    return [best[tree] for tree in sorted(best)]


class SearchSampler(InProcessSampler):
    """Samples by search: `count` of a prompt are the N / width paths left over; their tokens sum to all it took."""

    def __init__(self, inner: TransformersSampler, score: Score, method: str, settings: ScalingConfig, most: int):
        """`inner` samples a step; a path has at most `most` tokens."""
        self.inner, self.score, self.method, self.most = inner, score, method, most
        self.width, self.step = settings.width, settings.step_tokens

    def sample(self, prompts: Sequence[Any], count: int, seed: int) -> CompletionGroups:
        texts = [apply_template(self.inner.tokenizer, p, self.inner.prompt) for p in prompts]
        starts = [template_prefix(text, self.inner.prompt.prefill) for text in texts]
        asked = encode_prompts(self.inner.tokenizer, prompts, texts)
        left = [[SearchPath((), False, i // self.width) for i in range(count * self.width)] for _ in prompts]
        over: list[list[SearchPath]] = [[] for _ in prompts]
        spent, said = [0] * len(prompts), 0
        while said < self.most and any(left):
            where = [(i, path) for i, paths in enumerate(left) for path in paths]
            groups = self.inner.sample([(*asked[i], *path.ids) for i, path in where], 1, seed + said)
            grown: list[list[SearchPath]] = [[] for _ in prompts]
            for (i, path), [sample] in zip(where, groups, strict=True):
                spent[i] += sample.tokens
                ended = sample.finish_reason != "length"
                grown[i].append(replace(path, ids=path.ids + sample.ids, ended=ended))
            said += self.step
            flat = [(i, path) for i, paths in enumerate(grown) for path in paths]
            scores = iter(
                self.score(
                    [texts[i].removesuffix(starts[i]) for i, _ in flat],
                    [starts[i] + self.inner.text(path.ids) for i, path in flat],
                )
            )
            for i, paths in enumerate(grown):
                kept = choose_paths(paths, [next(scores) for _ in paths], self.method, self.width)
                over[i] += [path for path in kept if path.ended or said >= self.most]
                left[i] = [path for path in kept if not path.ended for _ in range(self.width)]
        found: CompletionGroups = []
        for start, paths, tokens in zip(starts, over, spent, strict=True):
            shares = [tokens // len(paths) + (n < tokens % len(paths)) for n in range(len(paths))]
            reasons = ["stop" if path.ended else "length" for path in paths]
            found.append(
                [
                    SampledCompletion(start + self.inner.text(path.ids), share, reason, path.ids)
                    for path, share, reason in zip(paths, shares, reasons, strict=True)
                ]
            )
        return found


@dataclass(frozen=True)
class SearchJob(SamplingJob):
    """Work that is done by search."""

    method: str = "beam"
    scaling: ScalingConfig | None = None

    def sampler(self) -> SearchSampler:
        from r1kit.head2toe.features import extract_features
        from r1kit.head2toe.verifier import load_verifier

        assert self.scaling
        head, told = load_verifier(run := Path(self.scaling.verifier or ""))
        step = self.settings.model_copy(update={"samples": 1, "max_tokens": self.scaling.step_tokens})
        inner = TransformersSampler(self.model, self.prompt, step, self.field)

        def score(prompts: list[str], said: list[str]) -> list[float]:
            x = extract_features(
                inner.model, inner.tokenizer, prompts, said, special=self.prompt.template != CHAT_TEMPLATE
            )
            if x.shape[1] != told["features"]:
                must = f"reads {told['features']} features, and this model has {x.shape[1]}"
                raise UserError("scaling.verifier", run, must, "train a verifier on this model")
            return head.probabilities(x).tolist()

        return SearchSampler(inner, score, self.method, self.scaling, self.settings.max_tokens)


def search_problems(
    recipe: EvalRecipe, model: ModelConfig, problems: "Dataset", run: Run, folder: Path, method: str, paths: int
) -> Shards:
    """Search every problem by `method` with `paths` paths; return shards of the paths / width that are left over."""
    from r1kit.head2toe.verifier import verifier_dir

    assert recipe.scaling
    width = recipe.scaling.width
    rows = max(1, recipe.sampling.batch_size // width)  # of those left over; `batch_size` paths are gone along at once
    settings: SamplingConfig = recipe.sampling.model_copy(update={"samples": paths // width, "batch_size": rows})
    prompt: PromptConfig = recipe.prompt
    head = hashlib.sha256((verifier_dir(Path(recipe.scaling.verifier or "")) / "head.safetensors").read_bytes())
    told = {"width": width, "step_tokens": recipe.scaling.step_tokens, "verifier": head.hexdigest()[:16]}
    work = SearchJob(model, prompt, settings, recipe.seed, f"eval {method} {paths}", "sampling", method, recipe.scaling)
    changed = recipe.model_copy(update={"sampling": settings})
    return sample_problems(changed, model, problems, run, folder, work.label, work, settings=told)
