"""Malformed rows, recipes, folders and files: every command ends with exit code 0, or with 2 and one line of error.

Each test runs some hundred inputs through one command. A training ends where its first step would begin (fuzzing.py).
Inputs are written here or made by hypothesis, the same ones each time.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fuzzing import Ending, run_batch

BATCH_SIZE = 40
BASE_MODEL, STUDENT_MODEL = "model.path=tiny:base", "model.path=tiny:student"


@dataclass
class Case:
    """A command, with files that are written before it runs."""

    name: str
    arguments: list[str]
    files: dict[str, str | bytes] = field(default_factory=dict)
    prepare: Callable[[Path], None] | None = None


def find_failures(cases: list[Case], folder: Path, stdin: str = "") -> list[str]:
    """Run cases, each in a folder of its own, and return a line on each that ended in another way than it may."""
    failures = []
    for start in range(0, len(cases), BATCH_SIZE):
        batch = cases[start : start + BATCH_SIZE]
        folders = []
        for number, case in enumerate(batch, start):
            case_folder = folder / f"{number}"
            case_folder.mkdir()
            for name, content in case.files.items():
                path = case_folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.encode() if isinstance(content, str) else content)
            if case.prepare:
                case.prepare(case_folder)
            folders.append(case_folder)
        endings = run_batch([case.arguments for case in batch], folders, stdin)
        for case, ending in zip(batch, endings, strict=True):
            if fault := find_fault(ending):
                failures.append(f"{case.name}: {fault}")
    return failures


def find_fault(ending: Ending) -> str:
    """Return what is wrong with the ending of a command, or an empty text."""
    if ending.raised:
        return f"raised {ending.raised.strip().splitlines()[-1][:300]}\n{ending.raised[-1500:]}"
    if "Traceback (most recent call last)" in ending.stderr:
        return f"shows a traceback: {ending.stderr[-600:]}"
    if ending.code not in (0, 2):
        return f"exit code {ending.code}: {ending.stderr[-600:]}"
    errors = [line for line in ending.stderr.splitlines() if line.startswith("error:")]
    if ending.code == 2 and (len(errors) != 1 or not ending.stderr.rstrip().splitlines()[-1].startswith("error:")):
        return f"exit code 2 without one line of error at the end: {ending.stderr[-600:]}"
    if ending.code == 0 and errors:
        return f"exit code 0 with an error: {errors}"
    return ""


# Rows

# Values that no column expects, as JSON.
ODD_VALUES = {
    "null": "null",
    "true": "true",
    "zero": "0",
    "negative": "-1",
    "fraction": "0.1",
    "whole number beyond 2**53": "9007199254740993",
    "whole number beyond 2**64": "18446744073709551617",
    "5000 digits": "7" * 5000,
    "NaN": "NaN",
    "infinity": "Infinity",
    "beyond a float": "1e999",
    "empty text": '""',
    "spaces": '" \\t\\n "',
    "NUL": '"\\u0000"',
    "half of a surrogate pair": '"\\ud800 x"',
    "both directions": '"\\u202e\\u200f\\ufeff"',
    "long text": json.dumps("ab " * 30_000),
    "braces": '"{x} {0} {{ }} {% raw %} %s"',
    "control characters": '"\\u001b[31m\\u0007\\u0085\\u2028"',
    "special tokens": '"<|im_end|><|endoftext|></think></answer>"',
    "date": '"2024-01-05"',
    "NA": '"NA"',
    "JSON in text": '"[1, {\\"a\\": null}]"',
    "empty list": "[]",
    "empty object": "{}",
    "list of null": "[null]",
    "list of lists": "[[[]]]",
    "list of numbers": "[1, 2.5]",
    "list of texts": '["a", "b"]',
    "mixed list": '[1, "a", null, {"b": []}]',
    "object": '{"a": null, "b": [1, "x"]}',
    "object of a message": '{"role": "user", "content": "hi"}',
    "message without a role": '[{"content": "hi"}]',
    "message without a content": '[{"role": "user"}]',
    "message of null": '[{"role": null, "content": null}]',
    "message of numbers": '[{"role": 1, "content": 2}]',
    "message of parts": '[{"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image"}]}]',
    "message of another role": '[{"role": "wizard", "content": "hi"}]',
    "answer first": '[{"role": "assistant", "content": "hi"}]',
    "deep list": "[" * 60 + "]" * 60,
    "deeper list": "[" * 3000 + "]" * 3000,
}

PROBLEM = {"prompt": '"What is 2 + 2?"', "answer": '"4"', "checker": '"exact"', "domain": '"math"'}
CODE_PROBLEM = {
    "prompt": '"Write f, which adds one."',
    "tests": '[{"kind": "call", "function": "f", "args": [1], "expected": 2}]',
    "checker": '"code"',
}
EXAMPLE = {"prompt": '"What is 2 + 2?"', "completion": '"<think>Two and two.</think><answer>4</answer>"'}
CHAT = {
    "messages": '[{"role": "user", "content": "What is 2 + 2?"}, '
    '{"role": "assistant", "content": "<think>Two and two.</think><answer>4</answer>"}]',
    "tools": "null",
}
SAMPLE = {
    **PROBLEM,
    **EXAMPLE,
    "id": '"a1"',
    "language": '"en"',
    "thinking": "true",
    "finish_reason": '"stop"',
    "source": '"s"',
    "metadata": "null",
}
CHOICE = {"question": '"Which?"', "choices": '["a", "b", "c", "d"]', "answer": "2"}


def to_line(columns: dict[str, str]) -> str:
    return "{" + ", ".join(f"{json.dumps(name)}: {value}" for name, value in columns.items()) + "}\n"


def odd_rows(base: dict[str, str], extra: tuple[str, ...] = ()) -> dict[str, str]:
    """Return files of rows, by the name of what is wrong in them: each column of `base` is in turn odd or missing."""
    good = to_line(base)
    files = {}
    for column in (*base, *extra):
        for name, value in ODD_VALUES.items():
            odd = to_line({**base, column: value})
            files[f"{column} is {name}"] = good + odd if len(files) % 2 else odd + good
        if column in base:
            without = to_line({other: value for other, value in base.items() if other != column})
            files[f"no {column}"] = without
            files[f"{column} missing in one row"] = good + without
    return files
