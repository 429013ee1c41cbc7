"""A few rows of each benchmark in the columns of its set, with completions whose scores are known.

The problems are made up here; none is of the set. `text` is what a prompt has of its row, `completions` are the
server's answers to it, one after the other, and `scores` is what each of them is worth.
"""

import base64
import json
import pickle
import zlib
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ScriptedRow:
    """One row of a set, and the completions that it gets."""

    row: dict[str, Any]
    text: str
    completions: list[str]
    scores: list[float]
    others: dict[str, list[float]] = field(default_factory=dict)
    """Scores of further metrics."""


def _problem(question: str, gold: str, right: str, wrong: str, **columns: Any) -> list[ScriptedRow]:
    """Return a mathematical problem that gets three right completions and a wrong one by turns."""
    completions, scores = [right, wrong, right, right], [1.0, 0.0, 1.0, 1.0]
    return [ScriptedRow({"problem": question, **columns, "answer": gold}, question, completions, scores)]


def _choices(columns: dict[str, Any], question: str, right: str) -> ScriptedRow:
    return ScriptedRow(columns, question, [f"Let me think.\nAnswer: {right}"], [1.0])


def _program(body: str) -> str:
    return f"Here it is:\n```python\n{body}\n```"


ADD = "def add_two(n):\n    return n + 2"
SUB = "def add_two(n):\n    return n - 2"
READ_AND_DOUBLE = "print(int(input()) * 2)"
PRIVATE_CASES = json.dumps([{"input": "4\n", "output": "8\n", "testtype": "stdin"}])


def encode_private_tests(cases: str) -> str:
    """Return private tests as LiveCodeBench has them: JSON that is pickled, compressed and encoded."""
    return base64.b64encode(zlib.compress(pickle.dumps(cases))).decode()


def _contest_row(title: str, date: str, **changes: Any) -> dict[str, Any]:
    return {
        "question_title": title,
        "question_content": f"{title}: read a number and print its double.",
        "platform": "atcoder",
        "question_id": title,
        "contest_id": "abc",
        "contest_date": f"{date}T00:00:00",
        "starter_code": "",
        "difficulty": "easy",
        "public_test_cases": json.dumps([{"input": "3\n", "output": "6\n", "testtype": "stdin"}]),
        "private_test_cases": encode_private_tests(PRIVATE_CASES),
        "metadata": "{}",
        **changes,
    }


_FUNCTION_ROW = _contest_row(
    "Doubled",
    "2024-12-31",
    question_content="Doubled: return the double of a number.",
    starter_code="class Solution:\n    def double(self, n: int) -> int:\n        ",
    public_test_cases=json.dumps([{"input": "3", "output": "6", "testtype": "functional"}]),
    private_test_cases=encode_private_tests(json.dumps([{"input": "4", "output": "8", "testtype": "functional"}])),
    metadata=json.dumps({"func_name": "double"}),
)
_METHOD = "class Solution:\n    def double(self, n: int) -> int:\n        return 2 * n"

_MMLU_ROW = {"question": "Which is a planet?", "subject": "astronomy", "choices": ["Sun", "Moon", "Mars", "Sirius"]}
_IFEVAL_KWARGS = {"num_words": None, "relation": None, "keywords": None}

