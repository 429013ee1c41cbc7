"""Post what happens in a run to a webhook: the alerts of its training, and how the run ends.

    webhook = Webhook.of(recipe.webhook, "rl-zero", run.path)
    with post_alerts(webhook):
        logger.warning("rl-zero, step 20: ...", extra={"warning_name": "reward"})
    post_end(webhook, run, EXIT_DONE)

A message is JSON with its text twice, as `text` (Slack, Mattermost, Rocket.Chat) and as `content` (Discord). Messages
are sent in a thread of their own; one that cannot be sent is reported in one warning, and changes nothing of the run.
The address is a secret, since whoever knows it can post: it appears in no message and no file.
"""

import contextlib
import json
import logging
import os
import queue
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from r1kit.errors import EXIT_AGAIN, EXIT_DONE, EXIT_INTERRUPTED
from r1kit.messages import logger
from r1kit.recipe.webhook import webhook_address
from r1kit.runs.reading import read_run_info
from r1kit.runs.results import describe_result
from r1kit.runs.run import Run
from r1kit.safe_text import escape_control_characters, mask_text
from r1kit.tables import format_duration

if TYPE_CHECKING:
    from http.client import HTTPResponse
    from urllib.request import Request

MAX_MESSAGE_CHARS = 1900
"""The most characters of a message: Discord takes 2,000."""
REQUEST_SECONDS = 10.0
"""After how many seconds without a response a message is given up."""
ATTEMPTS = 2
SECONDS_BETWEEN_ATTEMPTS = 1.0
LAST_SECONDS = 5.0
"""How many seconds the end of a run waits for messages that are not sent yet."""


class Webhook:
    """Sends the messages of one run, in their order, in a thread that begins with the first one."""

    def __init__(self, address: str, stage: str, run_dir: Path):
        self.address = address
        self.prefix = f"r1kit {stage} {run_dir} ({socket.gethostname()})"
        self._messages: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._unsent = 0
        self._is_sent = threading.Condition()
        self._thread: threading.Thread | None = None
        self._has_failed = False

    @classmethod
    def of(cls, value: str | None, stage: str, run_dir: Path) -> "Webhook | None":
        """Return the webhook of a recipe's field `webhook`; None where it has none."""
        address = webhook_address(value)
        return cls(address, stage, run_dir) if address else None

    def post(self, text: str) -> None:
        """Send a message, without waiting until it is sent."""
        message = escape_control_characters(mask_text(f"{self.prefix}: {text}"))[:MAX_MESSAGE_CHARS]
        with self._is_sent:
            self._unsent += 1
        self._messages.put(message)
        if self._thread is None:
            self._thread = threading.Thread(target=self._send_all, name="webhook", daemon=True)
            self._thread.start()

    def wait(self, seconds: float = LAST_SECONDS) -> None:
        """Wait until all messages are sent or given up, for at most `seconds`."""
        with self._is_sent:
            self._is_sent.wait_for(lambda: self._unsent == 0, timeout=seconds)

    def _send_all(self) -> None:
        while True:
            message = self._messages.get()
            try:
                self._send(message)
            finally:
                with self._is_sent:
                    self._unsent -= 1
                    self._is_sent.notify_all()

    def _send(self, message: str) -> None:
        reason = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(SECONDS_BETWEEN_ATTEMPTS)
            reason = self._attempt(message)
            if not reason:
                return
        if not self._has_failed:
            self._has_failed = True
            host = urlsplit(self.address).hostname
            logger.warning(f"the webhook at {host} takes no messages ({reason}); the run goes on without it")

    def _attempt(self, message: str) -> str:
        """Send a message; return why it was not taken, "" where it was."""
        from http.client import HTTPException  # here, since each command imports this module
        from urllib.error import HTTPError, URLError
        from urllib.request import Request

        # Without `allowed_mentions`, Discord would call everybody where a text has @everyone in it.
        body = {"text": message, "content": message, "allowed_mentions": {"parse": []}}
        headers = {"Content-Type": "application/json", "User-Agent": "r1kit"}
        try:
            request = Request(self.address, json.dumps(body).encode(), headers)
            with _open_without_redirection(request):
                return ""
        except HTTPError as error:
            return f"status {error.code}"
        except URLError as error:
            return str(getattr(error.reason, "strerror", None) or type(error.reason).__name__)
        except (OSError, ValueError, HTTPException) as error:  # its text may hold the address
            return type(error).__name__


def _open_without_redirection(request: "Request") -> "HTTPResponse":
    """Send a request, by the proxy of the environment if there is one, and return the response.

    A redirection is an HTTPError: messages go to the address in the recipe and nowhere else.
    """
    from urllib.request import HTTPRedirectHandler, build_opener

    class RefuseRedirections(HTTPRedirectHandler):
        def redirect_request(self, *args: Any, **kwargs: Any) -> None:
            return None

    return build_opener(RefuseRedirections).open(request, timeout=REQUEST_SECONDS)


class _AlertHandler(logging.Handler):
    """Posts the alerts of a training: the warnings that have a name."""

    def __init__(self, webhook: Webhook):
        super().__init__(logging.WARNING)
        self.webhook = webhook
        self.process = os.getpid()

    def emit(self, record: logging.LogRecord) -> None:
        if hasattr(record, "warning_name") and os.getpid() == self.process:
            self.webhook.post(f"warning: {record.getMessage()}")


@contextlib.contextmanager
def post_alerts(webhook: Webhook | None) -> Iterator[None]:
    """Post the alerts of a training within the block, if there is a webhook."""
    if webhook is None:
        yield
        return
    handler = _AlertHandler(webhook)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def post_end(webhook: Webhook | None, run: Run, code: int, reason: str = "") -> None:
    """Post how a session of a run has ended, by its exit code, and wait until that is sent, for LAST_SECONDS at most.

    `reason` is the error of a session that has failed.
    """
    if webhook is None or code == EXIT_AGAIN:
        return
    result = describe_result(run)
    if code == EXIT_DONE:
        seconds = read_run_info(run.path).get("seconds") or 0
        text = f"finished in {format_duration(seconds)}" + (f": {result}" if result else "")
    elif code == EXIT_INTERRUPTED:
        text = f"stopped ({result}); the same command goes on" if result else "stopped; the same command goes on"
    else:
        text = f"failed: {reason}" if reason else "failed"
    webhook.post(text)
    webhook.wait()
