"""Turn samples into rows: compute the rewards of completions and the verdict of each row.

Example:

    functions = bind_rewards(recipe.rewards)
    rows = score_samples(problems, prompts, groups, functions, recipe.model, seed=1)
    rows[0]["correct"], rows[0]["accuracy"]
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from r1kit.answers.extract import parse_completion, read_answer
from r1kit.answers.vote_clusters import row_checker
from r1kit.completions import CompletionGroups, Prompt, SampledCompletion
from r1kit.data.exact_json import dump_json
from r1kit.recipe import ModelConfig, RewardConfig
from r1kit.recipe.rewards import Answers
from r1kit.rewards import FAULT
from r1kit.rewards.binding import bind_reward
from r1kit.rewards.registry import RewardFunction
from r1kit.rows import CARRIED_COLUMNS, COLUMNS, Row, select_from_columns

# A server gave no completion for these reasons, so the sample says nothing about the model.
SERVER_FAULTS = ("failed", "refused")


def bind_rewards(entries: Sequence[RewardConfig], answers: Answers | None = None) -> list[RewardFunction]:
    """Return the reward functions of a recipe's `rewards:` entries, with their settings and its `answers` bound."""
    return [bind_reward(entry, index, answers) for index, entry in enumerate(entries)]


def score_samples(
    problems: dict[str, list[Any]],
    prompts: Sequence[Prompt],
    groups: CompletionGroups,
    functions: Sequence[RewardFunction],
    model_config: ModelConfig,
    seed: int,
    answers: Answers = "any",
) -> list[Row]:
    """Return a row with rewards for each sample of a batch.

    `problems` are the batch's problems as columns, `prompts` the same prompts as the model saw them, `groups` the
    samples of each. `answers` says which forms of an answer were read. The rows stand in the order of the groups.
    """
    samples: list[SampledCompletion] = []
    problem_of_sample: list[int] = []
    number_in_group: list[int] = []
    for problem_index, group in enumerate(groups):
        samples += group
        problem_of_sample += [problem_index] * len(group)
        number_in_group += range(len(group))

    # Rewards take one value for each completion, so each problem's values are repeated for its samples.
    columns = select_from_columns(problems, problem_of_sample)
    question_of_sample = columns["prompt"]
    columns["prompt"] = [prompts[index] for index in problem_of_sample]
    columns["finish_reason"] = [sample.finish_reason for sample in samples]
    # An engine that returns no ids still tells their number, which is all that rewards use.
    ids = [sample.ids or range(sample.tokens) for sample in samples]
    rewards = compute_rewards([sample.text for sample in samples], ids, columns, functions)

    # The user's own columns; a reward or a described column of the same name comes after them.
    own_columns = [name for name in columns if name not in COLUMNS]
    rows = []
    for i, sample in enumerate(samples):
        row: Row = {"id": columns["id"][i], "prompt": question_of_sample[i], "completion": sample.text}
        for name in CARRIED_COLUMNS:
            if name in columns:
                row[name] = _carried_value(name, columns[name][i])
        for name in own_columns:
            value = columns[name][i]
            row[name] = dump_json(value) if isinstance(value, list | dict) else value
        row |= row_verdict(rewards, i)
        # Rewards judge the empty text as wrong, but the model never answered.
        if sample.finish_reason in SERVER_FAULTS:
            row |= {"correct": None, "fault": True}
        row |= {
            "domain": columns["domain"][i],
            "thinking": columns["thinking"][i],
            **_read_columns(row, sample.text, sample.finish_reason, answers),
            "target_language": columns["language"][i],
            "tokens": sample.tokens,
            "prompt_tokens": sample.prompt_tokens,
            "finish_reason": sample.finish_reason,
            "logprob": sample.mean_logprob,
            "model": model_config.path,
            "seed": seed,
            "sample": number_in_group[i],
        }
        rows.append(row)
    return rows


def _carried_value(name: str, value: Any) -> Any:
    """Return the value of one of CARRIED_COLUMNS: as text where that is the column's type, so in all shards."""
    if value is None or (COLUMNS[name].type == "text or number" and isinstance(value, str | int | float)):
        return value
    return str(value)


def _read_columns(row: Row, completion: str, finish_reason: str, answers: Answers) -> Row:
    """Return the columns of a row that say what was read in its completion."""
    read = read_answer(completion, row_checker(row), answers, is_cut=finish_reason == "length")
    return {"thinks": parse_completion(completion).thinks, "answer_form": read.form, "parsed_answer": read.text}


def compute_rewards(
    completions: list[str],
    completion_ids: list[Any],
    columns: dict[str, list[Any]],
    functions: Sequence[RewardFunction],
) -> dict[str, Sequence[float | None]]:
    """Return the values of each reward, by its name.

    `columns` describe the problem of each completion; the column `prompt` holds the prompts.
    """
    arguments = {name: values for name, values in columns.items() if name != "prompt"}
    arguments |= {"completions": completions, "prompts": columns["prompt"], "completion_ids": completion_ids}
    return {function.__name__: function(**arguments) for function in functions}


def row_verdict(rewards: Mapping[str, Sequence[float | None]], index: int) -> Row:
    """Return the columns of a row that follow from its rewards: the values of `rewards` at `index`.

    `correct` is None if the reward `accuracy` does not apply or could not be computed; `fault` is true if any reward
    could not be computed. A reward that is FAULT is written as None.
    """
    verdict: Row = {}
    has_fault = False
    for name, values in rewards.items():
        value = values[index]
        if value == FAULT:
            has_fault = True
            value = None
        verdict[name] = value
    verdict["fault"] = has_fault
    accuracy = verdict.get("accuracy")
    verdict["correct"] = None if accuracy is None else accuracy == 1.0
    return verdict


@dataclass(frozen=True)
class NewCompletion:
    """A row, and the completion that replaces the one it has."""

    row: Row
    completion: str
    tokens: int
    finish_reason: str


def rescore_rows(
    changed: Sequence[NewCompletion],
    problems: Mapping[str, Mapping[str, Any]],
    functions: Sequence[RewardFunction],
    answers: Answers = "any",
) -> list[Row]:
    """Return rows with their new completions, scored again. `problems` are their problems by id, for the rewards."""
    if not changed:
        return []
    columns: dict[str, list[Any]] = {name: [] for name in problems[changed[0].row["id"]]}
    for new in changed:
        for name, values in columns.items():
            values.append(problems[new.row["id"]][name])
    columns["finish_reason"] = [new.finish_reason for new in changed]
    ids = [range(new.tokens) for new in changed]  # rewards only use their number
    rewards = compute_rewards([new.completion for new in changed], ids, columns, functions)
    rows = []
    for i, new in enumerate(changed):
        row = {
            **new.row,
            "completion": new.completion,
            **row_verdict(rewards, i),
            **_read_columns(new.row, new.completion, new.finish_reason, answers),
            "tokens": new.tokens,
            "finish_reason": new.finish_reason,
            "logprob": None,  # the model did not sample this completion as a whole
        }
        rows.append(row)
    return rows
