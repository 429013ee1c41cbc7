"""`--dry-run`: what it says of a model, and its count of parameters, held against real models and published totals."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers import r1kit, write_recipe

from r1kit.recipe import LoraConfig, ModelConfig

LLAMA_LIKE = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
SMALL_EXPERTS = {**LLAMA_LIKE, "moe_intermediate_size": 24, "num_experts": 4, "num_experts_per_tok": 2, "head_dim": 8}
VISION = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
DEEPSEEK = {
    **LLAMA_LIKE,
    "num_key_value_heads": 4,
    "moe_intermediate_size": 24,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 8,
    "q_lora_rank": 12,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 8,
}

SMALL_CONFIGS = {
    # dense
    "gpt2": {"vocab_size": 96, "n_embd": 32, "n_layer": 2, "n_head": 4},
    "gpt_neox": {**LLAMA_LIKE},
    "gptj": {"vocab_size": 96, "n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4},
    "opt": {
        "vocab_size": 96,
        "hidden_size": 32,
        "ffn_dim": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "word_embed_proj_dim": 16,
    },
    "bloom": {"vocab_size": 96, "hidden_size": 32, "n_layer": 2, "n_head": 4},
    "falcon": {**LLAMA_LIKE, "new_decoder_architecture": True, "num_kv_heads": 2},
    "llama": {**LLAMA_LIKE, "tie_word_embeddings": True, "attention_bias": True},
    "mistral": {**LLAMA_LIKE, "head_dim": 16},
    "qwen2": {**LLAMA_LIKE},
    "qwen3": {**LLAMA_LIKE, "head_dim": 16, "tie_word_embeddings": True},
    "phi3": {**LLAMA_LIKE, "pad_token_id": 0},
    "gemma": {**LLAMA_LIKE, "head_dim": 16},
    "gemma2": {**LLAMA_LIKE, "head_dim": 16},
    "gemma3_text": {**LLAMA_LIKE, "head_dim": 16},
    "cohere2": {**LLAMA_LIKE},
    "olmo2": {**LLAMA_LIKE},
    "starcoder2": {**LLAMA_LIKE},
    "stablelm": {**LLAMA_LIKE},
    "glm4": {**LLAMA_LIKE, "head_dim": 8, "pad_token_id": 0},
    "smollm3": {**LLAMA_LIKE, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
    # mixtures of experts
    "mixtral": {**LLAMA_LIKE, "num_local_experts": 4},
    "qwen2_moe": {**SMALL_EXPERTS, "shared_expert_intermediate_size": 40},
    "qwen3_moe": {**SMALL_EXPERTS},
    "olmoe": {**LLAMA_LIKE, "num_experts": 4, "num_experts_per_tok": 2},
    "granitemoe": {**LLAMA_LIKE, "num_local_experts": 4},
    "gpt_oss": {**LLAMA_LIKE, "num_local_experts": 4, "head_dim": 8},
    "deepseek_v2": {**DEEPSEEK},
    "deepseek_v3": {**DEEPSEEK},
    "ernie4_5_moe": {**LLAMA_LIKE, "moe_intermediate_size": 24, "moe_num_experts": 4},
    # recurrent and hybrid layers
    "mamba": {"vocab_size": 96, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4},
    "mamba2": {
        "vocab_size": 96,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "state_size": 4,
        "head_dim": 8,
        "num_heads": 8,
        "n_groups": 2,
    },
    "falcon_h1": {**LLAMA_LIKE, "mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8},
    "jamba": {**LLAMA_LIKE, "num_hidden_layers": 8, "num_experts": 4, "mamba_d_state": 4, "mamba_dt_rank": 4},
    "lfm2": {**LLAMA_LIKE, "num_hidden_layers": 3, "layer_types": ["conv", "full_attention", "conv"]},
    "nemotron_h": {
        **LLAMA_LIKE,
        "layers_block_type": ["mamba", "moe", "attention", "mamba"],
        "mamba_num_heads": 4,
        "mamba_head_dim": 8,
        "ssm_state_size": 4,
        "n_groups": 2,
        "head_dim": 8,
        "n_routed_experts": 4,
        "moe_intermediate_size": 24,
        "moe_shared_expert_intermediate_size": 24,
    },
    "qwen3_next": {
        **SMALL_EXPERTS,
        "num_hidden_layers": 4,
        "shared_expert_intermediate_size": 24,
        "linear_num_value_heads": 4,
        "linear_num_key_heads": 2,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
    },
    "recurrent_gemma": {**LLAMA_LIKE, "num_hidden_layers": 3, "lru_width": 32, "num_key_value_heads": 1},
    "zamba2": {
        **LLAMA_LIKE,
        "num_hidden_layers": 4,
        "layer_types": ["mamba", "hybrid", "mamba", "hybrid"],
        "num_key_value_heads": 4,
        "mamba_d_state": 8,
        "n_mamba_heads": 4,
        "num_mem_blocks": 1,
    },
    "bamba": {**LLAMA_LIKE, "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "attn_layer_indices": [1]},
    # images beside text
    "gemma3": {"text_config": {**LLAMA_LIKE, "head_dim": 8}, "vision_config": {**VISION, "image_size": 28}},
    "llama4": {"text_config": {**LLAMA_LIKE, "intermediate_size_mlp": 48, "num_local_experts": 2, "head_dim": 8}},
}


@pytest.mark.parametrize("model_type", SMALL_CONFIGS)
def test_parameters_are_those_of_the_real_model(model_type):
    """The real one is built on the CPU, and tensors that share their memory are counted once."""
    from transformers import AutoConfig, AutoModelForCausalLM

    from r1kit.models.size import count_parameters

    config = AutoConfig.for_model(model_type, **SMALL_CONFIGS[model_type])
    size = count_parameters(config)
    model = AutoModelForCausalLM.from_config(config)
    parameters = {parameter.data_ptr(): parameter for _, parameter in model.named_parameters(remove_duplicate=False)}
    assert all(parameter.device.type == "cpu" for parameter in parameters.values())
    assert size.total == sum(parameter.numel() for parameter in parameters.values()) < 2e6
    assert size.trained == sum(parameter.numel() for parameter in parameters.values() if parameter.requires_grad)


PUBLISHED = [
    ("gpt2", {}, 124_439_808),
    (
        "llama",  # SmolLM2-135M
        {
            "vocab_size": 49152,
            "hidden_size": 576,
            "intermediate_size": 1536,
            "num_hidden_layers": 30,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "tie_word_embeddings": True,
        },
        134_515_008,
    ),
    ("llama", {}, 6_738_415_616),  # Llama-2-7B
    (
        "llama",  # Llama-3.1-8B
        {"vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336, "num_key_value_heads": 8},
        8_030_261_248,
    ),
    ("mistral", {}, 7_241_732_096),  # Mistral-7B-v0.1
    (
        "gpt_neox",  # Pythia-70M
        {
            "vocab_size": 50304,
            "hidden_size": 512,
            "intermediate_size": 2048,
            "num_hidden_layers": 6,
            "num_attention_heads": 8,
        },
        70_426_624,
    ),
    (
        "gemma3_text",  # Gemma-3-270M
        {
            "vocab_size": 262144,
            "hidden_size": 640,
            "intermediate_size": 2048,
            "num_hidden_layers": 18,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "head_dim": 256,
        },
        268_098_176,
    ),
    (
        "qwen3_moe",  # Qwen3-30B-A3B
        {
            "vocab_size": 151936,
            "hidden_size": 2048,
            "intermediate_size": 6144,
            "moe_intermediate_size": 768,
            "num_hidden_layers": 48,
            "num_attention_heads": 32,
            "num_key_value_heads": 4,
            "head_dim": 128,
            "num_experts": 128,
        },
        30_532_122_624,
    ),
    ("mixtral", {}, 46_702_792_704),  # Mixtral-8x7B
    (
        "olmoe",  # OLMoE-1B-7B
        {"vocab_size": 50304, "hidden_size": 2048, "intermediate_size": 1024, "num_hidden_layers": 16},
        6_919_161_856,
    ),
    ("mamba", {"vocab_size": 50280, "hidden_size": 768, "num_hidden_layers": 24}, 129_135_360),  # Mamba-130M
]
PUBLISHED_ROUNDED = [
    ("deepseek_v3", {}, 671.0e9),  # DeepSeek-V3 and -R1, without the layer that predicts a second token
    ("gpt_oss", {}, 116.83e9),  # gpt-oss-120b
    ("jamba", {}, 51.57e9),  # Jamba-v0.1
]


@pytest.mark.parametrize(("model_type", "settings", "published"), PUBLISHED)
def test_parameters_are_as_published(model_type, settings, published):
    from transformers import AutoConfig

    from r1kit.models.size import count_parameters

    assert count_parameters(AutoConfig.for_model(model_type, **settings)).total == published


@pytest.mark.parametrize(("model_type", "settings", "published"), PUBLISHED_ROUNDED)
def test_parameters_of_the_largest_models_are_as_published(model_type, settings, published):
    from transformers import AutoConfig

    from r1kit.models.size import count_parameters

    assert count_parameters(AutoConfig.for_model(model_type, **settings)).total == pytest.approx(published, rel=1e-3)


@pytest.mark.parametrize("quantization", [{"quant_method": "mxfp4"}, {"quant_method": "fp8"}, None])
def test_a_quantized_model_counts_its_parameters_before_quantization(quantization):
    """Such as gpt-oss, which is published with experts of 4 bits."""
    from transformers import AutoConfig

    from r1kit.models.size import count_parameters

    config = AutoConfig.for_model("gpt_oss", **SMALL_CONFIGS["gpt_oss"])
    expected = count_parameters(config).total
    if quantization is not None:
        config.quantization_config = quantization
    assert count_parameters(config).total == expected


def test_an_adapter_s_parameters_are_those_that_are_trained():
    """Rank 2 on q, k, v, o (32 to 32 or 16) and on gate, up, down (32 to 48) of each of two layers."""
    from transformers import AutoConfig

    from r1kit.models.size import count_parameters

    config = AutoConfig.for_model("llama", **LLAMA_LIKE)
    plain = count_parameters(config)
    size = count_parameters(config, ModelConfig(path="x", lora=LoraConfig(r=2)))
    attention = 2 * (32 + 32) + 2 * (32 + 16)
    feed_forward = 3 * (32 + 48)
    assert size.trained == 2 * 2 * (attention + feed_forward)
    assert size.total == plain.total + size.trained


def test_no_weights_are_allocated():
    """DeepSeek-V3's would take 2.7 TB."""
    code = (
        "import resource\n"
        "from transformers import AutoConfig\n"
        "from r1kit.models.size import count_parameters\n"
        "import transformers.models.auto.modeling_auto, torch\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "count_parameters(AutoConfig.for_model('deepseek_v3'))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 500 * 1024  # KiB


QWEN3_30B_A3B = next(settings for model_type, settings, _ in PUBLISHED if model_type == "qwen3_moe")


def test_a_dry_run_of_a_mixture_of_experts_takes_a_few_seconds(here):
    (here / "moe").mkdir()
    config = {"model_type": "qwen3_moe", **QWEN3_30B_A3B, "max_position_embeddings": 40960}
    (here / "moe/config.json").write_text(json.dumps(config))
    file = write_recipe(here / "sft.yaml", output="run", model={"path": "./moe"}, data={"train": "world:text"})
    started = time.perf_counter()
    out = subprocess.run(
        [sys.executable, "-m", "r1kit.cli", "sft", file, "--dry-run"], capture_output=True, text=True, check=True
    ).stdout
    assert time.perf_counter() - started < 30  # 7 s on an idle core
    assert "\nmodel: ./moe, 30,532.1M parameters, context 40,960\n" in out
    [line] = [line for line in out.splitlines() if line.startswith("memory: ")]
    # AdamW has two moments of 4 bytes for each weight.
    assert f"{30_532_122_624 * 8 / 2**30:,.1f} optimizer" in line


def model_line(here, **changes) -> str:
    """Return the line on the model that `r1kit sft --dry-run` prints."""
    values = {"output": "run", "model": {"path": "./model"}, "data": {"train": "world:text"}, **changes}
    out, _ = r1kit("sft", write_recipe(here / "sft.yaml", **values), "--dry-run")
    [line] = [line for line in out.splitlines() if line.startswith("model: ")]
    return line


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "no_such_type"}, "The checkpoint you are trying to load has model type `no_such_type`"),
        ({"model_type": "mistral3"}, "transformers has no causal language model of the type mistral3"),
        ({"model_type": "t5"}, "transformers has no causal language model of the type t5"),
        ({"model_type": "gemma3n"}, "TimmWrapperModel requires the timm library"),
        (
            {"model_type": "strange", "auto_map": {"AutoConfig": "configuration.StrangeConfig"}},
            "the model brings code of its own, which a dry run does not execute",
        ),
        ({"model_type": "llama", "hidden_size": "wide"}, "hidden_size"),
        ({"no": "type"}, "Unrecognized model in"),
        (None, "the folder has no config.json"),
    ],
)
def test_a_model_that_cannot_be_built_is_said_in_one_line(here, config, reason):
    (here / "model").mkdir()
    if config is not None:
        (here / "model/config.json").write_text(json.dumps(config))
    line = model_line(here)
    assert line.startswith("model: ./model, the number of parameters is not known: ")
    assert reason in line


