"""Hygiene, offline: exact and near duplicates, and problems of benchmarks that must not be in the data.

Near duplicates are found by MinHash (datasketch; Broder, 1997) over letter 5-grams and then compared exactly, so that
a chance collision drops nothing. Where texts are made from templates, likeness alone says little: "What is 3 + 4?" and
"What is 3 + 5?" are two problems. So near duplicates must have the same gold answer, too, or without gold answers (and
for code) the same numbers.

Contamination is a shared word n-gram with a benchmark's problem, as GPT-3 (arXiv 2005.14165, C) and R1 (10-grams) have
it, with two departures. N-grams that three or more of its problems share are boilerplate ("where m and n are
relatively prime positive integers. Find m + n") and count for nothing; and problems shorter than n words, which
n-grams would never find, are compared whole, from five words on wherever they stand in a text.
"""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from r1kit.data.load import BATCH, plain_text, read_all
from r1kit.errors import UserError
from r1kit.recipe import Hygiene

if TYPE_CHECKING:
    from datasets import Dataset

Row = dict[str, Any]
Report = dict[str, Any]

SHINGLE = 5  # letters
PERMUTATIONS = 128
SLACK = 0.12  # MinHash looks so much lower than the threshold, since what it finds is compared exactly
BOILERPLATE = 3  # benchmark problems that share an n-gram, from which on it says nothing
SHORTEST = 5  # words of a short problem that is looked for within a text
EXAMPLES = 3
_WORD = re.compile(r"[぀-ヿ一-鿿]|[^\W぀-ヿ一-鿿]+|[-+*/=<>^×÷]")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def normal(text: str) -> str:
    """Return a text without what changes no problem: case, white space, dollar signs, quotes, a dot at the end."""
    text = unicodedata.normalize("NFKC", text).casefold()
    text = re.sub(r"[$\"'`“”‘’]|\\[()\[\]]", " ", text)
    return re.sub(r"\s+", " ", text).strip(" .?!:")


