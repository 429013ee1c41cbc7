"""What a file says is what rows have: text as text, numbers with all digits, missing where it is missing."""

import datetime
import decimal
import gzip
import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from r1kit.data.exact_json import dump_json, parse_json
from r1kit.data.row_tables import merge_shapes, shape_of_values
from r1kit.data.sources import read_source
from r1kit.data.sources.json_files import _parse_line, _read_lines
from r1kit.errors import UserError
from r1kit.recipe import SourceConfig

LARGE = 123456789012345678901234567890
TALK = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]


@pytest.fixture(autouse=True)
def _folder(here):
    pass


def write_jsonl(rows, path="rows.jsonl"):
    with open(path, "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def read(path, **settings):
    dataset = read_source(SourceConfig(path=path, **settings))
    return [dataset[i] for i in range(len(dataset))]


def answers(values, path="rows.jsonl"):
    write_jsonl([{"prompt": f"{n}?", "answer": value} for n, value in enumerate(values)], path)
    return [row["answer"] for row in read(path)]


TEXTS = ["2024-01-05", "2024-01-05T10:00:00", "12:30", "10:00:00", "007", "1e5", "NA", "nan", "null", "TRUE", "", " 7 "]


@pytest.mark.parametrize("text", TEXTS)
def test_text_of_json_stays_as_it_is(text):
    assert answers([text, text]) == [text, text]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([LARGE, 5], [str(LARGE), "5"]),
        ([12345678901234567, 7.5], ["12345678901234567", "7.5"]),
        ([9007199254740993, 1.0, None], ["9007199254740993", "1.0", None]),
        ([-9223372036854775809], ["-9223372036854775809"]),
        ([43.0, 7], ["43.0", "7"]),
        ([43.0], ["43.0"]),
        ([True, "x"], ["true", "x"]),
        ([True, False], ["true", "false"]),
        (["7", 7, 7.5, None], ["7", "7", "7.5", None]),
        ([["7"], ["8"]], ["7", "8"]),
        ([["7", "8"]], ['["7", "8"]']),
        ([["7"], "8"], ["7", "8"]),
        ([[1, "s"]], ['[1, "s"]']),
        ([None, None], [None, None]),
    ],
)
def test_answers_are_exact(values, expected):
    assert answers(values) == expected


def test_answers_of_several_values_are_said(capsys):
    assert answers([["7"], ["7", "8"], {"a": 1}]) == ["7", '["7", "8"]', '{"a": 1}']
    assert "2 of 3 answers are lists or objects, and are compared as their JSON" in capsys.readouterr().err


def test_a_list_of_conversations_is_open_reasoner_zeros_form():
    turns = [{"from": "human", "value": "3 + 4?"}, {"from": "assistant", "ground_truth": {"value": "7"}}]
    with open("orz.json", "w") as file:
        json.dump([turns, turns], file)
    assert [(row["prompt"], row["answer"]) for row in read("orz.json")] == [("3 + 4?", "7")] * 2


def test_a_number_with_more_digits_than_a_float_has_keeps_them():
    with open("rows.jsonl", "w") as file:
        file.write('{"prompt": "pi?", "answer": 3.14159265358979323846}\n{"prompt": "b?", "answer": 0.1}\n')
        file.write('{"prompt": "many?", "answer": ' + "9" * 5000 + "}\n")
    assert [row["answer"] for row in read("rows.jsonl")] == ["3.14159265358979323846", "0.1", "9" * 5000]


def test_a_type_that_changes_after_many_rows():
    values = [*range(12_000), "2024-01-05"]
    assert answers(values) == [*map(str, range(12_000)), "2024-01-05"]


@pytest.mark.parametrize(
    "values",
    [
        [[1, "s"], [2]],
        [{"a": 1}, {"b": 2}],
        [{"a": 1}, {"a": "s"}],
        [{"a": {"b": [1, {"c": None}]}}, {"a": None}],
        [["x"], "x"],
        [{}, {"a": 1}],
        [0.1 + 0.2, [1]],
        [LARGE, [LARGE]],
        [[[1], []], [[]]],
    ],
)
def test_columns_of_mixed_shapes_come_back_as_they_were(values):
    write_jsonl([{"prompt": f"{n}?", "answer": "1", "extra": value} for n, value in enumerate(values)])
    assert [row["extra"] for row in read("rows.jsonl")] == values


