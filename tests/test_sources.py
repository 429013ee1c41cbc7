"""Sources that are made, streamed, mixed or broken."""

import gzip
import json
import os

import pytest
from test_data import ROWS, refused, source, write

from r1kit.data.examples import load_examples
from r1kit.data.mixing import read_sources
from r1kit.data.problems import load_problems
from r1kit.data.sources import read_source
from r1kit.errors import UserError
from r1kit.recipe import PromptConfig, SourceConfig, parse_recipe

datasets = pytest.importorskip("datasets")
ASK = PromptConfig(template="Q {prompt} A")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(here):
    datasets.disable_progress_bars()


# Made


def test_reasoning_gym_is_a_source_whose_rows_its_own_scorer_takes():
    import reasoning_gym

    settings = {"min_terms": 2, "max_terms": 3, "min_digits": 2, "max_digits": 2}
    rows = read_source(SourceConfig(path="reasoning_gym:chain_sum", rows=20, seed=3, settings=settings)).to_list()
    stock = reasoning_gym.create_dataset("chain_sum", seed=3, size=20, **settings)
    assert [row["prompt"] for row in rows] == [item["question"] for item in stock]
    assert {row["checker"] for row in rows} == {"reasoning_gym"}
    entry = {"question": rows[0]["prompt"], "answer": rows[0]["answer"], "metadata": json.loads(rows[0]["metadata"])}
    assert stock.score_answer(rows[0]["answer"], entry) == 1.0
    test = read_source(SourceConfig(path="reasoning_gym:chain_sum", rows=20, seed=3, settings=settings, split="test"))
    assert not {row["prompt"] for row in rows} & set(test["prompt"])


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"path": "reasoning_gym:chain_sun"}, "path = reasoning_gym:chain_sun; no such task of reasoning_gym; did you"),
        ({"settings": {"min_term": 2}}, "settings = {min_term: 2}; must be settings of chain_sum; did you mean"),
        ({"settings": {"min_terms": 9, "max_terms": 2}}, "settings = {min_terms: 9, max_terms: 2}; chain_sum"),
        ({"split": "validation"}, "split = validation; this generated source has the splits"),
        ({"path": "self-cognition:R1"}, "path = self-cognition:R1; needs the model's name and its maker"),
        ({"path": "self-cognition:R1", "settings": {"maker": "us", "languages": ["xx"]}}, "settings.languages = xx"),
        ({"path": "self-cognition:R1", "settings": {"made": "us"}}, "settings.made = us; no such setting"),
        ({"path": "world:facts", "settings": {"a": 1}}, "settings = {a: 1}; the world has no settings"),
    ],
)
def test_a_made_source_that_cannot_be_made_is_refused(changes, line):
    values = {"path": "reasoning_gym:chain_sum", "rows": 5, **changes}
    assert refused(read_source, SourceConfig(**values)).startswith(f"data.train.0.{line}")


def test_self_cognition_says_who_the_model_is_without_thinking():
    settings = {"maker": "Our Lab", "languages": ["en", "zh", "fa"]}
    rows = read_source(SourceConfig(path="self-cognition:R1-Mini", settings=settings)).to_list()
    assert len({(row["prompt"], row["completion"]) for row in rows}) == len(rows) == 10 * 3 + 7 * 2 + 5 * 2
    for row in rows:
        assert "R1-Mini" in row["completion"]
        assert row["completion"].startswith("<answer>")
        assert row["thinking"] is False
    assert {row["target_language"] for row in rows} == {"en", "zh", "fa"}


# Mixed


