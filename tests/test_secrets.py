"""Secrets get into no file and onto no screen; nobody else reads or decides: masking, hub, trust, watch, terminals."""

import json
import logging
import os
import sys
import threading
import urllib.error
import urllib.request
from types import SimpleNamespace

import pytest
import yaml

from r1kit.commands.chat import CompletionPrinter
from r1kit.commands.dry_run import print_dry_run
from r1kit.data.writing.card import DataFacts, data_card
from r1kit.data.writing.output import _describe_source
from r1kit.errors import UNSET, UserError
from r1kit.head2toe.reward import load_verifier_model
from r1kit.messages import logger, print_progress, print_traceback
from r1kit.preflight.servers import describe_sampling_servers
from r1kit.recipe import (
    CardConfig,
    PromptConfig,
    SourceConfig,
    collect_secrets,
    dump_recipe,
    load_recipe,
    parse_recipe,
    restore_secrets,
)
from r1kit.report.gather import describe_run
from r1kit.report.serve import make_server
from r1kit.runs.resume import open_run
from r1kit.runs.trained_prompt import write_trained_prompt
from r1kit.safe_text import MASK, escape_control_characters, is_secret_name, mask_secrets, mask_text
from r1kit.tables import format_table
from r1kit.training.card import model_card, push_model

SECRETS = (
    "hf_AbCdEfGhIjKlMnOpQrStUvWxYz01234567",
    "sk-proj-Ab12Cd34Ef56Gh78",
    "sk-ant-api03-Ab12Cd34Ef56",
    "ghp_Ab12Cd34Ef56Gh78Ij90Kl12Mn34Op56Qr78",
    "github_pat_11ABCDEFG0abcdefghijkl_mnop",
    "AKIAIOSFODNN7EXAMPLE",
    "AIzaSyA-1234567890abcdefghijklmnopqrstu",
    "xoxb-123456789012-abcdefghij",
    "glpat-Ab12Cd34Ef56Gh78Ij90",
    "gsk_Ab12Cd34Ef56Gh78Ij90",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N",
)
RL = {
    "output": "runs/x",
    "model": {"path": "tiny:base"},
    "data": {"train": "world:arithmetic"},
    "rewards": [
        {"name": "accuracy"},
        {"name": "format"},
        {"name": "os.judge", "api_key": "plain-words-1", "headers": {"X-Auth-Token": ["plain-words-2"]}, "pin": 4},
        {"name": "os.other", "url": "https://me:plain-words-3@judge.example/v1?api_key=plain-words-4&n=2"},
    ],
    "trl": {"hub_token": "plain-words-5", "eos_token": "<|end|>", "run_name": f"of {SECRETS[0]}"},
}
GENERATE = {
    "output": "runs/x",
    "model": {"path": "m"},
    "data": {"train": "world:arithmetic"},
    "sampling": {
        "engine": "openai",
        "max_tokens": 77,
        "server": {
            "key": "plain-words-1",
            "urls": ["http://plain-words-2:plain-words-3@localhost:8000/v1"],
            "body": {"extra_headers": {"Authorization": "plain-words-4"}, "user": "Bearer plain-words-5"},
        },
    },
    "refine": {"sampling": {"server": {"key": SECRETS[1]}}},
}


def assert_masked(text):
    assert "plain-words" not in text
    assert not [secret for secret in SECRETS if secret in text]
    assert MASK in text


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("frame", ["{}", "see {}, please", "a/{}", '"{}"', "name: {}", "x={};"])
def test_a_secret_is_known_by_its_shape(secret, frame):
    assert secret not in mask_text(frame.format(secret))
    assert mask_secrets({"about": [frame.format(secret)]})["about"][0].count(MASK) == 1


SECRET_NAMES = (
    "token hub_token hf_token HF_TOKEN key api_key apiKey API-KEY x-api-key api_keys secret client_secret password "
    "db.passwd passwd Authorization auth credentials private_key access_token cookie "
    "aws_access_key_id X-Amz-Signature bearer"
)


