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
from r1kit.training.savings.packing import pack_into_bins, supports_packed_bins, with_packed_rows

pytestmark = pytest.mark.slow

ALL = ("trim", "regroup", "skip", "share")
ROWS, GROUP, LONGEST = 16, 4, 24
LOSSES = ["grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "vespo", "luspo"]


def given(seed: int, dead: float = 0.5, truncated: bool = False):
    """Completions of very different lengths for 4 prompts, and rewards that leave `dead` of the groups equal."""
    draw = torch.Generator().manual_seed(seed)
    lengths = [int(math.exp(1.0 + torch.randn((), generator=draw).item())) for _ in range(ROWS)]
    completions = []
    for i, length in enumerate(lengths):
        size = min(max(1, length), LONGEST)
        ids = torch.randint(3, 900, (size,), generator=draw).tolist()
        cut = truncated and i % 5 == 0
        completions.append(ids if cut else [*ids[:-1], 0])
    rewards = torch.rand(ROWS, generator=draw).mul(8).round().div(8)
    for group in range(int(dead * ROWS / GROUP)):
        rewards[group * GROUP : (group + 1) * GROUP] = 0.5
    return completions, rewards.tolist()


def trainer(path, savings, completions, rewards, seed=0, lora=False, **settings):
    """A GRPO trainer, stock where `savings` is None, whose completions and rewards are given."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    from r1kit.training.grpo import RLTrainer

    class Given:
        def _generate_single_turn(self, *more, **others):
            torch.manual_seed(2)  # TRL shuffles the rows next: alike, however many numbers were drawn
            return [list(ids) for ids in completions], None

        def sample_rollouts(self, *more):
            output = super().sample_rollouts(*more)
            torch.manual_seed(2)
            return output

        def _calculate_rewards(self, *more):
            return torch.tensor(rewards).unsqueeze(1)

    class Lean(Given, RLTrainer):
        _get_train_sampler = GRPOTrainer._get_train_sampler  # the order of rows is stock's

    class Stock(Given, GRPOTrainer):
        pass

    torch.manual_seed(seed)
    prompts = [
        {"prompt": text} for text in ("Q: What is 3 + 4?\nA:", "Q: 1 - 2?\nA:", "Q: a?\nA:", "Q: Compute 5.\nA:")
    ]
    arguments = {
        "output_dir": str(path),
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 4,
        "num_generations": GROUP,
        "max_completion_length": LONGEST,
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
    kind, more = (Stock, {}) if savings is None else (Lean, {"savings": savings})
    made = kind(
        model=AutoModelForCausalLM.from_pretrained(SHIPPED_MODELS["tiny:student"]),
        args=GRPOConfig(**arguments),
        reward_funcs=[lambda completions, **columns: [0.0] * len(completions)],
        train_dataset=Dataset.from_list(prompts),
        processing_class=AutoTokenizer.from_pretrained(SHIPPED_MODELS["tiny:student"]),
        peft_config=LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, init_lora_weights=False) if lora else None,
        **more,
    )
    if savings is not None:
        made.completion_forward.pass_cost = 4  # prompts this short are shared, too
    return made


def gradients(path, savings, *values, steps=1, **settings):
    """The whole gradient of each of `steps` steps, and the trainer."""
    from transformers import TrainerCallback

    found = {}

    class Keep(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
            for name, p in model.named_parameters():
                if p.requires_grad:
                    found[f"{state.global_step} {name}"] = p.grad.clone()

    torch.manual_seed(1)
    made = trainer(path, savings, *values, max_steps=steps, **settings)
    made.add_callback(Keep())
    made.train()
    assert len({name.split()[0] for name in found}) == steps
    return found, made


def error(one: dict, other: dict) -> float:
    """The relative L2 error of the whole gradient, over all steps."""
    norm = math.sqrt(sum(v.double().pow(2).sum().item() for v in one.values()))
    return math.sqrt(sum((one[n] - other[n]).double().pow(2).sum().item() for n in one)) / norm


EACH = [("trim",), ("regroup",), ("skip",), ("share",), ALL]


@pytest.mark.parametrize("loss", LOSSES)
def test_the_update_is_stock_s_for_every_loss(tmp_path, loss, monkeypatch):
    values = given(3)
    settings = {"loss_type": loss} | ({"importance_sampling_level": "sequence"} if loss == "luspo" else {})
    stock, _ = gradients(tmp_path, None, *values, **settings)
    for savings in EACH:
        assert error(stock, gradients(tmp_path, savings, *values, **settings)[0]) < 1e-5, savings
    monkeypatch.setattr(full_logits, "MAX_FULL_LOGITS", 0)  # as with a large vocabulary: through TRL's fused head
    assert error(stock, gradients(tmp_path, ALL, *values, **settings)[0]) < 1e-5


SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 100,
}


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "llama", "num_key_value_heads": 2},
        {"model_type": "cohere", "logit_scale": 0.3},  # logits are multiplied
        {"model_type": "gemma2", "final_logit_softcapping": 0.5, "head_dim": 8},  # and capped
    ],
)
def test_all_logits_at_once_give_what_trl_s_fused_head_gives(changes):
    from transformers import AutoConfig, AutoModelForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**SMALL, **changes))
    outputs = ("log_probs", "entropy", "is_top1")
    add_fused_lm_head(model, temperature=0.7, outputs=outputs)
    ids = torch.randint(3, 100, (3, 9))
    labels = ids.masked_fill(torch.rand(3, 9) < 0.3, -100)
    weights = torch.rand(2, 3, 8)

    def found(call):
        output = call(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels, fused_lm_head=True)
        loss = (output.log_probs * weights[0]).sum() + (output.entropy * weights[1]).sum()
        grads = torch.autograd.grad(loss, list(model.parameters()))
        return output.label_mask, output.is_top1, output.log_probs, output.entropy, *grads

    labels[0, 1:] = model(input_ids=ids[:1]).logits[0, :-1].argmax(dim=-1)  # the row begins with likely tokens
    for one, other in zip(found(model), found(full_logits.with_full_logits(model, 0.7, outputs)), strict=True):
        assert torch.allclose(one.float(), other.float(), atol=1e-5)
    said = full_logits.with_full_logits(model, 0.7, outputs)(input_ids=ids, labels=labels)
    assert said.is_top1.any()
    assert not said.log_probs[labels[:, 1:] == -100].any()
    assert said.log_probs[labels[:, 1:] != -100].all()


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
    values = given(5, dead, truncated)
    stock, one = gradients(tmp_path, None, *values, **settings)
    assert error(stock, gradients(tmp_path, ALL, *values, **settings)[0]) < 1e-5
    lean, other = gradients(tmp_path, ("trim", "skip", "share"), *values, **settings)
    assert error(stock, lean) < 1e-5
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
    values = given(5)
    stock, _ = gradients(tmp_path, None, *values, **settings)
    always = property(lambda self: True, lambda self, value: None)
    monkeypatch.setattr(completion_forward.CompletionForward, "packs_rows", always, raising=False)
    assert error(stock, gradients(tmp_path, ("trim", "regroup", "skip"), *values, **settings)[0]) < 1e-5
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
    _, rewards = given(5)
    found, made = gradients(tmp_path, ("rollouts", "trim"), None, rewards, **many)
    assert len(drawn) == 1
    stock, _ = gradients(tmp_path, None, drawn[0][0], rewards, **many)
    assert error(stock, found) < 1e-5
    assert made.step_state.sampling_logprobs is None


def test_a_window_with_nothing_left_still_takes_a_step(tmp_path):
    """AdamW decays the weights and carries its momentum on, as in stock."""
    values = given(7, dead=1.0)
    settings = {"optim": "adamw_torch", "weight_decay": 0.1}
    _, stock = gradients(tmp_path, None, *values, **settings)
    found, lean = gradients(tmp_path, ("trim", "regroup", "skip"), *values, **settings)
    assert all(gradient.abs().max() == 0 for gradient in found.values())
    for one, other in zip(stock.model.parameters(), lean.model.parameters(), strict=True):
        assert torch.equal(one, other)


def tokens_run(made) -> int:
    """Train, and return how many tokens went through the model."""
    count = [0]
    made.model.model.register_forward_pre_hook(
        lambda module, args, kwargs: count.__setitem__(0, count[0] + kwargs["input_ids"].numel()), with_kwargs=True
    )
    made.train()
    return count[0]


def test_what_is_skipped_is_not_run(tmp_path):
    values = given(9, dead=0.75)
    stock, other = (tokens_run(trainer(tmp_path, savings, *values)) for savings in (None, ("trim", "regroup", "skip")))
    assert other < 0.3 * stock


def test_a_prompt_is_run_once_for_its_group(tmp_path):
    """Of four prompts of up to 16 tokens, each with four completions of ten."""
    completions = [[3 + i, *range(20, 28), 0] for i in range(ROWS)]
    rewards = [float(i % 2) for i in range(ROWS)]
    whole = {"per_device_train_batch_size": ROWS, "gradient_accumulation_steps": 1}
    one = trainer(tmp_path, ("trim",), completions, rewards, **whole)
    other = trainer(tmp_path, ("trim", "share"), completions, rewards, **whole)
    longest = max(len(ids) for ids in one.processing_class([row["prompt"] for row in one.train_dataset]).input_ids)
    one.completion_forward.pass_cost = other.completion_forward.pass_cost = 64  # all rows in one pass
    assert tokens_run(one) == ROWS * (longest + 10)
    assert tokens_run(other) == 4 * (longest - 1) + ROWS * (1 + 10)


def test_groups_stay_together_where_that_is_less_work(tmp_path):
    """Rows are dealt by length, or by group where the prompts are long beside what differs between the lengths."""
    completions = [[*range(20, 28 + i % 2), 0] for i in range(ROWS)]
    rewards = [float(i % 3) for i in range(ROWS)]
    text = "Q: " + "1 + " * 40
    apart = trainer(tmp_path, ("trim", "regroup"), completions, rewards)
    together = trainer(tmp_path, ("trim", "regroup", "share"), completions, rewards)
    for made in (apart, together):
        made.train_dataset = made.train_dataset.map(lambda row: {"prompt": text + row["prompt"]})
        made.completion_forward.pass_cost = 16
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
    made = trainer(tmp_path, ("trim",), *given(1))
    made.args.gradient_checkpointing = "gradient_checkpointing" in change
    made.model.config._attn_implementation = change.get("attention", "sdpa")
    made.model.config.sliding_window = change.get("window")
    assert find_sharing_obstacle(made) == why


def test_fallbacks_are_said_once(tmp_path, capsys):
    made = trainer(tmp_path, ("trim", "regroup", "skip", "rollouts"), *given(1), beta=0.04, loss_type="bnpo")
    assert made.savings == {"trim", "rollouts"}
    err = capsys.readouterr().err
    assert "note: as in stock TRL, no regroup: bnpo is a mean over a micro-batch's tokens" in err
    assert "note: as in stock TRL, no skip: the KL term counts every row" in err


def test_chunks_by_hand():
    assert chunk_ends([9, 8, 2, 2, 0], prompt_width=1, max_rows=8, pass_cost=0) == [1, 2, 4]
    assert chunk_ends([9, 9, 2, 2, 0], prompt_width=1, max_rows=8, pass_cost=1000) == [4]
    assert chunk_ends([5, 5, 5, 5], prompt_width=1, max_rows=2, pass_cost=1000) == [2, 4]
    assert chunk_ends([0, 0], prompt_width=1, max_rows=2, pass_cost=10) == []
    ends = chunk_ends(sorted(range(1, 1001), reverse=True), prompt_width=9, max_rows=3, pass_cost=10**6)
    assert ends[-1] == 1000
    assert all(end - start <= 3 for start, end in zip([0, *ends], ends, strict=False))


@pytest.mark.parametrize(
    ("few", "bins"), [(full_logits.MAX_FULL_LOGITS, True), (0, True), (full_logits.MAX_FULL_LOGITS, False), (0, False)]
)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"gradient_accumulation_steps": 2},
        {"completion_only_loss": True},
        {"loss_type": "dft"},
        {"label_smoothing_factor": 0.1},
    ],
)
def test_sft_takes_stock_s_step(tmp_path, settings, few, bins, monkeypatch):
    """By all logits at once and by TRL's fused head; with rows in bins and in chunks."""
    monkeypatch.setattr(full_logits, "MAX_FULL_LOGITS", few)
    if not bins:
        monkeypatch.setattr("r1kit.training.sft.FineTuningTrainer._in_bins", lambda *args: False)
    monkeypatch.setattr(
        "r1kit.training.sft.pass_cost_in_tokens", lambda model: 8
    )  # rows this short are cut all the same
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from r1kit.recipe import parse_recipe
    from r1kit.training.sft import FineTuningTrainer

    rows = [{"prompt": "Q: " + "1 + " * (i % 7) + "2?", "completion": " is 3." * (i * i % 23 + 1)} for i in range(48)]
    found, logged, counts = {}, {}, {}
    for name, kind in (("stock", SFTTrainer), ("lean", FineTuningTrainer)):
        grads = found[name] = {}

        class Keep(TrainerCallback):
            def on_pre_optimizer_step(self, args, state, control, model=None, grads=grads, **kwargs):
                grads.update({f"{state.global_step} {n}": p.grad.clone() for n, p in model.named_parameters()})

        arguments = {
            "output_dir": str(tmp_path / name),
            "per_device_train_batch_size": 8,
            "max_steps": 3,
            "bf16": False,
            "use_cpu": True,
            "report_to": [],
            "disable_tqdm": True,
            "logging_steps": 1,
            "max_grad_norm": 1e9,
            "gradient_checkpointing": False,
            "save_strategy": "no",
        }
        asked = parse_recipe("sft", {"output": "x", "model": {"path": "tiny:student"}, "data": {"train": "y"}})
        more = {"recipe": asked} if name == "lean" else {}
        made = kind(
            model=AutoModelForCausalLM.from_pretrained(SHIPPED_MODELS["tiny:student"]),
            args=SFTConfig(**{**arguments, **settings}), train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(SHIPPED_MODELS["tiny:student"]), callbacks=[Keep()], **more,
        )  # fmt: skip
        if name == "lean":
            made._get_train_sampler = lambda dataset=None, made=made: SFTTrainer._get_train_sampler(made, dataset)
        seen = [0]
        made.model.model.register_forward_pre_hook(
            lambda module, args, kwargs, seen=seen: seen.__setitem__(0, seen[0] + kwargs["input_ids"].numel()),
            with_kwargs=True,
        )
        made.train()
        counts[name], logged[name] = seen[0], made.state.log_history
    assert error(found["stock"], found["lean"]) < 1e-5
    assert counts["lean"] < 0.8 * counts["stock"]
    for one, other in zip(logged["stock"][:3], logged["lean"][:3], strict=True):
        for key in ("loss", "entropy", "mean_token_accuracy", "num_tokens", "grad_norm"):
            assert float(other[key]) == pytest.approx(float(one[key]), rel=1e-4), key


def test_bins_by_hand():
    assert pack_into_bins([9, 2, 5, 4, 1], 9) == ([0, 2, 1, 1, 2], [0, 0, 0, 5, 2])
    assert pack_into_bins([2, 5, 4], None) == ([0, 0, 0], [9, 0, 5])


@pytest.mark.parametrize("changes", [{"model_type": "llama"}, {"model_type": "gemma2", "head_dim": 8}])
@pytest.mark.parametrize("width", [9, 20, None])
def test_rows_in_bins_give_what_padded_rows_give(changes, width):
    from transformers import AutoConfig, AutoModelForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**SMALL, **changes))
    add_fused_lm_head(model, outputs=("log_probs", "entropy", "is_top1"))
    ids, mask = torch.randint(3, 100, (5, 9)), torch.ones(5, 9, dtype=torch.long)
    for row, length in enumerate((9, 2, 5, 4, 1)):
        mask[row, length:] = 0
    mask[4] = mask[4].flip(0)  # on the left
    labels = ids.masked_fill((mask == 0) | (torch.rand(5, 9) < 0.2), -100)
    given = {"input_ids": ids, "attention_mask": mask, "labels": labels, "use_cache": False, "fused_lm_head": True}

    def found(run):
        output = run(**given)
        grads = torch.autograd.grad((output.log_probs * weights).sum(), list(model.parameters()))
        return output.log_probs, output.entropy, output.is_top1, output.label_mask, *grads

    weights = torch.rand(5, 8)
    weights[4] = 0  # its first token follows padding, which stock scores, and a bin does not
    for one, other in zip(found(model), found(with_packed_rows(model, width)), strict=True):
        if one.shape == weights.shape:
            one, other = one[:4], other[:4]
        assert torch.allclose(one.float(), other.float(), atol=1e-5)


