"""Inference-time scaling: how much better a model answers with more samples, votes, scores, budgets and search.

estimators.py   accuracy and tokens of one method at one N, from one run's samples
points.py       all methods at all N, with intervals
recommend.py    which method to use at which budget, chosen on one half of the questions, reported on the other
methods.py      what each method is called and which colour it has
curves.py       the points as a table and as a picture
budget.py       budget forcing: cut the thinking, or make the model think on
search.py       beam search and tree search under a verifier
measure.py      all of it for one model, as `r1kit eval` with `scaling:` calls it
"""
