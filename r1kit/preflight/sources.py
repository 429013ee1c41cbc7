"""The data of a recipe, as far as they are on this machine: rows and columns of each source, and their mixture.

view = look_at_sources(recipe.data.train, "data.train")
view.lines      ["data.train.0: rows.jsonl, 120 rows with prompt, answer (others: source)"]
view.problems   the sources that can be read here, without those that are too large to be read whole
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from r1kit.data.sources import read_source
from r1kit.data.sources.generated import DEFAULT_ROWS, is_generated_source
from r1kit.recipe import SourceConfig
from r1kit.rows import COLUMNS
from r1kit.runs.paths import describe_absent_run

LARGEST_DATA_READ = 2**26
"""The most bytes of a source that a dry run reads whole; of a larger one it draws ROWS_TRIED rows."""
ROWS_TRIED = 100
"""The number of rows that a dry run draws of a large source, and that it renders."""
GYM_ROWS_TRIED = 10
"""The number of rows of a reasoning_gym task that a dry run generates; some tasks take a tenth of a second for each."""
MAX_NAMES = 12
"""The most names of columns in a line."""
# Columns that trainers read and that are no row of r1kit's own table.
_OTHER_COLUMNS = ("text", "tools", "system", "reasoning_content", "reasoning", "chosen", "rejected", "completions")


@dataclass
class SourcesView:
    """What a dry run has seen of the sources of `data.train` or `data.eval`."""

    lines: list[str] = field(default_factory=list)
    """One line for each source."""
    readable: list[SourceConfig] = field(default_factory=list)
    """The sources on this machine; of large ones a few rows only."""
    is_complete: bool = True
    """Whether `readable` are all sources, with all of their rows."""


def look_at_sources(sources: Sequence[SourceConfig], role: str) -> SourcesView:
    """Return what is known of the sources under the key `role`; nothing is fetched.

    Raises UserError for a source on this machine that cannot be read.
    """
    view = SourcesView()
    for index, source in enumerate(sources):
        label = f"{role}.{index}: {source.path}"
        size = local_size(source.path)
        if size is None:
            view.is_complete = False
            view.lines.append(f"{label}, not looked at, because {why_missing(source.path)}")
            continue
        generated_rows = source.rows or DEFAULT_ROWS
        is_slow = source.path.startswith("reasoning_gym:") and generated_rows > GYM_ROWS_TRIED
        is_small = size <= LARGEST_DATA_READ and not is_slow
        drawn = source if is_small else draw_few(source)
        rows = read_source(drawn, f"{role}.{index}", draw=source.share is None)
        count = f"{len(rows):,} rows"
        if is_slow:
            count = f"{generated_rows:,} rows, of which {len(rows)} were generated now,"
        elif not is_small:
            count = f"{size / 2**20:,.0f} MiB, of which {len(rows)} rows were drawn"
        view.lines.append(f"{label}, {count} with {describe_columns(rows.column_names)}")
        view.readable.append(drawn)
        view.is_complete = view.is_complete and is_small
    return view


def draw_few(source: SourceConfig) -> SourceConfig:
    """Return a large source with ROWS_TRIED of its rows, which are drawn without reading the rest."""
    if is_generated_source(source.path):
        return source.model_copy(update={"rows": GYM_ROWS_TRIED})
    return source.model_copy(update={"rows": min(source.rows or ROWS_TRIED, ROWS_TRIED), "stream": True})


def describe_columns(names: Sequence[str]) -> str:
    """Return the columns that r1kit reads, and in brackets the others."""
    r1kit_columns = [name for name in names if name in COLUMNS or name in _OTHER_COLUMNS]
    others = [name for name in names if name not in r1kit_columns]
    text = _list_names(r1kit_columns) or "no column that r1kit knows"
    return f"{text} (others: {_list_names(others)})" if others else text


def _list_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more


def why_missing(path: str) -> str:
    """Return as a clause why data are not on this machine."""
    if Path(path, "run.json").exists():
        return "that run is not finished"
    if not path.startswith("runs/"):
        return "it is not on this machine"
    return f"an earlier stage makes it{describe_absent_run(path)}"


def local_size(path: str) -> int | None:
    """Return the bytes of a data set on this machine, 0 for generated rows; None where it is not here.

    A path that is meant as a local one, and is no run to come, counts as here: whoever reads it reports it.
    """
    if is_generated_source(path):
        return 0
    local_path = Path(path)
    if (local_path / "run.json").exists():
        local_path = local_path / "data"
    if not local_path.exists():
        is_file_name = path.startswith((".", "/", "~")) or local_path.suffix in (".json", ".jsonl", ".csv", ".parquet")
        return 0 if is_file_name and not path.startswith("runs/") else None
    files = [local_path] if local_path.is_file() else [file for file in local_path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
