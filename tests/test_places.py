"""Where commands write: pipes, devices and links are not replaced, `~` is the home folder, runs alone make way."""

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml
from helpers import r1kit, read_data, read_info, write_recipe

from r1kit.commands.init import copy_recipe
from r1kit.errors import UserError
from r1kit.recipe import load_recipe, parse_recipe
from r1kit.report.page import write_report
from r1kit.runs.files import atomic_file, open_output, replace_folder, write_file
from r1kit.runs.paths import resolve_data_path, resolve_model_path
from r1kit.runs.resume import open_run

ROW = '{"completion": "<think>a</think><answer>1</answer>", "answer": "1"}\n'


def write_to(path, content=b"new", **options):
    with open_output(str(path), **options) as stream:
        stream.write(content)


# -o


def test_a_link_stays_and_its_target_is_replaced(here):
    (here / "folder").mkdir()
    (here / "target").write_text("old")
    for name, target in (("link", "target"), ("dangling", "folder/none"), ("second", "link")):
        (here / name).symlink_to(target)
    for name in ("link", "dangling", "second"):
        write_to(name, name.encode())
        assert (here / name).is_symlink()
        assert (here / name).read_text() == name
    assert (here / "target").read_text() == "second"
    assert (here / "folder/none").is_file()


def test_a_file_keeps_its_permissions_and_is_written_whole(here):
    (here / "private").write_text("old")
    (here / "private").chmod(0o600)
    write_to("private")
    assert stat.S_IMODE((here / "private").stat().st_mode) == 0o600
    with pytest.raises(TypeError):
        write_to("private", "no bytes")
    assert (here / "private").read_text() == "new"
    assert [path.name for path in here.iterdir()] == ["private"]


def test_a_name_as_long_as_files_may_have_is_written(here):
    name = "n" * 255
    write_file(here / name, "a")
    write_to(name)
    assert (here / name).read_text() == "new"


def test_a_temporary_file_follows_no_link_that_waits_for_it(here, monkeypatch):
    """Others can write to the folder, and have guessed the name."""
    monkeypatch.setattr("secrets.token_hex", lambda size: "guessed")
    (here / "victim").write_text("old")
    (here / ".r1kit-guessed.tmp").symlink_to("victim")
    with pytest.raises(FileExistsError), atomic_file(here / "out"):
        pass
    assert (here / "victim").read_text() == "old"


def test_a_fifo_is_written_to(here, capsys):
    os.mkfifo(here / "pipe")
    received = []
    reader = threading.Thread(target=lambda: received.append((here / "pipe").read_bytes()))
    reader.start()
    write_to("pipe", b"x" * 200_000)
    reader.join()
    assert received == [b"x" * 200_000]
    assert stat.S_ISFIFO((here / "pipe").stat().st_mode)


def test_devices_are_written_to_and_what_cannot_be_is_refused(here, monkeypatch):
    before = os.stat("/dev/null")
    write_to("/dev/null")
    (here / "link").symlink_to("/dev/null")
    write_to("link")
    after = os.stat("/dev/null")
    assert (before.st_ino, before.st_mode, before.st_rdev) == (after.st_ino, after.st_mode, after.st_rdev)
    assert (here / "link").is_symlink()
    (here / "loop").symlink_to("loop")
    (here / "folder").mkdir()
    refused = [("/dev/full", "no space left"), ("loop", "symbolic links"), ("folder", "is a directory")]
    refused += [("none/file", "no such file"), ("/dev/fd/999", "bad file descriptor")]
    for path, reason in refused:
        with pytest.raises(UserError, match=f"must be a file that can be written: .*{reason}"):
            write_to(path)
    monkeypatch.setattr(stat, "S_ISBLK", lambda mode: True)  # no disk to try it on
    with pytest.raises(UserError, match="a disk is not written to"):
        write_to("/dev/null")


def test_a_descriptor_is_written_to_where_it_stands(here):
    """As `r1kit ... -o /dev/fd/9 9>>log` does: what stands in the file stays."""
    (here / "log").write_text("before\n")
    with open("log", "ab") as log:
        write_to(f"/dev/fd/{log.fileno()}", b"one\n")
        write_to(f"/proc/self/fd/{log.fileno()}", b"two\n")
    assert (here / "log").read_text() == "before\none\ntwo\n"


