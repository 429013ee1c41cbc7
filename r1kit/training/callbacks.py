"""What happens beside a training: metrics, progress, stopping, a longer completion."""

import math
import signal
import sys
import time
from typing import Any

import torch
from transformers import TrainerCallback

from r1kit.recipe import LengthStepConfig
from r1kit.runs.run import Run

PROGRESS_LINE_METRICS = (
    "loss",
    "reward",
    "rewards/accuracy/mean",
    "rewards/format/mean",
    "completions/mean_length",
    "eval_loss",
)


class MetricsCallback(TrainerCallback):
    """Each log becomes a line of metrics.jsonl, and now and then one on stderr, unless something else shows it."""

    def __init__(self, run: Run, stage: str, quiet: bool = False):
        self.run, self.stage, self.quiet = run, stage, quiet
        self.started = self.shown = time.time()
        self.first_step = 0

    def on_train_begin(self, args, state, control, **kwargs):
        self.first_step = state.global_step
        self.started = time.time()
        if state.is_world_process_zero:
            self.run.cut_metrics(state.global_step)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if not state.is_world_process_zero or not logs:
            return
        values = {k: v for k, v in logs.items() if not (isinstance(v, float) and math.isnan(v))}
        self.run.log({"step": state.global_step, "time": round(time.time(), 2), **values})
        if self.quiet or (time.time() - self.shown < 10 and state.global_step not in (1, state.max_steps)):
            return
        self.shown = time.time()
        done = state.global_step - self.first_step
        left = (self.shown - self.started) / max(1, done) * (state.max_steps - state.global_step)
        parts = [
            f"{k.split('/')[1] if '/' in k else k} {v:.3g}"
            for k in PROGRESS_LINE_METRICS
            if (v := values.get(k)) is not None
        ]
        line = f"{self.stage} {state.global_step}/{state.max_steps}  {'  '.join(parts)}  {left:.0f} s left"
        print(line, file=sys.stderr, flush=True)


class StopCallback(TrainerCallback):
    """SIGINT, SIGTERM or a file `stop` in the run end the training at the next step that can be resumed.

    All ranks agree on it. A second SIGINT in a single process ends it at once.
    """

    def __init__(self, run: Run, block: int = 1):
        self.run, self.block = run, block
        self.asked = self.stopped = False
        self.several = torch.distributed.is_available() and torch.distributed.is_initialized()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, number, frame):
        if self.asked and not self.several:
            raise KeyboardInterrupt
        self.asked = True
        print("stopping after this step; the state will be saved", file=sys.stderr, flush=True)

    def on_step_end(self, args, state, control, **kwargs):
        asked = self.asked or (self.run.path / "stop").exists()
        if self.several:
            flag = torch.tensor([int(asked)], device=args.device)
            torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
            asked = bool(flag.item())
        if asked and state.global_step % self.block == 0 and state.global_step < state.max_steps:
            self.stopped = True
            control.should_save = control.should_training_stop = True


class LengthScheduleCallback(TrainerCallback):
    """Completions may grow at given steps (the paper: 32k tokens, then 64k)."""

    def __init__(self, schedule: list[LengthStepConfig], trainer: Any):
        self.schedule = sorted(schedule, key=lambda s: s.from_step)
        self.trainer = trainer

    def on_step_begin(self, args, state, control, **kwargs):
        due = [s.max_tokens for s in self.schedule if state.global_step + 1 >= s.from_step]
        if due and due[-1] != self.trainer.max_completion_length:
            self.trainer.set_max_tokens(due[-1])
