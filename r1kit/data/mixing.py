"""TODO."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from r1kit.data.sources import read_source
from r1kit.errors import UserError
from r1kit.recipe import SourceConfig

if TYPE_CHECKING:
    from datasets import Dataset


def read_sources(sources: Sequence[SourceConfig], field: str, total: int | None = None) -> "Dataset":
    """Read sources and put them together, by their shares where they have some; a column lacking in one is None there.

    Raises UserError.
    """
    import datasets

    shared = any(source.share for source in sources)
    parts = [read_source(source, f"{field}.{i}", draw=not shared) for i, source in enumerate(sources)]
    if shared:
        parts = _mixed(parts, sources, field, total)
    names = list(dict.fromkeys(name for part in parts for name in part.column_names))
    if len(parts) == 1:
        return parts[0]
    features = datasets.Features()
    for name in names:
        kinds = [p.features[name] for p in parts if name in p.features]
        kinds = [k for k in kinds if k != datasets.Value("null")] or kinds
        if not all(isinstance(k, datasets.Value) for k in kinds) and any(k != kinds[0] for k in kinds):
            texts = ", ".join(s.path for s in sources)
            must = f"its sources hold different things in the column {name}: {kinds[0]} and others"
            if any(isinstance(k, datasets.Value) for k in kinds):
                must = f"its sources mix text and lists in the column {name}"
            raise UserError(field, texts, must, f"bring them to one form, or rename {name} of one with columns")
        features[name] = kinds[0] if all(k == kinds[0] for k in kinds) else datasets.Value("string")
    filled = []
    for part in parts:
        for name in names:
            if name not in part.column_names:
                part = part.add_column(name, [None] * len(part))
        filled.append(part.select_columns(names).cast(features))
    return datasets.concatenate_datasets(filled)


def _mixed(parts: list["Dataset"], sources: Sequence[SourceConfig], field: str, total: int | None) -> list["Dataset"]:
    """Draw from each part so many rows that the shares hold; of a source with `rows`, at most so many."""
    shares = [source.share or 0.0 for source in sources]
    there = [min(len(p), s.rows or len(p)) for p, s in zip(parts, sources, strict=True)]
    most = int(min(n / share for n, share in zip(there, shares, strict=True)) + 1e-9)
    if total and total > most:
        short = min(range(len(parts)), key=lambda i: there[i] / shares[i])
        must = f"{shares[short]:g} of {total} rows are {round(shares[short] * total)}, and it has {there[short]}"
        raise UserError(f"{field}.{short}.share", shares[short], must, f"set data.rows to at most {most}")
    wanted = total or most
    counts = [round(share * wanted) for share in shares]
    counts[counts.index(max(counts))] += wanted - sum(counts)
    return [
        part.shuffle(seed=source.seed).select(range(min(count, len(part))))
        for part, source, count in zip(parts, sources, counts, strict=True)
    ]
