"""What a request without an answer means: the servers are gone, or one prompt cannot be answered.

If the servers no longer answer, or answer nonsense, the run ends with exit code 2 and keeps its finished work. If no
server can answer one prompt, for example one beyond the context, its samples have no text, and `finish_reason` says
why. A request that was answered before tells the two apart: it is sent again, for one token. Samples that have failed
are asked for again when the same command is given again.
"""

import asyncio
import json
from collections import Counter
from typing import Any

from r1kit.completions import SampledCompletion
from r1kit.errors import UserError
from r1kit.messages import logger
from r1kit.recipe import SamplingConfig
from r1kit.servers.endpoints import Endpoint, EndpointPool, HealthCheck, join_urls
from r1kit.servers.requests import (
    FATAL_STATUSES,
    RequestFormat,
    RetryableError,
    explain_missing_path,
    is_context_error,
    read_error_message,
)

# If so many different prompts got no answer before the first one was answered, the requests themselves are wrong.
MAX_UNANSWERED_PROMPTS = 16
SECONDS_BETWEEN_CHECKS = 0.05
MESSAGE_KIND_CHARS = 32  # messages that begin alike are of one kind, of which only the first is shown


class UnansweredRequests:
    """Decides what becomes of requests that stay without an answer, and counts them."""

    def __init__(
        self,
        pool: EndpointPool,
        health: HealthCheck,
        request_format: RequestFormat,
        sampling_config: SamplingConfig,
        events: Counter[str],
        field: str,
        model_field: str,
    ):
        """`events` are the client's counts by kind; `field` and `model_field` are those of ServerClient."""
        self.pool = pool
        self.health = health
        self.request_format = request_format
        self.sampling_config = sampling_config
        self.events = events
        self.field = field
        self.model_field = model_field
        self.shown_message_kinds: set[str] = set()
        self.unanswered_prompts: set[int] = set()  # hashes of prompts that got no answer

    async def give_up(
        self, body: dict[str, Any], samples: int, failure: RetryableError, last_attempt: float
    ) -> list[SampledCompletion]:
        """Return samples without text after the last attempt. Raises UserError if the servers no longer answer.

        `last_attempt` is when the last attempt began, on the clock time.monotonic: if another request was answered
        since then, the server works, and this request cannot be answered.
        """
        attempts = self.sampling_config.server.retries + 1
        never_made_sense = failure.kind == "body" and not self.health.has_answer
        if never_made_sense or (failure.kind != "busy" and await self.health.is_alive(since=last_attempt)):
            self.events["failed"] += samples
            await self._count_unanswered(
                body,
                "server.body",
                f"the server gives no answer that makes sense: {failure.reason}",
                "correct the sampling settings",
            )
            self._show_first_of_kind(f"a request was given up after {attempts} attempts: {failure.reason}")
            return [SampledCompletion("", 0, "failed")] * samples
        stopped = "no longer gives answers that make sense" if failure.kind == "body" else "stopped answering"
        requirement = f"{stopped} ({failure.reason}, {attempts} attempts)"
        action = "repair the server, then run the same command again: finished work is kept"
        urls = join_urls(self.sampling_config.server.urls)
        raise UserError(f"{self.field}.server.urls", urls, requirement, action) from None

    def fatal_error(self, endpoint: Endpoint, status: int, content: bytes) -> UserError:
        """Return the error for a status that all requests would get, such as that of a wrong key."""
        if status in FATAL_STATUSES:
            meaning = FATAL_STATUSES[status] or read_error_message(content)
        else:
            meaning = f"it is redirected to {content.decode(errors='replace') or 'no address'}"
        requirement = f"{endpoint.url}/{self.pool.url_path} answers {status}: {meaning}"
        action = "check the address, the key and the model's name"
        if status == 404 and explain_missing_path(endpoint.url):
            action = explain_missing_path(endpoint.url)
        elif not self.request_format.is_chat:
            action += ", or use prompt.template=chat"
        return UserError(self.model_field, self.request_format.model_name, requirement, action)

    async def accept_refusal(
        self, status: int, message: str, samples: int, body: dict[str, Any]
    ) -> list[SampledCompletion]:
        """Return samples without text, since the server refuses the prompt. Raises UserError if it refuses all."""
        finish_reason = "context" if is_context_error(status, message) else "refused"
        self.events[finish_reason] += samples
        self._show_first_of_kind(f"a prompt was refused with {status}: {message}")
        if finish_reason == "context":
            # If one token would fit, the prompt is not too long, but max_tokens too large.
            if not self.health.has_answer and await self.pool.answers({**body, "max_tokens": 1}, self.health.is_usable):
                await self._count_unanswered(
                    body,
                    "max_tokens",
                    f"no prompt leaves room for {self.sampling_config.max_tokens} tokens: {message}",
                    "lower it, or start the server with a longer context",
                )
        elif not await self.health.is_alive():
            if self.health.has_answer:
                requirement = f"refuses with {status} what it answered before: {message}"
                action = "repair the server or the account, then run the same command again: finished work is kept"
                raise UserError(
                    f"{self.field}.server.urls", join_urls(self.sampling_config.server.urls), requirement, action
                )
            await self._count_unanswered(
                body,
                "server.body",
                f"the server refuses every request with {status}: {message}",
                "correct the sampling settings",
            )
        return [SampledCompletion("", 0, finish_reason)] * samples

    async def _count_unanswered(self, body: dict[str, Any], field: str, requirement: str, action: str) -> None:
        """Count a prompt that got no answer. Raises UserError if 16 prompts got none and no other prompt got one."""
        self.unanswered_prompts.add(hash(json.dumps(body.get("messages") or body["prompt"])))

        def nothing_is_answered() -> bool:
            return len(self.unanswered_prompts) >= MAX_UNANSWERED_PROMPTS and not self.health.has_answer

        while nothing_is_answered() and self.pool.has_requests():
            await asyncio.sleep(SECONDS_BETWEEN_CHECKS)  # a request in flight may still be answered
        if nothing_is_answered():
            value = self.sampling_config.max_tokens if field == "max_tokens" else self.sampling_config.server.body
            raise UserError(f"{self.field}.{field}", value, requirement, action)

    def _show_first_of_kind(self, message: str) -> None:
        """Show a message unless one of its kind was shown before; the progress shows how many there are."""
        kind = message[:MESSAGE_KIND_CHARS]
        if kind not in self.shown_message_kinds:
            self.shown_message_kinds.add(kind)
            logger.warning(message)
