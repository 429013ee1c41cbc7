"""Write a data set: Parquet that `load_dataset` and TRL's SFTTrainer read as it is, with a data card beside it."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.errors import UserError
from r1kit.recipe import CardConfig
from r1kit.rows import COLUMNS, STORED_COLUMNS, ColumnType, Row
from r1kit.runs.files import atomic_file, replace_folder

if TYPE_CHECKING:
    import pyarrow as pa


ROWS_A_FILE = 100_000
ROWS_A_GROUP = 2_000
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))  # the hub's names


def rows_schema(rows: Sequence[Row], reward_names: Sequence[str] = ()) -> "pa.Schema":
    """Return the Arrow schema of `rows`.

    The stored columns of `r1kit.rows` come first, in their order and with their types; then the rewards, as numbers;
    then other columns in the order of the rows, with the types of their values. So all files of a data set agree on
    the type of a column, even where one of them has only nulls in it.
    """
    import pyarrow as pa

    names = list(dict.fromkeys(name for row in rows for name in row))
    types: dict[str, ColumnType] = {name: COLUMNS[name].type for name in STORED_COLUMNS}
    types |= dict.fromkeys(reward_names, "float64")
    for name in ("prompt", "completion"):
        if rows and isinstance(rows[0].get(name), list):
            types[name] = "messages"
    fields = [pa.field(name, arrow_type(column_type)) for name, column_type in types.items() if name in names]
    other_names = [name for name in names if name not in types]
    if other_names:
        other_rows = [{name: row.get(name) for name in other_names} for row in rows]
        for field in pa.Table.from_pylist(other_rows).schema:
            described = COLUMNS.get(field.name)
            # A column of nulls alone tells no type: it has the described one, or text.
            fallback = arrow_type(described.type if described else "string")
            fields.append(field.with_type(fallback) if pa.types.is_null(field.type) else field)
    return pa.schema(fields)


def arrow_type(column_type: ColumnType) -> "pa.DataType":
    """Return the Arrow type that a described column has on disk."""
    import pyarrow as pa

    if column_type == "messages":
        return pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    return {"string": pa.string(), "bool": pa.bool_(), "int64": pa.int64(), "float64": pa.float64()}[column_type]


def order_columns(schema: "pa.Schema") -> "pa.Schema":
    """Return `schema` with the stored columns of `r1kit.rows` first, and text for a column of nulls alone."""
    import pyarrow as pa

    fields = {}
    for field in schema:
        fields[field.name] = field.with_type(pa.string()) if pa.types.is_null(field.type) else field
    names = [name for name in STORED_COLUMNS if name in fields]
    names += [name for name in fields if name not in STORED_COLUMNS]
    return pa.schema([fields[name] for name in names])


def to_arrow_table(rows: list[Row], wanted: "pa.Schema") -> "pa.Table":
    """Return rows as a table; numbers in a column of text become text."""
    import pyarrow as pa

    try:
        return pa.Table.from_pylist(rows, schema=wanted)
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError):
        texts = [f.name for f in wanted if pa.types.is_string(f.type)]
        changed = [{**row, **{n: None if row.get(n) is None else str(row[n]) for n in texts}} for row in rows]
        return pa.Table.from_pylist(changed, schema=wanted)


def write_parquet(rows: list[Row], path: Path, reward_names: Sequence[str] = ()) -> None:
    """Write `rows` as one Parquet file, whole or not at all."""
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary:
        pq.write_table(to_arrow_table(rows, rows_schema(rows, reward_names)), temporary)


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
