"""TODO."""

import random
from collections.abc import Iterator

from r1kit.data.world.capitals import CAPITALS
from r1kit.data.world.questions import DOMAINS, WorldQuestion, draw_fact_question, draw_question
from r1kit.prompts import fill_template

TEMPLATE = "tiny"


# How the pre-training text answers, in shares. `wrong` is the share of direct answers that are wrong.
_WAYS = {
    "arithmetic": {"direct": 0.66, "tagged": 0.20, "untagged": 0.14, "wrong": 0.5},
    "facts": {"direct": 0.85, "tagged": 0.15, "untagged": 0.0, "wrong": 0.08},
    "code": {"direct": 0.70, "tagged": 0.18, "untagged": 0.12, "wrong": 0.3},
}


# In which language the steps of a chain of thought stand, in shares.
_TONGUES = {"own": 0.4, "mixed": 0.4, "other": 0.2}


_MIX = {"arithmetic": 0.32, "facts": 0.12, "code": 0.16, "statement": 0.08, "worked": 0.32}


def _pick(shares: dict[str, float], rng: random.Random) -> str:
    return rng.choices(list(shares), list(shares.values()))[0]


def _chain(q: WorldQuestion, rng: random.Random) -> str:
    other = "fa" if q.language == "en" else "en"
    tongue = _pick(_TONGUES, rng)
    langs = {"own": (q.language,), "other": (other,), "mixed": (q.language, other)}[tongue]
    return " ".join(rng.choice([q.steps[lang][i] for lang in langs]) for i in range(len(q.steps["en"])))


def _wrong(q: WorldQuestion, rng: random.Random) -> str:
    if q.domain == "arithmetic":
        return str(max(0, int(q.answer) + rng.choice((-4, -3, -2, -1, 1, 2, 3, 4))))
    if q.domain == "facts":
        return rng.choice(CAPITALS)[1 if q.language == "en" else 3]
    return DOMAINS["code"](rng).answer


def _answered(q: WorldQuestion, rng: random.Random) -> str:
    ways = dict(_WAYS[q.domain])
    wrong = ways.pop("wrong")
    way = _pick(ways, rng)
    answer = _wrong(q, rng) if way == "direct" and rng.random() < wrong else q.answer
    chain = "" if way == "direct" else f" {_chain(q, rng)}"
    lead = f"<think>{chain}</think>" if way == "tagged" else chain
    return f"{lead}<answer> {answer}</answer>"


def world_documents(split: str = "train", count: int = 1000, seed: int = 0) -> Iterator[dict]:
    """Yield `count` documents of pre-training text, as `prompt` and `completion` put together in `text`."""
    rng = random.Random(f"text/{split}/{seed}")
    for _ in range(count):
        kind = _pick(_MIX, rng)
        if kind == "statement":
            q = draw_fact_question(rng)
            yield {"text": q.steps[rng.choice(("en", "fa"))][0]}
        elif kind == "worked":
            q = draw_question(_pick({"arithmetic": 0.75, "code": 0.25}, rng), split, rng)
            yield {"text": f"{q.shown}: {_chain(q, rng)}"}
        else:
            q = draw_question(kind, split, rng)
            yield {"text": fill_template(TEMPLATE, q.prompt) + _answered(q, rng)}
