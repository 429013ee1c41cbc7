"""Odd values from outside are refused in one line: numbers, keys, nesting, environments, configs, full disks."""

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from r1kit.commands.init import copy_recipe
from r1kit.data.exact_json import MAX_JSON_DEPTH, parse_strictly
from r1kit.data.sources import read_source
from r1kit.errors import UserError, explain_refused_file
from r1kit.launchers import launch_command
from r1kit.ranks import adopt_slurm_ranks, local_rank, local_world_size, rank, world_size
from r1kit.recipe import SourceConfig, dump_recipe, load_recipe, parse_override
from r1kit.recipe.reference import list_fields
from r1kit.report.page import write_report
from r1kit.runs.listing import list_runs
from r1kit.runs.paths import resolve_data_path
from r1kit.runs.resume import open_run
from r1kit.stages import STAGES

PLAIN_USER = 65534  # nobody

# Numbers


def numeric_fields() -> list[tuple[str, str]]:
    """Return each field whose type is a number, or a list of them, with the first stage that has it."""
    stages_of_keys: dict[str, str] = {}
    for stage in STAGES:
        for entry in list_fields(stage):
            key = entry.key.replace("data.train.N.", "data.train.0.")
            is_number = any(word in entry.type_text for word in ("integer", "number"))
            if is_number and "any" not in entry.type_text and ".N." not in key:
                stages_of_keys.setdefault(key, stage)
    return [(stage, key) for key, stage in stages_of_keys.items()]


def refuses(stage: str, key: str, text: str) -> bool:
    """Return whether the value of a field, as on the command line, is refused with an error that names the field."""
    name, value = parse_override(f"{key}={text}")
    overrides = {"output": "o", "data.train": [{"path": "rows.jsonl"}], name: value}
    if stage != "data":
        overrides["model.path"] = "tiny:base"
    try:
        load_recipe(stage, None, overrides)
    except UserError as error:
        return str(error).startswith(key)
    return False


def test_numeric_fields_take_neither_truth_values_nor_what_is_not_finite():
    accepted = []
    fields = numeric_fields()
    assert len(fields) > 60
    for stage, key in fields:
        for text in ("true", ".nan", "-.inf", "99999999999999999999", "7" * 5000, "[true]", "[.nan]", "{a: 1}"):
            if not refuses(stage, key, text):
                accepted.append(f"{stage} {key}={text[:30]}")
    assert accepted == []


@pytest.mark.parametrize(
    "setting", ["seed=-1", "data.train.0.seed=-1", "training.steps=true", "seed=yes", "training.batch_size=0"]
)
def test_a_number_out_of_its_range_is_named(setting):
    key, value = parse_override(setting)
    with pytest.raises(UserError, match=key):
        load_recipe("sft", None, {"output": "o", "model.path": "tiny:base", "data.train": [{"path": "r"}], key: value})


def test_numbers_of_samples_that_no_memory_holds():
    for key in ("sampling.samples", "scaling.direct", "scaling.draws", "scaling.width"):
        assert refuses("eval", key, "9007199254740992")
    assert refuses("generate", "refine.tries", "2147483648")
    assert refuses("rl", "sampling.group_size", "2147483648")


@pytest.mark.parametrize("temperature", [-1, 1e-300, 5e-324, 0.0009, 1e300])
def test_temperatures_by_which_logits_become_infinite(temperature):
    for stage in ("eval", "rl", "generate"):
        assert refuses(stage, "sampling.temperature", str(temperature))


