"""What SFT leaves out and its update keeps: padding and TRL's fused head, held against stock TRL."""

import math
from types import SimpleNamespace

import pytest
import torch

from r1kit.runs.paths import SHIPPED_MODELS
from r1kit.training.savings import full_logits
from r1kit.training.savings.packing import pack_into_bins, supports_packed_bins, with_packed_rows

pytestmark = pytest.mark.slow


def relative_error(expected: dict, gradients: dict) -> float:
    """Return the L2 norm of the difference of two whole gradients, as a fraction of that of the expected one."""
    norm = math.sqrt(sum(values.double().pow(2).sum().item() for values in expected.values()))
    squares = [(expected[name] - gradients[name]).double().pow(2).sum().item() for name in expected]
    return math.sqrt(sum(squares)) / norm


SMALL_CONFIG = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 100,
}


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "llama", "num_key_value_heads": 2},
        {"model_type": "cohere", "logit_scale": 0.3},  # logits are multiplied
        {"model_type": "gemma2", "final_logit_softcapping": 0.5, "head_dim": 8},  # and capped
    ],
)
def test_all_logits_at_once_give_what_trl_s_fused_head_gives(changes):
    from transformers import AutoConfig, AutoModelForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**SMALL_CONFIG, **changes))
    outputs = ("log_probs", "entropy", "is_top1")
    add_fused_lm_head(model, temperature=0.7, outputs=outputs)
    ids = torch.randint(3, 100, (3, 9))
    labels = ids.masked_fill(torch.rand(3, 9) < 0.3, -100)
    weights = torch.rand(2, 3, 8)

    def outputs_and_gradients(forward):
        output = forward(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels, fused_lm_head=True)
        loss = (output.log_probs * weights[0]).sum() + (output.entropy * weights[1]).sum()
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        return output.label_mask, output.is_top1, output.log_probs, output.entropy, *gradients

    labels[0, 1:] = model(input_ids=ids[:1]).logits[0, :-1].argmax(dim=-1)  # the row begins with likely tokens
    with_full_logits = full_logits.with_full_logits(model, 0.7, outputs)
    for expected, actual in zip(outputs_and_gradients(model), outputs_and_gradients(with_full_logits), strict=True):
        assert torch.allclose(expected.float(), actual.float(), atol=1e-5)
    output = with_full_logits(input_ids=ids, labels=labels)
    assert output.is_top1.any()
    assert not output.log_probs[labels[:, 1:] == -100].any()
    assert output.log_probs[labels[:, 1:] != -100].all()


@pytest.mark.parametrize("max_full_logits", [full_logits.MAX_FULL_LOGITS, 0])
@pytest.mark.parametrize("uses_bins", [True, False])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"gradient_accumulation_steps": 2},
        {"completion_only_loss": True},
        {"loss_type": "dft"},
        {"label_smoothing_factor": 0.1},
    ],
)
def test_sft_takes_stock_s_step(tmp_path, settings, max_full_logits, uses_bins, monkeypatch):
    """By all logits at once and by TRL's fused head; with rows in bins and in chunks."""
    from trl import SFTTrainer

    from r1kit.recipe import parse_recipe
    from r1kit.training.sft import FineTuningTrainer

    monkeypatch.setattr(full_logits, "MAX_FULL_LOGITS", max_full_logits)
    if not uses_bins:
        monkeypatch.setattr("r1kit.training.sft.FineTuningTrainer._bins_are_cheaper", lambda *args: False)
    # Rows as short as these are cut only if a further pass costs next to nothing.
    monkeypatch.setattr("r1kit.training.sft.pass_cost_in_tokens", lambda model: 8)

    class FineTuningTrainerInStockOrder(FineTuningTrainer):
        _get_train_sampler = SFTTrainer._get_train_sampler

    recipe = parse_recipe("sft", {"output": "x", "model": {"path": "tiny:student"}, "data": {"train": "y"}})
    stock_gradients, stock_tokens, stock_log = train_sft(SFTTrainer, tmp_path / "stock", settings)
    gradients, tokens, log = train_sft(FineTuningTrainerInStockOrder, tmp_path / "r1kit", settings, recipe=recipe)
    assert relative_error(stock_gradients, gradients) < 1e-5
    assert tokens < 0.8 * stock_tokens
    for stock_line, line in zip(stock_log[:3], log[:3], strict=True):
        for key in ("loss", "entropy", "mean_token_accuracy", "num_tokens", "grad_norm"):
            assert float(line[key]) == pytest.approx(float(stock_line[key]), rel=1e-4), key


VIRTUAL_TOKENS = {
    "prompt tuning": ("PromptTuningConfig", {}),
    "prompt tuning from a text": (
        "PromptTuningConfig",
        {"prompt_tuning_init": "TEXT", "prompt_tuning_init_text": "Q: 1", "tokenizer_name_or_path": "tiny:student"},
    ),
    "p-tuning": ("PromptEncoderConfig", {"encoder_hidden_size": 16}),
    "prefix tuning": ("PrefixTuningConfig", {}),
}


