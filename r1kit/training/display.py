"""A training on a terminal: how far it is, its numbers, and the newest best and worst completion, in place."""

import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from transformers import TrainerCallback

from r1kit.tables import format_duration

ROWS = (
    ("loss", "loss"),
    ("eval_loss", "held-out loss"),
    ("reward", "reward"),
    ("completions/mean_length", "tokens a completion"),
    ("completions/clipped_ratio", "cut off"),
    ("frac_reward_zero_std", "groups without signal"),
    ("kl", "KL"),
    ("entropy", "entropy"),
    ("grad_norm", "gradient"),
    ("learning_rate", "learning rate"),
)


def numbers(values: dict[str, float], before: dict[str, float], rate: float | None) -> Table:
    """Return the metrics, each with where it has moved since the line before."""
    table = Table.grid(padding=(0, 2))
    shown = [(key, name) for key, name in ROWS if key in values]
    rewards = sorted(key for key in values if key.startswith("rewards/") and key.endswith("/mean"))
    shown[2:2] = [(key, f"  {key.split('/')[1]}") for key in rewards]
    for key, name in shown:
        old = before.get(key, values[key])
        sign = "\u2191" if values[key] > old else "\u2193" if values[key] < old else " "
        table.add_row(Text(name, style="dim"), Text(f"{values[key]:.4g} {sign}", justify="right"))
    if rate:
        table.add_row(Text("tokens a second", style="dim"), Text(f"{rate:.0f}  ", justify="right"))
    return table


@lru_cache(maxsize=1)
def extremes(file: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return the best and the worst of a file of rollouts; none where there are none, or it cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rewards = pq.read_table(file, columns=["reward"])["reward"].to_pylist()
        places = sorted((i for i, value in enumerate(rewards) if value is not None), key=rewards.__getitem__)
        if not places:
            return []
        shown = pq.read_table(file, columns=["prompt", "completion", "reward"]).take([places[-1], places[0]])
        return list(zip(("best", "worst"), shown.to_pylist(), strict=True))
    except (OSError, pa.ArrowException):
        return []


class Display(TrainerCallback):
    """Shown on stderr while it trains; what is printed beside it stands above."""

    def __init__(self, path: Path, stage: str, console: Console | None = None):
        self.path, self.stage = path, stage
        self.console = console or Console(stderr=True)
        self.live = Live(console=self.console, auto_refresh=False, transient=True)
        self.values: dict[str, float] = {}
        self.first = self.tokens = 0
        self.started = time.time()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.first, self.started, self.tokens = state.global_step, time.time(), state.num_input_tokens_seen
        if state.is_world_process_zero:
            self.live.start()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.live.stop()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        if state.is_world_process_zero and logs:
            new = {k: float(v) for k, v in logs.items() if isinstance(v, int | float)}
            self.live.update(self.page(state, {**self.values, **new}, self.values), refresh=True)
            self.values |= new

    def page(self, state: Any, values: dict[str, float], before: dict[str, float]) -> Group:
        """Return what is shown."""
        done, spent = state.global_step - self.first, time.time() - self.started
        left = spent / max(1, done) * (state.max_steps - state.global_step)
        head = Table.grid(padding=(0, 2))
        head.add_row(
            Text(self.stage, style="bold"),
            ProgressBar(total=state.max_steps, completed=state.global_step, width=30),
            f"{state.global_step}/{state.max_steps}",
            f"{spent / max(1, done):.2f} s a step",
            f"{format_duration(left)} left",
        )
        rate = (state.num_input_tokens_seen - self.tokens) / max(spent, 1e-6)
        parts: list[Any] = [head, numbers(values, before, rate)]
        newest = max((self.path / "completions").glob("step-*.parquet"), default=None)
        for name, row in extremes(newest) if newest else []:
            said = str(row["completion"]).strip()
            said = said if len(said) <= 400 else f"{said[:200]} ... {said[-200:]}"
            text = Text(f"{row['prompt']}\n{said}", overflow="fold")
            parts.append(
                Panel(text, title=f"{name}, reward {row['reward']:.3g}", title_align="left", border_style="dim")
            )
        return Group(*parts)


def wanted() -> bool:
    """Whether stderr is a terminal that things can be shown on in place."""
    console = Console(stderr=True)
    return sys.stderr.isatty() and console.is_terminal and not console.is_dumb_terminal
