"""The recipe of each stage: its blocks and their defaults. The checks across fields are in r1kit.recipe.checks."""

import re
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from r1kit.prompts import AUTO_TEMPLATE
from r1kit.recipe.block import Block, KeysMayChange, OnResume, Seed, expand_path
from r1kit.recipe.card import CardConfig
from r1kit.recipe.data import DataConfig
from r1kit.recipe.distill import DistillConfig, TeacherModelConfig, expand_text
from r1kit.recipe.evaluated_models import EvaluatedModels
from r1kit.recipe.filters import FiltersConfig
from r1kit.recipe.head import HeadConfig
from r1kit.recipe.hygiene import HygieneConfig
from r1kit.recipe.model import ModelConfig
from r1kit.recipe.pairs import PairsConfig
from r1kit.recipe.prompt import PromptConfig
from r1kit.recipe.rewards import Answers, RewardConfig, Rewards
from r1kit.recipe.sampling import PolicySamplingConfig, RLSamplingConfig, SamplingConfig
from r1kit.recipe.scaling import ScalingConfig
from r1kit.recipe.suite import BenchmarkConfig, complete_suite
from r1kit.recipe.teacher import JourneyConfig, RefineConfig
from r1kit.recipe.training import (
    DistillTrainingConfig,
    RewardModelTrainingConfig,
    RLTrainingConfig,
    SFTTrainingConfig,
)
from r1kit.recipe.trl import RESUMABLE_TRL_FIELDS
from r1kit.stages import STAGES
from r1kit.suites import suite_name

TrlFields = Annotated[dict[str, Any], KeysMayChange(RESUMABLE_TRL_FIELDS)]

ACCURACY, FORMAT, LANGUAGE = (RewardConfig(name=name) for name in ("accuracy", "format", "language"))


class Recipe(Block):
    """The keys that the recipes of all stages have."""

    output: Annotated[str | None, OnResume.IGNORED] = None
    """Run directory that the stage writes, such as runs/dev1."""
    seed: Seed = 0
    """Seed of everything random in the stage: shuffling, sampling, dropout, new weights."""
    webhook: Annotated[str | None, OnResume.IGNORED] = None
    """Address to which warnings of a training and the end of a run are posted, such as that of Slack or Discord, or the
    name of an environment variable that holds it."""
    model: ModelConfig = ModelConfig()
    """Model that the stage trains, samples from or evaluates."""
    data: DataConfig = DataConfig()
    """Data sets that the stage reads."""
    prompt: PromptConfig = PromptConfig()
    """How a question is put to the model."""

    _expand_path = field_validator("output")(expand_path)


class SFTRecipe(Recipe):
    """`sft`: fine-tune a model on rows, or train a new one on plain text."""

    prompt: PromptConfig = PromptConfig(template="chat")
    """How a question is put to the model."""
    training: SFTTrainingConfig = SFTTrainingConfig()
    """How the weights are changed."""
    trainer: str | None = None
    """Dotted path of a trainer of your own, such as my_module.MyTrainer: a subclass of
    r1kit.training.sft.FineTuningTrainer."""
    callbacks: Annotated[list[str], OnResume.MAY_CHANGE] = []
    """Dotted paths of callbacks of your own, such as [my_module.MyCallback]: classes of transformers' TrainerCallback,
    made without arguments."""
    trl: TrlFields = {}
    """Any other field of TRL's SFTConfig, such as {adam_beta2: 0.95}."""
    card: Annotated[CardConfig, OnResume.MAY_CHANGE] = CardConfig()
    """Model card, and whether the model is pushed to the hub."""

    @model_validator(mode="after")
    def _train_one_epoch_by_default(self) -> "SFTRecipe":
        if self.training.steps is None and self.training.epochs is None:
            self.training.epochs = 1.0
        return self

    @property
    def trains_on_rows(self) -> bool:
        """Return whether finished rows are trained, rather than what the model itself answers to problems."""
        return True

    @property
    def trl_config(self) -> str:
        """Return the name of TRL's config whose fields `trl` may set."""
        return "SFTConfig"


def _allow_text(schema: dict[str, Any]) -> None:
    """Change the JSON schema of a block so that it accepts a text in the block's place."""
    schema["anyOf"] = [{"type": "string"}, {"$ref": schema.pop("$ref")}]


