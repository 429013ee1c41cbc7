"""The same update for less work: GRPO without the padding, the rows that teach nothing, and decoding in vain.

Stock TRL 1.16 runs the model on every row of a micro-batch at the width of the whole generation's longest completion
(huggingface/trl#7179), also on rows whose advantage is 0. Here the model runs on the rows that have a gradient alone,
in chunks of like length, each as wide as its own longest row. What comes back is put into stock's shape: rows that were
left out carry the old log-probabilities (ratio 1) and no gradient. So TRL's own loss is computed on what it expects,
with its own denominators, for every loss type, and each rank makes as many calls and backward passes as before.

- *trim*: chunks of like length, cut to their own columns, in the training pass and for old and reference
  log-probabilities. With flash attention no padding at all: a micro-batch is one row (savings/packing.py). On a CPU
  and with a small vocabulary TRL's head, which saves memory there is enough of, is left out (savings/full_logits.py).
- *regroup*: within an accumulation window the rows are sorted, by length or group by group, before they are dealt into
  micro-batches. Not where the loss is a mean over a micro-batch's tokens (`bnpo`, entropy terms).
- *skip*: rows of advantage 0, and rows that are masked as truncated, are left out. Not with a KL term or entropy terms,
  for which every row counts.
- *share*: the prompt of a group is run once for all its completions, which attend to its keys and values. Attention by
  sdpa or eager, without gradient checkpointing.
- *rollouts*: the engine `transformers` samples by r1kit.models.decode: the same distribution, other draws than
  `generate` makes of the same seed. Where old log-probabilities are needed (several updates a rollout), those of the
  sampling are taken, if they are exact: in float32, without top_p, top_k and min_p. Rows that end are judged while the
  others are sampled (r1kit.rewards.eager).

Where dropout or a router's loss makes rows depend on each other, or inputs are more than text, all is as in stock.

Departures: the metric `entropy` is that of the rows trained, since the others are not run. TRL's clip ratios and KL are
means over each micro-batch's tokens, then over micro-batches, so that they move a little with regrouping; in vespo's
`phi_seq_mean` rows that are left out count as 1.
"""

import math
import sys
from collections.abc import Sequence
from typing import Any

import torch
from trl.extras.profiling import profiling_context
from trl.models import unwrap_model_for_generation

from r1kit.models.cache import cache_argument, extra_state
from r1kit.models.decode import sample_completions, why_generate_is_needed
from r1kit.models.shared_prefix import SharedPrompts
from r1kit.training.savings.architecture import (
    has_dropout,
    has_only_attention,
    needs_single_pass,
    positions_depend_on_width,
)
from r1kit.training.savings.chunks import chunk_ends, longest_on_any_rank, padded_cost, pass_cost_in_tokens
from r1kit.training.savings.full_logits import fits_full_logits, with_full_logits
from r1kit.training.savings.packing import with_packed_rows


