"""Read data sets of the usual forms whose names are not in the table of ADAPTERS: by what their columns are called.

    {"question": "3 + 4?", "final_answer": "7"}                          a problem
    {"body": "Ann has 3 apples.", "question": "How many?", "answer": "3 (apples)"}     a problem in two columns
    {"question": "Who?", "answers": ["Ann", "Ann Lee"]}                  a problem with accepted answers
    {"question": "3 + 4?", "choices": ["6", "7"], "answer": 1}           multiple choice
    {"input": "3 + 4?", "label": "7"}                                    a problem as OpenRLHF has it
    {"conversations": [{"from": "human", "value": "hi"}, ...]}           a conversation
    {"instruction": "Add.", "input": "3, 4", "output": "7"}              an instruction (Alpaca)
    {"prompt": "3 + 4?", "chosen": "7", "rejected": "8"}                 a preference, of which the better is taken

Columns that a form does not read stay as they are.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from r1kit.answers.extract import last_boxed
from r1kit.data.adapters import nemo_gym
from r1kit.data.adapters.accepted import accepted_answers, accepted_row, find_accepted_columns
from r1kit.data.adapters.chat import ConversationError, is_conversation, normalise_messages
from r1kit.data.adapters.choices import CHOICE_COLUMNS, find_choices
from r1kit.data.adapters.mathematics import gold_text
from r1kit.data.adapters.nemo_gym import REQUEST_COLUMN, adapt_nemo_gym
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
COMPLETION_COLUMNS = ("generated_solution", "r1_solution_1", "response", "output", "generation", "r1_generation")
"""Columns with a finished answer to a question, for SFT."""
CONVERSATION_COLUMNS = ("conversations", "conversation", "dialogue", "chat")
INSTRUCTION_COLUMNS = ("instruction", "query", "question", "problem", "prompt", "input")
MAX_ANSWER_CHARACTERS = 100
"""Longest answer of a first row that is taken for an answer to be checked, and not for a whole solution."""

ReadRow = Callable[[Row], Row | None]


@dataclass(frozen=True)
class Reading:
    """How a data set is read: by which form, and from which of its columns."""

    name: str
    columns: frozenset[str]
    """The columns that are read, which are not carried into the rows besides."""
    read_row: ReadRow
    settle: Callable[[Iterable[Row]], ReadRow] | None = None
    """Looks at all rows of the set before any is read, and returns how; None where one row is enough."""


def find_form(names: Sequence[str], first_row: Row, seed: int) -> Reading | None:
    """Return how a set with these columns and this first row is read; None if it is of no known form."""
    choices = None if REQUEST_COLUMN in names else find_choices(names, first_row, seed)
    if choices:
        return Reading("choices", frozenset(choices.columns), choices.read_row, choices.count_from)
    finders = (
        _find_verl,
        _find_nemo_gym,
        _find_conversation,
        _find_orz,
        _find_preference,
        _find_accepted,
        _find_problem,
        _find_instruction,
    )
    for find in finders:
        reading = find(names, first_row)
        if reading:
            return reading
    return None


def has_choices(names: Collection[str]) -> bool:
    """Return whether a set has a column that may hold the choices of a question."""
    return not set(CHOICE_COLUMNS).isdisjoint(names)


def _first(names: Collection[str], candidates: Sequence[str]) -> str | None:
    """Return the first of `candidates` that is among `names`, None without one."""
    return next((name for name in candidates if name in names), None)


# Problems


def _find_problem(names: Sequence[str], first_row: Row) -> Reading | None:
    """Find a question with its answer, by the names that sets have for them."""
    if has_choices(names):
        return None  # a choice cannot be judged without the choices in the prompt
    prompt = _first(names, PROMPT_COLUMNS)
    if prompt is None:
        return None
    if prompt == "messages" and not asks(first_row[prompt]):
        return None
    body = _first(names, BODY_COLUMNS) if prompt.lower() == "question" else None
    passage = _passage_column(names, first_row)
    answers = (*ANSWER_COLUMNS, LABEL_COLUMN) if prompt in LABELLED_COLUMNS else ANSWER_COLUMNS
    answer = next((name for name in answers if name in names and _is_answer(first_row[name])), None)
    if answer is None:
        return _find_solution(names, prompt, first_row)
    if prompt == "prompt" and answer == "answer":
        return None  # r1kit's own columns
    completion = _completion_column(names, first_row)

    def read_row(row: Row) -> Row | None:
        questions = [row.get(body) if body else None, row[prompt]]
        problem = _problem_row(questions, row[answer], row[passage] if passage else None)
        return _with_conversation(problem, row, completion)

    used = [name for name in (passage, body, prompt, answer, completion) if name]
    return Reading("question-answer", frozenset(used), read_row)


def _find_accepted(names: Sequence[str], first_row: Row) -> Reading | None:
    """Find a question with a list of answers, any of which is right."""
    prompt = _first(names, PROMPT_COLUMNS)
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
    return Reading("questions with accepted answers", frozenset(used), read_row)


def _passage_column(names: Sequence[str], first_row: Row) -> str | None:
    """Return the column with a text that the question is about, None without one."""
    return next((name for name in PASSAGE_COLUMNS if name in names and isinstance(first_row[name], str | None)), None)


def _find_solution(names: Sequence[str], prompt: str, first_row: Row) -> Reading | None:
    """Find a question with a solution that has its answer in a box, or that is the answer alone."""
    solution = _first(names, SOLUTION_COLUMNS)
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


def _find_verl(names: Sequence[str], first_row: Row) -> Reading | None:
    """Find verl's form without the name of a source, or with the name that SkyRL has for the ground truth."""
    reward = _first(names, ("reward_model", "reward_spec"))
    if reward is None or "prompt" not in names or not isinstance(first_row[reward], Mapping):
        return None
    return Reading("verl", frozenset(("prompt", reward)), adapt_verl) if "ground_truth" in first_row[reward] else None


