"""Conversations as they are trained: put through a chat template, and checked against what the row says.

    chosen, rendered = choose_renderer(tokenizer, {}, render_all)

A chat template is made for asking. Many cut the thinking out of earlier turns, some out of every turn (R1-Distill's);
some write a prompt that is not how the trained text begins, or leave tools or the system's message out, all in silence.
Here each row is rendered and then checked:

- the text of the prompt, as the model will be asked, is how the whole begins;
- all of the thinking, of the answer and of the calls of tools is in the loss, and nothing of the prompt;
- every other message and every tool is in the text;
- the token that ends the turn is in the loss.

The first of these ways in which all rows pass is taken: the model's own template; TRL's training template of the
family; one of the two with thinking switched on; one sequence for each turn; the template's prompt with the row's text
after it. If none is right, a RowError says what the model's own template does to the row.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from r1kit.data.adapters.chat import THINKING_KEYS, is_trained
from r1kit.data.examples import tool_name
from r1kit.models.chat_templates import setting_names, template_text
from r1kit.models.pieces import Piece
from r1kit.models.templates import THINK_END, THINK_START

Message = dict[str, Any]
Result = TypeVar("Result")

# A text that stands for an answer, to find where the template puts it; no template trims or splits it.
_ANSWER_MARK = "R1kit+answer+mark"
_THINKING_MARK = "R1kit+thinking+mark"
# Put before a template, it switches thinking on for everyone who does not say otherwise.
THINKING_ON = "{{%- if {switch} is not defined -%}}{{%- set {switch} = true -%}}{{%- endif -%}}"
THINKING_SWITCHES = ("enable_thinking", "thinking")
"""Names of the setting with which templates switch thinking on: Qwen3's, and DeepSeek-V3.1's and Granite's."""
OTHER_TEMPLATE = "set model.chat_template to another, such as r1-distill"


class RowError(Exception):
    """What is wrong with a row or with its rendering, and what the user can do about it."""

    def __init__(self, requirement: str, action: str):
        super().__init__(requirement, action)
        self.requirement = requirement
        self.action = action
        self.row = 0
        """Number of the row in its data set."""


@dataclass(frozen=True)
class Conversation:
    """A row's messages; those of the assistant are trained from `first_scored` on."""

    messages: list[Message]
    first_scored: int = 0
    tools: list[Any] | None = None

    def scored_turns(self) -> list[int]:
        """Return the positions of the messages that are trained."""
        positions = range(self.first_scored, len(self.messages))
        return [i for i in positions if is_trained(self.messages[i])]


def split_thinking(message: Message) -> tuple[str, str]:
    """Return the thinking and the answer of an assistant's message, without white space around them.

    The thinking stands in a key of its own, or before `</think>` at the beginning of the content.
    """
    content = message["content"]
    for key in THINKING_KEYS:
        if isinstance(message.get(key), str) and message[key].strip():
            return message[key].strip(), content.strip()
    before, end_tag, after = content.partition(THINK_END)
    thinking = before.strip().removeprefix(THINK_START)
    if not end_tag or THINK_START in thinking:  # the text speaks of the tags
        return "", content.strip()
    return thinking.strip(), after.strip()


def _inline_message(message: Message, keep_text: bool) -> Message:
    """Return an assistant's message with its thinking in the content, between think tags.

    `keep_text` leaves content that has the tags already as it is, white space included.
    """
    others = {key: value for key, value in message.items() if key not in THINKING_KEYS}
    thinking, answer = split_thinking(message)
    if keep_text and (THINK_END in message["content"] or not thinking):
        return others
    return {**others, "content": f"{THINK_START}\n{thinking}\n{THINK_END}\n\n{answer}"}


def _message_with_fields(message: Message) -> Message:
    """Return an assistant's message with its thinking in keys of its own, by the names that templates read."""
    others = {key: value for key, value in message.items() if key not in THINKING_KEYS}
    thinking, answer = split_thinking(message)
    if not thinking:
        return others
    return {**others, "content": answer, "reasoning_content": thinking, "thinking": thinking}


