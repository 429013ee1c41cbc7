"""`r1kit rl-zero` and `r1kit rl`: GRPO with verifiable rewards.

    r1kit rl-zero recipes/tiny/rl_zero.yaml
    r1kit rl recipes/tiny/dev2.yaml model.path=runs/tiny/dev1 --num-processes 8

Departures from the paper: the policy's ratio is clipped at 0.2 by default, where the paper has 10; and
the loss is TRL's default (DAPO's token mean) unless the recipe sets `trl.loss_type`.
"""

from typing import Any

from r1kit.answers import workers
from r1kit.data.problems import load_problems
from r1kit.errors import UserError
from r1kit.heavy_imports import heavy_imports
from r1kit.models.load import build_lora_config, check_context, load_model, load_tokenizer
from r1kit.models.templates import apply_template, check_chat_template, template_prefix
from r1kit.ranks import is_main_rank
from r1kit.recipe import RLRecipe
from r1kit.rewards.binding import bind_reward, run_in_thread, with_prefix
from r1kit.rewards.checks import check_reward_data, preload_reward_models
from r1kit.rewards.eager import EagerJudge
from r1kit.runs.run import Run
from r1kit.training.arguments import build_grpo_config


def main(recipe: RLRecipe, run: Run) -> None:
    """Train the policy and save it."""
    # The data first: a fault in it is then said before torch is imported.
    rows = load_problems(recipe.data.train, recipe.prompt, data=recipe.data)
    judged = check_reward_data(recipe.rewards, rows, recipe.data.train[0].path)
    wanted = recipe.training.batch_size * recipe.training.updates_per_rollout // recipe.sampling.group_size
    if len(rows) < wanted:
        must = f"has {len(rows)} problems, and a rollout takes {wanted}"
        raise UserError("data.train", recipe.data.train[0].path, must, "give more, or a smaller training.batch_size")
    held_out = load_problems(recipe.data.eval, recipe.prompt, "data.eval") if recipe.data.eval else None
    if held_out is not None:
        judged |= check_reward_data(recipe.rewards, held_out, recipe.data.eval[0].path)
    if judged and is_main_rank():
        run.update(**judged)
    kinds = rows.unique("checker") if "checker" in rows.column_names else [None]
    if any(e.name == "accuracy" for e in recipe.rewards) and {"math", None} & set(kinds):
        workers.start_worker()  # while torch is imported
    block = recipe.training.updates_per_rollout * int(recipe.trl.get("num_iterations", 1))

    with heavy_imports():
        from r1kit.training.callbacks import LengthScheduleCallback
        from r1kit.training.core import run_training
        from r1kit.training.grpo import RLTrainer

    def build():
        tokenizer = load_tokenizer(recipe.model)
        check_chat_template(tokenizer, recipe.prompt.template)
        arguments = build_grpo_config(recipe, run)
        model = load_model(recipe.model)
        longest = max((s.max_tokens for s in recipe.sampling.schedule), default=0)
        tokens = max(recipe.sampling.max_tokens, longest)
        shown = [p if isinstance(p, str) else p[-1]["content"] for p in rows[:200]["prompt"]]
        prompt_tokens = max(len(ids) for ids in tokenizer(shown).input_ids)
        check_context(model, prompt_tokens + tokens, "sampling.max_tokens", tokens)
        preload_reward_models(recipe.rewards)
        said = prompt_prefix(tokenizer, rows[0]["prompt"], recipe)
        bound = [with_prefix(said, bind_reward(entry, i)) for i, entry in enumerate(recipe.rewards)]
        ahead = {
            i: EagerJudge(bound[i], entry.knobs.get("seconds", 3.0))
            for i, entry in enumerate(recipe.rewards)
            if entry.name == "accuracy"
        }
        trainer = RLTrainer(
            model=model,
            args=arguments,
            reward_funcs=[run_in_thread(ahead.get(i, reward)) for i, reward in enumerate(bound)],
            ahead=list(ahead.values()),
            train_dataset=rows,
            eval_dataset=held_out,
            processing_class=tokenizer,
            peft_config=build_lora_config(recipe.model),
            run=run,
            recipe=recipe,
        )
        if recipe.sampling.schedule:
            trainer.add_callback(LengthScheduleCallback(recipe.sampling.schedule, trainer))
        return trainer

    run_training(build, recipe, run, block)


def prompt_prefix(tokenizer: Any, prompt: Any, recipe: RLRecipe) -> str:
    """Return what a template says of the completion already; nothing where TRL takes thinking out of messages."""
    parsed = any(getattr(tokenizer, f"response_{kind}", None) for kind in ("template", "schema"))
    if parsed and not isinstance(prompt, str):
        return ""
    settings = {"template_settings": recipe.trl.get("chat_template_kwargs") or {}}
    return template_prefix(apply_template(tokenizer, prompt, recipe.prompt.model_copy(update=settings)), "")
