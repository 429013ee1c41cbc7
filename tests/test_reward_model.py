"""`r1kit reward-model`: pairs from files and from sampled rows, TRL's loss, exact resume, and use as a reward."""

import json
import math
import re

import pytest
import torch

from r1kit.data.preferences import load_pairs
from r1kit.errors import UserError
from r1kit.preflight.pairs import look_at_pairs
from r1kit.recipe import check_recipe, parse_recipe
from r1kit.rewards import preference
from tests.helpers import largest_difference, r1kit, read_info, read_metrics, read_weights, write_recipe

QUESTION = [{"role": "user", "content": "Capital?"}]
PARIS, ROME = [{"role": "assistant", "content": "Paris"}], [{"role": "assistant", "content": "Rome"}]
HELD_OUT_NONE = {"held_out": 0.0}


def make_recipe(train="rows.jsonl", **changes):
    values = {
        "output": "run",
        "model": {"path": "tiny:student"},
        "data": {"train": train},
        "prompt": {"template": "tiny"},
        "pairs": HELD_OUT_NONE,
    }
    return parse_recipe("reward-model", {**values, **changes})


def write_rows(folder, rows, name="rows.jsonl"):
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder / name)


def read_pairs(folder, rows, **changes):
    """Return the pairs of some rows as (question, better, worse)."""
    train, held_out = load_pairs(make_recipe(write_rows(folder, rows), **changes))
    assert held_out == []
    return [(pair.prompt[-1]["content"], pair.chosen, pair.rejected) for pair in train]


# Pairs


def test_a_dry_run_shows_how_many_pairs_there_are_and_the_first(here):
    rows = [{"prompt": f"{n} + 1?", "chosen": str(n + 1), "rejected": "9" * 40, "by": "me"} for n in range(40)]
    path = write_rows(here, [*rows, {"prompt": "0 + 1?", "chosen": "1", "rejected": "1"}])
    lines = look_at_pairs(make_recipe(path, pairs={"held_out": 0.25}))
    assert lines[0] == f"data.train.0: {path}, 41 rows with prompt, chosen, rejected (others: by)"
    counts = [int(number) for number in re.findall(r"\d+", lines[1])]
    assert lines[1] == f"pairs: {counts[0]} to train on, and {counts[1]} held out"
    assert sum(counts) == 40  # that with twice the same text is none
    assert 4 <= counts[1] <= 16
    assert re.fullmatch(r"first pair, better: Q: (\d+) \+ 1\?\nA: \d+", lines[2])
    assert lines[3].endswith("A: " + "9" * 40)
    assert lines[4].startswith("pairs: the longest text of the first ")
    long = write_rows(here, [{"prompt": "1?", "chosen": "1", "rejected": "7 " * 900}], "long.jsonl")
    with pytest.raises(UserError, match=r"use at most 512"):  # the context of tiny:student
        look_at_pairs(make_recipe(long, training={"max_length": 4096}))
    with pytest.raises(UserError, match=r"data.train.0.path = .*same.jsonl; gives no pair: 1 have twice the same text"):
        look_at_pairs(make_recipe(write_rows(here, [rows[0] | {"rejected": "1"}], "same.jsonl")))


