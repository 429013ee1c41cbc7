"""The trainer core: train to the recipe's end, from wherever the run stands, and make the model.

SFT and GRPO go through `fit`; what differs between them is the trainer that a stage builds.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from r1kit.errors import Interrupted
from r1kit.recipe import RLRecipe, SFTRecipe
from r1kit.run import Run, is_main
from r1kit.training import checkpoints
from r1kit.training.callbacks import Metrics, Stop

if TYPE_CHECKING:
    from transformers import Trainer


def fit(build: Callable[[], "Trainer"], recipe: SFTRecipe | RLRecipe, run: Run, block: int = 1) -> None:
    """Train with the trainer that `build` makes and save `model/`.

    `block` is the number of optimizer steps between places where a run can be resumed. Raises
    Interrupted after SIGINT or SIGTERM, the state saved.
    """
    folder = run.path / "checkpoints"
    if is_main():
        checkpoints.drop_incomplete(folder)
    last = next(reversed(checkpoints.complete(folder)), None)
    if last is None or checkpoints.step_of(last) < (recipe.training.steps or 10**12):
        last = _train(build(), recipe, run, last, block)
    if is_main():
        checkpoints.make_model(checkpoints.best_of(last), run.path, recipe.model)


def _train(trainer: Any, recipe: SFTRecipe | RLRecipe, run: Run, last: Any, block: int) -> Any:
    stop = Stop(run, block)
    trainer.add_callback(stop)
    trainer.add_callback(Metrics(run, run.info.get("stage", "train")))
    for callback in list(trainer.callback_handler.callbacks):
        if type(callback).__name__ in ("PrinterCallback", "ProgressCallback"):
            trainer.remove_callback(callback)
    record_ranks(trainer.accelerator, run)
    if last is not None and _total_steps(trainer) <= checkpoints.step_of(last):
        return last
    if last is not None and hasattr(trainer, "restore"):
        trainer.restore(last)
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    if stop.stopped:
        raise Interrupted
    if is_main():
        run.update(steps=trainer.state.global_step, tokens=int(trainer.state.num_input_tokens_seen))
    trainer.accelerator.wait_for_everyone()
    return checkpoints.complete(run.path / "checkpoints")[-1]


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
