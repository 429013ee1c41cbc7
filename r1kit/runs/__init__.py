"""The run directory: what a stage leaves behind, and how the next command finds it.

files.py    write files and folders whole or not at all
run.py      run.json, metrics.jsonl, the lock
resume.py   is the run finished (`already_finished`), may it be resumed, which difference forbids it (`open_run`)
lineage.py  what a run was made of, with a hash of the content
paths.py    what a recipe's path means: a run, a folder, a file, a hub id
listing.py, results.py   `r1kit runs`, and what came of a run in one line
"""