@pytest.mark.parametrize(("kind", "can"), [("llama", True), ("bloom", False), ("qwen2", True), ("gpt_neox", True)])
def test_whether_a_model_keeps_rows_of_a_bin_apart_is_tried(kind, can):
    from transformers import AutoConfig, AutoModelForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(**{**SMALL, "model_type": kind, "num_key_value_heads": 2})
    )
    add_fused_lm_head(model)
    assert supports_packed_bins(model, 100) == can


# The sampler


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


def test_the_log_probabilities_are_those_of_a_whole_forward_pass():
    from r1kit.models.decode import sample_completions

    model, prompts = model_and_prompts(6)
    asked = [prompt for prompt in prompts for _ in range(4)]
    torch.manual_seed(0)
    ids, chances = sample_completions(model, asked, settings(), [0])
    assert len({len(row) for row in ids}) > 3
    for prompt, row, found in zip(asked, ids, chances, strict=True):
        logits = model(torch.tensor([[*prompt, *row]])).logits[0, len(prompt) - 1 : -1]
        wanted = torch.log_softmax(logits, -1).gather(1, torch.tensor(row).unsqueeze(1)).squeeze(1)
        assert torch.allclose(wanted, torch.tensor(found), atol=1e-5)
        assert 0 not in row[:-1]
        assert row[-1] == 0 or len(row) == 32


