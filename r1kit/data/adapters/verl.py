"""Read rows of verl's form: DAPO-Math-17k, Skywork-OR1, Eurus-2, DeepScaleR and what people write for verl themselves.

    {"data_source": "x", "prompt": [{"role": "user", "content": "3 + 4?"}], "ability": "math",
     "reward_model": {"style": "rule", "ground_truth": "7"}, "extra_info": {"index": 0}}

The ground truth is an answer, or the tests of a program; as a value, or as JSON. All turns of the prompt are kept. A
ground truth that r1kit cannot judge by is left out: a list of several answers, an object that holds no answer.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from r1kit.data.adapters.accepted import accepted_answers, accepted_row
from r1kit.data.adapters.chat import normalise_messages
from r1kit.data.adapters.code_tests import parse_tests, tests_as_json
from r1kit.data.adapters.mathematics import NO_ANSWERS, without_dapo_instruction
from r1kit.rows import Row

ANSWER_KEYS = ("answer", "ground_truth", "final_answer", "value", "target_answer", "solution", "expected_answer")
"""Keys of an object under which its answer stands."""
ACCEPTED_KEY = "target"
"""Key of an object with the answers any of which is right, in Search-R1's rows."""
# "(A) ..." or "A. ..." at the beginning of a line of a prompt: one of the choices of a question.
_CHOICE_LINE = re.compile(r"^\s*[(*]*([A-J])[).:]", re.MULTILINE)
MIN_CHOICES = 3


def adapt_verl(row: Row) -> Row | None:
    """Read a row of verl's form; None for one whose ground truth cannot be judged by."""
    prompt = _read_prompt(row["prompt"])
    reward = row["reward_model"] if "reward_model" in row else row["reward_spec"]
    truth = _decoded(reward["ground_truth"])
    if prompt is None or truth is None:
        return None
    columns = {"source": row.get("data_source"), "id": _row_id(row), "level": _level(row)}
    is_code = str(row.get("ability") or "").lower() in ("code", "coding", "programming")
    tests = parse_tests(truth)
    if tests:
        return {"prompt": prompt, "tests": tests_as_json(tests), "checker": "code", "domain": "code", **columns}
    if isinstance(truth, Mapping) and truth.keys() == {ACCEPTED_KEY}:
        accepted = accepted_answers([truth[ACCEPTED_KEY]])
        if len(accepted) > 1:
            return {"prompt": prompt, "domain": _domain(row, "exact"), **columns, **accepted_row(accepted)}
        truth = accepted
    answer = _answer(truth)
    if is_code or answer is None:
        return None
    checker = "choice" if _is_choice(prompt, answer) else "math"
    return {"prompt": prompt, "answer": answer, "checker": checker, "domain": _domain(row, checker), **columns}


def _read_prompt(prompt: Any) -> Any:
    """Return the text of a prompt of one user's message, without DAPO's instruction; the messages of any other."""
    if isinstance(prompt, str):
        return without_dapo_instruction(prompt) if prompt.strip() else None
    messages = normalise_messages(prompt)
    if len(messages) == 1 and messages[0]["role"] == "user":
        return without_dapo_instruction(messages[0]["content"])
    return messages if messages[-1]["role"] in ("user", "tool") else None


def _decoded(truth: Any) -> Any:
    """Return a ground truth that is JSON text of an object, or of a list with anything but numbers, as what it holds.

    `[1, 2]` stays text: it is an answer of two numbers.
    """
    if not isinstance(truth, str) or not truth.lstrip().startswith(("[", "{", '"')):
        return truth
    try:
        value = json.loads(truth)
    except (ValueError, RecursionError):
        return truth
    if isinstance(value, list) and all(isinstance(member, int | float) for member in value):
        return truth
    return value


def _answer(truth: Any) -> str | None:
    """Return the one answer that a ground truth holds; None for several, and for an object without one."""
    if isinstance(truth, Mapping):
        present = [truth[key] for key in ANSWER_KEYS if truth.get(key) is not None]
        # An object with more than its answer, such as the numbers of a countdown, needs a judge of its own.
        return _answer(present[0]) if len(present) == 1 and len(truth) == 1 else None
    if isinstance(truth, list):
        members = list(dict.fromkeys(map(str, truth)))
        return _answer(members[0]) if len(members) == 1 else None
    if truth is None:
        return None
    text = str(truth).strip()
    return text if text and text.lower() not in NO_ANSWERS else None


def _row_id(row: Row) -> str | None:
    """Return a row's id: its index, with the source's name before a number, which other sources have too."""
    extra_info = row.get("extra_info")
    index = extra_info.get("index") if isinstance(extra_info, Mapping) else None
    if index is None:
        return None
    if isinstance(index, int | float) or str(index).isdigit():
        split = extra_info.get("split") if isinstance(extra_info, Mapping) else None
        names = [row.get("data_source"), split, index]
        return "/".join(str(name) for name in names if name is not None)
    return str(index)


def _level(row: Row) -> Any:
    extra_info = row.get("extra_info")
    return extra_info.get("difficulty") or extra_info.get("level") if isinstance(extra_info, Mapping) else None


def _domain(row: Row, checker: str) -> str:
    ability = str(row.get("ability") or "").lower()
    return ability or ("math" if checker == "math" else "")


def _is_choice(prompt: Any, answer: str) -> bool:
    """Return whether a gold answer is one of the letters of the choices that stand in the prompt."""
    text = prompt if isinstance(prompt, str) else prompt[-1]["content"]
    letters = "".join(dict.fromkeys(_CHOICE_LINE.findall(text)))
    letter = answer.strip("() .").upper()
    return len(letters) >= MIN_CHOICES and "ABCDEFGHIJ".startswith(letters) and len(letter) == 1 and letter in letters