@dataclass
class ChatRenderer:
    """Renders conversations with one chat template, and checks what comes out."""

    tokenizer: Any
    template: str
    settings: dict[str, Any]
    stop_tokens: frozenset[str]
    """Tokens at which generation ends today."""
    asking: "ChatRenderer | None" = None
    """Renders the prompts with which the model will be asked, where that is another template than this one."""
    splits_turns: bool = False
    """Train each turn as a sequence of its own, before which earlier turns stand as the template writes them."""
    note: str = ""
    """What to tell the user about this way; "" for the model's own template."""

    def __post_init__(self) -> None:
        special = {str(token) for token in self.tokenizer.added_tokens_decoder.values() if token.special}
        special |= {str(token) for token in self.tokenizer.all_special_tokens}
        pattern = "|".join(re.escape(token) for token in sorted(special, key=len, reverse=True))
        self._special = re.compile(pattern or r"(?!)")
        self._last_suffix: str | None = None
        self._native_marks = self._has_native_marks()

    # Rendering

    def render(self, messages: list[Message], tools: list[Any] | None, asks: bool = False) -> str:
        """Return the text of messages, with the beginning of the assistant's turn if `asks`."""
        try:
            text = self.tokenizer.apply_chat_template(
                messages,
                tools=tools,
                tokenize=False,
                add_generation_prompt=asks,
                chat_template=self.template,
                **self.settings,
            )
        except Exception as error:  # a template is a program of others, and raises what it likes
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            action = "correct or drop the row, or set model.chat_template to another"
            raise RowError(f"the model's chat template refuses it: {reason.rstrip('.')}", action) from None
        return str(text)

    def _has_native_marks(self) -> bool:
        """Return whether the template writes thinking between marks of its own, as gpt-oss does, and not think tags."""
        thinking = {"reasoning_content": _THINKING_MARK, "thinking": _THINKING_MARK}
        messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", **thinking}]
        try:
            text = self.render(messages, None)
        except RowError:
            return False
        return _THINKING_MARK in text and THINK_START not in text

    def examples(self, conversation: Conversation) -> list[list[Piece]]:
        """Return the sequences of a row, each in pieces that are in the loss or not.

        Raises RowError where the template does not render what the row says.
        """
        turns = conversation.scored_turns()
        if not turns:
            raise RowError("no message of the assistant is to be trained", "add one, or drop the row")
        # Nothing is trained behind the assistant's last turn.
        messages = conversation.messages[: turns[-1] + 1]
        if not self.splits_turns:
            return [self._pieces(Conversation(messages, turns[0], conversation.tools))]
        return [self._pieces(Conversation(messages[: i + 1], i, conversation.tools)) for i in turns]

    def _pieces(self, conversation: Conversation) -> list[Piece]:
        first_error: RowError | None = None
        for messages in self._forms(conversation.messages):
            try:
                return self._render_checked(Conversation(messages, conversation.first_scored, conversation.tools))
            except RowError as error:
                first_error = first_error or error
        assert first_error is not None
        raise first_error

    def _forms(self, messages: list[Message]) -> Iterator[list[Message]]:
        """Yield the messages in the forms in which templates take thinking: in the content, or in keys of their own."""
        makers = [
            lambda message: _inline_message(message, keep_text=True),
            _message_with_fields,
            lambda message: _inline_message(message, keep_text=False),
        ]
        if self._native_marks:
            makers = [_message_with_fields]
        seen: list[list[Message]] = []
        for make in makers:
            form = [make(message) if message["role"] == "assistant" else message for message in messages]
            for variant in (_with_arguments(form, as_text=False), _with_arguments(form, as_text=True)):
                if variant not in seen:
                    seen.append(variant)
                    yield variant

    def _render_checked(self, conversation: Conversation) -> list[Piece]:
        messages, tools = conversation.messages, conversation.tools
        whole = self.render(messages, tools)
        _check_others_rendered(whole, conversation)
        turns = conversation.scored_turns()
        pieces: list[Piece] = []
        position = 0
        for turn in turns:
            prompt = self.render(messages[:turn], tools, asks=True)
            if turn == turns[0]:
                self._check_prompt(prompt, messages[:turn], tools)
            start = len(prompt)
            closes_thinking = prompt.rstrip().endswith(THINK_END) and split_thinking(messages[turn])[0]
            if closes_thinking or not whole.startswith(prompt):
                raise self._prompt_error(prompt, messages[turn])
            end = self._find_content_end(whole, conversation, turn)
            if end < start:
                raise RowError("the prompt of its chat template holds some of the answer", OTHER_TEMPLATE)
            self._check_turn(whole[start:end], messages[turn])
            # A turn that calls a tool ends as the last turn does: nothing more is generated before the tool's answer.
            is_final = turn == turns[-1] or bool(messages[turn].get("tool_calls"))
            end, end_token = self._find_turn_end(whole, end, is_final)
            pieces.append(Piece(whole[position:start], False))
            if end_token is None and turn == turns[-1]:
                if self.tokenizer.eos_token is None:
                    requirement = "the chat template ends no turn, and the tokenizer has no end token"
                    raise RowError(requirement, "set trl.eos_token to a token of the model")
                pieces.append(Piece(whole[start:end] + self.tokenizer.eos_token, True))
                end_token, position = self.tokenizer.eos_token, len(whole)
            else:
                pieces.append(Piece(whole[start:end], True))
                position = end
        pieces.append(Piece(whole[position:], False))
        return [piece for piece in pieces if piece.text]

    # Where a turn ends

    def _find_content_end(self, whole: str, conversation: Conversation, turn: int) -> int:
        """Return where the text of a turn ends in the whole: its answer, or its calls of tools."""
        messages, tools = conversation.messages, conversation.tools
        message = messages[turn]
        is_last = turn == len(messages) - 1
        if message.get("tool_calls"):
            return self._find_calls_end(whole, conversation, turn)
        _, answer = split_thinking(message)
        if is_last and self._last_suffix is not None and whole.endswith(self._last_suffix):
            end = len(whole) - len(self._last_suffix)
            if answer and whole[:end].rstrip().endswith(answer):
                return end
        marked = [*messages[:turn], _with_answer(message, _ANSWER_MARK), *messages[turn + 1 :]]
        marked_whole = self.render(marked, tools)
        _, mark, suffix = marked_whole.rpartition(_ANSWER_MARK)
        if not mark:
            requirement = "the model's chat template leaves the text of one of its messages out"
            raise RowError(requirement, OTHER_TEMPLATE)
        if not whole.endswith(suffix):
            raise RowError("the model's chat template writes what follows an answer in several ways", OTHER_TEMPLATE)
        if is_last:
            self._last_suffix = suffix
        return len(whole) - len(suffix)

    def _find_calls_end(self, whole: str, conversation: Conversation, turn: int) -> int:
        """Return where calls of tools end: before the last special token that the message ends with."""
        text = self.render(conversation.messages[: turn + 1], conversation.tools)
        if not whole.startswith(text.rstrip()):
            requirement = "the model's chat template writes a message in another way once others follow it"
            raise RowError(requirement, OTHER_TEMPLATE)
        end = len(text.rstrip())
        matches = list(self._special.finditer(text))
        return matches[-1].start() if matches and matches[-1].end() == end else end

    def _find_turn_end(self, whole: str, content_end: int, is_final: bool) -> tuple[int, str | None]:
        """Return where the token that ends a turn ends, and the token; None where the template writes none.

        Before the last turn a token counts only if generation stops at it, or at the same one in the last turn: of
        gpt-oss, a turn ends with `<|return|>`, and with `<|end|>` once it is history.
        """
        gap = len(whole[content_end:]) - len(whole[content_end:].lstrip())
        match = self._special.match(whole, content_end + gap)
        if match is None:
            return content_end, None
        is_end = is_final or match.group() in self.stop_tokens or self._ends_last_turn(match.group())
        return (match.end(), match.group()) if is_end else (content_end, None)

    def _ends_last_turn(self, token: str) -> bool:
        """Return whether the template ends the last turn of a conversation with a token."""
        try:
            return self.last_turn_end == token
        except RowError:  # the template refuses even this conversation
            return False

    @cached_property
    def last_turn_end(self) -> str | None:
        """Return the token with which the template ends the last turn of a conversation, None where it writes none."""
        messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": _ANSWER_MARK}]
        suffix = self.render(messages, None).rpartition(_ANSWER_MARK)[2]
        match = self._special.match(suffix.lstrip())
        return match.group() if match else None

    # Checks

    def _check_prompt(self, prompt: str, messages: list[Message], tools: list[Any] | None) -> None:
        """Raise RowError where the model will be asked by another prompt than the one it is trained with."""
        if self.asking is not None and self.asking.render(messages, tools, asks=True) != prompt:
            requirement = "the model would be asked by another prompt than the one that it is trained with"
            raise RowError(requirement, OTHER_TEMPLATE)

    def _prompt_error(self, prompt: str, message: Message) -> RowError:
        """Return what to say of a prompt that is not how the whole begins."""
        thinking, _ = split_thinking(message)
        ending = prompt.rstrip()
        if thinking and ending.endswith(THINK_END):
            requirement = "it thinks, and the prompt of the model's chat template closes the thinking already"
            switch = thinking_switch(self.template)
            if switch in self.settings:
                return RowError(requirement, f"remove {switch} from prompt.template_settings")
            if switch:
                return RowError(requirement, f"set prompt.template_settings={{{switch}: true}}")
            return RowError(requirement, OTHER_TEMPLATE)
        if thinking and ending.endswith(THINK_START):
            requirement = "the prompt of the model's chat template opens the thinking, which the template then cuts out"
            return RowError(requirement, OTHER_TEMPLATE)
        requirement = "the model's chat template writes the prompt in another way once an answer follows it"
        return RowError(requirement, OTHER_TEMPLATE)

    def _check_turn(self, text: str, message: Message) -> None:
        """Raise RowError where the scored text of a turn lacks its thinking, its answer, or a call of a tool."""
        thinking, answer = split_thinking(message)
        position = 0
        for name, part in (("thinking", thinking), ("answer", answer)):
            start = text.find(part, position)
            if start < 0:
                requirement = f"its {name} is not in what the model's chat template makes of it"
                raise RowError(requirement, f"{OTHER_TEMPLATE}, which keeps it")
            if name == "thinking" and THINK_END in text[:start]:
                requirement = "the model's chat template puts an empty think block before its thinking"
                raise RowError(requirement, OTHER_TEMPLATE)
            position = start + len(part)
        _check_calls_rendered(text, message)


