"""The verifier: its features against ones computed token by token, its measures by hand, and the command."""

import json

import pytest
import torch
from helpers import r1kit, read_data, read_info, write_recipe

from r1kit.head2toe.features import OUTPUT_FEATURES, SPANS, encode_with_spans, extract_features, find_spans
from r1kit.head2toe.verifier import auroc, verifier_metrics, verifier_scores
from r1kit.recipe import ModelConfig, PromptConfig


@pytest.mark.parametrize(
    ("completion", "thinking", "answer", "before"),
    [
        ("<think> a b</think><answer> 7</answer>", "<think> a b", " 7", ">"),
        ("<answer> 7</answer>", "<answer> 7</answer>", " 7", ">"),
        ("so it is 7", "so it is 7", "so it is 7", "7"),
        ("<think> a b", "<think> a b", "<think> a b", "b"),
        ("<think>a</think> then <answer> 7", "<think>a", " 7", " "),
        ("</think><answer></answer>", "</think><answer></answer>", "</answer>", ">"),
    ],
)
def test_the_spans_of_a_completion(completion, thinking, answer, before):
    texts = [completion[start:end] for start, end in find_spans(completion)]
    assert texts == [completion, thinking, answer, before, completion[-1:]]


@pytest.fixture(scope="module")
def policy():
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from r1kit.runs.paths import SHIPPED_MODELS

    path = SHIPPED_MODELS["tiny:base"]
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval(), AutoTokenizer.from_pretrained(path)


PROMPTS = ["Q: What is 3 + 4 - 2?\nA:", "Q: Name the capital of France.\nA:", "Q: 2 + 2?\nA:"]
COMPLETIONS = ["<think> 3 plus 4 is 7. 7 minus 2 is 5.</think><answer> 5</answer>", "<answer> Paris</answer>", ""]


@torch.no_grad()
def test_features_are_those_of_each_row_alone(policy):
    model, tokenizer = policy
    features = extract_features(model, tokenizer, PROMPTS, COMPLETIONS)
    layers, hidden = model.config.num_hidden_layers + 1, model.config.hidden_size
    assert features.shape == (3, (layers * hidden + len(OUTPUT_FEATURES)) * len(SPANS))
    for index, (prompt, completion) in enumerate(zip(PROMPTS, COMPLETIONS, strict=True)):
        row = encode_with_spans(tokenizer, prompt, completion, True)
        states = model(torch.tensor([row.ids]), output_hidden_states=True)
        hidden_features = features[index, : layers * hidden * len(SPANS)].reshape(layers, hidden, len(SPANS))
        output_features = features[index, layers * hidden * len(SPANS) :].reshape(len(OUTPUT_FEATURES), len(SPANS))
        logprobs = torch.log_softmax(states.logits[0], -1)
        for span, (start, end) in enumerate(row.spans):
            for layer in range(layers):
                mean_state = states.hidden_states[layer][0, start:end].mean(0)
                assert torch.allclose(hidden_features[layer, :, span], mean_state / mean_state.norm(), atol=1e-5)
            expected = output_features_by_hand(logprobs, row.ids, range(start, end))
            assert output_features[:, span].tolist() == pytest.approx(expected, abs=1e-4)


def output_features_by_hand(logprobs, ids, positions):
    """Compute OUTPUT_FEATURES of a span token by token."""
    token_logprobs = [float(logprobs[i - 1, ids[i]]) for i in positions]
    is_not_likeliest = [float(logprobs[i - 1].argmax() != ids[i]) for i in positions]
    entropies = [float(torch.distributions.Categorical(logits=logprobs[i - 1]).entropy()) for i in positions]
    least = min(token_logprobs)
    return [
        sum(token_logprobs) / len(positions),
        least,
        2.718281828**least,
        sum(is_not_likeliest) / len(positions),
        sum(entropies) / len(positions),
        max(entropies),
    ]


