"""What sampling shows: plain lines in a log, a bar on a terminal, the same figures in both."""

import io
import sys

import pytest

from r1kit.completions import SampledCompletion
from r1kit.messages import logger
from r1kit.sampling import progress as progress_module
from r1kit.sampling.progress import SamplingProgress

GROUPS = [[SampledCompletion("a", 30, "stop"), SampledCompletion("b", 10, "stop")]]


@pytest.fixture
def clock(monkeypatch):
    """Return a list that holds the time; the test sets it."""
    now = [1000.0]
    monkeypatch.setattr(progress_module.time, "time", lambda: now[0])
    return now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_a_line_every_ten_seconds_and_one_at_the_end(clock, capsys):
    with SamplingProgress("generate", total_batches=4) as progress:
        for seconds in (4, 9, 11, 12):
            clock[0] = 1000.0 + seconds
            progress.finish_batch(GROUPS, {"retried 429": 2, "answered": 50}, cost=0.5)
    # After 11 s: 3 batches of 2 rows and 40 tokens, and a third of the time so far for the last one.
    assert capsys.readouterr().err.splitlines() == [
        "generate 3/4 batches  0.5 rows/s  11 tokens/s  4 s left  0.50 paid  retried 429 2",
        "generate 4/4 batches  0.7 rows/s  13 tokens/s  0 s left  0.50 paid  retried 429 2",
    ]


def test_a_terminal_gets_a_bar_with_the_same_figures_and_notes_above_it(clock, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "xterm")
    with SamplingProgress("generate", total_batches=2) as progress:
        clock[0] = 1002.0
        progress.finish_batch(GROUPS, {"retried 429": 2})
        logger.info("a prompt was refused")
        clock[0] = 1004.0
        progress.finish_batch(GROUPS, {"retried 429": 2})
    assert sys.stderr is terminal  # rich gives it back
    shown = terminal.getvalue()
    assert "generate 1/2 batches" in shown
    assert "1.0 rows/s  20 tokens/s  2 s left  retried 429 2" in shown
    assert "note: a prompt was refused\n" in shown
    assert "generate 2/2 batches" in shown


def test_the_terminal_is_given_back_after_an_error(clock, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    def sample_and_fail():
        with SamplingProgress("generate", total_batches=2) as progress:
            clock[0] = 1002.0
            progress.finish_batch(GROUPS)
            raise RuntimeError("the server is gone")

    with pytest.raises(RuntimeError, match="the server is gone"):
        sample_and_fail()
    assert sys.stderr is terminal


def test_the_bars_of_several_processes_are_lines(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert not SamplingProgress("generate", total_batches=2).is_live
