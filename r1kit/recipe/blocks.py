"""The blocks that recipes are made of; each field is described under it."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

PositiveInt = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Block(BaseModel):
    """A block of a recipe: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _over_the_defaults(cls, values: Any) -> Any:
        """Put a part of a block over what that block has by default, so that one key does not reset the others."""
        if not isinstance(values, dict):
            return values
        values = dict(values)
        for name, given in values.items():
            default = cls.model_fields[name].default if name in cls.model_fields else None
            if isinstance(default, Block) and isinstance(given, dict):
                values[name] = {**default.model_dump(include=default.model_fields_set), **given}
        return values


class LoraConfig(Block):
    """Train a low-rank adapter (LoRA, arXiv 2106.09685) in place of all weights."""

    r: PositiveInt = 16
    """Rank."""
    alpha: PositiveInt = 32
    """Scale: the update is multiplied by alpha / r."""
    dropout: Fraction = 0.0
    """Dropout on the adapter's input."""
    targets: str | list[str] = "all-linear"
    """Modules to adapt, as peft's `target_modules`."""
    merge: bool = False
    """Save `model/` as a plain merged model; the adapter then stands in `adapter/`."""


class NewModelConfig(Block):
    """A model made from nothing, with a tokenizer trained on the data."""

    type: Literal["llama", "qwen3"] = "llama"
    """The transformers `model_type`."""
    vocab_size: PositiveInt = 1024
    """Ids of the tokenizer, the 256 bytes among them."""
    settings: dict[str, Any] = {}
    """Fields of that model's transformers config: hidden_size, num_hidden_layers, ..."""


class ModelConfig(Block):
    """The policy: where it is read from and in which form it is trained."""

    path: str | None = None
    """A hub id, a local folder, a run directory, or `tiny:base` and `tiny:student` as shipped."""
    new: NewModelConfig | None = None
    """Start from an untrained model (`sft` only)."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    trust_remote_code: bool = False
    """Run the model's own Python code."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Type of the weights; auto trains in float32 (computing in bfloat16 on a GPU that has it; bfloat16 under an
    adapter) and samples in the GPU's bfloat16."""
    attention: str | None = None
    """transformers' `attn_implementation`."""
    lora: LoraConfig | None = None
    """Train an adapter in place of all weights."""
    quantize: Literal["4bit"] | None = None
    """Load the weights in 4 bits under the adapter (QLoRA; needs a GPU and bitsandbytes)."""


class SourceConfig(Block):
    """A data set: a hub id, a local file or folder, a run directory, or one that r1kit makes.

    Made are `world:NAME` (the scale model's world), `reasoning_gym:TASK` and `self-cognition:NAME`.
    """

    path: str
    """Where it is."""
    name: str | None = None
    """The hub data set's configuration."""
    split: str = "train"
    """The split to read."""
    rows: PositiveInt | None = None
    """At most so many rows, drawn with the seed."""
    share: Annotated[float, Field(gt=0, le=1)] | None = None
    """This source's share of all rows; then each source has one, and they sum to 1."""
    seed: int = 0
    """For drawing rows, and for those that are made."""
    stream: bool = False
    """Read row by row, for a set larger than memory or than its part that is wanted: `rows` of it are drawn from a
    moving window, without reading the rest."""
    broken: Literal["stop", "skip"] = "stop"
    """What a line of JSONL that cannot be read does: end the stage, or be left out and counted."""
    adapter: str | None = None
    """How a known data set's columns become r1kit's (data/adapters); found by the columns where none is named.
    `none` leaves them as they are."""
    settings: dict[str, Any] = {}
    """Settings of what makes the rows: those of a reasoning_gym task, the names of self-cognition."""
    columns: dict[str, str] = {}
    """New name: old name."""
    values: dict[str, Any] = {}
    """Columns with one value for all rows, such as `domain: math`."""
    where: dict[str, list[Any]] = {}
    """Column: the values of which a row must have one. Looked at before rows are drawn."""


def normalise_sources(values: Any, keys: Sequence[str] = ("train", "eval")) -> Any:
    """Return a block in which `keys` are lists of sources: one may stand alone, or as its path."""
    if isinstance(values, dict):
        values = dict(values)
        for key in keys:
            if isinstance(values.get(key), str | dict):
                values[key] = [values[key]]
            if isinstance(values.get(key), list):
                values[key] = [{"path": v} if isinstance(v, str) else v for v in values[key]]
    return values


class DataConfig(Block):
    """What is trained on, sampled from or evaluated on."""

    train: list[SourceConfig] = []
    """The sources, put together and shuffled with the seed."""
    eval: list[SourceConfig] = []
    """Held-out rows, for evaluation while training."""
    rows: PositiveInt | None = None
    """Rows in all, where the sources of `train` have shares; default: as many as the shares allow."""

    @model_validator(mode="before")
    @classmethod
    def _one_is_a_list(cls, values: Any) -> Any:
        return normalise_sources(values)


