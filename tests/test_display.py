"""The display of a training on a terminal: what it shows, and what it leaves on a real (pseudo) terminal."""

import io
import json
import os
import pty
import re
import subprocess
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import COMMAND, write_recipe
from rich.console import Console

from r1kit.messages import set_verbosity
from r1kit.runs.run import Run
from r1kit.training.callbacks import MetricsCallback
from r1kit.training.display import TrainingDisplay, can_display, read_best_and_worst
from r1kit.training.rollout_sampling import SampledSoFar

RECIPE = {
    "model": {"path": "tiny:student"},
    "data": {"train": [{"path": "world:arithmetic", "rows": 64}]},
    "prompt": {"template": "tiny"},
    "sampling": {"group_size": 4, "max_tokens": 24},
    "rewards": [{"name": "accuracy"}],
    "training": {"steps": 4, "batch_size": 8, "learning_rate": 1e-5, "kl": 0.0},
}


def write_rollouts(run_dir, rewards):
    """Write a file of rollouts with these rewards; a completion has its reward as its text."""
    (run_dir / "completions").mkdir()
    file = run_dir / "completions/step-000001.parquet"
    columns = {
        "prompt": ["2 + 2?"] * len(rewards),
        "completion": [f"<answer>{reward}</answer>" for reward in rewards],
        "reward": pa.array(rewards, pa.float64()),
    }
    pq.write_table(pa.table(columns), file)
    return file


def render(run_dir, logs, state=None) -> str:
    """Return what a display shows after these logs, one after the other."""
    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    display = TrainingDisplay(run_dir, "rl", console)
    state = state or SimpleNamespace(global_step=3, max_steps=12, num_input_tokens_seen=0, is_world_process_zero=True)
    metrics, earlier = {}, {}
    for values in logs:
        earlier, metrics = metrics, {**metrics, **values}
    console.print(display.render(state, metrics, earlier))
    return console.file.getvalue()


def test_metrics_have_labels_and_arrows_and_the_rewards_stand_below_their_total(tmp_path):
    logs = [
        {"loss": 2.0, "reward": 1.0, "rewards/format/mean": 0.5, "rewards/accuracy/mean": 0.5, "clip_ratio": 0.1},
        {"loss": 1.5, "reward": 1.25, "rewards/format/mean": 0.5, "rewards/accuracy/mean": 0.75},
    ]
    lines = [line.split() for line in render(tmp_path, logs).splitlines()]
    assert lines[0][:1] == ["rl"]
    assert "3/12" in lines[0]
    assert lines[1:] == [["loss", "1.5", "↓"], ["reward", "1.25", "↑"], ["accuracy", "0.75", "↑"], ["format", "0.5"]]


def test_the_best_and_the_worst_of_the_newest_rollouts_are_shown(tmp_path):
    write_rollouts(tmp_path, [0.5, None, 2.0, 0.25])
    text = render(tmp_path, [{"loss": 1.0}])
    assert "best completion, reward 2" in text
    assert "<answer>2.0</answer>" in text
    assert "worst completion, reward 0.25" in text
    assert "<answer>0.25</answer>" in text


def test_rollouts_without_a_verdict_or_a_broken_file_show_nothing(tmp_path):
    file = write_rollouts(tmp_path, [None, None])
    assert read_best_and_worst(file) == []
    read_best_and_worst.cache_clear()
    file.write_bytes(b"PAR1")
    assert read_best_and_worst(file) == []


def test_of_rollouts_without_rewards_the_newest_is_shown(tmp_path):
    """Those of an on-policy distillation have none."""
    (tmp_path / "completions").mkdir()
    for step in (1, 2):
        table = pa.table({"prompt": ["Q"], "completion": [f"answer of step {step}"]})
        pq.write_table(table, tmp_path / "completions" / f"step-{step}.parquet")
    text = render(tmp_path, [{"loss": 1.0}])
    assert "newest completion" in text
    assert "answer of step 2" in text
    assert "answer of step 1" not in text


def test_long_completions_lose_their_middle(tmp_path):
    (tmp_path / "completions").mkdir()
    text = "a" * 300 + "b" * 300
    table = pa.table({"prompt": ["q"], "completion": [text], "reward": [1.0]})
    pq.write_table(table, tmp_path / "completions/step-000001.parquet")
    shown = render(tmp_path, [{"loss": 1.0}])
    assert shown.count("a") < 2 * 300
    assert "..." in shown


SAMPLED = SampledSoFar(ended=3, completions=16, tokens=200, max_tokens=1024)
SAMPLED_LINE = "sampling: 3/16 completions ended, the others have 200 of 1024 tokens"


def test_a_rollout_is_shown_above_the_rest_while_it_is_sampled(tmp_path):
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    display = TrainingDisplay(tmp_path, "rl", console)
    state = SimpleNamespace(global_step=0, max_steps=12, num_input_tokens_seen=0, is_world_process_zero=True)
    display.on_train_begin(None, state, None)
    display.show_sampling(SAMPLED)
    display.show_sampling(SampledSoFar(4, 16, 201, 1024))  # too soon to be drawn
    display.stop()
    text = console.file.getvalue()
    assert SAMPLED_LINE in text
    assert "0/12" in text
    assert "201 of" not in text


def test_plain_lines_say_every_ten_seconds_how_far_a_rollout_has_come(tmp_path, monkeypatch, capsys):
    callback = MetricsCallback(Run(tmp_path), "rl")
    state = SimpleNamespace(global_step=4, max_steps=12)
    now = callback.last_line_time
    monkeypatch.setattr("r1kit.training.callbacks.time.time", lambda: now)
    callback.on_step_begin(None, state, None)
    for seconds in (0, 9.5, 10.5, 11, 20, 21):
        monkeypatch.setattr("r1kit.training.callbacks.time.time", lambda seconds=seconds: now + seconds)
        callback.show_sampling(SAMPLED)
    callback.on_train_end(None, state, None)
    assert capsys.readouterr().err.splitlines() == [f"rl 5/12  {SAMPLED_LINE}"] * 2


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_only_a_terminal_that_can_redraw_has_the_display_unless_r1kit_is_quiet(monkeypatch):
    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm-256color")
    assert can_display()
    monkeypatch.setenv("TERM", "dumb")
    assert not can_display()
    monkeypatch.setenv("TERM", "xterm-256color")
    set_verbosity(quiet=True)
    try:
        assert not can_display()
    finally:
        set_verbosity()
    monkeypatch.setattr("sys.stderr", io.StringIO())
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert not can_display()


@pytest.mark.slow
def test_a_terminal_shows_the_newest_best_and_worst(here):
    """On a pseudo-terminal the display comes and goes, and leaves the lines that belong to stderr."""
    file = write_recipe(here / "r.yaml", **RECIPE)
    parent, child = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    process = subprocess.Popen(
        [*COMMAND, "rl-zero", file, "output=run"], stdout=subprocess.PIPE, stderr=child, env=environment
    )
    os.close(child)
    output = b""
    while True:
        try:
            piece = os.read(parent, 65536)
        except OSError:
            break
        if not piece:
            break
        output += piece
    assert process.wait() == 0
    text = output.decode()
    assert "4/4" in text
    assert "best completion, reward" in text
    assert "worst completion, reward" in text
    assert "tokens per second" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h")  # the cursor is visible again
    assert json.loads((here / "run/run.json").read_text())["status"] == "finished"
    assert re.search(r"done: rl-zero, 4 steps in \d+ s: reward [\d.]+( to [\d.]+)?, accuracy ", text)
