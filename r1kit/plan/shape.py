"""What memory and time need to know of a model: its layers and widths, from its config alone.

    shape_of_config({"model_type": "qwen2", "hidden_size": 896, ...}).parameters      494032768

For the families in FAMILIES the parameters are counted in closed form, without torch. Any other architecture is built
by transformers on the meta device (r1kit/models/size.py), and its activations are taken for those of a Llama of the
same widths.
"""

from dataclasses import dataclass
from typing import Any, Literal

from r1kit.recipe import LoraConfig


@dataclass(frozen=True)
class Family:
    """How the layers of an architecture differ from Llama's."""

    qkv_bias: bool = False
    """Whether queries, keys and values have a bias whatever the config says."""
    hidden_norms: int = 2
    """RMSNorms of a layer over the hidden width."""
    query_norm: Literal["none", "head", "full"] = "none"
    """Whether queries and keys are normalised, over each head or over their full width."""
    has_float_norms: bool = False
    """Whether a norm multiplies by its weight in float32, before it casts back."""


FAMILIES = {
    "llama": Family(),
    "mistral": Family(),
    "qwen2": Family(qkv_bias=True),
    "qwen3": Family(query_norm="head"),
    "smollm3": Family(),
    "olmo2": Family(query_norm="full", has_float_norms=True),
    "olmo3": Family(query_norm="full", has_float_norms=True),
    "gemma3_text": Family(hidden_norms=4, query_norm="head", has_float_norms=True),
}
# Keys without which a config of these families leaves the counting to transformers, which knows the defaults.
_NEEDED_KEYS = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
)
# Families whose output head is the input embedding unless the config says otherwise.
_TIED_BY_DEFAULT = ("gemma3_text", "smollm3")
# Families whose head size is not hidden_size / heads where the config leaves it out.
_OWN_HEAD_SIZE = ("qwen3", "gemma3_text")
LINEAR_NAMES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class ModelShape:
    """The sizes of a causal language model."""

    model_type: str
    layers: int
    hidden: int
    heads: int
    key_heads: int
    head_size: int
    mlp_width: int
    """Width of the MLP; of a mixture of experts, of one expert."""
    vocabulary: int
    is_tied: bool
    parameters: int
    matrix_parameters: int
    """Weights of the layers' linear layers, without embeddings, head, norms and biases."""
    context: int | None = None
    experts_per_token: int = 0
    """Experts that a token goes through; 0 for a dense model."""
    active_parameters: int = 0
    """Parameters that a token uses; of a dense model all."""
    family: Family = Family()
    is_known: bool = True
    """Whether the architecture is one of FAMILIES, whose activations are held against transformers by a test."""

    @property
    def query_width(self) -> int:
        """Width of all queries of a token."""
        return self.heads * self.head_size

    @property
    def key_width(self) -> int:
        """Width of all keys of a token, and of all values."""
        return self.key_heads * self.head_size

    @property
    def embedding_parameters(self) -> int:
        """Weights of the input embedding, and of the output head where that is another matrix."""
        return self.vocabulary * self.hidden

    @property
    def computing_parameters(self) -> int:
        """Parameters that a token is multiplied with: the active ones, without a separate input embedding."""
        return self.active_parameters - (0 if self.is_tied else self.embedding_parameters)

    @property
    def layer_parameters(self) -> int:
        """Parameters of one layer, on average."""
        outside = self.embedding_parameters * (1 if self.is_tied else 2)
        return (self.parameters - outside) // self.layers

    def cache_bytes_per_token(self, bytes_per_value: int = 2) -> int:
        """Return the bytes of a token's keys and values in all layers."""
        return 2 * self.layers * self.key_width * bytes_per_value

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, of which `shape_from_dict` makes the same shape again."""
        return {**self.__dict__, "family": self.family.__dict__}


def shape_from_dict(values: dict[str, Any]) -> ModelShape:
    """Return the shape that `to_dict` has written."""
    return ModelShape(**{**values, "family": Family(**values["family"])})


def shape_of_config(config: dict[str, Any]) -> ModelShape | None:
    """Return the shape of a model whose config.json holds `config`; None where only transformers can tell."""
    model_type = config.get("model_type")
    family = FAMILIES.get(str(model_type))
    if family is None or any(not isinstance(config.get(key), int) for key in _NEEDED_KEYS):
        return None
    if model_type in _OWN_HEAD_SIZE and not config.get("head_dim"):
        return None
    hidden, mlp_width, layers = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    heads, key_heads = config["num_attention_heads"], config["num_key_value_heads"]
    head_size = config.get("head_dim") or hidden // heads
    query, key = heads * head_size, key_heads * head_size
    is_tied = bool(config.get("tie_word_embeddings", model_type in _TIED_BY_DEFAULT))
    matrices = 2 * hidden * query + 2 * hidden * key + 3 * hidden * mlp_width
    small = family.hidden_norms * hidden
    if family.query_norm == "head":
        small += 2 * head_size
    elif family.query_norm == "full":
        small += query + key
    if family.qkv_bias:
        small += query + 2 * key
    elif config.get("attention_bias"):
        small += query + 2 * key + hidden
    if config.get("mlp_bias"):
        small += 2 * mlp_width + hidden
    vocabulary = config["vocab_size"]
    parameters = layers * (matrices + small) + vocabulary * hidden * (1 if is_tied else 2) + hidden
    return ModelShape(
        model_type=str(model_type),
        layers=layers,
        hidden=hidden,
        heads=heads,
        key_heads=key_heads,
        head_size=head_size,
        mlp_width=mlp_width,
        vocabulary=vocabulary,
        is_tied=is_tied,
        parameters=parameters,
        matrix_parameters=layers * matrices,
        context=config.get("max_position_embeddings"),
        active_parameters=parameters,
        family=family,
    )


def shape_by_transformers(config: Any, parameters: int) -> ModelShape:
    """Return the shape of a model of any architecture, from transformers' config and the number of its parameters."""
    text = config.get_text_config()
    hidden = int(_first_value(text, "hidden_size", "d_model", default=1))
    layers = int(_first_value(text, "num_hidden_layers", default=1))
    heads = int(_first_value(text, "num_attention_heads", default=1))
    key_heads = int(_first_value(text, "num_key_value_heads", "num_kv_heads", default=heads))
    head_size = int(_first_value(text, "head_dim", "v_head_dim", default=max(1, hidden // heads)))
    vocabulary = int(_first_value(text, "vocab_size", default=1))
    is_tied = bool(getattr(config, "tie_word_embeddings", False) or getattr(text, "tie_word_embeddings", False))
    experts = int(_first_value(text, "num_experts", "num_local_experts", "n_routed_experts", default=0))
    per_token = int(_first_value(text, "num_experts_per_tok", default=0)) if experts else 0
    mlp_width = int(_first_value(text, "intermediate_size", "ffn_dim", "n_inner", default=4 * hidden))
    if per_token:
        mlp_width = int(_first_value(text, "moe_intermediate_size", default=mlp_width))
    outside = vocabulary * hidden * (1 if is_tied else 2)
    unused_experts = 3 * hidden * mlp_width * layers * max(0, experts - per_token) if per_token else 0
    return ModelShape(
        model_type=str(text.model_type),
        layers=layers,
        hidden=hidden,
        heads=heads,
        key_heads=key_heads,
        head_size=head_size,
        mlp_width=mlp_width,
        vocabulary=vocabulary,
        is_tied=is_tied,
        parameters=parameters,
        matrix_parameters=max(0, parameters - outside),
        context=getattr(text, "max_position_embeddings", None),
        experts_per_token=per_token,
        active_parameters=max(outside, parameters - unused_experts),
        family=FAMILIES.get(str(text.model_type), Family()),
        is_known=str(text.model_type) in FAMILIES,
    )


def _first_value(config: Any, *names: str, default: int) -> int:
    """Return the first of a config's fields that is a number; a list, as of widths by layer, gives its largest."""
    for name in names:
        value = getattr(config, name, None)
        if isinstance(value, list) and value and all(isinstance(entry, int) for entry in value):
            return max(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return default


def adapter_parameters(shape: ModelShape, lora: LoraConfig) -> int | None:
    """Return the weights of a LoRA adapter; None where its targets are modules that only peft can find."""
    if not shape.is_known:
        return None
    widths = {
        "q_proj": (shape.hidden, shape.query_width),
        "k_proj": (shape.hidden, shape.key_width),
        "v_proj": (shape.hidden, shape.key_width),
        "o_proj": (shape.query_width, shape.hidden),
        "gate_proj": (shape.hidden, shape.mlp_width),
        "up_proj": (shape.hidden, shape.mlp_width),
        "down_proj": (shape.mlp_width, shape.hidden),
    }
    targets = list(LINEAR_NAMES) if lora.targets == "all-linear" else lora.targets
    if isinstance(targets, str) or any(name not in widths for name in targets):
        return None
    return shape.layers * lora.r * sum(sum(widths[name]) for name in targets)
