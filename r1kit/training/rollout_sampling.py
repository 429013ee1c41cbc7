"""Sample the completions of a training step with r1kit's decoder, on all ranks at once.

The distribution is that of transformers' `generate`; the draws for a seed are others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from trl.extras.profiling import profiling_context
from trl.models import unwrap_model_for_generation

from r1kit.messages import logger
from r1kit.models.decode import sample_completions

Completions = tuple[list[list[int]], list[list[float]]]
"""Of each row: the ids of its completion, the end token among them, and the ids' log-probabilities."""


@dataclass(frozen=True)
class SampledSoFar:
    """How far the sampling of a rollout has come in this process."""

    ended: int
    """Completions that have ended."""
    completions: int
    """All completions of the rollout."""
    tokens: int
    """Tokens so far of each completion that has not ended."""
    max_tokens: int
    """Tokens at which a completion is cut off."""

    def __str__(self) -> str:
        length = f"{self.tokens} of {self.max_tokens} tokens"
        return f"sampling: {self.ended}/{self.completions} completions ended, the others have {length}"


class RolloutSampler:
    """Samples as many rows at once as fit into memory; where they do not, half as many from then on."""

    def __init__(self) -> None:
        self.rows_at_once: int | None = None  # None: all of them, until memory runs out
        # Is told on the main rank how far the sampling has come, after each token.
        self.on_progress: Callable[[SampledSoFar], None] | None = None

    def sample_on_all_ranks(
        self, trainer: Any, prompt_ids: list[list[int]], on_row_end: Callable[[int, list[int]], None]
    ) -> Completions:
        """Return a completion for each prompt; `on_row_end(row, ids)` is called when a row has ended.

        Raises FloatingPointError on all ranks if the logits of any of them are not numbers.
        """
        with (
            profiling_context(trainer, "transformers.generate"),
            unwrap_model_for_generation(
                trainer.model_wrapped,
                trainer.accelerator,
                generation_kwargs=trainer.generation_kwargs,
                gradient_checkpointing_kwargs=trainer.args.gradient_checkpointing_kwargs,
            ) as model,
        ):
            return self._sample_or_fail_on_all_ranks(trainer, model, prompt_ids, on_row_end)

    def _sample_or_fail_on_all_ranks(
        self, trainer: Any, model: Any, prompt_ids: list[list[int]], on_row_end: Callable[[int, list[int]], None]
    ) -> Completions:
        completions, error = None, None
        try:
            completions = self.sample_on_this_rank(trainer, model, prompt_ids, on_row_end)
        except FloatingPointError as own_error:
            error = own_error
        if trainer.accelerator.num_processes > 1:
            has_failed = torch.tensor([completions is None], device=trainer.accelerator.device)
            if bool(trainer.accelerator.gather(has_failed).any()) and error is None:
                error = FloatingPointError("the logits of another process are not numbers")
        if error is not None or completions is None:
            raise error or FloatingPointError
        return completions

    def sample_on_this_rank(
        self, trainer: Any, model: Any, prompt_ids: list[list[int]], on_row_end: Callable[[int, list[int]], None]
    ) -> Completions:
        """Return a completion of `model` for each prompt of this process, by as many calls as memory needs."""
        ids: list[list[int]] = []
        logprobs: list[list[float]] = []
        while len(ids) < len(prompt_ids):
            start = len(ids)
            end = len(prompt_ids) if self.rows_at_once is None else start + self.rows_at_once
            batch = prompt_ids[start:end]

            def report_row(row: int, row_ids: list[int], first_row: int = start) -> None:
                on_row_end(first_row + row, row_ids)

            def report_step(tokens: int, running: int, first_row: int = start, batch_rows: int = len(batch)) -> None:
                if self.on_progress is not None and trainer.accelerator.is_main_process:
                    ended = first_row + batch_rows - running
                    limit = trainer.generation_config.max_new_tokens or 0
                    self.on_progress(SampledSoFar(ended, len(prompt_ids), tokens, limit))

            try:
                batch_ids, batch_logprobs = sample_completions(
                    model, batch, trainer.generation_config, trainer.eos_token_ids, report_row, report_step
                )
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise
                self.rows_at_once = len(batch) // 2
                logger.info(
                    f"sampling ran out of memory; {self.rows_at_once} completions are sampled at once from now on"
                )
                continue
            ids += batch_ids
            logprobs += batch_logprobs
        return ids, logprobs


def are_logprobs_exact(trainer: Any) -> bool:
    """Return whether the log-probabilities of the sampling are those that a forward pass would compute.

    They are in float32 and without top_p, top_k and min_p, which change the distribution that is sampled from. With an
    adapter and a KL term they are not used: TRL then computes the reference's on the same model object.
    """
    config = trainer.generation_config
    truncates = config.top_k or config.top_p not in (None, 1.0) or config.min_p is not None
    has_same_temperature = (config.temperature or 1.0) == trainer.temperature
    has_own_reference = trainer.beta == 0.0 or trainer.ref_model is not None
    is_float32 = trainer.model.dtype == torch.float32 and trainer.accelerator.mixed_precision == "no"
    return not truncates and has_same_temperature and has_own_reference and is_float32


def pad_logprobs(logprobs: Sequence[Sequence[float]], width: int, device: torch.device) -> torch.Tensor:
    """Return log-probabilities as a tensor (B, width), with zeros to the right of each row."""
    padded = torch.zeros(len(logprobs), width, device=device)
    for row, values in enumerate(logprobs):
        padded[row, : len(values)] = torch.tensor(values, device=device)
    return padded
