"""The end of `generate` and `data`: rows into `data/`, counts into its card, the whole to the hub where asked."""

import sys
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from r1kit import __version__
from r1kit.data.writing.card import data_card
from r1kit.data.writing.hub import push_data
from r1kit.data.writing.parquet import DataWriter
from r1kit.languages.detect import language_code
from r1kit.recipe import DataRecipe, GenerateRecipe
from r1kit.rows import Row
from r1kit.runs.files import write_file
from r1kit.runs.run import Run

if TYPE_CHECKING:
    import pyarrow as pa


class DataOutput:
    """A new `data/` of a run."""

    def __init__(self, run: Run, recipe: GenerateRecipe | DataRecipe, wanted: "pa.Schema"):
        self.run, self.recipe = run, recipe
        self.writer = DataWriter(run.path / "data", wanted)
        self.domains: Counter[str] = Counter()
        self.languages: Counter[str] = Counter()

    @property
    def rows(self) -> int:
        return self.writer.rows

    def add(self, rows: list[Row]) -> None:
        """Write and count rows."""
        self.writer.add(rows)
        for row in rows:
            self.domains[str(row.get("domain") or "")] += 1
            language = row.get("target_language") or row.get("language")
            if isinstance(language, str) and (code := language_code(language)):
                self.languages[code] += 1

    def finish(self, reports: dict[str, Any], made_by: dict[str, Any]) -> None:
        """Write the card, put the folder in its place, and send it where the recipe says."""
        card = self.recipe.card
        facts = {
            "stage": self.run.info.get("stage", "generate"),
            "version": __version__,
            "date": datetime.now(UTC).date().isoformat(),
            "rows": self.rows,
            "columns": self.writer.schema.names,
            "domains": self.domains,
            "languages": self.languages,
            "sources": [_source(s.model_dump(exclude_defaults=True)) for s in self.recipe.data.train],
            "made_by": made_by,
            "reports": reports,
        }
        write_file(self.run.path / "README.md", data_card(card, facts))
        self.writer.finish()
        if card.push_to_hub:
            address = push_data(self.run.path, card)
            self.run.update(pushed=address)
            print(f"sent to {address}", file=sys.stderr)


def _source(values: dict[str, Any]) -> str:
    path = values.pop("path")
    return path + (f" ({', '.join(f'{k}: {v}' for k, v in values.items())})" if values else "")
