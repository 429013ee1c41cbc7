"""The statistics of a model's samples: pass@1 with an interval, majority vote, format, language, length."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from r1kit.answers.forms import answer_form_fractions
from r1kit.answers.vote_clusters import cluster_answers, row_checker, vote_accuracy, voted_answer
from r1kit.languages.reflection import count_reflection_words
from r1kit.recipe.rewards import Answers
from r1kit.rows import Row

NORMAL_QUANTILE = 1.96  # standard errors on either side of a mean that make a 95% interval


def mean_or_none(values: Sequence[float]) -> float | None:
    """Return the mean of `values`, or None if there are none."""
    if not values:
        return None
    return sum(values) / len(values)


def summarise_samples(rows: Sequence[Row], answers: Answers = "any") -> dict[str, Any]:
    """Return the statistics of one model's samples: over all rows, and under `domains` for each domain.

    pass@1              the mean over questions of the fraction of correct samples, of those with a verdict
    interval            1.96 standard errors of pass@1 over questions
    vote@k              the fraction of questions whose most frequent answer of k samples is correct (`scaling:` gives
                        the same number at N = k)
    thinking            of the samples that were asked to think, the fraction that did
    language_consistency  of those that did, the mean reward `language`
    faults              the number of samples without a verdict
    unanswered          the number of samples whose question did not fit into the context
    tokens              the mean number of tokens of a completion
    reflection_words    the mean number of words of a completion by which it looks back (r1kit/languages/reflection.py)
    answer_forms        the fraction of the samples whose answer was read by each form; `none`: it could not be read

    `answers` says which forms of an answer votes read. All fractions lie between 0 and 1.
    """
    accuracy_of_vote = vote_accuracies(rows, answers)
    by_domain: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_domain[row["domain"]].append(row)
    domains = {domain: _summarise(by_domain[domain], accuracy_of_vote) for domain in sorted(by_domain)}
    return {**_summarise(rows, accuracy_of_vote), "domains": domains}


def _summarise(rows: Sequence[Row], accuracy_of_vote: dict[str, float]) -> dict[str, Any]:
    pass_rates: list[float] = []
    votes: list[float] = []
    for question_id, indices in judged_groups(rows).items():
        pass_rates.append(sum(rows[index]["correct"] for index in indices) / len(indices))
        if question_id in accuracy_of_vote:
            votes.append(accuracy_of_vote[question_id])
    rows_asked_to_think = [row for row in rows if row["thinking"]]
    thinking_rows = [row for row in rows_asked_to_think if row["thinks"]]
    finish_reasons = Counter(row["finish_reason"] for row in rows)
    return {
        "questions": len({row["id"] for row in rows}),
        "samples": len(rows),
        "faults": sum(bool(row.get("fault")) for row in rows),
        "unanswered": finish_reasons["context"],
        "pass@1": mean_or_none(pass_rates),
        "interval": interval_half_width(pass_rates),
        "vote@k": mean_or_none(votes),
        "format": _mean_of_column(rows, "format"),
        "thinking": _mean_of_column(rows_asked_to_think, "thinks"),
        "language_consistency": _mean_of_column(thinking_rows, "language"),
        "thinks": _mean_of_column(rows, "thinks"),
        "tokens": _mean_of_column(rows, "tokens"),
        "reflection_words": mean_or_none([float(count_reflection_words(row["completion"] or "")) for row in rows]),
        "answer_forms": answer_form_fractions(rows),
        "truncated": finish_reasons["length"] / len(rows) if rows else None,
    }


def judged_groups(rows: Sequence[Row]) -> dict[str, list[int]]:
    """Return the indices of the rows that have a verdict on their correctness, by the id of their question."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        if row["correct"] is not None:
            groups[row["id"]].append(index)
    return groups


def complete_groups(rows: Sequence[Row]) -> dict[str, list[int]]:
    """Return the groups of `judged_groups` that have as many samples as the largest, since a vote of k needs k."""
    groups = judged_groups(rows)
    group_size = max(map(len, groups.values()), default=0)
    return {question_id: indices for question_id, indices in groups.items() if len(indices) == group_size}


def _mean_of_column(rows: Sequence[Row], column: str) -> float | None:
    """Return the mean of a column over the rows that have a value there."""
    # A reward that does not apply to a row, or that the recipe lacks, must not lower the mean.
    return mean_or_none([float(row[column]) for row in rows if row.get(column) is not None])


def interval_half_width(values: Sequence[float]) -> float | None:
    """Return half the width of the 95% interval of the mean, or None for fewer than two values."""
    # Over questions, not over samples: samples of one question are alike, and would make the interval too narrow.
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return NORMAL_QUANTILE * math.sqrt(variance / len(values))


def vote_accuracies(rows: Sequence[Row], answers: Answers = "any") -> dict[str, float]:
    """Return, for each question all of whose samples have a verdict, how often its most frequent answer is correct.

    That is 1 or 0, but for a tie, in which each answer is taken equally often. Equivalent answers such as 1/2 and 0.5
    count as one (r1kit/answers/vote_clusters.py). Samples without an answer do not vote.
    """
    groups = complete_groups(rows)
    rows_of_groups = []
    for indices in groups.values():
        rows_of_groups.append([rows[index] for index in indices])
    clusters = cluster_groups(rows_of_groups, answers)
    accuracies = {}
    for (question_id, indices), clusters_of_group in zip(groups.items(), clusters, strict=True):
        accuracies[question_id] = vote_accuracy(clusters_of_group, [rows[index]["correct"] for index in indices])
    return accuracies


def cluster_groups(groups: Sequence[Sequence[Row]], answers: Answers = "any") -> list[list[int]]:
    """Return for each question's rows the clusters of their answers, as `cluster_answers` numbers them."""
    voted = []
    for group in groups:
        voted.append([voted_answer(row, answers) for row in group])
    checkers = [row_checker(group[0]) for group in groups]  # all rows of a question have the same checker
    return cluster_answers(voted, checkers)
