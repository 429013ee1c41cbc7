import json
import signal

import pytest

from r1kit.data.examples import load_examples
from r1kit.data.problems import load_problems
from r1kit.data.questions import render_prompt, stable_row_id
from r1kit.data.sources import read_source
from r1kit.errors import UserError
from r1kit.recipe import PromptConfig, SourceConfig

datasets = pytest.importorskip("datasets")

ASK = PromptConfig(template="Q {prompt} A")
CHAT = PromptConfig(template="chat")
ROWS = [{"prompt": f"{n} + 1?", "answer": str(n + 1)} for n in range(6)]
TALK = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(here):
    datasets.disable_progress_bars()


def write(name, rows):
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    with open(name, "w") as file:
        file.write(text)
    return name


def source(name="rows.jsonl", rows=ROWS, **settings):
    return SourceConfig(path=write(name, rows), **settings)


def refused(call, *args):
    """The line that a user is told."""
    with pytest.raises(UserError) as caught:
        call(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Files


def test_every_kind_of_file_gives_the_same_rows():
    stored = datasets.Dataset.from_list(ROWS)
    write("a.jsonl", ROWS)
    with open("a.json", "w") as file:
        json.dump(ROWS, file)
    stored.to_csv("a.csv")
    stored.to_parquet("a.parquet")
    stored.save_to_disk("saved")
    for path in ("a.jsonl", "a.json", "a.csv", "a.parquet", "saved", "saved/data-00000-of-00001.arrow"):
        rows = read_source(SourceConfig(path=path)).to_list()
        assert [row["prompt"] for row in rows] == [row["prompt"] for row in ROWS], path
        assert [int(row["answer"]) for row in rows] == [1, 2, 3, 4, 5, 6], path


def test_a_folder_gives_all_of_its_files(here):
    (here / "folder" / "deep").mkdir(parents=True)
    write("folder/a.jsonl", ROWS[:2])
    write("folder/deep/b.jsonl", ROWS[2:])
    (here / "folder" / "README.md").write_text("about")
    assert sorted(read_source(SourceConfig(path="folder"))["prompt"]) == [row["prompt"] for row in ROWS]


def test_a_folder_with_files_of_two_splits_gives_the_one_asked_for(here):
    (here / "folder").mkdir()
    write("folder/train.jsonl", ROWS[:4])
    write("folder/test.jsonl", ROWS[4:])
    assert len(read_source(SourceConfig(path="folder"))) == 4
    assert len(read_source(SourceConfig(path="folder", split="test"))) == 2


def test_a_dict_of_splits_saved_to_disk_gives_the_one_asked_for():
    splits = {"train": datasets.Dataset.from_list(ROWS[:4]), "test": datasets.Dataset.from_list(ROWS[4:])}
    datasets.DatasetDict(splits).save_to_disk("saved")
    assert len(read_source(SourceConfig(path="saved"))) == 4
    assert len(read_source(SourceConfig(path="saved", split="test"))) == 2


def test_a_run_gives_its_data(here):
    (here / "run" / "data").mkdir(parents=True)
    (here / "run" / "run.json").write_text('{"stage": "data", "status": "finished"}')
    datasets.Dataset.from_list(ROWS).to_parquet("run/data/train-00000.parquet")
    assert len(read_source(SourceConfig(path="run"))) == 6


@pytest.mark.parametrize(
    ("name", "content", "must"),
    [
        ("none.jsonl", None, "must be a file, a folder, a run or a hub id"),
        ("empty.jsonl", "", "is empty"),
        ("head.csv", "prompt,answer\n", ""),
        ("broken.parquet", "PAR", "cannot be read"),
        ("folder/notes.txt", "no rows", "holds no .json"),
        ("rows.xlsx", "PK", "must be a file of one of the formats .json, "),
    ],
)
def test_a_source_without_rows_is_refused(here, name, content, must):
    if content is not None:
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).write_text(content)
    path = name.split("/")[0]
    assert refused(read_source, SourceConfig(path=path), "data.eval.3").startswith(f"data.eval.3.path = {path}; {must}")


def test_a_hub_id_without_network_is_refused():
    assert refused(read_source, SourceConfig(path="nobody/nothing")).startswith(
        "data.train.0.path = nobody/nothing; cannot be read"
    )


def test_the_world_is_a_source():
    rows = read_source(SourceConfig(path="world:code", rows=3, split="test", seed=5))
    assert len(rows) == 3
    assert [len(json.loads(tests)) for tests in rows["tests"]] == [3, 3, 3]
    assert read_source(SourceConfig(path="world:text", rows=5)).column_names == ["text"]
    line = refused(read_source, SourceConfig(path="world:fact"))
    assert line == "data.train.0.path = world:fact; no such domain of the world; did you mean facts?"


