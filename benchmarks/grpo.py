"""GRPO against stock TRL: both sides in turn in one run, the same model, prompts, completions and batch.

    python benchmarks/grpo.py tails late demo          (the scale model's size; about ten minutes)
    python benchmarks/grpo.py growth                   (18 comparisons like those of `tails`)
    python benchmarks/grpo.py smollm2 --model runs/smollm2 --rounds 2

tails     Completions of log-normal length (sigma 1, the longest 4 times the mean), prompts of a tenth of the mean: the
          training pass on given completions, and whole steps. The model's end token is drawn by a hazard of the
          position, so that both samplers meet these lengths.
late      80% of the groups solved, no KL: the training pass on given completions.
demo      Rollout and training pass of recipes/tiny/rl_zero.yaml, at its sizes.
growth    `tails`, training pass and whole step, with longer completions, other spreads of lengths and other groups.
smollm2   Whole steps of SmolLM2-135M on reasoning_gym's chain_sum: group 8, 32 completions of up to 192 tokens. Each
          side's turn is a process of its own, whose peak memory is taken.

Stock is TRL's GRPOTrainer with bf16 and gradient checkpointing off, the same threads and attention. Prints medians, the
spread from the least to the greatest, ratios, and the floor: the operations that the tokens need over the machine's
measured rate of multiplying matrices, or the bytes that must be read over its measured bandwidth, whichever is more.
`--json FILE` keeps all times; `--plot FILE` draws them.
"""

import argparse
import functools
import itertools
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import torch
from datasets import Dataset, disable_progress_bars
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PrinterCallback,
    TrainerCallback,
)
from trl import GRPOConfig, GRPOTrainer

from r1kit.data.world import world_rows
from r1kit.runs.paths import SHIPPED_MODELS
from r1kit.training.grpo import RLTrainer

ALL = ("trim", "regroup", "skip", "share", "rollouts")
BLOCK = 2  # steps of one side before the other has its turn
MEAN = 64  # tokens of a completion, on average


class Timed:
    """Counts the seconds of sampling and of what else precedes training; completions and rewards may be given."""

    completions: list[list[int]] | None = None
    rewards: list[float] | None = None

    def _prepare_inputs(self, *args: Any) -> Any:
        started = time.perf_counter()
        inputs = super()._prepare_inputs(*args)
        self.before += time.perf_counter() - started
        return inputs

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> Any:
        if self.completions is not None:
            return [list(ids) for ids in self.completions], None
        started = time.perf_counter()
        output = super()._generate_single_turn(*args, **kwargs)
        self.sampled += time.perf_counter() - started
        self.lengths.append(([len(ids) for ids in args[0]], [len(ids) for ids in output[0]]))
        return output

    def sample_rollouts(self, prompts: list[Any], trainer: Any) -> dict[str, Any]:
        if self.completions is not None:
            prompt_ids, _, _ = self._tokenize_prompts(prompts)
            ids = [list(row) for row in self.completions]
            return {"prompt_ids": prompt_ids, "completion_ids": ids, "logprobs": None}
        started = time.perf_counter()
        output = super().sample_rollouts(prompts, trainer)
        self.sampled += time.perf_counter() - started
        self.lengths.append(
            ([len(ids) for ids in output["prompt_ids"]], [len(ids) for ids in output["completion_ids"]])
        )
        return output

    def _calculate_rewards(self, *args: Any) -> Any:
        if self.rewards is None:
            return super()._calculate_rewards(*args)
        return torch.tensor(self.rewards).unsqueeze(1)


class Stock(Timed, GRPOTrainer):
    """TRL's own."""


class Lean(Timed, RLTrainer):
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
        **({"savings": ALL} if kind is Lean else {}),
    )
    made.before, made.sampled, made.lengths, made.clock = 0.0, 0.0, [], Clock()
    made.clock.trainer = made
    made.add_callback(made.clock)
    made.remove_callback(PrinterCallback)
    if kind is Lean:
        assert made.savings == set(ALL)
    return made


class Clock(TrainerCallback):
    """When each step ended, and the seconds of sampling and of all that precedes training until then."""

    def __init__(self) -> None:
        self.ends: list[list[float]] = []

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.ends.append([time.perf_counter(), self.trainer.sampled, self.trainer.before])


def steps(made: Any, count: int) -> list[list[float]]:
    """Take one step more than `count`; return of the last ones the seconds: in all, of sampling, of training.

    What remains is tokenizing, scoring and padding.
    """
    made.args.max_steps = count + 1
    made.clock.ends.clear()
    made.train()
    spans = [[b - a for a, b in zip(*pair, strict=True)] for pair in itertools.pairwise(made.clock.ends)]
    return [[whole, sampled, whole - before] for whole, sampled, before in spans]


