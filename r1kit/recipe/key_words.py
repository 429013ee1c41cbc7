"""Which field of a recipe a word means that is no key of it: for errors that say what to type.

A word may be a synonym (`lr`), a field that stands in another block (`temperature` for `sampling.temperature`), or a
field of TRL's (`num_generations`, which r1kit sets from `sampling.group_size`, or `adam_beta2`, which the block `trl`
sets).

    suggest_setting(RLRecipe, "lr", 1e-5)      "write training.learning_rate=1e-05"
"""

import difflib
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from r1kit.errors import UNSET, format_value, suggest
from r1kit.recipe.block import fields_along, find_block_class
from r1kit.recipe.stages import EvalRecipe, RewardModelRecipe, RLRecipe
from r1kit.recipe.suite import BenchmarkConfig
from r1kit.recipe.trl import FIXED_BY_R1KIT, OWNED_TRL_FIELDS, REPLACED_TRL_FIELDS, trl_fields
from r1kit.recipe.word_values import is_off, needs_list, write_setting, write_value
from r1kit.safe_text import MASK, mask_secrets
from r1kit.synonyms import BLOCK_FIELDS, COLUMNS, KEY_ACTIONS, KEYS, normalise_word, words_meaning

# Names that several blocks have, and that say nothing without their block.
_NAMES_OF_MANY_BLOCKS = frozenset({"name", "path", "type", "r", "by", "body", "where", "settings", "values", "key"})
# Fields of TRL's configs that hold something else than the recipe's field that sets them.
_FIELDS_OF_OTHER_VALUES = frozenset(
    {
        "gradient_accumulation_steps",
        "lr_scheduler_kwargs",
        "save_strategy",
        "eval_strategy",
        "load_best_model_at_end",
        "generation_batch_size",
        "reward_weights",
        "sync_ref_model",
        "ref_model_mixup_alpha",
        "model_init_kwargs",
        "resume_from_checkpoint",
        "train_sampling_strategy",
        "hub_strategy",
        "assistant_only_loss",
        "completion_only_loss",
        "truncation_mode",
    }
)
# Blocks whose fields are those of other blocks over again, and are meant only with the block's name before them.
_REPEATING_BLOCKS = ("refine", "journey", "models", "suite")


def suggest_setting(schema: type[BaseModel], word: str, value: object = UNSET) -> str:
    """Return what to do about a word that is no key: `write KEY=VALUE` for the field that it means; "" for none.

    `schema` is the class of the recipe. With the value UNSET, as of an option without one, `...` stands for it, unless
    the word says the value too, as `bf16` does.
    """
    actions = words_meaning(KEY_ACTIONS, word)
    if actions:
        return actions[0]
    columns = words_meaning(COLUMNS, word)
    if columns:
        is_masked = mask_secrets(value, word) == MASK  # as all values of names that end in _key
        return _suggest_column(schema, columns[0], UNSET if is_masked else value)
    key, is_same_value = find_meaning(schema, word)
    if not key:
        return "leave it out" if is_off(value) and words_meaning(KEYS, word) else ""
    if issubclass(schema, EvalRecipe):
        key = key.replace("data.train", "data.eval")
    if not is_same_value:
        return write_setting(key, "...")
    name = BLOCK_FIELDS.get(key, "")
    is_text = value is not UNSET and not isinstance(value, bool | dict)
    if name and is_text and _has_key(schema, f"{key}.{name}", list(_walk_keys(schema))):
        key = f"{key}.{name}"
    action = write_value(schema, key, word, value)
    source, _, name = key.rpartition(".")
    if key == "sampling.server.urls" and action.startswith("write"):
        action += " sampling.engine=openai"
    if source == "data.eval.0" and name in BenchmarkConfig.model_fields and action.startswith("write"):
        action += f", or suite.NAME.{name} of a benchmark"
    return action


def _suggest_column(schema: type[BaseModel], column: str, value: object) -> str:
    """Return how to name the column of a source that `column` is read from, as dataset_text_field=body means."""
    role = "eval" if issubclass(schema, EvalRecipe) else "train"
    if value == column:
        return f"leave it out: a column called {column} is read as that"
    return write_setting(f"data.{role}.0.columns.{column}", value if isinstance(value, str) else "...")


def suggest_key(schema: type[BaseModel], location: list[str], value: object) -> str:
    """Return what to do about a key that a recipe lacks; `location` are its names, such as ["training", "lr"]."""
    word, siblings = location[-1], sibling_fields(schema, location)
    actions = words_meaning(KEY_ACTIONS, word)
    if actions:
        return actions[0]
    key, _ = find_meaning(schema, word)
    block = ".".join(location[:-1])
    has_other_value = is_off(value) or (isinstance(value, str) and needs_list(schema, key))
    if key and key.rpartition(".")[0] == block and not has_other_value:
        return f"did you mean {key.rpartition('.')[2]}?"
    setting = suggest_setting(schema, word, value)
    if setting:
        return setting
    nearest = suggest(word, siblings)
    if nearest.startswith("did you mean"):
        return nearest
    return _suggest_in_other_blocks(schema, word) or suggest_for_leaf(schema, value) or nearest


