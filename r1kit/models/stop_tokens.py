"""Where a completion ends: the tokens that stop sampling, by the model, its tokenizer and its chat template.

Three places name such tokens, and they need not agree. `generation_config.json` lists the ids at which the model's
makers stop it; the tokenizer has one end token; and a chat template ends each turn of the assistant in a token that may
be a third one. A base model of the Qwen family, for one, ends in `<|endoftext|>` by the first two, while its chat
template ends a turn in `<|im_end|>`: trained on chats and stopped at `<|endoftext|>` alone, it would never stop.

    end_token_ids(tokenizer, model.generation_config.eos_token_id, template="chat")     [151643, 151645]
    add_stop_tokens(model, tokenizer, ["<|im_end|>"])       the model stops there too, and so does the saved one
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from r1kit.prompts import CHAT_TEMPLATE
from r1kit.recipe import ModelConfig
from r1kit.runs.paths import resolve_model_path

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# An answer that no template contains, and that tokenizers keep apart from what follows it.
_PROBE_ANSWER = "probeanswer"

# Fields of a generation config that say what the model is. All others say how its makers would sample from it.
_STRUCTURAL_FIELDS = (
    "bos_token_id",
    "cache_config",
    "cache_implementation",
    "decoder_start_token_id",
    "eos_token_id",
    "pad_token_id",
    "use_cache",
)
# Values with which a field changes nothing: False, no n-grams, a penalty of 1, 1 beam.
_NEUTRAL_VALUES = (None, 0, 1)
# Fields that a recipe sets itself, so that nobody need be told of the model's values.
_RECIPE_FIELDS = ("do_sample", "max_length", "max_new_tokens", "temperature", "top_k", "top_p", "transformers_version")


def end_of_turn_token(tokenizer: "PreTrainedTokenizerBase") -> str | None:
    """Return the token in which a chat template ends a turn of the assistant, such as `<|im_end|>`.

    It is None without a chat template, and where the template writes no token of the tokenizer after an answer.
    """
    if not tokenizer.chat_template:
        return None
    conversation = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": _PROBE_ANSWER}]
    try:
        text = str(tokenizer.apply_chat_template(conversation, tokenize=False))
    except Exception:  # a template may fail at anything: it then has no turn whose end could be seen
        return None
    _, answer, ending = text.rpartition(_PROBE_ANSWER)
    if not answer:
        return None
    ending = ending.lstrip()
    tokens = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
    matching = [token for token in tokens if token and ending.startswith(token)]
    return max(matching, key=len, default=None)


def end_token_ids(tokenizer: "PreTrainedTokenizerBase", of_model: int | list[int] | None, template: str) -> list[int]:
    """Return the ids that end a completion, sorted.

    `of_model` is the `eos_token_id` of the model's generation config. The end of a turn counts where the prompt's
    `template` is `chat`.
    """
    ids = {of_model} if isinstance(of_model, int) else set(of_model or ())
    if tokenizer.eos_token_id is not None:
        ids.add(tokenizer.eos_token_id)
    token = end_of_turn_token(tokenizer) if template == CHAT_TEMPLATE else None
    if token is not None:
        token_id = tokenizer.convert_tokens_to_ids(token)
        assert isinstance(token_id, int)  # a list is returned for a list alone
        ids.add(token_id)
    return sorted(ids)


def configured_stops(tokenizer: Any, model: Any) -> list[str]:
    """Return the tokens at which the model's generation_config stops, which is all that transformers looks at."""
    return tokenizer.convert_ids_to_tokens(_configured_ids(model))


def add_stop_tokens(model: Any, tokenizer: Any, tokens: Sequence[str]) -> None:
    """Have generations of the model stop at `tokens` too, now and when it is loaded again."""
    ids = tokenizer.convert_tokens_to_ids(list(tokens))
    model.generation_config.eos_token_id = list(dict.fromkeys([*ids, *_configured_ids(model)]))


def _configured_ids(model: Any) -> list[int]:
    configured = getattr(model.generation_config, "eos_token_id", None)
    return [configured] if isinstance(configured, int) else list(configured or ())


def read_end_token_ids(model: ModelConfig, tokenizer: "PreTrainedTokenizerBase") -> set[int]:
    """Return the ids at which a model stops by itself, of its config files and its tokenizer, without loading it."""
    from transformers import AutoConfig, GenerationConfig

    path = resolve_model_path(model.path or "")
    options: dict[str, Any] = {"revision": model.revision, "trust_remote_code": model.trust_remote_code}
    config: Any = None
    for config_class in (GenerationConfig, AutoConfig):
        try:
            config = config_class.from_pretrained(path, **options)  # type: ignore[attr-defined]
            break
        except (OSError, ValueError):
            continue
    return set(end_token_ids(tokenizer, getattr(config, "eos_token_id", None), template=""))


def neutral_generation_config(model: "PreTrainedModel") -> tuple[Any, dict[str, Any]]:
    """Return a generation config that samples from the model's own distribution, and what it leaves out of the model's.

    A model may come with a repetition penalty, a `min_p` or banned tokens, which `generate` would follow without a
    word, and other engines would not. What is left out are settings that no recipe has; the model itself is unchanged.
    """
    from transformers import GenerationConfig

    structural_fields = {}
    left_out = {}
    for name, value in vars(model.generation_config).items():
        if name in _STRUCTURAL_FIELDS:
            structural_fields[name] = value
        elif name.startswith("_") or name in _RECIPE_FIELDS:
            continue
        elif value not in _NEUTRAL_VALUES:
            left_out[name] = value
    return GenerationConfig(**structural_fields), left_out
