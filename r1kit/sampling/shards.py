"""Shards: what was sampled, in small Parquet files that are written whole, and a manifest of what they are of.

A shard that is there is done; so a run that was killed loses at most the shards in flight, doubles nothing, and ends in
the same rows on any number of processes. The manifest says which problems the shards belong to, so that shards of other
problems are not taken for them when the data has changed under its path.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.data.writing.parquet import write_parquet
from r1kit.errors import UserError
from r1kit.rows import USAGE_COLUMNS, Row
from r1kit.runs.files import write_file

if TYPE_CHECKING:
    import pyarrow as pa


def text_fingerprint(texts: Iterable[str]) -> str:
    """Return 16 hex digits of some texts in their order."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


class Shards:
    """A folder of `count` shards, numbered from 0."""

    def __init__(self, folder: Path, count: int, scores: Sequence[str] = ()):
        self.folder, self.count, self.scores = folder, count, scores

    @property
    def manifest(self) -> Path:
        return self.folder / "manifest.json"

    def path(self, index: int) -> Path:
        return self.folder / f"shard-{index:06d}.parquet"

    def done(self) -> list[int]:
        """Return the numbers of the shards that are there."""
        there = {path.name for path in self.folder.glob("shard-*.parquet")} if self.folder.exists() else set()
        return [i for i in range(self.count) if self.path(i).name in there]

    def begin(self, **of: Any) -> None:
        """Write the manifest, or hold it against what is to be sampled now. Raises UserError where that is another."""
        wanted = {"shards": self.count, **of}
        if self.manifest.exists():
            given = json.loads(self.manifest.read_text())
            if changed := next((k for k in wanted if given.get(k) != wanted[k]), None):
                if changed == "settings":
                    do = f"put them back, or remove {self.folder} to have all of it made again"
                    raise UserError("output", self.folder, "was made with other settings", do)
                must = (
                    f"its finished shards are of other data ({changed} was {given.get(changed)}, is {wanted[changed]})"
                )
                raise UserError("output", self.folder.parent, must, "give the old data, another output or --overwrite")
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        write_file(self.manifest, json.dumps(wanted, indent=2) + "\n")

    def write(self, index: int, rows: list[Row]) -> None:
        """Write a shard, whole or not at all."""
        write_parquet(rows, self.path(index), self.scores)

    def read(self, index: int, columns: Sequence[str] | None = None) -> list[Row]:
        """Return the rows of a shard. Raises UserError where it cannot be read."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return pq.ParquetFile(self.path(index)).read(columns).to_pylist()
        except (pa.ArrowException, OSError) as error:
            must = f"this shard cannot be read: {str(error).splitlines()[0]}"
            do = "remove it, then the same command again"
            raise UserError("output", self.path(index), must, do) from None

    def usage(self, index: int) -> tuple[int, int]:
        """Return how many tokens of prompts and of completions a shard has cost; of rewritten rows, the teacher's."""
        rows = self.read(index, ["tokens", "prompt_tokens", *USAGE_COLUMNS])
        said = sum(row.get(USAGE_COLUMNS[1], row["tokens"]) or 0 for row in rows)
        return sum(row.get(USAGE_COLUMNS[0], row["prompt_tokens"]) or 0 for row in rows), said

    def schema(self) -> "pa.Schema":
        """Return the columns of the shards. All have the same, save those without rows, which have none."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        return next((s for i in self.done() if (s := pq.read_schema(self.path(i))).names), pa.schema([]))

    def __iter__(self) -> Iterator[list[Row]]:
        """Yield the rows of each shard that is there, in order."""
        for index in self.done():
            yield self.read(index)
