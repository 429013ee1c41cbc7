"""What a recipe will take before it runs: memory by part, hours, money, disk, and what makes it fit.

    r1kit plan recipes/sky-t1/sft.yaml --gpus 8xH100-80GB --price 3

Nothing here imports torch or asks the network. A model is known from its config alone (shape.py), memory is a closed
form (memory.py), time a roofline (time.py). `benchmarks/plan.py` holds both against what was measured here and against
published figures.
"""
