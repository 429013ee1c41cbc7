"""Keep boxes for the next program: a box that is as good as new after a program waits for another one.

Starting a box takes many times longer than a test. What this defends against: a program that changes the box for the
next one. A box waits only if nothing unusual happened to it (Box.unload_program), and if a waiting box does not take
a program, a new one gets it, so that a program is never failed for what happened to its box before. What it does NOT
do: limit how many boxes run at once; the judge's threads do.
"""

import atexit
import contextlib
import os
import threading
from collections.abc import Iterator, Sequence

from r1kit.sandbox.box import Box, BoxFault
from r1kit.sandbox.isolation import require_isolation
from r1kit.sandbox.start import start_box

_Kind = tuple[int, str, tuple[str, ...]]  # process id (a forked child must not use its parent's), isolation, packages
_waiting: dict[_Kind, list[Box]] = {}
_waiting_lock = threading.Lock()


@contextlib.contextmanager
def open_box(
    program: str,
    isolation: str = "auto",
    packages: tuple[str, ...] = (),
    *loading: Sequence[str],
) -> Iterator[Box]:
    """Give a box with `program` loaded in it (Box.load_program), and afterwards keep the box or end it.

    `packages`: what the box holds beside the standard library (packages.py). `loading`: the other arguments of
    Box.load_program.

    Raises BoxFault if no box starts, UserError if no isolation works.
    """
    isolation = require_isolation(isolation)
    kind = (os.getpid(), isolation, packages)
    box = _load_into_box(kind, program, *loading)
    is_reusable = False
    try:
        yield box
        is_reusable = box.unload_program()
    finally:
        if not (is_reusable and _keep_box(box, kind)):
            box.end()


@atexit.register
def close_boxes() -> None:
    """End the waiting boxes of this process."""
    boxes = []
    with _waiting_lock:
        for (pid, *_), waiting in _waiting.items():
            if pid == os.getpid():
                boxes += waiting
        _waiting.clear()
    for box in boxes:
        box.end()


def _load_into_box(kind: _Kind, program: str, *loading: Sequence[str]) -> Box:
    """Return a box with `program` in it: a waiting box, or a new one if there is none or it fails."""
    box = _take_box(kind)
    if box is not None:
        with contextlib.suppress(BoxFault):
            box.load_program(program, *loading)
        if box.has_loaded:
            return box
        box.end()
    box = start_box(*kind[1:])
    try:
        box.load_program(program, *loading)
    except BaseException:
        box.end()
        raise
    return box


def _take_box(kind: _Kind) -> Box | None:
    """Return a waiting box that is alive, or None."""
    while True:
        with _waiting_lock:
            waiting = _waiting.get(kind)
            box = waiting.pop() if waiting else None
        if box is None or box.is_alive:
            return box
        box.end()


def _keep_box(box: Box, kind: _Kind) -> bool:
    """Let a box wait for the next program; return False if as many wait as there are cores."""
    with _waiting_lock:
        waiting = _waiting.setdefault(kind, [])
        if len(waiting) >= (os.cpu_count() or 1):
            return False
        waiting.append(box)
        return True
