"""Which architectures does `r1kit prove` prove, at which stages? Small random models of transformers' own configs.

    python benchmarks/families.py                       all families, all stages: about 15 minutes on two cores
    python benchmarks/families.py qwen3_moe lfm2        some families
    python benchmarks/families.py --markdown            the table as it stands in docs/how-to/prove.md

Each cell is one proof: `holds`, the checks that fail or are left out, or the line that refuses the recipe. All models
have the tokenizer of tiny:base.
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "2")

FAMILIES = {
    "Qwen2.5": "qwen2",
    "Qwen3": "qwen3",
    "Qwen3 MoE": "qwen3_moe",
    "Qwen3.5 (linear attention)": "qwen3_5_text",
    "Llama 3": "llama",
    "Gemma 3": "gemma3_text",
    "Gemma 4": "gemma4_text",
    "SmolLM3": "smollm3",
    "OLMo 2": "olmo2",
    "OLMo 3": "olmo3",
    "Mistral": "mistral",
    "Phi-4": "phi3",
    "GLM-4": "glm4",
    "gpt-oss": "gpt_oss",
    "DeepSeek V3": "deepseek_v3",
    "LFM2": "lfm2",
    "Granite 4 (hybrid)": "granitemoehybrid",
}
"""Names of families, with the `model_type` of transformers."""
LAYER_TYPES = {
    "lfm2": ["conv", "full_attention"] * 16,
    "granitemoehybrid": ["mamba", "attention"] * 16,
}
"""Layers of configs whose default has one kind, where the public models have two."""
POLICY = {"sampling": {"group_size": 4, "max_tokens": 24}, "training.batch_size": 8, "training.micro_batch_size": 4}
STAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "sft": ("sft", {"training.batch_size": 8, "training.micro_batch_size": 2}),
    "sft, packed, LoRA": ("sft", {"training.packing": True, "training.max_length": 64, "model.lora": {"r": 4}}),
    "rl, off-policy": ("rl", {**POLICY, "training.updates_per_rollout": 2, "training.kl": 0.01}),
    "rl, LoRA": ("rl", {**POLICY, "model.lora": {"r": 4}}),
    "generate": ("generate", {}),
}
ROWS = 64


def main() -> None:
    """Prove the families that are named, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("types", nargs="*", help="model types, such as qwen3_moe")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    chosen = {name: kind for name, kind in FAMILIES.items() if not options.types or kind in options.types}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        rows_file = write_rows(Path(folder))
        for name, model_type in chosen.items():
            cells = [prove_cell(model_type, stage, rows_file, Path(folder)) for stage in STAGES]
            rows.append([name, *cells])
            print(" | ".join(rows[-1]), file=sys.stderr, flush=True)
    from r1kit.tables import format_table

    headers = ["family", *STAGES]
    if options.markdown:
        lines = [headers, ["---"] * len(headers), *rows]
        print("\n".join(f"| {' | '.join(line)} |" for line in lines))
    else:
        print(format_table(headers, rows))


def write_rows(folder: Path) -> Path:
    """Write rows of fine-tuning of different lengths."""
    lines = []
    for number in range(ROWS):
        completion = f"<think>{'One more. ' * (number % 4)}{number} and 4.</think><answer>{number + 4}</answer>"
        lines.append(json.dumps({"prompt": f"What is {number} plus 4?", "completion": completion}))
    file = folder / "rows.jsonl"
    file.write_text("\n".join(lines))
    return file


def write_model(model_type: str, folder: Path) -> Path:
    """Write the config and a tokenizer of a family, and a small model of it, to `folder`."""
    from transformers import AutoConfig

    from r1kit.models.load import load_tokenizer
    from r1kit.models.small_copy import write_small_copy
    from r1kit.recipe import ModelConfig

    changes = {"layer_types": LAYER_TYPES[model_type]} if model_type in LAYER_TYPES else {}
    config = AutoConfig.for_model(model_type, **changes)
    write_small_copy(config, load_tokenizer(ModelConfig(path="tiny:base")), folder)
    return folder


def prove_cell(model_type: str, stage_name: str, rows_file: Path, folder: Path) -> str:
    """Return what `prove` finds of one family at one stage."""
    from r1kit.errors import UserError

    started = time.time()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            findings = prove(model_type, stage_name, rows_file, folder)
    except UserError as error:
        return f"refused: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:160]
    failed = [f"{finding.check} ({finding.figure})" for finding in findings if finding.verdict == "fails"]
    left_out = [f"{finding.check} left out: {finding.figure}" for finding in findings if finding.verdict == "left out"]
    print(f"{model_type}, {stage_name}: {time.time() - started:.0f} s", file=sys.stderr, flush=True)
    return "; ".join([*[f"FAILS {text}" for text in failed], *left_out]) or "holds"


def prove(model_type: str, stage_name: str, rows_file: Path, folder: Path) -> list[Any]:
    """Return the findings of one family at one stage."""
    from r1kit.commands import rl, sft
    from r1kit.prove.asking import prove_asking
    from r1kit.prove.checks import prove_training
    from r1kit.prove.subject import make_asking_subject, make_subject
    from r1kit.recipe import load_recipe

    stage, values = STAGES[stage_name]
    model = folder / model_type
    if not model.exists():
        write_model(model_type, model)
    proof = folder / "proof"
    shutil.rmtree(proof, ignore_errors=True)
    data = [{"path": str(rows_file)}] if stage == "sft" else [{"path": "world:arithmetic", "rows": 40}]
    overrides = {"output": str(folder / "run"), "data": {"train": data}, "model.path": str(model)}
    recipe: Any = load_recipe(stage, None, {**overrides, "prompt.template": "tiny", **values})
    if stage == "generate":
        return prove_asking(make_asking_subject(recipe, proof))
    command = sft if stage == "sft" else rl
    return prove_training(stage, make_subject(recipe, proof), proof, command.plan_training)


if __name__ == "__main__":
    main()
