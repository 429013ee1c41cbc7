"""Group the answers of a problem by whether they are the same, so that votes count "1/2" and "0.5" as one answer."""

from collections.abc import Callable, Sequence

from r1kit.answers.extract import AnswerForms, read_answer
from r1kit.answers.text_match import same_choice, same_text
from r1kit.answers.verdict import AnswerVerdict
from r1kit.rows import Row

# The cluster of a sample without an answer.
NO_CLUSTER = -1


def row_checker(row: Row) -> str:
    """Return how a sampled row is judged: by its `checker`, else as `code` if it has tests, else as `math`."""
    return row.get("checker") or ("code" if row.get("tests") else "math")


def voted_answer(row: Row, answers: AnswerForms = "any") -> str | None:
    """Return the answer of a sampled row as votes count it; `answers` says which forms are read."""
    is_cut = row.get("finish_reason") == "length"
    return read_answer(row["completion"], row_checker(row), answers, is_cut).text


def cluster_answers(answers: Sequence[Sequence[str | None]], checkers: Sequence[str]) -> list[list[int]]:
    """Return the cluster of each answer, numbered from 0 in each problem; NO_CLUSTER where there is no answer.

    `answers[i]` are the sampled answers of problem i, and `checkers[i]` is its checker. Answers are the same by algebra
    for `math`, by their letter for `choice`, and for all other checkers if their texts are equal except for case, white
    space and a full stop at the end. An answer joins the first earlier cluster whose first answer it equals.

    >>> cluster_answers([["Paris", "paris.", None, "Rome"]], ["exact"])
    [[0, 0, -1, 1]]
    """
    problem_texts = []
    for problem_answers in answers:
        problem_texts.append([(answer or "").strip() for answer in problem_answers])
    cluster_by_text: list[dict[str, int]] = [{} for _ in problem_texts]
    first_texts: list[list[str]] = [[] for _ in problem_texts]  # of each cluster of each problem
    waiting_texts = [list(dict.fromkeys(filter(None, texts))) for texts in problem_texts]
    # One round takes the next answer of every problem, and compares it with the clusters that its problem has so far:
    # all comparisons of a round go to the workers at once.
    while any(waiting_texts):
        next_texts = {i: waiting.pop(0) for i, waiting in enumerate(waiting_texts) if waiting}
        is_same = _compare_round(next_texts, first_texts, checkers)
        for i, text in next_texts.items():
            cluster = next((n for n, first in enumerate(first_texts[i]) if is_same[i, first]), len(first_texts[i]))
            if cluster == len(first_texts[i]):
                first_texts[i].append(text)
            cluster_by_text[i][text] = cluster
    clusters = []
    for i, texts in enumerate(problem_texts):
        clusters.append([cluster_by_text[i].get(text, NO_CLUSTER) for text in texts])
    return clusters


def vote_accuracy(clusters: Sequence[int], correct: Sequence[bool]) -> float:
    """Return the probability that the most frequent answer of a problem's samples is correct.

    `clusters` and `correct` have an entry for each sample. Of equally frequent answers each is taken equally often, and
    an answer of which only some samples are judged correct counts by their fraction. Samples without an answer do not
    vote; if nobody votes, the result is 0.

    >>> vote_accuracy([0, 0, 1, NO_CLUSTER], [True, True, False, False])
    1.0
    """
    verdicts: dict[int, list[bool]] = {}
    for cluster, is_correct in zip(clusters, correct, strict=True):
        if cluster != NO_CLUSTER:
            verdicts.setdefault(cluster, []).append(is_correct)
    most_votes = max(map(len, verdicts.values()), default=0)
    winners = [votes for votes in verdicts.values() if len(votes) == most_votes]
    return sum(sum(votes) / len(votes) for votes in winners) / len(winners) if winners else 0.0


def _compare_round(
    next_texts: dict[int, str], first_texts: Sequence[Sequence[str]], checkers: Sequence[str]
) -> dict[tuple[int, str], bool]:
    """Return, for each problem and each of its clusters' first answers, whether the problem's next answer equals it."""
    keys = []
    pairs = []
    pair_checkers = []
    for i, text in next_texts.items():
        for first in first_texts[i]:
            keys.append((i, first))
            pairs.append((first, text))
            pair_checkers.append(checkers[i])
    return dict(zip(keys, _are_same(pairs, pair_checkers), strict=True))


def _are_same(pairs: Sequence[tuple[str, str]], checkers: Sequence[str]) -> list[bool]:
    """Return for each pair of answers whether they are the same by their problem's checker."""
    from r1kit.answers.workers import verify_answers

    results = []
    undecided = []  # indices of the pairs that take algebra
    for i, (pair, checker) in enumerate(zip(pairs, checkers, strict=True)):
        compare: Callable[[str, str], bool] = same_choice if checker == "choice" else same_text
        results.append(compare(*pair))
        if checker == "math" and not results[i]:
            undecided.append(i)
    for i, verdict in zip(undecided, verify_answers([pairs[i] for i in undecided]), strict=True):
        results[i] = verdict is AnswerVerdict.RIGHT
    return results
