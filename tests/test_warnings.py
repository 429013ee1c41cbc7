"""The warnings of a run stand in its directory and in the report, each once with its count."""

import logging
import os

import pytest

from r1kit.messages import early_warnings, logger, training_step
from r1kit.report.summary import describe_warnings
from r1kit.runs.run import Run
from r1kit.runs.warning_log import read_warnings, record_warnings


@pytest.fixture(autouse=True)
def no_step():
    early_warnings.take()  # those of other tests in this process
    yield
    training_step.number = None


def test_a_warning_that_comes_again_is_counted(tmp_path):
    with record_warnings(Run(tmp_path)):
        for step in (3, 4, 9):
            training_step.number = step
            logger.warning(f"reward x raised ValueError: its {step} rows are left out")
        logger.info("a note")
        logger.error("an error")
        logger.warning("something else")
    first, other = read_warnings(tmp_path)
    assert first["text"] == "reward x raised ValueError: its 3 rows are left out"
    assert (first["count"], first["step"], first["last_step"]) == (3, 3, 9)
    assert first["time"] <= first["last_time"]
    assert (other["text"], other["count"]) == ("something else", 1)


def test_a_warning_is_on_the_disk_when_the_process_is_killed(tmp_path):
    with record_warnings(Run(tmp_path)):
        logger.warning("soon dead")
        assert read_warnings(tmp_path)[0]["text"] == "soon dead"


def test_a_resumed_run_and_its_ranks_count_on(tmp_path, monkeypatch):
    for rank in ("0", "0", "1"):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", "2")
        with record_warnings(Run(tmp_path)):
            logger.warning("2 rows are lost")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["warnings-rank-1.jsonl", "warnings.jsonl"]
    [warning] = read_warnings(tmp_path)
    assert warning["count"] == 3


def test_warnings_before_there_is_a_run_are_recorded_too(tmp_path):
    logger.addHandler(early_warnings)
    logger.warning("a recipe that is odd")
    with record_warnings(Run(tmp_path)):
        pass
    assert [warning["text"] for warning in read_warnings(tmp_path)] == ["a recipe that is odd"]
    assert early_warnings not in logger.handlers


def test_many_different_warnings_do_not_fill_the_disk(tmp_path):
    with record_warnings(Run(tmp_path)):
        for number in range(2000):
            logger.warning(f"row {'x' * number}")
    warnings = read_warnings(tmp_path)
    assert len(warnings) == 501
    assert sum(warning["count"] for warning in warnings) == 2000


def test_a_fork_does_not_write_the_file(tmp_path):
    with record_warnings(Run(tmp_path)):
        child = os.fork()
        if child == 0:
            logger.handlers = [handler for handler in logger.handlers if type(handler) is not logging.StreamHandler]
            logger.warning("from a fork")
            os._exit(0)
        os.waitpid(child, 0)
        logger.warning("from the process")
    assert [warning["text"] for warning in read_warnings(tmp_path)] == ["from the process"]


def test_a_broken_file_of_warnings_is_read_as_far_as_it_goes(tmp_path):
    lines = [b"{", b"[1]", b'{"text": 3}', b'{"text": "a", "count": -1}', b'{"text": "b\xff"}', b"[" * 10**5]
    (tmp_path / "warnings.jsonl").write_bytes(b"\n".join(lines))
    assert [(warning["text"], warning["count"]) for warning in read_warnings(tmp_path)] == [("a", 1), ("b\ufffd", 1)]
    with record_warnings(Run(tmp_path)):
        logger.warning("a")
    assert read_warnings(tmp_path)[0]["count"] + read_warnings(tmp_path)[1]["count"] == 3


def test_the_report_tells_warnings_with_their_steps_and_counts():
    warnings = [{"text": "a", "step": 3, "count": 1200}, {"text": "b", "step": None, "count": 1}, {"text": "c"}]
    run = {"name": "zero", "status": "finished", "warnings": warnings, "ladder": None, "samples": None, "rows": None}
    assert describe_warnings([run]) == ["zero, step 3: a (1,200 times)", "zero: b", "zero: c"]
