"""`r1kit plan`: closed forms against hand-computed numbers, transformers' own tensors and published measurements."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import r1kit, write_recipe
from test_recipes import STAGE_OF_FILE

from r1kit.errors import UserError
from r1kit.plan.activations import layer_bytes_per_token
from r1kit.plan.chain import read_plans, write_plan
from r1kit.plan.devices import parse_gpus
from r1kit.plan.estimate import plan_stage
from r1kit.plan.fit import find_changes, fit_plan
from r1kit.plan.lookup import Lookup
from r1kit.plan.memory import gradient_bytes, resident_memory, training_memory
from r1kit.plan.result import PlanOptions
from r1kit.plan.serving import VLLM_WORK_BYTES, vllm_serving
from r1kit.plan.shape import adapter_parameters, shape_of_config
from r1kit.plan.stage_choice import choose_stage
from r1kit.plan.step import TrainingSetup
from r1kit.plan.time import MicroStep, micro_step_seconds, operations_per_token
from r1kit.recipe import LoraConfig, load_recipe, parse_recipe

DATA = Path(__file__).parent / "data"
RECIPES = Path(__file__).parent.parent / "recipes"
MODELS = json.loads((DATA / "plan_models.json").read_text())
GIB = 2**30
SMALL = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}
FAMILIES = ["llama", "mistral", "qwen2", "qwen3", "smollm3", "olmo2", "olmo3", "gemma3_text"]


def read_rows(name):
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]


def small_config(model_type):
    config = {"model_type": model_type, **SMALL, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    if model_type in ("qwen2", "olmo2", "olmo3"):  # their heads are hidden_size / heads wide
        config["head_dim"] = 8
    if model_type in ("olmo3", "gemma3_text", "qwen2", "smollm3"):
        config["layer_types"] = ["full_attention"] * 2
    return config


# The shape of a model


@pytest.mark.parametrize("model_type", FAMILIES)
@pytest.mark.parametrize("tied", [False, True])
def test_parameters_counted_without_torch_are_those_of_transformers(model_type, tied):
    from transformers import AutoConfig

    from r1kit.models.size import count_parameters

    config = {**small_config(model_type), "tie_word_embeddings": tied, "attention_bias": model_type == "llama"}
    expected = count_parameters(AutoConfig.for_model(**config)).total
    assert shape_of_config(config).parameters == expected


def test_parameters_of_published_models():
    """As their model cards have them."""
    published = {"qwen3-0.6b": 596_049_920, "llama3.1-8b": 8_030_261_248, "qwen2.5-7b": 7_615_616_512}
    assert {name: shape_of_config(MODELS[name]).parameters for name in published} == published


def test_a_config_with_missing_sizes_is_left_to_transformers():
    assert shape_of_config({"model_type": "llama", "hidden_size": 32}) is None
    assert shape_of_config({"model_type": "gpt2", **SMALL}) is None
    without_head_size = {key: value for key, value in small_config("qwen3").items() if key != "head_dim"}
    assert shape_of_config(without_head_size) is None


def test_an_adapter_is_counted_as_peft_counts_it():
    from peft import get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    from r1kit.models.adapters import build_lora_config
    from r1kit.recipe import ModelConfig

    config = small_config("llama")
    for targets in ("all-linear", ["q_proj", "down_proj"]):
        lora = LoraConfig(r=4, targets=targets)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
        model = get_peft_model(model, build_lora_config(ModelConfig(path="x", lora=lora)))
        assert adapter_parameters(shape_of_config(config), lora) == model.num_parameters(only_trainable=True)
    assert adapter_parameters(shape_of_config(config), LoraConfig(targets=["lm_head"])) is None


# Memory


def saved_bytes_per_token(config, compute, tokens=53, lora=None):
    """Return what transformers saves of a token in one layer for the backward pass, without copies of weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    totals = []
    for layers in (1, 2):
        values = {**config, "num_hidden_layers": layers}
        if "layer_types" in config:
            values["layer_types"] = config["layer_types"][:layers]
        dtype = torch.bfloat16 if compute == "bfloat16" else torch.float32
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**values), dtype=dtype)
        if lora is not None:
            from peft import get_peft_model

            from r1kit.models.adapters import build_lora_config
            from r1kit.recipe import ModelConfig

            model.enable_input_require_grads()
            model = get_peft_model(model, build_lora_config(ModelConfig(path="x", lora=lora))).base_model.model
        weight_shapes = {tuple(sorted(parameter.shape)) for parameter in model.parameters()}
        storages = {parameter.untyped_storage().data_ptr(): 0 for parameter in model.parameters()}
        kept = []  # so that no memory is used twice

        def save(tensor, storages=storages, kept=kept, weight_shapes=weight_shapes):
            storage = tensor.untyped_storage()
            is_weight = tuple(sorted(tensor.shape)) in weight_shapes
            if not is_weight and storage.data_ptr() not in storages:
                storages[storage.data_ptr()] = storage.nbytes()
                kept.append(tensor)
            return tensor

        ids = torch.zeros(1, tokens, dtype=torch.long)
        with (
            torch.autocast("cpu", torch.bfloat16, enabled=compute == "autocast"),
            torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor),
        ):
            model.model(input_ids=ids, use_cache=False)
        totals.append(sum(storages.values()))
    return (totals[1] - totals[0]) / tokens


