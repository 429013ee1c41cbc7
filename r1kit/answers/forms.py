"""By what the answers of samples were read, and what to say where most could not be read.

count_answer_forms(rows)                          {"tags": 70, "box": 20, "none": 10}
describe_unread({"none": 90, "box": 10}, "any")   a sentence for the user, None where half or more were read
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from r1kit.answers.extract import FORMS, NO_ANSWER
from r1kit.recipe.rewards import Answers
from r1kit.rows import Row

# A sample that no server answered was not read at all; the words are the values of `finish_reason`.
_NO_COMPLETION = ("context", "refused", "failed")
# With fewer samples, a share of unread answers says nothing.
_FEWEST_SAMPLES = 2


def count_answer_forms(rows: Iterable[Row]) -> dict[str, int]:
    """Return how many samples were read by each form, in the order of FORMS; only of rows that have a gold answer."""
    counts: Counter[str] = Counter()
    for row in rows:
        has_gold = row.get("answer") is not None or bool(row.get("tests"))
        if has_gold and row.get("answer_form") and row.get("finish_reason") not in _NO_COMPLETION:
            counts[row["answer_form"]] += 1
    return {form: counts[form] for form in FORMS if counts[form]}


def answer_form_fractions(rows: Sequence[Row]) -> dict[str, float]:
    """Return the fraction of the samples that were read by each form."""
    counts = count_answer_forms(rows)
    total = sum(counts.values())
    return {form: count / total for form, count in counts.items()}


def describe_unread(counts: Mapping[str, int], answers: Answers) -> str | None:
    """Return a sentence where most answers could not be read, else None."""
    total = sum(counts.values())
    unread = counts.get(NO_ANSWER, 0)
    if total < _FEWEST_SAMPLES or 2 * unread <= total:
        return None
    if answers == "any":
        action = "look at some of them, raise the limit of tokens, or ask for a form such as \\boxed{} in the prompt"
    else:
        action = "set answers=any, or ask for that form in the prompt"
    return (
        f"in {unread} of {total} completions no answer could be read (answers = {answers}), so they count as wrong, "
        f"which says little of the model: {action}"
    )
