"""SFT on rows of mixed length against stock TRL and its flags: real tokens a second, all sides in turn in one run.

    python benchmarks/sft.py [--rounds 3] [--batch 16]

512 rows of log-normal length (sigma 1, mean 64, at most 256), a llama of 6M parameters. Stock's defaults; its
`group_by_length` (other batches: rows of like length together); its `packing` (rows share sequences; on a CPU without
cross-contamination it masks each from the others); and r1kit, whose update is that of stock's defaults.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import torch
from datasets import Dataset, disable_progress_bars
from grpo import MEAN, log_normal, middling
from transformers import AutoTokenizer, PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from r1kit.recipe import parse
from r1kit.run import SHIPPED
from r1kit.training.sft import FineTuner

LONGEST = 4 * MEAN

WAYS = {
    "stock": {},
    "stock, group_by_length": {"train_sampling_strategy": "group_by_length"},
    "stock, packing": {"packing": True},
    "r1kit": {},
}


class Clock(TrainerCallback):
    """When training began, and when its last step ended."""

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        self.began = time.perf_counter()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.ended = time.perf_counter()


def rate(name: str, rows: Dataset, tokenizer: Any, batch: int) -> float:
    """Return real tokens a second over an epoch, all of it: `group_by_length` begins with its longest batch."""
    recipe = parse("sft", {"output": "x", "model": {"path": "x"}, "data": {"train": "x"}})
    clock = Clock()
    lengths = [len(ids) for ids in rows["input_ids"]]
    mean = sum(lengths) / len(lengths)
    arguments = {
        "output_dir": tempfile.mkdtemp(),
        # With packing a row is LONGEST tokens long: as many real tokens a step as in the others.
        "per_device_train_batch_size": max(1, round(batch * mean / LONGEST)) if name == "stock, packing" else batch,
        "max_length": LONGEST,
        "num_train_epochs": 1,
        "bf16": False,
        "use_cpu": True,
        "gradient_checkpointing": False,
        "report_to": [],
        "disable_tqdm": True,
        "save_strategy": "no",
        "logging_strategy": "no",
        **WAYS[name],
    }
    made = (FineTuner if name == "r1kit" else SFTTrainer)(
        model=middling(tokenizer),
        args=SFTConfig(**arguments),
        train_dataset=rows,
        processing_class=tokenizer,
        callbacks=[clock],
        **({"recipe": recipe} if name == "r1kit" else {}),
    )
    made.remove_callback(PrinterCallback)
    made.train()
    return sum(lengths) / (clock.ended - clock.began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--json")
    options = parser.parse_args()
    disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED["tiny:base"])
    lengths = log_normal(options.rows, 1)
    rows = Dataset.from_list([{"input_ids": [3 + (i * 7 + n) % 900 for i in range(n)]} for n in lengths])
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(options.rounds):
        for name, rates in found.items():
            rates.append(rate(name, rows, tokenizer, options.batch))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; {options.rows} rows, mean "
          f"{sum(lengths) / len(lengths):.0f}, longest {max(lengths)}, {options.batch} at once")  # fmt: skip
    print("| | real tokens a second | of stock |\n| --- | --- | --- |")
    stock = statistics.median(found["stock"])
    for name, rates in found.items():
        middle = statistics.median(rates)
        print(f"| {name} | {middle:.0f} ({min(rates):.0f}-{max(rates):.0f}) | {middle / stock:.2f} |")
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
