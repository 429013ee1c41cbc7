"""`r1kit merge RUN -o FOLDER`: merge a LoRA adapter into its base model, as one plain model.

    r1kit merge runs/sft_lora -o models/merged

The folder loads with `from_pretrained` without peft, and vLLM serves it.
"""

import os
import shutil
from pathlib import Path

from r1kit.errors import UserError
from r1kit.messages import stdout_to_stderr
from r1kit.runs.files import replace_folder


def merge_adapter(run: str, output: Path, trust_remote_code: bool = False) -> Path:
    """Write the model of a run or a folder that holds a LoRA adapter, merged with its base, to `output`.

    Raises UserError if `run` has no adapter or `output` exists.
    """
    from r1kit.heavy_imports import heavy_imports
    from r1kit.recipe import ModelConfig
    from r1kit.runs.paths import resolve_model_path
    from r1kit.runs.trained_prompt import read_trained_prompt, write_trained_prompt

    model_dir = Path(resolve_model_path(run, "RUN"))
    if not model_dir.is_dir():
        raise UserError("RUN", run, "must be a run or a folder with an adapter", "check the path")
    if not (model_dir / "adapter_config.json").exists():
        raise UserError("RUN", run, "must have an adapter (model.lora)", "use the model as it is")
    if os.path.lexists(output):
        raise UserError("--output", output, "exists already", "use another folder")
    with heavy_imports():
        from r1kit.models.load import load_model, load_tokenizer
    output.parent.mkdir(parents=True, exist_ok=True)
    # Written beside the target and then renamed, so that a kill leaves no half of a model there.
    unfinished = output.with_name(f".{output.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    block = ModelConfig(path=run, trust_remote_code=trust_remote_code)
    with stdout_to_stderr():
        load_model(block, training=False, device="cpu").save_pretrained(unfinished)
        load_tokenizer(block).save_pretrained(unfinished)
    prompt = read_trained_prompt(str(model_dir))
    if prompt is not None:
        write_trained_prompt(prompt, unfinished)
    replace_folder(unfinished, output)
    return output
