"""Parameters that a recipe leaves off are sent to a server, as far as that knows them."""

import json
import shutil
import sys
import urllib.request
from pathlib import Path

import pytest
from families import make_model
from servers import free_port, loopback_server, model_server

from r1kit.completions import PromptBatch
from r1kit.errors import UserError
from r1kit.recipe import ModelConfig, PromptConfig, SamplingConfig
from r1kit.runs.paths import SHIPPED_MODELS
from r1kit.sampling.server import ServerSampler
from r1kit.servers.defaults import NeutralParameters

OFF = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}


def last_body(url: str) -> dict:
    with urllib.request.urlopen(url.removesuffix("/v1") + "/body") as response:
        return json.load(response)


def ask(url, prompts=24, model="loopback", template="r1-zero", **sampling):
    """Send prompts in one batch, and return their samples and the events that were counted."""
    server = {"urls": url, "backoff": 0.01, **sampling.pop("server", {})}
    config = SamplingConfig(**{"engine": "openai", "max_tokens": 64, **sampling, "server": server})
    engine = ServerSampler(ModelConfig(path=model), PromptConfig(template=template), config)
    questions = [f"What is {n} + 1?" for n in range(prompts)]
    if template == "chat":
        questions = [[{"role": "user", "content": question}] for question in questions]
    try:
        [(_, groups)] = engine.stream([PromptBatch(0, questions, 0)], 1)
    finally:
        engine.close()
    return [sample for [sample] in groups], engine.count_events()


def test_every_parameter_that_is_off_is_sent(tmp_path):
    with loopback_server(tmp_path) as url:
        ask(url, prompts=1, temperature=0.7, top_p=0.9)
        body = last_body(url)
        assert {name: body[name] for name in OFF} == OFF
        assert (body["temperature"], body["top_p"], body["max_tokens"]) == (0.7, 0.9, 64)
        assert isinstance(body["seed"], int)
        assert "stop_token_ids" not in body
        ask(url, prompts=1, top_k=5, server={"body": {"min_p": 0.1}})
        assert {name: last_body(url)[name] for name in OFF} == {**OFF, "top_k": 5, "min_p": 0.1}


@pytest.mark.parametrize("unknown", [["top_k"], ["min_p", "repetition_penalty"], list(OFF)])
def test_a_server_that_refuses_a_field_is_asked_without_it(tmp_path, unknown, capsys):
    """Also the requests that were under way when the first of them was refused."""
    with loopback_server(tmp_path, unknown_fields=unknown, answer_seconds=0.02) as url:
        samples, events = ask(url)
        body = last_body(url)
    assert all(sample.text for sample in samples)
    assert events == {"answered": 24}
    assert {name: body[name] for name in OFF if name in body} == {n: v for n, v in OFF.items() if n not in unknown}
    [note] = [line for line in capsys.readouterr().err.splitlines() if "does not know" in line]
    assert all(name in note for name in unknown)


def test_a_parameter_that_the_recipe_sets_is_not_left_out(tmp_path):
    with loopback_server(tmp_path, unknown_fields=["top_k"]) as url, pytest.raises(UserError) as caught:
        ask(url, top_k=5)
    assert "the server refuses every request with 400: Unrecognized request argument supplied: top_k" in str(
        caught.value
    )


def test_transformers_serve_takes_them_as_a_generation_config(tmp_path, capsys):
    with loopback_server(tmp_path, unknown_fields=["top_k", "min_p"], strict_like="transformers") as url:
        samples, events = ask(url, temperature=0.0, samples=1)
        body = last_body(url)
    assert events == {"answered": len(samples)}
    assert not OFF.keys() & body.keys()
    config = json.loads(body["generation_config"])
    assert (config["top_k"], config["min_p"], config["repetition_penalty"]) == (0, 0.0, 1.0)
    assert (config["do_sample"], config["max_new_tokens"]) == (False, 64)
    assert "does not know" not in capsys.readouterr().err


def test_prompts_that_are_too_long_say_nothing_about_the_fields(tmp_path):
    with loopback_server(tmp_path, max_prompt_chars=5) as url:
        samples, _ = ask(url, prompts=2)
    assert [sample.finish_reason for sample in samples] == ["context", "context"]
    parameters = NeutralParameters(SamplingConfig(engine="openai"), [])
    assert parameters.fields == OFF


def test_a_model_of_a_local_folder_is_stopped_at_the_end_of_a_turn(tmp_path):
    """A base with a chat template stops at the end of a text only; a server knows no better."""
    folder = make_model("qwen2.5-base", tmp_path / "model")
    from r1kit.models.load import load_tokenizer

    tokenizer = load_tokenizer(ModelConfig(path=str(folder)))
    with loopback_server(tmp_path) as url:
        ask(url, prompts=1, model=str(folder), template="chat")
        assert last_body(url)["stop_token_ids"] == [tokenizer.convert_tokens_to_ids("<|im_end|>")]
        ask(url, prompts=1, model=str(folder), template="r1-zero")
        assert "stop_token_ids" not in last_body(url)


@pytest.mark.slow
def test_transformers_serve_samples_from_the_whole_distribution(tmp_path):
    """The real server, with a model whose generation_config would have it take the likeliest token alone."""
    folder = tmp_path / "model"
    shutil.copytree(SHIPPED_MODELS["tiny:base"], folder)
    config = json.loads((folder / "generation_config.json").read_text())
    config |= {"do_sample": False, "top_k": 1, "repetition_penalty": 1.5}
    (folder / "generation_config.json").write_text(json.dumps(config))
    port = free_port()
    command = [str(Path(sys.executable).parent / "transformers"), "serve", "--port", str(port), "--device", "cpu"]
    with model_server([*command, str(folder)], port, tmp_path / "log") as url:
        sampling = SamplingConfig(engine="openai", max_tokens=16, samples=8, temperature=1.5, server={"urls": url})
        engine = ServerSampler(ModelConfig(path=str(folder)), PromptConfig(template="tiny"), sampling)
        try:
            [(_, [group])] = engine.stream([PromptBatch(0, ["Q: What is 3 + 4?\nA:"], 0)], 8)
        finally:
            engine.close()
    assert len({sample.text for sample in group}) > 3
