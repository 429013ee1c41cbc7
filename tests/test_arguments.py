"""The arguments that r1kit passes to TRL's configs are those of the table in r1kit.recipe.trl."""

import math
from typing import Any

import pytest

from r1kit.errors import UserError
from r1kit.models.load import create_model, load_tokenizer
from r1kit.recipe import ModelConfig, NewModelConfig, TrainingConfig, parse_recipe
from r1kit.recipe.trl import DEFAULTED_TRL_FIELDS, OWNED_TRL_FIELDS
from r1kit.runs.run import Run
from r1kit.training.arguments import (
    distillation_arguments,
    grpo_arguments,
    reward_model_arguments,
    sft_arguments,
    split_batch,
)


def make_recipe(stage: str, **changes: Any) -> Any:
    """Return a recipe in which every field that sets an optional argument is set."""
    values: dict[str, Any] = {
        "output": "o",
        "model": {"path": "m", "revision": "v1"},
        "data": {"train": "rows.jsonl", "eval": "held_out.jsonl"},
        "training": {"steps": 12, "batch_size": 16, "save_steps": 5, "eval_steps": 5, **changes.pop("training", {})},
    }
    return parse_recipe(stage, {**values, **changes})


def test_the_arguments_of_sft_are_those_of_the_table(tmp_path):
    arguments = sft_arguments(make_recipe("sft"), Run(tmp_path))
    assert set(arguments) == set(OWNED_TRL_FIELDS["SFTConfig"]) | DEFAULTED_TRL_FIELDS


def test_the_arguments_of_reward_models_are_those_of_the_table(tmp_path):
    arguments = reward_model_arguments(make_recipe("reward-model"), Run(tmp_path))
    assert set(arguments) == set(OWNED_TRL_FIELDS["RewardConfig"]) | DEFAULTED_TRL_FIELDS


@pytest.mark.parametrize("stage", ["rl-zero", "rl"])
def test_the_arguments_of_rl_are_those_of_the_table(tmp_path, stage):
    recipe = make_recipe(stage, sampling={"group_size": 4})
    arguments = grpo_arguments(recipe, Run(tmp_path))
    assert set(arguments) == set(OWNED_TRL_FIELDS["GRPOConfig"]) | DEFAULTED_TRL_FIELDS


def test_the_arguments_of_on_policy_distillation_are_those_of_the_table(tmp_path):
    recipe = make_recipe("distill", distill={"method": "on-policy"}, teacher={"path": "t"})
    arguments = distillation_arguments(recipe, Run(tmp_path))
    assert set(arguments) == set(OWNED_TRL_FIELDS["DistillationConfig"]) | DEFAULTED_TRL_FIELDS


def test_checkpoints_and_evaluations_of_rl_fall_on_the_ends_of_rollouts(tmp_path):
    """With 2 updates of a rollout and 2 iterations of TRL, 4 steps train on one rollout: 5 becomes 8."""
    recipe = make_recipe(
        "rl", sampling={"group_size": 4}, training={"updates_per_rollout": 2}, trl={"num_iterations": 2}
    )
    assert recipe.completions_per_rollout == 32
    assert recipe.prompts_per_rollout == 8
    assert recipe.steps_per_rollout == 4
    arguments = grpo_arguments(recipe, Run(tmp_path))
    assert arguments["save_steps"] == arguments["eval_steps"] == 8


@pytest.mark.parametrize(("lowest", "warmup_steps"), [(0.0, 0), (1e-4, 0), (1e-4, 3), (2e-3, 3)])
def test_the_cosine_ends_at_the_lowest_rate(tmp_path, lowest, warmup_steps):
    """Also for an optimizer without `defaults`, as DeepSpeed's are."""
    import torch
    from transformers.optimization import get_scheduler

    training = {"learning_rate": 1e-3, "schedule": "cosine", "min_learning_rate": lowest, "warmup_steps": warmup_steps}
    arguments = sft_arguments(make_recipe("sft", training=training), Run(tmp_path))

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    del optimizer.defaults
    kwargs = arguments["lr_scheduler_kwargs"]
    schedule = get_scheduler(arguments["lr_scheduler_type"], optimizer, warmup_steps, 12, kwargs)
    for step in range(13):
        fraction = (step - warmup_steps) / (12 - warmup_steps)
        expected = lowest + (1e-3 - lowest) * (1 + math.cos(math.pi * fraction)) / 2
        if step < warmup_steps:
            expected = 1e-3 * step / warmup_steps
        assert schedule.lr_lambdas[0](step) * 1e-3 == pytest.approx(expected, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(
    ("micro_batch_size", "processes", "fitting_rows", "split"),
    [
        (None, 1, None, (128, 1)),
        (4, 8, None, (4, 4)),
        (None, 2, 10, (8, 8)),  # of the divisors of 64, the largest up to 10
        (4, 2, 10, (4, 16)),  # what fits never makes a micro-batch larger
    ],
)
def test_a_global_batch_is_split_over_processes_and_micro_batches(micro_batch_size, processes, fitting_rows, split):
    training = TrainingConfig(batch_size=128, micro_batch_size=micro_batch_size)
    assert split_batch(training, processes, fitting_rows) == split


@pytest.mark.parametrize(
    ("micro_batch_size", "processes", "line"),
    [
        (None, 3, "training.batch_size = 128; must be a multiple of the number of processes, 3; "),
        (48, 1, "training.micro_batch_size = 48; must divide the 128 rows of each process"),
    ],
)
def test_a_batch_that_does_not_divide_is_refused(micro_batch_size, processes, line):
    with pytest.raises(UserError) as caught:
        split_batch(TrainingConfig(batch_size=128, micro_batch_size=micro_batch_size), processes)
    assert str(caught.value).startswith(line)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"hidden_size": "abc"}, "Field 'hidden_size' expected int, got str (value: 'abc')"),
        ({"hidden_size": 10, "num_attention_heads": 3}, "The hidden size (10) is not a multiple of the number of"),
    ],
)
def test_wrong_settings_of_a_new_model_are_refused(settings, reason):
    tokenizer = load_tokenizer(ModelConfig(path="tiny:base"))
    with pytest.raises(UserError) as caught:
        create_model(NewModelConfig(settings=settings), tokenizer)
    assert f"; must be fields of a llama config: {reason}" in str(caught.value)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"holds no model: it has no config.json; check the path"):
        load_tokenizer(ModelConfig(path=str(tmp_path)))
    with pytest.raises(UserError, match=r"model.path = tiny:bas; no such shipped model; did you mean tiny:base\?"):
        load_tokenizer(ModelConfig(path="tiny:bas"))
