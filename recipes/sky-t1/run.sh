#!/usr/bin/env bash
# Sky-T1 from question bank to model: problems, rejection sampling from a reasoning model, SFT, evaluation.
# Each stage prints the directory that it made, and later stages read it. Stages that are finished are not repeated, and
# an interrupted one is resumed.
#
#   vllm serve Qwen/QwQ-32B --tensor-parallel-size 8 &          serves the teacher, until sft_data is done
#   bash recipes/sky-t1/run.sh --accelerate-config recipes/accelerate/zero3_offload.yaml
#   bash recipes/sky-t1/run.sh tiny                             the same recipes on the scale model, in two minutes
#
# On the scale model the teacher is tiny:base, prompted to think (97% of its samples are right), and the student
# is tiny:student.
set -euo pipefail
here=$(dirname "$0")
out=runs/sky-t1
problems=() sample=() train=("$@") evaluate=(--num-processes 4)  # each process of eval has two GPUs
before=Qwen/Qwen2.5-32B-Instruct

if [ "${1:-}" = tiny ]; then
  out=${2:-runs/sky-t1-tiny}
  before=tiny:student
  train=(model.path=$before prompt.template=tiny training.epochs=4 training.batch_size=32
    training.micro_batch_size=null training.learning_rate=2e-3 training.warmup_steps=10 training.max_length=256
    training.gradient_checkpointing=false)
  problems=("data.train=[{path: 'world:arithmetic', rows: 1500}, {path: 'world:code', rows: 800}]"
    hygiene.near=null "hygiene.decontaminate=[{path: 'world:arithmetic', split: test, rows: 300}]")
  sample=(model.path=tiny:base sampling.engine=transformers sampling.server={}
    "prompt={template: tiny, prefill: <think>}" sampling.temperature=0.8 sampling.top_p=1.0 sampling.max_tokens=48
    sampling.batch_size=512)
  evaluate=("data.eval=[{path: 'world:arithmetic', split: test, rows: 300}, {path: 'world:code', split: test, rows: 150}]"
    prompt.template=tiny sampling.engine=transformers sampling.vllm={} sampling.samples=2 sampling.max_tokens=48
    sampling.batch_size=512)
fi

bank=$(r1kit data "$here/problems.yaml" "output=$out/problems" "${problems[@]}")
data=$(r1kit generate "$here/sft_data.yaml" "output=$out/sft_data" "data.train=$bank" "${sample[@]}")
model=$(r1kit sft "$here/sft.yaml" "output=$out/model" "data.train=[{path: $data, rows: 17000}]" "${train[@]}")
r1kit eval "$here/eval.yaml" "output=$out/eval" "models={before: $before, Sky-T1: $model}" "${evaluate[@]}"
