"""The core that SFT and RL share: train to the end of the recipe, from wherever the run stands, and save the model.

    run_training(build_trainer, recipe, run)

A stage says how its trainer is built; all else is done here: resuming from the newest complete checkpoint, smaller
micro-batches where memory runs out, metrics and alerts, saving when interrupted, `model/` and its card.
"""

import gc
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, ProgressCallback

from r1kit.errors import Interrupted, OutOfMemory, UserError
from r1kit.messages import logger
from r1kit.ranks import is_main_rank, world_size
from r1kit.recipe import TrainingRecipe
from r1kit.runs.run import Run
from r1kit.training import card, checkpoints
from r1kit.training.alerts import AlertCallback
from r1kit.training.arguments import FITTING_ROWS_KEY, split_batch
from r1kit.training.callbacks import MetricsCallback, StopCallback
from r1kit.training.display import TrainingDisplay, can_display
from r1kit.training.refusals import library_refusals
from r1kit.training.trackers import tracker_environment


@dataclass(frozen=True)
class TrainingPlan:
    """How a stage trains: what its command has decided before anything is loaded."""

    build_trainer: Callable[[], Any]
    """Returns the stage's trainer, a transformers Trainer, with its model loaded."""
    resume_interval: int = 1
    """Optimizer steps between those from which the run can be resumed."""


def run_plan(plan: TrainingPlan, recipe: TrainingRecipe, run: Run) -> None:
    """Train by a plan, and save the model and its card; see `run_training`."""
    run_training(plan.build_trainer, recipe, run, plan.resume_interval)


def run_training(
    build_trainer: Callable[[], Any], recipe: TrainingRecipe, run: Run, resume_interval: int = 1, product: str = "model"
) -> None:
    """Train with the trainer that `build_trainer` returns, a transformers Trainer, and save the model and its card.

    The model is saved in the run's folder `product`.

    `resume_interval` is the number of optimizer steps between those from which the run can be resumed. Where memory
    runs out, the training goes on from the newest checkpoint with a smaller micro-batch and the same batch.

    Raises Interrupted after SIGINT or SIGTERM, once the state is saved; OutOfMemory where memory runs out in one of
    several processes, which must all begin anew; UserError where a single row does not fit or the training diverges.
    """
    with tracker_environment(recipe.trl.get("report_to"), run):
        last_checkpoint = _train_to_the_end(build_trainer, recipe, run, resume_interval, product)
    if is_main_rank():
        if last_checkpoint is not None:
            best = checkpoints.best_checkpoint(last_checkpoint)
            checkpoints.export_model(best, run.path / product, recipe.model)
            run.update(model_step=checkpoints.checkpoint_step(best))
        run.record_result()
        card.write_card(run, recipe, run.path / product)


def _train_to_the_end(
    build_trainer: Callable[[], Any], recipe: TrainingRecipe, run: Run, resume_interval: int, product: str
) -> Path | None:
    """Train from where the run stands, with smaller micro-batches where memory runs out; return the last checkpoint.

    None is returned for a run that was finished and whose checkpoints were deleted since.
    """
    checkpoints_dir = run.path / "checkpoints"
    if is_main_rank():
        checkpoints.drop_incomplete(checkpoints_dir)
    last_checkpoint = _newest_checkpoint(checkpoints_dir)
    # Read once, before any rank writes it, so that all ranks that run out of memory come to the same number.
    fitting_rows = run.info.get(FITTING_ROWS_KEY)
    while not _is_finished(last_checkpoint, recipe):
        try:
            with library_refusals(recipe.trl):
                trainer = build_trainer()
            return _train(trainer, recipe, run, last_checkpoint, resume_interval, product)
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            fitting_rows, message = _reduce_micro_batch(recipe, run, fitting_rows)
        # Out of the `except` block, so that the exception no longer holds the tensors of the step that failed.
        if world_size() > 1:
            raise OutOfMemory(message)
        logger.info(message)
        gc.collect()
        torch.cuda.empty_cache()
        checkpoints.drop_incomplete(checkpoints_dir)
        last_checkpoint = _newest_checkpoint(checkpoints_dir)
    return last_checkpoint


def _newest_checkpoint(checkpoints_dir: Path) -> Path | None:
    complete = checkpoints.complete_checkpoints(checkpoints_dir)
    return complete[-1] if complete else None


def _is_finished(last_checkpoint: Path | None, recipe: TrainingRecipe) -> bool:
    """Return whether the checkpoint is that of the recipe's last step; of epochs the trainer knows the last step."""
    if last_checkpoint is None or recipe.training.steps is None:
        return False
    return checkpoints.checkpoint_step(last_checkpoint) >= recipe.training.steps


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether a GPU's memory ran out, or the CPU's, for which torch has no exception of its own."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return "not enough memory" in str(error) or "DefaultCPUAlloc" in str(error)


