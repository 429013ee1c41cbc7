"""The stages of the pipeline: the one table from which the command line, the launcher and the recipes are made.

A stage is a command (`r1kit sft RECIPE.yaml`) that reads a recipe and writes a run. This module imports nothing, so
that `r1kit --help` is quick: recipes and commands are named here as text, and imported by who needs them.

    STAGES["sft"].command_module        "r1kit.commands.sft"
    STAGES["sft"].recipe_class          "SFTRecipe", a class of r1kit.recipe
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One stage of the pipeline."""

    name: str
    """The subcommand, such as `rl-zero`."""
    summary: str
    """One line for `r1kit --help`; at most 62 characters, so that a terminal of 80 columns does not cut it."""
    recipe_class: str
    """The class of r1kit.recipe that describes its recipe."""
    command_module: str
    """The module whose `main(recipe, run)` runs the stage."""
    own_answers_module: str = ""
    """The module of a stage's other methods, in which the model learns from its own answers."""
    trains_model: bool = False
    """Whether the stage changes the weights of a model, with TRL's trainer."""
    product: str = "model"
    """The folder of the run that holds the weights, if the stage trains some."""


_ALL_STAGES = (  # in the order of the pipeline
    Stage(
        name="rl-zero",
        summary="Train a base model by RL alone (GRPO), as DeepSeek-R1-Zero.",
        recipe_class="RLZeroRecipe",
        command_module="r1kit.commands.rl",
        trains_model=True,
    ),
    Stage(
        name="generate",
        summary="Sample completions, score them, keep good ones as SFT data.",
        recipe_class="GenerateRecipe",
        command_module="r1kit.commands.generate",
    ),
    Stage(
        name="sft",
        summary="Fine-tune a model on rows, or train a new one on plain text.",
        recipe_class="SFTRecipe",
        command_module="r1kit.commands.sft",
        trains_model=True,
    ),
    Stage(
        name="reward-model",
        summary="Train a reward model on pairs of a better and a worse answer.",
        recipe_class="RewardModelRecipe",
        command_module="r1kit.commands.reward_model",
        trains_model=True,
        product="reward_model",
    ),
    Stage(
        name="rl",
        summary="Train a fine-tuned model by RL, with language consistency.",
        recipe_class="RLRecipe",
        command_module="r1kit.commands.rl",
        trains_model=True,
    ),
    Stage(
        name="distill",
        summary="Train a small model on a larger one's rows or its judgement.",
        recipe_class="DistillRecipe",
        command_module="r1kit.commands.sft",
        own_answers_module="r1kit.commands.distill",
        trains_model=True,
    ),
    Stage(
        name="eval",
        summary="Measure models on held-out problems: pass@1, vote, scaling.",
        recipe_class="EvalRecipe",
        command_module="r1kit.commands.evaluate",
    ),
    Stage(
        name="verifier",
        summary="Train a verifier that tells which completions are correct.",
        recipe_class="VerifierRecipe",
        command_module="r1kit.commands.verifier",
    ),
    Stage(
        name="data",
        summary="Read, mix, filter and clean data sets, without sampling.",
        recipe_class="DataRecipe",
        command_module="r1kit.commands.data",
    ),
)

STAGES = {stage.name: stage for stage in _ALL_STAGES}
