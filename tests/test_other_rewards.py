r"""r1kit's rewards beside what the tests of TRL's and open-r1's rewards ask of theirs.

Each scenario retells one test of theirs for r1kit's counterpart: a call, and what they expect of it. Where r1kit gives
something else on purpose, DIFFERENCES says why; docs/how-to/rewards.md has the same in its tables.
"""

import pickle
from functools import partial

import pytest

from r1kit.answers.fault import FAULT
from r1kit.rewards.accuracy import accuracy
from r1kit.rewards.form import fenced, format, tags
from r1kit.rewards.settings import SettingError
from r1kit.rewards.shaping import cosine, length, overlong, repetition, steps

BLOCK = "<think>\nA sum.\n</think>\n<answer>\n4\n</answer>"
PROGRAM = "<think>\nA loop.\n</think>\n<answer>\n```python\ndef f():\n    return 4\n```\n</answer>"
HALF = r"\boxed{\frac{5}{10}}"
THIRD = r"\boxed{\frac{1}{3}}"


def accuracy_of(*pairs):
    """Return the accuracy of (completion, gold answer) pairs."""
    completions = [[{"role": "assistant", "content": completion}] for completion, _ in pairs]
    return accuracy(completions, answer=[gold for _, gold in pairs])


def cosine_of(*rows, **settings):
    """Return the cosine reward of (completion, gold answer, tokens) rows."""
    completions = [completion for completion, _, _ in rows]
    ids = [[1] * tokens for _, _, tokens in rows]
    values = cosine(completions, ids, max_tokens=100, answer=[gold for _, gold, _ in rows], **settings)
    return [value if value in (None, FAULT) else pytest.approx(value, abs=1e-3) for value in values]


def length_of(*rows):
    """Return the length reward of (completion, gold answer, tokens) rows of one prompt."""
    completions = [completion for completion, _, _ in rows]
    ids = [[1] * tokens for _, _, tokens in rows]
    return length(completions, ["Half of 1?"] * len(rows), ids, answer=[gold for _, gold, _ in rows])


def overlong_of(tokens):
    return overlong([""], [[1] * tokens], max_tokens=100, margin=20)


def repetition_of(text, ngram, max_penalty=-1.0):
    return [pytest.approx(value, abs=1e-4) for value in repetition([text], ngram=ngram, max_penalty=max_penalty)]


def steps_of(text):
    return [pytest.approx(value) for value in steps([f"<think>{text}</think><answer>4</answer>"])]


def refuses(call):
    """Return whether a call is refused as a wrong setting."""
    try:
        call()
    except SettingError:
        return True
    return False


def repetition_scenarios(library):
    """The tests of the penalty for repetition, which TRL has on token ids and open-r1 on words."""
    rows = [
        ("no repetition", "the cat sat still", 2, -1.0, 0.0),
        ("full repetition", "na na na na na", 2, -1.0, -0.75),
        ("partial repetition", "it is so it is so far", 2, -1.0, -1 / 3),
        ("several completions", "na na na na", 3, -0.5, -0.25),
        ("empty completion", "", 2, -1.0, 0.0),
        ("another size", "it is so it is so far", 3, -2.0, -0.4),
        ("upper and lower case", "It IS it is", 2, -1.0, -1 / 3),
        ("one word", "word", 3, -1.0, 0.0),
        ("two words", "two words", 3, -1.0, 0.0),
        ("three words", "three other words", 3, -1.0, 0.0),
        ("one word four times", "na na na na", 3, -1.0, -0.5),
        ("two words twice", "one two one two", 3, -1.0, 0.0),
        ("five words", "A B C A B", 3, -1.0, 0.0),
        ("six words", "A B C A B C", 3, -1.0, -0.25),
        ("long with repetition", "A B C A B C E F G A B C A B C", 3, -1.0, -5 / 13),
        ("long without repetition", "A B C D E F G H I J K L", 3, -1.0, 0.0),
    ]
    if library == "TRL":  # its tests have no counterpart to these
        rows = [
            row
            for row in rows
            if row[0] not in ("upper and lower case", "three words", "five words", "two words", "one word")
        ]
    scenarios = []
    for name, text, ngram, max_penalty, expected in rows:
        scenarios.append((f"repetition: {name}", partial(repetition_of, text, ngram, max_penalty), [expected]))
    scenarios.append(
        ("repetition: positive penalty", partial(refuses, partial(repetition, [""], max_penalty=1.0)), True)
    )
    return scenarios


