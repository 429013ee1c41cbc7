"""`r1kit chat`: talk to a model, its thinking shown or folded."""

import io
import sys
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from r1kit.errors import UserError
from r1kit.heavy_imports import heavy_imports
from r1kit.prompts import CHAT_TEMPLATE
from r1kit.recipe import ModelConfig, PromptConfig
from r1kit.runs.run import Run

GREY, PLAIN = "\x1b[2m", "\x1b[0m"


def run_prompt(path: str, template: str | None) -> PromptConfig:
    """Return how a model is asked: by the recipe of its run, unless a template is given; else as a chat."""
    folder = Path(path).parent if Path(path).name == "model" else Path(path)
    if template is None and (folder / "run.json").exists() and (folder / "recipe.yaml").exists():
        told = yaml.safe_load((folder / "recipe.yaml").read_text()) or {}
        if told.get("prompt"):
            return PromptConfig(**told["prompt"])
    try:
        return PromptConfig(template=template or CHAT_TEMPLATE)
    except ValidationError:
        must = "must be chat, r1-zero, tiny or a text with {prompt} in it"
        raise UserError("--template", template, must, "give one of these") from None


class CompletionPrinter:
    """Writes a completion as it comes: thinking in grey, or, folded, only that there is some."""

    def __init__(self, fold: bool, colour: bool, out: Any = sys.stdout):
        self.fold, self.colour, self.out = fold, colour, out
        self.text, self.shown, self.thinks = "", 0, False

    def add(self, piece: str) -> None:
        """Write what a further piece of text makes sure: a tag is not cut in two."""
        self.text += piece
        while True:
            tag = "</think>" if self.thinks else "<think>"
            at = self.text.find(tag, self.shown)
            if at < 0:
                break
            self._write(self.text[self.shown : at])
            self.shown = at + len(tag)
            self.thinks = not self.thinks
            if self.thinks and self.fold:
                self.out.write("[thinking] ")
            elif not self.thinks:
                self.out.write("\n")
        keep = next(
            (n for n in range(min(len(tag), len(self.text) - self.shown), 0, -1) if self.text.endswith(tag[:n])), 0
        )
        self._write(self.text[self.shown : len(self.text) - keep])
        self.shown = len(self.text) - keep

    def end(self) -> None:
        """Write the rest."""
        self._write(self.text[self.shown :])
        self.out.write("\n")
        self.out.flush()

    def _write(self, text: str) -> None:
        if not text or (self.thinks and self.fold):
            return
        self.out.write(f"{GREY}{text}{PLAIN}" if self.thinks and self.colour else text)
        self.out.flush()


def run_chat(
    path: str, template: str | None, fold: bool, tokens: int, temperature: float, trust_remote_code: bool = False
) -> None:
    """Ask for questions on stdin, one a line, until its end; answer each. Raises UserError as loading a model does."""
    if temperature < 0:
        raise UserError("--temperature", temperature, "must be 0 or more", "0 takes the likeliest token")
    with heavy_imports():
        from transformers import TextStreamer

        from r1kit.models.load import load_model, load_tokenizer
        from r1kit.models.templates import check_chat_template
    from r1kit.data.questions import render_prompt
    from r1kit.models.templates import apply_template, encode_prompts, template_prefix

    prompt, block = run_prompt(path, template), ModelConfig(path=path, trust_remote_code=trust_remote_code)
    tokenizer = load_tokenizer(block)
    check_chat_template(tokenizer, prompt.template)
    model = load_model(block, training=False).eval()
    model.generation_config.max_length = None
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    live = sys.stdin.isatty()
    if live:
        print(
            f"{Run(Path(path)).info.get('stage') or 'model'} {path}; a line is a question, ctrl-D ends", file=sys.stderr
        )

    class Streamer(TextStreamer):
        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            speech.add(text)

    import torch

    said: list[dict[str, str]] = []
    while True:
        try:
            line = input("> " if live else "").strip()
        except (EOFError, KeyboardInterrupt):
            print()
            return
        if not line:
            continue
        asked: Any = render_prompt([*said, {"role": "user", "content": line}] if said else line, prompt)
        text = apply_template(tokenizer, asked, prompt)
        [ids] = encode_prompts(tokenizer, [asked], [text])
        given = torch.tensor([ids], device=model.device)
        speech = CompletionPrinter(fold, sys.stdout.isatty())
        speech.add(template_prefix(text, prompt.prefill))
        how: dict[str, Any] = {"do_sample": False}
        if temperature:
            how = {"do_sample": True, "temperature": temperature, "top_p": 0.95}
        how |= {"max_new_tokens": tokens, "pad_token_id": tokenizer.pad_token_id}
        streamer = Streamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
        model.generate(given, attention_mask=torch.ones_like(given), streamer=streamer, **how)
        speech.end()
        if prompt.template == CHAT_TEMPLATE:  # thinking is not shown to the model again, as DeepSeek-R1 is used
            answer = "" if speech.thinks else speech.text.rpartition("</think>")[2].strip()
            said = [*asked, {"role": "assistant", "content": answer}]
