"""Errors about a data source that is an argument of a command, in the words of that command.

What reads a source names the fields of a recipe in its errors, such as `data.train.0.broken`. A command without a
recipe gives the source a name of its own, under which these fields cannot be typed:

    with errors_of_argument("PATH", takes_fields=True):
        read_source(source, "PATH")        "PATH = rows.jsonl:3; ...; correct the line, or set broken=skip"
"""

import contextlib
import re
from collections.abc import Iterator

from r1kit.errors import UserError

_OTHER_FILE = "name a single file, such as one of JSON Lines"


@contextlib.contextmanager
def errors_of_argument(argument: str, takes_fields: bool = False, source_name: str = "") -> Iterator[None]:
    """Write errors about the source `source_name` (by default `argument`) as those of the argument of a command.

    With `takes_fields`, the command takes fields of a source as `broken=skip`; without, advice to set one is left out.
    """
    try:
        yield
    except UserError as error:
        raise UserError.from_line(_rewrite(str(error), argument, takes_fields, source_name or argument)) from None


def _rewrite(line: str, argument: str, takes_fields: bool, source_name: str) -> str:
    name = rf"\b{re.escape(source_name)}"
    line = re.sub(rf"{name}(\.path)?(?= = |: )", argument, line, count=1)
    if takes_fields:
        return re.sub(rf"{name}\.(?=[a-z])", "", line)
    problem, _, action = line.rpartition("; ")
    if re.search(rf"{name}\.[a-z]", action):
        action = re.sub(rf", or [^,]*{name}\.[a-z].*", "", action)
    if re.search(rf"{name}\.[a-z]", action):
        action = _OTHER_FILE
    return re.sub(rf"{name}\.(?=[a-z])", f"{argument}: ", f"{problem}; {action}")
