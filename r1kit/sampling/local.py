"""The engine `transformers`: sample with its `generate`, on the GPU where there is one."""

from collections.abc import Sequence
from typing import Any

from r1kit.recipe import Model, Prompt, Sampling
from r1kit.sampling.sampler import Groups, InTurn, Sample, beginning


class TransformersSampler(InTurn):
    """Samples with transformers' `generate`."""

    def __init__(self, model: Model, prompt: Prompt, settings: Sampling, field: str = "sampling"):
        from r1kit.training.policy import check_context, check_template, load_model, load_tokenizer

        self.prompt, self.settings = prompt, settings
        self.tokenizer = load_tokenizer(model)
        self.model = load_model(model, training=False).eval()
        check_context(self.model, settings.max_tokens, f"{field}.max_tokens", settings.max_tokens)
        check_template(self.tokenizer, prompt.template)
        ends = self.model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [] if ends is None else [ends]
        self.context = getattr(self.model.config.get_text_config(), "max_position_embeddings", None) or 10**9
        self.ends = sorted({*ends, self.tokenizer.eos_token_id})

    def sample(self, prompts: Sequence[Any], count: int, seed: int) -> Groups:
        import torch

        torch.manual_seed(seed)
        texts = [render_chat(self.tokenizer, p, self.prompt) for p in prompts]
        asked = self.tokenizer(texts, add_special_tokens=isinstance(prompts[0], str)).input_ids
        fits = [i for i, ids in enumerate(asked) if len(ids) < self.context]
        groups: Groups = [[Sample("", 0, "context")] * count for _ in texts]
        if not fits:
            return groups
        inputs = self.tokenizer.pad({"input_ids": [asked[i] for i in fits]}, return_tensors="pt")
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
        for place, i in enumerate(fits):
            start = beginning(texts[i], self.prompt.prefill)
            groups[i] = [self._sample(ids, start) for ids in rows[place * count : (place + 1) * count]]
        return groups

    def _sample(self, ids: list[int], start: str) -> Sample:
        end = next((i for i, token in enumerate(ids) if token in self.ends), None)
        kept = ids if end is None else ids[: end + 1]
        text = self.tokenizer.decode(kept if end is None else kept[:-1], skip_special_tokens=True)
        return Sample(start + text, len(kept), "length" if end is None else "stop", tuple(kept))


def render_chat(tokenizer: Any, prompt: Any, settings: Prompt) -> str:
    """Return a prompt's text: its own, or the chat template's with the prefill after it."""
    if isinstance(prompt, str):
        return prompt
    text = tokenizer.apply_chat_template(
        prompt, tokenize=False, add_generation_prompt=True, **settings.template_settings
    )
    return text + settings.prefill
