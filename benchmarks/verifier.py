"""Compare the Head2Toe verifier with simpler ones, alone and for best-of-N, on the scale model's own models.

    python benchmarks/verifier.py runs/tiny/r1_zero runs/tiny/distill tiny:base [--folder runs/verifiers]

Verifiers are trained on 400 arithmetic problems, 8 samples each at temperature 1, and measured on 300 held-out
problems (64 samples each, of which the metrics take 8) and on a task that they never saw (facts). All verifiers read
the same features and are chosen on the same folds; for the random choice of as many units the mean of five is taken.
It prints the AUROC over all answers and within problems, the Brier score and the calibration error; then the accuracy
by N of each method that chooses among N samples. `--json FILE` keeps all of it.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from r1kit.head2toe.features import OUTPUT_FEATURES, SPANS
from r1kit.head2toe.group_lasso import group_features
from r1kit.head2toe.linear_head import LinearHead, fit_linear_head
from r1kit.head2toe.verifier import FeatureReader, load_verifier, verifier_metrics
from r1kit.recipe import HeadConfig, ModelConfig, PromptConfig

FEATURES_PER_UNIT = len(SPANS)
TRAIN = "[{path: 'world:arithmetic', rows: 400}]"
SEEN = "[{path: 'world:arithmetic', split: test, rows: 300}]"
UNSEEN = "[{path: 'world:facts', split: test, rows: 100}]"
GRID = {name: getattr(HeadConfig(), name) for name in ("penalties", "fractions", "ridges")}
SETTINGS = ["prompt.template=tiny", "sampling.temperature=1.0", "sampling.max_tokens=64", "sampling.batch_size=512"]


def run_stage(stage: str, output: Path, *words: str) -> Path:
    """Run a stage; return its directory."""
    line = [Path(sys.executable).with_name("r1kit"), stage, f"output={output}", *SETTINGS, *words]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    return output


def read_samples(folder: Path, max_per_problem: int = 8) -> list[dict[str, Any]]:
    """Return the judged samples of a folder of shards, up to `max_per_problem` of each problem."""
    import pyarrow.parquet as pq

    samples = []
    for file in sorted(folder.rglob("shard-*.parquet")):
        for row in pq.read_table(file).to_pylist():
            if row["sample"] < max_per_problem and row["correct"] is not None:
                samples.append(row)
    return samples


def layer_features(layer: int, hidden_size: int) -> torch.Tensor:
    """Return the indices of the features of one layer, at all its spans."""
    width = hidden_size * FEATURES_PER_UNIT
    return torch.arange(layer * width, (layer + 1) * width)


@dataclass
class SplitRows:
    """The samples of a split (train, seen or unseen), and what is needed of them."""

    rows: list[dict[str, Any]]
    x: torch.Tensor  # (B, F)
    is_right: torch.Tensor  # (B,)
    problem_ids: list[str]

    def measure(self, scores: torch.Tensor) -> dict[str, float | None]:
        """Return the metrics of scores (B,)."""
        return verifier_metrics(scores, self.is_right, self.problem_ids)


FittedHead = tuple[LinearHead, torch.Tensor]  # a linear head, and the features (of all) that it reads


def fit_simpler_verifiers(
    train: SplitRows, layer_count: int, hidden_size: int, feature_count: int
) -> Iterator[tuple[str, list[FittedHead]]]:
    """Yield each simpler verifier: its name and its linear heads, whose metrics are averaged."""

    def fit_plain(columns: torch.Tensor) -> FittedHead:
        """Fit a linear head on all of the given features."""
        return fit(columns, penalties=[0.5], fractions=[1.0], ridges=GRID["ridges"])

    def fit(columns: torch.Tensor, **grid: Any) -> FittedHead:
        targets = train.is_right.long()
        return fit_linear_head(train.x[:, columns], targets, train.problem_ids, FEATURES_PER_UNIT, **grid), columns

    single_layers = [fit_plain(layer_features(layer, hidden_size)) for layer in range(layer_count)]
    all_features = torch.arange(train.x.shape[1])
    hidden_features = all_features[: layer_count * hidden_size * FEATURES_PER_UNIT]
    yield "last layer, linear", [single_layers[-1]]
    yield "best single layer", [min(single_layers, key=lambda pair: pair[0].chosen["loss"])]
    yield "all layers, plain l2", [fit_plain(all_features)]
    yield "Head2Toe, hidden states alone", [fit(hidden_features, **GRID)]
    random_heads = []
    for seed in range(5):
        units = torch.randperm(train.x.shape[1] // FEATURES_PER_UNIT, generator=torch.Generator().manual_seed(seed))
        units = units[: feature_count // FEATURES_PER_UNIT].sort().values
        random_heads.append(fit_plain(group_features(units, FEATURES_PER_UNIT)))
    yield "as many units at random", random_heads


def measure_model(path: str, folder: Path) -> dict[str, Any]:
    """Return all metrics of the verifiers of one model."""
    from transformers import AutoConfig

    from r1kit.runs.paths import resolve_model_path

    verifier = run_stage("verifier", folder / "verifier", f"model.path={path}", f"data.train={TRAIN}")
    words = [f"model.path={path}", "scaling.draws=128", f"scaling.verifier={verifier}"]
    scaled = run_stage("eval", folder / "scaled", *words, f"data.eval={SEEN}", "sampling.samples=64")
    unseen = run_stage("eval", folder / "unseen", f"model.path={path}", f"data.eval={UNSEEN}", "sampling.samples=8")
    reader = FeatureReader(ModelConfig(path=path), PromptConfig(template="tiny"))
    splits = {}
    for split, directory in (("train", verifier / "samples/train"), ("seen", scaled), ("unseen", unseen)):
        rows = read_samples(directory)
        is_right = torch.tensor([row["correct"] for row in rows])
        splits[split] = SplitRows(rows, reader.read_features(rows), is_right, [row["id"] for row in rows])
    tests = {split: splits[split] for split in ("seen", "unseen")}
    linear_head, metadata = load_verifier(verifier)
    config = AutoConfig.from_pretrained(resolve_model_path(path))
    layer_count, hidden_size = config.num_hidden_layers + 1, config.hidden_size
    width = (layer_count * hidden_size + len(OUTPUT_FEATURES)) * FEATURES_PER_UNIT
    assert splits["train"].x.shape[1] == width
    metrics: dict[str, Any] = {"Head2Toe": {}}
    for split, test in tests.items():
        metrics["Head2Toe"][split] = test.measure(linear_head.probabilities(test.x))
    started = time.perf_counter()
    feature_count = len(linear_head.kept_features)
    for name, heads in fit_simpler_verifiers(splits["train"], layer_count, hidden_size, feature_count):
        metrics[name] = {split: mean_metrics(heads, test) for split, test in tests.items()}
    metadata["seconds of the simpler ones"] = time.perf_counter() - started
    metrics["mean log-probability"], metrics["shortness"] = {}, {}
    for split, test in tests.items():
        logprobs = torch.tensor([float(row["logprob"]) for row in test.rows])
        token_counts = torch.tensor([float(row["tokens"]) for row in test.rows])
        metrics["mean log-probability"][split] = test.measure(logprobs.exp())
        metrics["shortness"][split] = test.measure(1 / token_counts)
    points = json.loads((scaled / "scaling.json").read_text())["models"][0]["points"]
    right_fractions = {split: float(values.is_right.float().mean()) for split, values in splits.items()}
    return {"model": path, "right": right_fractions, "verifier": metadata, "measures": metrics, "points": points}


def mean_metrics(heads: list[FittedHead], test: SplitRows) -> dict[str, float | None]:
    """Return the metrics of linear heads on a split, averaged over the heads that have them."""
    metrics = [test.measure(linear_head.probabilities(test.x[:, columns])) for linear_head, columns in heads]
    means: dict[str, float | None] = {}
    for name in metrics[0]:
        numbers = [values[name] for values in metrics if values[name] is not None]
        means[name] = sum(numbers) / len(numbers) if numbers else None
    return means


def print_tables(result: dict[str, Any]) -> None:
    """Print the tables of one model."""
    metadata, right_fractions = result["verifier"], result["right"]
    print(f"\n## {result['model']}\n")
    kept, seconds = metadata["chosen"]["features"], metadata["seconds"]
    print(f"{metadata['samples']} samples, {100 * right_fractions['train']:.1f}% right;", end=" ")
    print(f"{kept} of {metadata['features']} features kept")
    print(f"in {seconds:.0f} s; {metadata['microseconds_an_answer']:.0f} microseconds to read an answer's layers\n")
    print("| verifier | AUROC | within problems | Brier | ECE | unseen: AUROC | within | Brier | ECE |")
    print("| --- |" + " --- |" * 8)
    for name, metrics in result["measures"].items():
        is_probability = name not in ("mean log-probability", "shortness")
        cells = []
        for split in ("seen", "unseen"):
            for key in ("auroc", "within", "brier", "ece"):
                value = metrics[split][key] if is_probability or key in ("auroc", "within") else None
                cells.append("-" if value is None else f"{value:.3f}")
        print(f"| {name} | " + " | ".join(cells) + " |")
    from r1kit.scaling.curves import format_points

    print(f"\n```\n{format_points(result['model'], result['points'])}\n```", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--folder", type=Path, default=Path("runs/verifiers"))
    parser.add_argument("--json")
    options = parser.parse_args()
    results = []
    for path in options.models:
        results.append(measure_model(path, options.folder / path.replace("/", "-").replace(":", "-")))
        print_tables(results[-1])
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
