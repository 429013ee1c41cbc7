"""Head2Toe in small: a backbone that learnt to name shapes, and what it is worth for other tasks of 1,000 images each.

    python recipes/head2toe/run.py [--seeds 0 1 2] [--tasks hue count] [--folder runs/head2toe]

Five ways to a task: *linear*, a head on the frozen backbone's last layer; *head2toe*, a head on features chosen from
all its layers; *fine-tuning* of everything; *scratch*, the same network from nothing; *head2toe + fine-tuning*, which
starts from the chosen features and their head. Rates and penalties are chosen on the training rows alone. What is done
is in FOLDER/results.jsonl and not done again; FOLDER/head2toe.png and the table are of all that stands there.
"""

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from tasks import TASKS, drawn
from torch.nn import functional
from transformers import ResNetConfig, ResNetModel

from r1kit.head2toe.features import layer_features
from r1kit.head2toe.head import LinearHead, fit_head

METHODS = ("linear", "head2toe", "scratch", "fine-tuning", "head2toe + fine-tuning")
TRAIN, TEST, SOURCE_ROWS = 1000, 1000, 20_000
EPOCHS, BATCH = 24, 100
RATES = (1e-3, 4e-3)
TARGET = 1024  # features of a layer at most
FRACTIONS = (0.01, 0.03, 0.1, 0.2)
PENALTIES = (0.2, 0.1, 0.05)


def network() -> ResNetModel:
    return ResNetModel(
        ResNetConfig(embedding_size=16, hidden_sizes=[16, 32, 64, 128], depths=[2, 2, 2, 2], layer_type="basic")
    )


class Classifier(torch.nn.Module):
    """A backbone with a linear head, on its last layer or on chosen features of all layers."""

    def __init__(self, backbone: ResNetModel, classes: int, chosen: LinearHead | None = None):
        super().__init__()
        self.backbone, self.chosen = backbone, chosen
        width = backbone.config.hidden_sizes[-1] if chosen is None else len(chosen.kept)
        self.head = torch.nn.Linear(width, classes)
        if chosen is not None:
            with torch.no_grad():
                self.head.weight.copy_(chosen.temperature * chosen.weight.T)
                self.head.bias.copy_(chosen.temperature * chosen.bias + chosen.shift)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.chosen is None:
            return self.head(self.backbone(images).pooler_output.flatten(1))
        states = self.backbone(images, output_hidden_states=True).hidden_states
        return self.head(layer_features(states, TARGET)[:, self.chosen.kept])


