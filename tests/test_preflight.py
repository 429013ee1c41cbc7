"""What `--dry-run` looks at before anything is spent: data, contexts, TRL's own checks, servers, the output."""

import ast
import inspect
import json
from pathlib import Path

import pytest
from helpers import EVAL, GENERATE, RL, SFT, r1kit, write_recipe
from raw_servers import http, raw_server

from r1kit.commands.dry_run import _look_at_servers
from r1kit.errors import UserError
from r1kit.preflight.servers import describe_sampling_servers
from r1kit.preflight.sources import describe_columns, look_at_sources
from r1kit.recipe import SamplingConfig, SourceConfig, load_recipe
from r1kit.recipe.trl import TRL_CHOICES
from r1kit.stage_words import read_stage_recipe
from r1kit.stages import STAGES


def with_values(values: dict, **overrides) -> dict:
    """Return a recipe with other values, `block__field` naming the field of a block."""
    changed = json.loads(json.dumps(values))
    for key, value in overrides.items():
        block, _, field = key.partition("__")
        if field:
            changed.setdefault(block, {})[field] = value
        else:
            changed[block] = value
    return changed


def dry_run(stage: str, here: Path, values: dict, *words: str, code: int = 0) -> list[str]:
    """Return the lines of a dry run on stdout after the recipe; of one that fails, the lines of stderr."""
    file = write_recipe(here / "recipe.yaml", output="run", **values)
    out, err = r1kit(stage, file, "--dry-run", *words, code=code)
    if code:
        return err.splitlines()
    lines = out.splitlines()
    return lines[next(i for i, line in enumerate(lines) if line.startswith("launch: ")) :]


def write_rows(file: Path, count: int, **columns) -> str:
    rows = [
        {name: value.format(i) if isinstance(value, str) else value for name, value in columns.items()}
        for i in range(count)
    ]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(file.name)


# Data


def test_a_dry_run_shows_sources_problems_and_the_first_prompt(here):
    path = write_rows(here / "rows.jsonl", 30, prompt="What is {} + 1?", answer="7", colour="red")
    lines = dry_run("rl-zero", here, with_values(RL, data={"train": [path, {"path": "world:arithmetic", "rows": 20}]}))
    assert "data.train.0: rows.jsonl, 30 rows with prompt, answer (others: colour)" in lines
    assert any(line.startswith("data.train.1: world:arithmetic, 20 rows with prompt, answer, ") for line in lines)
    assert any(line.startswith("data.train: 5") and line.endswith("of which a rollout takes 4") for line in lines)
    assert "first prompt: Q: What is 0 + 1?" in lines
    assert any(line.startswith("prompts: the longest has ") and "model's context of 512" in line for line in lines)
    assert "output: run, a new run" in lines
    assert not (here / "run").exists()


@pytest.mark.parametrize(
    ("stage", "values", "expected"),
    [
        # Fewer problems than one rollout takes.
        ("rl-zero", with_values(RL, data={"train": "few.jsonl"}), "has 3 problems, but one rollout needs 4"),
        # No column for the accuracy reward, and a column that is not there.
        ("rl-zero", with_values(RL, data={"train": "plain.jsonl"}), "needs a column answer or tests"),
        ("eval", with_values(EVAL, data={"eval": "csv.csv"}), "needs a column prompt"),
        ("generate", with_values(GENERATE, data={"train": "missing.jsonl"}), "data.train.0.path = missing.jsonl"),
        ("sft", with_values(SFT, data={"train": "few.jsonl"}), "SFT needs a column text, or messages"),
        # Completions that do not fit into the context of the model, or into that of vLLM.
        (
            "rl-zero",
            with_values(RL, sampling__max_tokens=510),
            "sampling.max_tokens = 510; prompt and completion have up to",
        ),
        ("eval", with_values(EVAL, sampling__max_tokens=600), "the model's context has 512 tokens; use fewer than 512"),
        (
            "rl-zero",
            with_values(RL, trl={"vllm_max_model_length": 24}),
            "trl.vllm_max_model_length = 24; must be above",
        ),
        ("rl-zero", with_values(RL, trl={"vllm_max_model_length": 26}), "trl.vllm_max_model_length = 26; the longest"),
        # A chat template that the model does not have.
        (
            "rl-zero",
            with_values(RL, prompt__template="chat"),
            "prompt.template = chat; this model has no chat template",
        ),
    ],
)
def test_a_dry_run_refuses_what_the_stage_would_refuse_later(here, stage, values, expected):
    write_rows(here / "few.jsonl", 3, prompt="What is {} + 1?", answer="7")
    write_rows(here / "plain.jsonl", 30, prompt="What is {} + 1?")
    (here / "csv.csv").write_text("Colour,Shape\nred,round\n")
    [error] = [line for line in dry_run(stage, here, values, code=2) if line.startswith("error: ")]
    assert expected in error


