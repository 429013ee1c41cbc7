"""Sample from one or several OpenAI-compatible servers: the engine `openai`, and the judge of the reward `judge`.

One request asks for one sample, with a seed of its own, so that the same request gives the same sample after a resume,
as far as the server can guarantee it. (`transformers serve` ignores `n` silently, llama.cpp supports it only in some
interfaces. Where a server caches prefixes, as vLLM and SGLang do, a request for each sample costs next to nothing.)
The requests at once are limited for each server. No more batches are started than keep the servers busy, so that slow
checkers hold the servers back and memory stays flat.

Failures that may pass (status 429 or 5xx, a time-out, a cut connection, a response that makes no sense) are retried,
after Retry-After or exponentially longer pauses, on another server if there is one. What failures that stay mean is
decided in r1kit/servers/unanswered.py.

The client uses aiohttp and not the openai package, which spends several milliseconds of CPU on each request; on two
cores that limits the rate.
"""

import asyncio
import queue
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

from r1kit.completions import CompletionGroups, Prompt, PromptBatch, SampledCompletion
from r1kit.errors import UserError
from r1kit.messages import logger
from r1kit.recipe import PromptConfig, SamplingConfig
from r1kit.recipe.server_keys import read_key
from r1kit.servers.defaults import REFUSAL_STATUSES, Fields, NeutralParameters, describe_lacking
from r1kit.servers.endpoints import (
    LONGEST_PAUSE,
    ConnectionFailure,
    Endpoint,
    EndpointPool,
    HealthCheck,
)
from r1kit.servers.model_names import TRIED_PROMPT, check_model_name
from r1kit.servers.requests import (
    BUSY_STATUSES,
    FATAL_STATUSES,
    RETRYABLE_STATUSES,
    RequestFormat,
    RetryableError,
    UnusableResponse,
    is_context_error,
    read_error_message,
    request_seed,
)
from r1kit.servers.unanswered import UnansweredRequests

# Open requests for each slot of a server: twice as many keep it busy while this process scores.
REQUESTS_PER_SLOT = 2
OK_STATUS = 200

Response = tuple[int, bytes, float | None]
"""Status, content, and the seconds of a Retry-After header."""


