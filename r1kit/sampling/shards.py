"""Shards: sampled rows in small Parquet files, and a manifest that says which problems they belong to.

A shard is written whole or not at all, and a shard that exists is finished. So a run that was killed loses at most the
batches in flight, samples nothing twice, and ends in the same rows on any number of processes. The manifest protects
against mixing: if the data at a path has changed since, its fingerprint differs and the shards are refused.

    samples/manifest.json  samples/shard-000000.parquet  samples/shard-000001.parquet ...
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.data.writing.parquet import decode_json_columns, merge_schemas, write_parquet
from r1kit.errors import UserError
from r1kit.rows import USAGE_COLUMNS, Row
from r1kit.runs.files import write_file
from r1kit.runs.reading import read_state

if TYPE_CHECKING:
    import pyarrow as pa

FINGERPRINT_DIGITS = 16
FAILURE_SUFFIX = ".failed"
"""The suffix of the file beside a shard that counts its samples without a completion."""


def text_fingerprint(texts: Iterable[str]) -> str:
    """Return 16 hexadecimal digits that identify texts and their order."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode())
        digest.update(b"\0")  # so that ["ab", "c"] and ["a", "bc"] differ
    return digest.hexdigest()[:FINGERPRINT_DIGITS]


class Shards:
    """A folder of `count` shards, numbered from 0, some of which may not be written yet.

    `reward_names` are the columns that are written as numbers even if a shard has no value for them.
    """

    def __init__(self, folder: Path, count: int, reward_names: Sequence[str] = ()):
        self.folder = folder
        self.count = count
        self.reward_names = reward_names

    @property
    def manifest_path(self) -> Path:
        return self.folder / "manifest.json"

    def shard_path(self, index: int) -> Path:
        return self.folder / f"shard-{index:06d}.parquet"

    def finished(self) -> list[int]:
        """Return the numbers of the shards that are written, in order."""
        if not self.folder.exists():
            return []
        # One listing of the folder; a run may have many thousands of shards.
        file_names = {path.name for path in self.folder.glob("shard-*.parquet")}
        return [index for index in range(self.count) if self.shard_path(index).name in file_names]

    def check_manifest(self, **contents: Any) -> None:
        """Write the manifest, or compare an existing one with what is to be sampled now.

        `contents` identify the work, such as `fingerprint` (the problems) and `settings`. Raises UserError if the
        folder holds shards of other data or of other settings.
        """
        expected = {"shards": self.count, **contents}
        if not self.manifest_path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_file(self.manifest_path, json.dumps(expected, indent=2) + "\n")
            return
        existing = read_state(self.manifest_path)
        # The first difference tells enough; a manifest may hold more than is compared.
        for name, value in expected.items():
            if existing.get(name) == value:
                continue
            if name == "settings":
                requirement = "holds shards that were made with other settings"
                action = f"restore the settings, or remove {self.folder} to make all of it again"
                raise UserError("output", self.folder, requirement, action)
            requirement = f"holds shards of other data ({name} was {existing.get(name)} and is now {value})"
            action = "restore the old data, use another output, or pass --overwrite"
            raise UserError("output", self.folder.parent, requirement, action)

    def write_shard(self, index: int, rows: list[Row], failed_samples: int = 0) -> None:
        """Write a shard, whole or not at all.

        `failed_samples` counts its samples without a completion, since a server failed. The next session samples a
        shard with any of them again.
        """
        marker = self._failure_marker(index)
        if failed_samples:
            write_file(marker, str(failed_samples))
        write_parquet(rows, self.shard_path(index), self.reward_names)
        if not failed_samples:
            marker.unlink(missing_ok=True)

    def _failure_marker(self, index: int) -> Path:
        return self.shard_path(index).with_suffix(FAILURE_SUFFIX)

    def failed(self) -> list[int]:
        """Return the numbers of the shards with samples that have no completion, since a server failed."""
        return [index for index in self.finished() if self._failure_marker(index).exists()]

    def read_shard(self, index: int, columns: Sequence[str] | None = None) -> list[Row]:
        """Return the rows of a shard, with all columns or those in `columns`. Raises UserError if it is damaged."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.ParquetFile(self.shard_path(index)).read(columns)
            return decode_json_columns(table.to_pylist(), table.schema)
        except (pa.ArrowException, OSError) as error:
            requirement = f"this shard cannot be read: {str(error).splitlines()[0]}"
            action = "remove the file, then run the same command again"
            raise UserError("output", self.shard_path(index), requirement, action) from None

    def count_tokens(self, index: int) -> tuple[int, int]:
        """Return how many prompt tokens and completion tokens a shard has cost.

        For rewritten rows these are the teacher's tokens, not those of the completions that it was shown.
        """
        # Columns that a shard lacks are not in its rows: samples have no teacher's tokens.
        rows = self.read_shard(index, ["tokens", "prompt_tokens", *USAGE_COLUMNS])
        prompt_tokens = sum(row.get("teacher_prompt_tokens", row["prompt_tokens"]) or 0 for row in rows)
        completion_tokens = sum(row.get("teacher_tokens", row["tokens"]) or 0 for row in rows)
        return prompt_tokens, completion_tokens

    def schema(self) -> "pa.Schema":
        """Return the columns that the rows of all shards can have; shards without rows have no columns."""
        import pyarrow.parquet as pq

        return merge_schemas([pq.read_schema(self.shard_path(index)) for index in self.finished()])

    def __iter__(self) -> Iterator[list[Row]]:
        """Yield the rows of each finished shard, in order."""
        for index in self.finished():
            yield self.read_shard(index)
