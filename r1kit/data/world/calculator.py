"""Sums, differences and products of digits, which a tool computes for the scale model (`world:calculator`).

`world:calculator_turns` has conversations about them, for SFT: in most of them the model calls the tool `python` and
answers with its result, in the others it guesses at once, and nearly always wrongly. So a model that was trained on
them sometimes calls the tool, and reinforcement learning has something to find. Questions belong to the splits as those
of `questions.py` do.
"""

import json
import random
from collections.abc import Iterator

from r1kit.data.world.questions import MAX_REPEATED_DRAWS, split_of
from r1kit.rows import Row

DOMAIN = "calculator"
DIGITS = range(2, 10)
GUESSES = range(-7, 82)
GUESS_SHARE = 0.3
"""Fraction of the conversations in which the model guesses instead of calling the tool."""

_PROMPTS = ("What is {}?", "Compute {}.")
_OPERATIONS = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b}

PYTHON_TOOL = {
    "type": "function",
    "function": {
        "name": "python",
        "description": "Run a Python program and return what it prints.",
        "parameters": {
            "type": "object",
            "properties": {"code": {"type": "string", "description": "The program."}},
            "required": ["code"],
        },
    },
}
"""The JSON schema of the tool `python` (r1kit/tools/python_box.py), as it stands in the prompts of these rows."""


def calculator_problems(split: str, count: int, seed: int) -> Iterator[Row]:
    """Yield up to `count` different problems, each with its answer; a split has a few hundred."""
    rng = random.Random(f"{DOMAIN}/{split}/{seed}")
    prompts: set[str] = set()
    repeated_draws = 0
    while len(prompts) < count and repeated_draws < MAX_REPEATED_DRAWS:
        prompt, _, answer = _draw_question(split, rng)
        if prompt in prompts:
            repeated_draws += 1
            continue
        repeated_draws = 0
        prompts.add(prompt)
        yield {"prompt": prompt, "answer": answer, "domain": DOMAIN, "checker": "math", "language": "en"}


def calculator_conversations(split: str, count: int, seed: int) -> Iterator[Row]:
    """Yield `count` conversations for SFT, in the columns `messages` and `tools`, which is JSON; some occur again."""
    rng = random.Random(f"{DOMAIN} turns/{split}/{seed}")
    for _ in range(count):
        prompt, expression, answer = _draw_question(split, rng)
        messages: list[Row] = [{"role": "user", "content": prompt}]
        if rng.random() < GUESS_SHARE:
            answer = str(rng.choice(GUESSES))
        else:
            function = {"name": "python", "arguments": json.dumps({"code": f"print({expression})"})}
            call = {"type": "function", "function": function}
            messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
            messages.append({"role": "tool", "name": "python", "content": answer})
        messages.append({"role": "assistant", "content": f"<answer> {answer}</answer>"})
        yield {"messages": messages, "tools": json.dumps([PYTHON_TOOL])}


def _draw_question(split: str, rng: random.Random) -> tuple[str, str, str]:
    """Return the prompt, the expression and the answer of a question that belongs to a split."""
    while True:
        first, second = rng.choice(DIGITS), rng.choice(DIGITS)
        sign = rng.choice(list(_OPERATIONS))
        expression = f"{first} {sign} {second}"
        if split_of(expression) == split:
            return rng.choice(_PROMPTS).format(expression), expression, str(_OPERATIONS[sign](first, second))
