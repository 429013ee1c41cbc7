"""`r1kit data inspect PATH`: columns, counts, lengths, languages and samples of any data source."""

import os
import statistics
from collections import Counter
from typing import Any

from pydantic import ValidationError

from r1kit.data.batches import READ_BATCH_ROWS
from r1kit.data.hygiene.normalise import normalise_text
from r1kit.data.sources import read_source
from r1kit.errors import UserError
from r1kit.languages.detect import detect_language
from r1kit.recipe import SourceConfig, parse_override

LOOKED = 5_000  # rows whose texts are looked at
SHOWN = 3
WIDTH = 300


def inspect_source(words: list[str]) -> None:
    """Print what a source holds. `words`: its path, then fields of a source such as name=all or split=test."""
    if not words or "=" in words[0]:
        raise UserError(
            "PATH", " ".join(words) or "none", "a data source is needed", "r1kit data inspect PATH [split=test]"
        )
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    values: dict[str, Any] = {"path": words[0]}
    for word in words[1:]:
        key, value = parse_override(word)
        if key not in SourceConfig.model_fields:
            raise UserError(
                key, value, "no such field of a source", f"use one of: {', '.join(SourceConfig.model_fields)}"
            )
        values[key] = value
    try:
        source = SourceConfig(**values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise UserError(key, first["input"], first["msg"], "see r1kit data inspect --help") from None
    rows = read_source(source, "PATH")
    print("\n".join(describe_rows(rows)))


def describe_rows(rows: Any) -> list[str]:
    """Return the lines that `inspect` prints of a data set."""
    lines = [f"{len(rows)} rows", "", "columns"]
    arrow = rows.with_format("arrow")
    nulls: Counter[str] = Counter()
    for start in range(0, len(rows), READ_BATCH_ROWS):
        batch = arrow[start : start + READ_BATCH_ROWS]
        nulls.update({name: batch.column(name).null_count for name in rows.column_names})
    for name, kind in rows.features.items():
        empty = nulls[name]
        shown = getattr(kind, "dtype", None) or str(kind)
        lines.append(f"  {name:<20} {shown}" + (f", empty in {empty}" if empty else ""))
    for name in ("domain", "checker", "source", "level", "finish_reason", "correct", "thinking"):
        if name in rows.column_names:
            counts = Counter(str(v) for v in rows[name])
            most = ", ".join(f"{k or '-'} {n}" for k, n in counts.most_common(8))
            lines.append(f"{name}: {most}" + (f", and {len(counts) - 8} others" if len(counts) > 8 else ""))
    part = rows.select(range(min(LOOKED, len(rows)))).to_list()
    names = [n for n in ("prompt", "messages", "completion", "text") if n in rows.column_names]
    texts = {name: [str(_text(row[name])) for row in part if row.get(name)] for name in names}
    of = "" if len(part) == len(rows) else f" (of the first {len(part)} rows)"
    lines += ["", f"lengths in words{of}        least  median    95%    most"]
    for name, found in texts.items():
        if found:
            sizes = sorted(len(text.split()) for text in found)
            at = [sizes[0], int(statistics.median(sizes)), sizes[int(0.95 * (len(sizes) - 1))], sizes[-1]]
            lines.append(f"  {name:<26} " + " ".join(f"{n:>7}" for n in at))
    asked = texts.get("prompt") or texts.get("messages") or texts.get("text") or []
    languages = Counter(detect_language(text) for text in asked)
    lines += [f"languages{of}: " + ", ".join(f"{k} {n}" for k, n in languages.most_common())]
    again = len(asked) - len({normalise_text(text) for text in asked})
    lines += [f"prompts that stood before{of}: {again}"] if asked else []
    for row in part[:SHOWN]:
        lines.append("")
        for name, value in row.items():
            text = " ".join(str(_text(value)).split())
            lines.append(f"  {name}: {text[:WIDTH]}{'...' if len(text) > WIDTH else ''}")
    return lines


def _text(value: Any) -> Any:
    """Return a prompt or a completion as text, whether it is text or messages; other values as they are."""
    if isinstance(value, list) and value and isinstance(value[0], dict) and "content" in value[0]:
        return "\n".join(f"{m['role']}: {m['content']}" for m in value)
    return value