def test_shares_hold_with_a_seed():
    many = [{"prompt": f"a{n}"} for n in range(100)]
    few = [{"prompt": f"b{n}"} for n in range(40)]
    parts = [source("a.jsonl", many, share=0.75), source("b.jsonl", few, share=0.25)]
    rows = read_sources(parts, "data.train")["prompt"][:]
    assert [sum(r.startswith(letter) for r in rows) for letter in "ab"] == [100, 33]
    rows = read_sources(parts, "data.train", 80)["prompt"][:]
    assert [sum(r.startswith(letter) for r in rows) for letter in "ab"] == [60, 20]
    assert read_sources(parts, "data.train", 80)["prompt"][:] == rows
    line = refused(read_sources, parts, "data.train", 161)
    assert line.startswith(
        "data.train.0.share = 0.75; 0.75 of 161 rows are 121, and it has 100; set data.rows to at most"
    )


@pytest.mark.parametrize("stage", ["sft", "rl"])
def test_stages_draw_as_many_rows_as_the_recipe_says(stage):
    """Their data is read before torch is imported: a number that the shares do not allow is refused there."""
    from importlib import import_module

    many = [{"prompt": f"a{n}", "answer": "1", "completion": "c"} for n in range(100)]
    source("a.jsonl", many)
    values = {
        "output": "x",
        "model": {"path": "m"},
        "data": {"train": [{"path": "a.jsonl", "share": 1.0}], "rows": 101},
    }
    line = refused(import_module(f"r1kit.commands.{stage}").main, parse_recipe(stage, values), None)
    assert line.startswith("data.train.0.share = 1.0; 1 of 101 rows are 101, and it has 100")


def test_rows_are_chosen_by_their_values_before_they_are_drawn():
    rows = [{"prompt": str(n), "level": n % 5} for n in range(100)]
    rows_read = read_source(SourceConfig(path=write("rows.jsonl", rows), where={"level": [3, 4]}, rows=10))
    assert len(rows_read) == 10
    assert set(rows_read["level"]) <= {3, 4}
    line = refused(read_source, SourceConfig(path="rows.jsonl", where={"level": [7]}))
    assert line == "data.train.0.where.level = [7]; no row has one of these values in level; see r1kit data inspect"
    line = refused(read_source, SourceConfig(path="rows.jsonl", where={"levle": [3]}))
    assert line.endswith("no such column; did you mean level?")


def test_a_known_set_is_chosen_from_by_its_own_columns():
    rows = [
        {"problem": f"{n}?", "solution": f"\\boxed{{{n}}}", "level": f"Level {n}", "type": "Algebra"} for n in (1, 2)
    ]
    rows_read = read_source(
        SourceConfig(path=write("math.jsonl", rows), where={"level": ["Level 2"], "type": ["Algebra"]})
    )
    assert rows_read["prompt"][:] == ["2?"]


def test_text_and_messages_in_one_column_become_messages():
    messages = [{"role": "user", "content": "a"}]
    parts = [source("a.jsonl", ROWS[:1]), source("b.jsonl", [{"prompt": messages}])]
    rows = read_sources(parts, "data.train")
    assert rows["prompt"][:] == [[{"role": "user", "content": "0 + 1?"}], messages]
    both_in_one = source("c.jsonl", [{"prompt": "a"}, {"prompt": messages}])
    assert read_source(both_in_one)["prompt"][:] == [messages, messages]


def test_made_rows_are_chosen_from_and_lists_are_compared_whole():
    some = read_source(SourceConfig(path="reasoning_gym:chain_sum", rows=50, where={"checker": ["reasoning_gym"]}))
    assert len(some) == 50
    assert "no such column" in refused(read_source, SourceConfig(path="world:facts", rows=5, where={"nosuch": ["x"]}))
    rows = [{"prompt": str(n), "tags": ["a"] if n else ["a", "b"]} for n in range(4)]
    assert len(read_source(SourceConfig(path=write("rows.jsonl", rows), where={"tags": [["a"]]}))) == 3


# Streams


def test_a_stream_is_drawn_from_and_filtered():
    rows = [{"prompt": str(n), "level": n % 2} for n in range(1000)]
    drawn = SourceConfig(path=write("rows.jsonl", rows), stream=True, rows=50, where={"level": [1]})
    rows_read = read_source(drawn)
    assert len(rows_read) == len(set(rows_read["prompt"])) == 50
    assert set(rows_read["level"]) == {1}
    assert rows_read["prompt"][:] == read_source(drawn)["prompt"][:]
    assert sorted(map(int, rows_read["prompt"])) != list(range(1, 100, 2))


