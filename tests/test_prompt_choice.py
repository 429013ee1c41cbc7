"""By which prompt a model is asked where the recipe leaves it open, and what a chat template refuses."""

import json
import shutil

import pytest
import yaml
from families import ALL_FAMILIES, make_model
from helpers import r1kit, write_recipe

from r1kit.errors import UserError
from r1kit.models.load import load_tokenizer
from r1kit.models.prompt_choice import choose_prompt, choose_prompts
from r1kit.models.templates import apply_template, check_prompts_render
from r1kit.recipe import ModelConfig, PromptConfig, check_recipe, parse_recipe
from r1kit.runs.trained_prompt import PROMPT_FILE, read_trained_prompt, write_trained_prompt

QWEN_PROMPT = {"template": "chat", "system": "Be brief.", "template_settings": {"enable_thinking": False}}
AUTO = PromptConfig(template="auto")


def write_run(folder, prompt, stage="sft", model=True):
    """Write what a training leaves: its recipe and, as a stand-in for the model, a tokenizer with a chat template."""
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"stage": stage, "status": "finished"}))
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"prompt": prompt}))
    if model:
        (folder / "model").mkdir()
        (folder / "model" / "chat_template.jinja").write_text("{{ messages }}")
    return folder


def chosen(path, settings=AUTO, **options):
    return choose_prompt(ModelConfig(path=str(path)), settings, "model.path", **options)


@pytest.mark.parametrize("inner", ["", "model", "checkpoints/checkpoint-2"])
def test_a_run_is_asked_by_the_prompt_it_was_trained_with(tmp_path, inner):
    run = write_run(tmp_path / "run", {**QWEN_PROMPT, "prefill": ""})
    (run / "checkpoints/checkpoint-2").mkdir(parents=True)
    shutil.copy(run / "model/chat_template.jinja", run / "checkpoints/checkpoint-2")
    prompt, note = chosen(run / inner)
    assert prompt == PromptConfig(**QWEN_PROMPT)
    assert note.endswith(
        "is asked as it was trained: by template = chat, system = 'Be brief.', "
        "template_settings = {'enable_thinking': False}"
    )


def test_the_recipe_comes_first_and_the_run_fills_in_the_rest(tmp_path):
    run = write_run(tmp_path / "run", QWEN_PROMPT)
    prompt, note = chosen(run, PromptConfig(template="auto", system="Think.", prefill="<answer>"))
    assert prompt == PromptConfig(**{**QWEN_PROMPT, "system": "Think.", "prefill": "<answer>"})
    assert note
    # The same template: its system message and settings are those of the training.
    assert chosen(run, PromptConfig(template="chat"))[0] == PromptConfig(**QWEN_PROMPT)
    assert chosen(run, PromptConfig(template="chat", system=None))[0].system is None
    # Another template, to which they do not belong.
    assert chosen(run, PromptConfig(template="r1-zero")) == (PromptConfig(template="r1-zero"), "")
    # What the recipe says is said by nobody else.
    assert chosen(run, PromptConfig(**QWEN_PROMPT)) == (PromptConfig(**QWEN_PROMPT), "")


def test_a_copied_model_still_says_how_it_is_asked(tmp_path):
    write_trained_prompt(PromptConfig(template="Q: {prompt} A:", prefill=""), tmp_path)
    prompt, _ = chosen(tmp_path)
    assert prompt.template == "Q: {prompt} A:"
    assert read_trained_prompt("tiny:base").template == "tiny"
    assert chosen("tiny:base")[0].template == "tiny"


def test_a_model_of_the_hub_may_say_how_it_is_asked(tmp_path, monkeypatch):
    import huggingface_hub

    def download(path, name, revision):
        assert (path, name, revision) == ("org/model", PROMPT_FILE, "v2")
        return str(tmp_path / PROMPT_FILE)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    write_trained_prompt(PromptConfig(template="tiny"), tmp_path)
    prompt, note = choose_prompt(ModelConfig(path="org/model", revision="v2"), AUTO, "model.path")
    assert prompt.template == "tiny"
    assert note == "model.path = org/model is asked as it was trained: by template = tiny"


