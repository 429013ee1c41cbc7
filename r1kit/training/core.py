"""The trainer core: train to the recipe's end, from wherever the run stands, and make the model.

SFT and GRPO go through `fit`; what differs between them is the trainer that a stage builds.
"""

import gc
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from r1kit.errors import Interrupted, OutOfMemory, UserError
from r1kit.ranks import is_main_rank
from r1kit.recipe import RLRecipe, SFTRecipe
from r1kit.runs.run import Run
from r1kit.training import card, checkpoints, display
from r1kit.training.alerts import AlertCallback
from r1kit.training.arguments import FITTING_ROWS_KEY, split_batch
from r1kit.training.callbacks import MetricsCallback, StopCallback

if TYPE_CHECKING:
    from transformers import Trainer


def run_training(build: Callable[[], "Trainer"], recipe: SFTRecipe | RLRecipe, run: Run, block: int = 1) -> None:
    """Train with the trainer that `build` makes and save `model/`.

    `block` is the number of optimizer steps between places where a run can be resumed. Raises
    Interrupted after SIGINT or SIGTERM, the state saved.
    """
    folder = run.path / "checkpoints"
    if is_main_rank():
        checkpoints.drop_incomplete(folder)
    last = next(reversed(checkpoints.complete_checkpoints(folder)), None)
    fits = run.info.get(FITTING_ROWS_KEY)  # read once: all ranks that run out of memory find the same
    while last is None or checkpoints.checkpoint_step(last) < (recipe.training.steps or 10**12):
        try:
            last = _train(build(), recipe, run, last, block)
            break
        except RuntimeError as error:  # torch.OutOfMemoryError is one, and so is what the CPU's allocator raises
            if not _out_of_memory(error):
                raise
            fits, line = _smaller(recipe, run, fits)
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # the other ranks wait for this one: all begin anew
            raise OutOfMemory(line)
        print(f"note: {line}", file=sys.stderr, flush=True)
        gc.collect()
        torch.cuda.empty_cache()
        checkpoints.drop_incomplete(folder)
        last = next(reversed(checkpoints.complete_checkpoints(folder)), None)
    if is_main_rank():
        if last is not None:
            best = checkpoints.best_checkpoint(last)
            checkpoints.export_model(best, run.path, recipe.model)
            run.update(model_step=checkpoints.checkpoint_step(best))
        card.write_card(run, recipe)


def _out_of_memory(error: RuntimeError) -> bool:
    return (
        isinstance(error, torch.OutOfMemoryError)
        or "not enough memory" in str(error)
        or "DefaultCPUAlloc" in str(error)
    )


def _smaller(recipe: SFTRecipe | RLRecipe, run: Run, fits: int | None) -> tuple[int, str]:
    """Have the run go on with half the micro-batch or less; return its rows and what to say.

    Raises UserError where it is a single row.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    micro, accumulation = split_batch(recipe.training, world, fits)
    if micro == 1:
        must = "a single row does not fit into memory"
        do = "use gradient_checkpointing, model.lora, shorter rows or more devices"
        raise UserError("training.micro_batch_size", 1, must, do)
    local = micro * accumulation
    fits = max(size for size in range(1, micro // 2 + 1) if local % size == 0)
    run.update(**{FITTING_ROWS_KEY: fits})
    batch = recipe.training.batch_size
    return fits, f"out of memory with {micro} rows at once; goes on with {fits}, the batch of {batch} stays"


def _train(trainer: Any, recipe: SFTRecipe | RLRecipe, run: Run, last: Any, block: int) -> Any:
    stop = StopCallback(run, block)
    trainer.add_callback(stop)
    stage = run.info.get("stage", "train")
    shown = display.Display(run.path, stage) if display.wanted() and is_main_rank() else None
    trainer.add_callback(MetricsCallback(run, stage, quiet=shown is not None))
    if shown:
        trainer.add_callback(shown)
    trainer.add_callback(AlertCallback(stage, run.path / "warnings.jsonl"))
    for callback in list(trainer.callback_handler.callbacks):
        if type(callback).__name__ in ("PrinterCallback", "ProgressCallback"):
            trainer.remove_callback(callback)
    record_ranks(trainer.accelerator, run)
    if last is not None and _total_steps(trainer) <= checkpoints.checkpoint_step(last):
        return last
    if last is None and (run.path / "model").exists():  # finished, and its checkpoints were deleted since
        if _total_steps(trainer) <= run.info.get("steps", 0):
            return None
        must = "has a model, but no checkpoint to go on from"
        raise UserError("output", run.path, must, "--overwrite trains anew and keeps what is there under another name")
    if last is not None and hasattr(trainer, "restore"):
        trainer.restore(last)
    try:
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    except FloatingPointError as error:
        step = trainer.state.global_step
        if is_main_rank():
            checkpoints.set_aside_diverged(run.path / "checkpoints", step - 1)
        must = f"{error} at step {step}: the training has diverged"
        do = "lower it; the checkpoints that are kept are from before"
        raise UserError("training.learning_rate", recipe.training.learning_rate, must, do) from None
    finally:
        if shown:
            shown.live.stop()
    if stop.stopped:
        raise Interrupted
    if is_main_rank():
        run.update(steps=trainer.state.global_step, tokens=int(trainer.state.num_input_tokens_seen))
    trainer.accelerator.wait_for_everyone()
    return checkpoints.complete_checkpoints(run.path / "checkpoints")[-1]


def _total_steps(trainer: Any) -> int:
    """Return the optimizer steps that the whole run has."""
    values = trainer.set_initial_training_values(trainer.args, trainer.get_train_dataloader())
    return values[-1]


def record_ranks(accelerator: Any, run: Run) -> None:
    """Write into run.json which processes really run."""
    from accelerate.utils import gather_object

    mine = {
        "rank": accelerator.process_index,
        "pid": os.getpid(),
        "device": str(accelerator.device),
        "type": str(accelerator.distributed_type).rpartition(".")[2],
    }
    ranks = gather_object([mine])
    if accelerator.is_main_process:
        run.update(ranks=ranks)
