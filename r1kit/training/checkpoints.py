"""Checkpoints that a kill at any moment cannot spoil, and the model made of them.

transformers writes a checkpoint into its final place, so that one cut short looks like the last one.
Here a checkpoint counts once it is synced and has its mark; older ones go only after that.
"""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.errors import UserError
from r1kit.recipe import ModelConfig
from r1kit.runs.files import replace_folder, sync_folder, sync_tree, write_file

if TYPE_CHECKING:
    from transformers import Trainer

COMPLETE_MARK = "complete.json"
# What of a checkpoint makes a model; the rest (optimizer, RNG, state) is for resuming.
_STATE = (
    "optimizer",
    "scheduler",
    "rng_state",
    "trainer_state",
    "training_args",
    "scaler",
    "reference.",
    "pytorch_model_fsdp",
    COMPLETE_MARK,
    "README.md",
)


def complete_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints in `folder` that were written whole, oldest first."""
    found = [p for p in folder.glob("checkpoint-*") if (p / COMPLETE_MARK).exists()]
    return sorted(found, key=checkpoint_step)


def checkpoint_step(checkpoint: Path) -> int:
    """Return the optimizer step of a checkpoint."""
    return int(checkpoint.name.rpartition("-")[2])


def drop_incomplete(folder: Path) -> None:
    """Remove checkpoints that were cut short."""
    for path in folder.glob("checkpoint-*"):
        if not (path / COMPLETE_MARK).exists():
            shutil.rmtree(path, ignore_errors=True)


def mark_complete(checkpoint: Path) -> None:
    """Declare a checkpoint whole, once all of it is on the disk."""
    sync_tree(checkpoint)
    write_file(checkpoint / COMPLETE_MARK, json.dumps({"step": checkpoint_step(checkpoint)}))
    sync_folder(checkpoint.parent)


def set_aside_diverged(folder: Path, step: int) -> None:
    """Rename the checkpoints from `step` on to diverged-STEP: nothing goes on from them."""
    for path in complete_checkpoints(folder):
        if checkpoint_step(path) >= step:
            target = path.with_name(f"diverged-{checkpoint_step(path)}")
            shutil.rmtree(target, ignore_errors=True)
            path.rename(target)


def rotate_checkpoints(folder: Path, keep: int, best: str | None) -> None:
    """Remove all but the newest `keep` whole checkpoints and the best one."""
    for path in complete_checkpoints(folder)[:-keep]:
        if best is None or path.name != Path(best).name:
            (path / COMPLETE_MARK).unlink()
            shutil.rmtree(path, ignore_errors=True)


def best_checkpoint(checkpoint: Path) -> Path:
    """Return the best checkpoint as of `checkpoint`, itself where nothing was evaluated."""
    state = json.loads((checkpoint / "trainer_state.json").read_text())
    best = state.get("best_model_checkpoint")
    path = checkpoint.parent / Path(best).name if best else checkpoint
    return path if (path / COMPLETE_MARK).exists() else checkpoint


def export_model(checkpoint: Path, run_path: Path, block: ModelConfig) -> None:
    """Make `model/` of a run out of a checkpoint: plain Hugging Face files, or an adapter, merged if asked."""
    new = run_path / ".model.tmp"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    for path in checkpoint.iterdir():
        if path.is_file() and not path.name.startswith(_STATE):
            shutil.copy2(path, new / path.name)
    if not any(p.suffix == ".safetensors" for p in new.iterdir()):
        raise UserError(
            "--accelerate-config",
            checkpoint,
            "this checkpoint holds sharded weights only",
            "set fsdp_state_dict_type: FULL_STATE_DICT, or ZeRO-3's stage3_gather_16bit_weights_on_model_save",
        )
    if block.lora and block.lora.merge:
        merged = run_path / ".merged.tmp"
        shutil.rmtree(merged, ignore_errors=True)
        _merge(new, merged, block)
        replace_folder(new, run_path / "adapter")
        new = merged
    replace_folder(new, run_path / "model")


def _merge(adapter: Path, target: Path, block: ModelConfig) -> None:
    from transformers.integrations import unset_hf_deepspeed_config

    from r1kit.models.load import load_model, load_tokenizer

    plain = block.model_copy(update={"path": str(adapter), "quantize": None, "lora": None})
    unset_hf_deepspeed_config()  # after ZeRO-3 it would have all ranks load the model together
    load_model(plain, training=False, device="cpu").save_pretrained(target)
    load_tokenizer(plain).save_pretrained(target)


class CheckpointMixin:
    """Puts the above into a transformers Trainer; stands before TRL's trainer among the bases."""

    keep_checkpoints = 2

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """TRL's card in every checkpoint is left out."""

    def _issue_warnings_after_load(self: "Trainer", load_result: Any) -> None:
        tied = getattr(self.model, "all_tied_weights_keys", {})  # they are in a checkpoint by their other name
        load_result.missing_keys[:] = [key for key in load_result.missing_keys if key not in tied]
        super()._issue_warnings_after_load(load_result)

    def _determine_best_metric(self: "Trainer", metrics: dict[str, Any], trial: Any) -> bool:
        name = self.args.metric_for_best_model
        if name and metrics.get(name, 0.0) is None:  # no row of the evaluation had a verdict
            return False
        return super()._determine_best_metric(metrics, trial)

    def save_extra(self, checkpoint: Path) -> None:
        """Save what a subclass needs besides, on all ranks."""

    def _save_checkpoint(self: "Trainer", model: Any, trial: Any) -> None:
        folder = Path(self.args.output_dir)
        checkpoint = folder / f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            (checkpoint / COMPLETE_MARK).unlink(missing_ok=True)
        super()._save_checkpoint(model, trial)
        self.save_extra(checkpoint)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            mark_complete(checkpoint)
            rotate_checkpoints(folder, self.keep_checkpoints, self.state.best_model_checkpoint)
        self.accelerator.wait_for_everyone()
