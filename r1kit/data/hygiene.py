"""Hygiene, offline: exact and near duplicates, and problems of benchmarks that must not be in the data.

Near duplicates are found by MinHash (datasketch; Broder, 1997) over letter 5-grams and then compared exactly, so that
a chance collision drops nothing. Where texts are made from templates, likeness alone says little: "What is 3 + 4?" and
"What is 3 + 5?" are two problems. So near duplicates must have the same numbers, and the same gold answer where both
have one.

Contamination is a shared word n-gram with a benchmark's problem, as GPT-3 (arXiv 2005.14165, C) and R1 (10-grams) have
it, with two departures. N-grams that three or more different problems share are boilerplate ("where m and n are
relatively prime positive integers. Find m + n") and count for nothing, where problems with half of their n-grams and
all of their numbers in common are one problem in several versions. And problems shorter than n words, which n-grams
would never find, are compared whole, from five words on wherever they stand in a text.
"""

import hashlib
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from r1kit.data.load import READ_BATCH_ROWS, read_sources
from r1kit.errors import UserError
from r1kit.recipe import HygieneConfig, SourceConfig
from r1kit.rows import Row

if TYPE_CHECKING:
    from datasets import Dataset

HygieneReport = dict[str, Any]

SHINGLE = 5  # letters
PERMUTATIONS = 128
SLACK = 0.12  # MinHash looks so much lower than the threshold, since what it finds is compared exactly
BOILERPLATE = 3  # different benchmark problems that share an n-gram, from which on it says nothing
ONE_PROBLEM = 0.5  # share of its n-grams from which on a problem is another version of one before it
MANY = 50  # near duplicates of one row, from which on they may be problems made from a template
SHORTEST = 5  # words of a short problem that is looked for within a text
EXAMPLES = 3
_WORD = re.compile(r"[぀-ヿ一-鿿]|[^\W぀-ヿ一-鿿]+|[-+*/=<>^×÷]")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_MARKS = re.compile(r"[$\"`“”]|\\[()\[\]]")
_QUOTED = re.compile(r"(?<![\w)\]}])'([^']*)'(?!\w)")  # not what is left: derivatives (f'), can't
_ASKED = ("prompt", "question", "problem", "Problem", "Question", "text", "description", "problem_description",
          "problem_statement", "messages", "conversations")  # fmt: skip


def normalise_text(text: str) -> str:
    """Return a text without what changes no problem: case, white space, dollar signs, quotes, a dot at the end."""
    text = unicodedata.normalize("NFC", text).casefold().replace("‘", "'").replace("’", "'")
    text = _QUOTED.sub(r" \1 ", _MARKS.sub(" ", text))
    return re.sub(r"\s+", " ", text).strip(" .?:")