# Broken


def test_a_broken_line_is_told_by_its_number_or_left_out(capsys):
    lines = [json.dumps(row) for row in ROWS]
    lines[3] = '{"prompt": 4'
    lines[4] = '"no object"'
    with open("rows.jsonl", "w") as file:
        file.write("\n".join(lines))
    line = refused(read_source, SourceConfig(path="rows.jsonl"))
    assert line.startswith("data.train.0.path = rows.jsonl:4; must be JSON: Expecting ',' delimiter at column")
    assert line.endswith("correct the line, or set data.train.0.broken=skip")
    assert len(read_source(SourceConfig(path="rows.jsonl", broken="skip"))) == 4
    assert "2 broken lines are skipped; the first is rows.jsonl:4" in capsys.readouterr().err


def test_half_a_character_is_told():
    with open("rows.jsonl", "w") as file:
        file.write("\n".join([json.dumps(ROWS[0]), '{"prompt": "a \\ud83d b", "answer": "1"}']))
    line = refused(read_source, SourceConfig(path="rows.jsonl"))
    assert "rows.jsonl:2; must be Unicode: U+D83D is half a character" in line
    assert len(read_source(SourceConfig(path="rows.jsonl", broken="skip"))) == 1


def test_wrong_encodings_are_told():
    with open("rows.jsonl", "wb") as file:
        file.write(json.dumps(ROWS[0]).encode() + b"\n" + '{"prompt": "é"}'.encode("latin-1") + b"\n")
    assert refused(read_source, SourceConfig(path="rows.jsonl")).startswith(
        "data.train.0.path = rows.jsonl:2; must be UTF-8, but byte 13 of the line is invalid"
    )
    with open("rows.csv", "wb") as file:
        file.write("prompt,answer\né,1\n".encode("latin-1"))
    assert refused(read_source, SourceConfig(path="rows.csv")).startswith(
        "data.train.0.path = rows.csv; cannot be read: it must be UTF-8, but byte "
    )


def test_utf_8_with_a_byte_order_mark_is_read():
    with open("rows.jsonl", "wb") as file:
        file.write(b"\xef\xbb\xbf" + json.dumps(ROWS[0]).encode() + b"\n")
    assert read_source(SourceConfig(path="rows.jsonl"))["prompt"][:] == [ROWS[0]["prompt"]]


def test_lines_in_a_json_file_and_compressed_lines_are_read():
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    with open("rows.json", "w") as file:
        file.write(lines)
    with gzip.open("rows.jsonl.gz", "wt") as file:
        file.write(lines)
    for path in ("rows.json", "rows.jsonl.gz"):
        assert read_source(SourceConfig(path=path))["prompt"][:] == [row["prompt"] for row in ROWS], path
    with gzip.open("bad.jsonl.gz", "wt") as file:
        file.write(lines + "{")
    assert refused(read_source, SourceConfig(path="bad.jsonl.gz")).startswith("data.train.0.path = bad.jsonl.gz:7; ")


def test_a_broken_gzip_is_told():
    for content in (b"no gzip", gzip.compress(json.dumps(ROWS[0]).encode() * 100)[:-20]):
        with open("rows.jsonl.gz", "wb") as file:
            file.write(content)
        assert refused(read_source, SourceConfig(path="rows.jsonl.gz")).startswith(
            "data.train.0.path = rows.jsonl.gz; cannot be read"
        )