@pytest.mark.parametrize("changes", [{}, {"temperature": 0.7}, {"top_k": 5}, {"top_p": 0.8}, {"min_p": 0.05}])
def test_first_tokens_have_the_distribution_of_generate(changes):
    from r1kit.models.decode import logits_warpers, sample_completions

    model, [prompt] = model_and_prompts(1)
    config = settings()
    config.update(**changes, max_new_tokens=2)
    torch.manual_seed(1)
    count = 4000
    drawn, _ = sample_completions(model, [prompt] * count, config, [0])
    firsts = torch.bincount(torch.tensor([row[0] for row in drawn]), minlength=1024).double()
    logits = model(torch.tensor([prompt])).logits[0, -1:]
    expected = (
        torch.softmax(logits_warpers(config)(torch.zeros(1, 0, dtype=torch.long), logits), -1)[0].double() * count
    )
    assert firsts[expected == 0].sum() == 0
    large = expected >= 5
    seen = torch.cat([firsts[large], firsts[~large].sum().view(1)])
    wanted = torch.cat([expected[large], expected[~large].sum().view(1)])
    wanted, seen = wanted[wanted > 0], seen[wanted > 0]
    chi, freedom = ((seen - wanted) ** 2 / wanted).sum().item(), len(wanted) - 1
    assert chi < freedom + 4 * math.sqrt(2 * freedom) + 8
    theirs = model.generate(torch.tensor([prompt] * count), generation_config=config, pad_token_id=1, eos_token_id=0)[
        :, len(prompt)
    ]
    other = torch.bincount(theirs, minlength=1024).double()
    both = (firsts + other) >= 10
    chi = ((firsts[both] - other[both]) ** 2 / (firsts[both] + other[both])).sum().item()
    freedom = int(both.sum()) - 1
    assert chi < freedom + 4 * math.sqrt(2 * freedom) + 8


