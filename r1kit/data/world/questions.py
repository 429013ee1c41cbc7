"""Questions of the scale model's world, in English and Persian, small enough for a model of 1M parameters.

There are three domains: chains of additions and subtractions (`arithmetic`, which needs reasoning), capitals (`facts`,
knowledge that needs no thinking) and one-line functions (`code`, judged by running them).

A problem belongs to the `train` or the `test` split by a hash of what it asks for, whatever its language and wording:
the expression, or the function. A model cannot know a capital that it never saw, so that there the hash is of the
wording. No source, the pre-training documents included, ever has a problem of the other split.
"""

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from r1kit.data.world.capitals import CAPITALS
from r1kit.rows import Row

# Two languages of different scripts, so that a chain of thought that mixes them is seen at once.
LANGUAGES = ("en", "fa")
TEST_SHARE = 0.2
"""Fraction of the problems that belong to the test split."""
MAX_TOTAL = 20
"""Largest result of a step of arithmetic; the smallest is 0."""
MAX_REPEATED_DRAWS = 2000
"""Draws in a row that bring no new question, after which a domain is taken to have no more of them."""

CHECKERS = {"arithmetic": "math", "facts": "exact", "code": "code"}


@dataclass(frozen=True)
class WorldQuestion:
    """A question with its gold answer and its chain of thought in each language."""

    prompt: str
    answer: str
    domain: str
    language: str
    steps: dict[str, list[str]]
    """The steps of the chain of thought, by language."""
    problem: str
    """What the question asks for: the same for the same problem in other words."""
    expression: str = ""
    """The expression or the function in words, as worked examples in the pre-training documents begin."""
    tests: tuple[tuple[int, int], ...] = ()
    """Arguments and results of the function that is asked for."""


def split_of(problem: str) -> str:
    """Return the split that `problem` belongs to: "train" or "test"."""
    digest = hashlib.sha256(problem.encode()).digest()
    return "test" if int.from_bytes(digest[:4], "big") < TEST_SHARE * 2**32 else "train"


_ARITHMETIC_PROMPTS = {
    "en": ("What is {}?", "Compute {}."),
    "fa": ("حاصل {} چیست؟", "{} چند است؟"),
}
_ARITHMETIC_WORDS = {
    "en": {"+": "plus", "-": "minus", "is": "is"},
    "fa": {"+": "بعلاوه", "-": "منهای", "is": "برابر"},
}


def draw_arithmetic_question(rng: random.Random) -> WorldQuestion:
    """Draw a chain of 3 or 4 different digits; every partial result stays within 0 and 20."""
    digits = rng.sample(range(1, 10), rng.randint(3, 4))
    total = digits[0]
    expression = str(total)
    steps: dict[str, list[str]] = {language: [] for language in LANGUAGES}
    for digit in digits[1:]:
        sign = rng.choice("+-")
        # The other sign then stays within the range: a digit is at most 9, and the range is 20 wide.
        if not 0 <= _add(total, sign, digit) <= MAX_TOTAL:
            sign = "-" if sign == "+" else "+"
        result = _add(total, sign, digit)
        expression += f" {sign} {digit}"
        for language, words in _ARITHMETIC_WORDS.items():
            steps[language].append(f"{total} {words[sign]} {digit} {words['is']} {result}.")
        total = result
    language = rng.choice(LANGUAGES)
    prompt = rng.choice(_ARITHMETIC_PROMPTS[language]).format(expression)
    return WorldQuestion(prompt, str(total), "arithmetic", language, steps, problem=expression, expression=expression)


def _add(total: int, sign: str, digit: int) -> int:
    return total + digit if sign == "+" else total - digit


_FACT_PROMPTS = {
    "en": ("What is the capital of {}?", "Which city is the capital of {}?", "Name the capital of {}."),
    "fa": ("پایتخت {} کجاست؟", "کدام شهر پایتخت {} است؟", "نام پایتخت {} چیست؟"),
}


