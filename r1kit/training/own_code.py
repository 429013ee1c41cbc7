"""Trainers and callbacks of a user's own, which a recipe names by their dotted paths.

    resolve_trainer("my_module.MyTrainer", RLTrainer)       the class, a subclass of RLTrainer
    resolve_callbacks(["my_module.Printer"])                [Printer()]

What a subclass may override is described in docs/how-to/research.md.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

from transformers import TrainerCallback

from r1kit.errors import UserError
from r1kit.rewards.own_code import import_object

AnyTrainer = TypeVar("AnyTrainer")


def resolve_trainer(path: str | None, base: type[AnyTrainer]) -> type[AnyTrainer]:
    """Return the trainer's class that a recipe's `trainer` names, `base` without one. Raises UserError."""
    if path is None:
        return base
    name = f"{base.__module__}.{base.__name__}"
    trainer = import_object(path, "trainer", "a class that Python can import")
    if not isinstance(trainer, type) or not issubclass(trainer, base):
        raise UserError("trainer", path, f"must be a subclass of {name}", f"derive it: `class Mine({base.__name__})`")
    return trainer


def resolve_callbacks(paths: Sequence[str]) -> list[TrainerCallback]:
    """Return an object of each class that a recipe's `callbacks` names. Raises UserError."""
    callbacks = []
    for index, path in enumerate(paths):
        field = f"callbacks.{index}"
        callback_class: Any = import_object(path, field, "a class that Python can import")
        if not isinstance(callback_class, type) or not issubclass(callback_class, TrainerCallback):
            requirement = "must be a subclass of transformers.TrainerCallback"
            raise UserError(field, path, requirement, "use the path of such a class")
        try:
            callbacks.append(callback_class())
        except TypeError as error:
            raise UserError(field, path, f"must be made without arguments: {error}", "give them defaults") from None
        except Exception as error:
            requirement = f"could not be made ({type(error).__name__}: {error})"
            raise UserError(field, path, requirement, "repair its __init__") from None
    return callbacks
