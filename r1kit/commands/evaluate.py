"""`r1kit eval`: pass@1, majority vote, form, language and length, of one model or several in one go.

    r1kit eval recipes/tiny/eval.yaml model.path=runs/tiny/r1
    r1kit eval recipes/tiny/ladder.yaml

Writes `eval.json` and prints a table to stderr. Several models (`models:`) make a ladder. With `scaling:` it also says
what N samples a question are worth by each way to choose among them (`scaling.json`, and a picture a model).
"""

import json
import sys
from collections import Counter
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.data.problems import load_problems
from r1kit.errors import UserError
from r1kit.ranks import is_main_rank
from r1kit.recipe import EvalRecipe, ModelConfig
from r1kit.rewards.checks import check_reward_data
from r1kit.runs.files import write_file
from r1kit.runs.paths import resolve_model_path
from r1kit.runs.run import Run
from r1kit.sampling.loop import sample_problems, without_thinking
from r1kit.sampling.shards import Shards
from r1kit.sampling.statistics import summarise_samples

if TYPE_CHECKING:
    from datasets import Dataset


def main(recipe: EvalRecipe, run: Run) -> None:
    """Sample every model on the same questions and sum up."""
    rows = load_problems(recipe.data.eval, None, "data.eval", recipe.data)
    judged = check_reward_data(recipe.rewards, rows, recipe.data.eval[0].path)
    if judged and is_main_rank():
        run.update(**judged)
    if recipe.scaling is not None and recipe.scaling.verifier:
        from r1kit.head2toe.verifier import read_metadata

        read_metadata(Path(recipe.scaling.verifier))  # before hours of sampling
    models = recipe.models or {Path(recipe.model.path or "").name: recipe.model.path or ""}
    if recipe.sampling.engine != "openai":  # a server knows its models by other names
        for name, path in models.items():
            resolve_model_path(path, f"models.{name}" if recipe.models else "model.path")
    files = Counter(map(_file_name, models))
    for name in models:
        if files[_file_name(name)] > 1:
            raise UserError(f"models.{name}", models[name], "another model has nearly this name", "rename one")
    ladder: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    for name, path in models.items():
        block = recipe.model.model_copy(update={"path": path})
        sampled = sample_problems(recipe, block, rows, run, run.path / "samples" / _file_name(name), f"eval {name}")
        samples = [row for rows_of_shard in sampled for row in rows_of_shard]
        ladder.append(ladder_row(name, path, summarise_samples(samples)))
        if is_main_rank():
            write_file(run.path / "eval.json", json.dumps({"models": ladder}, indent=2, ensure_ascii=False) + "\n")
        if recipe.scaling is not None:
            changed = _forced(recipe, block, rows, sampled, run)
            if is_main_rank():
                curves.append({"model": name, "points": scaling_points(name, samples, changed, block, recipe, run)})
    if is_main_rank():
        if curves:
            write_file(run.path / "scaling.json", json.dumps({"models": curves}, indent=2, ensure_ascii=False) + "\n")
        print(format_ladder(ladder), file=sys.stderr)
        for line in ladder:
            if line["faults"]:
                print(f"note: {line['model']}: no verdict on {line['faults']} answers, left out", file=sys.stderr)
            if none := line["statistics"]["unanswered"]:
                print(f"note: {line['model']}: {none} samples have no answer, since the question did not fit the "
                      "context; they count as wrong", file=sys.stderr)  # fmt: skip


