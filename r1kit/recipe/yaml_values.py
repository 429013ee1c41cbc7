"""Parse YAML so that what is meant as text stays text.

YAML 1.1, which PyYAML reads, takes `no` for false, `2024-01-05` for a date, `12:30` for 750, `010` for 8 and `1_000`
for 1000. Here these are text, as in YAML 1.2, so that `language: no` is Norwegian. A field that is true or false, or a
number, takes the text for what it says all the same: pydantic reads `yes` and `1_000`. Only the blocks whose keys are
free (FREE_BLOCKS) have no such types, and get the values of YAML 1.1.
"""

import re
from typing import Any

import yaml

FREE_BLOCKS = frozenset({"trl", "template_settings", "settings", "new", "rewards", "chat_template_kwargs"})
"""Keys of a recipe below which values have no types of ours."""
TEXT_BLOCKS = frozenset({"values", "where"})
"""Keys of a source below which values stand in rows: there `1.10` is text, since the number would be 1.1."""

# More values than any recipe has; aliases of aliases make billions of them from a few lines.
MAX_YAML_VALUES = 1_000_000
# Deeper than any recipe. Writing YAML takes more of Python's stack than reading it, so a recipe that is nested some
# hundred levels deep could be read, but not written into the run directory.
MAX_YAML_DEPTH = 100


class _Word(str):
    """Text that YAML 1.1 takes for another value."""

    value: Any = None


class _Number(float):
    """A decimal number with its text."""

    text = ""


class _Loader(yaml.SafeLoader):
    """YAML with the numbers, true, false and null of YAML 1.2. A key that stands twice is an error, too."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys: set[str] = set()
        for key_node, _ in node.value:
            key = key_node.value
            if isinstance(key, str) and key in keys and key_node.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key} is there twice", key_node.start_mark
                )
            if isinstance(key, str):
                keys.add(key)
        return super().construct_mapping(node, deep)


_WORDS = {"yes": True, "no": False, "on": True, "off": False}
_OLD_INT = re.compile(r"[-+]?(?:0b[01_]+|0x[\da-fA-F_]+|0o?[0-7_]+|\d[\d_]*)")
_TAG = "tag:yaml.org,2002:"
_WORD_TAG = "!word"

_Loader.yaml_implicit_resolvers = {}
for _first_char, _resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items():
    _Loader.yaml_implicit_resolvers[_first_char] = [
        (tag, pattern) for tag, pattern in _resolvers if tag in (f"{_TAG}null", f"{_TAG}merge")
    ]
_Loader.add_implicit_resolver(f"{_TAG}bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(f"{_TAG}int", re.compile(r"-?(?:0|[1-9]\d*)$"), list("-0123456789"))
_Loader.add_implicit_resolver(
    f"{_TAG}float",
    re.compile(r"[-+]?(?:\.\d+|\d+\.\d*(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.(?:inf|Inf|INF))$|\.(?:nan|NaN|NAN)$"),
    list("-+.0123456789"),
)
_Loader.add_implicit_resolver(_WORD_TAG, re.compile(r"(?:yes|no|on|off)$", re.IGNORECASE), list("yYnNoO"))
_Loader.add_implicit_resolver(_WORD_TAG, re.compile(_OLD_INT.pattern + "$"), list("-+0123456789"))


def _construct_word(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> _Word:
    word = _Word(node.value)
    name = node.value.lower()
    word.value = _WORDS[name] if name in _WORDS else _old_int(node.value)
    return word


def _old_int(text: str) -> Any:
    """Return the whole number that YAML 1.1 reads, the text itself where there is none (`08`)."""
    digits = text.replace("_", "")
    try:
        is_octal = re.fullmatch(r"[-+]?0[0-7]+", digits) is not None
        return int(digits, 8) if is_octal else int(digits, 0)
    except ValueError:
        return text


def _construct_number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> _Number:
    number = _Number(loader.construct_yaml_float(node))
    number.text = node.value
    return number


_Loader.add_constructor(_WORD_TAG, _construct_word)
_Loader.add_constructor(f"{_TAG}float", _construct_number)


def read_yaml(text: str, key: str = "") -> Any:
    """Parse YAML; `key` is the dotted key under which the value stands in a recipe.

    >>> read_yaml("no"), read_yaml("no", "trl.bf16"), read_yaml("1e-5")
    ('no', False, 1e-05)

    Raises yaml.YAMLError also for what Python cannot hold.
    """
    names = set(key.split("."))
    try:
        value = yaml.load(text, Loader=_Loader)
        if _count_values(value, {}) > MAX_YAML_VALUES:
            raise yaml.YAMLError(f"its aliases stand for more than {MAX_YAML_VALUES:,} values")
        if _measure_depth(value, {}) > MAX_YAML_DEPTH:
            raise yaml.YAMLError(f"its lists and mappings are nested more than {MAX_YAML_DEPTH} levels deep")
    except RecursionError:
        raise yaml.YAMLError("its lists and mappings are nested too deeply, or within themselves") from None
    except ValueError as error:  # a number with thousands of digits
        raise yaml.YAMLError(str(error)) from None
    return _settle(value, is_free=bool(names & FREE_BLOCKS), is_text=bool(names & TEXT_BLOCKS))


def _count_values(value: Any, counts: dict[int, int]) -> int:
    """Return how many values a parsed YAML has if each alias is written out; `counts` holds those of its containers.

    Raises RecursionError for a container that holds itself.
    """
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in counts:
        counts[id(value)] = 1 + sum(_count_values(item, counts) for item in _contents(value))
    return counts[id(value)]


def _measure_depth(value: Any, depths: dict[int, int]) -> int:
    """Return how many levels deep a parsed YAML is nested; `depths` holds those of its containers."""
    if not isinstance(value, dict | list):
        return 0
    if id(value) not in depths:
        depths[id(value)] = 1 + max((_measure_depth(item, depths) for item in _contents(value)), default=0)
    return depths[id(value)]


def _contents(value: dict[Any, Any] | list[Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


def _settle(value: Any, is_free: bool, is_text: bool) -> Any:
    """Return a parsed value without words and numbers that know their text."""
    if isinstance(value, dict):
        settled = {}
        for key, member in value.items():
            name = str(key) if isinstance(key, _Word) else key
            free, text = is_free or name in FREE_BLOCKS, is_text or name in TEXT_BLOCKS
            settled[name] = _settle(member, free, text)
        return settled
    if isinstance(value, list):
        return [_settle(member, is_free, is_text) for member in value]
    if isinstance(value, _Word):
        return value.value if is_free else str(value)
    if isinstance(value, _Number):
        number = float(value)
        return value.text if is_text and repr(number) != value.text else number
    return value
