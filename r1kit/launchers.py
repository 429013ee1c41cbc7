"""Which launcher starts the processes of a stage, by the options --num-processes and --accelerate-config.

launch_command(processes=4, config=None)     [PYTHON, "-m", "torch.distributed.run", ..., "--nproc-per-node", "4"]
"""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import yaml

from r1kit.errors import UserError, suggest
from r1kit.recipe.block import MAX_INT
from r1kit.recipe.yaml_values import read_yaml

# Distributed types of an Accelerate config for which `accelerate launch` would start a single process, without a word.
_TORCHRUN_TYPES = ("NO", "MULTI_CPU")

# The names of accelerate.utils.DistributedType, whose import takes a second.
_DISTRIBUTED_TYPES = (
    "NO",
    "MULTI_CPU",
    "MULTI_GPU",
    "MULTI_NPU",
    "MULTI_MLU",
    "MULTI_SDAA",
    "MULTI_MUSA",
    "MULTI_XPU",
    "MULTI_HPU",
    "MULTI_NEURON",
    "DEEPSPEED",
    "FSDP",
    "XLA",
    "MEGATRON_LM",
)

# Keys of an Accelerate config that are whole numbers: the smallest value of each.
_ACCELERATE_NUMBERS = {"num_processes": 1, "num_machines": 1, "machine_rank": 0, "main_process_port": 0}


def launch_command(processes: int | None, config: str | None) -> list[str] | None:
    """Return the launcher's command, to which the module to run is added; None if one process suffices.

    torchrun also replaces `accelerate launch` for several processes on a CPU without FSDP, where the latter starts a
    single one without a word. Raises UserError for a wrong number of processes or a wrong config file.
    """
    if processes is not None and processes < 1:
        raise UserError("--num-processes", processes, "must be at least 1", "use a positive number")
    if config is not None:
        values = read_accelerate_config(config)
        if int(values.get("num_machines", 1)) > 1:
            requirement = f"names {values['num_machines']} machines, and r1kit launches processes on one"
            action = (
                f"run on each machine: accelerate launch --config_file {config} --machine_rank N ... -m r1kit.cli ..."
            )
            raise UserError("--accelerate-config", config, requirement, action)
        if values["distributed_type"] not in _TORCHRUN_TYPES:
            command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", config]
            return [*command, "--num_processes", str(processes)] if processes else command
        processes = processes or int(values.get("num_processes", 1))
    if not processes or processes == 1:
        return None
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]


def needs_missing_deepspeed(config: str) -> bool:
    """Return whether an Accelerate config asks for DeepSpeed's ZeRO, and DeepSpeed is not installed."""
    if read_accelerate_config(config)["distributed_type"] != "DEEPSPEED":
        return False
    return importlib.util.find_spec("deepspeed") is None


def read_accelerate_config(config: str) -> dict[str, Any]:
    """Return the keys of an Accelerate config. Raises UserError if it or a key that r1kit uses is wrong."""
    requirement = "must be an Accelerate config file"
    action = "use one like those in recipes/accelerate/"
    try:
        values = yaml.safe_load(Path(config).read_text())
        read_yaml(Path(config).read_text())  # refuses what Accelerate takes in silence, such as a repeated key
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError("--accelerate-config", config, f"{requirement}: {reason}", "check the path") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise UserError("--accelerate-config", config, f"{requirement}, which is YAML", action) from None
    if not isinstance(values, dict):
        raise UserError("--accelerate-config", config, requirement, action)
    distributed_type = values.get("distributed_type", "NO")
    if distributed_type is False:  # YAML reads NO without quotes as false
        distributed_type = "NO"
    values["distributed_type"] = str(distributed_type).upper()
    if values["distributed_type"] not in _DISTRIBUTED_TYPES:
        requirement = f"has distributed_type = {distributed_type}, which Accelerate does not know"
        action = suggest(values["distributed_type"], _DISTRIBUTED_TYPES)
        raise UserError("--accelerate-config", config, requirement, action)
    for key, smallest in _ACCELERATE_NUMBERS.items():
        number = values.get(key)
        is_number = isinstance(number, int) and not isinstance(number, bool)
        if number is not None and not (is_number and smallest <= number <= MAX_INT):
            requirement = f"has {key} = {str(number)[:50]}, which must be a whole number of at least {smallest}"
            raise UserError("--accelerate-config", config, requirement, f"correct {key}")
        if number is None:
            values.pop(key, None)
    return values


def count_processes(processes: int | None, config: str | None) -> int:
    """Return the number of processes that a launch starts on this machine."""
    if processes or config is None:
        return processes or 1
    values = read_accelerate_config(config)
    return max(1, int(values.get("num_processes", 1)) // int(values.get("num_machines", 1)))
