"""The chat template of a model where a recipe names one: a file, a family of TRL, or the plain one of R1-Distill.

    set_chat_template(tokenizer, "r1-distill")              for a base model that has none
    set_chat_template(tokenizer, "plain-tools")             the same with calls of tools (tool_template.py)
    set_chat_template(tokenizer, "qwen3")                   one of the templates that TRL ships
    set_chat_template(tokenizer, "templates/mine.jinja")    a file

`r1-distill` is DeepSeek-R1-Distill's in plain text: its marks need no tokens of their own, a turn ends with the model's
own end token, and it keeps the thinking of every turn.
"""

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.errors import UserError, suggest
from r1kit.models.tool_template import PLAIN_TOOLS, PLAIN_TOOLS_TEMPLATE, make_response_template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

R1_DISTILL = "r1-distill"
THINKING_SWITCHES = ("enable_thinking", "thinking")
"""Names of the setting with which templates switch thinking on: Qwen3's, and DeepSeek-V3.1's and Granite's."""
# `bos_token` is empty for a tokenizer without one. The markers of `generation` are those that TRL reads.
R1_DISTILL_TEMPLATE = """\
{{- bos_token -}}
{%- for message in messages -%}
    {%- if message['role'] == 'system' -%}{{- message['content'] -}}{%- endif -%}
{%- endfor -%}
{%- for message in messages -%}
    {%- if message['role'] == 'user' -%}
        {{- '<｜User｜>' + message['content'] -}}
    {%- elif message['role'] == 'assistant' -%}
        {%- if message['tool_calls'] -%}
            {{- raise_exception('r1-distill has no form for calls of tools') -}}
        {%- endif -%}
        {{- '<｜Assistant｜>' -}}
        {%- generation -%}
        {%- if message['reasoning_content'] -%}
            {{- '<think>\\n' + message['reasoning_content'] + '\\n</think>\\n\\n' -}}
        {%- endif -%}
        {{- message['content'] + eos_token -}}
        {%- endgeneration -%}
    {%- elif message['role'] != 'system' -%}
        {{- raise_exception('r1-distill has no form for messages of the role ' + message['role']) -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<｜Assistant｜>' -}}
    {%- if enable_thinking is defined and enable_thinking is false -%}{{- '<think>\\n\\n</think>\\n\\n' -}}{%- endif -%}
{%- endif -%}
"""

# The templates of r1kit, whose marks need no tokens of their own.
_OWN_TEMPLATES = {R1_DISTILL: R1_DISTILL_TEMPLATE, PLAIN_TOOLS: PLAIN_TOOLS_TEMPLATE}
_TEMPLATE_SUFFIXES = (".jinja", ".jinja2", ".j2", ".txt")
_TRAINING_SUFFIX = "_training"
# Marks that families write as single tokens: <|im_start|>, <｜User｜>, <start_of_turn>, <|turn>.
_MARKS = re.compile(r"<\|[^\s|<>]{1,40}\|>|<｜[^\s｜]{1,40}｜>|<(?:start|end)_of_turn>|<\|turn>|<turn\|>")
# Names of a template's variables that are no settings: transformers fills them in.
_FILLED_VARIABLES = frozenset(
    {
        "add_generation_prompt",
        "bos_token",
        "continue_final_message",
        "documents",
        "eos_token",
        "messages",
        "pad_token",
        "raise_exception",
        "strftime_now",
        "tools",
        "unk_token",
    }
)


def family_names() -> list[str]:
    """Return the names of the templates that TRL ships, such as `qwen3`, but not of those for training alone."""
    folder = _trl_folder()
    if folder is None:
        return []
    names = [path.stem for path in folder.glob("*.jinja")]
    return sorted(name for name in names if not name.endswith(_TRAINING_SUFFIX))


def _trl_folder() -> Path | None:
    spec = importlib.util.find_spec("trl")  # without the import of TRL, which takes seconds
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "chat_templates"


