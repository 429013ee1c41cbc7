"""Run a stage inside a Python process, such as a notebook: the work behind `r1kit.run_stage`.

The command line may change its process as it likes, since the process ends with the stage. Here stdout, the signal
handlers, the environment variables and the lock of the run are as before when the stage has ended.
"""

import contextlib
import copy
import importlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from r1kit.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, Interrupted, UserError, suggest
from r1kit.launch import prepare_process, print_notes
from r1kit.messages import stdout_to_stderr
from r1kit.models.prompt_choice import choose_prompts
from r1kit.ranks import is_main_rank
from r1kit.recipe import Recipe, command_module, load_recipe
from r1kit.recipe.data import normalise_sources
from r1kit.runs.ending import print_finished
from r1kit.runs.resume import already_finished, open_run
from r1kit.runs.run import Run
from r1kit.runs.warning_log import record_warnings
from r1kit.runs.webhook import Webhook, post_alerts, post_end
from r1kit.stages import STAGES
from r1kit.supervisor import describe_sys_exit

# The signals whose handlers a training replaces, so that it can save its state.
_HANDLED_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_EXIT_CODES = {"finished": EXIT_DONE, "interrupted": EXIT_INTERRUPTED, "failed": EXIT_FAILED}


def run_stage_in_process(stage: str, recipe: str | Path | dict[str, Any], overrides: dict[str, Any]) -> Path:
    """Run `stage` in this process and return its run directory; see `r1kit.run_stage`."""
    if stage not in STAGES:
        raise UserError("stage", stage, "no such stage", suggest(stage, STAGES))
    recipe_file = None
    if isinstance(recipe, dict):
        values = copy.deepcopy(recipe)  # since overrides are put into its blocks
        if "data" in values:
            values["data"] = normalise_sources(values["data"])
        overrides = values | overrides
    else:
        recipe_file = str(recipe)
    loaded_recipe, notes = choose_prompts(load_recipe(stage, recipe_file, overrides))
    run_dir = Path(loaded_recipe.output or "")
    if already_finished(stage, loaded_recipe):
        print_finished(Run(run_dir), earlier=True)
        return run_dir

    print_notes(notes)
    run = open_run(stage, loaded_recipe) if is_main_rank() else Run(run_dir)
    try:
        with stdout_to_stderr(), _restored_environment(), _restored_signal_handlers():
            _run_and_record(stage, loaded_recipe, run)
    finally:
        run.unlock()
    if is_main_rank():
        print_finished(run)
    return run_dir


def _run_and_record(stage: str, recipe: Recipe, run: Run) -> None:
    """Run the stage, write into run.json how it ended, and post that to the recipe's webhook."""
    prepare_process(stage)
    status, reason = "failed", ""
    webhook = Webhook.of(recipe.webhook, stage, run.path) if is_main_rank() else None
    try:
        with record_warnings(run), post_alerts(webhook):
            importlib.import_module(command_module(stage, recipe)).main(recipe, run)
        status = "finished"
    except (Interrupted, KeyboardInterrupt):
        status = "interrupted"
        raise KeyboardInterrupt(f"{run.path}: the state is saved; the same call resumes it") from None
    except SystemExit as error:  # raised by a library or a model's code; it must not end the caller's process
        reason = describe_sys_exit(error)
        raise RuntimeError(reason) from error
    except UserError as error:
        reason = str(error)
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise
    finally:
        if is_main_rank():
            if status == "finished":
                run.finish()
            else:
                run.pause(status)
        post_end(webhook, run, _EXIT_CODES[status], reason)


@contextlib.contextmanager
def _restored_environment() -> Iterator[None]:
    """Give environment variables that are set within the block their old values after it."""
    variables = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - set(variables):
            del os.environ[name]
        os.environ.update(variables)


@contextlib.contextmanager
def _restored_signal_handlers() -> Iterator[None]:
    """Give SIGINT and SIGTERM their old handlers after the block; only the main thread may set handlers."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in _HANDLED_SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
