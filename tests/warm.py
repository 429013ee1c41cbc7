"""A server that has imported what commands import, and forks itself for each command, which then starts at once.

    warm.py             commands come on stdin, one after the other (helpers.py)
    warm.py SOCKET      commands come over a Unix socket, several at once (fast_r1kit/r1kit)

On stdin each command is a line of JSON: its arguments, folder, environment, and files for its stdout and stderr. A line
with the exit code answers it when the command has ended. Over a socket the line comes with the client's own stdin,
stdout and stderr; the first line of the answer is the process of the command, and the second its exit code.
"""

import atexit
import gc
import importlib
import json
import os
import signal
import socket
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
LARGEST_REQUEST = 1 << 20  # bytes of a command's arguments and environment


def run_command(arguments: list[str], folder: str, environment: dict[str, str], descriptors: list[int]) -> None:
    """Turn this process, a fork of the server, into the command, and exit with its exit code.

    `descriptors` become its stdin, stdout and stderr.
    """
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    # The server's streams may have found out about seeking in what they were opened on.
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - the command uses it to its end
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
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


def open_files(stdout_file: str, stderr_file: str) -> list[int]:
    """Return descriptors of an empty stdin and of the files to which a command writes."""
    return [os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND) for file in (os.devnull, stdout_file, stderr_file)]


def import_modules() -> None:
    """Import what commands import, and load the model of the language detector."""
    for module in PRELOADED_MODULES:
        importlib.import_module(module)
    detect_language("Un, deux, trois.")
    gc.freeze()


def serve_stdin() -> None:
    """Fork for each command, one after the other, until stdin is closed."""
    requests, exit_codes = sys.stdin, os.fdopen(os.dup(1), "w")
    while line := requests.readline():
        pid = os.fork()
        if pid == 0:
            command = json.loads(line)
            files = open_files(command.pop("stdout_file"), command.pop("stderr_file"))
            run_command(**command, descriptors=files)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), file=exit_codes, flush=True)


def serve_socket(path: str) -> None:
    """Fork for each connection, until this process is ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that the forks that answer leave no zombies
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            answer(connection)
            os._exit(0)
        connection.close()


def answer(connection: socket.socket) -> None:
    """Run the command of a connection, and write its process and its exit code."""
    request, descriptors, _, _ = socket.recv_fds(connection, LARGEST_REQUEST, 3)
    while not request.endswith(b"\n"):
        request += connection.recv(LARGEST_REQUEST)
    pid = os.fork()
    if pid == 0:
        connection.close()
        run_command(**json.loads(request), descriptors=descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    connection.sendall(f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    import_modules()
    if len(sys.argv) > 1:
        serve_socket(sys.argv[1])
    else:
        serve_stdin()
