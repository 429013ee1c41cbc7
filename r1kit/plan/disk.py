"""What a stage writes, and what it needs of the host's memory.

A checkpoint holds weights and the optimizer's two moments, and of RL the reference model. While one is written,
`training.keep_checkpoints` older ones are still there.
"""

from r1kit.plan.shape import ModelShape
from r1kit.plan.step import OPTIMIZER_BYTES, TrainingSetup
from r1kit.recipe import RLRecipe, TrainingRecipe

BYTES_PER_SAMPLED_TOKEN = 2.0
"""Bytes of a token of a completion in Parquet: four characters, compressed to a half."""
PROCESS_BYTES = 3 * 2**30
"""Host memory of a process with torch, transformers and CUDA."""


def training_disk(recipe: TrainingRecipe, shape: ModelShape, setup: TrainingSetup, sampled: float) -> dict[str, float]:
    """Return the bytes of checkpoints, model and rollouts; `sampled` are the tokens that RL samples."""
    weight_bytes = setup.weight_bytes or 4
    if setup.trained is not None:
        model = setup.trained * 4.0
    else:
        model = shape.parameters * float(weight_bytes)
    trained = setup.trained or shape.parameters
    checkpoint = model + trained * OPTIMIZER_BYTES
    if isinstance(recipe, RLRecipe) and recipe.training.reference_reset_steps is not None and setup.trained is None:
        checkpoint += shape.parameters * weight_bytes  # the reference model is no longer the model of the start
    sizes = {
        "checkpoints": checkpoint * (recipe.training.keep_checkpoints + 1),
        "model": model,
    }
    if sampled:
        sizes["rollouts"] = sampled * BYTES_PER_SAMPLED_TOKEN
    return sizes


def training_host_memory(shape: ModelShape, setup: TrainingSetup, processes_per_node: int) -> float:
    """Return the bytes of a node's memory: each process loads the whole model before it goes to its device."""
    if setup.on_cpu:
        return 0.0  # the device's memory is the host's
    weight_bytes = setup.weight_bytes or (2 if setup.trained is not None else 4)
    loaded = shape.parameters * weight_bytes * (2 if setup.reference else 1)
    offloaded = 0.0
    if setup.offloads_optimizer:
        trained = setup.trained or shape.parameters
        offloaded = trained * (4 + 4 + OPTIMIZER_BYTES) * processes_per_node / setup.shards
    return processes_per_node * (loaded + PROCESS_BYTES) + offloaded


def sampled_disk(tokens: float) -> dict[str, float]:
    """Return the bytes of what a stage samples, which is written once as shards and once as data."""
    return {"samples": 2 * tokens * BYTES_PER_SAMPLED_TOKEN}
