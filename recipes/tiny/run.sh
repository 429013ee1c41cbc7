#!/usr/bin/env bash
# The whole R1 recipe on a scale model: base, R1-Zero, cold start, Dev1, Dev2, SFT data, Dev3, R1, Distill.
# Each stage prints the directory that it made, and later stages read it. Stages that are finished are not repeated, and
# an interrupted one is resumed.
#
#   bash recipes/tiny/run.sh [OUTPUT] [SEED]        default: runs/tiny 0
set -euo pipefail
here=$(dirname "$0")
out=${1:-runs/tiny}
seed=${2:-0}
base=tiny:base
student=tiny:student

stage() { # stage COMMAND RECIPE NAME [key.path=value ...]: run a stage and print its directory
  r1kit "$1" "$here/$2.yaml" "output=$out/$3" "seed=$seed" "${@:4}"
}

number=0
tell() { # tell TEXT: print the number of the next stage, and what it is for
  number=$((number + 1))
  echo "[$number/13] $1" >&2
}

tell "rl-zero r1_zero: RL on the base alone, which is rewarded for right answers and for the format"
zero=$(stage rl-zero rl_zero r1_zero model.path=$base)

tell "generate cold_start: R1-Zero answers questions; the right and readable answers are kept"
cold=$(stage generate cold_start cold_start model.path="$zero")

tell "sft dev1: the base learns from those answers, which gives Dev1 a readable cold start"
dev1=$(stage sft dev1 dev1 model.path=$base data.train="$cold")

tell "rl dev2: RL on Dev1, which also rewards thinking in the language of the question"
dev2=$(stage rl dev2 dev2 model.path="$dev1")

tell "rl dev2_no_language: the same RL without the language reward, to see what that reward changes"
no_language=$(stage rl dev2_no_language dev2_no_language model.path="$dev1")

tell "generate reasoning_data: Dev2 answers many questions; the right answers are kept (rejection sampling)"
reasoning=$(stage generate reasoning_data reasoning_data model.path="$dev2")

tell "generate facts_data: the base answers questions about facts, which need no thinking"
facts=$(stage generate facts_data facts_data model.path=$base)

tell "sft dev3: the base learns from both data sets: to think, and when to answer at once"
dev3=$(stage sft dev3 dev3 model.path=$base data.train="[$reasoning, $facts]")

tell "rl r1: a last RL on all kinds of questions makes R1; its last steps also reward short answers"
r1=$(stage rl r1 r1 model.path="$dev3")

tell "distill distill: a student of a fifth of the size learns from the data that made Dev3"
distill=$(stage distill distill distill model.path=$student data.train="[$reasoning, $facts]")

tell "rl-zero student_rl: the same student learns by RL alone, to compare with distillation"
student_rl=$(stage rl-zero student_rl student_rl model.path=$student)

tell "eval ladder: all of these models answer the same held-out questions"
ladder=$(stage eval ladder ladder "models={base: $base, R1-Zero: $zero, Dev1: $dev1, Dev2: $dev2,
  Dev2 without language reward: $no_language, Dev3: $dev3, R1: $r1, student: $student, Distill: $distill,
  student RL: $student_rl}")

tell "report: one page with the pipeline, the curves and all rollouts"
report=$(r1kit report "$ladder" -o "$out/report.html")

cat >&2 <<END

How to read the ladder above, line by line:
  base        has only read text; look at arithmetic and thinking, which are both low.
  R1-Zero     nearly always thinks, which the base seldom does; look at arithmetic. It mixes languages.
  Dev1        learnt from R1-Zero's readable answers; look at language, which is much higher.
  Dev2        was rewarded for one language; look at language, beside the next line, which had no such reward.
  Dev3        learnt from chosen answers of both kinds; look at facts, and at how few tokens facts take.
  R1          is Dev3 after a last RL; all columns are near 100, and answers are no longer than they need to be.
  student     is a fifth of the size and has only read text; look at how little it can do.
  Distill     is the student after SFT on the large model's answers; look at arithmetic.
  student RL  is the student after RL alone: arithmetic stays low, since it can only reinforce what it does sometimes.

Read every rollout in a browser: $report
Ask a model yourself: r1kit chat $r1 --template tiny
END
cp "$ladder/eval.json" "$out/ladder.json"
echo "$out/ladder.json"