def train(model: Classifier, x: torch.Tensor, y: torch.Tensor, rate: float, epochs: int = EPOCHS) -> Classifier:
    """AdamW with a cosine, cross-entropy; the caller sets the seed."""
    steps = epochs * -(-len(x) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    model = model.train().to(memory_format=torch.channels_last)
    x = x.contiguous(memory_format=torch.channels_last)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


@torch.no_grad()
def accuracy(model: Any, x: torch.Tensor, y: torch.Tensor) -> float:
    """In percent; `model` gives outputs (B, C)."""
    found = torch.cat([model(part) for part in x.split(500)])
    return 100 * (found.argmax(1) == y).double().mean().item()


@torch.no_grad()
def features(backbone: ResNetModel, x: torch.Tensor, every: bool) -> torch.Tensor:
    """The features of all layers, or of the last alone."""
    backbone.eval()
    found = []
    for part in x.split(500):
        output = backbone(part, output_hidden_states=True)
        found.append(layer_features(output.hidden_states, TARGET) if every else output.pooler_output.flatten(1))
    return torch.cat(found)


def pretrained(folder: Path, seed: int) -> Path:
    """Train the backbone of a seed on the source task, unless that was done."""
    path = folder / f"backbone-{seed}"
    if not (path / "source.json").exists():
        torch.manual_seed(seed)
        x, y = drawn("source", SOURCE_ROWS, 100 + seed)
        model = train(Classifier(network(), TASKS["source"][0]), x, y, 3e-3, epochs=8)
        right = accuracy(model, *drawn("source", TEST, 10_000 + seed))
        model.backbone.save_pretrained(path)
        (path / "source.json").write_text(json.dumps({"accuracy": right}))
        print(f"backbone {seed}: {right:.1f}% of the source task's held-out images", flush=True)
    return path


def trained(start: Any, x: torch.Tensor, y: torch.Tensor, seed: int) -> tuple[Classifier, float]:
    """Train what `start()` makes, at the rate that is best on a quarter of the rows that is held out for that."""
    cut = len(x) * 3 // 4
    scores = {}
    for rate in RATES:
        torch.manual_seed(seed)
        scores[rate] = accuracy(train(start(), x[:cut], y[:cut], rate), x[cut:], y[cut:])
    best = max(scores, key=scores.__getitem__)
    torch.manual_seed(seed)
    return train(start(), x, y, best), best


def measure(task: str, seed: int, path: Path) -> dict[str, Any]:
    """All ways to a task: accuracy on held-out images, trained parameters, seconds, and what was chosen."""
    classes = TASKS[task][0]
    (x, y), held = drawn(task, TRAIN, 1000 + seed), drawn(task, TEST, 20_000 + seed)
    backbone = ResNetModel.from_pretrained(path)
    found: dict[str, Any] = {}

    def noted(method: str, right: float, parameters: int, started: float, **more: Any) -> None:
        found[method] = {"accuracy": right, "parameters": parameters, "seconds": time.time() - started, **more}

    heads = {}
    for method, every in (("linear", False), ("head2toe", True)):
        started = time.time()
        choices = (
            {"fractions": FRACTIONS, "penalties": PENALTIES} if every else {"fractions": (1.0,), "penalties": (0.5,)}
        )
        head = fit_head(features(backbone, x, every), y, classes=classes, number=4, seed=seed, **choices)
        heads[method] = head
        right = accuracy(head.outputs, features(backbone, held[0], every), held[1])
        noted(method, right, head.weight.numel() + head.bias.numel(), started, chosen=head.chosen)
    starts = {
        "scratch": lambda: Classifier(network(), classes),
        "fine-tuning": lambda: Classifier(ResNetModel.from_pretrained(path), classes),
        "head2toe + fine-tuning": lambda: Classifier(ResNetModel.from_pretrained(path), classes, heads["head2toe"]),
    }
    for method, start in starts.items():
        started = time.time()
        model, rate = trained(start, x, y, seed)
        parameters = sum(p.numel() for p in model.parameters())
        noted(method, accuracy(model, *held), parameters, started, rate=rate)
    return {"task": task, "seed": seed, "methods": found}


def table(results: list[dict[str, Any]]) -> str:
    """Markdown: a row a task, by domain affinity, and means over tasks with the spread over seeds."""
    by_task = defaultdict(list)
    for one in results:
        by_task[one["task"]].append({m: one["methods"][m]["accuracy"] for m in METHODS})
    affinity = {t: mean(r["linear"] - r["scratch"] for r in rows) for t, rows in by_task.items()}
    lines = ["| task | affinity | " + " | ".join(METHODS) + " |", "|" + " --- |" * (len(METHODS) + 2)]
    for task in sorted(affinity, key=lambda t: -affinity[t]):
        cells = [f"{mean(r[m] for r in by_task[task]):.1f}" for m in METHODS]
        lines.append(f"| {task} | {affinity[task]:+.1f} | " + " | ".join(cells) + " |")
    cells = []
    for method in METHODS:
        seeds = defaultdict(list)
        for one in results:
            seeds[one["seed"]].append(one["methods"][method]["accuracy"])
        means = [mean(values) for values in seeds.values()]
        cells.append(f"**{mean(means):.1f}**" + (f" ({min(means):.1f}-{max(means):.1f})" if len(means) > 1 else ""))
    lines.append("| mean of the tasks | | " + " | ".join(cells) + " |")
    share = mean(
        one["methods"]["head2toe"]["parameters"] / one["methods"]["fine-tuning"]["parameters"] for one in results
    )
    most = max(
        one["methods"]["head2toe"]["parameters"] / one["methods"]["fine-tuning"]["parameters"] for one in results
    )
    lines.append(f"\nHead2Toe trains {share:.2%} of fine-tuning's parameters (at most {most:.2%}).")
    return "\n".join(lines)


def figure(results: list[dict[str, Any]], path: Path) -> None:
    """Gain over *linear* against domain affinity, as in the paper's figure 2, and the accuracies beside it."""
    import matplotlib

    matplotlib.use("svg" if path.suffix == ".svg" else "agg")
    import matplotlib.pyplot as plt

    by_task = defaultdict(list)
    for one in results:
        by_task[one["task"]].append({m: one["methods"][m]["accuracy"] for m in METHODS})
    affinity = {t: mean(r["linear"] - r["scratch"] for r in rows) for t, rows in by_task.items()}
    order = sorted(affinity, key=affinity.__getitem__)
    shown = {"head2toe": "C3", "fine-tuning": "C0", "head2toe + fine-tuning": "C4", "scratch": "0.6"}
    plot, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), gridspec_kw={"width_ratios": [1.1, 1]})
    for method, tint in shown.items():
        gains = [[r[method] - r["linear"] for r in by_task[t]] for t in order]
        spread = [stdev(g) if len(g) > 1 else 0.0 for g in gains]
        left.errorbar([affinity[t] for t in order], [mean(g) for g in gains], spread, fmt="o-", ms=4, lw=1,
                      color=tint, label=method)  # fmt: skip
    left.axhline(0, color="black", lw=0.8)
    left.set(
        xlabel="domain affinity: accuracy of linear - accuracy of scratch, points", ylabel="gain over linear, points"
    )
    left.legend(frameon=False)
    places = range(len(order))
    for i, (method, tint) in enumerate({"linear": "0.85", **shown}.items()):
        bars = [mean(r[method] for r in by_task[t]) for t in order]
        right.barh([p + 0.16 * (i - 2) for p in places], bars, height=0.15, color=tint, label=method)
    right.set_yticks(list(places), order)
    right.set(xlabel="accuracy, %", xlim=(0, 100))
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    plot.tight_layout()
    plot.savefig(path, dpi=130)
    plt.close(plot)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS)[1:], default=list(TASKS)[1:])
    parser.add_argument("--folder", type=Path, default=Path("runs/head2toe"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    file = options.folder / "results.jsonl"
    results = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    for seed in options.seeds:
        path = pretrained(options.folder, seed)
        for task in options.tasks:
            if any((one["task"], one["seed"]) == (task, seed) for one in results):
                continue
            results.append(measure(task, seed, path))
            with file.open("a") as lines:
                lines.write(json.dumps(results[-1]) + "\n")
            said = ", ".join(f"{m} {one['accuracy']:.1f}" for m, one in results[-1]["methods"].items())
            print(f"{task}, seed {seed}: {said}", flush=True)
    figure(results, options.folder / "head2toe.png")
    print(table(results))


if __name__ == "__main__":
    main()
