"""The key `webhook` of a recipe: an address, or the name of an environment variable that holds one."""

import os
from urllib.parse import urlsplit


def webhook_address(value: str | None) -> str | None:
    """Return the address of a recipe's `webhook`; None where it has none, or the variable holds none."""
    address = value if value is None or "://" in value else os.environ.get(value, "")
    try:
        parts = urlsplit(address or "")
    except ValueError:  # such as an address of IPv6 without its bracket
        return None
    return address if parts.scheme in ("http", "https") and parts.netloc else None
