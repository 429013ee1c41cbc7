#!/usr/bin/env bash
# The R1 recipe on a real model, SmolLM2-135M, on two cores: a few hours, each stage under 45 minutes.
# Stages that are finished are not repeated, and an interrupted one is resumed.
#
#   pip install gguf reasoning-gym && bash recipes/smollm2-135m/run.sh [OUTPUT]        default: runs/smollm2
set -euo pipefail
here=$(dirname "$0")
out=${1:-runs/smollm2}

base="$out/base"
python "$here/fetch.py" "$base" >&2
stage() { # stage COMMAND RECIPE NAME [key.path=value ...]
  r1kit "$1" "$here/$2.yaml" "output=$out/$3" "${@:4}"
}

# The problems are mixed once, for all stages.
problems=$(stage data problems problems)

# R1-Zero, with all weights and with LoRA.
zero=$(stage rl-zero rl_zero r1_zero model.path="$base" data.train="$problems")
lora=$(stage rl-zero rl_zero r1_zero_lora model.path="$base" data.train="$problems" \
  model.lora.r=32 model.lora.alpha=64 training.learning_rate=1.0e-4)

# SFT of the base on R1-Zero's right answers, and a last RL.
rows=$(stage generate sft_data sft_data model.path="$zero" data.train="$problems")
sft=$(stage sft sft sft model.path="$base" data.train="$rows")
r1=$(stage rl r1 r1 model.path="$sft" data.train="$problems")

# All models answer the same held-out problems.
ladder=$(stage eval ladder ladder "models={SmolLM2: $base, R1-Zero: $zero, 'R1-Zero, LoRA': $lora, SFT: $sft, R1: $r1}")
echo "report: $(r1kit report "$ladder" -o "$out/report.html")" >&2
echo "$ladder/eval.json"
