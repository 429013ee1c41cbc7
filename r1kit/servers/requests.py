"""What goes to an OpenAI-compatible server and what comes back: request bodies, responses, and kinds of errors.

Nothing here opens a connection. r1kit/servers/client.py sends the requests; unanswered.py decides what an error means.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from r1kit.completions import Prompt, SampledCompletion
from r1kit.errors import UserError
from r1kit.messages import logger
from r1kit.prompts import CHAT_TEMPLATE, THINKING_TAGS
from r1kit.recipe import PromptConfig, SamplingConfig

THINK_START, THINK_END = THINKING_TAGS

# HTTP statuses after which another attempt may succeed. 404 is not among them: a hosted server that lacks the model
# would be asked again and again.
RETRYABLE_STATUSES = {408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529}
# Of those: the server has too much to do, which says nothing about the request.
BUSY_STATUSES = {429, 503, 529}
# HTTP statuses that no other request will avoid, with what they mean ("" where the server's own message says more).
FATAL_STATUSES = {
    401: "the key is refused",
    402: "the account is empty",
    403: "access is refused",
    404: "there is no such model or interface",
    405: "",
}
CONTEXT_STATUS = 413  # the request is too large
# Words in a server's message by which a prompt that is too long is recognised: servers agree on no error code for it.
CONTEXT_PHRASES = ("context", "too long", "maximum length", "max_model_len")

# Other names that servers use for the two finish reasons.
FINISH_REASONS = {
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "end_turn": "stop",
    "max_tokens": "length",
}
# Finish reasons of a choice that the server broke off: not a completion.
ABORTED_REASONS = ("error", "abort", "insufficient_system_resource")

SEED_BITS = 0x7FFFFFFF  # 31 bits, which every server accepts
MAX_MESSAGE_CHARS = 200
MAX_VALUE_CHARS = 80
MAX_MODEL_NAMES = 5  # in a line
MAX_RETRY_AFTER = 600.0  # seconds; a server that asks for more is asked sooner
MAX_RESPONSE_BYTES = 2**26  # 64 MiB: the longest completions with their reasoning are a hundredth of that
MAX_PROMPT_TOKENS = 2**31
SMALLEST_LOGPROB = -1e6  # a sampled token has no smaller one
LOGPROB_ROUNDING = 1e-3  # by which a log-probability may be above 0
LOGPROB_BYTES = 512  # at most, of a token in a response: its text, its bytes, its log-probability and the likeliest one


class RetryableError(Exception):
    """A failed attempt after which another one may succeed.

    `kind` is `busy` (too many requests), `server` (an error status, a time-out, a cut connection) or `body` (a response
    that makes no sense). `retry_after` is the pause in seconds that the server asked for.
    """

    def __init__(self, kind: str, reason: str, retry_after: float | None = None):
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.retry_after = retry_after


class UnusableResponse(ValueError):
    """A response with a status of success that holds no completions."""


def request_seed(batch_seed: int, prompt_index: int, sample_index: int) -> int:
    """Return the seed of a request; it stays the same when a run is resumed."""
    digest = hashlib.sha256(f"{batch_seed}/{prompt_index}/{sample_index}".encode()).digest()
    return int.from_bytes(digest[:4], "big") & SEED_BITS


def read_retry_after(header: str | None) -> float | None:
    """Return the seconds of a Retry-After header; None for a date, for which the usual pause is used."""
    try:
        return max(0.0, float(header or ""))
    except ValueError:
        return None


def read_error_message(content: bytes) -> str:
    """Return in one line what a server says is wrong: of `{"error": {"message": ...}}`, `{"detail": ...}` or text."""
    try:
        body = json.loads(content)
        error = body.get("error", body)
        message = error.get("message", error) if isinstance(error, dict) else error
        if "error" not in body:
            message = body.get("detail", message)
    except (ValueError, AttributeError, RecursionError):
        message = content[:MAX_MESSAGE_CHARS].decode(errors="replace")
    return " ".join(str(message).split())[:MAX_MESSAGE_CHARS]


def read_model_names(content: bytes) -> list[str] | None:
    """Return the names of the models that a server lists; None for what is not in the form of OpenAI's interface."""
    try:
        return [str(entry["id"]) for entry in json.loads(content)["data"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def join_model_names(names: Sequence[str]) -> str:
    """Return the first names of models, and how many others there are."""
    more = f" and {len(names) - MAX_MODEL_NAMES} more" if len(names) > MAX_MODEL_NAMES else ""
    return ", ".join(names[:MAX_MODEL_NAMES]) + more


def explain_missing_path(url: str) -> str:
    """Return what to write for an address that ends at its host and answers 404; "" for an address with a path."""
    has_path = bool(urlsplit(url).path.strip("/"))
    return "" if has_path else f"write {url.rstrip('/')}/v1: the address may lack /v1"


def is_model_refusal(status: int, message: str, model_name: str) -> bool:
    """Return whether a server refuses a request because it does not serve the model."""
    return status == 404 or (status in (400, 422) and model_name in message)


def is_context_error(status: int, message: str) -> bool:
    """Return whether a server refuses a request because the prompt does not fit into the model's context."""
    return status == CONTEXT_STATUS or any(phrase in message.lower() for phrase in CONTEXT_PHRASES)


class RequestFormat:
    """Build request bodies and parse responses of one model on one interface (chat/completions or completions)."""

    def __init__(self, model_name: str, prompt_config: PromptConfig, sampling_config: SamplingConfig, field: str):
        """`field` is the name of `sampling_config` in the recipe. Raises UserError if the interface does not fit."""
        self.model_name = model_name
        self.prompt_config = prompt_config
        self.sampling_config = sampling_config
        self.field = field
        uses_chat_template = prompt_config.template == CHAT_TEMPLATE
        endpoint = sampling_config.server.endpoint
        self.is_chat = endpoint == "chat" or (endpoint == "auto" and uses_chat_template)
        if uses_chat_template and not self.is_chat:
            requirement = "cannot send chat messages, and prompt.template=chat makes messages of every prompt"
            raise UserError(f"{field}.server.endpoint", endpoint, requirement, "use auto or chat")
        # Whether the server's chat template starts the thinking itself; learnt from the first response that shows it.
        self.template_opens_thinking = False
        self.has_noted_usage = False
        self.noted_models: set[str] = set()
        # What asks for log-probabilities; {} where nothing uses them, as those of a teacher's replies.
        self.logprobs_field: dict[str, Any] = {}
        if sampling_config.server.logprobs and field == "sampling":
            # 1, though the sampled token alone would do: for llama.cpp 0 means none.
            self.logprobs_field = {"logprobs": True if self.is_chat else 1}

    @property
    def url_path(self) -> str:
        return "chat/completions" if self.is_chat else "completions"

    @property
    def logprob_bytes(self) -> int:
        """The most bytes that the log-probabilities of a response take."""
        tokens = self.sampling_config.max_tokens * self.sampling_config.server.samples_per_request
        return tokens * LOGPROB_BYTES if self.logprobs_field else 0

    def build_body(self, prompt: Prompt, seed: int, samples: int) -> dict[str, Any]:
        """Return the JSON body of a request for `samples` completions of a prompt.

        What the recipe leaves off is added by r1kit/servers/defaults.py.
        """
        config = self.sampling_config
        body: dict[str, Any] = {
            "model": self.model_name,
            "max_tokens": config.max_tokens,
            "temperature": config.temperature,
            "top_p": config.top_p,
            "stream": False,
        }
        if config.server.seeds:
            body["seed"] = seed
        # Not every server knows it, so that it is sent only if it is needed.
        if samples > 1:
            body["n"] = samples
        if self.is_chat:
            body |= self._build_messages(prompt)
        else:
            body["prompt"] = prompt
        return {**body, **config.server.body}

    def _build_messages(self, prompt: Prompt) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
        if self.prompt_config.prefill and not isinstance(prompt, str):
            messages.append({"role": "assistant", "content": self.prompt_config.prefill})
            fields |= {"continue_final_message": True, "add_generation_prompt": False}
        elif messages[-1].get("role") == "assistant":  # a message that the completion goes on with
            fields |= {"continue_final_message": True, "add_generation_prompt": False}
        if self.prompt_config.template_settings:
            fields["chat_template_kwargs"] = self.prompt_config.template_settings
        return {**fields, "messages": messages}

    def parse_response(self, content: bytes, samples: int) -> list[SampledCompletion]:
        """Return the completions of a response.

        Raises UnusableResponse if the response makes no sense, and UserError if the server ignores `n`.
        """
        try:
            return self._parse(json.loads(content), samples)
        except (UserError, UnusableResponse):
            raise
        except KeyError as error:
            raise UnusableResponse(f"it has no {error}") from None
        except RecursionError:
            raise UnusableResponse("its JSON is nested too deeply") from None
        except Exception as error:  # it may hold any value in any place
            raise UnusableResponse(str(error)) from None

    def _parse(self, response: dict[str, Any], samples: int) -> list[SampledCompletion]:
        if not isinstance(response, dict):
            raise UnusableResponse("it is no JSON object")
        if response.get("error"):
            raise UnusableResponse(f"it holds an error: {read_error_message(json.dumps(response).encode())}")
        choices = self._read_choices(response, samples)
        texts = []
        reasoning_chars = []
        for choice in choices:
            text, reasoning = self._read_text(choice)
            texts.append(_replace_lone_surrogates(text))
            reasoning_chars.append(reasoning)
        finish_reasons = [_read_finish_reason(choice) for choice in choices]
        self._note_model(response.get("model"))
        usage = response.get("usage")
        usage = usage if isinstance(usage, dict) else {}
        prompt_tokens = self._read_token_count(usage.get("prompt_tokens"), MAX_PROMPT_TOKENS) or 0
        # Twice the limit, since some servers count tokens that they do not return.
        longest = 2 * samples * max(1, self.sampling_config.max_tokens)
        completion_tokens = self._read_token_count(usage.get("completion_tokens"), longest)
        if completion_tokens is None:  # the words of the texts stand for the tokens
            completion_tokens = sum(len(text.split()) for text in texts)
        # A server counts the tokens of all choices together; each gets a share by its characters.
        all_chars = sum(map(len, texts)) or 1
        completions = []
        for i, text in enumerate(texts):
            completion = SampledCompletion(
                text,
                tokens=round(completion_tokens * len(text) / all_chars),
                finish_reason=finish_reasons[i],
                prompt_tokens=prompt_tokens if i == 0 else 0,  # paid once for all choices
                separate_reasoning_chars=reasoning_chars[i],
                mean_logprob=_read_mean_logprob(choices[i].get("logprobs")),
            )
            completions.append(completion)
        return completions

    def _read_token_count(self, value: Any, largest: int) -> int | None:
        """Return a number of tokens from the server's usage; None where it is missing or impossible."""
        if value is None:
            return None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0 <= value <= largest:  # not true of NaN
            if not self.has_noted_usage:
                self.has_noted_usage = True
                logger.warning(
                    f"the server counts tokens that cannot be ({str(value)[:MAX_VALUE_CHARS]}): words are counted in "
                    "their place"
                )
            return None
        return int(value)

    def _note_model(self, name: Any) -> None:
        """Warn once where the server names another model; a longer or shorter form of the same name is no other."""
        names = (self.model_name, *self.sampling_config.server.models, *self.noted_models)
        if not isinstance(name, str) or not name:
            return
        if any(name in known_name or known_name in name for known_name in names):
            return
        self.noted_models.add(name)
        if len(self.noted_models) == 1:
            logger.warning(f"the server answers as the model {name[:MAX_VALUE_CHARS]}, not as {self.model_name}")

    def _read_choices(self, response: dict[str, Any], samples: int) -> list[dict[str, Any]]:
        choices = response["choices"]
        if not isinstance(choices, list):
            raise ValueError("its choices are no list")
        if len(choices) < samples:
            if len(choices) > 0 and samples > 1:
                requirement = f"the server returned {len(choices)} of {samples} samples: it does not support n"
                raise UserError(f"{self.field}.server.samples_per_request", samples, requirement, "set it to 1")
            raise ValueError("no choices")
        indices = [choice.get("index") for choice in choices[:samples]]
        if samples > 1 and None not in indices and len(set(indices)) < samples:
            raise ValueError("the same choice stands in it twice")
        return choices[:samples]

    def _read_text(self, choice: dict[str, Any]) -> tuple[str, int]:
        """Return a choice's text, and how many of its characters the server returned apart from it, as reasoning.

        Such reasoning is put back in front of the text in think tags.
        """
        if not self.is_chat:
            text = choice["text"]
            if not isinstance(text, str):
                raise ValueError("no text")
            return self.prompt_config.prefill + text, 0
        text, reasoning = _read_message(choice["message"])
        is_cut_off = choice.get("finish_reason") == "length"
        if reasoning:
            close_tag = "" if is_cut_off and not text else THINK_END
            block = f"{THINK_START}{reasoning}{close_tag}"
            return block + text, len(block)
        return self._restore_opening(text, is_cut_off), 0

    def _restore_opening(self, text: str, is_cut_off: bool) -> str:
        """Return a chat completion with what the chat template wrote of it: the prefill, or its `<think>`."""
        prefill = self.prompt_config.prefill
        if prefill and not text.startswith(prefill):
            text = prefill + text
        closes_only = THINK_END in text and THINK_START not in text.partition(THINK_END)[0]
        self.template_opens_thinking = self.template_opens_thinking or closes_only
        has_no_tags = THINK_START not in text and THINK_END not in text
        is_unfinished_thinking = self.template_opens_thinking and is_cut_off and has_no_tags
        return THINK_START + text if closes_only or is_unfinished_thinking else text


def _read_message(message: dict[str, Any]) -> tuple[str, str]:
    """Return the text and the separate reasoning of a chat message. Raises ValueError if it has neither."""
    content = message.get("content")
    reasoning = message.get("reasoning") or message.get("reasoning_content")
    if not isinstance(content, str | list | None) or not isinstance(reasoning, str | None):
        raise ValueError("its content is no text")
    if content is None and reasoning is None and "content" not in message:
        raise ValueError("no content")
    if isinstance(content, list):  # blocks, some of which may be reasoning
        texts = [_join_texts(block.get("text")) for block in content if block.get("type") == "text"]
        thoughts = [_join_texts(block.get("thinking")) for block in content if block.get("type") == "thinking"]
        return "".join(texts), reasoning or "".join(thoughts)
    return content or "", reasoning or ""


def _join_texts(block: Any) -> str:
    """Return the text of a content block: the block itself, or that of the blocks in it."""
    if isinstance(block, str):
        return block
    return "".join(_join_texts(inner.get("text")) for inner in block or [])


def _read_mean_logprob(logprobs: Any) -> float | None:
    """Return the mean log-probability of a choice's tokens; None where the server gives none that can be used.

    Chat completions have `{"content": [{"logprob": -0.1, ...}, ...]}`, as llama.cpp's plain ones do; those of OpenAI,
    vLLM and SGLang have `{"token_logprobs": [-0.1, ...]}`.
    """
    if not isinstance(logprobs, dict):
        return None
    values = logprobs.get("token_logprobs")
    if not isinstance(values, list):
        entries = logprobs.get("content")
        if not isinstance(entries, list):
            return None
        values = [entry.get("logprob") if isinstance(entry, dict) else None for entry in entries]
    if not values or not all(_is_logprob(value) for value in values):
        return None
    return sum(values) / len(values)


def _is_logprob(value: Any) -> bool:
    """Return whether a value can be a log-probability: a number of at most 0, but for rounding; NaN is none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and SMALLEST_LOGPROB <= value <= LOGPROB_ROUNDING


def _read_finish_reason(choice: dict[str, Any]) -> str:
    """Return `stop`, `length` or the server's own reason. Raises ValueError if the server broke the choice off."""
    reason = choice.get("finish_reason")
    if reason is None or (isinstance(reason, str) and reason in ABORTED_REASONS):
        raise ValueError(f"a choice was cut off: {reason}")
    if not isinstance(reason, str):
        raise ValueError("its finish_reason is no text")
    return FINISH_REASONS.get(str(reason), str(reason))


def _replace_lone_surrogates(text: str) -> str:
    """Return a text with U+FFFD for each half of a surrogate pair that stands alone, which no file can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
