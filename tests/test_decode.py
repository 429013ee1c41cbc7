"""Sampling in this process, held against transformers' `generate` and against whole forward passes."""

import math

import pytest
import torch

from r1kit.models import decode, jit_decode
from r1kit.models.cache import cache_argument, extra_state
from r1kit.models.decode import logits_warpers, merge_generation_config, sample_completions, why_generate_is_needed
from r1kit.runs.paths import SHIPPED_MODELS

pytestmark = pytest.mark.slow

END_ID = 0  # of the shipped tokenizers


def model_and_prompts(count=40):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from r1kit.data.world import world_rows

    model = AutoModelForCausalLM.from_pretrained(SHIPPED_MODELS["tiny:base"]).eval()
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED_MODELS["tiny:base"])
    texts = [f"Q: {row['prompt']}\nA:" for row in world_rows("arithmetic", "train", count, 0)]
    return model, tokenizer(texts).input_ids


def settings(**changes):
    from transformers import GenerationConfig

    return GenerationConfig(do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=32, **changes)


def repeat(prompts, count):
    return [prompt for prompt in prompts for _ in range(count)]


def test_the_log_probabilities_are_those_of_a_whole_forward_pass():
    model, prompts = model_and_prompts(6)
    prompts = repeat(prompts, 4)
    torch.manual_seed(0)
    completions, logprobs = sample_completions(model, prompts, settings(), [END_ID])
    assert len({len(ids) for ids in completions}) > 3
    for prompt, ids, sampled_logprobs in zip(prompts, completions, logprobs, strict=True):
        logits = model(torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1]
        expected = torch.log_softmax(logits, -1).gather(1, torch.tensor(ids).unsqueeze(1)).squeeze(1)
        assert torch.allclose(expected, torch.tensor(sampled_logprobs), atol=1e-5)
        assert END_ID not in ids[:-1]
        assert ids[-1] == END_ID or len(ids) == 32


def test_each_step_tells_how_many_rows_go_on():
    model, prompts = model_and_prompts(6)
    torch.manual_seed(0)
    steps = []

    def record_step(tokens, rows):
        steps.append((tokens, rows))

    completions, _ = sample_completions(model, repeat(prompts, 4), settings(), [END_ID], on_step=record_step)
    longest = max(map(len, completions))
    going_on = []
    for tokens in range(1, longest + 1):
        going_on.append(
            (tokens, sum(len(ids) > tokens or (len(ids) == 32 and ids[-1] != END_ID) for ids in completions))
        )
    assert steps == going_on


def chi_squared_limit(freedom):
    """Return a value that chi squared exceeds about once in 30,000 times (four standard deviations, and 8)."""
    return freedom + 4 * math.sqrt(2 * freedom) + 8


@pytest.mark.parametrize("changes", [{}, {"temperature": 0.7}, {"top_k": 5}, {"top_p": 0.8}, {"min_p": 0.05}])
def test_first_tokens_have_the_distribution_of_generate(changes):
    """4,000 first tokens against the probabilities, and against as many of `generate`."""
    model, [prompt] = model_and_prompts(1)
    config = settings()
    config.update(**changes, max_new_tokens=2)
    torch.manual_seed(1)
    count = 4000
    completions, _ = sample_completions(model, [prompt] * count, config, [END_ID])
    ours = torch.bincount(torch.tensor([ids[0] for ids in completions]), minlength=1024).double()
    logits = model(torch.tensor([prompt])).logits[0, -1:]
    warped = logits_warpers(config)(torch.zeros(1, 0, dtype=torch.long), logits)
    expected = torch.softmax(warped, -1)[0].double() * count
    assert ours[expected == 0].sum() == 0
    is_frequent = expected >= 5  # the others are counted together
    observed = torch.cat([ours[is_frequent], ours[~is_frequent].sum().view(1)])
    expected = torch.cat([expected[is_frequent], expected[~is_frequent].sum().view(1)])
    expected, observed = expected[expected > 0], observed[expected > 0]
    chi_squared = ((observed - expected) ** 2 / expected).sum().item()
    assert chi_squared < chi_squared_limit(len(expected) - 1)
    generated = model.generate(
        torch.tensor([prompt] * count), generation_config=config, pad_token_id=1, eos_token_id=END_ID
    )
    theirs = torch.bincount(generated[:, len(prompt)], minlength=1024).double()
    is_frequent = (ours + theirs) >= 10
    ours, theirs = ours[is_frequent], theirs[is_frequent]
    chi_squared = ((ours - theirs) ** 2 / (ours + theirs)).sum().item()
    assert chi_squared < chi_squared_limit(int(is_frequent.sum()) - 1)


