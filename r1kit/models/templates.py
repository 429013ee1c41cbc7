"""Chat templates: from a prompt to its text and its ids, and from sampled ids to the text of a completion.

text = apply_template(tokenizer, [{"role": "user", "content": "2 + 2?"}], PromptConfig(template="chat"))
[ids] = encode_prompts(tokenizer, [messages], [text])
template_prefix(text, prefill="")                       "<think>\\n" where the template opens the thinking itself
decode_completion(tokenizer, sampled_ids)               the text without special tokens, but with marks of thinking
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from r1kit.answers.thinking import MARK_PAIRS
from r1kit.errors import UserError
from r1kit.models.pieces import without_doubled_start
from r1kit.prompts import AUTO_TEMPLATE, CHAT_TEMPLATE
from r1kit.recipe import PromptConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

THINK_START, THINK_END = "<think>", "</think>"

_EMPTY_THINKING_END = f"\n\n{THINK_END}\n\n"  # after `<think>`, in Qwen3's form

PREFIX_TOKENS = 16
"""Tokens at the end of a prompt among which the template's own opening of the thinking stands, with its white space."""

# Special tokens that say which part of a completion is thinking. Decoded without special tokens, a completion would
# lose them, and with them its form: gpt-oss's channels, Magistral's [THINK], Command A's and others' marks.
_THINKING_TOKENS = frozenset(
    {
        "<think>",
        "</think>",
        "<|think|>",
        "<|/think|>",
        "<|channel>",
        "<channel|>",
        "<thinking>",
        "</thinking>",
        "<reasoning>",
        "</reasoning>",
        "<answer>",
        "</answer>",
        "<seed:think>",
        "</seed:think>",
        "[THINK]",
        "[/THINK]",
        "<|START_THINKING|>",
        "<|END_THINKING|>",
        "<|START_RESPONSE|>",
        "<|END_RESPONSE|>",
        "<|begin_of_thought|>",
        "<|end_of_thought|>",
        "<|begin_of_solution|>",
        "<|end_of_solution|>",
    }
)
# The marks of gpt-oss's format (harmony). They are kept where a tokenizer has a token for channels, since other
# families use the same words for the turns of a chat.
_CHANNEL_TOKEN = "<|channel|>"
_CHANNEL_TOKENS = frozenset({_CHANNEL_TOKEN, "<|start|>", "<|message|>", "<|end|>", "<|constrain|>"})


def encode_prompts(tokenizer: Any, prompts: Sequence[Any], texts: Sequence[str]) -> list[list[int]]:
    """Return the ids of `prompts`, which are all of one type.

    Prompts that are ids already are returned as they are. Of the others, `texts` are encoded: those of plain prompts
    with the tokenizer's special tokens (such as a token for the beginning, unless the text has it), those of chat
    messages without, since a chat template writes its own.
    """
    if isinstance(prompts[0], tuple):
        return [list(ids) for ids in prompts]
    is_plain_text = isinstance(prompts[0], str)
    encoded = tokenizer(list(texts), add_special_tokens=is_plain_text).input_ids
    return [without_doubled_start(tokenizer, ids) for ids in encoded] if is_plain_text else encoded


def apply_template(tokenizer: Any, prompt: Any, settings: PromptConfig) -> str:
    """Return the text of a prompt, which is a string, a tuple of ids or a list of chat messages.

    Chat messages are put through the tokenizer's chat template, with the recipe's prefill after it. Messages that end
    in the assistant's are continued: the completion goes on with that message. With `enable_thinking: false`, thinking
    that the template opens all the same is closed at once, as templates with such a switch do.

    Raises UserError where the template refuses the messages, as some do for a system message or for two messages of the
    user in a row.
    """
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, tuple):
        return tokenizer.decode(prompt)
    try:
        text = _render_messages(tokenizer, prompt, settings.template_settings)
    except Exception as error:  # a template is a program of the model's makers, which may raise anything
        raise _refused_messages(tokenizer, prompt, settings, error, "prompt of a row") from None
    if settings.template_settings.get("enable_thinking") is False and template_prefix(text, prefill=""):
        text = text.rstrip() + _EMPTY_THINKING_END
    return text + settings.prefill


def _render_messages(tokenizer: Any, messages: Sequence[dict[str, Any]], template_settings: dict[str, Any]) -> str:
    # Rows of a data set have all keys that any message has; templates take a None for a value.
    complete: list[dict[str, Any]] = []
    for message in messages:
        complete.append({key: value for key, value in message.items() if value is not None})
    is_continued = complete[-1].get("role") == "assistant"
    return tokenizer.apply_chat_template(
        complete,
        tokenize=False,
        add_generation_prompt=not is_continued,
        continue_final_message=is_continued,
        **template_settings,
    )


def _refused_messages(
    tokenizer: Any, messages: Sequence[dict[str, Any]], settings: PromptConfig, error: Exception, row_field: str
) -> UserError:
    """Return what to tell the user of messages that a chat template refuses: which setting, or which row, is at fault.

    `row_field` names the row.
    """
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    requirement = f"the model's chat template refuses it: {reason}"
    if settings.template_settings and _renders(tokenizer, messages, {}):
        return UserError("prompt.template_settings", settings.template_settings, requirement, "correct or remove it")
    is_from_recipe = bool(settings.system) and messages[0].get("content") == settings.system
    if is_from_recipe and _renders(tokenizer, messages[1:], settings.template_settings):
        action = "remove it, or write it into the questions"
        return UserError("prompt.system", settings.system, requirement, action)
    roles = [str(message.get("role")) for message in messages]
    action = "bring the messages to a form that it takes, drop such rows, or use another prompt.template"
    return UserError(row_field, f"[{', '.join(roles)}]", requirement, action)


