"""What TRL and the libraries below it refuse, as one line for the user instead of a traceback.

The block `trl` of a recipe reaches settings that r1kit does not know one by one. A value of the wrong type is found
before TRL sees it; what a library itself refuses while the trainer is built, or before its first step, is told in the
library's own words.

    check_types(SFTConfig, {"adam_epsilon": "1e-8"})        {"adam_epsilon": 1e-08}, which YAML reads as a text
    with library_refusals(recipe.trl):                      ValueError of TRL -> UserError
        trainer = SFTTrainer(...)
"""

import contextlib
import sys
import traceback
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

from r1kit.errors import UNSET, UserError

# Packages whose own exceptions are about what they were given. Of torch these are the optimizers alone.
_REFUSING_PACKAGES = (
    "/trl/",
    "/transformers/",
    "/peft/",
    "/accelerate/",
    "/bitsandbytes/",
    "/deepspeed/",
    "/torch/optim/",
    "/huggingface_hub/",
    "/httpx",
    "/httpcore",
)


def check_types(config_class: Any, trl_block: dict[str, Any]) -> dict[str, Any]:
    """Return the block `trl` with its values in the types that TRL's config declares.

    YAML reads `1e-8` as a text, and a number stands for it here. Raises UserError for a value of another type.
    """
    from pydantic import TypeAdapter, ValidationError

    hints = _type_hints(config_class)
    checked = {}
    for key, value in trl_block.items():
        hint = hints.get(key, Any)
        if not _is_number(hint):
            checked[key] = value
            continue
        try:
            checked[key] = TypeAdapter(hint).validate_python(value)
        except ValidationError:
            raise UserError(f"trl.{key}", value, f"must be {_describe(hint)}", "correct it") from None
    return checked


def _type_hints(config_class: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(config_class)
    except NameError:  # a type that only a type checker imports
        return {}


def _is_number(hint: Any) -> bool:
    """Return whether a type is that of numbers and switches: what TRL declares as a text may be more than that."""
    return all(option in (bool, int, float, types.NoneType) for option in typing.get_args(hint) or (hint,))


def _describe(hint: Any) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number"}
    return " or ".join(names[option] for option in typing.get_args(hint) or (hint,) if option in names)


@contextlib.contextmanager
def library_refusals(
    trl_block: dict[str, Any], is_before_training: Callable[[], bool] = lambda: True
) -> Iterator[None]:
    """Turn an exception that a library raises about its settings into a UserError.

    Exceptions of r1kit itself, of torch and of a user's own code stay as they are, and so do those that come once
    `is_before_training` says False.
    """
    try:
        yield
    except (UserError, RecursionError):
        raise
    except Exception as error:
        is_refusal = not isinstance(error, RuntimeError) or isinstance(error, NotImplementedError)
        file = _raising_file(error)
        is_of_library = any(package in file for package in _REFUSING_PACKAGES)
        # Without a block `trl`, the settings are r1kit's own, all but those of an adapter.
        has_settings = bool(trl_block) or "/peft/" in file
        if not (is_refusal and is_of_library and has_settings and is_before_training()):
            raise
        raise _refusal(error, trl_block, is_of_peft="/peft/" in file) from None


def _raising_file(error: Exception) -> str:
    """Return the source file, outside the standard library, in which an exception was raised."""
    library_folder = f"{sys.base_prefix}/lib/python"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        is_standard = frame.filename.startswith(library_folder) and "-packages/" not in frame.filename
        if not is_standard and not frame.filename.startswith("<"):
            return frame.filename
    return ""


def _refusal(error: Exception, trl_block: dict[str, Any], is_of_peft: bool) -> UserError:
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    if is_of_peft:
        return UserError("model.lora", UNSET, f"peft refuses this: {text}", "correct it, or remove it")
    library = "the hub" if "http" in type(error).__module__ else "TRL"
    requirement = f"{library} refuses this: {text}"
    named = [key for key in trl_block if key in text]
    # The value of a field may be quoted without its name.
    named += [key for key, value in trl_block.items() if key not in named and str(value) and str(value) in text]
    if len(trl_block) == 1:
        named = list(trl_block)
    if named:
        return UserError(f"trl.{named[0]}", trl_block[named[0]], requirement, "correct it, or remove it")
    return UserError("trl", trl_block or UNSET, requirement, "change the recipe")
