"""The recipes of all stages: their fields, how they are read, checked and documented.

A recipe is the YAML file of one stage. Each block has a file here (model.py, data.py, ...); stages.py puts the blocks
together, load.py reads and overrides, checks.py and its neighbours (training_checks.py, ...) hold the rules between
fields, and reference.py makes the reference and the JSON schema from the classes.
"""

from r1kit.recipe.card import CardConfig
from r1kit.recipe.checks import check_recipe
from r1kit.recipe.data import DataConfig, SourceConfig
from r1kit.recipe.distill import DistillConfig, TeacherModelConfig
from r1kit.recipe.filters import PREFERENCES, FiltersConfig
from r1kit.recipe.head import HeadConfig
from r1kit.recipe.hygiene import HygieneConfig
from r1kit.recipe.load import (
    collect_secrets,
    dump_recipe,
    load_recipe,
    parse_override,
    parse_recipe,
    restore_secrets,
)
from r1kit.recipe.model import LoraConfig, ModelConfig, NewModelConfig
from r1kit.recipe.pairs import PairsConfig
from r1kit.recipe.prompt import PromptConfig
from r1kit.recipe.rewards import RewardConfig
from r1kit.recipe.sampling import (
    SERVER_CONNECTION_FIELDS,
    BudgetConfig,
    LengthStepConfig,
    PolicySamplingConfig,
    RLSamplingConfig,
    SamplingConfig,
    ServerConfig,
)
from r1kit.recipe.scaling import ScalingConfig
from r1kit.recipe.stages import (
    DataRecipe,
    DistillRecipe,
    EvalRecipe,
    GenerateRecipe,
    Recipe,
    RewardModelRecipe,
    RLRecipe,
    RLZeroRecipe,
    SFTRecipe,
    TrainingRecipe,
    VerifierRecipe,
    command_module,
    recipe_class,
)
from r1kit.recipe.teacher import JourneyConfig, RefineConfig, TeacherConfig
from r1kit.recipe.training import (
    DistillTrainingConfig,
    RewardModelTrainingConfig,
    RLTrainingConfig,
    SFTTrainingConfig,
    TrainingConfig,
)

__all__ = [
    "PREFERENCES",
    "SERVER_CONNECTION_FIELDS",
    "BudgetConfig",
    "CardConfig",
    "DataConfig",
    "DataRecipe",
    "DistillConfig",
    "DistillRecipe",
    "DistillTrainingConfig",
    "EvalRecipe",
    "FiltersConfig",
    "GenerateRecipe",
    "HeadConfig",
    "HygieneConfig",
    "JourneyConfig",
    "LengthStepConfig",
    "LoraConfig",
    "ModelConfig",
    "NewModelConfig",
    "PairsConfig",
    "PolicySamplingConfig",
    "PromptConfig",
    "RLRecipe",
    "RLSamplingConfig",
    "RLTrainingConfig",
    "RLZeroRecipe",
    "Recipe",
    "RefineConfig",
    "RewardConfig",
    "RewardModelRecipe",
    "RewardModelTrainingConfig",
    "SFTRecipe",
    "SFTTrainingConfig",
    "SamplingConfig",
    "ScalingConfig",
    "ServerConfig",
    "SourceConfig",
    "TeacherConfig",
    "TeacherModelConfig",
    "TrainingConfig",
    "TrainingRecipe",
    "VerifierRecipe",
    "check_recipe",
    "collect_secrets",
    "command_module",
    "dump_recipe",
    "load_recipe",
    "parse_override",
    "parse_recipe",
    "recipe_class",
    "restore_secrets",
]