def _renders(tokenizer: Any, messages: Sequence[dict[str, Any]], template_settings: dict[str, Any]) -> bool:
    try:
        _render_messages(tokenizer, messages, template_settings)
    except Exception:  # as above
        return False
    return True


def check_prompts_render(
    tokenizer: Any, prompts: Iterable[Any], settings: PromptConfig, field: str, first_row: int = 0
) -> None:
    """Raise UserError, which names the row of `field`, for the first prompt that the chat template refuses.

    What a template refuses are roles and their order, so that one prompt of each sequence of roles is rendered.
    """
    rendered_roles = set()
    for row, prompt in enumerate(prompts, first_row):
        if isinstance(prompt, str):
            continue
        roles = tuple(str(message.get("role")) for message in prompt)
        if roles in rendered_roles:
            continue
        rendered_roles.add(roles)
        try:
            _render_messages(tokenizer, prompt, settings.template_settings)
        except Exception as error:  # as above
            raise _refused_messages(tokenizer, prompt, settings, error, f"{field}: prompt of row {row + 1}") from None


def template_prefix(rendered_prompt: str, prefill: str) -> str:
    """Return the beginning of the completion that the prompt already holds: the prefill, or a template's `<think>`.

    White space after the tag belongs to it: "Q: 2 + 2?\\nA: <think>\\n" gives "<think>\\n". An empty think block, which
    templates write where thinking is switched off, is the prompt's own: the completion does not think.
    """
    if prefill:
        return prefill
    stripped = rendered_prompt.rstrip()
    if not stripped.endswith(THINK_START):
        return ""
    return THINK_START + rendered_prompt[len(stripped) :]


def prefix_of_ids(tokenizer: Any, prompt_ids: Sequence[int], prefill: str = "") -> str:
    """Return the beginning of the completion that a prompt of ids already holds, as `template_prefix`."""
    return template_prefix(tokenizer.decode(list(prompt_ids[-PREFIX_TOKENS:])), prefill)


def decode_completion(tokenizer: Any, ids: Sequence[int]) -> str:
    """Return the text of sampled ids without special tokens, except those that mark the thinking.

    gpt-oss's `<|channel|>analysis<|message|>...` stays as it is, so that what reads the completion can tell thinking
    from answer.
    """
    kept_ids = _thinking_token_ids(tokenizer)
    if not kept_ids:
        return str(tokenizer.decode(list(ids), skip_special_tokens=True))
    dropped_ids = set(tokenizer.all_special_ids) - kept_ids
    return str(tokenizer.decode([token for token in ids if token not in dropped_ids], skip_special_tokens=False))


def structural_tokens(tokenizer: Any) -> list[str]:
    """Return the special tokens of a tokenizer, such as `<|im_end|>`, but for those that mark the thinking."""
    special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    return sorted((special | set(tokenizer.all_special_tokens)) - _THINKING_TOKENS)


def own_thinking_marks(tokenizer: Any, template: str) -> tuple[str, str] | None:
    """Return the tokens that mark the thinking in place of think tags, such as Magistral's `[THINK]` and `[/THINK]`.

    None for a chat template that writes think tags, or no marks at all.
    """
    if THINK_START in template:
        return None
    tokens = {token.content.lower(): token.content for token in tokenizer.added_tokens_decoder.values()}
    for start, end in MARK_PAIRS:
        if start in tokens and end in tokens and tokens[start] in template:
            return tokens[start], tokens[end]
    return None


@lru_cache(maxsize=4)
def _thinking_token_ids(tokenizer: Any) -> frozenset[int]:
    """Return the ids of a tokenizer's special tokens that mark the thinking; empty for most."""
    special_tokens = dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
    for token_id, token in tokenizer.added_tokens_decoder.items():
        if token.special:
            special_tokens[token.content] = token_id
    marks = _THINKING_TOKENS
    if _CHANNEL_TOKEN in special_tokens:
        marks |= _CHANNEL_TOKENS
    ends = {tokenizer.eos_token, tokenizer.pad_token, tokenizer.bos_token}
    return frozenset(special_tokens[token] for token in marks - ends if token in special_tokens)


def check_chat_template(tokenizer: "PreTrainedTokenizerBase", template: str, field: str = "prompt.template") -> None:
    """Raise UserError where the template is `chat` and the model has no chat template, or where it is still `auto`.

    `field` is what the user sets the template by.
    """
    if template == AUTO_TEMPLATE:
        # The model could not be loaded when the template was to be chosen by it, and now it can.
        requirement = "was not chosen, since the model could not be loaded when the command started"
        raise UserError(field, AUTO_TEMPLATE, requirement, "run the same command again")
    if template == CHAT_TEMPLATE and tokenizer.chat_template is None:
        requirement = "this model has no chat template"
        raise UserError(field, CHAT_TEMPLATE, requirement, "use r1-zero, tiny or a text with {prompt}")
