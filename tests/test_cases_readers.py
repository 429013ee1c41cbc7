"""The inputs of `shared/cases` that are about reading data, each as its README says; without them, skipped."""

import pytest
from helpers import r1kit, shared_folder

from r1kit.data.sources import read_source
from r1kit.recipe import SourceConfig


def data_of(case, file, here):
    r1kit("data", "--dataset", shared_folder("cases") / case / file, "output=run", "shuffle=false", "--overwrite")
    dataset = read_source(SourceConfig(path=str(here / "run")))
    return [dataset[i] for i in range(len(dataset))]


@pytest.mark.parametrize(
    ("case", "file", "answers"),
    [
        ("21", "rows.csv", ["NA", "None", "nan", "yes"]),
        ("22", "rows.jsonl", ["2024-01-05", "2024-02-29"]),
        ("24", "rows.jsonl", ["123456789012345678901234567890", "5"]),
        ("24", "mixed.jsonl", ["12345678901234567", "7.5"]),
        ("27", "lists.jsonl", ["7"]),
        ("27", "jsonlist.jsonl", ["7"]),
    ],
)
def test_answers_are_what_the_file_says(case, file, answers, here):
    assert [row["answer"] for row in data_of(case, file, here)] == answers


def test_texts_that_look_like_dates(here):
    [row] = data_of("22", "sft.jsonl", here)
    assert (row["prompt"], row["completion"]) == ("2024-01-05", "2024-01-06")


def test_messages_and_mixed_columns(here):
    [row] = data_of("26", "rows.jsonl", here)
    assert row["messages"][1] == {"role": "assistant", "content": "7", "reasoning_content": "three and four"}
    [row] = data_of("26", "tools.jsonl", here)
    assert row["messages"][1]["tool_calls"][0]["function"] == {"name": "add", "arguments": {"a": 3}}
    [row] = data_of("26", "extra.jsonl", here)
    assert row["extra"] == [1, "s"]


def test_code_of_verl(here):
    mathematics, code = data_of("27", "code.jsonl", here)
    assert (mathematics["answer"], mathematics["checker"]) == ("7", "math")
    assert (code["answer"], code["checker"]) == (None, "code")
    assert "stdio" in code["tests"]


def test_norwegian(here):
    folder = shared_folder("cases") / "31"
    (here / "no.jsonl").write_text((folder / "no.jsonl").read_text())
    (here / "r.yaml").write_text((folder / "r.yaml").read_text())
    r1kit("data", "r.yaml")
    assert read_source(SourceConfig(path="out-c31"))["language"][:] == ["no"]
