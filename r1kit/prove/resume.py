"""Does a killed training end as one that was not, and is every prompt trained as often as it should be?

At a random step the run's directory is copied as it lies on the disk, which is what a kill would leave. The copy is
resumed in the usual way, and must train the same rows to the same weights.
"""

import random
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from r1kit.prove.observe import Observer, greatest_difference
from r1kit.prove.table import Finding, judge

TOLERANCE = 1e-6
"""Greatest difference of a weight after a resume. On a CPU there is none."""


class Killer:
    """Copies a run's directory at a random step after its first checkpoint."""

    def __init__(self, run_dir: Path, copy_dir: Path, save_steps: int, steps: int, seed: int):
        self.run_dir, self.copy_dir = run_dir, copy_dir
        self.step = random.Random(seed).randint(min(save_steps + 1, steps - 1), steps - 1)

    def on_end_of_step(self, number: int) -> None:
        """Copy the directory if this is the step."""
        if number == self.step:
            shutil.rmtree(self.copy_dir, ignore_errors=True)
            shutil.copytree(self.run_dir, self.copy_dir, ignore=shutil.ignore_patterns(".lock"))


def check_resume(first: Observer, resumed: Observer, killed_at: int) -> Finding:
    """Return whether the resumed run trained the rows, and ended in the weights, of the first."""
    if not resumed.steps:
        return judge("resume", False, f"killed after step {killed_at}, the run trained no further step")
    difference = greatest_difference(_weights(first.trainer), _weights(resumed.trainer))
    expected = {step.number: Counter(step.keys) for step in first.steps}
    wrong = [step.number for step in resumed.steps if expected.get(step.number) != Counter(step.keys)]
    first_step = resumed.steps[0].number
    is_whole = [step.number for step in resumed.steps] == list(range(first_step, first.steps[-1].number + 1))
    is_on_time = first_step <= killed_at + 1
    figure = f"killed after step {killed_at}, resumed at {first_step}: weights differ by {difference:.1e}"
    if wrong:
        figure += f"; other rows in step {', '.join(map(str, wrong))}"
    elif not (is_whole and is_on_time):
        figure += "; steps are missing"
    else:
        figure += f", same rows in {len(resumed.steps)} steps"
    return judge("resume", not wrong and is_whole and is_on_time and difference <= TOLERANCE, figure)


def _weights(trainer: Any) -> dict[str, Any]:
    return dict(trainer.model.named_parameters())


def check_rows_trained(observer: Observer, truth: Mapping[tuple[int, ...], Any]) -> Finding:
    """Return whether fine-tuning trained each row of its data once in an epoch."""
    trained = [key for step in observer.steps for key in step.keys]
    if trained and not set(trained) <= set(truth):  # rows were cut or joined by packing
        data = Counter(tuple(ids) for ids in observer.trainer.train_dataset["input_ids"])
    else:
        data = observer.truth_counts
    return _judge_counts(trained, data, "rows")


def check_prompts_trained(observer: Observer, prompts: Sequence[tuple[int, ...]]) -> Finding:
    """Return whether RL sampled each prompt of its data once in an epoch, and trained each completion.

    `prompts` are the ids of the data's prompts.
    """
    trainer = observer.trainer
    group_size = getattr(trainer, "num_generations", 1)
    sampled: list[tuple[int, ...]] = []
    for generation in observer.generations:
        groups = [generation.rows[i : i + group_size] for i in range(0, len(generation.rows), group_size)]
        if any(len({prompt for prompt, _ in group}) > 1 for group in groups):
            return judge("prompts", False, f"a group of {group_size} completions has several prompts")
        sampled += [group[0][0] for group in groups]
    lost = _count_lost_completions(observer)
    if lost:
        return judge("prompts", False, f"{lost} completions are trained less, or more, often than num_iterations says")
    if getattr(trainer, "resample", 0):
        return judge("prompts", True, f"{len(sampled)} groups whole; sampling.resample draws further prompts")
    per_rollout = len(observer.generations[0].rows) // group_size
    return _judge_counts(sampled, Counter(prompts), "prompts", len(prompts) // per_rollout * per_rollout)


def _count_lost_completions(observer: Observer) -> int:
    """Return the number of completions that are not trained as often as `num_iterations` says."""
    trainer = observer.trainer
    if getattr(trainer, "mask_truncated_completions", False):
        return 0
    trained = Counter(key for step in observer.steps for key in step.keys)
    sampled: Counter[Any] = Counter()
    for generation in observer.generations:
        for row in generation.rows:
            sampled[row] += getattr(trainer, "num_iterations", 1)
    difference = (trained - sampled) + (sampled - trained)
    return sum(difference.values())


def _judge_counts(trained: Sequence[Any], data: Counter, unit: str, epoch: int | None = None) -> Finding:
    """Return whether each item of `data` is trained once in an epoch, which has `epoch` items (None: all)."""
    epoch = data.total() if epoch is None else epoch
    doubled, skipped = 0, 0
    for start in range(0, len(trained), max(1, epoch)):
        items = Counter(trained[start : start + epoch])
        doubled += (items - data).total()
        if items.total() == epoch == data.total():
            skipped += (data - items).total()
    figure = f"{len(trained)} {unit} of {data.total()} trained: "
    figure += "each once in an epoch" if not doubled + skipped else f"{doubled} doubled, {skipped} skipped in an epoch"
    return judge("prompts", bool(trained) and not doubled and not skipped, figure)
