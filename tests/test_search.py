"""Search under a verifier, and a reward model's scores: what is chosen by hand, and what is spent to the token."""

import pytest
import torch

from r1kit.errors import UserError
from r1kit.recipe import Model, Prompt, Sampling, Scaling, parse
from r1kit.run import SHIPPED
from r1kit.scaling.reward_model import rewards
from r1kit.scaling.search import Searcher, Trail, chosen


def trails(trees: str) -> list[Trail]:
    return [Trail((i,), False, int(tree)) for i, tree in enumerate(trees)]


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
def test_what_is_chosen_by_hand(method, trees, scores, kept):
    assert [path.ids[0] for path in chosen(trails(trees), scores, method, 2)] == kept


@pytest.fixture(scope="module")
def sampler():
    from r1kit.sampling.local import TransformersSampler

    return TransformersSampler(
        Model(path="tiny:base"), Prompt(template="tiny"), Sampling(max_tokens=6, temperature=1.0, top_p=1.0)
    )


@pytest.mark.parametrize("method", ["beam", "dvts"])
def test_a_search_finds_what_its_judge_likes_and_counts_every_token(sampler, method, monkeypatch):
    """A judge that likes one word: the paths left over have more of it than samples do."""
    spent = []
    original = sampler.sample

    def counted(prompts, count, seed):
        groups = original(prompts, count, seed)
        spent.append(sum(s.tokens for group in groups for s in group))
        return groups

    monkeypatch.setattr(sampler, "sample", counted)
    judged = []

    def score(prompts, said):
        judged.extend(said)
        return [text.count("7") / (1 + len(text)) for text in said]

    prompts = [f"Q: What is {i} + 4 - 2?\nA:" for i in range(6)]
    search = Searcher(sampler, score, method, Scaling(width=4, step_tokens=6), most=30)
    groups = search.sample(prompts, 2, 0)
    assert [len(group) for group in groups] == [2] * 6
    assert sum(s.tokens for group in groups for s in group) == sum(spent)
    assert len(spent) <= 5
    for sample in (s for group in groups for s in group):
        assert 0 < len(sample.ids) <= 30
        assert (sample.finish_reason == "stop") == (sample.ids[-1] in sampler.ends)
        assert sample.text == sampler.tokenizer.decode(sample.ids, skip_special_tokens=True)
        assert sample.text in judged
    plain = original([p for p in prompts for _ in range(5)], 2, 1)
    liked = [sum(s.text.count("7") for group in some for s in group) for some in (groups, plain)]
    assert liked[0] / 12 > 2 * max(liked[1], 1) / 60
    assert groups == search.sample(prompts, 2, 0)


def test_what_a_search_cannot_do_is_said():
    base = {
        "model": {"path": "tiny:base"},
        "data": {"eval": [{"path": "world:arithmetic", "rows": 20}]},
        "output": "run",
        "sampling": {"samples": 4},
    }
    for scaling, engine, line in [
        ({"search": ["beam"]}, "transformers", "scaling.search = ['beam']; goes by a verifier"),
        ({"search": ["dvts"], "verifier": "v"}, "vllm", "scaling.search = ['dvts']; needs the model's layers"),
        ({"search": ["beam"], "verifier": "v", "paths": [6]}, "transformers", "scaling.paths = [6]; must be multiples"),
        ({"search": ["tree"]}, "transformers", "scaling.search.0 = tree"),
    ]:
        values = {**base, "scaling": scaling, "sampling": {"samples": 4, "engine": engine}}
        with pytest.raises(UserError) as caught:
            parse("eval", values).check()
        assert str(caught.value).startswith(line)


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    from transformers import AutoTokenizer, LlamaForSequenceClassification

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("reward")
    model = LlamaForSequenceClassification.from_pretrained(SHIPPED["tiny:base"], num_labels=1)
    model.save_pretrained(path)
    AutoTokenizer.from_pretrained(SHIPPED["tiny:base"]).save_pretrained(path)
    return path


def test_a_reward_model_s_scores_are_those_of_each_row_alone(judge):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    rows = [{"prompt": f"What is {i} + 2?", "completion": f" <answer>{'9' * i}</answer>"} for i in range(1, 8)]
    found = rewards(str(judge), Prompt(template="tiny"), rows)
    model, tokenizer = (
        AutoModelForSequenceClassification.from_pretrained(judge).eval(),
        AutoTokenizer.from_pretrained(judge),
    )
    for row, value in zip(rows, found, strict=True):
        from r1kit.data.load import shown
        from r1kit.sampling.local import render_chat

        prompt = Prompt(template="tiny")
        text = render_chat(tokenizer, shown(row["prompt"], prompt), prompt) + row["completion"]
        with torch.no_grad():
            alone = model(**{"input_ids": torch.tensor([tokenizer(text).input_ids])}).logits
        assert value == pytest.approx(torch.sigmoid(alone).item(), abs=1e-5)
    assert len(set(found)) == len(found)


def test_a_model_that_is_no_reward_model_is_said(tmp_path):
    from transformers import AutoTokenizer, LlamaForSequenceClassification

    LlamaForSequenceClassification.from_pretrained(SHIPPED["tiny:base"], num_labels=3).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(SHIPPED["tiny:base"]).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="has 3 outputs, and a reward is one"):
        rewards(str(tmp_path), Prompt(template="tiny"), [{"prompt": "a", "completion": "b"}])
    with pytest.raises(UserError, match=r"scaling\.reward_model = ./nowhere"):
        rewards("./nowhere", Prompt(template="tiny"), [])
