"""A row's question: check it, show it as bare text, render it as the prompt of a template, identify its row.

A question is text, or chat messages (`{"role": ..., "content": ...}`) with text in each. These functions need the
recipe's `prompt` block, which is why they are not in `r1kit.prompts`, below the recipe.
"""

import hashlib
import json
from typing import Any

from r1kit.data.adapters.chat import ConversationError, Message, normalise_messages
from r1kit.errors import UserError
from r1kit.languages.detect import detect_language, language_code
from r1kit.prompts import CHAT_TEMPLATE, fill_template
from r1kit.recipe import PromptConfig
from r1kit.rows import Row

Messages = list[Message]
Question = str | Messages


def check_prompt(question: Any, row_number: int, field: str) -> Question:
    """Return the question of row `row_number`, from 0: text as it is, messages with the usual roles and text in each.

    Raises UserError if it is neither.
    """
    action = "correct or drop the row"
    name = f"{field}: prompt of row {row_number + 1}"
    if isinstance(question, list):
        try:
            return normalise_messages(question)
        except ConversationError as error:
            requirement = f"each prompt must be text, or messages with text in them, and not empty: {error}"
            raise UserError(name, question, requirement, action) from None
    if not isinstance(question, str) or not question.strip():
        requirement = "each prompt must be text, or messages with text in them, and not empty"
        raise UserError(name, question, requirement, action)
    return question


def question_text(question: Question) -> str:
    """Return a question as text without the system's message; several messages each begin with their role.

    `question_text([{"role": "user", "content": "hi"}])` is `"hi"`.
    """
    if isinstance(question, str):
        return question
    messages = [message for message in question if message["role"] != "system"] or question
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in messages)


def render_prompt(question: Question, prompt: PromptConfig) -> Question:
    """Return a question as the model is given it: text for a plain template, messages for `chat`."""
    if prompt.template != CHAT_TEMPLATE:
        return fill_template(prompt.template, question_text(question)) + prompt.prefill
    messages = [{"role": "user", "content": question}] if isinstance(question, str) else list(question)
    if prompt.system and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": prompt.system}, *messages]
    return messages


def stable_row_id(question: Question, answer: Any) -> str:
    """Return 16 hex digits that depend only on the question, with all of its messages, and its answer."""
    if isinstance(question, str):
        text = question
    elif len(question) == 1:
        # The same id as for plain text: a single message is only another form of the question.
        text = question[0]["content"]
    else:
        text = json.dumps(question, ensure_ascii=False)
    # The zero byte keeps the question "a" with the answer "b1" apart from "ab" with "1".
    return hashlib.sha256(f"{text}\0{answer}".encode()).hexdigest()[:16]


def row_language(row: Row, text: str) -> str:
    """Return the code of the language that `row` names, else of the one that `text` is written in.

    A row that `generate` made names it in `target_language`, since its `language` is a reward's score.
    """
    language = row.get("target_language") or row.get("language")
    code = language_code(language) if isinstance(language, str) else None
    return code or detect_language(text)
