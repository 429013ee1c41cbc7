"""Findings of `r1kit prove`: each check has a figure, a verdict and the public thread that it comes from."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from r1kit.errors import EXIT_DONE, EXIT_FAILED, EXIT_INCOMPLETE
from r1kit.runs.files import write_file
from r1kit.tables import format_table

PROOF_FILE = "prove.json"

Verdict = Literal["holds", "fails", "left out"]

THREADS = {
    "prompt": "modelscope/ms-swift#10106",
    "mask": "NVIDIA-NeMo/Megatron-Bridge#3359",
    "end of turn": "huggingface/open-r1#710, huggingface/trl#5988",
    "gradient": "modelscope/ms-swift#10117",
    "leak": "modelscope/ms-swift#9618, NVIDIA-NeMo/Automodel#2147",
    "sampler": "verl-project/verl#7495, radixark/miles#684",
    "ratio": "huggingface/trl#6789",
    "prompts": "NVIDIA-NeMo/RL#3599",
    "resume": "OpenRLHF/OpenRLHF#1322",
    "rewards": "huggingface/open-r1#420",
    "gold answers": "huggingface/open-r1#420",
    "saved model": "NVIDIA-NeMo/Automodel#2511",
    "saved stop": "huggingface/open-r1#710",
    "adapter": "huggingface/peft#2777",
}
"""Of each check a public thread about runs that looked healthy without what it checks."""


@dataclass(frozen=True)
class Finding:
    """What one check has found."""

    check: str
    """A key of THREADS."""
    verdict: Verdict
    figure: str
    """What was measured, or why the check was left out, in one clause."""

    @property
    def thread(self) -> str:
        """Return the public thread that the check comes from."""
        return THREADS[self.check]


def judge(check: str, holds: bool, figure: str) -> Finding:
    """Return the finding of a check that was made."""
    return Finding(check, "holds" if holds else "fails", figure)


def leave_out(check: str, reason: str) -> Finding:
    """Return the finding of a check that could not be made."""
    return Finding(check, "left out", reason)


def sort_findings(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings in the order of THREADS."""
    return sorted(findings, key=lambda finding: list(THREADS).index(finding.check))


def drop_repeated(findings: Sequence[Finding], left_out: Sequence[Finding]) -> list[Finding]:
    """Return the findings without one that holds for a stand-in of what is left out: it would say too much."""
    checks_left_out = {finding.check for finding in left_out}
    kept: list[Finding] = []
    for finding in findings:
        if finding.verdict == "holds" and finding.check in checks_left_out:
            continue
        is_repeated = finding.verdict == "left out" and finding.check in {other.check for other in kept}
        if not is_repeated:
            kept.append(finding)
    return kept


def exit_code(findings: Sequence[Finding]) -> int:
    """Return 0 where all checks hold, 1 where one fails, and 3 where one was left out."""
    verdicts = {finding.verdict for finding in findings}
    if "fails" in verdicts:
        return EXIT_FAILED
    return EXIT_INCOMPLETE if "left out" in verdicts or not verdicts else EXIT_DONE


def format_findings(findings: Sequence[Finding], width: int | None = None) -> str:
    """Return the table of findings for a terminal of `width` columns."""
    rows = [[finding.check, finding.verdict, finding.figure, finding.thread] for finding in findings]
    return format_table(["check", "verdict", "figure", "thread"], rows, width=width, wrap=("figure", "thread"))


def write_proof(findings: Sequence[Finding], folder: Path, **facts: Any) -> None:
    """Write prove.json into `folder`: the findings, and `facts` about what was proved."""
    entries = [{**asdict(finding), "thread": finding.thread} for finding in findings]
    text = json.dumps({**facts, "exit_code": exit_code(findings), "findings": entries}, indent=2, ensure_ascii=False)
    write_file(folder / PROOF_FILE, f"{text}\n")
