"""Checkpoints that no kill at any moment can spoil, and the model that is made of one.

transformers writes a checkpoint into its final directory, so that one that was cut short looks like the newest. Here a
checkpoint counts only once all of it is on the disk and a mark (`complete.json`) stands in it, and older checkpoints
are removed only after that. The directories below `checkpoints/` of a run:

    checkpoint-200/     complete, or being written if it has no mark
    diverged-250/       written when the loss was not a number any more; never resumed from
"""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.errors import UserError
from r1kit.messages import logger
from r1kit.recipe import ModelConfig
from r1kit.runs.files import replace_folder, sync_folder, sync_tree, write_file
from r1kit.runs.reading import read_state

if TYPE_CHECKING:
    from transformers import Trainer
    from transformers import Trainer as _TrainerBase
else:  # transformers is imported only where a trainer is
    _TrainerBase = object

COMPLETE_MARK = "complete.json"

# Beginnings of the names of a checkpoint's files that only a resumed training needs; the others make the model.
_RESUME_FILE_PREFIXES = (
    "optimizer",
    "scheduler",
    "rng_state",
    "trainer_state",
    "training_args",
    "scaler",
    "reference.",
    "pytorch_model_fsdp",
    "latest",  # which shards of DeepSpeed belong to the checkpoint
    "zero_to_",  # DeepSpeed's scripts, which join its shards
    COMPLETE_MARK,
    "README.md",
)


# How an optimizer's state is saved, in words that complete "the optimizer's state ...".
_PLAIN_STATE = "in one file"
_FSDP_STATE = "as FSDP saves it"


def complete_checkpoints(checkpoints_dir: Path) -> list[Path]:
    """Return the complete checkpoints of a run, oldest first."""
    complete = [path for path in checkpoints_dir.glob("checkpoint-*") if (path / COMPLETE_MARK).exists()]
    return sorted(complete, key=checkpoint_step)


def checkpoint_step(checkpoint: Path) -> int:
    """Return the optimizer step after which a checkpoint was saved."""
    return int(checkpoint.name.rpartition("-")[2])


def drop_incomplete(checkpoints_dir: Path) -> None:
    """Remove the checkpoints that were cut short."""
    for path in checkpoints_dir.glob("checkpoint-*"):
        if not (path / COMPLETE_MARK).exists():
            shutil.rmtree(path, ignore_errors=True)


def mark_complete(checkpoint: Path) -> None:
    """Mark a checkpoint as complete, once all of it is on the disk."""
    sync_tree(checkpoint)
    write_file(checkpoint / COMPLETE_MARK, json.dumps({"step": checkpoint_step(checkpoint)}))
    sync_folder(checkpoint.parent)


def set_aside_diverged(checkpoints_dir: Path, first_step: int) -> None:
    """Rename the checkpoints from `first_step` on to diverged-STEP, so that no training resumes from them."""
    for path in complete_checkpoints(checkpoints_dir):
        if checkpoint_step(path) >= first_step:
            target = path.with_name(f"diverged-{checkpoint_step(path)}")
            shutil.rmtree(target, ignore_errors=True)
            path.rename(target)


def rotate_checkpoints(checkpoints_dir: Path, keep: int, best_path: str | None) -> None:
    """Remove all complete checkpoints but the newest `keep` and the best one."""
    for path in complete_checkpoints(checkpoints_dir)[:-keep]:
        if best_path is None or path.name != Path(best_path).name:
            # Without its mark, a checkpoint whose removal is cut short is incomplete.
            (path / COMPLETE_MARK).unlink()
            shutil.rmtree(path, ignore_errors=True)


def best_checkpoint(checkpoint: Path) -> Path:
    """Return the checkpoint with the best evaluation up to `checkpoint`, or that one where nothing was evaluated."""
    state = read_state(checkpoint / "trainer_state.json")
    best_path = state.get("best_model_checkpoint")
    best = checkpoint.parent / Path(best_path).name if best_path else checkpoint
    return best if (best / COMPLETE_MARK).exists() else checkpoint


def check_optimizer_state(checkpoint: Path, trainer: "Trainer", run_dir: Path) -> None:
    """Raise UserError where the trainer cannot go on with the optimizer's state as the checkpoint holds it.

    transformers would begin a new optimizer without a word, or fail: DeepSpeed and FSDP save that state each in its own
    way, and DeepSpeed in one part for each process.
    """
    saved, needed = _saved_optimizer_state(checkpoint), _needed_optimizer_state(trainer)
    if saved is None:  # the recipe has trl.save_only_model
        logger.warning(f"{checkpoint} has no state of the optimizer, which begins anew")
    elif saved != needed:
        requirement = f"its checkpoint has the optimizer's state {saved}, and this launch reads it {needed}"
        action = "launch it as before, or pass --overwrite to train anew"
        raise UserError("output", run_dir, requirement, action)


def _saved_optimizer_state(checkpoint: Path) -> str | None:
    """Return how a checkpoint holds the optimizer's state, None where it holds none."""
    if any(checkpoint.glob("global_step*")):
        parts = len(list(checkpoint.glob("global_step*/*_optim_states.pt")))
        has_sharded_weights = any(checkpoint.glob("global_step*/*zero_pp_rank_*_model_states.pt"))
        return _deepspeed_state(has_sharded_weights, parts)
    if (checkpoint / "optimizer.bin").exists() or any(checkpoint.glob("optimizer_*")):
        return _FSDP_STATE
    return _PLAIN_STATE if (checkpoint / "optimizer.pt").exists() else None


