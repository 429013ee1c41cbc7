"""`r1kit prove`: planted bugs are caught, and sound trainings are not."""

import functools
import json
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from helpers import RL, r1kit, write_recipe

from r1kit.commands import distill, rl, sft
from r1kit.models.load import load_tokenizer
from r1kit.prove.checks import prove_training
from r1kit.prove.definition import compute_advantages, truncate
from r1kit.prove.observe import find_packed_rows, unpack_rows
from r1kit.prove.subject import make_subject
from r1kit.prove.table import exit_code, judge, leave_out
from r1kit.recipe import ModelConfig, load_recipe

LORA = {"r": 4, "alpha": 8}
ROWS = [
    {
        "prompt": f"What is {number} plus 4?",
        "completion": f"<think>{number} and 4.</think><answer>{number + 4}</answer>",
    }
    for number in range(64)
]


def prove(folder: Path, stage: str, **values) -> dict[str, set[str]]:
    """Prove a recipe in this process, and return the verdicts of each check."""
    data = {"train": [{"path": "world:arithmetic", "rows": 40}]}
    if stage == "sft":
        file = folder / "rows.jsonl"
        file.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
        data = {"train": [{"path": str(file)}]}
    recipe = load_recipe(
        stage,
        None,
        {
            "output": str(folder / "run"),
            "data": data,
            "prompt.template": "tiny",
            "model.path": "tiny:student",
            **values,
        },
    )
    subject = make_subject(recipe, folder / "proof")
    command = {"sft": sft, "distill": distill}.get(stage, rl)
    verdicts: dict[str, set[str]] = {}
    for finding in prove_training(stage, subject, folder / "proof", command.plan_training):
        verdicts.setdefault(finding.check, set()).add(finding.verdict)
    return verdicts


def failing(verdicts: dict[str, set[str]]) -> set[str]:
    return {check for check, values in verdicts.items() if values != {"holds"}}


ACCUMULATED = {"training.batch_size": 8, "training.micro_batch_size": 2}
PACKED = {"training.packing": True, "training.max_length": 64}
POLICY = {"sampling": {"group_size": 4, "max_tokens": 24}, "training.batch_size": 8, "training.learning_rate": 1e-3}
ON_POLICY = {"distill.method": "on-policy", "teacher.path": "tiny:base", "sampling.max_tokens": 24}
OFF_POLICY = {**POLICY, "training.updates_per_rollout": 2}


# Sound trainings


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "values"),
    [
        ("sft", {"model.chat_template": "r1-distill", "prompt.template": "chat", **ACCUMULATED}),
        ("sft", {"model.lora": {**LORA, "merge": True}, **PACKED}),
        ("sft", {"training.group_by_length": True, "training.loss_on": "everything"}),
        ("rl-zero", {**POLICY, "model.lora": LORA, "training.kl": 0.05, "trl.loss_type": "grpo"}),
        ("rl", {**OFF_POLICY, "sampling.top_p": 0.9, "training.micro_batch_size": 2}),
        ("distill", {**ON_POLICY, **ACCUMULATED, "distill.divergence": 0.5}),
        ("rl", {**POLICY, "training.savings": [], "trl.mask_truncated_completions": True}),
    ],
)
def test_sound_trainings_hold(tmp_path, stage, values):
    verdicts = prove(tmp_path, stage, **values)
    assert failing(verdicts) == set()
    assert {"prompt", "mask", "end of turn", "gradient", "leak", "prompts", "resume", "saved model"} <= verdicts.keys()
    assert ("adapter" in verdicts) == ("model.lora" in values)


# Planted bugs: each is one that a public thread reports of another framework


def plant_adapter_missing_in_sampler(monkeypatch):
    from r1kit.training import rollout_sampling

    unwrap = rollout_sampling.unwrap_model_for_generation

    @contextmanager
    def without_adapter(*args, **kwargs):
        with unwrap(*args, **kwargs) as model, model.disable_adapter():
            yield model

    monkeypatch.setattr(rollout_sampling, "unwrap_model_for_generation", without_adapter)


def plant_second_division(monkeypatch):
    from r1kit.training.sft import FineTuningTrainer

    compute_loss = FineTuningTrainer.compute_loss

    def divided(self, *args, **kwargs):
        return compute_loss(self, *args, **kwargs) / self.args.gradient_accumulation_steps

    monkeypatch.setattr(FineTuningTrainer, "compute_loss", divided)


def plant_packed_rows_see_each_other(monkeypatch):
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    @staticmethod
    def positions(batch_seq_lengths):
        return [torch.arange(sum(lengths)) for lengths in batch_seq_lengths]

    monkeypatch.setattr(DataCollatorForLanguageModeling, "get_position_ids_from_packed_seq_lengths", positions)