@pytest.mark.parametrize(
    "block",
    [
        "trl: {adam_epsilon: .inf}",
        "data: {train: {path: r, settings: {a: [.nan]}}}",
        "prompt: {template_settings: {a: -.inf}}",
    ],
)
def test_free_settings_are_finite(block, tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text(f"output: o\nmodel: {{path: tiny:base}}\n{block}\n")
    with pytest.raises(UserError, match="must be a finite number"):
        load_recipe("sft", str(file), {})


# Keys, nesting, aliases


@pytest.mark.parametrize("depth", [99, 150, 400, 1000, 100_000])
def test_a_nested_recipe_is_kept_or_refused(depth, tmp_path):
    file = tmp_path / "recipe.yaml"
    settings = "[" * depth + "]" * depth
    data = f"data: {{train: {{path: world:text, settings: {{a: {settings}}}}}}}"
    file.write_text(f"output: o\nmodel: {{path: tiny:base}}\n{data}\n")
    if depth < 100 - 5:
        recipe = load_recipe("sft", str(file), {})
        assert yaml.safe_load(dump_recipe(recipe))["data"]["train"][0]["settings"]["a"] == yaml.safe_load(settings)
    else:
        with pytest.raises(UserError, match="nested"):
            load_recipe("sft", str(file), {})


@pytest.mark.parametrize("key", ['"\\ud800"', '"a\\0"'])
def test_keys_of_half_characters_are_refused(key, tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text(f"output: o\nmodel: {{path: tiny:base}}\ndata: {{train: {{path: r, values: {{{key}: 1}}}}}}\n")
    with pytest.raises(UserError, match="must be text without"):
        load_recipe("sft", str(file), {})


ODD_LINES = {
    '{"prompt": "a", "prompt": "b"}': 'the key "prompt" is there twice',
    '{"prompt": "a", "x": {"k": 1, "k": 2}}': 'the key "k" is there twice',
    '{"prompt": "a", "x": NaN}': "NaN is no number of JSON",
    '{"prompt": "a", "x": [-Infinity]}': "-Infinity is no number of JSON",
    '{"prompt": "a", "x": ' + "[" * 300 + "]" * 300 + "}": "nested at most 200 levels",
    '{"prompt": "a", "x": ' + "[" * 1000 + "]" * 1000 + "}": "nested at most 200 levels",
    '{"prompt": "a", "x": ' + "[" * 100_000 + "]" * 100_000 + "}": "nested at most 200 levels",
}


@pytest.mark.parametrize(("line", "requirement"), ODD_LINES.items(), ids=range(len(ODD_LINES)))
def test_a_line_that_readers_take_in_different_ways_is_refused(line, requirement, tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text(f'{{"prompt": "q", "answer": "1"}}\n{line}\n')
    with pytest.raises(UserError, match=f"rows.jsonl:2; .*{requirement}"):
        read_source(SourceConfig(path=str(file)))
    file = tmp_path / "rows.json"
    file.write_text(f"[{line}]")
    with pytest.raises(UserError, match=requirement):
        read_source(SourceConfig(path=str(file)))


def test_keys_with_the_character_nul_are_kept_or_refused(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"prompt": "a", "x": {"k\\u0000l": [1], "k": 2}}\n' * 3)
    assert read_source(SourceConfig(path=str(file)))[0]["x"] == {"k\0l": [1], "k": 2}
    file.write_text('{"prompt": "a", "x\\u0000y": 1}\n')
    with pytest.raises(UserError, match="must have a name without the character NUL"):
        read_source(SourceConfig(path=str(file)))


def test_json_is_read_exactly_up_to_the_limit_of_nesting():
    text = "[" * MAX_JSON_DEPTH + "]" * MAX_JSON_DEPTH
    assert json.dumps(parse_strictly(text)) == text
    assert parse_strictly("[" + "[]," * 1000 + "1]")[-1] == 1
    with pytest.raises(RecursionError):
        parse_strictly(f"[{text}]")


# The environment and the configs of launchers


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "٣", "9" * 5000, "1e3", " 1"])
@pytest.mark.parametrize(
    ("name", "read"),
    [("WORLD_SIZE", world_size), ("RANK", rank), ("LOCAL_RANK", local_rank), ("LOCAL_WORLD_SIZE", local_world_size)],
)
def test_ranks_that_are_no_numbers(name, read, text, monkeypatch):
    monkeypatch.setenv(name, text)
    with pytest.raises(UserError, match=f"environment variable {name} = .*must be a whole number"):
        read()


def test_a_rank_is_below_the_number_of_processes(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "0")
    with pytest.raises(UserError, match="at least 1"):
        world_size()
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "2")
    with pytest.raises(UserError, match="must be below WORLD_SIZE, which is 2"):
        rank()
    monkeypatch.setenv("RANK", "")
    assert rank() == 0


@pytest.mark.parametrize(
    "variables", [{"SLURM_NTASKS": "x"}, {"SLURM_PROCID": "x"}, {"SLURM_TASKS_PER_NODE": "8(x"}, {"SLURM_NODEID": "?"}]
)
def test_variables_of_slurm_that_are_no_numbers(variables, monkeypatch):
    usual = {"SLURM_NTASKS": "2", "SLURM_PROCID": "0", "SLURM_TASKS_PER_NODE": "2", "MASTER_ADDR": "localhost"}
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, text in {**usual, **variables}.items():
        monkeypatch.setenv(name, text)
    environment = dict(os.environ)
    with pytest.raises(UserError, match=next(iter(variables))):
        adopt_slurm_ranks()
    os.environ.clear()
    os.environ.update(environment)


ODD_CONFIGS = (
    *("num_processes: x", "num_processes: true", "num_processes: 0", "num_processes: 1.5", "num_machines: [1]"),
    *("machine_rank: x", "machine_rank: -1", "main_process_port: http", "num_processes: .inf", "num_machines: {a: 1}"),
    *("num_processes: 2\nnum_processes: 3", "distributed_type: [NO]", "distributed_type: QUANTUM", "a: &a [*a]"),
    *("num_processes: " + "9" * 5000, "a: " + "[" * 1000 + "]" * 1000, "a: " + "[" * 100_000, "[1]", "3", "a: \0"),
)


@pytest.mark.parametrize("text", ODD_CONFIGS, ids=range(len(ODD_CONFIGS)))
def test_odd_accelerate_configs(text, tmp_path):
    file = tmp_path / "accelerate.yaml"
    file.write_text(f"mixed_precision: 'no'\n{text}\n" if ":" in text else text)
    with pytest.raises(UserError, match="--accelerate-config = "):
        launch_command(None, str(file))


