"""Write a data set: Parquet that `load_dataset` and TRL's SFTTrainer read as it is, with a data card beside it."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.errors import UserError
from r1kit.recipe import CardConfig
from r1kit.rows import Row
from r1kit.runs.files import atomic_file, replace_folder

if TYPE_CHECKING:
    import pyarrow as pa


ROWS_A_FILE = 100_000
ROWS_A_GROUP = 2_000
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))  # the hub's names
# Columns that r1kit writes, in this order, where rows have them; others follow. So that all files of a set agree,
# whatever their rows lack.
KINDS = {
    "id": "string",
    "prompt": "string",
    "completion": "string",
    "messages": "messages",
    "text": "string",
    "answer": "string",
    "tests": "string",
    "checker": "string",
    "metadata": "string",
    "fault": "bool",
    "correct": "bool",
    "domain": "string",
    "source": "string",
    "level": "string",
    "thinking": "bool",
    "thinks": "bool",
    "target_language": "string",
    "tokens": "int64",
    "prompt_tokens": "int64",
    "finish_reason": "string",
    "logprob": "float64",
    "model": "string",
    "teacher": "string",
    "original": "string",
    "held": "bool",
    "teacher_prompt_tokens": "int64",
    "teacher_tokens": "int64",
    "seed": "int64",
    "sample": "int64",
}


def rows_schema(rows: Sequence[Row], scores: Sequence[str] = ()) -> "pa.Schema":
    """Return the schema of rows: r1kit's own columns as they always are, `scores` as numbers, others as they come."""
    import pyarrow as pa

    names = list(dict.fromkeys(name for row in rows for name in row))
    kinds = {**KINDS, **dict.fromkeys(scores, "float64")}
    for name in ("prompt", "completion"):  # text, or chat messages
        if any(isinstance(row.get(name), list) for row in rows[:1]):
            kinds[name] = "messages"
    message = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    made = {"string": pa.string(), "bool": pa.bool_(), "int64": pa.int64(), "float64": pa.float64()}
    fields = [(n, message if kinds[n] == "messages" else made[kinds[n]]) for n in kinds if n in names]
    others = [n for n in names if n not in kinds]
    if others:
        found = pa.Table.from_pylist([{n: row.get(n) for n in others} for row in rows]).schema
        fields += [(f.name, pa.string() if pa.types.is_null(f.type) else f.type) for f in found]
    return pa.schema(fields)


def order_columns(given: "pa.Schema") -> "pa.Schema":
    """Return a schema with r1kit's own columns first, and text where nothing is known of a column."""
    import pyarrow as pa

    fields = {f.name: f.with_type(pa.string()) if pa.types.is_null(f.type) else f for f in given}
    return pa.schema([fields[n] for n in dict.fromkeys([*KINDS, *fields]) if n in fields])


def to_arrow_table(rows: list[Row], wanted: "pa.Schema") -> "pa.Table":
    """Return rows as a table; numbers in a column of text become text."""
    import pyarrow as pa

    try:
        return pa.Table.from_pylist(rows, schema=wanted)
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError):
        texts = [f.name for f in wanted if pa.types.is_string(f.type)]
        changed = [{**row, **{n: None if row.get(n) is None else str(row[n]) for n in texts}} for row in rows]
        return pa.Table.from_pylist(changed, schema=wanted)


def write_parquet(rows: list[Row], path: Path, scores: Sequence[str] = ()) -> None:
    """Write `rows` as one Parquet file, whole or not at all."""
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary:
        pq.write_table(to_arrow_table(rows, rows_schema(rows, scores)), temporary)


