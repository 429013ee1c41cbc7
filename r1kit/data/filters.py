"""Rejection sampling: which samples are kept, and what each filter dropped.

Rows come in whole groups (all samples of a prompt), one shard after the other, so that no more than a shard is in
memory.
"""

import math
import re
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from r1kit.answers.extract import parse_completion
from r1kit.languages.detect import language_fraction
from r1kit.languages.words import word_scripts
from r1kit.recipe import PREFERENCES, FiltersConfig
from r1kit.rows import Row

DropReport = dict[str, Any]

EXAMPLES = 3
EVERY_PASS_RATE = (0.0, 1.0)  # pass rates
NO_ANSWER_FILTER = ("context", "refused", "failed")  # reasons of a sample that has no completion


def build_filters(keep: FiltersConfig) -> dict[str, Callable[[Row], bool]]:
    """Return the filters that a recipe asks for, by name, in their order; true keeps a row."""
    filters: dict[str, Callable[[Row], bool]] = {}
    if keep.finished:
        filters["truncated"] = lambda row: row["finish_reason"] == "stop"
    if keep.correct:
        filters["incorrect"] = lambda row: bool(row["correct"])
    if keep.format:
        filters["format"] = lambda row: parse_completion(row["completion"]).well_formed(row["thinking"])
    if keep.language > 0:
        filters["mixed_language"] = lambda row: (
            language_fraction(_thinking(row), row["target_language"]) >= keep.language
        )
    if keep.max_repetition < 1:
        filters["repetition"] = lambda row: repeated_ngram_fraction(row["completion"]) <= keep.max_repetition
    if keep.max_paragraph:
        longest = keep.max_paragraph
        filters["long_paragraph"] = lambda row: all(len(p) <= longest for p in _thinking(row).split("\n"))
    if not keep.code_blocks:
        filters["code_block"] = lambda row: "```" not in _thinking(row)
    if low := keep.min_tokens:
        filters["too_short"] = lambda row: row["tokens"] >= low
    if high := keep.max_tokens:
        filters["too_long"] = lambda row: row["tokens"] <= high
    if most := keep.max_thinking:
        filters["long_thinking"] = lambda row: len(word_scripts(_thinking(row))) <= most
    return filters


def _thinking(row: Row) -> str:
    return parse_completion(row["completion"]).thinking or ""


def repeated_ngram_fraction(text: str, n: int = 4) -> float:
    """Return the share of the word n-grams of `text` that stood before in it."""
    grams = _grams(text, n)
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def _grams(text: str, n: int) -> list[tuple[str, ...]]:
    said = re.findall(r"\w+|[^\w\s]", text)
    return [tuple(said[i : i + n]) for i in range(len(said) - n + 1)]


def ids_within_pass_rate(rows: list[Row], pass_rate: tuple[float, float], by: str = "correct") -> set[str]:
    """Return the ids of the prompts whose share of right samples lies within; those without a verdict do not count.

    `by` names the column that tells: `correct`, or a reward, whose mean it is then, where it applies; prompts to which
    it does not apply lie within.
    """
    judged = [r for r in rows if not r.get("fault") and r.get("finish_reason") not in NO_ANSWER_FILTER]
    values: dict[str, list[float]] = defaultdict(list)
    for row in judged:
        values[row["id"]] += [] if row[by] is None and by != "correct" else [float(row[by] or 0.0)]
    rates = {name: sum(given) / len(given) if given else None for name, given in values.items()}
    return {name for name, rate in rates.items() if rate is None or pass_rate[0] <= rate <= pass_rate[1]}


