"""Documents of the countdown world, on which its base model is pre-trained (`world:countdown_text`).

A question is answered by a guess, or by a search: tries in a row, in think tags or without them. A search is given up
after a failed try more often than not, and then its answer is a guess. So a base model that is made to think solves
little, at temperature 0 too, and reinforcement learning has something to find: to go on.

A try adds number after number: `3 - 7 = -4 + 12 = 8`. Other habits are there to be chosen among: tries in order or at
random, slips of arithmetic, of which some are noticed ("wait"), solutions that are checked ("check"), words that begin
another try ("but", "retry"), and both languages in one chain.
Persian searches are given up earlier, slip more often and seldom go in order: the languages are of unequal strength.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from r1kit.data.world.countdown import (
    CountdownProblem,
    Signs,
    all_signs,
    draw_countdown_problem,
    draw_numbers,
    format_sum,
)
from r1kit.data.world.documents import TEMPLATE, draw_by_share, draw_document
from r1kit.data.world.questions import LANGUAGES
from r1kit.prompts import fill_template
from r1kit.rows import Row


@dataclass(frozen=True)
class SearchHabits:
    """How a search goes in one language; all are probabilities."""

    give_up: float
    """To end the search after a failed try."""
    slip: float
    """To write a wrong result of a step, with which the try then goes on."""
    notice: float
    """To correct a slip at once."""
    check: float
    """To compute a solution once more."""
    retry: float
    """To begin another try with a word such as "but"."""
    in_order: float
    """To try the signs in order, and not at random."""
    insight: float
    """To begin with a solution; otherwise too few searches would find one to learn from how they end."""


SEARCH_HABITS = {
    "en": SearchHabits(give_up=0.52, slip=0.04, notice=0.4, check=0.2, retry=0.15, in_order=0.4, insight=0.1),
    "fa": SearchHabits(give_up=0.60, slip=0.07, notice=0.4, check=0.2, retry=0.15, in_order=0.2, insight=0.1),
}
_WORDS = {
    "en": {"no": "no", "yes": "yes", "wait": "wait", "check": "check"},
    "fa": {"no": "نه", "yes": "بله", "wait": "صبر", "check": "بررسی"},
}

_RETRY_WORDS = {"en": ("but", "retry"), "fa": ("اما", "دوباره")}

# Shares of the types of documents: questions of the three domains, facts stated without a question, and single sums.
_DOCUMENT_SHARES = {"countdown": 0.52, "sum": 0.32, "facts": 0.07, "code": 0.07, "statement": 0.02}
# Shares of the forms of an answer: a guess at once, a search in think tags, a search without tags.
_ANSWER_FORM_SHARES = {"direct": 0.15, "tagged": 0.50, "untagged": 0.35}
# Shares of the languages of a chain: that of the question, both in turn at random, or the other one.
_CHAIN_LANGUAGE_SHARES = {"own": 0.86, "mixed": 0.10, "other": 0.04}
# What a wrong result differs by.
_SLIP_OFFSETS = (-10, -2, -1, 1, 2, 10)
# Fraction of the problems that have five numbers, which no problem of a training by RL has.
_LONG_SHARE = 0.1
_TERMS_OF_SUMS = range(2, 6)
_VALUE_PROMPTS = {"en": "What is {}?", "fa": "حاصل {} چیست؟"}
_CHECK_PROMPTS = {"en": "Does {} make {}?", "fa": "آیا {} برابر {} است؟"}
# Fraction of the sums whose value is asked for; of the others it is asked whether they have a value.
_VALUE_SHARE = 0.2
_SUM_TAGGED_SHARE = 0.5
_NO_SLIPS = SearchHabits(give_up=0.0, slip=0.0, notice=0.0, check=0.0, retry=0.0, in_order=0.0, insight=0.0)


def countdown_documents(split: str = "train", count: int = 1000, seed: int = 0) -> Iterator[Row]:
    """Yield `count` documents of pre-training text; their numbers belong to `split`."""
    rng = random.Random(f"countdown text/{split}/{seed}")
    # The other domains have no split `dev`.
    other_split = "train" if split == "train" else "test"
    for _ in range(count):
        document_type = draw_by_share(_DOCUMENT_SHARES, rng)
        if document_type == "countdown":
            domain = "countdown_long" if rng.random() < _LONG_SHARE else "countdown"
            problem = draw_countdown_problem(domain, split, rng)
            text = fill_template(TEMPLATE, problem.prompt) + _draw_completion(problem, rng)
        elif document_type == "sum":
            text = _draw_sum(split, rng)
        else:
            text = draw_document(document_type, other_split, rng)
        yield {"text": text}


def _draw_sum(split: str, rng: random.Random) -> str:
    """Return a question for the value of a sum, or whether it has a value, and its answer."""
    numbers = draw_numbers(rng.choice(_TERMS_OF_SUMS), split, rng)
    signs = tuple(rng.choice((1, -1)) for _ in numbers)
    language = rng.choice(LANGUAGES)
    thinking, result = _draw_steps(numbers, signs, _NO_SLIPS, "", rng)
    if rng.random() < _VALUE_SHARE:
        prompt = _VALUE_PROMPTS[language].format(format_sum(numbers, signs))
        answer = str(result)
    else:
        is_right = rng.random() < 0.5
        target = result if is_right else result + rng.choice(_SLIP_OFFSETS)
        prompt = _CHECK_PROMPTS[language].format(format_sum(numbers, signs), target)
        answer = _WORDS[language]["yes" if is_right else "no"]
        thinking += f" {answer}"
    thinking = f"<think> {thinking}</think>" if rng.random() < _SUM_TAGGED_SHARE else f" {thinking}"
    return f"{fill_template(TEMPLATE, prompt)}{thinking}<answer> {answer}</answer>"


def _draw_completion(problem: CountdownProblem, rng: random.Random) -> str:
    """Return a completion of a problem, right or wrong, with or without a search."""
    form = draw_by_share(_ANSWER_FORM_SHARES, rng)
    if form == "direct":
        thinking, signs = "", rng.choice(list(all_signs(len(problem.numbers))))
    else:
        tries, signs = draw_search(problem, rng)
        thinking = f" {tries}"
    if form == "tagged":
        thinking = f"<think>{thinking}</think>"
    return f"{thinking}<answer> {format_sum(problem.numbers, signs)}</answer>"


def draw_search(problem: CountdownProblem, rng: random.Random) -> tuple[str, Signs]:
    """Return a chain of tries, and the signs that it takes for the solution: the last try's, or a guess."""
    languages = _draw_chain_languages(problem.language, rng)
    untried = _draw_order_of_tries(problem, SEARCH_HABITS[languages[0]], rng)
    tries: list[str] = []
    while untried:
        signs = untried.pop(0)
        language = rng.choice(languages)
        habits = SEARCH_HABITS[language]
        text, is_solution = _draw_try(problem, signs, language, rng)
        tries.append(text)
        if is_solution:
            return " ".join(tries), signs
        if rng.random() < habits.give_up:
            break
        if rng.random() < habits.retry:
            tries.append(rng.choice(_RETRY_WORDS[language]))
    guesses = untried or list(all_signs(len(problem.numbers)))
    return " ".join(tries), rng.choice(guesses)


