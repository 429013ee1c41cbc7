"""Load SFT examples in one of TRL's formats: `text`, `messages`, or `prompt` and `completion`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from r1kit.data.mixing import read_sources
from r1kit.data.questions import render_prompt
from r1kit.errors import UserError
from r1kit.prompts import CHAT_TEMPLATE
from r1kit.recipe import DataConfig, PromptConfig, SourceConfig
from r1kit.rows import Row

if TYPE_CHECKING:
    from datasets import Dataset


def load_examples(
    sources: Sequence[SourceConfig], prompt: PromptConfig, field: str = "data.train", data: DataConfig | None = None
) -> "Dataset":
    """Return the SFT examples of `sources`: with the columns `text`, `messages`, or `prompt` and `completion`.

    A prompt is rendered as `prompt` says, since the model must learn the prompt that it will be given. Raises UserError
    if the rows are of several formats, or of none.
    """
    dataset = read_sources(sources, field, data.rows if data else None)
    names = dataset.column_names
    formats = [name for name in ("text", "messages", "completion") if name in names]
    if "prompt" in names and "completion" in names and None not in dataset["completion"]:
        formats = ["completion"]  # every row has it, so that columns of other formats only repeat it
    if len(formats) > 1:
        paths = ", ".join(source.path for source in sources)
        requirement = f"its sources mix rows with {' and '.join(formats)}"
        raise UserError(field, paths, requirement, "bring them to one format")
    if formats and formats[0] != "completion":
        return dataset.select_columns(formats[0])
    if not {"prompt", "completion"} <= set(names):
        requirement = "SFT needs a column text, or messages, or prompt and completion"
        action = f"it has {', '.join(names)}; rename with {field}.0.columns"
        raise UserError(field, sources[0].path, requirement, action)

    def render_example(row: Row) -> Row:
        completion = row["completion"]
        if prompt.template == CHAT_TEMPLATE and isinstance(completion, str):
            completion = [{"role": "assistant", "content": completion}]
        return {"prompt": render_prompt(row["prompt"], prompt), "completion": completion}

    return dataset.map(render_example, remove_columns=names, load_from_cache_file=False)
