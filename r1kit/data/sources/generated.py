"""Sources that are generated, not read: the scale model's world, reasoning_gym's tasks, and the model's identity.

path: world:arithmetic
path: world:countdown                split: dev
path: reasoning_gym:chain_sum        settings: {min_terms: 2, max_terms: 4}
path: self-cognition:R1-Mini         settings: {maker: Our Lab, languages: [en, zh]}
"""

import importlib.util
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from r1kit.data import world
from r1kit.data.sources.self_cognition import generate_self_cognition_rows
from r1kit.errors import UserError, suggest
from r1kit.recipe import SourceConfig
from r1kit.rows import Row

DEFAULT_ROWS = 1000
"""Rows of a source that does not say how many."""
SPLITS = ("train", "test")
# The test split of a reasoning_gym task has a seed of its own, far from any that a recipe would set.
TEST_SEED_OFFSET = 1_000_003

# Rows of the world that are no questions of its three domains: documents to pre-train on, and the calculator's.
_OTHER_WORLD_ROWS: dict[str, Callable[[str, int, int], Iterator[Row]]] = {
    "text": world.world_documents,
    "calculator": world.calculator_problems,
    "calculator_turns": world.calculator_conversations,
}
# The rows of the countdown world, which has the split `dev` besides.
_COUNTDOWN_ROWS: dict[str, Callable[[str, int, int], Iterator[Row]]] = {
    **{domain: partial(world.countdown_rows, domain) for domain in world.TERM_COUNTS},
    "countdown_text": world.countdown_documents,
}


def is_generated_source(path: str) -> bool:
    """Return whether a source's path names a generator, as `world:arithmetic` does."""
    generator, colon, _ = path.partition(":")
    return bool(colon) and generator in ROW_GENERATORS


def generate_rows(source: SourceConfig, field: str) -> Iterator[Row]:
    """Yield the rows of a generated source. Raises UserError if it cannot be generated."""
    generator, _, name = source.path.partition(":")
    return ROW_GENERATORS[generator](name, source, field)


def _generate_world_rows(name: str, source: SourceConfig, field: str) -> Iterator[Row]:
    if source.settings:
        raise UserError(f"{field}.settings", source.settings, "the world has no settings", "remove the settings")
    count = source.rows or DEFAULT_ROWS
    if name in _COUNTDOWN_ROWS:
        _check_split(source, field, world.COUNTDOWN_SPLITS)
        return _COUNTDOWN_ROWS[name](source.split, count, source.seed)
    _check_split(source, field)
    if name in _OTHER_WORLD_ROWS:
        return _OTHER_WORLD_ROWS[name](source.split, count, source.seed)
    if name in world.DOMAINS:
        return world.world_rows(name, source.split, count, source.seed)
    action = suggest(name, [*world.DOMAINS, *_OTHER_WORLD_ROWS, *_COUNTDOWN_ROWS])
    raise UserError(f"{field}.path", source.path, "no such domain of the world", action)


def _check_split(source: SourceConfig, field: str, splits: Sequence[str] = SPLITS) -> None:
    if source.split not in splits:
        requirement = f"this generated source has the splits {', '.join(splits[:-1])} and {splits[-1]}"
        raise UserError(f"{field}.split", source.split, requirement, "use one of them")


def _generate_gym_rows(name: str, source: SourceConfig, field: str) -> Iterator[Row]:
    """Return the problems of a reasoning_gym task, which its own scorer judges."""
    if importlib.util.find_spec("reasoning_gym") is None:
        requirement = "needs the library reasoning_gym"
        raise UserError(f"{field}.path", source.path, requirement, "pip install 'r1kit[reasoning-gym]'")
    from reasoning_gym.factory import DATASETS

    if name not in DATASETS:
        raise UserError(f"{field}.path", source.path, "no such task of reasoning_gym", suggest(name, DATASETS))
    _check_split(source, field)
    return _gym_rows(_create_gym_task(name, source, field), name)


def _create_gym_task(name: str, source: SourceConfig, field: str) -> Any:
    """Return the data set of a reasoning_gym task. Raises UserError for settings that the task does not take."""
    import reasoning_gym
    from reasoning_gym.factory import DATASETS

    seed = source.seed if source.split == "train" else source.seed + TEST_SEED_OFFSET
    settings = {"seed": seed, "size": source.rows or DEFAULT_ROWS, **source.settings}
    try:
        return reasoning_gym.create_dataset(name, **settings)
    except TypeError as error:
        fields = [key for key in DATASETS[name][1].__dataclass_fields__ if key not in ("seed", "size")]
        unknown_keys = [key for key in source.settings if key not in fields]
        requirement, action = f"must be settings of {name}", "correct them"
        if unknown_keys:
            action = suggest(unknown_keys[0], fields)
        else:
            requirement = f"{requirement}: {error}"
        raise UserError(f"{field}.settings", source.settings, requirement, action) from None
    except (AssertionError, ValueError) as error:
        reason = f": {error}" if str(error) else ""
        requirement = f"{name} refuses these values{reason}"
        raise UserError(f"{field}.settings", source.settings, requirement, "correct them") from None


def _gym_rows(task: Any, name: str) -> Iterator[Row]:
    for item in task:
        yield {
            "prompt": item["question"],
            "answer": None if item["answer"] is None else str(item["answer"]),
            "checker": "reasoning_gym",
            "metadata": json.dumps(item["metadata"], default=str),
            "domain": name,
        }


ROW_GENERATORS: dict[str, Callable[[str, SourceConfig, str], Iterator[Row]]] = {
    "world": _generate_world_rows,
    "reasoning_gym": _generate_gym_rows,
    "self-cognition": generate_self_cognition_rows,
}
