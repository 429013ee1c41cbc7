"""Which answers of a problem are the same: votes are counted by equivalence, not by spelling."""

from collections.abc import Callable, Sequence
from typing import Any

from r1kit.answers.extract import extract_program, last_boxed, parse_completion, strip_box
from r1kit.answers.text_match import same_choice, same_text
from r1kit.answers.verdict import AnswerVerdict

NO_CLUSTER = -1  # the cluster of a sample without an answer
Pairs = list[tuple[str, str]]


def row_checker(row: dict[str, Any]) -> str:
    """Return the checker of a sample row: its own, else code where it has tests, else math (as `accuracy` has it)."""
    return row.get("checker") or ("code" if row.get("tests") else "math")


def voted_answer(row: dict[str, Any]) -> str | None:
    """Return the answer of a sample row as votes count it: of mathematics the last box, of code the program."""
    answer, kind = parse_completion(row["completion"]).answer, row_checker(row)
    if answer is None or kind not in ("math", "code"):
        return answer and strip_box(answer)
    return extract_program(answer) if kind == "code" else last_boxed(answer) or answer


def cluster_answers(answers: Sequence[Sequence[str | None]], kinds: Sequence[str]) -> list[list[int]]:
    """Return each answer's cluster, by problem; NONE where there is no answer.

    `kinds` are the problems' checkers. math: the same mathematics (rewards/symbolic.py), choice: the same letter, all
    others: the same text but for case, white space and a dot at the end. An answer joins the first earlier cluster
    whose first answer it equals.
    """
    texts = [[(a or "").strip() for a in group] for group in answers]
    found: list[dict[str, int]] = [{} for _ in texts]
    firsts: list[list[str]] = [[] for _ in texts]
    waiting = [list(dict.fromkeys(filter(None, group))) for group in texts]
    # The next answer of every problem in one batch, against all of that problem's clusters.
    while any(waiting):
        asked = [(i, group.pop(0)) for i, group in enumerate(waiting) if group]
        pairs = [(i, text, first) for i, text in asked for first in firsts[i]]
        same = dict(zip(pairs, _same([(first, text) for _, text, first in pairs], [kinds[i] for i, _, _ in pairs]),
                        strict=True))  # fmt: skip
        for i, text in asked:
            place = next((n for n, first in enumerate(firsts[i]) if same[i, text, first]), len(firsts[i]))
            if place == len(firsts[i]):
                firsts[i].append(text)
            found[i][text] = place
    return [[found[i].get(text, NO_CLUSTER) for text in group] for i, group in enumerate(texts)]


def _same(pairs: Pairs, kinds: Sequence[str]) -> list[bool]:
    """Return whether the two texts of each pair are the same by the checker of their problem."""
    from r1kit.answers.workers import verify_answers

    tests: dict[str, Callable[[str, str], bool]] = {"choice": same_choice}
    equal = [tests.get(kind, same_text)(*pair) for pair, kind in zip(pairs, kinds, strict=True)]
    open_ = [i for i, kind in enumerate(kinds) if kind == "math" and not equal[i]]
    for i, verdict in zip(open_, verify_answers([pairs[i] for i in open_]), strict=True):
        equal[i] = verdict is AnswerVerdict.RIGHT
    return equal
