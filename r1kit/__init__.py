"""Build reasoning LLMs by the DeepSeek-R1 recipe, from the command line (`r1kit --help`) or from Python:

    from r1kit import run_stage

    base_run = run_stage("sft", "recipes/tiny/dev1.yaml", output="runs/first")

Importing r1kit imports none of its heavy dependencies.
"""

from pathlib import Path
from typing import Any

from r1kit.version import __version__

__all__ = ["__version__", "run_stage"]


def run_stage(stage: str, recipe: str | Path | dict[str, Any], **overrides: Any) -> Path:
    """Run a stage of the pipeline in this process, as `r1kit STAGE RECIPE` does, and return its run directory.

    `recipe` is the path of a YAML file or its content as a dictionary; `overrides` replace values in it, by their
    dotted keys. A finished run is returned at once, and an interrupted one is resumed.

        rows = run_stage("generate", "recipes/tiny/facts_data.yaml", output="runs/facts")
        run = run_stage(
            "sft",
            {"model": {"path": "tiny:base"}, "data": {"train": str(rows)}, "prompt": {"template": "tiny"}},
            output="runs/facts_model",
            **{"training.epochs": 1, "training.batch_size": 8},
        )
        model = AutoModelForCausalLM.from_pretrained(run / "model")

    Raises UserError for what the user must change, KeyboardInterrupt if it is interrupted (the state is saved), and
    OutOfMemory if a smaller micro-batch is needed, with which the same call goes on. For several processes use the
    command line.
    """
    from r1kit.api import run_stage_in_process

    return run_stage_in_process(stage, recipe, overrides)
