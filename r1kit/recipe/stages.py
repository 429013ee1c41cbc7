"""The recipe of each stage, and the checks across its fields."""

from typing import Any, Literal

from r1kit.errors import UserError, suggest
from r1kit.prompts import CHAT_TEMPLATE
from r1kit.recipe.blocks import (
    Block,
    DataConfig,
    ModelConfig,
    PromptConfig,
    RewardConfig,
    RLSamplingConfig,
    RLTrainingConfig,
    SFTTrainingConfig,
)
from r1kit.recipe.generation import (
    PREFERENCES,
    CardConfig,
    FiltersConfig,
    HeadConfig,
    HygieneConfig,
    JourneyConfig,
    RefineConfig,
    SamplingConfig,
    ScalingConfig,
    ServerConfig,
    sums_to_one,
)
from r1kit.recipe.trl import OWNED_TRL_FIELDS, trl_fields
from r1kit.stages import STAGES


class Recipe(Block):
    """What all stages have."""

    output: str | None = None
    """The run directory."""
    seed: int = 0
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    prompt: PromptConfig = PromptConfig()

    def check(self) -> None:
        """Raise UserError where fields contradict each other."""
        self._check_data("train")
        if self.output is None:
            raise UserError("output", "none", "a run needs a directory", "give output: or --output DIR")
        self._check_model()

    def _check_data(self, part: str) -> None:
        sources = getattr(self.data, part)
        if not sources:
            raise UserError(f"data.{part}", "[]", "needs at least one source", "give data: or --dataset D")
        shares = [source.share for source in sources]
        given = [share for share in shares if share is not None]
        if given and (len(given) < len(shares) or not sums_to_one(given)):
            must = f"of {len(shares)} sources each needs a share, and they must sum to 1"
            raise UserError(f"data.{part}", given, must, "mend the shares")
        if part == ("eval" if isinstance(self, EvalRecipe) else "train") and self.data.rows and not given:
            raise UserError("data.rows", self.data.rows, "counts rows where sources have shares", "give each a share")
        for index, source in enumerate(sources):
            if source.stream and source.rows is None:
                must = "a source that is read as a stream is drawn from: how many rows?"
                raise UserError(f"data.{part}.{index}.stream", True, must, f"give data.{part}.{index}.rows")

    def _check_model(self) -> None:
        if self.model.path is None:
            raise UserError("model.path", "none", "a model is needed", "give model.path or --model M")
        if self.model.new is not None:
            raise UserError("model.new", "set", "only sft starts from an untrained model", "remove model.new")


class SFTRecipe(Recipe):
    """`sft` and `distill`."""

    prompt: PromptConfig = PromptConfig(template="chat")
    training: SFTTrainingConfig = SFTTrainingConfig()
    trl: dict[str, Any] = {}
    """Any other field of TRL's SFTConfig."""
    card: CardConfig = CardConfig()

    def _check_model(self) -> None:
        if (self.model.path is None) == (self.model.new is None):
            raise UserError("model.path", self.model.path, "give either path or new, not both", "set one of them")

    def check(self) -> None:
        super().check()
        _check_training(self)


class RLRecipe(Recipe):
    """`rl`: accuracy, format and language consistency, in the model's own chat template."""

    prompt: PromptConfig = PromptConfig(template="chat")
    sampling: RLSamplingConfig = RLSamplingConfig()
    rewards: list[RewardConfig] = [
        RewardConfig(name="accuracy"),
        RewardConfig(name="format"),
        RewardConfig(name="language"),
    ]
    training: RLTrainingConfig = RLTrainingConfig()
    trl: dict[str, Any] = {}
    """Any other field of TRL's GRPOConfig."""
    card: CardConfig = CardConfig()

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
        block = t.updates_per_rollout * int(self.trl.get("num_iterations", 1))
        if t.steps and t.steps % block:
            must = f"must be a multiple of {block}, the updates on a rollout: a run goes on from its end alone"
            raise UserError("training.steps", t.steps, must, f"use {-(-t.steps // block) * block}")
        if t.reference_reset_steps and t.kl == 0:
            raise UserError(
                "training.reference_reset_steps",
                t.reference_reset_steps,
                "needs kl > 0",
                "set training.kl or remove it",
            )
        if not self.rewards:
            raise UserError("rewards", "[]", "RL needs a reward", "give at least one")
        names = [r.name.rpartition(".")[2] for r in self.rewards]
        for name in names:
            if names.count(name) > 1:
                raise UserError(
                    "rewards", name, "each reward may stand once", "remove one, or name a function of yours"
                )


