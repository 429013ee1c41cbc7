"""A process that has imported what commands import, and forks for each: a command then starts in no time.

Reads a line of JSON for each command (words, folder, environment, files for stdout and stderr) and, when that has
ended, writes a line with its exit code.
"""

import atexit
import gc
import importlib
import json
import os
import sys
import traceback

from r1kit.languages.detect import detect_language

HEAVY = [f"r1kit.{name}" for name in ("training.core", "training.grpo", "training.sft", "commands.evaluate")]
HEAVY += ["r1kit.commands.generate", "r1kit.commands.data", "reasoning_gym"]


def become(words: list[str], folder: str, environment: dict[str, str], out: str, err: str) -> None:
    """Turn this fork into the command."""
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    for number, file in ((0, os.devnull), (1, out), (2, err)):
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, number)
        os.close(descriptor)
    if "COVERAGE_PROCESS_CONFIG" in environment:
        import coverage

        coverage.process_startup(force=True)
    from r1kit.cli import main

    sys.argv, code = ["r1kit", *words], 1
    try:
        main()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # to take so much apart takes a second


def serve() -> None:
    """Fork for each command, one after the other."""
    for name in HEAVY:
        importlib.import_module(name)
    detect_language("Un, deux, trois.")
    gc.freeze()
    commands, answers = sys.stdin, os.fdopen(os.dup(1), "w")
    while line := commands.readline():
        pid = os.fork()
        if pid == 0:
            become(**json.loads(line))
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)


if __name__ == "__main__":
    serve()
