"""The blocks of `generate`, `data` and `eval`: sampling, filters, hygiene, rewriting, journeys, the data card."""

import math
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from r1kit.recipe.blocks import Block, Fraction, ModelConfig, PositiveInt, PromptConfig, SourceConfig, normalise_sources


class ServerConfig(Block):
    """OpenAI-compatible servers: vLLM, SGLang, llama.cpp, `transformers serve`, a hosted model."""

    urls: list[str] = ["http://localhost:8000/v1"]
    """Where they answer, up to /v1; requests go to the one with the least to do."""
    key: str | None = None
    """The environment variable that holds the API key; default: OPENAI_API_KEY, where it is set."""
    concurrency: PositiveInt = 64
    """Requests under way at once on each server."""
    timeout: Annotated[float, Field(gt=0)] = 1800.0
    """Seconds that one request may take."""
    retries: Annotated[int, Field(ge=0)] = 8
    """Further tries after a 429, a 5xx, a time-out, a cut connection or a body that makes no sense."""
    backoff: Annotated[float, Field(ge=0)] = 1.0
    """Seconds before the second try; doubled at each further one, up to a minute. Retry-After wins."""
    samples_per_request: PositiveInt = 1
    """The `n` of a request. Above 1 only for servers that know it."""
    endpoint: Literal["auto", "chat", "completions"] = "auto"
    """Which interface: auto takes chat/completions for the template `chat`, else completions."""
    seeds: bool = True
    """Whether a request carries a seed, so that a run that was killed ends in the same rows. vLLM's CPU build dies of
    seeds unless it is started with --no-enable-chunked-prefill."""
    body: dict[str, Any] = {}
    """Further fields of each request, such as chat_template_kwargs."""

    @field_validator("urls", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("urls")
    @classmethod
    def _addresses(cls, value: list[str]) -> list[str]:
        if not value or any(not url.startswith(("http://", "https://")) for url in value):
            raise ValueError("must be addresses like http://localhost:8000/v1")
        return value


class BudgetConfig(Block):
    """What sampling may spend; in `eval`, for each model and each further way of `scaling`. The run ends with what it
    has when it is spent, and goes on when it is raised."""

    tokens: PositiveInt | None = None
    """Tokens, of prompts and completions; those of a local engine's prompts are not counted."""
    cost: Annotated[float, Field(gt=0)] | None = None
    """Money, in the currency of the prices."""
    input_price: Annotated[float, Field(ge=0)] = 0.0
    """Price of a million prompt tokens."""
    output_price: Annotated[float, Field(ge=0)] = 0.0
    """Price of a million completion tokens."""


class SamplingConfig(Block):
    """How completions are sampled."""

    temperature: Annotated[float, Field(ge=0)] = 1.0
    """0 takes the likeliest token."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Nucleus."""
    top_k: Annotated[int, Field(ge=0)] = 0
    """0: all tokens."""
    max_tokens: PositiveInt = 1024
    """Longest completion, in tokens."""
    samples: PositiveInt = 1
    """Completions a prompt."""
    batch_size: PositiveInt = 64
    """Completions sampled at once on a device, and written as one shard."""
    engine: Literal["transformers", "vllm", "openai"] = "transformers"
    """What samples: transformers or vLLM in this process, or servers."""
    server: ServerConfig = ServerConfig()
    """Engine openai: where and how to ask."""
    vllm: dict[str, Any] = {}
    """Engine vllm: further arguments of vllm.LLM, such as tensor_parallel_size or max_model_len."""
    budget: BudgetConfig = BudgetConfig()


PREFERENCES = ("first", "shortest", "diverse")


class FiltersConfig(Block):
    """Which completions are kept, and how many a prompt. Applied in this order."""

    finished: bool = True
    """Only those that ended by themselves."""
    correct: bool = True
    """Only those with the right answer."""
    format: bool = True
    """Only those in the exact form."""
    language: Fraction = 0.0
    """At least this share of the chain of thought's words in the question's language."""
    max_repetition: Fraction = 1.0
    """At most this share of the completion's word 4-grams repeated."""
    max_paragraph: PositiveInt | None = None
    """No paragraph of the chain of thought with more characters."""
    code_blocks: bool = True
    """Whether a code block may stand in the chain of thought."""
    min_tokens: PositiveInt | None = None
    """At least so many tokens."""
    max_tokens: PositiveInt | None = None
    """At most so many tokens."""
    max_thinking: PositiveInt | None = None
    """At most so many words in the chain of thought."""
    pass_rate: tuple[Fraction, Fraction] = (0.0, 1.0)
    """Only prompts whose share of right samples lies within. It counts all samples, before the other filters."""
    pass_rate_by: str | None = None
    """A reward whose mean over a prompt's samples is its pass rate, such as a verifier's; default: the right ones."""
    per_prompt: PositiveInt | None = None
    """At most so many different completions a prompt; default: all."""
    prefer: str = "first"
    """Which of them: first, shortest, diverse (those with the fewest word 3-grams in common), or a reward's best."""


class HygieneConfig(Block):
    """What is removed from the problems before anything is sampled, and from the rows of `data`.

    Rows of `data` with completions are duplicates where both prompt and completion are.
    """

    exact: bool = False
    """Problems that stood before, but for case, white space, dollar signs, quotes and a dot at the end."""
    near: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Problems like an earlier one: at least this Jaccard similarity of their letter 5-grams (MinHash, then exact), the
    same numbers, and the same gold answer where both have one. 0.7 is a good start."""
    decontaminate: list[SourceConfig] = []
    """Benchmarks whose problems must not be in the data: a shared word n-gram drops a row."""
    ngram: Annotated[int, Field(ge=3)] = 10
    """Words of an n-gram; a shorter benchmark problem is compared whole."""

    @model_validator(mode="before")
    @classmethod
    def _one_is_a_list(cls, values: Any) -> Any:
        return normalise_sources(values, ("decontaminate",))

    @property
    def wanted(self) -> bool:
        """Whether anything is to be done."""
        return bool(self.exact or self.near or self.decontaminate)


REWRITE = """You edit the reasoning of another model so that people can follow it.

Problem:
{prompt}

Its reasoning:
{thinking}

Its final answer: {answer}

Rewrite the reasoning in {language}: keep every step that the answer rests on, in order and in full sentences, drop \
repetitions and side remarks, and do not add results of your own. Then summarise the solution in one or two sentences. \
Reply in exactly this form:
<think>
the rewritten reasoning
</think>
<summary>
the summary
</summary>
<answer>
the final answer alone
</answer>"""

CORRECT = """A student solved a problem wrongly, then rightly. Write it as one train of thought.

Problem:
{prompt}

The wrong attempt:
{wrong}

The right attempt:
{right}

Write the thoughts in {language} as if they were one person's: begin with the wrong attempt, notice what is wrong with \
it, go back to the step where it went wrong, and go on rightly to the end. Reply in exactly this form:
<think>
the thoughts
</think>
<answer>
the final answer alone
</answer>"""


class TeacherConfig(Block):
    """What rewrites: a teacher, or where `model` is not given, the model that sampled."""

    model: ModelConfig | None = None
    prompt: PromptConfig = PromptConfig(template="chat")
    """How it is asked."""
    sampling: SamplingConfig = SamplingConfig(temperature=0.6, max_tokens=4096)
    tries: PositiveInt = 1
    """Replies asked for; the first that holds is taken."""

    @model_validator(mode="after")
    def _samples_are_tries(self) -> "TeacherConfig":
        if self.sampling.samples not in (1, self.tries):
            raise ValueError("sampling.samples: set tries instead")
        self.sampling = self.sampling.model_copy(update={"samples": self.tries})
        return self


class RefineConfig(TeacherConfig):
    """Cold-start rows: each kept chain of thought is rewritten readably and summarised, and verified again."""

    template: str = REWRITE
    """What the teacher is asked, with {prompt}, {thinking}, {answer} and {language} in it."""
    summary: bool = True
    """Whether the answer block holds the summary, with the final answer in a box, or the answer alone."""
    otherwise: Literal["drop", "keep"] = "drop"
    """What becomes of a row whose rewriting does not hold: dropped, or kept as it was."""

    @model_validator(mode="after")
    def _slots(self) -> "RefineConfig":
        if "{thinking}" not in self.template or "{prompt}" not in self.template:
            raise ValueError("template must have {prompt} and {thinking} in it")
        return self


class JourneyConfig(TeacherConfig):
    """Journey rows: of a prompt's wrong and right completions, one that tries, notices, goes back and succeeds."""

    method: Literal["stitch", "teacher"] = "stitch"
    """Join the two at the step where they part, or have a teacher write it."""
    template: str = CORRECT
    """What the teacher is asked, with {prompt}, {wrong}, {right} and {language} in it."""
    per_prompt: PositiveInt = 1
    """Journeys of each prompt that has wrong and right completions."""
    max_wrong_steps: PositiveInt | None = None
    """At most so many steps on the wrong path; default: to its end."""


class ScalingConfig(Block):
    """Inference-time scaling: what N samples a problem make of a model, by each way to choose among them."""

    samples: list[PositiveInt] = []
    """The N that are looked at; default: 1, 2, 4 and so on up to sampling.samples."""
    verifier: str | None = None
    """A run of `r1kit verifier` on this model: votes, best-of-N and stopping go by it too."""
    by: list[str] = []
    """Rewards of this recipe, from 0 to 1, that votes and best-of-N go by too: preference for a reward model."""
    search: list[Literal["beam", "dvts"]] = []
    """Search under the verifier: beam search, and diverse verifier tree search (engine transformers)."""
    paths: list[PositiveInt] = [16]
    """Numbers of paths that a search goes along at once; each a multiple of `width`."""
    width: Annotated[int, Field(ge=2)] = 4
    """Paths that go on from one."""
    step_tokens: PositiveInt = 8
    """Tokens after which a search asks the verifier."""
    sure: list[Annotated[float, Field(gt=0, le=1)]] = [0.5, 0.7, 0.8, 0.9, 0.95]
    """How sure a vote must be for sampling to stop before the last of N."""
    direct: Annotated[int, Field(ge=0)] = 0
    """Think only when it is needed: so many samples first answer straight away, and where their vote is `sure`, nobody
    thinks."""
    budgets: list[PositiveInt] = []
    """Budget forcing: tokens after which thinking is closed and the answer sampled (engines transformers and vllm)."""
    waits: Annotated[int, Field(ge=0)] = 0
    """Budget forcing: how often the end of the thinking is replaced by `wait`, so that the model thinks on."""
    closing: str = "</think>\n<answer>"
    """What closes a chain of thought that has spent its budget."""
    wait: str = " Wait,"
    answer_tokens: PositiveInt = 64
    """Longest answer after that."""
    draws: PositiveInt = 256
    """Random choices of N of the samples, where there is no closed form."""


class HeadConfig(Block):
    """How Head2Toe chooses its features; the best by cross-validation."""

    penalties: Annotated[list[Annotated[float, Field(gt=0, lt=1)]], Field(min_length=1)] = [0.5, 0.2, 0.1]
    """Of the group lasso, as shares of the one that leaves nothing."""
    fractions: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)] = [0.01, 0.05, 0.2]
    """Shares of the units that are kept."""
    ridges: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] = [0.001, 0.01, 0.1]
    """Strengths of the head's own penalty on squared weights."""
    folds: Annotated[int, Field(ge=2)] = 5
    """All samples of a problem are in the same."""


class CardConfig(Block):
    """What the card of data or of a model says that r1kit cannot know, and where it is sent."""

    license: str | None = None
    """An identifier of the hub's, such as apache-2.0."""
    language: list[str] = []
    """Codes; default: those of the rows."""
    tags: list[str] = []
    about: str = ""
    """A paragraph on what it is for."""
    push_to_hub: str | None = None
    """An id on the hub, to which the finished data or model is sent."""
    private: bool = True
    """Whether what is made there is private."""


def sums_to_one(shares: list[float]) -> bool:
    """Whether shares are all of a whole."""
    return math.isclose(sum(shares), 1.0, abs_tol=1e-6)
