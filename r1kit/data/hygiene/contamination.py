"""Contamination: problems of a benchmark within the data, found by a word n-gram that both share.

So did GPT-3 (arXiv 2005.14165, appendix C) and DeepSeek-R1 (10-grams). There are two departures:

1. An n-gram that three or more different benchmark problems share is boilerplate, such as "where m and n are relatively
   prime positive integers. Find m + n", and is ignored. Problems that have half of their n-grams and all of their
   numbers in common are versions of one problem.
2. Problems shorter than n words, which have no n-gram, are compared whole; those of at least five words are also found
   within a longer text.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from r1kit.data.adapters import MALFORMED_ROW_ERRORS, find_settled_reading
from r1kit.data.adapters.reading import Reading
from r1kit.data.batches import iterate_rows
from r1kit.data.benchmarks import split_prompt
from r1kit.data.hygiene.normalise import ngram_words, sorted_numbers
from r1kit.data.questions import question_text
from r1kit.data.sources import adapt_stored, read_source
from r1kit.data.sources.generated import is_generated_source
from r1kit.data.sources.stored import read_stored
from r1kit.errors import UserError
from r1kit.recipe import SourceConfig
from r1kit.rows import Row

if TYPE_CHECKING:
    from datasets import Dataset

Ngram = tuple[str, ...]

# Different benchmark problems that share an n-gram, from which on the n-gram is boilerplate.
BOILERPLATE_PROBLEMS = 3
# Fraction of its n-grams that a problem shares with an earlier one, from which on it is a version of that one.
SAME_PROBLEM_FRACTION = 0.5
# A problem of fewer words than this is found only where it is all of a text: "Find x." stands in too many.
MIN_WORDS_WITHIN_A_TEXT = 5
# Columns in which benchmarks have their problems; the first that is there is taken.
QUESTION_COLUMNS = (
    "prompt",
    "question",
    "problem",
    "Problem",
    "Question",
    "text",
    "description",
    "problem_description",
    "problem_statement",
    "messages",
    "conversations",
)


class BenchmarkNgrams:
    """An index of benchmark problems by their n-grams: `add` the problems, `build`, then `find`."""

    def __init__(self, n: int):
        self.n = n  # words of an n-gram
        self.problems: dict[str, str] = {}  # the text of each problem, by its words
        self.tables: dict[int, dict[Ngram, str]] = {}  # a problem's text for each n-gram, by the n-gram's length

    def add(self, texts: Iterable[str]) -> None:
        """Add the problems of a benchmark."""
        for text in texts:
            self.problems.setdefault(" ".join(_question_words(text)), text)

    def build(self) -> None:
        """Build the index of the problems that were added."""
        long_problems = {key: text for key, text in self.problems.items() if len(key.split()) >= self.n}
        problem_counts = self._count_problems(list(long_problems))
        table = self.tables.setdefault(self.n, {})
        for key, text in long_problems.items():
            for ngram in word_ngrams(key.split(), self.n):
                if problem_counts[ngram] < BOILERPLATE_PROBLEMS:
                    table.setdefault(ngram, text)
        for key, text in self.problems.items():
            words = key.split()
            if MIN_WORDS_WITHIN_A_TEXT <= len(words) < self.n:
                self.tables.setdefault(len(words), {})[tuple(words)] = text

    def _count_problems(self, keys: Sequence[str]) -> dict[Ngram, int]:
        """Return how many different problems have each n-gram, counting up to BOILERPLATE_PROBLEMS."""
        problems_of: dict[Ngram, set[int]] = {}
        numbers = [sorted_numbers(key) for key in keys]
        for index, key in enumerate(keys):
            ngrams = set(word_ngrams(key.split(), self.n))
            shared: Counter[int] = Counter()  # n-grams in common with each earlier problem of the same numbers
            for ngram in ngrams:
                for earlier in problems_of.get(ngram, ()):
                    if numbers[earlier] == numbers[index]:
                        shared[earlier] += 1
            problem = index
            for earlier, shared_ngrams in shared.most_common(1):
                if shared_ngrams >= SAME_PROBLEM_FRACTION * len(ngrams):
                    problem = earlier
            for ngram in ngrams:
                problems = problems_of.setdefault(ngram, set())
                if len(problems) < BOILERPLATE_PROBLEMS:
                    problems.add(problem)
        return {ngram: len(problems) for ngram, problems in problems_of.items()}

    def find(self, text: str) -> str | None:
        """Return a benchmark problem that `text` contains, or shares an n-gram with; None if there is none."""
        words = _question_words(text)
        if problem := self.problems.get(" ".join(words)):
            return problem
        for length, table in self.tables.items():
            for ngram in word_ngrams(words, length):
                if ngram in table:
                    return table[ngram]
        return None


def _question_words(text: str) -> list[str]:
    """Return the words of a question without an adapter's instruction, which the benchmark's own rows do not have."""
    return ngram_words(split_prompt(text)[0])


def word_ngrams(words: Sequence[str], n: int) -> list[Ngram]:
    """Return the runs of `n` consecutive words."""
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def read_benchmark_questions(source: SourceConfig, field: str) -> Iterator[str]:
    """Yield the questions of a benchmark, read by the same forms as the sources of the data.

    A row that its form leaves out, such as a proof, which no checker can judge, is read from a column of questions.
    Raises UserError if the benchmark has neither a form that is known nor a column of questions, or one without text.
    """
    is_explicit = source.adapter or source.columns or is_generated_source(source.path)
    reading = None
    if is_explicit:
        rows = read_source(source, field)
    else:
        rows = _read_stored_rows(source, field)
        reading = find_settled_reading(rows, source, field)
    column = next((name for name in QUESTION_COLUMNS if name in rows.column_names), None)
    if column is None and reading is None:
        action = f"it has {', '.join(rows.column_names)}; rename one with {field}.columns"
        raise UserError(field, source.path, "needs a column prompt", action)
    if reading is None:
        rows = rows.select_columns(column)
    rename = f"name the column of the problem with {field}.columns"
    is_empty = True
    for row in iterate_rows(rows):
        question = _read_question(reading, row) if reading is not None else None
        if question is None and column is not None:
            question = _user_texts(row[column])
        if not isinstance(question, str | None):
            raise UserError(field, source.path, f"its column {column} is neither text nor messages", rename)
        if question:
            is_empty = False
            yield question
    if is_empty:
        raise UserError(field, source.path, f"its column {column} holds no problem", rename)


def _read_stored_rows(source: SourceConfig, field: str) -> "Dataset":
    """Return the rows of a stored benchmark in its own columns, as many as the source draws."""
    rows = adapt_stored(read_stored(source, field), source.model_copy(update={"adapter": "none"}), field)
    if len(rows) == 0:
        raise UserError(f"{field}.path", source.path, "has no rows", "give a source with at least one")
    if source.rows and source.rows < len(rows):
        rows = rows.shuffle(seed=source.seed).select(range(source.rows))
    return rows


def _read_question(reading: Reading, row: Row) -> str | None:
    """Return the question of a row as its form has it; None for a row that the form leaves out."""
    try:
        adapted = reading.read_row(row) or {}
    except MALFORMED_ROW_ERRORS:  # a ConversationError is a ValueError
        return None
    if adapted.get("prompt"):
        return question_text(adapted["prompt"])
    return _user_texts(adapted["messages"]) if adapted.get("messages") else None


def _user_texts(question: Any) -> Any:
    """Return the text of the user's turns, one below the other, if `question` is a conversation, else `question`."""
    if not isinstance(question, list):
        return question
    turns = [_user_text(turn) for turn in question]
    return "\n".join(text for text in turns if text)


def _user_text(turn: Any) -> str:
    """Return the text of one turn of a conversation, an empty text for a turn that is not the user's."""
    if not isinstance(turn, dict):
        return str(turn or "")
    is_user = (turn.get("role") or turn.get("from")) in ("user", "human")
    return str(turn.get("content") or turn.get("value") or "") if is_user else ""
