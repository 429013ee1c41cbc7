r"""Text that may be shown and written: secrets are masked in it, and control characters are escaped.

A recipe can hold tokens, API keys and passwords, which must not get into a run directory, a card, a report or a log.
They are known by the name of their field, or by their shape:

    mask_secrets({"trl": {"hub_token": "x1"}})            {"trl": {"hub_token": "***masked***"}}
    mask_secrets("http://me:pass@host/v1", "urls")        "http://***masked***@host/v1"

Text from servers, data sets, file names and models can hold escape sequences, which a terminal would obey:

    escape_control_characters("\x1b[2J")                  r"\x1b[2J"
"""

import os
import re
import sys
from typing import Any

MASK = "***masked***"
"""What stands in the place of a secret."""

# The last word or words of the names of fields that hold a secret, such as hub_token, api_key and Authorization.
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:token|key|auth|authorization|cookie|pw|pwd|passphrase|passwd|password|secret|credentials?|apikey|webhook|webhook_url)\d*$"
    r"|(?:^|_)(?:bearer|jwt|sig|signature)$"
    r"|(?:api|access|secret|private|auth|hub|hf)_?(?:key|token)(?:s|_id)?\d*$"
    r"|(?:password|passwd|secret)s?(?:_value|\d+)?$"
)
# A number under such a name is a secret too; under the others (`key: 3`) it is none.
_PASSWORD_NAME = re.compile(r"passwo?r?d|secret|passphrase|pwd")
# Tokens of a tokenizer, such as eos_token and image_token.
_TOKENIZER_NAME = re.compile(
    r"(?:^|_)(?:eos|bos|pad|unk|sep|cls|mask|image|video|audio|stop|start|end|think|special|new|first|last)_token$"
)
# Blocks of a recipe whose keys are names of columns: a column called `key` holds no secret.
_COLUMN_BLOCKS = frozenset({"columns", "where", "values"})
# These fields hold the name of an environment variable, such as OPENAI_API_KEY; any other value there is masked.
_VARIABLE_FIELDS = frozenset({"key", "webhook"})
_VARIABLE_NAME = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|[A-Z]{1,20}")

# Secrets by their shape: those of Hugging Face, OpenAI, Anthropic, Groq, NVIDIA, GitHub, GitLab, Slack, AWS, Google,
# Stripe, npm, PyPI, JSON web tokens and private keys. Words such as hf_transfer and sk-learn are too short, or have no
# digit. The lengths are bounded, so that a long text is read in linear time.
_SECRET_SHAPES = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"hf_(?=[A-Za-z]{0,60}\d)[A-Za-z0-9]{8,}|hf_[A-Za-z]{20,}"
    r"|(?:sk|rk|pk)[-_](?=[A-Za-z_-]{0,60}\d)[A-Za-z0-9_-]{10,}|sk-[A-Za-z_-]{24,}"
    r"|(?:gsk_|nvapi-|r8_|npm_|pypi-|dop_v1_|ya29\.)[A-Za-z0-9_-]{16,}"
    r"|gh[pousr]_[A-Za-z0-9]{10,}|github_pat_\w{16,}|glpat-[\w-]{10,}|xox[abeoprs]-[\w-]{8,}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{8,}|AIza[\w-]{20,}"
    r"|eyJ[\w-]{8,}\.eyJ[\w-]{4,}\.[\w-]{4,}"
    r"|hooks\.slack\.com/services/[\w/]{10,}|discord(?:app)?\.com/api/webhooks/[\w/-]{10,}"
    r")|-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
