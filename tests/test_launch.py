"""How processes are launched: the launcher's command, Slurm's ranks, the environment, and a full disk."""

import errno
import os
import sys
from pathlib import Path

import pytest

from r1kit import ranks
from r1kit.errors import UserError
from r1kit.launch import is_disk_full, prepare_process, start
from r1kit.launchers import count_processes, launch_command
from r1kit.recipe import parse_recipe

RECIPES = Path(__file__).parent.parent / "recipes"
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
ACCELERATE = [sys.executable, "-m", "accelerate.commands.launch", "--config_file"]


def write_config(folder, text: str) -> str:
    """Write an Accelerate config file and return its path."""
    (folder / "accelerate.yaml").write_text(text)
    return str(folder / "accelerate.yaml")


@pytest.fixture
def clean_environment(monkeypatch):
    """Remove the variables that launchers and r1kit set; those that the test sets are removed after it."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS")
    slurm = ("PROCID", "NTASKS", "LOCALID", "NODEID", "STEP_TASKS_PER_NODE", "TASKS_PER_NODE", "STEP_ID")
    names += ("TORCHELASTIC_RUN_ID", "OMPI_COMM_WORLD_LOCAL_SIZE", "SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")
    libraries = ("GOMP_SPINCOUNT", "CUDA_VISIBLE_DEVICES", "TOKENIZERS_PARALLELISM")
    for name in (*names, *(f"SLURM_{name}" for name in slurm), *libraries):
        monkeypatch.setenv(name, "")  # so that monkeypatch restores it, whatever the test does
        monkeypatch.delenv(name)
    return monkeypatch


def test_one_process_needs_no_launcher(tmp_path):
    assert launch_command(None, None) is None
    assert launch_command(1, None) is None
    assert launch_command(None, write_config(tmp_path, "distributed_type: 'NO'\nnum_processes: 1\n")) is None


def test_several_processes_are_started_by_torchrun_or_accelerate(tmp_path):
    assert launch_command(3, None) == [*TORCHRUN, "3"]
    assert count_processes(3, None) == 3
    on_cpu = write_config(tmp_path, "distributed_type: MULTI_CPU\nnum_processes: 2\n")
    assert launch_command(None, on_cpu) == [*TORCHRUN, "2"]
    assert launch_command(4, on_cpu) == [*TORCHRUN, "4"]
    assert count_processes(None, on_cpu) == 2
    for spelling in ("NO", "'NO'", "multi_cpu"):  # NO without quotes is false in YAML
        assert launch_command(2, write_config(tmp_path, f"distributed_type: {spelling}\n")) == [*TORCHRUN, "2"]
    sharded = write_config(tmp_path, "distributed_type: FSDP\nnum_processes: 8\n")
    assert launch_command(None, sharded) == [*ACCELERATE, sharded]
    assert launch_command(2, sharded) == [*ACCELERATE, sharded, "--num_processes", "2"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("- a\n", "must be an Accelerate config file; use one like those in recipes/accelerate/"),
        ("a: [", "must be an Accelerate config file, which is YAML; use one like those in recipes/accelerate/"),
        ("distributed_type: FDSP\n", "has distributed_type = FDSP, which Accelerate does not know; did you mean FSDP?"),
        (
            "num_processes: abc\n",
            "has num_processes = abc, which must be a whole number of at least 1; correct num",
        ),
        ("num_processes: -2\n", "has num_processes = -2, which must be a whole number of at least 1; correct num_proc"),
        ("num_machines: 2\n", "names 2 machines, and r1kit launches processes on one; run on each machine: accelerate"),
    ],
)
def test_a_wrong_accelerate_config_is_refused(tmp_path, text, line):
    config = write_config(tmp_path, text)
    with pytest.raises(UserError) as caught:
        launch_command(None, config)
    assert str(caught.value).startswith(f"--accelerate-config = {config}; {line}")


def test_a_wrong_number_of_processes_is_refused():
    with pytest.raises(UserError, match=r"^--num-processes = 0; must be at least 1; use a positive number$"):
        launch_command(0, None)


def test_ranks_of_slurm_are_adopted_if_a_master_address_is_set(clean_environment):
    environment = {"SLURM_PROCID": "5", "SLURM_NTASKS": "8", "SLURM_LOCALID": "1"}
    for name, value in environment.items():
        clean_environment.setenv(name, value)
    ranks.adopt_slurm_ranks()
    assert (ranks.rank(), ranks.world_size()) == (0, 1)  # without an address, the tasks are separate runs
    clean_environment.setenv("MASTER_ADDR", "node1")
    ranks.adopt_slurm_ranks()
    assert (ranks.rank(), ranks.world_size(), ranks.local_rank()) == (5, 8, 1)
    assert os.environ["MASTER_PORT"] == "29500"
    assert not ranks.is_main_rank()


@pytest.mark.parametrize(
    ("tasks_per_node", "node", "local_world_size"),
    [("8(x4)", "3", 8), ("8(x2),4", "2", 4), ("2,3", "0", 2), ("32", "0", 32), ("", "0", 32), ("8", "1", 32)],
)
def test_ranks_of_slurm_share_the_cores_of_their_own_machine(clean_environment, tasks_per_node, node, local_world_size):
    environment = {"SLURM_PROCID": "5", "SLURM_NTASKS": "32", "MASTER_ADDR": "node1", "SLURM_NODEID": node}
    for name, value in {**environment, "SLURM_TASKS_PER_NODE": tasks_per_node}.items():
        clean_environment.setenv(name, value)
    ranks.adopt_slurm_ranks()
    assert ranks.local_world_size() == local_world_size
    assert ranks.world_size() == 32


@pytest.mark.parametrize(
    ("environment", "bound_cores", "threads"),
    [
        ({}, 64, 64),
        ({"WORLD_SIZE": "32", "LOCAL_WORLD_SIZE": "8"}, 64, 8),  # torchrun on four machines
        ({"WORLD_SIZE": "8"}, 64, 8),
        ({"WORLD_SIZE": "32", "OMPI_COMM_WORLD_LOCAL_SIZE": "16"}, 64, 4),
        # srun: 8 tasks on each of two machines, not bound, bound, and with --cpus-per-task
        ({"SLURM_CPUS_ON_NODE": "64"}, 64, 8),
        ({"SLURM_CPUS_ON_NODE": "64"}, 8, 8),
        ({"SLURM_CPUS_ON_NODE": "32"}, 64, 4),  # the job has half of the machine
        ({"SLURM_CPUS_PER_TASK": "6", "SLURM_CPUS_ON_NODE": "48"}, 64, 6),
        ({"SLURM_CPUS_PER_TASK": "6", "SLURM_CPUS_ON_NODE": "48"}, 4, 4),
        # srun, its script having exported the ranks
        ({"RANK": "9", "WORLD_SIZE": "16", "LOCAL_RANK": "1", "SLURM_CPUS_ON_NODE": "64"}, 64, 8),
        # torchrun in one task of each machine
        (
            {
                "SLURM_TASKS_PER_NODE": "1(x2)",
                "SLURM_CPUS_PER_TASK": "64",
                "TORCHELASTIC_RUN_ID": "x",
                "RANK": "3",
                "WORLD_SIZE": "16",
                "LOCAL_WORLD_SIZE": "8",
            },
            64,
            8,
        ),
        ({"SLURM_TASKS_PER_NODE": "2,1", "SLURM_CPUS_ON_NODE": "6", "SLURM_NODEID": "0"}, 64, 3),
    ],
)
def test_each_rank_has_its_share_of_the_cores(clean_environment, environment, bound_cores, threads):
    if any(name.startswith("SLURM") for name in environment):
        task = {"SLURM_PROCID": "9", "SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_STEP_ID": "0"}
        environment = {**task, "SLURM_NTASKS": "16", "SLURM_TASKS_PER_NODE": "8(x2)", "MASTER_ADDR": "a", **environment}
    for name, value in environment.items():
        clean_environment.setenv(name, value)
    clean_environment.setattr(os, "sched_getaffinity", lambda _: range(bound_cores), raising=False)
    clean_environment.setattr(ranks, "_CPU_LIMIT_FILE", Path("no such file"))
    ranks.adopt_slurm_ranks()
    prepare_process("sft")
    assert os.environ["OMP_NUM_THREADS"] == str(threads)


@pytest.mark.parametrize(("limit", "cores"), [("max 100000", 16), ("400000 100000", 4), ("50000 100000", 1), ("", 16)])
def test_a_container_s_limit_counts(clean_environment, tmp_path, limit, cores):
    (tmp_path / "cpu.max").write_text(f"{limit}\n")
    clean_environment.setattr(os, "sched_getaffinity", lambda _: range(16), raising=False)
    clean_environment.setattr(ranks, "_CPU_LIMIT_FILE", tmp_path / "cpu.max")
    assert ranks.cores_of_rank() == cores


@pytest.mark.parametrize("stage", [2, 3])
def test_zero_without_deepspeed_is_refused(here, clean_environment, capfd, stage):
    config = str(RECIPES / f"accelerate/zero{stage}.yaml")
    clean_environment.setitem(sys.modules, "deepspeed", None)
    recipe = parse_recipe("sft", {"model": {"path": "m"}, "data": {"train": "rows.jsonl"}, "output": "run"})
    with pytest.raises(UserError) as caught:
        start("sft", recipe, None, config, overwrite=False)
    line = "needs DeepSpeed, which is not installed; run pip install 'r1kit[deepspeed]', or use recipes/"
    assert str(caught.value) == f"--accelerate-config = {config}; {line}accelerate/fsdp2.yaml"
    assert not Path("run").exists()


def test_ranks_of_another_launcher_are_kept(clean_environment):
    for name, value in {"SLURM_PROCID": "5", "SLURM_NTASKS": "8", "MASTER_ADDR": "node1"}.items():
        clean_environment.setenv(name, value)
    clean_environment.setenv("RANK", "1")
    clean_environment.setenv("WORLD_SIZE", "2")
    ranks.adopt_slurm_ranks()
    assert ranks.rank() == 1
    assert ranks.world_size() == 2


def test_a_training_sees_one_gpu_unless_it_has_ranks_or_the_user_chose(clean_environment):
    prepare_process("generate")
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
    prepare_process("sft")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
    clean_environment.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    prepare_process("sft")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "2,3"
    clean_environment.delenv("CUDA_VISIBLE_DEVICES")
    clean_environment.setenv("WORLD_SIZE", "1")
    prepare_process("sft")
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize(
    ("error", "is_full"),
    [
        (OSError(errno.ENOSPC, "No space"), True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
        (OSError(errno.EACCES, "Permission denied"), False),
        (RuntimeError("[enforce fail at inline_container.cc:659] . unexpected pos 64 vs 0"), True),
        (RuntimeError("I/O error: StorageFull"), True),
        (RuntimeError("CUDA error"), False),
    ],
)
def test_a_full_disk_is_recognised_in_the_exceptions_of_libraries(error, is_full):
    assert is_disk_full(error) is is_full
