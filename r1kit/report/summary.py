"""Say in sentences what the runs of a page trained, what came of it, and what to be careful about.

summarise_runs(runs)["results"]   # ["On 532 held-out questions, base answers 61.7% correctly, ..."]
"""

from collections.abc import Sequence
from statistics import mean
from typing import Any

from r1kit.tables import format_duration

RunData = dict[str, Any]

MAX_NAMED_MODELS = 3  # an evaluation of more models says only how many
STEPS_AT_EACH_END = 5  # of a training, averaged for "from ... to ..."
MANY_TRUNCATED = 0.1  # fraction of an evaluated model's completions
MANY_DROPPED = 0.9  # fraction of the rows that a stage sampled or read
ON_POLICY = "on-policy"  # the key of a `distill` that has a teacher
STAGE_SENTENCES = {
    "rl-zero": "reinforcement learning on {model} alone, without fine-tuning first, on problems from {data}",
    "rl": "reinforcement learning on {model}, on problems from {data}",
    "sft": "supervised fine-tuning of {model} on {data}",
    "reward-model": "a reward model trained from {model} on pairs of completions from {data}",
    "distill": "distillation: supervised fine-tuning of the smaller model {model} on {data}",
    ON_POLICY: "on-policy distillation: {model} learns from its own answers to problems of {data}",
    "generate": "completions of {model} for problems from {data}, sampled and filtered",
    "data": "rows prepared from {data}",
    "verifier": "a verifier trained on the layers of {model}, with problems from {data}",
    "eval": "evaluation of {model} on {data}",
}


def summarise_runs(runs: Sequence[RunData]) -> dict[str, list[Any]]:
    """Return the summary: `totals`, `stages` (each with its run), `results` and `warnings`, as lists of sentences."""
    return {
        "totals": describe_totals(runs),
        "stages": [{"run": run["name"], "text": describe_stage(run)} for run in runs],
        "results": describe_results(runs),
        "warnings": describe_warnings(runs),
    }


def describe_totals(runs: Sequence[RunData]) -> list[str]:
    """Return how many runs there are, from which base models, and how much they trained."""
    base_sizes: dict[str, int | None] = {}
    for run in runs:
        if run["method"]:
            for parent in run["parents"]:
                if parent["role"] == "model" and not parent["run"]:
                    base_sizes[parent["path"]] = parent["parameters"]
    sentences = []
    if base_sizes:
        bases = []
        for name, size in base_sizes.items():
            bases.append(f"{name} ({format_count(size)} parameters)" if size else name)
        sentences.append(f"Trained from {join_words(bases)}.")
    trainings = [run for run in runs if run["method"]]
    if trainings:
        steps = sum(steps_of_run(run) for run in trainings)
        text = f"{count_words(len(trainings), 'training run')}, {steps:,} optimizer steps"
        tokens = sum(run["tokens"] or 0 for run in trainings)
        if tokens:
            text += f", {format_count(tokens)} tokens"
        sentences.append(text + ".")
    seconds = sum(run["seconds"] or 0 for run in runs)
    if seconds:
        sentences.append(f"All {count_words(len(runs), 'run')} together took {format_duration(seconds)}.")
    return sentences


def steps_of_run(run: RunData) -> int:
    """Return the optimizer steps of a training: all of a finished one, those logged so far of another."""
    if run["steps"]:
        return int(run["steps"])
    logged_steps = run["curves"].get("step") or [0]
    return int(logged_steps[-1])


def describe_stage(run: RunData) -> str:
    """Return what one run did, in a sentence without its name."""
    models = parent_names(run, ("model",))
    model_words = join_words(models)
    if len(models) > MAX_NAMED_MODELS:
        model_words = f"{len(models)} models"
    data_words = join_words(parent_names(run, ("data",)))
    kind = ON_POLICY if run["method"] == "distill" else run["stage"]
    sentence = STAGE_SENTENCES.get(kind, "a run").format(
        model=model_words or "a new model", data=data_words or "no data"
    )
    teachers = parent_names(run, ("teacher",))
    if teachers:
        sentence += f", with {join_words(teachers)} as the teacher"
    reward_models = parent_names(run, ("reward_model",))
    if reward_models:
        sentence += f", with the reward model {join_words(reward_models)}"
    if run["steps"]:
        sentence += f"; {run['steps']:,} steps"
    if run["rows"] is not None and run["samples"]:
        sentence += f"; {run['rows']:,} of {run['samples']:,} kept"
    elif run["rows"] is not None:
        sentence += f"; {run['rows']:,} rows"
    return sentence if run["status"] == "finished" else f"{sentence} ({run['status'] or 'status unknown'})"


