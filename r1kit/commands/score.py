"""The reward lab: score saved completions with any rewards, outside of training."""

import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from r1kit.answers.extract import completion_text, parse_completion
from r1kit.errors import UserError
from r1kit.recipe import RewardConfig
from r1kit.rewards import FAULT
from r1kit.rewards.binding import bind_reward
from r1kit.rewards.checks import check_reward_columns, check_reward_rows
from r1kit.runs.files import write_file


def score_file(file: str, names: Sequence[str], output: str | None) -> None:
    """Score the rows of a JSONL file; write them with a column a reward, and a table to stderr.

    Raises UserError for a file or a row that cannot be read, and for a missing column.
    """
    rows = _read(file)
    entries = [RewardConfig(name=name.strip()) for name in names]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    check_reward_columns(entries, columns, file)
    check_reward_rows(entries, {name: [row.get(name) for row in rows] for name in columns}, file)
    scored = score_rows(rows, entries, columns)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in scored)
    if output is None:
        sys.stdout.write(text)
    else:
        try:
            write_file(Path(output), text)
        except OSError as error:
            raise UserError("--output", output, "must be a file that can be written", error.strerror or "") from None
        print(output)
    given = [bind_reward(e).__name__ for e in entries]
    print(_table(scored, given), file=sys.stderr)
    for warning in reward_warnings(scored, given):
        print(f"note: {warning}", file=sys.stderr)


def score_rows(
    rows: list[dict[str, Any]], entries: Sequence[RewardConfig], columns: Sequence[str]
) -> list[dict[str, Any]]:
    """Return `rows` with a column for each reward; a fault is the text "fault"."""
    values = {name: [row.get(name) for row in rows] for name in columns}
    if "target_language" in values:  # rows that generate made, in which `language` is a score
        values["language"] = values.pop("target_language")
    completions, prompts = values.pop("completion"), values.pop("prompt", [""] * len(rows))
    ids = values.pop("completion_ids", None) or [str(c).split() for c in completions]
    scored = [dict(row) for row in rows]
    for index, entry in enumerate(entries):
        function = bind_reward(entry, index)
        scores = function(completions=completions, prompts=prompts, completion_ids=ids, **values)
        for row, value in zip(scored, scores, strict=True):
            row[function.__name__] = "fault" if value == FAULT else value
    return scored


def _read(file: str) -> list[dict[str, Any]]:
    try:
        lines = Path(file).read_text().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError("FILE", file, "must be a JSONL file that can be read", str(error)) from None
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError("FILE", f"{file}:{number}", "must be JSON", str(error)) from None
        if not isinstance(row, dict) or not isinstance(row.get("completion"), str | list):
            raise UserError("FILE", f"{file}:{number}", "needs a key completion", "add it")
        rows.append(row)
    if not rows:
        raise UserError("FILE", file, "has no rows", "give at least one")
    return rows


def reward_warnings(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> list[str]:
    """Return what would waste a run with scored `rows` and these rewards."""
    found = []
    prompts = [str(row["prompt"]) for row in rows if row.get("prompt")]
    if "format" in names and prompts and not any("<think>" in p or "<answer>" in p for p in prompts):
        found.append("no prompt asks for <think> and <answer>, which format looks for: the template must")
    for name in names:
        values = [row[name] for row in rows]
        numbers = {v for v in values if isinstance(v, int | float)}
        if not numbers:
            found.append(f"{name} applies to no row")
        elif len(numbers) == 1 and len(values) > 1:
            found.append(f"{name} is {numbers.pop():g} for every row: there is nothing to learn from it")
        if faults := values.count("fault"):
            found.append(f"{name} has no verdict on {faults} of {len(rows)} rows: gold answers or tests are broken")
    found += _alike(rows, names)
    cut = sum(_cut(row) for row in rows)
    if cut:
        found.append(f"{cut} of {len(rows)} completions end before an answer: give them more tokens")
    return found


def _alike(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> list[str]:
    """Say how many prompts have several completions of the same total reward: GRPO learns nothing from those."""
    groups: dict[str, set[float]] = {}
    sizes: dict[str, int] = {}
    for row in rows:
        key = json.dumps(row.get("prompt"), sort_keys=True, default=str)
        total = sum(v for name in names if isinstance(v := row[name], int | float))
        groups.setdefault(key, set()).add(total)
        sizes[key] = sizes.get(key, 0) + 1
    several = [key for key, size in sizes.items() if size > 1]
    alike = sum(len(groups[key]) == 1 for key in several)
    if not alike or len(several) < 2:
        return []
    return [f"{alike} of {len(several)} prompts have completions of one total reward: they teach nothing"]


def _cut(row: dict[str, Any]) -> bool:
    """Whether a completion ended at its limit, or in the middle of its thinking or its answer."""
    if row.get("finish_reason") is not None:
        return row["finish_reason"] == "length"
    tags = parse_completion(completion_text(row["completion"])).tags
    return any(tags.count(f"<{name}>") > tags.count(f"</{name}>") for name in ("think", "answer"))


def _table(rows: list[dict[str, Any]], names: Sequence[str]) -> str:
    lines = [f"{'reward':<16}{'mean':>8}{'min':>8}{'max':>8}{'none':>6}{'fault':>6}"]
    for name in names:
        values = [row[name] for row in rows]
        numbers = [v for v in values if isinstance(v, int | float)]
        shown = (statistics.fmean(numbers), min(numbers), max(numbers)) if numbers else ()
        cells = "".join(f"{v:8.3f}" for v in shown) or f"{'-':>8}{'-':>8}{'-':>8}"
        lines.append(f"{name:<16}{cells}{values.count(None):>6}{values.count('fault'):>6}")
    return "\n".join(lines)
