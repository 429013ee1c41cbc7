"""Whether the servers of a recipe answer, and whether they serve the model that the recipe names.

describe_sampling_servers("qwen3", recipe.sampling)
["server: http://localhost:8000/v1 answers, and serves qwen3"]
"""

import asyncio
import os
from typing import Any

from r1kit.messages import logger
from r1kit.recipe import SamplingConfig
from r1kit.recipe.server_keys import check_key_name
from r1kit.safe_text import mask_text
from r1kit.servers.requests import explain_missing_path, join_model_names, read_model_names

PROBE_SECONDS = 5.0
"""Seconds that a server has to list its models."""


def describe_sampling_servers(
    model: str, sampling: SamplingConfig, field: str = "sampling", model_field: str = "model.path"
) -> list[str]:
    """Return one line for each server of the engine `openai`: what it serves, or why nothing is known of it.

    `field` is the key of `sampling`, which stands in the line where it is not the recipe's own, and `model_field` that
    of the model's name. Secrets in addresses are masked. Raises UserError for a key in the place of a variable's name.
    """
    label = "server" if field == "sampling" else f"{field} server"
    server = sampling.server
    check_key_name(f"{field}.server.key", server.key)
    if server.key and not os.environ.get(server.key):
        return [f"{label}: the environment variable {server.key}, which should hold the key, is not set"]
    names, name_field = [model] * len(server.urls), model_field
    if server.models:
        names = server.models * len(server.urls) if len(server.models) == 1 else server.models
        name_field = "server.models"
    answers = asyncio.run(_ask_all(sampling))
    lines = []
    for url, answer, name in zip(server.urls, answers, names, strict=True):
        if isinstance(answer, str) and "status 404" in answer and explain_missing_path(url):
            logger.warning(f"{label}: {url} answers with status 404; {explain_missing_path(url)}")
        lines.append(mask_text(f"{label}: {url} {_describe_answer(answer, name, name_field)}"))
    return lines


def _describe_answer(answer: "list[str] | str", model: str, model_field: str) -> str:
    if isinstance(answer, str):
        return answer
    if not answer:
        return "answers, and lists no models"
    if model in answer:
        return f"answers, and serves {model}"
    names = join_model_names(answer)
    return f"answers, and does not list {model}, which the recipe names in {model_field}; it lists {names}"


async def _ask_all(sampling: SamplingConfig) -> "list[list[str] | str]":
    import aiohttp

    key = os.environ.get(sampling.server.key or "OPENAI_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    timeout = aiohttp.ClientTimeout(total=PROBE_SECONDS)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        return await asyncio.gather(*(_list_models(session, url) for url in sampling.server.urls))


async def _list_models(session: Any, url: str) -> "list[str] | str":
    """Return the names of the models at an address, or as words what came back in their place."""
    import aiohttp

    try:
        async with session.get(f"{url.rstrip('/')}/models", allow_redirects=False) as response:
            if response.status != 200:
                return f"answers with status {response.status} when it is asked for its models"
            content = await response.read()
    except TimeoutError:
        return f"has not answered within {PROBE_SECONDS:g} s"
    except aiohttp.ClientConnectorError as error:
        return f"does not answer ({error.os_error.strerror or error})"
    except (aiohttp.ClientError, OSError) as error:
        return f"does not answer ({type(error).__name__})"
    except ValueError as error:  # a key together with a password in the address, say
        return f"cannot be asked ({error})"
    names = read_model_names(content)
    return "answers, and does not list its models as OpenAI's interface does" if names is None else names
