"""`r1kit rl-zero` and `r1kit rl`: GRPO with verifiable rewards.

    r1kit rl-zero recipes/tiny/rl_zero.yaml
    r1kit rl recipes/tiny/dev2.yaml model.path=runs/tiny/dev1 --num-processes 8

Departures from the paper: the policy's ratio is clipped at 0.2 by default, where the paper has 10; and
the loss is TRL's default (DAPO's token mean) unless the recipe sets `trl.loss_type`.
"""

from typing import Any

from r1kit.data.load import problems
from r1kit.errors import UserError
from r1kit.imports import heavy
from r1kit.recipe import RLRecipe
from r1kit.rewards import after, aside, bind, check_data, load_models, workers
from r1kit.rewards.ahead import Ahead
from r1kit.run import Run, is_main
from r1kit.sampling.local import render_chat
from r1kit.sampling.sampler import beginning
from r1kit.training.arguments import rl_arguments
from r1kit.training.policy import check_context, check_template, load_model, load_tokenizer, lora_config


def main(recipe: RLRecipe, run: Run) -> None:
    """Train the policy and save it."""
    # The data first: a fault in it is then said before torch is imported.
    rows = problems(recipe.data.train, recipe.prompt, data=recipe.data)
    judged = check_data(recipe.rewards, rows, recipe.data.train[0].path)
    wanted = recipe.training.batch_size * recipe.training.updates_per_rollout // recipe.sampling.group_size
    if len(rows) < wanted:
        must = f"has {len(rows)} problems, and a rollout takes {wanted}"
        raise UserError("data.train", recipe.data.train[0].path, must, "give more, or a smaller training.batch_size")
    held_out = problems(recipe.data.eval, recipe.prompt, "data.eval") if recipe.data.eval else None
    if held_out is not None:
        judged |= check_data(recipe.rewards, held_out, recipe.data.eval[0].path)
    if judged and is_main():
        run.update(**judged)
    kinds = rows.unique("verifier") if "verifier" in rows.column_names else [None]
    if any(e.name == "accuracy" for e in recipe.rewards) and {"math", None} & set(kinds):
        workers.start()  # while torch is imported
    block = recipe.training.updates_per_rollout * int(recipe.trl.get("num_iterations", 1))

    with heavy():
        from r1kit.training.callbacks import LengthSchedule
        from r1kit.training.core import fit
        from r1kit.training.grpo import RLTrainer

    def build():
        tokenizer = load_tokenizer(recipe.model)
        check_template(tokenizer, recipe.prompt.template)
        arguments = rl_arguments(recipe, run)
        model = load_model(recipe.model)
        longest = max((s.max_tokens for s in recipe.sampling.schedule), default=0)
        tokens = max(recipe.sampling.max_tokens, longest)
        shown = [p if isinstance(p, str) else p[-1]["content"] for p in rows[:200]["prompt"]]
        prompt_tokens = max(len(ids) for ids in tokenizer(shown).input_ids)
        check_context(model, prompt_tokens + tokens, "sampling.max_tokens", tokens)
        load_models(recipe.rewards)
        said = begun(tokenizer, rows[0]["prompt"], recipe)
        bound = [after(said, bind(entry, i)) for i, entry in enumerate(recipe.rewards)]
        ahead = {
            i: Ahead(bound[i], entry.knobs.get("seconds", 3.0))
            for i, entry in enumerate(recipe.rewards)
            if entry.name == "accuracy"
        }
        trainer = RLTrainer(
            model=model,
            args=arguments,
            reward_funcs=[aside(ahead.get(i, reward)) for i, reward in enumerate(bound)],
            ahead=list(ahead.values()),
            train_dataset=rows,
            eval_dataset=held_out,
            processing_class=tokenizer,
            peft_config=lora_config(recipe.model),
            run=run,
            recipe=recipe,
        )
        if recipe.sampling.schedule:
            trainer.add_callback(LengthSchedule(recipe.sampling.schedule, trainer))
        return trainer

    fit(build, recipe, run, block)


def begun(tokenizer: Any, prompt: Any, recipe: RLRecipe) -> str:
    """Return what a template says of the completion already; nothing where TRL takes thinking out of messages."""
    parsed = any(getattr(tokenizer, f"response_{kind}", None) for kind in ("template", "schema"))
    if parsed and not isinstance(prompt, str):
        return ""
    settings = {"template_settings": recipe.trl.get("chat_template_kwargs") or {}}
    return beginning(render_chat(tokenizer, prompt, recipe.prompt.model_copy(update=settings)), "")