def _needed_optimizer_state(trainer: "Trainer") -> str:
    plugin = trainer.args.deepspeed_plugin
    if trainer.is_deepspeed_enabled and plugin is not None:
        parts = trainer.args.world_size if plugin.zero_stage > 0 else 0
        return _deepspeed_state(plugin.zero_stage == 3, parts)
    return _FSDP_STATE if trainer.is_fsdp_enabled else _PLAIN_STATE


def _deepspeed_state(has_sharded_weights: bool, parts: int) -> str:
    if parts == 0:
        return "as DeepSpeed saves it, in one file"
    stage = "ZeRO 3" if has_sharded_weights else "ZeRO 1 or 2"
    return f"as DeepSpeed's {stage} saves it, for {parts} process{'es' if parts > 1 else ''}"


def export_model(checkpoint: Path, model_dir: Path, block: ModelConfig) -> None:
    """Make `model_dir` of a run out of a checkpoint: plain Hugging Face files.

    Of an adapter it is the adapter's own files, or, with `model.lora.merge`, the merged model, beside which the adapter
    stands in `adapter/`. A reward model's adapter is merged in any case, since rewards load plain models. Raises
    UserError where the checkpoint has its weights in shards of FSDP or ZeRO only.
    """
    run_dir = model_dir.parent
    # It is made beside `model_dir` and renamed at the end, so that a model of an earlier session stays until then.
    new_dir = run_dir / ".model.tmp"
    shutil.rmtree(new_dir, ignore_errors=True)
    new_dir.mkdir()
    for path in checkpoint.iterdir():
        if path.is_file() and not path.name.startswith(_RESUME_FILE_PREFIXES):
            shutil.copy2(path, new_dir / path.name)
    if not any(path.suffix == ".safetensors" for path in new_dir.iterdir()):
        action = "set fsdp_state_dict_type: FULL_STATE_DICT, or ZeRO-3's stage3_gather_16bit_weights_on_model_save"
        raise UserError("--accelerate-config", checkpoint, "this checkpoint holds sharded weights only", action)
    if block.lora and (block.lora.merge or _is_scoring_adapter(new_dir)):
        merged_dir = run_dir / ".merged.tmp"
        shutil.rmtree(merged_dir, ignore_errors=True)
        _save_merged_model(new_dir, merged_dir, block)
        replace_folder(new_dir, run_dir / "adapter")
        new_dir = merged_dir
    replace_folder(new_dir, model_dir)


def _save_merged_model(adapter_dir: Path, target: Path, block: ModelConfig) -> None:
    from transformers.integrations import unset_hf_deepspeed_config

    from r1kit.models.load import load_model, load_tokenizer

    adapter_block = block.model_copy(update={"path": str(adapter_dir), "quantize": None, "lora": None})
    unset_hf_deepspeed_config()  # after ZeRO-3, transformers would have all ranks load the model together
    scores = _is_scoring_adapter(adapter_dir)
    load_model(adapter_block, training=False, device="cpu", scores=scores).save_pretrained(target)
    load_tokenizer(adapter_block).save_pretrained(target)


def _is_scoring_adapter(adapter_dir: Path) -> bool:
    """Return whether an adapter changes a model that scores texts, such as a reward model."""
    return read_state(adapter_dir / "adapter_config.json").get("task_type") == "SEQ_CLS"


class CheckpointMixin(_TrainerBase):
    """Makes a transformers Trainer save checkpoints as above; it stands before TRL's trainer among the bases."""

    keep_checkpoints = 2

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Leave out TRL's model card, which it would write into every checkpoint."""

    def save_extra(self, checkpoint: Path) -> None:
        """Save what a subclass needs to resume, beside what transformers saves; called on all ranks."""

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        # A tied weight is in the checkpoint under its other name only, and is not missing.
        tied_keys = getattr(self.model, "all_tied_weights_keys", {})
        load_result.missing_keys[:] = [key for key in load_result.missing_keys if key not in tied_keys]
        super()._issue_warnings_after_load(load_result)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Save the model; weights that are tied to each other are saved once.

        Of weights that DeepSpeed and FSDP have gathered, each tied name has a copy of its own, so that transformers
        does not see that they are one.
        """
        tied_keys = getattr(self.model, "all_tied_weights_keys", {})
        if state_dict:
            state_dict = {key: weight for key, weight in state_dict.items() if tied_keys.get(key) not in state_dict}
        super()._save(output_dir, state_dict)
        if output_dir and self.args.should_save and hasattr(self.model, "peft_config"):
            # peft saves the adapter alone, and the tokens at which the model stops may have changed with it.
            generation_config = getattr(self.model, "generation_config", None)
            if generation_config is not None:  # a model that scores text has none
                generation_config.save_pretrained(output_dir)

    def _determine_best_metric(self, metrics: dict[str, Any], trial: Any) -> bool:
        name = self.args.metric_for_best_model
        if name and metrics.get(name, 0.0) is None:  # no row of the evaluation had a verdict
            return False
        return super()._determine_best_metric(metrics, trial)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        checkpoints_dir = Path(self.args.output_dir or "")
        checkpoint = checkpoints_dir / f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            # A step may be saved twice, at the end of a session too; while it is written anew, it is incomplete.
            (checkpoint / COMPLETE_MARK).unlink(missing_ok=True)
        super()._save_checkpoint(model, trial)
        self.save_extra(checkpoint)
        self.accelerator.wait_for_everyone()  # the mark comes after the files of all ranks
        if self.args.should_save:
            mark_complete(checkpoint)
            rotate_checkpoints(checkpoints_dir, self.keep_checkpoints, self.state.best_model_checkpoint)
        self.accelerator.wait_for_everyone()
