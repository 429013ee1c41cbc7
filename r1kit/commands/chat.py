"""`r1kit chat MODEL`: ask a model questions in the terminal, one a line, and read its thinking and its answers.

    r1kit chat runs/tiny/r1
    echo "What is 1 + 2?" | r1kit chat tiny:base --template tiny --fold

A run is asked by the prompt block that it was trained with; other models by their chat template, or by `r1-zero` if
they are base models. With a chat template the conversation goes on from
question to question, without the thinking of earlier answers, as DeepSeek recommends for DeepSeek-R1.
"""

import io
import math
import sys
from pathlib import Path
from typing import Any, TextIO

from pydantic import ValidationError

from r1kit.data.example_questions import example_questions
from r1kit.errors import UserError
from r1kit.heavy_imports import heavy_imports
from r1kit.messages import logger, print_progress
from r1kit.models.prompt_choice import choose_prompt
from r1kit.prompts import AUTO_TEMPLATE, CHAT_TEMPLATE, THINKING_TAGS
from r1kit.recipe import ModelConfig, PromptConfig
from r1kit.recipe.block import SMALLEST_TEMPERATURE
from r1kit.runs.paths import resolve_model_path
from r1kit.runs.run import Run
from r1kit.safe_text import escape_control_characters
from r1kit.synonyms import suggest_value

# Escape sequences of a terminal: faint text, and back to normal.
FAINT, NORMAL = "\x1b[2m", "\x1b[0m"
TOP_P = 0.95  # DeepSeek-R1, section 3: all models are sampled with it


def find_prompt_config(model_path: str, template: str | None, trust_remote_code: bool = False) -> PromptConfig:
    """Return the prompt block by which a model is asked: by `template`, or as it was trained, or as fits its tokenizer.

    Raises UserError for a template that has no place for the question, and for a model that cannot be loaded.
    """
    try:
        settings = PromptConfig(template=template or AUTO_TEMPLATE)
    except ValidationError:
        requirement = "must be chat, r1-zero, tiny or a text with {prompt} in it"
        other_template = suggest_value("template", template)
        action = f"did you mean {other_template}?" if other_template else "use one of these"
        raise UserError("--template", template, requirement, action) from None
    model = ModelConfig(path=model_path, trust_remote_code=trust_remote_code)
    prompt_config, note = choose_prompt(model, settings, "MODEL")
    if note:
        logger.info(note)
    return prompt_config


class CompletionPrinter:
    """Prints a completion while it is sampled: its thinking in faint text or, with `fold`, as one word.

    A tag may come in several pieces, so text that could be the beginning of a tag is held back.
    """

    def __init__(self, fold: bool, colour: bool, stream: TextIO = sys.stdout):
        self.fold = fold
        self.colour = colour
        self.stream = stream
        self.text = ""
        self.is_thinking = False
        self._printed_length = 0

    def add(self, piece: str) -> None:
        """Add a piece of text, and print what can be no part of a tag."""
        self.text += piece
        thinking_start, thinking_end = THINKING_TAGS
        while True:
            tag = thinking_end if self.is_thinking else thinking_start
            position = self.text.find(tag, self._printed_length)
            if position < 0:
                break
            self._print_until(position)
            self._printed_length = position + len(tag)
            self.is_thinking = not self.is_thinking
            if not self.is_thinking:
                self.stream.write("\n")
            elif self.fold:
                self.stream.write("[thinking] ")
        self._print_until(len(self.text) - self._count_held_back(tag))

    def end(self) -> None:
        """Print the text that was held back, and end the line."""
        self._print_until(len(self.text))
        self.stream.write("\n")
        self.stream.flush()

    def answer(self) -> str:
        """Return the text after the thinking; "" if the thinking has not ended."""
        if self.is_thinking:
            return ""
        return self.text.rpartition(THINKING_TAGS[1])[2].strip()

    def _count_held_back(self, tag: str) -> int:
        """Return how many characters at the end of the text could be the beginning of `tag`."""
        longest = min(len(tag), len(self.text) - self._printed_length)
        for length in range(longest, 0, -1):
            if self.text.endswith(tag[:length]):
                return length
        return 0

    def _print_until(self, position: int) -> None:
        text = self.text[self._printed_length : position]
        self._printed_length = position
        is_hidden = self.is_thinking and self.fold
        if not text or is_hidden:
            return
        text = escape_control_characters(text)
        if self.is_thinking and self.colour:
            text = f"{FAINT}{text}{NORMAL}"
        self.stream.write(text)
        self.stream.flush()