@pytest.mark.parametrize("compute", ["float32", "autocast", "bfloat16"])
@pytest.mark.parametrize("model_type", ["llama", "qwen2", "qwen3", "smollm3", "olmo2", "gemma3_text"])
def test_bytes_of_a_layer_are_those_that_transformers_saves(model_type, compute):
    config = small_config(model_type)
    setup = TrainingSetup(rows=1, width=53, compute=compute)
    expected = saved_bytes_per_token(config, compute)
    assert layer_bytes_per_token(shape_of_config(config), setup) == pytest.approx(expected, rel=0.03)


def test_bytes_of_a_layer_under_an_adapter_are_those_that_peft_saves():
    """The adapter's own outputs, of rank 1, are small beside them."""
    config = {**small_config("llama"), "hidden_size": 128, "intermediate_size": 320}
    expected = saved_bytes_per_token(config, "float32", lora=LoraConfig(r=1))
    setup = TrainingSetup(rows=1, width=53, compute="float32", trained=1)
    assert layer_bytes_per_token(shape_of_config(config), setup) == pytest.approx(expected, rel=0.03)


def test_states_by_hand():
    """16 bytes a trained weight: 4 weight, 4 gradient, 8 AdamW; a reference model 4 more; sharded by 8."""
    shape = shape_of_config(MODELS["qwen2.5-7b"])
    weights = shape.parameters * 4
    setup = TrainingSetup(rows=1, width=8, reference=True, on_cpu=True)
    sizes = resident_memory(shape, setup)
    assert sizes == {"weights": weights, "optimizer": 2 * weights, "reference model": weights}
    assert gradient_bytes(shape, setup) == weights
    sharded = replace(setup, sharding="fsdp2", devices=8)
    assert resident_memory(shape, sharded) == {name: value / 8 for name, value in sizes.items()}
    assert gradient_bytes(shape, sharded) == weights / 8
    # Accelerate adds up the gradients of several micro-batches unsharded, here in bfloat16.
    assert gradient_bytes(shape, replace(sharded, accumulates=True)) == weights / 2
    # DDP copies gradients into buckets.
    assert gradient_bytes(shape, replace(setup, sharding="ddp", devices=8)) == 2 * weights


def test_zero_3_has_16_bytes_a_weight_and_the_host_has_the_optimizer():
    shape = shape_of_config(MODELS["qwen2.5-32b"])
    setup = TrainingSetup(rows=1, width=8, sharding="zero3", devices=8, on_cpu=True)
    sizes = resident_memory(shape, setup)
    assert sizes["weights"] + sizes["optimizer"] + gradient_bytes(shape, setup) == shape.parameters * 16 / 8
    assert resident_memory(shape, replace(setup, offloads_optimizer=True))["optimizer"] == 0


