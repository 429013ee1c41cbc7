"""The verdict on an answer to a mathematics problem (for programs see `r1kit.sandbox.judge.ProgramVerdict`)."""

from enum import Enum


class AnswerVerdict(Enum):
    """What a comparison of a gold answer with a model's answer came to."""

    RIGHT = "right"
    WRONG = "wrong"
    TIMEOUT = "timeout"
    """The comparison took too long. Accuracy counts it as wrong: a policy must not profit from unreadable answers."""

    BROKEN_GOLD = "broken gold"
    """The gold answer cannot be parsed, which says nothing about the model's answer."""

    FAULT = "fault"
    """The worker process died or did not start, which says nothing about the model's answer either."""
