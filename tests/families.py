"""Small models that carry the chat templates and the special tokens of public families.

Each is the shipped base with another tokenizer: the template as TRL ships it, and the tokens that the family begins,
ends and pads with. With them one sees within seconds what a family's template does to a prompt or a row.

    make_family("gemma", folder)
"""

from dataclasses import dataclass
from pathlib import Path

from r1kit.runs.paths import SHIPPED_MODELS

CHATML_TOKENS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
CHATML_ENDS = ("<|im_end|>", "<|endoftext|>")
CONTEXT_LENGTH = 2048  # tokens; some templates write a long system message of their own


@dataclass(frozen=True)
class Family:
    """What makes a model one of its family.

    `generation_ends` are the end tokens of its generation_config; empty where those are the tokenizer's.
    """

    template: str
    eos: str
    pad: str = ""
    bos: str = ""
    further_tokens: tuple[str, ...] = ()
    generation_ends: tuple[str, ...] = ()


FAMILIES = {
    "r1distill": Family(
        "deepseek_r1_distill",
        "<｜end▁of▁sentence｜>",
        bos="<｜begin▁of▁sentence｜>",
        further_tokens=("<｜User｜>", "<｜Assistant｜>"),
    ),
    "qwen3": Family("qwen3", "<|im_end|>", "<|endoftext|>", "", CHATML_TOKENS, CHATML_ENDS),
    "qwen25base": Family("qwen2_5", "<|endoftext|>", "<|endoftext|>", "", CHATML_TOKENS),
    "qwen25inst": Family("qwen2_5", "<|im_end|>", "<|endoftext|>", "", CHATML_TOKENS, CHATML_ENDS),
    "qwen35think": Family("qwen3_5_think", "<|im_end|>", "<|endoftext|>", "", CHATML_TOKENS, CHATML_ENDS),
    "qwen35nothink": Family("qwen3_5_nothink", "<|im_end|>", "<|endoftext|>", "", CHATML_TOKENS),
    "qwen36": Family("qwen3_6", "<|im_end|>", "<|endoftext|>", "", CHATML_TOKENS),
    "gemma": Family(
        "gemma", "<eos>", "<pad>", "<bos>", ("<start_of_turn>", "<end_of_turn>"), ("<eos>", "<end_of_turn>")
    ),
    "gemma3": Family(
        "gemma3", "<eos>", "<pad>", "<bos>", ("<start_of_turn>", "<end_of_turn>"), ("<eos>", "<end_of_turn>")
    ),
    "llama3": Family(
        "llama3",
        "<|eot_id|>",
        bos="<|begin_of_text|>",
        further_tokens=("<|start_header_id|>", "<|end_header_id|>", "<|end_of_text|>"),
        generation_ends=("<|end_of_text|>", "<|eot_id|>"),
    ),
    "phi3": Family(
        "phi3",
        "<|endoftext|>",
        "<|endoftext|>",
        further_tokens=("<|user|>", "<|end|>", "<|assistant|>", "<|system|>"),
        generation_ends=("<|endoftext|>", "<|end|>"),
    ),
    "lfm2": Family("lfm2_2_5", "<|im_end|>", "<|pad|>", "<|startoftext|>", CHATML_TOKENS),
    "deepseekv3": Family(
        "deepseekv3",
        "<｜end▁of▁sentence｜>",
        bos="<｜begin▁of▁sentence｜>",
        further_tokens=("<｜User｜>", "<｜Assistant｜>"),
    ),
    "glm45": Family("glm4moe", "<|endoftext|>", "<|endoftext|>", "", ("[gMASK]", "<sop>", "<|user|>", "<|assistant|>")),
    "cohere": Family(
        "cohere",
        "<|END_OF_TURN_TOKEN|>",
        "<PAD>",
        "<BOS_TOKEN>",
        ("<|START_OF_TURN_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>", "<|SYSTEM_TOKEN|>"),
    ),
    "gptoss": Family(
        "gptoss",
        "<|return|>",
        "<|endoftext|>",
        "<|startoftext|>",
        ("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|call|>"),
    ),
}


def make_family(name: str, folder: Path) -> Path:
    """Write a model of a family into `folder`, and return that."""
    import torch
    import trl
    from tokenizers import AddedToken, processors
    from transformers import AutoModelForCausalLM, AutoTokenizer

    family = FAMILIES[name]
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED_MODELS["tiny:base"])
    model = AutoModelForCausalLM.from_pretrained(SHIPPED_MODELS["tiny:base"])
    tokens = (family.eos, family.pad, family.bos, *family.further_tokens)
    new_tokens = [token for token in tokens if token and token not in tokenizer.get_vocab()]
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in new_tokens], True)
    tokenizer.eos_token = family.eos
    if family.pad:
        tokenizer.pad_token = family.pad
    if family.bos:
        tokenizer.bos_token = family.bos
        start = (family.bos, tokenizer.convert_tokens_to_ids(family.bos))
        tokenizer._tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{family.bos} $A", pair=f"{family.bos} $A {family.bos} $B", special_tokens=[start]
        )
    template = Path(trl.__file__).parent / "chat_templates" / f"{family.template}.jinja"
    tokenizer.chat_template = template.read_text()
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.config.max_position_embeddings = CONTEXT_LENGTH
    for config in (model.config, model.generation_config):
        config.eos_token_id = tokenizer.eos_token_id
        config.pad_token_id = tokenizer.pad_token_id
        config.bos_token_id = tokenizer.bos_token_id
    if family.generation_ends:
        model.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids(list(family.generation_ends))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
