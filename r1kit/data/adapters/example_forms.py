"""Find finished answers, on which SFT trains, by what the columns of a data set are called; see forms.py."""

from collections.abc import Collection, Sequence
from typing import Any

from r1kit.data.adapters.chat import ConversationError, is_conversation, normalise_messages
from r1kit.data.adapters.reading import Reading, first_column
from r1kit.rows import Row

COMPLETION_COLUMNS = ("generated_solution", "r1_solution_1", "response", "output", "generation", "r1_generation")
"""Columns with a finished answer to a question, for SFT."""
CONVERSATION_COLUMNS = ("conversations", "conversation", "dialogue", "chat")
INSTRUCTION_COLUMNS = ("instruction", "query", "question", "problem", "prompt", "input")
_GOOD_LABELS = ("true", "1", "1.0")
_BAD_LABELS = ("false", "0", "0.0")


def completion_column(names: Sequence[str], first_row: Row) -> str | None:
    """Return the column with a finished answer that a set of problems has besides, None without one."""
    return next((n for n in COMPLETION_COLUMNS if n in names and isinstance(first_row[n], str)), None)


def asks(messages: Any) -> bool:
    """Return whether a conversation ends with a question, as those of Tulu's and ms-swift's problems for RL do."""
    if not is_conversation(messages):
        return False
    try:
        return normalise_messages(messages)[-1]["role"] in ("user", "tool")
    except ConversationError:
        return False  # the error is raised where the messages are read, with the number of the row


def find_judged_examples(names: Collection[str], first_row: Row) -> Reading | None:
    """Find examples that a `label` calls good or bad (KTO), of which SFT must not train on the bad ones.

    The label is a truth value, 1 or 0, or either of them as text.
    """
    columns = [name for name in ("prompt", "completion", "messages") if name in names]
    is_judged = str(first_row.get("label")).lower() in (*_GOOD_LABELS, *_BAD_LABELS)
    if not is_judged or not {"completion", "messages"} & set(columns):
        return None

    def read_row(row: Row) -> Row | None:
        is_good = str(row["label"]).lower() in _GOOD_LABELS
        return {name: row[name] for name in columns} if is_good else None

    return Reading("examples with a label", frozenset([*columns, "label"]), read_row)


def find_conversation(names: Sequence[str], first_row: Row) -> Reading | None:
    """Find ShareGPT's form: the turns of a conversation in one column, the system's message perhaps in another."""
    column = first_column(names, CONVERSATION_COLUMNS)
    if column is None or not is_conversation(first_row[column]):
        return None
    system = "system" if "system" in names else None

    def read_row(row: Row) -> Row | None:
        messages = normalise_messages(row[column])
        if system and row[system] and messages[0]["role"] != "system":
            messages = [{"role": "system", "content": str(row[system])}, *messages]
        return {"messages": messages} if messages[-1]["role"] == "assistant" else None

    return Reading("conversation", frozenset(name for name in (column, system) if name), read_row)


def find_preference(names: Sequence[str], first_row: Row) -> Reading | None:
    """Find pairs of a better and a worse answer, of which the better one is an example for SFT."""
    if not {"chosen", "rejected"} <= set(names):
        return None
    used = [name for name in ("prompt", "chosen", "rejected") if name in names]
    if is_conversation(first_row["chosen"]):
        return Reading("preference", frozenset(used), _read_preferred_messages)
    question = first_column(names, ("prompt", "question", "instruction", "input"))
    if question is None or not isinstance(first_row["chosen"], str):
        return None

    def read_row(row: Row) -> Row | None:
        if not row[question] or not row["chosen"]:
            return None
        return {"prompt": row[question], "completion": row["chosen"]}

    return Reading("preference", frozenset((question, "chosen", "rejected")), read_row)


def _read_preferred_messages(row: Row) -> Row | None:
    """Read a preferred conversation, before which its prompt may stand in a column of its own."""
    chosen = normalise_messages(row["chosen"])
    prompt = row.get("prompt")
    if all(message["role"] == "assistant" for message in chosen) and prompt:
        turns = normalise_messages(prompt) if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
        chosen = [*turns, *chosen]
    return {"messages": chosen} if len(chosen) > 1 and chosen[-1]["role"] == "assistant" else None


def find_instruction(names: Sequence[str], first_row: Row) -> Reading | None:
    """Find an instruction with its answer, in Alpaca's form or in that of Dolly and MetaMath."""
    completion = completion_column(names, first_row)
    if completion is None:
        return None
    question = next((name for name in INSTRUCTION_COLUMNS if name in names and name != completion), None)
    if question is None or not isinstance(first_row[question], str):
        return None
    further = first_column(names, ("input", "context")) if question == "instruction" else None
    system = "system" if "system" in names else None
    history = "history" if "history" in names else None

    def read_row(row: Row) -> Row | None:
        prompt = str(row[question] or "").strip()
        if further and row[further]:
            prompt = f"{prompt}\n\n{str(row[further]).strip()}".strip()
        answer = str(row[completion] or "").strip()
        if not prompt or not answer:
            return None
        if not system and not history:
            return {"prompt": prompt, "completion": answer}
        turns = [{"role": "system", "content": str(row[system])}] if system and row[system] else []
        for earlier_question, earlier_answer in (row[history] or []) if history else []:
            turns.append({"role": "user", "content": earlier_question})
            turns.append({"role": "assistant", "content": earlier_answer})
        turns += [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
        return {"messages": turns}

    used = [name for name in (question, further, completion, system, history) if name]
    return Reading("instruction", frozenset(used), read_row)