@functools.cache
def machine() -> tuple[float, float]:
    """Return the machine's operations a second on a product of matrices, and its bytes a second on a sum."""
    one, other, much = torch.randn(2048, 2048), torch.randn(2048, 2048), torch.randn(64 * 2**20)

    def best(work: Any) -> float:
        times = []
        for _ in range(7):
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
        return min(times)

    return 2 * 2048**3 / best(lambda: one @ other), 4 * much.numel() / best(much.sum)


def floors(model: Any, prompts: list[int], lengths: list[int], live: list[bool], group: int) -> tuple[float, float]:
    """Return the least seconds that sampling and training can take: each prompt prefilled once, nothing padded."""
    config, (rate, bandwidth) = model.config, machine()
    head = model.get_output_embeddings().weight.numel()
    body = sum(p.numel() for p in model.parameters()) - head
    wide = config.num_hidden_layers * config.num_attention_heads * config.head_dim
    kept = 8 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim  # bytes of a position's cache
    sampling = sum(2 * body * p + 2 * wide * p * p for p in prompts[::group]) / rate
    for step in range(max(lengths)):
        places = [p + step for p, n in zip(prompts, lengths, strict=True) if n > step]
        operations = sum(2 * (body + head) + 4 * wide * place for place in places)
        sampling += max(operations / rate, (4 * (body + head) + kept * sum(places)) / bandwidth)
    training = 0.0
    for p, n, here in zip(prompts, lengths, live, strict=True):
        training += here * 3 * (2 * body * (p + n) + 2 * head * n + 2 * wide * (p + n) ** 2) / rate
    return sampling, training


def compare(title: str, make: Any, rounds: int, stated: dict[str, Any], live: float = 1.0) -> dict[str, Any]:
    """Take BLOCK steps of each side in turn, after one that warms up. `live`: share of the rows with a gradient."""
    sides = {"stock": make(Stock), "r1kit": make(Lean)}
    times: dict[str, list[list[float]]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, made in sides.items():
            times[name] += steps(made, BLOCK)
    made = sides["r1kit"]
    drawn = made.lengths[-BLOCK * rounds :] or [([stated["prompt"]] * len(made.completions), made.given)]
    least = [
        floors(made.model, prompts, lengths, [i < live * len(prompts) for i in range(len(prompts))], stated["group"])
        for prompts, lengths in drawn
    ]
    floor = [statistics.median(part) for part in zip(*least, strict=True)]
    if not made.lengths:
        floor[0] = 0.0
    return report(title, stated, times, floor)


def report(title: str, stated: dict[str, Any], times: dict[str, list[list[float]]], floor: list[float]) -> dict:
    """Print and return medians, spread, ratios and the floor."""
    print(f"\n{title}: " + ", ".join(f"{k} {v}" for k, v in stated.items()))
    print("| | seconds a step | sampling | training |\n| --- | --- | --- | --- |")
    middle = {}
    for name, found in times.items():
        parts = list(zip(*found, strict=True))
        middle[name] = [statistics.median(part) for part in parts]
        cells = [f"{m:.3f} ({min(p):.3f}-{max(p):.3f})" for m, p in zip(middle[name], parts, strict=True)]
        print(f"| {name} | {' | '.join(cells)} |")
    middle["floor"] = [sum(floor), *floor]
    print("| floor | " + " | ".join(f"{x:.3f}" for x in middle["floor"]) + " |")
    ratios = {}
    for label, other in (("stock", "r1kit"), ("r1kit", "floor")):
        pairs = zip(middle[label], middle[other], strict=True)
        ratios[f"{label} / {other}"] = shares = [a / b if b else math.nan for a, b in pairs]
        print(f"| {label} / {other} | " + " | ".join("-" if math.isnan(r) else f"{r:.2f}" for r in shares) + " |")
    sys.stdout.flush()
    return {"title": title, **stated, "times": times, "medians": middle, "ratios": ratios}


def log_normal(count: int, seed: int, mean: int = MEAN, sigma: float = 1.0) -> list[int]:
    """Lengths of a spread around a mean, at most four times as long."""
    draw = torch.Generator().manual_seed(seed)
    centre = math.log(mean) - sigma**2 / 2
    lengths = [math.exp(centre + sigma * torch.randn((), generator=draw).item()) for _ in range(count)]
    return [min(4 * mean, max(1, round(x))) for x in lengths]


def hazard_of_end(model: Any, end: int, prompt: int, mean: int, sigma: float) -> None:
    """Have the model end with the chance that log-normal lengths have at each position, while it samples."""
    centre = torch.distributions.Normal(math.log(mean) - sigma**2 / 2, max(sigma, 0.01))

    def after(module: Any, args: Any, kwargs: Any, output: Any) -> Any:
        cache = next((kwargs[n] for n in ("cache", "past_key_values") if kwargs.get(n) is not None), None)
        if cache is None or torch.is_grad_enabled():
            return output
        said = cache.get_seq_length() - prompt + 1
        below, up_to = (centre.cdf(torch.tensor(math.log(n))) if n else torch.tensor(0.0) for n in (said - 1, said))
        chance = ((up_to - below) / (1 - below).clamp(1e-9)).clamp(1e-6, 1 - 1e-6)
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
        num_key_value_heads=4, max_position_embeddings=2048, pad_token_id=1, eos_token_id=0, tie_word_embeddings=True,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def tails(rounds: int, mean: int = MEAN, sigma: float = 1.0, group: int = 8, rows: int = 64) -> list[dict]:
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED_MODELS["tiny:base"])
    text = "Q: 1 + 2?"
    size = len(tokenizer(text).input_ids)
    micro = rows // 4
    batch = {"per_device_train_batch_size": micro, "gradient_accumulation_steps": 4, "num_generations": group}
    batch |= {"max_completion_length": 4 * mean}
    lengths = log_normal(rows, 0, mean, sigma)
    stated = {"prompt": size, "completions": rows, "sigma": sigma, "micro-batch": micro, "group": group}

    def given(kind: type) -> Any:
        made = trainer(kind, middling(tokenizer), tokenizer, [text] * rows, tempfile.mkdtemp(), **batch)
        made.given = lengths
        made.completions = [[3 + i % 900 for i in range(n - 1)] + [0] for n in lengths]
        made.rewards = [float(i % 2) for i in range(rows)]
        return made

    def whole(kind: type) -> Any:
        model = middling(tokenizer)
        hazard_of_end(model, 0, size, mean, sigma)
        return trainer(kind, model, tokenizer, [text] * rows, tempfile.mkdtemp(), **batch)

    exact = {**stated, "mean": round(sum(lengths) / rows), "longest": max(lengths)}
    drawn = {**stated, "mean": f"about {mean}", "longest": f"at most {4 * mean}"}
    return [
        compare("long tails, training pass", given, rounds, exact),
        compare("long tails, whole step", whole, rounds, drawn),
    ]


