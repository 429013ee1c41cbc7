"""Sets of finished answers, for SFT: Sky-T1, Bespoke-Stratos, OpenThoughts, s1K, Mixture-of-Thoughts, O1-Journey.

Whatever marks their thoughts, a completion here is `<think>...</think>` and `<answer>...</answer>`, as r1kit's own.
"""

import re
from typing import Any

from r1kit.answers.extract import last_boxed
from r1kit.rows import Row

_THOUGHT = re.compile(r"<\|begin_of_thought\|>(.*?)<\|end_of_thought\|>", re.DOTALL)
_SOLUTION = re.compile(r"<\|begin_of_solution\|>(.*?)(?:<\|end_of_solution\|>|$)", re.DOTALL)


def answered(thinking: str, solution: str) -> str:
    """Return a completion of a chain of thought and a solution."""
    inner = solution.strip()
    if inner.startswith("<answer>") and inner.endswith("</answer>"):
        inner = inner[len("<answer>") : -len("</answer>")].strip()
    return f"<think>\n{thinking.strip()}\n</think>\n<answer>\n{inner}\n</answer>"


def _row(prompt: Any, completion: str | None, **more: Any) -> Row | None:
    return {"prompt": str(prompt).strip(), "completion": completion, **more} if completion and prompt else None


def _marked(text: str) -> str | None:
    """Return an answer whose thoughts are marked in one of the known ways; None where they do not end."""
    thought, solution = _THOUGHT.search(text), _SOLUTION.search(text)
    if thought and solution:
        return answered(thought.group(1), solution.group(1))
    before, closed, after = text.partition("</think>")
    if closed and after.strip():
        return answered(before.replace("<think>", "", 1), after)
    return None


def _turns(turns: list[Row]) -> tuple[str, str] | None:
    """Return the question and the answer of a talk of one turn, whatever its roles are called."""
    names = {"human": "user", "gpt": "assistant"}
    said = [(str(t.get("from") or t.get("role")), t.get("value") or t.get("content") or "") for t in turns]
    said = [(names.get(role, role), text) for role, text in said if role != "system"]
    if [role for role, _ in said] != ["user", "assistant"]:
        return None
    return said[0][1], said[1][1]


def thoughts(row: Row) -> Row | None:
    """Sky-T1, Bespoke-Stratos, OpenThoughts (their own marks), OpenThoughts2 and 3 (think tags)."""
    talk = _turns(row["conversations"])
    return _row(talk[0], _marked(talk[1]), domain=row.get("domain"), source=row.get("source")) if talk else None


def messages(row: Row) -> Row | None:
    """open-r1/Mixture-of-Thoughts: messages with think tags."""
    talk = _turns(row["messages"])
    return _row(talk[0], _marked(talk[1]), source=row.get("source")) if talk else None


def openthoughts(row: Row) -> Row | None:
    """OpenThoughts-114k, config `metadata`: thoughts and solution apart; the gold answer of math is in a box."""
    gold = last_boxed(row.get("ground_truth_solution") or "") if row.get("domain") == "math" else None
    more = {"answer": gold, "checker": "math"} if gold else {}
    completion = answered(row["deepseek_reasoning"], row["deepseek_solution"])
    return _row(row["problem"], completion, domain=row.get("domain"), source=row.get("source"), **more)


def s1k(row: Row) -> Row | None:
    """simplescaling/s1K: a list of one trajectory, and the attempt at an answer."""
    return _s1k(row, row["thinking_trajectories"], row["attempt"])


def s1k_1_1(row: Row) -> Row | None:
    """simplescaling/s1K-1.1: DeepSeek-R1's trajectory; what a grader found wrong is left out."""
    if row.get("deepseek_grade") == "No":
        return None
    return _s1k(row, row["deepseek_thinking_trajectory"], row["deepseek_attempt"])


def _s1k(row: Row, trajectory: Any, attempt: Any) -> Row | None:
    thinking, said = _one(trajectory), _one(attempt)
    gold = str(row.get("solution") or "")
    more = {"answer": gold, "checker": "math"} if row.get("cot_type") == "math" and 0 < len(gold) < 40 else {}
    completion = answered(thinking, said) if thinking and said else None
    return _row(row["question"], completion, domain=row.get("cot_type"), source=row.get("source_type"), **more)


def _one(value: Any) -> str:
    return str(value[0] if isinstance(value, list) else value or "")


def o1_journey(row: Row) -> Row | None:
    """GAIR/o1-journey: a long chain that ends in `#### answer`."""
    chain, _, final = row["longCOT"].rpartition("####")
    final = final.strip() or str(row["answer"])
    completion = answered(chain or row["longCOT"], final)
    more = {} if row.get("idx") is None else {"id": f"o1-journey/{row['idx']}"}
    return _row(row["question"], completion, answer=row["answer"], checker="math", domain="math", **more)