def test_what_is_no_training_says_nothing(tmp_path):
    assert read_trained_prompt(str(write_run(tmp_path / "data", {"template": "chat"}, stage="generate"))) is None
    assert read_trained_prompt("org/model") is None
    (tmp_path / PROMPT_FILE).write_text("- a list")
    assert read_trained_prompt(str(tmp_path)) is None
    (tmp_path / PROMPT_FILE).write_text("template: no such template")
    assert read_trained_prompt(str(tmp_path)) is None


@pytest.mark.parametrize("name", ALL_FAMILIES)
def test_a_model_that_is_no_run_is_asked_by_what_it_was_made_for(name, tmp_path):
    prompt, note = chosen(make_model(name, tmp_path / name))
    assert prompt.template == ("r1-zero" if name == "qwen2.5-base" else "chat")
    assert f"is asked by prompt.template = {prompt.template}: it is a" in note


def test_a_model_without_a_chat_template_is_a_base_model(tmp_path):
    from r1kit.runs.paths import SHIPPED_MODELS

    shutil.copytree(SHIPPED_MODELS["tiny:base"], tmp_path / "base")
    (tmp_path / "base" / PROMPT_FILE).unlink()
    prompt, note = chosen(tmp_path / "base")
    assert prompt.template == "r1-zero"
    assert note.endswith("it is a model without a chat template")


def test_a_server_s_model_is_asked_by_the_server_s_template_unless_it_is_a_run(tmp_path):
    assert chosen("Qwen/Qwen3-8B", has_own_tokenizer=False)[0].template == "chat"
    run = write_run(tmp_path / "run", {"template": "r1-zero"})
    assert chosen(run, has_own_tokenizer=False)[0].template == "r1-zero"


def test_nothing_is_loaded_for_a_dry_run(tmp_path):
    unfinished = write_run(tmp_path / "unfinished", {"template": "chat"}, model=False)
    assert chosen(unfinished, load_models=False)[0].template == "chat"
    prompt, note = chosen("org/model", load_models=False)
    assert prompt == AUTO
    assert chosen("tiny:student", load_models=False)[0].template == "tiny"
    assert note == "model.path = org/model: prompt.template = auto is chosen when the model is read"
    with pytest.raises(UserError, match=r"models.a = ./none; must be a folder with a model, a run or a hub id"):
        choose_prompt(ModelConfig(path="./none"), AUTO, "models.a")
    assert chosen(write_run(tmp_path / "run", {"template": "tiny"}), load_models=False)[0].template == "tiny"


def eval_recipe(**values):
    return parse_recipe("eval", {"output": "out", "data": {"eval": "rows.jsonl"}, **values})


def test_one_eval_asks_several_models_each_by_its_own_prompt(tmp_path):
    zero = write_run(tmp_path / "zero", {"template": "r1-zero"}, stage="rl-zero")
    chat = write_run(tmp_path / "chat", QWEN_PROMPT)
    models = {
        "zero": str(zero),
        "chat": str(chat),
        "told": {"path": str(chat), "prompt": {"template": "tiny"}},
        "aloud": {"path": str(chat), "prompt": {"template_settings": {"enable_thinking": True}}},
    }
    recipe, notes = choose_prompts(eval_recipe(models=models))
    prompts = {name: model.prompt for name, model in recipe.models.items()}
    assert prompts["zero"] == PromptConfig(template="r1-zero")
    assert prompts["chat"] == PromptConfig(**QWEN_PROMPT)
    assert prompts["told"] == PromptConfig(template="tiny")
    assert prompts["aloud"] == PromptConfig(**{**QWEN_PROMPT, "template_settings": {"enable_thinking": True}})
    assert [note.partition(" =")[0] for note in notes] == ["models.zero", "models.chat", "models.aloud"]
    # What is chosen stands in the recipe, and is chosen once.
    again, notes = choose_prompts(parse_recipe("eval", yaml.safe_load(yaml.safe_dump(recipe.model_dump(mode="json")))))
    assert again == recipe
    assert notes == []
    # A prompt for all models.
    recipe, notes = choose_prompts(eval_recipe(models={"zero": str(zero)}, prompt={"template": "tiny"}))
    assert recipe.models["zero"].prompt == PromptConfig(template="tiny")