def test_numbers_of_a_users_column_stay_numbers_where_that_loses_nothing():
    write_jsonl([{"prompt": "a?", "score": 1, "count": LARGE}, {"prompt": "b?", "score": 0.5, "count": 1}])
    rows = read("rows.jsonl")
    assert [row["score"] for row in rows] == [1.0, 0.5]
    assert [row["count"] for row in rows] == [str(LARGE), "1"]


def test_keys_that_a_message_lacks_are_not_added():
    messages = [TALK[0], {**TALK[1], "reasoning_content": "hmm"}]
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 0.1 + 0.2}}}
    tools = [TALK[0], {"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "content": "7"}]
    write_jsonl([{"messages": TALK}, {"messages": messages}, {"messages": tools}])
    assert [row["messages"] for row in read("rows.jsonl")] == [TALK, messages, tools]


CSV = """prompt,answer,flag,level,score
a?,NA,TRUE,1,0.5
b?,None,False,2,1.0
c?,nan,no,3,0.25
d?,null,,4,
e?,007,x,5,2.0
f?,1e5,x,6,2.0
g?,,x,7,2.0
h?,"",x,8,2.0
i?,2024-01-05,x,9,2.0
"j, ""k""
l?",-0,x,10,2.0
"""


def test_values_of_csv_are_the_text_that_stands_there():
    with open("rows.csv", "w") as file:
        file.write(CSV)
    rows = read("rows.csv")
    expected = ["NA", "None", "nan", "null", "007", "1e5", None, "", "2024-01-05", "-0"]
    assert [row["answer"] for row in rows] == expected
    assert [row["flag"] for row in rows][:5] == ["TRUE", "False", "no", None, "x"]
    assert [row["level"] for row in rows] == list(range(1, 11))
    assert [row["score"] for row in rows][:4] == [0.5, 1.0, 0.25, None]
    assert rows[-1]["prompt"] == 'j, "k"\nl?'


@pytest.mark.parametrize(
    ("column", "is_text"), [("01", True), ("1.50", True), ("1e5", True), ("9" * 20, True), ("7", False)]
)
def test_a_column_of_csv_is_numbers_only_where_its_text_is_the_same_again(column, is_text):
    with open("rows.csv", "w") as file:
        file.write(f"prompt,answer,extra\n12,5,{column}\n13,6,{column}\n")
    [row, _] = read("rows.csv")
    assert (row["prompt"], row["answer"]) == ("12", "5")
    assert row["extra"] == (column if is_text else int(column))


def test_csv_by_windows_with_a_mark_and_compressed():
    content = "\ufeffprompt,answer\r\na?,NA\r\n".encode()
    for path, data in (("rows.csv", content), ("rows.csv.gz", gzip.compress(content))):
        with open(path, "wb") as file:
            file.write(data)
        assert read(path) == [{"prompt": "a?", "answer": "NA"}]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("prompt,answer\na?,1,2\n", "cannot be read: CSV parse error: .*Expected 2 columns, got 3"),
        ("prompt,answer\na?\n", "cannot be read: CSV parse error: .*Expected 2 columns, got 1"),
        ("prompt,prompt\na?,1\n", "has several columns of the name 'prompt'"),
        ("prompt, answer\na?, 1\n", "has a column ' answer', with white space in its name"),
        ("prompt,answer\n", "has no rows"),
    ],
)
def test_csv_that_is_malformed_is_refused(content, reason):
    with open("rows.csv", "w") as file:
        file.write(content)
    with pytest.raises(UserError, match=reason):
        read("rows.csv")


@pytest.mark.parametrize(
    "text",
    [
        '[{"prompt": "a?", "answer": "2024-01-05"}]',
        '[\n {"prompt": "a?",\n "answer": "2024-01-05"}\n]\n',
        '\ufeff[{"prompt": "a?", "answer": "2024-01-05"}]',
        '{"version": "1", "data": [{"prompt": "a?", "answer": "2024-01-05"}]}',
        '{\n"version": "1",\n"data": [{"prompt": "a?", "answer": "2024-01-05"}]}',
        '{"prompt": ["a?"], "answer": ["2024-01-05"]}',
        '{"prompt": "a?", "answer": "2024-01-05"}\r\n\r\n',
        '{\n"prompt": "a?",\n "answer": "2024-01-05"}',
    ],
)
def test_forms_of_a_json_file(text):
    with open("rows.json", "wb") as file:
        file.write(text.encode())
    with gzip.open("rows.json.gz", "wb") as file:
        file.write(text.encode())
    for path in ("rows.json", "rows.json.gz"):
        assert read(path) == [{"prompt": "a?", "answer": "2024-01-05"}]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1, 2]", "must be a list of JSON objects, but entry 0 is none"),
        ("[{]", r"rows.json:1; must be JSON"),
        ("7", "must be a JSON object"),
        ("{", "must be JSON"),
        ('{"a": 1}\n{"a": ' + "[" * 100_000 + "\n", "nested at most 200 levels deep"),
    ],
)
def test_json_without_rows_is_refused(text, reason):
    with open("rows.json", "w") as file:
        file.write(text)
    with pytest.raises(UserError, match=reason):
        read("rows.json")


