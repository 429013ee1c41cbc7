"""Head2Toe in miniature: a backbone that learnt to name shapes, and what it is worth for eight other tasks.

    python recipes/head2toe/run.py [--seeds 0 1 2] [--tasks hue count] [--folder runs/head2toe]

Each task has 1,000 training images (tasks.py). Five methods are compared, as in the paper: *linear*, a linear head on
the frozen backbone's last layer; *head2toe*, a linear head on features chosen from all its layers; *fine-tuning* of
all weights; *scratch*, the same network from random weights; *head2toe + fine-tuning*, which starts from the chosen
features and their linear head. Learning rates and penalties are chosen on the training images alone.

Finished measurements are kept in FOLDER/results.jsonl and not repeated. FOLDER/head2toe.png and the printed table
show all of them.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from tasks import TASKS, draw_task
from torch import Tensor
from torch.nn import functional
from transformers import ResNetConfig, ResNetModel

from r1kit.head2toe.features import pool_layers
from r1kit.head2toe.linear_head import LinearHead, fit_linear_head

METHODS = ("linear", "head2toe", "scratch", "fine-tuning", "head2toe + fine-tuning")
TRAIN_ROWS, TEST_ROWS, SOURCE_ROWS = 1000, 1000, 20_000
EPOCHS, BATCH_ROWS = 24, 100
SOURCE_EPOCHS, SOURCE_LEARNING_RATE = 8, 3e-3
LEARNING_RATES = (1e-3, 4e-3)  # of the methods that train the network; the better one is chosen
FEATURES_PER_LAYER = 1024  # at most
FRACTIONS = (0.01, 0.03, 0.1, 0.2)  # of the features, to keep
PENALTIES = (0.2, 0.1, 0.05)  # of the group lasso
FOLD_COUNT = 4
EVAL_ROWS = 500  # at a time
# Seeds of the images: no image of a data set may be in another one.
SOURCE_SEED, SOURCE_TEST_SEED, TRAIN_SEED, TEST_SEED = 100, 10_000, 1000, 20_000
METHOD_COLOURS = {"head2toe": "C3", "fine-tuning": "C0", "head2toe + fine-tuning": "C4", "scratch": "0.6"}


def make_network() -> ResNetModel:
    """Return a ResNet of 0.7M random parameters."""
    return ResNetModel(
        ResNetConfig(embedding_size=16, hidden_sizes=[16, 32, 64, 128], depths=[2, 2, 2, 2], layer_type="basic")
    )


class Classifier(torch.nn.Module):
    """A backbone with a linear classifier, on its last layer or on chosen features of all layers."""

    def __init__(self, backbone: ResNetModel, class_count: int, linear_head: LinearHead | None = None):
        super().__init__()
        self.backbone = backbone
        self.linear_head = linear_head
        width = backbone.config.hidden_sizes[-1] if linear_head is None else len(linear_head.kept_features)
        self.classifier = torch.nn.Linear(width, class_count)
        if linear_head is not None:
            with torch.no_grad():
                self.classifier.weight.copy_(linear_head.temperature * linear_head.weight.T)
                self.classifier.bias.copy_(linear_head.temperature * linear_head.bias + linear_head.shift)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, C) of images (B, 3, H, W)."""
        if self.linear_head is None:
            return self.classifier(self.backbone(images).pooler_output.flatten(1))
        states = self.backbone(images, output_hidden_states=True).hidden_states
        return self.classifier(pool_layers(states, FEATURES_PER_LAYER)[:, self.linear_head.kept_features])


