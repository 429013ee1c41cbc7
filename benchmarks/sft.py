"""SFT on rows of mixed length against stock TRL and its flags: real tokens a second, all sides in turn in one run.

    python benchmarks/sft.py [--epochs 3] [--batch 16]

256 rows of log-normal length (sigma 1, mean 64, at most 256), a llama of 6M parameters. Stock's defaults; its
`group_by_length` (other batches: rows of like length together); its `packing` (rows share sequences; on a CPU without
cross-contamination it masks each from the others); and r1kit, whose update is that of stock's defaults.

Each side is a process of its own, and they take turns by the step: whoever is least far in its epochs takes the next,
while the others wait. So a machine whose speed drifts is as slow for one as for the others.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import torch
from datasets import Dataset, disable_progress_bars
from grpo import MEAN, log_normal, middling
from transformers import AutoTokenizer, PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from r1kit.recipe import parse_recipe
from r1kit.runs.paths import SHIPPED_MODELS
from r1kit.training.sft import FineTuningTrainer

LONGEST = 4 * MEAN

WAYS = {
    "stock": {},
    "stock, group_by_length": {"train_sampling_strategy": "group_by_length"},
    "stock, packing": {"packing": True},
    "r1kit": {},
}


class Turns(TrainerCallback):
    """Waits for its turn, takes a step, and says how far it is and what that took."""

    def __init__(self, line: Connection):
        self.line = line

    def wait(self) -> None:
        self.line.recv()
        self.began = time.perf_counter()

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        ids = torch.full((2, LONGEST), 3)
        model(input_ids=ids, labels=ids).loss.backward()  # warms up
        model.zero_grad()
        self.line.send((0.0, 0.0))
        self.wait()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.line.send((state.epoch, time.perf_counter() - self.began))
        if state.global_step < state.max_steps:
            self.wait()


def side(line: Connection, name: str, lengths: list[int], epochs: int, batch: int) -> None:
    """Train for so many epochs, when it is this side's turn."""
    disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED_MODELS["tiny:base"])
    rows = Dataset.from_list([{"input_ids": [3 + (i * 7 + n) % 900 for i in range(n)]} for n in lengths])
    recipe = parse_recipe("sft", {"output": "x", "model": {"path": "x"}, "data": {"train": "x"}})
    mean = sum(lengths) / len(lengths)
    arguments = {
        "output_dir": tempfile.mkdtemp(),
        # With packing a row is LONGEST tokens long: as many real tokens a step as in the others.
        "per_device_train_batch_size": max(1, round(batch * mean / LONGEST)) if name == "stock, packing" else batch,
        "max_length": LONGEST,
        "num_train_epochs": epochs,
        "bf16": False,
        "use_cpu": True,
        "gradient_checkpointing": False,
        "report_to": [],
        "disable_tqdm": True,
        "save_strategy": "no",
        "logging_strategy": "no",
        **WAYS[name],
    }
    made = (FineTuningTrainer if name == "r1kit" else SFTTrainer)(
        model=middling(tokenizer),
        args=SFTConfig(**arguments),
        train_dataset=rows,
        processing_class=tokenizer,
        callbacks=[Turns(line)],
        **({"recipe": recipe} if name == "r1kit" else {}),
    )
    made.remove_callback(PrinterCallback)
    made.train()


def race(lengths: list[int], epochs: int, batch: int) -> dict[str, list[float]]:
    """Return each side's seconds for each of its epochs."""
    context = multiprocessing.get_context("spawn")
    lines, processes = {}, []
    for name in WAYS:
        lines[name], other = context.Pipe()
        processes.append(context.Process(target=side, args=(other, name, lengths, epochs, batch)))
        processes[-1].start()
        lines[name].recv()  # it has warmed up, and waits
    far, found = dict.fromkeys(WAYS, 0.0), {name: [0.0] * epochs for name in WAYS}
    while min(far.values()) < epochs - 1e-6:
        name = min(far, key=far.get)
        lines[name].send(None)
        at, seconds = lines[name].recv()
        found[name][int(far[name] + 1e-6)] += seconds
        far[name] = at
    for process in processes:
        process.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--json")
    options = parser.parse_args()
    lengths = log_normal(options.rows, 1)
    found = race(lengths, options.epochs, options.batch)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; {options.rows} rows, mean "
          f"{sum(lengths) / len(lengths):.0f}, longest {max(lengths)}, {options.batch} at once")  # fmt: skip
    print("| | real tokens a second | of stock |\n| --- | --- | --- |")
    for name, seconds in found.items():
        rates = [sum(lengths) / s for s in seconds]
        ratios = [a / b for a, b in zip(found["stock"], seconds, strict=True)]
        cells = [f"{statistics.median(x):{form}} ({min(x):{form}}-{max(x):{form}})"
                 for x, form in ((rates, ".0f"), (ratios, ".2f"))]  # fmt: skip
        print(f"| {name} | {' | '.join(cells)} |")
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