class PromptConfig(Block):
    """How a question is put to the model."""

    template: str = "r1-zero"
    """`r1-zero`, `tiny`, `chat` (the model's own), or a text with {prompt} in it."""
    system: str | None = None
    """A system message (`chat` only)."""
    prefill: str = ""
    """What the completion is made to begin with, such as <think> or <answer>."""
    template_settings: dict[str, Any] = {}
    """Arguments of the chat template, such as enable_thinking (`generate` and `eval`)."""

    @model_validator(mode="after")
    def _known(self) -> "PromptConfig":
        if self.template not in ("r1-zero", "tiny", "chat") and "{prompt}" not in self.template:
            raise ValueError("must be r1-zero, tiny, chat or a text with {prompt} in it")
        return self


class LengthStepConfig(Block):
    """From a step on, completions may be so long."""

    from_step: PositiveInt
    max_tokens: PositiveInt


class RLSamplingConfig(Block):
    """How rollouts are sampled."""

    temperature: Annotated[float, Field(gt=0)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    max_tokens: PositiveInt = 1024
    """Longest completion, in tokens."""
    group_size: Annotated[int, Field(ge=2)] = 16
    """Completions a prompt."""
    resample: Annotated[int, Field(ge=0)] = 0
    """How often in a step groups whose rewards are all equal give their places to other problems (DAPO's dynamic
    sampling)."""
    schedule: list[LengthStepConfig] = []
    """Later values of max_tokens (the paper: 32k, then 64k)."""


class RewardConfig(BaseModel):
    """A reward with its weight and the rows and steps it applies to; further keys are its own knobs."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    name: str
    """A name of REWARDS, or the dotted path of a function."""
    weight: float = 1.0
    """Its factor in the sum."""
    where: dict[str, list[Any]] = {}
    """Column: the values for which it applies."""
    from_step: int = 0
    """Applies from this step on."""
    last_steps: PositiveInt | None = None
    """Applies in the last so many steps only."""

    @property
    def knobs(self) -> dict[str, Any]:
        """The reward's own settings."""
        return dict(self.model_extra or {})


class TrainingConfig(Block):
    """How the weights are changed. Batch sizes are global: the same on 1 GPU or 64."""

    steps: PositiveInt | None = None
    """Optimizer steps; else `epochs` counts."""
    epochs: Annotated[float, Field(gt=0)] | None = None
    """Passes over the data; 1 where steps are not given either."""
    batch_size: PositiveInt = 128
    """Rows (SFT) or completions (RL) an optimizer step, over all devices."""
    micro_batch_size: PositiveInt | None = None
    """Rows at once on one device; default: as many as make one accumulation step."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-5
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Learning rate over the run."""
    min_learning_rate: Annotated[float, Field(ge=0)] = 0.0
    """Where a cosine ends."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    gradient_checkpointing: bool = False
    """Recompute activations: less memory, 1.1 to 1.2 times the time."""
    save_steps: PositiveInt = 100
    """Steps between checkpoints."""
    keep_checkpoints: PositiveInt = 2
    """How many are kept; the best is kept besides."""
    eval_steps: PositiveInt | None = None
    """Steps between evaluations on `data.eval`; the best checkpoint becomes the model."""
    log_steps: PositiveInt = 1
    """Steps between lines of metrics.jsonl."""


class RLTrainingConfig(TrainingConfig):
    """GRPO's own settings."""

    learning_rate: Annotated[float, Field(gt=0)] = 3e-6
    batch_size: PositiveInt = 512
    kl: Annotated[float, Field(ge=0)] = 0.001
    """Weight of the KL to the reference model (TRL's beta)."""
    clip: Annotated[float, Field(gt=0)] = 0.2
    """Epsilon of the ratio's clipping."""
    reference_reset_steps: PositiveInt | None = None
    """The policy replaces the reference model every so many steps (the paper: 400)."""
    savings: list[Literal["trim", "regroup", "skip", "share", "rollouts"]] = [
        *("trim", "regroup", "skip", "share", "rollouts")
    ]
    """What stock TRL does in vain and r1kit leaves out: padding, rows without a gradient, a prompt run with each of its
    completions, decoding of finished rows.
    The update is the same; [] is stock (r1kit/training/lean.py)."""
    updates_per_rollout: PositiveInt = 1
    """Optimizer steps that one rollout is split into (the paper: 16)."""


class SFTTrainingConfig(TrainingConfig):
    """SFT's own settings."""

    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    max_length: PositiveInt = 4096
    """Longest row, in tokens; longer ones are cut."""
    savings: list[Literal["trim"]] = ["trim"]
    """What stock TRL does in vain and r1kit leaves out: padding. The update is the same; [] is stock."""
    packing: bool = False
    """Put several rows into one sequence."""
    group_by_length: bool = False
    """Batch rows of like length together; a batch is then less of a mixture. `savings` saves the padding, too."""
