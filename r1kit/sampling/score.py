"""Sample and score: the core of `generate` and `eval`, resumable unit by unit.

Prompts are dealt out in units. Each unit has a seed of its own and becomes one file in `samples/`, so
that a run that was killed loses at most the unit in flight, doubles nothing, and ends in the same rows
on any number of processes.
"""

import os
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.errors import Interrupted
from r1kit.prompts import read
from r1kit.recipe import EvalRecipe, GenerateRecipe, Model
from r1kit.rewards import FAULT, RewardFunction, bind
from r1kit.run import Run
from r1kit.sampling.sampler import Sampler, make_sampler
from r1kit.training.rollouts import write_table

if TYPE_CHECKING:
    from datasets import Dataset


def sample_rows(
    recipe: GenerateRecipe | EvalRecipe, model: Model, problems: "Dataset", run: Run, folder: Path, label: str
) -> list[dict[str, Any]]:
    """Return every sample of `problems` with its rewards, in order; `folder` keeps them.

    On several processes each samples its share; all return all rows. Raises Interrupted when a launcher
    asks for a stop.
    """
    settings = recipe.sampling
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1:  # the ranks meet before the work, which may take one of them much longer than another
        import torch
        from accelerate import PartialState

        PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(days=7))
    per_unit = max(1, settings.batch_size // settings.samples)
    starts = range(0, len(problems), per_unit)
    files = [folder / f"unit-{i:06d}.parquet" for i in range(len(starts))]
    missing = [i for i in range(len(starts)) if i % world == rank and not files[i].exists()]
    functions = [bind(entry, i) for i, entry in enumerate(recipe.rewards)]
    sampler = make_sampler(model, recipe.prompt, settings) if missing else None
    started = shown = time.time()
    for done, i in enumerate(missing, start=1):
        if (run.path / "stop").exists():
            raise Interrupted
        unit = problems[starts[i] : starts[i] + per_unit]
        rows = _unit(sampler, recipe, functions, model, unit, recipe.seed * 1000003 + i)  # type: ignore[arg-type]
        write_table(rows, files[i])
        if time.time() - shown > 10 or done == len(missing):
            shown = time.time()
            left = (shown - started) / done * (len(missing) - done)
            print(f"{label} {done}/{len(missing)} batches  {left:.0f} s left", file=sys.stderr, flush=True)
    if world > 1:
        PartialState().wait_for_everyone()
    return _read(files)


def _read(files: Sequence[Path]) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    return [row for file in files for row in pq.read_table(file).to_pylist()]


def _unit(
    sampler: Sampler,
    recipe: GenerateRecipe | EvalRecipe,
    functions: Sequence[RewardFunction],
    model: Model,
    unit: dict[str, list[Any]],
    seed: int,
) -> list[dict[str, Any]]:
    count = recipe.sampling.samples
    groups = sampler.sample(unit["prompt"], count, seed)
    columns = {name: [v for v in values for _ in range(count)] for name, values in unit.items()}
    samples = [s for group in groups for s in group]
    scores = {}
    for function in functions:
        scores[function.__name__] = function(
            completions=[s.text for s in samples],
            prompts=columns["prompt"],
            completion_ids=[s.ids for s in samples],
            **{k: v for k, v in columns.items() if k != "prompt"},
        )
    rows = []
    for i, sample in enumerate(samples):
        given = {name: values[i] for name, values in scores.items()}
        accuracy = given.get("accuracy")
        rows.append(
            {
                "id": columns["id"][i],
                "prompt": columns["question"][i],
                "completion": sample.text,
                **{n: _text(columns[n][i]) for n in ("answer", "tests", "verifier") if n in columns},
                **{n: (None if v == FAULT else v) for n, v in given.items()},
                "fault": FAULT in given.values(),
                "correct": None if accuracy in (None, FAULT) else accuracy == 1.0,
                "domain": columns["domain"][i],
                "thinking": columns["thinking"][i],
                "thinks": read(sample.text).thinks,
                "target_language": columns["language"][i],
                "tokens": sample.tokens,
                "finish_reason": sample.finish_reason,
                "model": model.path,
                "seed": seed,
                "sample": i % count,
            }
        )
    return rows


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