def test_shards_of_which_some_are_empty_or_of_other_types(here):
    (here / "set").mkdir()
    for name, rows in (
        ("a", []),
        ("b", [{"prompt": "a?", "answer": 7}]),
        ("c", [{"prompt": "b?", "answer": "2024-01-05"}]),
    ):
        write_jsonl(rows, f"set/{name}.jsonl")
    assert [row["answer"] for row in read("set")] == ["7", "2024-01-05"]


def test_parquet_shards_of_which_some_are_empty_or_of_other_types(here):
    (here / "set").mkdir()
    tables = [
        pa.table({"prompt": pa.array([], pa.string()), "answer": pa.array([], pa.null())}),
        pa.table({"prompt": ["a?"], "answer": [7]}),
        pa.table({"prompt": pa.array(["b?"], pa.large_string()), "answer": ["x"], "extra": [[1]]}),
        pa.table({"prompt": ["c?"], "answer": pa.array([None], pa.null()), "extra": [["s"]]}),
    ]
    for number, table in enumerate(tables):
        pq.write_table(table, f"set/{number}.parquet")
    rows = read("set")
    assert [row["answer"] for row in rows] == ["7", "x", None]
    assert [row["extra"] for row in rows] == [None, [1], ["s"]]


def test_types_of_parquet():
    message_type = pa.struct([("role", pa.large_string()), ("content", pa.string())])
    table = pa.table(
        {
            "prompt": pa.array(["a?"], pa.large_string()),
            "answer": pa.array([datetime.date(2024, 1, 5)]),
            "when": pa.array([datetime.datetime(2024, 1, 5, 10)]),
            "price": pa.array([decimal.Decimal("7.50")]),
            "messages": pa.array([TALK], pa.large_list(message_type)),
            "kind": pa.array(["x"]).dictionary_encode(),
        }
    )
    pq.write_table(table, "rows.parquet")
    [row] = read("rows.parquet")
    assert row["answer"] == "2024-01-05"
    assert row["messages"] == TALK
    assert row["kind"] == "x"
    pq.write_table(table.set_column(1, "answer", table.column("price")), "rows.parquet")
    assert read("rows.parquet")[0]["answer"] == "7.50"


def test_the_name_of_a_class_is_the_answer():
    import datasets

    features = datasets.Features(
        {"prompt": datasets.Value("string"), "answer": datasets.ClassLabel(names=["no", "yes"])}
    )
    datasets.Dataset.from_dict({"prompt": ["a?"], "answer": [1]}, features=features).save_to_disk("saved")
    assert read("saved")[0]["answer"] == "yes"


def test_conditions_on_text_and_on_numbers():
    with open("rows.csv", "w") as file:
        file.write("prompt,answer,level,year,flag\na?,1,01,2024,TRUE\nb?,2,02,2025,FALSE\n")
    assert [row["answer"] for row in read("rows.csv", where={"level": ["02"]})] == ["2"]
    assert [row["answer"] for row in read("rows.csv", where={"year": ["2025"]})] == ["2"]
    assert [row["answer"] for row in read("rows.csv", where={"flag": [True]})] == ["1"]


@pytest.mark.parametrize(("name", "value"), [("split", "test"), ("name", "main"), ("revision", "v1")])
def test_fields_that_mean_nothing_for_one_file_are_refused(name, value):
    write_jsonl([{"prompt": "a?", "answer": "1"}])
    with pytest.raises(UserError, match=rf"data.train.0.{name} = {value}; .*remove it"):
        read("rows.jsonl", **{name: value})


def test_values_of_a_recipe_may_be_of_any_type():
    write_jsonl([{"prompt": "a?", "answer": "1"}])
    [row] = read("rows.jsonl", values={"answer": "2024-01-05", "tags": [1, "s"], "domain": "math"})
    assert row == {"prompt": "a?", "answer": "2024-01-05", "tags": [1, "s"], "domain": "math"}


