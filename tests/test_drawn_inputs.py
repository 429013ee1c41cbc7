"""Some inputs of each kind that the long fuzz (fuzz.py) draws; the same ones each time."""

import pytest
from fuzz import ACCEPTED, try_kind

COUNTS = {"recipes": 200, "rows": 100, "files": 100, "runs": 40, "servers": 6, "commands": 40}


@pytest.mark.parametrize(("kind", "count"), COUNTS.items())
def test_drawn_inputs_are_accepted_as_they_are_or_refused_in_a_line(kind, count):
    outcomes, failures = try_kind(kind, count, number=7)
    assert failures == []
    assert sum(outcomes.values()) == count
    assert outcomes[ACCEPTED] > 0 or outcomes["exit code 0"] > 0