def draw_fact_question(rng: random.Random) -> WorldQuestion:
    """Draw a question for the capital of a country."""
    country_en, capital_en, country_fa, capital_fa = rng.choice(CAPITALS)
    language = rng.choice(LANGUAGES)
    country, capital = (country_en, capital_en) if language == "en" else (country_fa, capital_fa)
    prompt = rng.choice(_FACT_PROMPTS[language]).format(country)
    steps = {
        "en": [f"the capital of {country_en} is {capital_en}."],
        "fa": [f"پایتخت {country_fa} شهر {capital_fa} است."],
    }
    return WorldQuestion(prompt, capital, "facts", language, steps, problem=prompt)


_CODE_PROMPTS = {
    "en": ("Write f(x): {}.", "Define f(x) as: {}."),
    "fa": ("تابع f(x) را بنویس: {}.", "f(x) را تعریف کن: {}."),
}
# What a question asks to do with x, and how a step of the chain of thought names the same operation.
_OPERATION_REQUESTS = {
    "en": {"+": "add {}", "-": "subtract {}", "*": "multiply by {}", "then": ", then "},
    "fa": {"+": "جمع با {}", "-": "منهای {}", "*": "ضرب در {}", "then": "، سپس "},
}
_OPERATION_NAMES = {
    "en": {"+": "add", "-": "subtract", "*": "multiply"},
    "fa": {"+": "جمع", "-": "منهای", "*": "ضرب"},
}


def draw_code_question(rng: random.Random) -> WorldQuestion:
    """Draw a one-line function of two operations, with three calls that check it."""
    operations = [(rng.choice("+-*"), rng.randint(2, 9)) for _ in range(2)]
    language = rng.choice(LANGUAGES)
    requests = _OPERATION_REQUESTS[language]
    request = requests["then"].join(requests[sign].format(number) for sign, number in operations)
    expression = "x"
    steps: dict[str, list[str]] = {name: [] for name in LANGUAGES}
    for sign, number in operations:
        expression = _append_operation(expression, sign, number)
        for name, operation_names in _OPERATION_NAMES.items():
            steps[name].append(f"{operation_names[sign]} {expression}.")
    arguments = (0, 1, rng.randint(5, 20))
    tests = tuple((argument, _apply_operations(operations, argument)) for argument in arguments)
    prompt = rng.choice(_CODE_PROMPTS[language]).format(request)
    answer = f"def f(x): return {expression}"
    return WorldQuestion(prompt, answer, "code", language, steps, problem=expression, expression=request, tests=tests)


def _append_operation(expression: str, sign: str, number: int) -> str:
    """Return `expression` with one more operation: `x + 2` times 3 is `(x + 2) * 3`."""
    needs_brackets = sign == "*" and ("+" in expression or "-" in expression)
    return f"({expression}) {sign} {number}" if needs_brackets else f"{expression} {sign} {number}"


def _apply_operations(operations: list[tuple[str, int]], argument: int) -> int:
    result = argument
    for sign, number in operations:
        if sign == "*":
            result *= number
        else:
            result = _add(result, sign, number)
    return result


DOMAINS: dict[str, Callable[[random.Random], WorldQuestion]] = {
    "arithmetic": draw_arithmetic_question,
    "facts": draw_fact_question,
    "code": draw_code_question,
}


def draw_question(domain: str, split: str, rng: random.Random) -> WorldQuestion:
    """Draw one question of `domain` that belongs to `split`."""
    while True:
        question = DOMAINS[domain](rng)
        if split_of(question.problem) == split:
            return question


def world_rows(domain: str, split: str = "train", count: int = 1000, seed: int = 0) -> Iterator[Row]:
    """Yield up to `count` different questions as problems; fewer if the domain has no more of them."""
    rng = random.Random(f"{domain}/{split}/{seed}")
    prompts: set[str] = set()
    repeated_draws = 0
    while len(prompts) < count and repeated_draws < MAX_REPEATED_DRAWS:
        question = draw_question(domain, split, rng)
        if question.prompt in prompts:
            repeated_draws += 1
            continue
        repeated_draws = 0
        prompts.add(question.prompt)
        yield _problem_row(question)


def _problem_row(question: WorldQuestion) -> Row:
    tests = []
    for argument, result in question.tests:
        tests.append({"kind": "call", "function": "f", "args": [argument], "expected": result})
    return {
        "prompt": question.prompt,
        "answer": question.answer,
        "domain": question.domain,
        "thinking": question.domain != "facts",
        "checker": CHECKERS[question.domain],
        "tests": tests,
        "language": question.language,
    }
