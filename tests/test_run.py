"""Run directories: opening, resuming, locking, metrics, atomic files, and the models and data that a recipe names."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from helpers import read_info

from r1kit.errors import UserError
from r1kit.recipe import dump_recipe, parse_recipe
from r1kit.runs.files import replace_folder, write_file
from r1kit.runs.lineage import content_hash, find_parents, locate_parent
from r1kit.runs.paths import resolve_data_path, resolve_model_path
from r1kit.runs.resume import already_finished, open_run
from r1kit.runs.run import Run


def make_recipe(output, **training):
    """Return a recipe of sft with 10 steps, and `training` over its block of that name."""
    values = {"steps": 10, **training}
    return parse_recipe(
        "sft", {"output": str(output), "model": {"path": "m"}, "data": {"train": "rows.jsonl"}, "training": values}
    )


def release(run):
    """Release the lock of a run, as the end of its process does, and return the run."""
    run.unlock()
    return run


def start_run(path, status="failed", **training):
    """Start a run that has logged one step and ended with `status`, and return it."""
    run = release(open_run("sft", make_recipe(path, **training)))
    run.update(status=status)
    run.log({"step": 1})
    return run


def test_a_run_that_has_made_nothing_accepts_a_corrected_recipe(tmp_path):
    release(open_run("sft", make_recipe(tmp_path / "run", learning_rate=0.5)))
    assert release(open_run("sft", make_recipe(tmp_path / "run"))).info["status"] == "running"


@pytest.mark.parametrize("folder", ["base", "start"])
def test_a_corrected_recipe_starts_without_the_merged_model_of_the_first_one(tmp_path, folder):
    run = release(open_run("sft", make_recipe(tmp_path / "run", learning_rate=0.5)))
    (run.path / folder).mkdir()
    (run.path / folder / "config.json").write_text("{}")
    assert not (release(open_run("sft", make_recipe(tmp_path / "run"))).path / folder).exists()


@pytest.mark.parametrize("folder", ["base", "start"])
def test_a_run_that_has_work_keeps_the_model_that_it_started_from(tmp_path, folder):
    run = release(open_run("sft", make_recipe(tmp_path / "run")))
    (run.path / "checkpoints").mkdir()
    (run.path / folder).mkdir()
    assert (release(open_run("sft", make_recipe(tmp_path / "run"))).path / folder).exists()


def file_names(folder):
    """Return the sorted names in a folder."""
    return sorted(p.name for p in folder.iterdir())


# Opening a run


def test_a_new_run_records_its_recipe_and_parents(tmp_path):
    recipe = make_recipe(tmp_path / "a" / "b")
    run = release(open_run("sft", recipe))
    assert file_names(run.path) == [".lock", "recipe.yaml", "run.json"]
    assert parse_recipe("sft", yaml.safe_load((run.path / "recipe.yaml").read_text())) == recipe
    info = json.loads((run.path / "run.json").read_text())
    assert (info["stage"], info["status"], info["sessions"], info["seed"], info["seconds"]) == (
        "sft",
        "running",
        1,
        0,
        0,
    )
    assert {"r1kit", "python"} <= set(info["versions"])
    assert [(p["role"], p["path"]) for p in info["parents"]] == [("model", "m"), ("data", "rows.jsonl")]


def test_an_empty_folder_becomes_a_run(tmp_path):
    assert release(open_run("sft", make_recipe(tmp_path))).info["status"] == "running"


def test_files_that_a_killed_process_was_writing_are_removed(tmp_path):
    release(open_run("sft", make_recipe(tmp_path / "run")))
    remnant = tmp_path / "run" / ".r1kit-0123.tmp"
    remnant.write_text("half")
    release(open_run("sft", make_recipe(tmp_path / "run")))
    assert not remnant.exists()


def test_the_same_recipe_again_resumes_the_run(tmp_path):
    first = start_run(tmp_path / "run", status="interrupted")
    first.update(seconds=5.0)
    second = release(open_run("sft", make_recipe(tmp_path / "run")))
    assert second.info["sessions"] == 2
    assert second.info["started"] == first.info["started"]
    assert second.info["seconds"] == 5.0
    assert second.info["status"] == "running"


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"learning_rate": 0.5}, "training.learning_rate = 1e-05, and this command has 0.5"),
        ({"packing": True}, "training.packing = False, and this command has True"),
        ({"steps": 5}, "training.steps = 10, and this command has 5"),
        ({"steps": None, "epochs": 2}, "no training.epochs, and this command has 2.0"),
    ],
)
def test_another_recipe_is_refused_with_the_difference(tmp_path, changed, difference):
    start_run(tmp_path / "run")
    before = (tmp_path / "run" / "recipe.yaml").read_text()
    with pytest.raises(UserError) as caught:
        open_run("sft", make_recipe(tmp_path / "run", **changed))
    assert f"; holds a run that was started with {difference}; " in str(caught.value)
    assert (tmp_path / "run" / "recipe.yaml").read_text() == before


def test_a_difference_in_a_list_is_seen(tmp_path):
    start_run(tmp_path / "run")
    other = make_recipe(tmp_path / "run")
    other.data.train[0].rows = 7
    with pytest.raises(UserError, match=r"no data\.train\.0\.rows, and this command has 7"):
        open_run("sft", other)


def test_another_stage_is_refused(tmp_path):
    start_run(tmp_path / "run")
    with pytest.raises(UserError, match="holds a run that was started with stage sft, and this command is distill"):
        open_run("distill", make_recipe(tmp_path / "run"))


def test_the_same_run_by_another_path_is_the_same_run(here):
    start_run(here / "run")
    assert release(open_run("sft", make_recipe("run"))).info["sessions"] == 2


def test_more_steps_resume_the_run(tmp_path):
    start_run(tmp_path / "run", status="finished")
    run = release(open_run("sft", make_recipe(tmp_path / "run", steps=20)))
    assert yaml.safe_load((run.path / "recipe.yaml").read_text())["training"]["steps"] == 20


def test_more_epochs_resume_the_run(tmp_path):
    start_run(tmp_path / "run", status="finished", steps=None, epochs=1)
    run = release(open_run("sft", make_recipe(tmp_path / "run", steps=None, epochs=2)))
    assert yaml.safe_load((run.path / "recipe.yaml").read_text())["training"]["epochs"] == 2


def test_a_finished_run_is_known_without_opening_it(tmp_path):
    recipe = make_recipe(tmp_path / "run")
    assert not already_finished("sft", recipe)
    run = start_run(tmp_path / "run", status="interrupted")
    assert not already_finished("sft", recipe)
    run.finish()
    assert not already_finished("sft", recipe)  # it has made nothing, or its result was deleted
    (run.path / "model").mkdir()
    assert already_finished("sft", recipe)
    assert not already_finished("distill", recipe)
    assert not already_finished("sft", make_recipe(tmp_path / "run", learning_rate=0.5))


def test_a_run_is_not_finished_if_its_recipe_has_more_steps_now(tmp_path):
    start_run(tmp_path / "run", status="finished")
    assert not already_finished("sft", make_recipe(tmp_path / "run", steps=20))


def test_overwrite_moves_aside_and_deletes_nothing(tmp_path):
    path = start_run(tmp_path / "run").path
    for content in ("first", "second"):
        (path / "kept").write_text(content)
        run = release(open_run("sft", make_recipe(path, learning_rate=0.5), overwrite=True))
        assert file_names(path) == [".lock", "recipe.yaml", "run.json"]
        assert run.info["sessions"] == 1
    assert file_names(tmp_path) == ["run", "run.1", "run.2"]
    assert (tmp_path / "run.1" / "kept").read_text() == "first"
    assert (tmp_path / "run.2" / "kept").read_text() == "second"


def test_overwrite_without_an_old_run_starts_a_new_one(tmp_path):
    release(open_run("sft", make_recipe(tmp_path / "run"), overwrite=True))
    assert file_names(tmp_path) == ["run"]


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="must be empty or a run directory"):
        open_run("sft", make_recipe(tmp_path))
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    assert "run.json" not in file_names(tmp_path)


def test_a_run_killed_before_its_first_run_json_is_opened_again(tmp_path):
    recipe = make_recipe(tmp_path)
    (tmp_path / ".lock").touch()
    (tmp_path / "recipe.yaml").write_text(dump_recipe(recipe))  # written before run.json
    assert release(open_run("sft", recipe)).info["status"] == "running"


def test_an_output_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for output in (tmp_path / "file", tmp_path / "file" / "run", "/proc/r1kit/run"):
        with pytest.raises(UserError, match="must be a folder that can be written"):
            open_run("sft", make_recipe(output))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(UserError, match="must be a folder that can be written"):
        open_run("sft", make_recipe(tmp_path))


# Two processes at once

HOLD = """
import sys
from pathlib import Path
from r1kit.runs.run import Run
run = Run(Path(sys.argv[1]))
run.lock()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def held(tmp_path):
    """Return a run that another process has locked, and that process."""
    path = start_run(tmp_path / "run").path
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout.readline() == b"held\n"
    yield path, other
    other.communicate()


