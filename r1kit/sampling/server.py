"""The engine `openai`: sample from servers, through the client of r1kit/servers."""

from pathlib import Path

from r1kit.models.load import load_tokenizer
from r1kit.models.stop_tokens import end_token_ids, read_end_token_ids
from r1kit.prompts import CHAT_TEMPLATE
from r1kit.recipe import ModelConfig, PromptConfig, SamplingConfig
from r1kit.servers.client import ServerClient


class ServerSampler(ServerClient):
    """The client of the servers that a recipe samples from."""

    def __init__(
        self,
        model_config: ModelConfig,
        prompt_config: PromptConfig,
        sampling_config: SamplingConfig,
        field: str = "sampling",
    ):
        stop_token_ids = _further_stop_ids(model_config, prompt_config)
        super().__init__(model_config.path or "", prompt_config, sampling_config, field, stop_token_ids)


def _further_stop_ids(model_config: ModelConfig, prompt_config: PromptConfig) -> list[int]:
    """Return the ids that end a turn of the model's chat template and that the model does not stop at by itself.

    They are known of a model that a server serves from a local folder, by whose path it is asked for.
    """
    path = model_config.path or ""
    if prompt_config.template != CHAT_TEMPLATE or not Path(path).is_dir():
        return []
    tokenizer = load_tokenizer(model_config)
    known_ids = read_end_token_ids(model_config, tokenizer)
    return [token_id for token_id in end_token_ids(tokenizer, None, CHAT_TEMPLATE) if token_id not in known_ids]