def growth(rounds: int) -> list[dict]:
    """`tails` along one thing at a time: mean length, spread, size of the groups, completions."""
    ways = [{"mean": n} for n in (32, 128, 256)] + [{"sigma": s} for s in (0.25, 0.5)]
    ways += [{"group": g} for g in (2, 16, 32)] + [{"rows": 128}]
    return [found | {"along": way} for way in ways for found in tails(rounds, **way)]


def late(rounds: int) -> list[dict]:
    """The demo's model and lengths, as at its end: of 20 groups 16 are solved."""
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED_MODELS["tiny:base"])
    prompts = [f"Q: {row['prompt']}\nA:" for row in world_rows("arithmetic", "train", 20, 0)]
    draw = torch.Generator().manual_seed(0)
    lengths = torch.randint(16, 40, (160,), generator=draw).tolist()

    def given(kind: type) -> Any:
        model = AutoModelForCausalLM.from_pretrained(SHIPPED_MODELS["tiny:base"])
        made = trainer(
            kind, model, tokenizer, prompts, tempfile.mkdtemp(), per_device_train_batch_size=160, num_generations=8,
            gradient_accumulation_steps=1, max_completion_length=48,
        )  # fmt: skip
        made.given = lengths
        made.completions = [[3 + i % 900 for i in range(n - 1)] + [0] for n in lengths]
        made.rewards = [1.0 if i // 8 % 5 else float(i % 2) for i in range(160)]  # of five groups one is mixed
        return made

    stated = {
        "prompt": max(len(ids) for ids in tokenizer(prompts).input_ids),
        "completions": 160,
        "lengths": "16-39",
        "micro-batch": 160,
        "group": 8,
        "groups with a gradient": "4 of 20",
    }
    return [compare("late in a run, training pass", given, rounds, stated, live=0.2)]


def demo(rounds: int) -> list[dict]:
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED_MODELS["tiny:base"])
    prompts = [f"Q: {row['prompt']}\nA:" for row in world_rows("arithmetic", "train", 16, 0)]

    def whole(kind: type) -> Any:
        model = AutoModelForCausalLM.from_pretrained(SHIPPED_MODELS["tiny:base"])
        return trainer(
            kind, model, tokenizer, prompts, tempfile.mkdtemp(), per_device_train_batch_size=128, num_generations=8,
            gradient_accumulation_steps=1, max_completion_length=48,
        )  # fmt: skip

    return [compare("the demo's sizes, whole step", whole, rounds, {"completions": 128, "group": 8, "at most": 48})]


