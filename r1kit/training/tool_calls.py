"""Tools and environments in RL: the turns are TRL's own loop, and r1kit watches what is called.

TRL samples a turn, runs the calls in it, appends their results and samples the next turn, until a turn has no call
(GRPOTrainer._tool_call_loop).
What tools returned is masked out of the loss (`tool_mask`), which r1kit's own loss path keeps.

    check_tool_template(tokenizer, recipe)      before the trainer is built
    check_tool_ranks(trainer, recipe)           after
    watch = watch_calls(trainer)                before the turns of a generation are sampled
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from accelerate.utils import gather

from r1kit.errors import UserError
from r1kit.recipe import RLRecipe
from r1kit.tools.watch import ToolWatch

MAX_ARGUMENT_DEPTH = 100
"""Lists and mappings within each other in the arguments of a call; a deeper one is text, and no call."""

_OTHER_TEMPLATE = "set model.chat_template to plain-tools, or to a family with tools such as qwen3"


def tool_field(recipe: RLRecipe) -> tuple[str, Any]:
    """Return the field of a recipe that asks for turns with tools, and its value."""
    return ("tools", recipe.tools) if recipe.tools else ("environment", recipe.environment)


def check_tool_template(tokenizer: Any, recipe: RLRecipe) -> None:
    """Raise UserError where a tokenizer's chat template cannot write calls of tools, or TRL cannot read them."""
    from trl.chat_template_utils import (
        add_response_schema,
        get_training_chat_template,
        is_chat_template_prefix_preserving,
        supports_tool_calling,
    )

    field, value = tool_field(recipe)
    if not supports_tool_calling(tokenizer):
        requirement = "the model's chat template has no form for calls of tools and their results"
        raise UserError(field, value, requirement, _OTHER_TEMPLATE)
    try:
        if not getattr(tokenizer, "response_template", None) and not getattr(tokenizer, "response_schema", None):
            add_response_schema(tokenizer)
        if not is_chat_template_prefix_preserving(tokenizer):
            get_training_chat_template(tokenizer)
    except ValueError:
        requirement = "calls of tools cannot be read from what this model writes: TRL does not know its chat template"
        raise UserError(field, value, requirement, _OTHER_TEMPLATE) from None
    refuse_deep_calls(tokenizer)


def refuse_deep_calls(tokenizer: Any) -> None:
    """Let a tokenizer's `parse_response` raise ValueError for calls whose arguments are nested too deep for Python.

    TRL reads a completion as text where `parse_response` raises ValueError. It does not catch the RecursionError of
    thousands of brackets, which would end the run.
    """
    tokenizer.parse_response = functools.partial(_parse_shallow_response, tokenizer.parse_response)


def _parse_shallow_response(parse_response: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    try:
        response = parse_response(*args, **kwargs)
    except RecursionError:
        raise ValueError("the arguments of a call are nested too deep") from None
    level, depth = [response], 0
    while level:
        if depth > MAX_ARGUMENT_DEPTH:
            raise ValueError(f"the arguments of a call are nested deeper than {MAX_ARGUMENT_DEPTH} levels")
        level = [child for value in level for child in _children(value)]
        depth += 1
    return response


def _children(value: Any) -> list[Any]:
    """Return what a list or a mapping holds."""
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def check_tool_ranks(trainer: Any, recipe: RLRecipe) -> None:
    """Raise UserError where ranks sample together: a rank whose rollouts have more turns would wait for ever."""
    if trainer.accelerator.num_processes == 1:
        return
    field, value = tool_field(recipe)
    if trainer.use_vllm and (trainer.vllm_mode == "server" or trainer.vllm_tensor_parallel_size > 1):
        requirement = "each process samples a number of turns of its own, and they share one vLLM"
        raise UserError(field, value, requirement, "use trl.vllm_mode=colocate, or one process")
    plugin = trainer.args.deepspeed_plugin
    if trainer.is_fsdp_enabled or (plugin is not None and plugin.zero_stage == 3):
        requirement = "each process samples a number of turns of its own, and they share sharded weights"
        raise UserError(field, value, requirement, "use DDP, ZeRO-2, vLLM in each process, or one process")


def watch_calls(trainer: Any) -> ToolWatch | None:
    """Guard the tools that TRL has bound to each row of a generation; None for a trainer without tools."""
    if not trainer.tools:
        return None
    watch = ToolWatch(len(trainer._sync_tool_dicts))
    for tools_by_row in (trainer._sync_tool_dicts, trainer._async_tool_dicts):
        for row, tools in enumerate(tools_by_row):
            tools.update({name: watch.guard(tool, row) for name, tool in tools.items()})
    return watch


def rows_with_fault(watch: ToolWatch | None, rewards: torch.Tensor) -> torch.Tensor:
    """Return (B of all processes,), bool: the rows in which a tool could not work; `rewards`: (B of all, R)."""
    if watch is None:
        return torch.zeros(len(rewards), dtype=torch.bool, device=rewards.device)
    return gather(torch.tensor(watch.has_fault, device=rewards.device))


def count_own_tokens(completion_ids: Sequence[list[int]], tool_mask: Sequence[list[int]] | None) -> list[int]:
    """Return the number of tokens that the model sampled in each row: those of tools' results do not count."""
    return [len(ids) for ids in completion_ids] if tool_mask is None else [sum(mask) for mask in tool_mask]