def test_a_dry_run_of_pairs_fetches_nothing(here):
    assert look_at_pairs(make_recipe("org/pairs")) == [
        "data.train.0: org/pairs, not looked at, because it is not on this machine"
    ]
    path = write_rows(here, [{"prompt": "Capital?", "chosen": "Paris", "rejected": "Rome"}])
    assert look_at_pairs(make_recipe(path, model={"path": "org/model"}))[-3:] == [
        "first pair, better: Paris",
        "first pair, worse: Rome",
        "pairs: not measured, because the tokenizer of org/model is not on this machine",
    ]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Capital?", "chosen": "Paris", "rejected": "Rome"},
        {"question": "Capital?", "chosen": "Paris", "rejected": "Rome"},
        {"prompt": QUESTION, "chosen": PARIS, "rejected": ROME},
        {"chosen": [*QUESTION, *PARIS], "rejected": [*QUESTION, *ROME]},
        # UltraFeedback as TRL has it: the prompt stands in the conversations, too.
        {"prompt": "Capital?", "chosen": [*QUESTION, *PARIS], "rejected": [*QUESTION, *ROME], "score_chosen": 8.0},
        {"chosen": "\n\nHuman: Capital?\n\nAssistant: Paris", "rejected": "\n\nHuman: Capital?\n\nAssistant: Rome"},
        {"prompt": "Capital?", "chosen": {"role": "assistant", "content": "Paris"}, "rejected": ROME[0]},
        # UltraFeedback as its authors have it.
        {
            "instruction": "Capital?",
            "completions": [{"response": "Rome", "overall_score": 3}, {"response": "Paris", "overall_score": 8.5}],
        },
        {
            "prompt": "Capital?",
            "chosen": "<think>so</think><answer>Paris</answer>",
            "rejected": "<answer>Rome</answer>",
        },
    ],
)
def test_rows_of_the_usual_forms_are_pairs(tmp_path, row):
    assert read_pairs(tmp_path, [row]) == [("Capital?", "Paris", "Rome")]


def test_turns_before_the_last_are_the_prompt(tmp_path):
    text = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Capital?\n\nAssistant: "
    row = {"chosen": f"{text}Paris", "rejected": f"{text}Rome"}
    train, _ = load_pairs(make_recipe(write_rows(tmp_path, [row])))
    assert [(message["role"], message["content"]) for message in train[0].prompt] == [
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "Capital?"),
    ]


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        (
            {"instruction": "Translate to French.", "input": "Good night", "chosen": "Bonne nuit", "rejected": "Nuit"},
            [("user", "Translate to French.\n\nGood night")],
        ),
        (
            {"instruction": "Be short.", "input": "", "chosen": "a", "rejected": "b"},
            [("user", "Be short.")],
        ),
        (
            {"system": "You are a pirate.", "question": "Capital?", "chosen": "Paris", "rejected": "Rome"},
            [("system", "You are a pirate."), ("user", "Capital?")],
        ),
        (
            {"system": "You are a pirate.", "chosen": [*QUESTION, *PARIS], "rejected": [*QUESTION, *ROME]},
            [("system", "You are a pirate."), ("user", "Capital?")],
        ),
        (
            {
                "instruction": "Sum up.",
                "context": "A text.",
                "completions": [{"response": "a", "overall_score": 3}, {"response": "b", "overall_score": 8}],
            },
            [("user", "Sum up.\n\nA text.")],
        ),
    ],
)
def test_the_prompt_has_the_input_and_the_system_message_of_its_row(tmp_path, row, prompt):
    train, _ = load_pairs(make_recipe(write_rows(tmp_path, [row])))
    assert [(message["role"], message["content"]) for message in train[0].prompt] == prompt


def test_rows_of_no_use_are_counted(tmp_path, caplog):
    caplog.set_level("INFO")
    good = {"prompt": "Capital?", "chosen": "Paris", "rejected": "Rome"}
    rows = [
        good,
        good,
        {**good, "rejected": "Paris"},
        {**good, "rejected": " "},
        {**good, "prompt": None},
    ]
    assert read_pairs(tmp_path, rows) == [("Capital?", "Paris", "Rome")]
    assert (
        "data.train.0: 2 pairs of 1 prompts; left out: 1 have twice the same text, 1 have an empty answer, 1 have no "
        "prompt"
    ) in caplog.text
    assert "data.train: 1 pairs are left out, which are there already" in caplog.text


def sampled(prompt, completion, correct, **columns):
    return {"prompt": prompt, "completion": completion, "correct": correct, **columns}