def test_a_config_that_is_no_json_is_said_in_one_line(here):
    (here / "model").mkdir()
    (here / "model/config.json").write_text("{")
    line = "model: ./model, the number of parameters is not known: its config.json is not valid JSON"
    assert model_line(here) == line


def test_an_adapter_is_counted_with_its_base(here):
    """A directory of an adapter has no config of its own."""
    (here / "base").mkdir()
    (here / "base/config.json").write_text(json.dumps({"model_type": "gpt2"}))
    (here / "model").mkdir()
    (here / "model/adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "./base"}))
    assert model_line(here).startswith("model: ./model, 124.4M parameters, context 1,024")


def test_a_hub_id_that_is_not_here_and_a_run_to_come_are_said_in_one_line(here):
    start = "model: nobody/nothing, the number of parameters is not known: "
    assert model_line(here, model={"path": "nobody/nothing"}) == start + "its config is not on this machine"
    start = "model: runs/base, the number of parameters is not known: "
    assert model_line(here, model={"path": "runs/base"}) == start + "an earlier stage makes this model"
    (here / "runs/bade").mkdir(parents=True)
    (here / "runs/bade/run.json").write_text("{}")
    assert model_line(here, model={"path": "runs/base"}).endswith("; no run is there now; did you mean runs/bade?")


def test_a_model_without_a_limit_of_context_and_with_an_adapter(here):
    """Mamba's config names no context; an adapter of rank 16 on two projections of each of two layers is trained."""
    (here / "model").mkdir()
    config = {"model_type": "mamba", **SMALL_CONFIGS["mamba"]}
    (here / "model/config.json").write_text(json.dumps(config))
    line = model_line(here, model={"path": "./model", "lora": {"targets": ["in_proj", "x_proj"]}})
    assert "context" not in line
    assert line.endswith(" of them trained")


def memory_line(here, *options, **changes) -> str:
    """Return the line on the memory of a device that `r1kit sft --dry-run` prints."""
    values = {"output": "run", "model": {"path": "Qwen/Qwen2.5-7B"}, "data": {"train": "world:text"}, **changes}
    out, _ = r1kit("sft", write_recipe(here / "sft.yaml", **values), *options, "--dry-run")
    [line] = [line for line in out.splitlines() if line.startswith("memory: ")]
    return line


def test_memory_is_that_of_the_plan_and_counts_sharding(here):
    """7,615.6M float32 weights, on one device and on eight."""
    config = Path(__file__).parent.parent / "recipes/accelerate/fsdp2.yaml"
    weights = 7_615_616_512 * 4 / 2**30
    assert f"{weights:.1f} weights" in memory_line(here)
    line = memory_line(here, "--accelerate-config", config)
    assert f"{weights / 8:.1f} weights" in line
    assert "planned for 8 x H100-80GB" in line


def test_memory_of_qlora_by_hand(here):
    """7.6B of Qwen2.5: 28 layers' linear weights in 4 bits, embeddings, head, norms and biases in 16, LoRA in 32."""
    lora = {"r": 16, "targets": ["q_proj"]}
    layer = 2 * 3584 * 3584 + 2 * 3584 * 512 + 3 * 3584 * 18944
    linear, adapter = 28 * layer, 28 * 16 * (3584 + 3584)
    others = 7_615_616_512 - linear
    expected = (linear * (0.5 + 0.127 / 8) + others * 2 + adapter * 4) / 2**30
    model = {"path": "Qwen/Qwen2.5-7B", "lora": lora}
    assert f"{expected:.1f} weights" in memory_line(here, model={**model, "quantize": "4bit"})
    assert f"{(7_615_616_512 * 2 + adapter * 4) / 2**30:.1f} weights" in memory_line(here, model=model)


def test_the_work_is_said_in_numbers(here):
    values = {"model": {"path": "tiny:student"}, "data": {"train": "world:arithmetic"}, "training": {"batch_size": 64}}
    values["training"] |= {"steps": 5, "micro_batch_size": 8}
    sampling = {"group_size": 4, "max_tokens": 64}
    file = write_recipe(here / "rl.yaml", output="run", **values, sampling=sampling)
    out, err = r1kit("rl-zero", file, "--dry-run")
    assert "\nlaunch: in this process\n" in out
    assert "\nwork: 5 steps, each step of 64 completions = 1 process x 8 completions at once x 8 accumulated\n" in out
    assert "\nrollout: 16 prompts x 4 completions\n" in out
    if not torch.cuda.is_available():
        assert "note: this machine has no GPU, so the CPU is used" in err
