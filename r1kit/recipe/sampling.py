"""The block `sampling`: how completions are sampled, by which engine, and what that may cost."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from r1kit.recipe.block import (
    MAX_DRAWS,
    Block,
    DrawCount,
    NonNegativeDrawCount,
    NonNegativeFloat,
    NonNegativeInt,
    OnResume,
    PositiveFloat,
    PositiveFraction,
    PositiveInt,
    PositiveTemperature,
    Temperature,
    fields_with_rule,
)


def _allow_one_text(schema: dict[str, Any]) -> None:
    """Change the JSON schema of a list of texts, such as addresses, so that it accepts a single one too."""
    texts = {"type": "array", "items": schema.pop("items")}
    schema.pop("type")
    schema["anyOf"] = [{"type": "string"}, texts]


class ServerConfig(Block):
    """Servers with OpenAI's interface: vLLM, SGLang, llama.cpp, `transformers serve`, or a hosted model."""

    urls: Annotated[list[str], OnResume.IGNORED, Field(json_schema_extra=_allow_one_text)] = [
        "http://localhost:8000/v1"
    ]
    """Addresses of the servers, up to /v1, as a list or with commas between. Each request goes to the server with the
    fewest requests under way."""
    models: Annotated[list[str], OnResume.IGNORED, Field(json_schema_extra=_allow_one_text)] = []
    """Name of the model on the servers, where it is not `model.path`: one for all of `urls`, or one for each in their
    order."""
    key: Annotated[str | None, OnResume.IGNORED] = None
    """Name of the environment variable that holds the API key; default: OPENAI_API_KEY, if it is set."""
    concurrency: Annotated[PositiveInt, OnResume.IGNORED] = 64
    """Number of requests under way at once on each server."""
    timeout: Annotated[PositiveFloat, OnResume.IGNORED] = 1800.0
    """Seconds after which a request is given up and tried again."""
    retries: Annotated[NonNegativeInt, OnResume.IGNORED] = 8
    """Number of further tries after status 429 or 5xx, a time-out, a cut connection or a reply that makes no sense."""
    backoff: Annotated[NonNegativeFloat, OnResume.IGNORED] = 1.0
    """Seconds before the second try, doubled for each further one up to a minute; a Retry-After header comes first."""
    samples_per_request: PositiveInt = 1
    """Number of completions that one request asks for (`n`); above 1 only for servers that support it."""
    endpoint: Literal["auto", "chat", "completions"] = "auto"
    """Interface of the server: `auto` takes chat/completions for the template `chat`, and completions otherwise."""
    seeds: bool = True
    """Whether requests carry a seed, so that a run that is killed and resumed has the same rows. vLLM's CPU build
    crashes on seeds unless it is started with --no-enable-chunked-prefill."""
    logprobs: Annotated[bool, OnResume.MAY_CHANGE] = True
    """Whether requests ask for the log-probabilities of the sampled tokens, which the column `logprob` and `scaling`
    use; responses are then longer. A server that gives none is named in a note."""
    body: dict[str, Any] = {}
    """Further fields of each request, such as {chat_template_kwargs: {enable_thinking: false}}."""

    @field_validator("urls", "models", mode="before")
    @classmethod
    def _accept_text(cls, value: Any) -> Any:
        """Return a list for one address or name, or for several with commas between."""
        if not isinstance(value, str):
            return value
        return [text.strip() for text in value.split(",") if text.strip()]

    @field_validator("urls")
    @classmethod
    def _check_urls(cls, value: list[str]) -> list[str]:
        if not value or any(not url.startswith(("http://", "https://")) for url in value):
            raise ValueError("must be addresses like http://localhost:8000/v1")
        return value

    @model_validator(mode="after")
    def _check_models(self) -> "ServerConfig":
        if any(not name for name in self.models):
            raise ValueError("models must be names of models, none of them empty")
        if len(self.models) > 1 and len(self.models) != len(self.urls):
            raise ValueError(f"models has {len(self.models)} names and urls {len(self.urls)} addresses: one for each")
        return self


