"""The tool `python`: run a program of the model in r1kit's box, and return what it prints.

What a program can reach is what programs of code problems can reach (r1kit/sandbox): no files but its own, no network,
no other process, limits on time, memory and output. Each call is a process of its own, so that nothing is kept from one
call to the next.
"""

from r1kit.sandbox.box import BoxDied, BoxFault
from r1kit.sandbox.packages import DEFAULT_PACKAGES, find_package_files
from r1kit.sandbox.pool import open_box
from r1kit.tools.watch import ToolFault

CALL_SECONDS = 5.0  # of one program
MAX_PRINTED_CHARACTERS = 2000  # that a model gets to read; it reads them as tokens
STARTS = 2  # of a box, before it is the machine's fault

# The program runs as a script does. An exception ends it with its last line, as a shell shows it below the traceback.
_SCRIPT = """\
import sys as _sys
try:
    exec(compile({code!r}, "program", "exec"), {{"__name__": "__main__"}})
except SystemExit:
    raise
except BaseException as _error:
    import traceback as _traceback
    print("".join(_traceback.format_exception_only(_error)).strip())
    _sys.exit(1)
"""


def python(code: str) -> str:
    """Run a Python program and return what it prints.

    Args:
        code: The program.
    """
    if not isinstance(code, str):
        raise TypeError("code must be text")
    for start in range(STARTS):
        try:
            return _run(code)
        except BoxDied:
            return "error: the program ended its own process"
        except BoxFault as error:
            if start == STARTS - 1:
                raise ToolFault(f"no box for the tool python: {error}") from None
    raise AssertionError


def _run(code: str) -> str:
    modules = [name for name in find_package_files(DEFAULT_PACKAGES).modules if name in code]
    with open_box(_SCRIPT.format(code=code), "auto", DEFAULT_PACKAGES, (), modules) as box:
        if not box.is_python:
            return "error: Python cannot read the program"
        reply = box.run_test({"kind": "stdio", "stdin": b""}, CALL_SECONDS)
    if reply.state == "timeout":
        return f"error: the program ran for more than {CALL_SECONDS:g} seconds, or took too much"
    printed = reply.printed.decode(errors="replace").strip()
    if reply.state == "flood" or len(printed) > MAX_PRINTED_CHARACTERS:
        return f"{printed[:MAX_PRINTED_CHARACTERS]}\n(cut: the program printed more)"
    if reply.exit_code != 0:
        return f"{printed}\nerror: exit code {reply.exit_code}".strip()
    return printed or "(nothing was printed)"
