"""GRPO against stock TRL: both sides in turn in one run, the same model, prompts, completions and batch.

    python benchmarks/grpo.py tails late demo          (the scale model's size; about ten minutes)
    python benchmarks/grpo.py smollm2 --model runs/smollm2

tails     Completions of log-normal length (sigma 1, the longest 4 times the mean), prompts of a tenth of the mean: the
          training pass on given completions, and whole steps. The model's end token is drawn by a hazard of the
          position, so that both samplers meet these lengths.
late      80% of the groups solved, no KL: the training pass on given completions.
demo      Rollout and training pass of recipes/tiny/rl_zero.yaml, at its sizes.
smollm2   Whole steps of SmolLM2-135M on reasoning_gym's chain_sum: group 8, 32 completions of up to 192 tokens.

Stock is TRL's GRPOTrainer with bf16 and gradient checkpointing off, the same threads and attention. Prints medians, the
spread from the least to the greatest, and ratios; `--json FILE` keeps all times.
"""

import argparse
import itertools
import json
import math
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import torch
from datasets import Dataset, disable_progress_bars
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from r1kit.data.world import rows as world_rows
from r1kit.run import SHIPPED
from r1kit.training.lean import LeanMixin

ALL = ("trim", "regroup", "skip", "rollouts")
BLOCK = 2  # steps of one side before the other has its turn
MEAN = 64  # tokens of a completion, on average
LONGEST = 4 * MEAN


class Timed:
    """Counts the seconds of sampling and of whole steps; completions and rewards may be given."""

    completions: list[list[int]] | None = None
    rewards: list[float] | None = None

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> Any:
        if self.completions is not None:
            return [list(ids) for ids in self.completions], None
        started = time.perf_counter()
        output = super()._generate_single_turn(*args, **kwargs)
        self.sampling.append(time.perf_counter() - started)
        self.lengths = [len(ids) for ids in output[0]]
        return output

    def _calculate_rewards(self, *args: Any) -> Any:
        if self.rewards is None:
            return super()._calculate_rewards(*args)
        return torch.tensor(self.rewards).unsqueeze(1)


class Stock(Timed, GRPOTrainer):
    """TRL's own."""


class Lean(Timed, LeanMixin, GRPOTrainer):
    """r1kit's."""


def trainer(kind: type, model: Any, tokenizer: Any, prompts: list[str], folder: str, **settings: Any) -> Any:
    """Return a trainer with TRL's best settings for a CPU."""
    arguments = {
        "output_dir": folder,
        "bf16": False,
        "use_cpu": True,
        "gradient_checkpointing": False,
        "report_to": [],
        "disable_tqdm": True,
        "beta": 0.0,
        "learning_rate": 1e-6,
        "save_strategy": "no",
        "logging_strategy": "no",
        "max_steps": 10**6,
        **settings,
    }
    made = kind(
        model=model,
        args=GRPOConfig(**arguments),
        reward_funcs=[lambda completions, **columns: [float(len(c) % 3) for c in completions]],
        train_dataset=Dataset.from_list([{"prompt": text} for text in prompts]),
        processing_class=tokenizer,
    )
    made.sampling, made.clock = [], Clock()
    made.add_callback(made.clock)
    if kind is Lean:
        made.set_savings(ALL)
        assert made.savings == set(ALL)
    return made


