"""An OpenAI-compatible server on the loopback that answers at once and misbehaves by plan, for tests and benchmarks.

    python tests/loopback.py PORT_FILE '{"faults": {"429": 0.05}, "seed": 1}'

It solves the sums and differences of whole numbers that it is asked, and answers the same request with the same text.
Which request meets a fault is drawn anew for each request, so that another attempt may meet none.

Settings:

    seed                 of the faults
    faults               the fraction of requests with each of 429, 500, timeout, cut, malformed, empty, silent
    fault_seconds        how long a request with the fault `timeout` hangs
    answer_seconds       how long an answer takes
    wrong_fraction       the fraction of wrong answers
    script               a JSON file of {question: [completion, ...]}: a prompt is answered by the completions of the
                         question that it has last, one after the other, and by "" if it has none
    replies              pairs of a regular expression and the reply to prompts in which it is found; the first counts
    style                `teacher`: answer in the form that `refine:` asks for
    reasoning_field      where reasoning is returned: `text` (in the text), `reasoning` or `reasoning_content`
    logprobs             the log-probabilities of each answer's tokens, for requests that ask for them
    logprobs_form        `tokens`: {"token_logprobs": [...]}; `content`: [{"logprob": ...}]; default: by the interface
    supports_n           whether `n` of a request is heeded
    models               the names of the models that are listed; default: none
    serves_listed_only   whether requests for other models are answered with 404
    key                  the only key that is accepted
    error_text           prompts with this text are answered with 500
    busy_text            prompts with this text are answered with 429
    refused_text         prompts with this text are answered with 400
    refuses_all          every request is answered with 400
    unknown_fields       requests with one of these fields are answered with 400
    strict_like          `transformers`: unknown fields are refused as by `transformers serve`, with 422
    max_prompt_chars     longer prompts are refused as beyond the context
    max_tokens_limit     requests for more tokens are refused as beyond the context
    paid_requests        after so many requests, all are answered with `unpaid_status`
    counts_answers       whether requests are kept to find repeated ones (they fill the memory of a benchmark)
    port                 the port; default: a free one
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
NEVER_IN_A_PROMPT = "\0"
UNLIMITED = 10**9


def solve_sum(text: str) -> int:
    """Return the value of the last sum in a text."""
    sums = SUM.findall(text)
    if not sums:
        return 0
    terms = re.findall(r"[+-]?\s*\d+", sums[-1])
    return sum(int(term.replace(" ", "")) for term in terms)


def prompt_text(body: dict) -> str:
    """Return the text of a request's prompt or of its last message."""
    return body.get("prompt") or body["messages"][-1]["content"]


def error_response(message: str, status: int, **headers: str) -> web.Response:
    """Return an error in OpenAI's form."""
    return web.json_response({"error": {"message": message}}, status=status, headers=headers)


def _end_of(question: str, text: str) -> int:
    """Return where the last occurrence of a question in a text ends; -1 without one."""
    start = text.rfind(question)
    return start + len(question) if start >= 0 else -1


