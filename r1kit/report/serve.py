"""`r1kit watch`: the page of a run that goes on, served on the loopback, which follows what is written."""

import sys
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from typing import Any

from r1kit.errors import UserError
from r1kit.report.gather import Rollouts, closure, collect
from r1kit.report.page import head, numbers, plain, write
from r1kit.runs.listing import run_status
from r1kit.runs.run import Run

EVERY = 2.0  # seconds between looks at the files
FILES = (
    "run.json",
    "recipe.yaml",
    "metrics.jsonl",
    "drops.json",
    "eval.json",
    "scaling.json",
    "verifier",
    "completions",
)


class Follower:
    """The runs as they were when somebody last asked."""

    def __init__(self, paths: Sequence[str]):
        self.paths, self.lock = list(paths), threading.Lock()
        self.looked, self.version, self.stamp = 0.0, 0, ""
        self.runs: list[dict[str, Any]] = []
        self.sets: list[Rollouts] = []
        self.look()

    def look(self) -> int:
        """Read again what has changed; return the number of the version."""
        with self.lock:
            if time.monotonic() - self.looked >= EVERY or not self.version:
                found = closure(self.paths)
                looked = [p / f for p in found for f in FILES]
                looked += [folder for p in found for folder in (p / "samples", *(p / "samples").glob("*/"))]
                stamp = str([(str(place), place.stat().st_mtime_ns) for place in looked if place.exists()])
                stamp += str([run_status(Run(p)) for p in found])  # a kill changes no file
                if stamp != self.stamp:
                    self.runs, self.sets = collect(found)
                    self.stamp, self.version = stamp, self.version + 1
                self.looked = time.monotonic()
            return self.version

    def answer(self, path: str) -> tuple[str, str] | None:
        """Return the kind and text of what a path names: the page, `head`, `version`, a blob `s0` or `s0c3`."""
        version = self.look()
        if path == "/":
            page = StringIO()
            write(page, {**head(self.runs, self.sets, live=True), "version": version}, [])
            return "text/html; charset=utf-8", page.getvalue()
        if path == "/version":
            return "application/json", str(version)
        if path == "/head":
            return "application/json", plain({**head(self.runs, self.sets, live=True), "version": version})
        number, _, chunk = path.removeprefix("/s").partition("c")
        if not path.startswith("/s") or not number.isdigit() or int(number) >= len(self.sets):
            return None
        one = self.sets[int(number)]
        if not chunk:
            return "application/json", plain(numbers(one))
        return ("application/json", plain(one.chunk(int(chunk)))) if chunk.isdigit() else None


def make_server(paths: Sequence[str], port: int) -> ThreadingHTTPServer:
    """Return a server for the page of runs, on the loopback; port 0 takes a free one. Raises UserError."""
    follower = Follower(paths)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host = (self.headers.get("Host") or "").rsplit(":", 1)[0]
            try:
                found = follower.answer(self.path.partition("?")[0]) if host in ("127.0.0.1", "localhost") else None
            except UserError as error:  # moved while it is looked at
                self.send_error(503, explain=str(error))
                return
            if found is None:
                self.send_error(404)
                return
            kind, text = found
            body = text.encode()
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            if not isinstance(sys.exception(), ConnectionError):  # the reader went away
                super().handle_error(request, client_address)

    try:
        return Server(("127.0.0.1", port), Handler)
    except OSError as error:
        raise UserError("--port", port, f"cannot be listened on: {error.strerror}", "give another one") from None


def serve_report(paths: Sequence[str], port: int) -> None:
    """Serve the page until interrupted."""
    with make_server(paths, port) as serving:
        print(f"http://127.0.0.1:{serving.server_address[1]}", flush=True)
        try:
            serving.serve_forever()
        except KeyboardInterrupt:
            print()