class RowFilter:
    """Filters rows, shard by shard, and keeps the drop report: counts and examples for each filter."""

    def __init__(self, keep: FiltersConfig):
        self.keep = keep
        self.report: DropReport = {"sampled": 0, "dropped": {}, "examples": {}, "kept": 0}
        self.chain = build_filters(keep)
        names = [*(["pass_rate"] if keep.pass_rate != EVERY_PASS_RATE else []), *self.chain]
        self.report["dropped"] = dict.fromkeys([*names, *(["per_prompt"] if keep.per_prompt else [])], 0)

    def __call__(self, rows: list[Row]) -> list[Row]:
        """Return the rows to keep, of some whole groups."""
        keep = self.keep
        self.report["sampled"] += len(rows)
        rows = self._part(rows, "unanswered", lambda r: r.get("finish_reason") not in NO_ANSWER_FILTER)
        rows = self._part(rows, "fault", lambda r: not r.get("fault"))  # no verdict: neither right nor wrong
        if keep.pass_rate != EVERY_PASS_RATE:
            taken = ids_within_pass_rate(rows, keep.pass_rate, keep.pass_rate_by or "correct")
            rows = self._part(rows, "pass_rate", lambda r: r["id"] in taken)
        for name, test in self.chain.items():
            rows = self._part(rows, name, test)
        if keep.per_prompt:
            chosen = {id(row) for row in _limit(rows, keep.per_prompt, keep.prefer)}
            rows = self._part(rows, "per_prompt", lambda r: id(r) in chosen)
        self.report["kept"] += len(rows)
        return rows

    def drop(self, name: str, rows: list[Row], came_through: bool = True) -> None:
        """Count rows as dropped by something else: by what comes later where they came through here, or before."""
        self.report["kept" if came_through else "sampled"] += -len(rows) if came_through else len(rows)
        if rows:
            self._note(name, rows)

    def _part(self, rows: list[Row], name: str, test: Callable[[Row], bool]) -> list[Row]:
        verdicts = [test(row) for row in rows]
        gone = [row for row, ok in zip(rows, verdicts, strict=True) if not ok]
        if gone:
            self._note(name, gone)
        return [row for row, ok in zip(rows, verdicts, strict=True) if ok] if gone else rows

    def _note(self, name: str, gone: list[Row]) -> None:
        self.report["dropped"][name] = self.report["dropped"].get(name, 0) + len(gone)
        shown = self.report["examples"].setdefault(name, [])
        for row in gone[: EXAMPLES - len(shown)]:
            shown.append({k: row[k] for k in ("prompt", "completion")})
        if not shown:
            del self.report["examples"][name]


def filter_rows(rows: list[Row], keep: FiltersConfig) -> tuple[list[Row], DropReport]:
    """Return the rows to keep of all rows at once, and the drop report."""
    sieve = RowFilter(keep)
    return sieve(rows), sieve.report


def _limit(rows: list[Row], count: int, prefer: str) -> list[Row]:
    """Return at most `count` different completions of each prompt."""
    groups: dict[str, dict[str, Row]] = {}
    for row in rows:
        groups.setdefault(row["id"], {}).setdefault(row["completion"], row)
    kept: list[Row] = []
    for group in groups.values():
        different = list(group.values())
        if prefer == "shortest":
            different.sort(key=lambda r: r["tokens"])
        elif prefer not in PREFERENCES:
            different.sort(key=lambda r: -math.inf if r[prefer] is None else r[prefer], reverse=True)
        kept += _diverse(different, count) if prefer == "diverse" else different[:count]
    return kept


def _diverse(rows: list[Row], count: int) -> list[Row]:
    """Return the first row, then again and again the one whose word 3-grams are the least like any chosen one's."""
    left = [(row, set(_grams(row["completion"], 3))) for row in rows]
    chosen = [left.pop(0)]
    while left and len(chosen) < count:
        alike = [max(_alike(grams, other) for _, other in chosen) for _, grams in left]
        chosen.append(left.pop(alike.index(min(alike))))
    return [row for row, _ in chosen]


def _alike(one: set[Any], other: set[Any]) -> float:
    return len(one & other) / (len(one | other) or 1)


def format_drop_report(report: DropReport, first: str = "sampled") -> str:
    """Return a drop report as text, a line a filter."""
    lines = [f"{first:>16} {report[first]:8d}"]
    lines += [f"{name:>16} {-count:8d}" for name, count in report["dropped"].items()]
    return "\n".join([*lines, f"{'kept':>16} {report['kept']:8d}"])