def suggest_for_leaf(schema: type[BaseModel], value: object) -> str:
    """Return what the innermost key of nested mappings means, as in algorithm.kl_ctrl.kl_coef=0.01; "" for nothing."""
    word = ""
    while isinstance(value, dict) and len(value) == 1:
        word, value = next(iter(value.items()))
    return suggest_setting(schema, str(word), value) if word else ""


def _suggest_in_other_blocks(schema: type[BaseModel], word: str) -> str:
    """Return `did you mean KEY?` for the field of any block whose name is spelt like `word`; "" without one."""
    keys_by_name: dict[str, str] = {}
    for key in _walk_keys(schema):
        keys_by_name.setdefault(key.rpartition(".")[2], key)
    nearest = difflib.get_close_matches(normalise_word(word), keys_by_name, n=1, cutoff=0.8)
    key = keys_by_name[nearest[0]] if nearest else ""
    if issubclass(schema, EvalRecipe):
        key = key.replace("data.train", "data.eval")
    return f"did you mean {key}?" if key else ""


def suggest_for_block(schema: type[BaseModel], location: list[str], value: object) -> str:
    """Return what to do about a value that stands where a block of fields is needed, such as `model: org/name`."""
    key = ".".join(location)
    name = BLOCK_FIELDS.get(location[-1], "")
    if name and name in sibling_fields(schema, [*location, name]):
        return write_setting(f"{key}.{name}", format_value(value))
    return "write its fields below it, or on the command line as key.path=value"


def sibling_fields(schema: type[BaseModel], location: list[str]) -> list[str]:
    """Return the field names of the block that the last name of `location` is in."""
    block = schema
    for _, field in fields_along(schema, ".".join(location[:-1])):
        block = find_block_class(field.annotation) or block
    return list(block.model_fields)


def find_meaning(schema: type[BaseModel], word: str) -> tuple[str, bool]:
    """Return the key that a word means, and whether the word's value is the key's; ("", False) for none."""
    name = normalise_word(word).rpartition(".")[2]
    keys = list(_walk_keys(schema))
    for key in [word.lstrip("-").replace("-", "_"), *words_meaning(KEYS, word)]:
        if "." in key and _has_key(schema, key, keys):
            return key, True
    for key in words_meaning(KEYS, word):
        if key in keys:
            return key, True
    same_name = [key for key in keys if key.rpartition(".")[2] == name and name not in _NAMES_OF_MANY_BLOCKS]
    if same_name:
        return min(same_name, key=lambda key: (key.count("."), keys.index(key))), True
    return _find_trl_meaning(schema, name, keys)


def _find_trl_meaning(schema: type[BaseModel], name: str, keys: list[str]) -> tuple[str, bool]:
    """Return the key that sets a field of TRL's config, if the recipe has a block `trl`."""
    if "trl" not in schema.model_fields:
        return "", False
    config = _trl_config(schema)
    owner = (OWNED_TRL_FIELDS[config] | REPLACED_TRL_FIELDS[config]).get(name)
    if owner is not None:
        is_same_value = name not in _FIELDS_OF_OTHER_VALUES
        return (owner, is_same_value) if owner != FIXED_BY_R1KIT and owner in keys else ("", False)
    return (f"trl.{name}", True) if name in trl_fields(config) else ("", False)


def _trl_config(schema: type[BaseModel]) -> str:
    """Return the name of the config of TRL that a recipe's block `trl` sets fields of."""
    if issubclass(schema, RLRecipe):
        return "GRPOConfig"
    return "RewardConfig" if issubclass(schema, RewardModelRecipe) else "SFTConfig"


def _has_key(schema: type[BaseModel], key: str, keys: list[str]) -> bool:
    """Return whether a dotted key is one of a recipe; positions in lists are stepped over."""
    plain_key = ".".join(name for name in key.split(".") if not name.isdecimal())
    first, _, rest = plain_key.partition(".")
    if first == "trl" and "trl" in schema.model_fields:
        return rest in trl_fields(_trl_config(schema))
    return plain_key in {other.replace(".0", "") for other in keys}


def _walk_keys(block: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys of the fields below a block, the outer ones first; lists have the position 0."""
    blocks: list[tuple[str, type[BaseModel]]] = []
    for name, field in block.model_fields.items():
        yield f"{prefix}{name}"
        inner = find_block_class(field.annotation)
        if inner is not None and name not in _REPEATING_BLOCKS:
            position = ".0" if _is_list(field.annotation) else ""
            blocks.append((f"{prefix}{name}{position}.", inner))
    for inner_prefix, inner in blocks:
        yield from _walk_keys(inner, inner_prefix)


def _is_list(annotation: Any) -> bool:
    return getattr(annotation, "__origin__", None) is list
