"""Format tables and durations as plain text, for the terminal and for files.

    print(format_table(["reward", "mean", "faults"], [["accuracy", 0.5, 1], ["format", 1.0, 0]]))

    reward     mean  faults
    accuracy  0.500       1
    format    1.000       0

Tables are drawn by rich, which knows how many columns of a terminal a Persian or Chinese character takes.
"""

import io
import re
from collections.abc import Collection, Sequence
from typing import Literal, TextIO

from r1kit.safe_text import escape_control_characters

Cell = str | int | float | None

# Wide enough that rich never has to wrap or to cut a line.
_UNLIMITED_COLUMNS = 100_000
# A number as text: 12, -0.5, 1,000, 3e-05, 45%, and "-", which stands for a missing number.
_NUMBER = re.compile(r"[-+]?[\d,]*\.?\d+([eE][-+]?\d+)?\s?%?|-")


def format_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    decimals: int = 3,
    width: int | None = None,
    wrap: Collection[str] = (),
    right: Collection[str] = (),
    stream: TextIO | None = None,
) -> str:
    """Return `rows` as an aligned table with one line of headers; columns of numbers are aligned to the right.

    Floats get `decimals` digits after the point, and None becomes "-". Columns whose headers stand in `right` are
    aligned to the right whatever they hold. Nothing is wrapped or cut, unless `width` (in columns of the terminal) is
    set: then the columns whose headers stand in `wrap` share what the others leave, and their cells continue on the
    next line. The headers are bold if `stream`, on which the table will be printed, is a terminal.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    has_colour = stream is not None and stream.isatty()
    texts = []
    for row in rows:
        texts.append([_format_cell(cell, decimals) for cell in row])
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for index, header in enumerate(headers):
        is_numeric = bool(texts) and all(_NUMBER.fullmatch(row[index]) for row in texts)
        justify: Literal["left", "right"] = "right" if is_numeric or header in right else "left"
        table.add_column(
            Text(escape_control_characters(header), justify=justify),
            justify=justify,
            overflow="fold",
            no_wrap=width is None or header not in wrap,
        )
    for row in texts:
        # Text, since rich would read "[dim]" in a plain string as markup.
        table.add_row(*[Text(cell) for cell in row])

    buffer = io.StringIO()
    console = Console(
        file=buffer,
        width=width or _UNLIMITED_COLUMNS,
        force_terminal=has_colour,
        color_system="standard" if has_colour else None,
        highlight=False,
    )
    console.print(table)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())


def _format_cell(cell: Cell, decimals: int) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.{decimals}f}"
    return escape_control_characters(str(cell))


def format_duration(seconds: float) -> str:
    """Return a duration in the unit that suits it: 45 s, 12 min or 3.5 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