SERVER_CONNECTION_FIELDS = fields_with_rule(ServerConfig, OnResume.IGNORED)
"""The fields of `server` that say how servers are reached, and nothing of what is sampled from them."""


class BudgetConfig(Block):
    """What sampling may spend; in `eval`, for each model and each further method of `scaling`.

    When it is spent, the run ends with what it has. The same command with a higher budget resumes it.
    """

    tokens: Annotated[PositiveInt | None, OnResume.MAY_GROW_OR_BE_REMOVED] = None
    """Largest number of tokens, of prompts and completions (a local engine's prompts are free); default: no limit."""
    cost: Annotated[PositiveFloat | None, OnResume.MAY_GROW_OR_BE_REMOVED] = None
    """Largest amount of money, in the currency of the two prices; default: no limit."""
    input_price: NonNegativeFloat = 0.0
    """Price of a million tokens of prompts."""
    output_price: NonNegativeFloat = 0.0
    """Price of a million tokens of completions."""


class SamplingConfig(Block):
    """How completions are sampled by `generate`, `eval` and `verifier`."""

    temperature: Temperature = 1.0
    """Divides the logits before sampling; 0 always takes the most likely token, 0.6 is usual for evaluation."""
    top_p: PositiveFraction = 1.0
    """Sample from the most likely tokens whose probabilities add up to this (nucleus sampling); 1 takes all."""
    top_k: NonNegativeInt = 0
    """Sample from this many of the most likely tokens; 0 takes all."""
    max_tokens: PositiveInt = 1024
    """Longest completion, in tokens; a longer one is cut off there."""
    samples: DrawCount = 1
    """Number of completions of each prompt."""
    batch_size: PositiveInt = 64
    """Number of completions that are sampled at once on a device and written as one shard; lower it to save memory."""
    engine: Literal["transformers", "vllm", "openai"] = "transformers"
    """What samples: `transformers` or `vllm` in this process, or `openai` for servers (see `server`)."""
    server: ServerConfig = ServerConfig()
    """Servers of the engine `openai`: where they are and how they are asked."""
    vllm: Annotated[dict[str, Any], OnResume.MAY_CHANGE] = {}
    """Further arguments of vllm.LLM for the engine `vllm`, such as {tensor_parallel_size: 2, max_model_len: 8192}."""
    budget: BudgetConfig = BudgetConfig()
    """Tokens or money after which sampling ends."""


class LengthStepConfig(Block):
    """A limit of tokens that applies from an optimizer step on."""

    from_step: PositiveInt
    """First optimizer step to which the limit applies, counted from 1."""
    max_tokens: PositiveInt
    """Longest completion from that step on, in tokens."""


class PolicySamplingConfig(Block):
    """How completions are sampled from the model that is trained on them; by `distill`, for other methods than rows."""

    temperature: PositiveTemperature = 1.0
    """Divides the logits before sampling; 1 samples from the model as it is, which the loss assumes."""
    top_p: PositiveFraction = 1.0
    """Sample from the most likely tokens whose probabilities add up to this (nucleus sampling); 1 takes all."""
    top_k: NonNegativeInt = 0
    """Sample from this many of the most likely tokens; 0 takes all."""
    max_tokens: PositiveInt = 1024
    """Longest completion, in tokens; a longer one is cut off there."""


class RLSamplingConfig(PolicySamplingConfig):
    """How rollouts are sampled from the policy in `rl-zero` and `rl`."""

    group_size: Annotated[int, Field(ge=2, le=MAX_DRAWS)] = 16
    """Number of completions of each prompt; their rewards are compared with each other (GRPO's group)."""
    resample: NonNegativeDrawCount = 0
    """How many times in a step other problems replace those whose completions all have equal rewards, since these teach
    nothing (dynamic sampling, DAPO, arXiv 2503.14476)."""
    schedule: list[LengthStepConfig] = []
    """Later values of `max_tokens`, such as [{from_step: 8200, max_tokens: 65536}] as in the paper."""
