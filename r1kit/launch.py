"""Run a stage: in this process, or in several that torchrun or `accelerate launch` starts.

A launcher turns the exit code 2 of a process into 1, so each rank leaves its own code and error in the run directory
(exit-RANK.json, see r1kit/runs/exits.py). Launchers also kill their processes on Ctrl-C before these have saved, so
Ctrl-C reaches them as a file in the run directory named `stop`, which anybody may create. If a cluster's own launcher
has set the ranks, r1kit launches nothing itself.

    python -m r1kit.launch RUN      what a launcher starts for each rank
"""

import contextlib
import errno
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Sequence
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
    explain_refused_file,
)
from r1kit.interrupts import raise_on_signals
from r1kit.launchers import count_processes, launch_command, needs_missing_deepspeed
from r1kit.messages import PrintLine, logger, print_traceback, stdout_to_stderr
from r1kit.ranks import adopt_slurm_ranks, cores_of_rank, is_main_rank, local_world_size, rank, world_size
from r1kit.recipe import Recipe, collect_secrets, command_module, parse_recipe, restore_secrets
from r1kit.recipe.webhook import webhook_address
from r1kit.runs.ending import print_finished, print_interrupted
from r1kit.runs.exits import RankExit, describe_exit, find_first_exit, forget_exits, record_exit
from r1kit.runs.files import write_file
from r1kit.runs.resume import already_finished, open_run, remove_smoke_run
from r1kit.runs.run import Run
from r1kit.runs.warning_log import record_warnings
from r1kit.runs.webhook import Webhook, post_alerts, post_end
from r1kit.stages import STAGES
from r1kit.supervisor import (
    describe_exit_code,
    describe_sys_exit,
    die_with_parent,
    report_end,
    report_run,
    supervise,
)

# How long a waiting thread of OpenMP spins before it sleeps. Without it, another busy process makes small models 10 to
# 40 times slower; OMP_WAIT_POLICY=PASSIVE, which never spins, makes them 2 to 5 times slower on an idle machine.
_SPIN_COUNT = "10000"
# Libraries whose announcements of future changes are for developers, and are not shown.
_WARNING_LIBRARIES = r"(transformers|trl|peft|accelerate|datasets|torch\.distributed)(\.|$)"
# What peft warns of where embeddings get an adapter: r1kit.models.adapters merges them right, tied or not.
_EMBEDDING_WARNINGS = r"Model has `tie_word_embeddings=True`|Setting `save_embedding_layers`"
# How libraries report a full disk in the text of an exception: Python and safetensors, arrow, torch.
_DISK_FULL_TEXTS = ("No space left", "StorageFull", "inline_container.cc")
# The environment variable that hands the secrets of a recipe to the ranks: in the run directory they are masked.
_SECRETS_VARIABLE = "R1KIT_MASKED_VALUES"


def start(
    stage: str,
    recipe: Recipe,
    processes: int | None,
    config: str | None,
    overwrite: bool,
    notes: Sequence[str] = (),
    is_smoke: bool = False,
) -> int:
    """Run `stage` to its end, and return the exit code of the command; `notes` are printed if there is work to do.

    `processes` and `config` are the options --num-processes and --accelerate-config. The path of the run is the one
    line on stdout; everything else goes to stderr. A smoke run (`is_smoke`) replaces an earlier one.
    """
    adopt_slurm_ranks()
    has_ranks = world_size() > 1
    if has_ranks and config is not None:
        requirement = f"is not read, because another launcher has set the ranks (WORLD_SIZE = {world_size()})"
        action = f"run on each node: accelerate launch --config_file {config} ... -m r1kit.cli ..., without this option"
        raise UserError("--accelerate-config", config, requirement, action)
    with stdout_to_stderr() as print_path:
        if is_smoke and is_main_rank():
            remove_smoke_run(Path(recipe.output or ""))
        if not overwrite and already_finished(stage, recipe):
            if is_main_rank():
                print_finished(Run(Path(recipe.output or "")), earlier=True)
                print_path(recipe.output or "")
            return EXIT_DONE
        print_notes(notes)
        command = None if has_ranks or stage == "data" else launch_command(processes, config)
        if config is not None and needs_missing_deepspeed(config):
            action = "run pip install 'r1kit[deepspeed]', or use recipes/accelerate/fsdp2.yaml"
            raise UserError("--accelerate-config", config, "needs DeepSpeed, which is not installed", action)
        run = Run(Path(recipe.output or ""))
        if is_main_rank():
            run = open_run(stage, recipe, overwrite, is_smoke)
            report_run(run.path, stage, webhook_address(recipe.webhook))
        if command is not None:
            return _start_processes(recipe, command, count_processes(processes, config), run, print_path)
        code = work(stage, recipe, run)
        if is_main_rank():
            _print_end(run, code, print_path)
        return code