class ChatModel:
    """A model with its tokenizer and prompt settings, which answers one question after another."""

    def __init__(self, path: str, template: str | None, trust_remote_code: bool):
        from r1kit.models.load import load_model, load_tokenizer
        from r1kit.models.stop_tokens import end_token_ids, neutral_generation_config
        from r1kit.models.templates import check_chat_template

        resolve_model_path(path, "MODEL")
        block = ModelConfig(path=path, trust_remote_code=trust_remote_code)
        self.prompt_config = find_prompt_config(path, template, trust_remote_code)
        self.tokenizer = load_tokenizer(block)
        check_chat_template(self.tokenizer, self.prompt_config.template, "--template")
        self.model: Any = load_model(block, training=False).eval()
        self.model.generation_config, _ = neutral_generation_config(self.model)
        self.end_token_ids = end_token_ids(
            self.tokenizer, self.model.generation_config.eos_token_id, self.prompt_config.template
        )
        self.conversation: list[dict[str, str]] = []

    def answer(self, question: str, printer: CompletionPrinter, max_tokens: int, temperature: float) -> None:
        """Sample a completion for `question` and print it with `printer` while it is sampled."""
        import torch

        from r1kit.data.questions import render_prompt
        from r1kit.models.templates import apply_template, encode_prompts, template_prefix

        message = {"role": "user", "content": question}
        prompt: Any = render_prompt(
            [*self.conversation, message] if self.conversation else question, self.prompt_config
        )
        text = apply_template(self.tokenizer, prompt, self.prompt_config)
        prompt_ids = torch.tensor(encode_prompts(self.tokenizer, [prompt], [text]), device=self.model.device)  # (1, T)
        printer.add(template_prefix(text, self.prompt_config.prefill))
        settings: dict[str, Any] = {"do_sample": False}
        if temperature:
            settings = {"do_sample": True, "temperature": temperature, "top_p": TOP_P, "top_k": 0}
        self.model.generate(
            prompt_ids,
            attention_mask=torch.ones_like(prompt_ids),
            streamer=_make_streamer(self.tokenizer, printer),
            max_new_tokens=max_tokens,
            pad_token_id=self.tokenizer.pad_token_id,
            eos_token_id=self.end_token_ids,
            **settings,
        )
        printer.end()
        if self.prompt_config.template == CHAT_TEMPLATE:
            self.conversation = [*prompt, {"role": "assistant", "content": printer.answer()}]


def _make_streamer(tokenizer: Any, printer: CompletionPrinter) -> Any:
    """Return a streamer that hands the text of new tokens to `printer`."""
    from transformers import TextStreamer

    class PrintingStreamer(TextStreamer):
        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            printer.add(text)

    return PrintingStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)


def run_chat(
    path: str,
    template: str | None,
    fold: bool,
    max_tokens: int,
    temperature: float,
    trust_remote_code: bool = False,
) -> None:
    """Read questions from stdin, one a line, and print an answer to each, until the end of the input.

    Raises UserError for a model that cannot be loaded, an unknown template or a negative temperature.
    """
    if temperature != 0 and not SMALLEST_TEMPERATURE <= temperature < math.inf:
        requirement = f"must be 0, or at least {SMALLEST_TEMPERATURE} and finite"
        raise UserError("--temperature", temperature, requirement, "use 0 for the likeliest tokens")
    with heavy_imports():
        from transformers import TextStreamer  # noqa: F401  (brings torch, which takes most of the time)
    chat_model = ChatModel(path, template, trust_remote_code)
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    is_interactive = sys.stdin.isatty()
    if is_interactive:
        kind = Run(Path(path)).info.get("stage") or "model"
        print_progress(f"{kind} {path}: write a question on one line; Ctrl-D ends the conversation")
        for question in example_questions(Path(path)):
            print_progress(f"for example: {question}")
    while True:
        try:
            question = input("> " if is_interactive else "").strip()
        except (EOFError, KeyboardInterrupt):
            print()
            return
        if question:
            printer = CompletionPrinter(fold, sys.stdout.isatty())
            chat_model.answer(question, printer, max_tokens, temperature)
