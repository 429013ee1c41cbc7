"""Choose the prompt by which a model is asked, where the recipe does not say it all (`prompt.template: auto`).

In this order: what the recipe sets; the prompt block that the model's run was trained with; of a model that is no run,
its chat template if the model ends its turns as that template does (an instruct model), or else `r1-zero` (a base
model, which has no chat template or has never learnt to stop at the end of a turn). What is chosen stands in the
recipe of the run, and is said in notes.

    recipe, notes = choose_prompts(recipe)     # each `prompt` in it now has a template other than `auto`
"""

import os
from pathlib import Path
from typing import Any, TypeVar

from r1kit.errors import UserError
from r1kit.prompts import AUTO_TEMPLATE, CHAT_TEMPLATE
from r1kit.recipe import (
    DistillRecipe,
    EvalRecipe,
    GenerateRecipe,
    ModelConfig,
    PromptConfig,
    Recipe,
    RLRecipe,
    TeacherConfig,
    VerifierRecipe,
    check_recipe,
)
from r1kit.runs.paths import SHIPPED_MODELS, resolve_model_path
from r1kit.runs.trained_prompt import PROMPT_FILE, TRAINED_FIELDS, read_trained_prompt, read_trained_tools

BASE_TEMPLATE = "r1-zero"
"""The template by which a base model is asked that was not trained by r1kit."""

AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)


def choose_prompts(recipe: AnyRecipe, load_models: bool = True) -> tuple[AnyRecipe, list[str]]:
    """Return a recipe in which each model that is asked has its whole prompt block, and notes on what was chosen.

    Without `load_models` nothing is fetched: a template that depends on the tokenizer of a model on the hub stays
    `auto`, as it does for a run that is not there yet and for a model that cannot be loaded. Raises UserError for
    settings that the template does not have.
    """
    if isinstance(recipe, RLRecipe):
        return _choose_rl_prompt(recipe, load_models)
    if isinstance(recipe, DistillRecipe) and not recipe.trains_on_rows:
        return _choose_distill_prompt(recipe, load_models)
    notes: list[str] = []
    if not isinstance(recipe, GenerateRecipe | EvalRecipe | VerifierRecipe):
        return recipe, notes
    if isinstance(recipe, EvalRecipe) and recipe.read and not recipe.suite:
        return recipe, notes  # no model is asked
    has_own_tokenizer = recipe.sampling.engine != "openai"
    changes: dict[str, Any] = {}
    if isinstance(recipe, EvalRecipe) and recipe.models:
        models = {}
        for name, evaluated in recipe.models.items():
            settings = _merge_settings(recipe.prompt, evaluated.prompt)
            block = recipe.model.model_copy(update={"path": evaluated.path})
            has_own_tokenizer = evaluated.choose_sampling(recipe.sampling).engine != "openai"
            prompt, note = choose_prompt(block, settings, f"models.{name}", load_models, has_own_tokenizer)
            notes += [note, _note_tools(evaluated.path, f"models.{name}")]
            models[name] = evaluated.model_copy(update={"prompt": prompt})
        changes["models"] = models
    else:
        prompt, note = choose_prompt(recipe.model, recipe.prompt, "model.path", load_models, has_own_tokenizer)
        notes += [note, _note_tools(recipe.model.path or "", "model.path")]
        changes["prompt"] = prompt
    if isinstance(recipe, GenerateRecipe):
        changes |= _choose_teacher_prompts(recipe, load_models, notes)
    chosen = recipe.model_copy(update=changes)
    check_recipe(chosen)
    return chosen, list(filter(None, notes))


def _note_tools(path: str, label: str) -> str:
    """Return a note on a model that was trained with tools, which no stage but RL offers; empty for any other."""
    tools = read_trained_tools(path)
    if not tools:
        return ""
    return f"{label} = {path} was trained with {', '.join(tools)}; here it is offered no tools, and answers in one turn"