def describe_results(runs: Sequence[RunData]) -> list[str]:
    """Return the accuracy from each base model to its last and best descendant, or else from first to last steps."""
    sentences = []
    for run in runs:
        if run["ladder"]:
            sentences += describe_ladder(run, runs)
    if sentences:
        return sentences
    for run in runs:
        accuracy = [value for value in run["curves"].get("rewards/accuracy/mean", []) if value is not None]
        if len(accuracy) >= 2:
            count = min(STEPS_AT_EACH_END, len(accuracy) // 2)
            first, last = percent(mean(accuracy[:count])), percent(mean(accuracy[-count:]))
            sentences.append(
                f"While {run['name']} trained, the accuracy of its own samples went from {first} to {last} "
                f"(means of the first and last {count} steps). Only `r1kit eval` measures it on held-out questions."
            )
    return sentences


def describe_ladder(evaluation: RunData, runs: Sequence[RunData]) -> list[str]:
    """Return, for each base model that an evaluation measured, what its descendants answer correctly."""
    runs_by_name = {run["name"]: run for run in runs}
    sentences = []
    for base, rows in group_by_base(evaluation, runs).items():
        untrained = find_untrained(rows, base)
        trained = [row for row in rows if row["run"] is not None]
        if untrained is None or not trained:
            sentences += [f"{row['model']} answers {accuracy_words(row)} correctly." for row in rows]
            continue
        # The last by date: a chain of stages ends in the model that it was made for.
        last = max(trained, key=lambda row: str(runs_by_name[row["run"]]["started"]))
        best = max(trained, key=lambda row: row["statistics"]["pass@1"])
        text = f"{untrained['model']} answers {accuracy_words(untrained)} correctly"
        questions = untrained["statistics"].get("questions")
        if questions:
            text = f"On {questions:,} held-out questions, {text}"
        text += f", and {last['model']}, the last model trained from it, {accuracy_words(last)}"
        if best is not last and best["statistics"]["pass@1"] > last["statistics"]["pass@1"]:
            text += f"; the best is {best['model']}, with {accuracy_words(best)}"
        sentences.append(text + ".")
    return sentences


def group_by_base(evaluation: RunData, runs: Sequence[RunData]) -> dict[str, list[RunData]]:
    """Return the evaluated models that have an accuracy, by the path of the base model that they were trained from."""
    runs_by_name = {run["name"]: run for run in runs}
    rows_by_base: dict[str, list[RunData]] = {}
    for row in evaluation["ladder"]:
        if row["statistics"]["pass@1"] is None:  # no completion has a verdict
            continue
        rows_by_base.setdefault(base_model(row, runs_by_name), []).append(row)
    return rows_by_base


def find_untrained(rows: Sequence[RunData], base_path: str) -> RunData | None:
    """Return the row of the base model itself; None where it was not evaluated."""
    for row in rows:
        if row["run"] is None and row["path"] == base_path:
            return row
    return None


def base_model(row: RunData, runs_by_name: dict[str, RunData]) -> str:
    """Return the path of the base model that an evaluated model was trained from, through all its trainings."""
    path, run_name = row["path"], row["run"]
    while run_name is not None:
        parents = runs_by_name[run_name]["parents"]
        model = next((parent for parent in parents if parent["role"] == "model"), None)
        if model is None:  # the run made a new model
            break
        path, run_name = model["path"], model["run"]
    return str(path)


def describe_warnings(runs: Sequence[RunData]) -> list[str]:
    """Return what a reader should be careful about: warnings while training, unfinished runs, faults, losses."""
    sentences = []
    for run in runs:
        if run["status"] in ("failed", "killed", "interrupted"):
            sentences.append(f"{run['name']} did not finish: it was {run['status']}.")
        for warning in run["warnings"]:
            sentences.append(describe_warning(run, warning))
        sentences += describe_drops(run)
        for row in run["ladder"] or []:
            sentences += describe_ladder_faults(row)
        if run["ladder"]:
            sentences += describe_regressions(group_by_base(run, runs))
    return sentences


def describe_warning(run: RunData, warning: RunData) -> str:
    """Return a warning of a run, with its first step and how often it came."""
    where = run["name"] if warning.get("step") is None else f"{run['name']}, step {warning['step']}"
    count = warning.get("count") or 1
    often = f" ({count:,} times)" if count > 1 else ""
    return f"{where}: {warning.get('text')}{often}"


def describe_drops(run: RunData) -> list[str]:
    """Return a warning where a stage that makes data kept very little of it."""
    total, kept_count = run["samples"], run["rows"]
    if not total or kept_count is None or kept_count > (1 - MANY_DROPPED) * total:
        return []
    return [f"{run['name']} kept only {kept_count:,} of {total:,} completions; see Data for the reasons."]


def describe_ladder_faults(row: RunData) -> list[str]:
    """Return what limits the figures of one evaluated model."""
    statistics, sentences = row["statistics"], []
    if row.get("faults"):
        sentences.append(f"{row['model']}: {row['faults']} completions have no verdict and were left out.")
    if statistics.get("unanswered"):
        sentences.append(
            f"{row['model']}: {statistics['unanswered']} samples have no answer, as the question did not fit the "
            "context; they count as wrong."
        )
    if (statistics.get("truncated") or 0) > MANY_TRUNCATED:
        fraction = percent(statistics["truncated"])
        sentences.append(f"{row['model']}: {fraction} of its completions were cut off at the token limit.")
    return sentences


def describe_regressions(rows_by_base: dict[str, list[RunData]]) -> list[str]:
    """Return in which domains trained models are worse than their base model, by more than both 95% intervals."""
    sentences = []
    for base_path, rows in rows_by_base.items():
        untrained = find_untrained(rows, base_path)
        if untrained is None:
            continue
        for domain, before in (untrained["statistics"].get("domains") or {}).items():
            worse = []
            for row in rows:
                after = (row["statistics"].get("domains") or {}).get(domain)
                if row["run"] is not None and after and is_clearly_worse(before, after):
                    worse.append(f"{row['model']} ({percent(after['pass@1'])})")
            if worse:
                on_domain = f"On {domain} questions" if domain else "On all questions"
                verb, its = "answer", "their"
                if len(worse) == 1:
                    verb, its = "answers", "its"
                sentences.append(
                    f"{on_domain}, {join_words(worse)} {verb} fewer correctly than {untrained['model']}, "
                    f"{its} base model ({percent(before['pass@1'])})."
                )
    return sentences


def is_clearly_worse(before: RunData, after: RunData) -> bool:
    """Return whether an accuracy is lower than another by more than half of both 95% intervals."""
    if before.get("pass@1") is None or after.get("pass@1") is None:
        return False
    margin = (before.get("interval") or 0) + (after.get("interval") or 0)
    return bool(after["pass@1"] < before["pass@1"] - margin)


def parent_names(run: RunData, roles: Sequence[str]) -> list[str]:
    """Return the names of a run's parents in these roles: of runs their names, of others their paths."""
    return list(dict.fromkeys(parent["run"] or parent["path"] for parent in run["parents"] if parent["role"] in roles))


def accuracy_words(row: RunData) -> str:
    """Return an evaluated model's accuracy with half its 95% interval, such as `61.7% (±3.5)`."""
    accuracy = percent(row["statistics"]["pass@1"])
    interval = row["statistics"].get("interval")
    if interval is None:
        return accuracy
    return f"{accuracy} (±{100 * interval:.1f})"


def percent(fraction: float) -> str:
    """Return a fraction as percent with one decimal."""
    return f"{100 * fraction:.1f}%"


def format_count(count: int) -> str:
    """Return a large number in short: 985,344 as 985K."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if count >= 0.9995 * size:  # 999,600 is 1M, not 1000K
            return f"{count / size:.3g}{letter}"
    return str(count)


def count_words(count: int, noun: str) -> str:
    """Return a number with its noun, such as `1 run` or `12 runs`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def join_words(words: Sequence[str]) -> str:
    """Return words as a list in a sentence: `a, b and c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