# "Bearer abc": long words of letters alone follow the word in plain English, too.
_AUTHORIZATION = re.compile(
    r"\b(bearer|authorization: *basic|authorization: *token)( +)"
    r"((?=[^\s\d]{0,80}\d)[\w.~+/=-]{6,}|[\w.~+/=-]{20,})",
    re.IGNORECASE,
)
# The user and the password of an address: all between // and the last @ before the path. A password may hold a slash
# by mistake; a colon with a number after it begins a port.
_ADDRESS_USER = re.compile(r"(?<=://)(?:[^\s/?#]{1,400}@|[^\s/?#@:]{0,200}:(?!\d{1,5}(?:[/?#\s]|$))[^\s@]{0,200}@)")
# `name=value` as in an address or a shell, and "name": "value" as in JSON and Python.
_ASSIGNMENT = re.compile(r"(?<![\w.-])([\w.-]{1,80})(=)([^\s&;,\"'#]+|\"[^\"\n]*\"|'[^'\n]*')")
_QUOTED_PAIR = re.compile(r"[\"']([\w.-]{1,80})[\"'](\s{0,3}:\s{0,3})(\"[^\"\n]*\"|'[^'\n]*')")

# All control characters but line feed and tab; what changes the direction of the text after it; separators of lines
# and paragraphs; halves of surrogate pairs, which no stream takes.
_CONTROL_CHARACTERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff]")


def is_secret_name(name: str) -> bool:
    """Return whether a field of this name holds a secret: `hub_token` and `apiKey` do, `eos_token` does not."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", "_", name.rpartition(".")[2]).lower()
    return bool(_SECRET_NAME.search(words)) and not _TOKENIZER_NAME.search(words)


def mask_secrets(value: Any, name: str = "") -> Any:
    """Return a value, such as the mapping of a recipe, with MASK in the place of every secret in it.

    `name` is the field that the value stands in. Mappings and lists are copied; tuples become lists.
    """
    return _mask_value(value, name, is_secret_name(name))


def _mask_value(value: Any, name: str, is_secret: bool) -> Any:
    if isinstance(value, dict):
        masked = {}
        for key, entry in value.items():
            is_column = name in _COLUMN_BLOCKS
            is_key_secret = is_secret or (not is_column and is_secret_name(str(key)))
            masked[key] = _mask_value(entry, str(key), is_key_secret)
        return masked
    if isinstance(value, list | tuple):
        return [_mask_value(entry, name, is_secret) for entry in value]
    if isinstance(value, str):
        if is_secret and re.search(r"\w", value) and not is_variable_name(name, value):  # "|" is no secret
            return MASK
        return mask_text(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return MASK if is_secret and _PASSWORD_NAME.search(name.lower()) else value
    return value


def is_variable_name(name: str, value: str) -> bool:
    """Return whether a value is the name of an environment variable, in a field that holds one, such as `key`."""
    if name.rpartition(".")[2] not in _VARIABLE_FIELDS or _SECRET_SHAPES.search(value):
        return False
    return value in os.environ or _VARIABLE_NAME.fullmatch(value) is not None


def mask_text(text: str) -> str:
    """Return a text with MASK in the place of what has the shape of a secret, or stands behind the name of one."""
    text = _SECRET_SHAPES.sub(MASK, text)
    text = _AUTHORIZATION.sub(rf"\1\2{MASK}", text)
    text = _ADDRESS_USER.sub(f"{MASK}@", text)
    text = _ASSIGNMENT.sub(_mask_pair, text)
    return _QUOTED_PAIR.sub(_mask_pair, text)


def _mask_pair(match: re.Match[str]) -> str:
    """Return a name and its value, the value masked if the name is that of a secret."""
    name, value = match.group(1), match.group(3)
    content = value.strip("\"'")
    is_placeholder = not re.search(r"\w", content)  # as in `export MY_KEY=...`
    if is_placeholder or not is_secret_name(name) or is_variable_name(name, content):
        return match.group()
    return match.group()[: match.start(3) - match.start()] + value.replace(content, MASK)


def escape_control_characters(text: str) -> str:
    r"""Return a text in which control characters stand as escapes, such as \x1b; line feeds and tabs stay."""
    return _CONTROL_CHARACTERS.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


def format_result(text: str, is_terminal: bool) -> str:
    """Return a result as it is printed: exactly as it is for a program, without control characters for a person.

    `$(r1kit sft ...)` must give the path that exists, whatever its characters.
    """
    return escape_control_characters(text) if is_terminal else text


def print_result(text: str) -> None:
    """Print a result on stdout; see `format_result`."""
    print(format_result(text, sys.stdout.isatty()), flush=True)
