"""Sample completions: one interface, an engine behind it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from r1kit.recipe import Model, Prompt, Sampling


@dataclass(frozen=True)
class Sample:
    """A completion; `tokens` counts its ids, the end token among them."""

    text: str
    ids: tuple[int, ...]
    finish_reason: str  # "stop" or "length"

    @property
    def tokens(self) -> int:
        return len(self.ids)


class Sampler(Protocol):
    """What samples: the same seed gives the same samples."""

    def sample(self, prompts: Sequence[Any], count: int, seed: int) -> list[list[Sample]]:
        """Return `count` samples for each prompt (text, or chat messages)."""
        ...


class TransformersSampler:
    """Samples with transformers' `generate`, on the GPU where there is one."""

    def __init__(self, model: Model, prompt: Prompt, settings: Sampling):
        from r1kit.training.policy import check_context, check_template, load_model, load_tokenizer

        self.prompt, self.settings = prompt, settings
        self.tokenizer = load_tokenizer(model)
        self.model = load_model(model, training=False).eval()
        check_context(self.model, settings.max_tokens, "sampling.max_tokens", settings.max_tokens)
        check_template(self.tokenizer, prompt.template)
        ends = self.model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [] if ends is None else [ends]
        self.ends = sorted({*ends, self.tokenizer.eos_token_id})

    def sample(self, prompts: Sequence[Any], count: int, seed: int) -> list[list[Sample]]:
        import torch

        torch.manual_seed(seed)
        texts = [self._text(p) for p in prompts]
        inputs = self.tokenizer(
            texts, return_tensors="pt", padding=True, add_special_tokens=isinstance(prompts[0], str)
        )
        inputs = {k: v.to(self.model.device) for k, v in inputs.items() if k in ("input_ids", "attention_mask")}
        hot = self.settings.temperature > 0
        chosen = {"temperature": self.settings.temperature, "top_p": self.settings.top_p, "top_k": self.settings.top_k}
        with torch.inference_mode():
            output = self.model.generate(
                **inputs,
                do_sample=hot,
                **(chosen if hot else {"temperature": None, "top_p": None, "top_k": None}),
                num_return_sequences=count,
                max_new_tokens=self.settings.max_tokens,
                eos_token_id=self.ends,
                pad_token_id=self.tokenizer.pad_token_id,
            )
        rows = output[:, inputs["input_ids"].shape[1] :].tolist()
        samples = [self._sample(ids) for ids in rows]
        return [samples[i : i + count] for i in range(0, len(samples), count)]

    def _text(self, prompt: Any) -> str:
        if isinstance(prompt, str):
            return prompt
        text = self.tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
        return text + self.prompt.prefill

    def _sample(self, ids: list[int]) -> Sample:
        end = next((i for i, token in enumerate(ids) if token in self.ends), None)
        kept = ids if end is None else ids[: end + 1]
        text = self.tokenizer.decode(kept if end is None else kept[:-1], skip_special_tokens=True)
        return Sample(self.prompt.prefill + text, tuple(kept), "length" if end is None else "stop")


SAMPLERS = {"transformers": TransformersSampler}


def make_sampler(model: Model, prompt: Prompt, settings: Sampling) -> Sampler:
    """Return the sampler that a recipe names."""
    return SAMPLERS[settings.engine](model, prompt, settings)
