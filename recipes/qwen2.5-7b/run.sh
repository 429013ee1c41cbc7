#!/usr/bin/env bash
# The R1 recipe on Qwen2.5-7B: R1-Zero, cold start, Dev1, Dev2, SFT data, Dev3, R1, a distilled small model.
# Each stage prints the directory that it made, and later stages read it. Stages that are finished are not repeated, and
# an interrupted one is resumed.
#
#   bash recipes/qwen2.5-7b/run.sh --accelerate-config recipes/accelerate/fsdp2.yaml     8 GPUs
#
# The arguments are options of the stages that train. The stages that sample load the whole model on each of GPUS GPUs.
set -euo pipefail
here=$(dirname "$0")
base=Qwen/Qwen2.5-7B
train=("$@")
sample=(--num-processes "${GPUS:-8}")

# R1-Zero: the base learns to think by reinforcement learning alone.
zero=$(r1kit rl-zero "$here/rl_zero.yaml" model.path=$base "${train[@]}")

# Dev1 learns from R1-Zero's readable answers (the cold start); Dev2 adds RL with a language consistency reward.
cold=$(r1kit generate "$here/cold_start.yaml" model.path="$zero" "${sample[@]}")
dev1=$(r1kit sft "$here/dev1.yaml" model.path=$base data.train="$cold" "${train[@]}")
dev2=$(r1kit rl "$here/dev2.yaml" model.path="$dev1" "${train[@]}")

# Dev3: the base learns from Dev2's right answers and from the cold start.
data=$(r1kit generate "$here/sft_data.yaml" model.path="$dev2" "${sample[@]}")
dev3=$(r1kit sft "$here/dev3.yaml" model.path=$base data.train="[$data, $cold]" "${train[@]}")

# R1: a last RL on Dev3, at temperature 0.7.
r1=$(r1kit rl "$here/r1.yaml" model.path="$dev3" "${train[@]}")

# Distill: a small model learns from the same data by SFT alone.
distill=$(r1kit distill "$here/distill.yaml" data.train="$data" "${train[@]}")
models="base: {path: $base, prompt: {template: r1-zero}}, R1-Zero: $zero"
models+=", Dev1: $dev1, Dev2: $dev2, Dev3: $dev3, R1: $r1, Distill: $distill"

# Each model is evaluated with the prompt that it was trained with, the base with R1-Zero's.
r1kit eval "$here/eval.yaml" "models={$models}" "${sample[@]}"
