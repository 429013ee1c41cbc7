"""What servers differ in: one is down, the model has another name on each, some give log-probabilities."""

import json
import math
import time
import urllib.request

import pytest
from helpers import r1kit, read_data, write_recipe
from pydantic import ValidationError
from servers import free_port, loopback_server, request_counts
from test_server import FAST, chat_question, make_sampler, sample_all, sum_question, write_server_recipe, write_sums

from r1kit.errors import UserError
from r1kit.recipe import ModelConfig, PromptConfig, SamplingConfig, ServerConfig, load_recipe
from r1kit.recipe.block import OnResume, find_resume_rule
from r1kit.recipe.stages import recipe_class
from r1kit.sampling.server import ServerSampler
from r1kit.servers import endpoints


def ask_servers(urls, prompts=8, **server):
    """Return the samples of `prompts` sums that several servers give."""
    settings = SamplingConfig(engine="openai", max_tokens=64, server={"urls": urls, **FAST, **server})
    return sample_all(
        ServerSampler(ModelConfig(path="m"), PromptConfig(), settings), [sum_question(n) for n in range(prompts)]
    )


def last_body(url):
    with urllib.request.urlopen(url.removesuffix("/v1") + "/body") as response:
        return json.load(response)


# One is down


def test_one_of_two_servers_that_is_down_at_the_start_is_named_and_left_out(tmp_path, capsys):
    down = f"http://127.0.0.1:{free_port()}/v1"
    with loopback_server(tmp_path) as url:
        groups = ask_servers([down, url])
        assert request_counts(url)["requests"] == 8
    assert all(group[0].finish_reason == "stop" for group in groups)
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning:")]
    assert line.startswith(f"warning: {down}: no server answers there (Connect")
    assert line.endswith("; 1 of 2 servers are asked until it answers")


def test_servers_that_are_all_down_are_an_error_and_so_is_a_wrong_address_among_others(tmp_path):
    down = [f"http://127.0.0.1:{free_port()}/v1" for _ in range(3)]
    with pytest.raises(UserError) as caught:
        ask_servers(down)
    assert str(caught.value).startswith(f"sampling.server.urls.0 = {down[0]}; no server answers there (Connect")
    assert "nor at the 2 other addresses; start the server" in str(caught.value)
    with loopback_server(tmp_path) as url, pytest.raises(UserError, match=r"urls\.1 = http://\[; is not a valid addr"):
        ask_servers([url, "http://["])


