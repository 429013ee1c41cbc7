"""Rejection sampling: decide which sampled rows are kept, and count what each filter drops.

    row_filter = RowFilter(recipe.keep, recipe.answers)
    for rows in shards:
        kept = row_filter.filter(rows)
    row_filter.report["dropped"]         # {"truncated": 12, "incorrect": 340, ...}

Rows come in whole groups (all samples of a prompt), one shard after another, so that no more than a shard is in memory.
DeepSeek-R1 dropped wrong answers, mixed languages, long paragraphs and code blocks (arXiv 2501.12948, B.3.3).
"""

import math
import re
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from r1kit.answers.extract import parse_completion
from r1kit.answers.forms import count_answer_forms
from r1kit.answers.thinking import split_thinking
from r1kit.answers.vote_clusters import voted_answer
from r1kit.languages.detect import UNKNOWN_LANGUAGE, language_fraction
from r1kit.languages.words import word_scripts
from r1kit.prompts import ANSWER_TAGS
from r1kit.recipe import PREFERENCES, FiltersConfig
from r1kit.recipe.rewards import Answers
from r1kit.rows import Row
from r1kit.tables import format_table

DropReport = dict[str, Any]
"""`sampled` (or `rows`, for `r1kit data`), `kept`, `answer_forms` (how many answers were read by which form), and by
filter, `dropped` (counts) and `examples` (prompts and completions, with the gold answer and the one that was read)."""

Predicate = Callable[[Row], bool]
Ngram = tuple[str, ...]

EXAMPLES_PER_FILTER = 3
EVERY_PASS_RATE = (0.0, 1.0)
"""The range of pass rates that drops no prompt."""
NO_ANSWER_FILTER = ("context", "refused", "failed")
"""Values of `finish_reason` of a sample without a completion: the server gave none."""
REPETITION_NGRAM_WORDS = 4
DIVERSITY_NGRAM_WORDS = 3


def build_filters(keep: FiltersConfig, answers: Answers = "tags") -> dict[str, Predicate]:
    """Return the filters of a recipe by name, in the order in which they are applied; true keeps a row.

    `answers` are the forms of an answer that the recipe reads: with others than `tags`, the filter `format` also keeps
    completions in the form of other reasoning models.
    """
    filters: dict[str, Predicate] = {}
    if keep.finished:
        filters["truncated"] = lambda row: row["finish_reason"] == "stop"
    if keep.correct:
        filters["incorrect"] = lambda row: bool(row["correct"])
    if keep.format:
        filters["format"] = lambda row: _has_form(row, answers)
    if keep.language > 0:
        filters["unknown_language"] = lambda row: row["target_language"] != UNKNOWN_LANGUAGE
        filters["mixed_language"] = lambda row: (
            language_fraction(_thinking_text(row), row["target_language"]) >= keep.language
        )
    if keep.max_repetition < 1:
        filters["repetition"] = lambda row: repeated_ngram_fraction(row["completion"]) <= keep.max_repetition
    if max_paragraph := keep.max_paragraph:
        filters["long_paragraph"] = lambda row: _longest_paragraph(row) <= max_paragraph
    if not keep.code_blocks:
        filters["code_block"] = lambda row: "```" not in _thinking_text(row)
    if min_tokens := keep.min_tokens:
        filters["too_short"] = lambda row: row["tokens"] >= min_tokens
    if max_tokens := keep.max_tokens:
        filters["too_long"] = lambda row: row["tokens"] <= max_tokens
    if max_thinking := keep.max_thinking:
        filters["long_thinking"] = lambda row: len(word_scripts(_thinking_text(row))) <= max_thinking
    return filters


def _has_form(row: Row, answers: Answers) -> bool:
    """Return whether a completion has R1's form, or, with other `answers` than `tags`, is a thinking and a reply.

    Reasoning models such as R1, QwQ and Qwen3 write no answer tags: their reply follows the thinking as it is.
    """
    parsed = parse_completion(row["completion"])
    if parsed.well_formed(row["thinking"]):
        return True
    if answers == "tags" or not set(ANSWER_TAGS).isdisjoint(parsed.tags):
        return False
    split = split_thinking(row["completion"])
    has_thinking = bool(split.thinking and split.thinking.strip())
    return has_thinking == row["thinking"] and bool(split.reply.strip())


