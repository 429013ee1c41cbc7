"""Put the sources of a recipe together: by their shares of the rows, if they have some, else all of their rows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from r1kit.data.sources import read_source
from r1kit.errors import UserError
from r1kit.recipe import SourceConfig

if TYPE_CHECKING:
    from datasets import Dataset, Features

# 7 rows are a share of 0.07 of 100 rows, but 7 / 0.07 is 99.99999999999999.
ROUNDING_MARGIN = 1e-9


def read_sources(sources: Sequence[SourceConfig], field: str, total_rows: int | None = None) -> "Dataset":
    """Return the rows of all sources, one after another; a column that a source lacks is null in its rows.

    `total_rows` is the number of rows for sources with shares; without it, there are as many as the shares allow.
    Raises UserError if a source cannot be read, if the shares cannot hold, or if sources disagree about a column.
    """
    import datasets

    has_shares = any(source.share for source in sources)
    source_rows = [read_source(source, f"{field}.{i}", draw=not has_shares) for i, source in enumerate(sources)]
    if has_shares:
        source_rows = _draw_shares(source_rows, sources, field, total_rows)
    if len(source_rows) == 1:
        return source_rows[0]
    features = _common_features(source_rows, sources, field)
    return datasets.concatenate_datasets([_with_features(rows, features) for rows in source_rows])


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


def _common_features(source_rows: list["Dataset"], sources: Sequence[SourceConfig], field: str) -> "Features":
    """Return the features that the rows of all sources can have; scalars of different types become text."""
    import datasets

    names: dict[str, None] = {}  # without repetition, in the order in which they are met
    for rows in source_rows:
        names.update(dict.fromkeys(rows.column_names))
    features = datasets.Features()
    for name in names:
        candidates = [rows.features[name] for rows in source_rows if name in rows.features]
        # A column of nulls alone says nothing about the type.
        candidates = [feature for feature in candidates if feature != datasets.Value("null")] or candidates
        are_equal = all(feature == candidates[0] for feature in candidates)
        if not are_equal:
            _check_scalars(name, candidates, sources, field)
        features[name] = candidates[0] if are_equal else datasets.Value("string")
    return features


def _check_scalars(name: str, candidates: list[Any], sources: Sequence[SourceConfig], field: str) -> None:
    """Raise UserError if a column whose types differ holds lists or structures in any of the sources."""
    import datasets

    are_scalars = [isinstance(feature, datasets.Value) for feature in candidates]
    if all(are_scalars):
        return
    requirement = f"its sources hold different types in the column {name}: {candidates[0]} and others"
    if any(are_scalars):
        requirement = f"its sources mix text and lists in the column {name}"
    paths = ", ".join(source.path for source in sources)
    raise UserError(field, paths, requirement, f"bring them to one form, or rename {name} in one of them with columns")


def _with_features(rows: "Dataset", features: "Features") -> "Dataset":
    """Return `rows` with all columns of `features`; a column that they lack is null."""
    for name in features:
        if name not in rows.column_names:
            rows = rows.add_column(name, [None] * len(rows))
    return rows.select_columns(list(features)).cast(features)
