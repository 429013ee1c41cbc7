"""Rejection sampling: which samples `generate` keeps, and what each filter dropped."""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from r1kit.prompts import read
from r1kit.recipe import Filters
from r1kit.rewards.language import share

Row = dict[str, Any]


def chain(keep: Filters) -> dict[str, Callable[[Row], bool]]:
    """Return the filters that a recipe asks for, by name, in their order; true keeps a row."""
    filters: dict[str, Callable[[Row], bool]] = {}
    if keep.finished:
        filters["truncated"] = lambda row: row["finish_reason"] == "stop"
    if keep.correct:
        filters["incorrect"] = lambda row: bool(row["correct"])
    if keep.format:
        filters["format"] = lambda row: read(row["completion"]).well_formed(row["thinking"])
    if keep.language > 0:
        filters["mixed_language"] = lambda row: share(_thinking(row), row["target_language"]) >= keep.language
    if keep.max_repetition < 1:
        filters["repetition"] = lambda row: repetition(row["completion"]) <= keep.max_repetition
    if keep.max_paragraph:
        longest = keep.max_paragraph
        filters["long_paragraph"] = lambda row: all(len(p) <= longest for p in _thinking(row).split("\n"))
    if not keep.code_blocks:
        filters["code_block"] = lambda row: "```" not in _thinking(row)
    return filters


def _thinking(row: Row) -> str:
    return read(row["completion"]).thinking or ""


def repetition(text: str, n: int = 4) -> float:
    """Return the share of the word n-grams of `text` that stood before in it."""
    words = re.findall(r"\w+|[^\w\s]", text)
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def select(rows: list[Row], keep: Filters) -> tuple[list[Row], dict[str, Any]]:
    """Return the rows to keep, and the drop report: counts and an example for each filter."""
    report: dict[str, Any] = {"sampled": len(rows), "dropped": {}, "examples": {}}

    def drop(name: str, gone: list[Row]) -> None:
        report["dropped"][name] = len(gone)
        if gone:
            report["examples"][name] = {k: gone[0][k] for k in ("prompt", "completion")}

    if faulty := [r for r in rows if r.get("fault")]:  # no verdict could be had: neither right nor wrong
        drop("fault", faulty)
        rows = [r for r in rows if not r.get("fault")]
    low, high = keep.pass_rate
    if (low, high) != (0.0, 1.0):
        tried, right = Counter(r["id"] for r in rows), Counter(r["id"] for r in rows if r["correct"])
        inside = {i for i in tried if low <= right[i] / tried[i] <= high}
        drop("pass_rate", [r for r in rows if r["id"] not in inside])
        rows = [r for r in rows if r["id"] in inside]
    for name, test in chain(keep).items():
        verdicts = [test(row) for row in rows]
        drop(name, [r for r, ok in zip(rows, verdicts, strict=True) if not ok])
        rows = [r for r, ok in zip(rows, verdicts, strict=True) if ok]
    if keep.per_prompt:
        rows, surplus = _limit(rows, keep.per_prompt, keep.prefer)
        drop("per_prompt", surplus)
    report["kept"] = len(rows)
    return rows, report


def _limit(rows: list[Row], count: int, prefer: str) -> tuple[list[Row], list[Row]]:
    """Keep `count` different completions a prompt."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["id"], []).append(row)
    kept: list[Row] = []
    surplus: list[Row] = []
    for group in groups.values():
        if prefer == "shortest":
            group = sorted(group, key=lambda r: r["tokens"])
        seen: set[str] = set()
        for row in group:
            new = row["completion"] not in seen and len(seen) < count
            seen |= {row["completion"]} if new else set()
            (kept if new else surplus).append(row)
    return kept, surplus
