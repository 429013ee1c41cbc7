"""Adapters: merged they are the model that they were trained as, or refused; and training goes on from them."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from helpers import RL, SFT, largest_difference, r1kit, read_metrics, read_weights, write_recipe

from r1kit.errors import UserError
from r1kit.models.load import describe_adapter, load_model, load_model_to_train, load_tokenizer
from r1kit.recipe import ModelConfig
from r1kit.runs.paths import SHIPPED_MODELS

STUDENT = SHIPPED_MODELS["tiny:student"]
IDS = torch.arange(3, 43).view(2, 20)
LLAMA = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
GPT2 = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
QWEN3 = {**LLAMA, "model_type": "qwen3", "head_dim": 8}
GEMMA = {**LLAMA, "model_type": "gemma2", "head_dim": 8}


def save_base(folder, settings, tied):
    """Save a small model with random weights, and return its folder."""
    from transformers import AutoConfig, AutoModelForCausalLM

    values = {**settings, "vocab_size": 80, "tie_word_embeddings": tied}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**values))
    model.save_pretrained(folder)
    return folder


def save_adapter(folder, base, **settings):
    """Save an adapter with random weights, none of them zero, and return its folder and its logits by peft."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    config = LoraConfig(r=4, lora_alpha=8, init_lora_weights=False, task_type="CAUSAL_LM", **settings)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.requires_grad and "lora" not in name:  # modules_to_save and trainable tokens
                weight.add_(torch.randn_like(weight) * 0.1)
    model.save_pretrained(folder)
    return folder, model.eval()(IDS).logits


# Merging

ALL_OF_IT = ["q_proj", "v_proj", "embed_tokens", "lm_head"]
ADAPTERS = {
    "all-linear": {"target_modules": "all-linear"},
    "embeddings": {"target_modules": ["q_proj", "embed_tokens"]},
    "head": {"target_modules": ["q_proj", "lm_head"]},
    "both": {"target_modules": ALL_OF_IT},
    "tied by peft": {"target_modules": ["q_proj", "embed_tokens"], "ensure_weight_tying": True},
    "rank-stabilised": {"target_modules": ["q_proj", "embed_tokens"], "use_rslora": True},
    "DoRA": {"target_modules": ["q_proj", "o_proj"], "use_dora": True},
    "pattern": {"target_modules": r".*\.(q_proj|embed_tokens)"},
    "saved embeddings": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
    "saved head": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
    "saved both": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
    "trained tokens": {"target_modules": ["q_proj"], "trainable_token_indices": {"embed_tokens": [5, 7]}},
}


def check_merged(tmp_path, base, settings):
    """Assert that the merged model has the adapter's logits: in memory, and saved and loaded by transformers."""
    from transformers import AutoModelForCausalLM

    adapter, logits = save_adapter(tmp_path / "adapter", base, **settings)
    plain = AutoModelForCausalLM.from_pretrained(base)(IDS).logits
    assert (plain - logits).abs().max() > 1e-2
    merged = load_model(ModelConfig(path=str(adapter)), training=False, device="cpu").eval()
    assert torch.allclose(merged(IDS).logits, logits, atol=1e-4)
    merged.save_pretrained(tmp_path / "merged")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert torch.allclose(again(IDS).logits, logits, atol=1e-4)
    assert all(weight.requires_grad for weight in merged.parameters())
    return again


@pytest.mark.parametrize("name", ADAPTERS)
@pytest.mark.parametrize("tied", [True, False])
def test_a_merged_model_is_the_adapter(tmp_path, name, tied):
    again = check_merged(tmp_path, save_base(tmp_path / "base", LLAMA, tied), ADAPTERS[name])
    shares_weights = again.get_input_embeddings().weight is again.get_output_embeddings().weight
    # Two weights only where the adapter has made them differ.
    assert shares_weights == (tied and name in ("all-linear", "tied by peft", "DoRA", "trained tokens"))


@pytest.mark.parametrize(
    ("family", "targets"),
    [
        (GPT2, ["c_attn", "wte"]),
        (GPT2, "all-linear"),
        (QWEN3, ["k_proj", "embed_tokens"]),
        (GEMMA, ["k_proj", "embed_tokens"]),
    ],
)
def test_a_merged_model_of_another_family_is_the_adapter(tmp_path, family, targets):
    check_merged(tmp_path, save_base(tmp_path / "base", family, tied=True), {"target_modules": targets})


