"""Show a training on a terminal, in place: its progress, its metrics, and the newest best and worst completion.

    rl-zero  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━  42/60  0.51 s per step  9 s left
    loss              0.0299 ↓
    reward             1.969 ↑
      accuracy        0.9844 ↑
    ╭─ best completion, reward 2 ───────────────────────────────────────────────╮

It is drawn by rich on stderr. Without a terminal, or with `r1kit -q`, r1kit.training.callbacks prints plain lines or
nothing.
"""

import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from transformers import TrainerCallback

from r1kit.messages import is_quiet
from r1kit.rows import Row
from r1kit.safe_text import escape_control_characters
from r1kit.tables import format_duration
from r1kit.training.rollout_sampling import SampledSoFar

# The metrics of metrics.jsonl that are shown, in this order, and their labels.
METRIC_LABELS = {
    "loss": "loss",
    "eval_loss": "held-out loss",
    "accuracy": "pairs ordered rightly",
    "eval_accuracy": "held-out pairs ordered rightly",
    "margin": "margin of scores",
    "reward": "reward",
    "completions/mean_length": "tokens per completion",
    "completions/clipped_ratio": "truncated completions",
    "frac_reward_zero_std": "groups without signal",
    "tools/call_frequency": "calls of tools per completion",
    "tools/failure_frequency": "failed calls of tools",
    "kl": "KL",
    "entropy": "entropy",
    "grad_norm": "gradient norm",
    "learning_rate": "learning rate",
}
BAR_COLUMNS = 30
SECONDS_BETWEEN_REDRAWS = 0.5  # while a rollout is sampled
# Of a longer completion only so many characters of its beginning and of its end are shown.
LONGEST_COMPLETION = 400
EXCERPT_CHARACTERS = 200


def can_display() -> bool:
    """Return whether stderr is a terminal on which text can be redrawn in place, and r1kit is not quiet."""
    console = Console(stderr=True)
    # rich takes a file for a terminal too if FORCE_COLOR is set.
    return sys.stderr.isatty() and console.is_terminal and not console.is_dumb_terminal and not is_quiet()


class TrainingDisplay(TrainerCallback):
    """A callback of the trainer that redraws the display whenever metrics are logged.

    Lines that are printed meanwhile stand above the display, which disappears when the training ends.
    """

    def __init__(self, run_dir: Path, stage: str, console: Console | None = None):
        self.run_dir = run_dir
        self.stage = stage
        self._live = Live(console=console or Console(stderr=True), auto_refresh=False, transient=True)
        self._metrics: dict[str, float] = {}
        self._rendered: RenderableType = ""
        self._drawn_at = 0.0  # on the clock time.monotonic
        # Where this session of the training began: it may resume an earlier one.
        self._start_time = time.time()
        self._start_step = 0
        self._start_tokens = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._start_time = time.time()
        self._start_step = state.global_step
        self._start_tokens = state.num_input_tokens_seen
        if state.is_world_process_zero:
            self._live.start()
            self._rendered = self._render_progress(state, 0.0)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.stop()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        if not state.is_world_process_zero or not logs:
            return
        earlier_metrics = dict(self._metrics)
        for name, value in logs.items():
            if isinstance(value, int | float):
                self._metrics[name] = float(value)
        self._rendered = self.render(state, self._metrics, earlier_metrics)
        self._live.update(self._rendered, refresh=True)

    def show_sampling(self, progress: SampledSoFar) -> None:
        """Show how far a rollout has come, in a line above the rest until the step has its metrics."""
        now = time.monotonic()
        if now - self._drawn_at >= SECONDS_BETWEEN_REDRAWS:
            self._drawn_at = now
            self._live.update(Group(Text(str(progress), style="dim"), self._rendered), refresh=True)

    def stop(self) -> None:
        """Remove the display from the terminal and show its cursor again."""
        self._live.stop()

    def render(self, state: Any, metrics: dict[str, float], earlier_metrics: dict[str, float]) -> Group:
        """Return the whole display: progress, metrics and completions."""
        seconds = time.time() - self._start_time
        tokens_per_second = (state.num_input_tokens_seen - self._start_tokens) / max(seconds, 1e-6)
        return Group(
            self._render_progress(state, seconds),
            render_metrics(metrics, earlier_metrics, tokens_per_second),
            *self._render_completions(),
        )

    def _render_progress(self, state: Any, seconds: float) -> Table:
        """Return one line: the stage, a bar, the step, its duration and the time that is left."""
        seconds_per_step = seconds / max(1, state.global_step - self._start_step)
        seconds_left = seconds_per_step * (state.max_steps - state.global_step)
        progress = Table.grid(padding=(0, 2))
        progress.add_row(
            Text(self.stage, style="bold"),
            ProgressBar(total=state.max_steps, completed=state.global_step, width=BAR_COLUMNS),
            f"{state.global_step}/{state.max_steps}",
            f"{seconds_per_step:.2f} s per step",
            f"{format_duration(seconds_left)} left",
        )
        return progress

    def _render_completions(self) -> list[RenderableType]:
        """Return the best and the worst completion of the newest rollouts, each in a box."""
        newest_file = max((self.run_dir / "completions").glob("step-*.parquet"), default=None)
        if newest_file is None:
            return []
        panels: list[RenderableType] = []
        for label, row in read_best_and_worst(newest_file):
            texts = escape_control_characters(f"{row['prompt']}\n{_shorten(str(row['completion']))}")
            text = Text(texts, overflow="fold")
            title = f"{label} completion"
            if "reward" in row:
                title += f", reward {row['reward']:.3g}"
            panels.append(Panel(text, title=title, title_align="left", border_style="dim"))
        return panels


