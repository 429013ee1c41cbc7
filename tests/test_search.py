"""Search under a verifier: the paths it continues, checked by hand, and its tokens; best of N by a reward model."""

import json

import pytest
import torch
from helpers import r1kit, read_data, write_recipe

from r1kit.errors import UserError
from r1kit.recipe import ModelConfig, PromptConfig, SamplingConfig, ScalingConfig, check_recipe, parse_recipe
from r1kit.runs.paths import SHIPPED_MODELS
from r1kit.scaling.search import SearchPath, SearchSampler, choose_paths


def make_paths(trees: str) -> list[SearchPath]:
    return [SearchPath((i,), False, int(tree)) for i, tree in enumerate(trees)]


@pytest.mark.parametrize(
    ("method", "trees", "scores", "kept"),
    [
        ("beam", "0011", [1, 4, 3, 2], [1, 2]),
        ("beam", "0011", [4, 3, 2, 1], [0, 1]),  # both of one tree
        ("dvts", "0011", [4, 3, 2, 1], [0, 2]),  # one of each
        ("dvts", "0011", [1, 1, 0, 5], [0, 3]),  # the earlier of equals
        ("dvts", "1122", [1, 2, 0, 5], [1, 3]),  # where another tree has ended
        ("beam", "0000", [1, 2, 9, 3], [2, 3]),
    ],
)
def test_the_paths_that_are_continued(method, trees, scores, kept):
    assert [path.ids[0] for path in choose_paths(make_paths(trees), scores, method, 2)] == kept


@pytest.fixture(scope="module")
def step_sampler():
    from r1kit.sampling.local import TransformersSampler

    return TransformersSampler(
        ModelConfig(path="tiny:base"),
        PromptConfig(template="tiny"),
        SamplingConfig(max_tokens=6, temperature=1.0, top_p=1.0),
    )


@pytest.mark.parametrize("method", ["beam", "dvts"])
def test_a_search_finds_what_its_verifier_likes_and_counts_every_token(step_sampler, method, monkeypatch):
    """The verifier here likes the character 7: the paths that remain have more of it than plain samples do."""
    tokens_of_steps = []
    original = step_sampler.sample

    def count_tokens(prompts, count, seed):
        groups = original(prompts, count, seed)
        tokens_of_steps.append(sum(s.tokens for group in groups for s in group))
        return groups

    monkeypatch.setattr(step_sampler, "sample", count_tokens)
    scored_texts = []

    def score(prompt_texts, completions):
        scored_texts.extend(completions)
        return [text.count("7") / (1 + len(text)) for text in completions]

    prompts = [f"Q: What is {i} + 4 - 2?\nA:" for i in range(6)]
    search = SearchSampler(step_sampler, score, method, ScalingConfig(width=4, step_tokens=6), max_tokens=30)
    groups = search.sample(prompts, 2, 0)
    assert [len(group) for group in groups] == [2] * 6
    assert sum(s.tokens for group in groups for s in group) == sum(tokens_of_steps)
    assert len(tokens_of_steps) <= 5
    for sample in (s for group in groups for s in group):
        assert 0 < len(sample.ids) <= 30
        assert (sample.finish_reason == "stop") == (sample.ids[-1] in step_sampler.end_token_ids)
        assert sample.text == step_sampler.tokenizer.decode(sample.ids, skip_special_tokens=True)
        assert sample.text in scored_texts
    plain_groups = original([p for p in prompts for _ in range(5)], 2, 1)
    sevens = [sum(s.text.count("7") for group in some for s in group) for some in (groups, plain_groups)]
    assert sevens[0] / 12 > 2 * max(sevens[1], 1) / 60
    assert groups == search.sample(prompts, 2, 0)


def test_settings_that_a_search_cannot_have_are_errors():
    base = {
        "model": {"path": "tiny:base"},
        "data": {"eval": [{"path": "world:arithmetic", "rows": 20}]},
        "output": "run",
        "sampling": {"samples": 4},
    }
    for scaling, engine, line in [
        ({"search": ["beam"]}, "transformers", "scaling.search = [beam]; needs a verifier that guides it"),
        ({"search": ["dvts"], "verifier": "v"}, "vllm", "scaling.search = [dvts]; needs the hidden layers"),
        ({"search": ["beam"], "verifier": "v", "paths": [6]}, "transformers", "scaling.paths = [6]; must be multiples"),
        ({"search": ["tree"]}, "transformers", "scaling.search.0 = tree"),
    ]:
        values = {**base, "scaling": scaling, "sampling": {"samples": 4, "engine": engine}}
        with pytest.raises(UserError) as caught:
            check_recipe(parse_recipe("eval", values))
        assert str(caught.value).startswith(line)


def test_best_of_n_by_a_reward_model_takes_the_sample_that_it_scores_highest(here):
    """By the reward `preference`: the best of N by it is the sample that it gives most."""
    from transformers import AutoTokenizer, LlamaForSequenceClassification

    torch.manual_seed(0)
    LlamaForSequenceClassification.from_pretrained(SHIPPED_MODELS["tiny:base"], num_labels=1).save_pretrained(
        here / "judge"
    )
    AutoTokenizer.from_pretrained(SHIPPED_MODELS["tiny:base"]).save_pretrained(here / "judge")
    values = {
        "model": {"path": "tiny:base"},
        "data": {"eval": [{"path": "world:arithmetic", "rows": 20, "split": "test"}]},
        "prompt": {"template": "tiny"},
        "sampling": {"samples": 4, "max_tokens": 32, "batch_size": 80, "temperature": 1.0},
        "rewards": [{"name": "accuracy"}, {"name": "preference", "model": "judge"}],
        "scaling": {"by": ["preference"]},
    }
    _, err = r1kit("eval", write_recipe(here / "e.yaml", **values), "output=run")
    assert "best of N by reward model" in err
    [model] = json.loads((here / "run/scaling.json").read_text())["models"]
    [point] = [p for p in model["points"] if (p["method"], p["score"], p["samples"]) == ("best", "preference", 4)]
    groups = {}
    for row in read_data(here / "run/samples/tiny_base"):
        groups.setdefault(row["id"], []).append(row)
    best = [max(group, key=lambda row: row["preference"])["correct"] for group in groups.values()]
    assert point["accuracy"] == pytest.approx(sum(best) / len(best))
    _, err = r1kit(
        "eval", write_recipe(here / "f.yaml", **{**values, "scaling": {"by": ["taste"]}}), "output=none", code=2
    )
    assert "error: scaling.by = taste; must be a reward of this recipe; add it to rewards" in err


@pytest.mark.parametrize(("engine", "is_noted"), [("transformers", False), ("openai", True)])
def test_identical_samples_are_noted_only_for_a_server(engine, is_noted, capsys):
    """An engine in this process heeds the temperature; if a search ends in equal paths, nothing is wrong."""
    from r1kit.completions import SampledCompletion
    from r1kit.sampling.progress import IdenticalSamplesCheck

    check = IdenticalSamplesCheck(SamplingConfig(engine=engine, samples=4))
    check.add([[SampledCompletion("one", 1, "stop")] * 4] * IdenticalSamplesCheck.CHECKED_PROMPTS)
    assert ("are identical" in capsys.readouterr().err) is is_noted