@pytest.mark.parametrize("name", VIRTUAL_TOKENS)
def test_prompt_tuning_takes_stock_s_step(tmp_path, name, capsys):
    """TRL's own tests of its SFT trainer have these, which are not r1kit's to run packed or cut."""
    import peft
    from trl import SFTTrainer

    from r1kit.recipe import parse_recipe
    from r1kit.runs.paths import SHIPPED_MODELS
    from r1kit.training.sft import FineTuningTrainer

    class FineTuningTrainerInStockOrder(FineTuningTrainer):
        _get_train_sampler = SFTTrainer._get_train_sampler

    class_name, settings = VIRTUAL_TOKENS[name]
    if "tokenizer_name_or_path" in settings:
        settings = {**settings, "tokenizer_name_or_path": str(SHIPPED_MODELS["tiny:student"])}
    recipe = parse_recipe("sft", {"output": "x", "model": {"path": "tiny:student"}, "data": {"train": "y"}})
    logs = []
    for trainer_class, arguments in ((SFTTrainer, {}), (FineTuningTrainerInStockOrder, {"recipe": recipe})):
        config = getattr(peft, class_name)(num_virtual_tokens=4, task_type="CAUSAL_LM", **settings)
        gradients, _, log = train_sft(trainer_class, tmp_path / class_name, {}, peft_config=config, **arguments)
        logs.append((gradients, log))
    (stock_gradients, stock_log), (gradients, log) = logs
    assert stock_gradients
    assert relative_error(stock_gradients, gradients) < 1e-5
    assert [line["loss"] for line in log[:3]] == pytest.approx([line["loss"] for line in stock_log[:3]], rel=1e-5)
    assert (
        "training.savings: trim switched off, because virtual tokens stand before each row" in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    "error", [RuntimeError("sizes differ\nmore"), IndexError("no index"), TypeError("position_ids")]
)
def test_a_model_that_fails_on_packed_rows_is_run_without_bins(error, capsys):
    def model(input_ids, **inputs):
        if "position_ids" in inputs:
            raise error
        return SimpleNamespace(log_probs=torch.zeros(2, 7))

    model.device = "cpu"
    assert not supports_packed_bins(model, 100)
    note = f"note: rows are padded, not packed: the model fails on packed ones ({type(error).__name__}: "
    assert (note in capsys.readouterr().err) == (not isinstance(error, TypeError))


def train_sft(trainer_class, output_dir, settings, **arguments):
    """Train for three steps; return the gradients by step and name, the tokens that were run, and what was logged."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig

    gradients = {}
    token_count = 0

    class KeepGradients(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
            for name, parameter in model.named_parameters():
                if parameter.requires_grad:
                    gradients[f"{state.global_step} {name}"] = parameter.grad.clone()

    def count_tokens(module, args, kwargs):
        nonlocal token_count
        if kwargs.get("input_ids") is not None:  # virtual tokens are given as embeddings
            token_count += kwargs["input_ids"].numel()

    config = {
        "output_dir": str(output_dir),
        "per_device_train_batch_size": 8,
        "max_steps": 3,
        "bf16": False,
        "use_cpu": True,
        "report_to": [],
        "disable_tqdm": True,
        "logging_steps": 1,
        "max_grad_norm": 1e9,
        "gradient_checkpointing": False,
        "save_strategy": "no",
        **settings,
    }
    rows = [{"prompt": "Q: " + "1 + " * (i % 7) + "2?", "completion": " is 3." * (i * i % 23 + 1)} for i in range(48)]
    trainer = trainer_class(
        model=AutoModelForCausalLM.from_pretrained(SHIPPED_MODELS["tiny:student"]),
        args=SFTConfig(**config),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(SHIPPED_MODELS["tiny:student"]),
        callbacks=[KeepGradients()],
        **arguments,
    )
    trainer.model.model.register_forward_pre_hook(count_tokens, with_kwargs=True)
    trainer.train()
    return gradients, token_count, trainer.state.log_history


def test_bins_by_hand():
    assert pack_into_bins([9, 2, 5, 4, 1], 9) == ([0, 2, 1, 1, 2], [0, 0, 0, 5, 2])
    assert pack_into_bins([2, 5, 4], None) == ([0, 0, 0], [9, 0, 5])


@pytest.mark.parametrize("changes", [{"model_type": "llama"}, {"model_type": "gemma2", "head_dim": 8}])
@pytest.mark.parametrize("width", [9, 20, None])
def test_rows_in_bins_give_what_padded_rows_give(changes, width):
    from transformers import AutoConfig, AutoModelForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**SMALL_CONFIG, **changes))
    add_fused_lm_head(model, outputs=("log_probs", "entropy", "is_top1"))
    ids, mask = torch.randint(3, 100, (5, 9)), torch.ones(5, 9, dtype=torch.long)
    for row, length in enumerate((9, 2, 5, 4, 1)):
        mask[row, length:] = 0
    mask[4] = mask[4].flip(0)  # on the left
    labels = ids.masked_fill((mask == 0) | (torch.rand(5, 9) < 0.2), -100)
    inputs = {"input_ids": ids, "attention_mask": mask, "labels": labels, "use_cache": False, "fused_lm_head": True}

    def outputs_and_gradients(forward):
        output = forward(**inputs)
        gradients = torch.autograd.grad((output.log_probs * weights).sum(), list(model.parameters()))
        return output.log_probs, output.entropy, output.is_top1, output.label_mask, *gradients

    weights = torch.rand(5, 8)
    weights[4] = 0  # its first token follows padding, which stock scores, and a bin does not
    packed = outputs_and_gradients(with_packed_rows(model, width))
    for expected, actual in zip(outputs_and_gradients(model), packed, strict=True):
        if expected.shape == weights.shape:
            expected, actual = expected[:4], actual[:4]
        assert torch.allclose(expected.float(), actual.float(), atol=1e-5)


@pytest.mark.parametrize(
    ("model_type", "is_supported"), [("llama", True), ("bloom", False), ("qwen2", True), ("gpt_neox", True)]
)
def test_whether_a_model_keeps_rows_of_a_bin_apart_is_tried_out(model_type, is_supported):
    from transformers import AutoConfig, AutoModelForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(**{**SMALL_CONFIG, "model_type": model_type, "num_key_value_heads": 2})
    )
    add_fused_lm_head(model)
    assert supports_packed_bins(model, 100) == is_supported
