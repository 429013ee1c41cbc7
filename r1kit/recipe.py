"""The schema of every recipe: load, override, check across fields.

A recipe is YAML. What is set where: default < recipe file < command line. Nothing heavy is imported
here, so that a fault in a recipe is found before torch is.
"""

import ast
import importlib.util
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from r1kit.errors import UserError, suggest

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Block(BaseModel):
    """A block of a recipe: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, validate_default=True)


class Lora(Block):
    """Train a low-rank adapter (LoRA, arXiv 2106.09685) in place of all weights."""

    r: Positive = 16
    """Rank."""
    alpha: Positive = 32
    """Scale: the update is multiplied by alpha / r."""
    dropout: Share = 0.0
    """Dropout on the adapter's input."""
    targets: str | list[str] = "all-linear"
    """Modules to adapt, as peft's `target_modules`."""
    merge: bool = False
    """Save `model/` as a plain merged model; the adapter then stands in `adapter/`."""


class NewModel(Block):
    """A model made from nothing, with a tokenizer trained on the data."""

    type: Literal["llama", "qwen3"] = "llama"
    """The transformers `model_type`."""
    vocab_size: Positive = 1024
    """Ids of the tokenizer, the 256 bytes among them."""
    settings: dict[str, Any] = {}
    """Fields of that model's transformers config: hidden_size, num_hidden_layers, ..."""


class Model(Block):
    """The policy: where it is read from and in which form it is trained."""

    path: str | None = None
    """A hub id, a local folder, a run directory, or `tiny:base` and `tiny:student` as shipped."""
    new: NewModel | None = None
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
    lora: Lora | None = None
    """Train an adapter in place of all weights."""
    quantize: Literal["4bit"] | None = None
    """Load the weights in 4 bits under the adapter (QLoRA; needs a GPU and bitsandbytes)."""


class Source(Block):
    """A data set: a hub id, a local file or folder, a run directory, or `world:NAME`."""

    path: str
    """Where it is."""
    name: str | None = None
    """The hub data set's configuration."""
    split: str = "train"
    """The split to read."""
    rows: Positive | None = None
    """At most so many rows, drawn with the seed."""
    seed: int = 0
    """For drawing rows, and for the world's questions."""
    columns: dict[str, str] = {}
    """New name: old name."""
    values: dict[str, Any] = {}
    """Columns with one value for all rows, such as `domain: math`."""


class Data(Block):
    """What is trained on, sampled from or evaluated on."""

    train: list[Source] = []
    """The sources, put together and shuffled with the seed."""
    eval: list[Source] = []
    """Held-out rows, for evaluation while training."""

    @model_validator(mode="before")
    @classmethod
    def _one_is_a_list(cls, values: Any) -> Any:
        if isinstance(values, dict):
            values = dict(values)
            for key in ("train", "eval"):
                if isinstance(values.get(key), (str, dict)):
                    values[key] = [values[key]]
                if isinstance(values.get(key), list):
                    values[key] = [{"path": v} if isinstance(v, str) else v for v in values[key]]
        return values


class Prompt(Block):
    """How a question is put to the model."""

    template: str = "r1-zero"
    """`r1-zero`, `tiny`, `chat` (the model's own), or a text with {prompt} in it."""
    system: str | None = None
    """A system message (`chat` only)."""
    prefill: str = ""
    """What the completion is made to begin with, such as <think> or <answer>."""

    @model_validator(mode="after")
    def _known(self) -> "Prompt":
        if self.template not in ("r1-zero", "tiny", "chat") and "{prompt}" not in self.template:
            raise ValueError("must be r1-zero, tiny, chat or a text with {prompt} in it")
        return self


class LengthStep(Block):
    """From a step on, completions may be so long."""

    from_step: Positive
    max_tokens: Positive


