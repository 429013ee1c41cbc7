"""The checks across the fields of sampling and of what is kept of it, and of the stages generate and verifier."""

from r1kit.errors import UNSET, UserError, suggest
from r1kit.recipe.block import value_with_origin
from r1kit.recipe.filters import PREFERENCES, FiltersConfig
from r1kit.recipe.rewards import RewardConfig, has_accuracy_reward, reward_names
from r1kit.recipe.sampling import SamplingConfig, ServerConfig
from r1kit.recipe.server_keys import check_key_name
from r1kit.recipe.stages import GenerateRecipe, VerifierRecipe


def check_sampling(sampling: SamplingConfig, field: str) -> None:
    """Check a block of sampling, which is at the key `field`, such as `refine.sampling`."""
    if sampling.temperature == 0 and sampling.samples > 1:
        requirement = f"all samples are the same at {field}.temperature = 0"
        raise UserError(
            f"{field}.samples", value_with_origin(sampling, "samples"), requirement, f"set {field}.samples=1"
        )
    if sampling.vllm and sampling.engine != "vllm":
        requirement = f"the engine {sampling.engine} does not use it"
        raise UserError(f"{field}.vllm", sampling.vllm, requirement, f"set {field}.engine=vllm")
    length = sampling.vllm.get("max_model_len")
    if isinstance(length, int) and sampling.max_tokens >= length:
        requirement = f"must be above {field}.max_tokens = {sampling.max_tokens}, to hold a prompt too"
        raise UserError(f"{field}.vllm.max_model_len", length, requirement, f"lower {field}.max_tokens, or raise it")
    if sampling.server != ServerConfig() and sampling.engine != "openai":
        requirement = f"the engine {sampling.engine} asks no server"
        raise UserError(f"{field}.server", UNSET, requirement, f"set {field}.engine=openai")
    check_key_name(f"{field}.server.key", sampling.server.key)
    budget = sampling.budget
    if budget.cost and not (budget.input_price or budget.output_price):
        requirement = "a cost cannot be counted without prices"
        raise UserError(f"{field}.budget.cost", budget.cost, requirement, f"set {field}.budget.output_price")


def check_filters(filters: FiltersConfig, rewards: list[RewardConfig], names: list[str]) -> None:
    """Check the block `keep`; `names` are the columns of rewards that its filters can use."""
    if filters.prefer not in (*PREFERENCES, *names):
        requirement = f"must be {', '.join(PREFERENCES)} or a reward of this recipe"
        raise UserError("keep.prefer", filters.prefer, requirement, suggest(filters.prefer, (*PREFERENCES, *names)))
    if filters.prefer != FiltersConfig().prefer and filters.per_prompt is None:
        requirement = "has no effect while all completions of a prompt are kept"
        raise UserError("keep.prefer", filters.prefer, requirement, "set keep.per_prompt")
    _check_pass_rate(filters, names)
    has_pass_rate = filters.pass_rate != (0.0, 1.0)
    if not has_accuracy_reward(rewards):
        requirement = "needs a reward that decides correctness"
        if filters.correct:
            action = "add accuracy to rewards, or set keep.correct=false"
            raise UserError("keep.correct", value_with_origin(filters, "correct"), requirement, action)
        if has_pass_rate and filters.pass_rate_by is None:
            raise UserError("keep.pass_rate", list(filters.pass_rate), requirement, "add accuracy to rewards")
    if filters.min_tokens and filters.max_tokens and filters.min_tokens > filters.max_tokens:
        requirement = f"must not be above keep.max_tokens = {filters.max_tokens}"
        raise UserError("keep.min_tokens", filters.min_tokens, requirement, "swap the two numbers")


def _check_pass_rate(filters: FiltersConfig, names: list[str]) -> None:
    lowest, highest = filters.pass_rate
    if lowest > highest:
        requirement = "must be the lowest and the highest fraction"
        raise UserError("keep.pass_rate", [lowest, highest], requirement, "swap the two numbers")
    if filters.pass_rate_by is None:
        return
    if filters.pass_rate_by not in names:
        requirement = "must be a reward of this recipe"
        raise UserError("keep.pass_rate_by", filters.pass_rate_by, requirement, suggest(filters.pass_rate_by, names))
    if (lowest, highest) == (0.0, 1.0):
        requirement = "has no effect while keep.pass_rate keeps all prompts"
        raise UserError("keep.pass_rate_by", filters.pass_rate_by, requirement, "set keep.pass_rate")


def check_generate(recipe: GenerateRecipe) -> None:
    """Check the sampling, the filters and the teachers of a stage generate."""
    check_sampling(recipe.sampling, "sampling")
    check_filters(recipe.keep, recipe.rewards, reward_names(recipe.rewards))
    if recipe.thinking == "short" and recipe.keep.max_thinking is None:
        requirement = "needs the largest number of words of short thinking"
        raise UserError("thinking", recipe.thinking, requirement, "set keep.max_thinking")
    if recipe.refine and recipe.journey:
        raise UserError("refine", UNSET, "journey is set too", "remove one of the two, or run generate twice")
    for field, teacher in (("refine", recipe.refine), ("journey", recipe.journey)):
        if teacher is None:
            continue
        check_sampling(teacher.sampling, f"{field}.sampling")
        if not has_accuracy_reward(recipe.rewards):
            requirement = "needs a reward that decides correctness, since rewritten rows are checked again"
            raise UserError(field, UNSET, requirement, "add accuracy to rewards")
    if recipe.data.eval:
        raise UserError("data.eval", UNSET, "the stage generate evaluates nothing", "remove it, or use data.train")
    if recipe.journey and recipe.sampling.samples < 2:
        requirement = "a journey needs a wrong and a right completion of the same prompt"
        raise UserError(
            "sampling.samples", value_with_origin(recipe.sampling, "samples"), requirement, "use at least 2, better 8"
        )


def check_verifier(recipe: VerifierRecipe) -> None:
    """Check that a verifier can learn from what is sampled."""
    check_sampling(recipe.sampling, "sampling")
    if recipe.sampling.engine == "openai":
        requirement = "a verifier needs the hidden layers of the model, which a server does not give"
        raise UserError("sampling.engine", recipe.sampling.engine, requirement, "use the engine transformers or vllm")
    if not has_accuracy_reward(recipe.rewards):
        requirement = "a verifier learns correctness, which needs a reward that decides it"
        raise UserError("rewards", reward_names(recipe.rewards), requirement, "add accuracy to rewards")
