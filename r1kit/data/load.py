"""Read a recipe's sources into rows: problems (for RL, generation, evaluation) or SFT examples.

Nothing here holds all rows in memory: `datasets` maps them from disk, and each change goes through them in batches.
"""

import hashlib
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from r1kit.data import made
from r1kit.data.adapters import adapt
from r1kit.data.files import read_stored
from r1kit.errors import UserError, suggest
from r1kit.prompts import CHAT, render
from r1kit.recipe import Data, Prompt, Source
from r1kit.rewards.language import detect

if TYPE_CHECKING:
    from datasets import Dataset

BATCH = 1000


def read_source(source: Source, field: str = "data.train.0", draw: bool = True) -> "Dataset":
    """Read one source, bring its columns to r1kit's and draw its rows. Raises UserError where that cannot be done."""
    import datasets

    if made.is_made(source.path):
        rows = [_text_tests(row) for row in made.make(source, field)]
        dataset = datasets.Dataset.from_list(rows)
        if source.rows and source.rows < len(dataset):
            dataset = dataset.shuffle(seed=source.seed).select(range(source.rows))
    else:
        if source.settings:
            raise UserError(f"{field}.settings", source.settings, "a stored source has none", "remove them")
        dataset = _where(adapt(read_stored(source, field), source, field), source, field)
        if draw and source.rows and source.rows < len(dataset):
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
    dataset = _plain(dataset)
    if len(dataset) == 0:
        raise UserError(f"{field}.path", source.path, "has no rows", "give a source with at least one")
    return dataset


def _where(dataset: "Dataset", source: Source, field: str) -> "Dataset":
    """Return the rows that have the values wanted."""
    for name, values in source.where.items():
        if name not in dataset.column_names:
            raise UserError(f"{field}.where.{name}", values, "no such column", suggest(name, dataset.column_names))
        wanted = set(values)
        there = [i for start in range(0, len(dataset), BATCH) for i, value in
                 enumerate(dataset[start : start + BATCH][name], start=start) if value in wanted]  # fmt: skip
        if not there:
            must = f"no row has one of these in {name}"
            raise UserError(f"{field}.where.{name}", values, must, "see r1kit data inspect")
        dataset = dataset.select(there)
    return dataset


def _text_tests(row: dict[str, Any]) -> dict[str, Any]:
    tests = row.get("tests")
    return row if tests is None else {**row, "tests": as_text(tests)}


