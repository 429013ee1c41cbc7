"""Read one source of a recipe: rows that are stored somewhere (`stored`) or generated (`generated`).

    read_source(SourceConfig(path="openai/gsm8k", name="main", rows=1000))

Whatever the source, its columns come out as `r1kit.rows` describes them. No step holds all rows in memory: `datasets`
maps them from disk, and every change goes through them in batches.
"""

from typing import TYPE_CHECKING

from r1kit.data.adapters import adapt_columns
from r1kit.data.row_tables import compute_columns
from r1kit.data.sources.column_types import settle_types, to_text
from r1kit.data.sources.conditions import filter_by_values
from r1kit.data.sources.generated import generate_rows, is_generated_source
from r1kit.data.sources.stored import read_stored
from r1kit.errors import UserError, suggest
from r1kit.messages import logger
from r1kit.recipe import SourceConfig
from r1kit.rows import CHECKERS, Row

if TYPE_CHECKING:
    from datasets import Dataset


def read_source(source: SourceConfig, field: str = "data.train.0", draw: bool = True) -> "Dataset":
    """Return the rows of `source` in r1kit's columns.

    `field` is the recipe's field that names the source, for errors. With `draw=False`, `source.rows` is ignored for a
    stored source: the caller draws rows by the sources' shares. Raises UserError if the source cannot be read.
    """
    if is_generated_source(source.path):
        return finish_rows(_read_generated(source, field), source, field)
    return finish_rows(adapt_stored(read_stored(source, field), source, field), source, field, draw)


def finish_rows(dataset: "Dataset", source: SourceConfig, field: str, draw: bool = True) -> "Dataset":
    """Return adapted rows as the source's other fields have them: drawn, renamed, with the same values in all rows."""
    if draw and source.rows and source.rows < len(dataset):
        dataset = dataset.shuffle(seed=source.seed).select(range(source.rows))
    dataset = _rename_columns(dataset, source, field)
    dataset = _fill_values(dataset, source)
    dataset = settle_types(dataset, source, field)
    if len(dataset) == 0:
        raise UserError(f"{field}.path", source.path, "has no rows", "give a source with at least one")
    return dataset


def _read_generated(source: SourceConfig, field: str) -> "Dataset":
    import datasets

    rows = [_with_text_tests(row) for row in generate_rows(source, field)]
    return filter_by_values(datasets.Dataset.from_list(rows), source.where, field)


def _with_text_tests(row: Row) -> Row:
    """Return `row` with its tests as JSON: the arguments of two tests may be of types that Arrow cannot mix."""
    tests = row.get("tests")
    return row if tests is None else {**row, "tests": to_text(tests)}


def adapt_stored(stored: "Dataset", source: SourceConfig, field: str) -> "Dataset":
    """Return the rows of a stored source that its conditions take, in r1kit's columns."""
    if source.settings:
        raise UserError(
            f"{field}.settings", source.settings, "only generated sources have settings", "remove the settings"
        )
    stored = _name_checker(stored, field)
    # A condition on a column of the source is checked before an adapter removes that column; one on a column that only
    # the adapter makes, after it.
    conditions_before = {name: values for name, values in source.where.items() if name in stored.column_names}
    conditions_after = {name: values for name, values in source.where.items() if name not in conditions_before}
    adapted = adapt_columns(filter_by_values(stored, conditions_before, field), source, field)
    return filter_by_values(adapted, conditions_after, field)


def _name_checker(dataset: "Dataset", field: str) -> "Dataset":
    """Rename a column `verifier` that names checkers to `checker`, as some data sets call it."""
    if "verifier" not in dataset.column_names or "checker" in dataset.column_names:
        return dataset
    if getattr(dataset.features["verifier"], "dtype", None) not in ("string", "large_string"):
        return dataset
    names = set(dataset.unique("verifier"))
    if not names - {None} or not names <= {None, *CHECKERS}:
        return dataset
    logger.info(f"{field}: the column verifier names how answers are judged, and is read as checker")
    return dataset.rename_column("verifier", "checker")


def _rename_columns(dataset: "Dataset", source: SourceConfig, field: str) -> "Dataset":
    """Rename columns as `source.columns` says (new name: old name); the renamed column replaces one of the new name."""
    for new_name, old_name in source.columns.items():
        if new_name != old_name and new_name in dataset.column_names and old_name in dataset.column_names:
            dataset = dataset.remove_columns(new_name)
        if old_name not in dataset.column_names:
            action = suggest(old_name, dataset.column_names)
            raise UserError(f"{field}.columns.{new_name}", old_name, "no such column", action)
        dataset = dataset.rename_column(old_name, new_name)
    return dataset


def _fill_values(dataset: "Dataset", source: SourceConfig) -> "Dataset":
    """Give every row the values of `source.values`, whatever it had in these columns."""
    if not source.values:
        return dataset
    order = [name for name in dataset.column_names if name not in source.values]
    with_values = compute_columns(dataset, lambda rows, start: [dict(source.values) for _ in rows])
    return with_values.select_columns([*order, *source.values])
