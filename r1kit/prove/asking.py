"""The checks of stages that sample and train nothing: `generate`, `eval`, `verifier`; and of `data`, which only reads.

Is the model asked as it was trained, do the completions come from its distribution, do they end where its turns end,
and do the rewards pay right answers?
"""

from collections.abc import Sequence
from typing import Any

from r1kit.data.problems import load_problems
from r1kit.models.stop_tokens import end_of_turn_token
from r1kit.prompts import CHAT_TEMPLATE
from r1kit.prove.definition import copy_in_float64, log_probabilities, score_sampling
from r1kit.prove.rewards import check_rewards
from r1kit.prove.sampler import LARGEST_Z, LOGPROB_TOLERANCE
from r1kit.prove.subject import Subject
from r1kit.prove.table import Finding, drop_repeated, judge, sort_findings
from r1kit.prove.template import encode_prompt
from r1kit.recipe import DataRecipe
from r1kit.runs.trained_prompt import TRAINED_FIELDS, read_trained_prompt
from r1kit.sampling.local import TransformersSampler

PROBLEMS, SAMPLES = 8, 4
GREEDY_GAP = 1e-3
"""Greatest log-probability by which a greedy token may fall short of the likeliest one, by rounding."""


def prove_asking(subject: Subject) -> list[Finding]:
    """Return the findings on a stage that trains nothing, with those that the subject leaves out."""
    recipe = subject.recipe
    findings = list(subject.left_out)
    if subject.sources:
        findings += check_rewards(recipe, subject.sources, subject.has_own_data)
    if not isinstance(recipe, DataRecipe) and subject.sources and subject.has_model:
        findings += _check_sampler(subject)
    return sort_findings(drop_repeated(findings, subject.left_out))


def _check_sampler(subject: Subject) -> list[Finding]:
    recipe = subject.recipe
    problems = load_problems(subject.sources, recipe.prompt)
    prompts = problems["prompt"][:PROBLEMS]
    sampler = TransformersSampler(recipe.model, recipe.prompt, recipe.sampling)
    groups = sampler.sample(prompts, SAMPLES, recipe.seed)
    prompt_ids = [encode_prompt(sampler.tokenizer, prompt, recipe.prompt) for prompt in prompts]
    findings = [_judge_prompt(subject, sampler.tokenizer, prompts, prompt_ids)]
    findings.append(_judge_ends(recipe, sampler, groups))
    findings.append(_judge_tokens(recipe.sampling, sampler, prompt_ids, groups))
    return findings


def _judge_prompt(subject: Subject, tokenizer: Any, prompts: Sequence[Any], prompt_ids: Sequence[Any]) -> Finding:
    """Return whether the model is asked as its training asked it, and as its own chat template does."""
    recipe = subject.recipe
    trained = read_trained_prompt(recipe.model.path or "")
    figure, holds = f"{len(prompts)} prompts", True
    if trained is not None:
        differences = [name for name in TRAINED_FIELDS if getattr(trained, name) != getattr(recipe.prompt, name)]
        holds = not differences
        figure += " as the model was trained" if holds else f", whose {differences[0]} is not that of its training"
    if recipe.prompt.template == CHAT_TEMPLATE and not recipe.prompt.prefill and not recipe.prompt.template_settings:
        own = [
            tuple(tokenizer.apply_chat_template(list(p), add_generation_prompt=True, return_dict=False))
            for p in prompts
        ]
        same = sum(ids == own_ids for ids, own_ids in zip(prompt_ids, own, strict=True))
        holds = holds and same == len(prompts)
        figure += f"; {same} have the ids of the model's own chat template"
    return judge("prompt", holds, figure)


def _judge_ends(recipe: Any, sampler: Any, groups: Any) -> Finding:
    """Return whether completions end at the end tokens, at the first of them, and nowhere else."""
    samples = [sample for group in groups for sample in group]
    ends = set(sampler.end_token_ids)
    wrong = 0
    for sample in samples:
        inner_end = any(token in ends for token in sample.ids[:-1])
        wrong += inner_end or (sample.ids[-1] in ends) != (sample.finish_reason == "stop")
    ended = sum(sample.finish_reason == "stop" for sample in samples)
    names = " or ".join(sorted(repr(sampler.tokenizer.decode([token])) for token in ends))
    figure = f"{ended} of {len(samples)} completions end, at {names}"
    turn_end = end_of_turn_token(sampler.tokenizer) if recipe.prompt.template == CHAT_TEMPLATE else None
    if wrong:
        figure += f"; {wrong} go on behind it"
    lacks_turn_end = turn_end is not None and sampler.tokenizer.convert_tokens_to_ids(turn_end) not in ends
    if lacks_turn_end:
        figure += f"; turns of its chat template end with {turn_end}"
    return judge("end of turn", not wrong and not lacks_turn_end, figure)


def _judge_tokens(sampling: Any, sampler: Any, prompt_ids: Sequence[Any], groups: Any) -> Finding:
    """Return whether the sampled tokens are drawn from the model's distribution, cut as the recipe says."""
    policy = copy_in_float64(sampler.model)
    tokens, surprise, variance, unlikely, difference, cut_mass = 0, 0.0, 0.0, 0, 0.0, 0.0
    for prompt, group in zip(prompt_ids, groups, strict=True):
        for sample in group:
            row = (prompt, sample.ids)
            tokens += len(sample.ids)
            if sampling.temperature == 0:
                unlikely += _count_unlikely(policy, row)
                continue
            score = score_sampling(policy, row, sampling.temperature, sampling.top_p, sampling.top_k)
            surprise, variance = surprise + score.surprise, variance + score.variance
            cut_mass += score.cut_mass
            if sample.mean_logprob is not None:
                difference = max(difference, abs(sample.mean_logprob - float(score.logprobs.mean())))
    if sampling.temperature == 0:
        return judge("sampler", not unlikely, f"{tokens - unlikely} of {tokens} tokens are the likeliest ones")
    z_score = surprise / variance**0.5 if variance > 0 else 0.0
    figure = f"{tokens:,} tokens fit the model with z = {z_score:.1f}, log-probabilities to {difference:.1e}"
    if sampling.top_p < 1 or sampling.top_k:
        figure += f"; top_p and top_k cut {cut_mass / max(1, tokens):.1%} of the probability"
    return judge("sampler", abs(z_score) <= LARGEST_Z and difference <= LOGPROB_TOLERANCE, figure)


def _count_unlikely(policy: Any, row: Any) -> int:
    """Return the number of tokens of a greedy completion that are not the likeliest ones."""
    import torch

    prompt, completion = row
    with torch.no_grad():
        logprobs = log_probabilities(policy, [*prompt, *completion], len(prompt))
    chosen = logprobs[range(len(completion)), list(completion)]
    return int((logprobs.max(dim=1).values - chosen > GREEDY_GAP).sum())
