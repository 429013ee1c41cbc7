"""Find problems with their answers by what the columns of a data set are called; see r1kit/data/adapters/forms.py."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from r1kit.answers.extract import last_boxed
from r1kit.data.adapters import nemo_gym
from r1kit.data.adapters.accepted import accepted_answers, accepted_row, find_accepted_columns
from r1kit.data.adapters.chat import is_conversation, normalise_messages
from r1kit.data.adapters.example_forms import asks, completion_column
from r1kit.data.adapters.mathematics import gold_text
from r1kit.data.adapters.nemo_gym import REQUEST_COLUMN, adapt_nemo_gym
from r1kit.data.adapters.reading import Reading, first_column, has_choices
from r1kit.data.adapters.verl import adapt_verl
from r1kit.rows import Row

PROMPT_COLUMNS = ("problem", "question", "Problem", "Question", "query", "input", "prompt", "messages")
BODY_COLUMNS = ("body", "Body")
"""What stands before the question: ASDiv and SVAMP tell the story and ask in columns of their own."""
PASSAGE_COLUMNS = ("passage", "context")
"""A text that the question is about, as in BoolQ."""
ANSWER_COLUMNS = (
    "final_answer",
    "expected_answer",
    "gt_answer",
    "ground_truth",
    "ground_truth_answer",
    "gold_answer",
    "reference_answer",
    "ref_answer",
    "correct_answer",
    "extracted_answer",
    "answer",
    "Answer",
    "answer_number",
    "golden",
    "gt",
    "target",
)
LABEL_COLUMN = "label"
LABELLED_COLUMNS = ("input", "prompt", "messages")
"""Columns of questions whose `label` is their answer, as OpenRLHF and slime have it."""
SOLUTION_COLUMNS = ("solution", "Solution")
"""Columns with a whole solution, whose last box is the answer; or with the answer alone."""
MAX_ANSWER_CHARACTERS = 100
"""Longest answer of a first row that is taken for an answer to be checked, and not for a whole solution."""


def find_problem(names: Sequence[str], first_row: Row) -> Reading | None:
    """Find a question with its answer, by the names that sets have for them."""
    if has_choices(names):
        return None  # a choice cannot be judged without the choices in the prompt
    prompt = first_column(names, PROMPT_COLUMNS)
    if prompt is None:
        return None
    if prompt == "messages" and not asks(first_row[prompt]):
        return None
    body = first_column(names, BODY_COLUMNS) if prompt.lower() == "question" else None
    passage = _passage_column(names, first_row)
    answers = (*ANSWER_COLUMNS, LABEL_COLUMN) if prompt in LABELLED_COLUMNS else ANSWER_COLUMNS
    answer = next((name for name in answers if name in names and _is_answer(first_row[name])), None)
    if answer is None:
        return find_solution(names, prompt, first_row)
    if prompt == "prompt" and answer == "answer":
        return None  # r1kit's own columns
    completion = completion_column(names, first_row)

    def read_row(row: Row) -> Row | None:
        questions = [row.get(body) if body else None, row[prompt]]
        problem = _problem_row(questions, row[answer], row[passage] if passage else None)
        return _with_conversation(problem, row, completion)

    used = [name for name in (passage, body, prompt, answer, completion) if name]
    return Reading("question-answer", frozenset(used), read_row)


def find_accepted(names: Sequence[str], first_row: Row) -> Reading | None:
    """Find a question with a list of answers, any of which is right."""
    prompt = first_column(names, PROMPT_COLUMNS)
    answers = find_accepted_columns(names, first_row)
    if prompt is None or not answers or has_choices(names):
        return None
    passage = _passage_column(names, first_row)

    def read_row(row: Row) -> Row | None:
        accepted = accepted_answers([row[name] for name in answers])
        if not accepted:
            return None
        problem = _problem_row([row[prompt]], accepted[0], row[passage] if passage else None)
        return {**problem, **accepted_row(accepted)} if problem and len(accepted) > 1 else problem

    used = [name for name in (passage, prompt, *answers) if name]
    drop_reason = "they have no answer, or several all of which may be asked for"
    return Reading("questions with accepted answers", frozenset(used), read_row, drop_reason=drop_reason)


def _passage_column(names: Sequence[str], first_row: Row) -> str | None:
    """Return the column with a text that the question is about, None without one."""
    return next((name for name in PASSAGE_COLUMNS if name in names and isinstance(first_row[name], str | None)), None)


def find_solution(names: Sequence[str], prompt: str, first_row: Row) -> Reading | None:
    """Find a question with a solution that has its answer in a box, or that is the answer alone."""
    solution = first_column(names, SOLUTION_COLUMNS)
    if solution is None or not isinstance(first_row[solution], str):
        return None
    if last_boxed(first_row[solution]) is not None:

        def read_answer(row: Row) -> Any:
            return last_boxed(row[solution] or "")

    elif _is_answer(first_row[solution]):

        def read_answer(row: Row) -> Any:
            return row[solution]

    else:
        return None
    return Reading(
        "question-solution",
        frozenset((prompt, solution)),
        lambda row: _problem_row([row[prompt]], read_answer(row)),
    )


def find_verl(names: Sequence[str], first_row: Row) -> Reading | None:
    """Find verl's form without the name of a source, or with the name that SkyRL has for the ground truth."""
    reward = first_column(names, ("reward_model", "reward_spec"))
    if reward is None or "prompt" not in names or not isinstance(first_row[reward], Mapping):
        return None
    return Reading("verl", frozenset(("prompt", reward)), adapt_verl) if "ground_truth" in first_row[reward] else None


