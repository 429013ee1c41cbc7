"""Test programs for the judge and its sandbox: HOSTILE must all fail, HONEST must all pass.

TWINS are pairs of a right program, which is in HONEST, and a wrong one, in WRONG, under the same tests.

Data only. Do not run HOSTILE outside a sandbox: some kill their parent or fill memory, though none does lasting damage.
`case.py` says what the harness must put in place (a canary file, an environment variable, a listener), and `maybe.py`
holds cases on which good judges may differ. HANGS, part of HOSTILE, cost a whole wall time each.
"""

from .case import (
    CANARY_ABSTRACT,
    CANARY_FILE,
    CANARY_SOCKET,
    CANARY_TEXT,
    ESCAPE_PREFIX,
    ESCAPED,
    NEEDLE,
    PORT,
    PROJECT,
    Case,
    Twin,
)
from .escape_files import FILES
from .escape_hunt import HUNT
from .escape_net import NET
from .escape_privilege import PRIVILEGE
from .escape_process import PROCESS
from .forge_exit import EXIT
from .forge_marks import MARKS
from .forge_objects import OBJECTS
from .forge_patch import PATCH
from .forge_peek import PEEK
from .forge_verdicts import VERDICTS
from .hang import CRASHES, HANGS
from .honest_assert import ASSERT
from .honest_call import CALL
from .honest_stdio import STDIO
from .honest_use import USE
from .maybe import MAYBE_HONEST, MAYBE_HOSTILE
from .persist import PERSIST
from .resources import RESOURCES
from .twins_calls import CALL_TWINS
from .twins_objects import OBJECT_TWINS
from .twins_tests import TEST_TWINS
from .values import VALUES

FORGERIES: list[Case] = [*EXIT, *MARKS, *OBJECTS, *PATCH, *PEEK, *VALUES, *VERDICTS]
ESCAPES: list[Case] = [*FILES, *HUNT, *NET, *PRIVILEGE, *PROCESS, *PERSIST]
HOSTILE: list[Case] = [*FORGERIES, *ESCAPES, *RESOURCES, *CRASHES, *HANGS]
TWINS: list[Twin] = [*CALL_TWINS, *OBJECT_TWINS, *TEST_TWINS]
WRONG: list[Case] = [twin.cases()[1] for twin in TWINS]
HONEST: list[Case] = [*STDIO, *USE, *CALL, *ASSERT, *[twin.cases()[0] for twin in TWINS]]

__all__ = [
    "CANARY_ABSTRACT",
    "CANARY_FILE",
    "CANARY_SOCKET",
    "CANARY_TEXT",
    "CRASHES",
    "ESCAPED",
    "ESCAPES",
    "ESCAPE_PREFIX",
    "FORGERIES",
    "HANGS",
    "HONEST",
    "HOSTILE",
    "MAYBE_HONEST",
    "MAYBE_HOSTILE",
    "NEEDLE",
    "PORT",
    "PROJECT",
    "RESOURCES",
    "TWINS",
    "WRONG",
    "Case",
    "Twin",
]