def test_a_run_refuses_a_long_completion_before_it_loads_the_model(here):
    """The weights are damaged, and only the config is read."""
    from r1kit.runs.paths import SHIPPED_MODELS

    (here / "model").mkdir()
    for file in SHIPPED_MODELS["tiny:student"].iterdir():
        if file.suffix == ".json":
            (here / "model" / file.name).write_bytes(file.read_bytes())
    (here / "model/model.safetensors").write_bytes(b"no weights")
    for stage, values in (("rl-zero", RL), ("eval", EVAL)):
        values = with_values(values, model={"path": "./model"}, sampling__max_tokens=600)
        file = write_recipe(here / "recipe.yaml", output="run", **values)
        _, err = r1kit(stage, file, "--overwrite", code=2)
        [error] = [line for line in err.splitlines() if line.startswith("error: sampling.max_tokens = 600; ")]
        assert "the model's context has 512" in error


def test_data_of_the_hub_and_of_a_run_to_come_are_named_and_no_error(here):
    data = {"train": ["org/problems", "runs/later", {"path": "world:arithmetic", "rows": 20}]}
    lines = dry_run("rl-zero", here, with_values(RL, data=data))
    assert "data.train.0: org/problems, not looked at, because it is not on this machine" in lines
    assert "data.train.1: runs/later, not looked at, because an earlier stage makes it" in lines
    assert not any(line.startswith("data.train: ") for line in lines)  # how many there are is not known
    assert any(line.startswith("first prompt: Q: ") for line in lines)


def test_a_large_source_is_not_read_whole(here, monkeypatch):
    monkeypatch.setattr("r1kit.preflight.sources.LARGEST_DATA_READ", 1000)
    write_rows(here / "rows.jsonl", 300, prompt="What is {} + 1?", answer="7")
    view = look_at_sources([SourceConfig(path="rows.jsonl")], "data.train")
    assert view.lines == ["data.train.0: rows.jsonl, 0 MiB, of which 100 rows were drawn with prompt, answer"]
    assert not view.is_complete
    assert view.readable[0].rows == 100


def test_long_lists_of_columns_are_cut():
    names = [f"c{i}" for i in range(15)]
    expected = "no column that r1kit knows (others: " + ", ".join(names[:12]) + " and 3 more)"
    assert describe_columns(names) == expected


# TRL


def compared_texts(trl_class, names: set[str]) -> set[str]:
    """Return the texts that a class of TRL compares an attribute of these names with."""
    texts: set[str] = set()
    for node in ast.walk(ast.parse(inspect.getsource(trl_class))):
        if isinstance(node, ast.Compare) and getattr(node.left, "attr", None) in names:
            for constant in ast.walk(node):
                if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
                    texts.add(constant.value)
    return texts