def find_nemo_gym(names: Sequence[str], first_row: Row) -> Reading | None:
    """Find a request to a model, with what NeMo-Gym judges its answer by."""
    if REQUEST_COLUMN not in names or not isinstance(first_row[REQUEST_COLUMN], Mapping):
        return None
    columns = frozenset(name for name in nemo_gym.COLUMNS if name in names)
    return Reading(
        "nemo-gym", columns, adapt_nemo_gym, drop_reason="they offer tools, or have neither answer nor tests"
    )


def find_open_reasoner_zero(names: Sequence[str], first_row: Row) -> Reading | None:
    """Find Open-Reasoner-Zero's form: a list of two turns, the second of which holds the ground truth."""
    if not {"0", "1"} <= set(names) or not isinstance(first_row["1"], Mapping):
        return None
    if not isinstance(first_row["1"].get("ground_truth"), Mapping):
        return None

    def read_row(row: Row) -> Row | None:
        return _problem_row([row["0"]["value"]], row["1"]["ground_truth"]["value"])

    return Reading("open-reasoner-zero", frozenset(("0", "1")), read_row)


def _is_answer(value: Any) -> bool:
    """Return whether a value may be an answer that is checked: a number, a short text, or a list of one."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, int | float):  # bool among them, as in BoolQ
        return True
    return isinstance(value, str) and 0 < len(value) <= MAX_ANSWER_CHARACTERS and "\n" not in value.strip()


def _problem_row(questions: Sequence[Any], answer: Any, passage: Any = None) -> Row | None:
    """Return a problem; None without a question or an answer. A passage that it is about stands before it.

    An answer without any digit or mathematical sign is compared as text.
    """
    gold = gold_text(answer)
    if gold is None:
        return None
    if is_conversation(questions[-1]):
        return {"prompt": normalise_messages(questions[-1]), "answer": gold, "checker": _checker_of(gold)}
    sentences = [str(text).strip() for text in questions if text not in (None, "")]
    if not sentences or not sentences[-1]:
        return None
    for index, text in enumerate(sentences[:-1]):
        if not text.endswith((".", "!", "?", ",")):
            sentences[index] = f"{text}."
    prompt = " ".join(sentences)
    if passage:
        prompt = f"{str(passage).strip()}\n\n{prompt}"
    return {"prompt": prompt, "answer": gold, "checker": _checker_of(gold)}


def _checker_of(gold: str) -> str:
    """Return `exact` for an answer of several letters and nothing that mathematics is written with, else `math`."""
    is_words = re.fullmatch(r"[^\W\d_][^\d\\$^_=+*/<>|{}\[\]()]+", gold) is not None
    return "exact" if is_words else "math"


def _with_conversation(problem: Row | None, row: Row, completion: str | None) -> Row | None:
    """Return a problem with its finished answer as `messages`, on which SFT trains."""
    if problem is None or completion is None or not row.get(completion):
        return problem
    question = problem["prompt"]
    turns = [{"role": "user", "content": question}] if isinstance(question, str) else question
    return {**problem, "messages": [*turns, {"role": "assistant", "content": row[completion].strip()}]}