def _reduce_micro_batch(recipe: TrainingRecipe, run: Run, fitting_rows: int | None) -> tuple[int, str]:
    """Set in run.json at most half as many rows at once as did not fit; return that number and a message on it.

    Raises UserError where a single row did not fit.
    """
    micro_batch_size, accumulation_steps = split_batch(recipe.training, world_size(), fitting_rows)
    if micro_batch_size == 1:
        requirement = "a single row does not fit into memory"
        action = "use gradient_checkpointing, model.lora, shorter rows or more devices"
        raise UserError("training.micro_batch_size", 1, requirement, action)
    device_batch_size = micro_batch_size * accumulation_steps
    # TRL accumulates whole micro-batches, so that their size must divide the rows that a device has in a step.
    divisors = [size for size in range(1, micro_batch_size // 2 + 1) if device_batch_size % size == 0]
    smaller = max(divisors)
    run.update(**{FITTING_ROWS_KEY: smaller})
    message = (
        f"out of memory with {micro_batch_size} rows at once; continuing with {smaller} at once and the same "
        f"batch of {recipe.training.batch_size}"
    )
    return smaller, message


def _train(
    trainer: Any,
    recipe: TrainingRecipe,
    run: Run,
    last_checkpoint: Path | None,
    resume_interval: int,
    product: str,
) -> Path | None:
    """Train from `last_checkpoint` on and return the newest checkpoint.

    None is returned for a run that was finished and whose checkpoints were deleted since: its model stays as it is.
    """
    stop_callback = StopCallback(run, resume_interval)
    live_display = _add_callbacks(trainer, run, stop_callback)
    record_ranks(trainer.accelerator, run)
    # Of a recipe with epochs, the trainer computes the steps from its rows, for which it reads the length of each: that
    # is left out of a new run, which has nothing to compare them with.
    if last_checkpoint is not None and _count_total_steps(trainer) <= checkpoints.checkpoint_step(last_checkpoint):
        return last_checkpoint
    if last_checkpoint is None and (run.path / product).exists():
        if _count_total_steps(trainer) <= run.info.get("steps", 0):
            return None
        action = "pass --overwrite, which trains anew and keeps the old run under another name"
        raise UserError("output", run.path, "has a model, but no checkpoint to go on from", action)
    if last_checkpoint is not None:
        checkpoints.check_optimizer_state(last_checkpoint, trainer, run.path)
    # RL has a state of its own beside that of transformers, such as the reference model.
    if last_checkpoint is not None and hasattr(trainer, "restore"):
        trainer.restore(last_checkpoint)
    first_step = checkpoints.checkpoint_step(last_checkpoint) if last_checkpoint else 0
    try:
        with library_refusals(recipe.trl, lambda: trainer.state.global_step <= first_step):
            trainer.train(resume_from_checkpoint=str(last_checkpoint) if last_checkpoint else None)
    except FloatingPointError as error:
        raise _divergence_error(error, trainer.state.global_step, recipe, run) from None
    finally:
        if live_display:
            live_display.stop()
    if stop_callback.has_stopped:
        raise Interrupted
    if is_main_rank():
        run.update(steps=trainer.state.global_step, tokens=int(trainer.state.num_input_tokens_seen))
    # All ranks are to see the last checkpoint complete, before one of them looks for the newest.
    trainer.accelerator.wait_for_everyone()
    return _newest_checkpoint(run.path / "checkpoints")


def _add_callbacks(trainer: Any, run: Run, stop_callback: StopCallback) -> TrainingDisplay | None:
    """Add r1kit's callbacks in place of transformers' progress; return the live display where there is one."""
    trainer.add_callback(stop_callback)
    stage = run.info.get("stage", "train")
    live_display = None
    if can_display() and is_main_rank():
        live_display = TrainingDisplay(run.path, stage)
    metrics_callback = MetricsCallback(run, stage, quiet=live_display is not None)
    trainer.add_callback(metrics_callback)
    if hasattr(trainer, "rollout_sampler"):
        trainer.rollout_sampler.on_progress = (live_display or metrics_callback).show_sampling
    if live_display:
        trainer.add_callback(live_display)
    # After MetricsCallback, so that metrics.jsonl has the step at which an alert ends a diverging training.
    trainer.add_callback(AlertCallback(stage))
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    return live_display


def _divergence_error(error: FloatingPointError, step: int, recipe: TrainingRecipe, run: Run) -> UserError:
    """Set the checkpoints aside that hold weights without numbers, and return what to tell the user."""
    if is_main_rank():
        # The weights saved after the step before are those with which this step was computed.
        checkpoints.set_aside_diverged(run.path / "checkpoints", step - 1)
    requirement = f"{error} at step {step}: the training has diverged"
    action = "lower it; the checkpoints that are kept were saved before that step"
    return UserError("training.learning_rate", recipe.training.learning_rate, requirement, action)


def _count_total_steps(trainer: Any) -> int:
    """Return the number of optimizer steps of the whole run, which transformers computes from epochs and rows."""
    return trainer.set_initial_training_values(trainer.args, trainer.get_train_dataloader())[-1]


def record_ranks(accelerator: Any, run: Run) -> None:
    """Write into run.json which processes really run, and on which devices.

    A launcher may start fewer than it was told to: `accelerate launch` with two CPU processes starts one.
    """
    from accelerate.utils import gather_object

    this_rank = {
        "rank": accelerator.process_index,
        "pid": os.getpid(),
        "device": str(accelerator.device),
        "type": str(accelerator.distributed_type).rpartition(".")[2],
    }
    all_ranks = gather_object([this_rank])
    if accelerator.is_main_process:
        run.update(ranks=all_ranks)
