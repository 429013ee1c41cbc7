"""However a process ends, its exit code tells whether the work was done, and a line on stderr tells why not."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import COMMAND
from typer.testing import CliRunner

from r1kit import interrupts
from r1kit.api import _run_and_record
from r1kit.cli import app
from r1kit.errors import UserError
from r1kit.recipe import Recipe, RewardConfig
from r1kit.rewards.binding import bind_reward
from r1kit.runs.exits import RankExit, describe_exit, find_first_exit, record_exit
from r1kit.runs.run import Run

REWARDS = """
import asyncio, ctypes, os, signal, sys, threading

def leave(completions, **columns):
    sys.exit(0)

def leave_by_name(completions, **columns):
    exit()

def interrupt(completions, **columns):
    raise KeyboardInterrupt

async def leave_in_a_coroutine(completions, **columns):
    await asyncio.sleep(0)
    sys.exit(0)

async def cancel(completions, **columns):
    raise asyncio.CancelledError

def leave_while_values_are_read(completions, **columns):
    yield sys.exit(0)

def leave_outright(completions, **columns):
    os._exit(0)

def leave_outright_as_a_user_error(completions, **columns):
    os._exit(2)

def leave_in_c(completions, **columns):
    ctypes.CDLL(None).exit(0)

def crash(completions, **columns):
    ctypes.string_at(0)

def kill(completions, **columns):
    os.kill(os.getpid(), signal.SIGKILL)

def close_streams(completions, **columns):
    os.close(1)
    os.close(2)
    return [1.0] * len(completions)

def close_all(completions, **columns):
    os.closerange(0, 4096)
    return [1.0] * len(completions)

def leave_at_exit(completions, **columns):
    import atexit
    atexit.register(os._exit, 0)
    return [1.0] * len(completions)

def fork(completions, **columns):
    child = os.fork()
    if child == 0:
        sys.exit(3)
    return [float(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))] * len(completions)

def fork_and_return(completions, **columns):
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return [1.0] * len(completions)

def obey(completions, **columns):
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(7))
    wait(completions)

def wait(completions, **columns):
    print("waiting", file=sys.stderr, flush=True)
    threading.Event().wait()
