"""Where completions end, and that a model's generation_config changes nothing of how they are sampled."""

import json
import shutil
import sys
from types import SimpleNamespace

import pytest
from families import make_model

from r1kit.models.load import load_model, load_tokenizer
from r1kit.models.stop_tokens import end_token_ids, neutral_generation_config, read_end_token_ids
from r1kit.recipe import ModelConfig, PromptConfig, SamplingConfig
from r1kit.runs.paths import SHIPPED_MODELS
from r1kit.sampling.local import TransformersSampler
from r1kit.sampling.vllm_engine import VllmSampler

TINY = PromptConfig(template="tiny")
CHAT = PromptConfig(template="chat")
MAKERS_SETTINGS = {"do_sample": True, "top_k": 1, "repetition_penalty": 1.9, "no_repeat_ngram_size": 2, "min_p": 0.5}


@pytest.fixture
def opinionated_model(tmp_path):
    """A copy of the shipped base, whose generation_config says how its makers would sample from it."""
    folder = tmp_path / "opinionated"
    shutil.copytree(SHIPPED_MODELS["tiny:base"], folder)
    config = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps({**config, **MAKERS_SETTINGS}))
    return folder


@pytest.fixture(scope="module")
def qwen_base(tmp_path_factory):
    return make_model("qwen2.5-base", tmp_path_factory.mktemp("qwen") / "model")


def notes_in(stderr):
    """Return r1kit's notes, without the progress bars that transformers may show."""
    return [line for line in stderr.splitlines() if line.startswith("note: ")]


def sample(path, **settings):
    sampler = TransformersSampler(ModelConfig(path=str(path)), TINY, SamplingConfig(max_tokens=24, **settings))
    [group] = sampler.sample(["Q: What is 3 + 4 - 2 + 5?\nA:"], 1 if settings.get("temperature") == 0 else 6, seed=1)
    return [completion.text for completion in group]


@pytest.mark.parametrize("settings", [{}, {"top_k": 3, "top_p": 0.9}, {"temperature": 0.0}])
def test_a_model_s_generation_config_changes_no_sample(opinionated_model, settings, capsys):
    expected = sample("tiny:base", **settings)
    assert notes_in(capsys.readouterr().err) == []
    assert sample(opinionated_model, **settings) == expected
    [note] = notes_in(capsys.readouterr().err)
    assert note.startswith(f"note: {opinionated_model}: sampling leaves out what its generation_config sets: ")
    assert {"repetition_penalty = 1.9", "no_repeat_ngram_size = 2", "min_p = 0.5"} <= set(
        note.partition("sets: ")[2].split(", ")
    )


def test_ends_and_padding_of_a_generation_config_are_kept(opinionated_model):
    model = load_model(ModelConfig(path=str(opinionated_model)), training=False)
    before = model.generation_config.to_dict()
    config, _ = neutral_generation_config(model)
    assert (config.eos_token_id, config.pad_token_id) == (0, 1)
    assert config.top_k is None
    assert model.generation_config.to_dict() == before


def test_a_base_model_asked_by_its_chat_template_stops_at_the_end_of_a_turn(qwen_base):
    sampler = TransformersSampler(ModelConfig(path=str(qwen_base)), CHAT, SamplingConfig())
    turn, text = sampler.tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    assert sampler.end_token_ids == sorted([turn, text])
    word, other = sampler.tokenizer(" 7 8", add_special_tokens=False).input_ids[:2]
    for end in (turn, text):
        completion = sampler._make_completion([word, end, other], [], [{"role": "user", "content": "?"}], "")
        assert (completion.finish_reason, completion.tokens, completion.ids) == ("stop", 2, (word, end))
        assert "<|" not in completion.text
    assert sampler._make_completion([word, other], [], "?", "").finish_reason == "length"


def test_vllm_is_told_every_parameter_and_every_end(qwen_base, monkeypatch):
    """A stand-in for vLLM that returns the arguments of SamplingParams."""
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(SamplingParams=SimpleNamespace))
    block = ModelConfig(path=str(qwen_base))
    sampler = VllmSampler.__new__(VllmSampler)
    sampler.sampling_config = SamplingConfig(temperature=0.6, top_p=0.95, max_tokens=9)
    sampler.tokenizer = load_tokenizer(block)
    sampler.end_token_ids = end_token_ids(
        sampler.tokenizer, sorted(read_end_token_ids(block, sampler.tokenizer)), "chat"
    )
    parameters = sampler._sampling_params(4, seed=3)
    turn, text = sampler.tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    assert parameters.stop_token_ids == sorted([turn, text])
    assert (parameters.temperature, parameters.top_p, parameters.top_k, parameters.max_tokens) == (0.6, 0.95, 0, 9)
    assert (parameters.min_p, parameters.repetition_penalty) == (0.0, 1.0)
    assert (parameters.presence_penalty, parameters.frequency_penalty) == (0.0, 0.0)
    ids = sampler.tokenizer(" 7<|im_end|>", add_special_tokens=False).input_ids
    output = SimpleNamespace(token_ids=ids, cumulative_logprob=-1.0, finish_reason="stop", text="")
    completion = sampler._make_completion(output, "<think>\n")
    assert (completion.text, completion.finish_reason) == ("<think>\n 7", "stop")


@pytest.mark.parametrize("use_vllm", [True, False])
def test_rl_stops_where_a_turn_ends_and_saves_the_model_so(qwen_base, use_vllm):
    from r1kit.training.policy_prompts import stop_at_end_of_turn

    block = ModelConfig(path=str(qwen_base))
    tokenizer, model = load_tokenizer(block), load_model(block)
    arguments = SimpleNamespace(use_vllm=use_vllm, generation_kwargs={"n": 1})
    stop_at_end_of_turn(model, tokenizer, arguments, "chat")
    ends = sorted(tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"]))
    assert model.generation_config.eos_token_id == ends
    assert arguments.generation_kwargs == ({"n": 1, "stop_token_ids": ends} if use_vllm else {"n": 1})