def _print_end(run: Run, code: int, print_path: PrintLine) -> None:
    """Print how a run ended: on stderr what came of it, and the path of one that is done on stdout."""
    if code == EXIT_DONE:
        print_finished(run)
        print_path(str(run.path))
    elif code == EXIT_INTERRUPTED:
        print_interrupted(run)


def print_notes(notes: Sequence[str]) -> None:
    """Print notes on a recipe once, whatever the number of processes."""
    if is_main_rank():
        for note in notes:
            logger.info(note)


# One process


def work(stage: str, recipe: Recipe, run: Run, quiet: bool = False) -> int:
    """Run `stage` in this process, record how it ended in the run directory, and return the exit code.

    With `quiet`, errors are not printed here: the process that launched the ranks prints that of the first to fail.
    """
    prepare_process(stage)
    raise_on_signals()
    code, error_line, trace, reason = EXIT_FAILED, "", "", ""
    webhook = Webhook.of(recipe.webhook, stage, run.path) if is_main_rank() else None
    try:
        with record_warnings(run), post_alerts(webhook):
            importlib.import_module(command_module(stage, recipe)).main(recipe, run)
        code = EXIT_DONE
        if is_main_rank():
            run.finish()
    except UserError as error:
        code, error_line = EXIT_USER, str(error)
    except OutOfMemory as error:
        code, error_line = EXIT_AGAIN, str(error)
    except (Interrupted, KeyboardInterrupt):
        code = EXIT_INTERRUPTED
    except SystemExit as error:  # of a library or of a model's code: r1kit itself calls it nowhere
        error_line = f"{describe_sys_exit(error)}; remove it there, or what calls it"
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        refusal = explain_refused_file(error)
        if is_disk_full(error):
            action = "make room, then give the same command again"
            refusal = UserError("output", run.path, "no space left on the device", action)
        if refusal is not None:
            code, error_line = EXIT_USER, str(refusal)
        elif quiet:
            trace = traceback.format_exc()
        else:
            raise
    finally:
        if code != EXIT_DONE:
            _record_exit(run, RankExit(rank(), code, error_line, trace=trace))
        if webhook is not None and quiet:
            webhook.wait()  # for alerts; the process that launched the ranks posts the end
        else:
            post_end(webhook, run, code, error_line or reason)
    if error_line and is_main_rank() and not quiet:
        logger.error(error_line)
    return code


def prepare_process(stage: str) -> None:
    """Set the environment variables and warning filters that `stage` needs, before torch is imported.

    Variables that the user has set are kept.
    """
    processes_here = local_world_size()
    defaults = {
        "OMP_NUM_THREADS": str(cores_of_rank()),
        "GOMP_SPINCOUNT": _SPIN_COUNT,
        "TOKENIZERS_PARALLELISM": "false",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    }
    if STAGES[stage].trains_model and processes_here == 1 and "WORLD_SIZE" not in os.environ:
        defaults["CUDA_VISIBLE_DEVICES"] = "0"  # TRL refuses a single process that sees several GPUs
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    if not sys.warnoptions:
        warnings.filterwarnings("ignore", category=FutureWarning, module=_WARNING_LIBRARIES)
        warnings.filterwarnings("ignore", message=_EMBEDDING_WARNINGS)


