"""Compare SFT on rows of mixed length with stock TRL and its options: real tokens a second, in one run.

    python benchmarks/sft.py [--epochs 3] [--batch 16]

256 rows of log-normal length (sigma 1, mean 64, at most 256 tokens), a llama of 6M parameters. The sides are stock TRL
as it is; its `group_by_length` (other batches: rows of like length together); its `packing` (rows share sequences; on a
CPU each is masked from the others); and r1kit, whose updates are those of stock TRL.

Each side is a process of its own, and the sides take turns by the step: the one that is least far in its epochs takes
the next step while the others wait. So a machine whose speed drifts is as slow for one side as for the others.
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

LONGEST_ROW = 4 * MEAN  # tokens

SFT_CONFIG_OF_SIDE: dict[str, dict[str, Any]] = {
    "stock": {},
    "stock, group_by_length": {"train_sampling_strategy": "group_by_length"},
    "stock, packing": {"packing": True},
    "r1kit": {},
}


class TakeTurns(TrainerCallback):
    """Waits before each step until it is this side's turn, and sends back the epoch and the seconds of the step."""

    def __init__(self, connection: Connection):
        self.connection = connection

    def wait_for_turn(self) -> None:
        self.connection.recv()
        self.step_started = time.perf_counter()

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        ids = torch.full((2, LONGEST_ROW), 3)
        model(input_ids=ids, labels=ids).loss.backward()  # warms up
        model.zero_grad()
        self.connection.send((0.0, 0.0))
        self.wait_for_turn()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.connection.send((state.epoch, time.perf_counter() - self.step_started))
        if state.global_step < state.max_steps:
            self.wait_for_turn()


def train_side(connection: Connection, side: str, lengths: list[int], epochs: int, batch_size: int) -> None:
    """Train one side for so many epochs, a step whenever it is its turn."""
    disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED_MODELS["tiny:base"])
    rows = Dataset.from_list([{"input_ids": [3 + (i * 7 + n) % 900 for i in range(n)]} for n in lengths])
    rows_at_once = batch_size
    if side == "stock, packing":  # each packed row is LONGEST_ROW tokens long: as many real tokens a step as elsewhere
        mean_length = sum(lengths) / len(lengths)
        rows_at_once = max(1, round(batch_size * mean_length / LONGEST_ROW))
    config = SFTConfig(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=rows_at_once,
        max_length=LONGEST_ROW,
        num_train_epochs=epochs,
        bf16=False,
        use_cpu=True,
        gradient_checkpointing=False,
        report_to=[],
        disable_tqdm=True,
        save_strategy="no",
        logging_strategy="no",
        **SFT_CONFIG_OF_SIDE[side],
    )
    trainer_class: Any = SFTTrainer
    arguments: dict[str, Any] = {}
    if side == "r1kit":
        trainer_class = FineTuningTrainer
        arguments["recipe"] = parse_recipe("sft", {"output": "x", "model": {"path": "x"}, "data": {"train": "x"}})
    trainer = trainer_class(
        model=middling(tokenizer),
        args=config,
        train_dataset=rows,
        processing_class=tokenizer,
        callbacks=[TakeTurns(connection)],
        **arguments,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()


def race(lengths: list[int], epochs: int, batch_size: int) -> dict[str, list[float]]:
    """Return each side's seconds for each of its epochs."""
    context = multiprocessing.get_context("spawn")
    connections, processes = {}, []
    for side in SFT_CONFIG_OF_SIDE:
        connections[side], child_connection = context.Pipe()
        process = context.Process(target=train_side, args=(child_connection, side, lengths, epochs, batch_size))
        process.start()
        processes.append(process)
        connections[side].recv()  # it has warmed up, and waits
    epoch_of_side = dict.fromkeys(SFT_CONFIG_OF_SIDE, 0.0)
    seconds_of_side = {side: [0.0] * epochs for side in SFT_CONFIG_OF_SIDE}
    while min(epoch_of_side.values()) < epochs - 1e-6:
        side = min(epoch_of_side, key=lambda side: epoch_of_side[side])
        connections[side].send(None)
        epoch, seconds = connections[side].recv()
        seconds_of_side[side][int(epoch_of_side[side] + 1e-6)] += seconds
        epoch_of_side[side] = epoch
    for process in processes:
        process.join()
    return seconds_of_side


def format_range(values: list[float], number_format: str) -> str:
    """Return such as `2100 (2050-2180)`: the median, the least and the greatest value."""
    median, least, greatest = statistics.median(values), min(values), max(values)
    return f"{median:{number_format}} ({least:{number_format}}-{greatest:{number_format}})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--json")
    options = parser.parse_args()
    lengths = log_normal(options.rows, 1)
    seconds_of_side = race(lengths, options.epochs, options.batch)
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads; {options.rows} rows, mean "
        f"{sum(lengths) / len(lengths):.0f}, longest {max(lengths)}, {options.batch} at once"
    )
    print("| | real tokens a second | of stock |\n| --- | --- | --- |")
    for side, seconds in seconds_of_side.items():
        rates = [sum(lengths) / epoch_seconds for epoch_seconds in seconds]
        speedups = [stock / own for stock, own in zip(seconds_of_side["stock"], seconds, strict=True)]
        print(f"| {side} | {format_range(rates, '.0f')} | {format_range(speedups, '.2f')} |")
    if options.json:
        Path(options.json).write_text(json.dumps(seconds_of_side, indent=2) + "\n")


if __name__ == "__main__":
    main()