def test_a_run_in_use_is_refused(held):
    path, other = held
    with pytest.raises(UserError, match="another process is working on this run"):
        open_run("sft", make_recipe(path))
    assert Run(path).info["sessions"] == 1
    other.communicate()
    assert release(open_run("sft", make_recipe(path))).info["sessions"] == 2


def test_a_process_killed_outright_leaves_no_lock(held):
    path, other = held
    other.kill()
    other.wait()
    assert release(open_run("sft", make_recipe(path))).info["sessions"] == 2


def test_a_run_in_use_is_not_moved_aside(held):
    path, _ = held
    with pytest.raises(UserError, match="another process is working on this run"):
        open_run("sft", make_recipe(path), overwrite=True)
    assert not path.with_name("run.1").exists()


# Status and metrics


def test_finish_and_pause_keep_the_time_spent(tmp_path):
    run = Run(tmp_path)
    run.update(status="running", seconds=100, session_started=time.time() - 50)
    run.pause("interrupted")
    assert run.info["status"] == "interrupted"
    assert 150 <= run.info["seconds"] < 250
    run.update(session_started=time.time() - 1000)
    run.finish(rows=3)
    assert (run.info["status"], run.info["rows"]) == ("finished", 3)
    assert run.info["seconds"] >= 1150


def test_cut_metrics_drops_later_steps_and_a_line_cut_short(tmp_path):
    run = Run(tmp_path)
    run.cut_metrics(3)
    assert not run.metrics_file.exists()
    for step in (1, 2, 3, 4, 5):
        run.log({"step": step, "loss": step / 10})
    with open(run.metrics_file, "a") as file:
        file.write('{"step": 2, "lo')
    run.cut_metrics(3)
    assert run.metrics_file.read_text() == (
        '{"step": 1, "loss": 0.1}\n{"step": 2, "loss": 0.2}\n{"step": 3, "loss": 0.3}\n'
    )
    run.log({"step": 4})
    assert len(run.metrics_file.read_text().splitlines()) == 4
    run.cut_metrics(0)
    assert run.metrics_file.read_text() == ""