def test_what_the_model_s_own_settings_say_counts():
    from r1kit.models.decode import merge_generation_config, why_generate_is_needed

    model, _ = model_and_prompts(1)
    model.generation_config.min_p = 0.2
    assert merge_generation_config(model, settings()).min_p == 0.2
    model.generation_config.suppress_tokens = [7]
    assert "suppress_tokens" in why_generate_is_needed(model, settings())


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_greedy_rows_are_those_of_generate_whatever_leaves_and_is_padded(attention):
    """At a temperature near 0 both take the likeliest token, so that all rows can be compared."""
    from r1kit.models.decode import sample_completions

    model, prompts = model_and_prompts(24)
    model.set_attn_implementation(attention)
    prompts = [prompt[: len(prompt) - i % 3] for i, prompt in enumerate(prompts)]
    config = settings()
    config.update(temperature=1e-4)
    ids, _ = sample_completions(model, [p for p in prompts for _ in range(2)], config, [0])
    for i, prompt in enumerate(prompts):
        alone = model.generate(
            torch.tensor([prompt]), do_sample=False, max_new_tokens=32, eos_token_id=0, pad_token_id=1
        )
        wanted = alone[0, len(prompt) :].tolist()
        assert ids[2 * i] == ids[2 * i + 1] == wanted


