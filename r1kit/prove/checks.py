"""The checks of a training, in order: train the small recipe, watch it, kill it, resume it, and load what it saved.

    findings = prove_training("rl-zero", subject, folder, plan_training)

`plan_training` is that of the stage's command. Below `folder`:

    models/     the small random model
    run/        the run that is trained to its end
    killed/     what was on the disk when it was killed, and the run that goes on from there
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1kit.data.examples import load_examples
from r1kit.models.stop_tokens import end_token_ids
from r1kit.prove.definition import TrainedRow
from r1kit.prove.gradient import GradientCheck
from r1kit.prove.leak import check_leak
from r1kit.prove.observe import Generation, Observer, Step
from r1kit.prove.resume import Killer, check_prompts_trained, check_resume, check_rows_trained
from r1kit.prove.rewards import check_rewards
from r1kit.prove.sampler import SamplerCheck
from r1kit.prove.saved import check_saved
from r1kit.prove.subject import Subject, is_trained_on_rows
from r1kit.prove.table import Finding, drop_repeated, sort_findings
from r1kit.prove.template import check_fine_tuning, check_policy, encode_prompt, tokenize_as_trained
from r1kit.recipe import RLRecipe
from r1kit.runs.resume import open_run
from r1kit.runs.run import Run
from r1kit.training.core import TrainingPlan, run_training
from r1kit.training.sft_tokenizer import make_tokenizer
from r1kit.training.tokenized_rows import scored_end_ids

PlanTraining = Callable[[Any, Run], TrainingPlan]

REWARD_LEVELS = 5
"""Different values of the rewards that take the place of verdicts on random text."""


@dataclass
class Training:
    """One training of the small recipe, watched."""

    observer: Observer
    gradients: GradientCheck
    sampler: SamplerCheck


def prove_training(stage: str, subject: Subject, folder: Path, plan_training: PlanTraining) -> list[Finding]:
    """Return the findings on a training, with those that the subject leaves out."""
    recipe = subject.recipe
    is_policy = not is_trained_on_rows(recipe)
    examples, rows = (None, []) if is_policy else _read_rows(recipe)
    run = open_run(stage, recipe)
    killer = Killer(run.path, folder / "killed", recipe.training.save_steps, recipe.training.steps, recipe.seed)
    first = _train(recipe, run, plan_training, rows, killer.on_end_of_step)
    observer = first.observer
    findings = [*subject.left_out, *first.gradients.findings(), check_leak(observer)]
    if is_policy:
        findings += first.sampler.findings()
        findings += check_policy(observer, recipe, run.path)
        if isinstance(recipe, RLRecipe):
            findings += check_rewards(recipe, subject.sources, subject.has_own_data)
        tokenizer = observer.trainer.processing_class
        prompts = [encode_prompt(tokenizer, p, recipe.prompt) for p in observer.trainer.train_dataset["prompt"]]
        findings.append(check_prompts_trained(observer, prompts))
    else:
        findings += check_fine_tuning(observer, recipe, examples, rows, run.path)
        findings.append(check_rows_trained(observer, observer.truth))
    findings += check_saved(observer.trainer, run.path, _probe_ids(observer), _stop_ids(observer, recipe))
    resumed = _train(recipe, Run(folder / "killed"), plan_training, rows)
    findings.append(check_resume(observer, resumed.observer, killer.step))
    run.unlock()
    return sort_findings(drop_repeated(findings, subject.left_out))


def _read_rows(recipe: Any) -> tuple[Any, list[TrainedRow]]:
    """Return the examples of fine-tuning and their rows as the data says they are trained."""
    tokenizer = make_tokenizer(recipe, load_examples(recipe.data.train, recipe.prompt, data=recipe.data))
    return tokenize_as_trained(recipe, tokenizer, {tokenizer.eos_token} - {None})


def _train(
    recipe: Any,
    run: Run,
    plan_training: PlanTraining,
    rows: Sequence[TrainedRow],
    on_end_of_step: Callable[[int], None] | None = None,
) -> Training:
    """Train the recipe by its plan, to its end, from wherever the run stands, and return what was seen."""
    plan = plan_training(recipe, run)
    gradients = GradientCheck({row.ids: row.labels for row in rows})
    sampler = SamplerCheck()

    def on_generation(generation: Generation) -> None:
        sampler.on_generation(generation)
        gradients.on_generation(generation)

    def on_gradients(step: Step) -> None:
        gradients.on_gradients(step)

    observer = Observer(rows, on_gradients, on_generation, on_end_of_step)

    def build_trainer() -> Any:
        trainer = plan.build_trainer()
        if isinstance(recipe, RLRecipe):
            plant_rewards(trainer)
        gradients.start(trainer)
        sampler.trainer = trainer
        return observer.watch(trainer)

    run_training(build_trainer, recipe, run, plan.resume_interval)
    return Training(observer, gradients, sampler)


def plant_rewards(trainer: Any) -> None:
    """Give each completion a reward that depends on its tokens alone: verdicts on random text are all 0.

    In every second rollout the first group has equal rewards, and so no signal.
    """

    def planted(completion_ids: Sequence[Sequence[int]] = (), trainer_state: Any = None, **columns: Any) -> list[float]:
        rewards = []
        steps_done = trainer_state.global_step if trainer_state is not None else 0
        steps_per_rollout = trainer.args.steps_per_generation // trainer.args.gradient_accumulation_steps
        is_odd_rollout = steps_done // (steps_per_rollout * trainer.num_iterations) % 2 == 1
        for number, ids in enumerate(completion_ids):
            digest = hashlib.sha256(" ".join(map(str, map(int, ids))).encode()).digest()
            is_flat = is_odd_rollout and number < trainer.num_generations
            rewards.append(0.5 if is_flat else digest[0] % REWARD_LEVELS / (REWARD_LEVELS - 1))
        return rewards

    trainer.reward_funcs = [planted for _ in trainer.reward_funcs]
    trainer.eager_judges = ()


def _probe_ids(observer: Observer) -> tuple[int, ...]:
    """Return the ids of a row that was trained."""
    key = observer.steps[0].keys[0]
    return (*key[0], *key[1]) if isinstance(key[0], tuple) else key


def _stop_ids(observer: Observer, recipe: Any) -> list[int]:
    """Return the tokens that end what was trained."""
    trainer = observer.trainer
    tokenizer = trainer.processing_class
    if not is_trained_on_rows(recipe):
        return end_token_ids(tokenizer, trainer.model.generation_config.eos_token_id, recipe.prompt.template)
    if "labels" not in trainer.train_dataset.column_names:
        return [tokenizer.eos_token_id]
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    special |= set(tokenizer.all_special_ids)
    return sorted(set(scored_end_ids(trainer.train_dataset)) & special)
