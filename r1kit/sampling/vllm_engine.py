"""The engine `vllm`: vLLM in this process, on as many GPUs as `sampling.vllm: {tensor_parallel_size: N}` asks for.

If a run has several processes, each has a vLLM of its own (data parallel) on GPUs of its own.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from r1kit.completions import CompletionGroups, Prompt, SampledCompletion
from r1kit.errors import UserError
from r1kit.models.adapters import Adapter, find_adapter
from r1kit.models.templates import apply_template, decode_completion, encode_prompts, template_prefix
from r1kit.ranks import local_rank
from r1kit.recipe import ModelConfig, PromptConfig, SamplingConfig
from r1kit.runs.paths import resolve_model_path
from r1kit.sampling.engine import InProcessSampler

# Environment variables of a launcher. vLLM would take these ranks for ranks of its own.
LAUNCHER_VARIABLES = {
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "MASTER_ADDR",
    "MASTER_PORT",
}
# vLLM 0.32's CPU build cannot combine a seed with chunked prefill: a CPU generator has no offset.
CPU_ARGUMENTS = {"dtype": "float32", "enforce_eager": True, "enable_chunked_prefill": False}
# Bytes of keys and values on a CPU, where vLLM would take 92% of the memory, also that which others use.
CPU_CACHE_BYTES = 4 << 30
# The ranks of adapters for which vLLM has room; an adapter takes the next larger one.
LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
MERGE_ACTION = "merge it (r1kit merge) and sample from the result, or use the engine transformers"
MAX_REASON_CHARS = 300
# Each prompt has a seed of its own: batch seed * stride + index. A prime, so that batches do not overlap.
SEED_STRIDE = 10_007


class VllmSampler(InProcessSampler):
    """Sample with vllm.LLM."""

    def __init__(
        self,
        model_config: ModelConfig,
        prompt_config: PromptConfig,
        sampling_config: SamplingConfig,
        field: str = "sampling",
    ):
        from r1kit.models.load import load_tokenizer
        from r1kit.models.templates import check_chat_template

        model_path = resolve_model_path(model_config.path or "")
        adapter = find_adapter(model_path, model_config.revision)
        if adapter is not None:
            _check_adapter(adapter, model_config)
        self.prompt_config = prompt_config
        self.sampling_config = sampling_config
        self.tokenizer = load_tokenizer(model_config)
        check_chat_template(self.tokenizer, prompt_config.template)
        self.end_token_ids = _end_token_ids(self.tokenizer, model_config, prompt_config)
        with _rank_environment(gpus=int(sampling_config.vllm.get("tensor_parallel_size", 1))):
            self.llm = _start_vllm(model_path, adapter, model_config, sampling_config, field)
        self.lora_request: Any = None
        if adapter is not None:
            from vllm.lora.request import LoRARequest

            self.lora_request = LoRARequest("adapter", 1, adapter.path)
            _load_adapter(self.llm, self.lora_request, model_config)

    def sample(self, prompts: Sequence[Prompt], group_size: int, seed: int) -> CompletionGroups:
        """Return `group_size` samples of each prompt; a prompt that fills the context has none (reason `context`)."""
        from vllm.inputs import TokensPrompt

        texts = [apply_template(self.tokenizer, prompt, self.prompt_config) for prompt in prompts]
        prompt_ids = encode_prompts(self.tokenizer, prompts, texts)
        context_length = self.llm.llm_engine.model_config.max_model_len
        fitting = [i for i, ids in enumerate(prompt_ids) if len(ids) < context_length]
        no_room = SampledCompletion("", 0, "context")
        groups: CompletionGroups = [[no_room] * group_size for _ in prompts]
        if not fitting:
            return groups
        outputs = self.llm.generate(
            [TokensPrompt(prompt_token_ids=prompt_ids[i]) for i in fitting],
            # A seed for each prompt, so that its samples do not depend on what else is sampled at the same time.
            [self._sampling_params(group_size, seed * SEED_STRIDE + i) for i in fitting],
            use_tqdm=False,
            lora_request=self.lora_request,
        )
        for i, output in zip(fitting, outputs, strict=True):
            # A prompt of ids is continued; only a text or a chat can have begun the completion already.
            has_prefix = not isinstance(prompts[i], tuple)
            prefix = template_prefix(texts[i], self.prompt_config.prefill) if has_prefix else ""
            samples = sorted(output.outputs, key=lambda sample: sample.index)
            groups[i] = [self._make_completion(sample, prefix) for sample in samples]
        return groups

    def _make_completion(self, sample: Any, prefix: str) -> SampledCompletion:
        ids = tuple(sample.token_ids)
        has_logprob = bool(ids) and sample.cumulative_logprob is not None
        mean_logprob = sample.cumulative_logprob / len(ids) if has_logprob else None
        is_ended = bool(ids) and ids[-1] in self.end_token_ids
        text = decode_completion(self.tokenizer, ids[:-1] if is_ended else ids)
        return SampledCompletion(
            prefix + text, len(ids), sample.finish_reason or "stop", ids, mean_logprob=mean_logprob
        )

    def _sampling_params(self, group_size: int, seed: int) -> Any:
        from vllm import SamplingParams

        config = self.sampling_config
        return SamplingParams(
            n=group_size,
            temperature=config.temperature,
            top_p=config.top_p,
            top_k=config.top_k,
            # Off in every recipe, and not to be taken from the model's generation_config.json.
            min_p=0.0,
            repetition_penalty=1.0,
            presence_penalty=0.0,
            frequency_penalty=0.0,
            max_tokens=config.max_tokens,
            seed=seed,
            stop_token_ids=self.end_token_ids,
            logprobs=0,  # 0 further tokens: only the log-probabilities of the sampled ids
        )


def _check_adapter(adapter: Adapter, model_config: ModelConfig) -> None:
    """Raise UserError for an adapter of which some version of vLLM would leave out a part in silence.

    What vLLM itself refuses is seen when it loads the adapter.
    """
    config: Any = adapter.config
    kind = str(getattr(config.peft_type, "value", config.peft_type))
    reason = ""
    if kind != "LORA":
        reason = f"is an adapter of the type {kind}"
    elif config.trainable_token_indices or config.modules_to_save:
        reason = "is an adapter that holds whole weights beside its own"
    elif config.rank_pattern or config.alpha_pattern:
        reason = "is an adapter whose layers have ranks or scales of their own"
    elif config.r > LORA_RANKS[-1]:
        reason = f"is an adapter of rank {config.r}, above vLLM's {LORA_RANKS[-1]}"
    if reason:
        raise UserError("model.path", model_config.path, f"{reason}, with which vLLM does not sample", MERGE_ACTION)


def _load_adapter(llm: Any, request: Any, model_config: ModelConfig) -> None:
    """Have vLLM load an adapter. Raises UserError where it refuses."""
    try:
        llm.llm_engine.add_lora(request)
    except Exception as error:  # of vLLM's own process, which wraps it in classes of its own
        reason = " ".join(str(error).split())[:MAX_REASON_CHARS] or type(error).__name__
        requirement = f"vLLM does not load this adapter: {reason}"
        raise UserError("model.path", model_config.path, requirement, MERGE_ACTION) from None


def _start_vllm(
    model_path: str,
    adapter: Adapter | None,
    model_config: ModelConfig,
    sampling_config: SamplingConfig,
    field: str,
) -> Any:
    """Return a vllm.LLM, of an adapter's base where there is one.

    Raises UserError if vLLM is not installed or does not start.
    """
    import torch

    try:
        from vllm import LLM
    except ImportError:
        action = "run `pip install vllm`, or use the engine transformers"
        raise UserError(f"{field}.engine", "vllm", "vLLM is not installed", action) from None
    arguments: dict[str, Any] = {
        "model": model_path,
        "dtype": model_config.dtype,
        "revision": model_config.revision,
        "trust_remote_code": model_config.trust_remote_code,
    }
    if adapter is not None:
        rank = min(rank for rank in LORA_RANKS if rank >= adapter.config.r)  # type: ignore[attr-defined]
        arguments |= {
            "model": adapter.base_path,
            "revision": adapter.config.revision,
            "tokenizer": adapter.path if Path(adapter.path, "tokenizer_config.json").exists() else adapter.base_path,
            "enable_lora": True,
            "max_lora_rank": rank,
            "max_loras": 1,
        }
    if not torch.cuda.is_available():
        arguments |= _cpu_arguments()
    arguments |= sampling_config.vllm
    try:
        return LLM(**arguments)
    except TypeError as error:
        requirement = "must be arguments of vllm.LLM"
        raise UserError(
            f"{field}.vllm", sampling_config.vllm, requirement, f"remove what it rejects: {error}"
        ) from None
    except (ValueError, OSError, RuntimeError) as error:  # RuntimeError if vLLM's own process dies
        requirement = f"vLLM does not start: {str(error).splitlines()[0]}"
        raise UserError("model.path", model_config.path, requirement, f"check the model and {field}.vllm") from None


def _cpu_arguments() -> dict[str, Any]:
    """Return the arguments that vLLM needs on a CPU."""
    import psutil

    # vLLM's own variable, in GiB, has precedence over r1kit's choice.
    if os.environ.get("VLLM_CPU_KVCACHE_SPACE"):
        return CPU_ARGUMENTS
    half_of_free_memory = psutil.virtual_memory().available // 2
    return {**CPU_ARGUMENTS, "kv_cache_memory_bytes": min(CPU_CACHE_BYTES, half_of_free_memory)}


def _end_token_ids(tokenizer: Any, model_config: ModelConfig, prompt_config: PromptConfig) -> list[int]:
    """Return the ids that end a completion; vLLM itself knows those of the model and of its tokenizer alone."""
    from r1kit.models.stop_tokens import end_token_ids, read_end_token_ids

    of_model = sorted(read_end_token_ids(model_config, tokenizer))
    return end_token_ids(tokenizer, of_model, prompt_config.template)


@contextlib.contextmanager
def _rank_environment(gpus: int) -> Iterator[None]:
    """Hide the launcher's ranks from vLLM and show it only the `gpus` GPUs of this process; restored afterwards."""
    environment = dict(os.environ)
    first_gpu = local_rank() * gpus
    for name in environment:
        if name in LAUNCHER_VARIABLES or name.startswith("TORCHELASTIC_"):
            del os.environ[name]
    if "LOCAL_RANK" in environment:
        visible = [device for device in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if device]
        devices = []
        for gpu in range(first_gpu, first_gpu + gpus):
            devices.append(visible[gpu] if gpu < len(visible) else str(gpu))
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
