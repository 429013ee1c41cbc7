"""Try drawn inputs on r1kit for some minutes, and print what came of them; `make fuzz MINUTES=10` runs it.

    python tests/fuzz.py --minutes 10 --seed 3

Inputs of one kind are tried after another: recipes, rows, files, run directories, servers, commands. Each must be
accepted with all of its values, or refused with exit code 2 and one line of error. What fails is printed with its
input, and the exit code is then 1.
"""

import argparse
import importlib
import json
import logging
import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from fuzz_inputs import ACCEPTED, KINDS, REFUSED, Trial, draw_trials, prepare_command_folder
from fuzzing import run_batch
from test_fuzz import find_fault

BATCH_SIZE = 40
SECONDS_OF_A_TRIAL = 60
MAX_PRINTED_FAILURES = 20
# What the trials import, once for all child processes.
PRELOADED_MODULES = ("datasets", "r1kit.data.sources.stored", "r1kit.report.serve", "r1kit.sampling.server")
DIED, RAISED, CHANGED = "the process died", "traceback", "changed without a word"


def try_kind(kind: str, count: int, number: int) -> tuple[Counter[str], list[str]]:
    """Try `count` drawn inputs of a kind; return how many ended how, and the failures."""
    if kind == "commands":
        return try_commands(draw_trials(kind, count, number))
    return try_in_child(draw_trials(kind, count, number))


def try_in_child(trials: list[Trial]) -> tuple[Counter[str], list[str]]:
    """Run trials in a forked process, and in another one those after a trial at which it died."""
    outcomes: Counter[str] = Counter()
    failures = []
    start = 0
    while start < len(trials):
        results = run_forked(trials[start:])
        for trial, result in zip(trials[start:], results, strict=False):
            outcomes[classify(result)] += 1
            if result not in (ACCEPTED, REFUSED):
                failures.append(f"{trial.name}\n    {result}")
        start += len(results)
        if start < len(trials):
            outcomes[DIED] += 1
            failures.append(f"{trials[start].name}\n    {DIED}")
            start += 1
    return outcomes, failures


def classify(result: str) -> str:
    """Return what a result of a trial counts as."""
    if result.startswith(CHANGED):
        return CHANGED
    return result if result in (ACCEPTED, REFUSED) else RAISED


def run_forked(trials: list[Trial]) -> list[str]:
    """Return the results of trials that run in a child process, up to the one at which it died."""
    with tempfile.TemporaryDirectory() as folder:
        results_file = Path(folder, "results.jsonl")
        results_file.touch()
        pid = os.fork()
        if pid == 0:
            try:
                _run_all(trials, Path(folder), results_file)
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        return [json.loads(line) for line in results_file.read_text().splitlines()]


def _run_all(trials: list[Trial], folder: Path, results_file: Path) -> None:
    # Warnings of damage are what is wanted here, and would hide the figures.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    logging.disable()
    with open(results_file, "a") as results:
        for index, trial in enumerate(trials):
            trial_folder = folder / str(index)
            trial_folder.mkdir()
            try:
                result = trial.run(trial_folder)
            except BaseException:
                result = traceback.format_exc()[-1500:]
            results.write(f"{json.dumps(result)}\n")
            results.flush()


def try_commands(commands: list[list[str]]) -> tuple[Counter[str], list[str]]:
    """Run commands one after the other in one process."""
    outcomes: Counter[str] = Counter()
    failures = []
    for start in range(0, len(commands), BATCH_SIZE):
        batch = commands[start : start + BATCH_SIZE]
        with tempfile.TemporaryDirectory() as root:
            folders = [Path(root, str(index)) for index in range(len(batch))]
            for folder in folders:
                folder.mkdir()
                prepare_command_folder(folder)
            endings = run_batch(batch, folders)
        for command, ending in zip(batch, endings, strict=True):
            outcomes[f"exit code {ending.code}"] += 1
            if fault := find_fault(ending):
                outcomes[RAISED] += bool(ending.raised)
                failures.append(f"r1kit {' '.join(command)!r}\n    {fault}")
    return outcomes, failures


def main() -> int:
    """Try inputs until the time is over, print the figures, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="how long inputs are tried")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="another one draws other inputs")
    parser.add_argument("--kinds", default=",".join(KINDS), help="the kinds of inputs, with commas between")
    options = parser.parse_args()
    for module in PRELOADED_MODULES:
        importlib.import_module(module)
    kinds = options.kinds.split(",")
    end = time.monotonic() + 60 * options.minutes
    outcomes: dict[str, Counter[str]] = {kind: Counter() for kind in kinds}
    failures: list[str] = []
    number = options.seed
    while time.monotonic() < end:
        for kind in kinds:
            counts, failures_of_kind = try_kind(kind, BATCH_SIZE, number)
            outcomes[kind] += counts
            for failure in failures_of_kind[: max(0, MAX_PRINTED_FAILURES - len(failures))]:
                print(f"{kind}: {failure}", flush=True)
            failures += failures_of_kind
        number += 1
    for kind, counts in outcomes.items():
        total = sum(count for name, count in counts.items() if kind != "commands" or name != RAISED)
        figures = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        print(f"{kind}: {total} inputs; {figures}")
    tracebacks = sum(counts[RAISED] + counts[DIED] for counts in outcomes.values())
    changes = sum(counts[CHANGED] for counts in outcomes.values())
    print(f"seed {options.seed}: {tracebacks} tracebacks, {changes} silent changes, {len(failures)} failures in all")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
