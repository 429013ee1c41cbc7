"""Read a recipe's sources into rows: problems (for RL, generation, evaluation) or SFT examples.

Nothing here holds all rows in memory: `datasets` maps them from disk, and each change goes through them in batches.
"""

import hashlib
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from r1kit.data import generated
from r1kit.data.adapters import adapt_columns
from r1kit.data.files import read_stored
from r1kit.errors import UserError, suggest
from r1kit.languages.detect import detect_language, language_code
from r1kit.prompts import CHAT_TEMPLATE, fill_template
from r1kit.recipe import DataConfig, PromptConfig, SourceConfig

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset

READ_BATCH_ROWS = 1000


def read_source(source: SourceConfig, field: str = "data.train.0", draw: bool = True) -> "Dataset":
    """Read one source, bring its columns to r1kit's and draw its rows. Raises UserError where that cannot be done."""
    import datasets

    if generated.is_generated_source(source.path):
        rows = [_text_tests(row) for row in generated.generate_rows(source, field)]
        dataset = _where(datasets.Dataset.from_list(rows), source.where, field)
        if source.rows and source.rows < len(dataset):
            dataset = dataset.shuffle(seed=source.seed).select(range(source.rows))
    else:
        if source.settings:
            raise UserError(f"{field}.settings", source.settings, "a stored source has none", "remove them")
        stored = read_stored(source, field)
        raw = {name: values for name, values in source.where.items() if name in stored.column_names}
        adapted = adapt_columns(_where(stored, raw, field), source, field)
        later = {name: values for name, values in source.where.items() if name not in raw}
        dataset = _where(adapted, later, field)
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
    dataset = _typed(_plain(dataset), source, field)
    if len(dataset) == 0:
        raise UserError(f"{field}.path", source.path, "has no rows", "give a source with at least one")
    return dataset


def _where(dataset: "Dataset", where: dict[str, list[Any]], field: str) -> "Dataset":
    """Return the rows that have the values wanted."""
    for name, values in where.items():
        if name not in dataset.column_names:
            raise UserError(f"{field}.where.{name}", values, "no such column", suggest(name, dataset.column_names))
        there = [i for start in range(0, len(dataset), READ_BATCH_ROWS) for i, value in
                 enumerate(dataset[start : start + READ_BATCH_ROWS][name], start=start) if value in values]  # fmt: skip
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

    return dataset.map(plain, batched=True, batch_size=READ_BATCH_ROWS, features=features, load_from_cache_file=False)


def _typed(dataset: "Dataset", source: SourceConfig, field: str) -> "Dataset":
    """Bring the columns that r1kit reads by type to it: ids and answers are text, `thinking` is true or false."""
    import datasets
    import pyarrow as pa

    features = datasets.Features(dataset.features)
    for name, kind in (("id", "string"), ("answer", "string"), ("checker", "string"), ("thinking", "bool")):
        given = features.get(name)
        if given is None or given == datasets.Value(kind):
            continue
        number = isinstance(given, datasets.Value) and given.dtype not in ("string", "large_string")
        features[name] = datasets.Value(kind)
        try:
            if number or (kind == "string" and isinstance(given, datasets.Value)):
                dataset = dataset.cast_column(name, features[name])
            else:
                change = as_flag if kind == "bool" else _as_answer
                values = lambda batch, name=name, change=change: {name: [change(v) for v in batch[name]]}  # noqa: E731
                kinds = datasets.Features(dataset.features | {name: features[name]})
                dataset = dataset.map(values, batched=True, features=kinds, load_from_cache_file=False)
        except (pa.ArrowException, ValueError, TypeError) as error:
            must = f"its column {name} must hold {'true or false' if kind == 'bool' else 'text'}: {error}"
            do = f"mend it, or set {field}.values.{name}"
            raise UserError(f"{field}.path", source.path, must.splitlines()[0], do) from None
    return dataset


def _as_answer(value: Any) -> str | None:
    return None if value is None else as_text(value)


def as_flag(value: Any) -> bool | None:
    """Return what a text says of yes or no. Raises ValueError."""
    if value is None or isinstance(value, bool):
        return value
    said = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False, "": None}
    if (text := str(value).strip().lower()) not in said:
        raise ValueError(f"{value!r} is neither")
    return said[text]


def read_sources(sources: Sequence[SourceConfig], field: str, total: int | None = None) -> "Dataset":
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
        if not all(isinstance(k, datasets.Value) for k in kinds) and any(k != kinds[0] for k in kinds):
            texts = ", ".join(s.path for s in sources)
            must = f"its sources hold different things in the column {name}: {kinds[0]} and others"
            if any(isinstance(k, datasets.Value) for k in kinds):
                must = f"its sources mix text and lists in the column {name}"
            raise UserError(field, texts, must, f"bring them to one form, or rename {name} of one with columns")
        features[name] = kinds[0] if all(k == kinds[0] for k in kinds) else datasets.Value("string")
    filled = []
    for part in parts:
        for name in names:
            if name not in part.column_names:
                part = part.add_column(name, [None] * len(part))
        filled.append(part.select_columns(names).cast(features))
    return datasets.concatenate_datasets(filled)


def _mixed(parts: list["Dataset"], sources: Sequence[SourceConfig], field: str, total: int | None) -> list["Dataset"]:
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