def words(text: str) -> list[str]:
    """Return the words of a text for n-grams; a letter of Chinese or Japanese is one, and so is an operator."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


class Cleaner:
    """Says of one row after the other whether it may stay."""

    def __init__(self, wanted: Hygiene):
        self.wanted = wanted
        self.seen: set[bytes] = set()
        self.near = Near(wanted.near) if wanted.near else None
        self.benchmark = Benchmark(wanted.ngram) if wanted.decontaminate else None
        for index, source in enumerate(wanted.decontaminate):
            field = f"hygiene.decontaminate.{index}"
            rows = read_all([source], field)
            column = next((c for c in ("prompt", "question", "problem", "text") if c in rows.column_names), None)
            if column is None:
                do = f"it has {', '.join(rows.column_names)}; rename one with {field}.columns"
                raise UserError(field, source.path, "needs a column prompt", do)
            assert self.benchmark
            for start in range(0, len(rows), BATCH):
                self.benchmark.add(plain_text(q) for q in rows[start : start + BATCH][column] if q)
        if self.benchmark:
            self.benchmark.close()

    def check(self, row: Row) -> tuple[str, str] | None:
        """Return why a row must go, with the text that it is like; None where it may stay."""
        if self.benchmark and (like := self.benchmark.find(row["question"])):
            return "contaminated", like
        text = whole(row)
        if self.wanted.exact:
            key = hashlib.blake2b(normal(text).encode(), digest_size=8).digest()
            if key in self.seen:
                return "exact_duplicate", text
            self.seen.add(key)
        if self.near and (like := self.near.find(row)):
            return "near_duplicate", like
        return None


class Near:
    """Finds rows that are like an earlier one."""

    def __init__(self, threshold: float):
        from datasketch import MinHashLSH

        self.threshold = threshold
        self.index = MinHashLSH(threshold=max(0.05, threshold - SLACK), num_perm=PERMUTATIONS)
        self.rows: list[tuple[str, str]] = []  # text and what must be the same, of the rows that stay

    def find(self, row: Row) -> str | None:
        """Return an earlier text that this row is like; without one, remember the row."""
        from datasketch import MinHash

        text = normal(whole(row))
        grams = shingles(text)
        sketch = MinHash(num_perm=PERMUTATIONS, hashfunc=_hash)
        sketch.update_batch([gram.encode() for gram in grams])
        same = what_decides(row)
        for key in sorted(self.index.query(sketch)):
            other, others = self.rows[key]
            if same == others and jaccard(grams, shingles(other)) >= self.threshold:
                return other
        self.index.insert(len(self.rows), sketch)
        self.rows.append((text, same))
        return None


def _hash(data: bytes) -> int:
    import xxhash

    return xxhash.xxh32_intdigest(data)


def shingles(text: str) -> set[str]:
    """Return the letter 5-grams of a normal text."""
    return {text[i : i + SHINGLE] for i in range(max(1, len(text) - SHINGLE + 1))}


def jaccard(one: set[str], other: set[str]) -> float:
    """Return the share of common members."""
    return len(one & other) / (len(one | other) or 1)


def what_decides(row: Row) -> str:
    """Return what two rows must share to be one problem: the gold answer, else the numbers of the text."""
    answer = row.get("answer")
    if answer not in (None, "") and not row.get("tests"):
        return "= " + normal(str(answer))
    return " ".join(sorted(_NUMBER.findall(row["question"])))


def whole(row: Row) -> str:
    """Return what duplicates are told by: the question, with the completion where a row has one."""
    return f"{row['question']}\n{row['said']}" if row.get("said") else row["question"]


class Benchmark:
    """The n-grams of benchmarks, each with one of the problems that it stands in."""

    def __init__(self, n: int):
        self.n = n
        self.problems: dict[str, str] = {}  # by their words
        self.grams: dict[int, dict[tuple[str, ...], str]] = {}  # by length

    def add(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.problems.setdefault(" ".join(words(text)), text)

    def close(self) -> None:
        """Make the index of what was added."""
        count: Counter[tuple[str, ...]] = Counter()
        long = {key: text for key, text in self.problems.items() if len(key.split()) >= self.n}
        for key in long:
            count.update(set(ngrams(key.split(), self.n)))
        table = self.grams.setdefault(self.n, {})
        for key, text in long.items():
            for gram in ngrams(key.split(), self.n):
                if count[gram] < BOILERPLATE:
                    table.setdefault(gram, text)
        for key, text in self.problems.items():
            size = len(key.split())
            if SHORTEST <= size < self.n:
                self.grams.setdefault(size, {})[tuple(key.split())] = text

    def find(self, text: str) -> str | None:
        """Return the benchmark's problem that a text contains a part of."""
        said = words(text)
        if whole := self.problems.get(" ".join(said)):
            return whole
        for size, table in self.grams.items():
            for gram in ngrams(said, size):
                if gram in table:
                    return table[gram]
        return None


def ngrams(said: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """Return the runs of n words."""
    return [tuple(said[i : i + n]) for i in range(len(said) - n + 1)]


def clean(dataset: "Dataset", wanted: Hygiene) -> tuple["Dataset", Report]:
    """Return the rows of problems that may stay, and the report of the others: counts and examples by reason."""
    report: Report = {"rows": len(dataset), "dropped": {}, "examples": {}}
    if not wanted.wanted:
        return dataset, report | {"kept": len(dataset)}
    cleaner = Cleaner(wanted)
    for name, asked in (
        ("contaminated", wanted.decontaminate),
        ("exact_duplicate", wanted.exact),
        ("near_duplicate", wanted.near),
    ):
        if asked:
            report["dropped"][name] = 0
    columns = [c for c in ("question", "said", "answer", "tests") if c in dataset.column_names]
    kept: list[int] = []
    looked = dataset.select_columns(columns)
    for start in range(0, len(looked), BATCH):
        batch = looked[start : start + BATCH]
        for i, values in enumerate(zip(*batch.values(), strict=True), start=start):
            row = dict(zip(batch, values, strict=True))
            found = cleaner.check(row)
            if found is None:
                kept.append(i)
                continue
            reason, like = found
            report["dropped"][reason] += 1
            shown = report["examples"].setdefault(reason, [])
            if len(shown) < EXAMPLES:
                shown.append({"prompt": row["question"], "like": like})
    report["kept"] = len(kept)
    return (dataset if len(kept) == len(dataset) else dataset.select(kept)), report