@pytest.mark.parametrize("name", ["rows.jsonl", "./rows.jsonl", "link", "hard", "/proc/self/cwd/rows.jsonl"])
def test_the_input_is_not_replaced(here, name):
    (here / "rows.jsonl").write_text(ROW)
    (here / "link").symlink_to("rows.jsonl")
    os.link("rows.jsonl", "hard")
    with pytest.raises(UserError, match="is the file that is read, and would be replaced; use another path"):
        write_to(name, inputs=["rows.jsonl"])
    assert (here / "rows.jsonl").read_text() == ROW


def test_outputs_of_the_command_itself(here):
    """Stdout under its names, an appended file and process substitution, in one shell."""
    (here / "rows.jsonl").write_text(ROW)
    command = " ".join([sys.executable, "-m", "r1kit.cli", "-q", "rewards", "rows.jsonl", "--rewards", "accuracy"])
    script = f"""set -e -o pipefail
{command} -o - > a
{command} -o /dev/stdout | cat > b
echo first > c; {command} -o /dev/stdout >> c
{command} -o >(cat > d) > e; sleep 0.2
! {command} -o rows.jsonl 2> f
"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = (here / "a").read_text()
    assert json.loads(rows)["accuracy"] == 1.0
    assert (here / "b").read_text() == (here / "d").read_text() == rows
    assert (here / "c").read_text() == f"first\n{rows}"
    assert (here / "e").read_text().startswith("/dev/fd/")
    assert (here / "f").read_text().startswith("error: --output = rows.jsonl; is the file that is read")
    assert (here / "rows.jsonl").read_text() == ROW


def test_a_report_replaces_no_file_of_a_run(here):
    run = open_run("sft", make_recipe("run"))
    for name in ("run.json", "recipe.yaml", "metrics.jsonl", "data/train.parquet"):
        with pytest.raises(UserError, match=r"is in a run, where a report must be called NAME.html"):
            write_report(["run"], run.path / name)
    assert write_report(["run"], run.path / "report.html").read_text().startswith("<!doctype html>")


def test_init_takes_no_name_that_is_there(here):
    (here / "link").symlink_to("none")
    with pytest.raises(UserError, match="exists already"):
        copy_recipe("tiny", Path("link"))


def test_a_folder_is_replaced_in_one_step(here, monkeypatch):
    for name, content in (("new", "2"), ("data", "1")):
        (here / name).mkdir()
        (here / name / "file").write_text(content)
    monkeypatch.setattr(os, "replace", None)  # the two names are swapped, and no moment is without one
    replace_folder(here / "new", here / "data")
    assert (here / "data/file").read_text() == "2"
    assert [path.name for path in here.iterdir()] == ["data"]


# Where `~` is


PLACES = {
    "output": "~/runs/x",
    "model.path": "~/models/m",
    "model.chat_template": "~/t.jinja",
    "data.train": [{"path": "~/a.jsonl"}, "~/b.jsonl"],
    "hygiene.decontaminate": ["~/d.jsonl"],
    "refine": {"model": {"path": "~/teacher"}},
}


def test_the_home_folder_stands_for_the_tilde_wherever_a_path_may_stand(here, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    text = json.dumps(load_recipe("generate", None, dict(PLACES)).model_dump(mode="json"))
    assert "~" not in text
    assert text.count("/home/me/") == 7
    models = {"a": "~/a", "b": {"path": "~/b"}}
    recipe = parse_recipe("eval", {"models": models, "scaling": {"verifier": "~/v"}})
    assert [model.path for model in recipe.models.values()] == ["/home/me/a", "/home/me/b"]
    assert recipe.scaling.verifier == "/home/me/v"
    (here / "me").mkdir()
    monkeypatch.setenv("HOME", str(here / "me"))
    (here / "me/rows.jsonl").write_text(ROW)
    assert resolve_data_path("~/rows.jsonl") == resolve_model_path("~") + "/rows.jsonl" == str(here / "me/rows.jsonl")


def test_options_know_the_home_folder(here, monkeypatch):
    from r1kit.command_line import _expand_home_in_word

    monkeypatch.setenv("HOME", "/home/me")
    words = ["~/a", "--output=~/b", "-o", "a~b", "x=~/c", "--rewards=a=~"]
    assert [_expand_home_in_word(word) for word in words] == [
        "/home/me/a",
        "--output=/home/me/b",
        "-o",
        "a~b",
        "x=~/c",
        "--rewards=a=~",
    ]


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("~nobody_of_this_name/x", "~nobody_of_this_name is no user's home folder"),
        ("$SCRATCH/x", r"\$SCRATCH is an environment variable, which a shell replaces, and r1kit does not"),
        ("a/${USER}/x", r"\$\{USER\} is an environment variable"),
    ],
)
def test_what_only_a_shell_replaces_makes_no_folder(here, output, reason):
    with pytest.raises(UserError, match=reason):
        load_recipe("sft", None, {"output": output, "model.path": "m", "data.train": "world:arithmetic"})
    with pytest.raises(UserError, match=reason):
        resolve_data_path(output)
    os.makedirs(output)
    assert load_recipe("sft", None, {"output": output, "model.path": "m", "data.train": "world:arithmetic"})


# --overwrite


def make_recipe(output, **values):
    return parse_recipe(
        "sft", {"output": str(output), "model": {"path": "m"}, "data": {"train": "rows.jsonl"}, **values}
    )


def overwrite(output, **values):
    run = open_run("sft", make_recipe(output, **values), overwrite=True)
    run.unlock()
    return run


def test_overwrite_moves_runs_alone(here):
    (here / "photos").mkdir()
    (here / "photos/a.jpg").write_text("x")
    (here / "foreign").mkdir()
    (here / "foreign/run.json").write_text('{"name": "of another tool"}')
    (here / "file").write_text("x")
    os.mkfifo(here / "pipe")
    (here / "link").symlink_to("photos")
    for name in ("photos", "foreign", "file", "pipe", "link", "."):
        with pytest.raises(UserError, match="--overwrite replaces only runs"):
            overwrite(name)
    assert not list(here.glob("*.1"))
    (here / "empty").mkdir()
    overwrite("empty")
    overwrite("run")
    overwrite("run")
    (here / "run/run.json").write_text("{")  # damaged, and a run all the same
    overwrite("run")
    assert sorted(path.name for path in here.glob("*.[0-9]")) == ["run.1", "run.2"]


def test_overwrite_keeps_a_link_and_what_the_recipe_reads(here):
    (here / "disk").mkdir()
    overwrite("disk/run")
    (here / "link").symlink_to("disk/run")
    (here / "disk/run.1").symlink_to("nowhere")
    overwrite("link")
    assert (here / "link").is_symlink()
    assert sorted(path.name for path in (here / "disk").iterdir()) == ["run", "run.1", "run.2"]
    for values in ({"model": {"path": "disk/run/model"}}, {"data": {"train": "link"}}):
        with pytest.raises(UserError, match="this recipe reads it"):
            overwrite("link", **values)


# A run and its result belong together


def test_a_failed_second_run_gives_no_rows_to_the_next_stage(here):
    rows = [{"prompt": f"What is {i} + 1?", "completion": f"It is {i + 1}.", "finish_reason": "stop"} for i in range(4)]
    (here / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    file = write_recipe(here / "r.yaml", data={"train": "rows.jsonl"})
    r1kit("data", file, "output=run")
    assert resolve_data_path("run") == "run/data"
    _, err = r1kit("data", file, "output=run", "keep.min_tokens=50", code=2)
    assert "no row is left of 4" in err
    assert yaml.safe_load((here / "run/recipe.yaml").read_text())["keep"]["min_tokens"] == 50
    assert len(read_data(here / "run/data")) == 4  # the rows of the first recipe
    with pytest.raises(UserError, match="this run is failed, and its data are from before; finish that run, or use"):
        resolve_data_path("run")
    _, err = r1kit("data", write_recipe(here / "s.yaml", data={"train": "run"}), "output=next", code=2)
    assert "is failed, and its data are from before" in err
    assert resolve_data_path("run/data") == "run/data"  # by its own name
    r1kit("data", file, "output=run")
    assert resolve_data_path("run") == "run/data"


@pytest.mark.parametrize("product", ["data", "model"])
@pytest.mark.parametrize("status", ["running", "killed", "interrupted", "failed"])
def test_a_result_is_taken_from_the_session_that_wrote_it(here, product, status):
    resolve = resolve_data_path if product == "data" else resolve_model_path
    run = open_run("sft", make_recipe("run"))
    (run.path / product).mkdir()
    run.finish()
    assert resolve("run") == f"run/{product}"
    run.unlock()
    run = open_run("sft", make_recipe("run"))
    if status == "killed":
        run.unlock()
    elif status != "running":
        run.pause(status)
    with pytest.raises(UserError, match=f"this run is {status}, and its {product} (is|are) from before"):
        resolve("run")
    run.record_result()  # and then it could not be sent to the hub
    assert resolve("run") == f"run/{product}"
    assert read_info(run.path)["has_result"] is True