class PromptRenderer(ChatRenderer):
    """Puts a row's own text behind the prompt of a chat template, for templates that would change it."""

    def _render_checked(self, conversation: Conversation) -> list[Piece]:
        turn = conversation.first_scored
        message = conversation.messages[turn]
        if message.get("tool_calls"):
            raise RowError("the model's chat template does not render its calls of tools as they are", OTHER_TEMPLATE)
        prompt = self.render(conversation.messages[:turn], conversation.tools, asks=True)
        _check_others_rendered(prompt, Conversation(conversation.messages[:turn], turn, conversation.tools))
        thinking, _ = split_thinking(message)
        text = message["content"]
        ending = prompt.rstrip()
        if ending.endswith(THINK_END):
            if thinking:
                raise self._prompt_error(prompt, message)
        elif ending.endswith(THINK_START):
            opened = prompt[len(ending) - len(THINK_START) :]
            if not text.startswith(opened):
                text = _inline_message(message, keep_text=False)["content"]
            if not text.startswith(opened):
                raise self._prompt_error(prompt, message)
            text = text[len(opened) :]
        end_token = self.last_turn_end or self.tokenizer.eos_token
        if end_token is None:
            requirement = "the chat template ends no turn, and the tokenizer has no end token"
            raise RowError(requirement, "set trl.eos_token to a token of the model")
        return [Piece(prompt, False), Piece(text + end_token, True)]


