"""`r1kit data` and `r1kit data inspect`, the data card, and what `load_dataset`, TRL and the hub make of the output."""

import json
import os
import re
import sys
from types import SimpleNamespace

import pytest
import yaml
from helpers import r1kit, read_data, read_info, write_recipe
from test_data import ROWS, write

from r1kit.data.description import describe_rows
from r1kit.data.writing.hub import push_data
from r1kit.errors import UserError
from r1kit.recipe import CardConfig
from r1kit.rows import COLUMNS

datasets = pytest.importorskip("datasets")

MATH = [{"problem": f"What is {n} plus one?", "answer": str(n + 1)} for n in range(20)]
EXAMPLES = [
    {"prompt": f"What is {n} + 1?", "answer": str(n + 1), "level": n % 3,
     "completion": f"<think>\nIt is {n} and one more.\n</think>\n<answer>\n{n + 1 + (n % 4 == 0)}\n</answer>"}
    for n in range(20)
]  # fmt: skip


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(here):
    pass


def make_data(code=0, **values):
    """Run `data` and return its rows and its stderr."""
    _, err = r1kit("data", write_recipe(here_file("r.yaml"), **values), "output=run", code=code)
    return (read_data(here_file("run/data")) if code == 0 else []), err


def here_file(name):
    from pathlib import Path

    return Path(name).absolute()


def drops():
    return json.loads(here_file("run/drops.json").read_text())


def test_problems_are_adapted_mixed_cleaned_and_written():
    held = [{"problem": MATH[3]["problem"], "answer": "4"}]
    rows, err = make_data(
        data={"train": [{"path": write("math.jsonl", [*MATH, MATH[5]])}, {"path": write("own.jsonl", ROWS)}]},
        hygiene={"exact": True, "decontaminate": write("held.jsonl", held)},
        card={"license": "apache-2.0", "about": "A set of sums."},
    )
    assert len(rows) == 19 + len(ROWS)
    assert drops()["dropped"] == {"contaminated": 1, "exact_duplicate": 1}
    assert {r["checker"] for r in rows} == {"math", None}
    assert len({r["id"] for r in rows}) == len(rows)
    assert "note: data.train.0 is read as problem-answer" in err
    assert "exact_duplicate    -1" in err
    assert [r["prompt"] for r in rows] != sorted((r["prompt"] for r in rows), key=str)  # shuffled
    card = here_file("run/README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert front["license"] == "apache-2.0"
    assert "language" not in front
    assert front["configs"][0]["data_files"] == [{"split": "train", "path": "data/train-*.parquet"}]
    assert "A set of sums." in card
    assert "| dropped: contaminated | 1 |" in card
    assert read_info(here_file("run"))["rows"] == len(rows)


def test_completions_are_scored_and_filtered_group_by_group():
    rows, _ = make_data(
        data={
            "train": write("said.jsonl", [*EXAMPLES, *[{**r, "completion": r["completion"] + " "} for r in EXAMPLES]])
        },
        rewards=[{"name": "accuracy"}, {"name": "format"}],
        keep={"correct": True, "format": True, "per_prompt": 1, "prefer": "shortest"},
    )
    assert len(rows) == 15 == len({r["prompt"] for r in rows})
    assert all(r["correct"] and r["accuracy"] == 1.0 and r["level"] in (0, 1, 2) for r in rows)
    assert drops()["dropped"] == {"incorrect": 10, "format": 0, "per_prompt": 15}


def test_a_first_batch_without_verdicts_takes_no_column_away():
    broken = [{**r, "answer": ")(", "prompt": f"no {n}"} for n, r in enumerate(EXAMPLES * 15)]  # 300 faults first
    rows, _ = make_data(
        data={"train": write("said.jsonl", [*broken, *EXAMPLES])},
        rewards=[{"name": "accuracy"}], shuffle=False,
    )  # fmt: skip
    assert sum(r["correct"] is True for r in rows) == 15


def test_the_output_is_what_load_dataset_and_the_trainers_read(here):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from r1kit.runs.paths import SHIPPED_MODELS

    make_data(data={"train": write("said.jsonl", EXAMPLES)})
    for path in ("run", "run/data"):
        loaded = datasets.load_dataset(str(here / path), split="train", cache_dir=str(here / "cache"))
        assert len(loaded) == 20
        assert {"prompt", "completion", "id"} <= set(loaded.column_names)
    model = AutoModelForCausalLM.from_pretrained(SHIPPED_MODELS["tiny:student"])
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED_MODELS["tiny:student"])
    arguments = SFTConfig(output_dir=str(here / "out"), max_steps=1, use_cpu=True, report_to=[], bf16=False)
    trainer = SFTTrainer(model, arguments, train_dataset=loaded, processing_class=tokenizer)
    assert torch.isfinite(torch.tensor(trainer.train().training_loss))