def test_streams_keep_values_too():
    write_jsonl([{"prompt": f"{n}?", "answer": "2024-01-05", "extra": [n, "s"], "n": n % 2} for n in range(50)])
    rows = read("rows.jsonl", stream=True, rows=10, where={"n": [1]})
    assert len(rows) == 10
    assert {row["answer"] for row in rows} == {"2024-01-05"}
    assert all(row["extra"] == [int(row["prompt"][:-1]), "s"] for row in rows)


def test_json_of_every_value():
    for value in (None, "7", 7, 0.1 + 0.2, LARGE, [LARGE, decimal.Decimal("3.14159265358979323846")], {"a": "</x>é"}):
        assert parse_json(dump_json(value)) == value


def test_shapes():
    assert shape_of_values([None, "a"]) == "string"
    assert shape_of_values([1, None]) == "int64"
    assert shape_of_values([1, 1.5]) == shape_of_values([True, 1]) == shape_of_values([LARGE]) == "mixed"
    assert shape_of_values([[1], [None, 2], []]) == ("list", "int64")
    assert merge_shapes(("struct", {"a": "null"}), ("struct", {"a": "string"})) == ("struct", {"a": "string"})
    assert merge_shapes(("struct", {"a": "string"}), ("struct", {})) == "mixed"


def test_files_of_the_hub_are_read_as_local_ones_are(here):
    from r1kit.data.sources.stored import _read_hub

    (here / "org" / "rows").mkdir(parents=True)
    (here / "org" / "table").mkdir()
    write_jsonl([{"prompt": "a?", "answer": "2024-01-05"}], "org/rows/train.jsonl")
    write_jsonl([{"prompt": "b?", "answer": "2024-01-06"}], "org/rows/test.jsonl")
    (here / "org" / "table" / "train.csv").write_text("prompt,answer\na?,NA\n")
    for stream in (False, True):  # `datasets` finds a folder under the name of a data set, too
        settings = {"stream": stream, "rows": 1}
        assert _read_hub(SourceConfig(path="org/rows", **settings), "data.train.0")["answer"][:] == ["2024-01-05"]
        test = SourceConfig(path="org/rows", split="test", **settings)
        assert _read_hub(test, "data.train.0")["answer"][:] == ["2024-01-06"]
        assert _read_hub(SourceConfig(path="org/table", **settings), "data.train.0")["answer"][:] == ["NA"]
    with pytest.raises(UserError, match="split = dev; org/rows has only test, train"):
        _read_hub(SourceConfig(path="org/rows", split="dev"), "data.train.0")


# A row's checker


def test_a_column_verifier_that_names_checkers_is_read_as_checker(capsys):
    write_jsonl([{"prompt": "Which day?", "answer": "2024-01-05", "verifier": "exact"}])
    assert [row["checker"] for row in read("rows.jsonl")] == ["exact"]
    assert "the column verifier names how answers are judged, and is read as checker" in capsys.readouterr().err


@pytest.mark.parametrize("values", [["anna", "exact"], [{"a": 1}, "exact"], [None, None], [1, 2]])
def test_another_column_verifier_stays_the_users_own(values):
    write_jsonl([{"prompt": "1 + 1?", "answer": "2", "verifier": value} for value in values])
    assert [row["verifier"] for row in read("rows.jsonl")] == values


LINES = [
    b'{"a": 1}',
    b' {"a": 1}\t\r',
    b'{"a": 1} x',
    b'{"a": 1}{"b": 2}',
    b"[1]",
    b"7",
    b"",
    b"  ",
    b'\xef\xbb\xbf{"a": 1}',
    b'{"a": 1e999, "b": NaN}',
    b'{"a": ' + b"9" * 5000 + b"}",
    b'{"a": 0.12345678901234567890, "b": 123456789012345678901234567890}',
    b'{"a": "\\ud83d\\ude00"}',
    b'{"a": "\\ud83d"}',
    b'{"a": tru}',
    '{"a": "x\u2028y"}'.encode(),
    '{"a": 1}\u00a0'.encode(),
    b'{"a": "\xff"}',
    b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
]


def test_lines_that_are_read_in_blocks_are_what_each_is_by_itself(tmp_path):
    """A block of lines gives the same rows and the same complaints as a close look at each line."""
    chooser = random.Random(0)
    file = tmp_path / "rows.jsonl"
    for _ in range(100):
        lines = chooser.choices(LINES, k=5)
        expected = []
        for number, line in enumerate(lines, 1):
            if line.strip(b" \t\r\n\xef\xbb\xbf"):
                expected.append((number, *_parse_line(line)))
        file.write_bytes(b"\n".join(lines) + chooser.choice([b"", b"\n"]))
        assert repr(list(_read_lines(file))) == repr(expected)
