"""The box and the judge against programs that cheat, escape or take too much, and honest ones that are easily broken.

The cases stand in tests/hostile, written without sight of the sandbox. R1KIT_HOSTILE=all runs them in each box as each
user; else as root in the one and as a plain user in the other.
"""

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
        remnants.update(str(path) for path in directory.glob("r1kit-*") if not path.name.startswith("r1kit-rows-"))
    return remnants


def run_all(isolation, *, python=sys.executable, paths=(ROOT, ROOT / "tests"), prefix=()):
    command = [*prefix, python, "-m", "hostile.run", "--isolation", isolation]
    environment = {"PYTHONPATH": ":".join(map(str, paths)), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/")
    assert done.returncode == 0, done.stderr
    *wrong, summary = [json.loads(line) for line in done.stdout.splitlines()]
    return wrong, summary


@pytest.mark.alone
@pytest.mark.parametrize("isolation", MINE)
def test_every_hostile_program_fails_and_every_honest_one_passes(isolation):
    if not works(isolation):
        pytest.skip(f"{isolation} does not work here")
    before = find_remnants()
    wrong, summary = run_all(isolation)
    assert wrong == []
    assert summary["hostile"] >= 60
    assert summary["honest"] >= 25
    assert find_remnants() <= before


@pytest.mark.alone
@pytest.mark.skipif(not ROOTED, reason="only root can become somebody else, with a Python that everybody may run")
@pytest.mark.parametrize("isolation", PLAIN)
def test_the_same_holds_for_a_plain_user(isolation, tmp_path_factory):
    if not works(isolation):
        pytest.skip(f"{isolation} does not work here")
    place = Path("/var/tmp/hostile-plain")
    shutil.rmtree(place, ignore_errors=True)
    try:
        # The sandbox imports only the modules directly in r1kit, which are light.
        light_modules = [f"r1kit/{path.name}" for path in (ROOT / "r1kit").glob("*.py")]
        for name in ("r1kit/sandbox", "tests/hostile", *light_modules):
            target = place / name
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, target)
        subprocess.run(["chmod", "-R", "a+rX", place], check=True)
        prefix = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        paths = (place, place / "tests")
        wrong, summary = run_all(isolation, python="/usr/bin/python3", paths=paths, prefix=prefix)
        assert summary["uid"] == 65534
        assert wrong == []
    finally:
        shutil.rmtree(place)


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
