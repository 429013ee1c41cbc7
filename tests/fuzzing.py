"""Run many `r1kit` commands one after the other in one process, and return how each of them ended.

A server imports what commands import, as that of warm.py does, and forks itself for each batch of commands. A training
ends with exit code 0 where its first step would begin: what a malformed input can break comes before that.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SERVER_COMMAND = [sys.executable, __file__]
COMMAND_SECONDS = 60
"""How long a command may take, on a busy machine."""


@dataclass(frozen=True)
class Ending:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str
    raised: str
    """The traceback of an exception that the command line did not catch, else empty."""


def run_batch(commands: list[list[str]], folders: list[Path], stdin: str = "") -> list[Ending]:
    """Run commands, each in its folder, in one process, and return their endings in order."""
    with tempfile.TemporaryDirectory() as folder:
        request = {"commands": commands, "folders": [str(path) for path in folders], "results": folder, "stdin": stdin}
        server = _start_server()
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        server.stdout.readline()
        endings = []
        for index in range(len(commands)):
            code_file = Path(folder, f"{index}.code")
            code, raised = json.loads(code_file.read_text()) if code_file.exists() else (-1, "the process died")
            outputs = []
            for name in ("stdout", "stderr"):
                file = Path(folder, f"{index}.{name}")
                outputs.append(file.read_text(errors="backslashreplace") if file.exists() else "")
            endings.append(Ending(code, *outputs, raised))
        return endings


_server: list[subprocess.Popen[str]] = []


def _start_server() -> "subprocess.Popen[str]":
    if not _server:
        environment = {**os.environ, "GOMP_SPINCOUNT": "10000", "OMP_NUM_THREADS": "1"}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        _server.append(subprocess.Popen(SERVER_COMMAND, env=environment, **pipes))
    return _server[0]


# In the server


class TrainingBegins(BaseException):
    """Ends a command where its first training step would begin."""


def _begin_training(*arguments: Any, **settings: Any) -> None:
    raise TrainingBegins


def _run_commands(commands: list[list[str]], folders: list[str], results: str, stdin: str) -> None:
    """Run commands in this process, a fork of the server, and write their endings into the folder `results`."""
    os.setsid()
    stdin_file = Path(results, "stdin")
    stdin_file.write_text(stdin)
    import transformers

    from r1kit import cli

    transformers.Trainer.train = _begin_training
    cli.supervise = lambda: None  # commands share this process, which the server waits for
    for index, (arguments, folder) in enumerate(zip(commands, folders, strict=True)):
        os.chdir(folder)
        sys.stdin = open(stdin_file)  # noqa: SIM115  # it is open while the command runs
        for number, name in ((1, "stdout"), (2, "stderr")):
            descriptor = os.open(f"{results}/{index}.{name}", os.O_RDWR | os.O_CREAT)
            os.dup2(descriptor, number)
            os.close(descriptor)
        code, raised = _run_command(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
        Path(results, f"{index}.code").write_text(json.dumps([code, raised]))


def _run_command(arguments: list[str]) -> tuple[int, str]:
    """Return the exit code of a command, and the traceback of an exception that it did not catch."""
    from r1kit.cli import main

    sys.argv = ["r1kit", *arguments]
    signal.signal(signal.SIGALRM, _time_out)
    signal.alarm(COMMAND_SECONDS)
    try:
        main()
    except TrainingBegins:
        return 0, ""
    except SystemExit as system_exit:
        return int(system_exit.code or 0), ""
    except BaseException:
        return 1, traceback.format_exc()
    finally:
        signal.alarm(0)
    return 0, ""


def _time_out(number: int, frame: Any) -> None:
    raise TimeoutError(f"the command took more than {COMMAND_SECONDS} seconds")


def serve() -> None:
    """Fork for each batch of commands, one after the other, until stdin is closed."""
    import gc
    import importlib

    from warm import PRELOADED_MODULES

    from r1kit.languages.detect import detect_language

    for module in PRELOADED_MODULES:
        importlib.import_module(module)
    detect_language("Un, deux, trois.")
    gc.freeze()
    answers = os.fdopen(os.dup(1), "w")
    while line := sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            try:
                _run_commands(**json.loads(line))
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        print("done", file=answers, flush=True)


if __name__ == "__main__":
    serve()