def test_right_and_wrong_completions_make_pairs(tmp_path):
    rows = [
        sampled("2 + 2?", "4", True),
        sampled("2 + 2?", "5", False),
        sampled("2 + 2?", "6", False),
        sampled("2 + 2?", "no verdict", None),
        sampled("2 + 2?", "a fault", False, fault=True),
        sampled("2 + 2?", None, False),
        sampled("3 + 3?", "6", True),
        sampled("9 + 9?", "1", False),
    ]
    assert sorted(read_pairs(tmp_path, rows)) == [("2 + 2?", "4", "5"), ("2 + 2?", "4", "6")]
    one = read_pairs(tmp_path, rows, pairs={**HELD_OUT_NONE, "per_prompt": 1})
    assert len(one) == 1
    assert read_pairs(tmp_path, rows, pairs={**HELD_OUT_NONE, "per_prompt": 1}) == one  # the seed decides


def test_the_scores_of_a_judge_make_pairs(tmp_path):
    rows = []
    for completion, score in (("worst", 0.1), ("fair", 0.5), ("best", 0.9), ("unjudged", None)):
        rows.append({"prompt": "q", "completion": completion, "judge": score})
    by_judge = {**HELD_OUT_NONE, "by": "judge", "part": "all"}
    pairs = {("q", "best", "fair"), ("q", "best", "worst"), ("q", "fair", "worst")}
    assert set(read_pairs(tmp_path, rows, pairs=by_judge)) == pairs
    assert read_pairs(tmp_path, rows, pairs={**by_judge, "min_gap": 0.6}) == [("q", "best", "worst")]


def test_rollouts_are_read_by_their_bare_question(tmp_path):
    rows = []
    for completion, accuracy in (("4", 1.0), ("5", 0.0)):
        row = {"prompt": "User: 2 + 2? Assistant:", "question": "2 + 2?", "completion": completion, "step": 1}
        rows.append({**row, "accuracy": accuracy})
    assert read_pairs(tmp_path, rows) == [("2 + 2?", "4", "5")]


def test_a_run_gives_all_that_it_sampled(tmp_path):
    """`data/` of a run has the right completions alone."""
    from r1kit.data.writing.parquet import write_parquet

    run = tmp_path / "run"
    (run / "samples").mkdir(parents=True)
    (run / "data").mkdir()
    (run / "run.json").write_text(json.dumps({"stage": "generate", "status": "finished"}))
    right, wrong = sampled("2 + 2?", "4", True), sampled("2 + 2?", "5", False)
    write_parquet([right, wrong], run / "samples" / "shard-000000.parquet")
    write_parquet([right], run / "data" / "train-00000.parquet")
    train, _ = load_pairs(make_recipe(str(run)))
    assert [(pair.chosen, pair.rejected) for pair in train] == [("4", "5")]


def test_all_pairs_of_a_prompt_are_on_one_side(tmp_path):
    rows = []
    for number in range(200):
        for wrong in range(3):
            rows.append({"prompt": f"q {number}", "chosen": "right", "rejected": f"wrong {wrong}"})
    data = write_rows(tmp_path, rows)
    train, held_out = load_pairs(make_recipe(data, pairs={"held_out": 0.2}))
    train_prompts, held_out_prompts = {pair.prompt_key for pair in train}, {pair.prompt_key for pair in held_out}
    assert not train_prompts & held_out_prompts
    assert len(train) + len(held_out) == 600
    assert 20 < len(held_out_prompts) < 60  # 40 are expected, with a standard deviation of 5.7
    assert load_pairs(make_recipe(data, pairs={"held_out": 0.2}))[1] == held_out
    _, of_other_seed = load_pairs(make_recipe(data, pairs={"held_out": 0.2}, seed=1))
    assert {pair.prompt_key for pair in of_other_seed} != held_out_prompts