def _choose_teacher_prompts(recipe: GenerateRecipe, load_models: bool, notes: list[str]) -> dict[str, Any]:
    """Return the blocks `refine` and `journey` of a recipe with their prompts chosen; notes are added to `notes`."""
    changes: dict[str, Any] = {}
    for name in ("refine", "journey"):
        teacher: TeacherConfig | None = getattr(recipe, name)
        if teacher is None:
            continue
        model, label = (teacher.model, f"{name}.model.path") if teacher.model else (recipe.model, "model.path")
        has_own_tokenizer = teacher.sampling.engine != "openai"
        prompt, note = choose_prompt(model, teacher.prompt, label, load_models, has_own_tokenizer)
        if note:
            notes.append(f"{name}: {note}")
        changes[name] = teacher.model_copy(update={"prompt": prompt})
    return changes


def _choose_rl_prompt(recipe: AnyRecipe, load_models: bool) -> tuple[AnyRecipe, list[str]]:
    """Return an RL recipe with its prompt block; a note says where the model was trained with another one before."""
    if recipe.prompt.template == AUTO_TEMPLATE:
        prompt, note = choose_prompt(recipe.model, recipe.prompt, "model.path", load_models)
        chosen = recipe.model_copy(update={"prompt": prompt})
        check_recipe(chosen)
        return chosen, [note] if note else []
    trained = read_trained_prompt(recipe.model.path or "")
    if trained is None or _trained_values(trained) == _trained_values(recipe.prompt):
        return recipe, []
    note = (
        f"model.path = {recipe.model.path} was trained with {describe_prompt_block(trained)}; "
        f"this run goes on with {describe_prompt_block(recipe.prompt)} (prompt.template=auto keeps the former)"
    )
    return recipe, [note]


def _choose_distill_prompt(recipe: AnyRecipe, load_models: bool) -> tuple[AnyRecipe, list[str]]:
    """Return an on-policy recipe with its prompt block: with `auto`, the one that its teacher is asked by.

    A note says where the teacher was trained with another one: asked in a way that it does not know, its probabilities
    say little.
    """
    assert isinstance(recipe, DistillRecipe)
    teacher = recipe.teacher.to_model_config()
    if recipe.prompt.template == AUTO_TEMPLATE:
        prompt, note = choose_prompt(teacher, recipe.prompt, "teacher.path", load_models)
        chosen = recipe.model_copy(update={"prompt": prompt})
        check_recipe(chosen)
        return chosen, [note] if note else []
    trained = read_trained_prompt(teacher.path or "")
    if trained is None or _trained_values(trained) == _trained_values(recipe.prompt):
        return recipe, []
    note = (
        f"teacher.path = {teacher.path} was trained with {describe_prompt_block(trained)}; here it and the student are "
        f"asked by {describe_prompt_block(recipe.prompt)} (prompt.template=auto keeps the former)"
    )
    return recipe, [note]


def choose_prompt(
    model: ModelConfig, settings: PromptConfig, label: str, load_models: bool = True, has_own_tokenizer: bool = True
) -> tuple[PromptConfig, str]:
    """Return the prompt block by which a model is asked, and a note on it, empty where the recipe says it all.

    `settings` holds what the recipe sets; `label` is the recipe's key of the model, for the note. A model behind a
    server (without `has_own_tokenizer`) that is no run of r1kit is asked by the server's chat template. The
    template of a model that cannot be loaded stays `auto`.
    """
    path = model.path or ""
    trained = read_trained_prompt(path)
    if trained is not None and not _has_template_for(trained, path):
        trained = None
    is_on_hub = not os.path.exists(path) and path not in SHIPPED_MODELS
    if trained is None and load_models and has_own_tokenizer and is_on_hub:
        resolve_model_path(path, label)
        trained = _fetch_trained_prompt(model)
    if trained is not None:
        chosen = _inherit(settings, trained)
        if chosen != settings.model_copy(update={"template": chosen.template}) or settings.template == AUTO_TEMPLATE:
            return chosen, f"{label} = {path} is asked as it was trained: by {describe_prompt_block(chosen)}"
        return chosen, ""
    if settings.template != AUTO_TEMPLATE:
        return settings, ""
    if not has_own_tokenizer:
        template, reason = CHAT_TEMPLATE, "a server's, which has a chat template of its own"
    elif not load_models and is_on_hub:
        return settings, f"{label} = {path}: prompt.template = {AUTO_TEMPLATE} is chosen when the model is read"
    else:
        try:
            template, reason = _choose_by_tokenizer(model)
        except UserError:
            # The stage loads the model too, and reports the same error after those that are found without the model.
            return settings, ""
    note = f"{label} = {path} is asked by prompt.template = {template}: it is {reason}"
    return settings.model_copy(update={"template": template}), note