def plant_mask_of_ones(monkeypatch):
    from r1kit.training import tokenized_rows

    monkeypatch.setattr(tokenized_rows, "to_labels", lambda ids, is_scored: ids)


def plant_untrained_stop(monkeypatch):
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    collate = DataCollatorForLanguageModeling.torch_call

    end_id = load_tokenizer(ModelConfig(path="tiny:student")).eos_token_id

    def without_end_token(self, examples):
        batch = collate(self, examples)
        batch["labels"][batch["labels"] == end_id] = -100  # as where it pads, too, and padding is masked by its id
        return batch

    monkeypatch.setattr(DataCollatorForLanguageModeling, "torch_call", without_end_token)


def plant_prompts_skipped_on_resume(monkeypatch):
    from transformers import trainer

    skip = trainer.skip_first_batches
    monkeypatch.setattr(trainer, "skip_first_batches", lambda loader, count: skip(loader, count + 1))


def plant_doubled_prompt(monkeypatch):
    from r1kit.training.row_order import RowSampler

    draw = RowSampler.__iter__

    def with_repetition(self):
        order = list(draw(self))
        return iter([order[1], *order[1:]])

    monkeypatch.setattr(RowSampler, "__iter__", with_repetition)


def plant_truncated_log_probabilities(monkeypatch):
    """The sampler's log-probabilities are those after top_p, and the loss takes them for the policy's."""
    from transformers import TopPLogitsWarper

    from r1kit.training import grpo, rollout_sampling

    sample = rollout_sampling.sample_completions

    def truncated(model, prompts, config, *args):
        completions, values = sample(model, prompts, config, *args)
        warp = TopPLogitsWarper(config.top_p)
        for row, (prompt, ids) in enumerate(zip(prompts, completions, strict=True)):
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1]
            logprobs = torch.log_softmax(warp(None, logits.float()), dim=-1)
            values[row] = logprobs[range(len(ids)), ids].tolist()
        return completions, values

    monkeypatch.setattr(rollout_sampling, "sample_completions", truncated)
    monkeypatch.setattr(grpo, "are_logprobs_exact", lambda trainer: True)


def plant_paid_unparseable_gold(monkeypatch):
    from r1kit.answers.fault import FAULT
    from r1kit.rewards.registry import REWARDS

    accuracy = REWARDS["accuracy"]

    @functools.wraps(accuracy)
    def generous(*args, **kwargs):
        return [1.0 if value == FAULT else value for value in accuracy(*args, **kwargs)]

    monkeypatch.setitem(REWARDS, "accuracy", generous)


def plant_stale_saved_head(monkeypatch):
    from safetensors.torch import load_file, save_file

    from r1kit.training import checkpoints

    export = checkpoints.export_model

    def with_stale_head(checkpoint, model_dir, block):
        export(checkpoint, model_dir, block)
        weights = load_file(model_dir / "model.safetensors")
        before_training = load_file(Path(block.path) / "model.safetensors")["model.embed_tokens.weight"]
        save_file({**weights, "lm_head.weight": before_training}, model_dir / "model.safetensors", {"format": "pt"})
        config = json.loads((model_dir / "config.json").read_text())
        (model_dir / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))

    monkeypatch.setattr(checkpoints, "export_model", with_stale_head)


def plant_other_prompt_in_training(monkeypatch):
    from r1kit.training import turns

    encode = turns.prompt_ids_as_sampled
    monkeypatch.setattr(turns, "prompt_ids_as_sampled", lambda *args: [ids[:-1] for ids in encode(*args)])