def test_messages_are_read_and_stay_messages():
    talk = [[{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": f"a{n}"}] for n in range(5)]
    rows, _ = make_data(
        data={"train": write("talk.jsonl", [{"messages": m} for m in [*talk, talk[0]]])}, hygiene={"exact": True}
    )
    assert sorted(r["messages"][0]["content"] for r in rows) == [f"q{n}" for n in range(5)]
    for number, wrong in enumerate((talk[0][:1], "User: q0 Assistant: a0")):
        data = {"train": write(f"wrong{number}.jsonl", [{"messages": wrong}])}
        _, err = r1kit("data", write_recipe(here_file("e.yaml"), data=data), f"output=e{number}", code=2)
        assert "messages must end with the assistant's; those of row 1 do not" in err


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"data": {"train": "none.jsonl"}}, "data.train.0.path = none.jsonl; must be a file, a folder"),
        ({"keep": {"correct": True}}, "keep.correct = true; needs a reward that decides correctness; add accuracy"),
        ({"keep": {"max_tokens": 5}}, "keep = too_long; filters look at completions, and the rows have none"),
        ({"rewards": [{"name": "accuracy"}]}, "rewards = accuracy; rewards score completions, and the rows have none"),
        ({"model": {"path": "tiny:base"}}, "model.path = tiny:base; the stage data uses no model"),
        ({"data": {"train": "two.jsonl"}}, "data.train = two.jsonl; two problems have the id 7; give each an id"),
        ({"data": {"train": "odd.jsonl"}}, "data.train = odd.jsonl; needs a column prompt, messages or text; it has a"),
        (
            {"data": {"train": [{"path": "rows.jsonl", "rows": 5, "stream": True, "where": {"x": [1]}}]}},
            "data.train.0.",
        ),
        (
            {"data": {"train": [{"path": "rows.jsonl", "stream": True}]}},
            "data.train.0.stream = true; a streamed",
        ),
        ({"data": {"train": [{"path": "rows.jsonl", "share": 0.5}]}}, "data.train: each source needs a"),
        ({"data": {"train": "label.jsonl"}}, "data.train = label.jsonl; each completion must be text or messages of"),
        ({"hygiene": {"decontaminate": "odd.jsonl"}}, "hygiene.decontaminate.0 = odd.jsonl; needs a column prompt"),
        ({"hygiene": {"near": 1.5}}, "hygiene.near = 1.5"),
        ({"hygiene": {"exakt": True}}, "hygiene.exakt = true; no such key; did you mean exact?"),
    ],
)
def test_mistakes_are_one_line(changes, line):
    write("rows.jsonl", ROWS)
    write("two.jsonl", [{"prompt": "a", "id": 7}, {"prompt": "b", "id": 7}])
    write("odd.jsonl", [{"a": 1}])
    write("label.jsonl", [{"prompt": "a", "completion": 5}])
    _, err = make_data(2, **{"data": {"train": "rows.jsonl"}, **changes})
    assert err.strip().splitlines()[-1].startswith(f"error: {line}"), err


def test_several_processes_write_once():
    write("rows.jsonl", ROWS)
    file = write_recipe(here_file("r.yaml"), data={"train": "rows.jsonl"})
    out, _ = r1kit("data", file, "output=run", "--num-processes", "2")
    assert out == "run\n"
    assert len(read_data(here_file("run/data"))) == len(ROWS)


# inspect


def test_inspect_says_what_a_source_holds():
    rows = [{**row, "level": None if n < 2 else "x"} for n, row in enumerate([*EXAMPLES, EXAMPLES[0]])]
    rows.append({"prompt": "حاصل 2 + 2 چیست؟", "completion": "y", "answer": "4", "level": "x"})
    out, _ = r1kit("data", "inspect", write("said.jsonl", rows))
    assert out.startswith("said.jsonl has the columns ")
    assert "\n22 rows: prompts with completions, which r1kit sft trains on.\n" in out
    assert re.search(rf"^level +string +2  {COLUMNS['level'].description}$", out, re.MULTILINE)
    assert "Languages: en 21, fa 1." in out
    assert "Prompts that repeat an earlier one: 1." in out
    assert "level: x 20, None 2" in out or "level: x 19" in out
    drawn, _ = r1kit("data", "inspect", "said.jsonl", "rows=5", 'where={"level": ["x"]}')
    assert "\n5 rows" in drawn
    assert re.search(rf"^level +string +0  {COLUMNS['level'].description}$", drawn, re.MULTILINE)


