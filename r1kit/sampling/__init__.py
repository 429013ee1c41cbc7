"""Sample completions, score them, and keep them in shards: what `generate`, `eval` and `verifier` have in common.

engine.py             the interface of all engines, which are:
local.py              `transformers`, in this process
vllm_engine.py        `vllm`, in this process
server.py             `openai`, through the client of r1kit/servers
loop.py               sample the shards that are missing
scoring.py            make scored rows of samples
shards.py             the Parquet files that make a run resumable
budget.py             stop when a budget is spent
progress.py           show rates and the remaining time
statistics.py         pass@1, majority vote and so on of a model's samples
rewrite.py            have a teacher rewrite rows, or join a wrong and a right completion
selection.py          which rows of all these `generate` writes
"""
