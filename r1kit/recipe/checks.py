"""The checks across the fields of a recipe, made before anything heavy is imported.

What a single field may hold is checked by its type. Here are the rules between fields, such as that the batch of an RL
run holds whole groups. Each check raises UserError with the field to change.
"""

from r1kit.errors import UNSET, UserError, suggest
from r1kit.languages.detect import LANGUAGES, language_code
from r1kit.prompts import AUTO_TEMPLATE, CHAT_TEMPLATE, is_plain_template
from r1kit.recipe.block import Block
from r1kit.recipe.data import DataConfig, SourceConfig
from r1kit.recipe.distill import DistillConfig, TeacherModelConfig
from r1kit.recipe.filters import PREFERENCES, FiltersConfig
from r1kit.recipe.prompt import PromptConfig
from r1kit.recipe.rewards import RewardConfig, has_accuracy_reward
from r1kit.recipe.sampling import PolicySamplingConfig, SamplingConfig, ServerConfig
from r1kit.recipe.scaling import ScalingConfig
from r1kit.recipe.stages import (
    DataRecipe,
    DistillRecipe,
    EvalRecipe,
    GenerateRecipe,
    Recipe,
    RewardModelRecipe,
    RLRecipe,
    SFTRecipe,
    TrainingRecipe,
    VerifierRecipe,
)
from r1kit.recipe.training import SFTTrainingConfig, TrainingConfig
from r1kit.recipe.trl_checks import check_trl_fields, check_vllm_length
from r1kit.recipe.webhook import webhook_address
from r1kit.user_paths import describe_unexpanded

FIELDS_OF_ROWS = ("max_length", "too_long", "loss_on", "packing", "group_by_length")
"""Fields of `training` that only a training on finished rows has."""
SHARE_TOLERANCE = 1e-6  # by how much the shares of sources may miss 1, for shares such as three times 0.3333333


def check_recipe(recipe: Recipe) -> None:
    """Raise UserError where the fields of a recipe contradict each other, or a needed one is missing."""
    if not isinstance(recipe, EvalRecipe):
        _check_data(recipe.data, "train")
    elif recipe.suite or recipe.read:
        _check_suite(recipe)
    else:
        _check_data(recipe.data, "eval")
    if recipe.output is None:
        raise UserError("output", UNSET, "a run needs a directory to write to", "set output or pass --output DIR")
    unexpanded = describe_unexpanded(recipe.output)
    if unexpanded:
        raise UserError("output", recipe.output, unexpanded, "write the folder itself, or pass --output DIR")
    _check_webhook(recipe.webhook)
    _check_model(recipe)
    _check_prompts(recipe)
    if isinstance(recipe, TrainingRecipe):
        _check_training(recipe)
    if isinstance(recipe, DistillRecipe):
        _check_distill(recipe)
    elif isinstance(recipe, RLRecipe):
        _check_rollouts(recipe)
    elif isinstance(recipe, RewardModelRecipe):
        _check_pairs(recipe)
    elif isinstance(recipe, GenerateRecipe):
        _check_generate(recipe)
    elif isinstance(recipe, DataRecipe):
        _check_filters(recipe.keep, recipe.rewards, names=[])
    elif isinstance(recipe, EvalRecipe):
        _check_eval(recipe)
    elif isinstance(recipe, VerifierRecipe):
        _check_verifier(recipe)


def _check_webhook(value: str | None) -> None:
    if value is not None and webhook_address(value) is None:
        requirement = "must be an address, or the name of an environment variable that holds one"
        raise UserError("webhook", value, requirement, "correct it, or export the variable")


def reward_names(rewards: list[RewardConfig]) -> list[str]:
    """Return the column names of the rewards of a recipe."""
    return [reward.short_name for reward in rewards]


# Data and models


