"""Prove every shipped recipe, and print what holds, what fails, what is left out, and the seconds that it takes.

python benchmarks/prove_recipes.py                      all recipes: about 20 minutes on two cores
python benchmarks/prove_recipes.py tiny qwen2.5-0.5b    the recipes of some folders
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECIPES = Path(__file__).parent.parent / "recipes"
NO_RECIPES = ("accelerate",)
"""Folders of YAML files that are no recipes."""


def main() -> None:
    """Prove the recipes of the folders that are named, or of all, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*")
    options = parser.parse_args()
    rows = []
    for file in sorted(RECIPES.glob("*/*.yaml")):
        folder = file.parent.name
        if folder in NO_RECIPES or (options.folders and folder not in options.folders):
            continue
        rows.append(prove(file))
        print(*rows[-1], sep=" | ", file=sys.stderr, flush=True)
    from r1kit.tables import format_table

    print(format_table(["recipe", "exit", "seconds", "hold", "fail", "left out"], rows))


def prove(file: Path) -> list[str | int]:
    """Return the row of one recipe."""
    name = f"{file.parent.name}/{file.stem}"
    with tempfile.TemporaryDirectory() as folder:
        started = time.time()
        command = [sys.executable, "-m", "r1kit.cli", "prove", str(file), "-o", f"{folder}/proof"]
        process = subprocess.run(command, capture_output=True, text=True)
        seconds = round(time.time() - started)
        try:
            proof = json.loads(Path(folder, "proof/prove.json").read_text())
            findings = proof["findings"]
        except (OSError, ValueError, KeyError):
            line = process.stderr.strip().splitlines()[-1] if process.stderr.strip() else ""
            return [name, process.returncode, seconds, "", line[:160], ""]
    by_verdict: dict[str, list[str]] = {"holds": [], "fails": [], "left out": []}
    for finding in findings:
        by_verdict[finding["verdict"]].append(finding["check"])
    failed = ", ".join(by_verdict["fails"]) or "0"
    return [name, process.returncode, seconds, len(by_verdict["holds"]), failed, ", ".join(by_verdict["left out"])]


if __name__ == "__main__":
    main()