def test_merge_writes_the_same_model(tmp_path):
    from transformers import AutoModelForCausalLM

    base = save_base(tmp_path / "base", LLAMA, tied=True)
    load_tokenizer(ModelConfig(path="tiny:student")).save_pretrained(base)
    adapter, logits = save_adapter(tmp_path / "adapter", base, **ADAPTERS["embeddings"])
    r1kit("merge", adapter, "-o", tmp_path / "merged")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert torch.allclose(merged(IDS).logits, logits, atol=1e-4)
    # The adapter's folder has no tokenizer: it is that of the base.
    assert load_tokenizer(ModelConfig(path=str(tmp_path / "merged"))).vocab_size > 80


def test_a_run_with_adapted_embeddings_is_merged_into_what_it_trained(tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    lora = {"r": 4, "targets": ["q_proj", "embed_tokens"], "merge": True}
    values = {**SFT, "model": {"path": "tiny:student", "lora": lora}}
    values["training"] = {**SFT["training"], "epochs": None, "steps": 4}
    _, err = r1kit("sft", write_recipe(tmp_path / "sft.yaml", **values), f"output={tmp_path / 'run'}")
    base = AutoModelForCausalLM.from_pretrained(STUDENT)
    plain = base(IDS).logits
    logits = PeftModel.from_pretrained(base, tmp_path / "run/adapter").eval()(IDS).logits
    assert (plain - logits).abs().max() > 0.1
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "run/model")
    assert torch.allclose(merged(IDS).logits, logits, atol=1e-4)
    assert "Warning" not in err


# What cannot be done is one line.


@pytest.mark.parametrize(
    ("targets", "line"),
    [
        (["q_proj", "foo"], "model.lora.targets = foo; no module of this model has this name; use one of: down_proj, "),
        (["q_prj"], "model.lora.targets = q_prj; no module of this model has this name; did you mean q_proj?"),
        (["mlp"], "model.lora.targets = mlp; model.layers.0.mlp is a LlamaMLP, and LoRA changes single layers alone; "),
        (["q_proj", "lm_head"], "model.lora.targets = lm_head; names the output head, whose adapter TRL's loss would"),
        (".*(", "model.lora.targets = .*(; must be a list of names or a regular expression: missing ), unterminated"),
        ([], "model.lora.targets = []; must name a module; use all-linear, or names of modules"),
    ],
)
def test_wrong_targets_are_refused(targets, line):
    with pytest.raises(UserError) as caught:
        load_model_to_train(ModelConfig(path="tiny:student", lora={"targets": targets}))
    assert str(caught.value).startswith(line)
    assert "lm_head" not in str(caught.value) or "lm_head" in targets


def test_a_wrong_target_ends_the_command_in_one_line(tmp_path):
    file = write_recipe(tmp_path / "sft.yaml", **SFT)
    _, err = r1kit("sft", file, f"output={tmp_path / 'run'}", "model.lora={targets: [foo]}", code=2)
    assert err.splitlines()[-1].startswith("error: model.lora.targets = foo; no module of this model has this name; ")
    assert "Traceback" not in err


