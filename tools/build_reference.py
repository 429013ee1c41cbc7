"""Write docs/reference/: the pages that are generated from the code, so that they cannot differ from it.

python tools/build_reference.py            writes the pages
python tools/build_reference.py --check    exits with 1 if a page is not what would be written

docs/reference/recipe.md      every field of every recipe (r1kit/recipe/)
docs/reference/commands.md    every command with its arguments and options (r1kit/cli.py)
docs/reference/rows.md        the columns of a row (r1kit/rows.py)
docs/reference/libraries.md   what is relied on in TRL and transformers (tests/contract.yaml)
docs/reference/benchmarks.md  every benchmark with its protocol and published figures (r1kit/suites/)
"""

import os
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "reference"
TERMINAL_COLUMNS = 80


def command_reference() -> str:
    """Return a page with the help of every command, as a terminal of 80 columns shows it."""
    os.environ.update(COLUMNS=str(TERMINAL_COLUMNS), TERMINAL_WIDTH=str(TERMINAL_COLUMNS), NO_COLOR="1")
    import typer

    from r1kit.cli import app

    group = typer.main.get_command(app)
    parent = group.make_context("r1kit", [], resilient_parsing=True)
    lines = [
        "# Commands",
        "",
        "What `r1kit COMMAND --help` prints. Fields of recipes stand in the [recipe reference](recipe.md).",
        "",
        *_help_section("r1kit", group.get_help(parent)),
    ]
    for name in group.list_commands(parent):
        command = group.get_command(parent, name)
        assert command is not None
        context = command.make_context(name, [], parent=parent, resilient_parsing=True)
        lines += _help_section(f"r1kit {name}", command.get_help(context))
    return "\n".join(lines) + "\n"


def _help_section(title: str, text: str) -> list[str]:
    return [f"## `{title}`", "", "```text", text.strip(), "```", ""]


def library_reference() -> str:
    """Return a page of what r1kit relies on in TRL and transformers beyond their documented interfaces."""
    lines = [
        "# What r1kit relies on in its libraries",
        "",
        "Each method of TRL and transformers that r1kit overrides, and each name that it uses without being documented",
        "there. `tests/test_contract.py` compares their sources with the versions below: when a library changes one of",
        "them, it fails with the name, the file and the reason.",
        "",
        "| name | used in | reason | as of |",
        "| --- | --- | --- | --- |",
    ]
    for entry in yaml.safe_load((ROOT / "tests" / "contract.yaml").read_text()):
        versions = ", ".join(entry["sources"].values())
        lines.append(f"| `{entry['name']}` | `{entry['where']}` | {entry['reason']} | {versions} |")
    return "\n".join(lines) + "\n"


def row_reference() -> str:
    """Return a page of the columns of a row."""
    from r1kit.rows import column_reference

    return column_reference()


def pages() -> dict[str, str]:
    """Return the text of each generated page by its file name."""
    from r1kit.recipe.reference import recipe_reference
    from r1kit.suites.reference import benchmark_reference

    return {
        "recipe.md": recipe_reference(),
        "commands.md": command_reference(),
        "rows.md": row_reference(),
        "libraries.md": library_reference(),
        "benchmarks.md": benchmark_reference(),
    }


def main() -> int:
    """Write the pages, or with --check compare them; return the exit code."""
    stale = []
    for name, text in pages().items():
        path = FOLDER / name
        if "--check" not in sys.argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(name)
    if stale:
        print(f"not as the code would write them: {', '.join(stale)}; run python tools/build_reference.py")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
