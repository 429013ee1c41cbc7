#!/usr/bin/env bash
# Inference-time scaling of a real model, on two cores: some ten minutes. Run it again and it goes on where it stopped.
#
#   pip install gguf reasoning-gym && bash recipes/smollm2-135m/scaling.sh [OUTPUT]        default: runs/smollm2
set -euo pipefail
here=$(dirname "$0")
out=${1:-runs/smollm2}

python "$here/fetch.py" "$out/base" >&2
verifier=$(r1kit verifier "$here/verifier.yaml" "output=$out/verifier" "model.path=$out/base")
r1kit eval "$here/scaling.yaml" "output=$out/scaling" "model.path=$out/base" "scaling.verifier=$verifier"
