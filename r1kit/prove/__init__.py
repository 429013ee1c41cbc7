"""`r1kit prove`: show, on a small random model of the recipe's architecture, that a training trains what it says.

    subject.py      the recipe as it is proved: small and fast to train, with all that decides what is learnt kept
    observe.py      what the real trainer does, recorded while it trains
    definition.py   the same in float64: one row at a time, no padding, no packing, no accumulation
    template.py gradient.py leak.py sampler.py resume.py rewards.py saved.py    one check each
    table.py        findings, their table and prove.json
    checks.py       which checks a stage has, and in which order

The trainer is r1kit's own, through the path that the stage itself takes (`plan_training` of its command, then
`run_training`). Nothing of it is replaced but the verdicts of rewards, which would all be 0 for random text.
"""
