"""Trackers such as Weights & Biases and TensorBoard: the names of a run there, and its files within the run.

    with tracker_environment(["wandb"], run):
        trainer = build_trainer()
        trainer.train()

transformers' own callbacks send the metrics. They read project and folders from environment variables, which are set
here where the user has not set them.
"""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from r1kit.errors import UserError, suggest
from r1kit.runs.run import Run

PROJECT = "r1kit"
"""The project of all runs in trackers that have projects."""


def check_trackers(names: Sequence[str]) -> None:
    """Raise UserError for a tracker that transformers does not know, or that is not installed."""
    from transformers.integrations.integration_utils import (
        INTEGRATION_TO_CALLBACK,
        get_available_reporting_integrations,
    )

    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            requirement = "must be a tracker that transformers knows"
            raise UserError("trl.report_to", name, requirement, suggest(name, INTEGRATION_TO_CALLBACK))
        # transformers lists all installed trackers but flyte.
        if name != "flyte" and name not in get_available_reporting_integrations():
            raise UserError("trl.report_to", name, "needs the tracker's own library", f"run pip install {name}")


@contextlib.contextmanager
def tracker_environment(report_to: Any, run: Run) -> Iterator[None]:
    """Set the variables that trackers read while a run is trained, and end its run in Weights & Biases.

    `report_to` is the recipe's: a name, a list of names, or None.
    """
    names = [report_to] if isinstance(report_to, str) else report_to or []
    folder = run.path.resolve()
    variables: dict[str, str] = {}
    if "wandb" in names or "all" in names:
        variables |= {
            "WANDB_PROJECT": PROJECT,
            "WANDB_DIR": str(folder),
            "WANDB_QUIET": "true",  # else it prints every metric again when the run ends
        }
    if "tensorboard" in names or "all" in names:
        variables["TENSORBOARD_LOGGING_DIR"] = str(folder / "tensorboard")
    unset = {name: value for name, value in variables.items() if name not in os.environ}
    has_run_of_user = _open_wandb_run() is not None
    os.environ.update(unset)
    try:
        yield
    finally:
        for name in unset:
            os.environ.pop(name, None)
        wandb_run = _open_wandb_run()
        if wandb_run is not None and not has_run_of_user:
            # Else the next run of this process, as in a notebook, would go on with this one.
            wandb_run.finish(exit_code=int(sys.exception() is not None))


def _open_wandb_run() -> Any:
    """Return the run of Weights & Biases that is open in this process, None without one."""
    wandb = sys.modules.get("wandb")
    return getattr(wandb, "run", None)
