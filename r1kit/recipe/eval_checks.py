"""The checks across the fields of the stage eval: a suite of benchmarks, inference-time scaling, search."""

from r1kit.errors import UNSET, UserError
from r1kit.prompts import CHAT_TEMPLATE
from r1kit.recipe.block import value_with_origin
from r1kit.recipe.rewards import has_accuracy_reward, reward_names
from r1kit.recipe.sampling import SamplingConfig
from r1kit.recipe.sampling_checks import check_sampling
from r1kit.recipe.scaling import ScalingConfig
from r1kit.recipe.stages import EvalRecipe


def check_suite(recipe: EvalRecipe) -> None:
    """Check the benchmarks of a recipe, or that it only reads results of other programs."""
    if recipe.data.eval:
        field, value = ("suite", list(recipe.suite)) if recipe.suite else ("read", recipe.read)
        requirement = "stands in place of data.eval, which is set too"
        raise UserError(field, value, requirement, "remove one of the two, or measure them in two runs")
    if recipe.scaling is not None:
        requirement = "cannot be measured on benchmarks, each of which is sampled in its own way"
        raise UserError("scaling", UNSET, requirement, "measure it with data.eval, in a run of its own")
    for name, benchmark in recipe.suite.items():
        if benchmark.temperature == 0 and benchmark.samples > 1:
            requirement = "all samples are the same at temperature 0"
            raise UserError(f"suite.{name}.samples", benchmark.samples, requirement, "set sampling.samples=1")
        if not has_accuracy_reward(recipe.rewards):
            requirement = "needs a reward that decides correctness"
            raise UserError("suite", list(recipe.suite), requirement, "add accuracy to rewards")


def check_eval(recipe: EvalRecipe) -> None:
    """Check the sampling of an evaluation, and its inference-time scaling."""
    if not recipe.suite:
        check_sampling(recipe.sampling, "sampling")
    else:
        check_sampling(recipe.sampling.model_copy(update={"temperature": 1.0}), "sampling")
    if recipe.scaling is None:
        return
    ways_to_ask = [(recipe.sampling, recipe.prompt)]
    for evaluated in recipe.models.values():
        ways_to_ask.append((evaluated.choose_sampling(recipe.sampling), evaluated.prompt or recipe.prompt))
    for sampling, prompt in ways_to_ask:
        _check_scaling(recipe.scaling, sampling, has_several_models=bool(recipe.models))
        is_server_chat = sampling.engine == "openai" and prompt.template == CHAT_TEMPLATE
        if recipe.scaling.direct and is_server_chat:
            requirement = "r1kit cannot switch off thinking in a server's chat template"
            raise UserError("scaling.direct", recipe.scaling.direct, requirement, "remove it, or use another engine")
    names = reward_names(recipe.rewards)
    for name in recipe.scaling.by:
        if name not in names:
            action = f"add it to rewards, or use one of: {', '.join(names)}"
            raise UserError("scaling.by", name, "must be a reward of this recipe", action)
    if not has_accuracy_reward(recipe.rewards):
        raise UserError("scaling", UNSET, "needs a reward that decides correctness", "add accuracy to rewards")


def _check_scaling(scaling: ScalingConfig, sampling: SamplingConfig, has_several_models: bool) -> None:
    if sampling.samples < 2:
        requirement = "inference-time scaling needs several samples of each problem"
        action = "set it to the largest number to report, such as 16"
        raise UserError("sampling.samples", value_with_origin(sampling, "samples"), requirement, action)
    if scaling.samples and max(scaling.samples) > sampling.samples:
        requirement = f"must not be above sampling.samples = {sampling.samples}"
        action = "raise sampling.samples, or remove the larger numbers"
        raise UserError("scaling.samples", scaling.samples, requirement, action)
    if sampling.engine == "openai":
        action = "use the engine transformers or vllm"
        for field in ("budgets", "waits"):
            value = getattr(scaling, field)
            if value:
                requirement = "continues completions from their token ids, which a server does not accept"
                raise UserError(f"scaling.{field}", value, requirement, action)
        if scaling.verifier is not None:
            requirement = "needs the hidden layers of the model, which a server does not give"
            raise UserError("scaling.verifier", scaling.verifier, requirement, action)
    _check_search(scaling, sampling)
    if scaling.verifier is not None and has_several_models:
        requirement = "is trained for one model, and models has several"
        raise UserError("scaling.verifier", scaling.verifier, requirement, "set model.path instead of models")


def _check_search(scaling: ScalingConfig, sampling: SamplingConfig) -> None:
    if not scaling.search:
        return
    if scaling.verifier is None:
        raise UserError("scaling.search", scaling.search, "needs a verifier that guides it", "set scaling.verifier")
    if sampling.engine != "transformers":
        requirement = "needs the hidden layers of the model at every step"
        raise UserError("scaling.search", scaling.search, requirement, "use the engine transformers")
    if any(paths % scaling.width for paths in scaling.paths):
        requirement = f"must be multiples of scaling.width = {scaling.width}"
        raise UserError("scaling.paths", scaling.paths, requirement, "change paths or width")
