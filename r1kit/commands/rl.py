"""`r1kit rl-zero` and `r1kit rl`: GRPO with verifiable rewards.

    r1kit rl-zero recipes/tiny/rl_zero.yaml
    r1kit rl recipes/tiny/dev2.yaml model.path=runs/tiny/dev1 --num-processes 8

How a training step goes, from a problem to a gradient, stands in r1kit/training/grpo.py.

Departures from the paper: the policy's ratio is clipped at 0.2 by default, where the paper has 10; and
the loss is TRL's default (DAPO's mean over tokens) unless the recipe sets `trl.loss_type`.
"""

from typing import TYPE_CHECKING, Any

from r1kit.answers import workers
from r1kit.data.problems import load_problems
from r1kit.errors import UserError
from r1kit.heavy_imports import heavy_imports
from r1kit.models.chat_templates import check_template_settings
from r1kit.models.load import check_context, is_adapter, load_model_to_train, load_tokenizer
from r1kit.models.stop_tokens import end_token_ids
from r1kit.models.templates import apply_template, check_chat_template, check_prompts_render, encode_prompts
from r1kit.ranks import is_main_rank
from r1kit.recipe import RLRecipe
from r1kit.rewards.binding import bind_reward, run_in_thread
from r1kit.rewards.checks import check_reward_data, preload_reward_models
from r1kit.rewards.eager import EagerJudge
from r1kit.runs.run import Run
from r1kit.training.arguments import build_grpo_config

if TYPE_CHECKING:
    from datasets import Dataset

    from r1kit.training.grpo import RLTrainer

PROMPTS_MEASURED = 200
"""Longest prompts that are measured before the training: do they fit into the model's context with a completion?"""


def main(recipe: RLRecipe, run: Run) -> None:
    """Train the policy and save it."""
    # Data comes first, so that a fault in it is reported before torch is imported.
    problems, held_out = _load_data(recipe, run)
    if _judges_mathematics(recipe, problems):
        workers.start_worker()  # it starts while torch is imported

    with heavy_imports():
        import r1kit.training.grpo  # noqa: F401  # the slowest to import; `_build_trainer` takes it from here
        from r1kit.training.core import run_training

    run_training(lambda: _build_trainer(recipe, run, problems, held_out), recipe, run, recipe.steps_per_rollout)


def _load_data(recipe: RLRecipe, run: Run) -> tuple["Dataset", "Dataset | None"]:
    """Return the training problems and the held-out ones (None if the recipe has none), checked for the rewards."""
    source = recipe.data.train[0].path
    problems = load_problems(recipe.data.train, recipe.prompt, data=recipe.data)
    info = check_reward_data(recipe.rewards, problems, source)
    prompts_per_rollout = recipe.prompts_per_rollout
    if len(problems) < prompts_per_rollout:
        raise UserError(
            "data.train",
            source,
            f"has {len(problems)} problems, but one rollout needs {prompts_per_rollout}",
            "add problems, or use a smaller training.batch_size",
        )
    held_out = None
    if recipe.data.eval:
        held_out = load_problems(recipe.data.eval, recipe.prompt, "data.eval")
        info |= check_reward_data(recipe.rewards, held_out, recipe.data.eval[0].path)
    if info and is_main_rank():
        run.update(**info)
    return problems, held_out


def _judges_mathematics(recipe: RLRecipe, problems: "Dataset") -> bool:
    """Return whether the accuracy reward will judge answers as mathematics, which the workers do."""
    if not any(entry.name == "accuracy" for entry in recipe.rewards):
        return False
    checkers = problems.unique("checker") if "checker" in problems.column_names else [None]
    return "math" in checkers or None in checkers


def _build_trainer(recipe: RLRecipe, run: Run, problems: "Dataset", held_out: "Dataset | None") -> "RLTrainer":
    from r1kit.training.callbacks import LengthScheduleCallback
    from r1kit.training.grpo import RLTrainer
    from r1kit.training.reference import save_start_model

    tokenizer = load_tokenizer(recipe.model)
    arguments = build_grpo_config(recipe, run)
    model, lora_config = load_model_to_train(recipe.model)
    if recipe.training.kl > 0 and recipe.model.lora is None and is_adapter(recipe.model):
        save_start_model(model, run.path / "start")
    _check_prompts(recipe, model, tokenizer, problems, held_out)
    _stop_at_end_of_turn(model, tokenizer, arguments, recipe.prompt.template)
    preload_reward_models(recipe.rewards)

    reward_functions, eager_judges = [], []
    for index, entry in enumerate(recipe.rewards):
        reward = bind_reward(entry, index, recipe.answers)
        if entry.name == "accuracy":
            reward = EagerJudge(reward, entry.settings.get("seconds", 3.0))
            eager_judges.append(reward)
        reward_functions.append(run_in_thread(reward))

    trainer = RLTrainer(
        model=model,
        args=arguments,
        reward_funcs=reward_functions,
        train_dataset=problems,
        eval_dataset=held_out,
        processing_class=tokenizer,
        peft_config=lora_config,
        run=run,
        savings=recipe.training.savings,
        resample=recipe.sampling.resample,
        reference_reset_steps=recipe.training.reference_reset_steps,
        keep_checkpoints=recipe.training.keep_checkpoints,
        eager_judges=eager_judges,
    )
    if recipe.sampling.schedule:
        trainer.add_callback(LengthScheduleCallback(recipe.sampling.schedule, trainer))
    return trainer


def _check_prompts(
    recipe: RLRecipe, model: Any, tokenizer: Any, problems: "Dataset", held_out: "Dataset | None"
) -> None:
    """Raise UserError for a prompt that the chat template refuses, or that leaves no room for a completion."""
    check_chat_template(tokenizer, recipe.prompt.template)
    check_template_settings(tokenizer, recipe.prompt.template_settings)
    check_prompts_render(tokenizer, problems["prompt"], recipe.prompt, "data.train")
    if held_out is not None:
        check_prompts_render(tokenizer, held_out["prompt"], recipe.prompt, "data.eval")
    max_tokens = max([recipe.sampling.max_tokens, *(step.max_tokens for step in recipe.sampling.schedule)])
    # The longest texts, since reading all prompts of a large set as tokens would take minutes.
    longest = sorted(problems["prompt"], key=_count_chars, reverse=True)[:PROMPTS_MEASURED]
    texts = [apply_template(tokenizer, prompt, recipe.prompt) for prompt in longest]
    prompt_tokens = max(len(ids) for ids in encode_prompts(tokenizer, longest, texts))
    check_context(model, prompt_tokens + max_tokens, "sampling.max_tokens", max_tokens)


def _count_chars(prompt: Any) -> int:
    return len(prompt) if isinstance(prompt, str) else sum(len(message["content"] or "") for message in prompt)


def _stop_at_end_of_turn(model: Any, tokenizer: Any, arguments: Any, template: str) -> None:
    """Let completions end at the tokens at which sampling ends them; the model is saved with those."""
    ids = end_token_ids(tokenizer, model.generation_config.eos_token_id, template)
    model.generation_config.eos_token_id = ids
    if arguments.use_vllm:
        arguments.generation_kwargs = {"stop_token_ids": ids, **(arguments.generation_kwargs or {})}
