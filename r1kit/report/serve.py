"""Serve the page of `r1kit watch`, which follows runs while they are written.

The server listens on the loopback alone. The page asks for `/version` every two seconds; when it grows, the page loads
`/head` and the blobs (`/s0`, `/s0c3`) again.

Every user of this machine can reach the loopback, so each request needs a token, which is drawn at random at each start
and is part of the address that is printed:

    http://127.0.0.1:8000/?token=q3Vt...

The page sends it along with each of its requests. It is in no cookie, which browsers would send to every port of this
machine, and along with the requests of other sites' pages.
"""

import getpass
import os
import secrets
import shlex
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from r1kit.errors import UserError
from r1kit.messages import logger
from r1kit.report.gather import collect_runs, find_run_dirs
from r1kit.report.page import page_head, set_columns, to_json, write_page
from r1kit.report.rollouts import RolloutSet
from r1kit.runs.listing import run_status
from r1kit.runs.run import Run

REFRESH_SECONDS = 2.0  # at least so long between two looks at the files
WATCHED_FILES = (
    "run.json",
    "recipe.yaml",
    "metrics.jsonl",
    "warnings.jsonl",
    "drops.json",
    "eval.json",
    "scaling.json",
    "verifier",
    "completions",
)
LOOPBACK_NAMES = ("127.0.0.1", "localhost")
TOKEN_BYTES = 24
DEFAULT_SSH_PORT = "22"
SECONDS_OF_SILENCE = 60  # after which a connection that sends nothing is closed
# No other page can show this one in a frame, and no site that it links to learns its token.
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "frame-ancestors 'none'",
}
HTML, JSON = "text/html; charset=utf-8", "application/json"


class RunFollower:
    """The runs as they were at the last look, and a version that grows when anything in them changes."""

    def __init__(self, paths: Sequence[str]):
        self.paths = list(paths)
        self.lock = threading.Lock()
        self.version = 0
        self.last_look = 0.0
        self.fingerprint = ""
        self.runs: list[dict[str, Any]] = []
        self.rollout_sets: list[RolloutSet] = []
        self.refresh()

    def refresh(self) -> int:
        """Read the runs again if anything changed; return the version."""
        with self.lock:  # the server answers each request in a thread of its own
            if self.version and time.monotonic() - self.last_look < REFRESH_SECONDS:
                return self.version
            run_dirs = find_run_dirs(self.paths)
            fingerprint = fingerprint_runs(run_dirs)
            if fingerprint != self.fingerprint:
                self.runs, self.rollout_sets = collect_runs(run_dirs)
                self.fingerprint = fingerprint
                self.version += 1
            self.last_look = time.monotonic()
            return self.version

    def respond(self, path: str) -> tuple[str, str] | None:
        """Return the content type and the text of a path; None for a path that is not served.

        `/` is the page, `/head` what it knows at once, `/version` a number, `/s0` and `/s0c3` are blobs as plain JSON.
        """
        version = self.refresh()
        if path == "/":
            page = StringIO()
            write_page(page, self.head(version), [])
            return HTML, page.getvalue()
        if path == "/version":
            return JSON, str(version)
        if path == "/head":
            return JSON, to_json(self.head(version))
        return self.respond_with_blob(path)

    def head(self, version: int) -> dict[str, Any]:
        """Return what the page knows at once, with the version that it is of."""
        return {**page_head(self.runs, self.rollout_sets, live=True), "version": version}

    def respond_with_blob(self, path: str) -> tuple[str, str] | None:
        """Return a blob as JSON; None where there is none of that name."""
        set_number, _, chunk_number = path.removeprefix("/s").partition("c")
        if not path.startswith("/s") or not set_number.isdigit() or int(set_number) >= len(self.rollout_sets):
            return None
        rollout_set = self.rollout_sets[int(set_number)]
        if not chunk_number:
            return JSON, to_json(set_columns(rollout_set))
        if not chunk_number.isdigit():
            return None
        return JSON, to_json(rollout_set.read_chunk(int(chunk_number)))


