"""Every place that names the columns of a row takes them from r1kit.rows."""

from pathlib import Path

import pyarrow as pa
import pytest

from r1kit.completions import SampledCompletion
from r1kit.data.adapters import ADAPTERS
from r1kit.data.writing.parquet import arrow_type, rows_schema
from r1kit.recipe import ModelConfig
from r1kit.report.rollouts import rollout_rewards
from r1kit.rows import (
    ADAPTED_COLUMNS,
    CARRIED_COLUMNS,
    COLUMNS,
    COLUMNS_BESIDE_REWARDS,
    COLUMNS_KEPT_BY_ADAPTERS,
    EXAMPLE,
    PROBLEM,
    ROLLOUT,
    SAMPLE,
    STORED_COLUMNS,
    column_reference,
    columns_of,
)
from r1kit.sampling.scoring import score_samples
from r1kit.training.rollouts import rollout_rows

# Only a teacher's rewriting adds these to a sampled row.
REWRITING_COLUMNS = {"teacher", "original", "held", "teacher_prompt_tokens", "teacher_tokens"}
# `generate` adds it to the rows that it writes, when all samples of a problem are there.
GROUP_COLUMNS = {"pass_rate"}


def accuracy(completions, **columns):
    """A reward that finds every completion right."""
    return [1.0] * len(completions)


def sampled_row():
    """Return the row that the sampler makes of one completion of a problem with every column."""
    problem = dict.fromkeys(columns_of(PROBLEM), "x") | {"thinking": True, "language": "en"}
    unit = {name: [value] for name, value in problem.items()}
    groups = [[SampledCompletion("<think>a</think><answer>x</answer>", tokens=3, finish_reason="stop")]]
    return score_samples(unit, ["x"], groups, [accuracy], ModelConfig(path="m"), seed=0)[0]


def test_the_sampler_fills_every_column_of_a_sample():
    assert set(sampled_row()) == {*columns_of(SAMPLE), "accuracy"} - REWRITING_COLUMNS - GROUP_COLUMNS


def test_a_problem_s_columns_are_carried_into_its_samples():
    assert CARRIED_COLUMNS == ("answer", "tests", "checker", "metadata", "source", "level")
    row = sampled_row()
    assert all(row[name] == "x" for name in CARRIED_COLUMNS)


def test_a_rollout_of_a_training_has_described_columns_and_rewards_only():
    logs = {
        "prompt": ["p", "p"],
        "completion": ["a", "b"],
        "extra": {name: ["x", "x"] for name in ("id", "domain", "answer", "checker", "question")},
        "rewards": {"accuracy": [1.0, 0.0]},
        "advantages": [1.0, -1.0],
    }
    row = rollout_rows(logs, row_count=2, group_size=2, step=1, reward_weights={"accuracy": 1.0})[0]
    trainer_columns = {"tokens", "finish_reason", "turns"}  # the first two the trainer adds, the last with tools alone
    assert {*row, *trainer_columns} == {*columns_of(ROLLOUT), "accuracy"}


def test_the_report_takes_for_rewards_what_is_no_described_column():
    row = dict.fromkeys(COLUMNS_BESIDE_REWARDS, 1) | {"accuracy": 1.0, "language": 0.5, "note": "text"}
    assert rollout_rewards(row) == {"accuracy": 1.0, "language": 0.5}


def test_stored_columns_have_their_described_types_in_their_described_order():
    values = {"string": "x", "bool": True, "int64": 1, "float64": 0.5, "text or number": "x"}
    values["messages"] = [{"role": "user", "content": "x"}]
    row = {name: values[COLUMNS[name].type] for name in reversed(STORED_COLUMNS)} | {"accuracy": 1}
    schema = rows_schema([row], ["accuracy"])
    assert schema.names == [*STORED_COLUMNS, "accuracy"]
    for name in STORED_COLUMNS:
        assert schema.field(name).type == arrow_type(COLUMNS[name].type)
    assert schema.field("accuracy").type == pa.float64()


def test_a_described_column_of_nulls_alone_has_its_described_type():
    schema = rows_schema([{"step": None, "advantage": None, "note": None}])
    assert schema == pa.schema([("step", pa.int64()), ("advantage", pa.float64()), ("note", pa.null())])


@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_adapters_fill_text_columns_of_problems_and_examples(name):
    names = {*ADAPTED_COLUMNS, *(COLUMNS_KEPT_BY_ADAPTERS if ADAPTERS[name].general else ())}
    assert names <= {*columns_of(PROBLEM, EXAMPLE), "target_language"}
    assert {COLUMNS[column].type for column in ADAPTED_COLUMNS} == {"string", "text or number"}


def test_the_reference_has_the_table_of_columns():
    reference = Path(__file__).parent.parent / "docs/reference/rows.md"
    assert column_reference() in reference.read_text()
