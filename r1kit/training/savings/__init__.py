"""What stock TRL computes in vain, and r1kit leaves out (`training.savings` of a recipe).

Everything here decides which rows and tokens the model runs on, in which order and in which shape. What it returns has
the shape that TRL's loss expects, so that the loss is TRL's own; tests/test_grpo.py and tests/test_savings.py hold the
gradients against stock TRL's.

    obstacles.py           which savings would change the update of this trainer, and why (`find_obstacle`)
    completion_forward.py  trim, skip and share: run only rows with a gradient, in chunks
    regroup.py             regroup: rows of like length in one micro-batch
    chunks.py, packing.py, full_logits.py   where to cut a batch, rows without padding, all logits at once
    architecture.py        what a model allows
"""
