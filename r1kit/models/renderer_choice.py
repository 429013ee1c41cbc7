"""The ways in which the rows of SFT may be rendered, and the first that is right for all of them.

    renderer, rendered = choose_renderer(tokenizer, {}, render_all)

In their order: the model's own template; TRL's training template of the family; one of the two with thinking switched
on; one sequence for each turn; the template's prompt with the row's text after it.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from r1kit.models.chat_templates import template_text, thinking_switch
from r1kit.models.conversations import RowError
from r1kit.models.training_rows import ChatRenderer, PromptRenderer

Result = TypeVar("Result")
# Put before a template, this switches thinking on unless the caller sets the switch.
THINKING_ON = "{{%- if {switch} is not defined -%}}{{%- set {switch} = true -%}}{{%- endif -%}}"


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
    turns_note = (
        "each turn of a conversation is trained as a sequence of its own, because the model's chat template writes "
        "earlier turns in another way, or without the token that ends them"
    )
    yield ChatRenderer(tokenizer, template, settings, stops, splits_turns=True, note=turns_note)
    text_note = (
        "the rows' own text is put behind the prompt of the model's chat template, because the template changes it"
    )
    yield PromptRenderer(tokenizer, template, settings, stops, splits_turns=True, note=text_note)
    if can_switch:
        both = f"{switched_note}; {text_note}"
        yield PromptRenderer(tokenizer, switched, settings, stops, splits_turns=True, note=both)


def _training_template(tokenizer: Any) -> str | None:
    """Return TRL's training template of the tokenizer's family, None where TRL has none."""
    from trl.chat_template_utils import get_training_chat_template

    try:
        return get_training_chat_template(tokenizer)
    except Exception:  # TRL renders calls of tools, and a template may raise anything at them
        return None


def choose_renderer(
    tokenizer: Any,
    settings: dict[str, Any],
    render_all: Callable[[ChatRenderer], Result],
    stop_tokens: Sequence[str] = (),
) -> tuple[ChatRenderer, Result]:
    """Return the first way in which `render_all` renders all rows, and what it returned.

    Where thinking has to be switched on, the tokenizer's template is changed, so that later stages use that prompt.
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