class ServerClient:
    """Sample from OpenAI-compatible servers; requests run in an event loop in a thread of their own."""

    def __init__(
        self,
        model_name: str,
        prompt_config: PromptConfig,
        sampling_config: SamplingConfig,
        field: str = "sampling",
        stop_token_ids: Sequence[int] = (),
        model_field: str = "model.path",
    ):
        """`stop_token_ids` end a completion in addition to those that the server knows.

        `field` and `model_field` name the blocks of servers and the model's name in the recipe, for errors.
        """
        self.sampling_config = sampling_config
        self.server_config = sampling_config.server
        self.field = field
        self.request_format = RequestFormat(model_name, prompt_config, sampling_config, field)
        key = self._read_key()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.neutral = NeutralParameters(sampling_config, list(stop_token_ids), self.request_format.logprobs_field)
        self.pool = EndpointPool(
            self.server_config,
            self.request_format.url_path,
            headers,
            field,
            model_name,
            self.request_format.logprob_bytes,
        )
        self.health = HealthCheck(self.pool, self._is_usable)
        self.events: Counter[str] = Counter()
        self.unanswered = UnansweredRequests(
            self.pool, self.health, self.request_format, sampling_config, self.events, field, model_field
        )
        self.without_logprobs: set[str] = set()  # addresses of servers that gave none
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="server", daemon=True)
        self.thread.start()
        try:
            self._run_in_loop(self._open(model_field))
        except BaseException:
            self.close()
            raise

    def _read_key(self) -> str | None:
        """Return the API key from the environment, if there is one."""
        return read_key(f"{self.field}.server.key", self.server_config.key)

    def _is_usable(self, content: bytes) -> bool:
        """Return whether a response holds a completion."""
        try:
            self.request_format.parse_response(content, 1)
        except (UnusableResponse, UserError):
            return False
        return True

    def remember_answered(self, prompt: Prompt) -> None:
        self.health.answered_body = self.request_format.build_body(prompt, seed=0, samples=1)

    def stream(self, batches: Iterable[PromptBatch | None], group_size: int) -> Iterator[tuple[int, CompletionGroups]]:
        """Yield each batch as it is finished. Raises the first UserError after all finished batches were yielded."""
        finished: queue.Queue[Future[CompletionGroups]] = queue.Queue()
        open_batches: dict[Future[CompletionGroups], PromptBatch] = {}
        open_requests = 0
        waiting_batches = iter(batches)
        has_more = True
        error: UserError | None = None
        try:
            while True:
                # At least two batches, so that the servers have work while this process scores one.
                while (
                    has_more
                    and error is None
                    and (open_requests < REQUESTS_PER_SLOT * self.pool.slots or len(open_batches) < 2)
                ):
                    try:
                        batch = next(waiting_batches)
                    except StopIteration:
                        has_more = False
                        break
                    if batch is None:  # the budget allows no further batch until one has come back
                        break
                    future = asyncio.run_coroutine_threadsafe(self._sample_batch(batch, group_size), self.loop)
                    open_batches[future] = batch
                    open_requests += len(batch.prompts) * group_size
                    future.add_done_callback(finished.put)
                if not open_batches:
                    break
                # Wait for any batch, and hand it to the caller, who scores and writes it before asking for the next.
                future = finished.get()
                batch = open_batches.pop(future)
                open_requests -= len(batch.prompts) * group_size
                try:
                    groups = future.result()
                except UserError as failure:
                    # Start nothing more, but yield the batches that still come back: they are paid for.
                    error = error or failure
                    continue
                yield batch.index, groups
            if error is not None:
                raise error
        finally:
            # The caller may stop early, for example after SIGTERM.
            for future in open_batches:
                future.cancel()

    def close(self) -> None:
        """Cancel the requests in flight, close the connections, and end the thread."""
        if self.thread.is_alive():
            self._run_in_loop(self._shut_down())
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join()
            self.loop.close()

    def count_events(self) -> dict[str, int]:
        return dict(self.events)

    def _run_in_loop(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self.loop).result()

    async def _open(self, model_field: str) -> None:
        """Open the connections, and ask each server for the model. Raises UserError."""
        await self.pool.open()
        body = self.request_format.build_body(TRIED_PROMPT, seed=0, samples=1)
        field = f"{self.field}.server.models" if self.server_config.models else model_field
        for endpoint in self.pool.running:
            await check_model_name(self.pool, endpoint, body, field)

    async def _shut_down(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.pool.close()

    async def _sample_batch(self, batch: PromptBatch, group_size: int) -> CompletionGroups:
        """Return the samples of a batch, whose requests all run at once."""
        samples_per_request = self.server_config.samples_per_request
        prompt_of_request = []
        requests = []
        for prompt_index, prompt in enumerate(batch.prompts):
            for first_sample in range(0, group_size, samples_per_request):
                seed = request_seed(batch.seed, prompt_index, first_sample)
                samples = min(samples_per_request, group_size - first_sample)
                prompt_of_request.append(prompt_index)
                requests.append(self._request_samples(prompt, seed, samples))
        groups: CompletionGroups = [[] for _ in batch.prompts]
        for prompt_index, completions in zip(prompt_of_request, await asyncio.gather(*requests), strict=True):
            groups[prompt_index] += completions
        return groups

    async def _request_samples(self, prompt: Prompt, seed: int, samples: int) -> list[SampledCompletion]:
        """Return `samples` completions of a prompt after as many attempts as it takes.

        Raises UserError if the servers no longer answer.
        """
        import tenacity

        config = self.server_config
        exponential = tenacity.wait_exponential_jitter(
            initial=config.backoff, max=LONGEST_PAUSE, jitter=config.backoff / 2
        )

        def pause_seconds(state: tenacity.RetryCallState) -> float:
            failure = state.outcome.exception() if state.outcome else None
            if isinstance(failure, RetryableError) and failure.retry_after is not None:
                return failure.retry_after
            return min(LONGEST_PAUSE, exponential(state))

        attempts = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(config.retries + 1),
            wait=pause_seconds,
            retry=tenacity.retry_if_exception_type(RetryableError),
            reraise=True,
        )
        body = self.request_format.build_body(prompt, seed, samples)
        last_attempt = 0.0
        endpoint: Endpoint | None = None
        try:
            async for attempt in attempts:
                with attempt:
                    last_attempt = time.monotonic()
                    endpoint = self.pool.least_busy(failed=endpoint)
                    return await self._attempt(endpoint, body, samples)
        except RetryableError as failure:
            return await self.unanswered.give_up(body, samples, failure, last_attempt)
        raise AssertionError("tenacity returns or raises")

    async def _attempt(self, endpoint: Endpoint, body: dict[str, Any], samples: int) -> list[SampledCompletion]:
        """Send one request to a server.

        Raises RetryableError if another attempt may succeed, and UserError if no request can.
        """
        # 1. Did a response arrive at all?
        try:
            body, (status, content, retry_after) = await self._post(endpoint, body)
        except ConnectionFailure as failure:
            self._count_retry(failure.kind, endpoint)
            raise RetryableError("server", failure.reason) from None
        # 2. Is it an error, and whose?
        if status in RETRYABLE_STATUSES:
            self._count_retry(str(status), endpoint)
            kind = "busy" if status in BUSY_STATUSES else "server"
            pause = self.pool.limit_pause(endpoint, retry_after)
            raise RetryableError(kind, f"status {status}: {read_error_message(content)}", pause)
        if status in FATAL_STATUSES or 300 <= status < 400:
            raise self.unanswered.fatal_error(endpoint, status, content)
        if status >= 400:
            return await self.unanswered.accept_refusal(status, read_error_message(content), samples, body)
        # 3. Does it hold completions?
        try:
            completions = self.request_format.parse_response(content, samples)
        except UnusableResponse as error:
            # Such a server rests as a failing one does: a server that answers nonsense quickly would get all requests.
            self._count_retry("body", endpoint)
            raise RetryableError("body", f"the answer makes no sense: {error}") from None
        self._note_missing_logprobs(endpoint, completions)
        endpoint.resting_until = 0.0
        self.events["answered"] += 1
        self.health.remember(body)
        return completions

    def _note_missing_logprobs(self, endpoint: Endpoint, completions: list[SampledCompletion]) -> None:
        """Tell the user once of each server that gives no log-probabilities, though the recipe asks for them."""
        is_asked_for = bool(self.request_format.logprobs_field)
        has_none = any(sample.text and sample.mean_logprob is None for sample in completions)
        if is_asked_for and has_none and endpoint.url not in self.without_logprobs:
            self.without_logprobs.add(endpoint.url)
            logger.info(
                f"{endpoint.url} gives no log-probabilities: the column logprob of its samples is empty, and scaling "
                "cannot choose by it"
            )

    async def _post(self, endpoint: Endpoint, body: dict[str, Any]) -> tuple[dict[str, Any], Response]:
        """Send one request with the parameters that are off; return the body as it was sent, and the response.

        Until a request was answered, one that is refused is sent again with fewer of those.
        """
        fields = self.neutral.fields
        first_body = {**fields, **body}
        first_response = await self.pool.post(endpoint, first_body)
        sent_body, response = first_body, first_response
        while response[0] in REFUSAL_STATUSES:
            message = read_error_message(response[1])
            if is_context_error(response[0], message):
                break
            alternative: Fields | None = self.neutral.fields
            if not self.neutral.is_settled:
                alternative = self.neutral.alternative(fields, message)
            if alternative is None or alternative == fields:
                return first_body, first_response
            fields = alternative
            sent_body = {**fields, **body}
            response = await self.pool.post(endpoint, sent_body)
        if response[0] == OK_STATUS and not self.neutral.is_settled:
            lacking = self.neutral.settle(fields)
            if lacking:
                logger.info(describe_lacking(lacking))
        return sent_body, response

    def _count_retry(self, kind: str, endpoint: Endpoint) -> None:
        self.events[f"retried {kind}"] += 1
        self.pool.rest(endpoint)
