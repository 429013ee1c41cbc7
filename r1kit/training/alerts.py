"""What can be known to go wrong while a training goes on, said the moment it can be known, once each."""

import json
import math
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

FLAT = 20  # steps without any difference in reward
CUT, OFTEN = 5, 0.5  # steps, and the share of completions that were cut off in each
GROWN = 3.0  # times the length of the first steps
DRIFT = 0.15  # of language consistency, below its best
BURST = 20.0  # times the median so far
FIRST = 5  # steps that tell how it was in the beginning


def find_alerts(history: dict[str, list[float]], every: int = 1) -> dict[str, str]:
    """Return what is wrong by its name, of the values of each metric so far, with what can be done about it.

    A value is of `every` steps.
    """
    found: dict[str, str] = {}

    def last(name: str, steps: int) -> list[float]:
        values, count = history.get(name, []), -(-steps // every)
        return values[-count:] if len(values) >= count else []

    zero = last("frac_reward_zero_std", FLAT)
    if zero and min(zero) >= 1.0:
        level = history["reward"][-1]
        found["reward"] = (
            f"in {max(FLAT, every)} steps no group had two different rewards (all {level:.3g}): nothing is learnt: "
            "look at completions/, choose easier or harder problems, or rewards that differ"
        )
    form = last("rewards/format/mean", FLAT)
    if form and max(history["rewards/format/mean"]) == 0.0:
        found["format"] = (
            f"not one completion of {max(FLAT, every)} steps had the format: the prompt must ask for it, or the model "
            "must have been fine-tuned on it"
        )
    cut = last("completions/clipped_ratio", CUT)
    if cut and min(cut) > OFTEN:
        found["cut"] = (
            f"over {OFTEN:.0%} of the completions of the last {max(CUT, every)} steps were cut off, and have no answer "
            "then: raise sampling.max_tokens"
        )
    length = history.get("completions/mean_length", [])
    if len(length) > 2 * FIRST and statistics.mean(length[-FIRST:]) > GROWN * statistics.mean(length[:FIRST]):
        found["length"] = (
            f"completions are {GROWN:g} times as long as in the first steps: thinking, where accuracy grows too, and "
            "rambling where it does not (rewards cosine or length)"
        )
    language = history.get("rewards/language/mean", [])
    if len(language) > 2 * FIRST:
        best = max(statistics.mean(language[i : i + FIRST]) for i in range(len(language) - FIRST + 1))
        if statistics.mean(language[-FIRST:]) < best - DRIFT:
            found["language"] = (
                f"language consistency is {DRIFT:g} below its best: raise the weight of the reward language"
            )
    for name, least, do in (
        ("kl", 1.0, "lower training.learning_rate or raise training.kl"),
        ("grad_norm", 1.0, "lower training.learning_rate"),
    ):
        values = history.get(name, [])
        before = [value for value in values[:-1] if value > 0]  # groups without a signal have no gradient at all
        usual = statistics.median(before) if len(before) >= 2 * FIRST else math.inf
        if values and values[-1] > max(least, BURST * usual):
            found[name] = f"{name} is {values[-1]:.3g}, {BURST:g} times what it was: {do}"
    return found


class AlertCallback(TrainerCallback):
    """Warn of each problem once, on stderr and in `warnings_file`; raise FloatingPointError for NaN and infinities.

    Each line of the file is a JSON object with the keys step, name and text; `r1kit report` shows them.
    """

    def __init__(self, stage: str, warnings_file: Path):
        self.stage = stage
        self.warnings_file = warnings_file
        self.history: dict[str, list[float]] = defaultdict(list)
        self.said: set[str] = set()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A resumed run has what it logged before."""
        for line in state.log_history:
            self._keep(line)

    def _keep(self, logs: dict[str, Any]) -> None:
        for name, value in logs.items():
            if isinstance(value, int | float) and math.isfinite(value):
                self.history[name].append(float(value))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Have a log before every checkpoint: what is saved is then known to have numbers."""
        if control.should_save:
            control.should_log = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        numbers = {k: float(v) for k, v in (logs or {}).items() if isinstance(v, int | float)}
        for name in ("loss", "grad_norm", "kl"):
            scaled = args.fp16 and name == "grad_norm"  # which overflows by design: such a step is left out
            if name in numbers and not math.isfinite(numbers[name]) and not scaled:
                raise FloatingPointError(f"{name} is {numbers[name]}")
        self._keep(numbers)
        if not state.is_world_process_zero:
            return
        for name, text in find_alerts(self.history, int(args.logging_steps)).items():
            if name not in self.said:
                self.said.add(name)
                print(f"warning: {self.stage}, step {state.global_step}: {text}", file=sys.stderr, flush=True)
                with open(self.warnings_file, "a") as file:
                    file.write(json.dumps({"step": state.global_step, "name": name, "text": text}) + "\n")
