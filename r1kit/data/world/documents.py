"""Documents of the scale model's world, on which its base models are pre-trained (`world:text`).

In most of them a question is answered at once, and often wrongly; in some by steps, in some by steps in think tags, and
the steps mix both languages. So a base model can think before it answers, but rarely does: reinforcement learning has
something to find, as with R1-Zero's base.
"""

import random
from collections.abc import Iterator

from r1kit.data.world.capitals import CAPITALS
from r1kit.data.world.questions import DOMAINS, LANGUAGES, WorldQuestion, draw_fact_question, draw_question
from r1kit.prompts import fill_template
from r1kit.rows import Row

TEMPLATE = "tiny"

# Shares of the types of documents: questions of the three domains, facts stated without a question, and the steps of a
# problem without a question.
_DOCUMENT_SHARES = {"arithmetic": 0.32, "facts": 0.12, "code": 0.16, "statement": 0.08, "worked": 0.32}
_WORKED_DOMAIN_SHARES = {"arithmetic": 0.75, "code": 0.25}
# Shares of the forms of an answer: at once, by steps in think tags, by steps without tags.
_ANSWER_FORM_SHARES = {
    "arithmetic": {"direct": 0.66, "tagged": 0.20, "untagged": 0.14},
    "facts": {"direct": 0.85, "tagged": 0.15, "untagged": 0.0},
    "code": {"direct": 0.70, "tagged": 0.18, "untagged": 0.12},
}
# Fraction of the direct answers that are wrong.
_WRONG_SHARES = {"arithmetic": 0.5, "facts": 0.08, "code": 0.3}
# Shares of the languages of a chain of thought: that of the question, both in turn at random, or the other one.
# R1-Zero mixed languages, too: mixed chains are what a reward for language consistency has to correct.
_CHAIN_LANGUAGE_SHARES = {"own": 0.4, "mixed": 0.4, "other": 0.2}
# What a wrong sum differs by.
_WRONG_SUM_OFFSETS = (-4, -3, -2, -1, 1, 2, 3, 4)


def world_documents(split: str = "train", count: int = 1000, seed: int = 0) -> Iterator[Row]:
    """Yield `count` documents of pre-training text; their problems belong to `split`."""
    rng = random.Random(f"text/{split}/{seed}")
    for _ in range(count):
        yield {"text": draw_document(draw_by_share(_DOCUMENT_SHARES, rng), split, rng)}


def draw_document(document_type: str, split: str, rng: random.Random) -> str:
    """Return the text of a document: `statement`, `worked`, or a domain whose question is asked and answered."""
    if document_type == "statement":
        question = draw_fact_question(rng)
        return question.steps[rng.choice(LANGUAGES)][0]
    if document_type == "worked":
        question = draw_question(draw_by_share(_WORKED_DOMAIN_SHARES, rng), split, rng)
        return f"{question.expression}: {_draw_chain(question, rng)}"
    question = draw_question(document_type, split, rng)
    return fill_template(TEMPLATE, question.prompt) + _draw_completion(question, rng)


def draw_by_share(shares: dict[str, float], rng: random.Random) -> str:
    """Draw a key with the probability that is its value."""
    return rng.choices(list(shares), list(shares.values()))[0]


def _draw_chain(question: WorldQuestion, rng: random.Random) -> str:
    """Return the steps of a question in one language, or each in either language."""
    other_language = "fa" if question.language == "en" else "en"
    choice = draw_by_share(_CHAIN_LANGUAGE_SHARES, rng)
    languages = {
        "own": (question.language,),
        "other": (other_language,),
        "mixed": (question.language, other_language),
    }[choice]
    steps = []
    for i in range(len(question.steps["en"])):
        steps.append(rng.choice([question.steps[language][i] for language in languages]))
    return " ".join(steps)


def _draw_completion(question: WorldQuestion, rng: random.Random) -> str:
    """Return a completion of a question, right or wrong, with or without steps."""
    form = draw_by_share(_ANSWER_FORM_SHARES[question.domain], rng)
    if form == "direct":
        is_wrong = rng.random() < _WRONG_SHARES[question.domain]
        thinking, answer = "", _draw_wrong_answer(question, rng) if is_wrong else question.answer
    else:
        thinking, answer = f" {_draw_chain(question, rng)}", question.answer
    if form == "tagged":
        thinking = f"<think>{thinking}</think>"
    return f"{thinking}<answer> {answer}</answer>"


def _draw_wrong_answer(question: WorldQuestion, rng: random.Random) -> str:
    """Return an answer that is mostly wrong: it may be right by chance, which the shares do not count."""
    if question.domain == "arithmetic":
        return str(max(0, int(question.answer) + rng.choice(_WRONG_SUM_OFFSETS)))
    if question.domain == "facts":
        return rng.choice(CAPITALS)[1 if question.language == "en" else 3]
    return DOMAINS["code"](rng).answer
