"""Find the answer that a reply states in words: "The answer is 7", "**Final answer**", "#### 7", a bare last line."""

import re

from r1kit.answers.boxes import boxed_answer

# What some decoders leave at the end of a completion.
_END_TOKENS = re.compile(r"(?:<\|[\w▁]{1,30}\|>|<｜[\w▁]{1,30}｜>|</s>|<eos>|<end_of_turn>|\s)+\Z")


def clean_reply(reply: str) -> str:
    """Return a reply without the special tokens at its end."""
    match = _END_TOKENS.search(reply)
    return reply[: match.start()] if match else reply


def read_block(block: str, checker: str) -> str:
    """Return the answer in an answer block."""
    return (checker == "math" and boxed_answer(block)) or block.strip()


def find_stated_answer(reply: str, checker: str, box: str | None) -> tuple[str, str] | None:
    """Return the answer that a reply states, and the form in which it does."""
    if box:
        return box, "box"
    matches = re.findall(r"answer is:?\s*(.+?)\.?\s*$", reply, re.IGNORECASE | re.MULTILINE)
    return (matches[-1].strip("*() "), "phrase") if matches else None
