"""Run the real `r1kit` command from a test, and read what it has written."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

COMMAND = [sys.executable, "-m", "r1kit.cli"]
WARM_SERVER_COMMAND = [sys.executable, Path(__file__).with_name("warm.py")]
# Variables that pytest, torch and scikit-learn set in their own process, or that warm.py sets anew for each command.
UNCOMPARED_VARIABLES = ("PYTEST_", "COVERAGE_", "TORCHINDUCTOR_", "KMP_", "PYTHONPATH", "R1KIT_LOG_LEVEL")
COMMAND_TIMEOUT = 3600  # seconds

# The server of warm.py and the environment with which it was started; empty until the first command.
_warm_server: list[tuple[subprocess.Popen, dict[str, str]]] = []


def shared_folder(name: str) -> Path:
    """Return a folder of inputs that do not belong to the project, such as public data sets, or skip the test.

    They are looked for in the folder that R1KIT_SHARED names, else in `shared` beside the checkout.
    """
    beside_checkout = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("R1KIT_SHARED", beside_checkout), name)
    if not folder.is_dir():
        pytest.skip(f"{folder} does not exist: set R1KIT_SHARED")
    return folder


def start_r1kit(*arguments: object) -> subprocess.Popen:
    """Start `r1kit` in a session of its own, and return its process."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*COMMAND, *map(str, arguments)], start_new_session=True, env=os.environ, **pipes)


def r1kit(*arguments: object, code: int = 0) -> tuple[str, str]:
    """Run `r1kit` in a process of its own, assert its exit code, and return its stdout and stderr.

    The process is forked from one that has imported torch and TRL already (warm.py), unless environment variables have
    changed since that was started: libraries read them when they are imported.
    """
    environment = _compared_environment()
    if not _warm_server:
        # r1kit sets GOMP_SPINCOUNT before it imports torch, and the server has imported it already.
        server_environment = {"GOMP_SPINCOUNT": "10000", **environment}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        _warm_server.append((subprocess.Popen(WARM_SERVER_COMMAND, env=server_environment, **pipes), environment))
    server, server_environment = _warm_server[0]
    if environment == server_environment:
        exit_code, stdout, stderr = _run_forked(server, arguments)
    else:
        process = start_r1kit(*arguments)
        stdout, stderr = process.communicate(timeout=COMMAND_TIMEOUT)
        exit_code = process.returncode
    assert exit_code == code, f"exit code {exit_code}, not {code}:\n{stderr[-4000:]}"
    return stdout, stderr


def _run_forked(server: subprocess.Popen, arguments: tuple[object, ...]) -> tuple[int, str, str]:
    """Have the server fork a command, and return its exit code, stdout and stderr."""
    with tempfile.TemporaryDirectory() as folder:
        stdout_file, stderr_file = Path(folder, "stdout"), Path(folder, "stderr")
        request = {
            "arguments": [*map(str, arguments)],
            "folder": os.getcwd(),
            "environment": dict(os.environ),
            "stdout_file": str(stdout_file),
            "stderr_file": str(stderr_file),
        }
        print(json.dumps(request), file=server.stdin, flush=True)
        exit_code = int(server.stdout.readline())
        return exit_code, stdout_file.read_text(), stderr_file.read_text()


def _compared_environment() -> dict[str, str]:
    """Return the environment variables whose change needs a fresh process."""
    return {name: value for name, value in os.environ.items() if not name.startswith(UNCOMPARED_VARIABLES)}


def write_recipe(path: Path, **values) -> Path:
    """Write a recipe with these values and return its path."""
    path.write_text(yaml.safe_dump(values))
    return path


def read_info(run: Path) -> dict:
    """Return the content of a run's run.json."""
    return json.loads((run / "run.json").read_text())


def read_metrics(run: Path) -> list[dict]:
    """Return the lines of a run's metrics.jsonl."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def read_data(folder: Path) -> list[dict]:
    """Return the rows of all Parquet files in `folder`, in the order of their names."""
    rows = []
    for file in sorted(folder.glob("*.parquet")):
        rows += pq.read_table(file).to_pylist()
    return rows


def read_weights(folder: Path) -> dict:
    """Return the tensors of a saved model by their names."""
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def largest_difference(first: dict, second: dict) -> float:
    """Return the largest absolute difference between tensors of the same name."""
    assert first.keys() == second.keys()
    return max((first[name] - second[name]).abs().max().item() for name in first)


# Small recipes, which tests change where they need to.

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
ON_POLICY = {
    "model": {"path": "tiny:student"},
    "teacher": {"path": "tiny:base"},
    "distill": {"method": "on-policy"},
    "data": {"train": [{"path": "world:arithmetic", "rows": 40}]},
    "prompt": {"template": "tiny"},
    "sampling": {"max_tokens": 24},
    "training": {"steps": 6, "batch_size": 16, "micro_batch_size": 8, "learning_rate": 1e-3, "save_steps": 1},
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