class Clock(TrainerCallback):
    """When each step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.ends.append(time.perf_counter())


def steps(made: Any, count: int) -> tuple[list[float], list[float]]:
    """Take one step more than `count`; return the seconds of the last ones, and of sampling in them."""
    made.args.max_steps = count + 1
    made.sampling.clear()
    made.clock.ends.clear()
    made.train()
    ends = made.clock.ends
    return [b - a for a, b in itertools.pairwise(ends)], made.sampling[1:] or [0.0] * count


def compare(title: str, make: Any, rounds: int, stated: dict[str, Any]) -> dict[str, Any]:
    """Take BLOCK steps of each side in turn, after one that warms up; return and print medians and ratios."""
    sides = {"stock": make(Stock), "r1kit": make(Lean)}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    sampling: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, made in sides.items():
            took, sampled = steps(made, BLOCK)
            seconds[name] += took
            sampling[name] += sampled
    result: dict[str, Any] = {"title": title, **stated, "seconds": seconds, "sampling": sampling}
    print(f"\n{title}: " + ", ".join(f"{k} {v}" for k, v in stated.items()))
    print("| | seconds a step | sampling | training |\n| --- | --- | --- | --- |")
    middle = {}
    for name in sides:
        sampled = sampling[name]
        trained = [a - b for a, b in zip(seconds[name], sampled, strict=True)]
        middle[name] = [statistics.median(part) for part in (seconds[name], sampled, trained)]
        cells = [f"{statistics.median(p):.3f} ({min(p):.3f}-{max(p):.3f})" for p in (seconds[name], sampled, trained)]
        print(f"| {name} | {' | '.join(cells)} |")
    ratios = [a / b if b else math.nan for a, b in zip(middle["stock"], middle["r1kit"], strict=True)]
    print("| ratio | " + " | ".join("-" if math.isnan(r) else f"{r:.2f}" for r in ratios) + " |", flush=True)
    return result | {"ratios": ratios}


def log_normal(count: int, seed: int) -> list[int]:
    """Lengths of sigma 1 around MEAN, at most LONGEST."""
    draw = torch.Generator().manual_seed(seed)
    centre = math.log(MEAN) - 0.5
    lengths = [math.exp(centre + torch.randn((), generator=draw).item()) for _ in range(count)]
    return [min(LONGEST, max(1, round(x))) for x in lengths]


def hazard_of_end(model: Any, end: int, prompt: int) -> None:
    """Have the model end with the chance that log-normal lengths have at each position, while it samples."""
    centre = torch.distributions.Normal(math.log(MEAN) - 0.5, 1.0)

    def after(module: Any, args: Any, kwargs: Any, output: Any) -> Any:
        cache = next((kwargs[n] for n in ("cache", "past_key_values") if kwargs.get(n) is not None), None)
        if cache is None or torch.is_grad_enabled():
            return output
        said = cache.get_seq_length() - prompt + 1
        below, up_to = (centre.cdf(torch.tensor(math.log(n))) if n else torch.tensor(0.0) for n in (said - 1, said))
        chance = ((up_to - below) / (1 - below)).clamp(1e-6, 1 - 1e-6)
        logits = output.logits[:, -1]
        logits[:, end] = -torch.inf
        logits[:, end] = torch.logsumexp(logits, dim=-1) + torch.log(chance / (1 - chance))
        return output

    model.register_forward_hook(after, with_kwargs=True)


def middling(tokenizer: Any) -> Any:
    """A llama of 6M parameters, large enough for matrices to be what takes the time."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=256, intermediate_size=704, num_hidden_layers=6, num_attention_heads=8,
        num_key_value_heads=4, max_position_embeddings=1024, pad_token_id=1, eos_token_id=0, tie_word_embeddings=True,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def tails(rounds: int) -> list[dict]:
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED["tiny:base"])
    text = "Q: 1 + 2?"
    size = len(tokenizer(text).input_ids)
    prompts = [text] * 64
    batch = {"per_device_train_batch_size": 16, "gradient_accumulation_steps": 4, "num_generations": 8}
    batch |= {"max_completion_length": LONGEST}
    lengths = log_normal(64, 0)
    stated = {
        "prompt": size,
        "completions": 64,
        "mean": round(sum(lengths) / 64),
        "longest": max(lengths),
        "micro-batch": 16,
        "group": 8,
    }

    def given(kind: type) -> Any:
        made = trainer(kind, middling(tokenizer), tokenizer, prompts, tempfile.mkdtemp(), **batch)
        made.completions = [[3 + i % 900 for i in range(n - 1)] + [0] for n in lengths]
        made.rewards = [float(i % 2) for i in range(64)]
        return made

    def whole(kind: type) -> Any:
        model = middling(tokenizer)
        hazard_of_end(model, 0, size)
        return trainer(kind, model, tokenizer, prompts, tempfile.mkdtemp(), **batch)

    drawn = {**stated, "mean": f"about {MEAN}", "longest": f"at most {LONGEST}"}
    return [
        compare("long tails, training pass", given, rounds, stated),
        compare("long tails, whole step", whole, rounds, drawn),
    ]


def late(rounds: int) -> list[dict]:
    """The demo's model and batch, as at its end."""
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED["tiny:base"])
    prompts = [f"Q: {row['prompt']}\nA:" for row in world_rows("arithmetic", "train", 16, 0)]
    draw = torch.Generator().manual_seed(0)
    lengths = torch.randint(16, 40, (128,), generator=draw).tolist()

    def given(kind: type) -> Any:
        model = AutoModelForCausalLM.from_pretrained(SHIPPED["tiny:base"])
        made = trainer(
            kind, model, tokenizer, prompts, tempfile.mkdtemp(), per_device_train_batch_size=128, num_generations=8,
            gradient_accumulation_steps=1, max_completion_length=48,
        )  # fmt: skip
        made.completions = [[3 + i % 900 for i in range(n - 1)] + [0] for n in lengths]
        made.rewards = [1.0 if i // 8 % 5 else float(i % 2) for i in range(128)]  # of five groups one is mixed
        return made

    stated = {
        "completions": 128,
        "lengths": "16-39",
        "micro-batch": 128,
        "group": 8,
        "groups with a gradient": "4 of 16",
    }
    return [compare("late in a run, training pass", given, rounds, stated)]


def demo(rounds: int) -> list[dict]:
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED["tiny:base"])
    prompts = [f"Q: {row['prompt']}\nA:" for row in world_rows("arithmetic", "train", 16, 0)]

    def whole(kind: type) -> Any:
        model = AutoModelForCausalLM.from_pretrained(SHIPPED["tiny:base"])
        return trainer(
            kind, model, tokenizer, prompts, tempfile.mkdtemp(), per_device_train_batch_size=128, num_generations=8,
            gradient_accumulation_steps=1, max_completion_length=48,
        )  # fmt: skip

    return [compare("the demo's sizes, whole step", whole, rounds, {"completions": 128, "group": 8, "at most": 48})]


def smollm2(rounds: int, path: str) -> list[dict]:
    import reasoning_gym

    tokenizer = AutoTokenizer.from_pretrained(path)
    made = reasoning_gym.create_dataset("chain_sum", size=4, seed=0)
    prompts = [
        tokenizer.apply_chat_template([{"role": "user", "content": item["question"]}], tokenize=False,
                                      add_generation_prompt=True)
        for item in made
    ]  # fmt: skip

    def whole(kind: type) -> Any:
        model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
        return trainer(
            kind, model, tokenizer, prompts, tempfile.mkdtemp(), per_device_train_batch_size=8, num_generations=8,
            gradient_accumulation_steps=4, max_completion_length=192,
        )  # fmt: skip

    return [compare("SmolLM2-135M, whole step", whole, rounds, {"completions": 32, "group": 8, "at most": 192})]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", choices=["tails", "late", "demo", "smollm2"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default="runs/smollm2")
    parser.add_argument("--json")
    options = parser.parse_args()
    disable_progress_bars()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, float32, sdpa, no checkpointing")
    found = []
    for what in options.what:
        found += smollm2(options.rounds, options.model) if what == "smollm2" else globals()[what](options.rounds)
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
