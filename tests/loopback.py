"""An OpenAI-compatible server on the loopback that answers at once, and misbehaves by plan. For tests and benchmarks.

    python tests/loopback.py PORT_FILE '{"faults": {"429": 0.05}, "seed": 1}'

It solves the sums and differences of whole numbers that it is asked; it answers the same request with the same text.
Which fault a request meets depends on a count of its own, so that a further try may meet none. Settings: `faults`, the
share of each of 429, 500, timeout, cut, malformed, empty, silent; `wrong`, the share of wrong answers; `seconds`, how
long an answer takes; `room`, the most tokens that may be asked for; `poison`, `busy` and `bad`, texts that are met
with 500, 429 and 400; `credit`, how many requests are answered before each is refused with `drained`; `field`, where
reasoning goes (reasoning, reasoning_content or text); `style`, what is answered.
"""

import asyncio
import hashlib
import json
import random
import re
import sys
from collections import Counter
from pathlib import Path

from aiohttp import web

FAULTS = ("429", "500", "timeout", "cut", "malformed", "empty", "silent")
SUM = re.compile(r"-?\d+(?:\s*[+-]\s*\d+)+")


def solve(text: str) -> int:
    """The value of the last sum in a text."""
    found = SUM.findall(text)
    return sum(int(part.replace(" ", "")) for part in re.findall(r"[+-]?\s*\d+", found[-1])) if found else 0


class Server:
    """Counts what it is asked, and answers it."""

    def __init__(self, settings: dict):
        self.settings = settings
        self.rng = random.Random(settings.get("seed", 0))
        self.counts: Counter = Counter()
        self.answered: Counter = Counter()
        self.under_way = 0

    def application(self) -> web.Application:
        app = web.Application(client_max_size=2**24)
        app.router.add_get("/v1/models", self.models)
        app.router.add_get("/stats", self.stats)
        app.router.add_post("/v1/completions", self.complete)
        app.router.add_post("/v1/chat/completions", self.complete)
        return app

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "loopback"}]})

    async def stats(self, request: web.Request) -> web.Response:
        twice = sum(n > 1 for n in self.answered.values())
        return web.json_response({**self.counts, "different": len(self.answered), "twice": twice})

    def _fault(self) -> str | None:
        draw = self.rng.random()
        for name in FAULTS:
            draw -= self.settings.get("faults", {}).get(name, 0.0)
            if draw < 0:
                return name
        return None

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.counts["asked"] += 1
        self.under_way += 1
        self.counts["at_once"] = max(self.counts["at_once"], self.under_way)
        try:
            if fault := self._fault():
                return await self._misbehave(fault, request)
            if self.settings.get("key") and request.headers.get("Authorization") != f"Bearer {self.settings['key']}":
                return web.json_response({"error": {"message": "bad key"}}, status=401)
            text = body.get("prompt") or body["messages"][-1]["content"]
            if self.settings.get("poison", "\0") in text:
                return web.Response(text="internal error", status=500)
            if self.settings.get("busy", "\0") in text:
                return web.json_response({"error": {"message": "slow down"}}, status=429)
            if self.settings.get("bad", "\0") in text:
                return web.json_response({"error": {"message": "no such thing"}}, status=400)
            if self.counts["asked"] > self.settings.get("credit", 10**9):
                return web.json_response({"error": {"message": "no credit left"}}, status=self.settings["drained"])
            if refused := self._refused(body):
                return web.json_response({"error": {"message": refused}}, status=400)
            await asyncio.sleep(self.settings.get("seconds", 0.0))
            if self.settings.get("count", True):
                self.answered[json.dumps(body, sort_keys=True)] += 1
            return web.json_response(self._answer(body))
        finally:
            self.under_way -= 1

    async def _misbehave(self, fault: str, request: web.Request) -> web.StreamResponse:
        self.counts[fault] += 1
        if fault == "429":
            return web.json_response({"error": {"message": "slow down"}}, status=429, headers={"Retry-After": "0.05"})
        if fault == "500":
            return web.Response(text="internal error", status=500)
        if fault == "timeout":
            await asyncio.sleep(self.settings.get("hang", 3.0))
            return web.Response(text="{}")
        if fault == "cut":
            response = web.StreamResponse(headers={"Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b'{"choices": [{"text": "<think>')
            assert request.transport
            request.transport.close()
            return response
        if fault == "empty":
            return web.json_response({"choices": [], "usage": {}})
        if fault == "silent":
            return web.json_response({"choices": [{"message": {"content": None}, "finish_reason": "stop"}]})
        return web.Response(text='{"choices": [{"te', content_type="application/json")

    def _refused(self, body: dict) -> str | None:
        text = body.get("prompt") or body["messages"][-1]["content"]
        if self.settings.get("refuse"):
            return "unknown field: top_k"
        if len(text) > self.settings.get("context", 10**9):
            return "This model's maximum context length is 64 tokens"
        if body["max_tokens"] > self.settings.get("room", 10**9):
            return "max_tokens is too large: this model's maximum context length is 64 tokens"
        return None

    def _answer(self, body: dict) -> dict:
        chat = "messages" in body
        text = body["messages"][-1]["content"] if chat else body["prompt"]
        choices = []
        for i in range(body.get("n", 1) if self.settings.get("knows_n", True) else 1):
            drawn = random.Random(hashlib.sha256(f"{text}/{body.get('seed')}/{i}".encode()).digest())
            thinking, answer = self._said(text, drawn)
            choices.append(self._choice(chat, thinking, answer, i))
        words = sum(len(json.dumps(c).split()) for c in choices)
        return {"choices": choices, "usage": {"prompt_tokens": len(text.split()), "completion_tokens": words}}

    def _said(self, text: str, drawn: random.Random) -> tuple[str, str]:
        right = solve(text)
        answer = right + (drawn.randint(1, 9) if drawn.random() < self.settings.get("wrong", 0.0) else 0)
        if self.settings.get("style") == "teacher":
            steps = "We add the numbers one after the other, and look at the total that this makes in the end."
            return "", f"<think>{steps}</think><summary>The total is {answer}.</summary><answer>{answer}</answer>"
        return f" adding gives {answer} .", f"<answer> {answer}</answer>"

    def _choice(self, chat: bool, thinking: str, answer: str, index: int) -> dict:
        whole = f"<think>{thinking}</think>{answer}" if thinking else answer
        if not chat:
            return {"index": index, "text": whole, "finish_reason": "stop"}
        field = self.settings.get("field", "text")
        message = {"role": "assistant", "content": whole if field == "text" else answer}
        if field != "text":
            message[field] = thinking
        return {"index": index, "message": message, "finish_reason": "stop"}


async def serve(port_file: Path, settings: dict) -> None:
    """Serve on a free port of the loopback, or on `port`, which is written to a file."""
    runner = web.AppRunner(Server(settings).application(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", settings.get("port", 0))
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    temporary = port_file.with_suffix(".tmp")
    temporary.write_text(str(port))
    temporary.rename(port_file)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}))