def ngram_words(text: str) -> list[str]:
    """Return the words of a text for n-grams; a letter of Chinese or Japanese is one, and so is an operator."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


class Cleaner:
    """Says of one row after the other whether it may stay."""

    def __init__(self, wanted: HygieneConfig, earlier: Callable[[int], Row]):
        self.wanted = wanted
        self.seen: dict[bytes, list[str]] = {}  # the answers that a text stood with
        self.near = NearDuplicates(wanted.near, earlier) if wanted.near else None
        self.benchmark = BenchmarkNgrams(wanted.ngram) if wanted.decontaminate else None
        for index, source in enumerate(wanted.decontaminate):
            assert self.benchmark
            self.benchmark.add(_benchmark_texts(source, f"hygiene.decontaminate.{index}"))
        if self.benchmark:
            self.benchmark.close()

    def check(self, row: Row, number: int) -> tuple[str, str] | None:
        """Return why row `number` must go, with the text that it is like; None where it may stay."""
        if self.benchmark and (like := self.benchmark.find(row["question"])):
            return "contaminated", like
        text = duplicate_text(row)
        if self.wanted.exact:
            key = hashlib.blake2b(normalise_text(text).encode(), digest_size=8).digest()
            answers = self.seen.setdefault(key, [])
            if any(_agree(_answer(row), answer) for answer in answers):
                return "exact_duplicate", text
            answers.append(_answer(row))
        if self.near and (like := self.near.find(row, number)):
            return "near_duplicate", like
        return None


def _benchmark_texts(source: SourceConfig, field: str) -> Iterator[str]:
    """Yield the problems of a benchmark as it has them: an adapter would leave out those that cannot be verified."""
    raw = source if source.adapter or source.columns else source.model_copy(update={"adapter": "none"})
    rows = read_sources([raw], field)
    column = next((c for c in _ASKED if c in rows.column_names), None)
    if column is None:
        do = f"it has {', '.join(rows.column_names)}; rename one with {field}.columns"
        raise UserError(field, source.path, "needs a column prompt", do)
    there = False
    for start in range(0, len(rows), READ_BATCH_ROWS):
        for asked in rows[start : start + READ_BATCH_ROWS][column]:
            if isinstance(asked, list):
                asked = "\n".join(text for part in asked if (text := _said(part)))
            if not isinstance(asked, str | None):
                do = f"name the column of the problem with {field}.columns"
                raise UserError(field, source.path, f"its column {column} is neither text nor messages", do)
            there = there or bool(asked)
            if asked:
                yield asked
    if not there:
        do = f"name the column of the problem with {field}.columns"
        raise UserError(field, source.path, f"its column {column} holds no problem", do)


def _said(part: Any) -> str:
    """Return what a part of a talk asks: a turn of the user's, or text."""
    if isinstance(part, dict):
        asks = (part.get("role") or part.get("from")) in ("user", "human")
        return str(part.get("content") or part.get("value") or "") if asks else ""
    return str(part or "")


class NearDuplicates:
    """Finds rows that are like an earlier one."""

    def __init__(self, threshold: float, earlier: Callable[[int], Row]):
        from datasketch import MinHashLSH

        self.threshold, self.earlier = threshold, earlier
        self.index = MinHashLSH(threshold=max(0.05, threshold - SLACK), num_perm=PERMUTATIONS)
        self.alike: Counter[int] = Counter()  # how many rows were like a row

    def find(self, row: Row, number: int) -> str | None:
        """Return an earlier text that row `number` is like; without one, remember its number."""
        from datasketch import MinHash

        text = normalise_text(duplicate_text(row))
        grams = letter_shingles(text)
        sketch = MinHash(num_perm=PERMUTATIONS, hashfunc=_hash)
        sketch.update_batch([gram.encode() for gram in grams])
        for key in sorted(self.index.query(sketch)):
            other = self.earlier(key)
            if (
                is_same_problem(row, other)
                and jaccard_similarity(grams, letter_shingles(like := normalise_text(duplicate_text(other))))
                >= self.threshold
            ):
                self.alike[key] += 1
                return like
        self.index.insert(number, sketch)
        return None


def _hash(data: bytes) -> int:
    import xxhash

    return xxhash.xxh32_intdigest(data)


def letter_shingles(text: str) -> set[str]:
    """Return the letter 5-grams of a normal text."""
    return {text[i : i + SHINGLE] for i in range(max(1, len(text) - SHINGLE + 1))}


def jaccard_similarity(one: set[str], other: set[str]) -> float:
    """Return the share of common members."""
    return len(one & other) / (len(one | other) or 1)


def is_same_problem(one: Row, other: Row) -> bool:
    """Whether rows of like texts are one problem: the same numbers, and the same gold answer where both have one."""
    numbers = [sorted(_NUMBER.findall(row["question"])) for row in (one, other)]
    return numbers[0] == numbers[1] and _agree(_answer(one), _answer(other))


def _answer(row: Row) -> str:
    """Return a row's gold answer; code has none, since its tests are what counts."""
    answer = row.get("answer")
    return "" if answer is None or row.get("tests") else normalise_text(str(answer))


def _agree(one: str, other: str) -> bool:
    return not one or not other or one == other


def duplicate_text(row: Row) -> str:
    """Return what duplicates are told by: the question, with the completion where a row has one."""
    return f"{row['question']}\n{row['said']}" if row.get("said") else row["question"]


