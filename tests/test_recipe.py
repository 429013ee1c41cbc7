"""Recipes are read, overridden, checked and dumped; what is wrong is refused in one line."""

import re
from pathlib import Path

import pytest
import yaml

from r1kit.errors import UserError, suggest
from r1kit.recipe import check_recipe, dump_recipe, load_recipe, parse_override, parse_recipe
from r1kit.recipe.reference import list_fields
from r1kit.recipe.trl import (
    DEFAULTED_TRL_FIELDS,
    FIXED_BY_R1KIT,
    OWNED_TRL_FIELDS,
    REPLACED_TRL_FIELDS,
    RESUMABLE_TRL_FIELDS,
    trl_fields,
)

SFT = {"output": "o", "model": {"path": "m"}, "data": {"train": "rows.jsonl"}, "training": {"steps": 10}}
EVAL = {"output": "o", "model": {"path": "m"}, "data": {"eval": "rows.jsonl"}}
GENERATE = {"output": "o", "model": {"path": "m"}, "data": {"train": "rows.jsonl"}}


def changed(base: dict, **changes) -> dict:
    """Return a copy of `base` with dotted keys set (`__` stands for the dot); None removes a key."""
    values = yaml.safe_load(yaml.safe_dump(base))
    for key, value in changes.items():
        *parents, last = key.split("__")
        node = values
        for name in parents:
            node = node.setdefault(name, {})
        if value is None:
            node.pop(last, None)
        else:
            node[last] = value
    return values


def error_line(stage: str, values: dict) -> str:
    """Return the one line with which a wrong recipe is refused."""
    with pytest.raises(UserError) as caught:
        check_recipe(parse_recipe(stage, values))
    line = str(caught.value)
    assert re.fullmatch(r"[^;\n]+( = [^\n]+;|:) [^\n]+; [^\n]+", line), line
    return line


def write_recipe(folder: Path, text: str) -> str:
    """Write a recipe file and return its path."""
    (folder / "recipe.yaml").write_text(text)
    return str(folder / "recipe.yaml")


# Reading and overriding


def test_defaults_are_those_of_the_paper():
    zero, rl = parse_recipe("rl-zero", {}), parse_recipe("rl", {})
    assert (zero.training.learning_rate, zero.training.kl, zero.training.batch_size) == (3e-6, 0.001, 512)
    assert (zero.sampling.group_size, zero.sampling.temperature, zero.prompt.template) == (16, 1.0, "r1-zero")
    assert [(r.name, r.weight) for r in zero.rewards] == [("accuracy", 1.0), ("format", 1.0)]
    assert [r.name for r in rl.rewards] == ["accuracy", "format", "language"]
    assert rl.prompt.template == parse_recipe("sft", {}).prompt.template == "chat"
    assert (parse_recipe("eval", {}).sampling.temperature, parse_recipe("eval", {}).sampling.top_p) == (0.6, 0.95)


def test_command_line_over_recipe_over_default(tmp_path):
    file = write_recipe(tmp_path, yaml.safe_dump(changed(SFT, training__batch_size=32)))
    recipe = load_recipe("sft", file, {"training.batch_size": 8, "training.max_length": 64})
    assert (recipe.training.batch_size, recipe.training.max_length) == (8, 64)
    assert load_recipe("sft", file, {}).training.batch_size == 32
    assert load_recipe("sft", write_recipe(tmp_path, yaml.safe_dump(SFT)), {}).training.batch_size == 128


def test_no_recipe_is_needed():
    recipe = load_recipe(
        "sft", None, {"model.path": "m", "data.train": ["a.jsonl"], "output": "o", "training.epochs": 2}
    )
    assert (recipe.model.path, recipe.data.train[0].path, recipe.training.epochs) == ("m", "a.jsonl", 2)


def test_an_empty_recipe_has_the_defaults(tmp_path):
    values = {"model.path": "m", "data.train": "a.jsonl", "output": "o", "training.steps": 1}
    assert load_recipe("sft", write_recipe(tmp_path, ""), values).training.batch_size == 128


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        ("training.steps=50", "training.steps", 50),
        ("training.learning_rate=1e-5", "training.learning_rate", 0.00001),
        ("training.learning_rate=3.0e-4", "training.learning_rate", 0.0003),
        ("training.packing=true", "training.packing", True),
        ("training.eval_steps=", "training.eval_steps", None),
        ("training.eval_steps=null", "training.eval_steps", None),
        ("data.train=[a.jsonl, b.jsonl]", "data.train", ["a.jsonl", "b.jsonl"]),
        ("rewards=[{name: accuracy, weight: 2}]", "rewards", [{"name": "accuracy", "weight": 2}]),
        ("model.path=runs/a=b", "model.path", "runs/a=b"),
        ("model.path=org/model", "model.path", "org/model"),
        ("prompt.template={prompt: 1", "prompt.template", "{prompt: 1"),
    ],
)
def test_an_override_is_yaml(word, key, value):
    override = parse_override(word)
    assert override == (key, value)
    assert type(override[1]) is type(value)


