"""Text tables and durations."""

import io

import pytest

from r1kit.tables import format_duration, format_table


def test_columns_are_aligned_and_numbers_stand_at_the_right():
    table = format_table(["reward", "mean", "faults"], [["accuracy", 0.5, 1], ["format", None, 10]])
    assert table.splitlines() == ["reward     mean  faults", "accuracy  0.500       1", "format        -      10"]


def test_numbers_that_are_texts_stand_at_the_right_too():
    table = format_table(["model", "share"], [["base", "5%"], ["R1-Zero", "45.5%"]])
    assert table.splitlines() == ["model    share", "base        5%", "R1-Zero  45.5%"]


def test_a_column_is_aligned_to_the_right_on_demand():
    lines = format_table(["pass@1"], [["0.5 (±0.1)"], ["1"]], right=["pass@1"]).splitlines()
    assert lines == ["    pass@1", "0.5 (±0.1)", "         1"]


def test_a_table_without_rows_is_its_headers():
    assert format_table(["run", "state"], []) == "run  state"


def test_nothing_is_cut_or_wrapped_unless_a_width_is_given():
    path = "runs/" + "long/" * 60
    assert format_table(["run", "state"], [[path, "finished"]]).splitlines()[1] == f"{path}  finished"


def test_the_named_columns_wrap_to_the_width_and_the_others_stay_whole():
    table = format_table(["run", "parents"], [["runs/r1", "cold_start, dev1, dev2, dev3"]], width=24, wrap=["parents"])
    lines = table.splitlines()
    assert max(map(len, lines)) <= 24
    assert lines[1].startswith("runs/r1  ")
    words = " ".join(line.removeprefix("runs/r1").strip() for line in lines[1:])
    assert words == "cold_start, dev1, dev2, dev3"


def test_brackets_are_shown_as_they_are():
    assert format_table(["name"], [["[bold]x[/bold]"]]).splitlines()[1] == "[bold]x[/bold]"


def test_wide_characters_take_two_columns():
    lines = format_table(["text", "n"], [["数学", 1], ["maths", 2]]).splitlines()
    assert lines[1:] == ["数学   1", "maths  2"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_only_a_terminal_gets_bold_headers():
    rows = [["a", 1]]
    assert "\x1b" not in format_table(["x", "y"], rows, stream=io.StringIO())
    assert "\x1b[1m" in format_table(["x", "y"], rows, stream=Terminal())


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (9000, "2.5 h")]
)
def test_a_duration_is_shown_in_the_unit_that_suits_it(seconds, text):
    assert format_duration(seconds) == text
