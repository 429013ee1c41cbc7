#!/usr/bin/env bash
# Journey learning and shortcut learning on the scale model: the same student, equally many rows, the same steps.
# Each stage prints the directory that it made, and later stages read it. Stages that are finished are not repeated, and
# an interrupted one is resumed.
#
#   bash recipes/journey/run.sh [OUTPUT] [SEED]        default: runs/journey 0
set -euo pipefail
here=$(dirname "$0")
out=${1:-runs/journey}
seed=${2:-0}

# A journey joins a wrong chain of thought and a right one; the right one alone, in the column `original`, is the
# shortcut.
rows=$(r1kit generate "$here/journeys.yaml" "output=$out/journeys" "seed=$seed")
journeys=$(r1kit distill "$here/distill.yaml" "output=$out/on_journeys" "seed=$seed" "data.train=$rows")
shortcuts=$(r1kit distill "$here/distill.yaml" "output=$out/on_shortcuts" "seed=$seed" \
  "data.train=[{path: $rows, columns: {completion: original}}]")
r1kit eval "$here/eval.yaml" "output=$out/eval" "seed=$seed" "models={journeys: $journeys, shortcuts: $shortcuts}"
