"""What samples say of a model: pass@1 with an interval, majority vote, form, language, length."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from r1kit.answers.equivalence import NO_CLUSTER, cluster_answers, row_checker, voted_answer
from r1kit.rows import Row


def mean_or_none(values: Sequence[float]) -> float | None:
    """Return the mean, or None of nothing."""
    return sum(values) / len(values) if values else None


def summarise_samples(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the statistics of the samples of one model, over all rows and by domain.

    pass@1 is the mean over questions of the share of right samples, its interval 1.96 standard errors
    over questions. `thinking` and `language_consistency` count answers that were to think, the latter
    those that did. `faults` counts samples without a verdict, which pass@1 leaves out; `unanswered` those whose
    question did not fit the context. Shares are from 0 to 1, `tokens` the mean of an answer.
    """
    domains = sorted({r["domain"] for r in rows})
    won = majority_verdicts(rows)
    return {**_part(rows, won), "domains": {d: _part([r for r in rows if r["domain"] == d], won) for d in domains}}


def _part(rows: Sequence[Row], won: dict[str, bool]) -> dict[str, Any]:
    groups = defaultdict(list)
    for row in rows:
        if row["correct"] is not None:
            groups[row["id"]].append(row)
    shares = [sum(r["correct"] for r in g) / len(g) for g in groups.values()]
    asked = [r for r in rows if r["thinking"]]
    return {
        "questions": len({r["id"] for r in rows}),
        "samples": len(rows),
        "faults": sum(bool(r.get("fault")) for r in rows),
        "unanswered": sum(r["finish_reason"] == "context" for r in rows),
        "pass@1": mean_or_none(shares),
        "interval": _half_width(shares),
        "maj@k": mean_or_none([float(won[name]) for name in groups]),
        "format": mean_or_none([r["format"] for r in rows if r.get("format") is not None]),
        "thinking": mean_or_none([float(r["thinks"]) for r in asked]),
        "language_consistency": mean_or_none(
            [r["language"] for r in asked if r["thinks"] and r.get("language") is not None]
        ),
        "thinks": mean_or_none([float(r["thinks"]) for r in rows]),
        "tokens": mean_or_none([r["tokens"] for r in rows]),
        "truncated": mean_or_none([float(r["finish_reason"] == "length") for r in rows]),
    }


def _half_width(shares: Sequence[float]) -> float | None:
    if len(shares) < 2:
        return None
    centre = sum(shares) / len(shares)
    variance = sum((s - centre) ** 2 for s in shares) / (len(shares) - 1)
    return 1.96 * math.sqrt(variance / len(shares))


def majority_verdicts(rows: Sequence[Row]) -> dict[str, bool]:
    """Return for each question with a verdict whether the answer given most often is right.

    Equivalent answers are one (rewards/equivalence.py); of equally frequent ones the first counts.
    """
    groups = defaultdict(list)
    for row in rows:
        if row["correct"] is not None:
            groups[row["id"]].append(row)
    places = cluster_answers(
        [list(map(voted_answer, g)) for g in groups.values()], [row_checker(g[0]) for g in groups.values()]
    )
    return {name: _majority(group, place) for (name, group), place in zip(groups.items(), places, strict=True)}


def _majority(group: Sequence[Row], places: Sequence[int]) -> bool:
    said = [place for place in places if place != NO_CLUSTER]
    return bool(said) and bool(group[places.index(Counter(said).most_common(1)[0][0])]["correct"])