# Files


def test_write_file_replaces_and_leaves_nothing_beside(tmp_path):
    write_file(tmp_path / "a", "یک")
    write_file(tmp_path / "a", b"two")
    assert file_names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"two"


def test_write_file_that_fails_leaves_the_old_file(tmp_path):
    write_file(tmp_path / "a", "old")
    with pytest.raises(UnicodeEncodeError):
        write_file(tmp_path / "a", "new \ud800")
    assert (tmp_path / "a").read_text() == "old"


def test_a_kill_leaves_the_old_file_or_the_new_one(tmp_path):
    source = (
        "import sys; from pathlib import Path; from r1kit.runs.files import write_file\n"
        "while True:\n    for letter in 'ab': write_file(Path(sys.argv[1]), letter * 300_000)"
    )
    for name in ("a", "b", "c"):
        file = tmp_path / name
        writer = subprocess.Popen([sys.executable, "-c", source, str(file)])
        while not file.exists():
            assert writer.poll() is None
            time.sleep(0.01)
        writer.kill()
        writer.wait()
        assert file.read_text() in ("a" * 300_000, "b" * 300_000)


def test_replace_folder_puts_the_new_one_in_the_old_ones_place(tmp_path):
    for content in ("first", "second"):
        new = tmp_path / "new"
        (new / "deep").mkdir(parents=True)
        (new / "deep" / "file").write_text(content)
        replace_folder(new, tmp_path / "model")
        assert file_names(tmp_path) == ["model"]
        assert (tmp_path / "model" / "deep" / "file").read_text() == content


