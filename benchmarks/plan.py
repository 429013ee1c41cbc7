"""Hold `r1kit plan` against measured peaks of memory here, and against published peaks and speeds.

    python benchmarks/plan.py published
    python benchmarks/plan.py measured [NAME ...]          about half an hour on two cores

Measured is the peak of the resident memory of a process that runs the stage, up to the end of its second optimizer
step, above what it had once all libraries were imported. Models have random weights, rows are as long as the recipe
allows, and completions never end early. Published figures are those of tests/data/plan_memory.jsonl and
plan_speed.jsonl, each with its source; the constants of r1kit/plan are the same for all of them.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from r1kit.plan.devices import parse_gpus
from r1kit.plan.estimate import plan_stage
from r1kit.plan.lookup import Lookup
from r1kit.plan.memory import training_memory
from r1kit.plan.result import PlanOptions
from r1kit.plan.shape import adapter_parameters, shape_of_config
from r1kit.plan.step import TrainingSetup
from r1kit.plan.time import MicroStep, micro_step_seconds
from r1kit.recipe import LoraConfig, load_recipe, parse_recipe
from r1kit.runs.paths import SHIPPED_MODELS
from r1kit.tables import format_table

ROOT = Path(__file__).parent.parent
DATA = ROOT / "tests/data"
GIB = 2**30
PROMPT = "The quick brown fox jumps over the lazy dog. " * 5 + "{prompt}"

MODELS: dict[str, dict[str, Any]] = {
    "6M": {"hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 6, "num_attention_heads": 4},
    "135M": {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9},
    "0.3B": {"hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 20, "num_attention_heads": 16},
}
VOCABULARY = {"6M": 1024, "135M": 49152, "0.3B": 49152}


def sft(model: str, length: int, batch: int = 4, micro: int = 2, **changes: Any) -> dict[str, Any]:
    """Return a case of SFT; `changes` are `lora` and `checkpointing`."""
    training = {"steps": 2, "batch_size": batch, "micro_batch_size": micro, "max_length": length, "save_steps": 100}
    training["gradient_checkpointing"] = changes.get("checkpointing", False)
    block: dict[str, Any] = {"path": model}
    if changes.get("lora"):
        block["lora"] = {}
    data = {"train": {"path": "rows.jsonl"}}
    return {"stage": "sft", "model": block, "data": data, "prompt": {"template": "tiny"}, "training": training}


def rl(model: str, length: int, batch: int = 8, micro: int = 4, kl: float = 0.0, **changes: Any) -> dict[str, Any]:
    """Return a case of RL on one rollout a step; `changes` are `lora` and `checkpointing`."""
    case = sft(model, length, batch, micro, **changes)
    del case["training"]["max_length"]
    # Rows without a gradient are run too: the rewards of random completions are all equal.
    case["training"] |= {"kl": kl, "savings": ["trim", "rollouts"]}
    sampling = {"group_size": 4, "max_tokens": length}
    return {
        **case,
        "stage": "rl-zero",
        "data": {"train": {"path": "world:arithmetic", "rows": 200}},
        "prompt": {"template": PROMPT},
        "sampling": sampling,
    }


CASES: dict[str, dict[str, Any]] = {
    "6M SFT 512": sft("6M", 512, batch=16, micro=8),
    "6M SFT 4096": sft("6M", 4096, batch=4, micro=2),
    "6M SFT 4096, checkpointing": sft("6M", 4096, batch=4, micro=2, checkpointing=True),
    "6M RL 512": rl("6M", 512, batch=16, micro=16),
    "135M SFT 512": sft("135M", 512),
    "135M SFT 1024, checkpointing": sft("135M", 1024, checkpointing=True),
    "135M SFT 2048, one micro-batch": sft("135M", 2048, batch=1, micro=1),
    "135M LoRA 1024": sft("135M", 1024, lora=True),
    "135M LoRA 2048, checkpointing": sft("135M", 2048, batch=2, micro=1, lora=True, checkpointing=True),
    "135M RL 256": rl("135M", 256),
    "135M RL 256, KL": rl("135M", 256, kl=0.01),
    "0.3B SFT 512": sft("0.3B", 512, batch=2, micro=1),
    "0.3B SFT 1024, checkpointing": sft("0.3B", 1024, batch=2, micro=1, checkpointing=True),
}


# Measured here


def measure_case(name: str, folder: Path) -> tuple[float, float]:
    """Return the planned and the measured bytes of a case."""
    case = json.loads(json.dumps(CASES[name]))
    model = case["model"]["path"]
    case["model"]["path"] = str(make_model(model, folder))
    output = folder / "run"
    shutil.rmtree(output, ignore_errors=True)
    stage = case.pop("stage")
    if stage == "sft":
        rows = folder / "rows.jsonl"
        rows.write_text("".join(json.dumps({"text": "A row that is cut. " * 600}) + "\n" for _ in range(16)))
        case["data"]["train"]["path"] = str(rows)
    recipe = parse_recipe(stage, {**case, "output": str(output)})
    plan = plan_stage(stage, recipe, PlanOptions(gpus="cpu"), Lookup())
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1048576", "MALLOC_TRIM_THRESHOLD_": "1048576"}
    command = [sys.executable, __file__, "child", stage, json.dumps({**case, "output": str(output)})]
    child = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if child.returncode:
        sys.exit(f"{name}: {child.stderr[-3000:]}")
    measured = float(child.stdout.split()[-1])
    sizes = ", ".join(f"{key} {value / GIB:.2f}" for key, value in plan.memory.items() if value > 0.005 * GIB)
    print(f"    {name}: {plan.moment}: {sizes}", file=sys.stderr)
    return plan.peak, measured


def make_model(name: str, folder: Path) -> Path:
    """Write a model with random weights and the scale model's tokenizer, unless it is there."""
    path = folder / "models" / name
    if path.exists():
        return path
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = {**MODELS[name], "vocab_size": VOCABULARY[name], "max_position_embeddings": 8192}
    settings |= {"num_key_value_heads": 3 if name == "135M" else 4, "tie_word_embeddings": True}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **settings))
    model.save_pretrained(path)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(SHIPPED_MODELS["tiny:base"] / file, path / file)
    return path