class RLZeroRecipe(RLRecipe):
    """`rl-zero`: accuracy and format, equal weight, in the template of the paper."""

    prompt: PromptConfig = PromptConfig()
    rewards: list[RewardConfig] = [RewardConfig(name="accuracy"), RewardConfig(name="format")]


class GenerateRecipe(Recipe):
    """`generate`: sample, score, keep."""

    thinking: Literal["as-given", "none", "short"] = "as-given"
    """as-given: as each row says. none: rows answered without a chain of thought. short: with one of at most
    keep.max_thinking words."""
    sampling: SamplingConfig = SamplingConfig(samples=4)
    rewards: list[RewardConfig] = [
        RewardConfig(name="accuracy"),
        RewardConfig(name="format"),
        RewardConfig(name="language"),
    ]
    hygiene: HygieneConfig = HygieneConfig()
    keep: FiltersConfig = FiltersConfig()
    refine: RefineConfig | None = None
    journey: JourneyConfig | None = None
    card: CardConfig = CardConfig()

    def check(self) -> None:
        super().check()
        _check_sampling(self.sampling, "sampling")
        _check_keep(self.keep, self.rewards)
        if self.thinking == "short" and self.keep.max_thinking is None:
            must = "how many words are short?"
            raise UserError("thinking", "short", must, "give keep.max_thinking")
        if self.refine and self.journey:
            raise UserError("refine", "set", "journey is set too", "give one of the two, or run generate twice")
        for name, teacher in (("refine", self.refine), ("journey", self.journey)):
            if teacher is None:
                continue
            _check_sampling(teacher.sampling, f"{name}.sampling")
            if not _judges(self.rewards):
                raise UserError(name, "set", "what is rewritten is verified again", "add the reward accuracy")
        if self.data.eval:
            raise UserError("data.eval", "set", "generate evaluates nothing", "remove it; use data.train")
        if self.journey and self.sampling.samples < 2:
            must = "a journey is made of a wrong and a right completion of one prompt"
            raise UserError("sampling.samples", self.sampling.samples, must, "use at least 2, better 8")


class DataRecipe(Recipe):
    """`data`: sources, mixing, filters and hygiene, without sampling."""

    rewards: list[RewardConfig] = []
    """Computed for rows with completions."""
    hygiene: HygieneConfig = HygieneConfig()
    keep: FiltersConfig = FiltersConfig(finished=False, correct=False, format=False)
    shuffle: bool = True
    """Whether the rows of the sources are shuffled with the seed."""
    card: CardConfig = CardConfig()

    def check(self) -> None:
        super().check()
        _check_keep(self.keep, self.rewards, scored=False)

    def _check_model(self) -> None:
        if self.model.path is not None or self.model.new is not None:
            raise UserError("model.path", self.model.path, "data needs no model", "remove it, or use generate")