def overlong_scenarios():
    return [
        ("overlong: short", partial(overlong_of, 50), [0.0]),
        ("overlong: long", partial(overlong_of, 110), [-1.0]),
        ("overlong: between", partial(overlong_of, 90), [-0.5]),
    ]


TRL = [
    ("format: valid", partial(format, ["<think>A sum.</think>It is 4.", "<think>\nA sum.\n</think>\n4"]), [1.0, 1.0]),
    (
        "format: invalid",
        partial(
            format,
            [
                "<think>A sum. 4",
                "A sum. 4",
                "A sum.</think>4",
                "A<think>sum</think>4",
                "<think>A<think>b</think></think>4",
            ],
        ),
        [0.0] * 5,
    ),
    ("format: mixed", partial(format, ["<think>A sum.</think>4", "<think>A sum. 4"]), [1.0, 0.0]),
    *overlong_scenarios(),
    ("accuracy: right", partial(accuracy_of, (HALF, r"\frac{5}{10}"), (HALF, "5/10")), [1.0, 1.0]),
    ("accuracy: wrong", partial(accuracy_of, (HALF, r"\frac{6}{10}")), [0.0]),
    ("accuracy: wrong without LaTeX", partial(accuracy_of, (r"\boxed{3}", "6")), [0.0]),
    (
        "accuracy: gold in words",
        partial(accuracy_of, ("It is forty two.", "It is forty two."), (r"\boxed{43}", "It is forty three.")),
        [None, None],
    ),
    ("accuracy: in a thread", partial(accuracy_of, (THIRD, r"\frac{1}{3}")), [1.0]),
    (
        "thinking: right",
        partial(accuracy_of, (f"<think>So.</think> {HALF}", "1/2"), (f"So. </think> {HALF}", "1/2")),
        [1.0, 1.0],
    ),
    ("thinking: other tags", partial(accuracy_of, (f"<START>So.</END> {HALF}", "1/2")), [1.0]),
    ("thinking: wrong", partial(accuracy_of, (f"<think>So.</think> {HALF}", "1/3")), [0.0]),
    (
        "thinking: right only there",
        partial(
            accuracy_of,
            (r"<think>\boxed{42}</think> Other text.", r"\boxed{42}"),
            (r"<think>\boxed{42}</think> \boxed{43}", "42"),
        ),
        [0.0, 0.0],
    ),
    (
        "thinking: cut off, or without",
        partial(accuracy_of, ("<think>So it", "1/2"), (r"It is \frac12 I think", "1/2")),
        [0.0, 0.0],
    ),
    ("thinking: gold in words", partial(accuracy_of, (r"<think>So.</think> \boxed{42}", "forty two")), [None]),
    ("cosine: right", partial(cosine_of, (THIRD, "1/3", 25), (THIRD, "1/3", 75)), [0.92678, 0.57322]),
    ("cosine: wrong", partial(cosine_of, (HALF, "1/3", 25), (HALF, "1/3", 75)), [-0.92678, -0.57322]),
    ("cosine: middle", partial(cosine_of, (THIRD, "1/3", 50), (HALF, "1/3", 50)), [0.75, -0.75]),
    ("cosine: ends, right", partial(cosine_of, (THIRD, "1/3", 0), (THIRD, "1/3", 100)), [1.0, 0.5]),
    ("cosine: ends, wrong", partial(cosine_of, (HALF, "1/3", 0), (HALF, "1/3", 100)), [-1.0, -0.5]),
    ("cosine: longer than the maximum", partial(cosine_of, (THIRD, "1/3", 200), (HALF, "1/3", 200)), [0.5, -0.5]),
    ("cosine: gold in words", partial(cosine_of, (r"\boxed{42}", "forty two", 50)), [None]),
    ("cosine: other bounds", partial(cosine_of, (THIRD, "1/3", 50), right_long=0.0, right_short=2.0), [1.0]),
    ("cosine: pickled", lambda: pickle.loads(pickle.dumps(cosine)).__name__, "cosine"),
    *repetition_scenarios("TRL"),
]