# Folders that cannot be written


def test_what_the_system_refuses_is_one_line():
    for number in (errno.EACCES, errno.ENOSPC, errno.ELOOP, errno.ENAMETOOLONG, errno.EROFS, errno.EFBIG):
        line = str(explain_refused_file(OSError(number, os.strerror(number), "a.txt")))
        assert line.startswith(f"file = a.txt; {os.strerror(number).lower()}; ")
    assert explain_refused_file(OSError(errno.EBADF, "bad")) is None
    assert explain_refused_file(ValueError()) is None


def run_limited(arguments: list[str], folder: Path, file_bytes: int) -> subprocess.CompletedProcess:
    """Run `r1kit` as a process that can write no file of more than `file_bytes`, as on a full disk."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

    command = [sys.executable, "-B", "-m", "r1kit.cli", *arguments]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return subprocess.run(command, cwd=folder, preexec_fn=limit, capture_output=True, text=True, timeout=300)


def test_a_full_disk_leaves_nothing_behind(tmp_path):
    ending = run_limited(["init", "tiny", "-o", "mine"], tmp_path, 100)
    assert ending.returncode == 2
    assert ending.stderr.startswith("error: --output = mine; must be a folder that can be written: file too large")
    assert ending.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", ["loop", "file/mine", "long/" + "x" * 300, "/proc/mine", "."])
def test_init_in_a_place_that_cannot_be(target, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UserError, match="--output = "):
        copy_recipe("tiny", Path(target))


# Without the rights


def run_as_plain_user(call: Callable[[], object]) -> str:
    """Return what a call returns, or the error that it raises, in a process without the rights of root."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(PLAIN_USER)
                os.setuid(PLAIN_USER)
            result = str(call())
        except UserError as error:
            result = f"error: {error}"
        except BaseException as error:
            refusal = explain_refused_file(error)  # as the command line does
            result = f"error: {refusal}" if refusal else traceback.format_exc()
        os.write(writer, result.encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as stream:
        result = stream.read().decode()
    os.waitpid(pid, 0)
    return result


@pytest.fixture
def forbidden(tmp_path):
    """A folder that everybody may enter and nobody but root may write to, with a run that only root may read."""
    folder = Path(tempfile.mkdtemp())
    run = folder / "runs/first"
    run.mkdir(parents=True)
    for name, text in {"run.json": '{"stage": "sft"}', "recipe.yaml": "output: o\n", "metrics.jsonl": ""}.items():
        (run / name).write_text(text)
        (run / name).chmod(0)
    (folder / "recipe.yaml").write_text("output: o\n")
    (folder / "recipe.yaml").chmod(0)
    for path in (run, run.parent, folder):
        path.chmod(0o555)
    yield folder
    for path in (folder, run.parent, run):
        path.chmod(0o755)
    shutil.rmtree(folder)


def test_what_may_not_be_read_or_written_is_one_line(forbidden):
    run = forbidden / "runs/first"
    recipe = load_recipe("sft", None, {"output": str(forbidden / "o"), "model.path": "m", "data.train": "r.jsonl"})
    in_run = recipe.model_copy(update={"output": str(run)})
    calls = {
        "init": lambda: copy_recipe("tiny", forbidden / "mine"),
        "recipe": lambda: load_recipe("sft", str(forbidden / "recipe.yaml"), {}),
        "new run": lambda: open_run("sft", recipe),
        "old run": lambda: open_run("sft", in_run),
        "report": lambda: write_report([str(run)], forbidden / "page.html"),
        "config": lambda: launch_command(None, str(forbidden / "recipe.yaml")),
        "data": lambda: resolve_data_path(str(run)),
    }
    for name, call in calls.items():
        line = run_as_plain_user(call)
        assert line.startswith("error: "), f"{name}: {line}"
        assert "permission denied" in line, f"{name}: {line}"
        assert line.count("\n") == 0
    assert "damaged" in run_as_plain_user(lambda: list_runs(forbidden / "runs"))


COMMANDS_WITH_LONG_WORDS = (
    ["sft", f"output={'x' * 300}"],
    ["data", f"{'k' * 300}=1"],
    ["sft", "x" * 5000],
    ["runs", "x" * 300],
    ["report", "x" * 300],
    ["chat", "a\0b"],
)


@pytest.mark.parametrize("arguments", COMMANDS_WITH_LONG_WORDS, ids=range(len(COMMANDS_WITH_LONG_WORDS)))
def test_words_that_no_file_is_called(arguments, tmp_path, monkeypatch, capsys):
    from r1kit import command_line
    from r1kit.cli import app

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["r1kit", *arguments])
    code, line = command_line._run_command(app)
    assert code == 2, capsys.readouterr().err
    assert line.count("\n") == 0
    assert "; " in line