def load_problems(
    sources: Sequence[SourceConfig],
    prompt: PromptConfig | None,
    field: str = "data.train",
    data: DataConfig | None = None,
) -> "Dataset":
    """Return rows of problems: the prompt as the model sees it, the bare `question`, and what rewards need.

    `id`, `domain`, `language` and `thinking` are filled in where a source lacks them. Rows that are the same problem
    with the same id stand once. Without `prompt` the prompts stay as the source has them: a template that stands in
    each row would be most of what a large set holds.
    """
    dataset = read_sources(sources, field, data.rows if data else None)
    if "prompt" not in dataset.column_names:
        do = f"it has {', '.join(dataset.column_names)}; rename one with {field}.0.columns"
        raise UserError(field, sources[0].path, "needs a column prompt", do)
    defaults = {"domain": "", "thinking": True}

    def fill(batch: dict[str, list[Any]], numbers: list[int]) -> dict[str, list[Any]]:
        rows = [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
        questions = [check_prompt(row["prompt"], number, field) for row, number in zip(rows, numbers, strict=True)]
        plain = [question_text(question) for question in questions]
        filled: dict[str, list[Any]] = {
            k: [v if row.get(k) is None else row[k] for row in rows] for k, v in defaults.items()
        }
        filled["question"] = plain
        filled["language"] = [row_language(row, text) for row, text in zip(rows, plain, strict=True)]
        filled["id"] = [
            row.get("id") or stable_row_id(question, row.get("answer"))
            for row, question in zip(rows, questions, strict=True)
        ]
        if prompt is not None:
            filled["prompt"] = [render_prompt(question, prompt) for question in questions]
        return filled

    gone = "prompt" if prompt is not None else None
    filled = dataset.map(
        fill,
        with_indices=True,
        batched=True,
        batch_size=READ_BATCH_ROWS,
        remove_columns=gone,
        load_from_cache_file=False,
    )
    first = first_rows_by_id(filled, sources[0].path, field)
    if len(first) == len(filled):
        return filled
    lost = len(filled) - len(first)
    print(f"note: {lost} of {len(filled)} problems stood before and are left out", file=sys.stderr)
    return filled.select(first)


def check_prompt(question: Any, number: int, field: str) -> str | list[dict[str, str]]:
    """Return a row's prompt. Raises UserError where it is neither text nor messages with text."""
    fine = isinstance(question, str) and bool(question.strip())
    if isinstance(question, list) and question:
        fine = all(isinstance(m, dict) and m.get("role") and isinstance(m.get("content"), str) for m in question)
    if not fine:
        must = f"each prompt must be text or messages of text; that of row {number} is not"
        raise UserError(field, question, must, "mend or drop the row")
    return question


def row_language(row: dict[str, Any], text: str) -> str:
    """Return the code of a row's language: its own (in rows that generate made, `target_language`), else its text's."""
    given = row.get("target_language") or row.get("language")
    code = language_code(given) if isinstance(given, str) else None
    return code or detect_language(text)


def first_rows_by_id(dataset: "Dataset", path: str, field: str) -> "np.ndarray":
    """Return the numbers of the rows whose id did not stand before.

    Raises UserError where an id stands for two questions.
    """
    import numpy as np

    keys, texts = np.empty(len(dataset), np.uint64), np.empty(len(dataset), np.uint64)
    looked = dataset.select_columns(["id", "question"])
    for start in range(0, len(looked), READ_BATCH_ROWS):
        batch = looked[start : start + READ_BATCH_ROWS]
        end = start + len(batch["id"])
        keys[start:end] = [_short(name) for name in batch["id"]]
        texts[start:end] = [_short(question) for question in batch["question"]]
    _, first, back = np.unique(keys, return_index=True, return_inverse=True)
    other = np.flatnonzero(texts != texts[first[back]])
    if len(other):
        must = f"two problems have the id {dataset[int(other[0])]['id']}"
        raise UserError(field, path, must, "give each an id of its own, or none (values: {id: null}): r1kit makes them")
    return np.sort(first)


def _short(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def question_text(question: str | list[dict[str, str]]) -> str:
    """Return a prompt's text: its own, or its messages' without the system's, with who says it where there are more."""
    if isinstance(question, str):
        return question
    said = [m for m in question if m["role"] != "system"] or question
    return said[0]["content"] if len(said) == 1 else "\n\n".join(f"{m['role']}: {m['content']}" for m in said)


def render_prompt(question: str | list[dict[str, str]], prompt: PromptConfig) -> str | list[dict[str, str]]:
    """Return a question as the model is asked it: text for a plain template, messages for `chat`."""
    if prompt.template != CHAT_TEMPLATE:
        return fill_template(prompt.template, question_text(question)) + prompt.prefill
    messages = [{"role": "user", "content": question}] if isinstance(question, str) else list(question)
    if prompt.system and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": prompt.system}, *messages]
    return messages


def stable_row_id(question: str | list[dict[str, str]], answer: Any) -> str:
    """Return 16 hex digits that depend on the question (of messages, all of them) and its answer alone."""
    if not isinstance(question, str):
        question = question[0]["content"] if len(question) == 1 else json.dumps(question, ensure_ascii=False)
    return hashlib.sha256(f"{question}\0{answer}".encode()).hexdigest()[:16]


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