def test_a_quoted_override_stays_text():
    assert parse_override("model.revision='1234567'") == ("model.revision", "1234567")


@pytest.mark.parametrize("word", ["training.steps", "=5", ""])
def test_an_override_without_key_or_value_is_refused(word):
    with pytest.raises(UserError, match=r"must be key\.path=value"):
        parse_override(word)


def test_overrides_reach_into_lists(tmp_path):
    file = write_recipe(
        tmp_path,
        """
        output: o
        model: {path: m}
        data: {train: [{path: a.jsonl}, {path: b.jsonl, rows: 5}]}
        rewards: [{name: accuracy}, {name: format}]
        training: {steps: 1}
        """,
    )
    recipe = load_recipe("rl-zero", file, {"data.train.1.rows": 9, "rewards.0.weight": 0.5})
    assert [s.rows for s in recipe.data.train] == [None, 9]
    assert [r.weight for r in recipe.rewards] == [0.5, 1.0]


@pytest.mark.parametrize("key", ["data.train.7.rows", "data.train.x.rows", "output.deep.er"])
def test_an_override_of_a_key_that_the_recipe_lacks_is_refused(tmp_path, key):
    file = write_recipe(tmp_path, yaml.safe_dump(changed(SFT, data__train=[{"path": "a.jsonl"}])))
    with pytest.raises(UserError) as caught:
        load_recipe("sft", file, {key: 1})
    assert str(caught.value).startswith(f"{key} = 1; ")


def test_a_source_is_a_path_a_block_or_a_list_of_them():
    for train in ("a.jsonl", {"path": "a.jsonl"}, ["a.jsonl"], [{"path": "a.jsonl"}]):
        assert [s.path for s in parse_recipe("sft", {"data": {"train": train}}).data.train] == ["a.jsonl"]


def test_numbers_like_1e_5_are_numbers_everywhere(tmp_path):
    text = yaml.safe_dump(SFT).replace("steps: 10", "steps: 10\n  learning_rate: 1e-5") + "trl: {adam_epsilon: 1e-7}\n"
    recipe = load_recipe("sft", write_recipe(tmp_path, text), {})
    assert recipe.training.learning_rate == 0.00001
    assert recipe.trl["adam_epsilon"] == 0.0000001


def test_further_keys_of_a_reward_are_its_settings():
    entry = parse_recipe("rl", {"rewards": [{"name": "brevity", "weight": 2, "max_tokens": 7}]}).rewards[0]
    assert (entry.weight, entry.settings) == (2.0, {"max_tokens": 7})


# Recipes that are refused


