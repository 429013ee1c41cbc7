"""The engine `transformers`: sample with a model of transformers in this process, on the GPU where there is one."""

from collections.abc import Sequence
from typing import Any

from r1kit.errors import UserError
from r1kit.heavy_imports import heavy_imports
from r1kit.models.templates import apply_template, encode_prompts, template_prefix
from r1kit.recipe import ModelConfig, PromptConfig, SamplingConfig
from r1kit.sampling.engine import CompletionGroups, InProcessSampler, SampledCompletion

# What a model may bring along in its generation_config.json, and neither a recipe nor another engine knows.
PENALTIES = {"repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "min_p": None, "typical_p": 1.0}


class TransformersSampler(InProcessSampler):
    """Samples by r1kit.models.decode, else, where that is not the same, with transformers' `generate`."""

    def __init__(self, model: ModelConfig, prompt: PromptConfig, settings: SamplingConfig, field: str = "sampling"):
        with heavy_imports():
            import transformers  # noqa: F401

            import r1kit.models.decode  # noqa: F401
        from r1kit.models.load import check_context, load_model, load_tokenizer
        from r1kit.models.templates import check_chat_template

        self.prompt, self.settings, self.path = prompt, settings, model.path
        self.tokenizer = load_tokenizer(model)
        self.model = load_model(model, training=False).eval()
        for name, none in PENALTIES.items():
            setattr(self.model.generation_config, name, none)
        check_context(self.model, settings.max_tokens, f"{field}.max_tokens", settings.max_tokens)
        check_chat_template(self.tokenizer, prompt.template)
        ends = self.model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [] if ends is None else [ends]
        self.context = getattr(self.model.config.get_text_config(), "max_position_embeddings", None) or 10**9
        self.ends = sorted({*ends, self.tokenizer.eos_token_id})

    def sample(self, prompts: Sequence[Any], count: int, seed: int) -> CompletionGroups:
        import torch

        torch.manual_seed(seed)
        texts = [apply_template(self.tokenizer, p, self.prompt) for p in prompts]
        asked = encode_prompts(self.tokenizer, prompts, texts)
        fits = [i for i, ids in enumerate(asked) if len(ids) < self.context]
        groups: CompletionGroups = [[SampledCompletion("", 0, "context")] * count for _ in texts]
        for part in self._together(asked, fits, count):
            with torch.inference_mode():
                rows, chances = self._ids([asked[i] for i in part], count)
            for place, i in enumerate(part):
                start = "" if isinstance(prompts[i], tuple) else template_prefix(texts[i], self.prompt.prefill)
                mine = slice(place * count, (place + 1) * count)
                before = prompts[i] if isinstance(prompts[i], tuple) else ()
                groups[i] = [self._sample(*one, start, before) for one in zip(rows[mine], chances[mine], strict=True)]
        return groups

    def _together(self, asked: list[list[int]], places: list[int], count: int) -> list[list[int]]:
        """Return which prompts are sampled at once, `batch_size` completions.

        A prompt that leaves less room in the context than `max_tokens` goes by itself: others need not end with it.
        """
        roomy = [i for i in places if self.context - len(asked[i]) >= self.settings.max_tokens]
        size = max(1, self.settings.batch_size // count)
        parts = [roomy[start : start + size] for start in range(0, len(roomy), size)]
        return parts + [[i] for i in places if self.context - len(asked[i]) < self.settings.max_tokens]

    def _ids(self, prompts: list[list[int]], count: int) -> tuple[list[list[int]], list[list[float]]]:
        """Return `count` completions of each prompt, as ids, and the ids' log-probabilities (none by `generate`)."""
        from transformers import GenerationConfig

        from r1kit.models.decode import sample_completions, why_generate_is_needed

        hot = self.settings.temperature > 0
        names = ("temperature", "top_p", "top_k")
        chosen = {name: getattr(self.settings, name) if hot else None for name in names}
        most = min(self.settings.max_tokens, self.context - max(map(len, prompts)))
        given = {"do_sample": hot, "max_new_tokens": most, **chosen}
        config = GenerationConfig(**given)
        if not why_generate_is_needed(self.model, config):
            try:
                return sample_completions(self.model, [ids for ids in prompts for _ in range(count)], config, self.ends)
            except FloatingPointError as error:
                do = "give another checkpoint, or model.dtype: float32"
                raise UserError("model.path", self.path, str(error), do) from None
        padded = self.tokenizer.pad({"input_ids": prompts}, return_tensors="pt").to(self.model.device)
        ends = {"eos_token_id": self.ends, "pad_token_id": self.tokenizer.pad_token_id}
        inputs = {name: padded[name] for name in ("input_ids", "attention_mask")}
        output = self.model.generate(**inputs, num_return_sequences=count, **given, **ends)
        return output[:, inputs["input_ids"].shape[1] :].tolist(), [[] for _ in output]

    def _sample(self, ids: list[int], chances: list[float], start: str, before: tuple[int, ...]) -> SampledCompletion:
        end = next((i for i, token in enumerate(ids) if token in self.ends), None)
        kept = ids if end is None else ids[: end + 1]
        said = kept if end is None else kept[:-1]
        text = self.text([*before, *said])
        if before:  # decoded alone, a first token may lose its white space
            text = text[len(self.text(before)) :]
        mean = sum(chances) / len(chances) if chances else None
        return SampledCompletion(
            start + text, len(kept), "length" if end is None else "stop", tuple(kept), logprob=mean
        )

    def text(self, ids: Sequence[int]) -> str:
        """Return what ids say, special tokens left out."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))