def test_the_model_s_own_generation_config_is_followed():
    model, _ = model_and_prompts(1)
    model.generation_config.min_p = 0.2
    assert merge_generation_config(model, settings()).min_p == 0.2
    model.generation_config.suppress_tokens = [7]
    assert "suppress_tokens" in why_generate_is_needed(model, settings())


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_greedy_rows_are_those_of_generate_whatever_leaves_and_is_padded(attention):
    """At a temperature near 0 both take the likeliest token, so that all rows can be compared."""
    model, prompts = model_and_prompts(24)
    model.set_attn_implementation(attention)
    prompts = [prompt[: len(prompt) - i % 3] for i, prompt in enumerate(prompts)]
    config = settings()
    config.update(temperature=1e-4)
    completions, _ = sample_completions(model, repeat(prompts, 2), config, [END_ID])
    for i, prompt in enumerate(prompts):
        generated = model.generate(
            torch.tensor([prompt]), do_sample=False, max_new_tokens=32, eos_token_id=END_ID, pad_token_id=1
        )
        assert completions[2 * i] == completions[2 * i + 1] == generated[0, len(prompt) :].tolist()


def sample_four_each(model, prompts, seed=0):
    """Return ids and log-probabilities of four completions of each prompt."""
    torch.manual_seed(seed)
    return sample_completions(model, repeat(prompts, 4), settings(), [END_ID])


def record_model_steps(monkeypatch):
    """Return a list that grows with each run of the model: whether it was a decode step, of one token a row."""
    is_step, original = [], decode._run_model

    def recording_run(model, ids, *rest):
        is_step.append(ids.size(1) == 1)
        return original(model, ids, *rest)

    monkeypatch.setattr(decode, "_run_model", recording_run)
    return is_step


def trace_nothing(monkeypatch):
    monkeypatch.setattr(jit_decode, "can_trace_model", lambda model: False)


def test_a_traced_step_gives_the_model_s_own_rows(monkeypatch):
    model, prompts = model_and_prompts(12)
    prompts = [prompt[: len(prompt) - i % 3] for i, prompt in enumerate(prompts)]
    is_step = record_model_steps(monkeypatch)
    completions, logprobs = sample_four_each(model, prompts)
    assert sum(is_step) == 2  # one is traced, the next compared
    # To the last bit, though now one is compared and none traced.
    assert sample_four_each(model, prompts) == (completions, logprobs)
    assert sum(is_step) == 3
    trace_nothing(monkeypatch)
    expected_completions, expected_logprobs = sample_four_each(model, prompts)
    assert sum(is_step) > 10
    assert completions == expected_completions
    for row, expected_row in zip(logprobs, expected_logprobs, strict=True):
        assert torch.allclose(torch.tensor(row), torch.tensor(expected_row), atol=1e-5)


def test_a_traced_step_follows_the_weights_and_an_adapter(monkeypatch):
    from peft import LoraConfig, get_peft_model

    model, prompts = model_and_prompts(4)
    sample_four_each(model, prompts)
    for change in ("in place", "replaced", "adapter"):
        if change == "in place":
            with torch.no_grad():
                model.lm_head.weight.mul_(1.1)
                model.model.layers[0].mlp.up_proj.weight.mul_(1.5)
        elif change == "replaced":
            for parameter in model.parameters():
                parameter.data = parameter.data * 0.9
        else:
            model = get_peft_model(model, LoraConfig(r=4, init_lora_weights=False)).eval()
        is_step = record_model_steps(monkeypatch)
        completions = sample_four_each(model, prompts)[0]
        assert sum(is_step) == (1 if change == "in place" else 2), change
        with monkeypatch.context() as patch:
            trace_nothing(patch)
            assert completions == sample_four_each(model, prompts)[0], change


def test_a_trace_that_does_not_hold_is_not_used(capsys, monkeypatch):
    """A layer that does something else for every sum of its inputs: what was traced is wrong for others."""
    model, prompts = model_and_prompts(4)
    layer = model.model.layers[0].mlp
    original = layer.forward

    def forward(states):
        return original(states) * (1.0 + float(states.detach().sum()))

    layer.forward = forward
    completions = [sample_four_each(model, prompts, seed)[0] for seed in (0, 1)]
    assert capsys.readouterr().err.count("note: a traced decode step does not give the model's logits") == 1
    trace_nothing(monkeypatch)
    assert completions == [sample_four_each(model, prompts, seed)[0] for seed in (0, 1)]


