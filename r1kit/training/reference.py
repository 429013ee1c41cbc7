"""The replaced reference model: every so many steps the policy takes its place (the paper: every 400 steps).

TRL replaces a whole reference model (`sync_ref_model`), but loses it on resume; for an adapter (LoRA) it refuses to.
Here the reference is saved in each checkpoint, and for an adapter it is a second adapter named "ref", which TRL takes
for the reference wherever there is one.
"""

from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from r1kit.errors import UserError

REFERENCE_FILE = "reference.pt"
"""In a checkpoint: the reference model's weights, or those of its adapter."""

_REFERENCE_ADAPTER, _POLICY_ADAPTER = "ref", "default"


def set_up_reference(trainer: Any, reset_steps: int | None) -> bool:
    """Set up a reference model that the policy replaces every `reset_steps` steps; TRL does so without LoRA.

    Returns whether that reference is an adapter. Raises UserError for ZeRO-3, with which it would be lost.
    """
    plugin = trainer.args.deepspeed_plugin
    if reset_steps and plugin is not None and plugin.zero_stage == 3:
        raise UserError(
            "training.reference_reset_steps",
            reset_steps,
            "a replaced reference model is lost on resume with ZeRO-3",
            "use FSDP 2, DDP or ZeRO-2",
        )
    if has_reference_adapter(trainer.model):
        # TRL has copied the policy's weights by names that those of an embedding do not have.
        replace_reference_adapter(trainer.model)
    is_adapter = bool(reset_steps) and hasattr(trainer.model, "peft_config")
    if reset_steps and is_adapter:
        add_reference_adapter(trainer.model)
        trainer.add_callback(ReplaceReferenceCallback(trainer.model, reset_steps))
    return is_adapter


class ReplaceReferenceCallback(TrainerCallback):
    """Makes the policy's adapter the reference every `steps` optimizer steps."""

    def __init__(self, model: Any, steps: int):
        self.model, self.steps = model, steps

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step % self.steps == 0:
            replace_reference_adapter(self.model)


def has_reference_adapter(model: Any) -> bool:
    """Return whether TRL has given the model a second adapter, since it trains the first one further."""
    return _REFERENCE_ADAPTER in getattr(model, "peft_config", {})


def add_reference_adapter(model: Any) -> None:
    """Give a model with an adapter a second, frozen one: the reference, equal to the policy.

    TRL has done so where an adapter is trained further.
    """
    if not has_reference_adapter(model):
        model.add_adapter(_REFERENCE_ADAPTER, model.peft_config[_POLICY_ADAPTER])
    replace_reference_adapter(model)


@torch.no_grad()
def replace_reference_adapter(model: Any) -> None:
    """Copy the weights of the policy's adapter into the reference's."""
    policy = dict(model.named_parameters())
    for name, weight in _reference_weights(model).items():
        weight.requires_grad = False
        parts = [_POLICY_ADAPTER if piece == _REFERENCE_ADAPTER else piece for piece in name.split(".")]
        weight.copy_(policy[".".join(parts)])


def save_reference_adapter(model: Any, checkpoint: Path, is_writer: bool) -> None:
    """Save the reference adapter in a checkpoint. All ranks call this; the one with `is_writer` writes."""
    state = {}
    for name, weight in _reference_weights(model).items():
        whole = weight.full_tensor() if hasattr(weight, "full_tensor") else weight  # FSDP 2 shards it
        state[name] = whole.detach().cpu()
    if is_writer:
        torch.save(state, checkpoint / REFERENCE_FILE)


@torch.no_grad()
def load_reference_adapter(model: Any, checkpoint: Path) -> None:
    """Set the reference adapter to what it was when the checkpoint was saved."""
    state = torch.load(checkpoint / REFERENCE_FILE, weights_only=True)
    for name, weight in _reference_weights(model).items():
        weight.copy_(state[name])


def save_reference_model(reference: Any, checkpoint: Path, is_writer: bool) -> None:
    """Save a whole reference model in a checkpoint. All ranks call this; the one with `is_writer` writes."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state = get_model_state_dict(reference, options=options)
    if is_writer:
        torch.save(state, checkpoint / REFERENCE_FILE)


def load_reference_model(reference: Any, checkpoint: Path) -> None:
    """Set a whole reference model to what it was when the checkpoint was saved."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

    state = torch.load(checkpoint / REFERENCE_FILE, weights_only=True)
    set_model_state_dict(reference, state, options=StateDictOptions(full_state_dict=True))


def _reference_weights(model: Any) -> dict[str, torch.nn.Parameter]:
    return {name: weight for name, weight in model.named_parameters() if _REFERENCE_ADAPTER in name.split(".")}
