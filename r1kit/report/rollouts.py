"""Read the rollouts that runs keep, for the page of `r1kit report`.

A rollout set is the rollouts that belong together: those of one training, the samples of one `r1kit generate`, or the
samples of one model in `r1kit eval`. The page loads a few numbers of every rollout of a set at once (its columns), and
the texts of `ROLLOUTS_PER_CHUNK` rollouts at a time, when a reader opens one of them.

    for rollout_set in find_rollout_sets(Path("runs/my_zero"), "my_zero"):
        rollout_set.read_columns()
        rollout_set.columns["reward"]  # one number for each rollout
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from r1kit.rows import COLUMNS_BESIDE_REWARDS, Row
from r1kit.runs.reading import describe_damage, warn_of_damage

# A chunk is what the page decompresses to show one text: 256 texts take a few milliseconds.
ROLLOUTS_PER_CHUNK = 256
# About 20,000 files of one step each: a long training that `r1kit watch` follows is not read again at every look.
CACHED_FILES = 20_000
REWARD_DIGITS = 3  # what the page shows; more would only make the file larger

# Scripts by the number that stands in the column `script`; "other" is a text without letters of these scripts.
SCRIPTS = ("other", "Latin", "Arabic", "Han", "Cyrillic")
# One pattern a script: counting with compiled patterns is far quicker than looking up every letter.
SCRIPT_LETTERS = (
    re.compile("[A-Za-z]"),
    re.compile("[\u0600-\u06ff]"),
    re.compile("[\u3400-\u9fff]"),
    re.compile("[\u0400-\u04ff]"),
)
TAG = re.compile(r"</?\w+>")

# What a Parquet file raises that is cut short (Arrow's errors are ValueErrors and OSErrors) or has other columns.
DAMAGED_FILE_ERRORS = (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError)

# Verdicts in the column `correct`.
CORRECT, WRONG, NO_VERDICT = 1, 0, -1


class RolloutNumbers(NamedTuple):
    """What the page knows of a rollout before its text is loaded."""

    question_id: str
    step: int  # 0 outside a training
    group: int | None  # of a training: its number within the step
    reward: float | None
    correct: int  # CORRECT, WRONG or NO_VERDICT
    tokens: int
    script: int  # index in SCRIPTS


@dataclass
class RolloutSet:
    """Rollouts that belong together: their numbers in columns, and the files that hold their texts."""

    name: str
    run_name: str
    files: list[Path]
    kind: str
    """`training` or `samples`."""
    columns: dict[str, list[Any]] = field(default_factory=dict)
    """step, group, reward, correct, tokens, script and question, each with one value for each rollout."""
    question_ids: list[str] = field(default_factory=list)
    """The ids of the questions; the column `question` holds indices of this list."""
    rows_per_file: list[int] = field(default_factory=list)

    @property
    def count(self) -> int:
        """The number of rollouts, once the columns are read."""
        return len(self.columns["tokens"])

    def read_columns(self) -> None:
        """Read the numbers of all rollouts; files that are damaged are left out of `files`.

        Rollouts of a training are one group where they share a step and a group number; samples are one group where
        they share a question. The reward of a sample is the sum of its rewards.
        """
        columns: dict[str, list[Any]] = {
            "step": [],
            "group": [],
            "reward": [],
            "correct": [],
            "tokens": [],
            "script": [],
            "question": [],
        }
        # Numbers in place of ids and pairs: the page compares them quickly, and they compress well.
        question_indices: dict[str, int] = {}
        group_indices: dict[tuple[int, int | None], int] = {}
        self.rows_per_file = []
        files, self.files = self.files, []
        for file in files:
            try:
                rollouts = read_rollout_numbers(file, file.stat().st_mtime_ns)
            except DAMAGED_FILE_ERRORS as error:
                warn_of_damage(file, f"its rollouts cannot be read: {describe_damage(error)}")
                continue
            self.files.append(file)
            self.rows_per_file.append(len(rollouts))
            for rollout in rollouts:
                question = question_indices.setdefault(rollout.question_id, len(question_indices))
                group_key = (rollout.step, rollout.group) if self.kind == "training" else (question, None)
                columns["step"].append(rollout.step)
                columns["group"].append(group_indices.setdefault(group_key, len(group_indices)))
                columns["reward"].append(rollout.reward)
                columns["correct"].append(rollout.correct)
                columns["tokens"].append(rollout.tokens)
                columns["script"].append(rollout.script)
                columns["question"].append(question)
        self.columns, self.question_ids = columns, list(question_indices)

    def iterate_chunks(self) -> Iterator[list[dict[str, Any]]]:
        """Yield the texts of `ROLLOUTS_PER_CHUNK` rollouts at a time; see `rollout_texts`."""
        chunk: list[dict[str, Any]] = []
        for file in self.files:
            for row in pq.read_table(file).to_pylist():
                chunk.append(rollout_texts(row))
                if len(chunk) == ROLLOUTS_PER_CHUNK:
                    yield chunk
                    chunk = []
        if chunk:
            yield chunk

    def read_chunk(self, number: int) -> list[dict[str, Any]]:
        """Return the texts of chunk `number`, reading only the files that hold its rollouts."""
        start = number * ROLLOUTS_PER_CHUNK
        stop = start + ROLLOUTS_PER_CHUNK
        chunk: list[dict[str, Any]] = []
        file_start = 0
        for file, row_count in zip(self.files, self.rows_per_file, strict=True):
            if file_start >= stop:
                break
            if file_start + row_count > start:
                first_row = max(0, start - file_start)
                rows = pq.read_table(file).slice(first_row, stop - file_start - first_row).to_pylist()
                chunk += [rollout_texts(row) for row in rows]
            file_start += row_count
        return chunk


def find_rollout_sets(run_dir: Path, run_name: str) -> Iterator[RolloutSet]:
    """Yield the rollout sets of a run, their columns not yet read."""
    if files := sorted((run_dir / "completions").glob("*.parquet")):
        yield RolloutSet(run_name, run_name, files, "training")
    samples_dir = run_dir / "samples"
    if files := sorted(samples_dir.glob("*.parquet")):
        yield RolloutSet(run_name, run_name, files, "samples")
    manifests = sorted(samples_dir.glob("*/manifest.json"), key=lambda file: file.stat().st_mtime)  # as models were run
    for manifest in manifests:
        if files := sorted(manifest.parent.glob("*.parquet")):
            yield RolloutSet(f"{run_name}: {manifest.parent.name}", run_name, files, "samples")


@lru_cache(maxsize=CACHED_FILES)
def read_rollout_numbers(file: Path, modified_ns: int) -> list[RolloutNumbers]:
    """Return the numbers of the rollouts of a file; `modified_ns` makes the cache forget a file that changed."""
    with pq.ParquetFile(file) as parquet:
        return [rollout_numbers(row) for row in parquet.read().to_pylist()]


def rollout_numbers(row: Row) -> RolloutNumbers:
    """Return the numbers of one rollout."""
    return RolloutNumbers(
        question_id=row.get("id") or question_of_row(row),
        step=row.get("step") or 0,
        group=row.get("group"),
        reward=reward_of_row(row),
        correct=verdict_of_row(row),
        tokens=row.get("tokens") or 0,
        script=main_script(row["completion"] or ""),
    )


def reward_of_row(row: Row) -> float | None:
    """Return the reward of a rollout, of a sample the sum of its rewards; None where there is none."""
    reward = row.get("reward")
    if "reward" not in row:
        for score in rollout_rewards(row).values():
            if score is not None:
                reward = (reward or 0) + score
    if reward is None or not math.isfinite(reward):
        return None
    return round(reward, REWARD_DIGITS)


def verdict_of_row(row: Row) -> int:
    """Return CORRECT, WRONG or NO_VERDICT: by the column `correct`, in a training by an accuracy of 1."""
    correct = row.get("correct")
    if "correct" not in row and row.get("accuracy") is not None:
        correct = row["accuracy"] == 1.0
    if correct is None:
        return NO_VERDICT
    return CORRECT if correct else WRONG


def rollout_texts(row: Row) -> dict[str, Any]:
    """Return what the page shows of one opened rollout."""
    return {
        "question": question_of_row(row),
        "completion": text_of_turns(row["turns"]) if row.get("turns") else row["completion"] or "",
        "answer": row.get("answer"),
        "rewards": rollout_rewards(row),
        "finish_reason": row.get("finish_reason"),
        "domain": row.get("domain"),
    }


def text_of_turns(turns: str) -> str:
    """Return the turns of a rollout with tools as text: what the model wrote, its calls, and their results.

    >>> call = {"function": {"name": "python", "arguments": {"code": "print(6 * 7)"}}}
    >>> messages = [{"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "content": "42"}]
    >>> print(text_of_turns(json.dumps(messages)))
    [call of python] print(6 * 7)
    [result] 42
    """
    lines = []
    for message in json.loads(turns):
        if message["role"] == "tool":
            lines.append(f"[result] {message['content']}")
            continue
        if message.get("content"):
            lines.append(message["content"])
        for call in message.get("tool_calls") or []:
            function = call.get("function", call)
            arguments = function.get("arguments")
            values = arguments.values() if isinstance(arguments, dict) else [arguments]
            lines.append(f"[call of {function.get('name')}] {', '.join(map(str, values))}")
    return "\n".join(lines)


def question_of_row(row: Row) -> str:
    """Return the question of a rollout as text; of a chat, its last message."""
    question = row.get("question") or row.get("prompt") or ""
    return question if isinstance(question, str) else question[-1]["content"]


def rollout_rewards(row: Row) -> dict[str, float | None]:
    """Return the rewards of a rollout by their names; None where a reward does not apply to it."""
    rewards: dict[str, float | None] = {}
    for name, value in row.items():
        if name not in COLUMNS_BESIDE_REWARDS and (value is None or isinstance(value, float | int)):
            rewards[name] = value
    return rewards


def main_script(text: str) -> int:
    """Return the script of most letters of `text`, as an index in SCRIPTS; tags such as `<think>` do not count.

    >>> SCRIPTS[main_script("<think> 3 plus")]
    'Latin'
    """
    without_tags = TAG.sub("", text)
    counts = [len(letters.findall(without_tags)) for letters in SCRIPT_LETTERS]
    return counts.index(max(counts)) + 1 if any(counts) else 0