def _find_nemo_gym(names: Sequence[str], first_row: Row) -> Reading | None:
    if REQUEST_COLUMN not in names or not isinstance(first_row[REQUEST_COLUMN], Mapping):
        return None
    return Reading("nemo-gym", frozenset(name for name in nemo_gym.COLUMNS if name in names), adapt_nemo_gym)


def _find_orz(names: Sequence[str], first_row: Row) -> Reading | None:
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
    parts = [str(part).strip() for part in questions if part not in (None, "")]
    if not parts or not parts[-1]:
        return None
    parts[:-1] = [part if part.endswith((".", "!", "?", ",")) else f"{part}." for part in parts[:-1]]
    prompt = " ".join(parts)
    if passage:
        prompt = f"{str(passage).strip()}\n\n{prompt}"
    return {"prompt": prompt, "answer": gold, "checker": _checker_of(gold)}


def _checker_of(gold: str) -> str:
    """Return `exact` for an answer of several letters and nothing that mathematics is written with, else `math`."""
    is_words = re.fullmatch(r"[^\W\d_][^\d\\$^_=+*/<>|{}\[\]()]+", gold) is not None
    return "exact" if is_words else "math"


def _completion_column(names: Sequence[str], first_row: Row) -> str | None:
    """Return the column with a finished answer that a set of problems has besides, None without one."""
    return next((n for n in COMPLETION_COLUMNS if n in names and isinstance(first_row[n], str)), None)


def _with_conversation(problem: Row | None, row: Row, completion: str | None) -> Row | None:
    """Return a problem with its finished answer as `messages`, on which SFT trains."""
    if problem is None or completion is None or not row.get(completion):
        return problem
    question = problem["prompt"]
    turns = [{"role": "user", "content": question}] if isinstance(question, str) else question
    return {**problem, "messages": [*turns, {"role": "assistant", "content": row[completion].strip()}]}


# Finished answers


def asks(messages: Any) -> bool:
    """Return whether a conversation ends with a question, as those of Tulu's and ms-swift's problems for RL do."""
    if not is_conversation(messages):
        return False
    try:
        return normalise_messages(messages)[-1]["role"] in ("user", "tool")
    except ConversationError:
        return False  # the error is raised where the messages are read, with the number of the row


