"""What TRL and the libraries below it refuse of a recipe is one line and exit code 2."""

import pytest
from helpers import RL, SFT, r1kit, write_recipe

from r1kit.errors import UserError
from r1kit.training.refusals import check_types, library_refusals


def test_values_are_brought_to_the_types_of_trl():
    from trl import GRPOConfig, SFTConfig

    block = {"adam_epsilon": "1e-7", "adam_beta2": 1, "dataset_num_proc": 2, "neftune_noise_alpha": None}
    checked = check_types(SFTConfig, block)
    assert checked == {"adam_epsilon": 1e-7, "adam_beta2": 1.0, "dataset_num_proc": 2, "neftune_noise_alpha": None}
    assert isinstance(checked["adam_epsilon"], float)
    block = {"loss_type": "grpo", "optim": "sgd", "scale_rewards": False, "use_vllm": True, "report_to": ["x"]}
    assert check_types(GRPOConfig, block) == block
    assert check_types(GRPOConfig, {"scale_rewards": "group", "report_to": "none"})["scale_rewards"] == "group"


@pytest.mark.parametrize(
    ("key", "value", "requirement"),
    [
        ("adam_beta1", "abc", "must be a number; correct it"),
        ("dataset_num_proc", "abc", "must be a whole number; correct it"),
        ("neftune_noise_alpha", "x", "must be a number; correct it"),
        ("torch_compile", 5, "must be true or false; correct it"),
        ("dataloader_num_workers", 1.5, "must be a whole number; correct it"),
    ],
)
def test_a_value_of_another_type_is_refused(key, value, requirement):
    from trl import SFTConfig

    with pytest.raises(UserError) as caught:
        check_types(SFTConfig, {key: value})
    assert str(caught.value) == f"trl.{key} = {value}; {requirement}"


def test_only_what_a_library_refuses_before_training_is_turned_into_a_line():
    from transformers import TrainingArguments

    def refuse():
        TrainingArguments(output_dir="x", logging_strategy="foo")

    line = r"^trl.logging_strategy = foo; TRL refuses this: foo is not a valid Interval"
    with pytest.raises(UserError, match=line), library_refusals({"logging_strategy": "foo", "report_to": "none"}):
        refuse()
    with pytest.raises(ValueError, match="foo"), library_refusals({}):
        refuse()
    with pytest.raises(ValueError, match="foo"), library_refusals({"a": 1}, lambda: False):
        refuse()
    with pytest.raises(ValueError, match="own"), library_refusals({"a": 1}):
        raise ValueError("own")
    with pytest.raises(ZeroDivisionError), library_refusals({"a": 1}):
        1 / 0  # noqa: B018


SFT_ONE_STEP = {**SFT, "training": {**SFT["training"], "epochs": None, "steps": 1}}
RL_ONE_STEP = {**RL, "training": {**RL["training"], "steps": 1, "reference_reset_steps": None}}


@pytest.mark.parametrize(
    ("stage", "change", "line"),
    [
        ("sft", "trl.eos_token=foo", "trl.eos_token = foo; must be a token of the model's tokenizer; remove it"),
        ("sft", "trl.eos_token=[a]", "trl.eos_token = [a]; must be a token of the model's tokenizer; remove it"),
        ("sft", "trl.optim=galore_adamw", "trl.optim = galore_adamw; TRL refuses this: "),
        ("sft", "trl.optim=paged_adamw_8bit", "trl.optim = paged_adamw_8bit; TRL refuses this: "),
        ("sft", "trl.pad_token=foo", "trl.pad_token = foo; must be a token of the model's tokenizer; remove it"),
        ("sft", "trl.loss_type=foo", "trl.loss_type = foo; must be nll or dft; use one of: dft, nll"),
        ("sft", "trl.optim=foo", "trl.optim = foo; TRL refuses this: foo is not a valid OptimizerNames"),
        ("sft", "trl.optim_args=zz", "trl.optim_args = zz; TRL refuses this: not enough values to unpack"),
        ("sft", "trl.adam_beta1=2", "trl.adam_beta1 = 2; TRL refuses this: Invalid beta parameter at index 0: 2"),
        ("rl-zero", "trl.loss_type=foo", "trl.loss_type = foo; must be grpo, bnpo, dr_grpo, "),
        (
            "rl-zero",
            "trl.scale_rewards=foo",
            "trl.scale_rewards = foo; must be group, batch or none",
        ),
    ],
)
def test_a_wrong_value_in_the_block_trl_is_one_line(tmp_path, stage, change, line):
    file = write_recipe(tmp_path / "recipe.yaml", **(SFT_ONE_STEP if stage == "sft" else RL_ONE_STEP))
    _, err = r1kit(stage, file, f"output={tmp_path / 'run'}", change, code=2)
    assert err.splitlines()[-1].startswith(f"error: {line}")
    assert "Traceback" not in err
