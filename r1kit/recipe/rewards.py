"""The entries of `rewards`: which reward functions score a completion, and with what weight."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, model_validator

from r1kit.recipe.block import KeysMayChange, NonNegativeInt, NumbersAsWritten, OnResume, PositiveFloat, PositiveInt

Answers = Literal["tags", "boxed", "any"]
"""Which forms of an answer are read; see `read_answer` in r1kit/answers/extract.py."""


def normalise_rewards(entries: Any) -> Any:
    """Return the entries of `rewards` as mappings: `accuracy` alone becomes {"name": "accuracy"}."""
    if not isinstance(entries, list):
        return entries
    return [{"name": entry} if isinstance(entry, str) else entry for entry in entries]


def _allow_name_alone(schema: dict[str, Any]) -> None:
    """Change the JSON schema of a reward so that it accepts its name in the place of a block."""
    block = dict(schema)
    schema.clear()
    schema["anyOf"] = [{"type": "string"}, block]


class RewardConfig(NumbersAsWritten):
    """A reward function, its weight, and the rows and steps it applies to. Further keys are the function's settings.

    A name alone, as in `rewards: [accuracy, format]`, takes the defaults.
    """

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True, json_schema_extra=_allow_name_alone)

    name: str
    """Name of a reward of r1kit, such as accuracy, or dotted path of your own function, such as my_module.my_reward."""
    weight: float = 1.0
    """Factor by which the reward is multiplied before the rewards of a completion are added up."""
    where: dict[str, list[Any]] = {}
    """Rows that the reward applies to, as column: values, such as {domain: [math, code]}; default: all rows."""
    from_step: NonNegativeInt = 0
    """First optimizer step at which the reward applies; it counts nothing before."""
    last_steps: PositiveInt | None = None
    """Apply the reward only in this many last steps of the training; default: in all."""

    max_seconds: Annotated[PositiveFloat | None, OnResume.IGNORED] = None
    """Seconds that one call of the reward may take; a longer call ends the run. Default: for functions of your own 600,
    and 10 more for each completion of the call; the rewards of r1kit limit each answer themselves."""

    @model_validator(mode="before")
    @classmethod
    def _accept_name_alone(cls, entry: Any) -> Any:
        return normalise_rewards([entry])[0]

    @model_validator(mode="after")
    def _check_settings(self) -> Self:
        for name, value in self.settings.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name}: must be a finite number, not {value}")
        return self

    @property
    def settings(self) -> dict[str, Any]:
        """Return the settings of the reward function itself."""
        return dict(self.model_extra or {})

    @property
    def short_name(self) -> str:
        """Return the name without the modules of a dotted path: the reward's column in the rows."""
        return self.name.rpartition(".")[2]


Rewards = Annotated[list[RewardConfig], KeysMayChange(frozenset({"server", "budget", "cache"}))]
"""The rewards of a recipe. How a judge is reached, and what it may cost, may change when a run is resumed."""


def reward_names(rewards: list[RewardConfig]) -> list[str]:
    """Return the column names of the rewards of a recipe."""
    return [reward.short_name for reward in rewards]


def has_accuracy_reward(rewards: list[RewardConfig]) -> bool:
    """Return whether one of the rewards decides correctness: `accuracy`, or a function of yours with that name."""
    return any(reward.short_name == "accuracy" for reward in rewards)


def answers_of_accuracy(rewards: list[RewardConfig], answers: Answers) -> Answers:
    """Return which forms of an answer the accuracy reward reads: the recipe's `answers`, unless its entry sets them."""
    for reward in rewards:
        if reward.short_name == "accuracy" and "answers" in reward.settings:
            return reward.settings["answers"]
    return answers