class DistillRecipe(SFTRecipe):
    """`distill`: train a student on rows that a teacher sampled, or on its own answers as the teacher judges them."""

    distill: Annotated[DistillConfig, Field(json_schema_extra=_allow_text)] = DistillConfig()
    """How the student learns: from rows, or on-policy. `distill: on-policy` is short for {method: on-policy}."""
    teacher: Annotated[TeacherModelConfig, Field(json_schema_extra=_allow_text)] = TeacherModelConfig()
    """Model whose probabilities the student learns; for the methods on-policy and gold. `teacher: runs/r1` is short for
    {path: runs/r1}."""
    sampling: PolicySamplingConfig = PolicySamplingConfig()
    """How the student's answers are sampled; for the methods on-policy and gold. The temperature divides the logits in
    on-policy's loss, too."""
    training: DistillTrainingConfig = DistillTrainingConfig()
    """How the weights are changed."""
    trl: TrlFields = {}
    """Any other field of TRL's config, such as {adam_beta2: 0.95}. For the method rows that is SFTConfig, for the other
    methods DistillationConfig, to which gold adds the fields `uld_...` of GOLDConfig; for a teacher behind a server it
    is ServerDistillationConfig."""

    @field_validator("distill", "teacher", mode="before")
    @classmethod
    def _accept_text(cls, value: Any, info: ValidationInfo) -> Any:
        return expand_text(str(info.field_name), value)

    @property
    def trains_on_rows(self) -> bool:
        """Return whether finished rows are trained, rather than what the student itself answers to problems."""
        return self.distill.method == "rows"

    @property
    def trl_config(self) -> str:
        """Return the name of TRL's config whose fields `trl` may set."""
        if self.teacher.server is not None:
            return "ServerDistillationConfig"
        return {"rows": "SFTConfig", "on-policy": "DistillationConfig", "gold": "GOLDConfig"}[self.distill.method]


class RewardModelRecipe(Recipe):
    """`reward-model`: train a model that scores completions, on pairs of a better and a worse completion."""

    prompt: PromptConfig = PromptConfig(template="chat")
    """How a question and its completion are put to the reward model."""
    pairs: PairsConfig = PairsConfig()
    """How pairs are made, and which are held out."""
    training: RewardModelTrainingConfig = RewardModelTrainingConfig()
    """How the weights are changed."""
    trl: TrlFields = {}
    """Any other field of TRL's RewardConfig, such as {center_rewards_coefficient: 0.01}."""
    card: Annotated[CardConfig, OnResume.MAY_CHANGE] = CardConfig()
    """Model card, and whether the model is pushed to the hub."""

    @model_validator(mode="after")
    def _train_one_epoch_by_default(self) -> "RewardModelRecipe":
        if self.training.steps is None and self.training.epochs is None:
            self.training.epochs = 1.0
        return self

    @property
    def trl_config(self) -> str:
        """Return the name of TRL's config whose fields `trl` may set."""
        return "RewardConfig"


class RLRecipe(Recipe):
    """`rl`: GRPO on a fine-tuned model, with rewards for accuracy, format and language consistency."""

    prompt: PromptConfig = PromptConfig(template="chat")
    """How a question is put to the model."""
    sampling: RLSamplingConfig = RLSamplingConfig()
    """How rollouts are sampled from the policy."""
    rewards: Rewards = [ACCURACY, FORMAT, LANGUAGE]
    """Reward functions; the reward of a completion is their weighted sum."""
    answers: Answers = "tags"
    """Which forms of an answer are read: `tags` are R1's own, or a box or a fenced program where there are no tags;
    `boxed` is boxes and fenced programs alone; `any` is also what is stated in words."""
    training: RLTrainingConfig = RLTrainingConfig()
    """How the weights are changed."""
    tools: list[str] = []
    """Tools that the model may call while it answers: `python`, which runs a program in r1kit's box, and functions of
    your own by their dotted paths, such as my_tools.search. They need the template `chat`."""
    environment: str | None = None
    """Dotted path of an environment's class, as TRL's `environment_factory`: its method `reset` begins a rollout, its
    other public methods are tools, and `get_reward`, if it has one, is a reward."""
    trainer: str | None = None
    """Dotted path of a trainer of your own, such as my_module.MyTrainer, with an advantage or a loss of your own: a
    subclass of r1kit.training.grpo.RLTrainer."""
    callbacks: Annotated[list[str], OnResume.MAY_CHANGE] = []
    """Dotted paths of callbacks of your own, such as [my_module.MyCallback]: classes of transformers' TrainerCallback,
    made without arguments."""
    trl: TrlFields = {}
    """Any other field of TRL's GRPOConfig, such as {loss_type: grpo}."""
    card: Annotated[CardConfig, OnResume.MAY_CHANGE] = CardConfig()
    """Model card, and whether the model is pushed to the hub."""

    @model_validator(mode="after")
    def _train_one_epoch_by_default(self) -> "RLRecipe":
        if self.training.steps is None and self.training.epochs is None:
            self.training.epochs = 1.0
        return self

    @property
    def trl_config(self) -> str:
        """Return the name of TRL's config whose fields `trl` may set."""
        return "GRPOConfig"

    @property
    def completions_per_rollout(self) -> int:
        """Return the number of completions that are sampled at once, before the steps that train on them."""
        return self.training.batch_size * self.training.updates_per_rollout

    @property
    def prompts_per_rollout(self) -> int:
        """Return the number of prompts of a rollout; each has a group of completions."""
        return self.completions_per_rollout // self.sampling.group_size

    @property
    def steps_per_rollout(self) -> int:
        """Return the number of optimizer steps on one rollout; a run can be resumed only between rollouts."""
        return self.training.updates_per_rollout * int(self.trl.get("num_iterations", 1))


