"""Put the sources of a recipe together: by their shares of the rows, if they have some, else all of their rows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from r1kit.data.sources import read_source
from r1kit.data.sources.column_types import align_chat_columns
from r1kit.data.sources.unify import concatenate_sources
from r1kit.errors import UserError
from r1kit.recipe import SourceConfig

if TYPE_CHECKING:
    from datasets import Dataset

# 7 rows are a share of 0.07 of 100 rows, but 7 / 0.07 is 99.99999999999999.
ROUNDING_MARGIN = 1e-9


def read_sources(sources: Sequence[SourceConfig], field: str, total_rows: int | None = None) -> "Dataset":
    """Return the rows of all sources, one after another; a column that a source lacks is null in its rows.

    `total_rows` is the number of rows for sources with shares; without it, there are as many as the shares allow.
    Raises UserError if a source cannot be read, or if the shares cannot hold.
    """
    has_shares = any(source.share for source in sources)
    source_rows = [read_source(source, f"{field}.{i}", draw=not has_shares) for i, source in enumerate(sources)]
    if has_shares:
        source_rows = _draw_shares(source_rows, sources, field, total_rows)
    if len(source_rows) == 1:
        return source_rows[0]
    return align_chat_columns(concatenate_sources(source_rows))


def _draw_shares(
    source_rows: list["Dataset"], sources: Sequence[SourceConfig], field: str, total_rows: int | None
) -> list["Dataset"]:
    """Draw as many rows of each source as its share asks for; of a source with `rows`, at most that many.

    Raises UserError if a source has fewer rows than its share of `total_rows`.
    """
    shares = [source.share or 0.0 for source in sources]
    available = [min(len(rows), source.rows or len(rows)) for rows, source in zip(source_rows, sources, strict=True)]
    totals = [count / share for count, share in zip(available, shares, strict=True)]
    largest_total = int(min(totals) + ROUNDING_MARGIN)
    if total_rows and total_rows > largest_total:
        scarcest = totals.index(min(totals))
        share, needed = shares[scarcest], round(shares[scarcest] * total_rows)
        requirement = f"{share:g} of {total_rows} rows are {needed}, and it has {available[scarcest]}"
        action = f"set data.rows to at most {largest_total}"
        raise UserError(f"{field}.{scarcest}.share", share, requirement, action)
    total = total_rows or largest_total
    counts = [round(share * total) for share in shares]
    counts[counts.index(max(counts))] += total - sum(counts)  # the largest source takes up what rounding left over
    # Each source is shuffled with its own seed, so that its rows do not change when another source does.
    drawn = []
    for rows, source, count in zip(source_rows, sources, counts, strict=True):
        drawn.append(rows.shuffle(seed=source.seed).select(range(min(count, len(rows)))))
    return drawn