def render_metrics(metrics: dict[str, float], earlier_metrics: dict[str, float], tokens_per_second: float) -> Table:
    """Return a table of the metrics, each with an arrow if it has risen or fallen since it was last logged."""
    table = Table.grid(padding=(0, 2))
    for name, label in METRIC_LABELS.items():
        if name not in metrics:
            continue
        table.add_row(*_metric_cells(label, metrics[name], earlier_metrics.get(name)))
        if name == "reward":  # the total, with its rewards below it
            for reward_metric in sorted(metrics):
                if reward_metric.startswith("rewards/") and reward_metric.endswith("/mean"):
                    reward_label = f"  {reward_metric.split('/')[1]}"
                    cells = _metric_cells(reward_label, metrics[reward_metric], earlier_metrics.get(reward_metric))
                    table.add_row(*cells)
    if tokens_per_second:
        table.add_row(*_metric_cells("tokens per second", round(tokens_per_second), None))
    return table


def _metric_cells(label: str, value: float, earlier_value: float | None) -> tuple[Text, Text]:
    """Return the label and the value of a metric, with an arrow up or down."""
    arrow = " "
    if earlier_value is not None and value > earlier_value:
        arrow = "\u2191"
    elif earlier_value is not None and value < earlier_value:
        arrow = "\u2193"
    number = f"{value:.0f}" if isinstance(value, int) else f"{value:.4g}"
    return Text(escape_control_characters(label), style="dim"), Text(f"{number} {arrow}", justify="right")


@lru_cache(maxsize=1)
def read_best_and_worst(file: Path) -> list[tuple[str, Row]]:
    """Return ("best", row) and ("worst", row) of a Parquet file of rollouts; [] if it cannot be read.

    Of rollouts without rewards it is ("newest", row), the first of them.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        if "reward" not in pyarrow.parquet.read_schema(file).names:
            first_rows = pyarrow.parquet.read_table(file, columns=["prompt", "completion"]).slice(0, 1).to_pylist()
            return [("newest", row) for row in first_rows]
        rewards = pyarrow.parquet.read_table(file, columns=["reward"])["reward"].to_pylist()
        judged = [index for index, reward in enumerate(rewards) if reward is not None]
        if not judged:
            return []
        best = max(judged, key=rewards.__getitem__)
        worst = min(judged, key=rewards.__getitem__)
        columns = ["prompt", "completion", "reward"]
        best_row, worst_row = pyarrow.parquet.read_table(file, columns=columns).take([best, worst]).to_pylist()
    except (OSError, pyarrow.ArrowException):
        return []
    return [("best", best_row), ("worst", worst_row)]


def _shorten(completion: str) -> str:
    """Return a completion, a long one without its middle."""
    completion = completion.strip()
    if len(completion) <= LONGEST_COMPLETION:
        return completion
    return f"{completion[:EXCERPT_CHARACTERS]} ... {completion[-EXCERPT_CHARACTERS:]}"
