"""Paths as users write them, in recipes and on the command line.

    expand_home("~/runs/x")     "/home/me/runs/x"

A shell replaces `~` only at the beginning of a word. In `output=~/runs/x` and in a recipe it does not, so that without
this module a folder called `~` would be made. Environment variables are not replaced: a recipe that comes from somebody
else could send what they hold to the hub, as the name of a model.
"""

import os
import re

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_VARIABLE = re.compile(r"\$(?:\w+|\{\w+\})")


def expand_home(path: str) -> str:
    """Return a path with `~` or `~user` at its beginning replaced by that home folder; other paths as they are."""
    return os.path.expanduser(path) if path.startswith("~") else path


def describe_unexpanded(path: str) -> str:
    """Return why a path cannot be used before a shell replaces a part of it, such as `$HOME`; "" if it can be."""
    if os.path.lexists(path):
        return ""
    if path.startswith("~"):
        return f"{path.partition('/')[0]} is no user's home folder"
    match = _VARIABLE.search(path)
    return f"{match.group()} is an environment variable, which a shell replaces, and r1kit does not" if match else ""


def describe_scheme(path: str) -> str:
    """Return why a path names no folder that can be written, such as `s3://bucket/run` or `world:x`; "" if it does.

    pyarrow takes what stands before a colon at the beginning of a path for the scheme of an address.
    """
    match = _SCHEME.match(path)
    return f"{match.group()} begins an address, and no folder of this machine" if match else ""