def test_a_teacher_that_is_a_run_is_asked_as_it_was_trained(tmp_path):
    run = str(write_run(tmp_path / "run", QWEN_PROMPT))
    values = {"output": "out", "model": {"path": run}, "data": {"train": "rows.jsonl"}, "prompt": QWEN_PROMPT}
    recipe, notes = choose_prompts(parse_recipe("generate", {**values, "refine": {}}))
    assert recipe.refine.prompt == PromptConfig(**QWEN_PROMPT)
    assert [note.partition(" is asked")[0] for note in notes] == [f"refine: model.path = {run}"]
    journey = {"model": {"path": "server-model"}, "sampling": {"engine": "openai"}, "prompt": {"template": "auto"}}
    recipe, notes = choose_prompts(parse_recipe("generate", {**values, "journey": journey}))
    assert recipe.journey.prompt.template == "chat"
    assert notes[0].startswith("journey: journey.model.path = server-model is asked by prompt.template = chat")


def test_rl_says_where_a_model_was_trained_with_another_prompt(tmp_path):
    run = write_run(tmp_path / "run", {"template": "r1-zero"})
    values = {"output": "out", "model": {"path": str(run)}, "data": {"train": "rows.jsonl"}}
    recipe, [note] = choose_prompts(parse_recipe("rl", values))
    assert recipe.prompt.template == "chat"
    assert "was trained with template = r1-zero; this run goes on with template = chat" in note
    assert choose_prompts(parse_recipe("rl-zero", values))[1] == []
    recipe, _ = choose_prompts(parse_recipe("rl", {**values, "prompt": {"template": "auto"}}))
    assert recipe.prompt.template == "r1-zero"


@pytest.mark.parametrize(
    ("stage", "prompt", "line"),
    [
        ("eval", {"template": "tiny", "system": "Hi"}, "prompt.system = Hi; needs a chat template, and"),
        ("rl", {"template": "tiny", "template_settings": {"a": 1}}, "prompt.template_settings = {a: 1}; needs a chat"),
        ("eval", {"template_settings": {"tokenize": False}}, "prompt.template_settings = {tokenize: false}; must be"),
        ("sft", {"template": "auto"}, "prompt.template = auto; asks a model as it was trained"),
        ("eval", {"template": "none"}, "prompt.template = none; must be r1-zero, tiny, chat, auto or a text with"),
    ],
)
def test_prompts_that_cannot_be_are_refused(stage, prompt, line):
    values = {"output": "o", "model": {"path": "m"}, "data": {"train": "a"}, "prompt": prompt}
    with pytest.raises(UserError) as error:
        check_recipe(parse_recipe(stage, values))
    assert str(error.value).startswith(line)


def test_system_message_that_the_trained_template_has_no_place_for_is_refused(tmp_path):
    run = write_run(tmp_path / "run", {"template": "r1-zero"})
    with pytest.raises(UserError, match=r"prompt.system = Hi; needs a chat template, and prompt.temp"):
        choose_prompts(eval_recipe(model={"path": str(run)}, prompt={"system": "Hi"}))


# What templates refuse


@pytest.fixture(scope="module")
def gemma(tmp_path_factory):
    return make_model("gemma", tmp_path_factory.mktemp("gemma") / "model")


USER = {"role": "user", "content": "Hi"}
SYSTEM = {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    ("messages", "prompt", "line"),
    [
        (
            [SYSTEM, USER],
            {},
            "rows: prompt of row 2 = [system, user]; the model's chat template refuses it: Syst",
        ),
        (
            [USER, USER],
            {},
            "rows: prompt of row 2 = [user, user]; the model's chat template refuses it: Conv",
        ),
        ([SYSTEM, USER], {"system": "Be brief."}, "prompt.system = Be brief.; the model's chat template refuses it: S"),
    ],
)
def test_messages_that_a_template_refuses_are_one_line(gemma, messages, prompt, line):
    tokenizer = load_tokenizer(ModelConfig(path=str(gemma)))
    settings = PromptConfig(template="chat", **prompt)
    with pytest.raises(UserError) as error:
        check_prompts_render(tokenizer, [[USER], messages], settings, "rows")
    assert str(error.value).startswith(line)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError):
        apply_template(tokenizer, messages, settings)