def train(model: Classifier, x: Tensor, y: Tensor, learning_rate: float, epochs: int = EPOCHS) -> Classifier:
    """Train by AdamW with a one-cycle schedule and cross-entropy; the caller sets the seed."""
    steps = epochs * -(-len(x) // BATCH_ROWS)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps, pct_start=0.1)
    model = model.train().to(memory_format=torch.channels_last)
    x = x.contiguous(memory_format=torch.channels_last)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(BATCH_ROWS):
            optimizer.zero_grad()
            functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


@torch.no_grad()
def measure_accuracy(model: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> float:
    """Return the accuracy in percent; `model` returns outputs (B, C)."""
    outputs = torch.cat([model(chunk) for chunk in x.split(EVAL_ROWS)])
    return 100 * (outputs.argmax(1) == y).double().mean().item()


@torch.no_grad()
def extract_image_features(backbone: ResNetModel, x: Tensor, from_all_layers: bool) -> Tensor:
    """Return the features (B, F) of images, from all layers or from the last one only."""
    backbone.eval()
    features = []
    for images in x.split(EVAL_ROWS):
        output = backbone(images, output_hidden_states=True)
        if from_all_layers:
            features.append(pool_layers(output.hidden_states, FEATURES_PER_LAYER))
        else:
            features.append(output.pooler_output.flatten(1))
    return torch.cat(features)


def pretrain_backbone(folder: Path, seed: int) -> Path:
    """Train the backbone of a seed on the source task, unless that was done before; return its path."""
    path = folder / f"backbone-{seed}"
    if not (path / "source.json").exists():
        torch.manual_seed(seed)
        x, y = draw_task("source", SOURCE_ROWS, SOURCE_SEED + seed)
        classifier = Classifier(make_network(), TASKS["source"][0])
        model = train(classifier, x, y, SOURCE_LEARNING_RATE, SOURCE_EPOCHS)
        accuracy = measure_accuracy(model, *draw_task("source", TEST_ROWS, SOURCE_TEST_SEED + seed))
        model.backbone.save_pretrained(path)
        (path / "source.json").write_text(json.dumps({"accuracy": accuracy}))
        print(f"backbone {seed}: {accuracy:.1f}% of the source task's held-out images", flush=True)
    return path


def train_at_best_rate(
    make_classifier: Callable[[], Classifier], x: Tensor, y: Tensor, seed: int
) -> tuple[Classifier, float]:
    """Train a classifier at the learning rate that is best on a quarter of the rows, which is held out for that."""
    train_rows = len(x) * 3 // 4
    accuracies = {}
    for learning_rate in LEARNING_RATES:
        torch.manual_seed(seed)
        model = train(make_classifier(), x[:train_rows], y[:train_rows], learning_rate)
        accuracies[learning_rate] = measure_accuracy(model, x[train_rows:], y[train_rows:])
    best_rate = max(accuracies, key=accuracies.__getitem__)
    torch.manual_seed(seed)
    return train(make_classifier(), x, y, best_rate), best_rate


def measure_task(task: str, seed: int, backbone_path: Path) -> dict[str, Any]:
    """Measure all methods on a task: accuracy on held-out images, trained parameters, seconds, and what was chosen."""
    class_count = TASKS[task][0]
    x, y = draw_task(task, TRAIN_ROWS, TRAIN_SEED + seed)
    test_x, test_y = draw_task(task, TEST_ROWS, TEST_SEED + seed)
    backbone = ResNetModel.from_pretrained(backbone_path)
    results: dict[str, Any] = {}

    linear_heads = {}
    head_settings = {
        "linear": {"fractions": (1.0,), "penalties": (0.5,)},
        "head2toe": {"fractions": FRACTIONS, "penalties": PENALTIES},
    }
    for method, settings in head_settings.items():
        started = time.time()
        from_all_layers = method == "head2toe"
        features = extract_image_features(backbone, x, from_all_layers)
        linear_head = fit_linear_head(
            features, y, class_count=class_count, fold_count=FOLD_COUNT, seed=seed, **settings
        )
        linear_heads[method] = linear_head
        test_features = extract_image_features(backbone, test_x, from_all_layers)
        results[method] = {
            "accuracy": measure_accuracy(linear_head.outputs, test_features, test_y),
            "parameters": linear_head.weight.numel() + linear_head.bias.numel(),
            "seconds": time.time() - started,
            "chosen": linear_head.chosen,
        }

    def make_from_linear_head() -> Classifier:
        return Classifier(ResNetModel.from_pretrained(backbone_path), class_count, linear_heads["head2toe"])

    classifiers = {
        "scratch": lambda: Classifier(make_network(), class_count),
        "fine-tuning": lambda: Classifier(ResNetModel.from_pretrained(backbone_path), class_count),
        "head2toe + fine-tuning": make_from_linear_head,
    }
    for method, make_classifier in classifiers.items():
        started = time.time()
        model, learning_rate = train_at_best_rate(make_classifier, x, y, seed)
        results[method] = {
            "accuracy": measure_accuracy(model, test_x, test_y),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "seconds": time.time() - started,
            "rate": learning_rate,
        }
    return {"task": task, "seed": seed, "methods": results}


def group_accuracies(results: list[dict[str, Any]]) -> dict[str, list[dict[str, float]]]:
    """Return the accuracies {method: percent} of each task, one dict for each seed."""
    accuracies = defaultdict(list)
    for result in results:
        accuracies[result["task"]].append({method: result["methods"][method]["accuracy"] for method in METHODS})
    return accuracies


def domain_affinity(accuracies: list[dict[str, float]]) -> float:
    """Return the paper's measure of how near a task is to the source: accuracy of linear minus that of scratch."""
    return mean(accuracy["linear"] - accuracy["scratch"] for accuracy in accuracies)


def format_results(results: list[dict[str, Any]]) -> str:
    """Return a Markdown table: one row for each task, by domain affinity; and means over tasks with the seeds'
    range."""
    by_task = group_accuracies(results)
    affinity = {task: domain_affinity(accuracies) for task, accuracies in by_task.items()}
    lines = ["| task | affinity | " + " | ".join(METHODS) + " |", "|" + " --- |" * (len(METHODS) + 2)]
    for task in sorted(affinity, key=affinity.__getitem__, reverse=True):
        cells = [f"{mean(accuracy[method] for accuracy in by_task[task]):.1f}" for method in METHODS]
        lines.append(f"| {task} | {affinity[task]:+.1f} | " + " | ".join(cells) + " |")
    cells = [_format_method_mean(results, method) for method in METHODS]
    lines.append("| mean of the tasks | | " + " | ".join(cells) + " |")
    fractions = []
    for result in results:
        methods = result["methods"]
        fractions.append(methods["head2toe"]["parameters"] / methods["fine-tuning"]["parameters"])
    lines.append(f"\nHead2Toe trains {mean(fractions):.2%} of fine-tuning's parameters (at most {max(fractions):.2%}).")
    return "\n".join(lines)


def _format_method_mean(results: list[dict[str, Any]], method: str) -> str:
    """Return a method's mean accuracy over the tasks, with the lowest and the highest mean of a seed."""
    by_seed = defaultdict(list)
    for result in results:
        by_seed[result["seed"]].append(result["methods"][method]["accuracy"])
    means = [mean(accuracies) for accuracies in by_seed.values()]
    spread = f" ({min(means):.1f}-{max(means):.1f})" if len(means) > 1 else ""
    return f"**{mean(means):.1f}**{spread}"


def draw_figure(results: list[dict[str, Any]], path: Path) -> None:
    """Draw the gain over *linear* by domain affinity, as in the paper's figure 2, and the accuracies beside it."""
    import matplotlib

    matplotlib.use("svg" if path.suffix == ".svg" else "agg")
    import matplotlib.pyplot as plt

    by_task = group_accuracies(results)
    affinity = {task: domain_affinity(accuracies) for task, accuracies in by_task.items()}
    tasks = sorted(affinity, key=affinity.__getitem__)
    figure, (gain_axes, accuracy_axes) = plt.subplots(1, 2, figsize=(11, 4.6), gridspec_kw={"width_ratios": [1.1, 1]})
    _draw_gains(gain_axes, by_task, affinity, tasks)
    _draw_accuracies(accuracy_axes, by_task, tasks)
    for axes in (gain_axes, accuracy_axes):
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _draw_gains(axes: Any, by_task: dict[str, Any], affinity: dict[str, float], tasks: list[str]) -> None:
    for method, colour in METHOD_COLOURS.items():
        means, spreads = [], []
        for task in tasks:
            gains = [accuracy[method] - accuracy["linear"] for accuracy in by_task[task]]
            means.append(mean(gains))
            spreads.append(stdev(gains) if len(gains) > 1 else 0.0)
        affinities = [affinity[task] for task in tasks]
        axes.errorbar(affinities, means, spreads, fmt="o-", ms=4, lw=1, color=colour, label=method)
    axes.axhline(0, color="black", lw=0.8)
    axes.set(xlabel="domain affinity: accuracy of linear - accuracy of scratch, points")
    axes.set(ylabel="gain over linear, points")
    axes.legend(frameon=False)


def _draw_accuracies(axes: Any, by_task: dict[str, Any], tasks: list[str]) -> None:
    for index, (method, colour) in enumerate({"linear": "0.85", **METHOD_COLOURS}.items()):
        accuracies = [mean(accuracy[method] for accuracy in by_task[task]) for task in tasks]
        heights = [position + 0.16 * (index - 2) for position in range(len(tasks))]
        axes.barh(heights, accuracies, height=0.15, color=colour, label=method)
    axes.set_yticks(range(len(tasks)), tasks)
    axes.set(xlabel="accuracy, %", xlim=(0, 100))


def main() -> None:
    """Measure all tasks for all seeds, then print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS)[1:], default=list(TASKS)[1:])
    parser.add_argument("--folder", type=Path, default=Path("runs/head2toe"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    results_file = options.folder / "results.jsonl"
    results = []
    if results_file.exists():
        results = [json.loads(line) for line in results_file.read_text().splitlines()]
    finished = {(result["task"], result["seed"]) for result in results}
    for seed in options.seeds:
        backbone_path = pretrain_backbone(options.folder, seed)
        for task in options.tasks:
            if (task, seed) in finished:
                continue
            result = measure_task(task, seed, backbone_path)
            results.append(result)
            with results_file.open("a") as file:
                file.write(json.dumps(result) + "\n")
            accuracies = [f"{method} {values['accuracy']:.1f}" for method, values in result["methods"].items()]
            print(f"{task}, seed {seed}: {', '.join(accuracies)}", flush=True)
    draw_figure(results, options.folder / "head2toe.png")
    print(format_results(results))


if __name__ == "__main__":
    main()