def test_checkpointing_keeps_one_residual_a_layer():
    shape = shape_of_config(MODELS["qwen3-0.6b"])
    setup = TrainingSetup(rows=2, width=1000, compute="float32", checkpointing=True, on_cpu=True)
    kept = training_memory(shape, setup).sizes["activations"]
    less = training_memory(shape, replace(setup, width=500)).sizes["activations"]
    one_layer = kept - 2 * 1000 * 4 * 1024 * (28 + 4)
    assert one_layer > 0
    assert kept == pytest.approx(2 * less)
    assert kept < training_memory(shape, replace(setup, checkpointing=False)).sizes["activations"] / 3


@pytest.mark.parametrize("row", read_rows("plan_memory.jsonl"), ids=lambda row: row["what"])
def test_memory_is_within_15_percent_of_published_measurements(row):
    shape = shape_of_config(MODELS[row["model"]])
    setup = TrainingSetup(**row["setup"])
    if row["lora_rank"]:
        setup = replace(setup, trained=adapter_parameters(shape, LoraConfig(r=row["lora_rank"])))
    assert training_memory(shape, setup).total / GIB == pytest.approx(row["peak_gib"], rel=0.15)


def test_vllm_cache_by_hand():
    """Half of 80 GiB, less 2 bytes a weight and vLLM's own work; 28 layers x 2 x 512 keys and values x 2 bytes."""
    shape, hardware = shape_of_config(MODELS["qwen2.5-7b"]), parse_gpus("8x80GB,989TFLOPS,3350GB/s")
    serving = vllm_serving(shape, hardware, share=0.5, parallel=1, longest=32768, mean=8192)
    cache = 40 * GIB - 2 * 7_615_616_512 - VLLM_WORK_BYTES
    assert serving.sizes["vLLM's cache"] == cache
    assert serving.longest_sequences == pytest.approx(cache / (28 * 2 * 512 * 2) / 32768)
    assert serving.sequences == pytest.approx(4 * serving.longest_sequences)


# Time


def test_operations_of_a_token_by_hand():
    """6 P without checkpointing, 8 P with it, 4 P under an adapter; P without the input embedding."""
    shape = shape_of_config(MODELS["llama3.1-8b"])
    parameters = 8_030_261_248 - 128_256 * 4096
    assert operations_per_token(shape, MicroStep(1, 0)) == (6 * parameters, 0)
    assert operations_per_token(shape, MicroStep(1, 0, checkpointing=True)) == (8 * parameters, 0)
    assert operations_per_token(shape, MicroStep(1, 0, trains_adapter=True)) == (4 * parameters, 0)
    # Causal attention over 1,000 tokens: 2 x 32 layers x 4,096 x 1,000 forward, twice that backward.
    assert operations_per_token(shape, MicroStep(1, 1000))[1] == 3 * 2 * 32 * 4096 * 1000


def seconds_of(row):
    shape = shape_of_config(MODELS[row["model"]])
    step = MicroStep(
        tokens=row["sequence"] * row["micro_batch"],
        row_length=row["sequence"],
        trains_adapter=row["mode"] == "lora",
        checkpointing=row["checkpointing"],
        is_sharded=row["sharded_over"] > 1,
    )
    return micro_step_seconds(shape, step, parse_gpus(row["gpu"]).device).total


def test_time_is_within_30_percent_of_most_published_speeds():
    rows = [row for row in read_rows("plan_speed.jsonl") if "seconds_per_micro_step" in row]
    near = [row["what"] for row in rows if seconds_of(row) == pytest.approx(row["seconds_per_micro_step"], rel=0.3)]
    assert len(rows) >= 10
    assert len(near) >= 0.8 * len(rows)


def test_sky_t1_takes_19_hours_and_450_dollars():
    """As its authors report for 8 H100; 450 dollars for that are 2.96 an hour."""
    recipe = load_recipe("sft", str(RECIPES / "sky-t1/sft.yaml"), {})
    config = str(RECIPES / "accelerate/zero3_offload.yaml")
    options = PlanOptions(gpus="8xH100-80GB", price=2.96, accelerate_config=config)
    plan = plan_stage("sft", recipe, options, Lookup())
    assert plan.fits
    assert plan.hours == pytest.approx(19, rel=0.25)
    assert plan.money(plan.hours) == pytest.approx(450, rel=0.25)


