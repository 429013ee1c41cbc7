"""Messages on stderr, and how much of them `-v` and `-q` show, in this process and in those that it starts."""

import json
import subprocess
import sys

import pytest
from helpers import COMMAND

from r1kit.messages import is_quiet, logger, print_progress, set_verbosity


@pytest.fixture(autouse=True)
def default_verbosity():
    yield
    set_verbosity()


@pytest.mark.parametrize(
    ("settings", "lines"),
    [
        ({}, ["note: a note", "warning: a warning", "progress"]),
        ({"quiet": True}, ["warning: a warning"]),
        ({"verbose": True}, ["debug: a detail", "note: a note", "warning: a warning", "progress"]),
    ],
)
def test_verbosity_chooses_which_messages_are_shown(settings, lines, capsys):
    set_verbosity(**settings)
    logger.debug("a detail")
    logger.info("a note")
    logger.warning("a warning")
    print_progress("progress")
    assert capsys.readouterr() == ("", "".join(f"{line}\n" for line in lines))
    assert is_quiet() == ("quiet" in settings)


@pytest.mark.parametrize(
    ("settings", "level"), [({}, "INFO"), ({"quiet": True}, "WARNING"), ({"verbose": True}, "DEBUG")]
)
def test_processes_that_are_started_have_the_same_verbosity(settings, level):
    set_verbosity(**settings)
    code = "import logging, r1kit.messages as m; print(logging.getLevelName(m.logger.level))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == f"{level}\n"


@pytest.mark.parametrize("arguments", [["-q", "data"], ["data", "-q"]])
def test_a_quiet_stage_prints_its_path_only(here, arguments):
    (here / "rows.jsonl").write_text(f"{json.dumps({'prompt': '1 + 2?', 'completion': '3'})}\n")
    command = [*COMMAND, *arguments, "--dataset", "rows.jsonl", "--output", "run"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "run\n", "")
