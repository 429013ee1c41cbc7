"""Every rollout of a training, in `completions/` as Parquet, one file for each generation.

TRL keeps only the newest completions, in a deque, and writes them when it logs, which loses most of them. The files
here are named by the step that they were generated for, so that a resumed run writes the same files again.
"""

import json
import math
from pathlib import Path
from typing import Any

from r1kit.answers.extract import completion_text
from r1kit.data.writing.parquet import write_parquet
from r1kit.rows import PROBLEM, ROLLOUT, Row, columns_of

LOGGED_COLUMNS = tuple(name for name in columns_of(PROBLEM) if name != "prompt" and name in columns_of(ROLLOUT))
"""Columns of a problem that are kept with each of its rollouts: id, answer, checker, domain, question."""


def rollout_rows(
    logs: dict[str, Any], row_count: int, group_size: int, step: int, reward_weights: dict[str, float]
) -> list[Row]:
    """Return the newest `row_count` rollouts of TRL's logs, each with its group, its rewards and its advantage.

    `logs` is GRPOTrainer's `_logs`: prompts, completions, extra columns, rewards by name, and advantages, gathered from
    all ranks. `reward` is the weighted sum of the rewards that apply to a row, None if none does.
    """
    columns = {"prompt": logs["prompt"], "completion": logs["completion"], **logs["extra"]}
    columns = {name: _newest(values, row_count) for name, values in columns.items()}
    rewards = {name: _newest(values, row_count) for name, values in logs["rewards"].items()}
    advantages = _newest(logs["advantages"], row_count)
    rows = []
    for i in range(len(columns["prompt"])):
        row: Row = {"step": step, "group": i // group_size}
        for name, values in columns.items():
            row[name] = content_of(values[i])
        turns = turns_as_json(columns["completion"][i])
        if turns is not None:
            row["completion"], row["turns"] = completion_text(columns["completion"][i]), turns
        total = None
        for name, values in rewards.items():
            row[name] = None if math.isnan(values[i]) else values[i]
            if row[name] is not None:
                total = (total or 0.0) + reward_weights[name] * values[i]
        row["reward"] = total
        row["advantage"] = advantages[i]
        rows.append(row)
    return rows


def write_rollouts(
    rows: list[Row], token_counts: list[int], is_finished: list[bool], reward_names: list[str], run_path: Path
) -> None:
    """Write the rollouts of one step to `completions/step-N.parquet`, whole or not at all."""
    for row, token_count, finished in zip(rows, token_counts, is_finished, strict=True):
        row["tokens"] = token_count
        row["finish_reason"] = "stop" if finished else "length"
    path = run_path / "completions" / f"step-{rows[0]['step']:08d}.parquet"
    write_parquet(rows, path, [*reward_names, "reward"])


def turns_as_json(completion: Any) -> str | None:
    """Return the messages of a rollout with calls of tools as JSON; None for a completion of one turn."""
    if not isinstance(completion, list) or not any(message.get("tool_calls") for message in completion):
        return None
    return json.dumps(completion, ensure_ascii=False, default=str)


def _newest(values: Any, count: int) -> list[Any]:
    return list(values)[-count:]


def content_of(value: Any) -> Any:
    """Return chat messages as the content of the last one, any other value as it is."""
    return value[-1]["content"] if isinstance(value, list) else value
