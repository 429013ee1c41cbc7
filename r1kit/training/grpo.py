"""GRPO, from a problem to a gradient. Read this file downwards: its methods stand in the order in which data flows.

TRL's GRPOTrainer does the algorithm (advantages, loss, optimizer); r1kit changes what surrounds it. On one process,
with B completions of T tokens, G of them a prompt, and R rewards:

    problems              1  _get_train_sampler                   rows of prompts, each prompt G times in a row
       |
    completions (B, T)    2  _tokenize_prompts                    the prompt's ids, as `generate` and `eval` make them
       |                     sample_rollouts                      r1kit's decoder: one prefill a prompt; a row that ends
       |                                                          is judged while the others are still sampled
       |                  3  _generate                            groups without a signal get another problem
       |                  4  _get_per_token_logps_and_entropies   old and reference log-probabilities, no gradient
    rewards (B, R)        5  _calculate_rewards                   a row with a fault leaves its group
       |
    advantages (B,)          (TRL)                                reward minus the group's mean, over its deviation
       |
    rollouts on disk      6  _generate_and_score_completions      completions/step-N.parquet
       |
    micro-batches         7  _prepare_inputs                      rows of like length together
       |
    log-probs (B, T)      8  _compute_loss, then again            only the rows that have a gradient are run, in chunks
       |                     _get_per_token_logps_and_entropies   as wide as their longest row
    loss                     (TRL)                                its own formula, on the shapes that it expects
       |
    checkpoint            9  save_extra, restore                  the reference model, the place within a rollout

For each micro-batch TRL calls part 7, `_prepare_inputs`. Once in a generation (every `steps_per_generation`
micro-batches) that calls part 6, within which TRL calls part 3, which calls part 2, then part 4, then part 5, and
computes the advantages: a row whose rewards are all NaN leaves its group's mean and gets an advantage of 0. After
part 7 it calls part 8.

Methods whose names begin with an underscore override TRL's; tests/test_contract.py lists what is relied on and fails
when TRL changes it. `savings` (training.savings of a recipe) names what stock TRL does in vain and is left out: `trim`,
`skip` and `share` in part 8, `regroup` in part 7, `rollouts` in part 2; with none, the update is stock TRL's to the
last bit. With them the gradient equals stock TRL's to 1e-5 (tests/test_grpo.py).

Departures from stock TRL: the metric `entropy` is that of the rows that were run; clip ratios and KL are means over
each micro-batch's tokens and then over micro-batches, so that they move a little with regrouping; in `phi_seq_mean` of
the loss `vespo`, rows that are not run count as 1.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from trl import GRPOConfig, GRPOTrainer

from r1kit.answers.extract import completion_text
from r1kit.errors import UNSET, UserError
from r1kit.languages.reflection import count_reflection_words
from r1kit.rewards.eager import EagerJudge
from r1kit.rows import Row
from r1kit.runs.run import Run
from r1kit.tools.watch import ToolFault, ToolWatch
from r1kit.training import reference, resampling, tool_calls, turns
from r1kit.training.checkpoints import CheckpointMixin, checkpoint_step
from r1kit.training.fault_counts import FaultCounter
from r1kit.training.rollout_sampling import RolloutSampler, are_logprobs_exact, pad_logprobs
from r1kit.training.rollouts import LOGGED_COLUMNS, write_generation
from r1kit.training.row_order import GroupSampler
from r1kit.training.savings.completion_forward import CompletionForward, CompletionRows
from r1kit.training.savings.obstacles import find_obstacle, keep_exact_savings
from r1kit.training.savings.regroup import MicroBatch, cheapest_order, deal_rows, rows_with_gradient

if TYPE_CHECKING:
    from datasets import Dataset

# Columns that TRL does not hand to rewards, or hands to them under another name.
_NOT_FOR_REWARDS = ("prompt", "completion", "completion_ids")


@dataclass
class GenerationState:
    """What one generation carries from one of the calls below to the next. A new one begins with each generation."""

    rows: list[Row]  # the problems of this process, one for each completion
    rows_in_sampling: list[Row] = field(default_factory=list)  # those whose completions are sampled at the moment
    prompts_in_sampling: list[tuple[Any, list[int]]] = field(default_factory=list)  # their prompts, with the ids
    completion_ids: list[list[int]] = field(default_factory=list)
    tool_mask: list[list[int]] | None = None  # 0 for tokens that a tool returned; None without tools
    tool_watch: ToolWatch | None = None
    sampling_logprobs: list[list[float]] | None = None  # taken as the old log-probabilities, where they are exact
    known_rewards: torch.Tensor | None = None  # (B of all processes, R), if they were computed to replace groups


@dataclass
class MicroBatchState:
    """What the loss of one micro-batch tells the forward pass below it."""

    has_gradient: torch.Tensor  # (B,), bool: which rows are run
    old_logprobs: torch.Tensor | None  # (B, T), carried by the others


class RLTrainer(CheckpointMixin, GRPOTrainer):
    """TRL's GRPOTrainer with rollouts on disk, exact resume, faults left out, and no work in vain."""

    # TRL declares these as optional; they are set in every trainer.
    args: GRPOConfig
    model: PreTrainedModel
    processing_class: PreTrainedTokenizerBase
    train_dataset: "Dataset"
    num_generations: int
    _buffered_inputs: list[MicroBatch] | None  # type: ignore[assignment]

    def __init__(
        self,
        *args: Any,
        run: Run | None = None,
        savings: Collection[str] = (),
        resample: int = 0,
        reference_reset_steps: int | None = None,
        keep_checkpoints: int = 2,
        eager_judges: Sequence[EagerJudge] = (),
        **kwargs: Any,
    ):
        """Make a trainer; `args` and `kwargs` are GRPOTrainer's.

        `run` is where rollouts are written (None: nowhere), `savings`, `resample`, `reference_reset_steps` and
        `keep_checkpoints` are the recipe's, `eager_judges` the rewards that hear of rows as they end.
        """
        super().__init__(*args, **kwargs)
        self.run = run
        self.resample = resample
        self.keep_checkpoints = keep_checkpoints
        self.eager_judges = eager_judges
        self.generation = GenerationState(rows=[])
        self.micro_batch: MicroBatchState | None = None
        self.rollout_sampler = RolloutSampler()
        self.fault_counter = FaultCounter()
        self.has_reference_adapter = reference.set_up_reference(self, reference_reset_steps)
        resampling.check_whole_groups(self)
        self._switch_on(savings)

    def _switch_on(self, savings: Collection[str]) -> None:
        """Switch on the `savings` that leave the update as it is; say once which of them do not, and why."""
        with turns.own_sampling_settings(self):
            obstacles = {saving: find_obstacle(self, saving) for saving in savings}
        self.savings = keep_exact_savings(self, obstacles)
        self.completion_forward = CompletionForward(self, self.savings)
        if "rollouts" in self.savings:
            self.rollout_func = self.sample_rollouts

    # 1. Problems: each prompt group_size times in a row, in an order that a resumed run keeps.

    def _get_train_sampler(self, dataset: Any = None) -> GroupSampler:
        # TRL's config fills these in when it is made.
        assert self.args.generation_batch_size is not None
        assert self.args.steps_per_generation is not None
        return GroupSampler(
            data_source=self.train_dataset if dataset is None else dataset,
            mini_repeat_count=self.num_generations,
            batch_size=self.args.generation_batch_size // self.num_generations,
            repeat_count=self.num_iterations * self.args.steps_per_generation,
            shuffle=self.shuffle_dataset,
            seed=self.args.seed,
            epoch=lambda: int(self.state.epoch or 0),
        )

    # 2. Prompts to ids, and completions: TRL calls `sample_rollouts` for `rollout_func`, in place of its own sampling.

    def _tokenize_prompts(self, prompts: list[Any]) -> tuple[list[list[int]], None, dict[str, Any]]:
        if turns.needs_trl_rendering(self):
            return super()._tokenize_prompts(prompts)
        return turns.prompt_ids_as_sampled(self, prompts), None, {}

    def sample_rollouts(self, prompts: list[Any], trainer: Any) -> dict[str, Any]:
        """Return a completion for each prompt: lists of `prompt_ids`, `completion_ids` and the ids' `logprobs`."""
        prompt_ids, _, _ = self._tokenize_prompts(prompts)
        self.generation.prompts_in_sampling = list(zip(prompts, prompt_ids, strict=True))
        completion_ids, logprobs = self.rollout_sampler.sample_on_all_ranks(self, prompt_ids, self.judge_finished_row)
        return {"prompt_ids": prompt_ids, "completion_ids": completion_ids, "logprobs": logprobs}

    def judge_finished_row(self, row_index: int, completion_ids: list[int]) -> None:
        """Begin to judge a completion while the others are still sampled."""
        if not self.eager_judges:
            return
        row = self.generation.rows_in_sampling[row_index]
        columns = {name: value for name, value in row.items() if name not in _NOT_FOR_REWARDS}
        prompt, prompt_ids = self.generation.prompts_in_sampling[row_index]
        completion = turns.read_completion(self, prompt, prompt_ids, completion_ids)
        for judge in self.eager_judges:
            judge.begin(completion, trainer_state=self.state, prompts=row["prompt"], **columns)

    def set_max_tokens(self, tokens: int) -> None:
        """Let completions have up to `tokens` tokens from the next generation on."""
        self.max_completion_length = tokens
        if self.use_vllm:
            self.vllm_generation.max_completion_length = tokens
        else:
            self.generation_config.max_new_tokens = tokens
            self.generation_kwargs["max_new_tokens"] = tokens

    # 3. Groups whose rewards are all equal get another problem (sampling.resample).

    def _generate(self, prompts: list[Any]) -> tuple:
        self.generation.rows_in_sampling = self.generation.rows
        output = self.generate_turns(prompts)
        if self.resample and self.model.training:
            output, self.generation.known_rewards = resampling.replace_groups(self, prompts, output)
        prompt_ids, completion_ids, tool_mask, completions, logprobs, *others = output
        self.generation.completion_ids = completion_ids
        self.generation.tool_mask = tool_mask
        if "rollouts" in self.savings:
            # To TRL, log-probabilities of a sampling are those of another engine, which it corrects for.
            self.generation.sampling_logprobs = logprobs if are_logprobs_exact(self) else None
            logprobs = None
        return (prompt_ids, completion_ids, tool_mask, completions, logprobs, *others)

    def generate_turns(self, prompts: list[Any]) -> tuple:
        """Return what TRL's `_generate` returns, with the completions as `generate` and `eval` read them."""
        self.generation.tool_watch = tool_calls.watch_calls(self)
        with turns.own_sampling_settings(self):
            output = super()._generate(prompts)
        if turns.needs_trl_rendering(self):
            return output
        prompt_ids, completion_ids, tool_mask, _, *others = output
        completions = []
        for prompt, ids_of_prompt, ids in zip(prompts, prompt_ids, completion_ids, strict=True):
            completions.append(turns.read_completion(self, prompt, ids_of_prompt, ids))
        return (prompt_ids, completion_ids, tool_mask, completions, *others)

    def stock_rewards(
        self, rows: list[Row], prompts: list[Any], completions: list[Any], completion_ids: list[Any]
    ) -> torch.Tensor:
        """Return TRL's rewards, (B of all processes, R): NaN where one does not apply, infinite for a fault."""
        return super()._calculate_rewards(rows, prompts, completions, completion_ids)

    # 4 and 8. Log-probabilities: without a gradient for the old policy and the reference, with one for the loss.

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **multimodal: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        stock_forward = super()._get_per_token_logps_and_entropies
        is_multimodal = any(value is not None and value is not False for value in multimodal.values())
        if not self.savings or not self.model.training or is_multimodal:
            return stock_forward(
                model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy, **multimodal
            )
        is_old_policy = model is self.model and not torch.is_grad_enabled() and not compute_entropy
        if self.generation.sampling_logprobs is not None and is_old_policy:
            old_logprobs = pad_logprobs(self.generation.sampling_logprobs, logits_to_keep, input_ids.device)
            self.generation.sampling_logprobs = None
            return old_logprobs, None, None
        row_count = len(input_ids)
        if self.micro_batch is None:
            # In part 4 all rows are run, in part 8 those that have a gradient.
            micro_batch = MicroBatchState(torch.ones(row_count, dtype=torch.bool, device=input_ids.device), None)
        else:
            micro_batch = self.micro_batch
        logprobs, entropies = self.completion_forward(
            stock_forward,
            model,
            CompletionRows(input_ids, attention_mask, logits_to_keep),
            micro_batch.has_gradient,
            micro_batch.old_logprobs,
            max_rows=batch_size or row_count,
            compute_entropy=compute_entropy,
        )
        return logprobs, entropies, None

    # 5. Rewards: (B of all processes, R). NaN where a reward does not apply.

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> torch.Tensor:
        """Return the rewards; a row with a fault is all NaN, which takes it out of its group in TRL."""
        for column in LOGGED_COLUMNS:
            if column in inputs[0]:
                values = [row[column] if row[column] is None else str(row[column]) for row in inputs]
                self._log_completion_extra(column, values)
        self._log_reflection_words(completions)
        if self.generation.known_rewards is not None:
            rewards = self.generation.known_rewards
        else:
            rewards = self.stock_rewards(inputs, prompts, completions, completion_ids_list)
        has_fault = torch.isinf(rewards).any(dim=1)
        if self.tools:
            has_tool_fault = tool_calls.rows_with_fault(self.generation.tool_watch, rewards)
            self._metrics["train" if self.model.training else "eval"]["tools/faults"].append(
                has_tool_fault.sum().item()
            )
            has_fault |= has_tool_fault
        self.fault_counter.log_faults(self, rewards, has_fault)
        return torch.where(has_fault.unsqueeze(1), torch.nan, resampling.round_rewards(rewards))

    def _log_reflection_words(self, completions: Sequence[Any]) -> None:
        counts = [count_reflection_words(completion_text(completion)) for completion in completions]
        all_counts = self.accelerator.gather(torch.tensor(counts, dtype=torch.float32, device=self.accelerator.device))
        metrics = self._metrics["train" if self.model.training else "eval"]
        metrics["completions/reflection_words"].append(all_counts.mean().item())

    # 6. The whole of a generation, parts 2 to 5 within; then its rollouts are written down.

    def _generate_and_score_completions(self, inputs: list[Row]) -> dict[str, Any]:
        self.generation = GenerationState(rows=inputs)
        try:
            output = super()._generate_and_score_completions(inputs)
        except BaseException as error:
            for judge in self.eager_judges:
                judge.forget()
            if isinstance(error, ToolFault):  # those of tools are counted in part 5
                requirement = f"reset or get_reward could not work: {error}"
                action = "repair it, then run the same command again"
                raise UserError("environment", UNSET, requirement, action) from None
            raise
        if self.run is not None and self.model.training:
            write_generation(self, self.generation.completion_ids, self.generation.tool_mask, self.run)
        return output

    # 7. Micro-batches: rows of like length together, rows without a gradient last.

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        previous = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)
        micro_batches = self._buffered_inputs
        if "regroup" not in self.savings or not self.model.training or micro_batches is None:
            return inputs
        if micro_batches is not previous:  # a new generation
            micro_batches = deal_rows(micro_batches, self.args.gradient_accumulation_steps, self._row_order)
            self._buffered_inputs = micro_batches
        return micro_batches[self._step % len(micro_batches)]

    def _row_order(self, batch: MicroBatch, sizes: Sequence[int]) -> torch.Tensor:
        has_gradient = rows_with_gradient(batch, skips="skip" in self.savings)
        return cheapest_order(batch, sizes, has_gradient, self.completion_forward.pass_cost, "share" in self.savings)

    # 8. The loss is TRL's own; rows without a gradient are not run for it.

    def _compute_loss(self, model: Any, inputs: MicroBatch) -> torch.Tensor:
        if not self.savings or not self.model.training:
            return super()._compute_loss(model, inputs)
        self.micro_batch = MicroBatchState(
            rows_with_gradient(inputs, skips="skip" in self.savings), inputs.get("old_per_token_logps")
        )
        self.completion_forward.ran_nothing = False
        try:
            loss = super()._compute_loss(model, inputs)
        finally:
            self.micro_batch = None
        if self.completion_forward.ran_nothing:
            # Other micro-batches say what the entropy is: TRL leaves NaN out of the mean that it logs.
            self._metrics["train"]["entropy"][-1] = math.nan
        return loss

    # 9. Checkpoints: what TRL forgets.

    def save_extra(self, checkpoint: Path) -> None:
        """Save the reference model, where the policy replaces it during the run."""
        if self.has_reference_adapter:
            reference.save_reference_adapter(self.model, checkpoint, self.args.should_save)
        if self.args.sync_ref_model:
            reference.save_reference_model(self.ref_model, checkpoint, self.args.should_save)

    def restore(self, checkpoint: Path) -> None:
        """Resume from a checkpoint: the place within the rollouts, and the reference model of that moment.

        TRL counts micro-batches in `training_step`, and starts from 0 after a resume.
        """
        self._step = checkpoint_step(checkpoint) * self.args.gradient_accumulation_steps
        if self.has_reference_adapter:
            reference.load_reference_adapter(self.model, checkpoint)
        if self.args.sync_ref_model:
            reference.load_reference_model(self.ref_model, checkpoint)
