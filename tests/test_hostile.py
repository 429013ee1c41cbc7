"""The box and the judge against programs that cheat, escape or take too much, and honest ones that are easily broken.

The cases stand in tests/hostile, written without sight of the sandbox. R1KIT_HOSTILE=all runs them in each box as each
user; else as root in the one and as a plain user in the other.
"""

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from r1kit.sandbox import isolation as isolations
from r1kit.sandbox import start

ROOT = Path(__file__).parent.parent
ROOTED = os.getuid() == 0 and Path("/usr/bin/python3").exists()
ALL = ("bubblewrap", "landlock")
MINE = ALL[:1] if ROOTED and os.environ.get("R1KIT_HOSTILE") != "all" else ALL
PLAIN = ALL if os.environ.get("R1KIT_HOSTILE") == "all" else ALL[1:]


# Landlock does not govern these, which tell a program about the machine and change nothing (docs/explanation/trust.md).
SEEN_IN_LANDLOCK = {"maybe_stat", "maybe_readlink", "maybe_chdir", "maybe_host_name"}


def works(isolation):
    return isolations.self_test(isolation) is None


def find_remnants():
    """Return what a run may leave behind: processes of a box, and files outside of it."""
    commands = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True).stdout
    remnants = set()
    for line in commands.splitlines():
        if "marshal.loads(read_exactly(" in line or "hostile-plain" in line:
            remnants.add(line.split()[0])
    for directory in (Path("/tmp"), Path("/dev/shm"), Path("/var/tmp"), ROOT, Path.home()):
        # Tests that run beside this one keep their tables of rows in folders of their own.
        remnants.update(
            str(path) for path in directory.glob("r1kit-*") if not path.name.startswith(("r1kit-rows-", "r1kit-tests-"))
        )
    return remnants


def run_all(isolation, *options, python=sys.executable, paths=(ROOT, ROOT / "tests"), prefix=()):
    command = [*prefix, python, "-m", "hostile.run", "--isolation", isolation, *options]
    environment = {"PYTHONPATH": ":".join(map(str, paths)), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/")
    assert done.returncode == 0, done.stderr
    *wrong, summary = [json.loads(line) for line in done.stdout.splitlines()]
    return wrong, summary


@functools.cache
def run_as_this_user(isolation):
    return run_all(isolation)


@functools.cache
def run_as_plain_user(isolation):
    """Run all cases as nobody, with a Python that everybody may run and a copy of what it needs."""
    place = Path("/var/tmp/hostile-plain")
    shutil.rmtree(place, ignore_errors=True)
    try:
        for name in ("r1kit", "tests/hostile"):
            target = place / name
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        subprocess.run(["chmod", "-R", "a+rX", place], check=True)
        prefix = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        return run_all(isolation, python="/usr/bin/python3", paths=(place, place / "tests"), prefix=prefix)
    finally:
        shutil.rmtree(place)


@pytest.mark.alone
@pytest.mark.parametrize("isolation", MINE)
def test_every_hostile_program_fails_and_every_honest_one_passes(isolation):
    if not works(isolation):
        pytest.skip(f"{isolation} does not work here")
    before = find_remnants()
    wrong, summary = run_as_this_user(isolation)
    assert wrong == []
    assert summary["hostile"] >= 60
    assert summary["honest"] >= 25
    assert find_remnants() <= before


@pytest.mark.alone
@pytest.mark.skipif(not ROOTED, reason="only root can become somebody else, with a Python that everybody may run")
@pytest.mark.parametrize("isolation", PLAIN)
def test_the_same_holds_for_a_plain_user(isolation):
    if not works(isolation):
        pytest.skip(f"{isolation} does not work here")
    wrong, summary = run_as_plain_user(isolation)
    assert summary["uid"] == 65534
    assert wrong == []


@pytest.mark.alone
def test_no_verdict_depends_on_the_box_or_on_the_user():
    """Runs that the tests above have made are not made again. R1KIT_HOSTILE=all compares all four."""
    if not all(map(works, ALL)):
        pytest.skip("only one box works here")
    runs = {f"{isolation}, this user": run_as_this_user(isolation) for isolation in MINE}
    if ROOTED:
        runs |= {f"{isolation}, plain user": run_as_plain_user(isolation) for isolation in PLAIN}
    verdicts = {name: summary["verdicts"] for name, (_, summary) in runs.items()}
    first_name = next(iter(verdicts))
    differing = {}
    for name in verdicts:
        for case, verdict in verdicts[name].items():
            if verdict != verdicts[first_name][case] and case not in SEEN_IN_LANDLOCK:
                differing[case] = {first_name: verdicts[first_name][case], name: verdict}
    assert differing == {}


@pytest.mark.alone
def test_no_hostile_program_does_harm_as_a_call_of_the_tool_python():
    """Every tenth program; R1KIT_HOSTILE=all calls all of them."""
    if not any(map(works, ALL)):
        pytest.skip("no box works here")
    before = find_remnants()
    every = "1" if os.environ.get("R1KIT_HOSTILE") == "all" else "10"
    wrong, summary = run_all("auto", "--as-tool", "--every", every)
    assert wrong == []
    assert len(summary["verdicts"]) >= 30
    assert find_remnants() <= before


def test_a_box_that_a_program_can_leave_is_refused(monkeypatch):
    monkeypatch.setattr(start, "build_seccomp_filter", lambda: b"\x06\x00\x00\x00\x00\x00\xff\x7f")  # all is allowed
    assert "start a process" in isolations.self_test("landlock")


def test_without_isolation_it_is_an_error_that_names_the_package(monkeypatch):
    from r1kit.errors import UserError

    monkeypatch.setattr(isolations, "self_test", lambda isolation: "not installed")
    isolations._find_working_isolation.cache_clear()
    try:
        with pytest.raises(UserError, match="apt install bubblewrap"):
            isolations.require_isolation("auto")
        with pytest.raises(UserError):
            isolations.require_isolation("landlock")
        assert isolations.require_isolation("none") == "none"
    finally:
        isolations._find_working_isolation.cache_clear()