def test_what_rows_begin_with_is_run_once_and_changes_nothing(policy):
    model, tokenizer = policy
    long = "\n".join(PROMPTS)
    prompts = [long] * 3 + [PROMPTS[2]] + [long + PROMPTS[1]] * 2
    completions = [
        COMPLETIONS[0],
        "<answer> 4</answer>",
        "",
        COMPLETIONS[0],
        COMPLETIONS[1],
        "<think> it is Paris</think>",
    ]
    token_counts = []
    hook = model.model.register_forward_pre_hook(
        lambda module, args, kwargs: token_counts.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    features = extract_features(model, tokenizer, prompts, completions)
    hook.remove()
    pairs = list(zip(prompts, completions, strict=True))
    total = sum(len(encode_with_spans(tokenizer, prompt, text, True).ids) for prompt, text in pairs)
    assert sum(token_counts) < total
    alone = torch.cat([extract_features(model, tokenizer, [prompt], [text]) for prompt, text in pairs])
    assert torch.allclose(features, alone, atol=1e-4)


def test_spans_hold_the_tokens_of_the_completion_only(policy):
    _, tokenizer = policy
    row = encode_with_spans(tokenizer, PROMPTS[0], COMPLETIONS[0], True)
    texts = [tokenizer.decode(row.ids[start:end]) for start, end in row.spans]
    assert texts[0] == COMPLETIONS[0]
    assert "5" in texts[2]
    assert "answer" not in texts[2]
    assert row.spans[4] == (len(row.ids) - 1, len(row.ids))


def test_metrics_by_hand():
    scores = torch.tensor([0.9, 0.2, 0.6, 0.6, 0.1, 0.3])
    is_right = torch.tensor([True, False, True, False, True, True])
    # Right: .9 .6 .1 .3; wrong: .2 .6. Of 8 pairs .9 wins 2, .6 wins 1 and ties 1, .1 none, .3 wins 1.
    assert auroc(scores, is_right) == pytest.approx(4.5 / 8)
    metrics = verifier_metrics(scores, is_right, ["a", "a", "b", "b", "c", "c"])
    assert metrics["within"] == pytest.approx((1.0 + 0.5) / 2)
    squared_errors = [0.1**2, 0.2**2, 0.4**2, 0.6**2, 0.9**2, 0.7**2]
    assert metrics["brier"] == pytest.approx(sum(squared_errors) / 6)
    assert metrics["ece"] == pytest.approx((0.1 + 0.2 + 2 * abs(0.6 - 0.5) + 0.9 + 0.7) / 6)
    assert auroc(scores, torch.ones(6)) is None
    sure = torch.tensor([0.5] * 100)
    assert verifier_metrics(sure, torch.arange(100) % 2 == 0, range(100))["ece"] == pytest.approx(0.0, abs=1e-6)


VERIFIER = {
    "model": {"path": "tiny:base"},
    "data": {
        "train": [{"path": "world:arithmetic", "rows": 60}],
        "eval": [{"path": "world:arithmetic", "rows": 40, "split": "test"}],
    },
    "prompt": {"template": "tiny"},
    "sampling": {"samples": 4, "max_tokens": 32, "batch_size": 80},
    "head": {"penalties": [0.2], "fractions": [0.01], "ridges": [0.001], "folds": 3},
}


@pytest.mark.slow
def test_a_verifier_is_trained_saved_and_used(here):
    file = write_recipe(here / "v.yaml", **VERIFIER)
    out, err = r1kit("verifier", file, "output=verified")
    assert out == "verified\n"
    assert "microseconds to read an answer's layers" in err
    metadata = json.loads((here / "verified/verifier/verifier.json").read_text())
    assert metadata["measures"]["head2toe"]["auroc"] > 0.75
    assert metadata["chosen"]["features"] < 0.02 * metadata["features"]
    values = {**VERIFIER, "data": {"eval": VERIFIER["data"]["eval"]}, "scaling": {"verifier": "verified"}}
    values.pop("head")
    r1kit("eval", write_recipe(here / "e.yaml", **values), "output=scaled")
    [model] = json.loads((here / "scaled/scaling.json").read_text())["models"]
    assert {p["score"] for p in model["points"]} == {None, "shortness", "logprob", "verifier"}
    [parent] = [p for p in read_info(here / "scaled")["parents"] if p["role"] == "verifier"]
    assert parent["path"] == "verified"
    assert parent["stage"] == "verifier"
    assert parent["content"]
    search = {"verifier": "verified", "search": ["beam", "dvts"], "paths": [8], "width": 2, "step_tokens": 4}
    _, err = r1kit("eval", write_recipe(here / "s.yaml", **{**values, "scaling": search}), "output=searched")
    [model] = json.loads((here / "searched/scaling.json").read_text())["models"]
    searched = {p["method"]: p for p in model["points"] if p["method"] in ("beam", "dvts")}
    assert searched.keys() == {"beam", "dvts"}
    for method, point in searched.items():
        rows = read_data(here / f"searched/samples/tiny_base-{method}-8")
        assert len(rows) == 40 * 4
        assert point["tokens"] == pytest.approx(sum(row["tokens"] for row in rows) / 40)
        assert point["more"]["difference"] > 0
    assert "tree search under the verifier (DVTS), N 8" in err
    # As a reward, it gives what a forward pass of the saved model gives, and ranks what is kept.
    reward = {"name": "r1kit.head2toe.reward.verified", "path": "verified"}
    made = {**VERIFIER, "data": {"train": VERIFIER["data"]["eval"]}, "rewards": [{"name": "accuracy"}, reward]}
    made["keep"] = {"correct": False, "format": False, "finished": False, "per_prompt": 1, "prefer": "verified"}
    made.pop("head")
    r1kit("generate", write_recipe(here / "g.yaml", **made), "output=made")
    best = {row["id"]: row for row in read_data(here / "made/data")}
    groups = {}
    for row in read_data(here / "made/samples"):
        groups.setdefault(row["id"], []).append(row)
    assert all(best[name]["verified"] == max(row["verified"] for row in group) for name, group in groups.items())
    rows = [row for group in groups.values() for row in group]
    scores = verifier_scores(here / "verified", ModelConfig(path="tiny:base"), PromptConfig(template="tiny"), rows)
    assert scores == pytest.approx([row["verified"] for row in rows], abs=1e-4)
    assert sum(row["correct"] for row in best.values()) / len(best) > sum(row["correct"] for row in rows) / len(rows)
    changed = {**values, "model": {"path": "tiny:student"}}
    _, err = r1kit("eval", write_recipe(here / "e2.yaml", **changed), "output=other", code=2)
    assert "scaling.verifier = verified; reads" in err
    changed = {**values, "scaling": {"verifier": "nothing"}}
    _, err = r1kit("eval", write_recipe(here / "e3.yaml", **changed), "output=none", code=2)
    assert "scaling.verifier = nothing; has no verifier" in err


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"rewards": [{"name": "format"}]}, "rewards = [format]; a verifier learns correctness, which needs"),
        ({"sampling": {"engine": "openai"}}, "sampling.engine = openai; a verifier needs the hidden layers"),
        ({"head": {"fractions": []}}, "head.fractions"),
        ({"head": {"folds": 1}}, "head.folds = 1"),
    ],
)
def test_recipes_of_which_no_verifier_can_be_made_are_refused(here, changes, line):
    _, err = r1kit("verifier", write_recipe(here / "v.yaml", **{**VERIFIER, **changes}), "output=run", code=2)
    assert err.strip().splitlines()[-1].startswith(f"error: {line}")


def test_a_prompt_ends_before_the_text_that_the_completion_repeats():
    from r1kit.head2toe.reward import drop_repeated_prefix

    assert drop_repeated_prefix("Q?\nA: <think>\n", "<think>\n so</think>", "") == "Q?\nA: "
    assert drop_repeated_prefix("Q?\nA:<answer>", "<answer> 4", "<answer>") == "Q?\nA:"
    for prompt, completion in (("Q: 2 + 3 = ?\nA:", ": 5"), ("<|im_start|>assistant\n", "\n<think>a</think>")):
        assert drop_repeated_prefix(prompt, completion, "") == prompt


def test_a_verifier_is_saved_even_if_no_held_out_completion_has_a_verdict(here):
    (here / "held.jsonl").write_text(json.dumps({"prompt": "What is 1 + 1?", "answer": None}) + "\n")
    values = {**VERIFIER, "data": {**VERIFIER["data"], "eval": "held.jsonl"}}
    _, err = r1kit("verifier", write_recipe(here / "v.yaml", **values), "output=verified")
    assert "note: no completion of data.eval has a verdict, so that the verifier is not measured" in err
    assert (here / "verified/verifier/head.safetensors").exists()