def test_adapters_that_cannot_be_merged_or_do_not_fit_are_refused(tmp_path):
    from peft import PromptTuningConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = save_base(tmp_path / "base", LLAMA, tied=True)

    def refusal(folder, lora=None):
        block = ModelConfig(path=str(folder), lora=lora)
        with pytest.raises(UserError) as caught:
            load_model(block, training=False, device="cpu") if lora is None else load_model_to_train(block)
        assert str(caught.value).startswith(f"model.path = {folder}; ")
        return str(caught.value)

    prompt_tuning = PromptTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), prompt_tuning)
    model.save_pretrained(tmp_path / "prompt")
    assert "is an adapter of the type PROMPT_TUNING, which has no weights to merge" in refusal(tmp_path / "prompt")
    assert "is an adapter of the type PROMPT_TUNING, which r1kit does not train" in refusal(tmp_path / "prompt", {})

    adapter, _ = save_adapter(tmp_path / "adapter", base, **ADAPTERS["head"])
    assert "this adapter changes the output head, which TRL's loss does not train" in refusal(adapter, {})
    adapter, _ = save_adapter(tmp_path / "adapter", base, target_modules=["q_proj"])
    config = json.loads((adapter / "adapter_config.json").read_text())

    def changed(name, **changes):
        shutil.copytree(adapter, tmp_path / name)
        (tmp_path / name / "adapter_config.json").write_text(json.dumps({**config, **changes}))
        return tmp_path / name

    wide = save_base(tmp_path / "wide", {**LLAMA, "hidden_size": 64}, tied=True)
    assert "this adapter does not fit its base" in refusal(changed("wider", base_model_name_or_path=str(wide)))
    deep = save_base(tmp_path / "deep", {**LLAMA, "num_hidden_layers": 4}, tied=True)
    assert "Found missing adapter keys" in refusal(changed("deeper", base_model_name_or_path=str(deep)))
    assert "does not name its base" in refusal(changed("nameless", base_model_name_or_path=None))
    gone = changed("gone", base_model_name_or_path=str(tmp_path / "no folder"))
    assert f"is an adapter, whose base {tmp_path / 'no folder'} cannot be loaded" in refusal(gone)
    assert "adapter_config.json cannot be read" in refusal(changed("odd", peft_type="NEWEST"))
    both = changed("both")
    shutil.copy(base / "config.json", both)
    assert "holds a model and an adapter" in refusal(both)


# Training goes on from an adapter.


@pytest.fixture(scope="module")
def sft_run(tmp_path_factory):
    """Return a run of SFT with an adapter, and the recipe of four more steps."""
    folder = tmp_path_factory.mktemp("lora")
    training = {**SFT["training"], "epochs": None, "steps": 4, "save_steps": 4}
    recipe = write_recipe(folder / "sft.yaml", **{**SFT, "training": training})
    r1kit("sft", recipe, f"output={folder / 'run'}", "model.lora={r: 4, alpha: 8, targets: [q_proj, embed_tokens]}")
    return folder / "run", recipe


def first_loss(run):
    return next(line["loss"] for line in read_metrics(run) if "loss" in line)