def test_a_template_that_fails_at_a_setting_names_it(gemma):
    tokenizer = load_tokenizer(ModelConfig(path=str(gemma)))
    tokenizer.chat_template = "{{ messages[0].content + suffix if suffix is defined else messages[0].content }}"
    settings = PromptConfig(template="chat", template_settings={"suffix": 1})
    with pytest.raises(UserError, match=r"prompt.template_settings = \{suffix: 1\}; the model's chat template refuses"):
        apply_template(tokenizer, [USER], settings)


def test_messages_that_end_in_the_assistant_s_are_continued(gemma):
    tokenizer = load_tokenizer(ModelConfig(path=str(gemma)))
    begun = [USER, {"role": "assistant", "content": "<think>", "name": None}]
    text = apply_template(tokenizer, begun, PromptConfig(template="chat"))
    assert text.endswith("<start_of_turn>model\n<think>")


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["generate", "eval", "rl", "verifier"])
@pytest.mark.parametrize("refused", ["system", "turns"])
def test_no_stage_ends_in_a_traceback_of_a_template(stage, refused, gemma, tmp_path):
    prompt = "What is 3 + 4?" if refused == "system" else [USER, {"role": "user", "content": "3 + 4?"}]
    rows = [{"prompt": prompt, "answer": str(n)} for n in range(2)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    role = "eval" if stage == "eval" else "train"
    values = {"model": {"path": str(gemma)}, "data": {role: [{"path": str(tmp_path / "rows.jsonl")}]}}
    if stage == "rl":
        values |= {"sampling": {"group_size": 2, "max_tokens": 4}, "training": {"steps": 1, "batch_size": 4}}
    if refused == "system":
        values["prompt"] = {"template": "chat", "system": "Be brief."}
    _, err = r1kit(stage, write_recipe(tmp_path / "r.yaml", **values), f"output={tmp_path}/run", code=2)
    [line] = [line for line in err.splitlines() if line.startswith("error:")]
    field = "prompt.system = Be brief." if refused == "system" else f"data.{role}: prompt of row 1 = [user, user]"
    assert line.startswith(f"error: {field}; the model's chat template refuses it")
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_run_is_asked_alike_by_eval_and_generate_and_resumes_in_silence(tmp_path):
    from helpers import RL

    rl = {**RL, "training": {"steps": 1, "batch_size": 8}}
    r1kit("rl-zero", write_recipe(tmp_path / "rl.yaml", **rl), f"output={tmp_path}/zero")
    assert (tmp_path / "zero/model" / PROMPT_FILE).exists()
    shutil.copytree(tmp_path / "zero/model", tmp_path / "copied")
    data = {"eval": [{"path": "world:arithmetic", "rows": 4, "split": "test"}]}
    models = {"run": str(tmp_path / "zero"), "copy": str(tmp_path / "copied"), "base": "tiny:base"}
    recipe = write_recipe(tmp_path / "e.yaml", data=data, models=models, sampling={"max_tokens": 8, "samples": 2})
    words = ["eval", recipe, f"output={tmp_path}/eval"]
    _, err = r1kit(*words)
    assert err.count("is asked as it was trained: by template = tiny") == 3
    resolved = yaml.safe_load((tmp_path / "eval/recipe.yaml").read_text())
    assert [model["prompt"]["template"] for model in resolved["models"].values()] == ["tiny"] * 3
    ladder = json.loads((tmp_path / "eval/eval.json").read_text())["models"]
    statistics = {row["model"]: row["statistics"] for row in ladder}
    assert statistics["run"] == statistics["copy"] != statistics["base"]
    _, err = r1kit(*words)
    assert err.startswith("done already: eval")