def _forced(
    recipe: EvalRecipe, model: ModelConfig, rows: "Dataset", sampled: Shards, run: Run
) -> list[tuple[Any, Shards]]:
    """Return what was sampled in other ways, each with its method and number: see `points`."""
    assert recipe.scaling
    found: list[tuple[Any, Shards]] = []
    if count := recipe.scaling.direct:
        prompt = without_thinking(recipe.prompt, recipe.sampling.engine)
        changes = {"prompt": prompt, "sampling": recipe.sampling.model_copy(update={"samples": count})}
        folder = sampled.folder.with_name(f"{sampled.folder.name}-direct-{count}")
        asked = recipe.model_copy(update=changes)
        direct = sample_problems(asked, model, rows, run, folder, "eval direct")
        thinks = [row["thinks"] for shard in direct for row in shard]
        if is_main_rank() and sum(thinks) > len(thinks) / 2:
            print("note: asked to answer straight away, the model mostly thinks all the same", file=sys.stderr)
        found.append((("direct", count), direct))
    for method, paths in product(recipe.scaling.search, recipe.scaling.paths):
        from r1kit.scaling.search import search_problems

        folder = sampled.folder.with_name(f"{sampled.folder.name}-{method}-{paths}")
        found.append(((method, paths), search_problems(recipe, model, rows, run, folder, method, paths)))
    if not recipe.scaling.budgets and not recipe.scaling.waits:
        return found
    from r1kit.scaling.budget import force_budget

    for budget in recipe.scaling.budgets:
        cut = force_budget(recipe, model, rows, sampled, run, f"budget-{budget}", budget, recipe.seed + budget)
        found.append((("budget", budget), cut))
    last = sampled
    for wait in range(1, recipe.scaling.waits + 1):
        last = force_budget(recipe, model, rows, last, run, f"wait-{wait}", None, recipe.seed - wait)
        found.append((("wait", wait), last))
    return found


def scaling_points(
    name: str, samples: list[dict[str, Any]], changed: list[tuple[Any, Shards]], model: ModelConfig, recipe: EvalRecipe,
    run: Run,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return the points of a model's curves, having drawn them and printed them to stderr."""
    from r1kit.scaling.curves import SEARCH, draw_curves, gather_problems, scaling_points
    from r1kit.scaling.curves import format_points as lines

    assert recipe.scaling

    def judged(rows: list[dict[str, Any]]) -> dict[str, list[float]]:
        """Return what the verifier says of rows, and the rewards that the recipe names."""
        assert recipe.scaling
        given = {name: [row[name] or 0.0 for row in rows] for name in recipe.scaling.by}
        if recipe.scaling.verifier:
            from r1kit.head2toe.verifier import verifier_scores

            given["verifier"] = verifier_scores(Path(recipe.scaling.verifier), model, recipe.prompt, rows)
        return given

    problems = gather_problems(samples, judged(samples))
    if not problems:
        return []
    forced = []
    for way, shards in changed:
        rows = [row for shard in shards for row in shard]
        forced.append((way, gather_problems(rows, judged(rows) if way[0] in SEARCH else None)))
    found = scaling_points(problems, recipe.scaling, recipe.seed, forced)
    draw_curves(name, found, run.path / f"scaling-{_file_name(name)}.png")
    print(lines(name, found), file=sys.stderr)
    return found


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)


def ladder_row(name: str, path: str, stats: dict[str, Any]) -> dict[str, Any]:
    """Return a model's line of the ladder: accuracy by domain, the rest over all, and the full statistics."""
    return {
        "model": name,
        "path": path,
        "faults": stats["faults"],
        "accuracy": {d: part["pass@1"] for d, part in stats["domains"].items()},
        "thinking": stats["thinking"],
        "format": stats["format"],
        "language_consistency": stats["language_consistency"],
        "tokens": stats["tokens"],
        "seconds": Run(Path(path)).info.get("seconds") if Path(path).is_dir() else None,
        "statistics": stats,
    }


def format_ladder(ladder: list[dict[str, Any]]) -> str:
    """Return the ladder as text, a line a model; shares in percent."""
    domains = list(dict.fromkeys(d for line in ladder for d in line["accuracy"]))
    titles = [
        "model",
        *[d or "accuracy" for d in domains],
        "+-",
        "maj@k",
        "thinking",
        "format",
        "language",
        "tokens",
        "seconds",
    ]
    lines = [titles]
    for line in ladder:
        stats = line["statistics"]
        shares = [line["accuracy"].get(d) for d in domains] + [stats["interval"], stats["maj@k"]]
        shares += [line["thinking"], line["format"], line["language_consistency"]]
        cells = ["-" if s is None else f"{100 * s:.1f}" for s in shares]
        seconds = "-" if line["seconds"] is None else f"{line['seconds']:.0f}"
        lines.append([line["model"], *cells, f"{line['tokens']:.1f}", seconds])
    widths = [max(len(row[i]) for row in lines) for i in range(len(titles))]
    return "\n".join(
        "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths, strict=True)))
        for r in lines
    )
