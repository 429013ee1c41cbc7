"""Several servers of one model: the connections to them, the choice of the next one, and whether they still answer.

All of it runs in the event loop of one ServerSampler.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from r1kit.errors import UserError
from r1kit.recipe import ServerConfig
from r1kit.sampling.server_requests import RETRYABLE_STATUSES, read_retry_after

if TYPE_CHECKING:
    import aiohttp

CONNECT_SECONDS = 30.0  # until a connection stands
KEEPALIVE_SECONDS = 60.0
PROBE_SECONDS = 5.0  # for the first request to a server, before anything is sampled
LONGEST_PAUSE = 60.0  # seconds between two attempts, unless the server asks for more


class Endpoint:
    """One server, and how many requests it has."""

    def __init__(self, url: str, concurrency: int):
        self.url = url.rstrip("/")
        self.slots = asyncio.Semaphore(concurrency)
        self.requests = 0  # those that wait for a slot included
        self.resting_until = 0.0  # on the clock time.monotonic


class EndpointPool:
    """The servers of a sampler. `url_path` is the interface, such as `chat/completions`."""

    def __init__(self, config: ServerConfig, url_path: str, headers: dict[str, str], field: str):
        self.config = config
        self.url_path = url_path
        self.headers = headers
        self.field = field
        self.endpoints = [Endpoint(url, config.concurrency) for url in config.urls]
        self._session: aiohttp.ClientSession | None = None

    @property
    def slots(self) -> int:
        """The number of requests that all servers together take at once."""
        return self.config.concurrency * len(self.endpoints)

    @property
    def session(self) -> "aiohttp.ClientSession":
        assert self._session is not None, "open() comes first"
        return self._session

    async def open(self) -> None:
        """Open the connections. Raises UserError if no server answers at one of the addresses."""
        import aiohttp

        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.slots, keepalive_timeout=KEEPALIVE_SECONDS),
            timeout=aiohttp.ClientTimeout(total=self.config.timeout, sock_connect=CONNECT_SECONDS),
            headers=self.headers,
        )
        reasons = await asyncio.gather(*(self._probe(endpoint) for endpoint in self.endpoints))
        for index, reason in enumerate(reasons):
            if reason:
                action = "start the server, or correct the address"
                raise UserError(f"{self.field}.server.urls.{index}", self.config.urls[index], reason, action)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _probe(self, endpoint: Endpoint) -> str:
        """Return why an address cannot be used, or "" if anything answers there."""
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=PROBE_SECONDS)
        try:
            async with self.session.get(f"{endpoint.url}/models", timeout=timeout):
                return ""
        except TimeoutError:
            return ""  # a server is there, and slow
        except aiohttp.ClientConnectorError as error:
            return f"no server answers there ({error.os_error.strerror or error})"
        except (aiohttp.InvalidURL, ValueError):
            return "is not a valid address"
        except aiohttp.ClientError:
            return ""

    def least_busy(self) -> Endpoint:
        """Return the server with the fewest requests; one that failed lately only if all others did too."""
        now = time.monotonic()
        return min(self.endpoints, key=lambda endpoint: (endpoint.resting_until > now, endpoint.requests))

    def rest(self, endpoint: Endpoint) -> None:
        """Prefer the other servers for a while, after an attempt on this one failed."""
        endpoint.resting_until = time.monotonic() + self.config.backoff

    def has_requests(self) -> bool:
        """Return whether any server still has a request to answer."""
        return any(endpoint.requests for endpoint in self.endpoints)

    async def post(self, endpoint: Endpoint, body: dict[str, Any]) -> tuple[int, bytes, float | None]:
        """Return the status, the content and the Retry-After of one request. It waits until the server has a slot."""
        endpoint.requests += 1
        try:
            async with (
                endpoint.slots,
                self.session.post(f"{endpoint.url}/{self.url_path}", json=body) as response,
            ):
                content = await response.read()
                return response.status, content, read_retry_after(response.headers.get("Retry-After"))
        finally:
            endpoint.requests -= 1

    async def answers(self, body: dict[str, Any]) -> bool:
        """Return whether any server answers a request; tried as often as any request.

        False at once if all servers refuse it.
        """
        import aiohttp

        pause = self.config.backoff
        for _ in range(self.config.retries + 1):
            refusals = 0
            for endpoint in self.endpoints:
                try:
                    # Past the slots: the question must not wait behind the requests that it is about.
                    async with self.session.post(f"{endpoint.url}/{self.url_path}", json=body) as response:
                        content = await response.read()
                        status = response.status
                        retry_after = read_retry_after(response.headers.get("Retry-After"))
                    if status == 200 and json.loads(content)["choices"]:
                        return True
                except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError):
                    continue
                refusals += status >= 400 and status not in RETRYABLE_STATUSES
                pause = max(pause, retry_after or 0.0)
            if refusals == len(self.endpoints):
                return False
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, 2 * pause)
        return False


class HealthCheck:
    """Find out whether the servers still work, by a request that was answered before.

    A prompt that gets no answer is either one that no server can answer, or the servers are down. The answered request
    is sent again, for one token: if it is answered, the prompt is at fault.
    """

    def __init__(self, pool: EndpointPool):
        self.pool = pool
        self.answered_body: dict[str, Any] | None = None
        self._lock: asyncio.Lock | None = None
        self._checked_at = -1.0  # on the clock time.monotonic
        self._is_alive = False

    @property
    def has_answer(self) -> bool:
        """Whether any request was answered so far."""
        return self.answered_body is not None

    def remember(self, body: dict[str, Any]) -> None:
        """Keep the first request that was answered."""
        if self.answered_body is None:
            self.answered_body = body

    async def is_alive(self) -> bool:
        """Return whether the servers still answer; False if no request was answered yet."""
        if self.answered_body is None:
            return False
        asked_at = time.monotonic()
        if self._lock is None:
            self._lock = asyncio.Lock()  # here, since a lock belongs to the event loop that it is made in
        async with self._lock:
            # If another task has checked while this one waited for the lock, its result is recent enough.
            if self._checked_at < asked_at:
                checked_at = time.monotonic()
                self._is_alive = await self.pool.answers({**self.answered_body, "max_tokens": 1})
                self._checked_at = checked_at
        return self._is_alive


def join_urls(urls: Sequence[str]) -> str:
    """Return addresses as one text for an error message."""
    return ", ".join(urls)
