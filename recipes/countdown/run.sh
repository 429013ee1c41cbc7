#!/usr/bin/env bash
# The countdown world: the base, R1-Zero, and what both solve of the held-out problems.
# Each stage prints the directory that it made, and later stages read it. Stages that are finished are not repeated, and
# an interrupted one is resumed.
#
#   bash recipes/countdown/run.sh [OUTPUT] [SEED]        default: runs/countdown 0
set -euo pipefail
here=$(dirname "$0")
out=${1:-runs/countdown}
seed=${2:-0}

base=$(r1kit sft "$here/base.yaml" "output=$out/base" "seed=$seed")
zero=$(r1kit rl-zero "$here/rl_zero.yaml" "output=$out/r1_zero" "seed=$seed" "model.path=$base")
r1kit eval "$here/eval.yaml" "output=$out/eval" "seed=$seed" \
  "models={base: $base, base made to think: {path: $base, prompt: {prefill: '<think>'}}, R1-Zero: $zero}"
