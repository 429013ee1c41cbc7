"""`r1kit report`: the page as one file, and what it is made of."""

import base64
import gzip
import json
import math
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import IO, Any

from r1kit import __version__
from r1kit.errors import UserError
from r1kit.report.gather import SCRIPTS, Rollouts, closure, collect
from r1kit.runs.files import atomic_file

SCRIPT = "application/octet-stream"


def asset(name: str) -> str:
    return resources.files("r1kit.report").joinpath("assets", name).read_text(encoding="utf-8")


def plain(value: Any) -> str:
    """Return a value as JSON that browsers take: numbers that are none become null."""

    def mended(part: Any) -> Any:
        if isinstance(part, float) and not math.isfinite(part):
            return None
        if isinstance(part, dict):
            return {key: mended(inside) for key, inside in part.items()}
        return [mended(inside) for inside in part] if isinstance(part, list | tuple) else part

    settings: dict[str, Any] = {"ensure_ascii": False, "separators": (",", ":"), "allow_nan": False}
    try:
        return json.dumps(value, **settings)
    except ValueError:
        return json.dumps(mended(value), **settings)


def packed(value: Any) -> str:
    """Return a value as base64 of compressed JSON."""
    text = plain(value)
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


def head(runs: list[dict[str, Any]], sets: Sequence[Rollouts], live: bool = False) -> dict[str, Any]:
    """Return what the page knows before anybody looks closer."""
    described = [{"name": one.name, "run": one.run, "kind": one.kind, "count": one.count} for one in sets]
    return {"r1kit": __version__, "live": live, "scripts": SCRIPTS, "runs": runs, "sets": described}


def safe(value: Any) -> str:
    """Return JSON that may stand in a script element."""
    return plain(value).replace("<", "\\u003c")


def write(file: IO[str], told: dict[str, Any], blobs: Iterable[tuple[str, str]]) -> None:
    """Write the page, with blobs by name (empty where a server gives them)."""
    title = ", ".join(run["name"] for run in told["runs"][-3:])
    parts = asset("page.html").split("<!-- here -->")
    file.write(parts[0].replace("TITLE", title.replace("&", "&amp;").replace("<", "&lt;")))
    file.write(f"<style>{asset('uPlot.min.css')}{asset('page.css')}</style>")
    file.write(parts[1])
    file.write(f'<script type="application/json" id="head">{safe(told)}</script>\n')
    for name, text in blobs:
        file.write(f'<script type="{SCRIPT}" id="{name}">{text}</script>\n')
    file.write(f"<script>{asset('uPlot.iife.min.js')}</script>\n<script>{asset('page.js')}</script>")
    file.write(parts[2])


def numbers(one: Rollouts) -> dict[str, Any]:
    """Return the columns of a set, and its questions' ids."""
    return {**one.columns, "ids": one.questions}


def blobs(sets: Sequence[Rollouts]) -> Iterable[tuple[str, str]]:
    """Yield every blob of the sets: `s0` has the numbers of set 0, `s0c3` the texts of its chunk 3."""
    for i, one in enumerate(sets):
        yield f"s{i}", packed(numbers(one))
        for j, part in enumerate(one.chunks()):
            yield f"s{i}c{j}", packed(part)


def write_report(paths: Sequence[str], output: Path) -> Path:
    """Write the page of runs, and of those that they come from. Raises UserError."""
    runs, sets = collect(closure(paths))
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(output) as temporary, open(temporary, "w", encoding="utf-8") as file:
            write(file, head(runs, sets), blobs(sets))
    except OSError as error:
        must, do = "must be a file that can be written", error.strerror or str(error)
        raise UserError("--output", output, must, do) from None
    return output