def traced_rows(model, prompts, seed=0):
    from r1kit.models.decode import sample_completions

    torch.manual_seed(seed)
    return sample_completions(model, [p for p in prompts for _ in range(4)], settings(), [0])


def steps_of(monkeypatch):
    """Count the model's own steps over one token a row."""
    from r1kit.models import decode

    own, original = [], decode._forward

    def counted(model, ids, *rest):
        own.append(ids.size(1) == 1)
        return original(model, ids, *rest)

    monkeypatch.setattr(decode, "_forward", counted)
    return own


def test_a_recorded_step_gives_the_model_s_own_rows(monkeypatch):
    from r1kit.models import decode

    model, prompts = model_and_prompts(12)
    prompts = [prompt[: len(prompt) - i % 3] for i, prompt in enumerate(prompts)]
    own = steps_of(monkeypatch)
    ids, chances = traced_rows(model, prompts)
    assert sum(own) == 2  # one is recorded, the next compared
    assert traced_rows(model, prompts) == (ids, chances)  # to the last bit, though one is compared now, none recorded
    assert sum(own) == 3
    monkeypatch.setattr(decode, "can_trace_model", lambda model: False)
    wanted, expected = traced_rows(model, prompts)
    assert sum(own) > 10
    assert ids == wanted
    for one, other in zip(chances, expected, strict=True):
        assert torch.allclose(torch.tensor(one), torch.tensor(other), atol=1e-5)