def smollm2_trainer(kind: type, path: str) -> Any:
    import reasoning_gym

    tokenizer = AutoTokenizer.from_pretrained(path)
    prompts = [
        tokenizer.apply_chat_template([{"role": "user", "content": item["question"]}], tokenize=False,
                                      add_generation_prompt=True)
        for item in reasoning_gym.create_dataset("chain_sum", size=4, seed=0)
    ]  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    return trainer(
        kind, model, tokenizer, prompts, tempfile.mkdtemp(), per_device_train_batch_size=8, num_generations=8,
        gradient_accumulation_steps=4, max_completion_length=192,
    )  # fmt: skip


def turn(side: str, path: str) -> None:
    """Take two steps of one side; print the seconds of the second, and this process's peak memory, as JSON."""
    made = smollm2_trainer({"stock": Stock, "r1kit": Lean}[side], path)
    (times,) = steps(made, 1)
    prompts, lengths = made.lengths[-1]
    floor = floors(made.model, prompts, lengths, [True] * len(lengths), 8)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"times": times, "floor": floor, "peak": peak, "lengths": lengths}))


def smollm2(rounds: int, path: str) -> list[dict]:
    turns: dict[str, list[dict[str, Any]]] = {"stock": [], "r1kit": []}
    for _ in range(rounds):
        for side, found in turns.items():
            command = [sys.executable, __file__, "smollm2", "--model", path, "--turn", side]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
    stated = {"completions": 32, "micro-batch": 8, "group": 8, "at most": 192}
    for side, found in turns.items():
        stated[f"peak MiB of {side}"] = max(round(one["peak"]) for one in found)
        stated[f"mean tokens of {side}"] = round(statistics.mean(n for one in found for n in one["lengths"]))
    times = {side: [one["times"] for one in found] for side, found in turns.items()}
    floor = [statistics.median(part) for part in zip(*(one["floor"] for one in turns["r1kit"]), strict=True)]
    return [report("SmolLM2-135M, whole step", stated, times, floor)]


def draw(found: list[dict[str, Any]], path: str) -> None:
    """Draw the medians of both sides and the floor: sampling below, training above."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(10, 1 + 0.7 * len(found)))
    colours, height = {"stock": "tab:gray", "r1kit": "tab:blue", "floor": "tab:green"}, 0.27
    for i, one in enumerate(found):
        whole = one["medians"]["stock"][0]
        for j, (side, colour) in enumerate(colours.items()):
            total, sampled, _ = one["medians"][side]
            axes.barh(i + j * height, sampled / whole, height, color=colour, alpha=0.5)
            axes.barh(i + j * height, (total - sampled) / whole, height, left=sampled / whole, color=colour)
    names = [one["title"] + "".join(f"\n{k} {v}" for k, v in one.get("along", {}).items()) for one in found]
    axes.set_yticks([i + height for i in range(len(found))], names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("time of a step, stock = 1; pale: sampling")
    axes.legend([plt.Rectangle((0, 0), 1, 1, color=c) for c in colours.values()], list(colours), loc="lower right")
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", choices=["tails", "late", "demo", "growth", "smollm2"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default="runs/smollm2")
    parser.add_argument("--json")
    parser.add_argument("--plot")
    parser.add_argument("--turn", choices=["stock", "r1kit"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    disable_progress_bars()
    if options.turn:
        return turn(options.turn, options.model)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, float32, sdpa, no checkpointing; "
          f"{machine()[0] / 1e9:.0f} GFLOP/s, {machine()[1] / 1e9:.1f} GB/s")  # fmt: skip
    found: list[dict[str, Any]] = []
    for what in options.what:
        found += smollm2(options.rounds, options.model) if what == "smollm2" else globals()[what](options.rounds)
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=2) + "\n")
    if options.plot:
        draw(found, options.plot)


if __name__ == "__main__":
    main()
