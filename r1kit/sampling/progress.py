"""Show how sampling proceeds: a live bar on a terminal, a line every ten seconds otherwise.

Example:

    generate 12/80 batches  41.3 rows/s  2950 tokens/s  3 min left  0.12 paid  retried 429 7
"""

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from r1kit.completions import CompletionGroups
from r1kit.messages import is_quiet, logger, print_progress
from r1kit.ranks import world_size
from r1kit.recipe import SamplingConfig
from r1kit.safe_text import escape_control_characters
from r1kit.tables import format_duration

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SECONDS_BETWEEN_LINES = 10.0  # often enough to see that it runs, rare enough for a log file
SECONDS_BETWEEN_REDRAWS = 0.5
ROUTINE_EVENTS = ("answered",)  # events of a sampler that the rates show already


class SamplingProgress:
    """Count finished batches and show rates, the remaining time, the cost and what went wrong, on stderr.

    Use it as a context manager, so that the terminal is restored however sampling ends.
    """

    def __init__(self, label: str, total_batches: int):
        self.label = escape_control_characters(label)
        self.total_batches = total_batches
        self.finished_batches = 0
        self.rows = 0
        self.tokens = 0
        self.started = self.last_shown = time.time()
        # The bars of several processes would overwrite each other on one terminal.
        self.is_live = sys.stderr.isatty() and world_size() == 1 and not is_quiet()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> "SamplingProgress":
        return self

    def __exit__(self, *_error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def finish_batch(
        self, groups: CompletionGroups, events: Mapping[str, int] | None = None, cost: float = 0.0
    ) -> None:
        """Count a batch and, if it is time, show the progress. `events` and `cost` are totals so far."""
        self.finished_batches += 1
        for group in groups:
            self.rows += len(group)
            self.tokens += sum(sample.tokens for sample in group)
        now = time.time()
        # The last batch is always shown, so that a log ends with the totals.
        interval = SECONDS_BETWEEN_REDRAWS if self.is_live else SECONDS_BETWEEN_LINES
        is_last = self.finished_batches == self.total_batches
        if now - self.last_shown < interval and not is_last:
            return
        self.last_shown = now
        details = self._describe(now, events or {}, cost)
        if self.is_live:
            self._draw_bar(details)
        else:
            print_progress(f"{self.label} {self.finished_batches}/{self.total_batches} batches  {details}")

    def _describe(self, now: float, events: Mapping[str, int], cost: float) -> str:
        seconds = max(1e-6, now - self.started)  # never 0, which could not be divided by
        seconds_left = seconds / self.finished_batches * (self.total_batches - self.finished_batches)
        details = [
            f"{self.rows / seconds:.1f} rows/s",
            f"{self.tokens / seconds:.0f} tokens/s",
            f"{format_duration(seconds_left)} left",
        ]
        if cost:
            details.append(f"{cost:.2f} paid")
        for name in sorted(events):
            if name not in ROUTINE_EVENTS:
                details.append(f"{name} {events[name]}")
        return "  ".join(details)

    def _draw_bar(self, details: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        if self._bar is None or self._task is None:
            # rich redirects stderr while the bar is shown, so that notes and warnings appear above it.
            # Without markup: a model may be called [/bold].
            self._bar = Progress(
                TextColumn("{task.description} {task.completed}/{task.total} batches", markup=False),
                BarColumn(bar_width=20),
                TextColumn("{task.fields[details]}", markup=False),
                console=Console(stderr=True),
                auto_refresh=False,
                redirect_stdout=False,
            )
            self._task = self._bar.add_task(self.label, total=self.total_batches, details=details)
            self._bar.start()
        self._bar.update(self._task, completed=self.finished_batches, details=details, refresh=True)


class IdenticalSamplesCheck:
    """Tell the user if a server returns the same completion for all samples of a prompt.

    Some servers ignore the temperature of a request. The engines of this process do not, so they are not checked.
    """

    CHECKED_PROMPTS = 16  # enough to rule out chance, and known before much is spent

    def __init__(self, sampling_config: SamplingConfig):
        self.sampling_config = sampling_config
        self.is_needed = (
            sampling_config.engine == "openai" and sampling_config.samples > 1 and sampling_config.temperature > 0
        )
        self.prompts = 0
        self.identical_prompts = 0

    def add(self, groups: CompletionGroups) -> None:
        """Compare the samples within each group; the message appears after the first 16 prompts."""
        if not self.is_needed or self.prompts >= self.CHECKED_PROMPTS:
            return
        for group in groups:
            if group[0].text:
                self.prompts += 1
                self.identical_prompts += len({sample.text for sample in group}) == 1
        if self.prompts >= self.CHECKED_PROMPTS and self.identical_prompts == self.prompts:
            logger.warning(
                f"the {self.sampling_config.samples} samples of each prompt are identical at temperature "
                f"{self.sampling_config.temperature}: the server seems to ignore the temperature (`transformers serve` "
                "samples only if the model's generation_config.json has do_sample: true)"
            )