def test_splits_may_be_folders_and_those_that_are_there_are_told(here):
    for name, rows in (("train", ROWS[:4]), ("test", ROWS[4:])):
        (here / "folder" / name).mkdir(parents=True)
        write(f"folder/{name}/part.jsonl", rows)
    assert len(read_source(SourceConfig(path="folder"))) == 4
    assert len(read_source(SourceConfig(path="folder", split="test"))) == 2
    line = refused(read_source, SourceConfig(path="folder", split="validation"))
    assert (
        line == "data.train.0.split = validation; folder has only test, train; set data.train.0.split to one of these"
    )
    datasets.DatasetDict({"test": datasets.Dataset.from_list(ROWS)}).save_to_disk("saved")
    assert (
        refused(read_source, SourceConfig(path="saved"))
        == "data.train.0.split = train; saved has only test; set data.train.0.split to one of these"
    )


# Types, ids, messages


def test_ids_and_answers_are_text_and_flags_are_flags():
    rows = [
        {"prompt": "a", "id": 0, "answer": 1, "thinking": "False"},
        {"prompt": "b", "id": 1, "answer": 2.5, "thinking": ""},
    ]
    rows_read = load_problems([source(rows=rows)], ASK).to_list()
    assert [(r["id"], r["thinking"]) for r in rows_read] == [("0", False), ("1", True)]
    assert [float(r["answer"]) for r in rows_read] == [1, 2.5]
    assert all(isinstance(r["answer"], str) for r in rows_read)
    line = refused(load_problems, [source(rows=[{"prompt": "a", "thinking": "perhaps"}])], ASK)
    assert line.startswith("data.train.0.path = rows.jsonl; its column thinking must hold true or false: 'perhaps'")


def test_an_id_of_two_problems_is_refused_and_of_one_stands_once(capsys):
    twice = [{"prompt": "a", "id": 1}, {"prompt": "b", "id": 2}, {"prompt": "a", "id": 1}]
    assert load_problems([source(rows=twice)], ASK)["question"][:] == ["a", "b"]
    assert "note: 1 of 3 problems repeat an earlier one" in capsys.readouterr().err
    two = [source("a.jsonl", twice[:2]), source("b.jsonl", [{"prompt": "c", "id": 2}])]
    assert refused(load_problems, two, ASK).startswith(
        "data.train = a.jsonl; two problems have the id 2; give each an id"
    )
    named = [part.model_copy(update={"values": {"id": None}}) for part in two]
    assert len(set(load_problems(named, ASK)["id"])) == 3


def conversation(*texts, system=None):
    messages = [{"role": role, "content": text} for role, text in zip(("user", "assistant") * 3, texts, strict=False)]
    return [*([{"role": "system", "content": system}] if system else []), *messages]


def test_talks_of_several_turns_are_told_apart_by_all_that_was_said():
    rows = [
        conversation("hi", "yes?", "go on"),
        conversation("ho", "yes?", "go on"),
        conversation("go on"),
        conversation("go on", system="Be brief."),
    ]
    rows_read = load_problems([source(rows=[{"prompt": p} for p in rows])], PromptConfig(template="chat"))
    assert len(rows_read) == len(set(rows_read["id"])) == 4
    assert rows_read["question"][:2] == [
        "user: hi\n\nassistant: yes?\n\nuser: go on",
        "user: ho\n\nassistant: yes?\n\nuser: go on",
    ]
    assert rows_read["question"][2:] == ["go on", "go on"]


@pytest.mark.parametrize("content", [None, [{"type": "image", "image": "a"}], 5])
def test_messages_without_text_are_refused_by_row(content):
    rows = [{"prompt": [{"role": "user", "content": "a"}]}] if content is None else []
    rows.append({"prompt": [{"role": "user", "content": content}]})
    line = refused(load_problems, [source(rows=rows)], ASK)
    assert f"data.train: prompt of row {len(rows)} = " in line


def test_a_row_without_prompt_is_refused_by_its_number():
    line = refused(load_problems, [source(rows=[{"prompt": "a"}, {"prompt": None}])], ASK)
    assert line.startswith("data.train: prompt of row 2 = null; each prompt must be text, or messages with text")