def describe_prompt_block(prompt: PromptConfig) -> str:
    """Return a prompt block in words: `template = chat, template_settings = {'enable_thinking': False}`."""
    parts = [f"template = {prompt.template!r}" if "\n" in prompt.template else f"template = {prompt.template}"]
    if prompt.system is not None:
        parts.append(f"system = {prompt.system!r}")
    if prompt.template_settings:
        parts.append(f"template_settings = {prompt.template_settings}")
    return ", ".join(parts)


def _merge_settings(common: PromptConfig, own: PromptConfig | None) -> PromptConfig:
    """Return what the recipe sets for one of several models: its own keys, and those of all for the others."""
    values = common.model_dump(include=common.model_fields_set)
    if own is not None:
        values |= own.model_dump(include=own.model_fields_set)
    return PromptConfig(**values)


def _inherit(settings: PromptConfig, trained: PromptConfig) -> PromptConfig:
    """Return `settings`, with the trained values of what they leave open.

    System message and settings belong to the template: where the recipe asks by another one, they are not taken over.
    """
    if settings.template not in (AUTO_TEMPLATE, trained.template):
        return settings
    values = settings.model_dump(include=settings.model_fields_set)
    values["template"] = trained.template
    for name in TRAINED_FIELDS:
        values.setdefault(name, getattr(trained, name))
    return PromptConfig(**values)


def _trained_values(prompt: PromptConfig) -> dict[str, Any]:
    return prompt.model_dump(include=set(TRAINED_FIELDS))


def _has_template_for(prompt: PromptConfig, path: str) -> bool:
    """Return whether a local model has what its prompt block asks for.

    A model that was trained on plain text alone may have no chat template, although its recipe's default is `chat`.
    """
    if prompt.template != CHAT_TEMPLATE:
        return True
    try:
        folder = Path(resolve_model_path(path))
    except UserError:  # a run that is not finished: whoever loads the model reports it
        return True
    if (folder / "chat_template.jinja").exists() or (folder / "chat_template.json").exists():
        return True
    config = folder / "tokenizer_config.json"
    return config.exists() and '"chat_template"' in config.read_text(errors="replace")


def _fetch_trained_prompt(model: ModelConfig) -> PromptConfig | None:
    """Return the prompt block that stands beside a model on the hub, None where there is none or no network."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        file = hf_hub_download(model.path or "", PROMPT_FILE, revision=model.revision)
    except (OSError, ValueError, HfHubHTTPError):  # no such file for most models
        return None
    return read_trained_prompt(str(Path(file).parent))


def _choose_by_tokenizer(model: ModelConfig) -> tuple[str, str]:
    """Return the template for a model that is no run, and what kind of model it is, as a clause."""
    from r1kit.heavy_imports import heavy_imports

    with heavy_imports():
        import transformers  # noqa: F401
    from r1kit.models.load import load_tokenizer
    from r1kit.models.stop_tokens import end_of_turn_token, read_end_token_ids

    tokenizer: Any = load_tokenizer(model)
    if tokenizer.chat_template is None:
        return BASE_TEMPLATE, "a model without a chat template"
    token = end_of_turn_token(tokenizer)
    if token is None or tokenizer.convert_tokens_to_ids(token) in read_end_token_ids(model, tokenizer):
        return CHAT_TEMPLATE, "a model that ends its turns as its chat template does"
    return BASE_TEMPLATE, f"a base model, which does not stop at the {token} of its chat template"
