"""Read sets in which any of several answers is right: TriviaQA, SQuAD, NQ, WebQuestions, PopQA, MuSiQue, FlashRAG.

    {"question": "Who wrote Emma?", "answer": {"value": "Jane Austen", "aliases": ["Austen"]}}
    {"prompt": "Who wrote Emma?", "answer": '["Jane Austen", "Austen"]', "checker": "exact"}

For the checker `exact`, any member of a list of texts is a right answer. A row is left out if all members of its list
may be asked for, as with DROP's spans.
"""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from r1kit.data.exact_json import dump_json
from r1kit.rows import Row

ACCEPTED_COLUMNS = (
    "golden_answers",
    "gold_answers",
    "accepted_answers",
    "possible_answers",
    "answers",
    "answers_spans",
    "answer_aliases",
    "aliases",
)
"""Columns with a list of answers, any of which is right; a column `answer` may stand beside them."""
ALIAS_KEYS = ("value", "aliases", "normalized_aliases")
"""TriviaQA's answer is an object with these."""
# A text of words without mathematics. A list of formulas may ask for all of them, a list of words does not.
_WORDS = re.compile(r"(?=.*[^\W\d_]{3})[^\\$^_=+*/<>|{}]+")


def find_accepted_columns(names: Sequence[str], first_row: Row) -> list[str]:
    """Return the columns that hold the answers of a set that accepts any of several; empty for another set."""
    columns = [name for name in ACCEPTED_COLUMNS if name in names and _member_texts(first_row[name]) is not None]
    answer = first_row.get("answer")
    is_list = isinstance(answer, list) or (isinstance(answer, Mapping) and _member_texts(answer) is not None)
    if is_list or (columns and "answer" in names):
        columns.insert(0, "answer")
    return columns


def accepted_answers(values: Sequence[Any]) -> list[str]:
    """Return the different answers in the values of a row's columns; empty where several may be asked for together."""
    answers: dict[str, None] = {}  # an ordered set
    for value in values:
        texts = _member_texts(value)
        if texts is None:
            texts = [] if value is None else [str(value).strip()]
        answers.update(dict.fromkeys(texts))
    asks_for_all = any(_may_ask_for_all(value) for value in values) and len(answers) > 1
    return [] if asks_for_all else [answer for answer in answers if answer]


def accepted_row(answers: Sequence[str]) -> Row:
    """Return the columns of a problem for which any of several answers is right."""
    return {"answer": dump_json(list(answers)), "checker": "exact"}


def _may_ask_for_all(value: Any) -> bool:
    """Return whether a list may hold answers all of which are asked for: DROP's spans, or several formulas."""
    if isinstance(value, Mapping) and "spans" in value:
        return "span" in (value.get("types") or ["span"])
    return isinstance(value, list) and not any(_WORDS.fullmatch(text) for text in _member_texts(value) or [])


def _member_texts(value: Any) -> list[str] | None:
    """Return the texts that a list of answers holds, in any of its forms; None for what is no list of answers."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _parsed_list(value)
    if isinstance(value, Mapping):
        if isinstance(value.get("aliases"), list):
            return _texts([value.get(key) for key in ALIAS_KEYS])
        members = value.get("text", value.get("spans"))
        return _texts(members) if isinstance(members, list) else None
    return _texts(value) if isinstance(value, list) else None


def _texts(members: Sequence[Any]) -> list[str] | None:
    """Return the members of a list as texts, those of inner lists and of `{"text": ...}`; None for other objects."""
    texts: list[str] = []
    for member in members:
        if isinstance(member, Mapping):
            member = member.get("text")
            if member is None:
                return None
        if isinstance(member, list):
            texts += _texts(member) or []
        elif member is not None:
            texts.append(str(member).strip())
    return list(dict.fromkeys(texts))


def _parsed_list(text: str) -> Any:
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return text
