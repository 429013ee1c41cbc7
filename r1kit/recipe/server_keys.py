"""The setting `key` of servers: the name of the environment variable that holds an API key, never the key itself."""

import os

from r1kit.errors import UserError
from r1kit.safe_text import is_variable_name


def check_key_name(field: str, name: str | None) -> None:
    """Raise UserError where the setting `key`, which is at the key `field`, looks like an API key itself."""
    if name and not is_variable_name(field, name):
        requirement = "looks like a key itself, and not like the name of an environment variable"
        raise UserError(field, name, requirement, "export OPENAI_API_KEY=... and write key: OPENAI_API_KEY")


def read_key(field: str, name: str | None) -> str | None:
    """Return the API key from the environment; None without `name` where OPENAI_API_KEY is not set. Raises UserError.

    `field` is the key of the recipe that `name` stands at, such as `sampling.server.key`.
    """
    check_key_name(field, name)
    if name and not os.environ.get(name):
        raise UserError(field, name, "names an environment variable that is not set", f"export {name}=...")
    return os.environ.get(name or "OPENAI_API_KEY")
