"""TODO."""

import hashlib
import json
from typing import Any

from r1kit.errors import UserError
from r1kit.languages.detect import detect_language, language_code
from r1kit.prompts import CHAT_TEMPLATE, fill_template
from r1kit.recipe import PromptConfig


def check_prompt(question: Any, number: int, field: str) -> str | list[dict[str, str]]:
    """Return a row's prompt. Raises UserError where it is neither text nor messages with text."""
    fine = isinstance(question, str) and bool(question.strip())
    if isinstance(question, list) and question:
        fine = all(isinstance(m, dict) and m.get("role") and isinstance(m.get("content"), str) for m in question)
    if not fine:
        must = f"each prompt must be text or messages of text; that of row {number} is not"
        raise UserError(field, question, must, "mend or drop the row")
    return question


def row_language(row: dict[str, Any], text: str) -> str:
    """Return the code of a row's language: its own (in rows that generate made, `target_language`), else its text's."""
    given = row.get("target_language") or row.get("language")
    code = language_code(given) if isinstance(given, str) else None
    return code or detect_language(text)


def question_text(question: str | list[dict[str, str]]) -> str:
    """Return a prompt's text: its own, or its messages' without the system's, with who says it where there are more."""
    if isinstance(question, str):
        return question
    said = [m for m in question if m["role"] != "system"] or question
    return said[0]["content"] if len(said) == 1 else "\n\n".join(f"{m['role']}: {m['content']}" for m in said)


def render_prompt(question: str | list[dict[str, str]], prompt: PromptConfig) -> str | list[dict[str, str]]:
    """Return a question as the model is asked it: text for a plain template, messages for `chat`."""
    if prompt.template != CHAT_TEMPLATE:
        return fill_template(prompt.template, question_text(question)) + prompt.prefill
    messages = [{"role": "user", "content": question}] if isinstance(question, str) else list(question)
    if prompt.system and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": prompt.system}, *messages]
    return messages


def stable_row_id(question: str | list[dict[str, str]], answer: Any) -> str:
    """Return 16 hex digits that depend on the question (of messages, all of them) and its answer alone."""
    if not isinstance(question, str):
        question = question[0]["content"] if len(question) == 1 else json.dumps(question, ensure_ascii=False)
    return hashlib.sha256(f"{question}\0{answer}".encode()).hexdigest()[:16]
