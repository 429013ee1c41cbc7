"""Conversations as they are trained: put through a chat template, and checked against what the row says.

    renderer = ChatRenderer(tokenizer, template_text(tokenizer), settings={}, stop_tokens=frozenset())
    [pieces] = renderer.examples(Conversation(messages))

A chat template is made for asking. Many cut the thinking out of earlier turns, some out of every turn (R1-Distill's);
some write a prompt that is not how the trained text begins, or leave tools or the system's message out, all in silence.
Here each row is rendered and then checked:

- the text of the prompt, as the model will be asked, is how the whole begins;
- all of the thinking, of the answer and of the calls of tools is in the loss, and nothing of the prompt;
- every other message and every tool is in the text;
- the token that ends each of its turns is in the loss.

Where one does not hold, a RowError says what the template does to the row. `renderer_choice` tries several ways.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from r1kit.models.chat_templates import thinking_switch
from r1kit.models.conversations import (
    OTHER_TEMPLATE,
    Conversation,
    Message,
    RowError,
    check_calls_rendered,
    check_others_rendered,
    inline_message,
    message_with_fields,
    message_with_marks,
    split_thinking,
    with_answer,
    with_arguments,
    with_inline_thinking,
)
from r1kit.models.pieces import Piece
from r1kit.models.templates import THINK_END, THINK_START, own_thinking_marks

# A text that stands for an answer, to find where the template puts it; no template trims or splits it.
_ANSWER_MARK = "R1kit+answer+mark"
_THINKING_MARK = "R1kit+thinking+mark"


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

    @cached_property
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
        makers: list[Callable[[Message], Message]]
        marks = own_thinking_marks(self.tokenizer, self.template)
        if self._has_native_marks:
            makers = [message_with_fields]
        elif marks is not None:
            makers = [message_with_fields, partial(message_with_marks, marks=marks)]
        else:
            makers = [with_inline_thinking, message_with_fields, inline_message]
        seen: list[list[Message]] = []
        for make in makers:
            form = [make(message) if message["role"] == "assistant" else message for message in messages]
            for variant in (with_arguments(form, as_text=False), with_arguments(form, as_text=True)):
                if variant not in seen:
                    seen.append(variant)
                    yield variant

    def _render_checked(self, conversation: Conversation) -> list[Piece]:
        messages, tools = conversation.messages, conversation.tools
        whole = self.render(messages, tools)
        check_others_rendered(whole, conversation)
        turns = conversation.scored_turns()
        pieces: list[Piece] = []
        position = 0  # in the whole, of what follows the last piece
        for turn in turns:
            start = self._find_turn_start(whole, conversation, turn)
            content_end = self._find_content_end(whole, conversation, turn)
            if content_end < start:
                raise RowError("the prompt of its chat template holds some of the answer", OTHER_TEMPLATE)
            self._check_turn(whole[start:content_end], messages[turn])
            # A turn that calls a tool ends as the last turn does: nothing more is generated before the tool's answer.
            is_final = turn == turns[-1] or bool(messages[turn].get("tool_calls"))
            end = self._find_turn_end(whole, content_end, is_final)
            pieces.append(Piece(whole[position:start], False))
            if end is not None:
                pieces.append(Piece(whole[start:end], True))
                position = end
            elif turn == turns[-1]:
                pieces.append(Piece(whole[start:content_end] + self._require_end_token(), True))
                position = len(whole)
            else:
                requirement = "the model's chat template ends a turn before the last with no token that stops the model"
                raise RowError(requirement, OTHER_TEMPLATE)
        pieces.append(Piece(whole[position:], False))
        return [piece for piece in pieces if piece.text]

    def _find_turn_start(self, whole: str, conversation: Conversation, turn: int) -> int:
        """Return where a turn begins in the whole: behind the prompt with which the model is asked for it."""
        messages, tools = conversation.messages, conversation.tools
        prompt = self.render(messages[:turn], tools, asks=True)
        if turn == conversation.first_scored:
            self._check_prompt(prompt, messages[:turn], tools)
        closes_thinking = prompt.rstrip().endswith(THINK_END) and split_thinking(messages[turn])[0]
        if closes_thinking or not whole.startswith(prompt):
            raise self._prompt_error(prompt, messages[turn])
        return len(prompt)

    def _require_end_token(self) -> str:
        """Return the token with which a turn ends where the template ends it with none."""
        end_token = self.last_turn_end or self.tokenizer.eos_token
        if end_token is None:
            requirement = "the chat template ends no turn, and the tokenizer has no end token"
            raise RowError(requirement, "set trl.eos_token to a token of the model")
        return end_token

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
        marked = [*messages[:turn], with_answer(message, _ANSWER_MARK), *messages[turn + 1 :]]
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

    def _find_turn_end(self, whole: str, content_end: int, is_final: bool) -> int | None:
        """Return where the token that ends a turn ends; None where the template writes none.

        Before the last turn a token counts only if generation stops at it, or at the same one in the last turn: of
        gpt-oss, a turn ends with `<|return|>`, and with `<|end|>` once it is history.
        """
        gap = len(whole[content_end:]) - len(whole[content_end:].lstrip())
        match = self._special.match(whole, content_end + gap)
        if match is None:
            return None
        is_end = is_final or match.group() in {*self.stop_tokens, self.last_turn_end}
        return match.end() if is_end else None

    @cached_property
    def last_turn_end(self) -> str | None:
        """Return the token with which the template ends the last turn of a conversation, None where it writes none."""
        messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": _ANSWER_MARK}]
        try:
            suffix = self.render(messages, None).rpartition(_ANSWER_MARK)[2]
        except RowError:  # the template refuses even this conversation
            return None
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
        for name, expected_text in (("thinking", thinking), ("answer", answer)):
            start = text.find(expected_text, position)
            if start < 0:
                requirement = f"its {name} is not in what the model's chat template makes of it"
                raise RowError(requirement, f"{OTHER_TEMPLATE}, which keeps it")
            if name == "thinking" and THINK_END in text[:start]:
                requirement = "the model's chat template puts an empty think block before its thinking"
                raise RowError(requirement, OTHER_TEMPLATE)
            position = start + len(expected_text)
        check_calls_rendered(text, message)


class PromptRenderer(ChatRenderer):
    """Puts a row's own text behind the prompt of a chat template, for templates that would change it."""

    def _render_checked(self, conversation: Conversation) -> list[Piece]:
        turn = conversation.first_scored
        message = conversation.messages[turn]
        if message.get("tool_calls"):
            raise RowError("the model's chat template does not render its calls of tools as they are", OTHER_TEMPLATE)
        prompt = self.render(conversation.messages[:turn], conversation.tools, asks=True)
        check_others_rendered(prompt, Conversation(conversation.messages[:turn], turn, conversation.tools))
        thinking, _ = split_thinking(message)
        text = message["content"]
        ending = prompt.rstrip()
        if ending.endswith(THINK_END):
            if thinking:
                raise self._prompt_error(prompt, message)
        elif ending.endswith(THINK_START):
            opened = prompt[len(ending) - len(THINK_START) :]
            if not text.startswith(opened):
                text = inline_message(message)["content"]
            if not text.startswith(opened):
                raise self._prompt_error(prompt, message)
            text = text[len(opened) :]
        return [Piece(prompt, False), Piece(text + self._require_end_token(), True)]
