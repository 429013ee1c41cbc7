"""Plan all stages of a shell script: each `r1kit` command in it plans instead of running, and prints its output's path.

    run_script(["recipes/tiny/run.sh"], options)        the plans of all of its stages, in the order of the script

The script runs with the environment variable R1KIT_PLAN, which names a folder. A command that finds it plans its stage,
writes the plan there, and prints the path that the run would have, so that the next command can read it. Programs that
would fetch, train or write something stand aside (NOT_RUN): the script goes on as if they had done so.
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from r1kit.errors import UserError
from r1kit.plan.devices import Hardware, cpu_device, parse_gpus, with_count
from r1kit.plan.lookup import PlannedOutput, output_from_dict, output_to_dict
from r1kit.plan.result import PlanOptions, StagePlan
from r1kit.runs.files import write_file

VARIABLE = "R1KIT_PLAN"
"""Environment variable with the folder in which the commands of a script leave their plans."""
_FETCHING = ("curl", "git", "pip", "pip3", "rsync", "scp", "uv", "wget")
_WORKING = ("accelerate", "python", "python3", "sbatch", "sky", "sleep", "torchrun", "vllm")
_WRITING = ("cp", "ln", "mkdir", "mv", "rm", "tee")
NOT_RUN = (*_FETCHING, *_WORKING, *_WRITING)
"""Programs that a script is not to run while it is planned."""
_OPTIONS_FILE = "options.json"


def run_script(words: Sequence[str], options: PlanOptions, likes: dict[str, str]) -> tuple[list[StagePlan], int]:
    """Run a script so that its stages are planned; return their plans, and the script's exit code.

    Raises UserError for a script that does not exist.
    """
    script = Path(words[0])
    if not script.is_file():
        raise UserError("script", words[0], "no such file", "name a shell script, such as recipes/tiny/run.sh")
    with tempfile.TemporaryDirectory(prefix="r1kit-plan-") as name:
        folder = Path(name)
        settings = {"options": {**asdict(options), "launch": None}, "likes": likes}
        write_file(folder / _OPTIONS_FILE, json.dumps(settings))
        programs = _write_programs(folder)
        environment = {**os.environ, VARIABLE: str(folder), "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
        # What the script prints is for its reader; the plan alone is on stdout.
        process = subprocess.run(["bash", *words], env=environment, stdout=sys.stderr, check=False)
        return [plan for plan, _ in read_plans(folder)], process.returncode


def _write_programs(folder: Path) -> Path:
    """Write the programs that the script finds first: r1kit, and those that do nothing."""
    programs = folder / "bin"
    programs.mkdir()
    files = {"r1kit": f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m r1kit.cli "$@"\n'}
    for name in NOT_RUN:
        files[name] = f'#!/bin/sh\necho "plan: not run: {name} $*" >&2\n'
    for name, text in files.items():
        write_file(programs / name, text)
        (programs / name).chmod(0o755)
    return programs


def plan_folder() -> Path | None:
    """Return the folder of the script's plans that this command is a part of; None outside of a planned script."""
    folder = os.environ.get(VARIABLE)
    return Path(folder) if folder else None


def read_options(folder: Path) -> tuple[PlanOptions, dict[str, str]]:
    """Return the options of the command that planned the script, and its --like."""
    settings = json.loads((folder / _OPTIONS_FILE).read_text())
    return PlanOptions(**settings["options"]), settings["likes"]


def write_plan(folder: Path, plan: StagePlan) -> None:
    """Leave a plan in the script's folder."""
    values = {**plan.__dict__, "product": output_to_dict(plan.product)}
    device = plan.hardware.device
    values["hardware"] = {
        "gpus": None if device.is_cpu else device.name,
        "count": plan.hardware.count,
        "nodes": plan.hardware.nodes,
    }
    write_file(folder / f"plan-{time.time_ns():020}.json", json.dumps(values))


def read_plans(folder: Path) -> list[tuple[StagePlan, PlannedOutput]]:
    """Return the plans that commands have left, in their order, each with what its run will have made."""
    plans = []
    for file in sorted(folder.glob("plan-*.json")):
        values = json.loads(file.read_text())
        hardware = values.pop("hardware")
        if hardware["gpus"] is None:
            device = with_count(Hardware(cpu_device()), hardware["count"])
        else:
            device = replace(parse_gpus(hardware["gpus"]), count=hardware["count"], nodes=hardware["nodes"])
        product = output_from_dict(values.pop("product"))
        plans.append((StagePlan(hardware=device, product=product, **values), product))
    return plans


def planned_outputs(folder: Path) -> dict[str, PlannedOutput]:
    """Return what the stages before this one will have made, by the paths of their runs."""
    return {plan.output: product for plan, product in read_plans(folder) if plan.output}
