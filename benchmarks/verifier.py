"""The Head2Toe verifier beside simpler ones, and what it makes of N samples, on the scale model's own models.

    python benchmarks/verifier.py runs/tiny/r1_zero runs/tiny/distill tiny:base [--folder runs/verifiers]

Trains on 400 arithmetic problems, 8 samples each at T 1, and measures on 300 held-out ones (64 samples each, of which
the measures take 8) and on a task that it never saw (facts). All are read from the same features and chosen on the
same folds; a random choice of as many units is the mean of five. Prints AUROC over all answers and within problems,
Brier and calibration error; then accuracy by N of each way to choose, with the verifier. `--json FILE` keeps it all.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from r1kit.head2toe.features import OUTPUT_FEATURES, SPANS
from r1kit.head2toe.linear_head import LinearHead, fit_linear_head
from r1kit.head2toe.verifier import FeatureReader, load_verifier, verifier_metrics
from r1kit.recipe import HeadConfig, ModelConfig, PromptConfig

SIZE = len(SPANS)
TRAIN = "[{path: 'world:arithmetic', rows: 400}]"
SEEN = "[{path: 'world:arithmetic', split: test, rows: 300}]"
UNSEEN = "[{path: 'world:facts', split: test, rows: 100}]"
GRID = {name: getattr(HeadConfig(), name) for name in ("penalties", "fractions", "ridges")}
SETTINGS = ["prompt.template=tiny", "sampling.temperature=1.0", "sampling.max_tokens=64", "sampling.batch_size=512"]


def command(stage: str, output: Path, *words: str) -> Path:
    """Run a stage; return its directory."""
    line = [Path(sys.executable).with_name("r1kit"), stage, f"output={output}", *SETTINGS, *words]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    return output


def samples(folder: Path, most: int = 8) -> list[dict[str, Any]]:
    """The judged samples of a folder of shards, up to `most` a problem."""
    import pyarrow.parquet as pq

    rows = [row for file in sorted(folder.rglob("shard-*.parquet")) for row in pq.read_table(file).to_pylist()]
    return [row for row in rows if row["sample"] < most and row["correct"] is not None]


def units(layer: int, hidden: int) -> torch.Tensor:
    """The features of one layer, all its places."""
    return torch.arange(layer * hidden * SIZE, (layer + 1) * hidden * SIZE)


def heads(x: torch.Tensor, right: torch.Tensor, names: list[str], layers: int, hidden: int, count: int):
    """Yield each simpler verifier: its name and a function from all features to chances."""

    def plain(columns: torch.Tensor) -> tuple[LinearHead, torch.Tensor]:
        fitted = fit_linear_head(
            x[:, columns], right, names, SIZE, penalties=[0.5], fractions=[1.0], ridges=GRID["ridges"]
        )
        return fitted, columns

    single = [plain(units(layer, hidden)) for layer in range(layers)]
    every = torch.arange(x.shape[1])
    states = every[: layers * hidden * SIZE]
    chosen: dict[str, Any] = {
        "last layer, linear": single[-1],
        "best single layer": min(single, key=lambda pair: pair[0].chosen["loss"]),
        "all layers, plain l2": plain(every),
        "Head2Toe, hidden states alone": (fit_linear_head(x[:, states], right, names, SIZE, **GRID), states),
    }
    for name, (fitted, columns) in chosen.items():
        yield name, lambda z, fitted=fitted, columns=columns: fitted.probabilities(z[:, columns])
    draws = []
    for seed in range(5):
        picked = torch.randperm(x.shape[1] // SIZE, generator=torch.Generator().manual_seed(seed))[: count // SIZE]
        columns = (picked.sort().values.unsqueeze(1) * SIZE + torch.arange(SIZE)).flatten()
        draws.append(plain(columns))
    yield "as many units at random", draws


def study(path: str, folder: Path) -> dict[str, Any]:
    """All measures of one model."""
    verifier = command("verifier", folder / "verifier", f"model.path={path}", f"data.train={TRAIN}")
    words = [f"model.path={path}", "scaling.draws=128", f"scaling.verifier={verifier}"]
    scaled = command("eval", folder / "scaled", *words, f"data.eval={SEEN}", "sampling.samples=64")
    unseen = command("eval", folder / "unseen", f"model.path={path}", f"data.eval={UNSEEN}", "sampling.samples=8")
    model, prompt = ModelConfig(path=path), PromptConfig(template="tiny")
    parts = {"train": samples(verifier / "samples/train"), "seen": samples(scaled), "unseen": samples(unseen)}
    reader = FeatureReader(model, prompt)
    x = {name: reader.read_features(rows) for name, rows in parts.items()}
    right = {name: torch.tensor([row["correct"] for row in rows]) for name, rows in parts.items()}
    names = {name: [row["id"] for row in rows] for name, rows in parts.items()}
    fitted, told = load_verifier(verifier)
    from transformers import AutoConfig

    from r1kit.runs.paths import resolve_model_path

    config = AutoConfig.from_pretrained(resolve_model_path(path))
    layers, hidden = config.num_hidden_layers + 1, config.hidden_size
    assert x["train"].shape[1] == (layers * hidden + len(OUTPUT_FEATURES)) * SIZE
    tests = ("seen", "unseen")
    found: dict[str, Any] = {
        "Head2Toe": {t: verifier_metrics(fitted.probabilities(x[t]), right[t], names[t]) for t in tests}
    }
    started = time.perf_counter()
    for name, chance in heads(
        x["train"], right["train"].long(), names["train"], layers, hidden, len(fitted.kept_features)
    ):
        if isinstance(chance, list):
            several = {
                t: [verifier_metrics(h.probabilities(x[t][:, c]), right[t], names[t]) for h, c in chance] for t in tests
            }
            found[name] = {t: {k: _mean([one[k] for one in several[t]]) for k in several[t][0]} for t in tests}
        else:
            found[name] = {t: verifier_metrics(chance(x[t]), right[t], names[t]) for t in tests}
    told["seconds of the simpler ones"] = time.perf_counter() - started
    for name, key in (("mean log-probability", "logprob"), ("shortness", "tokens")):
        values = {t: torch.tensor([float(row[key]) for row in parts[t]]) for t in tests}
        values = {t: v.exp() if key == "logprob" else 1 / v for t, v in values.items()}
        found[name] = {t: verifier_metrics(values[t], right[t], names[t]) for t in tests}
    points = json.loads((scaled / "scaling.json").read_text())["models"][0]["points"]
    share = {t: float(right[t].float().mean()) for t in right}
    return {"model": path, "right": share, "verifier": told, "measures": found, "points": points}


def _mean(values: list[float | None]) -> float | None:
    there = [v for v in values if v is not None]
    return sum(there) / len(there) if there else None


def show(one: dict[str, Any]) -> None:
    """Print a model's tables."""
    told, right = one["verifier"], one["right"]
    print(f"\n## {one['model']}\n")
    kept, seconds = told["chosen"]["features"], told["seconds"]
    print(f"{told['samples']} samples, {100 * right['train']:.1f}% right; {kept} of {told['features']} features kept")
    print(f"in {seconds:.0f} s; {told['microseconds_an_answer']:.0f} microseconds to read an answer's layers\n")
    print("| verifier | AUROC | within problems | Brier | ECE | unseen: AUROC | within | Brier | ECE |")
    print("| --- |" + " --- |" * 8)
    for name, parts in one["measures"].items():
        chance = name not in ("mean log-probability", "shortness")
        cells = []
        for part in ("seen", "unseen"):
            for key in ("auroc", "within", "brier", "ece"):
                value = parts[part][key] if chance or key in ("auroc", "within") else None
                cells.append("-" if value is None else f"{value:.3f}")
        print(f"| {name} | " + " | ".join(cells) + " |")
    from r1kit.scaling.curves import format_points

    print(f"\n```\n{format_points(one['model'], one['points'])}\n```", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--folder", type=Path, default=Path("runs/verifiers"))
    parser.add_argument("--json")
    options = parser.parse_args()
    found = []
    for path in options.models:
        found.append(study(path, options.folder / path.replace("/", "-").replace(":", "-")))
        show(found[-1])
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