def test_a_language_may_be_given_by_its_name():
    rows = [{"prompt": "a", "language": name} for name in ("English", "chinese", "fa", "pt-BR", "cpp")]
    rows = [{**row, "prompt": str(n)} for n, row in enumerate(rows)]
    assert load_problems([source(rows=rows)], ASK)["language"][:] == ["en", "zh", "fa", "pt-BR", "en"]


def test_a_row_s_own_columns_count_where_many_sets_have_its_shape():
    rows = [{"problem": "Which?", "answer": "B", "checker": "choice", "domain": "tests", "thinking": False, "id": "q7"}]
    [row] = read_source(source(rows=rows)).to_list()
    want = {"prompt": "Which?", "answer": "B", "checker": "choice", "domain": "tests", "thinking": False, "id": "q7"}
    assert row == want
    coded = [{"problem": "Which?", "answer": "x", "tests": [{"kind": "stdio", "input": "", "output": "1"}]}]
    assert read_source(source(rows=coded))["checker"][:] == ["code"]
    other_rows = [{"question": "Which?", "answer": "7", "choices": ["a", "b"]}]  # no AIME
    assert read_source(source(rows=other_rows)).column_names == ["question", "answer", "choices"]


def test_messages_beside_prompt_and_completion_are_one_form():
    rows = [{"prompt": "hi", "completion": "ho", "messages": conversation("hi", "ho")}]
    assert load_examples([source(rows=rows)], ASK).to_list() == [{"prompt": "Q hi A", "completion": "ho"}]


def test_a_streamed_csv_is_filtered_before_it_is_drawn_from(here):
    text = "prompt,answer,level\n" + "".join(f"What is {n}?,{n},{n % 5}\n" for n in range(200))
    (here / "rows.csv").write_text(text)
    rows = read_source(SourceConfig(path="rows.csv", stream=True, rows=30, where={"level": [1]}))
    assert len(rows) == 30
    assert set(rows["level"]) == {1}


def test_a_folder_s_configuration_is_the_one_that_is_named(here):
    for name in ("all", "en"):
        (here / "set" / name).mkdir(parents=True)
        row = {"prompt": f"of {name}", "answer": "1"}
        (here / "set" / name / "train.jsonl").write_text(json.dumps(row) + "\n")
    assert read_source(SourceConfig(path="set", name="en"))["prompt"] == ["of en"]
    line = refused(read_source, SourceConfig(path="set", name="eng"))
    assert line == "data.train.0.name = eng; is no folder of set; did you mean en?"


# Larger than memory: the rows of a stream that are not wanted are not stored


def test_a_stream_stores_what_it_draws_alone(here):
    from r1kit.data.row_tables import scratch_dir

    write("rows.jsonl", [{"prompt": "x" * 1000 + str(n)} for n in range(3000)])
    read_source(SourceConfig(path="rows.jsonl", stream=True, rows=10))
    sizes = [
        os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(scratch_dir()) for name in names
    ]
    assert 10_000 < max(sizes) < 100_000


def test_files_of_no_split_that_are_left_out_are_told(here, capsys):
    (here / "set").mkdir()
    for name in ("a_train", "b_test", "aime"):
        write(f"set/{name}.jsonl", ROWS)
    assert len(read_source(SourceConfig(path="set"))) == len(ROWS)
    assert "the split train is read: a_train.jsonl; 2 others are left out: aime.jsonl, b_t" in capsys.readouterr().err


def test_problems_are_no_examples(here):
    write("gsm.jsonl", [{"question": "What is 1 + 1?", "answer": "It is 2.\n#### 2"}])
    write("pairs.jsonl", [{"prompt": "a", "completion": "b"}])
    with pytest.raises(UserError, match=r"set data.train.0.columns=\{prompt: question, completion: answer\}"):
        load_examples([SourceConfig(path="gsm.jsonl")], PromptConfig())
    with pytest.raises(UserError, match=r"data.train.1 = gsm.jsonl; holds problems without completions"):
        load_examples([SourceConfig(path="pairs.jsonl"), SourceConfig(path="gsm.jsonl")], PromptConfig())
