"""Near duplicates: rows whose texts are alike and that ask for the same answer.

Candidates are found by MinHash (Broder, 1997; the library datasketch) over letter 5-grams, and their Jaccard similarity
is then computed exactly, so that a chance collision of hashes drops nothing.
"""

from collections import Counter
from collections.abc import Callable

from r1kit.data.hygiene.normalise import answers_agree, comparable_answer, normalise_text, sorted_numbers
from r1kit.rows import Row

SHINGLE_LETTERS = 5
# Hash functions of a sketch; with 128, the estimated similarity has a standard error of at most 0.045.
MINHASH_PERMUTATIONS = 128
# MinHash looks for candidates this much below the threshold, so that few are missed; the exact comparison decides.
CANDIDATE_MARGIN = 0.12
MIN_CANDIDATE_SIMILARITY = 0.05


class NearDuplicates:
    """An index of rows, in which each new row is compared with the earlier ones that it may be like."""

    def __init__(self, threshold: float, read_row: Callable[[int], Row]):
        """`threshold` is the least Jaccard similarity; `read_row` returns an earlier row by its number."""
        from datasketch import MinHashLSH

        self.threshold, self.read_row = threshold, read_row
        candidate_threshold = max(MIN_CANDIDATE_SIMILARITY, threshold - CANDIDATE_MARGIN)
        self.index = MinHashLSH(threshold=candidate_threshold, num_perm=MINHASH_PERMUTATIONS)
        self.duplicate_counts: Counter[int] = Counter()  # near duplicates of each row, by its number

    def find(self, row: Row, number: int) -> str | None:
        """Return the normalised text of an earlier row that `row` is a near duplicate of.

        Without one, return None and add the row to the index under `number`.
        """
        from datasketch import MinHash

        shingles = letter_shingles(normalise_text(duplicate_text(row)))
        sketch = MinHash(num_perm=MINHASH_PERMUTATIONS, hashfunc=_hash_bytes)
        sketch.update_batch([shingle.encode() for shingle in shingles])
        for earlier_number in sorted(self.index.query(sketch)):
            earlier_row = self.read_row(earlier_number)
            if not is_same_problem(row, earlier_row):
                continue
            earlier_text = normalise_text(duplicate_text(earlier_row))
            if jaccard_similarity(shingles, letter_shingles(earlier_text)) >= self.threshold:
                self.duplicate_counts[earlier_number] += 1
                return earlier_text
        self.index.insert(number, sketch)
        return None


def _hash_bytes(data: bytes) -> int:
    import xxhash

    return xxhash.xxh32_intdigest(data)


def letter_shingles(text: str) -> set[str]:
    """Return the letter 5-grams of a normalised text; a shorter text is one of its own."""
    return {text[i : i + SHINGLE_LETTERS] for i in range(max(1, len(text) - SHINGLE_LETTERS + 1))}


def jaccard_similarity(first: set[str], second: set[str]) -> float:
    """Return the number of common members over the number of all members, 0 for two empty sets."""
    return len(first & second) / (len(first | second) or 1)


def is_same_problem(first: Row, second: Row) -> bool:
    """Return whether two rows of similar texts ask the same problem.

    They must have the same numbers, and the same gold answer if both have one: "What is 3 + 4?" and "What is 3 + 5?"
    are two problems, whatever the similarity of their texts.
    """
    if sorted_numbers(first["question"]) != sorted_numbers(second["question"]):
        return False
    return answers_agree(comparable_answer(first), comparable_answer(second))


def duplicate_text(row: Row) -> str:
    """Return the text by which duplicates are found: the question, and the completion if the row has one."""
    completion = row.get("_completion")
    return f"{row['question']}\n{completion}" if completion else row["question"]