class RLZeroRecipe(RLRecipe):
    """`rl-zero`: GRPO on a base model, with rewards for accuracy and format in equal parts."""

    prompt: PromptConfig = PromptConfig()
    """How a question is put to the model."""
    rewards: Rewards = [ACCURACY, FORMAT]
    """Reward functions; the reward of a completion is their weighted sum."""


class GenerateRecipe(Recipe):
    """`generate`: sample completions, score them, and keep good ones as SFT data."""

    prompt: PromptConfig = PromptConfig(template=AUTO_TEMPLATE)
    """How a question is put to the model."""
    thinking: Literal["as-given", "none", "short"] = "as-given"
    """Whether completions think first: `as-given` follows each row, `none` asks for the answer alone, `short` keeps
    thinking of at most `keep.max_thinking` words."""
    sampling: SamplingConfig = SamplingConfig(samples=4)
    """How the completions of each prompt are sampled."""
    rewards: Rewards = [ACCURACY, FORMAT, LANGUAGE]
    """Reward functions that score the completions; each becomes a column."""
    answers: Answers = "any"
    """Which forms of an answer are read: `any` is also what is stated in words; `boxed` is boxes and fenced programs
    alone; `tags` are R1's own, or a box or a fenced program where there are no tags."""
    hygiene: HygieneConfig = HygieneConfig()
    """Duplicates and benchmark problems that are removed before anything is sampled."""
    keep: Annotated[FiltersConfig, OnResume.MAY_CHANGE] = FiltersConfig()
    """Which completions are kept, and how many of each prompt."""
    refine: Annotated[RefineConfig | None, OnResume.MAY_CHANGE] = None
    """Have the thinking of kept completions rewritten readably; `refine: {}` takes the defaults."""
    journey: Annotated[JourneyConfig | None, OnResume.MAY_CHANGE] = None
    """Make journey rows from wrong and right completions; `journey: {}` takes the defaults."""
    card: Annotated[CardConfig, OnResume.MAY_CHANGE] = CardConfig()
    """Data card, and whether the data set is pushed to the hub."""


class DataRecipe(Recipe):
    """`data`: read, mix, filter and clean data sets, without sampling."""

    rewards: Rewards = []
    """Reward functions that score rows with completions; each becomes a column."""
    answers: Answers = "any"
    """Which forms of an answer are read: `any` is also what is stated in words; `boxed` is boxes and fenced programs
    alone; `tags` are R1's own, or a box or a fenced program where there are no tags."""
    hygiene: HygieneConfig = HygieneConfig()
    """Duplicates and benchmark problems that are removed."""
    keep: Annotated[FiltersConfig, OnResume.MAY_CHANGE] = FiltersConfig(finished=False, correct=False, format=False)
    """Which rows are kept, by filters on their completions."""
    shuffle: bool = True
    """Whether the rows of all sources are shuffled together with the recipe's seed."""
    card: Annotated[CardConfig, OnResume.MAY_CHANGE] = CardConfig()
    """Data card, and whether the data set is pushed to the hub."""


def _allow_names(schema: dict[str, Any]) -> None:
    """Change the JSON schema of `suite` so that it accepts the names of benchmarks in the place of their settings."""
    schema["additionalProperties"] = {"anyOf": [{"type": "string"}, schema["additionalProperties"]]}
    mapping = {name: schema.pop(name) for name in ("type", "additionalProperties")}
    schema["anyOf"] = [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, mapping]