def _thinking_text(row: Row) -> str:
    """Return the chain of thought of a row's completion, an empty text if it has none."""
    return parse_completion(row["completion"]).thinking or ""


def _longest_paragraph(row: Row) -> int:
    """Return the length in characters of the longest line of a row's chain of thought."""
    return max(len(paragraph) for paragraph in _thinking_text(row).split("\n"))


def repeated_ngram_fraction(text: str, n: int = REPETITION_NGRAM_WORDS) -> float:
    """Return the fraction of the word n-grams of `text` that have occurred in it before; 0 if it has none.

    `repeated_ngram_fraction("one two three four one two three four")` is 1/5: the last of five 4-grams is the first.
    """
    ngrams = _word_ngrams(text, n)
    return 1 - len(set(ngrams)) / len(ngrams) if ngrams else 0.0


def _word_ngrams(text: str, n: int) -> list[Ngram]:
    """Return the runs of `n` consecutive words of `text`; each punctuation mark is a word."""
    words = re.findall(r"\w+|[^\w\s]", text)
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def pass_rates(rows: list[Row], column: str = "correct") -> dict[str, float | None]:
    """Return the pass rate of each prompt by its id: the fraction of its samples that are correct.

    Samples that have no verdict do not count. If `column` is a reward, the rate is that reward's mean over the samples
    that it applies to. A prompt has the rate None if no sample counts, and none at all if its samples are all faults.
    """
    values_by_id: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row.get("fault") or row.get("finish_reason") in NO_ANSWER_FILTER:
            continue
        values = values_by_id[row["id"]]
        if row[column] is not None or column == "correct":
            values.append(float(row[column] or 0.0))
    return {prompt_id: sum(values) / len(values) if values else None for prompt_id, values in values_by_id.items()}


def ids_within_pass_rate(rows: list[Row], pass_rate: tuple[float, float], column: str = "correct") -> set[str]:
    """Return the ids of the prompts whose pass rate lies within `pass_rate`, both ends included.

    A prompt to which the reward `column` never applies lies within.
    """
    lowest, highest = pass_rate
    rates = pass_rates(rows, column)
    return {prompt_id for prompt_id, rate in rates.items() if rate is None or lowest <= rate <= highest}


class RowFilter:
    """Filters rows shard by shard, and keeps the drop report: counts and examples for each filter.

    The filters are applied in the order of the report: `unanswered` and `fault` always, then `pass_rate`, those of
    `build_filters`, and `per_prompt` last.
    """

    def __init__(self, keep: FiltersConfig, answers: Answers = "tags", total: str = "sampled"):
        """`total` is what the report calls the rows that are filtered: `sampled`, or `rows` that nobody sampled."""
        self.keep = keep
        self.answers = answers
        self.total = total
        self.filters = build_filters(keep, answers)
        names = list(self.filters)
        if keep.pass_rate != EVERY_PASS_RATE:
            names.insert(0, "pass_rate")
        if keep.per_prompt:
            names.append("per_prompt")
        self.report: DropReport = {total: 0, "dropped": dict.fromkeys(names, 0), "examples": {}, "kept": 0}
        self.report["answer_forms"] = {}

    def filter(self, rows: list[Row]) -> list[Row]:
        """Return the rows to keep of `rows`, which are whole groups, and count the others."""
        keep = self.keep
        self.report[self.total] += len(rows)
        self._count_answer_forms(rows)
        rows = self._apply("unanswered", rows, lambda row: row.get("finish_reason") not in NO_ANSWER_FILTER)
        # A row without a verdict is neither right nor wrong: it must not count towards a pass rate.
        rows = self._apply("fault", rows, lambda row: not row.get("fault"))
        # Before the other filters, since the pass rate of a prompt is that of all of its samples.
        if keep.pass_rate != EVERY_PASS_RATE:
            ids = ids_within_pass_rate(rows, keep.pass_rate, keep.pass_rate_by or "correct")
            rows = self._apply("pass_rate", rows, lambda row: row["id"] in ids)
        for name, is_kept in self.filters.items():
            rows = self._apply(name, rows, is_kept)
        if keep.per_prompt:
            # By the identity of the row: two samples of a prompt may have equal completions.
            preferred = {id(row) for row in _choose_per_prompt(rows, keep.per_prompt, keep.prefer)}
            rows = self._apply("per_prompt", rows, lambda row: id(row) in preferred)
        self.report["kept"] += len(rows)
        return rows

    def _count_answer_forms(self, rows: list[Row]) -> None:
        """Count by what the answers of rows were read, where that is known of them."""
        counts: dict[str, int] = self.report["answer_forms"]
        for form, count in count_answer_forms(rows).items():
            counts[form] = counts.get(form, 0) + count

    def record_drop(self, reason: str, rows: list[Row], after_filters: bool = True) -> None:
        """Count `rows` as dropped by something else than these filters.

        With `after_filters`, the rows have passed `filter` and no longer count as kept; without, they never came to
        `filter`, and count as sampled here.
        """
        if after_filters:
            self.report["kept"] -= len(rows)
        else:
            self.report[self.total] += len(rows)
            self._count_answer_forms(rows)
        if rows:
            self._count_dropped(reason, rows)

    def _apply(self, name: str, rows: list[Row], is_kept: Predicate) -> list[Row]:
        """Return the rows that one filter keeps, and count the others under its name."""
        kept_rows: list[Row] = []
        dropped: list[Row] = []
        for row in rows:
            (kept_rows if is_kept(row) else dropped).append(row)
        if dropped:
            self._count_dropped(name, dropped)
        return kept_rows

    def _count_dropped(self, name: str, rows: list[Row]) -> None:
        self.report["dropped"][name] = self.report["dropped"].get(name, 0) + len(rows)
        examples = self.report["examples"].setdefault(name, [])
        for row in rows[: EXAMPLES_PER_FILTER - len(examples)]:
            read_before = "parsed_answer" in row
            parsed_answer = row["parsed_answer"] if read_before else voted_answer(row, self.answers)
            example = {"prompt": row["prompt"], "completion": row["completion"]}
            examples.append({**example, "answer": row.get("answer"), "parsed_answer": parsed_answer})