def test_a_split_that_the_world_does_not_have_is_refused():
    def stuck(*_):
        raise TimeoutError("still drawing questions")

    before = signal.signal(signal.SIGALRM, stuck)
    signal.alarm(5)
    try:
        assert refused(read_source, SourceConfig(path="world:facts", rows=3, split="validation")).startswith(
            "data.train.0.split = validation; "
        )
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# Columns and rows


def test_columns_are_renamed():
    rows = read_source(
        source(rows=[{"question": "2 + 2?", "gold": "4"}], columns={"prompt": "question", "answer": "gold"})
    )
    assert rows.to_list() == [{"prompt": "2 + 2?", "answer": "4"}]


def test_a_renamed_column_takes_the_place_of_one_that_has_the_name():
    rows = read_source(
        source(rows=[{"prompt": "You are helpful.", "question": "2 + 2?"}], columns={"prompt": "question"})
    )
    assert rows["prompt"][:] == ["2 + 2?"]


def test_a_column_to_rename_that_is_not_there_is_refused_with_the_nearest():
    line = refused(read_source, source(columns={"answer": "anwser"}))
    assert line == "data.train.0.columns.answer = anwser; no such column; did you mean answer?"


def test_values_fill_a_column_and_win_over_one():
    rows = read_source(source(values={"domain": "math", "answer": "0", "thinking": False}))
    assert set(rows["domain"]) == {"math"}
    assert set(rows["answer"]) == {"0"}
    assert set(rows["thinking"]) == {False}


def test_rows_are_drawn_with_the_seed():
    write("rows.jsonl", [{"prompt": str(n)} for n in range(100)])
    first = read_source(SourceConfig(path="rows.jsonl", rows=10, seed=1))["prompt"][:]
    again = read_source(SourceConfig(path="rows.jsonl", rows=10, seed=1))["prompt"][:]
    other = read_source(SourceConfig(path="rows.jsonl", rows=10, seed=2))["prompt"][:]
    assert first == again != other
    assert len(set(first)) == 10
    assert first != [str(n) for n in range(10)]
    assert len(read_source(SourceConfig(path="rows.jsonl", rows=1000))) == 100


def test_tests_of_different_shapes_come_back_as_json():
    tests = [
        [{"kind": "call", "function": "f", "args": [1], "expected": True}],
        [{"kind": "stdio", "input": "1", "output": "2"}],
    ]
    rows = read_source(source(rows=[{"prompt": "a", "tests": t} for t in tests]))
    assert [json.loads(t) for t in rows["tests"]] == tests


def test_tests_whose_values_differ_in_type_keep_them():
    tests = [
        {"kind": "call", "function": "f", "args": [x], "expected": x} for x in (1, 2.5, "a", [1], None, {"k": True})
    ]
    rows = read_source(source(rows=[{"prompt": str(t), "tests": [t]} for t in tests]))
    assert [json.loads(t) for t in rows["tests"]] == [[t] for t in tests]


def test_several_sources_with_different_columns_stand_together():
    first = source("a.jsonl", [{"prompt": "a", "answer": "1", "level": 3}])
    second = source("b.jsonl", [{"prompt": "b", "tests": [{"kind": "stdio", "input": "", "output": "1"}]}])
    rows = load_problems([first, second], ASK).to_list()
    assert [(r["question"], r["answer"], r["level"]) for r in rows] == [("a", "1", 3), ("b", None, None)]
    assert rows[0]["tests"] is None
    assert json.loads(rows[1]["tests"])[0]["kind"] == "stdio"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_answers_that_are_numbers_here_and_text_there_stand_together(order):
    sources = [source("a.jsonl", [{"prompt": "a", "answer": 1}]), source("b.jsonl", [{"prompt": "b", "answer": "x+1"}])]
    rows = load_problems([sources[i] for i in order], ASK)
    assert {r["question"]: str(r["answer"]) for r in rows} == {"a": "1", "b": "x+1"}


# Problems


def test_problems_have_what_training_and_rewards_read():
    row = load_problems([source(rows=[{"prompt": "2 + 2?", "answer": "4"}])], ASK)[0]
    assert row == {
        "prompt": "Q 2 + 2? A",
        "question": "2 + 2?",
        "answer": "4",
        "domain": "",
        "thinking": True,
        "language": "en",
        "id": stable_row_id("2 + 2?", "4"),
    }


