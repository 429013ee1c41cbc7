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

from collections.abc import Sequence

from r1kit.data.adapters.choices import find_choices
from r1kit.data.adapters.example_forms import find_conversation, find_instruction, find_preference
from r1kit.data.adapters.nemo_gym import REQUEST_COLUMN
from r1kit.data.adapters.problem_forms import (
    find_accepted,
    find_nemo_gym,
    find_open_reasoner_zero,
    find_problem,
    find_verl,
)
from r1kit.data.adapters.reading import Reading
from r1kit.rows import Row


def find_form(names: Sequence[str], first_row: Row, seed: int) -> Reading | None:
    """Return how a set with these columns and this first row is read; None if it is of no known form."""
    choices = None if REQUEST_COLUMN in names else find_choices(names, first_row, seed)
    if choices:
        drop_reason = "they have no question, or no right answer among the choices"
        return Reading("choices", frozenset(choices.columns), choices.read_row, choices.count_from, drop_reason)
    finders = (
        find_verl,
        find_nemo_gym,
        find_conversation,
        find_open_reasoner_zero,
        find_preference,
        find_accepted,
        find_problem,
        find_instruction,
    )
    for find in finders:
        reading = find(names, first_row)
        if reading:
            return reading
    return None
