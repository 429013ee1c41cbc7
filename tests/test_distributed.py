"""Two processes on the CPU: DDP by torchrun, FSDP 2 by accelerate.

Accelerate leaves FSDP out on a CPU: tests/sharded/sitecustomize.py has it in.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers import (
    GENERATE,
    RL,
    SFT,
    largest_difference,
    r1kit,
    read_data,
    read_info,
    read_weights,
    start_r1kit,
    write_recipe,
)

from r1kit.launchers import launch_command

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent
FSDP2 = ROOT / "recipes/accelerate/fsdp2_cpu.yaml"
LAUNCHES = {"ddp": ["--num-processes", "2"], "fsdp2": ["--accelerate-config", str(FSDP2)]}
TYPES = {"ddp": "MULTI_CPU", "fsdp2": "FSDP"}


@pytest.fixture(scope="module", autouse=True)
def _sharded():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT / "tests/sharded"))
        yield


def ranks(run):
    return [(r["rank"], r["type"]) for r in read_info(run)["ranks"]]


# With a KL term, too, where time does not matter: R1KIT_ALL=1.
KL = [0.0, 0.04] if os.environ.get("R1KIT_ALL") else [0.0]
SAVINGS = {"stock": [], "lean": ["trim", "regroup", "skip", "share"]}


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    """Where a kind of launch leaves the weights of one step, for each of its cases: one launch for all of them."""
    made = {}

    def launch(kind):
        if kind not in made:
            cases = {"given": {}}
            if kind != "alone":
                for kl in KL:
                    for name, savings in SAVINGS.items():
                        cases[f"{name} {kl}"] = {"dull": 2, "call": 4, "training": {"savings": savings, "kl": kl}}
            command = {
                "alone": [sys.executable],
                "ddp": launch_command(2, None),
                "fsdp2": launch_command(None, str(FSDP2)),
            }[kind]
            out = tmp_path_factory.mktemp(kind)
            words = [*command, ROOT / "tests/rollouts.py", out, json.dumps(cases)]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            done = subprocess.run([*map(str, words)], env=environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr[-3000:]
            made[kind] = out
        return made[kind]

    return launch


@pytest.mark.parametrize("kind", LAUNCHES)
def test_two_processes_take_the_step_that_one_takes(steps, kind):
    alone = torch.load(steps("alone") / "given/weights.pt")
    both = torch.load(steps(kind) / "given/weights.pt")
    assert (steps(kind) / "given/world").read_text() == f"2 DistributedType.{TYPES[kind]}"
    start_weights = read_weights(ROOT / "r1kit/tiny/student")
    moved = max((alone[n] - w).abs().max().item() for n, w in start_weights.items())
    assert moved > 1e-3
    assert max((alone[n] - both[n]).abs().max().item() for n in alone) < 1e-5


@pytest.mark.parametrize("kind", LAUNCHES)
@pytest.mark.parametrize("kl", KL)
def test_two_processes_skip_rows_and_take_stock_s_step(steps, kind, kl):
    """The first rank's rows are all without a gradient, the other's are not."""
    ends = {name: torch.load(steps(kind) / f"{name} {kl}/weights.pt") for name in SAVINGS}
    first = read_weights(ROOT / "r1kit/tiny/student")
    moved = sum((ends["stock"][n] - w).double().pow(2).sum() for n, w in first.items()).sqrt()
    apart = sum((ends["stock"][n] - ends["lean"][n]).double().pow(2).sum() for n in first).sqrt()
    assert moved > 1e-3
    assert apart / moved < 1e-5


@pytest.mark.parametrize("kind", LAUNCHES)
def test_two_ranks_train_checkpoint_stop_and_resume(tmp_path, kind):
    """SIGINT to the launcher saves and gives 130; the same command goes on to the end."""
    run = tmp_path / "run"
    training = {**RL["training"], "steps": 8, "save_steps": 100, "kl": 0.05}
    if kind == "fsdp2":
        training["reference_reset_steps"] = None
    words = [
        "rl-zero",
        write_recipe(tmp_path / "rl.yaml", **{**RL, "training": training}),
        f"output={run}",
        *LAUNCHES[kind],
    ]
    process = start_r1kit(*words)
    while len(list(run.glob("completions/*.parquet"))) < 2:
        time.sleep(0.1)
        assert process.poll() is None, process.communicate()[1][-3000:]
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err[-3000:]
    assert ranks(run) == [(0, TYPES[kind]), (1, TYPES[kind])]
    assert len({r["pid"] for r in read_info(run)["ranks"]}) == 2
    out, _ = r1kit(*words)
    assert out == f"{run}\n"
    rows = read_data(run / "completions")
    assert len(rows) == 8 * 16
    assert (run / "model/model.safetensors").exists()
    assert read_info(run)["steps"] == 8


def test_two_nodes_shard_a_model_by_accelerate_launch(tmp_path):
    """Two launches as on two machines, by their loopback: FSDP 2 over both, the run as from one launch."""
    file, run = write_recipe(tmp_path / "sft.yaml", **SFT), tmp_path / "run"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", FSDP2, "--num_machines", 2]
    command += ["--num_processes", 2, "--main_process_ip", "127.0.0.1", "--main_process_port", port]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    nodes = []
    for rank in range(2):
        words = [*command, "--machine_rank", rank, "-m", "r1kit.cli", "sft", file, f"output={run}"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        nodes.append(subprocess.Popen([*map(str, words)], env=environment, **pipes))
    said = [node.communicate(timeout=300) for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], said[0][1][-3000:]
    assert "".join(out for out, _ in said) == f"{run}\n"
    assert ranks(run) == [(0, "FSDP"), (1, "FSDP")]
    r1kit("sft", file, f"output={tmp_path}/alone", "--accelerate-config", FSDP2)
    assert largest_difference(read_weights(run / "model"), read_weights(tmp_path / "alone/model")) == 0


def test_where_ranks_are_set_a_config_is_not_overlooked(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "16")
    file = write_recipe(tmp_path / "sft.yaml", **SFT)
    _, err = r1kit("sft", file, f"output={tmp_path}/run", "--accelerate-config", FSDP2, code=2)
    assert "another launcher has set the ranks (WORLD_SIZE = 16)" in err
    assert "accelerate launch --config_file" in err
    assert not (tmp_path / "run").exists()


def test_exit_codes_come_through_a_launcher(tmp_path):
    run = tmp_path / "run"
    file = write_recipe(tmp_path / "rl.yaml", **RL)
    out, err = r1kit("rl-zero", file, f"output={run}", "sampling.max_tokens=2000", "--num-processes", 2, code=2)
    assert out == ""
    assert next(line for line in err.splitlines() if line.startswith("error: ")).startswith(
        "error: sampling.max_tokens = 2000;"
    )


def runs(pid: int) -> bool:
    """Whether a process runs: one that is dead and not yet collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_killed_launch_leaves_no_ranks_and_can_be_repeated(tmp_path):
    run = tmp_path / "run"
    file = write_recipe(tmp_path / "rl.yaml", **{**RL, "training": {**RL["training"], "steps": 8}})
    words = ["rl-zero", file, f"output={run}", "--num-processes", 2]
    process = start_r1kit(*words)
    while len(list(run.glob("completions/*.parquet"))) < 2:
        time.sleep(0.1)
        assert process.poll() is None, process.communicate()[1][-3000:]
    ranks = [r["pid"] for r in read_info(run)["ranks"]]
    process.kill()
    process.communicate()
    deadline = time.time() + 15
    while any(map(runs, ranks)) and time.time() < deadline:
        time.sleep(0.1)
    assert not any(map(runs, ranks))
    out, _ = r1kit(*words)
    assert out == f"{run}\n"
    assert len(read_data(run / "completions")) == 8 * 16


