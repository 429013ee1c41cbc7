"""Whether a server has the model that a recipe names, which is asked before anything is sampled."""

import asyncio
from typing import Any

from r1kit.errors import UserError
from r1kit.messages import logger
from r1kit.servers.endpoints import ConnectionFailure, Endpoint, EndpointPool
from r1kit.servers.requests import is_model_refusal, join_model_names, read_error_message

TRIED_PROMPT = "1 + 1 ="
"""What a server that does not list the model is asked, for one token."""
ANSWER_SECONDS = 30.0
"""Seconds that the answer may take; one that loads the model first may take longer, and proves that it has it."""


async def check_model_name(pool: EndpointPool, endpoint: Endpoint, body: dict[str, Any], field: str) -> None:
    """Raise UserError for a server that does not list the model, and refuses a request for one token of it.

    Some serve models that they do not list: `transformers serve` loads any, and llama.cpp heeds no name. `body` is a
    request, and `field` is the key of the model's name.
    """
    name = str(pool.config.body.get("model", endpoint.model_name))
    if not endpoint.listed_models or name in endpoint.listed_models:
        return
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            status, content, _ = await pool.post(endpoint, {**body, "max_tokens": 1})
    except (ConnectionFailure, TimeoutError):
        return
    listed_names = join_model_names(endpoint.listed_models)
    if is_model_refusal(status, read_error_message(content), name):
        requirement = f"{endpoint.url} does not serve it, and lists {listed_names}"
        raise UserError(field, name, requirement, "name one of these, or start the server with this model")
    if status == 200:
        logger.warning(f"{endpoint.url} does not list {name}, and answers all the same; it lists {listed_names}")
