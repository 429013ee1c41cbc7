"""Rows: from a hub id, a file or a generator to problems and SFT examples, and from rows to a data set on disk.

sources/     read one source: hub, files, runs, generators
adapters/    bring a known data set's columns to r1kit's: one table
mixing.py    put sources together by their shares
problems.py  rows for RL, sampling and evaluation;  examples.py  rows for SFT
filters.py   which samples `generate` keeps;  hygiene/  duplicates and contamination
journey.py   a wrong and a right completion become one that corrects itself
writing/     Parquet, the data card, the hub
world/       the scale model's questions
"""