def run_child(stage: str, values: dict[str, Any]) -> None:
    """Run a stage in this process, and print the peak of its resident memory above that of the imports."""
    import r1kit.training.core as core
    import r1kit.training.grpo
    import r1kit.training.sft  # noqa: F401
    from r1kit.api import run_stage_in_process

    peaks: list[int] = []
    base_memory = read_status("VmRSS")
    stop = core.StopCallback.on_step_end

    def record_peak(self: Any, *arguments: Any, **keywords: Any) -> Any:
        peaks.append(read_status("VmHWM"))
        return stop(self, *arguments, **keywords)

    core.StopCallback.on_step_end = record_peak  # type: ignore[method-assign]
    run_stage_in_process(stage, values, {})
    print(max(peaks) - base_memory)


def read_status(key: str) -> int:
    """Return the bytes of a line of /proc/self/status, such as VmHWM."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def print_measured(names: list[str]) -> None:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for case in names or CASES:
            planned, measured = measure_case(case, Path(name))
            rows.append([case, planned / GIB, measured / GIB, planned / measured])
            print(
                f"{case}: planned {planned / GIB:.2f}, measured {measured / GIB:.2f} GiB", file=sys.stderr, flush=True
            )
    print(format_table(["case", "planned, GiB", "measured, GiB", "ratio"], rows, decimals=2))
    for limit in (0.1, 0.2):
        near = sum(abs(row[3] - 1) <= limit for row in rows)  # type: ignore[operator]
        print(f"within {limit:.0%}: {near} of {len(rows)}")


# Published


def print_published() -> None:
    models = json.loads((DATA / "plan_models.json").read_text())
    rows = []
    for row in read_rows("plan_memory.jsonl"):
        shape, setup = shape_of_config(models[row["model"]]), TrainingSetup(**row["setup"])
        if row["lora_rank"]:
            setup = replace(setup, trained=adapter_parameters(shape, LoraConfig(r=row["lora_rank"])))
        planned = training_memory(shape, setup).total / GIB
        rows.append([row["model"], row["what"], planned, row["peak_gib"], planned / row["peak_gib"]])
    print(format_table(["model", "memory", "planned, GiB", "published, GiB", "ratio"], rows, decimals=2))
    print(f"within 15%: {sum(abs(row[4] - 1) <= 0.15 for row in rows)} of {len(rows)}\n")
    rows = []
    for row in read_rows("plan_speed.jsonl"):
        if "seconds_per_micro_step" not in row:
            continue
        tokens, is_sharded = row["sequence"] * row["micro_batch"], row["sharded_over"] > 1
        step = MicroStep(tokens, row["sequence"], row["mode"] == "lora", row["checkpointing"], is_sharded)
        seconds = micro_step_seconds(shape_of_config(models[row["model"]]), step, parse_gpus(row["gpu"]).device).total
        measured = row["seconds_per_micro_step"]
        what = f"{row['what']}, {row['sequence']} tokens, {row['gpus']} x {row['gpu']}"
        rows.append([row["model"], what, seconds, measured, seconds / measured])
    print(format_table(["model", "micro-step", "planned, s", "published, s", "ratio"], rows, decimals=2))
    print(f"within 30%: {sum(abs(row[4] - 1) <= 0.3 for row in rows)} of {len(rows)}\n")
    config = str(ROOT / "recipes/accelerate/zero3_offload.yaml")
    options = PlanOptions(gpus="8xH100-80GB", price=2.96, accelerate_config=config)
    recipe = load_recipe("sft", str(ROOT / "recipes/sky-t1/sft.yaml"), {})
    plan = plan_stage("sft", recipe, options, Lookup(folder=ROOT / "recipes/sky-t1"))
    print(
        f"Sky-T1: planned {plan.hours:.1f} h and {plan.money(plan.hours):.0f} dollars; published 19 h and 450 dollars"
    )


def read_rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["published", "measured", "child"])
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    if options.part == "published":
        print_published()
    elif options.part == "measured":
        print_measured(options.words)
    else:
        run_child(options.words[0], json.loads(options.words[1]))


if __name__ == "__main__":
    main()