@pytest.mark.parametrize("name", SECRET_NAMES.split(" "))
def test_a_secret_is_known_by_the_name_of_its_field(name):
    assert is_secret_name(name)
    assert mask_secrets({"a": [{name: "xyz"}]}) == {"a": [{name: MASK}]}
    assert mask_secrets({name: {"inner": ["xyz"]}}) == {name: {"inner": [MASK]}}
    assert "xyz" not in str(UserError(f"rewards.0.{name}", "xyz", "must be another", "change it"))
    assert "xyz" not in str(UserError("argument", f"rewards.0.{name.replace('.', '_')}=xyz", "is odd", "change it"))


def test_what_only_looks_like_a_secret_stays():
    for name in [
        "max_tokens",
        "tokens",
        "num_key_value_heads",
        "eos_token",
        "pad_token",
        "token_id",
        "tokenizer",
        "monkey",
        "author",
        "keys",
    ]:
        assert not is_secret_name(name)
    values = {
        "trl": {"eos_token": "<|im_end|>", "use_auth_token": True, "num_tokens": 5},
        "server": {"key": "OPENAI_API_KEY"},
        "columns": {"key": "answer_key"},
        "where": {"token": ["a"]},
        "texts": [
            "export MY_KEY=...",
            "hf_transfer",
            "sk-learn",
            "task-specific-and-long",
            "bearer of bad news",
            "http://host:80/v1/a@b",
        ],
        "key": 3,
    }
    assert mask_secrets(values) == values


@pytest.mark.parametrize("values", [pytest.param(RL, id="rl"), pytest.param(GENERATE, id="generate")])
def test_recipes_are_written_masked_and_come_back_only_with_their_secrets(values, here):
    stage = "rl" if "trl" in values else "generate"
    recipe = parse_recipe(stage, values)
    text = dump_recipe(recipe)
    assert_masked(text)
    assert "<|end|>" in text or "max_tokens: 77" in text
    # A launcher's processes get them by another way than the file.
    read_values = yaml.safe_load(text)
    restore_secrets(read_values, json.loads(json.dumps(collect_secrets(recipe))))
    assert parse_recipe(stage, read_values) == recipe
    # A recipe.yaml that was masked is no recipe until the secrets are set again.
    (here / "recipe.yaml").write_text(text)
    with pytest.raises(UserError, match="is a secret, which r1kit masked when it wrote this recipe; set it again"):
        load_recipe(stage, "recipe.yaml", {})


def test_a_run_directory_and_its_report_hold_no_secret(here, capsys):
    run = open_run("rl", parse_recipe("rl", RL))
    run.log({"step": 1, "loss": 0.5, "judge/api_key": "plain-words-1", "note": SECRETS[2]})
    run.update(hub=f"https://me:plain-words-3@{SECRETS[3]}", seen={"password": "plain-words"})
    (run.path / "model").mkdir()
    (run.path / "model/README.md").write_text(model_card(run, parse_recipe("rl", RL)))
    write_trained_prompt(
        PromptConfig(template="chat", template_settings={"api_key": "plain-words"}), run.path / "model"
    )
    files = [file for file in run.path.rglob("*") if file.is_file() and file.name != ".lock"]
    assert {"recipe.yaml", "run.json", "metrics.jsonl", "README.md", "r1kit_prompt.yaml"} == {
        file.name for file in files
    }
    for file in files:
        assert_masked(file.read_text())
    # A run that was written before secrets were masked.
    (run.path / "recipe.yaml").write_text(yaml.safe_dump(RL))
    (run.path / "run.json").write_text(json.dumps({"stage": "rl", "host": SECRETS[0], "parents": []}))
    assert_masked(json.dumps(describe_run(run.path, {run.path.resolve(): "x"})))
    print_dry_run(
        "rl",
        parse_recipe(
            "rl",
            {
                **RL,
                "rewards": RL["rewards"][:2],
                "trl": {"run_name": RL["trl"]["run_name"]},
                "sampling": {"max_tokens": 64},
                "prompt": {"template": "tiny"},
            },
        ),
        None,
        None,
    )
    assert_masked(capsys.readouterr().out)


