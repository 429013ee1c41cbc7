"""Turn samples into rows: compute the rewards of completions and the verdict of each row."""

from collections.abc import Sequence
from typing import Any

from r1kit.answers.extract import parse_completion
from r1kit.recipe import ModelConfig, RewardConfig
from r1kit.rewards import FAULT
from r1kit.rewards.binding import bind_reward
from r1kit.rewards.registry import RewardFunction
from r1kit.rows import CARRIED_COLUMNS, Row
from r1kit.sampling.engine import CompletionGroups, SampledCompletion


def score_samples(
    unit: dict[str, list[Any]],
    prompts: Sequence[Any],
    groups: CompletionGroups,
    functions: Sequence[RewardFunction],
    model: ModelConfig,
    seed: int,
) -> list[Row]:
    """Return a row for each sample of a unit (columns of problems, and their prompts as asked), with its rewards."""
    columns = {
        name: [v for v, group in zip(values, groups, strict=True) for _ in group]
        for name, values in {**unit, "prompt": prompts}.items()
    }
    given = [question for question, group in zip(unit["prompt"], groups, strict=True) for _ in group]
    samples = [s for group in groups for s in group]
    numbers = [n for group in groups for n in range(len(group))]
    scores = compute_rewards([s.text for s in samples], [_ids(s) for s in samples], columns, functions)
    rows = []
    for i, sample in enumerate(samples):
        rows.append(
            {
                "id": columns["id"][i],
                "prompt": given[i],
                "completion": sample.text,
                **{n: _text(columns[n][i]) for n in CARRIED_COLUMNS if n in columns},
                **row_verdict({name: values[i] for name, values in scores.items()}),
                **({"correct": None, "fault": True} if sample.finish_reason in ("failed", "refused") else {}),
                "domain": columns["domain"][i],
                "thinking": columns["thinking"][i],
                "thinks": parse_completion(sample.text).thinks,
                "target_language": columns["language"][i],
                "tokens": sample.tokens,
                "prompt_tokens": sample.prompt_tokens,
                "finish_reason": sample.finish_reason,
                "logprob": sample.logprob,
                "model": model.path,
                "seed": seed,
                "sample": numbers[i],
            }
        )
    return rows


def compute_rewards(
    completions: list[str], ids: list[Any], columns: dict[str, list[Any]], functions: Sequence[RewardFunction]
) -> dict[str, Sequence[float | None]]:
    """Return each reward's values of completions, whose problems stand in `columns`."""
    more = {k: v for k, v in columns.items() if k != "prompt"}
    given = {**more, "completions": completions, "prompts": columns["prompt"], "completion_ids": ids}
    return {f.__name__: f(**given) for f in functions}


def row_verdict(given: dict[str, float | None]) -> Row:
    """Return a row's reward columns, and whether it is right, or has no verdict."""
    accuracy = given.get("accuracy")
    return {
        **{n: (None if v == FAULT else v) for n, v in given.items()},
        "fault": FAULT in given.values(),
        "correct": None if accuracy in (None, FAULT) else accuracy == 1.0,
    }


def _ids(sample: SampledCompletion) -> Sequence[int]:
    """Return a sample's ids; where the engine gives none, as many numbers, since rewards count them."""
    return sample.ids or range(sample.tokens)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def bind_rewards(entries: Sequence[RewardConfig]) -> list[RewardFunction]:
    """Return the functions of reward entries."""
    return [bind_reward(entry, i) for i, entry in enumerate(entries)]