def _with_answer(message: Message, answer: str) -> Message:
    """Return an assistant's message with another answer and the same thinking, wherever that stands."""
    before, end_tag, after = message["content"].partition(THINK_END)
    if not end_tag:
        return {**message, "content": answer}
    space = after[: len(after) - len(after.lstrip())]
    return {**message, "content": f"{before}{end_tag}{space}{answer}"}


def _with_arguments(messages: list[Message], as_text: bool) -> list[Message]:
    """Return messages whose calls of tools have their arguments as a mapping, or as JSON, as some templates want it."""
    changed = []
    for message in messages:
        calls = []
        for call in message.get("tool_calls") or []:
            function = dict(call.get("function", call))
            arguments = _parse_arguments(function.get("arguments"))
            function["arguments"] = json.dumps(arguments, ensure_ascii=False) if as_text else arguments
            calls.append({**call, "function": function} if "function" in call else function)
        changed.append({**message, "tool_calls": calls} if calls else message)
    return changed


def _parse_arguments(arguments: Any) -> Any:
    """Return the arguments of a call, which may be JSON text."""
    if isinstance(arguments, str):
        try:
            return json.loads(arguments)
        except ValueError:
            return arguments
    return {} if arguments is None else arguments


def _call_values(call: Message) -> list[str]:
    """Return the name of a called tool and the texts and numbers among its arguments."""
    function = call.get("function", call)
    arguments = _parse_arguments(function.get("arguments"))
    values = [str(function.get("name"))]
    for value in arguments.values() if isinstance(arguments, dict) else []:
        if isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
            values.append(str(value))
    return values