@pytest.mark.parametrize(
    "field",
    [
        "loss_type",
        "importance_sampling_level",
        "scale_rewards",
        "multi_objective_aggregation",
        "vllm_importance_sampling_mode",
    ],
)
def test_the_choices_of_grpo_are_those_that_trl_compares_with(field):
    from trl import GRPOTrainer

    choices = {choice for choice in TRL_CHOICES["GRPOConfig"][field] if isinstance(choice, str)}
    assert choices == compared_texts(GRPOTrainer, {field})


def test_the_other_choices_are_those_of_trl():
    from trl import SFTTrainer, pack_dataset
    from trl.generation.vllm_generation import VLLMGeneration

    assert set(TRL_CHOICES["SFTConfig"]["loss_type"]) == compared_texts(SFTTrainer, {"loss_type"})
    assert set(TRL_CHOICES["GRPOConfig"]["vllm_mode"]) == compared_texts(VLLMGeneration, {"mode"})
    with pytest.raises(ValueError, match="must be one of") as error:
        pack_dataset(None, 8, "none")
    for choice in set(TRL_CHOICES["SFTConfig"]["packing_strategy"]) - {"bfd-requeue"}:
        assert choice in str(error.value)


@pytest.mark.parametrize(
    ("stage", "trl", "expected"),
    [
        (
            "rl-zero",
            {"loss_type": "grop"},
            "must be grpo, bnpo, dr_grpo, dapo, cispo, sapo, luspo or vespo; did you mean grpo?",
        ),
        ("rl-zero", {"vllm_mode": "servers"}, "must be colocate or server; did you mean server?"),
        ("rl-zero", {"scale_rewards": "all"}, "must be group, batch or none"),
        ("sft", {"loss_type": "dapo"}, "must be nll or dft"),
        ("sft", {"packing_strategy": 3}, "must be bfd, bfd_split, bfd-requeue or wrapped"),
    ],
)
def test_values_that_trl_would_refuse_in_the_first_step_are_refused_at_once(stage, trl, expected):
    values = {"output": "x", "model.path": "m", "data.train": "d", "trl": trl}
    with pytest.raises(UserError, match=expected.replace("?", "\\?")):
        load_recipe(stage, None, values)


def test_switches_of_trl_may_be_true_or_false():
    for value in (True, False, "none"):
        load_recipe("rl", None, {"output": "x", "model.path": "m", "data.train": "d", "trl.scale_rewards": value})


@pytest.mark.parametrize(
    ("stage", "values", "expected"),
    [
        ("rl-zero", with_values(RL, trl={"optim": "adamw_best"}), "error: trl.optim = adamw_best; TRL refuses this"),
        ("sft", with_values(SFT, trl={"report_to": "wandbb"}), "error: trl.report_to = wandbb; must be a tracker"),
        ("sft", with_values(SFT, trl={"adam_beta1": "high"}), "error: trl.adam_beta1 = high; must be a number"),
        ("sft", with_values(SFT, trl={"pad_token": "<none>"}), "error: trl.pad_token = <none>; must be a token of the"),
        ("sft", with_values(SFT, trl={"eos_token": "<none>"}), "error: trl.eos_token = <none>; must be a token of the"),
    ],
)
def test_a_dry_run_makes_trl_s_own_checks(here, stage, values, expected):
    lines = dry_run(stage, here, values, code=2)
    assert any(line.startswith(expected) for line in lines)
    assert not (here / "run").exists()


# Servers


def listing_server(content: str, status: str = "200 OK"):
    """Return a server that answers all questions for its models with `content`."""
    return raw_server(lambda *_: None, http(content, status))


def server_sampling(*urls: str) -> SamplingConfig:
    return SamplingConfig(engine="openai", server={"urls": list(urls)})


