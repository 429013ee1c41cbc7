"""The engine `vllm`: vLLM in this process, over as many GPUs as `vllm: {tensor_parallel_size: N}` says.

With several processes each one has a vLLM of its own (data parallel) on GPUs of its own.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from r1kit.errors import UserError
from r1kit.models.templates import apply_template, encode_prompts, template_prefix
from r1kit.recipe import ModelConfig, PromptConfig, SamplingConfig
from r1kit.runs.paths import resolve_model_path
from r1kit.sampling.engine import CompletionGroups, InProcessSampler, SampledCompletion

# What a launcher says of the ranks, which vLLM would take for its own.
_LAUNCHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")

# vLLM 0.32's CPU build: a seeded request dies where its prefill is cut in pieces (a CPU generator has no offset).
_ON_A_CPU = {"dtype": "float32", "enforce_eager": True, "enable_chunked_prefill": False}
_CACHE = 4 << 30  # bytes of keys and values on a CPU, where vLLM would take 92% of the memory, others' too


def _on_a_cpu() -> dict[str, Any]:
    """Return what vLLM needs on a CPU. Its own variable for the cache's size, in GiB, goes before r1kit's."""
    import psutil

    if os.environ.get("VLLM_CPU_KVCACHE_SPACE"):
        return _ON_A_CPU
    return {**_ON_A_CPU, "kv_cache_memory_bytes": min(_CACHE, psutil.virtual_memory().available // 2)}


class VllmSampler(InProcessSampler):
    """Samples with vllm.LLM."""

    def __init__(self, model: ModelConfig, prompt: PromptConfig, settings: SamplingConfig, field: str = "sampling"):
        import torch

        from r1kit.models.load import load_tokenizer
        from r1kit.models.templates import check_chat_template

        path = resolve_model_path(model.path or "")
        if (Path(path) / "adapter_config.json").exists():
            do = "run it again with model.lora.merge=true, or use the engine transformers"
            raise UserError("model.path", model.path, "vLLM samples from whole models, and this is an adapter", do)
        self.prompt, self.settings = prompt, settings
        self.tokenizer = load_tokenizer(model)
        check_chat_template(self.tokenizer, prompt.template)
        with _on_its_own(int(settings.vllm.get("tensor_parallel_size", 1))):
            try:
                from vllm import LLM
            except ImportError:
                do = "pip install vllm, or use the engine transformers"
                raise UserError(f"{field}.engine", "vllm", "vLLM is not installed", do) from None
            given = {
                "model": path,
                "dtype": model.dtype,
                "revision": model.revision,
                "trust_remote_code": model.trust_remote_code,
                **({} if torch.cuda.is_available() else _on_a_cpu()),
                **settings.vllm,
            }
            try:
                self.llm = LLM(**given)
            except TypeError as error:
                raise UserError(f"{field}.vllm", settings.vllm, "must be arguments of vllm.LLM", str(error)) from None
            except (ValueError, OSError, RuntimeError) as error:  # the last where its own process dies
                reason = str(error).splitlines()[0]
                must = f"vLLM does not start: {reason}"
                raise UserError("model.path", model.path, must, f"check the model and {field}.vllm") from None

    def sample(self, prompts: Sequence[Any], count: int, seed: int) -> CompletionGroups:
        from vllm import SamplingParams
        from vllm.inputs import TokensPrompt

        texts = [apply_template(self.tokenizer, p, self.prompt) for p in prompts]
        ids = encode_prompts(self.tokenizer, prompts, texts)
        s = self.settings
        # Each prompt has a seed, so that its samples do not depend on what else is sampled at the time.
        chosen = [
            SamplingParams(
                n=count,
                temperature=s.temperature,
                top_p=s.top_p,
                top_k=s.top_k,
                max_tokens=s.max_tokens,
                seed=seed * 10007 + i,
                logprobs=0,  # of the chosen ids alone
            )
            for i in range(len(ids))
        ]
        longest = self.llm.llm_engine.model_config.max_model_len
        fits = [i for i, prompt in enumerate(ids) if len(prompt) < longest]
        asked = [TokensPrompt(prompt_token_ids=ids[i]) for i in fits]
        outputs = self.llm.generate(asked, [chosen[i] for i in fits], use_tqdm=False) if asked else []
        groups: CompletionGroups = [[SampledCompletion("", 0, "context")] * count for _ in ids]
        for i, output in zip(fits, outputs, strict=True):
            start = "" if isinstance(prompts[i], tuple) else template_prefix(texts[i], self.prompt.prefill)
            groups[i] = [_sample(o, start) for o in sorted(output.outputs, key=lambda o: o.index)]
        return groups


def _sample(output: Any, start: str) -> SampledCompletion:
    ids = tuple(output.token_ids)
    mean = output.cumulative_logprob / len(ids) if ids and output.cumulative_logprob is not None else None
    return SampledCompletion(start + output.text, len(ids), output.finish_reason or "stop", ids, logprob=mean)


@contextlib.contextmanager
def _on_its_own(gpus: int) -> Iterator[None]:
    """Hide the launcher's ranks from vLLM, and show it only this rank's GPUs; restored afterwards."""
    before = dict(os.environ)
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    for name in [n for n in os.environ if n in _LAUNCHER or n.startswith("TORCHELASTIC_")]:
        del os.environ[name]
    if "LOCAL_RANK" in before:
        seen = [d for d in before.get("CUDA_VISIBLE_DEVICES", "").split(",") if d]
        wanted = range(rank * gpus, (rank + 1) * gpus)
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(seen[i] if i < len(seen) else str(i) for i in wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