def test_what_a_hook_does_at_each_step_is_done(monkeypatch):
    """A hook that ends each row at its eighth token: at the steps that are traced and compared it does nothing."""
    model, prompts = model_and_prompts(4)
    prompts = [prompt[:5] for prompt in prompts]

    def end_at_the_eighth(module, args, kwargs, output):
        is_eighth = kwargs[cache_argument(type(model))].get_seq_length() == 5 + 7
        output.logits[:, -1, END_ID] = 1e4 if is_eighth else -1e4
        return output

    hook = model.register_forward_hook(end_at_the_eighth, with_kwargs=True)
    assert {len(ids) for ids in sample_four_each(model, prompts)[0]} == {8}
    hook.remove()
    is_step = record_model_steps(monkeypatch)
    sample_four_each(model, prompts)
    assert sum(is_step) == 2


@pytest.mark.parametrize("fault", ["missing", "raises", "python"])
def test_without_torch_jit_trace_the_model_s_own_steps_are_used_and_a_note_says_so(capsys, monkeypatch, fault):
    model, prompts = model_and_prompts(4)
    expected_completions, expected_logprobs = sample_four_each(model, prompts)
    jit_decode._TRACED_STEPS.clear()
    jit_decode._note_slower_decoding.cache_clear()

    def broken_trace(*args, **kwargs):
        raise NotImplementedError("torch.jit.trace was removed\nuse torch.export")

    if fault == "missing":
        monkeypatch.delattr(torch.jit, "trace")
        reason = f"torch {torch.__version__} has no torch.jit.trace"
    elif fault == "raises":
        monkeypatch.setattr(torch.jit, "trace", broken_trace)
        reason = "torch.jit.trace cannot trace this model (NotImplementedError: torch.jit.trace was removed)"
    else:
        monkeypatch.setattr(jit_decode.sys, "version_info", (3, 14, 0))
        reason = "torch.jit.trace does not support Python 3.14"
    capsys.readouterr()
    is_step = record_model_steps(monkeypatch)
    for _ in range(2):
        completions, logprobs = sample_four_each(model, prompts)
        assert completions == expected_completions
        for row, expected_row in zip(logprobs, expected_logprobs, strict=True):
            assert torch.allclose(torch.tensor(row), torch.tensor(expected_row), atol=1e-5)
    assert sum(is_step) > 10
    note = f"note: {reason}; sampling with a small model on this CPU takes up to twice as long\n"
    assert capsys.readouterr().err == note
    jit_decode._TRACED_STEPS.clear()


def test_the_deprecation_of_torch_jit_trace_is_the_only_warning_that_is_switched_off(recwarn):
    import warnings

    model, prompts = model_and_prompts(2)
    jit_decode._TRACED_STEPS.clear()
    original = model.model.layers[0].mlp.forward

    def forward(states):
        warnings.warn("something else", RuntimeWarning, stacklevel=1)
        return original(states)

    model.model.layers[0].mlp.forward = forward
    recwarn.clear()
    sample_four_each(model, prompts)
    assert {warning.category for warning in recwarn} == {RuntimeWarning}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"repetition_penalty": 1.2}, "only transformers' generate knows repetition_penalty"),
        ({"num_beams": 2}, "only transformers' generate knows num_beams"),
        ({"min_new_tokens": 5}, "only transformers' generate knows min_new_tokens"),
        ({"no_repeat_ngram_size": 3}, "only transformers' generate knows no_repeat_ngram_size"),
        ({"suppress_tokens": [5]}, "only transformers' generate knows suppress_tokens"),
        ({"do_sample": False}, "it takes the likeliest token"),
    ],
)
def test_what_generate_alone_can_do_is_left_to_it(change, reason):
    model, _ = model_and_prompts(1)
    assert why_generate_is_needed(model, settings()) == ""
    config = settings()
    config.update(**change)
    assert reason in why_generate_is_needed(model, config)


def test_a_model_without_a_cache_is_left_to_generate():
    from transformers import OpenAIGPTConfig, OpenAIGPTLMHeadModel

    model = OpenAIGPTLMHeadModel(OpenAIGPTConfig(vocab_size=64, n_positions=32, n_embd=16, n_layer=1, n_head=2))
    assert extra_state(model) == why_generate_is_needed(model, settings()) == "the model takes no cache"
