"""The reward lab: score saved completions with any rewards, outside of training."""

import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from r1kit.errors import UserError, suggest
from r1kit.recipe import Reward
from r1kit.rewards import FAULT, bind, check_columns
from r1kit.run import write_file

VERIFIERS = (None, "math", "exact", "choice", "code")


def score_file(file: str, names: Sequence[str], output: str | None) -> None:
    """Score the rows of a JSONL file; write them with a column a reward, and a table to stderr.

    Raises UserError for a file or a row that cannot be read, and for a missing column.
    """
    rows = _read(file)
    entries = [Reward(name=name.strip()) for name in names]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    check_columns(entries, columns, file)
    scored = score(rows, entries, columns)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in scored)
    if output is None:
        sys.stdout.write(text)
    else:
        try:
            write_file(Path(output), text)
        except OSError as error:
            raise UserError("--output", output, "must be a file that can be written", error.strerror or "") from None
        print(output)
    print(_table(scored, [bind(e).__name__ for e in entries]), file=sys.stderr)


def score(rows: list[dict[str, Any]], entries: Sequence[Reward], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Return `rows` with a column for each reward; a fault is the text "fault"."""
    values = {name: [row.get(name) for row in rows] for name in columns}
    completions, prompts = values.pop("completion"), values.pop("prompt", [""] * len(rows))
    ids = values.pop("completion_ids", None) or [str(c).split() for c in completions]
    scored = [dict(row) for row in rows]
    for index, entry in enumerate(entries):
        function = bind(entry, index)
        scores = function(completions=completions, prompts=prompts, completion_ids=ids, **values)
        for row, value in zip(scored, scores, strict=True):
            row[function.__name__] = "fault" if value == FAULT else value
    return scored


def _read(file: str) -> list[dict[str, Any]]:
    try:
        lines = Path(file).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError("FILE", file, "must be a JSONL file that can be read", str(error)) from None
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError("FILE", f"{file}:{number}", "must be JSON", str(error)) from None
        if not isinstance(row, dict) or not isinstance(row.get("completion"), str | list):
            raise UserError("FILE", f"{file}:{number}", "needs a key completion", "add it")
        if row.get("verifier") not in VERIFIERS:
            raise UserError(
                "FILE", f"{file}:{number}", f"verifier {row['verifier']}", suggest(row["verifier"], VERIFIERS[1:])
            )
        rows.append(row)
    if not rows:
        raise UserError("FILE", file, "has no rows", "give at least one")
    return rows


def _table(rows: list[dict[str, Any]], names: Sequence[str]) -> str:
    lines = [f"{'reward':<16}{'mean':>8}{'min':>8}{'max':>8}{'none':>6}{'fault':>6}"]
    for name in names:
        values = [row[name] for row in rows]
        numbers = [v for v in values if isinstance(v, int | float)]
        shown = (statistics.fmean(numbers), min(numbers), max(numbers)) if numbers else ()
        cells = "".join(f"{v:8.3f}" for v in shown) or f"{'-':>8}{'-':>8}{'-':>8}"
        lines.append(f"{name:<16}{cells}{values.count(None):>6}{values.count('fault'):>6}")
    return "\n".join(lines)