ROWS: dict[str, list[ScriptedRow]] = {
    "aime24": [
        *_problem("How many is $7\\cdot 9$?", "063", "\\boxed{63}", "\\boxed{64}", id=60, url="u", year="2024"),
        ScriptedRow(
            {"id": 61, "problem": "How many is $5+6$?", "solution": "", "answer": "11", "url": "u", "year": "2024"},
            "How many is $5+6$?",
            ["\\boxed{11}"],
            [1.0],
        ),
    ],
    "aime25": _problem("How many is $7\\cdot 8$?", "56", "The answer is 56.", "The answer is 57.", id="0"),
    "amc23": _problem("How many is $7\\cdot 7$?", "49.0", "\\boxed{49}", "\\boxed{50}", id=1, url="u"),
    "math500": _problem(
        "What is half of three?", "\\frac{3}{2}", "$\\boxed{1.5}$", "$\\boxed{3}$", solution="s", subject="Algebra"
    ),
    "gsm8k": [
        ScriptedRow(
            {"question": "Ann has 1,000 pears and gets 8. How many?", "answer": "1000 + 8\n#### 1,008"},
            "Ann has 1,000 pears and gets 8. How many?",
            ["She has \\boxed{1008} pears."],
            [1.0],
        ),
        ScriptedRow({"question": "Two and two?", "answer": "#### 4"}, "Two and two?", ["\\boxed{5}"], [0.0]),
    ],
    "gpqa-diamond": [
        ScriptedRow(
            {
                "Question": "Which gas do plants take in?",
                "Correct Answer": "carbon dioxide",
                "Incorrect Answer 1": "helium",
                "Incorrect Answer 2": "argon",
                "Incorrect Answer 3": "neon",
                "Record ID": "r1",
            },
            # With the default seed the right choice is shuffled to this place, which the test looks up.
            "Which gas do plants take in?",
            ["Answer: {gold}", "Answer: {gold}", "Answer: {gold}", "I do not know."],
            [1.0, 1.0, 1.0, 0.0],
        )
    ],
    "mmlu": [
        _choices({**_MMLU_ROW, "answer": 2}, "Which is a planet?", "C"),
        ScriptedRow(
            {**_MMLU_ROW, "question": "Which is a star?", "answer": 0}, "Which is a star?", ["Answer: B"], [0.0]
        ),
        # The set has rows twice, and counts them twice.
        _choices({**_MMLU_ROW, "answer": 2}, "Which is a planet?", "C"),
    ],
    "mmlu-stem": [_choices({**_MMLU_ROW, "answer": 3, "question": "Which is far?"}, "Which is far?", "D")],
    "mmlu-redux": [
        _choices({**_MMLU_ROW, "answer": 0, "question": "Which is hot?", "error_type": "ok"}, "Which is hot?", "A")
    ],
    "mmlu-pro": [
        _choices(
            {
                "question_id": 1,
                "question": "Which is the tenth letter?",
                "options": list("abcdefghij"),
                "answer": "J",
                "answer_index": 9,
                "cot_content": "",
                "category": "other",
                "src": "s",
            },
            "Which is the tenth letter?",
            "J",
        )
    ],
    "ceval": [
        ScriptedRow(
            {
                "id": 0,
                "question": "下列哪一个是行星？",
                "A": "太阳",
                "B": "火星",
                "C": "月球",
                "D": "天狼星",
                "answer": "B",
                "explanation": "",
            },
            "下列哪一个是行星？",
            ["火星是行星。\n答案：B"],
            [1.0],
        )
    ],
    "arc-challenge": [
        _choices(
            {
                "id": "a",
                "question": "What falls from clouds?",
                "choices": {"text": ["sand", "rain", "iron", "wood"], "label": ["A", "B", "C", "D"]},
                "answerKey": "B",
            },
            "What falls from clouds?",
            "B",
        )
    ],
    "livecodebench": [
        ScriptedRow(
            _contest_row("Twice", "2024-08-01"),
            "Twice: read",
            [_program(READ_AND_DOUBLE), _program("print(6)")],  # the second one passes the public test alone
            [1.0, 0.0],
        ),
        ScriptedRow(_FUNCTION_ROW, "Doubled: return", [_program(_METHOD)], [1.0]),
        ScriptedRow(_contest_row("Too early", "2024-07-31"), "Too early: read", [""], []),
        ScriptedRow(_contest_row("Too late", "2025-02-01"), "Too late: read", [""], []),
    ],
    "humaneval": [
        ScriptedRow(
            {
                "task_id": "HumanEval/0",
                "prompt": 'def add_two(n):\n    """Return n plus two."""\n',
                "canonical_solution": "    return n + 2\n",
                "test": "def check(candidate):\n    assert candidate(1) == 3\n    assert candidate(-2) == 0\n",
                "entry_point": "add_two",
            },
            "Return n plus two.",
            [_program(ADD), _program("    return n + 2"), _program(SUB), "No."],
            [1.0, 1.0, 0.0, 0.0],
        )
    ],
    "mbpp": [
        ScriptedRow(
            {
                "task_id": 11,
                "text": "Write a function to add two to a number.",
                "code": ADD,
                "test_list": ["assert add_two(1) == 3", "assert add_two(5) == 7"],
                "test_setup_code": "",
                "challenge_test_list": [],
            },
            "Write a function to add two to a number.",
            [_program(ADD), _program(SUB)],
            [1.0, 0.0],
        )
    ],
    "ifeval": [
        ScriptedRow(
            {
                "key": 1000,
                "prompt": "Name two colours in at least three words, without a comma.",
                "instruction_id_list": ["length_constraints:number_words", "punctuation:no_comma"],
                "kwargs": [{**_IFEVAL_KWARGS, "num_words": 3, "relation": "at least"}, _IFEVAL_KWARGS],
            },
            "Name two colours in at least three words",
            # One instruction of two is followed, loosely both: the first line has the comma.
            ["<think>Hm, let me see.</think>Sure, here:\nred and also blue"],
            [0.0],
            {"prompt loose": [1.0], "instruction strict": [0.0, 1.0], "instruction loose": [1.0, 1.0]},
        ),
        ScriptedRow(
            {
                "key": 1001,
                "prompt": "Say hello without a comma at all.",
                "instruction_id_list": ["punctuation:no_comma"],
                "kwargs": [_IFEVAL_KWARGS],
            },
            "Say hello without a comma at all",
            ["Hello"],
            [1.0],
            {"prompt loose": [1.0], "instruction strict": [1.0], "instruction loose": [1.0]},
        ),
    ],
}