def test_prompts_of_data_eval_are_not_trained(tmp_path, caplog):
    rows = [{"prompt": f"q {number}", "chosen": "a", "rejected": "b"} for number in range(4)]
    train_file, eval_file = write_rows(tmp_path, rows), write_rows(tmp_path, rows[:1], "held_out.jsonl")
    train, held_out = load_pairs(make_recipe(train_file, data={"train": train_file, "eval": eval_file}, pairs={}))
    assert (len(train), len(held_out)) == (3, 1)
    assert "1 pairs are left out, whose prompts are in data.eval" in caplog.text


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"prompt": "q", "answer": "7"}], "needs chosen and rejected, or sampled rows"),
        ([{"prompt": "q", "completion": "7"}], "has no column correct; set pairs.by to one of its columns"),
        ([sampled("q", "7", True)], "gives no pair: 1 prompts have no two completions that differ in value"),
        ([{"chosen": "Paris", "rejected": "Rome"}], "gives no pair: 1 have no prompt"),
    ],
)
def test_rows_that_are_no_pairs_are_one_line(tmp_path, rows, message):
    with pytest.raises(UserError) as caught:
        load_pairs(make_recipe(write_rows(tmp_path, rows)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data": {"train": {"path": "a", "share": 1.0}}},
            "data.train.0.share = 1.0; reward-model makes pairs of rows",
        ),
        ({"data": {"train": "a", "eval": "b"}}, "pairs.held_out = 0.0; data.eval is set too"),
        ({"pairs": {"held_out": 1}}, "pairs.held_out = 1; leaves no pair to train on"),
        ({"trl": {"max_length": 5}}, "trl.max_length = 5; r1kit sets it from training.max_length"),
        ({"trl": {"center": 1}}, "trl.center = 1; TRL's RewardConfig has no such field"),
        ({"training": {"eval_steps": 100}}, "training.eval_steps = 100; there is no data to evaluate on"),
        (
            {"prompt": {"template": "auto"}},
            "prompt.template = auto; asks a model as it was trained",
        ),
        ({"model": {"new": {}}}, "model.path: a model is needed"),
    ],
)
def test_fields_that_contradict_each_other(changes, message):
    with pytest.raises(UserError) as caught:
        check_recipe(make_recipe(**changes))
    assert str(caught.value).startswith(message)


# Training


TRAINING = {"steps": 6, "batch_size": 4, "learning_rate": 1e-3, "save_steps": 3, "max_length": 64}


@pytest.fixture(scope="module")
def pair_file(tmp_path_factory):
    """Sums with their right and a wrong result."""
    rows = []
    for first in range(2, 12):
        for second in (2, 5, 7):
            right = first + second
            rows.append({"prompt": f"What is {first} + {second}?", "chosen": f"{right}", "rejected": f"{right + 3}"})
    return write_rows(tmp_path_factory.mktemp("pairs"), rows)


def recipe_values(pair_file, **changes):
    values = {
        "model": {"path": "tiny:student"},
        "data": {"train": pair_file},
        "prompt": {"template": "tiny"},
        "pairs": {"held_out": 0.2},
        "training": TRAINING,
    }
    return {**values, **changes}


@pytest.fixture(scope="module")
def trained(pair_file, tmp_path_factory):
    """A run of six steps."""
    folder = tmp_path_factory.mktemp("trained")
    file = write_recipe(folder / "recipe.yaml", **recipe_values(pair_file))
    out, err = r1kit("reward-model", file, f"output={folder / 'run'}")
    assert out.strip() == str(folder / "run")
    return folder / "run", err