# Models and data that a recipe names


def test_a_model_is_a_run_a_folder_or_a_hub_id(here):
    (here / "plain").mkdir()
    run = start_run(here / "runs" / "a", status="finished")
    (run.path / "model").mkdir()
    assert resolve_model_path("runs/a") == "runs/a/model"
    assert resolve_model_path(str(run.path)) == str(run.path / "model")
    assert resolve_model_path("plain") == "plain"
    assert resolve_model_path("org/model") == "org/model"
    assert resolve_model_path("gpt2") == "gpt2"
    assert resolve_model_path("tiny:base").endswith("tiny/base")


@pytest.mark.parametrize("path", ["./none", "../none", "/none/model", "~/none", "runs/none", "a/b/c", "file"])
def test_a_model_that_is_not_there_is_refused(here, path):
    (here / "file").write_text("")
    with pytest.raises(UserError) as caught:
        resolve_model_path(path)
    assert str(caught.value).startswith(f"model.path = {path}; must be a folder with a model, a run or a hub id; ")


def test_a_run_without_a_model_or_data_is_refused(here):
    start_run(here / "a", status="interrupted")
    with pytest.raises(UserError, match=r"^models\.x = a; this run is interrupted and has no model; "):
        resolve_model_path("a", "models.x")
    with pytest.raises(UserError, match=r"^data\.train\.0\.path = a; this run is interrupted and has no data; "):
        resolve_data_path("a", "data.train.0.path")


def test_data_is_a_run_a_folder_a_file_or_a_hub_id(here):
    run = start_run(here / "a", status="finished")
    (run.path / "data").mkdir()
    (here / "rows.jsonl").write_text("{}")
    assert resolve_data_path("a") == "a/data"
    assert resolve_data_path("rows.jsonl") == "rows.jsonl"
    assert resolve_data_path(".") == "."
    assert resolve_data_path("org/rows") == "org/rows"
    assert resolve_data_path("squad") == "squad"


@pytest.mark.parametrize("path", ["none.jsonl", "org/none.parquet", "./none", "/none", "runs/none", "a/b/c", "~/none"])
def test_data_that_is_not_there_is_refused(here, path):
    with pytest.raises(UserError) as caught:
        resolve_data_path(path)
    assert str(caught.value).startswith(f"data = {path}; must be a file, a folder, a run or a hub id; ")


def test_parents_name_the_runs_a_recipe_reads_from(here):
    start_run(here / "base", status="finished")
    (here / "base/model").mkdir()
    (here / "base/model/model.safetensors").write_bytes(b"weights")
    start_time = read_info(here / "base")["started"]
    values = {"output": "o", "models": {"a": "base", "b": "org/b"}, "data": {"eval": "base"}}
    model, hub, data = find_parents(parse_recipe("eval", values))
    assert model.pop("content") == content_hash(here / "base/model", "model")
    assert model == {"role": "model", "path": "base", "stage": "sft", "status": "finished", "started": start_time}
    assert hub == {"role": "model", "path": "org/b", **dict.fromkeys(("stage", "status", "started", "content"))}
    assert data == {**model, "role": "data", "content": None}