def filter_rows(rows: list[Row], keep: FiltersConfig) -> tuple[list[Row], DropReport]:
    """Return the rows to keep of all `rows` at once, and the drop report."""
    row_filter = RowFilter(keep)
    return row_filter.filter(rows), row_filter.report


def _choose_per_prompt(rows: list[Row], count: int, prefer: str) -> list[Row]:
    """Return at most `count` different completions of each prompt, the preferred ones first.

    `prefer` is `first`, `shortest`, `diverse`, or the name of a reward, whose highest values are preferred.
    """
    groups: dict[str, dict[str, Row]] = {}  # by the prompt's id, then by completion
    for row in rows:
        groups.setdefault(row["id"], {}).setdefault(row["completion"], row)
    chosen: list[Row] = []
    for group in groups.values():
        candidates = list(group.values())
        if prefer == "diverse":
            chosen += _choose_diverse(candidates, count)
            continue
        if prefer == "shortest":
            candidates.sort(key=lambda row: row["tokens"])
        elif prefer not in PREFERENCES:
            # A row to which the reward does not apply comes last.
            candidates.sort(key=lambda row: -math.inf if row[prefer] is None else row[prefer], reverse=True)
        chosen += candidates[:count]
    return chosen


def _choose_diverse(rows: list[Row], count: int) -> list[Row]:
    """Return the first row, then again and again the one that is the least similar to any that is chosen already."""
    candidates = [(row, set(_word_ngrams(row["completion"], DIVERSITY_NGRAM_WORDS))) for row in rows]
    # Greedy: the best subset would need all pairs of all subsets.
    chosen = [candidates.pop(0)]
    while candidates and len(chosen) < count:
        similarities = []
        for _, ngrams in candidates:
            similarities.append(max(_jaccard(ngrams, chosen_ngrams) for _, chosen_ngrams in chosen))
        chosen.append(candidates.pop(similarities.index(min(similarities))))
    return [row for row, _ in chosen]


def _jaccard(first: set[Ngram], second: set[Ngram]) -> float:
    return len(first & second) / (len(first | second) or 1)


def format_drop_report(report: DropReport, total: str = "sampled") -> str:
    """Return a drop report as a table: the `total` (`sampled` or `rows`), what each filter dropped, and the rest."""
    lines: list[list[str | int]] = [[total, report[total]]]
    for name, count in report["dropped"].items():
        lines.append([name, -count])
    lines.append(["kept", report["kept"]])
    return format_table(["filter", "rows"], lines, right=["rows"])
