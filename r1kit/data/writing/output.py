"""Write what `generate` and `data` make: the rows into `data/`, their counts into the data card, both to the hub."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from r1kit.data.filters import DropReport
from r1kit.data.writing.card import DataFacts, data_card
from r1kit.data.writing.hub import push_data
from r1kit.data.writing.parquet import DataWriter
from r1kit.languages.detect import language_code
from r1kit.messages import logger
from r1kit.recipe import DataRecipe, GenerateRecipe, SourceConfig
from r1kit.rows import Row
from r1kit.runs.files import write_file
from r1kit.runs.run import Run
from r1kit.safe_text import mask_secrets, mask_text
from r1kit.version import __version__

if TYPE_CHECKING:
    import pyarrow as pa


class DataOutput:
    """The new `data/` of a run: `add` rows, then `finish`."""

    def __init__(self, run: Run, recipe: GenerateRecipe | DataRecipe, schema: "pa.Schema"):
        self.run, self.recipe = run, recipe
        self.writer = DataWriter(run.path / "data", schema)
        self.domain_counts: Counter[str] = Counter()
        self.language_counts: Counter[str] = Counter()

    @property
    def row_count(self) -> int:
        """The number of rows that were added."""
        return self.writer.row_count

    def add(self, rows: list[Row]) -> None:
        """Write rows, and count their domains and languages."""
        self.writer.add(rows)
        for row in rows:
            self.domain_counts[str(row.get("domain") or "")] += 1
            # In a scored row `language` is a reward's score, a number.
            language = row.get("target_language") or row.get("language")
            if isinstance(language, str) and (code := language_code(language)):
                self.language_counts[code] += 1

    def finish(self, drop_reports: Mapping[str, DropReport], generated_by: Mapping[str, Any]) -> None:
        """Write the data card, put `data/` in its place, and send both to the hub if the recipe says so."""
        facts = DataFacts(
            stage=self.run.info.get("stage", "generate"),
            version=__version__,
            date=datetime.now(UTC).date().isoformat(),
            row_count=self.row_count,
            columns=self.writer.schema.names,
            domain_counts=self.domain_counts,
            language_counts=self.language_counts,
            sources=[_describe_source(source) for source in self.recipe.data.train],
            generated_by=generated_by,
            drop_reports=drop_reports,
        )
        card = self.recipe.card
        write_file(self.run.path / "README.md", mask_text(data_card(card, facts)))
        self.writer.finish()
        self.run.record_result()
        if card.push_to_hub:
            address = push_data(self.run.path, card)
            self.run.update(pushed=address)
            logger.info(f"the data was sent to {address}")


def _describe_source(source: SourceConfig) -> str:
    """Return a source's path, and in brackets the fields that the recipe sets: `my.jsonl (rows: 100)`."""
    fields = mask_secrets(source.model_dump(exclude_defaults=True))
    path = fields.pop("path")
    if not fields:
        return path
    return f"{path} ({', '.join(f'{name}: {value}' for name, value in fields.items())})"