def test_a_run_whose_model_or_data_changed_is_not_finished_and_not_resumed(here):
    rows, model = here / "rows.jsonl", here / "m"
    rows.write_text('{"prompt": "1 + 1?", "answer": "2"}\n')
    model.mkdir()
    (model / "model.safetensors").write_bytes(bytes(2**27))
    values = {"output": "o", "model": {"path": "./m"}, "data": {"train": "rows.jsonl"}, "training": {"steps": 3}}
    recipe = parse_recipe("sft", values)
    run = release(open_run("sft", recipe))
    run.log({"step": 1})
    (here / "o/model").mkdir()
    run.update(status="finished")
    assert already_finished("sft", recipe)
    (model / "README.md").write_text("a card says nothing of it")
    assert already_finished("sft", recipe)
    rows.write_text('{"prompt": "1 + 1?", "answer": "3"}\n')
    assert not already_finished("sft", recipe)
    rows.write_text('{"prompt": "1 + 1?", "answer": "2"}\n')
    assert already_finished("sft", recipe)
    weights = (model / "model.safetensors").rename(here / "weights")
    (model / "model.safetensors").write_bytes(b"\x01" * 2**27)
    assert not already_finished("sft", recipe)
    with pytest.raises(
        UserError, match=r"holds a run that was started with ./m, whose content has changed since; set output"
    ):
        open_run("sft", recipe)
    weights.replace(model / "model.safetensors")
    assert already_finished("sft", recipe)
    shutil.rmtree(model)  # a parent that is gone cannot be compared
    assert already_finished("sft", recipe)


def test_checkpoint_intervals_and_micro_batches_may_change(tmp_path):
    start_run(tmp_path / "run")
    changes = {"save_steps": 7, "log_steps": 2, "keep_checkpoints": 9, "micro_batch_size": 2}
    release(open_run("sft", make_recipe(tmp_path / "run", **changes, gradient_checkpointing=True)))
    values = {"output": str(tmp_path / "run"), "model": {"path": "m"}, "data": {"train": "rows.jsonl"}}
    other = parse_recipe("sft", {**values, "training": {"steps": 10}, "trl": {"weight_decay": 0.1}})
    with pytest.raises(
        UserError, match=r"holds a run that was started with no trl.weight_decay, and this command has 0.1"
    ):
        open_run("sft", other)


def test_a_moved_parent_is_found_and_another_run_of_its_name_is_not_taken_for_it(here):
    def make_run(folder, start_time, parent=None):
        folder.mkdir(parents=True)
        run_info = {"stage": "sft", "started": start_time, "parents": [parent] if parent else []}
        (folder / "run.json").write_text(json.dumps(run_info))
        return folder

    zero = {"role": "model", "path": "runs/zero", "stage": "rl-zero", "started": "monday"}
    make_run(here / "runs/zero", "monday")
    child = make_run(here / "runs/dev", "monday", zero)
    assert locate_parent(zero, child).resolve() == here / "runs/zero"
    os.chdir(child)
    assert locate_parent(zero, Path(".")).resolve() == here / "runs/zero"
    os.chdir(here)
    (here / "runs").rename(here / "of_monday")
    make_run(here / "runs/zero", "tuesday")
    assert locate_parent(zero, here / "of_monday/dev").resolve() == here / "of_monday/zero"
    (here / "of_monday/zero").rename(here / "of_monday/zero.1")  # as --overwrite does
    make_run(here / "of_monday/zero", "tuesday")
    assert locate_parent(zero, here / "of_monday/dev").resolve() == here / "of_monday/zero.1"
    shutil.rmtree(here / "of_monday/zero.1")
    assert locate_parent(zero, here / "of_monday/dev") is None
    del zero["started"]  # runs of earlier versions do not record it
    assert locate_parent(zero, here / "of_monday/dev").resolve() == here / "of_monday/zero"
