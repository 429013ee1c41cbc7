"""Checks of a data set against the rewards of a recipe, made before a run starts.

A reward that lacks a column or a checker would otherwise fail at the first training step, perhaps after an hour in
which a model was loaded.
"""

import importlib.util
import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from r1kit.errors import UserError, suggest
from r1kit.languages.detect import UNKNOWN_LANGUAGE, is_known_language
from r1kit.messages import logger
from r1kit.recipe import RewardConfig
from r1kit.rewards.judge import judge_settings
from r1kit.rewards.judge_server import connect_judge
from r1kit.rewards.own_checkers import check_checker_signature, checker_paths
from r1kit.rewards.registry import REWARDS, RewardFunction, resolve_reward
from r1kit.rewards.reward_models import load_reward_model
from r1kit.rows import CHECKERS

if TYPE_CHECKING:
    from datasets import Dataset

# Arguments that TRL or r1kit passes to a reward beside the columns of the data set.
TRAINER_ARGUMENTS = (
    "completions",
    "prompts",
    "completion_ids",
    "trainer_state",
    "log_extra",
    "log_metric",
    "environments",
)
# Rewards that decide whether an answer is correct, which takes at least one of the columns ANSWER_COLUMNS.
CORRECTNESS_REWARDS = ("accuracy", "length", "cosine")
ANSWER_COLUMNS = ("answer", "tests")


RENAME_IN_RECIPE = "rename one with data.train.0.columns"


def check_reward_columns(
    entries: Sequence[RewardConfig], columns: Sequence[str], source: str, rename_action: str = RENAME_IN_RECIPE
) -> None:
    """Raise UserError where the data set `source` lacks a column that a reward, or its `where`, needs.

    `rename_action` says how the user can rename a column.
    """
    for index, entry in enumerate(entries):
        required = _required_columns(resolve_reward(entry, index))
        _check_own_signature(entry, index, columns)
        for path in checker_paths(entry.settings.get("checkers")).values():
            check_checker_signature(path, index, columns)
        for column in (*required, *entry.where):
            # `where` cannot use the column `prompt`, which r1kit passes to rewards as `prompts`.
            if column not in columns or (column == "prompt" and column in entry.where):
                action = f"add it, or {rename_action}"
                raise UserError("data", source, f"reward {entry.name} needs the column {column}", action)
        # Instructions, which rules check, stand in `metadata`; checkers of the user's own may need other columns.
        has_answers = {*ANSWER_COLUMNS, "metadata"} & set(columns) or entry.settings.get("checkers")
        if entry.name in CORRECTNESS_REWARDS and not has_answers:
            requirement = f"reward {entry.name} needs a column {' or '.join(ANSWER_COLUMNS)}"
            own_columns = [name for name in columns if not name.startswith("_")]  # others are r1kit's helpers
            action = f"it has {', '.join(own_columns)}; {rename_action}"
            raise UserError("data", source, requirement, action)


def _check_own_signature(entry: RewardConfig, index: int, columns: Sequence[str]) -> None:
    """Raise UserError for a reward of the user's own that would fail for a column that its signature does not take."""
    if entry.name in REWARDS:
        return
    function = resolve_reward(entry, index)
    parameters = inspect.signature(function).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    names = [name for name in columns if name not in ("prompt", "completion", "completions")]
    surplus = [name for name in ("prompts", *names) if name not in parameters]
    if surplus:
        requirement = f"does not take {', '.join(surplus)}, which every reward gets"
        action = "end its parameters with **columns, which takes all that it does not use"
        raise UserError(f"rewards.{index}.name", entry.name, requirement, action)


def _required_columns(function: RewardFunction) -> list[str]:
    """Return the columns of the data set that a reward's signature names without a default value."""
    if isinstance(function, partial):
        function = function.func
    required = []
    for parameter in inspect.signature(function).parameters.values():
        is_required = parameter.kind is parameter.POSITIONAL_OR_KEYWORD and parameter.default is parameter.empty
        if is_required and parameter.name not in TRAINER_ARGUMENTS:
            required.append(parameter.name)
    return required


def check_reward_rows(
    entries: Sequence[RewardConfig], columns: Mapping[str, Sequence[Any]], source: str
) -> dict[str, Any]:
    """Check that this machine can judge the rows: known languages and checkers, and an isolation for code that works.

    `columns` holds the values of `checker`, `tests` and `language`, as far as the data set has them. Returns what
    `run.json` records of it: the isolation that code will run in, or nothing. Raises UserError.
    """
    if any(entry.name == "language" for entry in entries):
        _check_languages(columns.get("language", ()), source)
    correctness_entries = [entry for entry in entries if entry.name in CORRECTNESS_REWARDS]
    if not correctness_entries:
        return {}
    checkers = {str(checker) for checker in columns.get("checker", ()) if checker is not None}
    for entry in correctness_entries:
        own_checkers = checker_paths(entry.settings.get("checkers"))
        for name in sorted(set(own_checkers) - checkers):
            logger.warning(
                f"{source}: no row has the checker {name}, so {own_checkers[name]} is never called; give it rows, for "
                f"example by data.train.0.values.checker={name}"
            )
        known_checkers = [*CHECKERS, *own_checkers]
        for checker in sorted(checkers - set(known_checkers)):
            action = suggest(checker, known_checkers)
            if "." in checker:  # a data set alone does not decide which code is run
                action = f"list it in the recipe: {{name: {entry.name}, checkers: [{checker}]}}"
            raise UserError("data", source, f"has rows of checker {checker}", action)
    if "reasoning_gym" in checkers and importlib.util.find_spec("reasoning_gym") is None:
        raise UserError("data", source, "has rows of checker reasoning_gym", "pip install r1kit[reasoning-gym]")
    if "code" not in checkers and not any(columns.get("tests", ())):
        return {}
    from r1kit.sandbox.isolation import require_isolation

    isolations = [require_isolation(entry.settings.get("isolation", "auto")) for entry in correctness_entries]
    return {"isolation": isolations[0]}


def _check_languages(languages: Sequence[Any], source: str) -> None:
    """Raise UserError for a language code that the language reward cannot recognise."""
    codes = Counter(code for code in languages if isinstance(code, str) and code)
    if unknown_count := codes.pop(UNKNOWN_LANGUAGE, 0):
        logger.warning(
            f"{source}: {unknown_count} prompts are in a language that r1kit does not know; "
            "the reward language judges no completion of theirs"
        )
    for code in sorted(codes):
        if not is_known_language(code):
            requirement = f"has rows of language {code}, which r1kit cannot detect"
            raise UserError("data", source, requirement, "remove these rows")


def check_reward_data(entries: Sequence[RewardConfig], rows: "Dataset", source: str) -> dict[str, Any]:
    """Check a data set by its columns and its rows; see check_reward_columns and check_reward_rows."""
    check_reward_columns(entries, rows.column_names, source)
    checked_columns = [name for name in ("checker", "tests", "language") if name in rows.column_names]
    return check_reward_rows(entries, {name: rows[name] for name in checked_columns}, source)


def preload_reward_models(entries: Sequence[RewardConfig]) -> None:
    """Load reward models and connect to judges now, which rewards would do at their first call.

    That may be after days of training. Raises UserError for a model that cannot be loaded, and for a judge whose
    servers do not answer.
    """
    for entry in entries:
        if entry.name == "preference":
            settings = entry.settings
            load_reward_model(settings["model"], settings.get("revision"), settings.get("device"))
        elif entry.name == "judge":
            connect_judge(judge_settings(entry))