# What does not fit


def sft_recipe(**training):
    values = {"output": "runs/x", "model": {"path": "Qwen/Qwen2.5-7B"}, "data": {"train": "world:text"}}
    return parse_recipe("sft", {**values, "training": {"batch_size": 64, "micro_batch_size": 8, **training}})


def test_changes_make_it_fit_and_the_smallest_is_first():
    options = PlanOptions(gpus="8xH100-80GB", accelerate_config=str(RECIPES / "accelerate/fsdp2.yaml"))
    recipe = sft_recipe(max_length=8192)
    assert not plan_stage("sft", recipe, options, Lookup()).fits
    changes = find_changes("sft", recipe, options, Lookup())
    assert changes[0].startswith("training.micro_batch_size=") or changes[0] == "training.gradient_checkpointing=true"
    for change in changes:
        words = dict(word.split("=") for word in change.split() if "=" in word and "{" not in word)
        changed = recipe.model_copy(deep=True)
        for key, value in words.items():
            name = key.removeprefix("training.")
            setattr(changed.training, name, value == "true" if value in ("true", "false") else int(value))
        if words:
            assert plan_stage("sft", changed, options, Lookup()).fits, change


def test_fit_chooses_a_faster_plan_that_fits():
    options = PlanOptions(gpus="8xH100-80GB")
    recipe = sft_recipe(max_length=8192)
    plan, words = fit_plan("sft", recipe, options, Lookup())
    assert plan.fits
    assert "recipes/accelerate/fsdp2.yaml" in words  # 16 bytes a weight do not fit into one GPU


def test_nothing_fits_a_device_that_is_too_small():
    options = PlanOptions(gpus="1GB,10TFLOPS,100GB/s")
    plan, words = fit_plan("sft", sft_recipe(), options, Lookup())
    assert (plan.fits, words) == (False, "")
    assert find_changes("sft", sft_recipe(), options, Lookup()) == []


# The command


def test_stages_are_those_of_the_scripts():
    for name, stage in (("rl_zero", "rl-zero"), ("dev1", "sft"), ("ladder", "eval"), ("facts_data", "generate")):
        assert choose_stage(str(RECIPES / f"tiny/{name}.yaml")) == stage
    assert choose_stage(str(RECIPES / "qwen2.5-7b/distill.yaml")) == "distill"


def test_the_stage_is_found_by_the_keys_of_a_recipe(tmp_path):
    values = {"output": "x", "model": {"path": "x"}, "data": {"train": "x"}}
    assert choose_stage(str(write_recipe(tmp_path / "a.yaml", **values, training={"kl": 0.1}))) == "rl"
    assert choose_stage(str(write_recipe(tmp_path / "b.yaml", **values, training={"max_length": 64}))) == "sft"
    assert choose_stage(str(write_recipe(tmp_path / "verifier.yaml", **values))) == "verifier"
    with pytest.raises(UserError, match=r"can be a recipe of rl-zero, generate, .*; write r1kit plan STAGE"):
        choose_stage(str(write_recipe(tmp_path / "c.yaml", **values)))


def test_every_shipped_recipe_is_planned_and_fits():
    files = [file for file in sorted(RECIPES.glob("*/*.yaml")) if file.parent.name != "accelerate"]
    likes = {"runs/smollm2/base": "tiny:base"}
    for file in files:
        # Two recipes beside no script can be read by several stages.
        stage = STAGE_OF_FILE[file.stem] if file.stem in ("own_rows", "own_sft") else choose_stage(str(file))
        configs = {"qwen2.5-7b": "fsdp2", "sky-t1": "zero3_offload"}
        name = configs.get(file.parent.name)
        config = str(RECIPES / f"accelerate/{name}.yaml") if name else None
        has_small_model = not file.parent.name.startswith(("qwen", "sky"))
        options = PlanOptions(gpus="cpu" if has_small_model else "8xH100-80GB", accelerate_config=config)
        plan = plan_stage(stage, load_recipe(stage, str(file), {}), options, Lookup(file.parent, likes=likes))
        assert plan.fits, file
        assert plan.hours > 0 or stage == "data" or "servers" in str(plan.notes), file


