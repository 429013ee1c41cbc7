"""Run under torchrun or accelerate: one GRPO step on completions given beforehand; rank 0 saves the weights.

torchrun --nproc-per-node 2 tests/rollouts.py OUT CASES

CASES is JSON, an object of name and case: each is trained anew and saved in OUT/name. A case may have `training`,
further settings of the recipe; `dull`, how many of the first groups have equal rewards; and `call`, what a pass is
reckoned to cost, which decides whether prompts are shared.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from r1kit.data.problems import load_problems
from r1kit.models.load import load_model, load_tokenizer
from r1kit.recipe import parse_recipe
from r1kit.runs.run import Run
from r1kit.training.arguments import build_grpo_config

RECIPE = {
    "output": "unused",
    "model": {"path": "tiny:student"},
    "data": {"train": [{"path": "world:arithmetic", "rows": 8}]},
    "prompt": {"template": "tiny"},
    "sampling": {"group_size": 4, "max_tokens": 24},
    "rewards": [{"name": "rollouts.by_answer"}],
    "training": {"steps": 1, "batch_size": 16, "micro_batch_size": 4, "learning_rate": 1.0, "kl": 0.05},
    "trl": {"loss_type": "dapo", "optim": "sgd"},
}


def given(prompts, trainer):
    """Completions that depend on the prompt and the place in its group alone, of different lengths."""
    tokenizer, output = trainer.processing_class, {"prompt_ids": [], "completion_ids": [], "logprobs": None}
    first = trainer.accelerator.process_index * len(prompts)
    for i, prompt in enumerate(prompts, start=first):
        text = " 3 plus 4 is 7." * (1 + i % 3) + f"<answer> {i % 4}</answer>"
        output["prompt_ids"].append(tokenizer(prompt).input_ids)
        output["completion_ids"].append([*tokenizer(text).input_ids, tokenizer.eos_token_id])
    return output


CASE = {}  # the one that is trained


def by_answer(completions, **columns):
    rank, dull = int(os.environ.get("RANK", "0")), CASE.get("dull", 0)
    rewards = [float(c.count("plus") % 2) + c.count("answer> 3") for c in completions]
    return [0.5 if rank * len(rewards) + i < 4 * dull else reward for i, reward in enumerate(rewards)]


def main(out: Path) -> None:
    from accelerate import PartialState
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    from r1kit.training.grpo import RLTrainer

    recipe = parse_recipe("rl-zero", {**RECIPE, "training": {**RECIPE["training"], **CASE.get("training", {})}})
    with PartialState().main_process_first():
        out.mkdir(parents=True, exist_ok=True)
    trainer = RLTrainer(
        model=load_model(recipe.model),
        args=build_grpo_config(recipe, Run(out)),
        reward_funcs=[by_answer],
        train_dataset=load_problems(recipe.data.train, recipe.prompt),
        processing_class=load_tokenizer(recipe.model),
        rollout_func=given,
        run=Run(out),
        savings=recipe.training.savings,
        resample=recipe.sampling.resample,
        reference_reset_steps=recipe.training.reference_reset_steps,
    )
    forward = trainer.completion_forward
    forward.pass_cost = CASE.get("call", forward.pass_cost)
    trainer.train()
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state = get_model_state_dict(trainer.model, options=options)
    if trainer.accelerator.is_main_process:
        import torch

        torch.save({name.removeprefix("module."): value for name, value in state.items()}, out / "weights.pt")
        (out / "world").write_text(f"{trainer.accelerator.num_processes} {trainer.accelerator.distributed_type}")


if __name__ == "__main__":
    for name, case in json.loads(sys.argv[2]).items():
        CASE = case
        main(Path(sys.argv[1]) / name)
