"""Sets of finished completions, for SFT: Sky-T1, Bespoke-Stratos, OpenThoughts, s1K, Mixture-of-Thoughts, O1-Journey.

Each marks its thinking in a way of its own. Here every completion becomes `<think>...</think>` and
`<answer>...</answer>`, as r1kit's own are.
"""

import re
from typing import Any

from r1kit.answers.extract import last_boxed
from r1kit.rows import Row

_THOUGHT = re.compile(r"<\|begin_of_thought\|>(.*?)<\|end_of_thought\|>", re.DOTALL)
_SOLUTION = re.compile(r"<\|begin_of_solution\|>(.*?)(?:<\|end_of_solution\|>|$)", re.DOTALL)
_ROLES = {"human": "user", "gpt": "assistant"}
# s1K's `solution` is a whole solution or just the answer; longer ones are not compared as answers.
MAX_S1K_ANSWER_CHARACTERS = 40


def format_completion(thinking: str, solution: str) -> str:
    """Return a completion with a chain of thought and a solution, which may stand in answer tags already."""
    answer = solution.strip()
    if answer.startswith("<answer>") and answer.endswith("</answer>"):
        answer = answer[len("<answer>") : -len("</answer>")].strip()
    return f"<think>\n{thinking.strip()}\n</think>\n<answer>\n{answer}\n</answer>"


def _example_row(prompt: Any, completion: str | None, **columns: Any) -> Row | None:
    """Return an SFT example with the further `columns`; None without a prompt or a completion."""
    if not completion or not prompt:
        return None
    return {"prompt": str(prompt).strip(), "completion": completion, **columns}


def _parse_marked_completion(text: str) -> str | None:
    """Return a completion whose thinking is marked by Sky-T1's marks or by think tags; None if it does not end."""
    thought, solution = _THOUGHT.search(text), _SOLUTION.search(text)
    if thought and solution:
        return format_completion(thought.group(1), solution.group(1))
    before, closing_tag, after = text.partition("</think>")
    if closing_tag and after.strip():
        return format_completion(before.replace("<think>", "", 1), after)
    return None


def _single_turn(turns: list[Row]) -> tuple[str, str] | None:
    """Return the question and the answer of a conversation of one turn, None for any other conversation."""
    messages: list[tuple[str, str]] = []
    for turn in turns:
        role = str(turn.get("from") or turn.get("role"))
        if role != "system":
            messages.append((_ROLES.get(role, role), turn.get("value") or turn.get("content") or ""))
    if [role for role, _ in messages] != ["user", "assistant"]:
        return None
    return messages[0][1], messages[1][1]


def adapt_conversation(row: Row) -> Row | None:
    """Read Sky-T1, Bespoke-Stratos and OpenThoughts (marks of their own), OpenThoughts3 (think tags)."""
    turn = _single_turn(row["conversations"])
    if turn is None:
        return None
    question, answer = turn
    return _example_row(question, _parse_marked_completion(answer), domain=row.get("domain"), source=row.get("source"))


def adapt_messages(row: Row) -> Row | None:
    """Read open-r1/Mixture-of-Thoughts: messages with think tags."""
    turn = _single_turn(row["messages"])
    if turn is None:
        return None
    question, answer = turn
    return _example_row(question, _parse_marked_completion(answer), source=row.get("source"))


def adapt_openthoughts(row: Row) -> Row | None:
    """Read OpenThoughts-114k, configuration `metadata`: the answer of a mathematical problem is in a box."""
    columns = {"domain": row.get("domain"), "source": row.get("source")}
    gold = last_boxed(row.get("ground_truth_solution") or "") if row.get("domain") == "math" else None
    if gold:
        columns |= {"answer": gold, "checker": "math"}
    completion = format_completion(row["deepseek_reasoning"], row["deepseek_solution"])
    return _example_row(row["problem"], completion, **columns)


def adapt_s1k(row: Row) -> Row | None:
    """Read simplescaling/s1K: a list of one trajectory, and the attempt at an answer."""
    return _s1k_row(row, row["thinking_trajectories"], row["attempt"])


def adapt_s1k_1_1(row: Row) -> Row | None:
    """Read simplescaling/s1K-1.1: DeepSeek-R1's trajectory; attempts that a grader found wrong are dropped."""
    if row.get("deepseek_grade") == "No":
        return None
    return _s1k_row(row, row["deepseek_thinking_trajectory"], row["deepseek_attempt"])


def _s1k_row(row: Row, trajectory: Any, attempt: Any) -> Row | None:
    thinking, solution = _first_text(trajectory), _first_text(attempt)
    completion = format_completion(thinking, solution) if thinking and solution else None
    columns = {"domain": row.get("cot_type"), "source": row.get("source_type")}
    gold = str(row.get("solution") or "")
    if row.get("cot_type") == "math" and 0 < len(gold) < MAX_S1K_ANSWER_CHARACTERS:
        columns |= {"answer": gold, "checker": "math"}
    return _example_row(row["question"], completion, **columns)


def _first_text(value: Any) -> str:
    """Return the first member of a list, or the value itself, as text."""
    return str(value[0] if isinstance(value, list) else value or "")


def adapt_o1_journey(row: Row) -> Row | None:
    """Read GAIR/o1-journey: a long chain of thought that ends in `#### answer`."""
    thinking, _, solution = row["longCOT"].rpartition("####")
    completion = format_completion(thinking or row["longCOT"], solution.strip() or str(row["answer"]))
    columns = {"answer": row["answer"], "checker": "math", "domain": "math"}
    if row.get("idx") is not None:
        columns["id"] = f"o1-journey/{row['idx']}"
    return _example_row(row["question"], completion, **columns)
