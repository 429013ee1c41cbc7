r"""Are two answers the same? And which part of a completion is the answer?

    extract.py         the answer in a completion, and by which form it is read (`read_answer`)
    thinking.py        where the thinking ends, of each family of models (`split_thinking`); chat messages as text
    boxes.py           the answer in one or several `\boxed{}`es (`boxed_answer`)
    programs.py        the program in a reply (`find_program`)
    reply.py           the answer that a reply states in words, or in its last line (`read_statement`)
    wording.py, plain_value.py, sentences.py, phrases.py, last_line.py   the steps of reply.py, which lists them
    choices.py         the letters that a text chooses (`chosen_letters`)
    choice_labels.py   what the labels of choices look like, and the choices that a question lists (`parse_options`)
    forms.py           how many answers were read by which form
    verdict.py         AnswerVerdict: right, wrong, timeout, broken gold, fault
    quick_verdict.py   decides pairs that text and numbers settle; the others go to a worker
    workers.py         worker processes with limits of time and memory (`verify_answers`)
    symbolic.py        decides by algebra, in a worker (`judge_answers`)
    characters.py, tex.py, normalise.py   write an answer in plain LaTeX
    quantities.py, clock.py, letters.py, congruences.py   numbers with units, times of day, orders of letters, and
                       remainders such as 3 (mod 7), without algebra
    labels.py          takes the letter of a choice off a mathematical answer: "(C) 12" is 12 (`split_label`)
    conditions.py      takes "k \in \mathbb{Z}" and "where C is a constant" from an answer
    formulas.py, logic.py   read an answer's structure, and its formulas by sympy
    names.py, unknowns.py, families.py   what names say: f(2) = 5, (x, y) = (1, 2), any integer k
    text_match.py      the checkers `exact` and `choice`
    vote_clusters.py   which answers count as one vote in a majority vote
    fault.py           FAULT: the value of a reward that could not be computed

The reward `accuracy` (r1kit/rewards/accuracy.py) turns verdicts into rewards: right is 1, wrong and timeout are 0, a
broken gold answer is a FAULT.
"""

from r1kit.answers.extract import ParsedCompletion, ReadAnswer, completion_text, parse_completion, read_answer
from r1kit.answers.fault import FAULT
from r1kit.answers.thinking import split_thinking

__all__ = [
    "FAULT",
    "ParsedCompletion",
    "ReadAnswer",
    "completion_text",
    "parse_completion",
    "read_answer",
    "split_thinking",
]
