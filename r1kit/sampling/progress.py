"""What sampling shows while it runs."""

import sys
import time

from r1kit.recipe import SamplingConfig
from r1kit.sampling.engine import CompletionGroups
from r1kit.tables import format_duration


class SamplingProgress:
    """Lines on stderr: batches done, rates, time left. Every ten seconds; on a terminal one line that changes."""

    def __init__(self, label: str, total: int):
        self.label, self.total, self.done = label, total, 0
        self.live = sys.stderr.isatty()
        self.started = self.shown = time.time()
        self.rows = self.tokens = 0

    def step(self, groups: CompletionGroups = (), told: dict[str, int] | None = None, cost: float = 0.0) -> None:  # type: ignore[assignment]
        self.done += 1
        samples = [s for group in groups for s in group]
        self.rows += len(samples)
        self.tokens += sum(s.tokens for s in samples)
        now = time.time()
        if now - self.shown < (0.5 if self.live else 10) and self.done < self.total:
            return
        self.shown, spent = now, max(1e-6, now - self.started)
        left = spent / self.done * (self.total - self.done)
        parts = [f"{self.label} {self.done}/{self.total} batches", f"{self.rows / spent:.1f} rows/s",
                 f"{self.tokens / spent:.0f} tokens/s", f"{format_duration(left)} left"]  # fmt: skip
        parts += [f"{cost:.2f} paid"] if cost else []
        parts += [f"{name} {count}" for name, count in sorted((told or {}).items()) if name != "answered"]
        line = "  ".join(parts)
        end = "\n" if not self.live or self.done == self.total else ""
        print(f"\r\x1b[K{line}" if self.live else line, end=end, file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        print(f"\nnote: {text}" if self.live else f"note: {text}", file=sys.stderr, flush=True)


class IdenticalSamplesCheck:
    """Says it where the first prompts' samples are all alike: some servers take no notice of a temperature."""

    LOOKED = 16  # prompts

    def __init__(self, settings: SamplingConfig, progress: SamplingProgress):
        self.settings, self.progress = settings, progress
        self.seen = self.alike = 0

    def add(self, groups: CompletionGroups) -> None:
        """Look at some groups of samples."""
        asked = self.settings.engine == "openai" and self.settings.samples > 1 and self.settings.temperature > 0
        if not asked or self.seen >= self.LOOKED:
            return
        texts = [{sample.text for sample in group} for group in groups if group[0].text]
        self.seen += len(texts)
        self.alike += sum(len(different) == 1 for different in texts)
        if self.seen >= self.LOOKED and self.alike == self.seen:
            same = f"the {self.settings.samples} samples of each prompt are equal"
            self.progress.note(
                f"{same}, at temperature {self.settings.temperature}; `transformers serve` samples only if the model's "
                "generation_config.json has do_sample: true"
            )
