"""A server that has imported what commands import, and forks itself for each command, which then starts at once.

It reads a line of JSON for each command (its arguments, folder, environment, and files for its stdout and stderr) and
writes a line with the exit code when the command has ended. See helpers.py.
"""

import atexit
import gc
import importlib
import json
import os
import sys
import traceback

from r1kit.languages.detect import detect_language

PRELOADED_MODULES = (
    "r1kit.training.core",
    "r1kit.training.grpo",
    "r1kit.training.sft",
    "r1kit.commands.evaluate",
    "r1kit.commands.generate",
    "r1kit.commands.data",
    "reasoning_gym",
)


def run_command(
    arguments: list[str], folder: str, environment: dict[str, str], stdout_file: str, stderr_file: str
) -> None:
    """Turn this process, a fork of the server, into the command, and exit with its exit code."""
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    for number, file in enumerate((os.devnull, stdout_file, stderr_file)):
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, number)
        os.close(descriptor)
    if "COVERAGE_PROCESS_CONFIG" in environment:
        import coverage

        coverage.process_startup(force=True)
    from r1kit.cli import main

    sys.argv = ["r1kit", *arguments]
    exit_code = 1
    try:
        main()
    except SystemExit as system_exit:
        exit_code = system_exit.code or 0
    except BaseException:
        traceback.print_exc()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)  # since it takes a second to free all that was imported


def serve() -> None:
    """Fork for each command, one after the other, until stdin is closed."""
    for module in PRELOADED_MODULES:
        importlib.import_module(module)
    detect_language("Un, deux, trois.")  # loads the model of the detector
    gc.freeze()
    requests, exit_codes = sys.stdin, os.fdopen(os.dup(1), "w")
    while line := requests.readline():
        pid = os.fork()
        if pid == 0:
            run_command(**json.loads(line))
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), file=exit_codes, flush=True)


if __name__ == "__main__":
    serve()