"""
RAISED = "error: rewards.0 = own.{name}; raised {error}; correct the reward, or the data"
ENDED = "error: the command {ending}"
OUTRIGHT = ENDED.format(ending="ended with exit code 0 before its work was done, by code that it ran, such as a reward")


@pytest.fixture
def own_rewards(here, monkeypatch):
    (here / "own.py").write_text(REWARDS)
    (here / "rows.jsonl").write_text('{"prompt": "1 + 1?", "completion": "2"}\n' * 2)
    monkeypatch.syspath_prepend(here)
    return here


def score(name: str) -> subprocess.CompletedProcess:
    """Run `r1kit rewards` with a reward of own.py."""
    command = [*COMMAND, "rewards", "rows.jsonl", "--rewards", f"own.{name}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("name", "code", "line"),
    [
        ("leave", 2, RAISED.format(name="leave", error="SystemExit(0)")),
        (
            "leave_outright",
            1,
            OUTRIGHT,
        ),
        ("leave_outright_as_a_user_error", 1, ENDED.format(ending="ended with exit code 2 before its work was done")),
        ("leave_in_c", 1, OUTRIGHT),
        ("crash", 1, ENDED.format(ending="was killed by SIGSEGV, a crash in a library or a reward")),
        ("kill", 1, ENDED.format(ending="was killed by SIGKILL, by a user or by the kernel")),
        (
            "close_streams",
            2,
            "error: rewards.0 = own.close_streams; closed the file descriptors 1, 2",
        ),
        ("close_all", 1, ENDED.format(ending="ended with exit code")),
    ],
)
def test_a_reward_that_ends_the_process_ends_the_command_with_an_error(own_rewards, name, code, line):
    result = score(name)
    assert (result.returncode, result.stdout) == (code, "")
    assert result.stderr.splitlines()[-1].startswith(line)
    assert "Traceback" not in result.stderr


def test_an_exit_code_is_that_of_the_work_and_not_of_what_comes_after(own_rewards):
    """A library's handler at the end of the process cannot change it, in either direction."""
    result = score("leave_at_exit")
    assert (result.returncode, len(result.stdout.splitlines())) == (0, 2)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("leave", "SystemExit(0)"),
        ("leave_by_name", "SystemExit(None)"),
        ("interrupt", "KeyboardInterrupt()"),
        ("leave_in_a_coroutine", "SystemExit(0)"),
        ("cancel", "CancelledError()"),
        ("leave_while_values_are_read", "SystemExit(0)"),
    ],
)
def test_whatever_a_reward_raises_is_its_fault(own_rewards, monkeypatch, name, error):
    monkeypatch.setattr(interrupts, "_last_signal", [])
    handler = signal.getsignal(signal.SIGINT)
    interrupts.raise_on_signals()
    try:
        with pytest.raises(UserError) as caught:
            bind_reward(RewardConfig(name=f"own.{name}"))(completions=["2"])
    finally:
        signal.signal(signal.SIGINT, handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    assert f"error: {caught.value}" == RAISED.format(name=name, error=error)


@pytest.mark.parametrize(("name", "value"), [("fork", 3.0), ("fork_and_return", 1.0)])
def test_a_process_that_a_reward_forks_ends_and_does_not_go_on_with_the_run(own_rewards, name, value):
    result = score(name)
    assert [json.loads(line)[name] for line in result.stdout.splitlines()] == [value, value]
    assert "error" not in result.stderr


def test_a_module_of_rewards_that_leaves_while_it_is_imported_is_a_mistake_of_the_recipe(own_rewards):
    (own_rewards / "leaving.py").write_text("import sys\nsys.exit(0)\n")
    with pytest.raises(UserError, match=r"^rewards.0.name = leaving.f; must be .*; correct this: SystemExit\(0\)$"):
        bind_reward(RewardConfig(name="leaving.f"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("to_group", [False, True])
def test_a_signal_ends_a_command_with_130(own_rewards, number, to_group):
    """The process that supervises passes a signal on; one to the whole group, as from a terminal, counts once."""
    command = [*COMMAND, "rewards", "rows.jsonl", "--rewards", "own.wait"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0)
    assert process.stderr.readline() == "waiting\n"
    (os.killpg if to_group else os.kill)(process.pid, number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", "")


def test_a_signal_that_a_script_ignores_reaches_code_that_does_not(own_rewards):
    """A shell has SIGINT ignored for what it runs in the background; a training handles it all the same."""
    command = [*COMMAND, "rewards", "rows.jsonl", "--rewards", "own.obey"]
    ignore = lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)  # noqa: E731
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=ignore)
    assert process.stderr.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert err.startswith("error: the command ended with exit code 7")


def test_a_system_that_does_not_tell_of_the_end_of_a_process_changes_nothing():
    """Reports that fill the pipe must be read while the work goes on."""
    work = (
        "import os, sys; del os.pidfd_open\n"
        "from pathlib import Path; from r1kit import supervisor\n"
        "supervisor.supervise()\n"
        "for _ in range(3000): supervisor.report_run(Path('x' * 100))\n"
        "supervisor.report_end(7); os._exit(0)"
    )
    assert subprocess.run([sys.executable, "-c", work]).returncode == 7


def test_a_program_that_calls_the_app_is_not_forked(monkeypatch):
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("forked"))
    assert CliRunner().invoke(app, ["rewards", "no-such-file.jsonl"]).exit_code != 0
    assert CliRunner().invoke(app, ["sft", "no-such-recipe.yaml"]).exit_code != 0


def test_the_work_ends_with_the_process_that_supervises_it(own_rewards):
    command = [*COMMAND, "rewards", "rows.jsonl", "--rewards", "own.wait"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr.readline() == "waiting\n"
    process.kill()
    process.communicate(timeout=30)  # until all processes have closed the pipes


# Stages


def run_stage(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("code_line", "code", "line"),
    [
        ("sys.exit(0)", 1, "error: sys.exit(0) was called in {here}/plug.py, line 2 (<module>); remove it there"),
        ("os._exit(0)", 1, "error: the process of run ended with exit code 0 before its work was done, by code"),
    ],
)
def test_code_under_a_stage_that_leaves_is_an_error_and_its_run_has_failed(here, monkeypatch, code_line, code, line):
    """pyarrow stands for any library, plugin or model's code that a stage imports."""
    (here / "plug.py").write_text(f"import os, sys\n{code_line}\n")
    (here / "sitecustomize.py").write_text(
        "import sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'r1kit.data.writing.card' or name == 'datasets':\n"
        "            sys.meta_path.remove(self)\n"
        "            import plug\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(here))
    (here / "rows.jsonl").write_text('{"prompt": "1 + 1?", "completion": "2"}\n')
    result = run_stage("data", "--dataset", "rows.jsonl", "--output", "run")
    assert (result.returncode, result.stdout) == (code, "")
    assert result.stderr.splitlines()[-1].startswith(line.format(here=here))
    assert Run(Path("run")).info.get("status") in ("failed", None)


def test_a_stage_in_a_notebook_does_not_end_it(tmp_path, monkeypatch):
    run = Run(tmp_path)
    run.update(status="running", seconds=0, session_started=time.time())
    (tmp_path / "leaving_stage.py").write_text("import sys\ndef main(recipe, run):\n    sys.exit(0)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("r1kit.api.command_module", lambda stage, recipe: "leaving_stage")
    monkeypatch.setattr("r1kit.api.prepare_process", lambda stage: None)
    with pytest.raises(RuntimeError, match=r"sys.exit\(0\) was called in .*leaving_stage.py, line 3 \(main\)"):
        _run_and_record("sft", Recipe(), run)
    assert run.info["status"] == "failed"


# Ranks


def test_the_rank_that_died_is_named_and_not_those_that_it_took_along(tmp_path):
    record_exit(tmp_path, RankExit(0, 1, "", trace="Traceback: Connection closed by peer\n"))
    record_exit(tmp_path, RankExit(2, 130, ""))
    record_exit(tmp_path, RankExit(1, 1, "was killed by SIGKILL", is_death=True))
    record_exit(tmp_path, RankExit(1, 2, "a second end of the same rank"))
    (tmp_path / "exit-7.json").write_text("{broken")
    line = describe_exit(find_first_exit(tmp_path), 3)
    goes_on = "the other ranks were stopped, and the same command goes on from what is saved"
    assert line == f"rank 1 of 3 was killed by SIGKILL; {goes_on}"


def test_without_a_death_the_first_end_is_told(tmp_path):
    assert find_first_exit(tmp_path) is None
    record_exit(tmp_path, RankExit(1, 2, "data = x; is wrong; correct it"))
    record_exit(tmp_path, RankExit(0, 1, "", trace="Traceback: Connection closed by peer\n"))
    assert describe_exit(find_first_exit(tmp_path), 2) == "data = x; is wrong; correct it"


LAUNCHER = """
import os, signal, sys, types
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
failures = {0: -15, 1: -11, 2: 1}
raise ChildFailedError("r1kit", {rank: ProcessFailure(rank, 7, code, "none") for rank, code in failures.items()})
"""


def test_a_launcher_that_tells_of_a_killed_rank_prints_no_report_of_torch(here, monkeypatch):
    """The module stands for torch.distributed.run, which raises this error; test_distributed.py has the real one."""
    (here / "standing_in.py").write_text(LAUNCHER)
    monkeypatch.setenv("PYTHONPATH", str(here))
    (here / "run").mkdir()
    command = [sys.executable, "-m", "r1kit.torch_launcher", "run", "standing_in"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (1, "", "")
    first = find_first_exit(here / "run")
    assert (first.rank, first.line[:21]) == (1, "was killed by SIGSEGV")
    assert [file.name for file in (here / "run").iterdir()] == ["exit-1.json"]
