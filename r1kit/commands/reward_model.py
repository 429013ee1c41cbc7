"""`r1kit reward-model`: train a model that scores completions, for the reward `preference`.

    r1kit reward-model recipes/tiny/reward_model.yaml
    r1kit rl recipe.yaml rewards='[{name: preference, model: runs/tiny/reward_model}]'

The data are pairs of a better and a worse completion of one prompt (r1kit/data/preferences.py). At the end the model
scores the held-out pairs through the code of the reward itself; how many it orders rightly stands in
`reward_model.json`.
"""

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from r1kit.data.preferences import Pair, load_pairs
from r1kit.heavy_imports import heavy_imports
from r1kit.messages import logger, print_progress
from r1kit.models.chat_templates import check_template_settings
from r1kit.models.load import load_scoring_model_to_train, load_tokenizer
from r1kit.models.templates import check_chat_template
from r1kit.preflight.pairs import check_pair_length
from r1kit.ranks import is_main_rank
from r1kit.recipe import RewardModelRecipe
from r1kit.rewards.reward_models import describe_judged_text, forget_reward_models, load_reward_model
from r1kit.runs.files import write_file
from r1kit.runs.run import Run
from r1kit.stages import STAGES
from r1kit.training.arguments import build_reward_model_config

if TYPE_CHECKING:
    from r1kit.training.reward_model import TokenizedPairs

FIRST_PAIR_FILE = "first_row.txt"
MEASURES_FILE = "reward_model.json"
"""The file of a run that says how many held-out pairs its reward model orders rightly."""
MEASURED_ROWS = 16
"""Texts that are scored at once where the held-out pairs are measured."""


def main(recipe: RewardModelRecipe, run: Run) -> None:
    """Train the reward model of a recipe, save it in the run directory, and measure it on the held-out pairs."""
    # The data comes first: a mistake in it is then reported before torch is imported.
    train_pairs, held_out_pairs = load_pairs(recipe)

    with heavy_imports():
        from r1kit.training.core import run_training
        from r1kit.training.reward_model import RewardModelTrainer, tokenize_pairs

    tokenizer = load_tokenizer(recipe.model)
    check_chat_template(tokenizer, recipe.prompt.template)
    check_template_settings(tokenizer, recipe.prompt.template_settings)
    judged = describe_judged_text(recipe)
    max_length = recipe.training.max_length
    train = tokenize_pairs(train_pairs, tokenizer, judged, max_length, "data.train")
    held_out = tokenize_pairs(held_out_pairs, tokenizer, judged, max_length, "data.eval") if held_out_pairs else None
    _show_first_pair(train, run)

    def build_trainer() -> RewardModelTrainer:
        from transformers import set_seed

        arguments = build_reward_model_config(recipe, run)
        arguments.max_length = None  # long pairs are dealt with already, and TRL would read all of them again
        set_seed(recipe.seed)  # for the new score layer
        model, lora_config = load_scoring_model_to_train(recipe.model)
        _check_length(recipe, model, train)
        return RewardModelTrainer(
            model=model,
            args=arguments,
            train_dataset=train.dataset,
            eval_dataset=held_out.dataset if held_out and recipe.training.eval_steps else None,
            processing_class=tokenizer,
            peft_config=lora_config,
            recipe=recipe,
        )

    product = STAGES["reward-model"].product
    run_training(build_trainer, recipe, run, product=product)
    if is_main_rank():
        measures = measure_reward_model(str(run.path / product), held_out_pairs, len(train.dataset))
        write_file(run.path / MEASURES_FILE, json.dumps(measures, indent=2) + "\n")
        _report(measures)


def _show_first_pair(train: "TokenizedPairs", run: Run) -> None:
    if not is_main_rank():
        return
    better, worse = train.first_texts
    first_pair = f"first pair, better: {better!r}\nfirst pair, worse: {worse!r}"
    print_progress(first_pair)
    write_file(run.path / FIRST_PAIR_FILE, f"{first_pair}\n")
    run.update(pairs_trained=len(train.dataset), pairs_too_long=train.too_long)
    if train.too_long:
        logger.warning(f"{train.too_long} pairs are left out, which are longer than training.max_length")


def _check_length(recipe: RewardModelRecipe, model: Any, train: "TokenizedPairs") -> None:
    """Raise UserError where a pair does not fit into the model's context."""
    longest = 0
    for row in train.dataset:
        longest = max(longest, len(row["chosen_ids"]), len(row["rejected_ids"]))
    check_pair_length(recipe, model.config, longest)


def measure_reward_model(path: str, pairs: Sequence[Pair], trained_pairs: int) -> dict[str, Any]:
    """Return how many of some pairs the reward model at `path` orders rightly, by the code of the reward `preference`.

    A tie is not right. `interval` is Wilson's of 95%; `domains` has the counts of each value of the column `domain`.
    Pairs with a text beyond the model's context are counted as `not_scored`.
    """
    measures: dict[str, Any] = {"trained_pairs": trained_pairs, "held_out_pairs": len(pairs)}
    if not pairs:
        return measures
    forget_reward_models()  # this process may have loaded an earlier one of the same path
    reward_model = load_reward_model(path)
    chosen = [reward_model.render(pair.prompt, pair.chosen) for pair in pairs]
    rejected = [reward_model.render(pair.prompt, pair.rejected) for pair in pairs]
    margins = []
    better_scores = reward_model.score(chosen, MEASURED_ROWS)
    worse_scores = reward_model.score(rejected, MEASURED_ROWS)
    for better, worse in zip(better_scores, worse_scores, strict=True):
        margins.append(better - worse)
    return measures | summarise_margins(margins, [pair.domain for pair in pairs])


def summarise_margins(margins: Sequence[float], domains: Sequence[str | None]) -> dict[str, Any]:
    """Return what the margins of pairs say: a margin is the better completion's score minus the worse one's."""
    from scipy.stats import binomtest

    scored = [margin for margin in margins if not math.isnan(margin)]
    right = sum(margin > 0 for margin in scored)
    summary: dict[str, Any] = {"not_scored": len(margins) - len(scored), "right": right}
    summary["ties"] = sum(margin == 0 for margin in scored)
    if scored:
        interval = binomtest(right, len(scored)).proportion_ci(method="wilson")
        summary["accuracy"] = right / len(scored)
        summary["interval"] = [interval.low, interval.high]
        summary["mean_margin"] = sum(scored) / len(scored)
    by_domain: dict[str, dict[str, int]] = {}
    for margin, domain in zip(margins, domains, strict=True):
        if domain is not None and not math.isnan(margin):
            counts = by_domain.setdefault(domain, {"pairs": 0, "right": 0})
            counts["pairs"] += 1
            counts["right"] += margin > 0
    return summary | ({"domains": by_domain} if by_domain else {})


def _report(measures: dict[str, Any]) -> None:
    if "accuracy" not in measures:
        logger.warning("no pair was held out, so that nothing is known of how well the model orders pairs")
        return
    low, high = measures["interval"]
    scored = measures["held_out_pairs"] - measures["not_scored"]
    print_progress(
        f"{measures['right']} of {scored} held-out pairs are ordered rightly: {measures['accuracy']:.1%} "
        f"({low:.1%} to {high:.1%})"
    )
