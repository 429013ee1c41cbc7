"""Run untrusted code: the box (how a program is run) apart from the judge (what its run is worth)."""
