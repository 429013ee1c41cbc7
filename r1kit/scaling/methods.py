"""What each method of inference-time scaling is called, and which colour it has, in every table, picture and report."""

import zlib
from typing import TypedDict

SCORE_NAMES = {
    "shortness": "shortness",
    "logprob": "mean log-probability",
    "verifier": "verifier",
    "preference": "reward model",
}
SEARCH_NAMES = {
    "beam": "beam search under the verifier",
    "dvts": "tree search under the verifier (DVTS)",
}
METHOD_NAMES = {
    "greedy": "greedy",
    "pass": "one of N is right (pass@N)",
    "vote": "vote",
    "stop": "vote, stopped when sure",
    "direct": "thinking only when unsure",
    "budget": "one sample, thinking cut at a budget",
    "wait": "one sample, made to think on",
    **SEARCH_NAMES,
}
ONE_SAMPLE = "one sample"


class ScalingPoint(TypedDict):
    """One method with one setting, measured: an entry of `scaling.json`.

    `method` is greedy, pass, vote, best, stop, direct, budget, wait, beam or dvts. `at` is the setting of the last
    five: direct answers, tokens of the budget, waits, paths.
    """

    name: str
    """What people call the method, the same for all its settings."""
    method: str
    score: str | None
    samples: int
    sure: float | None
    at: int | None
    accuracy: float
    low: float
    high: float
    tokens: float
    more: dict[str, float]
    """The difference from one sample on the same problems, with its interval."""


def method_name(method: str, score: str | None, samples: int) -> str:
    """Return what people call a method, such as `best of N by verifier`."""
    if method == "vote" and samples == 1:
        return ONE_SAMPLE  # a vote of one
    score_name = SCORE_NAMES.get(score, score) if score else None
    if method == "best":
        return f"best of N by {score_name}"
    if method == "vote" and score_name:
        return f"vote weighted by {score_name}"
    if method == "stop" and score_name:
        return f"{METHOD_NAMES['stop']} (weighted by {score_name})"
    return METHOD_NAMES[method]


def describe_point(point: ScalingPoint) -> str:
    """Return a method with its settings, such as `vote@8` or `best of 4 by verifier`."""
    description = point["name"]
    if point["samples"] > 1 and point["method"] == "vote":
        description = description.replace("vote", f"vote@{point['samples']}", 1)
    elif point["samples"] > 1 and point["method"] == "best":
        description = description.replace("best of N", f"best of {point['samples']}", 1)
    elif point["samples"] > 1:
        description += f", N {point['samples']}"
    if point["sure"]:
        description += f", sure {point['sure']:g}"
    if point["method"] == "direct":
        description += f", {point['at']} direct answers first"
    elif point["method"] == "budget":
        description += f" of {point['at']} tokens"
    elif point["method"] == "wait":
        description += ", once" if point["at"] == 1 else f", {point['at']} times"
    return description


def short_setting(point: ScalingPoint) -> str:
    """Return the setting in which the points of one method differ, as it is written beside them in a picture."""
    if point["method"] == "greedy":
        return "greedy"
    if point["method"] in ("stop", "direct"):
        return f"sure {point['sure']:g}"
    if point["method"] == "budget":
        return f"{point['at']} tokens"
    if point["method"] == "wait":
        return f"{point['at']}x"
    return str(point["samples"])


# Each method has its colour, whichever others are in a picture. Choosing by the same score has the same hue, the vote
# in a lighter shade than best of N. The hues are those of Okabe and Ito, which colour-blind readers can tell apart.
_COLOURS: dict[tuple[str, str | None], str] = {
    ("greedy", None): "#a50026",
    ("pass", None): "#9a9a9a",
    ("vote", None): "#000000",
    ("best", "shortness"): "#8c5a2b",
    ("vote", "shortness"): "#c9a27a",
    ("best", "logprob"): "#d55e00",
    ("vote", "logprob"): "#f2a46b",
    ("best", "verifier"): "#0072b2",
    ("vote", "verifier"): "#7db8e0",
    ("best", "preference"): "#7b3fa0",
    ("vote", "preference"): "#bf97d6",
    ("stop", None): "#009e73",
    ("stop", "verifier"): "#009e73",
    ("direct", None): "#cc79a7",
    ("direct", "logprob"): "#cc79a7",
    ("budget", None): "#e69f00",
    ("wait", None): "#7a7a00",
    ("beam", "verifier"): "#17a2b8",
    ("dvts", "verifier"): "#0b5563",
}
# For the rewards of a recipe that are not in the table: best of N, and vote.
_OTHER_COLOURS = (("#b2182b", "#ef8a8a"), ("#4d7c0f", "#a3c96b"), ("#5b4b8a", "#aba0d0"))


def method_colour(method: str, score: str | None) -> str:
    """Return the colour of a method; the same method always has the same colour."""
    colour = _COLOURS.get((method, score))
    if colour is None:
        # A checksum and not hash(), which differs from process to process.
        best_colour, vote_colour = _OTHER_COLOURS[zlib.crc32((score or "").encode()) % len(_OTHER_COLOURS)]
        colour = vote_colour if method == "vote" else best_colour
    return colour