def test_a_data_card_holds_no_secret():
    source = SourceConfig(path="world:x", settings={"api_key": "plain-words", "url": f"http://a:{SECRETS[0]}@b/c"})
    facts = DataFacts("data", "1", "today", 3, [], {}, {}, [_describe_source(source)], {"model": "m"}, {})
    assert_masked(data_card(CardConfig(), facts))


def test_messages_and_errors_show_no_secret(capsys):
    logger.info("the server at http://me:plain-words@host/v1 said %s", SECRETS[0])
    print_progress(f"done: Authorization: Bearer {SECRETS[4]}")
    assert_masked(capsys.readouterr().err)
    for error in (
        UserError("rewards.2", {"name": "a", "api_key": "plain-words"}, "no such key", "remove it"),
        UserError("data", UNSET, f"cannot be read: 401 for https://x:plain-words@host?token={SECRETS[0]}", "check it"),
        UserError("trl.hub_token", "plain-words", "must be text", "quote it"),
    ):
        assert_masked(str(error))
    try:
        raise RuntimeError("no answer from http://me:plain-words@host")
    except RuntimeError as error:
        print_traceback(type(error), error, error.__traceback__)
    assert_masked(capsys.readouterr().err)
    records = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())
    logger.addHandler(handler)
    logger.warning("api_key=plain-words")
    logger.removeHandler(handler)
    assert_masked(records[0])


def test_a_key_in_the_place_of_the_name_of_its_variable_is_not_shown():
    from r1kit.recipe import ModelConfig, SamplingConfig
    from r1kit.sampling.server import ServerSampler

    sampling = SamplingConfig(engine="openai", server={"key": "plain-words"})
    with pytest.raises(UserError, match="looks like a key itself") as caught:
        ServerSampler(ModelConfig(path="m"), PromptConfig(), sampling)
    assert_masked(str(caught.value))
    assert str(caught.value).endswith("export OPENAI_API_KEY=... and write key: OPENAI_API_KEY")
    with pytest.raises(UserError, match="looks like a key itself") as caught:
        describe_sampling_servers("m", sampling, "judge")
    assert_masked(str(caught.value))
    values = {"model": {"path": "m"}, "data": {"train": "world:arithmetic"}, "output": "runs/x"}
    with pytest.raises(UserError, match="looks like a key") as caught:
        load_recipe("generate", None, {**values, "sampling": sampling.model_dump(), "rewards": ["accuracy"]})
    assert_masked(str(caught.value))


def test_a_run_goes_on_with_another_key(here):
    """The secret is not in the run directory, and comes again from the command line or not at all."""
    run = open_run("rl", parse_recipe("rl", RL))
    run.log({"step": 1})
    run.unlock()
    for token in ("another", None):
        trl = {**RL["trl"], "hub_token": token}
        changed = parse_recipe("rl", {**RL, "trl": {k: v for k, v in trl.items() if v}})
        open_run("rl", changed).unlock()
    with pytest.raises(UserError, match=r"was started with trl\.eos"):
        open_run("rl", parse_recipe("rl", {**RL, "trl": {**RL["trl"], "eos_token": "<x>"}}))