def test_a_recorded_step_follows_the_weights_and_an_adapter(monkeypatch):
    from peft import LoraConfig, get_peft_model

    from r1kit.models import decode

    model, prompts = model_and_prompts(4)
    traced_rows(model, prompts)
    for change in ("in place", "others", "adapter"):
        if change == "in place":
            with torch.no_grad():
                model.lm_head.weight.mul_(1.1)
                model.model.layers[0].mlp.up_proj.weight.mul_(1.5)
        elif change == "others":
            for p in model.parameters():
                p.data = p.data * 0.9
        else:
            model = get_peft_model(model, LoraConfig(r=4, init_lora_weights=False)).eval()
        own = steps_of(monkeypatch)
        rows = traced_rows(model, prompts)[0]
        assert sum(own) == (1 if change == "in place" else 2), change
        with monkeypatch.context() as patch:
            patch.setattr(decode, "can_trace_model", lambda model: False)
            assert rows == traced_rows(model, prompts)[0], change


def test_a_record_that_does_not_hold_is_not_used(capsys, monkeypatch):
    """A layer that does something else for every sum of its inputs: what was recorded is wrong for others."""
    from r1kit.models import decode

    model, prompts = model_and_prompts(4)
    layer = model.model.layers[0].mlp
    original = layer.forward

    def forward(states):
        return original(states) * (1.0 + float(states.detach().sum()))

    layer.forward = forward
    rows = [traced_rows(model, prompts, seed)[0] for seed in (0, 1)]
    assert capsys.readouterr().err.count("the recorded step of decoding is not the model's") == 1
    monkeypatch.setattr(decode, "can_trace_model", lambda model: False)
    assert rows == [traced_rows(model, prompts, seed)[0] for seed in (0, 1)]


