"""Turn samples into rows: compute the rewards of completions and the verdict of each row.

Example:

    functions = bind_rewards(recipe.rewards)
    rows = score_samples(problems, prompts, groups, functions, recipe.model, seed=1)
    rows[0]["correct"], rows[0]["accuracy"]
"""

from collections.abc import Iterable, Sequence
from typing import Any

from r1kit.answers.extract import parse_completion
from r1kit.recipe import ModelConfig, RewardConfig
from r1kit.rewards import FAULT
from r1kit.rewards.binding import bind_reward
from r1kit.rewards.registry import RewardFunction
from r1kit.rows import CARRIED_COLUMNS, Row
from r1kit.sampling.engine import CompletionGroups, Prompt, SampledCompletion

# A server gave no completion for these reasons, so the sample says nothing about the model.
SERVER_FAULTS = ("failed", "refused")


def bind_rewards(entries: Sequence[RewardConfig]) -> list[RewardFunction]:
    """Return the reward functions of a recipe's `rewards:` entries, with their settings bound."""
    return [bind_reward(entry, index) for index, entry in enumerate(entries)]


def score_samples(
    problems: dict[str, list[Any]],
    prompts: Sequence[Prompt],
    groups: CompletionGroups,
    functions: Sequence[RewardFunction],
    model_config: ModelConfig,
    seed: int,
) -> list[Row]:
    """Return a row with rewards for each sample of a batch.

    `problems` are the batch's problems as columns, `prompts` the same prompts as the model saw them, `groups` the
    samples of each. The rows stand in the order of the groups.
    """
    # Repeat each problem's values once for each of its samples.
    problem_of_sample = [index for index, group in enumerate(groups) for _ in group]
    columns = {name: [values[index] for index in problem_of_sample] for name, values in problems.items()}
    question_of_sample = columns["prompt"]
    columns["prompt"] = [prompts[index] for index in problem_of_sample]

    samples = [sample for group in groups for sample in group]
    number_in_group = [number for group in groups for number in range(len(group))]
    ids = [_ids_or_length(sample) for sample in samples]
    rewards = compute_rewards([sample.text for sample in samples], ids, columns, functions)
    rows = []
    for i, sample in enumerate(samples):
        row: Row = {"id": columns["id"][i], "prompt": question_of_sample[i], "completion": sample.text}
        for name in CARRIED_COLUMNS:
            if name in columns:
                row[name] = _text_or_none(columns[name][i])
        row |= row_verdict({name: values[i] for name, values in rewards.items()})
        if sample.finish_reason in SERVER_FAULTS:
            row |= {"correct": None, "fault": True}
        row |= {
            "domain": columns["domain"][i],
            "thinking": columns["thinking"][i],
            "thinks": parse_completion(sample.text).thinks,
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


def problem_columns(rows: Iterable[Row], problems: dict[str, dict[str, Any]]) -> dict[str, list[Any]]:
    """Return the problems that rows belong to as columns, one value for each row."""
    problem_of_row = [problems[row["id"]] for row in rows]
    return {name: [problem[name] for problem in problem_of_row] for name in problem_of_row[0]}


def row_verdict(rewards: dict[str, float | None]) -> Row:
    """Return the columns of a row that follow from its rewards.

    `correct` is None if the reward `accuracy` does not apply or could not be computed; `fault` is true if any reward
    could not be computed. A reward that is FAULT is written as None.
    """
    verdict: Row = {name: None if value == FAULT else value for name, value in rewards.items()}
    verdict["fault"] = FAULT in rewards.values()
    accuracy = rewards.get("accuracy")
    verdict["correct"] = None if accuracy in (None, FAULT) else accuracy == 1.0
    return verdict


def _ids_or_length(sample: SampledCompletion) -> Sequence[int]:
    """Return a sample's ids or, if the engine returns none, as many numbers: rewards only count them."""
    return sample.ids or range(sample.tokens)


def _text_or_none(value: Any) -> str | None:
    return None if value is None else str(value)
