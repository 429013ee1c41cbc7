"""No test reaches the network, and what libraries cache goes to a folder of the tests' own."""

import atexit
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
_UNCOVERED = ("test_resume", "test_distributed", "test_faults", "test_training")


@pytest.fixture(autouse=True)
def uncovered_commands(request, monkeypatch):
    """Run the commands of some test files without measuring coverage in them."""
    if request.module.__name__ in _UNCOVERED:
        monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
