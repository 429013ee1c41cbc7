"""The log-probabilities of completions, by running the model only on what matters.

Stock TRL 1.16 runs the model on every row of a micro-batch, at the width of the longest completion of the whole
generation (huggingface/trl#7179), also on rows that have no gradient. Here

1. rows without a gradient are not run (*skip*),
2. the others are sorted by length and cut into chunks, each as wide as its own longest row (*trim*), or, with flash
   attention, packed into one row without padding,
3. each different prompt is run once, and its completions attend to its keys and values (*share*),
4. what comes out is put into the shape that TRL's loss expects: rows that were not run carry their old
   log-probabilities (a ratio of 1) and no gradient.

So TRL's own loss is computed with its own denominators, for every loss type, and each rank makes as many calls and
backward passes as before.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import pad

from r1kit.models.cache import cache_argument
from r1kit.models.shared_prefix import SharedPrompts
from r1kit.training.savings.architecture import has_only_attention, has_rotary_positions, needs_single_pass
from r1kit.training.savings.chunks import chunk_ends, longest_on_any_rank, pass_cost_in_tokens
from r1kit.training.savings.full_logits import fits_full_logits, with_full_logits
from r1kit.training.savings.obstacles import base_model
from r1kit.training.savings.packing import with_packed_rows


@dataclass(frozen=True)
class CompletionRows:
    """Padded prompts and completions, as TRL hands them to its forward pass.

    A prompt of up to P tokens is padded on the left, its completion of up to T tokens on the right.
    """

    input_ids: torch.Tensor  # (B, P + T)
    attention_mask: torch.Tensor  # (B, P + T)
    completion_width: int  # T

    @property
    def prompt_width(self) -> int:
        """P, the width of the prompts."""
        return self.input_ids.size(1) - self.completion_width


@dataclass(frozen=True)
class _Plan:
    """How the rows of one call are run, the same on all ranks."""

    order: torch.Tensor  # (B,) rows by falling length; those that are not run come last
    run_count: int  # how many rows this rank runs: the first of `order`
    chunk_ends: list[int]  # places in `order` at which each chunk ends
    shared_prompts: SharedPrompts | None  # set where prompts are run once


class CompletionForward:
    """Runs a trainer's forward pass in chunks; see the top of this file."""

    def __init__(self, trainer: Any, savings: frozenset[str]):
        model = base_model(trainer.model)
        self.trainer = trainer
        self.trims = "trim" in savings
        self.shares_prompts = "share" in savings
        self.pass_cost = pass_cost_in_tokens(trainer.model)
        self.trims_left = self.trims and has_rotary_positions(trainer.model)
        uses_flash_attention = "flash" in (model.config._attn_implementation or "")
        self.packs_rows = uses_flash_attention and self.trims_left and has_only_attention(model)
        # Whether the last call ran no row on any rank, and the mean entropy of the last call that ran some.
        self.ran_nothing = False
        self.last_entropy = 0.0

    def __call__(
        self,
        stock_forward: Callable[..., Any],
        model: Any,
        rows: CompletionRows,
        has_gradient: torch.Tensor,
        old_logprobs: torch.Tensor | None,
        max_rows: int,
        compute_entropy: bool,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the completions' log-probabilities (B, T) and, if asked for, their entropies (B, T).

        `stock_forward` is TRL's `_get_per_token_logps_and_entropies`, which runs each chunk. `has_gradient`, (B,) and
        bool, says which rows are run; the others get `old_logprobs`, (B, T), or 0. A chunk has at most `max_rows` rows.
        """
        plan = self._plan(rows, has_gradient, max_rows)
        self.ran_nothing = not plan.chunk_ends
        if plan.shared_prompts is not None:
            with self.trainer.accelerator.autocast():
                plan.shared_prompts.compute_states(model)
        logprobs, entropies = [], []
        zero_gradient: torch.Tensor | float = 0.0
        start = 0
        for chunk_end in plan.chunk_ends or [0]:
            end = min(chunk_end, plan.run_count)
            if end > start:
                forward_model, ids, mask, width = self._prepare_chunk(model, rows, plan, start, end, compute_entropy)
            else:
                # Other ranks have rows for this call, and all ranks must make it: two tokens without a gradient.
                forward_model, width = model, 1
                ids, mask = rows.input_ids[:1, -2:], torch.ones_like(rows.attention_mask[:1, -2:])
            chunk_logprobs, chunk_entropies, _ = stock_forward(
                forward_model, ids, mask, width, compute_entropy=compute_entropy
            )
            if end > start:
                logprobs.append(_widen(chunk_logprobs, rows.completion_width))
                if compute_entropy:
                    entropies.append(_widen(chunk_entropies, rows.completion_width))
            else:
                zero_gradient = zero_gradient + (chunk_logprobs * 0.0).sum()
            start = end
        if old_logprobs is None:
            old_logprobs = chunk_logprobs.new_zeros(rows.input_ids.size(0), rows.completion_width)
        all_logprobs = self._restore_rows(plan, logprobs, old_logprobs.to(chunk_logprobs)) + zero_gradient
        if not compute_entropy:
            return all_logprobs, None
        if entropies:
            run_mask = rows.attention_mask[plan.order[: plan.run_count], rows.prompt_width :]
            total_entropy = (torch.cat(entropies).detach() * run_mask).sum()
            self.last_entropy = (total_entropy / run_mask.sum().clamp(min=1)).item()
        return all_logprobs, self._restore_rows(plan, entropies, torch.full_like(old_logprobs, self.last_entropy))

    def _plan(self, rows: CompletionRows, has_gradient: torch.Tensor, max_rows: int) -> _Plan:
        """Decide, with all ranks, in which order and chunks the rows are run and whether prompts are shared."""
        prompt_width = rows.prompt_width
        lengths = rows.attention_mask[:, prompt_width:].sum(dim=1)
        if not self.trims:
            lengths = torch.full_like(lengths, rows.completion_width)
        lengths = torch.where(has_gradient, lengths.clamp(min=1), 0)
        order = torch.argsort(lengths, descending=True, stable=True)
        run_count = int(has_gradient.sum())
        prompts = self._shared_prompts(rows, order[: max(1, run_count)])

        # The greatest of all ranks' lengths; of prompts the greatest width and count, and the least shared width.
        sizes = lengths.new_tensor([prompt_width, len(prompts), -prompts.width])
        agreed = longest_on_any_rank(torch.cat([lengths[order], sizes]), self.trainer.accelerator.num_processes)
        *agreed_lengths, widest_prompt, prompt_count, negative_shared_width = agreed.tolist()
        agreed_count = sum(length > 0 for length in agreed_lengths)

        # All prompts are run in one pass, which may have as many tokens as the widest chunk.
        saved_tokens = (agreed_count - prompt_count) * -negative_shared_width
        prompts_fit = prompt_count * widest_prompt <= max_rows * (widest_prompt + agreed_lengths[0])
        shares_prompts = self.shares_prompts and saved_tokens > self.pass_cost and prompts_fit

        if self.trims and not self.packs_rows:  # packed rows need no chunks of like length
            ends = chunk_ends(agreed_lengths, 1 if shares_prompts else widest_prompt, max_rows, self.pass_cost)
        else:
            ends = [min(end, agreed_count) for end in range(max_rows, agreed_count + max_rows, max_rows)]
        if torch.is_grad_enabled() and needs_single_pass(self.trainer):
            ends = ends[-1:]
        return _Plan(order, run_count, ends, prompts if shares_prompts else None)

    def _shared_prompts(self, rows: CompletionRows, run_rows: torch.Tensor) -> SharedPrompts:
        """Return the different prompts of the rows that are run, without the padding that all of them have."""
        prompt_width = rows.prompt_width
        ids, mask = rows.input_ids[run_rows, :prompt_width], rows.attention_mask[run_rows, :prompt_width]
        first_column = 0
        if self.trims_left:
            first_column = min(int(mask.any(dim=0).nonzero()[0]), prompt_width - 1)
        argument = cache_argument(type(base_model(self.trainer.model)))
        return SharedPrompts(ids[:, first_column:], mask[:, first_column:], argument)

    def _prepare_chunk(
        self, model: Any, rows: CompletionRows, plan: _Plan, start: int, end: int, compute_entropy: bool
    ) -> tuple[Any, torch.Tensor, torch.Tensor, int]:
        """Return the model to call for rows `start` to `end` of the plan, their ids and mask, and their width T."""
        chunk_rows = plan.order[start:end]
        ids, mask, width = self._trim_columns(rows, chunk_rows)
        if plan.shared_prompts is not None:  # the prompt's last token goes with the completion
            ids, mask = ids[:, -width - 1 :], mask[:, -width - 1 :]
        forward_model = model
        if self.packs_rows:
            forward_model = with_packed_rows(model)
        elif self._runs_full_logits(ids):
            forward_model = with_full_logits(model, self.trainer.temperature, ["entropy"] if compute_entropy else [])
        if plan.shared_prompts is not None:
            forward_model = plan.shared_prompts.model_after_prompts(forward_model, start, end)
        return forward_model, ids, mask, width

    def _trim_columns(self, rows: CompletionRows, chunk_rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Return the ids and mask of some rows without the columns that are padding in all of them, and their T."""
        ids, mask = rows.input_ids[chunk_rows], rows.attention_mask[chunk_rows]
        prompt_width = rows.prompt_width
        first_column, last_column = 0, ids.size(1)
        if self.trims:
            columns = mask.any(dim=0).nonzero()
            last_column = max(int(columns[-1]) + 1, prompt_width + 1)
            if self.trims_left:
                first_column = min(int(columns[0]), prompt_width - 1)
        trimmed = slice(first_column, last_column)
        return ids[:, trimmed], mask[:, trimmed], last_column - prompt_width

    def _runs_full_logits(self, ids: torch.Tensor) -> bool:
        """Return whether TRL's fused head, which saves memory and costs time, is replaced by all logits at once."""
        if not self.trims or self.trainer.args.cast_lm_head_to_fp32:
            return False
        return fits_full_logits(self.trainer.model, ids.numel())

    def _restore_rows(self, plan: _Plan, chunks: list[torch.Tensor], others: torch.Tensor) -> torch.Tensor:
        """Return (B, T): the chunks' values in the original order, and those of `others` for rows that were not run."""
        not_run = others[plan.order[plan.run_count :]]
        return torch.cat([*chunks, not_run])[torch.argsort(plan.order)]


def _widen(values: torch.Tensor, width: int) -> torch.Tensor:
    """Return `values`, (B, t), with zeros to the right up to (B, width)."""
    return pad(values, (0, width - values.size(1)))
