"""Hand a stage to Accelerate: one process as it is, many by torchrun or `accelerate launch`.

A launcher turns a child's exit code 2 into 1, so each rank leaves its own code in the run directory
(`exit.json`). Ctrl-C reaches the ranks as a file named `stop`, since launchers kill their children
before they have saved; anybody may make it. Where a cluster's own launcher has set the ranks, nothing is launched.
"""

import contextlib
import ctypes
import errno
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import yaml

from r1kit.errors import (
    EXIT_AGAIN,
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_USER,
    Interrupted,
    OutOfMemory,
    UserError,
)
from r1kit.ranks import is_main_rank
from r1kit.recipe import Recipe, parse_recipe
from r1kit.runs.files import write_file
from r1kit.runs.results import print_finished
from r1kit.runs.resume import already_finished, open_run
from r1kit.runs.run import Run
from r1kit.stages import STAGES


def start(stage: str, recipe: Recipe, processes: int | None, config: str | None, overwrite: bool) -> int:
    """Run `stage` to its end and return the exit code. The run's path is the one line on stdout."""
    _ranks_of_slurm()
    ranked = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if ranked and config is not None:
        do = f"on each node: accelerate launch --config_file {config} ... -m r1kit.cli ..., without this option"
        must = f"another launcher has set the ranks (WORLD_SIZE = {os.environ['WORLD_SIZE']}), so it would not be read"
        raise UserError("--accelerate-config", config, must, do)
    with stdout_to_stderr() as out:
        if not overwrite and already_finished(stage, recipe):
            if is_main_rank():
                print_finished(Run(Path(recipe.output or "")), earlier=True)
                out(recipe.output or "")
            return EXIT_DONE
        command = None if ranked or stage == "data" else launch_command(processes, config)
        if command:
            run = open_run(stage, recipe, overwrite)
            while (code := _launch(command, count_processes(processes, config), run, out)) == EXIT_AGAIN:
                (run.path / "exit.json").unlink(missing_ok=True)
                run.update(status="running", session_started=time.time())
            return code
        run = open_run(stage, recipe, overwrite) if is_main_rank() else Run(Path(recipe.output or ""))
        code = work(stage, recipe, run)
        if code == EXIT_DONE and is_main_rank():
            print_finished(run)
            out(str(run.path))
        return code


def prepare_process(stage: str) -> None:
    """Set the environment variables and warning filters that `stage` needs, before torch is imported."""
    cores = os.cpu_count() or 1
    local = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ.get("WORLD_SIZE", "1")))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // local)))
    # How long a waiting thread spins before it sleeps. Without it, another busy process makes small models 10 to 40
    # times as slow; OMP_WAIT_POLICY=PASSIVE, which never spins, makes them 2 to 5 times as slow on an idle machine.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if STAGES[stage].trains_model and local == 1 and "WORLD_SIZE" not in os.environ:
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # TRL refuses one process that sees several GPUs
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    if not sys.warnoptions:  # what the libraries will do away with is for those who write against them
        libraries = r"(transformers|trl|peft|accelerate|datasets)(\.|$)"
        warnings.filterwarnings("ignore", category=FutureWarning, module=libraries)


def work(stage: str, recipe: Recipe, run: Run, quiet: bool = False) -> int:
    """Run `stage` in this process and return its exit code, which is left in the run directory too.

    `quiet` leaves it to the parent to say a user's mistake, which one rank may find before the others.
    """
    prepare_process(stage)
    code, line = EXIT_FAILED, ""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        importlib.import_module(STAGES[stage].command_module).main(recipe, run)
        code = EXIT_DONE
        if is_main_rank():
            run.finish()
    except UserError as error:
        code, line = EXIT_USER, str(error)
    except OutOfMemory as error:
        code, line = EXIT_AGAIN, str(error)
    except (Interrupted, KeyboardInterrupt):
        code = EXIT_INTERRUPTED
    except Exception as error:
        if not _disk_is_full(error):
            raise
        code, line = (
            EXIT_USER,
            f"output = {run.path}; no space left on the device; make room, then the same command again",
        )
    finally:
        if code != EXIT_DONE:
            _leave(run, code, line)
    if line and is_main_rank() and not quiet:
        print(f"error: {line}", file=sys.stderr)
    return code


