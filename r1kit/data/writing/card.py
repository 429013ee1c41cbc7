"""The data card: the README.md beside a data set, with front matter that the hub reads."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from r1kit.data.filters import DropReport
from r1kit.recipe import CardConfig

# The hub's names for sizes: the number of rows that a data set of that size has fewer than.
SIZE_CATEGORIES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
LARGEST_SIZE_CATEGORY = "n>1M"
MAX_CELL_CHARACTERS = 300


@dataclass(frozen=True)
class DataFacts:
    """What a data card says of a data set, beside what the recipe's `card` block says."""

    stage: str
    version: str
    date: str
    row_count: int
    columns: Sequence[str]
    domain_counts: Mapping[str, int]
    language_counts: Mapping[str, int]
    sources: Sequence[str]
    generated_by: Mapping[str, Any]
    """The model, its sampling settings and the teacher, by name; empty for data that was not sampled."""
    drop_reports: Mapping[str, DropReport]
    """By title. Each has `dropped`, `kept`, and `rows` or `sampled`."""


def data_card(card: CardConfig, facts: DataFacts) -> str:
    """Return the README.md of a data set: front matter, sources, counts, what was dropped, columns."""
    sections = [
        f"---\n{_front_matter(card, facts)}\n---",
        "# Data card",
        card.about,
        f"{facts.row_count} rows, made by `r1kit {facts.stage}` {facts.version} on {facts.date}.",
        _facts_table(card, facts),
        *(_drop_section(title, report) for title, report in facts.drop_reports.items()),
        "## Columns",
        ", ".join(f"`{column}`" for column in facts.columns),
        '```python\nfrom datasets import load_dataset\nload_dataset("PATH", split="train")\n```',
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _front_matter(card: CardConfig, facts: DataFacts) -> str:
    """Return the YAML by which the hub finds, filters and previews a data set."""
    from huggingface_hub import DatasetCardData

    data_files = [{"split": "train", "path": "data/train-*.parquet"}]
    front_matter = DatasetCardData(
        license=card.license,
        language=card.language or sorted(facts.language_counts) or None,
        tags=["r1kit", "reasoning", *card.tags],
        size_categories=[_size_category(facts.row_count)],
        configs=[{"config_name": "default", "data_files": data_files}],
    )
    return front_matter.to_yaml()


def _size_category(row_count: int) -> str:
    for limit, name in SIZE_CATEGORIES:
        if row_count < limit:
            return name
    return LARGEST_SIZE_CATEGORY


def _facts_table(card: CardConfig, facts: DataFacts) -> str:
    lines = ["| | |", "| --- | --- |"]
    lines += [f"| source | {_cell(source)} |" for source in facts.sources]
    lines += [f"| {name} | {_cell(value)} |" for name, value in facts.generated_by.items()]
    for title, counts in (("domain", facts.domain_counts), ("language", facts.language_counts)):
        counted = ", ".join(f"{name or '-'}: {count}" for name, count in sorted(counts.items()))
        lines.append(f"| {title} | {counted} |")
    lines.append(f"| license | {card.license or 'not specified; the licenses of the sources apply'} |")
    return "\n".join(lines)


def _drop_section(title: str, report: DropReport) -> str:
    """Return a section on how many rows there were, what each filter dropped, and how many were kept."""
    lines = ["| | rows |", "| --- | --- |"]
    lines += [f"| {name} | {report[name]} |" for name in ("rows", "sampled") if name in report]
    lines += [f"| dropped: {name} | {count} |" for name, count in report["dropped"].items()]
    lines.append(f"| kept | {report['kept']} |")
    return f"## {title}\n\n" + "\n".join(lines)


def _cell(value: Any) -> str:
    """Return a value as the text of a Markdown table's cell, on one line and not too long."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.replace("|", "\\|").replace("\n", " ")[:MAX_CELL_CHARACTERS]
