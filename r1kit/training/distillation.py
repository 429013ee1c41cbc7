"""On-policy distillation by TRL's DistillationTrainer, from a problem to a gradient; read it downwards.

The student answers problems itself, and at each token of its answers it is trained towards the teacher's probabilities
of the next token (arXiv 2306.13649). TRL does the algorithm: sampling, divergence, optimizer. r1kit changes what
surrounds it. With B completions of T tokens:

    problems              1  _get_train_sampler               rows of problems, in an order that a resumed run keeps
       |
    completions (B, T)    2  _tokenize_prompts                the prompt's ids, as `generate` and `eval` make them
       |                     _generate, _generate_single_turn r1kit's decoder: finished rows are dropped
       |
    rollouts on disk      3  _generate_and_score_completions  completions/step-N.parquet
       |
    loss                  4  _compute_loss                    rows in chunks of like length, without their padding;
       |                                                      within it, TRL's own divergence from the teacher
    checkpoint            5  restore                          the place within a step

Methods whose names begin with an underscore override TRL's; tests/test_contract.py lists what is relied on. `savings`
(training.savings of a recipe) names what stock TRL does in vain: `rollouts` in part 2, `trim` in part 4. With them the
gradient equals stock TRL's to 1e-5 (tests/test_distillation.py).
"""

from collections.abc import Collection
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from trl import DistillationTrainer

from r1kit.rows import Row
from r1kit.runs.run import Run
from r1kit.training import turns
from r1kit.training.checkpoints import CheckpointMixin, checkpoint_step
from r1kit.training.rollout_sampling import RolloutSampler
from r1kit.training.rollouts import LOGGED_COLUMNS, content_of, write_rollouts
from r1kit.training.row_order import GroupSampler
from r1kit.training.savings.architecture import (
    has_dropout,
    has_rotary_positions,
    needs_single_pass,
    positions_depend_on_width,
)
from r1kit.training.savings.chunks import chunk_ends, pass_cost_in_tokens
from r1kit.training.savings.obstacles import find_decoder_obstacle, keep_exact_savings