def _disk_is_full(error: Exception) -> bool:
    """Whether this is a full disk, as Python, safetensors, torch or arrow say it."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    text = str(error)
    return any(words in text for words in ("No space left", "StorageFull", "inline_container.cc"))


def _leave(run: Run, code: int, line: str) -> None:
    with contextlib.suppress(OSError):
        if is_main_rank():
            run.pause({EXIT_INTERRUPTED: "interrupted"}.get(code, "failed"))
        # The first rank to leave says why: the others are then stopped by the launcher.
        with open(run.path / "exit.json", "x") as file:
            json.dump({"code": code, "line": line}, file)


def launch_command(processes: int | None, config: str | None) -> list[str] | None:
    """Return the launcher's command line without the run, or None where one process will do.

    `accelerate launch` quietly starts a single process for several on the CPU without FSDP; there
    torchrun is used.
    """
    if processes is not None and processes < 1:
        raise UserError("--num-processes", processes, "must be at least 1", "give a positive number")
    if config is not None:
        try:
            values = yaml.safe_load(Path(config).read_text())
        except (OSError, yaml.YAMLError) as error:
            raise UserError("--accelerate-config", config, "must be an Accelerate config file", str(error)) from None
        if not isinstance(values, dict):
            raise UserError(
                "--accelerate-config", config, "must be an Accelerate config file", "see recipes/accelerate/"
            )
        if int(values.get("num_machines", 1)) > 1:
            must = f"names {values['num_machines']} machines; r1kit launches on one"
            do = f"on each of them: accelerate launch --config_file {config} --machine_rank N ... -m r1kit.cli ..."
            raise UserError("--accelerate-config", config, must, do)
        kind = values.get("distributed_type", "NO")
        if kind in ("NO", "MULTI_CPU"):
            processes = processes or int(values.get("num_processes", 1))
        else:
            command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", config]
            return command + (["--num_processes", str(processes)] if processes else [])
    if not processes or processes == 1:
        return None
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]


def count_processes(processes: int | None, config: str | None) -> int:
    """Return the processes on this machine that a launch means."""
    if processes or config is None:
        return processes or 1
    values = yaml.safe_load(Path(config).read_text())
    return max(1, int(values.get("num_processes", 1)) // int(values.get("num_machines", 1)))


def _die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies, so that a killed launch leaves no ranks behind."""
    with contextlib.suppress(OSError, AttributeError):  # Linux alone
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _launch(command: list[str], processes: int, run: Run, out) -> int:
    line = [*command, "-m", "r1kit.launch", str(run.path)]
    environment = {"GOMP_SPINCOUNT": "10000", **os.environ}
    environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    child = subprocess.Popen(line, env=environment, start_new_session=True, preexec_fn=_die_with_parent)

    def stop(number, frame):
        if (run.path / "stop").exists():
            os.killpg(child.pid, signal.SIGKILL)
        else:
            write_file(run.path / "stop", "")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        status = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        (run.path / "stop").unlink(missing_ok=True)
    if status == 0 and run.info.get("status") == "finished":
        print_finished(run)
        out(str(run.path))
        return EXIT_DONE
    try:
        left = json.loads((run.path / "exit.json").read_text())
    except (FileNotFoundError, ValueError):
        left = {"code": EXIT_FAILED, "line": ""}
    if run.info.get("status") == "running":
        run.pause("failed")
    if left["line"]:
        kind = "note" if left["code"] == EXIT_AGAIN else "error"
        print(f"{kind}: {left['line']}", file=sys.stderr)
    return left["code"]


@contextlib.contextmanager
def stdout_to_stderr() -> Iterator:
    """Turn stdout (the descriptor) away to stderr; yield a function that prints a line to the real one."""
    sys.stdout.flush()
    real = os.dup(1)
    os.dup2(2, 1)
    try:
        yield lambda line: os.write(real, f"{line}\n".encode())
    finally:
        sys.stdout.flush()
        os.dup2(real, 1)
        os.close(real)


def _ranks_of_slurm() -> None:
    """Take the ranks that `srun` has set, where MASTER_ADDR says that a process group is wanted."""
    env = os.environ
    if "RANK" not in env and "MASTER_ADDR" in env and int(env.get("SLURM_NTASKS", "1")) > 1:
        env["RANK"], env["WORLD_SIZE"] = env["SLURM_PROCID"], env["SLURM_NTASKS"]
        env["LOCAL_RANK"] = env.get("SLURM_LOCALID", "0")
        env.setdefault("MASTER_PORT", "29500")


def main() -> int:
    """What a launcher starts for each rank: `python -m r1kit.launch RUN`."""
    _die_with_parent()
    run = Run(Path(sys.argv[1]))
    stage = run.info["stage"]
    recipe = parse_recipe(stage, yaml.safe_load((run.path / "recipe.yaml").read_text()))
    return work(stage, recipe, run, quiet=True)


if __name__ == "__main__":
    sys.exit(main())
