"""What a row is: the one type of problems, SFT examples and sampled completions."""

from typing import Any

Row = dict[str, Any]
