"""The exceptions that end a command early, and the exit codes of the command line.

A UserError is a mistake that the user must correct: one line on stderr and exit code 2, without a traceback.
"""

import difflib
import errno
from collections.abc import Iterable

from r1kit.safe_text import MASK, escape_control_characters, mask_secrets, mask_text

LONGEST_VALUE = 200
"""The most characters of a value that an error shows: long enough for a path, and the error stays a line."""


class _Unset:
    """The type of UNSET."""


UNSET = _Unset()
"""The value of a field that the user did not set."""


class UserError(Exception):
    """A mistake that the user must correct, described in one line.

    The line is `field = value; requirement; action`. Where the user set no value (`value=UNSET`) it is
    `field: requirement; action`: an error never shows a value that the user did not write. Values are shown as they
    are written in a recipe: `true`, `null`, `{a: 1}`; secrets are masked, and control characters are escaped.

        UserError("training.steps", 0, "must be at least 1", "use a positive number")
        UserError("output", UNSET, "a run needs a directory", "set output or pass --output DIR")
    """

    def __init__(self, field: str, value: object, requirement: str, action: str):
        # The arguments of commands are in capitals, such as KEY, which is the name of a field.
        name = "" if field.isalpha() and field.isupper() else field
        shown_value = mask_secrets(value, name)
        if isinstance(value, str) and shown_value == MASK:  # the requirement and the action may repeat the secret
            requirement, action = requirement.replace(value, MASK), action.replace(value, MASK)
        subject = f"{field}:" if value is UNSET else f"{field} = {_shorten(format_value(shown_value))};"
        line = " ".join(mask_text(f"{subject} {requirement}; {action}").split())
        super().__init__(escape_control_characters(line))

    @classmethod
    def from_line(cls, line: str) -> "UserError":
        """Return the error whose finished line another process has recorded."""
        return cls.__new__(cls, line)


def _shorten(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."


def format_value(value: object) -> str:
    """Return a value as YAML writes it on one line, since that is how the user wrote it."""
    if value is None:
        return "null"
    if value == "":
        return '""'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        entries = [f"{key}: {format_value(entry)}" for key, entry in value.items()]
        return "{" + ", ".join(entries) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(format_value, value)) + "]"
    return str(value)


# Errors of the system about a file, each with what the user can do about it.
_REFUSED_FILE_ACTIONS = {
    errno.EACCES: "change its permissions, or use another path",
    errno.EPERM: "change its permissions, or use another path",
    errno.EROFS: "use a path that can be written",
    errno.ENAMETOOLONG: "use a shorter path",
    errno.ELOOP: "correct the links, or use another path",
    errno.ENOTDIR: "use another path",
    errno.EISDIR: "use another path",
    errno.ENOSPC: "make room, then give the same command again",
    errno.EDQUOT: "make room, then give the same command again",
    errno.EFBIG: "make room, then give the same command again",
}

# These come from writing to a file that is open already, and name none.
_FULL_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def explain_refused_file(error: BaseException) -> UserError | None:
    """Return the UserError for a file that the system refuses: for its name, its permissions or a full disk.

    None for any other exception. A command that knows which field names the file raises a UserError itself; this is
    for all other files.
    """
    if not isinstance(error, OSError) or error.errno not in _REFUSED_FILE_ACTIONS:
        return None
    if error.filename is None and error.errno not in _FULL_DISK_ERRORS:
        return None  # a system call without a file
    path = UNSET if error.filename is None else error.filename
    return UserError("file", path, (error.strerror or str(error)).lower(), _REFUSED_FILE_ACTIONS[error.errno])


class OutOfMemory(Exception):
    """A training with several processes ran out of memory; the launcher starts it again with smaller micro-batches."""


class Interrupted(Exception):
    """The stage was stopped by SIGINT or SIGTERM, and its state is saved."""


EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USER = 2
"""The user must change something; stderr says what."""
EXIT_INCOMPLETE = 3
"""`r1kit prove` only: what was checked holds, and some of it could not be checked here."""
EXIT_AGAIN = 75
"""Between the launcher and its processes only: start the same command again (EX_TEMPFAIL of sysexits.h)."""
EXIT_INTERRUPTED = 130
"""The stage was interrupted and can be resumed (128 + SIGINT, as shells have it)."""

LONGEST_NAME_LIST = 30
"""The most names that an error lists; of more, none is a help."""


def suggest(name: str, known_names: Iterable[str]) -> str:
    """Return what to do about an unknown name: use the nearest known one, or one of the list.

    suggest("acuracy", ["accuracy", "format"])   "did you mean accuracy?"
    """
    choices = sorted(known_names)
    if not choices:
        return "remove it"
    nearest = difflib.get_close_matches(name, choices, n=1)
    if nearest:
        return f"did you mean {nearest[0]}?"
    return f"use one of: {', '.join(choices)}" if len(choices) <= LONGEST_NAME_LIST else "check its name"