def _check_calls_rendered(text: str, message: Message) -> None:
    """Raise RowError where a text lacks a call of a tool that a message makes."""
    for call in message.get("tool_calls") or []:
        if any(value not in text and json.dumps(value)[1:-1] not in text for value in _call_values(call)):
            requirement = "the model's chat template does not write its calls of tools"
            raise RowError(requirement, "set model.chat_template to one that does, or drop the row")


def _check_others_rendered(text: str, conversation: Conversation) -> None:
    """Raise RowError where the text lacks a message that is not trained, a call of a tool, or a tool."""
    for message in conversation.messages:
        _check_calls_rendered(text, message)
        content = message["content"].strip()
        if message["role"] == "assistant" or content in text or json.dumps(content, ensure_ascii=False)[1:-1] in text:
            continue
        requirement = f"the model's chat template leaves out its message of the role {message['role']}"
        raise RowError(requirement, "drop that message, or set model.chat_template to another")
    for tool in conversation.tools or []:
        name = tool_name(tool)
        if name and name not in text:
            requirement = f"the model's chat template does not show it its tools, such as {name}"
            raise RowError(requirement, "drop the column tools, or set model.chat_template to one that does")


# Choosing


def renderers(tokenizer: Any, settings: dict[str, Any], stop_tokens: Sequence[str]) -> Iterator[ChatRenderer]:
    """Yield the ways in which rows may be rendered, the best first."""
    stops = frozenset(stop_tokens)
    template = template_text(tokenizer)
    own = ChatRenderer(tokenizer, template, settings, stops)
    yield own
    training = _training_template(tokenizer)
    training_note = "rows are rendered with TRL's training template of this family, which keeps what they say"
    if training:
        yield ChatRenderer(tokenizer, training, settings, stops, asking=own, note=training_note)
    switch = thinking_switch(template)
    can_switch = switch is not None and switch not in settings
    thinking_on = THINKING_ON.format(switch=switch)
    switched = thinking_on + template
    switched_note = (
        "the rows think, and the model's chat template does not unless it is told to: the template that is saved "
        f"with the model sets {switch} to true"
    )
    if can_switch:
        yield ChatRenderer(tokenizer, switched, settings, stops, note=switched_note)
        if training:
            asking = ChatRenderer(tokenizer, switched, settings, stops)
            both = f"{switched_note}; {training_note}"
            yield ChatRenderer(tokenizer, thinking_on + training, settings, stops, asking=asking, note=both)
    note = (
        "each turn of a conversation is trained as a sequence of its own, because the model's chat template writes "
        "earlier turns in another way"
    )
    yield ChatRenderer(tokenizer, template, settings, stops, splits_turns=True, note=note)
    note = "the rows' own text is put behind the prompt of the model's chat template, because the template changes it"
    yield PromptRenderer(tokenizer, template, settings, stops, splits_turns=True, note=note)
    if can_switch:
        both = f"{switched_note}; {note}"
        yield PromptRenderer(tokenizer, switched, settings, stops, splits_turns=True, note=both)


def thinking_switch(template: str) -> str | None:
    """Return the setting with which a chat template switches thinking on, None where it tests for no such setting."""
    names = setting_names(template)
    return next((name for name in THINKING_SWITCHES if name in names), None)


def _training_template(tokenizer: Any) -> str | None:
    """Return TRL's training template of the tokenizer's family, None where TRL has none."""
    from trl.chat_template_utils import get_training_chat_template

    try:
        return get_training_chat_template(tokenizer)
    except Exception:  # it renders calls of tools, at which a template may raise anything
        return None


def choose_renderer(
    tokenizer: Any,
    settings: dict[str, Any],
    render_all: Callable[[ChatRenderer], Result],
    stop_tokens: Sequence[str] = (),
) -> tuple[ChatRenderer, Result]:
    """Return the first way in which `render_all` renders all rows, and what it returned.

    Where thinking has to be switched on, the tokenizer's template is changed, so that everyone asks by that prompt.
    Raises the RowError of the model's own template where no way is right.
    """
    first_error: Exception | None = None
    for renderer in renderers(tokenizer, settings, stop_tokens):
        try:
            result = render_all(renderer)
        except RowError as error:
            first_error = first_error or error
            continue
        own = renderer.asking or renderer
        if own.template != template_text(tokenizer):
            tokenizer.chat_template = own.template
        return renderer, result
    assert first_error is not None
    raise first_error