def test_what_a_hook_does_at_each_step_is_done(monkeypatch):
    """A hook that ends each row at its eighth token: at the steps that are recorded and compared it does nothing."""
    from r1kit.models import decode

    model, prompts = model_and_prompts(4)
    prompts = [prompt[:5] for prompt in prompts]

    def after(module, args, given, output):
        ends = given[decode.cache_argument(type(model))].get_seq_length() == 5 + 7
        output.logits[:, -1, 0] = 1e4 if ends else -1e4
        return output

    hook = model.register_forward_hook(after, with_kwargs=True)
    assert {len(ids) for ids in traced_rows(model, prompts)[0]} == {8}
    hook.remove()
    own = steps_of(monkeypatch)
    traced_rows(model, prompts)
    assert sum(own) == 2


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"repetition_penalty": 1.2}, "only transformers' generate knows repetition_penalty"),
        ({"num_beams": 2}, "only transformers' generate knows num_beams"),
        ({"min_new_tokens": 5}, "only transformers' generate knows min_new_tokens"),
        ({"no_repeat_ngram_size": 3}, "only transformers' generate knows no_repeat_ngram_size"),
        ({"suppress_tokens": [5]}, "only transformers' generate knows suppress_tokens"),
        ({"do_sample": False}, "it takes the likeliest token"),
    ],
)
def test_what_generate_alone_can_do_is_left_to_it(change, why):
    from r1kit.models.decode import why_generate_is_needed

    model, _ = model_and_prompts(1)
    assert why_generate_is_needed(model, settings()) == ""
    config = settings()
    config.update(**change)
    assert why in why_generate_is_needed(model, config)


def test_a_model_without_a_cache_is_left_to_generate():
    from transformers import OpenAIGPTConfig, OpenAIGPTLMHeadModel

    from r1kit.models.cache import extra_state
    from r1kit.models.decode import why_generate_is_needed

    model = OpenAIGPTLMHeadModel(OpenAIGPTConfig(vocab_size=64, n_positions=32, n_embd=16, n_layer=1, n_head=2))
    assert extra_state(model) == why_generate_is_needed(model, settings()) == "the model takes no cache"


def test_prompts_are_not_run_at_once_where_a_micro_batch_has_no_room_for_them(tmp_path):
    """Log-probabilities of the reference are taken of a whole rollout, a micro-batch at a time."""
    completions = [[3 + i, 20, 0] for i in range(ROWS)]
    rewards = [float(i % 2) for i in range(ROWS)]
    shapes = []
    made = trainer(tmp_path, ("share",), completions, rewards, beta=0.04, per_device_train_batch_size=1,
                   gradient_accumulation_steps=ROWS)  # fmt: skip
    made.ref_model.model.register_forward_pre_hook(
        lambda module, args, kwargs: shapes.append(kwargs["input_ids"].shape), with_kwargs=True
    )
    made.train()
    assert {rows for rows, _ in shapes} == {1}