def test_a_rank_gets_the_secrets_that_its_run_directory_lacks(here, monkeypatch):
    from r1kit import launch

    recipe = parse_recipe("rl", RL)
    run = open_run("rl", recipe)
    seen = []
    monkeypatch.setattr(launch, "supervise", lambda report_death: None)
    monkeypatch.setattr(launch, "report_end", lambda code: None)
    monkeypatch.setattr(launch, "die_with_parent", lambda: None)
    monkeypatch.setattr("sys.excepthook", sys.excepthook)
    monkeypatch.setattr(launch, "work", lambda stage, recipe, run, quiet: seen.append(recipe) or 0)
    monkeypatch.setenv(launch._SECRETS_VARIABLE, json.dumps(collect_secrets(recipe)))
    monkeypatch.setattr("sys.argv", ["r1kit.launch", str(run.path)])
    assert launch.main() == 0
    assert seen == [recipe]
    assert launch._SECRETS_VARIABLE not in os.environ


def test_trackers_and_checkpoints_get_no_secret(here):
    import torch
    from trl import GRPOConfig

    from r1kit.training.arguments import build_grpo_config

    trl = {"hub_token": "plain-words-1", "vllm_server_base_url": "http://me:plain-words-2@host:1", "eos_token": "<e>"}
    recipe = parse_recipe("rl", {**RL, "trl": {k: v for k, v in trl.items() if k != "eos_token"}})
    config = build_grpo_config(recipe, open_run("rl", recipe))
    assert config.vllm_server_base_url == trl["vllm_server_base_url"]  # which the trainer needs
    assert config.hub_private_repo is True
    assert_masked(config.to_json_string())
    torch.save(config, here / "training_args.bin")
    assert b"plain-words" not in (here / "training_args.bin").read_bytes()
    assert type(torch.load(here / "training_args.bin", weights_only=False)) is GRPOConfig


@pytest.mark.parametrize("field", ["push_to_hub", "hub_model_id", "hub_strategy", "hub_always_push", "hub_revision"])
@pytest.mark.parametrize("stage", ["rl", "sft"])
def test_a_push_goes_by_the_card(stage, field):
    values = {"output": "x", "model.path": "tiny:base", "data.train": "rows.jsonl", f"trl.{field}": "a"}
    with pytest.raises(UserError, match=f"trl.{field} = a; r1kit sets it from card.push_to_hub; set card.push_to_hub"):
        load_recipe(stage, None, values)


def test_the_token_of_the_recipe_opens_the_hub_for_a_private_repository(here, monkeypatch):
    """HfApi is replaced, since no hub can be reached here."""
    calls = []
    monkeypatch.setattr(
        "huggingface_hub.HfApi",
        lambda **options: SimpleNamespace(
            create_repo=lambda *a, **k: calls.append((options, k)) or SimpleNamespace(repo_id="me/it"),
            upload_folder=lambda **k: None,
        ),
    )
    push_model(here, CardConfig(push_to_hub="it"), "t")
    assert calls == [({"token": "t"}, {"private": True, "exist_ok": True})]


def test_a_verifier_from_elsewhere_runs_no_code(here):
    from r1kit.head2toe.features import OUTPUT_FEATURES, SPANS

    (here / "verifier").mkdir()
    metadata = {
        "places": SPANS,
        "outputs": OUTPUT_FEATURES,
        "binary": True,
        "temperature": 1.0,
        "chosen": {},
        "model": {"path": str(here / "model"), "trust_remote_code": True},
        "prompt": {},
    }
    (here / "verifier/verifier.json").write_text(json.dumps(metadata))
    import torch
    from safetensors.torch import save_file

    tensors = {"kept": torch.tensor([0]), "weight": torch.ones(1, 1), "bias": torch.zeros(1), "shift": torch.zeros(1)}
    save_file(tensors, here / "verifier/head.safetensors")
    with pytest.raises(UserError, match="asks to run Python code that comes with the model"):
        load_verifier_model(str(here))
    with pytest.raises(UserError, match="must be a folder with a model"):  # it is trusted, and looked for
        load_verifier_model(str(here), True)