def is_disk_full(error: Exception) -> bool:
    """Return whether an exception of Python, safetensors, torch or arrow means that the disk is full."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    return any(text in str(error) for text in _DISK_FULL_TEXTS)


def _record_exit(run: Run, rank_exit: RankExit) -> None:
    """Record in the run directory how this process ended, for the process that launched it and the next session."""
    with contextlib.suppress(OSError):
        if is_main_rank():
            run.pause("interrupted" if rank_exit.code == EXIT_INTERRUPTED else "failed")
        record_exit(run.path, rank_exit)


# Several processes


def _start_processes(recipe: Recipe, command: list[str], processes: int, run: Run, print_path: PrintLine) -> int:
    """Run the stage of an open run in several processes; again if they ask for it with EXIT_AGAIN."""
    with record_warnings(run, "launcher"):
        while True:
            code, reason = _launch_and_wait(recipe, command, processes, run, print_path)
            if code != EXIT_AGAIN:
                post_end(Webhook.of(recipe.webhook, run.info["stage"], run.path), run, code, reason)
                return code
            forget_exits(run.path)
            run.update(status="running", session_started=time.time())


def _launch_and_wait(
    recipe: Recipe, command: list[str], processes: int, run: Run, print_path: PrintLine
) -> tuple[int, str]:
    """Start the launcher, wait for its end, and report it.

    Returns the exit code that the processes left, and what went wrong in one line, "" if nothing did.
    """
    environment = {"GOMP_SPINCOUNT": _SPIN_COUNT, **os.environ}
    environment.setdefault("OMP_NUM_THREADS", str(max(1, cores_of_rank() // processes)))
    environment[_SECRETS_VARIABLE] = json.dumps(collect_secrets(recipe))
    launcher_arguments = [*command[2:], "-m", "r1kit.launch", str(run.path)]  # without the `python -m` of `command`
    launcher = subprocess.Popen(
        [sys.executable, "-m", "r1kit.torch_launcher", str(run.path), *launcher_arguments],
        env=environment,
        start_new_session=True,
        preexec_fn=die_with_parent,
    )
    status = _wait_for_launcher(launcher, run.path / "stop")
    if status == 0 and run.info.get("status") == "finished":
        _print_end(run, EXIT_DONE, print_path)
        return EXIT_DONE, ""
    if run.info.get("status") == "running":
        run.pause("failed")
    first_exit = find_first_exit(run.path)
    if first_exit is None:
        ending = describe_exit_code(status) if status < 0 else f"failed with exit code {status}"
        logger.error(f"the launcher of {run.path} {ending}; the same command goes on from what is saved")
        return EXIT_FAILED, f"the launcher {ending}"
    if first_exit.trace:
        print(first_exit.trace, file=sys.stderr, end="")
    line = describe_exit(first_exit, processes)
    if line:
        report = logger.info if first_exit.code == EXIT_AGAIN else logger.error
        report(line)
    _print_end(run, first_exit.code, print_path)
    return first_exit.code, line or first_exit.trace.strip().rpartition("\n")[2]


def _wait_for_launcher(launcher: subprocess.Popen, stop_file: Path) -> int:
    """Wait for the launcher and return its status; meanwhile SIGINT and SIGTERM ask its processes to save and stop.

    The first signal creates the stop file. A second one kills the launcher and its processes.
    """

    def stop(number: int, frame: object) -> None:
        if stop_file.exists():
            os.killpg(launcher.pid, signal.SIGKILL)
        else:
            write_file(stop_file, "")

    old_handlers = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return launcher.wait()
    finally:
        for number, handler in old_handlers.items():
            signal.signal(number, handler)
        stop_file.unlink(missing_ok=True)


def main() -> int:
    """Run the stage of a run directory as one rank of several; the launcher starts this."""
    die_with_parent()
    run = Run(Path(sys.argv[1]))
    sys.excepthook = print_traceback
    supervise(lambda ending, _: record_exit(run.path, RankExit(rank(), EXIT_FAILED, ending, is_death=True)))
    code = EXIT_FAILED
    try:
        stage = run.info["stage"]
        values = yaml.safe_load((run.path / "recipe.yaml").read_text())
        # Removed from the environment, so that processes that this rank starts do not inherit the secrets.
        secrets = json.loads(os.environ.pop(_SECRETS_VARIABLE, "[]"))
        restore_secrets(values, secrets)
        recipe = parse_recipe(stage, values)
        code = work(stage, recipe, run, quiet=True)
    finally:
        report_end(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
