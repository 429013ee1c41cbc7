"""`r1kit merge`: make a plain model of an adapter and its base."""

import shutil
from pathlib import Path

from r1kit.errors import UserError
from r1kit.runs.files import replace_folder


def merge_adapter(run: str, output: Path, trust_remote_code: bool = False) -> Path:
    """Make a plain model of a run's adapter. Raises UserError where there is no adapter."""
    from r1kit.heavy_imports import heavy_imports
    from r1kit.recipe import ModelConfig
    from r1kit.runs.paths import resolve_model_path

    path = resolve_model_path(run, "RUN")
    if not Path(path).is_dir():
        raise UserError("RUN", run, "must be a run or a folder with an adapter", "check the path")
    if not (Path(path) / "adapter_config.json").exists():
        raise UserError("RUN", run, "must have an adapter (model.lora)", "a full model needs no merging")
    if output.exists():
        raise UserError("--output", output, "is there already", "give another folder")
    with heavy_imports():
        from r1kit.models.load import load_model, load_tokenizer
    output.parent.mkdir(parents=True, exist_ok=True)
    new = output.with_name(f".{output.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    block = ModelConfig(path=run, trust_remote_code=trust_remote_code)
    load_model(block, training=False, device="cpu").save_pretrained(new)
    load_tokenizer(block).save_pretrained(new)
    replace_folder(new, output)
    return output
