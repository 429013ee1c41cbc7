"""Read rows of NeMo-Gym's form: a request to a model in `responses_create_params`, and what a verifier needs beside it.

    {"responses_create_params": {"input": [{"role": "user", "content": "3 + 4?"}]}, "expected_answer": "7"}
    {"responses_create_params": {"input": "..."}, "verifier_metadata": {"unit_tests": {"inputs": [...], ...}}}

Rows whose request offers tools, and rows that only one of NeMo-Gym's verifiers can judge, are left out.
"""

from collections.abc import Mapping
from typing import Any

from r1kit.data.adapters.chat import normalise_messages
from r1kit.data.adapters.code_tests import parse_tests, tests_as_json
from r1kit.data.adapters.mathematics import gold_text
from r1kit.rows import Row

REQUEST_COLUMN = "responses_create_params"
COLUMNS = (REQUEST_COLUMN, "expected_answer", "question", "options", "grading_mode", "verifier_metadata", "agent_ref")
"""The columns that are read, and those that are not needed in the row besides."""


def adapt_nemo_gym(row: Row) -> Row | None:
    """Read a row; None for one that offers tools, and for one without an answer or tests."""
    request = row[REQUEST_COLUMN]
    messages = request["input"]
    if request.get("tools"):
        return None
    prompt = _read_prompt(messages, request.get("instructions"))
    metadata = row.get("verifier_metadata")
    tests = parse_tests(metadata.get("unit_tests")) if isinstance(metadata, Mapping) else []
    if tests:
        return {"prompt": prompt, "tests": tests_as_json(tests), "checker": "code", "domain": "code"}
    answer = gold_text(row.get("expected_answer"))
    if answer is None:
        return None
    return {"prompt": prompt, "answer": answer, "checker": "choice" if row.get("options") else "math"}


def _read_prompt(request: Any, instructions: Any) -> Any:
    """Return the messages of a request, or the text of one message of the user's."""
    messages = [{"role": "user", "content": request}] if isinstance(request, str) else normalise_messages(request)
    if instructions:
        messages = [{"role": "system", "content": str(instructions)}, *messages]
    is_text = len(messages) == 1 and messages[0]["role"] == "user"
    return messages[0]["content"] if is_text else messages