def fingerprint_runs(run_dirs: Sequence[Path]) -> str:
    """Return a text that changes whenever a watched file or the status of a run does."""
    watched: list[Path] = []
    for run_dir in run_dirs:
        watched += [run_dir / name for name in WATCHED_FILES]
        # A folder's time changes when a file is added to it, and shards are never changed afterwards.
        watched += [run_dir / "samples", *(run_dir / "samples").glob("*/")]
    modified = [(str(path), path.stat().st_mtime_ns) for path in watched if path.exists()]
    statuses = [run_status(Run(run_dir)) for run_dir in run_dirs]  # killing a run changes no file
    return str([modified, statuses])


def make_handler(follower: RunFollower, token: str) -> type[BaseHTTPRequestHandler]:
    """Return the class that answers each request that has the token with what `follower` has."""

    class Handler(BaseHTTPRequestHandler):
        timeout = SECONDS_OF_SILENCE

        def do_GET(self) -> None:
            if not self.is_allowed():
                self.send_error(403, explain="Open the address that r1kit watch has printed, with its token.")
                return
            try:
                response = follower.respond(urlsplit(self.path).path)
            except UserError as error:  # the run was moved while it is watched
                self.send_error(503, explain=str(error))
                return
            if response is None:
                self.send_error(404)
                return
            content_type, text = response
            body = text.encode(errors="replace")
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            for name, value in SECURITY_HEADERS.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def is_allowed(self) -> bool:
            """Return whether a request has the token, and names this machine as its host.

            A page of another site whose name resolves to this address must not read the runs (DNS rebinding).
            """
            host = (self.headers.get("Host") or "").rsplit(":", 1)[0]
            tokens = parse_qs(urlsplit(self.path).query).get("token", [""])
            has_token = secrets.compare_digest(tokens[0].encode(errors="replace"), token.encode())
            return has_token and host in LOOPBACK_NAMES

        def log_message(self, *args: Any) -> None:
            """Print nothing: a line for each request would fill the terminal."""

    return Handler


class ReportServer(ThreadingHTTPServer):
    """A server that stays silent when a reader closes the page in the middle of a response."""

    token = ""

    @property
    def address(self) -> str:
        """The address to open, with the token."""
        return f"http://127.0.0.1:{self.server_address[1]}/?token={self.token}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def make_server(paths: Sequence[str], port: int) -> ReportServer:
    """Return a server of the page of runs on the loopback; port 0 takes a free one. Raises UserError."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    handler = make_handler(RunFollower(paths), token)
    try:
        server = ReportServer(("127.0.0.1", port), handler)
        server.token = token
        return server
    except OSError as error:
        raise UserError("--port", port, f"cannot be listened on: {error.strerror}", "give another one") from None


def tunnel_command(port: int, environment: Mapping[str, str]) -> str | None:
    """Return the command by which a browser on the user's machine reaches `port` of this one; None if this is theirs.

    sshd sets SSH_CONNECTION: the user's address and port, then those of this machine as they reach it. A job of Slurm
    has inherited it from the node where it was submitted, through which the way to its own node leads.
    """
    _, _, host, ssh_port = ([*environment.get("SSH_CONNECTION", "").split(), "", "", "", ""])[:4]
    if not host:
        return None
    user = getpass.getuser()
    options = ["ssh", "-N", "-L", f"{port}:127.0.0.1:{port}"]
    node = environment.get("SLURMD_NODENAME")
    if node:
        jump_host = f"[{host}]" if ":" in host else host  # an address of IPv6
        return shlex.join([*options, "-J", f"{user}@{jump_host}:{ssh_port}", f"{user}@{node}"])
    if ssh_port not in ("", DEFAULT_SSH_PORT):
        options += ["-p", ssh_port]
    return shlex.join([*options, f"{user}@{host}"])


def serve_report(paths: Sequence[str], port: int) -> None:
    """Serve the page until interrupted; its address is printed first, and on a remote machine how to reach it."""
    with make_server(paths, port) as server:
        print(server.address, flush=True)
        command = tunnel_command(server.server_address[1], os.environ)
        if command is not None:
            logger.info(f"this is a remote machine: run `{command}` on yours, and open the address there")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
