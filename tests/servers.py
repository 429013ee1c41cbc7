"""Start the servers that tests send requests to, in processes of their own."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

TESTS_DIR = Path(__file__).parent
LOOPBACK_START_SECONDS = 30
STOP_SECONDS = 20  # for a server to end by itself after SIGTERM


@contextlib.contextmanager
def loopback_server(folder: Path, **settings) -> Iterator[str]:
    """Yield the address of a loopback server (tests/loopback.py, which lists the settings)."""
    port_file = folder / f"port-{time.time_ns()}"
    command = [sys.executable, str(TESTS_DIR / "loopback.py"), str(port_file), json.dumps(settings)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.time() + LOOPBACK_START_SECONDS
        while not port_file.exists():
            assert process.poll() is None
            assert time.time() < deadline
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port_file.read_text()}/v1"
    finally:
        process.kill()
        process.wait()


def request_counts(url: str) -> dict:
    """Return what a loopback server has counted: `requests`, `most_at_once`, `different`, `repeated` and each fault."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/counts") as response:
        return json.load(response)


def free_port() -> int:
    """Return a port of this machine that nothing uses."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


@contextlib.contextmanager
def model_server(command: list[str], port: int, log: Path, seconds: float = 180, **environment: str) -> Iterator[str]:
    """Yield the address of the model server that `command` starts, as soon as it answers."""
    with open(log, "w") as log_file:
        process = subprocess.Popen(command, stdout=log_file, stderr=log_file, env={**os.environ, **environment})
    url = f"http://127.0.0.1:{port}/v1"
    try:
        deadline = time.time() + seconds
        while True:
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.time() < deadline, log.read_text()[-3000:]
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                break
            time.sleep(0.3)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
