"""Questions like those that a run was trained on, for somebody who is about to ask its model something.

example_questions(Path("runs/zero"))   ["What is 7 + 8?", "Which is the capital of France?"]
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from r1kit.answers.extract import completion_text
from r1kit.data.questions import question_text
from r1kit.data.sources import read_source
from r1kit.data.sources.generated import is_generated_source
from r1kit.errors import UserError
from r1kit.messages import logger
from r1kit.recipe import SourceConfig
from r1kit.recipe.data import normalise_sources

LARGEST_SOURCE_BYTES = 20_000_000
"""A larger file is not read for examples: that would take longer than the model takes to load."""
LONGEST_QUESTION = 120
"""Characters of a question that is shown; longer ones are passed over."""
_DRAWN_ROWS = 20


def example_questions(run_path: Path, count: int = 2) -> list[str]:
    """Return up to `count` short questions of the data in a run's recipe; none where it cannot be read at once.

    Data on the hub is not read, nor a source that is not there any more.
    """
    questions: list[str] = []
    was_disabled, logger.disabled = logger.disabled, True  # how a source is read is of no interest here
    try:
        for question in _iterate_questions(run_path):
            is_short = len(question) <= LONGEST_QUESTION and "\n" not in question
            if is_short and question not in questions:
                questions.append(question)
            if len(questions) == count:
                break
    except (UserError, ValidationError, OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        pass  # a help that is not there is no mistake of the user's
    finally:
        logger.disabled = was_disabled
    return questions


def _iterate_questions(run_path: Path) -> Iterator[str]:
    """Yield the question of rows that are drawn from the sources of a run's recipe."""
    recipe = yaml.safe_load((run_path / "recipe.yaml").read_text())
    data = normalise_sources(recipe["data"])
    for entry in [*(data.get("train") or []), *(data.get("eval") or [])]:
        source = SourceConfig(**{**entry, "rows": _DRAWN_ROWS, "share": None})
        if not is_generated_source(source.path) and not _is_small(Path(source.path)):
            continue
        for row in read_source(source).to_list():
            question = _question_of(row)
            if question:
                yield question


def _is_small(path: Path) -> bool:
    """Return whether a local file or folder is small enough to be read for a few rows."""
    if not path.exists():
        return False
    files = [path] if path.is_file() else [*(path / "data").rglob("*"), *path.glob("*")]
    return sum(file.stat().st_size for file in files if file.is_file()) <= LARGEST_SOURCE_BYTES


def _question_of(row: dict[str, Any]) -> str:
    """Return the question of a row: its prompt, or the first message of the user in a conversation; "" without one."""
    messages = row.get("messages")
    if row.get("prompt") is None and isinstance(messages, list):
        return next((completion_text([m]) for m in messages if m.get("role") == "user"), "").strip()
    return question_text(row["prompt"]).strip() if row.get("prompt") else ""