def test_sft_goes_on_from_an_adapter(tmp_path, sft_run):
    """By the adapter alone, or by all weights after a merge: both begin at the loss of the merged model."""
    run, recipe = sft_run
    r1kit("merge", run, "-o", tmp_path / "merged")
    r1kit("sft", recipe, f"output={tmp_path / 'plain'}", f"model.path={tmp_path / 'merged'}")
    _, err = r1kit("sft", recipe, f"output={tmp_path / 'further'}", f"model.path={run}", "model.lora={}")
    assert "note: model.path is an adapter of rank 4, which is trained further" in err
    _, err = r1kit("sft", recipe, f"output={tmp_path / 'full'}", f"model.path={run}")
    assert "note: model.path is an adapter: it is merged into its base, and all weights are trained; set" in err
    for name in ("further", "full"):
        assert first_loss(tmp_path / name) == pytest.approx(first_loss(tmp_path / "plain"), abs=1e-5)
    assert first_loss(tmp_path / "plain") < first_loss(run) - 0.01
    full, plain = read_weights(tmp_path / "full/model"), read_weights(tmp_path / "plain/model")
    assert largest_difference(full, plain) < 1e-3
    config = json.loads((tmp_path / "further/model/adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (4, 8)
    assert Path(config["base_model_name_or_path"]) == STUDENT


def test_a_new_adapter_may_be_started_on_the_merged_one(tmp_path, sft_run):
    """It begins at the loss of the merged model and has its own shape; its base is in the run, and moves with it."""
    run, recipe = sft_run
    r1kit("merge", run, "-o", tmp_path / "merged")
    r1kit("sft", recipe, f"output={tmp_path / 'plain'}", f"model.path={tmp_path / 'merged'}")
    lora = "model.lora={r: 8, alpha: 8, targets: [q_proj], start: new}"
    _, err = r1kit("sft", recipe, f"output={tmp_path / 'second'}", f"model.path={run}", lora)
    assert "note: model.path is an adapter: it is merged into its base, and a new adapter is trained" in err
    assert first_loss(tmp_path / "second") == pytest.approx(first_loss(tmp_path / "plain"), abs=1e-5)
    config = json.loads((tmp_path / "second/model/adapter_config.json").read_text())
    assert (config["r"], config["target_modules"]) == (8, ["q_proj"])
    assert config["base_model_name_or_path"] == str(tmp_path / "second/base")
    base, merged = read_weights(tmp_path / "second/base"), read_weights(tmp_path / "merged")
    assert largest_difference(base, merged) < 1e-6
    before = load_model(ModelConfig(path=str(tmp_path / "second")), training=False, device="cpu")(IDS).logits
    (tmp_path / "second").rename(tmp_path / "moved")
    after = load_model(ModelConfig(path=str(tmp_path / "moved")), training=False, device="cpu")(IDS).logits
    assert torch.equal(before, after)


def test_rl_starts_a_new_adapter_whose_reference_is_the_merged_one(tmp_path, sft_run):
    run, _ = sft_run
    training = {**RL["training"], "steps": 2, "reference_reset_steps": None, "savings": []}
    recipe = write_recipe(tmp_path / "rl.yaml", **{**RL, "training": training})
    lora = "model.lora={r: 8, targets: [q_proj], start: new}"
    r1kit("rl-zero", recipe, f"output={tmp_path / 'run'}", f"model.path={run}", lora)
    divergences = [line["kl"] for line in read_metrics(tmp_path / "run") if "kl" in line]
    assert divergences[0] == pytest.approx(0.0, abs=1e-6)
    config = json.loads((tmp_path / "run/model/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tmp_path / "run/base")


def test_sft_from_an_adapter_with_another_shape_is_refused(tmp_path, sft_run):
    run, recipe = sft_run
    _, err = r1kit("sft", recipe, f"output={tmp_path / 'x'}", f"model.path={run}", "model.lora.r=8", code=2)
    line = "error: model.lora.r = 8; the adapter at model.path has r = 4, and keeps it when it is trained further; rem"
    assert line in err


@pytest.mark.parametrize("changes", [[], ["model.lora={}"], ["model.lora={}", "training.reference_reset_steps=1"]])
def test_rl_goes_on_from_an_adapter_and_compares_with_it(tmp_path, sft_run, changes):
    """The reference model is the adapter as it was: the KL term of the first step is 0, and grows from there."""
    run, _ = sft_run
    training = {**RL["training"], "steps": 2, "reference_reset_steps": None, "savings": []}
    recipe = write_recipe(tmp_path / "rl.yaml", **{**RL, "training": training})
    _, err = r1kit("rl-zero", recipe, f"output={tmp_path / 'run'}", f"model.path={run}", *changes)
    assert "note: model.path is an adapter" in err
    divergences = [line["kl"] for line in read_metrics(tmp_path / "run") if "kl" in line]
    assert divergences[0] == pytest.approx(0.0, abs=1e-6)
    if "training.reference_reset_steps=1" in changes:
        assert divergences[1] == pytest.approx(0.0, abs=1e-6)
    else:
        assert divergences[1] > 1e-6


def test_an_adapter_on_a_new_model_is_refused(tmp_path):
    file = write_recipe(tmp_path / "sft.yaml", **{**SFT, "model": {"new": {}, "lora": {}}})
    _, err = r1kit("sft", file, f"output={tmp_path / 'run'}", code=2)
    assert err.startswith(
        "error: model.lora: an adapter is saved without the model under it, and a new model is saved "
    )


def test_a_default_of_lora_that_the_adapter_does_not_have_is_told(tmp_path):
    config = {"peft_type": "LORA", "base_model_name_or_path": "tiny:base", "r": 8, "lora_alpha": 32}
    (tmp_path / "adapter_config.json").write_text(json.dumps({**config, "target_modules": ["q_proj"]}))
    notes = describe_adapter(ModelConfig(path=str(tmp_path), lora={"r": 16}))
    assert "model.lora.r = 16 is not used: the adapter has r = 8" in notes
    assert "all weights are trained" in describe_adapter(ModelConfig(path=str(tmp_path)))[0]