def find_judged_examples(names: Collection[str], first_row: Row) -> Reading | None:
    """Find examples that a boolean `label` calls good or bad (KTO), of which SFT must not train on the bad ones."""
    columns = [name for name in ("prompt", "completion", "messages") if name in names]
    if not isinstance(first_row.get("label"), bool) or not {"completion", "messages"} & set(columns):
        return None
    return Reading(
        "examples with a label",
        frozenset([*columns, "label"]),
        lambda row: {name: row[name] for name in columns} if row["label"] else None,
    )


def _find_conversation(names: Sequence[str], first_row: Row) -> Reading | None:
    """Find ShareGPT's form: the turns of a conversation in one column, the system's message perhaps in another."""
    column = _first(names, CONVERSATION_COLUMNS)
    if column is None or not is_conversation(first_row[column]):
        return None
    system = "system" if "system" in names else None

    def read_row(row: Row) -> Row | None:
        messages = normalise_messages(row[column])
        if system and row[system] and messages[0]["role"] != "system":
            messages = [{"role": "system", "content": str(row[system])}, *messages]
        return {"messages": messages} if messages[-1]["role"] == "assistant" else None

    return Reading("conversation", frozenset(name for name in (column, system) if name), read_row)


def _find_preference(names: Sequence[str], first_row: Row) -> Reading | None:
    """Find pairs of a better and a worse answer, of which the better one is an example for SFT."""
    if not {"chosen", "rejected"} <= set(names):
        return None
    used = [name for name in ("prompt", "chosen", "rejected") if name in names]
    if is_conversation(first_row["chosen"]):
        return Reading("preference", frozenset(used), _read_preferred_messages)
    question = _first(names, ("prompt", "question", "instruction", "input"))
    if question is None or not isinstance(first_row["chosen"], str):
        return None

    def read_row(row: Row) -> Row | None:
        if not row[question] or not row["chosen"]:
            return None
        return {"prompt": row[question], "completion": row["chosen"]}

    return Reading("preference", frozenset((question, "chosen", "rejected")), read_row)


def _read_preferred_messages(row: Row) -> Row | None:
    """Read a preferred conversation, before which its prompt may stand in a column of its own."""
    chosen = normalise_messages(row["chosen"])
    prompt = row.get("prompt")
    if all(message["role"] == "assistant" for message in chosen) and prompt:
        turns = normalise_messages(prompt) if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
        chosen = [*turns, *chosen]
    return {"messages": chosen} if len(chosen) > 1 and chosen[-1]["role"] == "assistant" else None


def _find_instruction(names: Sequence[str], first_row: Row) -> Reading | None:
    """Find an instruction with its answer, in Alpaca's form or in that of Dolly and MetaMath."""
    completion = _completion_column(names, first_row)
    if completion is None:
        return None
    question = next((name for name in INSTRUCTION_COLUMNS if name in names and name != completion), None)
    if question is None or not isinstance(first_row[question], str):
        return None
    further = _first(names, ("input", "context")) if question == "instruction" else None
    system = "system" if "system" in names else None
    history = "history" if "history" in names else None

    def read_row(row: Row) -> Row | None:
        prompt = str(row[question] or "").strip()
        if further and row[further]:
            prompt = f"{prompt}\n\n{str(row[further]).strip()}".strip()
        answer = str(row[completion] or "").strip()
        if not prompt or not answer:
            return None
        if not system and not history:
            return {"prompt": prompt, "completion": answer}
        turns = [{"role": "system", "content": str(row[system])}] if system and row[system] else []
        for earlier_question, earlier_answer in (row[history] or []) if history else []:
            turns.append({"role": "user", "content": earlier_question})
            turns.append({"role": "assistant", "content": earlier_answer})
        turns += [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
        return {"messages": turns}

    used = [name for name in (question, further, completion, system, history) if name]
    return Reading("instruction", frozenset(used), read_row)
