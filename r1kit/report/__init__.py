"""`r1kit report` and `r1kit watch`: what a chain of runs did, as one page."""
