"""Countdown: reach a target with given numbers, each of them added or subtracted once, in English and Persian.

    Make 8 from 3, 7, 12.        3 - 7 + 12

Three or four numbers of 1 to 12 leave 8 or 16 choices of signs (`world:countdown`), and five leave 32
(`world:countdown_long`, one more than any problem of RL). Whoever tries more of them solves more: unlike the
other domains of this world, this one takes search.

Splits are `train`, `dev` and `test`. A problem belongs to one by a hash of its set of numbers, whatever the target, the
order and the language. A failed try on one problem is a solution of another, and its first steps are a try on a shorter
one: so no text of a training may have a sum of a held-out set, and by this hash none has.
"""

import hashlib
import itertools
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from r1kit.data.world.questions import LANGUAGES, MAX_REPEATED_DRAWS
from r1kit.rows import Row

NUMBERS = range(1, 13)
TERM_COUNTS = {"countdown": (3, 4), "countdown_long": (5,)}
"""How many numbers the problems of each domain have."""
MIN_NUMBERS = 3
"""How many numbers the shortest problem has."""
COUNTDOWN_SPLITS = ("train", "dev", "test")
HELD_OUT_SHARE = 0.15
"""Fraction of the sets of numbers that belongs to `dev`, and fraction that belongs to `test`."""
CHECKER = "r1kit.data.world.check_countdown"
"""The dotted path of the checker, as rows name it and as a recipe lists it."""
MAX_ANSWER_CHARACTERS = 200

_PROMPTS = {
    "en": ("Make {} from {}.", "Which signs make {} from {}?"),
    "fa": ("عدد {} را از {} بساز.", "با کدام علامت‌ها {} از {} ساخته می‌شود؟"),
}
_COMMAS = {"en": ", ", "fa": "، "}
_TERM = re.compile(r"\s*([-+])\s*(\d{1,9})")

Signs = tuple[int, ...]
"""1 or -1 for each number of a problem, in the order of the question."""


@dataclass(frozen=True)
class CountdownProblem:
    """A target and the numbers to reach it with."""

    numbers: tuple[int, ...]
    target: int
    language: str
    prompt: str
    solution: Signs


def countdown_split(numbers: Sequence[int]) -> str:
    """Return the split of the problems with these numbers, in whatever order."""
    digest = hashlib.sha256(f"countdown {sorted(numbers)}".encode()).digest()
    position = int.from_bytes(digest[:4], "big") / 2**32
    if position < HELD_OUT_SHARE:
        return "test"
    return "dev" if position < 2 * HELD_OUT_SHARE else "train"


def draw_numbers(count: int, split: str, rng: random.Random) -> tuple[int, ...]:
    """Draw `count` different numbers, in any order, whose set belongs to `split`.

    For `train` the first three of them, and so on, do as well: a try adds number after number.
    """
    shortest = min(MIN_NUMBERS, count) if split == "train" else count
    while True:
        numbers = rng.sample(NUMBERS, count)
        if all(countdown_split(numbers[:length]) == split for length in range(shortest, count + 1)):
            return tuple(numbers)


def draw_countdown_problem(domain: str, split: str, rng: random.Random) -> CountdownProblem:
    """Draw a problem of `domain`, a key of TERM_COUNTS, that belongs to `split`; its target is above 0."""
    numbers = draw_numbers(rng.choice(TERM_COUNTS[domain]), split, rng)
    target = 0
    while target == 0:
        signs = tuple(rng.choice((1, -1)) for _ in numbers)
        target = signed_sum(numbers, signs)
    if target < 0:
        signs, target = tuple(-sign for sign in signs), -target
    language = rng.choice(LANGUAGES)
    prompt = rng.choice(_PROMPTS[language]).format(target, format_numbers(numbers, language))
    return CountdownProblem(numbers, target, language, prompt, signs)


def signed_sum(numbers: Sequence[int], signs: Signs) -> int:
    """Return the sum of the numbers with these signs."""
    return sum(sign * number for sign, number in zip(signs, numbers, strict=True))


def format_numbers(numbers: Sequence[int], language: str) -> str:
    """Return the list of numbers as a question has it: `3, 9, 20`."""
    return _COMMAS[language].join(map(str, numbers))


def format_sum(numbers: Sequence[int], signs: Signs) -> str:
    """Return a sum as chains of thought and answers write it: `- 3 + 9 + 20`."""
    terms = [f"{'+' if sign > 0 else '-'} {number}" for sign, number in zip(signs, numbers, strict=True)]
    return " ".join(terms).removeprefix("+ ")


def all_signs(count: int) -> Iterator[Signs]:
    """Yield all choices of signs for `count` numbers; the sign of the last number changes fastest."""
    return itertools.product((1, -1), repeat=count)


def check_countdown(answer: str, gold: str | None) -> bool:
    """Return whether an answer uses the numbers of the gold expression, each once, and has its value.

    >>> check_countdown("20 + 3 - 9", "3 - 9 + 20"), check_countdown("14", "3 - 9 + 20")
    (True, False)
    """
    terms, gold_terms = _read_terms(answer), _read_terms(gold or "")
    if not terms or not gold_terms:
        return False
    has_same_numbers = Counter(map(abs, terms)) == Counter(map(abs, gold_terms))
    return has_same_numbers and sum(terms) == sum(gold_terms)


def _read_terms(expression: str) -> list[int]:
    """Return the signed numbers of an expression, or an empty list for what is no sum of whole numbers."""
    expression = expression.strip().replace("−", "-")
    if len(expression) > MAX_ANSWER_CHARACTERS:
        return []
    if expression[:1] not in ("+", "-"):
        expression = f"+{expression}"
    terms = []
    position = 0
    while position < len(expression):
        term = _TERM.match(expression, position)
        if term is None:
            return []
        terms.append(int(term[1] + term[2]))
        position = term.end()
    return terms


def countdown_rows(domain: str, split: str = "train", count: int = 1000, seed: int = 0) -> Iterator[Row]:
    """Yield up to `count` different problems of `domain`, a key of TERM_COUNTS; fewer if there are no more of them."""
    rng = random.Random(f"{domain}/{split}/{seed}")
    prompts: set[str] = set()
    repeated_draws = 0
    while len(prompts) < count and repeated_draws < MAX_REPEATED_DRAWS:
        problem = draw_countdown_problem(domain, split, rng)
        if problem.prompt in prompts:
            repeated_draws += 1
            continue
        repeated_draws = 0
        prompts.add(problem.prompt)
        yield {
            "prompt": problem.prompt,
            "answer": format_sum(problem.numbers, problem.solution),
            "domain": domain,
            "thinking": True,
            "checker": CHECKER,
            "language": problem.language,
        }
