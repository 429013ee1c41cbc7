"""Every rollout of a training, in `completions/` as Parquet, one file a generation.

TRL keeps the newest completions in a deque and writes them when it logs, which loses most of them. A
file here bears the step that it was generated for, so that a resumed run writes the same files again.
"""

import math
from typing import Any


def rollout_rows(
    logs: dict[str, Any], count: int, group_size: int, step: int, weights: dict[str, float]
) -> list[dict[str, Any]]:
    """Return the newest `count` rollouts of TRL's logs, each with its group, rewards and advantage."""

    def newest(values: Any) -> list[Any]:
        return list(values)[-count:]

    columns = {"prompt": newest(logs["prompt"]), "completion": newest(logs["completion"])}
    columns |= {name: newest(values) for name, values in logs["extra"].items()}
    scores = {name: newest(values) for name, values in logs["rewards"].items()}
    advantages = newest(logs["advantages"])
    rows = []
    for i in range(len(columns["prompt"])):
        row: dict[str, Any] = {"step": step, "group": i // group_size}
        row |= {name: _plain(values[i]) for name, values in columns.items()}
        given = {name: (None if math.isnan(values[i]) else values[i]) for name, values in scores.items()}
        row |= given
        judged = [weights[n] * v for n, v in given.items() if v is not None]
        row["reward"] = sum(judged) if judged else None
        row["advantage"] = advantages[i]
        rows.append(row)
    return rows


def _plain(value: Any) -> Any:
    """Return chat messages as their last content."""
    return value[-1]["content"] if isinstance(value, list) else value
