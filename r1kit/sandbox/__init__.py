"""Run untrusted code: the box (how a program is run) apart from the judge (what its run is worth)."""

from r1kit.sandbox.judge import Verdict, judge

__all__ = ["Verdict", "judge"]
