"""How a data set is read: a Reading, which the finders of its form return."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from r1kit.data.adapters.choices import CHOICE_COLUMNS
from r1kit.rows import Row

ReadRow = Callable[[Row], Row | None]


@dataclass(frozen=True)
class Reading:
    """How a data set is read: by which form, and from which of its columns."""

    name: str
    columns: frozenset[str]
    """The columns that are read, which are not carried into the rows besides."""
    read_row: ReadRow
    settle: Callable[[Iterable[Row]], ReadRow] | None = None
    """Takes all rows of the set, and returns the function that reads one; None where `read_row` fits any set."""
    drop_reason: str = ""
    """Why rows are dropped, such as "they offer tools"; "" where that needs no explanation."""


def first_column(names: Collection[str], candidates: Sequence[str]) -> str | None:
    """Return the first of `candidates` that is among `names`, None without one."""
    return next((name for name in candidates if name in names), None)


def has_choices(names: Collection[str]) -> bool:
    """Return whether a set has a column that may hold the choices of a question."""
    return not set(CHOICE_COLUMNS).isdisjoint(names)
