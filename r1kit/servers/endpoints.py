"""Several servers of one model: the connections to them, the choice of the next one, and whether they still answer.

All of it runs in the event loop of one ServerSampler.
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from r1kit.errors import UserError
from r1kit.messages import logger
from r1kit.recipe import ServerConfig
from r1kit.servers.requests import (
    MAX_RESPONSE_BYTES,
    MAX_RETRY_AFTER,
    RETRYABLE_STATUSES,
    read_model_names,
    read_retry_after,
)

if TYPE_CHECKING:
    import aiohttp

CONNECT_SECONDS = 30.0  # until a connection stands
KEEPALIVE_SECONDS = 60.0
PROBE_SECONDS = 5.0  # for the first request to a server, before anything is sampled
MAX_LIST_BYTES = 2**22  # of a server's list of models
SECONDS_BETWEEN_PROBES = 15.0  # of a server that was down at the start
SILENT_PAUSE = 10.0  # seconds; a server that asks for a longer pause is named in a warning
LEAST_TRIES = 6  # of a request that shows whether the servers work: one answer without content proves nothing
INVALID_ADDRESS = "is not a valid address"
LONGEST_PAUSE = 60.0  # seconds between two attempts, unless the server asks for more


class ConnectionFailure(Exception):
    """No response, or half of one, came back; `kind` is `timeout` or `connection`."""

    def __init__(self, kind: str, reason: str):
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


class Endpoint:
    """One server, and how many requests it has."""

    def __init__(self, url: str, concurrency: int, model_name: str):
        self.url = url.rstrip("/")
        self.model_name = model_name
        self.listed_models: list[str] = []  # what the server said at the start that it serves
        self.slots = asyncio.Semaphore(concurrency)
        self.requests = 0  # those that wait for a slot included
        self.resting_until = 0.0  # on the clock time.monotonic
        self.is_down = False  # since the start; it gets no requests


class EndpointPool:
    """The servers of a sampler. `url_path` is the interface, such as `chat/completions`.

    `model_name` is the name of the model on the servers for which the recipe has no other. A response may be
    MAX_RESPONSE_BYTES and `further_bytes` long.
    """

    def __init__(
        self,
        config: ServerConfig,
        url_path: str,
        headers: dict[str, str],
        field: str,
        model_name: str = "",
        further_bytes: int = 0,
    ):
        self.config = config
        self.url_path = url_path
        self.headers = headers
        self.field = field
        self.further_bytes = further_bytes
        names = config.models or [model_name]
        if len(names) == 1:
            names = names * len(config.urls)
        self.endpoints = []
        for url, name in zip(config.urls, names, strict=True):
            self.endpoints.append(Endpoint(url, config.concurrency, name))
        self._session: aiohttp.ClientSession | None = None
        self._waiting: set[asyncio.Task[None]] = set()  # for servers that were down at the start
        self._silent_until = 0.0  # on the clock time.monotonic: until then, no further wait is reported

    @property
    def slots(self) -> int:
        """The number of requests that all servers together take at once."""
        return self.config.concurrency * len(self.running)

    @property
    def running(self) -> list[Endpoint]:
        """The servers that were not down at the start, or have answered since."""
        return [endpoint for endpoint in self.endpoints if not endpoint.is_down]

    @property
    def session(self) -> "aiohttp.ClientSession":
        assert self._session is not None, "open() comes first"
        return self._session

    async def open(self) -> None:
        """Open the connections.

        A server that is down while others answer gets no requests until it answers, too. Raises UserError if no server
        answers, and for an address that cannot be one.
        """
        import aiohttp

        limit = self.config.concurrency * len(self.endpoints)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=limit, keepalive_timeout=KEEPALIVE_SECONDS),
            timeout=aiohttp.ClientTimeout(total=self.config.timeout, sock_connect=CONNECT_SECONDS),
            headers=self.headers,
        )
        reasons = await asyncio.gather(*(self._probe(endpoint) for endpoint in self.endpoints))
        action = "start the server, or correct the address"
        for index, reason in enumerate(reasons):
            if reason and (reason == INVALID_ADDRESS or all(reasons)):
                others = len(reasons) - 1
                at_others = f", nor at the {others} other addresses" if others and reason != INVALID_ADDRESS else ""
                raise UserError(
                    f"{self.field}.server.urls.{index}", self.config.urls[index], reason + at_others, action
                )
        for endpoint, reason in zip(self.endpoints, reasons, strict=True):
            if reason:
                endpoint.is_down = True
                self._waiting.add(asyncio.create_task(self._wait_until_up(endpoint)))
        for endpoint, reason in zip(self.endpoints, reasons, strict=True):
            if reason:
                logger.warning(
                    f"{endpoint.url}: {reason}; {len(self.running)} of {len(self.endpoints)} servers are asked until "
                    "it answers"
                )

    async def _wait_until_up(self, endpoint: Endpoint) -> None:
        """Ask a server that is down again and again until it answers, and give it requests from then on."""
        while await self._probe(endpoint):
            await asyncio.sleep(SECONDS_BETWEEN_PROBES)
        endpoint.is_down = False
        logger.info(f"{endpoint.url} answers, and is asked too")

    async def close(self) -> None:
        for task in self._waiting:
            task.cancel()
        if self._session is not None:
            await self._session.close()

    async def _probe(self, endpoint: Endpoint) -> str:
        """Return why an address cannot be used, or "" if anything answers there."""
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=PROBE_SECONDS)
        try:
            async with self.session.get(f"{endpoint.url}/models", timeout=timeout, allow_redirects=False) as response:
                if response.status == 200:
                    content = await _read_content(response, MAX_LIST_BYTES)
                    endpoint.listed_models = read_model_names(content) or []
                return ""
        except TimeoutError:
            return ""  # a server is there, and slow
        except aiohttp.ClientConnectorError as error:
            return f"no server answers there ({error.os_error.strerror or error})"
        except (aiohttp.InvalidURL, ValueError):
            return INVALID_ADDRESS
        except (aiohttp.ClientError, OSError):
            return ""

    def least_busy(self, failed: Endpoint | None = None) -> Endpoint:
        """Return the server with the fewest requests; one that failed lately only if all others did too.

        `failed` is the server that failed the last attempt of the request: it is asked again only if there is no other.
        """
        now = time.monotonic()

        def preference(endpoint: Endpoint) -> tuple[bool, bool, int]:
            return endpoint is failed, endpoint.resting_until > now, endpoint.requests

        return min(self.running, key=preference)

    def rest(self, endpoint: Endpoint) -> None:
        """Prefer the other servers for a while, after an attempt on this one failed."""
        endpoint.resting_until = time.monotonic() + self.config.backoff

    def limit_pause(self, endpoint: Endpoint, retry_after: float | None) -> float | None:
        """Return how many seconds to wait where a server asks for `retry_after`; a warning reports long waits."""
        if retry_after is None or retry_after <= SILENT_PAUSE:
            return retry_after
        pause = min(MAX_RETRY_AFTER, retry_after)
        now = time.monotonic()
        if now >= self._silent_until:
            self._silent_until = now + pause
            limit = "" if pause == retry_after else f"; it is asked again after {pause:g} s"
            logger.warning(f"{endpoint.url} asks to wait {retry_after:g} s (Retry-After){limit}")
        return pause

    def has_requests(self) -> bool:
        """Return whether any server still has a request to answer."""
        return any(endpoint.requests for endpoint in self.endpoints)

    async def post(self, endpoint: Endpoint, body: dict[str, Any]) -> tuple[int, bytes, float | None]:
        """Return the status, the content and the Retry-After of one request. It waits until the server has a slot."""
        endpoint.requests += 1
        try:
            async with endpoint.slots:
                return await self._send(endpoint, body)
        finally:
            endpoint.requests -= 1

    async def _send(self, endpoint: Endpoint, body: dict[str, Any]) -> tuple[int, bytes, float | None]:
        """Send one request; return the status, the content and the Retry-After. Raises ConnectionFailure.

        A redirection is not followed, since prompts and the key go to the address in the recipe and nowhere else: its
        target is returned as the content.
        """
        import aiohttp

        try:
            return await self._exchange(endpoint, body)
        except TimeoutError:
            raise ConnectionFailure("timeout", f"no answer within {self.config.timeout:g} s") from None
        except (aiohttp.ClientError, OSError, EOFError, ValueError) as error:
            raise ConnectionFailure("connection", f"{type(error).__name__}: {error}") from None

    async def _exchange(self, endpoint: Endpoint, body: dict[str, Any]) -> tuple[int, bytes, float | None]:
        url = f"{endpoint.url}/{self.url_path}"
        body = {**body, "model": self.config.body.get("model", endpoint.model_name)}
        async with self.session.post(url, json=body, allow_redirects=False) as response:
            if 300 <= response.status < 400:
                return response.status, response.headers.get("Location", "").encode(), None
            content = await _read_content(response, MAX_RESPONSE_BYTES + self.further_bytes)
            return response.status, content, read_retry_after(response.headers.get("Retry-After"))

    async def answers(self, body: dict[str, Any], is_usable: Callable[[bytes], bool]) -> bool:
        """Return whether any server gives a usable answer to a request, which is tried LEAST_TRIES times or more.

        False at once if all servers refuse it.
        """
        pause = self.config.backoff
        for _ in range(max(self.config.retries + 1, LEAST_TRIES)):
            refusals = 0
            running = self.running
            for endpoint in running:
                try:
                    # Past the slots: the question must not wait behind the requests that it is about.
                    status, content, retry_after = await self._send(endpoint, body)
                except ConnectionFailure:
                    continue
                if status == 200 and is_usable(content):
                    return True
                refusals += status >= 300 and status not in RETRYABLE_STATUSES
                pause = max(pause, self.limit_pause(endpoint, retry_after) or 0.0)
            if refusals == len(running):
                return False
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, 2 * pause)
        return False


async def _read_content(response: "aiohttp.ClientResponse", limit: int) -> bytes:
    """Return the content of a response; nothing of one with more than `limit` bytes, whose connection is closed."""
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > limit:
            return b""
    return bytes(content)


class HealthCheck:
    """Find out whether the servers still work, by a request that was answered before.

    A prompt that gets no answer is either one that no server can answer, or the servers are down. The answered request
    is sent again, for one token: if it is answered, the prompt is at fault.
    """

    def __init__(self, pool: EndpointPool, is_usable: Callable[[bytes], bool]):
        """`is_usable` tells whether a response holds a completion."""
        self.pool = pool
        self.is_usable = is_usable
        self._last_answer = -1.0  # on the clock time.monotonic
        self.answered_body: dict[str, Any] | None = None
        self._lock: asyncio.Lock | None = None
        self._checked_at = -1.0  # on the clock time.monotonic
        self._is_alive = False

    @property
    def has_answer(self) -> bool:
        """Whether any request was answered so far."""
        return self.answered_body is not None

    def remember(self, body: dict[str, Any]) -> None:
        """Keep the first request that was answered, and when the last one was."""
        self._last_answer = time.monotonic()
        if self.answered_body is None:
            self.answered_body = body

    async def is_alive(self, since: float = math.inf) -> bool:
        """Return whether the servers still answer; False if no request was answered yet.

        A request that was answered after `since`, on the clock time.monotonic, is proof enough.
        """
        if self.answered_body is None:
            return False
        if self._last_answer > since:
            return True
        asked_at = time.monotonic()
        if self._lock is None:
            self._lock = asyncio.Lock()  # here, since a lock belongs to the event loop that it is made in
        async with self._lock:
            # If another task has checked while this one waited for the lock, its result is recent enough.
            if self._checked_at < asked_at:
                checked_at = time.monotonic()
                self._is_alive = await self.pool.answers({**self.answered_body, "max_tokens": 1}, self.is_usable)
                self._checked_at = checked_at
        return self._is_alive


def join_urls(urls: Sequence[str]) -> str:
    """Return addresses as one text for an error message."""
    return ", ".join(urls)