class DataWriter:
    """Writes rows to a new `data/`, file after file, all of one schema; `finish` puts it in its place."""

    def __init__(self, target: Path, wanted: "pa.Schema"):
        self.target, self.schema = target, wanted
        self.folder = target.with_name(f".{target.name}.tmp")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.rows = self._in_file = 0
        self._waiting: list[Row] = []
        self._writer: Any = None

    def add(self, rows: list[Row]) -> None:
        """Write rows, a group at a time."""
        self._waiting += rows
        self.rows += len(rows)
        while len(self._waiting) >= ROWS_A_GROUP:
            self._flush(ROWS_A_GROUP)

    def _flush(self, count: int) -> None:
        import pyarrow.parquet as pq

        part, self._waiting = self._waiting[:count], self._waiting[count:]
        if not part:
            return
        if self._writer is None or self._in_file >= ROWS_A_FILE:
            self._end()
            name = f"train-{len(list(self.folder.iterdir())):05d}.parquet"
            self._writer, self._in_file = pq.ParquetWriter(self.folder / name, self.schema), 0
        self._writer.write_table(to_arrow_table(part, self.schema))
        self._in_file += len(part)

    def _end(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def finish(self) -> None:
        """Write what is left, and put the folder in its place."""
        self._flush(len(self._waiting))
        self._end()
        replace_folder(self.folder, self.target)


def push_data(run: Path, card: CardConfig) -> str:
    """Send a run's README.md and `data/` to the hub and return the address. Raises UserError where that fails."""
    from huggingface_hub import HfApi

    name = card.push_to_hub or ""
    api = HfApi()
    try:
        made = api.create_repo(name, repo_type="dataset", private=card.private, exist_ok=True)
        name = made.repo_id  # with whose it is
        api.upload_folder(
            folder_path=run,
            repo_id=name,
            repo_type="dataset",
            allow_patterns=["README.md", "data/*.parquet"],
            delete_patterns=["data/*.parquet"],  # of an earlier and larger set
            commit_message="Data made by r1kit",
        )
    except Exception as error:  # no network, no token, no right to write there: each library has errors of its own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        must = f"could not be sent: {reason}"
        do = f"the data is whole in {run}/data; log in with `hf auth login`, then the same command again"
        raise UserError("card.push_to_hub", name, must, do) from None
    return f"https://huggingface.co/datasets/{name}"


def data_card(card: CardConfig, facts: dict[str, Any]) -> str:
    """Return the README.md of a data set: front matter for the hub, sources, counts, filters and teacher.

    `facts`: stage, rows, columns, languages, domains, sources, models, settings, reports (title: drop report), files.
    """
    import yaml

    rows = facts["rows"]
    front: dict[str, Any] = {}
    if card.license:
        front["license"] = card.license
    if languages := card.language or sorted(facts["languages"]):
        front["language"] = languages
    front["tags"] = ["r1kit", "reasoning", *card.tags]
    front["size_categories"] = [next((name for top, name in SIZES if rows < top), "n>1M")]
    front["configs"] = [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*.parquet"}]}]
    lines = ["---", yaml.safe_dump(front, sort_keys=False, allow_unicode=True).strip(), "---", "", "# Data card", ""]
    lines += [card.about, ""] if card.about else []
    lines += [f"{rows} rows, made by `r1kit {facts['stage']}` {facts['version']} on {facts['date']}.", ""]
    lines += ["| | |", "| --- | --- |"]
    lines += [f"| source | {_cell(s)} |" for s in facts["sources"]]
    lines += [f"| {name} | {_cell(value)} |" for name, value in facts["made_by"].items()]
    for title, counts in (("domain", facts["domains"]), ("language", facts["languages"])):
        listed = ", ".join(f"{name or '-'}: {count}" for name, count in sorted(counts.items()))
        lines.append(f"| {title} | {listed} |")
    lines += [f"| license | {card.license or 'not given: that of the sources holds'} |", ""]
    for title, report in facts["reports"].items():
        lines += [f"## {title}", "", "| | rows |", "| --- | --- |"]
        lines += [f"| {k} | {report[k]} |" for k in ("rows", "sampled") if k in report]
        lines += [f"| dropped: {name} | {count} |" for name, count in report["dropped"].items()]
        lines += [f"| kept | {report['kept']} |", ""]
    lines += ["## Columns", "", ", ".join(f"`{c}`" for c in facts["columns"]), ""]
    lines += ["```python", "from datasets import load_dataset", 'load_dataset("PATH", split="train")', "```", ""]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.replace("|", "\\|").replace("\n", " ")[:300]
