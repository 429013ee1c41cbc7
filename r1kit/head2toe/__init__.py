"""Head2Toe (Evci et al. 2022, arXiv 2201.03529): a linear head on features chosen from all layers of a frozen model.

r1kit uses it as a verifier: it learns from a model's own layers which of the model's completions are right.

    features.py      the features of a completion, from all layers
    group_lasso.py   scores the features, so that the best can be kept
    linear_head.py   chooses features and settings by cross-validation and fits the linear head
    verifier.py      saves, loads, applies and measures such a head as a verifier
    reward.py        the verifier as a reward
"""
