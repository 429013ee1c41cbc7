"""Sets of mathematical problems: GSM8K, MATH, AIME, NuminaMath, OpenR1-Math, DAPO, DeepScaleR, Big-Math."""

import re
from typing import Any

from r1kit.answers.extract import last_boxed
from r1kit.rows import Row

# What DAPO-Math-17k puts around each problem, to have the answer on a line of its own.
_DAPO_BEFORE = re.compile(r"^Solve the following math problem step by step\..*?\n\n", re.DOTALL)
_DAPO_AFTER = re.compile(r'\n\nRemember to put your answer on its own line after "Answer:"\.?\s*$')
_PROOF = ("proof", "notfound", "none", "null", "n/a")


def _problem(prompt: Any, answer: Any, row: Row, **more: Any) -> Row | None:
    """Return a math problem, None without an answer that can be checked."""
    gold = str(answer).strip() if answer is not None else ""
    if not gold or gold.lower() in _PROOF or not str(prompt or "").strip():
        return None
    source = row.get("source") or row.get("data_source")
    level = row.get("level") or row.get("difficulty")
    return {
        "prompt": str(prompt).strip(),
        "answer": gold,
        "checker": "math",
        "domain": "math",
        "source": source,
        "level": level,
        **more,
    }


def gsm8k(row: Row) -> Row | None:
    """openai/gsm8k: the answer stands after `####`, with commas in thousands."""
    final = row["answer"].rsplit("####", 1)[1].strip().replace(",", "")
    return _problem(row["question"], final, row)


def year(row: Row) -> Row | None:
    """AIME as HuggingFaceH4/aime_2024 has it: an answer may be padded with zeros."""
    return _problem(row["problem"], str(int(row["answer"])), row, id=f"aime/{row['year']}/{row['id']}")


def boxed(row: Row) -> Row | None:
    """Hendrycks' MATH, NuminaMath-CoT: the answer is the solution's last box."""
    return _problem(row["problem"], last_boxed(row["solution"] or ""), row)


def answered(row: Row) -> Row | None:
    """MATH-500, AIME, DeepScaleR, Big-Math, and whatever else has a problem (or question) and its answer."""
    prompt = row["problem"] if row.get("problem") is not None else row["question"]
    return _problem(prompt, row["answer"], row, id=row.get("unique_id"))


def capitals(row: Row) -> Row | None:
    """AIME as Maxwell-Jia/AIME_2024 and gneubig/aime-1983-2024 have it: capitalised columns."""
    prompt = row["Problem"] if "Problem" in row else row["Question"]
    return _problem(prompt, row["Answer"], row, id=row["ID"])


def numina(row: Row) -> Row | None:
    """NuminaMath-1.5 and OpenR1-Math-220k: not proofs, not multiple choice, not what is marked as invalid."""
    kind = str(row.get("question_type") or "").lower()
    if "proof" in kind or "mcq" in kind:
        return None
    if str(row.get("problem_is_valid") or "Yes") != "Yes":
        return None
    return _problem(row["problem"], row["answer"], row, id=row.get("uuid"))


def dapo(row: Row) -> Row | None:
    """BytedTsinghua-SIA/DAPO-Math-17k: verl's columns, the problem within an instruction, each row many times over."""
    message = row["prompt"][-1]["content"] if isinstance(row["prompt"], list) else row["prompt"]
    problem = _DAPO_AFTER.sub("", _DAPO_BEFORE.sub("", message))
    index = (row.get("extra_info") or {}).get("index")
    return _problem(problem, row["reward_model"]["ground_truth"], row, id=index)


def dapo_processed(row: Row) -> Row | None:
    """open-r1/DAPO-Math-17k-Processed: the problem, with its answer in `solution`."""
    return _problem(_DAPO_AFTER.sub("", _DAPO_BEFORE.sub("", row["prompt"])), row["solution"], row)
