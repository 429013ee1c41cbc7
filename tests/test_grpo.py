"""The same update for less work: whole gradients against stock TRL, the sampler against transformers' `generate`."""

import math
from types import SimpleNamespace

import pytest
import torch

from r1kit.runs.paths import SHIPPED_MODELS
from r1kit.training import rollout_sampling
from r1kit.training.savings import completion_forward, full_logits
from r1kit.training.savings.architecture import has_only_attention
from r1kit.training.savings.chunks import chunk_ends
from r1kit.training.savings.obstacles import find_sharing_obstacle

pytestmark = pytest.mark.slow

ALL_SAVINGS = ("trim", "regroup", "skip", "share")
ROW_COUNT, GROUP_SIZE, MAX_TOKENS = 16, 4, 24
LOSS_TYPES = ["grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "vespo", "luspo"]


def make_completions(seed: int, dead: float = 0.5, truncated: bool = False):
    """Completions of very different lengths for 4 prompts, and rewards that leave `dead` of the groups equal."""
    draw = torch.Generator().manual_seed(seed)
    lengths = [int(math.exp(1.0 + torch.randn((), generator=draw).item())) for _ in range(ROW_COUNT)]
    completions = []
    for i, length in enumerate(lengths):
        size = min(max(1, length), MAX_TOKENS)
        ids = torch.randint(3, 900, (size,), generator=draw).tolist()
        cut = truncated and i % 5 == 0
        completions.append(ids if cut else [*ids[:-1], 0])
    rewards = torch.rand(ROW_COUNT, generator=draw).mul(8).round().div(8)
    for group in range(int(dead * ROW_COUNT / GROUP_SIZE)):
        rewards[group * GROUP_SIZE : (group + 1) * GROUP_SIZE] = 0.5
    return completions, rewards.tolist()


def make_trainer(path, savings, completions, rewards, seed=0, lora=False, **settings):
    """A GRPO trainer, stock where `savings` is None, whose completions and rewards are given."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    from r1kit.training.grpo import RLTrainer

    class FixedCompletions:
        def _generate_single_turn(self, *more, **others):
            torch.manual_seed(2)  # TRL shuffles the rows next: alike, however many numbers were drawn
            return [list(ids) for ids in completions], None

        def sample_rollouts(self, *more):
            output = super().sample_rollouts(*more)
            torch.manual_seed(2)
            return output

        def _calculate_rewards(self, *more):
            return torch.tensor(rewards).unsqueeze(1)

    class LeanTrainer(FixedCompletions, RLTrainer):
        _get_train_sampler = GRPOTrainer._get_train_sampler  # the order of rows is stock's

    class StockTrainer(FixedCompletions, GRPOTrainer):
        pass

    torch.manual_seed(seed)
    prompts = [
        {"prompt": text} for text in ("Q: What is 3 + 4?\nA:", "Q: 1 - 2?\nA:", "Q: a?\nA:", "Q: Compute 5.\nA:")
    ]
    arguments = {
        "output_dir": str(path),
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 4,
        "num_generations": GROUP_SIZE,
        "max_completion_length": MAX_TOKENS,
        "learning_rate": 1e-3,
        "max_steps": 1,
        "bf16": False,
        "use_cpu": True,
        "report_to": [],
        "beta": 0.0,
        "disable_tqdm": True,
        "max_grad_norm": 1e9,
        "gradient_checkpointing": False,
        "optim": "sgd",
        "weight_decay": 0.0,
        "lr_scheduler_type": "constant",
        **settings,
    }
    kind, more = (StockTrainer, {}) if savings is None else (LeanTrainer, {"savings": savings})
    trainer = kind(
        model=AutoModelForCausalLM.from_pretrained(SHIPPED_MODELS["tiny:student"]),
        args=GRPOConfig(**arguments),
        reward_funcs=[lambda completions, **columns: [0.0] * len(completions)],
        train_dataset=Dataset.from_list(prompts),
        processing_class=AutoTokenizer.from_pretrained(SHIPPED_MODELS["tiny:student"]),
        peft_config=LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, init_lora_weights=False) if lora else None,
        **more,
    )
    if savings is not None:
        trainer.completion_forward.pass_cost = 4  # prompts this short are shared, too
    return trainer


def gradients(path, savings, *values, steps=1, **settings):
    """The whole gradient of each of `steps` steps, and the trainer."""
    from transformers import TrainerCallback

    found_gradients = {}

    class KeepGradients(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
            for name, p in model.named_parameters():
                if p.requires_grad:
                    found_gradients[f"{state.global_step} {name}"] = p.grad.clone()

    torch.manual_seed(1)
    trainer = make_trainer(path, savings, *values, max_steps=steps, **settings)
    trainer.add_callback(KeepGradients())
    trainer.train()
    assert len({name.split()[0] for name in found_gradients}) == steps
    return found_gradients, trainer


def relative_error(one: dict, other: dict) -> float:
    """The relative L2 error of the whole gradient, over all steps."""
    norm = math.sqrt(sum(v.double().pow(2).sum().item() for v in one.values()))
    return math.sqrt(sum((one[n] - other[n]).double().pow(2).sum().item() for n in one)) / norm


EACH_SAVING = [("trim",), ("regroup",), ("skip",), ("share",), ALL_SAVINGS]


@pytest.mark.parametrize("loss", LOSS_TYPES)
def test_the_update_is_stock_s_for_every_loss(tmp_path, loss, monkeypatch):
    values = make_completions(3)
    settings = {"loss_type": loss} | ({"importance_sampling_level": "sequence"} if loss == "luspo" else {})
    stock, _ = gradients(tmp_path, None, *values, **settings)
    for savings in EACH_SAVING:
        assert relative_error(stock, gradients(tmp_path, savings, *values, **settings)[0]) < 1e-5, savings
    monkeypatch.setattr(full_logits, "MAX_FULL_LOGITS", 0)  # as with a large vocabulary: through TRL's fused head
    assert relative_error(stock, gradients(tmp_path, ALL_SAVINGS, *values, **settings)[0]) < 1e-5


@pytest.mark.parametrize(
    ("settings", "dead", "truncated"),
    [
        ({"beta": 0.04}, 0.5, False),
        ({"beta": 0.04, "lora": True}, 0.5, False),
        ({"lora": True}, 0.5, False),
        ({"num_iterations": 2, "steps": 4}, 0.5, False),
        ({"steps_per_generation": 8, "steps": 2, "per_device_train_batch_size": 2}, 0.5, False),
        ({"mask_truncated_completions": True}, 0.25, True),
        ({"scale_rewards": "batch"}, 0.25, False),
        ({"importance_sampling_level": "sequence", "num_iterations": 2, "steps": 2}, 0.5, False),
        ({"off_policy_mask_threshold": 0.1, "num_iterations": 2, "steps": 2}, 0.5, False),
        ({"delta": 1.5, "num_iterations": 2, "steps": 2}, 0.5, False),
        ({"top_entropy_quantile": 0.5}, 0.5, False),
        ({"entropy_coef": 0.01}, 0.5, False),
    ],
)  # fmt: skip
def test_the_update_is_stock_s_in_every_setting(tmp_path, settings, dead, truncated):
    values = make_completions(5, dead, truncated)
    stock, one = gradients(tmp_path, None, *values, **settings)
    assert relative_error(stock, gradients(tmp_path, ALL_SAVINGS, *values, **settings)[0]) < 1e-5
    lean, other = gradients(tmp_path, ("trim", "skip", "share"), *values, **settings)
    assert relative_error(stock, lean) < 1e-5
    names = [n for n in one.state.log_history[0] if n.startswith(("clip", "kl", "reward", "completions", "loss"))]
    for name in names:
        if not math.isnan(one.state.log_history[0][name]):
            assert other.state.log_history[0][name] == pytest.approx(
                one.state.log_history[0][name], rel=1e-5, abs=1e-5
            ), name


@pytest.mark.parametrize(
    "settings", [{}, {"beta": 0.04}, {"beta": 0.04, "lora": True}, {"num_iterations": 2, "steps": 2}]
)
def test_rows_packed_without_padding_give_stock_s_update(tmp_path, settings, monkeypatch):
    """For flash attention, which cannot run here: SDPA takes packed rows as well, by a mask made of the positions."""
    widths = []
    original = completion_forward.with_packed_rows

    def watched(model):
        call = original(model)

        def run(**given):
            there = []
            base = model.get_base_model() if hasattr(model, "get_base_model") else model
            hook = base.model.register_forward_pre_hook(
                lambda module, args, kwargs: there.append(kwargs["input_ids"].shape), with_kwargs=True
            )
            output = call(**given)
            hook.remove()
            widths.append((there[-1], int(given["attention_mask"].sum())))
            return output

        return run

    monkeypatch.setattr(completion_forward, "with_packed_rows", watched)
    values = make_completions(5)
    stock, _ = gradients(tmp_path, None, *values, **settings)
    always = property(lambda self: True, lambda self, value: None)
    monkeypatch.setattr(completion_forward.CompletionForward, "packs_rows", always, raising=False)
    assert relative_error(stock, gradients(tmp_path, ("trim", "regroup", "skip"), *values, **settings)[0]) < 1e-5
    assert widths
    assert all(shape == (1, tokens) for shape, tokens in widths)


def test_rows_are_not_packed_for_layers_that_carry_more_than_attention():
    def model(kinds, stateful=False):
        config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(layer_types=kinds))
        return SimpleNamespace(config=config, _is_stateful=stateful)

    assert has_only_attention(model(None))
    assert has_only_attention(model(["sliding_attention", "full_attention"]))
    assert not has_only_attention(model(["full_attention", "linear_attention"]))
    assert not has_only_attention(model(None, stateful=True))


@pytest.mark.parametrize("settings", [{}, {"beta": 0.04}, {"temperature": 0.7}, {"top_p": 0.9}])
def test_log_probabilities_of_the_sampling_are_the_old_ones(tmp_path, settings, monkeypatch):
    """Two updates a rollout: stock runs the model once more on what was sampled."""
    drawn = []
    original = rollout_sampling.sample_completions

    def kept(*args):
        drawn.append(original(*args))
        return drawn[-1]

    monkeypatch.setattr(rollout_sampling, "sample_completions", kept)
    many = {"steps_per_generation": 8, "per_device_train_batch_size": 2, "steps": 2, **settings}
    _, rewards = make_completions(5)
    found_gradients, trainer = gradients(tmp_path, ("rollouts", "trim"), None, rewards, **many)
    assert len(drawn) == 1
    stock, _ = gradients(tmp_path, None, drawn[0][0], rewards, **many)
    assert relative_error(stock, found_gradients) < 1e-5
    assert trainer.generation.sampling_logprobs is None


def test_a_window_with_nothing_left_still_takes_a_step(tmp_path):
    """AdamW decays the weights and carries its momentum on, as in stock."""
    values = make_completions(7, dead=1.0)
    settings = {"optim": "adamw_torch", "weight_decay": 0.1}
    _, stock = gradients(tmp_path, None, *values, **settings)
    found_gradients, lean = gradients(tmp_path, ("trim", "regroup", "skip"), *values, **settings)
    assert all(gradient.abs().max() == 0 for gradient in found_gradients.values())
    for one, other in zip(stock.model.parameters(), lean.model.parameters(), strict=True):
        assert torch.equal(one, other)


def tokens_run(trainer) -> int:
    """Train, and return how many tokens went through the model."""
    count = [0]
    trainer.model.model.register_forward_pre_hook(
        lambda module, args, kwargs: count.__setitem__(0, count[0] + kwargs["input_ids"].numel()), with_kwargs=True
    )
    trainer.train()
    return count[0]


def test_what_is_skipped_is_not_run(tmp_path):
    values = make_completions(9, dead=0.75)
    stock, other = (
        tokens_run(make_trainer(tmp_path, savings, *values)) for savings in (None, ("trim", "regroup", "skip"))
    )
    assert other < 0.3 * stock


def test_a_prompt_is_run_once_for_its_group(tmp_path):
    """Of four prompts of up to 16 tokens, each with four completions of ten."""
    completions = [[3 + i, *range(20, 28), 0] for i in range(ROW_COUNT)]
    rewards = [float(i % 2) for i in range(ROW_COUNT)]
    whole = {"per_device_train_batch_size": ROW_COUNT, "gradient_accumulation_steps": 1}
    one = make_trainer(tmp_path, ("trim",), completions, rewards, **whole)
    other = make_trainer(tmp_path, ("trim", "share"), completions, rewards, **whole)
    longest = max(len(ids) for ids in one.processing_class([row["prompt"] for row in one.train_dataset]).input_ids)
    one.completion_forward.pass_cost = other.completion_forward.pass_cost = 64  # all rows in one pass
    assert tokens_run(one) == ROW_COUNT * (longest + 10)
    assert tokens_run(other) == 4 * (longest - 1) + ROW_COUNT * (1 + 10)


def test_groups_stay_together_where_that_is_less_work(tmp_path):
    """Rows are dealt by length, or by group where the prompts are long beside what differs between the lengths."""
    completions = [[*range(20, 28 + i % 2), 0] for i in range(ROW_COUNT)]
    rewards = [float(i % 3) for i in range(ROW_COUNT)]
    text = "Q: " + "1 + " * 40
    apart = make_trainer(tmp_path, ("trim", "regroup"), completions, rewards)
    together = make_trainer(tmp_path, ("trim", "regroup", "share"), completions, rewards)
    for trainer in (apart, together):
        trainer.train_dataset = trainer.train_dataset.map(lambda row: {"prompt": text + row["prompt"]})
        trainer.completion_forward.pass_cost = 16
    assert tokens_run(together) < 0.45 * tokens_run(apart)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"gradient_checkpointing": True}, "gradient checkpointing keeps no keys and values"),
        ({"attention": "flex_attention"}, "attention by flex_attention"),
        ({"window": 8}, "the model has layers of sliding attention"),
    ],
)
def test_where_prompts_are_not_shared(tmp_path, change, why):
    trainer = make_trainer(tmp_path, ("trim",), *make_completions(1))
    trainer.args.gradient_checkpointing = "gradient_checkpointing" in change
    trainer.model.config._attn_implementation = change.get("attention", "sdpa")
    trainer.model.config.sliding_window = change.get("window")
    assert find_sharing_obstacle(trainer) == why


def test_fallbacks_are_said_once(tmp_path, capsys):
    trainer = make_trainer(
        tmp_path, ("trim", "regroup", "skip", "rollouts"), *make_completions(1), beta=0.04, loss_type="bnpo"
    )
    assert trainer.savings == {"trim", "rollouts"}
    err = capsys.readouterr().err
    assert "note: training.savings: regroup switched off, because bnpo is a mean over a micro-batch's tokens" in err
    assert "note: training.savings: skip switched off, because the KL term counts every row" in err


def test_chunks_by_hand():
    assert chunk_ends([9, 8, 2, 2, 0], prompt_width=1, max_rows=8, pass_cost=0) == [1, 2, 4]
    assert chunk_ends([9, 9, 2, 2, 0], prompt_width=1, max_rows=8, pass_cost=1000) == [4]
    assert chunk_ends([5, 5, 5, 5], prompt_width=1, max_rows=2, pass_cost=1000) == [2, 4]
    assert chunk_ends([0, 0], prompt_width=1, max_rows=2, pass_cost=10) == []
    ends = chunk_ends(sorted(range(1, 1001), reverse=True), prompt_width=9, max_rows=3, pass_cost=10**6)
    assert ends[-1] == 1000
    assert all(end - start <= 3 for start, end in zip([0, *ends], ends, strict=False))


def test_prompts_are_not_run_at_once_where_a_micro_batch_has_no_room_for_them(tmp_path):
    """Log-probabilities of the reference are taken of a whole rollout, a micro-batch at a time."""
    completions = [[3 + i, 20, 0] for i in range(ROW_COUNT)]
    rewards = [float(i % 2) for i in range(ROW_COUNT)]
    shapes = []
    trainer = make_trainer(tmp_path, ("share",), completions, rewards, beta=0.04, per_device_train_batch_size=1,
                   gradient_accumulation_steps=ROW_COUNT)  # fmt: skip
    trainer.ref_model.model.register_forward_pre_hook(
        lambda module, args, kwargs: shapes.append(kwargs["input_ids"].shape), with_kwargs=True
    )
    trainer.train()
    assert {rows for rows, _ in shapes} == {1}


def test_old_log_probabilities_are_those_of_the_completions_that_replaced_others(tmp_path):
    """With two updates a rollout, after groups without a signal were sampled again."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    from r1kit.training.grpo import RLTrainer

    def some_signal(prompts, completions, **columns):
        return [
            0.5 if "dull" in prompt else len(text) % 4 / 4 for prompt, text in zip(prompts, completions, strict=True)
        ]

    prompts = [{"prompt": f"Q: {'dull ' * (n % 2)}{n} + 1?\nA:"} for n in range(16)]
    trainer = RLTrainer(
        model=AutoModelForCausalLM.from_pretrained(SHIPPED_MODELS["tiny:student"]),
        args=GRPOConfig(
            output_dir=str(tmp_path),
            per_device_train_batch_size=4,
            gradient_accumulation_steps=1,
            steps_per_generation=4,
            num_generations=GROUP_SIZE,
            max_completion_length=MAX_TOKENS,
            max_steps=1,
            bf16=False,
            use_cpu=True,
            report_to=[],
            beta=0.0,
            learning_rate=1e-9,
            gradient_checkpointing=False,
        ),
        reward_funcs=[some_signal],
        train_dataset=Dataset.from_list(prompts),
        processing_class=AutoTokenizer.from_pretrained(SHIPPED_MODELS["tiny:student"]),
        savings=("rollouts", "trim"),
        resample=20,
    )
    trainer.train()
    assert trainer.state.log_history[0]["resampled"] > 0
    for batch in trainer._buffered_inputs:
        ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
        mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
        width = batch["completion_ids"].size(1)
        with torch.no_grad():
            logprobs, _, _ = GRPOTrainer._get_per_token_logps_and_entropies(trainer, trainer.model, ids, mask, width)
        difference = (logprobs - batch["old_per_token_logps"]) * batch["completion_mask"]
        assert difference.abs().max() < 1e-4
