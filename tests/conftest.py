"""Settings and fixtures of all tests: no network, a cache of their own, and tests that run alone."""

import atexit
import fcntl
import os
import shutil
import tempfile

import pytest

_CACHE_DIR = tempfile.mkdtemp(prefix="r1kit-tests-")
atexit.register(shutil.rmtree, _CACHE_DIR, ignore_errors=True)
os.environ.update(
    HF_HUB_OFFLINE="1",
    TRANSFORMERS_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    HF_DATASETS_CACHE=_CACHE_DIR,
    HF_DATASETS_DISABLE_PROGRESS_BARS="1",
    TOKENIZERS_PARALLELISM="false",
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Return an empty folder, which is the working directory during the test."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


# Coverage makes a command slower by half. These files run dozens of commands, whose code other tests cover.
_FILES_WITHOUT_COVERAGE = ("test_resume", "test_distributed", "test_faults", "test_server", "test_training")


@pytest.fixture(autouse=True)
def uncovered_commands(request, monkeypatch):
    """Run the commands of some test files without measuring their coverage."""
    if request.module.__name__ in _FILES_WITHOUT_COVERAGE:
        monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.fixture(autouse=True)
def run_alone(request, tmp_path_factory):
    """Let a test marked `alone` run while the other workers of pytest-xdist run none, and the others wait for it.

    Each test holds a lock while it runs: one that is shared, or the whole lock if it is marked.
    """
    shared = tmp_path_factory.getbasetemp().parent
    with open(shared / "turn", "w") as turn, open(shared / "machine", "w") as machine:
        fcntl.flock(turn, fcntl.LOCK_EX)  # nobody overtakes a test that waits for the machine
        fcntl.flock(machine, fcntl.LOCK_EX if request.node.get_closest_marker("alone") else fcntl.LOCK_SH)
        fcntl.flock(turn, fcntl.LOCK_UN)
        yield
