#!/usr/bin/env bash
# Journey learning against shortcut learning on the scale model: the same student, as many rows, the same steps.
# Each stage prints the directory it made; the next one reads it. Run it again and it goes on where it stopped.
#
#   bash recipes/journey/run.sh [OUTPUT] [SEED]        default: runs/journey 0
set -euo pipefail
here=$(dirname "$0")
out=${1:-runs/journey}
seed=${2:-0}

# A journey is made of a wrong and a right chain; the right one alone, kept in `original`, is the shortcut.
rows=$(r1kit generate "$here/journeys.yaml" "output=$out/journeys" "seed=$seed")
journeys=$(r1kit distill "$here/distill.yaml" "output=$out/on_journeys" "seed=$seed" "data.train=$rows")
shortcuts=$(r1kit distill "$here/distill.yaml" "output=$out/on_shortcuts" "seed=$seed" \
  "data.train=[{path: $rows, columns: {completion: original}}]")
r1kit eval "$here/eval.yaml" "output=$out/eval" "seed=$seed" "models={journeys: $journeys, shortcuts: $shortcuts}"