def _check_data(data: DataConfig, role: str) -> None:
    """Check the sources of `train` or `eval`, whichever a stage needs."""
    sources: list[SourceConfig] = getattr(data, role)
    if not sources:
        raise UserError(f"data.{role}", UNSET, "needs at least one data set", f"set data.{role} or pass --dataset D")
    shares = [source.share for source in sources if source.share is not None]
    if shares:
        if len(shares) < len(sources) or abs(sum(shares) - 1) > SHARE_TOLERANCE:
            listed = ", ".join(str(share) for share in shares)
            requirement = f"each source needs a share, and the shares ({listed}) must sum to 1"
            raise UserError(f"data.{role}", UNSET, requirement, "correct the shares")
    elif data.rows:
        requirement = "sets the size of a mixture, which needs a share for each source"
        raise UserError("data.rows", data.rows, requirement, "set share on each source, or rows on each source")
    for index, source in enumerate(sources):
        _check_language(source.values.get("language"), f"data.{role}.{index}.values.language")
        if source.stream and source.rows is None:
            requirement = "a streamed source needs the number of rows to draw from it"
            raise UserError(f"data.{role}.{index}.stream", True, requirement, f"set data.{role}.{index}.rows")


def _check_language(language: object, field: str) -> None:
    """Check the code of a language that a recipe gives to rows; r1kit must be able to detect that language."""
    if language is None or (isinstance(language, str) and language_code(language)):
        return
    if language is False:  # what YAML 1.1 makes of the code of Norwegian
        raise UserError(field, "no", "YAML reads no as false", 'write "no" in quotes for Norwegian')
    requirement = f"must be a language that r1kit can detect: {', '.join(sorted(LANGUAGES))}"
    raise UserError(field, language, requirement, "correct or remove it")


def _check_model(recipe: Recipe) -> None:
    path, new = recipe.model.path, recipe.model.new
    if isinstance(recipe, DataRecipe):
        if path is not None:
            raise UserError("model.path", path, "the stage data uses no model", "remove it, or use generate")
        if new is not None:
            raise UserError("model.new", UNSET, "the stage data uses no model", "remove it")
    elif isinstance(recipe, SFTRecipe):
        if path is None and new is None:
            raise UserError("model.path", UNSET, "a model is needed", "set model.path or model.new, or pass --model M")
        if path is not None and new is not None:
            raise UserError("model.path", path, "a model has either a path or is new", "remove model.path or model.new")
        if new is not None and recipe.model.lora is not None:
            requirement = "an adapter needs a model that it changes, and a new one is not saved by itself"
            raise UserError("model.lora", UNSET, requirement, "remove it, or set model.path in place of model.new")
    elif isinstance(recipe, EvalRecipe) and recipe.read and not recipe.suite:
        if path is not None or recipe.models:
            requirement = "only shows results of other programs, and asks no model"
            raise UserError("read", recipe.read, requirement, "add --suite, or remove the model")
    elif isinstance(recipe, EvalRecipe) and recipe.models:
        if path is not None:
            raise UserError("model.path", path, "models is set too", "remove model.path or models")
    elif path is None:
        raise UserError("model.path", UNSET, "a model is needed", "set model.path or pass --model M")
    elif new is not None:
        raise UserError("model.new", UNSET, "only sft and distill can start from a new model", "remove model.new")


def _check_prompts(recipe: Recipe) -> None:
    """Check the prompt block, and that of each of several models."""
    _check_prompt(recipe.prompt, "prompt")
    if isinstance(recipe, EvalRecipe):
        for name, evaluated in recipe.models.items():
            if evaluated.prompt is not None:
                _check_prompt(evaluated.prompt, f"models.{name}.prompt")
    trains_rows = isinstance(recipe, SFTRecipe) and recipe.trains_on_rows
    if recipe.prompt.template == AUTO_TEMPLATE and (trains_rows or isinstance(recipe, RewardModelRecipe)):
        requirement = "this training decides how its model is asked later, and cannot take it from the model"
        raise UserError("prompt.template", AUTO_TEMPLATE, requirement, "use chat, r1-zero, or a text with {prompt}")


def _check_prompt(prompt: PromptConfig, field: str) -> None:
    """Check that a plain template is not given what only a chat template has; `field` is the key of the block."""
    if not is_plain_template(prompt.template):
        return
    for name in ("system", "template_settings"):
        value = getattr(prompt, name)
        if value:
            requirement = f"only a chat template has it, and {field}.template = {prompt.template} is plain text"
            raise UserError(f"{field}.{name}", value, requirement, f"remove it, or set {field}.template=chat")


def _with_origin(block: Block, name: str) -> object:
    """Return the value of a field for an error, which says where the user did not set it but has the default."""
    value = getattr(block, name)
    return value if name in block.model_fields_set else f"{value} (the default)".lower()