def _draw_order_of_tries(problem: CountdownProblem, habits: SearchHabits, rng: random.Random) -> list[Signs]:
    """Return all choices of signs in the order in which a search tries them."""
    order = list(all_signs(len(problem.numbers)))
    if rng.random() >= habits.in_order:
        rng.shuffle(order)
    if rng.random() < habits.insight:
        order.remove(problem.solution)
        order.insert(0, problem.solution)
    return order


def _draw_chain_languages(question_language: str, rng: random.Random) -> tuple[str, ...]:
    """Return the languages of which each try of a chain takes one."""
    other_language = "fa" if question_language == "en" else "en"
    choice = draw_by_share(_CHAIN_LANGUAGE_SHARES, rng)
    return {"own": (question_language,), "other": (other_language,), "mixed": LANGUAGES}[choice]


def _draw_try(problem: CountdownProblem, signs: Signs, language: str, rng: random.Random) -> tuple[str, bool]:
    """Return the text of one try, and whether it is taken for a solution."""
    habits, words = SEARCH_HABITS[language], _WORDS[language]
    text, result = _draw_steps(problem.numbers, signs, habits, words["wait"], rng)
    if result != problem.target:
        return f"{text} {words['no']}", False
    text += f" {words['yes']}"
    if rng.random() >= habits.check:
        return text, True
    second_text, result = _draw_steps(problem.numbers, signs, _NO_SLIPS, words["wait"], rng)
    is_solution = result == problem.target
    verdict = words["yes"] if is_solution else words["no"]
    return f"{text} {words['check']} {second_text} {verdict}", is_solution


def _draw_steps(
    numbers: Sequence[int], signs: Signs, habits: SearchHabits, wait: str, rng: random.Random
) -> tuple[str, int]:
    """Return a sum with the result of each step, `3 - 7 = -4 + 12 = 8`, and the last result that it writes."""
    result = signs[0] * numbers[0]
    text = str(result).replace("-", "- ")
    for sign, number in zip(signs[1:], numbers[1:], strict=True):
        text += f" {'+' if sign > 0 else '-'} {number}"
        right_result = result + sign * number
        result = right_result
        if rng.random() < habits.slip:
            result += rng.choice(_SLIP_OFFSETS)
        text += f" = {result}"
        if result != right_result and rng.random() < habits.notice:
            text += f" {wait} {right_result}"
            result = right_result
    return text, result
