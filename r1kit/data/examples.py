"""TODO."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from r1kit.data.mixing import read_sources
from r1kit.data.questions import render_prompt
from r1kit.errors import UserError
from r1kit.prompts import CHAT_TEMPLATE
from r1kit.recipe import DataConfig, PromptConfig, SourceConfig

if TYPE_CHECKING:
    from datasets import Dataset


def load_examples(
    sources: Sequence[SourceConfig], prompt: PromptConfig, field: str = "data.train", data: DataConfig | None = None
) -> "Dataset":
    """Return SFT examples in one of TRL's formats: `text`, `messages`, or `prompt` and `completion`."""
    dataset = read_sources(sources, field, data.rows if data else None)
    names = dataset.column_names
    forms = [f for f in ("text", "messages", "completion") if f in names]
    if "prompt" in names and "completion" in names and None not in dataset["completion"]:
        forms = ["completion"]  # where all rows have it, further forms say the same
    if len(forms) > 1:
        must = f"its sources mix rows with {' and '.join(forms)}"
        raise UserError(field, ", ".join(s.path for s in sources), must, "bring them to one form")
    if forms and forms[0] != "completion":
        return dataset.select_columns(forms[0])
    if not {"prompt", "completion"} <= set(names):
        must = "SFT needs a column text, or messages, or prompt and completion"
        raise UserError(field, sources[0].path, must, f"it has {', '.join(names)}; rename with {field}.0.columns")

    def example(row: dict[str, Any]) -> dict[str, Any]:
        asked = render_prompt(row["prompt"], prompt)
        said = row["completion"]
        if prompt.template == CHAT_TEMPLATE and isinstance(said, str):
            said = [{"role": "assistant", "content": said}]
        return {"prompt": asked, "completion": said}

    return dataset.map(example, remove_columns=names, load_from_cache_file=False)
