"""The statistics of a model's samples: pass@1 with an interval, majority vote, format, language, length."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from r1kit.answers.forms import answer_form_fractions
from r1kit.answers.vote_clusters import NO_CLUSTER, cluster_answers, row_checker, voted_answer
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
    maj@k               the fraction of questions whose most frequent answer is correct
    thinking            of the samples that were asked to think, the fraction that did
    language_consistency  of those that did, the mean reward `language`
    faults              the number of samples without a verdict
    unanswered          the number of samples whose question did not fit into the context
    tokens              the mean number of tokens of a completion
    answer_forms        the fraction of the samples whose answer was read by each form; `none`: it could not be read

    `answers` says which forms of an answer votes read. All fractions lie between 0 and 1.
    """
    majority_is_correct = majority_verdicts(rows, answers)
    by_domain: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_domain[row["domain"]].append(row)
    domains = {domain: _summarise(by_domain[domain], majority_is_correct) for domain in sorted(by_domain)}
    return {**_summarise(rows, majority_is_correct), "domains": domains}


def _summarise(rows: Sequence[Row], majority_is_correct: dict[str, bool]) -> dict[str, Any]:
    pass_rates: list[float] = []
    majorities: list[float] = []
    for question_id, group in _judged_rows_by_question(rows).items():
        pass_rates.append(sum(row["correct"] for row in group) / len(group))
        majorities.append(float(majority_is_correct[question_id]))
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
        "maj@k": mean_or_none(majorities),
        "format": _mean_of_column(rows, "format"),
        "thinking": _mean_of_column(rows_asked_to_think, "thinks"),
        "language_consistency": _mean_of_column(thinking_rows, "language"),
        "thinks": _mean_of_column(rows, "thinks"),
        "tokens": _mean_of_column(rows, "tokens"),
        "answer_forms": answer_form_fractions(rows),
        "truncated": finish_reasons["length"] / len(rows) if rows else None,
    }


def _judged_rows_by_question(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Return the rows that have a verdict on their correctness, by the id of their question."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["correct"] is not None:
            groups[row["id"]].append(row)
    return groups


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


def majority_verdicts(rows: Sequence[Row], answers: Answers = "any") -> dict[str, bool]:
    """Return for each question with a verdict whether its most frequent answer is correct.

    Equivalent answers such as 1/2 and 0.5 count as one (r1kit/answers/vote_clusters.py). Of equally frequent answers,
    the one that was sampled first is taken. Samples without an answer do not vote.
    """
    groups = _judged_rows_by_question(rows)
    voted = []
    checkers = []
    for group in groups.values():
        voted.append([voted_answer(row, answers) for row in group])
        checkers.append(row_checker(group[0]))  # all rows of a question have the same checker
    verdicts = {}
    for (question_id, group), clusters in zip(groups.items(), cluster_answers(voted, checkers), strict=True):
        verdicts[question_id] = _is_majority_correct(group, clusters)
    return verdicts


def _is_majority_correct(group: Sequence[Row], clusters: Sequence[int]) -> bool:
    votes = [cluster for cluster in clusters if cluster != NO_CLUSTER]
    if not votes:
        return False
    winner = Counter(votes).most_common(1)[0][0]
    return bool(group[clusters.index(winner)]["correct"])