def test_servers_are_asked_for_their_models():
    models = json.dumps({"data": [{"id": "qwen3"}, {"id": "r1"}]})
    with listing_server(models) as url, listing_server('{"error": "no"}') as other:
        lines = describe_sampling_servers("r1", server_sampling(url, "http://127.0.0.1:9/v1", other))
        assert lines[0] == f"server: {url} answers, and serves r1"
        assert lines[1].startswith("server: http://127.0.0.1:9/v1 does not answer (")
        assert lines[2] == f"server: {other} answers, and does not list its models as OpenAI's interface does"
        [line] = describe_sampling_servers("r2", server_sampling(url), "refine.sampling")
        assert line == (
            f"refine.sampling server: {url} answers, and does not list r2, which the recipe names in model.path; "
            "it lists qwen3, r1"
        )
    with listing_server("{}", "401 Unauthorized") as url:
        [line] = describe_sampling_servers("r1", server_sampling(url))
        assert line == f"server: {url} answers with status 401 when it is asked for its models"


def test_an_address_that_lacks_v1_is_a_warning_that_says_so(caplog):
    with listing_server("{}", "404 Not Found") as url:
        host = url.removesuffix("/v1")
        describe_sampling_servers("r1", server_sampling(host))
        assert f"{host} answers with status 404; write {host}/v1" in caplog.text
        caplog.clear()
        describe_sampling_servers("r1", server_sampling(f"{host}/v1"))
        assert "/v1" not in caplog.text


def test_a_dry_run_with_a_server_that_is_down_is_no_error(here):
    values = with_values(
        EVAL, model={"path": "r1"}, sampling__engine="openai", sampling__server={"urls": "http://127.0.0.1:9/v1"}
    )
    lines = dry_run("eval", here, values)
    assert any(line.startswith("server: http://127.0.0.1:9/v1 does not answer (") for line in lines)


def test_a_dry_run_sends_a_judge_s_key_nowhere_else_and_shows_no_password(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "open-sesame")
    redirecting = http("", "302 Found", Location="http://127.0.0.1:9/v1/models")
    with (
        raw_server(lambda *_: None, redirecting) as redirects,
        raw_server(lambda *_: None, b"SSH-2.0-OpenSSH_9.6\r\n") as no_http,
        listing_server('{"data": [{"id": "qwen3"}]}') as other,
    ):
        urls = [redirects, no_http, other, "http://me:hunter2@127.0.0.1:9/v1"]
        reward = {"name": "judge", "model": "r1", "rubric": "It is good.", "server": {"urls": urls}}
        lines = _look_at_servers(load_recipe("rl", None, with_values(RL, output="run", rewards=[reward])))
    assert lines[0] == f"judge server: {redirects} answers with status 302 when it is asked for its models"
    assert lines[1].startswith(f"judge server: {no_http} does not answer (")
    assert lines[2].endswith("does not list r1, which the recipe names in rewards.judge.model; it lists qwen3")
    assert "@127.0.0.1:9/v1 cannot be asked (" in lines[3]  # with a key and a password
    assert "hunter2" not in lines[3]


# The output


def test_a_dry_run_says_what_is_in_the_output(here):
    values = with_values(SFT, training__steps=2, training__epochs=None)
    file = write_recipe(here / "recipe.yaml", output="run", **values)
    r1kit("sft", file)
    assert "output: run holds this run, finished: the command prints its path and does nothing" in dry_run(
        "sft", here, values
    )
    more = with_values(values, training__steps=4)
    assert "output: run holds this run at step 2 of 4: the command goes on with it" in dry_run("sft", here, more)
    other = with_values(values, training__learning_rate=0.5)
    [line] = [line for line in dry_run("sft", here, other) if line.startswith("output: ")]
    assert line.startswith("output: run holds a run that was started with training.learning_rate = 0.001, and this ")
    assert line.endswith("the command needs --overwrite")


@pytest.mark.parametrize(
    ("word", "option"),
    [("dry-run", "dry-run"), ("dry_run=true", "dry-run"), ("smoke=true", "smoke"), ("smoke", "smoke")],
)
def test_an_option_without_its_dashes_is_named(word, option):
    for words in ([word], ["recipe.yaml", word]):
        with pytest.raises(UserError, match=f"argument = {word}; is an option, .*; write --{option}$"):
            read_stage_recipe(STAGES["sft"], words)
