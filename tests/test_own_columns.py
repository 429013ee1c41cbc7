"""A user's own columns stay in the rows that `r1kit data` writes and in the samples that `r1kit generate` makes."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import r1kit

from r1kit.data.exact_json import parse_json
from r1kit.data.sources import read_source
from r1kit.data.writing.parquet import (
    decode_json_columns,
    merge_schemas,
    rows_schema,
    to_arrow_table,
    write_parquet,
    written_schema,
)
from r1kit.recipe import SourceConfig

OWN = {"my_tag": "x", "year": 2024, "extra": [1, "s"], "nested": {"a": 0.1}}


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def read_data(run):
    dataset = read_source(SourceConfig(path=str(run)))
    return [dataset[i] for i in range(len(dataset))]


def test_data_keeps_them_and_a_column_question(here):
    row = {"prompt": "What is 3 + 4?", "answer": "7", "question": {"of": "my own"}, **OWN}
    r1kit("data", "--dataset", write_jsonl(here / "rows.jsonl", [row]), "output=run")
    [written] = read_data(here / "run")
    assert {**row, **OWN}.items() <= written.items()


def test_data_keeps_them_beside_what_an_adapter_reads(here):
    row = {"question": "What is 3 + 4?", "answer": "It is 7.\n#### 7", **OWN}
    r1kit("data", "--dataset", write_jsonl(here / "rows.jsonl", [row]), "output=run")
    [written] = read_data(here / "run")
    assert OWN.items() <= written.items()
    assert written["answer"] == "7"


def test_data_keeps_messages_of_every_form(here):
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 3}}}
    conversations = [
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "reasoning_content": "c"}],
        [{"role": "human", "content": "d"}, {"role": "gpt", "content": [{"type": "text", "text": "e"}]}],
        [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "3 + 4?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "7"},
            {"role": "assistant", "content": "7"},
        ],
    ]
    rows = [{"messages": messages, "tools": '[{"type": "function"}]'} for messages in conversations]
    r1kit("data", "--dataset", write_jsonl(here / "rows.jsonl", rows), "output=run", "shuffle=false")
    written = read_data(here / "run")
    assert written[0]["messages"] == conversations[0]
    assert written[1]["messages"] == [{"role": "user", "content": "d"}, {"role": "assistant", "content": "e"}]
    assert written[2]["messages"][0] == {"role": "system", "content": "Be brief."}
    assert written[2]["messages"][2] == {"role": "assistant", "content": "", "tool_calls": [call]}
    assert written[0]["tools"] == '[{"type": "function"}]'


def test_a_conversation_that_cannot_be_read_is_refused_by_its_row(here):
    rows = [{"messages": [{"role": "user", "content": "a"}, {"role": "narrator", "content": "b"}]}]
    path = write_jsonl(here / "rows.jsonl", rows)
    _, err = r1kit("data", "--dataset", path, "output=run", code=2)
    assert 'those of row 1 are not: the role "narrator" is not known' in err


def test_samples_keep_them(here):
    rows = [{"question": f"What is {n} + 4?", "answer": f"#### {n + 4}", **OWN, "n": n} for n in range(2)]
    recipe = {
        "model": {"path": "tiny:base"},
        "data": {"train": write_jsonl(here / "rows.jsonl", rows)},
        "prompt": {"template": "tiny"},
        "sampling": {"max_tokens": 4, "samples": 2},
        "rewards": [{"name": "accuracy"}],
        "output": "run",
    }
    (here / "generate.yaml").write_text(json.dumps(recipe))
    r1kit("generate", "generate.yaml", code=2)  # no sample is right
    [file] = (here / "run" / "samples").rglob("*.parquet")
    samples = pq.read_table(file).to_pylist()
    assert sorted(sample["n"] for sample in samples) == [0, 0, 1, 1]
    assert {(sample["my_tag"], sample["year"]) for sample in samples} == {("x", 2024)}
    assert parse_json(samples[0]["extra"]) == [1, "s"]


KEEP_ALL = {"correct": False, "finished": False, "format": False, "language": 0}


def test_generated_rows_keep_them_with_pass_rate_and_parsed_answer(here):
    rows = []
    for n in range(4):
        # Each problem is a shard of its own: the first has no `score`, and whole numbers and fractions follow.
        score = [None, 1, 0.5, 2][n]
        own = {"license": "MIT", "url": f"https://example.org/{n}", "level": n, "source": "mine", "score": score}
        rows.append({"question": f"What is {n} + 4?", "answer": n + 4, **own})
    recipe = {
        "model": {"path": "tiny:base"},
        "data": {"train": write_jsonl(here / "rows.jsonl", rows)},
        "prompt": {"template": "tiny"},
        "sampling": {"max_tokens": 48, "samples": 4, "batch_size": 4, "temperature": 1.0},
        "rewards": [{"name": "accuracy"}],
        "keep": KEEP_ALL,
        "output": "run",
    }
    (here / "generate.yaml").write_text(json.dumps(recipe))
    r1kit("generate", "generate.yaml")
    written = pq.read_table(here / "run" / "data").to_pylist()
    assert len(written) == 16
    by_question = {row["question"]: row for row in rows}
    for sample in written:
        row = by_question[sample["prompt"]]
        own = {name: sample[name] for name in ("license", "url", "level", "source", "score")}
        assert own == {name: row[name] for name in own}
        verdicts = [other["correct"] for other in written if other["id"] == sample["id"]]
        assert sample["pass_rate"] == sum(verdicts) / 4
        if sample["answer_form"] == "none":
            assert sample["parsed_answer"] is None
        else:
            assert sample["parsed_answer"] in sample["completion"]
            assert sample["correct"] == (sample["parsed_answer"].strip() == sample["answer"])
    assert 0 < sum(sample["pass_rate"] for sample in written) < 16

    r1kit("generate", "generate.yaml", "keep.correct=true")
    examples = json.loads((here / "run/drops.json").read_text())["examples"]["incorrect"]
    wrong = {(sample["completion"], sample["answer"], sample["parsed_answer"]) for sample in written}
    assert {(row["completion"], row["answer"], row["parsed_answer"]) for row in examples} <= wrong


def test_columns_that_name_a_known_set_stay(here):
    rows = [{"problem": "What is 3 + 4?", "answer": 7, "url": "u", "year": 2024, "license": "MIT"}]
    r1kit("data", "--dataset", write_jsonl(here / "rows.jsonl", rows), "output=run")
    [written] = read_data(here / "run")
    assert (written["url"], written["year"], written["license"], written["answer"]) == ("u", 2024, "MIT", "7")


def test_data_prints_no_table_of_samples_where_nothing_is_sampled(here):
    rows = [{"prompt": f"{n} + 1?", "completion": f"<answer> {n} </answer>", "answer": n + 1} for n in range(4)]
    path = write_jsonl(here / "rows.jsonl", rows)
    _, err = r1kit("data", "--dataset", path, "output=run")
    assert "filter" not in err
    assert "sampled" not in (here / "run/README.md").read_text() + (here / "run/drops.json").read_text()
    filters = ["rewards=[{name: accuracy}]", "keep.correct=true"]
    _, err = r1kit("data", "--dataset", path, "output=run2", *filters, code=2)
    drops = json.loads((here / "run2/drops.json").read_text())
    assert (drops["rows"], drops["dropped"]["incorrect"]) == (4, 4)
    example = drops["examples"]["incorrect"][0]
    assert int(example["answer"]) == int(example["parsed_answer"]) + 1


def test_columns_of_several_shapes_have_one_type_in_all_files(here):
    plain = [{"role": "user", "content": "a"}]
    tools = [{"role": "tool", "content": "7", "tool_call_id": "c"}]
    shards = [
        [{"id": "1", "prompt": plain, "mine": 1}, {"id": "2", "prompt": plain, "mine": None}],
        [{"id": "3", "prompt": tools, "mine": "x"}, {"id": "4", "prompt": plain, "mine": [1, "s"]}],
    ]
    schemas = [rows_schema(rows) for rows in shards]
    schema = merge_schemas(schemas)
    assert [field.name for field in schema] == ["id", "prompt", "mine"]
    for number, rows in enumerate(shards):
        write_parquet(rows, here / f"{number}.parquet")
        table = pq.read_table(here / f"{number}.parquet")
        read = decode_json_columns(table.to_pylist(), table.schema)
        assert [row["prompt"] for row in read] == [row["prompt"] for row in rows]


def test_messages_of_text_are_written_so_that_any_reader_sees_them(here):
    question, answer = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
    rows = [
        {"messages": [question, {**answer, "reasoning_content": "t"}]},
        {"messages": [question, answer]},
    ]
    (here / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    dataset = read_source(SourceConfig(path="rows.jsonl"))
    written = to_arrow_table(list(dataset), written_schema(dataset))
    assert written.column("messages").type == pa.list_(
        pa.struct([("role", pa.string()), ("content", pa.string()), ("reasoning_content", pa.string())])
    )
    assert written.column("messages")[1].as_py()[1] == {**answer, "reasoning_content": None}
    assert decode_json_columns(written.to_pylist(), written.schema) == rows
    assert rows_schema(rows).field("messages").type == written.schema.field("messages").type


@pytest.mark.parametrize("content", [[{"type": "text", "text": "b"}], {"a": 1}])
def test_messages_with_anything_but_text_are_written_as_json(content):
    rows = [{"messages": [{"role": "user", "content": content}]}, {"messages": [{"role": "user", "content": "b"}]}]
    assert rows_schema(rows).field("messages").type == pa.json_()


def test_messages_in_one_file_and_text_in_another_are_json():
    shards = [[{"prompt": [{"role": "user", "content": "a"}]}], [{"prompt": "a"}]]
    assert merge_schemas([rows_schema(rows) for rows in shards]).field("prompt").type == pa.json_()
