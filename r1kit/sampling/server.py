"""The engine `openai`: sample from any OpenAI-compatible servers, one or several.

Requests go out one a sample (`transformers serve` ignores `n` in silence, llama.cpp has it not everywhere; where a
server caches prefixes, as vLLM and SGLang do, that costs next to nothing), each with a seed of its own: so the same
request gives the same sample after a resume, as far as the server can. Concurrency is bounded on each server, and no
more units are begun than keep them busy, so that a slow verifier holds the servers back and memory stays flat.

What may pass (429, 5xx, time-outs, cut connections, bodies that make no sense) is tried again, after Retry-After or
exponentially longer pauses (tenacity), on another server where there is one. What stays broken is of two kinds. A
server that no longer answers ends the run, its finished work kept (exit 2). A prompt that no server can answer, such as
one beyond the context, becomes a sample without text whose finish_reason says why. Which of the two it is, a request
tells that was answered before: it is sent again, for one token.

aiohttp, not the openai package: that spends several milliseconds of CPU on a request, which two cores feel.
"""

import asyncio
import hashlib
import json
import os
import queue
import sys
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Iterable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from r1kit.errors import UserError
from r1kit.models.templates import THINK_END, THINK_START
from r1kit.prompts import CHAT_TEMPLATE
from r1kit.recipe import ModelConfig, PromptConfig, SamplingConfig
from r1kit.sampling.engine import CompletionGroups, PromptBatch, SampledCompletion

if TYPE_CHECKING:
    import aiohttp

LONGEST_PAUSE = 60.0
PROBE_SECONDS = 5.0
# Statuses that may pass. A 404 of a hosted server that is short of a model is none of them.
PASSING = {408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529}
HOPELESS = {
    401: "the key is refused",
    402: "the account is empty",
    403: "access is refused",
    404: "there is no such model or interface",
    405: "",
}
BUSY = {429, 503, 529}  # too much is asked: no fault of the request
# How servers say why they ended: of one kind under other names, and answers that are none.
REASONS = dict.fromkeys(("eos", "eos_token", "stop_sequence", "end_turn"), "stop") | {"max_tokens": "length"}
ABORTED = ("error", "abort", "insufficient_system_resource")
ALL_REFUSED = 16  # so many prompts refused before the first answer: the request itself is wrong


class Passing(Exception):
    """Something that another try may mend."""

    def __init__(self, kind: str, reason: str, wait: float | None = None):
        super().__init__(reason)
        self.kind, self.reason, self.wait = kind, reason, wait


class Endpoint:
    """A server, and how much it has to do."""

    def __init__(self, url: str, concurrency: int):
        self.url = url.rstrip("/")
        self.places = asyncio.Semaphore(concurrency)
        self.busy, self.rests_until = 0, 0.0