def plant_wrong_merge(monkeypatch):
    from peft.tuners.lora.layer import Linear

    delta = Linear.get_delta_weight
    monkeypatch.setattr(Linear, "get_delta_weight", lambda self, adapter: 2 * delta(self, adapter))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plant", "stage", "values", "check"),
    [
        (plant_adapter_missing_in_sampler, "rl-zero", {**POLICY, "model.lora": LORA}, "sampler"),
        (plant_second_division, "sft", ACCUMULATED, "gradient"),
        (plant_packed_rows_see_each_other, "sft", PACKED, "leak"),
        (plant_mask_of_ones, "sft", {}, "mask"),
        (plant_untrained_stop, "sft", {}, "mask"),
        (plant_prompts_skipped_on_resume, "sft", {}, "resume"),
        (plant_doubled_prompt, "sft", {}, "prompts"),
        (plant_truncated_log_probabilities, "rl", {**OFF_POLICY, "sampling.top_p": 0.9}, "ratio"),
        (plant_paid_unparseable_gold, "rl", POLICY, "rewards"),
        (plant_stale_saved_head, "sft", {}, "saved model"),
        (plant_other_prompt_in_training, "rl", POLICY, "prompt"),
        (plant_wrong_merge, "sft", {"model.lora": LORA}, "adapter"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_planted_bugs_are_caught(tmp_path, monkeypatch, plant, stage, values, check):
    plant(monkeypatch)
    verdicts = prove(tmp_path, stage, **values)
    assert "fails" in verdicts[check]


# Parts


def test_exit_code_says_whether_all_checks_were_made_and_hold():
    holds, fails, left_out = judge("mask", True, ""), judge("leak", False, ""), leave_out("prompt", "no tokenizer")
    assert exit_code([holds]) == 0
    assert exit_code([holds, fails, left_out]) == 1
    assert exit_code([holds, left_out]) == 3
    assert exit_code([]) == 3


def test_truncate_cuts_what_top_p_and_top_k_cut():
    logprobs = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    assert truncate(logprobs, 1.0, 0).exp().tolist()[0] == pytest.approx([0.5, 0.3, 0.15, 0.05])
    assert truncate(logprobs, 0.8, 0).exp().tolist()[0] == pytest.approx([0.625, 0.375, 0, 0])
    assert truncate(logprobs, 1.0, 1).exp().tolist()[0] == pytest.approx([1, 0, 0, 0])
    assert truncate(logprobs, 0.9, 3).exp().tolist()[0] == pytest.approx([0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0])


def test_advantages_are_rewards_less_the_mean_of_their_group_over_its_deviation():
    rewards = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0], [1.0, 1.0]])
    weights = torch.tensor([1.0, 0.5])
    assert compute_advantages(rewards, weights, 2, "none").tolist() == [0.5, -0.5, 0, 0]
    scaled = compute_advantages(rewards, weights, 2, "group").tolist()
    assert scaled == pytest.approx([0.5 / (0.5**0.5 + 1e-4), -0.5 / (0.5**0.5 + 1e-4), 0, 0])


def test_packed_rows_are_found_by_their_ids_and_padded_rows_by_their_mask():
    truth = {(1, 2): (-100, 2), (1, 2, 3): (-100, -100, 3), (4,): (4,)}
    assert find_packed_rows([1, 2, 3, 4, 1, 2], truth) == [0, 3, 4]
    assert find_packed_rows([1, 2, 9], truth) == []
    batch = {"input_ids": torch.tensor([[1, 2, 4]]), "labels": torch.tensor([[-100, 2, 4]])}
    rows = unpack_rows({**batch, "position_ids": torch.tensor([[0, 1, 2]])}, truth)
    assert [(row.ids, row.labels) for row in rows] == [((1, 2), (-100, 2)), ((4,), (-100,))]
    rows = unpack_rows({**batch, "attention_mask": torch.tensor([[0, 1, 1]])}, truth)
    assert [(row.ids, row.labels) for row in rows] == [((2, 4), (2, 4))]


# The command


@pytest.mark.slow
def test_the_command_prints_a_table_and_writes_prove_json(here):
    file = write_recipe(here / "recipe.yaml", output="run", **{**RL, "rewards": ["accuracy", "format"]})
    out, _ = r1kit("prove", file, code=0)
    assert out.splitlines()[0].split() == ["check", "verdict", "figure", "thread"]
    assert out.splitlines()[-1].endswith("checks hold; run.prove/prove.json")
    proof = json.loads(Path("run.prove/prove.json").read_text())
    assert (proof["exit_code"], proof["stage"]) == (0, "rl-zero")
    assert {finding["verdict"] for finding in proof["findings"]} == {"holds"}
    assert not Path("run").exists()


def test_the_command_refuses_what_it_cannot_prove(here):
    file = write_recipe(here / "recipe.yaml", output="run", data={"train": "rows"}, model={"path": "tiny:base"})
    _, err = r1kit("prove", "reward-model", file, code=2)
    assert err.startswith("error: stage = reward-model; ")
    _, err = r1kit("prove", "nothing.yaml", code=2)
    assert err.startswith("error: recipe = nothing.yaml; must be a YAML file")
    both = {"sampling": {"group_size": 4}, "training": {"batch_size": 8, "kl": 0.0}}
    file = write_recipe(
        here / "both.yaml", output="run", data={"train": "world:arithmetic"}, model={"path": "tiny:base"}, **both
    )
    _, err = r1kit("prove", file, code=2)
    assert "is a recipe of rl-zero and of rl, whose defaults differ; name the stage: r1kit prove rl-zero" in err
    (here / "run.prove").mkdir()
    (here / "run.prove/notes.txt").write_text("mine")
    _, err = r1kit("prove", "rl", file, code=2)
    assert "is no proof of r1kit, and prove writes here" in err
