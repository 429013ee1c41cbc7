"""Measure inference-time scaling for one model, as `r1kit eval` does with `scaling:` in the recipe."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from r1kit.messages import logger, print_progress
from r1kit.ranks import is_main_rank
from r1kit.recipe import EvalRecipe, ModelConfig
from r1kit.recipe.rewards import answers_of_accuracy
from r1kit.rows import Row
from r1kit.runs.run import Run
from r1kit.sampling.loop import sample_problems, without_thinking
from r1kit.sampling.shards import Shards
from r1kit.scaling.budget import force_budget
from r1kit.scaling.curves import draw_curves, format_points
from r1kit.scaling.methods import SEARCH_NAMES, ScalingPoint
from r1kit.scaling.points import MethodSamples, gather_problems, measure_methods
from r1kit.scaling.recommend import Recommendation, recommend_methods
from r1kit.scaling.search import search_problems

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class ModelScaling:
    """What was measured of one model: each method with each setting, and which to use."""

    points: list[ScalingPoint]
    recommended: list[Recommendation]


@dataclass(frozen=True)
class ChangedShards:
    """The questions sampled in another way: `method` with its setting `at` (see r1kit.scaling.methods.ScalingPoint)."""

    method: str
    at: int | None
    shards: Shards


def sample_other_methods(
    recipe: EvalRecipe, model_config: ModelConfig, problems: "Dataset", samples: Shards, run: Run
) -> list[ChangedShards]:
    """Sample the questions greedily, and in all the other ways that `scaling:` asks for.

    `samples` are the model's plain samples.
    """
    assert recipe.scaling
    greedy = sample_greedily(recipe, model_config, problems, samples, run)
    changed = [ChangedShards("greedy", None, greedy)]
    if recipe.scaling.direct:
        direct = _sample_without_thinking(recipe, model_config, problems, samples, run, recipe.scaling.direct)
        changed.append(ChangedShards("direct", recipe.scaling.direct, direct))
    for method in recipe.scaling.search:
        for path_count in recipe.scaling.paths:
            folder = samples.folder.with_name(f"{samples.folder.name}-{method}-{path_count}")
            remaining = search_problems(recipe, model_config, problems, run, folder, method, path_count)
            changed.append(ChangedShards(method, path_count, remaining))
    if recipe.scaling.budgets or recipe.scaling.waits:
        changed += _force_budgets(recipe, model_config, problems, samples, run)
    return changed


def sample_greedily(
    recipe: EvalRecipe, model_config: ModelConfig, problems: "Dataset", samples: Shards, run: Run
) -> Shards:
    """Return the greedy answer to each question, with which all else is compared."""
    if recipe.sampling.temperature == 0:
        return samples
    sampling = recipe.sampling.model_copy(update={"samples": 1, "temperature": 0.0})
    folder = samples.folder.with_name(f"{samples.folder.name}-greedy")
    greedy_recipe = recipe.model_copy(update={"sampling": sampling})
    return sample_problems(greedy_recipe, model_config, problems, run, folder, "eval greedy")


def _sample_without_thinking(
    recipe: EvalRecipe, model_config: ModelConfig, problems: "Dataset", samples: Shards, run: Run, count: int
) -> Shards:
    """Return `count` samples of each question that are answered without thinking."""
    changes = {
        "prompt": without_thinking(recipe.prompt, recipe.sampling.engine),
        "sampling": recipe.sampling.model_copy(update={"samples": count}),
    }
    folder = samples.folder.with_name(f"{samples.folder.name}-direct-{count}")
    direct_recipe = recipe.model_copy(update=changes)
    direct = sample_problems(direct_recipe, model_config, problems, run, folder, "eval direct")
    # A chat template without a switch for thinking ignores `enable_thinking`, and so may the model.
    thinks = [row["thinks"] for rows in direct for row in rows]
    if is_main_rank() and sum(thinks) > len(thinks) / 2:
        logger.info("asked to answer without thinking (scaling.direct), the model mostly thinks all the same")
    return direct


def _force_budgets(
    recipe: EvalRecipe, model_config: ModelConfig, problems: "Dataset", samples: Shards, run: Run
) -> list[ChangedShards]:
    assert recipe.scaling
    changed = []
    for budget in recipe.scaling.budgets:
        seed = recipe.seed + budget
        cut = force_budget(recipe, model_config, problems, samples, run, f"budget-{budget}", budget, seed)
        changed.append(ChangedShards("budget", budget, cut))
    extended = samples
    for wait in range(1, recipe.scaling.waits + 1):
        # Each wait continues the chains that the one before has made longer.
        seed = recipe.seed - wait
        extended = force_budget(recipe, model_config, problems, extended, run, f"wait-{wait}", None, seed)
        changed.append(ChangedShards("wait", wait, extended))
    return changed


def measure_scaling(
    recipe: EvalRecipe,
    model_config: ModelConfig,
    model_name: str,
    rows: Sequence[Row],
    changed: Sequence[ChangedShards],
    picture: Path,
) -> ModelScaling:
    """Return what was measured of a model, draw it to `picture` (.png and .svg), and print it to stderr.

    `rows` are its plain samples. The lists are empty if no sample has a verdict.
    """
    assert recipe.scaling
    answers = answers_of_accuracy(recipe.rewards, recipe.answers)
    problems = gather_problems(rows, _score_rows(recipe, model_config, rows), answers)
    if not problems:
        return ModelScaling([], [])
    method_samples = []
    for resampled in changed:
        changed_rows = [row for shard_rows in resampled.shards for row in shard_rows]
        # Only the paths of a search are chosen by a score.
        scores = _score_rows(recipe, model_config, changed_rows) if resampled.method in SEARCH_NAMES else None
        method_samples.append(
            MethodSamples(resampled.method, resampled.at, gather_problems(changed_rows, scores, answers))
        )
    measured = measure_methods(problems, recipe.scaling, recipe.seed, method_samples)
    points = [method.point for method in measured]
    recommended = recommend_methods(measured, recipe.seed)
    draw_curves(model_name, points, recommended, picture)
    print_progress(format_points(model_name, points, recommended))
    return ModelScaling(points, recommended)


def _score_rows(recipe: EvalRecipe, model_config: ModelConfig, rows: Sequence[Row]) -> dict[str, list[float]]:
    """Return the scores that rows are chosen by: the rewards in `scaling.by`, and the verifier's."""
    assert recipe.scaling
    scores = {}
    for name in recipe.scaling.by:
        # A reward that does not apply to a row must not choose it.
        scores[name] = [row[name] or 0.0 for row in rows]
    if recipe.scaling.verifier:
        from r1kit.head2toe.verifier import verifier_scores

        scores["verifier"] = verifier_scores(Path(recipe.scaling.verifier), model_config, recipe.prompt, list(rows))
    return scores