class ServerSampler:
    """Samples from OpenAI-compatible servers."""

    def __init__(self, model: ModelConfig, prompt: PromptConfig, settings: SamplingConfig, field: str = "sampling"):
        self.name, self.prompt, self.settings, self.field = model.path or "", prompt, settings, field
        server = settings.server
        self.chat = server.endpoint == "chat" or (server.endpoint == "auto" and prompt.template == CHAT_TEMPLATE)
        self.path = "chat/completions" if self.chat else "completions"
        if prompt.template == CHAT_TEMPLATE and not self.chat:
            must = "a server knows the chat template, and is asked in messages"
            raise UserError(f"{field}.server.endpoint", server.endpoint, must, "use auto or chat")
        self.headers = {"Authorization": f"Bearer {key}"} if (key := self._key()) else {}
        self.endpoints = [Endpoint(url, server.concurrency) for url in server.urls]
        self.counts: Counter[str] = Counter()
        self.told: set[str] = set()
        self.refused: set[int] = set()  # prompts
        self.opens = False  # whether its chat template opens the thinking
        self.good: dict[str, Any] | None = None  # a request that was answered
        self.asking: asyncio.Lock | None = None
        self.asked, self.answers = -1.0, False  # when `good` was sent again, and whether it was answered
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="server", daemon=True)
        self.thread.start()
        self.session: aiohttp.ClientSession | None = None
        try:
            self._await(self._open())
        except BaseException:
            self.close()
            raise

    def trust(self, prompt: Any) -> None:
        self.good = self._body(prompt, 0, 1)

    def stream(self, units: Iterable[PromptBatch | None], count: int) -> Iterator[tuple[int, CompletionGroups]]:
        results: queue.Queue[Future] = queue.Queue()
        waiting, open_units, error = iter(units), dict[Future, PromptBatch](), None
        places = sum(self.settings.server.concurrency for _ in self.endpoints)
        requests = 0  # of the units that are open: enough to fill every place twice, and at least two units
        more = True
        try:
            while True:
                while more and error is None and (requests < 2 * places or len(open_units) < 2):
                    unit = next(waiting, "end")
                    if unit is None:
                        break
                    if isinstance(unit, str):
                        more = False
                        break
                    future = asyncio.run_coroutine_threadsafe(self._unit(unit, count), self.loop)
                    open_units[future] = unit
                    requests += len(unit.prompts) * count
                    future.add_done_callback(results.put)
                if not open_units:
                    break
                future = results.get()
                unit = open_units.pop(future)
                requests -= len(unit.prompts) * count
                try:
                    groups = future.result()
                except UserError as failure:  # what is finished is still taken
                    error = error or failure
                    continue
                yield unit.index, groups
            if error:
                raise error
        finally:
            for future in open_units:
                future.cancel()

    def close(self) -> None:
        if self.thread.is_alive():
            self._await(self._shut())
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join()
            self.loop.close()

    def report(self) -> dict[str, int]:
        return dict(self.counts)

    def _key(self) -> str | None:
        name = self.settings.server.key
        if name and not os.environ.get(name):
            must = "names an environment variable that is not set"
            raise UserError(f"{self.field}.server.key", name, must, f"export {name}=...")
        return os.environ.get(name or "OPENAI_API_KEY")

    def _await(self, work: Coroutine) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    async def _open(self) -> None:
        """Open the connections, and see that somebody answers at every address."""
        import aiohttp

        limit = self.settings.server.concurrency * len(self.endpoints)
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=limit, keepalive_timeout=60),
            timeout=aiohttp.ClientTimeout(total=self.settings.server.timeout, sock_connect=30),
            headers=self.headers,
        )
        reasons = await asyncio.gather(*(self._probe(e) for e in self.endpoints))
        for index, reason in enumerate(reasons):
            if reason:
                url = self.settings.server.urls[index]
                raise UserError(
                    f"{self.field}.server.urls.{index}", url, reason, "start the server or mend the address"
                )

    async def _shut(self) -> None:
        """End what is still under way, and close the connections."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self.session is not None:
            await self.session.close()

    async def _probe(self, endpoint: Endpoint) -> str:
        """Return why nothing answers at an address; any answer will do."""
        import aiohttp

        assert self.session
        quick = aiohttp.ClientTimeout(total=PROBE_SECONDS)
        try:
            async with self.session.get(f"{endpoint.url}/models", timeout=quick):
                return ""
        except TimeoutError:
            return ""  # it is there, and slow
        except aiohttp.ClientConnectorError as error:
            return f"no server answers there ({error.os_error.strerror or error})"
        except (aiohttp.InvalidURL, ValueError):
            return "is no address"
        except aiohttp.ClientError:
            return ""

    async def _unit(self, unit: PromptBatch, count: int) -> CompletionGroups:
        size = self.settings.server.samples_per_request
        parts = [
            (i, first, min(size, count - first)) for i in range(len(unit.prompts)) for first in range(0, count, size)
        ]
        found = await asyncio.gather(
            *(self._ask(unit.prompts[i], _seed(unit.seed, i, first), n) for i, first, n in parts)
        )
        groups: CompletionGroups = [[] for _ in unit.prompts]
        for (i, _, _), samples in zip(parts, found, strict=True):
            groups[i] += samples
        return groups

    async def _ask(self, prompt: Any, seed: int, n: int) -> list[SampledCompletion]:
        """Return `n` samples of one prompt, however often it takes. Raises UserError where the server is gone."""
        import tenacity

        server = self.settings.server

        def pause(state: Any) -> float:
            failure = state.outcome.exception()
            return failure.wait if failure.wait is not None else min(LONGEST_PAUSE, longer(state))

        longer = tenacity.wait_exponential_jitter(initial=server.backoff, max=LONGEST_PAUSE, jitter=server.backoff / 2)
        tries = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(server.retries + 1),
            wait=pause,
            retry=tenacity.retry_if_exception_type(Passing),
            reraise=True,
        )
        body = self._body(prompt, seed, n)
        try:
            async for attempt in tries:
                with attempt:
                    return await self._post(body, n)
        except Passing as failure:
            # An answer that makes no sense, or others that do: so it is this request that cannot be answered.
            if failure.kind == "body" or (failure.kind == "server" and await self._alive()):
                self.counts["failed"] += n
                await self._nothing(body, "the server gives no answer that makes sense", failure.reason)
                self._tell(f"a request was given up after {server.retries + 1} tries: {failure.reason}")
                return [SampledCompletion("", 0, "failed")] * n
            must = f"stopped answering ({failure.reason}, {server.retries + 1} tries)"
            do = "finished work is kept: mend the server, then the same command again"
            raise UserError(f"{self.field}.server.urls", ", ".join(server.urls), must, do) from None
        raise AssertionError("tenacity returns or raises")

    def _body(self, prompt: Any, seed: int, n: int) -> dict[str, Any]:
        s = self.settings
        body: dict[str, Any] = {
            "model": self.name,
            "max_tokens": s.max_tokens,
            "temperature": s.temperature,
            "top_p": s.top_p,
            "stream": False,
        }
        if s.server.seeds:
            body["seed"] = seed
        if n > 1:
            body["n"] = n
        if s.top_k:
            body["top_k"] = s.top_k
        if not self.chat:
            return {**body, "prompt": prompt, **s.server.body}
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
        if self.prompt.prefill and not isinstance(prompt, str):
            messages.append({"role": "assistant", "content": self.prompt.prefill})
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        if self.prompt.template_settings:
            body["chat_template_kwargs"] = self.prompt.template_settings
        return {**body, "messages": messages, **s.server.body}

    async def _post(self, body: dict[str, Any], n: int) -> list[SampledCompletion]:
        """Make one try. Raises Passing for what another one may mend, UserError for what none will."""
        import aiohttp

        assert self.session
        now = time.monotonic()
        endpoint = min(self.endpoints, key=lambda e: (e.rests_until > now, e.busy))
        endpoint.busy += 1
        try:
            address = f"{endpoint.url}/{self.path}"
            async with endpoint.places, self.session.post(address, json=body) as response:
                content = await response.read()
                status, wait = response.status, response.headers.get("Retry-After")
        except TimeoutError:
            self._count("timeout", endpoint)
            raise Passing("server", f"no answer within {self.settings.server.timeout:g} s") from None
        except aiohttp.ClientError as error:
            self._count("connection", endpoint)
            raise Passing("server", f"{type(error).__name__}: {error}") from None
        finally:
            endpoint.busy -= 1
        if status in PASSING:
            self._count(str(status), endpoint)
            kind = "busy" if status in BUSY else "server"
            raise Passing(kind, f"status {status}: {_message(content)}", _seconds(wait))
        if status in HOPELESS:
            must = f"{address} answers {status}: {HOPELESS[status] or _message(content)}"
            do = "check the address, the key and the model's name" + ("" if self.chat else ", or use the template chat")
            raise UserError("model.path", self.name, must, do)
        if status >= 400:
            return await self._refused(status, _message(content), n, body)
        try:
            samples = self._read(content, n)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            self._count("body", endpoint, rests=False)
            raise Passing("body", f"the answer makes no sense ({error})") from None
        endpoint.rests_until = 0.0
        self.counts["answered"] += 1
        self.good = self.good or body
        return samples

    async def _alive(self) -> bool:
        """Whether a server still answers a request that was answered before."""
        if self.good is None:
            return False
        since = time.monotonic()
        self.asking = self.asking or asyncio.Lock()
        async with self.asking:
            if self.asked < since:  # else somebody has asked in the meantime
                self.asked, self.answers = time.monotonic(), await self._answers({**self.good, "max_tokens": 1})
        return self.answers

    async def _answers(self, body: dict[str, Any]) -> bool:
        import aiohttp

        assert self.session
        pause = self.settings.server.backoff
        for _ in range(self.settings.server.retries + 1):
            refused = 0
            for endpoint in self.endpoints:
                try:
                    async with self.session.post(f"{endpoint.url}/{self.path}", json=body) as response:
                        answer, status = await response.read(), response.status
                        wait = _seconds(response.headers.get("Retry-After"))
                    if status == 200 and json.loads(answer)["choices"]:
                        return True
                    refused += status >= 400 and status not in PASSING
                    pause = pause if wait is None else max(pause, wait)
                except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError):
                    continue
            if refused == len(self.endpoints):
                return False
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, 2 * pause)
        return False

    def _count(self, kind: str, endpoint: Endpoint, rests: bool = True) -> None:
        self.counts[f"retried {kind}"] += 1
        if rests:
            endpoint.rests_until = time.monotonic() + self.settings.server.backoff

    async def _refused(self, status: int, message: str, n: int, body: dict[str, Any]) -> list[SampledCompletion]:
        """Return samples without text, of a prompt that is refused. Raises UserError where all of them are."""
        long = any(word in message.lower() for word in ("context", "too long", "maximum length", "max_model_len"))
        kind = "context" if long or status == 413 else "refused"
        self.counts[kind] += n
        self._tell(f"a prompt was refused with {status}: {message}")
        if kind == "context" and self.good is None and await self._answers({**body, "max_tokens": 1}):
            must = f"no prompt leaves room for {self.settings.max_tokens} tokens"
            await self._nothing(body, must, message, "max_tokens", "lower it, or give the server a longer context")
        if kind == "refused" and not await self._alive():
            if self.good is not None:
                must = f"refuses with {status} what it answered before: {message}"
                do = "finished work is kept: mend the server or the account, then the same command again"
                raise UserError(f"{self.field}.server.urls", ", ".join(self.settings.server.urls), must, do)
            await self._nothing(body, f"the server refuses every request with {status}", message)
        return [SampledCompletion("", 0, kind)] * n

    async def _nothing(
        self, body: dict[str, Any], must: str, message: str, name: str = "server.body",
        do: str = "mend the sampling settings",
    ) -> None:  # fmt: skip
        """Hear of a prompt that has no answer. Raises UserError where so many had none, and no other had one."""
        self.refused.add(hash(json.dumps(body.get("messages") or body["prompt"])))
        while len(self.refused) >= ALL_REFUSED and self.good is None and any(e.busy for e in self.endpoints):
            await asyncio.sleep(0.05)  # others may still be answered
        if len(self.refused) >= ALL_REFUSED and self.good is None:
            value = self.settings.max_tokens if name == "max_tokens" else self.settings.server.body
            raise UserError(f"{self.field}.{name}", value, f"{must}: {message}", do)

    def _tell(self, text: str) -> None:
        """Say the first case of each kind; the counts say the rest."""
        kind = text[:32]
        if kind not in self.told:
            self.told.add(kind)
            print(f"note: {text}", file=sys.stderr, flush=True)

    def _read(self, content: bytes, n: int) -> list[SampledCompletion]:
        """Read the body of an answer. Raises ValueError and its like where it makes no sense."""
        answer = json.loads(content)
        choices = answer["choices"]
        if len(choices) < n:
            if len(choices) > 0 and n > 1:
                must = f"the server gave {len(choices)} of {n} samples: it does not know n"
                raise UserError(f"{self.field}.server.samples_per_request", n, must, "set it to 1")
            raise ValueError("no choices")
        usage = answer.get("usage") or {}
        asked, said = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
        said_apart = [self._text(choice) for choice in choices[:n]]
        texts = [_whole(text) for text, _ in said_apart]
        letters = sum(map(len, texts)) or 1
        reasons = [choice.get("finish_reason") for choice in choices[:n]]
        if cut := [reason for reason in reasons if reason in (None, *ABORTED)]:
            raise ValueError(f"a choice was cut off: {cut[0]}")
        reasons = [REASONS.get(str(reason), str(reason)) for reason in reasons]
        return [
            SampledCompletion(
                text, round(said * len(text) / letters), reason, (), asked if i == 0 else 0, said_apart[i][1]
            )
            for i, (text, reason) in enumerate(zip(texts, reasons, strict=True))
        ]

    def _text(self, choice: dict[str, Any]) -> tuple[str, int]:
        """Return a choice's text, with reasoning that a server has parted put back in tags, and the length of that."""
        if not self.chat:
            text = choice["text"]
            if not isinstance(text, str):
                raise ValueError("no text")
            return self.prompt.prefill + text, 0
        message = choice["message"]
        text, reasoning = message.get("content"), message.get("reasoning") or message.get("reasoning_content")
        if isinstance(text, list):  # parts, of which some are reasoning
            reasoning = reasoning or "".join(_words(p.get("thinking")) for p in text if p.get("type") == "thinking")
            text = "".join(_words(p.get("text")) for p in text if p.get("type") == "text")
        if text is None and reasoning is None and "content" not in message:
            raise ValueError("no content")
        text = text or ""
        if reasoning:
            closed = THINK_END if text or choice.get("finish_reason") != "length" else ""
            return f"{THINK_START}{reasoning}{closed}{text}", len(f"{THINK_START}{reasoning}{closed}")
        if self.prompt.prefill and not text.startswith(self.prompt.prefill):
            text = self.prompt.prefill + text
        # Some chat templates open the thinking themselves, and the text then begins within it.
        within = THINK_END in text and THINK_START not in text.partition(THINK_END)[0]
        self.opens = self.opens or within
        unfinished = (
            self.opens and choice.get("finish_reason") == "length" and THINK_START not in text and THINK_END not in text
        )
        return THINK_START + text if within or unfinished else text, 0


def _words(part: Any) -> str:
    """Return the text of a part of a message: text, or parts of its own."""
    return part if isinstance(part, str) else "".join(_words(p.get("text")) for p in part or [])


def _whole(text: str) -> str:
    """Return a text with U+FFFD for each half of a surrogate pair that stands alone, which no file can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _seed(seed: int, prompt: int, sample: int) -> int:
    """Return a seed of 31 bits, which every server takes."""
    digest = hashlib.sha256(f"{seed}/{prompt}/{sample}".encode()).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFFFFFF


def _seconds(text: str | None) -> float | None:
    """Read Retry-After, in seconds; a date is left to the usual pause."""
    try:
        return min(10 * LONGEST_PAUSE, max(0.0, float(text or "")))
    except ValueError:
        return None


def _message(content: bytes) -> str:
    """Return what a server says is wrong, in one line."""
    try:
        answer = json.loads(content)
        error = answer.get("error", answer)
        text = error.get("message", error) if isinstance(error, dict) else error
        text = answer.get("detail", text) if "error" not in answer else text
    except (ValueError, AttributeError):
        text = content[:200].decode(errors="replace")
    return " ".join(str(text).split())[:200]