class EvalRecipe(Recipe):
    """`eval`: one model, or several in one go."""

    models: dict[str, str] = {}
    """Name: path, for a table of several models."""
    sampling: SamplingConfig = SamplingConfig(temperature=0.6, top_p=0.95, samples=4)
    rewards: list[RewardConfig] = [
        RewardConfig(name="accuracy"),
        RewardConfig(name="format"),
        RewardConfig(name="language"),
    ]
    scaling: ScalingConfig | None = None
    """Votes, best-of-N and early stopping, from the same samples; `scaling: {}` for all of it."""

    def check(self) -> None:
        _check_sampling(self.sampling, "sampling")
        if self.scaling is not None:
            _check_scaling(self.scaling, self.sampling, self.models)
            names = [reward.name.rpartition(".")[2] for reward in self.rewards]
            if unknown := next((name for name in self.scaling.by if name not in names), None):
                must = "is no reward of this recipe"
                raise UserError("scaling.by", unknown, must, f"add it to rewards, or use one of: {', '.join(names)}")
            if not _judges(self.rewards):
                raise UserError(
                    "scaling", "set", "whether an answer is right, a reward says", "add accuracy to rewards"
                )
            if self.scaling.direct and self.sampling.engine == "openai" and self.prompt.template == CHAT_TEMPLATE:
                must = "r1kit cannot tell a server's chat template not to think"
                raise UserError("scaling.direct", self.scaling.direct, must, "remove it, or use another engine")
        if not self.data.eval and self.data.train:
            self.data.eval, self.data.train = self.data.train, []
        self._check_data("eval")
        if self.output is None:
            raise UserError("output", "none", "a run needs a directory", "give output: or --output DIR")
        if not self.models:
            self._check_model()
        elif self.model.path is not None:
            raise UserError("models", "set", "model.path is set too", "give one of the two")


class VerifierRecipe(Recipe):
    """`verifier`: Head2Toe on the layers of a policy, trained on its own samples."""

    sampling: SamplingConfig = SamplingConfig(samples=8)
    rewards: list[RewardConfig] = [RewardConfig(name="accuracy")]
    head: HeadConfig = HeadConfig()

    def check(self) -> None:
        super().check()
        _check_sampling(self.sampling, "sampling")
        if self.sampling.engine == "openai":
            must = "reads the layers of a model, and a server shows none"
            raise UserError("sampling.engine", "openai", must, "use the engine transformers or vllm")
        if not _judges(self.rewards):
            must = "a verifier learns which samples are right"
            raise UserError("rewards", [r.name for r in self.rewards], must, "add the reward accuracy")


def _check_scaling(scaling: ScalingConfig, sampling: SamplingConfig, models: dict[str, str]) -> None:
    if sampling.samples < 2:
        must = "votes and choices need several samples"
        raise UserError("sampling.samples", sampling.samples, must, "set it to the greatest N, such as 16")
    if scaling.samples and max(scaling.samples) > sampling.samples:
        must = f"are N of {sampling.samples} samples"
        raise UserError("scaling.samples", scaling.samples, must, "raise sampling.samples, or leave the greater out")
    if (scaling.budgets or scaling.waits) and sampling.engine == "openai":
        must = "go on from the ids of what was said, and a server takes none"
        raise UserError("scaling.budgets", scaling.budgets, must, "use the engine transformers or vllm")
    if scaling.verifier is not None and sampling.engine == "openai":
        must = "reads the layers of a model, and a server shows none"
        raise UserError("scaling.verifier", scaling.verifier, must, "use the engine transformers or vllm")
    if scaling.search and scaling.verifier is None:
        raise UserError("scaling.search", scaling.search, "goes by a verifier", "set scaling.verifier")
    if scaling.search and sampling.engine != "transformers":
        must = "needs the model's layers at every step"
        raise UserError("scaling.search", scaling.search, must, "use the engine transformers")
    if scaling.search and any(paths % scaling.width for paths in scaling.paths):
        must = f"must be multiples of scaling.width ({scaling.width})"
        raise UserError("scaling.paths", scaling.paths, must, "change one of the two")
    if scaling.verifier is not None and models:
        must = "is a verifier of one model, and models has several"
        raise UserError("scaling.verifier", scaling.verifier, must, "give model.path instead")


def recipe_class(stage: str) -> type[Recipe]:
    """Return the class of the recipe of a stage, such as SFTRecipe for `sft`."""
    return globals()[STAGES[stage].recipe_class]


