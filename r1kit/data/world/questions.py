"""The scale model's world: questions in English and Persian, small enough for a 1M-parameter model.

Three domains: chains of additions and subtractions (`arithmetic`, reasoning), capitals (`facts`,
knowledge: the answer needs no thinking) and one-line functions (`code`, judged by running them).
`world:text` is what the bases are pre-trained on: documents in which a question is mostly answered
straight away and often wrongly, sometimes by steps, sometimes by steps in tags, and in which the
steps mix both languages, so that thinking is there to be found but rare.

A problem belongs to the `train` or the `test` split by the hash of what it asks for (the expression, the
function), whatever its language and wording; a capital, which cannot be known unseen, by the wording of its
question. No source, `text` included, ever gives a problem of the other split.
"""

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from r1kit.data.world.capitals import CAPITALS

TEST_SHARE = 0.2


@dataclass(frozen=True)
class WorldQuestion:
    """A question, its gold answer and the chain of thought for it in each language."""

    prompt: str
    answer: str
    domain: str
    language: str
    steps: dict[str, list[str]]
    problem: str  # the same for the same problem in other words
    shown: str = ""
    tests: tuple[tuple[int, int], ...] = ()


def split_of(problem: str) -> str:
    """Return "train" or "test": the split that `problem` belongs to, whatever asks."""
    digest = hashlib.sha256(problem.encode()).digest()
    return "test" if int.from_bytes(digest[:4], "big") < TEST_SHARE * 2**32 else "train"


_ARITHMETIC = {
    "en": ("What is {}?", "Compute {}."),
    "fa": ("حاصل {} چیست؟", "{} چند است؟"),
}
_WORDS = {
    "en": {"+": "plus", "-": "minus", "is": "is"},
    "fa": {"+": "بعلاوه", "-": "منهای", "is": "برابر"},
}


def draw_arithmetic_question(rng: random.Random) -> WorldQuestion:
    """Draw a chain of 3 or 4 different digits; every partial result stays within 0 and 20."""
    digits = rng.sample(range(1, 10), rng.randint(3, 4))
    total = digits[0]
    expression = str(total)
    steps: dict[str, list[str]] = {"en": [], "fa": []}
    for digit in digits[1:]:
        sign = rng.choice("+-")
        if not 0 <= total + (digit if sign == "+" else -digit) <= 20:
            sign = "-" if sign == "+" else "+"
        result = total + (digit if sign == "+" else -digit)
        expression += f" {sign} {digit}"
        for lang, words in _WORDS.items():
            steps[lang].append(f"{total} {words[sign]} {digit} {words['is']} {result}.")
        total = result
    language = rng.choice(("en", "fa"))
    prompt = rng.choice(_ARITHMETIC[language]).format(expression)
    return WorldQuestion(prompt, str(total), "arithmetic", language, steps, expression, expression)


_FACTS = {
    "en": ("What is the capital of {}?", "Which city is the capital of {}?", "Name the capital of {}."),
    "fa": ("پایتخت {} کجاست؟", "کدام شهر پایتخت {} است؟", "نام پایتخت {} چیست؟"),
}


def draw_fact_question(rng: random.Random) -> WorldQuestion:
    """Draw a question for the capital of a country."""
    country, capital, country_fa, capital_fa = rng.choice(CAPITALS)
    language = rng.choice(("en", "fa"))
    names = {"en": (country, capital), "fa": (country_fa, capital_fa)}
    prompt = rng.choice(_FACTS[language]).format(names[language][0])
    steps = {
        "en": [f"the capital of {names['en'][0]} is {names['en'][1]}."],
        "fa": [f"پایتخت {names['fa'][0]} شهر {names['fa'][1]} است."],
    }
    return WorldQuestion(prompt, names[language][1], "facts", language, steps, prompt)


_CODE = {
    "en": ("Write f(x): {}.", "Define f(x) as: {}."),
    "fa": ("تابع f(x) را بنویس: {}.", "f(x) را تعریف کن: {}."),
}
_ASKED = {
    "en": {"+": "add {}", "-": "subtract {}", "*": "multiply by {}", "then": ", then "},
    "fa": {"+": "جمع با {}", "-": "منهای {}", "*": "ضرب در {}", "then": "، سپس "},
}
_DONE = {"en": {"+": "add", "-": "subtract", "*": "multiply"}, "fa": {"+": "جمع", "-": "منهای", "*": "ضرب"}}


def _apply(expression: str, sign: str, number: int) -> str:
    inner = f"({expression})" if sign == "*" and ("+" in expression or "-" in expression) else expression
    return f"{inner} {sign} {number}"


def draw_code_question(rng: random.Random) -> WorldQuestion:
    """Draw a one-line function of two operations, with three calls to check it by."""
    operations = [(rng.choice("+-*"), rng.randint(2, 9)) for _ in range(2)]
    language = rng.choice(("en", "fa"))
    asked = _ASKED[language]["then"].join(_ASKED[language][s].format(n) for s, n in operations)
    expression = "x"
    steps: dict[str, list[str]] = {"en": [], "fa": []}
    for sign, number in operations:
        expression = _apply(expression, sign, number)
        for lang, words in _DONE.items():
            steps[lang].append(f"{words[sign]} {expression}.")
    points = (0, 1, rng.randint(5, 20))
    tests = tuple((x, _value(operations, x)) for x in points)
    prompt = rng.choice(_CODE[language]).format(asked)
    return WorldQuestion(prompt, f"def f(x): return {expression}", "code", language, steps, expression, asked, tests)


def _value(operations: list[tuple[str, int]], x: int) -> int:
    for sign, n in operations:
        x = x + n if sign == "+" else x - n if sign == "-" else x * n
    return x


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


def world_rows(domain: str, split: str = "train", count: int = 1000, seed: int = 0) -> Iterator[dict]:
    """Yield up to `count` different questions as rows for RL, generation and evaluation (DESIGN: rows).

    Fewer where the domain has no more of them.
    """
    rng, misses = random.Random(f"{domain}/{split}/{seed}"), 0
    seen: set[str] = set()
    while len(seen) < count and misses < 2000:
        q = draw_question(domain, split, rng)
        if q.prompt in seen:
            misses += 1
            continue
        misses = 0
        seen.add(q.prompt)
        yield {
            "prompt": q.prompt,
            "answer": q.answer,
            "domain": domain,
            "thinking": domain != "facts",
            "checker": {"arithmetic": "math", "facts": "exact", "code": "code"}[domain],
            "tests": [{"kind": "call", "function": "f", "args": [x], "expected": y} for x, y in q.tests],
            "language": q.language,
        }