def read_chat_template(name: str) -> str:
    """Return the text of the template that `model.chat_template` names. Raises UserError where there is none."""
    if name.lower() in _OWN_TEMPLATES:
        return _OWN_TEMPLATES[name.lower()]
    path = Path(name)
    if path.is_file():
        try:
            return path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError("model.chat_template", name, f"cannot be read: {error}", "check the file") from None
    folder = _trl_folder()
    families = {_without_signs(family): family for family in family_names()}
    family = families.get(_without_signs(name))
    if folder is not None and family is not None:
        return (folder / f"{family}.jinja").read_text()
    if "/" in name or path.suffix in _TEMPLATE_SUFFIXES:
        raise UserError("model.chat_template", name, "there is no such file", "check the path")
    requirement = f"must be a file, {R1_DISTILL}, {PLAIN_TOOLS}, or a family whose template TRL ships"
    raise UserError("model.chat_template", name, requirement, suggest(name, [*_OWN_TEMPLATES, *family_names()]))


def _without_signs(name: str) -> str:
    """Return a family's name as it is compared: `Llama-3.1` is `llama3_1`."""
    return re.sub(r"[-_.]", "", name.lower())


def set_chat_template(tokenizer: "PreTrainedTokenizerBase", name: str) -> None:
    """Give a tokenizer the template that `model.chat_template` names.

    Raises UserError where there is no such template, where it cannot be parsed, and where a family's template writes
    marks that are no tokens of this model: it would read each of them as half a dozen pieces of text.
    """
    template = read_chat_template(name)
    unknown = [] if template in _OWN_TEMPLATES.values() else find_unknown_marks(tokenizer, template, name)
    if unknown:
        requirement = f"writes {', '.join(unknown)}, which no token of this model is"
        raise UserError("model.chat_template", name, requirement, f"use {R1_DISTILL}, which needs no tokens of its own")
    tokenizer.chat_template = template
    if template == PLAIN_TOOLS_TEMPLATE:
        tokenizer.response_template = make_response_template(tokenizer.eos_token)


def find_unknown_marks(tokenizer: "PreTrainedTokenizerBase", template: str, name: str) -> list[str]:
    """Return the marks, such as `<|im_start|>`, that a template writes and the tokenizer has no token for."""
    from jinja2 import TemplateError, TemplateSyntaxError

    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, chat_template=template)
    except TemplateSyntaxError as error:
        raise UserError("model.chat_template", name, f"is no template of Jinja: {error}", "correct it") from None
    except (TemplateError, TypeError, ValueError) as error:
        requirement = f"fails on a question and its answer: {error}"
        raise UserError("model.chat_template", name, requirement, "correct it") from None
    vocabulary = tokenizer.get_vocab()
    return sorted({mark for mark in _MARKS.findall(str(text)) if mark not in vocabulary})


def template_text(tokenizer: "PreTrainedTokenizerBase") -> str:
    """Return the text of a tokenizer's chat template: of several, the one named `default`; "" without one."""
    template: Any = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    return template or ""


def setting_names(template: str) -> list[str]:
    """Return the settings that a chat template asks for, such as `enable_thinking`: names that it tests for a value."""
    names = set(re.findall(r"\b(\w+) is (?:not )?defined", template))
    return sorted(names - _FILLED_VARIABLES)


def _code_of(template: str) -> str:
    """Return what stands between a template's braces, without the texts in quotes."""
    code = " ".join(re.findall(r"\{[{%].*?[%}]\}", template, re.DOTALL))
    return re.sub(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"", "''", code)


def check_template_settings(tokenizer: "PreTrainedTokenizerBase", settings: dict[str, Any]) -> None:
    """Raise UserError where `prompt.template_settings` has a setting that the model's chat template does not read."""
    template = template_text(tokenizer)
    if not settings or not template:
        return
    names = setting_names(template)
    for name, value in settings.items():
        # A setting may be read without a test for its value, too.
        if re.search(rf"\b{re.escape(name)}\b", _code_of(template)):
            continue
        requirement = "the model's chat template reads no such setting"
        action = suggest(name, names) if names else "remove it"
        raise UserError(f"prompt.template_settings.{name}", value, requirement, action)


def thinking_switch(template: str) -> str | None:
    """Return the setting with which a chat template switches thinking on, None where it tests for no such setting."""
    names = setting_names(template)
    return next((name for name in THINKING_SWITCHES if name in names), None)
