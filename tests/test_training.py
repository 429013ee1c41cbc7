"""The trainer core against stock TRL, and what a run leaves behind."""

import json
import os
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers import (
    RL,
    SFT,
    largest_difference,
    r1kit,
    read_data,
    read_info,
    read_metrics,
    read_weights,
    start_r1kit,
    write_recipe,
)

from r1kit.recipe import parse_recipe
from r1kit.runs.run import Run

pytestmark = pytest.mark.slow


def quarters(completions, **columns):
    """A reward in whole quarters, so that r1kit's rounding leaves it as it is."""
    return [(len(c) % 8) / 4 for c in completions]


def rl_recipe(**training):
    values = {**RL, "output": "unused", "rewards": [{"name": "test_training.quarters"}]}
    return parse_recipe(
        "rl-zero", {**values, "training": {**RL["training"], "reference_reset_steps": None, **training}}
    )


def settings_of(values):
    """What `r1kit rl` takes from a recipe for its trainer."""
    training = values.training
    return {
        "savings": training.savings,
        "resample": values.sampling.resample,
        "reference_reset_steps": training.reference_reset_steps,
        "keep_checkpoints": training.keep_checkpoints,
    }


def rl_trainer(kind, values, path, reward=quarters, at=None, **more):
    from r1kit.data.problems import load_problems
    from r1kit.models.load import load_model, load_tokenizer
    from r1kit.training.arguments import build_grpo_config

    path.mkdir()
    return kind(
        model=load_model(values.model),
        args=build_grpo_config(values, at or Run(path)),
        reward_funcs=[reward],
        train_dataset=load_problems(values.data.train, values.prompt),
        processing_class=load_tokenizer(values.model),
        **more,
    )


@pytest.mark.parametrize(
    "training",
    [{"steps": 3, "kl": 0.05}, {"steps": 4, "kl": 0.0, "updates_per_rollout": 2, "micro_batch_size": 4}],
)
def test_grpo_is_stock_trl_to_the_last_bit(tmp_path, training):
    from trl import GRPOTrainer

    from r1kit.training.grpo import RLTrainer

    recipe = rl_recipe(**training, savings=[])
    stock = rl_trainer(GRPOTrainer, recipe, tmp_path / "stock")
    stock.train()
    own = rl_trainer(RLTrainer, recipe, tmp_path / "own", run=Run(tmp_path / "own"), **settings_of(recipe))
    own.train()
    for (name, a), b in zip(stock.model.named_parameters(), own.model.parameters(), strict=True):
        assert torch.equal(a, b), name


def test_a_plain_run_saves_all_that_can_be_saved(tmp_path):
    from r1kit.training.grpo import RLTrainer

    asked = rl_recipe(steps=1, kl=0.0)
    trainer = rl_trainer(RLTrainer, asked, tmp_path / "own", run=Run(tmp_path / "own"), **settings_of(asked))
    assert trainer.savings == {"trim", "regroup", "skip", "share", "rollouts"}


def dull_or_not(prompts, completions, **columns):
    """Always the same reward for half of the problems."""
    return [0.5 if len(p) % 2 else (len(c) % 8) / 4 for p, c in zip(prompts, completions, strict=True)]


