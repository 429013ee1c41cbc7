"""TRL's trainers on Accelerate, wrapped once.

grpo.py         RL: the way of a completion from the sampler to the loss; read it downwards
sft.py          supervised fine-tuning
core.py         train to the end of the recipe from wherever the run stands, and export the model
arguments.py    from a recipe to TRL's config
checkpoints.py  checkpoints that a kill cannot spoil;  reference.py  the replaced reference model
rollout_sampling.py, resampling.py, rollouts.py, row_order.py   parts of grpo.py: sample, replace groups, record, order
savings/        what stock TRL computes in vain, left out with the same gradient
callbacks.py, alerts.py, display.py, card.py   metrics, warnings, the live display, the model card
"""