@pytest.mark.slow
def test_the_stage_trains_measures_and_writes_a_card(trained):
    run, err = trained
    measures = json.loads((run / "reward_model.json").read_text())
    assert measures["trained_pairs"] + measures["held_out_pairs"] == 30
    assert measures["accuracy"] == measures["right"] / measures["held_out_pairs"]
    assert f"{measures['right']} of {measures['held_out_pairs']} held-out pairs are ordered rightly" in err
    card = (run / "reward_model" / "README.md").read_text()
    assert f"rewards: [{{name: preference, model: {run}}}]" in card
    assert "pipeline_tag: text-classification" in card
    assert "first pair, better: 'Q: What is" in (run / "first_row.txt").read_text()
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert steps[:6] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_the_reward_gives_the_scores_of_the_measures(trained, pair_file):
    """`preference` reads the run, and orders the held-out pairs as the run has written."""
    run, _ = trained
    _, held_out = load_pairs(parse_recipe("reward-model", {"output": "o", **recipe_values(pair_file)}))
    settings = {"model": str(run), "scale": "none", "clamp": 100.0, "device": "cpu"}
    prompts = [pair.prompt[0]["content"] for pair in held_out]
    better = preference([pair.chosen for pair in held_out], prompts, **settings)
    worse = preference([pair.rejected for pair in held_out], prompts, **settings)
    right = sum(a > b for a, b in zip(better, worse, strict=True))
    assert right == json.loads((run / "reward_model.json").read_text())["right"]
    # An independent way to the same score: transformers, without padding, on the text of the template.
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(run / "reward_model")
    model = AutoModelForSequenceClassification.from_pretrained(run / "reward_model", dtype=torch.float32).eval()
    text = f"Q: {prompts[0]}\nA: {held_out[0].chosen}"
    with torch.no_grad():
        score = model(torch.tensor([tokenizer(text).input_ids])).logits.item()
    assert better[0] == pytest.approx(score, abs=1e-5)


@pytest.mark.slow
def test_another_part_than_the_trained_one_is_refused(trained):
    run, _ = trained
    with pytest.raises(UserError, match=r"part = all; this reward model was trained on pairs.part = answer"):
        preference(["4"], ["2 + 2?"], model=str(run), part="all", device="cpu")


@pytest.mark.slow
def test_a_run_of_a_reward_model_is_no_language_model(trained):
    from r1kit.runs.paths import resolve_model_path

    run, _ = trained
    with pytest.raises(UserError, match="this run is finished and has no model"):
        resolve_model_path(str(run))


@pytest.mark.slow
def test_a_resumed_run_has_the_weights_of_an_unbroken_one(pair_file, tmp_path):
    training = {**TRAINING, "schedule": "constant"}
    file = write_recipe(tmp_path / "recipe.yaml", **recipe_values(pair_file, training=training))
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    r1kit("reward-model", file, f"output={whole}")
    r1kit("reward-model", file, f"output={parts}", "training.steps=3")
    r1kit("reward-model", file, f"output={parts}")
    assert largest_difference(read_weights(whole / "reward_model"), read_weights(parts / "reward_model")) == 0.0


