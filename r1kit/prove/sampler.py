"""Does the sampler have the trainer's weights, and does the loss take the probabilities that were sampled from?

Of each rollout, the sampler's weights are compared with the trainer's, and its tokens and log-probabilities with the
distributions of a float64 copy of the policy. The tokens are judged by a z-score: minus the logarithm of their
probability, less its expectation, over its deviation. A sampler whose adapter is missing draws tokens that the policy
finds unlikely, whatever log-probabilities it reports.
"""

import math
from typing import Any

import torch

from r1kit.prove.definition import SamplingScore, copy_in_float64, score_sampling
from r1kit.prove.observe import Generation
from r1kit.prove.table import Finding, judge

LOGPROB_TOLERANCE = 2e-3
"""Greatest difference of a log-probability that float32 explains."""
BFLOAT16_LOGPROB_TOLERANCE = 0.5
LARGEST_Z = 5.0
"""A z-score that chance exceeds in one of a million runs."""


class SamplerCheck:
    """Scores each rollout. `on_generation` is for an Observer."""

    def __init__(self) -> None:
        self.trainer: Any = None
        self.generations = 0
        self.tokens = 0
        self.weight_difference = 0.0
        self.logprob_difference = 0.0
        self.has_logprobs = False
        self.ratio_difference: float | None = None
        self.cut_mass = 0.0
        self._surprise, self._variance = 0.0, 0.0

    def on_generation(self, generation: Generation) -> None:
        """Score the samplings of a rollout, and the old log-probabilities that the loss takes."""
        self.generations += 1
        policy = copy_in_float64(self.trainer.model)
        scores: dict[Any, SamplingScore] = {}
        for sampling in generation.samplings:
            self.weight_difference = max(self.weight_difference, sampling.weight_difference)
            for number, row in enumerate(sampling.rows):
                score = self._score(policy, row)
                scores[row] = score
                self.tokens += len(row[1])
                self.cut_mass += score.cut_mass
                self._surprise += score.surprise
                self._variance += score.variance
                if sampling.logprobs:
                    self.has_logprobs = True
                    sampled = torch.tensor(sampling.logprobs[number], device=score.logprobs.device)
                    self.logprob_difference = max(self.logprob_difference, _difference(sampled, score.logprobs))
        if generation.old_logprobs is None:
            return
        for row, values in zip(generation.rows, generation.old_logprobs, strict=True):
            score = scores.get(row) or self._score(policy, row)
            difference = _difference(values[: len(row[1])], score.logprobs)
            self.ratio_difference = max(self.ratio_difference or 0.0, difference)

    def _score(self, policy: Any, row: Any) -> SamplingScore:
        arguments = self.trainer.args
        return score_sampling(policy, row, self.trainer.temperature, arguments.top_p or 1.0, arguments.top_k or 0)

    @property
    def z_score(self) -> float:
        """Return how unlikely the sampled tokens are, in standard deviations; a number above 0 is unlikely."""
        return self._surprise / math.sqrt(self._variance) if self._variance > 0 else 0.0

    def findings(self) -> list[Finding]:
        """Return the findings on the sampler and on the ratios of the loss."""
        has_float32 = self.trainer.model.dtype == torch.float32 and self.trainer.accelerator.mixed_precision == "no"
        tolerance = LOGPROB_TOLERANCE if has_float32 else BFLOAT16_LOGPROB_TOLERANCE
        holds = self.weight_difference == 0 and self.logprob_difference <= tolerance and abs(self.z_score) <= LARGEST_Z
        figure = f"{self.generations} rollouts: weights differ by {self.weight_difference:.1e}"
        if self.has_logprobs:
            figure += f", log-probabilities by {self.logprob_difference:.1e}"
        figure += f"; {self.tokens:,} tokens fit the policy with z = {self.z_score:.1f}"
        findings = [judge("sampler", holds, figure)]
        if hasattr(self.trainer, "reward_funcs"):  # distillation has no ratios
            findings.append(self._judge_ratios(tolerance))
        return findings

    def _judge_ratios(self, tolerance: float) -> Finding:
        if self.ratio_difference is None:
            figure = "each rollout is trained in one step, so that all ratios begin at 1"
        else:
            figure = f"old log-probabilities are the policy's to {self.ratio_difference:.1e}"
        arguments = self.trainer.args
        if self.tokens and ((arguments.top_p or 1.0) < 1 or arguments.top_k):
            cut = [f"top_p = {arguments.top_p}"] if (arguments.top_p or 1.0) < 1 else []
            cut += [f"top_k = {arguments.top_k}"] if arguments.top_k else []
            share = self.cut_mass / self.tokens
            figure += f"; {' and '.join(cut)} cut {share:.1%} of the probability, which the ratios do not know of"
        return judge("ratio", self.ratio_difference is None or self.ratio_difference <= tolerance, figure)


def _difference(values: torch.Tensor, expected: torch.Tensor) -> float:
    if len(values) != len(expected):
        return math.inf
    return float((values.double() - expected).abs().max()) if len(expected) else 0.0