class LeanMixin:
    """Over TRL's GRPOTrainer. Overrides `_prepare_inputs`, `_compute_loss`, `_get_per_token_logps_and_entropies`,
    `_generate` and `_generate_single_turn`."""

    savings: frozenset[str] = frozenset()

    def set_savings(self, wanted: Sequence[str]) -> None:
        """Save what is wanted and can be; say once what cannot be and why."""
        left = {name: why for name in wanted if (why := self._why_not(name))}
        self.savings = frozenset(wanted) - left.keys()
        self._live: torch.Tensor | None = None
        self._old: torch.Tensor | None = None
        self._last_entropy = 0.0
        self._at_once, self._idle = 10**9, False
        self._call = pass_cost_in_tokens(self.model)
        flash = "flash" in (self._base_model().config._attn_implementation or "")
        self.packs = (
            flash and "trim" in self.savings and self._relative_positions() and has_only_attention(self._base_model())
        )
        self._chances: list[list[float]] | None = None
        if left and self.accelerator.is_main_process:
            for why in dict.fromkeys(left.values()):
                names = ", ".join(name for name, reason in left.items() if reason == why)
                print(f"note: as in stock TRL, no {names}: {why}", file=sys.stderr)

    def _why_not(self, name: str) -> str:
        """Return why a saving would change the update; empty where it does not."""
        if self._is_vlm:
            return "inputs are more than text"
        if has_dropout(self.model) or self.args.neftune_noise_alpha:
            return "dropout draws for whole batches"
        if name == "rollouts":
            return self._why_no_rollouts()
        if name in ("trim", "regroup", "share") and positions_depend_on_width(self.model):
            return "the model's positions depend on the width of a batch"
        if self.aux_loss_enabled:
            return "a router's loss counts every token"
        entropies = self._entropy_bonus_enabled or self.top_entropy_quantile < 1.0
        if name in ("skip", "regroup") and entropies:
            return "entropy terms count every token of a micro-batch"
        if name == "skip" and self.beta != 0.0:
            return "the KL term counts every row"
        if name == "regroup" and self.loss_type == "bnpo":
            return "bnpo is a mean over a micro-batch's tokens"
        return self._why_not_share() if name == "share" else ""

    def _why_not_share(self) -> str:
        base = self._base_model()
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            return "weights that are spread over ranks are to be run in one piece"
        if self.args.gradient_checkpointing:
            return "gradient checkpointing keeps no keys and values"
        if base.config._attn_implementation not in ("sdpa", "eager"):
            return f"attention by {base.config._attn_implementation}"
        return extra_state(base)

    def _base_model(self) -> Any:
        return self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model

    def _why_no_rollouts(self) -> str:
        if self.use_vllm or self.use_transformers_continuous_batching or self.rollout_func or self.tools:
            return "another engine samples"
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            return "ranks that share weights must take the same steps"
        return why_generate_is_needed(self._base_model(), self.generation_config)

    def _generate_single_turn(
        self, prompt_ids: list, images: Any, multimodal_fields: Any, num_generations: int, has_tool_images: bool = False
    ) -> tuple[list[list[int]], Any]:
        if "rollouts" not in self.savings or images is not None or multimodal_fields:
            return super()._generate_single_turn(
                prompt_ids, images, multimodal_fields, num_generations, has_tool_images
            )
        with (
            profiling_context(self, "transformers.generate"),
            unwrap_model_for_generation(
                self.model_wrapped,
                self.accelerator,
                generation_kwargs=self.generation_kwargs,
                gradient_checkpointing_kwargs=self.args.gradient_checkpointing_kwargs,
            ) as model,
        ):
            return self._together(model, prompt_ids)

    def _generate(self, prompts: list[Any]) -> tuple:
        *output, logprobs, extra, images, tool_images = super()._generate(prompts)
        if "rollouts" in self.savings:
            self._chances = logprobs if self._chances_are_exact() else None
            logprobs = None  # to TRL they are those of another engine
        return (*output, logprobs, extra, images, tool_images)

    def _chances_are_exact(self) -> bool:
        config = self.generation_config
        plain = not config.top_k and config.top_p in (None, 1.0) and config.min_p is None
        plain = plain and (config.temperature or 1.0) == self.temperature
        # The reference of an adapter is the same model: its log-probabilities are not to be taken for the old ones.
        alone = self.beta == 0.0 or self.ref_model is not None
        return plain and alone and self.model.dtype == torch.float32 and self.accelerator.mixed_precision == "no"

    def _together(self, model: Any, prompts: list[list[int]]) -> tuple[list[list[int]], list[list[float]]]:
        """Sample; raise FloatingPointError on all ranks where one has logits that are no numbers."""
        found, fault = None, None
        try:
            found = self._sampled(model, prompts)
        except FloatingPointError as error:
            fault = error
        if self.accelerator.num_processes > 1:
            flag = torch.tensor([found is None], device=self.accelerator.device)
            if bool(self.accelerator.gather(flag).any()) and fault is None:
                fault = FloatingPointError("the logits of another process are not numbers")
        if fault is not None or found is None:
            raise fault or FloatingPointError
        return found

    def _sampled(self, model: Any, prompts: list[list[int]]) -> tuple[list[list[int]], list[list[float]]]:
        """Sample as many rows at once as fit into memory."""
        found: list[list[int]] = []
        chances: list[list[float]] = []
        while len(found) < len(prompts):
            part = prompts[len(found) : len(found) + self._at_once]
            try:
                offset = len(found)
                ids, said = sample_completions(
                    model, part, self.generation_config, self.eos_token_ids,
                    lambda place, ids, offset=offset: self._row_ended(offset + place, ids),
                )  # fmt: skip
                found, chances = found + ids, chances + said
            except torch.OutOfMemoryError:
                if len(part) == 1:
                    raise
                self._at_once = len(part) // 2
                print(
                    f"note: out of memory; {self._at_once} completions are sampled at once from now on", file=sys.stderr
                )
        return found, chances

    def _row_ended(self, row: int, ids: list[int]) -> None:
        """Take note of a row that has ended while others are sampled."""

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        before = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)
        if "regroup" in self.savings and self.model.training and self._buffered_inputs is not before:
            self._buffered_inputs = self._regrouped(self._buffered_inputs)
            inputs = self._buffered_inputs[self._step % self.args.steps_per_generation]
        return inputs

    def _regrouped(self, batches: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Deal the rows of each accumulation window anew; see `_order`."""
        window = self.args.gradient_accumulation_steps
        if len(batches) % window:
            window = len(batches) if window % len(batches) == 0 else 1
        dealt = []
        for start in range(0, len(batches), window):
            part = batches[start : start + window]
            rows = [len(batch["completion_ids"]) for batch in part]
            whole = {name: _joined([batch[name] for batch in part]) for name in part[0]}
            order = self._order(whole, rows)
            whole = {n: v[order] if isinstance(v, torch.Tensor) and v.dim() else v for n, v in whole.items()}
            offset = 0
            for count in rows:
                cut = slice(offset, offset + count)
                dealt.append({n: v[cut] if isinstance(v, torch.Tensor) and v.dim() else v for n, v in whole.items()})
                offset += count
        return dealt

    def _order(self, whole: dict[str, Any], counts: Sequence[int]) -> torch.Tensor:
        """Return the order in which rows are dealt into micro-batches of `counts`: those without a gradient last.

        By length, or, where prompts are shared and that is less work, group by group and by length in each.
        """
        live = self._rows_with_gradient(whole)
        lengths = torch.where(live, _loss_mask(whole).sum(dim=1).clamp(min=1), 0)
        by_length = torch.argsort(lengths, descending=True, stable=True)
        if "share" not in self.savings:
            return by_length
        prompts = whole["prompt_ids"].masked_fill(whole["prompt_mask"] == 0, -1)
        groups = torch.unique(prompts, dim=0, return_inverse=True)[1].masked_fill(~live, len(live))
        by_group = by_length[torch.argsort(groups[by_length], stable=True)]

        def work(order: torch.Tensor) -> int:
            width, found = prompts.size(1), 0
            for rows in torch.split(order, list(counts)):
                sizes = sorted(lengths[rows].tolist(), reverse=True)
                alone, shared = (padded_cost(sizes, prompt, len(rows), self._call) for prompt in (width, 1))
                different = groups[rows][live[rows]].unique().numel()
                found += min(alone, different * (width - 1) + self._call + shared)
            return found

        return min(by_length, by_group, key=work)

    def _rows_with_gradient(self, inputs: dict[str, Any]) -> torch.Tensor:
        """Return (B,), bool: which rows are to be run."""
        there = _loss_mask(inputs).any(dim=1)
        if "skip" not in self.savings:
            return torch.ones_like(there)
        advantages = inputs["advantages"]
        return there & (advantages != 0 if advantages.dim() == 1 else (advantages != 0).any(dim=1))

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        if not self.savings or not self.model.training:
            return super()._compute_loss(model, inputs)
        self._live, self._old = self._rows_with_gradient(inputs), inputs.get("old_per_token_logps")
        self._idle = False
        try:
            loss = super()._compute_loss(model, inputs)
        finally:
            self._live = self._old = None
        if self._idle:  # no row of any rank was run: other micro-batches say what the entropy is
            self._metrics["train"]["entropy"][-1] = math.nan  # which TRL leaves out of its means
        return loss

    def _get_per_token_logps_and_entropies(
        self, model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, logits_to_keep: int,
        batch_size: int | None = None, compute_entropy: bool = False, **more: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:  # fmt: skip
        stock = super()._get_per_token_logps_and_entropies
        if not self.savings or not self.model.training or any(v is not None and v is not False for v in more.values()):
            return stock(model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy, **more)
        if self._chances is not None and model is self.model and not torch.is_grad_enabled() and not compute_entropy:
            rows, self._chances = [torch.tensor(row, device=input_ids.device) for row in self._chances], None
            return torch.stack([_widened(row.unsqueeze(0), logits_to_keep)[0] for row in rows]), None, None
        count, prompt = len(input_ids), input_ids.size(1) - logits_to_keep
        live = self._live if self._live is not None else torch.ones(count, dtype=torch.bool, device=input_ids.device)
        wide = attention_mask[:, prompt:].sum(dim=1)
        if "trim" not in self.savings:
            wide = torch.full_like(wide, logits_to_keep)
        key = torch.where(live, wide.clamp(min=1), 0)
        order = torch.argsort(key, descending=True, stable=True)
        most, trained = batch_size or count, int(live.sum())
        prompts = self._prompts(input_ids, attention_mask, order[: max(1, trained)], prompt)
        ours = key.new_tensor([prompt, len(prompts), -prompts.width])
        *agreed, widest, different, narrowest = longest_on_any_rank(
            torch.cat([key[order], ours]), self.accelerator.num_processes
        ).tolist()
        rows = sum(length > 0 for length in agreed)
        room = most * (widest + agreed[0])  # tokens that a pass may have: all prompts are run at once
        shared = "share" in self.savings and (rows - different) * -narrowest > self._call and different * widest <= room
        if "trim" in self.savings and not self.packs:  # what is packed needs no chunks of like length
            ends = chunk_ends(agreed, 1 if shared else widest, most, self._call)
        else:
            ends = [min(end, rows) for end in range(most, rows + most, most)]
        if torch.is_grad_enabled() and needs_single_pass(self):
            ends = ends[-1:]
        self._idle = not ends
        if shared:
            with self.accelerator.autocast():
                prompts.compute_states(model)
        logps, entropies, anchor, start = [], [], 0.0, 0
        for end in ends or [0]:
            end, run = min(end, trained), model
            if end > start:
                ids, mask, width = self._cut(input_ids[order[start:end]], attention_mask[order[start:end]], prompt)
                if shared:
                    ids, mask = ids[:, -width - 1 :], mask[:, -width - 1 :]
                if self.packs:
                    run = with_packed_rows(model)
                elif (
                    "trim" in self.savings
                    and not self.args.cast_lm_head_to_fp32
                    and fits_full_logits(self.model, ids.numel())
                ):
                    run = with_full_logits(model, self.temperature, ["entropy"] if compute_entropy else [])
                if shared:
                    run = prompts.model_after_prompts(run, start, end)
            else:  # the other ranks have rows for this call; two tokens without a gradient keep them company
                ids, mask, width = input_ids[:1, -2:], torch.ones_like(attention_mask[:1, -2:]), 1
            found, entropy, _ = stock(run, ids, mask, width, compute_entropy=compute_entropy)
            if end > start:
                logps.append(_widened(found, logits_to_keep))
                entropies.append(_widened(entropy, logits_to_keep) if compute_entropy else None)
            else:
                anchor = anchor + (found * 0.0).sum()
            start = end
        left, back = order[trained:], torch.argsort(order)
        kind = {"device": input_ids.device, "dtype": found.dtype}
        old = self._old[left].to(**kind) if self._old is not None else torch.zeros(len(left), logits_to_keep, **kind)
        whole = torch.cat([*logps, old])[back] + anchor
        if not compute_entropy:
            return whole, None, None
        if logps:
            mask = attention_mask[order[:trained], prompt:]
            said = torch.cat(entropies)
            self._last_entropy = ((said.detach() * mask).sum() / mask.sum().clamp(min=1)).item()
        filled = torch.full((len(left), logits_to_keep), self._last_entropy, **kind)
        return whole, torch.cat([*entropies, filled])[back], None

    def _prompts(self, ids: torch.Tensor, mask: torch.Tensor, rows: torch.Tensor, prompt: int) -> SharedPrompts:
        ids, mask = ids[rows, :prompt], mask[rows, :prompt]
        first = 0
        if "trim" in self.savings and self._relative_positions():
            first = min(int(mask.any(dim=0).nonzero()[0]), prompt - 1)
        return SharedPrompts(ids[:, first:], mask[:, first:], cache_argument(type(self._base_model())))

    def _cut(self, ids: torch.Tensor, mask: torch.Tensor, prompt: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Return rows without the columns that are padding in all of them, and the width of the completions."""
        first, last = 0, ids.size(1)
        if "trim" in self.savings:
            there = mask.any(dim=0).nonzero()
            last = max(int(there[-1]) + 1, prompt + 1)
            first = min(int(there[0]), prompt - 1) if self._relative_positions() else 0
        return ids[:, first:last], mask[:, first:last], last - prompt

    def _relative_positions(self) -> bool:
        """Whether columns of padding before a prompt change nothing: so it is with rotary positions."""
        config = self.model.config.get_text_config()
        return bool(getattr(config, "rope_parameters", None) or getattr(config, "rope_theta", None))


def _loss_mask(inputs: dict[str, Any]) -> torch.Tensor:
    mask = inputs["completion_mask"]
    return mask * inputs["tool_mask"] if "tool_mask" in inputs else mask


def _joined(values: list[Any]) -> Any:
    """Return a value of several micro-batches as one; what belongs to all of them is the same in each."""
    first = values[0]
    return torch.cat(values) if isinstance(first, torch.Tensor) and first.dim() else first


def _widened(values: torch.Tensor, width: int) -> torch.Tensor:
    return torch.nn.functional.pad(values, (0, width - values.size(1)))