OPEN_R1 = [
    ("names", lambda: all(map(callable, (accuracy, format, steps, cosine, repetition, length, tags, fenced))), True),
    ("accuracy: right", partial(accuracy_of, (HALF, r"\frac{5}{10}")), [1.0]),
    ("accuracy: wrong", partial(accuracy_of, (HALF, r"\frac{6}{10}")), [0.0]),
    ("accuracy: several", partial(accuracy_of, (HALF, "1/2"), (THIRD, "1/2")), [1.0, 0.0]),
    ("format: right", partial(format, [BLOCK]), [1.0]),
    (
        "format: wrong",
        partial(
            format,
            [
                "<think>A</think>",
                "<answer>4</answer>",
                "4",
                "<think>A</think><answer>4",
                "<think>A</answer><answer>4</think>",
            ],
        ),
        [0.0] * 5,
    ),
    ("format: many lines", partial(format, [BLOCK.replace("A sum.", "1. two\n2. two\n\nThat is 4.")]), [1.0]),
    ("steps", partial(steps_of, "Step 1: two\nStep 2: two\nStep 3: add"), [1.0]),
    ("cosine: short and right", partial(cosine_of, (HALF, "1/2", 20)), [0.952]),
    ("length: the same", partial(length_of, (HALF, "1/2", 9), (THIRD, "1/2", 9)), [0.0, 0.0]),
    ("length: right", partial(length_of, (HALF, "1/2", 9), (HALF, "1/2", 19)), [0.5, -0.5]),
    ("length: wrong", partial(length_of, (THIRD, "1/2", 9), (THIRD, "1/2", 19)), [0.0, -0.5]),
    (
        "length: mixed",
        partial(length_of, (HALF, "1/2", 9), (HALF, "1/2", 19), (THIRD, "1/2", 9), (THIRD, "1/2", 19)),
        [0.5, -0.5, 0.0, -0.5],
    ),
    (
        "length: gold that nobody can parse",
        partial(length_of, (r"\boxed{answer}", "x + ", 9), (r"\boxed{answer}", "x + ", 19)),
        [0.5, -0.5],
    ),
    *repetition_scenarios("open-r1"),
    ("tags: all", partial(tags, [BLOCK]), [1.0]),
    ("tags: no <think>", partial(tags, [BLOCK.replace("<think>\n", "")]), [0.75]),
    ("tags: no </think>", partial(tags, [BLOCK.replace("</think>\n", "")]), [0.75]),
    ("tags: no <answer>", partial(tags, [BLOCK.replace("<answer>\n", "")]), [0.75]),
    ("tags: no </answer>", partial(tags, [BLOCK.replace("\n</answer>", "")]), [0.75]),
    ("tags: none", partial(tags, ["A sum. 4"]), [0.0]),
    *overlong_scenarios(),
    ("code: right", lambda: [format([PROGRAM])[0] * fenced([PROGRAM])[0]], [1.0]),
    (
        "code: wrong",
        lambda: [
            format([text])[0] * fenced([text])[0]
            for text in (
                "```python\nx = 1\n```",
                "<think>A</think><answer>text</answer>",
                "<think>A</think><answer>```javascript\nx\n```</answer>",
                "<think>A</think><answer>```\nx\n```</answer>",
                "<answer>```python\nx\n```</answer><think>A</think>",
            )
        ],
        [0.0] * 5,
    ),
    (
        "code: a block in the thinking too",
        partial(fenced, [PROGRAM.replace("A loop.", "```python\nx = 1\n```\nSo:")]),
        [1.0],
    ),
    (
        "code: another language",
        partial(fenced, [PROGRAM.replace("python", "javascript")], code_language="javascript"),
        [1.0],
    ),
    ("code: many lines", partial(fenced, [PROGRAM.replace("return 4", "x = 2\n\n    return x + x")]), [1.0]),
]

# Scenarios on which r1kit differs on purpose, and why.
DIFFERENCES = {
    ("TRL", "format: valid"): "R1-Zero's format has an answer block as well",
    ("TRL", "format: mixed"): "R1-Zero's format has an answer block as well",
    ("TRL", "accuracy: gold in words"): "words are compared as words",
    ("TRL", "thinking: gold in words"): "words are compared as words",
    ("TRL", "cosine: gold in words"): "words are compared as words",
    ("open-r1", "length: gold that nobody can parse"): "such a gold answer is a FAULT: nobody knows what is right",
}
SCENARIOS = [("TRL", *scenario) for scenario in TRL] + [("open-r1", *scenario) for scenario in OPEN_R1]


@pytest.mark.parametrize(("library", "name", "call", "expected"), SCENARIOS, ids=[f"{s[0]} {s[1]}" for s in SCENARIOS])
def test_a_reward_gives_what_its_counterpart_gives_but_for_the_differences_listed(library, name, call, expected):
    assert (call() == expected) is ((library, name) not in DIFFERENCES)


def test_the_counts_of_both_libraries():
    for library, scenarios, agreed in (("TRL", TRL, 33), ("open-r1", OPEN_R1, 43)):
        differences = [name for other, name in DIFFERENCES if other == library]
        assert len(scenarios) - len(differences) >= agreed
