"""No test reaches the network, and what libraries cache goes to a folder of the tests' own."""

import atexit
import fcntl
import os
import shutil
import tempfile

import pytest

_CACHE = tempfile.mkdtemp(prefix="r1kit-tests-")
atexit.register(shutil.rmtree, _CACHE, ignore_errors=True)
os.environ.update(
    HF_HUB_OFFLINE="1",
    TRANSFORMERS_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    HF_DATASETS_CACHE=_CACHE,
    HF_DATASETS_DISABLE_PROGRESS_BARS="1",
    TOKENIZERS_PARALLELISM="false",
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A new folder, which is the working directory too."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


# Coverage makes a command a third slower; these files run dozens, of code that other tests cover.
_UNCOVERED = ("test_resume", "test_distributed", "test_faults", "test_server", "test_training")


@pytest.fixture(autouse=True)
def uncovered_commands(request, monkeypatch):
    """Run the commands of some test files without measuring coverage in them."""
    if request.module.__name__ in _UNCOVERED:
        monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.fixture(autouse=True)
def company(request, tmp_path_factory):
    """Let a test that is marked `alone` wait for those in the other workers of pytest-xdist to end, and them for it."""
    shared = tmp_path_factory.getbasetemp().parent
    with open(shared / "turn", "w") as turn, open(shared / "machine", "w") as machine:
        fcntl.flock(turn, fcntl.LOCK_EX)  # who waits for the machine is overtaken by nobody
        fcntl.flock(machine, fcntl.LOCK_EX if request.node.get_closest_marker("alone") else fcntl.LOCK_SH)
        fcntl.flock(turn, fcntl.LOCK_UN)
        yield