class EvalRecipe(Recipe):
    """`eval`: measure one model, or several on the same problems."""

    prompt: PromptConfig = PromptConfig(template=AUTO_TEMPLATE)
    """How a question is put to the model, or to each of `models` that has no prompt of its own."""
    models: EvaluatedModels = {}
    """Several models for one table: a list of paths, such as [runs/zero, runs/r1]; or names with paths, such as
    {base: "tiny:base", R1: runs/r1}; or blocks, such as {R1: {path: runs/r1, prompt: {template: chat}}}. Without a
    prompt, each is asked by its own (see `prompt.template`)."""
    sampling: SamplingConfig = SamplingConfig(temperature=0.6, top_p=0.95, samples=4)
    """How completions are sampled; the defaults of temperature and top_p are the paper's."""
    rewards: Rewards = [ACCURACY, FORMAT, LANGUAGE]
    """Reward functions whose means are reported."""
    answers: Answers = "any"
    """Which forms of an answer are read: `any` is also what is stated in words; `boxed` is boxes and fenced programs
    alone; `tags` are R1's own, or a box or a fenced program where there are no tags."""
    suite: Annotated[dict[str, BenchmarkConfig], Field(json_schema_extra=_allow_names)] = {}
    """Benchmarks to measure in place of `data.eval`, each by its published protocol: names such as [aime24, math500],
    `r1` for those of the R1 report, `math500=rows.jsonl` for a local file; or blocks: {aime24: {samples: 16}}."""
    read: Annotated[list[str], OnResume.MAY_CHANGE] = []
    """Result files of lm-evaluation-harness (results_*.json) or Inspect (*.json, *.eval) that are shown in the table of
    benchmarks, alone or beside what is measured."""
    scaling: Annotated[ScalingConfig | None, OnResume.MAY_CHANGE] = None
    """Report inference-time scaling too: votes, best of N and early stopping; `scaling: {}` takes the defaults."""

    @model_validator(mode="before")
    @classmethod
    def _complete_suite(cls, values: Any) -> Any:
        """Write the whole protocol of each benchmark into the recipe, which a run directory then records."""
        if not isinstance(values, dict) or not values.get("suite"):
            return values
        return {**values, "suite": complete_suite(values["suite"], values.get("sampling"), values.get("answers"))}

    @model_validator(mode="after")
    def _evaluate_train_sources(self) -> "EvalRecipe":
        if not self.data.eval and self.data.train:
            self.data.eval, self.data.train = self.data.train, []
        return self

    @model_validator(mode="after")
    def _name_output(self) -> "EvalRecipe":
        """Name the run of benchmarks after the model and the suite, so that no output needs to be set."""
        if self.output is None and self.suite:
            models = list(self.models) or [PurePath(self.model.path or "model").name]
            name = f"{'-'.join(models)}-{suite_name(list(self.suite))}"
            self.output = "runs/" + re.sub(r"[^-.\w]", "_", name)
        elif self.output is None and self.read:
            self.output = "runs/read-results"
        return self

    def recipes_by_model(self) -> dict[str, "EvalRecipe"]:
        """Return for each model, by its name, the recipe as if it were the only one: with its path, prompt, servers."""
        if not self.models:
            return {PurePath(self.model.path or "").name: self}
        recipes = {}
        for name, evaluated in self.models.items():
            changes = {
                "model": self.model.model_copy(update={"path": evaluated.path}),
                "prompt": evaluated.prompt or self.prompt,
                "sampling": evaluated.choose_sampling(self.sampling),
                "models": {},
            }
            recipes[name] = self.model_copy(update=changes)
        return recipes


class VerifierRecipe(Recipe):
    """`verifier`: train Head2Toe on the hidden layers of a model, to tell which of its completions are correct."""

    prompt: PromptConfig = PromptConfig(template=AUTO_TEMPLATE)
    """How a question is put to the model."""
    sampling: SamplingConfig = SamplingConfig(samples=8)
    """How the completions that the verifier learns from are sampled."""
    rewards: Rewards = [ACCURACY]
    """Reward functions that score the completions; accuracy is what the verifier learns."""
    answers: Answers = "any"
    """Which forms of an answer are read: `any` is also what is stated in words; `boxed` is boxes and fenced programs
    alone; `tags` are R1's own, or a box or a fenced program where there are no tags."""
    head: Annotated[HeadConfig, OnResume.MAY_CHANGE] = HeadConfig()
    """Settings of Head2Toe among which cross-validation chooses."""


TrainingRecipe = SFTRecipe | RLRecipe | RewardModelRecipe
"""The recipes of the stages that train a model. Each names the config of TRL that its block `trl` belongs to."""

_RECIPE_CLASSES = (
    DataRecipe,
    RLZeroRecipe,
    GenerateRecipe,
    SFTRecipe,
    RewardModelRecipe,
    RLRecipe,
    DistillRecipe,
    EvalRecipe,
    VerifierRecipe,
)
_CLASS_OF_NAME: dict[str, type[Recipe]] = {recipe.__name__: recipe for recipe in _RECIPE_CLASSES}


def recipe_class(stage: str) -> type[Recipe]:
    """Return the class of a stage's recipe, such as SFTRecipe for `sft`."""
    return _CLASS_OF_NAME[STAGES[stage].recipe_class]


def command_module(stage: str, recipe: Recipe) -> str:
    """Return the module whose `main(recipe, run)` runs a stage; the methods of `distill` have one each."""
    if isinstance(recipe, DistillRecipe) and not recipe.trains_on_rows:
        return STAGES[stage].own_answers_module
    return STAGES[stage].command_module