def test_groups_without_a_signal_give_their_places_to_others(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    values = {**RL, "rewards": [{"name": "test_training.dull_or_not"}], "data": {"train": "world:arithmetic"}}
    values["training"] = {**RL["training"], "reference_reset_steps": None, "kl": 0.0, "steps": 4, "savings": ["skip"]}
    file, ways = write_recipe(tmp_path / "rl.yaml", **values), {}
    for name, rounds, more in (("plain", 0, []), ("often", 20, []), ("again", 20, ["training.savings=[rollouts]"])):
        words = [f"output={tmp_path / name}", f"sampling.resample={rounds}", *more]
        r1kit("rl-zero", file, *words)
        rows = read_data(tmp_path / name / "completions")
        assert len(rows) == 4 * 16
        groups = {}
        for row in rows:
            assert len(row["prompt"]) % 2 == 0 or row["dull_or_not"] == 0.5
            groups.setdefault((row["step"], row["group"]), set()).add((row["id"], row["dull_or_not"]))
        assert all(len({name for name, _ in group}) == 1 for group in groups.values())  # of one problem each
        ways[name] = sum(len(group) == 1 for group in groups.values()) / len(groups)
    assert ways["plain"] > 0.1
    assert ways["often"] == ways["again"] == 0.0
    shares = [line["resampled"] for line in read_metrics(tmp_path / "often") if "resampled" in line]
    assert len(shares) == 4
    assert all("resampled" not in line for line in read_metrics(tmp_path / "plain"))


def test_a_run_without_any_verdict_does_not_go_on_for_days(tmp_path):
    from r1kit.errors import UserError
    from r1kit.rewards import FAULT
    from r1kit.training.grpo import RLTrainer

    def dead(completions, **columns):
        return [FAULT] * len(completions)

    recipe = rl_recipe(steps=20, kl=0.0)
    trainer = rl_trainer(
        RLTrainer, recipe, tmp_path / "own", reward=dead, run=Run(tmp_path / "own"), **settings_of(recipe)
    )
    with pytest.raises(UserError, match="no completion of 10 generations had a verdict"):
        trainer.train()
    assert trainer.state.global_step == 9


def test_sft_weights_after_a_step_are_stock_trl(tmp_path):
    from trl import SFTTrainer

    from r1kit.data.examples import load_examples
    from r1kit.models.load import load_model, load_tokenizer
    from r1kit.training.arguments import build_sft_config
    from r1kit.training.sft import FineTuningTrainer

    training = {**SFT["training"], "epochs": None, "steps": 1, "batch_size": 60}
    recipe = parse_recipe("sft", {**SFT, "output": "unused", "training": training})
    parameters = []
    for trainer_class, arguments in ((SFTTrainer, {}), (FineTuningTrainer, {"recipe": recipe})):
        path = tmp_path / trainer_class.__name__
        path.mkdir()
        trainer = trainer_class(
            model=load_model(recipe.model),
            args=build_sft_config(recipe, Run(path)),
            train_dataset=load_examples(recipe.data.train, recipe.prompt),
            processing_class=load_tokenizer(recipe.model),
            **arguments,
        )
        trainer.args.optim = "sgd"  # Adam's first step has the sign of the gradient alone, noise and all
        trainer.train()
        parameters.append(dict(trainer.model.named_parameters()))
    assert largest_difference(*parameters) < 1e-6


def test_rows_grouped_by_length_weigh_each_token_the_same(tmp_path):
    """The loss of a batch is divided by the tokens a batch has on average, not by its own."""
    from r1kit.data.examples import load_examples
    from r1kit.models.load import load_model, load_tokenizer
    from r1kit.training.arguments import build_sft_config
    from r1kit.training.sft import FineTuningTrainer

    training = {**SFT["training"], "epochs": None, "steps": 1, "group_by_length": True}
    recipe = parse_recipe("sft", {**SFT, "output": "unused", "training": training})
    tokenizer, rows = load_tokenizer(recipe.model), load_examples(recipe.data.train, recipe.prompt)
    trainer = FineTuningTrainer(
        model=load_model(recipe.model),
        args=build_sft_config(recipe, Run(tmp_path)),
        train_dataset=rows,
        processing_class=tokenizer,
        recipe=recipe,
    )
    # Of each row the end token is added, and the first is not predicted.
    lengths = [len(ids) for ids in tokenizer(list(rows["text"])).input_ids]
    assert not trainer.model.training  # as in the first step of a session
    batches = iter(trainer.get_train_dataloader())
    while True:
        micro_batches, items = trainer.get_batch_samples(batches, 1, torch.device("cpu"))
        if not micro_batches:
            break
        assert float(items) == pytest.approx(len(micro_batches[0]["labels"]) * sum(lengths) / len(lengths))


def rollouts_of_one_step(tmp_path, reward) -> list[dict]:
    from r1kit.training.grpo import RLTrainer

    recipe = rl_recipe(steps=1)
    rl_trainer(RLTrainer, recipe, tmp_path / "own", reward, run=Run(tmp_path / "own"), **settings_of(recipe)).train()
    return read_data(tmp_path / "own/completions")


def test_a_row_with_a_fault_leaves_its_group(tmp_path):
    """Rewards 1, 0, fault, 1: the group's mean is 2/3 and the fault's advantage is 0."""
    from r1kit.rewards import FAULT

    def faulty(completions, **columns):
        return [FAULT if i % 4 == 2 else float(i % 4 != 1) for i in range(len(completions))]

    group = rollouts_of_one_step(tmp_path, faulty)[:4]
    deviation = (((1 / 3) ** 2 * 2 + (2 / 3) ** 2) / 2) ** 0.5
    expected = [(1 / 3) / (deviation + 1e-4), (-2 / 3) / (deviation + 1e-4), 0.0, (1 / 3) / (deviation + 1e-4)]
    assert [r["advantage"] for r in group] == pytest.approx(expected, abs=1e-4)
    assert group[2]["faulty"] is None


def test_equal_rewards_of_no_dyadic_value_give_no_advantage(tmp_path):
    def constant(completions, **columns):
        return [1.7] * len(completions)

    assert {r["advantage"] for r in rollouts_of_one_step(tmp_path, constant)} == {0.0}


def test_a_run_leaves_what_the_design_names(tmp_path):
    run = tmp_path / "run"
    out, err = r1kit("rl-zero", write_recipe(tmp_path / "rl.yaml", **RL), f"output={run}")
    assert out == f"{run}\n"
    names = {"recipe.yaml", "run.json", "metrics.jsonl", "completions", "checkpoints", "model"}
    assert {p.name for p in run.iterdir()} >= names
    done = read_info(run)
    assert (done["status"], done["stage"], done["steps"]) == ("finished", "rl-zero", 6)
    assert [r["rank"] for r in done["ranks"]] == [0]
    assert [m["step"] for m in read_metrics(run) if "reward" in m] == [1, 2, 3, 4, 5, 6]
    assert len(list((run / "checkpoints").iterdir())) == 2
    assert "rl-zero 6/6" in err


def test_a_saved_model_reads_back_the_same_ids_and_continues_the_same(tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from r1kit.prompts import fill_template
    from r1kit.recipe import ModelConfig, PromptConfig, SamplingConfig
    from r1kit.runs.paths import SHIPPED_MODELS
    from r1kit.sampling.local import TransformersSampler

    run = tmp_path / "run"
    r1kit("sft", write_recipe(tmp_path / "sft.yaml", **SFT), f"output={run}")
    tokenizer, model = AutoTokenizer.from_pretrained(run / "model"), AutoModelForCausalLM.from_pretrained(run / "model")
    shipped = AutoTokenizer.from_pretrained(SHIPPED_MODELS["tiny:student"])
    text = "Q: حاصل 7 - 6 + 14 چیست؟\nA:\n<think>7 minus 6 برابر 1.</think><answer>15</answer>"
    assert tokenizer(text).input_ids == shipped(text).input_ids
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    prompt = fill_template("tiny", "What is 3 + 4 - 2 + 5?")
    settings = SamplingConfig(temperature=0, max_tokens=32)
    sampler = TransformersSampler(ModelConfig(path=str(run)), PromptConfig(template="tiny"), settings)
    inputs = tokenizer(prompt, return_tensors="pt")
    ids = model.generate(**inputs, do_sample=False, max_new_tokens=32)[0, inputs["input_ids"].shape[1] :].tolist()
    assert list(sampler.sample([prompt], 1, 0)[0][0].ids) == ids


def test_lora_saves_an_adapter_and_a_merged_model_when_asked(tmp_path):
    from transformers import AutoModelForCausalLM

    values = {**RL, "training": {**RL["training"], "reference_reset_steps": None, "steps": 2}}
    for merge in (False, True):
        values["model"] = {"path": "tiny:student", "lora": {"r": 4, "alpha": 8, "merge": merge}}
        r1kit("rl-zero", write_recipe(tmp_path / "rl.yaml", **values), f"output={tmp_path / f'run{merge}'}")
    assert (tmp_path / "runFalse/model/adapter_model.safetensors").exists()
    assert (tmp_path / "runTrue/adapter/adapter_model.safetensors").exists()
    adapted = AutoModelForCausalLM.from_pretrained(tmp_path / "runFalse/model")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "runTrue/model")
    ids = torch.arange(20).unsqueeze(0)
    assert torch.allclose(adapted(ids).logits, merged(ids).logits, atol=1e-4)


def test_out_of_memory_halves_the_micro_batch_and_goes_on(tmp_path, capsys):
    """No GPU is here: the trainer raises what torch raises there, where more than 4 rows come at once."""
    from r1kit.errors import UserError
    from r1kit.training.core import run_training
    from r1kit.training.grpo import RLTrainer

    class TrainerOnFixedCompletions(RLTrainer):
        def sample_rollouts(self, prompts, trainer):
            """Return completions that depend on the step alone: a draw may flip at the last bit of a probability."""
            draw = torch.Generator().manual_seed(self.state.global_step)
            lengths = torch.randint(2, 20, (len(prompts),), generator=draw).tolist()
            ids = [[*torch.randint(3, 900, (length,), generator=draw).tolist(), 0] for length in lengths]
            return {"prompt_ids": self._tokenize_prompts(prompts)[0], "completion_ids": ids, "logprobs": None}

    class TrainerWithLittleMemory(TrainerOnFixedCompletions):
        fitting_rows = 4

        def _compute_loss(self, model, inputs):
            if len(inputs["completion_ids"]) > self.fitting_rows and self.state.global_step >= 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super()._compute_loss(model, inputs)

    def train(name, trainer_class, micro_batch_size):
        recipe = rl_recipe(steps=3, kl=0.0, save_steps=1, micro_batch_size=micro_batch_size, learning_rate=0.1)
        recipe = recipe.model_copy(update={"trl": {"optim": "sgd"}})  # Adam would make steps of the last bits' noise
        run, attempts = Run(tmp_path / name), iter("abcd")
        run.path.mkdir()
        run.update(stage="rl-zero")

        def build_trainer():
            path = tmp_path / (name + next(attempts))
            return rl_trainer(trainer_class, recipe, path, run=run, at=run, **settings_of(recipe))

        run_training(build_trainer, recipe, run)
        assert run.info["steps"] == 3
        return read_weights(run.path / "model")

    reduced = train("reduced", TrainerWithLittleMemory, None)
    assert "note: out of memory with 16 rows at once; continuing with 8 at once and the same batch of 16" in (
        capsys.readouterr().err
    )
    assert Run(tmp_path / "reduced").info["micro_batch_size"] == 4
    # Only the first step was computed with 16 rows at once.
    assert largest_difference(reduced, train("small", TrainerOnFixedCompletions, 4)) < 1e-6
    TrainerWithLittleMemory.fitting_rows = 0
    with pytest.raises(UserError, match="a single row does not fit into memory"):
        train("none", TrainerWithLittleMemory, 2)


def test_the_best_checkpoint_becomes_the_model(tmp_path):
    training = {**SFT["training"], "epochs": None, "steps": 6, "save_steps": 2, "eval_steps": 2}
    training["learning_rate"] = 0.3  # ruins the model: an early evaluation is the best
    data = {**SFT["data"], "eval": [{"path": "world:text", "rows": 16, "split": "test"}]}
    run = tmp_path / "run"
    r1kit("sft", write_recipe(tmp_path / "sft.yaml", **{**SFT, "training": training, "data": data}), f"output={run}")
    losses = {m["step"]: m["eval_loss"] for m in read_metrics(run) if "eval_loss" in m}
    best = min(losses, key=losses.get)
    assert sorted(losses) == [2, 4, 6]
    assert largest_difference(read_weights(run / "model"), read_weights(run / f"checkpoints/checkpoint-{best}")) == 0.0


def test_completions_grow_by_the_schedule(tmp_path):
    sampling = {"group_size": 4, "max_tokens": 4, "schedule": [{"from_step": 3, "max_tokens": 9}]}
    training = {**RL["training"], "steps": 4}
    run = tmp_path / "run"
    r1kit(
        "rl-zero",
        write_recipe(tmp_path / "rl.yaml", **{**RL, "sampling": sampling, "training": training}),
        f"output={run}",
    )
    longest = {}
    for row in read_data(run / "completions"):
        longest[row["step"]] = max(row["tokens"], longest.get(row["step"], 0))
    assert longest == {1: 4, 2: 4, 3: 9, 4: 9}


def test_a_base_is_made_from_a_config_on_plain_text(tmp_path):
    run = tmp_path / "run"
    r1kit("sft", "recipes/tiny/student.yaml", f"output={run}", "training.steps=2", "data.train.0.rows=300")
    assert sum(w.numel() for w in read_weights(run / "model").values()) < 1_000_000 / 4


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_said_and_the_run_goes_on_once_there_is_room(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk]).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        file = write_recipe(tmp_path / "rl.yaml", **{**RL, "training": {**RL["training"], "steps": 2}})
        _, err = r1kit("rl-zero", file, f"output={disk / 'run'}", code=2)
        assert f"error: output = {disk / 'run'}; no space left on the device;" in err
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        out, _ = r1kit("rl-zero", file, f"output={disk / 'run'}")
        assert out == f"{disk / 'run'}\n"
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("sampling.max_tokens=2000", "sampling.max_tokens = 2000; prompt and completion have up to 2"),
        ("model.path=no/where/at/all", "model.path = no/where/at/all; must be a folder with a model"),
        ("model.path=nobody/nothing", "model.path = nobody/nothing; cannot be loaded"),
        ("data.train.0.rows=2", "data.train = world:arithmetic; has 2 problems, but one rollout needs 4"),
        ("prompt.prefill=<think>", "prompt.prefill = <think>; only generate, eval and verifier can begin a completion"),
        ("model.quantize=4bit", "model.quantize = 4bit; 4-bit weights cannot be trained"),
        ("prompt.template=chat", "prompt.template = chat; this model has no chat template"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(tmp_path, change, words):
    file, run = write_recipe(tmp_path / "rl.yaml", **RL), tmp_path / "run"
    out, err = r1kit("rl-zero", file, f"output={run}", change, code=2)
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert out == ""
    assert len(lines) == 1
    assert words in lines[0]
    assert "Traceback" not in err


def test_a_step_whose_every_row_was_a_fault_is_logged_and_shown(tmp_path, capsys):
    """Its means are no numbers: NaN, or None where transformers has cleaned them."""
    from transformers import TrainerControl, TrainerState

    from r1kit.runs.run import Run
    from r1kit.training.callbacks import MetricsCallback

    state = TrainerState(global_step=1, max_steps=2, is_world_process_zero=True)
    logs = {"loss": 0.5, "reward": None, "rewards/accuracy/mean": float("nan")}
    MetricsCallback(Run(tmp_path), "rl-zero").on_log(None, state, TrainerControl(), logs=logs)
    [line] = read_metrics(tmp_path)
    assert (line["loss"], line["reward"]) == (0.5, None)
    assert "rewards/accuracy/mean" not in line
    assert capsys.readouterr().err.startswith("rl-zero 1/2  loss 0.5  ")


@pytest.mark.slow
def test_a_template_that_opens_the_thinking_can_have_the_format(here):
    values = {**RL, "prompt": {"template": "Q: {prompt}\nA:<think>"}, "model": {"path": "tiny:base"}}
    r1kit(
        "rl-zero",
        write_recipe(here / "z.yaml", **values),
        f"output={here}/run",
        "rewards=[{name: accuracy}, {name: format}]",
    )
    assert sum(line["rewards/format/mean"] for line in read_metrics(here / "run") if "rewards/format/mean" in line) > 0


@pytest.mark.slow
def test_a_file_named_stop_ends_the_session_and_not_the_next_one(here):
    words = ["rl-zero", write_recipe(here / "z.yaml", **RL), f"output={here}/run", "training.steps=40"]
    process = start_r1kit(*words)
    while not list(here.glob("run/completions/*.parquet")):
        time.sleep(0.1)
        assert process.poll() is None, process.communicate()[1][-3000:]
    (here / "run/stop").touch()
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert read_info(here / "run")["status"] == "interrupted"
    r1kit(*words)
    assert read_info(here / "run")["steps"] == 40


@pytest.mark.slow
def test_rows_that_have_a_completion_are_problems_too(here):
    """Rows of a `generate` run, which hold what its model said."""
    rows = [{"prompt": f"What is {n} + 1?", "completion": "so", "answer": str(n + 1)} for n in range(8)]
    (here / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["data.train=rows.jsonl", "training.steps=2", "training.kl=0", "training.reference_reset_steps=null"]
    file = write_recipe(here / "z.yaml", **RL, rewards=[{"name": "accuracy"}])
    r1kit("rl-zero", file, f"output={here}/run", *words)
    assert len(read_data(here / "run/completions")) == 32


@pytest.mark.slow
def test_completions_that_are_cut_and_masked_keep_their_length(here):
    words = ["sampling.max_tokens=3", "training.steps=1", "training.kl=0", "training.reference_reset_steps=null"]
    file = write_recipe(here / "z.yaml", **RL, trl={"mask_truncated_completions": True})
    r1kit("rl-zero", file, f"output={here}/run", *words)
    rows = read_data(here / "run/completions")
    cut = [row for row in rows if row["finish_reason"] == "length"]
    assert {row["tokens"] for row in cut} == {3}
    assert all(1 <= row["tokens"] <= 3 for row in rows)


def arguments(here, **changes):
    from r1kit.training.arguments import build_grpo_config

    return build_grpo_config(parse_recipe("rl-zero", {**RL, "output": str(here / "run"), **changes}), Run(here / "run"))


def test_a_constant_rate_is_warmed_up_too(here):
    from transformers import get_scheduler

    made = arguments(here, training={**RL["training"], "warmup_steps": 4})
    weight = torch.nn.Parameter(torch.zeros(1))
    rates = get_scheduler(made.lr_scheduler_type, torch.optim.SGD([weight], lr=1.0), made.warmup_steps, 100)
    assert rates.get_last_lr() == [0.0]


def test_the_reference_is_of_the_policy_s_revision(here):
    made = arguments(here, model={"path": "org/m", "revision": "step-1000"})
    assert made.model_init_kwargs == {"revision": "step-1000"}
    assert arguments(here).model_init_kwargs is None


def test_an_evaluation_holds_whole_groups_and_little_more_than_fits(here):
    assert arguments(here, training={**RL["training"], "micro_batch_size": 8}).per_device_eval_batch_size == 8
    run = Run(here / "run")
    run.path.mkdir()
    run.update(micro_batch_size=2)
    made = arguments(here)
    assert (made.per_device_train_batch_size, made.per_device_eval_batch_size) == (2, RL["sampling"]["group_size"])


def test_transformers_progress_is_replaced_by_r1kit_s(tmp_path):
    from transformers import PrinterCallback, ProgressCallback, Trainer, TrainingArguments

    from r1kit.models.load import load_model
    from r1kit.recipe import ModelConfig
    from r1kit.training.callbacks import MetricsCallback, StopCallback
    from r1kit.training.core import _add_callbacks

    for disable_tqdm in (True, False):
        arguments = TrainingArguments(output_dir=str(tmp_path), disable_tqdm=disable_tqdm, use_cpu=True, report_to=[])
        trainer = Trainer(load_model(ModelConfig(path="tiny:student")), arguments)
        is_progress = [isinstance(c, PrinterCallback | ProgressCallback) for c in trainer.callback_handler.callbacks]
        assert sum(is_progress) == 1
        _add_callbacks(trainer, Run(tmp_path), StopCallback(Run(tmp_path)))
        callbacks = trainer.callback_handler.callbacks
        assert not any(isinstance(callback, PrinterCallback | ProgressCallback) for callback in callbacks)
        assert sum(isinstance(callback, MetricsCallback | StopCallback) for callback in callbacks) == 2


def test_r1kit_q_shows_no_progress(tmp_path, capsys):
    from transformers import TrainerControl, TrainerState

    from r1kit.messages import set_verbosity
    from r1kit.training.callbacks import MetricsCallback

    state = TrainerState(global_step=1, max_steps=2, is_world_process_zero=True)
    for quiet in (False, True):
        set_verbosity(quiet=quiet)
        try:
            MetricsCallback(Run(tmp_path), "sft").on_log(None, state, TrainerControl(), logs={"loss": 0.5})
        finally:
            set_verbosity()
        assert ("sft 1/2" in capsys.readouterr().err) == (not quiet)
    assert [line["loss"] for line in read_metrics(tmp_path)] == [0.5, 0.5]


def test_an_evaluation_without_a_verdict_is_not_the_best():
    from r1kit.training.checkpoints import CheckpointMixin

    trainer = SimpleNamespace(args=SimpleNamespace(metric_for_best_model="eval_reward"))
    assert CheckpointMixin._determine_best_metric(trainer, {"eval_reward": None}, None) is False


THINKS = "{{ messages[0].content }}<think>\n{% if not think | default(true) %}\n</think>\n\n{% endif %}"


def chat_trainer(**settings):
    """What r1kit.training.turns reads of a trainer whose chat template opens the thinking."""
    from r1kit.models.load import load_tokenizer

    tokenizer = load_tokenizer(parse_recipe("rl", RL).model)
    tokenizer.chat_template = THINKS
    values = {"processing_class": tokenizer, "chat_template_kwargs": settings}
    return SimpleNamespace(**values, eos_token_ids=[tokenizer.eos_token_id])


@pytest.mark.parametrize("chat", [False, True])
def test_a_reward_sees_the_text_that_the_template_has_put_before_the_completion(chat):
    from r1kit.recipe import RewardConfig
    from r1kit.rewards.binding import bind_reward
    from r1kit.training.turns import prompt_ids_as_sampled, read_completion

    trainer = chat_trainer()
    prompt = [{"role": "user", "content": "2 + 2?"}] if chat else "2 + 2?\nA: <think>\n"
    [prompt_ids] = prompt_ids_as_sampled(trainer, [prompt])
    completions = []
    for text in ("so</think><answer>1</answer>", "<think>so</think><answer>1</answer>"):
        ids = trainer.processing_class(f"{text}<|end|>").input_ids
        completions.append(read_completion(trainer, prompt, prompt_ids, ids))
    texts = [completion[0]["content"] if chat else completion for completion in completions]
    assert texts[0] == "<think>\nso</think><answer>1</answer>"
    assert bind_reward(RewardConfig(name="format"))(completions=completions) == [1.0, 0.0]


def test_what_a_chat_template_begins_follows_the_template_s_settings():
    from r1kit.training.turns import prompt_ids_as_sampled, read_completion

    prompt = [{"role": "user", "content": "2 + 2?"}]
    for settings, text in (({}, "<think>\n4"), ({"think": False}, "4")):
        trainer = chat_trainer(**settings)
        [prompt_ids] = prompt_ids_as_sampled(trainer, [prompt])
        ids = trainer.processing_class("4").input_ids
        assert read_completion(trainer, prompt, prompt_ids, ids) == [{"role": "assistant", "content": text}]


def test_sampling_follows_the_trainer_s_settings_and_leaves_the_model_s_as_they_are():
    from r1kit.models.load import load_model
    from r1kit.training.turns import own_sampling_settings

    trainer = chat_trainer()
    trainer._is_vlm, trainer.tools = False, None
    trainer.model = load_model(parse_recipe("rl", RL).model)
    trainer.model.generation_config.update(min_p=0.3, no_repeat_ngram_size=2)
    trainer.processing_class.response_template = {"fields": {}}
    with own_sampling_settings(trainer):
        config = trainer.model.generation_config
        assert (config.min_p, config.no_repeat_ngram_size) == (None, None)
        assert config.eos_token_id == trainer.processing_class.eos_token_id
        assert trainer.processing_class.response_template is None
    assert trainer.model.generation_config.min_p == 0.3
    assert trainer.processing_class.response_template == {"fields": {}}


def test_a_rollout_without_a_verdict_has_no_reward():
    from r1kit.training.rollouts import rollout_rows

    rewards = {"accuracy": [float("nan"), -1.0], "language": [float("nan"), -0.5]}
    logs = {"prompt": ["q", "q"], "completion": ["a", "b"], "extra": {"answer": [None, None]}, "rewards": rewards}
    first, second = rollout_rows({**logs, "advantages": [0.0, 0.0]}, 2, 2, 1, {"accuracy": 1.0, "language": 2.0})
    assert first["reward"] is first["answer"] is None
    assert second["reward"] == -2.0


def test_a_new_run_does_not_read_the_lengths_of_its_rows_twice(tmp_path, monkeypatch):
    from r1kit.training import core

    def fail(trainer):
        raise AssertionError("counting the steps of a run makes its order of rows, which reads the length of each")

    (tmp_path / "checkpoints").mkdir()
    monkeypatch.setattr(core, "_count_total_steps", fail)
    monkeypatch.setattr(core, "record_ranks", lambda accelerator, run: None)
    monkeypatch.setattr(core, "_add_callbacks", lambda trainer, run, stop_callback: None)
    monkeypatch.setattr(core, "StopCallback", lambda run, interval: SimpleNamespace(has_stopped=False))
    resumed_from = []
    trainer = SimpleNamespace(
        train=lambda resume_from_checkpoint: resumed_from.append(resume_from_checkpoint),
        state=SimpleNamespace(global_step=2, num_input_tokens_seen=5),
        accelerator=SimpleNamespace(wait_for_everyone=lambda: None),
    )
    core._train(trainer, rl_recipe(), Run(tmp_path), None, 1, "model")
    assert resumed_from == [None]
    assert read_info(tmp_path)["steps"] == 2
