"""Hygiene, offline: drop duplicates, and problems of benchmarks that a model will be evaluated on.

    kept, report = clean_problems(problems, HygieneConfig(exact=True, near=0.7, decontaminate=[...]))

`duplicates` finds near duplicates and `contamination` finds benchmark problems; both modules say how. A duplicate must
not only look like an earlier row but ask for the same answer: data sets made from templates are full of similar texts
that are different problems.
"""

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from r1kit.data.batches import iterate_rows
from r1kit.data.hygiene.contamination import BenchmarkNgrams, read_benchmark_questions
from r1kit.data.hygiene.duplicates import NearDuplicates, duplicate_text
from r1kit.data.hygiene.normalise import answers_agree, comparable_answer, normalise_text
from r1kit.messages import logger
from r1kit.recipe import HygieneConfig
from r1kit.rows import Row

if TYPE_CHECKING:
    from datasets import Dataset

HygieneReport = dict[str, Any]
"""`rows`, `kept`, and by reason, `dropped` (counts) and `examples` (the question and what it is like)."""

EXAMPLES_PER_REASON = 3
# Near duplicates of one row, from which on a note says that they may be different problems made from one template.
TEMPLATE_DUPLICATES = 50
HYGIENE_COLUMNS = ("question", "_completion", "answer", "tests")


def clean_problems(problems: "Dataset", hygiene: HygieneConfig) -> tuple["Dataset", HygieneReport]:
    """Return the rows of `problems` that may stay, and the report of the rows that are dropped."""
    if not hygiene.is_enabled:
        return problems, {"rows": len(problems), "dropped": {}, "examples": {}, "kept": len(problems)}
    clean_numbers, report = find_clean_rows(problems, hygiene)
    return (problems if len(clean_numbers) == len(problems) else problems.select(clean_numbers)), report


def find_clean_rows(problems: "Dataset", hygiene: HygieneConfig) -> tuple[list[int], HygieneReport]:
    """Return the numbers of the rows that may stay, and the report of the rows that are dropped."""
    report: HygieneReport = {"rows": len(problems), "dropped": _zero_counts(hygiene), "examples": {}}
    rows = problems.select_columns([name for name in HYGIENE_COLUMNS if name in problems.column_names])
    cleaner = RowCleaner(hygiene, lambda number: rows[number])
    clean_numbers: list[int] = []
    for number, row in enumerate(iterate_rows(rows)):
        drop = cleaner.check(row, number)
        if drop is None:
            clean_numbers.append(number)
            continue
        reason, similar_text = drop
        report["dropped"][reason] += 1
        examples = report["examples"].setdefault(reason, [])
        if len(examples) < EXAMPLES_PER_REASON:
            examples.append({"prompt": row["question"], "like": similar_text})
    report["kept"] = len(clean_numbers)
    if cleaner.near_duplicates:
        _note_template(rows, cleaner.near_duplicates)
    return clean_numbers, report


def _zero_counts(hygiene: HygieneConfig) -> dict[str, int]:
    """Return a count of 0 for each reason for which `hygiene` can drop a row."""
    is_active = {
        "contaminated": bool(hygiene.decontaminate),
        "exact_duplicate": hygiene.exact,
        "near_duplicate": bool(hygiene.near),
    }
    return {reason: 0 for reason, active in is_active.items() if active}


def _note_template(rows: "Dataset", near_duplicates: NearDuplicates) -> None:
    """Print a note if so many rows are like one that they may be different problems made from a template."""
    for number, count in near_duplicates.duplicate_counts.most_common(1):
        if count >= TEMPLATE_DUPLICATES:
            text = " ".join(rows[number]["question"].split())[:100]
            logger.info(f"{count} rows are near duplicates of one row, which may be a template: {text}")


class RowCleaner:
    """Decides of one row after another whether it may stay beside those that came before it."""

    def __init__(self, hygiene: HygieneConfig, read_row: Callable[[int], Row]):
        """`read_row` returns an earlier row by its number."""
        self.hygiene = hygiene
        self.answers_by_text: dict[bytes, list[str]] = {}  # by a hash of the text, which takes less memory
        self.near_duplicates = NearDuplicates(hygiene.near, read_row) if hygiene.near else None
        self.benchmarks = _index_benchmarks(hygiene) if hygiene.decontaminate else None

    def check(self, row: Row, number: int) -> tuple[str, str] | None:
        """Return why row `number` is dropped and the text that it is like; None if it may stay."""
        # First, so that the report counts every problem of a benchmark, duplicates of it included.
        if self.benchmarks and (similar_text := self.benchmarks.find(row["question"])):
            return "contaminated", similar_text
        if self.hygiene.exact and self._is_exact_duplicate(row):
            return "exact_duplicate", duplicate_text(row)
        if self.near_duplicates and (similar_text := self.near_duplicates.find(row, number)):
            return "near_duplicate", similar_text
        return None

    def _is_exact_duplicate(self, row: Row) -> bool:
        """Return whether an earlier row has the same normalised text and an answer that agrees; remember this one."""
        # 8 bytes: among a million texts, two have the same hash with a probability of 3 in 100 million.
        key = hashlib.blake2b(normalise_text(duplicate_text(row)).encode(), digest_size=8).digest()
        earlier_answers = self.answers_by_text.setdefault(key, [])
        answer = comparable_answer(row)
        if any(answers_agree(answer, earlier) for earlier in earlier_answers):
            return True
        earlier_answers.append(answer)
        return False


def _index_benchmarks(hygiene: HygieneConfig) -> BenchmarkNgrams:
    """Read the benchmarks of `hygiene.decontaminate` and index their problems."""
    benchmarks = BenchmarkNgrams(hygiene.ngram)
    for index, source in enumerate(hygiene.decontaminate):
        benchmarks.add(read_benchmark_questions(source, f"hygiene.decontaminate.{index}"))
    benchmarks.build()
    return benchmarks