def test_a_clusters_own_launcher_is_not_launched_again(tmp_path):
    """torchrun around r1kit itself: two ranks, one line on stdout."""
    run, file = tmp_path / "run", write_recipe(tmp_path / "sft.yaml", **SFT)
    command = [*launch_command(2, None), "-m", "r1kit.cli", "sft", str(file), f"output={run}"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == f"{run}\n"
    assert len(read_info(run)["ranks"]) == 2


def test_two_processes_sample_the_rows_that_one_samples(tmp_path):
    file = write_recipe(tmp_path / "recipe.yaml", **GENERATE)
    r1kit("generate", file, f"output={tmp_path / 'one'}")
    r1kit("generate", file, f"output={tmp_path / 'two'}", "--num-processes", 2)
    folders = [p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_dir()]
    for folder in folders:
        one, two = read_data(tmp_path / "one" / folder), read_data(tmp_path / "two" / folder)
        assert [(r["id"], r["completion"]) for r in one] == [(r["id"], r["completion"]) for r in two]


def test_the_rank_that_is_killed_is_named(tmp_path):
    run = tmp_path / "run"
    file = write_recipe(tmp_path / "rl.yaml", **{**RL, "training": {**RL["training"], "steps": 400}})
    process = start_r1kit("rl-zero", file, f"output={run}", "--num-processes", 2)
    while len(list(run.glob("completions/*.parquet"))) < 2:
        time.sleep(0.1)
        assert process.poll() is None, process.communicate()[1][-3000:]
    [pid] = [rank["pid"] for rank in read_info(run)["ranks"] if rank["rank"] == 1]
    os.kill(pid, signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, read_info(run)["status"]) == (1, "", "failed")
    line = err.strip().splitlines()[-1]
    assert line.startswith("error: rank 1 of 2 was killed by SIGKILL, ")
    assert line.endswith("the other ranks were stopped, and the same command goes on from what is saved")
    assert "Traceback" not in err
