"""Small models that carry the chat templates, special tokens and end tokens of public families.

Each is `tiny:base` with another tokenizer configuration. The templates are those that TRL ships.
"""

from dataclasses import dataclass
from pathlib import Path

from r1kit.models.chat_templates import read_chat_template
from r1kit.runs.paths import SHIPPED_MODELS

CHATML = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")


@dataclass(frozen=True)
class Family:
    """What a family's tokenizer and generation_config hold."""

    template: str
    end: str
    """The tokenizer's end token."""
    turn_end: str
    """The token that ends a turn of the assistant in the template."""
    pad: str | None = None
    begin: str | None = None
    special: tuple[str, ...] = ()
    stops: tuple[str, ...] = ()
    """The end tokens of generation_config, where there are others than the tokenizer's."""


FAMILIES = {
    "r1-distill": Family(
        "deepseek_r1_distill",
        "<｜end▁of▁sentence｜>",
        "<｜end▁of▁sentence｜>",
        begin="<｜begin▁of▁sentence｜>",
        special=("<｜User｜>", "<｜Assistant｜>"),
    ),
    "qwen3": Family("qwen3", "<|im_end|>", "<|im_end|>", pad="<|endoftext|>", special=CHATML),
    "qwen2.5-base": Family("qwen2_5", "<|endoftext|>", "<|im_end|>", pad="<|endoftext|>", special=CHATML),
    "qwen2.5-instruct": Family(
        "qwen2_5",
        "<|im_end|>",
        "<|im_end|>",
        pad="<|endoftext|>",
        special=CHATML,
        stops=("<|im_end|>", "<|endoftext|>"),
    ),
    "qwen3.5-think": Family("qwen3_5_think", "<|im_end|>", "<|im_end|>", pad="<|endoftext|>", special=CHATML),
    "qwen3.5-nothink": Family("qwen3_5_nothink", "<|im_end|>", "<|im_end|>", pad="<|endoftext|>", special=CHATML),
    "qwen3.6": Family("qwen3_6", "<|im_end|>", "<|im_end|>", pad="<|endoftext|>", special=CHATML),
    "gemma": Family(
        "gemma",
        "<eos>",
        "<end_of_turn>",
        pad="<pad>",
        begin="<bos>",
        special=("<start_of_turn>", "<end_of_turn>"),
        stops=("<eos>", "<end_of_turn>"),
    ),
    "llama3": Family(
        "llama3",
        "<|eot_id|>",
        "<|eot_id|>",
        begin="<|begin_of_text|>",
        special=("<|start_header_id|>", "<|end_header_id|>", "<|end_of_text|>"),
    ),
    "phi3": Family(
        "phi3",
        "<|endoftext|>",
        "<|end|>",
        pad="<|endoftext|>",
        special=("<|user|>", "<|end|>", "<|assistant|>", "<|system|>"),
        stops=("<|endoftext|>", "<|end|>"),
    ),
    "lfm2": Family("lfm2_2_5", "<|im_end|>", "<|im_end|>", pad="<|pad|>", begin="<|startoftext|>", special=CHATML),
    "gpt-oss": Family(
        "gptoss",
        "<|return|>",
        "<|return|>",
        pad="<|endoftext|>",
        begin="<|startoftext|>",
        special=("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|call|>"),
    ),
    "glm4": Family(
        "glm4moe",
        "<|endoftext|>",
        "<|endoftext|>",
        pad="<|endoftext|>",
        special=("[gMASK]", "<sop>", "<|user|>", "<|assistant|>", "<|system|>", "<|observation|>"),
    ),
}

FURTHER_FAMILIES = {
    "gemma3": Family(
        "gemma3",
        "<eos>",
        "<end_of_turn>",
        pad="<pad>",
        begin="<bos>",
        special=("<start_of_turn>", "<end_of_turn>"),
        stops=("<eos>", "<end_of_turn>"),
    ),
    "deepseek-v3": Family(
        "deepseekv3",
        "<｜end▁of▁sentence｜>",
        "<｜end▁of▁sentence｜>",
        begin="<｜begin▁of▁sentence｜>",
        special=("<｜User｜>", "<｜Assistant｜>"),
    ),
    "cohere": Family(
        "cohere",
        "<|END_OF_TURN_TOKEN|>",
        "<|END_OF_TURN_TOKEN|>",
        pad="<PAD>",
        begin="<BOS_TOKEN>",
        special=("<|START_OF_TURN_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>", "<|SYSTEM_TOKEN|>"),
    ),
}
"""Families that are asked, and not trained."""

ALL_FAMILIES = FAMILIES | FURTHER_FAMILIES


def make_tokenizer(name: str, base=None):
    """Return `tiny:base`'s tokenizer, or `base`, with the template and the special tokens of a family."""
    from tokenizers import AddedToken, processors
    from transformers import AutoTokenizer

    family = ALL_FAMILIES[name]
    tokenizer = base or AutoTokenizer.from_pretrained(SHIPPED_MODELS["tiny:base"])
    tokens = [token for token in (family.end, family.pad, family.begin, *family.special) if token]
    new_tokens = [AddedToken(t, special=True, normalized=False) for t in dict.fromkeys(tokens)]
    tokenizer.add_tokens([t for t in new_tokens if t.content not in tokenizer.get_vocab()], special_tokens=True)
    tokenizer.eos_token = family.end
    tokenizer.pad_token = family.pad or family.end
    if family.begin:
        tokenizer.bos_token = family.begin
        # Like the family's own, it begins every plain text with that token.
        begin = (family.begin, tokenizer.convert_tokens_to_ids(family.begin))
        tokenizer._tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{family.begin} $A", pair=f"{family.begin} $A {family.begin} $B", special_tokens=[begin]
        )
    tokenizer.chat_template = read_chat_template(family.template)
    return tokenizer


def make_model(name: str, folder: Path) -> Path:
    """Write a model of a family into `folder` and return it."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    tokenizer = make_tokenizer(name)
    model = AutoModelForCausalLM.from_pretrained(SHIPPED_MODELS["tiny:base"])
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.config.max_position_embeddings = 2048
    for config in (model.config, model.generation_config):
        config.eos_token_id, config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
        config.bos_token_id = tokenizer.bos_token_id
    if ALL_FAMILIES[name].stops:
        model.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids(list(ALL_FAMILIES[name].stops))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