@pytest.mark.parametrize(
    ("stage", "values", "key", "suggestion"),
    [
        ("sft", {"traning": {"steps": 1}}, "traning", "training"),
        ("sft", {"training": {"step": 1}}, "training.step", "steps"),
        ("rl", {"training": {"clp": 0.1}}, "training.clp", "clip"),
        ("rl", {"sampling": {"groupsize": 8}}, "sampling.groupsize", "group_size"),
        ("sft", {"model": {"lora": {"alfa": 8}}}, "model.lora.alfa", "alpha"),
        ("sft", {"model": {"new": {"vocabsize": 8}}}, "model.new.vocabsize", "vocab_size"),
        ("sft", {"data": {"train": [{"path": "a", "colums": {}}]}}, "data.train.0.colums", "columns"),
        ("generate", {"keep": {"max_repetitions": 0.5}}, "keep.max_repetitions", "max_repetition"),
        (
            "rl",
            {"sampling": {"schedule": [{"from_step": 1, "max_tokens": 8, "to_steps": 2}]}},
            "sampling.schedule.0.to_steps",
            "from_step",
        ),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest(stage, values, key, suggestion):
    line = error_line(stage, values)
    assert line.startswith(f"{key} = ")
    assert line.endswith(f"no such key; did you mean {suggestion}?")


def test_a_key_of_another_stage_is_unknown():
    assert error_line("sft", {"rewards": []}).startswith("rewards = []; no such key")
    assert error_line("generate", {"training": {}}).startswith("training = {}; no such key")


def test_an_error_shows_a_value_as_a_recipe_writes_it():
    assert str(UserError("a", {"b": [True, None]}, "must be c", "use d")) == "a = {b: [true, null]}; must be c; use d"
    assert str(UserError("a", "", "must be c", "use d")) == 'a = ""; must be c; use d'
    assert str(UserError("a", "x" * 300, "must be c", "use d")) == f"a = {'x' * 197}...; must be c; use d"


def test_an_error_says_that_a_value_is_the_default():
    values = changed(GENERATE, rewards=[{"name": "format"}])
    assert error_line("generate", values).startswith("keep.correct = true (the default); needs a reward that decides")
    values = changed(values, keep={"correct": True})
    assert error_line("generate", values).startswith("keep.correct = true; needs a reward that decides")


def test_suggest():
    assert suggest("acuracy", ["format", "accuracy"]) == "did you mean accuracy?"
    assert suggest("zzz", ["format", "accuracy"]) == "use one of: accuracy, format"


@pytest.mark.parametrize(
    ("stage", "values", "start"),
    [
        (
            "sft",
            {"training": {"steps": "many"}},
            "training.steps = many; must be a whole number; change it in",
        ),
        ("sft", {"training": {"steps": 1.5}}, "training.steps = 1.5; must be a whole number"),
        ("sft", {"training": {"steps": 0}}, "training.steps = 0; must be above 0"),
        ("sft", {"training": {"batch_size": -1}}, "training.batch_size = -1"),
        ("sft", {"training": {"learning_rate": 0}}, "training.learning_rate = 0"),
        ("sft", {"training": {"packing": "perhaps"}}, "training.packing = perhaps; must be true or false"),
        ("sft", {"training": {"schedule": "cosin"}}, "training.schedule = cosin; must be constant, linear or cosine"),
        ("sft", {"training": 5}, "training = 5; must be a block of keys, such as {key: value}"),
        ("sft", {"model": {"dtype": "float8"}}, "model.dtype = float8"),
        ("sft", {"model": {"lora": 16}}, "model.lora = 16; must be a block of keys"),
        ("sft", {"seed": None}, "seed = null; must be a whole number"),
        ("sft", {"output": 5}, "output = 5; must be text"),
        ("sft", {"model": {"quantize": "8bit"}}, "model.quantize = 8bit"),
        ("sft", {"data": {"train": [{"rows": 5}]}}, "data.train.0.path: is required; "),
        ("sft", {"data": {"train": 5}}, "data.train = 5; must be a list, such as [a, b]"),
        ("rl", {"sampling": {"group_size": 1}}, "sampling.group_size = 1; must be at least 2"),
        ("rl", {"sampling": {"temperature": 0}}, "sampling.temperature = 0"),
        ("rl", {"sampling": {"top_p": 1.5}}, "sampling.top_p = 1.5; must be at most 1"),
        ("rl", {"rewards": [{"weight": 1}]}, "rewards.0.name: is required; "),
        ("generate", {"keep": {"language": 1.2}}, "keep.language = 1.2"),
        ("generate", {"keep": {"pass_rate": [0, 2]}}, "keep.pass_rate.1 = 2"),
        ("eval", {"models": "a"}, "models = a; must be a mapping, such as {key: value}; change it"),
        ("eval", {"models": ["a", "a"]}, "models = [a, a]; the name a stands for a already; change it"),
        ("sft", {"prompt": {"template": "r1zero"}}, "prompt.template = r1zero; must be r1-zero, tiny, chat"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key(stage, values, start):
    assert error_line(stage, values).startswith(start)


RL = changed(SFT, training__batch_size=32)
LORA = {"r": 8}


@pytest.mark.parametrize(
    ("stage", "values", "start"),
    [
        ("sft", changed(SFT, data=None), "data.train: needs at least one data set; set data.train"),
        ("eval", changed(EVAL, data=None), "data.eval: needs at least one data set; set data.eval"),
        ("sft", changed(SFT, output=None), "output: a run needs a directory"),
        ("eval", changed(EVAL, output=None), "output: a run needs a directory"),
        ("sft", changed(SFT, output="s3://bucket/run"), "output = s3://bucket/run; s3: begins an address"),
        ("sft", changed(SFT, output="world:no"), "output = world:no; world: begins an address"),
        ("rl", changed(RL, model=None), "model.path: a model is needed; set model.path or pass"),
        ("generate", changed(GENERATE, model=None), "model.path: a model is needed; set model.path or pass"),
        ("eval", changed(EVAL, model=None), "model.path: a model is needed; set model.path or pass"),
        ("rl", changed(RL, model__new={}), "model.new: only sft and distill can"),
        ("generate", changed(GENERATE, model__new={}), "model.new: only sft and distill can"),
        ("eval", changed(EVAL, models={"a": "b"}), "model.path = m; models is set too; "),
        ("sft", changed(SFT, model=None), "model.path: a model is needed; set model.path or model.new"),
        ("sft", changed(SFT, model__new={}), "model.path = m; model.new is set too; remove one of the two"),
        ("sft", changed(SFT, training__epochs=2), "training.steps = 10; training.epochs = 2"),
        ("rl", changed(RL, training__epochs=2), "training.steps = 10; training.epochs = 2"),
        (
            "sft",
            changed(SFT, training__micro_batch_size=48),
            "training.micro_batch_size = 48; must divide training.batch_size = 128",
        ),
        ("sft", changed(SFT, model__quantize="4bit"), "model.quantize = 4bit"),
        ("sft", changed(SFT, training__eval_steps=5), "training.eval_steps = 5"),
        (
            "sft",
            changed(SFT, data__eval="b.jsonl", training__eval_steps=30),
            "training.eval_steps = 30; must equal training.save_steps = 100, or the best checkpoint",
        ),
        ("eval", changed(EVAL, data__rows=3), "data.rows = 3; sets the size of a mixture, which needs a share"),
        ("generate", changed(GENERATE, data__eval="b.jsonl"), "data.eval: the stage generate evaluates nothing; "),
        (
            "generate",
            changed(GENERATE, keep__prefer="shortest"),
            "keep.prefer = shortest; has no effect",
        ),
        (
            "generate",
            changed(GENERATE, keep__pass_rate_by="accuracy"),
            "keep.pass_rate_by = accuracy; has no effect",
        ),
        ("rl", changed(RL, training__batch_size=24), "training.batch_size = 24; batch_size x updates_per_rollout must"),
        (
            "rl",
            changed(RL, training__updates_per_rollout=4),
            "training.steps = 10; must be a multiple of 4, the",
        ),
        ("rl", changed(RL, trl={"num_iterations": 3}), "training.steps = 10; must be a multiple of 3, the"),
        (
            "rl",
            changed(RL, training__reference_reset_steps=400, training__kl=0.0),
            "training.reference_reset_steps = 400",
        ),
        ("rl", changed(RL, rewards=[]), "rewards = []"),
        ("rl", changed(RL, rewards=[{"name": "format"}, {"name": "format"}]), "rewards = format"),
        (
            "sft",
            changed(SFT, trl={"learning_rate": 1.0}),
            "trl.learning_rate = 1.0; r1kit sets it from training.learning_rate",
        ),
        (
            "rl",
            changed(RL, trl={"num_generations": 8}),
            "trl.num_generations = 8; r1kit sets it from sampling.group_size",
        ),
        (
            "rl",
            changed(RL, trl={"los_type": "grpo"}),
            "trl.los_type = grpo; TRL's GRPOConfig has no such field; did you mean loss_",
        ),
        (
            "sft",
            changed(SFT, trl={"loss_tipe": "nll"}),
            "trl.loss_tipe = nll; TRL's SFTConfig has no such field; did you mean loss_",
        ),
        (
            "sft",
            changed(SFT, trl={"group_by_length": True}),
            "trl.group_by_length = true; it is a field of r1kit's; set training.group_by_length instead",
        ),
    ],
)
def test_fields_that_contradict_each_other_are_refused(stage, values, start):
    assert error_line(stage, values).startswith(start)


@pytest.mark.parametrize(
    ("stage", "values"),
    [
        ("sft", SFT),
        ("distill", changed(SFT, model={"new": {}})),
        ("sft", changed(SFT, training={"epochs": 0.5}, model__lora=LORA, model__quantize="4bit")),
        (
            "sft",
            changed(
                SFT,
                data__eval="b.jsonl",
                training__eval_steps=50,
                training__save_steps=50,
                training__micro_batch_size=32,
            ),
        ),
        ("rl", RL),
        # 24 completions a step are no whole groups of 16, two steps' worth are
        ("rl", changed(RL, training__batch_size=24, training__updates_per_rollout=2)),
        ("rl-zero", changed(RL, training__reference_reset_steps=400)),
        ("rl-zero", changed(RL, training__reference_reset_steps=400, model__lora=LORA)),
        ("rl-zero", changed(RL, trl={"loss_type": "grpo", "adam_beta2": 0.95})),
        ("generate", GENERATE),
        ("eval", EVAL),
        ("eval", changed(EVAL, model=None, models={"base": "a", "r1": "b"})),
    ],
)
def test_a_correct_recipe_passes(stage, values):
    check_recipe(parse_recipe(stage, values))


@pytest.mark.parametrize("stage", ["sft", "rl"])
def test_without_steps_and_epochs_it_is_one_pass(stage):
    recipe = parse_recipe(stage, changed(RL, training={"batch_size": 32}))
    check_recipe(recipe)
    assert (recipe.training.steps, recipe.training.epochs) == (None, 1)


def test_the_suggested_batch_size_passes():
    line = error_line("rl", changed(RL, training__batch_size=40))
    assert line.endswith("use 32")
    assert error_line("rl", changed(RL, training__batch_size=5)).endswith("use 16")


def test_eval_takes_data_train_for_its_questions():
    recipe = parse_recipe("eval", changed(EVAL, data={"train": "rows.jsonl"}))
    check_recipe(recipe)
    assert [s.path for s in recipe.data.eval] == ["rows.jsonl"]
    assert recipe.data.train == []


def test_a_range_of_pass_rates_that_holds_nothing_is_refused():
    assert error_line("generate", changed(GENERATE, keep={"pass_rate": [0.8, 0.2]})).startswith("keep.pass_rate")


# Recipe files


@pytest.mark.parametrize(
    ("text", "requirement"),
    [
        (
            "training: {steps: 1",
            "must be valid YAML: expected ',' or '}', but got '<stream end>' in line 1, ",
        ),
        ("a: b: c", "must be valid YAML: mapping values are not allowed here in line 1, column 5; correct that line"),
        ("- sft\n- rl\n", "must be a mapping"),
        ("just words", "must be a mapping"),
        ("training:\n\tsteps: 1\n", "must be valid YAML"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_in_one_line(tmp_path, text, requirement):
    file = write_recipe(tmp_path, text)
    with pytest.raises(UserError) as caught:
        load_recipe("sft", file, {})
    assert str(caught.value).startswith(f"recipe = {file}; {requirement}")
    assert "\n" not in str(caught.value)


def test_a_missing_recipe_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(UserError, match="must be a YAML file that can be read"):
            load_recipe("sft", str(path), {})


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "recipe.yaml").write_bytes(b"output: \xff\xfe")
    with pytest.raises(UserError, match="must be valid YAML"):
        load_recipe("sft", str(tmp_path / "recipe.yaml"), {})


# Dumping and reading again


@pytest.mark.parametrize(
    ("stage", "values"),
    [
        (
            "sft",
            changed(
                SFT, model__lora={"r": 4, "targets": ["q_proj"]}, trl={"adam_beta2": 0.95}, training__learning_rate=1e-5
            ),
        ),
        ("sft", changed(SFT, model={"new": {"settings": {"hidden_size": 8}}}, prompt__template="س: {prompt}\nج:")),
        (
            "rl",
            changed(RL, rewards=[{"name": "brevity", "max_tokens": 7, "where": {"domain": ["f"]}, "last_steps": 3}]),
        ),
        ("generate", changed(GENERATE, keep={"pass_rate": [0.25, 0.75], "per_prompt": 2})),
        ("eval", changed(EVAL, models={"R1-Zero": "a"})),
    ],
)
def test_a_dumped_recipe_is_the_same_recipe(stage, values):
    recipe = parse_recipe(stage, values)
    assert parse_recipe(stage, yaml.safe_load(dump_recipe(recipe))) == recipe


# TRL's own fields


def test_trl_fields_hold_those_of_the_config_and_of_its_bases():
    rl, sft = trl_fields("GRPOConfig"), trl_fields("SFTConfig")
    assert {"num_generations", "loss_type", "adam_beta1", "learning_rate"} <= rl
    assert {"packing", "adam_beta1", "learning_rate"} <= sft
    assert "num_generations" not in sft


@pytest.mark.parametrize(
    "config", ["SFTConfig", "GRPOConfig", "DistillationConfig", "GOLDConfig", "ServerDistillationConfig"]
)
def test_every_field_that_r1kit_sets_or_replaces_exists_in_trl(config):
    fields = set(OWNED_TRL_FIELDS[config]) | DEFAULTED_TRL_FIELDS | set(REPLACED_TRL_FIELDS[config])
    assert fields <= trl_fields(config)
    assert not DEFAULTED_TRL_FIELDS & set(OWNED_TRL_FIELDS[config])
    assert not set(REPLACED_TRL_FIELDS[config]) & set(OWNED_TRL_FIELDS[config])


def test_every_trl_field_that_may_change_on_resume_exists_and_may_be_set():
    assert trl_fields("GRPOConfig") >= RESUMABLE_TRL_FIELDS
    assert not RESUMABLE_TRL_FIELDS & set(OWNED_TRL_FIELDS["GRPOConfig"])
    servers = {name for name in trl_fields("GRPOConfig") if name.startswith("vllm_server_")}
    assert servers <= RESUMABLE_TRL_FIELDS


@pytest.mark.parametrize(
    ("stage", "config"), [("sft", "SFTConfig"), ("rl", "GRPOConfig"), ("distill", "DistillationConfig")]
)
def test_the_recipe_field_named_for_each_trl_field_exists(stage, config):
    keys = {entry.key for stage_name in (stage, "sft") for entry in list_fields(stage_name)}
    for owner in [*OWNED_TRL_FIELDS[config].values(), *REPLACED_TRL_FIELDS[config].values()]:
        assert owner == FIXED_BY_R1KIT or owner in keys


@pytest.mark.parametrize(("stage", "config"), [("sft", "SFTConfig"), ("rl", "GRPOConfig")])
def test_trl_may_not_set_what_r1kit_sets(stage, config):
    for field, owner in OWNED_TRL_FIELDS[config].items():
        requirement = f"r1kit sets it from {owner}; set {owner} instead" if owner else "r1kit sets it itself; remove it"
        assert error_line(stage, changed(RL, trl={field: 1})) == f"trl.{field} = 1; {requirement}"
    for field, owner in REPLACED_TRL_FIELDS[config].items():
        assert error_line(stage, changed(RL, trl={field: 1})).endswith(f"set {owner} instead")
    for field in DEFAULTED_TRL_FIELDS:
        check_recipe(parse_recipe(stage, changed(RL, trl={field: 1})))


@pytest.mark.parametrize(
    ("language", "shown"),
    [
        ("xx", "values.language = xx; must be a language that r1kit can detect: ar, cs"),
        (3, "values.language = 3; must be a language"),
        (False, "values.language = no; YAML reads no as false; write"),
        (["en"], "must be a language"),
    ],
)
def test_a_language_that_r1kit_cannot_detect_is_refused(language, shown):
    source = {"path": "rows.jsonl", "values": {"language": language}}
    with pytest.raises(UserError) as caught:
        load_recipe("data", None, {"output": "out", "data.train": [source]})
    assert shown in str(caught.value)


@pytest.mark.parametrize("language", ["no", "pt_BR", "zh-CN", "English"])
def test_a_language_that_r1kit_can_detect_is_taken(language):
    source = {"path": "rows.jsonl", "values": {"language": language}}
    recipe = load_recipe("data", None, {"output": "out", "data.train": [source]})
    assert recipe.data.train[0].values == {"language": language}


def test_the_template_of_the_bare_prompt_needs_no_quotes():
    """YAML reads `prompt.template={prompt}` as a mapping."""
    assert parse_recipe("sft", changed(SFT, prompt={"template": {"prompt": None}})).prompt.template == "{prompt}"


def test_a_key_of_a_list_is_set_on_the_command_line_without_a_recipe():
    recipe = load_recipe("data", None, {"data.train.0.path": "a.jsonl", "data.train.1": "b.jsonl", "output": "run"})
    assert [source.path for source in recipe.data.train] == ["a.jsonl", "b.jsonl"]


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("data.train.1.path", "data.train.1.path = x; the recipe has no such key"),
        ("data.train.-1.path", "data.train.0.-1 = {path: x}; no such key"),
        ("data.train.first.path", "data.train.0.first = {path: x}; no such key"),
    ],
)
def test_a_wrong_key_of_a_list_is_named(key, line):
    with pytest.raises(UserError) as error:
        load_recipe("data", None, {key: "x", "output": "run"})
    assert str(error.value).startswith(line)
