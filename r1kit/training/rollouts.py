"""Every rollout of a training, in `completions/` as Parquet, one file for each generation.

TRL keeps only the newest completions, in a deque, and writes them when it logs, which loses most of them. The files
here are named by the step that they were generated for, so that a resumed run writes the same files again.
"""

import json
import math
from pathlib import Path
from typing import Any

import torch

from r1kit.answers.extract import completion_text
from r1kit.data.writing.parquet import write_parquet
from r1kit.rows import PROBLEM, ROLLOUT, Row, columns_of
from r1kit.runs.run import Run
from r1kit.training.tool_calls import count_own_tokens

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


def write_generation(
    trainer: Any, completion_ids: list[list[int]], tool_mask: list[list[int]] | None, run: Run
) -> None:
    """Write the rollouts that a GRPOTrainer has just logged; all ranks call this, the main one writes.

    `completion_ids` and `tool_mask` (0 for tokens that a tool returned) are those of this process.
    """
    # Lengths are not those of TRL's mask, in which a completion that was cut may have no token at all.
    endings = []
    own_tokens = count_own_tokens(completion_ids, tool_mask)
    for ids, token_count in zip(completion_ids, own_tokens, strict=True):
        endings.append((token_count, int(bool(ids) and ids[-1] in trainer.eos_token_ids)))
    endings_of_all_ranks = trainer.accelerator.gather(torch.tensor(endings, device=trainer.accelerator.device))
    if not trainer.accelerator.is_main_process:
        return
    token_counts, is_finished = endings_of_all_ranks.unbind(dim=1)
    weights = dict(zip(trainer.reward_func_names, trainer.reward_weights.tolist(), strict=True))
    step = trainer.state.global_step + 1
    rows = rollout_rows(trainer._logs, len(token_counts), trainer.num_generations, step, weights)
    write_rollouts(rows, token_counts.tolist(), is_finished.tolist(), trainer.reward_func_names, run.path)


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
