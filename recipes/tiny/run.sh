#!/usr/bin/env bash
# The whole R1 recipe on a scale model: base, R1-Zero, cold start, Dev1, Dev2, SFT data, Dev3, R1, Distill.
# Each stage prints the directory it made; the next one reads it. Run it again and it goes on where it stopped.
#
#   bash recipes/tiny/run.sh [OUTPUT] [SEED]        default: runs/tiny 0
set -euo pipefail
here=$(dirname "$0")
out=${1:-runs/tiny}
seed=${2:-0}
base=tiny:base
student=tiny:student

stage() { # stage COMMAND RECIPE NAME [key.path=value ...]
  r1kit "$1" "$here/$2.yaml" "output=$out/$3" "seed=$seed" "${@:4}"
}

# R1-Zero: reinforcement learning alone, on the base.
zero=$(stage rl-zero rl_zero r1_zero model.path=$base)

# Dev1 and Dev2: a readable cold start, then RL with language consistency; and what that costs.
cold=$(stage generate cold_start cold_start model.path="$zero")
dev1=$(stage sft dev1 dev1 model.path=$base data.train="$cold")
dev2=$(stage rl dev2 dev2 model.path="$dev1")
free=$(stage rl dev2_no_language dev2_no_language model.path="$dev1")

# Dev3: the base again, on rejection-sampled reasoning and on answers that need no thinking.
reasoning=$(stage generate reasoning_data reasoning_data model.path="$dev2")
facts=$(stage generate facts_data facts_data model.path=$base)
dev3=$(stage sft dev3 dev3 model.path=$base data.train="[$reasoning, $facts]")

# R1: a last RL, with a preference reward in its last steps.
r1=$(stage rl r1 r1 model.path="$dev3")

# Small models: distilled from that data, or by RL alone.
distill=$(stage distill distill distill model.path=$student data.train="[$reasoning, $facts]")
small_rl=$(stage rl-zero student_rl student_rl model.path=$student)

# The ladder: all of them on the same held-out questions.
ladder=$(stage eval ladder ladder "models={base: $base, R1-Zero: $zero, Dev1: $dev1, Dev2: $dev2,
  Dev2 without language reward: $free, Dev3: $dev3, R1: $r1, student: $student, Distill: $distill,
  student RL: $small_rl}")
cp "$ladder/eval.json" "$out/ladder.json"
echo "$out/ladder.json"
echo "its report: $(r1kit report "$ladder" -o "$out/report.html")" >&2
