"""The checks across the fields of a recipe, made before anything heavy is imported.

What a single field may hold is checked by its type. Here are the rules between fields, such as that the batch of an RL
run holds whole groups. Each check raises UserError with the field to change.
"""

from r1kit.errors import UNSET, UserError
from r1kit.languages.detect import LANGUAGES, language_code
from r1kit.prompts import AUTO_TEMPLATE, is_plain_template
from r1kit.recipe.data import DataConfig, SourceConfig
from r1kit.recipe.eval_checks import check_eval, check_suite
from r1kit.recipe.prompt import PromptConfig
from r1kit.recipe.sampling_checks import check_filters, check_generate, check_verifier
from r1kit.recipe.stages import (
    DataRecipe,
    EvalRecipe,
    GenerateRecipe,
    Recipe,
    RewardModelRecipe,
    SFTRecipe,
    TrainingRecipe,
    VerifierRecipe,
)
from r1kit.recipe.training_checks import check_training
from r1kit.recipe.webhook import webhook_address
from r1kit.user_paths import describe_scheme, describe_unexpanded

SHARE_TOLERANCE = 1e-6  # by how much the shares of sources may miss 1, for shares such as three times 0.3333333


def check_recipe(recipe: Recipe) -> None:
    """Raise UserError where the fields of a recipe contradict each other, or a needed one is missing."""
    if not isinstance(recipe, EvalRecipe):
        _check_data(recipe.data, "train")
    elif recipe.suite or recipe.read:
        check_suite(recipe)
    else:
        _check_data(recipe.data, "eval")
    if recipe.output is None:
        raise UserError("output", UNSET, "a run needs a directory to write to", "set output or pass --output DIR")
    no_folder = describe_unexpanded(recipe.output) or describe_scheme(recipe.output)
    if no_folder:
        raise UserError("output", recipe.output, no_folder, "write the folder itself, or pass --output DIR")
    _check_webhook(recipe.webhook)
    _check_model(recipe)
    _check_prompts(recipe)
    if isinstance(recipe, TrainingRecipe):
        check_training(recipe)
    elif isinstance(recipe, GenerateRecipe):
        check_generate(recipe)
    elif isinstance(recipe, DataRecipe):
        check_filters(recipe.keep, recipe.rewards, names=[])
    elif isinstance(recipe, EvalRecipe):
        check_eval(recipe)
    elif isinstance(recipe, VerifierRecipe):
        check_verifier(recipe)


def _check_webhook(value: str | None) -> None:
    if value is not None and webhook_address(value) is None:
        requirement = "must be an address, or the name of an environment variable that holds one"
        raise UserError("webhook", value, requirement, "correct it, or export the variable")


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
            raise UserError("model.path", path, "model.new is set too", "remove one of the two")
        if new is not None and recipe.model.lora is not None:
            requirement = "an adapter is saved without the model under it, and a new model is saved nowhere else"
            raise UserError("model.lora", UNSET, requirement, "remove it, or set model.path in place of model.new")
    elif isinstance(recipe, EvalRecipe) and recipe.read and not recipe.suite:
        if path is not None or recipe.models:
            requirement = "shows results of other programs, for which no model is asked"
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
        requirement = "asks a model as it was trained, which this training only decides"
        raise UserError("prompt.template", AUTO_TEMPLATE, requirement, "use chat, r1-zero, or a text with {prompt}")


def _check_prompt(prompt: PromptConfig, field: str) -> None:
    """Check that a plain template is not given what only a chat template has; `field` is the key of the block."""
    if not is_plain_template(prompt.template):
        return
    for name in ("system", "template_settings"):
        value = getattr(prompt, name)
        if value:
            requirement = f"needs a chat template, and {field}.template = {prompt.template} is plain text"
            raise UserError(f"{field}.{name}", value, requirement, f"remove it, or set {field}.template=chat")