@pytest.mark.slow
def test_loss_and_gradient_are_those_of_stock_trl(pair_file, tmp_path):
    from datasets import load_dataset
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from trl import RewardConfig, RewardTrainer

    from r1kit.rewards.reward_models import describe_judged_text
    from r1kit.runs.paths import SHIPPED_MODELS
    from r1kit.runs.run import Run
    from r1kit.training.arguments import build_reward_model_config
    from r1kit.training.reward_model import RewardModelTrainer, tokenize_pairs

    recipe = parse_recipe("reward-model", {"output": "o", **recipe_values(pair_file, pairs=HELD_OUT_NONE)})
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED_MODELS["tiny:student"])
    train, _ = load_pairs(recipe)
    pairs = tokenize_pairs(train, tokenizer, describe_judged_text(recipe), 64, "data.train")

    def load():
        torch.manual_seed(0)
        return AutoModelForSequenceClassification.from_pretrained(
            SHIPPED_MODELS["tiny:student"], num_labels=1, dtype=torch.float32
        )

    ours = RewardModelTrainer(
        model=load(),
        args=build_reward_model_config(recipe, Run(tmp_path / "ours")),
        train_dataset=pairs.dataset,
        processing_class=tokenizer,
        recipe=recipe,
    )
    # Stock TRL reads the rows itself, and ends each text with the end token: the text that r1kit trains has none.
    rows = load_dataset("json", data_files=pair_file, split="train")
    rows = rows.map(lambda row: {"prompt": f"Q: {row['prompt']}\nA: "})
    stock = RewardTrainer(
        model=load(),
        args=RewardConfig(output_dir=str(tmp_path / "stock"), bf16=False, use_cpu=True, report_to=[]),
        train_dataset=rows,
        processing_class=tokenizer,
    )
    stock_rows = [stock.train_dataset[i] for i in range(4)]
    for row in stock_rows:
        for name in ("chosen_ids", "rejected_ids"):
            assert row[name][-1] == tokenizer.eos_token_id
            row[name] = row[name][:-1]
    batch = ours.data_collator([ours.train_dataset[i] for i in range(4)])
    stock_batch = stock.data_collator(stock_rows)
    assert torch.equal(batch["input_ids"], stock_batch["input_ids"])
    losses = [trainer.compute_loss(trainer.model, dict(batch)) for trainer in (ours, stock)]
    assert losses[0].item() == losses[1].item()
    assert losses[0].item() != pytest.approx(math.log(2), abs=1e-4)
    for loss in losses:
        loss.backward()
    for (name, parameter), other in zip(ours.model.named_parameters(), stock.model.parameters(), strict=True):
        assert torch.equal(parameter.grad, other.grad), name


@pytest.mark.slow
def test_an_adapter_is_merged_into_a_plain_model(pair_file, tmp_path):
    values = recipe_values(pair_file, model={"path": "tiny:student", "lora": {"r": 4, "alpha": 8}})
    file = write_recipe(tmp_path / "recipe.yaml", **values)
    r1kit("reward-model", file, f"output={tmp_path / 'run'}")
    assert (tmp_path / "run/adapter/adapter_config.json").exists()
    assert not (tmp_path / "run/reward_model/adapter_config.json").exists()
    [score] = preference(["4"], ["2 + 2?"], model=str(tmp_path / "run"), device="cpu")
    assert 0 < score < 1
    judged = json.loads((tmp_path / "run/reward_model/config.json").read_text())["r1kit_reward_model"]
    assert (judged["part"], judged["template"]) == ("answer", "tiny")


@pytest.mark.slow
def test_the_reward_model_pays_in_the_last_steps_of_rl(trained, tmp_path):
    """As in R1's last stage: rules for arithmetic, the reward model for the other questions, at the end alone."""
    reward_model, _ = trained
    values = {
        "model": {"path": "tiny:student"},
        "data": {"train": [{"path": "world:arithmetic", "rows": 20}, {"path": "world:facts", "rows": 20}]},
        "prompt": {"template": "tiny"},
        "sampling": {"group_size": 4, "max_tokens": 12},
        "rewards": [
            {"name": "accuracy", "where": {"domain": ["arithmetic"]}},
            {"name": "format"},
            {
                "name": "preference",
                "model": str(reward_model),
                "where": {"domain": ["facts"]},
                "last_steps": 1,
                "device": "cpu",
            },
        ],
        "training": {"steps": 2, "batch_size": 32, "learning_rate": 1e-4, "kl": 0.0},
    }
    run = tmp_path / "r1"
    r1kit("rl", write_recipe(tmp_path / "r1.yaml", **values), f"output={run}")
    first, second = read_metrics(run)[:2]
    assert first.get("rewards/preference/mean") is None
    assert 0 < second["rewards/preference/mean"] < 1
    [parent] = [parent for parent in read_info(run)["parents"] if parent["role"] == "reward_model"]
    assert (parent["path"], parent["stage"], parent["status"]) == (str(reward_model), "reward-model", "finished")
    assert parent["content"]