def test_a_server_that_comes_up_later_is_asked_too(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(endpoints, "SECONDS_BETWEEN_PROBES", 0.05)
    port = free_port()
    late = f"http://127.0.0.1:{port}/v1"
    with loopback_server(tmp_path) as url:
        settings = SamplingConfig(engine="openai", max_tokens=64, server={"urls": [url, late], **FAST})
        sampler = ServerSampler(ModelConfig(path="m"), PromptConfig(), settings)
        assert sampler.pool.slots == 64
        with loopback_server(tmp_path, port=port):
            deadline = time.time() + 10
            while sampler.pool.slots < 128 and time.time() < deadline:
                time.sleep(0.02)
            sample_all(sampler, [sum_question(n) for n in range(40)], batch_size=40)
            assert request_counts(late)["requests"] > 0
    assert f"note: {late} answers, and is asked too" in capsys.readouterr().err


# The model's name


def test_each_server_is_asked_for_the_model_by_its_own_name(tmp_path, capsys):
    with loopback_server(tmp_path) as one, loopback_server(tmp_path) as two:
        ask_servers([one, two], prompts=40, models=["qwen", "Qwen/Qwen2.5-7B"], concurrency=2)
        assert (last_body(one)["model"], last_body(two)["model"]) == ("qwen", "Qwen/Qwen2.5-7B")
        ask_servers([one, two], prompts=40, models="qwen", concurrency=2)
        assert (last_body(one)["model"], last_body(two)["model"]) == ("qwen", "qwen")
        ask_servers([one], prompts=1)
        assert last_body(one)["model"] == "m"


@pytest.mark.parametrize(("models", "message"), [(["a", "b", "c"], "3 names and urls 2"), ([""], "none of them empty")])
def test_names_that_fit_no_servers_are_refused(models, message):
    with pytest.raises(ValidationError, match=message):
        ServerConfig(urls=["http://a/v1", "http://b/v1"], models=models)


def test_a_model_that_a_server_lacks_is_refused_at_the_start(tmp_path):
    with loopback_server(tmp_path, models=["qwen", "r1"], serves_listed_only=True) as url:
        with pytest.raises(UserError) as caught:
            ask_servers([url])
        action = "name one of these, or start the server with this model"
        assert str(caught.value) == f"model.path = m; {url} does not serve it, and lists qwen, r1; {action}"
        with pytest.raises(UserError, match=r"^sampling.server.models = qwen3; .* lists qwen, r1; name one"):
            ask_servers([url], models="qwen3")
        assert request_counts(url)["requests"] == 2  # each of one token
        assert ask_servers([url], prompts=2, models="r1")[0][0].finish_reason == "stop"


def test_a_server_that_answers_for_models_that_it_does_not_list_is_named_once(tmp_path, capsys):
    with loopback_server(tmp_path, models=["other"]) as url:
        groups = ask_servers([url])
    assert all(group[0].finish_reason == "stop" for group in groups)
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning:")]
    assert warnings == [f"warning: {url} does not list m, and answers all the same; it lists other"]


# Log-probabilities


@pytest.mark.parametrize(
    ("template", "form"), [("r1-zero", "tokens"), ("r1-zero", "content"), ("chat", "content"), ("chat", "tokens")]
)
def test_log_probabilities_are_asked_for_and_averaged(tmp_path, template, form):
    with loopback_server(tmp_path, logprobs=[-0.5, -0.25, 0.0], logprobs_form=form) as url:
        question = chat_question(1) if template == "chat" else sum_question(1)
        [[sample]] = sample_all(make_sampler(url, template), [question])
    assert sample.mean_logprob == pytest.approx(-0.25)


@pytest.mark.parametrize("values", [[], [-0.5, None], [-0.5, 0.7], [-0.5, "low"], [-0.5, True], [-math.inf]])
def test_what_cannot_be_log_probabilities_is_none_and_is_noted_once(tmp_path, values, capsys):
    with loopback_server(tmp_path, logprobs=values) as url:
        groups = ask_servers([url])
    assert [group[0].mean_logprob for group in groups] == [None] * 8
    notes = [line for line in capsys.readouterr().err.splitlines() if "gives no log-probabilities" in line]
    assert len(notes) == 1


@pytest.mark.parametrize("unknown", [["logprobs"], ["top_k", "logprobs"]])
def test_a_server_that_refuses_the_field_is_asked_without_it(tmp_path, unknown, capsys):
    with loopback_server(tmp_path, unknown_fields=unknown) as url:
        groups = ask_servers([url])
        assert "logprobs" not in last_body(url)
    assert all(group[0].text for group in groups)
    err = capsys.readouterr().err
    assert "does not know logprobs" not in err
    assert err.count("gives no log-probabilities") == 1


def test_log_probabilities_that_a_recipe_does_not_want_are_not_asked_for(tmp_path, capsys):
    with loopback_server(tmp_path, logprobs=[-1.0]) as url:
        [[sample]] = ask_servers([url], prompts=1, logprobs=False)
        assert "logprobs" not in last_body(url)
    assert sample.mean_logprob is None
    assert "log-probabilities" not in capsys.readouterr().err


def test_generate_writes_the_column(tmp_path):
    run = tmp_path / "run"
    with loopback_server(tmp_path, logprobs=[-0.5, -0.7]) as url:
        r1kit("generate", write_server_recipe(url, tmp_path), f"output={run}")
    assert {round(row["logprob"], 9) for row in read_data(run / "samples")} == {-0.6}


# A server of its own for a model of eval


def write_eval_recipe(tmp_path, models, **changes):
    values = {
        "models": models,
        "data": {"eval": [write_sums(tmp_path, 6)]},
        "prompt": {"template": "tiny"},
        "sampling": {"samples": 2, "max_tokens": 16},
        "rewards": [{"name": "accuracy"}],
        **changes,
    }
    return write_recipe(tmp_path / "eval.yaml", **values)


@pytest.mark.slow
def test_models_of_servers_of_their_own_are_compared_with_one_of_this_process(tmp_path):
    with loopback_server(tmp_path) as right, loopback_server(tmp_path, wrong_fraction=1.0) as wrong:
        models = {
            "here": "tiny:base",
            "right": {"path": "a", "server": {"urls": right, **FAST}},
            "wrong": {"path": "b", "server": {"urls": wrong, "models": "b-8bit", **FAST}},
        }
        r1kit("eval", write_eval_recipe(tmp_path, models), f"output={tmp_path / 'run'}")
        assert (last_body(right)["model"], last_body(wrong)["model"]) == ("a", "b-8bit")
        assert request_counts(right)["requests"] == request_counts(wrong)["requests"] == 12
    rows = json.loads((tmp_path / "run/eval.json").read_text())["models"]
    assert [row["model"] for row in rows] == ["here", "right", "wrong"]
    assert [row["statistics"]["pass@1"] for row in rows[1:]] == [1.0, 0.0]


def test_an_error_names_the_server_of_the_model(tmp_path):
    down = f"http://127.0.0.1:{free_port()}/v1"
    models = {"R1": {"path": "a", "server": {"urls": down}}}
    _, err = r1kit("eval", write_eval_recipe(tmp_path, models), f"output={tmp_path / 'run'}", code=2)
    assert f"error: models.R1.server.urls.0 = {down}; no server answers there" in err


def test_what_a_server_cannot_do_is_refused_for_a_model_with_a_server_of_its_own(tmp_path):
    models = {"here": "tiny:base", "R1": {"path": "a", "server": {"urls": "http://localhost:1/v1"}}}
    file = write_eval_recipe(tmp_path, models, scaling={"budgets": [8]})
    with pytest.raises(UserError, match=r"scaling\.budgets = \[8\]; continues completions from their token ids"):
        load_recipe("eval", str(file), {"output": "run"})


def test_the_servers_of_a_model_may_move_when_a_run_is_resumed():
    rules = {"urls": OnResume.IGNORED, "models": OnResume.IGNORED, "logprobs": OnResume.MAY_CHANGE, "seeds": None}
    for name, rule in rules.items():
        assert find_resume_rule(recipe_class("eval"), f"models.R1.server.{name}") is rule
    assert find_resume_rule(recipe_class("eval"), "models.R1.path") is None
