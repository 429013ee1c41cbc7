"""Models of public families: `rl`, `generate` and `eval` ask them alike, and stop where a turn ends."""

import json
import shutil

import pytest
from families import ALL_FAMILIES, make_model
from helpers import r1kit, read_data, write_recipe
from test_sft_families import REAL_TOKENIZERS, real_tokenizer  # noqa: F401  # a fixture

from r1kit.models.load import load_tokenizer
from r1kit.models.stop_tokens import end_of_turn_token, end_token_ids
from r1kit.models.templates import apply_template, decode_completion, encode_prompts, template_prefix
from r1kit.recipe import ModelConfig, PromptConfig
from r1kit.runs.paths import SHIPPED_MODELS

QUESTION = {"role": "user", "content": "What is 3 + 4?"}
TURNS = [QUESTION, {"role": "assistant", "content": "7"}, {"role": "user", "content": "And 2 more?"}]
SYSTEM = {"role": "system", "content": "Be brief."}
REFUSES_SYSTEM = ("gemma",)

OPENS_THINKING = ("r1-distill", "deepseek-v3", "qwen3.5-think", "qwen3.6")
WITH_SWITCH = ("qwen3", "qwen3.5-nothink")


@pytest.fixture(scope="module")
def families(tmp_path_factory):
    """A function that returns the folder of a family's model, which is made once."""
    root = tmp_path_factory.mktemp("families")

    def folder_of(name):
        folder = root / name
        return folder if folder.exists() else make_model(name, folder)

    return folder_of


def rows_of(name):
    """Return problems of every form that the family's template takes."""
    prompts = ["What is 1 + 2?", [QUESTION], TURNS]
    if name not in REFUSES_SYSTEM:
        prompts += [[SYSTEM, QUESTION], [SYSTEM, *TURNS]]
    return [{"prompt": prompt, "answer": "7", "id": str(number)} for number, prompt in enumerate(prompts)]


@pytest.mark.parametrize("name", ALL_FAMILIES)
def test_a_completion_ends_where_the_family_ends_a_turn(name, families):
    tokenizer = load_tokenizer(ModelConfig(path=str(families(name))))
    # In GLM's template the role of the next turn ends a turn.
    assert end_of_turn_token(tokenizer) == (None if name == "glm4" else ALL_FAMILIES[name].turn_end)
    ids = {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(ALL_FAMILIES[name].turn_end)}
    assert end_token_ids(tokenizer, None, "chat") == sorted(ids)
    assert end_token_ids(tokenizer, [3, 5], "r1-zero") == sorted({3, 5, tokenizer.eos_token_id})


@pytest.mark.parametrize("name", ALL_FAMILIES)
def test_thinking_that_a_template_opens_begins_the_completion(name, families):
    tokenizer = load_tokenizer(ModelConfig(path=str(families(name))))
    prefixes = []
    for settings in ({}, {"enable_thinking": False}):
        text = apply_template(tokenizer, [QUESTION], PromptConfig(template="chat", template_settings=settings))
        prefixes.append(template_prefix(text, ""))
    # An empty think block, here also of templates without a switch, is the prompt's own and no part of the completion.
    assert prefixes == ["<think>\n" if name in OPENS_THINKING else "", ""]
    assert text.endswith("<think>\n\n</think>\n\n") == (name in (*OPENS_THINKING, *WITH_SWITCH))


@pytest.mark.parametrize("name", ALL_FAMILIES)
def test_a_prompt_has_the_ids_of_the_tokenizer_s_own_template(name, families):
    tokenizer = load_tokenizer(ModelConfig(path=str(families(name))))
    for row in rows_of(name)[1:]:
        text = apply_template(tokenizer, row["prompt"], PromptConfig(template="chat"))
        [ids] = encode_prompts(tokenizer, [row["prompt"]], [text])
        expected = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, return_dict=False)
        assert ids == list(expected)
        assert tokenizer.bos_token_id is None or ids.count(tokenizer.bos_token_id) <= 1


def test_marks_of_thinking_stay_in_the_text_of_a_completion(families):
    tokenizer = load_tokenizer(ModelConfig(path=str(families("gpt-oss"))))
    said = "<|channel|>analysis<|message|>3 and 4.<|end|><|start|>assistant<|channel|>final<|message|>7"
    ids = tokenizer(f"{said}<|return|>", add_special_tokens=False).input_ids
    assert decode_completion(tokenizer, ids) == said
    tokenizer = load_tokenizer(ModelConfig(path=str(families("phi3"))))
    ids = tokenizer("7<|end|><|endoftext|>", add_special_tokens=False).input_ids
    assert decode_completion(tokenizer, ids) == "7"


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL_FAMILIES)
def test_rl_generate_and_eval_run_to_the_end_and_ask_alike(name, families, tmp_path):
    ask_in_every_stage(families(name), rows_of(name), tmp_path, "<think>\n" if name in OPENS_THINKING else "")