def test_a_later_stage_reads_the_model_of_an_earlier_recipe():
    recipe = load_recipe("rl", str(RECIPES / "qwen2.5-7b/dev2.yaml"), {})
    plan = plan_stage("rl", recipe, PlanOptions(gpus="8xH100"), Lookup(folder=RECIPES / "qwen2.5-7b"))
    assert "7,615.6M parameters" in plan.model


def test_a_plan_is_read_back_as_it_was_written(tmp_path):
    recipe = load_recipe("sft", str(RECIPES / "qwen2.5-7b/dev1.yaml"), {})
    plan = plan_stage("sft", recipe, PlanOptions(gpus="8xH100", price=2.0), Lookup())
    write_plan(tmp_path, plan)
    [(read, product)] = read_plans(tmp_path)
    assert read == plan
    assert product.shape == plan.product.shape


def test_a_script_is_planned_and_nothing_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = RECIPES / "tiny"
    script = tmp_path / "run.sh"
    script.write_text(
        "set -e\n"
        f'sft=$(r1kit sft {here}/dev1.yaml output=runs/a data.train=world:arithmetic "$@")\n'
        f"data=$(r1kit generate {here}/reasoning_data.yaml output=runs/b model.path=$sft)\n"
        f"r1kit distill {here}/distill.yaml output=runs/c model.path=$sft data.train=$data\n"
        'python -c \'open("written", "w")\'\n'
        "echo page: $(r1kit report runs/c -o page.html)\n"
    )
    out, err = r1kit("plan", "bash", script, "--gpus", "cpu", "--price", "1", "training.epochs=2")
    names = [line.split()[:2] for line in out.splitlines()[1:4]]
    assert names == [["sft", "runs/a"], ["generate", "runs/b"], ["distill", "runs/c"]]
    assert out.splitlines()[4].startswith("total")
    assert "plan: not run: python" in err
    assert "page: page.html" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.sh"]


def test_a_plan_imports_no_torch(tmp_path):
    import subprocess

    code = (
        "import sys; from r1kit.cli import app; sys.argv = ['r1kit', 'plan', sys.argv[1], '--gpus', '8xH100']\n"
        "app(standalone_mode=False); assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    command = [sys.executable, "-c", code, str(RECIPES / "sky-t1/sft.yaml")]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Qwen/Qwen2.5-32B-Instruct, 32,763.9M parameters" in out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--gpus", "8xH101"], "--gpus = 8xH101; no such GPU is known; use for example H100-80GB"),
        (["--gpus", "0xH100"], "--gpus = 0xH100; must be 1 to 100,000 GPUs"),
        (["--gpus", "80GB,fast,3TB/s"], "--gpus = 80GB,fast,3TB/s; fast is no figure of a GPU"),
        (["--price", "x"], "--price = x; must be the price of a GPU for an hour"),
        (["--nodes", "0"], "--nodes = 0; must be at least 1"),
        (["model.path=nobody/none"], "model.path = nobody/none; is not known here"),
        (["--like", "a"], "--like = a; must be PATH=MODEL"),
    ],
)
def test_a_mistake_is_one_line(words, line):
    _, err = r1kit("plan", RECIPES / "sky-t1/sft.yaml", *words, code=2)
    assert err.startswith(f"error: {line}")
    assert err.count("\n") == 1


def test_gpus_by_figures():
    hardware = parse_gpus("4x48GB,181TFLOPS,1.5TB/s", nodes=2)
    assert (hardware.count, hardware.nodes) == (8, 2)
    assert (hardware.device.memory, hardware.device.flops, hardware.device.bandwidth) == (48 * GIB, 181e12, 1.5e12)
    with pytest.raises(UserError, match="needs memory, operations and bandwidth"):
        parse_gpus("48GB,181TFLOPS")
