"""The engine `transformers`: sample with a model of transformers in this process, on the GPU if there is one."""

from collections.abc import Sequence
from typing import Any

from r1kit.completions import CompletionGroups, Prompt, SampledCompletion
from r1kit.errors import UserError
from r1kit.heavy_imports import heavy_imports
from r1kit.messages import logger
from r1kit.models.templates import apply_template, decode_completion, encode_prompts, template_prefix
from r1kit.ranks import is_main_rank
from r1kit.recipe import ModelConfig, PromptConfig, SamplingConfig
from r1kit.sampling.engine import InProcessSampler

UNLIMITED_CONTEXT = 10**9  # tokens, for a model whose config sets no limit


class TransformersSampler(InProcessSampler):
    """Sample with r1kit.models.decode or, for a model that it can not decode exactly, with transformers' `generate`."""

    def __init__(
        self,
        model_config: ModelConfig,
        prompt_config: PromptConfig,
        sampling_config: SamplingConfig,
        field: str = "sampling",
    ):
        with heavy_imports():
            import transformers  # noqa: F401

            import r1kit.models.decode  # noqa: F401
        from r1kit.models.load import load_model, load_tokenizer
        from r1kit.models.size import check_context
        from r1kit.models.stop_tokens import end_token_ids
        from r1kit.models.templates import check_chat_template

        self.prompt_config = prompt_config
        self.sampling_config = sampling_config
        self.model_path = model_config.path
        self.tokenizer = load_tokenizer(model_config)
        self.model = load_model(model_config, training=False).eval()
        self._reset_generation_config()
        check_context(self.model.config, sampling_config.max_tokens, f"{field}.max_tokens", sampling_config.max_tokens)
        check_chat_template(self.tokenizer, prompt_config.template)
        text_config = self.model.config.get_text_config()
        self.context_length: int = getattr(text_config, "max_position_embeddings", None) or UNLIMITED_CONTEXT
        self.end_token_ids = end_token_ids(
            self.tokenizer, self.model.generation_config.eos_token_id, prompt_config.template
        )

    def _reset_generation_config(self) -> None:
        """Let the recipe alone say how is sampled, and not the model's generation_config.json."""
        from r1kit.models.stop_tokens import neutral_generation_config

        self.model.generation_config, left_out = neutral_generation_config(self.model)
        if left_out and is_main_rank():
            listed = ", ".join(f"{name} = {value}" for name, value in left_out.items())
            logger.info(f"{self.model_path}: sampling leaves out what its generation_config sets: {listed}")

    def sample(self, prompts: Sequence[Prompt], group_size: int, seed: int) -> CompletionGroups:
        """Return `group_size` samples of each prompt; a prompt that fills the context has none (reason `context`)."""
        import torch

        torch.manual_seed(seed)
        # From prompts to ids. A prompt of ids is decoded too, since its completion's text needs what comes before.
        texts = [apply_template(self.tokenizer, prompt, self.prompt_config) for prompt in prompts]
        prompt_ids = encode_prompts(self.tokenizer, prompts, texts)
        no_room = SampledCompletion("", 0, "context")
        groups: CompletionGroups = [[no_room] * group_size for _ in prompts]
        for indices in self._split_into_calls(prompt_ids, group_size):
            # The completions of a prompt stand beside each other: prompt 0 has the first `group_size`, and so on.
            with torch.inference_mode():
                completions, logprobs = self._sample_ids([prompt_ids[i] for i in indices], group_size)
            for position, i in enumerate(indices):
                samples = slice(position * group_size, (position + 1) * group_size)
                groups[i] = [
                    self._make_completion(ids, values, prompts[i], texts[i])
                    for ids, values in zip(completions[samples], logprobs[samples], strict=True)
                ]
        return groups

    def _split_into_calls(self, prompt_ids: list[list[int]], group_size: int) -> list[list[int]]:
        """Return which prompts (by index) are sampled in one call, at most `batch_size` completions each.

        A prompt that leaves less room in the context than `max_tokens` has a call of its own, since all completions of
        a call end at the same length.
        """
        roomy: list[int] = []
        tight: list[list[int]] = []
        for i, ids in enumerate(prompt_ids):
            room = self.context_length - len(ids)
            if room >= self.sampling_config.max_tokens:
                roomy.append(i)
            elif room > 0:
                tight.append([i])
        prompts_per_call = max(1, self.sampling_config.batch_size // group_size)
        calls = [roomy[start : start + prompts_per_call] for start in range(0, len(roomy), prompts_per_call)]
        return calls + tight

    def _sample_ids(self, prompt_ids: list[list[int]], group_size: int) -> tuple[list[list[int]], list[list[float]]]:
        """Return the ids of `group_size` completions of each prompt, and the log-probability of each id.

        transformers' `generate` returns no log-probabilities: the lists are empty then.
        """
        from transformers import GenerationConfig

        from r1kit.models.decode import sample_completions, why_generate_is_needed

        arguments = self._generation_arguments(max(map(len, prompt_ids)))
        config = GenerationConfig(**arguments)
        if not why_generate_is_needed(self.model, config):
            repeated_prompts = [ids for ids in prompt_ids for _ in range(group_size)]
            try:
                return sample_completions(self.model, repeated_prompts, config, self.end_token_ids)
            except FloatingPointError as error:
                action = "use another checkpoint, or set model.dtype=float32"
                raise UserError("model.path", self.model_path, str(error), action) from None
        # `generate` repeats the prompts itself, and wants them padded (on the left, as the tokenizer is loaded).
        padded = self.tokenizer.pad({"input_ids": prompt_ids}, return_tensors="pt").to(self.model.device)
        output = self.model.generate(
            input_ids=padded["input_ids"],
            attention_mask=padded["attention_mask"],
            num_return_sequences=group_size,
            eos_token_id=self.end_token_ids,
            pad_token_id=self.tokenizer.pad_token_id,
            **arguments,
        )
        completions = output[:, padded["input_ids"].shape[1] :].tolist()  # without the prompts
        return completions, [[] for _ in completions]

    def _generation_arguments(self, longest_prompt: int) -> dict[str, Any]:
        config = self.sampling_config
        is_random = config.temperature > 0
        return {
            "do_sample": is_random,
            "max_new_tokens": min(config.max_tokens, self.context_length - longest_prompt),
            # transformers warns of these settings if nothing is drawn at random.
            "temperature": config.temperature if is_random else None,
            "top_p": config.top_p if is_random else None,
            "top_k": config.top_k if is_random else None,
        }

    def _make_completion(
        self, ids: list[int], logprobs: list[float], prompt: Prompt, prompt_text: str
    ) -> SampledCompletion:
        # Rows of a call end together; ids after a row's own end token are padding.
        end = next((i for i, token in enumerate(ids) if token in self.end_token_ids), None)
        if end is None:
            sampled_ids, text_ids, finish_reason = ids, ids, "length"
        else:
            sampled_ids, text_ids, finish_reason = ids[: end + 1], ids[:end], "stop"
        if isinstance(prompt, tuple):
            # Decoded alone, the first token may lose its white space, so the prompt is decoded along with it.
            text = self.decode_ids([*prompt, *text_ids])[len(self.decode_ids(prompt)) :]
        else:
            text = template_prefix(prompt_text, self.prompt_config.prefill) + self.decode_ids(text_ids)
        mean_logprob = sum(logprobs) / len(logprobs) if logprobs else None
        return SampledCompletion(text, len(sampled_ids), finish_reason, tuple(sampled_ids), mean_logprob=mean_logprob)

    def decode_ids(self, ids: Sequence[int]) -> str:
        """Return the text of token ids without special tokens, except those that mark the thinking."""
        return decode_completion(self.tokenizer, ids)