@pytest.mark.parametrize(
    ("stage", "block"), [("generate", "model"), ("generate", "refine.model"), ("distill", "teacher")]
)
def test_a_recipe_that_came_with_a_run_runs_no_code(here, stage, block):
    model = {"path": "org/model", "trust_remote_code": True}
    values = {"output": "x", "data": {"train": "rows.jsonl"}, "model": {"path": "m"}}
    if stage == "distill":
        values |= {"distill": {"method": "on-policy"}, "teacher": model}
    else:
        values |= {"model": model} if block == "model" else {"refine": {"model": model}}
    (here / "recipe.yaml").write_text(yaml.safe_dump(values))
    key = f"{block}.trust_remote_code"
    load_recipe(stage, "recipe.yaml", {})
    (here / "run.json").write_text("{}")
    with pytest.raises(UserError, match=f"{key} = true; this recipe came with a run"):
        load_recipe(stage, "recipe.yaml", {})
    load_recipe(stage, "recipe.yaml", {key: True})


# Terminals

HOSTILE = "a\x1b[2J\x1b]0;title\x07\x9b31m\rb\u202ec\u2066d\x00\x7f\ud800"


def assert_harmless(text):
    assert escape_control_characters(text) == text
    assert r"\x1b[2J" in text


def test_no_control_character_reaches_a_terminal(capsys, here):
    logger.info(f"the server says {HOSTILE}")
    print_progress(f"eval {HOSTILE} 3/4")
    assert_harmless(capsys.readouterr().err)
    assert_harmless(str(UserError(HOSTILE, HOSTILE, HOSTILE, HOSTILE)))
    assert_harmless(format_table([HOSTILE, "n"], [[HOSTILE, 1]]))
    assert escape_control_characters("سلام\u200cها \u200f é\n\t") == "سلام\u200cها \u200f é\n\t"


def test_a_completion_is_printed_without_its_control_characters(capsys):
    printer = CompletionPrinter(fold=False, colour=False, stream=sys.stdout)
    for piece in ("<think>", HOSTILE, "\n</think>", HOSTILE):
        printer.add(piece)
    printer.end()
    assert_harmless(capsys.readouterr().out)


def test_the_bar_takes_any_name_of_a_model(monkeypatch):
    from r1kit.completions import SampledCompletion
    from r1kit.sampling.progress import SamplingProgress

    with SamplingProgress("eval [/bold] [red]\x1b[2J", 2) as progress:
        progress.is_live = True
        for _ in range(2):
            progress.last_shown = 0
            progress.finish_batch([[SampledCompletion("a", 1, "stop")]])


# watch


def get(address, **headers):
    return urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=30)


def test_the_page_of_watch_needs_the_token_that_was_printed(here):
    (here / "run").mkdir()
    (here / "run/run.json").write_text(json.dumps({"stage": "sft", "status": "finished"}))
    with make_server(["run"], 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base, token = server.address.split("/?token=")
        assert len(token) >= 24
        with get(server.address) as response:
            assert b'"live":true' in response.read()
            assert response.headers["Referrer-Policy"] == "no-referrer"
            assert "Set-Cookie" not in response.headers
        assert json.loads(get(f"{base}/version?token={token}").read()) == 1
        port = server.server_address[1]
        assert get(f"{base}/version?token={token}", Host=f"localhost:{port}").status == 200
        refused = [(f"{base}{path}", {}) for path in ("/", "/version", "/head", "/s0", "/?token=", f"/?token={token}x")]
        refused += [(f"{base}/?token=%FF%00", {}), (f"{base}/?token={token[:-1]}", {})]
        refused += [(server.address, {"Host": host}) for host in ("evil.example", f"evil.example:{port}", "")]
        refused += [(f"{base}/head", {"Cookie": f"token={token}", "Referer": server.address})]
        for address, headers in refused:
            with pytest.raises(urllib.error.HTTPError, match="403"):
                get(address, **headers)
        server.shutdown()
    with make_server(["run"], 0) as other:
        assert other.token != token
