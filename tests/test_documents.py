"""Test the documents: their commands run, their generated pages are fresh, and their links lead somewhere.

Blocks marked as `bash`, in the Markdown files of the root, docs/, recipes/ and benchmarks/, run page by page in a copy
of the repository's documents, recipes and benchmarks, unless the line before a block says why it does not:

    <!-- needs: a GPU -->                          what this machine lacks
    <!-- run by: tests/test_demo.py -->            where it is run instead

The commands are the real ones, but `r1kit` is tests/fast_r1kit: it sets fewer steps and rows, and its process is forked
from one that has imported torch and TRL already, so that a page takes seconds. `make demo` and the benchmarks run them
in full.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from helpers import WARM_SERVER_COMMAND

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path
    for path in (
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("recipes/*/README.md"),
        *ROOT.glob("benchmarks/*.md"),
    )
    if "reference" not in path.parts[-2:]
)
BLOCK = re.compile(r"(?:<!-- (needs|run by): (.+?) -->\n+)?^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\s*(?:\w+=\$\()?(?:r1kit|make|python|bash|torchrun|accelerate|trl|vllm) ", re.MULTILINE)


def read_blocks(page: Path) -> list[tuple[str | None, str | None, str, str]]:
    """Return of each fenced block: the kind of its mark, what the mark says, its language and its text."""
    return [(match[1], match[2], match[3], match[4]) for match in BLOCK.finditer(page.read_text())]


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_each_block_with_commands_is_run_or_says_why_not(page):
    for mark, reason, language, text in read_blocks(page):
        if not COMMAND.search(text) or language in ("text", "yaml", "python", "json"):
            continue
        assert language == "bash", f"a block with commands is not marked as bash: {text[:80]!r}"
        if mark == "run by":
            assert (ROOT / reason).exists(), reason


def script_of(page: Path) -> str:
    """Return the unmarked `bash` blocks of a page as one script, an empty text if it has none."""
    return "\n".join(text for mark, _, language, text in read_blocks(page) if language == "bash" and not mark)


@pytest.fixture(scope="module")
def warm_socket():
    """Return the address of a server of tests/warm.py, which runs the commands of the pages."""
    with tempfile.TemporaryDirectory() as folder:  # since the path of a socket has room for 107 characters
        address = Path(folder, "warm")
        environment = {**os.environ, "GOMP_SPINCOUNT": "10000"}  # as r1kit sets it before it imports torch
        server = subprocess.Popen([*WARM_SERVER_COMMAND, address], env=environment)
        while not address.exists():
            assert server.poll() is None, "the server has ended"
            time.sleep(0.1)
        yield address
        server.kill()
        server.wait()


@pytest.mark.slow
@pytest.mark.parametrize("page", filter(script_of, PAGES), ids=page_name)
def test_the_commands_of_a_page_run(page, tmp_path, warm_socket):
    for folder in ("recipes", "benchmarks", "docs"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    path = os.pathsep.join((str(ROOT / "tests" / "fast_r1kit"), str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = {**os.environ, "PATH": path, "COLUMNS": "100", "R1KIT_WARM_SOCKET": str(warm_socket)}
    environment.pop("COVERAGE_PROCESS_CONFIG", None)  # measuring makes the many commands slower
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script_of(page)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, f"{page_name(page)}:\n{done.stderr[-3000:]}"


@pytest.mark.slow
def test_the_python_api_runs_in_a_notebook(tmp_path):
    """The cells are the unmarked `python` blocks of docs/reference/api.md."""
    import nbformat
    from nbclient import NotebookClient

    cells = []
    for mark, _, language, text in read_blocks(ROOT / "docs" / "reference" / "api.md"):
        if language == "python" and not mark:
            cells.append(nbformat.v4.new_code_cell(text))
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    outputs = [_printed(cell) for cell in notebook.cells]
    assert outputs[0].strip().endswith("runs/from_python/model")
    assert "did you mean steps?" in outputs[1]
    assert outputs[2] == "[1.0, 0.0]\n[1.0, 0.0]\n"
    assert outputs[3] == "[1.0, None]\n"
    assert outputs[4] == "42\n"
    assert outputs[5] == "B\n2 plus 2\n"


def _printed(cell) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream" and output.name == "stdout")


def test_generated_pages_are_fresh():
    done = subprocess.run(
        [sys.executable, ROOT / "tools/build_reference.py", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)\s]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_to_files_lead_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in LINK.findall(text):
        path = (page.parent / target.partition("#")[0]).resolve()
        assert path.exists(), f"{page_name(page)} links to {target}"


def test_every_page_stands_in_the_navigation():
    listed = set(re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    pages = {str(page.relative_to(ROOT / "docs")) for page in ROOT.glob("docs/**/*.md")}
    assert pages == listed
