"""What happens beside a training, as callbacks of transformers: metrics, stopping, and longer completions."""

import math
import signal
import time
from types import FrameType
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from r1kit.interrupts import is_new_signal
from r1kit.messages import logger, print_progress, training_step
from r1kit.recipe import LengthStepConfig
from r1kit.runs.run import Run
from r1kit.training.rollout_sampling import SampledSoFar

PROGRESS_LINE_METRICS = (
    "loss",
    "accuracy",
    "eval_accuracy",
    "reward",
    "rewards/accuracy/mean",
    "rewards/format/mean",
    "completions/mean_length",
    "eval_loss",
)
SECONDS_BETWEEN_PROGRESS_LINES = 10.0


class MetricsCallback(TrainerCallback):
    """Writes each log as a line of metrics.jsonl, and a line of progress to stderr now and then.

    The first and the last step have a line of progress, and between them there is one every ten seconds. There is none
    if `quiet`, which is set where a display shows the progress, and under `r1kit -q`.
    """

    def __init__(self, run: Run, stage: str, quiet: bool = False):
        self.run = run
        self.stage = stage
        self.quiet = quiet
        self.started = self.last_line_time = time.time()
        self.first_step = 0
        self.position = ""  # such as 3/100: the step that is being computed, and their number

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.first_step = state.global_step
        self.started = time.time()
        if state.is_world_process_zero:
            # A run that was killed may have logged steps after the checkpoint from which it now resumes.
            self.run.cut_metrics(state.global_step)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        training_step.number = state.global_step + 1
        self.position = f"{state.global_step + 1}/{state.max_steps}"

    def show_sampling(self, progress: SampledSoFar) -> None:
        """Print how far a rollout has come, if there was no line of progress for ten seconds."""
        now = time.time()
        if not self.quiet and now - self.last_line_time >= SECONDS_BETWEEN_PROGRESS_LINES:
            self.last_line_time = now
            print_progress(f"{self.stage} {self.position}  {progress}")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        training_step.number = None

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if not state.is_world_process_zero or not logs:
            return
        metrics = {}
        for name, value in logs.items():
            if not (isinstance(value, float) and math.isnan(value)):
                metrics[name] = value
        self.run.log({"step": state.global_step, "time": round(time.time(), 2), **metrics})
        is_summary = "train_runtime" in metrics  # TRL's last log has no metrics of a step
        if self.quiet or is_summary:
            return
        is_line_due = time.time() - self.last_line_time >= SECONDS_BETWEEN_PROGRESS_LINES
        if is_line_due or state.global_step in (1, state.max_steps):
            self.last_line_time = time.time()
            print_progress(self._progress_line(state, metrics))

    def _progress_line(self, state: TrainerState, metrics: dict[str, Any]) -> str:
        """Return such as `rl-zero 3/100  loss 0.5  accuracy 0.25  60 s left`."""
        steps_done = max(1, state.global_step - self.first_step)
        seconds_per_step = (time.time() - self.started) / steps_done
        seconds_left = seconds_per_step * (state.max_steps - state.global_step)
        columns = [f"{self.stage} {state.global_step}/{state.max_steps}"]
        for name in PROGRESS_LINE_METRICS:
            value = metrics.get(name)
            if value is not None:
                columns.append(f"{_short_name(name)} {value:.3g}")
        columns.append(f"{seconds_left:.0f} s left")
        return "  ".join(columns)


def _short_name(metric: str) -> str:
    """Return the middle of a name such as rewards/accuracy/mean, the end of completions/mean_length, else the name."""
    segments = metric.split("/")
    return segments[min(1, len(segments) - 1)]


class StopCallback(TrainerCallback):
    """Ends a training at the next step from which it can be resumed, after SIGINT, SIGTERM or a file named `stop`.

    All ranks agree on it. A second SIGINT ends a single process at once.
    """

    def __init__(self, run: Run, resume_interval: int = 1):
        """`resume_interval` is the number of steps between those from which a training can be resumed."""
        self.run = run
        self.resume_interval = resume_interval
        self.is_requested = False  # on this rank
        self.has_stopped = False
        self.is_distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signal_number, self._handle_signal)

    def _handle_signal(self, signal_number: int, frame: FrameType | None) -> None:
        if not is_new_signal():
            return
        if self.is_requested and not self.is_distributed:
            raise KeyboardInterrupt
        self.is_requested = True
        logger.info("the training stops after this step, and its state is saved")

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        is_requested = self.is_requested or (self.run.path / "stop").exists()
        if self.is_distributed:
            flag = torch.tensor([int(is_requested)], device=args.device)
            torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
            is_requested = bool(flag.item())
        can_resume_here = state.global_step % self.resume_interval == 0
        if is_requested and can_resume_here and state.global_step < state.max_steps:
            self.has_stopped = True
            control.should_save = True
            control.should_training_stop = True


class LengthScheduleCallback(TrainerCallback):
    """Raises the longest completion at the steps of a schedule (the paper: 32k tokens, then 64k)."""

    def __init__(self, schedule: list[LengthStepConfig], trainer: Any):
        self.schedule = sorted(schedule, key=lambda entry: entry.from_step)
        self.trainer = trainer

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        next_step = state.global_step + 1
        reached = [entry.max_tokens for entry in self.schedule if next_step >= entry.from_step]
        if reached and reached[-1] != self.trainer.max_completion_length:
            self.trainer.set_max_tokens(reached[-1])