class Sampling(Block):
    """How completions are sampled."""

    temperature: Annotated[float, Field(ge=0)] = 1.0
    """0 takes the likeliest token."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Nucleus."""
    top_k: Annotated[int, Field(ge=0)] = 0
    """0: all tokens."""
    max_tokens: Positive = 1024
    """Longest completion, in tokens."""
    samples: Positive = 1
    """Completions a prompt (`generate` and `eval`)."""
    batch_size: Positive = 64
    """Completions sampled at once on a device (`generate` and `eval`)."""
    engine: Literal["transformers"] = "transformers"
    """What samples."""


class RLSampling(Block):
    """How rollouts are sampled."""

    temperature: Annotated[float, Field(gt=0)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    max_tokens: Positive = 1024
    """Longest completion, in tokens."""
    group_size: Annotated[int, Field(ge=2)] = 16
    """Completions a prompt."""
    schedule: list[LengthStep] = []
    """Later values of max_tokens (the paper: 32k, then 64k)."""


class Reward(BaseModel):
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
    last_steps: Positive | None = None
    """Applies in the last so many steps only."""

    @property
    def knobs(self) -> dict[str, Any]:
        """The reward's own settings."""
        return dict(self.model_extra or {})


class Training(Block):
    """How the weights are changed. Batch sizes are global: the same on 1 GPU or 64."""

    steps: Positive | None = None
    """Optimizer steps; else `epochs` counts."""
    epochs: Annotated[float, Field(gt=0)] | None = None
    """Passes over the data; 1 where steps are not given either."""
    batch_size: Positive = 128
    """Rows (SFT) or completions (RL) an optimizer step, over all devices."""
    micro_batch_size: Positive | None = None
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
    save_steps: Positive = 100
    """Steps between checkpoints."""
    keep_checkpoints: Positive = 2
    """How many are kept; the best is kept besides."""
    eval_steps: Positive | None = None
    """Steps between evaluations on `data.eval`; the best checkpoint becomes the model."""
    log_steps: Positive = 1
    """Steps between lines of metrics.jsonl."""


class RLTraining(Training):
    """GRPO's own settings."""

    learning_rate: Annotated[float, Field(gt=0)] = 3e-6
    batch_size: Positive = 512
    kl: Annotated[float, Field(ge=0)] = 0.001
    """Weight of the KL to the reference model (TRL's beta)."""
    clip: Annotated[float, Field(gt=0)] = 0.2
    """Epsilon of the ratio's clipping."""
    reference_reset_steps: Positive | None = None
    """The policy replaces the reference model every so many steps (the paper: 400)."""
    updates_per_rollout: Positive = 1
    """Optimizer steps that one rollout is split into (the paper: 16)."""


class SFTTraining(Training):
    """SFT's own settings."""

    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    max_length: Positive = 4096
    """Longest row, in tokens; longer ones are cut."""
    packing: bool = False
    """Put several rows into one sequence."""
    group_by_length: bool = True
    """Batch rows of like length together; each token still weighs the same in the loss."""


class Filters(Block):
    """Which completions `generate` keeps, and how many a prompt. Applied in this order."""

    correct: bool = True
    """Only those with the right answer."""
    format: bool = True
    """Only those in the exact form."""
    finished: bool = True
    """Only those that ended by themselves."""
    language: Share = 0.0
    """At least this share of the chain of thought's words in the question's language."""
    max_repetition: Share = 1.0
    """At most this share of the completion's word 4-grams repeated."""
    max_paragraph: Positive | None = None
    """No paragraph of the chain of thought with more characters."""
    code_blocks: bool = True
    """Whether a code block may stand in the chain of thought."""
    pass_rate: tuple[Share, Share] = (0.0, 1.0)
    """Only prompts whose share of right samples lies within."""
    per_prompt: Positive | None = None
    """At most so many completions a prompt; default: all."""
    prefer: Literal["first", "shortest"] = "first"
    """Which of them."""


class Recipe(Block):
    """What all stages have."""

    output: str | None = None
    """The run directory."""
    seed: int = 0
    model: Model = Model()
    data: Data = Data()
    prompt: Prompt = Prompt()

    def check(self) -> None:
        """Raise UserError where fields contradict each other."""
        self._check_data("train")
        if self.output is None:
            raise UserError("output", "none", "a run needs a directory", "give output: or --output DIR")
        self._check_model()

    def _check_data(self, part: str) -> None:
        if not getattr(self.data, part):
            raise UserError(f"data.{part}", "[]", "needs at least one source", "give data: or --dataset D")

    def _check_model(self) -> None:
        if self.model.path is None:
            raise UserError("model.path", "none", "a model is needed", "give model.path or --model M")
        if self.model.new is not None:
            raise UserError("model.new", "set", "only sft starts from an untrained model", "remove model.new")


class SFTRecipe(Recipe):
    """`sft` and `distill`."""

    prompt: Prompt = Prompt(template="chat")
    training: SFTTraining = SFTTraining()
    trl: dict[str, Any] = {}
    """Any other field of TRL's SFTConfig."""

    def _check_model(self) -> None:
        if (self.model.path is None) == (self.model.new is None):
            raise UserError("model.path", self.model.path, "give either path or new, not both", "set one of them")

    def check(self) -> None:
        super().check()
        _check_training(self)


class RLRecipe(Recipe):
    """`rl-zero`: accuracy and format, equal weight."""

    sampling: RLSampling = RLSampling()
    rewards: list[Reward] = [Reward(name="accuracy"), Reward(name="format")]
    training: RLTraining = RLTraining()
    trl: dict[str, Any] = {}
    """Any other field of TRL's GRPOConfig."""

    def check(self) -> None:
        super().check()
        _check_training(self)
        t, group = self.training, self.sampling.group_size
        if t.batch_size * t.updates_per_rollout % group:
            raise UserError(
                "training.batch_size",
                t.batch_size,
                f"a rollout of batch_size x updates_per_rollout must hold whole groups of {group}",
                f"use {max(1, t.batch_size // group) * group}",
            )
        if t.reference_reset_steps and t.kl == 0:
            raise UserError(
                "training.reference_reset_steps", t.reference_reset_steps, "needs kl > 0", "set training.kl or remove it"
            )
        if t.reference_reset_steps and self.model.lora:
            raise UserError(
                "training.reference_reset_steps",
                t.reference_reset_steps,
                "the reference of a LoRA run is the base itself",
                "remove it or model.lora",
            )
        if not self.rewards:
            raise UserError("rewards", "[]", "RL needs a reward", "give at least one")
        names = [r.name for r in self.rewards]
        for name in names:
            if names.count(name) > 1:
                raise UserError("rewards", name, "each reward may stand once", "remove one, or name a function of yours")


class RLLanguageRecipe(RLRecipe):
    """`rl`: language consistency added."""

    prompt: Prompt = Prompt(template="chat")
    rewards: list[Reward] = [Reward(name="accuracy"), Reward(name="format"), Reward(name="language")]


class GenerateRecipe(Recipe):
    """`generate`: sample, score, keep."""

    sampling: Sampling = Sampling(samples=4)
    rewards: list[Reward] = [Reward(name="accuracy"), Reward(name="format"), Reward(name="language")]
    keep: Filters = Filters()


class EvalRecipe(Recipe):
    """`eval`: one model, or several in one go."""

    models: dict[str, str] = {}
    """Name: path, for a table of several models."""
    sampling: Sampling = Sampling(temperature=0.6, top_p=0.95, samples=4)
    rewards: list[Reward] = [Reward(name="accuracy"), Reward(name="format"), Reward(name="language")]

    def check(self) -> None:
        if not self.data.eval and self.data.train:
            self.data.eval, self.data.train = self.data.train, []
        self._check_data("eval")
        if self.output is None:
            raise UserError("output", "none", "a run needs a directory", "give output: or --output DIR")
        if not self.models:
            self._check_model()
        elif self.model.path is not None:
            raise UserError("models", "set", "model.path is set too", "give one of the two")


RECIPES: dict[str, type[Recipe]] = {
    "rl-zero": RLRecipe,
    "rl": RLLanguageRecipe,
    "sft": SFTRecipe,
    "distill": SFTRecipe,
    "generate": GenerateRecipe,
    "eval": EvalRecipe,
}


def _check_training(recipe: "SFTRecipe | RLRecipe") -> None:
    t = recipe.training
    if t.steps is not None and t.epochs is not None:
        raise UserError("training.steps", t.steps, f"epochs = {t.epochs} is set too", "give one of the two")
    if t.steps is None and t.epochs is None:
        t.epochs = 1.0
    if t.micro_batch_size and t.batch_size % t.micro_batch_size:
        raise UserError(
            "training.micro_batch_size", t.micro_batch_size, f"must divide batch_size = {t.batch_size}", "use a divisor"
        )
    if recipe.model.quantize and not recipe.model.lora:
        raise UserError("model.quantize", recipe.model.quantize, "4-bit weights cannot be trained", "add model.lora")
    if t.eval_steps and not recipe.data.eval:
        raise UserError("training.eval_steps", t.eval_steps, "there is nothing to evaluate on", "give data.eval")
    if t.eval_steps and t.save_steps % t.eval_steps:
        raise UserError(
            "training.save_steps", t.save_steps, f"must be a multiple of eval_steps = {t.eval_steps}", "change one of them"
        )
    config = "GRPOConfig" if isinstance(recipe, RLRecipe) else "SFTConfig"
    for key in recipe.trl:
        if key in OWNED:
            raise UserError(f"trl.{key}", recipe.trl[key], f"r1kit sets it from {OWNED[key]}", f"set {OWNED[key]} instead")
        known = trl_fields(config)
        if known and key not in known:
            raise UserError(f"trl.{key}", recipe.trl[key], f"no such field in TRL's {config}", suggest(key, known))


# TRL's field: the recipe's own field that sets it.
OWNED = {
    "output_dir": "output",
    "seed": "seed",
    "max_steps": "training.steps",
    "num_train_epochs": "training.epochs",
    "per_device_train_batch_size": "training.micro_batch_size",
    "per_device_eval_batch_size": "training.micro_batch_size",
    "gradient_accumulation_steps": "training.batch_size",
    "learning_rate": "training.learning_rate",
    "lr_scheduler_type": "training.schedule",
    "lr_scheduler_kwargs": "training.min_learning_rate",
    "warmup_steps": "training.warmup_steps",
    "weight_decay": "training.weight_decay",
    "max_grad_norm": "training.max_grad_norm",
    "gradient_checkpointing": "training.gradient_checkpointing",
    "save_steps": "training.save_steps",
    "save_strategy": "training.save_steps",
    "save_total_limit": "training.keep_checkpoints",
    "eval_steps": "training.eval_steps",
    "eval_strategy": "training.eval_steps",
    "load_best_model_at_end": "training.eval_steps",
    "logging_steps": "training.log_steps",
    "bf16": "model.dtype",
    "fp16": "model.dtype",
    "trust_remote_code": "model.trust_remote_code",
    "model_init_kwargs": "model",
    "max_length": "training.max_length",
    "packing": "training.packing",
    "train_sampling_strategy": "training.group_by_length",
    "num_generations": "sampling.group_size",
    "max_completion_length": "sampling.max_tokens",
    "temperature": "sampling.temperature",
    "top_p": "sampling.top_p",
    "top_k": "sampling.top_k",
    "beta": "training.kl",
    "epsilon": "training.clip",
    "sync_ref_model": "training.reference_reset_steps",
    "ref_model_sync_steps": "training.reference_reset_steps",
    "ref_model_mixup_alpha": "training.reference_reset_steps",
    "steps_per_generation": "training.updates_per_rollout",
    "generation_batch_size": "training.updates_per_rollout",
    "reward_weights": "rewards",
    "resume_from_checkpoint": "output",
}


@cache
def trl_fields(config: str) -> frozenset[str]:
    """Return the field names of TRL's `config` and its bases, read from their source without importing them."""
    files = {"SFTConfig": "sft_config", "GRPOConfig": "grpo_config"}
    names: set[str] = set()
    for package, path in (
        ("trl", f"trainer/{files[config]}.py"),
        ("trl", "trainer/base_config.py"),
        ("transformers", "training_args.py"),
    ):
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            return frozenset()
        tree = ast.parse((Path(spec.submodule_search_locations[0]) / path).read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                names |= {n.target.id for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)}
    return frozenset(names)


def load(stage: str, file: str | None, overrides: dict[str, Any]) -> Recipe:
    """Read the recipe `file` for `stage`, put `overrides` (dotted key: value) over it, and check it.

    Raises UserError for a missing file, an unknown key, a wrong type or fields that contradict each other.
    """
    values: Any = {}
    if file is not None:
        try:
            values = yaml.safe_load(Path(file).read_text()) or {}
        except OSError as error:
            raise UserError("recipe", file, "must be a YAML file that can be read", str(error.strerror)) from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError("recipe", file, "must be valid YAML", str(error)) from None
        if not isinstance(values, dict):
            raise UserError("recipe", file, "must be a mapping of keys to values", "see recipes/ for examples")
    for key, value in overrides.items():
        _set(values, key, value)
    recipe = parse(stage, values)
    recipe.check()
    return recipe


def parse(stage: str, values: dict[str, Any]) -> Recipe:
    """Turn `values` into the recipe of `stage`, without the checks across fields."""
    try:
        return RECIPES[stage].model_validate(values)
    except ValidationError as error:
        raise _explain(RECIPES[stage], error) from None


def override(text: str) -> tuple[str, Any]:
    """Read `key.path=value` of the command line; the value is YAML."""
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise UserError("argument", text, "must be key.path=value", "for example training.steps=50")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        parsed = value
    if isinstance(parsed, str):
        try:
            parsed = float(parsed)  # YAML 1.1 reads 1e-5 as a string
        except ValueError:
            pass
    return key, parsed


def dump(recipe: Recipe) -> str:
    """Return the resolved recipe as YAML."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    node: Any = values
    *path, last = key.split(".")
    try:
        for part in path:
            node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
            if node is None:
                raise TypeError
        if isinstance(node, list):
            node[int(last)] = value
        else:
            node[last] = value
    except (ValueError, IndexError, TypeError, AttributeError):
        raise UserError(key, value, "there is no such place in the recipe", "check the key's path") from None


def _explain(model: type[BaseModel], error: ValidationError) -> UserError:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(p) for p in first["loc"] if not str(p).startswith("function-"))
    if first["type"] == "extra_forbidden":
        known = _fields_at(model, first["loc"][:-1])
        return UserError(place, _short(first["input"]), "no such key", suggest(str(first["loc"][-1]), known))
    message = first["msg"].removeprefix("Value error, ").lower()
    value = "" if first["type"] == "missing" else _short(first["input"])
    return UserError(place or "recipe", value, message, "change it in the recipe or on the command line")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _fields_at(model: Any, loc: tuple[Any, ...]) -> list[str]:
    """Return the field names of the block at `loc` below `model`."""
    for part in loc:
        if isinstance(part, str) and isinstance(model, type) and part in model.model_fields:
            annotation = model.model_fields[part].annotation
            blocks = [a for a in (annotation, *get_args(annotation)) if isinstance(a, type) and issubclass(a, BaseModel)]
            model = blocks[0] if blocks else model
    return list(model.model_fields)
