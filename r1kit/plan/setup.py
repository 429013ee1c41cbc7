"""From a recipe, a launch and the hardware to how a training step runs on one device (memory.TrainingSetup)."""

from dataclasses import dataclass, replace
from typing import Any

from r1kit.errors import UserError
from r1kit.launchers import read_accelerate_config
from r1kit.plan.assumptions import PROMPT_TOKENS
from r1kit.plan.devices import Hardware
from r1kit.plan.shape import ModelShape, adapter_parameters
from r1kit.plan.step import Compute, Sharding, TrainingSetup
from r1kit.recipe import DistillRecipe, ModelConfig, RewardModelRecipe, RLRecipe, SFTRecipe, TrainingRecipe
from r1kit.recipe.trl_checks import longest_completion

DEFAULT_VLLM_SHARE = 0.3
"""Default of `vllm_gpu_memory_utilization` in TRL."""


@dataclass(frozen=True)
class Launch:
    """How a stage is spread over devices, as its Accelerate config says."""

    sharding: Sharding = "none"
    offloads_optimizer: bool = False
    config: str | None = None
    """Path of the Accelerate config."""

    def __str__(self) -> str:
        names = {
            "none": "one device",
            "ddp": "a whole model on each (DDP, --num-processes)",
            "fsdp2": "sharded by FSDP 2",
        }
        names |= {"zero2": "optimizer sharded by ZeRO 2", "zero3": "sharded by ZeRO 3"}
        return names[self.sharding] + (", optimizer on the host" if self.offloads_optimizer else "")


def read_launch(config: str | None, hardware: Hardware) -> Launch:
    """Return how the processes of an Accelerate config share a model; without one, each device has a whole model.

    Raises UserError for a file that is no such config, and for ZeRO 1.
    """
    if config is None:
        return Launch("ddp" if hardware.count > 1 else "none")
    values = read_accelerate_config(config)
    kind = values["distributed_type"]
    if kind == "FSDP":
        settings = values.get("fsdp_config") or {}
        return Launch("fsdp2", bool(settings.get("fsdp_offload_params")), config)
    if kind == "DEEPSPEED":
        settings = values.get("deepspeed_config") or {}
        stage = settings.get("zero_stage", 3)
        if stage not in (2, 3):
            requirement = f"asks for ZeRO {stage}, and a plan knows ZeRO 2 and 3"
            raise UserError("--accelerate-config", config, requirement, "use zero_stage 2 or 3")
        offloads = str(settings.get("offload_optimizer_device", "none")) != "none"
        return Launch("zero3" if stage == 3 else "zero2", offloads, config)
    return Launch("ddp" if hardware.count > 1 else "none", config=config)


def row_width(recipe: TrainingRecipe) -> int:
    """Return the tokens of the longest row that a training step can meet."""
    if samples_itself(recipe):
        longest = longest_completion(recipe)  # type: ignore[arg-type]
        return longest + min(PROMPT_TOKENS, longest)
    return recipe.training.max_length  # type: ignore[union-attr]


def samples_itself(recipe: TrainingRecipe) -> bool:
    """Return whether a stage trains on what its own model samples."""
    return isinstance(recipe, RLRecipe) or (isinstance(recipe, DistillRecipe) and not recipe.trains_on_rows)


def trained_parameters(shape: ModelShape, block: ModelConfig) -> int | None:
    """Return the weights of the recipe's adapter; None where all weights are trained."""
    if block.lora is None:
        return None
    counted = adapter_parameters(shape, block.lora)
    if counted is not None:
        return counted
    # Modules that only peft can find: two matrices of rank r at each of seven linear layers.
    return shape.layers * block.lora.r * (8 * shape.hidden + 3 * shape.mlp_width + 2 * shape.query_width)


def training_setup(
    recipe: TrainingRecipe, shape: ModelShape, hardware: Hardware, launch: Launch, rows: int
) -> TrainingSetup:
    """Return how a step with micro-batches of `rows` rows runs on one device."""
    training, block = recipe.training, recipe.model
    width = row_width(recipe)
    trained = trained_parameters(shape, block)
    has_reference = isinstance(recipe, RLRecipe) and recipe.training.kl > 0 and trained is None
    pairs = 2 if isinstance(recipe, RewardModelRecipe) else 1
    setup = TrainingSetup(
        rows=rows * pairs,
        width=width,
        compute=_compute_format(block, hardware),
        checkpointing=training.gradient_checkpointing,
        accumulates=training.batch_size > rows * hardware.count,
        sharding=launch.sharding,
        devices=hardware.count,
        offloads_optimizer=launch.offloads_optimizer,
        trained=trained,
        quantized=block.quantize is not None,
        weight_bytes=None if block.dtype in ("auto", "float32") else 2,
        attention="eager" if block.attention == "eager" else "flash",
        reference=has_reference,
        on_cpu=hardware.device.is_cpu,
    )
    if samples_itself(recipe):
        setup = replace(setup, loss_tokens=rows * longest_completion(recipe))  # type: ignore[arg-type]
    if isinstance(recipe, RewardModelRecipe):
        setup = replace(setup, loss_tokens=2 * rows, head="fused")
    return setup


def _compute_format(block: ModelConfig, hardware: Hardware) -> Compute:
    if hardware.device.is_cpu:
        return "float32" if block.dtype in ("auto", "float32") else "bfloat16"
    if block.dtype == "float32":
        return "float32"
    return "bfloat16" if block.dtype != "auto" or block.lora is not None else "autocast"


def trains_with_vllm(recipe: TrainingRecipe) -> bool:
    """Return whether the training samples with vLLM on its own devices."""
    return bool(samples_itself(recipe) and recipe.trl.get("use_vllm")) and recipe.trl.get("vllm_mode") != "server"


def vllm_settings(recipe: Any) -> tuple[float, int, int | None, bool]:
    """Return vLLM's share of the memory, its tensor parallelism, its longest sequence, and whether it sleeps."""
    if isinstance(recipe, SFTRecipe | RLRecipe):
        trl = recipe.trl
        share = float(trl.get("vllm_gpu_memory_utilization", DEFAULT_VLLM_SHARE))
        parallel = int(trl.get("vllm_tensor_parallel_size", 1))
        longest = trl.get("vllm_max_model_length")
        return share, parallel, longest, bool(trl.get("vllm_enable_sleep_mode"))
    settings = recipe.sampling.vllm
    share = float(settings.get("gpu_memory_utilization", 0.9))
    return share, int(settings.get("tensor_parallel_size", 1)), settings.get("max_model_len"), False
