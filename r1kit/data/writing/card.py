"""TODO."""

import json
from typing import Any

from r1kit.recipe import CardConfig

SIZE_CATEGORIES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
)  # the hub's names


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
    front["size_categories"] = [next((name for top, name in SIZE_CATEGORIES if rows < top), "n>1M")]
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