@pytest.mark.parametrize(
    ("row", "use"),
    [
        ({"prompt": "a", "answer": "1"}, "problems with answers or tests, for r1kit rl, generate and eval"),
        ({"prompt": "a"}, "prompts without answers or tests, so that no reward can tell whether a completion is right"),
        ({"text": "a"}, "documents, which r1kit sft trains on as they stand"),
        ({"messages": [{"role": "user", "content": "a"}]}, "conversations, which r1kit sft trains on"),
        ({"b": "a"}, "no column prompt, messages or text, so that no stage can use them"),
    ],
)
def test_inspect_says_what_the_rows_can_be_used_for(row, use):
    assert describe_rows(datasets.Dataset.from_list([row]))[0] == f"1 rows: {use}."


def test_inspect_names_the_scores_of_rewards():
    rows = datasets.Dataset.from_list([{"prompt": "a", "completion": "b", "correct": True, "language": 0.5}])
    lines = "\n".join(describe_rows(rows))
    assert re.search(r"^language +float64 +0  A reward's score\.$", lines, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "PATH: a data source is needed"),
        (["rows.jsonl", "rows=abc"], "rows = abc; "),
        (["rows.jsonl", "row=5"], "row = 5; no such field of a source"),
        (["nothing.jsonl"], "PATH = nothing.jsonl; must be a file"),
        (["broken.jsonl"], "PATH = broken.jsonl:2; must be JSON"),
    ],
)
def test_inspect_of_what_is_no_source_is_one_line(words, line):
    write("rows.jsonl", ROWS)
    here_file("broken.jsonl").write_text('{"prompt": "a"}\n{"prompt"\n')
    _, err = r1kit("data", "inspect", *words, code=2)
    assert err.startswith(f"error: {line}")
    assert err.count("\n") == 1


def test_rows_of_any_type_are_inspected():
    write("odd.jsonl", [{"prompt": 5, "completion": [1, 2], "text": ["a"]}])
    assert "\n1 rows" in r1kit("data", "inspect", "odd.jsonl")[0]


def test_a_run_is_inspected(here):
    make_data(data={"train": write("rows.jsonl", ROWS)})
    assert "\n6 rows" in r1kit("data", "inspect", "run")[0]


# The hub. There is none here: HfApi is replaced, and what it is asked is looked at.


def test_push_sends_the_card_and_the_data_and_removes_what_is_no_longer_there(here, monkeypatch):
    calls = []
    api = SimpleNamespace(
        create_repo=lambda *a, **k: (calls.append(("create_repo", a, k)), SimpleNamespace(repo_id="me/sums"))[1],
        upload_folder=lambda **k: calls.append(("upload_folder", (), k)),
    )
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: api)
    assert push_data(here, CardConfig(push_to_hub="sums")) == "https://huggingface.co/datasets/me/sums"
    (_, made_as, settings), (_, _, sent) = calls
    assert (made_as, settings["private"], settings["repo_type"]) == (("sums",), True, "dataset")
    assert sent["repo_id"] == "me/sums"  # the hub says whose it is
    assert sent["allow_patterns"] == ["README.md", "data/*.parquet"]
    assert sent["delete_patterns"] == ["data/*.parquet"]


def test_without_the_hub_the_data_is_kept_and_the_same_command_goes_on(here):
    import inspect

    from huggingface_hub import HfApi

    parameters = inspect.signature(HfApi.upload_folder).parameters
    assert {"folder_path", "repo_id", "repo_type", "allow_patterns", "delete_patterns", "commit_message"} <= set(
        parameters
    )
    with pytest.raises(UserError, match="could not be sent"):
        push_data(here, CardConfig(push_to_hub="sums"))
    write("rows.jsonl", ROWS)
    file = write_recipe(here_file("r.yaml"), data={"train": "rows.jsonl"}, card={"push_to_hub": "me/sums"})
    _, err = r1kit("data", file, "output=run", code=2)
    assert err.strip().splitlines()[-1].startswith("error: card.push_to_hub = me/sums; could not be sent: ")
    assert len(read_data(here_file("run/data"))) == len(ROWS)
    r1kit("data", file, "output=run", "card.push_to_hub=null")


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="a small file system must be mounted")
def test_a_full_disk_is_told_and_the_same_command_goes_on(here):
    import subprocess

    (here / "small").mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "none", "small"], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        rows = [{"prompt": f"{n} " + os.urandom(500).hex()} for n in range(2000)]
        file = write_recipe(here_file("r.yaml"), data={"train": write("rows.jsonl", rows)})
        _, err = r1kit("data", file, "output=small/run", code=2)
        assert err.strip().splitlines()[-1].startswith("error: output = small/run; no space left on the device")
        subprocess.run(["mount", "-o", "remount,size=30m", "small"], check=True)
        r1kit("data", file, "output=small/run")
        assert len(read_data(here / "small/run/data")) == 2000
    finally:
        # Lazily, since a thread of pyarrow may not have closed its file yet.
        subprocess.run(["umount", "--lazy", "small"], check=True)