# Training


def _check_training(recipe: TrainingRecipe) -> None:
    if recipe.prompt.prefill:
        requirement = "only generate, eval and verifier can begin a completion"
        raise UserError("prompt.prefill", recipe.prompt.prefill, requirement, "remove it")
    if recipe.model.quantize and not recipe.model.lora:
        raise UserError("model.quantize", recipe.model.quantize, "4-bit weights cannot be trained", "add model.lora")
    has_held_out_pairs = isinstance(recipe, RewardModelRecipe) and recipe.pairs.held_out > 0
    _check_steps(recipe.training, has_eval_data=bool(recipe.data.eval) or has_held_out_pairs)
    check_trl_fields(recipe)


def _check_steps(training: TrainingConfig, has_eval_data: bool) -> None:
    if training.steps is not None and training.epochs is not None:
        requirement = f"training.epochs = {training.epochs} is set too"
        raise UserError("training.steps", training.steps, requirement, "remove one of the two")
    if training.micro_batch_size and training.batch_size % training.micro_batch_size:
        requirement = f"must divide training.batch_size = {training.batch_size}"
        raise UserError("training.micro_batch_size", training.micro_batch_size, requirement, "use a divisor of it")
    if training.eval_steps and not has_eval_data:
        raise UserError("training.eval_steps", training.eval_steps, "there is no data to evaluate on", "set data.eval")
    # An evaluation judges the weights of its step, which can only be kept if they are saved then.
    if training.eval_steps and training.save_steps != training.eval_steps:
        requirement = f"must equal training.save_steps = {training.save_steps}, or the best checkpoint is not saved"
        raise UserError("training.eval_steps", training.eval_steps, requirement, "set both to the same number")


def _check_distill(recipe: DistillRecipe) -> None:
    """Check that each method of `distill` has what it needs, and nothing that it would not use."""
    method = recipe.distill.method
    if method == "rows":
        use_other = "set distill.method=on-policy, or remove it"
        requirement = "the method rows learns from finished rows and asks no teacher"
        if recipe.teacher != TeacherModelConfig():
            path = UNSET if recipe.teacher.path is None else recipe.teacher.path
            raise UserError("teacher.path", path, requirement, use_other)
        if recipe.distill.divergence != DistillConfig().divergence:
            raise UserError("distill.divergence", recipe.distill.divergence, requirement, use_other)
        if recipe.sampling != PolicySamplingConfig():
            raise UserError("sampling", UNSET, "the method rows samples nothing", use_other)
        return
    for name in ("trainer", "callbacks"):
        value = getattr(recipe, name)
        if value:
            requirement = f"only training on rows takes it, and distill.method = {method}"
            raise UserError(name, value, requirement, "remove it, or set distill.method=rows")
    if recipe.teacher.path is None:
        requirement = f"the method {method} learns from the probabilities of a teacher"
        raise UserError("teacher.path", UNSET, requirement, "set teacher.path, or distill.method=rows")
    if recipe.teacher.server is not None and method == "gold":
        requirement = "the method gold needs all of the teacher's probabilities, which a server does not give"
        raise UserError("teacher.server", recipe.teacher.server, requirement, "remove it, and the teacher is loaded")
    if recipe.teacher.server is not None and recipe.sampling.temperature != 1:
        requirement = "a teacher's server gives its log-probabilities at the temperature 1"
        raise UserError("sampling.temperature", recipe.sampling.temperature, requirement, "set it to 1")
    check_vllm_length(recipe)
    if recipe.model.new is not None:
        requirement = f"the method {method} trains a model that can answer, and a new one cannot"
        raise UserError("model.new", UNSET, requirement, "set model.path, or distill.method=rows")
    for name in FIELDS_OF_ROWS:
        value = getattr(recipe.training, name)
        if value != SFTTrainingConfig.model_fields[name].default:
            requirement = f"the method {method} trains no finished rows"
            action = "set sampling.max_tokens instead" if name in ("max_length", "too_long") else "remove it"
            raise UserError(f"training.{name}", value, requirement, action)


