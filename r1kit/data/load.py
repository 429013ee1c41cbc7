"""Read a recipe's sources into rows: problems (for RL, generation, evaluation) or SFT examples."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.data import world
from r1kit.errors import UserError, suggest
from r1kit.prompts import CHAT, render
from r1kit.recipe import Prompt, Source
from r1kit.rewards.language import detect
from r1kit.run import data_path

if TYPE_CHECKING:
    from datasets import Dataset

FORMATS = {".json": "json", ".jsonl": "json", ".csv": "csv", ".parquet": "parquet", ".arrow": "arrow"}


def read_source(source: Source, field: str = "data.train.0") -> "Dataset":
    """Read one source, rename its columns and draw its rows. Raises UserError where that cannot be done."""
    import datasets

    if source.path.startswith("world:"):
        dataset = _world(source, field)
    else:
        dataset = _stored(source, field)
        if source.rows and source.rows < len(dataset):
            dataset = dataset.shuffle(seed=source.seed).select(range(source.rows))
    for new, old in source.columns.items():
        if new != old and new in dataset.column_names and old in dataset.column_names:
            dataset = dataset.remove_columns(new)
        if old not in dataset.column_names:
            raise UserError(f"{field}.columns.{new}", old, "no such column", suggest(old, dataset.column_names))
        dataset = dataset.rename_column(old, new)
    for name, value in source.values.items():
        if name in dataset.column_names:
            dataset = dataset.remove_columns(name)
        dataset = dataset.add_column(name, [value] * len(dataset))
    if "tests" in dataset.column_names and not isinstance(dataset.features["tests"], datasets.Value):
        texts = [json.dumps(t, ensure_ascii=False) if t else "" for t in dataset["tests"]]
        dataset = dataset.remove_columns("tests").add_column("tests", texts)
    if len(dataset) == 0:
        raise UserError(f"{field}.path", source.path, "has no rows", "give a source with at least one")
    return dataset


def _world(source: Source, field: str) -> "Dataset":
    import datasets

    name = source.path.partition(":")[2]
    if source.split not in ("train", "test"):
        raise UserError(f"{field}.split", source.split, "the world has two splits", "use train or test")
    count = source.rows or 1000
    if name == "text":
        rows = list(world.text(source.split, count, source.seed))
    elif name in world.DOMAINS:
        rows = list(world.rows(name, source.split, count, source.seed))
        for row in rows:
            row["tests"] = json.dumps(row["tests"]) if row["tests"] else ""
    else:
        raise UserError(
            f"{field}.path", source.path, "no such part of the world", suggest(name, [*world.DOMAINS, "text"])
        )
    return datasets.Dataset.from_list(rows)


def _stored(source: Source, field: str) -> "Dataset":
    import datasets

    path = Path(data_path(source.path, f"{field}.path"))
    try:
        if path.is_dir() and (path / "dataset_info.json").exists():
            return datasets.load_from_disk(str(path))
        if path.is_dir() and (path / "dataset_dict.json").exists():
            return datasets.load_from_disk(str(path / source.split))
        if path.exists():
            files = sorted(p for p in path.rglob("*") if p.suffix in FORMATS) if path.is_dir() else [path]
            files = _of_split(files, source.split) if path.is_dir() else files
            if not files or files[0].suffix not in FORMATS:
                raise UserError(f"{field}.path", source.path, f"holds no {', '.join(FORMATS)} file", "check the path")
            if all(f.stat().st_size == 0 for f in files):
                raise UserError(f"{field}.path", source.path, "is empty", "give a source with at least one row")
            kind = FORMATS[files[0].suffix]
            names = [str(f) for f in files if f.suffix == files[0].suffix]
            return datasets.load_dataset(kind, data_files=names, split="train")
        return datasets.load_dataset(source.path, source.name, split=source.split)
    except UserError:
        raise
    except Exception as error:  # the library raises whatever its readers and the network do
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{field}.path", source.path, f"cannot be read: {reason}", "check the path, the name and the network"
        ) from None


def _of_split(files: list[Path], split: str) -> list[Path]:
    """Return the files whose names bear `split`, all where none bears any split."""
    words = {f: set(re.split(r"[-_.]", f.stem)) for f in files}
    named = any(w & {"train", "test", "validation", "valid", "dev"} for w in words.values())
    return [f for f in files if split in words[f]] if named else files


def _together(sources: Sequence[Source], field: str) -> "Dataset":
    import datasets

    parts = [read_source(source, f"{field}.{i}") for i, source in enumerate(sources)]
    names = list(dict.fromkeys(name for part in parts for name in part.column_names))
    filled = []
    for part in parts:
        for name in names:
            if name not in part.column_names:
                part = part.add_column(name, [None] * len(part))
        filled.append(part.select_columns(names))
    if len(filled) == 1:
        return filled[0]
    features = datasets.Features()
    for name in names:
        kinds = [p.features[name] for p in parts if name in p.features]
        kinds = [k for k in kinds if k != datasets.Value("null")] or kinds
        features[name] = kinds[0] if all(k == kinds[0] for k in kinds) else datasets.Value("string")
    return datasets.concatenate_datasets([p.cast(features) for p in filled])


def problems(sources: Sequence[Source], prompt: Prompt, field: str = "data.train") -> "Dataset":
    """Return rows of problems: the prompt as the model sees it, the bare `question`, and what rewards need.

    `id`, `domain`, `language` and `thinking` are filled in where a source lacks them.
    """
    dataset = _together(sources, field)
    if "prompt" not in dataset.column_names:
        do = f"it has {', '.join(dataset.column_names)}; rename one with {field}.0.columns"
        raise UserError(field, sources[0].path, "needs a column prompt", do)
    defaults = {"domain": "", "thinking": True}

    def fill(row: dict[str, Any]) -> dict[str, Any]:
        question = row["prompt"]
        if not question or not isinstance(question, str | list):
            raise UserError(field, question, "each prompt must be text or messages", "mend or drop the row")
        plain = question if isinstance(question, str) else question[-1]["content"]
        filled = {k: v if row.get(k) is None else row[k] for k, v in defaults.items()}
        filled["question"] = plain
        language = row.get("target_language") or row.get("language")  # the former in rows that generate made
        filled["language"] = language if isinstance(language, str) else detect(plain)
        filled["id"] = str(row.get("id") or stable_id(plain, row.get("answer")))
        filled["prompt"] = shown(question, prompt)
        return filled

    return dataset.map(fill, remove_columns="prompt", load_from_cache_file=False)


def shown(question: str | list[dict[str, str]], prompt: Prompt) -> str | list[dict[str, str]]:
    """Return a question as the model is asked it: text for a plain template, messages for `chat`."""
    if prompt.template != CHAT:
        plain = question if isinstance(question, str) else question[-1]["content"]
        return render(prompt.template, plain) + prompt.prefill
    messages = [{"role": "user", "content": question}] if isinstance(question, str) else list(question)
    if prompt.system and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": prompt.system}, *messages]
    return messages


def stable_id(question: str, answer: Any) -> str:
    """Return 16 hex digits that depend on the question and its answer alone."""
    return hashlib.sha256(f"{question}\0{answer}".encode()).hexdigest()[:16]


def examples(sources: Sequence[Source], prompt: Prompt, field: str = "data.train") -> "Dataset":
    """Return SFT examples in one of TRL's formats: `text`, `messages`, or `prompt` and `completion`."""
    dataset = _together(sources, field)
    names = dataset.column_names
    forms = [f for f in ("text", "messages", "completion") if f in names]
    if len(forms) > 1:
        must = f"its sources mix rows with {' and '.join(forms)}"
        raise UserError(field, ", ".join(s.path for s in sources), must, "bring them to one form")
    if forms and forms[0] != "completion":
        return dataset.select_columns(forms[0])
    if not {"prompt", "completion"} <= set(names):
        must = "SFT needs a column text, or messages, or prompt and completion"
        raise UserError(field, sources[0].path, must, f"it has {', '.join(names)}; rename with {field}.0.columns")

    def example(row: dict[str, Any]) -> dict[str, Any]:
        asked = shown(row["prompt"], prompt)
        said = row["completion"]
        if prompt.template == CHAT and isinstance(said, str):
            said = [{"role": "assistant", "content": said}]
        return {"prompt": asked, "completion": said}

    return dataset.map(example, remove_columns=names, load_from_cache_file=False)
