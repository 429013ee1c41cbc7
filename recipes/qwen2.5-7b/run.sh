#!/usr/bin/env bash
# The R1 recipe on Qwen2.5-7B: R1-Zero, cold start, Dev1, Dev2, SFT data, Dev3, R1, a distilled small model.
# Each stage prints the directory it made; the next one reads it. Run it again and it goes on where it stopped.
#
#   bash recipes/qwen2.5-7b/run.sh --accelerate-config recipes/accelerate/fsdp2.yaml     8 GPUs
#
# The arguments are launch flags of the stages that train. Sampling puts a whole model on each of GPUS GPUs.
set -euo pipefail
here=$(dirname "$0")
base=Qwen/Qwen2.5-7B
train=("$@")
sample=(--num-processes "${GPUS:-8}")

# R1-Zero: reinforcement learning alone, on the base.
zero=$(r1kit rl-zero "$here/rl_zero.yaml" model.path=$base "${train[@]}")

# Dev1 and Dev2: a readable cold start, then RL with language consistency.
cold=$(r1kit generate "$here/cold_start.yaml" model.path="$zero" "${sample[@]}")
dev1=$(r1kit sft "$here/dev1.yaml" model.path=$base data.train="$cold" "${train[@]}")
dev2=$(r1kit rl "$here/dev2.yaml" model.path="$dev1" "${train[@]}")

# Dev3: the base again, on all the data.
data=$(r1kit generate "$here/sft_data.yaml" model.path="$dev2" "${sample[@]}")
dev3=$(r1kit sft "$here/dev3.yaml" model.path=$base data.train="[$data, $cold]" "${train[@]}")

# R1: a last RL, at T 0.7.
r1=$(r1kit rl "$here/r1.yaml" model.path="$dev3" "${train[@]}")

# A small model on the same data, by SFT alone.
distill=$(r1kit distill "$here/distill.yaml" data.train="$data" "${train[@]}")
models="Dev1: $dev1, Dev2: $dev2, Dev3: $dev3, R1: $r1, Distill: $distill"

# Base and R1-Zero are asked in the r1-zero template, the others in their chat template.
r1kit eval "$here/eval.yaml" prompt.template=r1-zero "models={base: $base, R1-Zero: $zero}" \
  output=runs/qwen2.5-7b/eval_zero "${sample[@]}"
r1kit eval "$here/eval.yaml" "models={$models}" "${sample[@]}"
