"""Run the real command, in a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import yaml

COMMAND = [sys.executable, "-m", "r1kit.cli"]
WARM = [sys.executable, Path(__file__).with_name("warm.py")]


def start(*words: object) -> subprocess.Popen:
    """Start `r1kit` in a session of its own."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*COMMAND, *map(str, words)], start_new_session=True, env=os.environ, **pipes)


def r1kit(*words: object, code: int = 0) -> tuple[str, str]:
    """Run `r1kit` in a process of its own, hold its exit code against `code`, and return stdout and stderr."""
    environment = _environment()
    if not _warm:
        loaded = {"GOMP_SPINCOUNT": "10000", **environment}  # as r1kit sets it before torch is imported
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        _warm.append((subprocess.Popen(WARM, env=loaded, **pipes), environment))
    server, known = _warm[0]
    if environment == known:
        with tempfile.TemporaryDirectory() as folder:
            files = {name: f"{folder}/{name}" for name in ("out", "err")}
            command = {"words": [*map(str, words)], "folder": os.getcwd(), "environment": dict(os.environ), **files}
            print(json.dumps(command), file=server.stdin, flush=True)
            found = int(server.stdout.readline())
            out, err = (Path(file).read_text() for file in files.values())
    else:  # libraries read it when they are imported
        process = start(*words)
        out, err = process.communicate(timeout=3600)
        found = process.returncode
    assert found == code, f"exit {found}, not {code}:\n{err[-4000:]}"
    return out, err


_warm: list = []


def _environment() -> dict:
    # What pytest and torch set in their own process, and what warm.py heeds.
    own = ("PYTEST_", "COVERAGE_", "TORCHINDUCTOR_", "PYTHONPATH")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)}


def recipe(path: Path, **values) -> Path:
    """Write a recipe."""
    path.write_text(yaml.safe_dump(values))
    return path


def info(run: Path) -> dict:
    return json.loads((run / "run.json").read_text())


def metrics(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def table(folder: Path) -> list[dict]:
    """Return the rows of all Parquet files in `folder`, in their order."""
    return [row for file in sorted(folder.glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def weights(folder: Path) -> dict:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def largest_difference(a: dict, b: dict) -> float:
    assert a.keys() == b.keys()
    return max((a[k] - b[k]).abs().max().item() for k in a)


RL = {
    "model": {"path": "tiny:student"},
    "data": {"train": [{"path": "world:arithmetic", "rows": 40}]},
    "prompt": {"template": "tiny"},
    "sampling": {"group_size": 4, "max_tokens": 24},
    "training": {
        "steps": 6,
        "batch_size": 16,
        "learning_rate": 1e-3,
        "kl": 0.05,
        "reference_reset_steps": 2,
        "save_steps": 1,
    },
}
SFT = {
    "model": {"path": "tiny:student"},
    "data": {"train": [{"path": "world:text", "rows": 60}]},
    "prompt": {"template": "tiny"},
    "training": {"epochs": 3, "batch_size": 8, "learning_rate": 1e-3, "save_steps": 2, "max_length": 128},
}
GENERATE = {
    "model": {"path": "tiny:base"},
    "data": {"train": [{"path": "world:facts", "rows": 60}]},
    "prompt": {"template": "tiny", "prefill": "<answer>"},
    "sampling": {"samples": 2, "max_tokens": 16, "batch_size": 8},
    "keep": {"correct": False, "format": False, "finished": False},
}
EVAL = {
    "model": {"path": "tiny:student"},
    "data": {"eval": [{"path": "world:arithmetic", "rows": 40, "split": "test"}]},
    "prompt": {"template": "tiny"},
    "sampling": {"samples": 2, "max_tokens": 32, "batch_size": 8},
}