class Server:
    """Count requests, and answer them."""

    def __init__(self, settings: dict):
        self.settings = settings
        self.rng = random.Random(settings.get("seed", 0))
        self.counts: Counter = Counter()
        self.answered_requests: Counter = Counter()
        self.open_requests = 0
        self.last_body: dict = {}
        script = settings.get("script")
        self.script: dict[str, list[str]] = json.loads(Path(script).read_text()) if script else {}
        self.scripted_answers: Counter = Counter()

    def application(self) -> web.Application:
        app = web.Application(client_max_size=2**24)
        app.router.add_get("/v1/models", self.list_models)
        app.router.add_get("/counts", self.show_counts)
        app.router.add_get("/body", self.show_body)
        app.router.add_post("/v1/completions", self.complete)
        app.router.add_post("/v1/chat/completions", self.complete)
        return app

    async def list_models(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": name} for name in self.settings.get("models", [])]})

    async def show_counts(self, request: web.Request) -> web.Response:
        repeated = sum(count > 1 for count in self.answered_requests.values())
        return web.json_response({**self.counts, "different": len(self.answered_requests), "repeated": repeated})

    async def show_body(self, request: web.Request) -> web.Response:
        """Return the last request that was answered."""
        return web.json_response(self.last_body)

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.counts["requests"] += 1
        self.open_requests += 1
        self.counts["most_at_once"] = max(self.counts["most_at_once"], self.open_requests)
        try:
            fault = self._draw_fault()
            if fault:
                return await self._misbehave(fault, request)
            refusal = self._refuse(body, request)
            if refusal is not None:
                return refusal
            await asyncio.sleep(self.settings.get("answer_seconds", 0.0))
            if self.settings.get("counts_answers", True):
                self.answered_requests[json.dumps(body, sort_keys=True)] += 1
            self.last_body = body
            return web.json_response(self._answer(body))
        finally:
            self.open_requests -= 1

    def _draw_fault(self) -> str | None:
        remaining = self.rng.random()
        for name in FAULTS:
            remaining -= self.settings.get("faults", {}).get(name, 0.0)
            if remaining < 0:
                return name
        return None

    async def _misbehave(self, fault: str, request: web.Request) -> web.StreamResponse:
        self.counts[fault] += 1
        if fault == "429":
            return error_response("slow down", 429, **{"Retry-After": "0.05"})
        if fault == "500":
            return web.Response(text="internal error", status=500)
        if fault == "timeout":
            await asyncio.sleep(self.settings.get("fault_seconds", 3.0))
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

    def _refuse(self, body: dict, request: web.Request) -> web.Response | None:
        """Return the error that the settings plan for this request, if any."""
        settings = self.settings
        text = prompt_text(body)
        if settings.get("key") and request.headers.get("Authorization") != f"Bearer {settings['key']}":
            return error_response("bad key", 401)
        if settings.get("error_text", NEVER_IN_A_PROMPT) in text:
            return web.Response(text="internal error", status=500)
        if settings.get("busy_text", NEVER_IN_A_PROMPT) in text:
            return error_response("slow down", 429)
        if settings.get("refused_text", NEVER_IN_A_PROMPT) in text:
            return error_response("no such thing", 400)
        if self.counts["requests"] > settings.get("paid_requests", UNLIMITED):
            return error_response("no credit left", settings["unpaid_status"])
        if settings.get("refuses_all"):
            return error_response("unknown field: top_k", 400)
        if settings.get("serves_listed_only") and body["model"] not in settings["models"]:
            return error_response(f"The model `{body['model']}` does not exist.", 404)
        unknown = [name for name in settings.get("unknown_fields", ()) if name in body]
        if unknown and settings.get("strict_like") == "transformers":
            return web.json_response({"detail": f"Unexpected fields in the request: {set(unknown)}"}, status=422)
        if unknown:
            return error_response(f"Unrecognized request argument supplied: {unknown[0]}", 400)
        if len(text) > settings.get("max_prompt_chars", UNLIMITED):
            return error_response("This model's maximum context length is 64 tokens", 400)
        if (body.get("max_tokens") or 0) > settings.get("max_tokens_limit", UNLIMITED):
            return error_response("max_tokens is too large: this model's maximum context length is 64 tokens", 400)
        return None

    def _answer(self, body: dict) -> dict:
        text = prompt_text(body)
        if self.script:
            return self._answer_by_script("messages" in body, text, body.get("n") or 1)
        supports_n = self.settings.get("supports_n", True)
        choices = []
        for index in range(body.get("n", 1) if supports_n else 1):
            # Drawn from the request alone, so that the same request has the same answer.
            rng = random.Random(hashlib.sha256(f"{text}/{body.get('seed')}/{index}".encode()).digest())
            thinking, answer = self._write_completion(text, rng)
            choice = self._make_choice("messages" in body, thinking, answer, index)
            # As llama.cpp reads it: 0 asks for none.
            if body.get("logprobs") and "logprobs" in self.settings:
                choice["logprobs"] = self._write_logprobs("messages" in body)
            choices.append(choice)
        words = sum(len(json.dumps(choice).split()) for choice in choices)
        return {"choices": choices, "usage": {"prompt_tokens": len(text.split()), "completion_tokens": words}}

    def _answer_by_script(self, is_chat: bool, text: str, count: int) -> dict:
        """Return the next `count` completions of the question that stands last in the prompt."""
        # The longer one of two questions that end at the same place contains the other.
        question = max(self.script, key=lambda question: (_end_of(question, text), len(question)))
        choices = []
        for index in range(count):
            completions = self.script[question] if question in text else [""]
            completion = completions[self.scripted_answers[question] % len(completions)]
            self.scripted_answers[question] += 1
            choices.append(self._make_choice(is_chat, "", completion, index))
        prompt_tokens = len(text.split())
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": 1, "total_tokens": prompt_tokens + 1}
        return {"model": "scripted", "choices": choices, "usage": usage}

    def _write_logprobs(self, is_chat: bool) -> dict:
        values = self.settings["logprobs"]
        form = self.settings.get("logprobs_form", "content" if is_chat else "tokens")
        if form == "tokens":
            return {"tokens": ["a"] * len(values), "token_logprobs": values}
        return {"content": [{"token": "a", "logprob": value, "top_logprobs": []} for value in values]}

    def _write_completion(self, text: str, rng: random.Random) -> tuple[str, str]:
        """Return the thinking and the rest of a completion."""
        for pattern, reply in self.settings.get("replies", []):
            if re.search(pattern, text):
                return "", reply
        answer = solve_sum(text)
        if rng.random() < self.settings.get("wrong_fraction", 0.0):
            answer += rng.randint(1, 9)
        if self.settings.get("style") == "teacher":
            steps = "We add the numbers one after the other, and look at the total that this makes in the end."
            return "", f"<think>{steps}</think><summary>The total is {answer}.</summary><answer>{answer}</answer>"
        return f" adding gives {answer} .", f"<answer> {answer}</answer>"

    def _make_choice(self, is_chat: bool, thinking: str, answer: str, index: int) -> dict:
        text = f"<think>{thinking}</think>{answer}" if thinking else answer
        if not is_chat:
            return {"index": index, "text": text, "finish_reason": "stop"}
        reasoning_field = self.settings.get("reasoning_field", "text")
        if reasoning_field == "text":
            message = {"role": "assistant", "content": text}
        else:
            message = {"role": "assistant", "content": answer, reasoning_field: thinking}
        return {"index": index, "message": message, "finish_reason": "stop"}


async def serve(port_file: Path, settings: dict) -> None:
    """Serve on the loopback, and write the port to a file."""
    runner = web.AppRunner(Server(settings).application(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", settings.get("port", 0))
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    # Renamed into place, so that nobody reads half a number.
    temporary = port_file.with_suffix(".tmp")
    temporary.write_text(str(port))
    temporary.rename(port_file)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}))
