"""Sets of mathematical problems: GSM8K, MATH, AIME, NuminaMath, OpenR1-Math, DAPO, DeepScaleR, Big-Math.

{"question": "What are 500 + 734?", "answer": "500 + 734 = 1,234\\n#### 1,234"}        a row of GSM8K
{"prompt": "What are 500 + 734?", "answer": "1234", "checker": "math", ...}            becomes this problem
"""

import re
from typing import Any

from r1kit.answers.extract import last_boxed
from r1kit.rows import Row

# The instruction around each problem of DAPO-Math-17k, which asks for the answer on a line of its own.
_DAPO_BEFORE = re.compile(r"^Solve the following math problem step by step\..*?\n\n", re.DOTALL)
_DAPO_AFTER = re.compile(r'\n\nRemember to put your answer on its own line after "Answer:"\.?\s*$')
# What stands in place of an answer where a problem asks for a proof, or has none.
NO_ANSWERS = ("proof", "notfound", "none", "null", "n/a")


# "9 (apples)": a number with its unit in brackets.
_NUMBER_WITH_UNIT = re.compile(r"\s*([-+]?[\d.,:/]*\d)\s*\([^()]*\)\s*")


def gold_text(value: Any) -> str | None:
    """Return an answer as text: the only member of a list, a number without its unit; None where there is none.

    `gold_text("9 (apples)")` is `"9"`. A list of several answers gives None: it does not say whether any or all count.
    """
    if isinstance(value, list):
        members = list(dict.fromkeys(str(member).strip() for member in value if member is not None))
        value = members[0] if len(members) == 1 else None
    if value is None or isinstance(value, dict):
        return None
    text = str(value).strip()
    with_unit = _NUMBER_WITH_UNIT.fullmatch(text)
    text = with_unit.group(1) if with_unit else text
    return text if text and text.lower() not in NO_ANSWERS else None


def _math_row(prompt: Any, answer: Any, row: Row, **columns: Any) -> Row | None:
    """Return a math problem with the further `columns`; None without an answer that can be checked."""
    gold = gold_text(answer)
    if gold is None or not str(prompt or "").strip():
        return None
    return {
        "prompt": str(prompt).strip(),
        "answer": gold,
        "checker": "math",
        "domain": "math",
        "source": row.get("source") or row.get("data_source"),
        "level": row["level"] if row.get("level") is not None else row.get("difficulty"),
        **columns,
    }


def adapt_gsm8k(row: Row) -> Row | None:
    """Read openai/gsm8k: the answer stands after `####`, with commas in thousands."""
    answer = row["answer"].rsplit("####", 1)[1].strip().replace(",", "")
    return _math_row(row["question"], answer, row)


def adapt_aime(row: Row) -> Row | None:
    """Read HuggingFaceH4/aime_2024: an answer may be padded with zeros."""
    return _math_row(row["problem"], str(int(row["answer"])), row, id=f"aime/{row['year']}/{row['id']}")


def adapt_boxed_solution(row: Row) -> Row | None:
    """Read Hendrycks' MATH and NuminaMath-CoT: the answer is in the last box of the solution."""
    return _math_row(row["problem"], last_boxed(row["solution"] or ""), row)


def adapt_problem_and_answer(row: Row) -> Row | None:
    """Read MATH-500, AIME, DeepScaleR, Big-Math, and any set with a `problem` or `question` and its `answer`."""
    prompt = row["problem"] if row.get("problem") is not None else row["question"]
    return _math_row(prompt, row["answer"], row, id=row.get("unique_id"))


def adapt_capitalised_aime(row: Row) -> Row | None:
    """Read Maxwell-Jia/AIME_2024 and gneubig/aime-1983-2024, whose columns are capitalised."""
    prompt = row["Problem"] if "Problem" in row else row["Question"]
    return _math_row(prompt, row["Answer"], row, id=row["ID"])


def adapt_numina(row: Row) -> Row | None:
    """Read NuminaMath-1.5 and OpenR1-Math-220k: no proofs, no multiple choice, nothing that is marked as invalid."""
    question_type = str(row.get("question_type") or "").lower()
    if "proof" in question_type or "mcq" in question_type:
        return None
    if str(row.get("problem_is_valid") or "Yes") != "Yes":
        return None
    return _math_row(row["problem"], row["answer"], row, id=row.get("uuid"))


def adapt_processed_dapo(row: Row) -> Row | None:
    """Read open-r1/DAPO-Math-17k-Processed: the problem, with its answer in `solution`."""
    return _math_row(without_dapo_instruction(row["prompt"]), row["solution"], row)


def without_dapo_instruction(message: str) -> str:
    """Return a problem without the instruction that DAPO-Math-17k puts around each."""
    return _DAPO_AFTER.sub("", _DAPO_BEFORE.sub("", message))
