"""The servers that a judge runs on: what is asked, what it may cost, and what becomes of a request that fails.

A request without a verdict is a fault, and never a low score: the server failed or refused it, or the reply could not
be read. Each kind of fault is said once. If not one request of a process was answered, or three calls in a row got no
verdict at all, the run ends, since it would train on nothing; the same command resumes it.
"""

import atexit
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from r1kit.errors import UserError
from r1kit.messages import logger
from r1kit.rewards.judge_ledger import JudgeLedger, reply_key
from r1kit.rewards.judge_prompts import UnreadableVerdict
from r1kit.rewards.settings import SettingError
from r1kit.synonyms import KEYS, words_meaning

if TYPE_CHECKING:
    from r1kit.recipe import BudgetConfig, SamplingConfig, ServerConfig

Verdict = TypeVar("Verdict")

FIELD = "rewards.judge"
MAX_EMPTY_CALLS = 3
"""Calls in a row without a single verdict after which the run ends."""
TOKENS_PER_PRICE = 1e6  # prices are quoted for a million tokens
# Finish reasons of a request without a completion, and what a warning says of them.
_FAILED_REASONS = {
    "context": "are longer than the judge's context",
    "refused": "were refused by the server",
    "failed": "got no answer that makes sense",
}


@dataclass(frozen=True)
class JudgeSettings:
    """How the judge is asked; all of it can be compared, so that equal settings share connections and replies."""

    model: str
    server: str
    """The recipe's block `server`, as JSON."""
    budget: str
    """The recipe's block `budget`, as JSON."""
    cache: str | None
    temperature: float
    max_tokens: int

    def server_config(self) -> "ServerConfig":
        """Return the block `server`. Raises SettingError for a field that it cannot have."""
        from r1kit.recipe import ServerConfig

        return _parse_block(ServerConfig, "server", self.server)

    def budget_config(self) -> "BudgetConfig":
        """Return the block `budget`. Raises SettingError for a field that it cannot have."""
        from r1kit.recipe import BudgetConfig

        return _parse_block(BudgetConfig, "budget", self.budget)

    def sampling_config(self) -> "SamplingConfig":
        from r1kit.recipe import SamplingConfig

        settings: Any = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        return SamplingConfig(engine="openai", server=self.server_config(), **settings)


