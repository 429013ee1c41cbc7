"""Install torch: the default build where there is a GPU, else the CPU build.

    python tools/install_torch.py torch==2.13.0

A wheel found by pip's own settings (PIP_FIND_LINKS) comes first; then PyTorch's index of CPU builds;
then whatever PyPI has.
"""

import importlib.util
import shutil
import subprocess
import sys

CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def pip(*arguments: str) -> bool:
    """Run pip and say whether it worked."""
    return subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *arguments]).returncode == 0


def main(requirement: str) -> int:
    """Install `requirement` unless torch is there."""
    if importlib.util.find_spec("torch"):
        return 0
    if shutil.which("nvidia-smi"):
        return 0 if pip(requirement) else 1
    local = pip("--no-index", "--no-deps", requirement)  # only wheels that PIP_FIND_LINKS names
    if local or pip("--index-url", CPU_INDEX, requirement) or pip(requirement):
        return 0 if pip(requirement) else 1
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