def as_text(value: Any) -> str:
    """Return a nested value as JSON, text as it is, and nothing as an empty text."""
    if not value and not isinstance(value, int | float):
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _plain(dataset: "Dataset") -> "Dataset":
    """Write columns as text whose values differ in type from row to row: tests, metadata, answers."""
    import datasets

    names = [n for n in ("tests", "metadata") if n in dataset.column_names]
    names += [n for n, kind in dataset.features.items() if isinstance(kind, datasets.Json) and n not in names]
    names = [n for n in names if not isinstance(dataset.features[n], datasets.Value)]
    if not names:
        return dataset
    features = datasets.Features(dataset.features | dict.fromkeys(names, datasets.Value("string")))

    def plain(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return {n: [None if v is None and n != "tests" else as_text(v) for v in batch[n]] for n in names}

    return dataset.map(plain, batched=True, batch_size=BATCH, features=features, load_from_cache_file=False)


def read_all(sources: Sequence[Source], field: str, total: int | None = None, seed: int = 0) -> "Dataset":
    """Read sources and put them together, by their shares where they have some; a column lacking in one is None there.

    Raises UserError.
    """
    import datasets

    shared = any(source.share for source in sources)
    parts = [read_source(source, f"{field}.{i}", draw=not shared) for i, source in enumerate(sources)]
    if shared:
        parts = _mixed(parts, sources, field, total)
    names = list(dict.fromkeys(name for part in parts for name in part.column_names))
    if len(parts) == 1:
        return parts[0]
    features = datasets.Features()
    for name in names:
        kinds = [p.features[name] for p in parts if name in p.features]
        kinds = [k for k in kinds if k != datasets.Value("null")] or kinds
        features[name] = kinds[0] if all(k == kinds[0] for k in kinds) else datasets.Value("string")
    filled = []
    for part in parts:
        for name in names:
            if name not in part.column_names:
                part = part.add_column(name, [None] * len(part))
        filled.append(part.select_columns(names).cast(features))
    return datasets.concatenate_datasets(filled)


def _mixed(parts: list["Dataset"], sources: Sequence[Source], field: str, total: int | None) -> list["Dataset"]:
    """Draw from each part so many rows that the shares hold; of a source with `rows`, at most so many."""
    shares = [source.share or 0.0 for source in sources]
    there = [min(len(p), s.rows or len(p)) for p, s in zip(parts, sources, strict=True)]
    most = int(min(n / share for n, share in zip(there, shares, strict=True)) + 1e-9)
    if total and total > most:
        short = min(range(len(parts)), key=lambda i: there[i] / shares[i])
        must = f"{shares[short]:g} of {total} rows are {round(shares[short] * total)}, and it has {there[short]}"
        raise UserError(f"{field}.{short}.share", shares[short], must, f"set data.rows to at most {most}")
    wanted = total or most
    counts = [round(share * wanted) for share in shares]
    counts[counts.index(max(counts))] += wanted - sum(counts)
    return [
        part.shuffle(seed=source.seed).select(range(min(count, len(part))))
        for part, source, count in zip(parts, sources, counts, strict=True)
    ]


def problems(
    sources: Sequence[Source], prompt: Prompt | None, field: str = "data.train", data: Data | None = None
) -> "Dataset":
    """Return rows of problems: the prompt as the model sees it, the bare `question`, and what rewards need.

    `id`, `domain`, `language` and `thinking` are filled in where a source lacks them. Rows that are the same problem
    with the same id stand once. Without `prompt` the prompts stay as the source has them: a template that stands in
    each row would be most of what a large set holds.
    """
    dataset = read_all(sources, field, data.rows if data else None)
    if "prompt" not in dataset.column_names:
        do = f"it has {', '.join(dataset.column_names)}; rename one with {field}.0.columns"
        raise UserError(field, sources[0].path, "needs a column prompt", do)
    defaults = {"domain": "", "thinking": True}

    def fill(row: dict[str, Any]) -> dict[str, Any]:
        question = row["prompt"]
        if not question or not isinstance(question, str | list):
            raise UserError(field, question, "each prompt must be text or messages", "mend or drop the row")
        plain = plain_text(question)
        filled = {k: v if row.get(k) is None else row[k] for k, v in defaults.items()}
        filled["question"] = plain
        language = row.get("target_language") or row.get("language")  # the former in rows that generate made
        filled["language"] = language if isinstance(language, str) else detect(plain)
        filled["id"] = str(row.get("id") or stable_id(plain, row.get("answer")))
        if prompt is not None:
            filled["prompt"] = shown(question, prompt)
        return filled

    gone = "prompt" if prompt is not None else None
    filled = dataset.map(fill, remove_columns=gone, load_from_cache_file=False)
    return _each_once(filled, sources[0].path, field)


def _each_once(dataset: "Dataset", path: str, field: str) -> "Dataset":
    """Drop rows whose id and question stood before. Raises UserError where an id stands for two questions."""
    import numpy as np

    keys, texts = np.empty(len(dataset), np.uint64), np.empty(len(dataset), np.uint64)
    looked = dataset.select_columns(["id", "question"])
    for start in range(0, len(looked), BATCH):
        batch = looked[start : start + BATCH]
        end = start + len(batch["id"])
        keys[start:end] = [_short(name) for name in batch["id"]]
        texts[start:end] = [_short(question) for question in batch["question"]]
    _, first, back = np.unique(keys, return_index=True, return_inverse=True)
    if len(first) == len(dataset):
        return dataset
    other = np.flatnonzero(texts != texts[first[back]])
    if len(other):
        must = f"two problems have the id {dataset[int(other[0])]['id']}"
        raise UserError(field, path, must, "give each an id of its own, or none: r1kit makes them")
    lost = len(dataset) - len(first)
    print(f"note: {lost} of {len(dataset)} problems stood before and are left out", file=sys.stderr)
    return dataset.select(np.sort(first))


def _short(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def plain_text(question: str | list[dict[str, str]]) -> str:
    """Return a prompt's text: its own, or its last message's."""
    return question if isinstance(question, str) else question[-1]["content"]


def shown(question: str | list[dict[str, str]], prompt: Prompt) -> str | list[dict[str, str]]:
    """Return a question as the model is asked it: text for a plain template, messages for `chat`."""
    if prompt.template != CHAT:
        return render(prompt.template, plain_text(question)) + prompt.prefill
    messages = [{"role": "user", "content": question}] if isinstance(question, str) else list(question)
    if prompt.system and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": prompt.system}, *messages]
    return messages


def stable_id(question: str, answer: Any) -> str:
    """Return 16 hex digits that depend on the question and its answer alone."""
    return hashlib.sha256(f"{question}\0{answer}".encode()).hexdigest()[:16]


def examples(
    sources: Sequence[Source], prompt: Prompt, field: str = "data.train", data: Data | None = None
) -> "Dataset":
    """Return SFT examples in one of TRL's formats: `text`, `messages`, or `prompt` and `completion`."""
    dataset = read_all(sources, field, data.rows if data else None)
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
