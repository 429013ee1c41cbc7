"""Warnings about what goes wrong in a training, printed at the step at which it can be known, and once each.

`find_alerts` looks at the metrics so far, without a trainer:

    find_alerts({"kl": [0.01] * 20 + [1.5]})
    {"kl": "kl is 1.5, more than 20 times its median of 0.01: lower training.learning_rate or raise training.kl"}
"""

import math
import statistics
from collections import defaultdict
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from r1kit.messages import logger, training_step

FLAT_REWARD_STEPS = 20
"""Steps in a row without any difference in reward, or without any format reward, that make a warning."""
CUT_OFF_STEPS = 5
"""Steps in a row of which each must have too many completions that were cut off."""
MAX_CUT_OFF_FRACTION = 0.5
"""The fraction of a step's completions above which too many were cut off."""
LENGTH_GROWTH = 3.0
"""How many times as long as at first completions must be to make a warning."""
MAX_LANGUAGE_DROP = 0.15
"""How far language consistency, between 0 and 1, may fall below its best."""
BURST_FACTOR = 20.0
"""How many times its median so far the KL or the gradient's norm must be to make a warning."""
MIN_BURST_VALUE = 1.0
"""A KL or gradient norm that is no warning by itself, whatever it was before."""
AVERAGED_VALUES = 5
"""Values of a metric that are averaged, at the beginning and at the end; and half the values that a median needs."""

History = dict[str, list[float]]


def find_alerts(history: History, steps_per_value: int = 1) -> dict[str, str]:
    """Return what is going wrong, and what can be done about it, by the name of the alert.

    `history` has the values of each metric so far, each of `steps_per_value` optimizer steps.
    """
    alerts = {
        "reward": _flat_reward(history, steps_per_value),
        "format": _missing_format(history, steps_per_value),
        "cut": _cut_off_completions(history, steps_per_value),
        "length": _growing_completions(history),
        "language": _mixed_language(history),
        "kl": _burst(history, "kl", "lower training.learning_rate or raise training.kl"),
        "grad_norm": _burst(history, "grad_norm", "lower training.learning_rate"),
    }
    return {name: text for name, text in alerts.items() if text}


def _last_values(history: History, metric: str, steps: int, steps_per_value: int) -> list[float]:
    """Return the values of the last `steps` steps, none where there were fewer steps."""
    values = history.get(metric, [])
    count = math.ceil(steps / steps_per_value)
    return values[-count:] if len(values) >= count else []


def _flat_reward(history: History, steps_per_value: int) -> str:
    flat_fractions = _last_values(history, "frac_reward_zero_std", FLAT_REWARD_STEPS, steps_per_value)
    if not flat_fractions or min(flat_fractions) < 1.0:
        return ""
    return (
        f"in {max(FLAT_REWARD_STEPS, steps_per_value)} steps no group had two different rewards (all "
        f"{history['reward'][-1]:.3g}), so that nothing is learnt: look at completions/, choose easier or harder "
        "problems, or rewards that differ"
    )


def _missing_format(history: History, steps_per_value: int) -> str:
    enough_steps = _last_values(history, "rewards/format/mean", FLAT_REWARD_STEPS, steps_per_value)
    if not enough_steps or max(history["rewards/format/mean"]) > 0.0:
        return ""
    return (
        f"not one completion of {max(FLAT_REWARD_STEPS, steps_per_value)} steps had the format: ask for it in the "
        "prompt, or fine-tune the model on it first"
    )


def _cut_off_completions(history: History, steps_per_value: int) -> str:
    fractions = _last_values(history, "completions/clipped_ratio", CUT_OFF_STEPS, steps_per_value)
    if not fractions or min(fractions) <= MAX_CUT_OFF_FRACTION:
        return ""
    return (
        f"over {MAX_CUT_OFF_FRACTION:.0%} of the completions of the last {max(CUT_OFF_STEPS, steps_per_value)} steps "
        "were cut off before they had an answer: raise sampling.max_tokens"
    )


def _growing_completions(history: History) -> str:
    lengths = history.get("completions/mean_length", [])
    if len(lengths) <= 2 * AVERAGED_VALUES:
        return ""
    first_mean = statistics.mean(lengths[:AVERAGED_VALUES])
    if statistics.mean(lengths[-AVERAGED_VALUES:]) <= LENGTH_GROWTH * first_mean:
        return ""
    return (
        f"completions are {LENGTH_GROWTH:g} times as long as in the first steps: if accuracy does not grow with them, "
        "add the reward cosine or length"
    )


def _mixed_language(history: History) -> str:
    values = history.get("rewards/language/mean", [])
    if len(values) <= 2 * AVERAGED_VALUES:
        return ""
    means = []
    for start in range(len(values) - AVERAGED_VALUES + 1):
        means.append(statistics.mean(values[start : start + AVERAGED_VALUES]))
    if means[-1] >= max(means) - MAX_LANGUAGE_DROP:
        return ""
    return f"language consistency is {MAX_LANGUAGE_DROP:g} below its best: raise the weight of the reward language"


def _burst(history: History, metric: str, action: str) -> str:
    values = history.get(metric, [])
    # A step in which no group has a signal has no gradient at all, and says nothing about what is usual.
    earlier = [value for value in values[:-1] if value > 0]
    usual = statistics.median(earlier) if len(earlier) >= 2 * AVERAGED_VALUES else math.inf
    if not values or values[-1] <= max(MIN_BURST_VALUE, BURST_FACTOR * usual):
        return ""
    return f"{metric} is {values[-1]:.3g}, more than {BURST_FACTOR:g} times its median of {usual:.3g}: {action}"


class AlertCallback(TrainerCallback):
    """Warns of each alert once; raises FloatingPointError for NaN and infinities.

    The warnings of a run are kept in its directory (r1kit.runs.warning_log), and `r1kit report` shows them.
    """

    def __init__(self, stage: str):
        self.stage = stage
        self.history: History = defaultdict(list)
        self.printed: set[str] = set()  # names of alerts

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take over what a resumed run has logged before."""
        for logs in state.log_history:
            self._remember(logs)

    def _remember(self, logs: dict[str, Any]) -> None:
        for name, value in logs.items():
            if isinstance(value, int | float) and math.isfinite(value):
                self.history[name].append(float(value))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Have a log before each checkpoint, so that no checkpoint is saved of weights that are not numbers."""
        if control.should_save:
            control.should_log = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        logs = logs or {}
        for name in ("loss", "grad_norm", "kl"):
            # In float16 the gradient overflows by design: the scaler then leaves out the step and lowers the scale.
            may_overflow = args.fp16 and name == "grad_norm"
            value = logs.get(name)
            if isinstance(value, int | float) and not math.isfinite(value) and not may_overflow:
                raise FloatingPointError(f"{name} is {float(value)}")
        self._remember(logs)
        if not state.is_world_process_zero:
            return
        for name, text in find_alerts(self.history, int(args.logging_steps)).items():
            if name not in self.printed:
                self.printed.add(name)
                training_step.number = state.global_step
                recorded = {"warning_name": name, "warning_text": text}
                logger.warning(f"{self.stage}, step {state.global_step}: {text}", extra=recorded)
