"""Start the servers that tests ask, in processes of their own."""

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

HERE = Path(__file__).parent


@contextlib.contextmanager
def loopback(folder: Path, **settings) -> Iterator[str]:
    """Yield the address of a loopback server (tests/loopback.py)."""
    file = folder / f"port-{time.time_ns()}"
    line = [sys.executable, str(HERE / "loopback.py"), str(file), json.dumps(settings)]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL)
    try:
        deadline = time.time() + 30
        while not file.exists():
            assert process.poll() is None
            assert time.time() < deadline
            time.sleep(0.02)
        yield f"http://127.0.0.1:{file.read_text()}/v1"
    finally:
        process.kill()
        process.wait()


def stats(url: str) -> dict:
    """What a loopback server was asked."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/stats") as answer:
        return json.load(answer)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextlib.contextmanager
def served(command: list[str], port: int, log: Path, seconds: float = 180, **environment: str) -> Iterator[str]:
    """Yield the address of a server started by `command`, once it answers."""
    with open(log, "w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **environment})
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
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
