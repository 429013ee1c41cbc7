"""TRL's GRPOTrainer with what a run of days needs: rollouts kept, exact resume, faults left out.

Overridden, each small: the sampler (an order that resume keeps), `_calculate_rewards` (faults),
`_generate_and_score_completions` (rollouts are written down) and the checkpoint (the reference model). What is left out
of stock's work stands in r1kit.training.lean, groups that are sampled again in r1kit.training.resampling.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback
from trl import GRPOTrainer

from r1kit.data.writing.parquet import write_parquet
from r1kit.errors import UserError
from r1kit.recipe import RLRecipe
from r1kit.rewards.accuracy import take_timeout_count
from r1kit.rewards.eager import EagerJudge
from r1kit.runs.run import Run
from r1kit.training.checkpoints import CheckpointMixin
from r1kit.training.lean import LeanMixin
from r1kit.training.resampling import REWARD_GRAIN, ResamplingMixin
from r1kit.training.rollouts import rollout_rows
from r1kit.training.row_order import GroupSampler

REFERENCE = "reference.pt"
REFERENCE_ADAPTER = "ref"  # TRL's name for the adapter that is the reference, where there is one
BLIND = 10  # rollouts in a row without a single verdict that end a run


class ReplaceReference(TrainerCallback):
    """Every so many steps the policy's adapter becomes the reference's."""

    def __init__(self, trainer: "RLTrainer", steps: int):
        self.trainer, self.steps = trainer, steps

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step % self.steps == 0:
            self.trainer.replace_reference()


class RLTrainer(CheckpointMixin, LeanMixin, ResamplingMixin, GRPOTrainer):
    """GRPO as TRL does it, without what it does in vain."""

    def __init__(self, *args: Any, run: Run, recipe: RLRecipe, ahead: Sequence[EagerJudge] = (), **kwargs: Any):
        """`ahead`: rewards that are told of rows as they end."""
        super().__init__(*args, **kwargs)
        self.ahead = ahead
        plugin, steps = self.args.deepspeed_plugin, recipe.training.reference_reset_steps
        if steps and plugin is not None and plugin.zero_stage == 3:
            must = "a replaced reference model is lost on resume with ZeRO-3"
            raise UserError("training.reference_reset_steps", steps, must, "use FSDP 2, DDP or ZeRO-2")
        self.adapters = bool(steps and recipe.model.lora)
        if self.adapters:
            self.model.add_adapter(REFERENCE_ADAPTER, self.model.peft_config["default"])
            self.replace_reference()
            self.add_callback(ReplaceReference(self, steps))
        self.run = run
        self._blind = 0
        self.keep_checkpoints = recipe.training.keep_checkpoints
        self.set_savings(recipe.training.savings)
        self.resample = recipe.sampling.resample
        rows = self.args.per_device_train_batch_size * self.args.steps_per_generation
        if self.resample and rows % self.num_generations:
            must = f"a process samples {rows} completions, which are no whole groups of {self.num_generations}"
            raise UserError("sampling.resample", self.resample, must, "use fewer processes, or a larger batch_size")

    def _get_train_sampler(self, dataset: Any = None) -> GroupSampler:
        return GroupSampler(
            data_source=self.train_dataset if dataset is None else dataset,
            mini_repeat_count=self.num_generations,
            batch_size=self.args.generation_batch_size // self.num_generations,
            repeat_count=self.num_iterations * self.args.steps_per_generation,
            shuffle=self.shuffle_dataset,
            seed=self.args.seed,
            epoch=lambda: int(self.state.epoch or 0),
        )

    def set_max_tokens(self, tokens: int) -> None:
        """Let completions be up to `tokens` long from the next generation on."""
        self.max_completion_length = tokens
        if self.use_vllm:
            self.vllm_generation.max_completion_length = tokens
        else:
            self.generation_config.max_new_tokens = tokens
            self.generation_kwargs["max_new_tokens"] = tokens

    def _row_ended(self, row: int, ids: list[int]) -> None:
        other = ("prompt", "completion", "completion_ids")  # which TRL keeps from rewards as well
        columns = {name: value for name, value in self._asked[row].items() if name not in other}
        prompt, text = self._asked[row]["prompt"], self.processing_class.decode(ids, skip_special_tokens=True)
        completion = text if isinstance(prompt, str) else [{"role": "assistant", "content": text}]
        for reward in self.ahead:
            reward.begin(completion, trainer_state=self.state, prompts=prompt, **columns)

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> torch.Tensor:
        """Return (B*G, rewards); a row with a fault is all NaN, which TRL takes out of its group."""
        for column in ("id", "domain", "answer", "question"):
            if column in inputs[0]:
                texts = [None if row[column] is None else str(row[column]) for row in inputs]
                self._log_completion_extra(column, texts)
        rewards = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        metrics = self._metrics["train" if self.model.training else "eval"]
        faulty = torch.isinf(rewards).any(dim=1)
        metrics["faults"].append(faulty.sum().item())
        self._blind = self._blind + 1 if faulty.all() else 0
        if self._blind == BLIND:
            names = ", ".join(self.reward_func_names)
            must = f"no completion of {BLIND} rollouts had a verdict: there is nothing to learn from"
            raise UserError("rewards", names, must, "mend what is broken (see stderr), then run the same command again")
        for name, values in zip(self.reward_func_names, rewards.unbind(dim=1), strict=True):
            metrics[f"rewards/{name}/none"].append(torch.isnan(values).sum().item())
            metrics[f"rewards/{name}/faults"].append(torch.isinf(values).sum().item())
        timeouts = torch.tensor([take_timeout_count()], device=rewards.device)
        metrics["timeouts"].append(self.accelerator.gather(timeouts).sum().item())
        rewards = (rewards * REWARD_GRAIN).round() / REWARD_GRAIN
        return torch.where(faulty.unsqueeze(1), torch.nan, rewards)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        try:
            output = super()._generate_and_score_completions(inputs)
        except BaseException:
            for reward in self.ahead:
                reward.forget()
            raise
        if self.model.training:
            self._write_rollouts()
        return output

    def _generate(self, prompts: list[Any]) -> tuple:
        output = super()._generate(prompts)
        self._said = output[1]
        return output

    def _write_rollouts(self) -> None:
        # Not by the mask, in which TRL has no token of completions that were cut and are masked for it.
        ended = [(len(ids), int(bool(ids) and ids[-1] in self.eos_token_ids)) for ids in self._said]
        lengths, finished = self.accelerator.gather(torch.tensor(ended, device=self.accelerator.device)).unbind(dim=1)
        if not self.accelerator.is_main_process:
            return
        step = self.state.global_step + 1
        weights = dict(zip(self.reward_func_names, self.reward_weights.tolist(), strict=True))
        rows = rollout_rows(self._logs, len(lengths), self.num_generations, step, weights)
        for row, tokens, done in zip(rows, lengths.tolist(), finished.tolist(), strict=True):
            row["tokens"], row["finish_reason"] = tokens, "stop" if done else "length"
        write_parquet(
            rows, self.run.path / "completions" / f"step-{step:08d}.parquet", [*self.reward_func_names, "reward"]
        )

    def _reference_weights(self) -> dict[str, torch.nn.Parameter]:
        """Return the weights of the reference adapter by name."""
        return {name: p for name, p in self.model.named_parameters() if f".{REFERENCE_ADAPTER}." in name}

    @torch.no_grad()
    def replace_reference(self) -> None:
        """Make the policy's adapter the reference's, which TRL takes for the reference where it is there."""
        policy = dict(self.model.named_parameters())
        for name, weight in self._reference_weights().items():
            weight.requires_grad = False
            weight.copy_(policy[name.replace(f".{REFERENCE_ADAPTER}.", ".default.")])

    def save_extra(self, checkpoint: Path) -> None:
        """Save the reference model where it is replaced during the run."""
        if self.adapters:
            whole = {
                n: w.full_tensor() if hasattr(w, "full_tensor") else w for n, w in self._reference_weights().items()
            }
            if self.args.should_save:
                torch.save({name: weight.detach().cpu() for name, weight in whole.items()}, checkpoint / REFERENCE)
        if not self.args.sync_ref_model:
            return
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        state = get_model_state_dict(self.ref_model, options=options)
        if self.args.should_save:
            torch.save(state, checkpoint / REFERENCE)

    def restore(self, checkpoint: Path) -> None:
        """Take up what TRL forgets: the place within the rollouts, and the replaced reference model."""
        step = int(checkpoint.name.rpartition("-")[2])
        self._step = step * self.args.gradient_accumulation_steps
        if self.adapters:
            state = torch.load(checkpoint / REFERENCE, weights_only=True)
            with torch.no_grad():
                for name, weight in self._reference_weights().items():
                    weight.copy_(state[name])
        if not self.args.sync_ref_model:
            return
        from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

        state = torch.load(checkpoint / REFERENCE, weights_only=True)
        set_model_state_dict(self.ref_model, state, options=StateDictOptions(full_state_dict=True))