def test_what_a_source_says_itself_stays():
    given = {"prompt": "2 + 2?", "domain": "math", "thinking": False, "language": "fa", "id": "mine", "level": 3}
    row = load_problems([source(rows=[given])], ASK)[0]
    assert {k: row[k] for k in given if k != "prompt"} == {k: v for k, v in given.items() if k != "prompt"}


def test_the_language_is_that_of_the_question():
    rows = load_problems([source(rows=[{"prompt": "حاصل 2 + 2 چیست؟"}, {"prompt": "What is 2 + 2?"}])], ASK)
    assert rows["language"][:] == ["fa", "en"]


def test_ids_depend_on_question_and_answer_alone():
    first = load_problems([source("a.jsonl")], ASK)["id"][:]
    assert load_problems([source("b.jsonl", list(reversed(ROWS)))], CHAT)["id"][:] == first[::-1]
    assert len(set(first)) == 6
    assert stable_row_id("a", "b") != stable_row_id("ab", "") != stable_row_id("a", None)


def test_the_prompt_is_as_the_template_has_it():
    assert render_prompt("2 + 2?", ASK) == "Q 2 + 2? A"
    assert render_prompt("2 + 2?", PromptConfig(template="{prompt}:", prefill="<think>")) == "2 + 2?:<think>"
    assert render_prompt(TALK[:1], ASK) == "Q hi A"
    assert render_prompt("2 + 2?", CHAT) == [{"role": "user", "content": "2 + 2?"}]
    system = PromptConfig(template="chat", system="Be brief.")
    assert render_prompt("hi", system) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
    ]
    own = [{"role": "system", "content": "Be long."}, {"role": "user", "content": "hi"}]
    assert render_prompt(own, system) == own


def test_chat_messages_may_be_prompts():
    row = load_problems([source(rows=[{"prompt": TALK[:1]}])], CHAT)[0]
    assert (row["prompt"], row["question"]) == (TALK[:1], "hi")


def test_a_source_without_prompts_is_refused():
    line = refused(load_problems, [source(rows=[{"question": "a", "gold": "b"}])], ASK)
    assert line == (
        "data.train = rows.jsonl; needs a column prompt; it has question, gold; rename one with data.train.0.columns"
    )


@pytest.mark.parametrize("rows", [[{"prompt": "a"}, {"prompt": None}], [{"prompt": 5}], [{"prompt": []}]])
def test_a_row_whose_prompt_is_no_text_is_refused(rows):
    assert "prompt" in refused(load_problems, [source(rows=rows)], ASK)


# Examples for SFT


def test_examples_of_plain_text():
    assert load_examples([source(rows=[{"text": "a b", "more": 1}])], ASK).to_list() == [{"text": "a b"}]


def test_examples_of_messages():
    assert load_examples([source(rows=[{"messages": TALK, "more": 1}])], CHAT).to_list() == [{"messages": TALK}]


def test_examples_of_prompt_and_completion():
    rows = [{"prompt": "hi", "completion": "hello", "answer": "x"}]
    assert load_examples([source(rows=rows)], ASK).to_list() == [{"prompt": "Q hi A", "completion": "hello"}]
    assert load_examples([source(rows=rows)], CHAT).to_list() == [{"prompt": TALK[:1], "completion": TALK[1:]}]


def test_examples_of_something_else_are_refused():
    line = refused(load_examples, [source()], ASK)
    assert line.startswith(
        "data.train = rows.jsonl; SFT needs a column text, or messages, or prompt and completion; it holds "
    )


@pytest.mark.parametrize("other", [{"messages": TALK}, {"text": "a b"}])
def test_sources_in_different_formats_lose_no_row(other):
    sources = [source("a.jsonl", [other]), source("b.jsonl", [{"prompt": "hi", "completion": "hello"}])]
    try:
        rows = load_examples(sources, CHAT).to_list()
    except UserError:
        return  # refused is as good
    assert len(rows) == 2
    assert all(value for row in rows for value in row.values())


def test_rows_that_generate_made_keep_their_language_and_tests(tmp_path):
    """There `language` is a reward's score, and the language itself stands in `target_language`."""
    tests = json.dumps([{"kind": "call", "function": "f", "args": [1], "expected": 2}])
    row = {"prompt": "2 + 2?", "language": 0.5, "target_language": "fa", "tests": tests}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    read = load_problems([SourceConfig(path=str(tmp_path / "rows.jsonl"))], PromptConfig(template="tiny"))[0]
    assert (read["language"], read["tests"]) == ("fa", tests)