TEXT_INPUTS = {"prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "num_items_in_batch"}
"""What TRL's loss gets of a micro-batch that has only text, and no calls of tools."""


class OnPolicyTrainer(CheckpointMixin, DistillationTrainer):
    """TRL's DistillationTrainer with rollouts on disk, exact resume, and no work in vain."""

    model: Any  # transformers declares that it may be None, which it never is here

    def __init__(
        self,
        *args: Any,
        run: Run | None = None,
        savings: Collection[str] = (),
        keep_checkpoints: int = 2,
        **kwargs: Any,
    ):
        """Make a trainer; `args` and `kwargs` are DistillationTrainer's.

        `run` is where rollouts are written (None: nowhere), `savings` and `keep_checkpoints` are the recipe's.
        """
        super().__init__(*args, **kwargs)
        self.run = run
        self.keep_checkpoints = keep_checkpoints
        self.rollout_sampler = RolloutSampler()
        self.sampled_ids: tuple[list[list[int]], list[list[int]]] = (
            [],
            [],
        )  # of the last generation's prompts, answers
        self._switch_on(savings)

    def _switch_on(self, savings: Collection[str]) -> None:
        """Switch on the `savings` that leave the update as it is; say once which of them do not, and why."""
        obstacles = {"trim": self._find_trimming_obstacle(), "rollouts": self._find_sampling_obstacle()}
        self.savings = keep_exact_savings(self, {saving: obstacles[saving] for saving in savings})
        self._pass_cost = pass_cost_in_tokens(self.model)
        models = [model for model in (self.model, self.teacher_model) if model is not None]
        self._trims_left = all(has_rotary_positions(model) for model in models)

    def _find_trimming_obstacle(self) -> str:
        """Return why rows may not be cut and run apart; an empty text if they may."""
        if self._is_vlm:
            return "inputs are more than text"
        if has_dropout(self.model) or self.args.neftune_noise_alpha:
            return "dropout draws random numbers for whole batches"
        for model in (self.model, self.teacher_model):
            if model is not None and positions_depend_on_width(model):
                return "a model's positions depend on the width of a batch"
        return ""

    def _find_sampling_obstacle(self) -> str:
        """Return why r1kit's decoder cannot sample the student's answers; an empty text if it can."""
        if self._is_vlm:
            return "inputs are more than text"
        if self.use_vllm or self.tools:
            return "another engine samples"
        with turns.own_sampling_settings(self):
            return find_decoder_obstacle(self)

    # 1. Problems, in an order that a resumed run keeps.

    def _get_train_sampler(self, dataset: Any = None) -> GroupSampler:
        rows_per_device = self.args.per_device_train_batch_size * self.args.gradient_accumulation_steps
        return GroupSampler(
            data_source=self.train_dataset if dataset is None else dataset,
            mini_repeat_count=1,
            batch_size=rows_per_device * self.accelerator.num_processes,
            repeat_count=self.args.gradient_accumulation_steps,
            shuffle=self.shuffle_dataset,
            seed=self.args.seed,
            epoch=lambda: int(self.state.epoch or 0),
        )

    # 2. The student's answers.

    def _tokenize_prompts(self, prompts: list[Any]) -> tuple[list[list[int]], Any, dict[str, Any]]:
        if self._is_vlm or self.tools:
            return super()._tokenize_prompts(prompts)
        return turns.prompt_ids_as_sampled(self, prompts), None, {}

    def _generate(self, prompts: list[Any]) -> tuple:
        with turns.own_sampling_settings(self):
            output = super()._generate(prompts)
        self.sampled_ids = output[:2]
        return output

    def _generate_single_turn(
        self, prompt_ids: list[list[int]], images: Any, multimodal_fields: dict[str, Any], has_tool_images: bool = False
    ) -> list[list[int]]:
        if "rollouts" not in self.savings:
            return super()._generate_single_turn(prompt_ids, images, multimodal_fields, has_tool_images)
        completion_ids, _ = self.rollout_sampler.sample_on_all_ranks(self, prompt_ids, on_row_end=lambda row, ids: None)
        return completion_ids

    # 3. The whole of a generation, part 2 within; then its rollouts are written down.

    def _generate_and_score_completions(self, inputs: list[Row]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        if self.run is not None and self.model.training:
            self._write_rollouts(inputs, self.run)
        return output

    def _write_rollouts(self, problems: list[Row], run: Run) -> None:
        rollouts = []
        for problem, prompt_ids, ids in zip(problems, *self.sampled_ids, strict=True):
            completion = content_of(turns.read_completion(self, problem["prompt"], prompt_ids, ids))
            columns = {name: problem[name] for name in LOGGED_COLUMNS if problem.get(name) is not None}
            row = {"prompt": content_of(problem["prompt"]), "completion": completion, **columns}
            rollouts.append((row, len(ids), ids[-1] in self.eos_token_ids))
        rollouts_of_all_ranks = gather_object(rollouts)
        if not self.accelerator.is_main_process:
            return
        rows, token_counts, is_finished = zip(*rollouts_of_all_ranks, strict=True)
        step = self.state.global_step + 1
        numbered_rows = [{"step": step, "group": number, **row} for number, row in enumerate(rows)]
        write_rollouts(numbered_rows, list(token_counts), list(is_finished), [], run.path)

    # 4. The loss is TRL's own; padding is not run for it.

    def _compute_loss(
        self, unwrapped_student: Any, inputs: dict[str, Any], num_items_in_batch: Any
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the loss, the sum of the student's entropies and the number of tokens of a micro-batch.

        All three are sums over rows, the loss divided by the tokens of the whole batch, so that they can be added up
        over chunks of rows. In an evaluation the loss is a mean, and its rows are run as stock TRL runs them. All
        chunks are run within one forward pass of the wrapper of FSDP or DDP, so that ranks need not agree on them.
        """
        stock_loss = super()._compute_loss
        if "trim" not in self.savings or num_items_in_batch is None or not inputs.keys() <= TEXT_INPUTS:
            return stock_loss(unwrapped_student, inputs, num_items_in_batch)
        lengths, order = inputs["completion_mask"].sum(dim=1).sort(descending=True, stable=True)
        ends = [len(order)]
        if not needs_single_pass(self):
            prompt_width = inputs["prompt_ids"].size(1)
            ends = chunk_ends(lengths.clamp(min=1).tolist(), prompt_width, len(order), self._pass_cost)
        chunk_losses = []
        for start, end in pairwise([0, *ends]):
            chunk = self._cut_rows(inputs, order[start:end])
            chunk_losses.append(stock_loss(unwrapped_student, chunk, num_items_in_batch))
        losses, entropies, token_counts = zip(*chunk_losses, strict=True)
        return torch.stack(losses).sum(), torch.stack(entropies).sum(), torch.stack(token_counts).sum()

    def _cut_rows(self, inputs: dict[str, Any], rows: torch.Tensor) -> dict[str, Any]:
        """Return some rows of a micro-batch, without the columns that are padding in all of them."""
        prompt_columns = inputs["prompt_mask"][rows].any(dim=0).nonzero()
        first_column = int(prompt_columns[0]) if self._trims_left and len(prompt_columns) else 0
        width = max(1, int(inputs["completion_mask"][rows].sum(dim=1).max()))
        return {
            "prompt_ids": inputs["prompt_ids"][rows, first_column:],
            "prompt_mask": inputs["prompt_mask"][rows, first_column:],
            "completion_ids": inputs["completion_ids"][rows, :width],
            "completion_mask": inputs["completion_mask"][rows, :width],
        }

    # 5. Checkpoints: what TRL forgets.

    def restore(self, checkpoint: Path) -> None:
        """Resume from a checkpoint: TRL counts micro-batches in `training_step`, and starts from 0 after a resume."""
        self._step = checkpoint_step(checkpoint) * self.args.gradient_accumulation_steps
