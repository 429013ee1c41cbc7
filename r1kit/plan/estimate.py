"""Plan a stage: find its model and its hardware, and hand it to the plan of its kind.

plan = plan_stage("sft", recipe, PlanOptions(gpus="8xH100-80GB"), Lookup(folder=Path("recipes/sky-t1")))
plan.peak / 2**30, plan.hours
"""

import csv
import subprocess
from functools import cache

from r1kit.errors import UserError
from r1kit.launchers import count_processes
from r1kit.plan.devices import DEVICES, Hardware, cpu_device, parse_gpus, with_count
from r1kit.plan.lookup import Lookup, PlannedOutput, count_rows, find_shape
from r1kit.plan.result import PlanOptions, StagePlan
from r1kit.plan.sampling import plan_sampling
from r1kit.plan.setup import read_launch
from r1kit.plan.shape import ModelShape
from r1kit.plan.training import plan_training
from r1kit.recipe import (
    DataRecipe,
    EvalRecipe,
    GenerateRecipe,
    Recipe,
    RewardModelRecipe,
    RLRecipe,
    SFTRecipe,
    VerifierRecipe,
)

SMALL_MODEL = 200_000_000
"""Parameters up to which a model is planned for the processor of a machine that has no GPU."""
ASSUMED_GPU = "H100-80GB"
"""The GPU that is planned for where the machine has none and the command line names none."""


def plan_stage(stage: str, recipe: Recipe, options: PlanOptions, lookup: Lookup) -> StagePlan:
    """Return the plan of a stage. Raises UserError for a model, a GPU or a launch that cannot be planned."""
    lookup.notes.clear()
    if isinstance(recipe, DataRecipe):
        return _plan_data(stage, recipe, lookup)
    shape = _largest_shape(recipe, lookup)
    hardware = choose_hardware(options, shape, lookup)
    if isinstance(recipe, GenerateRecipe | EvalRecipe | VerifierRecipe):
        plan = plan_sampling(stage, recipe, hardware, options, lookup)
    else:
        assert isinstance(recipe, SFTRecipe | RLRecipe | RewardModelRecipe)
        assert shape is not None
        launch = options.launch or read_launch(options.accelerate_config, hardware)
        plan = plan_training(stage, recipe, shape, hardware, launch, options, lookup)
    plan.model = _describe_model(recipe, shape)
    if shape is not None and not shape.is_known:
        lookup.note(f"activations of the architecture {shape.model_type} are taken for those of a Llama of its widths")
    plan.notes = [*lookup.notes, *plan.notes]
    return plan


def _plan_data(stage: str, recipe: DataRecipe, lookup: Lookup) -> StagePlan:
    plan = StagePlan(stage, recipe.output or stage, Hardware(cpu_device()), output=recipe.output)
    rows = count_rows(recipe.data.train, lookup, "data.train", recipe.data.rows)
    plan.work = f"{rows.rows or 0:,} rows are read, cleaned, filtered and written, without a GPU"
    plan.product = PlannedOutput(rows=rows.rows, mean_tokens=rows.mean_tokens)
    plan.notes = list(lookup.notes)
    return plan


def _largest_shape(recipe: Recipe, lookup: Lookup) -> ModelShape | None:
    """Return the shape of the recipe's model, of several the largest; None where only a server knows it."""
    paths: list[str | None] = [recipe.model.path]
    if isinstance(recipe, EvalRecipe):
        if recipe.read and not recipe.suite:
            return None
        if recipe.models:
            paths = [model.path for model in recipe.models.values()]
    shapes = []
    first_error: UserError | None = None
    for path in paths:
        try:
            shapes.append(find_shape(recipe.model, path, lookup))
        except UserError as error:
            first_error = first_error or error
    is_served = getattr(getattr(recipe, "sampling", None), "engine", None) == "openai"
    if first_error is not None and not shapes and not is_served:
        raise first_error
    return max(shapes, key=lambda shape: shape.parameters, default=None)


def _describe_model(recipe: Recipe, shape: ModelShape | None) -> str:
    names = [recipe.model.path or ""]
    if isinstance(recipe, EvalRecipe) and recipe.models:
        names = [f"{len(recipe.models)} models, the largest"]
    if recipe.model.new:
        names = [f"a new {recipe.model.new.type} model"]
    if shape is None:
        return f"{names[0]}, of which nothing is known here" if names[0] else "none"
    text = f"{names[0]}, {shape.parameters / 1e6:,.1f}M parameters"
    if recipe.model.lora is not None and isinstance(recipe, SFTRecipe | RLRecipe | RewardModelRecipe):
        text += ", of which an adapter is trained"
    return text


def choose_hardware(options: PlanOptions, shape: ModelShape | None, lookup: Lookup) -> Hardware:
    """Return the hardware of the options; else this machine's GPUs, or what suits the model, which is noted."""
    count = 1
    if options.processes or options.accelerate_config:
        count = count_processes(options.processes, options.accelerate_config)
    if options.gpus is not None:
        hardware = parse_gpus(options.gpus, options.nodes)
        if options.processes and hardware.device.is_cpu:
            return with_count(hardware, options.processes)
        per_node = hardware.count // hardware.nodes
        if options.accelerate_config and count != per_node:
            lookup.note(
                f"planned for {per_node} processes on a node, and {options.accelerate_config} starts {count}: launch "
                f"with --num-processes {per_node}"
            )
        return hardware
    local = _local_gpus()
    if local is not None:
        return local if not (options.processes or options.accelerate_config) else with_count(local, count)
    if shape is not None and shape.parameters <= SMALL_MODEL:
        lookup.note("planned for this machine's processor (--gpus)")
        return Hardware(cpu_device(), count, options.nodes)
    lookup.note(f"planned for {ASSUMED_GPU}, since this machine has no GPU (--gpus 8xA100-80GB)")
    return parse_gpus(f"{count}x{ASSUMED_GPU}", options.nodes)


@cache
def _local_gpus() -> Hardware | None:
    """Return the GPUs of NVIDIA that this machine has, by the names of nvidia-smi; None where it has none."""
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        output = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    rows = [row for row in csv.reader(output.splitlines(), skipinitialspace=True) if len(row) == 2]
    if not rows:
        return None
    name, megabytes = rows[0]
    model = next((key for key in DEVICES if key.partition("-")[0].lower() in name.lower().replace(" ", "")), None)
    if model is None:
        return None
    same = [key for key in DEVICES if key.partition("-")[0] == model.partition("-")[0]]
    memory = float(megabytes) * 2**20
    nearest = min(same, key=lambda key: abs(DEVICES[key].memory - memory))
    return Hardware(DEVICES[nearest], len(rows))