@pytest.mark.npm
@pytest.mark.parametrize("name", REAL_TOKENIZERS)
def test_models_with_real_tokenizers_are_asked_alike_too(name, real_tokenizer, tmp_path):  # noqa: F811
    from transformers import AutoModelForCausalLM

    tokenizer = real_tokenizer(name)
    model = AutoModelForCausalLM.from_pretrained(SHIPPED_MODELS["tiny:student"])
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.config.max_position_embeddings = 2048
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "model")
    ask_in_every_stage(tmp_path / "model", rows_of(name), tmp_path, "")


def ask_in_every_stage(model, rows, folder, begins):
    """Train a model by RL on rows, and sample from it; every completion begins with what its template has written."""
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {"train": [{"path": str(folder / "rows.jsonl")}]}
    # One row repeats another, as text and as a message.
    training = {"steps": 1, "batch_size": 2 * (len(rows) - 1)}
    recipe = rl_recipe(model, folder / "rows.jsonl", training=training)
    r1kit("rl", write_recipe(folder / "rl.yaml", **recipe), f"output={folder}/rl")
    sampling = {"max_tokens": 6, "samples": 2}
    keep = {"finished": False, "correct": False, "format": False}
    generate = {"model": {"path": str(folder / "rl")}, "data": data, "sampling": sampling, "keep": keep}
    _, err = r1kit("generate", write_recipe(folder / "g.yaml", **generate), f"output={folder}/generate")
    assert "is asked as it was trained: by template = chat" in err
    evaluate = {"model": {"path": str(folder / "rl")}, "data": {"eval": data["train"]}, "sampling": sampling}
    r1kit("eval", write_recipe(folder / "e.yaml", **evaluate), f"output={folder}/eval")

    completions = [row["completion"] for row in read_data(folder / "generate" / "data")]
    completions += [row["completion"] for row in read_data(folder / "rl" / "completions")]
    assert len(completions) == 2 * len(rows) + training["batch_size"]
    assert all(completion.startswith(begins) for completion in completions)
    saved = json.loads((folder / "rl" / "model" / "generation_config.json").read_text())["eos_token_id"]
    tokenizer = load_tokenizer(ModelConfig(path=str(folder / "rl")))
    assert set(end_token_ids(tokenizer, None, "chat")) <= set(saved if isinstance(saved, list) else [saved])


def rl_recipe(model, rows, **changes):
    """Return a recipe of one step of RL on all rows."""
    return {
        "model": {"path": str(model)},
        "data": {"train": [{"path": str(rows)}]},
        "sampling": {"max_tokens": 6, "group_size": 2},
        "training": {"steps": 1, "batch_size": 4},
        "rewards": [{"name": "accuracy"}, {"name": "format"}],
        **changes,
    }


@pytest.fixture
def rows_file(tmp_path):
    rows = [{"prompt": f"What is {n} + 4?", "answer": str(n + 4)} for n in (1, 2)]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.mark.slow
@pytest.mark.parametrize("savings", [True, False])
def test_thinking_is_seen_where_a_tokenizer_has_a_response_template(families, rows_file, tmp_path, savings):
    """TRL would hand the rewards messages whose thinking stands apart from the content, or nowhere."""
    from transformers import AutoTokenizer
    from trl.chat_template_utils import add_response_schema

    model = tmp_path / "model"
    shutil.copytree(families("r1-distill"), model)
    tokenizer = add_response_schema(AutoTokenizer.from_pretrained(model))
    tokenizer.save_pretrained(model)
    recipe = rl_recipe(model, rows_file)
    if not savings:
        recipe["training"]["savings"] = []
    r1kit("rl", write_recipe(tmp_path / "rl.yaml", **recipe), f"output={tmp_path}/rl")
    completions = [row["completion"] for row in read_data(tmp_path / "rl" / "completions")]
    assert len(completions) == 4
    assert all(completion.startswith("<think>\n") for completion in completions)
    assert AutoTokenizer.from_pretrained(tmp_path / "rl/model").response_template == tokenizer.response_template


@pytest.mark.slow
def test_one_setting_of_the_template_holds_in_training_sampling_and_evaluation(families, rows_file, tmp_path):
    model = families("qwen3.5-nothink")
    prompt = {"template": "chat", "template_settings": {"enable_thinking": True}}
    recipe = rl_recipe(model, rows_file, prompt=prompt)
    r1kit("rl", write_recipe(tmp_path / "rl.yaml", **recipe), f"output={tmp_path}/rl")
    sampling = {"max_tokens": 6, "samples": 2}
    models = {"R1": f"{tmp_path}/rl", "before": str(model)}
    data = {"eval": recipe["data"]["train"]}
    evaluate = write_recipe(tmp_path / "e.yaml", models=models, data=data, sampling=sampling)
    _, err = r1kit("eval", evaluate, f"output={tmp_path}/eval")
    assert "is asked as it was trained: by template = chat, template_settings = {'enable_thinking': True}" in err
    trained, asked, before = (
        [row["completion"].startswith("<think>\n") for row in read_data(folder)]
        for folder in (tmp_path / "rl/completions", tmp_path / "eval/samples/R1", tmp_path / "eval/samples/before")
    )
    assert (trained, asked, before) == ([True] * 4, [True] * 4, [False] * 4)