def _check_sampling(s: SamplingConfig, field: str) -> None:
    if s.temperature == 0 and s.samples > 1:
        raise UserError(f"{field}.samples", s.samples, "temperature 0 gives one answer", f"set {field}.samples=1")
    if s.vllm and s.engine != "vllm":
        raise UserError(f"{field}.vllm", s.vllm, f"engine = {s.engine} does not read it", f"set {field}.engine=vllm")
    if s.server != ServerConfig() and s.engine != "openai":
        must = f"engine = {s.engine} asks no server"
        raise UserError(f"{field}.server.urls", s.server.urls, must, f"set {field}.engine=openai")
    b = s.budget
    if b.cost and not (b.input_price or b.output_price):
        must = "nothing has a price"
        raise UserError(f"{field}.budget.cost", b.cost, must, f"give {field}.budget.output_price")


def _judges(rewards: list[RewardConfig]) -> bool:
    """Whether a reward says what is right: `accuracy`, or a function of that name."""
    return any(entry.name.rpartition(".")[2] == "accuracy" for entry in rewards)


def _check_keep(keep: FiltersConfig, rewards: list[RewardConfig], scored: bool = True) -> None:
    """Check filters; `scored` where the rewards stand in the rows that they see."""
    low, high = keep.pass_rate
    judged = _judges(rewards)
    names = [reward.name.rpartition(".")[2] for reward in rewards if scored]
    if keep.prefer not in (*PREFERENCES, *names):
        raise UserError(
            "keep.prefer", keep.prefer, "no such choice, and no such reward", suggest(keep.prefer, PREFERENCES)
        )
    if keep.prefer != FiltersConfig().prefer and keep.per_prompt is None:
        raise UserError("keep.prefer", keep.prefer, "says which of a prompt's rows to keep", "give keep.per_prompt")
    if keep.pass_rate_by is not None and keep.pass_rate_by not in names:
        raise UserError("keep.pass_rate_by", keep.pass_rate_by, "no such reward here", "name one of rewards")
    if keep.pass_rate_by is not None and (low, high) == (0.0, 1.0):
        must = "says what a pass rate is of, and all pass rates are kept"
        raise UserError("keep.pass_rate_by", keep.pass_rate_by, must, "give keep.pass_rate")
    rated = (low, high) != (0.0, 1.0) and keep.pass_rate_by is None
    for name, wanted in (("correct", keep.correct), ("pass_rate", rated)):
        if wanted and not judged:
            do = (
                "add accuracy to rewards, or set keep.correct=false" if name == "correct" else "add accuracy to rewards"
            )
            raise UserError(f"keep.{name}", getattr(keep, name), "whether an answer is right, a reward says", do)
    if low > high:
        raise UserError("keep.pass_rate", [low, high], "must be a lowest and a highest share", "swap them")
    if keep.min_tokens and keep.max_tokens and keep.min_tokens > keep.max_tokens:
        raise UserError("keep.min_tokens", keep.min_tokens, f"is above max_tokens = {keep.max_tokens}", "swap them")


def _check_training(recipe: "SFTRecipe | RLRecipe") -> None:
    t = recipe.training
    if recipe.prompt.prefill:
        must = "only generate and eval can begin a completion"
        raise UserError("prompt.prefill", recipe.prompt.prefill, must, "remove it")
    if recipe.prompt.template_settings:
        must = "only generate and eval read it"
        raise UserError("prompt.template_settings", "set", must, "set trl.chat_template_kwargs")
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
    if t.eval_steps and t.save_steps != t.eval_steps:
        must = f"the best checkpoint is only kept if save_steps = {t.save_steps} is the same"
        raise UserError("training.eval_steps", t.eval_steps, must, "set both to one value")
    config = "GRPOConfig" if isinstance(recipe, RLRecipe) else "SFTConfig"
    for key in recipe.trl:
        if key in OWNED_TRL_FIELDS:
            raise UserError(
                f"trl.{key}",
                recipe.trl[key],
                f"r1kit sets it from {OWNED_TRL_FIELDS[key]}",
                f"set {OWNED_TRL_FIELDS[key]} instead",
            )
        known = trl_fields(config)
        if known and key not in known:
            raise UserError(f"trl.{key}", recipe.trl[key], f"no such field in TRL's {config}", suggest(key, known))