def _check_pairs(recipe: RewardModelRecipe) -> None:
    for role in ("train", "eval"):
        for index, source in enumerate(getattr(recipe.data, role)):
            if source.share is not None:
                requirement = "reward-model makes several pairs of a prompt's rows, of which no share can be taken"
                raise UserError(f"data.{role}.{index}.share", source.share, requirement, "set rows instead")
    if recipe.data.eval and "held_out" in recipe.pairs.model_fields_set:
        requirement = "data.eval is set too, and is what is measured"
        raise UserError("pairs.held_out", recipe.pairs.held_out, requirement, "remove one of the two")
    if recipe.pairs.held_out == 1:
        raise UserError("pairs.held_out", 1, "leaves no pair to train on", "use a smaller fraction, such as 0.1")


def _check_rollouts(recipe: RLRecipe) -> None:
    training, group_size = recipe.training, recipe.sampling.group_size
    # Advantages compare the completions of a group, so a rollout must not hold a part of one.
    if recipe.completions_per_rollout % group_size:
        requirement = f"batch_size x updates_per_rollout must be a multiple of sampling.group_size = {group_size}"
        nearest = max(1, training.batch_size // group_size) * group_size
        raise UserError("training.batch_size", _with_origin(training, "batch_size"), requirement, f"use {nearest}")
    check_vllm_length(recipe)
    block = recipe.steps_per_rollout
    if training.steps and training.steps % block:
        requirement = f"must be a multiple of {block}, the steps on one rollout, because a run is resumed between them"
        raise UserError("training.steps", training.steps, requirement, f"use {-(-training.steps // block) * block}")
    if training.reference_reset_steps and training.kl == 0:
        requirement = "needs a reference model, and training.kl = 0 has none"
        action = "set training.kl above 0, or remove training.reference_reset_steps"
        raise UserError("training.reference_reset_steps", training.reference_reset_steps, requirement, action)
    if not recipe.rewards and recipe.environment is None:  # an environment may have a reward of its own
        raise UserError("rewards", recipe.rewards, "RL needs at least one reward", "add a reward, such as accuracy")
    # The name of a reward is its column in the rows and its curve in the metrics.
    names = reward_names(recipe.rewards)
    for name in names:
        if names.count(name) > 1:
            requirement = "each reward may be used once"
            raise UserError("rewards", name, requirement, "remove one of them, or give your own function another name")
    if recipe.tools or recipe.environment:
        _check_tools(recipe)


def _check_tools(recipe: RLRecipe) -> None:
    """Check what rollouts with tools or an environment need of the other fields."""
    field, value = ("tools", recipe.tools) if recipe.tools else ("environment", recipe.environment)
    if is_plain_template(recipe.prompt.template):
        requirement = (
            f"calls of tools are turns of a chat, and prompt.template = {recipe.prompt.template} is plain text"
        )
        raise UserError(field, value, requirement, "set prompt.template=chat")
    if recipe.sampling.resample:
        requirement = f"groups of rollouts with {field} cannot be replaced by other problems"
        raise UserError("sampling.resample", recipe.sampling.resample, requirement, "set it to 0")


# Sampling and filters


def _check_sampling(sampling: SamplingConfig, field: str) -> None:
    """Check a block of sampling, which is at the key `field`, such as `refine.sampling`."""
    if sampling.temperature == 0 and sampling.samples > 1:
        requirement = f"all samples are the same at {field}.temperature = 0"
        raise UserError(f"{field}.samples", _with_origin(sampling, "samples"), requirement, f"set {field}.samples=1")
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
    budget = sampling.budget
    if budget.cost and not (budget.input_price or budget.output_price):
        requirement = "a cost cannot be counted without prices"
        raise UserError(f"{field}.budget.cost", budget.cost, requirement, f"set {field}.budget.output_price")


def _check_filters(filters: FiltersConfig, rewards: list[RewardConfig], names: list[str]) -> None:
    """Check the block `keep`; `names` are the columns of rewards that its filters can use."""
    if filters.prefer not in (*PREFERENCES, *names):
        requirement = f"must be {', '.join(PREFERENCES)} or a reward of this recipe"
        raise UserError("keep.prefer", filters.prefer, requirement, suggest(filters.prefer, (*PREFERENCES, *names)))
    if filters.prefer != FiltersConfig().prefer and filters.per_prompt is None:
        requirement = "chooses among the completions of a prompt, and all of them are kept"
        raise UserError("keep.prefer", filters.prefer, requirement, "set keep.per_prompt")
    _check_pass_rate(filters, names)
    has_pass_rate = filters.pass_rate != (0.0, 1.0)
    if not has_accuracy_reward(rewards):
        requirement = "needs a reward that decides correctness"
        if filters.correct:
            action = "add accuracy to rewards, or set keep.correct=false"
            raise UserError("keep.correct", _with_origin(filters, "correct"), requirement, action)
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


def _check_generate(recipe: GenerateRecipe) -> None:
    _check_sampling(recipe.sampling, "sampling")
    _check_filters(recipe.keep, recipe.rewards, reward_names(recipe.rewards))
    if recipe.thinking == "short" and recipe.keep.max_thinking is None:
        requirement = "needs the largest number of words of short thinking"
        raise UserError("thinking", recipe.thinking, requirement, "set keep.max_thinking")
    if recipe.refine and recipe.journey:
        raise UserError("refine", UNSET, "journey is set too", "remove one of the two, or run generate twice")
    for field, teacher in (("refine", recipe.refine), ("journey", recipe.journey)):
        if teacher is None:
            continue
        _check_sampling(teacher.sampling, f"{field}.sampling")
        if not has_accuracy_reward(recipe.rewards):
            requirement = "needs a reward that decides correctness, since rewritten rows are checked again"
            raise UserError(field, UNSET, requirement, "add accuracy to rewards")
    if recipe.data.eval:
        raise UserError("data.eval", UNSET, "the stage generate evaluates nothing", "remove it, or use data.train")
    if recipe.journey and recipe.sampling.samples < 2:
        requirement = "a journey needs a wrong and a right completion of the same prompt"
        raise UserError(
            "sampling.samples", _with_origin(recipe.sampling, "samples"), requirement, "use at least 2, better 8"
        )


# Evaluation


def _check_suite(recipe: EvalRecipe) -> None:
    """Check the benchmarks of a recipe, or that it only reads results of other programs."""
    if recipe.data.eval:
        field, value = ("suite", list(recipe.suite)) if recipe.suite else ("read", recipe.read)
        requirement = "stands in place of data.eval, which is set too"
        raise UserError(field, value, requirement, "remove one of the two, or measure them in two runs")
    if recipe.scaling is not None:
        requirement = "needs one set of problems with one way of sampling"
        raise UserError("scaling", UNSET, requirement, "measure it with data.eval, in a run of its own")
    for name, benchmark in recipe.suite.items():
        if benchmark.temperature == 0 and benchmark.samples > 1:
            requirement = "all samples are the same at temperature 0"
            raise UserError(f"suite.{name}.samples", benchmark.samples, requirement, "set sampling.samples=1")
        if not has_accuracy_reward(recipe.rewards):
            requirement = "needs a reward that decides correctness"
            raise UserError("suite", list(recipe.suite), requirement, "add accuracy to rewards")


def _check_eval(recipe: EvalRecipe) -> None:
    if not recipe.suite:
        _check_sampling(recipe.sampling, "sampling")
    else:
        _check_sampling(recipe.sampling.model_copy(update={"temperature": 1.0}), "sampling")
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
        raise UserError("sampling.samples", _with_origin(sampling, "samples"), requirement, action)
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
        raise UserError("scaling.search", scaling.search, "is guided by a verifier", "set scaling.verifier")
    if sampling.engine != "transformers":
        requirement = "needs the hidden layers of the model at every step"
        raise UserError("scaling.search", scaling.search, requirement, "use the engine transformers")
    if any(paths % scaling.width for paths in scaling.paths):
        requirement = f"must be multiples of scaling.width = {scaling.width}"
        raise UserError("scaling.paths", scaling.paths, requirement, "change paths or width")


def _check_verifier(recipe: VerifierRecipe) -> None:
    _check_sampling(recipe.sampling, "sampling")
    if recipe.sampling.engine == "openai":
        requirement = "a verifier needs the hidden layers of the model, which a server does not give"
        raise UserError("sampling.engine", recipe.sampling.engine, requirement, "use the engine transformers or vllm")
    if not has_accuracy_reward(recipe.rewards):
        requirement = "a verifier learns correctness, which needs a reward that decides it"
        raise UserError("rewards", reward_names(recipe.rewards), requirement, "add accuracy to rewards")