class BenchmarkNgrams:
    """The n-grams of benchmarks, each with one of the problems that it stands in."""

    def __init__(self, n: int):
        self.n = n
        self.problems: dict[str, str] = {}  # by their words
        self.grams: dict[int, dict[tuple[str, ...], str]] = {}  # by length

    def add(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.problems.setdefault(" ".join(ngram_words(text)), text)

    def close(self) -> None:
        """Make the index of what was added."""
        long = {key: text for key, text in self.problems.items() if len(key.split()) >= self.n}
        of: dict[tuple[str, ...], set[int]] = {}  # the different problems that an n-gram stands in
        numbers = [sorted(_NUMBER.findall(key)) for key in long]
        for number, key in enumerate(long):
            grams = set(word_ngrams(key.split(), self.n))
            shared = Counter(o for gram in grams for o in of.get(gram, ()) if numbers[o] == numbers[number])
            same = next((o for o, common in shared.most_common(1) if common >= ONE_PROBLEM * len(grams)), number)
            for gram in grams:
                if len(of.setdefault(gram, set())) < BOILERPLATE:
                    of[gram].add(same)
        count = {gram: len(problems) for gram, problems in of.items()}
        table = self.grams.setdefault(self.n, {})
        for key, text in long.items():
            for gram in word_ngrams(key.split(), self.n):
                if count[gram] < BOILERPLATE:
                    table.setdefault(gram, text)
        for key, text in self.problems.items():
            size = len(key.split())
            if SHORTEST <= size < self.n:
                self.grams.setdefault(size, {})[tuple(key.split())] = text

    def find(self, text: str) -> str | None:
        """Return the benchmark's problem that a text contains a part of."""
        said = ngram_words(text)
        if whole := self.problems.get(" ".join(said)):
            return whole
        for size, table in self.grams.items():
            for gram in word_ngrams(said, size):
                if gram in table:
                    return table[gram]
        return None


def word_ngrams(said: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """Return the runs of n words."""
    return [tuple(said[i : i + n]) for i in range(len(said) - n + 1)]


def clean_problems(dataset: "Dataset", wanted: HygieneConfig) -> tuple["Dataset", HygieneReport]:
    """Return the rows of problems that may stay, and the report of the others: counts and examples by reason."""
    if not wanted.wanted:
        return dataset, {"rows": len(dataset), "dropped": {}, "examples": {}, "kept": len(dataset)}
    kept, report = find_clean_rows(dataset, wanted)
    return (dataset if len(kept) == len(dataset) else dataset.select(kept)), report


def find_clean_rows(dataset: "Dataset", wanted: HygieneConfig) -> tuple[list[int], HygieneReport]:
    """Return the numbers of the rows that may stay, and the report of the others."""
    report: HygieneReport = {"rows": len(dataset), "dropped": {}, "examples": {}}
    columns = [c for c in ("question", "said", "answer", "tests") if c in dataset.column_names]
    looked = dataset.select_columns(columns)
    cleaner = Cleaner(wanted, lambda number: looked[number])
    for name, asked in (
        ("contaminated", wanted.decontaminate),
        ("exact_duplicate", wanted.exact),
        ("near_duplicate", wanted.near),
    ):
        if asked:
            report["dropped"][name] = 0
    kept: list[int] = []
    for start in range(0, len(looked), READ_BATCH_ROWS):
        batch = looked[start : start + READ_BATCH_ROWS]
        for i, values in enumerate(zip(*batch.values(), strict=True), start=start):
            row = dict(zip(batch, values, strict=True))
            found = cleaner.check(row, i)
            if found is None:
                kept.append(i)
                continue
            reason, like = found
            report["dropped"][reason] += 1
            shown = report["examples"].setdefault(reason, [])
            if len(shown) < EXAMPLES:
                shown.append({"prompt": row["question"], "like": like})
    report["kept"] = len(kept)
    if cleaner.near and cleaner.near.alike:
        number, alike = cleaner.near.alike.most_common(1)[0]
        if alike >= MANY:
            text = " ".join(looked[number]["question"].split())[:100]
            print(f"note: {alike} rows are near duplicates of one, which may be a template: {text}", file=sys.stderr)
    return kept, report
