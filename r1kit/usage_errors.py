"""What click refuses in a command line, and commands that do not exist, as one line that says what to type.

A word that means one of r1kit's is looked up in r1kit/synonyms.py, a field of a recipe that is written as an option
(`--lr 1e-5`) in the recipe of the command's stage, and a misspelt word by its letters.
"""

import difflib
import os
import shlex
from collections.abc import Collection, Sequence
from typing import Any

import typer

from r1kit.errors import UNSET, UserError, suggest
from r1kit.stages import STAGES
from r1kit.synonyms import (
    EXTRA_ARGUMENT_ACTIONS,
    OPTION_ACTIONS,
    OPTIONS,
    POSITIONS,
    normalise_word,
    suggest_command,
    words_meaning,
)

# Typer carries a copy of click of its own, from which it exports only some exceptions; this is their base class.
UsageError: type[Exception] = typer.BadParameter.__bases__[0]
# What click calls the types of options, in the words of a recipe's errors.
_CLICK_TYPES = {"a valid int": "a whole number", "a valid float": "a number"}


def explain_unknown_command(name: str, rest: Sequence[str], commands: Collection[str]) -> tuple[str, str]:
    """Return what is wrong with a command's name, and what to do; `rest` are the words after it."""
    if name.endswith((".yaml", ".yml")):
        return "a recipe stands after its stage", f"run r1kit STAGE {name}; the stages are {', '.join(STAGES)}"
    if os.path.exists(os.path.join(name, "run.json")):
        return "no such command, but a run", f"run r1kit chat {name}, r1kit report {name} or r1kit eval --model {name}"
    return "no such command", suggest_command(name, list(rest), commands) or suggest(name, commands)


def is_unknown_option(error: Any) -> bool:
    """Return whether an error of click is about an option that the command does not have."""
    return getattr(error, "possibilities", UNSET) is not UNSET


def explain_unknown_option(error: Any, words: Sequence[str]) -> UserError:
    """Return the error for an option that a command lacks; `words` are those after the command's name."""
    option, value = _find_option(error.option_name, words)
    options: list[str] = []
    for parameter in error.ctx.command.get_params(error.ctx):
        if getattr(parameter, "hidden", False):
            continue
        options += [name for name in parameter.opts if name.startswith("--")]
    action = _suggest_option(option, value, options, error.ctx)
    if words[:1] == ["inspect"]:
        action = f"write {normalise_word(option)}={value or '...'}"
    return UserError(option, UNSET, "no such option", action or f"see {error.ctx.command_path} --help")


def _find_option(name: str, words: Sequence[str]) -> tuple[str, str | None]:
    """Return an option as it was typed, and its value, None without one. Of `-lr`, click names only `-l` or `-r`."""
    for position, word in enumerate(words):
        option, equals_sign, value = word.partition("=")
        letters = option[1:] if option[:1] == "-" and option[1:2] != "-" else ""
        if option != name and name[1:] not in list(letters):
            continue
        following = words[position + 1 : position + 2]
        if equals_sign:
            return option, value
        if following and not following[0].startswith("-") and "=" not in following[0]:
            return option, following[0]
        return option, None
    return name, None


def _suggest_option(option: str, value: str | None, options: Sequence[str], context: Any) -> str:
    """Return what to write in the place of an option; "" if nothing is like it."""
    word = normalise_word(option)
    stage = STAGES.get(context.command.name)
    same = [name for name in options if normalise_word(name) == word]
    similar_options = same or words_meaning(OPTIONS, option, options)
    if similar_options:
        return f"did you mean {similar_options[0]}?"
    if word in OPTION_ACTIONS and stage is not None:
        return OPTION_ACTIONS[word].format(command=context.command_path)
    if stage is not None:
        from r1kit.recipe.key_words import suggest_setting
        from r1kit.recipe.stages import recipe_class

        setting = suggest_setting(recipe_class(stage.name), option, UNSET if value is None else value)
        if setting:
            return setting
    is_misspelt = bool(difflib.get_close_matches(word, [normalise_word(name) for name in options], cutoff=0.8))
    if context.command.name == "plan" and not is_misspelt:
        from r1kit.recipe.key_words import suggest_setting
        from r1kit.recipe.stages import recipe_class

        for name in ("sft", "rl"):  # together they have the fields that a plan may change
            setting = suggest_setting(recipe_class(name), option, UNSET if value is None else value)
            if setting:
                return setting
    for parameter in context.command.params:
        if words_meaning(POSITIONS, word, [parameter.metavar or ""]):
            return f"write {value or parameter.metavar} without an option: {context.command_path} {value or '...'}"
    commands = getattr(context.command, "commands", {})
    for name, command in commands.items():
        if any(option in parameter.opts for parameter in command.params):
            return f"write it after the command, such as r1kit {name} {option}"
    nearest = difflib.get_close_matches(word, [normalise_word(name) for name in options], n=1)
    return f"did you mean --{nearest[0].replace('_', '-')}?" if nearest else ""


def explain_usage_error(error: Any) -> str:
    """Return an error of click, such as a missing argument, as one line that names the way out."""
    option = getattr(error, "option_name", None)
    if option is not None and "requires" in error.message:
        return str(UserError(option, UNSET, "needs a value", f"write {option} VALUE"))
    if option is not None:
        return str(UserError(option, UNSET, "takes no value", f"write {option} alone, or leave it out"))
    command = error.ctx.command_path if error.ctx else "r1kit"
    _, is_extra, arguments = error.message.partition("unexpected extra argument")
    if is_extra:
        argument = arguments.partition("(")[2].partition("(")[2].removesuffix(")")
        action = EXTRA_ARGUMENT_ACTIONS.get(error.ctx.command.name, f"remove it, or see {command} --help")
        action = action.format(argument=shlex.quote(argument))
        return str(UserError("argument", argument, "is one more than this command takes", action))
    return _explain_wrong_value(error, f"see {command} --help")


def _explain_wrong_value(error: Any, action: str) -> str:
    """Return an error of click about a missing argument or the value of an option as `field = value; ...; action`."""
    parameter = getattr(error, "param", None)
    if parameter is None:
        return f"{error.format_message().rstrip('.')}; {action}"
    options = [option for option in parameter.opts if option.startswith("--")]
    field = options[0] if options else parameter.metavar or parameter.name
    if not error.message:  # an argument or option that is missing
        return str(UserError(field, UNSET, "is required", action))
    value, verb, expected = error.message.rstrip(".").partition(" is not ")
    if not verb:
        return str(UserError(field, UNSET, error.message.rstrip("."), action))
    expected = expected.removesuffix(" range")
    requirement = f"must be {_CLICK_TYPES.get(expected, expected)}"
    return str(UserError(field, value.strip("'"), requirement, action))