def _parse_block(block_class: Any, name: str, values: str) -> Any:
    from pydantic import ValidationError

    fields = json.loads(values)
    if not isinstance(fields, dict):
        raise SettingError("judge", name, fields, "must be a block of fields")
    try:
        return block_class(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join([name, *map(str, first["loc"])])
        requirement = first["msg"].removeprefix("Value error, ")
        field_names = ", ".join(block_class.model_fields)
        if first["type"] == "extra_forbidden":
            names = words_meaning(KEYS, str(first["loc"][-1]))
            similar_fields = [key.rpartition(".")[2] for key in names if key.startswith(f"sampling.{name}.")]
            requirement = f"no such field; use one of: {field_names}"
            if similar_fields:
                requirement = f"no such field; did you mean {similar_fields[0]}?"
        raise SettingError("judge", path, first["input"], requirement) from None


class JudgeServer:
    """Ask the judge of one recipe, within its budget; replies are kept in its ledger."""

    def __init__(self, settings: JudgeSettings):
        """Connect to the servers. Raises UserError if one of them does not answer."""
        from r1kit.recipe import PromptConfig
        from r1kit.servers.client import ServerClient

        self.settings = settings
        self.budget = settings.budget_config()
        self.ledger = JudgeLedger(settings.cache)
        prompt = PromptConfig(template="chat")
        sampling = settings.sampling_config()
        self.client = ServerClient(settings.model, prompt, sampling, FIELD, model_field=f"{FIELD}.model")
        atexit.register(self.client.close)  # or aiohttp would complain of open connections
        self.has_answered = False
        self.empty_calls = 0
        self.reported_kinds: set[str] = set()
        self._lock = threading.Lock()

    def ask(self, requests: Sequence[str], read: Callable[[str], Verdict]) -> list[Verdict | None]:
        """Return the verdict on each request, None where there is none; `read` finds it in a reply.

        `read` raises UnreadableVerdict where a reply has none. Raises UserError where the budget is spent, and where
        the servers no longer answer.
        """
        verdicts: list[Verdict | None] = [None] * len(requests)
        keys = [reply_key(self._identify(request)) for request in requests]
        open_requests: dict[str, list[int]] = {}  # what is not known yet, each asked once
        for i, key in enumerate(keys):
            verdicts[i] = self._find_verdict(key, read)
            if verdicts[i] is None:
                open_requests.setdefault(key, []).append(i)
        if open_requests:
            self._ask_servers(requests, open_requests, read, verdicts)
        return verdicts

    def _find_verdict(self, key: str, read: Callable[[str], Verdict]) -> Verdict | None:
        """Return the verdict of a reply that is kept; None without one, and for a file that others have written to."""
        reply = self.ledger.find(key)
        if reply is None:
            return None
        try:
            return read(reply)
        except UnreadableVerdict:
            return None

    def _identify(self, request: str) -> dict[str, Any]:
        """Return all that a reply depends on, where the addresses of the servers are excepted.

        The names in `server.models` are those that are really sent; which server answers is not known before.
        """
        settings = self.settings
        return {
            "model": settings.model,
            "models": sorted(set(settings.server_config().models)),
            "request": request,
            "temperature": settings.temperature,
            "max_tokens": settings.max_tokens,
            "body": json.loads(settings.server).get("body", {}),
        }

    def _ask_servers(
        self,
        requests: Sequence[str],
        open_requests: Mapping[str, Sequence[int]],
        read: Callable[[str], Verdict],
        verdicts: list[Verdict | None],
    ) -> None:
        """Ask what is open, and fill in the verdicts."""
        keys = list(open_requests)
        faults: Counter[str] = Counter()
        counts: Counter[str] = Counter()  # of requests: `sent`, and `back`
        error: UserError | None = None
        batches = self._batches([requests[open_requests[key][0]] for key in keys], keys, counts)
        try:
            for index, groups in self.client.stream(batches, group_size=1):
                sample = groups[0][0]
                counts["back"] += 1
                if sample.finish_reason in _FAILED_REASONS:
                    faults[f"requests {_FAILED_REASONS[sample.finish_reason]}"] += 1
                    continue
                self.ledger.spend(sample.prompt_tokens, sample.tokens)
                self.has_answered = True
                try:
                    verdict = read(sample.text)
                except UnreadableVerdict as reason:
                    faults[f"replies could not be read ({reason})"] += 1
                    continue
                self.ledger.keep(keys[index], sample.text)
                for i in open_requests[keys[index]]:
                    verdicts[i] = verdict
        except UserError as failure:
            error = failure
        has_verdict = any(verdicts[positions[0]] is not None for positions in open_requests.values())
        if error is None and counts["sent"] < len(keys):
            raise self._budget_error()
        self._note(faults, has_verdict, error)

    def _batches(self, requests: Sequence[str], keys: Sequence[str], counts: Counter[str]) -> Iterator[Any]:
        """Yield a batch of one request after the other, while the budget covers it and those under way."""
        from r1kit.completions import PromptBatch

        for index, (request, key) in enumerate(zip(requests, keys, strict=True)):
            while not self._can_afford(counts["sent"] - counts["back"]):
                if counts["sent"] == counts["back"]:
                    return  # not even one more is covered
                yield None  # until a request has come back
            counts["sent"] += 1
            yield PromptBatch(index, [[{"role": "user", "content": request}]], seed=int(key[:7], 16))

    def _can_afford(self, open_count: int) -> bool:
        """Return whether the budget covers the requests under way and one more, at the mean cost of those before."""
        answered, _, _ = self.ledger.total()
        for _, limit, spent in self._limits():
            if answered == 0:
                return open_count == 0  # what one costs is not known yet
            if spent + (open_count + 1) * spent / answered > limit:
                return False
        return True

    def _limits(self) -> list[tuple[str, float, float]]:
        """Return the limits of the budget, each with its name and what is spent of it."""
        _, prompt_tokens, tokens = self.ledger.total()
        limits = []
        if self.budget.tokens:
            limits.append(("tokens", float(self.budget.tokens), float(prompt_tokens + tokens)))
        if self.budget.cost:
            cost = prompt_tokens * self.budget.input_price + tokens * self.budget.output_price
            limits.append(("cost", self.budget.cost, cost / TOKENS_PER_PRICE))
        return limits

    def _budget_error(self) -> UserError:
        name, limit, spent = max(self._limits(), key=lambda entry: entry[2] / entry[1])
        requirement = f"covers no further request of the judge, since {spent:g} are spent"
        action = "raise it, then run the same command again: what is judged is kept"
        return UserError(f"{FIELD}.budget.{name}", f"{limit:g}", requirement, action)

    def _note(self, faults: Counter[str], has_verdict: bool, error: UserError | None) -> None:
        """Say each kind of fault once. Raises UserError where the run would train on nothing."""
        with self._lock:
            for kind, count in faults.items():
                if kind not in self.reported_kinds:
                    self.reported_kinds.add(kind)
                    logger.warning(f"judge: {count} {kind}; such rows are left out and counted as faults")
            self.empty_calls = 0 if has_verdict else self.empty_calls + 1
            if error is not None and not self.has_answered:
                raise error
            if error is not None and "error" not in self.reported_kinds:
                self.reported_kinds.add("error")
                logger.warning(f"judge: {error}; rows without a verdict are left out and counted as faults")
            if self.empty_calls < MAX_EMPTY_CALLS:
                return
        if error is not None:
            raise error
        kinds = "; ".join(f"{count} {kind}" for kind, count in faults.most_common(2)) or "no request was answered"
        requirement = f"gave no verdict in {MAX_EMPTY_CALLS} calls in a row ({kinds})"
        action = "use a judge that keeps to the form, or a longer max_tokens, then run the same command again"
        raise UserError(f"{FIELD}.model", self.settings.model, requirement, action)


def connect_judge(settings: JudgeSettings) -> JudgeServer:
    """Return the judge with these settings, which each process connects to once. Raises UserError."""
    with _connecting_lock:
        return _connect(settings, os.getpid())


_connecting_lock = threading.Lock()


@lru_cache(maxsize=4)
def _connect(settings: JudgeSettings, _process: int) -> JudgeServer:
    return JudgeServer(settings)
