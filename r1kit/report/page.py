"""Write the page of `r1kit report`: one HTML file that needs no network.

The file carries the styles, the scripts of `assets/` joined in the order of `SCRIPTS`, what is known of the runs as
JSON, and the rollouts as compressed blobs that the page unpacks when a reader opens them.

    write_report(["runs/tiny/ladder"], Path("report.html"))
"""

import base64
import contextlib
import gzip
import html
import io
import json
import math
import os
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import IO, Any

from r1kit.errors import UserError
from r1kit.report.gather import collect_runs, find_run_dirs
from r1kit.report.metrics import describe_metrics
from r1kit.report.rollouts import ROLLOUTS_PER_CHUNK, SCRIPTS, RolloutSet
from r1kit.report.summary import summarise_runs
from r1kit.runs.files import open_output
from r1kit.version import __version__

# The page's own scripts share one scope; a file may use what a file above it defines.
PAGE_SCRIPTS = (
    "util/dom.js",
    "util/format.js",
    "util/state.js",
    "util/blobs.js",
    "util/languages.js",
    "util/completion.js",
    "util/chart.js",
    "util/graph_layout.js",
    "views/summary.js",
    "views/pipeline.js",
    "views/overview.js",
    "views/curves.js",
    "views/rollouts.js",
    "views/compare.js",
    "views/distributions.js",
    "views/data.js",
    "views/scaling.js",
    "views/recipe.js",
    "main.js",
)
STYLES = ("uPlot.min.css", "page.css")
# Browsers neither run nor show a script element of this type.
BLOB_TYPE = "application/octet-stream"
# 6 is gzip's own default: level 9 takes three times as long for files that are 1% smaller.
COMPRESSION_LEVEL = 6
TITLE_RUNS = 3  # the last runs are named in the page's title


def read_asset(name: str) -> str:
    """Return the text of a file of `assets/`."""
    return resources.files("r1kit.report").joinpath("assets", name).read_text(encoding="utf-8")


def page_script() -> str:
    """Return the page's own scripts as one script with a scope of its own."""
    files = "\n".join(read_asset(name) for name in PAGE_SCRIPTS)
    return f'"use strict";\n(() => {{\n{files}}})();\n'


def to_json(value: Any) -> str:
    """Return a value as JSON for browsers, which know no NaN and no infinity: these become null."""
    try:
        return _dump_json(value)
    except ValueError:  # looking through every value takes as long as writing it, and is seldom needed
        return _dump_json(replace_non_finite(value))


def _dump_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=str)


def replace_non_finite(value: Any) -> Any:
    """Return a value of JSON with None for every NaN and infinity in it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: replace_non_finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [replace_non_finite(item) for item in value]
    return value


def to_script_json(value: Any) -> str:
    """Return JSON that may stand in a script element: no `<` in it can end the element."""
    return to_json(value).replace("<", "\\u003c")


def to_blob(value: Any) -> str:
    """Return a value as base64 of compressed JSON."""
    compressed = gzip.compress(to_json(value).encode(errors="replace"), COMPRESSION_LEVEL, mtime=0)
    return base64.b64encode(compressed).decode()


def page_head(runs: list[dict[str, Any]], rollout_sets: Sequence[RolloutSet], live: bool = False) -> dict[str, Any]:
    """Return what the page knows at once; `live` where a server follows the runs."""
    described_sets = []
    for rollout_set in rollout_sets:
        described_sets.append(
            {
                "name": rollout_set.name,
                "run": rollout_set.run_name,
                "kind": rollout_set.kind,
                "count": rollout_set.count,
            }
        )
    return {
        "r1kit": __version__,
        "live": live,
        "scripts": SCRIPTS,
        "rollouts_per_chunk": ROLLOUTS_PER_CHUNK,
        "summary": summarise_runs(runs),
        "metrics": describe_metrics(runs),
        "runs": runs,
        "rollout_sets": described_sets,
    }


def set_columns(rollout_set: RolloutSet) -> dict[str, Any]:
    """Return the columns of a rollout set, and the ids of its questions."""
    return {**rollout_set.columns, "question_ids": rollout_set.question_ids}


def make_blobs(rollout_sets: Sequence[RolloutSet]) -> Iterable[tuple[str, str]]:
    """Yield the blobs by name: `s0` holds the columns of set 0, `s0c3` the texts of its chunk 3."""
    for i, rollout_set in enumerate(rollout_sets):
        yield f"s{i}", to_blob(set_columns(rollout_set))
        for chunk_index, chunk in enumerate(rollout_set.iterate_chunks()):
            yield f"s{i}c{chunk_index}", to_blob(chunk)


def write_page(file: IO[str], head: dict[str, Any], blobs: Iterable[tuple[str, str]]) -> None:
    """Write the page; `blobs` is empty where a server gives them."""
    # The parts go to the file one after the other: the blobs of a long training need not be in memory at once.
    title = ", ".join(run["name"] for run in head["runs"][-TITLE_RUNS:])
    before_styles, before_scripts, end = read_asset("page.html").split("<!-- here -->")
    file.write(before_styles.replace("TITLE", html.escape(title)))
    file.write(f"<style>{''.join(read_asset(name) for name in STYLES)}</style>")
    file.write(before_scripts)
    file.write(f'<script type="application/json" id="head">{to_script_json(head)}</script>\n')
    for name, text in blobs:
        file.write(f'<script type="{BLOB_TYPE}" id="{name}">{text}</script>\n')
    file.write(f"<script>{read_asset('uPlot.iife.min.js')}</script>\n<script>{page_script()}</script>")
    file.write(end)


def write_report(paths: Sequence[str], output: Path) -> Path:
    """Write the page of runs and of the runs that they come from; return `output`, a file, a pipe or `-` for stdout.

    Raises UserError for a path that is no run, where the file cannot be written, and where it is a file of a run.
    """
    run_dirs = find_run_dirs(paths)
    _check_output(output, run_dirs)
    runs, rollout_sets = collect_runs(run_dirs)
    # A half of a surrogate pair in a text of a run does not end the report.
    with open_output(str(output)) as binary, io.TextIOWrapper(binary, encoding="utf-8", errors="replace") as stream:
        write_page(stream, page_head(runs, rollout_sets), make_blobs(rollout_sets))
    return output


def _check_output(output: Path, run_dirs: Sequence[Path]) -> None:
    """Make the folder of the report. Raises UserError for a file within a run that r1kit may read: all but .html."""
    target = Path(os.path.realpath(output))
    if target.suffix != ".html" and any(run_dir.resolve() in target.parents for run_dir in run_dirs):
        raise UserError("--output", output, "is in a run, where a report must be called NAME.html", "use another path")
    with contextlib.suppress(OSError):  # open_output then raises an error that names the field
        target.parent.mkdir(parents=True, exist_ok=True)
